"""What may happen to a run from outside: a second run in its folder, Ctrl-C, a terminal that is closed."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from eailkit.errors import OutputError
from eailkit.parallel import lock

LOCK = ".lock"
MARK = "EAILKIT_COURSE_FOLDER"  # in the environment of a course's kernels, and so of all that they start
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a folder for one run. The lock is the system's, on an open file: a run that is killed leaves none behind.

    Its kernels may live on for a second or two; what they would still write is spared the run that begins.

    Raises:
        OutputError: another run holds it, or nothing can be written there.
    """
    try:
        file = open(folder / LOCK, "a+b")  # noqa: SIM115 (held below)
    except OSError as error:
        raise OutputError(
            f"{folder}: can't be written ({error.strerror or error}); expected a folder with write permission and "
            "space; give another with --out."
        ) from error
    with file:
        if not lock(file):
            raise OutputError(
                f"{folder}: found another course at work in it; expected one at a time; wait for its end, or give "
                "another folder with --out."
            )
        _end_leftovers(folder)
        yield


@contextlib.contextmanager
def stop_requests() -> Iterator[threading.Event]:
    """An event that Ctrl-C, SIGTERM and SIGHUP set while this lasts, so that they never cut a file in half.

    A second one raises KeyboardInterrupt, for whoever can't wait. What the parent has switched off stays off: SIGHUP
    under nohup, SIGINT in a script's background job. Outside the main thread signals are left as they are.
    """
    asked, before = threading.Event(), {}

    def ask(number: int, frame: Any) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    if threading.current_thread() is threading.main_thread():
        for number in (getattr(signal, name, None) for name in SIGNALS):  # Windows has no SIGHUP
            if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, ask)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end_leftovers(folder: Path) -> None:
    """End what kernels of a course that was killed in this folder have left running."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # those of others can't be read
            if process.environ().get(MARK) == str(folder):
                process.kill()
                found.append(process)
    psutil.wait_procs(found, timeout=10)
