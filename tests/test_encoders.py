"""The IMU encoder: RoNIN's trunk in numbers and against an independent forward pass."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from eailkit.encoders import IMU_PAPER, IMU_QUICK, ImuResNet18
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
