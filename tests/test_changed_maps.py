"""Maps of kitchens that have changed since the scan: rooms taken apart and altered, seconds that count, the table."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist
from trimesh.graph import connected_component_labels

from eailkit import plots
from eailkit.baselines import priors
from eailkit.datasets import open_map
from eailkit.eail.changed_reading import changed_reading
from eailkit.eail.evaluation import score_take
from eailkit.errors import ConfigError, DatasetError
from eailkit.experiments.changed_maps import (
    AGAIN,
    BESIDE,
    FREE,
    FROM_UNCHANGED,
    HABIT,
    OURS,
    RECKONED,
    SPLITS,
    SUCCESS,
    UNCHANGED,
    Condition,
    Parts,
    at,
    occupancy,
    older_maps,
    record_changed_maps,
    recorded_changes,
    recorded_reading,
)
from eailkit.experiments.changed_rooms import ChangedTake, as_stored, changed_features, changed_prepared, check_rebuilt
from eailkit.experiments.eail_run import FULL, Run
from eailkit.experiments.furnishings import furnishings, plan_of, to_map, to_room_axes
from eailkit.experiments.methods import TRACKED
from eailkit.experiments.older_room import (
    MOVED_M,
    TOUCH_M,
    Standing,
    after,
    changes_of,
    free_floor,
    older_room,
    within_reach,
)
from eailkit.experiments.own_clouds import take_jobs
from eailkit.metrics import METRICS, Interval
from eailkit.preprocess.mapgrid import MapGrid
from eailkit.results.ledger import read
from eailkit.results.names import row_id
from eailkit.synthkitchen.folder import CARD
from eailkit.synthkitchen.raycast import first_hit
from eailkit.synthkitchen.room import generate_room
from eailkit.synthkitchen.scan import scan_room
from eailkit.synthkitchen.version import Stamp
from eailkit.synthkitchen.writing import write_cloud

SHARES = (0.2, 0.5)
SEEDS = (0, 3, 7, 11, 20, 35)  # rooms of every form of counter, with and without island, table and window


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, smoke_kitchens) -> tuple[Run, Path]:
    """A run whose table of changed maps is recorded, and the ledger's folder."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("changed")
    record_changed_maps(smoke_kitchens(folder / "run"), "smoke", (0,), results_dir=folder / "results", shares=SHARES)
    return Run(folder / "run", "smoke", progress=False), folder / "results"


@pytest.fixture(scope="module")
def apart():
    """Some rooms taken apart."""
    return [furnishings(generate_room(seed)) for seed in SEEDS]


def standing_of(room) -> list[Standing]:
    """Everything in its place."""
    return [Standing(thing, thing.rect, thing.wall) for thing in room.things]


def told_as(*numbers: float) -> Interval:
    """An interval of any numbers."""
    return Interval(*map(float, numbers))


def told(changes) -> list[tuple]:
    """Changes as plain values."""
    return [(c.what, c.thing.name, None if c.to is None else (c.to.rect, c.to.wall, c.to.turns)) for c in changes]


# --- rooms taken apart ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind, surfaces", [
    ("fridge", ("fridge",)), ("sink", ("sink_steel",)), ("stove", ("burner",)), ("dishwasher", ("dishwasher",)),
    ("table", ("table",)), ("chair", ("chair",)), ("bin", ("bin",)), ("cabinet", ("front_upper",)),
])  # fmt: skip
def test_surfaces_that_only_one_kind_has_belong_to_things_of_that_kind(apart, kind, surfaces):
    found = 0
    for room in apart:
        material = room.room.face_material
        owner = np.full(len(room.boxes), -1)
        for k, thing in enumerate(room.things):
            assert (owner[thing.parts] == -1).all(), "a part belongs to one thing"
            owner[thing.parts] = k
        assert np.array_equal(owner < 0, room.fixed)
        faces = np.isin(material, [room.room.materials.index(name) for name in surfaces])
        kinds = {room.things[k].kind if k >= 0 else "nobody" for k in owner[room.part_of_face[faces]]}
        allowed = {kind, "tall_oven"} if kind == "cabinet" else {kind}
        assert kinds <= allowed, (room.room.seed, kinds)
        found += bool(kinds)
    assert found >= 1


def test_walls_floor_door_and_window_are_no_things(apart):
    for room in apart:
        shell = [room.room.materials.index(name) for name in ("wall", "floor", "ceiling", "door", "window_pane")]
        faces = np.isin(room.room.face_material, shell)
        assert room.fixed[room.part_of_face[faces]].all()
        kinds = [t.kind for t in room.things if not t.hung]
        assert len(kinds) == len(room.plan.slots) + len(room.plan.pieces)


def test_the_plan_of_a_room_is_the_one_that_its_mesh_was_made_of(apart):
    with pytest.raises(DatasetError, match="found no plan that furnishes this room"):
        plan_of(replace(apart[0].room, seed=apart[0].room.seed + 1))
    for room in apart:
        points = np.asarray(room.room.mesh.vertices)
        assert np.allclose(to_map(room.room, to_room_axes(room.room, points)), points, atol=1e-9)
        assert np.array_equal(free_floor(room, standing_of(room)), room.room.free)
        assert all(within_reach(room, room.room.free, s) for s in standing_of(room) if s.thing.kind != "cabinet")


# --- changes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["moved or absent", "extra"])
def test_what_is_changed_at_a_share_is_changed_at_every_larger_one(apart, kind):
    for room in apart:
        every = [told(changes_of(room, share, 0, kind)) for share in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)]
        for less, more in zip(every, every[1:], strict=False):
            assert more[: len(less)] == less
        assert every[0] == []
        assert len(every[5]) == int(0.5 * len(room.things) + 0.5) or kind == "extra"
        names = [name for _, name, _ in every[5]]
        assert len(set(names)) == len(names), "nothing changes twice"


def test_half_are_moved_and_half_are_absent_and_the_draw_hangs_on_room_and_seed_alone(apart):
    for room in apart:
        changes = changes_of(room, 0.5, 0)
        moved = sum(c.what == "moved" for c in changes)
        assert abs(2 * moved - len(changes)) <= 1
        assert told(changes) == told(changes_of(furnishings(generate_room(room.room.seed)), 0.5, 0))
        assert told(changes) != told(changes_of(room, 0.5, 1))
    for share, kind in ((1.5, "moved"), (0.2, "painted")):
        with pytest.raises(ConfigError, match="changed rooms: found a share"):
            changes_of(apart[0], share, 0, kind)


@pytest.mark.parametrize("kind", ["moved or absent", "extra"])
def test_moved_things_stand_in_the_room_and_in_nobodys_place(apart, kind):
    for room in apart:
        standing = standing_of(room)
        for change in changes_of(room, 0.5, 0, kind):
            standing = after(standing, change)
            if change.to is None:
                continue
            r, plan = change.to.rect, room.plan
            old = change.thing.rect
            assert min(r.x0, r.y0) > -1e-6 and r.x1 < plan.width + 1e-6 and r.y1 < plan.depth + 1e-6
            assert not r.overlaps(plan.door_zone()) and not (plan.notch and r.overlaps(plan.notch))
            if kind != "extra":
                assert np.hypot(r.x0 + r.x1 - old.x0 - old.x1, r.y0 + r.y1 - old.y0 - old.y1) / 2 >= MOVED_M
            others = [s for s in standing if s is not change.to and not s.thing.hung]
            assert change.thing.hung or not any(r.overlaps(s.rect, -1e-3) for s in others)


@pytest.mark.parametrize("kind", ["moved or absent", "extra"])
def test_the_mesh_of_an_older_room_has_no_two_parts_in_one_place(apart, kind):
    """Boxes around connected parts, counted from the mesh itself: a moved one meets others' by a handle at most."""
    for room in apart:
        changes = changes_of(room, 0.5, 0, kind)
        older = older_room(room, changes)
        faces, new = np.asarray(older.mesh.faces), len(room.room.mesh.vertices)
        label = connected_component_labels(older.mesh.edges, node_count=len(older.mesh.vertices))[faces[:, 0]]
        corners = to_room_axes(older, np.asarray(older.mesh.vertices))[faces]
        shell = np.isin(older.face_material, [older.materials.index(n) for n in ("wall", "floor", "ceiling")])
        boxes = {
            part: (corners[label == part].min((0, 1)), corners[label == part].max((0, 1)))
            for part in np.unique(label[~shell])
        }
        start, groups = new, {}
        for number, change in enumerate(c for c in changes if c.to):
            count = len(np.unique(room.room.mesh.faces[np.isin(room.part_of_face, change.thing.parts)]))
            groups |= dict.fromkeys(label[(faces[:, 0] >= start) & (faces[:, 0] < start + count)], number)
            start += count
        assert start == len(older.mesh.vertices) and groups
        for part, number in groups.items():
            for other, (low, high) in boxes.items():
                if groups.get(other) != number:
                    shared = np.minimum(high, boxes[part][1]) - np.maximum(low, boxes[part][0])
                    assert shared.min() <= TOUCH_M + 1e-6, (room.room.seed, changes[number].thing.name)


def test_what_stands_or_hangs_at_another_wall_turns_its_handles_to_the_room(apart):
    checked = set()
    for room in apart:
        changes, start = changes_of(room, 0.5, 0, "moved"), len(room.room.mesh.vertices)
        older = older_room(room, changes)
        faces, local = np.asarray(older.mesh.faces), to_room_axes(older, np.asarray(older.mesh.vertices))
        for change in changes:
            count = len(np.unique(room.room.mesh.faces[np.isin(room.part_of_face, change.thing.parts)]))
            own = (faces[:, 0] >= start) & (faces[:, 0] < start + count)
            start += count
            handles = own & (older.face_material == older.materials.index("handle"))
            if change.to.wall is None or not handles.any():
                continue
            x, y, yaw = room.plan.wall_frame(change.to.wall)
            into_room = (local[:, :2] - (x, y)) @ np.array([-np.sin(yaw), np.cos(yaw)])
            assert into_room[faces[handles]].min() > into_room[faces[own]].mean() > 0
            checked.add(change.to.turns)
    assert {1, 3} & checked


def test_nothing_stands_on_the_free_floor_of_an_older_room(apart):
    """Rays from where the scan may walk, below worktops and at the eyes: nothing but a chair is nearer than a body."""
    angles = np.arange(16) * np.pi / 8
    rays = np.column_stack([np.cos(angles), np.sin(angles), np.zeros(16)])
    for room in apart:
        older = older_room(room, changes_of(room, 0.5, 0))
        assert not np.array_equal(older.free, room.room.free)
        where = older.free_centres()[::3]
        for height in (0.5, 1.6):
            eyes = np.column_stack([where, np.full(len(where), height)])
            away, face = first_hit(older, np.repeat(eyes, 16, axis=0), np.tile(rays, (len(eyes), 1)))
            chair = older.face_material[face] == older.materials.index("chair")
            assert away[~chair].min() > 0.15


def test_what_is_not_changed_stays_bit_for_bit_and_what_moves_keeps_its_shape(apart):
    for room in apart:
        changes = changes_of(room, 0.5, 0)
        older, own = older_room(room, changes), np.asarray(room.room.mesh.vertices)
        gone = np.isin(room.part_of_face, np.concatenate([c.thing.parts for c in changes]))
        kept = int((~gone).sum())
        assert np.array_equal(older.mesh.faces[:kept], room.room.mesh.faces[~gone])
        assert np.array_equal(older.mesh.vertices[: len(own)], own)
        start = len(own)
        for change in (c for c in changes if c.to):
            was = own[np.unique(room.room.mesh.faces[np.isin(room.part_of_face, change.thing.parts)])]
            now = np.asarray(older.mesh.vertices)[start : start + len(was)]
            start += len(was)
            some = slice(None, None, max(1, len(was) // 40))
            assert np.allclose(pdist(was[some]), pdist(now[some]), atol=1e-9)
            assert np.allclose(was[:, 2], now[:, 2]) and not np.allclose(was, now)
        assert older_room(room, []) is room.room


# --- older maps of a dataset -----------------------------------------------------------------------------------------


@pytest.mark.whole
def test_rooms_are_rebuilt_from_their_seeds_to_the_last_bit_of_their_scans(recorded, tmp_path):
    prepared, root = recorded[0].prepared, recorded[0].dataset()
    check_rebuilt(prepared, root, prepared.rooms)
    room = next(iter(prepared.rooms))
    source = prepared.rooms[room].source
    (tmp_path / "takes" / source / "trajectory").mkdir(parents=True)
    shutil.copy(root / CARD, tmp_path / CARD)
    cloud, job = open_map(root / "takes" / source), take_jobs(root)[source]
    again = as_stored(scan_room(generate_room(job.room_seed, job.room_id), job.seed + 1))
    assert not np.array_equal(cloud.points_world_m, again.points_world_m)
    write_cloud(tmp_path / "takes" / source / "trajectory" / "semidense_points.csv.gz", again, "g", Stamp("2", "0"))
    with pytest.raises(DatasetError, match="found another scan than its seed gives"):
        check_rebuilt(prepared, tmp_path, [room])


@pytest.mark.whole
def test_no_change_at_all_is_the_same_map_and_the_same_scores(recorded, tmp_path):
    run, _ = recorded
    same = changed_prepared(run.prepared, run.dataset(), 0.0)
    for name, room in run.prepared.rooms.items():
        for part in ("points", "valid", "empty", "free", "cloud", "scan"):
            assert np.array_equal(getattr(room, part), getattr(same.rooms[name], part))
        assert room.grid.side_m == same.rooms[name].grid.side_m and room.source == same.rooms[name].source
    parts = Parts(run)
    features = changed_features(parts.stage1, parts.methods.features, same, tmp_path)
    take = run.prepared.by_split("test-unseen")[0]
    twin = same.by_split("test-unseen")[0]
    assert isinstance(twin, ChangedTake) and np.array_equal(twin.cell, take.cell)
    before, now = parts.lines(run.prepared, parts.methods.features), parts.lines(same, features)
    for method in before:
        one, two = score_take(run.prepared, take, before[method](take)), score_take(same, twin, now[method](twin))
        assert one == pytest.approx(two, nan_ok=True, abs=1e-4), method


@pytest.mark.whole
def test_the_same_seconds_count_on_every_map_and_each_has_the_nearest_cell(recorded):
    run, _ = recorded
    maps = older_maps(run, (UNCHANGED, AGAIN, *map(Condition, SHARES)))
    assert len({m.identity.key for m in maps.values()}) == len(maps)
    changed = 0
    for condition, prepared in maps.items():
        for split in SPLITS:
            for take, own in zip(prepared.by_split(split), run.prepared.by_split(split), strict=True):
                assert np.array_equal(take.cell >= 0, own.cell >= 0)
                grid, known = prepared.rooms[take.room].grid, take.cell >= 0
                at_truth = np.asarray(take.position, float)[known]
                away = np.linalg.norm(grid.cell_centres[None] - at_truth[:, None], axis=2)
                assert np.allclose(away[np.arange(len(away)), take.cell[known]], away.min(axis=1), atol=1e-5)
                counted = {
                    c: score_take(p, t, priors.chance(p, t))["micro_n"]
                    for c, p, t in ((condition, prepared, take), (UNCHANGED, run.prepared, own))
                }
                assert len(set(counted.values())) == 1
                changed += grid.side_m != run.prepared.rooms[own.room].grid.side_m
        for take, own in zip(prepared.by_split("val-unseen"), run.prepared.by_split("val-unseen"), strict=True):
            assert prepared.rooms[take.room] is run.prepared.rooms[own.room], "no test take was recorded there"
    assert changed


@pytest.mark.whole
def test_a_second_off_the_older_square_is_a_miss_and_not_left_out(recorded):
    prepared = recorded[0].prepared
    take = prepared.by_split("test-seen")[0]
    far = MapGrid(np.asarray(prepared.rooms[take.room].grid.centre_xy_m) + 50.0, 2.0, 0.0)
    moved = ChangedTake(
        take.path, take.name, take.room, take.participant, take.split, take.seconds, take.start_s, far
    )  # fmt: skip
    there = replace(prepared, rooms={take.room: replace(prepared.rooms[take.room], grid=far)})
    scores = score_take(there, moved, priors.chance(there, moved))
    assert scores["micro_n"] == (take.cell >= 0).sum() > 0 and scores[SUCCESS] == 0.0
    assert np.isfinite(scores["RS"])


@pytest.mark.whole
def test_occupancy_is_counted_where_one_trained_and_taken_as_it_was_elsewhere(recorded):
    run, _ = recorded
    given = older_maps(run, (Condition(0.5),))[Condition(0.5)]
    seen, unseen = (given.by_split(split)[0] for split in SPLITS)
    habit = occupancy(run.prepared, given, unseen).confidence[0]
    assert np.array_equal(habit, priors.room_occupancy(run.prepared, unseen.room))
    here = occupancy(run.prepared, given, seen).confidence[0]
    assert np.array_equal(here, priors.room_occupancy(given, seen.room))
    centre = given.rooms[seen.room].grid.cell_centres[here.argmax()]
    walked = np.concatenate([t.position for t in given.by_split("train") if t.room == seen.room])
    assert np.linalg.norm(walked - centre, axis=1).min() < 0.5


# --- the record ------------------------------------------------------------------------------------------------------


@pytest.mark.whole
def test_every_method_stands_on_every_map_beside_itself_on_the_map_as_it_is(recorded):
    rows = {row["id"]: row for row in read("changed_maps_smoke", results_dir=recorded[1])}
    conditions = (UNCHANGED, AGAIN, *map(Condition, SHARES))
    methods = (*OURS, FREE, HABIT, "IMU alone", RECKONED)
    assert set(rows) == {row_id(s, at(m, c)) for s in SPLITS for m in methods for c in conditions}
    for split in SPLITS:
        for method in methods:
            base = rows[row_id(split, at(method, UNCHANGED))]
            assert FROM_UNCHANGED not in base["config"] and set(base["mean"]) <= set(METRICS)
            for condition in conditions[1:]:
                row = rows[row_id(split, at(method, condition))]
                gain = row["config"][FROM_UNCHANGED][SUCCESS]["mean"]
                assert gain == pytest.approx(row["mean"][SUCCESS] - base["mean"][SUCCESS], abs=0.02)
                assert row["config"]["takes"] == len(recorded[0].prepared.by_split(split))
                changed = row["config"]["moved a room"] + row["config"]["absent a room"]
                assert changed == pytest.approx(condition.share * row["config"]["things a room"], abs=0.51)
                assert (BESIDE in row["config"]) == (method in OURS)
        reckoned = [rows[row_id(split, at(RECKONED, c))]["mean"][SUCCESS] for c in conditions]
        assert len(set(reckoned)) == 1, "dead reckoning never sees the map"


@pytest.mark.whole
def test_a_recording_is_found_again_and_read_in_words_and_as_a_figure(recorded):
    run, results = recorded
    made = {p: p.stat().st_mtime_ns for p in (run.dir / "changed-maps-smoke").rglob("*")}
    record_changed_maps(run.dir, "smoke", (0,), results_dir=results, shares=SHARES)
    assert {p: p.stat().st_mtime_ns for p in (run.dir / "changed-maps-smoke").rglob("*")} == made
    said = recorded_reading("smoke", results_dir=results)
    for split in SPLITS:
        for method in (FULL, TRACKED, FREE):
            assert f"{split}: at 50 % changed {method} " in said
    frame = recorded_changes("smoke", results_dir=results)
    assert set(frame.share) == {0.0, *SHARES} and (frame.low <= frame["mean"] + 1e-6).all()
    figure = plots.changes_figure(frame, highlight=FULL, title="changed maps")
    assert [a.text for a in figure.layout.annotations] == list(SPLITS)
    assert figure.layout.xaxis.title.text and figure.layout.yaxis.title.text
    assert len(figure.to_json()) < 250_000
    line = next(t for t in figure.data if t.name == TRACKED)
    rows = frame[(frame.split == SPLITS[0]) & (frame.method == TRACKED) & (frame.walk == 0)].sort_values("share")
    assert np.allclose(line.x, 100 * rows.share) and np.allclose(line.y, rows["mean"], atol=1e-4)
    assert recorded_reading("smoke", results_dir=results / "none") == ""


def test_a_loss_is_told_from_where_it_shows_and_beside_what_is_still_beaten():
    success = {"seen": {"ours": {0.0: told_as(30, 25, 35), 0.2: told_as(26, 20, 31), 0.5: told_as(20, 15, 25)}}}
    losses = {"seen": {"ours": {0.2: told_as(-4, -6, -2), 0.5: told_as(-10, -12, -8)}}}
    margins = {"seen": {"ours": {"free space": told_as(8, 5, 11), "habit": told_as(1, -4, 6)}}}
    said = changed_reading(success, losses, margins, {"seen": {"ours": told_as(-0.5, -1, 0)}})
    assert said == (
        "seen: at 50 % changed ours loses 10.0 points [8.0, 12.0], from 30.0 to 20.0 %; a loss is told at 20 % "
        "already; another scan of the unchanged room: -0.5 [-1.0, 0.0] points; still better than free space; not "
        "shown to be better than habit."
    )
    losses["seen"]["ours"][0.5] = told_as(-3, -9, 2)
    assert "moves by -3.0 [-9.0, 2.0] points, which tells nothing" in changed_reading(success, losses, {})
    losses["seen"]["ours"][0.5] = told_as(0.1, -1.0, 1.0)
    assert "is as good (0.1 [-1.0, 1.0] points)" in changed_reading(success, losses, margins)
