"""A downloaded Ego-Exo4D release: which of its takes EAIL can use, and one sentence where something is missing.

EAIL trains on the cooking subset (section 5.1). Of each cooking take it needs a clock, a trajectory, the left IMU, and
a cloud in the trajectory's frame. Written after the release's documentation and tried only on folders of that layout
made by its tests: nothing here has met the release itself. What is made of it is `cooking`'s.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import importlib.util
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eailkit.datasets import aria
from eailkit.errors import DatasetError, RecordingError

SCENARIO = "Cooking"  # parent_task_name of the takes that EAIL uses
NEEDED = (
    "take_name", "take_uid", "parent_task_name", "participant_uid", "duration_sec", "timesync_start_idx",
    "physical_setting_uid",
)  # fmt: skip
_PARTS = {  # what a take lacks -> the parts of the download that hold it
    "folder": "takes, take_trajectory, take_point_cloud and take_vrs_noimagestream",
    "timesync.csv": "captures",
    "closed_loop_trajectory.csv": "take_trajectory",
    "IMU": "take_vrs_noimagestream",
}


@dataclass(frozen=True)
class CookingTake:
    """One take that can be used, the map apart.

    Attributes:
        name, uid: as in takes.json.
        kitchen, participant: uids of the physical setting and of the wearer.
        capture: the recording that the take was cut from; its timesync.csv holds the clock.
        start_row: row of timesync.csv at which the take begins.
        seconds: length.
        task: such as "Cooking an Omelet".
        frame: what names the world frame: the trajectory's graph_uid, or the capture where it has none.
        cloud: file of a cloud in that frame, as a path in the take's folder; "" where there is none.
    """

    name: str
    uid: str
    kitchen: str
    participant: str
    capture: str
    start_row: int
    seconds: float
    task: str
    frame: str
    cloud: str


@dataclass(frozen=True)
class Segment:
    """One keystep: seconds since the take's start, and the step's name."""

    start_s: float
    end_s: float
    name: str


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        DatasetError: it isn't there, or is no whole JSON file.
    """
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as fault:
        raise DatasetError(
            f"{path}: can't be read as JSON ({' '.join(str(fault).split())[:120]}); expected a whole file; copy or "
            "download it again."
        ) from None


def cooking_takes(root: Path) -> tuple[list[CookingTake], dict[str, str]]:
    """The cooking takes of a release that lie under `root` whole, in order of name, and what each other one lacks.

    A take that was dropped from the release or never validated is passed over, as the release's own loaders do.

    Raises:
        DatasetError: no takes.json, takes of another version, no cooking takes, or none that is whole.
        RecordingError: every IMU lies in a VRS file and nothing that reads one is installed.
    """
    listed, usable, lacking = _cooking(root), [], {}
    for take in listed:
        missing = _missing(root, take)
        if missing:
            lacking[take["take_name"]] = f"no {missing}"
        else:
            usable.append(_cooking_take(root, take))
    if not usable:
        missing, count = Counter(lacking.values()).most_common(1)[0]
        raise DatasetError(
            f"{root}: found {missing} for {count} of {len(listed)} cooking takes, and none that is whole; expected "
            f"clock, trajectory and IMU of each; download the parts {_PARTS.get(missing[3:], 'metadata')}."
        )
    _check_reader(root, usable)
    return sorted(usable, key=lambda t: t.name), lacking


def _cooking(root: Path) -> list[dict]:
    path = root / "takes.json"
    if not path.is_file():
        raise DatasetError(
            f"{root}: found no takes.json; expected the root of an Ego-Exo4D download or of SynthKitchen; check the "
            "path, or download the part metadata."
        )
    takes = read_json(path)
    if not isinstance(takes, list) or not takes or not all(isinstance(take, dict) for take in takes):
        raise DatasetError(f"{path}: found no list of takes; expected Ego-Exo4D's; download the part metadata again.")
    captures = _captures(root)
    takes = [_whole(take, captures) for take in takes]
    missing = [key for key in (*NEEDED, "capture") if all(take.get(key) in (None, "") for take in takes)]
    if missing:
        raise DatasetError(
            f"{path}: found {len(takes)} takes of another version, without {', '.join(missing)}; expected those of "
            "release v2; download the part metadata again with --release v2."
        )
    kept = [take for take in takes if not take.get("is_dropped") and take.get("validated") is not False]
    cooking = [take for take in kept if take.get("parent_task_name") == SCENARIO]
    if not cooking:
        tasks = ", ".join(sorted({str(take.get("parent_task_name")) for take in takes})[:6])
        raise DatasetError(
            f"{path}: found {len(takes)} takes of {tasks}, none of {SCENARIO}; expected the takes that EAIL trains on; "
            "give the root whose takes.json lists them."
        )
    return cooking


def _captures(root: Path) -> dict[str, dict]:
    """captures.json by capture_uid: for releases whose takes don't repeat what it says."""
    path = root / "captures.json"
    listed = read_json(path) if path.is_file() else []
    return {c["capture_uid"]: c for c in listed if isinstance(c, dict) and c.get("capture_uid")}


def _whole(take: dict, captures: dict[str, dict]) -> dict:
    """A take's entry with the name and the kitchen of its capture, which some releases keep in captures.json."""
    capture = take.get("capture") or captures.get(str(take.get("capture_uid")), {})
    kitchen = take.get("physical_setting_uid")
    return {
        **take,
        "capture": capture.get("capture_name", "") if isinstance(capture, dict) else "",
        "physical_setting_uid": capture.get("physical_setting_uid") if kitchen is None else kitchen,
    }


def _missing(root: Path, take: dict) -> str:
    """The first thing that a take lacks, "" for none."""
    if unsaid := [key for key in (*NEEDED, "capture") if take.get(key) in (None, "")]:
        return unsaid[0]
    folder = root / "takes" / take["take_name"]
    if not folder.is_dir():
        return "folder"
    if not (root / "captures" / take["capture"] / "timesync.csv").is_file():
        return "timesync.csv"
    if not trajectory_file(folder).is_file():
        return "closed_loop_trajectory.csv"
    return "" if (folder / "imu-left.parquet").is_file() or any(folder.glob("*.vrs")) else "IMU"


def trajectory_file(folder: Path) -> Path:
    """Where a take's folder has its trajectory."""
    return folder / "trajectory" / "closed_loop_trajectory.csv"


def _cooking_take(root: Path, take: dict) -> CookingTake:
    folder = root / "takes" / take["take_name"]
    frame, cloud = graph_uid(trajectory_file(folder)), aria.find_cloud(folder)
    if cloud is not None and graph_uid(cloud) not in (frame, ""):
        cloud = None
    return CookingTake(
        name=take["take_name"], uid=str(take["take_uid"]), kitchen=str(take["physical_setting_uid"]),
        participant=str(take["participant_uid"]), capture=take["capture"], start_row=int(take["timesync_start_idx"]),
        seconds=float(take["duration_sec"]), task=str(take.get("task_name", "")), frame=frame or take["capture"],
        cloud=cloud.relative_to(folder).as_posix() if cloud else "",
    )  # fmt: skip


def graph_uid(path: Path) -> str:
    """`graph_uid` of an MPS file's first row: files that share it share their world frame; "" where it says none."""
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt") as lines:
            return next(csv.DictReader(lines), {}).get("graph_uid") or ""
    except (OSError, EOFError, ValueError, csv.Error) as fault:
        raise DatasetError(
            f"{path}: can't be read ({' '.join(str(fault).split())[:120]}); expected MPS's output; download it again."
        ) from None


def _check_reader(root: Path, takes: Iterable[CookingTake]) -> None:
    if importlib.util.find_spec("projectaria_tools") is not None:
        return
    vrs = [t.name for t in takes if not (root / "takes" / t.name / "imu-left.parquet").is_file()]
    if vrs:
        raise RecordingError(
            f"{root}: found the IMU of {len(vrs)} takes in VRS files, which needs projectaria-tools, which is not "
            'installed; expected it; run: pip install "eailkit[aria]".'
        )


def annotation_files(root: Path, kind: str) -> list[Path]:
    """Files of one kind of annotation: `keystep_train.json` and `keystep_val.json`, in order of name."""
    return sorted((root / "annotations").glob(f"{kind}_*.json"))


def keysteps(root: Path, takes: Iterable[CookingTake]) -> dict[str, list[Segment]]:
    """The annotated steps of the given takes by uid, in order of time; takes without any have no entry.

    A segment without a name has that of its `step_unique_id` in the file's vocabulary.

    Raises:
        DatasetError: no such file, a broken one, or none that annotates one of the takes.
    """
    uids, found = {take.uid for take in takes}, {}
    files = annotation_files(root, "keystep")
    for path in files:
        content = read_json(path)
        names = content.get("vocabulary") or {}
        for uid, entry in (content.get("annotations") or {}).items():
            if uid in uids and (segments := _segments(entry, names)):
                found[uid] = segments
    if not found:
        what = f"{len(files)} keystep files without any of {len(uids)} cooking takes" if files else "no keystep files"
        raise DatasetError(
            f"{root / 'annotations'}: found {what}; expected keystep_train.json and keystep_val.json, of which the "
            "action classes are made; download the part annotations."
        )
    return found


def _segments(entry: dict, names: dict[str, str]) -> list[Segment]:
    found = []
    for segment in entry.get("segments") or []:
        name = segment.get("step_name") or names.get(str(segment.get("step_unique_id")), "")
        if name and segment.get("start_time") is not None and segment.get("end_time") is not None:
            found.append(Segment(float(segment["start_time"]), float(segment["end_time"]), str(name)))
    return sorted(found, key=lambda s: (s.start_s, s.end_s, s.name))


def descriptions(root: Path, takes: Iterable[CookingTake]) -> dict[str, list[dict]]:
    """What annotators wrote about the wearers of the given takes, by uid, as `egoexo4d` reads it.

    The release's sample calls the subject `narration_subject`, its files `subject`; either is taken, and what is said
    of others than the wearer ("C") left out, as are rejected passes.

    Raises:
        DatasetError: a broken file.
    """
    uids, found = {take.uid for take in takes}, {}
    for path in annotation_files(root, "atomic_descriptions"):
        for uid, passes in (read_json(path).get("annotations") or {}).items():
            if uid in uids:
                said = [_said_of_wearer(one) for one in passes if not one.get("rejected")]
                found[uid] = [{"rejected": False, "descriptions": part} for part in said if part]
    return found


def _said_of_wearer(one: dict) -> list[dict]:
    return [
        {"text": str(d["text"]), "timestamp": float(d["timestamp"]), "subject": "C"}
        for d in one.get("descriptions") or []
        if (d.get("subject") or d.get("narration_subject") or "C") == "C" and d.get("text")
        and d.get("timestamp") is not None
    ]  # fmt: skip


def content_key(root: Path) -> str:
    """Sixteen hex digits over the lists and annotations that are read of a release; of no recording."""
    lists = [root / name for name in ("takes.json", "captures.json") if (root / name).is_file()]
    digest = hashlib.sha256()
    for path in lists + annotation_files(root, "keystep") + annotation_files(root, "atomic_descriptions"):
        digest.update(path.name.encode())
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()[:16]
