"""Our IMU encoder beside PRIMUS's: at most as large and as fast, and built for motion of unknown mounting.

What it does otherwise than the Stacked RNN: it looks at a window along gravity, so that how the sensor sits on the head
doesn't matter; it keeps amplitude, the most telling feature of an activity; it has activations between its
convolutions; and its GRU goes over time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eailkit.recording import GRAVITY_MPS2

SHORTEST = 64  # samples
ACC_SCALE_MPS2 = 0.3  # where acceleration turns from linear to logarithmic: about the quiet head's own motion
GYRO_SCALE_RADPS = 0.1


@dataclass(frozen=True)
class MotionGruConfig:
    """Size.

    Attributes:
        width: channels of the convolutions.
        hidden: of the GRU.
        embed_dim: of the self-supervised head.
        multimodal_dim: of the multimodal head; embed_dim where None.
    """

    width: int = 96
    hidden: int = 192
    embed_dim: int = 256
    multimodal_dim: int | None = None


def along_gravity(imu: Float[Tensor, "batch 6 length"]) -> Float[Tensor, "batch 8 length"]:
    """What a window says whatever the sensor's mounting: parts along and across its own mean specific force.

    Channels: vertical acceleration without gravity, horizontal acceleration, |acc| - g, tilt against the mean
    (0.5 s mean), all m/s2 but the tilt; rate about the vertical, across it, |gyro|, rad/s; and |change of acc| a sample.
    Rotating both sensors by one rotation changes nothing.
    """
    acc, gyro = imu[:, :3], imu[:, 3:]
    up = F.normalize(acc.mean(dim=2, keepdim=True), dim=1)
    a_up, w_up = (acc * up).sum(1), (gyro * up).sum(1)
    size = lambda v: v.square().sum(1).add(1e-8).sqrt()  # noqa: E731
    slow = F.avg_pool1d(F.pad(acc, (12, 12), mode="replicate"), 25, stride=1)  # half a second at 50 Hz
    tilt = size(slow - up * (slow * up).sum(1, keepdim=True))
    jerk = size(F.pad(acc.diff(dim=2), (1, 0)))
    return torch.stack([
        a_up - GRAVITY_MPS2, size(acc - a_up[:, None] * up), size(acc) - GRAVITY_MPS2, tilt,
        w_up, size(gyro - w_up[:, None] * up), size(gyro), jerk,
    ], dim=1)  # fmt: skip


def compress(channels: Float[Tensor, "batch 8 length"]) -> Float[Tensor, "batch 8 length"]:
    """sign(x) log(1 + |x| / s): a heel strike and a breath both stay visible, and amplitude is kept."""
    acc, gyro = ACC_SCALE_MPS2, GYRO_SCALE_RADPS
    scale = channels.new_tensor([acc, acc, acc, acc, gyro, gyro, gyro, acc])[:, None]
    return torch.sign(channels) * torch.log1p(channels.abs() / scale)


class MotionGRU(nn.Module):
    """Gravity-aware front end, a filter bank with log energies beside convolutions, a GRU over time.

    The filter bank (convolution, square, mean over a fifth of a second, log) gives what band powers give a classifier
    of handcrafted features, with learned bands.

    Shape:
        (B, 6, L) -> (B, 2 * hidden + 2 * width), L >= 64; at 250 samples the GRU sees 25 steps.

    Example:
        >>> MotionGRU().eval()(torch.zeros(2, 6, 250)).shape
        torch.Size([2, 576])
    """

    def __init__(self, config: MotionGruConfig | None = None):
        super().__init__()
        self.config = config = config or MotionGruConfig()
        w = config.width
        self.bank = nn.Conv1d(8, w, 32, padding=16, bias=False)
        self.stem = nn.Sequential(nn.Conv1d(8, w // 2, 7, stride=2, padding=3, bias=False), nn.BatchNorm1d(w // 2), nn.GELU())
        self.block = nn.Sequential(
            nn.Conv1d(w // 2, w, 5, padding=2, bias=False), nn.BatchNorm1d(w), nn.GELU(), nn.AvgPool1d(5)
        )
        self.norm_bank = nn.BatchNorm1d(w)
        self.mix = nn.Sequential(nn.Conv1d(2 * w, w, 3, padding=1, bias=False), nn.BatchNorm1d(w), nn.GELU())
        self.gru = nn.GRU(w, config.hidden, batch_first=True)
        self.hidden_dim = 2 * config.hidden + 2 * w
        self.norm_out = nn.BatchNorm1d(self.hidden_dim)
        self.ssl_head = nn.Linear(self.hidden_dim, config.embed_dim)
        self.multimodal_head = nn.Linear(self.hidden_dim, config.multimodal_dim or config.embed_dim)

    def forward(self, imu: Float[Tensor, "batch 6 length"]) -> Float[Tensor, "batch dim"]:
        """The encoder's output before the heads.

        Raises:
            ValueError: fewer than 64 samples, or not six channels.
        """
        if imu.ndim != 3 or imu.shape[1] != 6 or imu.shape[2] < SHORTEST:
            raise ValueError(f"MotionGRU: found input {tuple(imu.shape)}; expected (B, 6, L) with L >= {SHORTEST}.")
        x = compress(along_gravity(imu.float()))
        power = F.avg_pool1d(self.bank(x).float().square(), 10)  # (B, w, L / 10)
        bank = self.norm_bank(torch.log(power + 1e-3))
        shape = self.block(self.stem(x))
        steps = min(bank.shape[2], shape.shape[2])
        x = self.mix(torch.cat([bank[..., :steps], shape[..., :steps]], dim=1))  # (B, w, L / 10)
        out, _ = self.gru(x.transpose(1, 2))
        pooled = [out.mean(1), out.amax(1), x.mean(2), bank.std(2)]
        return self.norm_out(torch.cat(pooled, dim=1).float())

    def ssl(self, hidden: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """f_s after the encoder: for self-supervision."""
        return self.ssl_head(hidden)

    def multimodal(self, hidden: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """f_m after the encoder: for video and text."""
        return self.multimodal_head(hidden)
