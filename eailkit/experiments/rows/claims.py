"""The paper's claims about its tables, each as paired comparisons that are fixed before any result is seen.

A comparison says that one row is better than another by a metric. Ours is the paired difference on the same takes, with
an interval over rooms, people and seeds; within a table and protocol its p values are adjusted by Holm, so that a table
of many comparisons finds a false one in at most 5 % of cases. What no table holds is judged in `curves`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from eailkit.experiments.rows.catalog import INFERRED, PUBLISHED, TABLES
from eailkit.experiments.rows.make import SPLITS
from eailkit.experiments.rows.record import common_of, table_of
from eailkit.experiments.rows.work import Place
from eailkit.metrics import holm
from eailkit.results import paper
from eailkit.results.ledger import LedgerRow, append_rows, read
from eailkit.results.names import row_id

PLACE, ACTION = "SR@0.4m", "top1"
HOLDS, FAILS, UNSURE = "holds", "doesn't hold", "can't tell"
LEVEL = 0.05


@dataclass(frozen=True)
class Comparison:
    """One row said to be better than another.

    Attributes:
        claim: key of `CLAIMS`.
        table: both rows'.
        better, worse: names of rows.
        metric: by which.
        splits: on which the paper says so.
    """

    claim: str
    table: str
    better: str
    worse: str
    metric: str
    splits: tuple[str, ...] = SPLITS

    def paper_points(self, split: str) -> float:
        """The paper's own difference, points; NaN where it reports none."""
        names = {row.name: row.paper for row in TABLES[self.table]}
        if not (names[self.better] and names[self.worse]):
            return float("nan")
        number = int(self.table.removeprefix("table"))
        return paper.value(number, names[self.better], split, self.metric) - paper.value(
            number, names[self.worse], split, self.metric
        )


CLAIMS: dict[str, str] = {  # in our words, with where the paper says it
    "1.map": "EAIL finds places better than every method without a map (Table 1)",
    "1.direct": "predicting places directly is better than summing velocities (section 5.2)",
    "2.actions": "EAIL names actions better than encoders of motion alone (Table 2)",
    "3.vl.places": "vision and language in stage 1 help to find places (section 5.4)",
    "3.vl.actions": "vision and language in stage 1 help to name actions (section 5.4)",
    "3.action-loss": "the action loss of stage 2 helps to find places (section 5.4)",
    "3.spatial": "the spatial module helps to find places (section 5.4)",
    "3.temporal": "the temporal module helps to find places (section 5.4)",
    "4.point-cloud": "the point cloud helps the action head (Table 4)",
    "4.location": "attending to the predicted location helps the action head (Table 4)",
    "5.slip": "SLIP guides stage 1 to better places than CLIP and a larger model do (section 9)",
    "5.short": "sequences of 5 s are better in seen rooms and worse in unseen ones than 10 s (section 9)",
    "5.long": "sequences of 20 s find places worse than 10 s (section 9)",
    "5.imu-residual": "the IMU residual of stage 2 helps to find places (section 9)",
    "5.points-residual": "the point-cloud residual of stage 2 helps to find places (section 9)",
    "5.two-stages": "two stages find places better than retrieval by stage 1 alone (section 9)",
}
VELOCITY_NETS = ("MnasNet", "EfficientNet", "IMUNet", "RoNIN (ResNet-50)")
_SEEN, _UNSEEN = (SPLITS[0],), (SPLITS[1],)
COMPARISONS: tuple[Comparison, ...] = (
    *(Comparison("1.map", "table1", "EAIL", other, PLACE) for other in (*VELOCITY_NETS, "NILoc+")),
    *(Comparison("1.direct", "table1", "NILoc+", other, PLACE) for other in VELOCITY_NETS),
    *(Comparison("2.actions", "table2", "EAIL", o, ACTION) for o in ("DeepConvLSTM", "EVI-MAE", "IMU2CLIP")),
    Comparison("3.vl.places", "table3", "full", "w/o vision-language", PLACE),
    Comparison("3.vl.actions", "table3", "full", "w/o vision-language", ACTION),
    Comparison("3.action-loss", "table3", "full", "w/o action loss", PLACE),
    Comparison("3.spatial", "table3", "full", "w/o spatial", PLACE),
    Comparison("3.temporal", "table3", "full", "w/o temporal", PLACE),
    Comparison("4.point-cloud", "table4", "with both", "w/o point cloud", ACTION),
    Comparison("4.location", "table4", "with both", "w/o location attention", ACTION),
    Comparison("5.slip", "table5", "SLIP (default)", "CLIP", PLACE),
    Comparison("5.slip", "table5", "SLIP (default)", "third model", PLACE),
    Comparison("5.short", "table5", "5 s", "10 s (default)", PLACE, _SEEN),
    Comparison("5.short", "table5", "10 s (default)", "5 s", PLACE, _UNSEEN),
    Comparison("5.long", "table5", "10 s (default)", "20 s", PLACE),
    Comparison("5.imu-residual", "table5", "full two stages", "w/o IMU residual", PLACE),
    Comparison("5.points-residual", "table5", "full two stages", "w/o point-cloud residual", PLACE),
    Comparison("5.two-stages", "table5", "full two stages", "stage-1 retrieval only", PLACE),
)  # fmt: skip


def judge(place: Place, tables: Iterable[str], seeds: Sequence[int], protocol: str) -> pd.DataFrame:
    """Every comparison that the rows which are made allow, its p adjusted among its table's.

    Returns:
        Columns claim, table, split, better, worse, metric, protocol, mean, low, high (points), p, p_holm, verdict,
        paper (points).
    """
    rows = []
    for name in tables:
        table = table_of(place, TABLES[name], seeds, protocol)
        made = set(table.scores.method) if len(table.scores) else set()
        family = []
        for item in (c for c in COMPARISONS if c.table == name and {c.better, c.worse} <= made):
            for split in item.splits:
                found = table.difference(item.better, item.worse, split, item.metric)
                family.append({
                    "claim": item.claim, "table": name, "split": split, "better": item.better, "worse": item.worse,
                    "metric": item.metric, "protocol": protocol, "mean": found.mean, "low": found.low,
                    "high": found.high, "p": found.p, "paper": item.paper_points(split),
                })  # fmt: skip
        for one, adjusted in zip(family, holm([f["p"] for f in family]), strict=True):
            rows.append(one | {"p_holm": adjusted, "verdict": verdict(one["mean"], adjusted)})
    return pd.DataFrame(rows)


def verdict(mean: float, p_holm: float) -> str:
    """What a comparison says of its claim."""
    if not p_holm < LEVEL:
        return UNSURE
    return HOLDS if mean > 0 else FAILS


def together(verdicts: Sequence[str]) -> str:
    """What several comparisons say of their claim: it holds where all do, and doesn't where one contradicts it."""
    if not verdicts:
        return UNSURE
    return FAILS if FAILS in verdicts else HOLDS if set(verdicts) == {HOLDS} else UNSURE


def record_claims(
    place: Place, tables: Sequence[str], seeds: Sequence[int], *, results_dir: str | Path, command: str
) -> Path | None:
    """Judge what is made and write `results/claims_<profile>.json`, a row a comparison, split and protocol."""
    common, rows = common_of(place, seeds, command), []
    for protocol in (INFERRED, PUBLISHED):
        for r in judge(place, tables, seeds, protocol).itertuples():
            rows.append(LedgerRow(
                id=row_id(r.claim, r.split, protocol, f"{r.better} over {r.worse}"),
                question=f"Does it hold that {CLAIMS[r.claim].partition(' (')[0]}?",
                config={
                    "claim": r.claim, "table": r.table, "split": r.split, "protocol": protocol, "better": r.better,
                    "worse": r.worse, "metric": r.metric, "low": round(r.low, 3), "high": round(r.high, 3),
                    "p": round(r.p, 5), "p, Holm": round(r.p_holm, 5), "verdict": r.verdict,
                    "paper (points)": None if np.isnan(r.paper) else round(r.paper, 2),
                    "interval": "paired, over rooms, people and seeds", "spread": "half of the interval",
                },
                mean={"points": round(r.mean, 3)}, spread={"points": round((r.high - r.low) / 2, 3)}, minutes=0.0,
                **common,
            ))  # fmt: skip
    return append_rows(f"claims_{place.size}", rows, results_dir=results_dir) if rows else None


def recorded(profile: str, *, results_dir: str | Path) -> pd.DataFrame:
    """The recorded comparisons: `judge`'s columns but p."""
    rows = []
    for row in read(f"claims_{profile}", results_dir=results_dir):
        c = row["config"]
        told = {k: c[k] for k in ("claim", "table", "split", "protocol", "better", "worse", "metric", "verdict")}
        rows.append(told | {
            "mean": row["mean"]["points"], "low": c["low"], "high": c["high"], "p_holm": c["p, Holm"],
            "paper": np.nan if c["paper (points)"] is None else c["paper (points)"],
        })  # fmt: skip
    return pd.DataFrame(rows)
