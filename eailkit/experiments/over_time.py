"""What a mean over a take hides, recorded: error and heading over elapsed time, coverage, and scores by activity."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from eailkit.eail.activity import by_activity, coverage, heading_over_time
from eailkit.eail.evaluation import error_over_time
from eailkit.experiments.eail_run import FULL, Run
from eailkit.experiments.methods import LIVE, TRACKED
from eailkit.results.ledger import LedgerRow
from eailkit.results.names import row_id

SPLITS = ("test-seen", "test-unseen")
LONG_S = 590  # takes that the error over time is of
BIN_S = 60.0
HEADING_MINUTES = 4.0


@dataclass
class OverTime:
    """Collects the measurements of several seeds; `rows` are those of the ledger.

    Attributes:
        drift: method -> a curve a seed: minute, error_m, takes.
        heading, activity: a frame a seed and split; covered: split -> percent a seed.
    """

    drift: dict[str, list[pd.DataFrame]] = field(default_factory=dict)
    heading: dict[str, list[pd.DataFrame]] = field(default_factory=dict)
    activity: list[pd.DataFrame] = field(default_factory=list)
    covered: dict[str, list[float]] = field(default_factory=dict)

    def add(self, run: Run, stage1, stage2) -> None:
        """Measure one seed on both test splits."""
        methods, prepared = run.methods(stage1, stage2), run.prepared
        causal = run.causal_takes(SPLITS)
        lines = {
            FULL: methods.alone, TRACKED: methods.tracked, LIVE: lambda t: methods.live(t, causal[t.name]),
            "dead reckoning": methods.dead_reckoned,
        }  # fmt: skip
        takes = [t for split in SPLITS for t in prepared.by_split(split)]
        for name, predict in lines.items():
            if long := [t for t in takes if len(t) >= LONG_S]:
                self.drift.setdefault(name, []).append(error_over_time(prepared, long, predict, bin_s=BIN_S))
            self.activity.append(by_activity(prepared, takes, predict, name))
        for split in SPLITS:
            here = prepared.by_split(split)
            for name in (FULL, TRACKED, LIVE):
                curve = heading_over_time(here, lambda t, name=name: lines[name](t).heading)
                self.heading.setdefault(row_id(split, name), []).append(curve)
            self.covered.setdefault(split, []).append(coverage(here, methods.track))

    def rows(self, common: dict) -> list[LedgerRow]:
        """Ledger rows: "error over time", "heading", "coverage" and "activity"."""
        told = [*self._drift_rows(), *self._heading_rows(), *self._activity_rows()]
        told += [
            (row_id(split, "coverage of the 90 % region"), {"seconds inside (%)": found}, {})
            for split, found in self.covered.items()
        ]
        return [
            LedgerRow(
                id=name, question=f"What does a mean over takes hide: {name}?",
                config={"spread": "standard deviation over seeds"} | config,
                mean={k: round(float(np.mean(v)), 3) for k, v in values.items()},
                spread={k: round(float(np.std(v)), 3) for k, v in values.items()}, **common,
            )
            for name, values, config in told
        ]  # fmt: skip

    def _drift_rows(self):
        for name, curves in self.drift.items():
            last = min(c.minute.max() for c in curves)
            values = {
                "error of minute 0-1 (m)": [c.error_m.iloc[0] for c in curves],
                f"error of minute {last - 0.5:.0f}-{last + 0.5:.0f} (m)": [
                    c[c.minute <= last].error_m.iloc[-1] for c in curves
                ],
                "mean error (m)": [c.error_m.mean() for c in curves],
                "slope (m/min)": [np.polyfit(c.minute, c.error_m, 1)[0] for c in curves],
            }  # fmt: skip
            first = curves[0]
            config = {"bin_s": BIN_S, "minutes": first.minute.round(2).tolist(), "takes": first.takes.tolist(),
                      "error_m, first seed": first.error_m.round(3).tolist()}  # fmt: skip
            yield f"error over time | {name}", values, config

    def _heading_rows(self):
        for name, curves in self.heading.items():
            at = [c.iloc[(c.minute - HEADING_MINUTES).abs().argmin()] for c in curves]
            when = f"after {at[0].minute:.0f} minutes"  # fewer than four where the takes are shorter
            values = {
                f"median error {when} (deg)": [row.median_deg for row in at],
                f"within 30 deg {when} (% of takes)": [row.within_30 for row in at],
            }
            first = curves[0].round(2)
            config = {k: first[k].tolist() for k in ("minute", "median_deg", "within_30", "takes")}
            yield f"heading | {name}", values, {f"{k}, first seed": v for k, v in config.items()}

    def _activity_rows(self):
        every = pd.concat(self.activity)
        for (method, split, activity), rows in every.groupby(["method", "split", "activity"], sort=False):
            values = {"SR@0.4m": rows.success.tolist(), "error (m)": rows.error_m.tolist()}
            config = {"seconds": int(rows.seconds.iloc[0]), "takes": int(rows.takes.iloc[0])}
            yield row_id(split, f"{activity} seconds, {method}"), values, config
