"""Controls to play with: every panel has a frozen state, a pure view and presets that make one claim each.

Show one with `panel.widget`; drive it with `panel.set(state)`, or with the `.value` of its controls.
"""

from eailkit.widgets.inputs import (
    CellState,
    ContrastState,
    QueryState,
    ToneState,
    cell_panel,
    contrast_panel,
    query_panel,
    tone_panel,
    tone_view,
)
from eailkit.widgets.panel import Panel
from eailkit.widgets.results import (
    AblationState,
    ActionPlaceState,
    MomentState,
    TrackState,
    ablation_panel,
    action_place_panel,
    moment_panel,
    track_panel,
)

__all__ = [
    "AblationState",
    "ActionPlaceState",
    "CellState",
    "ContrastState",
    "MomentState",
    "Panel",
    "QueryState",
    "ToneState",
    "TrackState",
    "ablation_panel",
    "action_place_panel",
    "cell_panel",
    "contrast_panel",
    "moment_panel",
    "query_panel",
    "tone_panel",
    "tone_view",
    "track_panel",
]
