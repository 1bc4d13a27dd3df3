"""Panels: a control that moves changes the figure, presets are states, an exception is never swallowed."""

import json
from dataclasses import asdict, dataclass, fields

import numpy as np
import plotly.graph_objects as go
import pytest
from fake_dataset import write_dataset

from eailkit import widgets
from eailkit.course.html import WIDGET_STATE
from eailkit.course.run import hidden_errors
from eailkit.eail.prepared import prepare
from eailkit.eail.tracker import Observations, TrackerConfig

RNG = np.random.default_rng(0)
PANELS = ("tone", "cell", "contrast", "query", "moment", "action", "heading", "tracker", "dead reckoning")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("widgets")
    return prepare(write_dataset(root / "data"), root / "cache", points_per_cell=64, workers=1, progress=False)


def _maps(prepared, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {t.name: rng.random((len(t), 400)).astype(np.float32) for t in prepared.takes}


def _unit(n: int, d: int = 8) -> np.ndarray:
    x = RNG.normal(size=(n, d)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def _texts(texts: list[str]) -> np.ndarray:
    return np.stack([np.eye(8, dtype=np.float32)[len(t) % 8] for t in texts])


def _panels(prepared) -> dict[str, tuple[widgets.Panel, dict]]:
    """Every panel with a value for each of its controls that differs from the first."""
    take = prepared.takes[0]
    room = prepared.rooms[take.room]
    places = {name: _unit(400) for name in prepared.rooms}
    motion = _unit(12)
    maps = {"stage 1": _maps(prepared), "stage 2": _maps(prepared, 1)}
    attention = {name: m / m.sum(1, keepdims=True) for name, m in _maps(prepared).items()}
    joint = RNG.dirichlet(np.ones(12 * 400), len(take)).reshape(-1, 12, 400).astype(np.float32)
    seen = Observations(joint, RNG.normal(0, 0.3, (len(take), 2)), np.full(len(take), 0.1))
    evidence = {"one second": joint.sum(2), "the take": joint.sum(2)[::-1]}
    heading, track = widgets.heading_panel(room, {"stage 2": joint}, evidence, take), widgets.tracker_panel(
        room, seen, take, TrackerConfig(headings=12)
    )  # fmt: skip
    turned = {"heading_deg": (heading.state.heading_deg + 90) % 360, "second": 3}
    believed = {"map_power": 0.9, "drift_rad": 0.1, "velocity_scale": 3.0, "smoothed": False, "second": 2}
    steps = {"the net": np.cumsum(RNG.normal(0, 0.3, (len(take), 2)), axis=0), "the truth": np.array(take.position)}
    reckoned = widgets.dead_reckoning_panel(room, steps, take, seconds=9)
    astray = {"velocities": "the truth", "heading_deg": 30, "drift_deg_min": 5.0, "speed": 0.8, "seconds": 7}
    return {
        "dead reckoning": (reckoned, astray),
        "heading": (heading, turned),
        "tracker": (track, believed),
        "tone": (widgets.tone_panel(), {"tone_hz": 60.0, "filtered": True}),
        "cell": (widgets.cell_panel(prepared.rooms), {"row": 13, "column": 17}),
        "contrast": (widgets.contrast_panel(motion, motion), {"logit_scale": 50.0, "true_pairs": False}),
        "query": (widgets.query_panel(prepared.rooms, places, _texts, ["a", "ab"]), {"text": "abc"}),
        "moment": (
            widgets.moment_panel(prepared, maps),
            {"take": prepared.takes[1].name, "method": "stage 2", "second": 5},
        ),
        "action": (widgets.action_place_panel(prepared, attention), {"action": "wash"}),
    }


@pytest.fixture(scope="module")
def panels(prepared):
    return _panels(prepared)


def _shown(panel: widgets.Panel) -> dict:
    (output,) = panel.output.outputs
    return output


@pytest.mark.parametrize("name", PANELS)
def test_each_control_changes_the_figure_that_is_shown(panels, name):
    panel, changes = panels[name]
    assert set(changes) <= set(panel.controls)
    for control, value in changes.items():
        before, first = panel.figure.to_json(), panel.state
        assert panel.controls[control].value != value, f"{name}: {control} starts at {value}, so nothing would change"
        panel.controls[control].value = value
        assert getattr(panel.state, control) == value
        assert panel.figure.to_json() != before, f"{name}: {control} changes nothing"
        shown = _shown(panel)
        assert shown["output_type"] == "display_data"
        assert shown["data"]["application/vnd.plotly.v1+json"] == json.loads(panel.figure.to_json())
        panel.set(first)


@pytest.mark.parametrize("name", PANELS)
def test_presets_are_states_and_states_survive_json(panels, name):
    panel, _ = panels[name]
    assert panel.presets
    buttons = panel.widget.children[0].children
    assert [b.description for b in buttons] == list(panel.presets)
    for button, state in zip(buttons, panel.presets.values(), strict=True):
        button.click()
        assert panel.state == state
        assert {n: c.value for n, c in panel.controls.items()}.items() <= asdict(state).items()
    text, figure = panel.to_json(), panel.figure.to_json()
    panel.set(next(iter(panel.presets.values())))
    panel.from_json(text)
    assert panel.figure.to_json() == figure
    assert all(isinstance(getattr(panel.state, f.name), (str, bool, int, float)) for f in fields(panel.state))


def test_the_view_is_pure_the_same_state_gives_the_same_figure(panels):
    for panel, _ in panels.values():
        assert panel.view(panel.state).to_json() == panel.view(panel.state).to_json()


@dataclass(frozen=True)
class _Fragile:
    second: int = 0


def _fails_at_three(state: _Fragile) -> go.Figure:
    if state.second == 3:
        raise ValueError("no heatmap for second 3")
    return go.Figure(go.Bar(y=[state.second]))


def test_an_exception_of_a_view_is_raised_shown_and_found_by_the_course():
    panel = widgets.Panel(_fails_at_three, _Fragile(), {"second": (0, 9, 1)})
    with pytest.raises(ValueError, match="second 3"):
        panel.controls["second"].value = 3
    assert panel.figure is None and _shown(panel)["output_type"] == "error"
    state = {"1": {"model_name": "OutputModel", "state": {"outputs": list(panel.output.outputs)}}}
    notebook = {"cells": [], "metadata": {"widgets": {WIDGET_STATE: {"state": state}}}}
    assert hidden_errors(notebook) == ["ValueError: no heatmap for second 3"]
    panel.controls["second"].value = 4  # and it recovers
    assert panel.figure.data[0].y == (4,) and _shown(panel)["output_type"] == "display_data"


def test_a_control_for_a_field_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="minute"):
        widgets.Panel(_fails_at_three, _Fragile(), {"minute": (0, 9, 1)})


@pytest.mark.parametrize(
    ("tone", "filtered", "said"), [(60, False, "60 Hz"), (350, False, "50 Hz"), (350, True, "nothing")]
)
def test_aliasing_says_what_sampling_theory_says(tone, filtered, said):
    title = widgets.tone_view(widgets.ToneState(float(tone), filtered)).layout.title.text
    assert said in title.split(":")[1]


def test_a_sum_of_true_steps_errs_by_what_it_was_misled_by(prepared):
    take = prepared.takes[0]
    panel = widgets.dead_reckoning_panel(
        prepared.rooms[take.room], {"true": np.array(take.position)}, take, seconds=len(take)
    )
    assert "0.00 m off" in panel.figure.layout.title.text and "100 % within 0.4 m" in panel.figure.layout.title.text
    state = panel.presets["speed 10 % short"]
    away = 0.1 * np.linalg.norm(take.position[state.seconds - 1] - take.position[0])
    assert f"{away:.2f} m off after {state.seconds} s" in panel.set(state).layout.title.text


def test_the_contrast_panel_shows_the_loss_of_the_pairs_it_is_given():
    motion = np.eye(8, dtype=np.float32)
    panel = widgets.contrast_panel(motion, motion)
    right = panel.view(widgets.ContrastState(100.0, True)).layout.title.text
    wrong = panel.view(widgets.ContrastState(100.0, False)).layout.title.text
    assert "loss 0.00" in right and "loss 100.00" in wrong


def test_a_query_is_brightest_where_the_place_is_like_the_text(prepared):
    places = {name: np.tile(np.eye(8, dtype=np.float32)[0], (400, 1)) for name in prepared.rooms}
    name = next(iter(prepared.rooms))
    cell = int(np.flatnonzero(~np.asarray(prepared.rooms[name].empty))[7])
    places[name][cell] = np.eye(8, dtype=np.float32)[3]
    panel = widgets.query_panel(prepared.rooms, places, _texts, ["abc"])
    heat = next(t for t in panel.figure.data if t.name == "cosine")
    assert np.nanargmax(np.asarray(heat.z).ravel()) == cell


def test_attention_over_an_action_is_the_mean_over_its_seconds(prepared):
    attention = {t.name: np.zeros((len(t), 400), np.float32) for t in prepared.takes}
    for rows in attention.values():
        rows[:, 100] = 1.0
    panel = widgets.action_place_panel(prepared, attention)
    looked, was = (t for t in panel.figure.data if t.type == "heatmap" and t.zmin is None and t.name != "map")
    room = prepared.rooms[panel.state.room]
    if not room.empty[100]:
        assert np.asarray(looked.z).ravel()[100] == pytest.approx(1.0)
    label = prepared.action_names.index(panel.state.action)
    cells = np.concatenate(
        [t.cell[(t.action == label) & (t.cell >= 0)] for t in prepared.takes if t.room == panel.state.room]
    )
    share = np.bincount(cells, minlength=400) / len(cells)
    drawn = np.nan_to_num(np.asarray(was.z, float).ravel())
    assert drawn == pytest.approx(np.where(room.empty, 0, share), abs=1e-6)
