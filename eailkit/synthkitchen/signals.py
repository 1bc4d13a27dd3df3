"""Smooth one-dimensional signals on a regular grid: ramps, bumps, band-limited noise, transients.

Everything that moves a head is a sum of these, sampled at the spline's knots; nothing here is white.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from jaxtyping import Float
from scipy import ndimage, signal


def smooth_step(u: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """0 to 1 with zero slope and curvature at both ends: 6 u^5 - 15 u^4 + 10 u^3 (minimum jerk)."""
    return u * u * u * (u * (6.0 * u - 15.0) + 10.0)


class Track:
    """A signal that goes from value to value in minimum-jerk ramps.

    `to(t, value, rise_s)` starts a ramp at t; ramps may overlap (they add up), and `values()` samples the
    whole at the grid. Times needn't come in order as long as each ramp's change is what is meant, which
    `to` makes from the value that the previous call asked for.
    """

    def __init__(self, n: int, rate_hz: float, start: float = 0.0):
        self.n, self.rate_hz, self.start, self.last = n, rate_hz, start, start
        self._events: list[tuple[float, float, float]] = []

    def to(self, t_s: float, value: float, rise_s: float) -> None:
        """Move to a value, beginning at t_s, within rise_s."""
        if value != self.last:
            self._events.append((t_s, value - self.last, rise_s))
            self.last = value

    def bump(self, t_s: float, value: float, rise_s: float, hold_s: float) -> None:
        """Move away by `value`, stay, and come back."""
        self._events.append((t_s, value, rise_s))
        self._events.append((t_s + rise_s + hold_s, -value, rise_s))

    def values(self) -> Float[np.ndarray, " n"]:
        """The signal at k / rate_hz, k = 0 .. n - 1."""
        ramps, jumps = np.zeros(self.n), np.zeros(self.n + 1)
        jumps[0] = self.start
        for t_s, change, rise_s in self._events:
            first = int(np.ceil(t_s * self.rate_hz))
            last = int(np.ceil((t_s + rise_s) * self.rate_hz))
            a, b = min(max(first, 0), self.n), min(max(last, 0), self.n)
            if b > a:
                ramps[a:b] += change * smooth_step((np.arange(a, b) / self.rate_hz - t_s) / rise_s)
            jumps[b] += change
        return ramps + np.cumsum(jumps[: self.n])


@cache
def _band(low_hz: float, high_hz: float, rate_hz: float, order: int) -> tuple[np.ndarray, float]:
    low = signal.butter(2, low_hz, "highpass", fs=rate_hz, output="sos")
    high = signal.butter(order, high_hz, "lowpass", fs=rate_hz, output="sos")
    sos = np.concatenate([low, high])
    _, response = signal.sosfreqz(sos, worN=1 << 15, fs=rate_hz)
    return sos, float(np.sqrt(np.mean(np.abs(response) ** 2)))


def band_noise(
    rng: np.random.Generator,
    n: int,
    rate_hz: float,
    low_hz: float,
    high_hz: float,
    *,
    channels: int = 1,
    order: int = 6,
) -> Float[np.ndarray, "channels n"]:
    """Gaussian noise of unit rms between two frequencies.

    It falls by 12 dB per octave below and by 6 x order dB above: a displacement must fall faster than 1 / f^2
    for its acceleration to have a band at all.
    """
    sos, gain = _band(low_hz, high_hz, rate_hz, order)
    lead = int(min(3.0 / low_hz, 20.0) * rate_hz)  # lets the filter forget its start
    white = rng.standard_normal((channels, n + lead))
    return signal.sosfilt(sos, white, axis=1)[:, lead:] / gain


def slow_noise(
    rng: np.random.Generator, n: int, rate_hz: float, low_hz: float, high_hz: float, *, channels: int = 1
) -> Float[np.ndarray, "channels n"]:
    """As `band_noise`, made at 10 Hz and brought up to the grid by cubic interpolation; high_hz <= 2."""
    coarse_hz = 10.0
    m = int(np.ceil(n / rate_hz * coarse_hz)) + 6
    coarse = band_noise(rng, m, coarse_hz, low_hz, high_hz, channels=channels)
    at = np.arange(n) / rate_hz * coarse_hz + 2.0
    return np.stack([ndimage.map_coordinates(c, at[None], order=3, mode="nearest") for c in coarse])


def gaussian_smooth(values: Float[np.ndarray, " n"], sigma_s: float, rate_hz: float) -> Float[np.ndarray, " n"]:
    """Gaussian smoothing as three passes of a moving average, in time independent of sigma."""
    width = int(np.sqrt(4.0 * (sigma_s * rate_hz) ** 2 + 1.0)) | 1
    for _ in range(3):
        values = ndimage.uniform_filter1d(values, width, mode="nearest")
    return values


def add_transients(
    out: Float[np.ndarray, " n"],
    t_s: Float[np.ndarray, " k"],
    amplitude_mps2: Float[np.ndarray, " k"],
    frequency_hz: float,
    decay_s: float,
    rate_hz: float,
) -> None:
    """Add short damped thumps to a displacement in place, given by their peak acceleration.

    Each is a Gaussian-windowed cosine: a (2 pi f)^-2 cos(2 pi f (t - t_k)) exp(-(t - t_k)^2 / (2 decay^2)), so that
    its energy lies around f and dies out on both sides.
    """
    if len(t_s) == 0:
        return
    half = int(4 * decay_s * rate_hz) + 1
    first = np.rint(t_s * rate_hz).astype(int) - half
    index = first[:, None] + np.arange(2 * half + 1)
    dt = index / rate_hz - t_s[:, None]
    omega = 2 * np.pi * frequency_hz
    wave = (amplitude_mps2 / omega**2)[:, None] * np.cos(omega * dt) * np.exp(-0.5 * (dt / decay_s) ** 2)
    ok = (index >= 0) & (index < len(out))
    np.add.at(out, index[ok], wave[ok])
