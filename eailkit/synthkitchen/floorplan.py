"""A kitchen on paper: footprints, units of counter runs, free-standing pieces, and which floor they leave.

Room axes: the floor is [0, width] x [0, depth], metres; wall k starts at corner k and runs counter-clockwise
(south, east, north, west), so that wall axes (u along it, v into the room) are the room's turned by k * 90 degrees.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

RUN_DEPTH_M = 0.62  # worktop, front edge included
HANDLE_M = 0.03
TALL_DEPTH_M = 0.66
CLEARANCE_M = 0.85  # in front of a run
_QUARTER_TURNS = ((1, 0), (0, 1), (-1, 0), (0, -1))  # cosine and sine of each wall's yaw


@dataclass(frozen=True)
class Rect:
    """A footprint with its sides along the room's axes, metres."""

    x0: float
    y0: float
    x1: float
    y1: float

    def overlaps(self, other: Rect, margin_m: float = 0.0) -> bool:
        """True where the two are closer than the margin along both axes."""
        return (
            self.x0 < other.x1 + margin_m
            and other.x0 < self.x1 + margin_m
            and self.y0 < other.y1 + margin_m
            and other.y0 < self.y1 + margin_m
        )


@dataclass(frozen=True)
class Slot:
    """A unit of a run from u0 to u1 along its wall: sink, stove, fridge, tall_oven, dishwasher, base or drawer."""

    kind: str
    wall: int
    u0: float
    u1: float

    @property
    def mid(self) -> float:
        """Middle along the wall, metres."""
        return (self.u0 + self.u1) / 2


@dataclass(frozen=True)
class Piece:
    """A free-standing thing: table, chair, island, bin or shelf; its footprint and the yaw that its front looks to."""

    kind: str
    rect: Rect
    front_rad: float


@dataclass
class FloorPlan:
    """A planned kitchen in room axes (metres); `fixtures` turns it into shapes."""

    counters: str
    width: float
    depth: float
    height: float
    notch: Rect | None
    slots: list[Slot] = field(default_factory=list)
    runs: list[tuple[int, float, float]] = field(default_factory=list)  # wall, u0, u1, corner squares included
    door: tuple[int, float, float] = (2, 0.0, 0.8)
    window: tuple[int, float, float] | None = None
    pieces: list[Piece] = field(default_factory=list)

    def wall_length(self, wall: int) -> float:
        """Length of a wall, metres."""
        return self.width if wall % 2 == 0 else self.depth

    def wall_frame(self, wall: int) -> tuple[float, float, float]:
        """Origin x, y and yaw of a wall's own axes: u along it, v into the room."""
        corner = [(0.0, 0.0), (self.width, 0.0), (self.width, self.depth), (0.0, self.depth)][wall]
        return (*corner, wall * np.pi / 2)

    def wall_rect(self, wall: int, u0: float, u1: float, v0: float, v1: float) -> Rect:
        """Footprint of a stretch of a wall from v0 to v1 in front of it."""
        x, y, _ = self.wall_frame(wall)
        c, s = _QUARTER_TURNS[wall]
        xs = [x + c * u - s * v for u, v in ((u0, v0), (u1, v1))]
        ys = [y + s * u + c * v for u, v in ((u0, v0), (u1, v1))]
        return Rect(min(xs), min(ys), max(xs), max(ys))

    def obstacles(self) -> list[Rect]:
        """Footprints that a body can't enter; chairs aren't among them, since they move."""
        rects = [self.wall_rect(w, u0, u1, 0.0, RUN_DEPTH_M + HANDLE_M) for w, u0, u1 in self.runs]
        rects += [
            self.wall_rect(s.wall, s.u0, s.u1, 0.0, TALL_DEPTH_M + HANDLE_M)
            for s in self.slots
            if s.kind in ("fridge", "tall_oven")
        ]
        rects += [p.rect for p in self.pieces if p.kind != "chair"]
        return rects + ([self.notch] if self.notch else [])

    def appliance_zones(self) -> list[Rect]:
        """Floor in front of sink, stove, fridge, oven and dishwasher where nothing may stand."""
        kinds = ("sink", "stove", "fridge", "tall_oven", "dishwasher")
        slots = [s for s in self.slots if s.kind in kinds]
        return [self.wall_rect(s.wall, s.u0, s.u1, RUN_DEPTH_M, RUN_DEPTH_M + CLEARANCE_M) for s in slots]

    def door_zone(self) -> Rect:
        """Floor inside the entrance that stays clear: where its leaf swings, and where one steps in."""
        wall, u0, u1 = self.door
        return self.wall_rect(wall, u0 - 0.02, u1 + 0.02, 0.0, max(0.85, u1 - u0))

    def is_free(self, xy: Float[np.ndarray, "n 2"], radius_m: float) -> Bool[np.ndarray, " n"]:
        """Positions that a disc of this radius can stand at."""
        x, y = xy[:, 0], xy[:, 1]
        free = (x >= radius_m) & (x <= self.width - radius_m) & (y >= radius_m) & (y <= self.depth - radius_m)
        for r in self.obstacles():
            dx = np.maximum(np.maximum(r.x0 - x, x - r.x1), 0.0)
            dy = np.maximum(np.maximum(r.y0 - y, y - r.y1), 0.0)
            free &= dx * dx + dy * dy >= radius_m**2
        return free
