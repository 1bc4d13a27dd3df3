"""What each notebook takes from others, and which may run now: a table, the rule on it, and the order of a run.

The rule is that of processors that reorder instructions. Of two notebooks in the course's order, the later one waits
for the earlier one where it reads what that one makes, or makes what that one reads; and two that make the same thing
don't make it at once. Once a notebook that makes a thing has ended well, the thing is there and holds nobody up.
So a run side by side gives every notebook what a run one by one would give it, also where only some are run.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Needs:
    """What a notebook does with the run folder.

    Attributes:
        reads: it finds there what an earlier notebook made, and goes on without (shipped weights) where nobody did.
        makes: it makes where it isn't there.
    """

    reads: frozenset[str] = frozenset()
    makes: frozenset[str] = frozenset()


def _needs(reads: str = "", makes: str = "") -> Needs:
    return Needs(frozenset(reads.split()), frozenset(makes.split()))


# kitchens: the dataset and its prepared cache. targets: image and text features. velocity: the velocity net, which
# whoever needs the tracker trains where 02b hasn't. references: other nets behind the table's lines, the tracker's
# calibration, and maps under headings. primus: everything under primus/. unguided: the stage 1 without words that 07
# trains where no recorded states ship. Stages 2 and answers of 05's and 07's rows aren't listed: nobody reads them.
COURSE: dict[str, Needs] = {
    "00_start_here": _needs(),
    "01_preprocessing": _needs(makes="kitchens"),
    "01b_inside_synthkitchen": _needs(),
    "02_contrastive_alignment": _needs("kitchens", makes="kitchens targets stage-1 features"),
    "02b_dead_reckoning": _needs("kitchens", makes="kitchens velocity"),
    "03_heatmap_generation": _needs("kitchens stage-1 features", makes="kitchens features"),
    "04_spatiotemporal_reasoning": _needs(
        "kitchens stage-1 features velocity", makes="kitchens features stage-2 velocity references localizer"
    ),
    "05_action_recognition": _needs(
        "kitchens stage-1 features stage-2 velocity references", makes="kitchens features velocity references"
    ),
    "05b_tracking": _needs("kitchens stage-1 stage-2 velocity references", makes="kitchens velocity references"),
    "06_baselines_and_drift": _needs(
        "kitchens stage-1 features stage-2 velocity references", makes="kitchens features velocity references"
    ),
    "07_ablations": _needs("kitchens targets stage-1 features", makes="kitchens targets stage-1 features unguided"),
    "08_primus_pretraining": _needs("kitchens", makes="primus"),
    "09_primus_few_shot": _needs("kitchens primus", makes="primus"),
}


class Plan:
    """The order of one run: what waits, what runs, and what has been made.

    A notebook that the table doesn't know may read and make anything: it waits for all before it and holds up all
    after it.

    Args:
        names: of the chosen notebooks, in the course's order.
        jobs: at most as many run at once.
        seconds: what each is expected to take; the longest remaining chain goes first. 0 where it isn't known.
        table: name -> `Needs`.
    """

    def __init__(
        self,
        names: Sequence[str],
        jobs: int,
        seconds: Mapping[str, float] | None = None,
        table: Mapping[str, Needs] | None = None,
    ) -> None:
        self.names, self.jobs, self.table = list(names), jobs, COURSE if table is None else table
        self.seconds = {name: (seconds or {}).get(name, 0.0) for name in names}
        self.waiting, self.running, self.made = list(names), [], set()
        chain: dict[str, float] = {}
        for k, name in reversed(list(enumerate(names))):
            after = (chain[later] for later in names[k + 1 :] if self._holds_up(name, later))
            chain[name] = self.seconds[name] + max(after, default=0.0)
        self.chain = chain

    def begin(self) -> str | None:
        """The notebook that begins now, noted as running; None while nothing may."""
        free = [name for name in self.waiting if self._may_begin(name)] if len(self.running) < self.jobs else []
        if not free:
            return None
        name = max(free, key=lambda n: self.chain[n])  # of equals the first
        self.waiting.remove(name)
        self.running.append(name)
        return name

    def end(self, name: str, well: bool = True) -> None:
        """A running notebook has ended; what it makes is there if it ended well."""
        self.running.remove(name)
        if well and name in self.table:
            self.made |= self.table[name].makes

    def left_s(self, ran_s: Mapping[str, float] | None = None) -> float:
        """Seconds until the last notebook ends, if each takes what is expected.

        Args:
            ran_s: how long each running notebook has run; one that takes longer than expected is taken to end soon.
        """
        plan, now = copy.copy(self), 0.0
        plan.waiting, plan.running, plan.made = list(self.waiting), list(self.running), set(self.made)
        ends = {n: max(self.seconds[n] - (ran_s or {}).get(n, 0.0), 0.05 * self.seconds[n]) for n in plan.running}
        while plan.waiting or plan.running:
            while (name := plan.begin()) is not None:
                ends[name] = now + self.seconds[name]
            first = min(plan.running, key=ends.__getitem__)
            now = ends[first]
            plan.end(first)
        return now

    def _may_begin(self, name: str) -> bool:
        before = self.names[: self.names.index(name)]
        unended = set(self.waiting) | set(self.running)
        if any(self._holds_up(earlier, name) for earlier in before if earlier in unended):
            return False
        if any(self._holds_up(name, other) for other in self.running if other not in before):
            return False  # a later one that would change what this one reads has begun
        if name not in self.table:
            return not self.running
        return not any(self._not_made(self.table[name].makes & self.table[r].makes) for r in self.running)

    def _holds_up(self, earlier: str, later: str) -> bool:
        if earlier not in self.table or later not in self.table:
            return True
        one, two = self.table[earlier], self.table[later]
        return self._not_made((one.makes & two.reads) | (one.reads & two.makes))

    def _not_made(self, things: Iterable[str]) -> bool:
        return not set(things) <= self.made
