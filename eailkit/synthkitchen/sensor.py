"""A head-worn IMU: specific force and angular rate at a lever arm, with the faults that a real one has.

Numbers of `ARIA_LEFT` are Project Aria's documented noise model of imu-left (white noise, bias instability,
bandwidth, saturation) and its true rates of 795-807 Hz. What a stream holds is meant to be like Aria's
after factory calibration: the residual biases, scales and misalignments are our choice, between the
stability that is documented and the 0.05-0.1 m/s2 errors of |acc| that rectified recordings still show.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from scipy import signal

from eailkit.recording import GRAVITY_MPS2, ImuStream
from eailkit.synthkitchen.spline import HeadMotion, body_rates

_G = 9.80665
_DEG = np.pi / 180.0
_CHUNK = 16384  # samples at a time, so that intermediate arrays stay in cache


def _tilted_mounting() -> np.ndarray:
    # Sensor axes point back, down and right, rolled by 12.7 degrees about the first, as on Aria's left temple.
    roll = 12.7 * _DEG
    base = np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, -1.0, 0.0]])
    c, s = np.cos(roll), np.sin(roll)
    return base @ np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])


@dataclass(frozen=True)
class ImuModel:
    """A kind of IMU; units in the names.

    Attributes:
        rate_range_hz: true sample rates of single devices.
        lever_arm_head_m: sensor from the device origin (the trajectory's point), head axes.
        R_head_sensor: sensor axes to head axes.
        acc_noise, gyro_noise: white noise densities, m/s2 and rad/s per square root of Hz.
        acc_bandwidth_hz, gyro_bandwidth_hz: -3 dB of a second-order low-pass on signal and noise.
        acc_instability_mps2, gyro_instability_radps: wander of the bias, standard deviation of a process
            with a correlation time of `instability_s`.
        acc_bias_mps2, gyro_bias_radps: residual turn-on bias, standard deviation an axis.
        scale, misalignment_rad: residual of the calibration, standard deviations.
        time_offset_s: largest delay of the gyroscope's samples against the accelerometer's.
        acc_range_mps2, gyro_range_radps: saturation; values are stored with `bits` over this range.
        clock_ppm: largest rate error of the device clock against true seconds.
    """

    label: str = "imu-left"
    nominal_rate_hz: float = 800.0
    rate_range_hz: tuple[float, float] = (795.0, 807.0)
    lever_arm_head_m: tuple[float, float, float] = (0.0004, -0.0064, 0.0004)
    R_head_sensor: Float[np.ndarray, "3 3"] = field(default_factory=_tilted_mounting)
    acc_noise: float = 0.9e-4 * _G
    gyro_noise: float = 5e-3 * _DEG
    acc_bandwidth_hz: float = 343.0
    gyro_bandwidth_hz: float = 300.0
    acc_instability_mps2: float = 2.8e-5 * _G
    gyro_instability_radps: float = 1e-3 * _DEG
    instability_s: float = 100.0
    acc_bias_mps2: float = 0.04
    gyro_bias_radps: float = 0.1 * _DEG
    scale: float = 0.002
    misalignment_rad: float = 0.002
    time_offset_s: float = 0.002
    acc_range_mps2: float = 8.0 * _G
    gyro_range_radps: float = 2000.0 * _DEG
    bits: int = 16
    clock_ppm: float = 20.0


ARIA_LEFT = ImuModel()


@dataclass(frozen=True)
class ImuDevice:
    """One device on one day: its clock and residual errors. Device time = clock_offset_s + clock_rate * true time."""

    rate_hz: float
    clock_offset_s: float
    clock_rate: float
    acc_matrix: Float[np.ndarray, "3 3"]
    gyro_matrix: Float[np.ndarray, "3 3"]
    acc_bias_mps2: Float[np.ndarray, " 3"]
    gyro_bias_radps: Float[np.ndarray, " 3"]
    gyro_delay_s: float


def draw_device(sensor: ImuModel, seed: int, *, device_seed: int | None = None) -> ImuDevice:
    """A device and its turn-on state.

    Args:
        seed: of the take: clock offset and turn-on biases.
        device_seed: of the device itself: rate, scales, misalignment, delays; the take's seed where not given.
    """
    own = np.random.default_rng([seed if device_seed is None else device_seed, 0xDE1C])
    day = np.random.default_rng([seed, 0xDA11])
    matrix = lambda: (  # noqa: E731
        np.eye(3) + np.diag(own.normal(0.0, sensor.scale, 3)) + own.normal(0.0, sensor.misalignment_rad, (3, 3))
    )
    cut = lambda rng, sigma: np.clip(rng.normal(0.0, sigma, 3), -2.5 * sigma, 2.5 * sigma)  # noqa: E731
    return ImuDevice(
        rate_hz=float(own.uniform(*sensor.rate_range_hz)),
        clock_rate=1.0 + 1e-6 * float(own.uniform(-sensor.clock_ppm, sensor.clock_ppm)),
        acc_matrix=matrix(),
        gyro_matrix=matrix(),
        gyro_delay_s=float(own.uniform(0.0, sensor.time_offset_s)),
        clock_offset_s=float(np.round(day.uniform(200.0, 40000.0), 6)),
        acc_bias_mps2=cut(day, sensor.acc_bias_mps2),
        gyro_bias_radps=cut(day, sensor.gyro_bias_radps),
    )


def specific_force(
    motion: HeadMotion, t_s: Float[np.ndarray, " n"], lever_arm_head_m: Float[np.ndarray, " 3"]
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """What a perfect IMU at a lever arm feels, in head axes.

    f = R^T (a - g) + alpha x r + omega x (omega x r), with a of the device origin and g = (0, 0, -9.81).

    Returns:
        specific force (m/s2), angular velocity (rad/s) and angular acceleration (rad/s2), (n, 3) each.
    """
    value, first, second = motion.coordinates(t_s)
    omega, alpha = body_rates(value[:, 3:], first[:, 3:], second[:, 3:])
    (cy, cp, cr), (sy, sp, sr) = np.cos(value[:, 3:]).T, np.sin(value[:, 3:]).T
    ax, ay, az = second[:, 0], second[:, 1], second[:, 2] + GRAVITY_MPS2
    # R^T a by undoing yaw, pitch and roll in turn, which costs a third of a matrix product.
    ahead, left = cy * ax + sy * ay, cy * ay - sy * ax
    ahead, up = cp * ahead - sp * az, sp * ahead + cp * az
    force = np.stack([ahead, cr * left + sr * up, cr * up - sr * left], axis=1)
    r = np.asarray(lever_arm_head_m, float)
    wr = (omega @ r)[:, None]
    force += np.cross(alpha, r) + omega * wr - (omega**2).sum(axis=1, keepdims=True) * r
    return force, omega, alpha


def simulate_imu(
    motion: HeadMotion,
    sensor: ImuModel = ARIA_LEFT,
    seed: int = 0,
    *,
    device: ImuDevice | None = None,
    rate_hz: float | None = None,
    noise_free: bool = False,
) -> ImuStream:
    """The stream that the sensor records of a motion, in sensor axes, from the motion's start to its end.

    Args:
        device: clock and residual errors; drawn from the seed where not given.
        rate_hz: sample rate; the device's own where not given (the nominal one if noise_free).
        noise_free: a perfect sensor: true values, true seconds of the motion, nominal rate.

    Returns:
        times on the device clock (or, noise_free, of the motion) and float32 samples.
    """
    device = device or draw_device(sensor, seed)
    rate = rate_hz or (sensor.nominal_rate_hz if noise_free else device.rate_hz)
    n = int(np.floor(motion.duration_s * rate)) + 1
    t = np.arange(n) / rate
    to_sensor = np.asarray(sensor.R_head_sensor)
    acc, gyro = np.empty((n, 3)), np.empty((n, 3))
    delay = 0.0 if noise_free else device.gyro_delay_s
    acc_map = to_sensor if noise_free else to_sensor @ device.acc_matrix.T
    gyro_map = to_sensor if noise_free else to_sensor @ device.gyro_matrix.T
    for i in range(0, n, _CHUNK):
        force, omega, alpha = specific_force(motion, t[i : i + _CHUNK], np.array(sensor.lever_arm_head_m))
        acc[i : i + _CHUNK] = force @ acc_map
        gyro[i : i + _CHUNK] = (omega - delay * alpha) @ gyro_map  # delay is under a knot: first order is enough
    if not noise_free:
        _add_faults(acc, gyro, sensor, device, rate, np.random.default_rng([seed, 0x5E50]))
        t = device.clock_offset_s + device.clock_rate * t
    as_stored = np.float64 if noise_free else np.float32
    return ImuStream(
        t_s=t,
        acc_mps2=acc.astype(as_stored),
        gyro_radps=gyro.astype(as_stored),
        frame="sensor",
        R_head_sensor=to_sensor,
        label=sensor.label,
        source="synthkitchen",
    )


def _add_faults(acc, gyro, sensor: ImuModel, device: ImuDevice, rate: float, rng: np.random.Generator) -> None:
    n = len(acc)
    for values, noise, bandwidth, wander, bias, limit in (
        (acc, sensor.acc_noise, sensor.acc_bandwidth_hz, sensor.acc_instability_mps2, device.acc_bias_mps2,
         sensor.acc_range_mps2),
        (gyro, sensor.gyro_noise, sensor.gyro_bandwidth_hz, sensor.gyro_instability_radps, device.gyro_bias_radps,
         sensor.gyro_range_radps),
    ):  # fmt: skip
        white = rng.standard_normal((n, 3), dtype=np.float32)
        white *= noise * np.sqrt(rate / 2)
        values += white
        values += bias + _wander(n / rate, wander, sensor.instability_s, rng, n)
        if bandwidth < 0.49 * rate:
            sos = signal.butter(2, bandwidth, fs=rate, output="sos")
            start = signal.sosfilt_zi(sos)[:, :, None] * values[0]
            values[:] = signal.sosfilt(sos, values, axis=0, zi=start)[0]
        step = 2.0 * limit / 2**sensor.bits
        np.rint(np.clip(values, -limit, limit - step) / step, out=values)
        values *= step


def _wander(duration_s: float, sigma: float, correlation_s: float, rng: np.random.Generator, n: int) -> np.ndarray:
    """A first-order Gauss-Markov process at 1 Hz, brought to n samples by linear interpolation."""
    m = int(duration_s) + 2
    keep = np.exp(-1.0 / correlation_s)
    drive = rng.standard_normal((m, 3)) * sigma * np.sqrt(1.0 - keep**2)
    drive[0] = rng.standard_normal(3) * sigma
    walk = signal.lfilter([1.0], [1.0, -keep], drive, axis=0)
    at = np.linspace(0.0, duration_s, n)
    return np.stack([np.interp(at, np.arange(m), walk[:, k]) for k in range(3)], axis=1)
