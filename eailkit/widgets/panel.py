"""`Panel`: a frozen state, a pure view from state to figure, and ipywidgets on top.

Presets make one claim each. An exception in a view shows in the panel and is raised again: nothing that goes wrong may
look like a result. What the panels of the course show is in `inputs` and `results`.
"""

from __future__ import annotations

import html
import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import ipywidgets
import plotly.graph_objects as go

PLOTLY = "application/vnd.plotly.v1+json"
PLAY_MS = 500  # between moments: a figure has to be drawn and sent in that time


class Panel:
    """A view with controls. Show it with `panel.widget`; drive it with `panel.set(state)` or the controls' `.value`.

    Args:
        view: pure function from a state to a figure.
        state: a frozen dataclass instance.
        controls: field -> choices (a list), a range (low, high, step), or None for what the value's type suggests.
        presets: name -> state; a button each.
        play: the range that a play button moves on, one step a moment.
        words: pure function from a state to a line a fact, shown under the figure.
        asked: label -> pure function from a state to a text; a button each, which shows it or hides it again.

    Attributes:
        state: the state that is shown.
        figure: the figure that is shown; None where the view raised.
        controls: field -> ipywidget.
        told, answer: HTML widgets of the words and of what was asked for.
    """

    def __init__(
        self,
        view: Callable[[Any], go.Figure],
        state: Any,
        controls: Mapping[str, Sequence | None],
        presets: Mapping[str, Any] | None = None,
        *,
        play: str = "",
        words: Callable[[Any], Sequence[str]] | None = None,
        asked: Mapping[str, Callable[[Any], str]] | None = None,
    ):
        unknown = set(controls) - {f.name for f in fields(state)}
        if unknown:
            raise ValueError(f"Panel: found controls {sorted(unknown)} that {type(state).__name__} has no field for.")
        self.view, self.state, self.figure, self._busy = view, state, None, False
        self.controls = {name: _control(name, spec, getattr(state, name)) for name, spec in controls.items()}
        self.presets = dict(presets or {})
        self.output = ipywidgets.Output()
        for control in self.controls.values():
            control.observe(self._changed, names="value")
        buttons = [ipywidgets.Button(description=name, layout={"width": "auto"}) for name in self.presets]
        for button in buttons:
            button.on_click(lambda clicked: self.set(self.presets[clicked.description]))
        self.words, self.asked, self._open = words, dict(asked or {}), ""
        self.told, self.answer = ipywidgets.HTML(), ipywidgets.HTML()
        wrap = ipywidgets.Layout(flex_flow="row wrap")
        self.player = _player(self.controls[play]) if play else None
        moving = [*self.controls.values()] + ([self.player] if play else [])
        rows = [ipywidgets.HBox(moving, layout=wrap), self.output]
        if words is not None:
            rows.append(self.told)
        if self.asked:
            rows += [ipywidgets.HBox([self._asking(label) for label in self.asked], layout=wrap), self.answer]
        self.widget = ipywidgets.VBox([ipywidgets.HBox(buttons, layout=wrap), *rows] if buttons else rows)
        self._draw()

    def ask(self, label: str) -> None:
        """Show what stands behind a button of `asked`, or hide it where it is shown."""
        self._open = "" if self._open == label else label
        self._tell()

    def _asking(self, label: str) -> ipywidgets.Button:
        button = ipywidgets.Button(description=label, layout={"width": "auto"})
        button.on_click(lambda clicked: self.ask(clicked.description))
        return button

    def _tell(self) -> None:
        if self.words is not None:
            self.told.value = "<br>".join(map(html.escape, self.words(self.state)))
        text = self.asked[self._open](self.state) if self._open else ""
        self.answer.value = f'<pre style="white-space: pre-wrap">{html.escape(text)}</pre>' if text else ""

    def set(self, state: Any) -> go.Figure:
        """Show a state: controls, figure, everything. Returns the figure."""
        self._busy = True
        try:
            for name, control in self.controls.items():
                control.value = getattr(state, name)
        finally:
            self._busy = False
        self.state = state
        return self._draw()

    def to_json(self) -> str:
        """The state as JSON, to keep or to send."""
        return json.dumps(asdict(self.state))

    def from_json(self, text: str) -> go.Figure:
        """Show a state that `to_json` wrote."""
        return self.set(type(self.state)(**json.loads(text)))

    def _changed(self, change: dict) -> None:
        if not self._busy:
            self.state = replace(self.state, **{name: control.value for name, control in self.controls.items()})
            self._draw()

    def _draw(self) -> go.Figure:
        try:
            self.figure = None
            figure = self.view(self.state)
            self._tell()
            self.figure = figure
        except Exception as error:
            self.told.value = self.answer.value = ""
            trace = traceback.format_exc().splitlines()
            self.output.outputs = (
                {"output_type": "error", "ename": type(error).__name__, "evalue": str(error), "traceback": trace},
            )
            raise
        data = {PLOTLY: json.loads(self.figure.to_json()), "text/plain": self.figure.layout.title.text or "figure"}
        self.output.outputs = ({"output_type": "display_data", "data": data, "metadata": {}},)
        return self.figure


def _player(slider: ipywidgets.IntSlider) -> ipywidgets.Play:
    """A play button over a slider; linked by the kernel, which has to draw each moment anyway."""
    low, high, step = slider.min, slider.max, slider.step
    player = ipywidgets.Play(value=slider.value, min=low, max=high, step=step, interval=PLAY_MS)
    ipywidgets.link((player, "value"), (slider, "value"))
    return player


def _control(name: str, spec: Sequence | None, value: Any) -> ipywidgets.Widget:
    label = {"description": name.replace("_", " "), "style": {"description_width": "initial"}}
    if isinstance(value, bool):
        return ipywidgets.Checkbox(value=value, indent=False, **label)
    if isinstance(spec, tuple) and len(spec) == 3 and isinstance(value, (int, float)):
        kind = ipywidgets.IntSlider if isinstance(value, int) else ipywidgets.FloatSlider
        return kind(value=value, min=spec[0], max=spec[1], step=spec[2], continuous_update=False, **label)
    if spec is not None:
        return ipywidgets.Dropdown(options=list(spec), value=value, **label)
    return ipywidgets.Text(value=str(value), continuous_update=False, **label)
