"""The papers' own numbers, read from `paper_tables.json`: never typed into a notebook, never mixed with ours.

Every frame that leaves this module says "paper, Ego-Exo4D" over the paper's columns; `beside` puts ours next to
them in a group of their own. The data differ, so the two are read side by side and never ranked together.
"""

from __future__ import annotations

import functools
import json
import math
from importlib import resources

import pandas as pd

from eailkit.errors import ConfigError
from eailkit.metrics import METRICS

PAPER = "paper, Ego-Exo4D"
OURS = "ours, SynthKitchen"
SPLITS = {"test-seen": "seen", "test-unseen": "unseen"}  # our names of the paper's two test sets
TABLES = {
    1: "table1_localization",
    2: "table2_actions",
    3: "table3_ablations",
    4: "table4_location_aware_actions",
    5: "table5_supplement",
}


@functools.cache
def _all() -> dict:
    return json.loads(resources.files("eailkit.results").joinpath("paper_tables.json").read_text(encoding="utf-8"))


def source() -> str:
    """Which paper the tables come from."""
    return _all()["EAIL"]["source"]


def claim(name: str) -> dict:
    """A figure's claim that no table holds: its source, what it says in our words, and its number.

    Raises:
        ConfigError: there is no such claim; the message lists them.
    """
    claims = _all()["claims"]
    if name not in claims:
        raise ConfigError(f"claim: found '{name}'; expected one of {', '.join(claims)}; choose one of these.")
    return claims[name]


def table(number: int) -> pd.DataFrame:
    """Table 1 to 5 of EAIL, one row a (split, method), percent, NaN where the paper reports nothing.

    Args:
        number: of the table, as printed.

    Returns:
        Columns split (our names, "test-seen" and "test-unseen"), method, and the table's metrics.

    Raises:
        ConfigError: there is no such table.
    """
    if number not in TABLES:
        raise ConfigError(f"table: found {number!r}; expected one of {', '.join(map(str, TABLES))} (EAIL's tables).")
    found = _all()["EAIL"][TABLES[number]]
    rows = [
        {"split": ours, "method": method} | found[method][theirs] for ours, theirs in SPLITS.items() for method in found
    ]
    frame = pd.DataFrame(rows)
    metrics = [m for m in METRICS if m in frame]
    return frame[["split", "method", *metrics]].astype(dict.fromkeys(metrics, float))


def value(number: int, method: str, split: str, metric: str) -> float:
    """One number of a table, percent; NaN where the paper doesn't report it.

    Raises:
        ConfigError: the table, method, split or metric isn't there.
    """
    rows = table(number)
    hit = rows[(rows.method == method) & (rows.split == split)]
    if not len(hit) or metric not in rows:
        raise ConfigError(
            f"paper: found no '{metric}' of '{method}' on '{split}' in table {number}; expected a method of "
            f"{', '.join(rows.method.unique())}, a split of {', '.join(SPLITS)}."
        )
    return float(hit[metric].iloc[0])


def beside(number: int, ours: pd.DataFrame, *, names: dict[str, str] | None = None, metrics=None) -> pd.DataFrame:
    """The paper's rows and ours in two groups of columns, "paper, Ego-Exo4D" and "ours, SynthKitchen".

    Args:
        number: of EAIL's table.
        ours: columns split, method and metrics, numbers or text with intervals (`Table.frame()`, `Table.means()`).
        names: our method -> the paper's, where they differ. Methods that only one side has keep their row.
        metrics: which columns; all that the paper's table has by default.

    Returns:
        Text, "–" where a side has no number; index (split, method).
    """
    theirs = table(number)
    metrics = [m for m in metrics or METRICS if m in theirs or m in ours]
    ours = ours.assign(method=[(names or {}).get(m, m) for m in ours.method])
    groups = {PAPER: theirs, OURS: ours}
    parts = {
        group: frame.set_index(["split", "method"]).reindex(columns=metrics).map(_text)
        for group, frame in groups.items()
    }
    both = pd.concat(parts, axis=1).fillna("–")
    order = [(s, m) for s in SPLITS for m in dict.fromkeys([*theirs.method, *ours.method]) if (s, m) in both.index]
    return both.loc[order]


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return "–" if value is None or math.isnan(value) else f"{value:.1f}"
