"""Our IMU encoder: what it ignores, what it keeps, its filters and its size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from eailkit.encoders.motion_gru import MotionGRU, MotionGruConfig, along_gravity, band_powers, correlations
from eailkit.encoders.stacked_rnn import StackedRNN
from eailkit.preprocess.augment import magnitude_scaling, rotated


def windows(n: int = 12) -> torch.Tensor:
    """Smooth motion about gravity along a tilted axis."""
    g = torch.Generator().manual_seed(0)
    t = torch.arange(250) / 50
    hz, phase = 3 * torch.rand(n, 6, 1, generator=g), 6.28 * torch.rand(n, 6, 1, generator=g)
    x = torch.sin(6.2832 * hz * t + phase) + 0.05 * torch.randn(n, 6, 250, generator=g)
    return x + torch.tensor([3.0, -2.0, 9.1, 0.0, 0.0, 0.0])[:, None]


@pytest.fixture(scope="module")
def model() -> MotionGRU:
    """With statistics of some windows, as after training."""
    torch.manual_seed(0)
    made = MotionGRU()
    with torch.no_grad():
        for _ in range(20):
            made(windows(32))
    return made.eval()


@torch.no_grad()
def test_turning_both_sensors_changes_nothing(model):
    x = windows()
    for seed in range(3):
        turned = rotated(x, torch.Generator().manual_seed(seed))
        for of in (model, lambda v: model.multimodal(model(v)), lambda v: model.ssl(model(v))):
            a, b = of(x), of(turned)
            assert ((a - b).norm(dim=1) / a.norm(dim=1)).max() < 1e-3
    alone = torch.cat([rotated(x[:, [0, 1, 2, 0, 1, 2]], torch.Generator().manual_seed(0))[:, :3], x[:, 3:]], dim=1)
    assert ((model(x) - model(alone)).norm(dim=1) / model(x).norm(dim=1)).min() > 0.01  # one sensor alone does


@torch.no_grad()
def test_amplitude_matters(model):
    x = windows()
    larger = magnitude_scaling(x, torch.Generator().manual_seed(1), sigma=1.0)
    assert ((model(x) - model(larger)).norm(dim=1) / model(x).norm(dim=1)).median() > 0.1


@torch.no_grad()
def test_channels_are_what_they_are_called():
    t = torch.arange(250) / 50
    x = torch.zeros(1, 6, 250)
    x[0, 1] = 9.81 + 0.5 * torch.sin(6.2832 * 2 * t)  # up is y here
    x[0, 0] = 0.3 * torch.cos(6.2832 * 3 * t)
    x[0, 4], x[0, 5] = 0.7, -0.2
    up, across, _, _, yaw, pitch, rate, jerk = along_gravity(x)[0]
    torch.testing.assert_close(up, x[0, 1] - 9.81, atol=1e-3, rtol=0)
    torch.testing.assert_close(across, x[0, 0].abs(), atol=1e-3, rtol=0)
    torch.testing.assert_close(yaw, x[0, 4], atol=1e-3, rtol=0)
    torch.testing.assert_close(pitch, x[0, 5].abs(), atol=1e-3, rtol=0)
    torch.testing.assert_close(rate, torch.full((250,), 0.53**0.5), atol=1e-3, rtol=0)
    torch.testing.assert_close(jerk[1:], x[0, :3].diff(dim=1).norm(dim=0), atol=1e-3, rtol=0)


def test_it_is_no_larger_than_the_papers_encoder():
    count = lambda m: sum(p.numel() for p in m.parameters())  # noqa: E731
    assert count(MotionGRU()) <= count(StackedRNN())


@torch.no_grad()
def test_filters_begin_at_their_frequencies():
    config = MotionGruConfig()
    model, t = MotionGRU(config), torch.arange(250) / 50
    hz = torch.logspace(np.log10(config.lowest_hz), np.log10(config.highest_hz), config.bands)

    def strongest(tone_hz: float) -> int:
        x = torch.zeros(1, 6, 250)
        x[0, 2] = 9.81 + torch.sin(6.2832 * tone_hz * t)
        pairs = model.bank(along_gravity(x)).unflatten(1, (8, config.bands, 2))[0, 0]  # vertical acceleration
        return int(pairs.square().sum(1)[:, 50:200].mean(1).argmax())

    assert strongest(2.0) == int((hz.log() - torch.tensor(2.0).log()).abs().argmin())
    found, low = [strongest(float(f)) for f in hz], int((hz < 1.0).sum())  # a second holds no whole period of these
    assert found[low:] == list(range(low, config.bands)) and max(found[:low]) <= low


@torch.no_grad()
def test_an_uncalibrated_accelerometer_gives_the_same():
    torch.manual_seed(0)
    x = windows()
    up = torch.nn.functional.normalize(x[:, :3].mean(2, keepdim=True), dim=1)
    shifted = torch.cat([x[:, :3] - 0.5 * up, x[:, 3:]], dim=1)  # 9.3 m/s2 at rest instead of 9.8
    apart = {}
    for keep in (False, True):
        model = MotionGRU(MotionGruConfig(keep_offset=keep))
        for _ in range(5):
            model(windows(32))
        a, b = model.eval()(x), model(shifted)
        apart[keep] = float(((a - b).norm(dim=1) / a.norm(dim=1)).median())
    assert 20 * apart[False] < apart[True], apart
    filters = MotionGRU().bank.weight[:, 0]
    assert filters.sum(dim=1).abs().max() < 1e-5 < filters.abs().sum(dim=1).min()


@pytest.mark.parametrize("length", [64, 199, 250, 255])
def test_band_powers_are_those_of_a_convolution(length):
    g = torch.Generator().manual_seed(0)
    x, filters = torch.randn(3, 8, length, generator=g), torch.randn(8 * 6, 50, generator=g)
    pairs = torch.nn.functional.conv1d(x, filters[:, None], padding=25, groups=8).unflatten(1, (-1, 2))
    expected = torch.nn.functional.avg_pool1d(pairs.square().sum(2), 10)
    torch.testing.assert_close(band_powers(x, filters, 10), expected, rtol=1e-4, atol=1e-4)


def test_correlations_are_numpys():
    x = torch.randn(3, 8, 250, generator=torch.Generator().manual_seed(0)).cumsum(2)
    i, j = np.triu_indices(8, 1)
    expected = np.stack([np.corrcoef(v)[i, j] for v in x.numpy()])
    np.testing.assert_allclose(correlations(x), expected, atol=1e-3)
    assert not correlations(torch.ones(1, 8, 250)).any()


def test_windows_that_are_too_short_are_refused():
    model = MotionGRU().eval()
    assert model(torch.randn(2, 6, 64)).shape == (2, model.hidden_dim)
    for bad in (torch.zeros(2, 6, 63), torch.zeros(2, 5, 250), torch.zeros(6, 250)):
        with pytest.raises(ValueError, match="expected \\(B, 6, L\\)"):
            model(bad)
    assert torch.isfinite(model(torch.zeros(2, 6, 250))).all()
