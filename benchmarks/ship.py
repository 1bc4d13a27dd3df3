"""`python -m benchmarks.ship --run DIR`: fill `data_samples/` from a finished quick run.

Copies one short test take of a seen and of an unseen room (with their scans, in the dataset's own layout) and the
run's weights, each with a card that says what made it. Nothing is chosen by how well the model does on it: the takes
are the shortest ones of their split, by name where they tie.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from eailkit.datasets import EgoExo4D
from eailkit.experiments.eail_run import Run
from eailkit.files import DATA_SAMPLES
from eailkit.results.ledger import git_commit

LIMIT_MB = 25


def ship_kitchens(root: Path, out: Path) -> list[str]:
    """Copy the shortest test-seen and test-unseen take and their rooms' scans; returns the take names."""
    data = EgoExo4D(root)
    chosen = []
    for split in ("test-seen", "test-unseen"):
        takes = sorted((t for t in data.takes if t.split == split), key=lambda t: (t.duration_s, t.name))
        chosen.append(takes[0].name)
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
    return chosen


def ship_weights(run: Run, out: Path, commit: str) -> None:
    """Write the run's trained stages in half precision, with a card."""
    stage1, first = run.train_stage1()
    stage2, second = run.train_stage2(stage1)
    run.localizer(stage1, stage2).save(out, half=True)
    third = run.histories["velocity"]
    card = [
        "# Quick weights", "",
        "EAIL's two stages and the tracker's velocity net at the quick profile, trained on SynthKitchen by the "
        "course's own commands.", "",
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
    names = ship_kitchens(run.dataset(), out / "kitchens")
    (out / "kitchens" / "card.md").write_text(
        "# Two kitchens\n\nTakes of SynthKitchen at the quick profile, in Ego-Exo4D's layout: "
        f"`{names[0]}` in a room that the shipped weights trained in (another take), `{names[1]}` in a room and by a "
        f"person that they never saw. Frames are left out. Made by `python -m benchmarks.ship`, commit {commit}. "
        "Simulated, no personal data. Licence: CC BY 4.0.\n"
    )
    ship_weights(run, out / "quick", commit)
    size = sum(p.stat().st_size for p in out.rglob("*") if p.is_file()) / 1e6
    print(f"{out}: {', '.join(names)}; {size:.1f} MB of {LIMIT_MB} MB")
    if size > LIMIT_MB:
        raise SystemExit(f"data_samples holds {size:.1f} MB; at most {LIMIT_MB} MB may ship")


if __name__ == "__main__":
    main()
