"""PRIMUS's six claims, each as a paired comparison that was fixed before any result was seen.

The paper has its claims in the text and no table behind its figures. Here "better" holds where the 95 % interval of the
paired difference over participants and draws lies above zero, "on par" where it lies within 2 points; everything else is
"doesn't" or "can't tell" (`fewshot_scores.verdict`). Simulated and real test sets are judged apart.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import pandas as pd

from eailkit.errors import ConfigError
from eailkit.experiments.primus_curves import SCRATCH, UNTRAINED, Figures, Line
from eailkit.experiments.primus_run import HANDCRAFTED, PrimusRun
from eailkit.experiments.primus_sets import TEST_SETS
from eailkit.fewshot.scores import Scores, verdict
from eailkit.metrics import Interval
from eailkit.results import ledger

FEW = (1, 2, 5, 10, 20, 50)  # "below 100 samples"
METRIC = "accuracy"  # the paper's
DOMAIN, OTHER, REAL = TEST_SETS
BASELINES = ("SimCLR", "IMU2CLIP", "MultitaskSSL")


@dataclass(frozen=True)
class Comparison:
    """One paired comparison: a minus b, averaged over numbers of shots per class.

    Attributes:
        claim: "a" to "f", or "goal".
        test: a test set.
        a, b: methods of Figs. 4 to 6 ("PRIMUS") or lines without pretraining.
        expect: "better", "on par", or "collapse" (a's accuracy stays below twice that of guessing).
        shots: numbers of shots per class; None for all below 500 that were run.
        head: that reads both encoders; handcrafted features have one of their own.
        aligned: share of aligned data of a.
    """

    claim: str
    test: str
    a: str
    b: str
    expect: str = "better"
    shots: tuple[int, ...] | None = None
    head: str = "random"
    aligned: float = 1.0


COMPARISONS: tuple[Comparison, ...] = (
    *(Comparison("a", DOMAIN, "PRIMUS", b) for b in (*BASELINES, SCRATCH)),
    Comparison("b", OTHER, "PRIMUS", "IMU2CLIP", "on par"),
    *(Comparison("b", OTHER, "PRIMUS", b) for b in ("SimCLR", "MultitaskSSL", SCRATCH)),
    *(Comparison("c", REAL, "PRIMUS", b, shots=FEW) for b in (*BASELINES, SCRATCH)),
    *(Comparison("d", test, "PRIMUS", "MM + NN") for test in (OTHER, REAL)),
    Comparison("d", DOMAIN, "PRIMUS", "MM + NN", "on par"),
    *(Comparison("e", test, name, "", "collapse") for test in TEST_SETS for name in ("NN", "NN, IMU alone")),
    *(Comparison("f", test, "PRIMUS", "IMU2CLIP", "on par", aligned=0.1) for test in TEST_SETS),
    *(Comparison("goal", REAL, "PRIMUS", HANDCRAFTED, shots=(n,), head="encoder") for n in FEW),
    *(Comparison("goal", REAL, "PRIMUS", UNTRAINED, shots=(n,), head="encoder") for n in FEW),
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
    if item.expect == "collapse":
        shots = _shots(scores, item, a)
        if not shots:
            return None
        found = scores.interval(*a, shots[-1], METRIC)
        chance = 100.0 / len(scores.classes)
        told = "holds" if found.high < 2 * chance else "doesn't" if found.low > 2 * chance else "can't tell"
        return told, found
    b = (item.b, "random") if item.b == HANDCRAFTED else (Line(item.b, encoder).name, item.head)
    if item.b == SCRATCH:
        b = (b[0], "few steps")
    shots = [n for n in _shots(scores, item, a) if n in _shots(scores, item, b)]
    if not shots:
        return None
    metric = "macro_f1" if item.claim == "goal" else METRIC
    found = scores.mean_difference(a, b, shots, metric)
    return verdict(found, item.expect), found


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
            name = item.a + (f" ({item.aligned:.0%} aligned)" if item.aligned < 1 else "")
            what = f"{name} collapses" if item.expect == "collapse" else f"{name} {item.expect} {_than(item)}"
            rows.append(
                {
                    "claim": item.claim, "encoder": encoder, "test": item.test, "what": what, "verdict": found[0],
                    "mean": found[1].mean, "low": found[1].low, "high": found[1].high,
                    "shots": _told(item),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def _told(item: Comparison) -> str:
    if item.expect == "collapse":
        return "most"
    return "all" if item.shots is None else _counts(item.shots)


def _counts(shots: tuple[int, ...]) -> str:
    return str(shots[0]) if len(shots) == 1 else f"{shots[0]} to {shots[-1]}"


def _than(item: Comparison) -> str:
    return f"than {item.b}" if item.expect == "better" else f"with {item.b}"


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
                "verdict": r.verdict, "profile": run.profile, "low": round(r.low, 3), "high": round(r.high, 3),
                "spread": "half of the 95 % interval over participants and draws",
            },
            commit=commit or ledger.git_commit(), data_hash=run.triplets.data_hash, seeds=(run.seed,),
            mean={"points": round(r.mean, 3)}, spread={"points": round((r.high - r.low) / 2, 3)},
            minutes=0.0, device=ledger.device_name(),
        )
        for r in table.itertuples()
    ]  # fmt: skip
    return ledger.append_rows(f"primus_claims_{run.profile}", rows, results_dir=results_dir)


def claims_table(profile: str = "bench", *, results_dir: Path | str = ledger.RESULTS_DIR) -> pd.DataFrame:
    """The recorded verdicts beside the paper's claims: columns claim, encoder, test, what, verdict, points, shots."""
    rows = []
    for row in ledger.read(f"primus_claims_{profile}", results_dir=results_dir):
        c = row["config"]
        accuracy = c["what"].endswith("collapses")  # everything else is a difference
        mean, low, high = (
            f"{v:.1f}" if accuracy else f"{v:+.1f}" for v in (row["mean"]["points"], c["low"], c["high"])
        )
        points = f"{mean} % [{low}, {high}]" if accuracy else f"{mean} [{low}, {high}]"
        told = {k: c[k] for k in ("claim", "encoder", "test", "what", "verdict", "shots")}
        rows.append(told | {"points": points})
    return pd.DataFrame(rows)
