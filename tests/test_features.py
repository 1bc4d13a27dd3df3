"""Frozen features: turned rooms against turned points, labels against turned positions, unknown facings, the cache."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fake_dataset import room_cloud, write_dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from eailkit.eail.features import (
    Features,
    RoomView,
    embed_cells,
    embed_dataset,
    embed_imu,
    motion_features,
    quarter_turns,
    turn_xy,
    turned_clouds,
    view_of,
)
from eailkit.eail.prepared import prepare
from eailkit.eail.stage1 import Stage1, Stage1Config
from eailkit.preprocess.mapgrid import CELLS, MapGrid, estimate_grid, local_clouds
from eailkit.recording import PointMap


@pytest.fixture(scope="module")
def model() -> Stage1:
    torch.manual_seed(0)
    return Stage1(Stage1Config(imu_width=8, embed_dim=32)).eval()


def _in_order(clouds: np.ndarray, valid: np.ndarray) -> list[np.ndarray]:
    """The points of each cell in an order that no turn changes: by height, then by the distance from the middle."""
    kept = [cloud[ok] for cloud, ok in zip(clouds, valid, strict=True)]
    return [c[np.lexsort((np.hypot(c[:, 0], c[:, 1]), c[:, 2]))] for c in kept]


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_a_turned_map_is_the_map_made_of_turned_points(model, quarter):
    """Voxels lie on the axes, so a quarter turn about the origin makes the same ones: nothing but the order differs."""
    points, *_ = room_cloud(5, yaw=0.3)
    grid = estimate_grid(PointMap(points))
    before = local_clouds(points, grid, points_per_cell=2048)
    assert before.valid.sum(1).max() < 2048  # every voxel stays, whatever their order
    turned_points = points.copy()
    turned_points[:, :2] = turn_xy(points[:, :2], quarter * np.pi / 2).round(12)
    turned_grid = MapGrid(turn_xy(grid.centre_xy_m, quarter * np.pi / 2), grid.side_m, grid.floor_z_m)
    after = local_clouds(turned_points, turned_grid, points_per_cell=2048)
    cells = quarter_turns(quarter)
    assert (before.empty[cells] != after.empty).mean() < 0.01
    moved = _in_order(turned_clouds(before.points, quarter), before.valid[cells])
    made = _in_order(after.points, after.valid)
    same = [k for k in range(CELLS) if len(moved[k]) == len(made[k])]  # a point on a column's edge may fall either way
    assert len(same) > 0.95 * CELLS
    for k in same[::5]:
        np.testing.assert_allclose(moved[k], made[k], atol=2e-4)
    full = [k for k in same if len(moved[k]) >= 64][::40]
    embed = lambda clouds: np.concatenate([embed_cells(model, clouds[k][None], np.array([False])) for k in full])  # noqa: E731
    assert len(full) >= 5
    np.testing.assert_allclose((embed(moved) * embed(made)).sum(1), 1.0, atol=2e-3)


def test_four_quarter_turns_are_none_and_a_view_holds_each(model):
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.5, 0.5, (CELLS, 64, 3)).astype(np.float32)
    found = points
    for _ in range(4):
        found = turned_clouds(found, 1)
    np.testing.assert_array_equal(found, points)
    np.testing.assert_array_equal(turned_clouds(turned_clouds(points, 1), 2), turned_clouds(points, 3))
    grid, empty = MapGrid(np.zeros(2), 3.0, 0.0), rng.random(CELLS) < 0.5
    local = type("Clouds", (), {"points": points, "empty": empty})
    view = view_of(model, local, grid, 0.0)
    assert view.features.shape == (4, CELLS, 32) and np.array_equal(view.empty[1], empty[quarter_turns(1)])
    for quarter in range(4):
        cell = int(np.flatnonzero(~view.empty[quarter])[3])
        before = int(quarter_turns(quarter)[cell])
        x, y = turn_xy(points[before, :, :2], quarter * np.pi / 2).T
        cloud = np.stack([x, y, points[before, :, 2]], axis=1)[None].astype(np.float32)
        alone = embed_cells(model, cloud, np.array([False]))[0]
        np.testing.assert_allclose(view.features[quarter, cell], alone, atol=1e-3)


def test_a_quarter_turn_of_the_map_moves_cells_as_it_moves_places():
    centres = MapGrid(np.zeros(2), 4.0, 0.0).cell_centres
    for count in range(4):
        before = quarter_turns(count)
        angle = count * np.pi / 2  # counterclockwise, as angles about z are
        c, s = np.cos(angle), np.sin(angle)
        turned = centres[before] @ np.array([[c, s], [-s, c]])
        assert np.allclose(turned, centres)
        assert sorted(before) == list(range(CELLS))


@given(st.floats(-np.pi, np.pi), st.integers(0, 3), st.integers(0, 100))
@settings(max_examples=40, deadline=None)
def test_labels_of_a_view_are_those_of_positions_turned_by_hand(angle, quarter, seed):
    rng = np.random.default_rng(seed)
    centre, empty = rng.uniform(-3, 3, 2), rng.random((4, CELLS)) < 0.3
    view = RoomView(angle, MapGrid(centre, 3.0, 0.0), empty, np.zeros((4, CELLS, 1), np.float32))
    position = turn_xy(centre + rng.uniform(-1.7, 1.7, (60, 2)), -angle)  # some lie outside
    position[0] = np.nan
    c, s = np.cos(quarter * np.pi / 2), np.sin(quarter * np.pi / 2)
    turned = turn_xy(position, angle) @ np.array([[c, s], [-s, c]])
    grid = MapGrid(centre @ np.array([[c, s], [-s, c]]), 3.0, 0.0)
    expected = grid.label(turned)
    expected = np.where((expected >= 0) & ~empty[quarter][expected], expected, -1)
    found = view.label(position, quarter)
    assert found[0] == -1 and np.array_equal(found, expected)
    assert (found >= 0).any() and (found[1:] == -1).any()


def test_motion_of_an_unknown_facing_is_a_feature_without_a_direction(model):
    rng = np.random.default_rng(0)
    imu, facing = rng.normal(size=(4, 32)).astype(np.float32), np.array([0.5, np.nan, 2.0, np.nan])
    found = motion_features(model.motion, imu, facing)
    assert np.isfinite(found).all() and np.linalg.norm(found, axis=1) == pytest.approx(np.ones(4), abs=1e-5)
    with torch.no_grad():
        zeros = torch.cat([torch.from_numpy(imu), torch.zeros(4, 4)], dim=1)
        blind = torch.from_numpy(imu) + model.direction(zeros)
    blind = (blind / blind.norm(dim=1, keepdim=True)).numpy()
    np.testing.assert_allclose(found[[1, 3]], blind[[1, 3]], atol=1e-5)
    assert np.abs(found[[0, 2]] - blind[[0, 2]]).max() > 1e-3
    np.testing.assert_allclose(motion_features(model.motion, imu, facing + 2 * np.pi), found, atol=1e-4)
    plain = motion_features(None, imu, facing)
    np.testing.assert_allclose(plain, imu / np.linalg.norm(imu, axis=1, keepdims=True), atol=1e-6)


def test_a_heading_and_a_facing_count_by_their_sum_alone(model):
    imu = np.random.default_rng(0).normal(size=(5, 32)).astype(np.float32)
    facing = np.linspace(-1, 1, 5)
    features = Features({"t": imu}, {}, {"t": facing}, direction=model.motion)
    turned = Features({"t": imu}, {}, {"t": facing - 0.7}, direction=model.motion)
    np.testing.assert_allclose(features.motion("t", 0.3), turned.motion("t", 1.0), atol=1e-5)
    np.testing.assert_allclose(features.motion("t", 0.3)[2], features.motion("t", np.full(5, 0.3))[2])
    unnamed = Features({"t": imu}, {}, direction=model.motion)
    assert np.isnan(unnamed.facing_of("t")).all()
    assert features.identity.key != turned.identity.key and features.stage1_tag == ""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kitchens")
    return prepare(write_dataset(folder / "data"), folder / "cache", points_per_cell=64, workers=1, progress=False)


def test_a_dataset_is_embedded_once_with_training_rooms_at_several_angles(model, prepared, tmp_path):
    made = embed_dataset(model, prepared, tmp_path, views=2, progress=False)
    files = {path.name: path.stat().st_mtime_ns for path in tmp_path.rglob("*.np?")}
    again = embed_dataset(model, prepared, tmp_path, views=2, progress=False)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.rglob("*.np?")} == files  # nothing made anew
    take, room = prepared.takes[0], prepared.rooms["kitchen1"]
    np.testing.assert_allclose(
        made.takes[take.name], embed_imu(model, np.asarray(take.windows), take.facing), atol=1e-6
    )
    lying, turned = again.views["kitchen1"]
    np.testing.assert_allclose(lying.features[0], made.rooms["kitchen1"], atol=1e-5)
    assert lying.angle == 0.0 and turned.angle != 0.0 and again.identity.key == made.identity.key
    labels = lying.label(take.position, 0)
    np.testing.assert_array_equal(labels, np.where(take.cell >= 0, np.where(room.empty[take.cell], -1, take.cell), -1))
    assert (turned.label(take.position, 2) >= 0).all()  # a turned room holds the same walk
    assert turned.grid.side_m == pytest.approx(room.grid.side_m, rel=0.35)
