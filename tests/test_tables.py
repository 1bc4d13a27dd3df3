"""EAIL's recorded tables end to end at the smallest size, two seeds: what stands in them and agrees with what."""

import numpy as np
import pytest
import torch

from eailkit.eail.readings import RULE
from eailkit.experiments.choices import CHOSEN, VALIDATION, VARIANTS, in_fewer_rooms, record_choices, told
from eailkit.experiments.eail_run import Run
from eailkit.experiments.methods import FULL, LIVE, TRACKED
from eailkit.experiments.stability import CHANGES, changed_clouds, record_stability
from eailkit.experiments.tables import record_localization, retrieval
from eailkit.results.ledger import read
from eailkit.results.names import id_parts, row_id

SPLITS = ("test-seen", "test-unseen")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, smoke_kitchens):
    """A run of two seeds with all its tables, and the ledger's folder."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("tables")
    record_localization(smoke_kitchens(folder / "run"), "smoke", (0, 1), results_dir=folder / "results")
    record_stability(folder / "run", "smoke", (0,), results_dir=folder / "results")
    return Run(folder / "run", "smoke", progress=False), folder / "results"


@pytest.mark.whole
def test_trained_lines_hold_both_seeds_and_untrained_ones_one(recorded):
    rows = {row["id"]: row for row in read("localization_smoke", results_dir=recorded[1])}
    for split in SPLITS:
        for line in (FULL, TRACKED, LIVE, "dead reckoning"):
            row = rows[row_id(split, line)]
            assert row["config"]["trainings"] == 2 and row["seeds"] == [0, 1]
            takes = len(recorded[0].prepared.by_split(split))
            assert row["config"]["takes"] == takes, "takes aren't multiplied by seeds"
        assert rows[row_id(split, "chance")]["config"]["trainings"] == 1


@pytest.mark.whole
def test_the_rule_s_lines_stand_against_each_of_ours(recorded):
    rows = {row["id"]: row for row in read("criteria_smoke", results_dir=recorded[1])}
    values = {row["id"]: row["mean"] for row in read("localization_smoke", results_dir=recorded[1])}
    for split in SPLITS:
        for line in (FULL, TRACKED, LIVE):
            for other in RULE:
                margin = rows[row_id(split, f"{line} against {other}")]["mean"]["margin (points)"]
                apart = values[row_id(split, line)]["SR@0.4m"] - values[row_id(split, other)]["SR@0.4m"]
                assert margin == pytest.approx(apart, abs=0.02)


@pytest.mark.whole
def test_what_a_mean_hides_is_recorded_for_each_split(recorded):
    rows = {row["id"]: row["mean"] for row in read("over_time_smoke", results_dir=recorded[1])}
    for split in SPLITS:
        assert 0 <= rows[row_id(split, "coverage of the 90 % region")]["seconds inside (%)"] <= 100
        for line in (FULL, TRACKED, LIVE):
            heading = rows[row_id("heading", row_id(split, line))]
            assert 0 <= heading["median error after 1 minutes (deg)"] <= 180, "the takes last a minute"
        shown = [name for name in rows if name.endswith(f"seconds, {TRACKED}") and id_parts(name)[0] == split]
        assert len(shown) >= 2, "walking, acting, idle"


@pytest.mark.whole
def test_retrieval_of_a_stage_1_that_knows_the_cell_is_perfect(recorded):
    run = recorded[0]
    take = run.prepared.by_split("test-unseen")[0]
    room, cell = run.prepared.rooms[take.room], np.asarray(take.cell, int)

    class Told:
        """Features in which a second is its cell."""

        rooms = {take.room: np.eye(400, dtype=np.float32)}
        motion = staticmethod(lambda name, heading: np.eye(400, dtype=np.float32)[np.maximum(cell, 0)])

    full = type("Filled", (), {"empty": np.zeros(400, bool), "grid": room.grid})
    prepared = type("One", (), {"rooms": {take.room: full}})
    found = retrieval(prepared, Told, take)
    assert found["top 1 of the room (%)"] == 100 and found["SR@0.4m"] == 100


@pytest.mark.whole
def test_the_same_points_in_another_order_move_nothing_and_others_are_measured(recorded):
    run, results = recorded
    rows = {row["id"]: row["mean"] for row in read("stability_smoke", results_dir=results)}
    for split in SPLITS:
        for line in (FULL, TRACKED):
            assert len([n for n in rows if n.startswith(row_id(split, f"{line}, "))]) >= len(CHANGES)
            still = rows[row_id(split, f"{line}, another order")]
            assert still["seconds that move over 0.2 m (%)"] < 0.5
    room = next(iter(run.prepared.rooms.values()))
    counts = {change: changed_clouds(room, change).count.sum() for change in CHANGES}
    assert counts["another order"] == counts["another sampling seed"]
    assert counts["2 % of points dropped"] == pytest.approx(0.98 * counts["another order"], rel=0.01)
    assert counts["twice the density"] == pytest.approx(2 * counts["another order"], rel=0.02)


@pytest.mark.whole
def test_what_was_tried_is_recorded_beside_what_was_chosen(recorded):
    run, results = recorded
    tried = (VARIANTS[0], next(v for v in VARIANTS if v.changes.get("conv_channels", 0) > 1))
    record_choices(run.dir, "smoke", (0,), results_dir=results, variants=tried)
    rows = {row["id"]: row for row in read("choices_smoke", results_dir=results)}
    chosen, wide = (rows[row_id("stage 2", v.name)] for v in tried)
    _, history = run.train_stage2(run.train_stage1()[0])
    assert chosen["mean"][VALIDATION] == pytest.approx(min(v for _, v in history.validation), abs=1e-3), "found again"
    assert wide["mean"]["parameters"] > 1.5 * chosen["mean"]["parameters"]
    assert any(t.startswith("stage 2: ") and f"tried: {tried[1].name} " in t for t in told(list(rows.values())))


@pytest.mark.whole
def test_fewer_rooms_are_fewer_rooms_of_training_alone(recorded):
    whole = recorded[0].prepared
    half = in_fewer_rooms(whole, 0.5)
    rooms = lambda prepared: {t.room for t in prepared.by_split("train")}  # noqa: E731
    assert len(rooms(half)) == 1 and rooms(half) < rooms(whole) and half.identity != whole.identity
    for split in ("val-seen", "val-unseen", "test-seen", "test-unseen"):
        assert half.by_split(split) == whole.by_split(split)


def test_a_card_says_whether_a_training_had_ended():
    row = lambda name, curve: {  # noqa: E731
        "id": row_id("stage 1", name),
        "mean": {VALIDATION: min(curve.values()), "parameters": 500.0 if name == "wide" else 200.0},
        "config": {"loss after steps": curve, "takes": 4},
    }  # fmt: skip
    other = row("narrow", {"10": 9.0})
    (text,) = told([row(CHOSEN, {"10": 5.0, "20": 4.0}), other])
    assert "4.000 nats on 4 validation takes, still falling at its end, step 20; tried: narrow 9.000" in text
    (text,) = told([row(CHOSEN, {"10": 4.0, "20": 5.0}), other])
    assert "no longer falling" in text
    (text,) = told([row(CHOSEN, {"10": 4.0}), row("wide", {"10": 3.0})])
    assert "wide 3.000 (better with 2.5 times the parameters: the course's time budget chose)" in text
