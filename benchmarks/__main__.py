"""`python -m benchmarks [--profile quick|bench] [--seeds 0 1 2] [--out runs/bench]`: measure and record.

Speed and realism are measured here; tables of EAIL and PRIMUS are `eailkit reproduce`'s and only called. Resumable:
what a run finished is found again under --out. Every row names the command that makes it.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from benchmarks import frames_page, map_realism, primus_speed, realism, scenarios, speed
from eailkit.experiments.registry import Request, reproduce

REPRODUCED = {  # what `eailkit reproduce` records -> the folder of real recordings that it reads
    "localization": "", "all": "", "real-walk": "aria_walk", "primus-tuning": "classyglass", "joined": "",
}  # fmt: skip
MEASURED = {"speed": speed.record, "primus_speed": primus_speed.record, "scenarios": scenarios.record}
PICTURES = {"realism": realism.record, "map_realism": map_realism.record, "frames_page": frames_page.record}
NEED_REAL_DATA = ("real-walk", "primus-tuning", "realism", "map_realism", "scenarios")


def main() -> None:
    """Run the chosen tables and write them into results/."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--profile", default="bench", choices=["smoke", "quick", "bench"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[], help="default: the profile's")
    parser.add_argument("--out", default="runs/bench", help="folder of datasets, caches and weights")
    parser.add_argument("--results", default="results", help="folder of the ledger")
    usual = [*REPRODUCED, *MEASURED]
    parser.add_argument("--only", nargs="+", default=usual, choices=[*usual, *PICTURES], help="pictures need a browser")
    args = parser.parse_args()
    real = os.environ.get("EAILKIT_REAL_DATA")
    for name in args.only:
        if name in NEED_REAL_DATA and not real:
            print(f"{name}: skipped, EAILKIT_REAL_DATA names no folder of real recordings")
        elif name in REPRODUCED:
            folder = Path(real) / REPRODUCED[name] if REPRODUCED[name] else None
            seeds = args.seeds if name in ("localization", "all") else args.seeds[:1]
            options = {"out": args.out, "real": folder, "seeds": tuple(seeds), "results_dir": args.results}
            print(f"wrote {reproduce(Request(name, args.profile, **options))}")
        else:
            (MEASURED | PICTURES)[name](args.results)


if __name__ == "__main__":
    main()
