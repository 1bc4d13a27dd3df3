"""The whole of EAIL on a small kitchen dataset: every stage runs, passes its artifacts on, and can be used again."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from eailkit.baselines import oracles
from eailkit.datasets import EgoExo4D, open_map, open_recording
from eailkit.eail.evaluation import Table
from eailkit.eail.features import Features
from eailkit.eail.headings import under_headings
from eailkit.eail.inference import validation_loss
from eailkit.eail.readings import CONSTANT_PLACE
from eailkit.eail.sequences import SequenceBatches
from eailkit.eail.stage1 import Stage1, Stage1Config
from eailkit.eail.stage2 import SpatioTemporalReasoner, Stage2Config, stage2_loss
from eailkit.eail.velocity import VelocityNet
from eailkit.errors import CheckpointError, MapError, RecordingError
from eailkit.experiments.eail_run import Run
from eailkit.experiments.eail_with_primus import add_joined, with_context
from eailkit.experiments.methods import FULL, OTHER_IMU, PUBLISHED, TRACKED
from eailkit.localize import QUICK_WEIGHTS, Localizer, localize_files
from eailkit.metrics import METRICS
from eailkit.primus.config import PrimusConfig
from eailkit.primus.model import Primus
from eailkit.provenance import weights_tag
from eailkit.training import TrainConfig, fit
from eailkit.weights import save_weights

REAL = os.environ.get("EAILKIT_REAL_DATA")


@pytest.fixture(scope="module")
def run(tmp_path_factory, smoke_kitchens) -> Run:
    """Stages trained for a few steps on four small kitchens: what they say is nothing, that they say it is the test."""
    torch.set_num_threads(1)
    run = Run(smoke_kitchens(tmp_path_factory.mktemp("smoke")), "smoke", progress=False)
    stage1, _ = run.train_stage1()
    run.train_stage2(stage1)
    return run


def test_a_room_of_the_unseen_test_has_no_take_and_no_person_in_training(run):
    train = run.prepared.by_split("train")
    for split in ("val-unseen", "test-unseen"):
        for take in run.prepared.by_split(split):
            assert take.room not in {t.room for t in train}
            assert take.participant not in {t.participant for t in train}
    for take in run.prepared.by_split("test-seen"):
        assert take.room in {t.room for t in train}


def test_every_reference_line_stands_beside_the_method_with_numbers(run):
    table = run.reference_table(run.stage1(), run.stage2())
    lines = {"chance", "free space", "training occupancy", "IMU alone", "dead reckoning", OTHER_IMU, "majority action",
             "stage 1 alone", oracles.TRUE_ACTION, oracles.TRUE_VELOCITIES, oracles.FACING_PRIOR, oracles.BEST_PLACE,
             "oracle: room's habits", CONSTANT_PLACE, PUBLISHED, TRACKED, FULL}  # fmt: skip
    assert lines == set(table.scores.method)
    for name in ("imu_alone", "velocity"):  # learned baselines keep their best weights, as stage 2 does
        assert [step for step, _ in run.histories[name].validation] == [3, 6]
    ours = table.scores[table.scores.method.isin([FULL, PUBLISHED, TRACKED])]
    assert ours[list(METRICS)].notna().all().all()
    assert table.scores[list(METRICS)].stack().dropna().between(0, 100).all()
    assert not run.shipped  # trained here, so the ledger may have it


def test_stage_2_keeps_the_weights_that_takes_kept_from_training_like_best(run):
    history = run.histories["stage2-full"]
    schedule = run.profile.stage2
    assert [step for step, _ in history.validation] == [4, 6] and schedule.min_steps == 4
    features = run.features(run.stage1())
    again = validation_loss(run.prepared, features, run.profile)(run.stage2())
    assert again == pytest.approx(min(value for _, value in history.validation), rel=1e-5)
    training_only = {t.name: features.takes[t.name] for t in run.prepared.by_split("train")}
    assert validation_loss(run.prepared, Features(training_only, features.rooms), run.profile) is None


def test_another_takes_imu_is_another_rooms(run):
    for take in run.prepared.by_split("test-seen"):
        other = run.other_take(take)
        assert other.name != take.name and other.room != take.room and other.split == take.split


def test_a_second_run_in_the_folder_finds_what_the_first_one_trained(run):
    again = Run(run.dir, "smoke", progress=False)
    first, second = run.train_stage1()[0], again.train_stage1()[0]
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def _beside(run: Run, folder: Path) -> Run:
    """Another run on the same data."""
    other = Run(folder, "smoke", progress=False)
    other.prepared = run.prepared
    return other


def _copy_weights(run: Run, other: Run, pattern: str) -> None:
    other.weights_dir.mkdir(exist_ok=True)
    for path in run.weights_dir.glob(pattern):
        shutil.copyfile(path, other.weights_dir / path.name)


def test_a_run_with_neither_stage_takes_both_shipped_ones_and_says_so(run, tmp_path, capsys):
    alone = _beside(run, tmp_path)
    stage1, stage2 = alone.stage1(), alone.stage2()
    assert stage2.stage1_tag == weights_tag(stage1) == weights_tag(Localizer.load().stage1)
    assert alone.shipped == {"stage 1", "stage 2"}
    told = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in told] == [f"No stage {k} of this run was found" for k in (1, 2)]


def test_a_run_that_trained_stage_1_alone_says_what_it_needs(run, tmp_path):
    half = _beside(run, tmp_path)
    _copy_weights(run, half, "stage1.*")
    assert weights_tag(half.stage1()) == weights_tag(run.stage1())
    with pytest.raises(CheckpointError, match="no stage 2; expected one that was trained on it; run notebook 04 first"):
        half.stage2()
    torch.manual_seed(1)
    half.train_stage2(Stage1(Stage1Config.of(half.profile)).eval())  # on another stage 1
    with pytest.raises(CheckpointError, match=r"doesn't belong to it \(features\.stage1_tag = .*run notebook 04 first"):
        half.stage2()
    assert not half.shipped
    _copy_weights(run, half, "stage2-full.*")
    assert half.stage2().stage1_tag == weights_tag(run.stage1())


def test_a_stage_of_another_schedule_is_named_and_not_taken(run, tmp_path, capsys):
    longer = replace(run.profile, stage1=replace(run.profile.stage1, steps=7))
    other = Run(tmp_path, longer, progress=False)
    other.prepared = run.prepared
    _copy_weights(run, other, "stage1.*")
    other.stage1()
    assert "but one with train.steps = 6 instead of 7: using the shipped quick weights" in capsys.readouterr().out


def test_a_folder_of_two_runs_weights_is_refused(run, tmp_path):
    stage1, stage2 = run.stage1(), run.stage2()
    folder = run.localizer(stage1, stage2).save(tmp_path / "whole", half=True)
    assert weights_tag(Localizer.load(folder).stage1) == Localizer.load(folder).stage2.stage1_tag
    torch.manual_seed(1)
    others = {"stage1": Stage1(stage1.config), "stage2": SpatioTemporalReasoner(stage2.config)}
    others["velocity"] = VelocityNet(run.profile.imu_width)
    for name, model in others.items():
        mixed = tmp_path / name
        shutil.copytree(folder, mixed)
        save_weights(model, mixed / f"{name}.safetensors", half=True)
        with pytest.raises(
            CheckpointError, match=f"{name}.safetensors: found weights .* the second stage belongs"
        ) as told:
            Localizer.load(mixed)
        assert "\n" not in str(told.value)
    with pytest.raises(CheckpointError, match="trained on stage 1"):
        run.localizer(others["stage1"].eval(), stage2)
    before = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({k: v for k, v in before.items() if k != "tags"}))
    with pytest.raises(CheckpointError, match="'tags'"):
        Localizer.load(folder)


def _telling_features(run: Run) -> Features:
    """Features in which motion does say where: each second's is that of its true cell, with noise."""
    rng = np.random.default_rng(0)
    unit = lambda x: (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)  # noqa: E731
    dim = run.profile.embed_dim
    rooms = {name: unit(rng.normal(size=(400, dim))) for name in run.prepared.rooms}
    takes = {
        t.name: unit(rooms[t.room][np.maximum(t.cell, 0)] + 0.05 * rng.normal(size=(len(t), dim)))
        for t in run.prepared.takes
    }
    return Features(takes, rooms)


def test_true_labels_are_learned_and_shuffled_ones_are_not(run):
    """Sequences with the labels of others can teach habits at most: the loss stays near the labels' own entropy."""
    features, losses = _telling_features(run), {}
    for shuffled in (False, True):
        batches = SequenceBatches(run.prepared, features, batch=4, time=10, shuffle_labels=shuffled)
        torch.manual_seed(0)
        config = Stage2Config(run.profile.embed_dim, channels=8, actions=len(run.prepared.action_names))

        def loss_of(model, b: dict) -> dict:
            location, action = under_headings(model, b["imu"], b["points"], b["empty"])
            return stage2_loss(location, action[:, 0], b["cell"], b["action"], b["empty"], use_action_loss=False)

        train = TrainConfig(steps=80, learning_rate=1e-2, warmup_steps=5)
        history = fit(SpatioTemporalReasoner(config), batches, loss_of, train, progress=False)
        losses[shuffled] = history.column("total")[-20:].mean()
    cells = np.concatenate([t.cell[t.cell >= 0] for t in run.prepared.by_split("train")])
    p = np.bincount(cells) / len(cells)
    entropy = -(p[p > 0] * np.log(p[p > 0])).sum()
    assert losses[False] < 0.5 * entropy, losses
    assert losses[True] > 0.8 * entropy, losses


def test_a_run_with_primus_s_encoder_goes_through_both_stages_and_holds_directions(run):
    torch.manual_seed(0)
    options = {"hidden": 16, "width": 16}
    primus = Primus(PrimusConfig(encoder="motion_gru", encoder_options=options, terms=("ss",)), feature_dim=128)
    table = Table(run.prepared, ("test-unseen",))
    history = add_joined(run, table, primus, "fine-tuned", label="PRIMUS")
    assert len(history.steps) == run.profile.stage1.steps and np.isfinite(history.column("total")).all()
    line = table.scores[table.scores.method == "EAIL, PRIMUS, fine-tuned"]
    assert len(line) == len(run.prepared.by_split("test-unseen")) and line[list(METRICS)].notna().all().all()
    take, context = run.prepared.takes[0], with_context(run.prepared).takes[0]
    assert context.windows.shape == (len(take), 6, 250) and np.array_equal(context.facing, take.facing)


def test_saved_weights_localize_a_file_like_the_ones_in_memory(run, tmp_path):
    folder = run.localizer(run.stage1(), run.stage2()).save(tmp_path / "weights")
    root = run.dataset()
    take = run.prepared.by_split("test-unseen")[0]
    imu = root / "takes" / take.name / "imu-left.parquet"
    cloud = next((root / "takes" / EgoExo4D(root).map_take(take.name).name / "trajectory").glob("semidense*"))
    track = localize_files(imu, cloud, tmp_path / "track.csv", weights=folder, plot=tmp_path / "track.html")
    frame = pd.read_csv(tmp_path / "track.csv")
    assert list(frame.columns) == ["time_s", "x_m", "y_m", "radius_90_m", "probability", "facing_deg", "action"]
    assert len(frame) == len(track.time_s) >= len(take) - 1
    assert set(frame.action) <= set(run.prepared.action_names)
    assert frame.probability.between(0.01, 1).all() and frame.facing_deg.between(-180, 180).all()
    assert (frame.radius_90_m > 0).all()
    assert "plotly" in (tmp_path / "track.html").read_text()[:5_000_000].lower()
    localizer = run.localizer(run.stage1(), run.stage2())
    again = localizer.localize(open_recording(imu).imu, localizer.encode_map(open_map(cloud)))
    np.testing.assert_array_equal(again.position_m, track.position_m)


def test_wrong_input_is_one_sentence_and_leaves_no_file(run, tmp_path):
    root = run.dataset()
    take = run.prepared.by_split("test-unseen")[0]
    imu = root / "takes" / take.name / "imu-left.parquet"
    cloud = next((root / "takes" / EgoExo4D(root).map_take(take.name).name / "trajectory").glob("semidense*"))
    folder = run.localizer(run.stage1(), run.stage2()).save(tmp_path / "weights")
    frame = pd.read_parquet(imu)
    gs = frame.copy()
    gs[["acc_x", "acc_y", "acc_z"]] /= 9.80665
    gs.to_parquet(tmp_path / "g.parquet")
    truncated = tmp_path / "cut.csv.gz"
    truncated.write_bytes(cloud.read_bytes()[:20000])
    out = tmp_path / "out.csv"
    for bad_imu, bad_map, weights, error, words in (
        (tmp_path / "no.csv", cloud, folder, RecordingError, "no.csv"),
        (tmp_path / "g.parquet", cloud, folder, RecordingError, "looks like g"),
        (imu, tmp_path / "no.csv.gz", folder, MapError, "no.csv.gz"),
        (imu, truncated, folder, MapError, "cut.csv.gz"),
        (imu, cloud, tmp_path, CheckpointError, "config.json"),
    ):
        with pytest.raises(error, match=words) as caught:
            localize_files(bad_imu, bad_map, out, weights=weights)
        assert "\n" not in str(caught.value)
        assert not out.exists()


@pytest.mark.skipif(not REAL, reason="EAILKIT_REAL_DATA names no folder of real recordings")
def test_the_real_walk_is_localized_and_its_error_is_reported(tmp_path, record_property):
    """One wearer, another room, another sensor side: whatever the error is, it is reported."""
    if not (QUICK_WEIGHTS / "config.json").exists():
        pytest.skip("data_samples holds no quick weights")
    walk = Path(REAL) / "aria_walk"
    recording = open_recording(walk)
    localizer = Localizer.load()
    room = localizer.encode_map(open_map(walk / "trajectory" / "global_points.csv.gz"))
    track = localizer.localize(recording.imu, room)
    truth = recording.trajectory.position_at(track.time_s + recording.imu.t_s[0])[:, :2]
    error = np.linalg.norm(track.position_m - truth, axis=1)
    centres = room.grid.cell_centres[~room.clouds.empty]
    guess = np.linalg.norm(centres[None] - truth[:, None], axis=2).mean()
    record_property("median_error_m", float(np.median(error)))
    print(f"real walk: median error {np.median(error):.2f} m, a uniform guess {guess:.2f} m on average")
    assert len(track.time_s) == 11 and np.isfinite(error).all()
    assert (np.abs(track.position_m - room.grid.centre_xy_m) <= room.grid.side_m / 2).all()
