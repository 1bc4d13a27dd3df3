"""Panels on what goes in: aliasing, local clouds, the contrast of one batch, phrases looked for in a map."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import torch
from jaxtyping import Float

from eailkit import plots
from eailkit.losses import info_nce
from eailkit.preprocess.imu import resample
from eailkit.recording import GRAVITY_MPS2, ImuStream
from eailkit.widgets.panel import Panel


@dataclass(frozen=True)
class ToneState:
    """A pure vibration of the head, Hz, and whether the low-pass stands before the slower clock."""

    tone_hz: float = 350.0
    filtered: bool = False


def tone_view(state: ToneState) -> go.Figure:
    """What 400 samples a second make of a vibration that 800 saw: itself, another one (its alias), or nothing."""
    t = np.arange(0, 1, 1 / 800)
    acc = np.zeros((len(t), 3))
    acc[:, 2] = GRAVITY_MPS2 + np.sin(2 * np.pi * state.tone_hz * t)
    acc[:, 0] = 1e-3 * np.sin(t)  # a real sensor's axes are never identical
    gyro = 1e-3 * np.stack([np.sin(3 * t), np.cos(5 * t), np.sin(7 * t)], axis=1)
    imu = ImuStream(t, acc, gyro, frame="head", source="a pure tone")
    slow = resample(imu, 400.0) if state.filtered else None
    after = (slow.t_s, slow.acc_mps2[:, 2]) if slow is not None else (t[::2], acc[::2, 2])
    frequency, power = plots.spectrum(after[1], 400.0, seconds=1.0)
    if after[1][100:-100].std() < 0.1:
        seen = "nothing is left of it"
    else:
        seen = f"400 Hz shows {frequency[power.argmax()]:.0f} Hz"
    how = "filtered, then every second sample" if state.filtered else "every second sample, no filter"
    show = lambda pair: (pair[0][(pair[0] > 0.4) & (pair[0] < 0.46)] - 0.4, pair[1][(pair[0] > 0.4) & (pair[0] < 0.46)])  # noqa: E731
    title = f"{state.tone_hz:.0f} Hz in: {seen}"
    return plots.tone_figure(show((t, acc[:, 2])), show(after), ("800 Hz", f"400 Hz: {how}"), title=title)


def tone_panel() -> Panel:
    """Play with aliasing."""
    presets = {
        "60 Hz survives either way": ToneState(60.0, False),
        "350 Hz turns into 50 Hz": ToneState(350.0, False),
        "the filter leaves no ghost": ToneState(350.0, True),
    }
    return Panel(tone_view, ToneState(), {"tone_hz": (10.0, 390.0, 5.0), "filtered": None}, presets)


@dataclass(frozen=True)
class CellState:
    """One cell of one room's square."""

    room: str
    row: int = 10
    column: int = 10


def cell_panel(rooms: Mapping[str, Any]) -> Panel:
    """Walk over the 400 cells of `Prepared.rooms` and see what the point encoder gets."""

    def view(state: CellState) -> go.Figure:
        room = rooms[state.room]
        return plots.cell_figure(room.cloud, room.grid, room.points, room.valid, state.row * 20 + state.column)

    name = next(iter(rooms))
    valid, height = np.asarray(rooms[name].valid), np.asarray(rooms[name].points)[..., 2]
    worktop = (valid & (abs(height - 0.9) < 0.1)).sum(1)
    full, low = divmod(int(worktop.argmax()), 20), divmod(int((height * valid).sum(1).argmin()), 20)
    presets = {"a worktop is an edge at 0.9 m": CellState(name, *full), "free floor is flat": CellState(name, *low)}
    return Panel(view, CellState(name, *full), {"room": list(rooms), "row": (0, 19, 1), "column": (0, 19, 1)}, presets)


@dataclass(frozen=True)
class ContrastState:
    """The logit scale k that multiplies cosines, and whether the pairs are the true ones."""

    logit_scale: float = 14.3
    true_pairs: bool = True


def contrast_panel(motion: Float[np.ndarray, "n d"], place: Float[np.ndarray, "n d"]) -> Panel:
    """Eq. 1's motion-place term on one batch: the matrix behind the loss, at any temperature."""
    x, y = torch.from_numpy(np.array(motion, np.float32)), torch.from_numpy(np.array(place, np.float32))
    wrong = torch.roll(torch.arange(len(y)), 1)

    def view(state: ContrastState) -> go.Figure:
        other = y if state.true_pairs else y[wrong]
        loss = float(info_nce(x, other, state.logit_scale))
        rows = (state.logit_scale * x @ other.T).softmax(dim=1).numpy()
        title = f"k = {state.logit_scale:g}: loss {loss:.2f} nats, knowing nothing {np.log(len(x)):.2f}"
        figure = plots.similarity_figure(
            rows, x="place", y="second of motion", value="softmax over places", title=title
        )
        return figure

    presets = {
        "k = 1: too soft to say anything": ContrastState(1.0, True),
        "1/0.07: where CLIP begins": ContrastState(14.3, True),
        "100: sure of itself, right or wrong": ContrastState(100.0, True),
        "wrong pairs cost more than ignorance": ContrastState(14.3, False),
    }
    return Panel(view, ContrastState(), {"logit_scale": (1.0, 100.0, 0.1), "true_pairs": None}, presets)


@dataclass(frozen=True)
class QueryState:
    """A phrase, and the room in which it is looked for."""

    text: str
    room: str


def query_panel(
    rooms: Mapping[str, Any],
    places: Mapping[str, Float[np.ndarray, "cells d"]],
    encode_texts: Callable[[list[str]], np.ndarray],
    phrases: Sequence[str],
) -> Panel:
    """Where in a room a phrase belongs: cosine of its text features with every cell's F^P, blank where empty."""

    def view(state: QueryState) -> go.Figure:
        room = rooms[state.room]
        text = np.asarray(encode_texts([state.text]))[0]
        heat = np.where(room.empty, np.nan, np.asarray(places[state.room], np.float32) @ text)
        return plots.kitchen_figure(
            room.cloud, room.grid, heatmap=heat, value="cosine", title=f"“{state.text}” in {state.room}"
        )

    name = next(iter(rooms))
    presets = {phrase: QueryState(phrase, name) for phrase in phrases}
    return Panel(view, QueryState(phrases[0], name), {"room": list(rooms), "text": None}, presets)
