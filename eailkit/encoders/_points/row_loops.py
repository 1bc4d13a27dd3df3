"""The compiled loops of `rows`, `levels` and `frozen` (numba): which rows a level has, and what is done to each.

Apart from their callers, because checks of shapes can't enter compiled code. Channels are the inner loop, so that it
vectorises; no more than four arrays stand in one, or the compiler gives up telling them apart.
"""

from __future__ import annotations

import numba
import numpy as np

_jit = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
_SOME = 256  # rows whose sums are kept in float32 before they are added up in float64


@_jit
def distinct_rows(place, centres, groups, met, at, found, group_place, copies, cloud_starts):
    """The groups of distinct centres, and in each its distinct members.

    Args:
        place: (B, N) where each point of a cloud stands among all distinct points.
        centres, groups: (B, S), (B, S, K) indices into the points of a cloud.
        met, at: (points,) filled with -1; scratch.
        found: source (R,), weight (R,), starts (G + 1,), centre (G,) written: of each row its point and for how many
            equal ones it stands; of each group its first row and its centre's point. R and G are at most B S K, B S.
        group_place: (B, S) written: `place` of the centres among the distinct ones.
        copies: (G,) written: how many centres each stands for.
        cloud_starts: (B + 1,) written: the first distinct centre of each cloud.

    Returns:
        G, R.
    """
    source, weight, starts, centre = found
    clouds, n_centres, n_samples = groups.shape
    g, r = 0, 0
    for b in range(clouds):
        cloud_starts[b] = g
        for s in range(n_centres):
            here = place[b, centres[b, s]]
            if met[here] >= 0:
                group_place[b, s] = met[here]
                copies[met[here]] += 1
                continue
            met[here], group_place[b, s], centre[g], copies[g], starts[g] = g, g, here, 1, r
            for k in range(n_samples):
                point = place[b, groups[b, s, k]]
                if at[point] < starts[g]:  # not yet in this group
                    at[point], source[r], weight[r] = r, point, 1
                    r += 1
                else:
                    weight[at[point]] += 1
            g += 1
    cloud_starts[clouds], starts[g] = g, r
    for k in range(g):
        for i in range(starts[k], starts[k + 1]):
            weight[i] *= copies[k]
    return g, r


@_jit
def offsets_of(xyz, source, starts, centre, offsets):
    """offsets = p_j - c_s: xyz (points, 3), offsets (R, 3) written."""
    for g in range(starts.shape[0] - 1):
        x, y, z = xyz[centre[g], 0], xyz[centre[g], 1], xyz[centre[g], 2]
        for i in range(starts[g], starts[g + 1]):
            j = source[i]
            offsets[i, 0], offsets[i, 1], offsets[i, 2] = xyz[j, 0] - x, xyz[j, 1] - y, xyz[j, 2] - z


@_jit
def first_layer(offsets, source, projected, across, bias, out):
    """out = offsets W + b, and what the rows' points add; W (3, C), projected (points, C) or without points."""
    x_of, y_of, z_of, more = across[0], across[1], across[2], projected.shape[0] > 0
    for i in range(offsets.shape[0]):
        x, y, z, row = offsets[i, 0], offsets[i, 1], offsets[i, 2], out[i]
        for c in range(row.shape[0]):
            row[c] = bias[c] + x * x_of[c]
        for c in range(row.shape[0]):
            row[c] += y * y_of[c] + z * z_of[c]
        if more:
            point = projected[source[i]]
            for c in range(row.shape[0]):
                row[c] += point[c]


@_jit
def moments(x, weight, pivot, sums, out):
    """Weighted sums of x - pivot and of its squares, added to sums (2, C) float64; x (n, C) copied to out."""
    n, channels = out.shape
    few, few_squares = np.zeros_like(pivot), np.zeros_like(pivot)
    for start in range(0, n, _SOME):
        few[:] = 0
        few_squares[:] = 0
        for i in range(start, min(start + _SOME, n)):
            row, w = x[i], weight[i]
            for c in range(channels):
                value = row[c] - pivot[c]
                few[c] += w * value
                few_squares[c] += w * value * value
            out[i] = row
        for c in range(channels):
            sums[0, c] += few[c]
            sums[1, c] += few_squares[c]


@_jit
def scale_relu_weighted(x, line, pivot, weight, sums, out, weighted):
    """out = relu(scale x + shift); weighted = weight (out - pivot), whose sums (C,) float64 grow.

    line (2, C): scale and shift. Rows of out and weighted beyond those of x are zeroed.
    """
    n, channels = x.shape
    scale, shift, zero = line[0], line[1], line.dtype.type(0)
    few = np.zeros_like(pivot)
    for start in range(0, n, _SOME):
        few[:] = 0
        for i in range(start, min(start + _SOME, n)):
            row, to, w = x[i], out[i], weight[i]
            for c in range(channels):
                value = scale[c] * row[c] + shift[c]
                to[c] = value if value > zero else zero
            other = weighted[i]
            for c in range(channels):
                other[c] = w * (to[c] - pivot[c])
            for c in range(channels):
                few[c] += other[c]
        for c in range(channels):
            sums[c] += few[c]
    out[n:] = 0
    weighted[n:] = 0


@_jit
def largest(y, starts, sign, best, winner):
    """Of each group the largest sign * y, channel by channel, and its row, the first where several tie.

    y (n, C) holds the groups' rows from starts[0] on; best (G, C) and winner (G, C), counted as starts is, written.
    """
    for g in range(best.shape[0]):
        top, at, first = best[g], winner[g], starts[g] - starts[0]
        for c in range(top.shape[0]):
            top[c] = sign[c] * y[first, c]
            at[c] = starts[g]
        for i in range(first + 1, starts[g + 1] - starts[0]):
            row, here = y[i], np.int32(starts[0] + i)
            for c in range(top.shape[0]):
                value = sign[c] * row[c]
                better = value > top[c]
                top[c] = value if better else top[c]
                at[c] = here if better else at[c]
        for c in range(top.shape[0]):
            top[c] *= sign[c]


@_jit
def largest_frozen(y, starts, bias, best):
    """best = relu(max_i y_i + b) of each group; best (G, C) written."""
    zero = bias.dtype.type(0)
    for g in range(best.shape[0]):
        top, first = best[g], starts[g] - starts[0]
        top[:] = y[first]
        for i in range(first + 1, starts[g + 1] - starts[0]):
            row = y[i]
            for c in range(top.shape[0]):
                top[c] = max(top[c], row[c])
        for c in range(top.shape[0]):
            value = top[c] + bias[c]
            top[c] = value if value > zero else zero


@_jit
def add_winners(y, h, starts, winner, share, weights, of_weights):
    """Each winner's share of its group's gradient: y_w += share W_c, and of W_c += share h_w.

    y, h (n, C) hold the groups' rows from starts[0] on; share, winner (G, D); weights, of_weights (D, C).
    """
    for g in range(share.shape[0]):
        for d in range(share.shape[1]):
            part, i = share[g, d], winner[g, d] - starts[0]
            to, row = y[i], weights[d]
            for c in range(row.shape[0]):
                to[c] += part * row[c]
            of_row, seen = of_weights[d], h[i]
            for c in range(row.shape[0]):
                of_row[c] += part * seen[c]


@_jit
def spread_dense(y, level, weight):
    """y <- weight (y + level), row by row, in place."""
    for i in range(weight.shape[0]):
        row, w = y[i], weight[i]
        for c in range(row.shape[0]):
            row[c] = w * (row[c] + level[c])


@_jit
def norm_backward(grad, x, line, weight, out):
    """out = factor grad + weight (slope x + level), line (3, C) being those; rows of out beyond grad's are zeroed."""
    n, channels = grad.shape
    factor, slope, level = line[0], line[1], line[2]
    for i in range(n):
        g, row, to, w = grad[i], x[i], out[i], weight[i]
        for c in range(channels):
            to[c] = w * (slope[c] * row[c] + level[c])
        for c in range(channels):
            to[c] += factor[c] * g[c]
    out[n:] = 0


@_jit
def first_layer_backward(grad, offsets, source, of_across, of_projected):
    """Gradients of the first layer's W (3, C) and of what each point adds, where points do; both are added to."""
    x_of, y_of, z_of, more = of_across[0], of_across[1], of_across[2], of_projected.shape[0] > 0
    for i in range(offsets.shape[0]):
        x, y, z, g = offsets[i, 0], offsets[i, 1], offsets[i, 2], grad[i]
        for c in range(x_of.shape[0]):
            x_of[c] += x * g[c]
            y_of[c] += y * g[c]
            z_of[c] += z * g[c]
        if more:
            point = of_projected[source[i]]
            for c in range(x_of.shape[0]):
                point[c] += g[c]
