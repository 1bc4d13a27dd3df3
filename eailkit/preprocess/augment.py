"""Random changes of IMU windows for self-supervision, after PRIMUS and the eight tasks of MultitaskSSL.

A transform takes windows (B, 6, L), acc xyz then gyro xyz, and a generator, and gives windows of the same shape; each
example draws its own numbers. `RECIPES` names what PRIMUS's paper and its release compose.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from eailkit.errors import ConfigError

Windows = Float[Tensor, "batch 6 length"]
Transform = Callable[[Windows, torch.Generator], Windows]


def jitter(x: Windows, g: torch.Generator, *, sigma: float = 0.05) -> Windows:
    """White noise, sigma in shares of each channel's own standard deviation."""
    return x + sigma * x.std(dim=2, keepdim=True) * torch.randn(x.shape, generator=g)


def scaled(x: Windows, g: torch.Generator, *, sigma: float = 0.1) -> Windows:
    """One factor a channel, normal around 1 (PRIMUS section 4; Um et al. 2017)."""
    return x * (1.0 + sigma * torch.randn(len(x), x.shape[1], 1, generator=g))


def scaled_by_sample(x: Windows, g: torch.Generator, *, sigma: float = 0.1) -> Windows:
    """One factor a *time sample*, shared by the channels: what PRIMUS's release does under the name of scaling."""
    return x * (1.0 + sigma * torch.randn(len(x), 1, x.shape[2], generator=g))


def rotated(x: Windows, g: torch.Generator) -> Windows:
    """Both sensors turned by one random rotation, uniform over all: the device was mounted otherwise."""
    q = torch.randn(len(x), 4, generator=g, dtype=torch.float64)
    w, i, j, k = (q / q.norm(dim=1, keepdim=True)).unbind(1)
    matrix = torch.stack([
        1 - 2 * (j * j + k * k), 2 * (i * j - k * w), 2 * (i * k + j * w),
        2 * (i * j + k * w), 1 - 2 * (i * i + k * k), 2 * (j * k - i * w),
        2 * (i * k - j * w), 2 * (j * k + i * w), 1 - 2 * (i * i + j * j),
    ], dim=1).view(-1, 3, 3).to(x.dtype)  # fmt: skip
    return torch.cat([matrix @ x[:, :3], matrix @ x[:, 3:]], dim=1)


def negated(x: Windows, g: torch.Generator) -> Windows:
    """All signs turned."""
    return -x


def reversed_in_time(x: Windows, g: torch.Generator) -> Windows:
    """From the last sample to the first (PRIMUS section 4, "time reversal")."""
    return x.flip(2)


def permuted(x: Windows, g: torch.Generator, *, segments: int = 4) -> Windows:
    """Cut into equal stretches whose order is drawn anew; samples left over at the end stay there."""
    size = x.shape[2] // segments
    order = torch.rand(len(x), segments, generator=g).argsort(dim=1)
    index = (order[:, :, None] * size + torch.arange(size)).flatten(1)  # (B, segments * size)
    index = torch.cat([index, torch.arange(segments * size, x.shape[2]).expand(len(x), -1)], dim=1)
    return x.gather(2, index[:, None].expand(-1, x.shape[1], -1))


def time_warp(x: Windows, g: torch.Generator, *, sigma: float = 0.2, knots: int = 4) -> Windows:
    """Time runs faster here and slower there: speeds drawn at knots, first and last sample kept."""
    speed = (sigma * torch.randn(len(x), knots + 2, generator=g)).exp()
    fine = torch.nn.functional.interpolate(speed[:, None], x.shape[2] - 1, mode="linear", align_corners=True)[:, 0]
    at = torch.cat([torch.zeros(len(x), 1), fine.cumsum(1)], dim=1)
    return _sampled(x, at / at[:, -1:] * (x.shape[2] - 1))


def _sampled(x: Windows, at: Float[Tensor, "batch length"]) -> Windows:
    """Values between samples, linearly; `at` counts samples from 0."""
    low = at.floor().long().clamp(max=x.shape[2] - 2)
    part = (at - low)[:, None].to(x.dtype)
    pick = lambda index: x.gather(2, index[:, None].expand(-1, x.shape[1], -1))  # noqa: E731
    return (1 - part) * pick(low) + part * pick(low + 1)


def shuffled_channels(x: Windows, g: torch.Generator) -> Windows:
    """The six channels in another order, an order for each example."""
    order = torch.rand(len(x), x.shape[1], generator=g).argsort(dim=1)
    return x.gather(1, order[:, :, None].expand(-1, -1, x.shape[2]))


def lever_arm_shift(x: Windows, g: torch.Generator, *, lever_m: float = 0.06, rate_hz: float = 50.0) -> Windows:
    """The sensor sits elsewhere on the same head: a' = a + alpha x r + omega x (omega x r), r normal with lever_m.

    Temple to temple is about 0.15 m. alpha is the gyroscope's central difference.
    """
    r = (lever_m * torch.randn(len(x), 3, 1, generator=g)).expand(-1, -1, x.shape[2]).to(x.dtype)
    omega = x[:, 3:]
    alpha = torch.gradient(omega, spacing=1.0 / rate_hz, dim=2)[0]
    cross = lambda a, b: torch.linalg.cross(a, b, dim=1)  # noqa: E731
    return torch.cat([x[:, :3] + cross(alpha, r) + cross(omega, cross(omega, r)), omega], dim=1)


def cropped(x: Windows, g: torch.Generator, *, least: float = 0.6) -> Windows:
    """A random stretch of the window, `least` of it or more, played slower so that it fills it again."""
    share = least + (1.0 - least) * torch.rand(len(x), 1, generator=g)
    start = (1.0 - share) * torch.rand(len(x), 1, generator=g)
    at = (start + share * torch.linspace(0.0, 1.0, x.shape[2])) * (x.shape[2] - 1)
    return _sampled(x, at)


def band_jitter(x: Windows, g: torch.Generator, *, most: float = 0.7) -> Windows:
    """Noise in one random band of frequencies, up to `most` of each channel's own standard deviation."""
    spectrum = torch.fft.rfft(torch.randn(x.shape, generator=g), dim=2)
    f = torch.linspace(0.0, 1.0, spectrum.shape[2])
    low = torch.rand(len(x), 1, 1, generator=g) * 0.8
    noise = torch.fft.irfft(spectrum * ((f >= low) & (f < low + 0.25)), n=x.shape[2], dim=2)
    noise = noise / noise.std(dim=2, keepdim=True).clamp_min(1e-6)
    level = most * torch.rand(len(x), 1, 1, generator=g)
    return x + level * x.std(dim=2, keepdim=True) * noise.to(x.dtype)


def smoothed(x: Windows, g: torch.Generator, *, most: int = 9) -> Windows:
    """A slower sensor: the mean over an odd number of samples, up to `most`, a number for each example."""
    width = 2 * torch.randint(0, (most + 1) // 2, (len(x),), generator=g) + 1
    far = (torch.arange(most) - most // 2).abs()
    kernel = (far[None] <= (width[:, None] // 2)).to(x.dtype) / width[:, None].to(x.dtype)  # (B, most)
    padded = torch.nn.functional.pad(x, (most // 2, most // 2), mode="replicate").unfold(2, most, 1)
    return torch.einsum("bclk,bk->bcl", padded, kernel)


def magnitude_scaling(x: Windows, g: torch.Generator, *, sigma: float = 0.25) -> Windows:
    """The same motion larger or smaller: what changes within the window times one factor, gravity as it is."""
    factor = torch.exp(sigma * torch.randn(len(x), 1, 1, generator=g)).to(x.dtype)
    mean = torch.cat([x[:, :3].mean(dim=2, keepdim=True), torch.zeros_like(x[:, 3:, :1])], dim=1)
    return mean + factor * (x - mean)


TASKS: dict[str, Transform] = {  # MultitaskSSL's eight (Saeed et al. 2019): was this done to the window or not?
    "jitter": jitter, "scaled": scaled, "rotated": rotated, "negated": negated, "reversed": reversed_in_time,
    "permuted": permuted, "time_warp": time_warp, "shuffled": shuffled_channels,
}  # fmt: skip

RECIPES: dict[str, tuple[Transform, ...]] = {
    "paper": (scaled, reversed_in_time),  # PRIMUS section 4; both views are augmented
    "as_released": (scaled_by_sample, permuted),  # the release; one view stays as it is
    "turned": (rotated, scaled, reversed_in_time),  # the paper's, and the device was mounted otherwise
    # ours: another mounting and another place on the head; how much and how fast somebody moves stays telling
    "mounted": (rotated, lever_arm_shift),
    # tried and left: also magnitude scaling, a slower or noisier sensor, another moment (see `primus_run.OUR_ENCODER`)
    "worn": (rotated, lever_arm_shift, magnitude_scaling, cropped, band_jitter, smoothed),
}


def sometimes(transform: Transform, share: float = 0.5) -> Transform:
    """The transform on a random share of the examples; the others stay as they are."""

    def of(x: Windows, g: torch.Generator) -> Windows:
        chosen = torch.rand(len(x), generator=g) < share
        return torch.where(chosen[:, None, None], transform(x, g), x)

    return of


def two_views(x: Windows, g: torch.Generator, recipe: str = "paper") -> tuple[Windows, Windows]:
    """Two views of each window: h1(x) and h2(x) under "paper", x and h(x) under "as_released".

    Time reversal is drawn for half of the views: were both always reversed, nothing would be asked of the encoder.

    Raises:
        ConfigError: no recipe of that name.
    """
    if recipe not in RECIPES:
        raise ConfigError(f"recipe: found '{recipe}'; expected one of {', '.join(RECIPES)}; choose one of these.")
    if recipe == "as_released":
        return x, _composed(x, g, RECIPES[recipe])
    parts = tuple(sometimes(t) if t is reversed_in_time else t for t in RECIPES[recipe])
    return _composed(x, g, parts), _composed(x, g, parts)


def _composed(x: Windows, g: torch.Generator, transforms: tuple[Transform, ...]) -> Windows:
    for transform in transforms:
        x = transform(x, g)
    return x
