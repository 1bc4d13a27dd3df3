"""The metric lens against scores that were counted by hand, and what notebook 06 says of EAIL's rivals."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from eailkit import widgets
from eailkit.eail.prepared import Prepared, TakeCache
from eailkit.eail.sequences import Prediction
from eailkit.errors import ConfigError
from eailkit.experiments.rows import curves, rivals
from eailkit.experiments.rows.catalog import TABLES, Kind
from eailkit.experiments.rows.lens import (
    HEADLINE,
    HEADLINE_WORDS,
    Definition,
    close,
    definitions,
    errors_under_each,
    lens_reading,
    one_change,
    root_mean_square_m,
    score,
    second_scores,
    tied_share,
    under_each,
)
from eailkit.experiments.rows.make import Made, Maker
from eailkit.experiments.rows.nets import NETS
from eailkit.experiments.rows.record import INTERVAL
from eailkit.experiments.rows.seconds import FIELDS, Seconds, measure, scores
from eailkit.experiments.rows.work import Place
from eailkit.metrics import THRESHOLDS_M
from eailkit.profiles import get_profile
from eailkit.results.ledger import LedgerRow, append_rows

SPLIT = "test-seen"


def _prepared(folder, truth: dict[str, np.ndarray]) -> Prepared:
    """Takes of one room and split whose seconds are all labelled, but those at NaN."""
    takes = []
    for k, (name, position) in enumerate(truth.items()):
        cell = np.where(np.isfinite(position).all(1), 0, -1).astype(np.int16)
        np.savez(folder / f"{name}.npz", position=position.astype(np.float32), cell=cell, action=np.full(len(cell), -1))
        takes.append(TakeCache(folder / f"{name}.npz", name, f"r{k}", f"p{k}", SPLIT, len(position), 0.0))
    return Prepared(folder, takes, {}, ("a",), "by hand")


def _seconds(place: dict[str, list], **fields) -> Seconds:
    """Answered places by take; success as of places, unless it is given."""
    joined = {name: np.concatenate([np.asarray(f[n], float) for n in place]) for name, f in fields.items()}
    at = np.concatenate([np.asarray(p, float).reshape(-1, 2) for p in place.values()])
    far = np.linalg.norm(np.where(np.isnan(at), np.inf, at), axis=1)  # from the origin, where everybody stands
    found = {n: np.full((len(at), *shape), np.nan) for n, shape in FIELDS.items()}
    found |= {"place_m": at, "success": 100.0 * (far[:, None] < np.array(THRESHOLDS_M))} | joined
    return Seconds(tuple(place), tuple(len(p) for p in place.values()), **found)


@pytest.fixture
def by_hand(tmp_path):
    """Four seconds: 0.1 m off, 0.3 m off along both axes, no answer, 0.5 m off. Then a take of one right second.

    An unlabelled second on which anything is said ends the first take.
    """
    origin = np.zeros((5, 2))
    origin[4] = np.nan
    prepared = _prepared(tmp_path, {"long": origin, "short": np.zeros((1, 2))})
    place = {"long": [[0.1, 0], [0.3, 0.3], [np.nan] * 2, [0.5, 0], [0, 0]], "short": [[0, 0]]}
    return prepared, _seconds(place)


@pytest.mark.parametrize(
    ("changes", "percent"),
    [
        ({}, (25 + 100) / 2),  # of the first take the first second alone: 0.42 m is too far
        ({"average": "seconds"}, 100 * 2 / 5),
        ({"distance": "per coordinate"}, (50 + 100) / 2),
        ({"distance": "per coordinate", "average": "seconds"}, 100 * 3 / 5),
        ({"answer": "disc"}, (25 + 100) / 2),  # no map: one answer
        ({"strict": False}, (25 + 100) / 2),
        ({"ties": "first"}, (25 + 100) / 2),
    ],
)
def test_by_hand(by_hand, changes: dict, percent: float):
    assert score(*by_hand, SPLIT, Definition(**changes)) == pytest.approx(percent)


def test_other_thresholds_by_hand(by_hand):
    assert score(*by_hand, SPLIT, HEADLINE, 0.2) == pytest.approx((25 + 100) / 2)
    assert score(*by_hand, SPLIT, HEADLINE, 0.6) == pytest.approx((75 + 100) / 2)
    with pytest.raises(ConfigError, match="threshold_m: found 0.5; expected one of 0.2, 0.4, 0.6"):
        score(*by_hand, SPLIT, HEADLINE, 0.5)
    assert np.isnan(score(*by_hand, "test-unseen"))


def test_strictness_is_of_the_distance_itself():
    at, zero = np.array([[0.4, 0.0], [0.0, -0.4], [0.4, 0.4], [0.3999, 0.0], [np.nan, 0.0]]), np.zeros((5, 2))
    assert close(at, zero, HEADLINE, 0.4).tolist() == [0, 0, 0, 100, 0]
    assert close(at, zero, Definition(strict=False), 0.4).tolist() == [100, 100, 0, 100, 0]
    assert close(at, zero, Definition(strict=False, distance="per coordinate"), 0.4).tolist() == [100, 100, 100, 100, 0]
    assert close(at, zero, Definition(distance="per coordinate"), 0.4).tolist() == [0, 0, 0, 100, 0]


def test_ties_by_hand(tmp_path):
    prepared = _prepared(tmp_path, {"a": np.zeros((2, 2))})
    halves = np.array([[50.0] * 3, [100.0] * 3])  # two cells tie in the first second: one at the place, one 9 m away
    seconds = _seconds({"a": [[9, 0], [0, 0]]}, success={"a": halves}, disc_m={"a": [[0, 0], [0.3, 0.3]]})
    assert score(prepared, seconds, SPLIT) == 75
    assert score(prepared, seconds, SPLIT, Definition(ties="first")) == 50
    assert score(prepared, seconds, SPLIT, Definition(distance="per coordinate")) == 75, "ties bring what they bring"
    assert score(prepared, seconds, SPLIT, Definition(answer="disc")) == 50
    assert score(prepared, seconds, SPLIT, Definition(answer="disc", distance="per coordinate")) == 100
    assert tied_share(prepared, seconds, SPLIT) == 50


def test_root_mean_squares_by_hand(tmp_path):
    prepared = _prepared(tmp_path, {"a": np.zeros((3, 2)), "b": np.zeros((1, 2))})
    seconds = _seconds({"a": [[3, 4], [0, 0], [np.nan] * 2], "b": [[0, 1]]})
    assert root_mean_square_m(prepared, seconds, SPLIT) == pytest.approx((np.sqrt(25 / 2) + 1) / 2)
    assert root_mean_square_m(prepared, seconds, SPLIT, "seconds") == pytest.approx(np.sqrt(26 / 3))
    found = errors_under_each(prepared, {"m": seconds}, SPLIT)["m"]
    assert len(found) == 4
    assert (found[[n for n in found.index if "RoNIN" in n]].to_numpy() * np.sqrt(2)) == pytest.approx(
        found[[n for n in found.index if "RoNIN" not in n]].to_numpy()
    )


def test_definitions_have_names_of_their_own_and_the_tables_comes_first():
    every = list(definitions())
    assert every[0] == HEADLINE and len(set(every)) == len({d.name for d in every}) == 24
    assert list(one_change())[0] == HEADLINE_WORDS and len(one_change()) == 6
    with pytest.raises(ConfigError, match="found average 'macro'; expected 'takes' or 'seconds'"):
        Definition(average="macro")


@pytest.fixture(scope="module")
def maker(tmp_path_factory):
    return Maker(Place(str(tmp_path_factory.mktemp("rivals")), "smoke").run())


@pytest.fixture(scope="module")
def prepared(maker):
    return maker.run.prepared


@pytest.fixture(scope="module")
def answers(prepared):
    """Maps around the truth, some of whose best cells tie, and a path."""
    tests = [t for t in prepared.takes if t.split.startswith("test")]

    def maps(take) -> Prediction:
        rng, centres = np.random.default_rng(len(take)), prepared.rooms[take.room].grid.cell_centres
        near = np.asarray(take.position, float) + rng.normal(0, 0.3, (len(take), 2))
        return Prediction(np.round(np.exp(-np.linalg.norm(centres[None] - near[:, None], axis=2) * 4), 1))

    def path(take) -> Prediction:
        off = np.random.default_rng(1).normal(0, 0.4, (len(take), 2))
        return Prediction(position_m=np.asarray(take.position, float) + off)

    return {"maps": measure(prepared, tests, maps), "path": measure(prepared, tests, path)}


@pytest.mark.parametrize("split", ["test-seen", "test-unseen"])
def test_the_tables_definition_is_the_tables_number(prepared, answers, split):
    table = rivals.scored(prepared, answers)
    frame = table.means().set_index(["split", "method"])
    for (name, seconds), d in itertools.product(answers.items(), THRESHOLDS_M):
        found = score(prepared, seconds, split, HEADLINE, d)
        each = scores(prepared, seconds, name)
        assert found == each[each.split == split][f"SR@{d}m"].mean(), "to the last digit"
        assert found == pytest.approx(frame.loc[(split, name), f"SR@{d}m"], abs=1e-9)
        assert round(found, 3) == round(table.interval(name, split, f"SR@{d}m").mean, 3), "as the ledger writes it"
        assert score(prepared, seconds, split, Definition(average="seconds"), d) == pytest.approx(
            table.micro().set_index(["split", "method"]).loc[(split, name), f"SR@{d}m"], abs=1e-4
        )


def test_what_each_definition_must_do(prepared, answers):
    assert tied_share(prepared, answers["maps"], SPLIT) > 0 and tied_share(prepared, answers["path"], SPLIT) == 0
    for seconds, definition, split in itertools.product(answers.values(), definitions(), ("test-seen", "test-unseen")):
        if definition.distance == "norm":
            square = score(prepared, seconds, split, replace(definition, distance="per coordinate"))
            assert square >= score(prepared, seconds, split, definition), "a square holds its circle"
        if definition.strict:
            assert score(prepared, seconds, split, replace(definition, strict=False)) >= score(
                prepared, seconds, split, definition
            )
    take = next(t for t in prepared.takes if t.split == SPLIT)
    for definition in definitions():
        each = second_scores(take, answers["maps"].of(take.name), definition)
        assert ((each >= 0) & (each <= 100)).all() and len(each) == (np.asarray(take.cell) >= 0).sum()


def test_the_reading_says_how_far_apart_and_in_which_order(tmp_path):
    prepared = _prepared(tmp_path, {"a": np.zeros((4, 2))})
    corners = _seconds({"a": [[0.35, 0.35]] * 3 + [[9, 0]]})  # found by coordinates alone
    ahead = _seconds({"a": [[0.0, 0.0]] * 2 + [[9, 0]] * 2})
    text = lens_reading(prepared, {"corners": corners, "ahead": ahead}, SPLIT)
    assert "corners: 0.0 % at 0.4 m in the table; from 0.0 to 75.0 % under 24 definitions" in text
    assert "“each coordinate” moves it most: +75.0 points" in text
    assert "The order (ahead > corners) is another one under 12 of 24" in text
    assert "under “each coordinate”: corners > ahead" in text
    assert "Less than 0.05 points for every method: “≤ instead of <”" in text
    one = lens_reading(prepared, {"ahead": ahead, "twin": ahead}, SPLIT)
    assert "The order (ahead > twin) is the same under all 24." in one
    assert "None of them alone moves it by 0.05 points." in one


def test_the_panel_shows_the_tables_number_and_follows_every_toggle(prepared, answers):
    panel = widgets.metric_lens_panel(prepared, answers)
    changes = {
        "method": "path", "split": "test-seen", "threshold_m": 0.6, "strict": False, "average": "seconds",
        "distance": "per coordinate", "answer": "disc", "ties": "first",
    }  # fmt: skip
    assert set(changes) == set(panel.controls)
    state = panel.state
    for control, value in changes.items():
        before = panel.figure.to_json()
        panel.controls[control].value = value
        assert panel.figure.to_json() != before, f"{control} changes nothing"
        bars = dict(zip(panel.figure.data[0].y, panel.figure.data[0].x, strict=True))
        chosen = replace(state, **{control: value})
        wanted = under_each(prepared, answers, chosen.split, chosen.threshold_m)[chosen.method]
        assert [bars[name] for name in wanted.index] == pytest.approx(wanted.tolist(), abs=0.006)
        assert bars["as chosen"] == pytest.approx(
            score(prepared, answers[chosen.method], chosen.split, chosen.definition, chosen.threshold_m), abs=0.006
        )
        panel.set(state)
    first = dict(zip(panel.figure.data[0].y, panel.figure.data[0].x, strict=True))
    assert first[HEADLINE_WORDS] == first["as chosen"]
    best = panel.set(panel.presets["what helps most"])
    assert best.data[0].x[-1] == max(best.data[0].x) >= first[HEADLINE_WORDS]
    assert panel.view(panel.state).to_json() == panel.figure.to_json(), "a pure view"
    assert json.loads(panel.to_json())["method"] == "maps"


def test_answers_off_the_floor_are_counted(prepared, answers):
    take = next(t for t in prepared.takes if t.split == SPLIT)
    room = prepared.rooms[take.room]
    free, taken = (room.grid.cell_centres[np.flatnonzero(np.asarray(room.free) == on)[0]] for on in (True, False))
    place = np.where(np.arange(len(take))[:, None] % 4 == 0, taken, free)
    seconds = measure(prepared, [take], lambda t: Prediction(position_m=place))
    known = np.asarray(take.cell) >= 0
    assert curves.off_floor(prepared, seconds, take) == pytest.approx(
        100 * (np.arange(len(take)) % 4 == 0)[known].mean()
    )


def test_rivals_are_the_rows_of_tables_1_and_2_that_are_one_net():
    nets = {
        r.name for t in ("table1", "table2") for r in TABLES[t] if r.kind not in (Kind.EAIL, Kind.TRACKER, Kind.LIVE)
    }
    assert {row.name for row in rivals.RIVALS} == nets and len(rivals.RIVALS) == len(nets) == 10
    assert rivals.parameters_of("DeepConvLSTM", get_profile("quick"), 35) == 461_795
    assert rivals.parameters_of("RoNIN (ResNet-18)", get_profile("paper"), 35) > 4_634_882  # that of 200 samples
    assert rivals.paper_names()["RoNIN (ResNet-50)"] == "RoNIN" and "RoNIN (ResNet-18)" not in rivals.paper_names()


def test_the_bigger_net_is_told_from_the_smaller(tmp_path):
    prepared = _prepared(tmp_path, {f"t{k}": np.zeros((3, 2)) for k in range(6)})
    near = _seconds({t.name: [[0.5, 0]] * 3 for t in prepared.takes})
    far = _seconds({t.name: [[1.0 + 0.1 * k, 0]] * 3 for k, t in enumerate(prepared.takes)})
    text = rivals.bigger_reading(prepared, {"small": far, "big": near}, {"small": 100, "big": 250})
    assert text.startswith("big has 2.5 times the parameters of small.")
    assert "mean error 1.25 m of the smaller, 0.50 m of the bigger, which is nearer by 0.75" in text
    assert text.endswith("it drifts less.")
    text = rivals.bigger_reading(prepared, {"small": near, "big": far}, {"small": 100, "big": 250})
    assert "0.50 m of the smaller, 1.25 m of the bigger, which is further off by 0.75" in text
    assert text.endswith("it drifts more.")
    assert rivals.left_reading(prepared, near) == (
        "No take lasts 120 s: nothing can be said of paths that leave the map."
    )


def test_recorded_rows_are_the_ledgers_the_profiles_before_the_benchs(tmp_path):
    assert rivals.recorded_rows("table2", "quick", results_dir=tmp_path).empty
    config = {"protocol": "inferred", INTERVAL: {"top1": [20.0, 30.04]}, "trained": {"0": {"parameters": {"x": 7}}}}
    row = LedgerRow(
        "test-seen | IMU2CLIP | inferred",
        "?",
        "test",
        config,
        "c",
        "d",
        (0,),
        {"top1": 25.0},
        {"top1": 0.0},
        1.0,
        "CPU",
    )
    append_rows("table2_bench", [row], results_dir=tmp_path)
    found = rivals.recorded_rows("table2", "quick", results_dir=tmp_path)
    assert found.to_dict("records") == [{
        "split": "test-seen", "method": "IMU2CLIP", "protocol": "inferred", "profile": "bench", "parameters": 7,
        "top1": "25.0 [20.0, 30.0]",
    }]  # fmt: skip
    append_rows("table2_quick", [replace(row, mean={"top1": 9.0})], results_dir=tmp_path)
    found = rivals.recorded_rows("table2", "quick", results_dir=tmp_path)
    assert list(found.profile) == ["quick"] and list(found.top1) == ["9.0 [20.0, 30.0]"]


def test_only_what_is_asked_for_is_trained_and_the_rest_is_found(maker):
    assert rivals.made_here(maker, []) == {}
    made = rivals.made_here(maker, ["NILoc+", "table2/deepconvlstm"])
    assert set(made) == {"NILoc+", "DeepConvLSTM"} and all(isinstance(m, Made) for m in made.values())
    assert made["NILoc+"].walk is not None and len(made["NILoc+"].walk) == len(maker.walk)
    again = rivals.made_here(maker, [])
    assert set(again) == set(made), "what is there is found without asking for it"
    assert not list(maker.run.dir.glob("vision-language*")), "nothing is encoded to ask whether IMU2CLIP is there"
    net = NETS["IMU2CLIP"]
    known = net.identity(maker.run, maker.variants, "inferred")
    net.make(maker.run, maker.variants, "inferred")
    assert net.trained(maker.run, maker.variants), "found under the name that was known beforehand"
    assert known == net.identity(maker.run, maker.variants, "inferred")
    pd.testing.assert_frame_equal(*(scores(maker.run.prepared, m["NILoc+"].seconds, "n") for m in (made, again)))
    with pytest.raises(ConfigError, match="found 'nonsense'; expected one of table1/mnasnet"):
        rivals.made_here(maker, ["nonsense"])


def test_costs_name_every_rival(maker):
    frame = rivals.costs(maker.run.profile, 35)
    assert list(frame.index) == [row.name for row in rivals.RIVALS]
    assert (frame.parameters > 1000).all() and (frame.seconds >= 0).all() and set(frame.table) == {1, 2}


def test_eail_alone_says_what_the_row_says(maker):
    from eailkit.experiments.rows.make import Method

    made = maker.make(Method(Kind.EAIL), "published")
    run = maker.run
    eail = rivals.eail_alone(run, run.stage1(), run.stage2())
    assert not run.shipped
    seconds = measure(run.prepared, maker.takes, lambda t: eail.alone(t, protocol="published"))
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(seconds, name), getattr(made.seconds, name))
