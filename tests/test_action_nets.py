"""The action baselines of Table 2: published sizes, spectrograms against SciPy, masks, gradients, batches by heart."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import scipy.signal
import torch
from torch import nn

from eailkit.baselines import evi_mae, imu2clip
from eailkit.baselines.action_nets import (
    ACTION_NETS,
    action_net,
    action_net_config,
    action_net_identity,
    train_action_net,
)
from eailkit.baselines.action_training import (
    VALIDATION_STEP_S,
    ActionBatches,
    fit_actions,
    held_out_action_loss,
    predict_actions,
    with_context,
)
from eailkit.baselines.deepconvlstm import DeepConvLstmConfig
from eailkit.baselines.evi_mae import EviMae, EviMaeConfig, MaskedAutoencoder
from eailkit.baselines.imu2clip import Alignment, AlignmentBatches, Imu2Clip, Imu2ClipConfig, Imu2ClipEncoder
from eailkit.eail.evaluation import score_take
from eailkit.eail.prepared import Prepared, TakeCache
from eailkit.eail.targets import VisionLanguageTargets
from eailkit.errors import ConfigError, DatasetError
from eailkit.preprocess.imu import yaw
from eailkit.provenance import identity
from eailkit.training import TrainConfig, multiplies_bf16

ACTIONS = ("stir", "cut", "walk", "wait")
HZ = (1.0, 2.5, 4.0, 0.0)  # at which heads nod, by action
CONFIGS = {
    "DeepConvLSTM": DeepConvLstmConfig(rate_hz=50, filters=8, hidden=16, dropout=0.0),
    "EVI-MAE": EviMaeConfig(
        n_fft=64, width=32, depth=1, heads=2, joint_heads=1, decoder_width=16, decoder_depth=1, decoder_heads=1,
        head_rate=1.0,
    ),
    "IMU2CLIP": Imu2ClipConfig(width=8, embed_dim=16, hidden=32, dropout=0.0),
}  # fmt: skip


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def take(folder, name: str, split: str, number: int, n: int = 60) -> TakeCache:
    """A wearer of any facing who nods, forward and back, as often as the action says; some seconds have no label."""
    rng, path = np.random.default_rng(number), folder / f"{name}.npz"
    action = np.repeat(rng.permutation(np.arange(n // 5) % len(ACTIONS)), 5)
    facing = rng.uniform(-3, 3, n).astype(np.float32)
    t = (np.arange(400) + 0.5) / 400
    wave = np.sin(2 * np.pi * np.array(HZ)[action][:, None] * t + rng.uniform(0, 6.28, (n, 1)))
    windows = rng.normal(0, 0.05, (n, 6, 400))
    windows[:, 0] += 3 * wave
    windows[:, 4] += wave
    windows[:, 2] += 9.81
    windows = yaw(torch.from_numpy(windows), torch.from_numpy(facing.astype(float))).numpy().astype(np.float32)
    np.save(path.with_suffix(".windows.npy"), windows)
    np.savez(path, facing=facing, cell=np.full(n, -1, np.int16),
             action=np.where(np.arange(n) % 10 == 0, -1, action).astype(np.int16))  # fmt: skip
    return TakeCache(path, name, "room", "p", split, n, 0.0)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Prepared:
    folder = tmp_path_factory.mktemp("takes")
    names = (("a", "train"), ("b", "train"), ("c", "train"), ("d", "val-seen"), ("e", "val-unseen"))
    return Prepared(folder, [take(folder, n, s, k) for k, (n, s) in enumerate(names)], {}, ACTIONS, "made up")


@pytest.fixture(scope="module")
def targets(prepared) -> VisionLanguageTargets:
    """Image and text features that name the action; every fourth second has no frame, every fifth no caption."""
    rng = np.random.default_rng(0)
    words = rng.normal(size=(len(ACTIONS), 16)).astype(np.float32)
    words /= np.linalg.norm(words, axis=1, keepdims=True)
    train = prepared.by_split("train")
    caption = {t.name: np.where(np.arange(len(t)) % 5 == 0, -1, t.action).astype(np.int64) for t in train}
    has = {t.name: np.arange(len(t)) % 4 > 0 for t in train}
    image = {t.name: np.where(has[t.name][:, None], words[t.action], 0).astype(np.float32) for t in train}
    return VisionLanguageTargets(image, words, caption, has, identity("targets", made="up"))


def made(name: str, prepared: Prepared, config=None):
    torch.manual_seed(0)
    net = action_net(name, len(ACTIONS), config or CONFIGS[name])
    net.calibrate(ActionBatches(prepared, 8, net.context_s).some())
    return net


def loss_of(model: nn.Module, batch: dict) -> dict[str, torch.Tensor]:
    """What each of them minimises."""
    if isinstance(model, MaskedAutoencoder):
        return {"total": model(batch["imu"])}
    return model.loss(model(batch["imu"]), batch if isinstance(model, Alignment) else batch["action"])


def test_nets_have_as_many_parameters_as_the_published_ones():
    assert count(action_net("DeepConvLSTM", 35, action_net_config("DeepConvLSTM", "paper"))) == 461_795
    assert count(Imu2ClipEncoder()) == count(Imu2ClipEncoder(time_axis=True)) == 850_892
    with torch.device("meta"):
        assert round(count(EviMae(35)) / 1e6, 1) == 80.3
        ours = action_net("IMU2CLIP", 35, action_net_config("IMU2CLIP", "paper")).encoder
    assert count(ours.trunk) == 3_846_144  # EAIL's backbone, RoNIN's ResNet-18


def test_the_public_imu2clip_scans_channels_where_windows_leave_as_many_bins_as_its_gru_reads():
    for time_axis in (False, True):
        model = Imu2ClipEncoder(16, time_axis=time_axis).eval()
        for samples in (978, 990, 1000, 1004):
            x = torch.randn(2, 6, samples)
            bins = model.trunk(x)
            assert bins.shape[1:] == (32, 32)
            steps = bins.transpose(1, 2) if time_axis else bins
            hidden = torch.zeros(1, 2, 16)
            for k in range(32):
                _, hidden = model.gru(steps[:, k : k + 1], hidden)
            assert torch.allclose(model(x), hidden[0], atol=1e-6)
    for samples in (977, 1005, 400):
        assert torch.isfinite(model(torch.randn(2, 6, samples))).all()  # over time
        with pytest.raises(ConfigError, match=f"windows of {samples} samples"):
            Imu2ClipEncoder(16)(torch.randn(2, 6, samples))
    assert model(torch.randn(2, 6, imu2clip.SHORTEST)).shape == (2, 16)
    with pytest.raises(ConfigError):
        model(torch.randn(2, 6, imu2clip.SHORTEST - 1))
    net = Imu2Clip(4, Imu2ClipConfig(context_s=5, rate_hz=200, encoder="public", embed_dim=16, hidden=8))
    assert net(torch.randn(2, 6, 2000)).shape == (2, 4)


@pytest.mark.parametrize("context_s", [1, 5])
@pytest.mark.parametrize("n_fft", [64, 256])
def test_spectrograms_are_scipys(context_s, n_fft):
    config = EviMaeConfig(context_s=context_s, n_fft=n_fft)
    rng, t = np.random.default_rng(0), np.arange(400 * context_s) / 400
    x = np.stack([np.sin(2 * np.pi * f * t + 0.3) for f in (1.5, 4.0, 11.0)])[None] + 2.0
    x = x + rng.normal(0, 0.01, x.shape)
    found = evi_mae.Spectrogram(config).decibels(torch.from_numpy(x.astype(np.float32))).numpy()
    even = (x - x.mean(-1, keepdims=True)) @ evi_mae.resampling_matrix(400 * context_s, 320).numpy().astype(float)
    padded = np.pad(even, ((0, 0), (0, 0), (12, 12)), mode="reflect")
    _, _, z = scipy.signal.stft(
        padded, nperseg=24, noverlap=23, nfft=n_fft, window="hann", boundary=None, padded=False, detrend=False
    )
    power = np.abs(z * scipy.signal.get_window("hann", 24).sum()) ** 2  # SciPy divides by the window's sum
    expected = 10 * np.log10(np.maximum(power, 1e-10))[..., : n_fft // 2, :320]
    assert found.shape == (1, 3, n_fft // 2, 320)
    loud = expected > -40
    assert loud.mean() > 0.5 and np.abs(found - expected)[loud].max() < 0.05
    frames = torch.stft(
        torch.from_numpy(even[0].astype(np.float32)), n_fft, 1, 24, torch.hann_window(24), return_complex=True
    )  # the public code's own transform
    assert (
        np.abs(10 * np.log10(frames.abs().numpy() ** 2 + 1e-10)[:, : n_fft // 2, :320] - expected[0])[loud[0]].max()
        < 0.1
    )


def test_resampling_keeps_what_the_new_rate_holds_and_drops_the_rest():
    samples, points = 2000, 320  # 400 Hz to 64 Hz
    old, new = (np.arange(samples) + 0.5) / 400, (np.arange(points) + 0.5) / 64
    matrix = evi_mae.resampling_matrix(samples, points).numpy()
    inner = slice(20, -20)
    for hz, kept in ((3.0, 1.0), (20.0, 1.0), (45.0, 0.0), (150.0, 0.0)):
        wave = np.cos(2 * np.pi * hz * old) @ matrix
        assert np.abs(wave - kept * np.cos(2 * np.pi * hz * new))[inner].max() < 0.02, hz
    assert np.allclose(np.ones(samples) @ matrix, 1.0, atol=1e-5)
    up = np.cos(2 * np.pi * 10 * (np.arange(64) + 0.5) / 50) @ evi_mae.resampling_matrix(64, 320).numpy()
    assert np.abs(up - np.cos(2 * np.pi * 10 * (np.arange(320) + 0.5) / 250))[40:-40].max() < 0.02


def test_masks_hide_the_share_that_they_say_and_the_loss_asks_for_hidden_patches_alone(prepared):
    torch.manual_seed(0)
    model = MaskedAutoencoder(made("EVI-MAE", prepared)).eval()
    hidden = model.hidden(64)
    tokens = 2 * 20
    assert hidden.shape == (64, tokens) and (hidden.sum(1) == 30).all()
    assert (hidden.float().mean(0) - 0.75).abs().max() < 0.25 and len(torch.unique(hidden, dim=0)) == 64
    image = model.encoder.image(ActionBatches(prepared, 4, 1).some(4))
    hidden = hidden[:4]
    says = model.reconstruct(image, hidden).detach()
    other = evi_mae.patchify(image, 16)
    other[hidden] = torch.randn_like(other[hidden])  # what is hidden can't be seen
    assert torch.equal(unpatchify(evi_mae.patchify(image, 16), image.shape), image)
    assert torch.allclose(model.reconstruct(unpatchify(other, image.shape), hidden), says, atol=1e-6)
    other[~hidden] += 1.0  # what is shown can
    assert not torch.allclose(model.reconstruct(unpatchify(other, image.shape), hidden), says, atol=1e-3)
    model.hidden = lambda *_: hidden
    model.encoder.image = lambda _: image
    wanted = evi_mae.patchify(image, 16)
    wanted = (wanted - wanted.mean(-1, keepdim=True)) / wanted.std(-1, keepdim=True)
    by_hand = np.mean([float((says[i, j] - wanted[i, j]).square().mean()) for i in range(4) for j in range(tokens)
                       if hidden[i, j]])  # fmt: skip
    assert float(model(torch.zeros(4, 6, 400)).detach()) == pytest.approx(by_hand, rel=1e-4)


def unpatchify(x: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """By loops: token k is the patch in row k // columns and column k % columns."""
    image, columns = torch.empty(shape), shape[3] // 16
    for k in range(x.shape[1]):
        r, c = 16 * (k // columns), 16 * (k % columns)
        image[:, :, r : r + 16, c : c + 16] = x[:, k].reshape(-1, shape[1], 16, 16)
    return image


def test_a_heads_own_rate_is_a_parameter_group_of_its_own_for_adam(prepared):
    batch = ActionBatches(prepared, 16, 1)(np.random.default_rng(0), 0)
    fast = made("EVI-MAE", prepared, replace(CONFIGS["EVI-MAE"], head_rate=20.0))
    plain = made("EVI-MAE", prepared)
    groups = [{"params": [p for n, p in plain.named_parameters() if n != "head.weight"]},
              {"params": [plain.head.weight], "lr": 20e-3}]  # fmt: skip
    both = ((fast, torch.optim.Adam(fast.parameters(), 1e-3)), (plain, torch.optim.Adam(groups, 1e-3)))
    for _ in range(3):
        outs = []
        for model, optimizer in both:
            loss = loss_of(model, batch)["total"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            outs.append(float(loss.detach()))
        assert outs[0] == pytest.approx(outs[1], rel=1e-4)


def test_smoothed_labels_are_torchs(prepared):
    model, batch = made("EVI-MAE", prepared), ActionBatches(prepared, 16, 1)(np.random.default_rng(0), 0)
    terms, logits = loss_of(model, batch), model(batch["imu"])
    expected = nn.functional.cross_entropy(logits, batch["action"], label_smoothing=0.1)
    assert float(terms["total"].detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    assert float(terms["plain"].detach()) == pytest.approx(
        float(nn.functional.cross_entropy(logits, batch["action"]).detach()), rel=1e-5
    )


@pytest.mark.parametrize("name", ACTION_NETS)
def test_gradients_reach_every_parameter(name, prepared, targets):
    net = made(name, prepared, replace(CONFIGS[name], context_s=3)).train()
    batch = ActionBatches(prepared, 16, 3)(np.random.default_rng(0), 0)
    parts = {"actions": (net, batch)}
    if name == "EVI-MAE":
        parts["pretraining"] = (MaskedAutoencoder(copy.deepcopy(net)), batch)
    if name == "IMU2CLIP":
        aligned = copy.deepcopy(net)
        aligned.head.requires_grad_(False)
        parts["alignment"] = (
            Alignment(aligned),
            AlignmentBatches(prepared, targets, 16, 3)(np.random.default_rng(0), 0),
        )
    for what, (model, drawn) in parts.items():
        loss_of(model, drawn)["total"].backward()
        without = [n for n, p in model.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
        assert not without, (what, without)


@pytest.mark.parametrize("name", ACTION_NETS)
def test_each_net_learns_a_batch_by_heart(name, prepared):
    net = made(name, prepared, replace(CONFIGS[name], label_smoothing=0.0) if name == "EVI-MAE" else None).train()
    batch = ActionBatches(prepared, 24, 1, shuffle_labels=True)(np.random.default_rng(1), 0)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(800):
        loss = loss_of(net, batch)["total"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if float(loss.detach()) < 0.05:
            break
    assert float(loss.detach()) < 0.05


def hits(net, prepared: Prepared) -> float:
    """Top-1 on the validation takes, percent, each once."""
    return float(np.mean([score_take(prepared, t, predict_actions(net, t))["top1"] for t in prepared.held_out]))


@pytest.mark.parametrize("name", ACTION_NETS)
def test_each_net_is_trained_to_new_wearers_and_found_again(name, prepared, targets, tmp_path):
    train = TrainConfig(steps=120, learning_rate=3e-3, warmup_steps=5, validate_every=40)
    pretrain = TrainConfig(steps=30, learning_rate=3e-3, warmup_steps=5)
    options = {"config": CONFIGS[name], "batch": 24, "targets": targets, "pretrain": pretrain, "progress": False}
    net, history = train_action_net(name, prepared, tmp_path, train=train, **options)
    assert hits(net, prepared) > 50 and history.best_step and not net.training
    assert all(p.requires_grad for p in net.parameters())
    losses = held_out_action_loss(prepared)(net)
    assert losses == pytest.approx(min(v for _, v in history.validation), rel=1e-4)  # the best's weights
    files = sorted(p.name for p in tmp_path.iterdir())
    again, found = train_action_net(name, prepared, tmp_path, train=train, **options)
    assert found.steps == history.steps and sorted(p.name for p in tmp_path.iterdir()) == files
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True))
    assert len(files) == (2 if name == "DeepConvLSTM" else 4)


@pytest.mark.parametrize("name", ACTION_NETS)
def test_both_trainings_are_in_the_precision_that_their_names_say(name, prepared, targets, monkeypatch):
    if not multiplies_bf16("cpu"):
        pytest.skip("this processor doesn't multiply bfloat16")
    found = []
    for layer in (nn.Conv2d, nn.Conv1d):
        forward = layer.forward
        monkeypatch.setattr(layer, "forward", lambda self, x, forward=forward: found.append(y := forward(self, x)) or y)
    train = TrainConfig(steps=1, precision="bf16-mixed", device="cpu")
    train_action_net(name, prepared, None, train=train, config=CONFIGS[name], batch=4, targets=targets, progress=False)
    assert found and {y.dtype for y in found} == {torch.bfloat16}


@pytest.mark.parametrize("name", ACTION_NETS)
def test_shuffled_labels_teach_nothing(name, prepared):
    net = made(name, prepared)
    train = TrainConfig(steps=120, learning_rate=3e-3, warmup_steps=5, validate_every=40)
    fit_actions(net, prepared, train, identity("x"), batch=24, name="x", out_dir=None, progress=False,
                shuffle_labels=True)  # fmt: skip
    share = np.bincount(np.concatenate([t.action[t.action >= 0] for t in prepared.by_split("train")])) / 162
    labels = [t.action[t.action >= 0][::VALIDATION_STEP_S] for t in prepared.held_out]
    majority = np.mean([-np.log(share[label]).mean() for label in labels])
    assert held_out_action_loss(prepared)(net) > majority - 0.05


@pytest.mark.parametrize("name", ACTION_NETS)
def test_where_the_recording_began_to_face_changes_nothing(name, prepared):
    net, one = made(name, prepared, replace(CONFIGS[name], context_s=3)).eval(), prepared.held_out[0]
    before = predict_actions(net, one).action
    assert before.shape == (len(one), len(ACTIONS)) and np.allclose(before.sum(1), 1, atol=1e-5)
    for angle in (0.7, 2.9):
        turned = yaw(torch.from_numpy(np.array(one.windows)), angle).numpy()
        other = SimpleTake(turned, one.facing + angle)
        assert np.abs(predict_actions(net, other).action - before).max() < 1e-3
    assert np.abs(predict_actions(net, SimpleTake(turned, one.facing)).action - before).max() > 1e-3


class SimpleTake:
    """Windows and where the head faced."""

    def __init__(self, windows, facing):
        self.windows, self.facing = windows, facing

    def __len__(self) -> int:
        return len(self.windows)


def test_a_second_stands_between_its_neighbours():
    windows = np.arange(4, dtype=np.float32)[:, None, None] + np.zeros((4, 6, 400), np.float32)
    found = with_context(windows, np.array([0, 2, 3]), 5)
    assert found.shape == (3, 6, 2000)
    assert found[:, 3].reshape(3, 5, 400).mean(2).tolist() == [[0, 0, 0, 1, 2], [0, 1, 2, 3, 3], [1, 2, 3, 3, 3]]
    rising = np.arange(2 * 400, dtype=np.float32).reshape(2, 1, 400).repeat(6, 1)
    assert (np.diff(with_context(rising, np.array([1]), 3)[0, 0, :800]) > 0).all()
    for wrong in (0, 2, -1):
        with pytest.raises(ConfigError, match=f"found {wrong}"):
            with_context(windows, np.array([0]), wrong)


def test_batches_hold_labelled_training_seconds_as_their_wearers_face(prepared):
    batches = ActionBatches(prepared, 400, 1)
    batch = batches(np.random.default_rng(0), 0)
    names = {batches.takes[i].split for i in batch["rows"][:, 0]}
    assert names == {"train"} and (batch["action"] >= 0).all()
    assert [int(batches.action[i][s]) for i, s in batch["rows"]] == batch["action"].tolist()
    moved = batch["imu"][batch["action"] < 3].std(dim=2)
    sideways = (moved[:, 1] / moved[:, 0]).numpy()  # a nod is forward and back
    assert np.median(sideways) < 0.12 and 0.05 < (sideways > 0.6).mean() < 0.2  # a tenth is turned at random
    assert len(ActionBatches(prepared, 4, 1, labelled=False)) == 180 and len(batches) == 162
    nothing = Prepared(prepared.cache_dir, prepared.held_out, {}, ACTIONS, "x")
    with pytest.raises(DatasetError, match="no second with an action"):
        ActionBatches(nothing, 4, 1)


def test_alignment_compares_windows_with_their_own_frames_and_captions(prepared, targets):
    batches = AlignmentBatches(prepared, targets, 64, 1)
    batch = batches(np.random.default_rng(0), 0)
    assert (batch["has_image"] | batch["has_text"]).all() and not (batch["has_image"] & batch["has_text"]).all()
    truth = np.array([batches.action[i][s] for i, s in batch["rows"]])
    seen, named = (batch[k].numpy() for k in ("has_image", "has_text"))
    assert np.allclose(batch["image"][seen & (truth >= 0)], targets.text[truth[seen & (truth >= 0)]])
    assert np.allclose(batch["text"][named & (truth >= 0)], targets.text[truth[named & (truth >= 0)]])
    net = made("IMU2CLIP", prepared)
    alignment = Alignment(net)
    assert float(alignment.logit_scale().detach()) == pytest.approx(10.0, rel=1e-5)
    terms = loss_of(alignment.eval(), batch)
    with torch.no_grad():
        unit = nn.functional.normalize(net.embed(batch["imu"]))
    seen = batch["has_image"]
    z = 10 * batch["image"][seen] @ unit[seen].T
    both = sum(nn.functional.cross_entropy(each, torch.arange(int(seen.sum()))) for each in (z, z.T))
    assert float(terms["image"].detach()) == pytest.approx(float(both), rel=1e-4)
    assert len({tuple(row) for row in batch["rows"]}) == 64  # no second is its own negative
    nothing = {name: np.full(len(rows), -1) for name, rows in targets.caption_id.items()}
    blind = {name: np.zeros(len(rows), bool) for name, rows in nothing.items()}
    with pytest.raises(DatasetError, match="no training second with a frame or a caption"):
        AlignmentBatches(prepared, replace(targets, caption_id=nothing, has_image=blind), 8, 1)


def test_what_cannot_be_is_said_in_a_sentence(prepared, targets):
    train = TrainConfig(steps=1)
    for name, options, message in (
        ("LSTM", {}, "expected one of DeepConvLSTM, EVI-MAE, IMU2CLIP"), ("EVI-MAE", {"size": "huge"}, "found 'huge'"),
        ("IMU2CLIP", {}, "found no image and text features"),
        ("IMU2CLIP", {"targets": targets, "config": replace(CONFIGS["IMU2CLIP"], embed_dim=32)}, "features of 16"),
        ("IMU2CLIP", {"targets": targets, "config": replace(CONFIGS["IMU2CLIP"], encoder="mlp")}, "encoder 'mlp'"),
        ("EVI-MAE", {"config": replace(CONFIGS["EVI-MAE"], points=100)}, "100 points"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=message):
            train_action_net(name, prepared, None, train=train, progress=False, **options)


def test_all_that_shapes_a_net_is_in_its_name(prepared, targets):
    train, other = TrainConfig(steps=9), identity("targets", made="otherwise")
    for name in ACTION_NETS:
        of = lambda config=CONFIGS[name], name=name, **o: action_net_identity(  # noqa: E731
            name, prepared, config, **{"train": train, "pretrain": train, "targets": targets.identity, "batch": 8} | o
        ).key  # fmt: skip
        keys = {of(), of(batch=9), of(replace(CONFIGS[name], context_s=3))}
        assert len(keys) == 3 and of() == of(pretrain=replace(train, checkpoint_every=3))
        assert (of(pretrain=replace(train, steps=8)) == of()) == (name == "DeepConvLSTM")
        assert (of(targets=other) == of()) == (name != "IMU2CLIP")
        assert of(pretrain=None) == of() == of(pretrain=replace(train, validate_every=2))
        assert of(train=replace(train, steps=7)) == of()
