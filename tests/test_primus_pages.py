"""What PRIMUS's pages show, on curves and batches with known answers."""

import json
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest

from eailkit import plots, widgets
from eailkit.errors import ConfigError
from eailkit.experiments.primus_curves import FIG4, FIG5
from eailkit.fewshot.scores import Scores
from eailkit.plots.fewshot import aligned_share, base, look
from eailkit.plots.primus import effective_rank, spread_of
from eailkit.primus.config import PrimusConfig
from eailkit.primus.losses import nearest
from eailkit.primus.model import Primus
from eailkit.primus.triplets import Triplets
from eailkit.results import ledger
from eailkit.results.ledger import LedgerRow, append_rows
from eailkit.results.names import HANDCRAFTED, UNTRAINED
from eailkit.results.recorded import (
    COLUMNS,
    beside_each_other,
    curve,
    fewer_labels,
    from_scores,
    panels,
    placement_table,
    reach,
    recorded,
    tuning_table,
)
from eailkit.widgets import primus as pages
from eailkit.widgets.primus_examples import SwitchBatch, course_run, knn_accuracy, self_retrieval_rate, switch_batch

SHOTS = (1, 10, 100)


def _points(test, method, head, values, *, metric="macro_f1", shots=SHOTS, half=3.0) -> list[dict]:
    about = {"test": test, "method": method, "variant": head, "metric": metric}
    return [about | {"shots": n, "mean": v, "low": v - half, "high": v + half} for n, v in zip(shots, values)]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rows = []
    for metric, shift in (("macro_f1", 0.0), ("accuracy", 5.0)):
        for test in ("same domain", "other labels"):
            add = lambda *a, t=test, m=metric, **k: rows.extend(_points(t, *a, metric=m, **k))  # noqa: E731
            add("PRIMUS", "random", [40 + shift, 60, 80])
            add("PRIMUS", "text", [35 + shift, 50, 62, 80], shots=(0, *SHOTS))
            add("PRIMUS", "encoder", [45 + shift, 65, 85])
            add("IMU2CLIP", "random", [20 + shift, 40 + shift, 60])
            add("IMU2CLIP", "text", [15 + shift, 30, 40, 60], shots=(0, *SHOTS))
            add("SimCLR", "random", [30 + shift, 50, 55])
            add(HANDCRAFTED, "random", [50 + shift, 70, 90])
    return pd.DataFrame(rows)[list(COLUMNS)]


def test_a_value_is_read_between_points_on_the_log_axis():
    values = np.array([20.0, 40.0, 60.0])
    found = reach(np.array(SHOTS), values, 50.0)
    assert found.how == "within" and found.shots == pytest.approx(10**1.5)
    assert reach(np.array(SHOTS), values, 40.0).shots == pytest.approx(10)
    assert reach(np.array([0, *SHOTS]), np.array([99.0, *values]), 30.0).shots == pytest.approx(10**0.5), "zero-shot"


def test_nothing_is_said_beyond_what_was_measured():
    values = np.array([20.0, 40.0, 60.0])
    assert reach(np.array(SHOTS), values, 60.1).how == "never" and np.isnan(reach(np.array(SHOTS), values, 60.1).shots)
    assert reach(np.array(SHOTS), values, 5.0) == reach(np.array(SHOTS), values, 20.0)
    assert reach(np.array(SHOTS), values, 5.0).how == "below"
    assert reach(np.array([1, 2, 4]), np.array([10.0, 50.0, 30.0]), 40.0).shots < 2, "the first crossing counts"
    for bad in ((np.array([0]), np.array([5.0])), (np.array([2, 1]), np.array([1.0, 2.0]))):
        with pytest.raises(ConfigError, match="rising"):
            reach(*bad, 3.0)


def test_k_times_fewer_labels_is_said_in_words(table):
    lines = {m: curve(table, "same domain", m, "random", "macro_f1") for m in ("PRIMUS", "IMU2CLIP", "SimCLR")}
    told, found = fewer_labels(lines["PRIMUS"], lines["IMU2CLIP"], 1)
    assert found.shots == pytest.approx(10) and "10 times as many" in told
    told, _ = fewer_labels(lines["IMU2CLIP"], lines["PRIMUS"], 100)
    assert "with 10: 10 times fewer" in told
    told, found = fewer_labels(lines["PRIMUS"], lines["SimCLR"], 100)
    assert found.how == "never" and "never within the counts that were measured (up to 100)" in told
    told, found = fewer_labels(lines["IMU2CLIP"], lines["PRIMUS"], 10)
    assert found.how == "below" and "the fewest that were measured, or fewer" in told
    assert "as many" in fewer_labels(lines["PRIMUS"], lines["PRIMUS"], 10)[0]
    with pytest.raises(ConfigError, match="no point at 5"):
        fewer_labels(lines["PRIMUS"], lines["IMU2CLIP"], 5)


def test_zero_shot_is_compared_without_a_factor(table):
    one, other = (curve(table, "same domain", m, "text", "macro_f1") for m in ("PRIMUS", "IMU2CLIP"))
    told, found = fewer_labels(one, other, 0)
    assert "with no shots per class" in told and "times" not in told and 1 < found.shots < 10


def test_the_explorer_is_driven_by_the_values_of_its_controls(table):
    panel = widgets.explorer_panel(table)
    assert panel.state == widgets.ExplorerState("same domain", "PRIMUS", "IMU2CLIP", shots=1)
    changes = {
        "test": "other labels", "method": "SimCLR", "against": HANDCRAFTED, "head": "encoder", "metric": "accuracy",
        "shots": 100, "others": True,
    }  # fmt: skip
    start = panel.state
    for control, value in changes.items():
        before = panel.figure.to_json()
        panel.controls[control].value = value
        assert getattr(panel.state, control) == value and panel.figure.to_json() != before, control
        panel.set(start)
    for state in panel.presets.values():
        panel.set(state)
        assert asdict(panel.state) == json.loads(panel.to_json())


def test_the_explorer_always_shows_handcrafted_features_and_every_interval(table):
    panel = widgets.explorer_panel(table)
    for head in ("random", "text", "encoder"):
        figure = panel.set(widgets.ExplorerState("same domain", "PRIMUS", "IMU2CLIP", head, shots=1))
        names = {t.name for t in figure.data if t.name}
        assert HANDCRAFTED in names
        areas = [t for t in figure.data if t.fill == "toself"]
        assert len(areas) == len(names - {"the same value"})


def test_the_crosshair_ends_where_the_other_curve_has_the_value(table):
    panel = widgets.explorer_panel(table)
    figure = panel.set(widgets.ExplorerState("same domain", "PRIMUS", "IMU2CLIP", shots=1))
    (cross,) = [t for t in figure.data if t.name == "the same value"]
    assert tuple(cross.y) == (40.0, 40.0) and tuple(cross.x) == (1, pytest.approx(10))
    figure = panel.set(widgets.ExplorerState("same domain", "PRIMUS", "SimCLR", shots=100))
    (cross,) = [t for t in figure.data if t.name == "the same value"]
    assert "never within" in figure.layout.title.text and tuple(cross.x) == (100, 100)


def test_what_was_not_measured_is_said_not_drawn(table):
    panel = widgets.explorer_panel(table)
    figure = panel.set(widgets.ExplorerState("same domain", "SimCLR", "PRIMUS", "text", shots=1))
    assert "SimCLR: not measured with the text head" in figure.layout.title.text
    figure = panel.set(widgets.ExplorerState("same domain", "PRIMUS", "IMU2CLIP", "random", shots=0))
    assert "wasn't measured at 0" in figure.layout.title.text
    assert all(t.name != "the same value" for t in figure.data)
    with pytest.raises(ConfigError, match="no curves"):
        widgets.explorer_panel(table[:0])


def test_zero_shot_stands_left_of_the_fewest_labels(table):
    figure = plots.fewshot_figure(panels(table, ["PRIMUS"], head="text"))
    ticks = dict(zip(figure.layout.xaxis.ticktext, figure.layout.xaxis.tickvals, strict=True))
    assert ticks["0"] < ticks["1"] == 1.0
    assert any(t.mode == "markers" and t.x[0] == ticks["0"] for t in figure.data)


def test_a_method_has_one_look_everywhere():
    methods = [*FIG4, *FIG5, UNTRAINED, HANDCRAFTED]
    looks = {m: tuple(look(m).values()) for m in methods}
    assert len(set(looks.values())) == len(set(methods))
    assert look("PRIMUS, our encoder")["colour"] == look("PRIMUS")["colour"]
    assert look("PRIMUS, our encoder")["dash"] != look("PRIMUS")["dash"]
    mixed = look("PRIMUS, with unlabelled 1A, our encoder")
    assert mixed["symbol"] not in {look(m)["symbol"] for m in ("PRIMUS", "PRIMUS, our encoder")}
    assert base("PRIMUS, 10 % aligned, our encoder") == "PRIMUS" and base("NN, IMU alone") == "NN, IMU alone"
    assert aligned_share("IMU2CLIP, 25 % aligned") == 0.25 and aligned_share("IMU2CLIP") == 1.0


def test_the_ledgers_rows_become_the_same_table(tmp_path, table):
    rows = []
    for (test, method, head), part in table.groupby(["test", "method", "variant"], sort=False):
        mean = {f"{m}@{n}, %": float(v) for m, n, v in zip(part.metric, part.shots, part["mean"], strict=True)}
        config = {"test": test, "method": method, "head": head}
        rows.append(
            LedgerRow(
                id=f"{test} | {method} | {head}", question="?", command="c", config=config, commit="0", data_hash="0",
                seeds=(0,), mean=mean, spread=dict.fromkeys(mean, 3.0), minutes=1.0, device="CPU",
            )
        )  # fmt: skip
    ledger.append_rows("primus_fig4_bench", rows, results_dir=tmp_path)
    ledger.append_rows("primus_fig5_bench", rows[:1], results_dir=tmp_path)
    found = recorded(results_dir=tmp_path)
    order = list(COLUMNS[:5])
    pd.testing.assert_frame_equal(
        found.sort_values(order, ignore_index=True), table.sort_values(order, ignore_index=True), check_dtype=False
    )
    empty = recorded("none", results_dir=tmp_path)
    assert (
        not len(empty) and "not recorded yet" in plots.fewshot_figure(panels(empty, FIG4), title="F").layout.title.text
    )


def test_scores_become_points_with_their_intervals():
    scores = Scores("t", ("a", "b"), ("p", "q"))
    truth, participant = np.array([0, 0, 1, 1]), np.array(["p", "q", "p", "q"])
    scores.add("PRIMUS", "random", 1, 0, truth, truth, participant)
    found = from_scores({"same domain": scores, "other labels": Scores("u", ("a",), ("p",))})
    assert list(found.columns) == list(COLUMNS) and set(found.metric) == {"accuracy", "macro_f1"}
    assert (found["mean"] == 100).all() and (found.low == 100).all() and set(found.test) == {"same domain"}


def _triplets(n: int = 40, d: int = 8) -> Triplets:
    rng = np.random.default_rng(0)
    imu = rng.normal(size=(n, 6, 250)).astype(np.float32)
    video, text = (rng.normal(size=(n, d)).astype(np.float32) for _ in range(2))
    unit = lambda v: v / np.linalg.norm(v, axis=1, keepdims=True)  # noqa: E731
    yes, take = np.ones(n, bool), np.repeat(["a", "b"], n // 2)
    return Triplets(imu, unit(video), unit(text), yes, yes, take, 5.0 * np.arange(n), np.full(n, "running"))


@pytest.fixture(scope="module")
def batch() -> SwitchBatch:
    model = Primus(PrimusConfig(encoder_options={"embed_dim": 16}, queue=64), feature_dim=8).eval()
    return switch_batch(model, _triplets(), size=12, batches=2)


def test_the_batch_has_as_many_twins_as_the_papers_data(batch):
    twins = batch.equal & ~np.eye(12, dtype=bool)
    assert twins.any(1).sum() == 2 * round(0.21 * 12)
    for i, j in np.argwhere(batch.equal):
        np.testing.assert_array_equal(batch.imu[i], batch.imu[j])


@pytest.mark.parametrize("switch", list(pages.CHOICES))
def test_each_switch_changes_the_figure(batch, switch):
    panel = widgets.switch_panel(batch)
    if switch == "queue":
        panel.controls["batches"].value = 0
    before = panel.figure.to_json()
    panel.controls[switch].value = getattr(pages.AS_RELEASED, switch)
    assert panel.figure.to_json() != before
    panel.set(panel.presets["paper"])
    assert panel.state == widgets.SwitchState()


def test_what_each_switch_says(batch):
    paper, released = widgets.SwitchState(), pages.AS_RELEASED
    assert pages.switch_loss(batch, paper) < pages.switch_loss(batch, widgets.SwitchState(equal="negatives")), (
        "twins cost"
    )
    assert pages.switch_neighbours(batch, paper) is None, "nothing was written"
    _, empty = pages.switch_neighbours(batch, released)
    assert empty.all(), "at the first step all neighbours are empty rows"
    _, empty = pages.switch_neighbours(batch, widgets.SwitchState(batches=2))
    assert not empty.any()
    assert "2 negatives" not in pages.switch_figure(batch, paper).layout.title.text
    assert "6 negatives hold the window itself" in pages.switch_figure(batch, released).layout.title.text
    one, _ = pages.switch_figure(batch, released).data[6], None
    np.testing.assert_allclose(one.y, batch.imu[0][0], rtol=1e-6)  # one view: the window as it is


def test_collapse_is_seen_in_the_singular_values():
    rng = np.random.default_rng(0)
    free, line = rng.normal(size=(200, 16)), np.outer(rng.normal(size=200), np.ones(16)) + 50
    assert effective_rank(spread_of(free)[0]) > 12 and abs(spread_of(free)[1]) < 0.05
    assert effective_rank(spread_of(line)[0]) < 2 and spread_of(line)[1] > 0.99
    assert "mean cosine" in plots.singular_figure({"PRIMUS": free, "NN, IMU alone": line}).data[0].name


def test_the_checks_of_the_exercises_know_right_from_wrong():
    assert widgets.check_nearest(nearest).startswith("right")
    assert widgets.check_nearest(lambda k, q, v: (k @ q.T).argmax(1)).startswith("not yet")
    assert widgets.check_nearest(lambda k, q, v: nearest(k, q)).startswith("not yet: an empty row")
    assert widgets.check_nearest(lambda k, q, v: (k @ q.T).masked_fill(~v, -1e9).argmax(1)).startswith("not yet: long")
    assert widgets.check_fewer(lambda s, v, w: reach(s, v, w).shots).startswith("right")
    assert widgets.check_fewer(lambda s, v, w: np.interp(w, v, s)).startswith("not yet: 30 %")
    assert "guess" in widgets.check_fewer(lambda s, v, w: np.exp(np.interp(w, v, np.log(s))))


def test_a_queue_longer_than_the_data_finds_the_window_itself():
    triplets = _triplets(40)
    short, long = (self_retrieval_rate(triplets, size, batch=8, steps=40)[0] for size in (4, 400))
    assert short < 0.3 and long > 0.7
    assert self_retrieval_rate(triplets, 400, batch=8, steps=40)[1] >= long


def test_meaning_is_asked_of_other_takes():
    triplets = replace(
        _triplets(40), take=np.repeat(["a", "b", "c", "d"], 10), task=np.repeat(["x", "y", "x", "y"], 10)
    )
    by_task = np.eye(2)[(triplets.task == "y").astype(int)]
    by_take = (
        np.eye(4)[np.unique(triplets.take, return_inverse=True)[1]]
        + 0.1 * np.roll(np.eye(4), 1, 1)[np.unique(triplets.take, return_inverse=True)[1]]
    )
    assert knn_accuracy(by_task, triplets) == 1.0
    assert knn_accuracy(by_take, triplets) < 1.0


def test_a_course_folder_says_what_it_lacks(tmp_path):
    said = []
    run = course_run(tmp_path, "smoke", real="", say=said.append)
    assert run.kitchens is None and run.real is None and len(said) == 2 and "kitchens" in said[0]
    said.clear()
    course_run(tmp_path, "smoke", say=said.append)
    assert len(said) == 1, "nobody asked for real recordings"


def test_verdicts_of_both_encoders_stand_side_by_side():
    rows = [
        {"claim": c, "encoder": e, "test": "same domain", "what": "A better than B", "verdict": "holds", "shots": "all",
         "points": "+1.0 [+0.5, +1.5]"}
        for c, e in (("a", "ours"), ("a", "paper"), ("d", "paper"))
    ]  # fmt: skip
    found = beside_each_other(pd.DataFrame(rows))
    assert list(found.columns) == ["encoder: ours", "encoder: paper"] and len(found) == 2
    assert found.iloc[1].tolist() == ["–", "holds, +1.0 [+0.5, +1.5]"]
    counts = [rows[0] | {"claim": "goal", "shots": n} for n in ("1", "2", "10")]
    assert [at[-1] for at in beside_each_other(pd.DataFrame(counts)).index] == ["1", "2", "10"]
    assert len(beside_each_other(pd.DataFrame(rows), "d")) == 1 and not len(beside_each_other(pd.DataFrame()))


def test_the_timeline_shows_what_was_taught_and_what_is_said():
    found = pd.DataFrame({"start_s": [0.0, 5.0], "end_s": [5.0, 10.0], "label": ["a", "b"], "probability": [0.9, 0.6]})
    figure = plots.timeline_figure(found, {"a": [(0, 4)], "b": [(6, 9)]})
    assert list(figure.data[-1].x) == [2.5, 7.5] and len(figure.data) == 3


def test_the_tuning_table_shows_gains_beside_scores(tmp_path):
    assert not len(tuning_table(results_dir=tmp_path))
    gain = "against random weights@5, points of macro_f1"
    row = {
        "question": "?", "command": "c", "config": {}, "commit": "c", "data_hash": "d", "seeds": (0,), "minutes": 0.1,
        "device": "CPU",
    }  # fmt: skip
    rows = [
        LedgerRow(id="handcrafted", mean={"macro_f1@5, %": 40.0}, spread={"macro_f1@5, %": 1.0}, **row),
        LedgerRow(
            id="mounted", mean={"macro_f1@5, %": 46.04, gain: -1.26}, spread={"macro_f1@5, %": 2.0, gain: 0.5}, **row
        ),
    ]
    append_rows("primus_tuning", rows, results_dir=tmp_path)
    table = tuning_table(results_dir=tmp_path)
    assert table.loc["handcrafted", "5 a class"] == "40.0"
    assert table.loc["mounted", "5 a class"] == "46.0 (-1.3 ± 0.5)"


def test_the_placement_table_shows_what_is_lost(tmp_path):
    assert not len(placement_table(results_dir=tmp_path))
    lost, row = "against left temple, points of macro_f1", {"question": "?", "command": "c", "commit": "c"}
    row |= {"data_hash": "d", "seeds": (0,), "minutes": 0.1, "device": "CPU"}
    at = {"method": "handcrafted", "trained at": "left temple"}
    rows = [
        LedgerRow(
            id="handcrafted | left temple", config=at | {"place": "left temple"}, mean={"macro_f1@20, %": 80.0},
            spread={"macro_f1@20, %": 1.0}, **row,
        ),
        LedgerRow(
            id="handcrafted | ear", config=at | {"place": "ear"}, mean={"macro_f1@20, %": 79.04, lost: -0.96},
            spread={"macro_f1@20, %": 1.0, lost: 0.52}, **row,
        ),
    ]  # fmt: skip
    append_rows("primus_placement_bench", rows, results_dir=tmp_path)
    table = placement_table(results_dir=tmp_path)
    assert table.loc["handcrafted"].to_dict() == {"left temple": "80.0", "ear": "79.0 (-1.0 ± 0.5)"}
