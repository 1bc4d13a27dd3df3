"""Our IMU encoder beside PRIMUS's: at most as large and as fast, and built for motion of unknown mounting.

What it does otherwise than the Stacked RNN: it looks at a window along gravity, so that how the sensor sits on the head
doesn't matter; it keeps amplitude, the most telling feature of an activity; it has activations between its
convolutions; and its GRU goes over time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from eailkit.encoders._gru.training import gru_outputs
from eailkit.encoders.stacked_rnn import TwoHeads
from eailkit.recording import GRAVITY_MPS2

SHORTEST = 64  # samples
HOP = 10  # samples a step of the spectrogram and of the GRU: a fifth of a second
ACC_SCALE_MPS2 = 0.3  # where acceleration turns from linear to logarithmic: about the quiet head's own motion
GYRO_SCALE_RADPS = 0.1


@dataclass(frozen=True)
class MotionGruConfig:
    """Size.

    Attributes:
        bands: filters a channel, at `lowest_hz` to `highest_hz` on a logarithmic scale.
        taps: length of a filter, samples.
        keep_offset: whether |acc| keeps its mean and filters answer to a constant. Real accelerometers aren't
            calibrated (9.3 to 10.0 m/s2 at rest), so that an offset names the device, and thereby its wearer.
        relations: whether correlations between the eight channels are kept beside their powers.
        learn_bank: whether training changes the filters. Simulated people bend them towards what simulators make, to
            the cost of real ones (results/primus_tuning.json).
        width: channels of the convolutions.
        hidden: of the GRU.
        embed_dim: of the self-supervised head.
        multimodal_dim: of the multimodal head; embed_dim where None.
    """

    bands: int = 16
    taps: int = 50
    keep_offset: bool = False
    relations: bool = True
    learn_bank: bool = False
    lowest_hz: float = 0.4
    highest_hz: float = 22.0
    rate_hz: float = 50.0
    width: int = 96
    hidden: int = 160
    embed_dim: int = 256
    multimodal_dim: int | None = None


def along_gravity(
    imu: Float[Tensor, "batch 6 length"], *, keep_offset: bool = False
) -> Float[Tensor, "batch 8 length"]:
    """What a window says whatever the sensor's mounting: parts along and across its own mean specific force.

    Channels: vertical acceleration without gravity, horizontal acceleration, |acc| - g, tilt against the mean
    (over 0.5 s), m/s2; rate about the vertical, across it, |gyro|, rad/s; and |change of acc| a sample, m/s2.
    Rotating both sensors by one rotation changes nothing.

    Args:
        keep_offset: gravity is taken as 9.81 m/s2, which leaves an accelerometer's offset in; else as what this one
            shows in this window, the channel's mean.
    """
    acc, gyro = imu[:, :3], imu[:, 3:]
    up = F.normalize(acc.mean(dim=2, keepdim=True), dim=1)
    a_up, w_up = (acc * up).sum(1), (gyro * up).sum(1)
    size = lambda v: v.square().sum(1).add(1e-8).sqrt()  # noqa: E731
    slow = F.avg_pool1d(F.pad(acc, (12, 12), mode="replicate"), 25, stride=1)  # half a second at 50 Hz
    tilt = size(slow - up * (slow * up).sum(1, keepdim=True))
    jerk = size(F.pad(acc.diff(dim=2), (1, 0)))
    at_rest = (lambda v: GRAVITY_MPS2) if keep_offset else (lambda v: v.mean(dim=1, keepdim=True))
    return torch.stack([
        a_up - at_rest(a_up), size(acc - a_up[:, None] * up), size(acc) - at_rest(size(acc)), tilt,
        w_up, size(gyro - w_up[:, None] * up), size(gyro), jerk,
    ], dim=1)  # fmt: skip


def compress(channels: Float[Tensor, "batch 8 length"]) -> Float[Tensor, "batch 8 length"]:
    """sign(x) log(1 + |x| / s): a heel strike and a breath both stay visible, and amplitude is kept."""
    acc, gyro = ACC_SCALE_MPS2, GYRO_SCALE_RADPS
    scale = channels.new_tensor([acc, acc, acc, acc, gyro, gyro, gyro, acc])[:, None]
    return torch.sign(channels) * torch.log1p(channels.abs() / scale)


def band_powers(
    channels: Float[Tensor, "batch 8 length"], filters: Float[Tensor, "filters taps"], hop: int
) -> Float[Tensor, "batch powers steps"]:
    """Mean over `hop` samples of the power behind every pair of filters: a convolution, squared, summed and pooled.

    One matrix product a channel gives all outputs of a hop at once, so that squares are summed while they are in the
    cache: the same numbers as conv1d (padded by half of the taps) and avg_pool1d, in a fraction of the time.

    Args:
        filters: as many a channel, in pairs (cosine, sine).
    """
    (n, groups, _), (_, taps) = channels.shape, filters.shape
    own = filters.unflatten(0, (groups, -1))  # (8, f, taps)
    span, f = taps + hop - 1, own.shape[1]
    blocks = F.pad(channels, (taps // 2, taps // 2)).unfold(2, span, hop)  # (B, 8, steps, span)
    # row s holds the filter from sample s on: what the s-th output of a hop multiplies with
    shifted = F.pad(own[:, :, None].expand(-1, -1, hop, -1), (0, hop)).flatten(2)[..., : hop * span]
    shifted = shifted.reshape(groups, f * hop, span)
    powers = []
    for rows, columns in zip(blocks.unbind(1), shifted, strict=True):  # a channel at a time: squares stay in the cache
        found = rows.flatten(0, 1) @ columns.T  # (B * steps, f * hop)
        powers.append(found.square().view(n, -1, f // 2, 2 * hop).sum(3))
    return torch.cat(powers, dim=2).transpose(1, 2) / hop


class MotionGRU(TwoHeads):
    """Gravity-aware front end, a spectrogram beside convolutions, a GRU over time, statistics over time.

    The spectrogram (pairs of filters, power, mean over a fifth of a second, log) gives what band powers give a
    classifier of handcrafted features; its filters are windowed sines and cosines, and stay so unless `learn_bank`.

    Shape:
        (B, 6, L) -> (B, hidden_dim), L >= 64; at 250 samples the GRU sees 25 steps.

    Example:
        >>> MotionGRU().eval()(torch.zeros(2, 6, 250)).shape
        torch.Size([2, 828])
    """

    def __init__(self, config: MotionGruConfig | None = None):
        super().__init__()
        self.config = config = config or MotionGruConfig()
        w, powers = config.width, 8 * config.bands
        self.bank = nn.Conv1d(8, 2 * powers, config.taps, padding=config.taps // 2, groups=8, bias=False)
        with torch.no_grad():
            self.bank.weight.copy_(_sines(config)[:, None])
        self.bank.weight.requires_grad_(config.learn_bank)
        self.norm_bank = nn.BatchNorm1d(powers)
        self.stem = nn.Sequential(
            nn.Conv1d(8, w // 2, 7, stride=2, padding=3, bias=False), nn.BatchNorm1d(w // 2), nn.GELU(),
            nn.Conv1d(w // 2, w, 5, padding=2, bias=False), nn.BatchNorm1d(w), nn.GELU(), nn.AvgPool1d(HOP // 2),
        )  # fmt: skip
        self.mix = nn.Sequential(nn.Conv1d(powers + w, w, 3, padding=1, bias=False), nn.BatchNorm1d(w), nn.GELU())
        self.gru = nn.GRU(w, config.hidden, batch_first=True)
        self.hidden_dim = 2 * config.hidden + 3 * powers + w + (28 if config.relations else 0)  # 8 * 7 / 2 pairs
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
        x = channels = along_gravity(imu.float(), keep_offset=self.config.keep_offset)
        power = band_powers(x, self.bank.weight[:, 0], HOP).float()  # (B, powers, L / 10)
        bank = self.norm_bank(torch.log(power + 1e-5))
        shape = self.stem(compress(x))
        steps = min(bank.shape[2], shape.shape[2])
        x = self.mix(torch.cat([bank[..., :steps], shape[..., :steps]], dim=1))  # (B, w, L / 10)
        out = gru_outputs(self.gru, x.transpose(1, 2))
        pooled = [out.mean(1), out.amax(1), bank.mean(2), bank.std(2), bank.amax(2), x.mean(2)]
        if self.config.relations:
            pooled.append(correlations(channels))
        return self.norm_out(torch.cat(pooled, dim=1).float())


def correlations(channels: Float[Tensor, "batch 8 length"]) -> Float[Tensor, "batch 28"]:
    """Pearson's r over time of every pair of channels: a step shakes the head up as it nods, typing doesn't."""
    x = channels - channels.mean(dim=2, keepdim=True)
    unit = x / (x.square().mean(dim=2, keepdim=True).sqrt() + 1e-3)  # a resting channel goes with none
    i, j = torch.triu_indices(8, 8, 1, device=x.device)
    return (unit @ unit.transpose(1, 2) / x.shape[2])[:, i, j]


def _sines(config: MotionGruConfig) -> Float[Tensor, "filters taps"]:
    """Windowed cosine and sine at every band's frequency, for each of the eight channels; a constant gives zero.

    Gain is one but for the lowest bands, of which a second holds less than a period.
    """
    hz = torch.logspace(math.log10(config.lowest_hz), math.log10(config.highest_hz), config.bands)
    t = (torch.arange(config.taps) - config.taps // 2) / config.rate_hz
    phase = 2 * math.pi * hz[:, None] * t
    cycles = torch.clamp(3.0 / hz, max=config.taps / config.rate_hz)  # three periods, where they fit
    window = torch.exp(-0.5 * (t / (0.25 * cycles[:, None])) ** 2)
    window = window / window.sum(dim=1, keepdim=True)
    pairs = torch.stack([window * torch.cos(phase), window * torch.sin(phase)], dim=1)
    if not config.keep_offset:  # as a Morlet wavelet does
        pairs = pairs - window[:, None] * pairs.sum(dim=2, keepdim=True)
    pairs = pairs.flatten(0, 1)
    return pairs.repeat(8, 1)
