"""Windows of fixed length cut from a stream, in the sensor's own axes: PRIMUS's input (PRIMUS section 4).

EAIL's one-second windows are turned to gravity first; those are `imu`'s.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Float32

from eailkit.errors import ConfigError, RecordingError
from eailkit.preprocess.imu import resample
from eailkit.recording import ImuStream

RATE_HZ = 50.0  # PRIMUS's input
LENGTH_S = 5.0


def cut_windows(
    imu: ImuStream,
    *,
    length_s: float = LENGTH_S,
    stride_s: float = LENGTH_S,
    rate_hz: float = RATE_HZ,
    start_s: float | None = None,
    end_s: float | None = None,
) -> tuple[Float32[np.ndarray, "n 6 samples"], Float[np.ndarray, " n"]]:
    """Resample a stream (low-passed first, so that nothing aliases) and cut it; an incomplete tail gives no window.

    Args:
        imu: any rate from 0.8 of `rate_hz` on; slower samples hold no 50 Hz signal, however they are interpolated.
        length_s, stride_s: of the windows; a stride below the length makes them overlap.
        start_s, end_s: take only what lies between these times of the stream's clock. Default: all of it.

    Returns:
        windows: acc xyz in m/s², gyro xyz in rad/s, in the stream's axes.
        start_s: time of each window's first sample.

    Raises:
        RecordingError: the stream can't be right (`ImuStream.validate`), is too slow, or shorter than one window.
        ConfigError: a length or stride of less than one sample.
    """
    length, stride = round(length_s * rate_hz), round(stride_s * rate_hz)
    if length < 1 or stride < 1:
        raise ConfigError(
            f"cut_windows: found length {length_s:g} s and stride {stride_s:g} s; expected at least one sample of "
            f"{rate_hz:g} Hz each."
        )
    even = resample(imu, rate_hz, start_s=start_s, min_rate_hz=0.8 * rate_hz)
    low = -np.inf if start_s is None else start_s - 0.5 / rate_hz
    even = even.crop(low, np.inf if end_s is None else end_s + 0.5 / rate_hz)
    if len(even) < length:
        raise RecordingError(
            f"{imu.source}: found {len(even) / rate_hz:.2f} s to cut; expected at least one window of {length_s:g} s; "
            "give a longer recording or leave it out."
        )
    first = np.arange(0, len(even) - length + 1, stride)
    samples = np.concatenate([even.acc_mps2, even.gyro_radps], axis=1).T.astype(np.float32)  # (6, samples)
    return np.stack([samples[:, k : k + length] for k in first]), even.t_s[first]
