"""The IMU encoder: RoNIN's trunk in numbers and against an independent forward pass."""

import copy

import pytest
import torch
import torch.nn.functional as F
from numba import TypingError
from torch import nn

from eailkit.encoders import IMU_PAPER, IMU_QUICK, ImuResNet18
from eailkit.encoders._products import times, transposed_times
from eailkit.encoders._resnet.inference import trunk_frozen
from eailkit.encoders._resnet.products import is_ours
from eailkit.encoders._resnet.training import trunk_in_training
from eailkit.errors import ConfigError


def test_trunk_is_ronin_s():
    net = ImuResNet18()
    assert sum(p.numel() for p in net.trunk.parameters()) == 3_846_144
    assert net.trunk(torch.zeros(1, 6, 400)).shape == (1, 512, 13)
    assert net.trunk(torch.zeros(1, 6, 200)).shape == (1, 512, 7)
    assert not any(isinstance(m, nn.Conv1d) and m.bias is not None for m in net.modules())


def test_ronin_s_whole_net_has_its_published_size():
    """RoNIN's head on our trunk gives RoNIN's parameter counts, at 200 and at 400 samples."""
    trunk = sum(p.numel() for p in ImuResNet18(embed_dim=None).parameters())
    for steps, published in ((7, 4_634_882), (13, 5_028_098)):
        head = nn.Sequential(
            nn.Conv1d(512, 128, 1, bias=False), nn.BatchNorm1d(128), nn.Flatten(), nn.Linear(128 * steps, 512),
            nn.Linear(512, 512), nn.Linear(512, 2),
        )  # fmt: skip
        assert trunk + sum(p.numel() for p in head.parameters()) == published


def reference(net: ImuResNet18, x: torch.Tensor) -> torch.Tensor:
    """The same net by parameter name, in functional calls."""
    p = dict(net.named_parameters()) | dict(net.named_buffers())

    def bn(y, name):
        return F.batch_norm(y, *(p[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")))

    y = F.max_pool1d(F.relu(bn(F.conv1d(x, p["trunk.0.weight"], stride=2, padding=3), "trunk.1")), 3, 2, 1)
    for group in range(4):
        for block in range(2):
            name = f"trunk.{group + 4}.{block}"
            stride = 2 if group and not block else 1
            z = F.relu(bn(F.conv1d(y, p[f"{name}.conv1.weight"], stride=stride, padding=1), f"{name}.bn1"))
            z = bn(F.conv1d(z, p[f"{name}.conv2.weight"], padding=1), f"{name}.bn2")
            if f"{name}.shortcut.0.weight" in p:
                y = bn(F.conv1d(y, p[f"{name}.shortcut.0.weight"], stride=stride), f"{name}.shortcut.1")
            y = F.relu(z + y)
    return y.mean(-1) @ p["projection.weight"].T + p["projection.bias"]


def test_forward_equals_functional_version():
    torch.manual_seed(0)
    net = ImuResNet18(width=8, embed_dim=5)
    net.train()(torch.randn(16, 6, 200) * 3)  # running statistics away from 0 and 1
    net.eval()
    x = torch.randn(4, 6, 400)
    with torch.no_grad():
        torch.testing.assert_close(net(x), reference(net, x), rtol=1e-4, atol=1e-5)


def test_widths_lengths_and_dimensions():
    assert ImuResNet18(width=32, embed_dim=None)(torch.zeros(2, 6, 400)).shape == (2, 256)
    assert ImuResNet18(width=8, embed_dim=7)(torch.zeros(2, 6, 100)).shape == (2, 7)
    assert ImuResNet18.from_config(IMU_PAPER).embed_dim == 512
    assert ImuResNet18.from_config(IMU_QUICK).config == IMU_QUICK
    with pytest.raises(ConfigError, match="positive"):
        ImuResNet18(width=0)


def test_tells_a_nod_from_rest():
    """Gradients reach the stem: a few steps separate two motions that differ in gyro alone."""
    torch.manual_seed(0)
    x = torch.randn(32, 6, 400) * 0.1
    x[:, 2] += 9.81
    label = torch.arange(32) % 2
    x[label == 1, 4] += torch.sin(torch.arange(400) / 40.0)
    net = ImuResNet18(width=8, embed_dim=2)
    before = net.trunk[0].weight.detach().clone()
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
    for _ in range(15):
        loss = F.cross_entropy(net(x), label)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.1 and not torch.equal(before, net.trunk[0].weight)


def plain_step(net: ImuResNet18, x: torch.Tensor, weigh: torch.Tensor) -> list[torch.Tensor]:
    """Output, gradients and running statistics of a training step by torch's own modules."""
    return _step(net, lambda: net.projection(net.trunk(x).mean(-1)), weigh)


def our_step(net: ImuResNet18, x: torch.Tensor, weigh: torch.Tensor) -> list[torch.Tensor]:
    """The same by Winograd's products."""
    return _step(net, lambda: net.projection(trunk_in_training(net.trunk, x)), weigh)


def _step(net, forward, weigh) -> list[torch.Tensor]:
    out = forward()
    (out * weigh).sum().backward()
    return [out.detach(), *(p.grad for p in net.parameters()), *net.buffers()]


@pytest.mark.parametrize("length", [400, 391, 64, 38, 33])  # maps of 100, 98, 16, 10 and 9 steps, down to 1
def test_training_by_half_of_the_products_is_torchs(length):
    """In float64 nothing is left but the arithmetic: outputs, every gradient and running statistics agree."""
    torch.manual_seed(length)
    theirs = ImuResNet18(width=8, embed_dim=5).double().train()
    for norm in (m for m in theirs.modules() if isinstance(m, nn.BatchNorm1d)):
        nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    ours = copy.deepcopy(theirs)
    x, weigh = 3 * torch.randn(6, 6, length, dtype=torch.double), torch.randn(6, 5, dtype=torch.double)
    for a, b in zip(plain_step(theirs, x, weigh), our_step(ours, x, weigh), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-9, atol=1e-9 * float(a.abs().max()))


def test_training_in_float32_differs_by_rounding():
    torch.manual_seed(0)
    theirs = ImuResNet18(width=16, embed_dim=8).train()
    ours, x, weigh = copy.deepcopy(theirs), 3 * torch.randn(32, 6, 400), torch.randn(32, 8)
    x[:, 2] += 9.81
    found = [(plain_step(theirs, x, weigh)[0], our_step(ours, x, weigh)[0])]
    torch.testing.assert_close(found[0][1], found[0][0], rtol=1e-4, atol=2e-6)
    for (name, a), b in zip(theirs.named_parameters(), ours.parameters(), strict=True):
        # a ReLU that opens in the one and not in the other moves a gradient by more than rounding does
        assert float((a.grad - b.grad).norm() / a.grad.norm()) < 2e-2, name
    for a, b in zip(theirs.buffers(), ours.buffers(), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("count", "length"), [(40, 400), (33, 391), (16, 38)])
def test_frozen_features_are_torchs(count, length):
    torch.manual_seed(count)
    net = ImuResNet18(width=8, embed_dim=16)
    with torch.no_grad():
        for _ in range(20):
            net.train().trunk(3 * torch.randn(16, 6, length))
    x = 3 * torch.randn(count, 6, length)
    net.eval()
    with torch.inference_mode():
        theirs, ours = net.trunk(x).mean(-1), trunk_frozen(net.trunk, x)
    torch.testing.assert_close(F.normalize(ours), F.normalize(theirs), rtol=0, atol=1e-5)


def test_which_steps_are_ours(monkeypatch):
    """Float32 on a CPU, all trained or all frozen; anything else is torch's."""
    net, x = ImuResNet18(width=4, embed_dim=3).train(), torch.randn(4, 6, 64)
    assert is_ours(net, x)
    with torch.autocast("cpu", torch.bfloat16):
        assert not is_ours(net, x)
    with torch.no_grad():
        assert not is_ours(net, x)  # torch's batch norm in training mode moves its statistics here too
    assert not is_ours(net, x.clone().requires_grad_())
    assert not is_ours(copy.deepcopy(net).double(), x.double())
    net.eval()
    assert not is_ours(net, x)
    with torch.inference_mode():
        assert is_ours(net, x)
    monkeypatch.setattr("eailkit.encoders._products._linear", None)  # products of half a processor's width
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    assert not is_ours(net.train(), x)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    assert is_ours(net.train(), x)


@pytest.mark.parametrize("threads", [2, 3])
def test_parts_of_a_batch_side_by_side_are_the_batch(threads, set_threads):
    """On as many threads as torch has: outputs, gradients and running statistics are those of the whole batch."""
    torch.manual_seed(threads)
    theirs = ImuResNet18(width=8, embed_dim=5).double().train()
    ours, x, weigh = copy.deepcopy(theirs), 3 * torch.randn(49, 6, 64).double(), torch.randn(49, 5).double()
    expected = plain_step(theirs, x, weigh)
    set_threads(threads)
    for a, b in zip(expected, our_step(ours, x, weigh), strict=True):
        torch.testing.assert_close(b, a, rtol=1e-9, atol=1e-9 * float(a.abs().max()))
    with torch.inference_mode():
        torch.testing.assert_close(trunk_frozen(ours.eval().trunk, x), ours.trunk(x).mean(-1))
    assert torch.get_num_threads() == threads


def test_a_part_that_fails_fails_the_batch(set_threads):
    set_threads(2)
    net, x = ImuResNet18(width=4, embed_dim=3).train(), torch.randn(40, 6, 64)
    bad = copy.deepcopy(net.trunk)
    bad[5][0].bn1.momentum = "none that is a number"
    with pytest.raises(TypingError):
        trunk_in_training(bad, x)
    assert trunk_in_training(net.trunk, x).shape == (40, 32)  # and the threads are free again


@pytest.mark.parametrize("rows", [1, 130, 160])
@pytest.mark.parametrize("capability", ["AVX2", "AVX512"])
@pytest.mark.parametrize("width", [40, 300])
def test_products_are_products(rows, width, capability, monkeypatch):
    """Whichever way they take, for which a processor's name is enough."""
    monkeypatch.setattr("eailkit.encoders._products._WORTH_IT", 1)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    torch.manual_seed(0)
    x, y, weight, bias = (torch.randn(*s) for s in ((rows, width), (rows, 272), (48, width), (48,)))
    torch.testing.assert_close(times(x, weight, bias), x @ weight.T + bias, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(times(x, weight.T.contiguous().T), x @ weight.T, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(times(x[:, :32], weight[:, :32]), x[:, :32] @ weight[:, :32].T, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(transposed_times(y, x), y.T @ x, rtol=1e-4, atol=1e-4)
