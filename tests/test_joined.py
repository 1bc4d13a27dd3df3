"""EAIL with PRIMUS's encoder: the context windows against a naive cut, freezing, a step of training."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from eailkit import joined
from eailkit.errors import ConfigError
from eailkit.primus import Primus, PrimusConfig


def test_context_is_the_five_seconds_around_each_second():
    t = np.arange(400 * 12) / 400.0
    signal = np.stack([np.sin(2 * np.pi * (0.3 + 0.2 * k) * t) for k in range(6)]).astype(np.float32)
    windows = signal.reshape(6, 12, 400).transpose(1, 0, 2)
    found = joined.around(windows)
    assert found.shape == (12, 6, 250)
    at = 4.0 - 2.0 + np.arange(250) / 50.0  # second 4 spans 4..5 s; its context 2..7 s
    naive = np.stack([np.sin(2 * np.pi * (0.3 + 0.2 * k) * at) for k in range(6)])
    assert np.abs(found[4] - naive).max() < 0.01


def test_context_does_not_alias():
    t = np.arange(400 * 10) / 400.0
    high = np.sin(2 * np.pi * 60.0 * t).astype(np.float32)  # above the new Nyquist frequency of 25 Hz
    found = joined.around(np.broadcast_to(high, (6, 4000)).reshape(6, 10, 400).transpose(1, 0, 2))
    assert np.abs(found[3:7]).max() < 0.02


@pytest.mark.parametrize("seconds", [1, 3])
def test_short_takes_get_whole_windows(seconds: int):
    assert joined.around(np.ones((seconds, 6, 400), np.float32)).shape == (seconds, 6, 250)


@pytest.mark.parametrize("encoder", ["stacked_rnn", "motion_gru"])
def test_frozen_encoder_does_not_move(encoder: str):
    torch.manual_seed(0)
    options = {"embed_dim": 32} if encoder == "stacked_rnn" else {"hidden": 16, "width": 16}
    primus = Primus(PrimusConfig(encoder=encoder, encoder_options=options, terms=("ss",)), feature_dim=128)
    windows = torch.randn(16, 6, 250) + torch.tensor([0.0, 0.0, 9.8, 0.0, 0.0, 0.0])[:, None]
    for frozen in (True, False):
        imu = joined.PrimusImu(primus, 128, frozen=frozen).train()
        before = {k: v.clone() for k, v in imu.encoder.state_dict().items()}
        optimizer = torch.optim.SGD([p for p in imu.parameters() if p.requires_grad], lr=1.0)
        imu(windows).square().mean().backward()
        optimizer.step()
        moved = any(not torch.equal(before[k], v) for k, v in imu.encoder.state_dict().items())
        assert moved != frozen
        assert torch.equal(primus.encoder.state_dict()[k0 := next(iter(before))], before[k0]), "the original stays"


def test_unknown_use_is_named():
    with pytest.raises(ConfigError, match="found use 'half'"):
        joined.joined_stage1(None, None, None, "half")
