"""Three scenarios that no pretraining sees: sweeping, dancing, lifting boxes.

Frequencies, sizes and durations are our guess where no figure is named.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from eailkit.scenarios.body import LOOKING, STANDING, Body
from eailkit.scenarios.everyday import walk_to
from eailkit.synthkitchen.motion_plan import MotionProfile

_SWEEP = MotionProfile(
    reach=0.35, gaze=0.9, oscillation_hz=0.8, oscillation_mm=(12.0, 20.0, 4.0), nod_deg=2.5, duty=0.85, fidget=0.5,
    scan_deg=8.0, glance_per_min=4.0, idle_per_min=0.5, impact_per_min=3.0, step_per_min=14.0,
)  # fmt: skip
_LIFT = MotionProfile(visit_s=0.0, fidget=0.7, scan_deg=6.0, glance_per_min=3.0, idle_per_min=0.0, impact_per_min=4.0)


def sweeping(body: Body) -> None:
    """Broom strokes at 0.6-1 Hz with the eyes on the floor ahead, steps between patches, bends to the dustpan."""
    rng = body.rng
    body.do("standing still", float(rng.uniform(2, 4)), STANDING)
    while not body.over:
        for _ in range(int(rng.integers(2, 5))):
            profile = replace(_SWEEP, oscillation_hz=0.8 * body.spread(0.12))
            body.do("sweeping", float(rng.uniform(6, 16)), profile, (0.1, 0.9), hands=(0.4, 0.95), held=("spoon", ""))
            x, y = rng.uniform(-1.8, 1.8, 2)
            walk_to(body, (float(x), float(y)), mps=0.6, label="walking")
        if rng.random() < 0.5:
            picks = replace(_LIFT, visit_s=4.0, away_s=1.5)
            body.do(
                "using a dustpan", float(rng.uniform(6, 10)), picks, (0.12, 0.4), hands=(0.4, 0.15), held=("box", "")
            )
        else:
            body.do("resting", float(rng.uniform(3, 6)), LOOKING)


def dancing(body: Body) -> None:
    """To music of 100-130 beats a minute: bouncing on the beat, side steps at half of it, turns.

    The preferred tempo lies between 120 and 130 (Moelants 2002); the wider range and all sizes are our guess.
    """
    rng = body.rng
    beat = float(rng.uniform(100, 130)) / 60.0
    energy = body.spread(0.25)
    body.do("resting", float(rng.uniform(2, 4)), LOOKING)
    while not body.over:
        kind = rng.random()
        phases = rng.uniform(-0.4, 0.4, (2, 3))
        if kind < 0.4:
            start, end = body.do("bouncing to the music", float(rng.uniform(8, 20)), STANDING)
            body.rhythm(start, end, beat, mm=(6 * energy, 0, 17 * energy), deg=(0, 4, 0), drift=0.01, phases=phases)
            body.rhythm(start, end, beat / 2, mm=(0, 20 * energy, 0), deg=(5, 0, 4), drift=0.01, phases=phases)
        elif kind < 0.8:
            start, end = body.do("side steps", float(rng.uniform(8, 20)), STANDING)
            body.rhythm(start, end, beat / 2, mm=(10, 120 * energy, 0), deg=(4, 0, 5), drift=0.01, phases=phases)
            body.rhythm(start, end, beat, mm=(0, 10, 16 * energy), deg=(0, 3, 0), drift=0.01, phases=phases)
        else:
            turns = int(rng.integers(1, 4))
            each = 4.0 / beat  # a turn in four beats
            start, end = body.do("spinning", turns * each + 0.8, STANDING)
            way = float(rng.choice((-1.0, 1.0)))
            body.yaw.to(start, body.yaw.last + way * turns * 2 * np.pi, turns * each)
            body.rhythm(start, end, beat, mm=(8, 8, 14 * energy), deg=(0, 2, 2), drift=0.01, phases=phases)
        if rng.random() < 0.2:
            body.do("resting", float(rng.uniform(3, 7)), LOOKING)


def lifting_boxes(body: Body) -> None:
    """Boxes from the floor to a table and back: a bend or a squat to the floor, a few steps with the load."""
    rng, person = body.rng, body.person
    body.path = [(0.0, 0.0, 0.0, 0.0)]
    body.do("resting", float(rng.uniform(2, 4)), STANDING)
    piles = ((0.0, 0.0), (2.2, 0.6))
    here = 0
    while not body.over:
        _bend(body, "picking up a box", low=here == 0)
        here = 1 - here
        walk_to(body, piles[here], mps=0.75 * person.walk_mps, label="carrying a box")
        _bend(body, "putting down a box", low=here == 0)
        if rng.random() < 0.3:
            body.do("resting", float(rng.uniform(3, 8)), LOOKING)
        if rng.random() < 0.6:  # back for the next one, empty-handed
            here = 1 - here
            walk_to(body, piles[here], mps=person.walk_mps, label="walking")


def _bend(body: Body, label: str, *, low: bool) -> None:
    rng, person = body.rng, body.person
    seconds = float(rng.uniform(2.6, 4.2)) / person.tempo
    height = 0.15 if low else 0.85
    start, end = body.do(
        label, seconds, replace(STANDING, fidget=0.6, glance_per_min=2.0), hands=(0.4, height), held=("box", "")
    )
    squat = person.squat * rng.uniform(0.6, 1.2)
    trunk, drop = (1.25 - 0.6 * squat, 0.25 * squat * person.height_m) if low else (0.3, 0.0)
    rise, hold = 0.42 * (end - start), 0.1 * (end - start)
    body.trunk.bump(start, trunk, rise, hold)
    body.drop.bump(start, drop, rise, hold)
    body.pitch.bump(start, 0.65 if low else 0.35, rise, hold)
    body.thump(start + rise + 0.5 * hold, (2.0 if "down" in label else 0.8) * body.spread(0.4))
