"""EAIL's recorded tables: beside its references over seeds, the rule of "works", and what trained parts are worth.

Trains in this run and evaluates on both test splits; nothing is chosen here, and nothing comes from shipped weights.
`over_time` records what a mean over a take hides.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from eailkit.eail.evaluation import Table, verdict
from eailkit.eail.readings import RULE
from eailkit.eail.velocity import velocity_errors
from eailkit.experiments.bounds import over_rooms
from eailkit.experiments.eail_run import FULL, Run
from eailkit.experiments.methods import LIVE, TRACKED
from eailkit.experiments.over_time import OverTime
from eailkit.metrics import METRICS
from eailkit.profiles import get_profile
from eailkit.results.ledger import RESULTS_DIR, LedgerRow, append_rows, device_name, git_commit
from eailkit.results.names import row_id

OURS = (FULL, TRACKED, LIVE)  # what the rule is asked about
AGAINST = {FULL: RULE, TRACKED: (*RULE, FULL), LIVE: (*RULE, FULL)}
CHECKED = ("SR@0.4m",)


def record_localization(
    out: str | Path,
    profile: str,
    seeds: Sequence[int] = (),
    *,
    results_dir: str | Path = RESULTS_DIR,
    command: str = "eailkit reproduce localization",
) -> Path:
    """Train every seed, then write `localization_<profile>` and, beside it, criteria, bounds, over_time and parts.

    Args:
        out: folder of datasets, caches and weights; what a run finished is found again there.
        seeds: the profile's where none is given.

    Returns:
        the path of the first table.
    """
    seeds = tuple(seeds) or get_profile(profile).seeds
    minutes, table, parts, over_time = 0.0, None, [], OverTime()
    for seed in seeds:
        run = Run(out, profile, seed=seed)
        stage1, _ = run.train_stage1()
        stage2, _ = run.train_stage2(stage1)
        table = run.reference_table(stage1, stage2, table=table, live=True)
        parts.append(_parts(run, stage1))
        over_time.add(run, stage1, stage2)
        minutes += sum(history.minutes for history in run.histories.values())  # of training, resumed runs included
    common = {
        "command": command, "commit": git_commit(), "data_hash": run.prepared.data_hash, "seeds": seeds,
        "minutes": round(minutes, 2), "device": device_name(),
    }  # fmt: skip
    append_rows(f"criteria_{profile}", criterion_rows(table, common), results_dir=results_dir)
    append_rows(f"bounds_{profile}", _bounds_rows(run.bounds(), common), results_dir=results_dir)
    append_rows(f"parts_{profile}", _part_rows(parts, common), results_dir=results_dir)
    append_rows(f"over_time_{profile}", over_time.rows(common), results_dir=results_dir)
    return append_rows(f"localization_{profile}", method_rows(table, common), results_dir=results_dir)


def method_rows(table: Table, common: dict) -> list[LedgerRow]:
    """A row a split and method: means over takes and seeds, their intervals over rooms, people and seeds."""
    rows = []
    for split in table.splits:
        for method in table.scores.method.unique():
            scores = table.scores[(table.scores.method == method) & (table.scores.split == split)]
            mean, spread, interval = {}, {}, {}
            for metric in METRICS:
                if (found := table.interval(method, split, metric)) is None:
                    continue
                each = scores.groupby("seed")[metric].mean()
                mean[metric], interval[metric] = round(found.mean, 2), str(found)
                spread[metric] = round(float(each.std(ddof=0)), 2)
            if not mean:  # nothing to count from, as where a room has too few other takes for an oracle
                continue
            takes, seeds = int(scores["take"].nunique()), int(scores["seed"].nunique())
            told = "standard deviation over seeds" if seeds > 1 else "none: one seed, or nothing trained"
            config = {"interval": interval, "spread": told, "takes": takes, "trainings": seeds}
            config["outside the square (% of seconds)"] = round(
                float(100 * scores["outside"].sum() / max(1.0, (scores["outside"] + scores["micro_n"]).sum())), 2
            )
            rows.append(LedgerRow(
                id=row_id(split, method), question=f"How well does '{method}' do on {split}?", config=config,
                mean=mean, spread=spread, **common,
            ))  # fmt: skip
    return rows


def criterion_rows(table: Table, common: dict) -> list[LedgerRow]:
    """A row a (split, method of ours, other line): the paired difference in success at 0.4 m and its verdict."""
    rows, present = [], set(table.scores.method)
    for split in table.splits:
        for method, others in AGAINST.items():
            for other in (o for o in others if o in present and method in present):
                for metric in CHECKED:
                    found = table.difference(method, other, split, metric)
                    rows.append(LedgerRow(
                        id=row_id(split, f"{method} against {other}"),
                        question=f"Is {metric} of '{method}' on {split} better than that of '{other}'?",
                        config={"margin (points)": str(found), "verdict": verdict(found), "metric": metric,
                                "interval": "paired, over rooms, people and seeds",
                                "spread": "half of the interval"},
                        mean={"margin (points)": round(found.mean, 2)},
                        spread={"margin (points)": round((found.high - found.low) / 2, 2)}, **common,
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


def _parts(run: Run, stage1) -> dict[str, dict[str, float]]:
    """What the trained parts are worth by themselves, split by split: retrieval of stage 1, errors of the velocity."""
    found, features = {}, run.features(stage1)
    for split in ("train", "val-seen", "val-unseen", "test-seen", "test-unseen"):
        takes = run.prepared.by_split(split)[:: 4 if split == "train" else 1]
        values = [retrieval(run.prepared, features, take) for take in takes]
        found[row_id(split, "stage 1, retrieval with the heading known (uses ground truth)")] = {
            name: float(np.mean([v[name] for v in values])) for name in values[0]
        }
        for activity, errors in velocity_errors(run.train_velocity(), takes, run.prepared.action_names).items():
            told = {"RMSE (m/s)": errors["rmse_mps"], "predicted / true speed": errors["speed_ratio"]}
            found[row_id(split, f"velocity net, {activity}")] = {k: v for k, v in told.items() if np.isfinite(v)}
    return found


def retrieval(prepared, features, take) -> dict[str, float]:
    """How well one second finds its own cell among its room's by stage 1's cosine, the heading known; percent."""
    room, cell = prepared.rooms[take.room], np.asarray(take.cell, int)
    known = cell >= 0
    heat = features.motion(take.name, np.asarray(take.heading, float)) @ np.asarray(features.rooms[take.room]).T
    heat = np.where(np.asarray(room.empty), -np.inf, heat)[known]
    own = heat[np.arange(len(heat)), cell[known]]
    above = (heat > own[:, None]).sum(1)
    away = np.linalg.norm(room.grid.cell_centres[heat.argmax(1)] - np.asarray(take.position)[known], axis=1)
    share = lambda hits: 100 * float(hits.mean())  # noqa: E731
    return {
        "top 1 of the room (%)": share(above < 1), "top 10 of the room (%)": share(above < 10),
        "SR@0.4m": share(away < 0.4),
    }  # fmt: skip


def _part_rows(parts: list[dict], common: dict) -> list[LedgerRow]:
    rows = []
    for name in parts[0]:
        each = {k: [p[name][k] for p in parts if k in p.get(name, {})] for k in parts[0][name]}
        rows.append(LedgerRow(
            id=name, question=f"How good is the part '{name}' by itself?",
            config={"spread": "standard deviation over seeds"},
            mean={k: round(float(np.mean(v)), 4) for k, v in each.items()},
            spread={k: round(float(np.std(v)), 4) for k, v in each.items()}, **common,
        ))  # fmt: skip
    return rows
