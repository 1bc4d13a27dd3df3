"""The results ledger: what it keeps, what it refuses, and that a table is never half written."""

from __future__ import annotations

import dataclasses
import json
import subprocess

import pytest

from eailkit.errors import ConfigError
from eailkit.files import write_atomically
from eailkit.results.ledger import LedgerRow, append_rows, git_commit, hash_files, read

ROW = LedgerRow(
    id="stage2",
    question="Does reasoning over time help?",
    command="python -m benchmarks localization",
    config={"profile": "quick", "spread": "95 % bootstrap over rooms"},
    commit="abc",
    data_hash="0123",
    seeds=(0, 1),
    mean={"success@0.4 m, %": 31.5},
    spread={"success@0.4 m, %": 2.5},
    minutes=4.0,
    device="CPU",
)


def test_rows_come_back_as_written_and_an_id_replaces_its_row(tmp_path):
    append_rows("main", [ROW, dataclasses.replace(ROW, id="chance")], results_dir=tmp_path)
    append_rows("main", [dataclasses.replace(ROW, minutes=5.0)], results_dir=tmp_path)
    rows = read("main", results_dir=tmp_path)
    assert [row["id"] for row in rows] == ["stage2", "chance"]
    assert rows[0]["minutes"] == 5.0 and rows[0]["seeds"] == [0, 1] and rows[0]["mean"] == ROW.mean
    assert rows[0]["recorded"].endswith("+00:00")
    assert set(rows[0]) == {field.name for field in dataclasses.fields(LedgerRow)}
    assert read("nothing_yet", results_dir=tmp_path) == []


def test_rows_from_shipped_weights_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="shipped weights"):
        append_rows("main", [ROW], results_dir=tmp_path, rows_from_shipped_weights=True)
    assert not (tmp_path / "main.json").exists()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"command": " "}, "empty command"),
        ({"seeds": ()}, "no seed"),
        ({"spread": {}}, "one spread a mean"),
        ({"mean": {"success@0.4 m, %": float("nan")}}, "isn't finite"),
    ],
)
def test_rows_that_nobody_could_make_again_are_refused(tmp_path, change, complaint):
    with pytest.raises(ConfigError, match=complaint):
        append_rows("main", [ROW, dataclasses.replace(ROW, **change)], results_dir=tmp_path)
    assert read("main", results_dir=tmp_path) == []


def test_a_damaged_table_is_named_and_left_alone(tmp_path):
    (tmp_path / "main.json").write_text('[{"id": "sta')
    with pytest.raises(ConfigError, match="main.json isn't valid JSON"):
        append_rows("main", [ROW], results_dir=tmp_path)
    (tmp_path / "main.json").write_text('[{"id": "stage2"}]')
    with pytest.raises(ConfigError, match="isn't a table of this ledger version"):
        read("main", results_dir=tmp_path)
    assert json.loads((tmp_path / "main.json").read_text()) == [{"id": "stage2"}]


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "table.json"
    path.write_text("old")

    def half(beside: str) -> None:
        with open(beside, "w") as file:
            file.write("ne")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, half)
    assert [p.name for p in tmp_path.iterdir()] == ["table.json"] and path.read_text() == "old"


def test_the_commit_says_when_files_differ_from_it(tmp_path):
    assert git_commit(tmp_path) == "unknown"

    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    (tmp_path / "file").write_text("1")
    git("init")
    git("add", "file")
    git("commit", "-m", "first")
    assert len(git_commit(tmp_path)) == 40
    (tmp_path / "file").write_text("2")
    assert git_commit(tmp_path).endswith("+changes")


def test_the_data_hash_sees_names_and_bytes(tmp_path):
    with pytest.raises(ConfigError, match="no file"):
        hash_files(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    first = hash_files(tmp_path)
    assert first == hash_files(tmp_path) and len(first) == 16
    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    renamed = hash_files(tmp_path)
    (tmp_path / "a" / "y").write_text("2")
    assert len({first, renamed, hash_files(tmp_path)}) == 3
