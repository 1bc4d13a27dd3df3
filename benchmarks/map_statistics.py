"""What a semi-dense cloud looks like in numbers: density, spacing, edges, outliers, uncertainty.

Works on any `PointMap`, real or simulated; spacing and edges are those of the points that pass the default filter.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from eailkit.recording import PointMap

LEAST_IN_COLUMN = 32  # fewer points and a cell counts as empty
NEIGHBOURS = 12
LINE = 0.7
STATISTICS = (
    "points per 1 m column", "nearest neighbour (cm)", "share on edges (%)", "share scattered (%)",
    "inverse-distance std (1/m)", "distance std (m)", "range (m)", "share passing the filter (%)", "share far away (%)",
)  # fmt: skip


def samples(cloud: PointMap) -> dict[str, Float[np.ndarray, " n"]]:
    """The values behind STATISTICS; shares are one value each.

    - points per 1 m column: confident points of each column of a 1 m grid that holds at least 32.
    - share on edges: confident points whose 12 nearest others lie on a line, that is (s1 - s2) / s1 > 0.7 with
      s1 >= s2 >= s3 the standard deviations along the principal axes.
    - share scattered: confident points whose mean distance to 12 neighbours is over the mean plus 3 standard
      deviations of all of them, the usual statistical outlier filter.
    - share far away: points of the whole cloud more than 1 m outside the box of the confident points (1st to 99th
      percentile).

    Raises:
        ValueError: the cloud has no uncertainty, or under 100 confident points.
    """
    if cloud.inv_dist_std is None or cloud.dist_std is None:
        raise ValueError("found a cloud without inv_dist_std and dist_std; both are compared here")
    points = cloud.confident().points_world_m
    if len(points) < 100:
        raise ValueError(f"found {len(points)} confident points; expected at least 100")
    low, high = np.percentile(points, [1, 99], axis=0)
    far = ((cloud.points_world_m < low - 1.0) | (cloud.points_world_m > high + 1.0)).any(axis=1)
    distance, neighbour = cKDTree(points).query(points, NEIGHBOURS + 1)
    spacing = distance[:, 1:].mean(axis=1)
    _, columns = np.unique(np.floor(points[:, :2]), axis=0, return_counts=True)
    percent = lambda mask: np.array([100.0 * mask.mean()])  # noqa: E731
    return dict(zip(STATISTICS, (
        columns[columns >= LEAST_IN_COLUMN].astype(float), 100.0 * distance[:, 1],
        percent(linearity(points[neighbour]) > LINE), percent(spacing > spacing.mean() + 3.0 * spacing.std()),
        cloud.inv_dist_std, cloud.dist_std, np.sqrt(cloud.dist_std / cloud.inv_dist_std),
        np.array([100.0 * len(points) / len(cloud)]), percent(far),
    ), strict=True))  # fmt: skip


def linearity(groups: Float[np.ndarray, "n k 3"]) -> Float[np.ndarray, " n"]:
    """(s1 - s2) / s1 of each group of points: 1 on a line, about 0 on a disc or in a ball."""
    centred = groups - groups.mean(axis=1, keepdims=True)
    spread = np.linalg.eigvalsh(np.einsum("nki,nkj->nij", centred, centred))
    s = np.sqrt(np.maximum(spread[:, ::-1], 0.0))
    return (s[:, 0] - s[:, 1]) / np.maximum(s[:, 0], 1e-9)


def crowding(columns: Float[np.ndarray, " n"]) -> float:
    """Points in the column of a typical point: the mean count weighted by the count, so that fringes matter little."""
    return float((columns**2).sum() / columns.sum())


def thinned(cloud: PointMap, wanted: float, seed: int = 0) -> PointMap:
    """A cloud with points left out at random until its `crowding` is at most that of another one.

    Spacing and edges depend on density; two clouds are alike only where they're alike at the same one.
    """
    have = crowding(samples(cloud)["points per 1 m column"])
    if have <= wanted:
        return cloud
    pick = np.random.default_rng(seed).random(len(cloud)) < wanted / have
    return PointMap(cloud.points_world_m[pick], cloud.inv_dist_std[pick], cloud.dist_std[pick], source=cloud.source)
