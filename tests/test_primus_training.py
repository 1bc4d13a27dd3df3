"""PRIMUS's training: it learns, the queue and the masks do what they say, runs resume, wrong data is refused."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from eailkit.errors import CheckpointError, ConfigError
from eailkit.primus.batches import Batches
from eailkit.primus.config import METHODS, PrimusConfig
from eailkit.primus.losses import FeatureQueue
from eailkit.primus.model import Primus, load, pretrain, save
from eailkit.primus.triplets import Triplets, concatenate, unlabelled
from eailkit.training import TrainConfig, fit

SMALL = {"stacked_rnn": {"embed_dim": 32}, "motion_gru": {"bands": 4, "width": 16, "hidden": 16, "embed_dim": 32}}
WIDTH = 24  # of the other modalities' features


def some(n: int = 32, seed: int = 0) -> Triplets:
    """Random windows of two takes with features of their own."""
    rng = np.random.default_rng(seed)
    imu = rng.normal(0, 1, (n, 6, 250)).cumsum(2) * 0.1 + np.array([0, 0, 9.8, 0, 0, 0])[:, None]
    video, text = (rng.normal(size=(n, WIDTH)).astype(np.float32) for _ in range(2))
    video /= np.linalg.norm(video, axis=1, keepdims=True)
    yes, take = np.ones(n, bool), np.where(np.arange(n) % 2, "one", "two")
    return Triplets(imu.astype(np.float32), video, text, yes, yes, take, 1.5 * np.arange(n), np.full(n, "cooking"))


def small(method: str = "PRIMUS", encoder: str = "stacked_rnn", **changes) -> PrimusConfig:
    return replace(METHODS[method], encoder=encoder, encoder_options=SMALL[encoder], queue=64, **changes)


def steps(n: int, **changes) -> TrainConfig:
    return TrainConfig(**{"steps": n, "learning_rate": 3e-3, "warmup_steps": 5, "device": "cpu"} | changes)


def batch_of(data: Triplets, config: PrimusConfig, size: int = 32, seed: int = 0) -> dict:
    return Batches(data, config, size)(np.random.default_rng(seed), 0)


@pytest.mark.parametrize("encoder", SMALL)
def test_the_full_objective_learns_a_batch_by_heart(encoder):
    data = some()
    config = replace(small(encoder=encoder), apart_s=0.0)  # else neighbours ask for another window's frame
    model, history = pretrain(data, config, steps(100), batch=32, progress=False)
    chance = 4 * np.log(32)  # two modalities, both directions
    assert history.column("mm")[0] > chance - 1 and history.column("mm")[-1] < 0.2 * chance
    assert history.column("nn")[0] == 0 and (history.column("nn")[1:] > 0).all()  # the queue was empty once
    found = model.embed(data.imu)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    assert ((found @ data.video.T).argmax(1) == np.arange(32)).all()


@pytest.mark.parametrize("encoder", SMALL)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_steps_with_finite_loss_and_gradients(method, encoder):
    config = small(method, encoder)
    torch.manual_seed(0)
    model = Primus(config, feature_dim=WIDTH).train()
    for step in range(2):  # the second finds neighbours in the queue
        loss = model.loss(batch_of(some(), config, seed=step))
        assert torch.isfinite(loss["total"])
    model.zero_grad()
    loss["total"].backward()
    reached = [p.grad for p in model.encoder.parameters() if p.grad is not None]
    assert all(torch.isfinite(g).all() for g in reached) and sum(float(g.abs().sum()) for g in reached) > 0
    names = {"multitask", "simclr"} & set(config.terms)
    assert set(loss) == ({"total"} if names else {*config.terms, "total"})


def test_a_window_is_no_neighbour_of_itself_nor_of_what_it_overlaps():
    queue = FeatureQueue({"video": 4}, 8)
    video = torch.eye(4)
    origin = torch.tensor([0, 100, 400, 10_000_000])  # samples at 50 Hz; 5 s are 250
    queue.add(video=video, origin=origin)
    near = queue.near(origin, 250)
    expected = (origin[:, None] - origin[None]).abs() < 250
    assert torch.equal(near[:, :4], expected) and not near[:, 4:].any()
    found = queue.neighbours(video, excluded=near)["index"]
    assert not expected[torch.arange(4), found].any() and (found < 4).all()
    assert torch.equal(queue.neighbours(video)["index"], torch.arange(4)), "without it every window finds itself"


def test_the_queue_is_written_in_training_alone():
    config = small()
    model, batch = Primus(config, feature_dim=WIDTH), batch_of(some(), config)
    model.eval().loss(batch)
    assert len(model.queue) == 0
    model.train().loss(batch)
    assert len(model.queue) == 32
    before = model.queue.rows_video.clone()
    model.eval().loss(batch_of(some(seed=1), config))
    assert len(model.queue) == 32 and torch.equal(model.queue.rows_video, before)


def test_without_counting_valid_rows_nothing_is_a_neighbour():
    config = small()
    queue = Primus(config, feature_dim=WIDTH).train().queue
    away = torch.nn.functional.normalize(torch.ones(1, WIDTH), dim=1)
    queue.add(imu=torch.randn(8, 32), video=-away.expand(8, -1), text=torch.randn(8, WIDTH))
    assert queue.neighbours(away, count_valid=True)["index"].item() < 8
    released = queue.neighbours(away, count_valid=False)
    assert released["index"].item() >= 8 and not released["imu"].any()


def test_equal_windows_are_no_negatives_where_they_are_masked():
    data = some(16)
    twice = concatenate([data, data])
    batch = batch_of(twice, small())
    assert batch["equal"].sum() == 64 and torch.equal(batch["equal"], batch["equal"].T)
    same = replace(data, take=np.full(16, "one"), start_s=np.zeros(16))
    for masked in (True, False):
        config = small("IMU2CLIP", mask_equal=masked)
        loss = Primus(config, feature_dim=WIDTH).eval().loss(batch_of(same, config))["mm"]
        assert (float(loss.detach()) < 1e-5) == masked


def test_windows_on_epoch_clocks_are_told_apart():
    data = some(16)
    take, start = np.repeat(["a", "b"], 8), 1.6e9 + np.repeat([200_000.0, 0.0], 8) + 5.0 * np.tile(np.arange(8), 2)
    equal = batch_of(replace(data, take=take, start_s=start), small())["equal"]
    assert torch.equal(equal, torch.eye(16, dtype=torch.bool))


def test_the_release_augments_one_view_the_paper_two():
    paper, released = (batch_of(some(), small(m)) for m in ("PRIMUS", "PRIMUS, as released"))
    assert {"imu", "view1", "view2"} <= set(paper) and "view1" not in released and {"imu", "view2"} <= set(released)
    assert not torch.equal(released["view2"], released["imu"]) and not torch.equal(paper["view1"], paper["imu"])
    assert {"view1", "view2"} <= set(batch_of(some(), small("SimCLR"))) and "imu" not in batch_of(some(), small("SS"))


def test_a_batch_depends_on_its_generator_alone_and_draws_no_row_twice():
    one, two = (batch_of(some(40), small(), seed=3) for _ in range(2))
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert len(torch.unique(one["video"], dim=0)) == 32
    assert not torch.equal(one["imu"], batch_of(some(40), small(), seed=4)["imu"])


@pytest.mark.parametrize("encoder", SMALL)
def test_a_killed_run_goes_on_with_the_same_losses_and_queue(tmp_path, encoder):
    data, config, train = some(48), small(encoder=encoder), steps(8)

    def run(name: str, **options) -> tuple[Primus, np.ndarray]:
        torch.manual_seed(0)
        model = Primus(config, feature_dim=WIDTH)
        history = fit(
            model, Batches(data, config, 32), lambda m, b: m.loss(b), train,
            out_dir=tmp_path / name, progress=False, **options,
        )  # fmt: skip
        return model, history.column("total")

    whole, expected = run("whole")
    run("killed", stop_at=3)
    resumed, found = run("killed")
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert int(resumed.queue.count) == int(whole.queue.count) == 8 * 32
    torch.testing.assert_close(resumed.queue.rows_video, whole.queue.rows_video)
    torch.testing.assert_close(resumed.queue.rows_imu, whole.queue.rows_imu, rtol=1e-4, atol=1e-5)


def test_pretraining_finds_its_own_run_again(tmp_path):
    data, options = some(), {"batch": 16, "out_dir": tmp_path, "progress": False}
    first, history = pretrain(data, small(), steps(3), **options)
    again, same = pretrain(data, small(), steps(3), **options)
    assert same.steps == history.steps
    np.testing.assert_array_equal(first.embed(data.imu), again.embed(data.imu))
    other, _ = pretrain(some(seed=1), small(), steps(3), **options)  # another run, with files of its own
    assert not np.array_equal(first.embed(data.imu), other.embed(data.imu))
    assert len(list(tmp_path.glob("primus.*.json"))) == 2


def test_windows_without_frame_and_words_train_the_self_supervised_term():
    data = some()
    extra = unlabelled(data.imu[:16] + 0.1, np.full(16, "1A"), 5.0 * np.arange(16), WIDTH)
    both = concatenate([data, extra])
    assert both.has_video.sum() == 32 and len(both) == 48
    pretrain(both, small(), steps(2), batch=48, progress=False)
    with pytest.raises(ConfigError, match="width"):
        concatenate([data, unlabelled(data.imu, data.take, data.start_s, WIDTH + 1)])


@pytest.mark.parametrize(
    ("data", "config", "said"),
    [
        (some(15), small(), "15 windows"),
        (some().aligned(0.0), small(), "no window with text"),
        (replace(some(), has_video=np.zeros(32, bool)), small("IMU2CLIP (video)"), "no window with video"),
        (replace(some(), has_text=np.zeros(32, bool)), small("NN"), "no window with text"),
    ],
)
def test_data_that_a_method_cannot_train_on_is_refused(data, config, said):
    with pytest.raises(ConfigError, match=said) as fault:
        pretrain(data, config, steps(1), progress=False)
    assert "\n" not in str(fault.value)


def test_methods_that_need_no_other_modality_train_without():
    for method in ("SimCLR", "SS", "MultitaskSSL", "NN, IMU alone"):
        pretrain(some().aligned(0.0), small(method), steps(2), batch=16, progress=False)
    with pytest.raises(ConfigError, match="batch of 4"):
        pretrain(some(), small("MultitaskSSL"), steps(2), batch=4, progress=False)


@pytest.mark.parametrize("encoder", SMALL)
def test_saved_weights_give_the_same_features(tmp_path, encoder):
    data = some()
    model, _ = pretrain(data, small(encoder=encoder), steps(2), progress=False)
    path = save(model, tmp_path / "model.safetensors", trained_on="noise")
    again, card = load(path)
    assert card == {"trained_on": "noise"}
    whole = asdict(model.encoder.config)  # a file names every option: defaults may change after it was written
    assert again.config == replace(model.config, encoder_options=whole) and again.encoder.config == model.encoder.config
    for at in ("encoder", "ssl", "multimodal"):
        np.testing.assert_array_equal(again.embed(data.imu, at=at), model.embed(data.imu, at=at))
    one = np.concatenate([again.embed(data.imu[k : k + 1]) for k in range(5)])
    np.testing.assert_allclose(one, model.embed(data.imu, batch=3)[:5], atol=1e-5)
    with pytest.raises(ConfigError, match="top"):
        again.embed(data.imu, at="top")


def test_weights_of_something_else_are_refused(tmp_path):
    for metadata in (None, {"config": "{}"}, {"config": '{"terms": 3}', "card": "{}", "feature_dim": "x"}):
        save_file({"a": torch.zeros(2)}, str(tmp_path / "other.safetensors"), metadata=metadata)
        with pytest.raises(CheckpointError, match=r"other\.safetensors"):
            load(tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match=r"absent"):
        load(tmp_path / "absent.safetensors")
    whole = save(Primus(small(), feature_dim=16), tmp_path / "whole.safetensors")
    (tmp_path / "half.safetensors").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=r"half\.safetensors.*truncated"):
        load(tmp_path / "half.safetensors")


def test_smaller_shares_of_aligned_data_are_part_of_larger_ones():
    data = some(200)
    tenth, half = data.aligned(0.1), data.aligned(0.5)
    assert tenth.has_video.sum() == 20 and half.has_text.sum() == 100
    assert not (tenth.has_video & ~half.has_video).any() and np.array_equal(half.has_video, half.has_text)
    assert not np.array_equal(data.aligned(0.5, seed=1).has_video, half.has_video)
    assert data.aligned(1.0).data_hash == data.data_hash != half.data_hash
    with pytest.raises(ConfigError, match=r"1\.5"):
        data.aligned(1.5)
