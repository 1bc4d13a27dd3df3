"""A level of PointNet++ in training in float32 on a CPU: torch's numbers, with half of the products and of the memory.

y_g = max_{i in g} norm_L(W_L relu(norm_{L-1}(... W_1 [p_i, f_i]))), norms by the batch's statistics, over distinct rows
that each count as often as they stand in the groups (`rows`).

The last layer's outputs are needed for their maxima alone, so they never leave a core's cache. Their mean and variance
follow from those of what the layer reads, W E[h] + b and W cov(h) W'. Backwards, a norm gives every row a gradient that
is linear in its value, D y + c with D diagonal, and the winners a share more: D (W h + b) + c needs no y, W' D W is one
small matrix for all rows, and sum y' h is W cov(h) again.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from eailkit.encoders._norm import masked_sums, scale_relu
from eailkit.encoders._points import row_loops as loops
from eailkit.encoders._points.rows import Block, Rows
from eailkit.encoders._points.training import follow
from eailkit.encoders._products import in_steps, times, transposed_times
from eailkit.encoders._threads import side_by_side

_FEW = 64  # rows whose mean is near enough to all rows' that no variance drowns


def level_in_training(
    rows: Rows, features: Float[Tensor, "points channels"] | None, linears: nn.ModuleList, norms: nn.ModuleList
) -> Float[Tensor, "groups width"]:
    """The largest row of each group behind the last norm, whose running statistics follow, as all norms' do.

    Offsets get no gradient. Where rows tie the first of them takes it: equal rows do the same to the weights.
    """
    layers = (p for pair in zip(linears, norms, strict=True) for layer in pair for p in (layer.weight, layer.bias))
    return _Level.apply(features, rows, norms, *layers)


class _Norm:
    """A batch norm of weighted rows: statistics in float64, the line that it is, and its gradients."""

    def __init__(self, norm: nn.BatchNorm1d, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, rows: int):
        self.rows, self.weight, self.mean = rows, weight.double(), mean
        self.inverse_std = follow(norm, mean, variance.clamp(min=0), rows)
        scale = self.weight * self.inverse_std
        self.line = torch.stack([scale, bias - mean * scale]).float()  # scale, shift

    @property
    def about(self) -> np.ndarray:
        """The mean in float32, about which products are summed."""
        return self.mean.float().numpy()

    def backward(self, sums: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients of weight and bias; factor, slope and level of that of x, factor g + slope x + level, (3, C).

        Args:
            sums: (2, C) of the norm's gradient and of its products with x - mean.
        """
        factor, std = self.weight * self.inverse_std, self.inverse_std
        slope = -factor * std.square() * sums[1] / self.rows
        return sums[1] * std, sums[0], torch.stack([factor, slope, -factor * sums[0] / self.rows - slope * self.mean])


class _Level(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features, rows, norms, *parameters):
        """parameters: of each layer weight, bias, and its norm's weight and bias."""
        layers = [tuple(p.detach() for p in parameters[i : i + 4]) for i in range(0, len(parameters), 4)]
        (weight, bias, *affine), *hidden, last = layers
        x, mean, variance = _first(rows, features, weight, bias)
        xs, lines = [x], [_Norm(norms[0], *affine, mean, variance, rows.total)]
        for norm, (weight, bias, *affine) in zip(norms[1:], hidden, strict=False):
            x, mean, variance = _hidden(rows, xs[-1], lines[-1].line, weight, bias)
            xs, lines = [*xs, x], [*lines, _Norm(norm, *affine, mean, variance, rows.total)]
        weight, bias, *affine = last
        best, winner, mean_h, cov = _last(rows, xs[-1], lines[-1].line, weight, bias, affine[0])
        across_cov = weight @ cov.float()
        statistics = weight.double() @ mean_h + bias, (across_cov * weight).sum(1, dtype=torch.float64)
        lines.append(_Norm(norms[-1], *affine, *statistics, rows.total))
        ctx.save_for_backward(features, *parameters, *xs, best, winner)
        ctx.rows, ctx.lines, ctx.moments = rows, lines, (mean_h, across_cov)
        return torch.addcmul(lines[-1].line[1], best, lines[-1].line[0])

    @staticmethod
    @once_differentiable
    @torch.autocast("cpu", enabled=False)
    def backward(ctx, grad):
        depth, rows, lines = len(ctx.lines), ctx.rows, ctx.lines
        features, *saved = ctx.saved_tensors
        weights, (*xs, best, winner) = saved[: 4 * depth : 4], saved[4 * depth :]
        found: list[list[Tensor]] = [[]] * depth
        sums = torch.stack([grad, grad * (best - lines[-1].mean.float())]).sum(1, dtype=torch.float64)
        of_scale, of_bias, line = lines[-1].backward(sums)
        share = grad * line[0].float()
        above = line, share, winner, *ctx.moments
        of_weight, sums, g = _last_back(rows, xs[-1], lines[-2], lines[-1], weights[-1], above)
        found[-1] = [of_weight, of_scale, of_bias]
        for k in range(depth - 2, 0, -1):
            of_scale, of_bias, line = lines[k].backward(sums)
            of_weight, sums, g = _hidden_back(rows, g, xs[k], line, xs[k - 1], lines[k - 1], weights[k])
            found[k] = [of_weight, of_scale, of_bias]
        of_scale, of_bias, line = lines[0].backward(sums)
        of_weight, of_features = _first_back(rows, g, xs[0], line, features, weights[0])
        found[0] = [of_weight, of_scale, of_bias]
        small = [
            value.to(grad.dtype)
            for of_weight, of_scale, of_bias in found
            for value in (of_weight, torch.zeros_like(of_bias), of_scale, of_bias)  # a norm takes a layer's bias out
        ]
        return of_features, None, None, *small


def _first(rows: Rows, features: Tensor | None, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the first layer gives of all rows, and its mean and variance."""
    make, few = first_layer(rows, features, weight, bias), rows.offsets.new_empty(_few(rows), len(weight))
    make(0, len(few), few)
    pivot, x = few.mean(0), rows.offsets.new_empty(len(rows.offsets), len(weight))

    def work(blocks: list[Block]) -> Tensor:
        sums = torch.zeros(2, len(weight), dtype=torch.float64)
        for here in blocks:
            a, b = here.rows
            make(a, b, x[a:b])
            loops.moments(*(v.numpy() for v in (x[a:b], rows.weight[a:b], pivot, sums, x[a:b])))
        return sums

    return x, *_mean_and_variance(rows, pivot, side_by_side(work, rows.parts()))


def first_layer(rows: Rows, features: Tensor | None, weight: Tensor, bias: Tensor):
    """A function of a range of rows and what it writes: W [p_i, f_i] + b, with W f computed once for each point."""
    across, projected = weight[:, :3].T.contiguous(), weight.new_empty(0, len(weight))
    if features is not None:
        projected = times(features, weight[:, 3:].contiguous())
    others = [v.numpy() for v in (projected, across, bias)]

    def make(a: int, b: int, out: Tensor) -> None:
        loops.first_layer(rows.offsets[a:b].numpy(), rows.source[a:b].numpy(), *others, out.numpy())

    return make


def _hidden(rows: Rows, x: Tensor, line: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What a further layer gives of relu(norm(x)), and its mean and variance."""
    few = torch.addcmul(line[1], x[: _few(rows)], line[0]).relu_()
    pivot, out = torch.addmm(bias, few, weight.T).mean(0), x.new_empty(len(x), len(weight))

    def work(blocks: list[Block]) -> Tensor:
        sums, h = torch.zeros(2, len(weight), dtype=torch.float64), rows.scratch(x.shape[1])
        for here in blocks:
            a, b = here.rows
            _relu(x[a:b], line, h)
            y = times(h[: in_steps(b - a)], weight, bias)
            loops.moments(*(v.numpy() for v in (y, rows.weight[a:b], pivot, sums, out[a:b])))
        return sums

    return out, *_mean_and_variance(rows, pivot, side_by_side(work, rows.parts()))


def _last(rows: Rows, x: Tensor, line: Tensor, weight: Tensor, bias: Tensor, of_norm: Tensor) -> tuple[Tensor, ...]:
    """Each group's extreme of the last layer and its row; mean and covariance of what that layer reads, float64."""
    pivot = torch.addcmul(line[1], x[: _few(rows)], line[0]).relu_().mean(0)
    best = x.new_empty(len(rows.starts) - 1, len(weight))
    winner, sign = torch.empty_like(best, dtype=torch.int32), torch.where(of_norm >= 0, 1.0, -1.0)

    def work(blocks: list[Block]) -> tuple[Tensor, Tensor]:
        channels = x.shape[1]
        sums, products = (torch.zeros(*s, channels, dtype=torch.float64) for s in ((), (channels,)))
        h, weighted = rows.scratch(channels), rows.scratch(channels)
        for here in blocks:
            (a, b), (first, end) = here.rows, here.groups
            some = [v[: in_steps(b - a)] for v in (h, weighted)]
            loops.scale_relu_weighted(*(v.numpy() for v in (x[a:b], line, pivot, rows.weight[a:b], sums, *some)))
            products += transposed_times(some[1], some[0])
            y, starts = times(some[0], weight, bias), rows.starts[first : end + 1]
            loops.largest(*(v.numpy() for v in (y, starts, sign, best[first:end], winner[first:end])))
        return sums, products

    sums, products = (sum(parts) for parts in zip(*side_by_side(work, rows.parts()), strict=True))
    products = products - torch.outer(sums, pivot.double() + sums / rows.total)
    return best, winner, pivot + sums / rows.total, (products + products.T) / (2 * rows.total)


def _last_back(rows: Rows, x: Tensor, norm: _Norm, last: _Norm, weight: Tensor, above: tuple) -> tuple[Tensor, ...]:
    """Gradient of the last layer's weights; of the norm that it reads, summed and row by row."""
    line, share, winner, mean_h, across_cov = above
    slope, level = line[1].float(), line[2] + line[1] * last.mean  # a row's: slope (y - mean) + level
    weight = weight.detach()
    inner = (weight.T * slope) @ weight
    level_h = (level @ weight.double() - mean_h @ inner.double()).float()

    def work(blocks: list[Block]) -> tuple[Tensor, Tensor]:
        sums, of_weight = torch.zeros(2, x.shape[1], dtype=torch.float64), torch.zeros_like(weight)
        h = rows.scratch(x.shape[1])
        for here in blocks:
            (a, b), (first, end) = here.rows, here.groups
            _relu(x[a:b], norm.line, h)
            y = times(h[: in_steps(b - a)], inner)
            loops.spread_dense(y.numpy(), level_h.numpy(), rows.weight[a:b].numpy())
            each = (rows.starts[first : end + 1], winner[first:end], share[first:end])
            loops.add_winners(y.numpy(), h.numpy(), *(v.numpy() for v in each), weight.numpy(), of_weight.numpy())
            masked_sums(*(v.numpy() for v in (y, h, x[a:b])), norm.about, sums.numpy(), g[a:b].numpy())
        return sums, of_weight

    g = torch.empty_like(x)
    sums, of_weight = (sum(parts) for parts in zip(*side_by_side(work, rows.parts()), strict=True))
    dense = slope[:, None] * across_cov + torch.outer(level, mean_h)
    return of_weight + rows.total * dense, sums, g


def _hidden_back(
    rows: Rows, grad: Tensor, x: Tensor, line: Tensor, below: Tensor, norm: _Norm, weight: Tensor
) -> tuple[Tensor, ...]:
    """As `_last_back`, from the gradient of a layer's norm; x is what that norm takes, below the norm below."""
    g, line, across = torch.empty_like(below), line.float().numpy(), weight.T.contiguous()

    def work(blocks: list[Block]) -> tuple[Tensor, Tensor]:
        sums, of_weight = torch.zeros(2, below.shape[1], dtype=torch.float64), torch.zeros_like(weight).double()
        h, of_x = rows.scratch(below.shape[1]), rows.scratch(x.shape[1])
        for here in blocks:
            a, b = here.rows
            loops.norm_backward(grad[a:b].numpy(), x[a:b].numpy(), line, rows.weight[a:b].numpy(), of_x.numpy())
            _relu(below[a:b], norm.line, h)
            some = in_steps(b - a)
            of_weight += transposed_times(of_x[:some], h[:some])
            y = times(of_x[:some], across)
            masked_sums(*(v.numpy() for v in (y, h, below[a:b])), norm.about, sums.numpy(), g[a:b].numpy())
        return sums, of_weight

    sums, of_weight = (sum(parts) for parts in zip(*side_by_side(work, rows.parts()), strict=True))
    return of_weight, sums, g


def _first_back(
    rows: Rows, grad: Tensor, x: Tensor, line: Tensor, features: Tensor | None, weight: Tensor
) -> tuple[Tensor, Tensor | None]:
    """Gradients of the first layer's weights and of the points' features, from that of its norm."""
    points, line = 0 if features is None else len(features), line.float().numpy()

    def work(blocks: list[Block]) -> tuple[Tensor, Tensor]:
        of_across, of_projected = torch.zeros(3, len(weight)).double(), torch.zeros(points, len(weight))
        of_x = rows.scratch(len(weight))
        for here in blocks:
            a, b = here.rows
            loops.norm_backward(grad[a:b].numpy(), x[a:b].numpy(), line, rows.weight[a:b].numpy(), of_x.numpy())
            few = torch.zeros(3, len(weight))
            given = (of_x, rows.offsets[a:b], rows.source[a:b], few, of_projected)
            loops.first_layer_backward(*(v.numpy() for v in given))
            of_across += few
        return of_across, of_projected

    of_across, of_projected = (sum(parts) for parts in zip(*side_by_side(work, rows.parts()), strict=True))
    if features is None:
        return of_across.T, None
    of_features = times(of_projected, weight[:, 3:].T.contiguous())
    return torch.cat([of_across.T.float(), transposed_times(of_projected, features)], dim=1), of_features


def _few(rows: Rows) -> int:
    return min(_FEW, len(rows.offsets))


def _relu(x: Tensor, line: Tensor, h: Tensor) -> None:
    """The first rows of h = relu(norm(x)); the rest up to a step of oneDNN's zero."""
    scale_relu(*(v.numpy() for v in (x, *line, h)))
    h[len(x) : in_steps(len(x))] = 0


def _mean_and_variance(rows: Rows, pivot: Tensor, parts: list[Tensor]) -> tuple[Tensor, Tensor]:
    off, squares = sum(parts) / rows.total
    return pivot.double() + off, squares - off.square()
