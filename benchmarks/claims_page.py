"""`docs/claims.md`: every claim of EAIL beside what we recorded, generated from the ledger.

    python -m benchmarks.claims_page [--profile bench]

None of the paper's claims is left out: one that nothing was recorded for says so.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from eailkit.experiments.rows.catalog import INFERRED, PUBLISHED
from eailkit.experiments.rows.claims import CLAIMS, COMPARISONS, UNSURE, Comparison, recorded, together
from eailkit.experiments.rows.curves import FIGURE_CLAIMS
from eailkit.files import write_atomically
from eailkit.results.ledger import RESULTS_DIR, read

PAGE = Path("docs/claims.md")
NONE = "not recorded yet"
HEAD = """# What EAIL claims, and what holds here

Every claim of the paper (EAIL, ICCV 2025), in our words, beside what we recorded on SynthKitchen at `{profile}`.
The data differ, so read whether a claim *holds* here, and never compare the points of the two sides.

A comparison is the paired difference of two rows on the same takes, in points, with a 95 % interval over rooms, people
and seeds. Within a table and protocol the p values are adjusted by Holm. A claim holds where each of its comparisons is
above zero at 5 %, doesn't hold where one is below, and else nothing can be told. *Published* is told the heading of the
first second (**uses ground truth**), as RoNIN's public loader does and as the paper may have been; *inferred* is told
nothing.
"""


def page(profile: str = "bench", results_dir: str | Path = RESULTS_DIR) -> str:
    """The whole page."""
    found = recorded(profile, results_dir=results_dir)
    figures = {row["id"]: row for row in read(f"figure_claims_{profile}", results_dir=results_dir)}
    parts = [HEAD.format(profile=profile), _summary(found, figures), "## Comparisons\n"]
    parts += [_claim(claim, found) for claim in CLAIMS]
    parts.append("## Figures and text\n")
    parts += [_figure_claim(claim, figures) for claim in FIGURE_CLAIMS]
    parts.append(_made(profile, results_dir))
    return "\n".join(parts).rstrip() + "\n"


def verdicts(found: pd.DataFrame, claim: str, protocol: str) -> list[str]:
    """The recorded verdicts of a claim's comparisons; one short of their number counts as not recorded: []."""
    wanted = sum(len(c.splits) for c in COMPARISONS if c.claim == claim)
    if not len(found):
        return []
    hits = found[(found.claim == claim) & (found.protocol == protocol)]
    return list(hits.verdict) if len(hits) == wanted else []


def told(found: pd.DataFrame, figures: dict, claim: str, protocol: str) -> str:
    """A claim's verdict under a protocol, in words."""
    if claim in FIGURE_CLAIMS:
        row = figures.get(f"{claim} | {protocol}")
        return row["config"]["verdict"] if row else NONE
    each = verdicts(found, claim, protocol)
    return together(each) if each else NONE


def _summary(found: pd.DataFrame, figures: dict) -> str:
    every = {**CLAIMS, **FIGURE_CLAIMS}
    lines = ["| claim | inferred | published (uses ground truth) |", "|---|---|---|"]
    lines += [f"| {text} | {told(found, figures, c, INFERRED)} | {told(found, figures, c, PUBLISHED)} |"
              for c, text in every.items()]  # fmt: skip
    counts = {p: pd.Series([told(found, figures, c, p) for c in every]).value_counts() for p in (INFERRED, PUBLISHED)}
    said = "; ".join(
        f"{protocol}: " + ", ".join(f"{n} {word}" for word, n in counts[protocol].items()) for protocol in counts
    )
    return "\n".join([*lines, "", f"Of {len(every)} claims, {said}.", ""])


def _claim(claim: str, found: pd.DataFrame) -> str:
    lines = [f"### {CLAIMS[claim]}\n", "| better, worse | split | paper | inferred | published | verdicts |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for item in (c for c in COMPARISONS if c.claim == claim):
        for split in item.splits:
            ours = [_ours(found, item, split, protocol) for protocol in (INFERRED, PUBLISHED)]
            points = item.paper_points(split)
            theirs = "–" if np.isnan(points) else f"{points:+.1f}"
            said = " / ".join(verdict for _, verdict in ours)
            lines.append(f"| {item.better}, {item.worse} ({item.metric}) | {split} | {theirs} | {ours[0][0]} | "
                         f"{ours[1][0]} | {said} |")  # fmt: skip
    return "\n".join([*lines, ""])


def _ours(found: pd.DataFrame, item: Comparison, split: str, protocol: str) -> tuple[str, str]:
    if not len(found):
        return "–", NONE
    hit = found[
        (found.claim == item.claim) & (found.protocol == protocol) & (found.split == split)
        & (found.better == item.better) & (found.worse == item.worse)
    ]  # fmt: skip
    if not len(hit):
        return "–", NONE
    r = hit.iloc[0]
    return f"{r['mean']:+.1f} [{r.low:.1f}, {r.high:.1f}]", r.verdict


def _figure_claim(claim: str, figures: dict) -> str:
    lines = [f"### {FIGURE_CLAIMS[claim]}\n"]
    for protocol in (INFERRED, PUBLISHED):
        row = figures.get(f"{claim} | {protocol}")
        if row is None:
            lines.append(f"- {protocol}: {NONE}")
            continue
        c, (what, value) = row["config"], next(iter(row["mean"].items()))
        lines.append(
            f"- {protocol}: {what} {value:.2f} [{c['low']:.2f}, {c['high']:.2f}]: **{c['verdict']}** ({c['rule']})."
        )
    return "\n".join([*lines, ""])


def _made(profile: str, results_dir: str | Path) -> str:
    rows = read(f"claims_{profile}", results_dir=results_dir)
    if not rows:
        return f"Nothing is recorded at `{profile}` yet: `eailkit reproduce all --profile {profile}` makes it."
    row = rows[-1]
    seeds = ", ".join(map(str, row["seeds"]))
    return f"Made by `{row['command']}`, seeds {seeds}, commit {row['commit'][:12]}, on {row['device']}. `{UNSURE}` is \
what an interval that holds zero allows to say."


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="bench")
    parser.add_argument("--results", default=RESULTS_DIR)
    asked = parser.parse_args()
    write_atomically(PAGE, lambda p: Path(p).write_text(page(asked.profile, asked.results), encoding="utf-8"))
    print(f"wrote {PAGE}")
