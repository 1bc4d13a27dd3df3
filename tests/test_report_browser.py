"""The report in headless Chromium: every figure drawn, no failed or outside request, no console error.

Set EAILKIT_REPORT to the folder of a course run to hold that report to the same, beside the fixtures'.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from eailkit.course.html import cells_html, figure_html, markdown_html, math_html

playwright = pytest.importorskip("playwright.sync_api", reason="playwright isn't installed: pip install -e .[dev]")

PLOTLY = "application/vnd.plotly.v1+json"


def open_page(browser, path: Path, **options) -> tuple[object, list[str]]:
    """Open a page of a report, wait until its script is done, and return it with everything that went wrong."""
    page = browser.new_page(**options)
    wrong: list[str] = []

    def request(asked) -> None:
        if not asked.url.startswith(("file:", "data:", "blob:")):
            wrong.append(f"asked the network for {asked.url}")

    page.on("request", request)
    page.on("requestfailed", lambda asked: wrong.append(f"request failed: {asked.url}"))
    page.on("pageerror", lambda error: wrong.append(f"script error: {error}"))
    page.on("console", lambda said: wrong.append(f"console: {said.text}") if said.type == "error" else None)
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready]", state="attached", timeout=120_000)
    return page, wrong


def is_drawn(box) -> bool:
    """The box holds a plotly figure with something in it: traces, a WebGL scene, or a heatmap's picture."""
    return box.evaluate(
        """box => box.dataset.drawn === "yes" && !!box.querySelector(".main-svg")
        && !box.querySelector(".no-webgl")
        && (box._fullData.length === 0 || !!box.querySelector(
            ".trace, .hm image, .im image, .gl-container canvas, .barlayer .point, .scatterlayer path, "
            + ".contour, .table"))"""
    )


def figures_of(executed: Path) -> int:
    """Plotly figures among the outputs of an executed notebook, those shown by widgets left out."""
    notebook = json.loads(executed.read_text(encoding="utf-8"))
    return sum(PLOTLY in output.get("data", {}) for cell in notebook["cells"] for output in cell.get("outputs", []))


def check_report(browser, folder: Path) -> int:
    """Open every page of a report; returns how many figures were drawn."""
    drawn = 0
    for page_path in sorted(folder.glob("*.html")):
        page, wrong = open_page(browser, page_path, viewport={"width": 1100, "height": 900})
        boxes = page.query_selector_all(".plotly-box")
        blank = [k for k, box in enumerate(boxes) if not is_drawn(box)]
        assert not wrong, f"{page_path.name}: {wrong[:5]}"
        assert not blank, f"{page_path.name}: figures {blank} of {len(boxes)} are blank"
        executed = folder / "executed" / f"{page_path.stem}.ipynb"
        if executed.exists():
            assert len(boxes) >= figures_of(executed), f"{page_path.name} lost a figure"
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{page_path.name} too wide"
        drawn += len(boxes)
        page.close()
    return drawn


def test_every_figure_of_the_report_is_drawn_offline(browser, fixture_course):
    run, _ = fixture_course
    assert check_report(browser, run.folder) == 5  # lines, heatmap, 3-D, FigureWidget, bars in an Output widget


def test_the_report_of_a_course_run(browser):
    named = os.environ.get("EAILKIT_REPORT")
    if not named:
        pytest.skip("EAILKIT_REPORT names no report of a course run")
    folder = Path(named).resolve()
    assert (folder / "index.html").exists()
    assert check_report(browser, folder) >= 1


def test_a_failed_notebook_shows_its_traceback_and_hides_no_other(browser, fixture_course):
    run, _ = fixture_course
    page, _ = open_page(browser, run.folder / "index.html")
    rows = page.query_selector_all("table.course tbody tr")
    assert [row.get_attribute("class") for row in rows] == [notebook.state for notebook in run.notebooks]
    assert "IndexError: list index out of range" in rows[1].inner_text()
    page.click("text=Fails")
    assert page.title() == "Fails"
    trace = page.inner_text(".cell .traceback")
    assert "deeper(cells)" in trace and "IndexError" in trace
    assert "list index out of range" in page.inner_text(".error-box")
    page.click("text=Lacks a parameter")
    page.click("text=A widget whose callback raises")
    assert "no heatmap for second 3" in page.inner_text(".widget .traceback")
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_in_both_colour_schemes(browser, fixture_course, scheme):
    run, _ = fixture_course
    page, _ = open_page(browser, run.folder / "00_figures.html", color_scheme=scheme)
    ink, paper, plot = page.evaluate(
        """() => [getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor,
        getComputedStyle(document.querySelector(".plotly-box .xtick text")).fill]"""
    )
    assert contrast(ink, paper) > 7 and contrast(plot, paper) > 7
    page.close()


def test_narrow_screens_and_folding(browser, fixture_course):
    run, _ = fixture_course
    page, wrong = open_page(browser, run.folder / "00_figures.html", viewport={"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390 and not wrong
    assert page.locator("details.input[open]").count() > 3
    page.click("#fold")
    assert page.locator("details.input[open]").count() == 0
    page.close()


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two CSS colours as WCAG defines it."""

    def luminance(colour: str) -> float:
        channels = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_pages_name_no_address_outside(fixture_course):
    run, _ = fixture_course
    for path in [*run.folder.glob("*.html"), run.folder / "assets" / "report.css", run.folder / "assets" / "report.js"]:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/1998/Math/MathML", "")
        assert not re.search(r"(src|href)=.?(https?:)?//|url\(|@import|require", text), path.name


def test_formulas_become_mathml():
    html = markdown_html("Inline $a_i^2$ and\n\n$$\\frac{1}{n} \\sum_i x_i$$\n\n\\begin{equation}E = m\\end{equation}")
    assert html.count("<math") == 3 and "mfrac" in html and "msubsup" in html and "$" not in html
    assert 'class="math-source"' in math_html(r"\frac{1}{", "inline"), "a broken formula shows its source"
    assert "<math" not in markdown_html("a price of \\$3 and `$x$`")


def test_figure_json_survives_markup_gaps_and_infinities():
    figure = {"data": [{"y": [1.0, float("nan"), float("inf")], "name": "</script><b>"}], "layout": {"height": 300}}
    html = figure_html(figure)
    assert html.count("</script>") == 1 and "height:300px" in html
    text = html.split('application/json">')[1].rsplit("</script>", 1)[0]
    trace = json.loads(text)["data"][0]
    assert trace == {"y": [1.0, None, None], "name": "</script><b>"}


def test_outputs_that_need_scripts_fall_back_and_streams_settle():
    data = {"text/html": "<script src='x'></script>", "text/plain": "Figure()"}
    bar = {"output_type": "stream", "name": "stderr", "text": ["\r 10 %", "\r100 %\n"]}
    outputs = [{"output_type": "display_data", "data": data, "metadata": {}}, bar]
    cell = {"cell_type": "code", "source": ["f()"], "metadata": {}, "outputs": outputs}
    html = cells_html({"cells": [cell], "metadata": {}})
    assert "<script" not in html and "Figure()" in html and "100 %" in html and "10 %<" not in html.replace("100 %", "")


@pytest.mark.parametrize("harm", ["outside request", "no plotly", "console error"])
def test_the_check_itself_notices(browser, fixture_course, tmp_path, harm):
    run, _ = fixture_course
    source = (run.folder / "00_figures.html").read_text(encoding="utf-8")
    image = '<img src="https://figures.invalid/a.png"></body>'
    harmed = {
        "outside request": source.replace("</body>", image),
        "no plotly": source.replace("plotly.min.js", "absent.js"),
        "console error": source.replace("</body>", "<script>console.error('oh')</script></body>"),
    }[harm]
    assert harmed != source
    (tmp_path / "assets").symlink_to(run.folder / "assets")
    (tmp_path / "00_figures.html").write_text(harmed.replace('"use strict"', ""), encoding="utf-8")
    with pytest.raises((AssertionError, playwright.Error)):
        check_report(browser, tmp_path)


def test_widgets_are_shown_as_they_stood():
    def model(name: str, **state) -> dict:
        return {"model_name": name, "state": state}

    states = {
        "bar": model("HBoxModel", children=["IPY_MODEL_text", "IPY_MODEL_progress"], layout="IPY_MODEL_seen"),
        "text": model("HTMLModel", value="training"),
        "progress": model("FloatProgressModel", value=3.0, max=4.0),
        "gone": model("HBoxModel", children=["IPY_MODEL_text"], layout="IPY_MODEL_hidden"),
        "seen": model("LayoutModel"),
        "hidden": model("LayoutModel", visibility="hidden"),
        "pick": model("DropdownModel", description="split", _options_labels=["seen", "unseen"], index=1),
        "switch": model("CheckboxModel", description="temporal", value=True),
        "panel": model("VBoxModel", children=["IPY_MODEL_pick", "IPY_MODEL_switch"]),
    }
    view, kept = "application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json"

    def shown(name: str) -> str:
        output = {"output_type": "display_data", "data": {view: {"model_id": name}}, "metadata": {}}
        cells = [{"cell_type": "code", "source": "show()", "metadata": {}, "outputs": [output]}]
        return cells_html({"cells": cells, "metadata": {"widgets": {kept: {"state": states}}}})

    assert '<progress max="4.0" value="3.0">' in shown("bar") and "JupyterLab" not in shown("bar")
    assert "training" not in shown("gone")
    assert "<b>split</b> unseen" in shown("panel") and "<b>temporal</b> on" in shown("panel")
    assert "Live in JupyterLab" in shown("panel")
