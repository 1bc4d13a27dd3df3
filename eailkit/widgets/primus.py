"""Panels of PRIMUS's notebooks: the switches "paper / as released", the few-shot explorer, and checks of exercises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots

from eailkit.errors import ConfigError
from eailkit.plots.fewshot import fewshot_figure, zero_at
from eailkit.plots.primus import window_traces
from eailkit.plots.theme import FOUND, INK, TRUTH, styled
from eailkit.primus.losses import nearest, ss_loss
from eailkit.results.names import HANDCRAFTED
from eailkit.results.recorded import HEADS, Reach, curve, fewer_labels, reach
from eailkit.widgets.panel import Panel
from eailkit.widgets.primus_examples import SwitchBatch

METRIC_NAMES = {"macro-F1": "macro_f1", "accuracy": "accuracy"}


@dataclass(frozen=True)
class SwitchState:
    """One position of the switches; the first value of each is the paper's, the second the release's.

    Attributes:
        scaling: "per channel" or "per sample". order: "reversal" or "permutation". views: augmented ones, "both" or
        "one". queue: rows that can be neighbours, "written" or "all". equal: windows with the same samples are
        "masked" or "negatives". window: the one that is shown. batches: in the queue already.
    """

    scaling: str = "per channel"
    order: str = "reversal"
    views: str = "both"
    queue: str = "written"
    equal: str = "masked"
    window: int = 0
    batches: int = 0


AS_RELEASED = SwitchState("per sample", "permutation", "one", "all", "negatives")
CHOICES = {
    "scaling": ("per channel", "per sample"), "order": ("reversal", "permutation"), "views": ("both", "one"),
    "queue": ("written", "all"), "equal": ("masked", "negatives"),
}  # fmt: skip


def switch_panel(batch: SwitchBatch) -> Panel:
    """What each difference between PRIMUS's paper and its release does to one batch: views, L_SS, neighbours."""

    def view(state: SwitchState) -> go.Figure:
        return switch_figure(batch, state)

    controls = {name: list(values) for name, values in CHOICES.items()}
    controls |= {"window": (0, len(batch.imu) - 1, 1), "batches": (0, len(batch.earlier), 1)}
    start = SwitchState()
    presets = {"paper": start, "as released": AS_RELEASED}
    presets |= {f"paper, but {n}: {getattr(AS_RELEASED, n)}": replace(start, **{n: getattr(AS_RELEASED, n)})
                for n in CHOICES}  # fmt: skip
    presets["paper, two batches later"] = replace(start, batches=2)
    return Panel(view, start, controls, presets)


def switch_loss(batch: SwitchBatch, state: SwitchState) -> float:
    """L_SS of the batch at a position of the switches, nats."""
    equal = torch.from_numpy(batch.equal) if state.equal == "masked" else None
    return float(ss_loss(*batch.features[state.scaling, state.order, state.views], batch.scale, equal=equal))


def switch_neighbours(batch: SwitchBatch, state: SwitchState) -> tuple[np.ndarray, np.ndarray] | None:
    """Cosine of each window's neighbour, and whether that is a row that nothing was written to; None without any."""
    written = batch.earlier[: state.batches].reshape(-1, batch.keys.shape[1])
    queue = torch.from_numpy(np.concatenate([written, np.zeros((len(batch.keys), batch.keys.shape[1]), np.float32)]))
    valid = torch.arange(len(queue)) < len(written)
    if state.queue == "written" and not valid.any():
        return None
    keys = torch.from_numpy(batch.keys)
    index = nearest(keys, queue, valid if state.queue == "written" else None)
    return (keys * queue[index]).sum(1).numpy(), ~valid[index].numpy()


def switch_figure(batch: SwitchBatch, state: SwitchState) -> go.Figure:
    """Both views of one window, the pairs of the batch as L_SS sees them, and every window's neighbour."""
    one, two = batch.views[state.scaling, state.order]
    first = "first view: as it is" if state.views == "one" else "first view"
    figure = make_subplots(
        2, 3, subplot_titles=[first, "second view", "cosine of view 1 (down), 2", "", "", "nearest neighbour's cosine"],
        column_widths=[0.35, 0.35, 0.3], horizontal_spacing=0.06, vertical_spacing=0.17,
    )  # fmt: skip
    raw = batch.imu[state.window]
    shown = (raw if state.views == "one" else one[state.window], two[state.window])
    for column, window in enumerate(shown, start=1):
        for trace, row in window_traces(raw, window, legend=column == 1):
            figure.add_trace(trace, row=row, col=column)
    a, b = batch.features[state.scaling, state.order, state.views]
    cosine = (a @ b.T).numpy()
    twins = batch.equal & ~np.eye(len(cosine), dtype=bool)
    if state.equal == "masked":
        cosine = np.where(twins, np.nan, cosine)
    bar = {"len": 0.45, "y": 0.79, "thickness": 10, "outlinewidth": 0}
    figure.add_trace(go.Heatmap(z=cosine, colorscale="Cividis", zmin=-1, zmax=1, colorbar=bar), row=1, col=3)
    found = switch_neighbours(batch, state)
    score, empty_mask = found or (np.zeros(0), np.zeros(0, bool))
    at, empty = np.arange(len(score)), int(empty_mask.sum())
    kinds = (("neighbour: a stored frame", ~empty_mask, "circle", FOUND), ("an empty row", empty_mask, "x", TRUTH))
    for name, rows, symbol, colour in kinds:
        marker = {"color": colour, "symbol": symbol, "size": 7}
        dots = go.Scatter(x=at[rows], y=score[rows], mode="markers", marker=marker, name=name, showlegend=True)
        figure.add_trace(dots, row=2, col=3)
    if found is None:
        where = {"x": len(cosine) / 2, "y": 0.5, "xref": "x6", "yref": "y6", "showarrow": False}
        figure.add_annotation(text="nothing stored yet", **where)
    told = "no neighbours yet, L_NN waits" if found is None else f"{empty} of {len(cosine)} neighbours are empty rows"
    negatives = 0 if state.equal == "masked" else int(twins.sum())
    title = f"L_SS {switch_loss(batch, state):.2f} nats; {negatives} negatives hold the window itself; {told}"
    styled(figure, title, height=580, legend={"yref": "container", "y": 0.01, "yanchor": "bottom"})
    figure.update_annotations(font_size=13)
    for column in (1, 2):
        figure.update_yaxes(title_text="m/s²" if column == 1 else None, row=1, col=column)
        figure.update_yaxes(title_text="rad/s" if column == 1 else None, row=2, col=column)
        figure.update_xaxes(title_text="time (s)", row=2, col=column)
    figure.update_yaxes(autorange="reversed", row=1, col=3)
    figure.update_xaxes(title_text="window of the batch", range=[-1, len(cosine)], row=2, col=3)
    return figure.update_yaxes(range=[-0.1, 1.08], row=2, col=3)


@dataclass(frozen=True)
class ExplorerState:
    """What the few-shot explorer shows.

    Attributes:
        test: a test set. method, against: two lines. head: "random", "text" or "encoder". metric: "macro-F1" or
        "accuracy". shots: shots per class at which `method` is read; 0 is zero-shot. others: draw the other lines too.
    """

    test: str
    method: str
    against: str
    head: str = "random"
    metric: str = "macro-F1"
    shots: int = 5
    others: bool = False


def explorer_panel(table: pd.DataFrame, *, method: str = "PRIMUS", against: str = "IMU2CLIP") -> Panel:
    """Few-shot curves to compare: "the same with k times fewer labels", intervals, zero-shot, handcrafted features.

    Args:
        table: `recorded.from_scores` or `recorded.recorded`.

    Raises:
        ConfigError: no curve in the table.
    """
    if not len(table):
        raise ConfigError("explorer: found no curves; expected some; score a method or record a figure first.")
    tests, methods = (list(dict.fromkeys(table[name])) for name in ("test", "method"))
    heads = [h for h in HEADS if (table.variant == h).any()]
    counts = sorted(set(table.shots.astype(int)))
    pick = lambda wanted, other: wanted if wanted in methods else other  # noqa: E731
    middle = min(counts, key=lambda n: abs(n - 5))
    start = ExplorerState(tests[0], pick(method, methods[0]), pick(against, methods[-1]), heads[0], shots=middle)
    presets = {f"against {start.against}": start, f"against {HANDCRAFTED}": replace(start, against=HANDCRAFTED)}
    if "text" in heads:
        presets["zero-shot"] = replace(start, head="text", shots=0)
    presets["another test set"] = replace(start, test=tests[-1], others=True)
    presets = {name: s for name, s in presets.items() if s.against in methods and s.shots in counts}
    controls = {
        "test": tests, "method": methods, "against": methods, "head": heads, "metric": list(METRIC_NAMES),
        "shots": counts, "others": None,
    }  # fmt: skip
    return Panel(lambda state: explorer_figure(table, state), start, controls, presets)


def explorer_figure(table: pd.DataFrame, state: ExplorerState) -> go.Figure:
    """The two curves and the handcrafted one, and how many labels `against` needs for what `method` has."""
    metric = METRIC_NAMES[state.metric]

    def line(method: str) -> pd.DataFrame:
        return curve(table, state.test, method, state.head, metric)

    front = list(dict.fromkeys([state.method, state.against, HANDCRAFTED]))
    back = [m for m in dict.fromkeys(table.method) if m not in front] if state.others else []
    parts = {m: line(m) for m in [*back, *reversed(front)]}
    parts = {m: part for m, part in parts.items() if len(part)}
    one, other = parts.get(state.method), parts.get(state.against)
    if not parts:
        return styled(go.Figure(), f"nothing was measured with the {state.head} head on {state.test}")
    shown = pd.concat(parts.values())
    found: Reach | None = None
    if one is None or other is None:
        lacking = state.method if one is None else state.against
        told = f"{lacking}: not measured with the {state.head} head on {state.test}"
    elif not (one.shots == state.shots).any():
        counts = ", ".join(map(str, one.shots))
        told = f"{state.method} wasn't measured at {state.shots} shots per class (but at {counts})"
    else:
        told, found = fewer_labels(one, other, state.shots)
    figure = fewshot_figure({state.test: shown}, title=told, value=f"{state.metric} (%)", bands=front, faint=back)
    if found is not None:
        _crosshair(figure, one, found, state.shots, zero_at(sorted(set(shown.shots) - {0})))
    return figure


def _crosshair(figure: go.Figure, one: pd.DataFrame, found: Reach, shots: int, zero: float) -> None:
    """A level line from the chosen point to where the other curve reaches the same value."""
    value = float(one[one.shots == shots]["mean"].iloc[0])
    here = shots or zero
    there = here if found.how == "never" else found.shots
    marker = {"size": [16, 13], "symbol": ["circle-open", "x-thin"], "line": {"width": 2.5, "color": INK}, "color": INK}
    figure.add_trace(
        go.Scatter(
            x=[here, there], y=[value, value], mode="lines+markers", marker=marker, showlegend=False,
            line={"color": INK, "dash": "dashdot", "width": 2.5}, hoverinfo="skip", name="the same value",
        )
    )  # fmt: skip


def check_nearest(found: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]) -> str:
    """Whether a function (keys, queue, valid) -> indices is Eq. 3 over the valid rows; empty rows are zeros."""
    for seed in range(5):
        g = torch.Generator().manual_seed(seed)
        keys, queue = torch.randn(6, 8, generator=g), torch.randn(40, 8, generator=g)
        queue *= 5 * torch.rand(40, 1, generator=g)
        valid = torch.arange(40) < (12 if seed < 4 else 1)
        queue[~valid] = 0.0
        keys = keys if seed < 4 else -queue[:1]  # the opposite of the only entry: an empty row would win
        answer, right = torch.as_tensor(found(keys, queue, valid)), nearest(keys, queue, valid)
        if answer.shape != right.shape:
            return f"not yet: found a result of shape {tuple(answer.shape)}; one index for each of {len(keys)} keys"
        if not valid[answer].all():
            return "not yet: an empty row is somebody's neighbour"
        if not torch.equal(answer, right):
            return "not yet: long rows win; compare directions, not lengths"
    return "right: one matrix product, and no empty row"


def check_fewer(found: Callable[[Sequence[float], Sequence[float], float], float]) -> str:
    """Whether a function (shots, values, wanted) -> shots per class reads a curve as `recorded.reach` does."""
    shots, values = np.array([1, 10, 100]), np.array([20.0, 40.0, 60.0])
    for wanted in (30.0, 50.0, 60.0):
        answer, right = found(shots, values, wanted), reach(shots, values, wanted).shots
        if answer is None or not np.isclose(answer, right, rtol=0.01):
            return f"not yet: {wanted:g} % lies at {right:.3g} shots per class, not at {answer}: mind the log axis"
    beyond = found(shots, values, 70.0)
    if beyond is not None and not np.isnan(beyond):
        return f"not yet: 70 % was never measured, and {beyond:g} is a guess"
    return "right: and nothing is said about counts that weren't measured"
