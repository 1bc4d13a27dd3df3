"""Panels on SynthKitchen's rooms: draw one from a seed, and move a thing in it to see path, frame and map change.

Scans and frames here are small, so that a slider answers within a second; datasets use the full ones.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float, UInt8
from PIL import Image
from plotly.subplots import make_subplots

from eailkit.plots.rooms import cloud_trace, path_trace, plan_trace
from eailkit.plots.theme import CYCLE, FOUND, INK, TRUTH, metres, rgba, styled
from eailkit.preprocess.mapgrid import MapGrid
from eailkit.recording import PointMap
from eailkit.synthkitchen.camera import render_frames
from eailkit.synthkitchen.paths import FloorPaths
from eailkit.synthkitchen.raycast import first_hit
from eailkit.synthkitchen.room import Fixture, Room, RoomConfig, generate_room
from eailkit.synthkitchen.scan import ScanConfig, scan_room
from eailkit.synthkitchen.spline import quaternion
from eailkit.widgets.furniture import farthest_move, movable, move_fixture
from eailkit.widgets.panel import Panel

SIZES = {
    "small": RoomConfig(max_side_m=2.6),
    "average": RoomConfig(),
    "large": RoomConfig(min_side_m=3.2, max_side_m=4.6),
}
QUICK_SCAN = ScanConfig(points=50_000, places=14, azimuth_step_deg=1.5)
COUNTERS = {"single": "along one wall", "galley": "along two walls", "l": "as an L", "u": "as a U"}
NAMED = ("sink", "stove", "oven", "fridge", "dishwasher", "microwave", "table", "island", "shelf", "bin")
FRAME_PX = 240
_EYE_M = 1.6


@dataclass(frozen=True)
class RoomState:
    """The seed of a room and the range that its side is drawn from, a key of SIZES."""

    seed: int = 6
    size: str = "large"


@lru_cache(maxsize=8)
def example_room(seed: int = 6, size: str = "large") -> Room:
    """A room by seed and size (a key of SIZES); the default one has a table with chairs and an island."""
    return generate_room(seed, config=SIZES[size])


def room_view(state: RoomState) -> go.Figure:
    """A room from above with its fixtures named, beside the cloud that a scan walk leaves of it."""
    room = example_room(state.seed, state.size)
    scan = scan_room(room, 0, config=QUICK_SCAN).confident()
    figure = make_subplots(1, 2, specs=[[{"type": "xy"}, {"type": "scene"}]], column_widths=[0.52, 0.48])
    for trace in [*_floor_traces(room), *_names(room)]:
        figure.add_trace(trace, row=1, col=1)
    figure.add_trace(cloud_trace(scan.points_world_m, bar="height z (m)"), row=1, col=2)
    area = room.free.sum() * room.free_pitch_m**2
    title = (
        f"Seed {state.seed}: side {room.area_side_m:.2f} m, counters {COUNTERS[room.counters]}, "
        f"{len(room.fixtures)} fixtures, {area:.1f} m² to stand on"
    )
    styled(figure, title, height=480, showlegend=False)
    figure.update_scenes(
        aspectmode="data", xaxis_title_text="x (m)", yaxis_title_text="y (m)", zaxis_title_text="z (m)",
        camera={"eye": {"x": 1.2, "y": -1.5, "z": 1.1}},
    )  # fmt: skip
    return metres(figure, row=1, col=1)


def room_panel(state: RoomState | None = None) -> Panel:
    """Draw rooms from seeds."""
    presets = {
        "two square metres to stand on": RoomState(25, "small"),
        "an island and a table": RoomState(6, "large"),
        "another seed, another kitchen": RoomState(3, "large"),
    }
    return Panel(room_view, state or RoomState(), {"seed": (0, 60, 1), "size": list(SIZES)}, presets)


@dataclass(frozen=True)
class MoveState:
    """A thing and how far it is pushed along the room's own walls, metres."""

    fixture: str
    dx_m: float = 0.0
    dy_m: float = 0.0


def pushed(room: Room, state: MoveState) -> Room:
    """The room after the push, which ends where something is in the way."""
    c, s = np.cos(room.yaw_rad), np.sin(room.yaw_rad)
    wanted = (c * state.dx_m - s * state.dy_m, s * state.dx_m + c * state.dy_m)
    return move_fixture(room, state.fixture, *farthest_move(room, state.fixture, *wanted))


def way(room: Room, name: str) -> Float[np.ndarray, "k 2"]:
    """The way from the fridge to a fixture and on to the sink, on the map's floor, metres."""
    paths = FloorPaths(room.free, room.free_origin_xy_m, room.free_pitch_m)
    stops = [f.stand_xy_m for f in (room.of_kind("fridge")[0], _fixture(room, name), room.of_kind("sink")[0])]
    return np.concatenate([paths.path(stops[0], stops[1]), paths.path(stops[1], stops[2])])


def move_panel(room: Room) -> Panel:
    """Push a thing along the walls: floor plan, map, the way to it, and what a head at a fixed place sees."""
    names = movable(room)
    scan = lru_cache(maxsize=4)(lambda r: scan_room(r, 0, config=QUICK_SCAN).confident())
    eyes = {name: _viewpoint(room, _fixture(room, name)) for name in names}
    seen = {name: _frame(room, *eyes[name]) for name in names}
    grid = MapGrid(room.area_centre_xy_m, room.area_side_m + 1.4, 0.0)
    boxes = np.array([f.box_centre_m[:2] for f in room.fixtures])
    low, high = boxes.min(axis=0) - 0.6, boxes.max(axis=0) + 0.6

    def view(state: MoveState) -> go.Figure:
        after = pushed(room, state)
        old, new = _fixture(room, state.fixture), _fixture(after, state.fixture)
        gone = float(np.linalg.norm((new.box_centre_m - old.box_centre_m)[:2]))
        figure = make_subplots(
            2, 2, specs=[[{"rowspan": 2}, {}], [None, {}]], column_widths=[0.6, 0.4], vertical_spacing=0.08,
            subplot_titles=("", "the frame before", "and after"),
        )  # fmt: skip
        was, now = way(room, state.fixture), way(after, state.fixture)
        traces = [_map_trace(scan(after), grid), *_floor_traces(after, counters=False)]
        traces += [
            _outline(old, INK, "dot", "where it stood"), _outline(new, TRUTH, "solid", state.fixture),
            path_trace(was, f"way before, {_length(was):.1f} m", CYCLE[6], width=2.5),
            path_trace(now, f"way now, {_length(now):.1f} m", CYCLE[0], width=4.0), _eye(eyes[state.fixture]),
        ]  # fmt: skip
        for trace in traces:
            figure.add_trace(trace, row=1, col=1)
        figure.add_trace(picture_trace(seen[state.fixture]), row=1, col=2)
        figure.add_trace(picture_trace(_frame(after, *eyes[state.fixture])), row=2, col=2)
        asked = float(np.hypot(state.dx_m, state.dy_m))
        far = "" if gone > asked - 0.01 else f" of {asked:.2f} m, then something is in the way"
        styled(figure, f"{state.fixture} moved {gone:.2f} m{far}", height=560, legend={"y": -0.14, "yanchor": "top"})
        figure.update_annotations(font_size=12)
        for row in (1, 2):
            figure.update_xaxes(visible=False, row=row, col=2)
            figure.update_yaxes(visible=False, row=row, col=2)
        metres(figure, row=1, col=1)
        figure.update_xaxes(range=[low[0], high[0]], row=1, col=1)
        return figure.update_yaxes(range=[low[1], high[1]], row=1, col=1)

    presets = {"as drawn": MoveState(names[0])}
    for name in names[:2]:
        goals = [MoveState(name, dx, dy) for dx in (-0.6, 0.0, 0.6) for dy in (-0.6, 0.0, 0.6) if dx or dy]
        middle = _fixture(room, name).box_centre_m[:2]
        best = max(goals, key=lambda g: np.hypot(*(_fixture(pushed(room, g), g.fixture).box_centre_m[:2] - middle)))
        presets[f"{name.split('_')[0]} pushed"] = best
    slide = (-0.8, 0.8, 0.05)
    return Panel(view, presets["as drawn"], {"fixture": list(names), "dx_m": slide, "dy_m": slide}, presets)


def _fixture(room: Room, name: str) -> Fixture:
    return next(f for f in room.fixtures if f.name == name)


def _length(path: Float[np.ndarray, "k 2"]) -> float:
    return float(np.hypot(*np.diff(path, axis=0).T).sum())


def _map_trace(scan: PointMap, grid: MapGrid) -> go.Heatmap:
    return plan_trace(scan.points_world_m, grid)


def _floor_traces(room: Room, *, counters: bool = True) -> list:
    """Free floor as a faint raster, outlines of the fixtures, dots where people stand."""
    z = np.where(room.free, 1.0, np.nan).astype(np.float32)
    x0, y0 = (float(v) for v in room.free_origin_xy_m)
    free = go.Heatmap(
        z=z, x0=x0, dx=room.free_pitch_m, y0=y0, dy=room.free_pitch_m, showscale=False,
        colorscale=[[0, rgba(FOUND, 0.22)], [1, rgba(FOUND, 0.22)]], hoverinfo="skip", name="free floor",
    )  # fmt: skip
    outlines = [_outline(f, INK, "solid", "", width=1.0) for f in room.fixtures if counters or f.kind != "wall_cabinet"]
    stand = np.array([f.stand_xy_m for f in room.fixtures])
    dots = go.Scatter(
        x=stand[:, 0], y=stand[:, 1], mode="markers", text=[f.name for f in room.fixtures], name="where one stands",
        showlegend=False, marker={"size": 5, "color": CYCLE[2]}, hovertemplate="stands here for %{text}<extra></extra>",
    )  # fmt: skip
    return [free, *outlines, dots]


def _outline(f: Fixture, colour: str, dash: str, name: str, *, width: float = 2.0) -> go.Scatter:
    half = f.box_size_m[:2] / 2 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])
    c, s = np.cos(f.box_yaw_rad), np.sin(f.box_yaw_rad)
    corner = half @ np.array([[c, s], [-s, c]]) + f.box_centre_m[:2]
    return go.Scatter(
        x=corner[:, 0], y=corner[:, 1], mode="lines", line={"color": colour, "width": width, "dash": dash},
        name=name or f.name, showlegend=bool(name), hoverinfo="text", text=f.name,
    )  # fmt: skip


def _names(room: Room) -> list[go.Scatter]:
    """Names of the fixtures that a reader looks for; those that stand over each other share a line."""
    at: list[tuple[np.ndarray, list[str]]] = []
    for f in room.fixtures:
        if f.kind in NAMED:
            near = next((names for xy, names in at if np.hypot(*(xy - f.box_centre_m[:2])) < 0.3), None)
            if near is None:
                at.append((f.box_centre_m[:2], [f.kind]))
            elif f.kind not in near:
                near.append(f.kind)
    return [
        go.Scatter(
            x=[xy[0]], y=[xy[1]], mode="text", text="<br>".join(names), textfont={"size": 11, "color": TRUTH},
            showlegend=False, hoverinfo="skip",
        )
        for xy, names in at
    ]  # fmt: skip


def _viewpoint(room: Room, thing: Fixture) -> tuple[np.ndarray, np.ndarray]:
    """Eye (3,) on the free floor about 1.8 m from a thing that it sees, and yaw, pitch, roll towards it."""
    floor = room.free_centres()
    gap = np.linalg.norm(floor - thing.box_centre_m[:2], axis=1)
    target = np.array([*thing.box_centre_m[:2], min(thing.box_centre_m[2] + thing.box_size_m[2] / 2, 1.2)])
    order = np.argsort(np.abs(gap - 1.8))
    eyes = np.column_stack([floor[order], np.full(len(order), _EYE_M)])
    reach = target - eyes
    far = np.linalg.norm(reach, axis=1)
    hit, _ = first_hit(room, eyes, reach / far[:, None])
    clear = np.flatnonzero(hit > far - 0.5 * float(thing.box_size_m[:2].max()))
    best = int(clear[0]) if len(clear) else 0
    yaw = np.arctan2(reach[best, 1], reach[best, 0])
    return eyes[best], np.array([yaw, 0.15, 0.0])


def _frame(room: Room, eye: np.ndarray, ypr: np.ndarray) -> UInt8[np.ndarray, "size size 3"]:
    return render_frames(room, eye[None], quaternion(ypr[None]), size=FRAME_PX)[0]


def _eye(viewpoint: tuple[np.ndarray, np.ndarray]) -> go.Scatter:
    (x, y, _), (yaw, _, _) = viewpoint
    return go.Scatter(
        x=[x], y=[y], mode="markers", name="camera", hoverinfo="skip",
        marker={"symbol": "triangle-up", "angle": 90 - float(np.degrees(yaw)), "size": 13, "color": CYCLE[3]},
    )  # fmt: skip


def picture_trace(image: UInt8[np.ndarray, "height width 3"]) -> go.Image:
    """A frame as a trace, PNG inside."""
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(image)).save(buffer, format="PNG")
    source = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    return go.Image(source=source, hoverinfo="skip")
