"""The references of every localization table that train nothing of their own: chance, maps, habits.

Each is a function that gives a `Prediction` for a take, and none of them is told anything of the take's own truth:
`oracles` holds those that are. `ronin` and `niloc` are the learned ones.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter

from eailkit.eail.decision import most_mass
from eailkit.eail.features import Features
from eailkit.eail.prepared import Prepared
from eailkit.eail.sequences import Prediction, heading_angles
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
    return blurred(cell_counts(own if own or same_room_only else others)).astype(np.float32)


def cell_counts(takes: list) -> Float[np.ndarray, " cells"]:
    """Seconds of some takes by their cell, seconds without one left out."""
    counts = np.zeros(CELLS)
    for take in takes:
        cell = np.asarray(take.cell, int)
        np.add.at(counts, cell[cell >= 0], 1.0)
    return counts


def blurred(counts: Float[np.ndarray, "*maps cells"]) -> Float[np.ndarray, "*maps cells"]:
    """Counts of few takes are spiky: spread each over its neighbours (sigma one cell)."""
    maps = counts.reshape(-1, SIDE, SIDE)
    return gaussian_filter(maps, (0, 1, 1)).reshape(counts.shape)


def constant_place(prepared: Prepared, take, prediction: Prediction) -> Prediction:
    """A method's mean map over a take as the answer for each of its seconds: what finding the work area alone is worth.

    A method that tells one second from another beats its own constant place. Where it decides on positions beside its
    map the constant place does too: on the cell with most mass within 0.4 m.

    Args:
        prediction: with a confidence. Each second counts alike: a row that is nowhere negative is divided by its sum,
            any other is read as logarithms (`softmax`).

    Raises:
        ValueError: there is no confidence, or a value of it is NaN.
    """
    if prediction.confidence is None or np.isnan(prediction.confidence).any():
        found = "no confidence" if prediction.confidence is None else "NaN in its confidence"
        raise ValueError(f"constant_place: found {found} of {take.name}; expected a map a second.")
    rows = np.asarray(prediction.confidence, float)
    logs = (rows < 0).any(axis=1, keepdims=True)
    rows = np.where(logs, np.exp(rows - rows.max(axis=1, keepdims=True)), rows)
    mean = (rows / np.maximum(rows.sum(axis=1, keepdims=True), 1e-30)).mean(axis=0)
    place = None
    if prediction.position_m is not None:
        centres = prepared.rooms[take.room].grid.cell_centres
        place = np.repeat(most_mass(mean[None], centres), len(take), axis=0)
    return Prediction(np.tile(mean.astype(np.float32), (len(take), 1)), place)


def stage1_alone(prepared: Prepared, features: Features, take) -> Prediction:
    """Stage 1's heatmap as the answer: cosine of F^M_t and F^P_s (EAIL Table 5, "stage-1 retrieval").

    Where features hold a heading, which one second can't know, it is the mean over the heading hypotheses.
    """
    room = prepared.rooms[take.room]
    headings = np.zeros(1) if features.direction is None else heading_angles()
    motion = np.mean([features.motion(take.name, heading) for heading in headings], axis=0)
    heat = motion @ np.array(features.rooms[take.room], np.float32).T
    return Prediction(np.where(np.asarray(room.empty), -2.0, heat))


def majority_action(prepared: Prepared, take) -> Prediction:
    """How often each action occurs in training, for every second alike."""
    counts = np.zeros(len(prepared.action_names), np.float32)
    for other in prepared.by_split("train"):
        action = np.asarray(other.action, int)
        np.add.at(counts, action[action >= 0], 1.0)
    return Prediction(action=np.tile(counts / max(1.0, counts.sum()), (len(take), 1)))
