"""`--dry-run`: what would be trained and run, what is there already, and what it would cost on this machine."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from eailkit.datasets import EgoExo4D
from eailkit.experiments.eail_run import dataset_folder
from eailkit.experiments.rows.costs import Counts, Rates, counts_of, gigabytes_of, seconds_of
from eailkit.experiments.rows.reproduce import Asked, there
from eailkit.experiments.rows.work import CAUSAL, DATA, Unit, work_of
from eailkit.profiles import Profile, counted

CONTENTION = 1.15  # two processes share a memory bus: what a core-second becomes when all cores compute


def plan(asked: Asked, rates: Rates | None = None) -> pd.DataFrame:
    """A row a unit: what, there (bool), minutes of one core that it would take from nothing, and those still to spend.

    Data that isn't there yet is counted from the profile, and then nothing else can be there.
    """
    counts = counts_for(asked)
    profile, work = profile_for(asked, counts), work_of(asked.wanted, asked.all_seeds, asked.place)
    rates, done = rates or Rates(profile), there(asked, work) | {DATA} if is_prepared(asked) else set()
    rows = []
    for unit in work:
        minutes = seconds_of(unit, profile, counts, rates) / 60
        rows.append({"what": unit.name, "there": unit in done, "minutes": minutes, "unit": unit})
    frame = pd.DataFrame(rows)
    return frame.assign(left=frame.minutes.where(~frame.there, 0.0))


def counts_for(asked: Asked) -> Counts:
    """How much data a plan is about: SynthKitchen's at the profile's size, or what a root lists."""
    place = asked.place
    if place.data is None:
        return counts_of(place.sizes)
    dataset = EgoExo4D(place.run().dataset())
    takes = [t for t in dataset.takes if t.task != "scan" and dataset.map_take(t.name) is not None]
    rooms = {t.name: dataset.map_take(t.name).name for t in takes}
    splits = sorted({t.split for t in takes})
    return Counts(
        {s: sum(t.duration_s for t in takes if t.split == s) for s in splits},
        {s: sum(t.split == s for t in takes) for s in splits}, len(set(rooms.values())),
        len({rooms[t.name] for t in takes if t.split == "train"}),
    )  # fmt: skip


def profile_for(asked: Asked, counts: Counts) -> Profile:
    """The profile, epochs counted into steps of that much data."""
    profile = asked.place.sizes
    return counted(profile, round(counts.of(("train",)))) if profile.epochs else profile


def is_prepared(asked: Asked) -> bool:
    """Whether a run's data would only be read; nothing is made to answer, but for the lists of a release."""
    run, profile = asked.place.run(), asked.place.sizes
    root = dataset_folder(run.dir, profile) if asked.place.data is None else run.dataset()
    if not (root / "takes.json").is_file() or not (root / "splits.json").is_file():
        return False
    takes = [t for t in EgoExo4D(root).takes if t.task != "scan"]
    caches = run.dir.glob(f"cache-{profile.name}.*/takes")
    return any(all((folder / f"{t.name}.npz").is_file() for t in takes) for folder in caches)


def told(asked: Asked, frame: pd.DataFrame | None = None) -> str:
    """The plan in words and numbers."""
    frame = plan(asked) if frame is None else frame
    counts = counts_for(asked)
    profile = profile_for(asked, counts)
    disk, memory = gigabytes_of(profile, counts, list(frame.unit))
    lines = [
        f"{len(asked.wanted)} rows at {profile.name}, seeds {', '.join(map(str, asked.all_seeds))}: "
        f"{counts.all_seconds / 3600:.1f} h of recordings in {counts.rooms} rooms; stage 1 {profile.stage1.steps} "
        f"steps, stage 2 {profile.stage2.steps}, rows of tables 3 to 5 {profile.ablation.steps}.",
        f"{'what':72} {'there':>6} {'minutes of a core':>18}",
    ]
    lines += [f"{r.what:72} {'yes' if r.there else '-':>6} {r.minutes:18.1f}" for r in frame.itertuples()]
    left, jobs = frame.left.sum(), max(1, asked.jobs)
    wall = left / jobs * (CONTENTION if jobs > 1 else 1.0)
    lines += [
        f"{'together':72} {'':>6} {frame.minutes.sum():18.1f}",
        f"{frame.there.sum()} of {len(frame)} are there; {left / 60:.1f} core-hours are left, about {_time(wall)} with "
        f"{jobs} process{'es' if jobs > 1 else ''}; {disk:.1f} GB of disk, up to {memory:.1f} GB of memory a process.",
    ]
    return "\n".join(lines)


def _time(minutes: float) -> str:
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def minutes_left(frame: pd.DataFrame, still: list[Unit], jobs: int) -> float:
    """Minutes that units still to do take, all processes busy."""
    minutes = dict(zip(frame.unit, frame.minutes, strict=True))
    return sum(minutes.get(replace(u), 0.0) for u in still) / max(1, jobs) * (CONTENTION if jobs > 1 else 1.0)


__all__ = ["CAUSAL", "DATA", "counts_for", "minutes_left", "plan", "told"]
