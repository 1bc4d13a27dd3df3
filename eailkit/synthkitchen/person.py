"""Who wears the glasses: body size, gait, handedness, head habits and tempo of one participant.

Ranges follow published anthropometry and gait figures (heights of adults, comfortable indoor walking
speeds, cadence against speed and height). A person knows nothing of rooms.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Person:
    """Numbers of one participant.

    Attributes:
        height_m: standing height.
        walk_mps: preferred indoor walking speed on a long straight path.
        cadence_hz: steps per second at 1.1 m/s.
        bounce: vertical gait amplitude against the average person's; 1 is average.
        lateral: sideways gait amplitude against the average person's.
        heel: strength of heel strikes against the average person's.
        harmonics: share and phase of the second and third gait harmonics, (h2, psi2, h3, psi3).
        asymmetry: difference between left and right steps, 0 is none.
        handedness: +1 right-handed, -1 left-handed.
        squat: 0 bends the trunk only, 1 bends the knees as much as possible.
        gaze_share: how much of a look down or up is done by the head (the eyes do the rest).
        glance: how often they look around, 1 is average.
        tempo: speed of hands and transitions, 1 is average.
        vigour: strength of the shakes that hands send to the head, 1 is average.
        sway: size of postural sway, 1 is average.
        rattle: how loosely the glasses sit, 1 is average.
        glasses_tilt_rad: how the glasses sit: pitch (down positive), roll.
        talkative, phone: how often they talk or look at a phone between steps, 1 is average.
    """

    height_m: float
    walk_mps: float
    cadence_hz: float
    bounce: float
    lateral: float
    heel: float
    harmonics: tuple[float, float, float, float]
    asymmetry: float
    handedness: float
    squat: float
    gaze_share: float
    glance: float
    tempo: float
    vigour: float
    sway: float
    rattle: float
    glasses_tilt_rad: tuple[float, float]
    talkative: float
    phone: float


def draw_person(seed: int) -> Person:
    """The same person for the same seed."""
    rng = np.random.default_rng([seed, 0x9E05])
    height = float(np.clip(rng.normal(1.70, 0.095), 1.48, 1.98))
    spread = lambda sigma: float(np.exp(rng.normal(0.0, sigma)))  # noqa: E731
    normal = lambda sigma: float(rng.normal(0.0, sigma))  # noqa: E731
    uniform = lambda low, high: float(rng.uniform(low, high))  # noqa: E731
    return Person(
        height_m=height,
        walk_mps=float(np.clip(rng.normal(0.98, 0.13) * np.sqrt(height / 1.70), 0.65, 1.3)),
        cadence_hz=1.62 * np.sqrt(1.70 / height) * spread(0.05),
        bounce=spread(0.18),
        lateral=spread(0.25),
        heel=spread(0.55),
        harmonics=(uniform(0.06, 0.22), normal(1.0), uniform(0.02, 0.08), normal(1.0)),
        asymmetry=float(rng.normal(0.0, 0.13)),
        handedness=1.0 if rng.random() < 0.9 else -1.0,
        squat=uniform(0.1, 0.8),
        gaze_share=float(np.clip(rng.normal(0.6, 0.1), 0.35, 0.85)),
        glance=spread(0.4),
        tempo=spread(0.15),
        vigour=spread(0.35),
        sway=spread(0.3),
        rattle=min(spread(1.0), 4.0),
        glasses_tilt_rad=(float(rng.normal(0.05, 0.07)), float(rng.normal(0.0, 0.03))),
        talkative=spread(0.5),
        phone=spread(0.6),
    )
