"""How well a walking camera knows the distance of a point: parallax, contrast, the edge's direction and luck.

A point is followed for a second or so while the head moves on. Its inverse distance comes from the angle by which
it shifts, so the error falls with the way walked across the line of sight: little is known of points straight ahead,
of edges that slide along themselves, and of near things that leave the view at once. Nothing here knows rooms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class ParallaxConfig:
    """What a point's uncertainty is made of; none of it is fitted to a cloud.

    Attributes:
        focal_px: of Aria's SLAM cameras (640 x 480 fisheye), as its calibration files have it.
        systematic_px: of calibration, blur and the track's pose, the same in all frames of a track.
        noise_px: of one match at an edge of full contrast (a step of white and black), from noise of about
            3 % in indoor light; it is divided by the contrast and by the root of the number of frames.
        least_contrast: contrast below which matches get no worse (they'd be given up).
        speed_mps: of the scan walk, which looks around while it goes.
        rate_hz: of the SLAM cameras.
        track_s: mean life of a track; a turning head loses a point after a view's width.
        shortest_track_s: a point needs a few frames to become one.
        sweep: a point is lost once the head has gone by this many times its distance across the line of sight.
        sway_m: of the head to all sides, which gives a little parallax even straight ahead.
        sliding: what is left of the parallax of an edge along the direction of motion (ends, corners, texture).
    """

    focal_px: float = 241.0
    systematic_px: float = 0.2
    noise_px: float = 0.03
    least_contrast: float = 0.04
    speed_mps: float = 0.5
    rate_hz: float = 10.0
    track_s: float = 2.0
    shortest_track_s: float = 0.3
    sweep: float = 0.8
    sway_m: float = 0.02
    sliding: float = 0.2


def inverse_distance_std(
    direction: Float[np.ndarray, "n 3"],
    distance_m: Float[np.ndarray, " n"],
    motion: Float[np.ndarray, "n 3"],
    contrast: Float[np.ndarray, " n"],
    across: Float[np.ndarray, "n 3"],
    track_s: Float[np.ndarray, " n"],
    config: ParallaxConfig | None = None,
) -> Float[np.ndarray, " n"]:
    """Standard deviation of 1 / distance (1/m) of points followed for a while.

    With k = rate * track frames spread evenly over a way b across the line of sight, the shifts are b rho j / k.
    Least squares gives std(rho) = sqrt(a^2 + (n / c)^2 * 3 / k) / (f b |cos|), a the systematic and n the random
    error in pixels, c the contrast, f the focal length and cos that between the edge's gradient and the shift.

    Args:
        direction: unit vectors to the points.
        distance_m: their distances.
        motion: unit vectors of the walk.
        contrast: 0 to 1.
        across: unit vectors across the edge as seen (its gradient); zeros where all directions match, as in texture.
        track_s: how long each point is followed at most, s.
    """
    config = config or ParallaxConfig()
    shift = motion - (motion * direction).sum(axis=1, keepdims=True) * direction
    sine = np.linalg.norm(shift, axis=1)
    cosine = np.abs((shift * across).sum(axis=1)) / np.maximum(sine, 1e-6)
    cosine = np.where((across == 0.0).all(axis=1), 1.0, np.maximum(cosine, config.sliding))
    full = config.sweep * distance_m / np.maximum(config.speed_mps * sine, 1e-6)
    followed = np.maximum(np.minimum(track_s, full), config.shortest_track_s)
    way = np.hypot(config.speed_mps * followed * sine * cosine, config.sway_m)
    random = config.noise_px / np.clip(contrast, config.least_contrast, 1.0)
    match = np.hypot(config.systematic_px, random * np.sqrt(3.0 / (config.rate_hz * followed)))
    return match / (config.focal_px * way)


def draw_tracks(n: int, rng: np.random.Generator, config: ParallaxConfig | None = None) -> Float[np.ndarray, " n"]:
    """Lives of n tracks in seconds, exponential: a head that turns at random times loses them at random."""
    config = config or ParallaxConfig()
    return rng.exponential(config.track_s, n)
