"""PointNet++'s norms and maxima in training on a CPU: torch's numbers, without writing what only a maximum reads.

A norm is monotone per channel, so the extreme of its input tells which row of a group wins, and the gradient of norm
and maximum together is one number a channel for all rows and one more for each winner. `norm_max` uses that for any
layer. `offsets_norm_max` does a whole level of two layers: blocks of rows that fit a core's cache are made forward,
thrown away, and made again on the way back, where torch writes and reads 100 MB a step.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eailkit.encoders._points import loops

BLOCK_ROWS = 2048  # of 64 channels: half of a megabyte


def norm_max(x: Float[Tensor, "groups samples channels"], norm: nn.BatchNorm1d) -> Float[Tensor, "groups channels"]:
    """The largest row of each group after a batch norm in training mode, whose running statistics follow.

    Rows that tie share the gradient, as torch's amax has it. Statistics are float32 at least, whatever x is.
    """
    return _NormMax.apply(x, norm.weight, norm.bias, norm)


def offsets_norm_max(
    offsets: Float[Tensor, "groups samples 3"],
    first: nn.Linear,
    norm_first: nn.BatchNorm1d,
    second: nn.Linear,
    norm_second: nn.BatchNorm1d,
) -> Float[Tensor, "groups channels"]:
    """max_k norm(second(relu(norm(first(offsets))))) of each group, in training mode, float32.

    Offsets get no gradient. Where rows tie the first of them takes it: equal rows do the same to the weights.
    """
    layers = (first, norm_first, second, norm_second)
    parameters = (p for layer in layers for p in (layer.weight, layer.bias))
    with torch.autocast("cpu", enabled=False):
        return _OffsetsNormMax.apply(offsets, *parameters, norm_first, norm_second)


def follow(norm: nn.BatchNorm1d, mean: Tensor, variance: Tensor, rows: int) -> Tensor:
    """Running statistics as torch keeps them; returns 1 / standard deviation, in float64 like what comes in."""
    norm.num_batches_tracked.add_(1)
    unbiased = variance * (rows / max(rows - 1, 1))
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), norm.momentum)
    norm.running_var.lerp_(unbiased.to(norm.running_var.dtype), norm.momentum)
    return torch.rsqrt(variance + norm.eps)


class _Pool:
    """Statistics and winners of blocks of groups, one after the other."""

    def __init__(self, groups: int, weight: Tensor):
        channels = len(weight)
        self.sign = torch.where(weight >= 0, 1.0, -1.0).to(weight.dtype).numpy()
        self.best = weight.new_empty(groups, channels)
        self.winner = torch.empty(groups, channels, dtype=torch.int32)
        self.sums = torch.zeros(2, channels, dtype=torch.float64)
        self.pivot: Tensor | None = None

    def add(self, start: int, x: Tensor) -> None:
        """Take in the groups x (g, K, C), the first of which is number `start`."""
        if self.pivot is None:
            self.pivot = x.flatten(0, 1).mean(dim=0)
        rows = slice(start, start + len(x))
        best, winner, (total, squares) = self.best[rows].numpy(), self.winner[rows].numpy(), self.sums.numpy()
        loops.pool(x.numpy(), self.sign, self.pivot.numpy(), best, winner, total, squares)

    def statistics(self, rows: int) -> tuple[Tensor, Tensor]:
        """Mean and (biased) variance, float64."""
        off, squares = self.sums / rows
        return self.pivot.double() + off, (squares - off.square()).clamp_(min=0)


def _back(grad: Tensor, best: Tensor, rows: int, mean: Tensor, inverse_std: Tensor, weight: Tensor) -> tuple:
    """Gradients of weight and bias; slope, level and shares of the gradient of what is normed."""
    grad = grad.to(best.dtype)
    of_bias = grad.sum(dim=0, dtype=torch.float64)
    of_weight = (grad * (best - mean.to(best.dtype))).sum(dim=0, dtype=torch.float64) * inverse_std
    scale = weight.double() * inverse_std
    slope = -scale * inverse_std * of_weight / rows
    level = -scale * of_bias / rows - slope * mean
    share = grad * scale.to(best.dtype)
    return of_weight.to(weight.dtype), of_bias.to(weight.dtype), slope.to(best.dtype), level.to(best.dtype), share


class _NormMax(torch.autograd.Function):
    """y_g = max_k norm(x)_gk."""

    @staticmethod
    def forward(ctx, x, weight, bias, norm):
        kept = x.to(weight.dtype).contiguous()
        pool = _Pool(len(x), weight.detach())
        pool.add(0, kept)
        rows = x.shape[0] * x.shape[1]
        mean, variance = pool.statistics(rows)
        inverse_std = follow(norm, mean, variance, rows)
        ctx.save_for_backward(kept, pool.best, weight, mean, inverse_std)
        ctx.dtype = x.dtype
        scale = weight.double() * inverse_std
        shift = bias.double() - mean * scale
        return torch.addcmul(shift.to(weight.dtype), pool.best, scale.to(weight.dtype)).to(x.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        x, best, weight, mean, inverse_std = ctx.saved_tensors
        rows = x.shape[0] * x.shape[1]
        of_weight, of_bias, slope, level, share = _back(grad, best, rows, mean, inverse_std, weight)
        of_x = torch.empty_like(x)
        loops.spread_among_equals(*(v.detach().numpy() for v in (x, best, slope, level, share, of_x)))
        return of_x.to(ctx.dtype), of_weight, of_bias, None


class _OffsetsNormMax(torch.autograd.Function):
    """Two layers on offsets and the maximum of their groups; the first layer's statistics come from the offsets' own.

    The mean of W p + b is W mean(p) + b and its variance w cov(p) w', so no pass over rows is needed for them.
    """

    @staticmethod
    def forward(ctx, offsets, w1, b1, g1, s1, w2, b2, g2, s2, norm1, norm2):
        """offsets (G, K, 3); w, b: linear layers; g, s: weights and biases of their norms."""
        groups, samples, _ = offsets.shape
        rows = groups * samples
        flat = offsets.reshape(rows, 3)
        mean_p = flat.mean(dim=0, dtype=torch.float64)
        off = (flat - mean_p.float()).double()
        cov = off.T @ off / rows - torch.outer(m := off.mean(0), m)
        w = w1.double()
        mean1, variance1 = w @ mean_p + b1, torch.einsum("ci,ij,cj->c", w, cov, w)
        inverse1 = follow(norm1, mean1, variance1, rows)
        scale1 = g1.double() * inverse1
        across = (w * scale1[:, None]).float().T.contiguous()  # the first norm, folded into its layer
        shift = (s1 + (b1 - mean1) * scale1).float()
        pool = _Pool(groups, g2.detach())
        w2_across = w2.T.contiguous()
        for start, block in _blocks(offsets):
            h = _first(block, across, shift)
            pool.add(start, torch.addmm(b2, h, w2_across).view(len(block), samples, -1))
        mean2, variance2 = pool.statistics(rows)
        inverse2 = follow(norm2, mean2, variance2, rows)
        ctx.save_for_backward(offsets, across, shift, pool.best, pool.winner, w1, g1, w2, b2, g2)
        ctx.statistics = mean_p, cov, inverse1, mean2, inverse2
        scale2 = g2.double() * inverse2
        return torch.addcmul((s2 - mean2 * scale2).float(), pool.best, scale2.float())

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        offsets, across, shift, best, winner, w1, g1, w2, b2, g2 = ctx.saved_tensors
        mean_p, cov, inverse1, mean2, inverse2 = ctx.statistics
        (groups, samples, _), (width, first) = offsets.shape, w2.shape
        rows = groups * samples
        of_g2, of_s2, slope, level, share = _back(grad, best, rows, mean2, inverse2, g2)
        back = [v.detach().numpy() for v in (slope, level, share, winner)]
        w2_across = w2.T.contiguous()
        of_w2, sums, products = w2.new_zeros(width, first), w2.new_zeros(first), w2.new_zeros(3, first)
        for start, block in _blocks(offsets):
            here = slice(start, start + len(block))
            h = _first(block, across, shift)
            y = torch.addmm(b2, h, w2_across)
            loops.spread(y.view(len(block), samples, width).numpy(), *back[:2], *(v[here] for v in back[2:]))
            of_w2.addmm_(y.T, h)
            to_h = y @ w2
            flat = block.reshape(-1, 3)
            loops.layer_on_offsets_backward(*(v.numpy() for v in (to_h, h, flat, sums, products)))
        # through the first norm: g - mean(g) - x mean(g x), x the normed row; times offsets, from their moments
        of_s1, products = sums.double(), products.T.double()
        centred = products - of_s1[:, None] * mean_p  # (C, 3)
        w = w1.double()
        of_g1 = (w * centred).sum(1) * inverse1
        of_w1 = (g1 * inverse1)[:, None] * (centred - (of_g1 * inverse1)[:, None] * (w @ cov))
        small = [v.to(w1.dtype) for v in (of_w1, torch.zeros_like(of_s1), of_g1, of_s1)]
        return None, *small, of_w2, torch.zeros_like(b2), of_g2, of_s2, None, None  # a norm takes biases out


def _blocks(offsets: Tensor):
    size = max(1, BLOCK_ROWS // offsets.shape[1])
    return ((start, offsets[start : start + size]) for start in range(0, len(offsets), size))


def _first(block: Tensor, across: Tensor, shift: Tensor) -> Tensor:
    h = block.new_empty(block.shape[0] * block.shape[1], len(shift))
    loops.layer_on_offsets(*(v.numpy() for v in (block.reshape(-1, 3), across, shift, h)))
    return h
