"""Stage 1: one batch can be learned by heart, what can't be learned isn't, and turning keeps what it must."""

import numpy as np
import torch

from eailkit.eail.stage1 import Stage1, Stage1Config, embed_cells, embed_imu, headings, turn, weights_tag
from eailkit.losses import info_nce


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
