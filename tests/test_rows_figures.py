"""EAIL's Figures 4 to 6: peaks by the rule, what is chosen to be shown, what is drawn and said, all of it at smoke."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from fake_dataset import room_cloud

from eailkit import plots
from eailkit.eail.figure_readings import FREE, NOT_FREE, OFF_SQUARE, curves_reading, stages_reading, take_reading
from eailkit.errors import ConfigError
from eailkit.experiments.registry import Request, reproduce
from eailkit.experiments.rows import fig4, fig5, fig6
from eailkit.experiments.rows.catalog import INFERRED, PUBLISHED
from eailkit.experiments.rows.curves import Line, recorded_lines
from eailkit.experiments.rows.seconds import errors_m
from eailkit.experiments.rows.work import Place, maker_of
from eailkit.metrics import Interval
from eailkit.plots.takes import StageMoment
from eailkit.plots.theme import FOUND, TRUTH, rgba
from eailkit.preprocess.mapgrid import MapGrid
from eailkit.results.ledger import read
from eailkit.results.names import row_id

GRID = MapGrid(np.array([1.0, -2.0]), 4.0, 0.0)  # cells of 0.2 m
CLOUD = room_cloud(0)[0]
ROWS = ("table1/eail", "table1/eail-with-tracker", "table1/ours-facing-frame")


def hills(*tops: tuple[int, int, float], width_m: float = 0.25) -> np.ndarray:
    """A map of hills at (row, column) of a height each; between them it is flat."""
    values = np.zeros(400)
    for row, column, height in tops:
        away = np.linalg.norm(GRID.cell_centres - GRID.cell_centres[20 * row + column], axis=1)
        values = np.maximum(values, height * np.exp(-((away / width_m) ** 2)))
    return values


def cells(found: list[fig5.Peak]) -> list[int]:
    """Of peaks, the highest first."""
    return [peak.cell for peak in found]


# ----------------------------------------------------------------------------------------------------- Fig. 5's rule


def test_one_two_and_three_hills_have_as_many_peaks():
    assert cells(fig5.peaks(hills((3, 3, 1.0)), GRID)) == [63]
    two = fig5.peaks(hills((3, 3, 1.0), (15, 15, 0.9)), GRID)
    assert cells(two) == [63, 315] and two[1].height == pytest.approx(0.9) and two[0].hill != two[1].hill
    assert len(fig5.peaks(hills((3, 3, 1.0), (15, 15, 0.9), (3, 15, 0.85)), GRID)) == 3
    assert cells(fig5.peaks(hills((3, 3, 1.0), (15, 15, 0.79)), GRID)) == [63], "under 0.8 of the range"


def test_the_range_counts_not_the_values_and_empty_cells_dont():
    values = hills((3, 3, 1.0), (15, 15, 0.9))
    turned = 0.3 + 0.02 * values  # cosines are close together
    turned[5] = np.nan
    assert cells(fig5.peaks(turned, GRID)) == [63, 315]
    turned[315] = np.nan
    assert cells(fig5.peaks(turned, GRID)) == [63], "its neighbours are lower than 0.8 of the range"


def test_of_peaks_within_a_metre_the_higher_counts_and_a_metre_is_enough():
    assert cells(fig5.peaks(hills((3, 3, 0.9), (3, 7, 1.0), width_m=0.1), GRID)) == [67], "0.8 m apart"
    assert cells(fig5.peaks(hills((3, 3, 0.9), (3, 8, 1.0), width_m=0.1), GRID)) == [68, 63], "1 m apart"


def test_a_plateau_is_one_peak_and_no_peak_where_something_overtops_its_end():
    flat = np.zeros((20, 20))
    assert fig5.peaks(flat.ravel(), GRID) == []
    flat[5, 4:15] = 1.0
    assert cells(fig5.peaks(flat.ravel(), GRID)) == [5 * 20 + 9], "2 m long, its middle counts"
    flat[6, 15] = 1.2
    assert cells(fig5.peaks(flat.ravel(), GRID)) == [6 * 20 + 15]


def test_the_ends_of_a_ridge_are_a_pair_but_not_two_peaks():
    ridge = np.zeros((20, 20))
    ridge[10, 2:18] = 0.9
    ridge[10, 2], ridge[10, 17] = 1.0, 0.98
    apart = ridge.copy()
    apart[10, 9] = 0.7
    stage2, truth = np.tile(hills((10, 2, 1.0), width_m=0.2), (2, 1)), np.tile(GRID.cell_centres[202], (2, 1))
    found = fig5.judged(np.stack([ridge.ravel(), apart.ravel()]), stage2, GRID, truth, np.array([202, 202]))
    assert found.pair.tolist() == [True, True] and found.two.tolist() == [False, True]
    assert found.one.all() and found.chosen.tolist() == [False, True] and found.at_peak.tolist() == [False, True]
    told = fig5.counted(found)
    assert (told[fig5.PAIR], told[fig5.TWO], told[fig5.ONE], told[fig5.RIGHT]) == (100, 50, 100, 100)
    assert told[fig5.AT_PEAK] == 100 and told[fig5.GAIN] == 50 and told[fig5.MORE] == 0


def test_stage_2_has_one_peak_where_most_mass_is_near_its_highest_cell():
    narrow, wide = hills((10, 10, 1.0), width_m=0.3), hills((10, 10, 1.0), width_m=1.2)
    both, level = hills((3, 3, 1.0), (15, 15, 0.9)), hills((3, 3, 1.0), (15, 15, 1.0))
    maps = np.stack([m / m.sum() for m in (narrow, wide, both, level)])
    assert fig5.has_one_peak(maps, GRID.cell_centres).tolist() == [True, False, True, False]
    near = np.linalg.norm(GRID.cell_centres - GRID.cell_centres[63], axis=1) < 0.6
    assert maps[2][near].sum() > 0.5, "a hill that holds a little more than half of the mass"


def test_unknown_seconds_count_nowhere_and_nothing_to_count_is_nan():
    two = np.tile(hills((3, 3, 1.0), (15, 15, 0.9)), (4, 1))
    stage2 = np.tile(hills((3, 3, 1.0)), (4, 1))
    found = fig5.judged(two, stage2, GRID, np.full((4, 2), np.nan), np.full(4, -1))
    told = fig5.counted(found)
    assert told["seconds"] == told["chosen"] == 0 and all(math.isnan(told[c]) for c in fig5.COLUMNS)
    one = fig5.judged(stage2, stage2, GRID, np.tile(GRID.cell_centres[63], (4, 1)), np.full(4, 63))
    told = fig5.counted(one)
    assert told[fig5.TWO] == 0 and math.isnan(told[fig5.ONE]) and math.isnan(told[fig5.RIGHT])


def test_the_median_take_is_the_lower_of_the_two_in_the_middle():
    assert fig5.median_take({"a": 10.0, "b": 30.0, "c": 20.0}) == "c"
    assert fig5.median_take({"a": 40.0, "b": 30.0, "c": 20.0, "d": 10.0}) == "c"
    assert fig5.median_take({"b": 1.0, "a": 1.0}) == "a", "by name where they tie"


def test_the_most_even_moments_are_shown_half_a_minute_apart_and_not_the_right_ones():
    seconds = 100
    uneven = np.full(seconds, 0.1)
    uneven[[10, 20, 50, 99]] = [0.01, 0.005, 0.02, 0.03]
    maps = np.stack([hills((3, 3, 1.0), (15, 15, 1.0 - u)) for u in uneven])
    stage2 = np.tile(hills((3, 3, 1.0)), (seconds, 1))
    for at in (63, 315):  # once all are right, once none is
        found = fig5.judged(maps, stage2, GRID, np.tile(GRID.cell_centres[at], (seconds, 1)), np.full(seconds, at))
        assert fig5.moments(found) == [20, 50, 99]
    assert fig5.moments(found, most=2) == [20, 50]


# ----------------------------------------------------------------------------------------------------- Fig. 6's rule


def test_the_moments_of_a_take_are_the_last_known_seconds_until_then():
    known = np.ones(1200, bool)
    assert [(m.name, m.second) for m in fig6.moments(known)] == [
        ("20 s", 20), ("2 min", 120), ("half", 600), ("end", 1199),
    ]  # fmt: skip
    known[598:650] = known[1190:] = False
    assert [m.second for m in fig6.moments(known)] == [20, 120, 597, 1189]
    assert [(m.name, m.second) for m in fig6.moments(np.ones(60, bool))] == [("20 s", 20), ("half", 30), ("end", 59)]
    assert fig6.moments(np.zeros(60, bool)) == []


def test_where_an_answer_lies_is_said_of_the_square_and_its_free_cells():
    free = np.zeros(400, bool)
    free[210] = True
    room = type("Room", (), {"grid": GRID, "free": free})
    assert fig6.state(room, GRID.cell_centres[210]) == FREE and fig6.state(room, GRID.cell_centres[211]) == NOT_FREE
    assert fig6.state(room, np.array([3.01, -2.0])) == OFF_SQUARE and fig6.state(room, np.full(2, np.nan)) == ""


# ----------------------------------------------------------------------------------------------------- what is drawn


def curve(level: float, slope: float = 0.0, width: float = 0.1) -> pd.DataFrame:
    """An error curve over ten minutes."""
    minute = np.arange(20) * 0.5 + 0.25
    error = level + slope * minute
    return pd.DataFrame({"minute": minute, "error_m": error, "low": error - width, "high": error + width, "takes": 9})


def test_fig4_has_a_panel_a_protocol_and_says_which_lines_use_ground_truth():
    found = [
        Line("EAIL", INFERRED, curve(1.0)), Line("EAIL", PUBLISHED, curve(0.5)),
        Line("RoNIN (ResNet-50)", PUBLISHED, curve(0.2, 1.0)), Line("IMUNet", PUBLISHED, curve(0.2, 2.0)),
    ]  # fmt: skip
    figure = fig4.figure(found)
    lines = [t for t in figure.data if t.fill is None]
    of = lambda name, axis: next(t for t in lines if t.name == name and (t.yaxis or "y") == axis)  # noqa: E731
    assert np.asarray(of("EAIL", "y").y) == pytest.approx(1.0) and np.asarray(of("EAIL", "y2").y) == pytest.approx(0.5)
    for axis in ("y", "y2"):
        assert np.asarray(of("IMUNet †", axis).y) == pytest.approx(curve(0.2, 2.0).error_m)
    nets = of("RoNIN (ResNet-50) †", "y").line, of("IMUNet †", "y").line
    assert nets[0].color == nets[1].color != of("EAIL", "y").line.color and nets[0].dash != nets[1].dash
    assert "uses ground truth" in figure.layout.legend.title.text
    assert [a.text for a in figure.layout.annotations] == list(fig4.PANELS.values())
    bands = [t for t in figure.data if t.fill]
    assert len(bands) == len(lines) == 6 and np.nanmax(bands[0].y) == pytest.approx(1.1)
    assert sum(bool(t.showlegend) for t in lines) == 3, "each method once"


def test_fig5_draws_both_maps_the_peaks_and_the_true_place():
    stage1, stage2, truth = hills((3, 3, 1.0), (15, 15, 0.9)), hills((3, 3, 0.4)), np.array([1.1, -2.3])
    moments = [
        StageMoment("0:20", stage1, stage2, GRID.cell_centres[[63, 315]], truth),
        StageMoment("1:00", stage1, stage2, GRID.cell_centres[[63, 315]], np.full(2, np.nan)),
    ]
    figure = plots.stages_figure(CLOUD, GRID, moments)
    heats = [t for t in figure.data if t.type == "heatmap" and t.name.startswith("stage")]
    assert np.asarray(heats[0].z).ravel() == pytest.approx(stage1, abs=1e-6)
    assert np.asarray(heats[3].z).ravel() == pytest.approx(stage2, abs=1e-6)
    marks = [t for t in figure.data if t.name == "true place"]
    assert [(t.x[0], t.y[0]) for t in marks] == [tuple(truth)] * 2, "an unknown place isn't drawn"
    rings = [t for t in figure.data if t.name == "peak of stage 1"]
    assert np.column_stack([rings[1].x, rings[1].y]) == pytest.approx(GRID.cell_centres[[63, 315]])
    assert [a.text for a in figure.layout.annotations] == [f"{w}, stage {k}" for w in ("0:20", "1:00") for k in (1, 2)]


def walked(n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """A true path within the square, and a line that leaves it for good."""
    t = np.arange(n) / 40
    truth = GRID.centre_xy_m + np.stack([np.cos(t), np.sin(t)], axis=1)
    return truth, truth[0] + np.stack([0.05 * np.arange(n), np.zeros(n)], axis=1)


def test_a_picture_of_fig6_shows_the_last_minute_strong_and_points_to_what_left_it():
    truth, away = walked()
    figure = plots.take_picture(CLOUD, GRID, truth, away, 200)
    lines = [t for t in figure.data if t.type == "scatter"]
    strong = next(t for t in lines if t.line.color == rgba(TRUTH, 0.9))
    assert np.column_stack([strong.x, strong.y]) == pytest.approx(truth[140:201], abs=1e-3)
    faint = next(t for t in lines if t.line.color == rgba(FOUND, 0.25))
    assert np.column_stack([faint.x, faint.y])[[0, -1]] == pytest.approx(away[[0, 140]], abs=1e-3)
    mark = figure.data[-1]
    assert mark.marker.symbol == "arrow" and mark.marker.angle == pytest.approx(90, abs=3), "to the right"
    assert figure.layout.xaxis.range[0] < mark.x[0] < figure.layout.xaxis.range[1] < away[200, 0]
    near = plots.take_picture(CLOUD, GRID, truth, truth + 0.1, 200, jumps=True)
    assert near.data[-1].marker.symbol == "diamond" and near.data[-1].x[0] == pytest.approx(truth[200, 0] + 0.1)
    assert {t.mode for t in near.data if t.type == "scatter" and t.line.color == rgba(FOUND, 0.9)} == {"markers"}


def test_the_slider_of_fig6_moves_every_panel_to_its_moment_with_its_words():
    truth, away = walked()
    captions = {"RoNIN": ["0.1 m off", "9.0 m off"], "EAIL": ["0.2 m off", "0.3 m off"]}
    figure = plots.take_figure(CLOUD, GRID, truth, {"RoNIN": away, "EAIL": truth + 0.1}, [20, 299], captions)
    late = figure.frames[1]
    assert late.name == "4:59" and [a.text for a in late.layout.annotations] == [
        "RoNIN<br>9.0 m off", "EAIL<br>0.3 m off",
    ]  # fmt: skip
    assert len(late.data) == len(late.traces) == 12 and late.data[5].marker.symbol == "arrow"
    assert (late.data[10].x[0], late.data[10].y[0]) == pytest.approx(tuple(truth[299]))
    assert (late.data[11].x[0], late.data[11].y[0]) == pytest.approx(tuple(truth[299] + 0.1))
    assert len(figure.layout.sliders[0].steps) == 2


# ------------------------------------------------------------------------------------------------------- what is said


def test_error_curves_are_read_both_ways():
    text = curves_reading({"EAIL": curve(1.0), "lost": curve(0.5, 0.3)}, {"a": curve(0.2, 1.0), "b": curve(0.2, 2.0)})
    assert "EAIL: 1.0 m off at first, 1.0 m at minute 10: the error doesn't clearly change." in text
    assert "lost: 0.6 m off at first, 3.4 m at minute 10: the error grows." in text
    assert "Further off than EAIL from minutes 0.8 to 1.2 on, to the end: every velocity net." in text
    level = curves_reading({"EAIL": curve(1.0, -0.05)}, {"a": curve(0.2), "b": curve(0.2, 2.0)})
    assert "the error falls" in level and "Further off than EAIL from minute 0.8 on, to the end: b." in level
    assert level.endswith("Not further off than EAIL at the end: a.")
    assert "Further" not in curves_reading({"EAIL": curve(1.0)}, {})


def between(mean: float, low: float, high: float) -> Interval:
    """An interval of whole numbers."""
    return Interval(float(mean), float(low), float(high))


def test_stages_are_read_by_their_intervals():
    two = between(20, 15, 25)
    good = stages_reading(two, between(70, 60, 80), between(50, 40, 60), between(20, 10, 30), between(15, 5, 25))
    assert (
        "has one peak as a rule" in good and "more often than in the others" in good and "better than blindly" in good
    )
    bad = stages_reading(two, between(30, 20, 40), between(10, 5, 15), between(-9, -15, -3), between(-5, -9, -1))
    assert (
        "in the minority" in bad and "less often" in bad and "blind choice between the two would be right more" in bad
    )
    open_ = stages_reading(two, between(50, 40, 60), between(30, 5, 55), between(1, -3, 5), between(0, -4, 4))
    assert (
        "about half" in open_ and "can't be told from the others" in open_ and "blindly between the two can't" in open_
    )
    assert stages_reading(between(0, 0, 0), None, None, None, None).endswith("nothing can be said of stage 2 there.")


def test_a_take_is_read_by_what_its_pictures_show():
    lost = [("0:20", 0.4, FREE), ("2:00", 3.0, OFF_SQUARE), ("9:59", 8.0, OFF_SQUARE)]
    found = [("0:20", 0.5, FREE), ("2:00", 0.3, NOT_FREE), ("9:59", 0.2, FREE)]
    text = take_reading({"RoNIN": lost, "EAIL": found})
    assert "RoNIN: 0.4 m off at 0:20, 3.0 m off at 2:00 and 8.0 m off at 9:59; off the square at 2:00 and 9:59." in text
    assert "not on free floor at 2:00." in text
    assert "At the end EAIL is nearest (0.2 m) and RoNIN furthest (8.0 m)." in text
    same = take_reading({"a": found[:1], "b": lost[:1], "silent": [("0:20", math.nan, "")]})
    assert "a: 0.5 m off at 0:20; each time on free floor." in same and "silent" not in same
    assert "At the end all are equally far off, to 20 cm." in same


# --------------------------------------------------------------------------------------------------------- end to end


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory, smoke_kitchens):
    """All three figures at smoke, of the rows that need no further net, and the ledger's folder."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("figures")
    options = {"profile": "smoke", "out": smoke_kitchens(folder / "run"), "results_dir": folder / "results", "jobs": 1}
    paths = [reproduce(Request(name, rows=ROWS, **options)) for name in ("fig4", "fig5", "fig6")]
    return Place(str(folder / "run"), "smoke"), folder / "results", paths


@pytest.mark.whole
def test_the_figures_leave_tables_claims_and_pages(reproduced):
    place, results, paths = reproduced
    assert [p.name for p in paths] == ["fig4_smoke.json", "fig5_smoke.json", "fig6_smoke.json"]
    for name in ("fig4", "fig5", "fig6"):
        page = (results.parent / "run" / f"{name}-smoke.html").read_text(encoding="utf-8")
        shows = "plotly.js v" in page or (name == "fig5" and "there is nothing to show" in page)
        assert shows and 'src="http' not in page and "color-scheme" in page
    lines = recorded_lines("smoke", results_dir=results)
    assert [(line.row, line.protocol) for line in lines] == [
        ("EAIL", INFERRED), ("EAIL", PUBLISHED), ("EAIL + tracker", INFERRED), ("EAIL + tracker", PUBLISHED),
        ("ours, facing frame", PUBLISHED),
    ]  # fmt: skip
    assert all(np.isfinite(line.curve.error_m).all() and len(line.curve) >= 1 for line in lines)


@pytest.mark.whole
def test_fig5_counts_what_the_maps_say(reproduced):
    place, results, _ = reproduced
    rows = {row["id"]: row for row in read("fig5_smoke", results_dir=results)}
    counted = fig5.count(place, (0,))
    both = rows[row_id("stages", "both test sets")]
    assert both["mean"][fig5.TWO] == pytest.approx(counted[fig5.TWO].mean(), abs=1e-3)
    assert both["config"]["such seconds"] == counted.chosen.sum()
    stages = fig5.stages_of(place, 0)(maker_of(place, 0).takes[0])
    empty = np.asarray(maker_of(place, 0).run.prepared.rooms[maker_of(place, 0).takes[0].room].empty)
    assert (np.isnan(stages.stage1) == empty).all() and np.nanmax(np.abs(stages.stage1)) <= 1 + 1e-5
    assert stages.stage2.sum(1) == pytest.approx(1, abs=2e-2)


@pytest.mark.whole
def test_fig5_shows_moments_of_a_take_that_has_some(reproduced):
    maker = maker_of(reproduced[0], 0)
    take = maker.takes[0]
    room, truth = maker.run.prepared.rooms[take.room], np.asarray(take.position, float)
    maps = np.tile(hills((3, 3, 1.0), (15, 15, 0.95)), (len(take), 1))
    stages = fig5.judged(maps, np.tile(hills((3, 3, 1.0)), (len(take), 1)), room.grid, truth, np.asarray(take.cell))
    seconds = fig5.moments(stages)
    figure = fig5.figure(fig5.Shown(take, room, 50.0, seconds, stages))
    assert len(seconds) == 2, "half a minute apart in a minute"
    marks = [t for t in figure.data if t.name == "true place"]
    assert (marks[0].x[0], marks[0].y[0]) == pytest.approx(tuple(truth[seconds[0]]))


@pytest.mark.whole
def test_fig6_shows_the_take_of_its_rule_and_leaves_out_what_isnt_made(reproduced):
    place, results, _ = reproduced
    found = fig6.shown(place, (0,))
    lengths = {t.name: len(t) for t in maker_of(place, 0).run.prepared.by_split("test-unseen")}
    assert len(found.take) == max(lengths.values()) < 600, "none lasts ten minutes: the longest"
    assert found.missing == ("RoNIN (ResNet-50)", "NILoc+") and list(found.answers) == ["EAIL", "EAIL + tracker"]
    page = (results.parent / "run" / "fig6-smoke.html").read_text(encoding="utf-8")
    assert "NILoc+ isn't made here" in page and page.count("<figcaption>") == 2 * len(found.moments)
    rows = {row["id"]: row for row in read("fig6_smoke", results_dir=results)}
    row, last = rows[row_id("EAIL + tracker", INFERRED)], found.moments[-1]
    made = fig6._made(place, fig6._ROWS["EAIL + tracker"], 0, INFERRED)
    error = errors_m(maker_of(place, 0).run.prepared, made.seconds)[found.take.name][last.second]
    assert row["mean"]["error at end (m)"] == pytest.approx(error, abs=1e-3)
    assert row["config"]["not made"] == list(found.missing) and json.dumps(row["config"])
    figure = fig6.figure(found)
    assert len(figure.frames) == len(found.moments) and fig6.captions(found)["EAIL"][0].endswith(
        (OFF_SQUARE, FREE, NOT_FREE)
    )


@pytest.mark.whole
def test_fig6_without_the_tracker_says_what_to_make(tmp_path, reproduced):
    place, _, _ = reproduced
    with pytest.raises(ConfigError, match=r"make it with `eailkit reproduce table1 --row table1/eail-with-tracker`"):
        fig6.shown(place, (7,))  # nobody trained that seed
