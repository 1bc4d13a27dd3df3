"""The IMU ResNet's training step in float32 on a CPU: torch's numbers to rounding, with half of the products.

`products` says how; here stand the gradients, which are the same steps backwards, and the batch norms with what
follows them. Time comes first in memory, (L, B, C).
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from eailkit.encoders._norm import norm_backward, norm_rows, statistics
from eailkit.encoders._resnet import loops
from eailkit.encoders._resnet.products import filtered, halved, has_tail, rows_of, split_taps, times, what_it_sees


def trunk_in_training(trunk: nn.Sequential, imu: Float[Tensor, "batch 6 samples"]) -> Float[Tensor, "batch channels"]:
    """`trunk(imu).mean(-1)` of a ResNet's trunk in training mode; running statistics follow as in torch."""
    conv, norm, _, _, *groups = trunk
    x = _Stem.apply(imu, conv.weight, conv.stride[0], conv.padding[0])  # (L, B, C)
    x = _NormReluPool.apply(x, norm.weight, norm.bias, norm)
    for block in (block for group in groups for block in group):
        if isinstance(block.shortcut, nn.Identity):
            y, short = _Convolve.apply(x, block.conv1.weight), x
        else:
            y, short = _Halve.apply(x, block.conv1.weight, block.shortcut[0].weight)
            short = norm_rows(short, block.shortcut[1], relu=False)
        y = _Convolve.apply(norm_rows(y, block.bn1), block.conv2.weight)
        x = norm_rows(y, block.bn2, short)
    return x.mean(dim=0)


class _Stem(torch.autograd.Function):
    """The first convolution: windows (B, 6, L) to (L / 2, B, C), one product over the samples that each t sees."""

    @staticmethod
    def forward(ctx, imu, weight, stride, padding):
        seen = what_it_sees(imu, weight.shape[2], stride, padding)
        ctx.save_for_backward(seen)
        ctx.shape = weight.shape
        return (seen @ weight.view(len(weight), -1).T).view(-1, len(imu), len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (seen,) = ctx.saved_tensors
        of_weight = grad.contiguous().flatten(0, 1).T @ seen
        return None, of_weight.view(ctx.shape), None, None


class _Convolve(torch.autograd.Function):
    """y_t = sum_k w_k x_(t + k - 1), zero outside, four t at a time; of a last tile with one output, that alone."""

    @staticmethod
    def forward(ctx, x, weight):
        x, u, taps = x.contiguous(), *split_taps(weight)
        y, v = filtered(x, u, taps)
        ctx.save_for_backward(v, u, *((x[-2:].clone(), *taps) if has_tail(x) else ()))
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        v, u, *tail = ctx.saved_tensors
        grad = grad.contiguous()
        (length, batch, width), channels = grad.shape, v.shape[2]
        tiles = v.shape[1] // batch
        m = grad.new_empty(6, tiles, batch * width)
        loops.join_backward(grad.view(length, -1).numpy(), m.numpy())
        m = m.view(6, tiles * batch, width)
        of_weight, of_x = grad.new_empty(width, channels, 3), grad.new_empty(length, batch, channels)
        loops.split_taps_backward(torch.bmm(m.transpose(1, 2), v).view(6, -1).numpy(), of_weight.view(-1, 3).numpy())
        loops.split_backward(torch.bmm(m, u).view(6, tiles, -1).numpy(), of_x.view(length, -1).numpy())
        if tail:
            ends, *taps = tail
            for k in (0, 1):
                of_weight[..., k] += grad[-1].T @ ends[k]
                of_x[k - 2].addmm_(grad[-1], taps[k])
        return of_x, of_weight


class _Halve(torch.autograd.Function):
    """A block's two convolutions in steps of two, of slabs: y_t = sum_k w_k x_(2t + k - 1), s_t = r x_(2t)."""

    @staticmethod
    def forward(ctx, x, weight, short):
        even, odd = x[0::2].contiguous(), x[1::2].contiguous()  # one more even slab where L is odd
        before, here, after = (weight[..., k].contiguous() for k in range(3))  # (D, C)
        ctx.save_for_backward(even, odd, before, here, after, short := short[..., 0])
        return halved(even, odd, before, here, after), times(even, short.T)

    @staticmethod
    @once_differentiable
    def backward(ctx, of_y, of_s):
        even, odd, before, here, after, short = ctx.saved_tensors
        of_y, of_s = of_y.contiguous(), of_s.contiguous()
        n, late = len(odd), len(even) - 1
        of_x = even.new_empty(len(even) + n, *even.shape[1:])
        of_even, of_odd = times(of_y, here), times(of_y[:n], after)
        rows_of(of_even).addmm_(rows_of(of_s), short)
        rows_of(of_odd[:late]).addmm_(rows_of(of_y[1:]), before)
        of_x[0::2], of_x[1::2] = of_even, of_odd
        of_weight = torch.stack(
            [
                rows_of(of_y[1:]).T @ rows_of(odd[:late]),
                rows_of(of_y).T @ rows_of(even),
                rows_of(of_y[:n]).T @ rows_of(odd),
            ],
            dim=-1,
        )
        return of_x, of_weight, (rows_of(of_s).T @ rows_of(even))[..., None]


class _NormReluPool(torch.autograd.Function):
    """max_pool(relu(norm(x))), three wide, in steps of two, padded by one."""

    @staticmethod
    def forward(ctx, x, weight, bias, norm):
        x = x.contiguous()
        line = statistics(x, weight, bias, norm)
        out = x.new_empty((len(x) + 1) // 2, *x.shape[1:])
        chosen = torch.empty_like(out, dtype=torch.int8)
        loops.scale_relu_pool(*(v.numpy() for v in (x, *line[2:], out, chosen)))
        ctx.save_for_backward(x, weight, *line[:2], chosen)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight, mean, inverse_std, chosen = ctx.saved_tensors
        masked = torch.empty_like(x)
        loops.relu_pool_backward(*(v.numpy() for v in (grad.contiguous(), chosen, masked)))
        return *norm_backward(masked, x, weight, mean, inverse_std), None
