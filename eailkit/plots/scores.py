"""Pictures of results: losses, similarity, scores with intervals, error over elapsed time, success curves, confusion.

Percentages and metres come in ready; intervals are drawn, never hidden. The papers' numbers get a panel of their own
(`panels_figure`), never a place among ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.subplots import make_subplots

from eailkit.plots.theme import BELOW, CYCLE, INK, rgba, spaced, styled, thin
from eailkit.training import History

SYMBOLS = ("circle", "diamond", "square", "cross", "triangle-up", "x")


def smooth(values: Float[np.ndarray, " n"], width: int) -> Float[np.ndarray, " n"]:
    """Running mean over `width` steps, shorter at the ends."""
    width = max(1, min(width, len(values)))
    kernel = np.ones(width)
    known = np.isfinite(values)
    total = np.convolve(np.where(known, values, 0.0), kernel, "same")
    return total / np.maximum(np.convolve(known.astype(float), kernel, "same"), 1)


def loss_figure(
    history: History,
    terms: Sequence[str] | None = None,
    *,
    chance: float | None = None,
    title: str = "",
    height: int = 400,
) -> go.Figure:
    """Each logged term over the steps, smoothed over a twentieth of the run, the total's own values behind it.

    Args:
        chance: the loss, nats, of a model that knows nothing.
    """
    names = list(terms) if terms is not None else list(history.steps[0] if history.steps else [])
    figure = go.Figure()
    steps = np.arange(1, len(history.steps) + 1)
    for i, name in enumerate(names):
        values, colour = history.column(name), CYCLE[i % len(CYCLE)]
        if name == "total":
            x, y = thin(steps, values, 600)
            line = {"color": rgba(colour, 0.25), "width": 1}
            figure.add_trace(go.Scatter(x=x, y=y, mode="lines", line=line, showlegend=False, hoverinfo="skip"))
        x, y = thin(steps, smooth(values, len(steps) // 20), 600)
        figure.add_trace(
            go.Scatter(x=x, y=y, mode="lines", name=name.replace("_", " and "), line={"color": colour, "width": 2})
        )
    if chance is not None:
        figure.add_hline(y=chance, line={"color": INK, "dash": "dot"}, annotation_text="knowing nothing")
    styled(figure, title, "step", "loss (nats)", height=height)
    return figure


def similarity_figure(
    matrix: Float[np.ndarray, "n m"], *, x: str, y: str, value: str = "cosine", title: str = "", height: int = 460
) -> go.Figure:
    """A matrix of similarities, the first row on top; a trained pair of encoders has a bright diagonal."""
    bar = {"title": {"text": value, "side": "right"}, "thickness": 12, "outlinewidth": 0}
    figure = go.Figure(go.Heatmap(z=np.asarray(matrix, np.float32), colorscale="Cividis", colorbar=bar))
    styled(figure, title, x, y, height=height)
    return figure.update_yaxes(autorange="reversed", scaleanchor="x", constrain="domain").update_xaxes(
        constrain="domain"
    )


def table_figure(
    scores: pd.DataFrame,
    *,
    metric: str = "success at 0.4 m (%)",
    highlight: str = "",
    title: str = "",
    height: int | None = None,
) -> go.Figure:
    """Methods down, a score across, one symbol a split, with intervals.

    Args:
        scores: columns method, split, mean, low, high (`evaluation.Table.intervals`).
        highlight: a method to draw in a colour of its own.
    """
    methods = list(dict.fromkeys(scores.method))
    figure = go.Figure()
    for i, split in enumerate(dict.fromkeys(scores.split)):
        rows = scores[scores.split == split]
        shift = 0.16 * (i - (scores.split.nunique() - 1) / 2)
        colours = [CYCLE[5] if m == highlight else CYCLE[1 + i] for m in rows.method]
        figure.add_trace(
            go.Scatter(
                x=rows["mean"], y=[methods.index(m) + shift for m in rows.method], mode="markers", name=split,
                marker={"color": colours, "size": 9, "symbol": SYMBOLS[i]}, customdata=list(rows.method),
                error_x={
                    "type": "data", "symmetric": False, "array": (rows.high - rows["mean"]).to_numpy(),
                    "arrayminus": (rows["mean"] - rows.low).to_numpy(), "color": INK, "thickness": 1.2, "width": 3,
                }, hovertemplate="%{customdata}: %{x:.1f}<extra>" + split + "</extra>",
            )
        )  # fmt: skip
    styled(figure, title, metric, "method", height=height or 130 + 34 * len(methods))
    figure.update_yaxes(tickvals=list(range(len(methods))), ticktext=methods, autorange="reversed", zeroline=False)
    return figure


def error_over_time_figure(
    curves: dict[str, pd.DataFrame], *, paper_cross_s: float | None = None, title: str = "", height: int = 480
) -> go.Figure:
    """Mean position error over elapsed time, a line a method (EAIL Fig. 4).

    Args:
        curves: name -> columns minute and error_m (`evaluation.error_over_time`).
        paper_cross_s: where the paper's velocity methods pass its own error, seconds.
    """
    figure = go.Figure()
    for i, (name, curve) in enumerate(curves.items()):
        line = {"color": CYCLE[i % len(CYCLE)], "width": 2.4 if i == 0 else 1.8, "dash": "solid" if i < 2 else "dash"}
        x, y = thin(curve.minute.to_numpy(float), curve.error_m.to_numpy(float))
        figure.add_trace(go.Scatter(x=x, y=y, mode="lines", name=name, line=line))
    if paper_cross_s is not None:
        text = f"paper, Ego-Exo4D: velocity methods lose from {paper_cross_s:g} s on"
        figure.add_vline(
            x=paper_cross_s / 60,
            line={"color": INK, "dash": "dot"},
            annotation_text=text,
            annotation_position="top right",
        )
    spaced(styled(figure, title, "elapsed time (min)", "position error (m)", height=height, legend=BELOW))
    return figure.update_yaxes(rangemode="tozero")


def changes_figure(
    scores: pd.DataFrame, *, metric: str = "success at 0.4 m (%)", highlight: str = "", title: str = "",
    height: int = 440,
) -> go.Figure:  # fmt: skip
    """A score over the share of a room that has changed since its scan: a panel a split, a line a method, bands.

    Open circles are another scan of the unchanged room, where the table has one.

    Args:
        scores: columns split, method, share (0 to 1), walk (0, or more where scanned again), mean, low and high.
        highlight: a method whose line is thicker.
    """
    splits, methods = list(dict.fromkeys(scores.split)), list(dict.fromkeys(scores.method))
    figure = make_subplots(1, len(splits), subplot_titles=splits, shared_yaxes=True, horizontal_spacing=0.05)
    for k, split in enumerate(splits, start=1):
        for i, method in enumerate(methods):
            rows = scores[(scores.split == split) & (scores.method == method)].sort_values("share")
            line, again, colour = rows[rows.walk == 0], rows[rows.walk > 0], CYCLE[i % len(CYCLE)]
            share, mean, low, high = (line[c].to_numpy(np.float32) for c in ("share", "mean", "low", "high"))
            band = go.Scatter(
                x=100 * np.concatenate([share, share[::-1]]), y=np.concatenate([high, low[::-1]]), fill="toself",
                fillcolor=rgba(colour, 0.12), line={"width": 0}, hoverinfo="skip", showlegend=False, legendgroup=method,
                mode="lines",
            )  # fmt: skip
            style = {"color": colour, "width": 3 if method == highlight else 1.8, "dash": "solid" if i < 3 else "dash"}
            trace = go.Scatter(
                x=100 * share, y=mean, name=method, legendgroup=method, mode="lines+markers", line=style,
                marker={"size": 7, "symbol": SYMBOLS[i % len(SYMBOLS)]}, showlegend=k == 1,
                hovertemplate=f"{method}, %{{x:.0f}} % changed: %{{y:.1f}}<extra>{split}</extra>",
            )  # fmt: skip
            other = go.Scatter(
                x=100 * again.share.to_numpy(np.float32), y=again["mean"].to_numpy(np.float32), mode="markers",
                marker={"symbol": "circle-open", "size": 10, "color": colour}, showlegend=False, legendgroup=method,
                hovertemplate=f"{method}, scanned again: %{{y:.1f}}<extra>{split}</extra>",
            )  # fmt: skip
            figure.add_traces([band, trace, other], rows=1, cols=k)
    spaced(styled(figure, title, "share of the room's things that changed (%)", height=height, legend=BELOW))
    return figure.update_yaxes(title_text=metric, col=1).update_yaxes(rangemode="tozero")


def success_curve_figure(
    errors_m: dict[str, Float[np.ndarray, " n"]], *, thresholds_m: Sequence[float] = (0.2, 0.4, 0.6), title: str = "",
    height: int = 420,
) -> go.Figure:  # fmt: skip
    """Share of seconds whose error is below each distance: the success rate without a chosen threshold."""
    figure = go.Figure()
    distance = np.linspace(0, 3, 121, dtype=np.float32)
    for i, (name, errors) in enumerate(errors_m.items()):
        errors = np.sort(np.asarray(errors, float)[np.isfinite(errors)])
        share = 100 * np.searchsorted(errors, distance) / max(1, len(errors))  # strictly below, as the metric
        line = {"color": CYCLE[i % len(CYCLE)], "width": 2.4 if i == 0 else 1.8, "dash": "solid" if i < 2 else "dash"}
        figure.add_trace(go.Scatter(x=distance, y=np.asarray(share, np.float32), name=name, mode="lines", line=line))
    for d in thresholds_m:
        figure.add_vline(x=d, line={"color": INK, "dash": "dot", "width": 1})
    styled(figure, title, "distance (m)", "seconds closer than that (%)", height=height)
    return figure.update_yaxes(range=[0, 100])


def confusion_figure(
    true: Sequence[int], found: Sequence[int], names: Sequence[str], *, title: str = "", height: int = 640
) -> go.Figure:
    """How often each true class is called what, in percent of its seconds; classes that never occur are left out."""
    true, found = np.asarray(true, int), np.asarray(found, int)
    counts = np.zeros((len(names), len(names)))
    np.add.at(counts, (true, found), 1)
    present = np.flatnonzero(counts.sum(1) + counts.sum(0))
    share = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    labels = [names[k] for k in present]
    bar = {"title": {"text": "% of the true class", "side": "right"}, "thickness": 12, "outlinewidth": 0}
    heat = go.Heatmap(
        z=share[np.ix_(present, present)].astype(np.float32), x=labels, y=labels, colorscale="Cividis", colorbar=bar,
        hovertemplate="true %{y}, called %{x}: %{z:.0f} %<extra></extra>",
    )  # fmt: skip
    styled(go_figure := go.Figure(heat), title, "called", "true", height=height)
    return go_figure.update_yaxes(autorange="reversed", tickfont_size=10).update_xaxes(tickfont_size=10, tickangle=-60)


def panels_figure(
    panels: dict[str, pd.DataFrame],
    metric: str,
    *,
    unit: str = "%",
    highlight: str = "full",
    title: str = "",
    height: int = 360,
) -> go.Figure:
    """One panel a source ("paper, Ego-Exo4D", "ours, SynthKitchen"), each with its own axis: read side by side.

    Args:
        panels: source -> columns method, split, mean, and low and high where it has intervals.
    """
    figure = make_subplots(1, len(panels), subplot_titles=list(panels), horizontal_spacing=0.22)
    for k, frame in enumerate(panels.values(), start=1):
        for i, split in enumerate(dict.fromkeys(frame.split)):
            rows = frame[frame.split == split]
            bars = None
            if "low" in rows:
                bars = {
                    "type": "data",
                    "symmetric": False,
                    "array": (rows.high - rows["mean"]).to_numpy(),
                    "color": INK,
                }
                bars["arrayminus"] = (rows["mean"] - rows.low).to_numpy()
            marker = {"color": [CYCLE[5] if m == highlight else CYCLE[1 + i] for m in rows.method], "size": 9}
            trace = go.Scatter(
                x=rows["mean"], y=list(rows.method), mode="markers", name=split, legendgroup=split, showlegend=k == 1,
                marker=marker | {"symbol": SYMBOLS[i]}, error_x=bars,
            )  # fmt: skip
            figure.add_trace(trace, row=1, col=k)
        figure.update_yaxes(autorange="reversed", row=1, col=k)
    styled(figure, title, f"{metric} ({unit})", height=height, legend={"y": 1.12})
    return figure
