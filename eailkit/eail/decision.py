"""From a map of probabilities to an answer: where, how wide a region, and how sure, a row a second.

The paper takes the highest cell. Success at 0.4 m asks for another answer, the place with most mass within 0.4 m: a
broad hill beats a lone peak.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

RADIUS_M = 0.4  # the paper's middle threshold


def most_mass(
    probability: Float[np.ndarray, "n places"], centres_m: Float[np.ndarray, "places 2"], radius_m: float = RADIUS_M
) -> Float[np.ndarray, "n 2"]:
    """The places, metres, with most probability within a radius of them; of ties, the first."""
    near = np.linalg.norm(centres_m[:, None] - centres_m[None], axis=2) < radius_m
    return centres_m[(probability @ near.astype(probability.dtype)).argmax(1)]


def mass_within(
    probability: Float[np.ndarray, "n places"],
    centres_m: Float[np.ndarray, "places 2"],
    position_m: Float[np.ndarray, "n 2"],
    radius_m: float = RADIUS_M,
) -> Float[np.ndarray, " n"]:
    """Probability of being within a radius of the positions, 0 to 1."""
    away = np.linalg.norm(centres_m[None] - position_m[:, None], axis=2)
    return np.clip((probability * (away < radius_m)).sum(1), 0.0, 1.0)


def radius_holding(
    probability: Float[np.ndarray, "n places"],
    centres_m: Float[np.ndarray, "places 2"],
    position_m: Float[np.ndarray, "n 2"],
    mass: float = 0.9,
) -> Float[np.ndarray, " n"]:
    """Radii of the circles around positions that hold a share of the probability, m.

    A place is a small square: half its diagonal is added, so that the square that tips the scale lies inside.
    """
    away = np.linalg.norm(centres_m[None] - position_m[:, None], axis=2)
    order = np.argsort(away, axis=1)
    held = np.cumsum(np.take_along_axis(probability, order, 1), axis=1)
    last = np.minimum((held < mass).sum(1), away.shape[1] - 1)
    pitch = np.abs(np.diff(centres_m[:2], axis=0)).max()
    return np.take_along_axis(away, np.take_along_axis(order, last[:, None], 1), 1)[:, 0] + pitch / np.sqrt(2)
