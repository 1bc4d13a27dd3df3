"""References that are told some truth, and a method's constant place: known answers on hand-made takes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from eailkit.baselines import oracles, priors
from eailkit.eail.evaluation import score_take
from eailkit.eail.sequences import Prediction
from eailkit.metrics import METRICS
from eailkit.preprocess.mapgrid import MapGrid
from tests.test_evaluation import Data, Take, _data, _one_hot, _take


def room_of_takes(count: int, actions=None) -> Data:
    """Takes "a", "b", ... of one room: ten seconds of action 0 at cell 100, ten of each take's own at 100 + 40 k."""
    takes = []
    for k in range(count):
        own = 1 + k if actions is None else actions[k]
        takes.append(_take([100] * 10 + [100 + 40 * k] * 10, name="abcdefgh"[k], action=[0] * 10 + [own] * 10))
    data = _data(takes)
    data.action_names = tuple("0123456789")
    return data


def test_the_action_oracle_knows_where_others_did_the_same():
    data = room_of_takes(5, actions=[1, 1, 1, 1, 1])
    mine = data.takes[0]
    mine.action = np.repeat([0, 1, -1, 7], 5)  # the last: what no other take shows
    found = oracles.action_oracle(data, mine).confidence
    assert (found[:5].argmax(1) == 100).all()
    assert found[5:10].argmax(1)[0] in (140, 180, 220, 260) and found[5, 100] < found[5, 260] / 5
    assert (found[10:].argmax(1) == 100).all()  # without an action, where those takes were most
    assert np.allclose(found[10] / found[10].sum(), found[15] / found[15].sum())


def test_the_oracle_counts_as_many_takes_in_every_room():
    data = room_of_takes(7)
    names = lambda take, k=4: [t.name for t in oracles.other_takes(data, take, k)]  # noqa: E731
    assert names(data.takes[0]) == ["b", "c", "d", "e"] and names(data.takes[5]) == ["g", "a", "b", "c"]
    assert names(data.takes[2], 6) == ["d", "e", "f", "g", "a", "b"] and names(data.takes[2], 7) == []
    more, fewer = room_of_takes(7), room_of_takes(5)
    same = [oracles.action_oracle(d, d.takes[0]).confidence for d in (more, fewer)]
    assert np.array_equal(*same)
    data.takes[1].split = "pretrain"  # never counted
    assert names(data.takes[0]) == ["c", "d", "e", "f"]


def test_a_room_with_too_few_other_takes_has_no_oracle():
    data = room_of_takes(4)
    found = score_take(data, data.takes[0], oracles.action_oracle(data, data.takes[0]))
    assert all(np.isnan(found[m]) for m in METRICS) and np.isnan(oracles.starved_share(data, data.takes[0]))
    assert "4 takes" in oracles.TRUE_ACTION


def test_starved_seconds_are_those_whose_action_no_counted_take_shows():
    data = room_of_takes(6, actions=[1, 1, 2, 2, 2, 3])
    share = {t.name: oracles.starved_share(data, t) for t in data.takes}
    assert share == {"a": 0.0, "b": 50.0, "c": 0.0, "d": 0.0, "e": 0.0, "f": 50.0}
    assert oracles.starved_share(data, data.takes[0], takes=1) == 0.0
    assert oracles.starved_share(data, data.takes[1], takes=3) == 50.0  # "c", "d" and "e" never do it
    data.takes[5].cell[10:15] = -1  # seconds off the map aren't asked for
    assert oracles.starved_share(data, data.takes[5]) == pytest.approx(100 / 3)


def test_no_constant_place_beats_the_best_one():
    take = _take([100] * 6 + [300] * 3 + [-1] + [303] * 2)
    data = _data([take])
    best = score_take(data, take, oracles.best_constant_place(data, take))["SR@0.4m"]
    every = [score_take(data, take, Prediction(_one_hot([c] * len(take))))["SR@0.4m"] for c in range(400)]
    assert best == pytest.approx(max(every)) and best == pytest.approx(100 * 6 / 11)
    assert np.ptp(oracles.best_constant_place(data, take).confidence, axis=0).max() == 0


def walk(n: int, drift: float = 0.0, speed: float = 0.8) -> SimpleNamespace:
    """A straight walk; the gravity frame turns against the map by `drift` rad/s."""
    t, towards = np.arange(n) + 0.5, np.array([0.6, 0.8])
    take = Take(name="w", cell=np.zeros(n, int), position=[1.0, -2.0] + speed * t[:, None] * towards)
    take.displacement = np.tile(speed * towards, (n, 1))
    take.heading = (2.5 + drift * (t - 0.5) + np.pi) % (2 * np.pi) - np.pi  # wraps on the way
    return take


def test_true_velocities_give_the_path_back_where_the_heading_does_not_drift():
    take = walk(60)
    assert np.abs(oracles.true_velocities(take).position_m - take.position).max() < 1e-9
    t = np.arange(200)
    curve = lambda s: np.stack([2 * np.cos(0.4 * s), np.sin(0.8 * s)], axis=1)  # noqa: E731
    take = Take(name="c", cell=np.zeros(200, int), position=curve(t + 0.5), displacement=curve(t + 1) - curve(t))
    take.heading = np.full(200, 1.3)
    error = np.linalg.norm(oracles.true_velocities(take).position_m - take.position, axis=1)
    assert error.max() < 0.2  # corners are cut, nothing adds up
    assert error[150:].max() == pytest.approx(error[:50].max(), rel=0.2)


def test_a_drifting_heading_bends_a_straight_walk_into_a_circle():
    drift, speed, n = 0.02, 0.8, 300
    found = oracles.true_velocities(walk(n, drift, speed)).position_m
    start, towards = np.array([1.0, -2.0]) + 0.4 * np.array([0.6, 0.8]), np.array([0.6, 0.8])
    angle = drift * np.arange(n)
    left = np.array([-towards[1], towards[0]])
    circle = start + speed / drift * (np.sin(angle)[:, None] * towards - (1 - np.cos(angle))[:, None] * left)
    assert np.abs(found - circle).max() < 0.01  # clockwise, as the gravity frame turned counterclockwise


def test_gaps_and_an_unknown_start_are_gone_through_straight():
    take = walk(50)
    take.position[:4] = take.position[20:24] = np.nan
    take.displacement[:4] = take.displacement[20:24] = np.nan
    take.heading[20:24] = np.nan
    found = oracles.true_velocities(take).position_m
    assert np.isnan(found[:4]).all() and np.abs(found[4:] - walk(50).position[4:]).max() < 1e-9
    take.position[:] = np.nan
    assert np.isnan(oracles.true_velocities(take).position_m).all()


def at_the_wall(name: str, grid: MapGrid, split: str, seed: int) -> Take:
    """Someone who faces one of four walls, at a tenth of the room's side before it, in an unknown gravity frame."""
    rng = np.random.default_rng(seed)
    facing = rng.integers(4, size=40) * np.pi / 2 + rng.normal(0, 0.02, 40)
    along = np.stack([np.cos(facing), np.sin(facing)], axis=1)
    heading = rng.uniform(-np.pi, np.pi) + 0.01 * np.arange(40)
    take = Take(name=name, room=name, split=split, position=grid.centre_xy_m + 0.4 * grid.side_m * along)
    take.cell, take.facing, take.heading = grid.label(take.position), facing - heading, heading
    take.action = np.full(40, -1)
    return take


def rooms_with_walls(**sides: float) -> Data:
    grids = {name: MapGrid(np.array([3.0 * k, -7.0 * k]), side, 0.0) for k, (name, side) in enumerate(sides.items())}
    rooms = {name: SimpleNamespace(grid=grid, empty=np.zeros(400, bool)) for name, grid in grids.items()}
    takes = [
        at_the_wall(name, grid, "test" if name.startswith("new") else "train", k)
        for k, (name, grid) in enumerate(grids.items())
    ]
    return Data(rooms=rooms, takes=takes, action_names=())


def test_the_facing_prior_finds_the_wall_that_is_faced_in_a_room_of_another_size():
    data = rooms_with_walls(small=2.5, large=4.5, new=3.2)
    take = data.takes[-1]
    assert score_take(data, take, oracles.facing_prior(data, take))["SR@0.2m"] > 95
    take.heading = take.heading + np.pi  # the opposite wall, 0.8 of a side away
    away = np.linalg.norm(
        data.rooms["new"].grid.cell_centres[oracles.facing_prior(data, take).confidence.argmax(1)] - take.position,
        axis=1,
    )
    assert np.abs(away - 0.8 * 3.2).max() < 0.2


def test_the_facing_prior_knows_the_cells_that_hold_points_and_none_of_the_take_itself():
    data = rooms_with_walls(one=3.0, new=3.0)
    take, (training, _) = data.takes[1], data.takes
    data.rooms["new"].empty[:200] = True
    take.facing[3] = np.nan
    found = oracles.facing_prior(data, take).confidence
    assert (found[:, :200] == 0).all() and (found[:, 200:] > 0).all()
    assert np.ptp(found[3, 200:]) == 0 and np.ptp(found[4, 200:]) > 0
    assert oracles.facing_counts(data, without=training.name).sum() == 0
    assert oracles.facing_counts(data).sum() == pytest.approx(1.0, abs=1e-3)
    assert np.ptp(oracles.facing_prior(data, training).confidence) == 0  # it is all the training there is


def test_a_constant_place_is_the_mean_of_maps_that_count_alike():
    take = _take([100, 101, 102, 103])
    data = _data([take])
    rows = 0.1 * _one_hot([50, 50, 60, 70]) + 0.01 * _one_hot([60, 70, 50, 60])
    loud = rows * np.array([[1.0], [1.0], [1000.0], [1.0]])  # one second's scale says nothing
    found = priors.constant_place(data, take, Prediction(loud)).confidence
    assert np.ptp(found, axis=0).max() == 0 and found[0].argmax() == 50
    np.testing.assert_allclose(found[0, [50, 60, 70]], np.array([2.1, 1.2, 1.1]) / 4.4, rtol=1e-5)
    again = priors.constant_place(data, take, Prediction(loud[[2, 0, 3, 1]])).confidence
    np.testing.assert_allclose(again, found, rtol=1e-6)  # the order of seconds is lost
    with np.errstate(divide="ignore"):
        logs = np.log(loud) - 20.0
    np.testing.assert_allclose(priors.constant_place(data, take, Prediction(logs)).confidence, found, atol=1e-6)


def test_a_constant_place_decides_as_its_method_does():
    take = _take([100, 100])
    data = _data([take])
    rows = np.zeros((2, 400), np.float32)
    rows[:, 390], rows[:, [209, 210, 211]] = 0.4, 0.2  # the highest cell stands alone
    mapped = priors.constant_place(data, take, Prediction(rows))
    assert mapped.position_m is None and mapped.confidence[0].argmax() == 390
    decided = priors.constant_place(data, take, Prediction(rows, position_m=np.zeros((2, 2))))
    centres = data.rooms["k1"].grid.cell_centres
    assert np.linalg.norm(decided.position_m - centres[210], axis=1).max() < 0.4
    with pytest.raises(ValueError, match="no confidence"):
        priors.constant_place(data, take, Prediction(position_m=np.zeros((2, 2))))
    with pytest.raises(ValueError, match="NaN"):
        priors.constant_place(data, take, Prediction(np.full((2, 400), np.nan)))
