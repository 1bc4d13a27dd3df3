"""From a raw IMU to EAIL's input: gravity-aligned, anti-aliased to 400 Hz, cut into 1 s windows (section 3.1).

The paper follows RoNIN: a frame with z along gravity and an arbitrary heading, gravity kept. Orientation
comes from the IMU alone (VQF), never from a ground truth. `eail.prepared.prepare` does it for a whole dataset.
"""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Float32
from vqf import VQF, offlineVQF

from eailkit.errors import RecordingError
from eailkit.preprocess.kernels import filter_at, rotate_each
from eailkit.recording import ImuStream

if TYPE_CHECKING:
    from torch import Tensor

RATE_HZ = 400.0  # EAIL's input rate
STOP_DB = 70.0  # attenuation of what would alias
STEPS_PER_SAMPLE = 512  # resolution of the filter's table, per input sample


def _even(imu: ImuStream) -> ImuStream:
    """The stream on an even clock of its own mean rate: samples are interpolated linearly where it has gaps.

    Jitter below half a step is left alone (a few per cent on Aria); only then are the samples untouched.
    """
    step = np.diff(imu.t_s)
    if step.max() <= 1.5 * np.median(step) and step.min() >= 0.5 * np.median(step):
        return imu
    period = float(np.median(step))
    count = int(round((imu.t_s[-1] - imu.t_s[0]) / period)) + 1
    t_s = np.linspace(imu.t_s[0], imu.t_s[-1], count)
    acc, gyro = (
        np.stack([np.interp(t_s, imu.t_s, values[:, k]) for k in range(3)], axis=1)
        for values in (imu.acc_mps2, imu.gyro_radps)
    )
    return replace(imu, t_s=t_s, acc_mps2=acc, gyro_radps=gyro)


class GravityAligner:
    """The causal filter for live use: feed chunks as they come, get them back in the gravity frame.

    Chunks through one aligner give the same numbers as one long chunk.

    Args:
        rate_hz: rate of the samples that will come.
    """

    def __init__(self, rate_hz: float) -> None:
        self._filter = VQF(1.0 / rate_hz)

    def update(
        self, acc_mps2: Float[np.ndarray, "n 3"], gyro_radps: Float[np.ndarray, "n 3"]
    ) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
        """The next samples (specific force in m/s², angular rate in rad/s), rotated into the gravity frame."""
        acc, gyro = (np.ascontiguousarray(v, dtype=np.float64) for v in (acc_mps2, gyro_radps))
        quat = self.orientation(acc, gyro)
        return rotate_each(quat, acc), rotate_each(quat, gyro)

    def orientation(
        self, acc_mps2: Float[np.ndarray, "n 3"], gyro_radps: Float[np.ndarray, "n 3"]
    ) -> Float[np.ndarray, "n 4"]:
        """Quaternions (xyzw) that take the next samples' axes to the gravity frame."""
        return _xyzw(self._filter.updateBatch(gyro_radps, acc_mps2)["quat6D"])


def _xyzw(quat_wxyz: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
    """VQF says wxyz, this package xyzw."""
    return np.roll(quat_wxyz, -1, axis=1)


def orientation(imu: ImuStream, *, causal: bool = False) -> tuple[ImuStream, Float[np.ndarray, "n 4"]]:
    """Orientation of every sample from the IMU alone: the stream (on an even clock) and quaternions xyzw.

    They take the stream's own axes to a frame with z up and an arbitrary, slowly drifting heading (VQF without
    magnetometer). See `gravity_align`, which applies them.

    Raises:
        RecordingError: the stream can't be right, or is aligned already.
    """
    if imu.frame == "gravity":
        raise RecordingError(f"{imu.source}: found an IMU in the gravity frame already; expected sensor or head axes.")
    imu = _even(imu.validate())
    rate_hz = (len(imu) - 1) / imu.duration_s
    acc, gyro = (np.ascontiguousarray(v, dtype=np.float64) for v in (imu.acc_mps2, imu.gyro_radps))
    if causal:
        return imu, GravityAligner(rate_hz).orientation(acc, gyro)
    return imu, _xyzw(offlineVQF(gyro, acc, None, 1.0 / rate_hz)["quat6D"])


def rotate(imu: ImuStream, quat_xyzw: Float[np.ndarray, "n 4"], frame: str) -> ImuStream:
    """Every sample turned by its own quaternion into `frame`."""
    acc, gyro = (np.ascontiguousarray(v, dtype=np.float64) for v in (imu.acc_mps2, imu.gyro_radps))
    quat_xyzw = np.ascontiguousarray(quat_xyzw, dtype=np.float64)
    return replace(
        imu,
        acc_mps2=rotate_each(quat_xyzw, acc),
        gyro_radps=rotate_each(quat_xyzw, gyro),
        frame=frame,
        R_head_sensor=None,
    )


def gravity_align(imu: ImuStream, *, causal: bool = False) -> ImuStream:
    """Rotate every sample into a frame with z up and an arbitrary, slowly drifting heading; gravity is kept.

    The paper says "following RoNIN", whose orientation comes from the phone's own filter. Ours is VQF without
    magnetometer, on the IMU alone: a resting sensor then reads (0, 0, +9.81) whatever its mounting.

    Args:
        imu: in sensor or head axes.
        causal: True uses past samples only, as live use must (its first seconds are a few degrees off, and
            `GravityAligner` gives the same numbers chunk by chunk); False smooths over the whole recording.

    Returns:
        The stream with frame="gravity", on an even clock where the input had gaps.

    Raises:
        RecordingError: the stream can't be right, or is aligned already.
    """
    even, quat_xyzw = orientation(imu, causal=causal)
    return rotate(even, quat_xyzw, "gravity")


def _lowpass_table(half_width: int, cutoff: float) -> Float[np.ndarray, " taps"]:
    """Right half of a Kaiser-windowed sinc, sampled STEPS_PER_SAMPLE times per input sample.

    Args:
        half_width: input samples to each side.
        cutoff: -6 dB point in cycles per input sample.
    """
    u = np.arange(half_width * STEPS_PER_SAMPLE + 2) / STEPS_PER_SAMPLE
    beta = 0.1102 * (STOP_DB - 8.7)  # Kaiser's formula beyond 50 dB; every worker would import scipy.signal for it
    window = np.i0(beta * np.sqrt(np.maximum(1 - (u / half_width) ** 2, 0))) / np.i0(beta)
    return np.where(u <= half_width, 2 * cutoff * np.sinc(2 * cutoff * u) * window, 0.0)


@functools.lru_cache(maxsize=8)
def lowpass(period_s: float, rate_hz: float) -> tuple[int, Float[np.ndarray, " taps"]]:
    """The filter that `resample` applies to samples every `period_s` for a target of `rate_hz`.

    Returns:
        Its reach to each side in input samples, and the table of its right half (`STEPS_PER_SAMPLE` a sample).
    """
    nyquist = 0.5 * min(1.0, rate_hz * period_s)  # cycles per input sample
    half_width = math.ceil((STOP_DB - 7.95) / (2.285 * 2 * np.pi * 0.2 * nyquist) / 2)  # Kaiser's formula
    table = _lowpass_table(half_width, 0.9 * nyquist)
    table.flags.writeable = False
    return half_width, table


def resample(
    imu: ImuStream, rate_hz: float = RATE_HZ, *, start_s: float | None = None, min_rate_hz: float | None = None
) -> ImuStream:
    """The stream on an even grid of `rate_hz`, low-passed first so that nothing aliases.

    A zero-phase FIR low-pass (Kaiser-windowed sinc, 70 dB, from 0.8 of the lower Nyquist frequency to all of it)
    is evaluated at the new times straight from the old ones, so 800 -> 400, 1000 -> 400, true rates such as 807 Hz
    and jittery clocks all go one way. The paper only says 400 Hz.

    Args:
        imu: any frame.
        rate_hz: target, Hz.
        start_s: a device time that the new grid must hit (the take's start); the first sample where None.
        min_rate_hz: lowest rate to accept; a quarter of the target where None (100 Hz for EAIL).

    Raises:
        RecordingError: the stream can't be right, or is too slow for the target.
    """
    imu = _even(imu.validate())
    period_s = imu.duration_s / (len(imu) - 1)
    least = rate_hz / 4 if min_rate_hz is None else min_rate_hz
    if 1 / period_s < 0.95 * least:
        raise RecordingError(
            f"{imu.source}: found an IMU of {1 / period_s:.1f} Hz; expected {least:g} Hz or more for a target of "
            f"{rate_hz:g} Hz; use a faster sensor."
        )
    origin = imu.t_s[0] if start_s is None else start_s
    first = math.ceil((imu.t_s[0] - origin) * rate_hz - 1e-6)
    last = math.floor((imu.t_s[-1] - origin) * rate_hz + 1e-6)
    t_s = origin + np.arange(first, last + 1) / rate_hz
    half_width, table = lowpass(period_s, rate_hz)
    weights = np.gradient(imu.t_s) / period_s
    values = np.concatenate([imu.acc_mps2, imu.gyro_radps], axis=1)
    # Times relative to the first sample keep their precision whatever the clock's epoch.
    out = filter_at(
        imu.t_s - imu.t_s[0], values, weights, t_s - imu.t_s[0], period_s, half_width, table, STEPS_PER_SAMPLE
    )
    return replace(imu, t_s=t_s, acc_mps2=out[:, :3], gyro_radps=out[:, 3:])


def second_windows(
    imu: ImuStream, start_s: float | None = None
) -> tuple[Float32[np.ndarray, "seconds 6 400"], Float[np.ndarray, " seconds"]]:
    """Cut a 400 Hz stream into seconds, acc xyz then gyro xyz; an incomplete tail is dropped.

    Args:
        imu: evenly sampled at 400 Hz.
        start_s: device time of second 0; windows begin at start_s + k for whole k >= 0. First sample where None.

    Returns:
        windows: m/s² and rad/s.
        mid_times_s: device time of each window's middle.

    Raises:
        RecordingError: another rate, an uneven clock, or not one whole second.
    """
    if len(imu) > 1 and not np.allclose(np.diff(imu.t_s), 1 / RATE_HZ, atol=0.02 / RATE_HZ):
        raise RecordingError(
            f"{imu.source}: found samples at {imu.rate_hz:.1f} Hz; expected an even {RATE_HZ:g} Hz; resample() first."
        )
    length = int(RATE_HZ)
    origin = imu.t_s[0] if start_s is None else start_s
    second = max(0, math.ceil(imu.t_s[0] - origin - 0.5 / RATE_HZ))
    first = int(round((origin + second - imu.t_s[0]) * RATE_HZ))
    count = (len(imu) - first) // length
    if count < 1:
        raise RecordingError(
            f"{imu.source}: found {max(len(imu) - first, 0)} samples; expected a whole second, {length} of them."
        )
    samples = np.concatenate([imu.acc_mps2, imu.gyro_radps], axis=1)[first : first + count * length].astype(np.float32)
    windows = np.ascontiguousarray(samples.reshape(count, length, 6).transpose(0, 2, 1))
    return windows, origin + second + np.arange(count) + 0.5


def facing(
    imu: ImuStream, quat_gravity_imu_xyzw: Float[np.ndarray, "n 4"], mid_s: Float[np.ndarray, " seconds"]
) -> Float[np.ndarray, " seconds"]:
    """Where the head faces in the gravity frame over the second around each time: angle about z, rad.

    From the filter's orientation and the sensor's mounting alone: the horizontal part of the head's forward axis, its
    mean over the second. It is known up to the one angle that takes the gravity frame to a map's, the heading.

    Args:
        imu: the stream that the quaternions belong to, sensor or head axes.
        quat_gravity_imu_xyzw: what `orientation` returned.
        mid_s: middles of the seconds, on the stream's clock.

    Returns:
        NaN where the source doesn't say how the sensor sits on the head.
    """
    if imu.frame != "head" and imu.R_head_sensor is None:
        return np.full(len(mid_s), np.nan)
    forward = np.array([1.0, 0.0, 0.0]) if imu.frame == "head" else np.asarray(imu.R_head_sensor)[0]
    ahead = rotate_each(np.ascontiguousarray(quat_gravity_imu_xyzw), np.tile(forward, (len(imu), 1)))[:, :2]
    total = np.concatenate([np.zeros((1, 2)), np.cumsum(ahead, axis=0)])
    low, high = (np.searchsorted(imu.t_s, mid_s + side) for side in (-0.5, 0.5))
    mean = total[np.maximum(high, low + 1).clip(max=len(imu))] - total[low.clip(max=len(imu) - 1)]
    return np.arctan2(mean[:, 1], mean[:, 0])


def yaw(
    windows: Float[Tensor, "*batch 6 samples"], angle: float | Float[Tensor, "*#batch"]
) -> Float[Tensor, "*batch 6 samples"]:
    """Turn windows about the vertical: acc and gyro of a wearer who faces another way.

    Heading is unknown to a gravity-aligned IMU, so stage 1 turns every window and stage 2 every sequence at random.

    Args:
        windows: gravity frame, acc xyz then gyro xyz.
        angle: radians, one for all or one a window (broadcast over the leading axes).
    """
    import torch  # workers that preprocess need none, and it takes them as long to import as a take

    angle = torch.as_tensor(angle, dtype=windows.dtype, device=windows.device)[..., None]
    c, s = torch.cos(angle), torch.sin(angle)
    ax, ay, az, gx, gy, gz = windows.unbind(dim=-2)
    return torch.stack([c * ax - s * ay, s * ax + c * ay, az, c * gx - s * gy, s * gx + c * gy, gz], dim=-2)
