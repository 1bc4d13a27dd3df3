"""The few-shot protocol of PRIMUS's Figures 4 to 6: who trains, who tests, on how many windows, five times.

Test participants are never training participants, and every participant is tested once. All methods get the same draws
of training windows, so that differences are paired. The curves are in the paper as pictures only, from one split of
takes; folds over people and macro-F1 are what later benchmarks ask for. What came out is kept and compared by `Scores`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from eailkit.errors import ConfigError, DatasetError
from eailkit.fewshot.probe import STARTS, fit_probe, gradient_boosting, zero_shot
from eailkit.fewshot.scores import Scores
from eailkit.fewshot.windows import ActivityWindows

SHOTS = (1, 2, 5, 10, 20, 50, 100, 200, 500)  # shots per class; the paper's axis ends at 500
SEEDS = 5
FOLDS = 5
BATCH = 256  # windows at once through an encoder

Features = Float[np.ndarray, "n d"] | Callable[[np.ndarray], np.ndarray]
FitPredict = Callable[[np.ndarray, np.ndarray, int], np.ndarray]


def folds(
    participant: np.ndarray, n: int = FOLDS, seed: int = 0, *, label: Int[np.ndarray, " n"] | None = None
) -> list[tuple[Bool[np.ndarray, " n"], Bool[np.ndarray, " n"]]]:
    """Person-independent folds as (train, test) masks over windows: every participant is tested in exactly one.

    Participants go, the largest first, to the fold that then differs least from an equal share of every class; ties are
    drawn with `seed`. Windows without a label (-1) are in neither mask.

    Raises:
        DatasetError: fewer participants than folds, a window without a participant, or a class that only one
            participant has (nobody could train for testing it).
    """
    participant = np.asarray(participant)
    label = np.zeros(len(participant), dtype=np.int64) if label is None else np.asarray(label)
    used = label >= 0
    people = np.unique(participant[used])
    if (people == "").any():
        raise DatasetError("folds: found windows without a participant; expected a name for each; read who wore it.")
    if n < 2 or len(people) < n:
        raise DatasetError(
            f"folds: found {len(people)} participants for {n} folds; expected at least 2 folds and a participant for "
            "each; take fewer folds."
        )
    n_classes = int(label.max()) + 1
    counts = np.stack([np.bincount(label[used & (participant == p)], minlength=n_classes) for p in people])
    for c in np.flatnonzero((counts > 0).sum(axis=0) == 1):
        raise DatasetError(
            f"folds: found class {c} with one participant only ({people[counts[:, c].argmax()]}); expected two or "
            "more, one to train on and one to test; leave the class out."
        )
    share = counts / np.maximum(counts.sum(axis=0), 1)  # (people, classes): part of each class's windows
    order = np.lexsort((np.random.default_rng(seed).permutation(len(people)), -counts.sum(axis=1)))
    filled, members, fold = np.zeros((n, n_classes)), np.zeros(n), np.zeros(len(people), dtype=int)
    for p in order:
        # Sum over folds of squares falls most where the fold holds least of what this participant brings.
        cost = ((filled + share[p]) ** 2 - filled**2).sum(axis=1)
        k = np.lexsort((cost, members))[0]
        fold[p], filled[k], members[k] = k, filled[k] + share[p], members[k] + 1
    of = fold[np.searchsorted(people, np.where(used, participant, people[0]))]
    return [(used & (of != k), used & (of == k)) for k in range(n)]


def draw(
    label: Int[np.ndarray, " n"],
    participant: np.ndarray,
    shots: int,
    seed: int,
    *,
    among: Bool[np.ndarray, " n"] | None = None,
) -> Int[np.ndarray, " drawn"]:
    """Indices of `shots` windows of every class, spread over participants: one of each in turn, in random order.

    It depends on labels, participants and seed alone, so every method trains on the same windows; and of one seed, the
    draw of 5 contains the draw of 2. A class with fewer windows gives all that it has (`Scores.training` counts).

    Args:
        label: -1 is never drawn.
        participant: who wore each window.
        among: the training windows; default all.

    Raises:
        ConfigError: shots below 1.
    """
    if shots < 1:
        raise ConfigError(f"draw: found {shots} shots per class; expected at least 1 (zero-shot needs none).")
    label, participant = np.asarray(label), np.asarray(participant)
    allowed = np.ones(len(label), dtype=bool) if among is None else among
    chosen = []
    for c in np.unique(label[allowed & (label >= 0)]):
        rng = np.random.default_rng([seed, int(c)])
        rows = rng.permutation(np.flatnonzero(allowed & (label == c)))
        _, who = np.unique(participant[rows], return_inverse=True)
        by_participant = np.argsort(who, kind="stable")
        first = np.searchsorted(who[by_participant], who[by_participant])
        turn = np.empty(len(rows), dtype=int)
        turn[by_participant] = np.arange(len(rows)) - first  # 0 for a participant's first window, 1 for the second, ...
        chosen.append(rows[np.argsort(turn, kind="stable")][:shots])
    return np.concatenate(chosen) if chosen else np.zeros(0, dtype=int)


@dataclass(frozen=True, eq=False)
class Task:
    """What is trained on and tested: labels and participants of all windows, and the folds over them.

    Attributes:
        label, participant: (n,), of training and test windows alike.
        folds: (train, test) masks.
        classes: names.
        imu: (n, 6, 250).
        name: for messages.
    """

    label: Int[np.ndarray, " n"]
    participant: np.ndarray
    folds: tuple[tuple[np.ndarray, np.ndarray], ...]
    classes: tuple[str, ...]
    imu: np.ndarray
    name: str

    @classmethod
    def over(cls, windows: ActivityWindows, test: ActivityWindows | None = None, *, n_folds: int = FOLDS) -> Task:
        """Person-independent folds over one set, or training on one set and testing on another.

        Raises:
            DatasetError: the two sets share participants or differ in classes, a fold's training participants lack a
                class that is tested, nothing is labelled, or as `folds`.
        """
        if not (windows.label >= 0).any() or (test is not None and not (test.label >= 0).any()):
            raise DatasetError(f"{windows.name}: found no labelled window; expected some; check classes and labels.")
        if test is None:
            pairs, name = folds(windows.participant, n_folds, label=windows.label), windows.name
            label, participant, imu = windows.label, windows.participant, windows.imu
        else:
            name = f"{windows.name} -> {test.name}"
            if windows.classes != test.classes:
                raise DatasetError(f"{name}: found other classes in the test set; expected the same, in one order.")
            if shared := sorted(set(windows.participant) & set(test.participant)):
                raise DatasetError(
                    f"{name}: found {len(shared)} participants in both sets ({', '.join(map(str, shared[:3]))}); "
                    "expected none; split by person."
                )
            label, participant, imu = (
                np.concatenate([getattr(s, f) for s in (windows, test)]) for f in ("label", "participant", "imu")
            )
            tests = np.arange(len(label)) >= len(windows)
            pairs = [(~tests & (label >= 0), tests & (label >= 0))]
        for k, (train, held) in enumerate(pairs):
            if lacking := sorted(set(label[held]) - set(label[train])):
                raise DatasetError(
                    f"{name}: found no window of '{windows.classes[lacking[0]]}' by the training participants of fold "
                    f"{k}, which tests it; expected some; take fewer folds or leave the class out."
                )
        return cls(label, participant, tuple(pairs), windows.classes, imu, name)

    def possible(self, shots: Sequence[int] = SHOTS) -> tuple[int, ...]:
        """The numbers of windows that at least half of the classes have in every fold's training part.

        Beyond, a point of the curve would repeat the one before under a larger number.
        """
        held = [np.bincount(self.label[train], minlength=len(self.classes)) for train, _ in self.folds]
        most = min(int(np.median(counts[counts > 0])) for counts in held)
        return tuple(s for s in shots if s <= most)


def run(
    task: Task,
    fit_predict: FitPredict,
    method: str,
    scores: Scores,
    *,
    variant: str = "",
    shots: Sequence[int] = SHOTS,
    seeds: int = SEEDS,
) -> None:
    """Train and test at every number of windows, seed and fold; what isn't a probe (a net of its own) comes in here.

    Args:
        fit_predict: called with training indices, test indices and seed; returns a class for each test index.
        scores: where confusions are added; points that it has already are skipped, so a run resumes.
        variant: which line of the method it is.

    Raises:
        ConfigError: fit_predict returns another number of labels.
    """
    for n in task.possible(shots):
        for seed in range(seeds):
            if scores.has(method, variant, n, seed):
                continue
            predicted = np.full(len(task.label), -1)
            training = np.zeros(len(task.classes))
            for train, test in task.folds:
                picked, tested = draw(task.label, task.participant, n, seed, among=train), np.flatnonzero(test)
                answer = np.asarray(fit_predict(picked, tested, seed))
                if answer.shape != tested.shape:
                    raise ConfigError(
                        f"{method}: found {answer.shape} predictions for {len(tested)} test windows; expected one "
                        "each; don't drop the last batch."
                    )
                predicted[tested] = answer
                training += np.bincount(task.label[picked], minlength=len(task.classes)) / len(task.folds)
            tested = np.any([test for _, test in task.folds], axis=0)
            scores.add(
                method,
                variant,
                n,
                seed,
                task.label[tested],
                predicted[tested],
                task.participant[tested],
                training=training,
            )


def embed(windows: np.ndarray, encoder: Callable[[np.ndarray], np.ndarray], batch: int = BATCH) -> np.ndarray:
    """Features of all windows, a batch at a time, the last and smaller one included: (n, d)."""
    if not len(windows):
        raise DatasetError("embed: found no window; expected at least one.")
    return np.concatenate([np.asarray(encoder(windows[k : k + batch])) for k in range(0, len(windows), batch)])


def evaluate(
    windows: ActivityWindows,
    features: Features,
    method: str,
    scores: Scores,
    *,
    heads: Sequence[str] = ("random",),
    text: Float[np.ndarray, "classes d"] | None = None,
    shots: Sequence[int] = SHOTS,
    seeds: int = SEEDS,
    n_folds: int = FOLDS,
    classifier: str = "probe",
    protocol: str = "converged",
    C: float | None = None,
    test: ActivityWindows | None = None,
    test_features: np.ndarray | None = None,
) -> Scores:
    """The whole curve of one encoder: every number of windows, seed, fold and head; with text, zero-shot at 0 windows.

    Args:
        windows: all of it, by folds over its participants; or the training set where `test` is given.
        features: (n, d) of `windows`, frozen; or an encoder that makes them from (batch, 6, 250).
        method: its name in `scores`.
        heads: "random", "text"; with classifier "boosting" there is one, called "boosting".
        text: embeddings of `windows.prompts`, for head "text".
        protocol, C: as `probe.fit_probe`.
        test, test_features: another set with other people, and its features where `features` is an array.

    Returns:
        `scores`, with the new confusions.

    Raises:
        ConfigError: features or text of another shape, an unknown head or classifier.
        DatasetError: as `Task.over`.
    """
    task = Task.over(windows, test, n_folds=n_folds)
    x = _features(task, features, test, test_features)
    if classifier not in ("probe", "boosting") or not set(heads) <= set(STARTS):
        raise ConfigError(
            f"evaluate: found classifier '{classifier}' and heads {list(heads)}; expected 'probe' or 'boosting', heads "
            f"of {', '.join(STARTS)}."
        )
    if classifier == "boosting":
        fit = lambda rows, tested, seed: gradient_boosting(  # noqa: E731
            x[rows], task.label[rows], len(task.classes), seed=seed
        ).predict(x[tested])
        run(task, fit, method, scores, variant="boosting", shots=shots, seeds=seeds)
        return scores
    for head in heads:
        if head == "text":
            _zero_shot(task, x, text, method, scores)

        def fit(rows: np.ndarray, tested: np.ndarray, seed: int, head: str = head) -> np.ndarray:
            options = {"head": head, "text": text, "C": C, "protocol": protocol, "seed": seed}
            return fit_probe(x[rows], task.label[rows], len(task.classes), **options).predict(x[tested])

        run(task, fit, method, scores, variant=head, shots=shots, seeds=seeds)
    return scores


def _zero_shot(task: Task, x: np.ndarray, text: np.ndarray | None, method: str, scores: Scores) -> None:
    """Adds the text curve's point at 0 windows, of one seed as it has no chance in it."""
    if text is None:
        raise ConfigError(f"{method}: found head 'text' without text; expected an embedding for each class's prompt.")
    tested = np.any([test for _, test in task.folds], axis=0)
    if not scores.has(method, "text", 0, 0):
        scores.add(method, "text", 0, 0, task.label[tested], zero_shot(x[tested], text), task.participant[tested])


def _features(
    task: Task, features: Features, test: ActivityWindows | None, test_features: np.ndarray | None
) -> Float[np.ndarray, "n d"]:
    if callable(features):
        x = embed(task.imu, features)
    elif test is None:
        x = np.asarray(features)
    elif test_features is None or np.shape(features)[1:] != np.shape(test_features)[1:]:
        raise ConfigError(
            f"{task.name}: found features {np.shape(features)} and test features {np.shape(test_features)}; expected "
            "both, of equal width; give test_features."
        )
    else:
        x = np.concatenate([features, test_features])
    if x.ndim != 2 or len(x) != len(task.label):
        raise ConfigError(
            f"{task.name}: found features {x.shape} for {len(task.label)} windows; expected one row each; don't drop "
            "the last batch."
        )
    if bad := int((~np.isfinite(x)).any(axis=1).sum()):
        raise DatasetError(f"{task.name}: found NaN or infinite features in {bad} windows; expected none.")
    return x
