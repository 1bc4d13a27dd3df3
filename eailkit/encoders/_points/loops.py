"""The compiled loops of PointNet++'s training (numba): one layer on offsets, statistics and maxima of groups, and back.

Apart from their callers, because checks of shapes can't enter compiled code. Channels are the inner loop, so that it
vectorises; no more than four arrays stand in one, or the compiler gives up telling them apart.
"""

from __future__ import annotations

import numba
import numpy as np

_jit = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})


@_jit
def layer_on_offsets(offsets, weight, bias, out):
    """out = relu(offsets W + b): offsets (n, 3), W (3, C), b (C,), out (n, C) written."""
    across, along, up = weight[0], weight[1], weight[2]
    zero = bias.dtype.type(0)
    for i in range(offsets.shape[0]):
        x, y, z, row = offsets[i, 0], offsets[i, 1], offsets[i, 2], out[i]
        for c in range(row.shape[0]):
            row[c] = bias[c] + x * across[c]
        for c in range(row.shape[0]):
            value = row[c] + y * along[c] + z * up[c]
            row[c] = value if value > zero else zero


@_jit
def layer_on_offsets_backward(grad, out, offsets, of_bias, of_weight):
    """Sums over rows of the gradient before the ReLU, of_bias (C,), and of its products with offsets, (3, C); added."""
    across, along, up = of_weight[0], of_weight[1], of_weight[2]
    zero = of_bias.dtype.type(0)
    for i in range(grad.shape[0]):
        g, row, x, y, z = grad[i], out[i], offsets[i, 0], offsets[i, 1], offsets[i, 2]
        for c in range(g.shape[0]):
            value = g[c] if row[c] > zero else zero
            g[c] = value
            of_bias[c] += value
        for c in range(g.shape[0]):
            across[c] += x * g[c]
            along[c] += y * g[c]
            up[c] += z * g[c]


@_jit
def pool(x, sign, pivot, best, winner, total, squares):
    """Largest sign * x of every group, and what a batch norm wants to know.

    Args:
        x: (G, K, C).
        sign: (C,) 1 or -1.
        pivot: (C,) about the mean of x, so that variances don't drown in it.
        best: (G, C) written: the winners' x.
        winner: (G, C) int32 written: their k, the first where several tie.
        total, squares: (C,) float64, sums of x - pivot and of its squares are added.
    """
    groups, samples, channels = x.shape
    few, few_squares = np.zeros_like(pivot), np.zeros_like(pivot)
    for g in range(groups):
        top, at = best[g], winner[g]
        for c in range(channels):
            top[c] = sign[c] * x[g, 0, c]
            at[c] = 0
        few[:] = 0
        few_squares[:] = 0
        for k in range(samples):
            row = x[g, k]
            for c in range(channels):
                value = row[c] - pivot[c]
                few[c] += value
                few_squares[c] += value * value
            here = np.int32(k)
            for c in range(channels):
                value = sign[c] * row[c]
                better = value > top[c]
                top[c] = value if better else top[c]
                at[c] = here if better else at[c]
        for c in range(channels):
            top[c] *= sign[c]
            total[c] += few[c]
            squares[c] += few_squares[c]


@_jit
def spread(x, slope, level, share, winner):
    """x <- slope x + level, and `share` (G, C) added at the winners: the gradient of norm and maximum, in place."""
    groups, samples, channels = x.shape
    for g in range(groups):
        for k in range(samples):
            row = x[g, k]
            for c in range(channels):
                row[c] = row[c] * slope[c] + level[c]
        for c in range(channels):
            x[g, winner[g, c], c] += share[g, c]


@_jit
def spread_among_equals(x, best, slope, level, share, out):
    """out = slope x + level + share / ties at all rows that equal their group's best: as `spread`, shared out."""
    groups, samples, channels = x.shape
    part, one = np.empty_like(slope), slope.dtype.type(1)
    zero = slope.dtype.type(0)
    for g in range(groups):
        top = best[g]
        part[:] = 0
        for k in range(samples):
            row = x[g, k]
            for c in range(channels):
                part[c] += one if row[c] == top[c] else zero
        for c in range(channels):
            part[c] = share[g, c] / part[c]
        for k in range(samples):
            row, to = x[g, k], out[g, k]
            for c in range(channels):
                to[c] = row[c] * slope[c] + level[c]
            for c in range(channels):
                to[c] += part[c] if row[c] == top[c] else zero
