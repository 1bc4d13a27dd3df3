"""The metric lens: toggles over one set of predictions, each a choice that a definition of success leaves open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from eailkit.experiments.rows.lens import (
    CHOICES,
    CONVENTIONS,
    HEADLINE,
    HEADLINE_WORDS,
    Definition,
    definitions,
    root_mean_square_m,
    score,
    under_each,
)
from eailkit.experiments.rows.seconds import Seconds
from eailkit.metrics import THRESHOLDS_M
from eailkit.plots.theme import BELOW, CYCLE, INK, spaced, styled
from eailkit.widgets.panel import Panel

CHOSEN = "as chosen"


@dataclass(frozen=True)
class LensState:
    """One method on one test set, under one definition; see `rows.lens.Definition` for the last five."""

    method: str
    split: str
    threshold_m: float = 0.4
    strict: bool = HEADLINE.strict
    average: str = HEADLINE.average
    distance: str = HEADLINE.distance
    answer: str = HEADLINE.answer
    ties: str = HEADLINE.ties

    @property
    def definition(self) -> Definition:
        """The definition alone."""
        return Definition(**{f.name: getattr(self, f.name) for f in fields(Definition)})


def metric_lens_panel(prepared: Any, answers: Mapping[str, Seconds]) -> Panel:
    """One set of predictions under each definition of success, and every method under the chosen one.

    Args:
        prepared: `prepared.Prepared`.
        answers: method -> what it says of the test takes; the first is shown at first.
    """
    takes = {t.name: t for t in prepared.takes}
    splits = list(dict.fromkeys(takes[name].split for name in next(iter(answers.values())).takes))
    start = LensState(next(iter(answers)), splits[-1])
    presets = {HEADLINE_WORDS: start, "each coordinate apart": replace(start, distance="per coordinate")}
    presets["what helps most"] = replace(start, **_kindest(prepared, answers[start.method], start))
    controls = {"method": list(answers), "split": splits, "threshold_m": list(THRESHOLDS_M)}
    controls |= {name: list(values) for name, values in CHOICES.items()}
    return Panel(lambda state: lens_figure(prepared, answers, state), start, controls, presets)


def lens_figure(prepared: Any, answers: Mapping[str, Seconds], state: LensState) -> go.Figure:
    """Above one method under the tables' definition, each change of it alone and the chosen one; below every method."""
    chosen, place = state.definition, (state.split, state.definition, state.threshold_m)
    shown = answers[state.method]
    alone = under_each(prepared, {state.method: shown}, state.split, state.threshold_m)[state.method]
    bars = {**alone.to_dict(), CHOSEN: score(prepared, shown, *place)}
    both = {
        HEADLINE_WORDS: {m: score(prepared, s, state.split, HEADLINE, state.threshold_m) for m, s in answers.items()},
        CHOSEN: {m: score(prepared, s, *place) for m, s in answers.items()},
    }
    shares = [len(bars), 1.6 * len(answers)]
    figure = make_subplots(
        2, 1, subplot_titles=[f"{state.method}, one change at a time", "every method"], vertical_spacing=0.1,
        row_heights=[k / sum(shares) for k in shares], shared_xaxes=True,
    )  # fmt: skip
    figure.add_trace(_bars(bars, [CYCLE[1], *[INK] * (len(alone) - 1), CYCLE[0]], ""), row=1, col=1)
    for (name, values), colour in zip(both.items(), (CYCLE[1], CYCLE[0]), strict=True):
        figure.add_trace(_bars(values, colour, name), row=2, col=1)
    rms = [root_mean_square_m(prepared, shown, state.split, chosen.average, way) for way in CONVENTIONS]
    title = (
        f"{state.method}, {state.split}: {bars[CHOSEN]:.1f} % at {state.threshold_m:g} m<br>"
        f"{chosen.name}: {bars[CHOSEN] - alone.iloc[0]:+.1f} points<br>"
        f"root mean square {rms[0]:.2f} m, RoNIN's way {rms[1]:.2f} m"
    )
    spaced(styled(figure, title, height=round(220 + 27 * sum(shares)), legend=BELOW, barmode="group"), 90)
    figure.update_layout(margin={"t": 120}, title={"x": 0.01, "xref": "container"})
    most = max(5.0, *bars.values(), *(v for values in both.values() for v in values.values()))
    figure.update_xaxes(range=[0, 1.15 * most]).update_xaxes(title_text="success (%)", row=2, col=1)
    figure.update_yaxes(autorange="reversed", automargin=True)
    return figure.update_annotations(font={"color": INK, "size": 13})


def _bars(values: Mapping[str, float], colour: str | list[str], name: str) -> go.Bar:
    return go.Bar(
        x=[round(v, 2) for v in values.values()], y=list(values), orientation="h", marker_color=colour, name=name,
        showlegend=bool(name), text=[f"{v:.1f}" for v in values.values()], textposition="outside", cliponaxis=False,
        hovertemplate="%{y}: %{x:.1f} %<extra></extra>",
    )  # fmt: skip


def _kindest(prepared: Any, seconds: Seconds, state: LensState) -> dict:
    """The definition under which a method looks best: its fields."""
    best = max(definitions(), key=lambda d: score(prepared, seconds, state.split, d, state.threshold_m))
    return {f.name: getattr(best, f.name) for f in fields(Definition)}
