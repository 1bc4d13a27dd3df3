"""An accelerometer and a gyroscope that were logged apart, each with its own times, brought to one clock.

Phones and button sensors write the two into separate files whose samples never coincide; ClassyGlass and
RealWorld come this way. Nothing is extrapolated, filled or smoothed: where one of the two is missing, there
is no sample, and where the hole is longer than a stated limit the recording is cut there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from eailkit.errors import EailkitError, RecordingError
from eailkit.recording import ActionSegment, ImuStream, Recording

MIN_PART_S = 1.0  # a part between two gaps that is shorter than one window is of no use and is left out
_ROUNDING_S = 1e-5  # epoch seconds as float64 resolve 0.24 microseconds


@dataclass(frozen=True)
class Samples:
    """One sensor's samples on its own times.

    Attributes:
        t_s: seconds, as the file has them, (n,).
        values: SI units, (n, 3).
        source: file (and member) that they came from, for messages.
        kind: "accelerometer" or "gyroscope", for messages.
    """

    t_s: Float[np.ndarray, " n"]
    values: Float[np.ndarray, "n 3"]
    source: str
    kind: str

    @property
    def rate_hz(self) -> float:
        """Sample rate: one over the median step."""
        return float(1.0 / np.median(np.diff(self.t_s)))


def clean(samples: Samples, *, min_rate_hz: float, max_rate_hz: float = 2000.0) -> Samples:
    """The samples with rows of repeated times dropped (the first stays), or one sentence on what is wrong.

    Stamps of whole milliseconds repeat now and then; up to 1 % of such rows is a stamp's rounding, more is a fault.

    Raises:
        RecordingError: under two rows, NaN, times that run backwards, many repeated times, or an impossible rate.
    """
    t_s, values, where = samples.t_s, samples.values, samples.source
    if len(t_s) < 2:
        raise RecordingError(
            f"{where}: found {len(t_s)} rows of the {samples.kind}; expected a recording of seconds; "
            "is the file empty or truncated?"
        )
    bad = ~(np.isfinite(t_s) & np.isfinite(values).all(axis=1))
    if bad.any():
        raise RecordingError(
            f"{where}: found {int(bad.sum())} incomplete rows, the first at row {int(np.argmax(bad)) + 1}; expected "
            "four numbers in each; the file may be truncated: copy or download it again."
        )
    step = np.diff(t_s)
    if (step < 0).any():
        i = int(np.argmax(step < 0))
        raise RecordingError(
            f"{where}: found times that run backwards by {-step[i]:.3f} s at row {i + 2}; expected rising times; "
            "sort the rows if they are one recording, or split the file there if they are two."
        )
    first = np.concatenate([[True], step > 0])
    if (~first).mean() > 0.01:
        raise RecordingError(
            f"{where}: found {int((~first).sum())} of {len(t_s)} rows with the time of the row before; expected at "
            "most 1 %; check the time column and its unit."
        )
    kept = replace(samples, t_s=t_s[first], values=values[first])
    if not min_rate_hz <= kept.rate_hz <= max_rate_hz:
        raise RecordingError(
            f"{where}: found a {samples.kind} of {kept.rate_hz:.4g} Hz; expected {min_rate_hz:g} to {max_rate_hz:g} "
            "Hz; leave the recording out, or allow the rate with min_rate_hz if slow data will do."
        )
    return kept


def _spans(t_s: np.ndarray, max_gap_s: float) -> list[tuple[float, float]]:
    """First and last time of every stretch without a step above the limit."""
    cuts = np.flatnonzero(np.diff(t_s) > max_gap_s + _ROUNDING_S)
    starts, ends = np.concatenate([[0], cuts + 1]), np.concatenate([cuts, [len(t_s) - 1]])
    return [(float(t_s[a]), float(t_s[b])) for a, b in zip(starts, ends, strict=True)]


def gaps(samples: Samples, max_gap_s: float) -> list[tuple[float, float]]:
    """(seconds after the sensor's first sample, length in seconds) of every step above the limit."""
    step = np.diff(samples.t_s)
    return [
        (float(samples.t_s[i] - samples.t_s[0]), float(step[i])) for i in np.flatnonzero(step > max_gap_s + _ROUNDING_S)
    ]


def merge(
    acc: Samples,
    gyro: Samples,
    *,
    label: str,
    max_gap_s: float,
    min_rate_hz: float,
    min_overlap: float = 0.8,
) -> tuple[ImuStream, ...]:
    """Both sensors at the accelerometer's times, one stream for every stretch in which neither has a gap.

    The accelerometer's rows stay as they are and the gyroscope is interpolated linearly between its two
    neighbours, so that half of the numbers are the file's own. Rows before both have begun and after one has ended
    don't exist; stretches under `MIN_PART_S` are left out.

    Args:
        acc, gyro: m/s² with gravity, and rad/s; both on the same epoch, at times of their own.
        label: name of the sensor.
        max_gap_s: longest step between two rows over which a straight line still says what happened.
        min_rate_hz: slowest sensor that is taken: interpolating 25 Hz to 100 Hz makes rows, not bandwidth.
        min_overlap: share of the longer file's duration that both must cover; less means that one is truncated or
            that the two aren't of one recording.

    Raises:
        RecordingError: see `clean` and `ImuStream.validate`, or the two have too little time in common.
    """
    acc, gyro = (clean(s, min_rate_hz=min_rate_hz) for s in (acc, gyro))
    shared = min(acc.t_s[-1], gyro.t_s[-1]) - max(acc.t_s[0], gyro.t_s[0])
    acc_s, gyro_s = acc.t_s[-1] - acc.t_s[0], gyro.t_s[-1] - gyro.t_s[0]
    if shared < min_overlap * max(acc_s, gyro_s):
        raise RecordingError(
            f"{acc.source}: found {acc_s:.1f} s of accelerometer and {gyro_s:.1f} s of gyroscope with "
            f"{max(shared, 0.0):.1f} s in common; expected {100 * min_overlap:.0f} % of the longer; one of the two may "
            "be truncated or of another recording: copy both again."
        )
    parts = []
    for start, end in _common(_spans(acc.t_s, max_gap_s), _spans(gyro.t_s, max_gap_s)):
        rows = slice(np.searchsorted(acc.t_s, start), np.searchsorted(acc.t_s, end, side="right"))
        t_s = acc.t_s[rows]
        if len(t_s) < 2 or t_s[-1] - t_s[0] < MIN_PART_S:
            continue
        turning = np.stack([np.interp(t_s, gyro.t_s, gyro.values[:, k]) for k in range(3)], axis=1)
        imu = ImuStream(t_s, acc.values[rows], turning, "sensor", None, label, acc.source)
        parts.append(imu.validate(min_duration_s=MIN_PART_S, max_gap_s=max_gap_s + _ROUNDING_S))
    if not parts:
        raise RecordingError(
            f"{acc.source}: found no stretch of {MIN_PART_S:g} s in which both sensors step by at most {max_gap_s:g} "
            "s; expected one; leave the recording out or allow longer gaps with max_gap_s."
        )
    return tuple(parts)


def _common(a: list[tuple[float, float]], b: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Intersections of two sorted lists of spans."""
    return [(max(s, p), min(e, q)) for s, e in a for p, q in b if min(e, q) > max(s, p)]


def one_part(acc: Samples, gyro: Samples, parts: tuple[ImuStream, ...], max_gap_s: float) -> ImuStream:
    """The only part.

    Raises:
        RecordingError: a gap above the limit cuts the recording.
    """
    for samples in (acc, gyro):
        for after_s, length_s in gaps(samples, max_gap_s):
            raise RecordingError(
                f"{samples.source}: found a gap of {length_s:.2f} s in the {samples.kind} after {after_s:.1f} s; "
                f"expected none above {max_gap_s:g} s; read the {len(parts)} part(s) around it with parts()."
            )
    return parts[0]


def as_recordings(
    name: str, streams: Iterable[ImuStream], *, activity: str, participant: str, split: str
) -> tuple[Recording, ...]:
    """Recordings of one labelled activity; where there are several parts, their names end in .1, .2, ..."""
    streams = tuple(streams)
    return tuple(
        Recording(
            name=name if len(streams) == 1 else f"{name}.{k + 1}",
            imu=imu,
            actions=(ActionSegment(float(imu.t_s[0]), float(imu.t_s[-1]), activity),),
            participant=participant,
            split=split,
        )
        for k, imu in enumerate(streams)
    )


def open_all(
    names: Iterable[str], read: Callable[[str], tuple[Recording, ...]]
) -> tuple[list[Recording], dict[str, str]]:
    """Every recording that opens, and for each name that doesn't the sentence that says why."""
    opened: list[Recording] = []
    refused: dict[str, str] = {}
    for name in names:
        try:
            opened.extend(read(name))
        except EailkitError as fault:
            refused[name] = str(fault)
    return opened, refused
