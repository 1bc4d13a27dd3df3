"""Stage 1: one batch can be learned by heart, what can't be learned isn't, and turning keeps what it must."""

import numpy as np
import pytest
import torch

from eailkit.eail.prepared import Prepared, RoomCache, TakeCache
from eailkit.eail.stage1 import (
    Stage1,
    Stage1Batches,
    Stage1Config,
    embed_cells,
    embed_imu,
    headings,
    turn,
    weights_tag,
)
from eailkit.losses import info_nce
from eailkit.preprocess.mapgrid import MapGrid
from eailkit.training import seed_step


def _batch(n: int = 12, seed: int = 0) -> dict:
    g = torch.Generator().manual_seed(seed)
    unit = torch.nn.functional.normalize(torch.randn(n, 32, generator=g), dim=-1)
    return {
        "imu": torch.randn(n, 6, 400, generator=g), "points": torch.rand(n, 64, 3, generator=g), "neighbours": None,
        "image": unit, "text": unit.roll(0), "has_image": torch.ones(n, dtype=torch.bool),
        "has_text": torch.ones(n, dtype=torch.bool), "same_text": torch.eye(n, dtype=torch.bool),
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
    imu, points = model.imu(batch["imu"]), model.points(batch["points"])
    nearest = torch.nn.functional.normalize(imu, dim=-1) @ torch.nn.functional.normalize(points, dim=-1).T
    assert torch.equal(nearest.argmax(1), torch.arange(12))


def test_equal_clouds_for_every_window_can_not_be_told_apart():
    batch = _batch()
    batch["points"] = batch["points"][:1].expand(12, -1, -1)
    model, _ = _train(batch | {"image": None, "text": None}, steps=20)
    imu, points = model.imu(batch["imu"]), model.points(batch["points"])
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


def test_embeddings_are_unit_norm_repeatable_and_zero_for_empty_cells():
    torch.manual_seed(0)
    model = Stage1(Stage1Config(imu_width=8, embed_dim=32)).eval()
    windows = np.random.default_rng(0).normal(size=(5, 6, 400)).astype(np.float32)
    one = embed_imu(model, windows, headings(8)[3])
    assert np.allclose(np.linalg.norm(one, axis=1), 1.0, atol=1e-5)
    assert np.array_equal(one, embed_imu(model, windows, headings(8)[3]))
    assert not np.allclose(one, embed_imu(model, windows, 0.0), atol=1e-3)
    points = np.random.default_rng(1).uniform(size=(400, 64, 3)).astype(np.float32)
    empty = np.arange(400) % 3 == 0
    cells = embed_cells(model, points, empty)
    assert np.all(cells[empty] == 0) and np.allclose(np.linalg.norm(cells[~empty], axis=1), 1.0, atol=1e-5)


def test_the_tag_changes_with_any_weight():
    model = Stage1(Stage1Config(imu_width=8, embed_dim=32))
    before = weights_tag(model)
    assert before == weights_tag(model)
    with torch.no_grad():
        model.logit_scale.log_scale += 1e-3
    assert weights_tag(model) != before


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Prepared:
    """Two takes of 60 made-up seconds in a room of 400 made-up clouds, a tenth of them empty."""
    folder, rng = tmp_path_factory.mktemp("takes"), np.random.default_rng(0)
    takes = []
    for name in ("a", "b"):
        path = folder / f"{name}.npz"
        np.savez(path, cell=rng.integers(-1, 12, 60).astype(np.int16))
        np.save(path.with_suffix(".windows.npy"), rng.normal(size=(60, 6, 400)).astype(np.float32))
        takes.append(TakeCache(path, name, "room", "p", "train", 60, 0.0))
    points, empty = rng.uniform(size=(400, 64, 3)).astype(np.float32), np.arange(400) % 10 == 3
    grid, known = MapGrid(np.zeros(2), 3.0, 0.0), np.ones((400, 64), dtype=bool)
    room = RoomCache("room", grid, points, known, empty, ~empty, points[0], "scan")
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
    windows = {w[2].tobytes(): (take.name, s) for take in prepared.takes for s, w in enumerate(take.windows)}
    heights = {np.sort(cloud[:, 2]).tobytes(): cell for cell, cloud in enumerate(prepared.rooms["room"].points)}
    cells = {take.name: take.cell for take in prepared.takes}
    for step in range(5):
        batch, seen = batches(seed_step(0, step), step), []
        for window, cloud in zip(batch["imu"].numpy(), batch["points"].numpy(), strict=True):
            name, second = windows[window[2].tobytes()]
            cell = heights[np.sort(cloud[:, 2]).tobytes()]
            assert cells[name][second] == cell and cell % 10 != 3
            truth = prepared.takes[name == "b"].windows[second]
            assert np.allclose(np.hypot(*window[:2]), np.hypot(*truth[:2]), atol=1e-5)
            seen.append((name, cell))
        assert len(seen) == len(set(seen)) == len(batch["neighbours"]) == 16
