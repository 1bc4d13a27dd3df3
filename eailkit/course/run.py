"""Running the notebooks: side by side as far as they may, a line each, and a folder that holds what they left.

`run_course` executes copies of the notebooks with the running interpreter, watches time and memory, looks for
errors where papermill doesn't (widget callbacks), and keeps going when one notebook fails. What may run beside what
is in `eailkit.course.graph`, pages are made by `eailkit.course.report`; nothing here knows what the notebooks teach.
"""

from __future__ import annotations

import ast
import json
import re
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from eailkit.course import report
from eailkit.course.doctor import describe, examine, repository_folder
from eailkit.course.execute import Execution, own_kernel
from eailkit.course.expect import Speed, default_jobs, expected_s, measure, recorded, room_for, threads_each, trains_in
from eailkit.course.graph import Plan
from eailkit.course.guard import alone_in, stop_requests
from eailkit.course.html import widget_states
from eailkit.course.progress import Progress
from eailkit.course.state import CourseRun, NotebookRun, clock
from eailkit.errors import ConfigError
from eailkit.files import make_folder, refuse_overwrite, write_json

WORTH_S = 300.0  # recorded seconds from which on the machine is measured, for the time left
SAMPLE_S = 0.25  # running notebooks are looked at this often
GIVEN = ("profile", "run_dir")  # parameters that every notebook of the course takes


def run_course(
    notebooks_dir: Path | str | None = None,
    out_dir: Path | str | None = None,
    profile: str = "quick",
    only: Sequence[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    *,
    jobs: int | None = None,
    say: Callable[[str], None] | None = None,
) -> CourseRun:
    """Execute the notebooks `NN_name.ipynb` and leave a report, whatever happens to any of them.

    Writes under `out_dir`: `executed/*.ipynb`, `artifacts/` (what stages pass on; every notebook gets its path as
    the parameter `run_dir`), `index.html` with a page for each notebook, and `course.json`. All of it is brought
    up to date after each notebook, so a kill loses only those that were running.

    Args:
        notebooks_dir: folder of the notebooks; the checkout's own by default.
        out_dir: where to write; `runs/<time>` by default. A folder of an earlier run is written over.
        profile: passed to every notebook.
        only: beginnings of names ("00", "03_heatmap"); all notebooks by default.
        parameters: further papermill parameters, given to each notebook whose `parameters` cell names them.
        jobs: notebooks side by side at most, as far as `graph.COURSE` lets them; `expect.default_jobs` by
            default, or fewer where memory is short. How many threads each has hangs on this number alone.
        say: receives one piece of text at a time; standard output by default, with the time left.

    Returns:
        What ran, in what state.

    Raises:
        ConfigError: no notebook, no such notebook, a parameter that none of the notebooks has, or jobs below 1.
        OutputError: `out_dir` can't be written, is the notebooks' own folder, or another course is at work in it.
        KeyboardInterrupt: after the report of what had run was written; SIGTERM and SIGHUP count as Ctrl-C.
    """
    paths = [path.absolute() for path in find_notebooks(notebooks_dir, only)]
    parameters = dict(parameters or {})
    check_parameters(paths, parameters)
    if jobs is not None and jobs < 1:
        raise ConfigError(f"jobs: found {jobs}; expected 1 or more notebooks side by side.")
    folder = Path(out_dir or new_run_folder()).resolve()
    refuse_overwrite([folder], [path.parent for path in paths[:1]])
    make_folder(folder)
    with alone_in(folder), stop_requests() as asked, own_kernel():
        for name in ("executed", "artifacts"):
            make_folder(folder / name)
        for path in paths:
            (folder / "executed" / path.name).unlink(missing_ok=True)
        beside = jobs or default_jobs(path.stem for path in find_notebooks(notebooks_dir))
        jobs = min(beside, len(paths), beside if jobs else room_for())
        stems = {path.stem for path in paths}
        long = sum(r.seconds for name, r in recorded().items() if name in stems) > WORTH_S and profile == "quick"
        speed = measure() if long else None
        runs = tuple(NotebookRun(path.stem, *report.title_and_goal(path)) for path in paths)
        started = datetime.now().isoformat(timespec="seconds")
        course = CourseRun(
            folder, profile, started, runs, parameters,
            jobs=jobs, threads=threads_each(beside), speed=asdict(speed) if speed else {},
            trains_in=trains_in() if speed else "",
        )  # fmt: skip
        return _Conductor(paths, course, speed, say).conduct(asked)


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


class _Conductor:
    """One run: begins what may begin, judges what has ended, and keeps the report and the reader up to date."""

    def __init__(
        self, paths: Sequence[Path], course: CourseRun, speed: Speed | None, say: Callable[[str], None] | None
    ) -> None:
        self.paths = {path.stem: path for path in paths}
        self.course, self.runs = course, {run.name: run for run in course.notebooks}
        seconds = expected_s(self.paths, speed, course.threads) if speed else {}
        self.plan, self.speed = Plan(list(self.paths), course.jobs, seconds), speed
        self.running: dict[str, Execution] = {}
        self.progress, self.wake = Progress(self.plan, say), threading.Event()
        self.began = time.monotonic()

    def conduct(self, asked: threading.Event) -> CourseRun:
        """Run everything; `asked` ends it."""
        try:
            self._begin()
            versions = describe(examine(self.course.folder, jobs=self.course.jobs, speed=self.speed))
            self.course = replace(self.course, versions=versions)
            while self.plan.waiting or self.running:
                self._begin()
                self.wake.wait(SAMPLE_S)
                self.wake.clear()
                if asked.is_set():
                    raise KeyboardInterrupt
                for name in [name for name, execution in self.running.items() if execution.over()]:
                    self._ended(name)
                self.progress.show({name: execution.seconds for name, execution in self.running.items()})
        except KeyboardInterrupt:
            self._stop()
            raise KeyboardInterrupt from None
        finally:
            for execution in self.running.values():  # something else went wrong, such as a full disk
                execution.stop()
            for execution in self.running.values():
                execution.wait()
        failed, together = sum(run.state != "ok" for run in self.runs.values()), clock(self.course.seconds)
        self.progress.say(f"{len(self.runs)} notebooks, {failed} failed, {together}: {self._index}\n")
        return self.course

    @property
    def _index(self) -> Path:
        return self.course.folder / "index.html"

    def _begin(self) -> None:
        while (name := self.plan.begin()) is not None:
            path, known = self.paths[name], notebook_parameters(self.paths[name])
            executed = self.course.folder / "executed" / path.name
            lacking = [given for given in GIVEN if given not in known]
            if lacking:
                shutil.copyfile(path, executed)
                error = (
                    f"ConfigError: {path.name} has no {' and no '.join(lacking)} in a cell tagged `parameters`: add it."
                )
                self._note(replace(self.runs[name], state="failed", error=error))
                continue
            values = {parameter: value for parameter, value in self.course.parameters.items() if parameter in known}
            values |= {"profile": self.course.profile, "run_dir": str(self.course.folder / "artifacts")}
            self.running[name] = Execution(path, executed, values, self.course.threads, self.wake.set)

    def _ended(self, name: str) -> None:
        execution = self.running.pop(name)
        self._note(_judge(self._with_times(name, execution), execution))

    def _with_times(self, name: str, execution: Execution) -> NotebookRun:
        done = execution.outcome()
        return replace(self.runs[name], seconds=done.seconds, peak_memory_mb=done.peak_memory_mb)

    def _note(self, run: NotebookRun) -> None:
        """A notebook has ended: the plan, the files and the reader learn of it."""
        self.runs[run.name] = replace(run, ended_s=time.monotonic() - self.began)
        self.plan.end(run.name, run.state == "ok")
        self._write()
        self.progress.ended(self.runs[run.name])

    def _stop(self) -> None:
        """End every kernel, and write the report of what had run."""
        for execution in self.running.values():
            execution.stop()
        ended_s = time.monotonic() - self.began
        for name, execution in self.running.items():
            execution.wait()
            run = replace(self._with_times(name, execution), state="interrupted", ended_s=ended_s)
            self.runs[name] = replace(run, error="KeyboardInterrupt: stopped by hand")
        self._write()
        for name in self.running:
            self.progress.ended(self.runs[name])
        self.running.clear()

    def _write(self) -> None:
        self.course = replace(self.course, notebooks=tuple(self.runs.values()))
        record = asdict(self.course) | {"folder": self.course.folder.name, "seconds": self.course.seconds}
        write_json(self.course.folder / "course.json", record)
        report.write_report(self.course)


def _judge(run: NotebookRun, execution: Execution) -> NotebookRun:
    """State of a notebook from what it left, and its kernel's name mended so that JupyterLab can open it."""
    from papermill.exceptions import PapermillExecutionError

    raised = execution.outcome().raised
    try:
        notebook = json.loads(execution.executed.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # a full disk leaves half a copy, or none
        raised = raised or error
        execution.executed.unlink(missing_ok=True)
        return replace(run, state="failed", error=f"{type(raised).__name__}: {raised}".strip())
    notebook["metadata"]["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    write_json(execution.executed, notebook)
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
