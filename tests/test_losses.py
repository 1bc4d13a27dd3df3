"""Equations 1 to 3 against plain Python loops, hand-made values, and their masks."""

import math

import pytest
import torch
from jaxtyping import TypeCheckError

from eailkit.losses import LogitScale, Stage1Weights, action_loss, info_nce, stage1_loss, trajectory_loss


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def loop_info_nce(x, y, scale, excluded=None, valid=None, reduction="mean"):
    """L_c with numbers and loops only."""
    rows = [i for i in range(len(x)) if valid is None or valid[i]]
    total = [0.0, 0.0]
    for i in rows:
        for direction in (0, 1):
            others = []
            for j in rows:
                pair = (i, j) if direction == 0 else (j, i)
                if i != j and excluded is not None and excluded[pair[0]][pair[1]]:
                    continue
                others.append(math.exp(scale * cosine(x[pair[0]], y[pair[1]])))
            total[direction] -= math.log(math.exp(scale * cosine(x[i], y[i])) / sum(others)) / len(rows)
    return sum(total) / (2 if reduction == "mean" else 1)


@pytest.fixture
def features():
    torch.manual_seed(0)
    return {name: torch.randn(7, 5) for name in ("image", "text", "imu", "points")}


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_info_nce_equals_loop(features, reduction):
    torch.manual_seed(1)
    x, y = features["imu"], features["points"]
    excluded = torch.rand(7, 7) < 0.3  # not symmetric: direction matters
    valid = torch.tensor([1, 1, 0, 1, 1, 0, 1], dtype=torch.bool)
    for mask, rows in ((None, None), (excluded, None), (None, valid), (excluded, valid)):
        found = info_nce(x, y, 5.0, excluded=mask, valid=rows, reduction=reduction)
        masks = [m if m is None else m.tolist() for m in (mask, rows)]
        expected = loop_info_nce(x.tolist(), y.tolist(), 5.0, *masks, reduction)
        assert found.item() == pytest.approx(expected, rel=1e-5)


def test_info_nce_of_known_alignments():
    perfect = math.log(1 + 3 * math.exp(-2.0))  # four orthogonal pairs at scale 2
    assert info_nce(torch.eye(4), torch.eye(4), 2.0).item() == pytest.approx(perfect, rel=1e-6)
    same = torch.ones(6, 3)
    assert info_nce(same, same, 14.0).item() == pytest.approx(math.log(6), rel=1e-6)
    assert info_nce(torch.eye(3)[:1], torch.eye(3)[1:2], 14.0).item() == 0.0  # one pair has no negatives


def test_info_nce_ignores_lengths_and_order():
    torch.manual_seed(0)
    x, y, order = torch.randn(8, 4), torch.randn(8, 4), torch.randperm(8)
    loss = info_nce(x, y, 10.0)
    torch.testing.assert_close(info_nce(x * 7, y * torch.rand(8, 1).add(0.1), 10.0), loss)
    torch.testing.assert_close(info_nce(x[order], y[order], 10.0), loss)
    torch.testing.assert_close(info_nce(y, x, 10.0), loss)


def test_equal_captions_are_no_negatives():
    text = torch.eye(4)[[0, 0, 1, 2]]
    same = torch.tensor([[True, True, False, False]] * 2 + [[False, False, True, False], [False, False, False, True]])
    assert info_nce(text, text, 100.0) > 0.3  # the twin can't be told apart
    assert info_nce(text, text, 100.0, excluded=same) < 1e-6


@pytest.mark.filterwarnings("ignore")
def test_gradients_of_info_nce():
    torch.manual_seed(0)
    x, y = torch.randn(5, 3, requires_grad=True), torch.randn(5, 3)
    info_nce(x, y, 3.0, valid=torch.tensor([1, 1, 1, 1, 0], dtype=torch.bool)).backward()
    assert x.grad[4].abs().sum() == 0 and x.grad[:4].abs().sum() > 0
    step = 1e-2
    for i, j in ((0, 0), (2, 1), (3, 2)):
        moved = x.detach().clone()
        moved[i, j] += step
        up = loop_info_nce(moved[:4].tolist(), y[:4].tolist(), 3.0)
        moved[i, j] -= 2 * step
        down = loop_info_nce(moved[:4].tolist(), y[:4].tolist(), 3.0)
        assert x.grad[i, j].item() == pytest.approx((up - down) / (2 * step), abs=1e-4)


def test_no_valid_row_gives_zero_with_zero_gradients():
    x = torch.randn(3, 4, requires_grad=True)
    loss = info_nce(x, torch.randn(3, 4), 10.0, valid=torch.zeros(3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0.0 and x.grad.abs().sum() == 0


def test_stage1_is_equation_1(features):
    weights = Stage1Weights(alpha=0.3, beta=0.5, theta=2.0, delta=0.7, gamma=1.1)
    f = {k: v.tolist() for k, v in features.items()}
    has_image = torch.tensor([1, 1, 1, 0, 1, 1, 1], dtype=torch.bool)
    has_text = torch.tensor([1, 0, 1, 1, 1, 1, 0], dtype=torch.bool)
    same_text = torch.eye(7, dtype=torch.bool)
    same_text[2, 3] = same_text[3, 2] = True
    terms = stage1_loss(
        **features, logit_scale=4.0, weights=weights, has_image=has_image, has_text=has_text, same_text=same_text
    )
    image, text, imu, points = f["image"], f["text"], f["imu"], f["points"]
    expected = (
        0.3 * loop_info_nce(image, imu, 4.0, valid=has_image.tolist())
        + 0.5 * loop_info_nce(image, points, 4.0, valid=has_image.tolist())
        + 2.0 * loop_info_nce(text, imu, 4.0, same_text.tolist(), has_text.tolist())
        + 0.7 * loop_info_nce(text, points, 4.0, same_text.tolist(), has_text.tolist())
        + 1.1 * loop_info_nce(imu, points, 4.0)
    )
    assert terms["total"].item() == pytest.approx(expected, rel=1e-5)


def test_stage1_defaults_are_the_paper_s(features):
    terms = stage1_loss(**features, logit_scale=4.0)
    others = sum(terms[k] for k in ("image_points", "text_imu", "text_points", "imu_points"))
    torch.testing.assert_close(terms["total"], 0.1 * terms["image_imu"] + others)


def test_stage1_without_language_is_imu_against_points(features):
    imu, points = features["imu"], features["points"]
    terms = stage1_loss(None, None, imu, points, 4.0)
    torch.testing.assert_close(terms["total"], info_nce(imu, points, 4.0))
    place = torch.zeros(7, 7, dtype=torch.bool)
    place[0, 1] = place[1, 0] = True
    terms = stage1_loss(None, None, imu, points, 4.0, same_place=place)
    torch.testing.assert_close(terms["total"], info_nce(imu, points, 4.0, excluded=place))


def test_a_missing_caption_changes_only_the_text_terms(features):
    full, has_text = stage1_loss(**features, logit_scale=4.0), torch.ones(7, dtype=torch.bool)
    has_text[5] = False
    part = stage1_loss(**features, logit_scale=4.0, has_text=has_text)
    changed = {k for k in full if not torch.equal(full[k], part[k])}
    assert changed == {"text_imu", "text_points", "total"}
    features["text"][5] = float("nan")  # what stands in the row can't leak
    torch.testing.assert_close(stage1_loss(**features, logit_scale=4.0, has_text=has_text)["total"], part["total"])


def test_trajectory_loss_equals_loop():
    torch.manual_seed(0)
    logits = torch.randn(2, 3, 6)
    empty = torch.tensor([[0, 1, 0, 0, 0, 1], [0, 0, 0, 0, 1, 1]], dtype=torch.bool)
    cell = torch.tensor([[0, 3, -1], [2, 4, 1]])  # [1, 1] lies on an empty cell
    terms = []
    for b, t, g in ((0, 0, 0), (0, 1, 3), (1, 0, 2), (1, 2, 1)):
        z = logits[b, t].tolist()
        kept = [math.exp(z[s]) for s in range(6) if not empty[b, s]]
        terms.append(-math.log(math.exp(z[g]) / sum(kept)))
    assert trajectory_loss(logits, cell, empty).item() == pytest.approx(sum(terms) / 4, rel=1e-6)


def test_empty_cells_and_unlabelled_seconds_get_no_gradient():
    logits = torch.randn(1, 2, 5, requires_grad=True)
    empty = torch.tensor([[False, False, True, False, False]])
    trajectory_loss(logits, torch.tensor([[1, -1]]), empty).backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0, 0, 2] == 0 and logits.grad[0, 1].abs().sum() == 0
    assert logits.grad[0, 0, 1] < 0


def test_nothing_labelled_is_zero_not_nan():
    logits = torch.randn(1, 2, 5, requires_grad=True)
    loss = trajectory_loss(logits, torch.full((1, 2), -1), torch.ones(1, 5, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0.0 and logits.grad.abs().sum() == 0


def test_action_loss_of_known_values():
    logits = torch.zeros(1, 3, 35)
    assert action_loss(logits, torch.tensor([[0, 34, -1]])).item() == pytest.approx(math.log(35), rel=1e-6)
    logits[0, 0, 0] = logits[0, 1, 34] = 30.0
    assert action_loss(logits, torch.tensor([[0, 34, -1]])).item() < 1e-6


def test_logit_scale_starts_at_clip_s_and_is_clamped():
    scale = LogitScale()
    assert scale().item() == pytest.approx(1 / 0.07)
    scale().backward()
    assert scale.log_scale.grad.item() == pytest.approx(1 / 0.07, rel=1e-5)
    with torch.no_grad():
        scale.log_scale.fill_(9.0)
    assert scale().item() == 100.0


def test_wrong_input_is_named():
    with pytest.raises((ValueError, TypeCheckError), match="equal shapes|parameter 'y'"):
        info_nce(torch.zeros(2, 3), torch.zeros(3, 3), 1.0)
    with pytest.raises(ValueError, match="'mean' or 'sum'"):
        info_nce(torch.zeros(2, 3), torch.zeros(2, 3), 1.0, reduction="none")
    with pytest.raises(ValueError, match="found labels from 0 to 5; expected -1"):
        action_loss(torch.zeros(1, 2, 5), torch.tensor([[0, 5]]))
    with pytest.raises(ValueError, match="found labels from -2"):
        trajectory_loss(torch.zeros(1, 2, 5), torch.tensor([[0, -2]]), torch.zeros(1, 5, dtype=torch.bool))
    with pytest.raises(ValueError, match="trajectory_loss: found labels from 7 to 7"):
        trajectory_loss(torch.zeros(1, 1, 5), torch.tensor([[7]]), torch.zeros(1, 5, dtype=torch.bool))
