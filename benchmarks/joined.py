"""EAIL with PRIMUS's encoder: the row that joins the two papers."""

from __future__ import annotations

from pathlib import Path

from benchmarks.localization import method_rows
from eailkit.eail.evaluation import METRICS, Table, verdict
from eailkit.experiments.eail_run import FULL, Run
from eailkit.experiments.eail_with_primus import USES, joined_table, line_name
from eailkit.experiments.primus_run import PrimusRun
from eailkit.results.ledger import LedgerRow, append_rows, device_name, git_commit


def record(out: str | Path, profile: str, seed: int = 0, results: str | Path = "results") -> None:
    """Pretrain PRIMUS (or find it), train EAIL with it in three ways, and write table `joined_<profile>`."""
    command = f"python -m benchmarks --profile {profile} --seeds {seed} --only joined"
    run = Run(out, profile, seed=seed)
    primus = PrimusRun(Path(out) / "primus", "bench", kitchens=run.dataset(), seed=seed)
    encoders = {
        "PRIMUS": (primus.pretrained("PRIMUS", "paper"), primus.untrained("paper")),
        "PRIMUS, our encoder": (primus.pretrained("PRIMUS", "ours"), primus.untrained("ours")),
    }
    table, minutes = joined_table(run, encoders)
    common = {
        "command": command, "commit": git_commit(), "data_hash": run.prepared.data_hash, "seeds": (seed,),
        "minutes": round(minutes, 2), "device": device_name(),
    }  # fmt: skip
    rows = with_differences(method_rows([table], common), table, list(encoders))
    append_rows(f"joined_{profile}", rows, results_dir=results)


def with_differences(rows: list[LedgerRow], table: Table, labels: list[str]) -> list[LedgerRow]:
    """Each row with its paired differences: against EAIL as it is, and against the same encoder from scratch.

    A difference is the text of its interval over rooms and people, percent points, and the verdict it allows.
    """
    lines = {line_name(label, use): line_name(label, USES[0]) for label in labels for use in USES}
    for row in rows:
        split, _, method = row.id.partition(" | ")
        if method not in lines:
            continue
        others = {"EAIL as it is": FULL} | ({"from scratch": lines[method]} if method != lines[method] else {})
        found = {n: {m: table.difference(method, other, split, m) for m in METRICS} for n, other in others.items()}
        row.config["against"] = {
            name: {metric: {"points": str(gain), "verdict": verdict(gain)} for metric, gain in gains.items()}
            for name, gains in found.items()
        }
    return rows
