"""What is measured, with formula, unit and tie rule (EAIL section 5.1): success rate, RS, top-k, ATE, intervals.

`successes`, `relative_score` and `topk_hits` give one value per window; `macro` averages them within recordings first,
which is the headline, and `bootstrap_interval` resamples rooms, participants and trainings. Baselines and tables are
built elsewhere, of these functions alone.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Array = Tensor | np.ndarray
THRESHOLDS_M = (0.2, 0.4, 0.6)
METRICS = (*(f"SR@{d}m" for d in THRESHOLDS_M), "RS", "top1", "top5")  # of every table of EAIL, percent


def successes(
    predicted_xy: Float[Array, "windows 2"],
    true_xy: Float[Array, "windows 2"],
    thresholds_m: Sequence[float] = THRESHOLDS_M,
) -> Float[Tensor, "windows thresholds"]:
    """Whether each prediction lies closer to the truth than each threshold: 100 or 0, so that a mean is a percentage.

    Args, Raises: as `success_rate`, which is the mean of these over windows.
    """
    predicted_xy, true_xy = torch.as_tensor(predicted_xy), torch.as_tensor(true_xy)
    if predicted_xy.shape != true_xy.shape or predicted_xy.ndim != 2:
        raise ValueError(
            f"success_rate: found {tuple(predicted_xy.shape)} and {tuple(true_xy.shape)}; expected equal shapes (n, 2)."
        )
    if torch.isnan(predicted_xy).any() or torch.isnan(true_xy).any():
        raise ValueError("success_rate: found NaN positions; expected metres; leave unlabelled seconds out first.")
    distance_m = torch.linalg.vector_norm(predicted_xy.double() - true_xy.double(), dim=-1)
    limits_m = torch.tensor(list(thresholds_m), dtype=torch.float64, device=distance_m.device)
    return 100.0 * (distance_m[:, None] < limits_m).float()


def success_rate(
    predicted_xy: Float[Array, "windows 2"],
    true_xy: Float[Array, "windows 2"],
    thresholds_m: Sequence[float] = THRESHOLDS_M,
) -> Float[Tensor, " thresholds"]:
    """Share of windows whose prediction lies closer to the truth than each threshold, in percent (EAIL section 5.1).

    SR_d = 100 / n * #{i : ||q_i - p_i|| < d},  q the centre of the most likely cell, p the continuous true position.

    The paper follows NILoc, whose code compares strictly: a distance of exactly 0.4 m is no success at 0.4 m. NILoc
    takes the rate per recording and then the mean over recordings: that is `macro` of `successes`.

    Args:
        predicted_xy: metres in the map's frame.
        true_xy: metres in the map's frame.
        thresholds_m: metres.

    Raises:
        ValueError: shapes differ, or a position is NaN.

    Example:
        >>> success_rate(torch.tensor([[0.0, 0.3], [0.0, 0.5]]), torch.zeros(2, 2))
        tensor([  0.,  50., 100.])
    """
    return successes(predicted_xy, true_xy, thresholds_m).mean(dim=0)


def map_successes(
    confidence: Float[Array, "windows cells"],
    centres_xy: Float[Array, "cells 2"],
    true_xy: Float[Array, "windows 2"],
    thresholds_m: Sequence[float] = THRESHOLDS_M,
) -> Float[Tensor, "windows thresholds"]:
    """Success of the most likely cell of each map; of ties, the chance that one of them picked at random succeeds.

    The paper doesn't say how ties count. The first of them would make a constant map as good as its corner; the
    expected success makes it as good as guessing. Without ties these are the `successes` of the best cell's centre.

    Args:
        confidence: one value per cell, any monotone scale.
        centres_xy: of the cells, metres in the map's frame.
        true_xy: metres in the map's frame.
        thresholds_m: metres.

    Returns:
        0 to 100, so that a mean is a percentage.

    Raises:
        ValueError: shapes disagree, or a value is NaN.
    """
    confidence, centres_xy, true_xy = (torch.as_tensor(v) for v in (confidence, centres_xy, true_xy))
    if confidence.shape != (len(true_xy), len(centres_xy)):
        raise ValueError(
            f"map_successes: found maps {tuple(confidence.shape)} for {len(true_xy)} windows and {len(centres_xy)} "
            "cells; expected (windows, cells)."
        )
    if torch.isnan(confidence).any():
        raise ValueError("map_successes: found NaN values; expected numbers; -inf is allowed for masked cells.")
    window, cell = torch.nonzero(confidence == confidence.max(dim=1, keepdim=True).values, as_tuple=True)
    each = successes(centres_xy[cell], true_xy[window], thresholds_m).double()
    summed = torch.zeros(len(true_xy), each.shape[1], dtype=torch.float64).index_add_(0, window, each)
    return summed / torch.bincount(window, minlength=len(true_xy))[:, None]


def relative_score(
    confidence: Float[Array, "windows cells"],
    true_cell: Int[Array, " windows"],
    empty: Bool[Array, "windows cells"] | Bool[Array, " cells"] | None = None,
) -> Float[Tensor, " windows"]:
    """Share of cells that the model trusts less than the true one, in percent (RS, EAIL section 5.1).

    RS_i = 100 / (S - 1) * (#{s : c_is < c_ig} + 0.5 * #{s != g : c_is = c_ig}),  g the true cell.

    The paper doesn't say how ties count, nor whether the true cell itself counts; with half a tie and S - 1 a
    constant map scores 50 and a perfect one 100, so that an uninformed model can't look better or worse than
    chance. Empty cells are no candidates: S counts the others. RS is a weak metric: a constant map of where people
    usually stand reaches 88 (see the references).

    Args:
        confidence: one value per cell, any monotone scale (logits or probabilities).
        true_cell: index of the cell nearest to the true position, 0 <= g < S.
        empty: cells without points, left out. The true cell always stays in. Default: none.

    Raises:
        ValueError: a cell index is out of range, or a confidence is NaN.

    Example:
        >>> relative_score(torch.tensor([[0.1, 0.7, 0.2]]), torch.tensor([1]))
        tensor([100.])
    """
    confidence, true_cell = torch.as_tensor(confidence), torch.as_tensor(true_cell)
    _check_index("relative_score", confidence, true_cell)
    at_true = confidence.gather(1, true_cell.long()[:, None])  # (n, 1)
    candidate = torch.ones_like(confidence, dtype=torch.bool)
    if empty is not None:
        candidate &= ~torch.as_tensor(empty)
    candidate = candidate.scatter(1, true_cell.long()[:, None], False)  # every other cell
    lower = ((confidence < at_true) & candidate).sum(1)
    equal = ((confidence == at_true) & candidate).sum(1)
    others = candidate.sum(1)
    return torch.where(others > 0, 100.0 * (lower + 0.5 * equal) / others.clamp(min=1), 100.0).float()


def topk_hits(
    logits: Float[Array, "windows classes"], label: Int[Array, " windows"], k: int = 1
) -> Float[Tensor, " windows"]:
    """Chance that the true class is among the k most likely, in percent, 0 or 100 where nothing ties.

    A_i = 100 * max(0, min(1, (k - h_i) / e_i)),  h the classes rated higher than the true one, e those rated equal
    to it, itself included: a random order of the ties. So a constant output scores 100 k / C and can't profit from
    the order in which the classes are listed.

    Args, Raises: as `topk_accuracy`, which is the mean of these over windows.
    """
    logits, label = torch.as_tensor(logits), torch.as_tensor(label)
    if k < 1:
        raise ValueError(f"topk_accuracy: found k = {k}; expected at least 1.")
    _check_index("topk_accuracy", logits, label)
    at_true = logits.gather(1, label.long()[:, None])
    higher = (logits > at_true).sum(1)
    equal = (logits == at_true).sum(1)
    return (100.0 * (k - higher) / equal).clamp(0.0, 100.0)


def topk_accuracy(
    logits: Float[Array, "windows classes"], label: Int[Array, " windows"], k: int = 1
) -> Float[Tensor, ""]:
    """Share of windows whose true class is among the k most likely, in percent (A-top1, A-top5, EAIL section 5.1).

    The mean of `topk_hits` over windows, which says how ties count.

    Args:
        logits: one value a class, any monotone scale.
        label: 0 <= class < C.
        k: at least 1.

    Raises:
        ValueError: k below 1, a label out of range, or a NaN.

    Example:
        >>> topk_accuracy(torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.3, 0.2]]), torch.tensor([2, 0]), k=1)
        tensor(50.)
    """
    return topk_hits(logits, label, k).mean()


def ate(
    predicted: Float[Array, "times d"], true: Float[Array, "times d"], convention: str = "norm"
) -> Float[Tensor, ""]:
    """Absolute trajectory error, metres, without any alignment.

    norm:  sqrt( mean_t ||q_t - p_t||^2 ),   what ATE usually means and what we report;
    ronin: sqrt( mean_{t, axis} (q - p)^2 ), RoNIN's code, which averages over axes too: 1 / sqrt(d) of the other,
    0.71 of it in the plane. State which one is meant whenever a number is compared with a paper's.

    Args:
        predicted: metres.
        true: metres.
        convention: "norm" or "ronin".

    Raises:
        ValueError: shapes differ, nothing was given, or the convention is unknown.
    """
    predicted, true = torch.as_tensor(predicted), torch.as_tensor(true)
    if predicted.shape != true.shape or predicted.ndim != 2 or len(true) == 0:
        raise ValueError(
            f"ate: found {tuple(predicted.shape)} and {tuple(true.shape)}; expected equal, non-empty shapes (times, d)."
        )
    squared = (predicted.double() - true.double()).square()
    if convention == "norm":
        return squared.sum(-1).mean().sqrt()
    if convention == "ronin":
        return squared.mean().sqrt()
    raise ValueError(f"ate: found convention {convention!r}; expected 'norm' or 'ronin'.")


def macro(values: Float[Array, " windows"], recording: Sequence[Hashable]) -> float:
    """Mean over recordings of each recording's mean: every take counts once, however long.

    Args:
        values: one per window, any unit; NaN where a window doesn't count.
        recording: the recording of each window.

    Returns:
        NaN where nothing counts.
    """
    means = per_recording(values, recording)
    return float(np.mean(list(means.values()))) if means else math.nan


def per_recording(values: Float[Array, " windows"], recording: Sequence[Hashable]) -> dict[Hashable, float]:
    """Mean of each recording's values, by recording, in order of first appearance; windows with NaN are left out."""
    array = np.asarray(torch.as_tensor(values).cpu(), dtype=np.float64)
    if len(array) != len(recording):
        raise ValueError(f"macro: found {len(array)} values for {len(recording)} recordings; expected one each.")
    collected: dict[Hashable, list[float]] = {}
    for value, name in zip(array, recording, strict=True):
        if not math.isnan(value):
            collected.setdefault(name, []).append(value)
    return {name: float(np.mean(v)) for name, v in collected.items()}


@dataclass(frozen=True)
class Interval:
    """An estimate with its bootstrap interval, in the unit of the values.

    Attributes:
        p: two-sided, of "the mean is zero", from the same draws; NaN where none were drawn.
    """

    mean: float
    low: float
    high: float
    p: float = field(default=math.nan, compare=False)

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero: the rule for "better" and "works"."""
        return self.low > 0 or self.high < 0

    def within(self, margin: float = 2.0) -> bool:
        """Whether the whole interval lies within +-margin: the rule for "on par" (2 points, fixed beforehand)."""
        return -margin < self.low and self.high < margin

    def __str__(self) -> str:
        return f"{self.mean:.1f} [{self.low:.1f}, {self.high:.1f}]"


def bootstrap_interval(
    values: Sequence[float] | Float[Array, " recordings"],
    rooms: Sequence[Hashable],
    participants: Sequence[Hashable],
    *,
    seeds: Sequence[Hashable] | None = None,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """Mean over recordings with an interval that generalises to new rooms, new people and another training.

    Takes of one room resemble each other and so do takes of one person, so recordings aren't independent. Rooms and
    participants are resampled with replacement, independently of each other, and a recording weighs as often as its
    room was drawn times as often as its participant was drawn (the two-way, or pigeonhole, bootstrap: on the safe
    side, which suits a claim). Where values come from several trainings, their seeds are a third way. Three seeds
    tell little of how trainings vary: drawn with replacement they show two thirds of the variance of their mean.
    Draws in which no recording remains are drawn again.

    Args:
        values: one per recording, such as its success rate in percent; with seeds, one per recording and seed.
        rooms: room of each value.
        participants: wearer of each value.
        seeds: training seed of each value; None, or one and the same for all, is the two-way bootstrap.
        level: share of the draws that the interval holds (percentile interval).
        draws: bootstrap draws.
        seed: of the draws; the same seed gives the same interval.

    Raises:
        ValueError: lengths differ, nothing was given, or a value is NaN.
    """
    array = np.asarray(torch.as_tensor(values).cpu(), dtype=np.float64)
    means = _drawn_means(array, [rooms, participants] + ([seeds] if seeds is not None else []), draws, seed)
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return Interval(float(array.mean()), float(low), float(high), _two_sided(means))


def _drawn_means(
    array: Float[np.ndarray, " n"], ways: list[Sequence[Hashable]], draws: int, seed: int
) -> Float[np.ndarray, " draws"]:
    """Means of bootstrap draws over rooms, participants and seeds."""
    if any(len(way) != len(array) for way in ways) or len(array) == 0:
        found = f"{len(array)} values, {len(ways[0])} rooms and {len(ways[1])} participants"
        found += f", {len(ways[2])} seeds" if len(ways) > 2 else ""
        raise ValueError(f"bootstrap_interval: found {found}; expected as many of each, at least one.")
    if np.isnan(array).any():
        raise ValueError("bootstrap_interval: found NaN values; expected numbers; leave empty recordings out first.")
    groups = [np.unique([repr(label) for label in way], return_inverse=True)[1] for way in ways]
    if len(groups) == 3 and groups[2].max() == 0:
        groups.pop()  # one training: nothing to draw, and the generator stays where it would be without seeds
    rng = np.random.default_rng(seed)
    means: list[np.ndarray] = []
    while sum(map(len, means)) < draws:
        weight = 1
        for group in groups:
            weight = weight * _draw_counts(rng, draws, int(group.max()) + 1)[:, group]
        total = weight.sum(1)
        keep = total > 0
        means.append((weight[keep] @ array) / total[keep])
    return np.concatenate(means)[:draws]


def _two_sided(means: Float[np.ndarray, " draws"]) -> float:
    """p of "no difference": twice the share of draws on the smaller side of zero, never below 2 / (draws + 1)."""
    beyond = min((means <= 0).sum(), (means >= 0).sum())
    return float(min(1.0, 2 * (beyond + 1) / (len(means) + 1)))


def holm(p_values: Sequence[float]) -> list[float]:
    """p values adjusted for their number (Holm, 1979): below 0.05 for any false one in at most 5 % of such families.

    p'_(k) = max_{j <= k} min(1, (m - j + 1) p_(j)),  p_(1) <= ... <= p_(m).

    Example:
        >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
        [0.03, 0.06, 0.06]
    """
    order, adjusted, highest = np.argsort(p_values, kind="stable"), [0.0] * len(p_values), 0.0
    for rank, k in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * float(p_values[k])))
        adjusted[k] = highest
    return adjusted


def _draw_counts(rng: np.random.Generator, draws: int, n: int) -> Int[np.ndarray, "draws n"]:
    return rng.multinomial(n, np.full(n, 1.0 / n), size=draws)


def paired_interval(
    values: Sequence[float] | Float[Array, " recordings"],
    others: Sequence[float] | Float[Array, " recordings"],
    rooms: Sequence[Hashable],
    participants: Sequence[Hashable],
    *,
    seeds: Sequence[Hashable] | None = None,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> Interval:
    """Mean difference of two methods on the same recordings, with its interval (values minus others).

    Both are resampled together, so what makes a take easy for both cancels. `excludes_zero` is the rule for
    "better", `within(2.0)` the rule for "on par"; neither holds: "can't tell". A method that isn't trained has the
    same value of a recording under each seed of the other.

    Args, Raises: as `bootstrap_interval`.
    """
    a, b = (np.asarray(torch.as_tensor(v).cpu(), dtype=np.float64) for v in (values, others))
    if a.shape != b.shape:
        raise ValueError(f"paired_interval: found {len(a)} and {len(b)} values; expected the same recordings.")
    return bootstrap_interval(a - b, rooms, participants, seeds=seeds, level=level, draws=draws, seed=seed)


def _check_index(name: str, values: Tensor, index: Tensor) -> None:
    if values.ndim != 2 or index.shape != values.shape[:1]:
        raise ValueError(
            f"{name}: found values {tuple(values.shape)} and labels {tuple(index.shape)}; expected (n, S) and (n,)."
        )
    if len(index) and (int(index.min()) < 0 or int(index.max()) >= values.shape[1]):
        raise ValueError(
            f"{name}: found labels from {int(index.min())} to {int(index.max())}; expected 0 to {values.shape[1] - 1}; "
            "leave unlabelled seconds out first."
        )
    if torch.isnan(values).any():
        raise ValueError(f"{name}: found NaN values; expected numbers; -inf is allowed for masked cells.")
