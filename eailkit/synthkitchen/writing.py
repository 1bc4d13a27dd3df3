"""Files of one take in Ego-Exo4D's layout: IMU, trajectory, cloud, time sync, video; and small JSON files.

Nothing here decides what a take holds. Every file is written beside its place and renamed, so that a kill
leaves either the whole file or none. Ego-Exo4D keeps IMU in VRS, which no package can write; ours is Parquet.
Every file says which simulator and parameters made it, where its format has room for that (see `version.Stamp`).
"""

from __future__ import annotations

import gzip
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float, UInt8
from pyarrow import csv, parquet

from eailkit.recording import ImuStream, PointMap
from eailkit.synthkitchen.sensor import ImuModel
from eailkit.synthkitchen.spline import HeadSample
from eailkit.synthkitchen.version import Stamp

TIMESYNC_HZ = 30.0
EGO_CAMERA = "aria01_214-1"


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A name to write to, renamed to `path` at the end; where the writing fails nothing stays."""
    part = path.with_name("part_" + path.name)  # the ending stays: ffmpeg goes by it
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """JSON with a newline at its end, written atomically; a file that says so already stays, as others may read it."""
    text = (json.dumps(value, indent=1) + "\n").encode()
    if path.is_file() and path.read_bytes() == text:
        return
    with _beside(path) as part:
        part.write_bytes(text)


def write_imu(path: Path, imu: ImuStream, sensor: ImuModel, stamp: Stamp) -> None:
    """t_ns (int64, device clock), acc_x..z (m/s2) and gyro_x..z (rad/s) as float32, sensor axes.

    Schema metadata: label, R_head_sensor (JSON, 3 x 3), T_device_imu (JSON, 4 x 4; device axes are head axes), stamp.
    """
    columns = {"t_ns": np.round(imu.t_s * 1e9).astype(np.int64)}
    for k, axis in enumerate("xyz"):
        columns[f"acc_{axis}"] = imu.acc_mps2[:, k].astype(np.float32)
    for k, axis in enumerate("xyz"):
        columns[f"gyro_{axis}"] = imu.gyro_radps[:, k].astype(np.float32)
    T_device_imu = np.eye(4)
    T_device_imu[:3, :3] = sensor.R_head_sensor
    T_device_imu[:3, 3] = sensor.lever_arm_head_m
    metadata = {
        "label": imu.label,
        "R_head_sensor": json.dumps(np.round(sensor.R_head_sensor, 9).tolist()),
        "T_device_imu": json.dumps(np.round(T_device_imu, 9).tolist()),
        **stamp.keys,
    }
    table = pa.table(columns).replace_schema_metadata(metadata)
    values = [name for name in columns if name != "t_ns"]
    with _beside(path) as part:
        parquet.write_table(
            table,
            part,
            compression="zstd",
            compression_level=1,
            use_dictionary=values,  # samples are 16-bit steps: a dictionary halves what float32 would take
            column_encoding={"t_ns": "DELTA_BINARY_PACKED"},
            dictionary_pagesize_limit=1 << 20,
            row_group_size=1 << 20,
            write_statistics=False,
        )


def write_trajectory(path: Path, t_s: Float[np.ndarray, " n"], motion: HeadSample, graph_uid: str) -> None:
    """MPS's closed_loop_trajectory.csv: poses of the device in the world, device clock, micrometres and up."""
    n = len(t_s)
    t_us = np.round(t_s * 1e6).astype(np.int64)
    columns: dict[str, Any] = {
        "graph_uid": pa.array([graph_uid]).take(pa.array(np.zeros(n, np.int32))),
        "tracking_timestamp_us": t_us,
        "utc_timestamp_ns": 1_700_000_000_000_000_000 + t_us * 1000,
    }
    velocity_device = np.einsum("nji,nj->ni", motion.R_world_head, motion.velocity_mps)
    for name, values, digits in (
        ("t{}_world_device", motion.position_m, 6),
        ("q{}_world_device", motion.quat_world_head_xyzw, 9),
        ("device_linear_velocity_{}_device", velocity_device, 6),
        ("angular_velocity_{}_device", motion.omega_radps, 6),
    ):
        for k in range(values.shape[1]):
            columns[name.format("xyzw"[k])] = np.round(values[:, k], digits)
    for k, g in enumerate((0.0, 0.0, -9.81)):
        columns[f"gravity_{'xyz'[k]}_world"] = np.full(n, g)
    columns["quality_score"] = np.ones(n)
    _write_csv(path, pa.table(columns))


def write_cloud(path: Path, cloud: PointMap, graph_uid: str, stamp: Stamp) -> None:
    """MPS's semidense_points.csv.gz, positions to a tenth of a millimetre."""
    n = len(cloud)
    points = np.round(cloud.points_world_m.astype(np.float64), 4)
    zeros = np.zeros(n)
    columns = {
        "uid": np.arange(n),
        "graph_uid": pa.array([graph_uid]).take(pa.array(np.zeros(n, np.int32))),
        **{f"p{axis}_world": points[:, k] for k, axis in enumerate("xyz")},
        "inv_dist_std": np.round(zeros if cloud.inv_dist_std is None else cloud.inv_dist_std.astype(np.float64), 6),
        "dist_std": np.round(zeros if cloud.dist_std is None else cloud.dist_std.astype(np.float64), 6),
    }
    _write_csv(path, pa.table(columns), gzip_comment=stamp.text)


def write_timesync(path: Path, t_ns: np.ndarray, stamp: Stamp) -> None:
    """captures/<capture>/timesync.csv: one row a frame of the 30 Hz rig, device clock in nanoseconds.

    Such a file has a column for each camera of the rig; an empty one more, named after the stamp, breaks no reader.
    """
    _write_csv(path, pa.table({f"{EGO_CAMERA}_capture_timestamp_ns": t_ns, stamp.column: pa.nulls(len(t_ns))}))


def write_video(path: Path, frames: UInt8[np.ndarray, "n h w 3"], stamp: Stamp) -> None:
    """One frame a second as H.264; frame k stands for take time k to k + 1 s and is taken in its middle.

    Without libx264's macroblock tree, which reads memory that nobody has written in frames as small as these: the same
    pictures would give another file now and then, up to ten grey levels apart.
    """
    import av

    with _beside(path) as part, av.open(str(part), "w", format="mp4") as container:
        container.metadata["comment"] = stamp.text
        options = {"crf": "16", "preset": "veryfast", "threads": "1", "mbtree": "0"}
        stream = container.add_stream("libx264", rate=1, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.thread_count = "yuv420p", 1
        for image in frames:
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def _write_csv(path: Path, table: pa.Table, *, gzip_comment: str = "") -> None:
    buffer = io.BytesIO()
    csv.write_csv(table, buffer, csv.WriteOptions(quoting_style="none"))
    data = buffer.getvalue().replace(b'"', b"")  # arrow quotes the header's names whatever the style
    if gzip_comment:
        data = gzip.compress(data, compresslevel=3, mtime=0)  # no time inside: the same room gives the same bytes
        # RFC 1952: bit 4 of byte 3 says that a comment ending in 0 follows the header's ten bytes.
        data = data[:3] + b"\x10" + data[4:10] + gzip_comment.encode("latin-1") + b"\0" + data[10:]
    with _beside(path) as part:
        part.write_bytes(data)
