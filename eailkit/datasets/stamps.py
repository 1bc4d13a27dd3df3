"""Whether every file of a SynthKitchen dataset was made by one simulator with one set of parameters.

The card, synthkitchen.json, says which; a file with another stamp is refused, because a mix of two datasets
looks whole and isn't. Real data has no card and isn't looked at; version 1 stamped its card alone.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from eailkit.errors import DatasetError
from eailkit.provenance import Stamp

_UNSTAMPED = "1"  # the last version that wrote no stamps into its files


def card_stamp(root: Path) -> Stamp | None:
    """Version and parameter hash of the dataset at a root; None for Ego-Exo4D's own, or a card that says neither."""
    try:
        card = json.loads((root / "synthkitchen.json").read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(card, dict) or "version" not in card:
        return None
    return Stamp(str(card["version"]), str(card.get("parameter_hash", "")))


def check_root(root: Path, takes: Iterable[dict[str, Any]]) -> None:
    """Compare the entries of takes.json and the takes' sidecars with the card.

    Raises:
        DatasetError: one of them belongs to another dataset.
    """
    card = card_stamp(root)
    if card is None:
        return
    for take in takes:
        _compare(root / "takes.json", Stamp.of(take), card)
        sidecar = root / "takes" / take["take_name"] / "synthkitchen_take.json"
        if sidecar.is_file():
            check_files(root, [sidecar])


def check_take(root: Path, folder: Path, capture: str, room: str) -> None:
    """Compare all files of one take with the card, its clock and its world frame included.

    Raises:
        DatasetError: one of them belongs to another dataset.
    """
    card = card_stamp(root)
    if card is None or card.version == _UNSTAMPED:
        return
    check_files(root, [p for p in sorted(folder.rglob("*")) if p.suffix in (".parquet", ".mp4", ".gz")])
    check_files(root, [p for p in [root / "captures" / capture / "timesync.csv"] if p.is_file()])
    trajectory = folder / "trajectory" / "closed_loop_trajectory.csv"
    if trajectory.is_file():
        with open(trajectory) as lines:
            found = next(csv.DictReader(lines), {}).get("graph_uid")
        if found != card.uid("graph", room):
            raise DatasetError(_mix(trajectory, "another dataset", card))


def check_files(root: Path, paths: Iterable[Path]) -> None:
    """Compare the stamps of some files with the card.

    Raises:
        DatasetError: one of them belongs to another dataset.
    """
    card = card_stamp(root)
    for path in paths if card else ():
        try:
            found = read_stamp(path)
        except (OSError, ValueError, LookupError, AttributeError):
            continue  # broken: its own reader says so
        _compare(path, found, card)


def read_stamp(path: Path) -> Stamp | None:
    """The stamp inside a .json, .parquet, .mp4, .csv.gz or timesync.csv, None for none.

    A JSON list has the stamp of its first entry.

    Raises:
        OSError, ValueError, LookupError, AttributeError: the file is empty, truncated or of another kind.
    """
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: empty")
    if path.suffix == ".json":
        found = json.loads(path.read_text())
        return Stamp.of(found[0] if isinstance(found, list) else found)
    if path.suffix == ".parquet":
        metadata = pa.parquet.read_schema(path).metadata or {}
        return Stamp.of({k.decode(): v.decode() for k, v in metadata.items() if k != b"ARROW:schema"})
    if path.suffix == ".mp4":
        return _of_video(path)
    if path.suffix == ".gz":
        return _of_gzip(path)
    with open(path) as lines:
        names = lines.readline().strip().split(",")
    return next(filter(None, (Stamp.of_text(name, "_") for name in names)), None)


def _of_video(path: Path) -> Stamp | None:
    import av

    with av.open(str(path)) as container:  # its errors are OSErrors or ValueErrors too
        return Stamp.of_text(container.metadata.get("comment", ""))


def _of_gzip(path: Path) -> Stamp | None:
    with open(path, "rb") as file:
        head = file.read(256)
    commented = len(head) > 10 and head[3] == 0x10  # a comment and no other extra field, see `writing`
    return Stamp.of_text(head[10:].split(b"\0", 1)[0].decode("latin-1")) if commented else None


def _compare(path: Path, found: Stamp | None, card: Stamp) -> None:
    if found is None and card.version == _UNSTAMPED:
        return
    if found != card:
        raise DatasetError(_mix(path, found.text if found else f"SynthKitchen {_UNSTAMPED} or of no simulator", card))


def _mix(path: Path, found: str, card: Stamp) -> str:
    return (
        f"{path}: found a file of {found} in a dataset of {card.text}; expected one dataset, not a mix of two; copy "
        "that file from its own dataset, or make the dataset again with `eailkit synth`."
    )
