"""What a few-shot run found: each participant's confusion matrix, and the figures, intervals and verdicts made of them.

Accuracy and macro-F1 are taken of the confusions summed over participants, once a seed, and averaged over seeds.
Intervals resample participants (and seeds): a claim is about other people and other draws of training windows, not
other windows of the same people.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from eailkit.errors import CheckpointError, ConfigError, DatasetError
from eailkit.fewshot.windows import ActivityWindows
from eailkit.files import save_npz
from eailkit.metrics import Interval
from eailkit.provenance import Identity

FEWSHOT_METRICS = ("accuracy", "macro_f1")
DRAWS = 2000
ON_PAR = 2.0  # points, fixed beforehand
Key = tuple[str, str, int, int]  # method, variant, shots per class, seed


def accuracy(confusion: Float[np.ndarray, "*batch C C"]) -> Float[np.ndarray, "*batch"]:
    """Share of windows on the diagonal, in percent; rows are true classes, columns predicted ones."""
    confusion = np.asarray(confusion, dtype=np.float64)
    return 100.0 * np.trace(confusion, axis1=-2, axis2=-1) / np.maximum(confusion.sum(axis=(-2, -1)), 1.0)


def macro_f1(confusion: Float[np.ndarray, "*batch C C"]) -> Float[np.ndarray, "*batch"]:
    """Mean over the classes that the test has of F1 = 2 TP / (2 TP + FP + FN), in percent.

    A class without a test window isn't counted, neither as 0 nor as 100; a window predicted as that class is still a
    miss of its own class. sklearn's `f1_score(average="macro", labels=classes in the test)` is the same.
    """
    confusion = np.asarray(confusion, dtype=np.float64)
    hit = np.diagonal(confusion, axis1=-2, axis2=-1)
    true, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    f1 = 2 * hit / np.maximum(true + predicted, 1.0)
    present = true > 0
    return 100.0 * (f1 * present).sum(axis=-1) / np.maximum(present.sum(axis=-1), 1)


@dataclass(eq=False)
class Scores:
    """Confusions of every method at every point of its curve, on one test.

    Attributes:
        name: of the test.
        classes: names, rows and columns of the confusions.
        participants: who was tested, sorted.
        confusion: by (method, variant, shots per class, seed): (participants, C, C) counts, rows true, columns found.
            A variant is the head that reads an encoder, a training budget, or a sensor's place (`results.names`).
        training: by the same key, windows of each class that were trained on (mean over folds): a class with fewer
            than asked gives all it has.
        made: method -> key of what made it (`begin`).
    """

    name: str
    classes: tuple[str, ...]
    participants: tuple[str, ...]
    confusion: dict[Key, Int[np.ndarray, "participants C C"]] = field(default_factory=dict)
    training: dict[Key, Float[np.ndarray, " C"]] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, windows: ActivityWindows, test: ActivityWindows | None = None) -> Scores:
        """Empty scores for folds over `windows`, or for tests on `test`."""
        tested = windows if test is None else test
        people = sorted({str(w) for w in tested.participant[tested.label >= 0]})
        name = windows.name if test is None else f"{windows.name} -> {test.name}"
        return cls(name, tuple(tested.classes), tuple(people))

    def begin(self, method: str, made: Identity) -> None:
        """Say what makes a method's points from here on, and forget those that something else made."""
        if self.made.get(method) != made.key:
            for held in (self.confusion, self.training):
                for key in [k for k in held if k[0] == method]:
                    del held[key]
            self.made[method] = made.key

    def has(self, method: str, variant: str, shots: int, seed: int) -> bool:
        """Whether that point is there."""
        return (method, variant, int(shots), int(seed)) in self.confusion

    def add(
        self,
        method: str,
        variant: str,
        shots: int,
        seed: int,
        truth: Int[np.ndarray, " n"],
        predicted: Int[np.ndarray, " n"],
        participant: np.ndarray,
        *,
        training: Float[np.ndarray, " C"] | None = None,
    ) -> None:
        """Count the answers to one test, every window of it.

        Raises:
            DatasetError: lengths differ, a class is out of range, or a participant isn't one of the test's.
        """
        C = len(self.classes)
        truth, predicted, participant = (np.asarray(v) for v in (truth, predicted, participant))
        if not len(truth) == len(predicted) == len(participant):
            raise DatasetError(
                f"{method}: found {len(predicted)} predictions and {len(participant)} participants for {len(truth)} "
                "windows; expected as many of each."
            )
        if len(truth) and (min(truth.min(), predicted.min()) < 0 or max(truth.max(), predicted.max()) >= C):
            raise DatasetError(f"{method}: found a class outside 0 to {C - 1}; expected none; leave -1 out first.")
        if unknown := set(map(str, participant)) - set(self.participants):
            raise DatasetError(
                f"{method}: found participants that aren't of {self.name} ({', '.join(sorted(unknown)[:3])}); expected "
                "the same test for every method; make another Scores."
            )
        person = np.searchsorted(self.participants, participant.astype(str))
        flat = np.bincount((person * C + truth) * C + predicted, minlength=len(self.participants) * C * C)
        key = (method, variant, int(shots), int(seed))
        self.confusion[key] = flat.reshape(len(self.participants), C, C)
        self.training[key] = np.zeros(C) if training is None else np.asarray(training, dtype=np.float64)

    def share(self, method: str, variant: str, other: str) -> None:
        """Give a variant's points to another that is the same, which needn't be fitted twice."""
        for key in [k for k in self.confusion if k[:2] == (method, variant)]:
            for held in (self.confusion, self.training):
                held[(method, other, *key[2:])] = held[key]

    def take(self, other: Scores) -> None:
        """Add the points of another run on the same test that aren't here yet, of methods that were made alike.

        Raises:
            DatasetError: another test, by name, classes or participants.
        """
        if (self.name, self.classes, self.participants) != (other.name, other.classes, other.participants):
            raise DatasetError(
                f"{self.name}: found scores of another test ({other.name}, {len(other.classes)} classes, "
                f"{len(other.participants)} participants); expected the same; keep the two in separate folders."
            )
        alike = {k for k in other.confusion if self.made.get(k[0], made := other.made.get(k[0])) == made}
        for own, others in ((self.confusion, other.confusion), (self.training, other.training)):
            own.update({k: others[k] for k in others if k in alike and k not in own})
        self.made = {k: v for k, v in other.made.items() if any(key[0] == k for key in alike)} | self.made

    def seeds(self, method: str, variant: str, shots: int) -> tuple[int, ...]:
        """Seeds of a point of the curve."""
        return tuple(sorted(k[3] for k in self.confusion if k[:3] == (method, variant, int(shots))))

    def _stack(
        self, method: str, variant: str, shots: int, seeds: Sequence[int] | None = None
    ) -> Float[np.ndarray, "seeds participants C C"]:
        seeds = self.seeds(method, variant, shots) if seeds is None else seeds
        if not seeds:
            held = sorted({k[:2] for k in self.confusion})
            raise ConfigError(
                f"{self.name}: found no result of '{method}', variant '{variant}', at {shots} shots per class; "
                f"expected one of {held} at a number that was run."
            )
        return np.stack([self.confusion[(method, variant, int(shots), s)] for s in seeds]).astype(np.float64)

    def values(self, method: str, variant: str, shots: int, metric: str = "macro_f1") -> Float[np.ndarray, " seeds"]:
        """The metric of each seed in percent, of the confusions summed over participants."""
        return _metric(metric)(self._stack(method, variant, shots).sum(axis=1))

    def interval(
        self,
        method: str,
        variant: str,
        shots: int,
        metric: str = "macro_f1",
        *,
        draws: int = DRAWS,
        level: float = 0.95,
    ) -> Interval:
        """Mean over seeds with its bootstrap interval over participants and seeds, in percent.

        Participants are resampled with replacement and their confusions summed; so are seeds, independently, and the
        metric is averaged over those drawn: the two-way bootstrap, on the safe side. With one seed only participants
        vary.

        Raises:
            ConfigError: no such point, or an unknown metric.
        """
        stack = self._stack(method, variant, shots)
        drawn = _resampled(stack, metric, draws)
        return _interval(float(_metric(metric)(stack.sum(axis=1)).mean()), drawn, level)

    def difference(
        self,
        a: tuple[str, str],
        b: tuple[str, str],
        shots: int | tuple[int, int],
        metric: str = "macro_f1",
        *,
        draws: int = DRAWS,
        level: float = 0.95,
    ) -> Interval:
        """a minus b in points, paired: the same resampled participants and seeds, hence the same training windows.

        Args:
            a, b: (method, variant).
            shots: shots per class, or one number for each (10 labels of one against 100 of another).

        Raises:
            ConfigError: as `interval`, or the two have no seed in common (zero-shot, which has one, is repeated).
        """
        shots_a, shots_b = shots if isinstance(shots, tuple) else (shots, shots)
        seeds_a, seeds_b = self.seeds(*a, shots_a), self.seeds(*b, shots_b)
        if seeds_a and seeds_b and shots_a and shots_b:
            shared = sorted(set(seeds_a) & set(seeds_b))
            if not shared:
                raise ConfigError(
                    f"{self.name}: found seeds {seeds_a} of {a} and {seeds_b} of {b}; expected some in common; run "
                    "both on the same draws."
                )
            seeds_a = seeds_b = shared
        A, B = self._stack(*a, shots_a, seeds_a), self._stack(*b, shots_b, seeds_b)
        A, B = (np.repeat(v, max(len(A), len(B)), axis=0) if len(v) == 1 else v for v in (A, B))  # zero-shot's one
        mean = float((_metric(metric)(A.sum(axis=1)) - _metric(metric)(B.sum(axis=1))).mean())
        return _interval(mean, _resampled(A, metric, draws) - _resampled(B, metric, draws), level)

    def mean_difference(
        self,
        a: tuple[str, str],
        b: tuple[str, str],
        shots: Sequence[int],
        metric: str = "macro_f1",
        *,
        draws: int = DRAWS,
        level: float = 0.95,
    ) -> Interval:
        """As `difference`, averaged over several numbers of shots per class, all under the same resampled participants.

        Raises:
            ConfigError: no number given, or as `difference`.
        """
        if not shots:
            raise ConfigError(f"{self.name}: found no number of windows to average over; expected at least one.")
        means, drawn = [], np.zeros(draws)
        for n in shots:
            shared = sorted(set(self.seeds(*a, n)) & set(self.seeds(*b, n)))
            A, B = self._stack(*a, n, shared), self._stack(*b, n, shared)
            means.append(float((_metric(metric)(A.sum(axis=1)) - _metric(metric)(B.sum(axis=1))).mean()))
            drawn += (_resampled(A, metric, draws) - _resampled(B, metric, draws)) / len(shots)
        return _interval(float(np.mean(means)), drawn, level)

    def frame(self) -> pd.DataFrame:
        """One row a point: method, variant, shots, both metrics with their intervals (percent), training windows.

        `windows` is the mean number of training windows over folds and seeds, `short` how many classes had fewer than
        asked.
        """
        rows = []
        for method, variant, shots in dict.fromkeys(k[:3] for k in self.confusion):
            row: dict[str, object] = {"method": method, "variant": variant, "shots": shots}
            for metric in FEWSHOT_METRICS:
                found = self.interval(method, variant, shots, metric)
                row |= {metric: found.mean, f"{metric}_low": found.low, f"{metric}_high": found.high}
            seeds = self.seeds(method, variant, shots)
            used = np.mean([self.training[(method, variant, shots, s)] for s in seeds], axis=0)
            row |= {"seeds": len(seeds), "windows": used.sum(), "short": int((used < shots).sum())}
            rows.append(row)
        table = pd.DataFrame(rows)
        return table.sort_values(["method", "variant", "shots"], ignore_index=True) if rows else table

    def save(self, path: str | Path) -> Path:
        """Write everything as one npz, atomically.

        Raises:
            OutputError: it can't be written there.
        """
        keys = sorted(self.confusion)
        card = {"name": self.name, "classes": self.classes, "participants": self.participants, "keys": keys}
        card["made"] = self.made
        C = len(self.classes)
        confusion = np.array([self.confusion[k] for k in keys], dtype=np.int32).reshape(
            -1, len(self.participants), C, C
        )
        training = np.array([self.training[k] for k in keys], dtype=np.float64).reshape(-1, C)
        path = Path(path).with_suffix(".npz")
        arrays = {"card": json.dumps(card), "confusion": confusion, "training": training}
        return save_npz(path, arrays, compressed=True)

    @classmethod
    def load(cls, path: str | Path) -> Scores:
        """What `save` wrote.

        Raises:
            CheckpointError: no such file, or another one.
        """
        try:
            with np.load(path) as held:
                card, confusion, training = json.loads(str(held["card"])), held["confusion"], held["training"]
            keys = [(m, h, int(n), int(s)) for m, h, n, s in card["keys"]]
            scores = cls(card["name"], tuple(card["classes"]), tuple(card["participants"]))
            scores.made = dict(card["made"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile) as fault:
            raise CheckpointError(
                f"{path}: can't be read as few-shot scores ({str(fault).rstrip('.')[:120]}); expected a file that "
                "Scores.save wrote; run the evaluation again."
            ) from None
        scores.confusion = dict(zip(keys, confusion.astype(np.int64), strict=True))
        scores.training = dict(zip(keys, training, strict=True))
        return scores


def claim_holds(difference: Interval, claim: str = "better", *, margin: float = ON_PAR) -> str:
    """What a paired difference says of a claim: "holds", "doesn't" or "can't tell".

    "better": holds where the whole interval lies above zero; doesn't where it lies below, or within +-margin, where
    the two are equal for all that matters. "on par": holds where the whole 95 % interval lies within +-margin (stricter
    than the usual two one-sided tests at 5 %, which ask that of the 90 % interval); doesn't where it lies outside.

    Raises:
        ConfigError: another claim.
    """
    if claim not in ("better", "on par"):
        raise ConfigError(f"claim_holds: found claim '{claim}'; expected 'better' or 'on par'.")
    equal = difference.within(margin)
    if claim == "on par":
        apart = difference.low >= margin or difference.high <= -margin
        return "holds" if equal else "doesn't" if apart else "can't tell"
    return "holds" if difference.low > 0 else "doesn't" if difference.high < 0 or equal else "can't tell"


def _metric(name: str):
    if name not in FEWSHOT_METRICS:
        raise ConfigError(f"scores: found metric '{name}'; expected one of {', '.join(FEWSHOT_METRICS)}.")
    return {"accuracy": accuracy, "macro_f1": macro_f1}[name]


def _resampled(
    stack: Float[np.ndarray, "seeds participants C C"], metric: str, draws: int
) -> Float[np.ndarray, " draws"]:
    """The seed-mean metric under resampled participants and seeds; one generator, so equal shapes get equal draws."""
    rng = np.random.default_rng(0)
    S, W = stack.shape[:2]
    people = rng.multinomial(W, np.full(W, 1 / W), size=draws).astype(np.float64)
    seeds = rng.multinomial(S, np.full(S, 1 / S), size=draws) / S
    values = np.stack([_metric(metric)(np.tensordot(people, one, axes=1)) for one in stack], axis=1)  # (draws, seeds)
    return (values * seeds).sum(axis=1)


def _interval(mean: float, drawn: np.ndarray, level: float) -> Interval:
    tail = (1 - level) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval(mean, float(low), float(high))
