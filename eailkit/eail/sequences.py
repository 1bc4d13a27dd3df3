"""Sequences of seconds: the batches that stage 2 and its baselines train on, and what any of them predicts.

A floor below stage 2, so that baselines and EAIL draw the same sequences and give the same kind of answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from eailkit.eail.prepared import Prepared
from eailkit.eail.stage1 import Features
from eailkit.errors import DatasetError
from eailkit.preprocess.mapgrid import CELLS, SIDE


@dataclass(frozen=True)
class Prediction:
    """What a method says of one take, a row a second.

    Attributes:
        confidence: over the room's cells, (n, 400), any monotone scale; None where a method gives positions alone.
        position_m: ground positions in the map's frame, (n, 2); None means the cell of highest confidence.
        action: class probabilities, (n, classes), or None.
    """

    confidence: Float[np.ndarray, "n cells"] | None = None
    position_m: Float[np.ndarray, "n 2"] | None = None
    action: Float[np.ndarray, "n classes"] | None = None


class SequenceBatches:
    """Draws sequences of T seconds of one split with their room's map; called with (rng, step).

    A sequence is turned by one of the cached headings as a whole, since the heading is unknown but stays the same
    for ten seconds; with stage 1's features, which hold no heading, there is one.

    Args:
        turn_map: turn the map's square by a random quarter turn, labels with it. The heading is unknown, so a turned
            room is as good a room; the paper doesn't say, and few rooms need it.
        shuffle_labels: give every sequence the labels of another one (a check: nothing may be learned).
    """

    def __init__(
        self, prepared: Prepared, features: Features, *, batch: int, time: int, split: str = "train",
        turn_map: bool = True, shuffle_labels: bool = False,
    ):  # fmt: skip
        self.features, self.batch, self.time = features, batch, time
        self.turn_map, self.shuffle_labels = turn_map, shuffle_labels
        self.takes = [t for t in prepared.by_split(split) if len(t) >= time]
        self.cell = [_labels(t.cell, prepared.rooms[t.room].empty) for t in self.takes]
        self.action = [np.asarray(t.action, np.int64) for t in self.takes]
        self.empty = {t.room: np.asarray(prepared.rooms[t.room].empty, bool) for t in self.takes}
        starts = [np.arange(len(t) - time + 1) for t in self.takes]
        labelled = [np.convolve(c >= 0, np.ones(time), "valid") > 0 for c in self.cell]
        self.index = np.array(
            [(i, s) for i, (where, ok) in enumerate(zip(starts, labelled, strict=True)) for s in where[ok]], np.int64
        ).reshape(-1, 2)
        if not len(self.index):
            raise DatasetError(
                f"dataset: found no labelled sequence of {time} s in split '{split}'; expected takes of at least "
                "that length whose trajectory lies inside the map's square."
            )

    def __len__(self) -> int:
        return len(self.index)

    def __call__(self, rng: np.random.Generator, step: int) -> dict:
        rows = self.index[rng.integers(len(self.index), size=self.batch)]
        labels = self.index[rng.integers(len(self.index), size=self.batch)] if self.shuffle_labels else rows
        imu, points, empty, cell, action = [], [], [], [], []
        for (i, s), (j, u) in zip(rows, labels, strict=True):
            take = self.takes[i]
            cached = self.features.takes[take.name]
            imu.append(cached[rng.integers(len(cached)), s : s + self.time])
            turned = quarter_turns(int(rng.integers(4)) if self.turn_map else 0)
            points.append(self.features.rooms[take.room][turned])
            empty.append(self.empty[take.room][turned])
            label = self.cell[j][u : u + self.time]
            cell.append(np.where(label >= 0, np.argsort(turned)[label], -1))
            action.append(self.action[j][u : u + self.time])
        cell = torch.from_numpy(np.stack(cell))
        empty = torch.from_numpy(np.stack(empty))
        # a shuffled label may name a cell that is empty in this room: no such target exists
        cell = torch.where(empty.gather(1, cell.clamp(min=0)), torch.full_like(cell, -1), cell)
        return {
            "imu": torch.from_numpy(np.stack(imu).astype(np.float32)),
            "points": torch.from_numpy(np.stack(points).astype(np.float32)),
            "empty": empty, "cell": cell, "action": torch.from_numpy(np.stack(action)),
        }  # fmt: skip


def quarter_turns(count: int) -> Int[np.ndarray, " cells"]:
    """For each cell of the map turned by `count` quarter turns, the cell that it was before (row y, column x)."""
    return np.rot90(np.arange(CELLS).reshape(SIDE, SIDE), count).ravel().copy()


def _labels(cell: np.ndarray, empty: np.ndarray) -> np.ndarray:
    cell = np.asarray(cell, np.int64)
    return np.where((cell >= 0) & ~np.asarray(empty)[np.maximum(cell, 0)], cell, -1)
