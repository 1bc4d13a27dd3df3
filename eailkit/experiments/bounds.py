"""How much is known of the place beforehand, room by room: what every method on a dataset is read against.

A second of head motion says at best which action goes on. How many bits of place are left then, how far an oracle of
the action comes, what a map or a habit alone is worth, and how like an unseen room is to one that was trained in. The
oracle is no bound: it counts the room's other takes, and an unseen room has few.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import ndimage

from eailkit.baselines import priors
from eailkit.eail.evaluation import score_take
from eailkit.eail.prepared import Prepared, RoomCache
from eailkit.eail.sequences import Prediction
from eailkit.preprocess.mapgrid import CELLS, SIDE

TOP_M = 2.0  # what hangs higher isn't where one works
TURNS = 24
BOUNDS = ("H(cell) (bits)", "H(cell | action) (bits)", "oracle of the action", "free space", "training occupancy",
            "nearest training room", "similarity to it")  # fmt: skip


def entropy_bits(counts: Float[np.ndarray, " k"]) -> float:
    """Entropy of a distribution known by counts, bits, with Miller and Madow's correction for few counts."""
    counts = np.asarray(counts, float)
    n, seen = counts.sum(), counts[counts > 0]
    if n == 0:
        return float("nan")
    p = seen / n
    return float(-(p * np.log2(p)).sum() + (len(seen) - 1) / (2 * n * np.log(2)))


def cell_entropies(takes: list) -> tuple[float, float]:
    """H(cell) and H(cell | action) of the labelled seconds of some takes of one room, bits."""
    cell = np.concatenate([np.asarray(t.cell, int) for t in takes])
    action = np.concatenate([np.asarray(t.action, int) for t in takes])
    good = (cell >= 0) & (action >= 0)
    cell, action = cell[good], action[good]
    count = lambda rows: np.bincount(cell[rows], minlength=CELLS)  # noqa: E731
    given = [(np.mean(action == a), entropy_bits(count(action == a))) for a in np.unique(action)]
    return entropy_bits(count(slice(None))), float(sum(share * bits for share, bits in given))


def height_map(room: RoomCache) -> Float[np.ndarray, "20 20"]:
    """Height of the highest point under TOP_M in each cell of the map's square, m; 0 where there is none."""
    grid, points = room.grid, np.asarray(room.cloud, float)
    at = np.floor((points[:, :2] - grid.origin_xy_m) / grid.pitch_m).astype(int)
    inside = ((at >= 0) & (at < SIDE)).all(axis=1) & (points[:, 2] < TOP_M) & (points[:, 2] > -0.1)
    heights = np.zeros((SIDE, SIDE))
    np.maximum.at(heights, (at[inside, 1], at[inside, 0]), points[inside, 2])
    return heights


def turned(image: Float[np.ndarray, "20 20"]) -> list[np.ndarray]:
    """The image at TURNS angles, as it is and mirrored."""
    return [
        ndimage.rotate(side, 360.0 * k / TURNS, reshape=False, order=1, mode="nearest")
        for side in (image, image[:, ::-1])
        for k in range(TURNS)
    ]


class RoomRetrieval:
    """Finds, for a room, the training room that looks most like it from above, whatever way round it lies."""

    def __init__(self, prepared: Prepared):
        self.prepared = prepared
        self.names, self.images, self.habits = [], [], []
        for name in sorted({t.room for t in prepared.by_split("train")}):
            habit = priors.room_occupancy(prepared, name).reshape(SIDE, SIDE)
            for image, habits in zip(turned(height_map(prepared.rooms[name])), turned(habit), strict=True):
                self.names.append(name)
                self.images.append(_normed(image))
                self.habits.append(np.maximum(habits, 0.0).ravel())
        self.stack = np.stack(self.images)

    def nearest(self, room: str) -> tuple[str, float, Float[np.ndarray, " cells"]]:
        """Name of the most similar other training room, the correlation of height maps, its habits as it lies then."""
        score = self.stack @ _normed(height_map(self.prepared.rooms[room]))
        score[np.array(self.names) == room] = -np.inf
        best = int(score.argmax())
        return self.names[best], float(score[best]), self.habits[best].astype(np.float32)


def _normed(image: np.ndarray) -> np.ndarray:
    flat = image.ravel() - image.mean()
    return flat / (np.linalg.norm(flat) + 1e-9)


def bounds(prepared: Prepared, splits: tuple[str, ...] = ("test-seen", "test-unseen")) -> pd.DataFrame:
    """One row a (split, room): BOUNDS, beside side_m, takes and the nearest room's name.

    Entropies are over all takes of the room; the other columns are success rates at 0.4 m in percent (macro over the
    split's takes in the room) and, last, a correlation. None of it is a method: the oracle knows the true action.
    """
    retrieval, rows = RoomRetrieval(prepared), []
    for split in splits:
        takes = prepared.by_split(split)
        for room in sorted({t.room for t in takes}):
            here = [t for t in takes if t.room == room]
            place, given = cell_entropies([t for t in prepared.takes if t.room == room and t.split != "scan"])
            name, similarity, habits = retrieval.nearest(room)
            success = lambda predict, here=here: float(  # noqa: E731
                np.nanmean([score_take(prepared, t, predict(t))["SR@0.4m"] for t in here])
            )
            values = (
                place, given, success(lambda t: priors.action_oracle(prepared, t)),
                success(lambda t: priors.free_space(prepared, t)), success(lambda t: priors.occupancy(prepared, t)),
                success(lambda t, h=habits: Prediction(np.tile(h, (len(t), 1)))), similarity,
            )  # fmt: skip
            about = {"split": split, "room": room, "side_m": prepared.rooms[room].grid.side_m, "takes": len(here)}
            rows.append(about | dict(zip(BOUNDS, values, strict=True)) | {"nearest": name})
    return pd.DataFrame(rows)
