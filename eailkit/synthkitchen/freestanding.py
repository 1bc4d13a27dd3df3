"""Where free-standing things go: island, table and chairs, shelf, bin. Axes and types as in `floorplan`."""

from __future__ import annotations

import numpy as np

from eailkit.synthkitchen.floorplan import CLEARANCE_M, RUN_DEPTH_M, FloorPlan, Piece, Rect


def place_pieces(plan: FloorPlan, rng: np.random.Generator) -> None:
    """Add island, table with chairs, shelf and bin to a plan where they fit; each only once."""
    keep_clear = [plan.wall_rect(w, u0, u1, 0.0, RUN_DEPTH_M + CLEARANCE_M) for w, u0, u1 in plan.runs]
    keep_clear.append(plan.door_zone())
    if plan.notch:
        keep_clear.append(plan.notch)
    floor_area = plan.width * plan.depth - sum((r.x1 - r.x0) * (r.y1 - r.y0) for r in plan.obstacles())
    if floor_area > 9.0 and rng.random() < 0.75:
        _island(plan, rng)
    if floor_area > 4.5 and rng.random() < 0.9:
        _table(plan, rng, keep_clear, floor_area)
    walls = _kept(plan)
    if rng.random() < 0.6:
        _along_wall(plan, rng, "shelf", float(rng.uniform(0.6, 0.95)), float(rng.uniform(0.26, 0.34)), walls, 0.12)
    side = float(rng.uniform(0.26, 0.36))
    walls = _kept(plan)
    _along_wall(plan, rng, "bin", side, side, walls, 0.02) or _along_wall(plan, rng, "bin", 0.24, 0.24, walls, 0.0)


def _kept(plan: FloorPlan) -> list[Rect]:
    """Everything that a thing at a wall may not stand on."""
    chairs = [p.rect for p in plan.pieces if p.kind == "chair"]
    return [plan.door_zone(), *plan.obstacles(), *plan.appliance_zones(), *chairs]


def _island(plan: FloorPlan, rng: np.random.Generator) -> None:
    """In the middle of the floor with 0.9 m around it, where that fits."""
    for _ in range(20):
        long, short = float(rng.uniform(0.9, 1.8)), float(rng.uniform(0.6, 0.9))
        w, d = (long, short) if rng.random() < 0.5 else (short, long)
        if plan.width < w + 1.8 or plan.depth < d + 1.8:
            continue
        x, y = float(rng.uniform(0.9, plan.width - w - 0.9)), float(rng.uniform(0.9, plan.depth - d - 0.9))
        rect = Rect(x, y, x + w, y + d)
        if not any(rect.overlaps(r, 0.95) for r in plan.obstacles()) and not rect.overlaps(plan.door_zone(), 0.1):
            plan.pieces.append(Piece("island", rect, _towards(plan, rect)))
            return


def _towards(plan: FloorPlan, rect: Rect) -> float:
    """Yaw of the island's front: a long side, the one that faces the first run where there is a choice."""
    run = plan.wall_frame(plan.runs[0][0])[2] - np.pi / 2
    along_x = rect.x1 - rect.x0 >= rect.y1 - rect.y0
    faces_y = abs(np.sin(run)) > 0.5
    return run if along_x == faces_y else run + np.pi / 2


def _table(plan: FloorPlan, rng: np.random.Generator, keep_clear: list[Rect], floor_area: float) -> None:
    """Against a wall or free in the room, with chairs on its open sides."""
    for attempt in range(60):
        long = float(rng.uniform(0.7, 1.0) if floor_area < 7.5 or attempt > 30 else rng.uniform(1.0, 1.7))
        short = float(rng.uniform(0.6, 0.85))
        w, d = (long, short) if rng.random() < 0.5 else (short, long)
        if plan.width < w or plan.depth < d:
            continue
        x, y = float(rng.uniform(0, plan.width - w)), float(rng.uniform(0, plan.depth - d))
        if attempt % 4 < 3:  # mostly against a wall
            x, y = [(x, 0.0), (plan.width - w, y), (x, plan.depth - d), (0.0, y)][int(rng.integers(4))]
        rect = Rect(x, y, x + w, y + d)
        islands = [p.rect for p in plan.pieces]
        if any(rect.overlaps(r) for r in keep_clear) or any(rect.overlaps(r, 0.8) for r in islands):
            continue
        chairs = _chairs(plan, rng, rect, keep_clear[-2:] if plan.notch else keep_clear[-1:])
        if chairs:
            plan.pieces += [Piece("table", rect, 0.0), *chairs]
            return


def _chairs(plan: FloorPlan, rng: np.random.Generator, table: Rect, keep_clear: list[Rect]) -> list[Piece]:
    """Up to four chairs; a chair's seat is 0.27 m from the edge, so that a sitter's body is clear of the table."""
    sides = []
    for front, length, x, y, dx, dy in (
        (np.pi / 2, table.x1 - table.x0, table.x0, table.y0 - 0.27, 1, 0),
        (-np.pi / 2, table.x1 - table.x0, table.x0, table.y1 + 0.27, 1, 0),
        (0.0, table.y1 - table.y0, table.x0 - 0.27, table.y0, 0, 1),
        (np.pi, table.y1 - table.y0, table.x1 + 0.27, table.y0, 0, 1),
    ):
        n = 2 if length > 1.25 else 1
        sides += [(front, x + dx * length * (k + 0.5) / n, y + dy * length * (k + 0.5) / n) for k in range(n)]
    chairs: list[Piece] = []
    for k in rng.permutation(len(sides)):
        front, x, y = sides[k]
        rect = Rect(x - 0.21, y - 0.21, x + 0.21, y + 0.21)
        inside = rect.x0 >= 0.05 and rect.y0 >= 0.05 and rect.x1 <= plan.width - 0.05 and rect.y1 <= plan.depth - 0.05
        taken = keep_clear + plan.obstacles() + [c.rect for c in chairs]
        if inside and not any(rect.overlaps(r, 0.02) for r in taken) and len(chairs) < 4:
            chairs.append(Piece("chair", rect, front))
    return chairs[: int(rng.integers(1, 5))]


def _along_wall(
    plan: FloorPlan, rng: np.random.Generator, kind: str, width: float, depth: float, taken: list[Rect], gap: float
) -> bool:
    """Stand a thing with its back to a free stretch of wall."""
    spots = []
    walls = [(w, 0.0, plan.wall_length(w)) for w in range(4)]
    for wall, start, end in walls:
        for u in np.arange(start + 0.02, end - width, 0.04):
            rect = plan.wall_rect(wall, u, u + width, 0.0, depth)
            front = plan.wall_rect(wall, u, u + width, depth, depth + 0.5)
            if any(rect.overlaps(r, gap) for r in taken):
                continue
            if kind == "shelf" and plan.window and plan.window[0] == wall:
                continue
            if any(front.overlaps(p.rect) for p in plan.pieces) or (plan.notch and front.overlaps(plan.notch)):
                continue
            spots.append((wall, rect))
    if not spots:
        return False
    wall, rect = spots[int(rng.integers(len(spots)))]
    plan.pieces.append(Piece(kind, rect, plan.wall_frame(wall)[2] + np.pi / 2))
    return True
