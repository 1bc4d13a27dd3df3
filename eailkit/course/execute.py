"""Executing one notebook: papermill in a thread, the running interpreter as its kernel, time and memory watched.

Any number of them run at once; which and when is `eailkit.course.run`'s business.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from eailkit.course.guard import MARK

KERNEL = "eailkit-course"
# A kernel that died is noticed without a limit; this one must outlast a laptop that was closed while one started.
START_TIMEOUT_S = 24 * 3600
KILL_TIMEOUT_S = 60
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class Outcome:
    """How one execution went.

    Attributes:
        seconds: wall-clock time, start of the kernel included.
        peak_memory_mb: largest resident memory of the kernel with all its child processes.
        raised: what papermill raised, None where it was content; errors of widget callbacks don't raise.
    """

    seconds: float
    peak_memory_mb: float
    raised: BaseException | None


class Execution:
    """One notebook in a kernel of its own, begun within `own_kernel()`; never raises what the notebook raises.

    Papermill runs in a thread, not in the main one, where nbclient would take Ctrl-C for itself and go on.

    Args:
        path: the notebook, absolute.
        executed: where its executed copy goes, `<folder of the run>/executed/<name>`, an absolute path; written as
            far as the execution came.
        values: papermill parameters.
        threads: that the kernel computes with, unless the user's environment says how many.
        ended: called, in another thread, when it is over.
    """

    def __init__(
        self, path: Path, executed: Path, values: Mapping[str, Any], threads: int, ended: Callable[[], None]
    ) -> None:
        self.path, self.executed, self.values = path, executed, dict(values)
        self.environment = {name: str(threads) for name in THREADS} | dict(os.environ)
        self.environment[MARK] = str(executed.parent.parent)
        self._ended = ended
        self._raised: BaseException | None = None
        self._kernel: psutil.Process | None = None
        self._peak_mb, self._stopped = 0.0, False
        self._began = time.monotonic()
        self._thread = threading.Thread(target=self._papermill, daemon=True)
        self._thread.start()

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return time.monotonic() - self._began

    def over(self) -> bool:
        """Whether it has ended; looks at the kernel's memory, so that somebody must ask now and then."""
        now_mb = 0.0
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                now_mb += process.memory_info().rss / 1e6
        self._peak_mb = max(self._peak_mb, now_mb)
        return not self._thread.is_alive()

    def outcome(self) -> Outcome:
        """How it went, once it is over; there is an executed copy then, of the notebook as it was if need be."""
        if not self.executed.exists():
            with contextlib.suppress(OSError):  # a full disk is said by whoever writes the report
                shutil.copyfile(self.path, self.executed)
        return Outcome(self.seconds, self._peak_mb, self._raised)

    def stop(self) -> None:
        """End the kernel and every process that it started, now or as soon as it begins; `wait` afterwards."""
        self._stopped = True
        for process in self._processes():
            with contextlib.suppress(psutil.Error):
                process.kill()

    def wait(self) -> None:
        """Wait until papermill has noticed and written what it has."""
        self._thread.join(KILL_TIMEOUT_S)

    def _begun(self, pid: int) -> None:
        with contextlib.suppress(psutil.Error):
            self._kernel = psutil.Process(pid)  # knows when it began: another process of this number is none of ours
        if self._stopped:
            self.stop()

    def _processes(self) -> list[psutil.Process]:
        if self._kernel is None:
            return []
        try:
            return [self._kernel, *self._kernel.children(recursive=True)]
        except psutil.Error:
            return []

    def _papermill(self) -> None:
        import papermill

        from eailkit.course.engine import register

        try:
            papermill.execute_notebook(
                str(self.path),
                str(self.executed),
                engine_name=register(),
                parameters=self.values,
                kernel_name=KERNEL,
                language="python",
                progress_bar=False,
                start_timeout=START_TIMEOUT_S,
                told=self._begun,
                kernel_cwd=str(self.executed.parent),
                kernel_env=self.environment,
            )
        except BaseException as error:  # handed to whoever asks for the outcome
            self._raised = error
        finally:
            self._ended()


@contextlib.contextmanager
def own_kernel() -> Iterator[None]:
    """A kernel that is the running interpreter, known only while this lasts, whatever the user has installed."""
    environment = {
        "PLOTLY_RENDERER": "plotly_mimetype",  # papermill's default leaves the pages without figures
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "passive"),  # threads that spin starve a busy machine
        "HF_HUB_OFFLINE": os.environ.get("HF_HUB_OFFLINE", "1"),  # nothing is downloaded while the course runs
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    # Jupyter interrupts each kernel before it ends it, and a kernel calls that an error: only what is critical is said
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=50"]
    command.append("--HistoryManager.hist_file=:memory:")  # what the course runs isn't what the user typed
    spec = {"argv": command, "display_name": "eailkit course", "language": "python", "env": environment}
    before = os.environ.get("JUPYTER_PATH")
    with tempfile.TemporaryDirectory() as folder:
        kernel = Path(folder) / "kernels" / KERNEL
        kernel.mkdir(parents=True)
        (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [folder, before]))
        try:
            yield
        finally:
            if before is None:
                del os.environ["JUPYTER_PATH"]
            else:
                os.environ["JUPYTER_PATH"] = before
