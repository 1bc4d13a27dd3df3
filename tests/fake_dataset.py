"""A tiny dataset root in Ego-Exo4D's layout, written without eailkit.synthkitchen: the readers' counterpart.

Positions, words, actions and frames are simple functions of take time, so that a test knows what to expect.
"""

import gzip
import json
from pathlib import Path

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

CLOCK_START_S = {"kitchen1_a": 1200.25, "kitchen1_b": 77.5, "kitchen2_a": 5000.0625}
ACTIONS = ("stir", "cut bread", "wash")


def room_cloud(seed: int, *, side_m: float = 3.0, centre=(1.0, -2.0), yaw: float = 0.4, floor_z: float = -1.5):
    """A square room: textured floor and walls, a counter along one wall, outliers. (n, 3), stds."""
    rng = np.random.default_rng(seed)
    floor = np.column_stack([rng.uniform(-side_m / 2, side_m / 2, (6000, 2)), rng.normal(0, 0.01, 6000)])
    along, z = rng.uniform(-side_m / 2, side_m / 2, 8000), rng.uniform(0, 2.4, 8000)
    wall, h = rng.integers(0, 4, 8000), side_m / 2
    walls = np.column_stack(
        [
            np.choose(wall, [along, along, -h + 0 * z, h + 0 * z]),
            np.choose(wall, [-h + 0 * z, h + 0 * z, along, along]),
            z,
        ]
    )
    counter = np.column_stack([rng.uniform(-h, h, 3000), rng.uniform(h - 0.6, h, 3000), rng.uniform(0.85, 0.95, 3000)])
    points = np.concatenate([floor, walls, counter])
    c, s = np.cos(yaw), np.sin(yaw)
    points[:, :2] = points[:, :2] @ np.array([[c, s], [-s, c]]) + centre
    points[:, 2] += floor_z
    outliers = rng.uniform(-2000, 2000, (40, 3))
    points = np.concatenate([points, outliers])
    return points, np.full(len(points), 5e-4), np.full(len(points), 0.02)


def position_at(t_s, centre=(1.0, -2.0)):
    """Where the wearer is at take time t: a slow circle of 0.6 m around the room's middle."""
    return np.column_stack([centre[0] + 0.6 * np.cos(0.3 * t_s), centre[1] + 0.6 * np.sin(0.3 * t_s), 0.1 + 0 * t_s])


def write_csv(path: Path, header: str, rows: np.ndarray, formats: list[str], texts: list[str] | None = None) -> None:
    """Rows of numbers with one format a column; `texts` are constant leading columns."""
    lead = "".join(f"{t}," for t in texts or [])
    lines = [header] + [lead + ",".join(f % v for f, v in zip(formats, row, strict=True)) for row in rows]
    (gzip.open if path.suffix == ".gz" else open)(path, "wt").write("\n".join(lines) + "\n")


def write_video(path: Path, count: int, size: int = 32) -> None:
    """One frame a second; frame k is grey of level 10 + 8 k."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=1)
        stream.width = stream.height = size
        stream.pix_fmt = "yuv420p"
        for k in range(count):
            frame = av.VideoFrame.from_ndarray(np.full((size, size, 3), 10 + 8 * k, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def imu_samples(seconds: float, clock_start_s: float, rate_hz: float = 800.0, seed: int = 0):
    """A sensor tilted by 35 degrees that nods gently; begins 0.73 s before the take and ends 0.4 s after."""
    t = np.arange(-0.73, seconds + 0.4, 1 / rate_hz)
    angle, rate = 0.6 + 0.1 * np.sin(2 * t), 0.2 * np.cos(2 * t)
    acc = np.column_stack([0 * t, 9.81 * np.sin(angle), 9.81 * np.cos(angle)])
    gyro = np.column_stack([rate, 0 * t, 0 * t])
    rng = np.random.default_rng(seed)
    return t + clock_start_s, acc + rng.normal(0, 0.01, acc.shape), gyro + rng.normal(0, 1e-3, gyro.shape)


def write_trajectory(path: Path, t_s: np.ndarray, position: np.ndarray, graph: str) -> None:
    """closed_loop_trajectory.csv with MPS's columns; the first two rows are of quality 0.5."""
    header = (
        "graph_uid,tracking_timestamp_us,utc_timestamp_ns,tx_world_device,ty_world_device,tz_world_device,qx_world_device,"
        "qy_world_device,qz_world_device,qw_world_device,gravity_x_world,gravity_y_world,gravity_z_world,quality_score"
    )
    n = len(t_s)
    quality = np.where(np.arange(n) < 2, 0.5, 1.0)
    ones, zeros = np.ones(n), np.zeros(n)
    rows = np.column_stack(
        [np.round(t_s * 1e6), zeros, position, zeros, zeros, zeros, ones, zeros, zeros, -9.81 * ones, quality]
    )
    write_csv(path, header, rows, ["%d", "%d"] + ["%.6f"] * 10 + ["%.1f"], [graph])


def write_cloud(path: Path, seed: int, graph: str) -> None:
    """semidense_points.csv.gz of `room_cloud`."""
    points, inverse, distance = room_cloud(seed)
    rows = np.column_stack([np.arange(len(points)), points, inverse, distance])
    header = "graph_uid,uid,px_world,py_world,pz_world,inv_dist_std,dist_std"
    write_csv(path, header, rows, ["%d"] + ["%.6f"] * 5, [graph])


def write_take(root: Path, name: str, seconds: int, *, graph: str) -> None:
    """IMU, trajectory, video and timesync of one take."""
    start_s, folder = CLOCK_START_S[name], root / "takes" / name
    for part in ("trajectory", "frame_aligned_videos"):
        (folder / part).mkdir(parents=True)
    t, acc, gyro = imu_samples(seconds, start_s)
    columns = {"t_ns": np.round(t * 1e9).astype(np.int64)}
    columns |= {
        f"{kind}_{a}": v[:, i].astype(np.float32)
        for kind, v in (("acc", acc), ("gyro", gyro))
        for i, a in enumerate("xyz")
    }
    metadata = {"label": "imu-left", "R_head_sensor": json.dumps([[1, 0, 0], [0, 0, -1], [0, 1, 0]])}
    metadata["T_device_imu"] = json.dumps(np.eye(4).tolist())
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), folder / "imu-left.parquet")
    take_t = np.arange(-1.0, seconds + 1.0, 0.05)
    write_trajectory(folder / "trajectory" / "closed_loop_trajectory.csv", take_t + start_s, position_at(take_t), graph)
    write_video(folder / "frame_aligned_videos" / "aria01_214-1.mp4", seconds)
    capture = root / "captures" / f"capture_{name}"
    capture.mkdir(parents=True)
    stamps = np.round((start_s + (np.arange(-15, 30 * seconds) / 30)) * 1e9)
    write_csv(
        capture / "timesync.csv",
        "cam01_capture_timestamp_ns,aria01_214-1_capture_timestamp_ns",
        np.column_stack([0 * stamps, stamps]),
        ["%d", "%d"],
    )


def write_dataset(root: Path, *, seconds: int = 12) -> Path:
    """Room kitchen1 with a scan and two takes; room kitchen2 with one take and no scan (no map to be had)."""
    root.mkdir(parents=True, exist_ok=True)
    takes, descriptions, keysteps = [], {}, {}
    for name in CLOCK_START_S:
        room = name.split("_")[0]
        write_take(root, name, seconds, graph=f"graph-{room}")
        takes.append({
            "take_name": name, "take_uid": f"uid-{name}", "root_dir": f"takes/{name}", "participant_uid": 7,
            "physical_setting_uid": room, "task_name": "cooking", "duration_sec": seconds, "timesync_start_idx": 15,
            "timesync_end_idx": 15 + 30 * seconds, "capture": {"capture_name": f"capture_{name}"},
        })  # fmt: skip
        said = [{"text": f"C stirs at {k}", "timestamp": k, "subject": "C"} for k in (0.4, 3.4)]
        said += [
            {"text": "O waits", "timestamp": 5.0, "subject": "O"},
            {"text": "C washes", "timestamp": 8.6, "subject": "C"},
        ]
        descriptions[f"uid-{name}"] = [
            {"annotator_id": "1", "rejected": False, "descriptions": said},
            {
                "annotator_id": "2",
                "rejected": True,
                "descriptions": [{"text": "C is wrong", "timestamp": 6.0, "subject": "C"}],
            },
        ]
        keysteps[f"uid-{name}"] = {"segments": [
            {"start_time": 3.0 * i, "end_time": 3.0 * i + 2.9, "step_name": step} for i, step in enumerate(ACTIONS)
        ]}  # fmt: skip
    folder = root / "takes" / "kitchen1_scan" / "trajectory"
    folder.mkdir(parents=True)
    write_cloud(folder / "semidense_points.csv.gz", 3, "graph-kitchen1")
    takes.append(
        {"take_name": "kitchen1_scan", "take_uid": "uid-scan", "task_name": "scan", "physical_setting_uid": "kitchen1"}
    )
    (root / "annotations").mkdir()
    for part, uids in (("train", ["uid-kitchen1_a"]), ("val", ["uid-kitchen1_b", "uid-kitchen2_a"])):
        for kind, content in (("atomic_descriptions", descriptions), ("keystep", keysteps)):
            chosen = {uid: content[uid] for uid in uids}
            (root / "annotations" / f"{kind}_{part}.json").write_text(json.dumps({"annotations": chosen}))
    (root / "takes.json").write_text(json.dumps(takes))
    splits = {"kitchen1_a": "train", "kitchen1_b": "test-seen", "kitchen2_a": "test-unseen", "kitchen1_scan": "scan"}
    (root / "splits.json").write_text(json.dumps(splits))
    return root


def one_sentence(error: pytest.ExceptionInfo, *parts: str) -> None:
    """The message is a sentence for a user: no line break, no traceback, every given part in it."""
    text = str(error.value)
    assert "\n" not in text and "Traceback" not in text and text.endswith((".", "?")), text
    for part in parts:
        assert part in text, text
