"""SynthKitchen: kitchens, people and head-worn sensors, simulated; it writes Ego-Exo4D's layout and reads nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eailkit.synthkitchen.dataset import synthesize

__all__ = ["synthesize"]


def __getattr__(name: str) -> Any:
    if name == "synthesize":  # loaded on demand: motion and sensor don't need meshes, rays or video
        from eailkit.synthkitchen.dataset import synthesize

        return synthesize
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
