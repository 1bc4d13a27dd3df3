"""One small PRIMUS experiment from nothing to the ledger, and what a second call and wrong names do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from eailkit.errors import ConfigError, DatasetError
from eailkit.experiments import primus_run
from eailkit.experiments.primus_claims import claims_table, record_claims
from eailkit.experiments.primus_curves import FIG4, Figures, Line, lines, record_figure
from eailkit.experiments.primus_run import PrimusRun
from eailkit.results.ledger import read
from eailkit.results.names import FIGURES
from eailkit.scenarios import HELD_OUT, PRETRAINING


@pytest.fixture(scope="module")
def made(smoke_run: PrimusRun, tmp_path_factory: pytest.TempPathFactory) -> tuple[PrimusRun, Path, Path]:
    """The smallest run with Figure 4 of the paper's encoder, its table and the ledger's folder."""
    results = tmp_path_factory.mktemp("ledger")
    table = record_figure("primus-fig4", smoke_run, encoders=("paper",), results_dir=results, commit="test")
    return smoke_run, table, results


def test_a_figure_becomes_a_table_of_the_ledger(made):
    run, table, results = made
    assert table == results / "primus_fig4_smoke.json"
    rows = read("primus_fig4_smoke", results_dir=results)
    assert {r["config"]["method"] for r in rows} == set(FIG4)
    assert {r["config"]["test"] for r in rows} == {"same domain", "other labels"}
    assert {r["config"]["head"] for r in rows if r["config"]["method"] == "PRIMUS"} == {"random", "text", "encoder"}
    for row in rows:
        assert all(0 <= v <= 100 for v in row["mean"].values()) and set(row["mean"]) == set(row["spread"])
        shots = {int(k.split("@")[1].split(",")[0]) for k in row["mean"]}
        assert shots == ({0, 1, 2} if row["config"]["head"] == "text" else {1, 2})
        assert row["data_hash"] == run.triplets.data_hash and "reproduce primus-fig4" in row["command"]


def test_test_sets_are_of_other_people_and_other_activities(made):
    run = made[0]
    domain, other = run.test_sets["same domain"], run.test_sets["other labels"]
    assert domain.windows.classes == domain.test.classes == PRETRAINING and other.windows.classes == HELD_OUT
    assert not set(domain.windows.participant) & set(domain.test.participant)
    assert set(run.triplets.task) == set(PRETRAINING) and len(other.task.folds) == 5
    pretrained_on = set(run.triplets.take)
    assert not pretrained_on & set(other.windows.recording) and not pretrained_on & set(domain.test.recording)
    text = run.text(other)
    assert text.shape == (len(HELD_OUT), run.towers.embed_dim) and len(np.unique(text.round(4), axis=0)) == len(text)


def test_a_second_call_trains_and_makes_nothing(made, monkeypatch):
    run, table, results = made
    before = table.read_text()

    def no(*_, **__):
        raise AssertionError("made again")

    for module, name in ((primus_run, "pretrain"), (primus_run, "build"), (primus_run, "from_egoexo4d")):
        monkeypatch.setattr(module, name, no)
    again = PrimusRun(run.dir, "smoke", progress=False, workers=1)
    again.triplets = run.triplets
    record_figure("primus-fig4", again, encoders=("paper",), results_dir=results, commit="test")
    kept = ("id", "mean", "spread", "config", "data_hash")
    strip = lambda text: [{k: r[k] for k in kept} for r in json.loads(text)]  # noqa: E731
    assert strip(table.read_text()) == strip(before)


def test_lines_without_pretraining_and_claims(made):
    run, _, results = made
    table = record_figure("primus-lines", run, encoders=("paper",), results_dir=results, commit="test")
    found = {(r["config"]["method"], r["config"]["head"]) for r in read(table.stem, results_dir=results)}
    assert {("handcrafted", "random"), ("handcrafted", "boosting"), ("random weights", "encoder")} <= found
    assert {("standard training", "few steps"), ("standard training", "proper")} <= found
    record_claims(run, results_dir=results, commit="test")
    told = claims_table("smoke", results_dir=results)
    assert {"a", "b"} <= set(told["claim"]) and set(told["verdict"]) <= {"holds", "doesn't", "can't tell"}


def test_random_weights_have_seen_the_windows(made):
    run = made[0]
    model = run.untrained("ours", alone=True)
    with np.errstate(all="raise"):
        features = model.embed(run.triplets.imu, at="encoder")
    # The last normalisation's statistics are those of the windows, up to the split into batches.
    assert np.abs(features.mean(0)).mean() < 0.05 and abs(features.std(0).mean() - 1) < 0.1
    assert not run.untrained("paper").training


def test_random_weights_are_the_same_whatever_was_made_before(made):
    run = made[0]
    fresh = PrimusRun(run.dir, run.profile, kitchens=run.kitchens, real=run.real, progress=False)
    first = fresh.untrained("ours").encoder.state_dict()  # makes the triplets, which draws random numbers
    again = fresh.untrained("ours").encoder.state_dict()
    assert all(torch.equal(value, again[name]) for name, value in first.items())


def test_pretrained_encoders_are_found_by_name(made, monkeypatch):
    run = made[0]
    model = run.pretrained("PRIMUS", "paper")
    turned = run.pretrained("PRIMUS", "paper", recipe="turned")
    assert turned.config.recipe == "turned" and model.config.recipe == "paper"
    assert not np.allclose(model.embed(run.triplets.imu[:4]), turned.embed(run.triplets.imu[:4]))
    ours = run.config("PRIMUS, as released", "ours")
    assert (ours.encoder, ours.recipe) == ("motion_gru", "as_released") and run.config(
        "PRIMUS", "ours"
    ).recipe == "mounted"


def test_names_of_curves():
    assert Line("PRIMUS").name == "PRIMUS" and Line("PRIMUS", "ours", 0.1).name == "PRIMUS, 10 % aligned, our encoder"
    assert len({line.name for f in FIGURES for line in lines(f)}) >= 20
    assert any(line.extra == "1A" for line in lines("primus-fig4", real=True))
    assert not any(line.extra for line in lines("primus-fig4", real=False))


def test_wrong_names_are_refused_before_work(made, tmp_path):
    run = made[0]
    for wrong in (
        lambda: PrimusRun(tmp_path / "a", "huge"),
        lambda: run.config("MAGIC"),
        lambda: run.config("PRIMUS", "best"),
        lambda: lines("primus-fig9"),
        lambda: run.pretrained("PRIMUS", extra="1A"),
    ):
        with pytest.raises(ConfigError) as fault:
            wrong()
        assert "expected" in str(fault.value) and "\n" not in str(fault.value)
    for option in ("kitchens", "real"):
        with pytest.raises(DatasetError, match=str(tmp_path.name)):
            PrimusRun(tmp_path / "c", "smoke", **{option: tmp_path})
    assert not (tmp_path / "c").exists() and not (tmp_path / "a").exists()


def test_scores_are_saved_after_every_curve(made):
    run = made[0]
    again = Figures(run)
    assert all(again.scores[t].has("PRIMUS", "encoder", 2, 0) for t in run.test_sets)


def test_files_of_other_kitchens_are_never_taken(tmp_path):
    """The same folder with and without kitchens: other classes, so other windows, scores and weights."""
    kitchens = Path(__file__).resolve().parents[1] / "data_samples" / "kitchens"
    alone, cooking = PrimusRun(tmp_path, "smoke"), PrimusRun(tmp_path, "smoke", kitchens=kitchens)
    for kind in ("windows", "scores", "primus", "triplets"):
        assert alone.folder(kind) != cooking.folder(kind)
    assert cooking.folder("scores") == PrimusRun(tmp_path, "smoke", kitchens=kitchens).folder("scores")


def test_another_encoder_under_the_same_name_is_trained_and_scored_anew(made, monkeypatch):
    """`OUR_ENCODER` is a constant: when it changes, the line's name stays, and so does every other line."""
    run, line = made[0], Line("SS", "ours")
    figures = Figures(run)
    figures.add([line])
    first = {n: s.confusion[(line.name, "encoder", 1, 0)] for n, s in figures.scores.items()}
    weights = run.pretrained("SS", "ours").encoder.state_dict()
    monkeypatch.setattr(primus_run, "OUR_ENCODER", primus_run.OUR_ENCODER | {"encoder_options": {"hidden": 32}})
    again = Figures(run)
    assert not any(s.has(line.name, "encoder", 1, 0) for s in again.scores.values())
    assert all(s.has("PRIMUS", "encoder", 1, 0) for s in again.scores.values())
    other = run.pretrained("SS", "ours").encoder.state_dict()
    assert [v.shape for v in other.values()] != [v.shape for v in weights.values()]
    monkeypatch.undo()
    assert all(
        np.array_equal(Figures(run).scores[n].confusion[(line.name, "encoder", 1, 0)], c) for n, c in first.items()
    )


def test_windows_of_other_held_out_people_are_never_the_first_ones(made, tmp_path):
    run = made[0]
    before = run.test_sets["other labels"]
    fewer = tmp_path / "held_out"
    shutil.copytree(run.held_out, fewer)
    takes = json.loads((fewer / "takes.json").read_text())
    last = max(t["participant_uid"] for t in takes) if "participant_uid" in takes[0] else takes[-1]["take_name"][-4:]
    kept = [t for t in takes if last not in (t.get("participant_uid"), t["take_name"][-4:])]
    (fewer / "takes.json").write_text(json.dumps(kept))
    again = PrimusRun(run.dir, "smoke", progress=False, workers=1)
    again.held_out = fewer
    after = again.test_sets["other labels"]
    assert 0 < len(after.windows) < len(before.windows) and after.identity.key != before.identity.key
    assert again.test_sets["same domain"].identity.key == run.test_sets["same domain"].identity.key


def test_unknown_extra_windows_are_named(smoke_run):
    with pytest.raises(ConfigError, match="found extra windows of '2A'"):
        smoke_run.pretrained("PRIMUS", extra="2A")
