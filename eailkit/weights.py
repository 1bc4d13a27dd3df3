"""A module's weights in a file: safetensors, written atomically, read strictly, never pickle."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from eailkit.errors import CheckpointError
from eailkit.files import write_atomically


def save_weights(
    model: nn.Module, path: str | Path, *, metadata: dict[str, str] | None = None, half: bool = False
) -> Path:
    """Write a module's state dict as safetensors, atomically; in float16 where `half`, counts as they are."""
    state = {k: v.detach().cpu().contiguous().clone() for k, v in model.state_dict().items()}
    if half:
        state = {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
    return write_atomically(path, lambda p: save_file(state, p, metadata=metadata))


def load_weights(model: nn.Module, path: str | Path) -> nn.Module:
    """Load safetensors into a module, strictly.

    Raises:
        CheckpointError: the file is missing, truncated, or has other tensors than the model.
    """
    state = {k: v.float() if v.dtype in (torch.float16, torch.bfloat16) else v for k, v in load_tensors(path).items()}
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise CheckpointError(
            f"{path}: found weights of another model ({first[:160]}); expected those of {type(model).__name__} "
            "with this configuration; give the checkpoint that belongs to it."
        ) from error
    return model


def load_tensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name.

    Raises:
        CheckpointError: the file is missing or truncated.
    """
    try:
        return load_file(str(path))
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path}: found no file; expected weights as safetensors; train them or give --weights."
        ) from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: found no whole safetensors file ({error}); it may be truncated: copy it again."
        ) from error
