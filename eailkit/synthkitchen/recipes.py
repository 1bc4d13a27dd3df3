"""What people do in a kitchen, in which order: short recipes of steps, and what comes between them.

A step is an action name with its probability and how often it may repeat; whatever the room lacks is
left out or replaced by the plan.
"""

from __future__ import annotations

import numpy as np

from eailkit.synthkitchen.person import Person

Step = tuple[str, float, int]  # action, probability, repeats at most

_S = lambda name, p=1.0, n=1: (name, p, n)  # noqa: E731

RECIPES: dict[str, tuple[Step, ...]] = {
    "pasta": (
        _S("read recipe", 0.5), _S("take from base cabinet"), _S("fill with water"), _S("stir", 0.5),
        _S("take from fridge", 0.9), _S("wash food", 0.8), _S("take from drawer", 0.7), _S("peel", 0.5),
        _S("cut", 1.0, 3), _S("throw away", 0.6), _S("take from wall cabinet", 0.9), _S("pour", 0.8),
        _S("fry", 0.9, 2), _S("stir", 0.9, 3), _S("season", 0.9), _S("wait", 0.5), _S("stir", 0.7, 2),
        _S("pour", 0.7), _S("take from wall cabinet", 0.6), _S("serve"), _S("put into fridge", 0.5), _S("eat", 0.8),
        _S("wash dishes", 0.6), _S("wipe surface", 0.5),
    ),
    "salad": (
        _S("wash hands", 0.5), _S("take from fridge", 1.0, 2), _S("wash food", 1.0, 2), _S("take from drawer", 0.8),
        _S("peel", 0.7, 2), _S("cut", 1.0, 4), _S("throw away", 0.8), _S("take from wall cabinet", 0.7),
        _S("whisk", 0.5), _S("pour", 0.7), _S("season", 0.8), _S("stir", 0.9), _S("put into fridge", 0.5),
        _S("serve", 0.9), _S("eat", 0.7), _S("wash dishes", 0.4), _S("load dishwasher", 0.4),
        _S("wipe surface", 0.6),
    ),
    "omelette": (
        _S("take from fridge"), _S("take from wall cabinet", 0.7), _S("whisk", 1.0, 2), _S("season", 0.7),
        _S("take from base cabinet"), _S("throw away", 0.5), _S("pour", 0.8), _S("fry", 1.0, 3),
        _S("put into fridge", 0.6), _S("take from drawer", 0.6), _S("fry", 0.7, 2), _S("serve"), _S("eat", 0.9),
        _S("wash dishes", 0.7), _S("dry dishes", 0.5), _S("put into base cabinet", 0.5), _S("wipe surface", 0.5),
    ),
    "cake": (
        _S("read recipe", 0.9), _S("take from wall cabinet", 1.0, 3), _S("take from fridge"),
        _S("take from base cabinet", 0.8), _S("pour", 1.0, 2), _S("stir", 0.9, 2), _S("whisk", 0.9, 2),
        _S("read recipe", 0.5), _S("pour", 0.8), _S("put into oven"), _S("wash dishes", 0.7),
        _S("wipe surface", 0.7), _S("look at phone", 0.6), _S("wait", 0.4), _S("take out of oven"), _S("serve", 0.8),
        _S("put into wall cabinet", 0.6), _S("eat", 0.4), _S("throw away", 0.4),
    ),
    "bread": (
        _S("wash hands", 0.7), _S("take from wall cabinet", 1.0, 2), _S("pour", 0.9, 2), _S("stir", 0.8),
        _S("knead", 1.0, 3), _S("wash hands", 0.6), _S("wait", 0.5), _S("knead", 0.7, 2), _S("put into oven"),
        _S("wipe surface", 0.9), _S("wash dishes", 0.5), _S("talk to someone", 0.3), _S("take out of oven"),
        _S("cut", 0.7), _S("serve", 0.6), _S("eat", 0.5),
    ),
    "drinks": (
        _S("fill with water"), _S("take from wall cabinet", 0.9), _S("pour", 0.9), _S("take from drawer", 0.5),
        _S("stir", 0.6), _S("take from fridge", 0.6), _S("drink", 0.9, 2), _S("look at phone", 0.4),
        _S("put into fridge", 0.5),
    ),
    "leftovers": (
        _S("take from fridge"), _S("take from wall cabinet", 0.6), _S("serve", 0.6), _S("heat in microwave"),
        _S("look at phone", 0.5), _S("heat in microwave", 0.5), _S("take from drawer", 0.6), _S("eat", 0.9),
        _S("drink", 0.5), _S("throw away", 0.5), _S("load dishwasher", 0.5),
    ),
    "tidy up": (
        _S("unload dishwasher", 0.8, 2), _S("put into wall cabinet", 1.0, 3), _S("put into base cabinet", 0.8, 2),
        _S("load dishwasher", 0.8, 2), _S("wash dishes", 0.9, 2), _S("dry dishes", 0.8, 2),
        _S("put into wall cabinet", 0.7), _S("throw away", 0.7), _S("wipe surface", 1.0, 3),
        _S("put into fridge", 0.5), _S("wash hands", 0.5),
    ),
}  # fmt: skip

_BETWEEN = (  # (action, chance after a step, exponent of the person's habits is applied by the caller)
    ("wait", 0.05), ("look at phone", 0.04), ("talk to someone", 0.06), ("drink", 0.02), ("wash hands", 0.03),
    ("throw away", 0.03), ("read recipe", 0.02), ("walk", 0.04), ("wipe surface", 0.02),
)  # fmt: skip


def draw_steps(person: Person, rng: np.random.Generator, at_least: int) -> tuple[list[str], str]:
    """Action names for one take, at least so many, and the name of its first recipe.

    Steps are dropped, repeated and swapped with their neighbours, and habits of the person come in between;
    more than half of the takes begin in the middle of a recipe, or short ones would hold its beginnings only.
    """
    names = list(RECIPES)
    steps: list[str] = []
    first = ""
    while len(steps) < at_least:
        recipe = names[int(rng.integers(len(names)))]
        begun = int(rng.integers(len(RECIPES[recipe]))) if not first and rng.random() < 0.6 else 0
        first = first or recipe
        kept = [(name, int(rng.integers(1, n + 1))) for name, p, n in RECIPES[recipe][begun:] if rng.random() < p]
        chosen = [name for name, n in kept for _ in range(n)]
        for i in range(len(chosen) - 1):
            if rng.random() < 0.08:
                chosen[i], chosen[i + 1] = chosen[i + 1], chosen[i]
        for name in chosen:
            steps.append(name)
            for other, chance in _BETWEEN:
                habit = {"talk to someone": person.talkative, "look at phone": person.phone}.get(other, 1.0)
                if rng.random() < chance * habit:
                    steps.append(other)
    return steps, first
