"""Which simulator made a dataset: a version that people read and a hash that machines compare, in every file.

Design section 7: a new version of the simulator voids results of the old one. The hash covers every
parameter that shapes the data (configs, actions, sensor, and every constant in the simulator's code), so
that two folders with one hash and one seed hold the same takes.
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

SYNTHKITCHEN_VERSION = "2"
_NO_PHYSICS = ("__init__", "dataset", "folder", "indexes", "version", "writing")


def as_plain(value: Any) -> Any:
    """Nested dataclasses, tuples and arrays as JSON types; floats keep every digit."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: as_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(k): as_plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    return value


@cache
def physics_hash() -> str:
    """Hash of the code that shapes rooms, motion, signals, pictures and words: comments and layout don't count."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.stem not in _NO_PHYSICS:
            digest.update(path.stem.encode() + code_digest(path.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()


def code_digest(source: str) -> str:
    """Hash of what a module does: the same whatever its comments, docstrings and line breaks are."""
    tree = ast.parse(source)
    for node in list(ast.walk(tree)):
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    digest = hashlib.sha256()
    for node in ast.walk(tree):
        plain = [(k, v) for k, v in ast.iter_fields(node) if isinstance(v, (str, int, float, bytes, complex))]
        digest.update(repr((type(node).__name__, plain)).encode())  # not ast.dump, which Pythons write differently
    return digest.hexdigest()


def parameter_hash(*configs: Any) -> str:
    """Sixteen hex digits over the simulator's version and code, and every value in the given configs."""
    text = json.dumps([SYNTHKITCHEN_VERSION, physics_hash(), *(as_plain(c) for c in configs)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Stamp:
    """Where a file comes from: the simulator's version and the hash of its parameters.

    JSON and Parquet carry the two as keys, mp4 and gzip as a comment (`text`), timesync.csv as the name of an
    empty column (`column`), MPS's files also in their graph_uid (`uid`). Version 1 stamped its card alone.
    """

    version: str
    parameter_hash: str

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Stamp | None:
        """The stamp among the keys of a JSON object or of a Parquet file's metadata, None where there is none."""
        if "synthkitchen_version" not in values:
            return None
        return cls(str(values["synthkitchen_version"]), str(values.get("parameter_hash", "")))

    @classmethod
    def of_text(cls, text: str, separator: str = " ") -> Stamp | None:
        """The stamp that `text` or `column` wrote, None where the text is something else."""
        parts = text.split(separator)
        return cls(parts[1], parts[2]) if len(parts) == 3 and parts[0].lower() == "synthkitchen" else None

    @property
    def keys(self) -> dict[str, str]:
        """For files that hold named values."""
        return {"synthkitchen_version": self.version, "parameter_hash": self.parameter_hash}

    @property
    def text(self) -> str:
        """For files that hold a comment: "SynthKitchen 2 0123456789abcdef"."""
        return f"SynthKitchen {self.version} {self.parameter_hash}"

    @property
    def column(self) -> str:
        """For tables that hold columns alone: "synthkitchen_2_0123456789abcdef"."""
        return f"synthkitchen_{self.version}_{self.parameter_hash}"

    def uid(self, kind: str, name: str) -> str:
        """The uid of a thing (kind "take", "capture" or "graph"): another one under another stamp."""
        where = f"synthkitchen/{self.version}/{self.parameter_hash}/{kind}/{name}"
        return str(uuid.uuid5(uuid.NAMESPACE_URL, where))
