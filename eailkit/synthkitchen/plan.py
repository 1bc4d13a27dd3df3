"""A take as a plan: which action, at which fixture, standing where, and how the body gets there.

The plan knows the room. `TakePlan.motion_plan` strips it down to the numbers that motion may see
(`MotionPlan`); labels, narrations and rendering hints are made from the full plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from eailkit.errors import ConfigError
from eailkit.synthkitchen.actions import ACTION_INDEX, ACTIONS, Action
from eailkit.synthkitchen.motion_plan import MotionPlan, Stance
from eailkit.synthkitchen.paths import FloorPaths, speed_along
from eailkit.synthkitchen.person import Person
from eailkit.synthkitchen.recipes import draw_steps
from eailkit.synthkitchen.room import Room

WALK = ACTION_INDEX["walk"]
_INSTEAD = {"load dishwasher": "wash dishes", "unload dishwasher": "dry dishes", "heat in microwave": "stir"}
_MIN_WALK_M = 0.45  # shorter moves are steps of the next action, facing what one faces


@dataclass(frozen=True)
class Segment:
    """One action from start to end (seconds of the plan).

    Attributes:
        action: index into ACTIONS.
        fixture: index into the room's fixtures, -1 for none; for a walk, where it leads.
        stand_xy_m, facing_rad: nominal standing pose in the map frame (small steps vary it).
        target_height_m, target_distance_m: where the hands act, above the floor and from the body.
        seated: whether the body sits.
    """

    start_s: float
    end_s: float
    action: int
    fixture: int
    stand_xy_m: tuple[float, float]
    facing_rad: float
    target_height_m: float
    target_distance_m: float
    seated: bool = False


@dataclass(frozen=True)
class TakePlan:
    """Segments without gaps from 0 to duration_s, and the body's path (see MotionPlan for its fields)."""

    duration_s: float
    recipe: str
    segments: tuple[Segment, ...]
    path_t_s: Float[np.ndarray, " k"]
    path_xy_m: Float[np.ndarray, "k 2"]
    path_yaw_rad: Float[np.ndarray, " k"]

    def motion_plan(self) -> MotionPlan:
        """The numbers that motion may see: no fixture, no place name, no room."""
        stances = tuple(
            Stance(
                start_s=s.start_s,
                end_s=s.end_s,
                profile=replace(ACTIONS[s.action].profile, seated=float(s.seated)),
                target_height_m=s.target_height_m,
                target_distance_m=s.target_distance_m,
            )
            for s in self.segments
            if s.action != WALK
        )
        return MotionPlan(self.duration_s, stances, self.path_t_s, self.path_xy_m, self.path_yaw_rad)


def plan_take(
    room: Room,
    person: Person,
    minutes: float,
    seed: int,
    *,
    paths: FloorPaths | None = None,
    steps: Sequence[str] | None = None,
) -> TakePlan:
    """What a person does in a room for so many minutes; the same for the same arguments.

    Args:
        paths: shortest paths of the room, shared between its takes for speed.
        steps: names of actions to do in this order, over and over, instead of a recipe.

    Raises:
        ConfigError: minutes isn't positive, a step is no action, or the room has a place for none of them.
    """
    if not minutes > 0:
        raise ConfigError(f"minutes: found {minutes:g}; expected a positive take length; give for example 5.")
    unknown = [name for name in steps or () if name not in ACTION_INDEX]
    if unknown:
        raise ConfigError(f"steps: found '{unknown[0]}'; expected names of actions; see ACTION_NAMES.")
    paths = paths or FloorPaths(room.free, room.free_origin_xy_m, room.free_pitch_m)
    return _Planner(room, person, paths, 60.0 * minutes, np.random.default_rng([seed, 0x9147])).run(steps)


class _Planner:
    """Where the body is now, and what has been planned so far."""

    def __init__(self, room: Room, person: Person, paths: FloorPaths, duration_s: float, rng: np.random.Generator):
        self.room, self.person, self.paths, self.duration_s, self.rng = room, person, paths, duration_s, rng
        self.t = 0.0
        self.fixture = -1
        self.station = -1  # the worktop that this cook keeps returning to
        self.xy = self._free_spot()
        self.yaw = float(rng.uniform(-np.pi, np.pi))
        self.segments: list[Segment] = []
        self.path: list[tuple[float, float, float, float]] = [(0.0, *self.xy, self.yaw)]

    def run(self, steps: Sequence[str] | None = None) -> TakePlan:
        """Given steps, or those of a recipe, one after the other, until the time is filled."""
        recipe = "as told"
        if steps is None:
            steps, recipe = draw_steps(self.person, self.rng, at_least=int(self.duration_s / 5.0) + 12)
        turn, lap_s = 0, self.t
        while self.t < self.duration_s:
            self._step(steps[turn % len(steps)])
            turn += 1
            if turn % len(steps) == 0:
                if self.t == lap_s:
                    raise ConfigError(
                        f"steps: found {', '.join(sorted(set(steps)))}; expected at least one that room "
                        f"'{self.room.room_id}' has a place for; add 'wait', which happens anywhere."
                    )
                lap_s = self.t
        segments = [s for s in self.segments if s.start_s < self.duration_s - 0.05]
        segments[-1] = replace(segments[-1], end_s=self.duration_s)
        path = np.array(self.path)
        path = path[np.r_[True, np.diff(path[:, 0]) > 1e-6]]
        end = np.array([[self.duration_s, *(np.interp(self.duration_s, path[:, 0], path[:, k]) for k in (1, 2, 3))]])
        path = np.concatenate([path[path[:, 0] < self.duration_s - 1e-6], end])
        return TakePlan(self.duration_s, recipe, tuple(segments), path[:, 0], path[:, 1:3], path[:, 3])

    def _step(self, name: str) -> None:
        action = ACTIONS[ACTION_INDEX[name]]
        if name == "walk":
            self._walk_to(self._free_spot(), None, -1)
            return
        fixture = self._choose_fixture(action)
        if fixture is None:
            if name not in _INSTEAD:
                return
            action = ACTIONS[ACTION_INDEX[_INSTEAD[name]]]
            fixture = self._choose_fixture(action)
            if fixture is None:
                return
        if fixture >= 0:
            target = self.room.fixtures[fixture]
            stand = self._stand(np.asarray(target.stand_xy_m, float), 0.02 if target.kind == "chair" else 0.06)
            facing = target.facing_rad if target.kind == "chair" else self._toward(stand, target.work_point_m)
            self._walk_to(stand, facing + self.rng.normal(0.0, 0.1), fixture)
        elif self.rng.random() < 0.3:
            self._walk_to(self._free_spot(), self.yaw + self.rng.normal(0.0, 1.2), -1)
        self._stay(action, fixture)

    def _choose_fixture(self, action: Action) -> int | None:
        """-1 for anywhere, None if the room has no fitting fixture."""
        if not action.fixtures:
            return -1
        weights = np.zeros(len(self.room.fixtures))
        kinds = [f.kind for f in self.room.fixtures]
        for kind, weight in action.fixtures:
            here = [i for i, k in enumerate(kinds) if k == kind]
            for i in here:
                distance = float(np.hypot(*(np.asarray(self.room.fixtures[i].stand_xy_m) - self.xy)))
                near = np.exp(-distance / 2.5) * (3.0 if i in (self.fixture, self.station) else 1.0)
                weights[i] = weight / len(here) * near
        if weights.sum() == 0:
            return None
        chosen = int(self.rng.choice(len(weights), p=weights / weights.sum()))
        if kinds[chosen] in ("counter", "island", "table"):
            self.station = chosen
        return chosen

    def _free_spot(self) -> np.ndarray:
        return self.paths.centre(int(self.rng.integers(len(self.paths.cells)))).copy()

    def _stand(self, nominal: np.ndarray, spread_m: float) -> np.ndarray:
        for _ in range(4):
            xy = nominal + self.rng.normal(0.0, spread_m, 2)
            if self.paths.straight(nominal, xy):
                return xy
        return nominal

    def _toward(self, xy: np.ndarray, point: np.ndarray) -> float:
        return float(np.arctan2(point[1] - xy[1], point[0] - xy[0]))

    def _turned(self, yaw: float) -> float:
        """The same heading, unwrapped so that the turn from the present one is the short way."""
        return self.yaw + float(np.angle(np.exp(1j * (yaw - self.yaw))))

    def _mark(self, xy: np.ndarray, yaw: float) -> None:
        self.xy, self.yaw = np.asarray(xy, float), float(yaw)
        self.path.append((self.t, float(self.xy[0]), float(self.xy[1]), self.yaw))

    def _walk_to(self, goal: np.ndarray, facing: float | None, fixture: int) -> None:
        self.fixture = fixture
        distance = float(np.hypot(*(goal - self.xy)))
        if distance < _MIN_WALK_M and self.paths.straight(self.xy, goal):
            turn = 0.0 if facing is None else abs(self._turned(facing) - self.yaw)
            self.t += max(0.5 + distance / 0.6, turn / 1.8) / self.person.tempo
            self._mark(goal, self.yaw if facing is None else self._turned(facing))
            return  # a side step belongs to the next action
        cruise_mps = self.person.walk_mps * float(np.exp(self.rng.normal(0.0, 0.12)))
        self._follow(self.paths.path(self.xy, goal), cruise_mps, facing)
        stand = (float(goal[0]), float(goal[1]))
        start_s = self.segments[-1].end_s if self.segments else 0.0
        self.segments.append(Segment(start_s, self.t, WALK, fixture, stand, self.yaw, 1.0, 1.0))

    def _follow(self, path: np.ndarray, cruise_mps: float, facing: float | None) -> None:
        t = speed_along(path, cruise_mps)
        ahead = np.minimum(np.arange(len(path)) + 10, len(path) - 1)  # 0.25 m: one looks where one will walk
        behind = np.maximum(ahead - 4, 0)
        tangent = np.unwrap(np.arctan2(*(path[ahead] - path[behind]).T[::-1]))
        tangent += self._turned(tangent[0]) - tangent[0]
        first_turn = abs(tangent[0] - self.yaw)
        self.t += 0.5 * max(first_turn - 0.4, 0.0) / 2.5 + 0.05
        self._mark(self.xy, self.yaw + 0.6 * (tangent[0] - self.yaw))
        t_start = self.t + 0.05
        keep = np.unique(np.r_[0 : len(path) : 2, len(path) - 1])
        for i in keep:
            self.t = t_start + float(t[i])
            self._mark(path[i], tangent[i])
        if facing is not None:
            turn = self._turned(facing)
            self.t += abs(turn - self.yaw) / 2.6 + 0.1
            self._mark(self.xy, turn)

    def _stay(self, action: Action, fixture: int) -> None:
        rng, person = self.rng, self.person
        median, sigma = action.duration_s
        length = float(np.clip(median * np.exp(rng.normal(0.0, sigma)) / np.sqrt(person.tempo), 2.0, 90.0))
        xy, facing, seated = self.xy, self.yaw, False
        start_s = self.segments[-1].end_s if self.segments else 0.0
        if fixture >= 0:
            target = self.room.fixtures[fixture]
            work = np.asarray(target.work_point_m, float)
            height = float(np.clip(work[2] + rng.normal(0.0, action.height_spread_m), 0.1, 2.1))
            distance = float(np.clip(np.hypot(*(work[:2] - xy)), 0.15, 0.9))
            seated = target.kind == "chair"
        elif action.name == "look at phone":
            work, height = None, float(person.height_m * rng.normal(0.72, 0.03))
            distance = float(rng.uniform(0.25, 0.4))
        else:
            work, height = None, float(rng.normal(1.2, 0.25))
            distance = float(rng.uniform(0.8, 2.5))
        end_s = self.t + length
        steps = 0 if seated else rng.poisson(action.profile.step_per_min * length / 60.0)
        for when in np.sort(rng.uniform(self.t + 0.3, end_s - 0.9, steps)) if length > 2.5 else ():
            if when < self.t:
                continue
            new = self._stand(xy, 0.07 if work is not None else 0.15)
            yaw = facing + rng.normal(0.0, 0.6) if work is None else self._toward(new, work) + rng.normal(0.0, 0.12)
            self.t = float(when)
            self._mark(self.xy, self.yaw)
            self.t += float(rng.uniform(0.5, 0.8))
            self._mark(new, self._turned(yaw))
        self.t = end_s
        self._mark(self.xy, self.yaw)
        index = ACTION_INDEX[action.name]
        pose = (float(xy[0]), float(xy[1]))
        self.segments.append(Segment(start_s, end_s, index, fixture, pose, facing, height, distance, seated))
