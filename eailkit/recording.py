"""What data is: one recording of one wearer, with units, frames and clocks in the names.

Every reader yields these types and everything downstream takes them. Nothing here reads files,
filters or resamples; `validate` only looks and says in one sentence what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Bool, Float

from eailkit.errors import MapError, RecordingError

GRAVITY_MPS2 = 9.81  # design convention: gravity is (0, 0, -9.81) in a z-up world


@dataclass(frozen=True)
class ImuStream:
    """Accelerometer and gyroscope samples of one sensor on one clock.

    Attributes:
        t_s: sample times on the device clock, seconds, strictly increasing, (n,).
        acc_mps2: specific force, gravity included (a resting sensor reads +9.81 upwards), (n, 3).
        gyro_radps: angular rate, (n, 3).
        frame: axes of both: "sensor", "head" (x forward, y left, z up) or "gravity" (z up, heading arbitrary).
        R_head_sensor: rotation that takes sensor axes to head axes, or None where the source doesn't say.
        label: name of the sensor, such as "imu-left".
        source: file that it came from, for messages.
    """

    t_s: Float[np.ndarray, " n"]
    acc_mps2: Float[np.ndarray, "n 3"]
    gyro_radps: Float[np.ndarray, "n 3"]
    frame: str = "sensor"
    R_head_sensor: Float[np.ndarray, "3 3"] | None = None
    label: str = "imu"
    source: str = "IMU"

    def __len__(self) -> int:
        return len(self.t_s)

    @property
    def rate_hz(self) -> float:
        """Sample rate: one over the median step."""
        return float(1.0 / np.median(np.diff(self.t_s))) if len(self) > 1 else float("nan")

    @property
    def duration_s(self) -> float:
        """Time from the first sample to the last."""
        return float(self.t_s[-1] - self.t_s[0]) if len(self) else 0.0

    def crop(self, start_s: float, end_s: float) -> ImuStream:
        """The samples with start_s <= t < end_s, as views."""
        a, b = np.searchsorted(self.t_s, [start_s, end_s])
        return replace(self, t_s=self.t_s[a:b], acc_mps2=self.acc_mps2[a:b], gyro_radps=self.gyro_radps[a:b])

    def in_head_frame(self) -> ImuStream:
        """The same samples in head axes (x forward, y left, z up).

        Raises:
            RecordingError: the source doesn't say how the sensor sits on the head.
        """
        if self.frame == "head":
            return self
        if self.frame != "sensor" or self.R_head_sensor is None:
            raise RecordingError(
                f"{self.source}: found an IMU in frame '{self.frame}' without a rotation to the head; "
                "expected R_head_sensor; give the sensor's mounting or use frame='gravity'."
            )
        R = self.R_head_sensor
        return replace(self, acc_mps2=self.acc_mps2 @ R.T, gyro_radps=self.gyro_radps @ R.T, frame="head")

    def validate(self, *, min_duration_s: float = 1.0, max_gap_s: float = 0.1) -> ImuStream:
        """Return self, or say in one sentence what can't be right about it.

        Checks shapes, length, NaN, clock order, gaps, units (g, deg/s), swapped streams and identical axes.

        Raises:
            RecordingError: with the first fault found.
        """
        fault = _imu_fault(self, min_duration_s, max_gap_s)
        if fault:
            raise RecordingError(f"{self.source}: {fault}")
        return self


def _imu_fault(imu: ImuStream, min_duration_s: float, max_gap_s: float) -> str | None:
    n = len(imu.t_s)
    if imu.acc_mps2.shape != (n, 3) or imu.gyro_radps.shape != (n, 3):
        return (
            f"found acc {imu.acc_mps2.shape} and gyro {imu.gyro_radps.shape} for {n} times; "
            "expected (n, 3) each; check the columns."
        )
    if n < 2:
        return f"found {n} samples; expected at least {min_duration_s:g} s of them; is the file empty or truncated?"
    for name, values in (("times", imu.t_s), ("acc", imu.acc_mps2), ("gyro", imu.gyro_radps)):
        bad = int((~np.isfinite(values)).sum())
        if bad:
            return (
                f"found {bad} NaN or infinite values in {name}; expected none; cut them out or interpolate them first."
            )
    step = np.diff(imu.t_s)
    if (step <= 0).any():
        i = int(np.argmax(step <= 0))
        return (
            f"found a time step of {step[i]:.6f} s at row {i + 1}; expected strictly increasing times; "
            "sort the rows and drop duplicates."
        )
    if imu.t_s[-1] - imu.t_s[0] < min_duration_s * 0.99:
        return (
            f"found {imu.t_s[-1] - imu.t_s[0]:.2f} s; expected at least {min_duration_s:g} s; give a longer recording."
        )
    if step.max() > max_gap_s:
        i = int(step.argmax())
        return (
            f"found a gap of {step[i]:.2f} s after {imu.t_s[i] - imu.t_s[0]:.2f} s; expected none above "
            f"{max_gap_s:g} s; split the recording there."
        )
    norm = float(np.median(np.linalg.norm(imu.acc_mps2, axis=1)))
    gyro_norm = float(np.median(np.linalg.norm(imu.gyro_radps, axis=1)))
    if 7.0 < gyro_norm < 12.0 and norm < 7.0:
        return (
            f"found |gyro| near {gyro_norm:.1f} and |acc| near {norm:.1f}; expected gravity in acc; are they swapped?"
        )
    if 0.8 < norm < 1.2:
        return f"found |acc| near {norm:.2f}; expected about 9.81 m/s²; it looks like g: multiply by 9.80665."
    # In a flight phase |acc| falls towards zero and a runner's median with it (a real one's: 7.0); the mean can't fall
    # below gravity for long, as |E[f]| <= E|f| and the mean acceleration over a recording is near zero.
    mean = float(np.linalg.norm(imu.acc_mps2, axis=1).mean())
    if mean <= 7.0 or norm >= 13.0:
        norm = mean if mean <= 7.0 else norm
        return f"found |acc| near {norm:.2f}; expected about 9.81 m/s² with gravity included; check unit and columns."
    rate = float(np.percentile(np.linalg.norm(imu.gyro_radps, axis=1), 90))
    if rate > 12.0:  # a head turns at up to 10 rad/s for moments; 90 % of the time it is far slower
        return f"found |gyro| of {rate:.0f} at the 90th percentile; expected rad/s; if it is deg/s, multiply by pi/180."
    for name, values in (("acc", imu.acc_mps2), ("gyro", imu.gyro_radps)):
        for i, j in ((0, 1), (0, 2), (1, 2)):
            if np.array_equal(values[:, i], values[:, j]):
                return f"found {name} axes {'xyz'[i]} and {'xyz'[j]} identical; expected three; check the columns."
    return None


@dataclass(frozen=True)
class Trajectory:
    """Poses of the device in the map's frame (metres, z up), on the device clock.

    Attributes:
        t_s: seconds, strictly increasing, (n,).
        position_world_m: (n, 3).
        quat_world_device_xyzw: unit quaternions, device to world, (n, 4).
        gravity_world_mps2: (3,), about (0, 0, -9.81).
    """

    t_s: Float[np.ndarray, " n"]
    position_world_m: Float[np.ndarray, "n 3"]
    quat_world_device_xyzw: Float[np.ndarray, "n 4"]
    gravity_world_mps2: Float[np.ndarray, " 3"] = field(default_factory=lambda: np.array([0.0, 0.0, -GRAVITY_MPS2]))
    source: str = "trajectory"

    def position_at(self, t_s: Float[np.ndarray, " m"]) -> Float[np.ndarray, "m 3"]:
        """Positions interpolated linearly at the given times; NaN outside the trajectory's span."""
        return np.stack(
            [np.interp(t_s, self.t_s, self.position_world_m[:, k], left=np.nan, right=np.nan) for k in range(3)], axis=1
        )


@dataclass(frozen=True)
class PointMap:
    """A semi-dense point cloud of a room (metres, z up, the trajectory's frame).

    Attributes:
        points_world_m: (n, 3).
        inv_dist_std: standard deviation of the inverse distance, 1/m, (n,), or None where unknown.
        dist_std: standard deviation of the distance, m, (n,), or None.
    """

    points_world_m: Float[np.ndarray, "n 3"]
    inv_dist_std: Float[np.ndarray, " n"] | None = None
    dist_std: Float[np.ndarray, " n"] | None = None
    source: str = "map"

    def __len__(self) -> int:
        return len(self.points_world_m)

    def confident(self, *, max_inv_dist_std: float = 0.001, max_dist_std: float = 0.05) -> PointMap:
        """The points that pass the usual confidence filter of MPS clouds (both limits inclusive).

        Raises:
            MapError: no point is left.
        """
        keep: Bool[np.ndarray, " n"] = np.isfinite(self.points_world_m).all(axis=1)
        if self.inv_dist_std is not None:
            keep &= self.inv_dist_std <= max_inv_dist_std
        if self.dist_std is not None:
            keep &= self.dist_std <= max_dist_std
        if not keep.any():
            raise MapError(
                f"{self.source}: found {len(self)} points, none of which passes the confidence filter "
                f"(inv_dist_std <= {max_inv_dist_std:g}, dist_std <= {max_dist_std:g}); expected a scanned room."
            )
        pick = lambda values: None if values is None else values[keep]  # noqa: E731
        return replace(
            self,
            points_world_m=self.points_world_m[keep],
            inv_dist_std=pick(self.inv_dist_std),
            dist_std=pick(self.dist_std),
        )


@dataclass(frozen=True)
class Narration:
    """One sentence that an annotator wrote about the wearer, at a moment on the device clock."""

    t_s: float
    text: str


@dataclass(frozen=True)
class ActionSegment:
    """A labelled action from start to end (seconds, device clock); `label` is the class name."""

    start_s: float
    end_s: float
    label: str


@dataclass(frozen=True)
class Recording:
    """One take: what a reader found, on one clock. Parts that the source lacks are None or empty.

    Attributes:
        frame_times_s: times of egocentric frames, (f,).
        load_frames: called with frame indices, returns uint8 images (len, height, width, 3); None without video.
        room, participant, split: names as the source gives them, "" where it doesn't.
        map_source: take or scan that the map came from (never the take under evaluation), for messages.
    """

    name: str
    imu: ImuStream
    trajectory: Trajectory | None = None
    map: PointMap | None = None
    narrations: tuple[Narration, ...] = ()
    actions: tuple[ActionSegment, ...] = ()
    frame_times_s: Float[np.ndarray, " f"] = field(default_factory=lambda: np.zeros(0))
    load_frames: Callable[[list[int]], np.ndarray] | None = None
    room: str = ""
    participant: str = ""
    split: str = ""
    map_source: str = ""
