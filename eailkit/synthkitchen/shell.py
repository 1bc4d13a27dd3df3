"""The room around the furniture: floor, walls, ceiling, door, window, worktops, tiles and things on walls."""

from __future__ import annotations

import numpy as np

from eailkit.synthkitchen.floorplan import RUN_DEPTH_M, FloorPlan, Rect
from eailkit.synthkitchen.mesh import Frame, MeshBuilder

_THICK_M = 0.1


def build_shell(plan: FloorPlan, builder: MeshBuilder, rng: np.random.Generator) -> None:
    """Floor, ceiling, walls, skirting, the walled-off corner of an L, door, window, lamp, rug and pictures."""
    f, w, d, h, t = builder.frame(), plan.width, plan.depth, plan.height, _THICK_M
    f.box((-t, -t, -t), (w + t, d + t, 0), "floor")
    f.box((-t, -t, h), (w + t, d + t, h + t), "ceiling")
    f.box((-t, -t, 0), (w + t, 0, h), "wall")
    f.box((-t, d, 0), (w + t, d + t, h), "wall")
    f.box((-t, 0, 0), (0, d, h), "wall")
    f.box((w, 0, 0), (w + t, d, h), "wall")
    for wall in range(4):
        g = _wall(plan, builder, wall)
        g.box((0, 0, 0), (plan.wall_length(wall), 0.012, 0.07), "skirting")
    if plan.notch:
        r = plan.notch
        f.box((r.x0, r.y0, 0), (r.x1, r.y1, h), "wall")
        f.box((r.x0 - 0.012, r.y0 - 0.012, 0), (r.x1 + 0.012, r.y1 + 0.012, 0.07), "skirting")
    _door(_wall(plan, builder, plan.door[0]), plan.door[1], plan.door[2])
    if plan.window:
        _window(_wall(plan, builder, plan.window[0]), plan.window[1], plan.window[2], rng)
    x, y = w / 2, d / 2
    f.lathe((x, y, h - 0.06), [(0.16, 0), (0.18, 0.06)], "lamp", sides=16)
    if rng.random() < 0.4:
        _rug(plan, builder, rng)
    _pictures(plan, builder, rng)


def _wall(plan: FloorPlan, builder: MeshBuilder, wall: int) -> Frame:
    x, y, yaw = plan.wall_frame(wall)
    return builder.frame(x, y, 0.0, yaw)


def _door(f: Frame, u0: float, u1: float) -> None:
    """A closed panel door in its frame."""
    f.box((u0, 0, 0.0), (u1, 0.02, 2.02), "door")
    for z0, z1 in ((0.2, 0.95), (1.1, 1.9)):
        f.box((u0 + 0.14, 0.02, z0), (u1 - 0.14, 0.028, z1), "door")
    for a, b in ((u0 - 0.06, u0), (u1, u1 + 0.06)):
        f.box((a, 0, 0), (b, 0.045, 2.08), "skirting")
    f.box((u0 - 0.06, 0, 2.02), (u1 + 0.06, 0.045, 2.08), "skirting")
    f.tube([(u0 + 0.07, 0.02, 1.02), (u0 + 0.07, 0.07, 1.02), (u0 + 0.19, 0.07, 1.02)], 0.009, "chrome", sides=6)


def _window(f: Frame, u0: float, u1: float, rng: np.random.Generator) -> None:
    z0, z1 = float(rng.uniform(1.05, 1.2)), float(rng.uniform(1.95, 2.15))
    f.box((u0, 0, z0), (u1, 0.012, z1), "window_pane")
    mid = (u0 + u1) / 2
    for a, b, c, e in (
        (u0, u0 + 0.05, z0, z1), (u1 - 0.05, u1, z0, z1), (u0, u1, z0, z0 + 0.05), (u0, u1, z1 - 0.05, z1),
        (mid - 0.025, mid + 0.025, z0, z1),
    ):  # fmt: skip
        f.box((a, 0, c), (b, 0.04, e), "window_frame")
    f.box((u0 - 0.05, 0, z0 - 0.03), (u1 + 0.05, 0.14, z0), "window_frame")
    if rng.random() < 0.5:
        for a, b in ((u0 - 0.08, u0 + 0.1), (u1 - 0.1, u1 + 0.08)):
            for k in range(4):
                c = a + (b - a) * k / 4
                f.box((c, 0.05, z0 + 0.02), (c + 0.03, 0.075, z1 + 0.06), "curtain")
        f.tube([(u0 - 0.1, 0.07, z1 + 0.07), (u1 + 0.1, 0.07, z1 + 0.07)], 0.01, "handle", sides=6)


def _rug(plan: FloorPlan, builder: MeshBuilder, rng: np.random.Generator) -> None:
    """A mat in front of a run."""
    wall, u0, u1 = plan.runs[int(rng.integers(len(plan.runs)))]
    mid, half = (u0 + u1) / 2, min(0.6, (u1 - u0) / 2 - 0.1)
    r = plan.wall_rect(wall, mid - half, mid + half, RUN_DEPTH_M + 0.1, RUN_DEPTH_M + 0.65)
    if not any(r.overlaps(o) for o in plan.obstacles()):
        builder.frame().box((r.x0, r.y0, 0), (r.x1, r.y1, 0.008), "rug")


def _pictures(plan: FloorPlan, builder: MeshBuilder, rng: np.random.Generator) -> None:
    """Pictures, a clock, a light switch: on walls without counters, clear of door, window and shelf."""
    for wall in range(4):
        if any(w == wall for w, _, _ in plan.runs):
            continue
        g = _wall(plan, builder, wall)
        for _ in range(int(rng.integers(0, 3))):
            u = float(rng.uniform(0.3, max(0.31, plan.wall_length(wall) - 0.3)))
            rect = plan.wall_rect(wall, u - 0.3, u + 0.3, 0, 0.3)
            taken: list[Rect] = [plan.wall_rect(plan.door[0], plan.door[1] - 0.1, plan.door[2] + 0.1, 0, 0.3)]
            taken += [p.rect for p in plan.pieces if p.kind == "shelf"] + ([plan.notch] if plan.notch else [])
            if plan.window:
                taken.append(plan.wall_rect(*plan.window, 0, 0.3))
            if any(rect.overlaps(r) for r in taken):
                continue
            z, a, b = float(rng.uniform(1.4, 1.7)), float(rng.uniform(0.12, 0.25)), float(rng.uniform(0.12, 0.3))
            if rng.random() < 0.3:
                g.lathe((u, 0, z + 0.2), [(0.15, 0), (0.15, 0.03)], "label", axis=(0, 1, 0), sides=16)
            else:
                g.box((u - a - 0.02, 0, z - b - 0.02), (u + a + 0.02, 0.02, z + b + 0.02), "handle")
                g.box((u - a, 0.02, z - b), (u + a, 0.023, z + b), "picture")
    wall, u0, u1 = plan.door
    switch = u1 + 0.16 if u1 + 0.25 < plan.wall_length(wall) else u0 - 0.16
    _wall(plan, builder, wall).box((switch - 0.04, 0, 1.06), (switch + 0.04, 0.012, 1.14), "window_frame")


def worktops(plan: FloorPlan, builder: MeshBuilder, height: float, thickness: float) -> None:
    """Worktop over all units but the sink (which has its own hole) and tall ones; corners; tiles behind; sockets."""
    for s in plan.slots:
        f = _wall(plan, builder, s.wall)
        if s.kind in ("fridge", "tall_oven"):
            continue
        if s.kind != "sink":
            f.box((s.u0, 0, height - thickness), (s.u1, RUN_DEPTH_M, height), "worktop")
        window = plan.window and plan.window[0] == s.wall and s.u0 < plan.window[2] and plan.window[1] < s.u1
        f.box((s.u0, 0, height), (s.u1, 0.01, 1.02 if window else 1.4), "backsplash")
        if s.kind in ("base", "drawer"):
            f.box((s.mid - 0.04, 0.01, height + 0.14), (s.mid + 0.04, 0.022, height + 0.22), "window_frame")
    for wall, _, u1 in plan.runs:
        length = plan.wall_length(wall)
        if (
            u1 == length
            and any(w == (wall + 1) % 4 and a == 0.0 for w, a, _ in plan.runs)
            and _ends_in_corner(plan, wall)
        ):
            f = _wall(plan, builder, wall)
            a = length - RUN_DEPTH_M
            f.box((a, 0, height - thickness), (length, RUN_DEPTH_M, height), "worktop")
            f.box((a, 0, 0.1), (length, RUN_DEPTH_M - 0.05, height - thickness), "carcass")
            f.box((a, 0, height), (length, 0.01, 1.4), "backsplash")
            f.box((length - 0.01, 0.01, height), (length, RUN_DEPTH_M, 1.4), "backsplash")
            f.lathe((a + 0.34, 0.3, height), [(0.06, 0), (0.1, 0.05), (0.06, 0.2), (0.05, 0.26)], "ceramic")


def _ends_in_corner(plan: FloorPlan, wall: int) -> bool:
    last = max((s.u1 for s in plan.slots if s.wall == wall), default=0.0)
    return abs(plan.wall_length(wall) - RUN_DEPTH_M - last) < 1e-6
