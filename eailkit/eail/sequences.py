"""Sequences of seconds: the batches that stage 2 and its baselines train on, and what any of them predicts.

A floor below stage 2, so that baselines and EAIL draw the same sequences and give the same kind of answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from eailkit.eail.features import QUARTERS, Features, RoomView, motion_features, quarter_turns
from eailkit.eail.prepared import Prepared
from eailkit.errors import DatasetError

HYPOTHESES = 12  # headings that a recording is looked at under, 30 degrees apart
JITTER_RAD = np.pi / HYPOTHESES  # how far the nearest of them can be from the truth


@dataclass(frozen=True)
class Prediction:
    """What a method says of one take, a row a second.

    Attributes:
        confidence: over the room's cells, (n, 400), any monotone scale; None where a method gives positions alone.
        position_m: ground positions in the map's frame, (n, 2); None means the cell of highest confidence.
        action: class probabilities, (n, classes), or None.
        heading: probabilities of the angles 2 pi h / H that take the gravity frame to the map's, (n, H), or None.
    """

    confidence: Float[np.ndarray, "n cells"] | None = None
    position_m: Float[np.ndarray, "n 2"] | None = None
    action: Float[np.ndarray, "n classes"] | None = None
    heading: Float[np.ndarray, "n headings"] | None = None


def heading_angles(count: int = HYPOTHESES) -> Float[np.ndarray, " headings"]:
    """The heading hypotheses, rad, the first being zero."""
    return np.arange(count) * 2 * np.pi / count


class SequenceBatches:
    """Draws sequences of T seconds of one split with their room's map; called with (rng, step).

    The room is seen at one of its views and quarter turns (`Features.views`), the facing turned with it: a turned room
    is as good a room; the paper doesn't say, and few rooms need it. The first heading of a sequence is the true one,
    off by as much as the nearest hypothesis can be at inference; the others are wrong by 30 degrees and more, so that
    a model can learn to tell them apart.

    Args:
        hypotheses: headings of each sequence; one, the true one, where features hold no heading.
        shuffle_labels: give every sequence the labels of another one (a check: nothing may be learned).
    """

    def __init__(
        self, prepared: Prepared, features: Features, *, batch: int, time: int, split: str = "train",
        hypotheses: int = 1, shuffle_labels: bool = False,
    ):  # fmt: skip
        self.features, self.batch, self.time, self.shuffle_labels = features, batch, time, shuffle_labels
        self.hypotheses = hypotheses if features.direction is not None else 1
        self.takes = [t for t in prepared.by_split(split) if len(t) >= time]
        self.views = {
            room: features.views.get(room) or [plain_view(prepared, features, room)]
            for room in {t.room for t in self.takes}
        }
        self.cell = [
            np.stack([[v.label(t.position, q) for q in range(QUARTERS)] for v in self.views[t.room]])
            for t in self.takes
        ]
        self.action = [np.asarray(t.action, np.int64) for t in self.takes]
        starts = [np.arange(len(t) - time + 1) for t in self.takes]
        labelled = [np.convolve(c[0, 0] >= 0, np.ones(time), "valid") > 0 for c in self.cell]
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
        imu, facing, points, empty, cell, action = [], [], [], [], [], []
        for (i, s), (j, u) in zip(rows, labels, strict=True):
            take, view, quarter = self.takes[i], int(rng.integers(len(self.cell[i]))), int(rng.integers(QUARTERS))
            seen = self.views[take.room][view]
            seconds, others = slice(s, s + self.time), slice(u, u + self.time)
            imu.append(self.features.takes[take.name][seconds])
            facing.append(self._facing(take, seconds, seen.angle + quarter * np.pi / 2, rng))
            points.append(seen.features[quarter])
            empty.append(seen.empty[quarter])
            cell.append(self.cell[j][view % len(self.cell[j]), quarter, others])
            action.append(self.action[j][others])
        cell = torch.from_numpy(np.stack(cell))
        empty = torch.from_numpy(np.stack(empty))
        # a shuffled label may name a cell that is empty in this room: no such target exists
        cell = torch.where(empty.gather(1, cell.clamp(min=0)), torch.full_like(cell, -1), cell)
        each = np.repeat(np.stack(imu)[:, None], self.hypotheses, axis=1)
        return {
            "imu": torch.from_numpy(motion_features(self.features.direction, each, np.stack(facing))),
            "points": torch.from_numpy(np.stack(points).astype(np.float32)),
            "empty": empty, "cell": cell, "action": torch.from_numpy(np.stack(action)),
        }  # fmt: skip

    def _facing(self, take, seconds: slice, turned: float, rng: np.random.Generator) -> np.ndarray:
        """Where the head faces on the turned map under each heading, (hypotheses, T); NaN where nothing is known."""
        if take.name not in self.features.facing:
            return np.full((self.hypotheses, self.time), np.nan)
        off = np.append(0.0, rng.uniform(2 * JITTER_RAD, 2 * np.pi - 2 * JITTER_RAD, self.hypotheses - 1))
        off += rng.uniform(-JITTER_RAD, JITTER_RAD)
        known = self.features.facing[take.name][seconds] + np.asarray(take.heading)[seconds] + turned
        return known + off[:, None]


def plain_view(prepared: Prepared, features: Features, room: str) -> RoomView:
    """A room's map as it lies, and its quarter turns by moving cells alone: for features that hold no heading."""
    empty = np.asarray(prepared.rooms[room].empty, bool)
    turns = [quarter_turns(k) for k in range(QUARTERS)]
    cells = np.asarray(features.rooms[room])
    grid = prepared.rooms[room].grid
    return RoomView(0.0, grid, np.stack([empty[t] for t in turns]), np.stack([cells[t] for t in turns]))
