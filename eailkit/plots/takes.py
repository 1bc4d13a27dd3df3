"""Whole takes in pictures: error over their time, both stages' maps at moments, answered paths (EAIL Figs. 4 to 6).

Functions of arrays; which take and which moments are shown is decided elsewhere, by rules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from eailkit.plots.rooms import MARGIN_M, heat_trace, here_trace, plan_trace, square_trace
from eailkit.plots.theme import BELOW, CYCLE, FOUND, INK, TRUTH, clock, metres, moments_slider, rgba, spaced, styled
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
    colour = CYCLE[3]  # no colour of viridis, light page or dark
    return go.Scatter(
        x=x, y=y, mode="markers", name="peak of stage 1", showlegend=legend, hoverinfo="skip",
        marker={"symbol": "circle-open", "size": 22, "line": {"color": colour, "width": 2.5}, "color": colour},
    )  # fmt: skip


RECENT_S, MAX_EARLIER = 60, 400
ABOVE_PX, BELOW_PX = 100, 240  # of a figure with a slider and a legend that a narrow page breaks into lines


def take_picture(
    cloud: Float[np.ndarray, "n 3"], grid: MapGrid, truth_m: Float[np.ndarray, "seconds 2"],
    found_m: Float[np.ndarray, "seconds 2"], second: int, *, jumps: bool = False,
) -> go.Figure:  # fmt: skip
    """One method's path up to a second on the map, beside the true one, as a small square picture with a bar of 1 m.

    The last minute is strong, what came before faint. An answer out of the picture is an arrow at its border.

    Args:
        jumps: draw answers as dots: a method that knows nothing of the second before jumps, and lines would lie.
    """
    figure = go.Figure([plan_trace(cloud, grid), square_trace(grid), *_until(grid, truth_m, found_m, second, jumps)])
    styled(figure, showlegend=False).update_layout(height=None, margin={"l": 0, "r": 0, "t": 0, "b": 0})
    within_square(metres(figure, x="", y=""), grid)
    figure.update_xaxes(visible=False, fixedrange=True).update_yaxes(visible=False, fixedrange=True, constrain="domain")
    x, y = np.asarray(grid.centre_xy_m) - grid.side_m / 2 - 0.75 * MARGIN_M
    figure.add_shape(type="line", x0=x, x1=x + 1, y0=y, y1=y, line={"color": INK, "width": 3})
    return figure.add_annotation(x=x + 1.1, y=y, text="1 m", showarrow=False, xanchor="left", font={"size": 11})


def take_figure(
    cloud: Float[np.ndarray, "n 3"], grid: MapGrid, truth_m: Float[np.ndarray, "seconds 2"],
    answers_m: Mapping[str, Float[np.ndarray, "seconds 2"]], seconds: Sequence[int],
    captions: Mapping[str, Sequence[str]], *, jumping: Collection[str] = (), title: str = "",
) -> go.Figure:  # fmt: skip
    """Several methods' paths over one take, two panels in a row, with a slider over its moments (EAIL Fig. 6).

    Args:
        answers_m: method -> its answer of each second.
        seconds: the moments.
        captions: method -> a few words a moment, in order.
        jumping: methods drawn as dots, see `take_picture`.
    """
    names, rows = list(answers_m), -(-len(answers_m) // 2)
    titled = lambda k: [f"{name}<br>{captions[name][k]}" for name in names]  # noqa: E731
    figure = make_subplots(rows, 2, subplot_titles=titled(0), horizontal_spacing=0.05, vertical_spacing=0.26 / rows)
    where = [(k // 2 + 1, k % 2 + 1) for k in range(len(names))]
    for row, column in where:
        for trace in (plan_trace(cloud, grid), square_trace(grid)):
            figure.add_trace(trace, row=row, col=column)
    fixed = len(figure.data)

    def moment(k: int) -> list[go.Scatter]:
        of = [_until(grid, truth_m, answers_m[n], seconds[k], n in jumping, named=n == names[0]) for n in names]
        return [trace for traces in of for trace in traces]

    for i, trace in enumerate(moment(0)):
        row, column = where[i // TRACES]
        figure.add_trace(trace, row=row, col=column)
    for row, column in where:
        first, last = column == 1, row == rows or (row + 1, column) not in where
        metres(figure, x="x (m)" if last else "", y="y (m)" if first else "", row=row, col=column)
        figure.update_xaxes(showticklabels=last, row=row, col=column)
        figure.update_yaxes(showticklabels=first, constrain="domain", row=row, col=column)
    styled(figure, title, height=ABOVE_PX + 290 * rows + BELOW_PX, legend=BELOW)
    figure.update_annotations(font={"color": INK, "size": 12}).update_xaxes(nticks=5).update_yaxes(nticks=5)
    moving, notes = list(range(fixed, len(figure.data))), figure.layout.annotations
    figure.frames = [
        go.Frame(data=[_moved(t) for t in moment(k)], traces=moving, name=clock(second), layout={
            "annotations": [note.to_plotly_json() | {"text": t} for note, t in zip(notes, titled(k), strict=True)]
        })
        for k, second in enumerate(seconds)
    ]  # fmt: skip
    labels = [clock(second) for second in seconds]
    slide = moments_slider(labels, labels, "after ", x=0.0, y=-75 / (290 * rows))
    margin = {"l": 50, "r": 10, "t": ABOVE_PX, "b": BELOW_PX}
    return within_square(figure.update_layout(sliders=[slide], margin=margin), grid)


TRACES = 6  # of `_until`


def _until(
    grid: MapGrid, truth_m: np.ndarray, found_m: np.ndarray, second: int, jumps: bool, *, named: bool = False
) -> list[go.Scatter]:
    """The true and the answered path up to a second, earlier and recent parts, and where both are then."""
    since = max(0, second - RECENT_S)
    looks = (("true path", TRUTH, truth_m, False), ("answers", FOUND, found_m, jumps))
    traces = []
    for name, colour, path, dots in looks:
        earlier = path[: since + 1][:: -max(1, since // MAX_EARLIER)][::-1]  # faint, and as many as the eye can part
        for part, alpha, width in ((earlier, 0.25, 1.5), (path[since : second + 1], 0.9, 3.0)):
            x, y = np.asarray(part, np.float32).T.round(3)
            traces.append(go.Scatter(
                x=x, y=y, mode="markers" if dots else "lines", name=f"{name}, last minute", legendgroup=name,
                line={"color": rgba(colour, alpha), "width": width}, showlegend=named and alpha > 0.5, hoverinfo="skip",
                marker={"color": rgba(colour, alpha), "size": 4 + width / 2, "symbol": "square"},
            ))  # fmt: skip
    true, found = here_trace(truth_m[second], "true place", TRUTH), here_trace(*_in_view(grid, found_m[second]))
    found.marker.angle = _outwards_deg(grid, found_m[second])
    for mark in (true, found):
        mark.marker.size, mark.showlegend = 18 if mark.marker.symbol == "arrow" else 12, named
    return [*traces, true, found]


def _in_view(grid: MapGrid, at_m: np.ndarray) -> tuple[np.ndarray, str, str, str]:
    """Where an answer is drawn, its name, its colour and its symbol: an arrow at the border where it lies beyond."""
    middle, half = np.asarray(grid.centre_xy_m, float), grid.side_m / 2 + MARGIN_M
    away = np.asarray(at_m, float) - middle
    if not (np.abs(away) > half).any():
        return np.asarray(at_m, float), "answer", FOUND, "diamond"
    return middle + away * 0.94 * half / np.abs(away).max(), "answer", FOUND, "arrow"


def _outwards_deg(grid: MapGrid, at_m: np.ndarray) -> float:
    """Where an arrow at the border points, degrees clockwise from up; 0 in view."""
    x, y = np.asarray(at_m, float) - np.asarray(grid.centre_xy_m, float)
    beyond = max(abs(x), abs(y)) > grid.side_m / 2 + MARGIN_M
    return float(np.degrees(np.arctan2(x, y))) if beyond else 0.0


def _moved(trace: go.Scatter) -> dict:
    """What a frame has to say of a trace."""
    marker = {name: trace.marker[name] for name in ("symbol", "angle", "size")}
    return {"type": "scatter", "x": trace.x, "y": trace.y} | ({"marker": marker} if trace.mode == "markers" else {})
