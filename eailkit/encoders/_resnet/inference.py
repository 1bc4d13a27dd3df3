"""The IMU ResNet's inference in float32 on a CPU: norms folded into the convolutions of `products`.

Blocks of windows pass through the whole net, one after the other, on each of torch's threads. Between two products
stand one pass back from tiles, with bias, shortcut and ReLU, and on to the next convolution's tiles.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eailkit.encoders._products import times
from eailkit.encoders._resnet import loops
from eailkit.encoders._resnet.products import (
    one_after_the_other,
    rows_of,
    seen_by_halving,
    seen_by_tail,
    slabs_times,
    split,
    split_taps,
    tail,
    tail_of,
    tiles_of,
    what_it_sees,
)  # fmt: skip
from eailkit.encoders._threads import parts_of, side_by_side

BLOCK = 128  # windows: at width 32 a layer's activations take 1.6 MB
FEW = 16  # windows: below, folding the norms takes longer than it saves


def trunk_frozen(trunk: nn.Sequential, imu: Float[Tensor, "batch 6 samples"]) -> Float[Tensor, "batch channels"]:
    """`trunk(imu).mean(-1)` of a ResNet's trunk in eval mode, without gradients."""
    stem, norm, _, _, *groups = trunk
    (weight, bias), sees = _folded(stem, norm), (stem.kernel_size[0], stem.stride[0], stem.padding[0])
    weight, one = weight.view(len(weight), -1), torch.ones_like(bias)
    blocks = [_Block(block) for group in groups for block in group]

    def encoded(some: Tensor) -> Tensor:
        x = times(what_it_sees(some, *sees), weight).view(-1, len(some), len(weight))
        pooled = x.new_empty((len(x) + 1) // 2, *x.shape[1:])
        chosen = torch.empty_like(pooled, dtype=torch.int8)
        loops.scale_relu_pool(*(v.numpy() for v in (x, one, bias, pooled, chosen)))
        x, v = pooled, split(pooled)
        for block, following in zip(blocks, [*blocks[1:], None], strict=True):
            x, v = block(x, v, following is not None and following.short is None)
        return x.mean(dim=0)

    def work(part: slice) -> Tensor:
        return torch.cat([encoded(some) for some in imu[part].split(BLOCK)])

    return torch.cat(side_by_side(work, parts_of(len(imu), least=FEW)))


def _folded(conv: nn.Conv1d, norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return (conv.weight * scale[:, None, None]).detach(), (norm.bias - norm.running_mean * scale).detach()


class _Block:
    """A `BasicBlock1D` with its norms folded in."""

    def __init__(self, block: nn.Module):
        first, self.bias1 = _folded(block.conv1, block.bn1)
        second, self.bias2 = _folded(block.conv2, block.bn2)
        self.second = split_taps(second)
        self.short: Tensor | None = None
        if isinstance(block.shortcut, nn.Identity):
            self.first = split_taps(first)
        else:
            short, bias = _folded(*block.shortcut)
            self.first, self.short = one_after_the_other(first), short[..., 0].contiguous()
            self.bias2 = self.bias2 + bias

    def __call__(
        self, x: Float[Tensor, "length batch c_in"], v: Tensor | None, on: bool
    ) -> tuple[Float[Tensor, "shorter batch c_out"], Tensor | None]:
        """The block's output, and where a convolution in tiles follows its tiles; v are those of x, where needed."""
        if self.short is None:
            short = x
            y, v = _convolved(x, v, self.first, self.bias1, None, True)
        else:
            seen = seen_by_halving(x)
            shape = *seen.shape[:2], len(self.short)
            y = times(seen.view(-1, self.first.shape[1]), self.first, self.bias1).view(shape).relu_()
            short, v = times(rows_of(seen[:, :, 1]), self.short).view(shape), split(y)
        return _convolved(y, v, self.second, self.bias2, short, on)


def _convolved(
    x: Tensor, v: Tensor, weights: tuple[Tensor, Tensor], bias: Tensor, short: Tensor | None, on: bool
) -> tuple[Tensor, Tensor | None]:
    """relu(conv(x) + bias + short) and, if asked, what `split` makes of it."""
    (u, taps), few, (length, batch, _) = weights, tail_of(len(x)), x.shape
    y = x.new_empty(length, batch, u.shape[1])
    last = tail(seen_by_tail(x, few), taps) if few else y[:0]
    then = x.new_empty(8, tiles_of(length) if on else 0, batch, u.shape[1])
    line = bias.repeat(batch)
    more = y[:0] if short is None else short
    given = [t.flatten(1).numpy() for t in (last, more, y)]
    loops.join_frozen(slabs_times(v, u), given[0], line.numpy(), *given[1:], then.flatten(2).numpy())
    return y, then if on else None
