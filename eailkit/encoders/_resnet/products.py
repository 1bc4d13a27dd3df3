"""The IMU ResNet's convolutions on a CPU as matrix products, less than half as many as torch's.

Two thirds of a stage-1 step were products of convolutions of length 3, which torch runs near a core's limit. Winograd's
minimal filtering F(6, 3) (Lavin and Gray 2016, https://arxiv.org/abs/1509.09308, in one dimension) makes six outputs
from eight products instead of eighteen: v = B' x over eight samples, u = G w, y = A' (v u), each of the eight a matrix
product over channels. Time comes first in memory, (L, B, C), so that a transform is a sum of slabs of B * C numbers.
Numbers differ from torch's by rounding.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eailkit.encoders._products import as_fast_as_convolutions, times, transposed_times
from eailkit.encoders._resnet import loops

TILE = 6  # outputs of eight products
_LONGEST_TAIL = 2  # outputs beyond whole tiles that are cheaper tap by tap: two and three products where a tile has 8


def is_ours(module: nn.Module, x: Tensor) -> bool:
    """Whether a module's input can be taken here, in training or inference; elsewhere torch's own modules run.

    Not under autocast, on other devices, for other types, or without weights that are all trained or all frozen
    together with the norms' statistics. Nor where torch's convolutions have AVX-512 and products don't.
    """
    if x.ndim != 3 or not len(x) or x.requires_grad or not as_fast_as_convolutions():
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


def split_taps(weight: Float[Tensor, "c_out c_in 3"]) -> tuple[Tensor, Tensor]:
    """u = G w, (8, c_out, c_in), and the taps one after the other, which a tail needs (see `tail_of`)."""
    u = weight.new_empty(8, *weight.shape[:2])
    loops.split_taps(weight.contiguous().view(-1, 3).numpy(), u.view(8, -1).numpy())
    return u, one_after_the_other(weight)


def tail_of(length: int) -> int:
    """How many outputs are made tap by tap, after the last tile."""
    rest = length % TILE
    return rest if rest <= _LONGEST_TAIL and length > TILE else 0


def tiles_of(length: int) -> int:
    """How many tiles a convolution over `length` steps has."""
    return length // TILE if tail_of(length) else -(-length // TILE)


def split(x: Float[Tensor, "length batch c_in"]) -> Float[Tensor, "8 tiles batch c_in"]:
    """v = B' x."""
    v = x.new_empty(8, tiles_of(len(x)), *x.shape[1:])
    loops.split(_slabs(x), v.view(*v.shape[:2], -1).numpy())
    return v


def slabs_times(v: Float[Tensor, "8 tiles batch c_in"], u: Float[Tensor, "8 c_out c_in"]) -> tuple:
    """The eight products v_k u_k', (tiles, batch * c_out) arrays."""
    return tuple(times(rows_of(a), b).view(len(a), -1).numpy() for a, b in zip(v, u, strict=True))


def seen_by_tail(x: Float[Tensor, "length batch channels"], count: int) -> Float[Tensor, "few batch taps_channels"]:
    """What each of the last `count` outputs sees: x_(t - 1), x_t and, where more than one is left, x_(t + 1)."""
    taps = min(count + 1, 3)
    seen = x.new_zeros(count, x.shape[1], taps, x.shape[2])
    for t in range(count):
        here = x[len(x) - count + t - 1 :][:taps]
        seen[t, :, : len(here)] = here.transpose(0, 1)
    return seen.flatten(2)


def seen_by_tail_backward(of_seen: Float[Tensor, "few batch taps_channels"], of_x: Tensor) -> None:
    """Add the gradient of what a tail sees to that of x."""
    count, batch, _ = of_seen.shape
    for t, of_output in enumerate(of_seen.view(count, batch, -1, of_x.shape[2])):
        here = of_x[len(of_x) - count + t - 1 :][: of_output.shape[1]]
        here += of_output[:, : len(here)].transpose(0, 1)


def tail(seen: Float[Tensor, "few batch taps_channels"], taps: Float[Tensor, "c_out three_c_in"]) -> Tensor:
    """The last outputs, (few, batch, c_out)."""
    return times(rows_of(seen), taps[:, : seen.shape[2]]).view(*seen.shape[:2], -1)


def filtered(
    x: Float[Tensor, "length batch c_in"], u: Float[Tensor, "8 c_out c_in"], taps: Float[Tensor, "c_out three_c_in"]
) -> tuple[Float[Tensor, "length batch c_out"], Float[Tensor, "8 tiles batch c_in"], Tensor | None]:
    """y_t = sum_k w_k x_(t + k - 1), zero outside; v = B' x and what the tail sees, which the gradient needs."""
    v, y, few = split(x), x.new_empty(*x.shape[:2], u.shape[1]), tail_of(len(x))
    loops.join(slabs_times(v, u), _slabs(y))
    seen = seen_by_tail(x, few) if few else None
    if few:
        y[-few:] = tail(seen, taps)
    return y, v, seen


def seen_by_halving(x: Float[Tensor, "length batch channels"]) -> Float[Tensor, "shorter batch 3 channels"]:
    """What each output of a convolution of three taps in steps of two sees: x_(2t - 1), x_2t, x_(2t + 1)."""
    seen = x.new_empty((len(x) + 1) // 2, x.shape[1], 3, x.shape[2])
    odd = x[1::2]
    seen[0, :, 0] = 0
    seen[1:, :, 0] = odd[: len(seen) - 1]
    seen[:, :, 1] = x[0::2]
    seen[: len(odd), :, 2] = odd
    seen[len(odd) :, :, 2] = 0
    return seen


def one_after_the_other(weight: Float[Tensor, "c_out c_in 3"]) -> Float[Tensor, "c_out three_c_in"]:
    """A convolution's taps beside each other, as `seen_by_halving` lays samples."""
    return weight.transpose(1, 2).reshape(len(weight), -1)


def rows_of(x: Float[Tensor, "*batch channels"]) -> Float[Tensor, "rows channels"]:
    """Slabs one after the other."""
    return x.reshape(-1, x.shape[-1])


def _slabs(x: Tensor):
    return x.view(len(x), -1).numpy()


def slabs_transposed(m: Float[Tensor, "8 tiles batch c_out"], v: Float[Tensor, "8 tiles batch c_in"]) -> tuple:
    """The eight products m_k' v_k, (c_out * c_in,) arrays."""
    return tuple(transposed_times(rows_of(a), rows_of(b)).reshape(-1).numpy() for a, b in zip(m, v, strict=True))
