"""Ego-Exo4D's folder layout, and SynthKitchen's, which is the same: takes, rooms, splits, words, frames.

Everything is put on the device clock through `timesync.csv`; the map of a take never comes from the take
itself (design section 3). Video is decoded only when frames are asked for.
"""

from __future__ import annotations

import csv
import functools
import gzip
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow.csv

from eailkit.datasets import aria, stamps, table
from eailkit.datasets.video import decode_frames, find_ego_video, video_times_s
from eailkit.errors import DatasetError, RecordingError
from eailkit.recording import ActionSegment, ImuStream, Narration, PointMap, Recording

TIMESYNC_HZ = 30.0  # rows of timesync.csv are frames of the 30 fps rig


@dataclass(frozen=True)
class TakeInfo:
    """What takes.json says about one take; "" or 0 where it says nothing.

    Attributes:
        name, uid: as in takes.json.
        participant, room: uids of the wearer and of the physical setting.
        split: "train", "val-seen", ..., "scan" (SynthKitchen) or Ego-Exo4D's own "train", "val", "test".
        duration_s: length, seconds.
        task: task name; "scan" marks a walk that only maps the room.
        capture: capture whose timesync.csv holds the clock.
        start_row: row of timesync.csv at the take's start.
    """

    name: str
    uid: str
    participant: str = ""
    room: str = ""
    split: str = ""
    duration_s: float = 0.0
    task: str = ""
    capture: str = ""
    start_row: int | None = None


@dataclass(frozen=True)
class EgoExo4D:
    """A dataset root: `takes.json`, `annotations/`, `captures/` and `takes/`.

    Attributes:
        root: the folder.
        takes: every take that takes.json lists and whose folder is there, scans included.

    Raises:
        DatasetError: no takes.json, not a list of takes, or takes of two SynthKitchen datasets (`stamps`).
    """

    root: Path
    takes: tuple[TakeInfo, ...] = field(init=False)

    def __post_init__(self) -> None:
        root = Path(self.root)
        object.__setattr__(self, "root", root)
        if not (root / "takes.json").is_file():
            raise DatasetError(
                f"{root}: found no takes.json; expected the root of Ego-Exo4D or SynthKitchen; check the path, or make "
                "one with `eailkit synth`."
            )
        listed = _read_json(root / "takes.json")
        if not isinstance(listed, list) or not all(isinstance(t, dict) and "take_name" in t for t in listed):
            raise DatasetError(
                f"{root / 'takes.json'}: expected a list of takes with take_name each; is it the right file?"
            )
        splits = _read_splits(root)
        present = [t for t in listed if (root / "takes" / t["take_name"]).is_dir()]
        object.__setattr__(self, "takes", tuple(_take_info(t, splits) for t in present))
        stamps.check_root(root, present)

    @functools.cached_property
    def splits(self) -> dict[str, tuple[str, ...]]:
        """Take names by split."""
        names: dict[str, list[str]] = {}
        for take in self.takes:
            names.setdefault(take.split, []).append(take.name)
        return {split: tuple(takes) for split, takes in names.items()}

    @functools.cached_property
    def action_names(self) -> tuple[str, ...]:
        """The classes of the action head: `actions` of synthkitchen.json, else all annotated step names, sorted."""
        card = self.root / "synthkitchen.json"
        if card.is_file() and (listed := _read_json(card).get("actions")):
            return tuple(listed)
        return tuple(sorted({s["step_name"] for segments in self._keysteps.values() for s in segments}))

    @functools.cached_property
    def _keysteps(self) -> dict[str, list[dict]]:
        return {
            uid: [s for s in entry.get("segments", []) if s.get("step_name")]
            for uid, entry in self._annotations("keystep").items()
        }

    @functools.cached_property
    def _descriptions(self) -> dict[str, list[dict]]:
        return self._annotations("atomic_descriptions")

    def _annotations(self, kind: str) -> dict:
        merged: dict = {}
        for path in sorted((self.root / "annotations").glob(f"{kind}_*.json")):
            stamps.check_files(self.root, [path])
            merged.update(_read_json(path).get("annotations", {}))
        return merged

    def info(self, name: str) -> TakeInfo:
        """The take of that name.

        Raises:
            DatasetError: there is none.
        """
        for take in self.takes:
            if take.name == name:
                return take
        raise DatasetError(
            f"{self.root}: found no take '{name}' among {len(self.takes)}; see takes.json for the names."
        )

    def start_s(self, name: str) -> float:
        """Device-clock second at which the take begins: take time 0, which isn't the first IMU sample.

        Raises:
            DatasetError: timesync.csv has no such row or no ego camera.
        """
        take = self.info(name)
        path = self.root / "captures" / take.capture / "timesync.csv"
        if take.start_row is None or not path.is_file():
            raise DatasetError(
                f"{path}: take '{name}' has no start on the device clock; expected this file and timesync_start_idx; "
                "get the captures part of the dataset."
            )
        t_ns = _ego_timestamps_ns(path)
        rows = np.flatnonzero(np.isfinite(t_ns[take.start_row :]))
        if not len(rows):
            raise DatasetError(
                f"{path}: found no time from row {take.start_row} on, where '{name}' starts; get the file again."
            )
        return float(t_ns[take.start_row + rows[0]] * 1e-9 - rows[0] / TIMESYNC_HZ)

    def map_take(self, name: str) -> TakeInfo | None:
        """The take whose cloud serves as the map: the room's scan, else another take in the same frame, else None."""
        take = self.info(name)
        others = [t for t in self.takes if t.room == take.room and t.name != name and take.room]
        frame = self._frame_id(self.root / "takes" / name / "trajectory" / "closed_loop_trajectory.csv")
        for other in sorted(others, key=lambda t: (t.task != "scan", t.name)):
            cloud = aria.find_cloud(self.root / "takes" / other.name)
            stamps.check_files(self.root, [cloud] if cloud else [])  # else a foreign one would only be another frame
            if cloud is not None and self._frame_id(cloud) in (frame, "") or cloud is not None and not frame:
                return other
        return None

    @staticmethod
    def _frame_id(path: Path) -> str:
        """`graph_uid` of an MPS file's first row: files that share it share their world frame. "" where unknown."""
        if not path.is_file():
            return ""
        with (gzip.open if path.suffix == ".gz" else open)(path, "rt") as lines:
            row = next(csv.DictReader(lines), {})
        return row.get("graph_uid") or ""

    def room_map(self, name: str) -> tuple[PointMap | None, str]:
        """The map for a take, never its own cloud, and a phrase that says where it comes from."""
        other = self.map_take(name)
        if other is None:
            return None, f"no scan and no other take of room '{self.info(name).room}' in the frame of '{name}'"
        kind = "scan" if other.task == "scan" else "another take of the room"
        cloud = aria.find_cloud(self.root / "takes" / other.name)
        return aria.read_cloud(cloud), f"{other.name} ({kind})"

    def imu(self, name: str, *, label: str = "imu-left") -> ImuStream:
        """The labelled IMU of a take, from its Parquet (SynthKitchen) or its VRS (Ego-Exo4D)."""
        folder = self.root / "takes" / name
        stamps.check_files(self.root, folder.rglob(f"{label}.parquet"))
        if (folder / f"{label}.parquet").is_file():
            return table.read_imu(folder / f"{label}.parquet", label=label)
        vrs = sorted(folder.glob("*noimagestreams.vrs")) or sorted(folder.glob("*.vrs"))
        if vrs:
            return aria.read_vrs(vrs[0], label=label)
        others = ", ".join(sorted(p.name for p in folder.glob("*.parquet"))) or "none"
        raise RecordingError(
            f"{folder}: found no IMU '{label}' (Parquet files: {others}; no VRS); expected {label}.parquet or a .vrs; "
            "get the part take_vrs_noimagestream."
        )

    def device_from_imu(self, name: str, *, label: str = "imu-left") -> np.ndarray | None:
        """Rotation (3, 3) from a take's IMU axes to its trajectory's device axes, or None where it doesn't say."""
        folder = self.root / "takes" / name
        if (folder / f"{label}.parquet").is_file():
            text = table.read_metadata(folder / f"{label}.parquet").get("T_device_imu")
            return None if text is None else np.asarray(json.loads(text), dtype=np.float64)[:3, :3]
        vrs = sorted(folder.glob("*noimagestreams.vrs")) or sorted(folder.glob("*.vrs"))
        return aria.device_from_imu(vrs[0], label=label) if vrs else None

    def recording(self, name: str, *, imu: str = "imu-left", with_map: bool = True) -> Recording:
        """One take with everything the root has for it, on the device clock.

        Raises:
            DatasetError: no such take, or its clock can't be aligned.
            RecordingError, MapError: a file of the take can't be right.
        """
        take, start_s = self.info(name), self.start_s(name)
        folder = self.root / "takes" / name
        stamps.check_take(self.root, folder, take.capture, take.room)
        path = folder / "trajectory" / "closed_loop_trajectory.csv"
        video = find_ego_video(folder)
        point_map, map_source = self.room_map(name) if with_map else (None, "")
        return Recording(
            name=name,
            imu=self.imu(name, label=imu),
            trajectory=aria.read_trajectory(path) if path.is_file() else None,
            map=point_map,
            narrations=self._narrations(take.uid, start_s),
            actions=self.keysteps(name),
            frame_times_s=start_s + video_times_s(video) if video else np.zeros(0),
            load_frames=functools.partial(decode_frames, video) if video else None,
            room=take.room,
            participant=take.participant,
            split=take.split,
            map_source=map_source,
        )

    def keysteps(self, name: str) -> tuple[ActionSegment, ...]:
        """The annotated steps of a take, on the device clock.

        Raises:
            DatasetError: no such take, or its clock can't be aligned.
        """
        start_s = self.start_s(name)
        return tuple(
            ActionSegment(start_s + float(s["start_time"]), start_s + float(s["end_time"]), s["step_name"])
            for s in self._keysteps.get(self.info(name).uid, [])
        )

    def _narrations(self, uid: str, start_s: float) -> tuple[Narration, ...]:
        """What annotators wrote about the wearer (subject "C"), rejected passes left out, in order of time."""
        said = [
            Narration(start_s + float(d["timestamp"]), str(d["text"]))
            for annotator in self._descriptions.get(uid, [])
            if not annotator.get("rejected")
            for d in annotator.get("descriptions", [])
            if d.get("subject", "C") in ("C", None, "") and d.get("timestamp") is not None and d.get("text")
        ]
        return tuple(sorted(said, key=lambda n: n.t_s))


def _read_json(path: Path) -> dict | list:
    try:
        return json.loads(path.read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as fault:
        raise DatasetError(
            f"{path}: can't be read as JSON ({fault}); expected a whole file; copy or download it again."
        ) from None


def _read_splits(root: Path) -> dict[str, str]:
    """Split by take name or uid: SynthKitchen's splits.json, else Ego-Exo4D's annotations/splits.json."""
    if (root / "splits.json").is_file():
        found = _read_json(root / "splits.json")
        return dict(found.get("take_name_to_split", found))
    path = root / "annotations" / "splits.json"
    return dict(_read_json(path).get("take_uid_to_split", {})) if path.is_file() else {}


def _take_info(take: dict, splits: dict[str, str]) -> TakeInfo:
    """Keys differ between releases: whatever is missing stays empty."""
    name, uid = take["take_name"], take.get("take_uid", take["take_name"])
    row = take.get("timesync_start_idx")
    return TakeInfo(
        name=name,
        uid=uid,
        participant=str(take.get("participant_uid", "")),
        room=str(take.get("physical_setting_uid", "")),
        split=splits.get(name, splits.get(uid, "")),
        duration_s=float(take.get("duration_sec") or 0.0),
        task=str(take.get("task_name", "")),
        capture=str((take.get("capture") or {}).get("capture_name", "")),
        start_row=None if row is None else int(row),
    )


@functools.lru_cache(maxsize=64)
def _ego_timestamps_ns(path: Path) -> np.ndarray:
    """Column `<aria camera>_214-1_capture_timestamp_ns` of a timesync.csv, (rows,), NaN where a frame is missing."""
    with open(path) as lines:
        header = lines.readline().strip().split(",")
    names = [c for c in header if re.fullmatch(r"aria\d*_214-1_capture_timestamp_ns", c)]
    if not names:
        raise DatasetError(
            f"{path}: found columns {', '.join(header)[:120]}; expected aria01_214-1_capture_timestamp_ns; "
            "get the file again."
        )
    options = pyarrow.csv.ConvertOptions(include_columns=names[:1])
    return pyarrow.csv.read_csv(path, convert_options=options)[names[0]].to_numpy().astype(np.float64)
