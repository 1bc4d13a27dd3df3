"""Samples as a sensor sends them, in blocks of any size: what can be used, and where the stream was interrupted.

Values that are no numbers and times that don't increase are left out; a gap or a clock that is set back ends a run of
samples. What is found doesn't hang on how the samples were cut into blocks. Filters live in `seconds`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from eailkit.errors import RecordingError

MAX_GAP_S = 0.1  # longer and nobody can say what the head did: the limit of `ImuStream.validate`


@dataclass(frozen=True)
class Run:
    """Samples with strictly increasing times, none further than `MAX_GAP_S` from the one before."""

    t_s: Float[np.ndarray, " n"]
    values: Float[np.ndarray, "n 6"]


@dataclass(frozen=True)
class Break:
    """An interruption before the samples that follow.

    Attributes:
        step_s: from the last sample to the next one on their clock: beyond `MAX_GAP_S`, or negative where the clock
            was set back.
    """

    step_s: float

    @property
    def set_back(self) -> bool:
        """Whether the clock was set back, so that nobody knows how long it took."""
        return self.step_s < 0


@dataclass(frozen=True)
class LeftOut:
    """Samples that can't be used.

    Attributes:
        why: "not finite" or "not later".
        after_s: time of the last sample before them that can, on its clock; -inf where there is none.
    """

    why: str
    after_s: float
    count: int = 1


class Sorter:
    """Cuts blocks of samples into runs; remembers the last time that it let through.

    A clock counts as set back once samples have come on the new one for `MAX_GAP_S`: before that they wait, since a
    packet that was held up looks the same.
    """

    def __init__(self) -> None:
        self.last_s = -np.inf
        self._earlier: list[tuple[float, np.ndarray]] = []  # samples long before the last one, in their order

    def sort(
        self,
        t_s: Float[np.ndarray, " n"],
        acc_mps2: Float[np.ndarray, "n 3"],
        gyro_radps: Float[np.ndarray, "n 3"],
    ) -> list[Run | Break | LeftOut]:
        """The next samples, in the order in which they came."""
        values = np.concatenate([acc_mps2, gyro_radps], axis=1)
        finite = np.isfinite(t_s) & np.isfinite(values).all(axis=1)
        step = np.diff(t_s, prepend=self.last_s)
        first_ever = int(np.isinf(self.last_s))  # its step is infinite
        if finite.all() and (step > 0).all() and (step[first_ever:] <= MAX_GAP_S).all() and not self._earlier:
            self.last_s = float(t_s[-1])
            return [Run(t_s, values)]
        return self._one_by_one(t_s, values, finite)

    def _one_by_one(self, t_s: np.ndarray, values: np.ndarray, finite: np.ndarray) -> list[Run | Break | LeftOut]:
        found: list[Run | Break | LeftOut] = []
        kept: list[tuple[float, np.ndarray]] = []

        def end_run() -> None:
            if kept:
                found.append(Run(*map(np.array, zip(*kept, strict=True))))
                kept.clear()

        for at, row, good in zip(t_s.tolist(), values, finite.tolist(), strict=True):
            step = at - self.last_s
            if not good:
                found.append(LeftOut("not finite", self.last_s))
                continue
            if step < -MAX_GAP_S:
                if self._earlier and not 0 < at - self._earlier[-1][0] <= MAX_GAP_S:
                    found += self._give_up()
                self._earlier.append((at, row))
                if at - self._earlier[0][0] >= MAX_GAP_S:
                    end_run()
                    found.append(Break(self._earlier[0][0] - self.last_s))
                    kept += self._earlier
                    self._earlier, self.last_s = [], at
                continue
            found += self._give_up()
            if step <= 0:  # sent twice, late, or several under one time
                found.append(LeftOut("not later", self.last_s))
                continue
            if MAX_GAP_S < step < np.inf:
                end_run()
                found.append(Break(step))
            kept.append((at, row))
            self.last_s = at
        end_run()
        return found

    def _give_up(self) -> list[LeftOut]:
        """Samples that waited were late, and the clock is the old one."""
        late = [LeftOut("not later", self.last_s) for _ in self._earlier]
        self._earlier = []
        return late


def as_block(
    t_s: Float[np.ndarray, " n"], acc_mps2: Float[np.ndarray, "n 3"], gyro_radps: Float[np.ndarray, "n 3"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three as arrays of doubles; one sample may come as a number and two triples.

    Raises:
        RecordingError: their shapes don't belong together.
    """
    t_s, acc, gyro = (np.asarray(v, dtype=np.float64) for v in (t_s, acc_mps2, gyro_radps))
    if t_s.ndim == 0:
        t_s, acc, gyro = t_s[None], acc[None], gyro[None]
    if t_s.ndim != 1 or acc.shape != (len(t_s), 3) or gyro.shape != (len(t_s), 3):
        raise RecordingError(
            f"live IMU: found times {t_s.shape}, acc {acc.shape} and gyro {gyro.shape}; expected (n,), (n, 3) and "
            "(n, 3); give one row a sample."
        )
    return t_s, acc, gyro
