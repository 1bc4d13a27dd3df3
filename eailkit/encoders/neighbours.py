"""Farthest points and ball query: which points stand for a cloud, and who is near them (PointNet++ section 3).

Compiled by numba and exact: the same float32 arithmetic and the same tie rules as a naive loop, so that the result
never depends on the machine. Indices are small integers that can be computed once for a room, stored, and indexed by
batch, since they depend on nothing but coordinates. Features and gradients live in `eailkit.encoders.points`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from eailkit.encoders._points import search
from eailkit.encoders._threads import parts_of, side_by_side
from eailkit.errors import CheckpointError, ConfigError


def _index_dtype(n: int) -> type:
    return np.int16 if n <= np.iinfo(np.int16).max else np.int32


def _as_clouds(points: Float[np.ndarray, "batch n 3"]) -> Float[np.ndarray, "batch 3 n"]:
    if points.ndim != 3 or points.shape[-1] != 3 or points.shape[1] == 0:
        raise ValueError(f"points: found shape {tuple(points.shape)}; expected (B, N, 3) with N of at least 1.")
    if not np.isfinite(points).all():
        raise ValueError("points: found NaN or infinite coordinates; expected finite metres; filter the cloud first.")
    return np.ascontiguousarray(np.swapaxes(points.astype(np.float32, copy=False), 1, 2))


def farthest_points(
    points: Float[np.ndarray, "batch n 3"], n_centres: int, *, first: int = 0
) -> Int[np.ndarray, "batch centres"]:
    """Indices of points that spread over a cloud: each next one is the farthest from all chosen before.

    c_0 = first,  c_k = argmax_i min_{j < k} ||p_i - p_{c_j}||^2,  the lowest index where several tie.

    The common code starts at a random point, in evaluation too, so that the same cloud gives another answer each
    time; here the first point is index 0 unless told otherwise. Once every distinct point is taken, all distances
    are zero and index 0 repeats: clouds filled by repetition give repeated centres, harmless under max pooling.

    Args:
        points: coordinates in metres; computed in float32.
        n_centres: how many to choose.
        first: index of the first centre.

    Raises:
        ValueError: a shape other than (B, N, 3), or coordinates that aren't finite.
    """
    clouds = _as_clouds(points)
    chosen = np.empty((len(clouds), n_centres), dtype=_index_dtype(clouds.shape[2]))

    def choose(part: slice) -> None:
        for cloud, out in zip(clouds[part], chosen[part], strict=True):
            once = search.period(*cloud)  # what a cloud repeats is never farther than what it repeats
            search.farthest_points(*(cloud if first >= once else cloud[:, :once]), first, out)

    side_by_side(choose, parts_of(len(clouds)))
    return chosen


LATTICE_SIDE = 64  # boxes a side, around the origin; what lies farther out counts as in the last one


def lattice_points(
    points: Float[np.ndarray, "batch n 3"], n_centres: int, spacing_m: float
) -> tuple[Int[np.ndarray, "batch centres"], Float[np.ndarray, "batch centres 3"]]:
    """The boxes of a lattice that hold a cloud: centres that don't hang on a chain.

    Each farthest point hangs on all before it, so that one point more or less in a scan gives other centres
    everywhere. Here a box answers for itself. Of more than `n_centres` boxes those with most points stay; fewer are
    filled by repetition, harmless under max pooling.

    Args:
        points: coordinates in metres; computed in float32.
        n_centres: how many boxes to choose.
        spacing_m: side of a box, m. The origin lies in the middle of a box's floor.

    Returns:
        Index of the point nearest to the middle of each box, and the middles, m.

    Raises:
        ValueError: a shape other than (B, N, 3), or coordinates that aren't finite.
    """
    clouds = _as_clouds(points)
    chosen = np.empty((len(clouds), n_centres), dtype=_index_dtype(clouds.shape[2]))
    middles = np.empty((len(clouds), n_centres, 3), np.float32)
    boxes, spacing = LATTICE_SIDE**3, np.float32(spacing_m)
    count, nearest, member = np.empty(boxes, np.int64), np.empty(boxes, np.float32), np.empty(boxes, np.int64)
    for cloud, at, middle in zip(clouds, chosen, middles, strict=True):
        search.lattice_points(cloud[0], cloud[1], cloud[2], spacing, LATTICE_SIDE, at, middle, count, nearest, member)
    return chosen, middles


def nearest_in_ball(
    points: Float[np.ndarray, "batch n 3"],
    middles_m: Float[np.ndarray, "batch centres 3"],
    radius_m: float,
    n_samples: int,
) -> Int[np.ndarray, "batch centres samples"]:
    """The `n_samples` points nearest to each middle within a radius (inclusive), the nearest first.

    PointNet++ takes the first points in index order around a point, which hangs on how a cloud was drawn; the distance
    from a place doesn't. Fewer are filled by the nearest, none by the first point of the cloud. Points that only repeat
    the first ones, as where a cloud is filled up, take no place in a group.

    Args:
        middles_m: places, metres.
        points, radius_m, n_samples, Raises: as `ball_query`.
    """
    clouds = _as_clouds(points)
    groups = np.empty((*middles_m.shape[:2], n_samples), dtype=_index_dtype(clouds.shape[2]))
    radius_squared, away = np.float32(radius_m) * np.float32(radius_m), np.empty(n_samples, np.float32)
    for cloud, middle, out in zip(clouds, middles_m.astype(np.float32, copy=False), groups, strict=True):
        search.nearest_in_ball(cloud[0], cloud[1], cloud[2], middle, radius_squared, out, away)
    return groups


def ball_query(
    points: Float[np.ndarray, "batch n 3"], centres: Int[np.ndarray, "batch centres"], radius_m: float, n_samples: int
) -> Int[np.ndarray, "batch centres samples"]:
    """The first `n_samples` points, in index order, within a radius of each centre (inclusive).

    Where fewer are found, the rest repeats the first one found, as in PointNet++; max pooling doesn't notice.

    Args:
        points: coordinates in metres; computed in float32.
        centres: indices into the points, from `farthest_points`.
        radius_m: metres.
        n_samples: size of each group.

    Raises:
        ValueError: as `farthest_points`.
    """
    clouds = _as_clouds(points)
    groups = np.empty((*centres.shape, n_samples), dtype=_index_dtype(clouds.shape[2]))
    radius_squared = np.float32(radius_m) * np.float32(radius_m)

    def query(part: slice) -> None:
        for cloud, centre, out in zip(clouds[part], centres[part], groups[part], strict=True):
            n, once = cloud.shape[1], search.period(*cloud)
            search.ball_query(*cloud[:, :once], centre % once if once < n else centre, radius_squared, out)
            if once < n:
                search.repeated_balls(n, once, out)

    side_by_side(query, parts_of(len(clouds)))
    return groups


@dataclass(frozen=True)
class Neighbours:
    """Which points every set-abstraction level of a PointNet++ looks at, for a batch of clouds.

    Level l takes `centres[l]` out of the points of level l - 1 and groups `groups[l][r]` around them, one group per
    radius r; of a level on a lattice the groups lie around the middles of its boxes. Indices are int16 where they fit,
    so a room of 400 quick clouds takes 0.7 MB.

    Attributes:
        centres: per level (B, S).
        groups: per level and radius (B, S, K).
    """

    centres: tuple[Int[Tensor, "batch centres"], ...]
    groups: tuple[tuple[Int[Tensor, "batch centres samples"], ...], ...]

    def __len__(self) -> int:
        return len(self.centres[0])

    def _map(self, change: Callable[[Tensor], Tensor]) -> Neighbours:
        return Neighbours(
            tuple(change(c) for c in self.centres), tuple(tuple(change(g) for g in level) for level in self.groups)
        )

    def __getitem__(self, index: Tensor | slice | list[int]) -> Neighbours:
        """The neighbours of some of the clouds, by slice, list, index tensor or mask."""
        return self._map(lambda t: t[index])

    def to(self, device: torch.device | str) -> Neighbours:
        """The same indices on a device."""
        return self._map(lambda t: t.to(device))

    @staticmethod
    def cat(parts: list[Neighbours]) -> Neighbours:
        """Neighbours of several batches, one after the other."""
        centres = tuple(torch.cat(level) for level in zip(*(p.centres for p in parts), strict=True))
        groups = tuple(
            tuple(torch.cat(radius) for radius in zip(*level, strict=True))
            for level in zip(*(p.groups for p in parts), strict=True)
        )
        return Neighbours(centres, groups)

    def arrays(self) -> dict[str, np.ndarray]:
        """Plain arrays to store, by name ("centres_0", "groups_0_0", ...); `from_arrays` reads them back."""
        named = {f"centres_{i}": c for i, c in enumerate(self.centres)}
        named |= {f"groups_{i}_{j}": g for i, level in enumerate(self.groups) for j, g in enumerate(level)}
        return {name: tensor.cpu().numpy() for name, tensor in named.items()}

    @staticmethod
    def from_arrays(arrays: Mapping[str, np.ndarray]) -> Neighbours:
        """Neighbours as stored by `arrays`; other names in the mapping are left alone.

        Raises:
            CheckpointError: no neighbours are among the arrays.
        """
        centres, groups = [], []
        while f"centres_{len(centres)}" in arrays:
            i, level = len(centres), []
            while f"groups_{i}_{len(level)}" in arrays:
                level.append(torch.from_numpy(np.asarray(arrays[f"groups_{i}_{len(level)}"])))
            centres.append(torch.from_numpy(np.asarray(arrays[f"centres_{i}"])))
            groups.append(tuple(level))
        if not centres:
            raise CheckpointError(
                f"neighbours: found arrays {sorted(arrays)[:6]}; expected centres_0, groups_0_0, ...; "
                "compute them again with PointNet2.neighbours(points)."
            )
        return Neighbours(tuple(centres), tuple(groups))


def find_neighbours(
    points: Float[Tensor, "batch n 3"],
    levels: tuple[tuple[int, tuple[float, ...], tuple[int, ...], float | None], ...],
    *,
    first: int = 0,
) -> Neighbours:
    """Centres and ball queries of every level, on the CPU.

    Args:
        points: metres.
        levels: per level (number of centres, radii in metres, group sizes, spacing in metres of the lattice that
            the groups are laid on, with the nearest points around the middles of its boxes, or None for
            PointNet++'s farthest points and balls in index order).
        first: index of the first centre of every level.

    Raises:
        ConfigError: more centres are asked for than the level below has points.
    """
    clouds = points.detach().float().cpu().numpy()
    centres, groups = [], []
    for n_centres, radii_m, n_samples, spacing_m in levels:
        if n_centres > clouds.shape[1]:
            raise ConfigError(
                f"PointNet2: found {clouds.shape[1]} points for {n_centres} centres; expected at least as many points "
                "as centres; sample more points a cell or take a smaller variant."
            )
        if spacing_m is None:
            chosen, query = farthest_points(clouds, n_centres, first=first), ball_query
            around = chosen
        else:
            (chosen, around), query = lattice_points(clouds, n_centres, spacing_m), nearest_in_ball
        centres.append(torch.from_numpy(chosen))
        groups.append(
            tuple(torch.from_numpy(query(clouds, around, r, k)) for r, k in zip(radii_m, n_samples, strict=True))
        )
        clouds = np.take_along_axis(clouds, chosen.astype(np.int64)[..., None], axis=1)
    return Neighbours(tuple(centres), tuple(groups))
