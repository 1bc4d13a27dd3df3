"""From samples in blocks of any size to whole seconds: `preprocess.imu`'s causal way, with constant memory.

The same numbers as `orientation(causal=True)`, `rotate`, `resample`, `second_windows` and `facing` give of a recording
that is there as a whole. A second is ready when its samples and the low-pass filter's reach after it (a twentieth of a
second) have come.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from eailkit.errors import RecordingError
from eailkit.live.samples import Break, LeftOut, Run, Sorter, as_block
from eailkit.preprocess.imu import RATE_HZ, STEPS_PER_SAMPLE, GravityAligner, lowpass
from eailkit.preprocess.kernels import filter_at, rotate_each
from eailkit.recording import ImuStream

LENGTH = int(RATE_HZ)  # samples of a second's window
SETTLE_S = 1.0  # of the stream, from which its rate is measured
KEPT_S = 1.0  # longest gap over which the orientation filter keeps running
BACKLOG = 2048  # samples that wait at most until they are looked at


@dataclass(frozen=True)
class MotionSecond:
    """One second of head motion.

    Attributes:
        time_s: its middle, seconds since the stream's first sample; a clock that was set back counts as if no time
            had passed.
        window: acc xyz and gyro xyz in the gravity frame at 400 Hz, m/s² and rad/s.
        facing: where the head faces in that frame, rad; NaN where the sensor's mounting is unknown.
        notes: what was wrong with the samples since the second before, a sentence each.
    """

    time_s: float
    window: Float32[np.ndarray, "6 400"]
    facing: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Interruption:
    """Between two seconds samples are missing.

    Attributes:
        missing_s: how long, seconds; None where the clock was set back and nobody knows.
        reoriented: whether the gravity frame's heading begins anew, since the orientation filter was started again.
    """

    missing_s: float | None
    reoriented: bool


class SecondStream:
    """Takes samples as they come, gives whole seconds and interruptions in their order.

    Args:
        R_head_sensor: rotation that takes sensor axes to head axes (x forward, y left, z up); None where unknown.
        rate_hz: of the samples; measured over the first second where None.
    """

    def __init__(self, R_head_sensor: Float[np.ndarray, "3 3"] | None, rate_hz: float | None = None) -> None:
        self.forward = None if R_head_sensor is None else np.array(R_head_sensor, float)[0]
        self._sorter, self._notes = Sorter(), _Notes()
        self._period_s, self._aligner = None, None
        self._waiting: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._count = 0  # samples among them
        self._stretch = _Stretch(0.0)
        self._first: list[Run] = []  # of a stretch while the rate is unknown
        if rate_hz is not None:
            self._settle(1 / rate_hz)

    def push(
        self, t_s: Float[np.ndarray, " n"], acc_mps2: Float[np.ndarray, "n 3"], gyro_radps: Float[np.ndarray, "n 3"]
    ) -> Iterator[MotionSecond | Interruption]:
        """What the next samples complete: sensor axes, specific force in m/s², rad/s, times in seconds.

        Raises:
            RecordingError: the arrays don't belong together, or the first second can't be right (unit, rate, ...).
        """
        block = as_block(t_s, acc_mps2, gyro_radps)
        if not len(block[0]):
            return
        self._waiting.append(block)
        self._count += len(block[0])
        last_s = block[0][-1]
        # a sensor that sends each sample alone costs next to nothing until a second is full
        if self._sorter.last_s <= last_s < self._stretch.due_s and self._count < BACKLOG:
            return
        yield from self._take_waiting()

    def finish(self) -> Iterator[MotionSecond | Interruption]:
        """The last second, as a recording that ends here would have it; nothing may be pushed afterwards."""
        yield from self._take_waiting()
        yield from self._end_stretch()

    def _take_waiting(self) -> Iterator[MotionSecond | Interruption]:
        if not self._waiting:
            return
        block = [np.concatenate(part) for part in zip(*self._waiting, strict=True)]
        self._waiting, self._count = [], 0
        for found in self._sorter.sort(*block):
            if isinstance(found, LeftOut):
                self._notes.left_out(found)
            elif isinstance(found, Break):
                yield from self._break(found)
            else:
                self._add(found)
                yield from self._seconds()

    def _break(self, found: Break) -> Iterator[MotionSecond | Interruption]:
        yield from self._end_stretch()
        before = self._stretch
        reoriented = found.set_back or found.step_s > KEPT_S
        if reoriented and self._period_s is not None:
            self._aligner = GravityAligner(1 / self._period_s)
        self._stretch = _Stretch(before.end_s + max(found.step_s, 0.0))
        self._notes.interrupted(found, before.end_s, reoriented)
        yield Interruption(None if found.set_back else found.step_s, reoriented)

    def _end_stretch(self) -> Iterator[MotionSecond | Interruption]:
        if self._period_s is None and self._first and self._span_s() >= 0.99 * SETTLE_S:
            self._settle(self._measured_period_s())
        self._first = []
        yield from self._seconds(ended=True)

    def _add(self, run: Run) -> None:
        self._stretch.saw(run.t_s)
        if self._period_s is not None:
            self._align(run)
            return
        self._first.append(run)
        if self._span_s() >= SETTLE_S:
            self._settle(self._measured_period_s())

    def _span_s(self) -> float:
        return float(self._first[-1].t_s[-1] - self._first[0].t_s[0])

    def _measured_period_s(self) -> float:
        """Mean step over the first second, which has to be one of an IMU in SI units."""
        t_s, values = (np.concatenate([getattr(run, name) for run in self._first]) for name in ("t_s", "values"))
        whole = t_s < t_s[0] + SETTLE_S
        t_s, values = t_s[whole], values[whole]
        ImuStream(t_s, values[:, :3], values[:, 3:], source="live IMU").validate(min_duration_s=0.9 * SETTLE_S)
        step = np.diff(t_s)
        median = np.median(step)
        return float(step[(step > 0.5 * median) & (step < 1.5 * median)].mean())

    def _settle(self, period_s: float) -> None:
        if 1 / period_s < 0.95 * RATE_HZ / 4:
            raise RecordingError(
                f"live IMU: found {1 / period_s:.1f} Hz; expected {RATE_HZ / 4:g} Hz or more; use a faster sensor."
            )
        self._period_s, self._aligner = period_s, GravityAligner(1 / period_s)
        for run in self._first:
            self._align(run)
        self._first = []

    def _align(self, run: Run) -> None:
        """Turn samples to gravity, and those that are missing between them, interpolated: the filter counts samples."""
        run = _without_holes(self._stretch.last, run, self._period_s)
        acc, gyro = (np.ascontiguousarray(run.values[:, k : k + 3]) for k in (0, 3))
        quat = np.ascontiguousarray(self._aligner.orientation(acc, gyro))
        columns = [rotate_each(quat, acc), rotate_each(quat, gyro)]
        if self.forward is not None:
            columns.append(rotate_each(quat, np.tile(self.forward, (len(acc), 1)))[:, :2])
        self._stretch.append(run, np.concatenate(columns, axis=1))

    def _seconds(self, *, ended: bool = False) -> Iterator[MotionSecond]:
        if self._period_s is None:
            return
        for time_s, end_s, window, facing in self._stretch.complete(self._period_s, ended=ended):
            yield MotionSecond(time_s, window, facing, self._notes.until(math.inf if ended else end_s))


class _Stretch:
    """Uninterrupted samples: what of them is still needed, and the next second to cut."""

    def __init__(self, begins_s: float) -> None:
        self.begins_s = begins_s  # seconds since the stream's first sample
        self.reach_s = 0.0  # of the low-pass filter
        self.first_s = self.last_s = math.nan  # on the sensor's clock
        self.last: Run | None = None  # the last sample, before it was turned
        self.t_s, self.columns = np.zeros(0), None
        self.second = 0

    @property
    def end_s(self) -> float:
        """Its last sample, seconds since the stream's first."""
        return self.begins_s + (0.0 if math.isnan(self.first_s) else self.last_s - self.first_s)

    @property
    def due_s(self) -> float:
        """When a sample of that time has come, its next second may be complete."""
        return -math.inf if math.isnan(self.first_s) else self.first_s + self.second + 1 + self.reach_s

    def saw(self, t_s: np.ndarray) -> None:
        """Note first and last time, also while nothing can be turned yet."""
        if math.isnan(self.first_s):
            self.first_s = float(t_s[0])
        self.last_s = float(t_s[-1])

    def append(self, run: Run, columns: np.ndarray) -> None:
        """Samples, and what came of turning them: acc and gyro in the gravity frame, x and y of the forward axis."""
        self.last = Run(run.t_s[-1:], run.values[-1:])
        self.t_s = np.concatenate([self.t_s, run.t_s])
        self.columns = columns if self.columns is None else np.concatenate([self.columns, columns])

    def complete(self, period_s: float, *, ended: bool) -> Iterator[tuple[float, float, np.ndarray, float]]:
        """Seconds that nothing can change any more: middle, end on the sensor's clock, window, facing."""
        half_width, table = lowpass(period_s, RATE_HZ)
        self.reach_s = (half_width + 2) * period_s
        while len(self.t_s) > 2:
            at_s = self.first_s + (self.second * LENGTH + np.arange(LENGTH)) / RATE_HZ
            if ended:
                ready = at_s[-1] <= self.t_s[-1] + 1e-6 / RATE_HZ
            else:  # the last sample's share of time hangs on the one after it
                ready = at_s[-1] - self.first_s + half_width * period_s <= self.t_s[-2] - self.first_s
            if not ready:
                return
            weights = np.gradient(self.t_s) / period_s
            found = filter_at(
                self.t_s - self.first_s, np.ascontiguousarray(self.columns[:, :6]), weights, at_s - self.first_s,
                period_s, half_width, table, STEPS_PER_SAMPLE,
            )  # fmt: skip
            middle_s = self.first_s + self.second + 0.5
            window = np.ascontiguousarray(found.astype(np.float32).T)
            yield self.begins_s + self.second + 0.5, middle_s + 0.5, window, self._facing(middle_s)
            self.second += 1
            self._forget(self.first_s + self.second - half_width * period_s)

    def _facing(self, middle_s: float) -> float:
        if self.columns.shape[1] < 8:
            return math.nan
        low, high = np.searchsorted(self.t_s, [middle_s - 0.5, middle_s + 0.5])
        x, y = self.columns[low : max(high, low + 1), 6:].sum(axis=0)
        return math.atan2(y, x)

    def _forget(self, before_s: float) -> None:
        """Drop samples that no later second reads; three more stay, whose shares of time their neighbours need."""
        first = max(0, int(np.searchsorted(self.t_s, before_s)) - 3)
        self.t_s, self.columns = self.t_s[first:].copy(), self.columns[first:].copy()


def _without_holes(last: Run | None, run: Run, period_s: float) -> Run:
    """The run with samples interpolated where some are missing, the hole before its first one included."""
    t_s, values, begins = run.t_s, run.values, 0
    if last is not None:
        t_s, values, begins = np.concatenate([last.t_s, t_s]), np.concatenate([last.values, values]), 1
    step = np.diff(t_s)
    lacking = np.where(step > 1.5 * period_s, np.round(step / period_s) - 1, 0).astype(int)
    if not lacking.any():
        return run
    at = np.concatenate([[0], np.cumsum(1 + lacking)])
    even = np.arange(at[-1] + 1)
    columns = [np.interp(even, at, column) for column in np.column_stack([t_s, values]).T]
    return Run(columns[0][begins:], np.stack(columns[1:], axis=1)[begins:])


class _Notes:
    """What is to be said, with the second that it belongs to; counts of samples are summed up a second."""

    def __init__(self) -> None:
        self._sentences: list[str] = []
        self._left_out: list[LeftOut] = []

    def left_out(self, found: LeftOut) -> None:
        """Samples that can't be used; those at one place are one entry, however many they are."""
        if self._left_out and (self._left_out[-1].why, self._left_out[-1].after_s) == (found.why, found.after_s):
            found = LeftOut(found.why, found.after_s, self._left_out.pop().count + found.count)
        self._left_out.append(found)

    def interrupted(self, found: Break, at_s: float, reoriented: bool) -> None:
        """A gap or a clock that was set back, `at_s` seconds after the stream began."""
        self._sentences += self._counted(math.inf)
        what, remedy = f"a gap of {found.step_s:.2f} s", "keep the sensor connected"
        if found.set_back:
            what, remedy = f"a clock set back by {-found.step_s:.2f} s", "use a monotonic clock"
        kept = "the heading is sought anew" if reoriented else "place and heading are less sure"
        self._sentences.append(
            f"live IMU: found {what} after {at_s:.1f} s; expected steps of at most 0.1 s; {kept}; {remedy}."
        )

    def until(self, end_s: float) -> tuple[str, ...]:
        """Everything of the stretch before a time on its clock."""
        said = (*self._sentences, *self._counted(end_s))
        self._sentences = []
        return said

    def _counted(self, end_s: float) -> list[str]:
        due = [one for one in self._left_out if one.after_s < end_s]
        self._left_out = [one for one in self._left_out if one.after_s >= end_s]
        count = {why: sum(one.count for one in due if one.why == why) for why in ("not finite", "not later")}
        said = []
        if n := count["not finite"]:
            said.append(
                f"live IMU: found {n} {'sample' if n == 1 else 'samples'} with NaN or infinite values; expected "
                "numbers; left out and interpolated; check the sensor."
            )
        if n := count["not later"]:
            said.append(
                f"live IMU: found {n} {'sample' if n == 1 else 'samples'} no later than the one before; expected "
                "increasing times; left out and interpolated; stamp samples when they are measured."
            )
        return said
