"""Live use: equal to the batch filter, whatever the blocks; gaps, bursts, NaN, clocks set back are said and survived.

A recording that ships, networks with random weights: what is tested is that the stream goes the way of the batch.
"""

from __future__ import annotations

import re
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eailkit import localize
from eailkit.datasets import open_recording
from eailkit.eail.causal import causal_maps, hypothesis_weights
from eailkit.eail.features import Features, embed_imu
from eailkit.eail.inference import stage2_config
from eailkit.eail.sequences import heading_angles
from eailkit.eail.stage1 import Stage1, Stage1Config
from eailkit.eail.stage2 import SpatioTemporalReasoner, Stage2Config
from eailkit.eail.tracker import Observations, Tracker, TrackerConfig
from eailkit.eail.velocity import VelocityNet, gravity_velocity
from eailkit.errors import RecordingError
from eailkit.files import DATA_SAMPLES
from eailkit.live import Localizer, Room, Second
from eailkit.live.belief import Belief
from eailkit.live.seconds import Interruption, MotionSecond, SecondStream
from eailkit.preprocess.imu import facing, orientation, resample, rotate, second_windows
from eailkit.preprocess.mapgrid import MapGrid
from eailkit.profiles import QUICK
from eailkit.recording import ImuStream, Recording

ACTIONS = ("stir", "wash", "walk")
LENGTH_S = 34.0


def shipped_take() -> Path:
    takes = sorted((DATA_SAMPLES / "kitchens" / "takes").iterdir())
    return [path for path in takes if not path.name.endswith("_scan")][-1]


@pytest.fixture(scope="module")
def recording() -> Recording:
    return open_recording(shipped_take())


@pytest.fixture(scope="module")
def imu(recording) -> ImuStream:
    """Its left IMU, 797 Hz, from a moment at which the wearer is on the move."""
    start_s = recording.imu.t_s[0] + 20.0
    return recording.imu.crop(start_s, start_s + LENGTH_S + 0.02)  # no count shall hang on the last sample's time


@pytest.fixture(scope="module")
def parts(recording) -> tuple:
    """Networks that tell places, headings and seconds apart, and the room."""
    torch.manual_seed(0)
    stage1 = Stage1(Stage1Config(imu_width=8, points_variant="quick", embed_dim=16)).eval()
    stage2 = SpatioTemporalReasoner(Stage2Config(embed_dim=16, channels=8, actions=len(ACTIONS), blocks="light")).eval()
    torch.nn.init.normal_(stage2.location[-1].weight, std=2.0)
    torch.nn.init.normal_(stage1.imu.projection.weight)
    velocity = VelocityNet(8).eval()
    torch.nn.init.normal_(velocity.trunk.projection.weight, std=0.1)
    return stage1, stage2, velocity, Room.encode(recording.map, stage1, points_per_cell=64)


def localizer(parts, imu: ImuStream, **options) -> Localizer:
    return Localizer(*parts, action_names=ACTIONS, R_head_sensor=imu.R_head_sensor, **options)


def run(live: Localizer, imu: ImuStream, block: int = 400) -> list[Second]:
    """Everything that a recording gives, fed in blocks."""
    found = []
    for k in range(0, len(imu), block):
        found += live.push(imu.t_s[k : k + block], imu.acc_mps2[k : k + block], imu.gyro_radps[k : k + block])
    return found + live.finish()


def usable(found: list[Second]) -> bool:
    """Beliefs are probabilities, and every number is one."""
    numbers = [(*s.position_m, s.radius_90_m, s.probability, s.heading_rad, s.heading_certainty) for s in found]
    sums = np.array([s.place.sum() for s in found])
    return bool(np.isfinite(numbers).all() and np.abs(sums - 1).max() < 1e-4)


def changed(imu: ImuStream, **columns) -> ImuStream:
    fields = {"t_s": imu.t_s, "acc_mps2": imu.acc_mps2, "gyro_radps": imu.gyro_radps} | columns
    return ImuStream(**fields, frame=imu.frame, R_head_sensor=imu.R_head_sensor)


def without(imu: ImuStream, start_s: float, end_s: float) -> ImuStream:
    """The stream without the samples between two of its seconds."""
    at = imu.t_s - imu.t_s[0]
    kept = (at < start_s) | (at >= end_s)
    return changed(imu, t_s=imu.t_s[kept], acc_mps2=imu.acc_mps2[kept], gyro_radps=imu.gyro_radps[kept])


def test_live_equals_the_batch_filter(recording, imu):
    shipped = localize.Localizer.load()
    stage1, stage2, velocity, names = shipped.stage1, shipped.stage2, shipped.velocity, shipped.action_names
    room = Room.encode(recording.map, stage1, points_per_cell=int(shipped.settings["points_per_cell"]))
    even, quat = orientation(imu, causal=True)
    windows, middle_s = second_windows(resample(rotate(even, quat, "gravity")))
    faces = facing(even, quat, middle_s)
    features = Features({"take": embed_imu(stage1, windows, faces)}, {}, {"take": faces}, direction=stage1.motion)
    maps = causal_maps(
        stage2, stage1.motion, features.takes["take"], faces, room.features, room.empty, headings=heading_angles()
    )
    seen = Observations(maps.joint, *gravity_velocity(velocity, windows, faces))
    config = TrackerConfig(headings=24, map_power=0.5, habit_power=0.2, velocity_scale=1.5)
    posterior = Tracker(room.grid, room.free, room.empty, config).filter(seen)

    live = Localizer(stage1, stage2, velocity, room, config, names, R_head_sensor=imu.R_head_sensor)
    found = run(live, imu)

    assert len(found) == len(windows) == int(LENGTH_S)
    np.testing.assert_allclose([s.time_s for s in found], middle_s - imu.t_s[0], atol=1e-6)
    np.testing.assert_allclose(np.stack([s.place for s in found]), posterior.place, atol=1e-6)
    position = np.stack([s.position_m for s in found])
    near = posterior.probability_within(position), posterior.probability_within(posterior.decision())
    np.testing.assert_allclose(*near, atol=1e-5)  # equally good places may change places
    np.testing.assert_allclose([s.probability for s in found], near[0], atol=1e-5)
    np.testing.assert_allclose([s.radius_90_m for s in found], posterior.radius(position), atol=0.25)
    heading, certainty = posterior.mean_heading()
    np.testing.assert_allclose(np.exp(1j * np.array([s.heading_rad for s in found])), np.exp(1j * heading), atol=1e-3)
    np.testing.assert_allclose([s.heading_certainty for s in found], certainty, atol=1e-5)
    np.testing.assert_allclose([s.facing_rad for s in found], faces + heading, atol=1e-3)
    action = maps.weighed(hypothesis_weights(posterior.heading, 12)).action
    np.testing.assert_allclose([s.action_probability for s in found], action.max(1), atol=1e-4)
    assert [s.action for s in found] == [names[k] for k in action.argmax(1)]
    assert not any(s.note for s in found)
    assert np.ptp(position, axis=0).max() > 0.3 and len(set(certainty.round(3))) > 5, "or this test shows little"


@pytest.mark.parametrize("block", [1, 7, 803, 8028])
def test_blocks_of_any_size_give_the_same(parts, imu, block):
    imu = imu.crop(imu.t_s[0], imu.t_s[0] + 5.2)
    once, live = run(localizer(parts, imu), imu, len(imu)), localizer(parts, imu)
    found = run(live, imu, block)
    assert len(found) == len(once) == 5
    for one, other in zip(found, once, strict=True):
        np.testing.assert_array_equal(one.place, other.place)
        assert one.time_s == other.time_s and (one.position_m == other.position_m).all()


def test_a_second_comes_when_the_next_is_complete_and_no_later(parts, imu):
    live, at = localizer(parts, imu), {}
    for k in range(int(4.5 * 803)):
        for second in live.push(imu.t_s[k], imu.acc_mps2[k], imu.gyro_radps[k]):
            at[second.time_s] = imu.t_s[k] - imu.t_s[0]
    assert sorted(at) == [0.5, 1.5, 2.5]
    for time_s, came_s in at.items():
        assert time_s + 1.5 < came_s < time_s + 1.57, "a twentieth of a second of the low-pass filter's reach"


# What can happen to a stream: (kind, sample at which, how many samples or how far)
FAULTS = st.lists(
    st.tuples(
        st.sampled_from(["nan", "burst", "hole", "gap", "set back", "late", "held up"]),
        st.integers(0, 5000),
        st.integers(1, 900),
    ),
    max_size=3,
)


def harmed(imu: ImuStream, faults: list[tuple[str, int, int]]) -> ImuStream:
    t_s, acc, gyro = imu.t_s.copy(), imu.acc_mps2.copy(), imu.gyro_radps.copy()
    for kind, at, size in faults:
        if kind == "nan":
            acc[at : at + size % 50] = np.nan
        elif kind == "burst":
            t_s[at : at + size % 60] = t_s[at]
        elif kind == "hole":
            t_s[at:] += (size % 70) / 803
        elif kind == "gap":
            t_s[at:] += 0.1 + size / 300
        elif kind == "late":
            t_s[at] -= 0.01
        elif kind == "held up":
            t_s[at : at + size % 70] -= 0.2
        else:
            t_s[at:] -= 0.2 + size / 100
    return changed(imu, t_s=t_s, acc_mps2=acc, gyro_radps=gyro)


def cut(stream: SecondStream, imu: ImuStream, ends: list[int]) -> list[MotionSecond | Interruption]:
    found = []
    for low, high in zip([0, *ends], [*ends, len(imu)], strict=True):
        found += stream.push(imu.t_s[low:high], imu.acc_mps2[low:high], imu.gyro_radps[low:high])
    return [*found, *stream.finish()]


@settings(max_examples=60, deadline=None)
@given(faults=FAULTS, ends=st.lists(st.integers(0, 5200), max_size=40))
def test_seconds_and_notes_do_not_hang_on_the_blocks(imu, faults, ends):
    imu = harmed(imu.crop(imu.t_s[0], imu.t_s[0] + 6.5), faults)
    new = lambda: SecondStream(imu.R_head_sensor, rate_hz=802.82)  # noqa: E731
    whole, parts = cut(new(), imu, []), cut(new(), imu, sorted(ends))
    assert [type(x) for x in parts] == [type(x) for x in whole]
    for one, other in zip(parts, whole, strict=True):
        if isinstance(one, Interruption):
            assert one == other
            continue
        assert one.notes == other.notes and one.time_s == pytest.approx(other.time_s, abs=1e-9)
        np.testing.assert_allclose(one.window, other.window, atol=1e-5)
        assert np.isfinite(one.window).all()
        assert one.facing == pytest.approx(other.facing, abs=1e-9)


def test_a_short_gap_is_said_and_the_heading_kept_less_sure(parts, imu):
    said = []
    found = run(localizer(parts, imu, say=said.append), without(imu, 12.3, 12.9))
    notes = {s.time_s: s.note for s in found if s.note}
    assert len(notes) == 1 and said == list(notes.values())
    (at_s, note), *_ = notes.items()
    assert re.match(
        r"live IMU: found a gap of 0\.60 s after 12\.3 s; expected .*; place and heading are less sure", note
    )
    assert at_s == pytest.approx(13.4, abs=0.01), "seconds begin anew with the first sample after the gap"
    times = [s.time_s for s in found]
    assert [t for t in times if t < 12.3] == pytest.approx(np.arange(0.5, 12))
    assert len(found) == 12 + 21 and usable(found)


def test_a_long_gap_starts_the_orientation_filter_again(imu):
    gone = without(imu, 10.4, 15.0)
    found = cut(SecondStream(imu.R_head_sensor), gone, [])
    (gap,) = [x for x in found if isinstance(x, Interruption)]
    assert gap.missing_s == pytest.approx(4.6, abs=0.01) and gap.reoriented
    after = found[found.index(gap) + 1 :]
    alone = cut(SecondStream(imu.R_head_sensor), imu.crop(imu.t_s[0] + 15.0, np.inf), [])
    assert len(after) == len(alone) == 19
    for one, other in zip(after, alone, strict=True):  # as a stream that begins there
        np.testing.assert_allclose(one.window, other.window, atol=1e-4)
    assert after[0].time_s == pytest.approx(15.5, abs=0.01)


def test_a_clock_that_is_set_back_is_said_and_the_track_goes_on(parts, imu):
    t_s = np.where(imu.t_s - imu.t_s[0] >= 14.0, imu.t_s - 3600, imu.t_s)
    found = run(localizer(parts, imu), changed(imu, t_s=t_s))
    (at,) = [k for k, s in enumerate(found) if s.note]
    assert "found a clock set back by 3600.00 s after 14.0 s" in found[at].note
    assert "monotonic" in found[at].note and "sought anew" in found[at].note
    times = [s.time_s for s in found]
    assert (np.diff(times) > 0.9).all() and times[-1] == pytest.approx(33.5, abs=0.1)
    assert usable(found) and found[at].heading_certainty < found[at - 1].heading_certainty


def test_a_burst_under_one_time_is_said_and_interpolated(parts, imu):
    t_s, first = imu.t_s.copy(), int(np.searchsorted(imu.t_s - imu.t_s[0], 9.6))
    t_s[first : first + 40] = t_s[first]  # forty samples that came in one packet
    found = run(localizer(parts, imu), changed(imu, t_s=t_s))
    (note,) = [s.note for s in found if s.note]
    assert note.startswith("live IMU: found 39 samples no later than the one before;") and "stamp" in note
    assert len(found) == int(LENGTH_S) and usable(found)
    assert [s.time_s for s in found if s.note] == [9.5], "with the second in which it happened"


def test_a_packet_that_was_held_up_sets_no_clock_back(parts, imu):
    order = np.arange(len(imu))
    order = np.concatenate([order[:8000], order[8020:8200], order[8000:8020], order[8200:]])  # 0.2 s late
    columns = {name: getattr(imu, name)[order] for name in ("t_s", "acc_mps2", "gyro_radps")}
    found = run(localizer(parts, imu), changed(imu, **columns))
    assert [s.note[:40] for s in found if s.note] == ["live IMU: found 20 samples no later than"]
    assert len(found) == int(LENGTH_S) and usable(found)


def test_nan_is_said_left_out_and_interpolated(parts, imu):
    acc, t_s = imu.acc_mps2.copy(), imu.t_s.copy()
    acc[16000:16008, 1] = np.nan
    t_s[16020] = np.nan
    found = run(localizer(parts, imu), changed(imu, acc_mps2=acc, t_s=t_s))
    (note,) = [s.note for s in found if s.note]
    assert note.startswith("live IMU: found 9 samples with NaN or infinite values;")
    assert len(found) == int(LENGTH_S) and usable(found)
    clean = run(localizer(parts, imu), imu)
    apart = [np.abs(a.place - b.place).sum() for a, b in zip(found, clean, strict=True)]
    assert max(apart[:18]) < 1e-6 and max(apart) < 0.2, "ten milliseconds of lost samples move the belief little"


def test_lost_samples_leave_the_window_nearly_as_it_was(imu):
    whole = [x.window for x in cut(SecondStream(None), imu, [])]
    gone = without(imu, 4.5, 4.505)
    holed = cut(SecondStream(None), gone, [])
    assert not any(x.notes for x in holed), "a few lost samples are no news"
    apart = [np.abs(one.window - other).max() for one, other in zip(holed, whole, strict=True)]
    assert 1e-6 < apart[4] < 1.0 and max(apart[:4]) < 1e-6
    assert max(apart[5:]) < 0.02, "the orientation filter counted them"


def test_memory_is_constant(parts, imu):
    live = localizer(parts, imu)
    block, held = slice(0, 8028), []
    tracemalloc.start()
    for k in range(14):
        t_s = imu.t_s[block] + k * 8028 / 802.819148
        live.push(t_s, imu.acc_mps2[block], imu.gyro_radps[block])
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    waiting = 803 * 7 * 8  # bytes of a second's samples: as many wait after a block as its end falls into a second
    smallest = 120 * len(heading_angles()) * 16 * 4  # were a second's least array, its motion features, kept
    assert held[-1] - held[1] < waiting + 20_000 < smallest


def test_what_is_believed_spreads_over_missing_seconds():
    grid = MapGrid(np.zeros(2), 6.0, 0.0)
    free = np.ones((20, 20), bool)
    free[:, 10:12] = False  # a wall
    tracker = Tracker(grid, free.ravel(), np.zeros(400, bool), TrackerConfig(map_power=0.3, habit_power=0.0))
    sure = np.full((12, 400), 1e-6)
    sure[3, 104] = 1.0

    def after(missing_s: float | None, unseen_s: float, reoriented: bool):
        belief = Belief(tracker, heading_rad=np.pi / 2)
        for _ in range(20):
            belief.update(sure, np.zeros(2), 0.05)
        if unseen_s:
            belief.lose(missing_s, unseen_s, reoriented=reoriented)
        return belief.update(np.full((12, 400), 1 / 4800), np.zeros(2), 0.05)

    def spread(posterior) -> float:
        mean = posterior.place @ posterior.centres_m
        return float(np.sqrt((posterior.place @ ((posterior.centres_m - mean) ** 2)).sum()))

    known, short, longer = after(None, 0, False), after(0.3, 1.3, False), after(0.9, 2.4, False)
    assert spread(known) < spread(short) < spread(longer)
    certain = [float(p.mean_heading()[1][0]) for p in (known, short, longer)]
    assert certain[0] > certain[1] > certain[2] > 0.3
    assert after(5.0, 6.0, True).mean_heading()[1][0] < 0.05, "any heading"
    away = after(600.0, 601.0, True)
    on_floor = tracker.floor.flatten().numpy() == 1
    assert away.place[0, on_floor].sum() > 0.99 and np.ptp(away.place[0, on_floor]) < 2e-4, "anywhere on the floor"
    belief = Belief(tracker, heading_rad=0.0)
    before = belief.update(sure, np.array([2.0, 0.0]), 0.05)
    belief.lose(0.2, 1.2, reoriented=False)
    moved = belief.update(np.full((12, 400), 1 / 4800), np.array([2.0, 0.0]), 0.05)
    shift = (moved.place - before.place) @ before.centres_m
    assert np.linalg.norm(shift) < 0.3, "nobody knows whether a walk went on over a gap"
    set_back = after(None, 1.0, True)
    assert spread(short) < spread(set_back) < spread(away)


def test_a_recording_that_ends_is_answered_to_its_last_whole_second(parts, imu):
    assert run(localizer(parts, imu), imu.crop(imu.t_s[0], imu.t_s[0] + 0.7)) == []
    (only,) = run(localizer(parts, imu), imu.crop(imu.t_s[0], imu.t_s[0] + 1.3))
    assert only.time_s == 0.5 and usable([only])


def test_an_unknown_mounting_is_no_obstacle(parts, imu):
    found = run(Localizer(*parts), imu.crop(imu.t_s[0], imu.t_s[0] + 4))
    assert len(found) == 4 and usable(found) and all(np.isnan(s.facing_rad) and s.action == "" for s in found)


def test_wrong_units_rates_and_shapes_are_said_at_once(parts, imu):
    with pytest.raises(RecordingError, match="multiply by 9.80665"):
        run(localizer(parts, imu), changed(imu, acc_mps2=imu.acc_mps2 / 9.80665))
    with pytest.raises(RecordingError, match="deg/s"):
        run(localizer(parts, imu), changed(imu, gyro_radps=np.degrees(imu.gyro_radps)))
    slow = changed(imu, t_s=imu.t_s[::20], acc_mps2=imu.acc_mps2[::20], gyro_radps=imu.gyro_radps[::20])
    with pytest.raises(RecordingError, match=r"\d\d\.\d Hz; expected 100 Hz"):
        run(localizer(parts, imu), slow)
    with pytest.raises(RecordingError, match="give one row a sample"):
        localizer(parts, imu).push(imu.t_s[:5], imu.acc_mps2[:5].T, imu.gyro_radps[:5])


def test_a_second_of_signal_costs_a_few_milliseconds(imu):
    """The goal is 20 ms of one core (`benchmarks.live_speed`); a busy machine gets a half more here."""
    stage1 = Stage1(Stage1Config.of(QUICK)).eval()
    empty = np.zeros(400, bool)
    features = np.random.default_rng(0).normal(size=(400, QUICK.embed_dim)).astype(np.float32)
    room = Room(MapGrid(np.zeros(2), 4.0, 0.0), ~empty, empty, features, np.zeros((0, 3)))
    stage2, velocity = SpatioTemporalReasoner(stage2_config(QUICK, 35)), VelocityNet(QUICK.imu_width)
    live, took = Localizer(stage1, stage2, velocity, room, R_head_sensor=imu.R_head_sensor), []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for k in range(0, len(imu) - 803, 803):
        began = time.process_time()
        live.push(imu.t_s[k : k + 803], imu.acc_mps2[k : k + 803], imu.gyro_radps[k : k + 803])
        took.append(time.process_time() - began)
    torch.set_num_threads(threads)
    assert 0.002 < np.median(took[12:]) < 0.030
