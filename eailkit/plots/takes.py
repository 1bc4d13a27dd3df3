"""Whole takes in pictures: error over their time, both stages' maps at moments, answered paths (EAIL Figs. 4 to 6).

Functions of arrays; which take and which moments are shown is decided elsewhere, by rules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from eailkit.plots.rooms import MARGIN_M, heat_trace, here_trace, plan_trace
from eailkit.plots.theme import BELOW, CYCLE, INK, TRUTH, metres, rgba, spaced, styled
from eailkit.preprocess.mapgrid import MapGrid

LOG_TICKS_M = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


def drift_figure(
    panels: Mapping[str, Mapping[str, pd.DataFrame]], families: Mapping[str, str], *, title: str = "", height: int = 880
) -> go.Figure:
    """Position error over elapsed time, a line a method with its interval, a panel a setting (EAIL Fig. 4).

    Metres are on a logarithmic axis: summed velocities end many times as far off as they begin.

    Args:
        panels: setting -> method -> columns minute, error_m, low and high.
        families: method -> what it is one of: a family has one colour, and a dash a method.
    """
    figure = make_subplots(len(panels), 1, subplot_titles=list(panels), shared_xaxes=True, vertical_spacing=0.07)
    looks, named, members = _looks(families), set(), Counter(families.values())
    for k, curves in enumerate(panels.values(), start=1):
        for name, curve in curves.items():
            figure.add_trace(_band(curve, name, looks[name]["color"], members[families[name]]), row=k, col=1)
        for name, curve in curves.items():
            x, y = curve.minute.to_numpy(np.float32), curve.error_m.to_numpy(np.float32)
            figure.add_trace(go.Scatter(
                x=x, y=y, mode="lines", name=name, legendgroup=name, showlegend=name not in named, line=looks[name],
                hovertemplate="minute %{x:.1f}: %{y:.2f} m<extra>" + name + "</extra>",
            ), row=k, col=1)  # fmt: skip
            named.add(name)
    spaced(styled(figure, title, height=height, legend=BELOW | {"tracegroupgap": 0, "font": {"size": 12}}), 195)
    figure.update_yaxes(
        type="log", tickvals=LOG_TICKS_M, ticktext=[f"{m:g}" for m in LOG_TICKS_M], title_text="position error (m)"
    )
    last = max((float(c.minute.max()) for curves in panels.values() for c in curves.values()), default=1.0)
    figure.update_xaxes(range=[0, last]).update_xaxes(title_text="elapsed time (min)", row=len(panels), col=1)
    return figure.update_annotations(font={"color": INK, "size": 13})


def _looks(families: Mapping[str, str]) -> dict[str, dict]:
    """Colour, width and dash of each method's line."""
    members: dict[str, list[str]] = {}
    for name, family in families.items():
        members.setdefault(family, []).append(name)
    return {
        name: {"color": CYCLE[i % len(CYCLE)], "width": 2.2 if k == 0 else 1.8, "dash": DASHES[k % len(DASHES)]}
        for i, those in enumerate(members.values())
        for k, name in enumerate(those)
    }


def _band(curve: pd.DataFrame, name: str, colour: str, members: int) -> go.Scatter:
    """The interval around a line; the fainter, the more lines have the colour."""
    x, low, high = (curve[c].to_numpy(np.float32) for c in ("minute", "low", "high"))
    return go.Scatter(
        x=np.append(x, x[::-1]), y=np.append(high, low[::-1]), mode="lines", line={"width": 0}, fill="toself",
        fillcolor=rgba(colour, 0.14 if members < 3 else 0.05), legendgroup=name, showlegend=False, hoverinfo="skip",
    )  # fmt: skip


@dataclass(frozen=True)
class StageMoment:
    """Both stages' maps at one moment.

    Attributes:
        when: in a title.
        stage1: cosines; stage2: probabilities; NaN where blank.
        peaks_m: places to ring in stage 1.
        truth_m: the true place, NaN where unknown.
    """

    when: str
    stage1: Float[np.ndarray, " cells"]
    stage2: Float[np.ndarray, " cells"]
    peaks_m: Float[np.ndarray, "peaks 2"]
    truth_m: Float[np.ndarray, " 2"]


def stages_figure(
    cloud: Float[np.ndarray, "n 3"], grid: MapGrid, moments: Sequence[StageMoment], *, title: str = "",
    height: int | None = None,
) -> go.Figure:  # fmt: skip
    """Stage 1's map beside stage 2's, a row a moment, over the faint map; each map's colours have their own scale."""
    rows = len(moments)
    titles = [f"{m.when}, stage {k}" for m in moments for k in (1, 2)]
    figure = make_subplots(rows, 2, subplot_titles=titles, horizontal_spacing=0.04, vertical_spacing=0.16 / rows)
    for row, moment in enumerate(moments, start=1):
        for column, values in enumerate((moment.stage1, moment.stage2), start=1):
            traces = [plan_trace(cloud, grid), heat_trace(values, grid, title=f"stage {column}", bar=False)]
            traces += [_rings(moment.peaks_m, row == 1)] if column == 1 else []
            if np.isfinite(moment.truth_m).all():
                mark = here_trace(moment.truth_m, "true place", TRUTH)
                mark.marker.size, mark.showlegend = 10, row == column == 1
                traces.append(mark)
            for trace in traces:
                figure.add_trace(trace, row=row, col=column)
            last, first = row == rows, column == 1
            metres(figure, x="x (m)" if last else "", y="y (m)" if first else "", row=row, col=column)
            figure.update_xaxes(showticklabels=last, row=row, col=column)
            figure.update_yaxes(showticklabels=first, constrain="domain", row=row, col=column)
    figure.update_annotations(font={"color": INK, "size": 13}).update_xaxes(nticks=5).update_yaxes(nticks=5)
    styled(figure, title, height=height or 160 + 240 * rows, legend=BELOW)
    return within_square(figure, grid).update_layout(margin={"l": 50, "r": 10, "b": 90, "t": 90 if title else 40})


def within_square(figure: go.Figure, grid: MapGrid) -> go.Figure:
    """Every axis from a little before the square to a little behind it."""
    for update, middle in zip((figure.update_xaxes, figure.update_yaxes), np.asarray(grid.centre_xy_m), strict=True):
        half = grid.side_m / 2 + MARGIN_M
        update(range=[float(middle) - half, float(middle) + half])
    return figure


def _rings(at_m: Float[np.ndarray, "peaks 2"], legend: bool) -> go.Scatter:
    x, y = np.asarray(at_m, float).reshape(-1, 2).T.round(3)
    line = {"color": INK, "width": 2.5}
    return go.Scatter(
        x=x, y=y, mode="markers", name="peak of stage 1", showlegend=legend, hoverinfo="skip",
        marker={"symbol": "circle-open", "size": 22, "line": line, "color": INK},
    )  # fmt: skip
