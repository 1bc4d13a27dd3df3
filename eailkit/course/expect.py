"""How long the course will take here: recorded times, brought over by a two-second measurement of this machine.

A notebook's recorded seconds are split into training and the rest. Training scales with how fast this machine steps
a small convolution net in the precision that it will train in, the rest with how fast it runs Python and arrays:

    seconds = recorded * (share * products_there / products_here + (1 - share) * plain_there / plain_here)

where both speeds are of one core, times threads ** 0.74 for the products: a step of stage 2 took 433 ms on one core
and 260 on two. `Plan.left_s` makes a course of the notebooks.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from eailkit.course.graph import Plan
from eailkit.files import DATA_SAMPLES

RECORDED = DATA_SAMPLES.parent / "results" / "course_quick.json"
THREADS_POWER = 0.74
RECORDED_THREADS = 2  # of rows whose config doesn't say: notebooks one by one, all of two cores
CORE_CLOCK = time.perf_counter if os.name == "nt" else time.thread_time  # Windows counts that in steps of 16 ms
PEAK_GB = 3.8  # of the largest notebook, results/course_quick.json
# Part of a notebook's recorded time that is training, from the logs ("minutes") beside that run's weights.
TRAINING = {
    "02_contrastive_alignment": 0.58,
    "02b_dead_reckoning": 0.85,
    "04_spatiotemporal_reasoning": 0.29,
    "05_action_recognition": 0.26,
    "06_baselines_and_drift": 0.80,
    "07_ablations": 0.76,
    "08_primus_pretraining": 0.43,
    "09_primus_few_shot": 0.43,
}


@dataclass(frozen=True)
class Speed:
    """What one core does in a second.

    Attributes:
        products: training steps of the small net, in the precision that training will use.
        plain: rounds of Python and small arrays.
    """

    products: float
    plain: float


# Of records that don't say: `measure()`, the median of 5, on the kind of machine that they were made on, two cores of
# an AMD EPYC with bfloat16 products, other programs running. With EAILKIT_PRECISION=float32 there: 65 and 1150.
REFERENCE = Speed(products=98.5, plain=1140.0)


def measure(budget_s: float = 2.0) -> Speed:
    """The speed of one core of this machine, from about `budget_s` seconds of work; the fastest step counts.

    The core's time is taken, not the wall clock's: programs that are open now may be closed when the course runs.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        products = _fastest(_training_step(), 0.6 * budget_s)
    finally:
        torch.set_num_threads(threads)
    return Speed(1 / products, 1 / _fastest(_plain_round(), 0.4 * budget_s))


def trains_in() -> str:
    """The type of training's products on this machine's processor, as `EAILKIT_PRECISION` has it."""
    from eailkit.training import multiplies_bf16

    return "bfloat16" if multiplies_bf16("cpu") else "float32"


@dataclass(frozen=True)
class Recorded:
    """What a notebook took once: seconds, with how many threads, on a machine of which speed."""

    seconds: float
    threads: int = RECORDED_THREADS
    there: Speed = REFERENCE


def recorded(path: Path | str = RECORDED) -> dict[str, Recorded]:
    """Name -> what it took, of every recorded notebook; {} without a record.

    `python -m benchmarks.readme --course FOLDER` records a course, with the speed that was measured at its start.
    """
    found = {}
    try:
        for row in json.loads(Path(path).read_text(encoding="utf-8")):
            config = row["config"]
            there = Speed(**config["speed"]) if config.get("speed") else REFERENCE
            seconds = float(row["mean"]["seconds"])
            found[row["id"]] = Recorded(seconds, config.get("threads", RECORDED_THREADS), there)
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return found


def expected_s(names: Iterable[str], speed: Speed, threads: int, *, path: Path | str = RECORDED) -> dict[str, float]:
    """Seconds that each notebook will take here; notebooks without a record are left out.

    Args:
        speed: of a core here.
        threads: that each notebook will compute with.
    """
    times, found = recorded(path), {}
    for name in names:
        if name in times:
            once, share = times[name], TRAINING.get(name, 0.0)
            products = once.there.products / speed.products * (once.threads / threads) ** THREADS_POWER
            found[name] = once.seconds * (share * products + (1 - share) * once.there.plain / speed.plain)
    return found


def course_s(names: Iterable[str], speed: Speed, jobs: int, threads: int, **options) -> float | None:
    """Seconds of the whole course, None where a notebook has no record; `options` as in `expected_s`."""
    names = list(names)
    seconds = expected_s(names, speed, threads, **options)
    return Plan(names, jobs, seconds).left_s() if names and set(seconds) == set(names) else None


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_jobs(names: Iterable[str]) -> int:
    """Notebooks side by side, at most one a core: the number that takes least time by the recorded ones.

    More isn't better, since each computes with its share of the cores, and the longest chain with no more. Where one
    of the notebooks has no record, one a core. It depends on the machine and the course alone, see `threads_each`.

    Args:
        names: of the whole course, whichever of them run.
    """
    names = list(names)
    most = max(1, min(cores(), len(names)))
    took = {jobs: course_s(names, REFERENCE, jobs, threads_each(jobs)) for jobs in range(1, most + 1)}
    return min(took, key=took.__getitem__) if None not in took.values() else most


def room_for() -> int:
    """How many notebooks the free memory holds at `PEAK_GB` each, one at least."""
    import psutil

    return max(1, int(psutil.virtual_memory().available / 1e9 / PEAK_GB))


def threads_each(jobs: int) -> int:
    """Threads of a notebook when `jobs` run side by side.

    It depends on nothing else, neither on how many are left to run nor on the memory that happens to be free, as sums
    are rounded in another order with other threads: a run that was killed and goes on must come to the numbers of one
    that wasn't. Two threads on two busy cores are slower than one.
    """
    return max(1, cores() // jobs)


def _fastest(
    step: Callable[[], object],
    budget_s: float,
    core: Callable[[], float] = CORE_CLOCK,
    wall: Callable[[], float] = time.perf_counter,
) -> float:
    """Seconds of the fastest of the steps that fit into the budget, three at least after one to warm up."""
    step()
    best, began, count = float("inf"), wall(), 0
    while count < 3 or wall() - began < budget_s:
        before = core()
        step()
        best, count = min(best, core() - before), count + 1
    return best


def _training_step() -> Callable[[], object]:
    """A step of two small nets at quick's sizes: stage 2's convolutions over ten maps, the IMU net's over a second."""
    import torch
    from torch import nn

    from eailkit.training import multiplies_bf16

    random = torch.Generator().manual_seed(0)
    maps = torch.randn(8, 16, 10, 20, 20, generator=random)
    windows = torch.randn(64, 32, 200, generator=random)
    over_maps = nn.Sequential(nn.Conv3d(16, 16, (5, 3, 3), padding=(2, 1, 1)), nn.GroupNorm(4, 16), nn.GELU())
    over_time = nn.Sequential(nn.Conv1d(32, 64, 3, padding=1), nn.BatchNorm1d(64), nn.ReLU())

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=multiplies_bf16("cpu")):
            loss = over_maps(maps).float().square().mean() + over_time(windows).float().square().mean()
        loss.backward()

    return step


def _plain_round() -> Callable[[], object]:
    """Some milliseconds of what preparing, simulating and drawing are made of."""
    import numpy as np

    values = np.random.default_rng(0).normal(size=(100, 256))

    def once() -> float:
        total = sum(k % 7 for k in range(20_000))
        return total + float(np.sort(np.sin(np.cumsum(values, axis=1)), axis=None)[0])

    return once
