"""Error over elapsed time (Fig. 4), and what the paper claims of its figures: crossing, flat, leaving, occupied places.

Each claim has a rule that was written before any result: an interval over rooms, people and seeds on one side of a
limit decides, else nothing can be told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from eailkit.baselines import priors
from eailkit.eail.evaluation import Table
from eailkit.eail.prepared import Prepared
from eailkit.experiments.rows.catalog import INFERRED, PUBLISHED, TABLE1, TABLES, Kind, Row
from eailkit.experiments.rows.claims import FAILS, HOLDS, PLACE, UNSURE, VELOCITY_NETS
from eailkit.experiments.rows.make import SPLITS
from eailkit.experiments.rows.record import TRUTH, common_of, made_of, table_of
from eailkit.experiments.rows.seconds import Seconds, errors_m
from eailkit.experiments.rows.work import Place, maker_of
from eailkit.metrics import Interval, bootstrap_interval
from eailkit.results.ledger import LedgerRow, append_rows, read
from eailkit.results.names import row_id

BIN_S = 30.0
LONG_S = 590  # takes that a slope is taken of
FLAT_M_PER_MIN = 0.05
HALF_MINUTE_S, TWO_MINUTES_S = 30.0, 120.0
CROSSED_WITHIN_S = 2 * HALF_MINUTE_S  # "about half a minute"
ROOM_M = 0.0  # how far off the square a place must be to have left the map


@dataclass(frozen=True)
class Told:
    """A claim of a figure with what decides it.

    Attributes:
        claim: key of `FIGURE_CLAIMS`.
        what: what is measured, with its unit.
        found: it, with its interval.
        verdict: "holds", "doesn't hold" or "can't tell".
        rule: in words.
    """

    claim: str
    what: str
    found: Interval
    verdict: str
    rule: str


FIGURE_CLAIMS: dict[str, str] = {
    "fig4.crossing": "velocity methods pass EAIL's error after about 30 seconds (Fig. 4)",
    "fig4.flat": "EAIL's error doesn't grow over time (Fig. 4)",
    "fig6.leaves": "RoNIN's path has left the map after two minutes (Fig. 6)",
    "fig6.occupied": "NILoc+ answers with places that objects occupy (Fig. 6)",
    "5.4.captions": "without captions EAIL still works (section 5.4)",
}


def long_errors(place: Place, row: Row, seeds: Sequence[int], protocol: str, least_s: float) -> pd.DataFrame:
    """Errors of every second of takes of at least a length: columns take, room, participant, seed, second, error_m."""
    prepared, frames = maker_of(place, seeds[0]).run.prepared, []
    takes = {t.name: t for t in prepared.takes}
    for seed, made in made_of(place, row, seeds, row.under(protocol)).items():
        for name, error in errors_m(prepared, made.seconds).items():
            if len(error) >= least_s:
                about = {"take": name, "room": takes[name].room, "participant": takes[name].participant, "seed": seed}
                frames.append(pd.DataFrame({**about, "second": np.arange(len(error)), "error_m": error}))
    return pd.concat(frames, ignore_index=True).dropna() if frames else pd.DataFrame()


def curve(errors: pd.DataFrame, bin_s: float = BIN_S) -> pd.DataFrame:
    """Mean error in bins of elapsed time: minute, error_m, low, high, takes; each take counts once a bin.

    A bin that not half of the takes reach is left out: those few are another group.
    """
    each = errors.assign(bin=(errors.second // bin_s).astype(int))
    each = each.groupby(["take", "room", "participant", "seed", "bin"]).error_m.mean().reset_index()
    rows, all_takes = [], errors["take"].nunique()
    for at, group in each.groupby("bin"):
        if 2 * group["take"].nunique() < all_takes:
            continue
        found = _interval(group, "error_m")
        rows.append({"minute": (at + 0.5) * bin_s / 60, "error_m": found.mean, "low": found.low, "high": found.high,
                     "takes": group["take"].nunique()})  # fmt: skip
    return pd.DataFrame(rows)


def _interval(rows: pd.DataFrame, column: str) -> Interval:
    return bootstrap_interval(
        rows[column].tolist(), list(rows.room), list(rows.participant), seeds=list(rows.seed)
    )  # fmt: skip


def flat(errors: pd.DataFrame) -> Told:
    """Least-squares slope of each long take's error over time."""
    slope = lambda g: np.polyfit(g.second / 60, g.error_m, 1)[0]  # noqa: E731
    each = errors.groupby(["take", "room", "participant", "seed"]).apply(slope, include_groups=False)
    found = _interval(each.rename("slope").reset_index(), "slope")
    told = HOLDS if found.high < FLAT_M_PER_MIN else FAILS if found.low > FLAT_M_PER_MIN else UNSURE
    rule = f"holds where the whole interval lies below {FLAT_M_PER_MIN} m a minute, fails where it lies above"
    return Told("fig4.flat", "slope of EAIL's error (m a minute)", found, told, rule)


def crossing(velocity: pd.DataFrame, direct: pd.DataFrame) -> Told:
    """When each take's dead reckoning has been further off than EAIL's mean error on it, s: first of ten seconds on."""
    keys, rows = ["take", "room", "participant", "seed"], []
    level = direct.groupby(["take", "seed"]).error_m.mean()
    for key, one in velocity.groupby(keys):
        take, seed = key[0], key[3]
        if (take, seed) not in level.index:
            continue
        above = (one.error_m > level[take, seed]).to_numpy()
        held = np.convolve(above, np.ones(10), "valid") == 10
        at = float(one.second.to_numpy()[np.argmax(held)]) if held.any() else float(one.second.max())
        rows.append(dict(zip(keys, key, strict=True)) | {"seconds": at})
    found = _interval(pd.DataFrame(rows), "seconds")
    told = HOLDS if found.high < CROSSED_WITHIN_S else FAILS if found.low > CROSSED_WITHIN_S else UNSURE
    rule = f"holds where the whole interval lies below {CROSSED_WITHIN_S:.0f} s, fails where it lies above"
    return Told("fig4.crossing", "seconds until RoNIN is further off than EAIL", found, told, rule)


def leaves(prepared: Prepared, answers: dict[int, Seconds]) -> Told:
    """Percent of takes on which a path has been off the map's square within two minutes."""
    takes, rows = {t.name: t for t in prepared.takes}, []
    for seed, seconds in answers.items():
        for name in seconds.takes:
            take = takes[name]
            if len(take) < TWO_MINUTES_S:
                continue
            grid = prepared.rooms[take.room].grid
            away = np.abs(seconds.of(name)["place_m"][: int(TWO_MINUTES_S)] - grid.centre_xy_m)
            left = bool((np.nan_to_num(away) > grid.side_m / 2 + ROOM_M).any())
            rows.append({"room": take.room, "participant": take.participant, "seed": seed, "left": 100.0 * left})
    found = _interval(pd.DataFrame(rows), "left")
    told = HOLDS if found.low > 50 else FAILS if found.high < 50 else UNSURE
    rule = "holds where most takes have, as the whole interval above 50 % says; fails where it lies below"
    return Told("fig6.leaves", "takes on which RoNIN left the square within 2 min (%)", found, told, rule)


def occupied(prepared: Prepared, answers: dict[int, Seconds], others: dict[int, Seconds]) -> Told:
    """Percent of the answers in cells that the map doesn't show as free floor: a method's minus another's."""
    takes, rows = {t.name: t for t in prepared.takes}, []
    for seed in answers.keys() & others.keys():
        for name in answers[seed].takes:
            take = takes[name]
            more = off_floor(prepared, answers[seed], take) - off_floor(prepared, others[seed], take)
            rows.append({"room": take.room, "participant": take.participant, "seed": seed, "more": more})
    found = _interval(pd.DataFrame(rows).dropna(), "more")
    told = HOLDS if found.low > 0 else FAILS if found.high < 0 else UNSURE
    rule = "holds where it does so more often than EAIL, as the whole interval says; fails where less often"
    return Told(
        "fig6.occupied", "answers on cells that aren't free floor, NILoc+ minus EAIL (points)", found, told, rule
    )


def off_floor(prepared: Prepared, seconds: Seconds, take) -> float:
    """Percent of a take's answers in cells that the map doesn't show as free floor; NaN where there is no answer."""
    room, place = prepared.rooms[take.room], seconds.of(take.name)["place_m"]
    known = np.isfinite(place).all(axis=1) & (np.asarray(take.cell) >= 0)
    cell = room.grid.cell_of(place[known].astype(float))
    return 100 * float((~np.asarray(room.free)[cell]).mean()) if known.any() else np.nan


def without_captions(table: Table, prepared: Prepared, row: str) -> Told:
    """Success at 0.4 m of EAIL trained without captions, minus that of any free cell, on both test sets."""
    table.add("free space", lambda take: priors.free_space(prepared, take))
    each = {split: table.difference(row, "free space", split, PLACE) for split in SPLITS}
    worst = min(each.values(), key=lambda v: v.low)
    told = HOLDS if worst.low > 0 else FAILS if any(v.high < 0 for v in each.values()) else UNSURE
    rule = "holds where it beats any free cell on both test sets, as both intervals say; the smaller one is shown"
    return Told("5.4.captions", "success at 0.4 m over that of any free cell (points)", worst, told, rule)


def figure_claims(place: Place, seeds: Sequence[int], protocol: str) -> list[Told]:
    """The claims that the rows which are made allow to judge."""
    prepared, rows = maker_of(place, seeds[0]).run.prepared, {r.name: r for r in TABLE1}
    made = lambda name: {  # noqa: E731
        s: m.seconds for s, m in made_of(place, rows[name], seeds, rows[name].under(protocol)).items()
    }
    eail, ronin, niloc = made("EAIL"), made(VELOCITY_NETS[-1]), made("NILoc+")
    found: list[Told] = []
    if eail:
        found += _if_any(flat, long_errors(place, rows["EAIL"], seeds, protocol, LONG_S))
    if any(length >= TWO_MINUTES_S for seconds in ronin.values() for length in seconds.lengths):
        found.append(leaves(prepared, ronin))
    if eail and ronin:
        both = [long_errors(place, rows[n], seeds, protocol, TWO_MINUTES_S) for n in (VELOCITY_NETS[-1], "EAIL")]
        shared = [set(zip(one["take"], one.seed, strict=True)) if len(one) else set() for one in both]
        found += [crossing(*both)] if set.intersection(*shared) else []
    if eail and niloc:
        found.append(occupied(prepared, niloc, eail))
    bare = next(r for r in TABLES["table3"] if r.name == "w/o captions")
    table = table_of(place, [bare], seeds, protocol)
    return found + ([without_captions(table, prepared, bare.name)] if len(table.scores) else [])


def _if_any(judge: Callable[[pd.DataFrame], Told], rows: pd.DataFrame) -> list[Told]:
    return [judge(rows)] if len(rows) else []


@dataclass(frozen=True)
class Line:
    """A line of Fig. 4.

    Attributes:
        row: name in Table 1.
        protocol: "inferred" or "published".
        curve: columns minute, error_m, low, high and takes.
    """

    row: str
    protocol: str
    curve: pd.DataFrame

    @property
    def name(self) -> str:
        """In a sentence."""
        return self.row if self.protocol == INFERRED else f"{self.row} ({TRUTH})"

    @property
    def family(self) -> str:
        """What shares a colour: a method under each protocol, and all velocity nets."""
        kind = _KINDS[self.row]
        return Kind.TRACKER if kind == Kind.LIVE else kind


_KINDS = {row.name: row.kind for row in TABLE1}
_OURS_FIRST = (Kind.EAIL, Kind.TRACKER, Kind.LIVE, Kind.MAP_FREE, Kind.VELOCITY)


def lines(place: Place, seeds: Sequence[int], least_s: float | None = None) -> list[Line]:
    """Fig. 4's lines of those rows of Table 1 that are made, each under its protocols.

    Args:
        least_s: length of the takes that they are of, s; `least_length_s` where None.
    """
    least_s, found = least_length_s(place, seeds) if least_s is None else least_s, []
    for row in TABLE1:
        for protocol in row.protocols:
            errors = long_errors(place, row, seeds, protocol, least_s)
            found += [Line(row.name, protocol, curve(errors))] if len(errors) else []
    return _ours_first(found)


def least_length_s(place: Place, seeds: Sequence[int]) -> float:
    """Length that a take must have to count, s: ten minutes, or the longest take's where none lasts so long."""
    return min(LONG_S, max(len(take) for take in maker_of(place, seeds[0]).takes))


def _ours_first(found: list[Line]) -> list[Line]:
    return sorted(found, key=lambda line: _OURS_FIRST.index(_KINDS[line.row]))


def record_curves(place: Place, seeds: Sequence[int], *, results_dir: str | Path, command: str) -> Path | None:
    """Write Fig. 4's curves as `results/fig4_<profile>.json`, a row a (method, protocol), of rows that are made."""
    common, rows, least_s = common_of(place, seeds, command), [], least_length_s(place, seeds)
    for line in lines(place, seeds, least_s):
        found = line.curve
        mean = {"mean error (m)": float(found.error_m.mean()), "last error (m)": float(found.error_m.iloc[-1])}
        told = TRUTH if line.protocol == PUBLISHED else "no"
        rows.append(LedgerRow(
            id=row_id(line.row, line.protocol),
            question=f"How far off is '{line.row}' as time passes, {line.protocol}?",
            config={"row": line.row, "protocol": line.protocol, TRUTH: told, "bin_s": BIN_S,
                    "takes of at least (s)": least_s, **{c: found[c].round(3).tolist() for c in found.columns},
                    "interval": "over rooms, people and seeds", "spread": "none: see the curve"},
            mean={k: round(v, 3) for k, v in mean.items()}, spread=dict.fromkeys(mean, 0.0), minutes=0.0, **common,
        ))  # fmt: skip
    return append_rows(f"fig4_{place.size}", rows, results_dir=results_dir) if rows else None


def recorded_lines(profile: str, *, results_dir: str | Path) -> list[Line]:
    """Fig. 4's lines as they were recorded; none where nothing was."""
    found = []
    for row in read(f"fig4_{profile}", results_dir=results_dir):
        c = row["config"]
        curve_of = pd.DataFrame({k: c[k] for k in ("minute", "error_m", "low", "high", "takes")})
        found.append(Line(c["row"], c["protocol"], curve_of))
    return _ours_first(found)


def record_figure_claims(place: Place, seeds: Sequence[int], *, results_dir: str | Path, command: str) -> Path | None:
    """Write what figures claim as `results/figure_claims_<profile>.json`, a row a (claim, protocol)."""
    common, rows = common_of(place, seeds, command), []
    for protocol in (INFERRED, PUBLISHED):
        for told in figure_claims(place, seeds, protocol):
            rows.append(LedgerRow(
                id=row_id(told.claim, protocol), question=f"Does it hold that {FIGURE_CLAIMS[told.claim]}?",
                config={"claim": told.claim, "protocol": protocol, "verdict": told.verdict, "rule": told.rule,
                        "low": round(told.found.low, 3), "high": round(told.found.high, 3),
                        "interval": "over rooms, people and seeds", "spread": "half of the interval"},
                mean={told.what: round(told.found.mean, 3)},
                spread={told.what: round((told.found.high - told.found.low) / 2, 3)}, minutes=0.0, **common,
            ))  # fmt: skip
    return append_rows(f"figure_claims_{place.size}", rows, results_dir=results_dir) if rows else None
