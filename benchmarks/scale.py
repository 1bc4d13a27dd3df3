"""1 h, 10 h and 100 h of recordings through the whole of EAIL: minutes and memory of each stage, and a plan for 564 h.

    python -m benchmarks.scale --hours 1 10 100 --out runs/scale [--page]

Each stage runs in a process of its own on one thread; its peak memory is the system's count. The rooms stay eight, so
that what grows is hours alone; trainings make as many steps whatever there is to read, since epochs are a choice.
`--page` writes `docs/scale.md` of what is recorded.
"""

from __future__ import annotations

import argparse
import math
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from eailkit.files import write_atomically
from eailkit.profiles import PAPER, QUICK, DatasetSize, Profile, counted
from eailkit.results.ledger import RESULTS_DIR, LedgerRow, append_rows, device_name, git_commit, read

ROOMS, MINUTES, STEPS = 8, 20.0, 100
STAGES = ("simulate and prepare", "targets", "stage 1", "features", "stage 2", "velocity net")
PAGE = Path("docs/scale.md")
PAPER_HOURS = 564.13  # EAIL section 5.1


def profile_of(hours: float) -> Profile:
    """Quick's nets on so many hours of training takes, few of any other split."""
    takes = max(1, round(hours * 60 / MINUTES / (ROOMS - 2)))
    size = DatasetSize(
        seen_rooms=ROOMS - 2, val_unseen_rooms=1, test_unseen_rooms=1, participants=12, minutes=MINUTES,
        train_takes_per_room=takes, unseen_takes_per_room=1, long_takes=0,
    )  # fmt: skip
    once = {"steps": STEPS, "validate_every": 0, "min_steps": 0}
    return replace(
        QUICK, name=f"scale-{hours:g}", data=size, stage1=replace(QUICK.stage1, **once),
        stage2=replace(QUICK.stage2, **once), velocity=replace(QUICK.velocity, **once),
    )  # fmt: skip


def do(stage: str, hours: float, out: Path) -> dict[str, float]:
    """One stage in this process: minutes of CPU and of the clock, peak memory in GB."""
    import torch

    from eailkit.experiments.eail_run import Run

    torch.set_num_threads(1)
    run = Run(out, profile_of(hours), progress=False)
    if stage != STAGES[0]:
        run.prepared  # noqa: B018 (found, not made: what loading it takes belongs to every stage)
    began, cpu = time.monotonic(), _cpu_s()
    if stage == "simulate and prepare":
        run.prepared  # noqa: B018
    elif stage == "targets":
        run.vision_language_targets  # noqa: B018
    elif stage == "velocity net":
        run.train_velocity()
    else:
        stage1, _ = run.train_stage1()
        if stage == "features":
            run.features(stage1)
        elif stage == "stage 2":
            run.train_stage2(stage1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"minutes": (time.monotonic() - began) / 60, "CPU minutes": (_cpu_s() - cpu) / 60, "peak GB": peak / 1e9}


def _cpu_s() -> float:
    each = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(r.ru_utime + r.ru_stime for r in each)


def record(hours: list[float], out: Path, results: Path | str = RESULTS_DIR) -> None:
    """Measure every stage at every size and write table `scale`, a row a (hours, stage)."""
    for size in hours:
        for stage in STAGES:
            command = [
                sys.executable,
                "-m",
                "benchmarks.scale",
                "--do",
                stage,
                "--hours",
                f"{size:g}",
                "--out",
                str(out),
            ]
            told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
            mean = {k: float(v) for k, v in (pair.split("=") for pair in told.split("; "))}
            append_rows("scale", [LedgerRow(
                id=f"{size:g} h | {stage}", question=f"What does '{stage}' take on {size:g} h of recordings?",
                command="python -m benchmarks.scale", config={"hours": size, "rooms": ROOMS, "steps": STEPS,
                                                              "spread": "none: once"},
                commit=git_commit(), data_hash=f"SynthKitchen, {size:g} h", seeds=(0,), mean=mean,
                spread=dict.fromkeys(mean, 0.0), minutes=round(mean["minutes"], 3), device=device_name(),
            )], results_dir=results)  # fmt: skip
            print(f"{size:g} h, {stage}: {told}", flush=True)


def page(results: Path | str = RESULTS_DIR) -> str:
    """`docs/scale.md`."""
    rows = {row["id"]: row["mean"] for row in read("scale", results_dir=results)}
    hours = sorted({float(name.partition(" h")[0]) for name in rows})
    lines = [
        "# From an hour to the whole of Ego-Exo4D's cooking\n",
        f"Minutes of CPU on one thread, and the largest process's memory, for EAIL's stages at quick's widths on "
        f"{ROOMS} rooms; trainings make {STEPS} steps each (`python -m benchmarks.scale`).\n",
        "| stage | " + " | ".join(f"{h:g} h: CPU min | GB" for h in hours) + " |",
        "|---|" + "---|---|" * len(hours),
    ]
    for stage in STAGES:
        cells = []
        for h in hours:
            found = rows.get(f"{h:g} h | {stage}")
            cells += ["–", "–"] if found is None else [f"{found['CPU minutes']:.2f}", f"{found['peak GB']:.2f}"]
        lines.append(f"| {stage} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", _reading(rows, hours), "", _plan(rows, hours), ""])


def _reading(rows: dict[str, dict[str, float]], hours: list[float]) -> str:
    """Whether minutes are linear and memory flat, by the recorded numbers."""
    whole = [h for h in hours if all(f"{h:g} h | {s}" in rows for s in STAGES)]
    if len(whole) < 2:
        return "Not enough is recorded to tell how minutes and memory grow."
    first, last = whole[0], whole[-1]
    grown = ("simulate and prepare", "features")
    told = []
    for stage in grown:
        a, b = rows[f"{first:g} h | {stage}"]["CPU minutes"], rows[f"{last:g} h | {stage}"]["CPU minutes"]
        power = math.log(b / a) / math.log(last / first)
        word = "linear" if abs(power - 1) < 0.15 else "less than linear" if power < 1 else "more than linear"
        told.append(f"{stage}: minutes grow by the power {power:.2f} of hours, {word}")
    peaks = {s: rows[f"{last:g} h | {s}"]["peak GB"] / rows[f"{first:g} h | {s}"]["peak GB"] for s in STAGES}
    worst = max(peaks, key=peaks.get)
    flat = "flat" if peaks[worst] < 1.3 else "not flat"
    told.append(f"memory is {flat}: the largest growth is {peaks[worst]:.2f} times, of {worst}")
    return f"From {first:g} h to {last:g} h, " + "; ".join(told) + "."


def _plan(rows: dict[str, dict[str, float]], hours: list[float]) -> str:
    """What 564.13 h would take: steps by counting epochs, files by the hour."""
    steps = counted(PAPER, round(PAPER_HOURS * 3600))
    windows = PAPER_HOURS * 3600
    gigabytes = windows * 6 * 400 * 4 / 1e9
    lines = [
        f"## A plan for {PAPER_HOURS} h\n",
        f"- Windows: {PAPER_HOURS} h x 3600 = {windows:,.0f} of one second; 6 x 400 x 4 bytes each, {gigabytes:,.0f} "
        "GB that training memory-maps and never loads whole.",
        f"- Stage 1: 250 epochs / batch 64 = {steps.stage1.steps:,} steps; stage 2: 100 epochs of sequences of ten "
        f"seconds / batch 64 = {steps.stage2.steps:,} steps (`profiles.counted` shows the arithmetic).",
    ]
    known = [h for h in hours if f"{h:g} h | simulate and prepare" in rows]
    if known:
        a_minute = rows[f"{known[-1]:g} h | simulate and prepare"]["CPU minutes"] / known[-1]
        lines.append(
            f"- Preparation: {a_minute:.1f} CPU minutes an hour here, simulation included, so at most "
            f"{a_minute * PAPER_HOURS / 60:.0f} core-hours; takes are independent of each other."
        )
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, nargs="+", default=[1, 10, 100])
    parser.add_argument("--out", type=Path, default=Path("runs/scale"))
    parser.add_argument("--do", choices=STAGES)
    parser.add_argument("--page", action="store_true")
    asked = parser.parse_args()
    if asked.do:
        print("; ".join(f"{k}={v:.6f}" for k, v in do(asked.do, asked.hours[0], asked.out).items()))
    elif asked.page:
        write_atomically(PAGE, lambda p: Path(p).write_text(page(), encoding="utf-8"))
        print(f"wrote {PAGE}")
    else:
        record(asked.hours, asked.out)
