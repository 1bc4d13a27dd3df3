"""Hands, forearms and what they work with, as a few ellipsoids, boxes and cylinders in front of the room.

They are no part of the room's mesh: a scan never sees them. Shapes live in a frame at the hands (x away from the
viewer and level, y left, z up) and are painted where they are nearer than what a ray hit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

SKIN = np.array([0.82, 0.62, 0.50])
SLEEVE = np.array([0.25, 0.34, 0.55])
STEEL, WOOD, DARK, WHITE = (0.78, 0.80, 0.83), (0.72, 0.53, 0.33), (0.10, 0.10, 0.12), (0.93, 0.92, 0.89)
OWN = None  # the colour of the thing, as given


@dataclass(frozen=True)
class Part:
    """An "ellipsoid", "box" or upright "cylinder": centre and half sizes (x, y, z; m), colour, turn about z (rad)."""

    kind: str
    centre: tuple[float, float, float]
    half: tuple[float, float, float]
    rgb: tuple[float, float, float] | None = OWN
    yaw: float = 0.0


# at the right hand; thin things are thicker than real ones, so that some of them is left at 64 pixels
_TOOLS: dict[str, tuple[Part, ...]] = {
    "ball": (Part("ellipsoid", (0.06, 0.0, 0.02), (0.05, 0.05, 0.05)),),
    "food": (Part("ellipsoid", (0.05, 0.03, 0.0), (0.045, 0.035, 0.035)),),
    "knife": (
        Part("box", (0.03, 0.03, 0.012), (0.06, 0.012, 0.014), DARK, 0.6),
        Part("box", (0.115, 0.09, 0.005), (0.1, 0.002, 0.025), STEEL, 0.6),
    ),
    "spoon": (
        Part("cylinder", (0.05, 0.055, 0.02), (0.011, 0.011, 0.16), WOOD),
        Part("ellipsoid", (0.05, 0.055, -0.14), (0.035, 0.035, 0.014), WOOD),
    ),
    "cup": (
        Part("cylinder", (0.04, 0.045, 0.01), (0.04, 0.04, 0.05)),
        Part("cylinder", (0.04, 0.045, 0.05), (0.034, 0.034, 0.012), DARK),
    ),
    "bottle": (
        Part("cylinder", (0.04, 0.045, 0.01), (0.035, 0.035, 0.09)),
        Part("cylinder", (0.04, 0.045, 0.12), (0.014, 0.014, 0.04)),
        Part("cylinder", (0.04, 0.045, 0.0), (0.036, 0.036, 0.03), WHITE),
    ),
    "box": (
        Part("box", (0.05, 0.06, 0.02), (0.035, 0.055, 0.09)),
        Part("box", (0.014, 0.06, 0.03), (0.002, 0.04, 0.03), WHITE),
    ),
    "phone": (
        Part("box", (0.03, 0.06, 0.03), (0.005, 0.037, 0.075), DARK),
        Part("box", (0.024, 0.06, 0.03), (0.002, 0.033, 0.066), (0.62, 0.80, 0.95)),
    ),
    "plate": (
        Part("cylinder", (0.08, 0.1, 0.0), (0.12, 0.12, 0.008), WHITE),
        Part("cylinder", (0.08, 0.1, 0.006), (0.08, 0.08, 0.006), (0.82, 0.82, 0.80)),
    ),
    "pot": (
        Part("cylinder", (0.08, 0.1, 0.0), (0.11, 0.11, 0.06), STEEL),
        Part("cylinder", (0.08, 0.1, 0.055), (0.10, 0.10, 0.008), (0.30, 0.30, 0.33)),
    ),
    "cloth": (Part("ellipsoid", (0.04, 0.03, -0.025), (0.09, 0.07, 0.015)),),
    "tray": (Part("box", (0.06, 0.1, 0.0), (0.14, 0.2, 0.01), (0.25, 0.25, 0.27)),
             Part("ellipsoid", (0.06, 0.1, 0.03), (0.09, 0.12, 0.035))),
}  # fmt: skip
# between the hands, lying below them
_BENCH: dict[str, tuple[Part, ...]] = {
    "board": (
        Part("box", (0.0, 0.0, -0.075), (0.13, 0.19, 0.011), WOOD),
        Part("ellipsoid", (0.0, 0.05, -0.04), (0.04, 0.055, 0.03)),
        Part("box", (0.02, -0.05, -0.055), (0.04, 0.008, 0.012), OWN, 0.3),
        Part("box", (0.01, -0.09, -0.055), (0.035, 0.008, 0.012), OWN, -0.2),
        Part("box", (-0.05, -0.1, -0.055), (0.03, 0.01, 0.01), OWN, 0.8),
    ),
    "bowl": (
        Part("cylinder", (0.02, 0.0, -0.045), (0.12, 0.12, 0.04), WHITE),
        Part("cylinder", (0.02, 0.0, -0.005), (0.11, 0.11, 0.004)),
    ),
    "dough": (
        Part("cylinder", (0.0, 0.0, -0.08), (0.2, 0.2, 0.003), (0.95, 0.93, 0.88)),
        Part("ellipsoid", (0.0, 0.0, -0.05), (0.1, 0.13, 0.04), (0.93, 0.85, 0.68)),
    ),
    "meal": (
        Part("cylinder", (0.03, 0.0, -0.07), (0.13, 0.13, 0.008), WHITE),
        Part("ellipsoid", (0.04, 0.02, -0.055), (0.07, 0.06, 0.025)),
        Part("ellipsoid", (0.0, -0.05, -0.055), (0.035, 0.03, 0.018), (0.35, 0.58, 0.25)),
    ),
    "book": (
        Part("box", (0.02, 0.075, -0.06), (0.11, 0.075, 0.008), WHITE),
        Part("box", (0.02, -0.078, -0.06), (0.11, 0.075, 0.008), (0.90, 0.89, 0.84)),
        Part("box", (0.06, 0.075, -0.051), (0.05, 0.055, 0.002)),
        Part("box", (-0.02, -0.078, -0.051), (0.06, 0.055, 0.002), (0.55, 0.55, 0.55)),
    ),
    "dish": (Part("cylinder", (0.03, 0.03, -0.03), (0.11, 0.11, 0.01), WHITE),),
    "water": (Part("cylinder", (0.03, 0.0, 0.07), (0.008, 0.008, 0.11), (0.85, 0.92, 0.98)),),
}  # fmt: skip
SHAPES: tuple[tuple[str, str], ...] = tuple(
    [(tool, "") for tool in _TOOLS]
    + [("", bench) for bench in _BENCH]
    + [("knife", "board"), ("food", "board"), ("spoon", "bowl"), ("spoon", "meal"), ("spoon", "dish"),
       ("food", "water"), ("cloth", "dish"), ("pot", "water"), ("bottle", "bowl"), ("", "")]
)  # fmt: skip


def shape_index(tool: str = "", bench: str = "") -> int:
    """Index into SHAPES of a tool in the right hand and a thing between the hands ("" for none).

    Raises:
        ValueError: no such pair.
    """
    return SHAPES.index((tool, bench))


def draw_hands(
    colour: Float[np.ndarray, "n pixels 3"],
    distance: Float[np.ndarray, "n pixels"],
    eye: Float[np.ndarray, "n 3"],
    rays: Float[np.ndarray, "n pixels 3"],
    turn: Float[np.ndarray, "n 3 3"],
    hands: Float[np.ndarray, "n 2 3"],
    held: Float[np.ndarray, "n _"] | None,
) -> None:
    """Paint hands, forearms and things where they are nearer; changes colour and distance in place.

    Args:
        turn: head axes to the map.
        hands: left and right hand, NaN where out of play.
        held: colour of the thing and, as a fourth number, its index into SHAPES ("ball" without); NaN for none.
    """
    view = _Canvas(colour, distance, eye, rays)
    for side in (0, 1):
        _arm(view, hands[:, side], turn, 0.22 if side == 0 else -0.22)
    if held is None:
        return
    right = np.where(np.isfinite(hands[:, 1]), hands[:, 1], hands[:, 0])
    middle = np.where(np.isfinite(hands).all(axis=1), hands.mean(axis=1), right)
    kinds = held[:, 3] if held.shape[1] > 3 else np.zeros(len(held))
    for kind in np.unique(kinds[np.isfinite(kinds) & np.isfinite(held[:, 0])]).astype(int):
        of = kinds == kind
        tool, bench = SHAPES[kind]
        for place, parts in ((right, _TOOLS.get(tool, ())), (middle, _BENCH.get(bench, ()))):
            at = np.where(of[:, None], place, np.nan)
            axes = _level_axes(place - eye)
            for part in parts:
                rgb = held[:, :3] if part.rgb is OWN else np.broadcast_to(np.asarray(part.rgb), (len(eye), 3))
                view.paint(part.kind, *_placed(part, at, axes), part.half, rgb)


def _level_axes(ahead: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3 3"]:
    """Axes as columns: x level and ahead, y left, z up."""
    x = np.nan_to_num(ahead) * (1.0, 1.0, 0.0) + (1e-6, 0.0, 0.0)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    z = np.broadcast_to((0.0, 0.0, 1.0), x.shape)
    return np.stack([x, np.cross(z, x), z], axis=2)


def _placed(part: Part, at: np.ndarray, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    c, s = np.cos(part.yaw), np.sin(part.yaw)
    turned = axes @ np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    return at + axes @ np.asarray(part.centre), turned


def _along(ahead: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3 3"]:
    """Axes as columns with x along a vector."""
    x = np.nan_to_num(ahead) + (0.0, 0.0, 1e-6)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = np.cross(np.array([0.0, 0.0, 1.0]), x)
    y /= np.maximum(np.linalg.norm(y, axis=1, keepdims=True), 1e-6)
    return np.stack([x, y, np.cross(x, y)], axis=2)


def _arm(view: _Canvas, hand: np.ndarray, turn: np.ndarray, lateral: float) -> None:
    """A sleeve, a bare wrist, a palm, four curled fingers and a thumb."""
    elbow = view.eye + turn @ np.array([0.06, lateral, -0.5])
    arm = hand - elbow
    length = np.linalg.norm(arm, axis=1, keepdims=True)
    axes = _along(arm)
    inner = -np.sign(lateral)
    skin, sleeve = (np.broadcast_to(c, hand.shape) for c in (SKIN, SLEEVE))
    for share, half, rgb in ((0.3, 0.34, sleeve), (0.72, 0.30, skin)):
        size = np.concatenate([half * length, np.full_like(length, 0.045), np.full_like(length, 0.042)], axis=1)
        if rgb is skin:
            size[:, 1:] = 0.031
        view.paint("ellipsoid", elbow + share * arm, axes, size, rgb)
    level = _level_axes(arm)
    view.paint("ellipsoid", hand, level, (0.05, 0.042, 0.022), skin)
    for k in range(4):
        at = np.array([0.055 - 0.004 * abs(k - 1.3), -0.03 + 0.02 * k, -0.018])
        view.paint("ellipsoid", hand + level @ at, level, (0.03, 0.0095, 0.013), skin * 0.96)
    view.paint("ellipsoid", hand + level @ np.array([0.025, 0.045 * inner, -0.012]), level, (0.032, 0.013, 0.013), skin)


class _Canvas:
    """Frames being painted: colours and distances of rays from one eye a frame."""

    def __init__(self, colour: np.ndarray, distance: np.ndarray, eye: np.ndarray, rays: np.ndarray):
        self.colour, self.distance, self.eye, self.rays = colour, distance, eye, rays

    def paint(self, kind: str, centre: np.ndarray, axes: np.ndarray, half, rgb: np.ndarray) -> None:
        """One shape a frame where it is nearest; frames with a NaN centre stay as they are."""
        frames = np.nonzero(np.isfinite(centre).all(axis=1))[0]
        if not len(frames):
            return
        half = np.broadcast_to(np.asarray(half, float), centre.shape)
        offset = (centre - self.eye)[frames].astype(np.float32)
        along = np.matmul(self.rays[frames], offset[:, :, None])[:, :, 0]
        reach = np.linalg.norm(half[frames], axis=1) if kind == "box" else half[frames].max(axis=1) * 1.42
        reach = reach if kind != "ellipsoid" else half[frames].max(axis=1)
        f, p = np.nonzero(((offset**2).sum(axis=1)[:, None] - along**2 < reach[:, None] ** 2) & (along > 0))
        axes, half, whose = axes[frames][f], half[frames][f], frames[f]
        origin = -np.einsum("mij,mi->mj", axes, offset[f]) / half
        ray = np.einsum("mij,mi->mj", axes, self.rays[whose, p]) / half
        t, normal = _MEET[kind](origin, ray)
        hit = (t > 0.02) & (t < self.distance[whose, p])
        normal, whose, p, t = (normal / half)[hit], whose[hit], p[hit], t[hit]
        normal = np.einsum("mij,mj->mi", axes[hit], normal)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        facing = np.abs((normal * self.rays[whose, p]).sum(axis=1))
        light = 0.5 + 0.28 * np.clip(normal[:, 2], -0.4, 1.0) + 0.25 * facing
        self.colour[whose, p] = np.asarray(rgb)[whose] * light[:, None]
        self.distance[whose, p] = t


def _meet_ellipsoid(o: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nearest t of o + t d on the unit ball (inf for none), and the normal there."""
    a, b, c = (d * d).sum(axis=1), (o * d).sum(axis=1), (o * o).sum(axis=1) - 1.0
    root = b * b - a * c
    t = np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0.0))) / a, np.inf)
    return t, o + d * np.where(np.isfinite(t), t, 0.0)[:, None]


def _meet_box(o: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same on the cube from -1 to 1."""
    safe = np.where(np.abs(d) < 1e-9, 1e-9, d)
    near, far = (-np.sign(safe) - o) / safe, (np.sign(safe) - o) / safe
    axis = near.argmax(axis=1)
    t = near.max(axis=1)
    normal = -np.sign(safe) * (np.arange(3) == axis[:, None])
    return np.where(t < far.min(axis=1), t, np.inf), normal


def _meet_cylinder(o: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same on the upright cylinder of radius 1 between z = -1 and 1."""
    a = np.maximum((d[:, :2] ** 2).sum(axis=1), 1e-12)
    b, c = (o[:, :2] * d[:, :2]).sum(axis=1), (o[:, :2] ** 2).sum(axis=1) - 1.0
    root = b * b - a * c
    side = np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0.0))) / a, np.inf)
    at = o + d * np.where(np.isfinite(side), side, 0.0)[:, None]
    side = np.where(np.abs(at[:, 2]) <= 1.0, side, np.inf)
    z = np.where(np.abs(d[:, 2]) < 1e-9, 1e-9, d[:, 2])
    cap = (-np.sign(z) - o[:, 2]) / z
    on = ((o[:, :2] + d[:, :2] * cap[:, None]) ** 2).sum(axis=1) <= 1.0
    cap = np.where(on, cap, np.inf)
    top = np.stack([0 * z, 0 * z, -np.sign(z)], axis=1)
    return np.minimum(side, cap), np.where((cap < side)[:, None], top, at * (1.0, 1.0, 0.0))


_MEET = {"ellipsoid": _meet_ellipsoid, "box": _meet_box, "cylinder": _meet_cylinder}
