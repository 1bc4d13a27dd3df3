"""References that are told something of a take's own truth: what a method could score that knew just that.

The true heading, the true velocities, the true action, or the one place where the wearer is most often: each name says
which, and the action's also from how many other takes its habits are counted. None is a method, and only the constant
place is a bound: no single place can do better. The others are as good as their counts and their sums.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter, map_coordinates

from eailkit.baselines.priors import blurred, cell_counts
from eailkit.eail.decision import RADIUS_M
from eailkit.eail.features import turn_xy
from eailkit.eail.prepared import Prepared
from eailkit.eail.sequences import Prediction
from eailkit.preprocess.mapgrid import CELLS, MapGrid

OTHER_TAKES = 4  # what the action is looked up in: an unseen room has five takes, and every room is to count as many
FACING_PRIOR = "facing prior (true heading)"
TRUE_VELOCITIES = "true velocities, the IMU's heading"
BEST_PLACE = "oracle: best constant place"
TRUE_ACTION = f"oracle: true action, from {OTHER_TAKES} takes"

REACH_CELLS = 15  # from the square's middle to its corners are 14.1
BINS_PER_CELL = 2
SPREAD_CELLS = 1.5  # standard deviation, chosen on validation takes, which hardly tell one cell from two


def facing_prior(prepared: Prepared, take, *, splits: tuple[str, ...] = ("train",)) -> Prediction:
    """p(cell | where the head faces on the map), counted on training takes of all rooms; it knows the true heading.

    A square is looked at so that the facing points along +x, its middle in the origin and its pitch the unit of
    length: who faces a wall stands near it, whichever wall it is and however large the room. Positions of the other
    takes are counted there (`facing_counts`) and read off for each second at the cells that hold points. A second
    whose facing is unknown knows only those cells.

    Args:
        splits: of the takes that are counted; `take` never is.
    """
    counts = facing_counts(prepared, splits=splits, without=take.name)
    room, facing = prepared.rooms[take.room], facing_on_map(take)
    at = _around_middle(np.broadcast_to(room.grid.cell_centres, (len(take), CELLS, 2)), facing[:, None], room.grid)
    known = np.isfinite(facing)
    bins = np.nan_to_num((at + REACH_CELLS) * BINS_PER_CELL - 0.5)
    found = map_coordinates(counts, np.moveaxis(bins, -1, 0), order=1, mode="nearest")
    found = np.where(known[:, None], np.maximum(found, 0.0) + 1e-9, 1.0)  # no cell is impossible, but for empty ones
    return Prediction(np.where(np.asarray(room.empty), 0.0, found).astype(np.float32))


def facing_counts(
    prepared: Prepared, *, splits: tuple[str, ...] = ("train",), without: str = ""
) -> Float[np.ndarray, "along across"]:
    """Where people stand in a square that is turned to their facing: shares of seconds, blurred by SPREAD_CELLS.

    Returns:
        (60, 60), half a cell each, from -REACH_CELLS to REACH_CELLS around the square's middle; the first axis runs
        along the facing, the second to its left.
    """
    n = 2 * REACH_CELLS * BINS_PER_CELL
    counts = np.zeros((n, n))
    for other in prepared.takes:
        if other.split not in splits or other.name == without:
            continue
        grid = prepared.rooms[other.room].grid
        at = _around_middle(np.asarray(other.position, float), facing_on_map(other), grid)
        at = at[np.isfinite(at).all(axis=1) & (np.asarray(other.cell) >= 0)]
        counts += np.histogram2d(*at.T, bins=n, range=[(-REACH_CELLS, REACH_CELLS)] * 2)[0]
    return gaussian_filter(counts / max(1.0, counts.sum()), SPREAD_CELLS * BINS_PER_CELL)


def facing_on_map(take) -> Float[np.ndarray, " n"]:
    """Where the head truly faces in the map's frame, rad; NaN where mounting or orientation are unknown."""
    return np.asarray(take.facing, float) + np.asarray(take.heading, float)


def _around_middle(xy_m: np.ndarray, facing: np.ndarray, grid: MapGrid) -> np.ndarray:
    """Positions from the square's middle, in cells, x along the facing and y to its left."""
    return turn_xy((xy_m - grid.centre_xy_m) / grid.pitch_m, -facing)


def true_velocities(take) -> Prediction:
    """Dead reckoning with a net that errs nowhere: true moves, turned by the heading that the IMU believes in.

    A second's true displacement in the gravity frame is what a perfect velocity net would say. It is turned to the
    map by the true heading of the first known second, and summed from the true position there, as
    `ronin.dead_reckoning` sums what a net says: all that is left of its error is the drift of the IMU's heading.
    Where the truth has a gap the wearer is taken to have gone straight through it.
    """
    position, heading = np.asarray(take.position, float), np.asarray(take.heading, float)
    known = np.flatnonzero(np.isfinite(position).all(axis=1) & np.isfinite(heading))
    path = np.full((len(take), 2), np.nan)
    if not len(known):
        return Prediction(position_m=path)
    first, seconds = known[0], np.arange(known[0], len(take))
    through = lambda values: np.interp(seconds, known, values[known])  # noqa: E731
    straight = np.stack([through(position[:, axis]) for axis in (0, 1)], axis=1)
    turn = np.unwrap(heading[known])
    drift = np.interp(seconds, known, turn) - turn[0]
    move = np.asarray(take.displacement, float)[first:]
    if len(seconds) > 1:
        move = np.where(np.isfinite(move), move, np.gradient(straight, axis=0))
    move = turn_xy(move, -drift)
    steps = np.cumsum((move[1:] + move[:-1]) / 2, axis=0)  # from the middle of a second to that of the next
    path[first:] = position[first] + np.concatenate([np.zeros((1, 2)), steps])
    return Prediction(position_m=path)


def best_constant_place(prepared: Prepared, take, *, radius_m: float = RADIUS_M) -> Prediction:
    """The one cell that is right most often in this very take, for all its seconds: no constant answer does better.

    The map holds each cell's success rate within the radius, so that its highest cell is that place.
    """
    truth = np.asarray(take.position, float)[np.asarray(take.cell) >= 0]
    centres = prepared.rooms[take.room].grid.cell_centres
    near = np.linalg.norm(centres[None] - truth[:, None], axis=2) < radius_m
    rate = near.mean(axis=0) if len(truth) else np.zeros(CELLS)
    return Prediction(np.tile(rate.astype(np.float32), (len(take), 1)))


def other_takes(prepared: Prepared, take, count: int = OTHER_TAKES) -> list:
    """The `count` takes of the room that follow this one by name, in a ring; none where the room has fewer others.

    As many in every room: what an oracle knows grows with the takes that it counts, so that a room with six would
    look easier than one with five.
    """
    here = sorted((t for t in prepared.takes if t.room == take.room and t.split != "pretrain"), key=lambda t: t.name)
    later = [t for t in here if t.name > take.name] + [t for t in here if t.name < take.name]
    return later[:count] if len(later) >= count else []


def action_oracle(prepared: Prepared, take, *, takes: int = OTHER_TAKES) -> Prediction:
    """p(cell | true action, room), counted from as many other takes of the room: knows what, not where.

    Seconds whose action none of them shows (`starved_share`), and those without an action, fall back on where these
    takes were at all. In a room with fewer others the oracle says nothing, and its scores are NaN.
    """
    others = other_takes(prepared, take, takes)
    if not others:
        return Prediction()
    table = np.tile(blurred(cell_counts(others)) * 1e-3, (len(prepared.action_names) + 1, 1))
    shown = np.zeros_like(table)
    for other in others:
        cell, action = np.asarray(other.cell, int), np.asarray(other.action, int)
        good = (cell >= 0) & (action >= 0)
        np.add.at(shown, (action[good], cell[good]), 1.0)
    return Prediction((table + blurred(shown))[np.asarray(take.action, int)].astype(np.float32))


def starved_share(prepared: Prepared, take, *, takes: int = OTHER_TAKES) -> float:
    """Share of a take's labelled seconds, percent, whose action none of the oracle's other takes shows.

    Returns:
        NaN where the room has fewer other takes, or no second has both a cell and an action.
    """
    others = other_takes(prepared, take, takes)
    own = _labelled_actions(take)
    if not others or not len(own):
        return float("nan")
    return float(100 * np.mean(~np.isin(own, np.concatenate([_labelled_actions(t) for t in others]))))


def _labelled_actions(take) -> np.ndarray:
    action = np.asarray(take.action, int)
    return action[(np.asarray(take.cell) >= 0) & (action >= 0)]
