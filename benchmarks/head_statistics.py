"""Statistics of head-worn IMU recordings, defined as in the file of real ones that the simulator is compared with.

Vertical is the direction of a running mean of the acceleration over three seconds; band powers are variances within
a band, from Welch spectra (Hann, ten seconds, half overlapping, mean removed).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import ndimage, signal

BANDS_HZ = ((0.0, 0.5), (0.5, 1.0), (1.0, 2.0), (2.0, 4.0), (4.0, 8.0), (8.0, 16.0), (16.0, 32.0), (32.0, 64.0))
VERTICAL_S = 3.0
STEP_RATE = "vertical_acc_peak_hz_0.8_4"


def spectrum(values: Float[np.ndarray, " n"], rate_hz: float, segment_s: float = 10.0):
    """Welch's power spectral density: frequencies (Hz) and density (unit squared per Hz)."""
    segment = min(int(segment_s * rate_hz), len(values))
    return signal.welch(values, rate_hz, "hann", segment, segment // 2, detrend="constant")


def band_powers(values: Float[np.ndarray, " n"], rate_hz: float, segment_s: float = 10.0) -> np.ndarray:
    """Variance within each of BANDS_HZ, cut off at half the sample rate, (8,)."""
    frequency, density = spectrum(values, rate_hz, segment_s)
    step = frequency[1] - frequency[0]
    inside = [(frequency >= max(low, step / 2)) & (frequency < high) for low, high in BANDS_HZ]  # without the mean
    return np.array([density[rows].sum() * step for rows in inside])


def vertical_and_rest(
    acc: Float[np.ndarray, "n 3"], values: Float[np.ndarray, "n 3"], rate_hz: float
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n 3"]]:
    """Component of `values` along the running mean of the acceleration, and what is left of the vector."""
    up = ndimage.uniform_filter1d(acc, int(VERTICAL_S * rate_hz), axis=0, mode="nearest")
    up = up / np.linalg.norm(up, axis=1, keepdims=True)
    along = np.einsum("ij,ij->i", values, up)
    return along, values - along[:, None] * up


def statistics(
    acc: Float[np.ndarray, "n 3"], gyro: Float[np.ndarray, "n 3"], rate_hz: float, segment_s: float = 10.0
) -> dict[str, float]:
    """One recording's statistics, named as in the file of real ones.

    Args:
        acc: specific force, m/s2, in any axes fixed to the head.
        gyro: rad/s, in the same axes, at the same times.
    """
    up, across = vertical_and_rest(acc, acc, rate_hz)
    turning, _ = vertical_and_rest(acc, gyro, rate_hz)
    found = {
        "acc_std_vertical": float(up.std()),
        "acc_rms_horizontal_per_axis": float(np.sqrt((across**2).sum(1).mean() / 2)),
        "gyro_norm_rms": float(np.sqrt((gyro**2).sum(1).mean())),
        "gyro_std_about_vertical": float(turning.std()),
    }
    frequency, density = spectrum(up, rate_hz, segment_s)
    inside = (frequency >= 0.8) & (frequency <= 4.0)
    found[STEP_RATE] = float(frequency[inside][density[inside].argmax()])
    for name, values in (("acc", acc), ("gyro", gyro)):
        powers = band_powers(np.linalg.norm(values, axis=1), rate_hz, segment_s)
        for (low, high), power in zip(BANDS_HZ, powers, strict=True):
            found[f"bp_{name}_norm:{low:g}-{high:g}Hz"] = float(power)
    return found


def cross_axis(acc: Float[np.ndarray, "n 3"], gyro: Float[np.ndarray, "n 3"], rate_hz: float) -> dict[str, float]:
    """How the axes move together; nothing in the simulator is tuned on these.

    Returns:
        `acc_vertical_pitch_rate`: largest correlation of vertical acceleration with pitch rate, 0.7 to 4 Hz, within
            a quarter of a second; `step_phase_yaw_rate`: share of yaw rate's variance between 0.5 and 4 Hz that the
            phase of the stride explains (cosines of the stride, twice and thrice its frequency).
    """
    sos = signal.butter(2, (0.5, 4.0), "bandpass", fs=rate_hz, output="sos")
    up, across = vertical_and_rest(acc, acc, rate_hz)
    yaw, _ = vertical_and_rest(acc, gyro, rate_hz)
    # How a device sits is unknown; of what isn't yaw, the direction of most power stands for pitch.
    rest = gyro - yaw[:, None] * _unit(ndimage.uniform_filter1d(acc, int(VERTICAL_S * rate_hz), axis=0))
    rest = signal.sosfiltfilt(sos, rest, axis=0)
    axis = np.linalg.svd(rest - rest.mean(0), full_matrices=False)[2][0]
    pitch, up, yaw = rest @ axis, signal.sosfiltfilt(sos, up), signal.sosfiltfilt(sos, yaw)
    lag = int(0.25 * rate_hz)
    normed = lambda v: (v - v.mean()) / (v.std() + 1e-12)  # noqa: E731
    a, b = normed(pitch), normed(up)
    shifts = [
        np.mean(a[max(k, 0) : len(a) + min(k, 0)] * b[max(-k, 0) : len(b) + min(-k, 0)]) for k in range(-lag, lag)
    ]
    return {
        "acc_vertical_pitch_rate": float(np.abs(shifts).max()),
        "step_phase_yaw_rate": _explained_by_stride(up, yaw, rate_hz),
    }


def _explained_by_stride(up: np.ndarray, yaw: np.ndarray, rate_hz: float) -> float:
    step_sos = signal.butter(2, (1.0, 2.6), "bandpass", fs=rate_hz, output="sos")
    step = np.unwrap(np.angle(signal.hilbert(signal.sosfiltfilt(step_sos, up))))
    parts = [f(k * step) for k in (0.5, 1.0, 1.5) for f in (np.cos, np.sin)]
    shares, size = [], int(10 * rate_hz)
    for i in range(0, len(yaw) - size + 1, size):  # the stride's side is unknown from one stretch to the next
        basis = np.stack([p[i : i + size] for p in parts], axis=1)
        left = yaw[i : i + size] - basis @ np.linalg.lstsq(basis, yaw[i : i + size], rcond=None)[0]
        shares.append(1.0 - left.var() / yaw[i : i + size].var())
    return float(np.median(shares)) if shares else float("nan")


def _unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=1, keepdims=True)
