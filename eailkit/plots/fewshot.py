"""Few-shot curves with intervals, scores over aligned data, and a classifier's timeline.

A method has one colour and one symbol in every figure (`look`); the paper's encoder is drawn solid, ours dashed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from eailkit.plots.theme import CYCLE, INK, rgba, styled

_LOOKS = {  # colour of CYCLE, symbol
    "PRIMUS": (5, "circle"), "PRIMUS, as released": (0, "diamond"), "SimCLR": (1, "square"), "SS": (1, "square-open"),
    "IMU2CLIP": (2, "triangle-up"), "IMU2CLIP (video)": (2, "triangle-up-open"),
    "IMU2CLIP (text)": (2, "triangle-down-open"), "MultitaskSSL": (3, "x"), "NN": (3, "star"),
    "NN, IMU alone": (3, "star-open"), "SS + MM": (4, "pentagon"), "SS + NN": (0, "hexagon-open"),
    "MM + NN": (4, "triangle-left-open"), "random weights": (4, "cross"), "handcrafted": (6, "circle-open"),
    "standard training": (6, "cross-open"),
}  # fmt: skip
FAINT = 0.22


def base(label: str) -> str:
    """A line's method without its encoder, share of aligned data and what was mixed in: "PRIMUS"."""
    return re.sub(r", (our encoder|\d+ % aligned|with unlabelled \w+)", "", label)


def aligned_share(label: str) -> float:
    """Share of windows that kept frame and narration in a line's pretraining, 0 to 1 (PRIMUS Fig. 6)."""
    found = re.search(r", (\d+) % aligned", label)
    return int(found[1]) / 100 if found else 1.0


def look(label: str) -> dict[str, str]:
    """Colour, symbol and dash of a line, the same in every figure."""
    colour, symbol = _LOOKS.get(base(label), (6, "circle-dot"))
    dash = "dot" if base(label) == "handcrafted" else "dash" if label.endswith(", our encoder") else "solid"
    if "with unlabelled" in label:
        symbol, dash = symbol.removesuffix("-open") + "-open", "longdashdot"
    return {"colour": CYCLE[colour], "symbol": symbol, "dash": dash}


def zero_at(shots: Sequence[int]) -> float:
    """Where zero-shot stands on a logarithmic axis of shots per class: left of the fewest."""
    return 0.5 * min(s for s in shots if s > 0)


def fewshot_figure(
    panels: Mapping[str, pd.DataFrame], *, title: str = "", value: str = "macro-F1 (%)", bands: Sequence[str] = (),
    faint: Sequence[str] = (), chance: Mapping[str, float] | None = None, height: int = 440,
) -> go.Figure:  # fmt: skip
    """Score over shots per class, a panel a test set and a line a method; zero-shot at the left edge.

    Args:
        panels: title -> columns method, shots, mean, low, high (percent), one row a point.
        bands: lines whose interval is an area; the others' are bars.
        faint: lines in the background, without intervals.
        chance: title -> what guessing gives, percent.
    """
    if not panels:
        return _nothing(title)
    figure = make_subplots(1, len(panels), subplot_titles=list(panels), shared_yaxes=True, horizontal_spacing=0.04)
    told: set[str] = set()
    for column, (name, table) in enumerate(panels.items(), start=1):
        labels = list(dict.fromkeys(table.method))
        measured = sorted(set(table.shots) - {0}) or [1]
        for i, label in enumerate(labels):
            shift = 10 ** (0.014 * (i - (len(labels) - 1) / 2)) if label not in (*bands, *faint) else 1.0
            points = table[table.method == label].sort_values("shots")
            for trace in _line(label, points, shift, zero_at(measured), label in bands, label in faint):
                trace.showlegend = bool(trace.showlegend) and label not in told
                figure.add_trace(trace, row=1, col=column)
            told.add(label)
        _shots_axis(figure, measured, bool((table.shots == 0).any()), column, every=2 if len(panels) > 1 else 1)
        if chance and name in chance:
            line = {"color": INK, "dash": "dot", "width": 1}
            figure.add_hline(y=chance[name], line=line, row=1, col=column, annotation_text="guessing")
    rows = -(-sum(len(label) + 9 for label in told) // 105)  # of the legend
    styled(figure, title, height=height + 25 * rows, legend={"y": 1.07})
    figure.update_layout(margin={"t": 70 + 25 * rows})
    figure.update_annotations(font_size=13)
    return figure.update_yaxes(title_text=value, row=1, col=1)


def _nothing(title: str) -> go.Figure:
    """What stands where nothing was recorded."""
    figure = styled(go.Figure(), f"{title}: not recorded yet" if title else "not recorded yet", height=110)
    return figure.update_xaxes(visible=False).update_yaxes(visible=False)


def _line(label: str, points: pd.DataFrame, shift: float, zero: float, band: bool, faint: bool) -> list[go.Scatter]:
    """Traces of one curve: interval, line, and its zero-shot point."""
    seen, some, traces = look(label), points[points.shots > 0], []
    hover = "%{customdata} shots per class: %{y:.1f} %<extra>" + label + "</extra>"
    common = {"legendgroup": label, "name": label, "hovertemplate": hover}
    marker = {"color": seen["colour"], "symbol": seen["symbol"], "size": 8}
    if band and len(some) > 1:
        x = np.concatenate([some.shots, some.shots[::-1]])
        y = np.concatenate([some.high, some.low[::-1]])
        area = {"fill": "toself", "fillcolor": rgba(seen["colour"], 0.16), "line": {"width": 0}, "mode": "lines"}
        traces.append(go.Scatter(x=x, y=y, hoverinfo="skip", showlegend=False, legendgroup=label, **area))
    for part, mode in ((some, "lines+markers"), (points[points.shots == 0], "markers")):
        if not len(part):
            continue
        x = part.shots * shift if mode != "markers" else np.full(len(part), zero)
        bars = None
        if not faint and not (band and len(some) > 1 and mode != "markers"):
            bars = {
                "type": "data", "symmetric": False, "array": part.high - part["mean"],
                "arrayminus": part["mean"] - part.low, "thickness": 1.1, "width": 3, "color": seen["colour"],
            }  # fmt: skip
        line = {"color": seen["colour"], "dash": seen["dash"], "width": 2.6 if band else 1.6}
        traces.append(
            go.Scatter(
                x=x, y=part["mean"], mode=mode, line=line, marker=marker, error_y=bars, opacity=FAINT if faint else 1.0,
                customdata=part.shots, showlegend=mode != "markers" or not len(some), **common,
            )
        )  # fmt: skip
    return traces


def _shots_axis(figure: go.Figure, measured: Sequence[int], zero: bool, column: int, every: int) -> None:
    """Ticks at what was measured, a number at each or, where they are many, at each second."""
    every = every if len(measured) > 5 else 1
    at, words = list(map(float, measured)), [f"{n:g}" if k % every == 0 else "" for k, n in enumerate(measured)]
    if zero:
        at, words = [zero_at(measured), *at], ["0", *words]
        line = {"color": INK, "dash": "dot", "width": 1}
        figure.add_vline(x=0.72 * min(measured), line=line, row=1, col=column)
    ends = [np.log10(min(at) / 1.25), np.log10(max(at) * 1.25)]
    figure.update_xaxes(
        type="log",
        tickvals=at,
        ticktext=words,
        tickangle=0,
        range=ends,
        title_text="shots per class",
        row=1,
        col=column,
    )


def aligned_figure(
    panels: Mapping[str, pd.DataFrame], *, title: str = "", value: str = "macro-F1 (%)", height: int = 420
) -> go.Figure:
    """Score over the share of pretraining windows that keep frame and narration (PRIMUS Fig. 6), a panel a test set.

    Args:
        panels: title -> columns method (with its share), mean, low, high, all at one number of shots per class.
    """
    if not panels:
        return _nothing(title)
    figure = make_subplots(1, len(panels), subplot_titles=list(panels), shared_yaxes=True, horizontal_spacing=0.04)
    told: set[str] = set()
    for column, table in enumerate(panels.values(), start=1):
        plain = [re.sub(r", \d+ % aligned", "", m) for m in table.method]
        table = table.assign(line=plain, share=[100 * aligned_share(m) for m in table.method])
        for i, label in enumerate(dict.fromkeys(plain)):
            part, seen = table[table.line == label].sort_values("share"), look(label)
            bars = {"type": "data", "symmetric": False, "array": part.high - part["mean"], "thickness": 1.1}
            bars |= {"arrayminus": part["mean"] - part.low, "width": 3, "color": seen["colour"]}
            figure.add_trace(
                go.Scatter(
                    x=part.share * 10 ** (0.01 * i), y=part["mean"], error_y=bars, mode="lines+markers", name=label,
                    legendgroup=label, showlegend=label not in told,
                    line={"color": seen["colour"], "dash": seen["dash"]},
                    marker={"symbol": seen["symbol"], "size": 8, "color": seen["colour"]},
                ), row=1, col=column,
            )  # fmt: skip
            told.add(label)
        shares = sorted(set(table.share))
        figure.update_xaxes(
            type="log", tickvals=shares, ticktext=[f"{s:g}" for s in shares], title_text="aligned windows (%)", row=1,
            col=column,
        )  # fmt: skip
    styled(figure, title, height=height, legend={"y": 1.1})
    return figure.update_yaxes(title_text=value, row=1, col=1)


def timeline_figure(
    found: pd.DataFrame, taught: Mapping[str, Sequence[tuple[float, float]]], *, title: str = "", height: int = 320
) -> go.Figure:
    """What a classifier calls every window of a recording, and the seconds that it was taught on.

    Args:
        found: columns start_s, end_s, label, probability (`embed.LabelClassifier.predict`).
        taught: label -> spans in seconds.
    """
    names, figure = list(taught), go.Figure()
    for name, spans in taught.items():
        for k, (low, high) in enumerate(spans):
            line = {"color": rgba(CYCLE[0], 0.45), "width": 18}
            shown = {"name": "labelled by hand", "legendgroup": "hand", "showlegend": name == names[0] and not k}
            figure.add_trace(
                go.Scatter(x=[low, high], y=[name] * 2, mode="lines", line=line, hoverinfo="skip", **shown)
            )
    bar = {"title": {"text": "its probability", "side": "right"}, "thickness": 10, "outlinewidth": 0}
    marker = {"color": found.probability, "colorscale": "Cividis", "cmin": 0, "cmax": 1, "size": 8, "colorbar": bar}
    x = (found.start_s + found.end_s) / 2
    figure.add_trace(go.Scatter(x=x, y=found.label, mode="markers", marker=marker, name="what the classifier says"))
    styled(figure, title, "time (s)", height=height)
    return figure.update_yaxes(categoryorder="array", categoryarray=names[::-1])
