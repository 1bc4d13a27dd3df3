"""Independent jobs over processes, with a bar, and locks between processes that work in one folder.

Processes are spawned, so that they run alike on every system. Locks are the system's, on open files: one that is
killed holds none.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, BinaryIO

from tqdm.auto import tqdm

POLL_S = 0.2  # a lock that is waited for is tried this often


class WorkerDied(RuntimeError):
    """A worker process ended before its job did, as one does that the system ran out of memory for."""

    def __init__(self) -> None:
        super().__init__(
            "a worker process ended early; expected enough memory, and in a script the call under "
            "`if __name__ == '__main__':`; run again (what is finished is kept), with workers=1 if it repeats."
        )


def run_all(jobs: list[tuple], workers: int, progress: bool, what: str, *, before: int = 0, unit: str = "it") -> None:
    """Run every job and show a bar; the first failure, or Ctrl-C, cancels what hasn't begun and is raised.

    Args:
        jobs: (function, *arguments) each; functions and arguments can be pickled.
        workers: processes; one runs the jobs here.
        progress: show the bar.
        what: its title.
        before: jobs that an earlier call finished, for the bar.
        unit: of the bar.

    Raises:
        WorkerDied: a worker process ended before its job.
    """
    if not jobs:
        return
    total = before + len(jobs)
    with tqdm(total=total, initial=before, desc=what, unit=unit, disable=not progress, leave=False) as bar:
        if workers <= 1 or len(jobs) == 1:
            for function, *arguments in jobs:
                function(*arguments)
                bar.update()
            return
        quiet = (signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C this process stops the others, in order
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(workers, len(jobs)), context, signal.signal, quiet) as pool:
            futures = [pool.submit(*job) for job in jobs]
            try:
                for future in as_completed(futures):
                    future.result()
                    bar.update()
            except BrokenProcessPool:
                raise WorkerDied from None
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def lock(file: BinaryIO) -> bool:
    """Take the lock of an open file, which lasts until it is closed; False where another process has it.

    File systems that know no locks give it to everybody.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
    return True


@contextlib.contextmanager
def held(path: Path | str, *, say: Callable[[str], object] = print) -> Iterator[None]:
    """Hold the lock file at `path`, which exists only meanwhile; waits for another process that holds it.

    Where no such file can be made, as in a folder that is only read, nobody is waited for.

    Args:
        say: told once that this process waits.
    """
    path, told = Path(path), False
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open(path, "a+b")  # noqa: SIM115 (closed below)
        except OSError:
            yield
            return
        if lock(file) and _still_at(path, file):
            break
        file.close()
        if not told:
            what = path.name.removeprefix(".").removesuffix(".lock")
            say(f"{what}: another process is making it; waiting for its end")
            told = True
        time.sleep(POLL_S)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows keeps a file that is open
            path.unlink()
        file.close()


def _still_at(path: Path, file: BinaryIO) -> bool:
    """Whether an open file is the one at `path`: who held its lock may have removed it before we locked it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


def one_at_a_time(train: Callable[..., Any]) -> Callable[..., Any]:
    """Let one process at a time call `train` with the same `out_dir` and `name`: whoever comes second finds it done.

    Two notebooks that run side by side may need the same weights.
    """

    @functools.wraps(train)
    def alone(*arguments: Any, out_dir: str | Path | None = None, name: str = "model", **options: Any) -> Any:
        if out_dir is None:
            return train(*arguments, out_dir=None, name=name, **options)
        with held(Path(out_dir) / f".{name}.lock"):
            return train(*arguments, out_dir=out_dir, name=name, **options)

    return alone
