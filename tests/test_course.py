"""The course runner on notebooks made to go right and wrong in known ways."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from eailkit.course.run import (
    check_parameters,
    find_notebooks,
    hidden_errors,
    notebook_parameters,
    parse_value,
    run_course,
)
from eailkit.errors import ConfigError

PARAMETERS = 'profile = "quick"\nrun_dir = "runs/lab"'


def write_notebook(path: Path, *sources: str) -> Path:
    """A notebook with a `parameters` cell and one code cell for each source."""
    cells = [nbformat.v4.new_markdown_cell(f"# {path.stem}\n\nGoal: be run."), nbformat.v4.new_code_cell(PARAMETERS)]
    cells[1].metadata["tags"] = ["parameters"]
    cells += [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)  # names no kernel: the course brings its own
    return path


def executed(run, name: str) -> dict:
    """The executed copy of one notebook of a run."""
    return json.loads((run.folder / "executed" / f"{name}.ipynb").read_text(encoding="utf-8"))


def printed(notebook: dict) -> str:
    """Everything that a notebook printed on standard output."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    return "".join("".join(output["text"]) for output in outputs if output.get("name") == "stdout")


def test_each_notebook_is_judged_by_itself(fixture_course):
    run, text = fixture_course
    states = {notebook.name: notebook.state for notebook in run.notebooks}
    assert states == {
        "00_figures": "ok",
        "01_fails": "failed",
        "02_without_run_dir": "failed",
        "03_callback_raises": "failed",
        "04_reads_artifact": "ok",
    }
    assert not run.ok
    lines = text.splitlines()
    assert len(lines) == 6, "one line a notebook and one for all"
    assert lines[0].startswith("00_figures") and "ok" in lines[0] and " MB" in lines[0]
    assert "IndexError: list index out of range" in lines[1]
    assert "3 failed" in lines[-1] and str(run.folder / "index.html") in lines[-1]


def test_stages_pass_artifacts_on_and_kernels_are_this_interpreter(fixture_course):
    run, _ = fixture_course
    assert (run.folder / "artifacts" / "waves.txt").read_text() == "3"
    assert "waves: 3" in printed(executed(run, "04_reads_artifact"))
    assert f"interpreter {sys.executable}" in printed(executed(run, "00_figures"))
    assert executed(run, "00_figures")["metadata"]["kernelspec"]["name"] == "python3", "JupyterLab must open the copy"
    assert "eailkit" not in os.environ.get("JUPYTER_PATH", "")


def test_a_callback_that_raises_fails_the_notebook_that_papermill_passed(fixture_course):
    run, _ = fixture_course
    notebook = executed(run, "03_callback_raises")
    kinds = [output["output_type"] for cell in notebook["cells"] for output in cell.get("outputs", [])]
    assert "error" not in kinds and "reached" in printed(notebook), "papermill itself saw nothing wrong"
    assert run.notebooks[3].error == "ValueError: no heatmap for second 3"


def test_a_notebook_without_the_courses_parameters_is_not_run(fixture_course):
    run, _ = fixture_course
    assert "run_dir" in run.notebooks[2].error
    assert "never reached" not in printed(executed(run, "02_without_run_dir"))


def test_the_record_says_what_the_run_object_says(fixture_course):
    run, _ = fixture_course
    record = json.loads((run.folder / "course.json").read_text(encoding="utf-8"))
    assert [n["state"] for n in record["notebooks"]] == [n.state for n in run.notebooks]
    assert record["seconds"] == pytest.approx(run.seconds) == pytest.approx(run.notebooks[-1].ended_s)
    alone = sum(n.seconds for n in run.notebooks)  # the table doesn't know these: one by one
    assert alone <= run.seconds < alone + 5 and run.jobs >= 1
    assert all(n.seconds > 0.3 and n.peak_memory_mb > 20 for n in run.notebooks if n.name != "02_without_run_dir")
    assert record["profile"] == "quick" and "torch" in record["versions"]
    assert run.notebooks[0].goal == "every kind of output that a page of the report must show."


def test_unknown_parameters_are_refused_before_anything_runs(fixture_notebooks, tmp_path):
    with pytest.raises(ConfigError, match=r"'wavs' isn't in 00_figures: choose from waves"):
        run_course(fixture_notebooks, tmp_path / "run", only=["00"], parameters={"wavs": 2})
    with pytest.raises(ConfigError, match="set by the course itself"):
        run_course(fixture_notebooks, tmp_path / "run", parameters={"run_dir": "elsewhere"})
    with pytest.raises(ConfigError, match="its default is 3: give a number"):
        run_course(fixture_notebooks, tmp_path / "run", parameters={"waves": "many"})
    assert not (tmp_path / "run").exists()
    check_parameters(find_notebooks(fixture_notebooks), {"waves": 5})


def test_a_parameter_reaches_the_notebooks_that_have_it(fixture_notebooks, tmp_path):
    run = run_course(fixture_notebooks, tmp_path, only=["00_", "04"], parameters={"waves": 1}, say=lambda text: None)
    assert [notebook.name for notebook in run.notebooks] == ["00_figures", "04_reads_artifact"] and run.ok
    assert (tmp_path / "artifacts" / "waves.txt").read_text() == "1"


def test_notebooks_that_are_not_there(tmp_path, fixture_notebooks):
    with pytest.raises(ConfigError, match="holds no notebook"):
        find_notebooks(tmp_path)
    with pytest.raises(ConfigError, match="--only 9 fits no notebook .* 00_figures"):
        find_notebooks(fixture_notebooks, ["9"])


def test_a_file_that_is_no_notebook_is_named(tmp_path):
    whole = write_notebook(tmp_path / "00_whole.ipynb", "print(1)").read_text()
    (tmp_path / "01_cut.ipynb").write_text(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match="01_cut.ipynb isn't a notebook that can be read"):
        run_course(tmp_path, tmp_path / "run")


def test_parameters_are_read_as_python(tmp_path):
    path = write_notebook(tmp_path / "00_typed.ipynb")
    text = path.read_text().replace('profile = \\"quick\\"', "steps: int = 3  # a note")
    path.write_text(text)
    assert notebook_parameters(path) == {"steps": "3", "run_dir": "'runs/lab'"}


def test_peak_memory_counts_child_processes_of_the_kernel(tmp_path):
    child = "import time; block = bytearray(b'x' * 200_000_000); time.sleep(1.5)"
    write_notebook(
        tmp_path / "00_memory.ipynb", f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])"
    )
    run = run_course(tmp_path, tmp_path / "run", say=lambda text: None)
    assert run.ok and 200 < run.notebooks[0].peak_memory_mb < 600


def test_a_kernel_that_dies_is_a_failed_notebook_and_the_next_one_runs(tmp_path):
    write_notebook(tmp_path / "00_dies.ipynb", "import os\nos._exit(9)", "print('never reached')")
    write_notebook(tmp_path / "01_lives.ipynb", "print('alive')")
    run = run_course(tmp_path, tmp_path / "run", say=lambda text: None)
    assert [notebook.state for notebook in run.notebooks] == ["failed", "ok"]
    assert "died" in run.notebooks[0].error.lower()


@pytest.mark.timeout(180)
def test_output_widgets_dont_hang_the_run_on_a_busy_machine(tmp_path):
    writes = "with out:\n    print(k)\nk += 1"
    write_notebook(tmp_path / "00_out.ipynb", "import ipywidgets\nout, k = ipywidgets.Output(), 0\nout", *[writes] * 60)
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 2)]
    try:
        run = run_course(tmp_path, tmp_path / "run", say=lambda text: None)
    finally:
        for burner in burners:
            burner.kill()
    assert run.ok and "\n".join(map(str, range(60))) in (run.folder / "00_out.html").read_text(encoding="utf-8")


def test_hidden_errors_reads_stderr_and_forgives_tagged_cells():
    trace = "Exception in thread\nTraceback (most recent call last):\n  File\nKeyError: 'cell'\n"
    error = {"output_type": "error", "ename": "ValueError", "evalue": "meant", "traceback": []}
    cells = [
        {
            "cell_type": "code",
            "metadata": {},
            "outputs": [{"output_type": "stream", "name": "stderr", "text": [trace]}],
        },
        {"cell_type": "code", "metadata": {"tags": ["raises-exception"]}, "outputs": [error]},
        {"cell_type": "code", "metadata": {}, "outputs": [{"output_type": "stream", "name": "stdout", "text": trace}]},
        {"cell_type": "markdown", "metadata": {}},
    ]
    assert hidden_errors({"cells": cells, "metadata": {}}) == ["traceback on stderr: KeyError: 'cell'"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("1e-3", 1e-3), ("True", True), ("false", False), ("[1, 2]", [1, 2]), ("quick", "quick"), ("'a'", "a")],
)
def test_command_line_values_become_python_values(text, value):
    assert parse_value(text) == value and type(parse_value(text)) is type(value)
