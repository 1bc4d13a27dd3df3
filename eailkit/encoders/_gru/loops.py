"""The compiled loops of a GRU (numba), after its equations as torch prints them: inference, a step and its way back.

Apart from their callers, because checks of shapes can't enter compiled code. Float32, h from zero.
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
def gates_kept(gate, from_hidden, bias_n, inner, before, after):
    """One step of a batch that can be gone back: r, z, n and W_n h + b_n are kept.

    Args:
        gate: (B, 3D) W x + b of gates r, z, n as in `gates`; r, z and n are written over it.
        from_hidden, bias_n: see `gates`.
        inner: (B, D) written: W_n h + b_n.
        before, after: (B, D) h, and the next h, written.
    """
    d, half, one = before.shape[1], np.float32(0.5), np.float32(1.0)
    for b in range(before.shape[0]):
        x_r, x_z, x_n = gate[b, :d], gate[b, d : 2 * d], gate[b, 2 * d :]  # apart, or it doesn't vectorise
        w_r, w_z, w_n = from_hidden[b, :d], from_hidden[b, d : 2 * d], from_hidden[b, 2 * d :]
        h, q, out = before[b], inner[b], after[b]
        for i in range(d):
            r = half + half * tanh(half * (x_r[i] + w_r[i]))
            z = half + half * tanh(half * (x_z[i] + w_z[i]))
            within = w_n[i] + bias_n[i]
            n = tanh(x_n[i] + r * within)
            x_r[i], x_z[i], x_n[i], q[i] = r, z, n, within
            out[i] = (one - z) * n + z * h[i]


@_jit
def hidden_again(gate, hidden):
    """All hidden states from the gates that `gates_kept` kept: h (T + 1, B, D) written from its first row, zero, on."""
    steps, batch, d = gate.shape[0], gate.shape[1], hidden.shape[2]
    for t in range(steps):
        for b in range(batch):
            z, n, h, out = gate[t, b, d : 2 * d], gate[t, b, 2 * d :], hidden[t, b], hidden[t + 1, b]
            for i in range(d):
                out[i] = (np.float32(1.0) - z[i]) * n[i] + z[i] * h[i]


@_jit
def gates_backward(to_hidden, gate, inner, before):
    """One step back, through `gates_kept`, in place.

    Args:
        to_hidden: (B, D) gradient of h after the step; its direct part of h before it is written over.
        gate: (B, 3D) r, z and n; the gradients of what they came in with, W_n h + b_n for n's, are written over them.
        inner: (B, D) W_n h + b_n; the gradient before n's tanh is written over it.
        before: (B, D) h before the step.
    """
    d, one = before.shape[1], np.float32(1.0)
    for b in range(before.shape[0]):
        at_r, at_z, at_n = gate[b, :d], gate[b, d : 2 * d], gate[b, 2 * d :]  # apart, or it doesn't vectorise
        g, q, h = to_hidden[b], inner[b], before[b]
        for i in range(d):
            r, z, n = at_r[i], at_z[i], at_n[i]
            dn = g[i] * (one - z) * (one - n * n)
            at_r[i] = dn * q[i] * r * (one - r)
            at_z[i] = g[i] * (h[i] - n) * z * (one - z)
            at_n[i] = dn * r
            q[i] = dn
            g[i] = g[i] * z


@_jit
def last_hidden(from_input, weight, bias_n):
    """All steps for a few windows: the last h, (B, D).

    The recurrent matrix is larger than a core's cache, so it is read once a step for all windows, the three rows of a
    unit side by side: three streams that the processor fetches ahead, where one row after another waits at each end.

    Args:
        from_input: (T, B, 3D), see `gates`.
        weight: (3D, D) recurrent weights.
        bias_n: (D,).
    """
    steps, batch, rows = from_input.shape
    d = weight.shape[1]
    hidden = np.zeros((batch, d), dtype=np.float32)
    product = np.zeros((batch, rows), dtype=np.float32)
    for t in range(steps):
        for i in range(d if t else 0):  # h is zero before the first step, and so is its product
            of_r, of_z, of_n = weight[i], weight[d + i], weight[2 * d + i]
            for b in range(batch):
                h, r, z, n = hidden[b], np.float32(0.0), np.float32(0.0), np.float32(0.0)
                for j in range(d):
                    r += of_r[j] * h[j]
                    z += of_z[j] * h[j]
                    n += of_n[j] * h[j]
                product[b, i], product[b, d + i], product[b, 2 * d + i] = r, z, n
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
