"""The files that list a dataset's takes: takes.json, captures, people, rooms, splits and annotations.

Gathered from the sidecars of finished takes, so that they come out the same whichever worker made what and
in which order. Keys are Ego-Exo4D's; two more in every file say which simulator made it.
"""

from __future__ import annotations

import json
from pathlib import Path

from eailkit.synthkitchen import writing
from eailkit.synthkitchen.folder import SIDECAR, write_errors
from eailkit.synthkitchen.splits import TakeJob
from eailkit.synthkitchen.version import Stamp

_TRAIN_SPLITS = ("train", "pretrain")


def write_indexes(out: Path, jobs: list[TakeJob], stamp: Stamp) -> None:
    """Write every index of a dataset whose takes are finished.

    Raises:
        DatasetError: the folder can't be written, or the disk is full.
    """
    with write_errors(out):
        _write_takes(out, jobs, stamp)
        _write_annotations(out, jobs, stamp)


def _facts(out: Path, job: TakeJob) -> dict:
    return json.loads((out / "takes" / job.name / SIDECAR).read_text())


def _write_takes(out: Path, jobs: list[TakeJob], stamp: Stamp) -> None:
    takes, captures, people = [], [], {}
    for job in jobs:
        facts = _facts(out, job)
        capture_uid, capture = stamp.uid("capture", job.name), f"{job.name}_capture"
        camera = {"cam_id": "aria01", "is_ego": True, "device_type": "aria"}
        takes.append({
            "root_dir": f"takes/{job.name}", "take_name": job.name, "take_uid": stamp.uid("take", job.name),
            "capture_uid": capture_uid, "participant_uid": job.participant, "university_name": "synthkitchen",
            "task_name": facts["task"],
            "parent_task_name": "scan" if job.split == "scan" else facts.get("parent_task", "Cooking"),
            "duration_sec": facts["duration_s"], "physical_setting_uid": job.room_id,
            "timesync_start_idx": facts["start_row"], "timesync_end_idx": facts["end_row"],
            "capture": {"capture_name": capture, "cameras": [camera]}, "frame_aligned_videos": _videos(job),
            **stamp.keys,
        })  # fmt: skip
        captures.append(
            {"capture_uid": capture_uid, "capture_name": capture, "physical_setting_uid": job.room_id, **stamp.keys}
        )
        if job.split != "scan":
            people[job.participant] = {"participant_uid": job.participant, **facts["person"], **stamp.keys}
    rooms = list(dict.fromkeys(job.room_id for job in jobs))
    settings = [{"physical_setting_uid": r, "name": r, **stamp.keys} for r in rooms]
    writing.write_json(out / "physical_setting.json", settings)
    writing.write_json(out / "participants.json", [people[name] for name in sorted(people)])
    writing.write_json(out / "captures.json", captures)
    splits = {**stamp.keys, "take_name_to_split": {job.name: job.split for job in jobs}}
    writing.write_json(out / "splits.json", splits)
    writing.write_json(out / "takes.json", takes)


def _write_annotations(out: Path, jobs: list[TakeJob], stamp: Stamp) -> None:
    words: dict[str, dict] = {"train": {}, "val": {}}
    steps: dict[str, dict] = {"train": {}, "val": {}}
    for job in jobs:
        if job.split == "scan":
            continue
        facts, uid = _facts(out, job), stamp.uid("take", job.name)
        part = "train" if job.split in _TRAIN_SPLITS else "val"
        said = [
            {"text": text, "timestamp": t, "subject": "C", "ego_visible": True, "unsure": False}
            for t, text in facts["descriptions"]
        ]
        words[part][uid] = [{"annotator_id": "synthkitchen", "rejected": False, "descriptions": said}]
        segments = [{"start_time": a, "end_time": b, "step_name": name} for a, b, name in facts["keysteps"]]
        steps[part][uid] = {"take_uid": uid, "take_name": job.name, "segments": segments}
    for part in ("train", "val"):
        for kind, content in (("atomic_descriptions", words[part]), ("keystep", steps[part])):
            path = out / "annotations" / f"{kind}_{part}.json"
            writing.write_json(path, {**stamp.keys, "annotations": content})


def _videos(job: TakeJob) -> dict:
    if not job.frame_px:
        return {}
    path = f"frame_aligned_videos/{writing.EGO_CAMERA}.mp4"
    return {"aria01": {"rgb": {"cam_id": "aria01", "stream_id": "214-1", "relative_path": path}}}
