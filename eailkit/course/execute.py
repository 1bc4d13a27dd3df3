"""Executing one notebook: papermill in a thread, the running interpreter as its kernel, time and memory watched."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

KERNEL = "eailkit-course"
SAMPLE_S = 0.25  # memory is looked at this often
START_TIMEOUT_S = 180  # a busy machine takes its time to start a kernel


@dataclass(frozen=True)
class Execution:
    """How one execution went.

    Attributes:
        seconds: wall-clock time, start of the kernel included.
        peak_memory_mb: largest resident memory of the kernel with all its child processes.
        raised: what papermill raised, None where it was content; errors of widget callbacks don't raise.
        interrupted: it was stopped by Ctrl-C, and its kernel with it.
    """

    seconds: float
    peak_memory_mb: float
    raised: BaseException | None
    interrupted: bool


def execute(path: Path, executed: Path, values: Mapping[str, Any]) -> Execution:
    """Execute a notebook with papermill, within `own_kernel()`; never raises what the notebook raises.

    Args:
        path: the notebook.
        executed: where its executed copy goes, an absolute path; written as far as the execution came.
        values: papermill parameters.
    """
    raised: list[BaseException] = []
    started = time.monotonic()
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    thread = threading.Thread(target=_papermill, args=(path, executed, values, raised), daemon=True)
    thread.start()
    peak, interrupted = 0.0, False
    try:
        while thread.is_alive():
            peak = max(peak, _memory_mb(_kernel_processes(before)))
            thread.join(SAMPLE_S)
    except KeyboardInterrupt:
        interrupted = True
        for process in _kernel_processes(before):
            with contextlib.suppress(psutil.Error):
                process.kill()
        thread.join(START_TIMEOUT_S)
    if not executed.exists():
        shutil.copyfile(path, executed)
    return Execution(time.monotonic() - started, peak, raised[0] if raised else None, interrupted)


@contextlib.contextmanager
def own_kernel() -> Iterator[None]:
    """A kernel that is the running interpreter, known only while this lasts, whatever the user has installed."""
    environment = {
        "PLOTLY_RENDERER": "plotly_mimetype",  # papermill's default leaves the pages without figures
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "passive"),  # threads that spin starve a busy machine
        "HF_HUB_OFFLINE": os.environ.get("HF_HUB_OFFLINE", "1"),  # nothing is downloaded while the course runs
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--log-level=40"]
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


def _papermill(path: Path, executed: Path, values: Mapping[str, Any], raised: list[BaseException]) -> None:
    """Papermill in this thread, not in the main one, where nbclient would take Ctrl-C for itself and go on."""
    import papermill

    from eailkit.course.engine import register

    try:
        papermill.execute_notebook(
            str(path.resolve()),
            str(executed),
            engine_name=register(),
            parameters=dict(values),
            kernel_name=KERNEL,
            language="python",
            progress_bar=False,
            start_timeout=START_TIMEOUT_S,
            cwd=str(executed.parent),
        )
    except BaseException as error:  # handed to the thread that waits
        raised.append(error)


def _kernel_processes(before: set[int]) -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if child.pid not in before]


def _memory_mb(processes: Sequence[psutil.Process]) -> float:
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += process.memory_info().rss
    return total / 1e6
