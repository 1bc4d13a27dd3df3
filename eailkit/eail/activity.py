"""What a mean over a take hides: scores by what the wearer does, the heading's error and the region's coverage.

EAIL names idle seconds as unsolved (section 6): who stands and does nothing tells a motion sensor nothing of the
place. So seconds are split by the truth into walking, acting and idle ones. Nothing here reads a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from eailkit.eail.decision import RADIUS_M
from eailkit.eail.evaluation import position_error_m
from eailkit.eail.prepared import Prepared
from eailkit.eail.sequences import Prediction
from eailkit.eail.tracker import Posterior
from eailkit.eail.velocity import WALKING_MPS
from eailkit.metrics import THRESHOLDS_M, map_successes, successes

ACTIVITIES = ("walking", "acting", "idle")
FOUND_DEG = 30.0  # a heading that is off by less counts as found
REGION = 0.9  # share of the probability that a region holds


def activity_seconds(take) -> dict[str, Bool[np.ndarray, " n"]]:
    """Which seconds of a take are of which activity, by the truth.

    Walking is a true speed above 0.4 m/s (the mean over the second), acting a slower second with an action's label,
    idle one with neither. A second whose speed is unknown is of none.
    """
    speed_mps = np.linalg.norm(np.asarray(take.displacement, float), axis=1)
    known, walking = np.isfinite(speed_mps), np.nan_to_num(speed_mps) > WALKING_MPS
    labelled = np.asarray(take.action) >= 0
    return {"walking": walking, "acting": known & ~walking & labelled, "idle": known & ~walking & ~labelled}


def second_successes(prepared: Prepared, take, prediction: Prediction) -> Float[np.ndarray, " n"]:
    """Success of each second within 0.4 m, percent, as `metrics.successes` and `metrics.map_successes` count it.

    NaN where nothing is labelled; a second without a position is a miss.
    """
    rows = np.flatnonzero(np.asarray(take.cell) >= 0)
    truth, found = np.asarray(take.position, float)[rows], np.full(len(take), np.nan)
    if prediction.position_m is not None:
        place = np.asarray(prediction.position_m, float)[rows]
        each = successes(np.where(np.isnan(place), np.inf, place), truth)
    else:
        centres = prepared.rooms[take.room].grid.cell_centres
        each = map_successes(np.asarray(prediction.confidence)[rows], centres, truth)
    found[rows] = np.asarray(each)[:, THRESHOLDS_M.index(RADIUS_M)]
    return found


def by_activity(
    prepared: Prepared, takes: Iterable, predict: Callable[[object], Prediction], method: str = ""
) -> pd.DataFrame:
    """Success at 0.4 m and mean error of a method, activity by activity: macro means over the takes that show it.

    Returns:
        One row a (split, activity) of the labelled seconds: method, split, activity, success (percent), error_m,
        takes, seconds.
    """
    rows = []
    for take in takes:
        prediction = predict(take)
        success, error_m = second_successes(prepared, take, prediction), position_error_m(prepared, take, prediction)
        for activity, chosen in activity_seconds(take).items():
            chosen = chosen & np.isfinite(success)
            if chosen.any():
                away = error_m[chosen & np.isfinite(error_m)]
                rows.append({
                    "method": method, "split": take.split, "activity": activity,
                    "success": success[chosen].mean(), "error_m": away.mean() if len(away) else np.nan,
                    "seconds": int(chosen.sum()),
                })  # fmt: skip
    names = ["method", "split", "activity", "success", "error_m", "seconds"]
    each = pd.DataFrame(rows, columns=names).groupby(["method", "split", "activity"], sort=False)
    found = each.agg(
        success=("success", "mean"), error_m=("error_m", "mean"), takes=("seconds", "size"), seconds=("seconds", "sum")
    ).reset_index()  # fmt: skip
    return found.sort_values(
        ["split", "activity"], key=lambda c: c.map(ACTIVITIES.index) if c.name == "activity" else c, kind="stable"
    ).reset_index(drop=True)


def heading_errors(found: Posterior | Float[np.ndarray, "n headings"], take) -> Float[np.ndarray, " n"]:
    """How far the mean heading that a method believes in is from the true one, rad, 0 to pi; NaN where unknown.

    Args:
        found: a belief, or the probabilities of the angles 2 pi h / H a second.
    """
    weight = np.asarray(found.heading if isinstance(found, Posterior) else found, float)
    angle = 2 * np.pi * np.arange(weight.shape[1]) / weight.shape[1]
    mean = np.angle(weight @ np.exp(1j * angle))
    return np.abs(np.angle(np.exp(1j * (mean - np.asarray(take.heading, float)))))


def heading_over_time(
    takes: Sequence, found: Callable[[object], Posterior | Float[np.ndarray, "n headings"]], *, bin_s: float = 10.0
) -> pd.DataFrame:
    """The heading's error over elapsed time: columns minute, median_deg, within_30 (percent of takes), takes.

    Each take counts once in each bin, with its mean error there; it has found its heading where that is under 30
    degrees. A bin that not half of the takes reach is left out: those few are another group.
    """
    rows = []
    for take in takes:
        error = np.degrees(heading_errors(found(take), take))
        frame = pd.DataFrame({"bin": (np.arange(len(error)) // bin_s).astype(int), "deg": error}).dropna()
        rows.append(frame.groupby("bin").deg.mean().reset_index())
    grouped = pd.concat(rows).groupby("bin").deg
    curve = pd.DataFrame({
        "median_deg": grouped.median(), "within_30": grouped.apply(lambda d: 100 * (d < FOUND_DEG).mean()),
        "takes": grouped.size(),
    }).reset_index()  # fmt: skip
    curve["minute"] = (curve.bin + 0.5) * bin_s / 60
    return curve.loc[2 * curve.takes >= len(takes), ["minute", "median_deg", "within_30", "takes"]]


def held(take, found: Posterior, mass: float | None = None) -> Float[np.ndarray, " n"]:
    """Whether a second's region, or the circle that holds `mass`, holds the truth, 1 or 0; NaN where unknown."""
    at = found.decision()
    away = np.linalg.norm(np.asarray(take.position, float) - at, axis=1)
    return np.where(np.asarray(take.cell) >= 0, away <= found.radius(at, mass), np.nan)


def coverage(takes: Iterable, found: Callable[[object], Posterior], mass: float | None = None) -> float:
    """Percent of the labelled seconds whose true position lies in the region, a macro mean over takes; NaN of none."""
    each = [held(take, found(take), mass) for take in takes]
    means = [100 * float(np.nanmean(h)) for h in each if np.isfinite(h).any()]
    return float(np.mean(means)) if means else float("nan")
