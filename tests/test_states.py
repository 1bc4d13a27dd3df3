"""The sixteen states: what is kept of them comes back, other data is refused, questions are answered, the explorer.

Answers are written where a run keeps them, with places that are known, so that every score is known too; the stages 1
that name them are trained at the smallest size.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from eailkit import widgets
from eailkit.eail.sequences import Prediction
from eailkit.errors import ConfigError, DatasetError
from eailkit.experiments.rows import parts
from eailkit.experiments.rows.catalog import INFERRED, PUBLISHED, STATES, TABLES
from eailkit.experiments.rows.claims import ACTION, PLACE
from eailkit.experiments.rows.make import Method, method_of
from eailkit.experiments.rows.seconds import measure
from eailkit.experiments.rows.states import (
    CAPTIONS,
    FULL_STATE,
    KEPT,
    LEVELS,
    OWN,
    PROTOCOLS,
    greyed,
    kept_seconds,
    record_states,
    recorded_states,
    states_of,
    ungreyed,
    write_states,
)
from eailkit.experiments.rows.work import Place, maker_of
from eailkit.metrics import METRICS
from eailkit.plots.states import error_bins
from eailkit.results import paper
from eailkit.widgets.ablations import COMMAND, NOT_THERE, SWITCHES, name_of, row_of, switches_of

SEEDS = (0, 1)
UNMADE = next(row for row in STATES if switches_of(row) == (False, True, False, True))  # of the second run


def _says(prepared, take, row, protocol: str, seed: int) -> Prediction:
    """Maps that find the place in a share of the seconds which hangs on the row: more parts, more seconds."""
    rng = np.random.default_rng([len(take), STATES.index(row) if row in STATES else 16, protocol == INFERRED, seed])
    cells = len(prepared.rooms[take.room].grid.cell_centres)
    maps = rng.random((len(take), cells)).astype(np.float32) ** 8
    found = rng.random(len(take)) < 0.2 + 0.15 * sum(switches_of(row))
    rows = np.flatnonzero((np.asarray(take.cell) >= 0) & found)
    maps[rows, np.asarray(take.cell)[rows]] = 2.0
    maps[:, np.asarray(prepared.rooms[take.room].empty)] = 0.0
    action = rng.random((len(take), len(prepared.action_names)))
    maps /= maps.sum(axis=1, keepdims=True)
    return Prediction(maps, action=action if row.variant.action_loss else None)


def _method(place: Place, row) -> Method:
    return method_of(row, place.sizes)


def _write(place: Place, rows, seeds) -> None:
    for seed in seeds:
        maker = maker_of(place, seed)
        prepared = maker.run.prepared
        for row in rows:
            method = _method(place, row)
            maker.variants.train_stage1(method.variant)
            for protocol in PROTOCOLS:
                said = {t.name: _says(prepared, t, row, protocol, seed) for t in maker.takes}
                seconds = measure(prepared, maker.takes, lambda take, said=said: said[take.name])
                walk = said[maker.walk.name].confidence.astype(np.float16)
                path = maker.path(method, protocol, maker.identity(method, protocol))
                seconds.save(path, {"about": np.array(json.dumps({"seed": seed})), "walk": walk})


@pytest.fixture(scope="module")
def place(tmp_path_factory, smoke_kitchens) -> Place:
    """A run in which every state is made under two seeds."""
    torch.set_num_threads(1)
    made = Place(str(smoke_kitchens(tmp_path_factory.mktemp("states") / "run")), "smoke")
    _write(made, KEPT, SEEDS)
    return made


@pytest.fixture(scope="module")
def shipped(place, tmp_path_factory):
    """The file of that run."""
    return record_states(place, SEEDS, tmp_path_factory.mktemp("shipped") / "quick.npz", commit="1a2b3c4d5e6f")


@pytest.fixture(scope="module")
def recorded(place, shipped):
    return recorded_states(maker_of(place, 0).run.prepared, shipped)


@pytest.fixture(scope="module")
def known(place, recorded):
    """As a notebook has it: published rows of one part off that keep stage 1 from this run, others recorded."""
    whole = states_of(place, (0,), (PUBLISHED,))
    few = [row.name for row in STATES if sum(switches_of(row)) >= 3 and row.variant.towers]
    kept = whole.scores[whole.scores.row.isin(few)]
    own = replace(whole, scores=kept, differences=whole.differences[whole.differences.row.isin(few)])
    return parts.Known(own, recorded)


@pytest.mark.whole
def test_what_is_recorded_comes_back(place, recorded):
    made = states_of(place, SEEDS)
    index = ["row", "protocol", "seed", "take"]
    one, other = (s.scores.set_index(index).sort_index() for s in (made, recorded))
    assert len(one) == len(other) == 2 * 2 * len(KEPT) * len(maker_of(place, 0).takes)
    same = one[list(METRICS)].to_numpy(float), other[list(METRICS)].to_numpy(float)
    np.testing.assert_allclose(*same, atol=0.0051)
    assert np.isnan(other.loc[FULL_STATE.name].top1).sum() == 0 and other.loc["spatial"].top1.isna().all()
    for column in ("split", "room", "participant"):
        assert (one[column] == other[column]).all()
    assert made.place_m.keys() == recorded.place_m.keys() and len(made.maps) == 2 * len(KEPT)
    for key, maps in made.maps.items():
        np.testing.assert_array_equal(made.place_m[key], recorded.place_m[key])
        root = np.sqrt(maps / maps.max(1, keepdims=True))
        back = recorded.maps[key]
        assert np.abs(np.sqrt(back / back.max(1, keepdims=True)) - root).max() <= 0.5 / (LEVELS - 1) + 1e-3
    np.testing.assert_allclose(made.differences["mean"], recorded.differences["mean"], atol=1e-4)
    assert (
        recorded.source == "recorded (seeds 0 and 1; commit 1a2b3c4)" and recorded.walk == maker_of(place, 0).walk.name
    )


@pytest.mark.whole
def test_differences_are_the_tables_own_and_adjusted_for_fifteen(place, recorded):
    from eailkit.experiments.rows.record import table_of
    from eailkit.metrics import holm

    table = table_of(place, STATES, SEEDS, INFERRED)
    d = recorded.differences
    family = d[(d.protocol == INFERRED) & (d.split == "test-seen") & (d.metric == PLACE) & (d.row != CAPTIONS.name)]
    assert len(family) == 15
    for r in family.itertuples():
        found = table.difference(FULL_STATE.name, r.row, "test-seen", PLACE)
        assert (r.mean, r.low, r.high) == pytest.approx((found.mean, found.low, found.high), abs=1e-3)
    assert family.p_holm.tolist() == pytest.approx(holm(family.p.tolist()), abs=1e-3)
    none = recorded.difference("none of the four", PUBLISHED, "test-seen", PLACE)
    assert none["mean"] > 20, "four parts find 60 points more by construction"
    assert recorded.difference("none of the four", PUBLISHED, "test-seen", ACTION) is None


def test_a_long_walk_keeps_few_maps_and_grey_steps_keep_the_highest_cell():
    assert kept_seconds(1200).tolist() == list(range(0, 1200, 5)) and len(kept_seconds(47)) == 47
    maps = np.random.default_rng(0).dirichlet(np.ones(400), 9).astype(np.float32)
    grey, top = greyed(maps)
    assert grey.max() == LEVELS - 1 and (grey.argmax(1) <= maps.argmax(1)).all()
    back = ungreyed(grey, top)
    assert back.max(1) == pytest.approx(maps.max(1)) and np.abs(np.sqrt(back) - np.sqrt(maps)).max() < 0.05


@pytest.mark.whole
def test_states_that_cannot_be_read_say_why(place, shipped, recorded, tmp_path):
    prepared = maker_of(place, 0).run.prepared
    with pytest.raises(
        DatasetError, match="found no recorded states; expected what `python -m benchmarks.ship_states`"
    ):
        recorded_states(prepared, tmp_path / "states" / "quick.npz")
    with pytest.raises(DatasetError, match=r"recorded on other data \(\w+, smoke\); expected this run's \(other\)"):
        recorded_states(replace(prepared, data_hash="other"), shipped)
    other = replace(recorded, about=recorded.about | {"grid": [0, 0, 1, 20]})
    with pytest.raises(DatasetError, match="found maps on another square of"):
        recorded_states(prepared, write_states(other, tmp_path / "square.npz"))
    (tmp_path / "half.npz").write_bytes(shipped.read_bytes()[:2000])
    with pytest.raises(DatasetError, match=r"found recorded states that can't be read .*; restore it\.$"):
        recorded_states(prepared, tmp_path / "half.npz")
    whole = bytearray(shipped.read_bytes())
    with zipfile.ZipFile(shipped) as entries:
        begins = next(e.header_offset for e in entries.infolist() if e.filename == "maps.npy")
    whole[begins + 100 : begins + 200] = bytes(100 * [255])  # the deflated stream itself: neither zip nor npz finds it
    (tmp_path / "flipped.npz").write_bytes(whole)
    with pytest.raises(DatasetError, match=r"found recorded states that can't be read .*; restore it\.$"):
        recorded_states(prepared, tmp_path / "flipped.npz")


@pytest.mark.whole
def test_nothing_is_recorded_while_a_state_is_missing(place, tmp_path):
    with pytest.raises(
        ConfigError, match="found 0 of 16 made under each seed .* run `eailkit reproduce states"
    ) as told:
        record_states(place, (0, 1, 2), tmp_path / "no.npz")
    assert "--seed 0 --seed 1 --seed 2" in str(told.value) and not (tmp_path / "no.npz").exists()


@pytest.mark.whole
def test_the_command_writes_the_file_with_its_card(place, shipped, tmp_path, monkeypatch, capsys):
    from benchmarks import ship_states

    seeds = list(map(str, SEEDS))
    told = [
        "ship_states",
        "--run",
        place.out,
        "--profile",
        "smoke",
        "--seeds",
        *seeds,
        "--out",
        str(tmp_path / "s.npz"),
    ]
    monkeypatch.setattr("sys.argv", told)
    ship_states.main()
    assert "MB of 1.0 MB" in capsys.readouterr().out
    card = (tmp_path / "card.md").read_text(encoding="utf-8")
    prepared = maker_of(place, 0).run.prepared
    for said in (prepared.data_hash, "--seed 0 --seed 1", "w/o captions", "uses ground truth", "licence: CC BY 4.0"):
        assert said in card
    one, other = (recorded_states(prepared, path).scores for path in (shipped, tmp_path / "s.npz"))
    assert one.equals(other)


def test_the_shipped_states_fit_and_belong_to_the_quick_data():
    from eailkit.experiments.rows.states import SHIPPED

    if not SHIPPED.is_file():
        pytest.skip("data_samples holds no recorded states")
    card = (SHIPPED.parent / "card.md").read_text(encoding="utf-8")
    with np.load(SHIPPED, allow_pickle=False) as a:
        about = json.loads(str(a["about"]))
    assert SHIPPED.stat().st_size <= 1e6 and about["profile"] == "quick" and about["data_hash"] in card
    assert {row.name for row in STATES} <= set(about["index"]["row"]) and about["commit"] in card


@pytest.mark.whole
def test_rows_that_need_a_stage_1_of_their_own_are_left_to_the_recording(place, recorded):
    nothing = parts.Known(states_of(place, (5,)), None, "none")
    names = [row.name for row in parts.rows_here(nothing)]
    assert "w/o vision-language" in names and "w/o captions" not in names and "with both" in names
    with_it = [row.name for row in parts.rows_here(replace(nothing, recorded=recorded))]
    assert set(names) - set(with_it) == {"w/o vision-language"}
    assert not nothing.own.has(FULL_STATE.name, PUBLISHED) and nothing.of(FULL_STATE.name, PUBLISHED) is None


@pytest.mark.whole
def test_questions_are_answered_by_whoever_knows_and_never_across(place, recorded, known):
    found = parts.answers(place, known)
    assert set(found.row) == {"w/o vision-language", "w/o captions", "w/o action loss", "w/o spatial", "w/o temporal"}
    run = found[found.row == "w/o spatial"]
    assert set(run.source) == {OWN} and run.paper.tolist() == pytest.approx(
        [paper.value(3, "full", s, PLACE) - paper.value(3, "w/o spatial", s, PLACE) for s in run.split]
    )
    words = parts.answers(place, known, seed=2)  # of which this run has made nothing
    assert set(words.row) == {"w/o vision-language", "w/o captions"} and set(words.source) == {recorded.source}
    at = words.set_index(["row", "split", "metric"]).loc[("w/o vision-language", "test-unseen", ACTION)]
    d = recorded.difference("action loss + spatial + temporal", PUBLISHED, "test-unseen", ACTION)
    assert (at["mean"], at.low, at.p_holm) == (d["mean"], d.low, d.p_holm)
    assert at.paper == paper.value(3, "full", "test-unseen", ACTION) - paper.value(
        3, "w/o vision-language", "test-unseen", ACTION
    )
    assert not len(parts.answers(place, parts.Known(states_of(place, (2,)), None, "none"), seed=2))
    captions = found[found.row == "w/o captions"]
    assert set(captions.source) == {recorded.source} and captions.paper.isna().all()
    d = recorded.difference(CAPTIONS.name, PUBLISHED, "test-seen", PLACE)
    assert captions.set_index(["split", "metric"]).loc[("test-seen", PLACE), "mean"] == d["mean"]
    nested = parts.verdicts(found, ("w/o spatial",))["w/o spatial"]
    assert set(nested) == {f"{PLACE} on test-seen", f"{PLACE} on test-unseen"}
    assert set(nested.values()) <= {"better", "worse", "can't tell"}
    assert "w/o captions" not in parts.paper_differences(found, ("w/o captions", "w/o spatial"))
    lines, first = parts.told(found), found.iloc[0]
    assert len(lines) == len(found) and set(lines.loc["w/o captions", "the paper's"]) == {"no number"}
    assert lines.iloc[0]["what is lost"] == f"{first['mean']:+.1f} [{first.low:.1f}, {first.high:.1f}]"
    both = parts.beside_paper(3, place, known, [PLACE])
    assert both.loc[("test-seen", "w/o captions"), (paper.OURS, "from")] in (OWN, recorded.source)
    assert (paper.PAPER, "from") not in both.columns


def _panel(place, known, **options):
    maker = maker_of(place, 0)
    return widgets.ablation_panel(maker.run.prepared.rooms[maker.walk.room], maker.walk, known, **options)


def _state(row, **more) -> widgets.AblationState:
    return widgets.AblationState(**dict(zip(SWITCHES, switches_of(row), strict=True)), **more)


@pytest.mark.whole
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("row", STATES, ids=name_of)
def test_each_state_is_shown_with_its_own_numbers(place, known, row, protocol):
    panel, maker = _panel(place, known), maker_of(place, 0)
    state = _state(row, protocol=protocol, second=7)
    assert row_of(state) == row
    figure = panel.set(state)
    source = known.of(row.name, protocol)
    assert source is (known.own if protocol == PUBLISHED and known.own.has(row.name, protocol) else known.recorded)
    heats = [t for t in figure.data if t.type == "heatmap" and t.name == "probability"]
    empty = np.asarray(maker.run.prepared.rooms[maker.walk.room].empty)
    for heat, shown in zip(heats, (FULL_STATE, row), strict=True):
        wanted = np.where(empty, np.nan, source.maps[shown.name, protocol][7])
        np.testing.assert_allclose(np.asarray(heat.z, float).ravel(), wanted, rtol=1e-6)
        assert heat.zmin == 0 and heat.zmax == pytest.approx(np.nanmax(wanted))
    answered = [t for t in figure.data if t.name == "answered"]
    assert [answered[1].x[0], answered[1].y[0]] == pytest.approx(source.place_m[row.name, protocol][7], abs=0.006)
    curves = [t for t in figure.data if t.name in ("full", "chosen")]
    for curve, shown in zip(curves, (FULL_STATE, row), strict=True):
        minute, error_m = error_bins(source.place_m[shown.name, protocol], maker.walk.position)
        np.testing.assert_allclose(np.asarray(curve.y, float), error_m, atol=1e-3)
    (head,) = [t for t in figure.data if t.name == "play head"]
    assert head.x[0] == pytest.approx(7 / 60, abs=1e-3)
    told = panel.told.value
    own = source.mean(row.name, protocol, maker.walk.split, PLACE)
    assert f"success at 0.4 m: {own:.1f} %" in told and told.endswith(source.source)
    assert ("action head was never trained" in told) != row.variant.action_loss
    assert ("uses ground truth" in told) == (protocol == PUBLISHED)
    points = parts.paper_points(row, maker.walk.split, PLACE)
    assert (f"the paper has {points:+.1f}" in told) == (sum(switches_of(row)) == 3)
    if row != FULL_STATE:
        d = source.difference(row.name, protocol, maker.walk.split, PLACE)
        assert f"{d['mean']:+.1f} points [{d.low:.1f}, {d.high:.1f}]" in told


@pytest.mark.whole
def test_a_state_that_nobody_trained_says_so_and_how_to_make_it(place, known):
    alone = parts.Known(known.own, None, "states/quick.npz: found no recorded states")
    panel = _panel(place, alone, run_dir="runs/lab")
    figure = panel.set(_state(UNMADE))
    assert [t for t in figure.data if t.name == "chosen"] == [] and len(
        [t for t in figure.data if t.name == "full"]
    ) == 1
    assert [a.text for a in figure.layout.annotations].count(NOT_THERE) == 1
    assert f"{NOT_THERE}: this run hasn&#x27;t trained it" in panel.told.value
    assert "found no recorded states" in panel.told.value and panel.answer.value == ""
    panel.ask(COMMAND)
    command = f"eailkit reproduce states --profile quick --row {UNMADE.id} --out runs/lab"
    assert command in panel.answer.value
    panel.controls["spatial"].value = True  # the command follows the state
    assert UNMADE.id not in panel.answer.value and "--row states/" in panel.answer.value
    panel.ask(COMMAND)
    assert panel.answer.value == ""
    nothing = _panel(place, replace(alone, own=replace(known.own, scores=known.own.scores[:0])))
    assert [a.text for a in nothing.figure.layout.annotations].count(NOT_THERE) == 2


@pytest.mark.whole
def test_the_explorer_s_controls_move_it(place, known):
    panel = _panel(place, known)
    first = panel.state
    wanted = dict.fromkeys(SWITCHES, False) | {"protocol": INFERRED, "second": 3}
    for control, value in wanted.items():
        before = panel.figure.to_json()
        panel.controls[control].value = value
        assert panel.figure.to_json() != before, f"{control} changes nothing"
        panel.set(first)
    assert asdict(panel.state) == asdict(first)
    panel.player.value = panel.player.max
    assert panel.state.second == panel.player.max == len(known.own.seconds) - 1
    for button, state in zip(panel.widget.children[0].children, panel.presets.values(), strict=True):
        button.click()
        assert panel.state == state and button.description == name_of(row_of(state))


@pytest.mark.whole
def test_every_known_state_is_alive_without_a_kernel(place, known):
    maker = maker_of(place, 0)
    room = maker.run.prepared.rooms[maker.walk.room]
    figure = widgets.ablation_figure(room, maker.walk, known)
    menu, names = figure.layout.updatemenus[0].buttons, {f.name: f for f in figure.frames}
    assert [b.label for b in menu[:4]] == [name_of(r) for r in STATES if sum(switches_of(r)) == 3] and len(menu) == 15
    moving = None
    for button in menu:
        restyle, layout, traces = button.args
        steps = layout["sliders"][0]["steps"]
        assert all(len(v) == len(traces) for v in restyle.values())
        frames = [names[step["args"][0][0]] for step in steps]
        at = frames[layout["sliders"][0]["active"]]
        for trace, wanted in zip(at.data[:2], restyle["z"][:2], strict=True):
            assert [list(r) for r in trace.z] == [list(r) for r in wanted], "the menu shows the slider's own moment"
        moving = at.traces if moving is None else moving
        assert at.traces == moving
        row = next(r for r in STATES if name_of(r) == button.label)
        source = known.of(row.name, PUBLISHED)
        assert source.source in layout["title.text"]
    assert len(figure.to_json()) < 4e6
    with pytest.raises(ValueError, match="found no state beside the full one"):
        widgets.ablation_figure(room, maker.walk, replace(known, recorded=None), INFERRED)


@pytest.mark.whole
def test_methods_of_table_3_are_states(place):
    """What a notebook trains as a row of Table 3 is what the explorer shows as a state."""
    for row in TABLES["table3"]:
        if row != CAPTIONS:
            state = next(s for s in STATES if s.variant == row.variant)
            assert _method(place, row) == _method(place, state) == Method(row.kind, row.variant, short=True)
