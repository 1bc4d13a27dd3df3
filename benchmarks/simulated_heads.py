"""What the simulator makes of the activities that real wearers were recorded in, through the sensor that they wore.

Each activity is given to the simulator's nearest action; a recording is ninety seconds of one person. The sensor is
a BMI160, as in the MetaMotionC that was worn: bandwidths at 100 Hz, offsets and sensitivities of its data sheet, white
noise below the sheet's typical 180 ug and 0.007 deg/s per root of Hz, as the quietest recordings are quieter than that.
The scenarios belong to the comparison, not to the simulator, and the recordings don't document them: the hall's length
and bends and the pace of sitting down were set with the tuned activities' rotation below 0.5 Hz in view.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from benchmarks.head_statistics import spectrum
from benchmarks.real_heads import RATE_HZ, TRIM_S, HeadRecording
from eailkit.synthkitchen.actions import ACTION_INDEX, ACTIONS
from eailkit.synthkitchen.motion import head_motion
from eailkit.synthkitchen.motion_plan import MotionPlan, MotionProfile, Stance
from eailkit.synthkitchen.person import Person, draw_person
from eailkit.synthkitchen.plan import plan_take
from eailkit.synthkitchen.room import Room, RoomConfig, generate_room
from eailkit.synthkitchen.sensor import ARIA_LEFT, ImuModel, simulate_imu
from eailkit.synthkitchen.spline import KNOT_HZ, HeadMotion

BMI160 = ImuModel(
    label="BMI160, right temple", nominal_rate_hz=800.0, rate_range_hz=(800.0, 800.0),
    lever_arm_head_m=(-0.05, -0.125, 0.0), R_head_sensor=np.eye(3),
    acc_noise=150e-6 * 9.80665, gyro_noise=np.deg2rad(0.005), acc_bandwidth_hz=40.5, gyro_bandwidth_hz=39.9,
    acc_bias_mps2=0.040 * 9.80665, gyro_bias_radps=np.deg2rad(1.0), scale=0.01, misalignment_rad=0.01,
    acc_range_mps2=16.0 * 9.80665,
)  # fmt: skip
ACC_QUANTUM, GYRO_QUANTUM = 9.80665e-3, np.deg2rad(1.0) / 16.4
DURATION_S = 90.0

# activity -> the nearest action. "sit_move_chair" turns on a swivel chair, which no kitchen here has; running and
# stairs aren't simulated.
ON_FEET = {"standing": "wait"}
SEATED = {
    "sit_write_notebook": "peel", "sit_read_book": "read recipe", "computer_browsing": "look at phone",
    "computer_typing": "look at phone", "sit_move_head_body": "talk to someone",
}  # fmt: skip
TUNED = ("standing", "walking", "sit_to_stand", "sit_write_notebook")
HELD_OUT = ("sit_read_book", "computer_typing", "computer_browsing", "sit_move_head_body")
ACTIVITIES = TUNED + HELD_OUT


def large_room() -> Room:
    """A kitchen at the upper end of the sizes, as people in the recordings walked farther than kitchens let them."""
    return generate_room(1, "large", config=RoomConfig(min_side_m=5.5))


def motion_of(activity: str, person: Person, room: Room, seed: int) -> HeadMotion:
    """Ninety seconds of a head in an activity."""
    if activity == "walking":
        return head_motion(hall_walk(person, seed), person, seed)
    if activity in ON_FEET:
        plan = plan_take(room, person, DURATION_S / 60.0, seed, steps=[ON_FEET[activity]])
        return head_motion(plan.motion_plan(), person, seed)
    rng = np.random.default_rng([seed, 0x5EA7])
    if activity == "sit_to_stand":
        stances, t = [], 1.0
        up = replace(ACTIONS[ACTION_INDEX["wait"]].profile, step_per_min=0.0, glance_per_min=4.0)
        while t < DURATION_S - 8.0:
            down_s, up_s = rng.uniform(5.0, 7.0, 2)
            stances += [_stance(t, t + down_s, up, seated=True), _stance(t + down_s, t + down_s + up_s / 2.5, up)]
            t = stances[-1].end_s
    else:
        profile = ACTIONS[ACTION_INDEX[SEATED[activity]]].profile
        stances = [_stance(0.0, DURATION_S, profile, seated=True)]
    still = np.array([0.0, DURATION_S])
    return head_motion(MotionPlan(DURATION_S, tuple(stances), still, np.zeros((2, 2)), np.zeros(2)), person, seed)


def hall_walk(person: Person, seed: int, *, length_m: float = 20.0, radius_m: float = 0.7) -> MotionPlan:
    """Up and down a hall at the person's own speed, as the real wearers walked: a kitchen never lets one get there."""
    rng = np.random.default_rng([seed, 0x4A11])
    bend = radius_m * np.exp(1j * np.linspace(-np.pi / 2, np.pi / 2, 40)[1:-1]) + 1j * radius_m
    lap = np.concatenate(
        [np.linspace(0, length_m, 400), length_m + bend, 2j * radius_m + np.linspace(length_m, 0, 400)]
    )
    lap = np.concatenate([lap, 2j * radius_m - bend])  # the second bend, mirrored, leads back to the start
    laps = int(DURATION_S * 1.6 / (2 * length_m)) + 1
    path = np.concatenate([lap] * laps)
    path = np.stack([path.real, path.imag], axis=1)
    t = np.cumsum(np.r_[0.0, np.hypot(*np.diff(path, axis=0).T)])
    t = t / (person.walk_mps * float(np.exp(rng.normal(0.0, 0.05))))
    keep = np.r_[True, np.diff(t) > 1e-4] & (t < DURATION_S)
    step = np.gradient(path, axis=0)
    yaw = np.unwrap(np.arctan2(step[:, 1], step[:, 0]))
    end = [np.interp(DURATION_S, t, v) for v in (path[:, 0], path[:, 1], yaw)]
    return MotionPlan(
        DURATION_S, (), np.r_[t[keep], DURATION_S], np.r_[path[keep], [end[:2]]], np.r_[yaw[keep], end[2]]
    )


def _stance(start_s: float, end_s: float, profile: MotionProfile, *, seated: bool = False) -> Stance:
    return Stance(start_s, end_s, replace(profile, seated=float(seated)), 0.78 if seated else 1.2, 0.4)


def simulate(activity: str, participant: int, room: Room) -> HeadRecording:
    """One recording of ninety seconds at 100 Hz, trimmed and stored as the real ones."""
    motion = motion_of(activity, draw_person(70_000 + participant), room, 70_000 + participant)
    acc, gyro = felt(motion, 70_000 + participant, TRIM_S, DURATION_S - TRIM_S)
    return HeadRecording(f"simulated {participant}", activity, acc, gyro, RATE_HZ)


def felt(
    motion: HeadMotion, seed: int, start_s: float, end_s: float
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """What the real wearers' sensor would have stored of a motion from start to end: m/s2 and rad/s at 100 Hz."""
    stream = simulate_imu(motion, BMI160, seed)
    inside = slice(int(start_s * 800.0), int(end_s * 800.0), int(800.0 / RATE_HZ))
    acc = np.rint(stream.acc_mps2[inside] / ACC_QUANTUM) * ACC_QUANTUM
    gyro = np.rint(stream.gyro_radps[inside] / GYRO_QUANTUM) * GYRO_QUANTUM
    return acc, gyro


def aria_like_walk(participant: int) -> HeadRecording:
    """Eleven seconds of a walk through a hall at 800 Hz, through Aria's left IMU, device axes as the real one."""
    person = draw_person(71_000 + participant)
    motion = head_motion(hall_walk(person, participant), person, participant)
    stream = simulate_imu(motion, ARIA_LEFT, participant)
    inside = slice(int(10 * stream.rate_hz), int(21.3 * stream.rate_hz))
    acc, gyro = stream.acc_mps2[inside].astype(float), stream.gyro_radps[inside].astype(float)
    return HeadRecording(f"simulated {participant}", "walking", acc, gyro, float(stream.rate_hz))


def resting_noise(seconds: float = 60.0) -> dict[str, dict[str, float]]:
    """White noise densities at 20 to 100 Hz of Aria's left IMU at rest, m/s2 and rad/s per root of Hz."""
    knots = int(seconds * KNOT_HZ) + 1
    stream = simulate_imu(HeadMotion(np.zeros((knots, 3)), np.zeros((knots, 3))), ARIA_LEFT, 5)
    found = {}
    for name, values, documented in (
        ("acc", stream.acc_mps2, ARIA_LEFT.acc_noise),
        ("gyro", stream.gyro_radps, ARIA_LEFT.gyro_noise),
    ):
        frequency, density = spectrum(values[:, 0].astype(float), stream.rate_hz)
        floor = float(np.sqrt(np.median(density[(frequency > 20.0) & (frequency < 100.0)])))
        found[name] = {"simulated": floor, "documented": documented}
    return found
