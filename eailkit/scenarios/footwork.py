"""What running, climbing, hopping and jumping do to a head: closed-form oscillations and ballistic flights.

Vertical motion follows from the force under the feet: a half sine while they touch the ground (it is almost sinusoidal
in running: Seyfarth et al. 2002) and nothing in flight, with gravity as its mean. Arms, clothes and the floor's give
aren't modelled. Amplitudes and thumps are our guess where no figure is named.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from eailkit.recording import GRAVITY_MPS2
from eailkit.scenarios.body import Body
from eailkit.synthkitchen.gait import gait
from eailkit.synthkitchen.signals import gaussian_smooth, slow_noise, smooth_step
from eailkit.synthkitchen.spline import KNOT_HZ

_HARMONICS = 6  # from shank to head 15-50 Hz is damped most (Shorten & Winslow 1992)


def bounce(phase: Float[np.ndarray, " n"], hz: Float[np.ndarray, " n"], contact: float) -> Float[np.ndarray, " n"]:
    """Height (m) of a body that bounces: f(u) = g pi / (2 c) cos(pi u / c) while |u| < c / 2, else 0.

    u is the phase in cycles from mid-stance and c the share of a cycle with a foot on the ground. The series
    f = g (1 + sum a_k cos(2 pi k u)) is integrated term by term: z = -g sum a_k cos(2 pi k u) / (2 pi k hz)^2.
    Its terms are damped (Lanczos) and end at the sixth.
    """
    u = (np.arange(2000) + 0.5) / 2000 - 0.5
    force = np.where(np.abs(u) < contact / 2, np.pi / (2 * contact) * np.cos(np.pi * u / contact), 0.0)
    z = np.zeros_like(phase)
    for k in range(1, _HARMONICS + 1):
        share = 2.0 * np.mean(force * np.cos(2 * np.pi * k * u)) * np.sinc(k / (_HARMONICS + 2))
        z -= GRAVITY_MPS2 * share * np.cos(k * phase) / (2 * np.pi * k * hz) ** 2
    return z


def add_steps(body: Body, speed_mps: np.ndarray, running: np.ndarray, climbing_hz: np.ndarray, up: np.ndarray) -> None:
    """Add the gaits of a carried body: walking, running and climbing, each by its weight at each knot.

    Args:
        speed_mps: along the path.
        running: 0 walks, 1 runs.
        climbing_hz: steps of a staircase a second; 0 on the level. up: +1 climbs, -1 descends.
    """
    yaw_rate = KNOT_HZ * np.gradient(body.carry_yaw)
    level = speed_mps * (1.0 - running) * (climbing_hz < 0.05)
    level = np.minimum(level, 1.4)
    level = gaussian_smooth(level, 0.12, KNOT_HZ)
    moved, turned, rattled = gait(body.person, level, yaw_rate * (1.0 - running), KNOT_HZ, body.rng)
    body.moved += moved
    body.turned += turned
    body.rattled += rattled
    if running.any():
        _run(body, speed_mps, running)
    if climbing_hz.any():
        _climb(body, climbing_hz, up)


def _run(body: Body, speed: np.ndarray, weight: np.ndarray) -> None:
    """Running at 2-3.5 m/s: about 2.6 steps/s, a person's own 2.4-2.8, and 20-40 % of the time in the air.

    Inexperienced runners take 2.57, 2.63 and 2.67 steps/s at 2.4, 2.6 and 2.9 m/s (van Oeveren et al. 2017); young men
    at 2.7 m/s are in the air for 27-29 % of the time, older ones for 22-23 % (Karamanidis & Arampatzis 2005). All
    rotations and the sideways and fore-aft amplitudes are our guess.
    """
    person, rng = body.person, body.rng
    wander = slow_noise(rng, body.n, KNOT_HZ, 0.1, 0.6, channels=2)
    own = (person.cadence_hz / 1.62) ** 0.8
    hz = own * np.clip(2.6 + 0.12 * (speed - 2.7), 2.2, 3.0) * (1.0 + 0.012 * wander[0])
    phase = 2 * np.pi * (np.cumsum(hz) / KNOT_HZ + rng.random())
    contact = float(np.clip(0.70 + rng.normal(0.0, 0.04), 0.6, 0.8))
    size = weight * (1.0 + 0.04 * wander[1]) * (1.0 + 0.25 * person.asymmetry * np.cos(0.5 * phase))
    body.moved[2] += size * bounce(phase, hz, contact) * float(np.clip(0.92 * person.bounce**0.3, 0.75, 1.05))
    body.moved[0] += size * (0.013 * np.sin(phase + 0.3) + 0.001 * np.sin(2 * phase))
    body.moved[1] += size * person.lateral * (0.016 * np.cos(0.5 * phase) + 0.0025 * np.cos(1.5 * phase + 0.8))
    body.turned[0] += size * person.lateral * 0.10 * np.sin(0.5 * phase + 0.4)
    body.turned[1] += size * (0.05 * np.cos(phase + 0.7) + 0.006 * np.cos(2 * phase))
    body.turned[2] += size * person.lateral * 0.05 * np.cos(0.5 * phase + 1.2)
    touch = np.flatnonzero(np.diff(np.floor(phase / (2 * np.pi) + contact / 2)) > 0)
    for i in touch[weight[touch] > 0.5]:  # the foot strikes: sizes set with 1A's running in view
        body.thump(i / KNOT_HZ + 0.02, 2.2 * person.heel**0.6 * body.spread(0.25) * weight[i], sharp=2.5)


def _climb(body: Body, climbing_hz: np.ndarray, up: np.ndarray) -> None:
    """Stairs: vertical oscillation of +-2-3 cm about the slope, harder landings going down.

    Our guess, but for the second harmonic and the landings, which were set with ClassyGlass 1A's stairs in view.
    """
    person, rng = body.person, body.rng
    weight = gaussian_smooth(np.minimum(climbing_hz / 1.2, 1.0), 0.1, KNOT_HZ)
    wander = slow_noise(rng, body.n, KNOT_HZ, 0.1, 0.6, channels=1)[0]
    phase = 2 * np.pi * np.cumsum(np.maximum(climbing_hz, 0.3)) / KNOT_HZ
    size = weight**2 * (1.0 + 0.08 * wander) * (1.0 + person.asymmetry * np.cos(0.5 * phase))
    down = 0.5 * (1.0 - up)
    first = person.bounce**0.5 * (0.026 + 0.002 * down)
    body.moved[2] += size * (-first * np.cos(phase) - (0.0018 + 0.0008 * down) * np.cos(2 * phase + 0.6))
    body.moved[2] += size * 0.0008 * np.cos(3 * phase + person.harmonics[3])
    body.moved[0] += size * (0.020 * np.sin(phase + 0.5) + 0.0015 * np.sin(2 * phase))
    body.moved[1] += size * person.lateral * (0.03 * np.cos(0.5 * phase) + 0.003 * np.cos(1.5 * phase))
    body.turned[0] += size * 0.075 * person.lateral * np.sin(0.5 * phase)
    body.turned[1] += size * 0.045 * np.cos(phase + 1.0)
    body.turned[2] += size * 0.04 * person.lateral * np.cos(0.5 * phase + 0.9)
    step = np.flatnonzero(np.diff(np.floor(phase / (2 * np.pi))) > 0)
    for i in step[weight[step] > 0.6]:
        body.thump(i / KNOT_HZ + 0.01, person.heel**0.6 * (0.9 + 1.6 * down[i]) * body.spread(0.3), sharp=1.5)


def hop(body: Body, start_s: float, end_s: float, hz: float, contact: float, *, mm: float = 6.0) -> None:
    """Hops on the spot, the force under both feet a half sine; small at first and at the end."""
    i, j = int(start_s * KNOT_HZ), min(int(end_s * KNOT_HZ), body.n)
    if j - i < 1.6 * KNOT_HZ:
        return
    n = j - i
    wander = slow_noise(body.rng, n, KNOT_HZ, 0.1, 0.6, channels=2)
    rate = hz * (1.0 + 0.02 * wander[0])
    phase = 2 * np.pi * np.cumsum(rate) / KNOT_HZ
    edge = np.minimum(np.arange(n), n - 1 - np.arange(n)) / (0.7 * KNOT_HZ)
    size = smooth_step(np.clip(edge, 0.0, 1.0)) * (1.0 + 0.03 * wander[1])
    body.moved[2, i:j] += size * bounce(phase, rate, contact)
    body.moved[0, i:j] += 1e-3 * mm * size * np.sin(phase + 0.5)
    body.turned[1, i:j] += size * 0.04 * np.cos(phase + body.rng.uniform(-0.6, 0.6))
    body.moved[1, i:j] += 1e-3 * mm * size * wander[1]
    for k in np.flatnonzero(np.diff(np.floor(phase / (2 * np.pi) + contact / 2)) > 0):
        body.thump(start_s + k / KNOT_HZ + 0.02, 2.5 * size[k] * body.spread(0.3), sharp=2.0)


def leap(body: Body, start_s: float, height_m: float) -> float:
    """One jump with a swing down before it (countermovement): returns its duration, seconds.

    Between push-off and landing the body falls freely: v = sqrt(2 g h). Before and after, two raised-cosine pulses
    each have the sizes that meet the speed and height at push-off, and rest at the end. Before the flight it is 0.42 s
    down and 0.30 s up, a tenth more or less: our guess, as are the durations of landing and rising.
    """
    down, push = 0.42 * body.spread(0.1), 0.30 * body.spread(0.08)
    v = np.sqrt(2 * GRAVITY_MPS2 * height_m)
    fly, land, rise = 2 * v / GRAVITY_MPS2, 0.26 * body.spread(0.1), 0.5 * body.spread(0.1)
    toe = 0.07  # m: legs and feet are stretched at push-off and at touch-down
    off = down + push
    total = off + fly + land + rise
    n = int(np.ceil(total * KNOT_HZ)) + 1
    t = np.arange(n) / KNOT_HZ
    pulse = lambda a, b: np.where((t > a) & (t < b), np.sin(np.pi * np.clip((t - a) / (b - a), 0, 1)) ** 2, 0.0)  # noqa: E731
    edge = 0.03
    air = smooth_step(np.clip((t - off + edge) / edge, 0, 1)) * smooth_step(
        np.clip((off + fly + edge - t) / edge, 0, 1)
    )
    pulses = [pulse(0.0, down * 1.1), pulse(0.5 * down, off), pulse(off + fly, off + fly + land * 1.3),
              pulse(off + fly + 0.7 * land, total - 0.02)]  # fmt: skip
    at, end = int(round(off * KNOT_HZ)), n - 1
    states = []
    for a in (-GRAVITY_MPS2 * air, *pulses):
        speed = np.cumsum(a) / KNOT_HZ
        height = np.cumsum(speed) / KNOT_HZ
        states.append((np.array([height[at], speed[at], height[end], speed[end]]), height))
    matrix = np.stack([s[0] for s in states[1:]], axis=1)
    sizes = np.linalg.solve(matrix, np.array([toe, v, 0.0, 0.0]) - states[0][0])
    z = states[0][1] + sum(size * state[1] for size, state in zip(sizes, states[1:], strict=True))
    i = int(start_s * KNOT_HZ)
    m = min(n, body.n - i)
    if m == n:
        body.moved[2, i : i + m] += z[:m]
        body.trunk.bump(start_s, 0.35, down, 0.0)
        body.pitch.bump(start_s, 0.25, down, 0.05)
        body.thump(start_s + off + fly + 0.02, 5.0 * body.spread(0.3), sharp=1.5)
    return total
