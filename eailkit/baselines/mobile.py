"""IMUNet (Zeinali et al. 2022) and the two mobile nets that it is compared with, MnasNet and EfficientNet, along time.

The three are Table 1's smaller velocity nets. Depthwise blocks are timm's, which take (1, k) kernels and a picture of
height one as they are; the order of blocks stands here, since timm gives widths by private functions alone and leaves
out EfficientNet's first expansion, which the published parameter count holds. Nothing here trains.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from eailkit.baselines.ronin_net import along_time, as_picture, checked, halved, scaled, start, stem
from eailkit.errors import ConfigError


@dataclass(frozen=True)
class Stage:
    """Inverted residuals of one width, as the two papers list them.

    Attributes:
        expansion: channels inside a block for each that goes in; None is a separable block without a shortcut.
        taps: of the depthwise convolution.
        channels: that come out, at width 1.
        blocks: how many.
        stride: of the first.
    """

    expansion: int | None
    taps: int
    channels: int
    blocks: int
    stride: int


MNASNET = (  # MnasNet-B1 (Tan et al. 2019), the one without squeeze-and-excitation
    Stage(None, 3, 16, 1, 1), Stage(3, 3, 24, 3, 2), Stage(3, 5, 40, 3, 2), Stage(6, 5, 80, 3, 2),
    Stage(6, 3, 96, 2, 1), Stage(6, 5, 192, 4, 2), Stage(6, 3, 320, 1, 1),
)  # fmt: skip
EFFICIENTNET = (  # EfficientNet-B0 (Tan and Le 2019, Table 1)
    Stage(1, 3, 16, 1, 1), Stage(6, 3, 24, 2, 2), Stage(6, 5, 40, 2, 2), Stage(6, 3, 80, 3, 2),
    Stage(6, 5, 112, 3, 1), Stage(6, 5, 192, 4, 2), Stage(6, 3, 320, 1, 1),
)  # fmt: skip
IMUNET = ((64, 1), (64, 1), (128, 2), (256, 2), (512, 2), (1024, 2))  # channels and stride of its pairs of blocks


class MobileNet(nn.Module):
    """A stem, inverted residuals, 1280 channels, their mean over time, two numbers: any length of 32 samples and more.

    `MNASNET` has 2,979,114 parameters; `EFFICIENTNET`, without squeeze-and-excitation as in IMUNet's comparison,
    3,231,906. IMUNet's paper doesn't say what comes before the last layer: dropout of 0.2, as in both nets' own papers.

    Args:
        stages: `MNASNET` or `EFFICIENTNET`.
        activation: after each norm: ReLU in MnasNet, SiLU in EfficientNet.
        width: multiplier of all channels.

    Example:
        >>> MobileNet(EFFICIENTNET, nn.SiLU, width=0.25)(torch.zeros(2, 6, 300)).shape
        torch.Size([2, 2])
    """

    def __init__(self, stages: tuple[Stage, ...], activation: type[nn.Module] = nn.ReLU, *, width: float = 1.0):
        super().__init__()
        # a second and a half to import, which nobody needs who makes no such net
        from timm.models._efficientnet_blocks import DepthwiseSeparableConv, InvertedResidual

        c_in, last = scaled(32, width), scaled(1280, width)
        layers = [along_time(6, c_in, 3, stride=2), nn.BatchNorm2d(c_in), activation()]
        for stage in stages:
            c_out = scaled(stage.channels, width)
            for k in range(stage.blocks):
                shape = {"stride": 1 if k else stage.stride, "dw_kernel_size": (1, stage.taps), "act_layer": activation}
                if stage.expansion is None:
                    layers.append(DepthwiseSeparableConv(c_in, c_out, noskip=True, **shape))
                else:
                    layers.append(InvertedResidual(c_in, c_out, exp_ratio=stage.expansion, **shape))
                c_in = c_out
        self.trunk = nn.Sequential(*layers, along_time(c_in, last, 1), nn.BatchNorm2d(last), activation())
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, 2))
        start(self)

    def forward(self, imu: Float[Tensor, "batch 6 samples"]) -> Float[Tensor, "batch 2"]:
        """Mean ground velocity of each window in its own frame, m/s; input as in `ronin_net.RoninResNet`."""
        return self.head(self.trunk(as_picture(imu)).mean((2, 3)))


class SeparableBlock(nn.Module):
    """IMUNet's block: y = elu(point(elu(depth(x))) + shortcut(x)), each convolution with its norm.

    Shape:
        (B, C_in, 1, L) -> (B, C_out, 1, ceil(L / stride))
    """

    def __init__(self, c_in: int, c_out: int, stride: int, *, project: bool):
        super().__init__()
        from timm.models._efficientnet_blocks import DepthwiseSeparableConv

        self.separable = DepthwiseSeparableConv(
            c_in, c_out, dw_kernel_size=(1, 3), stride=stride, noskip=True, act_layer=nn.ELU
        )
        self.shortcut: nn.Module = nn.Identity()
        if project:
            self.shortcut = nn.Sequential(along_time(c_in, c_out, 1, stride), nn.BatchNorm2d(c_out))

    def forward(self, x: Float[Tensor, "batch c_in 1 length"]) -> Float[Tensor, "batch c_out 1 shorter"]:
        """The block's output."""
        return F.elu(self.separable(x) + self.shortcut(x))


class ImuNet(nn.Module):
    """IMUNet: RoNIN's stem, twelve separable blocks, and a last map as large as the window, which is taken from it.

    The flattened map f and the flattened window x have the same length: out = W elu(f - (a x + b)), where a and b, one
    each a number of the window, say what of it is noise. 3,661,618 parameters at 200 samples, which also tells what
    the description leaves open: pairs of blocks after the first begin with a projected shortcut, the pair of 64 too.
    The last convolution has 400 channels at 200 samples, where three steps are left of 1200 numbers; at another length
    as many as make the two lengths equal (450 at 300).

    Args:
        width: multiplier of the blocks' channels; the last map keeps the window's size.
        samples: length of the windows.

    Raises:
        ConfigError: an impossible width, or a length that no number of channels fits.

    Example:
        >>> ImuNet(width=0.25)(torch.zeros(2, 6, 300)).shape
        torch.Size([2, 2])
    """

    def __init__(self, *, width: float = 1.0, samples: int = 300):
        super().__init__()
        steps = halved(samples, 6) - 1  # of the last convolution, of length 2
        if steps < 1 or 6 * samples % steps:
            raise ConfigError(
                f"ImuNet: found samples={samples}, of which {steps} steps are left; expected a length of which they "
                "divide six times, such as 200, 300 or 400."
            )
        self.samples, size = samples, 6 * samples
        c_in = scaled(IMUNET[0][0], width)
        layers: list[nn.Module] = [stem(c_in)]
        for pair, (channels, stride) in enumerate(IMUNET):
            c_out = scaled(channels, width)
            layers.append(SeparableBlock(c_in, c_out, stride, project=pair > 0))
            layers.append(SeparableBlock(c_out, c_out, 1, project=False))
            c_in = c_out
        last = size // steps
        self.trunk = nn.Sequential(
            *layers, along_time(c_in, last, 2, pad=False, bias=True), nn.BatchNorm2d(last), nn.Flatten()
        )
        self.noise_gain, self.noise_offset = nn.Parameter(torch.zeros(size)), nn.Parameter(torch.zeros(size))
        self.out = nn.Linear(size, 2)
        start(self)

    def forward(self, imu: Float[Tensor, "batch 6 samples"]) -> Float[Tensor, "batch 2"]:
        """Mean ground velocity of each window in its own frame, m/s; input as in `ronin_net.RoninResNet`.

        Raises:
            ConfigError: windows of another length.
        """
        features = self.trunk(as_picture(checked(imu, self.samples, self)))
        noise = self.noise_gain * imu.flatten(1) + self.noise_offset
        return self.out(F.elu(features - noise))
