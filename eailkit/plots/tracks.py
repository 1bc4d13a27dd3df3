"""Pictures of a track and of what it is made from: maps under a heading, beliefs, regions, headings over time.

A hypothesis turns the motion, never the map, so that all panels of a figure show the room as it lies. Places finer
than EAIL's cells come with a grid of their own (`mapgrid.MapGrid.n`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from eailkit.plots.rooms import MARGIN_M, heat_trace, here_trace, path_trace, plan_trace, square_trace
from eailkit.plots.theme import BELOW, CYCLE, FOUND, GRID, INK, TRUTH, metres, moments_slider, rgba, spaced, styled
from eailkit.preprocess.mapgrid import MapGrid

ARROW_M = 0.6
CIRCLE = np.linspace(0, 2 * np.pi, 49)
MAX_REGIONS = 24


def hypothesis_figure(
    cloud: Float[np.ndarray, "n 3"],
    grid: MapGrid,
    maps: Mapping[str, Float[np.ndarray, "headings cells"]],
    evidence: Mapping[str, Float[np.ndarray, " headings"]],
    *,
    shown: int = 0,
    true_rad: float,
    facing_rad: float = float("nan"),
    here: Sequence[float] | None = None,
    title: str = "",
    slider: bool = True,
    height: int = 560,
) -> go.Figure:
    """One second under a heading hypothesis: each method's map as it would be then, and how likely each heading is.

    Args:
        maps: method -> its map under the angles 2 pi h / H, NaN where blank; a method's colours keep their scale.
        evidence: moment -> probability of each of these angles; the first as bars, others as outlines.
        shown: the hypothesis at first.
        true_rad: the true heading, marked in the polar panel.
        facing_rad: where the head faces in the gravity frame: an arrow at `here` shows where it would then face.
        slider: with a slider over the hypotheses that works without a kernel.
    """
    count = len(next(iter(maps.values())))
    degrees = np.arange(count) * 360.0 / count
    specs = [[{"type": "xy"}] * len(maps) + [{"type": "polar"}]]
    figure = make_subplots(1, len(maps) + 1, specs=specs, subplot_titles=[*maps, "how likely"], horizontal_spacing=0.07)
    for k in range(len(maps)):
        figure.add_trace(plan_trace(cloud, grid), row=1, col=k + 1)
    fixed = len(figure.data)
    known = here is not None and np.isfinite(here).all()

    def moment(h: int) -> list[tuple[go.Scatter | go.Heatmap | go.Barpolar, int]]:
        traces = []
        for k, heats in enumerate(maps.values(), start=1):
            heats = np.asarray(heats, np.float32)
            low, high = float(np.nanmin(heats)), float(np.nanmax(heats))
            shown_of = np.round(heats[h], 3 - int(np.floor(np.log10(max(high - low, 1e-9)))))
            traces.append((heat_trace(shown_of, grid, low=low, high=high, bar=False), k))
            if known and np.isfinite(facing_rad):
                traces.append((_arrow(here, facing_rad + np.radians(degrees[h]), k == 1), k))
        colours = [CYCLE[0] if j == h else rgba(FOUND, 0.55) for j in range(count)]
        bars = 100 * np.asarray(next(iter(evidence.values())), float)
        bar = go.Barpolar(
            r=bars.round(2), theta=degrees, marker={"color": colours}, width=[300 / count] * count, showlegend=False,
            hovertemplate="%{theta:.0f} degrees: %{r:.1f} %<extra></extra>",
        )  # fmt: skip
        return [*traces, (bar, len(maps) + 1)]

    for trace, column in moment(shown):
        figure.add_trace(trace, row=1, col=column)
    moving = list(range(fixed, len(figure.data)))
    for k in range(len(maps)):
        if known:
            mark = here_trace(here, "true position", TRUTH)
            mark.showlegend = k == 0
            figure.add_trace(mark, row=1, col=k + 1)
        metres(figure, x="x (m)", y="y (m)" if k == 0 else "", row=1, col=k + 1)
    _polar(figure, evidence, true_rad, len(maps) + 1)
    styled(figure, title, height=height, legend=BELOW)
    figure.update_annotations(font={"color": INK, "size": 13})
    if slider:
        figure.frames = [
            go.Frame(data=[_turned(t) for t, _ in moment(h)], traces=moving, name=str(h)) for h in range(count)
        ]
        labels = [f"{d:.0f} degrees" for d in degrees]
        slide = moments_slider(labels, range(count), "if the heading were ", at=shown, x=0.0, y=-0.24)
        spaced(figure.update_layout(sliders=[slide]), 220)
    return figure


def _arrow(at: Sequence[float], angle: float, legend: bool) -> go.Scatter:
    """Where a head faces: a shaft and two barbs."""
    tip = np.asarray(at, float) + ARROW_M * np.array([np.cos(angle), np.sin(angle)])
    barb = [tip - 0.22 * np.array([np.cos(angle + s), np.sin(angle + s)]) for s in (0.5, -0.5)]
    x, y = np.array([at, tip, barb[0], tip, barb[1]], float).round(3).T
    return go.Scatter(
        x=x, y=y, mode="lines", line={"color": CYCLE[0], "width": 3}, name="would face", showlegend=legend,
        hoverinfo="skip",
    )  # fmt: skip


def _turned(trace) -> dict:
    """What a frame has to say of a trace: values, places, or the colours of bars."""
    if trace.type == "heatmap":
        return {"type": "heatmap", "z": trace.z}
    if trace.type == "barpolar":
        return {"type": "barpolar", "marker": {"color": trace.marker.color}}
    return {"type": "scatter", "x": trace.x, "y": trace.y}


def _polar(figure: go.Figure, evidence: Mapping[str, np.ndarray], true_rad: float, column: int) -> None:
    top = 100 * max(float(np.max(e)) for e in evidence.values())
    for i, (name, weight) in enumerate(list(evidence.items())[1:]):
        theta = np.append(np.arange(len(weight)), 0) * 360.0 / len(weight)
        figure.add_trace(go.Scatterpolar(
            r=100 * np.append(weight, weight[0]).round(4), theta=theta, mode="lines", name=name,
            line={"color": CYCLE[1 + i], "width": 2, "dash": ("solid", "dash")[i % 2]},
            hovertemplate="%{theta:.0f} degrees: %{r:.1f} %<extra>" + name + "</extra>",
        ), row=1, col=column)  # fmt: skip
    figure.add_trace(go.Scatterpolar(
        r=[0, top], theta=[np.degrees(true_rad)] * 2, mode="lines", name="true heading", hoverinfo="skip",
        line={"color": TRUTH, "width": 3},
    ), row=1, col=column)  # fmt: skip
    axis = {"gridcolor": GRID, "linecolor": GRID, "tickfont": {"size": 10, "color": INK}}
    figure.update_polars(
        bgcolor="rgba(0,0,0,0)", radialaxis=axis | {"range": [0, top], "ticksuffix": " %", "nticks": 4, "angle": 90},
        angularaxis=axis | {"tickvals": [0, 180, 270], "ticktext": ["0°", "180°", "270°"]},
    )  # fmt: skip


def beliefs_figure(
    steps: Mapping[str, Float[np.ndarray, " places"]],
    cloud: Float[np.ndarray, "n 3"],
    grid: MapGrid,
    *,
    here: Sequence[Sequence[float] | None] | None = None,
    columns: int = 3,
    title: str = "",
    height: int | None = None,
) -> go.Figure:
    """A belief over the map before and after each step, small multiples, each on a scale of its own.

    Args:
        steps: name -> probability of each place; as many places as the grid has cells, or a finer square number.
        here: the true position at each step, in their order.
    """
    rows = -(-len(steps) // columns)
    names = list(steps)
    figure = make_subplots(rows, columns, subplot_titles=names, horizontal_spacing=0.04, vertical_spacing=0.09)
    for k, (name, values) in enumerate(steps.items()):
        row, column = k // columns + 1, k % columns + 1
        fine = replace(grid, n=round(np.sqrt(len(values))))
        values = np.asarray(values, float)
        heat = heat_trace((100 * values).round(4), fine, title=name, low=0.0, high=100 * float(values.max()), bar=False)
        heat.hovertemplate = "x %{x:.2f} m, y %{y:.2f} m: %{z:.2f} %<extra></extra>"
        for trace in (plan_trace(cloud, grid), heat):
            figure.add_trace(trace, row=row, col=column)
        if here is not None and here[k] is not None and np.isfinite(here[k]).all():
            mark = here_trace(here[k], "true position", TRUTH)
            mark.marker.size, mark.showlegend = 9, k == 0
            figure.add_trace(mark, row=row, col=column)
        metres(figure, x="x (m)" if row == rows else "", y="y (m)" if column == 1 else "", row=row, col=column)
    figure.update_annotations(font={"color": INK, "size": 12})
    figure.update_xaxes(nticks=4).update_yaxes(nticks=4)
    return styled(figure, title, height=height or 110 + 270 * rows, legend=BELOW)


def region_figure(
    cloud: Float[np.ndarray, "n 3"],
    grid: MapGrid,
    found: Float[np.ndarray, "n 2"],
    radius_m: Float[np.ndarray, " n"],
    *,
    truth: Float[np.ndarray, "n 2"] | None = None,
    belief: Float[np.ndarray, " places"] | None = None,
    title: str = "",
    height: int = 560,
) -> go.Figure:
    """A track on the map with its 90 % region: a faint disc a second, the last second's drawn out.

    Args:
        found: positions, m.
        radius_m: of the region around each.
        truth: the true path.
        belief: probabilities of the last second.
    """
    figure = go.Figure([plan_trace(cloud, grid), square_trace(grid)])
    if belief is not None:
        fine = replace(grid, n=round(np.sqrt(len(belief))))
        figure.add_trace(heat_trace(np.asarray(belief, float).round(6), fine, title="probability", low=0.0, bar=False))
    for k in np.unique(np.linspace(0, len(found) - 1, min(MAX_REGIONS, len(found))).round().astype(int)):
        figure.add_trace(_disc(found[k], radius_m[k], filled=True))
    if truth is not None:
        true = path_trace(truth, "true path", TRUTH, width=3.0)
        true.line.color = rgba(TRUTH, 0.85)
        figure.add_trace(true)
    line = path_trace(found, "track", FOUND, width=3.0)
    line.line.color = FOUND
    figure.add_traces([line, _disc(found[-1], radius_m[-1], name="90 % region, last second")])
    figure.add_trace(here_trace(found[-1], "believed, last second", FOUND, "diamond"))
    if truth is not None and np.isfinite(truth[-1]).all():
        figure.add_trace(here_trace(truth[-1], "true, last second", TRUTH))
    return _within(grid, spaced(styled(figure, title, height=height, legend=BELOW)))


def paths_figure(
    cloud: Float[np.ndarray, "n 3"],
    grid: MapGrid,
    found: Float[np.ndarray, "n 2"],
    truth: Float[np.ndarray, "n 2"],
    *,
    name: str = "summed",
    title: str = "",
    height: int = 560,
) -> go.Figure:
    """A path that knows nothing of the map, over it, beside the true one; a dotted line joins their last seconds.

    The axes show the square, and as much around it as the path needs that leaves it.

    Args:
        found, truth: positions of the same seconds, m; NaN where unknown.
    """
    figure = go.Figure([plan_trace(cloud, grid), square_trace(grid)])
    for path, called, colour in ((truth, "true path", TRUTH), (found, name, FOUND)):
        line = path_trace(path, called, colour, width=3.0)
        line.line.color = rgba(colour, 0.85)
        figure.add_trace(line)
    ends = np.stack([np.asarray(truth, float)[-1], np.asarray(found, float)[-1]])
    if np.isfinite(ends).all():
        (x, y), line = ends.T.round(3), {"color": INK, "width": 2, "dash": "dot"}
        figure.add_trace(go.Scatter(x=x, y=y, mode="lines", line=line, showlegend=False, hoverinfo="skip"))
        figure.add_trace(here_trace(ends[0], "true, last second", TRUTH))
        figure.add_trace(here_trace(ends[1], f"{name}, last second", FOUND, "diamond"))
    away_m = float(np.nanmax(np.abs(np.asarray(found, float) - grid.centre_xy_m), initial=0.0))
    return _within(grid, spaced(styled(figure, title, height=height, legend=BELOW)), away_m)


def _within(grid: MapGrid, figure: go.Figure, away_m: float = 0.0) -> go.Figure:
    """Axes in metres that end a little outside the square: discs are wider than a room where nothing is known.

    Args:
        away_m: from the square's middle along an axis, that must be seen as well.
    """
    middle, half = np.asarray(grid.centre_xy_m, float), max(grid.side_m / 2, away_m) + MARGIN_M
    metres(figure).update_xaxes(range=[middle[0] - half, middle[0] + half])
    return figure.update_yaxes(range=[middle[1] - half, middle[1] + half])


def _disc(at: Sequence[float], radius_m: float, *, filled: bool = False, name: str = "") -> go.Scatter:
    x, y = (float(at[0]) + radius_m * np.cos(CIRCLE)).round(3), (float(at[1]) + radius_m * np.sin(CIRCLE)).round(3)
    line = {"width": 0} if filled else {"color": FOUND, "width": 2, "dash": "dot"}
    fill = {"fill": "toself", "fillcolor": rgba(FOUND, 0.035)} if filled else {}
    return go.Scatter(x=x, y=y, mode="lines", line=line, name=name, showlegend=bool(name), hoverinfo="skip", **fill)


def velocity_figure(
    cloud: Float[np.ndarray, "n 3"],
    grid: MapGrid,
    position_m: Float[np.ndarray, "n 2"],
    true_mps: Float[np.ndarray, "n 2"],
    found_mps: Float[np.ndarray, "n 2"],
    std_mps: Float[np.ndarray, " n"],
    *,
    title: str = "",
    height: int = 560,
) -> go.Figure:
    """Arrows of a velocity net at the true positions, with the true ones: how far one would be a second later.

    Args:
        std_mps: of the net's own; a disc of that radius stands at each arrow's tip.
    """
    figure = go.Figure([plan_trace(cloud, grid), path_trace(position_m, "true path", INK)])
    for k in range(len(position_m)):
        disc = _disc(
            position_m[k] + found_mps[k], std_mps[k], filled=True, name="its own uncertainty" if k == 0 else ""
        )
        disc.fillcolor = rgba(FOUND, 0.25)
        figure.add_trace(disc)
    for name, move, colour in (("the net", found_mps, FOUND), ("the truth", true_mps, TRUTH)):
        x, y = (
            [v for k in range(len(move)) for v in (p[k], p[k] + move[k, i], None)] for i, p in enumerate(position_m.T)
        )
        figure.add_trace(
            go.Scatter(x=x, y=y, mode="lines", name=name, line={"color": colour, "width": 3}, hoverinfo="skip")
        )
    return _within(grid, spaced(styled(figure, title, height=height, legend=BELOW)))


def heading_figure(curves: Mapping[str, pd.DataFrame], *, title: str = "", height: int = 560) -> go.Figure:
    """The heading's error over elapsed time: its median over takes, and the share of takes that have found it.

    Args:
        curves: name -> columns minute, median_deg and within_30 (`activity.heading_over_time`).
    """
    titles = ["median over takes", "takes within 30 degrees"]
    figure = make_subplots(2, 1, subplot_titles=titles, shared_xaxes=True, vertical_spacing=0.1)
    for i, (name, curve) in enumerate(curves.items()):
        line = {"color": CYCLE[i % len(CYCLE)], "width": 2.2, "dash": ("solid", "dash")[i % 2]}
        for k, column in enumerate(("median_deg", "within_30"), start=1):
            figure.add_trace(go.Scatter(
                x=curve.minute.to_numpy(np.float32), y=curve[column].to_numpy(np.float32), mode="lines", name=name,
                line=line, showlegend=k == 1,
            ), row=k, col=1)  # fmt: skip
    spaced(styled(figure, title, height=height, legend=BELOW))
    figure.update_xaxes(title_text="elapsed time (min)", row=2, col=1)
    figure.update_yaxes(title_text="error (degrees)", rangemode="tozero", row=1, col=1)
    figure.update_yaxes(title_text="takes (%)", range=[0, 101], row=2, col=1)
    return figure.update_annotations(font={"color": INK, "size": 13})


def activity_figure(scores: pd.DataFrame, *, title: str = "", height: int = 460) -> go.Figure:
    """Success by what the wearer does, a panel a split, a bar a method.

    Args:
        scores: columns method, split, activity, success and seconds (`activity.by_activity`).
    """
    splits, methods = list(dict.fromkeys(scores.split)), list(dict.fromkeys(scores.method))
    figure = make_subplots(1, len(splits), subplot_titles=splits, shared_yaxes=True, horizontal_spacing=0.06)
    for k, split in enumerate(splits, start=1):
        for i, method in enumerate(methods):
            rows = scores[(scores.split == split) & (scores.method == method)]
            figure.add_trace(go.Bar(
                x=list(rows.activity), y=rows.success.to_numpy(np.float32), customdata=rows.seconds.to_numpy(),
                name=method, marker_color=CYCLE[i % len(CYCLE)], showlegend=k == 1,
                hovertemplate="%{x}: %{y:.1f} % of %{customdata} s<extra>" + method + "</extra>",
            ), row=1, col=k)  # fmt: skip
    spaced(styled(figure, title, "activity", height=height, legend=BELOW), 150)
    figure.update_yaxes(title_text="success at 0.4 m (%)", rangemode="tozero", row=1, col=1)
    return figure.update_annotations(font={"color": INK, "size": 13})


def coverage_figure(covered: Mapping[str, tuple[Sequence[float], Sequence[float]]], *, title: str = "") -> go.Figure:
    """How often regions hold the truth against how often they say so; on the dotted line both are equal.

    Args:
        covered: name -> what the regions say and what they hold, percent.
    """
    figure = go.Figure()
    figure.add_trace(go.Scatter(
        x=[0, 100], y=[0, 100], mode="lines", name="as it should be", hoverinfo="skip",
        line={"color": INK, "dash": "dot"},
    ))  # fmt: skip
    for i, (name, (said, holds)) in enumerate(covered.items()):
        figure.add_trace(go.Scatter(
            x=list(said), y=list(holds), mode="lines+markers", name=name,
            line={"color": CYCLE[i % len(CYCLE)], "width": 2.2},
        ))  # fmt: skip
    spaced(styled(figure, title, "the region says (%)", "seconds whose truth it holds (%)", height=480, legend=BELOW))
    return figure.update_xaxes(range=[0, 101]).update_yaxes(range=[0, 101])
