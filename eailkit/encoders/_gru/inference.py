"""An encoder as a function that only infers: the same numbers to 1e-5, sooner, on one CPU thread.

`fast` takes PRIMUS's Stacked RNN apart: its GRU runs in loops of our own (see `loops`), for a few windows as one
compiled loop, for many as one matrix product a step with fused gates. Any other module it keeps as it is, frozen.
Nothing here trains, and nothing needs a compiler on the user's machine other than numba's.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from eailkit.encoders._gru import loops
from eailkit.encoders.stacked_rnn import SHORTEST, StackedRNN
from eailkit.errors import ConfigError

FEW = 8  # windows: up to here a compiled matrix-vector loop beats a library's matrix product
BLOCK = 256  # windows at a time: the temporaries of more leave the cache

Encode = Callable[[Float[Tensor, "batch 6 length"]], Float[Tensor, "batch dim"]]


def fast(
    module: nn.Module, example: Float[Tensor, "batch 6 length"] | None = None, *, head: str | None = None
) -> Encode:
    """A function x -> module(x), or x -> module.<head>(module(x)), for inference alone; equal to 1e-5.

    The parameters are copied now: what happens to the module afterwards (training, loading) doesn't reach the
    function, so call `fast` again. Dropout and batch statistics are off, whatever mode the module is in. The result
    carries no gradient, and a probe can be trained on it.

    Args:
        module: `StackedRNN`, which gets faster, or any other encoder, which gets a frozen copy.
        example: windows as they will come. If given, the function's result for them is compared with the module's.
        head: name of a method of the module that its output goes through, "multimodal" or "ssl".

    Raises:
        ConfigError: parameters that aren't float32 on the CPU, no such head, or results that differ on the example.
        ValueError: (of the function) input of another shape or type.

    Example:
        >>> encode = fast(StackedRNN(), head="multimodal")
        >>> encode(torch.zeros(2, 6, 250)).shape
        torch.Size([2, 512])
    """
    for name, parameter in module.named_parameters():
        if parameter.dtype != torch.float32 or parameter.device.type != "cpu":
            raise ConfigError(
                f"fast: found '{name}' as {parameter.dtype} on {parameter.device}; expected torch.float32 on the CPU; "
                "call .float().cpu() first."
            )
    heads = ("ssl", "multimodal") if isinstance(module, StackedRNN) else dir(module)
    if head is not None and not (head in heads and callable(getattr(module, head))):
        raise ConfigError(f"fast: found no head '{head}' in {type(module).__name__}; give the name of a method.")
    frozen = copy.deepcopy(module).eval().requires_grad_(False)
    compiled = type(module) is StackedRNN
    encode = _FastStackedRnn(frozen, head) if compiled else _Frozen(frozen, head)
    if example is not None:
        _compare(encode, _Frozen(frozen, head), example)
    return encode


def _compare(encode: Encode, reference: Encode, example: Tensor) -> None:
    difference = float((encode(example) - reference(example)).abs().max())
    if not difference <= 1e-5:
        raise ConfigError(
            f"fast: found results that differ by {difference:.1e} on the example; expected 1e-5 at most; "
            "check the example and the weights for values that aren't finite, or use the module itself."
        )


class _Frozen:
    """A module and one of its heads without gradients."""

    def __init__(self, module: nn.Module, head: str | None):
        self._module = module
        self._head = getattr(module, head) if head else None

    @torch.no_grad()
    def __call__(self, imu: Tensor) -> Tensor:
        _refuse_other_types(imu)
        out = self._module(imu)
        return self._head(out) if self._head else out


class _FastStackedRnn:
    """The Stacked RNN with its GRU unrolled; the convolutions are torch's, as they take 4 % of the time."""

    def __init__(self, module: StackedRNN, head: str | None):
        self._head = getattr(module, f"{head}_head") if head else None
        self._norm_in, self._norm_out = (
            (n.num_groups, n.weight, n.bias, n.eps) for n in (module.norm_in, module.norm_out)
        )
        self._conv = [conv.weight for conv in (module.conv1, module.conv2, module.conv3)]
        self._bins = module.config.channels
        self._step_first = (2, 0, 1) if module.config.scan == "time" else (1, 0, 2)
        gru, d = module.gru, module.config.embed_dim
        bias = gru.bias_ih_l0.clone()
        bias[: 2 * d] += gru.bias_hh_l0[: 2 * d]  # of r and z both biases add up; that of n stands inside the reset
        self._bias, self._bias_n = bias, gru.bias_hh_l0[2 * d :].clone().numpy()
        self._from_input = gru.weight_ih_l0.T.contiguous()  # (bins, 3D)
        self._from_hidden = gru.weight_hh_l0.T.contiguous()  # (D, 3D): a product with it is faster than with a view
        self._rows = gru.weight_hh_l0.numpy()  # (3D, D)

    @torch.no_grad()
    def __call__(self, imu: Tensor) -> Tensor:
        _refuse_other_types(imu)
        if imu.ndim != 3 or imu.shape[1] != 6 or imu.shape[2] < SHORTEST:
            raise ValueError(f"fast: found input {tuple(imu.shape)}; expected (B, 6, L) with L >= {SHORTEST}.")
        if 0 < len(imu) <= FEW:
            return self._few(self._steps(imu))
        hidden = torch.cat([imu.new_zeros(0, self._rows.shape[1])] + [
            self._many(self._steps(block)) for block in imu.split(BLOCK) if len(block)
        ])  # fmt: skip
        return self._head(hidden) if self._head else hidden

    def _steps(self, imu: Tensor) -> Tensor:
        first, second, third = self._conv
        x = torch.group_norm(imu, *self._norm_in)
        x = torch.max_pool1d(torch.conv1d(x, first, dilation=2), 3)
        x = torch.max_pool1d(torch.conv1d(x, second, dilation=2), 3)
        x = torch.adaptive_avg_pool1d(torch.conv1d(x, third, dilation=2), self._bins)
        return torch.group_norm(x, *self._norm_out).permute(self._step_first).contiguous()  # (T, B, features)

    def _few(self, steps: Tensor) -> Tensor:
        drive = torch.addmm(self._bias, steps.flatten(0, 1), self._from_input)  # (T * B, 3D)
        drive = drive.view(*steps.shape[:2], -1).numpy()
        hidden = loops.last_hidden(drive, self._rows, self._bias_n)
        if self._head:
            hidden = loops.linear(hidden, self._head.weight.numpy(), self._head.bias.numpy())
        return torch.from_numpy(hidden)

    def _many(self, steps: Tensor) -> Tensor:
        batch, (d, rows) = steps.shape[1], self._from_hidden.shape
        hidden, drive, product = torch.zeros(batch, d), torch.empty(batch, rows), torch.zeros(batch, rows)
        arrays = drive.numpy(), product.numpy(), self._bias_n, hidden.numpy()
        for t, step in enumerate(steps):
            torch.addmm(self._bias, step, self._from_input, out=drive)
            if t:  # h is zero before the first step
                torch.mm(hidden, self._from_hidden, out=product)
            loops.gates(*arrays)
        return hidden


def _refuse_other_types(imu: Tensor) -> None:
    if imu.dtype != torch.float32 or imu.device.type != "cpu":
        raise ValueError(f"fast: found input as {imu.dtype} on {imu.device}; expected torch.float32 on the CPU.")
