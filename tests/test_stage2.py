"""Stage 2: shapes, masks, the parts that Table 3 switches off, and that one batch can be learned by heart."""

import pytest
import torch

from eailkit.eail.stage2 import (
    SpatioTemporalReasoner,
    Stage2Config,
    correspondence_heatmap,
    location_attention,
    stage2_loss,
)

DIM, ACTIONS = 16, 7


def _batch(batch: int = 2, time: int = 10, seed: int = 0) -> dict:
    g = torch.Generator().manual_seed(seed)
    unit = lambda *shape: torch.nn.functional.normalize(torch.randn(*shape, generator=g), dim=-1)  # noqa: E731
    empty = torch.rand(batch, 400, generator=g) < 0.3
    cell = torch.stack([torch.nonzero(~e).flatten()[torch.randint(0, 200, (time,), generator=g)] for e in empty])
    return {
        "imu": unit(batch, time, DIM), "points": unit(batch, 400, DIM), "empty": empty, "cell": cell,
        "action": torch.randint(0, ACTIONS, (batch, time), generator=g),
    }  # fmt: skip


def _model(**changes) -> SpatioTemporalReasoner:
    torch.manual_seed(0)
    return SpatioTemporalReasoner(
        Stage2Config(embed_dim=DIM, channels=8, actions=ACTIONS, action_dropout=0.0, **changes)
    )


def test_heatmap_equals_a_plain_loop_and_is_zero_where_nothing_was_scanned():
    b = _batch(1, 3)
    heat = correspondence_heatmap(b["imu"], b["points"], b["empty"])
    for t in range(3):
        for s in range(0, 400, 37):
            expected = 0.0 if b["empty"][0, s] else float(b["imu"][0, t] @ b["points"][0, s])
            assert float(heat[0, t, s]) == pytest.approx(expected, abs=1e-6)


def test_attention_on_one_cell_returns_that_cells_feature():
    b = _batch(1, 1)
    location = torch.zeros(1, 1, 400)
    location[0, 0, 123] = 1.0
    assert torch.allclose(location_attention(location, b["points"])[0, 0], b["points"][0, 123])


def test_empty_cells_never_get_probability_and_the_rest_sums_to_one():
    b = _batch()
    model = _model()
    torch.nn.init.normal_(model.location[-1].weight)
    logits, actions = model(b["imu"], b["points"], b["empty"])
    p = logits.softmax(-1)
    assert p.shape == (2, 10, 400) and actions.shape == (2, 10, ACTIONS)
    assert p.masked_select(b["empty"][:, None].expand_as(p)).max() == 0.0
    assert torch.allclose(p.sum(-1), torch.ones(2, 10))


def test_what_empty_cells_hold_changes_nothing():
    b = _batch()
    model = _model()
    torch.nn.init.normal_(model.location[-1].weight)
    other = b["points"].masked_fill(b["empty"][..., None], 99.0)
    for x, y in zip(model(b["imu"], b["points"], b["empty"]), model(b["imu"], other, b["empty"]), strict=True):
        assert torch.allclose(x, y, atol=1e-6)


def test_the_temporal_module_is_what_lets_seconds_talk_to_each_other():
    b = _batch()
    changed = b["imu"].clone()
    changed[:, 0] = -changed[:, 0]
    for temporal in (True, False):
        model = _model(temporal=temporal)
        torch.nn.init.normal_(model.location[-1].weight)
        before, after = (model(x, b["points"], b["empty"])[0][:, 4] for x in (b["imu"], changed))
        keep = torch.isfinite(before)
        assert torch.allclose(before[keep], after[keep], atol=1e-6) != temporal


def test_without_both_modules_a_cell_sees_itself_alone_and_the_spatial_module_widens_it():
    b = _batch()
    b["empty"][:] = False
    moved = b["points"].clone()
    moved[:, 0] = -moved[:, 0]
    near = 1 * 20 + 1  # the diagonal neighbour of cell 0
    for spatial in (True, False):
        model = _model(spatial=spatial, temporal=False)
        torch.nn.init.normal_(model.location[-1].weight)
        before, after = (model(b["imu"], p, b["empty"])[0][:, :, near] for p in (b["points"], moved))
        assert torch.allclose(before, after, atol=1e-6) != spatial


def test_the_action_loss_reaches_the_location_unless_it_is_detached():
    b = _batch()
    for detach in (False, True):
        model = _model(detach_location=detach)
        torch.nn.init.normal_(model.location[-1].weight)
        _, actions = model(b["imu"], b["points"], b["empty"])
        actions.logsumexp(-1).sum().backward()
        grad = model.spatial_in.weight.grad
        assert (grad is None or float(grad.abs().sum()) == 0.0) == detach


def test_switching_off_the_map_makes_the_action_head_blind_to_it():
    b = _batch()
    model = _model(use_points=False)
    other = torch.roll(b["points"], 7, dims=1)
    assert torch.equal(model(b["imu"], b["points"], b["empty"])[1], model(b["imu"], other, b["empty"])[1])


def test_one_batch_is_learned_by_heart():
    b = _batch(2)
    model = _model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(150):
        location, action = model(b["imu"], b["points"], b["empty"])
        loss = stage2_loss(location, action, b["cell"], b["action"], b["empty"])
        optimizer.zero_grad()
        loss["total"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
    location, action = model(b["imu"], b["points"], b["empty"])
    assert (location.argmax(-1) == b["cell"]).float().mean() > 0.9
    assert (action.argmax(-1) == b["action"]).float().mean() > 0.9
