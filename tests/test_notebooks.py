"""The form that every notebook keeps, and that what they call exists; running them is the course's business."""

import ast
import importlib
import inspect
import json
import re
from pathlib import Path

import pytest
from latex2mathml.converter import convert

import eailkit
from eailkit.results import paper

REPOSITORY = Path(eailkit.__file__).resolve().parents[1]
NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("[0-9][0-9]*_*.ipynb"))
PACKAGE = sorted((REPOSITORY / "eailkit").rglob("*.py"))
MAX_LINES, MAX_SETUP = 30, 5
RE_EXECUTED = ("00", "03", "05")  # under pytest --nbval-lax, on the executed copies


def _cells(path: Path, kind: str) -> list[dict]:
    return [c for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == kind]


def _source(cell: dict) -> str:
    return "".join(cell["source"])


def _tags(cell: dict) -> list[str]:
    return cell["metadata"].get("tags", [])


def _text(path: Path) -> str:
    return "\n\n".join(_source(c) for c in _cells(path, "markdown"))


def _imported(path: Path) -> dict[str, object]:
    """Names that a notebook's cells import from the package, and what they are."""
    found = {}
    for cell in _cells(path, "code"):
        for node in ast.walk(ast.parse(_source(cell))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "eailkit":
                module = importlib.import_module(node.module)
                for name in node.names:
                    thing = getattr(module, name.name, None)
                    found[name.asname or name.name] = thing or importlib.import_module(f"{node.module}.{name.name}")
    return found


def _reads_results(called: ast.expr, names: dict[str, object]) -> bool:
    """Whether what is called takes the ledger's folder."""
    if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
        thing = getattr(names.get(called.value.id), called.attr, None)
    else:
        thing = names.get(called.id) if isinstance(called, ast.Name) else None
    return inspect.isfunction(thing) and "results_dir" in inspect.signature(thing).parameters


every = pytest.mark.parametrize("path", NOTEBOOKS, ids=[p.stem for p in NOTEBOOKS])


def test_the_notebooks_of_the_first_course_are_there():
    names = {p.stem for p in NOTEBOOKS}
    assert {
        "00_start_here", "01_preprocessing", "02_contrastive_alignment", "02b_dead_reckoning",
        "03_heatmap_generation", "04_spatiotemporal_reasoning", "05_action_recognition", "05b_tracking",
        "06_baselines_and_drift", "07_ablations", "08_primus_pretraining", "09_primus_few_shot",
    } <= names  # fmt: skip


@every
def test_it_is_stripped_and_runs_on_any_python3_kernel(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    for cell in _cells(path, "code"):
        assert not cell["outputs"] and cell["execution_count"] is None


@every
def test_it_opens_with_title_goal_time_and_what_one_will_be_able_to_do(path):
    first = _source(_cells(path, "markdown")[0])
    assert re.match(rf"# {path.stem.split('_')[0]} \S", first)
    for name in ("Goal", "Time", "You will be able to"):
        assert re.search(rf"^\*\*{name}:\*\* \S", first, re.M), f"no line '**{name}:**'"


@every
def test_it_has_one_parameters_cell_with_the_names_that_the_course_gives(path):
    (cell,) = [c for c in _cells(path, "code") if "parameters" in _tags(c)]
    values = {n.targets[0].id: ast.literal_eval(n.value) for n in ast.parse(_source(cell)).body}
    assert values["profile"] == "quick" and values["run_dir"] == "runs/lab"


@every
def test_cells_are_short_and_none_only_sets_things_up(path):
    for cell in _cells(path, "code"):
        lines = [line for line in _source(cell).splitlines() if line.strip()]
        assert len(lines) <= MAX_LINES, f"{len(lines)} lines: {lines[0]}"
        if all(isinstance(n, (ast.Import, ast.ImportFrom)) for n in ast.parse(_source(cell)).body):
            assert len(lines) <= MAX_SETUP, f"{len(lines)} lines of imports: {lines[0]}"


@every
def test_it_keeps_the_form_of_a_page(path):
    text = _text(path)
    assert text.count("?") >= 1 and re.search(r"^## .*\?", text, re.M), "no question as a heading"
    assert "$$" in text, "no equation"
    assert "**Look.**" in text and "**What would be wrong:**" in text
    assert re.search(r"^## Exercise: \S", text, re.M), "no exercise"
    assert len(re.findall(r"<details><summary>Hint \d</summary>", text)) >= 2, "no two folded hints"
    assert re.search(r"minutes, (easy|medium|hard)", text), "an exercise says its minutes and its difficulty"
    code = "\n".join(_source(c) for c in _cells(path, "code"))
    assert "widgets." in code, "no control to play with"
    assert "paper." in code or "What the paper says" in text, "the paper's own finding is missing"


@every
def test_its_formulas_become_mathml(path):
    for block, inline in re.findall(r"\$\$(.+?)\$\$|(?<![\\$])\$([^$\n]+?)\$", _text(path), re.S):
        latex = (block or inline).strip()
        assert "\\" not in convert(latex), f"a command is left in {latex}"


def _public_names() -> set[str]:
    names = set()
    for module in PACKAGE:
        for node in ast.parse(module.read_text(encoding="utf-8")).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                names.add(node.name)
    return names


@every
def test_it_defines_nothing_that_the_package_has(path):
    names = _public_names()
    for cell in _cells(path, "code"):
        for node in ast.walk(ast.parse(_source(cell))):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                assert node.name not in names, f"{node.name} is the package's"
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda):
                assert {t.id for t in node.targets if isinstance(t, ast.Name)}.isdisjoint(names)


@every
def test_every_name_of_the_package_that_it_uses_is_there(path):
    modules = {}
    for cell in _cells(path, "code"):
        tree = ast.parse(_source(cell))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("eailkit"):
                module = importlib.import_module(node.module)
                for alias in node.names:
                    if not hasattr(module, alias.name):
                        importlib.import_module(f"{node.module}.{alias.name}")
                    found = getattr(module, alias.name)
                    if type(found).__name__ == "module":
                        modules[alias.asname or alias.name] = found
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
                assert hasattr(modules[node.value.id], node.attr), f"{node.value.id}.{node.attr} doesn't exist"


@every
def test_the_papers_numbers_are_read_never_typed(path):
    typed = set(re.findall(r"(?<![\d.])\d{1,2}\.\d{2}(?!\d)", path.read_text(encoding="utf-8")))
    for number in paper.TABLES:
        values = paper.table(number).drop(columns=["split", "method"]).to_numpy().ravel()
        same = {f"{v:.2f}" for v in values} & typed
        assert not same, f"{same} of table {number} stand in the text"


@pytest.mark.parametrize("start", RE_EXECUTED)
def test_notebooks_that_are_executed_again_have_outputs_to_compare(start):
    (path,) = [p for p in NOTEBOOKS if p.stem.split("_")[0] == start]
    tagged = [c for c in _cells(path, "code") if "nbval-check-output" in _tags(c)]
    assert len(tagged) >= 2
    for cell in tagged:
        assert ".widget" not in _source(cell) and "minutes" not in _source(cell), "outputs that differ between runs"


@pytest.mark.parametrize(
    ("start", "reading"),
    [
        ("00", "walk_reading"),
        ("00", "tracker_reading"),
        ("02b", "integration_reading"),
        ("02b", "velocity_reading"),
        ("02b", "circles_reading"),
        ("02b", "drift_reading"),
        ("03", "alike_reading"),
        ("03", "heading_reading"),
        ("03", "flatter_reading"),
        ("04", "rule_reading"),
        ("04", "margin_reading"),
        ("04", "bounds_reading"),
        ("04", "crossing_reading"),
        ("05", "margin_reading"),
        ("05", "collapse_reading"),
        ("05", "parts_reading"),
        ("05b", "found_reading"),
        ("05b", "activity_reading"),
        ("05b", "crossing_reading"),
        ("05b", "coverage_reading"),
        ("05b", "failure_reading"),
        ("06", "bigger_reading"),
        ("06", "crossing_reading"),
        ("06", "left_reading"),
        ("06", "margin_reading"),
        ("06", "sources_reading"),
        ("06", "lens_reading"),
        ("07", "parts_reading"),
    ],
)
def test_sentences_about_a_number_are_computed_from_it(start, reading):
    (path,) = [p for p in NOTEBOOKS if p.stem.split("_")[0] == start]
    code = "\n".join(_source(c) for c in _cells(path, "code"))
    assert re.search(rf"print\([^\n]*{reading}\(", code)
    assert "of course" not in _text(path) and "now that it is known" not in _text(path)


@every
def test_recorded_results_are_read_where_they_are(path: Path):
    """The course runs each notebook in a folder of its own, where "results" is nothing."""
    names = _imported(path)
    for cell in _cells(path, "code"):
        for node in ast.walk(ast.parse(_source(cell))):
            if isinstance(node, ast.Call) and _reads_results(node.func, names):
                assert "results_dir" in {k.arg for k in node.keywords}, f"{path.stem}: {ast.unparse(node)}"


def test_the_protocol_s_recording_is_there_for_its_page():
    from eailkit.experiments.protocol import recorded_lines, recorded_reading

    assert len(recorded_lines(results_dir=REPOSITORY / "results")) > 5
    assert "uses ground truth" in recorded_reading(results_dir=REPOSITORY / "results")
