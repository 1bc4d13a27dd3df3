"""What is true of each second of a take: its caption, action, frame, and heading (device-clock times in).

Labels are for training, references and figures. A model at work sees none of them.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation, Slerp

from eailkit.recording import ImuStream, Recording

CAPTION_REACH_S = 2.0
FRAME_REACH_S = 0.5


def caption_seconds(recording: Recording, mid_s: Float[np.ndarray, " seconds"]) -> list[str]:
    """For each device time the nearest narration within 2 s, or "".

    The paper pairs a second with "its" caption. Ego-Exo4D's narrations are points in time, some late by a
    second or two and a few seconds apart, so a second without one of its own borrows its neighbour's.
    """
    if not recording.narrations:
        return [""] * len(mid_s)
    said_s = np.array([n.t_s for n in recording.narrations])
    distance = np.abs(mid_s[:, None] - said_s)
    nearest = distance.argmin(axis=1)
    near = distance.min(axis=1) <= CAPTION_REACH_S
    return [recording.narrations[i].text if ok else "" for i, ok in zip(nearest, near, strict=True)]


def action_seconds(recording: Recording, mid_s: Float[np.ndarray, " seconds"], names: tuple[str, ...]) -> np.ndarray:
    """For each device time the class of the segment that covers it (the one that began last), or -1; int16."""
    index = {name: i for i, name in enumerate(names)}
    label = np.full(len(mid_s), -1, dtype=np.int16)
    for segment in sorted(recording.actions, key=lambda s: s.start_s):
        label[(mid_s >= segment.start_s) & (mid_s < segment.end_s)] = index[segment.label]
    return label


def frame_seconds(recording: Recording, mid_s: Float[np.ndarray, " seconds"]) -> tuple[np.ndarray, list[int]]:
    """The video frame nearest to each device time, within half a second.

    Returns:
        rows: for each time its index into `numbers`, -1 where no frame is near, int32.
        numbers: the video's frame numbers that are needed, ascending.
    """
    times = recording.frame_times_s
    if not len(times):
        return np.full(len(mid_s), -1, dtype=np.int32), []
    after = np.clip(np.searchsorted(times, mid_s), 0, len(times) - 1)
    before = np.maximum(after - 1, 0)
    nearest = np.where(np.abs(times[before] - mid_s) <= np.abs(times[after] - mid_s), before, after)
    near = np.abs(times[nearest] - mid_s) <= FRAME_REACH_S + 1e-6
    numbers = sorted(set(nearest[near].tolist()))
    rows = np.where(near, np.searchsorted(numbers, nearest) if numbers else 0, -1)
    return rows.astype(np.int32), numbers


def heading_seconds(
    recording: Recording,
    R_device_imu: Float[np.ndarray, "3 3"] | None,
    imu: ImuStream,
    quat_gravity_imu_xyzw: Float[np.ndarray, "n 4"],
    mid_s: Float[np.ndarray, " seconds"],
) -> Float[np.ndarray, " seconds"]:
    """Angle about z, rad, that takes the gravity frame to the map's frame: a vector's map axes are Rz(heading) v.

    It compares the true orientation with the filter's; the filter's heading drifts, so it changes slowly.

    Args:
        recording: with a trajectory.
        R_device_imu: how the IMU sits in the trajectory's device, or None where unknown.
        imu: the stream whose samples the quaternions belong to, sensor axes.
        quat_gravity_imu_xyzw: what `imu.orientation` returned.
        mid_s: device times.

    Returns:
        NaN where the trajectory or the mounting is unknown.
    """
    heading = np.full(len(mid_s), np.nan)
    truth = recording.trajectory
    if truth is None or R_device_imu is None:
        return heading
    known = (mid_s >= truth.t_s[0]) & (mid_s <= truth.t_s[-1])
    if not known.any():
        return heading
    R_world_device = Slerp(truth.t_s, Rotation.from_quat(truth.quat_world_device_xyzw))(mid_s[known])
    sample = np.clip(np.searchsorted(imu.t_s, mid_s[known]), 0, len(imu) - 1)
    R_gravity_imu = Rotation.from_quat(quat_gravity_imu_xyzw[sample])
    R = (R_world_device * Rotation.from_matrix(R_device_imu) * R_gravity_imu.inv()).as_matrix()
    heading[known] = np.arctan2(R[:, 1, 0] - R[:, 0, 1], R[:, 0, 0] + R[:, 1, 1])
    return heading
