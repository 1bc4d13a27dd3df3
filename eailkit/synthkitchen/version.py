"""Which simulator made a dataset: a version that people read and a hash that machines compare, in every file.

Design section 7: a new version of the simulator voids results of the old one. The hash covers every
parameter that shapes the data (configs, actions, sensor, and every constant in the simulator's code), so
that two folders with one hash and one seed hold the same takes.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from eailkit.provenance import Stamp, as_plain, code_digest

SYNTHKITCHEN_VERSION = "2"
_NO_PHYSICS = ("__init__", "dataset", "folder", "indexes", "version", "writing")


@cache
def physics_hash() -> str:
    """Hash of the code that shapes rooms, motion, signals, pictures and words: comments and layout don't count."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.stem not in _NO_PHYSICS:
            digest.update(path.stem.encode() + code_digest(path.read_text(encoding="utf-8")).encode())
    return digest.hexdigest()


def parameter_hash(*configs: Any) -> str:
    """Sixteen hex digits over the simulator's version and code, and every value in the given configs."""
    text = json.dumps([SYNTHKITCHEN_VERSION, physics_hash(), *(as_plain(c) for c in configs)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


__all__ = ["SYNTHKITCHEN_VERSION", "Stamp", "as_plain", "code_digest", "parameter_hash", "physics_hash"]
