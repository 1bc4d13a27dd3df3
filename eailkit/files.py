"""Writing files so that a crash or a kill leaves the old file or the new one, never half of one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from eailkit.errors import OutputError

DATA_SAMPLES = Path(__file__).resolve().parents[1] / "data_samples"  # what ships with the repository


def write_atomically(path: str | Path, write: Callable[[str], object]) -> Path:
    """Let `write` fill a file beside `path`, then rename it there; missing folders are made.

    Args:
        path: the file to make or replace.
        write: called with the name of the file beside; what it returns is ignored.

    Returns:
        `path`.

    Raises:
        OutputError: the folder can't be made or written, or the disk is full; the old file is untouched.
    """
    path = Path(path)
    beside = path.with_name(f".{os.getpid()}.{path.name}")  # the ending stays: some writers go by it
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write(str(beside))
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path}: can't be written ({error.strerror or error}); expected a folder with write permission and "
            "space; give another path."
        ) from error
    return path


def check_writable(path: str | Path) -> None:
    """Find out before long work whether `path` could be written, leaving what stands there alone.

    Raises:
        OutputError: as `write_atomically`, or `path` is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise OutputError(f"{path}: found a folder; expected the name of a file to write; add one.")
    probe = path.with_name(f".{os.getpid()}.probe")
    try:
        write_atomically(probe, lambda beside: Path(beside).touch()).unlink()
    except OutputError as error:
        raise OutputError(str(error).replace(str(probe), str(path), 1)) from error


def write_text(path: str | Path, text: str) -> Path:
    """Write a UTF-8 text file atomically."""
    return write_atomically(path, lambda beside: Path(beside).write_text(text, encoding="utf-8"))


def write_json(path: str | Path, value: Any) -> Path:
    """Write a value as readable JSON with a newline at its end, atomically."""
    return write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def save_npy(path: str | Path, array: np.ndarray) -> Path:
    """Write one array as .npy, atomically: whoever finds the file may read it."""
    return write_atomically(path, lambda beside: _with_file(beside, lambda file: np.save(file, array)))


def save_npz(path: str | Path, arrays: Mapping[str, Any], *, compressed: bool = False) -> Path:
    """Write named arrays as .npz, atomically: whoever finds the file may read it."""
    save = np.savez_compressed if compressed else np.savez
    return write_atomically(path, lambda beside: _with_file(beside, lambda file: save(file, **arrays)))


def _with_file(path: str, write: Callable[[IO[bytes]], None]) -> None:
    with open(path, "wb") as file:  # given a name, numpy would add an ending
        write(file)
