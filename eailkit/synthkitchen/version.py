"""Which simulator made a dataset: a version that people read and a hash that machines compare.

Design section 7: a new version of the simulator voids results of the old one. The hash covers every
parameter that shapes the data (configs, actions, sensor), so that two folders with one hash and one
seed hold the same takes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

import numpy as np

SYNTHKITCHEN_VERSION = "2"


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


def parameter_hash(*configs: Any) -> str:
    """Sixteen hex digits over the simulator's version and every value in the given configs."""
    text = json.dumps([SYNTHKITCHEN_VERSION, *(as_plain(c) for c in configs)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
