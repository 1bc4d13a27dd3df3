"""Stage 1: one batch can be learned by heart, what can't be learned isn't, and turning keeps what it must."""

import numpy as np
import pytest
import torch
from fake_dataset import room_cloud
from scipy.spatial import cKDTree

from eailkit.eail.features import embed_cells, embed_imu
from eailkit.eail.prepared import Prepared, RoomCache, TakeCache
from eailkit.eail.stage1 import (
    JITTER_RAD,
    THINNED,
    UNDIRECTED,
    Stage1,
    Stage1Batches,
    Stage1Config,
    direction_code,
    facing_frame,
    held_out_contrast,
    other_scan,
    same_place,
    scanned_again,
    thinned,
    turn,
)
from eailkit.encoders.points import PointNet2
from eailkit.losses import info_nce
from eailkit.preprocess.imu import yaw
from eailkit.preprocess.mapgrid import MapGrid, estimate_grid, local_clouds
from eailkit.provenance import weights_tag
from eailkit.recording import PointMap
from eailkit.training import seed_step


def _batch(n: int = 12, seed: int = 0) -> dict:
    g = torch.Generator().manual_seed(seed)
    unit = torch.nn.functional.normalize(torch.randn(n, 32, generator=g), dim=-1)
    return {
        "imu": torch.randn(n, 6, 400, generator=g), "points": torch.rand(n, 64, 3, generator=g), "neighbours": None,
        "image": unit, "text": unit.roll(0), "has_image": torch.ones(n, dtype=torch.bool),
        "has_text": torch.ones(n, dtype=torch.bool), "same_text": torch.eye(n, dtype=torch.bool),
        "facing": torch.rand(n, generator=g) * 6.0, "same_place": torch.eye(n, dtype=torch.bool),
    }  # fmt: skip


def _train(batch: dict, steps: int = 60) -> tuple[Stage1, list[float]]:
    torch.manual_seed(0)
    model = Stage1(Stage1Config(imu_width=8, embed_dim=32))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(steps):
        terms = model.loss(batch)
        optimizer.zero_grad()
        terms["total"].backward()
        optimizer.step()
        losses.append(float(terms["total"].detach()))
    return model, losses


def test_one_batch_is_learned_by_heart():
    batch = _batch()
    model, losses = _train(batch)
    assert losses[-1] < 0.1 * losses[0]
    imu, points = model.motion(model.imu(batch["imu"]), batch["facing"]), model.points(batch["points"])
    nearest = torch.nn.functional.normalize(imu, dim=-1) @ torch.nn.functional.normalize(points, dim=-1).T
    assert torch.equal(nearest.argmax(1), torch.arange(12))


def test_equal_clouds_for_every_window_can_not_be_told_apart():
    batch = _batch()
    batch["points"] = batch["points"][:1].expand(12, -1, -1)
    model, _ = _train(batch | {"image": None, "text": None}, steps=20)
    imu, points = model.motion(model.imu(batch["imu"]), batch["facing"]), model.points(batch["points"])
    assert info_nce(imu, points, 1.0).item() > np.log(12) - 0.7  # the point side can't do better than chance


def test_without_vision_language_only_the_imu_points_term_is_left():
    batch = _batch()
    model = Stage1(Stage1Config(imu_width=8, embed_dim=32, use_vision_language=False))
    terms = model.loss(batch)
    assert float(terms["text_imu"].detach()) == float(terms["image_points"].detach()) == 0.0
    assert torch.allclose(terms["total"], terms["imu_points"])


def test_turning_a_cloud_keeps_heights_and_distances_and_turns_by_the_angle():
    points = torch.rand(3, 50, 3, dtype=torch.float64)
    angle = torch.tensor([0.0, np.pi / 2, 1.0], dtype=torch.float64)
    turned = turn(points, angle)
    assert torch.allclose(turned[0], points[0])
    assert torch.allclose(turned[1, :, 0], -points[1, :, 1], atol=1e-6)
    assert torch.equal(turned[..., 2], points[..., 2])
    assert torch.allclose(torch.cdist(turned, turned), torch.cdist(points, points), atol=1e-6)


def test_rows_of_one_place_are_no_negatives_of_each_other():
    """Where every row is of one place no negative is left, and the term of IMU and points is zero."""
    batch, model = _batch(), Stage1(Stage1Config(imu_width=8, embed_dim=32))
    assert float(model.loss(batch)["imu_points"].detach()) > 1.0
    alike = model.loss(batch | {"same_place": torch.ones(12, 12, dtype=torch.bool)})
    assert float(alike["imu_points"].detach()) == pytest.approx(0.0, abs=1e-6)
    assert float(alike["image_imu"].detach()) > 1.0  # an image has no cloud


def test_a_direction_is_learned_where_it_alone_tells_places_apart():
    """Twelve equal windows of heads that face twelve ways: with the facing they find their clouds, without it never."""
    batch = _batch() | {"image": None, "text": None}
    batch["imu"] = batch["imu"][:1].repeat(12, 1, 1)
    batch["facing"] = torch.arange(12) * (2 * torch.pi / 12)
    assert _train(batch)[1][-1] < 0.5
    blind = batch | {"facing": torch.full((12,), float("nan"))}
    assert _train(blind, steps=30)[1][-1] > np.log(12) - 0.7


def test_features_of_windows_know_the_facing_frame_and_not_yet_the_map():
    torch.manual_seed(0)
    model = Stage1(Stage1Config(imu_width=8, embed_dim=32)).eval()
    windows = np.random.default_rng(0).normal(size=(5, 6, 400)).astype(np.float32)
    facing = np.array([0.3, -2.0, 1.0, 3.0, 0.0], np.float32)
    one = embed_imu(model, windows, facing)
    assert one.shape == (5, 32)
    np.testing.assert_allclose(one, embed_imu(model, windows, facing, batch=2), atol=1e-5)
    turned = yaw(torch.from_numpy(windows), 0.7).numpy()  # the same head in a gravity frame of another heading
    np.testing.assert_allclose(embed_imu(model, turned, facing + 0.7), one, atol=1e-4)
    assert not np.allclose(embed_imu(model, turned, facing), one, atol=1e-3)
    unknown = embed_imu(model, windows, np.full(5, np.nan, np.float32))
    np.testing.assert_allclose(unknown, embed_imu(model, windows, np.zeros(5, np.float32)), atol=1e-5)


def test_cells_are_unit_norm_and_zero_where_empty():
    model = Stage1(Stage1Config(imu_width=8, embed_dim=32)).eval()
    points = np.random.default_rng(1).uniform(size=(400, 64, 3)).astype(np.float32)
    empty = np.arange(400) % 3 == 0
    cells = embed_cells(model, points, empty)
    assert np.all(cells[empty] == 0) and np.allclose(np.linalg.norm(cells[~empty], axis=1), 1.0, atol=1e-5)


def test_a_direction_is_its_first_two_harmonics_and_nothing_where_it_is_unknown():
    code = direction_code(torch.tensor([0.0, np.pi / 2, np.pi, float("nan")]))
    expected = [[1, 0, 1, 0], [0, 1, -1, 0], [-1, 0, 1, 0], [0, 0, 0, 0]]
    torch.testing.assert_close(code, torch.tensor(expected, dtype=code.dtype), atol=1e-6, rtol=0)
    model = Stage1(Stage1Config(imu_width=8, embed_dim=32))
    blind = Stage1(Stage1Config(imu_width=8, embed_dim=32, directed=False))
    blind.load_state_dict(model.state_dict())
    z, nan = torch.randn(3, 32), torch.full((3,), float("nan"))
    turned = torch.tensor([0.5, 1.0, -2.0])
    assert torch.equal(blind.motion(z, turned), model.motion(z, nan))
    assert not torch.allclose(model.motion(z, turned), model.motion(z, nan), atol=1e-3)


@pytest.mark.parametrize("angle", [0.0, 0.8, -2.5, 3.1])
def test_who_walks_where_the_head_faces_is_seen_to_walk_along_x(angle):
    """Steps push along the facing, the head rolls about it: both lie on x once the window is turned to the facing."""
    t = torch.arange(400) / 400
    push, roll = torch.sin(12 * t), 0.4 * torch.cos(6 * t)
    ahead, side = torch.tensor([np.cos(angle), np.sin(angle)]), torch.tensor([-np.sin(angle), np.cos(angle)])
    acc = ahead[:, None] * push + side[:, None] * 0.1
    gyro = ahead[:, None] * roll
    up = torch.full((1, 400), 9.81)
    window = torch.cat([acc, up, gyro, 0 * up]).float()[None]
    seen = facing_frame(window, torch.tensor([angle]))[0]
    expected = torch.stack([push, torch.full((400,), 0.1), up[0], roll, 0 * t, 0 * t])
    torch.testing.assert_close(seen, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(facing_frame(window, torch.tensor([float("nan")])), window)


def test_cells_that_touch_are_one_place_in_one_room_and_not_around_the_end_of_a_row():
    cell = lambda room, row, column: room * 400 + row * 20 + column  # noqa: E731
    places = [cell(0, 5, 5), cell(0, 6, 6), cell(0, 5, 7), cell(1, 5, 5), cell(0, 5, 19), cell(0, 6, 0), cell(1, 6, 5)]
    found = same_place(torch.tensor(places))
    touching = {(0, 1), (1, 2), (3, 6)}  # 0 and 2 are two columns apart, 4 and 5 follow each other round a row's end
    expected = torch.eye(7, dtype=torch.bool)
    for i, j in touching:
        expected[i, j] = expected[j, i] = True
    assert torch.equal(found, expected)
    assert same_place(torch.tensor(places), reach=2)[0, 2]
    assert torch.equal(same_place(torch.tensor(places), reach=0), torch.eye(7, dtype=torch.bool))


def test_the_tag_changes_with_any_weight():
    model = Stage1(Stage1Config(imu_width=8, embed_dim=32))
    before = weights_tag(model)
    assert before == weights_tag(model)
    with torch.no_grad():
        model.logit_scale.log_scale += 1e-3
    assert weights_tag(model) != before


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Prepared:
    """Takes of 60 made-up seconds in a room of 400 made-up clouds, a tenth of them empty; two train, one validates."""
    folder, rng = tmp_path_factory.mktemp("takes"), np.random.default_rng(0)
    takes = []
    for name, split in (("a", "train"), ("b", "train"), ("c", "val-seen")):
        path = folder / f"{name}.npz"
        facing, heading = rng.uniform(-np.pi, np.pi, (2, 60)).astype(np.float32)
        np.savez(path, cell=rng.integers(-1, 12, 60).astype(np.int16), facing=facing, heading=heading)
        np.save(path.with_suffix(".windows.npy"), rng.normal(size=(60, 6, 400)).astype(np.float32))
        takes.append(TakeCache(path, name, "room", "p", split, 60, 0.0))
    points, empty = rng.uniform(size=(400, 64, 3)).astype(np.float32), np.arange(400) % 10 == 3
    grid, known = MapGrid(np.zeros(2), 3.0, 0.0), np.ones((400, 64), dtype=bool)
    room = RoomCache("room", grid, points, known, empty, ~empty, points[0], "scan", points[0])
    return Prepared(folder, takes, {"room": room}, (), "made up")


@pytest.mark.parametrize("step", [0, 7])
def test_a_batch_is_its_seed_and_step(prepared, step):
    """Whatever was drawn before; another step or seed draws others."""
    model = Stage1(Stage1Config(imu_width=8, embed_dim=32))
    first, second = (Stage1Batches(prepared, model, None, 16) for _ in range(2))
    first(seed_step(0, step + 1), step + 1)
    one, other = (b(seed_step(0, step), step) for b in (first, second))
    assert torch.equal(one["imu"], other["imu"]) and torch.equal(one["points"], other["points"])
    for seed, at in ((0, step + 1), (1, step)):
        assert not torch.equal(first(seed_step(seed, at), at)["imu"], one["imu"])


def test_a_batch_holds_seconds_with_their_own_clouds_once_a_place(prepared):
    """Heights of windows and clouds are what a turn keeps: they say which second and which cell a row is."""
    config = Stage1Config(imu_width=8, embed_dim=32)
    batches = Stage1Batches(prepared, Stage1(config), None, 16)
    windows = {
        w[2].tobytes(): (take.name, s) for take in prepared.by_split("train") for s, w in enumerate(take.windows)
    }
    heights = prepared.rooms["room"].points[:, :, 2]
    cells = {take.name: take.cell for take in prepared.takes}
    for step in range(5):
        batch, seen = batches(seed_step(0, step), step), []
        for window, cloud in zip(batch["imu"].numpy(), batch["points"].numpy(), strict=True):
            name, second = windows[window[2].tobytes()]
            cell = int(np.abs(heights - cloud[:, 2]).mean(axis=1).argmin())
            assert cells[name][second] == cell and cell % 10 != 3
            truth = prepared.takes[name == "b"].windows[second]
            assert np.allclose(np.hypot(*window[:2]), np.hypot(*truth[:2]), atol=1e-5)
            seen.append((name, cell))
        assert len(seen) == len(set(seen)) == len(batch["neighbours"]) == 16


def angle_between(before: np.ndarray, after: np.ndarray) -> float:
    """By which angle about the vertical rows of x and y were turned."""
    return float(np.angle(((after[0] + 1j * after[1]) * np.conj(before[0] + 1j * before[1])).sum()))


def test_map_and_facing_of_a_row_are_turned_together_and_a_tenth_of_headings_is_withheld(prepared):
    batches = Stage1Batches(prepared, Stage1(Stage1Config(imu_width=8, embed_dim=32)), None, 16)
    takes = {w[2].tobytes(): (take, s) for take in prepared.by_split("train") for s, w in enumerate(take.windows)}
    clouds, error, frames, loose, turns = prepared.rooms["room"].points, [], [], [], []
    for step in range(60):
        batch = batches(seed_step(0, step), step)
        for window, cloud, facing in zip(*(batch[k].numpy() for k in ("imu", "points", "facing")), strict=True):
            take, second = takes[window[2].tobytes()]
            by = angle_between(clouds[take.cell[second]].T, cloud.T)
            frame = angle_between(take.windows[second], window) + take.facing[second]
            turns.append(by)
            (loose if np.isnan(facing) else frames).append(frame)
            if not np.isnan(facing):
                error.append(facing - take.facing[second] - take.heading[second] - by)
    wrap = lambda x: np.angle(np.exp(1j * np.array(x)))  # noqa: E731
    assert np.abs(wrap(frames)).max() < 1e-4  # turned to the facing, exactly
    assert np.std(wrap(error)) == pytest.approx(JITTER_RAD, rel=0.15) and abs(np.mean(wrap(error))) < 0.03
    assert len(loose) / len(turns) == pytest.approx(UNDIRECTED, abs=0.04)
    for spread in (loose, turns):  # any angle
        assert abs(np.exp(1j * np.array(spread)).mean()) < 0.25 and np.ptp(wrap(spread)) > 5.5


def test_another_scan_of_a_room_has_its_surfaces_and_not_its_points():
    """Half to twice as many points, half a centimetre off; cells that it leaves without points keep the map's own."""
    points, *_ = room_cloud(1)
    points = points[:-40]
    grid = estimate_grid(PointMap(points))
    local = local_clouds(points, grid, points_per_cell=512)
    room = RoomCache(
        "room", grid, local.points, local.valid, local.empty, ~local.empty, points, "scan", points.astype(np.float32)
    )
    counts = []
    for seed in range(1, 5):
        scan = other_scan(points, seed)
        counts.append(len(scan) / len(points))
        away = cKDTree(points).query(scan)[0]
        assert 0.003 < away.mean() < 0.01 and away.max() < 0.03
        assert np.array_equal(scan, other_scan(points, seed))
    assert 0.5 <= min(counts) < 0.8 and 1.2 < max(counts) <= 2.0
    assert np.array_equal(scanned_again(room, 0), local.points)
    clouds = scanned_again(room, 1)
    known = np.flatnonzero(~local.empty)
    assert clouds.dtype == np.float32 and not np.array_equal(clouds[known], local.points[known])
    shares = [(cKDTree(local.points[c]).query(clouds[c])[0] < 0.05).mean() for c in known[::9]]
    assert np.mean(shares) > 0.8
    bare = local.empty & local.valid.any(1)
    np.testing.assert_array_equal(scanned_again(room, 2)[bare], local.points[bare])


def test_thinned_groups_lose_a_fifth_of_their_members_and_never_the_first():
    near = PointNet2("quick").neighbours(torch.rand(40, 200, 3))
    thin, group = thinned(near), near.groups[0][0]
    kept = thin.groups[0][0] == group
    assert torch.equal(thin.centres[0], near.centres[0]) and kept[..., 0].all()
    assert torch.equal(thin.groups[0][0][~kept], group[..., :1].expand_as(group)[~kept])
    assert 1 - float(kept[group != group[..., :1]].float().mean()) == pytest.approx(THINNED, abs=0.01)


def test_without_directions_every_window_is_turned_at_random_and_no_facing_is_told(prepared):
    config = Stage1Config(imu_width=8, embed_dim=32, directed=False)
    batches = Stage1Batches(prepared, Stage1(config), None, 16)
    assert batches(seed_step(0, 0), 0)["facing"].isnan().all()


def test_validation_is_the_same_windows_each_time_and_chance_where_nothing_is_told_apart(prepared):
    """At a temperature that makes all alike a row's loss is the logarithm of the places that it is held against."""
    torch.manual_seed(0)
    model = Stage1(Stage1Config(imu_width=8, embed_dim=32)).eval()
    validate = held_out_contrast(prepared, model, 8)
    assert validate(model) == validate(model)
    with torch.no_grad():
        model.logit_scale.log_scale.fill_(-50.0)
    batches = Stage1Batches(prepared, model, None, 8, splits=("val-seen",), scans=1)
    drawn = [batches(np.random.default_rng(k), k) for k in range(8)]
    held = [1 + (~b["same_place"]).sum(1).double() for b in drawn]
    assert validate(model) == pytest.approx(float(torch.cat([h.log() for h in held]).mean()), rel=1e-5)
    training_only = Prepared(prepared.cache_dir, prepared.by_split("train"), prepared.rooms, (), "made up")
    assert held_out_contrast(training_only, model, 8) is None
