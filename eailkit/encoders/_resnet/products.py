"""The IMU ResNet's convolutions on a CPU as matrix products, half as many as torch's.

Two thirds of a stage-1 step were products of convolutions of length 3, which torch runs near a core's limit. Winograd's
minimal filtering F(4, 3) (Lavin and Gray 2016, https://arxiv.org/abs/1509.09308, in one dimension) makes four outputs
from six products instead of twelve: v = B' x over six samples, u = G w, y = A' (v u), each of the six a matrix product
over channels. Time comes first in memory, (L, B, C), so that a transform is a sum of slabs of B * C numbers. Numbers
differ from torch's by rounding.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eailkit.encoders._resnet import loops


def is_ours(module: nn.Module, x: Tensor) -> bool:
    """Whether a module's input can be taken here, in training or inference; elsewhere torch's own modules run.

    Not where the processor has AVX-512: there torch's convolutions are nearly twice as fast as a matrix product of MKL
    on a processor that isn't Intel's. Nor under autocast, on other devices, for other types, or without weights that
    are all trained or all frozen together with the norms' statistics.
    """
    if x.ndim != 3 or not len(x) or x.requires_grad or torch.backends.cpu.get_cpu_capability() == "AVX512":
        return False
    if torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
        return False
    if module.training != torch.is_grad_enabled():
        return False
    return all(t.dtype == torch.float32 and t.is_cpu for t in (x, *module.parameters()))


def what_it_sees(imu: Float[Tensor, "batch channels samples"], taps: int, stride: int, padding: int) -> Tensor:
    """For each output of a convolution and each window the samples that it multiplies: (T * B, channels * taps)."""
    batch, channels, length = imu.shape
    seen = imu.new_empty((length + 2 * padding - taps) // stride + 1, batch, channels, taps)
    loops.windows(imu.contiguous().numpy(), stride, padding, seen.numpy())
    return seen.view(-1, channels * taps)


def split_taps(weight: Float[Tensor, "c_out c_in 3"]) -> tuple[Tensor, list[Tensor]]:
    """u = G w, (6, c_out, c_in), and the first two taps, which a last single output needs (see `has_tail`)."""
    u = weight.new_empty(6, *weight.shape[:2])
    loops.split_taps(weight.contiguous().view(-1, 3).numpy(), u.view(6, -1).numpy())
    return u, [weight[..., k].contiguous() for k in (0, 1)]


def has_tail(x: Float[Tensor, "length batch channels"]) -> bool:
    """Whether a single output is left after the last tile of four: two products make it, a tile would take six."""
    return len(x) % 4 == 1 and len(x) > 1


def filtered(
    x: Float[Tensor, "length batch c_in"], u: Float[Tensor, "6 c_out c_in"], taps: list[Tensor]
) -> tuple[Float[Tensor, "length batch c_out"], Float[Tensor, "6 rows c_in"]]:
    """y_t = sum_k w_k x_(t + k - 1), zero outside, and v = B' x, which the gradient needs."""
    length, batch, channels = x.shape
    tiles = length // 4 if has_tail(x) else -(-length // 4)
    v, y = x.new_empty(6, tiles, batch * channels), x.new_empty(length, batch, u.shape[1])
    loops.split(x.view(length, -1).numpy(), v.numpy())
    v = v.view(6, tiles * batch, channels)
    loops.join(torch.bmm(v, u.transpose(1, 2)).view(6, tiles, -1).numpy(), y.view(length, -1).numpy())
    if has_tail(x):
        torch.addmm(x[-2] @ taps[0].T, x[-1], taps[1].T, out=y[-1])
    return y, v


def halved(even: Tensor, odd: Tensor, before: Tensor, here: Tensor, after: Tensor) -> Tensor:
    """y_t = before x_(2t - 1) + here x_(2t) + after x_(2t + 1) from the even and odd slabs of x; weights (D, C)."""
    y = times(even, here.T)
    rows_of(y[: len(odd)]).addmm_(rows_of(odd), after.T)
    rows_of(y[1:]).addmm_(rows_of(odd[: len(y) - 1]), before.T)
    return y


def rows_of(x: Float[Tensor, "length batch channels"]) -> Float[Tensor, "rows channels"]:
    """Slabs one after the other."""
    return x.flatten(0, 1)


def times(x: Float[Tensor, "length batch c_in"], across: Float[Tensor, "c_in c_out"]) -> Tensor:
    """x times a matrix, (length, batch, c_out)."""
    return (rows_of(x) @ across).unflatten(0, x.shape[:2])
