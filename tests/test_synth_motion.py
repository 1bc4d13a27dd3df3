"""SynthKitchen's people: plans, head motion and the IMU, against physics and an independent integrator."""

from __future__ import annotations

import ast
import dataclasses
import time
from pathlib import Path

import numpy as np
import pytest
from scipy import signal
from scipy.spatial.transform import Rotation

import eailkit
from eailkit.errors import ConfigError
from eailkit.synthkitchen.actions import ACTION_NAMES, ACTIONS
from eailkit.synthkitchen.motion import head_motion
from eailkit.synthkitchen.motion_plan import MotionPlan, MotionProfile, Stance
from eailkit.synthkitchen.narration import keysteps, narrate
from eailkit.synthkitchen.paths import FloorPaths, speed_along
from eailkit.synthkitchen.person import draw_person
from eailkit.synthkitchen.plan import WALK, plan_take
from eailkit.synthkitchen.posture import reach_posture
from eailkit.synthkitchen.room import generate_room
from eailkit.synthkitchen.sensor import ARIA_LEFT, draw_device, simulate_imu, specific_force
from eailkit.synthkitchen.spline import HeadMotion
from eailkit.synthkitchen.take import simulate_take

UP = np.array([0.0, 0.0, 9.81])


@pytest.fixture(scope="module")
def room():
    return generate_room(3)


@pytest.fixture(scope="module")
def person():
    return draw_person(3)


@pytest.fixture(scope="module")
def plan(room, person):
    return plan_take(room, person, 2.0, 5)


@pytest.fixture(scope="module")
def motion(plan, person):
    return head_motion(plan.motion_plan(), person, 5)


def straight_walk(speed_mps: float, seconds: float) -> MotionPlan:
    ends = np.array([[0.0, 0.0], [speed_mps * seconds, 0.0]])
    return MotionPlan(seconds, (), np.array([0.0, seconds]), ends, np.zeros(2))


def standing(profile: MotionProfile, height_m: float, seconds: float) -> MotionPlan:
    stance = Stance(0.0, seconds, profile, height_m, 0.45)
    return MotionPlan(seconds, (stance,), np.array([0.0, seconds]), np.zeros((2, 2)), np.zeros(2))


# -- actions and plans -----------------------------------------------------------------------------------


def test_there_are_35_actions_and_many_are_ambiguous():
    assert len(ACTIONS) == len(set(ACTION_NAMES)) == 35
    ambiguous = [a for a in ACTIONS if not a.fixtures or len(a.fixtures) >= 2]
    assert len(ambiguous) >= 17
    for kind in ("sink", "stove", "counter", "table", "island"):
        assert sum(kind in dict(a.fixtures) for a in ACTIONS) >= 4, f"{kind} would give its action away"


@pytest.mark.parametrize("seed", [0, 1, 2, 7])
def test_plans_are_whole_and_stay_on_free_floor(seed):
    room = generate_room(seed)
    plan = plan_take(room, draw_person(seed), 3.0, seed)
    starts, ends = (np.array([getattr(s, k) for s in plan.segments]) for k in ("start_s", "end_s"))
    assert starts[0] == 0.0 and ends[-1] == pytest.approx(plan.duration_s)
    assert np.allclose(starts[1:], ends[:-1]) and (ends > starts).all()
    paths = FloorPaths(room.free, room.free_origin_xy_m, room.free_pitch_m)
    t = np.arange(0.0, plan.duration_s, 0.02)
    xy = np.stack([np.interp(t, plan.path_t_s, plan.path_xy_m[:, k]) for k in range(2)], axis=1)
    assert paths.inside(xy).mean() > 0.995  # straight steps between path points may cut a cell's corner
    speed = np.hypot(*np.diff(plan.path_xy_m, axis=0).T) / np.diff(plan.path_t_s)
    assert speed.max() < 1.8 and np.percentile(speed[speed > 0.2], 50) > 0.4
    for s in plan.segments:
        if s.fixture >= 0 and s.action != WALK:
            assert room.fixtures[s.fixture].kind in dict(ACTIONS[s.action].fixtures)


def test_paths_go_around_obstacles_and_end_where_asked():
    free = np.ones((60, 60), bool)
    free[20:40, 0:50] = False
    paths = FloorPaths(free, np.array([2.0, -1.0]), 0.05)
    a, b = np.array([2.3, -0.4]), np.array([2.3, 1.7])
    path = paths.path(a, b)
    assert np.allclose(path[0], a) and np.allclose(path[-1], b)
    assert paths.inside(path).all() and not paths.straight(a, b)
    length = np.hypot(*np.diff(path, axis=0).T).sum()
    corners = np.array([a, [4.475, -0.025], [4.475, 0.975], b])  # the tightest string around the block
    shortest = np.hypot(*np.diff(corners, axis=0).T).sum()
    assert 0.995 * shortest < length < 1.15 * shortest
    t = speed_along(path, 1.0)
    v = np.hypot(*np.diff(path, axis=0).T) / np.diff(t)
    assert v.max() <= 1.01 and v[0] < 0.4 and v[-1] < 0.4


def test_minutes_must_be_positive(room, person):
    with pytest.raises(ConfigError, match="minutes"):
        plan_take(room, person, -1.0, 0)


# -- motion sees numbers only -------------------------------------------------------------------------------


def _numbers_only(value) -> bool:
    if dataclasses.is_dataclass(value):
        return all(_numbers_only(getattr(value, f.name)) for f in dataclasses.fields(value))
    if isinstance(value, tuple):
        return all(_numbers_only(v) for v in value)
    return isinstance(value, float) or (isinstance(value, np.ndarray) and value.dtype.kind == "f")


def test_a_motion_plan_holds_floats_and_nothing_else(plan):
    assert _numbers_only(plan.motion_plan())


def _imports(module: str) -> set[str]:
    path = Path(eailkit.__file__).parent / Path(*module.split(".")[1:]).with_suffix(".py")
    nodes = ast.walk(ast.parse(path.read_text()))
    return {n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module and n.module.startswith("eailkit")}


def test_motion_and_sensor_never_import_rooms_or_plans():
    seen, todo = set(), ["eailkit.synthkitchen.motion", "eailkit.synthkitchen.sensor"]
    while todo:
        module = todo.pop()
        if module not in seen:
            seen.add(module)
            todo += list(_imports(module))
    forbidden = {"room", "layout", "plan", "actions", "take", "narration", "recipes", "paths", "dataset"}
    assert not {m.rsplit(".", 1)[-1] for m in seen} & forbidden


def test_permuted_fixtures_give_bit_identical_imu(plan, person, motion):
    rng = np.random.default_rng(0)
    fixtures = rng.permutation([s.fixture for s in plan.segments])
    shuffled = [dataclasses.replace(s, fixture=int(f)) for s, f in zip(plan.segments, fixtures, strict=True)]
    other = dataclasses.replace(plan, segments=tuple(shuffled), recipe="another")
    a, b = simulate_imu(motion, seed=1), simulate_imu(head_motion(other.motion_plan(), person, 5), seed=1)
    assert np.array_equal(a.acc_mps2, b.acc_mps2) and np.array_equal(a.gyro_radps, b.gyro_radps)
    lower = tuple(dataclasses.replace(s, target_height_m=0.8 * s.target_height_m) for s in plan.segments)
    c = simulate_imu(head_motion(dataclasses.replace(plan, segments=lower).motion_plan(), person, 5), seed=1)
    assert not np.array_equal(a.acc_mps2, c.acc_mps2)


# -- kinematics -----------------------------------------------------------------------------------------


def test_derivatives_are_those_of_the_path(motion):
    t = np.random.default_rng(0).uniform(1.0, 100.0, 400)
    h = 1e-5
    before, now, after = motion.sample(t - h), motion.sample(t), motion.sample(t + h)
    assert np.allclose((after.position_m - before.position_m) / (2 * h), now.velocity_mps, atol=1e-4)
    assert np.allclose((after.velocity_mps - before.velocity_mps) / (2 * h), now.acceleration_mps2, atol=5e-3)
    R_before, R_after = (Rotation.from_quat(s.quat_world_head_xyzw) for s in (before, after))
    turn = (R_before.inv() * R_after).as_rotvec()
    assert np.allclose(turn / (2 * h), now.omega_radps, atol=1e-4)
    assert np.allclose((after.omega_radps - before.omega_radps) / (2 * h), now.alpha_radps2, atol=5e-2)
    assert np.allclose(Rotation.from_quat(now.quat_world_head_xyzw).as_matrix(), now.R_world_head)


def test_acceleration_is_continuous_across_knots(motion):
    knots = np.arange(200, 4000) / 200.0
    before, after = motion.sample(knots - 1e-9), motion.sample(knots + 1e-9)
    assert np.abs(after.acceleration_mps2 - before.acceleration_mps2).max() < 1e-4
    assert np.abs(after.alpha_radps2 - before.alpha_radps2).max() < 1e-3


def test_noise_free_imu_integrated_twice_gives_back_its_path(motion):
    """A naive strap-down integrator of the test's own: trapezoids, one rotation vector a step."""
    imu = simulate_imu(motion, noise_free=True)
    start, n = 20 * 800, 30 * 800
    acc = imu.acc_mps2[start : start + n + 1] @ np.asarray(imu.R_head_sensor).T
    gyro = imu.gyro_radps[start : start + n + 1] @ np.asarray(imu.R_head_sensor).T
    t = imu.t_s[start : start + n + 1]
    truth = motion.sample(t)
    lever = np.array(ARIA_LEFT.lever_arm_head_m)
    R = Rotation.from_quat(truth.quat_world_head_xyzw[0])
    p = truth.position_m[0] + R.apply(lever)
    v = truth.velocity_mps[0] + R.apply(np.cross(truth.omega_radps[0], lever))
    steps = Rotation.from_rotvec(0.5 * (gyro[1:] + gyro[:-1]) * np.diff(t)[:, None])
    a = R.apply(acc[0]) - UP
    for k in range(n):
        dt = t[k + 1] - t[k]
        R = R * steps[k]
        a_next = R.apply(acc[k + 1]) - UP
        p = p + v * dt + dt * dt * (2 * a + a_next) / 6
        v = v + 0.5 * dt * (a + a_next)
        a = a_next
    R_end = Rotation.from_quat(truth.quat_world_head_xyzw[-1])
    assert np.linalg.norm(p - (truth.position_m[-1] + R_end.apply(lever))) < 0.03
    assert (R.inv() * R_end).magnitude() < 1e-3
    assert np.hypot(*(truth.position_m[:, :2].max(axis=0) - truth.position_m[:, :2].min(axis=0))) > 0.5  # it did move


# -- sensor -------------------------------------------------------------------------------------------------


def still(seconds: float, ypr=(0.7, 0.3, -0.1)) -> HeadMotion:
    n = int(seconds * 200) + 1
    return HeadMotion(np.tile([1.0, 2.0, 1.6], (n, 1)), np.tile(ypr, (n, 1)))


def test_at_rest_the_sensor_reads_gravity_upwards():
    imu = simulate_imu(still(2.0), noise_free=True)
    world = Rotation.from_euler("ZYX", [0.7, 0.3, -0.1]).apply(imu.in_head_frame().acc_mps2)
    assert np.allclose(world, UP, atol=1e-9) and np.allclose(imu.gyro_radps, 0.0, atol=1e-12)
    assert imu.rate_hz == pytest.approx(800.0)


def test_lever_arm_feels_the_centripetal_acceleration():
    t = np.arange(0, 1001) / 200.0
    spin = HeadMotion(np.zeros((1001, 3)), np.stack([3.0 * t, 0 * t, 0 * t], axis=1))
    force, omega, _ = specific_force(spin, np.array([2.0, 3.0]), np.array([0.1, 0.0, 0.0]))
    assert np.allclose(omega, [0.0, 0.0, 3.0]) and np.allclose(force, [-0.9, 0.0, 9.81], atol=1e-6)


def test_noise_bias_rate_and_clock_are_those_of_the_device():
    device = draw_device(ARIA_LEFT, 4)
    imu = simulate_imu(still(60.0), seed=4, device=device)
    assert 795.0 <= imu.rate_hz <= 807.0 and imu.t_s[0] == pytest.approx(device.clock_offset_s)
    assert imu.acc_mps2.std(axis=0) == pytest.approx(np.full(3, 0.9e-4 * 9.80665 * np.sqrt(343)), rel=0.08)
    assert imu.gyro_radps.std(axis=0) == pytest.approx(np.full(3, np.deg2rad(5e-3) * np.sqrt(300)), rel=0.1)
    bias = imu.gyro_radps.mean(axis=0)
    assert np.allclose(bias, device.gyro_bias_radps, atol=1e-4) and np.abs(bias).max() > 1e-4
    assert abs(np.linalg.norm(imu.acc_mps2.mean(axis=0)) - 9.81) < 0.25
    assert imu.acc_mps2.dtype == np.float32
    imu.validate()


def test_one_device_keeps_its_rate_and_another_day_changes_its_clock():
    a, b = draw_device(ARIA_LEFT, 1, device_seed=9), draw_device(ARIA_LEFT, 2, device_seed=9)
    assert a.rate_hz == b.rate_hz and np.array_equal(a.acc_matrix, b.acc_matrix)
    assert a.clock_offset_s != b.clock_offset_s and not np.array_equal(a.acc_bias_mps2, b.acc_bias_mps2)


def test_values_saturate():
    t = np.arange(0, 401) / 200.0
    along = lambda values: np.stack([values, 0 * t, 0 * t], axis=1)  # noqa: E731
    wild = HeadMotion(along(0.3 * np.sin(40 * t)), along(60.0 * t))
    imu = simulate_imu(wild, seed=0)
    assert np.abs(imu.acc_mps2).max() == pytest.approx(8 * 9.80665, rel=1e-3)
    assert np.abs(imu.gyro_radps).max() == pytest.approx(np.deg2rad(2000), rel=1e-3)


# -- what it looks like -----------------------------------------------------------------------------------


def test_walking_looks_like_walking():
    """Vertical std about 1.3 m/s2 at 1.1 m/s, a step rate of 1.3-2 Hz, heel strikes up to 30 Hz."""
    stds, peaks, shocks = [], [], []
    t = np.arange(2.0, 28.0, 1 / 200)
    for seed in range(6):
        vertical = head_motion(straight_walk(1.1, 30.0), draw_person(seed), seed).sample(t).acceleration_mps2[:, 2]
        f, power = signal.welch(vertical, 200, nperseg=1600)
        band = (f > 0.8) & (f < 4)
        stds.append(vertical.std())
        peaks.append(f[band][power[band].argmax()])
        shocks.append(power[(f > 16) & (f < 32)].sum() * (f[1] - f[0]))
    assert 0.9 < np.median(stds) < 1.7 and 1.3 < np.median(peaks) < 2.0
    assert 0.02 < np.median(shocks) < 0.3
    slow = head_motion(straight_walk(0.5, 30.0), draw_person(0), 0).sample(t).acceleration_mps2[:, 2].std()
    assert slow < 0.6 * stds[0]


def test_handwork_shakes_the_head_a_little_at_its_rhythm():
    profile = ACTIONS[ACTION_NAMES.index("knead")].profile
    t = np.arange(2.0, 38.0, 1 / 200)
    busy = head_motion(standing(profile, 0.9, 40.0), draw_person(1), 1).sample(t)
    idle = head_motion(standing(ACTIONS[ACTION_NAMES.index("wait")].profile, 1.2, 40.0), draw_person(1), 1).sample(t)
    power = lambda s: signal.welch(s.acceleration_mps2[:, 0], 200, nperseg=1600)  # noqa: E731
    f, p = power(busy)
    band = (f > 0.6) & (f < 1.7)
    assert p[band].sum() > 2 * power(idle)[1][band].sum()
    assert np.linalg.norm(busy.acceleration_mps2, axis=1).std() < 1.0


def test_bending_lowers_the_head_moves_it_forward_and_looks_down():
    person = draw_person(2)
    profile = MotionProfile(glance_per_min=0.0, idle_per_min=0.0, step_per_min=0.0, fidget=0.1)
    t = np.arange(8.0, 18.0, 0.05)
    rows = []
    for height in (0.35, 0.9, 1.7):
        sample = head_motion(standing(profile, height, 20.0), person, 2)
        rows.append([*sample.sample(t).position_m.mean(axis=0)[[0, 2]], sample.coordinates(t)[0][:, 4].mean()])
    (x_low, z_low, p_low), (x_mid, z_mid, p_mid), (x_high, z_high, p_high) = rows
    assert z_low < z_mid - 0.15 and z_mid <= z_high + 0.02 and x_low > x_mid + 0.02
    assert p_low > p_mid > p_high and 0.2 < p_mid < 1.1
    assert reach_posture(person, 2.05, 0.4, seated=False, reach=1.0).toe_m > 0.02


def test_who_sits_has_the_head_at_a_sitters_height_and_gets_up_again(person):
    profile = dataclasses.replace(ACTIONS[ACTION_NAMES.index("eat")].profile, seated=1.0)
    still = MotionPlan(
        40.0, (Stance(2.0, 32.0, profile, 0.75, 0.4),), np.array([0.0, 40.0]), np.zeros((2, 2)), np.zeros(2)
    )
    z = head_motion(still, person, 4).sample(np.array([0.5, *np.arange(8.0, 27.0), 38.0])).position_m[:, 2]
    eyes_above_seat = z[1:-1] - 0.45  # sitting eye height is about 0.46 of standing height
    assert (np.abs(eyes_above_seat / person.height_m - 0.45) < 0.07).all()
    assert (z[[0, -1]] > 0.88 * person.height_m).all()


def test_heels_strike_when_the_head_is_low_and_push_it_up(person):
    motion = head_motion(straight_walk(1.1, 30.0), person, 8)
    truth = motion.sample(np.arange(5.0, 25.0, 0.005))
    height, push = (v - v.mean() for v in (truth.position_m[:, 2], truth.acceleration_mps2[:, 2]))
    steps = signal.butter(2, (1.0, 2.4), "bandpass", fs=200.0, output="sos")
    low, up = signal.sosfiltfilt(steps, height), signal.sosfiltfilt(steps, push)
    assert np.corrcoef(low, up)[0, 1] < -0.9  # an inverted pendulum is pushed up where it is lowest
    peaks = push > np.quantile(push, 0.99)
    assert low[peaks].mean() < -0.5 * low.std()
    assert np.mean((push / push.std()) ** 3) > 0.2  # shocks point up


def test_people_and_instances_differ():
    profile = ACTIONS[ACTION_NAMES.index("cut")].profile
    t = np.arange(2.0, 18.0, 1 / 200)
    level = [
        head_motion(standing(profile, 0.9, 20.0), draw_person(p), s).sample(t).acceleration_mps2.std()
        for p in (0, 1, 2)
        for s in (0, 1)
    ]
    assert max(level) > 1.4 * min(level)


# -- words and the whole take ----------------------------------------------------------------------------------


def test_words_and_labels_are_incomplete_and_late(room, person):
    plan = plan_take(room, person, 20.0, 8)
    labels = keysteps(plan, 8)
    assert {k.label for k in labels} <= set(ACTION_NAMES)
    assert all(b.start_s >= a.end_s for a, b in zip(labels, labels[1:], strict=False))
    long = [s for s in plan.segments if s.action != WALK and s.end_s - s.start_s > 5]
    named = [k for s in long for k in labels if k.label == ACTION_NAMES[s.action] and abs(k.start_s - s.start_s) < 3]
    assert 0.6 * len(long) < len(named) < len(long)
    delays = [k.start_s - s.start_s for s in long for k in named if abs(k.start_s - s.start_s) < 3]
    assert 0.1 < np.mean(delays) < 1.2
    told = narrate(plan, person, 8, room=room)
    assert len(told) > 100 and len({n.text for n in told}) > 40
    assert all(n.text.startswith("C ") and "{" not in n.text for n in told)
    assert [n.t_s for n in told] == sorted(n.t_s for n in told)


def test_a_take_is_deterministic_on_one_clock_and_fast(room, person):
    paths = FloorPaths(room.free, room.free_origin_xy_m, room.free_pitch_m)
    simulate_take(room, person, 0.2, 1, paths=paths)
    begin = time.process_time()
    take = simulate_take(room, person, 3.0, 1, paths=paths)
    spent = time.process_time() - begin
    assert 180.0 / spent > 100, f"{180 / spent:.0f} x real time"
    again = simulate_take(room, person, 3.0, 1, paths=paths)
    r = take.recording
    assert np.array_equal(r.imu.acc_mps2, again.recording.imu.acc_mps2) and r.narrations == again.recording.narrations
    begin_s = float(take.device_time(take.lead_s))
    assert r.imu.t_s[0] + 2.9 < begin_s and r.imu.t_s[-1] > begin_s + take.duration_s
    assert all(begin_s <= n.t_s <= begin_s + take.duration_s + 1e-3 for n in r.narrations)
    # The trajectory's attitude turns the smoothed specific force upright: one clock, one set of axes.
    acc = r.imu.in_head_frame().acc_mps2
    smooth = np.stack([np.interp(r.trajectory.t_s, r.imu.t_s, acc[:, k]) for k in range(3)], axis=1)
    up = Rotation.from_quat(r.trajectory.quat_world_device_xyzw).apply(smooth).mean(axis=0)
    assert np.allclose(up, UP, atol=0.2)
