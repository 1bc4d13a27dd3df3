"""The papers' numbers agree with each other and stay in their own columns; unknown ones are refused by name."""

import math

import pandas as pd
import pytest

from eailkit.errors import ConfigError
from eailkit.results import paper


@pytest.mark.parametrize("split", ["test-seen", "test-unseen"])
@pytest.mark.parametrize("metric", ["SR@0.2m", "SR@0.4m", "SR@0.6m", "RS", "top1", "top5"])
def test_the_full_model_has_the_same_numbers_in_every_table(split, metric):
    full = paper.value(3, "full", split, metric)
    for row in ("SLIP (default)", "10 s (default)", "full two stages"):
        assert paper.value(5, row, split, metric) == full
    if metric.startswith("top"):
        assert paper.value(2, "EAIL", split, metric) == paper.value(4, "with both", split, metric) == full
    else:
        assert paper.value(1, "EAIL", split, metric) == full


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5])
def test_every_number_is_a_percentage_and_success_grows_with_the_threshold(number):
    rows = paper.table(number)
    values = rows.drop(columns=["split", "method"])
    assert ((values > 0) & (values < 100) | values.isna()).all(axis=None)
    for smaller, larger in (("SR@0.2m", "SR@0.4m"), ("SR@0.4m", "SR@0.6m"), ("top1", "top5")):
        if smaller in rows:
            assert ((rows[smaller] < rows[larger]) | rows[smaller].isna()).all()


def test_what_the_paper_does_not_report_is_missing_not_zero():
    assert math.isnan(paper.value(1, "RoNIN", "test-seen", "RS"))
    assert math.isnan(paper.value(3, "w/o action loss", "test-unseen", "top1"))


def test_ours_and_the_papers_never_share_a_column():
    ours = pd.DataFrame({"split": ["test-seen"], "method": ["EAIL (ours)"], "SR@0.4m": ["12.3 [10.0, 14.0]"]})
    both = paper.beside(1, ours, names={"EAIL (ours)": "EAIL"}, metrics=["SR@0.4m"])
    assert list(both.columns) == [(paper.PAPER, "SR@0.4m"), (paper.OURS, "SR@0.4m")]
    assert both.loc[("test-seen", "EAIL")].tolist() == ["70.2", "12.3 [10.0, 14.0]"]
    assert both.loc[("test-unseen", "EAIL"), (paper.OURS, "SR@0.4m")] == "–"


def test_unknown_rows_are_refused_by_name():
    with pytest.raises(ConfigError, match="table: found 9"):
        paper.table(9)
    with pytest.raises(ConfigError, match="'NILoc'"):
        paper.value(1, "NILoc", "test-seen", "RS")
    with pytest.raises(ConfigError, match="drift"):
        paper.claim("nothing")
