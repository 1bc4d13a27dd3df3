"""The compiled loops of the IMU ResNet (numba): Winograd's F(4, 3) over time, and the stem's pool.

Arrays hold time first, (L, B, C): a second's neighbour is a slab of B * C numbers away, so that a transform over time
is a sum of slabs and every inner loop vectorises, whatever the width. Apart from their callers, because checks of
shapes can't enter compiled code; no more than five arrays stand in a loop, or the compiler can't tell them apart.
"""

from __future__ import annotations

import numba
import numpy as np

_jit = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
_CHUNK = 1024  # numbers of a slab at a time: six slabs in, one out, in a core's first cache


@_jit
def _sum3(out, a, b, c, ka, kb, kc):
    for i in range(out.shape[0]):
        out[i] = ka * a[i] + kb * b[i] + kc * c[i]


@_jit
def _sum4(out, a, b, c, d, ka, kb, kc, kd):
    for i in range(out.shape[0]):
        out[i] = ka * a[i] + kb * b[i] + kc * c[i] + kd * d[i]


@_jit
def _add3(out, a, b, c, ka, kb, kc):
    for i in range(out.shape[0]):
        out[i] += ka * a[i] + kb * b[i] + kc * c[i]


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
def split_taps(w, u):
    """u = G w: w (n, 3) three taps, u (6, n) written."""
    sixth, twelfth = w.dtype.type(1 / 6), w.dtype.type(1 / 12)
    for i in range(w.shape[0]):
        a, b, c = w[i, 0], w[i, 1], w[i, 2]
        u[0, i], u[5, i] = a / 4, c
        ends, middle = -sixth * (a + c), -sixth * b
        u[1, i], u[2, i] = ends + middle, ends - middle
        ends, middle = sixth * (a / 4 + c), twelfth * b
        u[3, i], u[4, i] = ends + middle, ends - middle


@_jit
def split_taps_backward(u, w):
    """w = G' u: what `split_taps`' gradient is. u (6, n); w (n, 3) written."""
    sixth, twelfth = w.dtype.type(1 / 6), w.dtype.type(1 / 12)
    for i in range(w.shape[0]):
        near, far = sixth * (u[1, i] + u[2, i]), sixth * (u[3, i] + u[4, i])
        w[i, 0] = u[0, i] / 4 - near + far / 4
        w[i, 1] = sixth * (u[2, i] - u[1, i]) + twelfth * (u[3, i] - u[4, i])
        w[i, 2] = far - near + u[5, i]


@_jit
def split(x, v):
    """v = B' x: the six numbers of every tile of four outputs. x (L, n), zero outside; v (6, tiles, n) written."""
    length, n = x.shape
    zero = np.zeros(_CHUNK, dtype=x.dtype)
    for i in range(v.shape[1]):
        t = 4 * i - 1
        for at in range(0, n, _CHUNK):
            to = min(at + _CHUNK, n)
            m = to - at
            d0 = x[t, at:to] if t >= 0 else zero[:m]
            d1 = x[t + 1, at:to]
            d2 = x[t + 2, at:to] if t + 2 < length else zero[:m]
            d3 = x[t + 3, at:to] if t + 3 < length else zero[:m]
            d4 = x[t + 4, at:to] if t + 4 < length else zero[:m]
            d5 = x[t + 5, at:to] if t + 5 < length else zero[:m]
            _sum3(v[0, i, at:to], d0, d2, d4, 4, -5, 1)
            _sum4(v[1, i, at:to], d1, d2, d3, d4, -4, -4, 1, 1)
            _sum4(v[2, i, at:to], d1, d2, d3, d4, 4, -4, -1, 1)
            _sum4(v[3, i, at:to], d1, d2, d3, d4, -2, -1, 2, 1)
            _sum4(v[4, i, at:to], d1, d2, d3, d4, 2, -1, -2, 1)
            _sum3(v[5, i, at:to], d1, d3, d5, 4, -5, 1)


@_jit
def split_backward(v, x):
    """x = B v: what `split`'s gradient is, slab by slab. v (6, tiles, n); x (L, n) written, zero beyond the tiles."""
    length, n = x.shape
    tiles = v.shape[1]
    for t in range(4 * tiles, length):
        x[t] = 0
    for i in range(tiles):
        for at in range(0, n, _CHUNK):
            to = min(at + _CHUNK, n)
            v0, v1, v2 = v[0, i, at:to], v[1, i, at:to], v[2, i, at:to]
            v3, v4, v5 = v[3, i, at:to], v[4, i, at:to], v[5, i, at:to]
            t = 4 * i
            last = v[5, i - 1, at:to] if i else v5
            _sum4(x[t, at:to], v1, v2, v3, v4, -4, 4, -2, 2)
            _add3(x[t, at:to], v5, last, last, 4, 1 if i else 0, 0)
            if t + 1 < length:
                _sum4(x[t + 1, at:to], v1, v2, v3, v4, -4, -4, -1, -1)
                _add3(x[t + 1, at:to], v0, v0, v0, -5, 0, 0)
            if t + 2 < length:
                _sum4(x[t + 2, at:to], v1, v2, v3, v4, 1, -1, 2, -2)
                _add3(x[t + 2, at:to], v5, v5, v5, -5, 0, 0)
            if t + 3 < length:
                following = v[0, i + 1, at:to] if i + 1 < tiles else v0
                _sum4(x[t + 3, at:to], v1, v2, v3, v4, 1, 1, 1, 1)
                _add3(x[t + 3, at:to], v0, following, following, 1, 4 if i + 1 < tiles else 0, 0)
    if 4 * tiles < length:  # the slab after the last whole tile is that tile's sixth number
        x[4 * tiles] = v[5, tiles - 1]


@_jit
def join(m, y):
    """y = A' m: four outputs of every tile. m (6, tiles, n); y (L, n) written as far as the tiles reach."""
    length, n = y.shape
    for i in range(m.shape[1]):
        for at in range(0, n, _CHUNK):
            to = min(at + _CHUNK, n)
            m0, m1, m2 = m[0, i, at:to], m[1, i, at:to], m[2, i, at:to]
            m3, m4, m5 = m[3, i, at:to], m[4, i, at:to], m[5, i, at:to]
            t = 4 * i
            _sum4(y[t, at:to], m1, m2, m3, m4, 1, 1, 1, 1)
            _add3(y[t, at:to], m0, m0, m0, 1, 0, 0)
            if t + 1 < length:
                _sum4(y[t + 1, at:to], m1, m2, m3, m4, 1, -1, 2, -2)
            if t + 2 < length:
                _sum4(y[t + 2, at:to], m1, m2, m3, m4, 1, 1, 4, 4)
            if t + 3 < length:
                _sum4(y[t + 3, at:to], m1, m2, m3, m4, 1, -1, 8, -8)
                _add3(y[t + 3, at:to], m5, m5, m5, 1, 0, 0)


@_jit
def join_backward(y, m):
    """m = A y: what `join`'s gradient is. y (L, n), zero outside; m (6, tiles, n) written."""
    length, n = y.shape
    zero = np.zeros(_CHUNK, dtype=y.dtype)
    for i in range(m.shape[1]):
        t = 4 * i
        for at in range(0, n, _CHUNK):
            to = min(at + _CHUNK, n)
            k = to - at
            y0 = y[t, at:to]
            y1 = y[t + 1, at:to] if t + 1 < length else zero[:k]
            y2 = y[t + 2, at:to] if t + 2 < length else zero[:k]
            y3 = y[t + 3, at:to] if t + 3 < length else zero[:k]
            m[0, i, at:to] = y0
            _sum4(m[1, i, at:to], y0, y1, y2, y3, 1, 1, 1, 1)
            _sum4(m[2, i, at:to], y0, y1, y2, y3, 1, -1, 1, -1)
            _sum4(m[3, i, at:to], y0, y1, y2, y3, 1, 2, 4, 8)
            _sum4(m[4, i, at:to], y0, y1, y2, y3, 1, -2, 4, -8)
            m[5, i, at:to] = y3


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
