"""One road to the ledger: what `eailkit reproduce` knows, what it is called by, and how rows are read back."""

from __future__ import annotations

import pytest

from eailkit.errors import ConfigError
from eailkit.experiments.registry import EXPERIMENTS, Request, reproduce
from eailkit.results import ledger
from eailkit.results.names import Budget, Head, Point, gain_key, id_parts, point_key, points, row_id


def test_a_request_names_its_command_and_its_folder():
    request = Request("primus-fig4", "bench", kitchens="somewhere", real="elsewhere", encoders=("ours",))
    assert (
        request.command
        == "eailkit reproduce primus-fig4 --profile bench --kitchens KITCHENS --real REAL --encoder ours"
    )
    assert str(request.folder) == "runs/primus" and str(Request("localization").folder) == "runs/bench"
    assert Request("joined", seeds=(1,)).command == "eailkit reproduce joined --profile quick --seed 1"


@pytest.mark.parametrize("name", [n for n, e in EXPERIMENTS.items() if e.needs_real])
def test_what_needs_real_recordings_says_so_before_any_work(name, tmp_path):
    with pytest.raises(ConfigError, match="give --real FOLDER"):
        reproduce(Request(name, out=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_unknown_experiments_and_two_seeds_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="expected one of table1"):
        reproduce(Request("primus-fig9"))
    with pytest.raises(ConfigError, match="found seeds 0, 1; expected one"):
        reproduce(Request("joined", out=tmp_path / "run", seeds=(0, 1)))


def test_every_recorded_table_has_an_experiment_or_a_measurement():
    commands = {row["command"] for p in ledger.RESULTS_DIR.glob("*.json") for row in ledger.read(p.stem)}
    assert commands
    for words in (c.split() for c in commands):
        if words[:2] == ["eailkit", "reproduce"]:
            assert words[2] in EXPERIMENTS


def test_keys_of_the_ledger_are_read_back_as_they_were_written():
    row = {
        "mean": {point_key("macro_f1", 5): 50.0, gain_key("random weights", 5): 1.0, point_key("accuracy", 20): 60.0},
        "spread": {point_key("macro_f1", 5): 2.0, gain_key("random weights", 5): 0.5, point_key("accuracy", 20): 3.0},
    }
    assert list(points(row)) == [Point("macro_f1", 5, 50.0, 2.0), Point("accuracy", 20, 60.0, 3.0)]
    assert id_parts(row_id("test-seen", "SR@0.4m against chance")) == ("test-seen", "SR@0.4m against chance")
    assert gain_key("left temple") == "against left temple, points of macro_f1"
    recorded = {row["config"]["head"] for row in ledger.read("primus_fig4_bench") + ledger.read("primus_lines_bench")}
    assert recorded and recorded <= {*Head, *Budget}
