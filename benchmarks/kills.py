"""`python -m benchmarks.kills --profile smoke --kills 50 --seed 0`: what SIGKILL at random moments leaves of a course.

The course's first three notebooks are run once without interruption and once killed again and again, with every process
that they started, and begun anew in the same folder, each time from a drawn notebook on. A third of the kills come at
a moment drawn over the time that those notebooks take, the others at one of the next dozen files, just as its name
appears. In the end both folders must hold the same: tensors, windows, labels, losses, and the dataset's files.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from safetensors.numpy import load_file

from eailkit.provenance import content_digest

NOTEBOOKS = ("00", "01_", "02")
MARK = "EAILKIT_KILLS"  # in the environment of all that is to be killed
NEXT_FILES = 12  # of which one is met by a kill
LOOK_S = 0.01  # how often files and processes are looked at
TIMES = ("minutes", "device")  # of a training log: they differ between any two runs
COURSE = (
    "import json, sys; from eailkit.course.run import run_course; out, profile, only = json.loads(sys.argv[1]); "
    "sys.exit(not run_course(out_dir=out, profile=profile, only=only).ok)"
)


@dataclass
class Killed:
    """What happened to one command.

    Attributes:
        moments: after how many seconds each kill came.
        wholes: how many times the command came to its end before its kill did, and was begun from nothing again.
        faults: what went wrong, a sentence each.
        left: half-written files, hidden under names that nothing reads, that were there after the kills.
    """

    moments: list[float] = field(default_factory=list)
    wholes: int = 0
    faults: list[str] = field(default_factory=list)
    left: int = 0


def contents(folder: str | Path) -> dict[str, str]:
    """Name of every file under a folder -> digest of what it holds; hidden and half-written files are left out.

    Logs are compared without their times, archives and weights by their arrays.
    """
    folder = Path(folder)
    paths = [p for p in sorted(folder.rglob("*")) if p.is_file() and not _hidden(p.relative_to(folder))]
    return {p.relative_to(folder).as_posix(): _content(p) for p in paths}


def _hidden(path: Path) -> bool:
    return any(part.startswith((".", "part_")) for part in path.parts)


def _content(path: Path) -> str:
    try:
        if path.suffix == ".safetensors":
            return json.dumps({k: content_digest(v) for k, v in sorted(load_file(path).items())})
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return json.dumps({k: content_digest(arrays[k]) for k in sorted(arrays.files)})
        if path.suffix == ".npy":
            return content_digest(np.load(path, allow_pickle=False))
        if path.suffix == ".json":
            found = json.loads(path.read_text())
            return json.dumps({k: v for k, v in found.items() if k not in TIMES} if isinstance(found, dict) else found)
    except Exception as fault:  # whatever a reader says of a broken file
        return f"broken: {fault}"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def differences(one: Mapping[str, str], two: Mapping[str, str]) -> list[str]:
    """Files that only one of two folders holds, or that hold something else, a line each."""
    lines = [f"{name}: only in the {'first' if name in one else 'second'}" for name in sorted(one.keys() ^ two.keys())]
    return lines + [f"{name}: differs" for name in sorted(one.keys() & two.keys()) if one[name] != two[name]]


def run_killed(
    commands: Sequence[tuple[Sequence[str], float]],
    folder: Path,
    kills: int,
    *,
    rng: np.random.Generator,
    whole: Mapping[str, str],
    say: Callable[[str], None] = print,
) -> Killed:
    """Start drawn commands, kill each at a random moment with all that it started, and in the end let the first finish.

    Where a command ends before its kill and `folder` holds all of an uninterrupted run, the two are compared and the
    folder is emptied, so that every moment of a run is met.

    Args:
        commands: each with the seconds it takes; all write under `folder` and resume what they find there; the first
            makes everything.
        whole: `contents` of an uninterrupted run's folder.
    """
    done, began = Killed(), time.monotonic()
    while len(done.moments) < kills and not done.faults:
        there = _count(folder)
        command, seconds = commands[int(rng.integers(len(commands)))]
        at_file = bool(rng.integers(3)) and there < len(whole)
        moment = int(rng.integers(1, NEXT_FILES + 1)) if at_file else float(rng.uniform(0, seconds))
        process, mark = _start(command, folder)
        took, code = _wait(process, folder, there, moment)
        _kill(mark)
        process.wait()
        if code is None:
            done.moments.append(round(took, 1))
            done.left = max(done.left, sum(_hidden(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()))
            what = f"at new file {moment}" if at_file else f"in time, {took:.1f} of {seconds:.0f} s"
            say(f"kill {len(done.moments)} {what}; {_count(folder)} files, {(time.monotonic() - began) / 60:.1f} min")
            continue
        if code:
            done.faults.append(f"after kill {len(done.moments)}: the next run failed ({code})")
        found = contents(folder)
        if found.keys() >= whole.keys():
            done.wholes += 1
            done.faults += differences(whole, found)
            shutil.rmtree(folder, ignore_errors=True)
            say(f"a whole run: {done.faults[0] if done.faults else 'the same; begun from nothing again'}")
    process, mark = _start(commands[0][0], folder)
    if code := process.wait():
        done.faults.append(f"the last run failed ({code})")
    _kill(mark)
    return done


def _count(folder: Path) -> int:
    return sum(len(names) for _, _, names in os.walk(folder))


def _start(command: Sequence[str], folder: Path) -> tuple[subprocess.Popen, str]:
    """The command with its log beside `folder`, and the mark that it and all its processes bear."""
    mark = uuid.uuid4().hex
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".log"), "ab") as log:
        environment = os.environ | {MARK: mark}
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True), mark


def _wait(process: subprocess.Popen, folder: Path, there: int, moment: float) -> tuple[float, int | None]:
    """Seconds until the moment (a count of new files, or seconds), and the exit code where the end came first."""
    began = time.monotonic()
    while (code := process.poll()) is None:
        took = time.monotonic() - began
        if (_count(folder) - there >= moment) if isinstance(moment, int) else took >= moment:
            return took, None
        time.sleep(LOOK_S)
    return time.monotonic() - began, code


def _kill(mark: str) -> None:
    """SIGKILL to every process with the mark, kernels and pools included, until none is left."""
    while found := [p for p in psutil.process_iter() if _marked(p, mark)]:
        for process in found:
            try:
                process.kill()
            except psutil.Error:
                continue
        psutil.wait_procs(found, timeout=5)


def _marked(process: psutil.Process, mark: str) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == mark
    except (psutil.Error, OSError):
        return False


def main() -> int:
    """Run the course twice, once killed; print a log and the verdict."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills", description=__doc__)
    parser.add_argument("--profile", default="smoke", choices=["smoke", "quick", "bench"])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="runs/kills", help="folder for both runs; emptied first")
    args = parser.parse_args()
    out, say = Path(args.out).resolve(), lambda text: print(text, flush=True)
    shutil.rmtree(out, ignore_errors=True)
    command = lambda name, only: [sys.executable, "-c", COURSE, json.dumps([str(out / name), args.profile, only])]  # noqa: E731
    began = time.monotonic()
    process, mark = _start(command("whole", NOTEBOOKS), out / "whole" / "artifacts")
    if code := process.wait():
        say(f"the uninterrupted course failed ({code}): see {out / 'whole' / 'artifacts.log'}")
        return 1
    _kill(mark)
    whole = contents(out / "whole" / "artifacts")
    took = [n["seconds"] for n in json.loads((out / "whole" / "course.json").read_text())["notebooks"]]
    say(f"uninterrupted: {' + '.join(f'{s:.0f}' for s in took)} s, {len(whole)} files")
    killed, parts = out / "killed" / "artifacts", range(len(NOTEBOOKS))
    commands = [(command("killed", NOTEBOOKS[k:]), sum(took[k:])) for k in parts]
    done = run_killed(commands, killed, args.kills, rng=np.random.default_rng(args.seed), whole=whole, say=say)
    faults = done.faults + differences(whole, contents(killed))
    for fault in faults:
        say(fault)
    say(
        f"{len(done.moments)} kills, {done.wholes} whole runs between, {done.left} half-written files (unread), "
        f"{(time.monotonic() - began) / 60:.0f} min: "
        + (f"{len(faults)} differences" if faults else f"the {len(whole)} files are those of the uninterrupted run")
    )
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
