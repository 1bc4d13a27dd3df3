"""How much is known of the place beforehand, room by room: what every method on a dataset is read against.

How many bits of place the action leaves, how far one comes who is told the action, the heading, the velocities or the
best single place, what a map or a habit alone is worth, and how like an unseen room is to one that was trained in.
Whatever is counted from takes is counted from as many in every room: entropies and oracles grow with the takes that
they know. Even so the oracle of the action is an estimate and no bound: it is blind to the walk between two actions,
and to the actions that its takes don't show (its starved share). The best constant place bounds what is constant.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import ndimage

from eailkit.baselines import oracles, priors
from eailkit.eail.evaluation import score_take
from eailkit.eail.prepared import Prepared, RoomCache
from eailkit.eail.sequences import Prediction
from eailkit.preprocess.mapgrid import CELLS, SIDE

TOP_M = 2.0  # what hangs higher isn't where one works
TURNS = 24
ENTROPY_TAKES = 5  # of a room, that entropies are estimated from: as many as an unseen room has
DRAWS = 20
STARVED = "starved seconds of that oracle (%)"
BOUNDS = (
    f"H(cell), from {ENTROPY_TAKES} takes (bits)", f"H(cell | action), from {ENTROPY_TAKES} takes (bits)",
    oracles.TRUE_ACTION, STARVED, oracles.BEST_PLACE, oracles.TRUE_VELOCITIES, oracles.FACING_PRIOR, "free space",
    "training occupancy", "nearest training room", "similarity to it",
)  # fmt: skip


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


def room_entropies(
    takes: list, *, count: int = ENTROPY_TAKES, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    """`cell_entropies` of a room at a fixed number of its takes, bits: means over seeded draws without replacement.

    More takes show more of a room, and Miller and Madow's correction doesn't make up for what none of them shows: one
    take a room and six would differ by most of a bit for that alone.

    Returns:
        NaN twice where the room has fewer takes.
    """
    if len(takes) < count:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    chosen = {tuple(sorted(rng.permutation(len(takes))[:count])) for _ in range(draws)}
    place, given = np.mean([cell_entropies([takes[i] for i in rows]) for rows in sorted(chosen)], axis=0)
    return float(place), float(given)


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

    Entropies are of the room's takes of any split, ENTROPY_TAKES at a time. The other columns are success rates at
    0.4 m in percent (macro over the split's takes in the room), the share of labelled seconds whose action the oracle
    finds in none of its takes, and, last, a correlation. A room with too few takes for a column has NaN there. None of
    it is a method: `oracles` says what each is told.
    """
    retrieval, rows = RoomRetrieval(prepared), []
    for split in splits:
        takes = prepared.by_split(split)
        for room in sorted({t.room for t in takes}):
            here = [t for t in takes if t.room == room]
            name, similarity, habits = retrieval.nearest(room)
            values = (
                *room_entropies([t for t in prepared.takes if t.room == room and t.split != "pretrain"]),
                _success(prepared, here, lambda t: oracles.action_oracle(prepared, t)),
                _mean([oracles.starved_share(prepared, t) for t in here]),
                _success(prepared, here, lambda t: oracles.best_constant_place(prepared, t)),
                _success(prepared, here, oracles.true_velocities),
                _success(prepared, here, lambda t: oracles.facing_prior(prepared, t)),
                _success(prepared, here, lambda t: priors.free_space(prepared, t)),
                _success(prepared, here, lambda t: priors.occupancy(prepared, t)),
                _success(prepared, here, lambda t, h=habits: Prediction(np.tile(h, (len(t), 1)))),
                similarity,
            )
            about = {"split": split, "room": room, "side_m": prepared.rooms[room].grid.side_m, "takes": len(here)}
            rows.append(about | dict(zip(BOUNDS, values, strict=True)) | {"nearest": name})
    return pd.DataFrame(rows)


def over_rooms(rooms: pd.DataFrame) -> tuple[dict[str, float], dict[str, float], list[dict]]:
    """Means and standard deviations of BOUNDS over rooms, and each room's own values, without what is unknown.

    Args:
        rooms: rows of `bounds`, of one split.
    """
    names = [name for name in BOUNDS if rooms[name].notna().any()]
    mean = {name: round(float(rooms[name].mean()), 3) for name in names}
    spread = {name: round(float(rooms[name].std()), 3) if rooms[name].count() > 1 else 0.0 for name in names}
    each = [{k: v for k, v in room.items() if not pd.isna(v)} for room in rooms.round(3).to_dict("records")]
    return mean, spread, each


def _success(prepared: Prepared, takes: list, predict: Callable[[object], Prediction]) -> float:
    return _mean([score_take(prepared, t, predict(t))["SR@0.4m"] for t in takes])


def _mean(values: list[float]) -> float:
    known = [v for v in values if np.isfinite(v)]
    return float(np.mean(known)) if known else float("nan")
