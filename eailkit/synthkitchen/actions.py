"""The 35 actions: where they can happen, how long they take, how they move a head and how they are told.

Affordances overlap on purpose (stirring happens at the stove, the counter and the island) and so do
the motion profiles; the plan draws an instance's fixture from the weights here. The list is ours: EAIL
has 35 classes on Ego-Exo4D and publishes no list.
"""

from __future__ import annotations

from dataclasses import dataclass

from eailkit.synthkitchen.motion_plan import MotionProfile


@dataclass(frozen=True)
class Action:
    """One of the 35.

    Attributes:
        name: the class label, as a keystep annotation writes it.
        fixtures: (kind, weight) pairs of where it happens; empty for anywhere.
        duration_s: median and the sigma of its logarithm.
        profile: how it moves a head.
        phrases: narrations; `{object}` and `{place}` are filled in.
        objects: what `{object}` may be.
        height_spread_m: how much the hands' height varies between instances (shelves of a fridge).
    """

    name: str
    fixtures: tuple[tuple[str, float], ...]
    duration_s: tuple[float, float]
    profile: MotionProfile
    phrases: tuple[str, ...]
    objects: tuple[str, ...] = ("",)
    height_spread_m: float = 0.04


_FOOD = ("tomato", "onion", "carrot", "cucumber", "bell pepper", "potato", "garlic", "lettuce", "mushroom", "apple")
_COLD = ("milk", "eggs", "butter", "cheese", "vegetables", "yoghurt", "chicken", "leftovers", "juice", "cream")
_DRY = ("rice", "flour", "pasta", "sugar", "salt", "oil", "spices", "tea", "coffee", "cereal")
_WARE = ("plate", "bowl", "cup", "glass", "spoon", "knife", "fork", "pan", "pot", "cutting board")
_POTS = ("pan", "pot", "baking tray", "lid", "colander", "mixing bowl")
_DISH = ("soup", "pasta", "salad", "omelette", "stew", "noodles", "rice", "eggs", "curry", "pancakes")


def _p(**numbers) -> MotionProfile:
    return MotionProfile(**numbers)


_WORKTOPS = (("counter", 0.6), ("island", 0.5), ("table", 0.25))

ACTIONS: tuple[Action, ...] = (
    Action("walk", (), (3.0, 0.4), _p(reach=0.0, gaze=0.3, fidget=0.3, glance_per_min=9.0, step_per_min=12.0),
           ("C walks around the kitchen", "C walks to the {place}", "C moves across the room", "C walks")),
    Action("wait", (), (8.0, 0.7),
           _p(reach=0.0, gaze=0.35, fidget=0.22, glance_per_min=14.0, glance_deg=39.0, idle_per_min=0.5,
              impact_per_min=0.5, step_per_min=7.0, scan_deg=9.0),
           ("C stands and waits", "C waits by the {place}", "C stands in the kitchen", "C looks around")),
    Action("talk to someone", (), (10.0, 0.7),
           _p(reach=0.0, gaze=0.0, fidget=0.35, oscillation_hz=0.9, oscillation_mm=(1.5, 0.5, 1.5), nod_deg=2.5,
              duty=0.35, glance_per_min=9.0, glance_deg=50.0, idle_per_min=0.0, impact_per_min=1.0, scan_deg=8.0),
           ("C talks to a person", "C converses with man X", "C speaks with woman Y", "C gestures with a hand")),
    Action("look at phone", (), (12.0, 0.7),
           _p(reach=0.0, gaze=0.75, fidget=0.2, glance_per_min=3.0, idle_per_min=0.7, impact_per_min=0.5, scan_deg=3.0,
              step_per_min=3.0),
           ("C looks at a phone", "C scrolls on a phone", "C operates a phone", "C checks a phone")),
    Action("read recipe", (("counter", 0.5), ("island", 0.4), ("table", 0.4), ("shelf", 0.2)), (8.0, 0.6),
           _p(reach=0.35, gaze=0.8, fidget=0.25, glance_per_min=5.0, scan_deg=5.0, step_per_min=3.0),
           ("C reads a recipe", "C looks at the recipe on the {place}", "C turns a page of the book")),
    Action("drink", (("counter", 0.4), ("table", 0.5), ("island", 0.3), ("sink", 0.2), ("fridge", 0.15)), (7.0, 0.5),
           _p(reach=0.6, visit_s=2.0, away_s=3.0, gaze=0.3, fidget=0.4, glance_per_min=7.0),
           ("C drinks from a {object}", "C sips from the {object}", "C lifts a {object} and drinks"),
           ("cup", "glass", "bottle", "mug")),
    Action("take from fridge", (("fridge", 1.0),), (7.0, 0.5),
           _p(visit_s=3.5, away_s=1.5, fidget=0.7, scan_deg=11.0, glance_per_min=4.0, impact_per_min=8.0,
              step_per_min=9.0),
           ("C opens the fridge", "C takes {object} from the fridge", "C picks {object} out of the refrigerator",
            "C closes the fridge"), _COLD, 0.35),
    Action("put into fridge", (("fridge", 1.0),), (6.0, 0.5),
           _p(visit_s=3.0, away_s=2.0, fidget=0.75, scan_deg=9.0, impact_per_min=9.0, step_per_min=9.0),
           ("C puts {object} into the fridge", "C places {object} back in the fridge", "C closes the fridge door"),
           _COLD, 0.35),
    Action("take from wall cabinet", (("wall_cabinet", 0.75), ("shelf", 0.45)), (6.0, 0.5),
           _p(visit_s=2.5, away_s=1.8, fidget=0.65, scan_deg=9.0, impact_per_min=8.0, step_per_min=6.0),
           ("C opens a cabinet", "C takes {object} from the cabinet", "C picks {object} from the {place}",
            "C reaches for {object}"), _DRY + _WARE[:4], 0.12),
    Action("put into wall cabinet", (("wall_cabinet", 0.75), ("shelf", 0.4)), (6.0, 0.5),
           _p(visit_s=2.3, away_s=2.3, fidget=0.7, scan_deg=8.0, impact_per_min=10.0, step_per_min=6.0),
           ("C puts {object} into the cabinet", "C places {object} on the shelf", "C closes the cabinet",
            "C keeps {object} in the {place}"), _DRY + _WARE[:4], 0.12),
    Action("take from drawer", (("drawer", 1.0), ("base_cabinet", 0.15)), (4.5, 0.5),
           _p(visit_s=2.5, away_s=1.5, fidget=0.7, scan_deg=7.0, impact_per_min=12.0, step_per_min=5.0),
           ("C opens a drawer", "C takes a {object} from the drawer", "C picks a {object}", "C closes the drawer"),
           ("knife", "spoon", "fork", "spatula", "peeler", "whisk", "towel"), 0.10),
    Action("take from base cabinet", (("base_cabinet", 1.0), ("drawer", 0.2)), (6.0, 0.5),
           _p(visit_s=3.5, away_s=1.5, fidget=0.7, scan_deg=9.0, impact_per_min=9.0, step_per_min=6.0),
           ("C opens the lower cabinet", "C takes a {object} from the cabinet", "C bends down and picks a {object}"),
           _POTS, 0.12),
    Action("put into base cabinet", (("base_cabinet", 1.0), ("drawer", 0.35)), (6.0, 0.5),
           _p(visit_s=3.0, away_s=2.0, fidget=0.75, scan_deg=8.0, impact_per_min=11.0, step_per_min=6.0),
           ("C puts the {object} into the cabinet", "C places a {object} in the lower cabinet", "C bends down"),
           _POTS, 0.12),
    Action("wash food", (("sink", 1.0),), (14.0, 0.5),
           _p(oscillation_hz=1.6, oscillation_mm=(1.2, 1.4, 0.9), nod_deg=0.5, duty=0.5, fidget=0.85, scan_deg=4.0,
              glance_per_min=3.0, impact_per_min=4.0),
           ("C washes the {object}", "C rinses the {object} under the tap", "C turns on the tap",
            "C holds the {object} under water"), _FOOD),
    Action("wash hands", (("sink", 1.0),), (9.0, 0.4),
           _p(oscillation_hz=2.2, oscillation_mm=(1.0, 1.2, 0.7), nod_deg=0.4, duty=0.6, fidget=0.8, scan_deg=4.0,
              glance_per_min=4.0),
           ("C washes hands", "C rinses hands", "C rubs the hands together", "C turns off the tap")),
    Action("wash dishes", (("sink", 1.0),), (28.0, 0.5),
           _p(oscillation_hz=2.0, oscillation_mm=(1.4, 1.5, 1.0), nod_deg=0.6, duty=0.55, fidget=0.9, scan_deg=7.0,
              glance_per_min=4.0, impact_per_min=7.0, step_per_min=5.0),
           ("C washes a {object}", "C scrubs the {object} with a sponge", "C rinses the {object}",
            "C puts the {object} on the rack"), _WARE),
    Action("fill with water", (("sink", 1.0),), (8.0, 0.4),
           _p(fidget=0.4, scan_deg=4.0, glance_per_min=8.0, impact_per_min=4.0),
           ("C fills the {object} with water", "C holds a {object} under the tap", "C turns on the tap"),
           ("pot", "kettle", "glass", "bowl")),
    Action("dry dishes", (("counter", 0.7), ("sink", 0.5), ("island", 0.3), ("table", 0.15)), (15.0, 0.5),
           _p(reach=0.7, oscillation_hz=1.5, oscillation_mm=(1.5, 1.8, 1.0), nod_deg=0.7, duty=0.5, fidget=0.8,
              glance_per_min=6.0, scan_deg=8.0, step_per_min=6.0, impact_per_min=6.0),
           ("C dries a {object} with a towel", "C wipes the {object}", "C puts down the {object}"), _WARE),
    Action("peel", (("counter", 0.5), ("sink", 0.4), ("island", 0.4), ("table", 0.3), ("bin", 0.25)), (20.0, 0.5),
           _p(oscillation_hz=1.3, oscillation_mm=(0.9, 0.8, 0.8), nod_deg=0.5, duty=0.55, fidget=0.55, scan_deg=3.5,
              glance_per_min=3.5),
           ("C peels the {object}", "C removes the skin of the {object}", "C peels a {object} with a peeler"), _FOOD),
    Action("cut", _WORKTOPS, (22.0, 0.55),
           _p(oscillation_hz=2.4, oscillation_mm=(0.5, 0.4, 0.7), nod_deg=0.35, duty=0.5, fidget=0.6, scan_deg=4.0,
              glance_per_min=4.0, impact_per_min=14.0),
           ("C cuts the {object}", "C slices the {object} on the {place}", "C chops the {object} with a knife",
            "C dices the {object}"), _FOOD),
    Action("stir", (("stove", 0.8), ("counter", 0.4), ("island", 0.35), ("table", 0.12)), (14.0, 0.6),
           _p(oscillation_hz=1.2, oscillation_mm=(1.6, 1.8, 0.6), nod_deg=0.5, duty=0.6, fidget=0.5, scan_deg=4.0,
              glance_per_min=6.0),
           ("C stirs the {object}", "C stirs the {object} with a spoon", "C mixes the {object}",
            "C stirs the {object} on the {place}"), _DISH),
    Action("whisk", (("counter", 0.6), ("island", 0.4), ("stove", 0.2), ("table", 0.15)), (16.0, 0.45),
           _p(oscillation_hz=3.0, oscillation_mm=(0.7, 0.9, 0.5), nod_deg=0.4, duty=0.65, fidget=0.6, scan_deg=3.5),
           ("C whisks the {object}", "C beats the {object} in a bowl", "C whips the {object}"),
           ("eggs", "batter", "cream", "sauce")),
    Action("knead", (("counter", 0.55), ("island", 0.45), ("table", 0.3)), (26.0, 0.45),
           _p(oscillation_hz=1.0, oscillation_mm=(7.0, 2.0, 4.0), nod_deg=1.2, duty=0.65, fidget=0.9, scan_deg=4.0,
              glance_per_min=3.0, impact_per_min=6.0),
           ("C kneads the dough", "C presses the dough on the {place}", "C rolls the dough", "C folds the dough")),
    Action("fry", (("stove", 1.0),), (18.0, 0.6),
           _p(oscillation_hz=1.4, oscillation_mm=(1.2, 1.0, 0.7), nod_deg=0.4, duty=0.3, fidget=0.55, scan_deg=5.0,
              glance_per_min=7.0, idle_per_min=2.5, impact_per_min=5.0),
           ("C fries the {object}", "C turns the {object} with a spatula", "C shakes the pan", "C flips the {object}"),
           _DISH),
    Action("season", (("stove", 0.7), ("counter", 0.35), ("table", 0.2), ("island", 0.2)), (7.0, 0.5),
           _p(oscillation_hz=2.6, oscillation_mm=(0.6, 0.7, 0.8), nod_deg=0.4, duty=0.3, fidget=0.6, scan_deg=7.0,
              impact_per_min=6.0),
           ("C adds salt to the {object}", "C sprinkles spices on the {object}", "C tastes the {object}"), _DISH),
    Action("pour", (("counter", 0.4), ("stove", 0.4), ("sink", 0.25), ("island", 0.3), ("table", 0.3)), (6.0, 0.45),
           _p(fidget=0.45, scan_deg=4.5, glance_per_min=3.0, impact_per_min=7.0),
           ("C pours {object} into the bowl", "C pours the {object}", "C pours {object} at the {place}"),
           ("water", "oil", "milk", "sauce", "batter")),
    Action("put into oven", (("oven", 1.0),), (7.0, 0.4),
           _p(visit_s=4.0, away_s=1.5, fidget=0.7, scan_deg=6.0, impact_per_min=9.0, step_per_min=8.0),
           ("C opens the oven", "C puts the {object} into the oven", "C closes the oven door"),
           ("tray", "dish", "cake", "bread"), 0.06),
    Action("take out of oven", (("oven", 1.0),), (8.0, 0.4),
           _p(visit_s=4.0, away_s=2.0, fidget=0.65, scan_deg=6.0, impact_per_min=8.0, step_per_min=8.0),
           ("C takes the {object} out of the oven", "C checks the {object} in the oven", "C opens the oven"),
           ("tray", "dish", "cake", "bread"), 0.06),
    Action("load dishwasher", (("dishwasher", 1.0),), (22.0, 0.5),
           _p(visit_s=2.6, away_s=2.6, fidget=0.8, scan_deg=9.0, impact_per_min=14.0, step_per_min=8.0),
           ("C puts a {object} into the dishwasher", "C loads the dishwasher", "C pulls out the rack"), _WARE, 0.12),
    Action("unload dishwasher", (("dishwasher", 1.0),), (22.0, 0.5),
           _p(visit_s=2.3, away_s=3.2, fidget=0.8, scan_deg=9.0, impact_per_min=14.0, step_per_min=10.0),
           ("C takes a {object} from the dishwasher", "C unloads the dishwasher", "C picks a {object}"), _WARE, 0.12),
    Action("throw away", (("bin", 1.0), ("sink", 0.08)), (4.0, 0.45),
           _p(visit_s=2.0, away_s=1.2, fidget=0.7, scan_deg=6.0, impact_per_min=8.0, step_per_min=7.0),
           ("C throws the {object} into the bin", "C opens the bin", "C drops the {object} in the trash"),
           ("peels", "wrapper", "leftovers", "paper", "eggshell"), 0.06),
    Action("wipe surface", (("counter", 0.6), ("table", 0.4), ("stove", 0.35), ("island", 0.35), ("sink", 0.15)),
           (14.0, 0.5),
           _p(oscillation_hz=1.1, oscillation_mm=(5.0, 6.0, 2.0), nod_deg=1.2, duty=0.6, fidget=0.9, scan_deg=9.0,
              step_per_min=14.0, glance_per_min=4.0),
           ("C wipes the {place}", "C cleans the {place} with a cloth", "C wipes the surface", "C scrubs the {place}")),
    Action("heat in microwave", (("microwave", 1.0),), (9.0, 0.5),
           _p(visit_s=3.5, away_s=3.0, fidget=0.6, scan_deg=6.0, impact_per_min=8.0, glance_per_min=8.0),
           ("C puts the {object} into the microwave", "C presses a button of the microwave", "C opens the microwave"),
           _DISH, 0.05),
    Action("serve", _WORKTOPS + (("stove", 0.2),), (12.0, 0.5),
           _p(fidget=0.75, scan_deg=9.0, glance_per_min=5.0, impact_per_min=9.0, step_per_min=8.0),
           ("C puts {object} on a plate", "C serves the {object}", "C scoops the {object} into a bowl",
            "C sets the plate on the {place}"), _DISH),
    Action("eat", (("chair", 1.0), ("table", 0.15), ("island", 0.2), ("counter", 0.1)), (45.0, 0.45),
           _p(reach=0.7, gaze=0.6, oscillation_hz=0.35, oscillation_mm=(6.0, 2.0, 5.0), nod_deg=3.0, duty=0.6,
              fidget=0.35, glance_per_min=8.0, scan_deg=6.0, impact_per_min=3.0, step_per_min=0.5),
           ("C eats the {object}", "C eats with a fork", "C chews", "C takes a bite of the {object}"), _DISH),
)  # fmt: skip

ACTION_NAMES: tuple[str, ...] = tuple(a.name for a in ACTIONS)
ACTION_INDEX: dict[str, int] = {name: i for i, name in enumerate(ACTION_NAMES)}
