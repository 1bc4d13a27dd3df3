"""What PRIMUS trains on and what becomes of it: augmented windows, triplets, losses, singular values.

Few-shot curves and the look of each method are `plots.fewshot`'s.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Float, UInt8
from PIL import Image
from plotly.subplots import make_subplots

from eailkit.plots.fewshot import look
from eailkit.plots.theme import CYCLE, INK, styled, thin

AXES = (CYCLE[5], CYCLE[2], CYCLE[1])  # x, y, z


def augment_figure(
    raw: Float[np.ndarray, "6 n"], views: Mapping[str, Float[np.ndarray, "6 n"]], *, rate_hz: float = 50.0,
    title: str = "", height: int = 430,
) -> go.Figure:  # fmt: skip
    """Windows as an encoder gets them, acceleration above and turning below; the unchanged one stays behind, grey."""
    figure = make_subplots(
        2, len(views), subplot_titles=list(views), shared_xaxes=True, shared_yaxes="rows", vertical_spacing=0.06,
        horizontal_spacing=0.03,
    )  # fmt: skip
    for column, window in enumerate(views.values(), start=1):
        for trace, row in window_traces(raw, window, rate_hz, legend=column == 1):
            figure.add_trace(trace, row=row, col=column)
        figure.update_xaxes(title_text="time (s)", row=2, col=column)
    styled(figure, title, height=height, legend={"y": 1.1})
    figure.update_yaxes(title_text="acceleration (m/s²)", row=1, col=1)
    return figure.update_yaxes(title_text="turning (rad/s)", row=2, col=1)


def window_traces(
    raw: Float[np.ndarray, "6 n"], window: Float[np.ndarray, "6 n"], rate_hz: float = 50.0, *, legend: bool = False
) -> list[tuple[go.Scatter, int]]:
    """Traces of one window over the unchanged one, each with its row: 1 acceleration, 2 turning."""
    t, traces = np.arange(raw.shape[1]) / rate_hz, []
    for k in range(6):
        x, y = thin(t, raw[k])
        grey = {"color": INK, "width": 1}
        traces.append((go.Scatter(x=x, y=y, line=grey, opacity=0.45, showlegend=False, hoverinfo="skip"), 1 + k // 3))
    for k in range(6):
        x, y = thin(t, window[k])
        line = {"color": AXES[k % 3], "width": 1.6}
        shown = {"name": "xyz"[k % 3], "legendgroup": "xyz"[k % 3], "showlegend": legend and k < 3}
        traces.append((go.Scatter(x=x, y=y, line=line, mode="lines", **shown), 1 + k // 3))
    return traces


def _picture(image: UInt8[np.ndarray, "height width 3"]) -> go.Image:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(buffer, format="PNG")
    source = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    return go.Image(source=source, hoverinfo="skip")


def moments_figure(
    rows: Sequence[Sequence[tuple[Float[np.ndarray, "6 n"], UInt8[np.ndarray, "height width 3"] | None, str]]],
    *, titles: Sequence[str] = (), rate_hz: float = 50.0, title: str = "", height: int | None = None,
) -> go.Figure:  # fmt: skip
    """Triplets in rows: motion and frame of the first of each row, frames of the others, every narration below.

    Args:
        rows: (window, frame or None, narration) each; every row as long as the first.
        titles: over the columns of triplets.
    """
    wide = len(rows[0])
    figure = make_subplots(
        len(rows), wide + 1, column_widths=[1.3 if wide > 1 else 3.0, *[1.0] * wide], horizontal_spacing=0.02,
        vertical_spacing=0.34 / len(rows),
    )  # fmt: skip
    for r, row in enumerate(rows, start=1):
        window = row[0][0]
        t = np.arange(window.shape[1]) / rate_hz
        for k in range(3):
            line = {"color": AXES[k], "width": 1.3}
            name = {"name": "xyz"[k], "legendgroup": "xyz"[k], "showlegend": r == 1}
            figure.add_trace(go.Scatter(x=t, y=window[k], line=line, mode="lines", **name), row=r, col=1)
        for c, (_, frame, words) in enumerate(row, start=2):
            axis = (r - 1) * (wide + 1) + c
            if frame is not None:
                figure.add_trace(_picture(frame), row=r, col=c)
            where = {"xref": f"x{axis} domain", "yref": f"y{axis} domain", "showarrow": False, "x": 0.5}
            most = 40 if wide == 1 else 25
            text = words if len(words) <= most else words[: most - 1] + "…"
            figure.add_annotation(text=text, y=-0.04, yanchor="top", font={"size": 11}, **where)
            if r == 1 and c - 2 < len(titles):
                figure.add_annotation(text=titles[c - 2], y=1.03, yanchor="bottom", font={"size": 13}, **where)
            figure.update_xaxes(visible=False, row=r, col=c)
            figure.update_yaxes(visible=False, row=r, col=c)
        figure.update_yaxes(title_text="acc. (m/s²)", row=r, col=1)
    styled(
        figure,
        title,
        height=height or 140 + 165 * len(rows),
        legend={"yref": "container", "y": 0.01, "yanchor": "bottom"},
    )
    figure.update_layout(margin={"t": 84 if titles else 56, "b": 64})
    return figure.update_xaxes(title_text="time (s)", title_standoff=4, row=len(rows), col=1)


def singular_figure(
    features: Mapping[str, Float[np.ndarray, "n d"]], *, title: str = "", height: int = 400
) -> go.Figure:
    """Singular values of centred unit features, the largest as 1: a collapsed encoder uses few directions."""
    figure = go.Figure()
    for label, x in features.items():
        values, cosine = spread_of(x)
        seen = look(label)
        name = f"{label}: mean cosine {cosine:.2f}, {effective_rank(values):.1f} directions"
        line = {"color": seen["colour"], "dash": seen["dash"], "width": 2}
        y = np.maximum(values[:64] / max(values[0], 1e-12), 1e-5)
        figure.add_trace(go.Scatter(x=np.arange(1, len(y) + 1), y=y, name=name, mode="lines", line=line))
    styled(figure, title, "direction, the strongest first", "singular value (the first = 1)", height=height)
    return figure.update_yaxes(type="log", exponentformat="power", dtick=1)


def spread_of(features: Float[np.ndarray, "n d"]) -> tuple[Float[np.ndarray, " k"], float]:
    """Singular values of unit features about their mean, and the mean cosine between two different rows."""
    x = np.asarray(features, float)
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    n = len(x)
    cosine = (np.square(x.sum(0)).sum() - n) / (n * (n - 1))
    return np.linalg.svd(x - x.mean(0), compute_uv=False), float(cosine)


def effective_rank(values: Float[np.ndarray, " k"]) -> float:
    """How many directions the power is spread over: exp of the entropy of its shares (1: one direction)."""
    share = np.square(values) / max(float(np.square(values).sum()), 1e-300)
    share = share[share > 1e-12]
    return float(np.exp(-(share * np.log(share)).sum()))


def losses_figure(
    columns: Mapping[str, Mapping[str, Float[np.ndarray, " steps"]]], *, chance: Mapping[str, float] | None = None,
    title: str = "", height: int = 380,
) -> go.Figure:  # fmt: skip
    """Losses over steps, a panel a term and a line a run, smoothed.

    Args:
        columns: term -> run -> values.
        chance: term -> what a model pays that knows nothing, nats.
    """
    figure = make_subplots(1, len(columns), subplot_titles=list(columns), horizontal_spacing=0.07)
    for c, (term, runs) in enumerate(columns.items(), start=1):
        for label, values in runs.items():
            seen, width = look(label), max(1, len(values) // 20)
            known = pd.Series(values).rolling(width, min_periods=1).mean().to_numpy()
            line = {"color": seen["colour"], "dash": seen["dash"], "width": 2}
            shown = {"name": label, "legendgroup": label, "showlegend": c == 1}
            x, y = thin(np.arange(1, len(known) + 1), known, 600)
            figure.add_trace(go.Scatter(x=x, y=y, mode="lines", line=line, **shown), row=1, col=c)
        if chance and term in chance:
            line = {"color": INK, "dash": "dot"}
            figure.add_hline(y=chance[term], line=line, annotation_text="knowing nothing", row=1, col=c)
        figure.update_xaxes(title_text="step", row=1, col=c)
    styled(figure, title, height=height, legend={"y": 1.12})
    return figure.update_yaxes(title_text="loss (nats)", row=1, col=1)
