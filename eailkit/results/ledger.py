"""The results ledger: `results/<table>.json`, one record a row, from which notebooks and README read.

A row says which question it answers, by which command, on which code and data, with which seeds, and
how long it took on what. Numbers are never typed by hand, and rows from shipped weights are refused.
What a number means lives in `eailkit.metrics`; the papers' own figures live elsewhere, never in a row.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eailkit.errors import ConfigError
from eailkit.files import write_json

RESULTS_DIR = Path("results")


@dataclass(frozen=True)
class LedgerRow:
    """One measured line of a table.

    Attributes:
        id: name of the row, unique in its table; a new measurement under the same id replaces the old one.
        question: what the row answers, one sentence.
        command: the exact command that made it.
        config: options that the command ran with (plain JSON values).
        commit: git commit of the code, with "+changes" where files differed from it.
        data_hash: hash of the data that was read, see `hash_files`.
        seeds: seeds of the runs that the mean is taken over.
        mean: metric name (with its unit) -> mean over seeds.
        spread: metric name -> spread; the same names as `mean`. How it was taken stands in `config`.
        minutes: wall-clock time of all seeds together.
        device: what it ran on, see `device_name`.
        recorded: time of writing, UTC; filled in by `append_rows`.
    """

    id: str
    question: str
    command: str
    config: Mapping[str, Any]
    commit: str
    data_hash: str
    seeds: tuple[int, ...]
    mean: Mapping[str, float]
    spread: Mapping[str, float]
    minutes: float
    device: str
    recorded: str = ""


def append_rows(
    table: str,
    rows: Iterable[LedgerRow],
    *,
    results_dir: Path | str = RESULTS_DIR,
    rows_from_shipped_weights: bool = False,
) -> Path:
    """Write rows into `results_dir/<table>.json`; an id that stands there already is replaced in place.

    The file is written atomically, so a kill leaves the old or the new table, never half of one.

    Args:
        table: name of the table, letters, digits and underscores.
        rows: the rows.
        results_dir: folder of the ledger.
        rows_from_shipped_weights: say True where any weight came from `data_samples`; such rows are refused.

    Returns:
        The path of the table.

    Raises:
        ConfigError: the rows come from shipped weights, a field is empty, a number isn't finite, `mean` and
            `spread` name different metrics, or the table's file can't be read.
    """
    if rows_from_shipped_weights:
        raise ConfigError(
            f"results table {table!r} was given rows from shipped weights, but the ledger holds only runs that "
            "trained their own: train first, or don't record."
        )
    path = _table_path(table, results_dir)
    kept = {row["id"]: row for row in read(table, results_dir=results_dir)} if path.exists() else {}
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for row in rows:
        _check(table, row)
        kept[row.id] = asdict(row) | {"seeds": list(row.seeds), "recorded": row.recorded or now}
    return write_json(path, list(kept.values()))


def read(table: str, *, results_dir: Path | str = RESULTS_DIR) -> list[dict[str, Any]]:
    """Rows of `results_dir/<table>.json` in the order in which they were first recorded; [] where there is none.

    Raises:
        ConfigError: the file isn't a ledger table.
    """
    path = _table_path(table, results_dir)
    if not path.exists():
        return []
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} isn't valid JSON ({error}): restore it from git or delete it.") from None
    names = {field.name for field in fields(LedgerRow)}
    if not isinstance(rows, list) or any(not isinstance(row, dict) or set(row) != names for row in rows):
        raise ConfigError(f"{path} isn't a table of this ledger version: restore it from git or delete it.")
    return rows


def git_commit(root: Path | str = ".") -> str:
    """Commit that `root` stands on, "+changes" where tracked files differ, "unknown" outside a git checkout."""
    try:
        head = _git(root, "rev-parse", "HEAD")
        return head + ("+changes" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def hash_files(root: Path | str, pattern: str = "**/*") -> str:
    """First 16 hex digits of a SHA-256 over relative path and content of every file under `root`, in sorted order.

    Raises:
        ConfigError: no file matches.
    """
    root = Path(root)
    paths = sorted(path for path in root.glob(pattern) if path.is_file())
    if not paths:
        raise ConfigError(f"{root} holds no file matching {pattern!r} to hash: check the folder.")
    digest = hashlib.sha256()
    for path in paths:
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def device_name() -> str:
    """What a run computes on: the GPU's name, or "CPU" with architecture, cores, torch threads and training's type."""
    import torch

    from eailkit.training import multiplies_bf16

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    if torch.backends.mps.is_available():
        return f"Apple GPU ({platform.machine()})"
    trains_in = "bfloat16" if multiplies_bf16("cpu") else "float32"
    return f"CPU {platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, {trains_in}"


def _table_path(table: str, results_dir: Path | str) -> Path:
    if not re.fullmatch(r"\w+", table):
        raise ConfigError(f"results table {table!r} isn't a name of letters, digits and underscores: rename it.")
    return Path(results_dir) / f"{table}.json"


def _check(table: str, row: LedgerRow) -> None:
    where = f"row {row.id!r} of results table {table!r}"
    for name in ("id", "question", "command", "commit", "data_hash", "device"):
        if not getattr(row, name).strip():
            raise ConfigError(f"{where} has an empty {name}: fill it in, so that the row can be made again.")
    if not row.seeds:
        raise ConfigError(f"{where} names no seed: give the seeds of the runs behind its mean.")
    if not row.mean or set(row.mean) != set(row.spread):
        raise ConfigError(
            f"{where} has means of {sorted(row.mean)} and spreads of {sorted(row.spread)}: give one spread a mean."
        )
    numbers = [*row.mean.values(), *row.spread.values(), row.minutes]
    if not all(isinstance(n, (int, float)) and math.isfinite(n) for n in numbers):
        raise ConfigError(f"{where} holds a number that isn't finite: {numbers}: drop the metric or mend the run.")


def _git(root: Path | str, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True, timeout=20)
    return done.stdout.strip()
