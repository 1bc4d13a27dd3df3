"""The point-cloud encoder E_P: PointNet++ on the local cloud of a cell (EAIL sections 4.1 and 5.1).

EAIL says "PointNet++" and 8192 points of a local 1 m² region; variants, radii and widths here are those of the
PointNet++ classification nets, in metres. Shared multi-layer perceptrons are matrix products over channels-last
rows, and the first of each level is applied to points before they are grouped, which is the same sum with less work.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from eailkit.encoders._norm import norm_rows
from eailkit.encoders._points.encode import fold, global_features, is_ours
from eailkit.encoders._points.training import norm_max, offsets_norm_max
from eailkit.encoders.neighbours import Neighbours, find_neighbours
from eailkit.errors import ConfigError


@dataclass(frozen=True)
class Level:
    """One set-abstraction level: how many centres, and per radius the radius (m), group size and layer widths.

    Attributes:
        spacing_m: of the lattice on which the groups are laid, m: the points nearest to the middle of each box
            (`neighbours.lattice_points`), around their mean. Meant for the last level before the one that groups all:
            a level above would find its neighbours among the boxes' points, not their means. None takes farthest
            points and balls in index order, as PointNet++ does.
    """

    centres: int
    radii_m: tuple[float, ...]
    samples: tuple[int, ...]
    widths: tuple[tuple[int, ...], ...]
    spacing_m: float | None = None


@dataclass(frozen=True)
class PointsConfig:
    """Layout of a PointNet++.

    Attributes:
        levels: the set-abstraction levels. SSG: 512 centres x 32 within 0.2 m, then 128 x 64 within 0.4 m.
            Quick: one level of 40 centres x 24 within 0.3 m, from 512 points, a group a box of a third of a metre.
        global_widths: layers of the last level, which groups all. SSG and MSG: (256, 512, 1024). Quick: (128, 256).
        embed_dim: length of the output vector. SLIP: 512. Quick: 128. None gives the global feature itself.
    """

    levels: tuple[Level, ...]
    global_widths: tuple[int, ...] = (256, 512, 1024)
    embed_dim: int | None = None


_SSG = (
    Level(512, (0.2,), (32,), ((64, 64, 128),)),
    Level(128, (0.4,), (64,), ((128, 128, 256),)),
)
_MSG = (
    Level(512, (0.1, 0.2, 0.4), (16, 32, 128), ((32, 32, 64), (64, 64, 128), (64, 96, 128))),
    Level(128, (0.2, 0.4, 0.8), (32, 64, 128), ((64, 64, 128), (128, 128, 256), (128, 128, 256))),
)
_QUICK = (Level(40, (0.3,), (24,), ((32, 64),), spacing_m=1 / 3),)

VARIANTS: dict[str, PointsConfig] = {
    "ssg": PointsConfig(_SSG),  # 807,744 parameters
    "msg": PointsConfig(_MSG),  # 1,079,424 parameters
    "quick": PointsConfig(_QUICK, global_widths=(128, 256)),
}
POINTS_PAPER = PointsConfig(_SSG, (256, 512, 1024), embed_dim=512)
POINTS_QUICK = PointsConfig(_QUICK, (128, 256), embed_dim=128)


class RowNorm(nn.BatchNorm1d):
    """Batch norm over the last dimension, whatever the dimensions before it; statistics are float32 under autocast.

    Shape:
        (..., C) -> (..., C)
    """

    def forward(self, x: Float[Tensor, "... channels"]) -> Float[Tensor, "... channels"]:
        """Normalised rows."""
        if self.training:
            self.num_batches_tracked.add_(1)
        statistics = self.running_mean, self.running_var
        y = F.batch_norm(_rows(x), *statistics, self.weight, self.bias, self.training, self.momentum, self.eps)
        return y.permute(0, 2, 3, 1).reshape(x.shape)

    def relu(self, x: Float[Tensor, "groups samples channels"]) -> Float[Tensor, "groups samples channels"]:
        """Positive parts of normalised rows, in training."""
        if x.is_cpu and x.dtype == self.weight.dtype and torch.is_grad_enabled():
            return norm_rows(x, self)
        return F.relu(self(x), inplace=True)

    def maximum(self, x: Float[Tensor, "groups samples channels"]) -> Float[Tensor, "groups channels"]:
        """The largest normalised row of each group, in training; on a CPU without writing all normalised rows."""
        return norm_max(x, self) if x.is_cpu else self(x).amax(dim=1)


def _rows(x: Tensor) -> Tensor:
    return x.reshape(1, 1, -1, x.shape[-1]).permute(0, 3, 1, 2)  # (1, C, 1, M), channels last: the layout that is fast


class SharedMLP(nn.Module):
    """The same small network on every point of every group, then the maximum over each group (PointNet++ eq. 1).

    y_s = max_{j in group(s)} MLP([p_j - c_s, f_j]), each layer linear, batch norm, ReLU.

    The first layer is a sum, W_p (p_j - c_s) + W_f f_j + b, so W_f f_j is computed once per point and then gathered;
    offsets are subtracted in float32 before any product, so bfloat16 never sees absolute coordinates. ReLU and
    maximum commute, so the last ReLU acts on the pooled values. In eval each batch norm is folded into its layer and
    groups pass in chunks that fit a core's cache; in training on a CPU a level of two layers without features, as
    "quick" has, does as well (`offsets_norm_max`). Levels on farthest points pass by here on a CPU: `_points.encode`.
    """

    chunk_rows = 4096

    def __init__(self, feature_channels: int, widths: tuple[int, ...]):
        super().__init__()
        sizes = [feature_channels + 3, *widths]
        self.linears = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:], strict=True))
        self.norms = nn.ModuleList(RowNorm(b) for b in widths)

    def forward(
        self,
        offsets: Float[Tensor, "groups samples 3"],
        features: Float[Tensor, "points channels"] | None = None,
        index: Int[Tensor, "groups samples"] | None = None,
    ) -> Float[Tensor, "groups width"]:
        """Pooled features of the groups.

        Args:
            offsets: p_j - c_s in metres, float32.
            features: f of all points of all clouds, or None at the first level.
            index: rows j of features, one per offset; None without features.
        """
        if self.training and features is None and len(self.linears) == 2 and _float32_on_cpu(offsets, self):
            (first, second), (norm, last) = self.linears, self.norms
            return F.relu(offsets_norm_max(offsets, first, norm, second, last))
        layers = [(linear.weight, linear.bias) for linear in self.linears]
        if not self.training:
            layers = [fold(linear, norm) for linear, norm in zip(self.linears, self.norms, strict=True)]
        projected = None if features is None else F.linear(features, layers[0][0][:, 3:])
        if self.training or torch.is_grad_enabled() or not offsets.is_cpu:
            return self._groups(layers, offsets, projected, index)
        size = max(1, self.chunk_rows // offsets.shape[1])
        return torch.cat(
            [
                self._groups(layers, offsets[i : i + size], projected, None if index is None else index[i : i + size])
                for i in range(0, len(offsets), size)
            ]
        )

    def _groups(self, layers: list, offsets: Tensor, projected: Tensor | None, index: Tensor | None) -> Tensor:
        device = offsets.device.type
        with torch.autocast(device, enabled=False):
            x = F.linear(offsets, layers[0][0][:, :3].float(), layers[0][1].float())  # (G, K, C)
        if torch.is_autocast_enabled(device):
            x = x.to(torch.get_autocast_dtype(device))
        if projected is not None:
            x = x + projected.index_select(0, index.reshape(-1)).view(x.shape)
        for (weight, bias), norm in zip(layers[1:], self.norms, strict=False):
            x = norm.relu(x) if self.training else F.relu(x, inplace=True)
            x = F.linear(x, weight, bias)
        return F.relu(self.norms[-1].maximum(x) if self.training else x.amax(dim=1))  # (G, K, C) -> (G, C)


def _float32_on_cpu(offsets: Tensor, module: nn.Module) -> bool:
    found = (offsets, *module.parameters())
    return not offsets.requires_grad and all(t.is_cpu and t.dtype == torch.float32 for t in found)


def _flat(index: Tensor, n: int) -> Tensor:
    """Indices into the N points of each cloud as indices into the rows of all clouds, one after the other."""
    start = torch.arange(len(index), device=index.device).mul_(n)
    return index.long() + start.view(-1, *[1] * (index.ndim - 1))


def group_means(xyz: Float[Tensor, "points 3"], index: Int[Tensor, "groups samples"]) -> Float[Tensor, "groups 3"]:
    """The mean of each group's members, one that repeats the first not counted again.

    Where a lattice's groups lie: a member more or less moves it by a twentieth of its distance, where another point
    that is taken for the centre would move all offsets by a decimetre.
    """
    counts = (index != index[:, :1]).to(xyz.dtype)
    counts[:, 0] = 1
    return torch.einsum("gk,gkc->gc", counts, xyz[index]) / counts.sum(1, keepdim=True)


class PointNet2(nn.Module):
    """Encode local clouds with PointNet++ (single-scale, multi-scale or quick).

    EAIL doesn't say which PointNet++; single-scale grouping ("ssg") is the default because its cost at 8192 points
    and 400 cells a room is bearable and the multi-scale net was made for uneven density on unit-sphere objects. The
    cloud keeps its metres (no unit sphere): the height of a worktop is information, and 0.2 m stays 0.2 m.

    Repeated points (cells that hold fewer points than asked are filled by repetition) change nothing but the batch
    statistics: every aggregation is a maximum. The net has no dropout and its sampling starts at index 0, so the same
    cloud gives the same vector in eval.

    Args:
        variant: "ssg" (807,744 parameters, global feature 1024), "msg" (1,079,424) or "quick" (for CPUs).
        embed_dim: length of the output; None gives the global feature (1024; 256 for quick).
        config: a layout of your own, instead of a variant.

    Shape:
        forward: (B, N, 3) -> (B, embed_dim)

    Example:
        >>> PointNet2("quick", embed_dim=128).eval()(torch.rand(2, 512, 3)).shape
        torch.Size([2, 128])
    """

    def __init__(self, variant: str = "ssg", embed_dim: int | None = None, *, config: PointsConfig | None = None):
        super().__init__()
        if config is None:
            if variant not in VARIANTS:
                raise ConfigError(f"PointNet2: found variant {variant!r}; expected one of {', '.join(VARIANTS)}.")
            config = VARIANTS[variant]
            config = PointsConfig(config.levels, config.global_widths, embed_dim)
        self.config = config
        self.levels = nn.ModuleList()
        channels = 0
        for level in config.levels:
            self.levels.append(nn.ModuleList(SharedMLP(channels, widths) for widths in level.widths))
            channels = sum(widths[-1] for widths in level.widths)
        self.everything = SharedMLP(channels, config.global_widths)
        channels = config.global_widths[-1]
        self.embed_dim = config.embed_dim or channels
        self.projection: nn.Module = nn.Linear(channels, config.embed_dim) if config.embed_dim else nn.Identity()

    @classmethod
    def from_config(cls, config: PointsConfig) -> PointNet2:
        """The encoder that a config describes."""
        return cls(config=config)

    def neighbours(self, points: Float[Tensor, "batch n 3"], *, first: int = 0) -> Neighbours:
        """Farthest points and ball queries of every level, to compute once per room and index by batch."""
        levels = tuple((level.centres, level.radii_m, level.samples, level.spacing_m) for level in self.config.levels)
        return find_neighbours(points, levels, first=first)

    def forward(
        self, points: Float[Tensor, "batch n 3"], neighbours: Neighbours | None = None
    ) -> Float[Tensor, "batch embed"]:
        """Features F^P of the clouds, not normalised (the losses normalise).

        Args:
            points: metres, centred on cell and floor.
            neighbours: of exactly these points; computed here where not given.

        Raises:
            ValueError: the neighbours belong to another number of clouds.
        """
        if neighbours is None:
            neighbours = self.neighbours(points)
        if len(neighbours) != len(points):
            raise ValueError(
                f"neighbours: found {len(neighbours)} clouds for {len(points)} clouds of points; expected those of the "
                "same batch; index both alike."
            )
        neighbours = neighbours.to(points.device)
        if is_ours(self, points):  # the same numbers, sooner
            return self.projection(global_features(self, points, neighbours))
        batch, n, _ = points.shape
        xyz, features = points.float().reshape(-1, 3), None  # rows of all clouds, one after the other
        shapes = (level.spacing_m for level in self.config.levels)
        for level, spacing_m, centres, groups in zip(
            self.levels, shapes, neighbours.centres, neighbours.groups, strict=True
        ):
            if spacing_m is None:
                centre_xyz = xyz[_flat(centres, n).view(-1)]  # (B S, 3)
            else:
                centre_xyz = group_means(xyz, _flat(groups[0], n).flatten(0, 1))
            pooled = []
            for mlp, group in zip(level, groups, strict=True):
                index = _flat(group, n).flatten(0, 1)  # (B S, K)
                pooled.append(mlp(xyz[index] - centre_xyz[:, None], features, None if features is None else index))
            xyz, features, n = centre_xyz, torch.cat(pooled, dim=-1) if len(pooled) > 1 else pooled[0], centres.shape[1]
        index = torch.arange(batch * n, device=xyz.device).view(batch, n)
        return self.projection(self.everything(xyz.view(batch, n, 3), features, index))  # one group of all centres
