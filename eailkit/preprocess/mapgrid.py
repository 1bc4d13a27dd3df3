"""The map as EAIL sees it: a 20 x 20 square on the floor and one local cloud a cell (EAIL section 3.2).

The square belongs to the map: it is estimated from the cloud alone, before any take. The paper says
20 x 20 segments of a room and 8192 points of a local 1 m²; extent and overlap are ours (design section 3).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from scipy import ndimage

from eailkit.errors import MapError
from eailkit.recording import PointMap

SIDE = 20  # cells a side (EAIL section 5.1)
CELLS = SIDE * SIDE  # EAIL's S
COLUMN_M = 1.0  # side of a local cloud's footprint (EAIL: local 1 m²)
MIN_POINTS = 32  # fewer and the cell is empty
BODY_BAND_M = (0.25, 1.7)  # heights above the floor at which points block a standing body
BODY_RADIUS_M = 0.15  # slimmer than a body: at a counter the head leans over what the feet can't reach
PASSAGE_M = 0.06
LEAN_M = 0.25  # how far a head leans over a counter, past the feet
MARGIN_M = 0.15  # of the square; the rest of a lean is within the pitch that labels forgive
RASTER_M = 0.05
VOXEL_M = 0.1  # a column holds about 280 nodes: few need a sample
LEAST_MASS = 0.1  # of a node, times the usual
HEAVY = 8  # times the least mass, from which a node counts in full


@dataclass(frozen=True)
class MapGrid:
    """n x n square cells on the floor; cell = row * n + column, row along world y, column along world x.

    Attributes:
        centre_xy_m: middle of the square, (2,).
        side_m: its side, m.
        floor_z_m: height of the floor in the world, m.
        n: cells a side (20: EAIL's S = 400).
    """

    centre_xy_m: Float[np.ndarray, " 2"]
    side_m: float
    floor_z_m: float
    n: int = SIDE

    @property
    def pitch_m(self) -> float:
        """Side of a cell, m."""
        return self.side_m / self.n

    @property
    def origin_xy_m(self) -> Float[np.ndarray, " 2"]:
        """The square's corner of least x and y."""
        return np.asarray(self.centre_xy_m, dtype=np.float64) - self.side_m / 2

    @property
    def cell_centres(self) -> Float[np.ndarray, "cells 2"]:
        """x and y of every cell's middle, m, in the order of cells."""
        row, column = np.divmod(np.arange(self.n * self.n), self.n)
        return self.origin_xy_m + (np.stack([column, row], axis=1) + 0.5) * self.pitch_m

    def cell_of(self, xy_m: Float[np.ndarray, "*batch 2"]) -> Int[np.ndarray, "*batch"]:
        """Index of the cell whose middle is nearest, also for positions outside.

        Raises:
            MapError: a coordinate is NaN.
        """
        xy_m = np.asarray(xy_m, dtype=np.float64)
        if np.isnan(xy_m).any():
            raise MapError(
                "cell_of: found NaN positions; expected metres in the map's frame; drop them or use label()."
            )
        index = np.clip(np.floor((xy_m - self.origin_xy_m) / self.pitch_m), 0, self.n - 1).astype(np.int64)
        return index[..., 1] * self.n + index[..., 0]

    def label(self, xy_m: Float[np.ndarray, "*batch 2"]) -> Int[np.ndarray, "*batch"]:
        """The nearest cell, or -1 where the position is unknown (NaN) or over one pitch outside the square.

        The distance is Euclidean, from the position to the square's border.
        """
        xy_m = np.asarray(xy_m, dtype=np.float64)
        over = np.maximum(np.abs(xy_m - self.centre_xy_m) - self.side_m / 2, 0.0)
        known = np.linalg.norm(over, axis=-1) <= self.pitch_m * (1 + 1e-9)  # False for NaN too
        return np.where(known, self.cell_of(np.where(np.isnan(xy_m), 0.0, xy_m)), -1)


@dataclass(frozen=True)
class LocalClouds:
    """One cloud a cell, repeated to a fixed count.

    Attributes:
        points: metres, x and y from the cell's middle, z from the floor, (cells, points, 3).
        valid: False for points that only repeat others, (cells, points).
        empty: cells with under 32 points, masked out of softmax and RS, (cells,).
        count: points of the column before sub-sampling, (cells,).
    """

    points: Float32[np.ndarray, "cells points 3"]
    valid: Bool[np.ndarray, "cells points"]
    empty: Bool[np.ndarray, " cells"]
    count: Int[np.ndarray, " cells"]


def _floor_height(z_m: Float[np.ndarray, " n"]) -> float:
    """Height of the lowest horizontal layer that holds a share of the points (5 cm bins, refined by a median)."""
    low, high = np.percentile(z_m, [0.5, 99.5])
    edges = np.arange(low - 0.1, high + 0.15, 0.05)
    counts = np.histogram(z_m, edges)[0]
    smooth = counts[:-1] + counts[1:]
    strong = np.flatnonzero(smooth >= max(0.25 * smooth.max(), 0.01 * len(z_m)))
    i = strong[0]
    while i + 1 < len(smooth) and smooth[i + 1] > smooth[i]:
        i += 1
    layer = z_m[(z_m >= edges[i]) & (z_m <= edges[i + 2])]
    return float(np.median(layer))


def _main_cluster(points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "kept 3"]:
    """The points without far outliers: those in or next to 0.5 m voxel columns of the largest connected part."""
    middle = np.median(points, axis=0)
    points = points[(np.abs(points - middle) < (30.0, 30.0, 4.0)).all(axis=1)]
    index = np.floor((points[:, :2] - points[:, :2].min(axis=0)) / 0.5).astype(int)
    counts = np.zeros(index.max(axis=0) + 1, dtype=int)
    np.add.at(counts, tuple(index.T), 1)
    parts, _ = ndimage.label(counts >= 8, structure=np.ones((3, 3)))
    if not parts.any():
        return points
    sizes = ndimage.sum_labels(counts, parts, np.arange(1, parts.max() + 1))
    return points[parts[tuple(index.T)] == 1 + int(np.argmax(sizes))]


@dataclass(frozen=True)
class _Floor:
    """Where a person can stand, judged from the cloud: a raster of `pitch_m`, index [iy, ix]."""

    free: Bool[np.ndarray, "ny nx"]
    origin_xy_m: Float[np.ndarray, " 2"]
    floor_z_m: float


def _standing_floor(points: Float[np.ndarray, "n 3"]) -> _Floor:
    points = _main_cluster(points)
    floor_z = _floor_height(points[:, 2])
    height = points[:, 2] - floor_z
    inside = (height > -0.2) & (height < 2.6)
    points, height = points[inside], height[inside]
    origin = points[:, :2].min(axis=0) - 2 * RASTER_M
    shape = np.ceil((points[:, :2].max(axis=0) + 2 * RASTER_M - origin) / RASTER_M).astype(int)[::-1]
    index = np.floor((points[:, :2] - origin) / RASTER_M).astype(int)[:, ::-1]
    body, anything = np.zeros(shape), np.zeros(shape)
    band = (height > BODY_BAND_M[0]) & (height < BODY_BAND_M[1])
    np.add.at(body, tuple(index[band].T), 1)
    np.add.at(anything, tuple(index.T), 1)
    around = 9 * ndimage.uniform_filter(body, 3, mode="constant")  # points within 1.5 raster steps
    hit = 9 * ndimage.uniform_filter(anything, 3, mode="constant") > 2.5
    interior = (_seen_directions(hit) >= 0.8) & (around < 2.5)
    room_m = ndimage.distance_transform_edt(interior) * RASTER_M
    parts, count = ndimage.label(room_m > PASSAGE_M)  # noise narrows passages, but no wall has a hole this wide
    if count:
        sizes = ndimage.sum_labels(room_m > BODY_RADIUS_M, parts, np.arange(1, count + 1))
        room_m = np.where(parts == 1 + int(np.argmax(sizes)), room_m, 0.0)
    return _Floor(room_m > BODY_RADIUS_M, origin, floor_z)


def _seen_directions(hit: Bool[np.ndarray, "ny nx"], *, angles: int = 8) -> Float[np.ndarray, "ny nx"]:
    """Share of 4 x `angles` horizontal directions in which a raster cell has something in view, in 0..1.

    Walls of semi-dense maps have holes and rooms stand at any angle to the map's axes, so every direction counts alike.
    """
    iy, ix = np.indices(hit.shape)
    middle = (np.array(hit.shape) - 1) / 2
    radius = int(np.ceil(np.hypot(*hit.shape) / 2)) + 1
    seen = np.zeros(hit.shape)
    for angle in np.arange(angles) * (np.pi / 2 / angles):
        c, s = np.cos(angle), np.sin(angle)
        v = np.rint(c * (iy - middle[0]) - s * (ix - middle[1])).astype(int) + radius
        u = np.rint(s * (iy - middle[0]) + c * (ix - middle[1])).astype(int) + radius
        turned = np.zeros((2 * radius + 1, 2 * radius + 1), dtype=bool)
        turned[v[hit], u[hit]] = True
        for axis in (0, 1):
            seen += np.maximum.accumulate(turned, axis)[v, u]
            seen += np.flip(np.maximum.accumulate(np.flip(turned, axis), axis), axis)[v, u]
    return seen / (4 * angles)


def estimate_grid(point_map: PointMap, *, area: tuple[float, float, float] | None = None, n: int = SIDE) -> MapGrid:
    """The square around the floor that a person can stand on, from the cloud alone and never from a trajectory.

    The paper doesn't say which square its 400 segments tile. Ours has the map's axes and is as tight as the
    standing floor allows: the largest patch of floor that has points around it in most directions (so it lies
    inside walls) and none at body height above it (so no furniture stands there).

    Args:
        point_map: the room's cloud; it is filtered by confidence here.
        area: (x, y, side) in metres overrides the square; the floor's height is still estimated.

    Raises:
        MapError: too few points, or no floor to stand on.
    """
    points = point_map.confident().points_world_m
    if len(points) < 500:
        raise MapError(
            f"{point_map.source}: found {len(points)} confident points; expected 500 or more; scan the room longer."
        )
    floor = _standing_floor(points)
    if area is not None:
        x, y, side = map(float, area)
        if not side > 0:
            raise MapError(f"area: found a side of {side:g} m; expected a positive one, as x,y,side in metres.")
        return MapGrid(np.array([x, y]), side, floor.floor_z_m, n)
    rows, columns = np.nonzero(floor.free)
    if len(rows) * RASTER_M**2 < 0.5:
        raise MapError(
            f"{point_map.source}: found {len(rows) * RASTER_M**2:.1f} m² of floor to stand on; expected a room; "
            "is z up and in metres? Otherwise give the square with --area x,y,side."
        )
    low = floor.origin_xy_m + np.array([columns.min(), rows.min()]) * RASTER_M - MARGIN_M
    high = floor.origin_xy_m + (np.array([columns.max(), rows.max()]) + 1) * RASTER_M + MARGIN_M
    return MapGrid((low + high) / 2, float((high - low).max()), floor.floor_z_m, n)


def free_cells(points_world_m: Float[np.ndarray, "n 3"], grid: MapGrid) -> Bool[np.ndarray, " cells"]:
    """Cells over which the head of a standing person can be, judged from the cloud alone.

    Over a quarter of such a cell is floor to stand on, or within a lean (0.25 m) of it: people who work at a
    counter have their head above its edge, and a free-space prior without that would say less than the map does.
    """
    floor = _standing_floor(points_world_m)
    reach = ndimage.distance_transform_edt(~floor.free) * RASTER_M <= LEAN_M
    steps = (np.arange(4) + 0.5) / 4 - 0.5
    offsets = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2) * grid.pitch_m
    index = np.floor((grid.cell_centres[:, None] + offsets - floor.origin_xy_m) / RASTER_M).astype(int)
    ny, nx = reach.shape
    inside = (index >= 0).all(axis=-1) & (index[..., 0] < nx) & (index[..., 1] < ny)
    free = reach[np.clip(index[..., 1], 0, ny - 1), np.clip(index[..., 0], 0, nx - 1)] & inside
    return free.mean(axis=1) > 0.25


def local_clouds(
    points_world_m: Float[np.ndarray, "n 3"], grid: MapGrid, *, points_per_cell: int = 512, seed: int = 0
) -> LocalClouds:
    """The 1 m x 1 m column of points around every cell's middle, as EAIL's point encoder wants it.

    Heights from 0.3 m under the floor to 3.5 m above count (outliers don't). What a column holds is a property of the
    map, not of a draw: points are gathered at the nodes of a 10 cm lattice (`soft_voxels`), and where a column has more
    than `points_per_cell` (paper: 8192) those stay whose nodes come first in an order that hangs on their place alone,
    so that a scan with a few points less or more gives nearly the same cloud. They stand in that order, the first ones
    spread over the column like the rest. One with fewer is repeated to fill, `valid` says which.
    No scaling to a unit sphere: PointNet++'s radii are then metres.

    Args:
        points_world_m: metres, the map's frame.
        grid: the square.
        points_per_cell: points of each cloud.
        seed: of the order of nodes; another one is another sample of the same map, for augmentation.
    """
    points_world_m = np.asarray(points_world_m, dtype=np.float64)
    height = points_world_m[:, 2] - grid.floor_z_m
    reach = grid.side_m / 2 + COLUMN_M / 2
    keep = (np.abs(points_world_m[:, :2] - grid.centre_xy_m) <= reach).all(axis=1) & (height >= -0.3) & (height <= 3.5)
    near = points_world_m[keep]
    nodes = soft_voxels(near, seed=seed) - (0.0, 0.0, grid.floor_z_m)
    cells = grid.n * grid.n
    points = np.zeros((cells, points_per_cell, 3), dtype=np.float32)
    valid = np.zeros((cells, points_per_cell), dtype=bool)
    count = np.zeros(cells, dtype=np.int64)
    for column in range(grid.n):
        x = grid.origin_xy_m[0] + (column + 0.5) * grid.pitch_m
        strip = nodes[np.abs(nodes[:, 0] - x) <= COLUMN_M / 2]
        raw_y = np.sort(near[np.abs(near[:, 0] - x) <= COLUMN_M / 2, 1])
        for row in range(grid.n):
            y, cell = grid.origin_xy_m[1] + (row + 0.5) * grid.pitch_m, row * grid.n + column
            count[cell] = np.diff(np.searchsorted(raw_y, [y - COLUMN_M / 2, y + COLUMN_M / 2]))[0]
            chosen = np.flatnonzero(np.abs(strip[:, 1] - y) <= COLUMN_M / 2)[:points_per_cell]
            if len(chosen):
                points[cell] = strip[np.resize(chosen, points_per_cell)] - (x, y, 0.0)
                valid[cell, : len(chosen)] = True
    return LocalClouds(points, valid, count < MIN_POINTS, count)


def soft_voxels(points_m: Float[np.ndarray, "n 3"], *, seed: int = 0) -> Float[np.ndarray, "nodes 3"]:
    """Points gathered at the nodes of a 10 cm lattice, in an order that hangs on the nodes' places.

    w_ik = prod_axis max(0, 1 - |p_i - k| / VOXEL_M),  m_k = sum_i w_ik,  c_k = sum_i w_ik p_i / m_k.

    Each point counts for the eight nodes around it, by how near it is, so that a millimetre moves a centroid by less
    than a millimetre; in hard voxels a point on a border jumps. Nodes with under a tenth of the usual mass (the mean
    over points) are left out, which no density changes. Each node draws -log(u) / w with u a hash of its place and w
    its mass, at most `HEAVY` times the least one, and the smallest come first: a sample without replacement in which a
    node's chance grows with its weight (Efraimidis and Spirakis 2006), the same in a slightly different scan.
    """
    points_m = np.asarray(points_m, dtype=np.float64)
    points_m = points_m[np.lexsort(points_m.T)]  # same points in another order, same sums
    if not len(points_m):
        return np.zeros((0, 3))
    low = np.floor(points_m / VOXEL_M).astype(np.int64)
    share = points_m / VOXEL_M - low
    corners = np.array(list(itertools.product((0, 1), repeat=3)))
    weight = np.prod(np.where(corners[:, None], share, 1 - share), axis=2).ravel()
    origin, size = low.min(axis=0), np.ptp(low, axis=0) + 2
    keys, at = np.unique(
        np.ravel_multi_index((low - origin + corners[:, None]).reshape(-1, 3).T, size), return_inverse=True
    )
    nodes = np.stack(np.unravel_index(keys, size), axis=1) + origin
    mass = np.bincount(at, weight)
    summed = [np.bincount(at, weight * np.tile(points_m[:, axis], len(corners))) for axis in range(3)]
    least = LEAST_MASS * (mass**2).sum() / mass.sum()
    kept = mass >= least
    centroid = np.stack(summed, axis=1)[kept] / mass[kept, None]
    heavy = np.minimum(mass[kept] / least, HEAVY)
    centroid = centroid[np.argsort(-np.log(_hash(nodes[kept], seed)) / heavy, kind="stable")]
    return centroid[np.sort(np.unique(centroid.round(6), axis=0, return_index=True)[1])]  # a lone point is up to eight


def _hash(index: Int[np.ndarray, "nodes 3"], seed: int) -> Float[np.ndarray, " nodes"]:
    """A number in (0, 1) for each node, by the finalizer of splitmix64."""
    with np.errstate(over="ignore"):
        x = np.full(len(index), seed, dtype=np.uint64)
        for axis in range(3):
            x = (x ^ index[:, axis].astype(np.uint64)) + np.uint64(0x9E3779B97F4A7C15)
            x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            x ^= x >> np.uint64(31)
    return ((x >> np.uint64(11)).astype(np.float64) + 0.5) / 2.0**53
