"""`python -m benchmarks.first_picture`: README's pictures, light and dark, from what ships.

The shipped walk in a kitchen that training never saw, which is the median one by a rule (`benchmarks/ship.py`), and in
it the second whose error is the median, with the minute of track before it and its 90 % region: the picture is as good
as the model is, half of the time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import plotly.graph_objects as go

from benchmarks.browser import screenshot
from eailkit.datasets import EgoExo4D
from eailkit.eail.activity import REGION
from eailkit.experiments.one_walk import LOCALIZED, Walk, localized_walk
from eailkit.files import DATA_SAMPLES
from eailkit.localize import Localizer
from eailkit.plots.tracks import region_figure

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = {"first_light.png": ("#ffffff", "#24292f"), "first_dark.png": ("#0d1117", "#c9d1d9")}  # paper and ink
BEFORE_S = 60
SIZE = (1000, 760)


def median_second(error_m: np.ndarray) -> int:
    """The second with a minute before it whose error is the lower median; NaN doesn't count."""
    known = np.flatnonzero(np.isfinite(error_m) & (np.arange(len(error_m)) >= BEFORE_S))
    return int(known[np.argsort(error_m[known], kind="stable")[(len(known) - 1) // 2]])


def picture(walk: Walk) -> go.Figure:
    """The track of a walk up to its median second."""
    track, error_m = walk.track, walk.error_m[LOCALIZED]
    second = median_second(error_m)
    rows = slice(max(0, second - BEFORE_S), second + 1)
    title = (
        f"A kitchen never seen before: a minute of track and its {100 * REGION:.0f} % region. The last second<br>"
        f"({track.action[second]}) is {error_m[second]:.1f} m off; half of this walk's seconds are nearer"
    )
    return region_figure(
        walk.room.point_map.points_world_m, walk.room.grid, track.position_m[rows], track.radius_90_m[rows],
        truth=walk.truth[rows], belief=track.prediction.confidence[second], title=title, height=SIZE[1] - 10,
    )  # fmt: skip


def main() -> None:
    """Localize the walk and draw it on a light and on a dark page."""
    kitchens = EgoExo4D(DATA_SAMPLES / "kitchens")
    walks = {t.split: kitchens.recording(t.name) for t in kitchens.takes if t.task != "scan"}
    figure = picture(localized_walk(Localizer.load(), walks["test-unseen"], walks["test-seen"].imu))
    for name, (paper, ink) in PAGES.items():
        figure.update_layout(paper_bgcolor=paper, plot_bgcolor=paper, font_color=ink, title_font_size=15, width=SIZE[0])
        body = figure.to_html(full_html=False, include_plotlyjs=True, config={"displayModeBar": False})
        page = f"<!doctype html><meta charset='utf-8'><body style='margin:0;background:{paper}'>{body}</body>"
        screenshot(page, DOCS / name, *SIZE)


if __name__ == "__main__":
    main()
