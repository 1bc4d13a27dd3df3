"""Matrix products of many rows in float32 on a CPU, by oneDNN where it is there.

torch gives products to MKL, which on a processor that isn't Intel's uses half of AVX-512 and nine tenths of AVX2, and
convolutions to oneDNN, which uses all of both. So rows pass here as the pixels of a convolution of one tap.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

IMAGES = 16  # below, on one thread, torch keeps convolutions of one tap from oneDNN; rows in scratch come in such steps
_FEWEST_ROWS, _FEWEST_CHANNELS = 128, 16


def in_steps(rows: int) -> int:
    """The next count of rows that oneDNN takes."""
    return -(-rows // IMAGES) * IMAGES


def times(
    x: Float[Tensor, "rows c_in"], weight: Float[Tensor, "c_out c_in"], bias: Tensor | None = None
) -> Float[Tensor, "rows c_out"]:
    """x W' + b."""
    if not _by_onednn(x, weight):
        return x @ weight.T if bias is None else torch.addmm(bias, x, weight.T)
    return _rows(F.conv2d(_pixels(x), weight[..., None, None], bias))


def transposed_times(y: Float[Tensor, "rows c_out"], x: Float[Tensor, "rows c_in"]) -> Float[Tensor, "c_out c_in"]:
    """y' x: what a layer's weights get."""
    if not _by_onednn(x, y) or torch.backends.cpu.get_cpu_capability() != "AVX512":  # with AVX2 MKL's is twice as fast
        return y.T @ x
    shape = y.shape[1], x.shape[1], 1, 1
    return torch.nn.grad.conv2d_weight(_pixels(x), shape, _pixels(y)).view(shape[:2])


def _by_onednn(x: Tensor, other: Tensor) -> bool:
    many = len(x) % IMAGES == 0 and len(x) >= _FEWEST_ROWS and min(x.shape[1], *other.shape) >= _FEWEST_CHANNELS
    return many and x.dtype == torch.float32 and torch.backends.mkldnn.is_available()


def _pixels(x: Tensor) -> Tensor:
    return x.view(IMAGES, len(x) // IMAGES, 1, x.shape[1]).permute(0, 3, 1, 2)  # channels last, as they lie


def _rows(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])
