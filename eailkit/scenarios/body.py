"""A body that does what the kitchens' can't: run, climb, kneel, squat, jump, lie; on top of what theirs does.

The kitchens' `head_motion` gives the head of someone who stands or walks: gaze, handwork, sway, breathing, noise.
`Body` collects what is added to that (set-points as minimum-jerk tracks, rhythms, gait, a path with heights) and
composes both into one C2 motion. It knows no scenes and no words.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from eailkit.synthkitchen.motion import head_motion
from eailkit.synthkitchen.motion_plan import MotionPlan, MotionProfile, Stance
from eailkit.synthkitchen.person import Person
from eailkit.synthkitchen.posture import DEVICE_FROM_NECK_M, HIP, NECK, neck_offset
from eailkit.synthkitchen.signals import Track, add_transients, band_noise, gaussian_smooth, slow_noise
from eailkit.synthkitchen.spline import KNOT_HZ, HeadMotion, rotation

STANDING = MotionProfile(
    reach=0.0, gaze=0.0, fidget=0.2, scan_deg=6.0, glance_per_min=6.0, idle_per_min=0.0, impact_per_min=0.0
)
LOOKING = replace(STANDING, glance_per_min=26.0, glance_deg=45.0, scan_deg=12.0)
QUIET = replace(STANDING, fidget=0.05, scan_deg=2.0, glance_per_min=1.2, glance_deg=20.0)
_FLOOR_HIP_M = 0.10  # height of the hip joint of someone who sits or lies on the floor


@dataclass(frozen=True)
class Segment:
    """One sub-activity from start to end, seconds of the motion.

    Attributes:
        label: its name, such as "typing".
        hands_m: where the hands are: ahead of the body and above the floor; None for out of sight.
        held: tool and thing between the hands (`synthkitchen.hands.SHAPES`), "" for none.
    """

    start_s: float
    end_s: float
    label: str
    hands_m: tuple[float, float] | None = None
    held: tuple[str, str] = ("", "")


class Body:
    """What a body does during a take, collected sub-activity by sub-activity.

    Attributes:
        t: seconds up to which the scenario is told.
        trunk, drop: bend of the trunk (rad) and how far the hips sink (m).
        ahead, lean, up: further shifts of the neck, m; yaw, pitch, roll: turns of the head, rad (pitch down positive).
        recline, log: trunk leaned back from upright (pi / 2 is lying on the back), and rolled about its long axis, rad.
        moved, turned, rattled: sums of oscillations: neck (forward, left, up), head and glasses (yaw, pitch, roll).
        carry_xy, carry_yaw: path of a body that runs or climbs, by which the whole is carried; zero for the rest.
    """

    def __init__(self, person: Person, duration_s: float, rng: np.random.Generator, *, calm: float = 1.0):
        """`calm` scales sway and shakes against standing: 0.45 on a seat, as in the kitchens."""
        self.person, self.duration_s, self.rng = person, duration_s, rng
        self.doer = replace(person, sway=calm * person.sway, vigour=calm**0.5 * person.vigour)
        self.n = int(round(duration_s * KNOT_HZ)) + 1
        self.t = 0.0
        self.segments: list[Segment] = []
        self.stances: list[Stance] = []
        self.path: list[tuple[float, float, float, float]] = [(0.0, 0.0, 0.0, 0.0)]  # t, x, y, yaw of the walker
        self.impacts: list[tuple[float, float, float]] = []
        self.trunk, self.drop, self.ahead, self.lean, self.up = (self.track() for _ in range(5))
        self.yaw, self.pitch, self.roll = (self.track() for _ in range(3))
        self.recline, self.log = self.track(), self.track()
        self.moved, self.turned, self.rattled = (np.zeros((3, self.n)) for _ in range(3))
        self.carry_xy, self.carry_yaw = np.zeros((2, self.n)), np.zeros(self.n)

    def track(self, start: float = 0.0) -> Track:
        """A minimum-jerk track over the whole take."""
        return Track(self.n, KNOT_HZ, start)

    @property
    def over(self) -> bool:
        """Whether the take's time is used up."""
        return self.t >= self.duration_s

    @property
    def floor_drop_m(self) -> float:
        """How far the hips sink from standing to sitting on the floor."""
        return HIP * self.person.height_m - _FLOOR_HIP_M

    # -- telling the scenario ----------------------------------------------------------------------------

    def do(
        self,
        label: str,
        seconds: float,
        profile: MotionProfile | None = None,
        target: tuple[float, float] = (1.0, 0.4),
        *,
        hands: tuple[float, float] | None = None,
        held: tuple[str, str] = ("", ""),
    ) -> tuple[float, float]:
        """The next sub-activity; returns its start and end, seconds.

        Args:
            profile: what the kitchens' head does meanwhile; None leaves it walking.
            target: height and distance of the point where the hands act, metres.
        """
        start, end = self.t, min(self.t + seconds, self.duration_s)
        if end - start > 0.02:
            self.segments.append(Segment(start, end, label, hands, held))
            if profile is not None:
                self.stances.append(Stance(start, end, profile, *target))
        self.t = start + seconds
        return start, end

    def turn_to(self, yaw_rad: float, *, rate_radps: float = 1.5) -> None:
        """Turn on the spot towards a heading of the walker's path, at a mean rate; takes time, tells nothing."""
        t, x, y, yaw = self.path[-1]
        change = float(np.angle(np.exp(1j * (yaw_rad - yaw))))
        self._hold(t, x, y, yaw)
        self.t += abs(change) / rate_radps + 0.05
        self.path.append((self.t, x, y, yaw + change))

    def _hold(self, t: float, x: float, y: float, yaw: float) -> None:
        if self.t > t + 1e-6:
            self.path.append((self.t, x, y, yaw))

    # -- single movements --------------------------------------------------------------------------------

    def spread(self, sigma: float) -> float:
        """A factor about 1, log-normal."""
        return float(np.exp(self.rng.normal(0.0, sigma)))

    def thump(self, t_s: float, size_mps2: float, sharp: float = 1.0) -> None:
        """Something hits, as it arrives at the head: peak acceleration near 9 Hz, and `sharp` times it near 17 Hz."""
        self.impacts.append((t_s, size_mps2, sharp * size_mps2))

    def rhythm(
        self,
        start_s: float,
        end_s: float,
        hz: float,
        *,
        mm: tuple[float, float, float] = (0.0, 0.0, 0.0),
        deg: tuple[float, float, float] = (0.0, 0.0, 0.0),
        ramp_s: float = 0.4,
        drift: float = 0.05,
        phases: Float[np.ndarray, "2 3"] | None = None,
    ) -> None:
        """An oscillation that comes and goes smoothly; frequency and size wander.

        Args:
            mm: amplitudes of the neck, forward, left, up; deg: of the head, yaw, pitch, roll.
            phases: of the six, rad, so that several rhythms can keep to one beat; drawn where None.
        """
        i, j = max(int(start_s * KNOT_HZ), 0), min(int(end_s * KNOT_HZ), self.n)
        if (j - i) / KNOT_HZ < 2.2 * ramp_s:
            return
        envelope = Track(j - i, KNOT_HZ)
        envelope.to(0.0, 1.0, ramp_s)
        envelope.to((j - i) / KNOT_HZ - ramp_s - 0.02, 0.0, ramp_s)
        wander = slow_noise(self.rng, j - i, KNOT_HZ, 0.1, 0.8, channels=2)
        phase = 2 * np.pi * np.cumsum(hz * (1.0 + drift * wander[0])) / KNOT_HZ
        size = envelope.values() * np.exp(2.5 * drift * wander[1])
        if phases is None:
            phases = self.rng.uniform(-np.pi, np.pi, (2, 3))
        for axis in range(3):
            if mm[axis]:
                self.moved[axis, i:j] += 1e-3 * mm[axis] * size * np.cos(phase + phases[0, axis])
            if deg[axis]:
                self.turned[axis, i:j] += np.deg2rad(deg[axis]) * size * np.cos(phase + phases[1, axis])

    def wobble(
        self, start_s: float, end_s: float, low_hz: float, high_hz: float, *, mm=(0, 0, 0), deg=(0, 0, 0)
    ) -> None:
        """Irregular motion of given standard deviations in a band, eased in and out over half a second."""
        i, j = max(int(start_s * KNOT_HZ), 0), min(int(end_s * KNOT_HZ), self.n)
        if j - i < 1.2 * KNOT_HZ:
            return
        window = Track(j - i, KNOT_HZ)
        window.to(0.0, 1.0, 0.5)
        window.to((j - i) / KNOT_HZ - 0.52, 0.0, 0.5)
        noise = band_noise(self.rng, j - i, KNOT_HZ, low_hz, high_hz, channels=6) * window.values()
        for axis in range(3):
            self.moved[axis, i:j] += 1e-3 * mm[axis] * noise[axis]
            self.turned[axis, i:j] += np.deg2rad(deg[axis]) * noise[3 + axis]

    # -- putting it together -----------------------------------------------------------------------------

    def motion(self, seed: int) -> HeadMotion:
        """The kitchens' head with everything on top: knots every 5 ms from 0 to the end of the take."""
        t, x, y, yaw = self._walked()
        base = head_motion(MotionPlan(self.duration_s, self._filled(), t, np.stack([x, y], 1), yaw), self.doer, seed)
        grid = np.arange(self.n) / KNOT_HZ
        facing = gaussian_smooth(np.interp(grid, t, yaw), 0.2, KNOT_HZ)
        self._land()
        recline = self.recline.values()
        position, ypr = base.knots[:, :3].copy(), base.knots[:, 3:]
        still = 1.0 - 0.85 * np.sin(recline)[:, None]  # who lies doesn't sway
        anchor = np.stack([np.interp(grid, t, x), np.interp(grid, t, y), np.full(self.n, np.median(position[:, 2]))], 1)
        if recline.any():
            position = anchor + (position - anchor) * still
        own = np.stack([self.yaw.values(), self.pitch.values(), self.roll.values()], 1) + (self.turned + self.rattled).T
        turned = ypr + own
        turned[:, 1] = 1.45 * np.tanh(turned[:, 1] / 1.45)
        if recline.any():
            turned = _laid(turned, facing, recline, self.log.values())
        offset = self._offset(recline) + self.moved
        c, s = np.cos(facing), np.sin(facing)
        position[:, 0] += c * offset[0] - s * offset[1]
        position[:, 1] += s * offset[0] + c * offset[1]
        position[:, 2] += offset[2]
        slow = [np.stack([gaussian_smooth(v, 0.03, KNOT_HZ) for v in a.T], 1) for a in (turned, ypr)]
        position += (rotation(slow[0]) - rotation(slow[1])) @ np.array(DEVICE_FROM_NECK_M)  # glasses rattle in place
        c, s = np.cos(self.carry_yaw), np.sin(self.carry_yaw)
        carried = np.stack([c * position[:, 0] - s * position[:, 1], s * position[:, 0] + c * position[:, 1]], 1)
        position[:, :2] = carried + self.carry_xy.T
        turned[:, 0] += self.carry_yaw
        return HeadMotion(position, turned)

    def _walked(self) -> tuple[np.ndarray, ...]:
        path = np.array([*self.path, (max(self.duration_s, self.path[-1][0]) + 1.0, *self.path[-1][1:])])
        path = path[np.r_[True, np.diff(path[:, 0]) > 1e-6]]
        return tuple(path.T)

    def _filled(self) -> tuple[Stance, ...]:
        """Stances in order; where the body is carried or stands, gaps of a few samples are none."""
        return tuple(s for s in self.stances if s.end_s - s.start_s > 0.02)

    def _offset(self, recline: Float[np.ndarray, " n"]) -> Float[np.ndarray, "3 n"]:
        """Forward, left and up of the neck by posture, m."""
        upright = neck_offset(self.person, np.zeros(1), np.zeros(1))
        ahead, up = neck_offset(self.person, self.trunk.values(), self.drop.values())
        length = (NECK - HIP) * self.person.height_m
        roll = 0.07 * np.sin(self.log.values()) ** 2  # on the side the head lies on an arm
        return np.stack([
            ahead - upright[0] + self.ahead.values() - length * np.sin(recline),
            self.lean.values(),
            up - upright[1] + self.up.values() - length * (1.0 - np.cos(recline)) + roll,
        ])  # fmt: skip

    def _land(self) -> None:
        """Thumps as short damped transients, mostly along the spine; the glasses rattle as at a heel strike of walking.

        Shares and frequencies are those of the kitchens' gait (`synthkitchen.gait`); glasses rattle four times as much
        as there (12 and 20 rad/s2 for 1 m/s2), set with ClassyGlass 1A's running and stairs in view.
        """
        events = np.array([e for e in self.impacts if 0.0 < e[0] < self.duration_s]).reshape(-1, 3)
        t_s, size, sharp = events.T
        draw = lambda: np.exp(0.25 * self.rng.standard_normal(len(events)))  # noqa: E731
        for axis, share, hz in ((2, 1.0, 9.0), (0, 0.3, 8.0), (1, 0.15, 10.0)):
            each = share * draw()
            add_transients(self.moved[axis], t_s, each * size, hz, 0.035, KNOT_HZ)
            add_transients(self.moved[axis], t_s - 0.010, each * sharp, 17.0, 0.036, KNOT_HZ)
        add_transients(self.rattled[1], t_s, 4.0 * sharp, 8.0, 0.05, KNOT_HZ)
        for axis, share in ((0, 0.5), (1, 1.0), (2, 0.8)):
            loose = share * self.person.rattle * sharp * draw()
            add_transients(self.rattled[axis], t_s, 12.0 * loose, 17.0, 0.03, KNOT_HZ)
            add_transients(self.rattled[axis], t_s - 0.003, 20.0 * loose, 30.0, 0.015, KNOT_HZ)


def _laid(
    ypr: Float[np.ndarray, "n 3"], facing: Float[np.ndarray, " n"], recline: Float[np.ndarray, " n"], log: np.ndarray
) -> Float[np.ndarray, "n 3"]:
    """Yaw, pitch, roll of a head on a trunk that leans back and rolls: Rz(facing) Ry(-recline) Rz(log) R(head)."""
    zero = np.zeros_like(facing)
    head = rotation(ypr - np.stack([facing, zero, zero], 1))
    trunk = rotation(np.stack([facing, -recline, zero], 1)) @ rotation(np.stack([log, zero, zero], 1))
    turned = trunk @ head
    yaw = np.unwrap(np.arctan2(turned[:, 1, 0], turned[:, 0, 0]))
    roll = np.unwrap(np.arctan2(turned[:, 2, 1], turned[:, 2, 2]))
    yaw += 2 * np.pi * np.round((ypr[0, 0] - yaw[0]) / (2 * np.pi))
    return np.stack([yaw, -np.arcsin(np.clip(turned[:, 2, 0], -1.0, 1.0)), roll], axis=1)
