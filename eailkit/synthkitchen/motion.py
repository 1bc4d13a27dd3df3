"""Head motion from numbers: posture, gaze, handwork, sway and gait, as a C2 six-degree-of-freedom spline.

Takes a `MotionPlan` (numbers only, see there) and a `Person`; imports nothing that knows fixtures or rooms.
Statistics follow head-worn recordings of daily life (see the dataset card); what a head does is a sum of minimum-jerk
set-point changes, gait, rhythms of the hands and motor noise. The glasses rattle on the head by themselves.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy import ndimage

from eailkit.synthkitchen.gait import REFERENCE_MPS, gait
from eailkit.synthkitchen.motion_plan import MotionPlan, MotionProfile, Stance
from eailkit.synthkitchen.person import Person
from eailkit.synthkitchen.posture import (
    DEVICE_FROM_NECK_M,
    RATTLE_FROM_DEVICE_M,
    neck_offset,
    reach_posture,
    seat_drop,
)
from eailkit.synthkitchen.signals import Track, add_transients, band_noise, gaussian_smooth, slow_noise
from eailkit.synthkitchen.spline import KNOT_HZ, HeadMotion, rotation

__all__ = ["HeadMotion", "head_motion"]

_WALKING = MotionProfile(
    reach=0.0, gaze=0.0, fidget=0.35, scan_deg=7.0, glance_per_min=10.0, idle_per_min=0.0, glance_deg=35.0
)
_SITS_DOWN_FOR_S = 3.8  # of average tempo; for less than this one stays on one's feet
_LEVEL_PITCH_RAD = 0.12  # people look a little down when they look at nothing


def head_motion(motion_plan: MotionPlan, person: Person, seed: int) -> HeadMotion:
    """The glasses' motion while a person does what the plan says; the same for the same arguments.

    Shape:
        knots every 5 ms from 0 to motion_plan.duration_s.
    """
    return _Performer(motion_plan, person, np.random.default_rng([seed, 0x40E1])).run()


class _Performer:
    """Tracks of set-points and sums of oscillations for one take."""

    def __init__(self, plan: MotionPlan, person: Person, rng: np.random.Generator):
        self.plan, self.person, self.rng = plan, person, rng
        self.n = int(round(plan.duration_s * KNOT_HZ)) + 1
        track = lambda start=0.0: Track(self.n, KNOT_HZ, start)  # noqa: E731
        self.trunk, self.drop, self.lean, self.ahead = track(), track(), track(), track()
        self.yaw, self.pitch, self.roll = track(), track(_LEVEL_PITCH_RAD), track()
        self.fidget, self.calm = track(0.35), track(1.0)
        self.moved = np.zeros((3, self.n))  # forward, left, up of the neck, m
        self.turned = np.zeros((3, self.n))  # yaw, pitch, roll, rad
        self.drop_seated = 0.0  # m, of the hip, while sitting
        self.impacts: list[tuple[float, float]] = []

    def run(self) -> HeadMotion:
        """Everything from the first second to the last, stance by stance."""
        at = 0.0
        for stance in self.plan.stances:
            self._walk(at, stance.start_s)
            self._stance(stance)
            at = stance.end_s
        self._walk(at, self.plan.duration_s)
        t = np.arange(self.n) / KNOT_HZ
        xy = [
            gaussian_smooth(np.interp(t, self.plan.path_t_s, self.plan.path_xy_m[:, k]), 0.11, KNOT_HZ) for k in (0, 1)
        ]
        facing = gaussian_smooth(np.interp(t, self.plan.path_t_s, self.plan.path_yaw_rad), 0.2, KNOT_HZ)
        speed = KNOT_HZ * np.hypot(np.gradient(xy[0]), np.gradient(xy[1]))
        moved, turned, self.rattled = gait(self.person, speed, KNOT_HZ * np.gradient(facing), KNOT_HZ, self.rng)
        self.moved += moved
        self.turned += turned
        self._add_sway(speed / REFERENCE_MPS)
        self._add_motor_noise(speed / REFERENCE_MPS)
        self._add_impacts()
        return self._assemble(xy[0], xy[1], facing)

    def _assemble(self, x: np.ndarray, y: np.ndarray, facing: np.ndarray) -> HeadMotion:
        trunk = self.trunk.values()
        ahead, up = neck_offset(self.person, trunk, self.drop.values())
        forward, left = ahead + self.ahead.values() + self.moved[0], self.lean.values() + self.moved[1]
        cos, sin = np.cos(facing), np.sin(facing)
        neck = np.stack([x + cos * forward - sin * left, y + sin * forward + cos * left, up + self.moved[2]], axis=1)
        tilt, cant = self.person.glasses_tilt_rad
        yaw = facing + _soft_limit(self.yaw.values(), 1.25) + self.turned[0]
        pitch = _soft_limit(self.pitch.values() + self.turned[1] + tilt, 1.35)
        ypr = np.stack([yaw, pitch, self.roll.values() + self.turned[2] + cant], axis=1)
        pivot = np.array(RATTLE_FROM_DEVICE_M)
        rattled = ypr + self.rattled.T
        device = neck + rotation(ypr) @ (np.array(DEVICE_FROM_NECK_M) + pivot) - rotation(rattled) @ pivot
        return HeadMotion(device, rattled)

    # -- what happens in a stance ------------------------------------------------------------------------

    def _walk(self, start_s: float, end_s: float) -> None:
        if end_s - start_s > 0.05:
            self.fidget.to(start_s, 0.35, 0.4)
            self.pitch.to(start_s, self.rng.normal(0.2, 0.08), 0.5)
            self.yaw.to(start_s, 0.0, 0.5)
            self._glances(start_s, end_s, _WALKING)

    def _stance(self, stance: Stance) -> None:
        rng, person, profile = self.rng, self.person, stance.profile
        start, end = stance.start_s, stance.end_s
        seated = profile.seated > 0.5 and end - start > _SITS_DOWN_FOR_S / person.tempo
        level = profile.fidget * np.exp(rng.normal(0.0, 0.4)) * person.vigour
        self.fidget.to(start, level * (0.35 if seated else 1.0), 0.6)
        if seated:
            start, end = self._sit(start, end)
        self.calm.to(start, 0.45 if seated else 1.0, 1.0)
        height = stance.target_height_m
        engaged = self._engaged(start, end, profile)
        for a, b in engaged:
            wander = 0.08 if profile.visit_s else 0.03
            posture = reach_posture(
                person,
                max(height + rng.normal(0.0, wander), 0.05),
                max(stance.target_distance_m + rng.normal(0.0, 0.05), 0.1),
                seated=seated,
                reach=profile.reach,
            )
            self._attend(a, b, profile, posture)
        self._glances(start, end, profile)
        for a, b in engaged:
            if profile.oscillation_hz > 0 and b - a > 1.5:
                self._rhythm(a, b, profile)
        if seated:
            self._through(end, 0.0)
            self.drop_seated = 0.0
        thumps = rng.poisson(profile.impact_per_min * max(end - start, 0.0) / 60.0)
        when = np.sort(rng.uniform(start, max(end, start), thumps))
        self.impacts += [(float(t), float((0.06 if seated else 0.25) * np.exp(rng.normal(0.0, 0.6)))) for t in when]

    def _sit(self, start: float, end: float) -> tuple[float, float]:
        """Sit down at the start; returns when the person sits, and when they must begin to rise."""
        self.drop_seated = seat_drop(self.person)
        self.rise_s = float(self.rng.uniform(1.2, 1.7)) / self.person.tempo
        self._through(start, self.drop_seated)
        self.impacts += [(start + self.rise_s, float(1.2 * np.exp(self.rng.normal(0.0, 0.5))))]
        return start + self.rise_s, end - self.rise_s

    def _through(self, t: float, drop: float) -> None:
        """Between standing and sitting: the trunk bends forward, the head with it, and the hips sink or rise."""
        bend = float(self.rng.uniform(0.55, 0.85))
        for track, size in ((self.trunk, bend), (self.pitch, 0.5 * bend), (self.ahead, 0.45 * bend)):
            track.bump(t, size, 0.65 * self.rise_s, 0.0)  # on a seat the hips don't give way
        self.drop.to(t + 0.1 * self.rise_s, drop, 0.9 * self.rise_s)

    def _engaged(self, start: float, end: float, profile: MotionProfile) -> list[tuple[float, float]]:
        """When the hands are at the target: visits with time away, or all the time but for idle pauses."""
        rng, tempo = self.rng, self.person.tempo
        spans, t = [], start + float(rng.uniform(0.0, 0.5))
        if profile.visit_s > 0:
            while t < end - 0.8:
                stay = profile.visit_s * float(np.exp(rng.normal(0.0, 0.4))) / tempo
                spans.append((t, min(t + stay, end - 0.3)))
                t += stay + profile.away_s * float(np.exp(rng.normal(0.0, 0.45))) / tempo
            return spans
        pauses = rng.poisson(_settled(profile) ** 2 * profile.idle_per_min * max(end - start, 0.0) / 60.0)
        for when in np.sort(rng.uniform(start, max(end, start), pauses)):
            if when > t + 1.0:
                spans.append((t, float(when)))
                t = float(when) + float(rng.uniform(1.2, 4.0))
        if end - t > 0.5:
            spans.append((t, end - float(rng.uniform(0.0, 0.3))))
        return spans

    def _attend(self, a: float, b: float, profile: MotionProfile, posture) -> None:
        """Go to a posture, look at the hands with small re-fixations, and come back."""
        rng, tempo = self.rng, self.person.tempo
        drop = self.drop_seated
        share = float(np.clip(self.person.gaze_share + rng.normal(0.0, 0.08), 0.2, 0.95)) * profile.gaze
        pitch = max(share * posture.pitch_rad, posture.trunk_rad - 0.9) if share > 0 else _LEVEL_PITCH_RAD
        rise = (0.8 + 0.55 * posture.trunk_rad + 1.2 * posture.knee_m) * float(np.exp(rng.normal(0.0, 0.2))) / tempo
        scan = np.sqrt(_settled(profile)) * np.deg2rad(profile.scan_deg) * float(np.exp(rng.normal(0.0, 0.3)))
        self.trunk.to(a, posture.trunk_rad, rise)
        self.drop.to(a, drop + posture.knee_m - posture.toe_m, rise)
        self.pitch.to(a + 0.1 * rise, pitch, 0.85 * rise)
        self.yaw.to(a, rng.normal(0.0, 0.5 * scan), 0.6 * rise)
        t = a + rise + float(rng.exponential(1.2))
        while t < b - 0.5:
            quick = float(rng.uniform(0.5, 1.2))
            self.pitch.to(t, pitch + rng.normal(0.0, 0.6 * scan), quick)
            self.yaw.to(t, rng.normal(0.0, scan), quick)
            self.roll.to(t, rng.normal(0.0, 0.04), 1.5 * quick)
            if rng.random() < 0.5:
                self.trunk.to(t, max(posture.trunk_rad + rng.normal(0.03, 0.05), 0.0), 2.0 * quick)
                self.lean.to(t, rng.normal(0.0, 0.02), 2.0 * quick)
            t += float(rng.uniform(0.4, 0.8) + rng.exponential(2.2)) / (_settled(profile) * tempo)
        back = 0.8 * rise
        self.trunk.to(b, max(rng.normal(0.04, 0.03), 0.0), back)
        self.drop.to(b, drop, back)
        self.pitch.to(b, rng.normal(0.25 if profile.visit_s else _LEVEL_PITCH_RAD, 0.12), back)
        aside = float(rng.normal(0.0, 0.6)) if profile.visit_s else float(rng.normal(0.0, 0.25))
        self.yaw.to(b, aside, max(back, 0.45))

    def _glances(self, start: float, end: float, profile: MotionProfile) -> None:
        """Looks elsewhere: yaw out and back like slow saccades, the head lifts with them."""
        rng = self.rng
        rate = _settled(profile) * profile.glance_per_min * self.person.glance * float(np.exp(rng.normal(0.0, 0.4)))
        count = rng.poisson(rate * max(end - start, 0.0) / 60.0)
        for t in np.sort(rng.uniform(start, max(end, start), count)):
            angle = np.deg2rad(profile.glance_deg) * rng.normal(0.0, 1.0) * np.sqrt(_settled(profile))
            rise = float((0.38 + 0.55 * abs(angle)) * np.exp(rng.normal(0.0, 0.2)))
            hold = float(rng.uniform(0.2, 0.6) + rng.exponential(0.8))
            self.yaw.bump(float(t), float(angle), rise, hold)
            self.pitch.bump(float(t), float(-rng.uniform(0.0, 0.3)), rise, hold)

    def _rhythm(self, a: float, b: float, profile: MotionProfile) -> None:
        """The head's answer to a rhythm of the hands, in bouts, with drifting frequency and strength."""
        rng, person = self.rng, self.person
        i, j = int(a * KNOT_HZ), min(int(b * KNOT_HZ), self.n)
        if j - i < 100:
            return
        frequency = float(np.clip(profile.oscillation_hz * person.tempo * np.exp(rng.normal(0.0, 0.22)), 0.25, 5.0))
        strength = _settled(profile) * person.vigour * float(np.exp(rng.normal(0.0, 0.5)))
        bouts = Track(j - i, KNOT_HZ)
        duty = float(np.clip(profile.duty + rng.normal(0.0, 0.15), 0.15, 0.95))
        t = float(rng.exponential(1.0))
        while t < b - a - 1.1:
            on = min(float(rng.uniform(1.5, 7.0)), b - a - t - 0.55)  # over before the stance's slice ends
            bouts.to(t, float(np.exp(rng.normal(0.0, 0.2))), 0.5)
            bouts.to(t + on, 0.0, 0.5)
            t += on / duty
        drift = slow_noise(rng, j - i, KNOT_HZ, 0.1, 0.6, channels=2)
        phase = 2 * np.pi * np.cumsum(frequency * (1.0 + 0.07 * drift[0])) / KNOT_HZ
        envelope = strength * bouts.values() * np.exp(0.25 * drift[1])
        second = float(rng.uniform(0.05, 0.35))
        for axis in range(3):
            size = 1e-3 * profile.oscillation_mm[axis] * float(np.exp(rng.normal(0.0, 0.35)))
            angle = float(rng.uniform(-np.pi, np.pi))
            self.moved[axis, i:j] += size * envelope * (np.cos(phase + angle) + second * np.cos(2 * phase + 2 * angle))
        for axis, share in ((0, 0.6), (1, 1.0), (2, 0.5)):
            size = np.deg2rad(profile.nod_deg) * share * float(np.exp(rng.normal(0.0, 0.35)))
            self.turned[axis, i:j] += size * envelope * np.cos(phase + float(rng.uniform(-np.pi, np.pi)))

    # -- what goes on all the time -----------------------------------------------------------------------

    def _add_sway(self, relative_speed: Float[np.ndarray, " n"]) -> None:
        """Postural sway, breathing (15 a minute), and the slow wandering of a head that walks."""
        calm = self.calm.values() * self.person.sway
        sway = slow_noise(self.rng, self.n, KNOT_HZ, 0.08, 0.5, channels=5)
        breath = 2 * np.pi * np.cumsum(0.25 * (1.0 + 0.15 * sway[2])) / KNOT_HZ
        self.moved[0] += calm * 0.0045 * sway[0]
        self.moved[1] += calm * 0.0035 * sway[1]
        self.moved[2] += 0.0012 * np.sin(breath) + calm * 0.003 * sway[2]
        self.turned[0] += np.deg2rad(2.0 * calm + 3.0 * relative_speed) * sway[4]
        self.turned[1] += np.deg2rad(1.5 * calm + 5.0 * relative_speed) * sway[3]
        self.turned[1] += np.deg2rad(0.25) * np.sin(breath + 0.5)

    def _add_motor_noise(self, relative_speed: Float[np.ndarray, " n"]) -> None:
        """Irregular motion that grows with what head and feet are doing (signal-dependent motor noise).

        Real spectra fall alike in every activity, about f^-4 in angular rate and f^-2 in acceleration above 3 Hz,
        which is f^-6 in angle and position, in proportion to how much the head turns.
        """
        rng, person = self.rng, self.person
        change = [KNOT_HZ * np.gradient(track.values()) for track in (self.yaw, self.pitch, self.trunk, self.drop)]
        turning = np.sqrt(change[0] ** 2 + change[1] ** 2 + change[2] ** 2 + 4.0 * change[3] ** 2)
        effort = gaussian_smooth(turning, 0.25, KNOT_HZ) + relative_speed
        level = self.fidget.values()
        motor = band_noise(rng, self.n, KNOT_HZ, 0.6, 2.0, channels=6, order=3)
        # What bones and skin pass on ends at some 20 Hz; the spine is stiffest along itself.
        motor = ndimage.uniform_filter1d(motor, 3, axis=1)
        across = [0, 1, 3, 4, 5]
        motor[across] = ndimage.uniform_filter1d(motor[across], 5, axis=1)
        metres = 1e-3 * person.vigour * (0.26 + 0.7 * level + 1.1 * effort)
        radians = 1e-3 * person.vigour * (2.0 + 4.0 * level + 15.0 * effort)
        for axis, move, turn in ((0, 0.25, 1.0), (1, 0.25, 0.7), (2, 1.0, 0.5)):
            self.moved[axis] += move * metres * motor[axis]
            self.turned[axis] += turn * radians * motor[3 + axis]
        for size, low_hz, high_hz in ((5.0e-5, 5.0, 10.0), (0.6e-5, 8.0, 22.0)):
            jitter = band_noise(rng, self.n, KNOT_HZ, low_hz, high_hz, channels=3, order=3)
            self.rattled += size * person.rattle * jitter

    def _add_impacts(self) -> None:
        """Thumps of things put down and doors closed, as they arrive at the head."""
        events = np.array(self.impacts).reshape(-1, 2)
        for axis, share in ((2, 1.0), (0, 0.3), (1, 0.2)):
            strength = share * events[:, 1] * np.exp(0.3 * self.rng.standard_normal(len(events)))
            add_transients(self.moved[axis], events[:, 0], strength, 9.0 + 2.0 * axis, 0.035, KNOT_HZ)
            loose = 2.0 * self.person.rattle * strength  # rad/s2
            add_transients(self.rattled[axis], events[:, 0], loose, 17.0 + 4.0 * axis, 0.03, KNOT_HZ)


def _settled(profile: MotionProfile) -> float:
    """How often, against standing, someone looks up or about who sits with eyes on the work; 1 if not."""
    return 0.38 if profile.seated > 0.5 and profile.gaze > 0.0 else 1.0


def _soft_limit(values: Float[np.ndarray, " n"], limit: float) -> Float[np.ndarray, " n"]:
    """Smooth and monotone, close to the identity in the middle, within +-limit."""
    return limit * np.tanh(values / limit)
