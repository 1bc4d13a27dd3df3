"""What guessing earns and costs, the filter's tilt, and when an interval may speak: against independent versions."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from eailkit.eail.evaluation import error_curve, expected_error_m, expected_success, tilt_error_deg, verdict
from eailkit.metrics import Interval
from eailkit.preprocess.mapgrid import MapGrid
from eailkit.recording import Trajectory

RNG = np.random.default_rng(1)
CENTRES = MapGrid(np.array([1.0, -2.0]), 4.0, 0.0).cell_centres


def test_guessing_agrees_with_drawing_cells():
    weights = RNG.random(400) * (RNG.random(400) < 0.3)
    truth = CENTRES.mean(0) + RNG.uniform(-1, 1, (5, 2))
    drawn = CENTRES[RNG.choice(400, 40_000, p=weights / weights.sum())]
    distance = np.linalg.norm(drawn[None] - truth[:, None], axis=2)
    assert expected_error_m(weights, CENTRES, truth) == pytest.approx(distance.mean(1), rel=0.02)
    assert expected_success(weights, CENTRES, truth, 0.4) == pytest.approx(100 * (distance < 0.4).mean(), abs=0.5)


def test_unknown_positions_earn_nothing_and_cost_nothing():
    truth = np.array([[1.0, -2.0], [np.nan, np.nan]])
    assert expected_success(np.ones(400), CENTRES, truth) == expected_success(np.ones(400), CENTRES, truth[:1])


def test_a_tilt_of_three_degrees_is_found_whatever_the_heading_and_the_mounting():
    t = np.linspace(0, 10, 200)
    head = Rotation.from_euler("zyx", np.column_stack([t, 0.3 * np.sin(t), 0.2 * np.cos(t)]))
    mounting = Rotation.from_euler("xyz", [0.4, -0.2, 1.0])
    truth = Trajectory(t, np.zeros((len(t), 3)), head.as_quat())
    wrong = Rotation.from_euler("y", 3, degrees=True) * Rotation.from_euler("z", 1.234) * head * mounting
    tilt = tilt_error_deg(truth, mounting.as_matrix(), np.append(t, 11.0), np.vstack([wrong.as_quat(), [0, 0, 0, 1]]))
    assert tilt[:-1] == pytest.approx(np.full(len(t), 3.0), abs=1e-5) and np.isnan(tilt[-1])


def test_an_interval_that_holds_zero_or_has_no_width_decides_nothing():
    assert verdict(Interval(5.0, 1.0, 9.0)) == "better"
    assert verdict(Interval(-5.0, -9.0, -1.0)) == "worse"
    assert verdict(Interval(2.0, -3.0, 7.0)) == "can't tell"
    assert verdict(Interval(0.1, -1.0, 1.2)) == "on par"
    assert verdict(Interval(8.0, 8.0, 8.0)) == "can't tell"


def test_the_error_curve_averages_its_bins_and_skips_what_is_unknown():
    error = np.array([1.0] * 10 + [3.0] * 5 + [np.nan] * 5 + [np.nan] * 10)
    curve = error_curve(error, bin_s=10)
    assert curve.error_m.tolist() == [1.0, 3.0]
    assert curve.minute.tolist() == pytest.approx([5 / 60, 15 / 60])
