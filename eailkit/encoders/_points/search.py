"""The compiled loops that find centres and neighbours (numba), exact to the tie rules of naive loops.

Apart from their callers, because checks of shapes can't enter compiled code. Sums keep their order, so that a distance
is the same number whichever loop computes it.
"""

from __future__ import annotations

import numba
import numpy as np

# nnan and nsz let the compiler vectorise min and max; sums keep their order, so results stay those of a naive loop
_jit = numba.njit(parallel=False, cache=True, fastmath={"nnan", "nsz"}, nogil=True)
_IN_A_BLOCK = 32  # points, about


@_jit
def distinct(x, y, z):
    """How many points come before a cloud that was filled by repetition begins anew."""
    for i in range(1, x.shape[0]):
        if x[i] == x[0] and y[i] == y[0] and z[i] == z[0]:
            return i
    return x.shape[0]


@_jit
def period(x, y, z):
    """How many points a cloud repeats, all of them in their order; its length where it doesn't."""
    n, first = x.shape[0], distinct(x, y, z)
    for i in range(first, n):
        j = i - first
        if x[i] != x[j] or y[i] != y[j] or z[i] != z[j]:
            return n
    return first


@_jit
def _boxes(x, y, z, order, starts):
    """Sort points into boxes of about `_IN_A_BLOCK`: order (n,) and starts written, the number of boxes returned.

    Inside a box points keep the order of their indices.
    """
    n = x.shape[0]
    low = (x.min(), y.min(), z.min())
    wide = (x.max() - low[0], y.max() - low[1], z.max() - low[2])
    side = max(wide[0], wide[1], wide[2])
    most = starts.shape[0] - 1
    a, b, c = 1, 1, 1
    if side > 0:
        while True:
            smaller = side * np.float32(0.8)
            sides = (int(wide[0] / smaller) + 1, int(wide[1] / smaller) + 1, int(wide[2] / smaller) + 1)
            if sides[0] * sides[1] * sides[2] > most:
                break
            side, (a, b, c) = smaller, sides
    box = np.empty(n, np.int32)
    starts[:] = 0
    for i in range(n):
        p = min(int((x[i] - low[0]) / side), a - 1) if side > 0 else 0
        q = min(int((y[i] - low[1]) / side), b - 1) if side > 0 else 0
        r = min(int((z[i] - low[2]) / side), c - 1) if side > 0 else 0
        box[i] = (p * b + q) * c + r
        starts[box[i] + 1] += 1
    filled = 0  # boxes that hold a point get numbers without gaps
    number = np.empty(a * b * c, np.int32)
    for k in range(a * b * c):
        count = starts[k + 1]
        number[k] = filled
        if count:
            starts[filled + 1] = starts[filled] + count
            filled += 1
    at = starts[:filled].copy()
    for i in range(n):
        k = number[box[i]]
        order[at[k]] = i
        at[k] += 1
    return filled


@_jit
def farthest_points(x, y, z, first, chosen):
    """Each next point is the farthest from all before it, the lowest index where several tie; chosen (S,) written.

    Points lie in boxes. A box whose nearest corner is farther from a new centre than its points are from the centres
    that they have keeps all its distances: rounding is monotone, so the bound, computed as a distance is, holds for
    every one of its points to the last bit.
    """
    n = x.shape[0]
    order, starts = np.empty(n, np.int32), np.empty(max(1, n // _IN_A_BLOCK) + 1, np.int32)
    blocks = _boxes(x, y, z, order, starts)
    u, v, w = x[order], y[order], z[order]
    low, high = np.empty((3, blocks), np.float32), np.empty((3, blocks), np.float32)
    for k in range(blocks):
        a, b = starts[k], starts[k + 1]
        low[0, k], low[1, k], low[2, k] = u[a:b].min(), v[a:b].min(), w[a:b].min()
        high[0, k], high[1, k], high[2, k] = u[a:b].max(), v[a:b].max(), w[a:b].max()
    nearest, farthest = np.full(n, np.float32(np.inf)), np.full(blocks, np.float32(np.inf))
    bound, zero = np.empty(blocks, np.float32), np.float32(0)
    current = first
    for s in range(chosen.shape[0]):
        chosen[s] = current
        cx, cy, cz = x[current], y[current], z[current]
        for k in range(blocks):
            dx = max(max(low[0, k] - cx, cx - high[0, k]), zero)
            dy = max(max(low[1, k] - cy, cy - high[1, k]), zero)
            dz = max(max(low[2, k] - cz, cz - high[2, k]), zero)
            bound[k] = dx * dx + dy * dy + dz * dz
        most = np.float32(-1)
        for k in range(blocks):
            if bound[k] < farthest[k]:
                best = np.float32(-1)
                for i in range(starts[k], starts[k + 1]):
                    dx, dy, dz = u[i] - cx, v[i] - cy, w[i] - cz
                    nearest[i] = min(nearest[i], dx * dx + dy * dy + dz * dz)
                    best = max(best, nearest[i])
                farthest[k] = best
            most = max(most, farthest[k])
        current = n
        for k in range(blocks):
            if farthest[k] == most:
                i = starts[k]
                while nearest[i] != most:
                    i += 1
                current = min(current, order[i])


@_jit
def ball_query(x, y, z, centres, radius_squared, groups):
    """The first points of each ball in the order of indices, filled up by the first; groups (S, K) written."""
    n, n_samples = x.shape[0], groups.shape[1]
    for s in range(centres.shape[0]):
        cx, cy, cz = x[centres[s]], y[centres[s]], z[centres[s]]
        found = 0
        for i in range(n):
            dx, dy, dz = x[i] - cx, y[i] - cy, z[i] - cz
            if dx * dx + dy * dy + dz * dz <= radius_squared:
                groups[s, found] = i
                found += 1
                if found == n_samples:
                    break
        for k in range(found, n_samples):  # at least the centre itself was found
            groups[s, k] = groups[s, 0]


@_jit
def repeated_balls(n, once, groups):
    """What `ball_query` finds in a cloud of n points that repeats its first `once`, from what it finds in those."""
    for s in range(groups.shape[0]):
        row = groups[s]
        found = 1  # points of the ball come in order, and the first of them fills it up
        while found < row.shape[0] and row[found] > row[0]:
            found += 1
        k = found
        while k < row.shape[0] and row[k - found] + once < n:
            row[k] = row[k - found] + once
            k += 1


@_jit
def lattice_points(x, y, z, spacing, side, chosen, middles, count, nearest, member):
    """The boxes with most points, their points nearest to the middles, and those; chosen, middles written."""
    n, n_centres, half = distinct(x, y, z), chosen.shape[0], side // 2
    count[:] = 0
    box = np.empty(n, dtype=np.int64)
    for i in range(n):
        a = min(max(int(np.floor(x[i] / spacing + np.float32(0.5))) + half, 0), side - 1)
        b = min(max(int(np.floor(y[i] / spacing + np.float32(0.5))) + half, 0), side - 1)
        c = min(max(int(np.floor(z[i] / spacing)) + half, 0), side - 1)
        dx = x[i] - np.float32(a - half) * spacing
        dy = y[i] - np.float32(b - half) * spacing
        dz = z[i] - (np.float32(c - half) + np.float32(0.5)) * spacing
        away = dx * dx + dy * dy + dz * dz
        k = (a * side + b) * side + c
        box[i] = k
        if count[k] == 0 or away < nearest[k]:
            nearest[k], member[k] = away, i
        count[k] += 1
    boxes = np.unique(box)
    order = np.argsort(-count[boxes], kind="mergesort")
    for k in range(n_centres):
        found = boxes[order[k if k < order.shape[0] else 0]]
        chosen[k] = member[found]
        middles[k, 0] = np.float32(found // (side * side) - half) * spacing
        middles[k, 1] = np.float32(found // side % side - half) * spacing
        middles[k, 2] = (np.float32(found % side - half) + np.float32(0.5)) * spacing


@_jit
def nearest_in_ball(x, y, z, middles, radius_squared, groups, away):
    """The points nearest to each middle within a radius, the nearest first; groups (S, K) written."""
    n, n_samples = distinct(x, y, z), groups.shape[1]
    for s in range(middles.shape[0]):
        cx, cy, cz = middles[s]
        found = 0
        for i in range(n):
            dx, dy, dz = x[i] - cx, y[i] - cy, z[i] - cz
            d = dx * dx + dy * dy + dz * dz
            if d > radius_squared or (found == n_samples and d >= away[found - 1]):
                continue
            k = found if found < n_samples else n_samples - 1
            while k > 0 and away[k - 1] > d:
                away[k], groups[s, k] = away[k - 1], groups[s, k - 1]
                k -= 1
            away[k], groups[s, k] = d, i
            found = min(found + 1, n_samples)
        if found == 0:  # none is in reach
            groups[s, 0] = 0
        for k in range(max(found, 1), n_samples):
            groups[s, k] = groups[s, 0]
