"""EVI-MAE (Zhang et al., ECCV 2024) on one sensor: accelerometer spectrograms, a masked autoencoder, then actions.

EAIL's Table 2 trains "a modified version using data from a single IMU device", with a ViT-Base as backbone. Video, the
graph over several sensors and the contrast between modalities have no part in that; what is left is here. Its blocks
are timm's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from eailkit.baselines.action_training import ActionBatches, ActionNet, check_context, run
from eailkit.eail.prepared import Prepared
from eailkit.errors import ConfigError
from eailkit.losses import action_loss
from eailkit.preprocess.imu import RATE_HZ
from eailkit.provenance import Identity, identity
from eailkit.training import History, TrainConfig, fit

LOWEST_POWER = 1e-10  # -100 dB
ZERO_CROSSINGS = 6  # of the resampling kernel, to each side
NORMALISED_EPS = 1e-6


@dataclass(frozen=True)
class EviMaeConfig:
    """Size; the defaults are the public code's, 80.3 M parameters where it reads an IMU alone.

    Attributes:
        context_s: seconds of a window. Public data are cut into 5 s, of which about one is read.
        channels: 3 reads the accelerometer, as published; 6 the gyroscope too.
        points: samples that a window is resampled to, time frames of its spectrogram.
        n_fft, window: of the STFT (hop 1); half of n_fft are its frequencies. A window of 24 samples, padded to 256,
            tells a dozen frequencies apart; 32 lose nothing and make an eighth of the tokens.
        patch: side of a token in frames and in frequencies.
        width, depth, heads: of the IMU's blocks.
        joint_heads: of the last block, half as wide, which in the full model joins IMU and video.
        decoder_width, decoder_depth, decoder_heads: of the autoencoder's decoder.
        masked: share of tokens that pretraining hides.
        label_smoothing: of fine-tuning.
        head_rate: how many times faster than the rest the head's weights learn.
    """

    context_s: int = 1
    channels: int = 3
    points: int = 320
    n_fft: int = 256
    window: int = 24
    patch: int = 16
    width: int = 768
    depth: int = 11
    heads: int = 12
    joint_heads: int = 6
    decoder_width: int = 192
    decoder_depth: int = 8
    decoder_heads: int = 3
    masked: float = 0.75
    label_smoothing: float = 0.1
    head_rate: float = 100.0

    @property
    def grid(self) -> tuple[int, int]:
        """Tokens over frequency and over time."""
        return self.n_fft // 2 // self.patch, self.points // self.patch

    @property
    def values(self) -> int:
        """Numbers of the spectrogram in a token."""
        return self.channels * self.patch**2


def resampling_matrix(samples: int, points: int) -> Float[Tensor, "samples points"]:
    """What takes `samples` even samples to `points`: a Hann-windowed sinc, low-passed where there are fewer after it.

    The points are the middles of `points` equal parts of the window. Each column sums to one.
    """
    cutoff = min(1.0, points / samples)
    at = (torch.arange(points, dtype=torch.float64) + 0.5) * samples / points - 0.5
    u = cutoff * (torch.arange(samples, dtype=torch.float64)[:, None] - at)
    kernel = torch.sinc(u) * torch.cos(u.clamp(-ZERO_CROSSINGS, ZERO_CROSSINGS) * math.pi / 2 / ZERO_CROSSINGS) ** 2
    return (kernel / kernel.sum(0)).float()


def stft_matrix(n_fft: int, window: int) -> Float[Tensor, "window both"]:
    """Real, then imaginary part of the first n_fft / 2 frequencies of a Hann window of samples padded to n_fft."""
    n, k = torch.arange(window, dtype=torch.float64), torch.arange(n_fft // 2, dtype=torch.float64)
    hann = 0.5 - 0.5 * torch.cos(2 * math.pi * n / window)  # periodic, as torch.hann_window
    angle = 2 * math.pi * n[:, None] * k / n_fft
    return (hann[:, None] * torch.cat([angle.cos(), -angle.sin()], dim=1)).float()


class Spectrogram(nn.Module):
    """Log-power spectrogram of each channel: (B, C, samples) to (B, C, n_fft / 2, points), dB, standardised.

    Each channel minus its mean, resampled to `points`, STFT with hop 1 around each point (ends mirrored), power in dB,
    then minus the mean and by the deviation of the training windows' dB (`calibrate`), which aren't trained. With a hop
    of one sample and a short window two products of matrices are the quickest way.
    """

    def __init__(self, config: EviMaeConfig):
        super().__init__()
        self.window = config.window
        samples = round(RATE_HZ) * config.context_s
        self.register_buffer("resampling", resampling_matrix(samples, config.points), persistent=False)
        self.register_buffer("stft", stft_matrix(config.n_fft, config.window), persistent=False)
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("std", torch.ones(()))

    def forward(self, x: Float[Tensor, "batch channels samples"]) -> Float[Tensor, "batch channels bins points"]:
        """The standardised spectrogram."""
        return (self.decibels(x) - self.mean) / self.std

    @torch.autocast("cpu", enabled=False)
    @torch.autocast("cuda", enabled=False)
    def decibels(self, x: Float[Tensor, "batch channels samples"]) -> Float[Tensor, "batch channels bins points"]:
        """10 log10 of the power, at least -100 dB."""
        x = (x - x.mean(dim=-1, keepdim=True)) @ self.resampling
        x = F.pad(x, (self.window // 2, self.window // 2 - 1), mode="reflect")
        real, imaginary = (x.unfold(-1, self.window, 1) @ self.stft).transpose(-1, -2).chunk(2, dim=-2)
        return 10 * (real.square() + imaginary.square()).clamp(min=LOWEST_POWER).log10()


class EviMae(ActionNet):
    """Spectrogram patches through a vision transformer, their mean, LayerNorm and a linear layer.

    In the public code's size a token goes through 11 blocks of width 768, then, its channels averaged in pairs, through
    one of width 384, which in the full model reads video too: that is where its 80.3 M parameters lie. Positions are
    fixed sines and cosines of frequency and time.

    The head's weights learn `head_rate` times as fast as the rest: its input is multiplied by that and its first
    weights divided. For Adam, whose step doesn't depend on a gradient's size, this is a learning rate of its own.

    Shape:
        (B, 6, 400 * context_s) -> (B, classes).
    """

    def __init__(self, classes: int, config: EviMaeConfig | None = None):
        super().__init__()
        self.config = config = config or EviMaeConfig()
        self.context_s = check_context(config.context_s)
        if config.n_fft // 2 % config.patch or config.points % config.patch or config.width % (4 * config.heads):
            raise ConfigError(
                f"EVI-MAE: found n_fft {config.n_fft}, {config.points} points, patches of {config.patch}, width "
                f"{config.width} and {config.heads} heads; expected n_fft / 2 and points that are multiples of the "
                "patch and a width that is one of 4 * heads; choose such."
            )
        half = config.width // 2
        self.spectrogram = Spectrogram(config)
        self.patches = nn.Conv2d(config.channels, config.width, config.patch, stride=config.patch)
        self.modality = nn.Parameter(torch.empty(1, 1, config.width))
        self.register_buffer("position", positions(config.grid, config.width), persistent=False)
        self.blocks = blocks(config.width, config.heads, config.depth)
        self.joint = blocks(half, config.joint_heads, 1)
        self.norm = nn.LayerNorm(half)
        self.head_norm = nn.LayerNorm(half)
        self.head = nn.Linear(half, classes)
        self.apply(_init_as_mae)
        nn.init.xavier_uniform_(self.patches.weight.data.flatten(1))
        nn.init.normal_(self.modality, std=0.02)
        with torch.no_grad():
            self.head.weight /= config.head_rate

    def calibrate(self, windows: Float[Tensor, "n 6 samples"]) -> None:
        """Take the spectrograms' mean and deviation from training windows."""
        found = self.spectrogram.decibels(windows[:, : self.config.channels])
        self.spectrogram.mean.copy_(found.mean())
        self.spectrogram.std.copy_(found.std())

    def image(self, imu: Float[Tensor, "batch 6 samples"]) -> Float[Tensor, "batch channels bins points"]:
        """The spectrogram that the net reads."""
        return self.spectrogram(imu[:, : self.config.channels])

    def tokens(self, image: Float[Tensor, "batch channels bins points"]) -> Float[Tensor, "batch tokens width"]:
        """Patches, frequency by frequency, with their positions."""
        return self.patches(image).flatten(2).transpose(1, 2) + self.position + self.modality

    def encode(self, tokens: Float[Tensor, "batch some width"]) -> Float[Tensor, "batch some half"]:
        """All blocks over tokens, or over those that a mask leaves."""
        for block in self.blocks:
            tokens = block(tokens)
        x = tokens.unflatten(-1, (-1, 2)).mean(-1)
        for block in self.joint:
            x = block(x)
        return self.norm(x)

    def forward(self, imu: Float[Tensor, "batch 6 samples"]) -> Float[Tensor, "batch classes"]:
        """Logits of each window's action."""
        x = self.encode(self.tokens(self.image(imu))).mean(dim=1)
        return self.head(self.config.head_rate * self.head_norm(x))

    def loss(self, logits: Float[Tensor, "batch classes"], action: Int[Tensor, " batch"]) -> dict[str, Tensor]:
        """Eq. 3 with smoothed labels, and without them."""
        plain, smoothing = action_loss(logits[:, None], action[:, None]), self.config.label_smoothing
        everything = -logits.float().log_softmax(-1).mean()
        return {"total": (1 - smoothing) * plain + smoothing * everything, "plain": plain}


class MaskedAutoencoder(nn.Module):
    """Pretraining of an `EviMae`: most tokens hidden, the decoder says from the others what was in them.

    The public code hides 75 % of them, at random, and asks for each hidden one standardised by itself. It leaves the
    half-wide block out of this where it reads an IMU alone; here the decoder comes after it, so that all that is
    fine-tuned is pretrained.
    """

    def __init__(self, encoder: EviMae):
        super().__init__()
        self.encoder, config = encoder, encoder.config
        width = config.decoder_width
        self.embed = nn.Linear(config.width // 2, width)
        self.mask_token = nn.Parameter(torch.empty(1, 1, width))
        self.register_buffer("position", positions(config.grid, width), persistent=False)
        self.blocks = blocks(width, config.decoder_heads, config.decoder_depth)
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, config.values)
        for module in (self.embed, self.blocks, self.norm, self.out):
            module.apply(_init_as_mae)
        nn.init.normal_(self.mask_token, std=0.02)
        encoder.head_norm.requires_grad_(False)
        encoder.head.requires_grad_(False)

    def hidden(self, count: int, device: torch.device | str = "cpu") -> Bool[Tensor, "batch tokens"]:
        """Which tokens of each window are hidden: the configured share of them, exactly."""
        tokens = math.prod(self.encoder.config.grid)
        shown = tokens - int(self.encoder.config.masked * tokens)
        return torch.rand(count, tokens, device=device).argsort(dim=1).argsort(dim=1) >= shown

    def reconstruct(
        self, image: Float[Tensor, "batch channels bins points"], hidden: Bool[Tensor, "batch tokens"]
    ) -> Float[Tensor, "batch tokens values"]:
        """What the decoder says of every token, of those that aren't hidden."""
        tokens = self.encoder.tokens(image)
        batch, _, width = tokens.shape
        x = self.embed(self.encoder.encode(tokens[~hidden].reshape(batch, -1, width)))
        full = self.mask_token.to(x.dtype).repeat(batch, tokens.shape[1], 1)
        full = full.masked_scatter(~hidden[..., None], x) + self.position.to(x.dtype)
        for block in self.blocks:
            full = block(full)
        return self.out(self.norm(full))

    def forward(self, imu: Float[Tensor, "batch 6 samples"]) -> Float[Tensor, ""]:
        """Mean squared error over the hidden tokens, each standardised by itself."""
        image = self.encoder.image(imu)
        hidden = self.hidden(len(image), image.device)
        error = self.reconstruct(image, hidden).float() - normalised_patches(image, self.encoder.config.patch)
        return error[hidden].square().mean()


def patchify(image: Float[Tensor, "batch channels bins points"], patch: int) -> Float[Tensor, "batch tokens values"]:
    """An image's square patches, row by row, each as one vector."""
    batch, channels, height, width = image.shape
    x = image.reshape(batch, channels, height // patch, patch, width // patch, patch)
    return x.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, channels * patch**2)


def normalised_patches(
    image: Float[Tensor, "batch channels bins points"], patch: int
) -> Float[Tensor, "batch tokens values"]:
    """`patchify`, each patch minus its mean and by its deviation."""
    x = patchify(image, patch)
    return (x - x.mean(-1, keepdim=True)) / (x.var(-1, keepdim=True) + NORMALISED_EPS).sqrt()


def positions(grid: tuple[int, int], width: int) -> Float[Tensor, "1 tokens width"]:
    """Fixed codes of tokens, frequency by frequency: half of the channels tell the frequency, half the time."""
    from timm.layers import build_sincos2d_pos_embed

    return build_sincos2d_pos_embed(list(grid), width)[None]


def blocks(width: int, heads: int, depth: int) -> nn.ModuleList:
    """timm's transformer blocks with norms first and MLPs four times as wide."""
    from timm.models.vision_transformer import Block  # seconds to import, which only this net needs

    return nn.ModuleList(Block(width, heads, qkv_bias=True) for _ in range(depth))


def _init_as_mae(module: nn.Module) -> None:
    """Xavier's uniform weights and zero biases."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)


def pretraining_identity(prepared: Prepared, config: EviMaeConfig, batch: int) -> Identity:
    """What a pretrained `EviMae` is determined by, its schedule apart."""
    return identity(
        "EVI-MAE, pretrained", code=("eailkit.baselines.evi_mae",), data=prepared.identity, config=config, batch=batch
    )


def pretrain(
    model: EviMae, prepared: Prepared, train: TrainConfig, *, batch: int, out_dir: str | Path | None,
    progress: bool = True,
) -> History:  # fmt: skip
    """Pretrain a net in place on all training seconds, labelled or not; the whole schedule's last weights."""
    batches = ActionBatches(prepared, batch, model.context_s, labelled=False)
    autoencoder = MaskedAutoencoder(model)
    history = fit(
        autoencoder, batches, lambda _, b: {"total": run(autoencoder, b["imu"], train)}, train, out_dir=out_dir,
        name="evi_mae-pretrained", context=pretraining_identity(prepared, model.config, batch), progress=progress,
    )  # fmt: skip
    model.requires_grad_(True)
    return history
