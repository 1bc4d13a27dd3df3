"""One take in memory: plan, motion, sensor and words put together, on one device clock."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from eailkit.recording import ActionSegment, Narration, PointMap, Recording, Trajectory
from eailkit.synthkitchen.actions import ACTION_NAMES
from eailkit.synthkitchen.motion import head_motion
from eailkit.synthkitchen.motion_plan import MotionPlan
from eailkit.synthkitchen.narration import keysteps, narrate
from eailkit.synthkitchen.paths import FloorPaths, speed_along
from eailkit.synthkitchen.person import Person, draw_person
from eailkit.synthkitchen.plan import WALK, TakePlan, plan_take
from eailkit.synthkitchen.room import Room
from eailkit.synthkitchen.sensor import ARIA_LEFT, ImuDevice, ImuModel, draw_device, simulate_imu
from eailkit.synthkitchen.spline import HeadMotion
from eailkit.synthkitchen.things import thing_of

TRAJECTORY_HZ = 20.0


@dataclass(frozen=True)
class SimulatedTake:
    """A take and the truth behind it.

    Attributes:
        recording: what a reader would find, on the device clock, from the first IMU sample on.
        motion, plan: truth, in plan seconds; 0 is the first IMU sample.
        lead_s: plan seconds at which the take begins (take time 0).
        duration_s: length of the take.
        device: clock and errors of the glasses.
    """

    recording: Recording
    motion: HeadMotion
    plan: TakePlan
    device: ImuDevice
    lead_s: float
    duration_s: float

    def device_time(self, plan_s: float | Float[np.ndarray, " n"]) -> Float[np.ndarray, "*n"]:
        """Seconds on the device clock of plan seconds."""
        return self.device.clock_offset_s + self.device.clock_rate * np.asarray(plan_s, float)


def simulate_take(
    room: Room,
    person: Person,
    minutes: float,
    seed: int,
    *,
    name: str = "take",
    map: PointMap | None = None,
    sensor: ImuModel = ARIA_LEFT,
    device_seed: int | None = None,
    paths: FloorPaths | None = None,
) -> SimulatedTake:
    """Simulate a person's take in a room; the same for the same arguments.

    Recording starts 3-8 s before the take and ends 1 s after it. Labels and narrations are those of the
    take's own time.

    Args:
        minutes: length of the take, without the seconds around it.
        map: scan of the room to put into the recording.
        paths: the room's shortest paths, shared between takes for speed.

    Raises:
        ConfigError: minutes isn't positive.
    """
    lead_s = float(np.round(np.random.default_rng([seed, 0x1EAD]).uniform(3.0, 8.0), 2))
    duration_s = 60.0 * minutes
    plan = plan_take(room, person, (duration_s + lead_s + 1.0) / 60.0 if minutes > 0 else minutes, seed, paths=paths)
    motion = head_motion(plan.motion_plan(), person, seed)
    device = draw_device(sensor, seed, device_seed=device_seed)
    imu = simulate_imu(motion, sensor, seed, device=device)
    clock = lambda t: float(device.clock_offset_s + device.clock_rate * t)  # noqa: E731
    inside = lambda t: lead_s <= t <= lead_s + duration_s  # noqa: E731
    words = tuple(Narration(clock(n.t_s), n.text) for n in narrate(plan, person, seed, room=room) if inside(n.t_s))
    actions = tuple(
        ActionSegment(clock(max(k.start_s, lead_s)), clock(min(k.end_s, lead_s + duration_s)), k.label)
        for k in keysteps(plan, seed)
        if k.end_s > lead_s and k.start_s < lead_s + duration_s
    )
    recording = Recording(
        name=name,
        imu=imu,
        trajectory=sample_trajectory(motion, device, name),
        map=map,
        narrations=words,
        actions=actions,
        room=room.room_id,
    )
    return SimulatedTake(recording, motion, plan, device, lead_s, duration_s)


def sample_trajectory(motion: HeadMotion, device: ImuDevice, name: str) -> Trajectory:
    """Poses at TRAJECTORY_HZ on the device clock; device axes are head axes here."""
    t = np.arange(int(motion.duration_s * TRAJECTORY_HZ) + 1) / TRAJECTORY_HZ
    truth = motion.sample(t)
    return Trajectory(
        t_s=device.clock_offset_s + device.clock_rate * t,
        position_world_m=truth.position_m,
        quat_world_device_xyzw=truth.quat_world_head_xyzw,
        source=name,
    )


def scan_motion(room: Room, paths: FloorPaths, seed: int, *, places: int = 8) -> HeadMotion:
    """A slow walk through the free floor, as someone makes who maps a room: 0.5 m/s between spread-out spots."""
    rng = np.random.default_rng([seed, 0x5CA9])
    floor = paths.centre(np.arange(len(paths.cells)))
    spots = [floor[int(rng.integers(len(floor)))]]
    for _ in range(places - 1):
        distance = np.min([np.hypot(*(floor - spot).T) for spot in spots], axis=0)
        spots.append(floor[int(distance.argmax())])
    t, xy = [np.zeros(1)], [spots[0][None]]
    for a, b in zip(spots, spots[1:], strict=False):
        path = paths.path(a, b)
        t.append(t[-1][-1] + 0.5 + speed_along(path, 0.5)[1:])
        xy.append(path[1:])
    t_s, xy_m = np.concatenate(t), np.concatenate(xy)
    step = np.gradient(xy_m, axis=0)
    plan = MotionPlan(float(t_s[-1]), (), t_s, xy_m, np.unwrap(np.arctan2(step[:, 1], step[:, 0])))
    return head_motion(plan, draw_person(seed), seed)


def frame_hints(
    plan: TakePlan, room: Room, person: Person, when_s: Float[np.ndarray, " n"], head_m: Float[np.ndarray, "n 3"]
) -> tuple[Float[np.ndarray, "n 2 3"], Float[np.ndarray, "n 4"]]:
    """Where the hands are and what they hold, for rendering.

    Returns:
        left and right hand in the map frame (NaN where out of play), and the held thing's colour and shape
        (`things.thing_of`; NaN for none).
    """
    rng = np.random.default_rng(len(when_s))
    starts = np.array([s.start_s for s in plan.segments])
    hands, held = np.full((len(when_s), 2, 3), np.nan), np.full((len(when_s), 4), np.nan)
    things = [thing_of(ACTION_NAMES[s.action], rng) for s in plan.segments]
    for i, at in enumerate(np.clip(np.searchsorted(starts, when_s, "right") - 1, 0, None)):
        segment = plan.segments[at]
        if segment.action == WALK or (segment.fixture < 0 and segment.target_distance_m > 0.7):
            continue
        if segment.fixture >= 0:
            point = np.array([*room.fixtures[segment.fixture].work_point_m[:2], segment.target_height_m])
        else:
            ahead = segment.target_distance_m * np.array([np.cos(segment.facing_rad), np.sin(segment.facing_rad)])
            point = np.array([*(head_m[i, :2] + ahead), segment.target_height_m])
        reach = point - head_m[i]
        point = head_m[i] + reach * min(1.0, 0.75 / max(float(np.linalg.norm(reach)), 1e-6))
        side = np.array([-np.sin(segment.facing_rad), np.cos(segment.facing_rad), 0.0])
        hands[i, 0] = point + 0.1 * side + rng.normal(0.0, 0.03, 3)
        hands[i, 1] = point - 0.1 * side + rng.normal(0.0, 0.03, 3)
        held[i] = things[at]
    return hands, held
