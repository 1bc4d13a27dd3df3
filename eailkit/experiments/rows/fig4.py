"""EAIL's Fig. 4 as a command: Table 1's rows, their errors over elapsed minutes, the figures' claims, and a page.

The curves and the rules of the claims are `rows.curves`'. Of the paper's lines only velocity nets begin at the true
place; ours say "uses ground truth" wherever the heading is told too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import plotly.graph_objects as go

from eailkit.eail.figure_readings import curves_reading
from eailkit.experiments.rows.catalog import INFERRED, PUBLISHED, TABLE1, Kind
from eailkit.experiments.rows.curves import Line, lines, record_curves, record_figure_claims
from eailkit.experiments.rows.record import TRUTH
from eailkit.experiments.rows.work import Place
from eailkit.plots.takes import drift_figure
from eailkit.plots.theme import figure_html, write_page

ROWS: tuple[str, ...] = ()  # all of Table 1
PANELS = {INFERRED: "told nothing of the truth", PUBLISHED: f"told the heading at the start: {TRUTH}"}
TITLE = "Error over elapsed time (EAIL Fig. 4)"


def figure(found: Sequence[Line], *, title: str = TITLE, height: int = 880) -> go.Figure:
    """A panel a protocol; velocity nets, which are always told how a take begins, stand in both."""
    summed = {row.name for row in TABLE1 if row.kind == Kind.VELOCITY}
    named = lambda line: f"{line.row} †" if line.row in summed else line.row  # noqa: E731
    panels = {
        told: {named(line): line.curve for line in found if line.protocol == protocol or line.row in summed}
        for protocol, told in PANELS.items()
    }
    families = {named(line): line.family for line in found}
    shown = drift_figure({k: v for k, v in panels.items() if v}, families, title=title, height=height)
    return shown.update_layout(legend_title={"text": f"† first place and heading told: {TRUTH}", "side": "top"})


def reading(found: Sequence[Line]) -> str:
    """The figure in sentences."""
    summed = {row.name for row in TABLE1 if row.kind == Kind.VELOCITY}
    return curves_reading(
        {line.name: line.curve for line in found if line.row not in summed},
        {line.row: line.curve for line in found if line.row in summed},
    )


def record(
    place: Place, seeds: Sequence[int], *, results_dir: str | Path, command: str, say: Callable[[str], object] = print
) -> Path:
    """Write `results/fig4_<profile>.json`, `results/figure_claims_<profile>.json` and `fig4-<profile>.html`."""
    path = record_curves(place, seeds, results_dir=results_dir, command=command)
    record_figure_claims(place, seeds, results_dir=results_dir, command=command)
    if found := lines(place, seeds):
        parts = [figure_html(figure(found, title=""), first=True), *(f"<p>{t}</p>" for t in reading(found).split("\n"))]
        say(f"wrote {write_page(Path(place.out) / f'fig4-{place.size}.html', TITLE, parts)}")
    return path or Path(results_dir) / f"fig4_{place.size}.json"
