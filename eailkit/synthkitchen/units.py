"""Units of a counter run, each with the geometry that tells it from its neighbours in a point cloud.

A sink is a hole with a tap, a stove has burners, knobs and a hood, a dishwasher a low door with a bar, a
fridge is tall with two doors. A unit is drawn in its wall's axes (u along the wall, v into the room, z up,
metres) and says where hands work and where a body stands.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from eailkit.synthkitchen import props
from eailkit.synthkitchen.floorplan import RUN_DEPTH_M, TALL_DEPTH_M, Slot
from eailkit.synthkitchen.mesh import Frame

CARCASS_DEPTH_M = 0.57


@dataclass(frozen=True)
class Spot:
    """A fixture in room axes, before its stand point is moved to the nearest free floor.

    Attributes: kind; work (3,), stand (2,), box centre (3,) and size (3,) in metres; yaw of the box's x axis.
    """

    kind: str
    work: Float[np.ndarray, " 3"]
    stand: Float[np.ndarray, " 2"]
    centre: Float[np.ndarray, " 3"]
    size: Float[np.ndarray, " 3"]
    yaw_rad: float


@dataclass(frozen=True)
class Style:
    """Dimensions shared by all units of one kitchen, metres."""

    height: float  # of the worktop
    top: float  # its thickness
    handle: str  # "bar", "knob" or "edge"
    cabinet_z0: float
    cabinet_z1: float
    fridge_height: float


def spot_of(f: Frame, kind: str, work, distance: float, low, high) -> Spot:
    """A fixture of a run: the body stands `distance` metres in front of the wall, opposite the work point."""
    low, high = np.asarray(low, float), np.asarray(high, float)
    return Spot(kind, f.at(*work), f.at(work[0], distance, 0)[:2], f.at(*((low + high) / 2)), high - low, f.yaw_rad)


def _handle(f: Frame, style: Style, u: float, v: float, z: float, length: float, upright: bool) -> None:
    if style.handle == "knob":
        f.lathe(
            (u, v, z), [(0.008, 0), (0.008, 0.015), (0.016, 0.016), (0.016, 0.026)], "handle", axis=(0, 1, 0), sides=8
        )
    elif style.handle == "edge":
        a, b = (0.006, length / 2) if upright else (length / 2, 0.006)
        f.box((u - a, v, z - b), (u + a, v + 0.012, z + b), "handle")
    else:
        a, b = (0.006, length / 2) if upright else (length / 2, 0.006)
        f.box((u - a, v + 0.018, z - b), (u + a, v + 0.03, z + b), "handle")
        for s in (-0.8, 0.8):
            du, dz = (0.0, s * b) if upright else (s * a, 0.0)
            f.box((u + du - 0.005, v, z + dz - 0.005), (u + du + 0.005, v + 0.02, z + dz + 0.005), "handle")


def doors(
    f: Frame, style: Style, u0: float, u1: float, v: float, z0: float, z1: float, material: str, low: bool
) -> None:
    """One or two doors on a carcass, with a framed panel; `low`: the handles are at the upper edge."""
    n = 1 if u1 - u0 < 0.55 else 2
    w = (u1 - u0) / n
    for k in range(n):
        a, b = u0 + k * w + 0.003, u0 + (k + 1) * w - 0.003
        f.box((a, v, z0), (b, v + 0.02, z1), material)
        f.box((a + 0.06, v, z0 + 0.06), (b - 0.06, v + 0.024, z1 - 0.06), material)
        u = a + 0.04 if (k == 1 or n == 1) else b - 0.04
        _handle(f, style, u, v + 0.02, z1 - 0.1 if low else z0 + 0.1, 0.14, upright=True)


def _carcass(f: Frame, slot: Slot, style: Style) -> float:
    """Toe kick and body of a base unit; returns the height of its top."""
    z1 = style.height - style.top
    f.box((slot.u0, 0.04, 0), (slot.u1, 0.53, 0.1), "toe")
    f.box((slot.u0, 0.01, 0.1), (slot.u1, CARCASS_DEPTH_M, z1), "carcass")
    return z1


def _base(f: Frame, slot: Slot, style: Style, spots: list[Spot], rng: np.random.Generator, _: bool) -> None:
    z1 = _carcass(f, slot, style)
    doors(f, style, slot.u0, slot.u1, CARCASS_DEPTH_M, 0.11, z1 - 0.01, "front", low=True)
    spots.append(spot_of(f, "base_cabinet", (slot.mid, 0.5, 0.42), 1.1, (slot.u0, 0, 0), (slot.u1, 0.6, z1)))


def _drawer_fronts(f: Frame, slot: Slot, style: Style, z0: float, z1: float, n: int) -> None:
    edges = z0 + (z1 - z0) * np.cumsum([0.0] + [1.3] * (n - 2) + [1.0, 0.8])[: n + 1] / (1.3 * (n - 2) + 1.8)
    for a, b in zip(edges[:-1], edges[1:], strict=True):
        f.box(
            (slot.u0 + 0.003, CARCASS_DEPTH_M, a + 0.003), (slot.u1 - 0.003, CARCASS_DEPTH_M + 0.02, b - 0.003), "front"
        )
        _handle(
            f, style, slot.mid, CARCASS_DEPTH_M + 0.02, b - 0.05, min(0.3, 0.6 * (slot.u1 - slot.u0)), upright=False
        )


def _drawer(f: Frame, slot: Slot, style: Style, spots: list[Spot], rng: np.random.Generator, _: bool) -> None:
    z1 = _carcass(f, slot, style)
    _drawer_fronts(f, slot, style, 0.11, z1 - 0.01, int(rng.integers(3, 5)))
    spots.append(spot_of(f, "drawer", (slot.mid, 0.62, 0.74), 1.0, (slot.u0, 0, 0), (slot.u1, 0.6, z1)))


def _sink(f: Frame, slot: Slot, style: Style, spots: list[Spot], rng: np.random.Generator, _: bool) -> None:
    h, u0, u1 = style.height, slot.u0, slot.u1
    half, v0, v1, deep = min(0.27, (u1 - u0) / 2 - 0.05), 0.11, 0.52, float(rng.uniform(0.15, 0.21))
    a, b, z = slot.mid - half, slot.mid + half, style.height - deep
    f.box((u0, 0.04, 0), (u1, 0.53, 0.1), "toe")
    f.box((u0, 0.01, 0.1), (u1, CARCASS_DEPTH_M, z - 0.03), "carcass")
    f.box((u0, CARCASS_DEPTH_M - 0.02, 0.1), (u1, CARCASS_DEPTH_M, h - style.top), "carcass")
    doors(f, style, u0, u1, CARCASS_DEPTH_M, 0.11, h - style.top - 0.01, "front", low=True)
    for low, high in (
        ((u0, 0), (a, RUN_DEPTH_M)),
        ((b, 0), (u1, RUN_DEPTH_M)),
        ((a, 0), (b, v0)),
        ((a, v1), (b, RUN_DEPTH_M)),
    ):
        f.box((*low, h - style.top), (*high, h), "worktop")
    t, rim = 0.008, h + 0.004
    f.box((a, v0, z), (b, v1, z + t), "sink_steel")
    for low, high in (
        ((a - 0.012, v0 - 0.012), (a + t, v1 + 0.012)),
        ((b - t, v0 - 0.012), (b + 0.012, v1 + 0.012)),
        ((a, v0 - 0.012), (b, v0 + t)),
        ((a, v1 - t), (b, v1 + 0.012)),
    ):
        f.box((*low, z), (*high, rim), "sink_steel")
    if b - a > 0.5:  # one and a half bowls
        f.box((b - 0.19, v0, z), (b - 0.175, v1, rim - 0.02), "sink_steel")
    f.lathe((slot.mid - 0.05, 0.3, z + t), [(0.04, 0), (0.045, 0.006)], "black_glass")
    rise, reach = float(rng.uniform(0.2, 0.32)), float(rng.uniform(0.15, 0.2))
    f.lathe((slot.mid, 0.06, h), [(0.028, 0), (0.024, 0.05), (0.014, 0.06), (0.014, rise)], "chrome")
    f.tube(
        [
            (slot.mid, 0.06, h + rise),
            (slot.mid, 0.06 + reach, h + rise + 0.02),
            (slot.mid, 0.07 + reach, h + rise - 0.07),
        ],
        0.013,
        "chrome",
    )
    f.tube([(slot.mid + 0.02, 0.06, h + 0.05), (slot.mid + 0.09, 0.08, h + 0.09)], 0.008, "chrome", sides=6)
    f.lathe((a - 0.0, 0.055, h), [(0.026, 0), (0.026, 0.12), (0.01, 0.13), (0.01, 0.17)], "plastic", sides=8)
    f.box((b - 0.08, 0.04, h), (b, 0.09, h + 0.03), "fruit")  # sponge
    if rng.random() < 0.5:
        props.bowl(f.sub(slot.mid - 0.1, 0.28, z + 0.01), 0.09, 0.06, "ceramic")
    spots.append(spot_of(f, "sink", (slot.mid, 0.36, h - 0.05), 0.9, (u0, 0, 0), (u1, RUN_DEPTH_M, h + rise)))


def _dishwasher(f: Frame, slot: Slot, style: Style, spots: list[Spot], rng: np.random.Generator, _: bool) -> None:
    z1, v = _carcass(f, slot, style), CARCASS_DEPTH_M
    f.box((slot.u0 + 0.004, v, 0.13), (slot.u1 - 0.004, v + 0.025, z1 - 0.12), "dishwasher")
    f.box((slot.u0 + 0.004, v, z1 - 0.115), (slot.u1 - 0.004, v + 0.03, z1 - 0.01), "black_glass")
    f.box((slot.u0 + 0.06, v + 0.035, z1 - 0.165), (slot.u1 - 0.06, v + 0.055, z1 - 0.14), "chrome")
    for u in (slot.u0 + 0.07, slot.u1 - 0.09):
        f.box((u, v + 0.02, z1 - 0.16), (u + 0.02, v + 0.04, z1 - 0.145), "chrome")
    for k in range(4):
        f.box(
            (slot.u1 - 0.06 - 0.04 * k, v + 0.03, z1 - 0.07), (slot.u1 - 0.04 - 0.04 * k, v + 0.034, z1 - 0.05), "label"
        )
    spots.append(spot_of(f, "dishwasher", (slot.mid, 0.7, 0.40), 1.2, (slot.u0, 0, 0), (slot.u1, 0.62, z1)))


def _oven_front(f: Frame, u0: float, u1: float, v: float, z0: float, z1: float, rng: np.random.Generator) -> None:
    """Control panel with knobs, a glass door and its bar."""
    panel = z1 - 0.11
    f.box((u0 + 0.005, v, panel), (u1 - 0.005, v + 0.03, z1), "oven")
    f.box((u0 + 0.005, v, z0), (u1 - 0.005, v + 0.025, panel - 0.006), "oven")
    f.box((u0 + 0.07, v + 0.02, z0 + 0.07), (u1 - 0.07, v + 0.029, panel - 0.1), "black_glass")
    f.box((u0 + 0.05, v + 0.05, panel - 0.065), (u1 - 0.05, v + 0.068, panel - 0.045), "chrome")
    for u in (u0 + 0.06, u1 - 0.08):
        f.box((u, v + 0.02, panel - 0.06), (u + 0.02, v + 0.055, panel - 0.05), "chrome")
    for k in range(5):
        u = u0 + 0.08 + (u1 - u0 - 0.16) * k / 4
        if k == 2:
            f.box((u - 0.05, v + 0.03, panel + 0.035), (u + 0.05, v + 0.034, panel + 0.08), "black_glass")
        else:
            f.lathe((u, v + 0.03, panel + 0.055), [(0.022, 0), (0.018, 0.025)], "chrome", axis=(0, 1, 0), sides=10)
    if rng.random() < 0.4:
        u = float(rng.uniform(u0 + 0.15, u1 - 0.3))
        f.box((u, v + 0.046, panel - 0.4), (u + 0.18, v + 0.074, panel - 0.04), "towel")


def _stove(f: Frame, slot: Slot, style: Style, spots: list[Spot], rng: np.random.Generator, tall_oven: bool) -> None:
    h, u0, u1 = style.height, slot.u0, slot.u1
    z1 = _carcass(f, slot, style)
    if tall_oven:
        _drawer_fronts(f, slot, style, 0.11, z1 - 0.01, 3)
    else:
        _oven_front(f, u0, u1, CARCASS_DEPTH_M, 0.14, z1 - 0.005, rng)
        spots.append(spot_of(f, "oven", (slot.mid, 0.5, 0.45), 1.2, (u0, 0, 0), (u1, 0.64, z1)))
    f.box((u0 + 0.02, 0.06, h), (u1 - 0.02, 0.57, h + 0.008), "black_glass")
    dx = (u1 - u0) * 0.24
    places = [(slot.mid + s * dx, v) for s in (-1, 1) for v in (0.2, 0.44)]
    for u, v in places:
        r = float(rng.choice([0.075, 0.095]))
        f.lathe((u, v, h + 0.008), [(r, 0), (r, 0.012), (r * 0.5, 0.014)], "burner")
        for k in range(2):  # pan supports
            a, b = (r * 1.2, 0.006) if k else (0.006, r * 1.2)
            f.box((u - a, v - b, h + 0.02), (u + a, v + b, h + 0.03), "burner")
    for k in rng.permutation(4)[: int(rng.integers(1, 4))]:
        sideways = float(rng.choice([0.0, np.pi]) + rng.uniform(-0.4, 0.4))  # handles don't stick out over the edge
        props.pan(f.sub(*places[k], h + 0.03, sideways), rng)
    half, z = (u1 - u0) / 2, float(rng.uniform(1.52, 1.62))
    f.box((u0, 0.0, z), (u1, 0.48, z + 0.06), "steel")
    f.box((u0 + 0.05, 0.05, z - 0.006), (u1 - 0.05, 0.43, z), "black_glass")
    f.lathe((slot.mid, 0.24, z + 0.06), [(half * 1.3, 0), (0.2, 0.22)], "steel", sides=4, phase=np.pi / 4)
    f.box((slot.mid - 0.13, 0.1, z + 0.25), (slot.mid + 0.13, 0.36, 2.38), "steel")
    spots.append(spot_of(f, "stove", (slot.mid, 0.42, h + 0.08), 0.92, (u0, 0, h - 0.04), (u1, RUN_DEPTH_M, h + 0.2)))


def _tall_oven(f: Frame, slot: Slot, style: Style, spots: list[Spot], rng: np.random.Generator, _: bool) -> None:
    u0, u1, v = slot.u0, slot.u1, 0.60
    f.box((u0, 0.04, 0), (u1, 0.55, 0.1), "toe")
    f.box((u0, 0.01, 0.1), (u1, v, 2.12), "front")
    doors(f, style, u0, u1, v, 0.11, 0.70, "front", low=True)
    _oven_front(f, u0, u1, v, 0.73, 1.33, rng)
    doors(f, style, u0, u1, v, 1.36, 2.1, "front", low=False)
    spots.append(spot_of(f, "oven", (slot.mid, 0.5, 0.98), 1.2, (u0, 0, 0.7), (u1, 0.67, 1.35)))


def _fridge(f: Frame, slot: Slot, style: Style, spots: list[Spot], rng: np.random.Generator, _: bool) -> None:
    u0, u1, h, v = slot.u0 + 0.01, slot.u1 - 0.01, style.fridge_height, TALL_DEPTH_M - 0.06
    f.box((u0, 0.03, 0.05), (u1, v, h), "fridge")
    f.box((u0 + 0.03, 0.05, 0), (u1 - 0.03, v - 0.03, 0.05), "toe")
    split = float(rng.choice([0.62, 1.25]))
    for z0, z1 in ((0.07, split - 0.006), (split + 0.006, h - 0.005)):
        f.box((u0, v + 0.008, z0), (u1, v + 0.06, z1), "fridge")
        mid, half = (z1 - 0.2, 0.15) if z1 < 1.0 else (max(z0 + 0.25, 1.05), min(0.2, (z1 - z0) / 2 - 0.05))
        f.box((u0 + 0.05, v + 0.075, mid - half), (u0 + 0.075, v + 0.095, mid + half), "chrome")
        for z in (mid - half, mid + half - 0.02):
            f.box((u0 + 0.055, v + 0.06, z), (u0 + 0.07, v + 0.08, z + 0.02), "chrome")
    for _k in range(int(rng.integers(2, 8))):  # magnets and notes
        u, z = float(rng.uniform(u0 + 0.12, u1 - 0.1)), float(rng.uniform(1.3, h - 0.2))
        s = float(rng.uniform(0.02, 0.06))
        f.box(
            (u - s, v + 0.06, z - s * 1.2),
            (u + s, v + 0.063, z + s * 1.2),
            str(rng.choice(["label", "picture", "plastic"])),
        )
    props.scatter(
        f.sub(0, 0, h), ("box", "bowl", "plant", "jar"), u0 + 0.12, u1 - 0.12, 0.15, 0.45, rng, int(rng.integers(1, 4))
    )
    spots.append(spot_of(f, "fridge", (slot.mid, 0.45, 1.15), 1.25, (u0, 0, 0), (u1, v + 0.09, h)))


UNITS = {
    "base": _base,
    "drawer": _drawer,
    "sink": _sink,
    "dishwasher": _dishwasher,
    "stove": _stove,
    "tall_oven": _tall_oven,
    "fridge": _fridge,
}
