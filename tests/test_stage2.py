"""Stage 2: shapes, masks, the parts that Table 3 switches off, and that one batch can be learned by heart."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from eailkit.eail.stage2 import (
    BLOCKS,
    SpatioTemporalReasoner,
    Stage2Config,
    correspondence_heatmap,
    location_attention,
    place_code,
    stage2_loss,
)
from eailkit.errors import ConfigError
from eailkit.losses import trajectory_loss
from eailkit.preprocess.mapgrid import MapGrid

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


@pytest.mark.parametrize("blocks", BLOCKS)
def test_empty_cells_never_get_probability_and_the_rest_sums_to_one(blocks):
    b = _batch()
    model = _model(blocks=blocks)
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


@pytest.mark.parametrize(
    "changes",
    [{}, {"imu_residual": False}, {"points_residual": False}, {"temporal": False}, {"place_code": True}],
    ids=str,
)
def test_the_forward_pass_is_the_papers_concatenations_written_out(changes):
    """What the model multiplies once and adds is the same sum as 1 x 1 convolutions of concatenated volumes."""
    b, model = _batch(), _model(**changes)
    torch.nn.init.normal_(model.location[-1].weight)
    points = b["points"].masked_fill(b["empty"][..., None], 0.0)
    volume = lambda x: x[..., None, None].expand(-1, -1, -1, 20, 20)  # noqa: E731
    motion = volume(model.project_imu(b["imu"]).transpose(1, 2))
    place = model.project_points(points).transpose(1, 2).reshape(2, 8, 1, 20, 20).expand(-1, -1, 10, -1, -1)
    heat = correspondence_heatmap(b["imu"], points, b["empty"]).reshape(2, 1, 10, 20, 20)
    x = model.temporal_in(torch.cat([heat * 10.0, motion], dim=1))
    if model.config.place_code:  # each second weighs five polynomials of the place by its own motion
        weight = model.place_weight(b["imu"]).reshape(2, 10, 5, 8)
        x = x + torch.einsum("btkc,sk->bcts", weight, place_code()).reshape(2, 8, 10, 20, 20)
    for block in model.temporal:
        x = block(x)
    x = model.spatial_in(torch.cat([x + motion if model.config.imu_residual else x, place], dim=1))
    seconds = []
    for t in range(10):
        y = x[:, :, t : t + 1]
        for layer in model.spatial:
            y = layer(y)
        seconds.append(model.location(y + place[:, :, :1] if model.config.points_residual else y))
    expected = torch.cat(seconds, dim=2).reshape(2, 10, 400).masked_fill(b["empty"][:, None], float("-inf"))
    torch.testing.assert_close(model(b["imu"], b["points"], b["empty"])[0], expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("dilation", [1, 2, 4])
def test_a_separable_convolution_is_one_3d_convolution_with_the_product_of_its_kernels(dilation):
    model = _model(blocks="light", spatial_dilations=(dilation,))
    for block, kernel in ((model.temporal[0], (5, 3, 3)), (model.spatial[0], (1, 3, 3))):
        spread = (1, dilation if kernel[0] == 1 else 1)
        conv = block.conv
        space, mix = conv.space.weight[:, 0], conv.mix.weight[:, :, 0, 0]
        time = conv.time.weight[:, 0, :, 0] if conv.time is not None else torch.ones(8, 1)
        whole = torch.einsum("oc,ct,cyx->octyx", mix, time, space)
        x = torch.randn(2, 8, 10, 20, 20)
        padding = ((kernel[0] - 1) // 2, spread[1], spread[1])
        expected = F.conv3d(x, whole, padding=padding, dilation=(1, spread[1], spread[1]))
        assert expected.shape == x.shape
        torch.testing.assert_close(conv(x), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("blocks", BLOCKS)
def test_the_first_of_ten_seconds_reaches_the_last(blocks):
    b, model = _batch(), _model(blocks=blocks)
    torch.nn.init.normal_(model.location[-1].weight)
    imu = b["imu"].clone().requires_grad_()
    logits, _ = model(imu, b["points"], b["empty"])
    logits[:, -1].masked_fill(b["empty"], 0.0).square().sum().backward()
    assert (imu.grad[:, 0].abs().sum(-1) > 0).all()


@pytest.mark.parametrize("blocks", BLOCKS)
def test_the_spatial_module_carries_nothing_from_one_second_to_another(blocks):
    b, model = _batch(), _model(blocks=blocks, temporal=False)
    torch.nn.init.normal_(model.location[-1].weight)
    imu = b["imu"].clone().requires_grad_()
    logits, _ = model(imu, b["points"], b["empty"])
    logits[:, 4].masked_fill(b["empty"], 0.0).square().sum().backward()
    touched = imu.grad.abs().sum((0, 2)) > 0
    assert touched.tolist() == [t == 4 for t in range(10)]


def test_light_blocks_are_a_fraction_of_the_full_ones():
    taps = lambda m: sum(p.numel() for block in [*m.temporal, *m.spatial] for p in block.conv.parameters())  # noqa: E731
    assert taps(_model(blocks="light")) < 0.1 * taps(_model())
    assert Stage2Config().blocks == "full"
    with pytest.raises(ConfigError, match="blocks: found 'round'"):
        _model(blocks="round")


@pytest.mark.parametrize("blocks", BLOCKS)
def test_the_temporal_module_is_what_lets_seconds_talk_to_each_other(blocks):
    b = _batch()
    changed = b["imu"].clone()
    changed[:, 0] = -changed[:, 0]
    for temporal in (True, False):
        model = _model(blocks=blocks, temporal=temporal)
        torch.nn.init.normal_(model.location[-1].weight)
        before, after = (model(x, b["points"], b["empty"])[0][:, 4] for x in (b["imu"], changed))
        keep = torch.isfinite(before)
        assert torch.allclose(before[keep], after[keep], atol=1e-6) != temporal


@pytest.mark.parametrize("blocks", BLOCKS)
def test_without_both_modules_a_cell_sees_itself_alone_and_the_spatial_module_widens_it(blocks):
    b = _batch()
    b["empty"][:] = False
    moved = b["points"].clone()
    moved[:, 0] = -moved[:, 0]
    near = 1 * 20 + 1  # the diagonal neighbour of cell 0
    for spatial in (True, False):
        model = _model(blocks=blocks, spatial=spatial, temporal=False)
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


@pytest.mark.parametrize("blocks", BLOCKS)
def test_one_batch_is_learned_by_heart(blocks):
    b = _batch(2)
    model = _model(blocks=blocks)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(150):
        location, action = model(b["imu"], b["points"], b["empty"])
        loss = stage2_loss(location[:, None], action, b["cell"], b["action"], b["empty"])
        optimizer.zero_grad()
        loss["total"].backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
    location, action = model(b["imu"], b["points"], b["empty"])
    assert (location.argmax(-1) == b["cell"]).float().mean() > 0.9
    assert (action.argmax(-1) == b["action"]).float().mean() > 0.9


def test_the_place_code_is_polynomials_of_where_a_cell_lies():
    grid = MapGrid(np.array([3.0, -1.0]), 5.0, 0.0)
    x, y = ((grid.cell_centres - grid.centre_xy_m) / (grid.side_m / 2)).T
    np.testing.assert_allclose(
        place_code().numpy(), np.stack([x, y, x**2 - y**2, 2 * x * y, x**2 + y**2], 1), atol=1e-6
    )


def test_the_loss_of_headings_is_eq_2_over_all_their_cells_with_the_first_one_true():
    b = _batch()
    g = torch.Generator().manual_seed(1)
    location, action = torch.randn(2, 3, 10, 400, generator=g), torch.randn(2, 10, ACTIONS, generator=g)
    b["cell"][0, 3], b["action"][1, 2] = -1, -1
    losses = []
    for i in range(2):
        for t in range(10):
            if b["cell"][i, t] >= 0:
                every = location[i, :, t][:, ~b["empty"][i]].double()
                losses.append(every.logsumexp((0, 1)) - location[i, 0, t, b["cell"][i, t]])
    found = stage2_loss(location, action, b["cell"], b["action"], b["empty"])
    assert float(found["trajectory"]) == pytest.approx(float(torch.stack(losses).mean()), rel=1e-5)
    one = stage2_loss(location[:, :1], action, b["cell"], b["action"], b["empty"])
    assert float(one["trajectory"]) == pytest.approx(float(trajectory_loss(location[:, 0], b["cell"], b["empty"])))
    doubt = stage2_loss(location[:, :1].repeat(1, 3, 1, 1), action, b["cell"], b["action"], b["empty"])
    assert float(doubt["trajectory"] - one["trajectory"]) == pytest.approx(np.log(3), rel=1e-4)  # three headings alike
