"""One take of a scenario in memory: what the body does, the sensor on its head, and the words about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from eailkit.errors import ConfigError
from eailkit.recording import ActionSegment, Narration, Recording
from eailkit.scenarios import HELD_OUT, PRETRAINING, chores, everyday, exercise, outing
from eailkit.scenarios.body import Body, Segment
from eailkit.scenarios.words import keysteps, narrate
from eailkit.synthkitchen.hands import shape_index
from eailkit.synthkitchen.person import Person
from eailkit.synthkitchen.sensor import ARIA_LEFT, ImuDevice, draw_device, simulate_imu
from eailkit.synthkitchen.spline import KNOT_HZ, HeadMotion
from eailkit.synthkitchen.take import sample_trajectory

_SCENARIOS: dict[str, Callable[[Body], None]] = {
    "walking about": everyday.walking_about, "stairs": outing.stairs, "running": outing.running,
    "desk work": everyday.desk_work, "floor work": everyday.floor_work, "talking": everyday.talking,
    "squats": exercise.squats, "jumping": exercise.jumping, "sweeping": chores.sweeping, "dancing": chores.dancing,
    "lifting boxes": chores.lifting_boxes, "balancing": exercise.balancing, "lying down": exercise.lying_down,
    "sit-ups": exercise.sit_ups,
}  # fmt: skip
_TAIL_S = 2.0  # simulated and cut off, so that nobody has to stop for the recording
_SITTING_CALM = 0.45  # of sway against standing, as in the kitchens


@dataclass(frozen=True)
class ScenarioTake:
    """A take and the truth behind it.

    Attributes:
        recording: what a reader would find, on the device clock, from the first IMU sample on.
        motion, labels: truth, seconds of the motion; 0 is the first IMU sample.
        device: clock and errors of the glasses.
        lead_s: motion seconds at which the take begins (take time 0); duration_s: its length.
    """

    recording: Recording
    motion: HeadMotion
    labels: tuple[Segment, ...]
    device: ImuDevice
    lead_s: float
    duration_s: float

    def device_time(self, motion_s: float | Float[np.ndarray, " n"]) -> Float[np.ndarray, "*n"]:
        """Seconds on the device clock of seconds of the motion."""
        return self.device.clock_offset_s + self.device.clock_rate * np.asarray(motion_s, float)


def simulate_scenario(
    name: str, person: Person, minutes: float, seed: int, *, take_name: str = "", device_seed: int | None = None
) -> ScenarioTake:
    """Simulate a person's take of a scenario; the same for the same arguments.

    Recording starts 3-8 s before the take and ends 1 s after it, as in the kitchens.

    Args:
        name: one of PRETRAINING or HELD_OUT.
        minutes: length of the take, at least 0.5.
        take_name: of the recording; the scenario's where empty.
        device_seed: of the glasses themselves; the take's seed where None.

    Raises:
        ConfigError: the scenario's name is unknown, or the take too short.
    """
    check_scenario(name)
    if not 0.5 <= minutes <= 240:
        raise ConfigError(f"minutes: found {minutes:g}; expected 0.5 to 240; give for example 3.")
    lead_s = float(np.round(np.random.default_rng([seed, 0x1EAD]).uniform(3.0, 8.0), 2))
    duration_s = 60.0 * minutes
    rng = np.random.default_rng([seed, 0x5CE7])
    sits = name == "desk work" or (name == "talking" and rng.random() < 0.5)
    body = Body(person, duration_s + lead_s + 1.0 + _TAIL_S, rng, calm=_SITTING_CALM if sits else 1.0)
    _SCENARIOS[name](body)
    motion = _cut(body.motion(seed), duration_s + lead_s + 1.0)
    labels = tuple(replace(s, end_s=min(s.end_s, motion.duration_s)) for s in body.segments)
    labels = tuple(s for s in labels if s.end_s - s.start_s > 0.02)
    device = draw_device(ARIA_LEFT, seed, device_seed=device_seed)
    clock = lambda t: float(device.clock_offset_s + device.clock_rate * t)  # noqa: E731
    first, last = lead_s, lead_s + duration_s
    recording = Recording(
        name=take_name or name,
        imu=simulate_imu(motion, ARIA_LEFT, seed, device=device),
        trajectory=sample_trajectory(motion, device, take_name or name),
        narrations=tuple(Narration(clock(n.t_s), n.text) for n in narrate(labels, seed) if first <= n.t_s <= last),
        actions=tuple(
            ActionSegment(clock(max(k.start_s, first)), clock(min(k.end_s, last)), k.label)
            for k in keysteps(labels, seed)
            if k.end_s > first + 0.2 and k.start_s < last - 0.2
        ),
    )
    return ScenarioTake(recording, motion, labels, device, lead_s, duration_s)


def _cut(motion: HeadMotion, seconds: float) -> HeadMotion:
    """The same motion up to a moment; curvatures stay, so that it doesn't come to rest there."""
    n = int(round(seconds * KNOT_HZ)) + 1
    short = HeadMotion(motion.knots[:n, :3], motion.knots[:n, 3:])
    short.curvature = motion.curvature[:n]
    return short


def check_scenario(name: str) -> None:
    """Refuse a name that is none of the scenarios'.

    Raises:
        ConfigError: with the names that there are.
    """
    if name not in _SCENARIOS:
        known = ", ".join(PRETRAINING + HELD_OUT)
        raise ConfigError(f"scenario: found '{name}'; expected one of {known}; correct the name.")


def scenario_hands(
    take: ScenarioTake, when_s: Float[np.ndarray, " n"], head_m: Float[np.ndarray, "n 3"], facing_rad: np.ndarray
) -> tuple[Float[np.ndarray, "n 2 3"], Float[np.ndarray, "n 4"]]:
    """Left and right hand (map frame, NaN where out of play) and what they hold, for `camera.render_frames`."""
    rng = np.random.default_rng(len(when_s))
    starts = np.array([s.start_s for s in take.labels])
    hands, held = np.full((len(when_s), 2, 3), np.nan), np.full((len(when_s), 4), np.nan)
    colour = rng.uniform(0.2, 0.9, 3)
    for i, at in enumerate(np.clip(np.searchsorted(starts, when_s, "right") - 1, 0, None)):
        segment = take.labels[at]
        if segment.hands_m is None:
            continue
        ahead, height = segment.hands_m
        forward = np.array([np.cos(facing_rad[i]), np.sin(facing_rad[i]), 0.0])
        point = np.array([*(head_m[i] + (ahead - 0.1) * forward)[:2], height])
        reach = point - head_m[i]
        point = head_m[i] + reach * min(1.0, 0.75 / max(float(np.linalg.norm(reach)), 1e-6))
        side = np.array([-forward[1], forward[0], 0.0])
        hands[i, 0] = point + 0.1 * side + rng.normal(0.0, 0.02, 3)
        hands[i, 1] = point - 0.1 * side + rng.normal(0.0, 0.02, 3)
        if segment.held != ("", ""):
            held[i] = [*colour, shape_index(*segment.held)]
    return hands, held
