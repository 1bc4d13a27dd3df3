"""An executed notebook as HTML that asks nothing of the network: markdown, math, code, outputs, figures, widgets.

Formulas become MathML here, code is coloured here, and plotly figures become JSON that the page's own script
draws. Widgets are shown as they stood at the end of the run. Pages and files are `eailkit.course.report`'s business.
"""

from __future__ import annotations

import base64
import html
import json
import math
import mimetypes
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert as latex_to_mathml
from nbconvert.filters.ansi import ansi2html
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

PLOTLY = "application/vnd.plotly.v1+json"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
HIDDEN_TAGS = {"papermill-error-cell-tag", "remove-cell", "injected-parameters"}
MARKUP = re.compile(r"<script\b", re.IGNORECASE)


def cells_html(notebook: Mapping[str, Any], images_from: Path | None = None) -> str:
    """All cells of a notebook as one piece of HTML.

    Args:
        notebook: the notebook as plain JSON (nbformat 4).
        images_from: folder that relative images in markdown are read from; they are embedded.
    """
    states = widget_states(notebook)
    parts = []
    for cell in notebook["cells"]:
        tags = set(cell.get("metadata", {}).get("tags", []))
        if tags & HIDDEN_TAGS:
            continue
        if cell["cell_type"] == "markdown":
            attachments = cell.get("attachments", {})
            text = markdown_html(_text(cell["source"]), images_from, attachments)
            parts.append(f'<section class="cell prose">{text}</section>')
        elif cell["cell_type"] == "code":
            parts.append(_code_html(cell, tags, states))
    return "\n".join(parts)


def markdown_html(text: str, images_from: Path | None = None, attachments: Mapping[str, Any] | None = None) -> str:
    """Markdown with formulas as MathML; a formula that can't be converted shows its source, marked `math-source`."""
    renderer = _Renderer(escape=False, anchor_link_text="#", attachments=dict(attachments or {}))
    renderer.images_from = images_from
    return str(MarkdownWithMath(renderer=renderer).render(text))


def math_html(latex: str, display: str) -> str:
    """One formula as MathML, `display` "inline" or "block"."""
    try:
        return latex_to_mathml(latex.strip(), display=display)
    except Exception as error:  # the converter raises many kinds; the page still shows the formula's source
        source = html.escape(latex.strip())
        return f'<code class="math-source" title="{html.escape(type(error).__name__)}">{source}</code>'


def figure_html(figure: Mapping[str, Any]) -> str:
    """One plotly figure {data, layout, frames?, config?} as a box and the JSON that the page's script draws in it."""
    wanted = {key: figure[key] for key in ("data", "layout", "frames", "config") if figure.get(key)}
    wanted.setdefault("data", [])
    height = (figure.get("layout") or {}).get("height") or 450
    try:
        text = json.dumps(wanted, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except ValueError:  # gaps in a line are NaN in Python and null in JSON
        text = json.dumps(_without_nan(wanted), separators=(",", ":"), ensure_ascii=False)
    text = text.replace("</", "<\\/").replace("<!--", "<\\!--")
    return (
        f'<div class="figure"><div class="plotly-box" style="height:{height:.0f}px"></div>'
        f'<script type="application/json">{text}</script></div>'
    )


def widget_states(notebook: Mapping[str, Any]) -> dict[str, Any]:
    """Widget models that the run left in the notebook: id -> {"model_name", "state", "buffers"?}."""
    return notebook.get("metadata", {}).get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})


def highlight_css(dark: bool) -> str:
    """Colours of code, for a light or a dark page."""
    return HtmlFormatter(style="github-dark" if dark else "friendly").get_style_defs(".code")


class _Renderer(IPythonRenderer):
    images_from: Path | None = None

    def block_math(self, body: str) -> str:
        """A formula in a paragraph of its own."""
        return f'<div class="math">{math_html(body, "block")}</div>'

    def inline_math(self, body: str) -> str:
        """A formula within a line."""
        return math_html(body, "inline")

    def latex_environment(self, name: str, body: str) -> str:
        """An environment such as equation, align or cases."""
        # equation is what a block is anyway; the others (align, cases) mean something to the converter
        plain = name.rstrip("*") in ("equation", "displaymath", "math")
        return self.block_math(body if plain else f"\\begin{{{name}}}{body}\\end{{{name}}}")

    def _src_to_base64(self, src: str) -> str | None:
        if self.images_from is None or re.match(r"[a-z][a-z0-9+.-]*:|//|#", src, re.IGNORECASE):
            return None
        path = self.images_from / src
        if not path.is_file():
            return None
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"

    def _embed_image_or_attachment(self, src: str) -> str:
        return self._src_to_base64(src) or super()._embed_image_or_attachment(src)


def _code_html(cell: Mapping[str, Any], tags: set[str], states: Mapping[str, Any]) -> str:
    source = _text(cell["source"]).rstrip()
    outputs = outputs_html(cell.get("outputs", []), states)
    if not source and not outputs:
        return ""
    failed = any(output.get("output_type") == "error" for output in cell.get("outputs", []))
    folded = bool(tags & {"hide-input", "hide_input"}) or cell.get("metadata", {}).get("jupyter", {}).get(
        "source_hidden"
    )
    code = highlight(source, PythonLexer(), HtmlFormatter(cssclass="code"))
    lines = source.count("\n") + 1
    label = "parameters" if "parameters" in tags else "code"
    return (
        f'<section class="cell{" failed" if failed else ""}">'
        f'<details class="input"{"" if folded else " open"}><summary>{label}, {lines} line{"s" * (lines > 1)}</summary>'
        f"{code}</details>{outputs}</section>"
    )


def outputs_html(outputs: Sequence[Mapping[str, Any]], states: Mapping[str, Any]) -> str:
    """Outputs of a cell or of an Output widget, adjoining pieces of one stream put together."""
    parts: list[str] = []
    streams: list[str] = []
    name = ""

    def flush() -> None:
        text = _settle("".join(streams))
        if text.strip():
            parts.append(f'<pre class="stream {name}">{ansi2html(text)}</pre>')
        streams.clear()

    for output in outputs:
        kind = output["output_type"]
        if kind == "stream":
            if output["name"] != name:
                flush()
            name = output["name"]
            streams.append(_text(output["text"]))
            continue
        flush()
        if kind == "error":
            trace = "\n".join(output.get("traceback") or [f"{output['ename']}: {output['evalue']}"])
            parts.append(f'<pre class="traceback">{ansi2html(trace)}</pre>')
        elif kind in ("display_data", "execute_result"):
            parts.append(_data_html(output.get("data", {}), states))
    flush()
    body = "".join(part for part in parts if part)
    return f'<div class="outputs">{body}</div>' if body else ""


def _data_html(data: Mapping[str, Any], states: Mapping[str, Any]) -> str:
    """The richest form of one output that needs no network."""
    if PLOTLY in data:
        return figure_html(data[PLOTLY])
    if WIDGET_VIEW in data:
        return _widgets_html(data[WIDGET_VIEW]["model_id"], states)
    markup = _text(data.get("text/html", ""))
    if markup and not MARKUP.search(markup):
        return f'<div class="html">{markup}</div>'
    if "image/svg+xml" in data:
        picture = base64.b64encode(_text(data["image/svg+xml"]).encode()).decode()
        return f'<img class="picture" alt="" src="data:image/svg+xml;base64,{picture}">'
    for kind in ("image/png", "image/jpeg", "image/gif"):
        if kind in data:
            return f'<img class="picture" alt="" src="data:{kind};base64,{_text(data[kind]).strip()}">'
    if "text/markdown" in data:
        return f'<div class="prose">{markdown_html(_text(data["text/markdown"]))}</div>'
    if "text/latex" in data:
        return f'<div class="prose">{markdown_html(_text(data["text/latex"]))}</div>'
    plain = _text(data.get("text/plain", ""))
    return f'<pre class="stream">{ansi2html(plain)}</pre>' if plain else ""


def _widgets_html(model_id: str, states: Mapping[str, Any]) -> str:
    body = _widget_html(model_id, states)
    if 'class="control"' not in body:  # a finished progress bar, say: nothing that could move
        return body
    return f'<div class="widget"><p class="note">Live in JupyterLab; here as the run left it.</p>{body}</div>'


def _widget_html(model_id: str, states: Mapping[str, Any]) -> str:
    """A widget with its children as it stood at the end: figures and outputs drawn, controls as text."""
    model = states.get(model_id)
    if model is None:
        return ""
    name, state = model["model_name"], model["state"]
    layout = states.get(str(state.get("layout")).removeprefix("IPY_MODEL_"), {}).get("state", {})
    if layout.get("display") == "none" or layout.get("visibility") == "hidden":
        return ""
    if "_widget_data" in state:
        return figure_html(_figure_of_widget(model))
    if name == "OutputModel":
        return outputs_html(state.get("outputs") or [], states)
    if state.get("children"):
        inside = "".join(_widget_html(child.removeprefix("IPY_MODEL_"), states) for child in state["children"])
        across = name in ("HBoxModel", "GridBoxModel")
        return f'<div class="{"across" if across else "down"}">{inside}</div>'
    if name in ("HTMLModel", "HTMLMathModel", "LabelModel"):
        text = state.get("value", "")
        return f'<div class="html">{html.escape(text) if name == "LabelModel" or MARKUP.search(text) else text}</div>'
    if name in ("FloatProgressModel", "IntProgressModel"):
        return f'<progress max="{state.get("max", 100)}" value="{state.get("value", 0)}"></progress>'
    label = state.get("description", "")
    value = _control_value(name, state)
    if not label and value == "":
        return ""
    return f'<span class="control"><b>{html.escape(str(label))}</b> {html.escape(value)}</span>'


def _control_value(name: str, state: Mapping[str, Any]) -> str:
    options = state.get("_options_labels")
    index = state.get("index")
    if options and isinstance(index, int):
        return str(options[index])
    if options and isinstance(index, (list, tuple)):
        return ", ".join(str(options[k]) for k in index)
    value = state.get("value")
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None or name in ("ButtonModel", "PlayModel") else str(value)


def _figure_of_widget(model: Mapping[str, Any]) -> dict[str, Any]:
    """data and layout of a FigureWidget, its binary arrays in the form that plotly.js reads."""
    state = json.loads(json.dumps({key: model["state"].get(key) for key in ("_widget_data", "_widget_layout")}))
    for buffer in model.get("buffers", []):
        path = buffer["path"]
        if path[0] not in state:
            continue
        holder = state
        for step in path[:-2]:
            holder = holder[step]
        array = holder[path[-2]]
        if isinstance(array, dict) and "dtype" in array:
            shape = ",".join(map(str, array.get("shape", [])))
            text = {"dtype": _PLOTLY_DTYPES.get(array["dtype"], array["dtype"]), "bdata": buffer["data"]}
            holder[path[-2]] = text | ({"shape": shape} if "," in shape else {})
        elif isinstance(array, dict) and path[-1] == "bdata":
            array["bdata"] = buffer["data"]
    return {"data": state["_widget_data"] or [], "layout": state["_widget_layout"] or {}}


_PLOTLY_DTYPES = {
    "int8": "i1",
    "uint8": "u1",
    "int16": "i2",
    "uint16": "u2",
    "int32": "i4",
    "uint32": "u4",
    "float32": "f4",
    "float64": "f8",
}


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _without_nan(inside) for key, inside in value.items()}
    return [_without_nan(inside) for inside in value] if isinstance(value, (list, tuple)) else value


def _settle(text: str) -> str:
    """What a terminal would show of text in which progress bars went back to the start of their line."""
    lines = [line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n")]
    return "\n".join(lines)


def _text(source: str | Sequence[str]) -> str:
    return source if isinstance(source, str) else "".join(source)
