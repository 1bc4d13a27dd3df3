"""Properties of rooms and takes over a thousand seeds; the checks are those of `benchmarks.properties`.

A check that never fails proves nothing, so each is also given something broken.
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import get_type_hints

import numpy as np
import pytest

from benchmarks.properties import check_seeds, motion_faults, plan_faults, room_faults
from eailkit.synthkitchen import take
from eailkit.synthkitchen.mesh import to_trimesh
from eailkit.synthkitchen.motion import head_motion
from eailkit.synthkitchen.motion_plan import MotionPlan, MotionProfile, Stance
from eailkit.synthkitchen.person import Person, draw_person
from eailkit.synthkitchen.plan import plan_take
from eailkit.synthkitchen.room import Room, generate_room
from eailkit.synthkitchen.spline import HeadMotion


@pytest.mark.parametrize("start", range(0, 1000, 250))
def test_a_thousand_rooms_keep_the_rules(start):
    wrong = {seed: faults for seed in range(start, start + 250) if (faults := room_faults(generate_room(seed)))}
    assert not wrong


def test_short_takes_spread_over_the_seeds_keep_the_rules():
    """Forty here; `python -m benchmarks.properties` looks at a thousand and records what it finds."""
    assert not check_seeds(range(7, 1007, 25), minutes=0.7)


# -- each check can fail ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def room() -> Room:
    return generate_room(4)


def with_box(room: Room, xy_m: np.ndarray, side_m: float, material: str) -> Room:
    """The room with a cube of 1 m height and that side more in it."""
    corner = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (0.0, 1.0)])
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = np.array([t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))])
    vertices = corner * [side_m, side_m, 1.0] + [*xy_m, 0.0]
    old = np.asarray(room.mesh.vertices)
    mesh = to_trimesh(np.concatenate([old, vertices]), np.concatenate([room.mesh.faces, faces + len(old)]))
    more = np.full(len(faces), room.materials.index(material))
    return replace(room, mesh=mesh, face_material=np.concatenate([room.face_material, more]))


def door_xy(room: Room) -> np.ndarray:
    leaf = np.asarray(room.mesh.faces)[room.face_material == room.materials.index("door")]
    return np.asarray(room.mesh.vertices)[leaf].reshape(-1, 3)[:, :2].mean(axis=0)


def test_a_room_with_a_fault_is_found(room):
    assert room_faults(room) == []
    middle = room.free_centres()[len(room.free_centres()) // 2]
    assert room_faults(with_box(room, middle, 0.3, "carcass")) == ["carcass on the free floor"]
    assert "the door can't open" in room_faults(with_box(room, door_xy(room), 0.6, "carcass"))
    cut = room.free.copy()
    cut[:, np.flatnonzero(cut.any(axis=0))[cut.any(axis=0).sum() // 2]] = False
    assert "the free floor is in pieces" in room_faults(replace(room, free=cut))
    sink = next(f for f in room.fixtures if f.kind == "sink")
    others = tuple(f for f in room.fixtures if f is not sink)
    assert room_faults(replace(room, fixtures=others)) == ["no sink"]
    far = replace(sink, work_point_m=sink.work_point_m + [1.5, 1.5, 0.0])
    assert room_faults(replace(room, fixtures=(*others, far))) == ["sink is out of reach"]
    outside = replace(sink, stand_xy_m=sink.work_point_m[:2], work_point_m=sink.work_point_m + [0.3, 0.3, 0.0])
    assert room_faults(replace(room, fixtures=(*others, outside))) == ["nobody can stand at sink"]
    shut = replace(room, free=room.free & (np.arange(room.free.size).reshape(room.free.shape) < 0))
    shut.free[tuple(room.free_index(others[0].stand_xy_m[None])[0])] = True
    assert any("nobody can stand" in fault for fault in room_faults(shut))


def test_a_path_with_a_fault_is_found(room):
    plan = plan_take(room, draw_person(4), 0.5, 4)
    assert plan_faults(room, plan) == []
    counter = next(f for f in room.fixtures if f.kind == "counter")
    xy = plan.path_xy_m.copy()
    xy[len(xy) // 2] = counter.box_centre_m[:2]
    through = plan_faults(room, replace(plan, path_xy_m=xy))
    assert f"the path goes through {counter.name}" in through and "the path leaves the free floor" in through
    fast = plan_faults(room, replace(plan, path_t_s=plan.path_t_s / 5))
    assert any("m/s" in fault for fault in fast)


def test_a_motion_with_a_fault_is_found(room):
    person = draw_person(4)
    motion = head_motion(plan_take(room, person, 0.3, 4).motion_plan(), person, 4)
    assert motion_faults(motion, person) == []
    t = np.arange(len(motion.knots)) / 200.0

    def changed(column: int, values: np.ndarray) -> list[str]:
        knots = motion.knots.copy()
        knots[:, column] += values
        return motion_faults(HeadMotion(knots[:, :3], knots[:, 3:]), person)

    assert "a head between" in changed(2, np.full(len(t), 0.5))[0]
    assert "a head between" in changed(2, np.full(len(t), -1.4))[0]
    assert any("rad/s where" in fault for fault in changed(3, 20.0 * t))
    assert any("m/s2" in fault for fault in changed(0, 0.05 * np.sin(30.0 * t)))
    assert any("rad/s2" in fault for fault in changed(4, 0.5 * np.sin(30.0 * t)))

    class Torn(HeadMotion):
        def sample(self, t_s):
            found = super().sample(t_s)
            found.acceleration_mps2[np.asarray(t_s) >= 2.1] += 0.5
            return found

    assert any("jumps" in fault for fault in motion_faults(Torn(motion.knots[:, :3], motion.knots[:, 3:]), person))


# -- place only through motion -------------------------------------------------------------------------------------


def test_motion_receives_numbers_of_a_plan_a_person_and_a_seed():
    assert list(inspect.signature(head_motion).parameters) == ["motion_plan", "person", "seed"]
    hints = [get_type_hints(kind) for kind in (MotionPlan, Stance, MotionProfile, Person)]
    plain = {"float", "ndarray", "tuple", "MotionProfile"}
    for name, hint in [pair for found in hints for pair in found.items()]:
        text = str(hint)
        assert "str" not in text and "int" not in text, f"{name}: {text} could name a place"
        assert any(word in text for word in plain) or "Float" in text, f"{name}: {text}"


def test_a_room_whose_fixtures_swap_types_gives_a_bit_identical_imu(room, monkeypatch):
    """Same actions, heights, distances and path; every fixture another kind and name, the room another id."""
    person = draw_person(4)
    before = take.simulate_take(room, person, 1.5, 4)
    turned = room.fixtures[5:] + room.fixtures[:5]
    swapped = tuple(replace(f, kind=g.kind, name=g.name) for f, g in zip(room.fixtures, turned, strict=True))
    assert sum(f.kind != g.kind for f, g in zip(room.fixtures, swapped, strict=True)) > len(swapped) // 2
    monkeypatch.setattr(take, "plan_take", lambda *_, **__: before.plan)
    after = take.simulate_take(replace(room, room_id="another", fixtures=swapped), person, 1.5, 4)
    for name in ("t_s", "acc_mps2", "gyro_radps"):
        assert np.array_equal(getattr(before.recording.imu, name), getattr(after.recording.imu, name))
    assert np.array_equal(before.motion.knots, after.motion.knots)
    higher = tuple(replace(s, target_height_m=s.target_height_m + 0.2) for s in before.plan.segments)
    monkeypatch.setattr(take, "plan_take", lambda *_, **__: replace(before.plan, segments=higher))
    moved = take.simulate_take(room, person, 1.5, 4)
    assert not np.array_equal(before.recording.imu.acc_mps2, moved.recording.imu.acc_mps2)  # it does listen to height
