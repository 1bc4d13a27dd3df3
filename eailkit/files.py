"""Writing files so that a crash or a kill leaves the old file or the new one, never half of one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
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


def make_folder(path: str | Path) -> Path:
    """Make a folder, and those above it, where they are missing.

    Raises:
        OutputError: a file stands in the way, or the place can't be written.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path}: this folder can't be made ({error.strerror or error}); expected a place with write permission "
            "and space; give another path."
        ) from error
    return path


def refuse_overwrite(outputs: Iterable[str | Path | None], inputs: Iterable[str | Path | None]) -> None:
    """Find out before any work that an output would take the place of an input, or of another output.

    The same file counts by whatever name: a relative path, a symbolic or hard link, another spelling where the file
    system takes it. So does an existing file inside a folder that is an input. None stands for an option not given.

    Raises:
        OutputError: naming both.
    """
    outputs = [Path(path) for path in outputs if path is not None]
    for k, out in enumerate(outputs):
        for given in (Path(path) for path in inputs if path is not None):
            if _same_file(out, given) or (out.is_file() and given.is_dir() and _inside(out, given)):
                raise OutputError(f"{out}: found the input {given} there; expected another place; choose another path.")
        if any(_same_file(out, other) for other in outputs[:k]):
            raise OutputError(f"{out}: found two outputs of this path; expected one each; choose another path.")


def _same_file(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:  # one of them isn't there yet
        return os.path.realpath(one) == os.path.realpath(other)


def _inside(path: Path, folder: Path) -> bool:
    return any(_same_file(parent, folder) for parent in Path(os.path.realpath(path)).parents)


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
