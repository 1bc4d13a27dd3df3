"""What walking does to a head: bounce, sway and heel strikes, from nothing but the body's speed.

Amplitudes at 1.1 m/s follow head-worn recordings of walking (vertical standard deviation about
1.3 m/s2, most of it at the step frequency of 1.5-1.8 Hz) and fall with speed; turning on the spot steps
too, so that yaw rate counts as speed.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from eailkit.synthkitchen.person import Person
from eailkit.synthkitchen.signals import add_transients, slow_noise

REFERENCE_MPS = 1.1
TURN_RADIUS_M = 0.22  # a foot's distance from the axis when turning on the spot


def gait(
    person: Person,
    speed_mps: Float[np.ndarray, " n"],
    yaw_rate_radps: Float[np.ndarray, " n"],
    rate_hz: float,
    rng: np.random.Generator,
) -> tuple[Float[np.ndarray, "3 n"], Float[np.ndarray, "3 n"], Float[np.ndarray, "3 n"]]:
    """Displacement (forward, left, up; m) and rotation (yaw, pitch, roll; rad) of the head by gait.

    The third array is the rotation of the glasses on the head, which rattle where they rest on the nose.

    Args:
        speed_mps: of the body along its path.
        yaw_rate_radps: of the body.
    """
    n = len(speed_mps)
    effective = np.sqrt(speed_mps**2 + (TURN_RADIUS_M * yaw_rate_radps) ** 2)
    relative = effective / REFERENCE_MPS
    jitter = slow_noise(rng, n, rate_hz, 0.1, 0.8, channels=2)
    cadence = person.cadence_hz * np.maximum(relative, 0.15) ** 0.38 * (1.0 + 0.035 * jitter[0])
    phase = 2 * np.pi * (np.cumsum(cadence) / rate_hz + rng.random())
    size = relative**1.5 * (1.0 + 0.12 * jitter[1])
    size *= 1.0 + person.asymmetry * np.cos(0.5 * phase)
    h2, psi2, h3, psi3 = person.harmonics
    # Phase 0 is heel strike, in double support: the head is lowest and fastest there, and pushed up hardest.
    bounce = -np.cos(phase) - h2 * np.cos(2 * phase + psi2) - h3 * np.cos(3 * phase + psi3)
    bounce += 4.2 * person.asymmetry * np.cos(0.5 * phase + psi3)
    forward = 0.0125 * np.sin(phase + 0.4) + 0.0008 * np.sin(2 * phase + psi2)
    left = 0.026 * np.cos(0.5 * phase) + 0.0018 * np.cos(1.5 * phase + psi3)
    moved = np.stack([size * forward, person.lateral * size * left, person.bounce * 0.0145 * size * bounce])
    turned = np.stack([
        0.042 * person.lateral * size * np.sin(0.5 * phase + 0.3),
        -0.026 * person.bounce * size * np.cos(phase + 0.9),
        0.022 * person.lateral * size * np.cos(0.5 * phase + 1.1),
    ])  # fmt: skip
    rattled = np.zeros_like(turned)
    _add_heel_strikes(person, moved, rattled, phase, relative, rate_hz, rng)
    return moved, turned, rattled


def _add_heel_strikes(person, moved, rattled, phase, relative, rate_hz, rng) -> None:
    cycle = np.floor(phase / (2 * np.pi))
    hit = np.flatnonzero(np.diff(cycle) > 0)
    strength = np.maximum(relative[hit], 0.0) ** 3.0
    draws = rng.standard_normal((4, len(hit)))  # drawn for every step, so that weak ones don't shift the rest
    strong = strength > 0.02
    hit, strength, draws = hit[strong], strength[strong], draws[:, strong]
    part = (2 * np.pi * (cycle[hit] + 1) - phase[hit]) / np.maximum(phase[hit + 1] - phase[hit], 1e-9)
    t_s = (hit + part) / rate_hz
    shock = person.heel * strength * np.exp(0.3 * draws[0])
    for axis, share, sign in ((2, 1.0, -1.0), (0, 0.14, 1.0), (1, 0.09, -1.0)):  # up, braked, to the side
        spread = np.exp(0.3 * draws[1 + axis])
        add_transients(moved[axis], t_s + 0.010, sign * share * 0.9 * shock * spread, 8.0, 0.050, rate_hz)
        add_transients(moved[axis], t_s, sign * share * 0.9 * shock * spread, 17.0, 0.036, rate_hz)
    nod = shock * np.exp(0.2 * draws[1])
    add_transients(rattled[1], t_s + 0.015, 2.0 * nod, 8.0, 0.05, rate_hz)  # rad/s2
    for axis, share in ((0, 0.5), (1, 1.0), (2, 0.8)):  # the glasses rattle on nose and ears
        loose = share * person.rattle * shock * np.exp(0.3 * draws[3 - axis])
        add_transients(rattled[axis], t_s + 0.005, 3.0 * loose, 17.0, 0.03, rate_hz)
        add_transients(rattled[axis], t_s + 0.002, 5.0 * loose, 30.0, 0.015, rate_hz)
