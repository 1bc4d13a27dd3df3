"""Panels on the simulator: sliders have the effect that they claim, and a renamed place changes nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from eailkit import widgets
from eailkit.errors import ConfigError
from eailkit.recording import ImuStream
from eailkit.synthkitchen.person import draw_person
from eailkit.synthkitchen.raycast import first_hit
from eailkit.synthkitchen.room import FIXTURE_KINDS
from eailkit.widgets.beside import _shuffled
from eailkit.widgets.furniture import _outside_m
from eailkit.widgets.kitchens import SIZES, room_view
from eailkit.widgets.wearers import (
    felt,
    measured_step_rate_hz,
    step_rate_hz,
    touch_plan,
    touched,
    walk_imu,
)


@pytest.fixture(scope="module")
def room():
    return widgets.example_room()


@pytest.fixture(scope="module")
def moved(room):
    return widgets.move_fixture(room, "island_1", 0.3, -0.2)


@pytest.fixture(scope="module")
def panels(room):
    """Every panel with a value for each of its controls that differs from the first."""
    return {
        "room": (widgets.room_panel(), {"seed": 3, "size": "small"}),
        "move": (widgets.move_panel(room), {"fixture": "table_1", "dx_m": 0.4, "dy_m": -0.4}),
        "touch": (widgets.touch_panel(room), {"kind": "sink", "height_m": 0.5, "distance_m": 0.8}),
        "walk": (
            widgets.walk_panel(),
            {"speed_mps": 1.3, "cadence_hz": 2.0, "bounce": 2.0, "heel": 3.0, "height_m": 1.9},
        ),
        "action": (widgets.action_panel(room), {"action": "stir", "height_m": 1.9, "second": 2}),
    }


def _at(room, name):
    return next(f for f in room.fixtures if f.name == name)


# -- panels ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["room", "move", "touch", "walk", "action"])
def test_each_control_changes_the_figure_and_presets_are_states(panels, name):
    panel, changes = panels[name]
    assert set(changes) == set(panel.controls)
    for control, value in changes.items():
        first, before = panel.state, panel.figure.to_json()
        panel.controls[control].value = value
        assert getattr(panel.state, control) == value and panel.figure.to_json() != before, control
        panel.set(first)
        assert panel.figure.to_json() == before  # the view is pure
    for state in panel.presets.values():
        panel.set(state)
        assert panel.state == state and panel.output.outputs[0]["output_type"] == "display_data"


def test_every_seed_of_the_sliders_gives_a_room():
    for size in SIZES:
        for seed in range(0, 61, 5):
            assert widgets.example_room(seed, size).fixtures
    small, large = widgets.example_room(1, "small"), widgets.example_room(1, "large")
    assert small.area_side_m <= 2.6 < 3.2 <= large.area_side_m
    assert "fridge" in room_view(widgets.RoomState(1, "small")).to_json()


# -- moving ----------------------------------------------------------------------------------------------
def test_a_moved_fixture_is_at_its_new_place_with_all_that_belongs_to_it(room, moved):
    step = np.array([0.3, -0.2, 0.0])
    for name in ("island_1", "island_2"):
        old, new = _at(room, name), _at(moved, name)
        assert new.box_centre_m == pytest.approx(old.box_centre_m + step)
        assert new.work_point_m == pytest.approx(old.work_point_m + step)
        assert np.linalg.norm(new.stand_xy_m - old.stand_xy_m - step[:2]) < 0.08  # the nearest free cell
    assert _at(moved, "sink").box_centre_m == pytest.approx(_at(room, "sink").box_centre_m)
    off = moved.mesh.vertices - room.mesh.vertices
    changed = np.abs(off).max(axis=1) > 0
    assert off[changed] == pytest.approx(np.tile(step, (changed.sum(), 1))) and 100 < changed.sum() < len(off) / 4
    assert (_outside_m(_at(room, "island_1"), room.mesh.vertices[changed, :2]) < 0.1).all()


def test_rays_find_the_moved_thing_and_not_the_old_one(room, moved):
    old, new = _at(room, "island_1"), _at(moved, "island_1")
    down = np.array([[0.0, 0.0, -1.0]])
    edge = old.box_centre_m + (old.box_centre_m - new.box_centre_m) / np.hypot(0.3, 0.2) * 0.28
    eye = np.array([[*edge[:2], 1.3]])
    assert first_hit(room, eye, down)[0][0] < 0.6 and first_hit(moved, eye, down)[0][0] > 1.2
    eye = np.array([[*new.box_centre_m[:2], 1.3]])
    assert first_hit(moved, eye, down)[0][0] < 0.6


def test_free_floor_gives_way_and_everybody_still_stands_on_it(room, moved):
    assert moved.free.sum() == pytest.approx(room.free.sum(), rel=0.02)  # an island takes as much floor anywhere
    for state in (room, moved):
        island = _at(state, "island_1")
        assert _outside_m(island, state.free_centres()).min() >= 0.22 - 1e-9
        for f in state.fixtures:
            iy, ix = state.free_index(f.stand_xy_m[None])[0]
            assert state.free[iy, ix], f.name
    back = widgets.move_fixture(moved, "island_1", -0.3, 0.2)
    assert (back.free != room.free).mean() < 0.01


def test_a_table_takes_its_chairs_along_and_the_original_stays(room):
    before = room.mesh.vertices.copy()
    after = widgets.move_fixture(room, "table_1", *widgets.farthest_move(room, "table_1", -0.4, 0.0))
    step = _at(after, "table_1").box_centre_m - _at(room, "table_1").box_centre_m
    assert step[0] < -0.3
    for f in room.of_kind("chair"):
        assert _at(after, f.name).box_centre_m == pytest.approx(f.box_centre_m + step)
    assert np.array_equal(room.mesh.vertices, before)


def test_what_does_not_fit_is_refused_and_the_push_stops_before_it(room):
    with pytest.raises(ConfigError, match="doesn't fit"):
        widgets.move_fixture(room, "island_1", 5.0, 0.0)
    with pytest.raises(ConfigError, match="island_1, table_1, bin"):
        widgets.move_fixture(room, "sink", 0.1, 0.0)
    far = np.hypot(*widgets.farthest_move(room, "island_1", 5.0, 0.0))
    assert 0.3 < far < 2.0
    assert widgets.move_fixture(room, "bin", 0.0, 0.0) is room


# -- what an IMU can feel --------------------------------------------------------------------------------
def test_renamed_kinds_give_a_bit_identical_imu_and_height_and_distance_do_not(room):
    counter, person = room.of_kind("counter")[0], draw_person(3)
    first = widgets.TouchState("counter", 0.95, 0.5)
    before = felt(touch_plan(touched(counter, first)), person)
    for kind in set(FIXTURE_KINDS) - {"chair"}:
        after = felt(touch_plan(touched(counter, replace(first, kind=kind))), person)
        for name in ("t_s", "acc_mps2", "gyro_radps"):
            assert np.array_equal(getattr(before, name), getattr(after, name)), kind
    for other in (replace(first, height_m=0.6), replace(first, distance_m=0.8), replace(first, kind="chair")):
        after = felt(touch_plan(touched(counter, other)), person)
        assert not np.array_equal(before.acc_mps2, after.acc_mps2)


def test_the_touch_panel_says_so(room):
    panel = widgets.touch_panel(room)
    start = panel.state
    assert "bit-identical" in panel.set(replace(start, kind="fridge")).layout.title.text
    assert "another IMU" in panel.set(replace(start, height_m=0.4)).layout.title.text


# -- gait ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "state",
    [
        widgets.WalkState(),
        widgets.WalkState(cadence_hz=2.2),
        widgets.WalkState(speed_mps=0.6),
        widgets.WalkState(height_m=1.95),
        widgets.WalkState(speed_mps=1.3, height_m=1.5),
    ],
)
def test_the_step_rate_follows_the_sliders(state):
    assert measured_step_rate_hz(walk_imu(state)) == pytest.approx(step_rate_hz(state), abs=0.11)


def test_bounce_and_heel_do_what_the_page_says():
    def power(state, low, high):
        imu = walk_imu(state)
        frequency = np.fft.rfftfreq(len(imu), 1 / imu.rate_hz)
        density = np.abs(np.fft.rfft(imu.acc_mps2[:, 2] - imu.acc_mps2[:, 2].mean())) ** 2
        return density[(frequency >= low) & (frequency < high)].sum()

    plain = widgets.WalkState()
    ratio = lambda state, *band: power(state, *band) / power(plain, *band)  # noqa: E731
    assert ratio(replace(plain, bounce=2.0), 1.2, 2.0) == pytest.approx(4.0, rel=0.15)
    assert ratio(replace(plain, heel=3.0), 6, 20) > 3 and ratio(replace(plain, heel=3.0), 1.2, 2.0) < 1.25
    assert ratio(replace(plain, speed_mps=0.5), 0.8, 20) < 0.3


def test_a_base_cabinet_sinks_the_head_and_a_wall_cabinet_does_not(panels):
    panel, _ = panels["action"]

    def sinks(action):
        head = panel.view(widgets.ActionState(action, 1.8)).data[0].y
        return float(np.max(head) - np.min(head))

    assert sinks("take from base cabinet") > 0.3 > 0.15 > sinks("take from wall cabinet")
    assert "“eat” at the chair" in panel.view(widgets.ActionState("eat", 1.7, 11)).layout.title.text


# -- beside real ones, exercises -------------------------------------------------------------------------
def test_spectra_lie_on_one_another_for_the_same_recording(room):
    (walk,) = widgets.kitchen_walks(room, 1, 8.0)
    assert walk.duration_s == pytest.approx(8.0, abs=0.01)
    again = ImuStream(walk.t_s, walk.acc_mps2, walk.gyro_radps, frame="head", source="again")
    figure = widgets.beside_figure(again, [walk])
    ours, real = figure.data[0], figure.data[1]
    assert real.name == "real Aria walk" and np.allclose(ours.y, real.y, rtol=1e-5)
    with pytest.raises(ConfigError, match="simulated"):
        widgets.beside_figure(walk, [])


def test_the_real_walk_has_its_step_rate_where_simulated_ones_have_it(real_data, room):
    from eailkit.datasets import open_recording

    if not (real_data / "aria_walk").is_dir():
        pytest.skip("no aria_walk in EAILKIT_REAL_DATA")
    real = open_recording(real_data / "aria_walk").imu
    figure = widgets.beside_figure(real, widgets.kitchen_walks(room, 3, real.duration_s))
    for trace in figure.data[:4]:
        inside = (np.array(trace.x) > 0.8) & (np.array(trace.x) < 3)
        assert 1.0 <= np.array(trace.x)[inside][np.array(trace.y)[inside].argmax()] <= 2.3


def test_realism_is_read_from_the_ledger_and_its_absence_is_said():
    assert "hasn't been recorded" in widgets.realism_lines([])[0] and widgets.realism_figure([]) is None
    rows = [
        {"id": "all", "mean": {"inside (%)": 61.4}, "config": {"wearers simulated": 48}},
        {"id": "walking", "mean": {"inside (%)": 55.0}, "config": {"statistics": {}}},
        {"id": "classifier | walking", "mean": {"AUC, boosting": 0.75}, "config": {}},
    ]
    said = widgets.realism_lines(rows)
    assert said[0].startswith("61 % of all") and "AUC 0.75" in said[1] and "75 times in a hundred" in said[1]
    shares, auc = widgets.realism_figure(rows).data
    assert list(shares.x) == [55.0] and list(shares.y) == ["walking"] and list(auc.x) == [0.75]


def test_exercises_accept_the_right_answer_and_no_other():
    for seed in range(6):
        taller = "AB"[int(_shuffled(seed)[1].height_m > _shuffled(seed)[0].height_m)]
        other = "B" if taller == "A" else "A"
        assert widgets.check_taller(taller, seed).startswith("right")
        assert widgets.check_taller(other, seed).startswith("not yet")
    assert widgets.check_taller("").startswith("not yet")
    slower = [measured_step_rate_hz(walk_imu(s)) for s in _shuffled(0)]
    assert "AB"[int(np.argmin(slower))] == next(a for a in "AB" if widgets.check_taller(a).startswith("right"))
    assert len(widgets.riddle_figure().data) == 2
    walk = widgets.WalkState(speed_mps=0.7)
    assert widgets.check_step_rate(replace(walk, cadence_hz=2.0)).startswith("not yet")
    assert widgets.check_step_rate(replace(walk, cadence_hz=2 / (0.7 / 1.1) ** 0.38)).startswith("right")
    assert "stays" in widgets.check_step_rate(widgets.WalkState(speed_mps=1.4))
