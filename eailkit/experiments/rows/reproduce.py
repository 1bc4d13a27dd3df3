"""`eailkit reproduce table1` to `table5` and `states`: what is planned, made, and recorded as each row ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from eailkit.experiments.rows.catalog import ABOUT, Row, rows_of
from eailkit.experiments.rows.claims import record_claims
from eailkit.experiments.rows.make import TWO_STAGES, method_of
from eailkit.experiments.rows.record import common_of, record_row
from eailkit.experiments.rows.work import DATA, Place, Unit, Work, carry_out, is_done, maker_of, work_of
from eailkit.vision_language.towers import identity_of


@dataclass(frozen=True)
class Asked:
    """What is wanted.

    Attributes:
        tables: keys of `catalog.TABLES`.
        place: where and at which size.
        rows: of the tables, by id or name; all where empty.
        seeds: the profile's where empty.
        jobs: processes.
    """

    tables: tuple[str, ...]
    place: Place
    rows: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    jobs: int = 1

    @property
    def wanted(self) -> list[Row]:
        """The rows."""
        return rows_of(self.tables, self.rows)

    @property
    def all_seeds(self) -> tuple[int, ...]:
        """The seeds."""
        return self.seeds or self.place.sizes.seeds


def there(asked: Asked, work: Work) -> set[Unit]:
    """Units whose results are there; of data nothing is known until it is made, and making it finds what is there."""
    return {unit for unit in work if unit != DATA and is_done(asked.place, unit, maker_of(asked.place, unit.seed))}


def check_towers(rows: Sequence[Row], place: Place) -> None:
    """Refuse towers that some row needs and that can't be loaded, before data are made for them.

    Raises:
        CheckpointError: as `vision_language.load`.
    """
    methods = [method_of(row, place.sizes) for row in rows]
    told = {"slip": place.sizes.vision_language, **dict(place.towers)}
    for role in sorted({m.variant.towers for m in methods if m.kind in TWO_STAGES} - {None}):
        if told.get(role) == "slip":
            place.run().towers  # noqa: B018 (which file that is, the run knows)
        elif role in told:  # the others ship
            identity_of(told[role])


def reproduce_tables(
    asked: Asked, *, results_dir: str | Path, command: str, say: Callable[[str], object] = print
) -> list[Path]:
    """Make what is missing, write each row as it ends, and return the tables' paths.

    A second call goes on where the first was cut off. In the end the claims of these tables are judged, by the rows
    that are made.
    """
    rows, seeds, place = asked.wanted, asked.all_seeds, asked.place
    work = work_of(rows, seeds, place)
    check_towers(rows, place)
    place.run(progress=True).prepared  # noqa: B018 (what is there can be told only of data that is there)
    done = there(asked, work) | {DATA}
    common, began, paths = common_of(place, seeds, command), time.monotonic(), {}
    written: set[str] = set()

    def write(ended: set[Unit]) -> None:
        for row in rows:
            units = {u for u in work if u.what == "answers" and u.method == method_of(row, place.sizes)}
            if row.id not in written and units <= ended:
                if (path := record_row(place, row, seeds, common, results_dir)) is not None:
                    paths[path] = None
                    say(f"  {row.id}: recorded")
                written.add(row.id)

    ended = set(done)
    left = [u for u in work if u not in done]
    say(f"{len(rows)} rows, seeds {', '.join(map(str, seeds))}: {len(left)} of {len(work)} things to make")
    write(ended)

    def told(unit: Unit, seconds: float, still: Sequence[Unit]) -> None:
        ended.add(unit)
        passed = (time.monotonic() - began) / 60
        say(f"{unit.name}: {seconds / 60:.1f} min; {len(still)} to do, {passed:.0f} min so far")
        if unit.what == "answers":
            write(ended)

    carry_out(work, place, asked.jobs, told, done)
    judged = record_claims(place, asked.tables, seeds, results_dir=results_dir, command=command)
    return [*paths, *([judged] if judged else [])]


def about(table: str) -> str:
    """What a table holds, a few words."""
    return ABOUT[table]
