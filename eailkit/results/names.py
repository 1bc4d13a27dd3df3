"""How lines and numbers of PRIMUS's tables are called: what is written into the ledger and read back from it.

A curve has a method and a variant. What the variant says depends on the method: the head that reads an encoder
(`Head`), the budget of a net trained anew (`Budget`), or where on the head the sensor sits (a place of
`experiments.places`). The ledger's rows keep it as "head", whatever it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import NamedTuple

HANDCRAFTED = "handcrafted"
UNTRAINED = "random weights"
SCRATCH = "standard training"
TEST_SETS = ("same domain", "other labels", "real, other device")  # PRIMUS Table I's three rows
FIGURES = ("primus-fig4", "primus-fig5", "primus-fig6", "primus-lines")
TRAINED = "left temple"  # where the sensor of every training sits


class _Word(StrEnum):
    """A word that messages show as a word."""

    __repr__ = str.__repr__


class Head(_Word):
    """What reads an encoder's features."""

    RANDOM = "random"  # logistic regression after f_m, begun at random weights
    TEXT = "text"  # the same, begun at the prompts' embeddings
    ENCODER = "encoder"  # logistic regression on what comes before the heads
    BOOSTING = "boosting"  # boosted trees, of handcrafted features


class Budget(_Word):
    """How long a net is trained that begins anew at every point of its curve."""

    FEW_STEPS = "few steps"  # the paper's
    PROPER = "proper"


ONLY_VARIANT = {HANDCRAFTED: Head.RANDOM, SCRATCH: Budget.PROPER}  # of lines that are read in one way only


class Point(NamedTuple):
    """A number of a recorded row: metric, shots per class, mean and half of its interval's width, percent."""

    metric: str
    shots: int
    mean: float
    half: float


def row_id(*parts: str) -> str:
    """What the ledger calls a row that is named by more than one thing: "test-seen | chance"."""
    return " | ".join(parts)


def id_parts(row_id: str) -> tuple[str, str]:
    """The first part of a row's name, and the rest: the inverse of `row_id` for two."""
    first, _, rest = row_id.partition(" | ")
    return first, rest


def point_key(metric: str, shots: int) -> str:
    """What the ledger calls a metric at a number of shots per class."""
    return f"{metric}@{shots}, %"


def gain_key(other: str, shots: int | None = None, metric: str = "macro_f1") -> str:
    """What the ledger calls the paired difference from another line or place; over all shots where None."""
    return f"against {other}{'' if shots is None else f'@{shots}'}, points of {metric}"


def points(row: Mapping) -> Iterator[Point]:
    """Every metric at a number of shots that a row of the ledger holds: the inverse of `point_key`."""
    for key, mean in row["mean"].items():
        if found := re.fullmatch(r"(\w+)@(\d+), %", key):
            yield Point(found[1], int(found[2]), mean, row["spread"][key])
