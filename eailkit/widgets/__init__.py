"""Controls to play with: every panel has a frozen state, a pure view and presets that make one claim each.

Show one with `panel.widget`; drive it with `panel.set(state)`, or with the `.value` of its controls.
"""

from eailkit.widgets.ablations import AblationState, ablation_figure, ablation_panel
from eailkit.widgets.beside import (
    beside_figure,
    check_step_rate,
    check_taller,
    kitchen_walks,
    realism_figure,
    realism_lines,
    riddle_figure,
)
from eailkit.widgets.furniture import farthest_move, movable, move_fixture
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
from eailkit.widgets.kitchens import MoveState, RoomState, example_room, move_panel, room_panel
from eailkit.widgets.lens import LensState, metric_lens_panel
from eailkit.widgets.panel import Panel
from eailkit.widgets.primus import (
    ExplorerState,
    SwitchState,
    check_fewer,
    check_nearest,
    explorer_panel,
    switch_panel,
)
from eailkit.widgets.results import (
    ActionPlaceState,
    MomentState,
    TrackState,
    action_place_panel,
    moment_panel,
    track_panel,
)
from eailkit.widgets.tracks import (
    DeadReckoningState,
    HeadingState,
    TrackerState,
    dead_reckoning_panel,
    heading_panel,
    tracker_panel,
)
from eailkit.widgets.wearers import ActionState, TouchState, WalkState, action_panel, touch_panel, walk_panel

__all__ = [
    "AblationState",
    "ActionPlaceState",
    "ActionState",
    "CellState",
    "ContrastState",
    "DeadReckoningState",
    "ExplorerState",
    "HeadingState",
    "LensState",
    "MomentState",
    "MoveState",
    "Panel",
    "QueryState",
    "RoomState",
    "SwitchState",
    "ToneState",
    "TouchState",
    "TrackState",
    "TrackerState",
    "WalkState",
    "ablation_figure",
    "ablation_panel",
    "action_panel",
    "action_place_panel",
    "beside_figure",
    "cell_panel",
    "check_fewer",
    "check_nearest",
    "check_step_rate",
    "check_taller",
    "contrast_panel",
    "dead_reckoning_panel",
    "example_room",
    "explorer_panel",
    "farthest_move",
    "heading_panel",
    "kitchen_walks",
    "metric_lens_panel",
    "moment_panel",
    "movable",
    "move_fixture",
    "move_panel",
    "query_panel",
    "realism_figure",
    "realism_lines",
    "riddle_figure",
    "room_panel",
    "switch_panel",
    "tone_panel",
    "tone_view",
    "touch_panel",
    "track_panel",
    "tracker_panel",
    "walk_panel",
]
