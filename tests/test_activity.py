"""Scores by activity, the heading's error over time and the coverage of regions, on numbers made by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from eailkit.eail import activity
from eailkit.eail.sequences import Prediction
from eailkit.eail.tracker import Posterior
from eailkit.preprocess.mapgrid import MapGrid

GRID = MapGrid(np.array([0.0, 0.0]), 4.0, 0.0)  # cells of 0.2 m


class Take(SimpleNamespace):
    """Labels of a take, in memory."""

    def __len__(self):
        return len(self.cell)


def make_take(speed_mps, action, split="test-seen", name="t", off_m=0.0, heading=0.0) -> Take:
    n = len(speed_mps)
    cell = np.full(n, 210)
    return Take(
        name=name, room="k", split=split, cell=cell, action=np.asarray(action), heading=np.full(n, heading),
        position=GRID.cell_centres[cell] + [off_m, 0.0],
        displacement=np.stack([speed_mps, np.zeros(n)], 1).astype(float),
    )  # fmt: skip


PREPARED = SimpleNamespace(rooms={"k": SimpleNamespace(grid=GRID)})


def test_seconds_are_walking_acting_or_idle_and_of_none_where_the_speed_is_unknown():
    take = make_take([0.5, -0.9, 0.1, 0.1, np.nan, np.nan], [3, -1, 3, -1, 3, -1])
    of = activity.activity_seconds(take)
    assert {name: np.flatnonzero(rows).tolist() for name, rows in of.items()} == {
        "walking": [0, 1], "acting": [2], "idle": [3]
    }  # fmt: skip
    assert not activity.activity_seconds(make_take([0.4], [-1]))["walking"].any(), "0.4 m/s isn't faster than that"


def test_success_and_error_by_activity_are_means_over_takes_not_seconds():
    short, long = make_take([1.0, 0.0], [0, 0], name="a"), make_take([1.0, 1.0, 1.0, 0.0], [0, 0, 0, -1], name="b")
    at = {"a": [0.3, 0.5], "b": [0.1, 0.6, 0.6, np.nan]}

    def predict(take):
        return Prediction(position_m=take.position + np.column_stack([at[take.name], 0 * np.array(at[take.name])]))

    found = activity.by_activity(PREPARED, [short, long], predict, "ours").set_index("activity")
    assert list(found.index) == ["walking", "acting", "idle"] and set(found.method) == {"ours"}
    assert found.success["walking"] == pytest.approx((100 + 100 / 3) / 2), "each take counts once"
    assert found.error_m["walking"] == pytest.approx((0.3 + 1.3 / 3) / 2)
    assert (found.success["acting"], found.seconds["acting"], found.takes["acting"]) == (0.0, 1, 1)
    assert found.success["idle"] == 0.0 and np.isnan(found.error_m["idle"]), "a second without a position is a miss"


def test_a_map_without_a_position_is_scored_by_its_highest_cell_and_unlabelled_seconds_by_nothing():
    take = make_take([0.0, 0.0, 0.0], [0, 0, 0])
    take.cell[2] = -1
    maps = np.zeros((3, 400), np.float32)
    maps[0, 210], maps[1, 0], maps[2, 210] = 1, 1, 1
    found = activity.second_successes(PREPARED, take, Prediction(maps))
    assert found[:2].tolist() == [100.0, 0.0] and np.isnan(found[2])


def one_hot(angle_deg, n=4, headings=36) -> np.ndarray:
    return np.repeat(np.eye(headings)[[round(angle_deg * headings / 360) % headings]], n, axis=0)


def test_headings_err_round_the_circle_and_the_mean_of_two_lies_between():
    take = make_take([0.0] * 4, [0] * 4, heading=np.radians(350))
    error = np.degrees(activity.heading_errors(one_hot(20), take))
    assert error == pytest.approx(np.full(4, 30.0))
    both = (one_hot(10) + one_hot(30)) / 2
    assert np.degrees(activity.heading_errors(both, take)) == pytest.approx(np.full(4, 30.0))
    take.heading[1] = np.nan
    assert np.isnan(activity.heading_errors(both, take)[1])


def test_the_curve_counts_each_take_once_and_ends_where_half_of_them_do():
    takes = [make_take([0.0] * n, [0] * n, name=str(n), heading=0.0) for n in (20, 20, 20, 40)]
    off = {"20": 10, "40": 90}
    curve = activity.heading_over_time(takes, lambda t: one_hot(off[t.name], len(t)), bin_s=10.0)
    assert curve.minute.tolist() == pytest.approx([5 / 60, 15 / 60]), "one of four goes on longer"
    assert curve.median_deg.tolist() == pytest.approx([10.0, 10.0]) and curve.within_30.tolist() == [75.0, 75.0]
    assert curve.takes.tolist() == [4, 4]


def test_a_region_holds_the_truth_as_often_as_it_does():
    place = np.zeros((4, 400))
    place[:, 210] = 1.0
    found = Posterior(place, np.ones((4, 36)) / 36, GRID.cell_centres, np.zeros(4))
    near, far = make_take([0.0] * 4, [0] * 4, off_m=0.05), make_take([0.0] * 4, [0] * 4, off_m=3.0)
    decided = np.linalg.norm(found.decision()[0] - GRID.cell_centres[210])
    near.position = found.decision() + 0.0
    near.cell[3] = -1
    held = activity.held(near, found)
    assert held[:3].tolist() == [1, 1, 1] and np.isnan(held[3]) and decided < 0.4
    assert activity.coverage([near, far], lambda t: found) == 50.0
    assert np.isnan(activity.coverage([], lambda t: found))
