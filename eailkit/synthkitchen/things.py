"""Which thing an action puts into a picture: its shape in and between the hands, and its colour."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from eailkit.synthkitchen.hands import shape_index

# colours 0 to 255
_FOOD = ((206, 48, 36), (232, 132, 40), (120, 164, 60), (196, 156, 96), (236, 220, 150), (150, 60, 110))
_MEAL = ((206, 150, 70), (224, 190, 110), (170, 80, 40), (236, 214, 150), (130, 150, 60))
_PACK = ((214, 60, 50), (50, 110, 180), (236, 190, 60), (240, 236, 226), (90, 150, 90))
_WARE = ((240, 238, 230), (110, 150, 190), (206, 150, 110), (70, 90, 120))
_CLOTH = ((236, 214, 70), (90, 150, 200), (230, 120, 130), (225, 225, 215))

# action: (tool in the right hand, thing between the hands) pairs to draw from, colours to draw from
THINGS: dict[str, tuple[tuple[tuple[str, str], ...], tuple[tuple[int, int, int], ...]]] = {
    "talk to someone": ((("", ""), ("cup", "")), _WARE),
    "look at phone": ((("phone", ""),), _PACK),
    "read recipe": ((("", "book"),), _MEAL),
    "drink": ((("cup", ""), ("bottle", "")), _WARE),
    "take from fridge": ((("box", ""), ("bottle", ""), ("food", "")), _PACK),
    "put into fridge": ((("box", ""), ("bottle", ""), ("food", "")), _PACK),
    "take from wall cabinet": ((("box", ""), ("cup", ""), ("plate", "")), _PACK),
    "put into wall cabinet": ((("box", ""), ("cup", ""), ("plate", "")), _PACK),
    "take from drawer": ((("spoon", ""), ("knife", "")), _WARE),
    "take from base cabinet": ((("pot", ""), ("tray", "")), _WARE),
    "put into base cabinet": ((("pot", ""), ("tray", "")), _WARE),
    "wash food": ((("food", "water"),), _FOOD),
    "wash hands": ((("", "water"),), _WARE),
    "wash dishes": ((("cloth", "dish"), ("pot", "water")), _CLOTH),
    "fill with water": ((("pot", "water"),), _WARE),
    "dry dishes": ((("cloth", "dish"),), _CLOTH),
    "peel": ((("knife", "board"), ("food", "board")), _FOOD),
    "cut": ((("knife", "board"),), _FOOD),
    "stir": ((("spoon", "bowl"),), _MEAL),
    "whisk": ((("spoon", "bowl"),), ((244, 220, 130), (240, 232, 205))),
    "knead": ((("", "dough"),), _FOOD),
    "fry": ((("spoon", ""),), _MEAL),
    "season": ((("bottle", ""), ("bottle", "bowl")), _MEAL),
    "pour": ((("bottle", "bowl"),), _MEAL),
    "put into oven": ((("tray", ""),), _MEAL),
    "take out of oven": ((("tray", ""),), _MEAL),
    "load dishwasher": ((("plate", ""), ("cup", "")), _WARE),
    "unload dishwasher": ((("plate", ""), ("cup", "")), _WARE),
    "throw away": ((("food", ""), ("box", "")), _MEAL),
    "wipe surface": ((("cloth", ""),), _CLOTH),
    "heat in microwave": ((("plate", ""),), _MEAL),
    "serve": ((("spoon", "meal"), ("", "meal")), _MEAL),
    "eat": ((("spoon", "meal"),), _MEAL),
}


def thing_of(action: str, rng: np.random.Generator) -> Float[np.ndarray, " 4"]:
    """Colour (0 to 1) and index into `hands.SHAPES` of what one instance of an action works with.

    NaN for an action that needs nothing, such as waiting.
    """
    pair, colour, shade = rng.random(), rng.random(), rng.uniform(0.9, 1.05)  # as many draws for every action
    if action not in THINGS:
        return np.full(4, np.nan)
    pairs, colours = THINGS[action]
    rgb = np.array(colours[int(colour * len(colours))]) / 255.0 * shade
    return np.array([*np.clip(rgb, 0.0, 1.0), shape_index(*pairs[int(pair * len(pairs))])])
