"""A kitchen as it was years ago: a share of its things stood elsewhere, or weren't there yet.

What a user's map shows who scanned the room once. The rules of what may stand where are those that the simulator plans
kitchens by (`layout`, `freestanding`, `room`): no two things in one place, doors and fronts of units kept clear, all
that is used within reach of one connected piece of floor. People's recordings are of the room as it is: they stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from eailkit.errors import ConfigError
from eailkit.experiments.furnishings import Furnishings, Thing, furnishings, to_map, to_room_axes
from eailkit.synthkitchen.floorplan import CLEARANCE_M, FloorPlan, Piece, Rect
from eailkit.synthkitchen.mesh import to_trimesh
from eailkit.synthkitchen.room import Room, RoomConfig

KINDS = {  # what happens to one thing after the other, in turn
    "moved or absent": ("moved", "absent"),
    "moved": ("moved",),
    "absent": ("absent",),
    "extra": ("extra",),
}
MOVED_M = 0.5  # a thing that moves by less stands in the same place
STEP_M = 0.05  # between places that are tried
TOUCH_M = 0.03  # boxes may meet by so much: handles, sockets, pictures on the wall behind
REACH_M = 0.42  # of the floor from where one would stand to use a thing (`room` allows as much)
APPLIANCES = ("sink", "stove", "fridge", "tall_oven", "dishwasher")
UNITS = (*APPLIANCES, "base", "drawer")


@dataclass(frozen=True, eq=False)
class Standing:
    """A thing in a place.

    Attributes:
        rect, wall: as `Thing` has them where it stands in the room as it is.
        turns: quarter turns, counter-clockwise, from there.
    """

    thing: Thing
    rect: Rect
    wall: int | None
    turns: int = 0

    @property
    def boxes(self) -> Float[np.ndarray, "n 2 3"]:
        """The thing's boxes here, room axes, m."""
        corners = carried(self.thing.boxes.reshape(-1, 3), self).reshape(-1, 2, 3)
        return np.stack([corners.min(axis=1), corners.max(axis=1)], axis=1)


@dataclass(frozen=True, eq=False)
class Change:
    """What differs in the older room: "moved" or "extra" (a second one, gone since) with its place, or "absent"."""

    what: str
    thing: Thing
    to: Standing | None = None


def carried(points_m: Float[np.ndarray, "n 3"], to: Standing) -> Float[np.ndarray, "n 3"]:
    """Points of a thing, room axes, m, taken to another place: turned about its footprint's middle, then shifted."""
    c, s = ((1, 0), (0, 1), (-1, 0), (0, -1))[to.turns % 4]
    flat = (points_m[:, :2] - _middle(to.thing.rect)) @ np.array([[c, s], [-s, c]], float) + _middle(to.rect)
    return np.column_stack([flat, points_m[:, 2]])


def changes_of(room: Furnishings, share: float, seed: int, kind: str = "moved or absent") -> list[Change]:
    """The changes of a share of a room's things; those of a smaller share are the first of a larger one's.

    An order of all things is drawn. In turn the next that fits somewhere else is moved, and the next is taken away
    (who begins is drawn too). It hangs on room, seed and kind alone.

    Args:
        share: of the things, 0 to 1, rounded to a whole number of them.
        kind: one of `KINDS`.

    Returns:
        fewer than asked for where no thing fits anywhere else and `kind` takes none away.

    Raises:
        ConfigError: a share or a kind that can't be.
    """
    if not 0 <= share <= 1 or kind not in KINDS:
        raise ConfigError(
            f"changed rooms: found a share of {share:g} and '{kind}'; expected 0 to 1 and one of {', '.join(KINDS)}; "
            "choose these."
        )
    rng = np.random.default_rng([seed, room.room.seed, 0x01D])
    left = [room.things[k] for k in rng.permutation(len(room.things))]
    turn, found = int(rng.integers(2)), []
    standing = [Standing(t, t.rect, t.wall) for t in room.things]
    for step in range(int(share * len(left) + 0.5)):
        what = KINDS[kind][(step + turn) % len(KINDS[kind])]
        change = None if what == "absent" else _next_moved(room, standing, left, what, [seed, room.room.seed, step])
        if change is None:
            if "absent" not in KINDS[kind]:
                break
            change = Change("absent", left[0])
        left.remove(change.thing)
        standing = after(standing, change)
        found.append(change)
    return found


def after(standing: Sequence[Standing], change: Change) -> list[Standing]:
    """What stands where once a change is made."""
    kept = [s for s in standing if change.what == "extra" or s.thing is not change.thing]
    return [*kept, change.to] if change.to else kept


def _next_moved(
    room: Furnishings, standing: list[Standing], left: list[Thing], what: str, draw: list[int]
) -> Change | None:
    """The first of the things left that fits somewhere else, in a place drawn from all such."""
    for number, thing in enumerate(left):
        others = standing if what == "extra" else [s for s in standing if s.thing is not thing]
        rule, spots = _Fit(room, others), list(_spots(room.plan, thing))
        for k in np.random.default_rng([*draw, number]).permutation(len(spots)):
            if rule(spots[k]):
                return Change(what, thing, spots[k])
    return None


def _spots(plan: FloorPlan, thing: Thing) -> Iterator[Standing]:
    """Every place that a thing could be tried at: along each wall, or turned by quarters anywhere on the floor."""
    r = thing.rect
    along, deep = r.x1 - r.x0, r.y1 - r.y0
    if thing.wall is not None:
        width, depth = (along, deep) if thing.wall % 2 == 0 else (deep, along)
        for wall in range(4):
            for u in np.arange(0.0, plan.wall_length(wall) - width + 1e-9, STEP_M):
                yield Standing(thing, plan.wall_rect(wall, u, u + width, 0.0, depth), wall, (wall - thing.wall) % 4)
        return
    for turns in range(4 if thing.kind == "chair" else 2):
        w, d = (along, deep) if turns % 2 == 0 else (deep, along)
        for x in np.arange(0.0, plan.width - w + 1e-9, 2 * STEP_M):
            for y in np.arange(0.0, plan.depth - d + 1e-9, 2 * STEP_M):
                yield Standing(thing, Rect(x, y, x + w, y + d), None, turns)


class _Fit:
    """Whether a thing may stand in a place, among others that stay where they are."""

    def __init__(self, room: Furnishings, others: list[Standing]):
        self.room, self.plan, self.others = room, room.plan, others
        self.kept = [room.plan.door_zone(), *([room.plan.notch] if room.plan.notch else [])]
        self.corners = dead_corners(room.plan)
        self.boxes = np.concatenate([room.boxes[room.fixed], *(s.boxes for s in others)])
        self.zones = [(s, z) for s in others if (z := front_zone(self.plan, s)) is not None]
        self.reached = self._reached(others)

    def __call__(self, spot: Standing) -> bool:
        away = np.linalg.norm(_middle(spot.rect) - _middle(spot.thing.rect))
        return bool(
            (away >= MOVED_M or any(s.thing is spot.thing for s in self.others))
            and not any(spot.rect.overlaps(r) for r in self.kept)
            and not self._meets(spot) and self._keeps_clear(spot) and self._leaves_floor(spot)
        )  # fmt: skip

    def _meets(self, spot: Standing) -> bool:
        if not spot.thing.hung:
            margin = 0.02 if spot.thing.kind == "chair" else -1e-6
            rects = [*self.corners, *(s.rect for s in self.others if not s.thing.hung)]
            if any(spot.rect.overlaps(r, margin) for r in rects):
                return True
        shared = np.minimum(spot.boxes[:, None, 1], self.boxes[None, :, 1]) - np.maximum(
            spot.boxes[:, None, 0], self.boxes[None, :, 0]
        )
        return bool((shared > TOUCH_M).all(axis=2).any())

    def _keeps_clear(self, spot: Standing) -> bool:
        """The floor in front of units, of this one and of the others, and around islands and tables."""
        kind = spot.thing.kind
        if spot.thing.hung or kind == "chair":
            return True
        solid = [s for s in self.others if not s.thing.hung and s.thing.kind != "chair"]
        zone = front_zone(self.plan, spot)
        if zone is not None:
            inside = min(zone.x0, zone.y0) > -1e-6 and zone.x1 < self.plan.width + 1e-6
            blocked = [*self.corners, *self.kept[1:], *(s.rect for s in solid)]
            if not inside or zone.y1 > self.plan.depth + 1e-6 or any(zone.overlaps(r, -1e-6) for r in blocked):
                return False
        near = APPLIANCES if kind in ("bin", "shelf") else (*UNITS, "bin", "shelf")
        if any(z.overlaps(spot.rect, -1e-6) for s, z in self.zones if s.thing.kind in near):
            return False
        apart = {"island": [(s, 0.9) for s in solid], "table": [(s, 0.8) for s in solid if s.thing.kind == "island"]}
        return not any(spot.rect.overlaps(s.rect, m) for s, m in apart.get(kind, []))

    def _leaves_floor(self, spot: Standing) -> bool:
        """The door leads in, the thing is within reach, and so is all that was before."""
        here = [*self.others, spot]
        floor = free_floor(self.room, here)
        wall, u0, u1 = self.plan.door
        step = self.plan.wall_rect(wall, (u0 + u1) / 2, (u0 + u1) / 2, 0.5, 0.5)
        if _distance(self.room, floor, np.array([[step.x0, step.y0]])) > 0.05:
            return False
        reached = self._reached(here, floor)
        return reached[-1] and all(now or not before for now, before in zip(reached[:-1], self.reached, strict=True))

    def _reached(self, standing: list[Standing], floor: np.ndarray | None = None) -> list[bool]:
        floor = free_floor(self.room, standing) if floor is None else floor
        return [within_reach(self.room, floor, s) for s in standing]


def front_zone(plan: FloorPlan, spot: Standing) -> Rect | None:
    """The floor that stays clear in front of what stands at a wall; None for what hangs, or stands free."""
    if spot.wall is None or spot.thing.hung:
        return None
    x, y, _ = plan.wall_frame(spot.wall)
    r, along_x = spot.rect, spot.wall % 2 == 0
    width, depth = (r.x1 - r.x0, r.y1 - r.y0) if along_x else (r.y1 - r.y0, r.x1 - r.x0)
    u0 = (r.x0, r.y0, x - r.x1, y - r.y1)[spot.wall]  # from the wall's own corner
    clear = CLEARANCE_M if spot.thing.kind in UNITS else 0.5
    return plan.wall_rect(spot.wall, u0, u0 + width, depth, depth + clear)


def dead_corners(plan: FloorPlan) -> list[Rect]:
    """Where two runs meet: worktop over nothing, which is nobody's unit and stays."""
    found = []
    for wall, u0, u1 in plan.runs:
        ends = [(s.u0, s.u1) for s in plan.slots if s.wall == wall]
        first, last = min(a for a, _ in ends), max(b for _, b in ends)
        gaps = [(a, b) for a, b in ((u0, first), (last, u1)) if b - a > 1e-6]
        found += [plan.wall_rect(wall, a, b, 0.0, 0.65) for a, b in gaps]
    return found


def free_floor(room: Furnishings, standing: Sequence[Standing]) -> Bool[np.ndarray, "ny nx"]:
    """The largest connected piece of floor that a body's centre can occupy, on the raster of `Room.free`.

    Chairs don't block it, as in the simulator; what hangs above it does, where no unit stands below.
    """
    plan, raster = room.plan, room.room
    pieces = [Piece("corner", r, 0.0) for r in dead_corners(plan)]
    pieces += [Piece(s.thing.kind, s.rect, 0.0) for s in standing]
    bare = FloorPlan(plan.counters, plan.width, plan.depth, plan.height, plan.notch, pieces=pieces)
    iy, ix = np.indices(raster.free.shape)
    xy = raster.free_origin_xy_m + raster.free_pitch_m * np.stack([ix.ravel(), iy.ravel()], axis=1)
    local = to_room_axes(raster, np.column_stack([xy, np.zeros(len(xy))]))[:, :2]
    label, count = ndimage.label(bare.is_free(local, RoomConfig().body_radius_m).reshape(raster.free.shape))
    return label == 1 + int(np.argmax(np.bincount(label.ravel(), minlength=count + 1)[1:]))


def within_reach(room: Furnishings, floor: Bool[np.ndarray, "ny nx"], spot: Standing) -> bool:
    """Whether somebody can stand (or sit) where the thing is used; of a table, at one of its sides."""
    r, kind = spot.rect, spot.thing.kind
    x, y = _middle(r)
    sides = np.array([[x, r.y0 - 0.3], [r.x1 + 0.3, y], [x, r.y1 + 0.3], [r.x0 - 0.3, y]])
    if kind == "chair":
        return bool(_distance(room, floor, np.array([[x, y]])).min() <= 0.12)
    if spot.wall is None:
        return bool(_distance(room, floor, sides).min() <= 0.15)
    front = sides[(2, 3, 0, 1)[spot.wall]]
    if spot.thing.hung:  # reached over the worktop below it
        front = front + 0.25 * np.array([(0, 1), (-1, 0), (0, -1), (1, 0)][spot.wall])
    return bool(_distance(room, floor, front[None]).min() <= REACH_M)


def _distance(room: Furnishings, floor: np.ndarray, xy_m: np.ndarray) -> np.ndarray:
    """How far points, room axes, are from the nearest free cell, m."""
    iy, ix = np.nonzero(floor)
    cells = room.room.free_origin_xy_m + room.room.free_pitch_m * np.stack([ix, iy], axis=1)
    at = to_map(room.room, np.column_stack([xy_m, np.zeros(len(xy_m))]))[:, :2]
    return np.linalg.norm(cells[None] - at[:, None], axis=2).min(axis=1) if len(cells) else np.full(len(at), np.inf)


def older_room(room: Furnishings, changes: Sequence[Change]) -> Room:
    """The room with changes made: another mesh and another free floor. Without any it is the room itself.

    It keeps name, seed and area side, and with them how long the scan's walk is; its list of fixtures is empty, since
    nobody acts in it.
    """
    if not changes:
        return room.room
    base, standing = room.room, [Standing(t, t.rect, t.wall) for t in room.things]
    vertices, faces = np.array(base.mesh.vertices), np.asarray(base.mesh.faces)
    gone = np.zeros(len(faces), bool)
    all_faces, materials = [], []
    for change in changes:
        standing = after(standing, change)
        own = np.isin(room.part_of_face, change.thing.parts)
        gone |= own & (change.what != "extra")
        if change.to is not None:
            used, index = np.unique(faces[own], return_inverse=True)
            moved = to_map(base, carried(to_room_axes(base, np.asarray(base.mesh.vertices)[used]), change.to))
            all_faces.append(index.reshape(-1, 3) + len(vertices))
            materials.append(base.face_material[own])
            vertices = np.concatenate([vertices, moved])
    mesh = to_trimesh(vertices, np.concatenate([faces[~gone], *all_faces]))
    return replace(
        base, mesh=mesh, face_material=np.concatenate([base.face_material[~gone], *materials]), fixtures=(),
        free=free_floor(room, standing),
    )  # fmt: skip


def older(room: Room, share: float, seed: int, kind: str = "moved or absent") -> tuple[Room, list[Change], int]:
    """A room of the simulator as it was before a share of its things came or moved, what that was, and of how many."""
    apart = furnishings(room)
    changes = changes_of(apart, share, seed, kind)
    return older_room(apart, changes), changes, len(apart.things)


def _middle(rect: Rect) -> np.ndarray:
    return np.array([(rect.x0 + rect.x1) / 2, (rect.y0 + rect.y1) / 2])
