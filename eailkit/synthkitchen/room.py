"""Kitchens as data: fixtures, free floor and a mesh, drawn by the rules of kitchen planning from one seed.

`generate_room` is the only entry; `layout` decides where things stand, `fixtures` gives them their shapes,
`mesh` collects the faces. Nothing here knows about people, motion or sensors. A room is planned in its own
axes (x and y along the walls) and leaves this module in the map frame: metres, z up, floor at z = 0, the
walls at a random yaw, the origin anywhere, as in a real SLAM map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from jaxtyping import Bool, Float, Int
from scipy import ndimage, special

from eailkit.errors import ConfigError
from eailkit.synthkitchen import fixtures, layout
from eailkit.synthkitchen.floorplan import FloorPlan
from eailkit.synthkitchen.mesh import Materials, MeshBuilder, to_trimesh
from eailkit.synthkitchen.palette import draw_materials

FIXTURE_KINDS = (
    "sink", "stove", "oven", "fridge", "dishwasher", "counter", "wall_cabinet", "base_cabinet",
    "drawer", "bin", "table", "chair", "island", "microwave", "shelf",
)  # fmt: skip


@dataclass(frozen=True)
class RoomConfig:
    """What rooms are drawn from; lengths in metres.

    The activity area is the axis-aligned square of the map that holds the free floor. EAIL reports sides
    of 2.8 m on average and 6.15 m at most on Ego-Exo4D; the shape of the distribution isn't given, and a
    log-normal one cut at both ends is the plainest that is positive and skewed to large rooms.
    """

    median_side_m: float = 2.43
    log_sigma: float = 0.30
    min_side_m: float = 2.0
    max_side_m: float = 6.15
    l_shape_probability: float = 0.6  # of the rooms large enough to lose a corner
    offset_m: float = 5.0  # the room's centre lies within this of the map's origin, along x and along y
    body_radius_m: float = 0.22
    free_pitch_m: float = 0.05
    attempts: int = 60

    def __post_init__(self) -> None:
        if not 1.9 <= self.min_side_m < self.max_side_m <= 8.0:
            raise ConfigError(
                f"RoomConfig: found sides from {self.min_side_m:g} to {self.max_side_m:g} m; expected "
                "1.9 <= min_side_m < max_side_m <= 8; change the two."
            )


@dataclass(frozen=True, eq=False)
class Fixture:
    """One thing in the room that an action can be tied to, in the map frame.

    Attributes:
        name: unique in the room, such as "sink" or "wall_cabinet_3".
        kind: one of FIXTURE_KINDS.
        work_point_m: where the hands act (basin, burner, inside of the oven, cabinet door, ...), (3,).
        stand_xy_m: where the body stands to use it, or sits for a chair; on the free floor, (2,).
        facing_rad: yaw of a person at stand_xy_m who faces the work point.
        box_centre_m, box_size_m: box around it, (3,) each; the size is along the box's own axes.
        box_yaw_rad: yaw of the box's x axis in the map.
    """

    name: str
    kind: str
    work_point_m: Float[np.ndarray, " 3"]
    stand_xy_m: Float[np.ndarray, " 2"]
    facing_rad: float
    box_centre_m: Float[np.ndarray, " 3"]
    box_size_m: Float[np.ndarray, " 3"]
    box_yaw_rad: float


@dataclass(frozen=True, eq=False)
class Room:
    """A kitchen in its map frame (metres, z up, floor at z = 0).

    Attributes:
        yaw_rad: yaw of the room's own x axis in the map.
        origin_xy_m: where the room's own origin (a corner of the outer rectangle) lies in the map, (2,).
        size_m: outer width, depth and height of the room along its own axes, (3,).
        area_side_m: side of the activity area, the map's axis-aligned square that holds the free floor.
        area_centre_xy_m: its centre, (2,).
        shape: "rectangle" or "l"; counters: "single", "galley", "l" or "u".
        free: floor that a body's centre can occupy, one connected piece, (ny, nx), index [iy, ix]. Chairs
            don't block it: they are pulled out and pushed back.
        free_origin_xy_m: map position of the centre of free[0, 0]; cell (iy, ix) is at
            free_origin_xy_m + free_pitch_m * (ix, iy).
        mesh: triangles, (faces, 3); face_material: index into materials, (faces,).
    """

    room_id: str
    seed: int
    yaw_rad: float
    origin_xy_m: Float[np.ndarray, " 2"]
    size_m: Float[np.ndarray, " 3"]
    area_side_m: float
    area_centre_xy_m: Float[np.ndarray, " 2"]
    shape: str
    counters: str
    fixtures: tuple[Fixture, ...]
    free: Bool[np.ndarray, "ny nx"]
    free_origin_xy_m: Float[np.ndarray, " 2"]
    free_pitch_m: float
    mesh: trimesh.Trimesh
    face_material: Int[np.ndarray, " faces"]
    materials: Materials

    def of_kind(self, kind: str) -> tuple[Fixture, ...]:
        """All fixtures of one kind, in the order of the room."""
        return tuple(f for f in self.fixtures if f.kind == kind)

    def free_index(self, xy_m: Float[np.ndarray, "n 2"]) -> Int[np.ndarray, "n 2"]:
        """Row and column (iy, ix) of the free grid's nearest cell; outside positions are clipped to the border."""
        ij = np.rint((np.asarray(xy_m, float) - self.free_origin_xy_m) / self.free_pitch_m).astype(int)[:, ::-1]
        return np.clip(ij, 0, np.array(self.free.shape) - 1)

    def free_centres(self) -> Float[np.ndarray, "n 2"]:
        """Map positions of the free cells, row by row."""
        iy, ix = np.nonzero(self.free)
        return self.free_origin_xy_m + self.free_pitch_m * np.stack([ix, iy], axis=1)


def draw_side(rng: np.random.Generator, config: RoomConfig) -> float:
    """Side of an activity area, metres: a log-normal cut (not clamped) at both limits."""
    low, high = (np.log(v / config.median_side_m) / config.log_sigma for v in (config.min_side_m, config.max_side_m))
    p = rng.uniform(special.ndtr(low), special.ndtr(high))
    return float(config.median_side_m * np.exp(config.log_sigma * special.ndtri(p)))


def generate_room(seed: int, room_id: str | None = None, *, config: RoomConfig | None = None) -> Room:
    """A kitchen; the same seed and config give the same room, bit for bit.

    Side, yaw and offset are drawn once; layouts are drawn until one meets every rule, so the sizes stay
    those of the distribution. Each attempt corrects the floor by how far the last one missed the side.

    Args:
        seed: of the room.
        room_id: its name; "kitchen_<seed>" by default.
        config: what to draw from.

    Raises:
        ConfigError: no layout fits (a config outside the usual sizes).
    """
    config = config or RoomConfig()
    rng = np.random.default_rng([seed, 0x5EED])
    side, yaw = draw_side(rng, config), float(rng.uniform(-np.pi, np.pi))
    centre = rng.uniform(-config.offset_m, config.offset_m, 2)
    l_shape = config.l_shape_probability if side > 2.9 else 0.0
    scale = 1.0
    for attempt in range(config.attempts):
        draw = np.random.default_rng([seed, attempt])
        ratio = float(draw.uniform(0.6, 1.0))
        c, s = abs(np.cos(yaw)), abs(np.sin(yaw))
        long = scale * side / max(c + ratio * s, s + ratio * c)
        floor = (long, ratio * long) if draw.random() < 0.65 else (ratio * long, long)
        plan = layout.plan_room(draw, floor, config.body_radius_m, l_shape)
        if plan is None:
            continue
        turn = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
        origin = centre - turn @ np.array([plan.width / 2, plan.depth / 2])
        free, free_origin = _free_floor(plan, turn, origin, config)
        if not free.any() or not _door_leads_in(plan, free, free_origin, turn, origin, config):
            continue
        low, high = _extent(free, free_origin, config.free_pitch_m)
        got = float((high - low).max())
        if abs(got / side - 1) > 0.07 or not config.min_side_m <= got <= config.max_side_m:
            scale = float(np.clip(scale * side / got, 0.7, 1.5))
            continue
        builder = MeshBuilder(draw_materials(draw))
        spots = fixtures.furnish(plan, builder, draw)
        if spots is None:
            continue
        placed = _place_fixtures(spots, free, free_origin, turn, origin, yaw, config)
        if placed is None:
            continue
        vertices, faces, material = builder.build()
        vertices[:, :2] = vertices[:, :2] @ turn.T + origin
        return Room(
            room_id=room_id or f"kitchen_{seed}",
            seed=seed,
            yaw_rad=yaw,
            origin_xy_m=origin,
            size_m=np.array([plan.width, plan.depth, plan.height]),
            area_side_m=got,
            area_centre_xy_m=(low + high) / 2,
            shape="l" if plan.notch else "rectangle",
            counters=plan.counters,
            fixtures=placed,
            free=free,
            free_origin_xy_m=free_origin,
            free_pitch_m=config.free_pitch_m,
            mesh=to_trimesh(vertices, faces),
            face_material=material,
            materials=builder.materials,
        )
    raise ConfigError(
        f"RoomConfig: found no layout for seed {seed} with a side of {side:.2f} m in {config.attempts} attempts; "
        "expected sides of 2 to 6.15 m; raise attempts or the smallest side."
    )


def _free_floor(plan: FloorPlan, turn: np.ndarray, origin: np.ndarray, config: RoomConfig):
    """The largest connected piece of free floor on a map-aligned grid, and the centre of its first cell."""
    corners = np.array([[0, 0], [plan.width, 0], [plan.width, plan.depth], [0, plan.depth]]) @ turn.T + origin
    pitch = config.free_pitch_m
    low = np.floor(corners.min(0) / pitch) * pitch
    nx, ny = np.ceil((corners.max(0) - low) / pitch).astype(int) + 1
    x, y = low[0] + pitch * np.arange(nx), low[1] + pitch * np.arange(ny)
    xy = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)  # row by row: y slow, x fast
    free = plan.is_free((xy - origin) @ turn, config.body_radius_m).reshape(ny, nx)
    label, count = ndimage.label(free)
    if count > 1:
        free = label == 1 + int(np.argmax(np.bincount(label.ravel())[1:]))
    return free, low


def _door_leads_in(plan: FloorPlan, free, free_origin, turn, origin, config: RoomConfig) -> bool:
    """Whether who stands behind the opened door stands on the piece of floor that was kept."""
    wall, u0, u1 = plan.door
    step = plan.wall_rect(wall, (u0 + u1) / 2, (u0 + u1) / 2, 0.5, 0.5)
    at = np.rint((turn @ np.array([step.x0, step.y0]) + origin - free_origin) / config.free_pitch_m).astype(int)
    return bool(free[at[1], at[0]])


def _extent(free: np.ndarray, origin: np.ndarray, pitch: float) -> tuple[np.ndarray, np.ndarray]:
    iy, ix = np.nonzero(free)
    low, high = np.array([ix.min(), iy.min()]), np.array([ix.max(), iy.max()])
    return origin + (low - 0.5) * pitch, origin + (high + 0.5) * pitch


_MAX_SHIFT_M = {"table": 0.15, "chair": 0.12, "island": 0.2}  # further than this is another place
_OPTIONAL = ("table", "island")  # have several sides; one of them is enough


def _place_fixtures(spots, free, free_origin, turn, origin, yaw, config: RoomConfig) -> tuple[Fixture, ...] | None:
    """Fixtures in the map frame with their stand points on free floor; None where a body can't reach one."""
    iy, ix = np.nonzero(free)
    cells = free_origin + config.free_pitch_m * np.stack([ix, iy], axis=1)
    found: list[Fixture] = []
    number: dict[str, int] = {}
    several = {kind for kind in {s.kind for s in spots} if sum(s.kind == kind for s in spots) > 1}
    for spot in spots:
        stand = turn @ spot.stand + origin
        distance = np.linalg.norm(cells - stand, axis=1)
        nearest = int(distance.argmin())
        if distance[nearest] > _MAX_SHIFT_M.get(spot.kind, 0.42):
            if spot.kind in _OPTIONAL:
                continue
            return None
        stand = cells[nearest]
        work = np.array([*(turn @ spot.work[:2] + origin), spot.work[2]])
        centre = np.array([*(turn @ spot.centre[:2] + origin), spot.centre[2]])
        number[spot.kind] = number.get(spot.kind, 0) + 1
        name = f"{spot.kind}_{number[spot.kind]}" if spot.kind in several else spot.kind
        facing = float(np.arctan2(work[1] - stand[1], work[0] - stand[0]))
        box_yaw = float(np.arctan2(np.sin(spot.yaw_rad + yaw), np.cos(spot.yaw_rad + yaw)))
        found.append(Fixture(name, spot.kind, work, stand, facing, centre, spot.size, box_yaw))
    needed = set(FIXTURE_KINDS) - {"table", "chair", "island"}
    if needed - {f.kind for f in found}:
        return None
    return tuple(found)
