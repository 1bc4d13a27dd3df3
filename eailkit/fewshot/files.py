"""Windows of activities in a file, so that a dataset is read and resampled once."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np

from eailkit.errors import CheckpointError
from eailkit.fewshot.windows import ActivityWindows
from eailkit.files import save_npz


def save_windows(windows: ActivityWindows, path: str | Path) -> Path:
    """Write windows as one npz, atomically.

    Raises:
        OutputError: it can't be written there.
    """
    arrays = {f.name: getattr(windows, f.name) for f in fields(windows) if f.name != "refused"}
    return save_npz(path, arrays | {"refused": json.dumps(windows.refused)})


def load_windows(path: str | Path) -> ActivityWindows:
    """What `save_windows` wrote.

    Raises:
        CheckpointError: no such file, or another one.
    """
    try:
        with np.load(path, allow_pickle=False) as held:
            arrays = {k: held[k] for k in held.files}
        words = {k: tuple(map(str, arrays.pop(k))) for k in ("classes", "prompts")}
        refused = json.loads(str(arrays.pop("refused")))
        return ActivityWindows(**arrays | {"name": str(arrays["name"])}, **words, refused=refused)
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise CheckpointError(
            f"{path}: can't be read as windows of activities ({str(fault)[:120]}); expected a file that save_windows "
            "wrote; delete it and run again."
        ) from None
