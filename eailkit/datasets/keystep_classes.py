"""Action classes out of keysteps: EAIL has 35 of them (section 5.1), Ego-Exo4D's cooking has hundreds of keysteps.

The paper names no class and gives no rule. Its examples are verbs ("washing", "cutting", "walking", Fig. 1 and 2), and
an IMU on a head feels what is done rather than to which food, so a class here is the verb of a step. Verbs that an
annotation writes in two forms are joined; synonyms aren't, since which ones are is a judgement.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from eailkit.datasets.egoexo4d_release import Segment
from eailkit.errors import DatasetError

CLASSES = 35
# Words that stand before the verb of a step: "Slowly insert ...", "(Optional) then add ...".
_BEFORE = frozenset(("a", "again", "also", "and", "finally", "first", "next", "now", "optional", "the", "then", "to"))
_VERBS_IN_LY = frozenset(("apply", "multiply", "supply", "reply", "rely", "fly"))


@dataclass(frozen=True)
class KeystepClasses:
    """The classes and how each step's name falls into one.

    Attributes:
        names: sorted.
        seconds: annotated seconds of each class in training, by name.
        dropped_s: annotated seconds in training of steps that fall into no class.
        forms: verb as written -> the class or the verb that it is a form of.
    """

    names: tuple[str, ...]
    seconds: dict[str, float]
    dropped_s: float
    forms: dict[str, str]

    def of(self, step_name: str) -> str:
        """The class of a step, "" where it falls into none; a form that training never saw is joined as others are."""
        verb = step_verb(step_name)
        verb = self.forms.get(verb) or _joined(verb, self.names)
        if verb in self.names:
            return verb
        return next((name for name in self.names if verb and verb in base_forms(name)), "")


def step_verb(step_name: str) -> str:
    """The verb of a step's name, lower case: its first word that is neither an adverb in -ly nor one of a few others.

    Steps are imperatives: "Get eggs", "Carefully crack the egg", "Wash/rinse hands" (the first of two counts).
    "" where no word is left.

    Example:
        >>> step_verb("(Optional) Gently stir-fry the noodles")
        'stir'
    """
    for word in re.findall(r"[^\W\d_]+", step_name.lower()):
        if word not in _BEFORE and (not word.endswith("ly") or word in _VERBS_IN_LY):
            return word
    return ""


def base_forms(verb: str) -> tuple[str, ...]:
    """What an inflected verb could be a form of, likeliest first; () for what doesn't look inflected.

    Example:
        >>> base_forms("slicing")
        ('slice', 'slic')
    """
    for ending in ("ing", "ed", "es", "s"):
        stem = verb.removesuffix(ending)
        if stem != verb and len(stem) > 1:
            if ending == "s":
                return (stem,)
            doubled = (stem[:-1],) if stem[-1:] == stem[-2:-1] else ()
            return (stem + "e", *doubled, stem)
    return ()


def _joined(verb: str, known: Iterable[str]) -> str:
    """The known verb that a verb is a form of, else itself."""
    known = set(known)
    return next((base for base in base_forms(verb) if base in known), verb)


def keystep_classes(training: Mapping[str, Iterable[Segment]], *, count: int = CLASSES) -> KeystepClasses:
    """The classes that the keysteps of training takes make.

    1. A segment counts for the verb of its step's name (`step_verb`), for as many seconds as it lasts.
    2. An inflected verb is joined to its base where training has that too ("slicing" to "slice").
    3. The `count` verbs with most seconds are the classes; ties go by the alphabet. The rest have no class: their
       seconds are without an action label.

    Args:
        training: segments by take, of takes that are trained on and of no other.

    Raises:
        DatasetError: no segment has a verb.
    """
    written: dict[str, float] = defaultdict(float)
    for segments in training.values():
        for segment in segments:
            if verb := step_verb(segment.name):
                written[verb] += max(segment.end_s - segment.start_s, 0.0)
    if not written:
        raise DatasetError(
            "keysteps: found no named step in the training takes; expected Ego-Exo4D's keystep annotations of cooking "
            "takes; download the part annotations."
        )
    forms = {verb: _joined(verb, written) for verb in sorted(written)}
    seconds: dict[str, float] = defaultdict(float)
    for verb, length in written.items():
        seconds[forms[verb]] += length
    chosen = sorted(seconds, key=lambda verb: (-seconds[verb], verb))[:count]
    dropped = sum(length for verb, length in seconds.items() if verb not in chosen)
    return KeystepClasses(tuple(sorted(chosen)), {v: round(seconds[v], 3) for v in sorted(chosen)}, dropped, forms)
