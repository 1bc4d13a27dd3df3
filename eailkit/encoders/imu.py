"""The IMU encoder E_M: one second of head motion to one vector (EAIL sections 4.1 and 5.1).

EAIL says "ResNet18-1D" and no more; the trunk here is the one-dimensional ResNet-18 of RoNIN, whose preprocessing
EAIL follows too. Filtering, gravity alignment and windows live in `eailkit.preprocess.imu`.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from eailkit.encoders._resnet.inference import FEW, trunk_frozen
from eailkit.encoders._resnet.products import is_ours
from eailkit.encoders._resnet.training import trunk_in_training
from eailkit.errors import ConfigError


@dataclass(frozen=True)
class ImuConfig:
    """Size of the IMU encoder.

    Attributes:
        width: channels of the stem; the four groups have 1, 2, 4 and 8 times as many. RoNIN: 64. Quick: 32.
        embed_dim: length of the output vector, the towers' joint space. SLIP: 512. Quick: 128 (the tiny towers').
            None leaves the projection out and gives the pooled 8 * width channels.
        blocks: residual blocks per group. ResNet-18: (2, 2, 2, 2).
        channels: input channels, acc xyz then gyro xyz.
    """

    width: int = 64
    embed_dim: int | None = 512
    blocks: tuple[int, int, int, int] = (2, 2, 2, 2)
    channels: int = 6


IMU_PAPER = ImuConfig(width=64, embed_dim=512)
IMU_QUICK = ImuConfig(width=32, embed_dim=128)


class BasicBlock1D(nn.Module):
    """Two convolutions of length 3 with a shortcut: y = relu(conv(relu(conv(x))) + shortcut(x)).

    Shape:
        (B, C_in, L) -> (B, C_out, ceil(L / stride))
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv1d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm1d(out_channels)
        self.conv2 = nn.Conv1d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm1d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv1d(in_channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm1d(out_channels)
            )

    def forward(self, x: Float[Tensor, "batch c_in length"]) -> Float[Tensor, "batch c_out shorter"]:
        """The block's output."""
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ImuResNet18(nn.Module):
    """Encode gravity-aligned IMU windows; `trunk` is RoNIN's ResNet-18, then pooling and a projection.

    The trunk has 3,846,144 parameters at width 64. RoNIN flattens the last feature map into its head, which ties the
    net to one window length and to the phase of a motion within the window; EAIL says nothing of either. Here the
    13 steps that are left of 400 samples are averaged and projected by one linear layer, as CLIP-style encoders do:
    any length of at least 32 samples works and a caption such as "cuts an onion" holds wherever the stroke falls.

    Inputs stay in m/s² and rad/s, without standardisation: the first batch norm learns the scale, and gravity's
    9.81 on z is a constant that it takes out.

    Args:
        width: see `ImuConfig`; the paper's 64 by default.
        embed_dim: see `ImuConfig`; 512 by default.
        blocks: see `ImuConfig`.
        channels: see `ImuConfig`.

    Shape:
        forward: (B, 6, L) -> (B, embed_dim), or (B, 8 * width) with embed_dim=None.
        trunk: (B, 6, 400) -> (B, 512, 13) at width 64.

    Example:
        >>> import torch
        >>> ImuResNet18(width=32, embed_dim=128)(torch.zeros(2, 6, 400)).shape
        torch.Size([2, 128])
    """

    def __init__(
        self,
        width: int = 64,
        embed_dim: int | None = 512,
        *,
        blocks: tuple[int, int, int, int] = (2, 2, 2, 2),
        channels: int = 6,
    ):
        super().__init__()
        if width < 1 or (embed_dim is not None and embed_dim < 1):
            raise ConfigError(
                f"ImuResNet18: found width {width} and embed_dim {embed_dim}; expected positive numbers "
                "(or embed_dim=None); the paper profile uses 64 and 512."
            )
        self.config = ImuConfig(width=width, embed_dim=embed_dim, blocks=tuple(blocks), channels=channels)
        layers: list[nn.Module] = [
            nn.Conv1d(channels, width, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(inplace=True),
            nn.MaxPool1d(3, stride=2, padding=1),
        ]
        in_channels = width
        for group, depth in enumerate(blocks):
            out_channels = width * 2**group
            group_blocks = [BasicBlock1D(in_channels, out_channels, stride=1 if group == 0 else 2)]
            group_blocks += [BasicBlock1D(out_channels, out_channels, stride=1) for _ in range(depth - 1)]
            layers.append(nn.Sequential(*group_blocks))
            in_channels = out_channels
        self.trunk = nn.Sequential(*layers)
        self.projection: nn.Module = nn.Identity() if embed_dim is None else nn.Linear(in_channels, embed_dim)
        self.embed_dim = in_channels if embed_dim is None else embed_dim
        self.apply(_init_as_ronin)

    @classmethod
    def from_config(cls, config: ImuConfig) -> ImuResNet18:
        """The encoder that a config describes."""
        return cls(config.width, config.embed_dim, blocks=config.blocks, channels=config.channels)

    def forward(self, imu: Float[Tensor, "batch 6 samples"]) -> Float[Tensor, "batch embed"]:
        """Features F^M of the windows, not normalised (the losses normalise).

        Args:
            imu: acc xyz in m/s², gyro xyz in rad/s, gravity-aligned, 400 Hz.
        """
        if is_ours(self, imu) and (self.training or len(imu) >= FEW):  # the same numbers, sooner
            return self.projection((trunk_in_training if self.training else trunk_frozen)(self.trunk, imu))
        pooled = self.trunk(imu).mean(dim=-1)  # (B, 8 width)
        return self.projection(pooled)


def _init_as_ronin(module: nn.Module) -> None:
    """Kaiming fan-out for convolutions, N(0, 0.01) for linear layers, ones and zeros for norms."""
    if isinstance(module, nn.Conv1d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.01)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm1d):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)
