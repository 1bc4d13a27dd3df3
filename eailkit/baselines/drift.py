"""How the path of an IMU alone drifts: accelerations integrated twice, a path told a wrong heading or speed, circles.

What is measured here knows where somebody began and sums from there, with no map. The net that says how fast a head
moves is `eail.velocity`, its sum `baselines.ronin`; nothing here trains. Sentences stand beside the numbers they read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from eailkit.eail.decision import RADIUS_M
from eailkit.eail.features import turn_xy
from eailkit.eail.readings import listed
from eailkit.eail.velocity import VelocityNet, gravity_velocity
from eailkit.preprocess.imu import RATE_HZ

GRAVITY_MPS2 = 9.81
LIKE_A_SQUARE = 1.5  # an error that grows by a higher power of time grows as a tilt that stays does
POINTS = 5.0  # a circle's share that is off by fewer points is right


def integrated_twice(take, seconds: int | None = None) -> Float[np.ndarray, "n 2"]:
    """Accelerations integrated twice, from the true position, velocity and heading of the first second.

    p(t) = p_0 + v_0 t + R(h_0) int int a, a the two ground axes of the gravity frame. v_0 is the true mean velocity
    over the first second, which no user knows: what is left of the error is the accelerations' own.

    Args:
        take: `prepared.TakeCache`; its truth must be known in the first second.
        seconds: of the take; all by default.

    Returns:
        Positions at the middle of each second, m.
    """
    acc = np.asarray(take.windows[:seconds], float)[:, :2]
    velocity = np.cumsum(acc.transpose(0, 2, 1).reshape(-1, 2), axis=0) / RATE_HZ
    per_second = acc.shape[2]
    true_mps = turn_xy(np.asarray(take.displacement[0], float), -float(take.heading[0]))
    velocity += true_mps - velocity[:per_second].mean(axis=0)
    path = (np.cumsum(velocity, axis=0) / RATE_HZ)[per_second // 2 :: per_second]
    return np.asarray(take.position[0], float) + turn_xy(path - path[0], float(take.heading[0]))


def misled(
    path_m: Float[np.ndarray, "n 2"], *, turn_rad: float = 0.0, drift_rad_per_s: float = 0.0, speed: float = 1.0
) -> Float[np.ndarray, "n 2"]:
    """The path that the same steps make under a heading that is off, a heading that drifts and a speed that is off.

    Step k is turned by `turn_rad` + k `drift_rad_per_s` and made `speed` times as long; the first known position stays.

    Args:
        path_m: one position a second; NaN before it begins.
    """
    path_m = np.asarray(path_m, float)
    first = int(np.flatnonzero(np.isfinite(path_m).all(axis=1))[0])
    steps = speed * np.diff(path_m[first:], axis=0)
    turned = turn_xy(steps, turn_rad + drift_rad_per_s * np.arange(len(steps)))
    found = np.full_like(path_m, np.nan)
    found[first:] = path_m[first] + np.concatenate([np.zeros((1, 2)), np.cumsum(turned, axis=0)])
    return found


def velocity_misses(model: VelocityNet, take) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """How far a net's velocity is from the true one each second, m/s, NaN where unknown; and its own uncertainty."""
    said, std_mps = gravity_velocity(model, np.asarray(take.windows), np.asarray(take.facing))
    true = turn_xy(np.asarray(take.displacement, float), -np.asarray(take.heading, float))
    return np.linalg.norm(said - true, axis=1), std_mps


def circle_coverage(miss: Float[np.ndarray, " n"], std: Float[np.ndarray, " n"], mass: float) -> float:
    """Percent of the known errors that lie within the circles that a Gaussian gives the share `mass`.

    In two dimensions a Gaussian of standard deviation s an axis has r^2 / s^2 exponential with mean 2, so that its
    circle is r = s sqrt(-2 ln(1 - mass)). NaN where no error is known.
    """
    miss, std = np.asarray(miss, float), np.asarray(std, float)
    known = np.isfinite(miss)
    inside = miss[known] <= std[known] * np.sqrt(-2 * np.log1p(-mass))
    return 100 * float(inside.mean()) if known.any() else float("nan")


def integration_reading(error_m: Mapping[float, float]) -> str:
    """What the error of accelerations integrated twice says of the vertical: elapsed seconds -> metres.

    A vertical that is off by e all along leaks g sin(e), which makes g sin(e) t^2 / 2 of error.
    """
    seconds, error = np.array(list(error_m), float), np.array(list(error_m.values()), float)
    tilt = np.degrees(np.arcsin(np.clip(2 * error / (GRAVITY_MPS2 * seconds**2), 0, 1)))
    told = listed([f"{e:.1f} m after {s:.0f} s" for s, e in zip(seconds, error, strict=True)])
    text = f"{told}, as if the vertical were off by {listed([f'{d:.2f}' for d in tilt])} degrees all along."
    power = float(np.log(error[-1] / error[0]) / np.log(seconds[-1] / seconds[0]))
    how = f"From {seconds[0]:.0f} s to {seconds[-1]:.0f} s the error grows by the power {power:.1f} of time"
    if power > LIKE_A_SQUARE:
        return f"{text} {how}, much as under a tilt that stays."
    return f"{text} {how}; a tilt that stays would make it 2: here the vertical errs to and fro."


def circles_reading(held: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> str:
    """Whether circles hold as many errors as they say: name -> what each says and what it holds, percent.

    The last sentence of a line compares the smallest circle with the largest.
    """
    word = lambda said, holds: (  # noqa: E731
        "too sure of itself" if holds < said - POINTS else "too modest" if holds > said + POINTS else "right"
    )
    lines = []
    for name, (said, holds) in held.items():
        words = [word(s, h) for s, h in zip(said, holds, strict=True)]
        told = listed([f"{s:.0f} % holds {h:.0f} %: {w}" for s, h, w in zip(said, holds, words, strict=True)])
        if len(set(words)) == 1:
            so = "the net is as sure as it may be" if words[0] == "right" else f"the net is {words[0]}"
        elif words[0] == "too modest":
            so = "more small errors than a Gaussian has, and no fewer large ones"
        else:
            so = "the errors aren't spread as a Gaussian's"
        lines.append(f"{name}: the circle of {told}; {so}.")
    return "\n".join(lines)


def drift_reading(curves: Mapping[str, pd.DataFrame], net: str, heading: str) -> str:
    """How long dead reckoning is of use, and how much of its drift is the IMU's heading's.

    Errors that have nothing to do with each other add as squares: e_net^2 = e_velocity^2 + e_heading^2, the last
    measured with true velocities. Bins that not half of the takes reach are left out.

    Args:
        curves: name -> columns minute, error_m and takes (`evaluation.error_over_time`).
        net: line of the net's velocities; heading: of true velocities under the IMU's heading.
    """
    both = curves[net].merge(curves[heading], on="minute", suffixes=("", "_of_heading"))
    both = both[2 * both.takes >= both.takes.iloc[0]]
    last, far = both.iloc[-1], both[both.error_m > RADIUS_M]
    since = f"passes {RADIUS_M:g} m in minute {far.minute.iloc[0]:.1f}" if len(far) else f"stays within {RADIUS_M:g} m"
    text = (
        f"{net} {since} and is {last.error_m:.1f} m off in minute {last.minute:.1f}, a mean over {last.takes:.0f} "
        f"takes; {heading}: {last.error_m_of_heading:.1f} m."
    )
    share = 100 * (last.error_m_of_heading / last.error_m) ** 2
    if share >= 100:
        return f"{text} The heading alone explains all of it."
    whose = "the net's velocities are what to mend" if share < 50 else "the heading is what to mend"
    return f"{text} As squares, {share:.0f} % of the drift is the heading's and the rest the net's: {whose}."
