"""Running the notebooks: papermill in order, one line each, and a folder that holds what they left.

`run_course` executes copies of the notebooks with the running interpreter, watches time and memory, looks for
errors where papermill doesn't (widget callbacks), and keeps going when one notebook fails. Pages are made by
`eailkit.course.report`; nothing here knows what the notebooks teach.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from eailkit.course import report
from eailkit.course.doctor import describe, examine, repository_folder
from eailkit.course.execute import execute, own_kernel
from eailkit.course.html import widget_states
from eailkit.errors import ConfigError
from eailkit.files import write_json

GIVEN = ("profile", "run_dir")  # parameters that every notebook of the course takes


@dataclass(frozen=True)
class NotebookRun:
    """What became of one notebook.

    Attributes:
        name: file name without its ending, "00_start_here".
        title: its first heading. goal: the sentence after "Goal" in its first cells, or "".
        state: "waiting", "ok", "failed" or "interrupted".
        seconds: wall-clock time, start of the kernel included.
        peak_memory_mb: largest resident memory of the kernel with all its child processes.
        error: what went wrong, first line an exception's name and message; "" where nothing did.
    """

    name: str
    title: str
    goal: str
    state: str = "waiting"
    seconds: float = 0.0
    peak_memory_mb: float = 0.0
    error: str = ""


@dataclass(frozen=True)
class CourseRun:
    """One run of the course: the folder and a `NotebookRun` for every notebook, in order."""

    folder: Path
    profile: str
    started: str
    notebooks: tuple[NotebookRun, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    versions: str = ""

    @property
    def ok(self) -> bool:
        """Every notebook ran to its end without an error."""
        return all(notebook.state == "ok" for notebook in self.notebooks)

    @property
    def seconds(self) -> float:
        """Time of all notebooks together."""
        return sum(notebook.seconds for notebook in self.notebooks)


def run_course(
    notebooks_dir: Path | str | None = None,
    out_dir: Path | str | None = None,
    profile: str = "quick",
    only: Sequence[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    *,
    say: Callable[[str], None] | None = None,
) -> CourseRun:
    """Execute the notebooks `NN_name.ipynb` in order and leave a report, whatever happens to any of them.

    Writes under `out_dir`: `executed/*.ipynb`, `artifacts/` (what stages pass on; every notebook gets its path as
    the parameter `run_dir`), `index.html` with a page for each notebook, and `course.json`. All of it is brought
    up to date after each notebook, so a kill loses only the one that was running.

    Args:
        notebooks_dir: folder of the notebooks; the checkout's own by default.
        out_dir: where to write; `runs/<time>` by default. A folder of an earlier run is written over.
        profile: passed to every notebook.
        only: beginnings of names ("00", "03_heatmap"); all notebooks by default.
        parameters: further papermill parameters, given to each notebook whose `parameters` cell names them.
        say: receives one piece of text at a time; standard output by default.

    Returns:
        What ran, in what state.

    Raises:
        ConfigError: no notebook, no such notebook, or a parameter that none of the notebooks has.
        KeyboardInterrupt: after the report of what had run was written.
    """
    say = say or (lambda text: print(text, end="", flush=True))
    paths = find_notebooks(notebooks_dir, only)
    parameters = dict(parameters or {})
    check_parameters(paths, parameters)
    folder = Path(out_dir or new_run_folder()).resolve()
    for name in ("executed", "artifacts"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for path in paths:
        (folder / "executed" / path.name).unlink(missing_ok=True)
    runs = [NotebookRun(path.stem, *report.title_and_goal(path)) for path in paths]
    started = datetime.now().isoformat(timespec="seconds")
    course = CourseRun(folder, profile, started, tuple(runs), parameters, describe(examine(folder)))
    with own_kernel():
        for k, path in enumerate(paths):
            say(f"{path.stem:34}")
            try:
                runs[k] = _run_notebook(path, runs[k], course)
            except _Interrupted as interrupted:
                runs[k] = interrupted.run
                raise KeyboardInterrupt from None
            finally:
                course = replace(course, notebooks=tuple(runs))
                _write(course)
                say(_line(runs[k]))
    failed = sum(run.state != "ok" for run in runs)
    say(f"{len(runs)} notebooks, {failed} failed, {report.clock(course.seconds)}: {folder / 'index.html'}\n")
    return course


def find_notebooks(notebooks_dir: Path | str | None = None, only: Sequence[str] | None = None) -> list[Path]:
    """Notebooks of the course in order, those whose names begin with one of `only`.

    Raises:
        ConfigError: the folder holds none, or an entry of `only` fits none.
    """
    folder = Path(notebooks_dir) if notebooks_dir else repository_folder("notebooks")
    paths = sorted(folder.glob("[0-9][0-9]*_*.ipynb"))
    if not paths:
        raise ConfigError(f"{folder} holds no notebook named NN_name.ipynb: run inside a clone, or give its notebooks.")
    for start in only or ():
        if not any(path.name.startswith(start) for path in paths):
            names = ", ".join(path.stem for path in paths)
            raise ConfigError(f"--only {start} fits no notebook in {folder}: choose from {names}.")
    return [path for path in paths if not only or path.name.startswith(tuple(only))]


def notebook_parameters(path: Path) -> dict[str, str]:
    """Names that a notebook's first cell tagged `parameters` assigns, and the source text of their values.

    Raises:
        ConfigError: the file isn't a notebook, or that cell isn't plain Python.
    """
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        tagged = [cell for cell in cells if "parameters" in cell.get("metadata", {}).get("tags", [])]
        lines = ast.parse("".join(tagged[0]["source"])).body if tagged else []
    except (OSError, ValueError, KeyError, TypeError, SyntaxError) as error:
        raise ConfigError(f"{path} isn't a notebook that can be read ({error}): restore it from git.") from None
    found = {}
    for line in lines:
        if isinstance(line, ast.Assign):
            found |= {target.id: ast.unparse(line.value) for target in line.targets if isinstance(target, ast.Name)}
        elif isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.value:
            found[line.target.id] = ast.unparse(line.value)
    return found


def check_parameters(paths: Sequence[Path], parameters: Mapping[str, Any]) -> None:
    """Refuse what papermill would only warn of: a name that no notebook has, or text in place of a number.

    Raises:
        ConfigError: naming the parameter and the ones that exist.
    """
    known = {path: notebook_parameters(path) for path in paths}
    for name, value in parameters.items():
        if name in GIVEN:
            raise ConfigError(f"parameter {name!r} is set by the course itself: use --profile or --out.")
        defaults = [defaults[name] for defaults in known.values() if name in defaults]
        if not defaults:
            there = sorted({other for defaults in known.values() for other in defaults} - set(GIVEN))
            where = paths[0].stem if len(paths) == 1 else f"any of {len(paths)} notebooks"
            raise ConfigError(f"parameter {name!r} isn't in {where}: choose from {', '.join(there) or 'none'}.")
        for default in defaults:
            if isinstance(value, str) and isinstance(parse_value(default), (int, float)):
                raise ConfigError(f"parameter {name} is {value!r}, but its default is {default}: give a number.")


def parse_value(text: str) -> Any:
    """A Python literal (3, 1e-3, True, [1, 2], "a") where the text is one, otherwise the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return {"true": True, "false": False}.get(text.lower(), text)


def new_run_folder() -> Path:
    """`runs/<YYYYmmdd-HHMMSS>` under the working directory."""
    return Path("runs") / datetime.now().strftime("%Y%m%d-%H%M%S")


def hidden_errors(notebook: Mapping[str, Any]) -> list[str]:
    """Errors of an executed notebook, one text each, also those that papermill reports as success.

    Looked at are cell outputs, the outputs kept in widgets' state (where `interact` and Output widgets hide an
    exception of a callback), and tracebacks that a callback or a thread printed on stderr. Cells tagged
    `raises-exception` fail on purpose and aren't counted.
    """
    outputs = [
        output
        for cell in notebook["cells"]
        if "raises-exception" not in cell.get("metadata", {}).get("tags", [])
        for output in cell.get("outputs", [])
    ]
    for model in widget_states(notebook).values():
        outputs += model["state"].get("outputs", []) if isinstance(model["state"].get("outputs"), (list, tuple)) else []
    return [text for text in map(_error_text, outputs) if text]


class _Interrupted(Exception):
    def __init__(self, run: NotebookRun) -> None:
        super().__init__()
        self.run = run


def _run_notebook(path: Path, run: NotebookRun, course: CourseRun) -> NotebookRun:
    """Give a notebook its parameters, execute it and judge what it left."""
    known = notebook_parameters(path)
    values = {name: value for name, value in course.parameters.items() if name in known}
    values |= {"profile": course.profile, "run_dir": str(course.folder / "artifacts")}
    executed = course.folder / "executed" / path.name
    lacking = [name for name in GIVEN if name not in known]
    if lacking:
        shutil.copyfile(path, executed)
        error = f"ConfigError: {path.name} has no {' and no '.join(lacking)} in a cell tagged `parameters`: add it."
        return replace(run, state="failed", error=error)
    done = execute(path, executed, values)
    run = replace(run, seconds=done.seconds, peak_memory_mb=done.peak_memory_mb)
    if done.interrupted:
        raise _Interrupted(replace(run, state="interrupted", error="KeyboardInterrupt: stopped by hand"))
    return _judge(run, executed, done.raised)


def _judge(run: NotebookRun, executed: Path, raised: BaseException | None) -> NotebookRun:
    """State of a notebook from what it left, and its kernel's name mended so that JupyterLab can open it."""
    from papermill.exceptions import PapermillExecutionError

    notebook = json.loads(executed.read_text(encoding="utf-8"))
    notebook["metadata"]["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    write_json(executed, notebook)
    errors = hidden_errors(notebook)
    # papermill's own error adds nothing: it stands for an error in a cell, and counts those that a tag allows too
    if raised and not errors and not isinstance(raised, PapermillExecutionError):
        errors = [f"{type(raised).__name__}: {raised}".strip()]
    return replace(run, state="failed" if errors else "ok", error="\n\n".join(errors))


def _error_text(output: Mapping[str, Any]) -> str:
    if output.get("output_type") == "error":
        return f"{output['ename']}: {output['evalue']}"
    if output.get("output_type") == "stream" and output.get("name") == "stderr":
        text = "".join(output["text"])
        if "Traceback (most recent call last)" in text:
            named = [
                line for line in text.splitlines() if re.match(r"[A-Za-z_][\w.]*(Error|Exception|Interrupt|:)", line)
            ]
            return f"traceback on stderr: {named[-1] if named else text.strip().splitlines()[-1]}"
    return ""


def _write(course: CourseRun) -> None:
    record = asdict(course) | {"folder": course.folder.name, "seconds": course.seconds}
    write_json(course.folder / "course.json", record)
    report.write_report(course)


def _line(run: NotebookRun) -> str:
    first = run.error.splitlines()[0][:120] if run.error else ""
    return f"{run.state:12}{report.clock(run.seconds):>8}{run.peak_memory_mb:8.0f} MB  {first}".rstrip() + "\n"
