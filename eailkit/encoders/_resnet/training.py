"""The IMU ResNet's training step in float32 on a CPU: torch's numbers to rounding, with less than half of the products.

`products` says how; here stand the gradients, which are the same steps backwards, and the batch norms with what
follows them. Time comes first in memory, (L, B, C). Parts of a batch pass side by side, one on each of torch's threads,
and meet where a norm wants to know all of it.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from eailkit.encoders._norm import norm_backward, norm_rows, statistics
from eailkit.encoders._products import times, transposed_times
from eailkit.encoders._resnet import loops
from eailkit.encoders._resnet.products import (
    filtered,
    one_after_the_other,
    rows_of,
    seen_by_halving,
    seen_by_tail_backward,
    slabs_times,
    slabs_transposed,
    split_taps,
    what_it_sees,
)  # fmt: skip
from eailkit.encoders._threads import ALONE, Meeting, Seat, parts_of, side_by_side

_FEWEST = 16  # windows of a part


def trunk_in_training(trunk: nn.Sequential, imu: Float[Tensor, "batch 6 samples"]) -> Float[Tensor, "batch channels"]:
    """`trunk(imu).mean(-1)` of a ResNet's trunk in training mode; running statistics follow as in torch."""
    if len(parts_of(len(imu), least=_FEWEST)) == 1:
        return _trunk(trunk, imu, ALONE)
    return _InParts.apply(imu, trunk, *trunk.parameters())


def _trunk(trunk: nn.Sequential, imu: Tensor, seat: Seat) -> Tensor:
    conv, norm, _, _, *groups = trunk
    x = _Stem.apply(imu, conv.weight, conv.stride[0], conv.padding[0])  # (L, B, C)
    x = _NormReluPool.apply(x, norm.weight, norm.bias, norm, seat)
    for block in (block for group in groups for block in group):
        if isinstance(block.shortcut, nn.Identity):
            y, short = _Convolve.apply(x, block.conv1.weight), x
        else:
            y, short = _Halve.apply(x, block.conv1.weight, block.shortcut[0].weight)
            short = norm_rows(short, block.shortcut[1], relu=False, seat=seat)
        y = _Convolve.apply(norm_rows(y, block.bn1, seat=seat), block.conv2.weight)
        x = norm_rows(y, block.bn2, short, seat=seat)
    return x.mean(dim=0)


class _InParts(torch.autograd.Function):
    """`_trunk` of parts of the batch, each with a graph of its own on a thread of its own."""

    @staticmethod
    def forward(ctx, imu, trunk, *parameters):
        parts = parts_of(len(imu), least=_FEWEST)
        meeting = Meeting(len(parts))

        def work(given: tuple[int, slice]) -> Tensor:
            number, part = given
            with meeting.attended(), torch.enable_grad():
                return _trunk(trunk, imu[part], Seat(number, meeting))

        ctx.found = side_by_side(work, list(enumerate(parts)))
        ctx.parts, ctx.meeting = parts, meeting
        ctx.parameters = parameters
        return torch.cat([out.detach() for out in ctx.found])

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        def work(given: tuple[Tensor, slice]) -> tuple[Tensor, ...]:
            out, part = given
            with ctx.meeting.attended():
                return torch.autograd.grad(out, ctx.parameters, grad[part])

        gradients = side_by_side(work, list(zip(ctx.found, ctx.parts, strict=True)))
        return None, None, *(torch.stack(parts).sum(0) for parts in zip(*gradients, strict=True))


class _Stem(torch.autograd.Function):
    """The first convolution: windows (B, 6, L) to (L / 2, B, C), one product over the samples that each t sees."""

    @staticmethod
    def forward(ctx, imu, weight, stride, padding):
        seen = what_it_sees(imu, weight.shape[2], stride, padding)
        ctx.save_for_backward(seen)
        ctx.shape = weight.shape
        return times(seen, weight.view(len(weight), -1)).view(-1, len(imu), len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        (seen,) = ctx.saved_tensors
        return None, transposed_times(grad.contiguous().flatten(0, 1), seen).view(ctx.shape), None, None


class _Convolve(torch.autograd.Function):
    """y_t = sum_k w_k x_(t + k - 1), zero outside, six t at a time; a tail tap by tap."""

    @staticmethod
    def forward(ctx, x, weight):
        x, u, taps = x.contiguous(), *split_taps(weight)
        y, v, seen = filtered(x, u, taps)
        ctx.save_for_backward(v, u, *(() if seen is None else (seen, taps)))
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        v, u, *tail = ctx.saved_tensors
        grad = grad.contiguous()
        (length, batch, width), channels = grad.shape, v.shape[3]
        m = grad.new_empty(*v.shape[:3], width)
        loops.join_backward(grad.view(length, -1).numpy(), m.view(*v.shape[:2], -1).numpy())
        of_weight, of_x = grad.new_empty(width, channels, 3), grad.new_empty(length, batch, channels)
        loops.split_taps_backward(slabs_transposed(m, v), of_weight.view(-1, 3).numpy())
        loops.split_backward(slabs_times(m, u.transpose(1, 2)), of_x.view(length, -1).numpy())
        if tail:
            seen, taps = tail
            of_y, known = rows_of(grad[-len(seen) :]), seen.shape[2]
            seen_by_tail_backward(times(of_y, taps[:, :known].T).view(seen.shape), of_x)
            of_taps = transposed_times(of_y, rows_of(seen)).view(width, -1, channels)
            of_weight[..., : of_taps.shape[1]] += of_taps.transpose(1, 2)
        return of_x, of_weight


class _Halve(torch.autograd.Function):
    """A block's two convolutions in steps of two: y_t = sum_k w_k x_(2t + k - 1), s_t = r x_(2t)."""

    @staticmethod
    def forward(ctx, x, weight, short):
        seen, across, short = seen_by_halving(x), one_after_the_other(weight), short[..., 0].contiguous()
        even = seen[:, :, 1].contiguous()
        ctx.save_for_backward(seen, even, across, short)
        ctx.length = len(x)
        shape = *seen.shape[:2], len(weight)
        return times(seen.view(-1, across.shape[1]), across).view(shape), times(rows_of(even), short).view(shape)

    @staticmethod
    @once_differentiable
    def backward(ctx, of_y, of_s):
        seen, even, across, short = ctx.saved_tensors
        of_y, of_s = rows_of(of_y.contiguous()), rows_of(of_s.contiguous())
        of_seen = times(of_y, across.T).view(seen.shape)
        of_x = seen.new_empty(ctx.length, *even.shape[1:])
        odd = of_x[1::2]
        torch.add(of_seen[:, :, 1], times(of_s, short.T).view(even.shape), out=of_x[0::2])
        odd.copy_(of_seen[: len(odd), :, 2])
        odd[: len(seen) - 1] += of_seen[1:, :, 0]
        of_across = transposed_times(of_y, seen.view(-1, across.shape[1])).view(-1, 3, even.shape[2])
        return of_x, of_across.transpose(1, 2), transposed_times(of_s, rows_of(even))[..., None]


class _NormReluPool(torch.autograd.Function):
    """max_pool(relu(norm(x))), three wide, in steps of two, padded by one."""

    @staticmethod
    def forward(ctx, x, weight, bias, norm, seat):
        x = x.contiguous()
        ctx.found, scale, shift = statistics(x, weight, bias, norm, seat)
        out = x.new_empty((len(x) + 1) // 2, *x.shape[1:])
        chosen = torch.empty_like(out, dtype=torch.int8)
        loops.scale_relu_pool(x.numpy(), scale, shift, out.numpy(), chosen.numpy())
        ctx.save_for_backward(x, weight, chosen)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight, chosen = ctx.saved_tensors
        masked = torch.empty_like(x)
        loops.relu_pool_backward(*(v.numpy() for v in (grad.contiguous(), chosen, masked)))
        of_x, of_weight, of_bias, _ = norm_backward(masked, x, weight, ctx.found)
        return of_x, of_weight, of_bias, None, None
