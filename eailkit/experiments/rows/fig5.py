"""EAIL's Fig. 5: seconds whose stage-1 heatmap has two peaks and whose stage-2 heatmap has one, counted and shown.

The rule. Both maps are under the published protocol (the heading is known at the start, "uses ground truth"), as the
paper's probably are. Stage 1's map is the cosine of F^M_t and F^P_s. A peak is a cell, or a plateau of equal ones, that
no neighbour overtops; its height is the share of the map's range that lies below it. A peak nearer than 1 m to a higher
one that counts doesn't. A map has two peaks where exactly two have a height of 0.8 or more (the third, if there is one,
lies below) and no chain of neighbours of that height joins them: ends of one ridge aren't two peaks. The chain came
into the rule after a first look at pictures of ridges, so what the rule counts without it is recorded too; nothing else
was changed after a count. Stage 2's map has one peak where more than half of its mass lies within 0.6 m of its highest
cell. Seconds count whose true place is known; what that place is plays no part.

Shown are moments of the take with the median success of stage 2 at 0.4 m among those that have such moments (of an
even number the lower; the first seed's): those whose two peaks are most nearly equal in height, at least 30 s apart, at
most four. Whether stage 2 is right there plays no part either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from jaxtyping import Bool, Float
from scipy import ndimage

from eailkit.eail.decision import mass_within
from eailkit.eail.figure_readings import stages_reading
from eailkit.experiments.rows.catalog import PUBLISHED, Kind
from eailkit.experiments.rows.make import SPLITS, Method
from eailkit.experiments.rows.record import TRUTH, common_of
from eailkit.experiments.rows.variants import FULL
from eailkit.experiments.rows.work import Place, maker_of
from eailkit.metrics import Interval, bootstrap_interval, map_successes
from eailkit.plots.takes import StageMoment, stages_figure
from eailkit.plots.theme import clock, figure_html, write_page
from eailkit.preprocess.mapgrid import MapGrid
from eailkit.results.ledger import LedgerRow, append_rows
from eailkit.results.names import row_id

ROWS = ("table1/eail",)
TITLE = "Heatmaps of both stages at moments found by a rule (EAIL Fig. 5)"
HEIGHT, APART_M = 0.8, 1.0  # of a peak of stage 1
WITHIN_M, MASS = 0.6, 0.5  # of the one peak of stage 2
RIGHT_M = 0.4
SHOWN, SHOWN_APART_S = 4, 30
TWO, ONE, RIGHT = "two peaks in stage 1 (%)", "of those, one peak in stage 2 (%)", "of those, success at 0.4 m (%)"
AT_PEAK = "of those, true place within 0.4 m of one of the two (%)"
MORE, GAIN = "success minus all other seconds' (points)", "success minus a blind choice of the two (points)"
PAIR = "two peaks in stage 1, on one hill or two (%)"
COLUMNS = (PAIR, TWO, ONE, RIGHT, AT_PEAK, MORE, GAIN)
_NEAR = np.ones((3, 3), bool)


@dataclass(frozen=True)
class Peak:
    """A peak of a map.

    Attributes:
        cell: of a plateau, the one nearest to its middle.
        height: share of the map's range below it, 0 to 1.
        hill: number of the connected cells of the least height, or more, that it stands on.
    """

    cell: int
    height: float
    hill: int = 0


def peaks(values: Float[np.ndarray, " cells"], grid: MapGrid, least: float = HEIGHT) -> list[Peak]:
    """A map's peaks of at least a height, the highest first; none of a map that is flat.

    Args:
        values: NaN where a cell is empty.
    """
    values = np.asarray(values, float)
    low, high = np.nanmin(values), np.nanmax(values)
    if not high > low:
        return []
    square = np.where(np.isfinite(values), (values - low) / (high - low), -1.0).reshape(grid.n, grid.n)
    top = (square == ndimage.maximum_filter(square, footprint=_NEAR, mode="nearest")) & (square >= least)
    (parts, count), hills = ndimage.label(top, _NEAR), ndimage.label(square >= least, _NEAR)[0]
    found = []
    for k in range(1, count + 1):
        part = parts == k
        height = float(square[part][0])
        if ((square == height) & ndimage.binary_dilation(part, _NEAR) & ~part).any():
            continue  # the plateau goes on to a cell that something overtops
        cells, places = np.flatnonzero(part), grid.cell_centres[part.ravel()]
        cell = int(cells[np.linalg.norm(places - places.mean(0), axis=1).argmin()])
        found.append(Peak(cell, height, int(hills.ravel()[cell])))
    kept: list[Peak] = []
    for peak in sorted(found, key=lambda p: (-p.height, p.cell)):
        away = [np.linalg.norm(grid.cell_centres[peak.cell] - grid.cell_centres[k.cell]) for k in kept]
        kept += [peak] if min(away, default=np.inf) >= APART_M - 1e-9 else []
    return kept


def has_one_peak(
    probability: Float[np.ndarray, "n cells"], centres_m: Float[np.ndarray, "cells 2"]
) -> Bool[np.ndarray, " n"]:
    """Whether more than half of each map's mass lies within 0.6 m of its highest cell."""
    return mass_within(probability, centres_m, centres_m[probability.argmax(1)], WITHIN_M) > MASS


@dataclass(frozen=True)
class Stages:
    """Both stages' maps of a take, and what the rule says of its seconds.

    Attributes:
        stage1: cosines, NaN on empty cells; stage2: probabilities.
        peaks: of stage 1, a list a second.
        pair: whether exactly two of stage 1's peaks are high enough; two: and stand on a hill each.
        one: whether stage 2 has one peak.
        success: of stage 2 at 0.4 m, percent, ties in expectation, NaN where the true place isn't known.
        at_peak: whether the true place is within 0.4 m of one of the two peaks.
    """

    stage1: Float[np.ndarray, "n cells"]
    stage2: Float[np.ndarray, "n cells"]
    peaks: list[list[Peak]]
    pair: Bool[np.ndarray, " n"]
    two: Bool[np.ndarray, " n"]
    one: Bool[np.ndarray, " n"]
    success: Float[np.ndarray, " n"]
    at_peak: Bool[np.ndarray, " n"]

    @property
    def chosen(self) -> Bool[np.ndarray, " n"]:
        """Seconds with two peaks in stage 1 and one in stage 2."""
        return self.two & self.one & np.isfinite(self.success)


def stages_of(place: Place, seed: int) -> Callable[[object], Stages]:
    """A function from a take to its `Stages`, by the whole EAIL of a seed; trained where it isn't yet."""
    maker = maker_of(place, seed)
    first, _ = maker.predictor(Method(Kind.EAIL, FULL.first_stage), PUBLISHED)
    second, _ = maker.predictor(Method(Kind.EAIL), PUBLISHED)
    rooms = maker.run.prepared.rooms

    def of(take) -> Stages:
        room = rooms[take.room]
        heat = np.where(np.asarray(room.empty), np.nan, first(take).confidence)
        return judged(heat, second(take).confidence, room.grid, np.asarray(take.position, float), np.asarray(take.cell))

    return of


def judged(
    stage1: Float[np.ndarray, "n cells"], stage2: Float[np.ndarray, "n cells"], grid: MapGrid,
    truth_m: Float[np.ndarray, "n 2"], cell: np.ndarray,
) -> Stages:  # fmt: skip
    """What the rule says of maps; see `Stages`. `cell` is -1 where the true place isn't known."""
    found = [peaks(heat, grid) for heat in stage1]
    pair, known = np.array([len(p) == 2 for p in found], bool), np.asarray(cell) >= 0
    two = pair & np.array([len({peak.hill for peak in p}) == 2 for p in found], bool)
    success, at_peak = np.full(len(stage1), np.nan), np.zeros(len(stage1), bool)
    if known.any():
        success[known] = map_successes(stage2[known], grid.cell_centres, truth_m[known], (RIGHT_M,))[:, 0]
    for k in np.flatnonzero(two & known):
        places = grid.cell_centres[[p.cell for p in found[k]]]
        at_peak[k] = (np.linalg.norm(places - truth_m[k], axis=1) < RIGHT_M).any()
    return Stages(stage1, stage2, found, pair, two, has_one_peak(stage2, grid.cell_centres), success, at_peak)


def counted(stages: Stages) -> dict[str, float]:
    """`COLUMNS` of a take, NaN where it has no such seconds, and its seconds as "seconds" and "chosen"."""
    known, chosen, nan = np.isfinite(stages.success), stages.chosen, float("nan")
    two, rest = stages.two & known, known & ~chosen
    found = dict.fromkeys(COLUMNS, nan) | {"seconds": int(known.sum()), "chosen": int(chosen.sum())}
    if known.any():
        found |= {TWO: 100 * float(two.sum() / known.sum()), PAIR: 100 * float(stages.pair[known].mean())}
    if two.any():
        found[ONE] = 100 * float(chosen.sum() / two.sum())
    if chosen.any():
        right, at_peak = float(stages.success[chosen].mean()), 100 * float(stages.at_peak[chosen].mean())
        found |= {RIGHT: right, AT_PEAK: at_peak, GAIN: right - at_peak / 2}  # 1 m apart: it is at one at most
        found[MORE] = right - float(stages.success[rest].mean()) if rest.any() else nan
    return found


def count(place: Place, seeds: Sequence[int]) -> pd.DataFrame:
    """A row a (take, seed) of both test sets: take, room, participant, split, seed, success (%), and `counted`'s."""
    rows = []
    for seed in seeds:
        maker, of = maker_of(place, seed), stages_of(place, seed)
        for take in maker.takes:
            stages = of(take)
            known = np.isfinite(stages.success)
            about = {"take": take.name, "room": take.room, "participant": take.participant, "split": take.split}
            right = float(stages.success[known].mean()) if known.any() else float("nan")
            rows.append(about | {"seed": seed, "success": right} | counted(stages))
        maker.forget()
    return pd.DataFrame(rows)


def intervals(rows: pd.DataFrame) -> dict[str, Interval]:
    """Column -> its mean over takes and seeds with an interval over rooms, people and seeds, where any take has it.

    A take counts once, however many such seconds it has.
    """
    found = {}
    for column in COLUMNS:
        part = rows[rows[column].notna()]
        if len(part):
            found[column] = bootstrap_interval(
                part[column].tolist(), list(part.room), list(part.participant), seeds=list(part.seed)
            )
    return found


def median_take(success: dict[str, float]) -> str:
    """The name in the middle by success, of an even number the lower; ties by name."""
    order = sorted(success, key=lambda name: (success[name], name))
    return order[(len(order) - 1) // 2]


def moments(stages: Stages, most: int = SHOWN, apart_s: int = SHOWN_APART_S) -> list[int]:
    """The seconds to show, in order of time: the most nearly equal peaks first, none near one that is chosen."""
    uneven = {int(k): stages.peaks[k][0].height - stages.peaks[k][1].height for k in np.flatnonzero(stages.chosen)}
    chosen: list[int] = []
    for k in sorted(uneven, key=lambda k: (uneven[k], k)):
        if len(chosen) < most and all(abs(k - other) >= apart_s for other in chosen):
            chosen.append(k)
    return sorted(chosen)


@dataclass(frozen=True)
class Shown:
    """The take that the figure is of, its room, its success (%), and the moments."""

    take: object
    room: object
    success: float
    seconds: list[int]
    stages: Stages


def shown(place: Place, rows: pd.DataFrame) -> Shown | None:
    """What the figure shows, by the rule; None where no take has such a moment.

    Args:
        rows: of `count`; of the first seed's.
    """
    seed = int(rows.seed.iloc[0])
    with_some = rows[(rows.seed == seed) & (rows.chosen > 0)]
    if not len(with_some):
        return None
    success = dict(zip(with_some["take"], with_some.success, strict=True))
    name = median_take(success)
    maker = maker_of(place, seed)
    take = next(t for t in maker.takes if t.name == name)
    stages = stages_of(place, seed)(take)
    return Shown(take, maker.run.prepared.rooms[take.room], success[name], moments(stages), stages)


def figure(found: Shown, *, title: str = TITLE) -> go.Figure:
    """Stage 1's and stage 2's map at each moment, with stage 1's peaks and the true place."""
    truth, stages, room = np.asarray(found.take.position, float), found.stages, found.room
    drawn = [
        StageMoment(
            clock(k), stages.stage1[k], np.where(np.isnan(stages.stage1[k]), np.nan, stages.stage2[k]),
            room.grid.cell_centres[[p.cell for p in stages.peaks[k]]], truth[k],
        )
        for k in found.seconds
    ]  # fmt: skip
    return stages_figure(np.asarray(room.cloud), room.grid, drawn, title=title)


def reading(found: dict[str, Interval]) -> str:
    """The count in sentences."""
    return stages_reading(found[TWO], *(found.get(column) for column in (ONE, RIGHT, MORE, GAIN)))


def record(
    place: Place, seeds: Sequence[int], *, results_dir: str | Path, command: str, say: Callable[[str], object] = print
) -> Path:
    """Count, write `results/fig5_<profile>.json`, a row a set of takes, and the page `fig5-<profile>.html`."""
    rows, common, written = count(place, seeds), common_of(place, seeds, command), []
    drawn = shown(place, rows)
    rule = {"height": HEIGHT, "apart_m": APART_M, "within_m": WITHIN_M, "mass": MASS, "protocol": PUBLISHED}
    if drawn is not None:
        rule |= {"take shown": drawn.take.name, "moments shown (s)": drawn.seconds, "its success": drawn.success}
    for name in ("both test sets", *SPLITS):
        part = rows if name not in SPLITS else rows[rows.split == name]
        if not (found := intervals(part)):
            continue
        written.append(LedgerRow(
            id=row_id("stages", name), question=f"Does stage 2 make one peak of stage 1's two, on {name}?",
            config=rule | {
                TRUTH: "the heading at the start", "takes": int(part["take"].nunique()),
                "seconds": int(part.seconds.sum()),
                "such seconds": int(part.chosen.sum()), "takes and seeds that have such": int((part.chosen > 0).sum()),
                "interval": {m: [round(v.low, 3), round(v.high, 3)] for m, v in found.items()},
                "interval over": "rooms, people and seeds", "spread": "half of the interval",
            },
            mean={m: round(v.mean, 3) for m, v in found.items()},
            spread={m: round((v.high - v.low) / 2, 3) for m, v in found.items()}, minutes=0.0, **common,
        ))  # fmt: skip
    path = append_rows(f"fig5_{place.size}", written, results_dir=results_dir)
    say(f"wrote {_page(place, rows, drawn)}")
    return path


def _page(place: Place, rows: pd.DataFrame, drawn: Shown | None) -> Path:
    parts = [f"<p>{reading(intervals(rows))} Both maps are told the heading at the start: {TRUTH}.</p>"]
    if drawn is None:
        parts.append(
            "<p>No take has a second with two peaks in stage 1 and one in stage 2: there is nothing to show.</p>"
        )
    else:
        told = f"{drawn.take.name}, the take with the median success ({drawn.success:.1f} %) of those that have such"
        parts += [f"<p>Shown: {told} seconds.</p>", figure_html(figure(drawn, title=""), first=True)]
    return write_page(Path(place.out) / f"fig5-{place.size}.html", TITLE, parts, style="body { max-width: 46rem; }")
