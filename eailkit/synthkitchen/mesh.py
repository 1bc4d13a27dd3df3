"""Triangles with materials: boxes, lathed shapes and tubes collected in bulk and turned into one mesh.

A box or a turned profile costs one list entry; all vertices are computed together at the end, so a room of
a thousand parts takes milliseconds. Nothing here knows what a kitchen is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from jaxtyping import Float, Int

SIDES = 12  # of a circle: enough to look round from a metre away

_BOX_VERTICES = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
_BOX_FACES = np.array(
    [
        [0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
        [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3],
    ]
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Materials:
    """Surfaces of a room.

    Attributes:
        names: one name a material, such as "worktop" or "sink_steel".
        rgb: base colour, 0 to 1, (m, 3).
        texture: contrast of its surface pattern, 0 (blank) to 1, (m,).
    """

    names: tuple[str, ...]
    rgb: Float[np.ndarray, "m 3"]
    texture: Float[np.ndarray, " m"]

    def index(self, name: str) -> int:
        """Row of a material by its name (KeyError where there is none)."""
        if name not in self.names:
            raise KeyError(f"no material '{name}' among {', '.join(self.names)}")
        return self.names.index(name)


class MeshBuilder:
    """Collects shapes in room axes; `build` returns the vertices, faces and materials of all of them."""

    def __init__(self, materials: Materials):
        self.materials = materials
        self._ids = {name: i for i, name in enumerate(materials.names)}
        self._boxes: list[tuple] = []
        self._vertices: list[np.ndarray] = []
        self._faces: list[np.ndarray] = []
        self._face_material: list[np.ndarray] = []
        self._count = 0

    def frame(self, x_m: float = 0.0, y_m: float = 0.0, z_m: float = 0.0, yaw_rad: float = 0.0) -> Frame:
        """A place to put shapes: axes turned by yaw about z, with their origin at the given point of the room."""
        return Frame(self, x_m, y_m, z_m, yaw_rad)

    def _add(self, vertices: np.ndarray, faces: np.ndarray, material: str) -> None:
        self._vertices.append(vertices)
        self._faces.append(faces + self._count)
        self._face_material.append(np.full(len(faces), self._ids[material]))
        self._count += len(vertices)

    def build(self) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"], Int[np.ndarray, " f"]]:
        """Vertices (metres), faces and the material of each face; boxes last."""
        vertices, faces, material = list(self._vertices), list(self._faces), list(self._face_material)
        if self._boxes:
            rows = np.asarray(self._boxes, float)
            low, high = np.minimum(rows[:, :3], rows[:, 3:6]), np.maximum(rows[:, :3], rows[:, 3:6])
            p = (low + high)[:, None] / 2 + _BOX_VERTICES * (high - low)[:, None]
            c, s = np.cos(rows[:, 9, None]), np.sin(rows[:, 9, None])
            turned = np.stack([c * p[..., 0] - s * p[..., 1], s * p[..., 0] + c * p[..., 1], p[..., 2]], axis=-1)
            vertices.append((turned + rows[:, None, 6:9]).reshape(-1, 3))
            faces.append((_BOX_FACES + 8 * np.arange(len(rows))[:, None, None] + self._count).reshape(-1, 3))
            material.append(np.repeat(rows[:, 10].astype(int), 12))
        return np.concatenate(vertices), np.concatenate(faces), np.concatenate(material).astype(np.int32)


class Frame:
    """A turned and shifted coordinate system of a MeshBuilder; all its shapes are given in these axes."""

    def __init__(self, builder: MeshBuilder, x_m: float, y_m: float, z_m: float, yaw_rad: float):
        self.builder, self.yaw_rad = builder, yaw_rad
        self.origin = np.array([x_m, y_m, z_m], float)
        c, s = np.cos(yaw_rad), np.sin(yaw_rad)
        self._turn = np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])  # row vectors from the right

    def at(self, x: float, y: float, z: float) -> Float[np.ndarray, " 3"]:
        """A point of this frame in room axes."""
        return np.array([x, y, z], float) @ self._turn + self.origin

    def sub(self, x: float, y: float, z: float = 0.0, yaw_rad: float = 0.0) -> Frame:
        """A frame inside this one."""
        return Frame(self.builder, *self.at(x, y, z), self.yaw_rad + yaw_rad)

    def box(self, low, high, material: str) -> None:
        """A box between two corners, (3,) each, metres."""
        b = self.builder
        b._boxes.append((*low, *high, *self.origin, self.yaw_rad, b._ids[material]))

    def lathe(
        self, base, profile, material: str, *, axis=(0.0, 0.0, 1.0), sides: int = SIDES, phase: float = 0.0
    ) -> None:
        """A profile of (radius, height) pairs turned about an axis through `base`; closed at both ends.

        Args:
            base: foot of the axis, (3,), metres.
            profile: radius and height along the axis, metres, from foot to top.
            axis: direction of the axis.
            sides: 4 gives pyramids and tapered boxes; phase turns it about the axis, rad.
        """
        z = np.asarray(axis, float) / np.linalg.norm(axis)
        x = np.cross([0.0, 1.0, 0.0] if abs(z[1]) < 0.9 else [1.0, 0.0, 0.0], z)
        x /= np.linalg.norm(x)
        y = np.cross(z, x)
        angle = phase + 2 * np.pi * np.arange(sides) / sides
        ring = np.cos(angle)[:, None] * x + np.sin(angle)[:, None] * y
        profile = np.asarray(profile, float)
        n = len(profile)
        body = (profile[:, 0, None, None] * ring + profile[:, 1, None, None] * z).reshape(-1, 3)
        ends = profile[[0, -1], 1, None] * z
        vertices = np.asarray(base, float) + np.concatenate([body, ends])
        i, j = np.arange(sides), (np.arange(sides) + 1) % sides
        faces = [np.stack([n * sides + np.zeros_like(i), j, i], 1)]
        for k in range(n - 1):
            a, b = k * sides, (k + 1) * sides
            faces += [np.stack([a + i, a + j, b + j], 1), np.stack([a + i, b + j, b + i], 1)]
        top = (n - 1) * sides
        faces.append(np.stack([n * sides + 1 + np.zeros_like(i), top + i, top + j], 1))
        self.builder._add(vertices @ self._turn + self.origin, np.concatenate(faces), material)

    def tube(self, points, radius: float, material: str, *, sides: int = 8) -> None:
        """Round bars of one radius (metres) through consecutive points, (n, 3)."""
        points = np.asarray(points, float)
        for a, b in zip(points[:-1], points[1:], strict=True):
            length = float(np.linalg.norm(b - a))
            self.lathe(a, [(radius, 0.0), (radius, length)], material, axis=b - a, sides=sides)


def to_trimesh(vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> trimesh.Trimesh:
    """A mesh with the faces in the given order (no merging, so that per-face materials stay aligned)."""
    return trimesh.Trimesh(vertices, faces, process=False, validate=False)
