"""Scenarios beside the kitchens: physics, words, files, and a comparison with real heads where there are some."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage, signal

from benchmarks.head_statistics import statistics
from benchmarks.readme import RESULTS
from benchmarks.scenarios import BESIDE, EDGE_S, LEAST_S, stretches, together
from eailkit.datasets import EgoExo4D
from eailkit.errors import ConfigError, DatasetError
from eailkit.results.ledger import read
from eailkit.scenarios import HELD_OUT, PRETRAINING, simulate_scenario, synthesize_scenarios
from eailkit.scenarios.body import Segment
from eailkit.scenarios.dataset import scenario_jobs, take_frames
from eailkit.scenarios.footwork import bounce
from eailkit.scenarios.outing import RISE_M, STEPS
from eailkit.scenarios.scenes import build_scene, scene_of
from eailkit.scenarios.words import PHRASES
from eailkit.synthkitchen.person import draw_person
from eailkit.synthkitchen.posture import SEAT_M, SITTING_NECK
from eailkit.synthkitchen.sensor import specific_force

ALL = PRETRAINING + HELD_OUT
G = 9.81


@pytest.fixture(scope="module")
def takes():
    return {name: simulate_scenario(name, draw_person(40 + i), 2.0, 7 + i) for i, name in enumerate(ALL)}


def felt(take, hz: float = 200.0):
    """Times, specific force in world axes and positions of a take's true motion."""
    t = np.arange(0.0, take.motion.duration_s, 1.0 / hz)
    truth = take.motion.sample(t)
    return t, truth.acceleration_mps2 + [0.0, 0.0, G], truth.position_m


def during(take, t, *labels: str):
    return np.any([(t > s.start_s) & (t < s.end_s) for s in take.labels if s.label in labels], axis=0)


def test_the_two_sets_share_no_scenario():
    assert len(set(ALL)) == len(ALL) and len(PRETRAINING) == 6 and 6 <= len(HELD_OUT) <= 8


@pytest.mark.parametrize("name", ALL)
def test_a_head_obeys_physics(takes, name):
    """Mean specific force is gravity, up; acceleration has no jumps; the head stays between floor and reach."""
    take = takes[name]
    t, force, position = felt(take)
    assert np.abs(force.mean(axis=0) - [0.0, 0.0, G]).max() < 0.1
    assert np.abs(np.diff(force, axis=0)).max() < 16.0  # within 5 ms; a heel strike of a heavy walker is 13
    assert np.abs(force).max() < 8 * G
    level = position[:, 2].min() if name != "stairs" else 0.3
    assert level > 0.08
    assert np.abs(take.motion.knots[:, 4]).max() < np.deg2rad(84)  # away from where yaw and roll are one
    fine = take.motion.sample(t[:400] + 1e-4).position_m - take.motion.sample(t[:400]).position_m
    assert np.abs(fine).max() < 1e-3


def test_what_the_sensor_reports_is_the_true_force(takes):
    take = takes["dancing"]
    imu = take.recording.imu
    assert 790 < 1.0 / np.median(np.diff(imu.t_s)) < 810
    t = np.arange(len(imu.t_s)) / (len(imu.t_s) - 1) * take.motion.duration_s
    true, _, _ = specific_force(take.motion, t, np.zeros(3))
    told = imu.acc_mps2 @ np.asarray(imu.R_head_sensor)
    told_head = imu.acc_mps2 @ np.asarray(imu.R_head_sensor).T
    assert min(np.abs(told - true).mean(), np.abs(told_head - true).mean()) < 0.2


def test_a_bounce_falls_freely_while_no_foot_touches():
    """Force is g on average, near 0 in flight and g pi / (2 c) at mid-stance (but for damped harmonics)."""
    hz, contact = 2.5, 0.6
    t = np.arange(0.0, 4.0, 1e-3)
    z = bounce(2 * np.pi * hz * t, np.full(len(t), hz), contact)
    force = np.gradient(np.gradient(z, 1e-3), 1e-3)[400:3600] + G  # eight whole cycles
    assert abs(force.mean() - G) < 0.1
    assert -1.0 < force.min() < 1.0
    assert 0.85 < force.max() / (G * np.pi / (2 * contact)) < 1.05
    assert 0.04 < np.ptp(z) < 0.13


def test_runners_fly_and_walkers_do_not(takes):
    t, force, _ = felt(takes["running"])
    norm = np.linalg.norm(force, axis=1)
    run = norm[during(takes["running"], t, "running")]
    assert 0.08 < (run < 3.0).mean() < 0.45
    t, force, _ = felt(takes["walking about"])
    assert (np.linalg.norm(force, axis=1) < 3.0).mean() < 0.002
    take = takes["running"]
    seconds = np.flatnonzero(during(take, t[: len(norm)], "running"))
    vertical = force[seconds, 2] if len(force) == len(norm) else felt(take)[1][seconds, 2]
    f, p = signal.welch(vertical, 200.0, nperseg=1000)
    assert 2.1 < f[(f > 0.8) & (f < 4)][p[(f > 0.8) & (f < 4)].argmax()] < 3.1


def test_jumps_have_their_flights(takes):
    t, force, _ = felt(takes["jumping"])
    flying = np.linalg.norm(force, axis=1) < 2.5
    runs = [
        len(r) / 200.0
        for r in np.split(np.flatnonzero(flying), np.flatnonzero(np.diff(np.flatnonzero(flying)) > 1) + 1)
    ]
    assert sum(r > 0.1 for r in runs) > 15 and max(runs) < 0.75


def test_stairs_gain_and_lose_what_their_steps_rise(takes):
    take = takes["stairs"]
    climbs = [s for s in take.labels if s.label == "climbing stairs"]
    falls = [s for s in take.labels if s.label == "descending stairs"]
    assert len(climbs) > 2 and len(falls) > 2
    height = lambda s: np.ptp(take.motion.sample(np.linspace(s.start_s, s.end_s, 50)).position_m[:, 2])  # noqa: E731
    for s in climbs + falls:
        assert abs(height(s) - STEPS * RISE_M) < 0.15
    pitch = lambda s: take.motion.coordinates(np.linspace(s.start_s + 1, s.end_s - 1, 200))[0][:, 4].mean()  # noqa: E731
    assert np.mean([pitch(s) for s in falls]) > np.mean([pitch(s) for s in climbs]) + 0.08


def test_heads_are_where_bodies_have_them(takes):
    person = draw_person(40 + ALL.index("desk work"))
    height = np.median(felt(takes["desk work"])[2][:, 2])
    assert abs(height - (SEAT_M + SITTING_NECK * person.height_m + 0.04)) < 0.12
    take = takes["lying down"]
    t, _, position = felt(take)
    assert np.median(position[during(take, t, "lying still"), 2]) < 0.45
    person = draw_person(40 + ALL.index("squats"))
    take = takes["squats"]
    t, _, position = felt(take)
    z = position[during(take, t, "squats", "half squats"), 2] / person.height_m
    assert 0.5 < z.min() < 0.83 and 0.88 < z.max() < 1.0


@pytest.mark.parametrize("name", ALL)
def test_words_lie_inside_the_take_and_name_what_happens(takes, name):
    take = takes[name]
    begin, end = take.device_time(take.lead_s), take.device_time(take.lead_s + take.duration_s)
    said, did = take.recording.narrations, take.recording.actions
    assert all(begin - 1e-6 <= n.t_s <= end + 1e-6 for n in said)
    assert all(begin - 1e-6 <= a.start_s < a.end_s <= end + 1e-6 for a in did)
    assert 25 < len(said) < 130 and 1.0 < np.median(np.diff([n.t_s for n in said])) < 3.0
    assert {a.label for a in did} <= set(PHRASES)
    assert all(a.end_s <= b.start_s + 1e-9 for a, b in zip(did, did[1:], strict=False))
    assert len({s.label for s in take.labels}) >= 3
    assert take.labels[-1].end_s == pytest.approx(take.motion.duration_s, abs=0.02)


def test_the_same_arguments_give_the_same_take():
    first, again, other = (simulate_scenario("stairs", draw_person(3), 0.5, seed) for seed in (5, 5, 6))
    assert np.array_equal(first.recording.imu.acc_mps2, again.recording.imu.acc_mps2)
    assert first.recording.narrations == again.recording.narrations
    assert not np.array_equal(first.recording.imu.acc_mps2[:1000], other.recording.imu.acc_mps2[:1000])


def test_frames_show_the_scenarios_apart(takes):
    means = {}
    for name in PRETRAINING:
        frames = take_frames(simulate_scenario(name, draw_person(1), 0.5, 2), build_scene(scene_of(name), 3), size=32)
        assert frames.shape == (30, 32, 32, 3) and frames.std() > 15 and frames.std(axis=0).mean() > 0.5
        means[name] = frames.reshape(len(frames), -1).mean(axis=0)
    pairs = [(a, b) for a in means for b in means if a < b]
    assert min(np.abs(means[a] - means[b]).mean() for a, b in pairs) > 8.0


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("scenarios") / "set"
    names = ("running", "desk work")
    return synthesize_scenarios(out, scenarios=names, participants=3, minutes=0.6, seed=4, workers=1, progress=False)


def test_the_reader_of_ego_exo4d_reads_them(root):
    data = EgoExo4D(root)
    assert {t.task for t in data.takes} == {"running", "desk work"} and len(data.takes) == 6
    for take in data.takes:
        recording = data.recording(take.name, with_map=False)
        assert len(recording.imu.t_s) > 20_000 and recording.narrations and recording.actions
        assert recording.participant == take.participant
        assert (len(recording.frame_times_s) > 25) == (take.split != "test")
        assert recording.trajectory is not None and data.start_s(take.name) > recording.imu.t_s[0]
        assert abs(np.linalg.norm(recording.imu.acc_mps2.mean(axis=0)) - G) < 1.0
    entries = json.loads((root / "takes.json").read_text())
    assert {e["parent_task_name"] for e in entries} == {"running", "desk work"}


def test_nobody_is_in_two_splits(root):
    for jobs in (
        [(t.participant, t.split) for t in EgoExo4D(root).takes],
        [(j.participant, j.split) for j in scenario_jobs(PRETRAINING, 12, 3.0, 0, frames=True, test_share=1 / 3)],
    ):
        splits: dict[str, set] = {}
        for person, split in jobs:
            splits.setdefault(person, set()).add(split)
        assert all(len(s) == 1 for s in splits.values())
        assert {next(iter(s)) for s in splits.values()} == {"train", "val", "test"}


def test_an_interrupted_set_is_finished_and_gives_the_same(root, tmp_path):
    args = {
        "scenarios": ("balancing",),
        "participants": 2,
        "minutes": 0.6,
        "workers": 1,
        "progress": False,
        "frames": False,
    }
    out = synthesize_scenarios(tmp_path / "a", **args)
    imu = out / "takes" / "balancing_p000" / "imu-left.parquet"
    before, made = imu.read_bytes(), imu.stat().st_mtime_ns
    for path in (out / "takes" / "balancing_p001").rglob("*"):
        path.unlink() if path.is_file() else None
    synthesize_scenarios(out, **args)
    assert imu.stat().st_mtime_ns == made and imu.read_bytes() == before
    assert (out / "takes" / "balancing_p001" / "imu-left.parquet").stat().st_size > 1000
    with pytest.raises(DatasetError, match="other settings"):
        synthesize_scenarios(out, **{**args, "minutes": 0.7})


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"scenarios": ("swimming",)}, "swimming"),
        ({"scenarios": ()}, "none"),
        ({"participants": 0}, "found 0; expected 1 or more people"),
        ({"minutes": 0.0}, "minutes"),
        ({"test_share": 1.0}, "test_share"),
        ({"workers": 0}, "workers"),
        ({"seed": -1}, "seed"),
    ],
)
def test_wrong_input_gets_one_sentence(tmp_path, wrong, says):
    with pytest.raises(ConfigError, match=says) as caught:
        synthesize_scenarios(tmp_path / "none", **{"participants": 1, "minutes": 1.0, "progress": False, **wrong})
    assert "\n" not in str(caught.value) and not (tmp_path / "none").exists()


def test_a_folder_of_others_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(DatasetError, match="expected an empty folder"):
        synthesize_scenarios(tmp_path, participants=1, minutes=1.0, progress=False)
    with pytest.raises(ConfigError, match="expected one of walking about"):
        simulate_scenario("swimming", draw_person(0), 1.0, 0)


def test_stretches_are_unbroken_and_long_enough():
    told = [(0, 6, "walking"), (6, 12, "walking"), (12, 14, "turning"), (14, 20, "walking"), (30, 41, "walking")]
    segments = tuple(Segment(float(a), float(b), label) for a, b, label in told)
    found = stretches(segments, ("walking",))
    assert found == [pytest.approx((EDGE_S, 12 - EDGE_S)), pytest.approx((30 + EDGE_S, 41 - EDGE_S))]
    assert all(b - a >= LEAST_S for a, b in found)


def test_statistics_of_two_stretches_are_those_of_both_in_one():
    rng = np.random.default_rng(0)
    gravity = np.array([0.0, 0.0, 9.81])
    parts = [
        (gravity + size * rng.normal(size=(n, 3)), size * rng.normal(size=(n, 3))) for n, size in ((2000, 1), (6000, 2))
    ]
    found = [statistics(acc, gyro, 100.0) for acc, gyro in parts]
    both = together(found, [len(acc) for acc, _ in parts])
    whole = statistics(*(np.concatenate(values) for values in zip(*parts, strict=True)), 100.0)
    for name in ("acc_std_vertical", "gyro_norm_rms", "gyro_std_about_vertical", "bp_acc_norm:8-16Hz"):
        assert both[name] == pytest.approx(whole[name], rel=0.06), name


def test_the_comparison_names_what_there_is():
    assert {label for name, labels in BESIDE.values() for label in labels} <= set(PHRASES)
    assert {name for name, _ in BESIDE.values()} <= set(PRETRAINING)
    rows = {row["id"]: row for row in read("scenarios", results_dir=RESULTS)}
    assert set(rows) == {"all", *BESIDE}
    for activity in BESIDE:
        config = rows[activity]["config"]
        inside = 1.0 - len(config["outside"]) / len(config["statistics"])
        assert rows[activity]["mean"]["inside (%)"] == pytest.approx(100.0 * inside, abs=0.01)


@pytest.mark.parametrize("activity", BESIDE)
def test_heads_move_as_much_as_real_ones(real_data, activity):
    """Median over six people within a factor of two of the real p10..p90."""
    name, labels = BESIDE[activity]
    real = json.loads((real_data / "realism_stats.json").read_text())["classyglass_100Hz_right_temple"]["activities"]
    ours = [_statistics(name, labels, 60 + k) for k in range(6)]
    for key in next(s for s in ours if s):
        median = np.median([s[key] for s in ours if s])
        low, high = real[activity][key]["p10"] / 2, real[activity][key]["p90"] * 2
        assert low <= median <= high, f"{key}: {median:.3f} outside {low:.3f}..{high:.3f}"


def _statistics(name: str, labels: tuple[str, ...], seed: int) -> dict[str, float]:
    """Root mean squares over the segments of given labels, at 100 Hz; {} where a take has none."""
    take = simulate_scenario(name, draw_person(seed), 3.0, seed)
    t = np.arange(0.0, take.motion.duration_s, 0.01)
    force, omega, _ = specific_force(take.motion, t, np.zeros(3))
    found, weight = [], []
    for s in take.labels:
        part = slice(int(s.start_s * 100) + 20, int(s.end_s * 100) - 20)
        if s.label not in labels or part.stop - part.start < 250:
            continue
        acc, gyro = force[part], omega[part]
        down = ndimage.uniform_filter1d(acc, 301, axis=0, mode="nearest")
        down /= np.linalg.norm(down, axis=1)[:, None]
        vertical = (acc * down).sum(axis=1)
        across = acc - vertical[:, None] * down
        f, p = signal.welch(vertical - vertical.mean(), 100.0, nperseg=min(1000, len(vertical)))
        band = (f > 0.8) & (f < 4.0)
        weight.append(len(acc))
        found.append([np.linalg.norm(acc, axis=1).std(), vertical.std(), np.sqrt((across**2).sum(axis=1).mean() / 2),
                      np.sqrt((gyro**2).sum(axis=1).mean()), f[band][p[band].argmax()]])  # fmt: skip
    names = (
        "acc_norm_std",
        "acc_std_vertical",
        "acc_rms_horizontal_per_axis",
        "gyro_norm_rms",
        "vertical_acc_peak_hz_0.8_4",
    )
    if not found:
        return {}
    return dict(zip(names, np.sqrt(np.average(np.square(found), axis=0, weights=weight)), strict=True))
