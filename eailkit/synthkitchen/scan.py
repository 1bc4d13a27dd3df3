"""A semi-dense cloud of a room, as a SLAM map has it, from a walk of its own.

A person walks the free floor and looks around; each place is a full turn of rays. Points appear where an
image has something to match: at edges (a change of material, surface or depth as seen from there) and on
textured surfaces; blank walls stay nearly empty and hidden sides empty. Inverse distance carries the noise,
as in semi-dense SLAM, so the error of a point grows with the square of its distance; how much noise follows
from the parallax of the walk (`parallax`), the contrast and the edge's direction.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from eailkit.recording import PointMap
from eailkit.synthkitchen.parallax import ParallaxConfig, draw_tracks, inverse_distance_std
from eailkit.synthkitchen.raycast import first_hit
from eailkit.synthkitchen.room import Room


@dataclass(frozen=True)
class ScanConfig:
    """How the scan walk sees; lengths in metres, inverse distances in 1/m.

    dist_std is the squared distance times inv_dist_std, as on the one public Aria walk.
    """

    places: int = 26  # on the walk; more in large rooms
    eye_height_m: float = 1.6
    height_std_m: float = 0.1  # steps, stooping to look below worktops
    azimuth_step_deg: float = 1.0
    elevation_deg: tuple[float, float] = (-78.0, 48.0)
    points: int = 120_000  # of a room with a side of 2.8 m, before any filter
    edge_share: float = 0.8
    texture_cell_m: float = 0.05  # patches of a textured surface that are worth a match, or not
    parallax: ParallaxConfig = field(default_factory=ParallaxConfig)
    std_log_sigma: float = 0.5  # blur, light and everything else that makes one match better than another
    pose_std_m: float = 0.003  # error of the walk itself, shared by the points of a place
    outlier_share: float = 0.03  # matched wrongly, and the map knows (large std)
    false_share: float = 0.003  # matched wrongly, and the map doesn't know


def scan_room(room: Room, seed: int, *, config: ScanConfig | None = None) -> PointMap:
    """The cloud of a scan walk through a room, in the map frame; deterministic by room and seed.

    Args:
        room: what to scan.
        seed: of the walk and of the noise; another seed is another scan of the same room.
        config: how.

    Returns:
        100,000 to 180,000 points with inv_dist_std and dist_std, of which about a sixth pass `confident()`.
    """
    config = config or ScanConfig()
    rng = np.random.default_rng([seed, room.seed, 0x5CA4])
    grow = float(np.clip(room.area_side_m / 2.8, 0.85, 1.5))
    eyes = scan_walk(room, rng, round(config.places * grow), config)
    total = round(config.points * grow)
    parts = []
    for place, eye in enumerate(eyes):
        seen = _look_around(room, eye, int(np.ceil(total / len(eyes))), rng, config)
        parts.append((np.full(len(seen[0]), place), *seen))
    place, direction, distance, contrast, across = (np.concatenate(p) for p in zip(*parts, strict=True))
    tracks = draw_tracks(len(place), rng, config.parallax)
    inv_std = inverse_distance_std(
        direction, distance, _headings(eyes)[place], contrast, across, tracks, config.parallax
    ) * np.exp(config.std_log_sigma * rng.normal(size=len(place)))
    return _measure(room, eyes, place, direction, distance.astype(float), inv_std, rng, config)


def scan_walk(room: Room, rng: np.random.Generator, places: int, config: ScanConfig) -> Float[np.ndarray, "places 3"]:
    """Eye positions spread over the free floor: each new place is far from all earlier ones."""
    floor = room.free_centres()
    chosen = [int(rng.integers(len(floor)))]
    nearest = np.full(len(floor), np.inf)
    for _ in range(places - 1):
        nearest = np.minimum(nearest, np.linalg.norm(floor - floor[chosen[-1]], axis=1))
        chosen.append(int(np.argmax(nearest + rng.uniform(0, 0.15, len(floor)))))
    height = np.clip(rng.normal(config.eye_height_m, config.height_std_m, places), 1.25, 1.85)
    return np.column_stack([floor[chosen], height])


def _headings(eyes: Float[np.ndarray, "places 3"]) -> Float[np.ndarray, "places 3"]:
    """Where the walk goes on to from each place: level, to the nearest other one."""
    gap = eyes[None, :, :2] - eyes[:, None, :2]
    apart = np.linalg.norm(gap, axis=2) + np.diag(np.full(len(eyes), np.inf))
    to = gap[np.arange(len(eyes)), apart.argmin(axis=1)]
    return _unit(np.column_stack([to, np.zeros(len(eyes))]))


def _look_around(room: Room, eye: np.ndarray, n: int, rng: np.random.Generator, config: ScanConfig):
    """Directions, distances, contrasts and gradients (zeros for texture) of about n points seen from one place."""
    step = np.deg2rad(config.azimuth_step_deg)
    azimuth = np.arange(0, 2 * np.pi - step / 2, step) + rng.uniform(0, step)
    elevation = np.arange(*np.deg2rad(config.elevation_deg), step) + rng.uniform(0, step)
    a, e = np.meshgrid(azimuth, elevation)
    rays = np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], axis=-1)
    shape = a.shape
    distance, face = first_hit(room, np.broadcast_to(eye, (a.size, 3)), rays.reshape(-1, 3))
    view = _View(room, eye, rays, distance.reshape(shape), face.reshape(shape))

    scores, pairs = [], []
    index = np.arange(a.size).reshape(shape)
    for other in (np.roll(index, -1, axis=1), np.concatenate([index[1:], index[-1:]], axis=0)):
        candidates = np.stack([index.ravel(), other.ravel()], axis=1)
        candidates = candidates[view.face[candidates[:, 0]] != view.face[candidates[:, 1]]]
        scores.append(view.contrast(candidates[:, 0], candidates[:, 1]) * np.cos(e).ravel()[candidates[:, 0]])
        pairs.append(candidates)
    score, pair = np.concatenate(scores), np.concatenate(pairs)
    edges = int(min(n * config.edge_share, 2 * (score > 0).sum()))
    chosen = rng.choice(len(score), size=edges, p=score / score.sum())
    edge_direction, edge_distance, across = view.refine(pair[chosen], rng)

    texture = view.texture_score(config.texture_cell_m).ravel() * np.cos(e).ravel()
    flat = rng.choice(a.size, size=n - edges, p=texture / texture.sum())
    jitter = rays.reshape(-1, 3)[flat] + rng.uniform(-step / 2, step / 2, (n - edges, 3))
    jitter /= np.linalg.norm(jitter, axis=1, keepdims=True)
    flat_distance, _ = first_hit(room, np.broadcast_to(eye, jitter.shape), jitter)
    direction, distance = np.concatenate([edge_direction, jitter]), np.concatenate([edge_distance, flat_distance])
    contrast = np.concatenate([score[chosen], view.texture_contrast()[flat]])
    across = np.concatenate([across, np.zeros_like(jitter)])
    seen = np.isfinite(distance)
    return direction[seen], distance[seen], contrast[seen], across[seen]


class _View:
    """One full turn of rays from a place, with what each ray hits."""

    def __init__(self, room: Room, eye: np.ndarray, rays: np.ndarray, distance: np.ndarray, face: np.ndarray):
        self.room, self.eye = room, eye
        self.normals = room.mesh.face_normals
        self.rays, self.distance, self.face = rays.reshape(-1, 3), distance.ravel(), face.ravel()
        self.points = eye + self.rays * np.where(np.isfinite(self.distance), self.distance, 0.0)[:, None]

    def contrast(self, a: Int[np.ndarray, " n"], b: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """How visible the edge between two neighbouring rays is: 0 on one surface, about 1 on a strong edge."""
        colour, fold, jump = self._difference(self.face[a], self.points[a], self.face[b], self.points[b])
        near = np.minimum(self.distance[a], self.distance[b])
        score = 1.2 * colour + 0.35 * fold + 0.4 * np.minimum(jump / (0.02 * near), 1.0)
        score[(score < 0.04) | (self.face[a] < 0) | (self.face[b] < 0)] = 0.0
        return np.minimum(score, 1.0)

    def _difference(self, face_a, point_a, face_b, point_b):
        """Change of colour (0 to 1), of normal (0 to 2) and of surface (metres off the plane, at least 2 mm)."""
        room = self.room
        rgb = room.materials.rgb
        m_a, m_b = room.face_material[face_a], room.face_material[face_b]
        n_a, n_b = self.normals[face_a], self.normals[face_b]
        colour = np.abs(rgb[m_a] - rgb[m_b]).mean(axis=1) + 0.05 * (m_a != m_b)
        fold = 1.0 - (n_a * n_b).sum(axis=1)
        gap = point_b - point_a
        jump = np.minimum(np.abs((n_a * gap).sum(axis=1)), np.abs((n_b * gap).sum(axis=1)))
        fold = np.where(fold < 0.3, 0.0, fold)  # facets of a round thing aren't edges
        return colour, fold, np.where(jump > 0.002, jump, 0.0)

    def refine(self, pair: Int[np.ndarray, "n 2"], rng: np.random.Generator):
        """Halve the angle between two rays around an edge four times; the point lies on the nearer surface.

        Returns:
            Directions, distances and unit vectors across the edge, as seen.
        """
        a, b = pair[:, 0], pair[:, 1]
        ray_a, ray_b = self.rays[a].copy(), self.rays[b].copy()
        dist_a, dist_b, face_a, face_b = self.distance[a], self.distance[b], self.face[a], self.face[b]
        slide = rng.uniform(-0.5, 0.5, (len(pair), 1)) * np.cross(ray_a, ray_b)  # along the edge
        ray_a, ray_b = _unit(ray_a + slide), _unit(ray_b + slide)
        for _ in range(4):
            middle = _unit(ray_a + ray_b)
            distance, face = first_hit(self.room, np.broadcast_to(self.eye, middle.shape), middle)
            colour, fold, jump = self._difference(
                face_a, self.eye + ray_a * dist_a[:, None], face, self.eye + middle * distance[:, None]
            )
            same = (colour + fold + jump) == 0
            ray_a, ray_b = np.where(same[:, None], middle, ray_a), np.where(same[:, None], ray_b, middle)
            dist_a, face_a = np.where(same, distance, dist_a), np.where(same, face, face_a)
            dist_b, face_b = np.where(same, dist_b, distance), np.where(same, face_b, face)
        nearer = dist_a <= dist_b
        direction = np.where(nearer[:, None], ray_a, ray_b)
        distance, _ = first_hit(self.room, np.broadcast_to(self.eye, direction.shape), direction)
        return direction, distance, _unit(self.rays[b] - self.rays[a])

    def texture_contrast(self) -> Float[np.ndarray, " n"]:
        """Contrast of the pattern that each ray hits, 0 to 1."""
        return self.room.materials.texture[self.room.face_material[self.face]]

    def texture_score(self, cell_m: float) -> Float[np.ndarray, " n"]:
        """Texture of the surface that each ray hits, in patches: a pattern is matched here and not there."""
        contrast = self.texture_contrast()
        strong = surface_hash(self.points, cell_m) < 0.15 + 0.6 * contrast
        grazing = np.abs((self.rays * self.normals[self.face]).sum(axis=1))
        return contrast**1.5 * np.where(strong, 1.0, 0.03) * np.minimum(1.0, 2.5 * grazing) * (self.face >= 0) + 1e-6


def surface_hash(points_m: Float[np.ndarray, "n 3"], cell_m: float) -> Float[np.ndarray, " n"]:
    """A fixed pseudo-random number in [0, 1) for the cube of space that a point lies in."""
    cell = np.floor(points_m / cell_m + 0.37).astype(np.int64)
    h = (cell[:, 0] * 73856093) ^ (cell[:, 1] * 19349663) ^ (cell[:, 2] * 83492791)
    h = (h ^ (h >> 13)) * 1274126177
    return ((h ^ (h >> 16)) & 0xFFFF) / 65536.0


def _unit(v: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def _measure(
    room: Room,
    eyes: Float[np.ndarray, "places 3"],
    place: Int[np.ndarray, " n"],
    direction: Float[np.ndarray, "n 3"],
    distance: Float[np.ndarray, " n"],
    inv_std: Float[np.ndarray, " n"],
    rng: np.random.Generator,
    config: ScanConfig,
) -> PointMap:
    """True ranges become a cloud: noise on inverse distance, wrong matches, errors of the walk's poses."""
    n = len(distance)
    lost: Bool[np.ndarray, " n"] = rng.random(n) < config.outlier_share
    inv_std[lost] = 0.03 * np.exp(1.2 * rng.normal(size=int(lost.sum())))
    inverse = 1.0 / distance + inv_std * rng.normal(size=n)
    inverse[lost] = np.abs(1.0 / distance[lost] * rng.uniform(-0.1, 1.2, int(lost.sum()))) + 4e-4
    measured = 1.0 / np.maximum(inverse, 5e-4)  # no point beyond 2 km
    false = rng.random(n) < config.false_share
    measured[false] = distance[false] * rng.uniform(0.5, 1.6, int(false.sum()))
    drift = rng.normal(0.0, config.pose_std_m, eyes.shape)
    points = (eyes + drift)[place] + direction * measured[:, None]
    order = rng.permutation(n)
    return PointMap(
        points_world_m=points[order],
        inv_dist_std=inv_std[order],
        dist_std=(measured**2 * inv_std)[order],
        source=f"scan of {room.room_id}",
    )
