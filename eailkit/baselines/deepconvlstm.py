"""DeepConvLSTM (Ordóñez and Roggen, Sensors 2016): convolutions over time, channel by channel, then two LSTMs.

The oldest of the action baselines of EAIL's Table 2. It reads one second there; how long, and at what rate, EAIL
doesn't say.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from eailkit.baselines.action_training import ActionNet, check_context
from eailkit.preprocess.imu import RATE_HZ


@dataclass(frozen=True)
class DeepConvLstmConfig:
    """Size; the defaults are the paper's.

    Attributes:
        context_s: seconds of a window. The paper's windows are of 0.8 s, public versions' of 1 s.
        rate_hz: samples a second that the net reads, of which 400 is a multiple. The paper's data have 30, public
            versions' 50; at EAIL's 400 the LSTMs would go over 384 steps a second.
        filters: of each of the four convolutions.
        hidden: of each of the two LSTMs.
        taps: length of a filter, samples.
        dropout: before each LSTM.
    """

    context_s: int = 1
    rate_hz: int = 50
    filters: int = 64
    hidden: int = 128
    taps: int = 5
    dropout: float = 0.5


class DeepConvLSTM(ActionNet):
    """Four valid convolutions over time, shared by the channels, two LSTMs and a linear layer on their last step.

    461,795 parameters for 6 channels and 35 classes. The input is standardised by the training windows' mean and
    deviation a channel, which aren't trained: nothing else takes gravity out. All weights start orthogonal.

    Shape:
        (B, 6, 400 * context_s) -> (B, classes).
    """

    def __init__(self, classes: int, config: DeepConvLstmConfig | None = None, *, channels: int = 6):
        super().__init__()
        self.config = config = config or DeepConvLstmConfig()
        self.context_s = check_context(config.context_s)
        f, h = config.filters, config.hidden
        self.register_buffer("mean", torch.zeros(channels, 1))
        self.register_buffer("std", torch.ones(channels, 1))
        self.convolutions = nn.ModuleList(nn.Conv2d(1 if i == 0 else f, f, (config.taps, 1)) for i in range(4))
        self.lstms = nn.ModuleList(nn.LSTM(f * channels if i == 0 else h, h, batch_first=True) for i in range(2))
        self.head = nn.Linear(h, classes)
        self.apply(_orthogonal)

    def calibrate(self, windows: Float[Tensor, "n 6 samples"]) -> None:
        """Take each channel's mean and deviation from training windows."""
        x = self._slower(windows)
        self.mean.copy_(x.mean(dim=(0, 2))[:, None])
        self.std.copy_(x.std(dim=(0, 2))[:, None].clamp(min=1e-6))

    def forward(self, imu: Float[Tensor, "batch channels samples"]) -> Float[Tensor, "batch classes"]:
        """Logits of each window's action."""
        x = ((self._slower(imu) - self.mean) / self.std).transpose(1, 2)[:, None]  # (B, 1, T, C)
        for convolution in self.convolutions:
            x = F.relu(convolution(x))  # (B, F, T - 4 i, C)
        x = x.transpose(1, 2).flatten(2)  # (B, T', F C)
        for lstm in self.lstms:
            x, _ = lstm(F.dropout(x, self.config.dropout, self.training))
        return self.head(x[:, -1])

    def _slower(self, imu: Tensor) -> Tensor:
        """Means over a few samples each: a head hardly moves faster than 10 Hz."""
        return F.avg_pool1d(imu, round(RATE_HZ / self.config.rate_hz))


def _orthogonal(module: nn.Module) -> None:
    """Orthogonal weights and zero biases, as public versions start."""
    if isinstance(module, (nn.Conv2d, nn.Linear, nn.LSTM)):
        for name, value in module.named_parameters():
            nn.init.zeros_(value) if "bias" in name else nn.init.orthogonal_(value)
