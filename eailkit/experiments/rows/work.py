"""What is made for some rows, in which order, on several processes: units that need each other, found again when done.

A unit is what one process does at a time: the data, a stage 1 with its features, a velocity net, a method with its
answers. What two rows share is one unit. A unit that was cut off goes on where it was.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from eailkit.experiments.eail_run import Run
from eailkit.experiments.rows.catalog import INFERRED, Kind, Row
from eailkit.experiments.rows.make import SPLITS, TWO_STAGES, Maker, Method, method_of
from eailkit.parallel import WorkerDied
from eailkit.profiles import Profile, get_profile


@dataclass(frozen=True)
class Place:
    """Where and at which size rows are made; the same in every process.

    Attributes:
        out: folder of data, weights and answers.
        profile: name of a profile, or one.
        data: an Ego-Exo4D root; SynthKitchen at the profile's size where None.
        towers: (role, what `vision_language.load` takes) pairs, see `variants.Variants`.
    """

    out: str
    profile: str | Profile
    data: str | None = None
    towers: tuple[tuple[str, str], ...] = ()

    @property
    def sizes(self) -> Profile:
        """The profile, epochs not yet counted."""
        return get_profile(self.profile) if isinstance(self.profile, str) else self.profile

    @property
    def size(self) -> str:
        """The profile's name."""
        return self.sizes.name

    def run(self, seed: int = 0, *, progress: bool = False) -> Run:
        """The run of a seed."""
        slip = dict(self.towers).get("slip")
        return Run(self.out, self.profile, seed=seed, progress=progress, data=self.data, towers=slip)


@dataclass(frozen=True)
class Unit:
    """One piece of work.

    Attributes:
        what: "data", "causal", "stage 1", "velocity" or "answers".
        seed: of the trainings; 0 for data.
        method: whose stage 1 or answers.
        protocols: of answers.
    """

    what: str
    seed: int = 0
    method: Method | None = None
    protocols: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For a line of progress."""
        if self.method is None:
            return f"{self.what}, seed {self.seed}" if self.what == "velocity" else self.what
        named = self.method.variant.name if self.what == "stage 1" else self.method.name
        return f"{self.what}: {named}, seed {self.seed}"


DATA, CAUSAL = Unit("data"), Unit("causal")
Work = dict[Unit, tuple[Unit, ...]]  # units in the order in which they are wished for, each with those it waits for


def work_of(rows: Iterable[Row], seeds: Sequence[int], place: Place) -> Work:
    """What some rows need: row by row, so that rows end one after the other, each with all its seeds."""
    profile, asked = place.sizes, {}
    for row in rows:
        method = method_of(row, profile)
        if method.kind in (Kind.TRACKER, Kind.LIVE):  # which read the whole EAIL's maps
            asked.setdefault(Method(Kind.EAIL), {INFERRED: None})
        asked.setdefault(method, {}).update(dict.fromkeys(row.protocols))
    work: Work = {DATA: ()}
    for method, protocols in asked.items():
        for seed in seeds:
            before = [DATA]
            if method.kind in TWO_STAGES:
                before.append(Unit("stage 1", seed, Method(Kind.EAIL, method.variant.first_stage)))
            if method.kind in (Kind.TRACKER, Kind.LIVE):
                whole = Method(Kind.EAIL)
                before += [Unit("velocity", seed), Unit("answers", seed, whole, tuple(asked[whole]))]
            if method.kind == Kind.LIVE:
                before.append(CAUSAL)
            for unit in before:
                work.setdefault(unit, (DATA,))
            work[Unit("answers", seed, method, tuple(protocols))] = tuple(before)
    return work


@functools.lru_cache(maxsize=4)
def maker_of(place: Place, seed: int) -> Maker:
    """This process's maker of a seed; a few are remembered."""
    return Maker(place.run(seed), dict(place.towers))


def do(place: Place, unit: Unit) -> float:
    """Do one unit; returns the seconds that it took. What is done already takes none."""
    began = time.monotonic()
    if unit.what == "data":
        place.run(progress=True).prepared  # noqa: B018 (made on first use)
        return time.monotonic() - began
    maker = maker_of(place, unit.seed)
    if unit.what == "causal":
        maker.run.causal_takes(SPLITS)
    elif unit.what == "velocity":
        maker.run.train_velocity()
    elif unit.what == "stage 1":
        maker.first_stage(unit.method)
    else:
        for protocol in unit.protocols:
            maker.make(unit.method, protocol)
    maker.forget()
    return time.monotonic() - began


def is_done(place: Place, unit: Unit, maker: Maker) -> bool:
    """Whether a unit's results are there; data counts as there where it needn't be made to ask."""
    if unit.what == "answers":
        return all(maker.found(unit.method, protocol) is not None for protocol in unit.protocols)
    if unit.what == "stage 1":
        return maker.has_features(unit.method)
    if unit.what == "velocity":
        return maker.is_trained(Method(Kind.TRACKER))["velocity"]
    return False


def carry_out(
    work: Work, place: Place, jobs: int, ended: Callable[[Unit, float, list[Unit]], None], done: Iterable[Unit] = ()
) -> None:
    """Do all units, at most `jobs` at once, each as soon as what it needs is done.

    Args:
        ended: told each unit as it ends, its seconds, and those that are still to do.
        done: units that are there already.

    Raises:
        WorkerDied: a process ended before its unit; whatever a unit raises.
    """
    left, finished = [u for u in work if u not in set(done)], set(done)
    if DATA in left:  # on several processes of its own
        ended(DATA, do(place, DATA), [u for u in left if u != DATA])
        left.remove(DATA)
        finished.add(DATA)
    if jobs <= 1:
        for unit in list(left):
            seconds = do(place, unit)
            left.remove(unit)
            ended(unit, seconds, left)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _begin) as pool:
        running: dict[Future, Unit] = {}
        try:
            while left or running:
                _submit(pool, place, work, left, finished, running, jobs)
                over, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in over:
                    unit, seconds = running.pop(future), future.result()
                    finished.add(unit)
                    ended(unit, seconds, [*running.values(), *left])
        except BrokenProcessPool:
            raise WorkerDied from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            _interrupt_children()
            raise


def _submit(pool, place: Place, work: Work, left: list[Unit], finished: set[Unit], running: dict, jobs: int) -> None:
    for unit in list(left):
        if len(running) >= jobs:
            return
        if all(before in finished for before in work[unit]):
            left.remove(unit)
            running[pool.submit(do, place, unit)] = unit


def _begin() -> None:
    """A worker computes on one thread; Ctrl-C is its cue to write what it has, whoever sends it."""
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt_children() -> None:
    for child in multiprocessing.active_children():
        with contextlib.suppress(ProcessLookupError, TypeError):
            os.kill(child.pid, signal.SIGINT)
