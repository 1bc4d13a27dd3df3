"""`python -m benchmarks [--profile quick|bench] [--seeds 0 1 2] [--out runs/bench]`: measure and record.

Resumable: what a run finished is found again under --out. Every row names the command that makes it.
"""

from __future__ import annotations

import argparse
import os

from benchmarks import (
    frames_page,
    joined,
    localization,
    map_realism,
    primus_speed,
    primus_tuning,
    real_walk,
    realism,
    scenarios,
    speed,
)

TABLES = ["localization", "real_walk", "speed", "primus_speed", "primus_tuning", "joined", "scenarios"]
PICTURES = ["realism", "map_realism", "frames_page"]  # need a browser; asked for by name
NEED_REAL_DATA = ("real_walk", "primus_tuning", "realism", "map_realism", "scenarios")


def main() -> None:
    """Run the chosen tables and write them into results/."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--profile", default="bench", choices=["smoke", "quick", "bench"])
    parser.add_argument("--seeds", type=int, nargs="+", default=None, help="default: the profile's")
    parser.add_argument("--out", default="runs/bench", help="folder of datasets, caches and weights")
    parser.add_argument("--results", default="results", help="folder of the ledger")
    parser.add_argument("--only", nargs="+", default=TABLES, choices=TABLES + PICTURES)
    args = parser.parse_args()
    seed, real = (args.seeds or [0])[0], bool(os.environ.get("EAILKIT_REAL_DATA"))
    tables = {
        "localization": lambda: localization.record(args.out, args.profile, args.seeds, args.results),
        "real_walk": lambda: real_walk.record(args.out, args.profile, seed, args.results),
        "speed": lambda: speed.record(args.results),
        "primus_speed": lambda: primus_speed.record(args.results),
        "primus_tuning": lambda: primus_tuning.record(args.out, args.profile, seed, args.results),
        "joined": lambda: joined.record(args.out, args.profile, seed, args.results),
        "realism": lambda: realism.record(args.results),
        "scenarios": lambda: scenarios.record(args.results),
        "map_realism": lambda: map_realism.record(args.results),
        "frames_page": lambda: frames_page.record(args.results),
    }
    for name in args.only:
        if name in NEED_REAL_DATA and not real:
            print(f"{name}: skipped, EAILKIT_REAL_DATA names no folder of real recordings")
        else:
            tables[name]()


if __name__ == "__main__":
    main()
