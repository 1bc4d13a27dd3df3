"""Rooms, scans and frames of SynthKitchen: rules of the layout, geometry in the map frame, what can be seen."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from eailkit.errors import ConfigError
from eailkit.synthkitchen.camera import render_frames
from eailkit.synthkitchen.mesh import Materials, MeshBuilder, to_trimesh
from eailkit.synthkitchen.parallax import ParallaxConfig, inverse_distance_std
from eailkit.synthkitchen.raycast import first_hit
from eailkit.synthkitchen.room import FIXTURE_KINDS, Room, RoomConfig, generate_room
from eailkit.synthkitchen.scan import ScanConfig, scan_room, scan_walk

SEEDS = range(200)
SURE = ParallaxConfig(systematic_px=1e-6, noise_px=0.0)
EXACT = ScanConfig(parallax=SURE, pose_std_m=0.0, outlier_share=0.0, false_share=0.0, points=20_000)


@pytest.fixture(scope="module")
def rooms() -> list[Room]:
    return [generate_room(seed) for seed in SEEDS]


@pytest.fixture(scope="module")
def l_room(rooms) -> Room:
    return next(r for r in rooms if r.shape == "l")


def in_room_axes(room: Room, xy: np.ndarray) -> np.ndarray:
    c, s = np.cos(room.yaw_rad), np.sin(room.yaw_rad)
    return (np.asarray(xy) - room.origin_xy_m) @ np.array([[c, -s], [s, c]])


def surface_under(room: Room, xy: np.ndarray, from_z: float) -> list[str]:
    """Material of what lies below points at a height."""
    start = np.column_stack([xy, np.full(len(xy), from_z)])
    _, face = first_hit(room, start, np.tile([0.0, 0.0, -1.0], (len(xy), 1)))
    return [room.materials.names[i] for i in room.face_material[face]]


def solid_vertices(room: Room) -> np.ndarray:
    """Vertices from shin to chest of all that a body can't push aside or brush past."""
    yields = ("chair", "chrome", "window_frame", "curtain", "plant")  # handles, sills and switches, leaves
    material = np.empty(len(room.mesh.vertices), int)
    material[room.mesh.faces.ravel()] = np.repeat(room.face_material, 3)
    v = np.asarray(room.mesh.vertices)
    return v[~np.isin(material, [room.materials.index(n) for n in yields]) & (v[:, 2] > 0.15) & (v[:, 2] < 1.3)]


def naive_hits(room: Room, origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """First hits by Möller and Trumbore's test of every ray against every triangle, in double precision."""
    corner = room.mesh.vertices[room.mesh.faces]
    e1, e2 = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    nearest = np.full(len(origin), np.inf)
    for i, (o, d) in enumerate(zip(origin, direction, strict=True)):
        p = np.cross(d, e2)
        det = (e1 * p).sum(1)
        with np.errstate(divide="ignore", invalid="ignore"):
            t0 = o - corner[:, 0]
            u = (t0 * p).sum(1) / det
            q = np.cross(t0, e1)
            v, t = (q @ d) / det, (e2 * q).sum(1) / det
            ok = (np.abs(det) > 1e-14) & (u >= -1e-9) & (v >= -1e-9) & (u + v <= 1 + 1e-9) & (t > 1e-6)
        nearest[i] = t[ok].min(initial=np.inf)
    return nearest


def test_a_seed_is_a_room():
    a, b, other = generate_room(7), generate_room(7), generate_room(8)
    np.testing.assert_array_equal(a.mesh.vertices, b.mesh.vertices)
    np.testing.assert_array_equal(a.free, b.free)
    assert [f.name for f in a.fixtures] == [f.name for f in b.fixtures]
    assert a.room_id == "kitchen_7" and generate_room(7, "blue").room_id == "blue"
    assert len(a.mesh.vertices) != len(other.mesh.vertices) or not np.allclose(a.mesh.vertices, other.mesh.vertices)
    np.testing.assert_array_equal(a.materials.rgb, b.materials.rgb)
    scan_a, scan_b, scan_c = (scan_room(r, s).points_world_m for r, s in ((a, 1), (b, 1), (a, 2)))
    np.testing.assert_array_equal(scan_a, scan_b)
    assert not np.array_equal(scan_a[:100], scan_c[:100])


def test_area_sides_are_those_of_the_paper(rooms):
    sides = np.array([r.area_side_m for r in rooms])
    assert sides.min() >= 2.0 and sides.max() <= 6.15
    assert 2.65 < sides.mean() < 2.95
    assert np.percentile(sides, 90) > 3.3  # large kitchens exist
    for room in rooms[:20]:  # the square holds the free floor and touches it
        offset = np.abs(room.free_centres() - room.area_centre_xy_m).max(0)
        assert offset.max() <= room.area_side_m / 2
        assert offset.max() > room.area_side_m / 2 - room.free_pitch_m


def test_every_stand_point_is_on_one_connected_floor(rooms):
    for room in rooms:
        label, count = ndimage.label(room.free)
        assert count == 1
        stand = np.array([f.stand_xy_m for f in room.fixtures])
        iy, ix = room.free_index(stand).T
        assert room.free[iy, ix].all(), room.room_id
        np.testing.assert_allclose(room.free_origin_xy_m + room.free_pitch_m * np.stack([ix, iy], 1), stand, atol=0.026)


def test_fixtures_are_complete_and_within_reach(rooms):
    for room in rooms:
        kinds = {f.kind for f in room.fixtures}
        assert set(FIXTURE_KINDS) - {"table", "chair", "island"} <= kinds <= set(FIXTURE_KINDS)
        assert len({f.name for f in room.fixtures}) == len(room.fixtures)
        for f in room.fixtures:
            to_work = f.work_point_m[:2] - f.stand_xy_m
            assert 0.2 < np.linalg.norm(to_work) < 1.15, (room.room_id, f.name)
            turn = np.angle(np.exp(1j * (np.arctan2(to_work[1], to_work[0]) - f.facing_rad)))
            assert abs(turn) < 1e-6
            assert 0.05 < f.work_point_m[2] < 2.0
    assert sum(bool(r.of_kind("table")) for r in rooms) > 30
    assert sum(bool(r.of_kind("island")) for r in rooms) > 3
    assert {r.counters for r in rooms} == {"single", "galley", "l", "u"}


def test_rules_of_kitchen_planning(rooms):
    for room in rooms:
        stove, sink, fridge, washer = (room.of_kind(k)[0] for k in ("stove", "sink", "fridge", "dishwasher"))
        place = {f.kind: in_room_axes(room, f.box_centre_m[:2]) for f in (stove, sink, fridge, washer)}
        gap = np.linalg.norm(place["stove"] - place["fridge"]) - (stove.box_size_m[0] + fridge.box_size_m[0]) / 2
        assert gap > 0.25, f"{room.room_id}: the stove touches the fridge"
        assert np.linalg.norm(place["sink"] - place["dishwasher"]) < 0.85
        legs = [
            np.linalg.norm(place[a] - place[b]) for a, b in (("sink", "stove"), ("stove", "fridge"), ("fridge", "sink"))
        ]
        assert min(legs) > 0.6 and sum(legs) < 10
        assert 0.86 <= room.of_kind("counter")[0].box_centre_m[2] + 0.04 <= 1.15
        assert 1.69 < fridge.box_size_m[2] < 1.91


def test_floor_in_front_of_appliances_stays_clear(rooms):
    """No vertex of anything but a chair within 0.8 m in front of an appliance's middle, from shin to chest."""
    for room in rooms[:60]:
        v = solid_vertices(room)
        for kind in ("sink", "stove", "oven", "fridge", "dishwasher"):
            f = room.of_kind(kind)[0]
            c, s = np.cos(f.box_yaw_rad), np.sin(f.box_yaw_rad)
            along, out = ((v[:, :2] - f.box_centre_m[:2]) @ np.array([[c, -s], [s, c]])).T
            out = out - f.box_size_m[1] / 2
            blocking = (np.abs(along) < 0.2) & (out > 0.06) & (out < 0.8)
            assert not blocking.any(), (room.room_id, kind)


def test_free_floor_agrees_with_the_mesh(rooms):
    """Below chest height nothing but chairs (and handles) comes nearer to a free cell than the body's radius."""
    for room in rooms[:40]:
        below = set(surface_under(room, room.free_centres(), 1.25))
        assert below <= {"floor", "rug", "chair", "table", "bin", "chrome"}, (room.room_id, below)
        v = solid_vertices(room)
        nearest = np.linalg.norm(room.free_centres()[::7, None] - v[None, :, :2], axis=2).min()
        assert nearest > 0.15, room.room_id


def test_rows_and_columns_of_the_free_grid_never_swap(l_room, rooms):
    """The free floor of an L-shaped, turned room lies on its floor; the transposed grid wouldn't."""
    below = surface_under(l_room, l_room.free_centres(), 1.25)
    assert "wall" not in below and "floor" in below
    swapped = replace(l_room, free=l_room.free.T.copy())
    iy, ix = np.nonzero(swapped.free)
    xy = swapped.free_origin_xy_m + swapped.free_pitch_m * np.stack([ix, iy], axis=1)
    size = l_room.size_m[:2]
    local = in_room_axes(l_room, xy)
    outside = ((local < 0) | (local > size)).any(axis=1)
    under = np.array(surface_under(l_room, xy, 1.25))
    assert (outside | ~np.isin(under, ["floor", "rug", "chair", "chrome"])).mean() > 0.05
    assert sum(r.shape == "l" for r in rooms) > 10


def test_rooms_lie_turned_and_shifted_in_the_map(rooms):
    for room in rooms[:10]:
        normal, area = room.mesh.face_normals, room.mesh.area_faces
        wall = (room.face_material == room.materials.index("wall")) & (np.abs(normal[:, 2]) < 0.1)
        angle = np.arctan2(normal[wall, 1], normal[wall, 0])
        mean = np.angle((area[wall] * np.exp(4j * angle)).sum()) / 4  # walls repeat every quarter turn
        assert abs(np.angle(np.exp(4j * (mean - room.yaw_rad)))) < 1e-6
        assert abs(room.mesh.bounds[0, 2]) < 0.11  # floor at zero, its slab below
    turned = np.abs(np.angle(np.exp(4j * np.array([r.yaw_rad for r in rooms])))) / 4
    assert np.median(turned) > np.deg2rad(15)
    centres = np.array([r.area_centre_xy_m for r in rooms])
    assert (np.abs(centres).max(0) > 3).all() and (centres.std(0) > 2).all()


def test_impossible_sizes_are_refused():
    with pytest.raises(ConfigError, match="RoomConfig"):
        RoomConfig(min_side_m=0.5)


def test_rooms_can_be_sent_to_a_worker():
    room = generate_room(3)
    first_hit(room, np.array([[*room.free_centres()[0], 1.6]]), np.array([[0.0, 0.0, -1.0]]))
    again = pickle.loads(pickle.dumps(room))
    np.testing.assert_array_equal(again.mesh.vertices, room.mesh.vertices)


def test_shapes_are_closed_and_in_place():
    builder = MeshBuilder(Materials(("a",), np.ones((1, 3)), np.zeros(1)))
    builder.frame(1.0, 2.0, 0.5, np.pi / 2).box((0, 0, 0), (0.4, 0.2, 0.1), "a")
    mesh = to_trimesh(*builder.build()[:2])
    np.testing.assert_allclose(mesh.bounds, [[0.8, 2.0, 0.5], [1.0, 2.4, 0.6]], atol=1e-12)
    assert mesh.is_watertight and mesh.volume == pytest.approx(0.008)
    builder = MeshBuilder(Materials(("a",), np.ones((1, 3)), np.zeros(1)))
    builder.frame().lathe((0, 0, 1.0), [(0.5, 0), (0.5, 2.0)], "a", sides=64)
    mesh = to_trimesh(*builder.build()[:2])
    assert mesh.is_watertight and mesh.volume == pytest.approx(np.pi * 0.25 * 2, rel=0.01)


def test_rays_agree_with_a_naive_intersection():
    room = generate_room(11)
    rng = np.random.default_rng(0)
    direction = rng.normal(size=(60, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    floor = room.free_centres()
    origin = np.column_stack([floor[rng.integers(len(floor), size=60)], np.full(60, 1.5)])
    distance, face = first_hit(room, origin, direction)
    expected = naive_hits(room, origin, direction)
    assert (face >= 0).all()  # the room is closed
    np.testing.assert_allclose(distance, expected, atol=2e-5)


def test_scan_points_lie_on_surfaces_and_are_seen_from_the_walk():
    room = generate_room(11)
    points = scan_room(room, 5, config=EXACT).points_world_m[:40]
    rng = np.random.default_rng([5, room.seed, 0x5CA4])
    grow = float(np.clip(room.area_side_m / 2.8, 0.85, 1.5))
    eyes = scan_walk(room, rng, round(EXACT.places * grow), EXACT)
    visible = np.zeros(len(points), bool)
    for eye in eyes:  # a point is right where some eye's ray to it ends on a surface at its distance
        todo = np.nonzero(~visible)[0]
        ray = points[todo] - eye
        reach = np.linalg.norm(ray, axis=1)
        hit = naive_hits(room, np.repeat(eye[None], len(todo), 0), ray / reach[:, None])
        visible[todo] = np.abs(hit - reach) < 2e-3
    assert visible.mean() > 0.95


def test_noise_of_the_scan_is_what_its_std_says():
    room = generate_room(11)
    cloud = scan_room(room, 5)
    kept = cloud.confident()
    assert 0.1 < len(kept) / len(cloud) < 0.3  # 0.22 on the real walk
    assert cloud.dist_std is not None and (cloud.dist_std > 0.5).mean() > 0.01
    assert np.abs(cloud.points_world_m).max() > 30.0  # some outliers are far away
    local = in_room_axes(room, kept.points_world_m[:, :2])
    inside = ((local > -0.05) & (local < room.size_m[:2] + 0.05)).all(axis=1)
    assert inside.mean() > 0.99
    floor = room.free_centres()
    on_floor = (np.abs(kept.points_world_m[:, 2]) < 0.04) & (
        np.linalg.norm(kept.points_world_m[:, None, :2] - floor[None, ::40], axis=2).min(1) < 0.1
    )
    error = kept.points_world_m[on_floor, 2]
    assert on_floor.sum() > 60
    assert abs(np.median(error)) < 0.003 and 0.001 < error.std() < 0.015


def test_a_point_is_known_by_the_way_walked_across_it():
    ahead, aside = np.array([[1.0, 0.0, 0.0]]), np.array([[0.0, 1.0, 0.0]])
    up, level = np.array([[0.0, 0.0, 1.0]]), np.array([[1.0, 0.0, 0.0]])
    corner, one, far = np.zeros((1, 3)), np.ones(1), np.full(1, 4.0)
    of = lambda ray, across, contrast, s: inverse_distance_std(ray, far, ahead, contrast, across, s)[0]  # noqa: E731
    assert of(ahead, corner, one, one) > 5 * of(aside, corner, one, one)  # no parallax straight ahead
    assert of(aside, up, one, one) > 3 * of(aside, level, one, one)  # an edge along the walk slides along itself
    assert of(aside, corner, 0.05 * one, one) > 1.5 * of(aside, corner, one, one)
    np.testing.assert_allclose(of(aside, corner, one, one) / of(aside, corner, one, 2 * one), 2.0, rtol=0.02)
    near = inverse_distance_std(aside, np.full(1, 0.4), ahead, one, corner, 4 * one)[0]
    assert near > 2 * of(aside, corner, one, 4 * one)  # what is near leaves the view soon

    # least squares over simulated shifts has the error that the formula claims
    config, rng = ParallaxConfig(systematic_px=0.0, noise_px=0.5, sway_m=0.0), np.random.default_rng(0)
    way = config.speed_mps * np.arange(1, 41) / config.rate_hz
    shift_rad = way / 4.0 + 0.5 / config.focal_px * rng.normal(size=(4000, 40))
    found = (shift_rad @ way) / (way @ way)
    claimed = inverse_distance_std(aside, far, ahead, one, corner, 4 * one, config)[0]
    np.testing.assert_allclose(found.std(), claimed, rtol=0.05)


def test_closed_furniture_is_empty_inside(rooms):
    """Occlusion: no point of a scan lies inside the fridge, the dishwasher or the walled-off corner."""
    for room in (rooms[0], rooms[5]):
        points = scan_room(room, 1, config=EXACT).points_world_m
        for kind in ("fridge", "dishwasher"):
            f = room.of_kind(kind)[0]
            c, s = np.cos(f.box_yaw_rad), np.sin(f.box_yaw_rad)
            local = points - f.box_centre_m
            local[:, :2] = local[:, :2] @ np.array([[c, -s], [s, c]])
            half = f.box_size_m / 2 - np.array([0.05, 0.13, 0.12])
            assert not (np.abs(local) < half).all(axis=1).any()


def test_edges_are_denser_than_blank_surfaces():
    room = generate_room(11)
    points = scan_room(room, 1, config=EXACT).points_world_m
    local = in_room_axes(room, points[:, :2])
    width, depth, height = room.size_m
    to_wall = np.minimum(np.minimum(local[:, 0], width - local[:, 0]), np.minimum(local[:, 1], depth - local[:, 1]))
    ceiling = np.abs(points[:, 2] - height) < 0.01
    lamp = np.linalg.norm(local - [width / 2, depth / 2], axis=1) < 0.35
    edge, blank = ceiling & (to_wall < 0.05), ceiling & (to_wall > 0.3) & ~lamp
    edge_area = width * depth - (width - 0.1) * (depth - 0.1)
    blank_area = (width - 0.6) * (depth - 0.6) - np.pi * 0.35**2
    assert edge.sum() / edge_area > 20 * blank.sum() / blank_area
    rgb_edge = np.abs(points[:, 2] - room.of_kind("counter")[0].box_centre_m[2]) < 0.2  # at the worktop
    wall_band = (points[:, 2] > 2.3) & (points[:, 2] < height - 0.1)
    assert rgb_edge.sum() > 5 * wall_band.sum()


def look_yaw(room: Room, kind: str) -> float:
    return room.of_kind(kind)[0].facing_rad


def look(room: Room, kind: str) -> tuple[np.ndarray, np.ndarray]:
    f = room.of_kind(kind)[0]
    pose = Rotation.from_euler("zy", [[f.facing_rad, 0.3]]).as_quat()
    return np.array([[*f.stand_xy_m, 1.62]]), pose


def recoloured(room: Room, name: str) -> Room:
    rgb = room.materials.rgb.copy()
    rgb[room.materials.index(name)] = (1.0, 0.0, 1.0)
    return replace(room, materials=replace(room.materials, rgb=rgb))


def test_who_stands_at_the_sink_sees_the_sink(rooms):
    for room in rooms[:6]:
        changed = recoloured(room, "sink_steel")
        before, after = (render_frames(r, *look(room, "sink")) for r in (room, changed))
        where = (before != after).any(axis=3)[0]
        assert where.mean() > 0.015
        row, column = np.nonzero(where)
        assert 12 < column.mean() < 52 and row.mean() > 26  # ahead, in the lower part
        away = (look(room, "sink")[0], Rotation.from_euler("zy", [[look_yaw(room, "sink") + np.pi, 0.0]]).as_quat())
        np.testing.assert_array_equal(*(render_frames(r, *away) for r in (room, changed)))


def test_frames_turn_with_the_head_and_show_hands():
    room = generate_room(2)
    position, _ = look(room, "sink")
    up = Rotation.from_euler("y", [[-1.2]]).as_quat()  # positive pitch looks down in these axes
    down = Rotation.from_euler("y", [[1.0]]).as_quat()
    names = {}
    for name, quat in (("ceiling", up), ("floor", down)):
        changed = recoloured(room, name)
        seen = render_frames(room, position, quat) != render_frames(changed, position, quat)
        names[name] = seen.any(axis=3).mean()
    assert names["ceiling"] > 0.3 and names["floor"] > 0.1
    quat = look(room, "sink")[1]
    forward = Rotation.from_quat(quat).apply([[0.4, 0.0, -0.25]])
    left = Rotation.from_quat(quat).apply([[0.4, 0.15, -0.25]])
    hands = np.stack([left, np.full((1, 3), np.nan)], axis=1) + position[:, None]
    plain = render_frames(room, position, quat)
    with_hand = render_frames(room, position, quat, hands_world_m=hands, held_rgb=np.array([[0.0, 1.0, 0.0]]))
    changed = (plain != with_hand).any(axis=3)[0]
    assert 0.01 < changed.mean() < 0.4
    assert np.nonzero(changed)[1].mean() < 32  # the left hand is on the left
    assert ((with_hand[0, ..., 1] > 120) & (with_hand[0, ..., 0] < 10)).any()  # the held thing
    behind = np.stack([position - forward, position - forward], axis=1)
    assert plain.shape == (1, 64, 64, 3) and plain.dtype == np.uint8
    away = render_frames(room, position, quat, hands_world_m=np.full_like(behind, np.nan))
    np.testing.assert_array_equal(away, plain)
