"""Simulated beside real point maps: `python -m benchmarks --only map_realism` writes a table and a picture.

The real one is a single indoor walk of 11 s with Aria glasses, in rooms that aren't a kitchen; the simulated ones are
scans of kitchens. A difference is a finding and not yet an error of either; the constants of the scan aren't fitted.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from benchmarks.browser import screenshot
from benchmarks.map_statistics import STATISTICS, crowding, samples, thinned
from benchmarks.real_heads import real_folder
from eailkit.datasets import open_map
from eailkit.plots.rooms import cloud_trace
from eailkit.plots.theme import styled
from eailkit.recording import PointMap
from eailkit.results.ledger import LedgerRow, append_rows, device_name, git_commit, hash_files
from eailkit.synthkitchen.room import generate_room
from eailkit.synthkitchen.scan import scan_room

ROOMS = 12
COMMAND = "EAILKIT_REAL_DATA=... python -m benchmarks --only map_realism"


def record(results: str | Path = "results", picture: str | Path = "docs/map_realism.png") -> None:
    """Scan the rooms, write table `map_realism` (one row a statistic and cloud) and the picture."""
    began = time.perf_counter()
    path = real_folder() / "aria_walk" / "trajectory" / "global_points.csv.gz"
    real = open_map(path)
    scans = [scan_room(generate_room(900 + k), 1) for k in range(ROOMS)]
    wanted = crowding(samples(real)["points per 1 m column"])
    clouds = {
        "real Aria walk": [real],
        "simulated": scans,
        "simulated, thinned to the real density": [thinned(scan, wanted) for scan in scans],
    }
    digest = hash_files(path.parent, path.name)
    append_rows(
        "map_realism",
        [row for name, of in clouds.items() for row in _rows(name, of, digest, began)],
        results_dir=results,
    )
    draw(real, scans[0], picture)


def percentiles(clouds: list[PointMap]) -> dict[str, dict[str, float]]:
    """statistic -> p10, p50, p90 of each cloud, then the median over clouds; for shares, those over clouds."""
    found = [samples(cloud) for cloud in clouds]
    out = {}
    for name in STATISTICS:
        values = [f[name] for f in found]
        if all(len(v) == 1 for v in values):
            p = np.percentile(np.concatenate(values), [10, 50, 90])
        else:
            p = np.median([np.percentile(v, [10, 50, 90]) for v in values], axis=0)
        out[name] = dict(zip(("p10", "p50", "p90"), (float(f"{v:.4g}") for v in p), strict=True))
    return out


def _rows(name: str, clouds: list[PointMap], digest: str, began: float) -> list[LedgerRow]:
    medians = [{s: float(np.median(v)) for s, v in samples(cloud).items()} for cloud in clouds]
    rows = []
    for statistic, p in percentiles(clouds).items():
        spread = float(np.std([m[statistic] for m in medians]))
        rows.append(LedgerRow(
            id=f"{statistic} | {name}", question=f"What is the {statistic} of the {name} map?", command=COMMAND,
            config={"clouds": len(clouds), "spread": "standard deviation of the medians over clouds"},
            commit=git_commit(), data_hash=digest, seeds=(1,), mean=p, spread=dict.fromkeys(p, round(spread, 5)),
            minutes=round((time.perf_counter() - began) / 60, 2), device=device_name(),
        ))  # fmt: skip
    return rows


def draw(real: PointMap, simulated: PointMap, path: str | Path) -> None:
    """Both clouds in space, confident points only, side by side at one scale of points, as a PNG."""
    from plotly.subplots import make_subplots

    names = ("real: an indoor walk of 11 s with Aria glasses", "simulated: a scan of a kitchen")
    figure = make_subplots(1, 2, specs=[[{"type": "scene"}] * 2], subplot_titles=names, horizontal_spacing=0.01)
    for k, cloud in enumerate((real, simulated), start=1):
        points = cloud.confident().points_world_m
        low, high = np.percentile(points, [2, 98], axis=0)
        near = points[((points > low - 0.3) & (points < high + 0.3)).all(axis=1)]
        figure.add_trace(cloud_trace(near, size=1.4, most=20_000), row=1, col=k)
    styled(figure, height=620, width=1400, paper_bgcolor="white")
    axes: Mapping = {"aspectmode": "data", "camera": {"eye": {"x": 1.1, "y": -1.35, "z": 1.0}}}
    axes |= {f"{a}axis_title_text": f"{a} (m)" for a in "xyz"}
    figure.update_layout(scene=axes, scene2=axes, margin={"l": 0, "r": 0, "t": 40, "b": 0})
    screenshot(figure.to_html(include_plotlyjs=True, config={"displayModeBar": False}), path, 1400, 620)
