"""A GRU's training step in float32 on a CPU: torch's numbers, a quarter sooner and in half of the memory.

torch keeps every intermediate of every step and multiplies for the recurrent weights' gradient at each of them. Here
the gates are one compiled loop, a step keeps four numbers a unit (five where all outputs are wanted), and that gradient
is one matrix product in the end.
Under autocast, on other devices, in eval mode and for other kinds of GRU torch's own is used.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from eailkit.encoders._gru import loops


def gru_outputs(gru: nn.GRU, x: Float[Tensor, "batch steps features"]) -> Float[Tensor, "batch steps hidden"]:
    """All hidden states of a GRU that starts from zero: `gru(x)[0]`, trained faster where it can be.

    The way back writes over what the way forward kept: one backward pass a forward pass, and no gradient of it.

    Raises:
        RuntimeError: a second backward pass.
    """
    if not _ours(gru, x):
        return gru(x)[0]
    return _Gru.apply(x.transpose(0, 1), *_weights(gru), False).transpose(0, 1)


def gru_last(gru: nn.GRU, x: Float[Tensor, "batch steps features"]) -> Float[Tensor, "batch hidden"]:
    """The last hidden state of a GRU that starts from zero: `gru(x)[1][0]`, see `gru_outputs`."""
    if not _ours(gru, x):
        return gru(x)[1][0]
    return _Gru.apply(x.transpose(0, 1), *_weights(gru), True)


def _weights(gru: nn.GRU) -> tuple[Tensor, ...]:
    return gru.weight_ih_l0, gru.weight_hh_l0, gru.bias_ih_l0, gru.bias_hh_l0


def _ours(gru: nn.GRU, x: Tensor) -> bool:
    plain = gru.num_layers == 1 and gru.bias and gru.batch_first and not gru.bidirectional
    if not (plain and gru.training and torch.is_grad_enabled() and x.ndim == 3 and x.numel()):
        return False
    if torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
        return False
    float32 = all(t.dtype == torch.float32 and t.device.type == "cpu" for t in (x, gru.weight_hh_l0))
    return float32 and x.shape[2] == gru.input_size  # torch says what is wrong with any other


class _Gru(torch.autograd.Function):
    """h_t = (1 - z) n + z h_(t-1), n = tanh(W_n x + b_n + r (U_n h + c_n)); r, z = sigmoid(W x + b + U h + c)."""

    @staticmethod
    def forward(ctx, x, w, u, b, c, last):
        """x (T, B, F); w (3D, F), u (3D, D), b, c (3D,) in torch's order r, z, n -> h_T (B, D), or all (T, B, D)."""
        (steps, batch, _), (rows, d) = x.shape, u.shape
        rz = slice(0, 2 * d)
        flat = x.reshape(steps * batch, -1)
        bias = b.clone()
        bias[rz] += c[rz]  # of r and z both biases add up; that of n stands inside the reset
        gate, inner = x.new_empty(4 * d * steps * batch).split([rows * steps * batch, d * steps * batch])
        gate, inner = gate.view(steps, batch, rows), inner.view(steps, batch, d)  # one block goes back whole when freed
        torch.addmm(bias, flat, w.T, out=gate.view(-1, rows))  # the loop writes r, z and n over it, U_n h + c_n beside
        h = x.new_zeros(2 if last else steps + 1, batch, d)  # two in turn, where only the last is wanted
        product, across = x.new_zeros(batch, rows), u.T.contiguous()  # a product with it is faster than with a view
        at, kept, c_n = h.numpy(), (gate.numpy(), inner.numpy()), c[2 * d :].numpy()
        for t in range(steps):
            before, after = t % len(h), (t + 1) % len(h)
            if t:
                torch.mm(h[before], across, out=product)
            loops.gates_kept(kept[0][t], product.numpy(), c_n, kept[1][t], at[before], at[after])
        ctx.last, ctx.spent = last, False
        ctx.save_for_backward(flat, w, u, gate, inner, *([] if last else [h]))
        return h[steps % 2].clone() if last else h[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        """Gradients of x, w, u, b and c."""
        if ctx.spent:
            raise RuntimeError("the GRU's intermediates are gone after one backward pass; run it forward again")
        ctx.spent = True
        flat, w, u, gate, inner, *h = ctx.saved_tensors
        (steps, batch, rows), d = gate.shape, u.shape[1]
        if ctx.last:
            h = [gate.new_zeros(steps + 1, batch, d)]
            loops.hidden_again(gate.numpy(), h[0].numpy())
        arrays = gate.numpy(), inner.numpy(), h[0].numpy()
        to_h = (grad if ctx.last else grad[-1]).clone(memory_format=torch.contiguous_format)
        for t in range(steps - 1, -1, -1):
            loops.gates_backward(to_h.numpy(), *(v[t] for v in arrays))
            if t:
                to_h.addmm_(gate[t], u)
            if t and not ctx.last:
                to_h.add_(grad[t - 1])
        every = gate.view(-1, rows)
        of_u = (h[0][1:steps].view(-1, d).T @ every[batch:]).T  # turned around it is the faster product
        of_c = every.sum(0)
        every[:, 2 * d :] = inner.view(-1, d)  # what W sees of n isn't what U sees: the reset stands between
        of_b = of_c.clone()
        of_b[2 * d :] = inner.sum((0, 1))
        of_x = (every @ w).view(steps, batch, -1) if ctx.needs_input_grad[0] else None
        return of_x, (flat.T @ every).T, of_u, of_b, of_c, None
