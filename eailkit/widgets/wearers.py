"""Panels on SynthKitchen's people: a gait, a reach, an action; what the IMU feels of each, and what it can't.

Every view simulates anew: head motion as a spline, Aria's sensor on it, then the gravity frame from the IMU alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from eailkit.plots.signals import spectrum
from eailkit.plots.theme import CYCLE, INK, styled, thin
from eailkit.preprocess.imu import gravity_align
from eailkit.recording import GRAVITY_MPS2, ImuStream
from eailkit.synthkitchen.actions import ACTION_INDEX, ACTION_NAMES
from eailkit.synthkitchen.camera import render_frames
from eailkit.synthkitchen.gait import REFERENCE_MPS
from eailkit.synthkitchen.motion import head_motion
from eailkit.synthkitchen.motion_plan import MotionPlan
from eailkit.synthkitchen.person import Person, draw_person
from eailkit.synthkitchen.plan import Segment, TakePlan, plan_take
from eailkit.synthkitchen.room import FIXTURE_KINDS, Fixture, Room
from eailkit.synthkitchen.sensor import simulate_imu
from eailkit.synthkitchen.take import frame_hints
from eailkit.widgets.kitchens import FRAME_PX, picture_trace
from eailkit.widgets.panel import Panel

WALK_S, SHOWN_S = 30.0, 5.0
ACTION_S = 12.0
_SEED, _COOK = 11, 21  # the cook eats on a chair and throws things into the bin of the example room
_LEAD_S = 2.0  # of the walk that leads to an action


@dataclass(frozen=True)
class WalkState:
    """A walk straight ahead.

    Attributes:
        speed_mps: of the body.
        cadence_hz: steps a second of somebody 1.70 m tall with this gait at 1.1 m/s.
        bounce, heel: against the average person's, see `Person`.
        height_m: standing height; the taller, the slower the steps at one speed.
    """

    speed_mps: float = 0.95
    cadence_hz: float = 1.6
    bounce: float = 1.0
    heel: float = 1.0
    height_m: float = 1.7


def step_rate_hz(state: WalkState) -> float:
    """Steps a second that the simulator aims at: c sqrt(1.70 / h) (v / 1.1)^0.38, Hz."""
    return float(state.cadence_hz * np.sqrt(1.70 / state.height_m) * (state.speed_mps / REFERENCE_MPS) ** 0.38)


def walk_imu(state: WalkState, seed: int = _SEED, seconds: float = WALK_S) -> ImuStream:
    """The IMU of a walk straight ahead, in the gravity frame (z up), 800 Hz or so, on its own clock."""
    person = replace(
        draw_person(seed), height_m=state.height_m, walk_mps=state.speed_mps, bounce=state.bounce, heel=state.heel,
        cadence_hz=state.cadence_hz * float(np.sqrt(1.70 / state.height_m)),
    )  # fmt: skip
    t = np.linspace(0.0, seconds, 400)
    plan = MotionPlan(seconds, (), t, np.stack([state.speed_mps * t, 0.0 * t], axis=1), 0.0 * t)
    return gravity_align(simulate_imu(head_motion(plan, person, seed), seed=seed))


def measured_step_rate_hz(imu: ImuStream) -> float:
    """Where the vertical force of a walk in the gravity frame has its peak between 0.8 and 4 Hz."""
    frequency, power = spectrum(imu.acc_mps2[:, 2], imu.rate_hz, seconds=10.0)
    inside = (frequency >= 0.8) & (frequency <= 4.0)
    return float(frequency[inside][power[inside].argmax()])


def walk_view(state: WalkState) -> go.Figure:
    """Five seconds of vertical force and yaw rate of a walk, and the spectrum of thirty."""
    imu = walk_imu(state)
    figure = make_subplots(2, 2, specs=[[{}, {"rowspan": 2}], [{}, None]], column_widths=[0.6, 0.4])
    part = imu.crop(imu.t_s[0] + 10.0, imu.t_s[0] + 10.0 + SHOWN_S)
    t = part.t_s - part.t_s[0]
    rows = (
        (1, part.acc_mps2[:, 2] - GRAVITY_MPS2, "vertical force - 9.81", CYCLE[5]),
        (2, part.gyro_radps[:, 2], "yaw rate", CYCLE[1]),
    )
    for row, values, name, colour in rows:
        figure.add_trace(_line(t, values, name, colour), row=row, col=1)
    frequency, power = spectrum(imu.acc_mps2[:, 2], imu.rate_hz, seconds=10.0)
    inside = (frequency > 0.2) & (frequency < 60.0)
    figure.add_trace(_line(frequency[inside], power[inside], "its spectrum", CYCLE[5]), row=1, col=2)
    aimed, found = step_rate_hz(state), measured_step_rate_hz(imu)
    figure.add_vline(x=aimed, line={"color": INK, "dash": "dot"}, row=1, col=2)
    title = f"{found:.1f} steps a second (dotted: the formula's {aimed:.2f} Hz)"
    styled(figure, title, height=460, showlegend=False)
    figure.update_yaxes(title_text="vertical force - g (m/s²)", range=[-12, 12], row=1, col=1)
    figure.update_yaxes(title_text="yaw rate (rad/s)", range=[-1.5, 1.5], row=2, col=1)
    figure.update_xaxes(title_text="time (s)", row=2, col=1)
    figure.update_xaxes(title_text="frequency (Hz)", type="log", row=1, col=2)
    return figure.update_yaxes(
        title_text="power of the vertical force ((m/s²)²/Hz)", type="log", exponentformat="power", range=[-6, 2],
        row=1, col=2,
    )  # fmt: skip


def walk_panel() -> Panel:
    """Play with a gait."""
    presets = {
        "an average walk": WalkState(),
        "slow walks are quiet": WalkState(speed_mps=0.5),
        "soft soles: no heel strikes": WalkState(heel=0.0),
        "the same walk, 1.95 m tall": WalkState(height_m=1.95),
    }
    controls = {
        "speed_mps": (0.4, 1.4, 0.05), "cadence_hz": (1.2, 2.6, 0.05), "bounce": (0.0, 2.5, 0.1),
        "heel": (0.0, 4.0, 0.2), "height_m": (1.5, 2.0, 0.01),
    }  # fmt: skip
    return Panel(walk_view, WalkState(), controls, presets)


@dataclass(frozen=True)
class TouchState:
    """What the hands work at: what it is called, how high and how far from the body its work point is, metres."""

    kind: str
    height_m: float
    distance_m: float


def touch_plan(fixture: Fixture, *, action: str = "pour", seconds: float = 9.0) -> TakePlan:
    """Standing before a fixture and doing one action from the second second on, planned as `plan_take` plans it."""
    gap = fixture.work_point_m[:2] - fixture.stand_xy_m
    segment = Segment(
        1.0, seconds, ACTION_INDEX[action], 0, tuple(fixture.stand_xy_m), fixture.facing_rad,
        float(fixture.work_point_m[2]), float(np.hypot(*gap)), seated=fixture.kind == "chair",
    )  # fmt: skip
    t, yaw = np.array([0.0, seconds]), np.full(2, fixture.facing_rad)
    return TakePlan(seconds, "touch", (segment,), t, np.tile(fixture.stand_xy_m, (2, 1)), yaw)


def felt(plan: TakePlan, person: Person, seed: int = _SEED) -> ImuStream:
    """The IMU of a plan, sensor axes: plan -> its bare numbers -> head motion -> sensor."""
    return simulate_imu(head_motion(plan.motion_plan(), person, seed), seed=seed)


def touched(fixture: Fixture, state: TouchState) -> Fixture:
    """A fixture called something else, with its work point at another height and distance from where one stands."""
    ahead = np.array([np.cos(fixture.facing_rad), np.sin(fixture.facing_rad)])
    work = np.array([*(fixture.stand_xy_m + state.distance_m * ahead), state.height_m])
    return replace(fixture, kind=state.kind, name=state.kind, work_point_m=work)


def touch_panel(room: Room) -> Panel:
    """Rename a worktop, lift it, push it away: which of these can an IMU feel?"""
    first, person = room.of_kind("counter")[0], draw_person(_SEED)
    gap = float(np.hypot(*(first.work_point_m[:2] - first.stand_xy_m)))
    start = TouchState("counter", round(float(first.work_point_m[2]), 2), round(gap, 2))
    before = felt(touch_plan(touched(first, start)), person)
    t = before.t_s - before.t_s[0]
    shown = (t > 0.5) & (t < 8.5)  # a motion's first and last instants are the spline's ends

    def view(state: TouchState) -> go.Figure:
        after = felt(touch_plan(touched(first, state)), person)
        same = np.array_equal(before.acc_mps2, after.acc_mps2) and np.array_equal(before.gyro_radps, after.gyro_radps)
        figure = make_subplots(2, 1, shared_xaxes=True, vertical_spacing=0.06)
        name = f"{state.kind}, {state.height_m:.2f} m high, {state.distance_m:.2f} m away"
        for stream, label, colour in ((before, f"counter, {start.height_m:.2f} m high", INK), (after, name, CYCLE[5])):
            force, turning = (np.linalg.norm(v[shown], axis=1) for v in (stream.acc_mps2, stream.gyro_radps))
            for row, values in ((1, force - GRAVITY_MPS2), (2, turning)):
                line = _line(t[shown], values, label, colour, width=3.0 if stream is before else 1.4)
                line.legendgroup, line.showlegend = label, row == 1
                figure.add_trace(line, row=row, col=1)
        off = float(np.abs(after.acc_mps2 - before.acc_mps2)[shown].max())
        said = "bit-identical to the counter's IMU" if same else f"another IMU: up to {off:.1f} m/s² apart"
        styled(figure, f"“pour” at a {state.kind}: {said}", height=420)
        figure.update_yaxes(title_text="|acc| - g (m/s²)", row=1, col=1)
        figure.update_yaxes(title_text="|gyro| (rad/s)", row=2, col=1)
        return figure.update_xaxes(title_text="time (s)", row=2, col=1)

    presets = {
        "a stove of the same height feels the same": replace(start, kind="stove"),
        "a low table is felt": replace(start, kind="table", height_m=0.5),
        "farther away is felt": replace(start, distance_m=0.85),
    }
    kinds = [k for k in FIXTURE_KINDS if k != "chair"]  # one sits on a chair, and sitting is motion
    controls = {"kind": kinds, "height_m": (0.1, 2.0, 0.01), "distance_m": (0.15, 0.9, 0.01)}
    return Panel(view, start, controls, presets)


@dataclass(frozen=True)
class ActionState:
    """One of the 35 actions, the wearer's height, and the second of which the frame is shown."""

    action: str = "take from base cabinet"
    height_m: float = 1.7
    second: int = 6


def action_panel(room: Room) -> Panel:
    """Watch an action: the head's height and pitch, what the IMU feels, what the glasses see."""

    @lru_cache(maxsize=16)
    def acted(action: str, height_m: float):
        person = replace(draw_person(_COOK), height_m=height_m)
        plan = plan_take(room, person, 0.7, _COOK, steps=[action])
        start = next(s.start_s for s in plan.segments if s.action == ACTION_INDEX[action])
        motion = head_motion(plan.motion_plan(), person, _COOK)
        imu = gravity_align(simulate_imu(motion, seed=_COOK, rate_hz=800.0))
        return person, plan, min(max(start - _LEAD_S, 0.0), motion.duration_s - ACTION_S), motion, imu

    def view(state: ActionState) -> go.Figure:
        person, plan, start, motion, imu = acted(state.action, state.height_m)
        t = np.arange(0.0, ACTION_S, 0.02)
        value, _, _ = motion.coordinates(start + t)
        part = imu.crop(imu.t_s[0] + start, imu.t_s[0] + start + ACTION_S)
        clock = part.t_s - part.t_s[0]
        figure = make_subplots(
            4, 2, specs=[[{}, {"rowspan": 4}]] + [[{}, None]] * 3, column_widths=[0.62, 0.38], vertical_spacing=0.05
        )
        rows = (
            (t, value[:, 2], "head (m)", CYCLE[2]), (t, np.degrees(value[:, 4]), "pitch (° down)", CYCLE[3]),
            (clock, part.acc_mps2[:, 2] - GRAVITY_MPS2, "vertical<br>force - g<br>(m/s²)", CYCLE[5]),
            (clock, part.gyro_radps[:, 2], "yaw rate<br>(rad/s)", CYCLE[1]),
        )  # fmt: skip
        for row, (x, y, name, colour) in enumerate(rows, start=1):
            figure.add_trace(_line(x, y, name, colour), row=row, col=1)
            figure.add_vline(x=state.second, line={"color": INK, "dash": "dot"}, row=row, col=1)
            figure.update_yaxes(title={"text": name, "font": {"size": 11}}, row=row, col=1)
            figure.update_xaxes(showticklabels=row == 4, row=row, col=1)
        when = np.array([start + state.second])
        pose = motion.sample(when)
        hands, held = frame_hints(plan, room, person, when, pose.position_m)
        image = render_frames(
            room, pose.position_m, pose.quat_world_head_xyzw, size=FRAME_PX, hands_world_m=hands, held_rgb=held
        )
        figure.add_trace(picture_trace(image[0]), row=1, col=2)
        figure.update_xaxes(title_text="time (s)", row=4, col=1)
        figure.update_xaxes(visible=False, row=1, col=2)
        figure.update_yaxes(visible=False, row=1, col=2)
        now = next(s for s in reversed(plan.segments) if s.start_s <= when[0])
        place = f" at the {room.fixtures[now.fixture].kind.replace('_', ' ')}" if now.fixture >= 0 else ""
        title = f"At {state.second} s: “{ACTION_NAMES[now.action]}”{place}, wearer {state.height_m:.2f} m tall"
        return styled(figure, title, height=520, showlegend=False)

    presets = {
        "a low cabinet bends the trunk": ActionState("take from base cabinet", 1.9),
        "a wall cabinet doesn't": ActionState("take from wall cabinet", 1.9),
        "stirring hardly moves the head": ActionState("stir", 1.7, 8),
        "sitting down to eat": ActionState("eat", 1.7, 11),
    }
    controls = {"action": list(ACTION_NAMES), "height_m": (1.5, 2.0, 0.05), "second": (0, 11, 1)}
    return Panel(view, ActionState(), controls, presets)


def _line(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], name: str, colour: str, *, width: float = 1.5):
    x, y = thin(np.asarray(x), np.asarray(y), 1200)
    line = {"color": colour, "width": width}
    return go.Scatter(x=x, y=y, name=name, mode="lines", line=line)
