"""Augmentations: what each keeps, what it changes, and that examples draw their own numbers."""

from __future__ import annotations

import pytest
import torch

from eailkit import augment
from eailkit.errors import ConfigError


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def windows() -> torch.Tensor:
    return torch.randn(16, 6, 250, generator=draw(1)) + torch.tensor([0.0, 0.0, 9.8, 0.0, 0.0, 0.0])[:, None]


@pytest.mark.parametrize("name", augment.TASKS)
def test_transforms_change_windows_by_their_seed_alone_and_leave_the_input(windows, name):
    before, transform = windows.clone(), augment.TASKS[name]
    once = transform(windows, draw())
    assert once.shape == windows.shape and torch.equal(windows, before)
    assert torch.equal(once, transform(windows, draw())) and not torch.allclose(once, windows)


def test_rotation_keeps_lengths_and_angles_between_the_sensors(windows):
    turned = augment.rotated(windows, draw())
    for part in (slice(0, 3), slice(3, 6)):
        torch.testing.assert_close(turned[:, part].norm(dim=1), windows[:, part].norm(dim=1), rtol=1e-4, atol=1e-4)
    dot = lambda x: (x[:, :3] * x[:, 3:]).sum(1)  # noqa: E731
    torch.testing.assert_close(dot(turned), dot(windows), rtol=1e-3, atol=1e-3)
    cross = torch.linalg.cross(turned[:, :3], turned[:, 3:], dim=1)  # a mirror image would turn its sign
    same = torch.linalg.cross(windows[:, :3], windows[:, 3:], dim=1)
    torch.testing.assert_close((cross * turned[:, :3].roll(1, 2)).sum(1), (same * windows[:, :3].roll(1, 2)).sum(1),
                               rtol=1e-3, atol=1e-2)  # fmt: skip


def test_rotations_are_spread_over_the_sphere():
    up = torch.zeros(4000, 6, 1)
    up[:, 2] = 1.0
    turned = augment.rotated(up, draw())[:, :3, 0]
    assert turned.mean(0).abs().max() < 0.06 and (turned.var(0) - 1 / 3).abs().max() < 0.03


def test_scaling_is_by_channel_in_the_paper_and_by_sample_in_the_release(windows):
    by_channel = augment.scaled(windows, draw()) / windows
    assert by_channel.std(dim=2).max() < 1e-4 and by_channel[:, :, 0].std() > 0.05
    by_sample = augment.scaled_by_sample(windows, draw()) / windows
    assert by_sample.std(dim=1).max() < 1e-4 and by_sample[:, 0].std() > 0.05


def test_permutation_moves_stretches_and_loses_no_sample():
    ramp = torch.arange(250.0).expand(32, 6, 250)
    moved = augment.permuted(ramp, draw())
    assert torch.equal(moved.sort(dim=2).values, ramp) and torch.equal(moved[:, 0], moved[:, 5])
    breaks = (moved[:, 0].diff(dim=1) != 1).sum(1)
    assert breaks.max() <= 4 and breaks.float().mean() > 1
    assert len({tuple(row.tolist()) for row in moved[:, 0]}) > 8


def test_warping_keeps_ends_and_order():
    ramp = torch.linspace(0, 1, 250).expand(8, 6, 250)
    bent = augment.warped(ramp, draw())[:, 0]
    assert (bent.diff(dim=1) > -1e-6).all() and (bent - ramp[:, 0]).abs().max() > 0.01
    assert bent[:, 0].abs().max() < 1e-6 and (bent[:, -1] - 1).abs().max() < 1e-5


def test_views_follow_the_recipe(windows):
    first, second = augment.two_views(windows, draw(), "as_released")
    assert torch.equal(first, windows) and not torch.allclose(second, windows)
    first, second = augment.two_views(windows, draw(), "paper")
    assert not torch.allclose(first, windows) and not torch.allclose(first, second)
    ahead = [(v / windows).std(dim=2).amax(1) < 1e-3 for v in (first, second)]  # scaled alone; the others run backwards
    assert all(0 < a.sum() < len(a) for a in ahead)
    with pytest.raises(ConfigError, match="mine"):
        augment.two_views(windows, draw(), "mine")
