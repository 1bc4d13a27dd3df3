"""Augmentations: what each keeps, what it changes, and that examples draw their own numbers."""

from __future__ import annotations

import pytest
import torch

from eailkit.errors import ConfigError
from eailkit.preprocess import augment


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
    bent = augment.time_warp(ramp, draw())[:, 0]
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


WORN = ("lever_arm_shift", "cropped", "band_jitter", "smoothed", "magnitude_scaling")


@pytest.mark.parametrize("name", WORN)
def test_what_wearing_does_follows_its_seed_and_leaves_the_input(windows, name):
    before, transform = windows.clone(), getattr(augment, name)
    once = transform(windows, draw())
    assert once.shape == windows.shape and once.dtype == windows.dtype and torch.equal(windows, before)
    assert torch.equal(once, transform(windows, draw())) and not torch.allclose(once, windows)
    assert not torch.allclose(once, transform(windows, draw(7)))


def test_a_moved_sensor_feels_the_rotation_at_its_place(windows):
    assert torch.equal(augment.lever_arm_shift(windows, draw(), lever_m=0.0), windows)
    turning = torch.zeros(4, 6, 250)
    turning[:, 2], turning[:, 5] = 9.81, 2.0  # 2 rad/s about z
    r = 0.06 * torch.randn(4, 3, 1, generator=draw())
    inwards = -(2.0**2) * r * torch.tensor([1.0, 1.0, 0.0])[:, None]  # centripetal, none along the axis
    found = augment.lever_arm_shift(turning, draw())
    torch.testing.assert_close(found[:, :3], turning[:, :3] + inwards.expand(-1, -1, 250), atol=1e-5, rtol=1e-5)
    assert torch.equal(found[:, 3:], turning[:, 3:])
    spinning_up = torch.zeros(1, 6, 250)
    spinning_up[:, 5] = 3.0 * torch.arange(250) / 50  # alpha = 3 rad/s2 about z: a_t = alpha x r
    r = 0.06 * torch.randn(1, 3, 1, generator=draw())[0, :, 0]
    start = augment.lever_arm_shift(spinning_up, draw())[0, :3, 0]
    torch.testing.assert_close(start, torch.tensor([-3.0 * r[1], 3.0 * r[0], 0.0]), atol=1e-4, rtol=1e-3)


def test_a_crop_keeps_range_and_order(windows):
    found = augment.cropped(windows, draw())
    assert (found.amax(2) <= windows.amax(2) + 1e-5).all() and (found.amin(2) >= windows.amin(2) - 1e-5).all()
    ramp = augment.cropped(torch.linspace(0, 1, 250).expand(200, 6, 250), draw())[:, 0]
    assert (ramp.diff(dim=1) > 0).all()
    span = ramp[:, -1] - ramp[:, 0]
    assert span.min() >= 0.6 - 1e-5 and span.max() <= 1 + 1e-5 and span.std() > 0.05


def test_smoothing_keeps_the_mean_and_takes_what_is_fast(windows):
    still = torch.full((8, 6, 250), 9.81)
    torch.testing.assert_close(augment.smoothed(still, draw()), still)
    found = augment.smoothed(windows, draw())
    assert (found.mean(2) - windows.mean(2)).abs().max() < 0.1
    share = (found.std(2) / windows.std(2)).mean(1)
    assert share.max() <= 1 + 1e-5 and share.min() < 0.45  # of white noise, a mean over 9 leaves a third
    t = torch.arange(250) / 50
    slow = torch.sin(6.2832 * t).expand(8, 6, 250)
    assert (augment.smoothed(slow, draw()) - slow)[..., 10:-10].abs().max() < 0.06


def test_band_noise_lies_in_one_band_and_below_its_level(windows):
    added = augment.band_jitter(windows, draw()) - windows
    power = torch.fft.rfft(added, dim=2).abs().square()  # (B, 6, 126)
    inside = power > 1e-6 * power.amax(2, keepdim=True)
    for row in inside.flatten(0, 1):
        held = row.nonzero()[:, 0]
        assert len(held) and held[-1] - held[0] <= 32  # a quarter of the 126 bins
    assert ((added.std(2) / windows.std(2)) <= 0.7 + 1e-4).all()
    assert added.std(2).amin(1).min() > 0


def test_a_livelier_person_keeps_gravity(windows):
    found = augment.magnitude_scaling(windows, draw())
    torch.testing.assert_close(found[:, :3].mean(2), windows[:, :3].mean(2), atol=1e-4, rtol=1e-4)
    factor = found[:, 3:].std(2) / windows[:, 3:].std(2)
    torch.testing.assert_close(factor, factor[:, :1].expand(-1, 3))
    torch.testing.assert_close(found[:, :3].std(2) / windows[:, :3].std(2), factor, atol=1e-4, rtol=1e-4)
    assert 0.1 < factor[:, 0].log().std() < 0.5
