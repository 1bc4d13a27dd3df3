"""PRIMUS's six claims, each as a paired comparison that was fixed before any result was seen.

The paper has its claims in the text and no table behind its figures. Here "better" holds where the 95 % interval of the
paired difference over participants and draws lies above zero, "on par" where it lies within 2 points; everything
else is "doesn't" or "can't tell" (`fewshot.scores.claim_holds`). Simulated and real test sets are judged apart.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import resources
from pathlib import Path

import pandas as pd

from eailkit.errors import ConfigError
from eailkit.experiments.primus_curves import Figures, Line
from eailkit.experiments.primus_run import PrimusRun
from eailkit.fewshot.scores import Scores, claim_holds
from eailkit.metrics import Interval
from eailkit.results import ledger
from eailkit.results.names import HANDCRAFTED, SCRATCH, TEST_SETS, UNTRAINED, Budget, Head

FEW = (1, 2, 5, 10, 20, 50)  # "below 100 samples"
METRIC = "accuracy"  # the paper's
DOMAIN, OTHER, REAL = TEST_SETS
BASELINES = ("SimCLR", "IMU2CLIP", "MultitaskSSL")


class Expect(StrEnum):
    """What a claim says of a comparison."""

    BETTER = "better"
    ON_PAR = "on par"
    COLLAPSE = "collapse"  # the accuracy stays below twice that of guessing


@dataclass(frozen=True)
class Comparison:
    """One paired comparison: a minus b, averaged over numbers of shots per class.

    Attributes:
        claim: "a" to "f", or "goal".
        test: a test set.
        a, b: methods of Figs. 4 to 6 ("PRIMUS") or lines without pretraining.
        expect: what the claim says.
        shots: numbers of shots per class; None for all below 500 that were run.
        head: that reads both encoders; handcrafted features have one of their own.
        aligned: share of aligned data of a.
    """

    claim: str
    test: str
    a: str
    b: str
    expect: Expect = Expect.BETTER
    shots: tuple[int, ...] | None = None
    head: Head = Head.RANDOM
    aligned: float = 1.0

    @property
    def what(self) -> str:
        """The claim's comparison in words, as the ledger keeps it."""
        name = self.a + (f" ({self.aligned:.0%} aligned)" if self.aligned < 1 else "")
        if self.expect == Expect.COLLAPSE:
            return f"{name} collapses"
        return f"{name} {self.expect} {'than' if self.expect == Expect.BETTER else 'with'} {self.b}"


COMPARISONS: tuple[Comparison, ...] = (
    *(Comparison("a", DOMAIN, "PRIMUS", b) for b in (*BASELINES, SCRATCH)),
    Comparison("b", OTHER, "PRIMUS", "IMU2CLIP", Expect.ON_PAR),
    *(Comparison("b", OTHER, "PRIMUS", b) for b in ("SimCLR", "MultitaskSSL", SCRATCH)),
    *(Comparison("c", REAL, "PRIMUS", b, shots=FEW) for b in (*BASELINES, SCRATCH)),
    *(Comparison("d", test, "PRIMUS", "MM + NN") for test in (OTHER, REAL)),
    Comparison("d", DOMAIN, "PRIMUS", "MM + NN", Expect.ON_PAR),
    *(Comparison("e", test, name, "", Expect.COLLAPSE) for test in TEST_SETS for name in ("NN", "NN, IMU alone")),
    *(Comparison("f", test, "PRIMUS", "IMU2CLIP", Expect.ON_PAR, aligned=0.1) for test in TEST_SETS),
    *(Comparison("goal", REAL, "PRIMUS", HANDCRAFTED, shots=(n,), head=Head.ENCODER) for n in FEW),
    *(Comparison("goal", REAL, "PRIMUS", UNTRAINED, shots=(n,), head=Head.ENCODER) for n in FEW),
)


@functools.cache
def papers() -> dict[str, str]:
    """The six claims in our words with the paper's figures, by letter."""
    text = resources.files("eailkit.results").joinpath("paper_tables.json").read_text(encoding="utf-8")
    return dict(json.loads(text)["PRIMUS"]["claims"])


def compare(scores: Scores, item: Comparison, encoder: str) -> tuple[str, Interval] | None:
    """A comparison's verdict and interval (points; for "collapse" the accuracy itself), None where a curve is missing.

    Args:
        encoder: "paper" or "ours".
    """
    a = (Line(item.a, encoder, item.aligned).name, item.head)
    if item.expect == Expect.COLLAPSE:
        shots = _shots(scores, item, a)
        if not shots:
            return None
        found = scores.interval(*a, shots[-1], METRIC)
        chance = 100.0 / len(scores.classes)
        told = "holds" if found.high < 2 * chance else "doesn't" if found.low > 2 * chance else "can't tell"
        return told, found
    b = (item.b, Head.RANDOM) if item.b == HANDCRAFTED else (Line(item.b, encoder).name, item.head)
    if item.b == SCRATCH:
        b = (b[0], Budget.FEW_STEPS)
    shots = [n for n in _shots(scores, item, a) if n in _shots(scores, item, b)]
    if not shots:
        return None
    metric = "macro_f1" if item.claim == "goal" else METRIC
    found = scores.mean_difference(a, b, shots, metric)
    return claim_holds(found, item.expect), found


def _shots(scores: Scores, item: Comparison, line: tuple[str, str]) -> list[int]:
    held = sorted({k[2] for k in scores.confusion if k[:2] == line and 0 < k[2] < 500})
    return [n for n in held if item.shots is None or n in item.shots]


def judge(figures: Figures, encoders: Sequence[str] = ("paper", "ours")) -> pd.DataFrame:
    """Every comparison that the scores allow: claim, encoder, test, what, expect, verdict, mean, low, high, shots."""
    rows = []
    for encoder in encoders:
        for item in COMPARISONS:
            if item.test not in figures.scores:
                continue
            found = compare(figures.scores[item.test], item, encoder)
            if found is None:
                continue
            rows.append(
                {
                    "claim": item.claim, "encoder": encoder, "test": item.test, "what": item.what, "verdict": found[0],
                    "expect": item.expect, "mean": found[1].mean, "low": found[1].low, "high": found[1].high,
                    "shots": _told(item),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _told(item: Comparison) -> str:
    if item.expect == Expect.COLLAPSE:
        return "most"
    return "all" if item.shots is None else _counts(item.shots)


def _counts(shots: tuple[int, ...]) -> str:
    return str(shots[0]) if len(shots) == 1 else f"{shots[0]} to {shots[-1]}"


def record_claims(
    run: PrimusRun, *, results_dir: Path | str = ledger.RESULTS_DIR, command: str = "", commit: str = ""
) -> Path:
    """Judge what a run has scored and write `results/primus_claims_<profile>.json`, a row a comparison.

    Raises:
        ConfigError: nothing that could be compared was scored.
    """
    table = judge(Figures(run))
    if not len(table):
        raise ConfigError(f"{run.dir}: found no scores to compare; expected figures 4 to 6; reproduce them first.")
    rows = [
        ledger.LedgerRow(
            id=f"{r.claim} | {r.encoder} | {r.test} | {r.what} | {r.shots}",
            question=papers().get(r.claim, "Is the pretrained encoder worth it, against what needs no pretraining?"),
            command=command or "eailkit reproduce primus-claims",
            config={
                "claim": r.claim, "encoder": r.encoder, "test": r.test, "what": r.what, "shots": r.shots,
                "expect": r.expect, "verdict": r.verdict, "profile": run.profile,
                "low": round(r.low, 3), "high": round(r.high, 3),
                "spread": "half of the 95 % interval over participants and draws",
            },
            commit=commit or ledger.git_commit(), data_hash=run.triplets.data_hash, seeds=(run.seed,),
            mean={"points": round(r.mean, 3)}, spread={"points": round((r.high - r.low) / 2, 3)},
            minutes=0.0, device=ledger.device_name(),
        )
        for r in table.itertuples()
    ]  # fmt: skip
    return ledger.append_rows(f"primus_claims_{run.profile}", rows, results_dir=results_dir)


_EXPECTED = {(item.claim, item.test, item.what): item.expect for item in COMPARISONS}


def claims_table(profile: str = "bench", *, results_dir: Path | str = ledger.RESULTS_DIR) -> pd.DataFrame:
    """The recorded verdicts beside the paper's claims: columns claim, encoder, test, what, verdict, points, shots."""
    rows = []
    for row in ledger.read(f"primus_claims_{profile}", results_dir=results_dir):
        c = row["config"]
        expect = c.get("expect") or _EXPECTED.get((c["claim"], c["test"], c["what"]))  # older rows don't say
        accuracy = expect == Expect.COLLAPSE  # everything else is a difference
        mean, low, high = (
            f"{v:.1f}" if accuracy else f"{v:+.1f}" for v in (row["mean"]["points"], c["low"], c["high"])
        )
        points = f"{mean} % [{low}, {high}]" if accuracy else f"{mean} [{low}, {high}]"
        told = {k: c[k] for k in ("claim", "encoder", "test", "what", "verdict", "shots")}
        rows.append(told | {"points": points})
    return pd.DataFrame(rows)
