"""Does the motion feature hold a direction? A linear probe from the frozen F^M to the velocity on the map.

A feature that Eq. 1 never rewarded for a direction holds none: a probe of such features read velocity's direction with
R^2 0.01. One that is told where the head faces should let a linear map read where its wearer goes. Trajectories are the
probe's labels; nothing here enters a model.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from eailkit.eail.features import Features
from eailkit.eail.prepared import Prepared
from eailkit.eail.velocity import WALKING_MPS
from eailkit.errors import DatasetError

PENALTY = 1e-3  # of standardised features, a share of the number of seconds; 1e-4 and 1e-2 give the same within 0.02


def heading_probe(
    prepared: Prepared,
    features: Features,
    *,
    known: bool = True,
    fit_on: tuple[str, ...] = ("train",),
    score_on: tuple[str, ...] = ("val-seen", "val-unseen"),
) -> dict[str, float]:
    """How well a ridge regression of F^M gives the velocity in the map's frame on takes that it wasn't fitted on.

    R^2 = 1 - sum |y - f|^2 / sum |y - mean y|^2 over both components. "direction" is the unit vector of the velocity;
    both it and "velocity" are fitted and scored on seconds of walking (0.4 m/s and faster), where a direction is one;
    "velocity, every second" on all.

    Args:
        known: whether the true heading enters the features; else they say what they hold without.

    Raises:
        DatasetError: fewer than ten walking seconds on either side.
    """
    fit_x, fit_y = _seconds(prepared, features, fit_on, known)
    x, y = _seconds(prepared, features, score_on, known)
    fit_walk, walk = (np.linalg.norm(v, axis=1) >= WALKING_MPS for v in (fit_y, y))
    if min(fit_walk.sum(), walk.sum()) < 10:
        raise DatasetError(
            f"probe: found {fit_walk.sum()} walking seconds to fit on and {walk.sum()} to score; expected ten and more."
        )
    unit = lambda v: v / np.linalg.norm(v, axis=1, keepdims=True)  # noqa: E731
    walking = ridge(fit_x[fit_walk], fit_y[fit_walk])
    direction = ridge(fit_x[fit_walk], unit(fit_y[fit_walk]))
    return {
        "R2 of velocity": r_squared(walking(x[walk]), y[walk]),
        "R2 of direction": r_squared(direction(x[walk]), unit(y[walk])),
        "R2 of velocity, every second": r_squared(ridge(fit_x, fit_y)(x), y),
        "walking seconds": float(walk.sum()),
    }


def _seconds(
    prepared: Prepared, features: Features, splits: tuple[str, ...], known: bool
) -> tuple[Float[np.ndarray, "n dim"], Float[np.ndarray, "n 2"]]:
    takes = [t for split in splits for t in prepared.by_split(split)]
    if not takes:
        raise DatasetError(f"probe: found no take of {' or '.join(splits)}; expected some.")
    x, y = [], []
    for take in takes:
        heading = np.asarray(take.heading, float) if known else np.full(len(take), np.nan)
        x.append(features.motion(take.name, heading))
        y.append(np.asarray(take.displacement, float))  # of one second: m/s
    x, y = np.concatenate(x).astype(float), np.concatenate(y)
    labelled = np.isfinite(y).all(1)
    return x[labelled], y[labelled]


def ridge(
    x: Float[np.ndarray, "n dim"], y: Float[np.ndarray, "n out"], *, penalty: float = PENALTY
) -> Callable[[Float[np.ndarray, "m dim"]], Float[np.ndarray, "m out"]]:
    """Ridge regression with an intercept that isn't penalised: W = (A'A + penalty n I)^-1 A'y, A standardised x."""
    mean, scale = x.mean(0), x.std(0) + 1e-12
    a = (x - mean) / scale
    offset = y.mean(0)
    weight = np.linalg.solve(a.T @ a + penalty * len(a) * np.eye(a.shape[1]), a.T @ (y - offset))
    return lambda new: (new - mean) / scale @ weight + offset


def r_squared(found: Float[np.ndarray, "n out"], true: Float[np.ndarray, "n out"]) -> float:
    """Share of the variance of all components together that a prediction explains; below 0 is worse than the mean."""
    return float(1 - np.square(true - found).sum() / np.square(true - true.mean(0)).sum())
