"""A room seen from above and in space: floor plan, heatmaps over its 400 cells, paths, local clouds (EAIL Fig. 1, 3).

Top views are rasters and light lines, not thousands of markers, so that a notebook holds many of them. All
coordinates are metres in the map's frame; cells are numbered as in `mapgrid.MapGrid`.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float, UInt8
from PIL import Image
from plotly.subplots import make_subplots

from eailkit.plots.theme import FOUND, INK, MAX_CLOUD_POINTS, TRUTH, faded, metres, moments_slider, rgba, styled
from eailkit.preprocess.mapgrid import COLUMN_M, MapGrid

PLAN_PITCH_M = 0.05
PLAN_BAND_M = (0.15, 2.3)  # above the floor's own points, under the ceiling's
MARGIN_M = 0.7
MAX_FRAMES = 90


def plan_trace(cloud: Float[np.ndarray, "n 3"], grid: MapGrid) -> go.Heatmap:
    """The floor plan: how many points stand over each 5 cm of floor, grey on nothing."""
    height = cloud[:, 2] - grid.floor_z_m
    shown = cloud[(height > PLAN_BAND_M[0]) & (height < PLAN_BAND_M[1]), :2]
    low = np.asarray(grid.centre_xy_m) - grid.side_m / 2 - MARGIN_M
    count = int(np.ceil((grid.side_m + 2 * MARGIN_M) / PLAN_PITCH_M))
    edges = [low[k] + PLAN_PITCH_M * np.arange(count + 1) for k in (0, 1)]
    density = np.log1p(np.histogram2d(shown[:, 1], shown[:, 0], bins=[edges[1], edges[0]])[0])
    top = np.percentile(density[density > 0], 95) if (density > 0).any() else 1.0
    grey = np.round(np.clip(density / top, 0, 1) * 100).astype(np.uint8)
    return go.Heatmap(
        z=grey, x0=float(low[0] + PLAN_PITCH_M / 2), dx=PLAN_PITCH_M, y0=float(low[1] + PLAN_PITCH_M / 2),
        dy=PLAN_PITCH_M, colorscale=[[0, "rgba(128,136,144,0)"], [1, "rgba(128,136,144,0.85)"]], showscale=False,
        hoverinfo="skip", zmin=0, zmax=100, name="map",
    )  # fmt: skip


def heat_trace(
    values: Float[np.ndarray, " cells"], grid: MapGrid, *, title: str = "probability", low: float | None = None,
    high: float | None = None, bar: bool = True, bar_x: float | None = None,
) -> go.Heatmap:  # fmt: skip
    """One value per cell as colour over the floor; NaN and -inf stay blank."""
    z = np.array(values, np.float32).reshape(grid.n, grid.n)
    z[~np.isfinite(z)] = np.nan
    x, y = grid.cell_centres[: grid.n, 0], grid.cell_centres[:: grid.n, 1]
    colorbar = {"title": {"text": title, "side": "right"}, "thickness": 12, "len": 0.85, "outlinewidth": 0}
    return go.Heatmap(
        z=z, x0=float(x[0]), dx=grid.pitch_m, y0=float(y[0]), dy=grid.pitch_m, colorscale=faded(), zmin=low, zmax=high,
        showscale=bar, colorbar=colorbar | ({} if bar_x is None else {"x": bar_x}), name=title,
        hovertemplate="x %{x:.2f} m, y %{y:.2f} m: %{z:.3f}<extra></extra>",
    )  # fmt: skip


def square_trace(
    grid: MapGrid, cell: int | None = None, *, colour: str = INK, side_m: float | None = None
) -> go.Scatter:
    """Outline of the whole square, or of a cell (or of `side_m` around its middle)."""
    middle = np.asarray(grid.centre_xy_m) if cell is None else grid.cell_centres[cell]
    half = (side_m or (grid.side_m if cell is None else grid.pitch_m)) / 2
    corners = middle + half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])
    return go.Scatter(
        x=corners[:, 0], y=corners[:, 1], mode="lines", hoverinfo="skip", showlegend=False,
        line={"color": colour, "width": 1.5, "dash": "dot" if cell is None else "solid"},
    )  # fmt: skip


def path_trace(
    xy: Float[np.ndarray, "n 2"], name: str, colour: str, *, markers: bool = False, width: float = 2.0
) -> go.Scatter:
    """A path on the floor, gaps where it is NaN; `markers` draws it as dots (cells jump, lines would lie)."""
    xy = np.asarray(xy, np.float32)
    return go.Scatter(
        x=xy[:, 0],
        y=xy[:, 1],
        name=name,
        mode="markers" if markers else "lines",
        hoverinfo="skip",
        line={"color": rgba(colour, 0.55), "width": width},
        marker={"color": rgba(colour, 0.45), "size": 5, "symbol": "square"},
    )


def here_trace(xy: Sequence[float], name: str, colour: str, symbol: str = "circle") -> go.Scatter:
    """Where somebody stands: one large marker."""
    return go.Scatter(
        x=[float(xy[0])], y=[float(xy[1])], mode="markers", name=name, marker={
            "color": colour, "size": 13, "symbol": symbol, "line": {"color": "#ffffff", "width": 1.5},
        }, hovertemplate=name + ": x %{x:.2f} m, y %{y:.2f} m<extra></extra>",
    )  # fmt: skip


def kitchen_figure(
    cloud: Float[np.ndarray, "n 3"],
    grid: MapGrid,
    *,
    heatmap: Float[np.ndarray, " cells"] | None = None,
    truth: Float[np.ndarray, "n 2"] | None = None,
    found: Float[np.ndarray, "n 2"] | None = None,
    here: Sequence[float] | None = None,
    guess: Sequence[float] | None = None,
    title: str = "",
    value: str = "probability",
    high: float | None = None,
    height: int = 520,
) -> go.Figure:
    """A kitchen from above with whatever is known about it.

    Args:
        cloud: points of the map, world frame.
        heatmap: one value per cell, NaN where blank.
        truth, found: the true and the predicted path.
        here, guess: the true and the predicted position of one moment.
        value: what the colour means, with its unit.
    """
    figure = go.Figure([plan_trace(cloud, grid), square_trace(grid)])
    if heatmap is not None:
        figure.add_trace(heat_trace(heatmap, grid, title=value, low=None if high is None else 0.0, high=high))
    if truth is not None:
        figure.add_trace(path_trace(truth, "true path", TRUTH))
    if found is not None:
        figure.add_trace(path_trace(found, "predicted cells", FOUND, markers=True))
    if here is not None and np.isfinite(here).all():
        figure.add_trace(here_trace(here, "true position", TRUTH))
    if guess is not None:
        figure.add_trace(here_trace(guess, "predicted position", FOUND, "diamond"))
    return metres(styled(figure, title, height=height))


def heatmap_figure(
    maps: dict[str, Float[np.ndarray, " cells"]],
    cloud: Float[np.ndarray, "n 3"],
    grid: MapGrid,
    *,
    here: Sequence[float] | None = None,
    title: str = "",
    value: str = "cosine",
    shared: bool = True,
    height: int = 400,
) -> go.Figure:
    """Several heatmaps of one room side by side, on one colour scale where `shared`.

    Args:
        maps: name -> one value per cell, NaN where blank.
        here: the true position, drawn in each.
    """
    figure = make_subplots(1, len(maps), subplot_titles=list(maps), horizontal_spacing=0.06)
    values = np.concatenate([np.asarray(v, float)[np.isfinite(v)] for v in maps.values()])
    low, high = (float(values.min()), float(values.max())) if shared and len(values) else (None, None)
    for k, heat in enumerate(maps.values(), start=1):
        last = shared and k == len(maps)
        for trace in (plan_trace(cloud, grid), heat_trace(heat, grid, title=value, low=low, high=high, bar=last)):
            figure.add_trace(trace, row=1, col=k)
        if here is not None and np.isfinite(here).all():
            mark = here_trace(here, "true position", TRUTH)
            mark.showlegend = k == 1
            figure.add_trace(mark, row=1, col=k)
        metres(figure, y="y of the map (m)" if k == 1 else "", row=1, col=k)
    return styled(figure, title, height=height, legend={"y": 1.1})


def walk_figure(
    cloud: Float[np.ndarray, "n 3"],
    grid: MapGrid,
    time_s: Float[np.ndarray, " n"],
    confidence: Float[np.ndarray, "n cells"],
    *,
    truth: Float[np.ndarray, "n 2"] | None = None,
    found: Float[np.ndarray, "n 2"] | None = None,
    words: Sequence[str] | None = None,
    title: str = "",
    value: str = "probability",
    most: int = MAX_FRAMES,
    height: int = 680,
) -> go.Figure:
    """A walk with a slider over its moments and a play button: heatmap, true and predicted position.

    Args:
        confidence: one map a second; the colour scale is the same for all of them.
        found: predicted positions; the highest cell of each second by default.
        words: something to say about each second, such as the action.
        most: moments on the slider; longer walks are stepped through.
    """
    confidence = np.asarray(confidence, np.float32)
    found = grid.cell_centres[confidence.argmax(1)] if found is None else np.asarray(found)
    seconds = np.unique(np.linspace(0, len(time_s) - 1, min(most, len(time_s))).round().astype(int))
    high = float(np.percentile(confidence.max(1), 90))
    known = truth is not None
    figure = go.Figure(
        [plan_trace(cloud, grid), square_trace(grid), path_trace(found, "predicted cells", FOUND, markers=True)]
    )
    if known:
        figure.add_trace(path_trace(truth, "true path", TRUTH))
    moving = len(figure.data)

    def moment(k: int, bar: bool) -> list:
        heat = heat_trace(confidence[k], grid, title=value, low=0.0, high=high, bar=bar)
        now = [heat, here_trace(found[k], "predicted now", FOUND, "diamond")]
        return now + ([here_trace(truth[k], "true now", TRUTH)] if known else [])

    figure.add_traces(moment(int(seconds[0]), True))
    say = lambda k: f"{time_s[k]:.0f} s" + (f", {words[k]}" if words is not None and words[k] else "")  # noqa: E731
    figure.frames = [
        go.Frame(data=_changed(moment(int(k), False)), traces=list(range(moving, len(figure.data))), name=str(int(k)))
        for k in seconds
    ]
    jump = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    play = {"frame": {"duration": 350, "redraw": True}, "transition": {"duration": 0}, "fromcurrent": True}
    styled(
        figure, title, height=height,
        sliders=[moments_slider([say(int(k)) for k in seconds], [int(k) for k in seconds], "at ")],
        updatemenus=[{
            "type": "buttons", "direction": "left", "x": 0.0, "y": -0.1, "xanchor": "left", "yanchor": "top",
            "showactive": False, "pad": {"t": 22}, "bgcolor": "rgba(128,136,144,0.15)", "buttons": [
                {"label": "play", "method": "animate", "args": [None, play]},
                {"label": "stop", "method": "animate", "args": [[None], jump]},
            ],
        }],
    )  # fmt: skip
    figure.update_layout(margin={"b": 110})
    return metres(figure)


def _changed(traces: list) -> list:
    """What a frame has to say of its traces: only values and places; looks stay with the first."""
    return [{"type": t.type} | ({"z": t.z} if t.type == "heatmap" else {"x": t.x, "y": t.y}) for t in traces]


def track_figure(track, room) -> go.Figure:
    """What `eailkit localize --plot` draws: a `localize.Track` on a `localize.EncodedMap`, with a slider over time."""
    confidence = np.where(room.clouds.empty, np.nan, track.prediction.confidence)
    side = f"{room.grid.side_m:.1f} m"
    return walk_figure(
        room.point_map.points_world_m, room.grid, track.time_s, np.nan_to_num(confidence), found=track.position_m,
        words=list(track.action), title=f"{len(track.time_s)} s localized in a square of {side} x {side}",
    )  # fmt: skip


def cloud_trace(
    points: Float[np.ndarray, "n 3"], *, size: float = 1.8, bar: str | None = None, most: int = MAX_CLOUD_POINTS
):
    """Points in space coloured by height, at most `most` of them (the same ones every time)."""
    if len(points) > most:
        points = points[np.random.default_rng(0).permutation(len(points))[:most]]
    points = np.asarray(points, np.float32)
    scale = {"title": {"text": bar, "side": "right"}, "thickness": 12, "len": 0.7} if bar else None
    marker = {
        "size": size,
        "color": points[:, 2],
        "colorscale": "Cividis",
        "showscale": bar is not None,
        "colorbar": scale,
    }
    return go.Scatter3d(
        x=points[:, 0],
        y=points[:, 1],
        z=points[:, 2],
        mode="markers",
        marker=marker,
        hoverinfo="skip",
        showlegend=False,
    )


def cloud_figure(
    cloud: Float[np.ndarray, "n 3"], *, path: Float[np.ndarray, "n 3"] | None = None, title: str = "", height: int = 520
) -> go.Figure:
    """A room's cloud in space, coloured by height, with a path of the head through it. World frame, metres."""
    low, high = np.percentile(cloud, [1, 99], axis=0)
    near = ((cloud > low - 1.0) & (cloud < high + 1.0)).all(axis=1)  # outliers would leave a dot of the room
    figure = go.Figure(cloud_trace(cloud[near], bar="height z (m)"))
    if path is not None:
        p = np.asarray(path, np.float32)[:: max(1, len(path) // 1000)]
        line = {"color": TRUTH, "width": 4}
        figure.add_trace(go.Scatter3d(x=p[:, 0], y=p[:, 1], z=p[:, 2], mode="lines", line=line, name="head"))
    return _in_space(styled(figure, title, height=height))


def _in_space(figure: go.Figure, scene: str = "scene") -> go.Figure:
    figure.update_layout({scene: {
        "aspectmode": "data", "xaxis_title_text": "x (m)", "yaxis_title_text": "y (m)", "zaxis_title_text": "z (m)",
        "camera": {"eye": {"x": 1.5, "y": -1.8, "z": 1.0}},
    }})  # fmt: skip
    return figure


def cell_figure(
    cloud: Float[np.ndarray, "n 3"],
    grid: MapGrid,
    points: Float[np.ndarray, "cells points 3"],
    valid: np.ndarray,
    cell: int,
    *,
    height: int = 460,
) -> go.Figure:
    """One cell: where its 1 m x 1 m column lies on the floor (left) and the local cloud that the encoder gets (right).

    Args:
        points, valid: of `mapgrid.LocalClouds` or `cache.RoomCache`.
    """
    figure = make_subplots(1, 2, specs=[[{"type": "xy"}, {"type": "scene"}]], column_widths=[0.5, 0.5])
    for trace in (
        plan_trace(cloud, grid), square_trace(grid), square_trace(grid, cell, colour=TRUTH),
        square_trace(grid, cell, colour=FOUND, side_m=COLUMN_M),
    ):  # fmt: skip
        figure.add_trace(trace, row=1, col=1)
    own = np.asarray(points[cell])[np.asarray(valid[cell], bool)]
    figure.add_trace(cloud_trace(own, size=2.5, bar="height (m)"), row=1, col=2)
    row, column = divmod(cell, grid.n)
    title = f"Cell {cell} (row {row}, column {column}): {len(own)} points of its 1 m x 1 m column"
    return metres(_in_space(styled(figure, title, height=height)), row=1, col=1)


def frames_figure(
    images: UInt8[np.ndarray, "n height width 3"], titles: Sequence[str], *, height: int = 240
) -> go.Figure:
    """Egocentric frames in a row, each with a line above it."""
    figure = make_subplots(1, len(images), subplot_titles=list(titles), horizontal_spacing=0.02)
    for k, image in enumerate(images, start=1):
        buffer = io.BytesIO()
        Image.fromarray(np.asarray(image)).save(buffer, format="PNG")
        source = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
        figure.add_trace(go.Image(source=source, hoverinfo="skip"), row=1, col=k)
    figure.update_annotations(font_size=12)
    styled(figure, height=height)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure.update_layout(margin={"t": 36, "b": 10, "l": 10, "r": 10})
