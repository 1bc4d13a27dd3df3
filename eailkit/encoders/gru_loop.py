"""The compiled loops of a GRU's inference (numba), after its equations as torch prints them; training isn't here.

Apart from `fast_inference`, because checks of shapes can't enter compiled code. Float32, h from zero.
"""

from __future__ import annotations

import numba
import numpy as np

# Sums may be reordered so that they vectorise; NaN and infinity keep their meaning.
_jit = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "arcp", "nsz"})


@_jit
def tanh(x):
    """Hyperbolic tangent to 2e-7, by arithmetic alone, so that a loop of it vectorises.

    Lambert's continued fraction t = y / (1 + y^2 / (3 + y^2 / (5 + y^2 / 7))) at y = x / 4, then twice
    tanh(2y) = 2t / (1 + t^2). Beyond |x| = 9.2 the result is 1 to the last bit but one; NaN stays NaN.
    """
    y = np.float32(0.25) * x
    y = np.float32(2.3) if y > np.float32(2.3) else y
    y = np.float32(-2.3) if y < np.float32(-2.3) else y
    s = y * y
    t = y * (np.float32(105.0) + np.float32(10.0) * s) / (np.float32(105.0) + s * (np.float32(45.0) + s))
    t = (t + t) / (np.float32(1.0) + t * t)
    return (t + t) / (np.float32(1.0) + t * t)


@_jit
def _dot(a, b):
    total = np.float32(0.0)
    for j in range(a.shape[0]):
        total += a[j] * b[j]
    return total


@_jit
def gates(from_input, from_hidden, bias_n, hidden):
    """One step of a batch, in place: h <- (1 - z) n + z h, n = tanh(x_n + r (W_n h + b_n)).

    Args:
        from_input: (B, 3D) W x + b of gates r, z, n, the hidden side's biases of r and z included.
        from_hidden: (B, 3D) products of h with the recurrent weights, without biases.
        bias_n: (D,) recurrent bias of n, which stands inside the reset.
        hidden: (B, D) h, written over.
    """
    d, half, one = hidden.shape[1], np.float32(0.5), np.float32(1.0)
    for b in range(hidden.shape[0]):
        x, w, h = from_input[b], from_hidden[b], hidden[b]
        for i in range(d):
            r = half + half * tanh(half * (x[i] + w[i]))
            z = half + half * tanh(half * (x[d + i] + w[d + i]))
            n = tanh(x[2 * d + i] + r * (w[2 * d + i] + bias_n[i]))
            h[i] = (one - z) * n + z * h[i]


@_jit
def last_hidden(from_input, weight, bias_n):
    """All steps for a few windows: the last h, (B, D).

    A recurrent matrix larger than the cache is read once a step, for all windows, from the first row to the last and
    back in turn: what a step read last is what the next one needs first.

    Args:
        from_input: (T, B, 3D), see `gates`.
        weight: (3D, D) recurrent weights.
        bias_n: (D,).
    """
    steps, batch, rows = from_input.shape
    hidden = np.zeros((batch, weight.shape[1]), dtype=np.float32)
    product = np.zeros((batch, rows), dtype=np.float32)
    for t in range(steps):
        for k in range(rows if t else 0):  # h is zero before the first step, and so is its product
            i = k if t % 2 else rows - 1 - k
            for b in range(batch):
                product[b, i] = _dot(weight[i], hidden[b])
        gates(from_input[t], product, bias_n, hidden)
    return hidden


@_jit
def linear(x, weight, bias):
    """x W^T + b of a few rows x; at one row a library's matrix product spends longer on its start than on its work."""
    out = np.empty((x.shape[0], weight.shape[0]), dtype=np.float32)
    for i in range(weight.shape[0]):
        for b in range(x.shape[0]):
            out[b, i] = _dot(weight[i], x[b]) + bias[i]
    return out
