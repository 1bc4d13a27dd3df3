"""The GRU that trains in float32 on a CPU, against torch's: outputs, gradients, and when torch's own is taken."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from eailkit.encoders._gru.training import gru_last, gru_outputs
from eailkit.encoders.stacked_rnn import StackedRNN, StackedRnnConfig, _pool

NAMES = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")


def _both(gru: nn.GRU, x: torch.Tensor, last: bool, weigh: torch.Tensor) -> list[list[torch.Tensor]]:
    """Output, gradient of x and of the parameters: of torch's, then of ours."""
    found = []
    for ours in (False, True):
        gru.zero_grad()
        leaf = x.clone().requires_grad_()
        if last:
            out = gru_last(gru, leaf) if ours else gru(leaf)[1][0]
        else:
            out = gru_outputs(gru, leaf) if ours else gru(leaf)[0]
        (out * weigh).sum().backward()
        assert ("_Gru" in _history(out)) == ours
        found.append([out.detach(), leaf.grad, *(gru.get_parameter(n).grad.clone() for n in NAMES)])
    return found


def _history(out: torch.Tensor) -> str:
    return " ".join([type(out.grad_fn).__name__, *(type(f).__name__ for f, _ in out.grad_fn.next_functions if f)])


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.integers(1, 7), st.integers(1, 5), st.integers(1, 20), st.booleans(), st.integers(0, 1000))
def test_outputs_and_gradients_are_torchs(batch, steps, features, hidden, last, seed):
    torch.manual_seed(seed)
    gru = nn.GRU(features, hidden, batch_first=True)
    x, scale = 2 * torch.randn(batch, steps, features), 0.5 + 4 * torch.rand(())
    weigh = scale * (torch.randn(batch, hidden) if last else torch.randn(batch, steps, hidden))
    for name, theirs, ours in zip(("out", "x", *NAMES), *_both(gru, x, last, weigh), strict=True):
        limit = 2e-5 * max(1.0, float(theirs.abs().max()))
        assert theirs.shape == ours.shape and float((theirs - ours).abs().max()) < limit, name


def test_gates_that_are_shut_and_open_keep_their_gradients():
    torch.manual_seed(0)
    gru = nn.GRU(3, 8, batch_first=True)
    x = 60 * torch.randn(4, 6, 3)  # sigmoid and tanh at their ends
    theirs, ours = _both(gru, x, True, torch.randn(4, 8))
    for a, b in zip(theirs, ours, strict=True):
        assert torch.isfinite(b).all() and float((a - b).abs().max()) < 2e-5 * max(1.0, float(a.abs().max()))


@pytest.mark.parametrize("scan", ["channels", "time"])
def test_an_encoder_learns_as_with_torchs_gru(scan: str, monkeypatch):
    """Ten steps of Adam from the same weights: the losses stay together."""
    losses = []
    for ours in (False, True):
        torch.manual_seed(0)
        model = StackedRNN(StackedRnnConfig(embed_dim=48, scan=scan))
        x, y = torch.randn(16, 6, 250), torch.randn(16, 48)
        if not ours:
            monkeypatch.setattr("eailkit.encoders.stacked_rnn.gru_last", lambda gru, x: gru(x)[1][0])
        adam = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(10):
            loss = (model.ssl(model(x)) - y).square().mean()
            adam.zero_grad(), loss.backward(), adam.step()
            losses.append(loss.item())
        monkeypatch.undo()
    assert losses[10:] == pytest.approx(losses[:10], rel=1e-4) and losses[-1] < 0.98 * losses[0]


def test_the_way_back_is_gone_once():
    gru = nn.GRU(3, 8, batch_first=True)
    out = gru_last(gru, torch.randn(2, 5, 3)).sum()
    out.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="gone after one backward pass"):
        out.backward()


def test_torchs_own_is_taken_where_ours_is_not_meant():
    gru, x = nn.GRU(3, 8, batch_first=True), torch.randn(2, 5, 3)
    with torch.no_grad():
        assert torch.equal(gru_last(gru, x), gru(x)[1][0])
    assert torch.equal(gru_outputs(gru.eval(), x), gru(x)[0])
    with torch.autocast("cpu", torch.bfloat16):
        assert "_Gru" not in _history(gru_last(gru.train(), x))
    both_ways = nn.GRU(3, 8, batch_first=True, bidirectional=True)
    assert gru_outputs(both_ways, x).shape == (2, 5, 16)
    double = nn.GRU(3, 8, batch_first=True).double()
    assert gru_last(double, x.double()).dtype == torch.float64
    with pytest.raises(RuntimeError, match="Expected 3, got 4"):
        gru_last(gru, torch.randn(2, 5, 4))


def test_a_window_that_is_not_finite_says_so():
    gru, x = nn.GRU(3, 8, batch_first=True), torch.randn(2, 5, 3)
    x[0, 2, 1] = float("nan")
    assert gru_last(gru, x).isnan().any(1).tolist() == [True, False]


def test_the_encoders_pool_is_max_pooling_with_and_without_gradients():
    x = torch.randn(2, 4, 71)
    for keep in (True, False):
        leaf = x.clone().requires_grad_(keep)
        with torch.set_grad_enabled(keep):
            assert torch.equal(_pool(leaf), torch.max_pool1d(x, 3))
    _pool(leaf := x.clone().requires_grad_()).square().sum().backward()
    torch.max_pool1d(other := x.clone().requires_grad_(), 3).square().sum().backward()
    assert torch.equal(leaf.grad, other.grad)
