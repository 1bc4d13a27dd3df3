"""What `eailkit reproduce NAME` runs: the one road from an experiment to a table of the ledger.

Every recorded table of EAIL and PRIMUS has a name here. Nothing heavy is imported before an experiment is asked for,
so that the command line can list them all.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from eailkit.errors import ConfigError


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Attributes:
        name: of `EXPERIMENTS`.
        profile: size of what is made.
        out: folder of data, weights and scores; the experiment's own where None.
        kitchens: SynthKitchen or Ego-Exo4D root that PRIMUS pretrains on too.
        real: folder of the real recordings that the experiment reads.
        encoders: PRIMUS's, "paper" or "ours"; both where empty.
        seeds: the profile's, or 0, where empty.
        results_dir: folder of the ledger.
        rows: of a table, by id or name; all where empty.
        jobs: processes of a table; one a core where 0.
        data: Ego-Exo4D root that a table is made on; SynthKitchen where None.
        towers: (role, spec) pairs of a table, see `rows.variants.Variants`.
        dry_run: say what would be made and what it costs, and make nothing.
    """

    name: str
    profile: str = "quick"
    out: str | Path | None = None
    kitchens: str | Path | None = None
    real: str | Path | None = None
    encoders: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    results_dir: str | Path = "results"
    rows: tuple[str, ...] = ()
    jobs: int = 0
    data: str | Path | None = None
    towers: tuple[tuple[str, str], ...] = ()
    dry_run: bool = False

    @property
    def folder(self) -> Path:
        """Where everything that is made lies."""
        return Path(self.out or EXPERIMENTS[self.name].out)

    @property
    def command(self) -> str:
        """The command that asks for the same; folders that a reader has elsewhere are named by their option."""
        told = f"eailkit reproduce {self.name} --profile {self.profile}"
        told += "".join(f" --{k} {k.upper()}" for k in ("kitchens", "real", "data") if getattr(self, k))
        told += "".join(f" --tower {role}={role.upper()}" for role, _ in self.towers)
        told += "".join(f" --encoder {e}" for e in self.encoders) + "".join(f" --row {r}" for r in self.rows)
        return told + "".join(f" --seed {s}" for s in self.seeds)

    @property
    def options(self) -> dict:
        """What every experiment takes."""
        return {"results_dir": self.results_dir, "command": self.command}


@dataclass(frozen=True)
class Experiment:
    """A row of `eailkit reproduce`.

    Attributes:
        about: what it records, a few words.
        run: makes the table and returns its path.
        out: default folder.
        needs_real: whether it can't do without `Request.real`.
        by_rows: whether it is made row by row and takes rows, jobs, data, towers and a dry run.
    """

    about: str
    run: Callable[[Request], Path]
    out: str = "runs/bench"
    needs_real: bool = False
    by_rows: bool = False


def reproduce(request: Request) -> Path | None:
    """Make (or find) all that an experiment needs, write its table, and return the table's path; None of a dry run.

    Raises:
        ConfigError: no such experiment, an option that it doesn't take, real recordings that it needs aren't given,
            or as it says itself.
    """
    if request.name not in EXPERIMENTS:
        raise ConfigError(
            f"reproduce: found '{request.name}'; expected one of {', '.join(EXPERIMENTS)}; choose one of these."
        )
    experiment = EXPERIMENTS[request.name]
    if experiment.needs_real and request.real is None:
        raise ConfigError(f"{request.name}: found no real recordings; expected their folder; give --real FOLDER.")
    only_rows = {"row": request.rows, "data": request.data, "tower": request.towers, "dry-run": request.dry_run}
    if not experiment.by_rows and (given := [k for k, v in only_rows.items() if v]):
        those = ", ".join(name for name, e in EXPERIMENTS.items() if e.by_rows)
        raise ConfigError(f"{request.name}: found --{given[0]}, which only {those} take; leave it out.")
    return experiment.run(request)


def _rows(*tables: str) -> Callable[[Request], Path | None]:
    def run(request: Request) -> Path | None:
        from eailkit.experiments.rows.reproduce import Asked

        asked = Asked(tables, _place(request), request.rows, request.seeds, _jobs(request))
        if _made_or_told(asked, request) is None:
            return None
        return Path(request.results_dir) / f"{tables[0]}_{request.profile}.json"

    return run


def _every_table(request: Request) -> Path | None:
    tables = tuple(name for name in TABLES_ABOUT if name != "states")
    path = _rows(*tables)(request)
    if path is not None:
        from eailkit.experiments.rows import fig4, fig5, fig6
        from eailkit.experiments.rows.reproduce import Asked

        asked = Asked(tables, _place(request), request.rows, request.seeds)
        for module in (fig4, fig5, fig6):
            module.record(asked.place, asked.all_seeds, **request.options)
    return path


def _figure_of_rows(request: Request) -> Path | None:
    from eailkit.experiments.rows import fig4, fig5, fig6
    from eailkit.experiments.rows.reproduce import Asked

    module = {"fig4": fig4, "fig5": fig5, "fig6": fig6}[request.name]
    asked = Asked(("table1",), _place(request), request.rows or module.ROWS, request.seeds, _jobs(request))
    if _made_or_told(asked, request) is None:
        return None
    return module.record(asked.place, asked.all_seeds, **request.options)


def _made_or_told(asked, request: Request) -> list[Path] | None:
    """Make what is asked for and return the tables that were written, or say what it would take and return None."""
    from eailkit.experiments.rows.plan import told
    from eailkit.experiments.rows.reproduce import reproduce_tables

    if request.dry_run:
        print(told(asked))
        return None
    return reproduce_tables(asked, **request.options)


def _place(request: Request):
    from eailkit.experiments.rows.work import Place

    data = None if request.data is None else str(request.data)
    return Place(str(request.folder), request.profile, data, request.towers)


def _jobs(request: Request) -> int:
    return request.jobs or len(os.sched_getaffinity(0))


def _localization(request: Request) -> Path:
    from eailkit.experiments.tables import record_localization

    return record_localization(request.folder, request.profile, request.seeds, **request.options)


def _protocol(request: Request) -> Path:
    from eailkit.experiments.protocol import record_protocol

    return record_protocol(request.folder, request.profile, request.seeds, **request.options)


def _changed_maps(request: Request) -> Path:
    from eailkit.experiments.changed_maps import record_changed_maps

    return record_changed_maps(request.folder, request.profile, request.seeds, **request.options)


def _stability(request: Request) -> Path:
    from eailkit.experiments.stability import record_stability

    return record_stability(request.folder, request.profile, request.seeds, **request.options)


def _choices(request: Request) -> Path:
    from eailkit.experiments.choices import record_choices

    return record_choices(request.folder, request.profile, request.seeds, **request.options)


def _joined(request: Request) -> Path:
    from eailkit.experiments.eail_with_primus import record_joined

    return record_joined(request.folder, request.profile, _one_seed(request), **request.options)


def _real_walk(request: Request) -> Path:
    from eailkit.experiments.real_walk import record_real_walk

    return record_real_walk(request.folder, request.profile, request.real, _one_seed(request), **request.options)


def _tuning(request: Request) -> Path:
    from eailkit.experiments.primus_tuning import record_tuning

    return record_tuning(request.folder, request.profile, request.real, _one_seed(request), **request.options)


def _figure(request: Request) -> Path:
    from eailkit.experiments.primus_curves import record_figure

    return record_figure(request.name, _primus(request), encoders=_encoders(request), **request.options)


def _claims(request: Request) -> Path:
    from eailkit.experiments.primus_claims import record_claims

    return record_claims(_primus(request), **request.options)


def _placement(request: Request) -> Path:
    from eailkit.experiments.placement import record_placement

    return record_placement(_primus(request), encoders=_encoders(request), **request.options)


def _primus(request: Request):
    from eailkit.experiments.primus_run import PrimusRun

    return PrimusRun(
        request.folder, request.profile, kitchens=request.kitchens, real=request.real, seed=_one_seed(request)
    )


def _encoders(request: Request) -> tuple[str, ...]:
    return request.encoders or ("paper", "ours")


def _one_seed(request: Request) -> int:
    if len(request.seeds) > 1:
        raise ConfigError(
            f"{request.name}: found seeds {', '.join(map(str, request.seeds))}; expected one; run it once a seed."
        )
    return request.seeds[0] if request.seeds else 0


def _primus_row(about: str, run: Callable[[Request], Path]) -> Experiment:
    return Experiment(about, run, out="runs/primus")


TABLES_ABOUT = {  # as `experiments.rows.catalog.ABOUT`, which takes seconds to import
    "table1": "localization: velocity nets, NILoc+, EAIL, the tracker",
    "table2": "actions: DeepConvLSTM, EVI-MAE, IMU2CLIP, EAIL",
    "table3": "EAIL without vision and language, action loss, spatial or temporal module",
    "table4": "the action head without the point cloud or the location attention",
    "table5": "towers, sequence lengths, residuals, stage 1 alone",
    "states": "the sixteen states of Table 3's four switches",
}
FIGURES_ABOUT = {
    "fig4": "error over elapsed minutes of Table 1's rows, what the figures claim, and a page",
    "fig5": "seconds whose two peaks in stage 1 become one in stage 2, counted, and a page of four",
    "fig6": "one long take in pictures: four methods, four moments",
}
EXPERIMENTS: dict[str, Experiment] = {
    **{name: Experiment(about, _rows(name), by_rows=True) for name, about in TABLES_ABOUT.items()},
    "all": Experiment("every row of tables 1 to 5, and figures 4 to 6", _every_table, by_rows=True),
    **{name: Experiment(about, _figure_of_rows, by_rows=True) for name, about in FIGURES_ABOUT.items()},
    "localization": Experiment(
        "EAIL beside its references, its criteria, over time, its parts and bounds", _localization
    ),
    "protocol": Experiment("what the paper's numbers may owe to its protocol, four switches", _protocol),
    "changed-maps": Experiment("every method on maps of kitchens that have changed since the scan", _changed_maps),
    "stability": Experiment("whether EAIL's answer hangs on the draw of a map's points", _stability),
    "choices": Experiment("widths, rooms and steps of EAIL's trainings, by validation", _choices),
    "joined": Experiment("EAIL with PRIMUS's encoder", _joined),
    "real-walk": Experiment("EAIL on a real walk with Aria glasses", _real_walk, needs_real=True),
    "primus-fig4": _primus_row("how many labels each pretraining needs", _figure),
    "primus-fig5": _primus_row("which terms carry the result", _figure),
    "primus-fig6": _primus_row("how much aligned data it needs", _figure),
    "primus-lines": _primus_row("what needs no pretraining", _figure),
    "primus-claims": _primus_row("verdicts on what the others scored", _claims),
    "primus-placement": _primus_row("the sensor at other places on the head", _placement),
    "primus-tuning": Experiment("recipes of our encoder, on the tuning set", _tuning, needs_real=True),
}
