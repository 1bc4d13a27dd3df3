"""Paths of an IMU alone: exact answers for constant accelerations and Gaussian errors, and what is said of them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

from eailkit.baselines import drift
from eailkit.eail.features import turn_xy


def pushed_take(acc_mps2, velocity_mps, heading: float, seconds: int = 8) -> SimpleNamespace:
    """A head under a constant push in the gravity frame, and its true path by the school's formula."""
    acc, start = np.asarray(acc_mps2, float), np.asarray(velocity_mps, float)
    windows = np.zeros((seconds, 6, 400))
    windows[:, :2], windows[:, 2] = acc[:, None], 9.81
    at = lambda t: turn_xy(np.multiply.outer(t, start) + np.multiply.outer(t**2 / 2, acc), heading)  # noqa: E731
    ends = np.arange(seconds + 1.0)
    return SimpleNamespace(
        windows=windows, position=[3.0, -1.0] + at(ends[:-1] + 0.5), displacement=np.diff(at(ends), axis=0),
        heading=np.full(seconds, heading),
    )  # fmt: skip


def test_a_constant_push_integrated_twice_is_a_parabola_under_any_heading():
    take = pushed_take([0.3, -0.1], [0.5, 0.2], heading=2.0)
    assert drift.integrated_twice(take) == pytest.approx(take.position, abs=0.02)  # sums of 400 a second for integrals
    assert len(drift.integrated_twice(take, 3)) == 3
    take.windows[:, 0] += 9.81 * np.sin(np.radians(1.0))  # a degree of tilt
    off = np.linalg.norm(drift.integrated_twice(take) - take.position, axis=1)
    assert off[-1] == pytest.approx(9.81 * np.sin(np.radians(1.0)) * 7**2 / 2, rel=0.01)


def test_a_wrong_heading_turns_the_path_a_wrong_speed_stretches_it_and_a_drift_bends_it():
    path = np.concatenate(
        [np.full((2, 2), np.nan), [1.0, 2.0] + np.cumsum(np.random.default_rng(0).normal(size=(9, 2)), 0)]
    )
    assert drift.misled(path) == pytest.approx(path, nan_ok=True)
    both = drift.misled(path, turn_rad=0.4, speed=0.9)
    assert both == pytest.approx(path[2] + 0.9 * turn_xy(path - path[2], 0.4), nan_ok=True)
    straight = np.stack([np.arange(5.0), np.zeros(5)], axis=1)
    bent = drift.misled(straight, drift_rad_per_s=np.pi / 2)
    assert bent == pytest.approx(np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]), abs=1e-12)


def test_circles_hold_what_they_say_of_a_gaussian_and_unknown_errors_count_nowhere():
    rng = np.random.default_rng(0)
    std = rng.uniform(0.1, 2.0, 20_000)
    miss = np.linalg.norm(std[:, None] * rng.normal(size=(len(std), 2)), axis=1)
    for mass in (0.1, 0.5, 0.9):
        assert drift.circle_coverage(miss, std, mass) == pytest.approx(100 * mass, abs=1.5)
        radius = np.sqrt(chi2.ppf(mass, df=2))
        assert drift.circle_coverage([radius - 1e-6, radius + 1e-6, np.nan], [1, 1, 1], mass) == 50.0
    assert np.isnan(drift.circle_coverage([np.nan], [1.0], 0.5))


def test_the_tilt_that_explains_an_error_is_named_and_how_it_grows():
    tilt = 9.81 * np.sin(np.radians(0.5))
    stays = drift.integration_reading({s: tilt * s**2 / 2 for s in (5, 10, 30)})
    assert "off by 0.50, 0.50 and 0.50 degrees" in stays and "power 2.0 of time, much as" in stays
    assert "errs to and fro" in drift.integration_reading({5: 0.3, 60: 3.6})


def test_circles_are_right_too_sure_or_too_modest():
    said = [50, 90]
    read = lambda *holds: drift.circles_reading({"s": (said, holds)})  # noqa: E731
    assert (
        read(48, 91)
        == "s: the circle of 50 % holds 48 %: right and 90 % holds 91 %: right; the net is as sure as it may be."
    )
    assert read(30, 60).endswith("the net is too sure of itself.") and read(70, 99).endswith("the net is too modest.")
    assert "more small errors than a Gaussian has" in read(66, 92)
    assert read(48, 70).endswith("the errors aren't spread as a Gaussian's.")


def test_drift_is_the_heading_s_or_the_net_s_by_their_squares():
    minute, takes = [0.25, 0.75, 1.25], [10, 9, 3]
    net = pd.DataFrame({"minute": minute, "error_m": [0.2, 0.5, 9.0], "takes": takes})
    of = lambda error: {"net": net, "true": pd.DataFrame({"minute": minute, "error_m": error, "takes": takes})}  # noqa: E731
    text = drift.drift_reading(of([0.1, 0.1, 0.1]), "net", "true")
    assert text.startswith(
        "net passes 0.4 m in minute 0.8 and is 0.5 m off in minute 0.8, a mean over 9 takes; true: 0.1 m."
    )
    assert text.endswith(
        "4 % of the drift is the heading's and the rest the net's: the net's velocities are what to mend."
    )
    assert drift.drift_reading(of([0.1, 0.45, 0.1]), "net", "true").endswith("the heading is what to mend.")
    assert drift.drift_reading(of([0.1, 0.6, 0.1]), "net", "true").endswith("explains all of it.")
    near = of([0.1, 0.1, 0.1]) | {"net": net.assign(error_m=0.3)}
    assert "stays within 0.4 m" in drift.drift_reading(near, "net", "true")
