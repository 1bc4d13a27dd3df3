"""PRIMUS's three test sets (Table I): a sentence for each class, and what names scores."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from eailkit.fewshot.protocol import Task
from eailkit.fewshot.windows import ActivityWindows
from eailkit.provenance import Identity, content_digest, identity

ACTIVITY_PROMPTS = {  # a sentence for each class, as an annotator would say it
    "cooking": "C cuts the vegetables and stirs the food in the kitchen.", "walking about": "C walks around.",
    "stairs": "C climbs the stairs.", "running": "C runs.", "desk work": "C types on the keyboard and reads.",
    "floor work": "C scrubs the floor.", "talking": "C talks to a person.", "squats": "C does a squat.",
    "jumping": "C jumps.", "sweeping": "C sweeps the floor with a broom.", "dancing": "C dances.",
    "lifting boxes": "C lifts a box.", "balancing": "C stands on one leg.", "lying down": "C lies on the floor.",
    "sit-ups": "C does sit-ups.",
}  # fmt: skip


@dataclass(frozen=True)
class TestSet:
    """Windows to train probes on and to test on; `test` is None where folds over participants divide one set."""

    name: str
    windows: ActivityWindows
    test: ActivityWindows | None = None

    @property
    def task(self) -> Task:
        """Labels, participants and folds."""
        return Task.over(self.windows, self.test)

    @cached_property
    def identity(self) -> Identity:
        """What names scores on it: every window and label, and how probes are fitted and judged."""
        arrays = [
            getattr(w, f) for w in (self.windows, self.test) if w is not None for f in ("imu", "label", "participant")
        ]
        return identity(
            "few-shot test", code=("eailkit.fewshot.protocol",), name=self.name, windows=content_digest(*arrays),
            classes=self.windows.classes, prompts=self.windows.prompts,
        )  # fmt: skip
