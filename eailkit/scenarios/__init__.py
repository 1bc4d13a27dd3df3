"""Everyday scenarios beside the kitchens: simulated head motion, views and words in Ego-Exo4D's layout.

PRIMUS pretrains on activities as different as cooking, music and soccer; the kitchens are one of them. Here are
six more to pretrain on and eight that no pretraining may see. Physics comes from the kitchens' simulator (spline,
posture, gait, sensor, camera) and from published figures of human motion where one is named; every other range is our
judgement. docs/scenarios.md is their card.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eailkit.scenarios.dataset import synthesize_scenarios
    from eailkit.scenarios.take import ScenarioTake, simulate_scenario

__all__ = ["HELD_OUT", "PRETRAINING", "ScenarioTake", "simulate_scenario", "synthesize_scenarios"]

PRETRAINING: tuple[str, ...] = ("walking about", "stairs", "running", "desk work", "floor work", "talking")
HELD_OUT: tuple[str, ...] = (
    "squats", "jumping", "sweeping", "dancing", "lifting boxes", "balancing", "lying down", "sit-ups",
)  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "synthesize_scenarios":  # loaded on demand: motion and sensor don't need meshes, rays or video
        from eailkit.scenarios.dataset import synthesize_scenarios

        return synthesize_scenarios
    if name in ("simulate_scenario", "ScenarioTake"):
        from eailkit.scenarios import take

        return getattr(take, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
