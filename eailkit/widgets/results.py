"""Panels on what comes out: heatmaps of a moment, where each action happens, a recording that was localized."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from eailkit import plots
from eailkit.preprocess.mapgrid import CELLS
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
