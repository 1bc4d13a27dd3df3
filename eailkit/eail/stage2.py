"""EAIL's second stage: reason over time and space to a trajectory and to actions (EAIL section 4.2, Fig. 3).

`SpatioTemporalReasoner` takes the frozen features of stage 1 and gives one map of confidences a second, and one
action. The paper names the blocks and their inputs; widths, depths, kernels and norms are ours and stand in
`Stage2Config`. Features come from `stage1`; training and running it live in `inference`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from eailkit.errors import ConfigError
from eailkit.losses import action_loss, trajectory_loss
from eailkit.preprocess.mapgrid import SIDE

BLOCKS = ("full", "light")


@dataclass(frozen=True)
class Stage2Config:
    """What stage 2 is made of.

    Attributes:
        embed_dim: d of the stage-1 features.
        channels: width of the 3D convolutions (quick 16; the paper doesn't say).
        temporal_kernel: seconds that one temporal convolution sees; `temporal_depth` of them see
            1 + depth * (kernel - 1) seconds, more than the paper's T = 10.
        blocks: "full": 5 x 3 x 3 kernels that mix all channels, GroupNorm over 4 groups, GELU. "light": each channel
            over 3 x 3 cells, then over 5 seconds, then channels mixed, which has the same reach with a fifteenth of
            the products; one group, ReLU, and half as wide a location head. The paper says 3D convolutions and no
            more. At quick, over two seeds, the intervals of validation success can't tell the two apart (0.4 m: +0.4
            [-1.7, 3.4] points), RS is a point lower (-1.0 [-2.4, 0.6]), and a step takes a third of the time with
            AVX2, half with AVX-512. A checkpoint that doesn't say is "full".
        spatial_dilations: of the dilated 3D convolutions; 1, 2, 4 and 1 see 17 of the 20 cells.
        actions: number of classes (35 in the paper).
        action_hidden: width of the action MLP; the paper doesn't say.
        place_code: whether the volumes know where in the square a cell lies: five numbers of its place, each weighed by
            the motion, so that "faces this way" can say "stands on that side". Convolutions alone forget it, and the
            paper doesn't say.
        temporal, spatial: whether the module is there (Table 3).
        imu_residual, points_residual: the two residuals (Table 5).
        use_points: whether the action head sees the map, location_attention: through the predicted
            location (Table 4; False means the mean of all cells).
        detach_location: whether the action loss stops at the predicted location. The paper doesn't say; its Table 3
            finds that the action loss helps localization, which needs the gradient, so the default lets it pass.
    """

    embed_dim: int = 128
    channels: int = 16
    temporal_kernel: int = 5
    temporal_depth: int = 3
    blocks: str = "full"
    spatial_dilations: tuple[int, ...] = (1, 2, 4, 1)
    actions: int = 35
    action_hidden: int = 128
    action_dropout: float = 0.3
    place_code: bool = False
    temporal: bool = True
    spatial: bool = True
    imu_residual: bool = True
    points_residual: bool = True
    use_points: bool = True
    location_attention: bool = True
    detach_location: bool = False

    def __post_init__(self):
        if self.blocks not in BLOCKS:
            raise ConfigError(f"blocks: found '{self.blocks}'; expected one of {', '.join(BLOCKS)}; choose one.")

    def to_dict(self) -> dict:
        """Plain values, for a checkpoint's config file."""
        return asdict(self)


def correspondence_heatmap(
    imu: Float[Tensor, "batch time dim"], points: Float[Tensor, "#batch cells dim"], empty: Bool[Tensor, "#batch cells"]
) -> Float[Tensor, "batch time cells"]:
    """H_t,s = cos(F^M_t, F^P_s), the similarity of a second's motion and a place (EAIL section 4.2.1).

    The paper says "similarity"; cosine is what the contrast of stage 1 trained. Empty cells are 0, neither
    like nor unlike: without points there is nothing to compare.
    """
    heat = torch.einsum("btd,bsd->bts", F.normalize(imu, dim=-1), F.normalize(points, dim=-1))
    return heat.masked_fill(empty[:, None, :], 0.0)


def place_code() -> Float[Tensor, "cells 5"]:
    """x, y, x^2 - y^2, 2 x y and x^2 + y^2 of each cell, -1 to 1 across the square; row y, column x."""
    axis = (torch.arange(SIDE) + 0.5) * 2 / SIDE - 1
    y, x = (v.flatten() for v in torch.meshgrid(axis, axis, indexing="ij"))
    return torch.stack([x, y, x * x - y * y, 2 * x * y, x * x + y * y], dim=1)


def location_attention(
    location: Float[Tensor, "batch time cells"], points: Float[Tensor, "#batch cells dim"]
) -> Float[Tensor, "batch time dim"]:
    """What the map holds where the model believes the wearer is: sum_s y_t,s F^P_s (EAIL section 4.2.2)."""
    return torch.einsum("bts,bsd->btd", location, points)


class _Block(nn.Module):
    """Convolution, GroupNorm, activation, and the input added: (B, C, T, 20, 20) stays (B, C, T, 20, 20)."""

    def __init__(self, light: bool, channels: int, kernel: tuple[int, int, int], dilation: int = 1):
        super().__init__()
        if light:
            self.conv = _SeparableConv(channels, kernel, dilation)
        else:
            spread = (1, dilation, dilation)
            padding = tuple((k - 1) // 2 * s for k, s in zip(kernel, spread, strict=True))
            self.conv = nn.Conv3d(channels, channels, kernel, padding=padding, dilation=spread, bias=False)
        # batches are small and rooms differ: no running statistics
        self.norm = nn.GroupNorm(1 if light else 4, channels)
        self.activation = F.relu if light else F.gelu

    def forward(self, x: Tensor) -> Tensor:
        return x + self.activation(self.norm(self.conv(x)))


class _SeparableConv(nn.Module):
    """A 3D convolution in three steps: over cells, over seconds (each channel alone), over channels.

    Neither bias nor activation stands between them, so it is one linear map with the reach of the whole kernel.
    All three run as 2D convolutions on views of channels-last memory: CPUs have fast kernels for those alone.
    """

    def __init__(self, channels: int, kernel: tuple[int, int, int], dilation: int = 1):
        super().__init__()
        seconds, cells = kernel[0], kernel[1]
        self.dilation = dilation
        same = {"padding": "same", "groups": channels, "bias": False}
        self.space = nn.Conv2d(channels, channels, cells, **same)
        self.time = nn.Conv2d(channels, channels, (seconds, 1), **same) if seconds > 1 else None
        self.mix = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        batch, _, time, side, _ = x.shape
        d = self.dilation
        # cells that are d apart form a map of their own, so that a dilated kernel is a plain one on d * d small maps
        maps = rearrange(x, "b c t (y i) (x j) -> (b t i j) y x c", i=d, j=d)  # a view where d = 1
        maps = self.space(rearrange(maps, "n y x c -> n c y x"))
        y = rearrange(maps, "(b t i j) c y x -> b t (y i x j) c", b=batch, t=time, i=d, j=d)
        y = rearrange(y, "b t s c -> b c t s")
        if self.time is not None:
            y = self.time(y)
        return rearrange(self.mix(y), "b c t (y x) -> b c t y x", y=side)


class SpatioTemporalReasoner(nn.Module):
    """Heatmaps, temporal module, spatial module, location and action heads (EAIL section 4.2, Fig. 3).

    Attributes:
        stage1_tag: of the stage 1 whose features it was trained on (`provenance.weights_tag`), "" where unknown.
    """

    stage1_tag = ""

    def __init__(self, config: Stage2Config | None = None):
        super().__init__()
        self.config = config = config or Stage2Config()
        c, d, light = config.channels, config.embed_dim, config.blocks == "light"
        self.project_imu = nn.Linear(d, c)
        self.project_points = nn.Linear(d, c)
        self.temporal_in = nn.Conv3d(1 + c, c, 1)
        if config.place_code:
            self.register_buffer("places", place_code(), persistent=False)
            self.place_weight = nn.Linear(d, self.places.shape[1] * c)
        depth = config.temporal_depth if config.temporal else 0
        self.temporal = nn.ModuleList(_Block(light, c, (config.temporal_kernel, 3, 3)) for _ in range(depth))
        self.spatial_in = nn.Conv3d(2 * c, c, 1)
        dilations = config.spatial_dilations if config.spatial else ()
        self.spatial = nn.ModuleList(_Block(light, c, (1, 3, 3), dilation) for dilation in dilations)
        hidden, activation = (c, nn.ReLU()) if light else (2 * c, nn.GELU())
        self.location = nn.Sequential(nn.Conv3d(c, hidden, 1), activation, nn.Conv3d(hidden, 1, 1))
        nn.init.zeros_(self.location[-1].weight)  # starts from a constant map, so no cell is favoured
        nn.init.zeros_(self.location[-1].bias)
        self.action = nn.Sequential(
            nn.LayerNorm(d), nn.Linear(d, config.action_hidden), nn.GELU(), nn.Dropout(config.action_dropout),
            nn.Linear(config.action_hidden, config.actions),
        )  # fmt: skip

    def forward(
        self,
        imu: Float[Tensor, "batch time dim"],
        points: Float[Tensor, "#batch cells dim"],
        empty: Bool[Tensor, "#batch cells"],
        seconds: slice | None = None,
    ) -> tuple[Float[Tensor, "batch asked cells"], Float[Tensor, "batch asked actions"]]:
        """Location logits (empty cells -inf) and action logits for each second, or for those that are asked for.

        Args:
            imu: F^M_t of stage 1, one a second, unit norm.
            points: F^P_s of stage 1, one a cell, unit norm; anything where empty. One room may serve the whole batch.
            empty: cells without a cloud.
            seconds: the rows to answer for, all where None. The temporal module sees every row all the same (its
                norms take their statistics over all of them); the spatial module and the heads, which look at each
                second alone, see the asked ones. The answer is that of a whole pass.
        """
        config, (batch, time), c = self.config, imu.shape[:2], self.config.channels
        points = points.masked_fill(empty[..., None], 0.0)
        heat = correspondence_heatmap(imu, points, empty)  # (B, T, S)
        motion = self.project_imu(imu)  # (B, T, C), the same in every cell
        place = self.project_points(points)  # (B, S, C), the same in every second

        # A 1 x 1 convolution of [heat, motion] and one of [refined, place]: what is the same in every cell or second
        # is multiplied once and added, which is the same sum. Channels come last in memory: CPUs are faster with it.
        weight, bias = self.temporal_in.weight.flatten(1), self.temporal_in.bias
        both = torch.stack([heat * 10.0, torch.ones_like(heat)], dim=-1)  # cosines are small: bring them near 1
        rows = torch.stack([weight[:, 0].expand(batch, time, c), F.linear(motion, weight[:, 1:], bias)], dim=-2)
        if config.place_code:
            both = torch.cat([both, self.places.to(both.dtype).expand(batch, time, -1, -1)], dim=-1)
            rows = torch.cat([rows, rearrange(self.place_weight(imu), "b t (k c) -> b t k c", c=c)], dim=-2)
        refined = rearrange(both @ rows, "b t (y x) c -> b c t y x", y=SIDE)
        for block in self.temporal:
            refined = block(refined)
        if seconds is not None:
            refined, motion, imu = refined[:, :, seconds], motion[:, seconds], imu[:, seconds]
            time = imu.shape[1]

        weight, bias = self.spatial_in.weight.flatten(1), self.spatial_in.bias
        # seconds become batch entries: the spatial module reasons "in the 2D spatial dimension", and the statistics
        # of its norms would otherwise carry one second's map into another's
        volume = F.conv2d(rearrange(refined, "b c t y x -> (b t) c y x"), weight[:, :c, None, None])
        volume = rearrange(volume, "(b t) c y x -> b t (y x) c", t=time)
        volume = volume + F.linear(place, weight[:, c:], bias)[:, None]
        if config.imu_residual:  # F'^M: the paper adds F^M back after the temporal module, a broadcast over the map
            volume = volume + F.linear(motion, weight[:, :c])[:, :, None]
        volume = rearrange(volume, "b t (y x) c -> (b t) c 1 y x", y=SIDE)
        for block in self.spatial:
            volume = block(volume)
        if config.points_residual:
            volume = rearrange(volume, "(b t) c 1 y x -> b t (y x) c", t=time) + place[:, None]
            volume = rearrange(volume, "b t (y x) c -> (b t) c 1 y x", y=SIDE)
        logits = rearrange(self.location(volume), "(b t) 1 1 y x -> b t (y x)", t=time)
        logits = logits.masked_fill(empty[:, None, :], float("-inf"))
        return logits, self.action_logits(imu, points, empty, logits)

    def action_logits(
        self,
        imu: Float[Tensor, "batch time dim"],
        points: Float[Tensor, "#batch cells dim"],
        empty: Bool[Tensor, "#batch cells"],
        location_logits: Float[Tensor, "batch time cells"],
    ) -> Float[Tensor, "batch time actions"]:
        """MLP(F^M_t + sum_s y_t,s F^P_s), the location-aware action head (EAIL section 4.2.2)."""
        if not self.config.use_points:
            return self.action(imu)
        if self.config.location_attention:
            location = location_logits.softmax(dim=-1)
            if self.config.detach_location:
                location = location.detach()
        else:
            location = (~empty).float()[:, None, :].expand_as(location_logits)
            location = location / location.sum(dim=-1, keepdim=True)
        return self.action(imu + location_attention(location, points))


def stage2_loss(
    location_logits: Float[Tensor, "batch headings time cells"],
    action_logits: Float[Tensor, "batch time actions"],
    cell: Int[Tensor, "batch time"],
    action: Int[Tensor, "batch time"],
    empty: Bool[Tensor, "batch cells"],
    *,
    use_action_loss: bool = True,
) -> dict[str, Tensor]:
    """L_stage2 = L_traj + L_action (EAIL section 4.2.2), seconds without a label ignored.

    The first heading is the true one. L_traj is Eq. 2 over the cells of all headings together, since the heading is a
    latent variable: a model that gives a wrong heading much weight pays as for a wrong cell. With one heading it is
    Eq. 2 itself.
    """
    every = rearrange(location_logits, "b h t s -> b t (h s)")
    trajectory = trajectory_loss(every, cell, empty.repeat(1, location_logits.shape[1]))
    if not use_action_loss:
        return {"total": trajectory, "trajectory": trajectory}
    actions = action_loss(action_logits, action)
    return {"total": trajectory + actions, "trajectory": trajectory, "action": actions}
