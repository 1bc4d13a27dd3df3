"""A simulated kitchen taken apart: which triangles are the fridge, a cabinet, a chair, and what is the room itself.

A room of the simulator is one mesh and a list of what actions use. To change a map as years change a kitchen, whole
things must come and go with all that belongs to them: a cabinet with its doors, worktop and what lies on it, a stove
with its hood. The plan that a room was furnished by is found again from its seed, and proven by its mesh.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from eailkit.errors import DatasetError
from eailkit.synthkitchen import fixtures, layout
from eailkit.synthkitchen.floorplan import HANDLE_M, RUN_DEPTH_M, TALL_DEPTH_M, FloorPlan, Rect
from eailkit.synthkitchen.mesh import MeshBuilder
from eailkit.synthkitchen.palette import draw_materials
from eailkit.synthkitchen.room import Room, RoomConfig, draw_side

TALL = ("fridge", "tall_oven")
HUNG_DEPTH_M = fixtures.WALL_CABINET_DEPTH_M + 0.06  # with doors and handles
HUNG_Z_M = 1.38  # above it is what hangs (wall cabinets begin at 1.40), below it what stands on a worktop
ON_WALLS = ("picture", "handle", "label")  # surfaces of pictures, their frames, clocks and curtain rods
HUNG = ("front_upper", "shelf")  # surfaces of wall cabinets and open shelves
OVERHANG_M = 0.1  # of a leaf, a chair's turned back or a bin's pedal over the footprint
TO_CEILING = ("fridge", "tall_oven", "stove", "shelf")  # reach above that: what is up there is theirs
# what stays when a kitchen is refitted: tiles, sockets (of the window frame's material) and curtains among it
SHELL = (
    "wall", "floor", "ceiling", "skirting", "backsplash", "door", "window_pane", "window_frame", "curtain", "lamp",
    "rug",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Thing:
    """A whole thing of a kitchen, in the room's own axes (`floorplan`), metres.

    Attributes:
        name: unique in the room: "fridge", "base 2", "above drawer 1", "chair 3".
        kind: of the slot or piece that it is: "fridge", "base", "table"; "cabinet" where it hangs on a wall.
        rect: its footprint, handles included.
        wall: that it stands or hangs at, with its back to it; None where it stands free.
        hung: whether it hangs above what stands there.
        parts: indices into `Furnishings.boxes`.
        boxes: around its low and its high parts (a stove's hood is wide and the room below it free), (1 or 2, 2, 3),
            least and greatest corner.
    """

    name: str
    kind: str
    rect: Rect
    wall: int | None
    hung: bool
    parts: Int[np.ndarray, " parts"]
    boxes: Float[np.ndarray, "n 2 3"]


@dataclass(frozen=True, eq=False)
class Furnishings:
    """A room's things.

    Attributes:
        plan: that the room was furnished by; its slots, runs and pieces are where everything stands.
        things: in the order of the plan: units of the runs, what hangs above them, free-standing pieces.
        part_of_face: which connected part each face of the mesh belongs to, (faces,).
        boxes: around each part, room axes, least and greatest corner, m, (parts, 2, 3).
        fixed: which parts belong to no thing and stay, (parts,).
    """

    room: Room
    plan: FloorPlan
    things: tuple[Thing, ...]
    part_of_face: Int[np.ndarray, " faces"]
    boxes: Float[np.ndarray, "parts 2 3"]
    fixed: Bool[np.ndarray, " parts"]


def to_room_axes(room: Room, points_m: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Points of the map's frame in the room's own axes."""
    return np.column_stack([(points_m[:, :2] - room.origin_xy_m) @ _turn(room), points_m[:, 2]])


def to_map(room: Room, points_m: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """Points of the room's own axes in the map's frame."""
    return np.column_stack([points_m[:, :2] @ _turn(room).T + room.origin_xy_m, points_m[:, 2]])


def _turn(room: Room) -> np.ndarray:
    c, s = np.cos(room.yaw_rad), np.sin(room.yaw_rad)
    return np.array([[c, -s], [s, c]])


def plan_of(room: Room, config: RoomConfig | None = None) -> FloorPlan:
    """The plan that a room was furnished by, which the room doesn't keep.

    Each attempt of `room.generate_room` draws from a generator of its own, so that the outer size, which the room
    tells, stands for all attempts before. The plan is the one that furnishes the room's mesh, bit for bit.

    Raises:
        DatasetError: none does: the room was made by another simulator or another config.
    """
    config = config or RoomConfig()
    side = draw_side(np.random.default_rng([room.seed, 0x5EED]), config)
    l_shape = config.l_shape_probability if side > 2.9 else 0.0  # as `room.generate_room` has it
    runs = [sum(w % 2 == axis for w in layout.RUN_WALLS[room.counters]) for axis in (1, 0)]
    floor = [room.size_m[k] - 2 * config.body_radius_m - runs[k] * (RUN_DEPTH_M + HANDLE_M) for k in (0, 1)]
    for attempt in range(config.attempts):
        draw = np.random.default_rng([room.seed, attempt])
        draw.uniform(0.6, 1.0), draw.random()  # the floor's proportions, which its size already tells
        plan = layout.plan_room(draw, tuple(map(float, floor)), config.body_radius_m, l_shape)
        if plan is None or plan.counters != room.counters or abs(plan.height - room.size_m[2]) > 1e-9:
            continue
        builder = MeshBuilder(draw_materials(draw))
        if fixtures.furnish(plan, builder, draw) is None:
            continue
        vertices, faces, _ = builder.build()
        if np.array_equal(faces, room.mesh.faces) and np.allclose(
            to_map(room, vertices), room.mesh.vertices, rtol=0, atol=1e-6
        ):
            return plan
    raise DatasetError(
        f"{room.room_id}: found no plan that furnishes this room; expected one of simulator and config as they are; "
        "make the dataset anew."
    )


def furnishings(room: Room, config: RoomConfig | None = None) -> Furnishings:
    """Take a room apart; a part of the mesh belongs to the thing whose footprint its middle lies in, or nearest to.

    Raises:
        DatasetError: as `plan_of`.
    """
    plan = plan_of(room, config)
    part_of_face, boxes = _parts(room)
    material = room.face_material[np.unique(part_of_face, return_index=True)[1]]
    made_of = lambda names: np.isin(material, [room.materials.index(n) for n in names])  # noqa: E731
    fixed = made_of(SHELL) | (made_of(ON_WALLS) & _on_walls(plan, boxes))
    places = []
    for place in _places(plan):
        away = _away(boxes.mean(axis=1), *place[1:3], hung=place[4])
        if place[4] and not (made_of(HUNG) & ~fixed & (away == 0)).any():
            continue  # nothing hangs above this unit
        places.append((place, away))
    away = np.where(fixed, np.inf, np.stack([a for _, a in places]))
    owner = np.where(away.min(axis=0) <= OVERHANG_M, away.argmin(axis=0), -1)
    things = []
    for k, ((name, kind, rect, wall, hung), _) in enumerate(places):
        mine = np.flatnonzero(owner == k)
        things.append(Thing(name, kind, rect, wall, hung, mine, _low_and_high(boxes[mine])))
    return Furnishings(room, plan, tuple(things), part_of_face, boxes, owner < 0)


def _parts(room: Room) -> tuple[np.ndarray, np.ndarray]:
    """Connected part of each face, numbered in the order of the mesh, and the box around each part in room axes."""
    faces, n = np.asarray(room.mesh.faces), len(room.mesh.vertices)
    edges = np.concatenate([faces[:, :2], faces[:, 1:]])
    _, of_vertex = connected_components(coo_array((np.ones(len(edges)), edges.T), (n, n)), directed=False)
    _, first, part = np.unique(of_vertex[faces[:, 0]], return_index=True, return_inverse=True)
    part = np.argsort(np.argsort(first))[part]
    corners = to_room_axes(room, np.asarray(room.mesh.vertices))[faces]
    boxes = np.empty((part.max() + 1, 2, 3))
    boxes[:, 0], boxes[:, 1] = np.inf, -np.inf
    np.minimum.at(boxes[:, 0], part, corners.min(axis=1))
    np.maximum.at(boxes[:, 1], part, corners.max(axis=1))
    return part, boxes


def _places(plan: FloorPlan):
    """Name, kind, footprint, wall and whether it hangs, of all that a plan may hold."""
    number: dict[str, int] = {}
    slots = []
    for slot in plan.slots:
        depth = (TALL_DEPTH_M if slot.kind in TALL else RUN_DEPTH_M) + HANDLE_M
        number[slot.kind] = number.get(slot.kind, 0) + 1
        name = f"{slot.kind} {number[slot.kind]}"
        slots.append((name, slot))
        yield name, slot.kind, plan.wall_rect(slot.wall, slot.u0, slot.u1, 0.0, depth), slot.wall, False
    for name, slot in slots:
        if slot.kind not in (*TALL, "stove"):
            rect = plan.wall_rect(slot.wall, slot.u0, slot.u1, 0.0, HUNG_DEPTH_M)
            yield f"above {name}", "cabinet", rect, slot.wall, True
    for piece in plan.pieces:
        number[piece.kind] = number.get(piece.kind, 0) + 1
        wall = round((piece.front_rad - np.pi / 2) / (np.pi / 2)) % 4 if piece.kind in ("bin", "shelf") else None
        yield f"{piece.kind} {number[piece.kind]}", piece.kind, piece.rect, wall, False


def _on_walls(plan: FloorPlan, boxes: np.ndarray) -> np.ndarray:
    """Parts that are wholly the window's, its curtain rod with them, or hang flat on a wall without a run: pictures."""
    flat = [
        plan.wall_rect(wall, 0.0, plan.wall_length(wall), 0.0, 0.035)
        for wall in range(4)
        if all(wall != run for run, _, _ in plan.runs)
    ]
    if plan.window:
        wall, u0, u1 = plan.window
        flat.append(plan.wall_rect(wall, u0 - 0.12, u1 + 0.12, 0.0, 0.15))
    (x0, y0, z0), (x1, y1, _) = boxes[:, 0].T, boxes[:, 1].T
    within = [(x0 > r.x0 - 0.01) & (x1 < r.x1 + 0.01) & (y0 > r.y0 - 0.01) & (y1 < r.y1 + 0.01) for r in flat]
    return np.any(within, axis=0) & (z0 > 1.0)


def _away(middles: np.ndarray, kind: str, rect: Rect, *, hung: bool) -> np.ndarray:
    """How far the middles of parts lie outside a footprint, m; infinity at another height than the thing's."""
    x, y, z = middles.T
    dx = np.maximum(np.maximum(rect.x0 - x, x - rect.x1), 0.0)
    dy = np.maximum(np.maximum(rect.y0 - y, y - rect.y1), 0.0)
    height = z > HUNG_Z_M if hung else (z < HUNG_Z_M) | (kind in TO_CEILING)
    return np.where(height, np.hypot(dx, dy), np.inf)


def _low_and_high(boxes: np.ndarray) -> np.ndarray:
    high = boxes.mean(axis=1)[:, 2] > HUNG_Z_M
    groups = [boxes[g] for g in (~high, high) if g.any()]
    return np.stack([np.stack([b[:, 0].min(axis=0), b[:, 1].max(axis=0)]) for b in groups])
