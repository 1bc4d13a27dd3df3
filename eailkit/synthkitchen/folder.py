"""A dataset's folder: opened for writing, its card, what may already lie in it, and whether it is whole.

The card, synthkitchen.json, says which simulator, seed and settings the folder belongs to; nothing is ever
added to a folder of others. What a take is made of is `dataset`'s, how a file is written is `writing`'s.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eailkit.errors import DatasetError
from eailkit.parallel import WorkerDied, run_all
from eailkit.synthkitchen import writing
from eailkit.synthkitchen.splits import TakeJob
from eailkit.synthkitchen.version import Stamp, as_plain

CARD = "synthkitchen.json"
SIDECAR = "synthkitchen_take.json"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn what goes wrong while `path` is written into one sentence.

    Raises:
        DatasetError: the disk is full, or `path` can't be written for another reason.
    """
    import av

    try:
        yield
    except (OSError, av.FFmpegError) as error:  # PyAV raises both kinds, Arrow the first
        raise DatasetError(_cant_write(path, error)) from None


def _cant_write(path: Path, error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number in _FULL or any(word in str(error) for word in ("No space left", "File too large")):
        return (
            f"{path}: the disk is full or a limit on file sizes is reached; expected space for the rest of the "
            "dataset; free some and run the same command again, finished takes are kept."
        )
    why = getattr(error, "strerror", None) or str(error).splitlines()[0] if str(error) else type(error).__name__
    return (
        f"{path}: can't be written ({why}); expected a folder with write permission and space; mend that and run the "
        "same command again, finished takes are kept, or give another path."
    )


def open_folder(out: Path, card: dict[str, Any]) -> None:
    """Make the folder with its card, or make sure that the one there was begun with this card.

    Raises:
        DatasetError: a file stands there, the folder holds something else or another dataset, or it can't be written.
    """
    if out.exists() and not out.is_dir():
        raise DatasetError(f"{out}: found a file; expected a folder to write the dataset to; give another path.")
    with write_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        begun = any(p for p in out.iterdir() if p.name != f"part_{CARD}")
        if not begun or not _check_card(out, card).get("complete"):  # a whole dataset's card stays as it is
            writing.write_json(out / CARD, card)
        for name in ("takes", "captures", "annotations"):
            (out / name).mkdir(exist_ok=True)


def _check_card(out: Path, card: dict[str, Any]) -> dict[str, Any]:
    try:
        found = json.loads((out / CARD).read_text())
    except FileNotFoundError:
        raise DatasetError(
            f"{out}: found files but no {CARD}; expected an empty folder or a SynthKitchen dataset; give another path."
        ) from None
    except (OSError, ValueError):
        raise DatasetError(
            f"{out / CARD}: can't be read; expected JSON; delete the folder and make it again."
        ) from None
    if found.get("version") != card["version"]:
        raise DatasetError(
            f"{out}: found a dataset of SynthKitchen version {found.get('version')}; expected version "
            f"{card['version']}; give another folder, or delete this one to make it again."
        )
    if found.get("parameter_hash") != card["parameter_hash"]:
        old, new = found.get("config", {}), card["config"]
        changed = [k for k in new if old.get(k) != as_plain(new[k])] or ["the simulator's parameters"]
        raise DatasetError(
            f"{out}: found a dataset made with other settings ({', '.join(changed[:4])}); expected the same ones to "
            "finish it; repeat the first command, or give another folder."
        )
    return found


def is_finished(out: Path, job: TakeJob, stamp: Stamp) -> bool:
    """Whether a take is there and whole.

    Raises:
        DatasetError: a take of that name is there, but another version or other settings made it.
    """
    sidecar = out / "takes" / job.name / SIDECAR
    if not sidecar.is_file():
        return False
    try:
        found = Stamp.of(json.loads(sidecar.read_text()))
    except ValueError:
        return False  # broken: made again
    if found != stamp:
        raise DatasetError(
            f"{sidecar.parent}: found a take of {found.text if found else 'SynthKitchen 1'} in a dataset of "
            f"{stamp.text}; expected one dataset, not a mix; delete that take and run the same command again."
        )
    return True


WriteTake = Callable[[TakeJob, Path, Path, Stamp], dict[str, Any]]


def make_takes(
    write: WriteTake, jobs: list[TakeJob], out: Path, stamp: Stamp, *, workers: int | None, progress: bool, total: int
) -> None:
    """Make takes in parallel, each whole or not at all; what is finished stays when one fails or Ctrl-C comes.

    Args:
        write: a function of a module, called with (job, take's folder, capture's folder, stamp), returns the facts
            that the take's sidecar keeps.
        workers: processes; one a core where None, 1 works in this process.
        total: takes of the whole dataset, for the bar.

    Raises:
        DatasetError: the folder can't be written, or a worker died.
    """
    every = [(make_take, write, job, out, stamp) for job in jobs]
    try:
        run_all(every, workers or os.cpu_count() or 1, progress, "takes", before=total - len(jobs), unit="take")
    except WorkerDied as death:
        raise DatasetError(f"{out}: {death}") from None


def make_take(write: WriteTake, job: TakeJob, out: Path, stamp: Stamp) -> None:
    """Make one take (or scan) of a dataset; nothing of it is visible before it is whole, nor left where it fails.

    Raises:
        DatasetError: the folder can't be written, or the disk is full.
    """
    part, final = out / "takes" / f".part_{job.name}", out / "takes" / job.name
    capture = out / "captures" / f"{job.name}_capture"
    for stale in (part, final, capture):
        shutil.rmtree(stale, ignore_errors=True)
    try:
        with write_errors(final):
            (part / "trajectory").mkdir(parents=True)
            capture.mkdir()
            facts = write(job, part, capture, stamp)
            writing.write_json(part / SIDECAR, {**stamp.keys, "job": as_plain(job), **facts})
            os.replace(part, final)
    except BaseException:
        for half in (part, capture):
            shutil.rmtree(half, ignore_errors=True)
        raise


def check_dataset(out: Path, jobs: list[TakeJob]) -> None:
    """Look whether every file of every take is there and not empty.

    Raises:
        DatasetError: with the first file that isn't.
    """
    for job in jobs:
        folder = out / "takes" / job.name
        needed = [folder / "trajectory" / "closed_loop_trajectory.csv"]
        needed += [folder / ("trajectory/semidense_points.csv.gz" if job.split == "scan" else "imu-left.parquet")]
        needed += [folder / "frame_aligned_videos" / f"{writing.EGO_CAMERA}.mp4"] if job.frame_px else []
        needed += [out / "captures" / f"{job.name}_capture" / "timesync.csv"]
        for path in needed:
            if not path.is_file() or path.stat().st_size == 0:
                found = "an empty file" if path.is_file() else "nothing"
                raise DatasetError(
                    f"{path}: found {found}; expected a part of the finished take; "
                    f"delete {folder} and run the same command again."
                )
