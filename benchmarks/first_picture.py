"""`python -m benchmarks.first_picture`: README's picture, from what ships.

The shipped kitchen that training never saw, the second whose error is the median of the walk, and the minute of the
true path before it: the picture is as good as the model is, half of the time.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.browser import screenshot
from eailkit.datasets import EgoExo4D
from eailkit.files import DATA_SAMPLES
from eailkit.localize import Localizer
from eailkit.plots.rooms import kitchen_figure

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "first_light.png"


def main() -> None:
    """Localize the walk and draw its median second."""
    kitchens = EgoExo4D(DATA_SAMPLES / "kitchens")
    walk = next(take for take in kitchens.takes if take.split == "test-unseen")
    recording, localizer = kitchens.recording(walk.name), Localizer.load()
    room = localizer.encode_map(recording.map)
    track = localizer.localize(recording.imu, room)
    truth = recording.trajectory.position_at(recording.imu.t_s[0] + track.time_s)[:, :2]
    error = np.linalg.norm(track.position_m - truth, axis=1)
    known = np.flatnonzero(np.isfinite(error) & (np.arange(len(error)) >= 60))
    second = int(known[np.argsort(error[known])[len(known) // 2]])
    figure = kitchen_figure(
        room.point_map.points_world_m, room.grid, heatmap=track.prediction.confidence[second],
        truth=truth[second - 60 : second + 1], here=truth[second], guess=track.position_m[second], height=640,
        title=f"A kitchen never seen before, second {second}: where the model believes the wearer is "
        f"({track.action[second]}), {error[second]:.1f} m off (half of the seconds are nearer)",
    )  # fmt: skip
    figure.update_layout(paper_bgcolor="white", plot_bgcolor="white", title_font_size=15, width=1100)
    body = figure.to_html(full_html=False, include_plotlyjs=True, config={"displayModeBar": False})
    screenshot(f"<!doctype html><meta charset='utf-8'><body style='margin:0'>{body}</body>", PICTURE, 1100, 650)


if __name__ == "__main__":
    main()
