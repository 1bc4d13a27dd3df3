"""PRIMUS's six claims: verdicts on scores whose truth is known, and the table that is read back."""

from __future__ import annotations

import numpy as np
import pytest

from eailkit.experiments import primus_claims
from eailkit.experiments.primus_claims import COMPARISONS, Comparison, compare
from eailkit.experiments.primus_curves import FIG4, FIG5, Line
from eailkit.experiments.primus_sets import TEST_SETS
from eailkit.fewshot.scores import Scores
from eailkit.results.ledger import LedgerRow, append_rows

WEARERS, CLASSES, WINDOWS = 12, 5, 60


def scores(levels: dict[tuple[str, str], float], shots=(1, 5, 20), seeds: int = 3) -> Scores:
    """Scores in which each line answers a given share right, for every participant about alike."""
    made = Scores("made up", tuple("abcde"), tuple(f"w{k:02d}" for k in range(WEARERS)))
    for (method, head), right in levels.items():
        for n in shots:
            for seed in range(seeds):
                rng = np.random.default_rng([n, seed])
                truth = rng.integers(0, CLASSES, WEARERS * WINDOWS)
                hit = rng.random(len(truth)) < right
                other = (truth + rng.integers(1, CLASSES, len(truth))) % CLASSES
                participant = np.repeat(made.participants, WINDOWS)
                made.add(method, head, n, seed, truth, np.where(hit, truth, other), participant)
    return made


def test_clear_differences_hold_and_clear_deficits_do_not():
    made = scores({("PRIMUS", "random"): 0.8, ("SimCLR", "random"): 0.6})
    better = Comparison("a", "made up", "PRIMUS", "SimCLR")
    told, found = compare(made, better, "paper")
    assert told == "holds" and found.low > 15 and found.high < 25
    assert compare(made, Comparison("a", "made up", "SimCLR", "PRIMUS"), "paper")[0] == "doesn't"
    assert compare(made, Comparison("b", "made up", "PRIMUS", "SimCLR", "on par"), "paper")[0] == "doesn't"


def test_equal_lines_are_on_par_and_not_better():
    made = scores({("PRIMUS", "random"): 0.7, ("IMU2CLIP", "random"): 0.7})
    assert compare(made, Comparison("b", "made up", "PRIMUS", "IMU2CLIP", "on par"), "paper")[0] == "holds"
    assert compare(made, Comparison("a", "made up", "PRIMUS", "IMU2CLIP"), "paper")[0] == "doesn't"


@pytest.mark.parametrize(("right", "told"), [(0.22, "holds"), (0.6, "doesn't")])
def test_collapse_is_accuracy_below_twice_guessing(right: float, told: str):
    made = scores({("NN", "random"): right})  # guessing among five: 20 %
    found = compare(made, Comparison("e", "made up", "NN", "", "collapse"), "paper")
    assert found[0] == told and abs(found[1].mean - 100 * right) < 3


def test_only_counts_that_both_lines_have_are_averaged():
    made = scores({("PRIMUS", "random"): 0.9}, shots=(1, 5, 20))
    few = scores({("SimCLR", "random"): 0.5}, shots=(5,))
    made.confusion |= few.confusion
    made.training |= few.training
    found = compare(made, Comparison("a", "made up", "PRIMUS", "SimCLR"), "paper")[1]
    alone = made.difference(("PRIMUS", "random"), ("SimCLR", "random"), 5, "accuracy")
    assert found.mean == pytest.approx(alone.mean) and found.low == pytest.approx(alone.low)


def test_a_missing_curve_gives_no_verdict():
    made = scores({("PRIMUS", "random"): 0.9})
    assert compare(made, Comparison("a", "made up", "PRIMUS", "SimCLR"), "paper") is None
    assert compare(made, Comparison("a", "made up", "PRIMUS", "SimCLR"), "ours") is None
    assert compare(made, Comparison("e", "made up", "NN", "", "collapse"), "paper") is None


def test_every_claim_of_the_paper_is_compared_on_lines_that_are_scored():
    trained = {*FIG4, *FIG5, primus_claims.SCRATCH, primus_claims.UNTRAINED, primus_claims.HANDCRAFTED, ""}
    assert {c.claim for c in COMPARISONS} == {*primus_claims.papers(), "goal"} == {*"abcdef", "goal"}
    for item in COMPARISONS:
        assert {item.a, item.b} <= trained and item.test in TEST_SETS
        assert item.head in ("random", "encoder") and item.expect in ("better", "on par", "collapse")
    assert Line("PRIMUS", "ours", 0.1).name == "PRIMUS, 10 % aligned, our encoder"


def test_recorded_verdicts_are_read_back(tmp_path):
    assert primus_claims.claims_table(results_dir=tmp_path).empty
    config = {"claim": "a", "encoder": "paper", "test": "same domain", "what": "PRIMUS better than SimCLR", "low": 1.0}
    config |= {"high": 5.0, "verdict": "holds", "shots": "all"}
    row = LedgerRow(
        id="a", question="?", command="eailkit reproduce primus-claims", config=config, commit="0" * 40,
        data_hash="0", seeds=(0,), mean={"points": 3.0}, spread={"points": 2.0}, minutes=0.0, device="CPU",
    )  # fmt: skip
    append_rows("primus_claims_bench", [row], results_dir=tmp_path)
    table = primus_claims.claims_table(results_dir=tmp_path)
    assert table.points.tolist() == ["+3.0 [+1.0, +5.0]"] and table.verdict.tolist() == ["holds"]
