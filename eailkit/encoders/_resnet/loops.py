"""The compiled loops of the IMU ResNet (numba): Winograd's F(6, 3) over time, and the stem's pool.

Arrays hold time first, (L, B, C): a second's neighbour is a slab of B * C numbers away, so that a transform over time
is a sum of slabs and every inner loop vectorises, whatever the width. Apart from their callers, because checks of
shapes can't enter compiled code; no more than seven arrays stand in a loop, or the compiler can't tell them apart.
"""

from __future__ import annotations

import numba
import numpy as np

_jit = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
_CHUNK = 1024  # numbers of a slab at a time: eight slabs in, one out, in a core's first cache

# Toom-Cook at 0, 1, -1, 2, -2, 1/2, -1/2 and infinity. Six inner coefficients; the ends stand in the loops.
_SPLIT = np.array(  # of samples 1 to 6 of a tile's eight, for each of its eight numbers
    [
        [0, -21 / 4, 0, 21 / 4, 0, -1], [1, 1, -17 / 4, -17 / 4, 1, 1], [-1, 1, 17 / 4, -17 / 4, -1, 1],
        [1 / 2, 1 / 4, -5 / 2, -5 / 4, 2, 1], [-1 / 2, 1 / 4, 5 / 2, -5 / 4, -2, 1], [2, 4, -5 / 2, -5, 1 / 2, 1],
        [-2, 4, 5 / 2, -5, -1 / 2, 1], [-1, 0, 21 / 4, 0, -21 / 4, 0],
    ], np.float32,
)  # fmt: skip
_JOIN = np.array([[v**k for v in (1, -1, 2, -2, 1 / 2, -1 / 2)] for k in range(6)], np.float32)
_TAPS = np.array(
    [
        [1, 0, 0], [-2 / 9, -2 / 9, -2 / 9], [-2 / 9, 2 / 9, -2 / 9], [1 / 90, 1 / 45, 2 / 45],
        [1 / 90, -1 / 45, 2 / 45], [32 / 45, 16 / 45, 8 / 45], [32 / 45, -16 / 45, 8 / 45], [0, 0, 1],
    ]
)  # fmt: skip
_SPLIT_BACK, _JOIN_BACK = np.ascontiguousarray(_SPLIT.T), np.ascontiguousarray(_JOIN.T)
_TAPS_BACK = np.ascontiguousarray(_TAPS[1:7].T)


@_jit
def _sum6(out, a, b, c, d, e, f, k):
    """out = k0 a + ... + k5 f."""
    k0, k1, k2, k3, k4, k5 = k[0], k[1], k[2], k[3], k[4], k[5]
    for i in range(out.shape[0]):
        out[i] = k0 * a[i] + k1 * b[i] + k2 * c[i] + k3 * d[i] + k4 * e[i] + k5 * f[i]


@_jit
def _add(out, a, k):
    for i in range(out.shape[0]):
        out[i] += k * a[i]


@_jit
def windows(x, stride, padding, seen):
    """The samples that every output of a convolution sees: x (B, C, L), zero outside; seen (T, B, C, taps) written."""
    steps, batch, channels, taps = seen.shape
    length = x.shape[2]
    for t in range(steps):
        first = stride * t - padding
        for b in range(batch):
            for c in range(channels):
                for k in range(taps):
                    at = first + k
                    seen[t, b, c, k] = x[b, c, at] if 0 <= at < length else x.dtype.type(0)


@_jit
def _sum3(out, a, b, c, k):
    k0, k1, k2 = k[0], k[1], k[2]
    for i in range(out.shape[0]):
        out[i] = k0 * a[i] + k1 * b[i] + k2 * c[i]


@_jit
def split_taps(w, u):
    """u = G w: w (n, 3) three taps, u (8, n) written."""
    n, taps = w.shape[0], np.empty((3, _CHUNK), w.dtype)
    for at in range(0, n, _CHUNK):
        to = min(at + _CHUNK, n)
        m = to - at
        for i in range(m):
            taps[0, i], taps[1, i], taps[2, i] = w[at + i, 0], w[at + i, 1], w[at + i, 2]
        for j in range(8):
            _sum3(u[j, at:to], taps[0, :m], taps[1, :m], taps[2, :m], _TAPS[j])


@_jit
def split_taps_backward(u, w):
    """w = G' u: what `split_taps`' gradient is. u eight of (n,); w (n, 3) written."""
    n, taps = w.shape[0], np.empty((3, _CHUNK), w.dtype)
    for at in range(0, n, _CHUNK):
        to = min(at + _CHUNK, n)
        m = to - at
        u1, u2, u3, u4, u5, u6 = u[1][at:to], u[2][at:to], u[3][at:to], u[4][at:to], u[5][at:to], u[6][at:to]
        for k in range(3):
            _sum6(taps[k, :m], u1, u2, u3, u4, u5, u6, _TAPS_BACK[k])
        _add(taps[0, :m], u[0][at:to], 1)
        _add(taps[2, :m], u[7][at:to], 1)
        for i in range(m):
            w[at + i, 0], w[at + i, 1], w[at + i, 2] = taps[0, i], taps[1, i], taps[2, i]


@_jit
def _split_tile(x, i, at, to, zero, v):
    """The eight numbers of tile i, columns at to `to`, from the slabs before, in and after it."""
    length, t, m = x.shape[0], 6 * i, to - at
    d1 = x[t, at:to]
    d2 = x[t + 1, at:to] if t + 1 < length else zero[:m]
    d3 = x[t + 2, at:to] if t + 2 < length else zero[:m]
    d4 = x[t + 3, at:to] if t + 3 < length else zero[:m]
    d5 = x[t + 4, at:to] if t + 4 < length else zero[:m]
    d6 = x[t + 5, at:to] if t + 5 < length else zero[:m]
    for k in range(8):
        _sum6(v[k, i, at:to], d1, d2, d3, d4, d5, d6, _SPLIT[k])
    if t > 0:
        _add(v[0, i, at:to], x[t - 1, at:to], 1)
    if t + 6 < length:
        _add(v[7, i, at:to], x[t + 6, at:to], 1)


@_jit
def split(x, v):
    """v = B' x: the eight numbers of every tile of six outputs. x (L, n), zero outside; v (8, tiles, n) written."""
    n = x.shape[1]
    zero = np.zeros(_CHUNK, dtype=x.dtype)
    for i in range(v.shape[1]):
        for at in range(0, n, _CHUNK):
            _split_tile(x, i, at, min(at + _CHUNK, n), zero, v)


@_jit
def split_backward(v, x):
    """x = B v: what `split`'s gradient is, slab by slab. v eight of (tiles, n); x (L, n) written, tiles or not."""
    length, n = x.shape
    tiles = v[0].shape[0]
    for t in range(6 * tiles, length):
        x[t] = 0
    for i in range(tiles):
        for at in range(0, n, _CHUNK):
            to = min(at + _CHUNK, n)
            v1, v2, v3 = v[1][i, at:to], v[2][i, at:to], v[3][i, at:to]
            v4, v5, v6 = v[4][i, at:to], v[5][i, at:to], v[6][i, at:to]
            for j in range(min(6, length - 6 * i)):
                of = x[6 * i + j, at:to]
                _sum6(of, v1, v2, v3, v4, v5, v6, _SPLIT_BACK[j, 1:7])
                if _SPLIT_BACK[j, 0] != 0:
                    _add(of, v[0][i, at:to], _SPLIT_BACK[j, 0])
                if _SPLIT_BACK[j, 7] != 0:
                    _add(of, v[7][i, at:to], _SPLIT_BACK[j, 7])
            if i > 0:
                _add(x[6 * i, at:to], v[7][i - 1, at:to], 1)
            if i + 1 < tiles:
                _add(x[6 * i + 5, at:to], v[0][i + 1, at:to], 1)
    if 6 * tiles < length:  # the slab after the last whole tile is that tile's eighth number
        x[6 * tiles] = v[7][tiles - 1]


@_jit
def _join_tile(m, i, at, to, y):
    """The outputs of tile i, columns at to `to`."""
    m1, m2, m3 = m[1][i, at:to], m[2][i, at:to], m[3][i, at:to]
    m4, m5, m6 = m[4][i, at:to], m[5][i, at:to], m[6][i, at:to]
    for j in range(min(6, y.shape[0] - 6 * i)):
        _sum6(y[6 * i + j, at:to], m1, m2, m3, m4, m5, m6, _JOIN[j])
    _add(y[6 * i, at:to], m[0][i, at:to], 1)
    if 6 * i + 5 < y.shape[0]:
        _add(y[6 * i + 5, at:to], m[7][i, at:to], 1)


@_jit
def join(m, y):
    """y = A' m: six outputs of every tile. m eight of (tiles, n); y (L, n) written as far as the tiles reach."""
    n = y.shape[1]
    for i in range(m[0].shape[0]):
        for at in range(0, n, _CHUNK):
            _join_tile(m, i, at, min(at + _CHUNK, n), y)


@_jit
def join_backward(y, m):
    """m = A y: what `join`'s gradient is. y (L, n), zero outside; m (8, tiles, n) written."""
    length, n = y.shape
    zero = np.zeros(_CHUNK, dtype=y.dtype)
    for i in range(m.shape[1]):
        for at in range(0, n, _CHUNK):
            to = min(at + _CHUNK, n)
            k, t = to - at, 6 * i
            y0 = y[t, at:to]
            y1 = y[t + 1, at:to] if t + 1 < length else zero[:k]
            y2 = y[t + 2, at:to] if t + 2 < length else zero[:k]
            y3 = y[t + 3, at:to] if t + 3 < length else zero[:k]
            y4 = y[t + 4, at:to] if t + 4 < length else zero[:k]
            y5 = y[t + 5, at:to] if t + 5 < length else zero[:k]
            for j in range(6):
                _sum6(m[j + 1, i, at:to], y0, y1, y2, y3, y4, y5, _JOIN_BACK[j])
            m[0, i, at:to] = y0
            m[7, i, at:to] = y5


@_jit
def join_frozen(m, tail, bias, short, y, v):
    """y = relu(A' m + bias + short), and v = B' y of the next convolution while y is near.

    Args:
        m: eight of (tiles, n).
        tail: (few, n) outputs after the last tile, before the bias.
        bias: (n,) a slab's.
        short: (L, n), or (0, n) where nothing is added.
        y: (L, n) written.
        v: (8, tiles, n) written; of no tiles where no such convolution follows.
    """
    length, n = y.shape
    chunk = 1024  # all slabs of that many numbers stay in a core's second cache
    zero, nil, tiles = np.zeros(chunk, dtype=y.dtype), y.dtype.type(0), m[0].shape[0]
    for at in range(0, n, chunk):
        to = min(at + chunk, n)
        shift = bias[at:to]
        for i in range(tiles):
            _join_tile(m, i, at, to, y)
        for k in range(tail.shape[0]):
            y[length - tail.shape[0] + k, at:to] = tail[k, at:to]
        for t in range(length):
            row = y[t, at:to]
            if short.shape[0]:
                more = short[t, at:to]
                for c in range(to - at):
                    value = row[c] + shift[c] + more[c]
                    row[c] = value if value > nil else nil
            else:
                for c in range(to - at):
                    value = row[c] + shift[c]
                    row[c] = value if value > nil else nil
        for i in range(v.shape[1]):
            _split_tile(y, i, at, to, zero, v)


@_jit
def scale_relu_pool(x, scale, shift, out, chosen):
    """The largest of slabs 2t - 1, 2t and 2t + 1 of relu(scale x + shift).

    Args:
        x: (L, B, C).
        out: (L // 2 rounded up, B, C) written.
        chosen: the same, int8, written: which of the three it was, the first where they tie; -1 where all are zero.
    """
    length, batch, channels = x.shape
    zero = scale.dtype.type(0)
    for t in range(out.shape[0]):
        for b in range(batch):
            to, at = out[t, b], chosen[t, b]
            for c in range(channels):
                to[c] = zero
                at[c] = -1
            for k in range(3):
                s = 2 * t + k - 1
                if s < 0 or s >= length:
                    continue
                row, here = x[s, b], np.int8(k)
                for c in range(channels):
                    value = scale[c] * row[c] + shift[c]
                    better = value > to[c]
                    to[c] = value if better else to[c]
                    at[c] = here if better else at[c]


@_jit
def relu_pool_backward(grad, chosen, masked):
    """Gradient before the ReLU of `scale_relu_pool`: masked (L, B, C) written."""
    length, batch, channels = masked.shape
    zero = grad.dtype.type(0)
    for s in range(length):
        for b in range(batch):
            to = masked[s, b]
            t = s // 2
            g, at, k = grad[t, b], chosen[t, b], 1 + s % 2
            for c in range(channels):
                to[c] = g[c] if at[c] == k else zero
            if s % 2 and t + 1 < grad.shape[0]:
                g, at = grad[t + 1, b], chosen[t + 1, b]
                for c in range(channels):
                    to[c] += g[c] if at[c] == 0 else zero
