"""Five scenarios that no pretraining sees: squats, jumping, balancing, lying down, sit-ups.

Tempos (a repetition in about 2-3.5 s), counts, angles and heights of jumps are our guess; tempos follow the person too,
sizes body proportions.
"""

from __future__ import annotations

from eailkit.scenarios.body import LOOKING, QUIET, STANDING, Body
from eailkit.scenarios.footwork import hop, leap


def _rest(body: Body, low: float, high: float) -> None:
    start, end = body.do("resting", float(body.rng.uniform(low, high)), LOOKING)
    body.rhythm(start, end, float(body.rng.uniform(0.35, 0.6)), mm=(1.5, 0, 2.5), deg=(0, 0.6, 0))


def squats(body: Body) -> None:
    """Sets of 6-14 squats: hips sink by 0.15-0.25 of the height (the thigh is 0.245), the trunk leans 26-46 degrees."""
    rng, h = body.rng, body.person.height_m
    body.do("resting", float(rng.uniform(2, 4)), STANDING)
    while not body.over:
        depth, lean = float(rng.uniform(0.15, 0.25)) * h, float(rng.uniform(0.45, 0.8))
        down, up = (float(rng.uniform(*r)) / body.person.tempo for r in ((0.8, 1.5), (0.7, 1.2)))
        hold, stand = float(rng.exponential(0.15)), float(rng.uniform(0.15, 0.8))
        label = "squats" if depth > 0.18 * h else "half squats"
        count = int(rng.integers(6, 15))
        start, end = body.do(label, count * (down + hold + up + stand), STANDING)
        t = start
        while t < end - (down + hold + up):
            size = body.spread(0.06)
            for track, value in ((body.drop, depth), (body.trunk, lean)):
                track.to(t, value * size, down)
                track.to(t + down + hold, 0.0, up)
            body.ahead.bump(t, -0.05, 0.5 * (down + up), 0.0)
            body.pitch.bump(t, float(rng.normal(0.1, 0.05)), down, hold)
            t += down + hold + up + stand * body.spread(0.15)
        _rest(body, 5, 12)


def jumping(body: Body) -> None:
    """Hopping at 1.9-2.4 Hz, jumping jacks at 1.6-2 Hz, single high jumps of 0.12-0.35 m, breaks."""
    rng = body.rng
    body.do("resting", float(rng.uniform(2, 4)), STANDING)
    while not body.over:
        kind = rng.random()
        if kind < 0.4:
            start, end = body.do("hopping", float(rng.uniform(6, 18)), STANDING)
            hop(body, start, end, float(rng.uniform(1.9, 2.4)), float(rng.uniform(0.5, 0.65)))
        elif kind < 0.65:
            start, end = body.do("jumping jacks", float(rng.uniform(8, 18)), STANDING)
            hop(body, start, end, float(rng.uniform(1.6, 2.0)), float(rng.uniform(0.58, 0.72)), mm=12.0)
        else:
            start, end = body.do("high jumps", float(rng.uniform(8, 18)), STANDING)
            t = start + 0.3
            high = float(rng.uniform(0.12, 0.35))
            while t < end - 2.4:
                t += leap(body, t, high * body.spread(0.1)) + float(rng.uniform(0.1, 1.5))
        _rest(body, 4, 10)


def balancing(body: Body) -> None:
    """Standing on one leg for 8-30 s: the head sways below 1.5 Hz, with catches and touch-downs.

    Sway has standard deviations of 0.9 cm fore and aft and 1.5 cm sideways, times a person's own: our guess.
    """
    rng = body.rng
    body.do("resting", float(rng.uniform(2, 4)), STANDING)
    side = 1.0
    while not body.over:
        start, end = body.do("standing on one leg", float(rng.uniform(8, 30)), STANDING)
        skill = body.spread(0.3) * body.person.sway
        body.lean.to(start, 0.06 * side, 0.9)
        body.wobble(start + 0.6, end, 0.25, 1.4, mm=(9 * skill, 15 * skill, 2.5 * skill), deg=(1.2, 1.2, 2.0))
        body.wobble(start + 0.6, end, 1.5, 4.0, mm=(0.3 * skill, 0.5 * skill, 0.2), deg=(0.3, 0.3, 0.4))
        for t in rng.uniform(start + 2, max(end - 2, start + 2), rng.poisson((end - start) / 9.0)):
            body.lean.bump(float(t), float(rng.normal(0.0, 0.06)), 0.35, 0.1)  # a catch
            body.roll.bump(float(t), float(rng.normal(0.0, 0.1)), 0.35, 0.1)
            if rng.random() < 0.5:
                body.thump(float(t) + 0.4, 1.5 * body.spread(0.4))
        body.lean.to(end - 0.2, 0.0, 0.7)
        side = -side if rng.random() < 0.7 else side
        if rng.random() < 0.5:
            body.do("changing legs", float(rng.uniform(1.5, 3.0)), STANDING)
        else:
            _rest(body, 3, 8)


def _sit_on_floor(body: Body, label: str) -> None:
    """From standing to sitting on the floor, by way of a crouch."""
    down = float(body.rng.uniform(2.0, 3.0)) / body.person.tempo
    start, _ = body.do(label, down + 0.6, STANDING)
    body.drop.to(start, body.floor_drop_m, down)
    body.trunk.bump(start, 0.8, 0.6 * down, 0.0)
    body.pitch.bump(start, 0.4, 0.5 * down, 0.0)
    body.thump(start + 0.97 * down, 2.5 * body.spread(0.3))


def _stand_from_floor(body: Body) -> None:
    up = float(body.rng.uniform(2.2, 3.2)) / body.person.tempo
    start, _ = body.do("getting up", up + 0.8, STANDING)
    body.trunk.bump(start, 0.9, 0.5 * up, 0.05)
    body.pitch.bump(start, 0.4, 0.5 * up, 0.0)
    body.drop.to(start + 0.2 * up, 0.0, 0.85 * up)


def _recline(body: Body, start: float, angle: float, seconds: float) -> None:
    """Lean the trunk to an angle from upright; the chin comes to the chest, which also keeps pitch off 90 degrees."""
    body.recline.to(start, angle, seconds)
    body.pitch.to(start, 0.42 if angle > 0.5 else 0.1, 0.8 * seconds)


def lying_down(body: Body) -> None:
    """Down to the floor, on the back, from side to side, and up again."""
    rng = body.rng
    body.do("standing still", float(rng.uniform(2, 4)), STANDING)
    while body.t < body.duration_s - 12.0:
        _sit_on_floor(body, "sitting down on the floor")
        body.do("sitting on the floor", float(rng.uniform(2, 8)), LOOKING)
        start, _ = body.do("lying down", float(rng.uniform(2.5, 3.5)), STANDING)
        _recline(body, start, 1.55, 2.2)
        body.thump(start + 2.0, 1.0 * body.spread(0.3))
        for _ in range(int(rng.integers(2, 6))):
            start, end = body.do("lying still", float(rng.uniform(6, 20)), QUIET)
            body.rhythm(start, end, 0.25, mm=(0, 0, 1.0), deg=(0, 0.3, 0))
            lasts = float(rng.uniform(1.4, 2.6)) / body.person.tempo
            start, _ = body.do("rolling over", lasts + 0.5, STANDING)
            other = float(rng.choice([a for a in (-1.4, 0.0, 1.4) if a != body.log.last]))
            body.log.to(start, other, lasts)
            body.lean.to(start, 0.2 * other / 1.4, lasts)
        start, _ = body.do("sitting up", float(rng.uniform(2.4, 3.2)), STANDING)
        body.log.to(start, 0.0, 1.2)
        body.lean.to(start, 0.0, 1.2)
        _recline(body, start + 0.4, 0.1, 1.8)
        body.do("sitting on the floor", float(rng.uniform(1, 4)), STANDING)
        body.recline.to(body.t, 0.0, 1.0)
        body.pitch.to(body.t, 0.0, 1.0)
        _stand_from_floor(body)
        body.do("standing still", float(rng.uniform(2, 6)), LOOKING)
    if not body.over:
        body.do("standing still", body.duration_s - body.t, STANDING)


def sit_ups(body: Body) -> None:
    """Sets of 6-14 sit-ups, one in 2-3.5 s; the trunk goes from lying to 14-43 degrees from upright and back."""
    rng = body.rng
    _sit_on_floor(body, "sitting down on the floor")
    start, _ = body.do("lying down", 2.8, STANDING)
    _recline(body, start, 1.5, 2.0)
    while not body.over:
        up, down = (float(rng.uniform(*r)) / body.person.tempo for r in ((0.8, 1.3), (0.9, 1.6)))
        top, pause = float(rng.uniform(0.25, 0.75)), float(rng.uniform(0.1, 0.5))
        start, end = body.do("sit-ups", int(rng.integers(6, 15)) * (up + down + pause), STANDING)
        t = start
        while t < end - (up + down):
            body.recline.to(t, top * body.spread(0.08), up)
            body.recline.to(t + up, 1.5, down)
            body.thump(t + up + 0.95 * down, 0.8 * body.spread(0.4))
            t += up + down + pause * body.spread(0.2)
        start, end = body.do("resting", float(rng.uniform(5, 12)), QUIET)
        body.rhythm(start, end, float(rng.uniform(0.35, 0.6)), mm=(0, 0, 2.0), deg=(0, 0.5, 0))
