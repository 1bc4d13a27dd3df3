"""`python -m benchmarks [--profile quick|bench] [--seeds 0 1 2] [--out runs/bench]`: measure and record.

Resumable: what a run finished is found again under --out. Every row names the command that makes it.
"""

from __future__ import annotations

import argparse
import os

from benchmarks import frames_page, localization, map_realism, real_walk, speed

TABLES = ["localization", "real_walk", "speed"]
PICTURES = ["map_realism", "frames_page"]  # need a browser or real recordings; asked for by name


def main() -> None:
    """Run the chosen tables and write them into results/."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--profile", default="bench", choices=["smoke", "quick", "bench"])
    parser.add_argument("--seeds", type=int, nargs="+", default=None, help="default: the profile's")
    parser.add_argument("--out", default="runs/bench", help="folder of datasets, caches and weights")
    parser.add_argument("--results", default="results", help="folder of the ledger")
    parser.add_argument("--only", nargs="+", default=TABLES, choices=TABLES + PICTURES)
    args = parser.parse_args()
    if "localization" in args.only:
        localization.record(args.out, args.profile, args.seeds, args.results)
    if "real_walk" in args.only:
        if os.environ.get("EAILKIT_REAL_DATA"):
            real_walk.record(args.out, args.profile, (args.seeds or [0])[0], args.results)
        else:
            print("real_walk: skipped, EAILKIT_REAL_DATA names no folder of real recordings")
    if "speed" in args.only:
        speed.record(args.results)
    if "map_realism" in args.only:
        map_realism.record(args.results)
    if "frames_page" in args.only:
        frames_page.record(args.results)


if __name__ == "__main__":
    main()
