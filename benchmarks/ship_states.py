"""`python -m benchmarks.ship_states --run DIR [--seeds 0 1 2]`: the sixteen states that notebook 07 shows untrained.

They are read from what `eailkit reproduce states` made in DIR; nothing is trained and nothing chosen here. Rows of
Table 3 that are no state go along where they are made ("w/o captions").
"""

from __future__ import annotations

import argparse
from pathlib import Path

from eailkit.experiments.rows.catalog import STATES
from eailkit.experiments.rows.states import LEVELS, PROTOCOLS, SHIPPED, record_states, recorded_states
from eailkit.experiments.rows.work import Place, maker_of
from eailkit.files import write_text
from eailkit.results.ledger import git_commit

LIMIT_MB = 1.0


def card(place: Place, seeds: list[int], commit: str, path: Path) -> str:
    """What the file holds and how it was made."""
    maker = maker_of(place, seeds[0])
    states = recorded_states(maker.run.prepared, path)
    more = [name for name in states.scores.row.unique() if name not in {row.name for row in STATES}]
    takes = states.scores.groupby("split")["take"].nunique()
    named, told = ", ".join(map(str, seeds)), " ".join(f"--seed {s}" for s in seeds)
    train = maker.run.profile.ablation
    lines = [
        "# Sixteen states", "",
        "What EAIL says at the quick profile with each of Table 3's four parts on or off (vision and language, action "
        "loss, spatial and temporal module), each state trained so; notebook 07 shows what a run hasn't trained "
        "itself from here.", "",
        f"- command: `eailkit reproduce states --profile {place.profile} {told}`, then `python -m "
        "benchmarks.ship_states`",
        f"- commit: {commit}", f"- data hash: {states.about['data_hash']}", f"- seeds: {named}",
        f"- protocols: {' and '.join(PROTOCOLS)} (published is told the first second's heading: uses ground truth)",
        f"- stage 2: {train.steps} steps a state; one stage 1 for the eight with words, one for the others",
        f"- scores: of {', '.join(f'{n} {split}' for split, n in takes.items())} takes under each seed, and paired "
        "differences from the full state with intervals over rooms, people and seeds",
        f"- walk: `{states.walk}`, seed {seeds[0]}: its answered place of each second, and {len(states.seconds)} maps "
        f"in {LEVELS} steps of their square root",
    ]  # fmt: skip
    if more:
        lines.append(f"- beside the states, scores alone count: {', '.join(more)}")
    lines += [
        "- not for: a table. Results are in `results/`, never from this file; a run on other data can't read it",
        "- simulated, no personal data; licence: CC BY 4.0",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the file and its card, and refuse what is too large to ship."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ship_states", description=__doc__)
    parser.add_argument("--run", required=True, help="folder in which the states were made")
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", default=str(SHIPPED), help="the file; its card stands beside it")
    args = parser.parse_args()
    commit, place = git_commit(), Place(args.run, args.profile)  # before anything here changes what is tracked
    path = record_states(place, args.seeds, Path(args.out), commit=commit)
    write_text(path.with_name("card.md"), card(place, args.seeds, commit, path))
    size_mb = path.stat().st_size / 1e6
    print(f"{path}: {size_mb:.2f} MB of {LIMIT_MB} MB")
    if size_mb > LIMIT_MB:
        raise SystemExit(f"{path} holds {size_mb:.2f} MB; at most {LIMIT_MB} MB may ship; keep fewer maps.")


if __name__ == "__main__":
    main()
