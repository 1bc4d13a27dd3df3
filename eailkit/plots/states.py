"""Two states of one model on one walk, side by side, and differences of rows beside the paper's (EAIL Table 3).

A pair is read under one play head: two maps of the same second, and how far off both are as time passes. Nothing here
knows what the states are; they come by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float, Int
from plotly.subplots import make_subplots

from eailkit.plots.rooms import MARGIN_M, heat_trace, here_trace, plan_trace
from eailkit.plots.scores import SYMBOLS
from eailkit.plots.theme import BELOW, CYCLE, FOUND, INK, TRUTH, metres, moments_slider, spaced, styled
from eailkit.preprocess.mapgrid import MapGrid

LEFT, RIGHT = CYCLE[1], CYCLE[0]
BIN_S = 10.0  # an error curve's bins: single seconds jump by metres
HEAD = "play head"
MOST_MOMENTS = 40  # on the slider of a figure that holds every state
MENU_Y, SLIDER_Y = 1.06, -0.12  # of the axes' height: over the maps' names, under the last axis's title


@dataclass(frozen=True)
class Side:
    """One state on the walk.

    Attributes:
        name: over its map and in the legend, short: a phone has 150 pixels for it.
        maps: one a kept second, any unit, NaN where blank; None where there are none.
        place_m: answered place of every second; None where there is none.
    """

    name: str
    maps: Float[np.ndarray, "kept cells"] | None = None
    place_m: Float[np.ndarray, "n 2"] | None = None


def error_bins(
    place_m: Float[np.ndarray, "n 2"], truth_m: Float[np.ndarray, "n 2"], bin_s: float = BIN_S
) -> tuple[Float[np.ndarray, " bins"], Float[np.ndarray, " bins"]]:
    """Mean distance from the truth in bins of elapsed time: minutes and metres; bins without a true place are NaN."""
    error_m = np.linalg.norm(np.asarray(place_m, float) - np.asarray(truth_m, float), axis=1)
    frame = pd.Series(error_m).groupby((np.arange(len(error_m)) // bin_s).astype(int)).mean()
    return (frame.index.to_numpy() + 0.5) * bin_s / 60, frame.to_numpy()


def pair_figure(
    cloud: Float[np.ndarray, "n 3"],
    grid: MapGrid,
    sides: tuple[Side, Side],
    truth_m: Float[np.ndarray, "n 2"],
    seconds: Int[np.ndarray, " kept"],
    moment: int,
    *,
    missing: str = "not there",
    title: str = "",
    height: int = 700,
) -> go.Figure:
    """Two states at one moment, and both errors over the walk with a play head at that moment.

    Args:
        truth_m: true place of every second, NaN where unknown.
        seconds: of the kept maps. moment: which of them is shown.
        missing: what stands over a side that has no map.

    Each map's colours run from zero to its own highest value.
    """
    figure = _empty(cloud, grid, [s.name for s in sides])
    k = int(seconds[moment])
    for column, side in enumerate(sides, start=1):
        if side.maps is None or side.place_m is None:
            x, y = figure.get_subplot(1, column)
            note = {"xref": f"{x.plotly_name.replace('axis', '')} domain", "x": 0.5, "y": 0.5, "showarrow": False}
            figure.add_annotation(text=missing, yref=f"{y.plotly_name.replace('axis', '')} domain", **note)
            continue
        heat = side.maps[moment]
        heat = heat_trace(heat, grid, bar=False, low=0.0, high=float(np.nanmax(heat)))
        figure.add_trace(heat, row=1, col=column)
        figure.add_trace(_mark(side.place_m[k], "answered", FOUND, "diamond", column == 1), row=1, col=column)
    for column in (1, 2):
        figure.add_trace(_mark(truth_m[k], "true", TRUTH, "circle", column == 1), row=1, col=column)
    for side, colour in zip(sides, (LEFT, RIGHT), strict=True):
        if side.place_m is not None:
            figure.add_trace(_curve(side.name, *error_bins(side.place_m, truth_m), colour), row=2, col=1)
    figure.add_trace(_head(k, _top(sides, truth_m)), row=2, col=1)
    return _dressed(figure, grid, title, height)


def switching_figure(
    cloud: Float[np.ndarray, "n 3"],
    grid: MapGrid,
    pairs: Mapping[str, tuple[Side, Side]],
    truth_m: Float[np.ndarray, "n 2"],
    seconds: Int[np.ndarray, " kept"],
    *,
    titles: Mapping[str, str] | None = None,
    most: int = MOST_MOMENTS,
    height: int = 920,
) -> go.Figure:
    """`pair_figure` with a list of pairs and one play head, alive without a kernel: what a report can hold.

    Args:
        pairs: name in the list -> its two sides, which all have maps.
        titles: name -> title; the name where there is none.
        most: moments on the slider; longer walks are stepped through.
    """
    names, titles = list(pairs), {name: name for name in pairs} | dict(titles or {})
    pairs = {name: (_relative(one), _relative(other)) for name, (one, other) in pairs.items()}
    shown = np.unique(np.linspace(0, len(seconds) - 1, min(most, len(seconds))).round().astype(int))
    first = len(shown) // 2
    figure = pair_figure(
        cloud, grid, pairs[names[0]], truth_m, seconds, int(shown[first]), title=titles[names[0]], height=height
    )
    heats = [i for i, t in enumerate(figure.data) if t.name == "probability"]
    marks = [i for i, t in enumerate(figure.data) if t.name in ("answered", "true")]
    curves = [i for i, t in enumerate(figure.data) if t.type == "scatter" and t.mode == "lines" and t.name != HEAD]
    moving = [*heats, *marks, len(figure.data) - 1]
    states = {name: _moments(grid, pair, truth_m, seconds, shown) for name, pair in pairs.items()}
    figure.frames = [
        {"name": _frame(n, k), "data": data, "traces": moving} for n, name in enumerate(names)
        for k, data in enumerate(states[name])
    ]  # fmt: skip
    labels = [f"{seconds[k] // 60:.0f} min {seconds[k] % 60:02.0f} s" for k in shown]
    slider = lambda n: moments_slider(  # noqa: E731
        labels, [_frame(n, k) for k in range(len(shown))], "at ", at=first, x=0.0, y=SLIDER_Y
    )
    buttons = []
    for n, name in enumerate(names):
        data = states[name][first]
        bins = [error_bins(side.place_m, truth_m)[1] for side in pairs[name]]
        restyle = {  # a list a trace, as `update` wants it
            "z": [d.get("z") for d in data] + [None, None],
            "x": [d.get("x") for d in data] + [figure.data[c].x.tolist() for c in curves],
            "y": [d.get("y") for d in data] + [_plain(b) for b in bins],
        }
        layout = {"title.text": titles[name], "sliders": [slider(n)]}
        buttons.append({"label": name, "method": "update", "args": [restyle, layout, [*moving, *curves]]})
    menu = {"buttons": buttons, "x": 0.0, "xanchor": "left", "y": MENU_Y, "yanchor": "bottom"}
    paper = {"bgcolor": "#f4f4f4", "font": {"color": "#333333", "size": 11}}  # opaque: the open list covers the maps
    figure.update_layout(sliders=[slider(0)], updatemenus=[menu | paper])
    return figure.update_layout(margin={"t": 170, "b": 210})


def differences_figure(frame: pd.DataFrame, sources: tuple[str, str], *, title: str = "") -> go.Figure:
    """Paired differences with their intervals, and the paper's differences in a panel with an axis of its own.

    Args:
        frame: a row a difference: row, metric, split, mean, low, high, paper (points, NaN where the paper has none).
        sources: what the two panels are headed by, ours first.
    """
    labels = list(dict.fromkeys(f"{r.row}<br>{r.metric}" for r in frame.itertuples()))
    heads = [s.replace(", ", ",<br>") for s in sources]  # side by side on a phone
    figure = make_subplots(1, 2, subplot_titles=heads, shared_yaxes=True, horizontal_spacing=0.05)
    for i, (split, rows) in enumerate(frame.groupby("split", sort=False)):
        shift = 0.16 * (i - (frame.split.nunique() - 1) / 2)
        at = [labels.index(f"{r.row}<br>{r.metric}") + shift for r in rows.itertuples()]
        bars = {
            "type": "data", "symmetric": False, "array": (rows.high - rows["mean"]).tolist(), "color": INK,
            "arrayminus": (rows["mean"] - rows.low).tolist(), "thickness": 1.2, "width": 3,
        }  # fmt: skip
        marker = {"color": CYCLE[1 + i], "size": 9, "symbol": SYMBOLS[i]}
        for column, (values, error) in enumerate(((rows["mean"], bars), (rows["paper"], None)), start=1):
            figure.add_trace(go.Scatter(
                x=values.tolist(), y=at, mode="markers", name=split, legendgroup=split, showlegend=column == 1,
                marker=marker, error_x=error, customdata=[f"{r.row}, {r.metric}" for r in rows.itertuples()],
                hovertemplate="%{customdata}: %{x:.1f} points<extra>" + str(split) + "</extra>",
            ), row=1, col=column)  # fmt: skip
    spaced(styled(figure, title, height=170 + 46 * len(labels), legend=BELOW), 100)
    figure.update_xaxes(title_text="points", rangemode="tozero", zeroline=True, zerolinecolor=INK, zerolinewidth=1)
    figure.update_yaxes(
        tickvals=list(range(len(labels))), ticktext=labels, range=[len(labels) - 0.5, -0.5], zeroline=False
    )
    return figure.update_annotations(font={"color": INK, "size": 13})


def _empty(cloud: Float[np.ndarray, "n 3"], grid: MapGrid, names: Sequence[str]) -> go.Figure:
    """The frame of a pair: two floor plans, and room for both errors under them."""
    figure = make_subplots(
        2, 2, specs=[[{}, {}], [{"colspan": 2}, None]], subplot_titles=[*names, "how far off"],
        row_heights=[0.68, 0.32], horizontal_spacing=0.05, vertical_spacing=0.2,
    )  # fmt: skip
    for column in (1, 2):
        figure.add_trace(plan_trace(cloud, grid), row=1, col=column)
    return figure


def _dressed(figure: go.Figure, grid: MapGrid, title: str, height: int) -> go.Figure:
    spaced(styled(figure, title, height=height, legend=BELOW), 110)
    figure.update_layout(title={"x": 0.02, "xref": "container"})
    for column in (1, 2):
        metres(figure, "x (m)", "y (m)" if column == 1 else "", row=1, col=column)
        for axis, middle in zip(("x", "y"), np.asarray(grid.centre_xy_m, float), strict=True):
            half = grid.side_m / 2 + MARGIN_M
            update = figure.update_xaxes if axis == "x" else figure.update_yaxes
            update(range=[middle - half, middle + half], constrain="domain", row=1, col=column)
    figure.update_yaxes(constraintoward="top", row=1)
    figure.update_yaxes(showticklabels=False, row=1, col=2)
    figure.update_xaxes(title_text="elapsed time (min)", row=2, col=1)
    figure.update_yaxes(title_text="error (m)", rangemode="tozero", row=2, col=1)
    return figure.update_annotations(font={"color": INK, "size": 13})


def _mark(at: Sequence[float], name: str, colour: str, symbol: str, legend: bool) -> go.Scatter:
    """One large marker; off the page where the place isn't known, so that frames have a trace to move."""
    mark = here_trace(at, name, colour, symbol)
    mark.update(x=_plain([at[0]]), y=_plain([at[1]]), showlegend=legend, legendgroup=name)
    return mark


def _curve(name: str, minute: Float[np.ndarray, " b"], error_m: Float[np.ndarray, " b"], colour: str) -> go.Scatter:
    line = {"color": colour, "width": 2}
    x, y = minute.round(3), error_m.round(3)
    return go.Scatter(x=x, y=y, mode="lines", name=name, line=line, hovertemplate="%{x:.1f} min: %{y:.1f} m")


def _head(second: int, top_m: float) -> go.Scatter:
    at = round(second / 60, 3)
    line = {"color": INK, "width": 1.5, "dash": "dot"}
    return go.Scatter(x=[at, at], y=[0, top_m], mode="lines", name=HEAD, line=line, showlegend=False, hoverinfo="skip")


def _top(sides: Sequence[Side], truth_m: Float[np.ndarray, "n 2"]) -> float:
    """The highest of both curves, m: how tall the play head is."""
    bins = [error_bins(s.place_m, truth_m)[1] for s in sides if s.place_m is not None]
    known = np.concatenate(bins)[np.isfinite(np.concatenate(bins))] if bins else np.zeros(0)
    return round(float(known.max()), 2) if len(known) else 1.0


def _moments(
    grid: MapGrid, pair: tuple[Side, Side], truth_m: np.ndarray, seconds: np.ndarray, shown: np.ndarray
) -> list[list[dict]]:
    """What moves at each moment of a pair, in the order of `switching_figure`'s traces: short numbers, no looks."""
    found, top = [], _top(pair, truth_m)
    for m in shown:
        k = int(seconds[m])
        data = [{"type": "heatmap", "z": _rows(side.maps[m], grid.n)} for side in pair]
        for at in (pair[0].place_m[k], pair[1].place_m[k], truth_m[k], truth_m[k]):
            data.append({"type": "scatter", "x": _plain([at[0]]), "y": _plain([at[1]])})
        at = round(k / 60, 3)
        found.append([*data, {"type": "scatter", "x": [at, at], "y": [0, top]}])
    return found


def _relative(side: Side) -> Side:
    """Maps in whole percent of each one's highest value: two digits a cell where a report holds hundreds of maps."""
    maps = np.asarray(side.maps, float)
    return replace(side, maps=np.round(100 * maps / np.nanmax(maps, axis=1, keepdims=True)))


def _rows(heat: Float[np.ndarray, " cells"], n: int) -> list[list[int | None]]:
    values = np.asarray(heat, float).reshape(n, n)
    return [[int(v) if np.isfinite(v) else None for v in row] for row in values]


def _plain(values: Sequence[float]) -> list[float | None]:
    return [round(float(v), 2) if np.isfinite(v) else None for v in values]


def _frame(pair: int, moment: int) -> str:
    return f"{pair}.{moment}"
