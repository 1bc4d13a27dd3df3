"""EAIL with PRIMUS's encoder: the row that joins the two papers."""

from __future__ import annotations

from pathlib import Path

from benchmarks.localization import method_rows
from eailkit.joined import joined_table
from eailkit.ledger import append_rows, device_name, git_commit
from eailkit.pipeline import Run
from eailkit.primus_run import PrimusRun


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
    append_rows(f"joined_{profile}", method_rows([table], common), results_dir=results)
