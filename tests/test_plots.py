"""Figures: right place, right number, titled axes, small, readable on light and dark, offline."""

import json
import re

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
import torch
from fake_dataset import room_cloud

from eailkit import plots
from eailkit.metrics import success_rate
from eailkit.plots import rooms, scores, theme
from eailkit.preprocess.mapgrid import MapGrid, estimate_grid, local_clouds
from eailkit.recording import ImuStream, PointMap
from eailkit.results import paper
from eailkit.training import History

RNG = np.random.default_rng(0)


def _kitchen():
    point_map = PointMap(*room_cloud(0)).confident()
    return point_map.points_world_m, estimate_grid(point_map)


CLOUD, GRID = _kitchen()


def _walk(n: int = 40):
    t = np.arange(n) + 0.5
    truth = GRID.centre_xy_m + np.stack([0.8 * np.cos(0.2 * t), 0.5 * np.sin(0.2 * t)], axis=1)
    near = np.exp(-((GRID.cell_centres[None] - truth[:, None]) ** 2).sum(-1) / 0.1)
    return t, truth, (near / near.sum(1, keepdims=True)).astype(np.float32)


def _imu(seconds: float = 6.0) -> ImuStream:
    t = np.arange(0, seconds, 1 / 800)
    acc = np.stack([np.sin(9 * t), np.cos(9 * t), 9.81 + 0.1 * np.sin(2 * np.pi * 50 * t)], axis=1)
    return ImuStream(t, acc, RNG.normal(0, 0.2, (len(t), 3)))


def _scores() -> pd.DataFrame:
    rows = [(m, s, v, v - 2, v + 3) for s in ("test-seen", "test-unseen") for m, v in (("chance", 4.0), ("full", 30.0))]
    return pd.DataFrame(rows, columns=["method", "split", "mean", "low", "high"])


def _figures() -> dict[str, go.Figure]:
    t, truth, confidence = _walk()
    clouds = local_clouds(CLOUD, GRID, points_per_cell=64)
    imu, curve = _imu(), pd.DataFrame({"minute": [0.2, 0.4], "error_m": [1.0, 2.0]})
    history = History([{"total": 6.0 / (k + 1), "imu_points": 5.0 / (k + 1)} for k in range(400)])
    turns = np.roll(confidence[None, 0], 3, axis=1) * np.linspace(0.5, 1, 12)[:, None]
    weights = np.linspace(1, 2, 12) / np.linspace(1, 2, 12).sum()
    headings = pd.DataFrame({"minute": [0.2, 0.4], "median_deg": [40.0, 20.0], "within_30": [50.0, 90.0]})
    acts = pd.DataFrame({"activity": ["walking", "idle"], "success": [50.0, 9.0], "seconds": [40, 9]})
    acts = acts.assign(method="ours", split="test-seen")
    found, radius, step = truth + 0.1, np.full(len(truth), 0.3), np.diff(truth, axis=0)[:9]
    truth_of = paper.table(3).rename(columns={"SR@0.4m": "mean"})
    return {
        "walk": plots.walk_figure(CLOUD, GRID, t, confidence, truth=truth, words=["stir"] * len(t)),
        "kitchen": plots.kitchen_figure(CLOUD, GRID, heatmap=confidence[0], truth=truth, found=truth, here=truth[0]),
        "heatmaps": plots.heatmap_figure({"a": confidence[0], "b": confidence[9]}, CLOUD, GRID, here=truth[0]),
        "cloud": plots.cloud_figure(CLOUD, path=np.column_stack([truth, 0 * t])),
        "cell": plots.cell_figure(CLOUD, GRID, clouds.points, clouds.valid, 210),
        "imu": plots.imu_figure({"sensor": imu, "head": imu}, 0.0, 6.0),
        "spectrum": plots.spectrum_figure({"800 Hz": (imu.acc_mps2[:, 2], 800.0)}),
        "tilt": plots.tilt_figure(imu.t_s, {"offline": np.abs(imu.gyro_radps[:, 0])}),
        "tone": plots.tone_figure((imu.t_s[:9], imu.acc_mps2[:9, 2]), (imu.t_s[:9], imu.acc_mps2[:9, 1]), ("a", "b")),
        "windows": plots.window_figure(RNG.normal(0, 1, (3, 6, 400)), ["walk", "stir", "eat"]),
        "loss": plots.loss_figure(history, chance=4.8),
        "similarity": plots.similarity_figure(RNG.random((9, 9)), x="place", y="second"),
        "table": plots.table_figure(_scores(), highlight="full"),
        "error": plots.error_over_time_figure({"ours": curve}, paper_cross_s=30),
        "success": plots.success_curve_figure({"ours": RNG.random(99)}),
        "confusion": plots.confusion_figure([0, 1, 1], [0, 1, 0], ["cut", "stir", "eat"]),
        "hypotheses": plots.hypothesis_figure(
            CLOUD, GRID, {"stage 1": turns, "stage 2": turns}, {"one second": weights, "the take": weights}, shown=2,
            true_rad=1.0, facing_rad=0.3, here=truth[0],
        ),
        "beliefs": plots.beliefs_figure({str(k): confidence[k] for k in range(5)}, CLOUD, GRID, here=list(truth[:5])),
        "region": plots.region_figure(CLOUD, GRID, found, radius, truth=truth, belief=confidence[3]),
        "paths": plots.paths_figure(CLOUD, GRID, found, truth),
        "velocity": plots.velocity_figure(CLOUD, GRID, truth[:9], step, step + 0.1, t[:9] / 9),
        "headings": plots.heading_figure({"forward": headings}),
        "activity": plots.activity_figure(pd.concat([acts, acts.assign(split="test-unseen")])),
        "coverage": plots.coverage_figure({"test-seen": ([50, 90], [40, 85])}),
        "panels": plots.panels_figure({paper.OURS: _scores(), paper.PAPER: truth_of}, "success at 0.4 m"),
    }  # fmt: skip


FIGURES = _figures()


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_small_titled_and_transparent(name):
    figure = FIGURES[name]
    assert len(figure.to_json()) < 250_000
    layout = figure.layout
    assert layout.template.layout.paper_bgcolor == layout.template.layout.plot_bgcolor == "rgba(0,0,0,0)"
    titles = [axis.title.text for axis in [*figure.select_xaxes(), *figure.select_yaxes()]]
    titles += [axis.title.text for scene in figure.select_scenes() for axis in (scene.xaxis, scene.yaxis, scene.zaxis)]
    assert sum(bool(t) for t in titles) >= 2, f"{name} has no titled axes"


def _luminance(colour: str) -> float:
    rgb = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("page", ["#ffffff", "#14181d"])
def test_ink_and_lines_stand_out_on_light_and_dark_pages(page):
    def contrast(colour: str) -> float:
        low, high = sorted((_luminance(colour), _luminance(page)))
        return (high + 0.05) / (low + 0.05)

    assert contrast(theme.INK) > 3.5
    assert min(contrast(c) for c in (*theme.CYCLE, theme.TRUTH, theme.FOUND)) > 2.0


def test_a_cell_is_drawn_where_it_lies_rows_along_y():
    grid = MapGrid(np.array([2.0, -1.0]), 4.0, 0.0)
    values = np.zeros(400)
    cell = 3 * 20 + 17  # row 3, column 17: low y, high x
    values[cell] = 1.0
    trace = rooms.heat_trace(values, grid)
    row, column = np.argwhere(np.asarray(trace.z) == 1.0)[0]
    assert (trace.x0 + column * trace.dx, trace.y0 + row * trace.dy) == pytest.approx(tuple(grid.cell_centres[cell]))


def test_the_floor_plan_shows_a_post_where_it_stands_and_no_floor():
    grid = MapGrid(np.array([0.0, 0.0]), 4.0, 0.0)
    post = np.column_stack([np.full(50, 1.31), np.full(50, -0.62), np.linspace(0.3, 2.0, 50)])
    floor = np.column_stack([RNG.uniform(-2, 2, (500, 2)), np.zeros(500)])
    trace = rooms.plan_trace(np.concatenate([post, floor]), grid)
    lit = np.argwhere(np.asarray(trace.z) > 0)
    assert len(lit) == 1
    row, column = lit[0]
    assert abs(trace.x0 + column * trace.dx - 1.31) < 0.026 and abs(trace.y0 + row * trace.dy + 0.62) < 0.026


def test_the_slider_of_a_walk_shows_each_second_its_own_map_and_places():
    t, truth, confidence = _walk(40)
    figure = plots.walk_figure(CLOUD, GRID, t, confidence, truth=truth, most=10)
    assert len(figure.frames) == 10 == len(figure.layout.sliders[0].steps)
    frame = figure.frames[4]
    second = int(frame.name)
    heat, guess, here = frame.data
    assert np.asarray(heat.z).ravel() == pytest.approx(confidence[second])
    assert (here.x[0], here.y[0]) == pytest.approx(tuple(truth[second]))
    assert (guess.x[0], guess.y[0]) == pytest.approx(tuple(GRID.cell_centres[confidence[second].argmax()]))
    assert [figure.data[k].type for k in frame.traces] == ["heatmap", "scatter", "scatter"]


def test_the_slider_of_headings_turns_maps_arrow_and_the_chosen_bar():
    turns = np.arange(12)[:, None] + np.zeros(400)
    figure = plots.hypothesis_figure(
        CLOUD, GRID, {"a": turns}, {"one": np.arange(12) / 66}, shown=4, true_rad=0.0, facing_rad=0.0, here=[1.0, -2.0]
    )
    assert len(figure.frames) == 12 == len(figure.layout.sliders[0].steps) and figure.layout.sliders[0].active == 4
    for h in (3, 6):
        heat, arrow, bars = figure.frames[h].data
        assert float(np.mean(heat.z)) == h
        tip = np.array([arrow.x[1] - 1.0, arrow.y[1] + 2.0])
        assert tip / np.linalg.norm(tip) == pytest.approx([np.cos(h * np.pi / 6), np.sin(h * np.pi / 6)], abs=1e-2)
        assert [k for k, c in enumerate(bars.marker.color) if c == theme.CYCLE[0]] == [h]
    assert [figure.data[k].type for k in figure.frames[0].traces] == ["heatmap", "scatter", "barpolar"]
    (bars,) = [t for t in figure.data if t.type == "barpolar"]
    assert np.asarray(bars.r) == pytest.approx(100 * np.arange(12) / 66, abs=0.01)


def test_the_region_of_the_last_second_is_a_circle_of_its_radius():
    found, radius = np.array([[0.0, 0.0], [1.0, -2.0]]), np.array([0.5, 0.75])
    figure = plots.region_figure(CLOUD, GRID, found, radius)
    (disc,) = [t for t in figure.data if "last second" in (t.name or "") and t.mode == "lines"]
    away = np.hypot(np.asarray(disc.x) - 1.0, np.asarray(disc.y) + 2.0)
    assert away == pytest.approx(np.full(len(away), 0.75), abs=2e-3)
    half = GRID.side_m / 2 + rooms.MARGIN_M
    assert figure.layout.xaxis.range == pytest.approx((GRID.centre_xy_m[0] - half, GRID.centre_xy_m[0] + half))


def test_a_path_that_leaves_the_map_is_still_seen():
    truth = np.tile(GRID.centre_xy_m, (3, 1))
    near, far = (plots.paths_figure(CLOUD, GRID, truth + [[0, 0], [0, 1], [0, off]], truth) for off in (1.0, 40.0))
    low, high = far.layout.yaxis.range
    assert low < GRID.centre_xy_m[1] < GRID.centre_xy_m[1] + 40 < high
    assert near.layout.yaxis.range[1] == pytest.approx(GRID.centre_xy_m[1] + GRID.side_m / 2 + rooms.MARGIN_M)
    unknown = plots.paths_figure(CLOUD, GRID, truth, np.full_like(truth, np.nan))
    assert all("last second" not in (trace.name or "") for trace in unknown.data)


def test_finer_places_lie_over_the_same_square():
    fine = np.zeros(1600)
    fine[1600 - 40] = 1.0  # least x, greatest y
    heat = plots.beliefs_figure({"one": fine}, CLOUD, GRID).data[1]
    row, column = np.argwhere(np.asarray(heat.z) == 100.0)[0]
    corner = GRID.origin_xy_m + np.array([0.0, GRID.side_m])
    assert (heat.x0 + column * heat.dx, heat.y0 + row * heat.dy) == pytest.approx(
        tuple(corner + np.array([1, -1]) * GRID.pitch_m / 4)
    )


def test_unknown_truth_leaves_no_marker_behind():
    t, truth, confidence = _walk(5)
    figure = plots.kitchen_figure(CLOUD, GRID, heatmap=confidence[0], here=np.array([np.nan, np.nan]))
    assert all(trace.name != "true position" for trace in figure.data)


def test_thinning_keeps_peaks_and_order():
    x = np.arange(50_000.0)
    y = RNG.normal(0, 1, len(x))
    y[31_415], y[2_718] = 40.0, -40.0
    thin_x, thin_y = theme.thin(x, y, 1000)
    assert len(thin_x) <= 1001 and (np.diff(thin_x) > 0).all()
    assert thin_y.max() == 40.0 and thin_y.min() == -40.0


def test_the_spectrum_finds_a_tone_and_keeps_its_power():
    t = np.arange(0, 20, 1 / 800)
    frequency, power = plots.spectrum(0.3 * np.sin(2 * np.pi * 50 * t), 800.0)
    assert frequency[power.argmax()] == pytest.approx(50.0)
    assert np.trapezoid(power, frequency) == pytest.approx(0.3**2 / 2, rel=0.01)


def test_the_success_curve_passes_through_the_metric():
    error = RNG.random(400) * 2
    curve = plots.success_curve_figure({"ours": error}).data[0]
    expected = success_rate(torch.tensor(np.column_stack([error, 0 * error])), torch.zeros(400, 2))
    at = [int(np.argmin(np.abs(np.asarray(curve.x) - d))) for d in (0.2, 0.4, 0.6)]
    assert np.asarray(curve.y)[at] == pytest.approx(expected.numpy(), abs=1e-3)


def test_confusion_rows_are_percentages_of_the_true_class():
    true, found = RNG.integers(0, 4, 200), RNG.integers(0, 4, 200)
    heat = plots.confusion_figure(true, found, list("abcd")).data[0]
    by_hand = [[100 * np.mean(found[true == i] == j) for j in range(4)] for i in range(4)]
    assert np.asarray(heat.z) == pytest.approx(np.array(by_hand), abs=1e-3)


def test_smoothing_leaves_a_constant_alone_up_to_its_ends():
    assert scores.smooth(np.full(50, 3.0), 9) == pytest.approx(np.full(50, 3.0))


def test_the_html_of_a_figure_asks_nothing_of_the_network(tmp_path):
    page = plots.write_html(FIGURES["walk"], tmp_path / "walk.html").read_text(encoding="utf-8")
    markup = re.sub(r"<script\b[^>]*>.*?</script>", "", page, flags=re.S)
    assert not re.search(r"(?:src|href)\s*=", markup)
    assert not re.search(r"<script[^>]+src=", page)
    assert "Plotly.newPlot" in page and 'content="light dark"' in page
    assert "Plotly.animate(" not in page, "a walk starts when the reader presses play"


def test_figures_are_plain_json():
    for figure in FIGURES.values():
        assert json.loads(figure.to_json())["data"]
