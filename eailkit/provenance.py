"""What made a thing: one identity for every artifact, and the stamp in every file of a simulated dataset.

An `Identity` is all that determines an artifact: configuration, code, the data and weights before it, precision, seed,
sensor. Its key stands in the artifact's file name, so that what was made otherwise is never taken for it, and its parts
stand inside the file or beside it, so that a refusal can say which one differs. `Stamp` marks the simulators' files.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import hashlib
import inspect
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

MOST_TOLD = 3  # differences in a message
DIGITS = 12  # hex digits of a key: 50,000 artifacts in one folder meet with a chance of one in 200,000
PACKAGE = Path(__file__).resolve().parent
# Not followed: plumbing shapes no number, sizes and profiles arrive as parts, simulators have hashes of their own.
_NOT_FOLLOWED = (
    "eailkit.errors", "eailkit.files", "eailkit.parallel", "eailkit.provenance", "eailkit.profiles",
    "eailkit.synthkitchen", "eailkit.scenarios",
)  # fmt: skip


@dataclass(frozen=True)
class Identity:
    """A kind of artifact and all that determines one; `identity` makes it.

    Attributes:
        kind: "stage 1", "windows".
        parts: by name, in JSON's types; an identity among them as its record, an array as its digest.
    """

    kind: str
    parts: Mapping[str, Any]

    @cached_property
    def key(self) -> str:
        """Twelve hex digits over kind and parts, the same on every machine and in every order of them."""
        return _digest(json.dumps([self.kind, self.parts], sort_keys=True).encode())

    @property
    def record(self) -> dict[str, Any]:
        """What is written into the artifact or beside it; `difference` reads it."""
        return {"kind": self.kind, "key": self.key, "parts": self.parts}

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"

    def also(self, **parts: Any) -> Identity:
        """The identity of what further parts determine too."""
        return Identity(self.kind, {**self.parts, **_canonical(parts)})

    def difference(self, found: Any) -> str:
        """Which parts of a record differ from this identity's: "steps = 6 instead of 8", "" where none does.

        Args:
            found: the record of another artifact; anything else is "no record instead of ...".
        """
        if not isinstance(found, Mapping) or not isinstance(found.get("parts"), Mapping):
            return f"no record instead of {self}"
        if found.get("kind") != self.kind:
            return f"{found.get('kind')} instead of {self.kind}"
        told = list(_differences(found["parts"], self.parts))
        return ", ".join(told[:MOST_TOLD]) + (f" and {len(told) - MOST_TOLD} more" if len(told) > MOST_TOLD else "")


def identity(kind: str, *, code: tuple[str | Callable | type, ...] = (), **parts: Any) -> Identity:
    """The identity of an artifact.

    Args:
        kind: what it is.
        code: what makes it, see `code_version`.
        parts: everything else that determines it: numbers, texts, None, nested dataclasses, mappings and sequences of
            such, arrays, identities.

    Raises:
        TypeError: a part of another type, which might be written differently elsewhere; a path, for one, says where
            a thing lies and not what it is.
    """
    named = {"code": code_version(*code)} if code else {}
    return Identity(kind, _canonical(named | parts))


def code_version(*makers: str | Callable | type) -> str:
    """Twelve hex digits over what code does; comments, docstrings and line breaks don't count.

    Args:
        makers: names of modules, which stand for all that they import from this package too, and functions or classes,
            which stand for themselves.
    """
    modules = {m for name in makers if isinstance(name, str) for m in _with_imports(name)}
    lines = [f"{name} {_module(name)[0]}" for name in sorted(modules)]
    lines += [f"{m.__qualname__} {_source_digest(m)}" for m in makers if not isinstance(m, str)]
    return _digest("\n".join(lines).encode())


def content_digest(*arrays: np.ndarray) -> str:
    """Twelve hex digits over the values, types and shapes of arrays; strings, whatever their longest."""
    digest = hashlib.sha256()
    for array in map(np.asarray, arrays):
        text = array.dtype.kind in "UO"
        digest.update(f"{'text' if text else array.dtype} {array.shape} ".encode())
        digest.update(
            json.dumps(array.tolist()).encode() if text else np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        )
    return digest.hexdigest()[:DIGITS]


def weights_tag(model: Any) -> str:
    """Twelve hex digits of a torch module's weights: names what they make."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(f"{name} {content_digest(value.detach().cpu().numpy())} ".encode())
    return digest.hexdigest()[:DIGITS]


def fingerprint(root: str | Path) -> str:
    """Hash of a dataset's lists, splits, annotations and version; of no recording."""
    root = Path(root)
    names = ("takes.json", "splits.json", "synthkitchen.json")
    files = [root / n for n in names if (root / n).is_file()] + sorted((root / "annotations").glob("*.json"))
    files = [path for path in files if not path.name.startswith((".", "part_"))]  # being written, or half by a kill
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def take_files(folder: str | Path) -> dict[str, int]:
    """Names and bytes of a take's files: with its dataset's `fingerprint`, what may be asked of gigabytes of VRS."""
    folder = Path(folder)
    return {str(p.relative_to(folder).as_posix()): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:DIGITS]


def _canonical(value: Any) -> Any:
    """A value in JSON's types, one way to write each."""
    if isinstance(value, Identity):
        return value.record
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _canonical(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping) and all(isinstance(k, str) for k in value):
        return {k: _canonical(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_canonical(v) for v in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_canonical(v) for v in value), key=json.dumps)
    if isinstance(value, np.ndarray):
        return f"array {content_digest(value)}"
    if isinstance(value, np.generic):
        return _canonical(value.item())
    if isinstance(value, enum.Enum):
        return value.name
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"identity: found a {type(value).__name__}; expected numbers, texts, arrays or dataclasses of them")


def _differences(found: Any, wanted: Any, name: str = "") -> Iterator[str]:
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        if found.keys() == wanted.keys() == {"kind", "key", "parts"}:  # of what came before
            found, wanted = found["parts"], wanted["parts"]
        for part in sorted({*found, *wanted}):
            missing = object()
            one, two = found.get(part, missing), wanted.get(part, missing)
            where = f"{name}.{part}" if name else part
            if one is missing or two is missing:
                yield f"{where} {'missing' if one is missing else 'found'}"
            else:
                yield from _differences(one, two, where)
    elif found != wanted:
        yield f"{name} = {_short(found)} instead of {_short(wanted)}"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."


@cache
def _with_imports(name: str) -> frozenset[str]:
    """A module and those of this package that it imports, wherever it does, and so on."""
    found, left = set(), {name}
    while left:
        module = left.pop()
        found.add(module)
        left |= set(_module(module)[1]) - found
    return frozenset(found)


@cache
def _module(name: str) -> tuple[str, tuple[str, ...]]:
    """Digest of a module and the modules of this package that it imports itself."""
    path = _path(name)
    if path is None:
        raise ModuleNotFoundError(f"code_version: found no module {name} in {PACKAGE.name}")
    source = path.read_text(encoding="utf-8")
    imported: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    own = {m for m in imported if m.startswith(f"{PACKAGE.name}.") and _path(m)}
    stops = lambda m: any(m == no or m.startswith(f"{no}.") for no in _NOT_FOLLOWED)  # noqa: E731
    return code_digest(source), tuple(sorted(m for m in own if not stops(m)))


def _path(name: str) -> Path | None:
    base = PACKAGE.joinpath(*name.split(".")[1:])
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


def _source_digest(maker: Callable | type) -> str:
    return code_digest(inspect.cleandoc("\n" + inspect.getsource(maker)))


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
