"""What a row says of every second of the test takes, kept: enough for each metric, each definition and each figure.

Maps of 400 cells a second would be gigabytes; places, successes, ranks and hits are megabytes, and whatever a table or
a curve needs is a mean over them. So a row is predicted once and read often.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from eailkit.eail.decision import most_mass
from eailkit.eail.prepared import Prepared
from eailkit.eail.sequences import Prediction
from eailkit.files import save_npz
from eailkit.metrics import METRICS, THRESHOLDS_M, map_successes, relative_score, successes, topk_hits

FIELDS = {"place_m": (2,), "disc_m": (2,), "success": (len(THRESHOLDS_M),), "rs": (), "top1": (), "top5": ()}


@dataclass(frozen=True)
class Seconds:
    """One method's answers on some takes, a row a second, NaN where a method gives none or nothing is labelled.

    Attributes:
        takes: names, in the order of the rows; lengths: seconds of each.
        place_m: the answered place: the position that a method decided on, else the highest cell (of ties the first).
        disc_m: of a map, the place with most probability within 0.4 m.
        success: within 0.2, 0.4 and 0.6 m, percent, as `evaluation.score_take` counts it, ties in expectation.
        rs, top1, top5: percent, as `metrics` defines them.
    """

    takes: tuple[str, ...]
    lengths: tuple[int, ...]
    place_m: Float[np.ndarray, "n 2"]
    disc_m: Float[np.ndarray, "n 2"]
    success: Float[np.ndarray, "n 3"]
    rs: Float[np.ndarray, " n"]
    top1: Float[np.ndarray, " n"]
    top5: Float[np.ndarray, " n"]

    def of(self, take: str) -> dict[str, np.ndarray]:
        """The rows of one take, by field."""
        at = self.takes.index(take)
        start = sum(self.lengths[:at])
        return {name: getattr(self, name)[start : start + self.lengths[at]] for name in FIELDS}

    def save(self, path: Path, extra: dict[str, np.ndarray] | None = None) -> None:
        """Write all, and what else belongs to it, as .npz, atomically."""
        arrays = {name: getattr(self, name).astype(np.float32) for name in FIELDS}
        save_npz(path, {"takes": np.array(self.takes), "lengths": np.array(self.lengths)} | arrays | (extra or {}))

    @classmethod
    def load(cls, path: Path) -> Seconds:
        """What `save` wrote."""
        with np.load(path, allow_pickle=False) as a:
            return cls(tuple(a["takes"].tolist()), tuple(a["lengths"].tolist()), **{name: a[name] for name in FIELDS})


def measure(prepared: Prepared, takes: Iterable, predict: Callable[[object], Prediction]) -> Seconds:
    """Run a method over takes and keep what it says of each second."""
    takes = list(takes)
    each = [measure_take(prepared, take, predict(take)) for take in takes]
    joined = {name: np.concatenate([e[name] for e in each]) for name in FIELDS}
    return Seconds(tuple(t.name for t in takes), tuple(len(t) for t in takes), **joined)


def measure_take(prepared: Prepared, take, prediction: Prediction) -> dict[str, np.ndarray]:
    """The fields of `Seconds` for one take."""
    found = {name: np.full((len(take), *shape), np.nan, np.float32) for name, shape in FIELDS.items()}
    grid, empty = prepared.rooms[take.room].grid, np.asarray(prepared.rooms[take.room].empty)
    cell, action = np.asarray(take.cell, int), np.asarray(take.action, int)
    rows, truth = np.flatnonzero(cell >= 0), np.asarray(take.position, float)
    if prediction.confidence is not None:
        confidence = np.asarray(prediction.confidence, np.float32)
        found["place_m"] = grid.cell_centres[confidence.argmax(1)].astype(np.float32)
        found["disc_m"] = most_mass(_shares(confidence), grid.cell_centres).astype(np.float32)
        if len(rows):
            found["success"][rows] = map_successes(confidence[rows], grid.cell_centres, truth[rows])
            found["rs"][rows] = relative_score(
                torch.from_numpy(confidence[rows]), torch.from_numpy(cell[rows]), torch.from_numpy(empty)
            )
    if prediction.position_m is not None:
        place = np.asarray(prediction.position_m, float)
        found["place_m"] = place.astype(np.float32)
        found["success"][rows] = successes(np.where(np.isnan(place[rows]), np.inf, place[rows]), truth[rows])
    rows = np.flatnonzero(action >= 0)
    if prediction.action is not None and len(rows):
        logits, label = torch.as_tensor(np.asarray(prediction.action)[rows]), torch.as_tensor(action[rows])
        found["top1"][rows], found["top5"][rows] = topk_hits(logits, label, 1), topk_hits(logits, label, 5)
    return found


def _shares(confidence: Float[np.ndarray, "n cells"]) -> Float[np.ndarray, "n cells"]:
    """Maps that sum to one: those with a negative value, cosines or logarithms, by a softmax."""
    logs = (confidence < 0).any(axis=1, keepdims=True)
    positive = np.where(logs, np.exp(confidence - confidence.max(axis=1, keepdims=True)), confidence)
    return positive / np.maximum(positive.sum(axis=1, keepdims=True), 1e-30)


def scores(prepared: Prepared, seconds: Seconds, method: str, seed: int = 0) -> pd.DataFrame:
    """Scores a take, as `evaluation.Table` holds them: the means of `evaluation.score_take`."""
    takes, rows = {t.name: t for t in prepared.takes}, []
    for name in seconds.takes:
        take, found = takes[name], seconds.of(name)
        where, doing = np.asarray(take.cell) >= 0, np.asarray(take.action) >= 0
        record = {"method": method, "seed": seed, "split": take.split, "take": name, "room": take.room}
        record |= {"participant": take.participant, "micro_n": float(where.sum()), "outside": float((~where).sum())}
        each = {f"SR@{d}m": found["success"][where, k] for k, d in enumerate(THRESHOLDS_M)} | {
            "RS": found["rs"][where], "top1": found["top1"][doing], "top5": found["top5"][doing],
        }  # fmt: skip
        rows.append(
            record | {m: float(np.mean(each[m], dtype=np.float64)) if len(each[m]) else np.nan for m in METRICS}
        )
    return pd.DataFrame(rows)


def errors_m(prepared: Prepared, seconds: Seconds) -> dict[str, Float[np.ndarray, " n"]]:
    """Distance of the answered from the true place a second, m, by take; NaN where either is unknown."""
    takes = {t.name: t for t in prepared.takes}
    return {
        name: np.where(
            np.asarray(takes[name].cell) >= 0,
            np.linalg.norm(seconds.of(name)["place_m"] - np.asarray(takes[name].position, float), axis=1), np.nan,
        )
        for name in seconds.takes
    }  # fmt: skip
