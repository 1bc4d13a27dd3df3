"""Any CSV, Parquet or npz with IMU samples: columns by name, units by name, one sentence for what is wrong.

It reads the tables that users bring and those that the other readers are made of. It doesn't
guess: a time column says its unit, acceleration is in m/s² with gravity, rotation in rad/s.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from eailkit.errors import EailkitError, RecordingError
from eailkit.recording import ImuStream

TIME_COLUMNS = {  # accepted time columns and what to multiply them with to get seconds
    **dict.fromkeys(("t_s", "time_s", "timestamp_s"), 1.0),
    **dict.fromkeys(("t_ms", "time_ms", "timestamp_ms", "canonical_timestamp_ms"), 1e-3),
    **dict.fromkeys(("t_us", "time_us", "timestamp_us", "tracking_timestamp_us"), 1e-6),
    **dict.fromkeys(("t_ns", "time_ns", "timestamp_ns", "capture_timestamp_ns"), 1e-9),
}
ACC_PREFIXES = ("acc_", "accl_", "accel_", "accelerometer_", "acc", "accel", "a")
GYRO_PREFIXES = ("gyro_", "gyr_", "gyroscope_", "gyro", "gyr", "g", "w")
EXPECTED = "a time column (t_s, t_ms, t_us or t_ns), acc_x, acc_y, acc_z in m/s² and gyro_x, gyro_y, gyro_z in rad/s"


def read_columns(
    path: Path, columns: tuple[str, ...] | None = None, *, error: type[EailkitError] = RecordingError
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Columns of a .csv, .csv.gz, .parquet or .npz as numpy arrays, and the file's own metadata.

    Args:
        path: the file.
        columns: the ones to read (all where None); those that the file lacks are left out of the result.
        error: class to raise.

    Raises:
        EailkitError: of class `error`: the file is missing, empty, truncated or not a table.
    """
    path = Path(path)
    if not path.is_file():
        raise error(f"{path}: no such file; expected a .csv, .csv.gz, .parquet or .npz table; check the path.")
    if path.stat().st_size == 0:
        raise error(f"{path}: the file is empty (0 bytes); expected a table; copy or download it again.")
    name = path.name.lower()
    try:
        if name.endswith(".npz"):
            with np.load(path, allow_pickle=False) as archive:
                return {k: archive[k] for k in archive.files if columns is None or k in columns}, {}
        if name.endswith(".parquet"):
            return _read_parquet(path, columns)
        if name.endswith((".csv", ".csv.gz", ".txt")):
            return _read_csv(path, columns), {}
    except (pa.ArrowException, zipfile.BadZipFile, OSError, EOFError, ValueError, UnicodeDecodeError) as fault:
        first_line = (str(fault).strip().splitlines() or [type(fault).__name__])[0]
        raise error(
            f"{path}: can't be read as a table ({first_line.rstrip('.')[:160]}); expected a complete "
            f"{''.join(path.suffixes[-2:])} file; it may be truncated: copy or download it again."
        ) from None
    raise error(f"{path}: found a file of type '{path.suffix}'; expected .csv, .csv.gz, .parquet or .npz.")


def _read_parquet(path: Path, columns: tuple[str, ...] | None) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    file = pa.parquet.ParquetFile(path)
    present = [c for c in file.schema_arrow.names if columns is None or c in columns]
    table = file.read(columns=present)
    return {c: table[c].to_numpy() for c in present}, _metadata(file)


def _metadata(file: pa.parquet.ParquetFile) -> dict[str, str]:
    return {k.decode(): v.decode() for k, v in (file.schema_arrow.metadata or {}).items() if k != b"ARROW:schema"}


def read_metadata(path: Path) -> dict[str, str]:
    """A Parquet file's own key-value metadata (`label`, `R_head_sensor`, `T_device_imu`), without its columns."""
    with pa.parquet.ParquetFile(path) as file:
        return _metadata(file)


def _read_csv(path: Path, columns: tuple[str, ...] | None) -> dict[str, np.ndarray]:
    with pa.csv.open_csv(path) as head:
        present = [c for c in head.schema.names if columns is None or c.strip() in columns]
    if not present:
        return {}
    table = pa.csv.read_csv(path, convert_options=pa.csv.ConvertOptions(include_columns=present))
    return {c.strip(): table[c].to_numpy() for c in present}


def numbers(
    path: Path, columns: dict[str, np.ndarray], names: tuple[str, ...], error: type[EailkitError]
) -> np.ndarray:
    """The named columns as float64, (rows, names); text and missing columns raise `error` with one sentence."""
    missing = [n for n in names if n not in columns]
    if missing:
        raise error(
            f"{path}: found columns {', '.join(sorted(columns)[:12]) or 'none'}; expected {', '.join(missing)} too; "
            "check that it is the right file."
        )
    for n in names:
        if len(columns[n]) and columns[n].dtype.kind not in "fiub":
            raise error(
                f"{path}: found text in column {n}; expected numbers; is there a second header or a broken row?"
            )
    return np.stack([columns[n].astype(np.float64) for n in names], axis=1)


def _axes(columns: dict[str, np.ndarray], prefixes: tuple[str, ...]) -> tuple[str, ...] | None:
    lower = {c.lower(): c for c in columns}
    for prefix in prefixes:
        names = tuple(lower.get(prefix + axis, "") for axis in "xyz")
        if all(names):
            return names
    return None


def _time_s(path: Path, columns: dict[str, np.ndarray]) -> np.ndarray:
    for name, scale in TIME_COLUMNS.items():
        if name in columns:
            values = numbers(path, columns, (name,), RecordingError)[:, 0]
            return values * scale
    raise RecordingError(
        f"{path}: found no time column with a unit among {', '.join(sorted(columns)[:12]) or 'no columns'}; "
        "expected t_s, t_ms, t_us or t_ns; rename yours after its unit."
    )


def read_imu(path: str | Path, *, label: str = "") -> ImuStream:
    """One IMU from a table, on the table's own clock, in sensor axes.

    Columns (aliases such as `accl_x`, `ax`, `gyr_x`, `gx` are accepted): a time `t_s`, `t_ms`, `t_us` or `t_ns`;
    `acc_x`, `acc_y`, `acc_z`: specific force with gravity, m/s²; `gyro_x`, `gyro_y`, `gyro_z`: rad/s. An npz may
    hold `acc` and `gyro` of shape (n, 3) instead (or `acc_imu`, `gyro_imu`) and `R_head_sensor`, (3, 3). Parquet
    metadata may hold `label` and `R_head_sensor` (JSON, 3 × 3), the rotation from sensor to head axes.

    Raises:
        RecordingError: the file can't be read, or what it holds can't be right (see `ImuStream.validate`).

    Example:
        >>> imu = read_imu("walk.csv")  # doctest: +SKIP
        >>> imu.rate_hz, imu.acc_mps2.shape  # doctest: +SKIP
        (400.0, (24000, 3))
    """
    path = Path(path)
    columns, metadata = read_columns(path)
    rotation = json.loads(metadata["R_head_sensor"]) if metadata.get("R_head_sensor") else columns.get("R_head_sensor")
    t_s = _time_s(path, columns)
    acc, gyro = (_vectors(path, columns, kind) for kind in ("acc", "gyro"))
    rows = {len(t_s), len(acc), len(gyro)}
    if len(rows) > 1:
        raise RecordingError(
            f"{path}: found {len(t_s)} times, {len(acc)} acc and {len(gyro)} gyro rows; expected as many of each."
        )
    if not len(t_s):
        raise RecordingError(f"{path}: found a header without rows; expected IMU samples; is the file truncated?")
    whole = np.concatenate([t_s[:, None], acc, gyro], axis=1)
    if np.isnan(whole[-1]).any() and np.isfinite(whole[:-1]).all():
        raise RecordingError(
            f"{path}: the last row is incomplete; expected 7 numbers; the file is truncated: copy it again."
        )
    imu = ImuStream(
        t_s=t_s,
        acc_mps2=acc,
        gyro_radps=gyro,
        R_head_sensor=None if rotation is None else np.asarray(rotation, dtype=np.float64).reshape(3, 3),
        label=metadata.get("label") or label or path.stem,
        source=str(path),
    )
    return imu.validate(min_duration_s=0.1)


def _vectors(path: Path, columns: dict[str, np.ndarray], kind: str) -> np.ndarray:
    """(n, 3) float64 of "acc" or "gyro", from three columns or from one array of an npz."""
    for name in (kind, f"{kind}_imu", f"{kind}_sensor", {"acc": "acc_mps2", "gyro": "gyro_radps"}[kind]):
        if name in columns and columns[name].ndim == 2 and columns[name].shape[1] == 3:
            return columns[name].astype(np.float64)
    names = _axes(columns, ACC_PREFIXES if kind == "acc" else GYRO_PREFIXES)
    if names is None:
        raise RecordingError(
            f"{path}: found columns {', '.join(sorted(columns)[:12]) or 'none'} without {kind}_x, {kind}_y, {kind}_z; "
            f"expected {EXPECTED}; rename the columns."
        )
    return numbers(path, columns, names, RecordingError)
