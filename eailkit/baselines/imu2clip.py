"""IMU2CLIP (Moon et al., 2022): an IMU encoder aligned with a frozen vision-language model, then a head for actions.

EAIL's Table 2 trains it with EAIL's own backbones and data, so that it differs from EAIL in what it lacks: no map, no
place, no sequence. `Imu2Clip` is that; `Imu2ClipEncoder` is the public encoder, which can take the backbone's place.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from eailkit.baselines.action_training import ActionBatches, ActionNet, check_context, run
from eailkit.eail.prepared import Prepared
from eailkit.eail.targets import VisionLanguageTargets
from eailkit.encoders import ImuResNet18
from eailkit.errors import ConfigError, DatasetError
from eailkit.losses import LogitScale, info_nce
from eailkit.preprocess.imu import RATE_HZ
from eailkit.provenance import Identity, identity
from eailkit.training import History, TrainConfig, fit

TEMPERATURE = 0.1  # the first one; it is learned
SHORTEST = 141  # samples that the public encoder's convolutions need
READ_BY_CHANNELS = (978, 1004)  # samples that leave 32 time bins, as many as the GRU of the public code reads
ENCODERS = ("resnet18", "public")


class Imu2ClipEncoder(nn.Module):
    """The public encoder: norm by sensor, three dilated convolutions, norm, GRU; 850,892 parameters at 512.

    There is no activation between the convolutions. In the public code the GRU scans the 32 *channels* and reads the
    time bins as features, so that only windows fit which leave 32 bins: 978 to 1004 samples, its 5 s at 200 Hz.

    Args:
        embed_dim: hidden size of the GRU, the towers' joint space.
        time_axis: True scans time, any length from 141 samples; False the channels, as published.

    Shape:
        (B, 6, L) -> (B, embed_dim).
    """

    def __init__(self, embed_dim: int = 512, *, time_axis: bool = False, channels: int = 32):
        super().__init__()
        self.time_axis, self.embed_dim = time_axis, embed_dim
        convolve = lambda c, taps: [nn.Conv1d(c, channels, taps, dilation=2, bias=False), nn.MaxPool1d(3)]  # noqa: E731
        self.trunk = nn.Sequential(
            nn.GroupNorm(2, 6), *convolve(6, 10), *convolve(channels, 5), *convolve(channels, 5),
            nn.GroupNorm(4, channels),
        )  # fmt: skip
        self.gru = nn.GRU(channels, embed_dim, batch_first=True)

    def forward(self, imu: Float[Tensor, "batch 6 samples"]) -> Float[Tensor, "batch embed"]:
        """The GRU's last hidden state.

        Raises:
            ConfigError: a window of another length than this way of scanning can read.
        """
        least, most = (SHORTEST, imu.shape[-1]) if self.time_axis else READ_BY_CHANNELS
        if not least <= imu.shape[-1] <= most:
            raise ConfigError(
                f"IMU2CLIP: found windows of {imu.shape[-1]} samples; expected {least} to {most} where the GRU scans "
                f"{'time' if self.time_axis else 'channels'}; give windows of 5 s at 200 Hz, or time_axis=True."
            )
        x = self.trunk(imu)  # (B, 32, bins)
        _, last = self.gru(x.transpose(1, 2) if self.time_axis else x)
        return last[0]


@dataclass(frozen=True)
class Imu2ClipConfig:
    """Size.

    Attributes:
        context_s: seconds of a window; the public code's 5.
        rate_hz: samples a second that the encoder reads, of which 400 is a multiple (EAIL's 400, the public code's
            200).
        encoder: "resnet18" is EAIL's, "public" IMU2CLIP's own.
        width: of the ResNet's first group (64 in the paper).
        embed_dim: of the joint space, that of the towers.
        time_axis: see `Imu2ClipEncoder`.
        hidden: of the head's hidden layer.
        dropout: in the head.
    """

    context_s: int = 1
    rate_hz: int = 400
    encoder: str = "resnet18"
    width: int = 64
    embed_dim: int = 512
    time_axis: bool = False
    hidden: int = 512
    dropout: float = 0.5


class Imu2Clip(ActionNet):
    """An encoder and a head of two layers over its feature: (B, 6, 400 * context_s) -> (B, classes)."""

    def __init__(self, classes: int, config: Imu2ClipConfig | None = None):
        super().__init__()
        self.config = config = config or Imu2ClipConfig()
        self.context_s = check_context(config.context_s)
        if config.encoder not in ENCODERS:
            raise ConfigError(
                f"IMU2CLIP: found encoder '{config.encoder}'; expected one of {', '.join(ENCODERS)}; choose one."
            )
        if config.encoder == "public":
            self.encoder: nn.Module = Imu2ClipEncoder(config.embed_dim, time_axis=config.time_axis)
        else:
            self.encoder = ImuResNet18(config.width, config.embed_dim)
        self.head = nn.Sequential(
            nn.LayerNorm(config.embed_dim), nn.Linear(config.embed_dim, config.hidden), nn.GELU(),
            nn.Dropout(config.dropout), nn.Linear(config.hidden, classes),
        )  # fmt: skip

    def embed(self, imu: Float[Tensor, "batch 6 samples"]) -> Float[Tensor, "batch embed"]:
        """What is aligned with images and texts; not normalised."""
        step = round(RATE_HZ / self.config.rate_hz)
        return self.encoder(F.avg_pool1d(imu, step) if step > 1 else imu)

    def forward(self, imu: Float[Tensor, "batch 6 samples"]) -> Float[Tensor, "batch classes"]:
        """Logits of each window's action."""
        return self.head(self.embed(imu))


class Alignment(nn.Module):
    """IMU2CLIP's objective: windows beside the frozen image and text features of their middle second.

    L = L_c(I, M) + L_c(T, M), L_c the sum of both directions with one learned temperature from 0.1; seconds that share
    a caption are no negatives of each other in the text's term.
    """

    def __init__(self, net: Imu2Clip):
        super().__init__()
        self.net, self.logit_scale = net, LogitScale(1 / TEMPERATURE)

    def forward(self, imu: Float[Tensor, "batch 6 samples"]) -> Float[Tensor, "batch embed"]:
        """What is aligned."""
        return self.net.embed(imu)

    def loss(self, imu: Float[Tensor, "batch embed"], batch: dict) -> dict[str, Tensor]:
        """The objective of embedded windows and their batch of `AlignmentBatches`, and its two terms."""
        scale = self.logit_scale()
        image = info_nce(batch["image"], imu, scale, valid=batch["has_image"], reduction="sum")
        text = info_nce(
            batch["text"], imu, scale, valid=batch["has_text"], excluded=batch["same_text"], reduction="sum"
        )
        return {"total": image + text, "image": image, "text": text}


class AlignmentBatches(ActionBatches):
    """`ActionBatches` of the training seconds that have a frame or a caption, with the towers' features of both.

    Raises:
        DatasetError: there are none.
    """

    def __init__(self, prepared: Prepared, targets: VisionLanguageTargets, batch: int, context_s: int):
        super().__init__(prepared, batch, context_s, labelled=False)
        self.targets = targets
        has_image, caption = (np.concatenate([each[t.name] for t in self.takes])
                              for each in (targets.has_image, targets.caption_id))  # fmt: skip
        self.index = self.index[has_image | (caption >= 0)]
        if not len(self.index):
            raise DatasetError(
                "IMU2CLIP: found no training second with a frame or a caption; expected many; prepare the dataset with "
                "its videos or narrations."
            )

    def __call__(self, rng: np.random.Generator, step: int) -> dict:
        batch = super().__call__(rng, step)
        at = [(self.takes[i].name, s) for i, s in batch["rows"]]
        caption = np.array([self.targets.caption_id[name][s] for name, s in at])
        image = torch.from_numpy(np.stack([self.targets.image[name][s] for name, s in at]))
        texts = self.targets.text if len(self.targets.text) else np.zeros((1, image.shape[1]), np.float32)
        return batch | {
            "image": image, "text": torch.from_numpy(texts[np.maximum(caption, 0)]),
            "has_image": torch.from_numpy(np.array([self.targets.has_image[name][s] for name, s in at])),
            "has_text": torch.from_numpy(caption >= 0),
            "same_text": torch.from_numpy(caption[:, None] == caption[None]),
        }  # fmt: skip


def alignment_identity(prepared: Prepared, targets: Identity, config: Imu2ClipConfig, batch: int) -> Identity:
    """What an aligned encoder is determined by, its schedule apart."""
    return identity(
        "IMU2CLIP, aligned", code=("eailkit.baselines.imu2clip",), data=prepared.identity, targets=targets,
        config=config, batch=batch,
    )  # fmt: skip


def align(
    net: Imu2Clip, prepared: Prepared, targets: VisionLanguageTargets, train: TrainConfig, *, batch: int,
    out_dir: str | Path | None, progress: bool = True,
) -> History:  # fmt: skip
    """Align a net's encoder in place on the training seconds; the whole schedule's last weights.

    Raises:
        ConfigError: the targets are of another width than the net's feature.
    """
    width = next(iter(targets.image.values())).shape[1]
    if width != net.config.embed_dim:
        raise ConfigError(
            f"IMU2CLIP: found image and text features of {width} numbers; expected {net.config.embed_dim}, the net's "
            "embed_dim; give a configuration of the towers' width."
        )
    net.head.requires_grad_(False)
    batches = AlignmentBatches(prepared, targets, batch, net.context_s)
    alignment = Alignment(net)
    history = fit(
        alignment, batches, lambda _, b: alignment.loss(run(alignment, b["imu"], train), b), train, out_dir=out_dir,
        name="imu2clip-aligned", context=alignment_identity(prepared, targets.identity, net.config, batch),
        progress=progress,
    )  # fmt: skip
    net.head.requires_grad_(True)
    return history
