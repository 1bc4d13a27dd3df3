"""How every figure looks: one small template, colours that colour-blind readers tell apart, offline HTML.

The background is transparent and the ink a middle grey, so that a figure reads on light and dark pages alike. Colours
of lines are Okabe and Ito's; maps use viridis and cividis. Nothing here knows what is plotted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float
from plotly.colors import sample_colorscale, unlabel_rgb

from eailkit.files import write_atomically

INK = "#7d8590"  # contrast above 3.5 on white and on near-black
GRID = "rgba(128,136,144,0.22)"
TRUTH = "#D55E00"  # vermillion
FOUND = "#56B4E9"  # sky blue
CYCLE = ("#E69F00", "#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8a8f98")
BELOW = {"yref": "container", "y": 0.01, "yanchor": "bottom"}  # a legend that no axis title can meet, however narrow
MAX_TRACE_POINTS = 3000
MAX_CLOUD_POINTS = 6000
CONFIG = {"displaylogo": False, "responsive": True}


def _template() -> go.layout.Template:
    axis = {"gridcolor": GRID, "zerolinecolor": GRID, "linecolor": INK, "ticks": "outside", "tickcolor": GRID}
    wall = {"gridcolor": GRID, "zerolinecolor": GRID, "showbackground": False, "color": INK}
    return go.layout.Template(
        layout={
            "colorway": list(CYCLE),
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"color": INK, "size": 13},
            "title": {
                "x": 0.0,
                "xref": "paper",
                "font": {"size": 15},
                "yref": "container",
                "y": 0.97,
                "yanchor": "top",
            },
            "xaxis": axis | {"automargin": True},
            "yaxis": axis | {"automargin": True},
            "scene": {"xaxis": wall, "yaxis": wall, "zaxis": wall},
            "legend": {"bgcolor": "rgba(0,0,0,0)", "orientation": "h", "x": 0.0, "y": 1.01, "yanchor": "bottom"},
            "hoverlabel": {"font": {"size": 12}},
            "colorscale": {"sequential": "Cividis"},
        }
    )


TEMPLATE = _template()


def spaced(figure: go.Figure, below_px: int = 125) -> go.Figure:
    """Room under the axes for a legend (`BELOW`) that a narrow page breaks into lines."""
    return figure.update_layout(margin={"b": below_px})


def styled(
    figure: go.Figure, title: str = "", x: str | None = None, y: str | None = None, *, height: int = 420, **layout
) -> go.Figure:
    """Give a figure the package's look, its title and the titles of its axes (with units), and return it."""
    figure.update_layout(
        template=TEMPLATE, title_text=title, height=height, margin={"l": 70, "r": 30, "t": 84, "b": 55}, **layout
    )
    if x is not None:
        figure.update_xaxes(title_text=x)
    if y is not None:
        figure.update_yaxes(title_text=y)
    return figure


def metres(figure: go.Figure, x: str = "x of the map (m)", y: str = "y of the map (m)", **where) -> go.Figure:
    """Axes of a top view: equal scales, titled in metres. `where` picks a subplot (row=, col=)."""
    figure.update_xaxes(title_text=x, constrain="domain", showgrid=False, zeroline=False, **where)
    axis = "x"
    if where:
        axis = figure.get_subplot(where["row"], where["col"]).yaxis.anchor
    figure.update_yaxes(title_text=y, scaleanchor=axis, scaleratio=1, showgrid=False, zeroline=False, **where)
    return figure


def faded(name: str = "Viridis", steps: int = 12, most: float = 0.92) -> list[list]:
    """A colour scale whose low end is transparent, for maps that lie on top of a floor plan."""
    at = np.linspace(0.0, 1.0, steps)
    rgb = [unlabel_rgb(c) for c in sample_colorscale(name, list(at))]
    alpha = most * np.sqrt(at)
    return [
        [float(s), f"rgba({r:.0f},{g:.0f},{b:.0f},{a:.2f})"] for s, (r, g, b), a in zip(at, rgb, alpha, strict=True)
    ]


def rgba(colour: str, alpha: float) -> str:
    """A hex colour with an opacity."""
    r, g, b = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({r},{g},{b},{alpha:g})"


def moments_slider(
    labels: Sequence[str], frames: Sequence, prefix: str, *, at: int = 0, x: float = 0.2, y: float = -0.1
) -> dict:
    """A slider over a figure's frames that needs no kernel: a label each, shown above it after `prefix`."""
    jump = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    steps = [
        {"method": "animate", "label": label, "args": [[str(frame)], jump]}
        for label, frame in zip(labels, frames, strict=True)
    ]
    return {
        "steps": steps, "active": at, "x": x, "len": 1.0 - x, "y": y, "pad": {"t": 10}, "ticklen": 0, "minorticklen": 0,
        "font": {"color": "rgba(0,0,0,0)", "size": 1},
        "currentvalue": {"prefix": prefix, "font": {"color": INK, "size": 13}},
    }  # fmt: skip


def thin(
    x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"], most: int = MAX_TRACE_POINTS
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """A line with at most `most` points that keeps its peaks: the least and greatest of each stretch, in order."""
    if len(x) <= most:
        return np.asarray(x, np.float32), np.asarray(y, np.float32)
    edges = np.linspace(0, len(x), most // 2 + 1).astype(int)
    rows = []
    for a, b in zip(edges[:-1], edges[1:], strict=True):
        stretch = y[a:b]
        if np.isnan(stretch).all():
            rows += [a]
            continue
        rows += sorted({a + int(np.nanargmin(stretch)), a + int(np.nanargmax(stretch))})
    return np.asarray(x, np.float32)[rows], np.asarray(y, np.float32)[rows]


def clock(second: int) -> str:
    """Minutes and seconds of elapsed time: "2:05"."""
    return f"{second // 60}:{second % 60:02d}"


def figure_html(figure: go.Figure, *, first: bool = False, fills: bool = False) -> str:
    """A figure as a part of a page.

    Args:
        first: bring plotly.js along, as one figure of a page must.
        fills: take the size of the element around it, which must have one, instead of its own height.
    """
    size = {"default_width": "100%", "default_height": "100%"} if fills else {}
    config = CONFIG | ({"displayModeBar": False} if fills else {})
    return figure.to_html(full_html=False, include_plotlyjs=first, config=config, auto_play=False, **size)


def write_page(path: str | Path, title: str, parts: Sequence[str], *, style: str = "") -> Path:
    """Write parts of HTML as one file that needs no network, light or dark as the reader has it.

    Args:
        title: its heading too.
        parts: HTML; figures by `figure_html`.
        style: CSS beyond the page's own.
    """
    body = "\n".join(parts)
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n<meta name="color-scheme" content="light dark">\n'
        f"<title>{title}</title>\n<style>body {{ margin: 1rem auto; padding: 0 1rem; max-width: 70rem; "
        f"font: 1rem/1.45 system-ui, sans-serif; }} h1 {{ font-size: 1.4rem; }} {style}</style>\n"
        f"</head><body>\n<h1>{title}</h1>\n{body}\n</body></html>\n"
    )
    return write_atomically(path, lambda p: Path(p).write_text(page, encoding="utf-8"))


def write_html(figure: go.Figure, path: str | Path) -> Path:
    """Write a figure as one HTML file that needs no network: plotly.js inside, light or dark as the reader has it."""
    body = figure.to_html(full_html=False, include_plotlyjs=True, config=CONFIG, auto_play=False)
    title = figure.layout.title.text or "eailkit"
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n<meta name="color-scheme" content="light dark">\n'
        f"<title>{title}</title>\n<style>body {{ margin: 1rem auto; max-width: 60rem; }}</style>\n"
        f"</head><body>\n{body}\n</body></html>\n"
    )
    return write_atomically(path, lambda p: Path(p).write_text(page, encoding="utf-8"))
