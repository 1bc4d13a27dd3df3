"""Batch norm over rows in training on a CPU, with the ReLU and the sum that follow it: two passes forward, two back.

torch's numbers; statistics are summed about a pivot, so that a variance doesn't drown in a mean. Shared by the IMU
ResNet and PointNet++ (`eailkit.encoders._resnet`, `_points`), whose channels come last. The small arithmetic per
channel is compiled too: as torch calls it took as long as the passes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from eailkit.encoders._threads import ALONE, Seat

_jit = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
_SOME = 256  # rows whose sums are kept in the rows' own precision before they are added up in float64


@_jit
def _moments(x, mean, squares):
    """Mean of rows x (n, C) and sums of squares of what differs from it; (C,) float64, written."""
    n, channels = x.shape
    pivot, few, few_squares = np.zeros_like(x[0]), np.zeros_like(x[0]), np.zeros_like(x[0])
    mean[:] = 0
    squares[:] = 0
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
            mean[c] += few[c]
            squares[c] += few_squares[c]
    for c in range(channels):
        off = mean[c] / n
        mean[c] = pivot[c] + off
        squares[c] = max(squares[c] - n * off * off, 0.0)


@_jit
def _line(counts, means, squares, weight, bias, eps, mean, inverse_std, variance, scale, shift):
    """Of parts' moments, (parts, C), those of all: mean, inverse_std, variance (C,) float64, scale, shift written."""
    n = counts.sum()
    for c in range(weight.shape[0]):
        total = 0.0
        for p in range(counts.shape[0]):
            total += counts[p] * means[p, c]
        mean[c], total = total / n, 0.0
        for p in range(counts.shape[0]):
            total += squares[p, c] + counts[p] * (means[p, c] - mean[c]) ** 2
        variance[c] = total / n
        inverse_std[c] = 1.0 / np.sqrt(variance[c] + eps)
        scale[c] = weight[c] * inverse_std[c]
        shift[c] = bias[c] - mean[c] * weight[c] * inverse_std[c]


@_jit
def _follow(momentum, rows, mean, variance, running_mean, running_var):
    for c in range(mean.shape[0]):
        running_mean[c] += momentum * (mean[c] - running_mean[c])
        running_var[c] += momentum * (variance[c] * rows / max(rows - 1, 1) - running_var[c])


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
def masked_sums(grad, out, x, about, sums, masked):
    """masked = grad where out is positive, else 0; its sums and those with x - about added to sums (2, C) float64."""
    n, channels = masked.shape
    few, few_products, zero = np.zeros_like(about), np.zeros_like(about), about.dtype.type(0)
    for at in range(0, n, _SOME):
        few[:] = 0
        few_products[:] = 0
        for i in range(at, min(at + _SOME, n)):
            row, on, to, seen = grad[i], out[i], masked[i], x[i]
            for c in range(channels):
                to[c] = row[c] if on[c] > zero else zero
            for c in range(channels):
                few[c] += to[c]
                few_products[c] += to[c] * (seen[c] - about[c])
        for c in range(channels):
            sums[0, c] += few[c]
            sums[1, c] += few_products[c]


@_jit
def _sums(grad, x, about, sums):
    """Sums of grad and of its products with x - about, added to sums (2, C) float64."""
    n, channels = x.shape
    few, few_products = np.zeros_like(about), np.zeros_like(about)
    for at in range(0, n, _SOME):
        few[:] = 0
        few_products[:] = 0
        for i in range(at, min(at + _SOME, n)):
            row, g = x[i], grad[i]
            for c in range(channels):
                few[c] += g[c]
                few_products[c] += g[c] * (row[c] - about[c])
        for c in range(channels):
            sums[0, c] += few[c]
            sums[1, c] += few_products[c]


@_jit
def _backward(grad, x, rows, sums, weight, mean, inverse_std, of_x, of_weight, of_bias):
    """From the gradient of norm(x), (n, C), and its sums over all rows those of x, weight and bias, written."""
    n, channels = x.shape
    scale, slope, level = np.empty_like(weight), np.empty_like(weight), np.empty_like(weight)
    for c in range(channels):
        of_bias[c], of_weight[c] = sums[0, c], sums[1, c] * inverse_std[c]
        factor = weight[c] * inverse_std[c]
        tilt = -factor * inverse_std[c] * inverse_std[c] * sums[1, c] / rows
        scale[c], slope[c], level[c] = factor, tilt, -factor * sums[0, c] / rows - tilt * mean[c]
    for i in range(n):
        row, g, to = x[i], grad[i], of_x[i]
        for c in range(channels):
            to[c] = scale[c] * g[c] + (slope[c] * row[c] + level[c])


@dataclass(frozen=True)
class Statistics:
    """Of a batch norm over rows: what its gradient needs.

    Attributes:
        mean, inverse_std: (C,) float64.
        rows: of the whole batch.
        seat: of the part of the batch that knows them.
    """

    mean: np.ndarray
    inverse_std: np.ndarray
    rows: int
    seat: Seat


def norm_rows(
    x: Float[Tensor, "a b channels"],
    norm: nn.BatchNorm1d,
    other: Tensor | None = None,
    *,
    relu: bool = True,
    seat: Seat = ALONE,
) -> Float[Tensor, "a b channels"]:
    """relu(norm(x) + other) by the batch's statistics, which the norm's running ones follow; norm(x) without `relu`.

    Args:
        seat: of a part of the batch; statistics are those of all parts.
    """
    return _NormRows.apply(x, norm.weight, norm.bias, norm, other, relu, seat)


def statistics(
    x: Tensor, weight: Tensor, bias: Tensor, norm: nn.BatchNorm1d, seat: Seat
) -> tuple[Statistics, np.ndarray, np.ndarray]:
    """Statistics over all but the last axis of x; scale and shift of the norm."""
    rows, channels = _flat(x), x.shape[2]
    moments = np.empty((2, channels))
    _moments(rows, *moments)
    told = seat.told((len(rows), moments))
    counts, moments = np.array([n for n, _ in told]), np.stack([m for _, m in told], axis=1)
    mean, inverse_std, variance = np.empty((3, channels))
    w, b = weight.detach().numpy(), bias.detach().numpy()
    scale, shift = np.empty_like(w), np.empty_like(w)
    _line(counts, *moments, w, b, norm.eps, mean, inverse_std, variance, scale, shift)
    total = int(counts.sum())
    if seat.number == 0:
        norm.num_batches_tracked.add_(1)
        _follow(norm.momentum, total, mean, variance, norm.running_mean.numpy(), norm.running_var.numpy())
    return Statistics(mean, inverse_std, total, seat), scale, shift


def norm_backward(
    grad: Tensor, x: Tensor, weight: Tensor, found: Statistics, out: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, weight and bias from that of norm(x), or of relu(... norm(x) ...) whose `out` is given.

    The last one is the gradient before that ReLU. Of a batch in parts the first part gives those of weight and bias.
    """
    weight = weight.detach().numpy()
    sums, about = np.zeros((2, len(weight))), found.mean.astype(weight.dtype)
    if out is None:
        _sums(_flat(grad), _flat(x), about, sums)
    else:
        given, grad = grad, torch.empty_like(x)
        masked_sums(_flat(given), _flat(out), _flat(x), about, sums, _flat(grad))
    sums = sum(found.seat.told(sums))
    of_x, of_weight, of_bias = torch.empty_like(x), np.empty_like(weight), np.empty_like(weight)
    line = found.mean, found.inverse_std
    _backward(_flat(grad), _flat(x), found.rows, sums, weight, *line, _flat(of_x), of_weight, of_bias)
    if found.seat.number:
        of_weight[:] = of_bias[:] = 0
    return of_x, torch.from_numpy(of_weight), torch.from_numpy(of_bias), grad


def _flat(x: Tensor) -> np.ndarray:
    return x.view(-1, x.shape[2]).numpy()


class _NormRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias, norm, other, relu, seat):
        x = x.contiguous()
        ctx.found, scale, shift = statistics(x, weight, bias, norm, seat)
        ctx.relu, ctx.added = relu, other is not None
        out = torch.empty_like(x)
        if not relu:
            torch.addcmul(torch.from_numpy(shift), x, torch.from_numpy(scale), out=out)
        elif ctx.added:
            scale_add_relu(_flat(x), scale, shift, _flat(other.contiguous()), _flat(out))
        else:
            scale_relu(_flat(x), scale, shift, _flat(out))
        ctx.save_for_backward(x, weight, *((out,) if relu else ()))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight, *out = ctx.saved_tensors
        *found, masked = norm_backward(grad.contiguous(), x, weight, ctx.found, *out)
        return *found, None, masked if ctx.added else None, None, None
