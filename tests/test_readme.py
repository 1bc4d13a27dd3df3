"""The numbers of README and of both simulators' cards are the ledger's."""

import re

import pytest

from benchmarks.card import scenario_parts
from benchmarks.paper_part import paper_part
from benchmarks.readme import README, documents, filled
from eailkit.experiments.rows.record import INTERVAL
from eailkit.results.ledger import LedgerRow, append_rows, read


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_a_text_says_what_the_ledger_holds(path):
    text, contents = path.read_text(encoding="utf-8"), documents()[path]
    assert all(f"<!-- {name} -->" in text and f"<!-- /{name} -->" in text for name in contents)
    assert filled(text, contents) == text, "run `python -m benchmarks.readme`"
    assert all(content in text for content in contents.values())


def test_every_card_has_its_numbers_from_the_ledger():
    assert {path for path in documents() if path != README} == set((README.parent / "docs").glob("*.md"))
    for path in documents():
        link = path.relative_to(README.parent).as_posix()
        assert path == README or f"]({link})" in README.read_text(encoding="utf-8"), f"README doesn't link {link}"


def test_the_scenarios_card_lists_each_activity_and_the_farthest_statistic_first():
    rows = read("scenarios", results_dir=README.parent / "results")
    table = scenario_parts(README.parent / "results")["beside"].splitlines()[2:]
    assert len(table) == len(rows) == 8
    for line, row in zip(table, rows, strict=True):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        assert cells[0] == row["id"].replace("_", " ") and cells[2] == f"{row['mean']['inside (%)']:.1f}"
        outside = row["config"].get("outside", ())
        assert cells[3].count("×") == len(outside)
        ratios = [float(r) for r in re.findall(r"× ([\d.e-]+)", cells[3])]
        assert ratios == sorted(ratios, key=lambda r: -max(r, 1 / r))


def test_a_recorded_row_stands_beside_the_papers_and_an_unrecorded_one_is_left_out(tmp_path):
    assert paper_part(tmp_path) == ""
    rows = [
        LedgerRow(
            id=f"test-seen | {name} | {protocol}", question="q", command="c", commit="1", data_hash="d", device="cpu",
            config={INTERVAL: {"SR@0.4m": [30.04, 41.0], "RS": [80.0, 90.0]}}, seeds=(0, 2), minutes=1.0,
            mean={"SR@0.4m": 35.0, "RS": 85.0}, spread={"SR@0.4m": 1.0, "RS": 1.0},
        )
        for name, protocol in (("EAIL", "published"), ("NILoc+", "inferred"), ("EAIL + tracker", "inferred"))
    ]  # fmt: skip
    append_rows("table1_bench", rows, results_dir=tmp_path)
    head, _, *lines = paper_part(tmp_path).splitlines()
    assert head.startswith(
        "| Table 1, bench, seeds 0, 2 | seen: 0.4 m | the paper | seen: RS | the paper | unseen: 0.4 m"
    )
    assert [line.split(" | ")[0] for line in lines] == ["| NILoc+", "| EAIL (uses ground truth)", "| EAIL + tracker"]
    assert lines[1].endswith("| 35.0 [30.0, 41.0] | 70.2 | 85.0 [80.0, 90.0] | 96.0 | – | 66.0 | – | 89.5 |")
    assert lines[2].endswith("| 35.0 [30.0, 41.0] | – | 85.0 [80.0, 90.0] | – | – | – | – | – |")
