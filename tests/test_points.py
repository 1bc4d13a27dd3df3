"""PointNet++: farthest points, ball query, and the encoder against naive loops and a plain Conv2d version."""

import numpy as np
import pytest
import torch
from torch import nn

from eailkit.encoders._points.training import offsets_norm_max
from eailkit.encoders.neighbours import (
    Neighbours,
    ball_query,
    farthest_points,
    find_neighbours,
    lattice_points,
    nearest_in_ball,
)
from eailkit.encoders.points import POINTS_PAPER, POINTS_QUICK, PointNet2, PointsConfig, group_means
from eailkit.errors import CheckpointError, ConfigError


def clouds(batch: int, n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.random((batch, n, 3)) * [1.0, 1.0, 2.5] - [0.5, 0.5, 0.0]).astype(np.float32)


def naive_farthest(points: np.ndarray, n_centres: int) -> list[int]:
    chosen = [0]
    nearest = np.full(len(points), np.inf, np.float32)
    while len(chosen) < n_centres:
        d = points - points[chosen[-1]]
        nearest = np.minimum(nearest, (d[:, 0] * d[:, 0] + d[:, 1] * d[:, 1]) + d[:, 2] * d[:, 2])
        chosen.append(int(np.argmax(nearest)))
    return chosen


def naive_ball(points: np.ndarray, centre: int, radius: float, n_samples: int) -> list[int]:
    d = points - points[centre]
    inside = (d[:, 0] * d[:, 0] + d[:, 1] * d[:, 1]) + d[:, 2] * d[:, 2] <= np.float32(radius) * np.float32(radius)
    found = list(np.flatnonzero(inside)[:n_samples])
    return found + [found[0]] * (n_samples - len(found))


@pytest.mark.parametrize("n", [37, 256, 700])
def test_grouping_equals_naive_loop(n):
    points = clouds(2, n, seed=n)
    centres = farthest_points(points, 33)
    groups = ball_query(points, centres, 0.3, 9)
    for b in range(2):
        assert centres[b].tolist() == naive_farthest(points[b], 33)
        for s in range(33):
            assert groups[b, s].tolist() == naive_ball(points[b], centres[b, s], 0.3, 9)


def test_ties_go_to_the_lowest_index_and_exhausted_clouds_repeat_the_first():
    square = np.array([[[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [1, 0, 0]]], np.float32)
    assert farthest_points(square, 7)[0].tolist() == [0, 3, 1, 2, 0, 0, 0]
    assert ball_query(square, np.array([[1]]), 0.1, 4)[0, 0].tolist() == [1, 4, 1, 1]


def naive_lattice(points: np.ndarray, n_centres: int, spacing: float) -> tuple[list[int], np.ndarray]:
    """The point nearest to the middle of each box, and the middles; boxes with most points first, then by number."""
    boxes, middles, spacing = {}, {}, np.float32(spacing)
    for i, (x, y, z) in enumerate(points.astype(np.float32)):
        shifted = np.array([x / spacing + np.float32(0.5), y / spacing + np.float32(0.5), z / spacing])
        box = tuple(int(b) for b in np.clip(np.floor(shifted), -32, 31))
        middles[box] = [np.float32(b + h) * spacing for b, h in zip(box, (0, 0, np.float32(0.5)), strict=True)]
        away = sum((p - m) * (p - m) for p, m in zip((x, y, z), middles[box], strict=True))
        boxes.setdefault(box, []).append((away, i))
    order = sorted(boxes, key=lambda box: (-len(boxes[box]), box))[:n_centres]
    order += order[:1] * (n_centres - len(order))
    return [min(boxes[box])[1] for box in order], np.array([middles[box] for box in order], np.float32)


@pytest.mark.parametrize("n_centres", [5, 64, 300])
def test_lattice_points_equal_a_naive_loop(n_centres):
    points = np.concatenate([clouds(3, 300), 20 * clouds(3, 20, seed=4)], axis=1)  # some lie beyond the last box
    for spacing in (0.25, 1 / 3):
        for cloud, chosen, middles in zip(points, *lattice_points(points, n_centres, spacing), strict=True):
            expected, at = naive_lattice(cloud, n_centres, spacing)
            assert chosen.tolist() == expected and np.array_equal(middles, at)


def test_the_nearest_in_a_ball_equal_a_naive_loop():
    points = clouds(2, 200, seed=3)
    middles = clouds(2, 21, seed=5)
    middles[:, -1] = 9.0  # far from all
    found = nearest_in_ball(points, middles, 0.3, 12)
    for cloud, places, groups in zip(points, middles, found, strict=True):
        for place, group in zip(places, groups, strict=True):
            d = ((cloud - place) ** 2).sum(1)
            near = [i for i in np.argsort(d, kind="stable") if d[i] <= 0.09][:12] or [0]
            assert group.tolist() == near + [near[0]] * (12 - len(near))
    assert len({len(set(g)) for g in found.reshape(-1, 12).tolist()}) > 2  # some are full, some aren't, one is empty


def test_points_that_fill_a_cloud_up_take_no_place_in_a_box_or_a_group():
    few = clouds(1, 50, seed=1)
    filled = np.concatenate([few, few, few[:, :20]], axis=1)
    for n_centres in (10, 100):
        (chosen, middles), (expected, at) = lattice_points(filled, n_centres, 0.4), lattice_points(few, n_centres, 0.4)
        assert np.array_equal(chosen, expected) and np.array_equal(middles, at)
        assert np.array_equal(nearest_in_ball(filled, middles, 0.4, 9), nearest_in_ball(few, middles, 0.4, 9))


def test_a_point_less_changes_the_centre_of_its_own_box_alone():
    """Of farthest points it changes most of them."""
    points = clouds(1, 400, seed=2)
    place = lambda p, chosen: {tuple(p[0, i]) for i in chosen[0]}  # noqa: E731
    for choose in (lambda p: lattice_points(p, 300, 0.25)[0], lambda p: farthest_points(p, 64)):
        chosen = choose(points)
        less = np.delete(points, int(chosen[0, 5]), axis=1)
        lost = len(place(points, chosen) - place(less, choose(less)))
        assert lost == 1 if chosen.shape[1] == 300 else lost > 5


def test_a_level_with_a_spacing_takes_its_groups_from_the_lattice():
    points = torch.from_numpy(clouds(2, 128))
    near = find_neighbours(points, ((30, (0.3,), (8,), 0.25),))
    centres, middles = lattice_points(points.numpy(), 30, 0.25)
    assert np.array_equal(near.centres[0], centres)
    assert np.array_equal(near.groups[0][0], nearest_in_ball(points.numpy(), middles, 0.3, 8))
    plain = find_neighbours(points, ((30, (0.3,), (8,), None),))
    centres = farthest_points(points.numpy(), 30)
    assert np.array_equal(plain.centres[0], centres)
    assert np.array_equal(plain.groups[0][0], ball_query(points.numpy(), centres, 0.3, 8))


def test_the_mean_of_a_group_counts_each_member_once():
    xyz = torch.from_numpy(clouds(1, 9)[0]).double()
    index = torch.tensor([[3, 5, 7, 3], [2, 2, 2, 2], [8, 0, 1, 4]])
    expected = torch.stack([xyz[[3, 5, 7]].mean(0), xyz[2], xyz[[8, 0, 1, 4]].mean(0)])
    torch.testing.assert_close(group_means(xyz, index), expected)


def test_a_millimetre_moves_the_groups_of_a_lattice_little():
    """A group's mean moves by what a member or two are worth, where its nearest point may be another one."""
    points = clouds(1, 300)
    moved = points + np.random.default_rng(0).normal(0, 1e-3, points.shape).astype(np.float32)
    points_at, means_at = [], []
    for cloud in (points, moved):
        chosen, middles = lattice_points(cloud, 80, 1 / 3)
        groups = torch.from_numpy(nearest_in_ball(cloud, middles, 0.3, 24)[0].astype(int))
        boxes = [tuple(m) for m in middles[0].tolist()]
        points_at.append(dict(zip(boxes, cloud[0, chosen[0]], strict=True)))
        means_at.append(dict(zip(boxes, group_means(torch.from_numpy(cloud[0]), groups).numpy(), strict=True)))
    both = points_at[0].keys() & points_at[1].keys()
    farthest = lambda at: max(float(np.linalg.norm(at[0][box] - at[1][box])) for box in both)  # noqa: E731
    assert len(both) > 50 and farthest(points_at) > 0.05, "another point is the nearest to a middle"
    assert farthest(means_at) < 0.04


def test_an_encoder_with_a_lattice_doesnt_hang_on_the_order_of_points():
    net, points = PointNet2("quick", embed_dim=16).eval(), torch.from_numpy(clouds(3, 200))
    with torch.no_grad():
        turned = net(points[:, torch.randperm(200, generator=torch.Generator().manual_seed(0))])
        torch.testing.assert_close(turned, net(points), atol=1e-5, rtol=1e-4)


def test_ball_holds_its_border():
    line = np.array([[[0, 0, 0], [0.5, 0, 0], [1, 0, 0]]], np.float32)
    assert ball_query(line, np.array([[0]]), 0.5, 3)[0, 0].tolist() == [0, 1, 0]


def test_indices_need_32_bits_in_large_clouds():
    assert farthest_points(clouds(1, 300), 4).dtype == np.int16
    big = clouds(1, 40_000)
    centres = farthest_points(big, 4)
    assert centres.dtype == np.int32 and (centres >= 0).all()


@pytest.mark.parametrize("points", [np.zeros((3, 3), np.float32), np.full((1, 4, 3), np.nan, np.float32)])
def test_bad_clouds_are_refused(points):
    with pytest.raises(ValueError, match="points: found"):
        farthest_points(points, 2)
    with pytest.raises(ValueError, match="points: found"):
        lattice_points(points, 2, 0.25)


@pytest.mark.parametrize(("variant", "count"), [("ssg", 807_744), ("msg", 1_079_424)])
def test_parameter_counts_of_the_paper(variant, count):
    assert sum(p.numel() for p in PointNet2(variant).parameters()) == count


def test_configs_agree_with_variants():
    paper, quick = PointNet2.from_config(POINTS_PAPER), PointNet2.from_config(POINTS_QUICK)
    assert paper.embed_dim == 512 and quick.embed_dim == 128
    assert paper.state_dict().keys() == PointNet2("ssg", embed_dim=512).state_dict().keys()


def small(embed_dim: int | None = None) -> PointNet2:
    """Two levels and two radii, as MSG, with few channels."""
    levels = PointNet2("msg").config.levels
    shrink = [type(level)(24 // 2**i, (0.3, 0.6), (8, 12), ((8, 16), (8, 8, 12))) for i, level in enumerate(levels)]
    return PointNet2(config=PointsConfig(tuple(shrink), (16, 32), embed_dim))


def conv_version(net: PointNet2, points: torch.Tensor, near: Neighbours) -> torch.Tensor:
    """The same net as 1x1 Conv2d and BatchNorm2d over grouped, concatenated inputs, the textbook way."""

    def mlp(shared, grouped):  # (B, C, S, K)
        for linear, norm in zip(shared.linears, shared.norms, strict=True):
            conv = nn.Conv2d(linear.in_features, linear.out_features, 1)
            conv.weight, conv.bias = nn.Parameter(linear.weight.detach()[:, :, None, None]), nn.Parameter(linear.bias)
            bn = nn.BatchNorm2d(linear.out_features)
            bn.load_state_dict(norm.state_dict())
            bn.train(net.training)
            grouped = torch.relu(bn(conv(grouped)))
        return grouped.amax(dim=-1)  # (B, C, S)

    xyz, features = points, None
    for level, centres, groups in zip(net.levels, near.centres, near.groups, strict=True):
        rows = torch.arange(len(points))[:, None]
        centre = xyz[rows, centres.long()]
        out = []
        for shared, group in zip(level, groups, strict=True):
            g = group.long()
            grouped = xyz[rows[..., None], g] - centre[:, :, None]
            if features is not None:
                grouped = torch.cat([grouped, features[rows[..., None], g]], dim=-1)
            out.append(mlp(shared, grouped.permute(0, 3, 1, 2)))
        xyz, features = centre, torch.cat(out, dim=1).transpose(1, 2)
    grouped = torch.cat([xyz, features], dim=-1)[:, None].permute(0, 3, 1, 2)
    return mlp(net.everything, grouped)[:, :, 0]


@pytest.mark.parametrize("training", [True, False])
def test_net_equals_conv_version(training):
    torch.manual_seed(0)
    net, points = small(), torch.from_numpy(clouds(3, 90))
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d):  # weights of both signs: the maximum must then take the smallest
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.normal_(module.running_mean, 0.0, 0.1)
    net.train(training)
    near = net.neighbours(points)
    expected = conv_version(net, points, near)
    with torch.set_grad_enabled(training):
        found = net(points, near)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=2e-4)


def test_gradients_equal_those_of_plain_operations():
    torch.manual_seed(0)
    net = PointNet2(config=PointsConfig(PointNet2("quick").config.levels[:0], (6, 5))).double()
    shared = net.everything
    nn.init.normal_(shared.norms[-1].weight)
    x = torch.randn(7, 4, 5, dtype=torch.double, requires_grad=True)
    norm = shared.norms[-1]

    def plain(x, weight, bias):
        rows = x.reshape(-1, 5)
        y = (rows - rows.mean(0)) / (rows.var(0, unbiased=False) + norm.eps).sqrt() * weight + bias
        return y.view(7, 4, 5).amax(dim=1)

    grad = torch.randn(7, 5, dtype=torch.double)
    expected = torch.autograd.grad(plain(x, norm.weight, norm.bias), (x, norm.weight, norm.bias), grad)
    found = torch.autograd.grad(norm.maximum(x), (x, norm.weight, norm.bias), grad)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_tied_winners_share_the_gradient():
    norm = PointNet2("quick").levels[0][0].norms[-1].train()
    x = torch.randn(3, 1, 64).repeat(1, 4, 1).requires_grad_()
    norm.maximum(x).square().sum().backward()
    torch.testing.assert_close(x.grad, x.grad[:, :1].expand_as(x))


def test_running_statistics_follow_batch_norm():
    torch.manual_seed(0)
    ours, plain = PointNet2("quick").levels[0][0].norms[-1].train(), nn.BatchNorm1d(64).train()
    x = torch.randn(6, 8, 64) * 2 + 1
    ours.maximum(x), plain(x.view(-1, 64))
    torch.testing.assert_close(ours.running_mean, plain.running_mean)
    torch.testing.assert_close(ours.running_var, plain.running_var)
    assert ours.num_batches_tracked == 1


def test_eval_is_deterministic_and_neighbours_can_be_stored_and_indexed():
    net, points = PointNet2("quick", embed_dim=16).eval(), torch.from_numpy(clouds(6, 64))
    with torch.no_grad():
        whole = net(points)
        assert torch.equal(whole, net(points))
        stored = Neighbours.from_arrays(net.neighbours(points).arrays())
        pick = torch.tensor([4, 1])
        torch.testing.assert_close(net(points[pick], stored[pick]), whole[pick])
        torch.testing.assert_close(net(points, Neighbours.cat([stored[:2], stored[2:]])), whole)
    assert stored.groups[0][0].dtype == torch.int16


def test_chunks_change_nothing():
    net, points = small().eval(), torch.from_numpy(clouds(5, 50))
    with torch.no_grad():
        whole = net(points)
        for module in net.modules():
            if hasattr(module, "chunk_rows"):
                module.chunk_rows = 16
        torch.testing.assert_close(net(points), whole)
    torch.testing.assert_close(net(points).detach(), whole)


def test_repeated_points_are_harmless_in_eval():
    net = PointNet2("quick").eval()
    few = torch.from_numpy(clouds(2, 70))
    filled = torch.cat([few, few, few[:, :8]], dim=1)
    with torch.no_grad():
        torch.testing.assert_close(net(filled), net(few))


def test_learns_to_tell_heights_apart():
    torch.manual_seed(0)
    points = torch.from_numpy(clouds(32, 96))
    label = torch.arange(32) % 2
    points[label == 1, :, 2] *= 0.4
    net, head = PointNet2("quick", embed_dim=8).train(), nn.Linear(8, 2)
    near = net.neighbours(points)
    optimiser = torch.optim.Adam([*net.parameters(), *head.parameters()], lr=3e-3)
    for _ in range(25):
        loss = nn.functional.cross_entropy(head(net(points, near)), label)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.1


def test_bfloat16_keeps_coordinates_exact():
    torch.manual_seed(0)
    net, points = PointNet2("quick").train(), torch.from_numpy(clouds(8, 128))
    exact = net(points)
    with torch.autocast("cpu", torch.bfloat16):
        rough = net(points)
    assert rough.dtype == torch.bfloat16
    assert (rough.float() - exact).norm() / exact.norm() < 0.03
    assert net.levels[0][0].norms[0].running_mean.dtype == torch.float32


def test_wrong_input_says_what_to_do():
    net = PointNet2("quick")
    with pytest.raises(ConfigError, match="40 centres"):
        net(torch.zeros(1, 30, 3))
    with pytest.raises(ConfigError, match="expected one of ssg, msg, quick"):
        PointNet2("huge")
    with pytest.raises(ValueError, match="found 2 clouds for 3"):
        points = torch.from_numpy(clouds(3, 64))
        net(points, net.neighbours(points)[:2])
    with pytest.raises(CheckpointError, match="centres_0"):
        Neighbours.from_arrays({"a": np.zeros(1)})


def test_a_level_of_two_layers_in_blocks_is_that_of_plain_operations(monkeypatch):
    """Outputs, gradients and running statistics of `offsets_norm_max`, against float64 operations."""
    torch.manual_seed(0)
    monkeypatch.setattr("eailkit.encoders._points.training.BLOCK_ROWS", 40)  # several blocks, the last one smaller
    shared = PointNet2("quick").levels[0][0].train()
    for norm in shared.norms:  # weights of both signs: the maximum must then take the smallest
        nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    offsets, weigh = 0.3 * torch.randn(31, 16, 3), torch.randn(31, 64)
    (first, second), (norm, last) = shared.linears, shared.norms
    plain = {name: p.detach().double().requires_grad_() for name, p in shared.named_parameters()}

    def plain_norm(x, name):
        rows = x.reshape(-1, x.shape[-1])
        y = (x - rows.mean(0)) / (rows.var(0, unbiased=False) + norm.eps).sqrt()
        return y * plain[f"{name}.weight"] + plain[f"{name}.bias"]

    h = torch.relu(plain_norm(offsets.double() @ plain["linears.0.weight"].T + plain["linears.0.bias"], "norms.0"))
    y = h @ plain["linears.1.weight"].T + plain["linears.1.bias"]
    expected = plain_norm(y, "norms.1").amax(dim=1)
    (expected * weigh).sum().backward()
    found = offsets_norm_max(offsets, first, norm, second, last)
    (found * weigh).sum().backward()
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)
    for name, p in shared.named_parameters():
        torch.testing.assert_close(p.grad.double(), plain[name].grad, rtol=1e-3, atol=2e-4)
    torch.testing.assert_close(last.running_mean.double(), 0.1 * y.flatten(0, 1).mean(0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(last.running_var.double(), 0.9 + 0.1 * y.flatten(0, 1).var(0), rtol=1e-4, atol=1e-5)


def test_quick_trains_in_blocks_and_other_layouts_as_they_did():
    history = lambda out: str(out.grad_fn.next_functions)  # noqa: E731
    quick, offsets = PointNet2("quick").levels[0][0].train(), torch.randn(5, 16, 3)
    assert "_OffsetsNormMax" in history(quick(offsets))
    assert "_OffsetsNormMax" not in history(PointNet2("ssg").levels[0][0].train()(offsets))
    assert "_OffsetsNormMax" not in history(quick(offsets.clone().requires_grad_()))
