"""Matrix products of many rows in float32 on a CPU, by oneDNN where it is there.

torch gives products to MKL, which on a processor that isn't Intel's uses half of AVX-512 and nine tenths of AVX2. To
oneDNN, which uses all of both, it gives convolutions, and linear layers where its own compiler asks for it by the
operator that is called here. Without it, for other types and for few rows MKL's product is taken.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

IMAGES = 16  # below, on one thread, torch keeps convolutions of one tap from oneDNN; rows in scratch come in such steps
_WORTH_IT = 2**20  # multiplications, below which a call takes longer than it saves
_WIDE = 256  # channels, from which rows are transposed in less time than a convolution's gradient loses
_linear = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None


def as_fast_as_convolutions() -> bool:
    """Whether `times` uses what the processor has, as torch's convolutions do."""
    return _linear is not None or torch.backends.cpu.get_cpu_capability() != "AVX512"


def in_steps(rows: int) -> int:
    """The next count of rows that `transposed_times` can give to oneDNN."""
    return -(-rows // IMAGES) * IMAGES


def times(
    x: Float[Tensor, "rows c_in"], weight: Float[Tensor, "c_out c_in"], bias: Tensor | None = None
) -> Float[Tensor, "rows c_out"]:
    """x W' + b, without gradients."""
    if _linear is not None and x.dtype == torch.float32 and len(x) * weight.numel() >= _WORTH_IT:
        if not (weight.is_contiguous() or weight.T.is_contiguous()):  # which oneDNN leaves to its reference loops
            weight = weight.contiguous()
        return _linear(x.contiguous(), weight, bias, "none", [], "")
    return x @ weight.T if bias is None else torch.addmm(bias, x, weight.T)


def transposed_times(y: Float[Tensor, "rows c_out"], x: Float[Tensor, "rows c_in"]) -> Float[Tensor, "c_out c_in"]:
    """y' x, what a layer's weights get, without gradients."""
    shape = y.shape[1], x.shape[1]
    ours = _linear is not None and x.dtype == torch.float32 and len(x) * shape[0] * shape[1] >= _WORTH_IT
    if not ours or torch.backends.cpu.get_cpu_capability() != "AVX512":  # with AVX2 none of the ways is faster
        return y.T @ x
    if min(shape) >= _WIDE:
        return _linear(y.T.contiguous(), x.T.contiguous(), None, "none", [], "")
    if len(x) % IMAGES:
        return y.T @ x
    return torch.nn.grad.conv2d_weight(_pixels(x), (*shape, 1, 1), _pixels(y)).view(shape)


def _pixels(x: Tensor) -> Tensor:
    return x.view(IMAGES, len(x) // IMAGES, 1, x.shape[1]).permute(0, 3, 1, 2)  # channels last, as they lie
