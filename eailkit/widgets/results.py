"""Panels on what comes out: heatmaps of a moment, where each action happens, Table 3 with its switches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from eailkit import plots
from eailkit.plots.rooms import heat_trace, here_trace, plan_trace
from eailkit.plots.theme import CYCLE, FOUND, INK, TRUTH, metres, styled
from eailkit.preprocess.mapgrid import CELLS
from eailkit.results import paper
from eailkit.widgets.panel import Panel


@dataclass(frozen=True)
class MomentState:
    """One second of one take, seen by one method."""

    take: str
    method: str
    second: int = 0


def moment_panel(
    prepared: Any, maps: Mapping[str, Mapping[str, Float[np.ndarray, "n cells"]]], *, second: int = 0
) -> Panel:
    """Heatmaps of takes, second by second, for several methods.

    Args:
        prepared: `cache.Prepared`.
        maps: method -> take name -> one map a second, any unit; a method's colours are scaled to its own values.
    """
    takes = {t.name: t for t in prepared.takes}

    def view(state: MomentState) -> go.Figure:
        take, values = takes[state.take], maps[state.method][state.take]
        k = min(state.second, len(values) - 1)
        room = prepared.rooms[take.room]
        heat = np.where(room.empty, np.nan, values[k])
        best = room.grid.cell_centres[int(np.nanargmax(heat))]
        error = float(np.linalg.norm(best - take.position[k]))
        doing = prepared.action_names[take.action[k]] if take.action[k] >= 0 else "no label"
        title = f"{state.method}, {k} s ({doing}): highest cell {error:.1f} m from the truth"
        return plots.kitchen_figure(
            room.cloud, room.grid, heatmap=heat, here=take.position[k], guess=best, title=title, value=state.method
        )

    methods, names = list(maps), list(next(iter(maps.values())))
    longest = max(len(v) for of in maps.values() for v in of.values())
    start = MomentState(names[0], methods[0], min(second, longest - 1))
    presets = {f"{m}, the same second": replace(start, method=m) for m in methods}
    return Panel(view, start, {"take": names, "method": methods, "second": (0, longest - 1, 1)}, presets)


@dataclass(frozen=True)
class ActionPlaceState:
    """One action in one room."""

    action: str
    room: str


def action_place_panel(prepared: Any, attention: Mapping[str, Float[np.ndarray, "n cells"]]) -> Panel:
    """Where the action head looks while an action goes on, beside where the wearer was.

    Args:
        attention: take name -> the predicted location of each second, rows sum to 1.
    """
    takes = [t for t in prepared.takes if t.name in attention]
    labels = sorted({int(a) for t in takes for a in t.action if a >= 0})
    names = [prepared.action_names[a] for a in labels]

    def view(state: ActionPlaceState) -> go.Figure:
        room, label = prepared.rooms[state.room], prepared.action_names.index(state.action)
        looked, was, seconds = np.zeros(CELLS), np.zeros(CELLS), 0
        for take in takes:
            rows = np.flatnonzero((take.action == label) & (take.cell >= 0)) if take.room == state.room else []
            seconds += len(rows)
            if len(rows):
                looked += attention[take.name][rows].sum(0)
                np.add.at(was, take.cell[rows], 1.0)
        maps = {"where the model looks": looked / max(1, seconds), "where the wearer was": was / max(1, seconds)}
        maps = {name: np.where(room.empty, np.nan, heat) for name, heat in maps.items()}
        title = f"“{state.action}” in {state.room}: {seconds} s (each map on its own scale)"
        return plots.heatmap_figure(maps, room.cloud, room.grid, title=title, shared=False)

    rooms = list(dict.fromkeys(t.room for t in takes))
    counted = {n: sum(int((t.action == a).sum()) for t in takes if t.room == rooms[0]) for n, a in zip(names, labels)}
    common = sorted(names, key=lambda n: -counted[n])[:3]
    presets = {name: ActionPlaceState(name, rooms[0]) for name in common}
    return Panel(view, ActionPlaceState(common[0], rooms[0]), {"action": names, "room": rooms}, presets)


@dataclass(frozen=True)
class AblationState:
    """Which parts of EAIL are on (Table 3), and the second of the walk that is shown."""

    vision_language: bool = True
    action_loss: bool = True
    spatial: bool = True
    temporal: bool = True
    second: int = 0


ROW_OF = {  # Table 3 takes one part away at a time
    (True, True, True, True): "full",
    (False, True, True, True): "w/o vision-language",
    (True, False, True, True): "w/o action loss",
    (True, True, False, True): "w/o spatial",
    (True, True, True, False): "w/o temporal",
}


def ablation_panel(
    room: Any, truth: Float[np.ndarray, "n 2"], maps: Mapping[str, Float[np.ndarray, "n cells"]], ours: pd.DataFrame,
    *, split: str = "test-unseen", metrics: Sequence[str] = ("SR@0.2m", "SR@0.4m", "SR@0.6m", "RS", "top1"),
) -> Panel:  # fmt: skip
    """Switch parts off; see one walk's heatmap, and our scores and the paper's, each in a panel of its own.

    Args:
        room: `cache.RoomCache` of the walk.
        truth: its true positions.
        maps: Table 3's row -> probabilities of each second.
        ours: columns split, method (the rows) and metrics, percent (`Table.means`).
    """

    def view(state: AblationState) -> go.Figure:
        row = ROW_OF.get((state.vision_language, state.action_loss, state.spatial, state.temporal))
        titles = ["one walk", paper.OURS, paper.PAPER]
        figure = make_subplots(1, 3, subplot_titles=titles, column_widths=[0.5, 0.25, 0.25], horizontal_spacing=0.09)
        figure.add_trace(plan_trace(room.cloud, room.grid), row=1, col=1)
        k = min(state.second, len(truth) - 1)
        if row in maps:
            heat = np.where(room.empty, np.nan, maps[row][k])
            figure.add_trace(heat_trace(heat, room.grid, bar=False, low=0.0), row=1, col=1)
            guess = room.grid.cell_centres[int(np.nanargmax(heat))]
            figure.add_trace(here_trace(guess, "predicted", FOUND, "diamond"), row=1, col=1)
            sources = (ours, paper.table(3))
            for column, (source, colour) in enumerate(zip(sources, (CYCLE[0], CYCLE[6]), strict=True), start=2):
                found = source[(source.split == split) & (source.method == row)].iloc[0]
                bars = go.Bar(x=list(metrics), y=[found[m] for m in metrics], marker_color=colour, showlegend=False)
                figure.add_trace(bars, row=1, col=column)
            title = f"{row}, second {k}"
        else:
            title = "Nobody trained this combination, neither the paper nor this run: only one part is off at a time"
        if np.isfinite(truth[k]).all():
            figure.add_trace(here_trace(truth[k], "true", TRUTH), row=1, col=1)
        styled(figure, title, height=460, legend={"y": 1.1})
        for column in (2, 3):
            figure.update_yaxes(range=[0, 100], title_text="%", row=1, col=column)
        figure.update_annotations(font={"color": INK, "size": 13})
        return metres(figure, row=1, col=1)

    switches = dict.fromkeys(("vision_language", "action_loss", "spatial", "temporal"))
    start = AblationState(second=len(truth) // 2)
    presets = {row: AblationState(*on, second=start.second) for on, row in ROW_OF.items()}
    return Panel(view, start, switches | {"second": (0, len(truth) - 1, 1)}, presets)


@dataclass(frozen=True)
class TrackState:
    """One second of a localized recording, seen by one method."""

    method: str
    second: int = 0


def track_panel(room: Any, maps: Mapping[str, Float[np.ndarray, "n cells"]], truth: Float[np.ndarray, "n 2"]) -> Panel:
    """A localized recording, second by second.

    Args:
        room: `localize.EncodedMap`.
        maps: method -> probabilities of each second; seconds beyond a map's end show its last.
        truth: true positions, NaN where unknown.
    """
    cloud, grid, empty = room.point_map.points_world_m, room.grid, room.clouds.empty

    def view(state: TrackState) -> go.Figure:
        values = maps[state.method]
        heat = np.where(empty, np.nan, values[min(state.second, len(values) - 1)])
        best, here = grid.cell_centres[int(np.nanargmax(heat))], truth[min(state.second, len(truth) - 1)]
        away = float(np.linalg.norm(best - here))
        title = f"{state.method}, second {state.second}: highest cell {away:.1f} m from the truth"
        return plots.kitchen_figure(cloud, grid, heatmap=heat, here=here, guess=best, title=title)

    names = list(maps)
    start = TrackState(names[0], len(truth) // 2)
    presets = {name: replace(start, method=name) for name in names}
    return Panel(view, start, {"method": names, "second": (0, len(truth) - 1, 1)}, presets)
