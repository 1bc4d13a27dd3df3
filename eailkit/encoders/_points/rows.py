"""The distinct rows of PointNet++'s levels: what a batch of clouds makes the encoder compute, each row once.

A ball with fewer points than a group holds is filled up by its first point, a cell with fewer points than a cloud holds
by the cell's own once more, and a cloud with fewer points than centres gives one centre many times. Equal rows give
equal outputs: a maximum doesn't notice, and a batch norm's statistics take a row as often as it stands there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from eailkit.encoders._points import row_loops, search
from eailkit.encoders._products import in_steps
from eailkit.encoders._threads import parts_of

BLOCK_ROWS = 4096  # of 64 channels: a megabyte


@dataclass(frozen=True)
class Block:
    """Some groups one after the other: first and last but one of the groups and of their rows."""

    groups: tuple[int, int]
    rows: tuple[int, int]


@dataclass(frozen=True)
class Rows:
    """What a level's small network is computed on.

    Attributes:
        offsets: p_i - c_g, m.
        source: i, the row of the points' features.
        weight: how many equal rows each stands for.
        starts: first row of each group, and the number of rows.
        total: of rows, with those that repeat others.
    """

    offsets: Float[Tensor, "rows 3"]
    source: Int[Tensor, " rows"]
    weight: Float[Tensor, " rows"]
    starts: Int[Tensor, " groups_and_one"]
    total: int

    @cached_property
    def blocks(self) -> list[Block]:
        """Groups one after the other, together of about `BLOCK_ROWS` rows."""
        starts = self.starts.numpy()
        borders = [0]
        while borders[-1] < len(starts) - 1:
            last = int(np.searchsorted(starts, starts[borders[-1]] + BLOCK_ROWS, side="right")) - 1
            borders.append(max(last, borders[-1] + 1))
        pairs = zip(borders[:-1], borders[1:], strict=True)
        return [Block((a, b), (int(starts[a]), int(starts[b]))) for a, b in pairs]

    def parts(self) -> list[list[Block]]:
        """The blocks of each thread."""
        return [self.blocks[part] for part in parts_of(len(self.blocks))]

    def scratch(self, channels: int) -> Tensor:
        """Rows for any of the blocks."""
        most = max(b.rows[1] - b.rows[0] for b in self.blocks)
        return self.offsets.new_empty(in_steps(most), channels)


@dataclass
class Points:
    """The distinct points of a batch of clouds, level after level.

    Attributes:
        xyz: metres.
        place: (B, N) where each point of a cloud stands among them.
        copies: how many points each stands for; starts: the first of each cloud, and their number.
    """

    xyz: Float[Tensor, "points 3"]
    place: Int[Tensor, "clouds n"]
    copies: Int[Tensor, " points"] = field(default_factory=lambda: torch.empty(0))
    starts: Int[Tensor, " clouds_and_one"] = field(default_factory=lambda: torch.empty(0))

    @staticmethod
    def of(clouds: Float[Tensor, "clouds n 3"]) -> Points:
        """A cloud's own points; one that was filled by repetition holds those before they begin anew."""
        batch, n, _ = clouds.shape
        once = [search.period(*np.ascontiguousarray(cloud.T)) for cloud in clouds.numpy()]
        place = np.arange(n)[None] % np.array(once)[:, None] + n * np.arange(batch)[:, None]
        return Points(clouds.reshape(-1, 3), torch.from_numpy(place))

    def around(self, centres: Int[Tensor, "clouds s"], groups: Int[Tensor, "clouds s k"]) -> tuple[Rows, Points]:
        """The rows of groups, and the points that their centres are."""
        count = len(self.xyz)
        met, at = np.full((2, count), -1, np.int64)
        source, weight = np.empty(groups.numel(), np.int32), np.empty(groups.numel(), np.float32)
        starts, centre, copies = np.empty((3, centres.numel() + 1), np.int64)
        place, cloud_starts = np.empty(tuple(centres.shape), np.int64), np.empty(len(centres) + 1, np.int64)
        given = (v.numpy() for v in (self.place, centres, groups))
        found = source, weight, starts, centre
        g, r = row_loops.distinct_rows(*given, met, at, found, place, copies, cloud_starts)
        source, weight, starts, centre = source[:r], weight[:r], starts[: g + 1], centre[:g]
        offsets = self.xyz.new_empty(r, 3)
        row_loops.offsets_of(self.xyz.numpy(), source, starts, centre, offsets.numpy())
        rows = Rows(offsets, *(torch.from_numpy(v) for v in (source, weight, starts)), groups.numel())
        after = (place, copies[:g], cloud_starts)
        return rows, Points(self.xyz[torch.from_numpy(centre)], *(torch.from_numpy(v) for v in after))

    def as_groups(self) -> Rows:
        """All points of each cloud as one group around the origin."""
        source = torch.arange(len(self.xyz), dtype=torch.int32)
        return Rows(self.xyz, source, self.copies.float(), self.starts, self.place.numel())
