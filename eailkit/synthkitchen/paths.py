"""Walks over free floor: shortest paths that keep off walls, smoothed, with a smooth speed along them.

One `FloorPaths` serves all takes of a room: the grid's graph is built once and shortest-path trees are
kept by goal. Positions are metres in the map frame.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage, sparse
from scipy.sparse import csgraph

_SMOOTH_M = (0.22, 0.15, 0.10, 0.06, 0.03)  # tried in this order until a path stays on free floor
_STEP_M = 0.025


class FloorPaths:
    """Shortest paths on the floor that a body can occupy.

    Args:
        free: floor cells, index [iy, ix], connected.
        origin_xy_m: centre of cell [0, 0].
        pitch_m: side of a cell.
    """

    def __init__(self, free: Bool[np.ndarray, "ny nx"], origin_xy_m: Float[np.ndarray, " 2"], pitch_m: float):
        self.free, self.origin_xy_m, self.pitch_m = free, np.asarray(origin_xy_m, float), float(pitch_m)
        self.cells = np.argwhere(free)  # (m, 2) rows of iy, ix
        self._node = np.full(free.shape, -1, np.int64)
        self._node[free] = np.arange(len(self.cells))
        padded = np.pad(free, 1)
        clearance = ndimage.distance_transform_edt(padded)[1:-1, 1:-1] * pitch_m
        self._graph = self._build_graph(1.0 + 1.5 * np.exp(-(clearance - pitch_m) / 0.12))
        self._trees: dict[int, np.ndarray] = {}

    def _build_graph(self, cost: np.ndarray) -> sparse.csr_matrix:
        rows, cols, weights = [], [], []
        ny, nx = self.free.shape
        for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
            a = (slice(0, ny - dy), slice(max(0, -dx), nx - max(0, dx)))
            b = (slice(dy, ny), slice(max(0, dx), nx - max(0, -dx)))
            both = self.free[a] & self.free[b]
            if dx and dy:  # no squeezing between two blocked corners
                both &= self.free[a[0], b[1]] & self.free[b[0], a[1]]
            rows.append(self._node[a][both])
            cols.append(self._node[b][both])
            weights.append(np.hypot(dy, dx) * 0.5 * (cost[a][both] + cost[b][both]))
        i, j, w = np.concatenate(rows), np.concatenate(cols), np.concatenate(weights) * self.pitch_m
        n = len(self.cells)
        return sparse.csr_matrix((np.r_[w, w], (np.r_[i, j], np.r_[j, i])), shape=(n, n))

    def centre(self, node: int | np.ndarray) -> Float[np.ndarray, "... 2"]:
        """Map position of a free cell's centre."""
        return self.origin_xy_m + self.cells[node][..., ::-1] * self.pitch_m

    def inside(self, xy_m: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, " n"]:
        """Which positions lie on free cells."""
        index = np.rint((np.atleast_2d(xy_m) - self.origin_xy_m) / self.pitch_m).astype(np.int64)[:, ::-1]
        ok = (index >= 0).all(axis=1) & (index < self.free.shape).all(axis=1)
        ok[ok] = self.free[index[ok, 0], index[ok, 1]]
        return ok

    def straight(self, a: Float[np.ndarray, " 2"], b: Float[np.ndarray, " 2"]) -> bool:
        """Whether the straight line from a to b stays on free floor."""
        n = int(np.ceil(np.hypot(*(b - a)) / (0.4 * self.pitch_m))) + 2
        return bool(self.inside(a + np.linspace(0.0, 1.0, n)[:, None] * (b - a)).all())

    def nearest(self, xy_m: Float[np.ndarray, " 2"]) -> int:
        """The free cell (node number) nearest to a position."""
        return int(((self.centre(np.arange(len(self.cells))) - xy_m) ** 2).sum(axis=1).argmin())

    def shortest(self, start: int, goal: int) -> Float[np.ndarray, "k 2"]:
        """Cell centres of the cheapest path between two nodes, both ends included."""
        if goal not in self._trees:
            self._trees[goal] = csgraph.dijkstra(self._graph, indices=goal, return_predecessors=True)[1]
        tree, node, nodes = self._trees[goal], start, [start]
        while node != goal:
            node = int(tree[node])
            if node < 0:  # free floor in two pieces: no path, stay
                return self.centre(np.array([start]))
            nodes.append(node)
        return self.centre(np.array(nodes))

    def path(self, a: Float[np.ndarray, " 2"], b: Float[np.ndarray, " 2"]) -> Float[np.ndarray, "k 2"]:
        """A smooth path from a to b on free floor, points every 2.5 cm or so.

        The cheapest grid path is smoothed with the widest Gaussian that keeps every point on free cells;
        where none does, the grid path itself is returned.
        """
        if self.straight(a, b):
            corners = np.stack([a, b])
        else:
            corners = self.shortest(self.nearest(a), self.nearest(b))
            corners = np.concatenate([[a], corners[1:-1], [b]])
        points = _resample(corners, _STEP_M)
        for sigma in _SMOOTH_M:
            smooth = _smooth(points, sigma / _STEP_M)
            if self.inside(smooth[1:-1]).all():
                return smooth
        return points


def _resample(corners: np.ndarray, step_m: float) -> np.ndarray:
    length = np.r_[0.0, np.cumsum(np.hypot(*np.diff(corners, axis=0).T))]
    s = np.linspace(0.0, length[-1], max(int(np.ceil(length[-1] / step_m)), 2) + 1)
    return np.stack([np.interp(s, length, corners[:, k]) for k in range(2)], axis=1)


def _smooth(points: np.ndarray, sigma: float) -> np.ndarray:
    # Reflecting about the ends (odd extension) keeps both ends where they are.
    n = min(int(4 * sigma) + 1, len(points) - 1)
    head, tail = 2 * points[0] - points[n:0:-1], 2 * points[-1] - points[-2 : -n - 2 : -1]
    smooth = ndimage.gaussian_filter1d(np.concatenate([head, points, tail]), min(sigma, n / 4), axis=0)[n:-n]
    smooth[0], smooth[-1] = points[0], points[-1]
    return smooth


def speed_along(
    path_xy_m: Float[np.ndarray, "k 2"], cruise_mps: float, *, start_mps2: float = 1.1, turn_mps2: float = 0.9
) -> Float[np.ndarray, " k"]:
    """Times at the points of a path for a walk from rest to rest.

    The speed is the preferred one where the path is straight, sqrt(turn_mps2 / curvature) in bends, and
    limited by start_mps2 on the way in and out; from 0.06 m/s so that the first step takes finite time.

    Returns:
        seconds from the start at every path point, (k,), increasing.
    """
    step = np.maximum(np.hypot(*np.diff(path_xy_m, axis=0).T), 1e-6)
    tangent = np.unwrap(np.arctan2(*np.diff(path_xy_m, axis=0).T[::-1]))
    wide = 9  # points over which the turn is judged: 0.2 m, a stride's worth
    bend = np.zeros(len(path_xy_m))
    if len(step) > 2:
        tangent = ndimage.uniform_filter1d(tangent, min(wide, len(tangent)), mode="nearest")
        bend[1:-1] = np.abs(np.diff(tangent)) / step[1:]
    limit = np.minimum(cruise_mps, np.sqrt(turn_mps2 / np.maximum(bend, 1e-3)))
    limit = np.maximum(limit, 0.25)
    s = np.r_[0.0, np.cumsum(step)]
    floor = 0.06**2
    limit = np.minimum(limit, np.sqrt(floor + 2 * start_mps2 * np.minimum(s, s[-1] - s)))
    squared = (limit**2).tolist()
    ds = step.tolist()
    for i in range(1, len(squared)):
        squared[i] = min(squared[i], squared[i - 1] + 2 * start_mps2 * ds[i - 1])
    for i in range(len(squared) - 2, -1, -1):
        squared[i] = min(squared[i], squared[i + 1] + 2 * start_mps2 * ds[i])
    speed = np.sqrt(squared)
    return np.r_[0.0, np.cumsum(2 * step / (speed[1:] + speed[:-1]))]
