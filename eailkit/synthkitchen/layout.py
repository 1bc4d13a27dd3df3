"""Where things stand in a kitchen: counter runs, a walled-off corner, the door and the window.

Rules of kitchen planning: sink, stove and fridge form a work triangle, the dishwasher is beside the sink,
the stove never touches the fridge, a run always has worktop beside the stove, a corner is kept clear of
doors, 0.8 m and more stay free in front of every run, and the entrance opens. Axes as in `floorplan`.
"""

from __future__ import annotations

import numpy as np

from eailkit.synthkitchen.floorplan import CLEARANCE_M, HANDLE_M, RUN_DEPTH_M, FloorPlan, Rect, Slot
from eailkit.synthkitchen.freestanding import place_pieces

RUN_WALLS = {"single": (0,), "galley": (0, 2), "l": (0, 1), "u": (3, 0, 1)}
FILLER_MIN_M, FILLER_MAX_M = 0.35, 0.80


def plan_room(
    rng: np.random.Generator, floor_m: tuple[float, float], body_radius_m: float, l_shape_probability: float
) -> FloorPlan | None:
    """A kitchen whose free floor spans about floor_m (metres, room axes), or None where the rules can't be met."""
    a, b = floor_m
    order = _layout_order(rng, a, b)
    for counters in order:
        walls = RUN_WALLS[counters]
        width = a + 2 * body_radius_m + sum(RUN_DEPTH_M + HANDLE_M for w in walls if w % 2 == 1)
        depth = b + 2 * body_radius_m + sum(RUN_DEPTH_M + HANDLE_M for w in walls if w % 2 == 0)
        plan = FloorPlan(counters, width, depth, float(rng.uniform(2.4, 2.7)), None)
        if min(a, b) + 2 * body_radius_m >= CLEARANCE_M and _fill_runs(plan, rng) and triangle_ok(plan):
            if rng.random() < l_shape_probability:
                _cut_corner(plan, rng)
            if not _place_door(plan, rng):
                continue
            _place_window(plan, rng)
            place_pieces(plan, rng)
            if any(p.kind == "bin" for p in plan.pieces):
                return plan
    return None


def _layout_order(rng: np.random.Generator, a: float, b: float) -> list[str]:
    weight = {
        "single": 1.0 if a > 2.6 else 0.1,
        "galley": 1.0 if b < 2.6 else 0.3,
        "l": 2.0,
        "u": 1.3 if a < 3.6 else 0.4,
    }
    names = list(weight)
    p = np.array([weight[n] for n in names])
    return [str(n) for n in rng.choice(names, size=4, replace=False, p=p / p.sum())]


# ---- counter runs -------------------------------------------------------------------------------
def _tokens(counters: str, tall_oven: bool, rng: np.random.Generator) -> list[list[str]]:
    """Order of the units on each run, wall by wall; "base" is a filler that stretches, "|" marks a corner."""
    wet = ["sink", "dishwasher"] if rng.random() < 0.5 else ["dishwasher", "sink"]
    end = ["tall_oven"] if tall_oven else []
    if counters == "single":
        runs = [["fridge", *end, "base", *wet, "base", "stove", "base"]]
    elif counters == "galley":
        runs = [["base", *wet, "base"], ["fridge", *end, "base", "stove", "base"]]
    elif counters == "l":
        runs = (
            [["fridge", *end, "base", *wet, "base", "|"], ["|", "base", "stove", "base"]]
            if rng.random() < 0.6
            else [["base", *wet, "base", "|"], ["|", "base", "stove", "base", *end, "fridge"]]
        )
        if rng.random() < 0.3:
            runs[0] = [t for i, t in enumerate(runs[0]) if not (t == "base" and i <= 1)]
    else:
        runs = [["fridge", *end, "base", "|"], ["|", "base", *wet, "base", "|"], ["|", "base", "stove", "base"]]
    if rng.random() < 0.5:
        runs = [run[::-1] for run in runs[::-1]]
    return runs


def _fill_runs(plan: FloorPlan, rng: np.random.Generator) -> bool:
    walls = RUN_WALLS[plan.counters]
    big = plan.width * plan.depth > 14.0
    size = {
        "fridge": float(rng.choice([0.60, 0.66, 0.70, 0.90] if big else [0.55, 0.60, 0.60, 0.66])),
        "sink": float(rng.uniform(0.60, 0.90) if big else rng.uniform(0.50, 0.65)),
        "dishwasher": 0.60 if big or rng.random() < 0.6 else 0.45,
        "stove": float(rng.choice([0.60, 0.75, 0.90]) if big else 0.60),
        "tall_oven": 0.60,
    }
    for tall in (True, False) if rng.random() < 0.3 else (False,):
        runs = _tokens(plan.counters, tall, rng)
        filled = [_fill_run(plan, w, t, size, rng) for w, t in zip(walls, runs, strict=True)]
        if all(filled):
            plan.slots = [s for slots, _ in filled for s in slots]
            plan.runs = [run for _, run in filled]
            kinds = [s.kind for s in plan.slots]
            widest = max(s.u1 - s.u0 for s in plan.slots if s.kind in ("base", "drawer"))
            return "base" in kinds and "drawer" in kinds and widest >= 0.40
    return False


def _fill_run(plan: FloorPlan, wall: int, tokens: list[str], size: dict, rng: np.random.Generator):
    """Slots of one run and its extent; None where the wall is too short."""
    length = plan.wall_length(wall)
    start_corner, end_corner = tokens[0] == "|", tokens[-1] == "|"
    units = [t for t in tokens if t != "|"]
    room = length - RUN_DEPTH_M * (start_corner + end_corner)
    fillers = sum(t == "base" for t in units)
    need = sum(size.get(t, FILLER_MIN_M) for t in units)
    if need > room:
        return None
    spare = room - need
    both = start_corner and end_corner
    used = spare if both else min(spare, fillers * float(rng.uniform(0.35, 0.9)))
    if spare - used < 0.35 and fillers:
        used = spare  # no useless gap at the end of a run
    share = rng.dirichlet(np.full(fillers, 4.0)) * used if fillers else np.zeros(0)
    if start_corner:
        u = RUN_DEPTH_M
    elif end_corner:
        u = length - RUN_DEPTH_M - need - used
    else:
        u = float(rng.choice([0.0, spare - used]))
    u = first = max(u, 0.0)
    slots, k = [], 0
    for t in units:
        w = size.get(t, FILLER_MIN_M)
        if t != "base":
            slots.append(Slot(t, wall, u, u + w))
        else:
            w += share[k]
            k += 1
            parts = max(1, int(np.ceil(w / FILLER_MAX_M)))
            for j in range(parts):
                kind = "drawer" if rng.random() < 0.45 else "base"
                slots.append(Slot(kind, wall, u + w * j / parts, u + w * (j + 1) / parts))
        u += w
    extent = (wall, 0.0 if start_corner else first, length if end_corner else u)
    return slots, extent


def triangle_ok(plan: FloorPlan) -> bool:
    """Sink, stove and fridge lie 0.75 to 4.5 m from each other, 9 m around at most."""
    points = [_front(plan, next(s for s in plan.slots if s.kind == k)) for k in ("sink", "stove", "fridge")]
    legs = [float(np.linalg.norm(points[i] - points[j])) for i, j in ((0, 1), (1, 2), (2, 0))]
    return min(legs) >= 0.75 and max(legs) <= 4.5 and sum(legs) <= 9.0


def _front(plan: FloorPlan, slot: Slot) -> np.ndarray:
    r = plan.wall_rect(slot.wall, slot.mid, slot.mid, 0.3, 0.3)
    return np.array([r.x0, r.y0])


# ---- walls, door, window ------------------------------------------------------------------------
def _cut_corner(plan: FloorPlan, rng: np.random.Generator) -> None:
    """Turn the rectangle into an L: a corner without counters is walled off."""
    w = float(rng.uniform(0.28, 0.45)) * plan.width
    d = float(rng.uniform(0.28, 0.45)) * plan.depth
    if min(w, d) < 0.8:
        return
    corners = [
        Rect(0, 0, w, d),
        Rect(plan.width - w, 0, plan.width, d),
        Rect(plan.width - w, plan.depth - d, plan.width, plan.depth),
        Rect(0, plan.depth - d, w, plan.depth),
    ]
    taken = plan.obstacles()
    fit = [c for c in corners if not any(c.overlaps(r, 0.95) for r in taken)]
    if fit:
        plan.notch = fit[int(rng.integers(len(fit)))]


def _place_door(plan: FloorPlan, rng: np.random.Generator) -> bool:
    width = float(rng.choice([0.80, 0.85, 0.90]))
    taken = plan.obstacles()
    spots = []
    for wall in range(4):
        for u in np.arange(0.08, plan.wall_length(wall) - width - 0.08, 0.05):
            zone = plan.wall_rect(wall, u, u + width, 0.0, max(0.85, width))
            if not any(zone.overlaps(r) for r in taken):
                spots.append((wall, float(u), float(u + width)))
    if not spots:
        return False
    plan.door = spots[int(rng.integers(len(spots)))]
    return True


def _place_window(plan: FloorPlan, rng: np.random.Generator) -> None:
    """Above the sink in most kitchens, else on a free wall, else nowhere."""
    sill = lambda wall, u0, u1: plan.wall_rect(wall, u0 - 0.05, u1 + 0.05, 0.0, 0.14)  # noqa: E731
    sink = next(s for s in plan.slots if s.kind == "sink")
    if rng.random() < 0.55:
        half = min(float(rng.uniform(0.35, 0.6)), sink.mid - 0.05, plan.wall_length(sink.wall) - sink.mid - 0.05)
        window = (sink.wall, sink.mid - half, sink.mid + half)
        if not sill(*window).overlaps(plan.door_zone()):  # the leaf would knock against it
            plan.window = window
        return
    blocked = plan.obstacles() + [plan.door_zone()]
    for wall in rng.permutation(4):
        length = plan.wall_length(int(wall))
        half = float(rng.uniform(0.4, 0.7))
        if length < 2 * half + 0.4:
            continue
        mid = float(rng.uniform(half + 0.1, length - half - 0.1))
        if not any(sill(int(wall), mid - half, mid + half).overlaps(r) for r in blocked):
            plan.window = (int(wall), mid - half, mid + half)
            return
