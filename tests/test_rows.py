"""Rows of EAIL's tables: the catalogue beside the paper, what is kept of a second, the order of work, claims, costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eailkit.eail.evaluation import Table, score_take
from eailkit.eail.sequences import Prediction
from eailkit.errors import CheckpointError, ConfigError
from eailkit.experiments.registry import EXPERIMENTS, TABLES_ABOUT
from eailkit.experiments.rows import curves
from eailkit.experiments.rows.catalog import ABOUT, TABLES, Kind, full_of, rows_of
from eailkit.experiments.rows.claims import CLAIMS, COMPARISONS, FAILS, HOLDS, UNSURE, together, verdict
from eailkit.experiments.rows.costs import Rates, counts_of, seconds_of, validations
from eailkit.experiments.rows.make import Maker, Method, method_of
from eailkit.experiments.rows.record import INTERVAL
from eailkit.experiments.rows.reproduce import Asked, reproduce_tables
from eailkit.experiments.rows.seconds import Seconds, measure, measure_take, scores
from eailkit.experiments.rows.variants import FULL, Variant, stage1_name, stage2_name, without_captions
from eailkit.experiments.rows.work import DATA, Place, Unit, work_of
from eailkit.metrics import METRICS, bootstrap_interval, holm
from eailkit.profiles import get_profile
from eailkit.results import paper
from eailkit.results.ledger import read
from eailkit.training import TrainConfig

ROWS = [row for rows in TABLES.values() for row in rows]


@pytest.mark.parametrize("number", range(1, 6))
def test_every_row_of_the_paper_s_tables_has_one_of_ours(number: int):
    theirs = list(paper.table(number).method.unique())
    ours = [row.paper for row in TABLES[f"table{number}"] if row.paper]
    assert sorted(ours) == sorted(theirs)


def test_rows_have_names_of_their_own():
    assert len({row.id for row in ROWS}) == len(ROWS)
    states = {
        (r.variant.towers, r.variant.action_loss, r.variant.spatial, r.variant.temporal) for r in TABLES["states"]
    }
    assert len(states) == 16
    assert list(TABLES) == list(TABLES_ABOUT) and ABOUT == TABLES_ABOUT, "the command line lists what there is"
    assert set(TABLES) < set(EXPERIMENTS)


def test_variants_differ_in_the_weights_that_they_should():
    variants = {row.variant for row in ROWS if row.kind == Kind.EAIL}
    names = {(stage1_name(v), stage2_name(v)) for v in variants if v.second_stage}
    assert len(names) == len({v for v in variants if v.second_stage})
    assert stage1_name(FULL) == stage1_name(Variant(spatial=False)) == "stage1"
    assert stage1_name(Variant(towers=None)) == "stage1-without-vision-language"
    assert stage1_name(Variant(captions=False)) != stage1_name(FULL) != stage1_name(Variant(towers="clip"))
    assert Variant(towers=None, spatial=False).first_stage == Variant(towers=None).first_stage
    assert all(full_of(row).variant == FULL for row in TABLES["table3"])


def test_a_row_is_found_by_id_or_name_and_an_unknown_one_lists_them():
    assert [r.id for r in rows_of(("table3",), ("table3/without-spatial",))] == ["table3/without-spatial"]
    assert [r.id for r in rows_of(("table3", "states"), ("W/o spatial",))] == ["table3/without-spatial"]
    with pytest.raises(ConfigError, match="found 'nonsense'; expected one of table4/without-point-cloud, .*with-both"):
        rows_of(("table4",), ("nonsense",))


@pytest.fixture(scope="module")
def prepared(tables):
    return tables[0].run().prepared


def _predictions(prepared, take):
    rng, n, c = np.random.default_rng(len(take)), len(take), len(prepared.action_names)
    cells = len(prepared.rooms[take.room].grid.cell_centres)
    maps, action = rng.random((n, cells)).astype(np.float32), rng.random((n, c)).astype(np.float32)
    place = np.asarray(take.position, float) + rng.normal(0, 0.4, (n, 2))
    place[0] = np.nan
    tied = np.tile((rng.random(cells) < 0.1).astype(np.float32), (n, 1))
    return {
        "maps": Prediction(maps, action=action), "cosines": Prediction(2 * maps - 1), "places": Prediction(None, place),
        "both": Prediction(maps, np.nan_to_num(place), action), "ties": Prediction(tied),
        "actions": Prediction(action=np.round(action, 1)), "nothing": Prediction(),
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["maps", "cosines", "places", "both", "ties", "actions", "nothing"])
def test_kept_seconds_give_the_scores_of_a_whole_prediction(prepared, kind: str, tmp_path):
    seconds = measure(prepared, prepared.takes, lambda take: _predictions(prepared, take)[kind])
    seconds.save(tmp_path / "s.npz")
    found = scores(prepared, Seconds.load(tmp_path / "s.npz"), kind).set_index("take")
    for take in prepared.takes:
        wanted = score_take(prepared, take, _predictions(prepared, take)[kind])
        got = found.loc[take.name]
        assert [got[m] for m in METRICS] == pytest.approx([wanted[m] for m in METRICS], abs=1e-4, nan_ok=True)
        assert (got.micro_n, got.outside) == (wanted["micro_n"], wanted["outside"])


def test_places_are_those_that_a_table_s_curve_is_drawn_of(prepared):
    from eailkit.eail.evaluation import position_error_m
    from eailkit.experiments.rows.seconds import errors_m

    said = {t.name: _predictions(prepared, t)["both"] for t in prepared.takes}
    seconds = measure(prepared, prepared.takes, lambda take: said[take.name])
    for take in prepared.takes:
        wanted = position_error_m(prepared, take, said[take.name])
        assert errors_m(prepared, seconds)[take.name] == pytest.approx(wanted, abs=1e-5, nan_ok=True)


def test_a_map_s_disc_is_the_place_with_most_mass_around_it(prepared):
    take = prepared.takes[0]
    grid = prepared.rooms[take.room].grid
    centres = grid.cell_centres
    lone, hill = 0, int(np.argmin(np.linalg.norm(centres - centres.mean(0), axis=1)))
    heat = np.where(np.linalg.norm(centres - centres[hill], axis=1) < 0.4, 0.5, 0.0)
    heat[lone] = 0.9
    found = measure_take(prepared, take, Prediction(np.tile(heat.astype(np.float32), (len(take), 1))))
    assert found["place_m"][0] == pytest.approx(centres[lone], abs=1e-5)
    assert np.linalg.norm(found["disc_m"][0] - centres[hill]) < 0.4


def test_without_captions_nothing_of_the_text_is_left():
    from eailkit.eail.targets import VisionLanguageTargets
    from eailkit.provenance import identity

    image = {"a": np.ones((3, 4), np.float32)}
    made = VisionLanguageTargets(
        image, np.ones((2, 4)), {"a": np.array([0, -1, 1])}, {"a": np.ones(3, bool)}, identity("t")
    )
    bare = without_captions(made)
    assert (bare.caption_id["a"] == -1).all() and (bare.image["a"] == 1).all() and bare.has_image["a"].all()
    assert bare.identity.key != made.identity.key


def test_what_waits_for_what(tmp_path):
    work = work_of(ROWS[:9], (0, 1), Place(str(tmp_path), "smoke"))
    order = list(work)
    assert order[0] == DATA
    for unit, before in work.items():
        assert all(b in work for b in before), "nobody waits for what nobody makes"
        assert unit not in before
    done: set[Unit] = set()
    while len(done) < len(work):  # no circle
        free = [u for u in work if u not in done and set(work[u]) <= done]
        assert free
        done |= set(free)
    tracker = next(u for u in work if u.method == Method(Kind.TRACKER) and u.seed == 1)
    assert {b.what for b in work[tracker]} == {"data", "stage 1", "velocity", "answers"}
    assert all(b.seed == 1 for b in work[tracker] if b.what != "data")


def test_rows_that_say_the_same_are_one_piece_of_work(tmp_path):
    place = Place(str(tmp_path), "smoke")
    same = [r for r in ROWS if r.kind == Kind.EAIL and r.variant == FULL]
    assert len(same) >= 7
    units = [u for u in work_of(same, (0,), place) if u.what == "answers"]
    smoke = get_profile("smoke")
    assert {u.method for u in units} == {method_of(r, smoke) for r in same} and len(units) == 2  # two schedules
    assert all(set(u.protocols) == {"inferred", "published"} for u in units)


def test_comparisons_are_the_paper_s_own():
    assert {c.claim for c in COMPARISONS} == set(CLAIMS)
    for item in COMPARISONS:
        names = {row.name for row in TABLES[item.table]}
        assert {item.better, item.worse} <= names
        for split in item.splits:
            assert item.paper_points(split) > 0, f"the paper's numbers say {item} on {split}"


def test_verdicts():
    assert (verdict(3.0, 0.01), verdict(-3.0, 0.01), verdict(3.0, 0.2)) == (HOLDS, FAILS, UNSURE)
    assert verdict(3.0, float("nan")) == UNSURE
    assert together([HOLDS, HOLDS]) == HOLDS and together([HOLDS, FAILS, UNSURE]) == FAILS
    assert together([HOLDS, UNSURE]) == UNSURE == together([])


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == [] and holm([0.6, 0.7]) == [1.0, 1.0]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_helps_and_keeps_the_order(p):
    adjusted = holm(p)
    assert all(0 <= a <= 1 and a >= one - 1e-12 for a, one in zip(adjusted, p, strict=True))
    order = np.argsort(p, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= -1e-12).all()


def test_a_p_value_agrees_with_its_interval():
    rng = np.random.default_rng(0)
    rooms, people = [k % 12 for k in range(60)], [k % 9 for k in range(60)]
    for shift in (-1.5, -0.6, 0.0, 0.3, 0.6, 1.5):
        found = bootstrap_interval(rng.normal(shift, 1, 60), rooms, people)
        assert (found.p < 0.05) == found.excludes_zero or abs(found.p - 0.05) < 0.01
    assert bootstrap_interval(np.zeros(60), rooms, people).p == 1.0


def _errors(slope: float, base: float = 1.0, takes: int = 12, seconds: int = 600) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    frames = [
        pd.DataFrame({
            "take": f"t{k}", "room": f"r{k % 4}", "participant": f"p{k % 5}", "seed": 0, "second": np.arange(seconds),
            "error_m": base + slope * np.arange(seconds) / 60 + rng.normal(0, 0.05, seconds),
        })
        for k in range(takes)
    ]  # fmt: skip
    return pd.concat(frames, ignore_index=True)


def test_flat_is_told_from_growing():
    assert curves.flat(_errors(0.0)).verdict == HOLDS
    growing = curves.flat(_errors(0.4))
    assert growing.verdict == FAILS and growing.found.mean == pytest.approx(0.4, abs=0.01)


def test_when_one_error_passes_the_other():
    direct = _errors(0.0)
    soon = curves.crossing(_errors(2.4, base=0.0), direct)  # 1 m after 25 s
    assert soon.verdict == HOLDS and soon.found.mean == pytest.approx(25, abs=4)
    assert curves.crossing(_errors(0.4, base=0.0), direct).verdict == FAILS  # 150 s


def test_a_curve_is_of_takes_that_last():
    both = pd.concat([_errors(0.0, takes=3, seconds=120), _errors(0.0, base=3.0, takes=8, seconds=60).assign(
        take=lambda f: "x" + f["take"])])  # fmt: skip
    found = curves.curve(both)
    assert found.minute.tolist() == [0.25, 0.75], "a bin that not half of the takes reach is left out"
    assert found.takes.tolist() == [11, 11]
    assert found.error_m[0] == pytest.approx((3 * 1 + 8 * 3) / 11, abs=0.02), "each take counts once"


def test_counts_are_those_of_the_dataset_that_is_made(tables):
    run = tables[0].run()
    counts = counts_of(get_profile("smoke"))
    for split in ("train", "test-seen", "test-unseen"):
        takes = run.prepared.by_split(split)
        assert counts.takes[split] == len(takes)
        assert counts.seconds[split] == pytest.approx(sum(map(len, takes)), rel=0.05)
    assert counts.rooms == len(run.prepared.rooms)


def test_costs_grow_with_what_they_are_of():
    smoke, counts = get_profile("smoke"), counts_of(get_profile("smoke"))
    rates = Rates(smoke)
    unit = Unit("answers", 0, Method(Kind.EAIL), ("inferred",))
    train = replace(smoke.stage2, validate_every=0)
    short, longer = (replace(smoke, stage2=replace(train, steps=steps)) for steps in (6, 600))
    one, many = (seconds_of(unit, p, counts, rates) for p in (short, longer))
    assert many - one == pytest.approx(594 * rates("stage2_step", True, True, 10), rel=1e-6)
    assert seconds_of(replace(unit, protocols=("inferred", "published")), short, counts, rates) > one
    assert validations(TrainConfig(steps=1200, validate_every=200, min_steps=600)) == 4
    assert validations(TrainConfig(steps=100)) == 0


@pytest.fixture(scope="module")
def tables(tmp_path_factory, smoke_kitchens):
    """Two rows of Table 3 and one of Table 5 at the smallest size, on two processes: place, ledger, what was said."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("reproduce")
    place, said = Place(str(smoke_kitchens(folder / "run")), "smoke"), []
    asked = Asked(("table3", "table5"), place, ("table3/full", "table3/without-spatial", "5 s"), (0,), jobs=2)
    reproduce_tables(asked, results_dir=folder / "results", command="test", say=said.append)
    return place, folder / "results", said, asked


@pytest.mark.parametrize(("role", "row"), [("slip", "full"), ("clip", "CLIP")])
def test_towers_that_cannot_be_read_are_refused_before_anything_is_made(tmp_path, role, row):
    cut = tmp_path / "cut.pt"
    cut.write_bytes(b"PK" + bytes(3000))
    place = Place(str(tmp_path / "run"), "smoke", towers=((role, str(cut)),))
    asked = Asked(("table3", "table5"), place, (row,), (0,))
    with pytest.raises(CheckpointError, match=r"cut\.pt"):
        reproduce_tables(asked, results_dir=tmp_path / "results", command="test")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cut.pt"]


def test_rows_land_with_their_training(tables):
    _, results, said, _ = tables
    rows = {row["id"]: row for row in read("table3_smoke", results_dir=results)}
    assert set(rows) == {
        f"{split} | {name} | {protocol}" for split in ("test-seen", "test-unseen") for name in ("full", "w/o spatial")
        for protocol in ("inferred", "published")
    }  # fmt: skip
    row = rows["test-unseen | w/o spatial | published"]
    assert row["config"]["uses ground truth"] == "uses ground truth" and row["config"]["paper"] == "w/o spatial"
    assert rows["test-unseen | w/o spatial | inferred"]["config"]["uses ground truth"] == "no"
    trained = row["config"]["trained"]["0"]
    assert trained["steps"] == {"stage 1": 6, "stage 2": 4} and trained["parameters"]["stage 2"] > 1000
    low, high = row["config"][INTERVAL]["SR@0.4m"]
    assert low <= row["mean"]["SR@0.4m"] <= high
    assert [row["config"]["row"] for row in read("table5_smoke", results_dir=results)] == ["table5/5-s"] * 4
    assert sum("recorded" in line for line in said) == 3


def test_what_is_there_is_found_again(tables):
    place, results, _, asked = tables
    before, said = read("table3_smoke", results_dir=results), []
    reproduce_tables(asked, results_dir=results, command="test", say=said.append)
    assert said[0].endswith("0 of 5 things to make"), said
    again = read("table3_smoke", results_dir=results)
    assert [r["mean"] for r in again] == [r["mean"] for r in before]


def test_a_row_is_what_its_trained_parts_say(tables):
    place, results, _, _ = tables
    from eailkit.eail.inference import predict_take

    maker = Maker(place.run(), {})
    variant = Variant(spatial=False)
    stage1 = maker.variants.train_stage1(variant)
    features = maker.variants.features(stage1)
    stage2 = maker.variants.train_stage2(variant, features, maker.run.profile.ablation)
    assert not stage2.spatial, "trained without the module"
    table = Table(maker.run.prepared)
    table.add("w/o spatial", lambda t: predict_take(
        stage2, maker.run.prepared, features, t, profile=maker.run.profile, protocol="published"))  # fmt: skip
    rows = {row["id"]: row for row in read("table3_smoke", results_dir=results)}
    for split in table.splits:
        recorded = rows[f"{split} | w/o spatial | published"]
        assert recorded["mean"]["SR@0.4m"] == pytest.approx(
            table.interval("w/o spatial", split, "SR@0.4m").mean, abs=0.01
        )


def test_a_plan_says_what_is_there(tables, capsys):
    from eailkit.experiments.rows.plan import plan, told

    place, _, _, asked = tables
    frame = plan(asked, Rates(get_profile("smoke")))
    assert frame.there.all() and frame.left.sum() == 0
    more = replace(asked, tables=("table4",), rows=("table4/without-point-cloud",))
    frame = plan(more)
    assert dict(zip(frame.what, frame.there, strict=True)) == {
        "data": True, "stage 1: without second stage, seed 0": True,
        "answers: EAIL-without-use-points-short, seed 0": False,
    }  # fmt: skip
    text = told(more, frame)
    assert "2 of 3 are there" in text and "GB" in text
