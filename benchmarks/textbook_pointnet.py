"""PointNet++ the textbook way, as the slow reference: what `benchmarks.encoders_speed` measures ours against.

Farthest points in a Python loop over tensors, balls by the distances of all centres to all points and a sort, shared
perceptrons as 1 x 1 `Conv2d` and `BatchNorm2d` over grouped, concatenated inputs (Qi et al. 2017, sections 3.2, 3.3).
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from eailkit.encoders.points import PointNet2, PointsConfig, SharedMLP


def farthest_points(xyz: Float[Tensor, "batch n 3"], count: int, first: int | None) -> Int[Tensor, "batch count"]:
    """Indices that spread over each cloud, one step of Python after the other; `first` None draws the first point."""
    batch, n, _ = xyz.shape
    rows = torch.arange(batch)
    chosen = torch.zeros(batch, count, dtype=torch.long)
    nearest = torch.full((batch, n), torch.inf)
    current = torch.randint(n, (batch,)) if first is None else torch.full((batch,), first)
    for k in range(count):
        chosen[:, k] = current
        nearest = torch.minimum(nearest, (xyz - xyz[rows, current][:, None]).square().sum(-1))
        current = nearest.argmax(dim=-1)
    return chosen


def ball_query(
    xyz: Float[Tensor, "batch n 3"], centres: Float[Tensor, "batch s 3"], radius_m: float, samples: int
) -> Int[Tensor, "batch s samples"]:
    """The first points within a radius, by sorting an index for each pair of centre and point."""
    n = xyz.shape[1]
    squared = centres.square().sum(-1)[..., None] + xyz.square().sum(-1)[:, None] - 2 * centres @ xyz.transpose(1, 2)
    index = torch.arange(n).expand(squared.shape).clone()
    index[squared > radius_m**2] = n
    index = index.sort(dim=-1).values[..., :samples]
    return torch.where(index == n, index[..., :1], index)


class TextbookPointNet2(nn.Module):
    """PointNet++ of a layout without lattices, with the parameters of `PointNet2` under `load_from`.

    Shape:
        forward: (B, N, 3) -> (B, embed_dim)
    """

    def __init__(self, config: PointsConfig):
        super().__init__()
        self.config = config
        self.levels = nn.ModuleList()
        channels = 0
        for level in config.levels:
            self.levels.append(nn.ModuleList(_layers(channels + 3, widths) for widths in level.widths))
            channels = sum(widths[-1] for widths in level.widths)
        self.everything = _layers(channels + 3, config.global_widths)
        channels = config.global_widths[-1]
        self.projection = nn.Linear(channels, config.embed_dim) if config.embed_dim else nn.Identity()

    def load_from(self, net: PointNet2) -> TextbookPointNet2:
        """Take the parameters and running statistics of ours; returns itself."""
        pairs = [pair for here, there in zip(self.levels, net.levels, strict=True) for pair in zip(here, there)]
        for layers, shared in [*pairs, (self.everything, net.everything)]:
            _load_layers(layers, shared)
        self.projection.load_state_dict(net.projection.state_dict())
        return self

    def forward(self, points: Float[Tensor, "batch n 3"], first: int | None = None) -> Float[Tensor, "batch embed"]:
        """Features of the clouds; `first` is the index of each level's first centre, drawn where None."""
        xyz, features, rows = points, None, torch.arange(len(points))[:, None]
        for level, perceptrons in zip(self.config.levels, self.levels, strict=True):
            centres = xyz[rows, farthest_points(xyz, level.centres, first)]
            pooled = []
            for radius_m, samples, perceptron in zip(level.radii_m, level.samples, perceptrons, strict=True):
                index = ball_query(xyz, centres, radius_m, samples)
                grouped = xyz[rows[..., None], index] - centres[:, :, None]
                if features is not None:
                    grouped = torch.cat([grouped, features[rows[..., None], index]], dim=-1)
                pooled.append(perceptron(grouped.permute(0, 3, 2, 1)).amax(dim=2))  # (B, C, K, S) -> (B, C, S)
            xyz, features = centres, torch.cat(pooled, dim=1).transpose(1, 2)
        grouped = torch.cat([xyz, features], dim=-1)[:, None].permute(0, 3, 2, 1)
        return self.projection(self.everything(grouped).amax(dim=2)[..., 0])


def _layers(channels: int, widths: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in zip((channels, *widths), widths, strict=False):
        layers += [nn.Conv2d(a, b, 1), nn.BatchNorm2d(b), nn.ReLU()]
    return nn.Sequential(*layers)


@torch.no_grad()
def _load_layers(layers: nn.Sequential, shared: SharedMLP) -> None:
    for conv, norm, linear, theirs in zip(layers[::3], layers[1::3], shared.linears, shared.norms, strict=True):
        conv.weight.copy_(linear.weight[:, :, None, None])
        conv.bias.copy_(linear.bias)
        norm.load_state_dict(theirs.state_dict())
