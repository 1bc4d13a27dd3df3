"""Habits of the repository that nobody should have to remember: each is a test."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import tomllib
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import eailkit
from eailkit.course.html import cells_html
from eailkit.course.report import title_and_goal
from eailkit.course.run import notebook_parameters

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted((ROOT / "eailkit").rglob("*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# Rows of folders and single modules. A file imports from its own folder and from rows above its own in this list,
# never from its row's other folders and never from rows below it, whether a module, a function or a type checker asks.
FLOORS = (
    ("errors", "losses", "metrics", "provenance", "parallel", "allocator"),
    ("recording", "files"),
    ("weights",),
    ("training",),
    ("preprocess", "datasets", "encoders", "vision_language", "synthkitchen"),
    ("profiles", "plots", "scenarios", "primus", "fewshot", "course"),
    ("eail", "results", "embed"),
    ("localize", "baselines"),
    ("experiments", "live"),
    ("cli", "widgets", "primus_embed"),
)


def pins() -> dict[str, Version]:
    """constraints.txt as a dict."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line.strip() and not line.startswith("#")]
    assert all(len(pair) == 2 for pair in pairs), "every line of constraints.txt pins one version"
    assert len({canonicalize_name(name) for name, _ in pairs}) == len(pairs), "a package is pinned twice"
    return {canonicalize_name(name): Version(version) for name, version in pairs}


def requirements() -> list[Requirement]:
    """Everything that pyproject.toml asks for, extras included."""
    extras = [line for lines in PYPROJECT["optional-dependencies"].values() for line in lines]
    return [Requirement(line) for line in PYPROJECT["dependencies"] + extras]


def test_constraints_pin_every_requirement_within_its_bounds():
    pinned = pins()
    for requirement in requirements():
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"{name} of pyproject.toml has no pin in constraints.txt"
        assert pinned[name] in requirement.specifier, f"{name}: {pinned[name]} isn't {requirement.specifier}"
    assert not any(version.local for version in pinned.values()), "a pin of one build can't be installed elsewhere"


def test_the_conda_environment_installs_the_same():
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    python = re.search(r"- python=(\S+)", text).group(1)
    assert Version(python + ".0") in Requirement("python" + PYPROJECT["requires-python"]).specifier
    assert "- -c constraints.txt" in text and "- -e .[dev]" in text
    named = re.findall(r"^\s+- ([A-Za-z][\w-]*)", text, re.MULTILINE)
    assert set(named) == {"conda-forge", "nodefaults", "python", "pip"}, "versions stand in one place: constraints.txt"


def test_versions_agree():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"## {eailkit.__version__}" in changelog
    assert f"version: {eailkit.__version__}" in citation


def test_licences_stand_in_full():
    assert "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION" in (ROOT / "LICENSE").read_text()
    assert "https://creativecommons.org/licenses/by/4.0/" in (ROOT / "LICENSE-course").read_text()
    assert PYPROJECT["license"] == "Apache-2.0"


def floor(folder: str) -> int:
    """Row of `eailkit.<folder>`."""
    found = [k for k, names in enumerate(FLOORS) if folder in names]
    assert len(found) == 1, f"eailkit.{folder} has no floor: give it one in FLOORS"
    return found[0]


def module_of(path: Path) -> str:
    """Dotted name under `eailkit` of a file: "losses", "eail.stage1", "datasets" for `__init__`; "" for the root's."""
    parts = path.relative_to(ROOT / "eailkit").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {module_of(path): path for path in MODULES}


def imports_in(source: str) -> set[str]:
    """Modules of the package that a source text imports anywhere: also in functions and for type checkers."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, "imports name the whole way"
            if node.module and node.module.split(".")[0] == "eailkit":
                base = node.module.removeprefix("eailkit").removeprefix(".")
                inside = {f"{base}.{alias.name}".removeprefix("."): alias.name for alias in node.names}
                found |= {name if name in NAMES else base for name, own in inside.items() if not own.startswith("__")}
        elif isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[2] for alias in node.names if alias.name.startswith("eailkit.")}
    return found


IMPORTS = {name: imports_in(path.read_text(encoding="utf-8")) for name, path in NAMES.items()}


def upwards(module: str, imports: set[str]) -> set[str]:
    """What a module imports from its own row's other folders or from rows below."""
    here = module.partition(".")[0]
    others = {name for name in imports if name.partition(".")[0] != here}
    return {name for name in others if not name or floor(name.partition(".")[0]) >= floor(here)}


@pytest.mark.parametrize("module", [name for name in NAMES if name])
def test_imports_point_down_and_never_along_a_row(module: str):
    assert not upwards(module, IMPORTS[module]), "not from a row above: move what both need further up"


def test_the_rule_of_floors_sees_every_way_of_importing():
    source = """
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from eailkit.experiments.eail_run import Run
def late():
    from eailkit import plots, __version__
    import eailkit.fewshot.probe
from eailkit.preprocess import mapgrid
from eailkit.errors import ConfigError
"""
    found = imports_in(source)
    assert found == {"experiments.eail_run", "plots", "fewshot.probe", "preprocess.mapgrid", "errors"}
    assert upwards("primus.model", found) == {"experiments.eail_run", "plots", "fewshot.probe"}
    assert upwards("plots.rooms", {"plots.theme"}) == set() and upwards("plots.rooms", {""}) == {""}


def test_no_module_imports_itself_round_a_circle():
    def circle(name: str, path: tuple[str, ...]) -> tuple[str, ...]:
        if name in path:
            return (*path[path.index(name) :], name)
        if name in done:
            return ()
        for other in sorted(IMPORTS[name]):
            if other.startswith(f"{name}."):
                continue  # a folder's face opens its own rooms
            if found := circle(other, (*path, name)):
                return found
        done.add(name)
        return ()

    done: set[str] = set()
    for name in NAMES:
        assert not (found := circle(name, ())), " -> ".join(found)


def test_contributing_maps_the_house_as_it_stands():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:eailkit|notebooks|benchmarks|results|docs|data_samples|tests)/[\w./-]*)`", text))
    assert named and not [name for name in named if not (ROOT / name).exists()], (
        "CONTRIBUTING.md names what isn't there"
    )
    folders = {path.parent for path in MODULES if path.parent.parent == ROOT / "eailkit"}
    assert not [f.name for f in folders if f"eailkit/{f.name}/" not in named], "a folder without a line in the map"
    modules = set(re.findall(r"`(eailkit(?:\.\w+)+)`", text))
    assert not [m for m in modules if m.removeprefix("eailkit.") not in NAMES], (
        "CONTRIBUTING.md names a module that isn't there"
    )
    for row, line in re.findall(r"^\| (\d?) *\| (.*?) \|", text, re.MULTILINE):
        here = int(row) if row else here  # noqa: F821
        for name in re.findall(r"`eailkit/(\w+)", line):
            assert floor(name) == here - 1, f"{name} stands in row {floor(name) + 1} of FLOORS"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_are_short_and_say_what_they_are(path: Path):
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "no module docstring"
    assert text.count("\n") <= 400, "over 400 lines: one idea a file"
    assert "utils" not in path.stem
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if not isinstance(node, ast.ClassDef):
                assert node.end_lineno - node.lineno <= 80, f"{node.name} is over 80 lines"
            public = not node.name.startswith("_") and node.name not in ("forward", "backward")
            inner = any(node in ast.walk(f) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) and f is not node)
            assert not public or inner or ast.get_docstring(node), f"{node.name} has no docstring"


def test_every_module_imports_without_the_extras():
    skipped = {"eailkit.cli"}
    for path in MODULES:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if name not in skipped:
            importlib.import_module(name)
    source = "\n".join(path.read_text(encoding="utf-8") for path in MODULES)
    assert not re.search(r"^(from|import) (projectaria_tools|dask|distributed)", source, re.MULTILINE)


def tracked_text() -> list[tuple[str, str]]:
    """Name and text of every text file of the project: what git tracks or would, or all of it outside git."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    found = []
    for name in sorted(set(listed.stdout.splitlines())):
        path = ROOT / name
        if path.is_file() and path.stat().st_size < 2_000_000:
            try:
                found.append((name, path.read_text(encoding="utf-8")))
            except UnicodeDecodeError:
                continue
    return found


def test_no_file_names_somebodys_machine():
    private = re.compile(r"(?<![\w.])/(home/\w|Users/\w|root/|work/\w)|[A-Z]:\\\\Users")
    hits = [
        (name, m.group())
        for name, text in tracked_text()
        if name != "tests/test_repository.py"
        for m in private.finditer(text)
    ]
    assert not hits


def test_weights_are_never_read_with_pickle():
    loads = re.compile(r"allow_pickle\s*=\s*True|pickle\.load|torch\.load\((?![^)]*weights_only\s*=\s*True)")
    hits = [(path.name, m.group()) for path in MODULES for m in loads.finditer(path.read_text(encoding="utf-8"))]
    assert not hits


def test_the_readme_names_every_notebook_and_both_commands():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "make course" in readme and "make test" in readme
    for path in NOTEBOOKS:
        assert path.stem in readme, f"README.md doesn't list {path.stem}"
    shown = re.sub(r"<!--.*?-->", "", readme, flags=re.DOTALL)
    links = re.findall(r"\]\(((?!https?:|#|mailto:)[^)#\s]+)", shown)
    assert links and not [link for link in links if not (ROOT / link).exists()]


def test_there_are_notebooks():
    assert NOTEBOOKS and all(re.fullmatch(r"\d\d[a-z]?_[a-z0-9_]+", path.stem) for path in NOTEBOOKS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stripped_and_can_be_run_by_the_course(path: Path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    nbformat.validate(nbformat.from_dict(notebook))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code), "committed with outputs: nbstripout"
    assert "widgets" not in notebook["metadata"]
    assert {"profile", "run_dir"} <= set(notebook_parameters(path))
    title, goal = title_and_goal(path)
    assert title != path.stem and goal, "the first cells say a title (# ...) and a goal (**Goal:** ...)"
    assert "math-source" not in cells_html(notebook), "a formula that can't become MathML"
    longest = max(len("".join(cell["source"]).splitlines()) for cell in code)
    assert longest <= 30, "a code cell of more than 30 lines belongs in the package"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_defines_nothing_that_the_package_has(path: Path):
    public = {
        node.name
        for module in MODULES
        for node in ast.parse(module.read_text(encoding="utf-8")).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
    }
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    tree = ast.parse(
        "\n".join(line for s in sources for line in s.splitlines() if not line.lstrip().startswith(("%", "!")))
    )
    own = {node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    assert not own & public, f"{sorted(own & public)} live in the package: import them"
