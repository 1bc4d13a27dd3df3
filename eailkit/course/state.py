"""What a run of the course knows of itself: a `NotebookRun` for every notebook, and the `CourseRun` around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class NotebookRun:
    """What became of one notebook.

    Attributes:
        name: file name without its ending, "00_start_here".
        title: its first heading. goal: the sentence after "Goal" in its first cells, or "".
        state: "waiting", "ok", "failed" or "interrupted".
        seconds: wall-clock time, start of the kernel included.
        ended_s: when it ended, seconds after the course began.
        peak_memory_mb: largest resident memory of the kernel with all its child processes.
        error: what went wrong, first line an exception's name and message; "" where nothing did.
    """

    name: str
    title: str
    goal: str
    state: str = "waiting"
    seconds: float = 0.0
    ended_s: float = 0.0
    peak_memory_mb: float = 0.0
    error: str = ""


@dataclass(frozen=True)
class CourseRun:
    """One run of the course: the folder and a `NotebookRun` for every notebook, in order.

    Attributes:
        jobs: notebooks side by side, at most. threads: that each of them computes with.
        speed: of one core, measured at the start (`expect.Speed` as a dict); {} where it wasn't.
        trains_in: type of training's products, "bfloat16" or "float32"; "" where no speed was measured.
        seconds: from the beginning of the first notebook to the end of the last one that ended.
        versions: what `eailkit doctor` said at the start.
    """

    folder: Path
    profile: str
    started: str
    notebooks: tuple[NotebookRun, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    versions: str = ""
    jobs: int = 1
    threads: int = 1
    speed: Mapping[str, float] = field(default_factory=dict)
    trains_in: str = ""

    @property
    def ok(self) -> bool:
        """Every notebook ran to its end without an error."""
        return all(notebook.state == "ok" for notebook in self.notebooks)

    @property
    def seconds(self) -> float:
        """Time of the whole course: less than the sum of its notebooks where some ran side by side."""
        return max((notebook.ended_s for notebook in self.notebooks), default=0.0)


def clock(seconds: float) -> str:
    """A duration as a reader says it: "48 s", "3 min 05 s"."""
    return f"{seconds:.0f} s" if seconds < 99.5 else f"{int(seconds // 60)} min {int(seconds % 60):02d} s"


def about(seconds: float) -> str:
    """A duration that is only guessed: "less than a minute", "about 6 min"."""
    return "less than a minute" if seconds < 45 else f"about {max(1, round(seconds / 60))} min"
