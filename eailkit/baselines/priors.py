"""The references of every localization table that train nothing of their own: chance, maps, habits, oracles.

Each is a function that gives a `Prediction` for a take. None of them sees the take's own trajectory but for those that
say so in their name: the two oracles, which count where others stood. `ronin` and `niloc` are the learned ones.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from eailkit.eail.prepared import Prepared
from eailkit.eail.sequences import Prediction
from eailkit.eail.stage1 import Features
from eailkit.preprocess.mapgrid import CELLS, SIDE


def chance(prepared: Prepared, take) -> Prediction:
    """Every cell that holds points alike."""
    map_ = ~np.asarray(prepared.rooms[take.room].empty)
    return Prediction(np.tile(map_.astype(np.float32), (len(take), 1)))


def free_space(prepared: Prepared, take) -> Prediction:
    """Every cell that the cloud shows as free floor alike: the best that a map alone can say."""
    room = prepared.rooms[take.room]
    free = np.asarray(room.free) & ~np.asarray(room.empty)
    return Prediction(np.tile(free.astype(np.float32), (len(take), 1)))


def occupancy(
    prepared: Prepared, take, *, splits: tuple[str, ...] = ("train",), same_room_only: bool = False
) -> Prediction:
    """Where others spent their time: a constant map counted from the takes of `splits`, never from this one.

    For a room with such takes it is that room's; else (an unseen room) the mean over all rooms in grid coordinates.
    With every split and `same_room_only` it is the constant-map oracle, which knows the room's habits.
    """
    habit = room_occupancy(prepared, take.room, splits=splits, same_room_only=same_room_only, without=take.name)
    return Prediction(np.tile(habit, (len(take), 1)))


def room_occupancy(
    prepared: Prepared,
    room: str,
    *,
    splits: tuple[str, ...] = ("train",),
    same_room_only: bool = False,
    without: str = "",
) -> Float[np.ndarray, " cells"]:
    """The constant map of `occupancy` for a room, blurred counts of seconds; `without` names a take to leave out."""
    others = [t for t in prepared.takes if t.split in splits and t.name != without]
    own = [t for t in others if t.room == room]
    return _count(own if own or same_room_only else others)


def action_oracle(prepared: Prepared, take) -> Prediction:
    """p(cell | true action, room), counted from the room's other takes of any split: knows what, not where.

    Actions that no other take of the room shows fall back on the room's occupancy.
    """
    others = [t for t in prepared.takes if t.room == take.room and t.name != take.name and t.split != "pretrain"]
    base = _count(others)
    table = np.tile(base * 1e-3, (len(prepared.action_names) + 1, 1))
    for other in others:
        cell, action = np.asarray(other.cell, int), np.asarray(other.action, int)
        good = (cell >= 0) & (action >= 0)
        np.add.at(table, (action[good], cell[good]), 1.0)
    return Prediction(_blur(table)[np.asarray(take.action, int)].astype(np.float32))


def _count(takes: list) -> Float[np.ndarray, " cells"]:
    counts = np.zeros(CELLS)
    for take in takes:
        cell = np.asarray(take.cell, int)
        np.add.at(counts, cell[cell >= 0], 1.0)
    return _blur(counts[None])[0].astype(np.float32)


def _blur(counts: np.ndarray) -> np.ndarray:
    """Counts of few takes are spiky: spread each over its neighbours (sigma one cell)."""
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(counts.reshape(-1, SIDE, SIDE), (0, 1, 1)).reshape(len(counts), CELLS)


def stage1_alone(prepared: Prepared, features: Features, take) -> Prediction:
    """Stage 1's heatmap as the answer: cosine of F^M_t and F^P_s (EAIL Table 5, "stage-1 retrieval")."""
    room = prepared.rooms[take.room]
    heat = np.array(features.takes[take.name][0], np.float32) @ np.array(features.rooms[take.room], np.float32).T
    return Prediction(np.where(np.asarray(room.empty), -2.0, heat))


def majority_action(prepared: Prepared, take) -> Prediction:
    """How often each action occurs in training, for every second alike."""
    counts = np.zeros(len(prepared.action_names), np.float32)
    for other in prepared.by_split("train"):
        action = np.asarray(other.action, int)
        np.add.at(counts, action[action >= 0], 1.0)
    return Prediction(action=np.tile(counts / max(1.0, counts.sum()), (len(take), 1)))
