"""The IMU ResNet in float32 on a CPU: the same sums with half of the products, forward and back.

Two thirds of a stage-1 step are products of convolutions of length 3, which torch runs near a core's limit. Winograd's
minimal filtering F(4, 3) (Lavin and Gray 2016, https://arxiv.org/abs/1509.09308, in one dimension) makes four outputs
from six products instead of twelve: v = B' x over six samples, u = G w, y = A' (v u). So each becomes six matrix
products over channels, and the gradients are the same three steps backwards. Time comes first in memory, (L, B, C),
so that a transform is a sum of slabs and a batch norm works on rows of channels. Numbers differ from torch's by
rounding. Under autocast, in eval mode, on other devices and for other types torch's own modules run.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from eailkit.encoders._resnet import loops

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
            short = _norm(short, block.shortcut[1], _NO_RELU)
        y = _Convolve.apply(_norm(y, block.bn1, None), block.conv2.weight)
        x = _norm(y, block.bn2, short)
    return x.mean(dim=0)


def is_ours(module: nn.Module, x: Tensor) -> bool:
    """Whether the functions here take a module's training step; elsewhere torch's own run."""
    if not (module.training and torch.is_grad_enabled() and x.ndim == 3 and len(x)):
        return False
    if torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling() or x.requires_grad:
        return False
    return all(t.dtype == torch.float32 and t.is_cpu for t in (x, *module.parameters()))


def _norm(x: Float[Tensor, "length batch channels"], norm: nn.BatchNorm1d, other: Tensor | object | None) -> Tensor:
    return _NormRelu.apply(x, norm.weight, norm.bias, norm, other)


class _Stem(torch.autograd.Function):
    """The first convolution: windows (B, 6, L) to (L / 2, B, C), one matrix product over the samples that each t sees."""

    @staticmethod
    def forward(ctx, imu, weight, stride, padding):
        (batch, channels, length), (width, _, taps) = imu.shape, weight.shape
        steps = (length + 2 * padding - taps) // stride + 1
        seen = imu.new_empty(steps * batch, channels * taps)
        loops.windows(imu.contiguous().numpy(), stride, padding, seen.view(steps, batch, channels, taps).numpy())
        ctx.save_for_backward(seen)
        ctx.shape = weight.shape
        return (seen @ weight.view(width, -1).T).view(steps, batch, width)

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
        (length, batch, channels), width = x.shape, len(weight)
        x = x.contiguous()
        tail = length % 4 == 1 and length > 1
        tiles = length // 4 if tail else -(-length // 4)
        u, v = x.new_empty(6, width, channels), x.new_empty(6, tiles, batch * channels)
        loops.split_taps(weight.view(-1, 3).numpy(), u.view(6, -1).numpy())
        loops.split(x.view(length, -1).numpy(), v.numpy())
        v = v.view(6, tiles * batch, channels)
        y = x.new_empty(length, batch, width)
        loops.join(torch.bmm(v, u.transpose(1, 2)).view(6, tiles, -1).numpy(), y.view(length, -1).numpy())
        if tail:
            taps = [weight[..., k].contiguous() for k in (0, 1)]
            torch.addmm(x[-2] @ taps[0].T, x[-1], taps[1].T, out=y[-1])
        ctx.save_for_backward(v, u, *((x[-2:].clone(), *taps) if tail else ()))
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
    """A block's two convolutions in steps of two: y_t = sum_k w_k x_(2t + k - 1), s_t = r x_(2t), as products of slabs."""

    @staticmethod
    def forward(ctx, x, weight, short):
        even, odd = x[0::2].contiguous(), x[1::2].contiguous()  # one more even slab where L is odd
        before, here, after = (weight[..., k].contiguous() for k in range(3))  # (D, C)
        y = _times(even, here.T)
        _rows(y[: len(odd)]).addmm_(_rows(odd), after.T)
        _rows(y[1:]).addmm_(_rows(odd[: len(y) - 1]), before.T)
        ctx.save_for_backward(even, odd, before, here, after, short := short[..., 0])
        return y, _times(even, short.T)

    @staticmethod
    @once_differentiable
    def backward(ctx, of_y, of_s):
        even, odd, before, here, after, short = ctx.saved_tensors
        of_y, of_s = of_y.contiguous(), of_s.contiguous()
        n, late = len(odd), len(even) - 1
        of_x = even.new_empty(len(even) + n, *even.shape[1:])
        of_even, of_odd = _times(of_y, here), _times(of_y[:n], after)
        _rows(of_even).addmm_(_rows(of_s), short)
        _rows(of_odd[:late]).addmm_(_rows(of_y[1:]), before)
        of_x[0::2], of_x[1::2] = of_even, of_odd
        of_weight = torch.stack(
            [
                _rows(of_y[1:]).T @ _rows(odd[:late]),
                _rows(of_y).T @ _rows(even),
                _rows(of_y[:n]).T @ _rows(odd),
            ],
            dim=-1,
        )
        return of_x, of_weight, (_rows(of_s).T @ _rows(even))[..., None]


def _rows(x: Tensor) -> Tensor:
    return x.flatten(0, 1)


def _times(x: Tensor, across: Tensor) -> Tensor:
    return (_rows(x) @ across).unflatten(0, x.shape[:2])


_NO_RELU = object()


class _NormRelu(torch.autograd.Function):
    """relu(norm(x) + other), where `other` is a tensor or None; norm(x) where it is `_NO_RELU`."""

    @staticmethod
    def forward(ctx, x, weight, bias, norm, other):
        x = x.contiguous()
        shape = (-1, x.shape[2])
        mean, inverse_std, scale, shift = _statistics(x.view(shape), weight, bias, norm)
        ctx.relu, ctx.added = other is not _NO_RELU, isinstance(other, Tensor)
        if not ctx.relu:
            out = torch.addcmul(shift, x, scale)
        else:
            out = torch.empty_like(x)
            rows, to, *line = (v.numpy() for v in (x.view(shape), out.view(shape), scale, shift))
            if ctx.added:
                loops.scale_add_relu(rows, *line, other.contiguous().view(shape).numpy(), to)
            else:
                loops.scale_relu(rows, *line, to)
        ctx.save_for_backward(x, weight, mean, inverse_std, *((out,) if ctx.relu else ()))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight, mean, inverse_std, *out = ctx.saved_tensors
        grad = masked = grad.contiguous()
        if ctx.relu:
            masked, shape = torch.empty_like(x), (-1, x.shape[2])
            loops.relu_backward(*(v.view(shape).numpy() for v in (grad, out[0], masked)))
        return *_norm_backward(masked, x, weight, mean, inverse_std), None, masked if ctx.added else None


class _NormReluPool(torch.autograd.Function):
    """max_pool(relu(norm(x))), three wide, in steps of two, padded by one."""

    @staticmethod
    def forward(ctx, x, weight, bias, norm):
        x = x.contiguous()
        mean, inverse_std, scale, shift = _statistics(x.view(-1, x.shape[2]), weight, bias, norm)
        out = x.new_empty((len(x) + 1) // 2, *x.shape[1:])
        chosen = torch.empty_like(out, dtype=torch.int8)
        loops.scale_relu_pool(*(v.numpy() for v in (x, scale, shift, out, chosen)))
        ctx.save_for_backward(x, weight, mean, inverse_std, chosen)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight, mean, inverse_std, chosen = ctx.saved_tensors
        masked = torch.empty_like(x)
        loops.relu_pool_backward(*(v.numpy() for v in (grad.contiguous(), chosen, masked)))
        return *_norm_backward(masked, x, weight, mean, inverse_std), None


def _statistics(rows: Tensor, weight: Tensor, bias: Tensor, norm: nn.BatchNorm1d) -> tuple[Tensor, ...]:
    """Mean and 1 / standard deviation over rows (n, C), float64; scale and shift of the norm. The norm follows."""
    sums, pivot = torch.zeros(2, rows.shape[1], dtype=torch.float64), rows[:64].mean(0)
    loops.moments(rows.numpy(), pivot.numpy(), *sums.numpy())
    off, squares = sums / len(rows)
    mean, variance = pivot.double() + off, (squares - off.square()).clamp_(min=0)
    norm.num_batches_tracked.add_(1)
    norm.running_mean.lerp_(mean.to(rows.dtype), norm.momentum)
    norm.running_var.lerp_((variance * (len(rows) / max(len(rows) - 1, 1))).to(rows.dtype), norm.momentum)
    inverse_std = torch.rsqrt(variance + norm.eps)
    scale = weight * inverse_std
    return mean, inverse_std, scale.to(rows.dtype), (bias - mean * scale).to(rows.dtype)


def _norm_backward(grad: Tensor, x: Tensor, weight: Tensor, mean: Tensor, inverse_std: Tensor) -> tuple[Tensor, ...]:
    """Gradients of x, weight and bias from that of norm(x)."""
    rows, grad = x.view(-1, x.shape[2]), grad.view(-1, x.shape[2])
    sums = torch.zeros(2, x.shape[2], dtype=torch.float64)
    loops.norm_sums(grad.numpy(), rows.numpy(), mean.to(x.dtype).numpy(), *sums.numpy())
    of_bias, of_weight = sums[0], sums[1] * inverse_std
    scale = weight * inverse_std
    slope = -scale * inverse_std * of_weight / len(rows)
    level = -scale * of_bias / len(rows) - slope * mean
    of_x = torch.empty_like(x)
    line = [v.to(x.dtype).numpy() for v in (scale, slope, level)]
    loops.norm_backward(grad.numpy(), rows.numpy(), *line, of_x.view(rows.shape).numpy())
    return of_x, of_weight.to(x.dtype), of_bias.to(x.dtype)
