"""Figures of the course: plotly, titled axes with units, colours for the colour-blind, light and dark, offline.

`rooms` shows maps, heatmaps and walks, `tracks` headings, beliefs and tracks, `takes` whole takes (EAIL Figs. 4 to 6),
`states` a model with and without its parts, `signals` the IMU, `scores` losses and results, `primus` what PRIMUS trains
on, `fewshot` what it's worth, `theme` how they look.
Every function takes arrays or the package's plain types and returns a `plotly.graph_objects.Figure`.
"""

from eailkit.plots.fewshot import aligned_figure, fewshot_figure, timeline_figure
from eailkit.plots.primus import augment_figure, losses_figure, moments_figure, singular_figure
from eailkit.plots.rooms import (
    cell_figure,
    cloud_figure,
    frames_figure,
    heatmap_figure,
    kitchen_figure,
    track_figure,
    walk_figure,
)
from eailkit.plots.scores import (
    changes_figure,
    confusion_figure,
    error_over_time_figure,
    loss_figure,
    panels_figure,
    similarity_figure,
    success_curve_figure,
    table_figure,
)
from eailkit.plots.signals import imu_figure, spectrum, spectrum_figure, tilt_figure, tone_figure, window_figure
from eailkit.plots.states import differences_figure, pair_figure, switching_figure
from eailkit.plots.takes import drift_figure, stages_figure, take_figure, take_picture
from eailkit.plots.theme import styled, write_html
from eailkit.plots.tracks import (
    activity_figure,
    beliefs_figure,
    coverage_figure,
    heading_figure,
    hypothesis_figure,
    paths_figure,
    region_figure,
    velocity_figure,
)

__all__ = [
    "changes_figure",
    "activity_figure",
    "aligned_figure",
    "augment_figure",
    "beliefs_figure",
    "cell_figure",
    "cloud_figure",
    "confusion_figure",
    "coverage_figure",
    "drift_figure",
    "differences_figure",
    "error_over_time_figure",
    "fewshot_figure",
    "frames_figure",
    "heading_figure",
    "heatmap_figure",
    "hypothesis_figure",
    "imu_figure",
    "kitchen_figure",
    "loss_figure",
    "losses_figure",
    "moments_figure",
    "pair_figure",
    "panels_figure",
    "paths_figure",
    "region_figure",
    "similarity_figure",
    "singular_figure",
    "spectrum",
    "spectrum_figure",
    "stages_figure",
    "styled",
    "success_curve_figure",
    "switching_figure",
    "table_figure",
    "take_figure",
    "take_picture",
    "tilt_figure",
    "timeline_figure",
    "tone_figure",
    "track_figure",
    "velocity_figure",
    "walk_figure",
    "window_figure",
    "write_html",
]
