"""A planned kitchen becomes shapes and fixtures: the units of its runs, what is above and on them, furniture.

Wall axes as in `floorplan`. Stand points here are where a body would like to stand; `room` moves them to
the nearest free floor.
"""

from __future__ import annotations

import numpy as np

from eailkit.synthkitchen import props, shell
from eailkit.synthkitchen.floorplan import RUN_DEPTH_M, FloorPlan, Piece
from eailkit.synthkitchen.mesh import Frame, MeshBuilder
from eailkit.synthkitchen.units import UNITS, Spot, Style, doors, spot_of

WALL_CABINET_DEPTH_M = 0.34


def furnish(plan: FloorPlan, builder: MeshBuilder, rng: np.random.Generator) -> list[Spot] | None:
    """Add the whole kitchen to the builder and return its fixtures; None where no wall cabinet or shelf fits."""
    style = Style(
        height=float(rng.uniform(0.86, 0.94)),
        top=float(rng.uniform(0.025, 0.04)),
        handle=str(rng.choice(["bar", "knob", "edge"], p=[0.6, 0.25, 0.15])),
        cabinet_z0=float(rng.uniform(1.40, 1.48)),
        cabinet_z1=float(rng.uniform(2.05, 2.25)),
        fridge_height=float(rng.uniform(1.70, 1.90)),
    )
    shell.build_shell(plan, builder, rng)
    spots: list[Spot] = []
    tall_oven = any(s.kind == "tall_oven" for s in plan.slots)
    for slot in plan.slots:
        f = builder.frame(
            plan.wall_frame(slot.wall)[0], plan.wall_frame(slot.wall)[1], 0.0, plan.wall_frame(slot.wall)[2]
        )
        UNITS[slot.kind](f, slot, style, spots, rng, tall_oven)
    shell.worktops(plan, builder, style.height, style.top)
    if not _counters(plan, builder, style, spots, rng):
        return None
    if not _uppers(plan, builder, style, spots, rng):
        return None
    for piece in plan.pieces:
        _piece(builder, piece, style, spots, rng)
    return spots


# ---- worktops in use, wall cabinets, free-standing things ---------------------------------------
def _stretches(plan: FloorPlan) -> list[tuple[int, float, float]]:
    """Unbroken worktop of base and drawer units: wall, u0, u1."""
    found: list[list] = []
    for s in plan.slots:
        if s.kind in ("base", "drawer"):
            if found and found[-1][0] == s.wall and abs(found[-1][2] - s.u0) < 1e-6:
                found[-1][2] = s.u1
            else:
                found.append([s.wall, s.u0, s.u1])
    return [tuple(x) for x in found]


def _counters(plan: FloorPlan, builder: MeshBuilder, style: Style, spots: list[Spot], rng: np.random.Generator) -> bool:
    """Worktop fixtures with clutter, and the microwave: on the longest stretch, or hung above it."""
    stretches = sorted(_stretches(plan), key=lambda x: x[1] - x[2])
    for rank, (wall, u0, u1) in enumerate(stretches):
        f = builder.frame(plan.wall_frame(wall)[0], plan.wall_frame(wall)[1], 0.0, plan.wall_frame(wall)[2])
        if rank == 0 and u1 - u0 >= 1.05:
            at_end = rng.random() < 0.5
            mid = u1 - 0.26 if at_end else u0 + 0.26
            _microwave(f, mid, style.height, spots)
            u0, u1 = (u0, u1 - 0.52) if at_end else (u0 + 0.52, u1)
        if u1 - u0 < 0.38 and rank > 0:
            continue
        parts = max(1, round((u1 - u0) / 1.1))
        for k in range(parts):
            a, b = u0 + (u1 - u0) * k / parts, u0 + (u1 - u0) * (k + 1) / parts
            top = f.sub(0, 0, style.height)
            count = int(rng.integers(1, 2 + int((b - a) / 0.3)))
            props.scatter(top, props.TOP_ITEMS, a + 0.12, b - 0.12, 0.14, 0.3, rng, count)
            spots.append(
                spot_of(
                    f,
                    "counter",
                    ((a + b) / 2, 0.42, style.height + 0.05),
                    0.92,
                    (a, 0, style.height - 0.04),
                    (b, RUN_DEPTH_M, style.height + 0.3),
                )
            )
    return any(s.kind == "counter" for s in spots)


def _microwave(f: Frame, mid: float, z: float, spots: list[Spot], v0: float = 0.05) -> None:
    a, b, v1 = mid - 0.235, mid + 0.235, v0 + 0.34
    f.box((a, v0, z + 0.012), (b, v1, z + 0.28), "oven")
    f.box((a + 0.02, v1, z + 0.03), (b - 0.13, v1 + 0.012, z + 0.26), "black_glass")
    f.box((b - 0.125, v1 + 0.02, z + 0.05), (b - 0.11, v1 + 0.035, z + 0.24), "chrome")
    for i in range(4):
        for j in range(2):
            u, h = b - 0.085 + 0.035 * j, z + 0.06 + 0.04 * i
            f.box((u, v1, h), (u + 0.022, v1 + 0.008, h + 0.022), "label")
    f.box((b - 0.09, v1, z + 0.22), (b - 0.02, v1 + 0.008, z + 0.255), "black_glass")
    spots.append(spot_of(f, "microwave", (mid, v0 + 0.25, z + 0.14), 0.98, (a, v0, z), (b, v1 + 0.04, z + 0.28)))


def _uppers(plan: FloorPlan, builder: MeshBuilder, style: Style, spots: list[Spot], rng: np.random.Generator) -> bool:
    """Wall cabinets above the units but not above the stove or over the window; one may be an open shelf."""
    full = {w for i, (w, _, _) in enumerate(plan.runs) if i == 0 or rng.random() < 0.6}
    places = []
    for s in plan.slots:
        over_window = (
            plan.window and plan.window[0] == s.wall and s.u0 < plan.window[2] + 0.1 and plan.window[1] - 0.1 < s.u1
        )
        if s.kind not in ("stove", "fridge", "tall_oven") and not over_window and s.u1 - s.u0 >= 0.34:
            places.append(s)
    chosen = [s for s in places if s.wall in full] or places
    hung = not any(s.kind == "microwave" for s in spots)
    need_shelf = not any(p.kind == "shelf" for p in plan.pieces)
    if len(chosen) < 1 + need_shelf:
        chosen = places
    wide = [s for s in chosen if s.u1 - s.u0 >= 0.48]
    wide = [s for s in wide if s.kind != "sink"] or wide
    if len(chosen) < 1 + need_shelf or (hung and not wide):
        return False
    micro = wide[int(rng.integers(len(wide)))] if hung else None
    others = [s for s in chosen if s is not micro]
    shelf = others[int(rng.integers(len(others)))] if need_shelf and others else None
    if need_shelf and (shelf is None or len(chosen) < 2):
        return False
    for s in chosen:
        x, y, yaw = plan.wall_frame(s.wall)
        f = builder.frame(x, y, 0.0, yaw)
        z0, z1, d = style.cabinet_z0, style.cabinet_z1, WALL_CABINET_DEPTH_M
        if s is micro:
            _microwave(f, s.mid, z0 - 0.02, spots, v0=0.0)
            z0 += 0.28
        if s is shelf:
            props.shelf(f.sub(s.u0, 0), s.u1 - s.u0, 0.26, z0, z1, 3, rng)
            spots.append(spot_of(f, "shelf", (s.mid, 0.18, z0 + 0.15), 0.95, (s.u0, 0, z0), (s.u1, 0.26, z1)))
            continue
        f.box((s.u0, 0.0, z0), (s.u1, d, z1), "front_upper")
        doors(f, style, s.u0, s.u1, d, z0 + 0.005, z1 - 0.005, "front_upper", low=False)
        if s is not micro or len(chosen) == 1 + need_shelf:
            spots.append(
                spot_of(f, "wall_cabinet", (s.mid, 0.25, z0 + 0.18), 0.95, (s.u0, 0, z0), (s.u1, d + 0.05, z1))
            )
    return any(s.kind == "wall_cabinet" for s in spots)


def _piece(builder: MeshBuilder, piece: Piece, style: Style, spots: list[Spot], rng: np.random.Generator) -> None:
    """Shapes and spots of one free-standing thing; its frame has the front towards +y."""
    r = piece.rect
    centre = np.array([(r.x0 + r.x1) / 2, (r.y0 + r.y1) / 2])
    w, d = r.x1 - r.x0, r.y1 - r.y0
    yaw = piece.front_rad - np.pi / 2
    if abs(np.sin(yaw)) > 0.5:
        w, d = d, w  # along the piece's own axes
    f = builder.frame(*centre, 0.0, yaw)
    if piece.kind == "chair":
        props.chair(builder.frame(*centre, 0.0, piece.front_rad + float(rng.normal(0, 0.06))), rng)
        work = centre + 0.45 * np.array([np.cos(piece.front_rad), np.sin(piece.front_rad)])
        spots.append(
            Spot("chair", np.array([*work, 0.76]), centre, np.array([*centre, 0.46]), np.array([0.42, 0.42, 0.92]), yaw)
        )
    elif piece.kind == "table":
        h = float(rng.uniform(0.72, 0.77))
        props.table(builder.frame(r.x0, r.y0), r.x1 - r.x0, r.y1 - r.y0, h, rng)
        box = (np.array([*centre, h / 2]), np.array([r.x1 - r.x0, r.y1 - r.y0, h]), 0.0)
        for x, y, dx, dy in (
            (centre[0], r.y0, 0, -1),
            (r.x1, centre[1], 1, 0),
            (centre[0], r.y1, 0, 1),
            (r.x0, centre[1], -1, 0),
        ):
            work = np.array([x - 0.22 * dx, y - 0.22 * dy, h + 0.05])
            spots.append(Spot("table", work, np.array([x + 0.3 * dx, y + 0.3 * dy]), *box))
    elif piece.kind == "island":
        h = style.height
        f.box((-w / 2 + 0.05, -d / 2 + 0.05, 0), (w / 2 - 0.05, d / 2 - 0.05, 0.1), "toe")
        f.box((-w / 2 + 0.03, -d / 2 + 0.03, 0.1), (w / 2 - 0.03, d / 2 - 0.05, h - style.top), "front")
        n = max(2, round((w - 0.06) / 0.5))
        for k in range(n):
            a = -w / 2 + 0.03 + (w - 0.06) * k / n
            doors(f, style, a, a + (w - 0.06) / n, d / 2 - 0.05, 0.11, h - style.top - 0.01, "front", low=True)
        f.box((-w / 2, -d / 2, h - style.top), (w / 2, d / 2, h), "worktop")
        top = f.sub(0, 0, h)
        props.scatter(top, props.TOP_ITEMS, -w / 2 + 0.18, w / 2 - 0.18, -0.1, 0.1, rng, int(rng.integers(2, 5)))
        for side in (1, -1):
            work, stand = (
                f.at(0.1 * side, side * (d / 2 - 0.2), h + 0.05),
                f.at(0.1 * side, side * (d / 2 + 0.28), 0)[:2],
            )
            spots.append(Spot("island", work, stand, f.at(0, 0, h / 2), np.array([w, d, h]), yaw))
    elif piece.kind == "bin":
        h = float(rng.uniform(0.4, 0.62))
        props.dustbin(f, min(w, d), h, rng)
        spots.append(
            Spot(
                "bin",
                f.at(0, 0, h + 0.05),
                f.at(0, d / 2 + 0.3, 0)[:2],
                f.at(0, 0, h / 2),
                np.array([w, d, h + 0.1]),
                yaw,
            )
        )
    else:
        h = float(rng.uniform(1.6, 2.0))
        props.shelf(f.sub(-w / 2, -d / 2), w, d, 0.0, h, int(rng.integers(5, 7)), rng)
        spots.append(
            Spot("shelf", f.at(0, 0, 1.25), f.at(0, d / 2 + 0.35, 0)[:2], f.at(0, 0, h / 2), np.array([w, d, h]), yaw)
        )
