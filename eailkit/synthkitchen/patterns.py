"""Patterns on surfaces as a camera sees them: tiles with joints, planks with grain, speckled stone, weave.

A pattern multiplies the base colour; it lies in the surface (two coordinates along it), is the same from
everywhere, and fades where a pixel covers more than its detail.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

# material: pattern and its size, metres (along, across)
PATTERNS: dict[str, tuple[str, float, float]] = {
    "floor": ("planks", 0.9, 0.12), "wood": ("planks", 0.5, 0.05), "table": ("planks", 1.4, 0.14),
    "backsplash": ("tiles", 0.15, 0.075), "worktop": ("speckle", 0.012, 0.012), "front": ("grain", 0.6, 0.02),
    "front_upper": ("grain", 0.6, 0.02), "door": ("grain", 0.8, 0.03), "chair": ("grain", 0.3, 0.015),
    "shelf": ("grain", 0.4, 0.02), "towel": ("weave", 0.03, 0.03), "rug": ("weave", 0.08, 0.08),
    "curtain": ("weave", 0.05, 0.05), "picture": ("blotch", 0.08, 0.08), "label": ("blotch", 0.03, 0.015),
    "book": ("blotch", 0.2, 0.03), "cardboard": ("blotch", 0.09, 0.05), "fruit": ("speckle", 0.01, 0.01),
    "plant": ("speckle", 0.02, 0.02), "ceramic": ("weave", 0.2, 0.05), "burner": ("speckle", 0.02, 0.02),
}  # fmt: skip
KINDS = ("plain", "planks", "tiles", "grain", "speckle", "weave", "blotch")


def surface_factor(
    u_m: Float[np.ndarray, " n"],
    v_m: Float[np.ndarray, " n"],
    kind: str,
    size_m: tuple[float, float],
    contrast: Float[np.ndarray, " n"],
    footprint_m: Float[np.ndarray, " n"],
) -> Float[np.ndarray, " n"]:
    """What the base colour is multiplied by, about 1 on average.

    Args:
        u_m, v_m: coordinates in the surface; boards and joints run along u.
        kind: one of KINDS.
        size_m: of a tile, board or grain, along u and v.
        contrast: of the pattern, 0 (blank) to 1.
        footprint_m: width of a pixel on the surface.
    """
    a, b = size_m
    row = np.floor(v_m / b)
    if kind == "tiles":
        u, v = (u_m / a + 0.5 * (row % 2)) % 1.0, (v_m / b) % 1.0
        joint = np.minimum(np.minimum(u, 1 - u) * a, np.minimum(v, 1 - v) * b) < 0.0025
        tone = _hash(np.floor(u_m / a + 0.5 * (row % 2)), row) - 0.5
        return 1.0 + contrast * (0.28 * tone * _fade(footprint_m, b) - 0.45 * joint * _fade(footprint_m, 0.012))
    if kind == "planks":
        shift = _hash(row, 7 * row)
        u = (u_m / a + shift) % 1.0
        tone = _hash(np.floor(u_m / a + shift), row) - 0.5
        joint = (np.minimum((v_m / b) % 1.0, 1 - (v_m / b) % 1.0) * b < 0.002) | (u * a < 0.003)
        grain = _hash(np.floor(u_m / 0.12), np.floor(v_m / 0.006)) - 0.5
        return 1.0 + contrast * (
            0.45 * tone * _fade(footprint_m, b) + 0.18 * grain * _fade(footprint_m, 0.02)
            - 0.4 * joint * _fade(footprint_m, 0.012)
        )  # fmt: skip
    if kind == "weave":
        stripes = np.where(np.floor(u_m / a) % 2 == 0, 0.5, -0.5) + np.where(row % 2 == 0, 0.5, -0.5)
        return 1.0 + 0.3 * contrast * stripes * _fade(footprint_m, a)
    if kind in ("grain", "speckle", "blotch"):
        strength = {"grain": 0.3, "speckle": 0.55, "blotch": 0.8}[kind]
        return 1.0 + strength * contrast * (_hash(np.floor(u_m / a), row) - 0.5) * _fade(footprint_m, 2 * min(a, b))
    return np.ones(len(u_m))


def _fade(footprint_m: Float[np.ndarray, " n"], detail_m: float) -> Float[np.ndarray, " n"]:
    """1 where a pixel is much smaller than the detail, 0 where it is larger."""
    return np.clip(1.4 - footprint_m / detail_m, 0.0, 1.0)


def _hash(i: Float[np.ndarray, " n"], j: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """A fixed pseudo-random number in [0, 1) for a pair of whole numbers."""
    h = (i.astype(np.int64) * 73856093) ^ (j.astype(np.int64) * 19349663)
    h = (h ^ (h >> 13)) * 1274126177
    return ((h ^ (h >> 16)) & 0xFFFF) / 65536.0
