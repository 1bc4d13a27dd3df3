"""EAIL's cooking subset of an Ego-Exo4D release, as a dataset root of its own: splits, classes and maps by rule.

The release stays as it is, also where it can't be written: the new root holds lists and annotations and links to the
release's takes and captures, in the same layout, so that `EgoExo4D` and all that reads through it take it for any
other. What the rules chose stands in its lists, which name whatever is made of it, and for people in its card.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from eailkit.datasets.egoexo4d_release import (
    CookingTake,
    Segment,
    content_key,
    cooking_takes,
    descriptions,
    keysteps,
)
from eailkit.datasets.egoexo4d_splits import SPLITS, SplitConfig, Splits, draw_splits
from eailkit.datasets.keystep_classes import CLASSES, KeystepClasses, keystep_classes
from eailkit.errors import ConfigError, DatasetError
from eailkit.files import make_folder, write_json
from eailkit.provenance import identity

CARD = "cooking.json"


@dataclass(frozen=True)
class CookingConfig:
    """How a release becomes EAIL's dataset.

    Attributes:
        splits: see `SplitConfig`.
        classes: actions at most (EAIL section 5.1: 35).
        without: names of takes to leave out, such as one whose recording turned out to be broken.
    """

    splits: SplitConfig = field(default_factory=SplitConfig)
    classes: int = CLASSES
    without: tuple[str, ...] = ()


def cooking_root(root: str | Path, out_dir: str | Path, config: CookingConfig | None = None) -> Path:
    """The cooking subset of the release at `root`, in a folder of `out_dir` named by all that determines it.

    Made once: lists and links, no recording is read. A take's folder that came since makes another one.

    Raises:
        DatasetError: something is missing that all takes lack, or there is too little for the splits.
        RecordingError: VRS files and nothing that reads them.
        ConfigError: `without` names takes that aren't there.
    """
    root, config = Path(root).expanduser().resolve(), config or CookingConfig()
    takes, lacking = cooking_takes(root)
    if unknown := sorted(set(config.without) - {t.name for t in takes} - set(lacking)):
        raise ConfigError(f"without: found '{unknown[0]}'; expected names of cooking takes of {root}; correct it.")
    lacking |= {t.name: "left out by name" for t in takes if t.name in config.without}
    takes = [t for t in takes if t.name not in config.without]
    made = identity(
        "cooking subset", code=("eailkit.datasets.cooking",), root=str(root), lists=content_key(root), takes=takes,
        config=config,
    )  # fmt: skip
    out = Path(out_dir) / f"egoexo4d-cooking.{made.key}"
    if (out / CARD).is_file():
        return out
    steps = keysteps(root, takes)
    splits = draw_splits(takes, config.splits)
    training = {t.name: steps.get(t.uid, []) for t in takes if splits.split.get(t.name) == "train"}
    classes = keystep_classes(training, count=config.classes)
    kept = [t for t in takes if t.name in splits.split]
    _link(root, out, kept, {t.name: t for t in takes}, splits)
    write_json(out / "takes.json", _entries(takes, splits))
    write_json(out / "splits.json", {"take_name_to_split": splits.split | _scan_splits(splits)})
    said = descriptions(root, kept)
    write_json(out / "annotations" / "atomic_descriptions_cooking.json", {"annotations": said})
    write_json(out / "annotations" / "keystep_cooking.json", {"annotations": _classed(kept, steps, classes)})
    card = _card(root, takes, lacking | splits.left_out, splits, classes, steps)
    write_json(out / CARD, {"made": made.record["key"], **card})  # last: without it the folder counts as half made
    return out


def scan_name(take: str) -> str:
    """Name under which a take's cloud stands as the map of its world frame."""
    return f"{take}_scan"


def _scan_splits(splits: Splits) -> dict[str, str]:
    return {scan_name(take): "scan" for take in splits.scans.values()}


def _rooms(takes: list[CookingTake], splits: Splits) -> dict[str, str]:
    """A room is what one map shows: the kitchen in one world frame; named after both, by frame."""
    kitchen = {t.frame: t.kitchen for t in takes}
    return {frame: f"kitchen{kitchen[frame]}.{take}" for frame, take in splits.scans.items()}


def _entries(takes: list[CookingTake], splits: Splits) -> list[dict]:
    """takes.json: each take that has a split, and each map as a scan (`EgoExo4D.map_take`)."""
    rooms, entries = _rooms(takes, splits), []
    used = {t.frame for t in takes if t.name in splits.split}
    for take in takes:
        if take.name in splits.split:
            entries.append({
                "root_dir": f"takes/{take.name}", "take_name": take.name, "take_uid": take.uid,
                "participant_uid": take.participant, "task_name": take.task, "parent_task_name": "Cooking",
                "duration_sec": take.seconds, "physical_setting_uid": rooms[take.frame], "kitchen_uid": take.kitchen,
                "timesync_start_idx": take.start_row, "capture": {"capture_name": take.capture},
            })  # fmt: skip
        if take.frame in used and splits.scans[take.frame] == take.name:
            name = scan_name(take.name)
            entries.append({
                "root_dir": f"takes/{name}", "take_name": name, "take_uid": name, "task_name": "scan",
                "physical_setting_uid": rooms[take.frame], "cloud_of": take.name,
            })  # fmt: skip
    return entries


def _link(root: Path, out: Path, kept: list[CookingTake], takes: Mapping[str, CookingTake], splits: Splits) -> None:
    make_folder(out)
    for take in kept:
        _symlink(root / "takes" / take.name, out / "takes" / take.name)
        _symlink(root / "captures" / take.capture, out / "captures" / take.capture)
    for frame in sorted({t.frame for t in kept}):
        source = takes[splits.scans[frame]]
        cloud = root / "takes" / source.name / source.cloud
        _symlink(cloud, out / "takes" / scan_name(source.name) / "trajectory" / cloud.name)


def _symlink(target: Path, link: Path) -> None:
    make_folder(link.parent)
    try:
        if not link.is_symlink():
            os.symlink(target, link, target_is_directory=target.is_dir())
    except FileExistsError:
        pass  # another process made it meanwhile
    except OSError as fault:
        raise DatasetError(
            f"{link}: no link to {target} can be made ({fault.strerror or fault}); expected a file system with "
            "symbolic links and the right to make them; give another run folder."
        ) from None


def _classed(takes: list[CookingTake], steps: Mapping[str, list[Segment]], classes: KeystepClasses) -> dict:
    """Keystep annotations whose step names are classes; what falls into none is left out."""
    return {
        take.uid: {"take_uid": take.uid, "take_name": take.name, "segments": [
            {"start_time": s.start_s, "end_time": s.end_s, "step_name": name, "keystep": s.name}
            for s in steps[take.uid] if (name := classes.of(s.name))
        ]}
        for take in takes if take.uid in steps
    }  # fmt: skip


def _card(
    root: Path, takes: list[CookingTake], left_out: Mapping[str, str], splits: Splits, classes: KeystepClasses,
    steps: Mapping[str, list[Segment]],
) -> dict:  # fmt: skip
    """What the rules chose, for people."""
    parts = {}
    for part in SPLITS:
        own = [t for t in takes if splits.split.get(t.name) == part]
        parts[part] = {
            "takes": len(own), "hours": round(sum(t.seconds for t in own) / 3600, 3),
            "kitchens": len({t.kitchen for t in own}), "people": len({t.participant for t in own}),
            "maps": len({t.frame for t in own}), "with keysteps": sum(t.uid in steps for t in own),
        }  # fmt: skip
    members: dict[str, set[str]] = {name: set() for name in classes.names}
    for segments in steps.values():
        for segment in segments:
            if name := classes.of(segment.name):
                members[name].add(segment.name)
    return {
        "release": str(root),
        "splits": parts,
        "classes": {n: {"training_s": classes.seconds[n], "keysteps": sorted(members[n])} for n in classes.names},
        "seconds of no class": round(classes.dropped_s, 3),
        "left out": {"why": dict(Counter(left_out.values())), "takes": dict(sorted(left_out.items()))},
    }
