"""Features of a window that an engineer writes down: the line that a learned IMU encoder has to beat.

None of them changes when both sensors are turned by one rotation, so it doesn't matter how the glasses or the phone
sit on the head. PRIMUS compares with learned encoders only; on real head-worn recordings these features with a
logistic regression are the stronger line. Classifiers are `probe`'s.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from eailkit.errors import RecordingError

RATE_HZ = 50.0
EDGES_HZ = (0.15, 0.5, 1.0, 1.6, 2.3, 3.5, 5.0, 8.0, 12.0, 18.0, 25.1)  # of the bands; steps are at 1.6 to 2.3
QUANTILES = (5, 25, 50, 75, 95)
STEP_HZ = (0.8, 4.0)  # where a rhythm of the whole body (steps, sit to stand excluded) is looked for
BLOCK = 512  # windows at once: the temporaries stay in the cache
_TINY = 1e-12
SIGNALS = ("acc", "acc_up", "acc_flat", "gyro", "gyro_up", "gyro_flat")


def _quantities(windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Six rotation-invariant signals (n, 6, T) in the order of `SIGNALS`, and the direction of up (n, 3).

    acc: |a|; acc_up: a.u; acc_flat: |a - (a.u) u|; gyro likewise, u the window's mean specific force, normalised.
    """
    acc, gyro = windows[:, :3], windows[:, 3:]
    mean = acc.mean(axis=2)
    up = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), _TINY)
    signals = []
    for v in (acc, gyro):
        along = np.einsum("nkt,nk->nt", v, up)
        square = np.einsum("nkt,nkt->nt", v, v)
        signals += [np.sqrt(square), along, np.sqrt(np.maximum(square - along**2, 0.0))]
    return np.stack(signals, axis=1), up


def _log(x: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(x, _TINY))


def _moments(x: np.ndarray) -> dict[str, np.ndarray]:
    """Size and shape of each signal about its mean: a sensor's offset, which names the device, isn't kept."""
    centred = x - x.mean(axis=2, keepdims=True)
    std = np.sqrt((centred**2).mean(axis=2)) + 1e-6
    unit = centred / std[..., None]
    jerk = np.diff(x, axis=2) * RATE_HZ
    found = {
        "log_std": _log(std),
        "skew": np.cbrt((unit**3).mean(axis=2)),
        "kurtosis": _log((unit**4).mean(axis=2)),
        "log_jerk": _log(np.sqrt((jerk**2).mean(axis=2)) + 1e-6),
        "log_jerk_median": _log(np.median(np.abs(jerk), axis=2) + 1e-6),
        "crossings": (np.diff(np.sign(centred), axis=2) != 0).mean(axis=2),
    }
    ordered = np.sort(centred, axis=2)
    at = [round(q / 100 * (x.shape[2] - 1)) for q in QUANTILES]
    for q, k in zip(QUANTILES, at):
        found[f"q{q:02d}"] = np.sign(ordered[..., k]) * np.log1p(10 * np.abs(ordered[..., k]))
    found["log_range"] = _log(ordered[..., -1] - ordered[..., 0] + 1e-6)
    # How unevenly the motion is spread over the window: fidgeting comes in bursts, a walk doesn't.
    fifth = centred[..., : x.shape[2] // 5 * 5].reshape(*x.shape[:2], 5, -1)
    energy = _log(fifth.var(axis=3) + 1e-9)
    found |= {"burst": energy.std(axis=2), "quietest": energy.min(axis=2)}
    return found


def _spectra(x: np.ndarray) -> dict[str, np.ndarray]:
    """Log power by band, spectral entropy and centroid, and the strongest rhythm with its strength."""
    T = x.shape[2]
    centred = x - x.mean(axis=2, keepdims=True)
    taper = np.hanning(T)
    power = np.abs(np.fft.rfft(centred * taper, axis=2)) ** 2 / (taper**2).sum() / RATE_HZ
    freq = np.fft.rfftfreq(T, 1 / RATE_HZ)
    inside = np.stack([(freq >= low) & (freq < high) for low, high in zip(EDGES_HZ, EDGES_HZ[1:])]).astype(power.dtype)
    bands = power @ inside.T  # (n, 6, bands)
    found = {f"band{low:g}": _log(bands[..., k] + 1e-9) for k, low in enumerate(EDGES_HZ[:-1])}
    share = power[..., 1:] / (power[..., 1:].sum(axis=2, keepdims=True) + _TINY)
    found["entropy"] = -(share * _log(share)).sum(axis=2)
    found["centroid_hz"] = share @ freq[1:]
    found["peak_hz"] = freq[1:][share.argmax(axis=2)]
    found["peak_share"] = share.max(axis=2)
    padded = np.abs(np.fft.rfft(centred, n=2 * T, axis=2)) ** 2
    auto = np.fft.irfft(padded, axis=2)[..., :T]
    auto = auto / (auto[..., :1] + _TINY)
    low, high = int(RATE_HZ / STEP_HZ[1]), int(RATE_HZ / STEP_HZ[0]) + 1
    lags = auto[..., low:high]
    # A peak, not the shoulder of lag 0: higher than its neighbours.
    is_peak = (lags[..., 1:-1] > lags[..., :-2]) & (lags[..., 1:-1] >= lags[..., 2:])
    peaks = np.where(is_peak, lags[..., 1:-1], 0.0)
    found["rhythm"] = peaks.max(axis=2)
    found["rhythm_s"] = np.where(peaks.max(axis=2) > 0, (peaks.argmax(axis=2) + low + 1) / RATE_HZ, 0.0)
    found["auto_1s"] = auto[..., int(RATE_HZ)]
    found["auto_quarter"] = auto[..., int(RATE_HZ / 4)]
    return found


def _relations(windows: np.ndarray, x: np.ndarray, up: np.ndarray) -> dict[str, np.ndarray]:
    """How axes move together, whatever they are called, and how the head's tilt wanders; one value a window."""
    found: dict[str, np.ndarray] = {}
    centred = x - x.mean(axis=2, keepdims=True)
    unit = centred / (centred.std(axis=2, keepdims=True) + 1e-6)
    for i, j in ((0, 3), (1, 2), (1, 4), (1, 5), (2, 4), (2, 5), (4, 5)):
        found[f"corr_{SIGNALS[i]}_{SIGNALS[j]}"] = (unit[:, i] * unit[:, j]).mean(axis=1)
    v = windows - windows.mean(axis=2, keepdims=True)
    T = v.shape[2]
    for name, block in (("acc", v[:, :3]), ("gyro", v[:, 3:])):
        along = np.einsum("nkt,nk->nt", block, up)
        flat = block - along[:, None] * up[..., None]
        # The covariance across the vertical has one zero eigenvalue; the other two are the long and short axis.
        axes = np.linalg.eigvalsh(flat @ flat.transpose(0, 2, 1) / T)[:, 1:]
        found[f"{name}_flat_long"], found[f"{name}_flat_short"] = _log(axes[:, 1] + 1e-9), _log(axes[:, 0] + 1e-9)
        found[f"{name}_shape"] = _log(axes[:, 1] + 1e-9) - _log(axes[:, 0] + 1e-9)
        total = np.linalg.eigvalsh(block @ block.transpose(0, 2, 1) / T)
        found |= {f"{name}_eigen{k}": _log(total[:, k] + 1e-9) for k in range(3)}
    cross = np.linalg.svd(v[:, :3] @ v[:, 3:].transpose(0, 2, 1) / T, compute_uv=False)
    found |= {f"cross{k}": _log(cross[:, k] + 1e-9) for k in range(2)}
    # Tilt: the direction of the mean force in each fifth of the window against up.
    fifth = windows[:, :3, : T // 5 * 5].reshape(len(windows), 3, 5, -1).mean(axis=3)
    fifth = fifth / np.maximum(np.linalg.norm(fifth, axis=1, keepdims=True), _TINY)
    tilt = np.arccos(np.clip(np.einsum("nkf,nk->nf", fifth, up), -1.0, 1.0))
    found["log_tilt"], found["log_tilt_max"] = _log(tilt.mean(axis=1) + 1e-3), _log(tilt.max(axis=1) + 1e-3)
    between = np.arccos(np.clip((fifth[..., 1:] * fifth[..., :-1]).sum(axis=1), -1.0, 1.0))
    found["log_tilt_step"] = _log(between.mean(axis=1) + 1e-3)
    turn = np.cumsum(x[:, 4], axis=1) / RATE_HZ  # heading since the window's start, radians
    found["turn_net"] = _log(np.abs(turn[:, -1]) + 1e-2)
    found["turn_range"] = _log(turn.max(axis=1) - turn.min(axis=1) + 1e-2)
    return found


def _block(windows: np.ndarray) -> dict[str, np.ndarray]:
    windows = windows.astype(np.float64)
    x, up = _quantities(windows)
    by_signal = _moments(x) | _spectra(x)
    named = {f"{s}_{name}": v[:, k] for name, v in by_signal.items() for k, s in enumerate(SIGNALS)}
    return named | {"gyro_mean": _log(x[:, 3].mean(axis=1) + 1e-3)} | _relations(windows, x, up)


def handcrafted_features(windows: Float32[np.ndarray, "n 6 samples"]) -> Float32[np.ndarray, "n features"]:
    """Rotation-invariant features of windows at 50 Hz; `feature_names` says what each column is.

    Of |a|, its part along the window's mean specific force and the part across, and of the gyroscope likewise: spread,
    quantiles about the mean, jerk, band powers in log, spectral entropy, rhythm. Of both together: correlations,
    eigenvalues of the covariances, how far the tilt wanders and the heading turns. The mean of |a| is left out: on
    uncalibrated sensors it names the device (9.3 to 10.0 m/s² on ClassyGlass), and thereby the wearer.

    Args:
        windows: acc xyz in m/s² with gravity, gyro xyz in rad/s, any axes; at least 2.5 s.

    Raises:
        RecordingError: another shape, too short, or NaN.
    """
    windows = np.asarray(windows)
    if windows.ndim != 3 or windows.shape[1] != 6 or windows.shape[2] < 125:
        raise RecordingError(
            f"handcrafted_features: found windows {windows.shape}; expected (n, 6, 125 samples or more) at 50 Hz."
        )
    if not np.isfinite(windows).all():
        raise RecordingError(
            "handcrafted_features: found NaN or infinite values; expected none; leave those windows out."
        )
    blocks = [
        np.stack(list(_block(windows[k : k + BLOCK]).values()), axis=1) for k in range(0, max(len(windows), 1), BLOCK)
    ]
    return np.concatenate(blocks).astype(np.float32)


def feature_names() -> tuple[str, ...]:
    """Names of the columns of `handcrafted_features`."""
    return tuple(_block(np.random.default_rng(0).normal(size=(1, 6, 250))))
