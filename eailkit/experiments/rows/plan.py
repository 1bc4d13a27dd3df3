"""`--dry-run`: what would be trained and run, what is there already, and what it would cost on this machine."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from eailkit.experiments.rows.costs import Counts, Rates, counts_of, gigabytes_of, seconds_of
from eailkit.experiments.rows.reproduce import Asked, there
from eailkit.experiments.rows.work import CAUSAL, DATA, Unit, work_of
from eailkit.profiles import get_profile

CONTENTION = 1.15  # two processes share a memory bus: what a core-second becomes when all cores compute


def plan(asked: Asked, rates: Rates | None = None) -> pd.DataFrame:
    """A row a unit: what, there (bool), minutes of one core that it would take from nothing, and those still to spend.

    Data that isn't there yet is counted from the profile, and then nothing else can be there.
    """
    profile = get_profile(asked.place.profile)
    work, rates = work_of(asked.wanted, asked.all_seeds, asked.place), rates or Rates(profile)
    counts, run = counts_for(asked), asked.place.run()
    done = there(asked, work) | {DATA} if run.is_prepared() else set()
    rows = []
    for unit in work:
        minutes = seconds_of(unit, profile, counts, rates) / 60
        rows.append({"what": unit.name, "there": unit in done, "minutes": minutes, "unit": unit})
    frame = pd.DataFrame(rows)
    return frame.assign(left=frame.minutes.where(~frame.there, 0.0))


def counts_for(asked: Asked) -> Counts:
    """How much data a plan is about."""
    return counts_of(get_profile(asked.place.profile))


def told(asked: Asked, frame: pd.DataFrame | None = None) -> str:
    """The plan in words and numbers."""
    frame = plan(asked) if frame is None else frame
    profile, counts = get_profile(asked.place.profile), counts_for(asked)
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
