"""Which part of EAIL does the work: rows trained in this run and recorded ones, each beside the full one of its kind.

Two numbers of different trainings never meet in a difference: a row that this run trained stands beside this run's full
row, and a recorded one beside the recorded full state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from eailkit.errors import DatasetError
from eailkit.experiments.rows.catalog import PUBLISHED, STATES, TABLES, Row
from eailkit.experiments.rows.claims import FAILS, HOLDS, judge, verdict
from eailkit.experiments.rows.make import method_of
from eailkit.experiments.rows.record import made_of, table_of
from eailkit.experiments.rows.states import CAPTIONS, FULL_STATE, OWN, PROTOCOLS, States, recorded_states, states_of
from eailkit.experiments.rows.work import Place, maker_of
from eailkit.results import paper

TOLD = {HOLDS: "better", FAILS: "worse"}  # what the full row is; else nothing can be told
NUMBER = {"table3": 3, "table4": 4}
WORDS = next(row for row in TABLES["table3"] if row.variant.towers is None)  # needs a stage 1 of its own: minutes


@dataclass(frozen=True)
class Known:
    """What a notebook can show of the sixteen states.

    Attributes:
        own: states that this run trained.
        recorded: those that ship; None where this run can't read them.
        why: it can't; "" where it can.
    """

    own: States
    recorded: States | None
    why: str = ""

    def of(self, row: str, protocol: str) -> States | None:
        """Who knows a row and the full state beside it: this run before the recording; None where nobody does."""
        for states in (self.own, self.recorded):
            if states is not None and states.has(row, protocol) and states.has(FULL_STATE.name, protocol):
                return states
        return None


def known_states(place: Place, seed: int = 0, protocols: Sequence[str] = PROTOCOLS) -> Known:
    """This run's states and the recorded ones."""
    own = states_of(place, (seed,), protocols)
    try:
        recorded = recorded_states(maker_of(place, seed).run.prepared)
    except DatasetError as error:
        return Known(own, None, str(error))
    if recorded.walk != own.walk:
        return Known(own, None, f"the recorded states are of the walk {recorded.walk}, and this run shows {own.walk}")
    return Known(own, recorded)


def rows_here(known: Known) -> list[Row]:
    """The rows of Tables 3 and 4 that a notebook trains: those that share one stage 1.

    A row without words needs a stage 1 of its own, which takes longer than all others together. The one without
    vision and language is trained only where no recorded state stands in for it, the one without captions never.
    """
    recorded = known.recorded is not None and known.recorded.has(state_of(WORDS), PUBLISHED)
    left_out = [CAPTIONS] + ([WORDS] if recorded else [])
    return [row for table in NUMBER for row in TABLES[table] if row not in left_out]


def train_here(place: Place, protocol: str = PUBLISHED, seed: int = 0) -> tuple[list[Row], Known]:
    """Train what `rows_here` lacks and score it, with a bar over the rows; returns them and what is known then."""
    maker = maker_of(place, seed)
    maker.run.progress = True
    known = known_states(place, seed)
    rows = rows_here(known)
    for row in (bar := tqdm(rows, desc="rows", leave=False)):
        bar.set_postfix_str(row.name)
        maker.make(method_of(row, place.sizes), protocol)
    return rows, replace(known, own=states_of(place, (seed,)))


def state_of(row: Row) -> str:
    """The state that a row of Table 3 is, by name; the row's own name where it is none."""
    return next((s.name for s in STATES if s.variant == row.variant), row.name)


def answers(place: Place, known: Known, protocol: str = PUBLISHED, seed: int = 0) -> pd.DataFrame:
    """The full row against each row of Tables 3 and 4 that is known, beside the paper's own differences.

    Returns:
        Columns table, row, split, metric, mean, low, high (points, full minus row), p_holm, verdict ("better",
        "worse" or "can't tell", of the full row), paper (points, NaN where it reports none) and source.
    """
    judged = judge(place, NUMBER, (seed,), protocol)
    if len(judged):
        judged = judged.rename(columns={"worse": "row"}).assign(source=OWN)
    trained = set(judged.row) if len(judged) else set()
    more = [
        _differences(states, row, protocol) for row in (WORDS, CAPTIONS)
        if row.name not in trained and (states := known.of(state_of(row), protocol)) is not None
    ]  # fmt: skip
    columns = ["table", "row", "split", "metric", "mean", "low", "high", "p_holm", "verdict", "paper", "source"]
    if not (each := [f for f in (judged, *more) if len(f)]):
        return pd.DataFrame(columns=columns)
    found = pd.concat(each, ignore_index=True)
    rank = {row.name: k for k, row in enumerate((WORDS, CAPTIONS))}
    found = found.assign(verdict=[TOLD.get(v, v) for v in found.verdict])[columns]
    return found.sort_values("row", key=lambda r: r.map(rank).fillna(len(rank)), kind="stable", ignore_index=True)


def _differences(states: States, row: Row, protocol: str) -> pd.DataFrame:
    d = states.differences
    hits = d[(d.row == state_of(row)) & (d.protocol == protocol)]
    return hits.assign(
        table="table3", row=row.name, source=states.source,
        verdict=[verdict(m, p) for m, p in zip(hits["mean"], hits.p_holm, strict=True)],
        paper=[paper_points(row, s, m) for s, m in zip(hits.split, hits.metric, strict=True)],
    )  # fmt: skip


def paper_points(row: Row, split: str, metric: str) -> float:
    """The paper's full row minus another of Table 3, points; NaN where it has no such row or number."""
    own = next((r.paper for r in TABLES["table3"] if r.variant == row.variant), "")
    return paper.value(3, "full", split, metric) - paper.value(3, own, split, metric) if own else float("nan")


def verdicts(found: pd.DataFrame, rows: Sequence[str]) -> dict[str, dict[str, str]]:
    """Some of `answers` as `readings.parts_reading` takes them: row -> what was measured -> verdict."""
    return _nested(found, rows, "verdict")


def paper_differences(found: pd.DataFrame, rows: Sequence[str]) -> dict[str, dict[str, float]]:
    """The paper's differences in the same form: row -> what was measured -> points."""
    return _nested(found[np.isfinite(found.paper.astype(float))], rows, "paper")


def _nested(found: pd.DataFrame, rows: Sequence[str], column: str) -> dict[str, dict]:
    return {
        row: {f"{r.metric} on {r.split}": getattr(r, column) for r in found[found.row == row].itertuples()}
        for row in rows if len(found[found.row == row])
    }  # fmt: skip


def beside_paper(
    number: int, place: Place, known: Known, metrics: Sequence[str], protocol: str = PUBLISHED, seed: int = 0
) -> pd.DataFrame:
    """Table 3 or 4 as `paper.beside` lays it out, recorded rows where this run trained none, each with its source."""
    name, prepared = f"table{number}", maker_of(place, seed).run.prepared
    rows = [row for row in TABLES[name] if made_of(place, row, (seed,), protocol)]
    frames = [table_of(place, rows, (seed,), protocol).frame().assign(**{"from": OWN})] if rows else []
    for row in TABLES[name]:
        if row not in rows and known.recorded is not None and known.recorded.has(state_of(row), protocol):
            one = known.recorded.table(prepared, [state_of(row)], protocol).frame()
            frames.append(one.assign(method=row.name, **{"from": known.recorded.source}))
    both = paper.beside(number, pd.concat(frames, ignore_index=True), metrics=[*metrics, "from"])
    return both.drop(columns=[(paper.PAPER, "from")])


def told(found: pd.DataFrame) -> pd.DataFrame:
    """Some of `answers` as a table to read: our difference with its interval and verdict, the paper's, the source."""
    ours = [f"{r.mean:+.1f} [{r.low:.1f}, {r.high:.1f}]" for r in found.itertuples()]
    theirs = [f"{x:+.1f}" if np.isfinite(x) else "no number" for x in found.paper.astype(float)]
    read = found.assign(**{"what is lost": ours, "full is": found.verdict, "the paper's": theirs})
    kept = ["metric", "split", "what is lost", "full is", "the paper's", "source"]
    return read.set_index("row").rename_axis(None)[kept]
