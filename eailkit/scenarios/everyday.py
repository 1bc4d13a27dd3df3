"""Four scenarios indoors to pretrain on: walking about, desk work, floor work, talking. Each tells a `Body` what to do.

Durations, amplitudes and how often people do what are our guesses where no figure is named.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from eailkit.scenarios.body import LOOKING, STANDING, Body
from eailkit.synthkitchen.motion_plan import MotionProfile
from eailkit.synthkitchen.paths import speed_along
from eailkit.synthkitchen.posture import seat_drop
from eailkit.synthkitchen.signals import gaussian_smooth

HALL_M = (9.0, 6.5)  # free floor of the hall, from its corner at the origin
_SEATED = MotionProfile(
    reach=0.0, gaze=0.0, fidget=0.12, scan_deg=3.0, glance_per_min=1.2, glance_deg=20.0, idle_per_min=0.15,
    impact_per_min=0.8, step_per_min=0.0,
)  # fmt: skip


def walk_to(body: Body, xy: tuple[float, float], *, mps: float, label: str, via: tuple[float, float] | None = None):
    """Walk from where the walker stands to a point by a smooth way, from rest to rest; turns towards it first."""
    _, x, y, _ = body.path[-1]
    corners = np.array([[x, y], *([via] if via else []), xy], float)
    length = np.r_[0.0, np.cumsum(np.hypot(*np.diff(corners, axis=0).T))]
    s = np.linspace(0.0, length[-1], max(int(length[-1] / 0.05), 8))
    way = np.stack([np.interp(s, length, corners[:, k]) for k in (0, 1)], 1)
    if via:
        ends = way[[0, -1]].copy()
        way = np.stack([gaussian_smooth(np.pad(v, 60, "reflect", reflect_type="odd"), 0.5, 20.0) for v in way.T], 1)
        way = way[60:-60]
        way[[0, -1]] = ends
    start = body.t
    tangent = np.diff(way, axis=0)
    body.turn_to(float(np.arctan2(*tangent[:3].mean(0)[::-1])))
    heading = np.unwrap(np.r_[body.path[-1][3], np.arctan2(*tangent.T[::-1])])
    heading = gaussian_smooth(heading, 0.3, 20.0)
    when = body.t + speed_along(way, mps)
    body.path += [(float(t), float(p[0]), float(p[1]), float(h)) for t, p, h in zip(when, way, heading, strict=True)]
    body.t = start
    body.do(label, float(when[-1]) - start)


def walking_about(body: Body) -> None:
    """Walks of about 2-13 m through a hall with pauses and looks around, a little faster than in a kitchen."""
    rng, person = body.rng, body.person
    body.path = [(0.0, *rng.uniform((1, 1), np.array(HALL_M) - 1), float(rng.uniform(-3, 3)))]
    body.do("standing still", float(rng.uniform(2, 6)), STANDING)
    while not body.over:
        for _ in range(int(rng.integers(1, 6))):  # several legs before the next pause
            mps = float(np.clip(1.1 * person.walk_mps * body.spread(0.08), 0.7, 1.35))
            spots = rng.uniform((0.7, 0.7), np.array(HALL_M) - 0.7, (2, 2))
            here = np.array(body.path[-1][1:3])
            if np.hypot(*(spots[0] - here)) < 1.5:
                continue
            via = tuple(spots[1]) if np.hypot(*(spots[1] - here)) > 2.0 else None
            walk_to(body, tuple(spots[0]), mps=mps, label="walking", via=via)
        kind = rng.random()
        if kind < 0.45:
            body.do("looking around", float(rng.uniform(4, 10)), LOOKING)
        elif kind < 0.8:
            body.do("standing still", float(rng.uniform(3, 9)), STANDING)
        else:
            body.turn_to(body.path[-1][3] + float(rng.choice((-1, 1)) * rng.uniform(1.2, 3.0)))
            body.do("turning around", 1.0, STANDING)


# label: share, seconds, profile, target's height above the floor and distance, hands and what they hold
_DESK = {
    "typing": (0.3, (12, 40), replace(_SEATED, gaze=0.7, fidget=0.22, oscillation_hz=2.4,
               oscillation_mm=(0.12, 0.08, 0.16), nod_deg=0.08, duty=0.55, scan_deg=2.2),
               (1.02, 0.62), (0.36, 0.78), ("", "")),
    "browsing": (0.2, (10, 35), replace(_SEATED, gaze=0.7, scan_deg=3.3, fidget=0.1),
                 (1.02, 0.62), (0.36, 0.77), ("", "")),
    "reading": (0.22, (15, 40), replace(_SEATED, gaze=0.8, scan_deg=4.6, glance_per_min=5.0),
                (0.85, 0.4), (0.4, 0.86), ("", "book")),
    "writing": (0.18, (10, 30), replace(_SEATED, reach=0.5, gaze=0.85, fidget=0.25, oscillation_hz=2.9,
                oscillation_mm=(0.15, 0.2, 0.12), nod_deg=0.1, scan_deg=3.5),
                (0.76, 0.38), (0.34, 0.77), ("spoon", "")),
    "leaning back": (0.06, (5, 12), replace(_SEATED, scan_deg=8.0, glance_per_min=10.0), (1.1, 0.6), None,
                     ("", "")),
    "turning on the chair": (0.04, (5, 8), replace(_SEATED, glance_per_min=8.0), (1.0, 0.6), None, ("", "")),
}  # fmt: skip


def desk_work(body: Body) -> None:
    """Typing, reading, writing and browsing on a chair, with pauses in which one leans back or swivels."""
    rng, person = body.rng, body.person
    drop = seat_drop(person)
    body.drop = body.track(drop)
    body.drop.last = drop
    labels, last = list(_DESK), ""
    while not body.over:
        shares = np.array([_DESK[k][0] * (k != last) for k in labels])
        last = labels[int(rng.choice(len(labels), p=shares / shares.sum()))]
        _, (low, high), profile, (height, distance), hands, held = _DESK[last]
        profile = replace(profile, scan_deg=profile.scan_deg * body.spread(0.3))
        start, end = body.do(
            last, float(rng.uniform(low, high)), profile, (height + drop, distance), hands=hands, held=held
        )
        if last == "leaning back":
            size = -float(rng.uniform(0.2, 0.4))
            body.trunk.bump(start, size, 1.4, max(end - start - 3.2, 0.5))
            body.pitch.bump(start, 0.5 * size, 1.4, max(end - start - 3.2, 0.5))
        elif last == "turning on the chair":
            angle = float(rng.choice((-1, 1)) * rng.uniform(0.5, 1.4))
            body.yaw.bump(start, angle, 1.3, max(end - start - 3.0, 0.3))
            body.lean.bump(start, 0.06 * np.sign(angle), 1.3, max(end - start - 3.0, 0.3))
        for t in np.arange(start + 4.0, end - 3.0, 9.0):  # a shift on the seat now and then
            if rng.random() < 0.35:
                body.lean.to(float(t), float(rng.normal(0.0, 0.025)), 1.2)
                body.trunk.to(float(t), float(rng.normal(0.02, 0.05)), 1.3)


def floor_work(body: Body) -> None:
    """Kneeling down, scrubbing on all fours, picking things from the floor while standing, getting up.

    Kneeling lowers the hips to the thigh's length above the floor: by 0.285 of the height, which is the hips' 0.53 less
    0.245 for the thigh (Drillis & Contini 1966, as later tables pass it on). Sitting on the heels by 0.37 is our guess.
    """
    rng, person = body.rng, body.person
    picks = MotionProfile(visit_s=1.6, away_s=1.8, fidget=0.7, scan_deg=10.0, impact_per_min=8.0, step_per_min=9.0)
    body.do("standing still", float(rng.uniform(2, 5)), STANDING)
    while not body.over:
        if rng.random() < 0.55:
            _kneel(body, person.height_m)
        else:
            body.do(
                "picking things up",
                float(rng.uniform(10, 28)),
                picks,
                (0.08, 0.4),
                hands=(0.45, 0.15),
                held=("box", ""),
            )
            if rng.random() < 0.6:
                x, y = rng.uniform(-1.4, 1.4, 2)
                walk_to(body, (float(x), float(y)), mps=0.8 * person.walk_mps, label="walking")
        if rng.random() < 0.4:
            body.do("standing still", float(rng.uniform(2, 6)), STANDING)


def _kneel(body: Body, height_m: float) -> None:
    rng = body.rng
    down = float(rng.uniform(1.6, 2.4)) / body.person.tempo
    start, _ = body.do("kneeling down", down + 0.6, STANDING)
    body.drop.to(start + 0.1, 0.285 * height_m, down)
    body.trunk.bump(start, 0.5, 0.6 * down, 0.0)
    body.pitch.bump(start, 0.4, 0.6 * down, 0.0)
    body.thump(start + 0.85 * down, 1.5 * body.spread(0.3))
    for _ in range(int(rng.integers(1, 4))):
        label = "scrubbing" if rng.random() < 0.7 else "wiping the floor"
        seconds = float(rng.uniform(8, 25))
        start, end = body.do(
            label, seconds, replace(STANDING, fidget=0.6, glance_per_min=3.0), hands=(0.55, 0.05), held=("cloth", "")
        )
        heels = rng.random() < 0.4 and label == "wiping the floor"
        trunk = float(rng.uniform(0.6, 0.9) if heels else rng.uniform(1.0, 1.3))
        body.trunk.to(start, trunk, 1.2)
        body.drop.to(start, (0.37 if heels else 0.29) * height_m, 1.2)
        body.pitch.to(start, float(rng.uniform(0.75, 1.0)), 1.1)
        hz = float(rng.uniform(1.3, 2.2) if label == "scrubbing" else rng.uniform(0.6, 1.0)) * body.person.tempo
        size = body.spread(0.3) * (1.0 if label == "scrubbing" else 1.6)
        t = start + 1.3
        while t < end - 1.5:
            on = float(rng.uniform(2.5, 6.0))
            body.rhythm(
                t, min(t + on, end - 0.3), hz, mm=(14 * size, 9 * size, 4 * size), deg=(0.8, 1.4, 0.8), drift=0.08
            )
            body.lean.to(t, float(rng.normal(0.0, 0.06)), 1.0)
            body.yaw.to(t, float(rng.normal(0.0, 0.2)), 0.9)
            t += on + float(rng.uniform(0.2, 1.2))
    up = float(rng.uniform(1.8, 2.6)) / body.person.tempo
    start, _ = body.do("getting up", up + 0.8, STANDING)
    body.trunk.to(start, 0.0, 0.9 * up)
    body.pitch.to(start, 0.0, 0.8 * up)
    body.yaw.to(start, 0.0, 0.8 * up)
    body.lean.to(start, 0.0, 0.8 * up)
    body.drop.to(start + 0.35 * up, 0.0, 0.7 * up)


def talking(body: Body) -> None:
    """A conversation, standing or on a chair: nods, shakes, turns between two people, laughter.

    Nods of 1-6 degrees at 1.8-3.2 Hz, shakes of 3-9 degrees at 1.6-2.6 Hz (amplitudes) and slower beats of speech: our
    guess. That the head of speakers moves in classes of different speed is from Hadar et al. (1983), whose figures
    weren't at hand. Laughter shakes at 4-5 Hz: its notes follow each other after 0.21 s (Provine & Yong 1991).
    """
    rng, person = body.rng, body.person
    if seated := body.doer.sway < person.sway:
        body.drop = body.track(seat_drop(person))
        body.drop.last = seat_drop(person)
    calm = 0.5 if seated else 1.0
    others = (float(rng.uniform(-0.5, -0.15)), float(rng.uniform(0.2, 0.9)))
    while not body.over:
        kind = rng.random()
        if kind < 0.08:
            start, end = body.do("looking around", float(rng.uniform(3, 6)), replace(LOOKING, fidget=0.2 * calm))
            continue
        label = "talking" if kind < 0.5 else "listening" if kind < 0.9 else "laughing"
        seconds = float(rng.uniform(3, 6) if label == "laughing" else rng.uniform(6, 25))
        profile = replace(
            STANDING, fidget=(0.3 if label == "talking" else 0.12) * calm, glance_per_min=7.0, glance_deg=30.0
        )
        hands = (0.4, 1.1 if not seated else 0.75) if label == "talking" else None
        start, end = body.do(label, seconds, profile, hands=hands)
        t = start
        while t < end - 1.0:
            body.yaw.to(t, others[int(rng.random() < 0.5)] + float(rng.normal(0.0, 0.06)), float(rng.uniform(0.4, 0.8)))
            body.trunk.to(t, float(rng.normal(0.03, 0.05)), 1.2)
            body.lean.to(t, float(rng.normal(0.0, 0.03 * calm)), 1.5)
            _gestures(body, t, min(t + 4.0, end), label)
            t += float(rng.uniform(2.5, 7.0))


def _gestures(body: Body, start: float, end: float, label: str) -> None:
    """Nods, shakes and beats of speech within a few seconds."""
    rng = body.rng
    if label == "laughing":
        body.rhythm(start, min(start + 2.5, end), float(rng.uniform(4.0, 5.0)), mm=(0.8, 0, 1.2), deg=(0, 0.8, 0))
        body.pitch.bump(start, -0.2, 0.5, 1.2)
        return
    if rng.random() < (0.45 if label == "listening" else 0.25):
        size = float(rng.uniform(2.0, 6.0))
        on = float(rng.uniform(0.8, 1.8))
        t, hz = start + float(rng.uniform(0.3, 1.5)), float(rng.uniform(1.8, 3.2))
        size *= 1.8 / hz  # quick nods are small
        body.rhythm(t, min(t + on, end), hz, mm=(0.8, 0, 0.4), deg=(0, size, 0), ramp_s=0.3)
    elif rng.random() < 0.2:
        t = start + float(rng.uniform(0.3, 1.5))
        body.rhythm(
            t, min(t + 1.5, end), float(rng.uniform(1.6, 2.6)), deg=(float(rng.uniform(3, 9)), 0, 0), ramp_s=0.3
        )
    if label == "talking":
        body.rhythm(start, end, float(rng.uniform(0.5, 1.2)), mm=(3, 2, 1), deg=(1.5, 1.8, 1.2), drift=0.12)
