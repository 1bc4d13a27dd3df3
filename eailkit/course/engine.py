"""A papermill engine whose Output widgets can't hang the run.

nbclient answers each line that a cell prints into an `ipywidgets.Output` with a message to the kernel, on the socket
where another of its tasks waits for the cell's reply. The send can swallow the wake-up for that reply, and on a busy
machine the run then waits for ever (jupyter/nbclient issue 312, open). The pages of a report need no such answer:
what an Output widget shows is kept on this side.
"""

from __future__ import annotations

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
    """Papermill's client with the quiet Output widget."""

    def reset_execution_trackers(self) -> None:
        """Start anew, as nbclient does, and take the quiet Output widget."""
        super().reset_execution_trackers()
        self.widget_registry = {"@jupyter-widgets/output": {"OutputModel": QuietOutput}}


class Engine(NBClientEngine):
    """Papermill's own engine, around `Client`."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, start_timeout: int = 60, **options: Any) -> Any:
        """Execute the notebook that `nb_man` holds in a new kernel; see papermill for `nb_man`."""
        options.pop("input_path", None)
        return Client(nb_man, kernel_name=kernel_name, startup_timeout=start_timeout, **options).execute()


def register() -> str:
    """Make the engine known to papermill; returns its name."""
    papermill_engines.register(ENGINE, Engine)
    return ENGINE
