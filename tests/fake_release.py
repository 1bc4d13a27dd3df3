"""A small Ego-Exo4D download as its documentation has it, written without eailkit: the counterpart of the readers.

Integers for uids, keys that other releases lack, captures of several takes on one device clock, trajectories at 1 kHz,
videos at 30 fps, a cloud a take, passes of several annotators, keysteps with taxonomy and vocabulary. The IMU is
Parquet, since no package writes a VRS IMU stream. Everything is a function of take time, so that a test knows what to
expect: where the wearer is, how the head turns, which step, which words, how bright the picture.
"""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from fake_dataset import position_at, room_cloud
from scipy.spatial.transform import Rotation

TILT = Rotation.from_euler("x", 0.4)  # sensor to head
STEPS = ("Get knife", "Chop onion", "Washing hands", "Wash tomato", "Carefully crack the egg", "Stir the eggs", "Plate")
STEP_S = 2.0


@dataclass(frozen=True)
class Entry:
    """One take of the download: kitchen, capture and number in it, wearer."""

    kitchen: int
    capture: str
    number: int
    person: int

    @property
    def name(self) -> str:
        return f"{self.capture}_{self.number}"


def entries(takes_per_capture: int = 3) -> list[Entry]:
    """Four kitchens with a capture each, and one of them with a second capture of a single take."""
    found = [
        Entry(kitchen, f"iiith_cooking_{kitchen}", n + 1, 10 * kitchen + n % 2)
        for kitchen in (10, 11, 12, 13)
        for n in range(takes_per_capture + (kitchen == 10))
    ]
    return [*found, Entry(11, "iiith_cooking_21", 1, 110)]


def clock_s(capture: str) -> float:
    """Device time of a capture's first row of timesync.csv."""
    return 1000.0 + 37.25 * int(capture.rsplit("_", 1)[1])


def start_row(entry: Entry, seconds: int) -> int:
    """Row at which a take begins: four seconds after the capture or the take before it."""
    return 120 + (entry.number - 1) * (seconds + 4) * 30


def start_s(entry: Entry, seconds: int) -> float:
    """Device time of take time 0."""
    return clock_s(entry.capture) + start_row(entry, seconds) / 30


def turned_at(t_s: np.ndarray) -> np.ndarray:
    """Where the head faces in the world at take time t, rad."""
    return 0.8 * np.sin(0.5 * t_s)


def step_at(entry: Entry, t_s: float) -> str:
    """The keystep at take time t."""
    return STEPS[(int(t_s // STEP_S) + entry.number + entry.kitchen) % len(STEPS)]


def write_release(root: Path, *, seconds: int = 15, takes: list[Entry] | None = None, video: bool = True) -> Path:
    """Write the download."""
    takes = entries() if takes is None else takes
    for part in ("annotations", "captures", "takes"):
        (root / part).mkdir(parents=True)
    for capture in sorted({t.capture for t in takes}):
        _write_capture(root / "captures" / capture, capture, [t for t in takes if t.capture == capture], seconds)
    for entry in takes:
        _write_take(root / "takes" / entry.name, entry, seconds, video)
    _write_lists(root, takes, seconds)
    _write_annotations(root, takes, seconds)
    return root


def _write_capture(folder: Path, capture: str, takes: list[Entry], seconds: int) -> None:
    folder.mkdir()
    rows = np.arange(start_row(takes[-1], seconds) + (seconds + 4) * 30)
    stamps = np.round((clock_s(capture) + rows / 30) * 1e9).astype(np.int64)
    missing = rows % 97 == 96  # frames that the rig lost
    columns = {
        "aria01_1201-1_capture_timestamp_ns": pa.array(stamps + 5_000_000, mask=missing),
        "aria01_214-1_capture_timestamp_ns": pa.array(stamps, mask=missing),
        "cam01_pts": rows, "cam01_frame_number": rows,
    }  # fmt: skip
    _csv(folder / "timesync.csv", columns)


def _csv(path: Path, columns: dict) -> None:
    sink = pa.BufferOutputStream()
    pa.csv.write_csv(pa.table(columns), sink, pa.csv.WriteOptions(quoting_style="none"))
    data = sink.getvalue().to_pybytes().replace(b'"', b"")
    path.write_bytes(gzip.compress(data, compresslevel=1) if path.suffix == ".gz" else data)


def _write_take(folder: Path, entry: Entry, seconds: int, video: bool) -> None:
    (folder / "trajectory").mkdir(parents=True)
    begin, graph = start_s(entry, seconds), f"graph-{entry.capture}"
    t = np.arange(-0.4, seconds + 0.4, 1 / 800)
    sensor = Rotation.from_euler("z", turned_at(t)[:, None]) * TILT
    acceleration = np.gradient(np.gradient(position_at(t), 1 / 800, axis=0), 1 / 800, axis=0)
    rate = np.column_stack([0 * t, 0 * t, np.gradient(turned_at(t), 1 / 800)])
    acc, gyro = sensor.inv().apply(acceleration + (0, 0, 9.81)), sensor.inv().apply(rate)
    noise = np.random.default_rng(entry.number)
    acc, gyro = acc + noise.normal(0, 0.02, acc.shape), gyro + noise.normal(0, 1e-3, gyro.shape)
    columns = {"t_ns": np.round((t + begin) * 1e9).astype(np.int64)}
    columns |= {
        f"{k}_{a}": v[:, i].astype("f4") for k, v in (("acc", acc), ("gyro", gyro)) for i, a in enumerate("xyz")
    }
    metadata = {"label": "imu-left", "R_head_sensor": json.dumps(TILT.as_matrix().tolist())}
    metadata["T_device_imu"] = json.dumps(np.eye(4).tolist())
    pa.parquet.write_table(pa.table(columns).replace_schema_metadata(metadata), folder / "imu-left.parquet")

    t = np.arange(-0.3, seconds + 0.3, 1e-3)
    quat = (Rotation.from_euler("z", turned_at(t)[:, None]) * TILT).as_quat()
    stamps = np.round((t + begin) * 1e6).astype(np.int64)
    columns = {
        "graph_uid": [graph] * len(t),
        "tracking_timestamp_us": stamps,
        "utc_timestamp_ns": stamps * 1000 + 10**18,
    }
    columns |= {f"t{a}_world_device": position_at(t)[:, i] for i, a in enumerate("xyz")}
    columns |= {f"q{a}_world_device": quat[:, i] for i, a in enumerate("xyzw")}
    columns |= {f"gravity_{a}_world": np.full(len(t), g) for a, g in zip("xyz", (0.0, 0.0, -9.81), strict=True)}
    _csv(folder / "trajectory" / "closed_loop_trajectory.csv", columns | {"quality_score": np.ones(len(t))})
    points, inverse, distance = room_cloud(entry.kitchen)
    columns = {"uid": np.arange(len(points)), "graph_uid": [graph] * len(points)}
    columns |= {f"p{a}_world": points[:, i] for i, a in enumerate("xyz")}
    columns |= {"inv_dist_std": inverse, "dist_std": distance}
    _csv(folder / "trajectory" / "semidense_points.csv.gz", columns)
    if video:
        _write_video(folder / "frame_aligned_videos" / "downscaled" / "448" / "aria01_214-1.mp4", seconds)


def _write_video(path: Path, seconds: int) -> None:
    """30 frames a second, those of second k grey of level 20 + 8 k."""
    path.parent.mkdir(parents=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "ultrafast"})
        stream.width = stream.height = 64
        stream.pix_fmt, stream.thread_count = "yuv420p", 1
        for k in range(30 * seconds):
            level = np.full((64, 64, 3), 20 + 8 * (k // 30), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(level, format="rgb24")))
        container.mux(stream.encode())


def _listed(entry: Entry, seconds: int) -> dict:
    return {
        "root_dir": f"takes/{entry.name}", "take_name": entry.name, "take_uid": f"uid-{entry.name}",
        "participant_uid": entry.person, "is_dropped": False, "objects": [], "task_id": 1010,
        "task_name": "Cooking an Omelet", "parent_task_id": 1000, "parent_task_name": "Cooking",
        "take_idx": entry.number, "duration_sec": seconds + 1e-9, "is_narrated": False, "best_exo": "cam01",
        "capture_uid": f"uid-{entry.capture}", "timesync_uid": "uid-timesync",
        "timesync_start_idx": start_row(entry, seconds), "timesync_end_idx": start_row(entry, seconds) + 30 * seconds,
        "capture": _capture(entry), "physical_setting_uid": entry.kitchen, "university_name": "iiith",
        "has_trimmed_trajectory": True, "has_trimmed_vrs": True, "validated": True,
        "frame_aligned_videos": {"aria01": {"rgb": {"cam_id": "aria01", "stream_id": "214-1"}}},
        "vrs_relative_path": "aria01.vrs",
    }  # fmt: skip


def _capture(entry: Entry) -> dict:
    return {
        "root_dir": f"captures/{entry.capture}", "capture_name": entry.capture, "capture_uid": f"uid-{entry.capture}",
        "physical_setting_uid": entry.kitchen, "has_trajectory": True, "timesync_validated": True, "validated": True,
        "cameras": [
            {"cam_id": "aria01", "is_ego": True, "device_type": "aria"},
            {"cam_id": "cam01", "is_ego": False, "device_type": "hero10"},
        ],
    }  # fmt: skip


def _write_lists(root: Path, takes: list[Entry], seconds: int) -> None:
    bike, absent, dropped = (_listed(Entry(97, c, 1, 657), seconds) for c in ("cmu_bike01", "fair_01", "fair_02"))
    listed = [_listed(t, seconds) for t in takes]
    bike |= {"task_name": "Remove a Wheel", "parent_task_name": "Bike Repair"}
    captures = {t.capture: _capture(t) for t in takes}
    for name, content in {
        "takes": [bike, *listed, absent, dropped | {"is_dropped": True}],
        "captures": list(captures.values()),
        "participants": [{"participant_uid": t.person, "university_name": "iiith"} for t in takes],
        "physical_setting": [{"uid": t.kitchen, "name": f"setting {t.kitchen}"} for t in takes],
    }.items():
        (root / f"{name}.json").write_text(json.dumps(content))


def _write_annotations(root: Path, takes: list[Entry], seconds: int) -> None:
    """Half of the takes in the release's train files, half in val; the last has neither words nor steps."""
    vocabulary = {str(100 + k): name for k, name in enumerate(STEPS)}
    official = {f"uid-{t.name}": ("train", "val")[k % 2] for k, t in enumerate(takes)}
    for part in ("train", "val"):
        own = [t for t in takes[:-1] if official[f"uid-{t.name}"] == part]
        steps = {f"uid-{t.name}": _steps(t, seconds) for t in own}
        taxonomy = {"Cooking an Omelet": {"0": {"id": 0, "is_leafnode": False, "name": "Cooking an Omelet"}}}
        content = {"annotations": steps, "taxonomy": taxonomy, "vocabulary": vocabulary}
        (root / "annotations" / f"keystep_{part}.json").write_text(json.dumps(content))
        words = {f"uid-{t.name}": _words(seconds) for t in own}
        (root / "annotations" / f"atomic_descriptions_{part}.json").write_text(json.dumps({"annotations": words}))
    by_split = {part: [uid for uid, p in official.items() if p == part] for part in ("train", "val")}
    content = {"take_uid_to_split": official, "split_to_take_uids": by_split, "take_uid_to_benchmark": {}}
    (root / "annotations" / "splits.json").write_text(json.dumps(content))


def _steps(entry: Entry, seconds: int) -> dict:
    segments = []
    for begin in np.arange(0, seconds, STEP_S):
        name = step_at(entry, begin)
        named = {} if entry.number == 2 else {"step_name": name}  # then the vocabulary says it
        segments.append({
            "start_time": begin, "end_time": min(begin + STEP_S, seconds), "step_id": 3, "is_essential": True,
            "step_unique_id": 100 + STEPS.index(name), "step_description": "as done here", **named,
        })  # fmt: skip
    return {
        "take_uid": f"uid-{entry.name}", "take_name": entry.name, "scenario": "Cooking an Omelet",
        "annotation_meta": {"annotator_id": 5}, "segments": segments[::-1],
    }  # fmt: skip


def _words(seconds: int) -> list[dict]:
    """A pass about the wearer, one about somebody else and one that was rejected."""
    wearer = [
        {"text": f"C does thing {k}", "timestamp": k + 0.5, "subject": "C", "ego_visible": "1", "unsure": "0"}
        for k in range(seconds)
    ]
    other = [{"text": "The man X walks.", "timestamp": 1.4, "narration_subject": "O", "ego_visible": "1"}]
    wrong = [{"text": "C is wrong", "timestamp": 2.5, "subject": "C"}]
    return [
        {"annotator_id": "1", "rejected": False, "reject_reason": None, "descriptions": wearer},
        {"annotator_id": "2", "rejected": False, "reject_reason": None, "descriptions": other},
        {"annotator_id": "3", "rejected": True, "reject_reason": "sparse", "descriptions": wrong},
    ]
