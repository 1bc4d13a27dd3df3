"""A papermill engine whose Output widgets can't hang the run, and whose kernels are known, one by one.

nbclient answers each line that a cell prints into an `ipywidgets.Output` with a message to the kernel, on the socket
where another of its tasks waits for the cell's reply. The send can swallow the wake-up for that reply, and on a busy
machine the run then waits for ever (jupyter/nbclient issue 312, open). The pages of a report need no such answer:
what an Output widget shows is kept on this side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nbclient.output_widget import OutputWidget
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines

ENGINE = "eailkit"


class QuietOutput(OutputWidget):
    """nbclient's stand-in for an Output widget, without messages back to the kernel."""

    def send(self, data: Any = None, metadata: Any = None, buffers: Any = None) -> None:
        """Say nothing: the outputs are kept in the executor's widget state."""


class Client(PapermillNotebookClient):
    """Papermill's client with the quiet Output widget, which tells whose kernel runs in which process."""

    told: Callable[[int], None] | None = None

    def reset_execution_trackers(self) -> None:
        """Start anew, as nbclient does, and take the quiet Output widget."""
        super().reset_execution_trackers()
        self.widget_registry = {"@jupyter-widgets/output": {"OutputModel": QuietOutput}}

    def start_new_kernel(self, **kwargs: Any) -> None:
        """Start the kernel and tell its process number at once."""
        super().start_new_kernel(**kwargs)
        if self.told:
            self.told(self.km.provisioner.pid)


class Engine(NBClientEngine):
    """Papermill's own engine, around `Client`."""

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: Any,
        kernel_name: str,
        start_timeout: int = 60,
        told: Callable[[int], None] | None = None,
        kernel_cwd: str | None = None,
        kernel_env: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Any:
        """Execute the notebook that `nb_man` holds in a new kernel; see papermill for `nb_man`.

        Args:
            start_timeout: seconds, of the kernel's first answer and of outputs that come after a cell's reply.
            told: called with the kernel's process number.
            kernel_cwd, kernel_env: of that process; papermill's own `cwd` would move this process about.
        """
        options.pop("input_path", None)
        client = Client(
            nb_man, kernel_name=kernel_name, startup_timeout=start_timeout, iopub_timeout=start_timeout, **options
        )
        client.told = told
        return client.execute(cwd=kernel_cwd, env=None if kernel_env is None else dict(kernel_env))


def register() -> str:
    """Make the engine known to papermill; returns its name."""
    papermill_engines.register(ENGINE, Engine)
    return ENGINE
