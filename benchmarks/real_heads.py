"""Real head-worn recordings for the comparison: ClassyGlass 1A and the Aria walk, in the simulator's units.

Dataset 1B of ClassyGlass is a test set of later experiments: nothing is computed on it here. `eailkit.datasets` reads
these files too, but keeps the accelerometer's own times; the published statistics come from one grid that begins with
the later sensor, whose interpolation takes away up to two thirds of the power above 32 Hz of a wearer, so this does.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

RATE_HZ = 100.0
TRIM_S = 5.0


@dataclass(frozen=True)
class HeadRecording:
    """Accelerometer (m/s2) and gyroscope (rad/s) at the same times of a regular grid."""

    participant: str
    activity: str
    acc_mps2: Float[np.ndarray, "n 3"]
    gyro_radps: Float[np.ndarray, "n 3"]
    rate_hz: float


def real_folder() -> Path:
    """The folder of real recordings.

    Raises:
        SystemExit: EAILKIT_REAL_DATA names none.
    """
    named = os.environ.get("EAILKIT_REAL_DATA", "")
    if not named or not Path(named).is_dir():
        raise SystemExit(f"EAILKIT_REAL_DATA: found '{named}'; expected the folder of real recordings; set it.")
    return Path(named)


def published(folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """activity -> statistic -> p10, p50, p90 over the twelve wearers of 1A, as the file of real statistics has them."""
    content = json.loads((folder / "realism_stats.json").read_text(encoding="utf-8"))
    return content["classyglass_100Hz_right_temple"]["activities"]


def classyglass(folder: Path, activities: set[str]) -> Iterator[HeadRecording]:
    """Recordings of dataset 1A, both sensors brought to one grid of 100 Hz, five seconds off at both ends."""
    with (folder / "classyglass" / "index.csv").open(encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["dataset"] == "1A" and row["activity"] in activities]
    for row in rows:
        with np.load(folder / "classyglass" / row["npz"]) as stored:
            if not {f"{row['key']}_acc", f"{row['key']}_gyr"} <= set(stored.files):
                continue
            acc_t, acc = _stream(stored, f"{row['key']}_acc", 9.80665 / 1000.0)
            gyro_t, gyro = _stream(stored, f"{row['key']}_gyr", np.pi / 180.0 / 16.4)
        t = np.arange(max(acc_t[0], gyro_t[0]) + TRIM_S, min(acc_t[-1], gyro_t[-1]) - TRIM_S, 1.0 / RATE_HZ)
        on_grid = lambda at, values: np.stack([np.interp(t, at, v) for v in values.T], axis=1)  # noqa: E731, B023
        yield HeadRecording(row["user"], row["activity"], on_grid(acc_t, acc), on_grid(gyro_t, gyro), RATE_HZ)


def _stream(stored, name: str, unit: float) -> tuple[np.ndarray, np.ndarray]:
    values = stored[name].astype(float) * unit
    t = (float(stored[f"{name}_t0ms"]) + np.r_[0.0, np.cumsum(stored[f"{name}_dtms"].astype(float))]) / 1000.0
    return t[: len(values)], values[: len(t)]


def aria_walk(folder: Path) -> HeadRecording:
    """The Aria walk of 11.3 s at 1 kHz, in device axes."""
    with np.load(folder / "aria_walk" / "aria_walk_imu_right_1khz.npz") as stored:
        return HeadRecording(
            "aria", "walking", stored["acc_device"].astype(float), stored["gyro_device"].astype(float), 1000.0
        )
