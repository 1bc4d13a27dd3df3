"""What `eailkit doctor` says: versions, device, threads, memory, disk, what is missing and what to do.

A check looks and reports; nothing here changes the machine, asks the network or raises.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import eailkit
from eailkit.course.expect import PEAK_GB, Speed, course_s, default_jobs, expected_s, room_for, threads_each
from eailkit.course.state import about

if TYPE_CHECKING:
    from packaging.requirements import Requirement

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
LEAST_MEMORY_GB = 4.0  # the course's largest notebook with room to spare
EXTRAS = {  # extra of pyproject.toml -> what it is for, and how its packages come
    "aria": ("Aria VRS files", "pip install --no-deps projectaria-tools"),
    "cluster": ("runs on a cluster", "pip install -e .[cluster] -c constraints.txt"),
    "dev": ("the tests", "pip install -e .[dev] -c constraints.txt"),
}
INSTALL = "pip install -e . -c constraints.txt"
LEAST_DISK_GB = 3.0  # caches of one course run and its report


@dataclass(frozen=True)
class Check:
    """One line of the doctor: a name, what was found, and the advice where something is wrong.

    Attributes:
        level: "ok", "optional" (something that only some tasks need is absent) or "missing" (the course won't run).
        advice: what to do, "" where nothing.
    """

    name: str
    found: str
    level: str = "ok"
    advice: str = ""


def examine(folder: Path | str = ".", *, jobs: int | None = None, speed: Speed | None = None) -> list[Check]:
    """Every check, in the order in which they are printed.

    Args:
        folder: where runs will be written.
        jobs: notebooks side by side; as many as the course would take by default.
        speed: of a core, where it was measured; what the course takes isn't said without.
    """
    return [
        _python(),
        *_packages(requirements()),
        *_torch(),
        _memory(),
        _disk(Path(folder)),
        _samples(),
        _notebooks(),
        *([_course(jobs, speed)] if speed else []),
        _browser(),
    ]


def requirements() -> list[str]:
    """What the installed package requires, a line a package as in pyproject.toml; [] where it isn't installed."""
    try:
        return metadata.requires("eailkit") or []
    except metadata.PackageNotFoundError:
        return []


def describe(checks: Iterable[Check]) -> str:
    """The checks as text: a column of names, one of findings, and the advice under what isn't ok."""
    sign = {"ok": "ok      ", "optional": "optional", "missing": "MISSING "}
    lines = []
    for check in checks:
        lines.append(f"{sign[check.level]}  {check.name:18}  {check.found}")
        if check.advice:
            lines.append(f"{'':30}-> {check.advice}")
    return "\n".join(lines)


def find_browser() -> str | None:
    """Path of a Chromium-like browser: the `CHROMIUM` environment variable, or the first of `BROWSERS` on the path."""
    named = os.environ.get("CHROMIUM")
    if named:
        return shutil.which(named)
    return next((found for found in map(shutil.which, BROWSERS) if found), None)


def repository_folder(name: str) -> Path:
    """Folder `name` ("notebooks", "data_samples") of the checkout that this package is installed from."""
    return Path(eailkit.__file__).resolve().parent.parent / name


def _python() -> Check:
    system = f"{platform.system()} {platform.machine()}"
    return Check("python", f"{platform.python_version()} on {system} ({sys.executable})")


def _packages(required: Iterable[str]) -> list[Check]:
    """A check for each requirement that holds on this system, those of extras last and optional.

    Args:
        required: as `importlib.metadata.requires` gives them: "numpy>=2.0", 'ruff>=0.8; extra == "dev"'.
    """
    from packaging.requirements import Requirement

    needed = [Requirement(line) for line in required]
    if not needed:
        return [Check("eailkit", "not installed: its packages aren't known", "missing", INSTALL)]
    checks = [_package(r, "missing", INSTALL) for r in needed if r.marker is None or r.marker.evaluate({"extra": ""})]
    for extra, (purpose, advice) in EXTRAS.items():
        for r in needed:
            if r.marker is not None and r.marker.evaluate({"extra": extra}) and not r.marker.evaluate({"extra": ""}):
                checks.append(_package(r, "optional", advice, f", needed for {purpose}"))
    return checks


def _package(required: Requirement, level: str, advice: str, purpose: str = "") -> Check:
    try:
        found = metadata.version(required.name)
    except metadata.PackageNotFoundError:
        return Check(required.name, f"not installed{purpose}", level, advice)
    if not required.specifier.contains(found, prereleases=True):
        return Check(required.name, f"{found}, but {required.specifier} is needed{purpose}", level, advice)
    return Check(required.name, found)


def _torch() -> list[Check]:
    try:
        import torch

        from eailkit.training import multiplies_bf16
    except Exception as error:  # a broken build can raise anything while it loads
        return [Check("device", f"torch doesn't load: {error}", "missing", "make the environment anew: make setup")]
    if torch.cuda.is_available():
        device = f"cuda, {torch.cuda.get_device_name()}, {torch.cuda.mem_get_info()[1] / 1e9:.0f} GB"
    elif torch.backends.mps.is_available():
        device = "mps"
    else:
        device = "cpu (enough for the profile `quick`)"
    checks = [
        Check("device", device),
        Check("threads", f"{torch.get_num_threads()} for torch, {os.cpu_count()} cores"),
        Check("training", _training(multiplies_bf16())),
    ]
    try:
        import torchvision  # noqa: F401
    except Exception as error:
        pair = f"torchvision doesn't load beside this torch: {error}"
        advice = "take both from one index: delete .venv, then make setup (TORCH_INDEX=URL for another index)"
        checks.append(Check("torch pair", pair, "missing", advice))
    return checks


def _training(bf16: bool) -> str:
    if bf16:
        return "in bfloat16 (EAILKIT_PRECISION=float32 trains as machines without it do)"
    if os.environ.get("EAILKIT_PRECISION") == "float32":
        return "in float32, as EAILKIT_PRECISION says"
    return "in float32: this machine has no bfloat16 products"


def _memory() -> Check:
    import psutil

    memory = psutil.virtual_memory()
    found = f"{memory.available / 1e9:.1f} GB free of {memory.total / 1e9:.1f} GB"
    if memory.available < LEAST_MEMORY_GB * 1e9:
        return Check("memory", found, "optional", f"the course wants {LEAST_MEMORY_GB:.0f} GB: close other programs")
    return Check("memory", found)


def _disk(folder: Path) -> Check:
    folder = folder.resolve()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:.0f} GB free at {folder}"
    if not os.access(folder, os.W_OK):
        return Check("disk", f"{folder} can't be written", "missing", "run from a folder of yours, or use --out")
    if free < LEAST_DISK_GB * 1e9:
        return Check("disk", found, "missing", f"free {LEAST_DISK_GB:.0f} GB, or use --out on another disk")
    return Check("disk", found)


def _samples() -> Check:
    folder = repository_folder("data_samples")
    files = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    if not files:
        return Check("data samples", f"nothing in {folder}", "missing", "install with `pip install -e .` from a clone")
    stubs = [path for path in files if path.stat().st_size == 0]
    if stubs:
        return Check("data samples", f"{stubs[0].name} is empty", "missing", "restore it: git checkout data_samples")
    return Check("data samples", f"{len(files)} files, {sum(p.stat().st_size for p in files) / 1e6:.1f} MB")


def _notebooks() -> Check:
    folder = repository_folder("notebooks")
    count = len(list(folder.glob("[0-9][0-9]*_*.ipynb"))) if folder.is_dir() else 0
    if not count:
        return Check("notebooks", f"none in {folder}", "missing", "install with `pip install -e .` from a clone")
    return Check("notebooks", f"{count} in {folder}")


def _course(jobs: int | None, speed: Speed) -> Check:
    names = [path.stem for path in sorted(repository_folder("notebooks").glob("[0-9][0-9]*_*.ipynb"))]
    threads = threads_each(jobs or default_jobs(names))
    jobs = jobs or min(default_jobs(names), room_for())
    timed = [name for name in names if name in expected_s(names, speed, threads)]
    seconds = course_s(timed, speed, jobs, threads)
    beside = f"{jobs} notebooks side by side" if jobs > 1 else "one notebook at a time"
    if left := [name for name in names if name not in timed]:
        beside += f", without {', '.join(left)}, of which no time is recorded"
    found = f"{about(seconds)} here at quick, {beside}" if seconds else "no recorded times to go by"
    least = LEAST_MEMORY_GB + (jobs - 1) * PEAK_GB
    return Check("the course", f"{found} (up to {least:.0f} GB of memory; eailkit course --jobs 1 takes least)")


def _browser() -> Check:
    found = find_browser()
    if found:
        return Check("browser", found)
    advice = "install Chromium, or set CHROMIUM to a browser's path; only the report's own tests need it"
    return Check("browser", "no Chromium found", "optional", advice)
