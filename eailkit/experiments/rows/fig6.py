"""EAIL's Fig. 6: one long take in pictures, four methods at four moments, chosen by a rule.

The take: of those of test-unseen that last ten minutes or more (the longest where none does), the one with the median
success at 0.4 m of EAIL with the tracker, of an even number the lower, by the first seed. The moments: 20 s, two
minutes, half of the take and its end, each the last second until then whose true place is known. Nothing else of what a
picture shows decides which it is. Under the inferred protocol only RoNIN is told something, where and how it begins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from eailkit.eail.figure_readings import FREE, NOT_FREE, OFF_SQUARE, take_reading
from eailkit.eail.prepared import RoomCache
from eailkit.errors import ConfigError
from eailkit.experiments.rows.catalog import INFERRED, PUBLISHED, TABLE1, Kind, Row
from eailkit.experiments.rows.claims import VELOCITY_NETS
from eailkit.experiments.rows.fig5 import median_take
from eailkit.experiments.rows.make import Made
from eailkit.experiments.rows.record import TRUTH, common_of, made_of
from eailkit.experiments.rows.seconds import errors_m
from eailkit.experiments.rows.work import Place, maker_of
from eailkit.plots.takes import RECENT_S, take_figure, take_picture
from eailkit.plots.theme import FOUND, clock, figure_html, write_page
from eailkit.plots.theme import TRUTH as TRUTH_COLOUR
from eailkit.results.ledger import LedgerRow, append_rows
from eailkit.results.names import row_id

TRACKED = "EAIL + tracker"
METHODS = (VELOCITY_NETS[-1], "NILoc+", "EAIL", TRACKED)
SPLIT, LONG_S = "test-unseen", 600
TITLE = "One long take, four methods, four moments (EAIL Fig. 6)"
_ROWS = {row.name: row for row in TABLE1}
ROWS = tuple(_ROWS[name].id for name in METHODS)
STYLE = (
    ".pictures { display: grid; grid-template-columns: repeat(4, 1fr); gap: .6rem; } figure { margin: 0; } "
    ".picture { aspect-ratio: 1; } .picture > div { height: 100%; } figcaption { font-size: .85rem; } "
    "h2 { font-size: 1.05rem; margin: 1.2rem 0 .3rem; } .line { display: inline-block; width: 2rem; height: .25rem; "
    "vertical-align: middle; } @media (max-width: 45rem) { .pictures { grid-template-columns: repeat(2, 1fr); } }"
)


@dataclass(frozen=True)
class Moment:
    """A moment of a take: "20 s", "2 min", "half" or "end", and its second."""

    name: str
    second: int


@dataclass(frozen=True)
class Shown:
    """What the pictures are of.

    Attributes:
        take, room: of the prepared dataset.
        success: at 0.4 m of EAIL with the tracker on it, percent.
        among: takes that the median is of.
        least_s: that they last at least, s.
        protocol: of the methods that have it.
        answers: method -> place of each second, m; error_m: its distance from the truth.
        missing: methods that aren't made.
    """

    take: object
    room: RoomCache
    success: float
    among: int
    least_s: float
    protocol: str
    answers: dict[str, Float[np.ndarray, "n 2"]]
    error_m: dict[str, Float[np.ndarray, " n"]]
    missing: tuple[str, ...]

    @property
    def moments(self) -> list[Moment]:
        """Those of the rule."""
        return moments(np.asarray(self.take.cell) >= 0)


def moments(known: np.ndarray) -> list[Moment]:
    """20 s, two minutes, half and end of a take: of each the last second until then that is known, none twice.

    Args:
        known: whether the true place of each second is.
    """
    wanted = {"20 s": 20, "2 min": 120, "half": len(known) // 2, "end": len(known) - 1}
    found: dict[int, str] = {}
    for name, second in wanted.items():
        before = np.flatnonzero(known[: second + 1])
        if second < len(known) and len(before):
            found.setdefault(int(before[-1]), name)
    return [Moment(name, second) for second, name in sorted(found.items())]


def shown(place: Place, seeds: Sequence[int], protocol: str = INFERRED) -> Shown:
    """The take of the rule with what each method that is made answers on it.

    Raises:
        ConfigError: EAIL with the tracker, which chooses the take, isn't made; or there is no take to choose.
    """
    prepared = maker_of(place, seeds[0]).run.prepared
    made = {name: m for name in METHODS if (m := _made(place, _ROWS[name], seeds[0], protocol)) is not None}
    if TRACKED not in made:
        raise ConfigError(
            f"fig6: found no answers of '{TRACKED}', which chooses the take; expected its row; make it with "
            f"`eailkit reproduce table1 --row {_ROWS[TRACKED].id}`."
        )
    lengths = {t.name: len(t) for t in prepared.by_split(SPLIT)}
    if not lengths:
        raise ConfigError(f"fig6: found no take of {SPLIT}; expected one at least; choose data that have some.")
    least_s = min(LONG_S, max(lengths.values()))
    tracked = made[TRACKED].seconds
    of = lambda name: float(np.nan_to_num(np.nanmean(tracked.of(name)["success"][:, 1])))  # noqa: E731
    success = {name: of(name) for name, length in lengths.items() if length >= least_s}
    name = median_take(success)
    take = next(t for t in prepared.takes if t.name == name)
    return Shown(
        take, prepared.rooms[take.room], success[name], len(success), least_s, protocol,
        {method: m.seconds.of(name)["place_m"].astype(float) for method, m in made.items()},
        {method: errors_m(prepared, m.seconds)[name] for method, m in made.items()},
        tuple(method for method in METHODS if method not in made),
    )  # fmt: skip


def _made(place: Place, row: Row, seed: int, protocol: str) -> Made | None:
    return made_of(place, row, [seed], row.under(protocol)).get(seed)


def state(room: RoomCache, at_m: Float[np.ndarray, " 2"]) -> str:
    """Where an answer lies: off the map's square, on a cell that isn't free floor, or on free floor; "" for none."""
    if not np.isfinite(at_m).all():
        return ""
    if (np.abs(at_m - room.grid.centre_xy_m) > room.grid.side_m / 2).any():
        return OFF_SQUARE
    return FREE if np.asarray(room.free)[room.grid.cell_of(at_m)] else NOT_FREE


def measured(found: Shown) -> dict[str, list[tuple[str, float, str]]]:
    """Method -> (elapsed time, error in m, state) at each moment."""
    return {
        name: [(clock(m.second), float(found.error_m[name][m.second]), state(found.room, path[m.second]))
               for m in found.moments]
        for name, path in found.answers.items()
    }  # fmt: skip


def captions(found: Shown) -> dict[str, list[str]]:
    """Method -> what stands under each picture."""
    told = lambda error, where: f"{error:.1f} m off, {where}" if np.isfinite(error) else "no answer"  # noqa: E731
    return {name: [told(error, where) for _, error, where in each] for name, each in measured(found).items()}


def figure(found: Shown, *, title: str = "One long take (EAIL Fig. 6)") -> go.Figure:
    """A panel a method with a slider over the moments: what a notebook shows; the page has every picture."""
    return take_figure(
        np.asarray(found.room.cloud), found.room.grid, np.asarray(found.take.position, float), found.answers,
        [m.second for m in found.moments], captions(found), jumping=_jumping(), title=title,
    )  # fmt: skip


def reading(found: Shown) -> str:
    """The pictures in sentences."""
    return take_reading(measured(found))


def _jumping() -> set[str]:
    return {name for name, row in _ROWS.items() if row.kind in (Kind.EAIL, Kind.MAP_FREE)}


def told(name: str, protocol: str) -> str:
    """What a method is told of the truth."""
    row = _ROWS[name]
    if row.under(protocol) != PUBLISHED:
        return "told nothing of the truth"
    first = "first place and heading" if row.kind == Kind.VELOCITY else "first heading"
    return f"told its {first}: {TRUTH}"


def record(
    place: Place, seeds: Sequence[int], *, results_dir: str | Path, command: str, say: Callable[[str], object] = print
) -> Path:
    """Write the page `fig6-<profile>.html`, and its numbers as `results/fig6_<profile>.json`, a row a method."""
    found, common, rows = shown(place, seeds), common_of(place, seeds[:1], command), []
    at = found.moments
    for name, each in measured(found).items():
        mean = {
            f"error at {m.name} (m)": round(error, 3)
            for m, (_, error, _) in zip(at, each, strict=True) if np.isfinite(error)
        }  # fmt: skip
        if not mean:
            continue
        rows.append(LedgerRow(
            id=row_id(name, _ROWS[name].under(found.protocol)),
            question=f"How far off is '{name}' at four moments of one long take?",
            config={
                "protocol": _ROWS[name].under(found.protocol), TRUTH: told(name, found.protocol),
                "take": found.take.name, "lasts (s)": len(found.take), "moments (s)": {m.name: m.second for m in at},
                "answers": {m.name: where for m, (_, _, where) in zip(at, each, strict=True)},
                "takes that it is the median of": found.among, "of at least (s)": found.least_s,
                f"success at 0.4 m of {TRACKED} on it (%)": round(found.success, 3), "not made": list(found.missing),
                "spread": "none: one take, one seed",
            },
            mean=mean, spread=dict.fromkeys(mean, 0.0), minutes=0.0, **common,
        ))  # fmt: skip
    path = append_rows(f"fig6_{place.size}", rows, results_dir=results_dir)
    say(f"wrote {write_pictures(found, Path(place.out) / f'fig6-{place.size}.html')}")
    return path


def write_pictures(found: Shown, path: str | Path) -> Path:
    """The page: a row of pictures a method, two in a row on a phone."""
    cloud, grid, truth = np.asarray(found.room.cloud), found.room.grid, np.asarray(found.take.position, float)
    line = lambda colour: f'<span class="line" style="background: {colour}"></span>'  # noqa: E731
    last_s = len(found.take)
    parts = [
        f"<p>{found.take.name}, {last_s / 60:.0f} min in a kitchen of {SPLIT}: of the {found.among} that last at least "
        f"{found.least_s / 60:.0f} min the one with the median success of {TRACKED} ({found.success:.1f} % within "
        f"0.4 m). {line(TRUTH_COLOUR)} true path, {line(FOUND)} answers; the last {RECENT_S} s are strong. A dotted "
        "line is the map's square, an arrow an answer beyond the picture.</p>"
    ]
    for name in found.answers:
        parts += [f"<h2>{name}, {told(name, found.protocol)}</h2>", '<div class="pictures">']
        for moment, caption in zip(found.moments, captions(found)[name], strict=True):
            picture = take_picture(
                cloud, grid, truth, found.answers[name], moment.second, jumps=name in _jumping()
            )  # fmt: skip
            plot = figure_html(picture, first=not any("plotly.js" in part for part in parts), fills=True)
            when = clock(moment.second) + (f" ({moment.name})" if moment.name in ("half", "end") else "")
            parts.append(
                f'<figure><div class="picture">{plot}</div><figcaption>{when}: {caption}</figcaption></figure>'
            )
        parts.append("</div>")
    parts += [f"<p>{name} isn't made here and is left out.</p>" for name in found.missing]
    parts += [f"<p>{line}</p>" for line in reading(found).split("\n")]
    return write_page(path, TITLE, parts, style=STYLE)
