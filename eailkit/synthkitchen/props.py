"""Small things and furniture: bottles, bowls, kettles, pans, tables, chairs, bins, shelves.

Each function adds shapes to a frame whose origin is where the thing stands; none knows about rooms.
"""

from __future__ import annotations

import numpy as np

from eailkit.synthkitchen.mesh import Frame

SMALL_ITEMS = ("bottle", "jar", "mug", "bowl", "fruit_bowl", "box", "plant", "paper_roll")
TOP_ITEMS = (*SMALL_ITEMS, "kettle", "board", "knife_block", "toaster", "coffee_machine")


def item(f: Frame, name: str, rng: np.random.Generator) -> None:
    """One thing of TOP_ITEMS standing at the frame's origin."""
    s = float(rng.uniform(0.85, 1.15))
    if name == "bottle":
        r, h = 0.035 * s, float(rng.uniform(0.2, 0.32))
        f.lathe((0, 0, 0), [(r, 0), (r, h * 0.62), (r * 0.4, h * 0.78), (r * 0.38, h)], "bottle")
        f.lathe((0, 0, h * 0.2), [(r * 1.02, 0), (r * 1.02, h * 0.25)], "label")
    elif name == "jar":
        r, h = 0.045 * s, float(rng.uniform(0.1, 0.2))
        f.lathe((0, 0, 0), [(r, 0), (r, h)], str(rng.choice(["ceramic", "plastic", "label"])))
        f.lathe((0, 0, h), [(r * 1.06, 0), (r * 1.06, 0.02)], "wood")
    elif name == "mug":
        f.lathe((0, 0, 0), [(0.038 * s, 0), (0.042 * s, 0.095)], "ceramic")
        f.box((0.04, -0.008, 0.02), (0.075, 0.008, 0.075), "ceramic")
    elif name == "bowl":
        bowl(f, 0.11 * s, 0.075 * s, str(rng.choice(["ceramic", "plastic", "steel"])))
    elif name == "fruit_bowl":
        bowl(f, 0.14 * s, 0.08, "wood")
        for _ in range(5):
            x, y = rng.uniform(-0.07, 0.07, 2)
            ball(f, x, y, 0.06 + float(rng.uniform(0, 0.05)), 0.036, "fruit")
    elif name == "box":
        w, d, h = rng.uniform(0.06, 0.2), rng.uniform(0.05, 0.09), rng.uniform(0.14, 0.28)
        f.box((-w / 2, -d / 2, 0), (w / 2, d / 2, h), str(rng.choice(["cardboard", "label", "book"])))
    elif name == "plant":
        f.lathe((0, 0, 0), [(0.05, 0), (0.07, 0.11)], "pot")
        for _ in range(7):
            tip = rng.normal(0, 0.1, 2)
            f.tube([(0, 0, 0.1), (tip[0], tip[1], float(rng.uniform(0.18, 0.36)))], 0.012, "plant", sides=4)
    elif name == "paper_roll":
        f.lathe((0, 0, 0), [(0.075, 0), (0.075, 0.012)], "wood")
        f.lathe((0, 0, 0.012), [(0.055, 0), (0.055, 0.23)], "towel")
        f.lathe((0, 0, 0.24), [(0.01, 0), (0.01, 0.06)], "wood")
    else:
        _appliance(f, name, rng)


def _appliance(f: Frame, name: str, rng: np.random.Generator) -> None:
    if name == "kettle":
        f.lathe((0, 0, 0), [(0.085, 0), (0.085, 0.02)], "black_glass")
        f.lathe((0, 0, 0.02), [(0.08, 0), (0.06, 0.19), (0.02, 0.22)], str(rng.choice(["steel", "plastic", "ceramic"])))
        f.tube([(0.06, 0, 0.2), (0.12, 0, 0.17), (0.11, 0, 0.05)], 0.012, "black_glass", sides=6)
    elif name == "board":
        f.box((-0.17, -0.12, 0), (0.17, 0.12, 0.02), "wood")
        f.box((-0.02, -0.1, 0.02), (0.0, 0.02, 0.024), "chrome")
        f.box((-0.022, 0.02, 0.02), (0.002, 0.12, 0.036), "black_glass")
        for _ in range(3):
            x, y = rng.uniform(0.03, 0.12), rng.uniform(-0.08, 0.08)
            ball(f, float(x), float(y), 0.04, 0.028, str(rng.choice(["fruit", "plant"])))
    elif name == "knife_block":
        f.box((-0.05, -0.09, 0), (0.05, 0.06, 0.21), "wood")
        for k in range(4):
            f.box((-0.04 + 0.024 * k, -0.05, 0.21), (-0.026 + 0.024 * k, -0.03, 0.31), "black_glass")
    elif name == "toaster":
        f.box((-0.15, -0.09, 0), (0.15, 0.09, 0.18), "steel")
        for y in (-0.035, 0.02):
            f.box((-0.11, y, 0.175), (0.11, y + 0.02, 0.186), "black_glass")
        f.box((0.15, -0.02, 0.1), (0.175, 0.02, 0.12), "black_glass")
    else:  # coffee machine
        f.box((-0.1, -0.13, 0), (0.1, 0.13, 0.03), "black_glass")
        f.box((-0.1, -0.13, 0.03), (0.1, -0.02, 0.34), "oven")
        f.box((-0.1, -0.13, 0.27), (0.1, 0.13, 0.35), "oven")
        f.lathe((0, 0.06, 0.03), [(0.055, 0), (0.06, 0.13)], "bottle")


def bowl(f: Frame, radius: float, height: float, material: str) -> None:
    """An open bowl: outer and inner wall."""
    f.lathe(
        (0, 0, 0),
        [(radius * 0.5, 0), (radius, height), (radius * 0.93, height), (radius * 0.42, height * 0.15)],
        material,
    )


def ball(f: Frame, x: float, y: float, z: float, radius: float, material: str) -> None:
    """A sphere of six sides."""
    t = np.linspace(-np.pi / 2, np.pi / 2, 5)
    f.lathe((x, y, z), [(radius * np.cos(a) + 1e-4, radius * np.sin(a)) for a in t], material, sides=7)


def pan(f: Frame, rng: np.random.Generator) -> None:
    """A pot with a lid or a frying pan with its handle, on a burner."""
    if rng.random() < 0.5:
        r, h = float(rng.uniform(0.085, 0.11)), float(rng.uniform(0.1, 0.16))
        f.lathe((0, 0, 0), [(r, 0), (r, h), (r * 0.5, h + 0.02)], str(rng.choice(["pan", "steel"])))
        f.lathe((0, 0, h + 0.02), [(0.015, 0), (0.02, 0.025)], "black_glass", sides=8)
        for side in (-1, 1):
            f.box((side * r, -0.025, h - 0.03), (side * (r + 0.04), 0.025, h - 0.015), "black_glass")
    else:
        r = float(rng.uniform(0.1, 0.13))
        f.lathe((0, 0, 0), [(r * 0.8, 0), (r, 0.045), (r * 0.95, 0.045), (r * 0.76, 0.008)], "pan")
        f.box((r, -0.012, 0.035), (r + 0.19, 0.012, 0.055), "black_glass")
        f.lathe((0, 0, 0.008), [(r * 0.78, 0), (r * 0.8, 0.009)], "food")
        for k in range(5):  # pieces in the sauce
            turn, out = 2.4 * k, 0.12 * r + 0.12 * r * k
            ball(f, out * np.cos(turn), out * np.sin(turn), 0.016, 0.018, "fruit" if k % 2 else "plant")


def scatter(f: Frame, names, x0: float, x1: float, y0: float, y1: float, rng: np.random.Generator, count: int) -> None:
    """Things at random places of a top, at least 0.17 m apart; gives up quietly where the top is full."""
    placed: list[np.ndarray] = []
    for _ in range(count * 4):
        p = np.array([rng.uniform(x0, x1), rng.uniform(y0, y1)])
        if len(placed) < count and all(np.linalg.norm(p - q) > 0.17 for q in placed):
            placed.append(p)
            item(f.sub(p[0], p[1], 0.0, float(rng.uniform(-0.5, 0.5))), str(rng.choice(names)), rng)


def table(f: Frame, width: float, depth: float, height: float, rng: np.random.Generator) -> None:
    """A table with four legs, apron and things on top; the origin is its corner."""
    f.box((0, 0, height - 0.035), (width, depth, height), "table")
    f.box((0.06, 0.06, height - 0.12), (width - 0.06, depth - 0.06, height - 0.035), "table")
    for x in (0.03, width - 0.09):
        for y in (0.03, depth - 0.09):
            f.box((x, y, 0), (x + 0.06, y + 0.06, height - 0.035), "table")
    names = ("bowl", "fruit_bowl", "mug", "bottle", "plant", "board", "box")
    scatter(f.sub(0, 0, height), names, 0.18, width - 0.18, 0.18, depth - 0.18, rng, int(rng.integers(2, 5)))
    plate = f.sub(width / 2, 0.16, height)
    plate.lathe((0, 0, 0), [(0.07, 0), (0.12, 0.018), (0.11, 0.018), (0.06, 0.006)], "ceramic", sides=16)


def chair(f: Frame, rng: np.random.Generator) -> None:
    """A chair that faces +x; the origin is on the floor below its middle."""
    seat, half = 0.46, 0.2
    f.box((-half, -half, seat - 0.04), (half, half, seat), "chair")
    for x in (-half, half - 0.035):
        for y in (-half, half - 0.035):
            f.box((x, y, 0), (x + 0.035, y + 0.035, seat - 0.04), "chair")
    top = float(rng.uniform(0.82, 0.98))
    for y in (-half, half - 0.035):
        f.box((-half, y, seat), (-half + 0.03, y + 0.035, top), "chair")
    for k in range(int(rng.integers(2, 4))):
        z = top - 0.02 - 0.13 * k
        f.box((-half, -half, z - 0.07), (-half + 0.025, half, z), "chair")
    f.box((-half, -half + 0.02, 0.2), (half, -half + 0.04, 0.225), "chair")
    f.box((-half, half - 0.04, 0.2), (half, half - 0.02, 0.225), "chair")


def dustbin(f: Frame, width: float, height: float, rng: np.random.Generator) -> None:
    """A pedal bin, round or square, centred on the origin, its front towards +y."""
    r = width / 2 - 0.01
    if rng.random() < 0.5:
        f.lathe(
            (0, 0, 0),
            [(r * 0.85, 0), (r, height), (r * 1.02, height), (r * 0.7, height + 0.07), (0.02, height + 0.1)],
            "bin",
        )
    else:
        f.box((-r, -r, 0), (r, r, height), "bin")
        f.box((-r - 0.008, -r - 0.008, height), (r + 0.008, r + 0.008, height + 0.05), "black_glass")
        f.box((-0.05, r, height + 0.01), (0.05, r + 0.02, height + 0.03), "chrome")
    f.box((-0.06, r, 0.02), (0.06, r + 0.06, 0.04), "chrome")


def shelf(f: Frame, width: float, depth: float, z0: float, z1: float, boards: int, rng: np.random.Generator) -> None:
    """Open shelf: boards between two sides, full of things; the origin is at the wall, its front towards +y."""
    f.box((0, 0, z0), (0.022, depth, z1), "shelf")
    f.box((width - 0.022, 0, z0), (width, depth, z1), "shelf")
    f.box((0, 0, z0), (width, 0.012, z1), "shelf")
    levels = np.linspace(z0 + 0.03, z1 - 0.025, boards)
    for k, z in enumerate(levels):
        f.box((0.02, 0, z), (width - 0.02, depth, z + 0.022), "shelf")
        if k == boards - 1:
            continue
        room = levels[k + 1] - z - 0.03
        x = 0.05
        while x < width - 0.1:
            if rng.random() < 0.35:  # a row of books or boxes
                w, h = float(rng.uniform(0.02, 0.05)), float(min(room, rng.uniform(0.14, 0.26)))
                f.box(
                    (x, 0.03, z + 0.022),
                    (x + w, depth - 0.05, z + 0.022 + h),
                    str(rng.choice(["book", "cardboard", "label"])),
                )
                x += w + 0.004
            else:
                name = str(
                    rng.choice(["jar", "mug", "bowl"] if room < 0.34 else ["jar", "bottle", "mug", "bowl", "plant"])
                )
                item(f.sub(x + 0.07, depth / 2, z + 0.022), name, rng)
                x += 0.19
