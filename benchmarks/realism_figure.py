"""The figure of the realism table: spectra of simulated and real heads on top of each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from benchmarks.browser import screenshot
from benchmarks.head_statistics import spectrum
from benchmarks.real_heads import HeadRecording
from eailkit.plots.theme import FOUND, TRUTH, rgba, styled

SHOWN = {
    "walking": "walking", "standing": "standing", "sit_to_stand": "sitting down and up",
    "sit_read_book": "reading, seated (held out)",
}  # fmt: skip
SIGNALS = {"acc_mps2": "|acc|, (m/s²)²/Hz", "gyro_radps": "|gyro|, (rad/s)²/Hz"}


def draw(real: dict[str, list[HeadRecording]], simulated: dict[str, list[HeadRecording]], path: str | Path) -> Path:
    """Medians over wearers as lines, p10 to p90 of the real ones as a band; written as a PNG."""
    figure = make_subplots(
        2, len(SHOWN), subplot_titles=list(SHOWN.values()), shared_xaxes=True, vertical_spacing=0.07,
        horizontal_spacing=0.05,
    )  # fmt: skip
    for column, activity in enumerate(SHOWN, 1):
        for row, signal in enumerate(SIGNALS, 1):
            for trace in _traces(real[activity], simulated[activity], signal, row == column == 1):
                figure.add_trace(trace, row=row, col=column)
    figure.update_xaxes(type="log", range=[np.log10(0.2), np.log10(50)], tickvals=[0.2, 1, 5, 20, 50])
    figure.update_yaxes(type="log", exponentformat="power", nticks=6)
    figure.update_xaxes(title_text="frequency (Hz)", row=2)
    for row, title in enumerate(SIGNALS.values(), 1):
        figure.update_yaxes(title_text=title, row=row, col=1)
    styled(figure, height=620)
    figure.update_layout(paper_bgcolor="white", plot_bgcolor="white", font_color="#30363d", margin={"t": 70})
    figure.update_layout(legend={"y": 1.08, "x": 0.0})
    body = figure.to_html(full_html=False, include_plotlyjs=True)
    return screenshot(f"<!doctype html><meta charset='utf-8'><body style='margin:0'>{body}</body>", path, 1280, 640)


def _traces(real: list[HeadRecording], simulated: list[HeadRecording], signal: str, legend: bool) -> list[go.Scatter]:
    frequency, theirs = _densities(real, signal)
    _, ours = _densities(simulated, signal)
    p10, p50, p90 = np.percentile(theirs, [10, 50, 90], axis=0)
    line = lambda y, **more: go.Scatter(x=frequency, y=y, mode="lines", showlegend=legend, **more)  # noqa: E731
    return [
        line(p90, line={"width": 0}, hoverinfo="skip").update(showlegend=False),
        line(
            p10, line={"width": 0}, fill="tonexty", fillcolor=rgba(TRUTH, 0.22), name="real wearers, p10 to p90",
            hoverinfo="skip",
        ),
        line(p50, line={"color": TRUTH, "width": 2}, name="real, median"),
        line(np.median(ours, axis=0), line={"color": FOUND, "width": 2, "dash": "dash"}, name="simulated, median"),
    ]  # fmt: skip


def _densities(recordings: list[HeadRecording], signal: str) -> tuple[np.ndarray, np.ndarray]:
    found = [spectrum(np.linalg.norm(getattr(r, signal), axis=1), r.rate_hz) for r in recordings]
    frequency = found[0][0]
    edges = np.geomspace(0.2, 50.0, 56)  # smoothed over a fourteenth of a decade
    rows = [np.flatnonzero((frequency >= a) & (frequency < b)) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    kept = [r for r in rows if len(r)]
    centres = np.array([frequency[r].mean() for r in kept])
    return centres, np.array([[density[r].mean() for r in kept] for _, density in found])
