"""The explorer of Table 3's sixteen states: four switches, the full state and the chosen one on one walk.

A state is shown as it was *trained*, by this run or for the recording that ships; one that nobody trained says so and
names the command that would. Which of the two sources speaks is said, and a difference is never between the two.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go

from eailkit.experiments.rows.catalog import PUBLISHED, STATES, Row
from eailkit.experiments.rows.claims import ACTION, PLACE, verdict
from eailkit.experiments.rows.parts import TOLD, Known, paper_points
from eailkit.experiments.rows.record import TRUTH
from eailkit.experiments.rows.states import FULL_STATE, PROTOCOLS, States
from eailkit.plots.states import Side, pair_figure, switching_figure
from eailkit.widgets.panel import Panel

SWITCHES = ("vision_language", "action_loss", "spatial", "temporal")
COMMAND = "Show the command"
NOT_THERE = "not recorded"
UNITS = {PLACE: "success at 0.4 m", ACTION: "top-1 of actions"}


@dataclass(frozen=True)
class AblationState:
    """Which parts of EAIL are on (Table 3), how it is read, and the second of the walk that is shown."""

    vision_language: bool = True
    action_loss: bool = True
    spatial: bool = True
    temporal: bool = True
    protocol: str = PUBLISHED
    second: int = 0


def row_of(state: AblationState) -> Row:
    """The row of the table "states" whose switches these are."""
    on = tuple(getattr(state, name) for name in SWITCHES)
    return next(row for row in STATES if switches_of(row) == on)


def switches_of(row: Row) -> tuple[bool, bool, bool, bool]:
    """The four switches of a row, in the order of `SWITCHES`."""
    variant = row.variant
    return (variant.towers is not None, variant.action_loss, variant.spatial, variant.temporal)


def name_of(row: Row) -> str:
    """What a state lacks, in words: "full", "without spatial and temporal", "with action loss alone"."""
    words = [name.replace("_", "-" if name == "vision_language" else " ") for name in SWITCHES]
    on, off = ([w for w, s in zip(words, switches_of(row), strict=True) if s == which] for which in (True, False))
    if not off or not on:
        return "none of the four" if off else "full"
    return f"with {on[0]} alone" if len(on) == 1 else "without " + " and ".join(off)


def ablation_panel(
    room: Any, take: Any, known: Known, *, profile: str = "quick", run_dir: str = "runs/lab", second: int | None = None
) -> Panel:
    """Switch parts of EAIL off; see the full state and the chosen one at each second of one walk, and their scores.

    Args:
        room: `prepared.RoomCache` of the walk.
        take: its `prepared.TakeCache`.
        known: `parts.known_states` of the run.
        profile, run_dir: of the run, for the command that makes a state.
        second: of the walk, shown at first; its middle where None.
    """
    seconds = known.own.seconds
    step = int(seconds[1] - seconds[0]) if len(seconds) > 1 else 1
    truth, empty = np.asarray(take.position, float), np.asarray(room.empty)

    def view(state: AblationState) -> go.Figure:
        row = row_of(state)
        moment = int(np.argmin(np.abs(seconds - state.second)))
        sides = sides_of(known, row, state.protocol, empty)
        k = int(seconds[moment])
        title = f"{k // 60} min {k % 60} s: full, and<br>{name_of(row)}"
        return pair_figure(room.cloud, room.grid, sides, truth, seconds, moment, missing=NOT_THERE, title=title)

    def words(state: AblationState) -> list[str]:
        return words_of(known, row_of(state), state.protocol, take.split)

    def command(state: AblationState) -> str:
        return f"eailkit reproduce states --profile {profile} --row {row_of(state).id} --out {run_dir}"

    start = AblationState(second=int(seconds[len(seconds) // 2] if second is None else second))
    presets = {name_of(row): replace(start, **dict(zip(SWITCHES, switches_of(row), strict=True))) for row in STATES
               if sum(switches_of(row)) >= 3}  # fmt: skip
    for more in ({"spatial": False, "temporal": False}, dict.fromkeys(SWITCHES, False)):
        presets[name_of(row_of(replace(start, **more)))] = replace(start, **more)
    controls = dict.fromkeys(SWITCHES) | {"protocol": list(PROTOCOLS), "second": (0, int(seconds[-1]), step)}
    return Panel(view, start, controls, presets, play="second", words=words, asked={COMMAND: command})


def sides_of(known: Known, row: Row, protocol: str, empty: np.ndarray) -> tuple[Side, Side]:
    """The full state and another of the same source; a side that nobody knows has no map."""
    found = known.of(row.name, protocol)
    beside = found or known.of(FULL_STATE.name, protocol)
    return _side(beside, FULL_STATE, protocol, "full", empty), _side(found, row, protocol, "chosen", empty)


def _side(states: States | None, row: Row, protocol: str, name: str, empty: np.ndarray) -> Side:
    key = (row.name, protocol)
    if states is None or key not in states.maps:
        return Side(name)
    return Side(name, np.where(empty, np.nan, states.maps[key]), states.place_m[key])


def words_of(known: Known, row: Row, protocol: str, split: str) -> list[str]:
    """What is known of a state, a fact a line: scores, the paired difference, the paper's, and who says so."""
    told = f" ({TRUTH})" if protocol == PUBLISHED else ""
    lines, states = [f"{name_of(row)}, {protocol}{told}, {split}"], known.of(row.name, protocol)
    if states is None:
        why = known.why or "the recording lacks it"
        return [*lines, f"{NOT_THERE}: this run hasn't trained it under this protocol, and {why}"]
    for metric, unit in UNITS.items():
        full, own = (states.mean(r.name, protocol, split, metric) for r in (FULL_STATE, row))
        if not np.isfinite(own):
            lines.append(f"{unit}: full {full:.1f} %; this one's action head was never trained")
            continue
        line = f"{unit}: {own:.1f} %, full {full:.1f} %"
        if (d := states.difference(row.name, protocol, split, metric)) is not None:
            said = TOLD.get(verdict(d["mean"], d.p_holm), "can't be told from it")
            line += f"; full minus this {d['mean']:+.1f} points [{d.low:.1f}, {d.high:.1f}], p {d.p_holm:.3f} by Holm: "
            line += f"full is {said}" if said in TOLD.values() else said
        if np.isfinite(theirs := paper_points(row, split, metric)) and row != FULL_STATE:
            line += f"; the paper has {theirs:+.1f}"
        lines.append(line)
    if sum(switches_of(row)) < 3:
        lines.append("the paper takes one part off at a time: it has no such row")
    return [*lines, states.source]


def ablation_figure(room: Any, take: Any, known: Known, protocol: str = PUBLISHED) -> go.Figure:
    """Every state that is known, in one figure with a list and a play head that need no kernel.

    Raises:
        ValueError: none is.
    """
    empty, pairs, titles = np.asarray(room.empty), {}, {}
    for row in sorted(STATES, key=lambda r: -sum(switches_of(r))):
        sides = sides_of(known, row, protocol, empty)
        if row != FULL_STATE and all(side.maps is not None for side in sides):
            states = known.of(row.name, protocol)
            pairs[name_of(row)] = sides
            titles[name_of(row)] = _title(states, row, protocol, take.split)
    if not pairs:
        raise ValueError(f"ablation_figure: found no state beside the full one under '{protocol}'; expected one.")
    truth = np.asarray(take.position, float)
    return switching_figure(room.cloud, room.grid, pairs, truth, known.own.seconds, titles=titles)


def _title(states: States, row: Row, protocol: str, split: str) -> str:
    line = f"{name_of(row)}<br>{states.source}"
    d = states.difference(row.name, protocol, split, PLACE)
    return line if d is None else f"{line}<br>full minus this {d['mean']:+.1f} points [{d.low:.1f}, {d.high:.1f}]"
