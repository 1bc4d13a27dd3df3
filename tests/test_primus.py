"""PRIMUS's encoder, equations and queue, against naive versions and the layout of the public checkpoint."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from eailkit.embed import load_encoder
from eailkit.encoders.stacked_rnn import StackedRNN, StackedRnnConfig, load_public
from eailkit.errors import CheckpointError, ConfigError
from eailkit.primus.losses import (
    FeatureQueue,
    PrimusWeights,
    Temperature,
    i2t_loss,
    i2v_loss,
    nearest,
    nn_loss,
    primus_loss,
    ss_loss,
)


def count(module: nn.Module) -> int:
    """Trainable numbers of a module."""
    return sum(p.numel() for p in module.parameters())


def test_the_encoder_has_the_released_number_of_parameters():
    model = StackedRNN()
    assert count(model) == 1_376_204
    assert [count(m) for m in (model.norm_in, model.conv1, model.conv2, model.norm_out, model.gru, model.ssl_head)] == [
        12, 1920, 5120, 64, 838_656, 262_656,
    ]  # fmt: skip


def public_state(seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights under the public checkpoint's names, inside a whole training module's."""
    torch.manual_seed(seed)
    parts = {
        "backbone.0": nn.GroupNorm(2, 6), "backbone.1.net.0": nn.Conv1d(6, 32, 10, bias=False),
        "backbone.2.net.0": nn.Conv1d(32, 32, 5, bias=False), "backbone.3.net.0": nn.Conv1d(32, 32, 5, bias=False),
        "backbone.4": nn.GroupNorm(4, 32), "backbone.5": nn.GRU(32, 512), "ssl_head": nn.Linear(512, 512),
        "mmcl_head": nn.Linear(512, 512),
    }  # fmt: skip
    state = {f"imu_encoder.{name}.{k}": v for name, part in parts.items() for k, v in part.state_dict().items()}
    return state | {"video_encoder.something": torch.zeros(3), "ssl_loss.temperature": torch.tensor(0.1)}


def naive(state: dict[str, torch.Tensor], x: torch.Tensor, *, scan: str) -> torch.Tensor:
    """The released forward pass from functions and a loop over the GRU's equations."""
    w = {k.removeprefix("imu_encoder.backbone."): v for k, v in state.items()}
    x = F.group_norm(x, 2, w["0.weight"], w["0.bias"])
    x = F.max_pool1d(F.conv1d(x, w["1.net.0.weight"], dilation=2), 3)
    x = F.max_pool1d(F.conv1d(x, w["2.net.0.weight"], dilation=2), 3)
    x = F.adaptive_avg_pool1d(F.conv1d(x, w["3.net.0.weight"], dilation=2), 32)
    x = F.group_norm(x, 4, w["4.weight"], w["4.bias"])
    steps = x.unbind(1) if scan == "channels" else x.unbind(2)
    h = torch.zeros(len(x), 512)
    for step in steps:
        r, z, n = (step @ w["5.weight_ih_l0"].T + w["5.bias_ih_l0"]).chunk(3, dim=1)
        hr, hz, hn = (h @ w["5.weight_hh_l0"].T + w["5.bias_hh_l0"]).chunk(3, dim=1)
        z = torch.sigmoid(z + hz)
        h = (1 - z) * torch.tanh(n + torch.sigmoid(r + hr) * hn) + z * h
    return h


@pytest.mark.parametrize("scan", ["channels", "time"])
def test_public_weights_load_and_give_the_released_outputs(scan):
    state, x = public_state(), torch.randn(3, 6, 250, generator=torch.Generator().manual_seed(1))
    model = load_public(StackedRNN(StackedRnnConfig(scan=scan)), state).eval()
    with torch.no_grad():
        hidden = model(x)
        torch.testing.assert_close(hidden, naive(state, x, scan=scan), rtol=1e-4, atol=1e-5)
        head = hidden @ state["imu_encoder.mmcl_head.weight"].T + state["imu_encoder.mmcl_head.bias"]
        torch.testing.assert_close(model.multimodal(hidden), head, rtol=1e-4, atol=1e-5)
    bare = {k.removeprefix("imu_encoder."): v for k, v in state.items() if k.startswith("imu_encoder.")}
    assert torch.equal(load_public(StackedRNN(StackedRnnConfig(scan=scan)), bare).eval()(x), hidden)


def test_scans_differ_and_wrong_input_is_refused():
    state, x = public_state(), torch.randn(2, 6, 250)
    both = [load_public(StackedRNN(StackedRnnConfig(scan=s)), state).eval()(x) for s in ("channels", "time")]
    assert (both[0] - both[1]).abs().max() > 0.01
    assert StackedRNN().eval()(torch.zeros(1, 6, 123)).shape == (1, 512)
    with pytest.raises(ValueError, match="123"):
        StackedRNN()(torch.zeros(1, 6, 122))
    with pytest.raises(ConfigError, match="sideways"):
        StackedRnnConfig(scan="sideways")


def test_checkpoints_of_something_else_are_refused_in_one_sentence():
    state = public_state()
    with pytest.raises(CheckpointError, match="gru"):
        load_public(StackedRNN(), {k: v for k, v in state.items() if "backbone.5" not in k})
    with pytest.raises(CheckpointError, match=r"embed_dim"):
        load_public(StackedRNN(StackedRnnConfig(embed_dim=128)), state)
    with pytest.raises(CheckpointError, match="layer4"):
        load_public(StackedRNN(), {"layer4.weight": torch.zeros(1)})


@pytest.mark.parametrize("wrapped", [True, False])
def test_embed_takes_the_public_checkpoint_and_refuses_another(tmp_path, wrapped):
    state, x = public_state(), np.random.default_rng(0).normal(size=(3, 6, 250)).astype(np.float32)
    torch.save({"state_dict": state, "epoch": 3} if wrapped else state, tmp_path / "primus.ckpt")
    model = load_encoder(tmp_path / "primus.ckpt")
    with torch.no_grad():
        hidden = load_public(StackedRNN(), state).eval()(torch.from_numpy(x))
    np.testing.assert_allclose(model.embed(x, at="encoder"), hidden, rtol=1e-5, atol=1e-6)
    torch.save({"layer4.weight": torch.zeros(1)}, tmp_path / "other.pt")
    (tmp_path / "broken.pt").write_bytes(b"not a checkpoint")
    for name in ("other.pt", "broken.pt", "absent.pt"):
        with pytest.raises(CheckpointError, match=f"{name}: can't be read as the public PRIMUS checkpoint"):
            load_encoder(tmp_path / name)


def naive_info_nce(x, y, scale) -> torch.Tensor:
    """Both directions of InfoNCE, summed, pair by pair."""
    x, y = (v / v.norm(dim=1, keepdim=True) for v in (x, y))
    total = 0.0
    for a, b in ((x, y), (y, x)):
        for i in range(len(a)):
            scores = torch.stack([scale * (a[i] * b[j]).sum() for j in range(len(b))])
            total = total - (scores[i] - scores.logsumexp(0)) / len(a)
    return total


def test_pairwise_losses_are_info_nce_in_both_directions():
    a, b, scale = torch.randn(5, 8), torch.randn(5, 8), Temperature()()
    assert scale.item() == pytest.approx(10.0)
    for loss in (ss_loss, i2v_loss, i2t_loss):
        torch.testing.assert_close(loss(a, b, scale), naive_info_nce(a, b, 10.0), rtol=1e-5, atol=1e-5)


def test_equal_windows_are_no_negatives_and_missing_words_drop_out():
    a = torch.randn(4, 8)
    twin = torch.cat([a, a[:1]])  # the fifth window is the first again
    equal = torch.zeros(5, 5, dtype=torch.bool)
    equal[0, 4] = equal[4, 0] = True
    assert ss_loss(twin, twin, 100.0, equal=equal) < 0.5 * ss_loss(twin, twin, 100.0)
    text, said = torch.randn(4, 8), torch.tensor([True, False, True, True])
    torch.testing.assert_close(i2t_loss(a, text, 5.0, has_text=said), i2t_loss(a[said], text[said], 5.0))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 20), st.integers(1, 60), st.integers(0, 10_000))
def test_one_matrix_product_finds_the_neighbours_of_the_broadcast_search(n, q, seed):
    g = torch.Generator().manual_seed(seed)
    key, queue = torch.randn(n, 6, generator=g), torch.randn(q, 6, generator=g)
    slow = [max(range(q), key=lambda j, k=k: F.cosine_similarity(k, queue[j], dim=0).item()) for k in key]
    best = [F.cosine_similarity(k, queue[j], dim=0) for k, j in zip(key, nearest(key, queue), strict=True)]
    torch.testing.assert_close(
        torch.stack(best),
        torch.stack([F.cosine_similarity(k, queue[j], dim=0) for k, j in zip(key, slow, strict=True)]),
    )


def test_the_queue_forgets_the_oldest_and_never_offers_empty_rows():
    queue = FeatureQueue({"imu": 2, "video": 3}, size=5)
    with pytest.raises(ValueError, match="empty"):
        queue.neighbours(torch.randn(1, 3))
    video = torch.eye(3).repeat(3, 1)[:7] * torch.arange(1, 8)[:, None]
    rows = torch.arange(14.0).reshape(7, 2)
    queue.add(imu=rows[:2], video=video[:2])
    assert len(queue) == 2 and queue.valid.sum() == 2
    assert queue.neighbours(-torch.ones(1, 3))["index"].item() in (0, 1)  # every empty row would be nearer
    queue.add(imu=rows[2:], video=video[2:])
    assert len(queue) == 5
    assert sorted(queue.rows_imu[:, 0].tolist()) == [4.0, 6.0, 8.0, 10.0, 12.0]  # of seven rows the last five
    found = queue.neighbours(torch.tensor([[0.0, 1.0, 0.0]]))
    assert found["imu"][0, 0].item() in (8.0,) and found["video"].argmax().item() == 1
    with pytest.raises(ValueError, match="video"):
        queue.add(imu=rows)


def test_a_batch_larger_than_the_queue_leaves_its_end():
    queue = FeatureQueue({"video": 1}, size=4)
    queue.add(video=torch.arange(10.0)[:, None])
    assert sorted(queue.rows_video[:, 0].tolist()) == [6.0, 7.0, 8.0, 9.0] and len(queue) == 4
    queue.add(video=torch.tensor([[99.0]]))
    assert sorted(queue.rows_video[:, 0].tolist()) == [7.0, 8.0, 9.0, 99.0]


def test_neighbours_are_positives_and_twins_of_one_neighbour_no_negatives():
    a, m = torch.randn(4, 8), torch.randn(4, 8)
    stored = {"imu": torch.randn(4, 8), "video": torch.randn(4, 8), "text": torch.randn(4, 8)}
    apart = stored | {"index": torch.arange(4)}
    by_hand = naive_info_nce(a, stored["imu"], 5.0) + sum(naive_info_nce(m, stored[k], 7.0) for k in ("video", "text"))
    torch.testing.assert_close(nn_loss(a, m, apart, 5.0, 7.0), by_hand, rtol=1e-5, atol=1e-5)
    one = {k: v[[0, 0, 0, 0]] for k, v in stored.items()} | {"index": torch.zeros(4, dtype=torch.long)}
    assert nn_loss(a, m, one, 5.0, 7.0).abs() < 1e-5  # all share the neighbour: nothing to tell apart


def test_the_whole_is_the_weighted_sum_and_its_gradients_reach_everything():
    model, tau = StackedRNN(StackedRnnConfig(embed_dim=32)), nn.ModuleList([Temperature(), Temperature()])
    hidden = model(torch.randn(6, 6, 250))
    s, m = model.ssl(hidden), model.multimodal(hidden)
    v, t = torch.randn(6, 32), torch.randn(6, 32)
    terms = {
        "ss": ss_loss(s, model.ssl(model(torch.randn(6, 6, 250))), tau[0]()),
        "mm": i2v_loss(m, v, tau[1]()) + i2t_loss(m, t, tau[1]()),
    }
    found = primus_loss(terms, PrimusWeights(ss=0.5, mm=0.25))
    torch.testing.assert_close(found["total"], 0.5 * terms["ss"] + 0.25 * terms["mm"])
    found["total"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in [*model.parameters(), *tau.parameters()])
