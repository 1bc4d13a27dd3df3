"""Scores of methods on takes, with the references of every table and intervals over rooms and people.

A method is a function from a cached take to a `Prediction`. `score_take` measures one, `Table` collects them per
split, and `Table.frame` gives macro means (each take counts once) with bootstrap intervals over rooms, people and,
where a method was trained several times, seeds.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from scipy.spatial.transform import Rotation, Slerp

from eailkit.eail.prepared import Prepared
from eailkit.eail.sequences import Prediction
from eailkit.files import write_atomically
from eailkit.metrics import (
    METRICS,
    THRESHOLDS_M,
    Interval,
    bootstrap_interval,
    map_successes,
    paired_interval,
    relative_score,
    successes,
    topk_accuracy,
)
from eailkit.recording import Trajectory


def position_error_m(prepared: Prepared, take, prediction: Prediction) -> np.ndarray:
    """Distance of the predicted ground position from the true one at each labelled second, metres, NaN elsewhere.

    The position of a confidence map is the centre of its highest cell; of ties, the first.
    """
    truth = np.asarray(take.position, float)
    if prediction.position_m is not None:
        found = prediction.position_m
    else:
        found = prepared.rooms[take.room].grid.cell_centres[prediction.confidence.argmax(1)]
    return np.where(np.asarray(take.cell) >= 0, np.linalg.norm(found - truth, axis=1), np.nan)


def score_take(prepared: Prepared, take, prediction: Prediction) -> dict[str, float]:
    """The six metrics of one take, in percent; NaN where the method doesn't give them, or nothing is labelled.

    Success is that of `metrics.map_successes`, or of the positions where a method decides on some, with or without
    maps; a second without a position is a miss. RS is the map's. "micro_n" counts the labelled seconds, "outside"
    those whose true position lies off the map's square.
    """
    cell = np.asarray(take.cell, int)
    rows = np.flatnonzero(cell >= 0)
    scores = dict.fromkeys(METRICS, float("nan")) | {"micro_n": float(len(rows)), "outside": float((cell < 0).sum())}
    if len(rows):
        scores |= _location_scores(prepared, take, prediction, rows, cell[rows])
    action = np.asarray(take.action, int)
    rows = np.flatnonzero(action >= 0)
    if prediction.action is not None and len(rows):
        logits, label = torch.as_tensor(np.asarray(prediction.action)[rows]), torch.as_tensor(action[rows])
        scores["top1"] = float(topk_accuracy(logits, label, 1).mean())
        scores["top5"] = float(topk_accuracy(logits, label, 5).mean())
    return scores


def _location_scores(prepared: Prepared, take, prediction: Prediction, rows: np.ndarray, cell: np.ndarray) -> dict:
    room = prepared.rooms[take.room]
    truth = np.asarray(take.position, float)[rows]
    found = {}
    if prediction.position_m is not None:
        place = np.asarray(prediction.position_m, float)[rows]
        found = _rates(successes(np.where(np.isnan(place), np.inf, place), truth))
    if prediction.confidence is None:
        return found
    confidence = np.asarray(prediction.confidence)[rows]
    found = found or _rates(map_successes(confidence, room.grid.cell_centres, truth))
    score = relative_score(
        torch.from_numpy(confidence.astype(np.float32)),
        torch.from_numpy(cell),
        torch.from_numpy(np.asarray(room.empty)),
    )
    return found | {"RS": float(score.mean())}


def _rates(each: Float[torch.Tensor, "n thresholds"]) -> dict[str, float]:
    return {f"SR@{d}m": rate for d, rate in zip(THRESHOLDS_M, each.double().mean(0).tolist(), strict=True)}


@dataclass
class Table:
    """Scores of several methods on the takes of some splits, under one training seed or several.

    Attributes:
        scores: one row a (method, seed, take): method, seed, split, take, room, participant and the metrics, percent.
    """

    prepared: Prepared
    splits: tuple[str, ...] = ("test-seen", "test-unseen")
    scores: pd.DataFrame = field(default_factory=pd.DataFrame)

    def add(self, method: str, predict: Callable[[object], Prediction], seed: int = 0) -> None:
        """Score a method on every take of the splits; a method of that name and seed is replaced.

        Args:
            seed: of the training behind it. What isn't trained is added once, under any.
        """
        rows = []
        for split in self.splits:
            for take in self.prepared.by_split(split):
                record = {"method": method, "seed": seed, "split": split, "take": take.name}
                record |= {"room": take.room, "participant": take.participant}
                rows.append(record | score_take(self.prepared, take, predict(take)))
        kept = self.scores
        if len(kept):
            kept = kept[(kept.method != method) | (kept.seed != seed)]
        self.scores = pd.concat([kept, pd.DataFrame(rows)], ignore_index=True)

    def interval(self, method: str, split: str, metric: str) -> Interval | None:
        """Macro mean of a metric with its interval; None where the method doesn't give it."""
        rows = self._rows(method, split, metric)
        if not len(rows):
            return None
        return bootstrap_interval(rows[metric].tolist(), list(rows.room), list(rows.participant), seeds=list(rows.seed))

    def difference(self, method: str, other: str, split: str, metric: str, factor: float = 1.0) -> Interval:
        """Paired interval of method - factor * other on the same takes: above zero means "better than factor times".

        Trainings are paired by their seed. A method that has one seed alone, as what isn't trained has, is the same
        for each seed of the other.
        """
        a, b = self._rows(method, split, metric), self._rows(other, split, metric)
        on = ["take", "seed"] if a.seed.nunique() > 1 and b.seed.nunique() > 1 else ["take"]
        both = a.merge(b, on=on, suffixes=("", " of the other"))
        if "seed of the other" in both and both.seed.nunique() == 1:
            both["seed"] = both["seed of the other"]
        return paired_interval(
            both[metric].tolist(), (factor * both[f"{metric} of the other"]).tolist(), list(both.room),
            list(both.participant), seeds=list(both.seed),
        )  # fmt: skip

    def frame(self) -> pd.DataFrame:
        """Means with intervals as text, one row a (split, method)."""
        rows = []
        for split in self.splits:
            for method in self.scores.method.unique():
                found = {m: self.interval(method, split, m) for m in METRICS}
                rows.append(
                    {"split": split, "method": method} | {m: "–" if v is None else str(v) for m, v in found.items()}
                )
        return pd.DataFrame(rows)

    def means(self) -> pd.DataFrame:
        """Macro means over takes and seeds, one row a (split, method), numbers."""
        return self.scores.groupby(["split", "method"], sort=False)[list(METRICS)].mean().reset_index()

    def micro(self) -> pd.DataFrame:
        """Means over seconds instead of takes (long takes count more), one row a (split, method)."""
        weighted = lambda g: pd.Series(  # noqa: E731
            {m: np.average(g[m], weights=g.micro_n) if g[m].notna().all() else np.nan for m in METRICS}
        )
        return self.scores.groupby(["split", "method"], sort=False)[[*METRICS, "micro_n"]].apply(weighted).reset_index()

    def intervals(self, metric: str) -> pd.DataFrame:
        """One row a (method, split) that has the metric: method, split, mean, low, high; for figures."""
        rows = []
        for method in self.scores.method.unique():
            for split in self.splits:
                found = self.interval(method, split, metric)
                if found is not None:
                    rows.append((method, split, found.mean, found.low, found.high))
        return pd.DataFrame(rows, columns=["method", "split", "mean", "low", "high"])

    def save(self, path: str | Path, **about) -> Path:
        """Write every mean with its interval as JSON, atomically, with whatever `about` says of the run."""
        rows = [
            {"split": split, "method": method}
            | {m: asdict(v) for m in METRICS if (v := self.interval(method, split, m)) is not None}
            for split in self.splits
            for method in self.scores.method.unique()
        ]
        record = about | {"data_hash": self.prepared.data_hash, "rows": rows}
        return write_atomically(path, lambda p: Path(p).write_text(json.dumps(record, indent=1)))

    def _rows(self, method: str, split: str, metric: str) -> pd.DataFrame:
        rows = self.scores[(self.scores.method == method) & (self.scores.split == split)]
        return rows[rows[metric].notna()]


def verdict(difference: Interval) -> str:
    """What a paired interval allows to say: "better", "worse", "on par" (within 2 points), else "can't tell".

    An interval without width comes from one room or one person: nothing can be told from it.
    """
    if difference.low == difference.high:
        return "can't tell"
    if difference.excludes_zero:
        return "better" if difference.low > 0 else "worse"
    return "on par" if difference.within() else "can't tell"


def expected_error_m(
    weights: Float[np.ndarray, " cells"], centres_m: Float[np.ndarray, "cells 2"], truth_m: Float[np.ndarray, "n 2"]
) -> Float[np.ndarray, " n"]:
    """Mean distance of a cell drawn with `weights` from the true positions, metres: what guessing costs."""
    weights = np.asarray(weights, float)
    return _distances_m(centres_m, truth_m) @ (weights / weights.sum())


def expected_success(
    weights: Float[np.ndarray, " cells"],
    centres_m: Float[np.ndarray, "cells 2"],
    truth_m: Float[np.ndarray, "n 2"],
    threshold_m: float = 0.4,
) -> float:
    """Success rate, percent, of cells drawn with `weights`: what guessing earns; NaN positions are left out."""
    weights = np.asarray(weights, float) / np.sum(weights)
    known = np.isfinite(truth_m).all(axis=1)
    return float(100 * ((_distances_m(centres_m, truth_m)[known] < threshold_m) @ weights).mean())


def _distances_m(centres_m: np.ndarray, truth_m: np.ndarray) -> Float[np.ndarray, "n cells"]:
    return np.linalg.norm(centres_m[None] - np.asarray(truth_m, float)[:, None], axis=2)


def error_curve(error_m: Float[np.ndarray, " n"], *, bin_s: float = 10.0) -> pd.DataFrame:
    """Mean error of one take in bins of elapsed time, one value a second in: columns minute and error_m."""
    frame = pd.DataFrame({"bin": (np.arange(len(error_m)) // bin_s).astype(int), "error_m": error_m}).dropna()
    curve = frame.groupby("bin").error_m.mean().reset_index()
    curve["minute"] = (curve.bin + 0.5) * bin_s / 60
    return curve[["minute", "error_m"]]


def tilt_error_deg(
    truth: Trajectory,
    R_device_imu: Float[np.ndarray, "3 3"],
    t_s: Float[np.ndarray, " n"],
    quat_gravity_imu_xyzw: Float[np.ndarray, "n 4"],
) -> Float[np.ndarray, " n"]:
    """Angle between the filter's vertical and the true one, degrees, at device times; NaN outside the trajectory.

    Both verticals are taken in the sensor's own axes, so that the unknown heading plays no part.
    """
    tilt = np.full(len(t_s), np.nan)
    known = (t_s >= truth.t_s[0]) & (t_s <= truth.t_s[-1])
    R_world_imu = Slerp(truth.t_s, Rotation.from_quat(truth.quat_world_device_xyzw))(t_s[known])
    R_world_imu = R_world_imu * Rotation.from_matrix(R_device_imu)
    found = Rotation.from_quat(quat_gravity_imu_xyzw[known]).inv().apply([0.0, 0.0, 1.0])
    true_up = -truth.gravity_world_mps2 / np.linalg.norm(truth.gravity_world_mps2)
    cosine = (found * R_world_imu.inv().apply(true_up)).sum(1)
    tilt[known] = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    return tilt


def error_over_time(
    prepared: Prepared, takes: list, predict: Callable[[object], Prediction], *, bin_s: float = 30.0
) -> pd.DataFrame:
    """Mean position error in bins of elapsed time over takes (EAIL Fig. 4): columns minute, error_m, takes."""
    rows = []
    for take in takes:
        error = position_error_m(prepared, take, predict(take))
        seconds = np.arange(len(error))
        rows.append(pd.DataFrame({"bin": (seconds // bin_s).astype(int), "error_m": error, "take": take.name}))
    both = pd.concat(rows).dropna()
    each = both.groupby(["take", "bin"]).error_m.mean().reset_index()
    found = each.groupby("bin").agg(error_m=("error_m", "mean"), takes=("take", "nunique")).reset_index()
    found["minute"] = (found.bin + 0.5) * bin_s / 60
    return found[["minute", "error_m", "takes"]]
