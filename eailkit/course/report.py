"""The report of a course run: `index.html` and one page a notebook, for any browser, offline.

Pages share one stylesheet, one script and one plotly.min.js in `assets/`, ask nothing outside their folder and
follow the reader's light or dark setting. How a notebook becomes HTML is in `eailkit.course.html`.
"""

from __future__ import annotations

import html
import json
import re
from importlib import resources
from pathlib import Path

from nbconvert.filters.ansi import strip_ansi

from eailkit import __version__
from eailkit.course.html import cells_html, highlight_css
from eailkit.course.state import CourseRun, NotebookRun, clock
from eailkit.files import write_text

STATE_SIGN = {"ok": "✓", "failed": "✗", "interrupted": "‖", "waiting": "…"}


def write_report(course: CourseRun) -> Path:
    """Bring `index.html`, the notebooks' pages and `assets/` up to date; pages that are newer than their notebook stay.

    A notebook that hasn't run gets a page that says so, so that no link leads nowhere.

    Returns:
        The path of `index.html`.
    """
    _write_assets(course.folder / "assets")
    for k, run in enumerate(course.notebooks):
        executed = course.folder / "executed" / f"{run.name}.ipynb"
        page = course.folder / f"{run.name}.html"
        if run.state == "waiting" or not executed.exists():
            write_text(page, _notebook_page(course, k, None))
        elif not page.exists() or page.stat().st_mtime_ns < executed.stat().st_mtime_ns:
            write_text(page, _notebook_page(course, k, executed))
    index = course.folder / "index.html"
    write_text(index, _index_page(course))
    return index


def title_and_goal(path: Path) -> tuple[str, str]:
    """First heading of a notebook and the text behind "Goal" in its first two markdown cells, both as plain text."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown"][:2]
    text = "\n\n".join(cells)
    heading = re.search(r"^#\s+(.+)$", text, re.MULTILINE)
    goal = re.search(r"^[\s>*_|-]*goal\b[\s:.*_|]*(.+?)(?:\n\s*\n|\n\s*[-*>|]|\Z)", text, re.MULTILINE | re.I | re.S)
    plain = re.sub(r"[*_`$|]+", "", " ".join(goal.group(1).split())).strip() if goal else ""
    return (heading.group(1).strip() if heading else path.stem), plain


def _write_assets(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    plotly = folder / "plotly.min.js"
    if not plotly.exists():
        from plotly.offline import get_plotlyjs

        write_text(plotly, get_plotlyjs())
    own = resources.files("eailkit.course")
    css = own.joinpath("report.css").read_text(encoding="utf-8")
    dark = f"@media (prefers-color-scheme: dark) {{\n{highlight_css(dark=True)}\n}}"
    write_text(folder / "report.css", "\n".join([highlight_css(dark=False), dark, css]))
    write_text(folder / "report.js", own.joinpath("report.js").read_text(encoding="utf-8"))


def _notebook_page(course: CourseRun, k: int, executed: Path | None) -> str:
    run = course.notebooks[k]
    body = f"<h1>{html.escape(run.title)}</h1><p>This notebook hasn't run.</p>"
    if executed:
        body = cells_html(json.loads(executed.read_text(encoding="utf-8")))
    before = _link(course.notebooks[k - 1], "‹ ") if k else "<span></span>"
    after = _link(course.notebooks[k + 1], "", " ›") if k + 1 < len(course.notebooks) else "<span></span>"
    steps = f'<nav class="steps">{before}<a href="index.html">all notebooks</a>{after}</nav>'
    profile = html.escape(course.profile)
    facts = f"{_badge(run)} {clock(run.seconds)}, at most {run.peak_memory_mb:.0f} MB, profile {profile}"
    fold = '<button type="button" id="fold" hidden>fold all code</button>' if "<details" in body else ""
    return _page(
        run.title,
        f'{steps}<p class="facts">{facts}{fold}</p>{_error_box(run)}<main>{body}</main>{steps}',
        figures="plotly-box" in body,
    )


def _index_page(course: CourseRun) -> str:
    longest = max((run.seconds for run in course.notebooks), default=0) or 1
    rows = []
    for run in course.notebooks:
        first = html.escape(strip_ansi(run.error.splitlines()[0])) if run.error else ""
        bar = f'<i style="width:{100 * run.seconds / longest:.1f}%"></i>'
        rows.append(
            f'<tr class="{run.state}"><td>{_link(run)}</td>'
            f"<td>{html.escape(run.goal)}{f'<p class=error>{first}</p>' if first else ''}</td>"
            f"<td>{_badge(run)}</td>"
            f'<td class="number"><span>{clock(run.seconds)}</span>{bar}</td>'
            f'<td class="number">{run.peak_memory_mb:.0f} MB</td></tr>'
        )
    peak = max((run.peak_memory_mb for run in course.notebooks), default=0)
    done = sum(run.state == "ok" for run in course.notebooks)
    options = ", ".join(f"{name} = {value!r}" for name, value in course.parameters.items())
    body = (
        "<header><h1>Inertial localization in a 3D map</h1>"
        f"<p>{done} of {len(course.notebooks)} notebooks ran without an error, in {clock(course.seconds)}. "
        f"Started {html.escape(course.started.replace('T', ' '))}, profile <code>{html.escape(course.profile)}</code>"
        f"{', ' + html.escape(options) if options else ''}.</p></header>"
        '<main><div class="scroll"><table class="course"><thead><tr><th>notebook</th><th>goal</th><th>state</th>'
        f'<th class="number">time</th><th class="number">peak memory</th></tr></thead><tbody>{"".join(rows)}</tbody>'
        f'<tfoot><tr><td colspan="3">together</td><td class="number">{clock(course.seconds)}</td>'
        f'<td class="number">{peak:.0f} MB</td></tr></tfoot></table></div>'
        '<p class="note">Figures are live: drag, zoom, hover. Widgets move in JupyterLab: <code>make lab</code>.</p>'
        f'<details class="versions"><summary>versions and machine</summary><pre>{html.escape(course.versions)}</pre>'
        "</details></main>"
    )
    return _page("eailkit course", body, figures=False)


def _error_box(run: NotebookRun) -> str:
    if not run.error:
        return ""
    text = html.escape(strip_ansi(run.error))
    return (
        f'<aside class="error-box"><h2>{html.escape(run.state)}</h2><pre>{text}</pre>'
        "<p>The traceback stands below, under the cell that raised it. Cells after it didn't run.</p></aside>"
    )


def _badge(run: NotebookRun) -> str:
    return f'<span class="badge {run.state}">{STATE_SIGN[run.state]} {run.state}</span>'


def _link(run: NotebookRun, before: str = "", after: str = "") -> str:
    return f'<a href="{html.escape(run.name)}.html">{before}{html.escape(run.title)}{after}</a>'


def _page(title: str, body: str, figures: bool) -> str:
    plotly = '<script src="assets/plotly.min.js"></script>\n' if figures else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{html.escape(title)}</title>\n"
        f'<link rel="stylesheet" href="assets/report.css">\n</head>\n<body>\n{body}\n'
        f"<footer>eailkit {__version__}</footer>\n{plotly}"
        '<script src="assets/report.js"></script>\n</body>\n</html>\n'
    )
