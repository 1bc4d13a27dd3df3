"""`fast` encoders give the numbers of the modules that they were made from, and refuse what they can't take."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from eailkit.encoders._gru import loops
from eailkit.encoders._gru.inference import BLOCK, FEW, fast
from eailkit.encoders.stacked_rnn import StackedRNN, StackedRnnConfig
from eailkit.errors import ConfigError


def windows(batch: int, length: int = 250) -> torch.Tensor:
    """Head motion's scale: gravity on one axis, noise on all."""
    x = torch.randn(batch, 6, length, generator=torch.Generator().manual_seed(batch + length))
    x[:, 2] += 9.81
    return x


@pytest.mark.parametrize("scan", ["channels", "time"])
def test_results_equal_the_modules(scan):
    torch.manual_seed(1)
    model = StackedRNN(StackedRnnConfig(scan=scan)).eval()
    with torch.no_grad():  # a trained encoder's gates saturate, an initial one's don't
        model.gru.weight_hh_l0.mul_(3)
        model.norm_in.weight.mul_(2)
        model.norm_out.bias.add_(0.3)
    both, bare, own = fast(model, windows(2), head="multimodal"), fast(model), fast(model, head="ssl")
    for batch in (1, 7, FEW + 1, 256):
        for length in (123, 250, 300) if batch < 256 else (250,):
            x = windows(batch, length)
            with torch.inference_mode():
                hidden = model(x)
                torch.testing.assert_close(bare(x), hidden, rtol=0, atol=1e-5)
                torch.testing.assert_close(both(x), model.multimodal(hidden), rtol=0, atol=1e-5)
                torch.testing.assert_close(own(x), model.ssl(hidden), rtol=0, atol=1e-5)


def test_other_sizes_blocks_strides_and_nothing_at_all():
    model = StackedRNN(StackedRnnConfig(embed_dim=20, channels=16, scan="time")).eval()
    encode, x = fast(model, head="multimodal"), windows(BLOCK + 5)
    with torch.no_grad():
        torch.testing.assert_close(encode(x), model.multimodal(model(x)), rtol=0, atol=1e-5)
        strided = windows(3, 500)[:, :, ::2]
        torch.testing.assert_close(encode(strided), model.multimodal(model(strided)), rtol=0, atol=1e-5)
    assert encode(x[:0]).shape == (0, 20)


def test_the_function_keeps_the_parameters_that_it_was_made_with():
    model, x = StackedRNN(), windows(2)
    encode = fast(model, head="multimodal")
    before = encode(x)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    assert torch.equal(encode(x), before)
    assert model.training and all(p.requires_grad for p in model.parameters())
    with torch.no_grad():
        torch.testing.assert_close(fast(model, head="multimodal")(x), model.multimodal(model(x)), rtol=0, atol=1e-5)
    probe = nn.Linear(512, 3)
    probe(before).sum().backward()
    assert not before.requires_grad and probe.weight.grad is not None


@pytest.mark.parametrize("batch", [2, FEW + 2])
def test_what_is_no_number_stays_none_and_stays_in_its_window(batch):
    x = windows(batch)
    clean = fast(StackedRNN())
    expected = clean(x)
    x[1, 3, 100] = math.nan
    found = clean(x)
    assert found[1].isnan().all()
    kept = [i for i in range(batch) if i != 1]
    assert torch.equal(found[kept], expected[kept])


def test_any_other_module_is_taken_as_it_is_without_dropout():
    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.drop, self.out = nn.Conv1d(6, 8, 5), nn.Dropout(0.5), nn.Linear(8, 4)

        def forward(self, x):
            return self.drop(self.conv(x).mean(2))

        def multimodal(self, hidden):
            return self.out(hidden)

    model, x = Other(), windows(5)
    encode = fast(model, x, head="multimodal")
    expected = model.eval().multimodal(model(x))
    torch.testing.assert_close(encode(x), expected.detach())
    assert not encode(x).requires_grad
    with torch.no_grad():
        model.out.weight.zero_()
    torch.testing.assert_close(encode(x), expected.detach())


def test_wrong_input_modules_and_heads_are_refused_in_one_sentence():
    encode = fast(StackedRNN())
    for shape in ((1, 6, 122), (1, 5, 250), (6, 250)):
        with pytest.raises(ValueError, match=r"\(B, 6, L\) with L >= 123"):
            encode(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"float64.*expected torch.float32"):
        encode(torch.zeros(1, 6, 250, dtype=torch.float64))
    with pytest.raises(ConfigError, match=r"norm_in.weight.*float64"):
        fast(StackedRNN().double())
    with pytest.raises(ConfigError, match="head 'video'"):
        fast(StackedRNN(), head="video")
    with pytest.raises(ConfigError, match="head 'eval_'"):
        fast(nn.Linear(2, 2), head="eval_")
    with pytest.raises(ConfigError, match="differ"):
        fast(StackedRNN(), torch.full((1, 6, 250), math.nan))


def test_the_compiled_tangent_is_exact_to_the_last_bits_everywhere():
    x = np.concatenate([np.linspace(-20, 20, 20_001), [-1e30, 1e30, np.inf, -np.inf]]).astype(np.float32)
    found = np.array([loops.tanh(v) for v in x])
    assert np.abs(found - np.tanh(x.astype(float))).max() < 2e-7
    assert np.isnan(loops.tanh(np.float32(np.nan)))
