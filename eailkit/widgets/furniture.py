"""Moving one piece of furniture of a finished room: fixtures, mesh and free floor, in a new `Room`.

For the panels of the course: datasets are drawn whole by `synthkitchen.room.generate_room`, never moved. Only things
that stand on the floor by themselves can go (table with its chairs, island, shelf, bin); a counter run stays.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage, sparse
from scipy.sparse import csgraph

from eailkit.errors import ConfigError
from eailkit.synthkitchen.mesh import to_trimesh
from eailkit.synthkitchen.room import Fixture, Room, RoomConfig

MOVABLE = ("table", "island", "shelf", "bin")
_BODY_M = RoomConfig.body_radius_m
_SEAM_M = 0.03  # between a thing and the wall behind it, where no body reaches
_REACH_M = 0.42  # farther than this from the nearest free floor nobody uses a fixture
_CHAIR_M = 0.5  # a chair this near to a table's edge goes with the table
_LOAD_M = 0.6  # what stands on a table or island is lower than this


def movable(room: Room) -> tuple[str, ...]:
    """Names of the fixtures that stand free on the floor, one a thing (a table has a fixture for each side)."""
    seen: dict[tuple, str] = {}
    for f in room.fixtures:
        if f.kind in MOVABLE and f.box_centre_m[2] - f.box_size_m[2] / 2 < 0.1:
            seen.setdefault(tuple(np.round(f.box_centre_m, 3)), f.name)
    return tuple(seen.values())


def move_fixture(room: Room, name: str, dx_m: float, dy_m: float) -> Room:
    """The same kitchen with one thing elsewhere: a new room, the old one stays as it is.

    A table takes its chairs along and what stands on it. Sides of a table or island that no body reaches any more
    are no fixtures of the new room.

    Args:
        room: a kitchen.
        name: one of `movable(room)`.
        dx_m, dy_m: along the map's axes, metres.

    Returns:
        Room with shifted work points, boxes and mesh; free floor is what a body's centre can occupy now, and every
        stand point lies on it.

    Raises:
        ConfigError: nothing of that name can be moved, or the place isn't free, or a fixture can't be reached from
            the floor that is left.
    """
    _known(room, name)
    shift = np.array([dx_m, dy_m], float)
    if not shift.any():
        return room
    found = _floor_after(room, name, shift)
    if found is None:
        raise ConfigError(
            f"move_fixture: '{name}' doesn't fit {dx_m:+.2f}, {dy_m:+.2f} m from where it stands in {room.room_id}; "
            "expected free floor under it and a way to every fixture; try a shorter move."
        )
    free, fixtures = found
    vertices = room.mesh.vertices.copy()
    vertices[_vertices_of(room, _group(room, name))] += [*shift, 0.0]
    mesh = to_trimesh(vertices, room.mesh.faces)
    iy, ix = np.nonzero(free)
    low = room.free_origin_xy_m + room.free_pitch_m * (np.array([ix.min(), iy.min()]) - 0.5)
    high = room.free_origin_xy_m + room.free_pitch_m * (np.array([ix.max(), iy.max()]) + 0.5)
    return replace(
        room, fixtures=fixtures, free=free, mesh=mesh, area_side_m=float((high - low).max()),
        area_centre_xy_m=(low + high) / 2,
    )  # fmt: skip


def farthest_move(room: Room, name: str, dx_m: float, dy_m: float, *, steps: int = 20) -> tuple[float, float]:
    """How far a thing gets on the straight line towards (dx_m, dy_m) before something is in its way, metres."""
    _known(room, name)
    reached = (0.0, 0.0)
    for part in np.linspace(0.0, 1.0, steps + 1)[1:]:
        if _floor_after(room, name, part * np.array([dx_m, dy_m], float)) is None:
            break
        reached = (float(part * dx_m), float(part * dy_m))
    return reached


def _known(room: Room, name: str) -> None:
    if name not in movable(room):
        raise ConfigError(
            f"fixture '{name}': found nothing of this name in {room.room_id} that can be moved; expected one of "
            f"{', '.join(movable(room))}; choose one of them."
        )


def _group(room: Room, name: str) -> list[int]:
    """Indices of the fixtures that move together: all sides of a thing, and a table's chairs."""
    thing = next(f for f in room.fixtures if f.name == name)
    same = [i for i, f in enumerate(room.fixtures) if np.allclose(f.box_centre_m, thing.box_centre_m, atol=1e-3)]
    if thing.kind == "table":
        xy = np.array([f.box_centre_m[:2] for f in room.fixtures])
        near = _outside_m(thing, xy) < _CHAIR_M
        same += [i for i, f in enumerate(room.fixtures) if f.kind == "chair" and near[i]]
    return same


def _outside_m(f: Fixture, xy: Float[np.ndarray, "... 2"]) -> Float[np.ndarray, ...]:
    """Distance of floor positions from a fixture's footprint, 0 within."""
    c, s = np.cos(f.box_yaw_rad), np.sin(f.box_yaw_rad)
    beyond = np.abs((xy - f.box_centre_m[:2]) @ np.array([[c, -s], [s, c]])) - f.box_size_m[:2] / 2
    return np.linalg.norm(np.maximum(beyond, 0.0), axis=-1)


def _floor_after(room: Room, name: str, shift: Float[np.ndarray, " 2"]):
    """Free floor and fixtures after a move, None where it doesn't fit.

    Ground that bodies can cover is the free floor grown by a body's radius. The thing leaves its footprint to it and
    takes the new one from it; a body's centre may be where the whole body stands on such ground.
    """
    thing = next(f for f in room.fixtures if f.name == name)
    ny, nx = room.free.shape
    ix, iy = np.meshgrid(np.arange(nx), np.arange(ny))
    xy = room.free_origin_xy_m + room.free_pitch_m * np.stack([ix, iy], axis=-1)
    moved = replace(thing, box_centre_m=thing.box_centre_m + [*shift, 0.0])
    before, after = _outside_m(thing, xy), _outside_m(moved, xy)
    radius = _BODY_M / room.free_pitch_m
    ground = (ndimage.distance_transform_edt(~room.free) <= radius) | (before <= _SEAM_M)
    if not ground[after == 0].all():
        return None
    inner = ndimage.distance_transform_edt(np.pad(ground, 1))[1:-1, 1:-1] > radius
    free = np.where(before <= _BODY_M + room.free_pitch_m, inner, room.free) & (after >= _BODY_M)
    label, count = ndimage.label(free)
    if count == 0:
        return None
    free = label == 1 + int(np.argmax(np.bincount(label.ravel())[1:]))
    fixtures = _standing(room, free, _group(room, name), shift)
    return None if fixtures is None else (free, fixtures)


def _standing(room: Room, free: Bool[np.ndarray, "ny nx"], group: list[int], shift: np.ndarray):
    """Fixtures with their stand points on the free floor; None where one that a kitchen needs is out of reach."""
    iy, ix = np.nonzero(free)
    cells = room.free_origin_xy_m + room.free_pitch_m * np.stack([ix, iy], axis=1)
    kept: list[Fixture] = []
    for i, f in enumerate(room.fixtures):
        step = shift if i in group else np.zeros(2)
        work = f.work_point_m + [*step, 0.0]
        distance = np.linalg.norm(cells - (f.stand_xy_m + step), axis=1)
        if distance.min() > _REACH_M:
            if f.kind in ("table", "island", "chair"):
                continue
            return None
        stand = cells[int(distance.argmin())] if distance.min() > 1e-6 else f.stand_xy_m + step
        facing = float(np.arctan2(*(work[:2] - stand)[::-1]))
        centre = f.box_centre_m + [*step, 0.0]
        kept.append(replace(f, work_point_m=work, stand_xy_m=stand, facing_rad=facing, box_centre_m=centre))
    lost = {room.fixtures[i].kind for i in group} - {f.kind for f in kept}
    return None if lost else tuple(kept)


def _vertices_of(room: Room, group: list[int]) -> Bool[np.ndarray, " vertices"]:
    """Vertices of the shapes that belong to a group: whole connected parts whose middle lies in one of its boxes."""
    vertices, faces = room.mesh.vertices, room.mesh.faces
    n = len(vertices)
    edges = np.concatenate([faces[:, :2], faces[:, 1:]])
    graph = sparse.coo_matrix((np.ones(len(edges)), edges.T), shape=(n, n))
    count, part = csgraph.connected_components(graph, directed=False)
    low, high = np.full((count, 3), np.inf), np.full((count, 3), -np.inf)
    np.minimum.at(low, part, vertices)
    np.maximum.at(high, part, vertices)
    middle, top = (low + high) / 2, high[:, 2]
    mine = np.zeros(count, bool)
    for f in (room.fixtures[i] for i in group):
        load = _LOAD_M if f.kind in ("table", "island") else 0.05
        ceiling = f.box_centre_m[2] + f.box_size_m[2] / 2 + load
        mine |= (_outside_m(f, middle[:, :2]) < 0.04) & (top > 0.03) & (top < ceiling)
    return mine[part]
