"""The simulator beside real recordings, and the exercises of its notebook with their checks.

Spectra of lengths |acc| and |gyro|, which don't depend on how a sensor is mounted; the recorded comparison is read from
the ledger, never computed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from eailkit.errors import ConfigError
from eailkit.plots.signals import spectrum
from eailkit.plots.theme import CYCLE, INK, TRUTH, rgba, styled, thin
from eailkit.recording import GRAVITY_MPS2, ImuStream
from eailkit.synthkitchen.motion import head_motion
from eailkit.synthkitchen.person import draw_person
from eailkit.synthkitchen.plan import plan_take
from eailkit.synthkitchen.room import Room
from eailkit.synthkitchen.sensor import simulate_imu
from eailkit.widgets.wearers import WalkState, measured_step_rate_hz, walk_imu

_RIDDLE = (WalkState(height_m=1.55), WalkState(height_m=1.92))


def kitchen_walks(room: Room, people: int, seconds: float) -> tuple[ImuStream, ...]:
    """IMU of that many people who walk from place to place in a room, sensor axes, `seconds` each."""
    found = []
    for seed in range(people):
        plan = plan_take(room, draw_person(seed), seconds / 60.0, seed, steps=["walk"])
        found.append(simulate_imu(head_motion(plan.motion_plan(), draw_person(seed), seed), seed=seed))
    return tuple(found)


def beside_figure(real: ImuStream, simulated: Sequence[ImuStream], *, highest_hz: float = 128.0) -> go.Figure:
    """Power spectral densities of |acc| and |gyro|: one real recording over several simulated ones, up to `highest_hz`.

    Raises:
        ConfigError: nothing simulated is given.
    """
    if not simulated:
        raise ConfigError("simulated: found no recording; expected at least one to set beside the real one; give some.")
    figure = make_subplots(1, 2, subplot_titles=("|acc|", "|gyro|"), horizontal_spacing=0.13)
    for column, attribute in ((1, "acc_mps2"), (2, "gyro_radps")):
        for k, stream in enumerate([*simulated, real]):
            is_real = stream is real
            length = np.linalg.norm(getattr(stream, attribute), axis=1)
            frequency, power = spectrum(length, stream.rate_hz, seconds=4.0)
            keep = (frequency > 0.2) & (frequency <= highest_hz)
            colour, width = (TRUTH, 2.6) if is_real else (rgba(CYCLE[1], 0.75), 1.1)
            figure.add_trace(
                go.Scatter(
                    x=frequency[keep].astype(np.float32), y=power[keep].astype(np.float32), mode="lines",
                    name="real Aria walk" if is_real else "simulated people", legendgroup=str(is_real),
                    showlegend=column == 1 and (is_real or k == 0), line={"color": colour, "width": width},
                ),
                row=1, col=column,
            )  # fmt: skip
    title = f"A real walk of {real.duration_s:.1f} s and {len(simulated)} simulated ones of the same length"
    styled(figure, title, height=430, legend={"y": 1.09})
    figure.update_xaxes(title_text="frequency (Hz)", type="log")
    figure.update_yaxes(type="log", exponentformat="power", dtick=1)
    figure.update_yaxes(title_text="power ((m/s²)²/Hz)", col=1)
    return figure.update_yaxes(title_text="power ((rad/s)²/Hz)", col=2)


def realism_lines(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the ledger's table `realism` says, a sentence each; one sentence where it has no rows.

    Args:
        rows: `ledger.read("realism")`.
    """
    by_id = {row["id"]: row for row in rows}
    said = []
    for name, what in (
        ("all", "of all single-axis statistics"),
        ("tuned", "of those on activities that the simulator was tuned on"),
        ("held out", "of those on activities that it was never tuned on"),
        ("cross-axis", "of those on how axes move together, never tuned on"),
    ):
        if name in by_id:
            share = by_id[name]["mean"]["inside (%)"]
            said.append(f"{share:.0f} % {what} have their simulated median between the real wearers' p10 and p90.")
    for name, row in by_id.items():
        if name.startswith("classifier | "):
            for which, auc in row["mean"].items():
                said.append(
                    f"{name.removeprefix('classifier | ')}, {which.removeprefix('AUC, ')}: AUC {auc:.2f}, so of a real "
                    f"and a simulated window it picks out the real one {100 * auc:.0f} times in a hundred."
                )
    return said or ["The comparison with real wearers hasn't been recorded in this clone's results."]


def realism_figure(rows: Sequence[Mapping[str, Any]]) -> go.Figure | None:
    """Share of statistics inside the real range by activity, and the classifiers' AUC; None without rows."""
    shares = {r["id"]: r["mean"]["inside (%)"] for r in rows if "statistics" in r["config"]}
    found = {
        f"{r['id'].removeprefix('classifier | ')}, {name.removeprefix('AUC, ')}": auc
        for r in rows
        if r["id"].startswith("classifier | ")
        for name, auc in r["mean"].items()
    }
    if not shares and not found:
        return None
    figure = make_subplots(1, 2, column_widths=[0.6, 0.4], horizontal_spacing=0.22)
    for column, values, colour, text in ((1, shares, CYCLE[2], "%{x:.0f} %"), (2, found, CYCLE[1], "%{x:.2f}")):
        names = [name.replace("_", " ").replace(", ", ",<br>") for name in values]
        bars = go.Bar(
            x=list(values.values()), y=names, orientation="h", marker_color=colour, texttemplate=text, showlegend=False
        )
        figure.add_trace(bars, row=1, col=column)
    figure.add_vline(x=0.5, line={"color": INK, "dash": "dot"}, row=1, col=2)
    styled(figure, "Simulated beside real wearers (dotted: a coin)", height=380)
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(title_text="inside the real p10 to p90 (%)", range=[0, 105], row=1, col=1)
    return figure.update_xaxes(title_text="AUC, real against simulated", range=[0, 1.05], row=1, col=2)


def riddle_figure(seed: int = 0, *, seconds: float = 8.0) -> go.Figure:
    """Vertical force of two people who differ in height alone, in an order that the seed decides."""
    figure = make_subplots(2, 1, shared_xaxes=True, vertical_spacing=0.08)
    for row, (name, state) in enumerate(zip("AB", _shuffled(seed), strict=True), start=1):
        imu = walk_imu(state)
        part = imu.crop(imu.t_s[0] + 10.0, imu.t_s[0] + 10.0 + seconds)
        x, y = thin(part.t_s - part.t_s[0], part.acc_mps2[:, 2] - GRAVITY_MPS2, 1200)
        line = {"color": CYCLE[1 if row == 1 else 5], "width": 1.4}
        figure.add_trace(go.Scatter(x=x, y=y, mode="lines", name=name, line=line), row=row, col=1)
        figure.update_yaxes(title_text=f"{name}: vertical<br>force - g (m/s²)", range=[-6, 6], row=row, col=1)
    figure.update_xaxes(title_text="time (s)", dtick=1, row=2, col=1)
    return styled(figure, "Which of the two is taller?", height=400, showlegend=False)


def check_taller(answer: str, seed: int = 0) -> str:
    """Whether "A" or "B" is the taller person of `riddle_figure(seed)`."""
    if answer not in ("A", "B"):
        return "not yet: the answer is 'A' or 'B'"
    right = "AB"[int(np.argmax([state.height_m for state in _shuffled(seed)]))]
    return "right: longer legs, slower steps at the same speed" if answer == right else "not yet: count the steps"


def check_step_rate(state: WalkState, wanted_hz: float = 2.0, speed_mps: float = 0.7) -> str:
    """Whether somebody 1.70 m tall makes `wanted_hz` steps a second at a speed, measured in the simulated IMU."""
    if state.speed_mps != speed_mps or state.height_m != WalkState.height_m:
        return f"not yet: the walk stays at {speed_mps:g} m/s and the person at {WalkState.height_m:g} m"
    found = measured_step_rate_hz(walk_imu(state))
    verdict = "right" if abs(found - wanted_hz) <= 0.1 else "not yet"
    return f"{verdict}: {found:.1f} steps a second, asked for {wanted_hz:.1f}"


def _shuffled(seed: int) -> tuple[WalkState, WalkState]:
    return _RIDDLE if np.random.default_rng([seed, 7]).random() < 0.5 else _RIDDLE[::-1]
