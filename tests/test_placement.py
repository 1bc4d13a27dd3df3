"""The sensor at other places on the head: same rows, same people, known differences."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from eailkit.baselines.handcrafted import handcrafted_features
from eailkit.errors import DatasetError
from eailkit.experiments.placement import TURNED, carry_over, record_placement
from eailkit.experiments.places import PLACES, Place, windows_at
from eailkit.experiments.primus_run import PrimusRun
from eailkit.fewshot.protocol import Scores, Task, evaluate
from eailkit.fewshot.windows import ActivityWindows
from eailkit.primus.config import PrimusConfig
from eailkit.primus.model import Primus
from eailkit.results.ledger import read
from eailkit.results.names import HANDCRAFTED, TRAINED
from eailkit.synthkitchen.sensor import ARIA_LEFT


@pytest.fixture(scope="module")
def run(smoke_run: PrimusRun) -> PrimusRun:
    return smoke_run


@pytest.fixture(scope="module")
def windows(run: PrimusRun) -> ActivityWindows:
    return run.test_sets["other labels"].windows


def few(windows: ActivityWindows) -> ActivityWindows:
    """Windows of one person's takes."""
    return windows.subset(windows.participant == windows.participant[0])


def moved(turn: np.ndarray, lever=ARIA_LEFT.lever_arm_head_m) -> Place:
    """The left temple's sensor with its axes turned."""
    return Place(lever, ARIA_LEFT.R_head_sensor @ turn)


def quarter() -> np.ndarray:
    """A rotation of the sensor's axes about all three."""
    return np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def test_places_are_on_a_head_and_axes_are_rotations():
    for place in PLACES.values():
        np.testing.assert_allclose(place.R_head_sensor @ place.R_head_sensor.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(place.R_head_sensor) > 0.999
        assert np.abs(place.lever_arm_head_m).max() < 0.2
    left, right = (np.array(PLACES[p].lever_arm_head_m) for p in (TRAINED, "right temple"))
    assert left[1] - right[1] == pytest.approx(0.0972, abs=1e-3) and left[0] == right[0] and left[2] == right[2]


def test_the_same_place_gives_the_same_windows_and_the_plain_evaluation(run, windows):
    own = few(windows)
    here = windows_at(run.held_out, own, {"here": PLACES[TRAINED]})["here"]
    np.testing.assert_allclose(here.imu, own.imu, atol=2e-3)  # files keep float32 and whole nanoseconds
    assert np.array_equal(here.label, own.label) and np.array_equal(here.start_s, own.start_s)
    x = handcrafted_features(windows.imu)
    ours, plain = Scores.of(windows), Scores.of(windows)
    carry_over(Task.over(windows), {TRAINED: x, "here": x}, "h", ours, shots=(1, 2), seeds=2)
    evaluate(windows, x, "h", plain, shots=(1, 2), seeds=2)
    for n in (1, 2):
        for seed in range(2):
            expected = plain.confusion[("h", "random", n, seed)]
            assert all(np.array_equal(ours.confusion[("h", p, n, seed)], expected) for p in (TRAINED, "here"))


def test_a_turned_copy_changes_nothing_for_our_encoder_and_much_for_the_papers(run, windows):
    turned = np.concatenate([quarter().T @ windows.imu[:, :3], quarter().T @ windows.imu[:, 3:]], axis=1)
    simulated = windows_at(run.held_out, few(windows), {"turned": moved(quarter())})["turned"].imu
    same = turned[windows.participant == windows.participant[0]]
    np.testing.assert_allclose(simulated, same, atol=0.35)  # noise and bias are the sensor's, not the head's
    features, scores = {}, Scores.of(windows)
    for name in ("motion_gru", "stacked_rnn"):
        torch.manual_seed(0)
        model = Primus(PrimusConfig(encoder=name, terms=("ss",)), feature_dim=16)
        features[name] = {
            place: model.embed(imu.astype(np.float32), at="encoder")
            for place, imu in ((TRAINED, windows.imu), ("turned", turned))
        }
        carry_over(Task.over(windows), features[name], name, scores, shots=(2,), seeds=1)
    apart = {}
    for name, (here, there) in ((n, f.values()) for n, f in features.items()):
        apart[name] = np.linalg.norm(here - there, axis=1) / np.linalg.norm(here, axis=1)
    assert apart["motion_gru"].max() < 1e-3 and np.median(apart["stacked_rnn"]) > 0.1
    ours = [scores.values("motion_gru", place, 2)[0] for place in (TRAINED, "turned")]
    assert abs(ours[0] - ours[1]) < 0.5


def test_gravity_and_rate_are_the_same_everywhere(run, windows):
    some = windows.subset(windows.recording == windows.recording[0])
    found = windows_at(run.held_out, some, PLACES)
    rate = {n: np.linalg.norm(w.imu[:, 3:], axis=1) for n, w in found.items()}
    for name, w in found.items():
        assert np.abs(rate[name] - rate[TRAINED]).max() < 0.05  # a rigid head turns as one
        mean = np.linalg.norm(w.imu[:, :3].mean(2), axis=1)
        assert np.abs(mean - 9.81).max() < 1.0
        up = PLACES[name].R_head_sensor @ w.imu[:, :3].mean((0, 2))
        assert up[2] > 0.8 * np.linalg.norm(up)  # squats: the head is upright


def test_takes_that_nobody_can_simulate_again_are_refused(run, windows, tmp_path):
    with pytest.raises(DatasetError, match="motion"):
        windows_at(run.held_out, replace(windows, recording=np.full(len(windows), "else")), PLACES)


def test_the_table_of_the_ledger(run, tmp_path, monkeypatch):
    places = {"left again": PLACES[TRAINED], "forehead": PLACES["forehead"]}
    options = {"places": places, "encoders": ("paper",), "results_dir": tmp_path, "commit": "test"}
    table = record_placement(run, **options)
    assert table == Path(tmp_path) / "primus_placement_smoke.json"
    rows = read("primus_placement_smoke", results_dir=tmp_path)
    methods = {"PRIMUS", TURNED, "random weights", HANDCRAFTED}
    assert {r["config"]["method"] for r in rows} == methods and len(rows) == 3 * len(methods)
    for row in rows:
        assert ("against left temple, points of macro_f1" in row["mean"]) == (row["config"]["place"] != TRAINED)
        assert ("against PRIMUS, points of macro_f1" in row["mean"]) == (row["config"]["method"] == TURNED)
        if row["config"]["place"] == "left again":
            assert abs(row["mean"]["against left temple, points of macro_f1"]) < 1.0
    monkeypatch.setattr("eailkit.experiments.places.simulate_scenario", None)
    monkeypatch.setattr("eailkit.experiments.primus_run.pretrain", None)
    record_placement(run, **options)  # nothing is simulated or trained again
    assert [r["mean"] for r in read("primus_placement_smoke", results_dir=tmp_path)] == [r["mean"] for r in rows]
