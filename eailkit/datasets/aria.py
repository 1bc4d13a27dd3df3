"""Project Aria: VRS recordings, MPS trajectories and semi-dense clouds, by label and never by stream id.

It knows the traps of real files: uneven rows, low-quality starts, two names for the cloud, a clock of
its own (`tracking_timestamp_us`, device clock). Images stay in the VRS; nothing here decodes them.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from eailkit.datasets import table
from eailkit.errors import MapError, RecordingError
from eailkit.recording import ImuStream, PointMap, Recording, Trajectory

CLOUD_NAMES = ("semidense_points.csv.gz", "global_points.csv.gz", "semidense_points.csv", "global_points.csv")
# Central pupil frame (x left, y up, z forward) to head axes (x forward, y left, z up).
R_HEAD_CPF = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
# Gen1's device frame (its left SLAM camera) in the central pupil frame, from the factory model; three digits
# are enough for axes that point forward, left and up.
R_CPF_DEVICE_GEN1 = np.array([[-0.032, 0.793, 0.608], [-0.999, 0.0, -0.052], [-0.042, -0.609, 0.792]])


def read_trajectory(path: str | Path, *, min_quality: float = 0.75) -> Trajectory:
    """Poses of an MPS `closed_loop_trajectory.csv`, device clock, world frame.

    Rows are kept as uneven as they are; duplicates in time and rows below `min_quality` (MPS marks the first
    tenths of a second with 0.5) are dropped.

    Raises:
        RecordingError: not such a file, no row of that quality, times run backwards, or gravity isn't along -z.
    """
    path = Path(path)
    position = ("tx_world_device", "ty_world_device", "tz_world_device")
    quaternion = ("qx_world_device", "qy_world_device", "qz_world_device", "qw_world_device")
    gravity = ("gravity_x_world", "gravity_y_world", "gravity_z_world")
    wanted = ("tracking_timestamp_us", *position, *quaternion, *gravity, "quality_score")
    columns, _ = table.read_columns(path, wanted)
    t_s = table.numbers(path, columns, ("tracking_timestamp_us",), RecordingError)[:, 0] * 1e-6
    p, q = (table.numbers(path, columns, names, RecordingError) for names in (position, quaternion))
    keep = np.isfinite(t_s) & np.isfinite(p).all(axis=1) & np.isfinite(q).all(axis=1)
    if "quality_score" in columns:
        keep &= columns["quality_score"] >= min_quality
    if keep.sum() < 2:
        raise RecordingError(
            f"{path}: found {len(t_s)} poses, {int(keep.sum())} of them finite and of quality {min_quality:g} or more; "
            "expected at least 2; lower min_quality or run MPS again."
        )
    t_s, p, q = t_s[keep], p[keep], q[keep]
    step = np.diff(t_s)
    if (step < 0).any():
        raise RecordingError(
            f"{path}: times run backwards at row {int(np.argmax(step < 0)) + 1}; expected sorted rows."
        )
    first = np.concatenate([[True], step > 0])
    g_world = np.array([0.0, 0.0, -9.81])
    if all(name in columns for name in gravity):
        g_world = np.median(table.numbers(path, columns, gravity, RecordingError)[keep], axis=0)
    if not (g_world[2] < 0 and np.hypot(g_world[0], g_world[1]) < 0.02 * abs(g_world[2])):
        raise RecordingError(
            f"{path}: found gravity {np.round(g_world, 2).tolist()}; expected (0, 0, -9.81), a world with z up; "
            "rotate trajectory and map into such a frame."
        )
    q = q / np.linalg.norm(q, axis=1, keepdims=True)
    return Trajectory(t_s[first], p[first], q[first], g_world, source=str(path))


def find_cloud(folder: Path) -> Path | None:
    """The cloud file of an MPS folder (either of its names, in it or in `trajectory/`), or None."""
    for base in (folder / "trajectory", folder):
        for name in CLOUD_NAMES:
            if (base / name).is_file():
                return base / name
    return None


def read_cloud(path: str | Path) -> PointMap:
    """A map from `semidense_points.csv.gz`, `global_points.csv.gz`, .csv, .parquet or .npz; unfiltered.

    CSV columns: `px_world`, `py_world`, `pz_world` (m; also `x`, `y`, `z`), `inv_dist_std` (1/m), `dist_std` (m).
    npz: `points_world_m` or `points`, (n, 3), and the two columns, optional.

    Raises:
        MapError: the file can't be read, or holds no points.
    """
    path = Path(path)
    axes = ("px_world", "py_world", "pz_world")
    columns, _ = table.read_columns(
        path, (*axes, "x", "y", "z", "inv_dist_std", "dist_std", "points_world_m", "points"), error=MapError
    )
    array = columns.get("points_world_m", columns.get("points"))
    if array is not None:
        if array.ndim != 2 or array.shape[1] != 3:
            raise MapError(f"{path}: found points of shape {array.shape}; expected (n, 3) in metres, z up.")
        points = array.astype(np.float64)
    else:
        plain = axes[0] not in columns and "x" in columns
        points = table.numbers(path, columns, ("x", "y", "z") if plain else axes, MapError)
    if not np.isfinite(points).all(axis=1).any():
        raise MapError(f"{path}: found {len(points)} points, none finite; expected a scanned room; is the file empty?")
    spread = {k: columns[k].astype(np.float64) for k in ("inv_dist_std", "dist_std") if k in columns}
    return PointMap(points, spread.get("inv_dist_std"), spread.get("dist_std"), source=str(path))


def read_vrs(path: str | Path, *, label: str = "imu-left", rectify: bool = True) -> ImuStream:
    """One IMU of a VRS file, by label, on the device clock, in the sensor's axes.

    Gen1 and Gen2 swap the stream ids of their two IMUs, hence labels only. Samples that the device marks as
    invalid are dropped, never filled.

    Args:
        label: "imu-left" (about 800 Hz on Gen1) or "imu-right" (about 1000 Hz).
        rectify: apply the factory calibration (bias, scale, misalignment).

    Raises:
        RecordingError: projectaria-tools is absent, the file is no VRS file, or has no such IMU.
    """
    provider, stream = _open_vrs(Path(path), label)
    samples = [provider.get_imu_data_by_index(stream, i) for i in range(provider.get_num_data(stream))]
    t_ns = np.array([s.capture_timestamp_ns for s in samples], dtype=np.int64)
    acc, gyro = np.array([s.accel_msec2 for s in samples]), np.array([s.gyro_radsec for s in samples])
    valid = np.array([s.accel_valid and s.gyro_valid for s in samples])
    device = provider.get_device_calibration()
    R_head_sensor = None
    if device is not None:
        calibration = device.get_imu_calib(label)
        if rectify:
            acc = _affine(calibration.raw_to_rectified_accel, acc)
            gyro = _affine(calibration.raw_to_rectified_gyro, gyro)
        R_cpf_device = device.get_transform_device_cpf().to_matrix()[:3, :3].T
        R_head_sensor = R_HEAD_CPF @ R_cpf_device @ calibration.get_transform_device_imu().to_matrix()[:3, :3]
    imu = ImuStream(t_ns[valid] * 1e-9, acc[valid], gyro[valid], "sensor", R_head_sensor, label, str(path))
    return imu.validate(min_duration_s=0.1)


def _open_vrs(path: Path, label: str) -> tuple:
    """The data provider of a VRS file and the stream id of the labelled IMU."""
    try:
        from projectaria_tools.core import data_provider
    except ImportError:
        raise RecordingError(
            f'{path}: reading VRS needs projectaria-tools, which is not installed; run: pip install "eailkit[aria]".'
        ) from None
    if not path.is_file() or path.stat().st_size == 0:
        raise RecordingError(f"{path}: no such file, or an empty one; expected a VRS recording; check the path.")
    try:
        provider = data_provider.create_vrs_data_provider(str(path))
    except RuntimeError:
        provider = None
    if provider is None:
        raise RecordingError(
            f"{path}: can't be opened as VRS; expected a whole Aria recording; it may be truncated: copy it again."
        )
    stream = provider.get_stream_id_from_label(label)
    if stream is None or not provider.get_num_data(stream):
        labels = sorted(
            x for x in map(provider.get_label_from_stream_id, provider.get_all_streams()) if "imu" in (x or "")
        )
        raise RecordingError(
            f"{path}: found no IMU '{label}'; expected one of {', '.join(labels) or 'none'}; use its label."
        )
    return provider, stream


def device_from_imu(path: str | Path, *, label: str = "imu-left") -> Float[np.ndarray, "3 3"] | None:
    """Rotation from the labelled IMU's axes to the device frame of MPS, from a VRS file's factory calibration."""
    provider, _ = _open_vrs(Path(path), label)
    device = provider.get_device_calibration()
    return None if device is None else device.get_imu_calib(label).get_transform_device_imu().to_matrix()[:3, :3]


def _affine(function, values: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Apply a calibration, affine in its 3-vector, to all samples at once."""
    offset = np.asarray(function([0.0, 0.0, 0.0]))
    columns = np.stack([np.asarray(function(list(e))) - offset for e in np.eye(3)], axis=1)
    return values @ columns.T + offset


def recover_imu(folder: str | Path, *, label: str = "imu-right") -> ImuStream:
    """The IMU that an MPS trajectory implies, 1 kHz, in device axes: for folders that come without VRS.

    The velocity of the device origin is moved to the IMU's origin (v + R (omega x r), r from
    `online_calibration.jsonl`), differentiated on an even 1 ms grid, and gravity is taken off. It is smoothed by
    the images that MPS used, hence better than any IMU alone: fine for trying things, not for evaluating.

    Raises:
        RecordingError: the trajectory has no velocities.
    """
    base = _trajectory_folder(Path(folder))
    path = base / "closed_loop_trajectory.csv"
    trajectory = read_trajectory(path)
    v_names = tuple(f"device_linear_velocity_{a}_device" for a in "xyz")
    w_names = tuple(f"angular_velocity_{a}_device" for a in "xyz")
    columns, _ = table.read_columns(path, ("tracking_timestamp_us", *v_names, *w_names))
    rows_s = table.numbers(path, columns, ("tracking_timestamp_us",), RecordingError)[:, 0] * 1e-6
    v, w = (table.numbers(path, columns, names, RecordingError) for names in (v_names, w_names))
    lever_m = _lever_arm(base / "online_calibration.jsonl", label)
    v_world = Rotation.from_quat(trajectory.quat_world_device_xyzw).apply(
        v[(rows := np.searchsorted(rows_s, trajectory.t_s - 1e-9))] + np.cross(w[rows], lever_m)
    )
    t_s = np.arange(np.ceil(trajectory.t_s[0] * 1e3), np.floor(trajectory.t_s[-1] * 1e3)) * 1e-3
    interpolate = lambda values: np.stack([np.interp(t_s, trajectory.t_s, values[:, k]) for k in range(3)], axis=1)  # noqa: E731
    q = trajectory.quat_world_device_xyzw
    flips = np.where(np.sum(q[1:] * q[:-1], axis=1) < 0, -1.0, 1.0)  # q and -q are one rotation: stay on one side
    q = q * np.concatenate([[1.0], np.cumprod(flips)])[:, None]
    q_even = np.stack([np.interp(t_s, trajectory.t_s, q[:, k]) for k in range(4)], axis=1)
    acc_world = np.gradient(interpolate(v_world), 1e-3, axis=0) - trajectory.gravity_world_mps2
    acc = Rotation.from_quat(q_even).inv().apply(acc_world)
    R_head_device = R_HEAD_CPF @ R_CPF_DEVICE_GEN1
    imu = ImuStream(t_s, acc, interpolate(w[rows]), "sensor", R_head_device, f"{label} (recovered from MPS)", str(path))
    return imu.validate(min_duration_s=0.1)


def _lever_arm(path: Path, label: str) -> Float[np.ndarray, " 3"]:
    """Origin of the labelled IMU in the device frame, m; zero where the folder has no calibration."""
    if not path.is_file():
        return np.zeros(3)
    with path.open() as lines:
        first = json.loads(lines.readline())
    for sensor in first.get("ImuCalibrations", []):
        if sensor.get("Label") == label:
            return np.array(sensor["T_Device_Imu"]["Translation"])
    return np.zeros(3)


def _with_mounting(imu: ImuStream, path: Path) -> ImuStream:
    """The stream with Gen1's rotation to the head, where its npz says how the IMU sits on the device."""
    names = tuple(f"T_device_imu_{side}_quat_xyzw" for side in ("left", "right"))
    columns = table.read_columns(path, names)[0] if path.suffix == ".npz" else {}
    for side, name in zip(("left", "right"), names, strict=True):
        if name in columns:
            R_device_imu = Rotation.from_quat(columns[name]).as_matrix()
            return replace(imu, R_head_sensor=R_HEAD_CPF @ R_CPF_DEVICE_GEN1 @ R_device_imu, label=f"imu-{side}")
    return imu


def _trajectory_folder(folder: Path) -> Path:
    for base in (folder, folder / "trajectory", folder / "slam"):
        if (base / "closed_loop_trajectory.csv").is_file():
            return base
    raise RecordingError(
        f"{folder}: found no closed_loop_trajectory.csv in it or its trajectory/; expected an MPS folder, a take "
        "folder of Ego-Exo4D, a VRS file or a table; check the path."
    )


def open_mps(folder: str | Path, *, imu: str = "imu-left") -> Recording:
    """A recording from an MPS folder: trajectory, cloud, and the IMU of the VRS or table beside them.

    Without a VRS, CSV, Parquet or npz with IMU samples in the folder, the IMU is recovered from the trajectory.

    Raises:
        RecordingError: no trajectory, or a file that can't be right.
    """
    folder = Path(folder)
    base = _trajectory_folder(folder)
    home = base.parent if base != folder else folder
    trajectory = read_trajectory(base / "closed_loop_trajectory.csv")
    vrs = sorted(home.glob("*.vrs"))
    tables = [
        p
        for p in (home / f"{imu}.parquet", *sorted(home.glob("*imu*.npz")), *sorted(home.glob("*imu*.csv")))
        if p.is_file()
    ]
    if vrs:
        stream = read_vrs(vrs[0], label=imu)
    elif tables:
        stream = _with_mounting(table.read_imu(tables[0]), tables[0])
    else:
        stream = recover_imu(folder)
    cloud = find_cloud(folder)
    return Recording(
        name=folder.name,
        imu=stream,
        trajectory=trajectory,
        map=read_cloud(cloud) if cloud else None,
        map_source=str(cloud) if cloud else "",
    )
