"""PointNet++ on distinct rows in float32 on a CPU: `rows` says which, `levels` trains on them, here they are embedded.

Frozen, each norm is folded into its layer, and blocks of rows that fit a core's cache pass through a level one after
the other.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eailkit.encoders._points import row_loops
from eailkit.encoders._points.levels import first_layer, level_in_training
from eailkit.encoders._points.rows import Points, Rows
from eailkit.encoders._products import in_steps, times
from eailkit.encoders._threads import parts_of, side_by_side
from eailkit.encoders.neighbours import Neighbours

_CLOUDS = 8  # at a time: their rows take 40 MB


def is_ours(net: nn.Module, points: Tensor) -> bool:
    """Whether clouds can be taken here: elsewhere torch's own operations run.

    Not on other devices, for other types, for levels on a lattice, for networks of one layer, nor where what is trained
    and what is frozen isn't all of it. Under autocast too, in float32 all the same: it takes less time than bfloat16
    does on all rows.
    """
    if points.requires_grad or torch.compiler.is_compiling() or not len(points):
        return False
    if any(level.spacing_m is not None for level in net.config.levels) or not len(net.levels):
        return False
    if net.training != torch.is_grad_enabled() or any(m.training != net.training for m in net.modules()):
        return False
    if min(len(mlp.linears) for mlp in (*(m for level in net.levels for m in level), net.everything)) < 2:
        return False
    return all(t.is_cpu and t.dtype == torch.float32 for t in (points, *net.parameters()))


@torch.autocast("cpu", enabled=False)
def global_features(
    net: nn.Module, points: Float[Tensor, "batch n 3"], neighbours: Neighbours
) -> Float[Tensor, "batch width"]:
    """What the last level of a `PointNet2` gives, before the projection; in training with the graph behind it."""
    if net.training:
        return _through(net, points, neighbours, _train)
    folded = {mlp: [fold(*pair) for pair in zip(mlp.linears, mlp.norms, strict=True)] for mlp in _networks(net)}

    def work(part: slice) -> Tensor:
        some = (slice(i, min(i + _CLOUDS, part.stop)) for i in range(part.start, part.stop, _CLOUDS))
        frozen = lambda mlp, *given: _frozen(folded[mlp], *given)  # noqa: E731
        return torch.cat([_through(net, points[here], neighbours[here], frozen) for here in some])

    return torch.cat(side_by_side(work, parts_of(len(points))))


def fold(linear: nn.Linear, norm: nn.BatchNorm1d) -> tuple[Tensor, Tensor]:
    """Weight and bias of a layer with the norm behind it in eval mode."""
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return linear.weight * scale[:, None], (linear.bias - norm.running_mean) * scale + norm.bias


def _networks(net: nn.Module) -> list[nn.Module]:
    return [*(mlp for level in net.levels for mlp in level), net.everything]


def _through(net: nn.Module, clouds: Tensor, neighbours: Neighbours, network) -> Tensor:
    points, features = Points.of(clouds), None
    for level, centres, groups in zip(net.levels, neighbours.centres, neighbours.groups, strict=True):
        pooled = []
        for mlp, group in zip(level, groups, strict=True):
            rows, after = points.around(centres, group)
            pooled.append(network(mlp, rows, features))
        points, features = after, torch.cat(pooled, dim=-1) if len(pooled) > 1 else pooled[0]
    return network(net.everything, points.as_groups(), features)


def _train(mlp: nn.Module, rows: Rows, features: Tensor | None) -> Tensor:
    return F.relu(level_in_training(rows, features, mlp.linears, mlp.norms))


def _frozen(layers: list[tuple[Tensor, Tensor]], rows: Rows, features: Tensor | None) -> Tensor:
    """relu(max_i W_L relu(... W_1 [p_i, f_i] + b_1) + b_L) of each group."""
    make, scratch = first_layer(rows, features, *layers[0]), rows.scratch(len(layers[0][1]))
    (last, bias), out = layers[-1], scratch.new_empty(len(rows.starts) - 1, len(layers[-1][1]))
    for here in rows.blocks:
        (a, b), (first, end) = here.rows, here.groups
        x = scratch[: in_steps(b - a)]
        x[b - a :] = 0
        make(a, b, x[: b - a])
        for weight, shift in layers[1:-1]:
            x = times(x.relu_(), weight, shift)
        y = times(x.relu_(), last)
        row_loops.largest_frozen(*(v.numpy() for v in (y, rows.starts[first : end + 1], bias, out[first:end])))
    return out
