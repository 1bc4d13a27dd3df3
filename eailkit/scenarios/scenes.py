"""Simple places to see while a scenario goes on: hall, staircase, park, office, living room, meeting, store.

Each is a `Room` of the kitchens without fixtures, so that their camera can look at it; boxes and turned shapes in
the names of the kitchens' surfaces, recoloured. Where things stand and what colours they have is drawn per scene.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from eailkit.scenarios.everyday import HALL_M
from eailkit.scenarios.outing import FLIGHTS, GAP_M, LOOP_M, RISE_M, STEPS, TREAD_M
from eailkit.synthkitchen.mesh import Frame, Materials, MeshBuilder, to_trimesh
from eailkit.synthkitchen.palette import draw_materials
from eailkit.synthkitchen.room import Room


@dataclass(frozen=True)
class _Box:
    """Extent of a scene along x, y, z, metres, for its walls and its lamp."""

    low: tuple[float, float]
    high: tuple[float, float]
    height_m: float


def scene_of(scenario: str) -> str:
    """Which kind of scene a scenario happens in."""
    return {
        "walking about": "hall", "stairs": "staircase", "running": "park", "desk work": "office",
        "floor work": "living room", "talking": "meeting", "lifting boxes": "store", "sweeping": "store",
    }.get(scenario, "living room")  # fmt: skip


def build_scene(kind: str, seed: int) -> Room:
    """A scene of a kind; the same for the same seed.

    Args:
        kind: "hall", "staircase", "park", "office", "living room", "meeting" or "store".
    """
    rng = np.random.default_rng([seed, 0x5CE2])
    materials = draw_materials(rng)
    if kind == "park":
        materials = _outdoors(materials, rng)
    builder = MeshBuilder(materials)
    box = _SCENES[kind](builder.frame(), rng)
    vertices, faces, material = builder.build()
    size = np.array([box.high[0] - box.low[0], box.high[1] - box.low[1], box.height_m])
    return Room(
        room_id=f"{kind.replace(' ', '_')}_{seed}",
        seed=seed,
        yaw_rad=0.0,
        origin_xy_m=np.array(box.low),
        size_m=size,
        area_side_m=float(size[:2].max()),
        area_centre_xy_m=np.array(box.low) + size[:2] / 2,
        shape="rectangle",
        counters="none",
        fixtures=(),
        free=np.ones((1, 1), bool),
        free_origin_xy_m=np.array(box.low) + size[:2] / 2,
        free_pitch_m=float(size[:2].max()),
        mesh=to_trimesh(vertices, faces),
        face_material=material,
        materials=materials,
    )


def _outdoors(materials: Materials, rng: np.random.Generator) -> Materials:
    """Grass, asphalt, bark and leaves under the names whose patterns suit them."""
    rgb, texture = materials.rgb.copy(), materials.texture.copy()
    for name, colour in (("plant", (128, 178, 92)), ("worktop", (156, 152, 148)), ("wood", (96, 72, 50)),
                         ("fruit", (84, 140, 66)), ("rug", (196, 90, 70))):  # fmt: skip
        rgb[materials.index(name)] = np.array(colour) / 255.0 * rng.uniform(0.85, 1.1)
        texture[materials.index(name)] = 0.9
    return replace(materials, rgb=np.clip(rgb, 0, 1), texture=texture)


def _shell(f: Frame, low: tuple[float, float], high: tuple[float, float], height: float, rng) -> _Box:
    """Floor, ceiling, four walls, a lamp, a window and a door."""
    (x0, y0), (x1, y1) = low, high
    f.box((x0, y0, -0.05), (x1, y1, 0.0), "floor")
    f.box((x0, y0, height), (x1, y1, height + 0.05), "ceiling")
    for a, b in (
        ((x0 - 0.1, y0), (x0, y1)),
        ((x1, y0), (x1 + 0.1, y1)),
        ((x0, y0 - 0.1), (x1, y0)),
        ((x0, y1), (x1, y1 + 0.1)),
    ):
        f.box((*a, 0.0), (*b, height), "wall")
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    f.box((x - 0.15, y - 0.15, height - 0.06), (x + 0.15, y + 0.15, height - 0.01), "lamp")
    u = float(rng.uniform(x0 + 0.3, x1 - 1.7))
    f.box((u, y1 - 0.03, 0.95), (u + 1.3, y1 + 0.01, 2.15), "window_frame")
    f.box((u + 0.06, y1 - 0.05, 1.0), (u + 1.24, y1 - 0.02, 2.1), "window_pane")
    u = float(rng.uniform(y0 + 0.3, y1 - 1.2))
    f.box((x0 - 0.01, u, 0.0), (x0 + 0.03, u + 0.9, 2.05), "door")
    return _Box(low, high, height)


def _person(f: Frame, x: float, y: float, height: float, *, seated: bool, rng) -> None:
    """A mannequin: legs, trunk, arms, head."""
    cloth = str(rng.choice(["rug", "plastic", "towel", "bottle", "front"]))
    hip = 0.45 if seated else 0.52 * height
    g = f.sub(x, y, 0.0, float(np.arctan2(-y, -x)))
    for side in (-0.1, 0.1):
        if seated:
            g.box((0.0, side - 0.07, 0.42), (0.42, side + 0.07, 0.56), "book")
            g.box((0.34, side - 0.06, 0.0), (0.46, side + 0.06, 0.45), "book")
        else:
            g.lathe((0, side, 0), [(0.07, 0.0), (0.09, hip)], "book", sides=8)
        g.lathe((0.05, 2.2 * side, hip + 0.1), [(0.045, 0.0), (0.055, 0.28 * height)], cloth, sides=6)
    g.lathe((0, 0, hip), [(0.15, 0.0), (0.2, 0.24 * height), (0.1, 0.31 * height)], cloth, sides=10)
    g.lathe((0, 0, hip + 0.31 * height), [(0.05, 0.0), (0.09, 0.06), (0.1, 0.15), (0.06, 0.23)], "food", sides=10)
    g.lathe((-0.02, 0, hip + 0.31 * height + 0.16), [(0.105, 0.0), (0.05, 0.1)], "burner", sides=10)


def _plant(f: Frame, x: float, y: float) -> None:
    f.lathe((x, y, 0), [(0.14, 0.0), (0.18, 0.32)], "pot", sides=8)
    f.lathe((x, y, 0.32), [(0.08, 0.0), (0.35, 0.4), (0.1, 0.95)], "plant", sides=7)


def _pictures(f: Frame, x: float, ys, rng) -> None:
    for y in ys:
        w, h = rng.uniform(0.25, 0.5, 2)
        f.box((x - 0.02, y - w, 1.5 - h), (x + 0.02, y + w, 1.5 + h), "picture")


def _chair(f: Frame, x: float, y: float, yaw: float) -> None:
    g = f.sub(x, y, 0.0, yaw)
    g.box((-0.22, -0.22, 0.42), (0.22, 0.22, 0.46), "chair")
    g.box((-0.22, -0.22, 0.46), (-0.18, 0.22, 0.92), "chair")
    for a in (-0.2, 0.17):
        for b in (-0.2, 0.17):
            g.box((a, b, 0.0), (a + 0.03, b + 0.03, 0.42), "chair")


def _hall(f: Frame, rng: np.random.Generator) -> _Box:
    w, d = HALL_M
    box = _shell(f, (-0.4, -0.4), (w + 0.4, d + 0.4), 3.2, rng)
    _pictures(f, w + 0.38, rng.uniform(0.8, d - 0.8, 3), rng)
    _pictures(f, -0.38, rng.uniform(0.8, d - 0.8, 2), rng)
    for x in (0.0, w):
        for y in (0.0, d):
            _plant(f, x, y)
    for x in rng.uniform(1, w - 1, 3):
        f.box((x - 0.7, -0.38, 0.38), (x + 0.7, -0.02, 0.45), "table")
        f.box((x - 0.6, -0.34, 0.0), (x + 0.6, -0.1, 0.38), "carcass")
    for x in rng.uniform(0.5, w - 0.5, 3):
        f.box((x - 0.45, d + 0.36, 0.0), (x + 0.45, d + 0.41, 2.05), "door")
    return box


def _staircase(f: Frame, rng: np.random.Generator) -> _Box:
    run, rise = STEPS * TREAD_M, STEPS * RISE_M
    side, top = 0.55, FLIGHTS * rise
    low, high = (-1.9, -0.9), (run + 1.9, GAP_M + 0.9)
    for k in range(FLIGHTS):
        y = GAP_M * (k % 2)
        for i in range(STEPS):
            x = i * TREAD_M if k % 2 == 0 else run - i * TREAD_M
            step = TREAD_M if k % 2 == 0 else -TREAD_M
            z = k * rise + (i + 1) * RISE_M
            f.box((x, y - side, z - 0.19), (x + step, y + side, z - 0.03), "carcass")
            f.box((x - 0.1 * step, y - side, z - 0.03), (x + step, y + side, z), "wood")
        ends = np.array([[0.0, k * rise], [run, (k + 1) * rise]])
        ends[:, 0] = ends[:, 0] if k % 2 == 0 else ends[::-1, 0]
        rail = y + side if k % 2 == 0 else y - side
        f.tube([(x, rail, z + 0.95) for x, z in ends], 0.03, "steel", sides=6)
        for u in np.linspace(0, 1, 9):
            x, z = ends[0] + u * (ends[1] - ends[0])
            f.box((x - 0.012, rail - 0.012, z), (x + 0.012, rail + 0.012, z + 0.95), "handle")
    f.box((*low, -0.2), (*high, -0.02), "floor")
    for k in range(FLIGHTS + 1):  # landings
        x0, x1 = (run, high[0]) if k % 2 else (low[0], 0.0)
        f.box((x0, low[1], k * rise - 0.15), (x1, high[1], k * rise), "floor")
        x = high[0] - 0.02 if k % 2 else low[0] + 0.02
        f.box((x - 0.02, 0.1, k * rise), (x + 0.02, 1.0, k * rise + 2.05), "door")
        f.box((x - 0.02, -0.6, k * rise + 1.2), (x + 0.02, -0.1, k * rise + 1.8), "picture")
    walls = ((low, (low[0] + 0.05, high[1])), ((high[0] - 0.05, low[1]), high))
    for a, b in (*walls, (low, (high[0], low[1] + 0.05)), ((low[0], high[1] - 0.05), high)):
        f.box((*a, -0.1), (*b, top + 3.0), "wall")
    f.box((*low, top + 3.0), (*high, top + 3.05), "ceiling")
    return _Box(low, high, top + 3.0)


def _park(f: Frame, rng: np.random.Generator) -> _Box:
    a, b = LOOP_M
    f.box((-70, -60, -0.2), (70, 60, -0.02), "plant")
    angle = np.linspace(0, 2 * np.pi, 73)[:-1]
    for t in angle:
        x, y = a * np.cos(t), b * np.sin(t)
        yaw = float(np.arctan2(b * np.cos(t), -a * np.sin(t)))
        f.sub(x, y, 0.0, yaw).box((-1.4, -1.5, -0.05), (1.4, 1.5, 0.0), "worktop")
    for _ in range(60):
        t, out = rng.uniform(0, 2 * np.pi), float(rng.choice([rng.uniform(3, 16), rng.uniform(-9, -3)]))
        x, y = (a + out) * np.cos(t), (b + out) * np.sin(t)
        tall = float(rng.uniform(3.5, 8.0))
        f.lathe((x, y, -0.05), [(0.2, 0.0), (0.14, 0.45 * tall)], "wood", sides=6)
        f.lathe((x, y, 0.35 * tall), [(0.3, 0.0), (0.28 * tall, 0.25 * tall), (0.1, 0.65 * tall)], "fruit", sides=7)
    for t in rng.uniform(0, 2 * np.pi, 9):
        g = f.sub((a + 24) * np.cos(t), (b + 24) * np.sin(t), 0.0, float(t))
        w, h = float(rng.uniform(4, 8)), float(rng.uniform(4, 9))
        g.box((-3, -w, 0), (3, w, h), str(rng.choice(["wall", "backsplash", "rug"])))
        for y in np.arange(-w + 1, w - 1, 2.0):
            for z in np.arange(1.0, h - 1.0, 2.5):
                g.box((-3.05, y, z), (-3.0, y + 1.0, z + 1.3), "black_glass")
    for t in rng.uniform(0, 2 * np.pi, 6):
        g = f.sub((a - 2.4) * np.cos(t), (b - 2.4) * np.sin(t), 0.0, float(t) + np.pi / 2)
        g.box((-0.8, -0.2, 0.4), (0.8, 0.2, 0.45), "table")
        g.box((-0.7, -0.15, 0.0), (-0.6, 0.15, 0.4), "steel")
        g.box((0.6, -0.15, 0.0), (0.7, 0.15, 0.4), "steel")
    return _Box((-12.0, -9.0), (12.0, 9.0), 9.0)


def _office(f: Frame, rng: np.random.Generator) -> _Box:
    depth, half = float(rng.uniform(1.5, 2.2)), float(rng.uniform(1.6, 2.4))
    box = _shell(f, (-2.0, -half), (depth, half), 2.6, rng)
    f.box((0.22, -0.85, 0.70), (1.02, 0.85, 0.735), "table")
    for y in (-0.8, 0.74):
        f.box((0.3, y, 0.0), (0.95, y + 0.06, 0.70), "carcass")
    y = float(rng.uniform(-0.08, 0.08))
    f.box((0.82, y - 0.3, 0.88), (0.85, y + 0.3, 1.25), "black_glass")
    f.box((0.815, y - 0.28, 0.90), (0.82, y + 0.28, 1.23), "window_pane")
    for k, z in enumerate(np.arange(0.95, 1.2, 0.045)):  # lines of text
        f.box((0.81, y - 0.25, z), (0.815, y - 0.25 + 0.2 + 0.05 * (k * 7 % 5), z + 0.014), "burner")
    f.box((0.8, y - 0.1, 0.735), (0.92, y + 0.1, 0.75), "black_glass")
    f.box((0.84, y - 0.03, 0.74), (0.87, y + 0.03, 0.9), "black_glass")
    f.box((0.46, y - 0.22, 0.735), (0.60, y + 0.22, 0.755), "pan")
    for i in range(4):
        for j in range(11):
            x, v = 0.475 + 0.03 * i, y - 0.205 + 0.0375 * j
            f.box((x, v, 0.755), (x + 0.024, v + 0.03, 0.762), "fridge")
    s = float(rng.choice([-1, 1]))
    f.sub(0.5, 0.5 * s, 0.735, 0.2 * s).box((-0.14, -0.1, 0), (0.14, 0.1, 0.02), "label")
    f.sub(0.6, -0.5 * s, 0.735, 0.3).box((-0.12, -0.09, 0), (0.12, 0.09, 0.04), "book")
    f.lathe((0.75, -0.38 * s, 0.735), [(0.035, 0), (0.04, 0.1)], "ceramic", sides=8)
    for z in (1.5, 1.85):
        f.box((depth - 0.25, -0.9, z), (depth, 0.9, z + 0.02), "shelf")
        for v in np.arange(-0.85, 0.8, 0.07):
            f.box((depth - 0.22, v, z + 0.02), (depth - 0.04, v + 0.05, z + float(rng.uniform(0.18, 0.3))), "book")
    _plant(f, depth - 0.4, half - 0.4)
    return box


def _living_room(f: Frame, rng: np.random.Generator) -> _Box:
    box = _shell(f, (-2.8, -2.6), (2.9, 2.6), 2.6, rng)
    f.box((-1.5, -1.2, 0.0), (1.6, 1.2, 0.015), "rug")
    f.box((2.0, -1.1, 0.0), (2.85, 1.1, 0.42), "towel")
    f.box((2.65, -1.1, 0.42), (2.88, 1.1, 0.85), "towel")
    f.box((-2.75, -2.2, 0.0), (-2.4, -0.4, 2.0), "shelf")
    for z in (0.4, 0.8, 1.2, 1.6):
        for y in np.arange(-2.15, -0.5, 0.08):
            f.box((-2.5, y, z), (-2.36, y + 0.05, z + float(rng.uniform(0.16, 0.28))), "book")
    for _ in range(14):
        t, r = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.7)
        g = f.sub(r * np.cos(t), r * np.sin(t), 0.0, float(rng.uniform(0, 3)))
        size = rng.uniform(0.05, 0.13, 3)
        g.box(
            (-size[0], -size[1], 0.0),
            (size[0], size[1], 2 * size[2]),
            str(rng.choice(["cardboard", "plastic", "fruit", "book", "ceramic"])),
        )
    f.box((0.9, -2.5, 0.0), (2.0, -2.15, 0.5), "carcass")
    f.box((1.0, -2.4, 0.55), (1.95, -2.36, 1.1), "black_glass")
    _pictures(f, 2.88, rng.uniform(-2, 2, 2), rng)
    _plant(f, -2.3, 2.1)
    return box


def _meeting(f: Frame, rng: np.random.Generator) -> _Box:
    box = _shell(f, (-2.2, -2.2), (3.2, 2.4), 2.7, rng)
    seated = bool(rng.random() < 0.5)
    for yaw, away in (
        (rng.uniform(-0.5, -0.15), rng.uniform(1.3, 1.8)),
        (rng.uniform(0.2, 0.9), rng.uniform(1.4, 2.0)),
    ):
        x, y = away * np.cos(yaw), away * np.sin(yaw)
        _person(f, float(x), float(y), float(rng.uniform(1.6, 1.85)), seated=seated, rng=rng)
        if seated:
            _chair(f, float(x), float(y), float(np.arctan2(-y, -x)))
    f.lathe((0.75, 0.1, 0.0), [(0.05, 0.0), (0.05, 0.5), (0.35, 0.5), (0.35, 0.53)], "table", sides=14)
    f.lathe((0.8, 0.1, 0.53), [(0.035, 0), (0.04, 0.1)], "ceramic", sides=8)
    _pictures(f, 3.18, rng.uniform(-1.5, 1.5, 2), rng)
    f.box((-2.15, -2.15, 0.0), (-0.9, -1.7, 0.8), "front")
    _plant(f, 2.8, 2.0)
    return box


def _store(f: Frame, rng: np.random.Generator) -> _Box:
    box = _shell(f, (-2.6, -2.4), (3.8, 2.6), 2.8, rng)
    f.box((2.4, 0.0, 0.70), (3.2, 1.3, 0.75), "table")
    for x in (2.45, 3.1):
        for y in (0.05, 1.2):
            f.box((x, y, 0.0), (x + 0.06, y + 0.06, 0.7), "steel")
    for x, y, z in (
        (0.45, 0.0, 0),
        (0.5, -0.5, 0),
        (0.5, -0.5, 0.32),
        (0.55, 0.55, 0),
        (2.8, 0.4, 0.75),
        (2.8, 0.95, 0.75),
    ):
        f.sub(x, y, z, float(rng.uniform(-0.2, 0.2))).box((-0.2, -0.2, 0), (0.2, 0.2, 0.3), "cardboard")
    for x in np.arange(-2.4, 3.2, 1.1):
        for z in (0.05, 0.75, 1.45):
            f.box((x, -2.38, z), (x + 1.0, -1.95, z + 0.03), "shelf")
            for u in (0.1, 0.55):
                f.box(
                    (x + u, -2.3, z + 0.03),
                    (x + u + 0.36, -2.0, z + float(rng.uniform(0.2, 0.5))),
                    str(rng.choice(["cardboard", "plastic", "bin"])),
                )
    return box


_SCENES: dict[str, Callable[[Frame, np.random.Generator], _Box]] = {
    "hall": _hall, "staircase": _staircase, "park": _park, "office": _office, "living room": _living_room,
    "meeting": _meeting, "store": _store,
}  # fmt: skip
