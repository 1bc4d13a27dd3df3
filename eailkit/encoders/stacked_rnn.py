"""PRIMUS's IMU encoder, the "Stacked RNN": three dilated convolutions, then a GRU (PRIMUS section 3.1).

1,376,204 parameters with both heads at the paper's size. Two things in the released code surprise a reader and are kept
as options: there is no activation between the convolutions, and the GRU scans the 32 *channels*, with the 32 time
bins as features, which fits only because both numbers are equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eailkit.encoders._gru.training import gru_last
from eailkit.errors import CheckpointError, ConfigError

SHORTEST = 123  # samples; shorter windows don't survive two poolings
_SCANS = ("channels", "time")


@dataclass(frozen=True)
class StackedRnnConfig:
    """Size and reading direction.

    Attributes:
        embed_dim: hidden size of the GRU and width of both heads (512).
        multimodal_dim: width of the multimodal head where the other modalities' features are of another width (the
            tiny towers': 128); embed_dim where None.
        channels: of the convolutions, and time bins after them (32).
        scan: what the GRU goes through, "channels" as released or "time", what a reader of the paper expects.
    """

    embed_dim: int = 512
    channels: int = 32
    scan: str = "channels"
    multimodal_dim: int | None = None

    def __post_init__(self) -> None:
        if self.scan not in _SCANS:
            raise ConfigError(f"scan: found '{self.scan}'; expected one of {', '.join(_SCANS)}; choose one of these.")


class TwoHeads(nn.Module):
    """What every IMU encoder of PRIMUS ends in (section 3.1): `forward` gives what comes before the heads.

    A subclass makes both of them: one for self-supervision, one for other modalities.
    """

    ssl_head: nn.Module
    multimodal_head: nn.Module

    def ssl(self, hidden: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """f_s after the encoder: for self-supervision."""
        return self.ssl_head(hidden)

    def multimodal(self, hidden: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """f_m after the encoder: for video and text; the embedding that PRIMUS's probes read."""
        return self.multimodal_head(hidden)


class StackedRNN(TwoHeads):
    """f: five seconds of head motion to one vector, with a head for self-supervision and one for other modalities.

    Input is acc xyz (m/s2, gravity included) then gyro xyz (rad/s), 250 samples at 50 Hz in the paper; GroupNorm
    with one group a sensor takes each window's own scale away.

    Shape:
        (B, 6, L) -> (B, embed_dim), L >= 123.

    Example:
        >>> StackedRNN().eval()(torch.zeros(2, 6, 250)).shape
        torch.Size([2, 512])
    """

    def __init__(self, config: StackedRnnConfig | None = None):
        super().__init__()
        self.config = config = config or StackedRnnConfig()
        c = config.channels
        self.norm_in = nn.GroupNorm(2, 6)
        self.conv1 = nn.Conv1d(6, c, 10, dilation=2, bias=False)
        self.conv2 = nn.Conv1d(c, c, 5, dilation=2, bias=False)
        self.conv3 = nn.Conv1d(c, c, 5, dilation=2, bias=False)
        self.bins = nn.AdaptiveAvgPool1d(c)
        self.norm_out = nn.GroupNorm(4, c)
        self.gru = nn.GRU(c, config.embed_dim, batch_first=True)
        self.ssl_head = nn.Linear(config.embed_dim, config.embed_dim)
        self.multimodal_head = nn.Linear(config.embed_dim, config.multimodal_dim or config.embed_dim)

    def forward(self, imu: Float[Tensor, "batch 6 length"]) -> Float[Tensor, "batch dim"]:
        """The encoder's output before the heads: the GRU's last hidden state.

        Raises:
            ValueError: fewer than 123 samples, or not six channels.
        """
        if imu.ndim != 3 or imu.shape[1] != 6 or imu.shape[2] < SHORTEST:
            raise ValueError(f"StackedRNN: found input {tuple(imu.shape)}; expected (B, 6, L) with L >= {SHORTEST}.")
        x = _pool(self.conv1(self.norm_in(imu)))  # (B, 32, 77) of 250
        x = _pool(self.conv2(x))  # (B, 32, 23)
        x = self.norm_out(self.bins(self.conv3(x)))  # (B, 32, 32)
        if self.config.scan == "time":
            x = x.transpose(1, 2)
        return gru_last(self.gru, x)


def _pool(x: Float[Tensor, "batch channels length"]) -> Float[Tensor, "batch channels third"]:
    """MaxPool1d(3). Training keeps where the maxima were and not what they were among."""
    if not torch.is_grad_enabled():
        return torch.max_pool1d(x, 3)
    return x[..., : x.shape[-1] // 3 * 3].unflatten(-1, (-1, 3)).max(dim=-1).values


_PUBLIC = {
    "backbone.0": "norm_in", "backbone.1.net.0": "conv1", "backbone.2.net.0": "conv2", "backbone.3.net.0": "conv3",
    "backbone.4": "norm_out", "backbone.5": "gru", "ssl_head": "ssl_head", "mmcl_head": "multimodal_head",
}  # fmt: skip


def load_public(model: StackedRNN, state: Mapping[str, Tensor]) -> StackedRNN:
    """Load a state dict with the names of the public PRIMUS checkpoint into a model, in place.

    A checkpoint of the whole training module works too: of keys with "imu_encoder." in them, what follows it counts,
    and everything else is left aside.

    Raises:
        CheckpointError: a key is missing, unknown or of another shape; the message names the first.
    """
    inside = {k.partition("imu_encoder.")[2]: v for k, v in state.items() if "imu_encoder." in k} or dict(state)
    ours = {}
    for key, value in inside.items():
        stem, _, leaf = key.rpartition(".")
        if stem not in _PUBLIC:
            raise CheckpointError(
                f"PRIMUS checkpoint: found the key '{key}'; expected those of the public IMU encoder with two heads; "
                "give that checkpoint's state dict."
            )
        ours[f"{_PUBLIC[stem]}.{leaf}"] = value
    own = model.state_dict()
    for key, value in own.items():
        if key not in ours or ours[key].shape != value.shape:
            found = tuple(ours[key].shape) if key in ours else "nothing"
            raise CheckpointError(
                f"PRIMUS checkpoint: found {found} for '{key}'; expected a tensor {tuple(value.shape)}; "
                "check embed_dim and channels of the model."
            )
    model.load_state_dict({k: torch.as_tensor(v) for k, v in ours.items()})
    return model
