"""The same heads with the sensor elsewhere: held-out scenarios simulated again, row by row.

People, motion, device and seed are the same, and the sensor sits at the other temple, on the forehead or in the ear;
only lever arm and mounting differ. It doesn't simulate glasses that slip or an earbud that rattles: the head is rigid.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from eailkit.datasets import EgoExo4D
from eailkit.errors import DatasetError
from eailkit.fewshot.windows import ActivityWindows
from eailkit.preprocess.imu import resample
from eailkit.preprocess.windows import RATE_HZ
from eailkit.recording import ImuStream
from eailkit.results.names import TRAINED
from eailkit.scenarios.dataset import scenario_of
from eailkit.scenarios.take import simulate_scenario
from eailkit.synthkitchen.folder import SIDECAR
from eailkit.synthkitchen.person import draw_person
from eailkit.synthkitchen.posture import DEVICE_FROM_NECK_M
from eailkit.synthkitchen.sensor import ARIA_LEFT, simulate_imu
from eailkit.synthkitchen.splits import TakeJob

SIDE_M = DEVICE_FROM_NECK_M[1]  # the glasses' origin is this far left of the head's middle


@dataclass(frozen=True)
class Place:
    """Where a sensor sits: its position from the glasses' origin (m, head axes) and its axes in head axes."""

    lever_arm_head_m: tuple[float, float, float]
    R_head_sensor: Float[np.ndarray, "3 3"]


def _columns(*axes: Sequence[float]) -> np.ndarray:
    return np.array(axes, float).T


def _mirrored(place: Place) -> Place:
    """The same board on the other side of the head; one axis is turned round, since a mirror image is no rotation."""
    x, y, z = place.lever_arm_head_m
    mirror, flip = np.diag([1.0, -1.0, 1.0]), np.diag([-1.0, 1.0, 1.0])
    return Place((x, -2 * SIDE_M - y, z), mirror @ place.R_head_sensor @ flip)


_LEFT = Place(ARIA_LEFT.lever_arm_head_m, ARIA_LEFT.R_head_sensor)
PLACES: dict[str, Place] = {  # x forward, y left, z up of the glasses' origin at the left temple
    TRAINED: _LEFT,
    "right temple": _mirrored(_LEFT),
    # flat on the skin: x right, y up, z into the head, leaned back by 15 degrees
    "forehead": Place(
        (0.02, -SIDE_M, 0.05),
        Rotation.from_euler("y", -15, degrees=True).as_matrix() @ _columns((0, -1, 0), (0, 0, 1), (-1, 0, 0)),
    ),
    # an earbud on the left: 9 cm behind the temple, y out along the ear canal, the stem ahead and down
    "ear": Place((-0.09, 0.015, -0.02), Rotation.from_euler("zyx", [-20, 50, 10], degrees=True).as_matrix()),
}


def windows_at(root: str | Path, windows: ActivityWindows, places: Mapping[str, Place]) -> dict[str, ActivityWindows]:
    """The same rows as the sensor would have recorded them at other places.

    Args:
        root: scenarios on disk, from which `windows` were cut (times on the device clock).
        places: name -> place.

    Raises:
        DatasetError: a recording of the windows isn't a simulated scenario of that root.
    """
    dataset = EgoExo4D(Path(root))
    found = {name: np.empty_like(windows.imu) for name in places}
    for recording in dict.fromkeys(windows.recording.tolist()):
        path = Path(root) / "takes" / recording / SIDECAR
        try:
            job = TakeJob(**json.loads(path.read_text(encoding="utf-8"))["job"])
            take = simulate_scenario(
                scenario_of(job), draw_person(job.person_seed), job.minutes, job.seed, take_name=job.name,
                device_seed=job.device_seed,
            )  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError) as fault:
            raise DatasetError(
                f"{path}: can't be simulated again ({str(fault)[:100]}); expected a scenario of `eailkit synth "
                "--scenarios`; only simulated takes have their motion."
            ) from fault
        rows = np.flatnonzero(windows.recording == recording)
        start_s = dataset.start_s(recording)
        for name, place in places.items():
            sensor = replace(
                ARIA_LEFT, label=name, lever_arm_head_m=place.lever_arm_head_m, R_head_sensor=place.R_head_sensor
            )
            stream = simulate_imu(take.motion, sensor, job.seed, device=take.device)
            found[name][rows] = _cut(stream, start_s, windows.start_s[rows], windows.imu.shape[2])
    return {name: replace(windows, imu=imu, name=f"{windows.name}, {name}") for name, imu in found.items()}


def _cut(stream: ImuStream, origin_s: float, start_s: np.ndarray, length: int) -> Float[np.ndarray, "n 6 length"]:
    even = resample(stream, RATE_HZ, start_s=origin_s)
    first = np.round((start_s - even.t_s[0]) * RATE_HZ).astype(int)
    samples = np.concatenate([even.acc_mps2, even.gyro_radps], axis=1)
    return samples[first[:, None] + np.arange(length)].transpose(0, 2, 1).astype(np.float32)
