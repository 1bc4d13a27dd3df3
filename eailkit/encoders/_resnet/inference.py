"""The IMU ResNet's inference in float32 on a CPU: norms folded into the convolutions of `products`.

Blocks of windows whose activations stay in a core's cache pass through the whole net, one after the other.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eailkit.encoders._norm import scale_add_relu, scale_relu
from eailkit.encoders._resnet import loops
from eailkit.encoders._resnet.products import filtered, halved, split_taps, times, what_it_sees

BLOCK = 32  # windows: at width 32 a layer's activations take 0.4 MB
FEW = 16  # windows: below, folding the norms takes longer than it saves


def trunk_frozen(trunk: nn.Sequential, imu: Float[Tensor, "batch 6 samples"]) -> Float[Tensor, "batch channels"]:
    """`trunk(imu).mean(-1)` of a ResNet's trunk in eval mode, without gradients."""
    stem, norm, _, _, *groups = trunk
    (weight, bias), sees = _folded(stem, norm), (stem.kernel_size[0], stem.stride[0], stem.padding[0])
    weight, one = weight.view(len(weight), -1), torch.ones_like(bias)
    blocks = [_Block(block) for group in groups for block in group]
    out = []
    for some in imu.split(BLOCK):
        x = (what_it_sees(some, *sees) @ weight.T).view(-1, len(some), len(weight))
        pooled = x.new_empty((len(x) + 1) // 2, *x.shape[1:])
        chosen = torch.empty_like(pooled, dtype=torch.int8)
        loops.scale_relu_pool(*(v.numpy() for v in (x, one, bias, pooled, chosen)))
        for block in blocks:
            pooled = block(pooled)
        out.append(pooled.mean(dim=0))
    return torch.cat(out)


def _folded(conv: nn.Conv1d, norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return (conv.weight * scale[:, None, None]).detach(), (norm.bias - norm.running_mean * scale).detach()


class _Block:
    """A `BasicBlock1D` with its norms folded in."""

    def __init__(self, block: nn.Module):
        first, self.bias1 = _folded(block.conv1, block.bn1)
        second, self.bias2 = _folded(block.conv2, block.bn2)
        self.second, self.one = split_taps(second), torch.ones_like(self.bias2)
        self.short: Tensor | None = None
        if isinstance(block.shortcut, nn.Identity):
            self.first = split_taps(first)
        else:
            short, bias = _folded(*block.shortcut)
            self.first, self.short = [first[..., k].contiguous() for k in range(3)], short[..., 0]
            self.bias2 = self.bias2 + bias

    def __call__(self, x: Float[Tensor, "length batch c_in"]) -> Float[Tensor, "shorter batch c_out"]:
        if self.short is None:
            y, short = filtered(x, *self.first)[0], x
        else:
            even = x[0::2].contiguous()
            y, short = halved(even, x[1::2].contiguous(), *self.first), times(even, self.short.T)
        scale_relu(*self._line(y, self.bias1), _flat(y))
        y = filtered(y, *self.second)[0]
        scale_add_relu(*self._line(y, self.bias2), _flat(short), _flat(y))
        return y

    def _line(self, y: Tensor, bias: Tensor) -> tuple:
        return _flat(y), self.one.numpy(), bias.numpy()


def _flat(x: Tensor):
    return x.view(-1, x.shape[2]).numpy()
