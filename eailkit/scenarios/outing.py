"""Two scenarios on one's feet to pretrain on: a staircase, and running outdoors; both carry the body along a path.

Speeds, headings and steps a second are minimum-jerk tracks; the place is their integral, so that it is as smooth.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from eailkit.scenarios.body import LOOKING, STANDING, Body
from eailkit.scenarios.footwork import add_steps
from eailkit.synthkitchen.signals import Track, gaussian_smooth
from eailkit.synthkitchen.spline import KNOT_HZ

RISE_M, TREAD_M, STEPS, FLIGHTS, GAP_M = 0.17, 0.29, 11, 3, 1.3  # of the staircase; flights lie side by side
LOOP_M = (26.0, 15.0)  # half axes of the round in the park
_HOLD = STANDING
_AWARE = replace(STANDING, glance_per_min=14.0, glance_deg=38.0, scan_deg=10.0, fidget=0.35)


def stairs(body: Body) -> None:
    """Up and down a staircase with landings; 1.5-2.1 steps/s, faster on the way down.

    The rates are our judgement between two figures: head-worn recordings of stairs have 1.7-2.4 steps/s (ClassyGlass
    1A, p10 to p90, both ways together), and 101 people who went down 13 steps took 2.1 (a cycle of 0.97 s; the card
    links the data set). The wearer looks at the steps, 7 degrees down on the way up and 19 on the way down (our guess).
    """
    rng, person = body.rng, body.person
    own = person.cadence_hz / 1.62 * body.spread(0.06)
    climb, facing = body.track(), body.track()
    way: list[tuple[float, float, int]] = []  # start, end, +1 up or -1 down
    turn_rate = Track(body.n, KNOT_HZ)
    level, going, heading = 0, 1, 0.0
    body.do("standing still", float(rng.uniform(2, 5)), _HOLD)
    while not body.over:
        hz = own * float(rng.uniform(1.55, 1.8) if going > 0 else rng.uniform(1.75, 2.1))
        ramp = 0.6
        seconds = STEPS / hz + ramp
        if body.t + seconds > body.duration_s - 1.0:
            break
        label = "climbing stairs" if going > 0 else "descending stairs"
        start, end = body.do(label, seconds, _AWARE)
        climb.to(start, hz, ramp)
        climb.to(end - ramp, 0.0, ramp)
        body.pitch.to(start - 0.4, float(rng.normal(0.12 if going > 0 else 0.33, 0.05)), 0.7)
        way.append((start, end, going))
        level += going
        body.pitch.to(end - 0.5, 0.03, 0.7)
        back = level in (0, FLIGHTS) or rng.random() < 0.12
        if back:  # at either end, or on a whim: turn on the spot and go the other way
            going = -going if level in (0, FLIGHTS) or rng.random() < 0.5 else going
            turned_back = way[-1][2] != going
        else:
            turned_back = False
        side = 1.0 if (level - (going < 0)) % 2 else -1.0  # towards the next flight
        if turned_back:
            pause = float(rng.uniform(0.5, 5.0))
            body.do("looking around" if pause > 3 else "standing still", pause, LOOKING if pause > 3 else _HOLD)
        lasts = float(rng.uniform(3.0, 4.0)) / person.tempo**0.5
        start, end = body.do("turning on the landing", lasts + 0.2, _AWARE)
        change = np.pi * (1.0 if np.cos(heading) * side > 0 else -1.0)
        facing.to(start, heading + change, lasts)
        if not turned_back:
            turn_rate.to(start, 1.0, 0.05)
            turn_rate.to(start + lasts, 0.0, 0.05)
        heading += change
        if rng.random() < 0.15:
            body.do("standing still", float(rng.uniform(2, 6)), _HOLD)
    if not body.over:
        body.do("standing still", body.duration_s - body.t, _HOLD)
    _carry_on_stairs(body, climb.values(), facing.values(), turn_rate.values(), way)


def _carry_on_stairs(body: Body, climb: np.ndarray, facing: np.ndarray, around: np.ndarray, way: list) -> None:
    """Place from steps a second and headings: flights run along x, a turn on a landing is half a circle to the next."""
    sign = np.zeros(body.n)
    for start, end, going in way:
        sign[int(start * KNOT_HZ) : int(end * KNOT_HZ) + 1] = going
    rate = KNOT_HZ * np.gradient(facing)
    circle = 0.5 * GAP_M * np.abs(rate) * around
    speed = TREAD_M * climb + circle
    body.carry_yaw = facing
    body.carry_xy = np.cumsum(speed * np.stack([np.cos(facing), np.sin(facing)]), axis=1) / KNOT_HZ
    height = np.cumsum(RISE_M * climb * sign) / KNOT_HZ
    body.moved[2] += gaussian_smooth(height, 0.03, KNOT_HZ)
    add_steps(body, circle, np.zeros(body.n), climb, sign)


def running(body: Body) -> None:
    """Rounds in a park: walking to warm up, jogging, running at 2.3-3.5 m/s, breaks to breathe.

    Inexperienced runners choose about 2.4-2.9 m/s (van Oeveren et al. 2017), experienced recreational ones 3.0 with a
    standard deviation of 0.3 (Eur J Sport Sci 20:182, 2020).
    """
    rng, person = body.rng, body.person
    speed, run = body.track(), body.track()
    own = float(np.clip(2.9 * body.spread(0.1), 2.4, 3.5))
    body.do("standing still", float(rng.uniform(2, 5)), _HOLD)
    while not body.over:
        kind = rng.random()
        if kind < 0.2:
            _pace(body, speed, run, 1.12 * person.walk_mps * body.spread(0.05), 0.0, "walking", rng.uniform(6, 18))
        elif kind < 0.5:
            _pace(body, speed, run, float(rng.uniform(2.2, 2.5)), 1.0, "jogging", rng.uniform(12, 35))
        elif kind < 0.85:
            _pace(body, speed, run, own * body.spread(0.05), 1.0, "running", rng.uniform(12, 40))
        else:
            start, end = _pace(body, speed, run, 0.0, 0.0, "catching breath", rng.uniform(6, 14))
            body.trunk.bump(start + 1.5, float(rng.uniform(0.2, 0.7)), 1.2, max(end - start - 5.0, 0.5))
            body.rhythm(start + 1.5, end, float(rng.uniform(0.5, 0.75)), mm=(3, 0, 5), deg=(0, 1.2, 0))
    mps = np.maximum(speed.values(), 0.0)
    theta, arc = _loop()
    at = np.interp(
        np.cumsum(mps) / KNOT_HZ % arc[-1] + arc[-1], np.r_[arc, arc + arc[-1]], np.r_[theta, theta + 2 * np.pi]
    )
    at = np.unwrap(at)
    at = gaussian_smooth(at, 0.1, KNOT_HZ)
    a, b = LOOP_M
    body.carry_xy = np.stack([a * np.cos(at), b * np.sin(at)])
    body.carry_yaw = np.unwrap(np.arctan2(b * np.cos(at), -a * np.sin(at)))
    body.turned[2] += np.arctan(mps * KNOT_HZ * np.gradient(body.carry_yaw) / 9.81) * -0.5  # leans into the bend
    add_steps(body, mps, run.values(), np.zeros(body.n), np.ones(body.n))


def _pace(body, speed: Track, run: Track, mps: float, weight: float, label: str, seconds: float) -> tuple[float, float]:
    start, end = body.do(label, float(seconds), LOOKING if mps == 0.0 else _AWARE)
    ramp = 0.5 + abs(mps - speed.last) / 1.6
    speed.to(start, mps, ramp)
    run.to(start + 0.2 * ramp, weight, 0.6 * ramp)
    body.trunk.to(start, 0.10 * weight, ramp)
    body.pitch.to(start, 0.04 * weight, ramp)
    return start, end


def _loop() -> tuple[np.ndarray, np.ndarray]:
    """Angle and arc length along the ellipse."""
    theta = np.linspace(0.0, 2 * np.pi, 4001)
    a, b = LOOP_M
    rate = np.hypot(a * np.sin(theta), b * np.cos(theta))
    arc = np.r_[0.0, np.cumsum(0.5 * (rate[1:] + rate[:-1]) * np.diff(theta))]
    return theta, arc
