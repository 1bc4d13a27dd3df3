"""One set of predictions under each definition of success that a paper may mean, and how far apart these are.

EAIL takes success from NILoc and says no more (section 5.1). Five choices are then left: strictly closer or not, a mean
over takes or over seconds, distance or each coordinate apart, the highest cell or the place with most mass around it,
and what ties are worth. Everything is read from kept seconds (`seconds.Seconds`): nothing is predicted again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from eailkit.eail.prepared import Prepared
from eailkit.eail.readings import listed
from eailkit.errors import ConfigError
from eailkit.experiments.rows.seconds import Seconds
from eailkit.metrics import THRESHOLDS_M, ate

CHOICES: dict[str, tuple] = {  # the first of each is the tables'
    "strict": (True, False), "average": ("takes", "seconds"), "distance": ("norm", "per coordinate"),
    "answer": ("highest cell", "disc"), "ties": ("expected", "first"),
}  # fmt: skip
WORDS = {  # what a choice that isn't the tables' is called
    "strict": "≤ instead of <", "average": "mean over seconds", "distance": "each coordinate",
    "answer": "most mass in 0.4 m", "ties": "first of ties",
}  # fmt: skip
HEADLINE_WORDS = "as in the tables"
CONVENTIONS = ("norm", "ronin")
STILL_POINTS = 0.05  # what a table with one digit can't show


@dataclass(frozen=True)
class Definition:
    """A definition of the success rate; the defaults are the tables'.

    Attributes:
        strict: a distance of exactly d is no success (NILoc's code). False: it is one.
        average: "takes" (macro: each take counts once, NILoc's) or "seconds" (micro: long takes count more).
        distance: "norm" is ||q - p|| < d, "per coordinate" |q_x - p_x| < d and |q_y - p_y| < d: a square of side 2 d
            instead of a circle of diameter 2 d, 4 / pi as large.
        answer: "highest cell", or "disc", the place with most probability within 0.4 m of it. A method without a map
            has one answer.
        ties: cells that are equally high count in "expected" shares, or the "first" of them is the answer.

    Raises:
        ConfigError: no such choice.
    """

    strict: bool = True
    average: str = "takes"
    distance: str = "norm"
    answer: str = "highest cell"
    ties: str = "expected"

    def __post_init__(self):
        for f in fields(self):
            value = getattr(self, f.name)
            if value not in CHOICES[f.name]:
                told = " or ".join(map(repr, CHOICES[f.name]))
                raise ConfigError(f"definition: found {f.name} {value!r}; expected {told}; choose one of them.")

    @property
    def name(self) -> str:
        """What is other than in the tables, in words."""
        changed = [WORDS[f.name] for f in fields(self) if getattr(self, f.name) != f.default]
        return ", ".join(changed) or HEADLINE_WORDS


HEADLINE = Definition()


def definitions() -> Iterator[Definition]:
    """Every definition, the tables' first: 24, since ties are of cells and a disc's place has none."""
    for values in itertools.product(*CHOICES.values()):
        if values[3:] != ("disc", "first"):
            yield Definition(*values)


def one_change() -> dict[str, Definition]:
    """The tables' definition, and those that differ from it in one choice, by name."""
    changed = [replace(HEADLINE, **{choice: values[1]}) for choice, values in CHOICES.items()]
    return {d.name: d for d in (HEADLINE, *changed)}


def close(
    predicted_xy: Float[np.ndarray, "n 2"], true_xy: Float[np.ndarray, "n 2"], definition: Definition = HEADLINE,
    threshold_m: float = 0.4,
) -> Float[np.ndarray, " n"]:  # fmt: skip
    """Whether each position counts as found, 100 or 0, as the definition has distance and strictness.

    norm: ||q - p|| < d;  per coordinate: max(|q_x - p_x|, |q_y - p_y|) < d;  not strict: <= d. A NaN is a miss.
    """
    off = np.abs(np.asarray(predicted_xy, float) - np.asarray(true_xy, float))
    away = np.linalg.norm(off, axis=1) if definition.distance == "norm" else off.max(axis=1)
    found = away < threshold_m if definition.strict else away <= threshold_m
    return 100.0 * found


def second_scores(
    take, found: Mapping[str, np.ndarray], definition: Definition = HEADLINE, threshold_m: float = 0.4
) -> Float[np.ndarray, " m"]:
    """Success of each labelled second of a take, percent.

    Of tied cells only the first and the tables' expectation are kept, so that under another distance ties bring what
    they bring under the tables'. Where nothing ties this is exact.

    Args:
        take: `prepared.TakeCache`, for its truth.
        found: the take's fields (`Seconds.of`).
        threshold_m: one of `metrics.THRESHOLDS_M`.

    Raises:
        ConfigError: another threshold.
    """
    if threshold_m not in THRESHOLDS_M:
        told = ", ".join(map(str, THRESHOLDS_M))
        raise ConfigError(f"threshold_m: found {threshold_m}; expected one of {told}; choose one of these.")
    known = np.asarray(take.cell) >= 0
    true, first = np.asarray(take.position, float)[known], found["place_m"][known]
    if definition.answer == "disc" and np.isfinite(found["disc_m"]).any():
        return close(found["disc_m"][known], true, definition, threshold_m)
    if definition.ties == "first":
        return close(first, true, definition, threshold_m)
    kept = found["success"][known, THRESHOLDS_M.index(threshold_m)]
    if definition.strict and definition.distance == "norm":
        return kept
    brought = kept - close(first, true, HEADLINE, threshold_m)
    return np.clip(close(first, true, definition, threshold_m) + brought, 0.0, 100.0)


def score(
    prepared: Prepared, seconds: Seconds, split: str, definition: Definition = HEADLINE, threshold_m: float = 0.4
) -> float:
    """Success of one method on a split under a definition, percent; under the tables' it is the table's number.

    Args:
        threshold_m: one of `metrics.THRESHOLDS_M`.

    Returns:
        NaN where no second of the split has a place.

    Raises:
        ConfigError: another threshold.
    """
    takes = {t.name: t for t in prepared.takes}
    names = [name for name in seconds.takes if takes[name].split == split]
    each = [second_scores(takes[name], seconds.of(name), definition, threshold_m) for name in names]
    each = [values for values in each if len(values)]
    if not each:
        return float("nan")
    if definition.average == "seconds":
        return float(np.concatenate(each).mean(dtype=np.float64))
    return float(np.mean([values.mean(dtype=np.float64) for values in each]))


def under_each(
    prepared: Prepared, answers: Mapping[str, Seconds], split: str, threshold_m: float = 0.4
) -> pd.DataFrame:
    """Success under the tables' definition and under those that differ from it in one choice, percent.

    Args:
        answers: method -> what it says.

    Returns:
        A row a definition, the tables' first, and a column a method.
    """
    return pd.DataFrame({
        method: {name: score(prepared, seconds, split, d, threshold_m) for name, d in one_change().items()}
        for method, seconds in answers.items()
    })  # fmt: skip


def root_mean_square_m(
    prepared: Prepared, seconds: Seconds, split: str, average: str = "takes", convention: str = "norm"
) -> float:
    """Absolute trajectory error of the answered places, m (`metrics.ate`); seconds without an answer are left out.

    Args:
        average: "takes" is the mean of each take's error, "seconds" the error of all seconds as one.
        convention: "norm", or "ronin", whose code averages over the axes too: 0.71 of the other.

    Returns:
        NaN where nothing is known.
    """
    takes, each = {t.name: t for t in prepared.takes}, []
    for name in seconds.takes:
        take, place = takes[name], seconds.of(name)["place_m"].astype(float)
        rows = (np.asarray(take.cell) >= 0) & np.isfinite(place).all(axis=1)
        if take.split == split and rows.any():
            each.append((torch.from_numpy(place[rows]), torch.from_numpy(np.asarray(take.position, float)[rows])))
    if not each:
        return float("nan")
    if average == "seconds":
        return float(ate(*(torch.cat(part) for part in zip(*each, strict=True)), convention))
    return float(np.mean([float(ate(found, true, convention)) for found, true in each]))


def errors_under_each(prepared: Prepared, answers: Mapping[str, Seconds], split: str) -> pd.DataFrame:
    """`root_mean_square_m` of each method, m: a row a way of taking it, a column a method."""
    names = {"norm": "√ of the mean of ||q - p||²", "ronin": "RoNIN's: over the axes too"}
    ways = {f"{names[c]}, over {average}": (average, c) for c in CONVENTIONS for average in CHOICES["average"]}
    return pd.DataFrame({
        method: {name: root_mean_square_m(prepared, seconds, split, *way) for name, way in ways.items()}
        for method, seconds in answers.items()
    })  # fmt: skip


def tied_share(prepared: Prepared, seconds: Seconds, split: str) -> float:
    """Percent of the labelled seconds in which it matters for success at some threshold that cells tie."""
    takes, tied = {t.name: t for t in prepared.takes}, []
    for name in seconds.takes:
        if (take := takes[name]).split != split:
            continue
        found = seconds.of(name)
        pairs = [
            (second_scores(take, found, HEADLINE, d), second_scores(take, found, Definition(ties="first"), d))
            for d in THRESHOLDS_M
        ]
        tied.append(np.any([np.abs(a - b) > 1e-3 for a, b in pairs], axis=0))
    rows = np.concatenate(tied) if tied else np.zeros(0)
    return 100 * float(rows.mean()) if len(rows) else float("nan")


def lens_reading(prepared: Prepared, answers: Mapping[str, Seconds], split: str, threshold_m: float = 0.4) -> str:
    """How far apart the definitions are for each method, which choice does most, and whether the order depends on it.

    Args:
        answers: method -> what it says; of one there is no order.
    """
    every = {d: [score(prepared, s, split, d, threshold_m) for s in answers.values()] for d in definitions()}
    frame, alone = pd.DataFrame(every, index=list(answers)).T, under_each(prepared, answers, split, threshold_m)
    lines = []
    for method in answers:
        values, moved = frame[method], (alone[method] - alone[method].iloc[0]).iloc[1:]
        most = moved.abs().idxmax()
        alone_told = f"Alone, “{most}” moves it most: {moved[most]:+.1f} points."
        if abs(moved[most]) < STILL_POINTS:
            alone_told = f"None of them alone moves it by {STILL_POINTS:g} points."
        lines.append(
            f"{split}, {method}: {values.iloc[0]:.1f} % at {threshold_m:g} m in the table; from {values.min():.1f} to "
            f"{values.max():.1f} % under {len(values)} definitions. {alone_told}"
        )
    if len(answers) > 1:
        lines.append(_order_reading(frame))
    still = [name for name in alone.index[1:] if (alone.loc[name] - alone.iloc[0]).abs().max() < STILL_POINTS]
    if still:
        lines.append(f"Less than {STILL_POINTS:g} points for every method: {listed([f'“{name}”' for name in still])}.")
    return "\n".join(lines)


def _order_reading(frame: pd.DataFrame) -> str:
    """Whether some definition puts another order on the methods: a row a definition, the tables' first."""
    order = lambda row: tuple(row.sort_values(ascending=False, kind="stable").index)  # noqa: E731
    table, others = order(frame.iloc[0]), [(d, order(row)) for d, row in frame.iloc[1:].iterrows()]
    changed = [(d, found) for d, found in others if found != table]
    ranked = " > ".join(table)
    if not changed:
        return f"The order ({ranked}) is the same under all {len(frame)}."
    d, found = min(changed, key=lambda pair: pair[0].name.count(","))
    return (
        f"The order ({ranked}) is another one under {len(changed)} of {len(frame)}; under “{d.name}”: "
        f"{' > '.join(found)}."
    )
