"""What the course says while it runs: a line for each notebook that has ended, what runs now, and the time left."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Mapping

from eailkit.course.graph import Plan
from eailkit.course.state import NotebookRun, about, clock

EVERY_S = 60.0  # a line of progress where lines stay: a file, a pipe, a build server
LIVE_S = 1.0  # where one line can be written over
WEIGHT_S = 60.0  # how many expected seconds the first guess of this machine's speed counts for


class Progress:
    """Speaks of one run.

    Args:
        plan: of the run; its expected seconds give the time left, which is left out where one isn't known.
        say: receives one piece of text at a time; standard output where None, and only there on a terminal one line
            is written over and over.
        live: whether a line can be written over.
    """

    def __init__(
        self,
        plan: Plan,
        say: Callable[[str], None] | None,
        live: bool | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.plan, self._now = plan, now
        self._say = say or (lambda text: print(text, end="", flush=True))
        self.live = say is None and sys.stdout.isatty() if live is None else live
        self._took = self._expected = WEIGHT_S
        self._said, self._shown = now(), ""

    def say(self, text: str) -> None:
        """A whole line that stays."""
        self._say((f"\r{' ' * len(self._shown)}\r" if self._shown else "") + text)
        self._shown = ""

    def ended(self, run: NotebookRun) -> None:
        """The line of a notebook; how long it took tells how fast this machine is."""
        if run.state == "ok" and self.plan.seconds[run.name]:
            self._took += run.seconds
            self._expected += self.plan.seconds[run.name]
        first = run.error.splitlines()[0][:120] if run.error else ""
        line = f"{run.name:34}{run.state:12}{clock(run.seconds):>8}{run.peak_memory_mb:8.0f} MB  {first}"
        self.say(line.rstrip() + "\n")

    def show(self, running: Mapping[str, float]) -> None:
        """What runs, and for how long, and the time left; as often as the place can bear.

        Args:
            running: name -> seconds that it has run.
        """
        now = self._now()
        if not running or now - self._said < (LIVE_S if self.live else EVERY_S):
            return
        self._said = now
        left = self.left_s(running)
        text = "" if left is None else f"{about(left)} left, "
        text += "running " + ", ".join(f"{name} ({clock(seconds)})" for name, seconds in running.items())
        if self.live:
            text = text[: shutil.get_terminal_size().columns - 1]
            self._say(f"\r{text:{len(self._shown)}}")
            self._shown = text
        else:
            self._say(f"  {text}\n")

    def left_s(self, running: Mapping[str, float]) -> float | None:
        """Seconds left: the plan's, times how much slower than expected the notebooks so far were; None if unknown."""
        if not all(self.plan.seconds[name] for name in [*self.plan.waiting, *running]):
            return None
        slower = self._took / self._expected
        return slower * self.plan.left_s({name: seconds / slower for name, seconds in running.items()})
