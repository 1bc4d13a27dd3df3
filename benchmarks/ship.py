"""`python -m benchmarks.ship --run DIR`: fill `data_samples/` from a finished quick run.

Copies one test take of a seen and of an unseen room (with their scans, in the dataset's own layout) and the run's
weights, each with a card that says what made it. Which takes is a rule, not an eye: of each split's takes that are
short enough to ship, the one whose success at 0.4 m with the tracker is the lower median, by name where they tie.
`kitchens/choice.json` says so in words that notebook 00 prints.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from eailkit.datasets import EgoExo4D
from eailkit.eail.evaluation import score_take
from eailkit.experiments.choices import told
from eailkit.experiments.eail_run import Run
from eailkit.experiments.one_walk import CHOICE
from eailkit.files import DATA_SAMPLES
from eailkit.results.ledger import git_commit, read

LIMIT_MB = 30
LONGEST_S = 360  # a take of twenty minutes would fill half of what ships
SPLITS = ("test-seen", "test-unseen")
RULE = (
    f"of each split's takes of at most {LONGEST_S // 60} minutes, the one whose success at 0.4 m with the tracker is "
    "the lower median, by name where they tie"
)


def lower_median(scores: dict[str, float]) -> tuple[str, int]:
    """The name of the lower median of some scores, and its rank from the lowest, 1 first; names break ties."""
    ranked = sorted(scores, key=lambda name: (scores[name], name))
    at = (len(ranked) - 1) // 2
    return ranked[at], at + 1


def median_walks(run: Run) -> dict[str, dict]:
    """For each test split the take that ships: its name, success, rank and a sentence that says all of it."""
    stage1, _ = run.train_stage1()
    methods, found = run.methods(stage1, run.train_stage2(stage1)[0]), {}
    for split in SPLITS:
        takes = [t for t in run.prepared.by_split(split) if len(t) <= LONGEST_S]
        scores = {t.name: score_take(run.prepared, t, methods.tracked(t))["SR@0.4m"] for t in takes}
        name, rank = lower_median(scores)
        text = (
            f"the median of {len(takes)} {split} takes of at most {LONGEST_S // 60} minutes by success at 0.4 m with "
            f"the tracker ({scores[name]:.1f} %, rank {rank} from the lowest)"
        )
        found[split] = {"take": name, "success": round(scores[name], 2), "rank": rank, "of": len(takes), "text": text}
    return found


def ship_kitchens(root: Path, out: Path, chosen: list[str]) -> None:
    """Copy the chosen takes and their rooms' scans."""
    data = EgoExo4D(root)
    scans = [data.map_take(name).name for name in chosen]
    names = set(chosen + scans)
    shutil.rmtree(out, ignore_errors=True)
    for name in names:
        shutil.copytree(root / "takes" / name, out / "takes" / name, ignore=shutil.ignore_patterns("*.mp4"))
    takes = [t for t in json.loads((root / "takes.json").read_text()) if t["take_name"] in names]
    uids = {t["take_uid"] for t in takes}
    captures = {t["capture"]["capture_name"] for t in takes}
    for capture in captures:
        if (root / "captures" / capture).is_dir():
            shutil.copytree(root / "captures" / capture, out / "captures" / capture)
    _dump(out / "takes.json", takes)
    for path in (root / "annotations").glob("*.json"):
        content = json.loads(path.read_text())
        content["annotations"] = {uid: v for uid, v in content["annotations"].items() if uid in uids}
        _dump(out / "annotations" / path.name, content)
    splits = json.loads((root / "splits.json").read_text())
    of_take = {name: split for name, split in splits["take_name_to_split"].items() if name in names}
    _dump(out / "splits.json", {**splits, "take_name_to_split": of_take})
    for name in ("captures.json", "participants.json", "physical_setting.json", "synthkitchen.json"):
        if (root / name).exists():
            shutil.copy2(root / name, out / name)


def ship_weights(run: Run, out: Path, commit: str) -> None:
    """Write the run's trained stages, velocity net and tracker in half precision, with a card.

    What was tried on validation stands in the card where `eailkit reproduce choices` recorded it.
    """
    stage1, first = run.train_stage1()
    stage2, second = run.train_stage2(stage1)
    run.localizer(stage1, stage2).save(out, half=True)
    third = run.histories["velocity"]
    card = [
        "# Quick weights", "",
        "EAIL's two stages, the velocity net and the tracker's calibration at the quick profile, trained on "
        "SynthKitchen by the course's own commands.", "",
        f"- command: `eailkit reproduce localization --profile {run.profile.name} --seed {run.seed}`",
        f"- commit: {commit}", f"- data hash: {run.prepared.data_hash}", f"- seed: {run.seed}",
        f"- stage 1: {run.profile.stage1.steps} steps, {first.minutes:.1f} min on {first.device}",
        f"- stage 2: {run.profile.stage2.steps} steps, {second.minutes:.1f} min on {second.device}",
        f"- velocity net: {run.profile.velocity.steps} steps, {third.minutes:.1f} min on {third.device}",
        "- half precision; they are widened when they are read",
        "- input: head IMU of 100 Hz or more, map in metres with z up; output: place, heading, one of 35 actions",
        "- not for: claims about real kitchens. They never saw one. Results are in `results/`, never from these files.",
        "- licence: Apache-2.0",
    ]  # fmt: skip
    rows = read(f"choices_{run.profile.name}")
    if rows:
        command = rows[0]["command"]
        card += ["", f"Chosen on validation takes (`{command}`, commit {rows[0]['commit'][:7]}):", ""]
        card += [f"- {line}" for line in told(rows)]
    (out / "card.md").write_text("\n".join(card) + "\n")


def _dump(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1))


def main() -> None:
    """Ship kitchens and weights of one run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ship", description=__doc__)
    parser.add_argument("--run", required=True, help="folder of the finished run")
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--out", default=str(DATA_SAMPLES))
    args = parser.parse_args()
    commit = git_commit()  # before anything here changes what is tracked
    out, run = Path(args.out), Run(args.run, args.profile)
    walks = median_walks(run)
    names = [walks[split]["take"] for split in SPLITS]
    ship_kitchens(run.dataset(), out / "kitchens", names)
    texts = {split: found["text"] for split, found in walks.items()}
    _dump(out / "kitchens" / CHOICE.name, {"rule": RULE, "commit": commit, "walks": texts, "chosen": walks})
    (out / "kitchens" / "card.md").write_text(
        "# Two kitchens\n\nTakes of SynthKitchen at the quick profile, in Ego-Exo4D's layout: "
        f"`{names[0]}` in a room that the shipped weights trained in (another take), `{names[1]}` in a room and by a "
        f"person that they never saw; `{CHOICE.name}` says by which rule. Frames are left out. "
        f"Made by `python -m benchmarks.ship`, commit {commit}. "
        "Simulated, no personal data. Licence: CC BY 4.0.\n"
    )
    ship_weights(run, out / "quick", commit)
    size = sum(p.stat().st_size for p in out.rglob("*") if p.is_file()) / 1e6
    print(f"{out}: {', '.join(names)}; {size:.1f} MB of {LIMIT_MB} MB")
    if size > LIMIT_MB:
        raise SystemExit(f"data_samples holds {size:.1f} MB; at most {LIMIT_MB} MB may ship")


if __name__ == "__main__":
    main()
