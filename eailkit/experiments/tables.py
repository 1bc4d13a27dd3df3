"""EAIL's recorded tables: beside its references, the criteria of the first release, error over elapsed time (Fig. 4).

Trains in this run and evaluates on both test splits; nothing is chosen here, and nothing comes from shipped weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from eailkit.eail.evaluation import Table, criterion, error_over_time
from eailkit.experiments.bounds import over_rooms
from eailkit.experiments.eail_run import FULL, Run
from eailkit.metrics import METRICS
from eailkit.profiles import get_profile
from eailkit.results.ledger import RESULTS_DIR, LedgerRow, append_rows, device_name, git_commit
from eailkit.results.names import row_id

CRITERIA = (  # (other line, metric, how many times better)
    ("free space", "SR@0.4m", 2.0),
    ("EAIL, another take's IMU", "SR@0.4m", 1.5),
    ("IMU alone", "SR@0.4m", 1.0),
    ("majority action", "top1", 1.0),
)


def record_localization(
    out: str | Path,
    profile: str,
    seeds: Sequence[int] = (),
    *,
    results_dir: str | Path = RESULTS_DIR,
    command: str = "eailkit reproduce localization",
) -> Path:
    """Train every seed, then write tables localization, criteria, drift and bounds, each `<table>_<profile>.json`.

    Args:
        out: folder of datasets, caches and weights; what a run finished is found again there.
        seeds: the profile's where none is given.

    Returns:
        the path of the first table.
    """
    seeds = tuple(seeds) or get_profile(profile).seeds
    minutes, tables, drifts = 0.0, [], []
    for seed in seeds:
        run = Run(out, profile, seed=seed)
        stage1, _ = run.train_stage1()
        stage2, _ = run.train_stage2(stage1)
        tables.append(run.reference_table(stage1, stage2))
        drifts.append(_drift(run, stage1, stage2))
        minutes += sum(history.minutes for history in run.histories.values())  # of training, resumed runs included
    common = {
        "command": command, "commit": git_commit(), "data_hash": run.prepared.data_hash, "seeds": seeds,
        "minutes": round(minutes, 2), "device": device_name(),
    }  # fmt: skip
    append_rows(f"criteria_{profile}", _criterion_rows(tables, common), results_dir=results_dir)
    append_rows(f"drift_{profile}", _drift_rows(drifts, common), results_dir=results_dir)
    append_rows(f"bounds_{profile}", _bounds_rows(run.bounds(), common), results_dir=results_dir)
    return append_rows(f"localization_{profile}", method_rows(tables, common), results_dir=results_dir)


def method_rows(tables: list[Table], common: dict) -> list[LedgerRow]:
    """A row a split and method: means over seeds (one table a seed), the first seed's intervals beside them."""
    rows = []
    for split in tables[0].splits:
        for method in tables[0].scores.method.unique():
            mean, spread, interval = {}, {}, {}
            for metric in METRICS:
                found = [t.interval(method, split, metric) for t in tables]
                if found[0] is None:
                    continue
                values = [f.mean for f in found]
                mean[metric], spread[metric] = round(float(np.mean(values)), 2), round(float(np.std(values)), 2)
                interval[metric] = str(found[0])
            takes = int((tables[0].scores.method == method).sum() / len(tables[0].splits))
            config = {"interval of the first seed": interval, "spread": "standard deviation over seeds", "takes": takes}
            rows.append(LedgerRow(
                id=row_id(split, method), question=f"How well does '{method}' do on {split}?", config=config,
                mean=mean, spread=spread, **common,
            ))  # fmt: skip
    return rows


def _criterion_rows(tables: list[Table], common: dict) -> list[LedgerRow]:
    rows = []
    for split in tables[0].splits:
        for other, metric, factor in CRITERIA:
            found = [criterion(t, FULL, other, split, metric, factor) for t in tables]
            ratios = [f["ratio"] for f in found]
            rows.append(LedgerRow(
                id=row_id(split, f"{metric} against {other}"),
                question=f"Is {metric} on {split} more than {factor:g} times that of '{other}'?",
                config={
                    "required ratio": factor, "margin of the first seed (points, interval)": found[0]["margin"],
                    "interval clears it, by seed": [f["holds"] for f in found],
                    "mean clears it, by seed": [f["mean holds"] for f in found],
                },
                mean={"ratio": round(float(np.mean(ratios)), 3)}, spread={"ratio": round(float(np.std(ratios)), 3)},
                **common,
            ))  # fmt: skip
    return rows


def _bounds_rows(frame: pd.DataFrame, common: dict) -> list[LedgerRow]:
    rows = []
    for split, rooms in frame.groupby("split", sort=False):
        mean, spread, each = over_rooms(rooms.drop(columns="split"))
        rows.append(LedgerRow(
            id=split, question=f"How much can any method know of the place on {split}?",
            config={"spread": "standard deviation over rooms", "rooms": each}, mean=mean, spread=spread,
            **common,
        ))  # fmt: skip
    return rows


def _drift(run: Run, stage1, stage2) -> dict:
    """Error in 30 s bins on the takes of ten minutes and more, of EAIL and of dead reckoning."""
    takes = [t for s in ("test-seen", "test-unseen") for t in run.prepared.by_split(s) if len(t) >= 590]
    if not takes:
        return {}
    methods = run.methods(stage1, stage2)
    ours = error_over_time(run.prepared, takes, methods.alone)
    theirs = error_over_time(run.prepared, takes, methods.dead_reckoned)
    return {"EAIL": ours[ours.minute < 10], "dead reckoning": theirs[theirs.minute < 10], "takes": len(takes)}


def _drift_rows(drifts: list[dict], common: dict) -> list[LedgerRow]:
    rows = []
    for method in ("EAIL", "dead reckoning"):
        found = [d[method] for d in drifts if d]
        if not found:
            continue
        part = lambda low, high: [f[(f.minute >= low) & (f.minute < high)].error_m.mean() for f in found]  # noqa: E731, B023
        slope = [np.polyfit(f.minute, f.error_m, 1)[0] for f in found]
        values = {
            "error of minute 0-1 (m)": part(0, 1),
            "error of minute 9-10 (m)": part(9, 10),
            "slope (m/min)": slope,
        }
        rows.append(LedgerRow(
            id=method, question=f"How does the position error of '{method}' grow over ten minutes?",
            config={
                "takes": drifts[0]["takes"], "bin_s": 30,
                "minutes": found[0].minute.round(2).tolist(), "error_m, first seed": found[0].error_m.round(3).tolist(),
            },
            mean={k: round(float(np.mean(v)), 4) for k, v in values.items()},
            spread={k: round(float(np.std(v)), 4) for k, v in values.items()}, **common,
        ))  # fmt: skip
    return rows
