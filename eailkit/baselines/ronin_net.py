"""RoNIN's ResNets (ICRA 2020, section 4): windows of head motion to one mean ground velocity.

EAIL's Table 1 calls the deeper one "ResNet-50"; it has ResNet-50's depths and ResNet-18's basic blocks. Every velocity
net here convolves along time with (1, k) over pictures of height one, channels last in memory: torch's own numbers in
0.5 to 0.8 of the time that `nn.Conv1d` takes on a CPU (`benchmarks/baselines_speed.py`). Nothing here trains.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eailkit.errors import ConfigError

RESNET18, RESNET50 = (2, 2, 2, 2), (3, 4, 6, 3)  # basic blocks a group


def as_picture(imu: Float[Tensor, "batch channels samples"]) -> Float[Tensor, "batch channels 1 samples"]:
    """Windows as pictures of height one, channels last in memory."""
    return imu[:, :, None].contiguous(memory_format=torch.channels_last)


def along_time(c_in: int, c_out: int, taps: int, stride: int = 1, *, pad: bool = True, bias: bool = False) -> nn.Conv2d:
    """A convolution along a picture's one row; padded, it leaves ceil(samples / stride) of an odd number of taps."""
    padding = (0, taps // 2 if pad else 0)
    return nn.Conv2d(c_in, c_out, (1, taps), (1, stride), padding, bias=bias)


def scaled(channels: int, width: float) -> int:
    """`width` times as many channels, in multiples of eight and at least eight; those that are asked for at 1.

    Raises:
        ConfigError: the width isn't positive.
    """
    if not width > 0:
        raise ConfigError(f"width: found {width}; expected a positive multiplier of channels; the paper's nets have 1.")
    return channels if width == 1 else max(8, 8 * round(channels * width / 8))


def halved(samples: int, times: int) -> int:
    """Samples that are left after convolutions or poolings in steps of two."""
    return math.ceil(samples / 2**times)


def stem(channels: int) -> nn.Sequential:
    """RoNIN's first layers, a quarter of the samples left: (B, 6, 1, L) to (B, C, 1, ceil(L / 4))."""
    return nn.Sequential(
        along_time(6, channels, 7, stride=2), nn.BatchNorm2d(channels), nn.ReLU(inplace=True),
        nn.MaxPool2d((1, 3), (1, 2), (0, 1)),
    )  # fmt: skip


def checked(imu: Tensor, samples: int, net: nn.Module) -> Tensor:
    """Windows of a net that flattens time and so has one length.

    Raises:
        ConfigError: they have another one.
    """
    if imu.shape[-1] != samples:
        name = type(net).__name__
        raise ConfigError(
            f"{name}: found windows of {imu.shape[-1]} samples; expected {samples}; build it for that length."
        )
    return imu


@torch.no_grad()
def start(net: nn.Module) -> None:
    """RoNIN's initial weights: convolutions N(0, 2 / fan-out), linear layers N(0, 0.01^2), norms one and zero.

    The fan-out of a depthwise convolution is that of its one channel.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.kernel_size[1] * module.out_channels // module.groups
            nn.init.normal_(module.weight, 0.0, math.sqrt(2 / fan_out))
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.01)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
        if getattr(module, "bias", None) is not None:
            nn.init.zeros_(module.bias)


class BasicBlock(nn.Module):
    """Two convolutions of length 3 with a shortcut: y = relu(conv(relu(conv(x))) + shortcut(x)), each with its norm.

    Shape:
        (B, C_in, 1, L) -> (B, C_out, 1, ceil(L / stride))
    """

    def __init__(self, c_in: int, c_out: int, stride: int):
        super().__init__()
        self.first, self.first_norm = along_time(c_in, c_out, 3, stride), nn.BatchNorm2d(c_out)
        self.second, self.second_norm = along_time(c_out, c_out, 3), nn.BatchNorm2d(c_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or c_in != c_out:
            self.shortcut = nn.Sequential(along_time(c_in, c_out, 1, stride), nn.BatchNorm2d(c_out))

    def forward(self, x: Float[Tensor, "batch c_in 1 length"]) -> Float[Tensor, "batch c_out 1 shorter"]:
        """The block's output."""
        y = self.first_norm(self.first(x)).relu_()
        return (self.second_norm(self.second(y)) + self.shortcut(x)).relu_()


class RoninResNet(nn.Module):
    """RoNIN's ResNet with its head, which flattens time and so holds the net to one length of windows.

    At 200 samples, RoNIN's second at 200 Hz, the two depths have 4,634,882 and 9,256,450 parameters.

    Args:
        blocks: basic blocks of each group, `RESNET18` or `RESNET50`.
        hidden: of the head's two hidden layers: RoNIN's 512, for the deeper net 1024.
        width: multiplier of all channels and hidden units.
        samples: length of the windows; 300 are three seconds at 100 Hz.

    Raises:
        ConfigError: an impossible width or length.

    Example:
        >>> RoninResNet(width=0.25)(torch.zeros(2, 6, 300)).shape
        torch.Size([2, 2])
    """

    def __init__(
        self, blocks: tuple[int, int, int, int] = RESNET18, hidden: int = 512, *, width: float = 1.0, samples: int = 300
    ):
        super().__init__()
        if samples < 32:
            raise ConfigError(f"RoninResNet: found samples={samples}; expected 32 or more, of which one step is left.")
        self.samples = samples
        channels = [scaled(64 * 2**group, width) for group in range(4)]
        last, hidden = scaled(128, width), scaled(hidden, width)
        layers, c_in = [stem(channels[0])], channels[0]
        for group, (depth, c_out) in enumerate(zip(blocks, channels, strict=True)):
            for k in range(depth):
                layers.append(BasicBlock(c_in, c_out, 2 if group and not k else 1))
                c_in = c_out
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Sequential(
            along_time(c_in, last, 1), nn.BatchNorm2d(last), nn.Flatten(),
            nn.Linear(last * halved(samples, 5), hidden), nn.ReLU(inplace=True), nn.Dropout(0.5),
            nn.Linear(hidden, hidden), nn.ReLU(inplace=True), nn.Dropout(0.5),
            nn.Linear(hidden, 2),
        )  # fmt: skip
        start(self)

    def forward(self, imu: Float[Tensor, "batch 6 samples"]) -> Float[Tensor, "batch 2"]:
        """Mean ground velocity of each window in its own frame, m/s.

        Args:
            imu: acc xyz in m/s², gravity kept, then gyro xyz in rad/s; z up.

        Raises:
            ConfigError: windows of another length.
        """
        return self.head(self.trunk(as_picture(checked(imu, self.samples, self))))
