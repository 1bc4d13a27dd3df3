"""Words about a take: narrations as annotators write them and coarse keystep labels, late and incomplete.

Texts name objects and places, as people do; they are made from the full plan and reach nothing but the
annotation files.
"""

from __future__ import annotations

from dataclasses import dataclass

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
_UNLIKELY = {
    "fry": ("soup", "salad", "stew", "curry", "rice"),
    "stir": ("pancakes", "omelette"),
    "heat in microwave": ("salad", "pancakes"),
}


@dataclass(frozen=True)
class NarrationConfig:
    """How tellers tell; times in seconds, the rest shares of narrations.

    The median time between two descriptions in Ego-Exo4D is 1.1 s; `gap_s` is that of the moments worth
    telling, of which some get lost and all are shifted. The rates of errors are ours: we know of no published
    figure.
    """

    gap_s: float = 0.98
    gap_log_sigma: float = 0.6
    missing: float = 0.1
    timing_std_s: float = 0.3
    mistimed: float = 0.05  # off by up to mistimed_s
    mistimed_s: float = 3.0
    wrong_action: float = 0.025
    silent_walks: float = 0.5
    new_object: float = 0.05


def narrate(
    plan: TakePlan, person: Person, seed: int, *, room: Room, config: NarrationConfig | None = None
) -> list[Narration]:
    """Narrations of a plan, times in seconds of the plan, in order.

    One about every second of an action, never twice the same paraphrase in a row where there is another; a walk is
    told once or not at all. A tenth is missing, one in twenty mistimed by up to 3 s, one in forty tells the wrong
    action.
    """
    config = config or NarrationConfig()
    rng = np.random.default_rng([seed, 0x7E17])
    told: list[Narration] = []
    for segment in plan.segments:
        if segment.action == WALK and rng.random() < config.silent_walks:
            continue
        thing, phrase = _draw_object(segment.action, rng), -1
        t = segment.start_s + float(rng.uniform(0.1, 1.0))
        while t < segment.end_s:
            if rng.random() >= config.missing:
                action, mistaken = segment.action, rng.random() < config.wrong_action
                if mistaken:
                    action = int(rng.integers(len(ACTIONS)))
                other = _draw_object(action, rng) if action != segment.action else thing
                phrase = _other_phrase(action, -1 if mistaken else phrase, rng)
                wrong = rng.normal(0.0, config.timing_std_s)
                if rng.random() < config.mistimed:
                    wrong = rng.uniform(-config.mistimed_s, config.mistimed_s)
                when = float(np.clip(t + wrong, 0.0, plan.duration_s))
                place = _place(room, segment.fixture, rng)
                told.append(Narration(when, _sentence(action, phrase, other, place, person, rng)))
            t += config.gap_s * float(np.exp(config.gap_log_sigma * rng.normal()))
            if segment.action == WALK:
                break
            if rng.random() < config.new_object:
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
    unlikely = _UNLIKELY.get(ACTION_NAMES[action], ())
    objects = [name for name in ACTIONS[action].objects if name not in unlikely]
    return objects[int(rng.integers(len(objects)))]


def _place(room: Room, fixture: int, rng: np.random.Generator) -> str:
    words = PLACE_WORDS[room.fixtures[fixture].kind] if fixture >= 0 else ("kitchen",)
    return words[int(rng.integers(len(words)))]


def _other_phrase(action: int, last: int, rng: np.random.Generator) -> int:
    """A paraphrase that isn't the last one, where there are two."""
    n = len(ACTIONS[action].phrases)
    if not 0 <= last < n or n == 1:
        return int(rng.integers(n))
    return (last + 1 + int(rng.integers(n - 1))) % n


def _sentence(action: int, phrase: int, thing: str, place: str, person: Person, rng: np.random.Generator) -> str:
    text = ACTIONS[action].phrases[phrase].format(object=thing or "food", place=place)
    manner = _MANNER[int(rng.integers(len(_MANNER)))]
    if ACTIONS[action].profile.reach == 0.0 and "again" not in manner:
        manner = ""  # nobody waits with both hands
    if "right hand" in manner and person.handedness < 0:
        manner = manner.replace("right", "left")
    return text + manner + ("." if rng.random() < 0.7 else "")
