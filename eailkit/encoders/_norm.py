"""Batch norm over rows in training on a CPU, with the ReLU and the sum that follow it: two passes forward, three back.

torch's numbers; statistics are summed about a pivot, so that a variance doesn't drown in a mean. Shared by the IMU
ResNet and PointNet++ (`eailkit.encoders._resnet`, `_points`), whose channels come last. The small arithmetic per
channel is compiled too: as torch calls it took as long as the passes.
"""

from __future__ import annotations

import numba
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_jit = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
_SOME = 256  # rows whose sums are kept in the rows' own precision before they are added up in float64


@_jit
def _moments(x, weight, bias, eps, momentum, running_mean, running_var, mean, inverse_std, scale, shift):
    """Statistics of rows x (n, C): mean, inverse_std (C,) float64, scale, shift (C,) written; running ones moved."""
    n, channels = x.shape
    pivot, few, few_squares = np.zeros_like(weight), np.zeros_like(weight), np.zeros_like(weight)
    total, squares = np.zeros(channels), np.zeros(channels)
    first = min(n, 64)
    for i in range(first):
        row = x[i]
        for c in range(channels):
            pivot[c] += row[c]
    for c in range(channels):
        pivot[c] /= first
    for at in range(0, n, _SOME):
        few[:] = 0
        few_squares[:] = 0
        for i in range(at, min(at + _SOME, n)):
            row = x[i]
            for c in range(channels):
                value = row[c] - pivot[c]
                few[c] += value
                few_squares[c] += value * value
        for c in range(channels):
            total[c] += few[c]
            squares[c] += few_squares[c]
    for c in range(channels):
        off = total[c] / n
        variance = max(squares[c] / n - off * off, 0.0)
        mean[c] = pivot[c] + off
        inverse_std[c] = 1.0 / np.sqrt(variance + eps)
        scale[c] = weight[c] * inverse_std[c]
        shift[c] = bias[c] - mean[c] * weight[c] * inverse_std[c]
        running_mean[c] += momentum * (mean[c] - running_mean[c])
        running_var[c] += momentum * (variance * n / max(n - 1, 1) - running_var[c])


@_jit
def scale_relu(x, scale, shift, out):
    """out = relu(scale x + shift), (n, C)."""
    zero = scale.dtype.type(0)
    for i in range(x.shape[0]):
        row, to = x[i], out[i]
        for c in range(row.shape[0]):
            value = scale[c] * row[c] + shift[c]
            to[c] = value if value > zero else zero


@_jit
def scale_add_relu(x, scale, shift, other, out):
    """out = relu(scale x + shift + other), (n, C)."""
    zero = scale.dtype.type(0)
    for i in range(x.shape[0]):
        row, more, to = x[i], other[i], out[i]
        for c in range(row.shape[0]):
            value = scale[c] * row[c] + shift[c] + more[c]
            to[c] = value if value > zero else zero


@_jit
def relu_backward(grad, out, masked):
    """masked = grad where out is positive, else 0; (n, C)."""
    zero = grad.dtype.type(0)
    for i in range(grad.shape[0]):
        row, on, to = grad[i], out[i], masked[i]
        for c in range(row.shape[0]):
            to[c] = row[c] if on[c] > zero else zero


@_jit
def _backward(grad, x, weight, mean, inverse_std, of_x, of_weight, of_bias):
    """From the gradient of norm(x), (n, C), those of x, weight and bias, written."""
    n, channels = x.shape
    about, few, few_products = mean.astype(weight.dtype), np.zeros_like(weight), np.zeros_like(weight)
    sums, products = np.zeros(channels), np.zeros(channels)
    for at in range(0, n, _SOME):
        few[:] = 0
        few_products[:] = 0
        for i in range(at, min(at + _SOME, n)):
            row, g = x[i], grad[i]
            for c in range(channels):
                few[c] += g[c]
                few_products[c] += g[c] * (row[c] - about[c])
        for c in range(channels):
            sums[c] += few[c]
            products[c] += few_products[c]
    scale, slope, level = np.empty_like(weight), np.empty_like(weight), np.empty_like(weight)
    for c in range(channels):
        of_bias[c], of_weight[c] = sums[c], products[c] * inverse_std[c]
        factor = weight[c] * inverse_std[c]
        tilt = -factor * inverse_std[c] * inverse_std[c] * products[c] / n
        scale[c], slope[c], level[c] = factor, tilt, -factor * sums[c] / n - tilt * mean[c]
    for i in range(n):
        row, g, to = x[i], grad[i], of_x[i]
        for c in range(channels):
            to[c] = scale[c] * g[c] + (slope[c] * row[c] + level[c])


def norm_rows(
    x: Float[Tensor, "a b channels"], norm: nn.BatchNorm1d, other: Tensor | None = None, *, relu: bool = True
) -> Float[Tensor, "a b channels"]:
    """relu(norm(x) + other) by the batch's statistics, which the norm's running ones follow; norm(x) without `relu`."""
    return _NormRows.apply(x, norm.weight, norm.bias, norm, other, relu)


def statistics(x: Tensor, weight: Tensor, bias: Tensor, norm: nn.BatchNorm1d) -> tuple[Tensor, ...]:
    """Mean and 1 / standard deviation over all but the last axis of x, float64; scale and shift of the norm."""
    norm.num_batches_tracked.add_(1)
    line = [*torch.empty(2, x.shape[2], dtype=torch.float64), *x.new_empty(2, x.shape[2])]
    given = weight.detach(), bias.detach(), norm.running_mean, norm.running_var
    w, b, *running = (v.numpy() for v in given)
    _moments(_flat(x), w, b, norm.eps, norm.momentum, *running, *(v.numpy() for v in line))
    return tuple(line)


def norm_backward(grad: Tensor, x: Tensor, weight: Tensor, mean: Tensor, inverse_std: Tensor) -> tuple[Tensor, ...]:
    """Gradients of x, weight and bias from that of norm(x)."""
    found = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(weight)
    small = (v.detach().numpy() for v in (weight, mean, inverse_std))
    _backward(_flat(grad), _flat(x), *small, _flat(found[0]), *(v.numpy() for v in found[1:]))
    return found


def _flat(x: Tensor) -> np.ndarray:
    return x.view(-1, x.shape[2]).numpy()


class _NormRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, norm, other, relu):
        x = x.contiguous()
        mean, inverse_std, scale, shift = statistics(x, weight, bias, norm)
        ctx.relu, ctx.added = relu, other is not None
        if not relu:
            out = torch.addcmul(shift, x, scale)
        else:
            out = torch.empty_like(x)
            if ctx.added:
                scale_add_relu(_flat(x), scale.numpy(), shift.numpy(), _flat(other.contiguous()), _flat(out))
            else:
                scale_relu(_flat(x), scale.numpy(), shift.numpy(), _flat(out))
        ctx.save_for_backward(x, weight, mean, inverse_std, *((out,) if relu else ()))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight, mean, inverse_std, *out = ctx.saved_tensors
        grad = masked = grad.contiguous()
        if ctx.relu:
            masked = torch.empty_like(x)
            relu_backward(_flat(grad), _flat(out[0]), _flat(masked))
        return *norm_backward(masked, x, weight, mean, inverse_std), None, masked if ctx.added else None, None
