"""Gravity alignment, resampling, windows, yaw, and the labels of a second."""

import math
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from eailkit.errors import RecordingError
from eailkit.preprocess.imu import GravityAligner, facing, gravity_align, orientation, resample, second_windows, yaw
from eailkit.preprocess.labels import action_seconds, caption_seconds, frame_seconds, heading_seconds
from eailkit.recording import ActionSegment, ImuStream, Narration, Recording, Trajectory


def moving_imu(seconds: float = 20.0, rate_hz: float = 800.0, seed: int = 0) -> tuple[ImuStream, Rotation]:
    """A head that turns in all axes (a known rotation), with walking accelerations; the true world-from-sensor."""
    t = np.arange(0, seconds, 1 / rate_hz)
    angles = np.column_stack([2.0 * np.sin(0.4 * t), 0.3 * np.sin(1.1 * t + 1), 0.2 * np.sin(0.9 * t)])
    R = Rotation.from_euler("ZYX", angles)
    step = R[:-1].inv() * R[1:]
    gyro = np.concatenate([step.as_rotvec() * rate_hz, [[0, 0, 0]]])
    gyro[-1] = gyro[-2]
    acc_world = np.column_stack([0.5 * np.sin(11 * t), 0.4 * np.cos(5.5 * t), 9.81 + 1.5 * np.sin(11.3 * t)])
    mounting = Rotation.from_euler("xyz", [1.2, -0.4, 0.7])
    rng = np.random.default_rng(seed)
    acc = mounting.inv().apply(R.inv().apply(acc_world)) + rng.normal(0, 0.02, acc_world.shape)
    gyro = mounting.inv().apply(gyro) + rng.normal(0, 1e-3, gyro.shape)
    return ImuStream(t + 300.0, acc, gyro), R * mounting


def tone(frequency_hz: float, rate_hz: float, seconds: float = 4.0, jitter: float = 0.0) -> ImuStream:
    """A tone on the accelerometer's x on top of gravity; `jitter` is the spread of the step, as a share of it."""
    rng = np.random.default_rng(0)
    t = np.arange(0, seconds, 1 / rate_hz)
    t = t + rng.uniform(-jitter / 2, jitter / 2, len(t)) / rate_hz
    acc = np.column_stack([np.sin(2 * np.pi * frequency_hz * t), 0.01 * np.cos(t), 9.81 + 0.01 * np.sin(t)])
    return ImuStream(t, acc, np.column_stack([np.sin(t), np.cos(t), 0.5 * np.sin(2 * t)]))


def middle(imu: ImuStream) -> slice:
    return slice(len(imu) // 8, -len(imu) // 8)


@pytest.mark.parametrize("causal", [False, True])
def test_gravity_align_finds_the_vertical_from_the_imu_alone(causal):
    imu, R_world_sensor = moving_imu()
    even, quat = orientation(imu, causal=causal)
    up = Rotation.from_quat(quat).inv().apply([0, 0, 1])
    true_up = R_world_sensor.inv().apply([0, 0, 1])
    tilt = np.degrees(np.arccos(np.clip(np.sum(up * true_up, axis=1), -1, 1)))
    settled = tilt[len(tilt) // 4 :]
    assert np.median(settled) < 1.0 and settled.max() < 3.0
    aligned = gravity_align(imu, causal=causal)
    assert aligned.frame == "gravity"
    assert aligned.acc_mps2[len(even) // 4 :].mean(axis=0) == pytest.approx([0, 0, 9.81], abs=0.1)  # gravity is kept
    np.testing.assert_allclose(  # a rotation keeps lengths
        np.linalg.norm(aligned.acc_mps2, axis=1), np.linalg.norm(imu.acc_mps2, axis=1), rtol=1e-9
    )


def test_heading_within_ten_seconds_survives():
    """The gravity frame's heading is arbitrary but steady: the true turn of the head shows in it."""
    imu, R_world_sensor = moving_imu()
    _, quat = orientation(imu)
    residual = (R_world_sensor * Rotation.from_quat(quat).inv()).as_euler("ZYX")[:, 0]
    drift = np.unwrap(residual[:: len(imu) // 20])
    assert np.ptp(drift) < math.radians(2.0)


def test_live_equals_batch_when_both_are_causal():
    imu, _ = moving_imu(8.0)
    batch = gravity_align(imu, causal=True)
    live = GravityAligner((len(imu) - 1) / imu.duration_s)
    chunks = [0, 1, 7, 400, 1203, 5000, len(imu)]
    parts = [live.update(imu.acc_mps2[a:b], imu.gyro_radps[a:b]) for a, b in zip(chunks[:-1], chunks[1:], strict=True)]
    np.testing.assert_array_equal(np.concatenate([p[0] for p in parts]), batch.acc_mps2)
    np.testing.assert_array_equal(np.concatenate([p[1] for p in parts]), batch.gyro_radps)


def test_causal_alignment_does_not_see_the_future_but_offline_does():
    imu, _ = moving_imu(8.0)
    half = imu.crop(imu.t_s[0], imu.t_s[0] + 4.0)
    n = len(half)
    rate = (len(imu) - 1) / imu.duration_s
    whole = GravityAligner(rate).update(imu.acc_mps2, imu.gyro_radps)[0]
    np.testing.assert_array_equal(GravityAligner(rate).update(half.acc_mps2, half.gyro_radps)[0], whole[:n])
    assert np.abs(gravity_align(imu).acc_mps2[:n] - gravity_align(half).acc_mps2).max() > 1e-4


def test_gravity_align_works_from_any_axes_and_only_once():
    imu, _ = moving_imu(6.0)
    turned = Rotation.from_euler("xyz", [0.3, 2.0, -1.0])
    other = replace(imu, acc_mps2=turned.apply(imu.acc_mps2), gyro_radps=turned.apply(imu.gyro_radps))
    a, b = gravity_align(imu), gravity_align(other)
    late = slice(len(imu) // 4, None)
    np.testing.assert_allclose(a.acc_mps2[late, 2], b.acc_mps2[late, 2], atol=0.02)
    horizontal = [np.linalg.norm(x.acc_mps2[late, :2], axis=1) for x in (a, b)]
    np.testing.assert_allclose(*horizontal, atol=0.05)
    with pytest.raises(RecordingError, match="already"):
        gravity_align(a)


@pytest.mark.parametrize("rate_hz", [795.0, 800.0, 807.4, 1000.0])
@pytest.mark.parametrize("frequency_hz", [5.0, 20.0, 100.0, 155.0])
def test_resample_keeps_what_fits(rate_hz, frequency_hz):
    """Within 1 % and without delay: the output equals the tone itself at the new times."""
    out = resample(tone(frequency_hz, rate_hz))
    np.testing.assert_allclose(np.diff(out.t_s), 1 / 400, rtol=1e-9)
    expected = np.sin(2 * np.pi * frequency_hz * out.t_s)
    keep = middle(out)
    assert np.abs(out.acc_mps2[keep, 0] - expected[keep]).max() < 0.01


@pytest.mark.parametrize("rate_hz", [795.0, 800.0, 807.4, 1000.0])
@pytest.mark.parametrize("frequency_hz", [205.0, 230.0, 300.0, 380.0])
def test_resample_removes_what_would_alias(rate_hz, frequency_hz):
    out = resample(tone(frequency_hz, rate_hz))
    left = np.abs(out.acc_mps2[middle(out), 0]).max()
    assert 20 * np.log10(left) < -55.0


def test_resample_is_safe_under_jitter():
    """imu-right's step jitters by 12 % (0.94-1.06 ms): head motion must pass, tones above must not come back."""
    kept = resample(tone(20.0, 1000.0, jitter=0.12))
    expected = np.sin(2 * np.pi * 20.0 * kept.t_s)
    assert np.abs(kept.acc_mps2[middle(kept), 0] - expected[middle(kept)]).max() < 0.01
    gone = resample(tone(300.0, 1000.0, jitter=0.12))
    assert np.sqrt(np.mean(gone.acc_mps2[middle(gone), 0] ** 2)) < 0.03


def test_resample_equals_scipy_on_an_even_ratio():
    """Parity with scipy's polyphase FIR, 800 -> 400."""
    from scipy.signal import firwin, resample_poly

    imu, _ = moving_imu(6.0)
    out = resample(imu)
    taps = firwin(141, 180.0, window=("kaiser", 7.0), fs=800.0)
    reference = resample_poly(imu.acc_mps2, 1, 2, axis=0, window=taps)
    keep = slice(100, len(out) - 100)
    assert np.abs(out.acc_mps2[keep] - reference[keep]).max() < 0.02


def test_resample_hits_the_start_that_is_asked_for():
    imu, _ = moving_imu(5.0)
    out = resample(imu, start_s=300.7777)
    phase = (out.t_s - 300.7777) * 400
    np.testing.assert_allclose(phase, np.round(phase), atol=1e-6)
    assert out.t_s[0] >= imu.t_s[0] - 1e-6 and out.t_s[-1] <= imu.t_s[-1] + 1e-6


def test_resample_keeps_a_constant_to_the_very_ends():
    t = np.arange(0, 2, 1 / 800)
    still = ImuStream(t, np.tile([0.1, 0.2, 9.8], (len(t), 1)), np.tile([0.01, 0.02, 0.03], (len(t), 1)))
    out = resample(still)
    np.testing.assert_allclose(out.acc_mps2, np.tile([0.1, 0.2, 9.8], (len(out), 1)), rtol=1e-9)


def test_resample_bridges_short_gaps_and_large_clock_epochs():
    imu = tone(3.0, 800.0)
    lost = np.ones(len(imu), dtype=bool)
    lost[1000:1040] = False  # 50 ms
    epoch = 1.7e9
    cut = ImuStream(imu.t_s[lost] + epoch, imu.acc_mps2[lost], imu.gyro_radps[lost])
    out = resample(cut)
    expected = np.sin(2 * np.pi * 3.0 * (out.t_s - epoch))
    assert np.abs(out.acc_mps2[middle(out), 0] - expected[middle(out)]).max() < 0.15
    away = np.abs(out.t_s - epoch - 1020 / 800) > 0.1
    assert np.abs(out.acc_mps2[:, 0] - expected)[away][50:-50].max() < 0.01


def test_resample_refuses_a_sensor_that_is_too_slow():
    with pytest.raises(RecordingError, match="50.0 Hz.*100 Hz"):
        resample(tone(2.0, 50.0))
    assert resample(tone(2.0, 50.0), 50.0).rate_hz == pytest.approx(50.0)  # PRIMUS's rate
    assert resample(tone(2.0, 100.0)).rate_hz == pytest.approx(400.0)


def test_second_windows_are_the_samples_in_channel_order():
    imu = resample(moving_imu(5.3)[0])
    windows, mid_s = second_windows(imu)
    assert windows.shape == (5, 6, 400) and windows.dtype == np.float32
    np.testing.assert_allclose(windows[2, 1], imu.acc_mps2[800:1200, 1], rtol=1e-6)
    np.testing.assert_allclose(windows[3, 5], imu.gyro_radps[1200:1600, 2], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(mid_s, imu.t_s[0] + 0.5 + np.arange(5))


def test_second_windows_count_from_the_take_start():
    imu = resample(moving_imu(6.0)[0], start_s=299.0)  # the IMU begins one second into the take
    windows, mid_s = second_windows(imu, 299.0)
    assert mid_s[0] == pytest.approx(300.5)
    later, mid_later = second_windows(imu, 302.0)
    assert mid_later[0] == pytest.approx(302.5) and len(later) == len(windows) - 2
    np.testing.assert_array_equal(later[0], windows[2])


def test_second_windows_refuse_other_rates_and_short_streams():
    imu, _ = moving_imu(3.0)
    with pytest.raises(RecordingError, match="even 400 Hz"):
        second_windows(imu)
    with pytest.raises(RecordingError, match="whole second"):
        second_windows(resample(imu).crop(300.0, 300.9))


def test_yaw_turns_both_sensors_about_the_vertical():
    torch.manual_seed(0)
    windows = torch.randn(3, 4, 6, 50, dtype=torch.float64)
    angle = torch.tensor([0.3, -2.0, 3.0], dtype=torch.float64)[:, None].expand(3, 4)
    turned = yaw(windows, angle)
    for i in range(3):
        R = torch.from_numpy(Rotation.from_euler("z", angle[i, 0].item()).as_matrix())
        for part in (slice(0, 3), slice(3, 6)):
            torch.testing.assert_close(turned[i, :, part], torch.einsum("ij,tjl->til", R, windows[i, :, part]))
    torch.testing.assert_close(yaw(turned, -angle), windows)
    assert yaw(windows.float(), 0.5).dtype == torch.float32


def test_facing_is_where_the_forward_axis_points_on_average_over_a_second():
    imu, R_world_sensor = moving_imu(8.0, rate_hz=200.0)
    mounting = Rotation.from_euler("xyz", [1.2, -0.4, 0.7])
    quat, mid_s = R_world_sensor.as_quat(), imu.t_s[0] + np.arange(8) + 0.5
    found = facing(replace(imu, R_head_sensor=mounting.as_matrix()), quat, mid_s)
    ahead = (R_world_sensor * mounting.inv()).apply([1.0, 0.0, 0.0])[:, :2]
    for angle, middle in zip(found, mid_s, strict=True):
        x, y = ahead[np.abs(imu.t_s - middle) <= 0.5].mean(axis=0)
        assert angle == pytest.approx(math.atan2(y, x), abs=0.01)
    assert np.ptp(found) > 1.5  # the head looks around
    head = replace(imu, frame="head", R_head_sensor=None)  # its axes are the head's own
    np.testing.assert_allclose(facing(head, (R_world_sensor * mounting.inv()).as_quat(), mid_s), found, atol=1e-6)
    assert np.isnan(facing(imu, quat, mid_s)).all()  # nobody says how the sensor sits
    late = facing(head, quat, imu.t_s[-1] + np.array([-0.2, 0.3]))  # a second that is cut off
    assert np.isfinite(late).all()


def test_facing_of_the_filter_s_own_orientation_is_true_up_to_one_heading():
    imu, R_world_sensor = moving_imu(20.0)
    mounting = Rotation.from_euler("xyz", [1.2, -0.4, 0.7])
    imu = replace(imu, R_head_sensor=mounting.as_matrix())
    mid_s = imu.t_s[0] + np.arange(2, 19) + 0.5
    even, quat = orientation(imu)
    off = np.unwrap(facing(even, quat, mid_s) - facing(imu, R_world_sensor.as_quat(), mid_s))
    assert np.ptp(off) < np.radians(3)


def test_labels_of_a_second():
    imu = ImuStream(np.arange(3.0), np.ones((3, 3)), np.ones((3, 3)))
    recording = Recording(
        "r",
        imu,
        narrations=(Narration(1.4, "one"), Narration(3.0, "three"), Narration(9.0, "nine")),
        actions=(ActionSegment(0.0, 4.0, "walk"), ActionSegment(2.0, 3.0, "stir")),
        frame_times_s=np.array([0.5, 1.5, 2.5, 7.1]),
    )
    mid_s = np.array([0.5, 1.5, 2.4, 4.99, 6.5, 20.0])
    assert caption_seconds(recording, mid_s) == ["one", "one", "three", "three", "", ""]
    assert action_seconds(recording, mid_s, ("stir", "walk")).tolist() == [1, 1, 0, -1, -1, -1]
    rows, numbers = frame_seconds(recording, mid_s)
    assert numbers == [0, 1, 2] and rows.tolist() == [0, 1, 2, -1, -1, -1]


def test_heading_turns_the_gravity_frame_into_the_map():
    imu, R_world_sensor = moving_imu(10.0)
    spin = Rotation.from_euler("z", 1.3)  # the map's own heading
    R_device_imu = Rotation.from_euler("xyz", [0.2, 1.0, -0.5])
    pose = spin * R_world_sensor * R_device_imu.inv()
    truth = Trajectory(imu.t_s[::40], np.zeros((len(imu.t_s[::40]), 3)), pose[::40].as_quat())
    even, quat = orientation(imu)
    mid_s = imu.t_s[0] + np.array([2.5, 4.5, 6.5, 1e3])
    heading = heading_seconds(Recording("r", imu, trajectory=truth), R_device_imu.as_matrix(), even, quat, mid_s)
    assert np.isnan(heading[3])
    aligned = gravity_align(imu)
    for h, t in zip(heading[:3], mid_s[:3], strict=True):
        i = int(np.searchsorted(imu.t_s, t))
        in_map = Rotation.from_euler("z", h).apply(aligned.acc_mps2[i])
        true = (spin * R_world_sensor)[i].apply(imu.acc_mps2[i])
        np.testing.assert_allclose(in_map, true, atol=0.3)  # a degree of tilt is 0.17 m/s²


def test_alignment_and_resampling_of_long_recordings_are_fast():
    imu, _ = moving_imu(60.0)
    long = 10 * len(imu)
    repeated = ImuStream(np.arange(long) / 800, np.tile(imu.acc_mps2, (10, 1)), np.tile(imu.gyro_radps, (10, 1)))
    resample(gravity_align(imu))  # compile first
    start = time.perf_counter()
    second_windows(resample(gravity_align(repeated)))
    assert time.perf_counter() - start < 12.0  # 10 minutes at 800 Hz; 1 s seen, 7 h must stay near a minute
