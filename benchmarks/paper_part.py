"""README's first table: EAIL's Tables 1 and 2 beside the paper's numbers, from the ledger."""

from __future__ import annotations

import math
from pathlib import Path

from eailkit.experiments.rows.catalog import PUBLISHED, TABLES, Row
from eailkit.experiments.rows.record import INTERVAL
from eailkit.results import paper
from eailkit.results.ledger import read
from eailkit.results.names import row_id

SPLITS = ("test-seen", "test-unseen")
SHOWN = {"table1": ("SR@0.4m", "RS"), "table2": ("top1", "top5")}
WORDS = {"SR@0.4m": "0.4 m", "RS": "RS", "top1": "top-1", "top5": "top-5"}


def paper_part(results: Path, profile: str = "bench") -> str:
    """Ours with intervals, the paper's beside them; empty where nothing is recorded."""
    return "\n\n".join(filter(None, (_table(table, results, profile) for table in SHOWN)))


def _table(table: str, results: Path, profile: str) -> str:
    rows = {row["id"]: row for row in read(f"{table}_{profile}", results_dir=results)}
    columns = [f"{split[5:]}: {WORDS[m]} | the paper" for split in SPLITS for m in SHOWN[table]]
    lines = [_line(row, protocol, rows) for row in TABLES[table] for protocol in row.protocols]
    lines = [line for line in lines if line]
    seeds = sorted({seed for row in rows.values() for seed in row["seeds"]})
    head = f"| Table {table[-1]}, {profile}, seeds {', '.join(map(str, seeds))} | " + " | ".join(columns) + " |"
    return "\n".join([head, "|---" * (1 + 2 * len(columns)) + "|", *lines]) if lines else ""


def _line(row: Row, protocol: str, rows: dict[str, dict]) -> str:
    """One row of a table under one protocol; empty where it isn't recorded."""
    cells, found = [], False
    for split in SPLITS:
        recorded = rows.get(row_id(split, row.name, protocol), {})
        found = found or bool(recorded)
        for metric in SHOWN[row.table]:
            theirs = paper.value(int(row.table[-1]), row.paper, split, metric) if row.paper else math.nan
            cells += [_with_interval(recorded, metric), "–" if math.isnan(theirs) else f"{theirs:.1f}"]
    told = " (uses ground truth)" if protocol == PUBLISHED else ""
    return f"| {row.name}{told} | " + " | ".join(cells) + " |" if found else ""


def _with_interval(recorded: dict, metric: str) -> str:
    if metric not in recorded.get("mean", {}):
        return "–"
    low, high = recorded["config"][INTERVAL][metric]
    return f"{recorded['mean'][metric]:.1f} [{low:.1f}, {high:.1f}]"
