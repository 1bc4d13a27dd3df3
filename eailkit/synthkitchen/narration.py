"""Words about a take: narrations as annotators write them and coarse keystep labels, late and incomplete.

Texts name objects and places, as people do; they are made from the full plan and reach nothing but the
annotation files.
"""

from __future__ import annotations

import numpy as np

from eailkit.recording import ActionSegment, Narration
from eailkit.synthkitchen.actions import ACTION_NAMES, ACTIONS
from eailkit.synthkitchen.person import Person
from eailkit.synthkitchen.plan import WALK, TakePlan
from eailkit.synthkitchen.room import Room

PLACE_WORDS: dict[str, tuple[str, ...]] = {
    "sink": ("sink", "kitchen sink"),
    "stove": ("stove", "cooker", "gas cooker", "hob"),
    "oven": ("oven",),
    "fridge": ("fridge", "refrigerator"),
    "dishwasher": ("dishwasher",),
    "counter": ("counter", "countertop", "kitchen top", "worktop"),
    "wall_cabinet": ("cabinet", "upper cabinet", "cupboard"),
    "base_cabinet": ("lower cabinet", "cabinet", "cupboard"),
    "drawer": ("drawer",),
    "bin": ("bin", "dustbin", "trash can"),
    "table": ("table", "dining table"),
    "chair": ("table", "chair"),
    "island": ("kitchen island", "counter", "island"),
    "microwave": ("microwave",),
    "shelf": ("shelf", "rack"),
}
_MANNER = ("", "", "", "", "", " with the right hand", " with both hands", " carefully", " again")


def narrate(plan: TakePlan, person: Person, seed: int, *, room: Room) -> list[Narration]:
    """Narrations of a plan, times in seconds of the plan, in order.

    One every 1.5-6 s of an action from a set of paraphrases; a tenth is missing, times are off by about
    half a second (one in twenty by up to 3 s), and one in forty tells the wrong action.
    """
    rng = np.random.default_rng([seed, 0x7E17])
    told: list[Narration] = []
    for segment in plan.segments:
        if segment.action == WALK and rng.random() < 0.5:
            continue
        thing = _draw_object(segment.action, rng)
        t = segment.start_s + float(rng.uniform(0.2, 1.5))
        while t < segment.end_s:
            if rng.random() > 0.1:
                action = segment.action if rng.random() > 0.025 else int(rng.integers(len(ACTIONS)))
                if action != segment.action:
                    thing = _draw_object(action, rng)
                place = _place(room, segment.fixture, rng)
                wrong = rng.normal(0.0, 0.45) if rng.random() > 0.05 else rng.uniform(-3.0, 3.0)
                when = float(np.clip(t + wrong, 0.0, plan.duration_s))
                told.append(Narration(when, _sentence(action, thing, place, person, rng)))
            t += float(rng.uniform(1.5, 6.0))
            if rng.random() < 0.15:
                thing = _draw_object(segment.action, rng)
    return sorted(told, key=lambda n: n.t_s)


def keysteps(plan: TakePlan, seed: int) -> list[ActionSegment]:
    """Coarse labels of a plan: short actions vanish into longer ones, starts come late, some are missing."""
    rng = np.random.default_rng([seed, 0x6E95])
    out: list[ActionSegment] = []
    for segment in plan.segments:
        length = segment.end_s - segment.start_s
        name = ACTION_NAMES[segment.action]
        skip = (0.65 if length < 2.5 else 0.3) if segment.action == WALK else (0.4 if length < 3.0 else 0.1)
        if rng.random() < skip:
            if out and length < 6.0 and rng.random() < 0.6 and segment.start_s - out[-1].end_s < 1.5:
                out[-1] = ActionSegment(out[-1].start_s, segment.end_s, out[-1].label)  # swallowed by the one before
            continue
        start = max(segment.start_s + float(np.clip(rng.normal(0.5, 0.5), -0.5, 2.5)), out[-1].end_s if out else 0.0)
        end = min(segment.end_s + float(np.clip(rng.normal(0.2, 0.5), -1.0, 1.5)), plan.duration_s)
        if end - start < 0.7:
            continue
        if out and out[-1].label == name and start - out[-1].end_s < 2.0:
            out[-1] = ActionSegment(out[-1].start_s, end, name)
        else:
            out.append(ActionSegment(start, end, name))
    return out


def _draw_object(action: int, rng: np.random.Generator) -> str:
    objects = ACTIONS[action].objects
    return objects[int(rng.integers(len(objects)))]


def _place(room: Room, fixture: int, rng: np.random.Generator) -> str:
    words = PLACE_WORDS[room.fixtures[fixture].kind] if fixture >= 0 else ("kitchen",)
    return words[int(rng.integers(len(words)))]


def _sentence(action: int, thing: str, place: str, person: Person, rng: np.random.Generator) -> str:
    phrases = ACTIONS[action].phrases
    text = phrases[int(rng.integers(len(phrases)))].format(object=thing or "food", place=place)
    manner = _MANNER[int(rng.integers(len(_MANNER)))]
    if "right hand" in manner and person.handedness < 0:
        manner = manner.replace("right", "left")
    return text + manner + ("." if rng.random() < 0.7 else "")
