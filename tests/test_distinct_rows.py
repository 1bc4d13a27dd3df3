"""PointNet++ on distinct rows: found exactly, trained to torch's numbers, embedded to the textbook's features."""

from __future__ import annotations

import contextlib
import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.textbook_pointnet import TextbookPointNet2
from eailkit.encoders._points import search
from eailkit.encoders._points.encode import is_ours
from eailkit.encoders._points.rows import Points
from eailkit.encoders.neighbours import Neighbours, ball_query, farthest_points
from eailkit.encoders.points import Level, PointNet2, PointsConfig

LAYOUT = (
    Level(24, (0.3,), (8,), ((8, 16, 20),)),
    Level(12, (0.4, 0.8), (8, 16), ((24, 8), (16, 16, 24))),
)


def clouds(batch: int, n: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, n, 3, generator=generator) * torch.tensor([1.0, 1.0, 2.5]) - torch.tensor([0.5, 0.5, 0])


def filled(batch: int, n: int, distinct: int) -> torch.Tensor:
    """Clouds of fewer points than they hold: of each the first ones again, the last cloud's once."""
    few = clouds(batch, n, seed=n)
    return torch.stack([few[b, torch.arange(n) % (distinct + b if b < batch - 1 else n)] for b in range(batch)])


@pytest.fixture
def net() -> PointNet2:
    """Two levels, two radii, norms with weights of both signs: a maximum must then take the smallest."""
    torch.manual_seed(0)
    made = PointNet2(config=PointsConfig(LAYOUT, (16, 32, 24), 5))
    for norm in (m for m in made.modules() if isinstance(m, nn.BatchNorm1d)):
        nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    return made


CLOUDS = {
    "scattered": np.array(clouds(1, 900)[0]),
    "flat": np.array(clouds(1, 700)[0]) * np.float32([1, 1, 0]),
    "ties everywhere": np.round(4 * np.array(clouds(1, 600)[0])),
    "one place": np.full((500, 3), 0.3, np.float32),
    "in far heaps": np.array(clouds(1, 400)[0]) + np.float32(50) * (np.arange(400) % 3 == 0)[:, None],
}


@pytest.mark.parametrize("cloud", CLOUDS.values(), ids=CLOUDS)
@pytest.mark.parametrize("first", [0, 399])
def test_farthest_points_in_boxes_are_those_of_a_loop_over_all(cloud, first):
    cloud = cloud.astype(np.float32)
    nearest, current, expected = np.full(len(cloud), np.inf, np.float32), first, []
    for _ in range(130):
        expected.append(current)
        d = cloud - cloud[current]
        nearest = np.minimum(nearest, (d[:, 0] * d[:, 0] + d[:, 1] * d[:, 1]) + d[:, 2] * d[:, 2])
        current = int(np.argmax(nearest))
    assert farthest_points(cloud[None], 130, first=first)[0].tolist() == expected


@pytest.mark.parametrize(("n", "distinct"), [(200, 30), (64, 63), (90, 45), (100, 1)])
def test_neighbours_in_a_filled_cloud_are_those_of_a_loop_over_all(n, distinct):
    cloud = clouds(1, n)[0][torch.arange(n) % distinct].numpy()
    assert search.period(*np.ascontiguousarray(cloud.T)) == distinct
    centres = farthest_points(cloud[None], 40)
    groups = ball_query(cloud[None], centres, 0.5, 12)[0]
    for centre, group in zip(centres[0], groups, strict=True):
        d = ((cloud - cloud[centre]) ** 2).sum(1)
        inside = np.flatnonzero(d <= 0.25)[:12]
        assert group.tolist() == [*inside, *[inside[0]] * (12 - len(inside))]
    assert farthest_points(cloud[None], 3, first=n - 1)[0, 0] == n - 1


def test_rows_stand_for_all_rows_of_all_groups(net):
    points = filled(3, 120, 14)
    near = net.neighbours(points)
    rows, after = Points.of(points).around(near.centres[0], near.groups[0][0])
    assert rows.weight.sum() == rows.total == near.groups[0][0].numel() and len(rows.offsets) < 0.8 * rows.total
    batch = torch.arange(3)[:, None]
    centres = points[batch, near.centres[0].long()]
    torch.testing.assert_close(after.xyz[after.place], centres, rtol=0, atol=0)
    offsets = points[batch[..., None], near.groups[0][0].long()] - centres[:, :, None]
    for b in range(3):
        for s in range(24):
            g = after.place[b, s]
            here = slice(rows.starts[g], rows.starts[g + 1])
            times = rows.weight[here] / after.copies[g]
            found = rows.offsets[here].repeat_interleave(times.long(), dim=0)
            assert torch.equal(found.sort(dim=0).values, offsets[b, s].sort(dim=0).values)


def everywhere(net: PointNet2, points: torch.Tensor, near: Neighbours) -> torch.Tensor:
    """The net on every row of every group by plain operations, in the type of its parameters, with gradients."""

    def network(shared, x):
        for linear, norm in zip(shared.linears, shared.norms, strict=True):
            rows = F.linear(x, linear.weight, linear.bias).flatten(0, -2)
            rows = F.batch_norm(rows, norm.running_mean, norm.running_var, norm.weight, norm.bias, True)
            x = F.relu(rows).view(*x.shape[:-1], -1)
        return x.amax(dim=-2)

    xyz, features, batch = points, None, torch.arange(len(points))[:, None]
    for level, centres, groups in zip(net.levels, near.centres, near.groups, strict=True):
        centre = xyz[batch, centres.long()]
        pooled = []
        for shared, group in zip(level, groups, strict=True):
            seen = xyz[batch[..., None], group.long()] - centre[:, :, None]
            more = [] if features is None else [features[batch[..., None], group.long()]]
            pooled.append(network(shared, torch.cat([seen, *more], dim=-1)))
        xyz, features = centre, torch.cat(pooled, dim=-1)
    return net.projection(network(net.everything, torch.cat([xyz, features], dim=-1)))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("points", [clouds(5, 150), filled(4, 150, 20)], ids=["distinct", "filled"])
def test_training_on_distinct_rows_is_training_on_all(net, points, threads, monkeypatch, set_threads):
    """Outputs, every gradient and running statistics, against float64 operations on every row."""
    set_threads(threads)
    monkeypatch.setattr("eailkit.encoders._points.rows.BLOCK_ROWS", 50)  # many blocks of one group or a few
    plain, weigh = copy.deepcopy(net).double(), torch.randn(len(points), 5)
    near = net.neighbours(points)
    assert is_ours(net, points)
    expected = everywhere(plain, points.double(), near)
    (expected * weigh).sum().backward()
    found = net(points, near)
    assert "_Level" in str(found.grad_fn.next_functions[1][0].next_functions)
    (found * weigh).sum().backward()
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)
    for (name, a), b in zip(net.named_parameters(), plain.parameters(), strict=True):
        if name.split(".")[-2] != "projection" and "linears" in name and name.endswith("bias"):
            assert not a.grad.any()  # a norm takes it out
        else:
            assert float((a.grad - b.grad).norm() / b.grad.norm()) < 1e-4, name
    for (name, a), b in zip(net.named_buffers(), plain.buffers(), strict=True):
        if not name.endswith("tracked"):
            torch.testing.assert_close(a.double(), b, rtol=1e-4, atol=1e-5)


def test_autocast_leaves_rows_in_float32():
    torch.manual_seed(0)
    net, points = PointNet2(config=PointsConfig(LAYOUT, (16, 32, 24))), clouds(3, 200)
    found = []
    for enabled in (False, True):
        net.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            out = net(points)
            out.square().sum().backward()
        found.append([out.detach(), *(p.grad for p in net.parameters())])
    for a, b in zip(*found, strict=True):
        assert a.dtype == b.dtype == torch.float32 and torch.equal(a, b)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_features_are_those_of_the_textbook(n_threads, set_threads):
    """With the same weights and the same first points, in evaluation and in training."""
    torch.manual_seed(0)
    set_threads(n_threads)
    ours, points = PointNet2("ssg", embed_dim=16), clouds(5, 600, seed=3)
    theirs = TextbookPointNet2(ours.config).load_from(ours)
    torch.testing.assert_close(ours.train()(points), theirs.train()(points, first=0), rtol=1e-3, atol=1e-4)
    theirs.load_from(ours.eval())
    with torch.inference_mode():
        torch.testing.assert_close(ours(points), theirs.eval()(points, first=0), rtol=1e-4, atol=1e-5)
        assert not torch.allclose(theirs(points), theirs(points), rtol=1e-4), "its first points are drawn"
    assert sum(p.numel() for p in theirs.parameters()) == sum(p.numel() for p in ours.parameters())


def test_nothing_of_a_step_is_read_on_the_cpu_once_neighbours_are_there(monkeypatch):
    """On a device that holds no numbers a step stops where one is asked for: it stands in for any but the CPU."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # which that device hasn't
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)
    net, points = PointNet2("ssg", embed_dim=8), clouds(2, 600)
    near = net.neighbours(points).to("meta")
    net, points = net.to("meta"), points.to("meta")
    out = net.train()(points, near)
    out.sum().backward()
    assert out.device.type == "meta" and all(p.grad is not None for p in net.parameters())
    with torch.inference_mode():
        assert net.eval()(points, near).shape == (2, 8)
    with pytest.raises((NotImplementedError, RuntimeError)):
        net(points)  # finding them does read points
