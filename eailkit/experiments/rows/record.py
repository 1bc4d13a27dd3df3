"""The ledger's rows of EAIL's tables: means over takes and seeds with their intervals, and what was trained for them.

A row of a table becomes one ledger row a (split, protocol). The paper's figures live in `results.paper`; whoever shows
both puts them side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from eailkit.eail.evaluation import Table
from eailkit.experiments.rows.catalog import PUBLISHED, Kind, Row
from eailkit.experiments.rows.make import SPLITS, Made, method_of
from eailkit.experiments.rows.seconds import scores
from eailkit.experiments.rows.work import Place, maker_of
from eailkit.results.ledger import LedgerRow, append_rows, device_name, git_commit
from eailkit.results.names import row_id

TRUTH = "uses ground truth"
INTERVAL = "interval, 95 %, over rooms, people and seeds"


def made_of(place: Place, row: Row, seeds: Sequence[int], protocol: str) -> dict[int, Made]:
    """What a row's method says under each seed, of those that are made."""
    found = {}
    for seed in seeds:
        maker = maker_of(place, seed)
        if (made := maker.found(method_of(row, place.sizes), protocol)) is not None:
            found[seed] = made
    return found


def table_of(
    place: Place, rows: Sequence[Row], seeds: Sequence[int], protocol: str, *, more: Mapping[str, Row] | None = None
) -> Table:
    """Scores of rows that are made, a method each, called by the row's name; rows without that protocol use their own.

    Args:
        more: further rows under names of their own.
    """
    prepared, frames = maker_of(place, seeds[0]).run.prepared, []
    for name, row in {**{r.name: r for r in rows}, **(more or {})}.items():
        for seed, made in made_of(place, row, seeds, row.under(protocol)).items():
            frame = scores(prepared, made.seconds, name, seed)
            unasked = [m for m in ("SR@0.2m", "SR@0.4m", "SR@0.6m", "RS", "top1", "top5") if m not in row.metrics]
            frames.append(frame.assign(**dict.fromkeys(unasked, np.nan)))
    return Table(prepared, SPLITS, pd.concat(frames, ignore_index=True) if frames else pd.DataFrame())


def common_of(place: Place, seeds: Sequence[int], command: str) -> dict:
    """What every row of one recording says alike."""
    return {
        "command": command, "commit": git_commit(), "data_hash": maker_of(place, seeds[0]).run.prepared.data_hash,
        "seeds": tuple(seeds), "device": device_name(),
    }  # fmt: skip


def ledger_rows(place: Place, row: Row, seeds: Sequence[int], common: dict) -> list[LedgerRow]:
    """The ledger's rows of one row of a table, a (split, protocol) each; empty while a seed is missing."""
    found = []
    for protocol in row.protocols:
        made = made_of(place, row, seeds, protocol)
        if len(made) < len(seeds):
            return []
        table = table_of(place, [row], seeds, protocol)
        for split in SPLITS:
            if (one := _ledger_row(table, row, split, protocol, made, common)) is not None:
                found.append(one)
    return found


def _ledger_row(
    table: Table, row: Row, split: str, protocol: str, made: dict[int, Made], common: dict
) -> LedgerRow | None:
    intervals = {m: v for m in row.metrics if (v := table.interval(row.name, split, m)) is not None}
    if not intervals:
        return None
    each = table.scores[table.scores.split == split].groupby("seed")[list(intervals)].mean()
    told = TRUTH if protocol == PUBLISHED else "no"
    if row.kind == Kind.VELOCITY:
        told += ", the first position too"
    config = {
        "row": row.id, "paper": row.paper, "protocol": protocol, TRUTH: told,
        INTERVAL: {m: [round(v.low, 3), round(v.high, 3)] for m, v in intervals.items()},
        "takes": int(table.scores[table.scores.split == split]["take"].nunique()),
        "spread": "standard deviation over seeds" if len(made) > 1 else "none: one seed",
        "trained": {str(seed): one.about for seed, one in made.items()},
    }  # fmt: skip
    minutes = sum(sum(m.about["minutes"].values()) + m.about["minutes of prediction"] for m in made.values())
    return LedgerRow(
        id=row_id(split, row.name, protocol), config=config,
        question=f"How well does '{row.name}' of {row.table} do on {split}, {protocol}?",
        mean={m: round(v.mean, 3) for m, v in intervals.items()},
        spread={m: round(float(each[m].std(ddof=0)), 3) for m in intervals},
        minutes=round(minutes, 3), **common,
    )  # fmt: skip


def record_row(place: Place, row: Row, seeds: Sequence[int], common: dict, results_dir: str | Path) -> Path | None:
    """Write a row that is whole into `results/<table>_<profile>.json`; None while something of it is missing."""
    rows = ledger_rows(place, row, seeds, common)
    return append_rows(f"{row.table}_{place.size}", rows, results_dir=results_dir) if rows else None
