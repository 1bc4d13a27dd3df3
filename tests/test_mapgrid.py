"""The square on the map and its local clouds: labels, rows against columns, estimation, column contents."""

import time
from itertools import product

import numpy as np
import pytest
from fake_dataset import room_cloud
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from eailkit.datasets import open_map
from eailkit.errors import MapError
from eailkit.files import DATA_SAMPLES
from eailkit.preprocess.mapgrid import (
    COLUMN_M,
    HEAVY,
    VOXEL_M,
    LocalClouds,
    MapGrid,
    estimate_grid,
    free_cells,
    local_clouds,
    soft_voxels,
)
from eailkit.recording import PointMap

coordinates = st.floats(-50, 50)
grids = st.builds(
    lambda x, y, side, n: MapGrid(np.array([x, y]), side, 0.0, n),
    coordinates,
    coordinates,
    st.floats(0.5, 12),
    st.integers(2, 25),
)


def l_shaped_room(yaw: float, shift, seed: int = 0):
    """Points of an L: a 4 m x 1.6 m arm along x and a 1.4 m x 3 m arm along y, turned by yaw; corners, points."""
    rng = np.random.default_rng(seed)
    corners = np.array([[0, 0], [4, 0], [4, 1.6], [1.4, 1.6], [1.4, 3.0], [0, 3.0]], dtype=float)
    walls = []
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        n = int(1500 * np.linalg.norm(b - a) / 4)
        walls.append(np.column_stack([a + rng.random((n, 1)) * (b - a), rng.uniform(0, 2.3, n)]))
    floor = rng.uniform([0, 0], [4, 3], (5000, 2))
    floor = floor[(floor[:, 1] < 1.6) | (floor[:, 0] < 1.4)]
    points = np.concatenate([*walls, np.column_stack([floor, rng.normal(0, 0.01, len(floor))])])
    c, s = np.cos(yaw), np.sin(yaw)
    R = np.array([[c, -s], [s, c]])
    points[:, :2] = points[:, :2] @ R.T + shift
    return corners @ R.T + shift, points, R


@given(grids)
@settings(max_examples=50, deadline=None)
def test_cell_of_cell_centres_is_the_identity(grid):
    assert (grid.cell_of(grid.cell_centres) == np.arange(grid.n**2)).all()
    assert (grid.label(grid.cell_centres) == np.arange(grid.n**2)).all()


@given(grids, coordinates, coordinates)
@settings(max_examples=200, deadline=None)
def test_cell_of_is_the_nearest_centre(grid, x, y):
    distance = np.linalg.norm(grid.cell_centres - (x, y), axis=1)
    assert distance[grid.cell_of(np.array([x, y]))] == pytest.approx(distance.min(), abs=1e-6)


@given(grids, st.floats(0, 2 * np.pi), st.floats(0, 3))
@settings(max_examples=200, deadline=None)
def test_label_is_missing_only_beyond_one_pitch(grid, angle, pitches):
    """Walk straight away from the square's border: the label ends after one pitch and not before."""
    direction = np.array([np.cos(angle), np.sin(angle)])
    border = np.clip(direction * grid.side_m, -grid.side_m / 2, grid.side_m / 2)
    outwards = direction * grid.side_m - border
    outwards /= max(np.linalg.norm(outwards), 1e-12)
    xy = grid.centre_xy_m + border + outwards * pitches * grid.pitch_m
    if abs(pitches - 1) > 1e-6:
        assert (grid.label(xy) == -1) == (pitches > 1)
    if pitches <= 0.999:
        assert grid.label(xy) == grid.cell_of(xy)


def test_label_of_unknown_position_is_missing_and_cell_of_refuses_it():
    grid = MapGrid(np.zeros(2), 2.0, 0.0)
    assert grid.label(np.array([[np.nan, 0.0], [0.0, 0.0]])).tolist() == [-1, 210]
    with pytest.raises(MapError, match="NaN"):
        grid.cell_of(np.array([np.nan, 0.0]))


def test_rows_run_along_world_y_and_columns_along_x():
    grid = MapGrid(np.array([10.0, -3.0]), 4.0, 0.0)
    assert grid.cell_of(np.array([8.1, -4.9])) == 0
    assert grid.cell_of(np.array([11.9, -4.9])) == 19  # far along x: last column of the first row
    assert grid.cell_of(np.array([8.1, -1.1])) == 380  # far along y: first column of the last row
    np.testing.assert_allclose(grid.cell_centres[1] - grid.cell_centres[0], [0.2, 0.0], atol=1e-12)


@pytest.mark.parametrize("yaw", [0.0, 0.5, 2.2, -1.1])
def test_l_shaped_turned_room_keeps_rows_and_columns_apart(yaw):
    """A lone post must be in the cloud of the cell where it stands, and not in the transposed cell's."""
    shift = np.array([3.0, -7.0])
    _, points, R = l_shaped_room(yaw, shift)
    post_xy = np.array([3.3, 0.7]) @ R.T + shift
    rng = np.random.default_rng(1)
    post = np.column_stack([post_xy + rng.normal(0, 0.01, (300, 2)), rng.uniform(2.5, 3.2, 300)])  # above all walls
    grid = estimate_grid(PointMap(points))
    clouds = local_clouds(np.concatenate([points, post]), grid, points_per_cell=2048)
    has_post = (clouds.points[..., 2] > 2.45).any(axis=1) & clouds.valid.any(axis=1)
    near = (np.abs(grid.cell_centres - post_xy) < COLUMN_M / 2 - 0.05).all(axis=1)
    far = (np.abs(grid.cell_centres - post_xy) > COLUMN_M / 2 + 0.05).any(axis=1)
    assert has_post[near].all() and not has_post[far].any()
    cell = int(grid.cell_of(post_xy))
    transposed = (cell % 20) * 20 + cell // 20
    assert has_post[cell] and (abs(cell // 20 - cell % 20) < 6 or not has_post[transposed])


@pytest.mark.parametrize("yaw", [0.0, 0.7, 1.9])
def test_grid_covers_the_standing_floor_of_an_l_shaped_room(yaw):
    corners, points, R = l_shaped_room(yaw, np.array([-2.0, 5.0]))
    rng = np.random.default_rng(5)
    outliers = rng.uniform(-2000, 2000, (200, 3))
    grid = estimate_grid(PointMap(np.concatenate([points, outliers])))
    stand = rng.uniform([0.25, 0.25], [3.75, 2.75], (4000, 2))
    stand = stand[(stand[:, 1] < 1.35) | (stand[:, 0] < 1.15)] @ R.T + (-2.0, 5.0)
    inside = (np.abs(stand - grid.centre_xy_m) <= grid.side_m / 2).all(axis=1)
    assert inside.mean() >= 0.98
    assert grid.side_m <= np.ptp(corners, axis=0).max() + 0.15
    assert grid.floor_z_m == pytest.approx(0.0, abs=0.03)
    free = free_cells(points, grid)
    assert free[grid.cell_of(stand)].mean() > 0.85
    notch = np.array([3.0, 2.4]) @ R.T + (-2.0, 5.0)  # outside the L, inside its bounding box
    if (np.abs(notch - grid.centre_xy_m) < grid.side_m / 2).all():
        assert not free[grid.cell_of(notch)]


def test_grid_does_not_depend_on_outliers_or_order():
    points, inverse, distance = room_cloud(0)
    grid = estimate_grid(PointMap(points, inverse, distance))
    clean = estimate_grid(PointMap(points[:-40][::-1]))
    assert grid.side_m == pytest.approx(clean.side_m, abs=0.11)
    np.testing.assert_allclose(grid.centre_xy_m, clean.centre_xy_m, atol=0.06)
    assert grid.floor_z_m == pytest.approx(-1.5, abs=0.03)


def test_furniture_is_not_free_floor():
    points, *_ = room_cloud(0, yaw=0.0, centre=(0.0, 0.0))
    grid = MapGrid(np.zeros(2), 3.0, -1.5)
    free = free_cells(points, grid)
    assert not free[grid.cell_of(np.array([0.0, 1.35]))]  # the back of the counter
    assert free[grid.cell_of(np.array([0.0, -0.2]))]  # the middle of the floor
    assert free[grid.cell_of(np.array([0.0, 0.93]))]  # its front edge, over which heads lean


def test_area_overrides_the_square_and_must_be_positive():
    points = PointMap(room_cloud(0)[0])
    grid = estimate_grid(points, area=(1.0, 2.0, 3.5))
    assert (*grid.centre_xy_m, grid.side_m) == (1.0, 2.0, 3.5)
    assert grid.floor_z_m == pytest.approx(-1.5, abs=0.03)
    with pytest.raises(MapError, match="side"):
        estimate_grid(points, area=(0, 0, -1))


def test_a_map_that_is_no_room_is_refused_in_one_sentence():
    rng = np.random.default_rng(0)
    with pytest.raises(MapError, match="500 or more"):
        estimate_grid(PointMap(rng.normal(size=(100, 3))))
    wall = np.column_stack([rng.uniform(0, 3, 3000), rng.normal(0, 0.01, 3000), rng.uniform(0, 2, 3000)])
    with pytest.raises(MapError, match="floor to stand on"):
        estimate_grid(PointMap(wall))


def naive_nodes(points, seed: int = 0) -> list[tuple[float, np.ndarray]]:
    """Draw and centroid of each node of the lattice, smallest draw first, in Python's own loops and integers."""
    mass, total, mask = {}, {}, 2**64 - 1
    for p in points:
        low = [int(np.floor(v / VOXEL_M)) for v in p]
        for corner in product((0, 1), repeat=3):
            node = tuple(n + c for n, c in zip(low, corner, strict=True))
            weight = np.prod([1 - abs(v / VOXEL_M - n) for v, n in zip(p, node, strict=True)])
            mass[node] = mass.get(node, 0.0) + weight
            total[node] = total.get(node, 0.0) + weight * p
    usual = sum(m * m for m in mass.values()) / sum(mass.values())  # the mean over points
    keys = []
    for node, m in mass.items():
        if m < 0.1 * usual:
            continue
        x = seed
        for axis in node:  # splitmix64's finalizer after each index
            x = ((x ^ (axis & mask)) + 0x9E3779B97F4A7C15) & mask
            x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
            x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
            x ^= x >> 31
        keys.append((-np.log(((x >> 11) + 0.5) / 2**53) / min(m / (0.1 * usual), HEAVY), total[node] / m))
    once = {}  # the nodes around a lone point all have it for their centroid
    for draw, centroid in sorted(keys, key=lambda k: k[0]):
        once.setdefault(tuple(centroid.round(6)), (draw, centroid))
    return list(once.values())


def test_local_clouds_equal_a_naive_loop():
    points = room_cloud(2)[0][::2]
    grid = estimate_grid(PointMap(points))
    clouds = local_clouds(points, grid, points_per_cell=256, seed=3)
    height = points[:, 2] - grid.floor_z_m
    near = (np.abs(points[:, :2] - grid.centre_xy_m) <= grid.side_m / 2 + COLUMN_M / 2).all(axis=1)
    near &= (height >= -0.3) & (height <= 3.5)
    centroids = np.array([c for _, c in naive_nodes(points[near], 3)]) - (0, 0, grid.floor_z_m)
    for cell in range(0, 400, 7):
        centre = grid.cell_centres[cell]
        inside = (np.abs(points[near, :2] - centre) <= COLUMN_M / 2).all(axis=1)
        assert abs(clouds.count[cell] - inside.sum()) <= 1  # a point on the edge may fall either way
        assert clouds.empty[cell] == (clouds.count[cell] < 32)
        column = (np.abs(centroids[:, :2] - centre) <= COLUMN_M / 2).all(axis=1)
        expected = (centroids[column] - (*centre, 0.0))[:256].astype(np.float32)
        found = clouds.points[cell][clouds.valid[cell]]
        assert len(np.unique(found, axis=0)) == len(found)
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_few_points_repeat_and_are_marked():
    grid = MapGrid(np.zeros(2), 0.2, 0.0, n=1)
    points = np.column_stack([np.linspace(-0.4, 0.4, 40), np.zeros(40), np.ones(40)])
    voxels = 9  # nodes from -0.4 m to 0.4 m
    clouds = local_clouds(points, grid, points_per_cell=100)
    assert clouds.valid.sum() == voxels and not clouds.empty[0] and clouds.count[0] == 40
    assert set(map(tuple, clouds.points[0, voxels:])) <= set(map(tuple, clouds.points[0, :voxels]))
    few = local_clouds(points[:31], grid, points_per_cell=100)
    assert few.empty[0] and few.count[0] == 31 and 0 < few.valid.sum() <= voxels
    none = local_clouds(points + 100, grid, points_per_cell=100)
    assert none.empty[0] and not none.valid.any() and (none.points == 0).all()


def test_nodes_are_weighted_means_in_an_order_that_hangs_on_places_alone():
    rng = np.random.default_rng(1)
    points = rng.uniform(-1, 1, (3000, 3)) * (1, 1, 0.2)
    found = soft_voxels(points, seed=5)
    np.testing.assert_allclose(found, [c for _, c in naive_nodes(points, 5)], atol=1e-12)
    np.testing.assert_array_equal(soft_voxels(rng.permutation(points), seed=5), found)
    np.testing.assert_allclose(soft_voxels(np.repeat(points, 4, axis=0), seed=5), found, atol=1e-9)  # any density
    other = soft_voxels(points, seed=6)
    assert {tuple(c) for c in other.round(9)} == {tuple(c) for c in found.round(9)} and not np.allclose(other, found)
    assert soft_voxels(np.zeros((0, 3))).shape == (0, 3)


def test_no_point_of_a_sparse_scan_stands_in_a_cloud_twice(scan):
    """Point encoders take the first point's return for the end of a cloud that was filled by repetition."""
    points, grid = scan
    clouds = local_clouds(points[::10], grid, points_per_cell=512)
    for cloud, valid in zip(clouds.points, clouds.valid, strict=True):
        assert len(np.unique(cloud[valid], axis=0)) == valid.sum()


def test_a_millimetre_moves_a_node_by_less_than_a_millimetre():
    points = np.random.default_rng(1).uniform(-1, 1, (20_000, 3)) * (1, 1, 0.1)
    before, after = soft_voxels(points), soft_voxels(points + [0.001, 0.0, 0.0])
    move = cKDTree(after).query(before)[0]
    assert np.median(move) < 0.001 and (move < 0.002).mean() > 0.98


def test_a_node_comes_first_as_often_as_its_mass_says_up_to_a_limit():
    """Points on four nodes: shares of being the first over many seeds, against the masses, capped."""
    places, mass = np.array([[0.0, 0, 0], [0.5, 0, 0], [0, 0.8, 0], [0, 0, 1.0]]), np.array([2, 4, 8, 10])
    points = np.repeat(places, mass, axis=0)
    first = [np.linalg.norm(soft_voxels(points, seed=k)[0] - places, axis=1).argmin() for k in range(3000)]
    heavy = np.minimum(mass / (0.1 * (mass**2).sum() / mass.sum()), HEAVY)
    assert heavy[2] == heavy[3] == HEAVY > heavy[1] > heavy[0]
    np.testing.assert_allclose(np.bincount(first, minlength=4) / 3000, heavy / heavy.sum(), atol=0.04)


@pytest.fixture(scope="module")
def scan():
    """The confident points of a shipped kitchen's scan, and its square."""
    point_map = open_map(next((DATA_SAMPLES / "kitchens" / "takes").glob("*_scan")))
    return point_map.confident().points_world_m, estimate_grid(point_map)


def share_kept(before: LocalClouds, after: LocalClouds) -> float:
    """Mean share over cells of the points that stand in the other cloud too, within 2 cm."""
    shares = []
    for cell in np.flatnonzero(~before.empty)[::7]:
        away, _ = cKDTree(after.points[cell][after.valid[cell]]).query(before.points[cell][before.valid[cell]])
        shares.append((away < 0.02).mean())
    return float(np.mean(shares))


@pytest.mark.parametrize(
    ("change", "least"),
    [
        (lambda p, rng: p[rng.random(len(p)) > 0.02], 0.95),
        (lambda p, rng: p + rng.normal(0, 0.001, p.shape), 0.90),
        (lambda p, rng: np.concatenate([p, p + rng.normal(0, 0.005, p.shape)]), 0.80),
    ],
    ids=["2 % dropped", "1 mm noise", "twice the density"],
)
def test_a_slightly_different_scan_gives_nearly_the_same_clouds(scan, change, least):
    points, grid = scan
    before = local_clouds(points, grid, points_per_cell=128)  # fewer than the columns' voxels: a choice must be made
    assert np.median(before.valid.sum(1)) == 128
    assert (
        share_kept(before, local_clouds(change(points, np.random.default_rng(0)), grid, points_per_cell=128)) >= least
    )
    other = share_kept(before, local_clouds(points, grid, points_per_cell=128, seed=1))
    assert other < 0.8  # what chance would keep


def test_local_clouds_do_not_depend_on_the_order_of_points_but_on_the_seed():
    points, *_ = room_cloud(4)
    grid = estimate_grid(PointMap(points))
    first = local_clouds(points, grid, points_per_cell=64, seed=1)
    shuffled = local_clouds(np.random.default_rng(0).permutation(points), grid, points_per_cell=64, seed=1)
    other = local_clouds(points, grid, points_per_cell=64, seed=2)
    np.testing.assert_array_equal(first.points, shuffled.points)
    assert (first.points != other.points).any()


def test_local_clouds_of_a_large_map_are_fast():
    points, *_ = room_cloud(0)
    many = np.concatenate(
        [points[:-40] + np.random.default_rng(i).normal(0, 0.01, (len(points) - 40, 3)) for i in range(4)]
    )
    grid = estimate_grid(PointMap(many))
    start = time.perf_counter()
    local_clouds(many, grid, points_per_cell=512)
    assert len(many) > 60_000 and time.perf_counter() - start < 1.5  # 0.1 s seen; room for a busy machine


def test_synthetic_rooms_are_covered_tightly():
    """The square from the scan alone against the true floor of generated rooms (design section 3)."""
    room_module = pytest.importorskip("eailkit.synthkitchen.room")
    scan_module = pytest.importorskip("eailkit.synthkitchen.scan")
    ratio, covered = [], []
    for seed in range(4):
        room = room_module.generate_room(seed)
        grid = estimate_grid(scan_module.scan_room(room, seed))
        iy, ix = np.nonzero(room.free)
        xy = room.free_origin_xy_m + (np.stack([ix, iy], axis=1) + 0.5) * room.free_pitch_m
        ratio.append(grid.side_m / (np.ptp(xy, axis=0).max() + room.free_pitch_m))
        covered.append((grid.label(xy) >= 0).mean())
    assert min(covered) >= 0.97 and np.mean(covered) >= 0.98
    assert np.median(ratio) < 1.2 and max(ratio) < 1.4
