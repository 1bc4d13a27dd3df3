"""The three action baselines of EAIL's Table 2 by name: their sizes, and their training from first step to last.

`train_action_net` makes one, `action_training.predict_actions` asks it. EVI-MAE is first pretrained on spectrograms
with most of them hidden, IMU2CLIP first aligned with images and texts; DeepConvLSTM starts from random weights.

How many seconds each reads, and how fast, EAIL doesn't say. Here it was chosen on validation takes of SynthKitchen, so
that no baseline is weak for want of it: among 1, 3, 5 and 9 s, which is about EAIL's T = 10 s. Both sizes read the
same but for EVI-MAE's gyroscope, which the published one, 80.3 M parameters, leaves aside.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from eailkit.baselines import evi_mae, imu2clip
from eailkit.baselines.action_training import ActionBatches, ActionNet, fit_actions
from eailkit.baselines.deepconvlstm import DeepConvLSTM, DeepConvLstmConfig
from eailkit.baselines.evi_mae import EviMae, EviMaeConfig
from eailkit.baselines.imu2clip import Imu2Clip, Imu2ClipConfig
from eailkit.eail.prepared import Prepared
from eailkit.eail.targets import VisionLanguageTargets
from eailkit.errors import ConfigError
from eailkit.provenance import Identity, identity
from eailkit.training import History, TrainConfig, trained_identity

NETS = {"DeepConvLSTM": DeepConvLSTM, "EVI-MAE": EviMae, "IMU2CLIP": Imu2Clip}
ACTION_NETS = tuple(NETS)  # Table 2's names
PRETRAINED = ("EVI-MAE", "IMU2CLIP")
BATCH = 128

SIZES: dict[str, dict[str, Any]] = {
    "DeepConvLSTM": dict.fromkeys(("small", "paper"), DeepConvLstmConfig(context_s=5, rate_hz=10)),
    "EVI-MAE": {
        "small": EviMaeConfig(
            context_s=9, channels=6, n_fft=32, width=64, depth=3, heads=4, joint_heads=2, decoder_width=48,
            decoder_depth=1, decoder_heads=2, head_rate=10.0,
        ),
        "paper": EviMaeConfig(context_s=9),
    },
    "IMU2CLIP": {
        "small": Imu2ClipConfig(context_s=9, rate_hz=50, width=32, embed_dim=128, hidden=128),
        "paper": Imu2ClipConfig(context_s=9, rate_hz=50),
    },
}  # fmt: skip


def action_net_config(
    name: str, size: str = "small", *, context_s: int | None = None, embed_dim: int | None = None
) -> Any:
    """The configuration of a net.

    Args:
        name: one of `ACTION_NETS`.
        size: "small" or "paper".
        context_s: seconds that it reads, odd; the size's own where None.
        embed_dim: width of the towers' space, for IMU2CLIP; the size's own where None.

    Raises:
        ConfigError: no such net or size.
    """
    _known("action net", name, ACTION_NETS)
    _known("size", size, tuple(SIZES[name]))
    config = SIZES[name][size]
    if context_s is not None:
        config = replace(config, context_s=context_s)
    return replace(config, embed_dim=embed_dim) if embed_dim is not None and name == "IMU2CLIP" else config


def action_net(name: str, classes: int, config: Any) -> ActionNet:
    """An untrained net."""
    _known("action net", name, ACTION_NETS)
    return NETS[name](classes, config)


def train_action_net(
    name: str, prepared: Prepared, out_dir: str | Path | None, *, train: TrainConfig, size: str = "small",
    targets: VisionLanguageTargets | None = None, pretrain: TrainConfig | None = None, config: Any = None,
    batch: int = BATCH, progress: bool = True,
) -> tuple[ActionNet, History]:  # fmt: skip
    """Train one of Table 2's baselines on the training takes, resuming what is in out_dir; in eval mode, with its log.

    Args:
        name: one of `ACTION_NETS`.
        train: schedule of what learns actions; where it validates, the weights are those of the best.
        size: see `action_net_config`; `config` says it in full instead.
        targets: image and text features, which IMU2CLIP alone reads.
        pretrain: schedule of EVI-MAE's masked autoencoder and IMU2CLIP's alignment, which keep their last weights;
            `train`, never stopped early, where None. Of no steps: there is none.
        batch: windows a step, of both.

    Raises:
        ConfigError: no such net or size, or IMU2CLIP without targets or with targets of another width.
    """
    _known("action net", name, ACTION_NETS)
    if name == "IMU2CLIP" and targets is None:
        raise ConfigError(
            "IMU2CLIP: found no image and text features; expected `VisionLanguageTargets` of the training takes; give "
            "targets."
        )
    width = next(iter(targets.image.values())).shape[1] if targets is not None and targets.image else None
    config = config or action_net_config(name, size, embed_dim=width)
    guided = targets.identity if targets is not None else None
    context = action_net_identity(name, prepared, config, train=train, pretrain=pretrain, targets=guided, batch=batch)
    pretrain = _whole(pretrain or train)
    torch.manual_seed((pretrain if name in PRETRAINED else train).seed)
    net = action_net(name, len(prepared.action_names), config)
    net.calibrate(ActionBatches(prepared, batch, net.context_s).some())
    if name == "EVI-MAE" and pretrain.steps:
        evi_mae.pretrain(net, prepared, pretrain, batch=batch, out_dir=out_dir, progress=progress)
    if name == "IMU2CLIP" and pretrain.steps:
        imu2clip.align(net, prepared, targets, pretrain, batch=batch, out_dir=out_dir, progress=progress)
    history = fit_actions(
        net, prepared, train, context, batch=batch, out_dir=out_dir, name=file_name(name), progress=progress
    )
    return net.eval(), history


def action_net_identity(
    name: str, prepared: Prepared, config: Any, *, train: TrainConfig, pretrain: TrainConfig | None = None,
    targets: Identity | None = None, batch: int = BATCH,
) -> Identity:  # fmt: skip
    """What an action baseline is determined by, but for `train`, which `training.trained_identity` adds.

    Args, but for `config` and for `targets`, which is their identity: as `train_action_net`'s.
    """
    before = None
    if name == "EVI-MAE":
        before = evi_mae.pretraining_identity(prepared, config, batch)
    if name == "IMU2CLIP":
        before = imu2clip.alignment_identity(prepared, targets, config, batch)
    return identity(
        "action net", code=(NETS[name].__module__,), net=name, data=prepared.identity, config=config, batch=batch,
        pretrained=trained_identity(_whole(pretrain or train), before) if before is not None else None,
    )  # fmt: skip


def _whole(train: TrainConfig) -> TrainConfig:
    """A schedule without validations."""
    return replace(train, validate_every=0, min_steps=0, patience=0)


def file_name(name: str) -> str:
    """A net's name in file names."""
    return name.lower().replace("-", "_")


def _known(what: str, found: str, known: tuple[str, ...]) -> None:
    if found not in known:
        raise ConfigError(f"{what}: found '{found}'; expected one of {', '.join(known)}; choose one of these.")
