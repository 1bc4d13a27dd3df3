"""Few-shot curves as one table, from scores or from the ledger, and how many labels a curve needs for a value.

A row is a point: test, method, variant, shots (shots per class, 0 for zero-shot), metric, mean, low, high (percent).
Pictures of it are `plots.fewshot`, the explorer is `widgets.primus`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from eailkit.errors import ConfigError
from eailkit.fewshot.scores import FEWSHOT_METRICS, Scores
from eailkit.results import ledger
from eailkit.results.names import FIGURES, ONLY_VARIANT, UNTRAINED, Head, gain_key, id_parts, point_key, points

COLUMNS = ("test", "method", "variant", "shots", "metric", "mean", "low", "high")
HEADS = (Head.RANDOM, Head.TEXT, Head.ENCODER)  # that can be chosen between


@dataclass(frozen=True)
class Reach:
    """How many shots per class a curve needs for a value.

    Attributes:
        shots: interpolated in log shots; NaN for "never".
        how: "within" what was measured, "below" (the fewest that were measured are enough already), or "never".
    """

    shots: float
    how: str


def from_scores(scores: Mapping[str, Scores]) -> pd.DataFrame:
    """The table of what a run has scored, by test set."""
    parts = []
    for test, found in scores.items():
        frame = found.frame()
        for metric in FEWSHOT_METRICS if len(frame) else ():
            part = frame[["method", "variant", "shots"]].assign(test=test, metric=metric)
            names = {"mean": metric, "low": f"{metric}_low", "high": f"{metric}_high"}
            parts.append(part.assign(**{name: frame[column] for name, column in names.items()})[list(COLUMNS)])
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS))


def recorded(
    profile: str = "bench",
    *,
    figures: Sequence[str] = FIGURES,
    results_dir: Path | str = ledger.RESULTS_DIR,
) -> pd.DataFrame:
    """The table of what the ledger holds of Figs. 4 to 6; empty where nothing was recorded.

    The ledger keeps half of each interval's width, so low and high lie evenly around the mean here. A curve that two
    figures share is there once.

    Raises:
        ConfigError: a table of the ledger can't be read.
    """
    rows = []
    for figure in figures:
        for row in ledger.read(f"{figure.replace('-', '_')}_{profile}", results_dir=results_dir):
            config = row["config"]
            about = {"test": config["test"], "method": config["method"], "variant": config["head"]}
            rows += [about | p._asdict() | {"low": p.mean - p.half, "high": p.mean + p.half} for p in points(row)]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.drop_duplicates(list(COLUMNS[:5]), ignore_index=True)


def curve(table: pd.DataFrame, test: str, method: str, variant: str, metric: str) -> pd.DataFrame:
    """One line's points by shots; handcrafted features and standard training have one variant, whichever is asked for.

    Returns:
        the rows, sorted; empty where the line has no such variant.
    """
    variant = next((own for name, own in ONLY_VARIANT.items() if method.startswith(name)), variant)
    of = (table.test == test) & (table.method == method) & (table.variant == variant) & (table.metric == metric)
    return table[of].sort_values("shots", ignore_index=True)


def panels(
    table: pd.DataFrame, methods: Sequence[str], *, head: str = "random", metric: str = "macro_f1"
) -> dict[str, pd.DataFrame]:
    """Test set -> the points of some lines, for `plots.fewshot_figure`; lines that it lacks are left out."""
    found = {}
    for test in dict.fromkeys(table.test):
        parts = [curve(table, test, method, head, metric) for method in methods]
        if any(len(part) for part in parts):
            found[test] = pd.concat([part for part in parts if len(part)], ignore_index=True)
    return found


def reach(shots: Float[np.ndarray, " n"], values: Float[np.ndarray, " n"], wanted: float) -> Reach:
    """The fewest shots per class at which a curve reaches `wanted`: straight between points in log shots.

    Nothing is said about counts that weren't measured: neither below the fewest nor beyond the most. The point of
    zero-shot (0 windows) isn't on the axis and doesn't count.

    Raises:
        ConfigError: no point at 1 window or more, or points that aren't sorted.

    Example:
        >>> reach(np.array([1, 100]), np.array([20.0, 60.0]), 40.0)
        Reach(shots=10.0, how='within')
    """
    shots, values = np.asarray(shots, float), np.asarray(values, float)
    values, shots = values[shots > 0], shots[shots > 0]
    if not len(shots) or (np.diff(shots) <= 0).any():
        raise ConfigError(f"reach: found shots per class {shots.tolist()}; expected one or more, rising.")
    if values[0] >= wanted:
        return Reach(float(shots[0]), "below")
    above = np.flatnonzero(values >= wanted)
    if not len(above):
        return Reach(float("nan"), "never")
    k = int(above[0])
    part = (wanted - values[k - 1]) / (values[k] - values[k - 1])
    return Reach(float(np.exp(np.log(shots[k - 1]) + part * np.log(shots[k] / shots[k - 1]))), "within")


def fewer_labels(one: pd.DataFrame, other: pd.DataFrame, shots: int) -> tuple[str, Reach]:
    """What `other` needs for the value that `one` has at `shots`: a sentence, and where it gets there.

    Args:
        one, other: `curve`s.
        shots: a number that `one` was measured at; 0 for its zero-shot point.

    Raises:
        ConfigError: `one` has no such point.
    """
    at = one[one.shots == shots]
    if not len(at) or not (other.shots > 0).any():
        raise ConfigError(f"fewer_labels: found no point at {shots} shots per class; expected one that was measured.")
    value, a, b = float(at["mean"].iloc[0]), one.method.iloc[0], other.method.iloc[0]
    found = reach(other.shots.to_numpy(), other["mean"].to_numpy(), value)
    counted = other.shots[other.shots > 0]
    where = f"{value:.1f} %: {a} with {shots or 'no'} shots per class, {b} "
    if found.how == "never":
        return f"{where}never within the counts that were measured (up to {counted.max()})", found
    if found.how == "below":
        return f"{where}with {counted.min()}, the fewest that were measured, or fewer", found
    if not shots:
        return f"{where}with {found.shots:.3g}", found
    k = found.shots / shots
    told = "as many" if 1 / 1.05 < k < 1.05 else f"{k:.2g} times as many" if k > 1 else f"{1 / k:.2g} times fewer"
    return f"{where}with {found.shots:.3g}: {told}", found


def tuning_table(*, results_dir: Path | str = ledger.RESULTS_DIR) -> pd.DataFrame:
    """What was tried on the tuning set, a row a line and a column a number of windows: macro-F1 and its gain, percent.

    The gain over random weights is paired, ± half of its 95 % interval over participants and draws. Empty where nothing
    was recorded.
    """
    table = {}
    for row in ledger.read("primus_tuning", results_dir=results_dir):
        cells = {}
        for point in points(row):
            if point.metric == "macro_f1":
                gain = gain_key(UNTRAINED, point.shots)
                more = f" ({row['mean'][gain]:+.1f} ± {row['spread'][gain]:.1f})" if gain in row["mean"] else ""
                cells[f"{point.shots} a class"] = f"{point.mean:.1f}{more}"
        table[row["id"]] = cells
    return pd.DataFrame(table).T


def placement_table(
    shots: int = 20, profile: str = "bench", *, results_dir: Path | str = ledger.RESULTS_DIR
) -> pd.DataFrame:
    """Trained on one temple, tested elsewhere: a row a method and a column a place, macro-F1 in percent.

    In brackets what is lost against the temple of training, paired and averaged over numbers of windows, ± half of its
    95 % interval over participants and draws. Empty where nothing was recorded.
    """
    table: dict[str, dict[str, str]] = {}
    for row in ledger.read(f"primus_placement_{profile}", results_dir=results_dir):
        config, mean = row["config"], row["mean"]
        lost = gain_key(config["trained at"])
        more = f" ({mean[lost]:+.1f} ± {row['spread'][lost]:.1f})" if lost in mean else ""
        cell = f"{mean[point_key('macro_f1', shots)]:.1f}{more}"
        table.setdefault(config["method"], {})[config["place"]] = cell
    return pd.DataFrame(table).T


def joined_recorded(profile: str = "quick", *, results_dir: Path | str = ledger.RESULTS_DIR) -> pd.DataFrame:
    """EAIL with PRIMUS's encoder: a row a line, split and metric as columns, means in percent with their intervals.

    After a semicolon, where there is one, the paired difference against the same encoder from scratch. Empty where
    nothing was recorded.
    """
    table: dict[tuple[str, str], dict[str, str]] = {}
    for row in ledger.read(f"joined_{profile}", results_dir=results_dir):
        split, line = id_parts(row["id"])
        gains = row["config"].get("against", {}).get("from scratch", {})
        for metric, shown in intervals_of(row).items():
            points = gains.get(metric, {}).get("points", "")
            gain = f"; {'' if points.startswith('-') else '+'}{points}" if points else ""
            table.setdefault((split, metric), {})[line] = shown + gain
    kept = [(s, m) for s in ("test-seen", "test-unseen") for m in ("SR@0.4m", "RS", "top1")]
    return pd.DataFrame(table)[kept] if table else pd.DataFrame()


def intervals_of(row: Mapping) -> dict[str, str]:
    """Metric -> mean and interval as text, of a recorded row of methods; older rows name the first seed's."""
    config = row.get("config", {})
    return config.get("interval", config.get("interval of the first seed", {}))


def beside_each_other(verdicts: pd.DataFrame, claims: str = "") -> pd.DataFrame:
    """Recorded verdicts, a row a comparison and a column an encoder.

    Args:
        verdicts: `primus_claims.claims_table`.
        claims: letters to keep; all where "".
    """
    if not len(verdicts):
        return pd.DataFrame()
    kept = verdicts[verdicts.claim.isin(list(claims))] if claims else verdicts
    told = kept.assign(found=kept.verdict + ", " + kept.points, encoder="encoder: " + kept.encoder)
    rows = ["claim", "test", "what", "shots"]
    wide = told.pivot(index=rows, columns="encoder", values="found").fillna("–")
    wide = wide.reindex(pd.MultiIndex.from_frame(told[rows].drop_duplicates()))  # as recorded, not 1, 10, 2
    return wide.rename_axis(columns=None).rename_axis(index={"shots": "shots per class"})
