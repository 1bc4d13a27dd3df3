"""The compiled loops of preprocessing (numba): apart from it, because checks of shapes can't enter compiled code."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(cache=True)
def rotate_each(quat_xyzw, vectors):
    """Turn every row of vectors (n, 3) by its own unit quaternion (n, 4), xyzw.

    v + 2 w (u x v) + 2 u x (u x v) with q = (u, w).
    """
    out = np.empty_like(vectors)
    for i in range(len(vectors)):
        a, b, c, w = quat_xyzw[i, 0], quat_xyzw[i, 1], quat_xyzw[i, 2], quat_xyzw[i, 3]
        x, y, z = vectors[i, 0], vectors[i, 1], vectors[i, 2]
        p, q, r = b * z - c * y, c * x - a * z, a * y - b * x
        out[i, 0] = x + 2 * (w * p + b * r - c * q)
        out[i, 1] = y + 2 * (w * q + c * p - a * r)
        out[i, 2] = z + 2 * (w * r + a * q - b * p)
    return out


@numba.njit(cache=True, fastmath=True)
def filter_at(t_in, values, weights, t_out, period, half_width, table, steps):
    """A symmetric filter h, given as a table of its right half, applied straight at new times of uneven samples.

    out(t) = sum_k w_k h(t - t_k) x_k / sum_k w_k h(t - t_k), w_k the share of time that sample k stands for.

    Args:
        t_in, values, weights: sample times, (n, channels) values, shares of time in sample periods.
        t_out: ascending times to evaluate at, same unit and origin as t_in.
        period: of the samples, in that unit.
        half_width: reach of h in sample periods.
        table, steps: h at multiples of period / steps, two entries beyond its reach included.
    """
    out = np.empty((len(t_out), values.shape[1]))
    total = np.zeros(values.shape[1])
    first = 0
    for i in range(len(t_out)):
        while first < len(t_in) and t_in[first] <= t_out[i] - half_width * period:
            first += 1
        k, norm = first, 0.0
        total[:] = 0.0
        while k < len(t_in) and t_in[k] < t_out[i] + half_width * period:
            u = abs(t_out[i] - t_in[k]) / period * steps
            j = int(u)
            h = weights[k] * (table[j] + (u - j) * (table[j + 1] - table[j]))
            norm += h
            for c in range(len(total)):
                total[c] += h * values[k, c]
            k += 1
        for c in range(len(total)):
            out[i, c] = total[c] / norm
    return out
