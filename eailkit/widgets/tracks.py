"""Panels on headings and tracks: turn a hypothesis, lead a sum of steps astray, turn what the filter believes in."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import plotly.graph_objects as go
from jaxtyping import Float

from eailkit import plots
from eailkit.baselines.drift import misled
from eailkit.eail.activity import heading_errors
from eailkit.eail.decision import RADIUS_M
from eailkit.eail.tracker import Observations, Posterior, Tracker, TrackerConfig
from eailkit.widgets.panel import Panel


@dataclass(frozen=True)
class HeadingState:
    """One second of a take, seen as if the heading were this many degrees."""

    heading_deg: int = 0
    second: int = 0


def heading_panel(
    room: Any,
    maps: Mapping[str, Float[np.ndarray, "n headings cells"]],
    evidence: Mapping[str, Float[np.ndarray, "n headings"]],
    take: Any,
    *,
    second: int = 0,
) -> Panel:
    """Turn the heading and see what each second would then say of the place.

    Args:
        room: `prepared.RoomCache`.
        maps: method -> its map of each second under the angles 2 pi h / H.
        evidence: moment -> how likely each of them is at each second; the first is drawn as bars.
        take: `prepared.TakeCache`, for its truth.
    """
    count = next(iter(maps.values())).shape[1]
    degrees = [round(360 * h / count) for h in range(count)]
    heading = np.degrees(np.nan_to_num(np.asarray(take.heading, float))) % 360

    def view(state: HeadingState) -> go.Figure:
        k = min(state.second, len(heading) - 1)
        shown = degrees.index(state.heading_deg)
        off = abs((state.heading_deg - heading[k] + 180) % 360 - 180)
        title = f"{k} s, as if the heading were<br>{state.heading_deg} degrees: {off:.0f} from the true one"
        heats = {name: np.where(room.empty, np.nan, of[k]) for name, of in maps.items()}
        return plots.hypothesis_figure(
            room.cloud, room.grid, heats, {name: of[k] for name, of in evidence.items()}, shown=shown,
            true_rad=float(np.radians(heading[k])), facing_rad=float(take.facing[k]), here=take.position[k],
            title=title, slider=False,
        )  # fmt: skip

    second = min(second, len(heading) - 1)
    true = min(degrees, key=lambda d: abs((d - heading[second] + 180) % 360 - 180))
    start = HeadingState(true, second)
    presets = {
        "the nearest to the truth": start,
        "a quarter turn off": replace(start, heading_deg=degrees[(degrees.index(true) + count // 4) % count]),
        "the other way round": replace(start, heading_deg=degrees[(degrees.index(true) + count // 2) % count]),
    }
    controls = {"heading_deg": degrees, "second": (0, len(heading) - 1, 1)}
    return Panel(view, start, controls, presets)


@dataclass(frozen=True)
class DeadReckoningState:
    """Whose velocities are summed, for how long, and what is wrong with them.

    `heading_deg` is off from the first second on, `drift_deg_min` by so much more each minute; `speed` is times the
    velocities' own.
    """

    velocities: str
    heading_deg: int = 0
    drift_deg_min: float = 0.0
    speed: float = 1.0
    seconds: int = 120


def dead_reckoning_panel(
    room: Any, paths: Mapping[str, Float[np.ndarray, "n 2"]], take: Any, *, seconds: int = 120
) -> Panel:
    """Sum velocities to a path under a heading or a speed that is off.

    Args:
        room: `prepared.RoomCache`.
        paths: whose velocities -> their sum from the true start, one position a second; the first is shown at first.
        take: `prepared.TakeCache`, for its truth.
        seconds: shown at first.
    """
    truth = np.asarray(take.position, float)
    names, seconds = list(paths), min(seconds, len(truth))

    def view(state: DeadReckoningState) -> go.Figure:
        found = misled(
            paths[state.velocities], turn_rad=np.radians(state.heading_deg),
            drift_rad_per_s=np.radians(state.drift_deg_min) / 60, speed=state.speed,
        )[: state.seconds]  # fmt: skip
        error_m = np.linalg.norm(found - truth[: state.seconds], axis=1)
        error_m = error_m[np.isfinite(error_m)]
        if not len(error_m):
            raise ValueError(f"dead_reckoning_panel: no true position is known in {state.seconds} s of {take.name}.")
        title = (
            f"{state.velocities}: {error_m[-1]:.2f} m off after {state.seconds} s,<br>"
            f"mean {error_m.mean():.2f} m, {100 * np.mean(error_m < RADIUS_M):.0f} % within {RADIUS_M:g} m"
        )
        return plots.paths_figure(
            room.cloud, room.grid, found, truth[: state.seconds], name="summed velocities", title=title
        )

    start = DeadReckoningState(names[0], seconds=seconds)
    presets = {
        "as it is": start,
        "heading off by 10 degrees": replace(start, heading_deg=10),
        "heading drifts 5 degrees a minute": replace(start, drift_deg_min=5.0),
        "speed 10 % short": replace(start, speed=0.9),
        "the whole take": replace(start, seconds=len(truth)),
        **{name: replace(start, velocities=name) for name in names[1:]},
    }
    controls = {
        "velocities": names, "heading_deg": (-90, 90, 5), "drift_deg_min": (-10.0, 10.0, 0.5),
        "speed": (0.5, 1.5, 0.05), "seconds": (min(5, len(truth)), len(truth), 1),
    }  # fmt: skip
    return Panel(view, start, controls, presets)


@dataclass(frozen=True)
class TrackerState:
    """What the filter believes in, and the second that is shown.

    `map_power` is the exponent of EAIL's map, `drift_rad` the heading's change in a second, `velocity_scale` times the
    velocity net's own uncertainty; `smoothed` uses the seconds to come as well.
    """

    map_power: float
    drift_rad: float
    velocity_scale: float
    smoothed: bool
    second: int


def tracker_panel(room: Any, seen: Observations, take: Any, config: TrackerConfig, *, last_s: int = 60) -> Panel:
    """Turn the filter's parameters and see the track that they make of one take.

    Args:
        room: `prepared.RoomCache`.
        seen: what the filter reads of the take.
        take: `prepared.TakeCache`, for its truth.
        config: the calibrated one.
        last_s: seconds of the track that are drawn before the one shown.
    """
    truth, known = np.asarray(take.position, float), np.asarray(take.cell) >= 0

    @functools.lru_cache(maxsize=32)
    def found(map_power: float, drift_rad: float, velocity_scale: float, smoothed: bool) -> Posterior:
        habit = map_power * config.habit_power / config.map_power
        tried = replace(
            config, map_power=map_power, habit_power=habit, drift_rad=drift_rad, velocity_scale=velocity_scale
        )
        filter_ = Tracker(room.grid, np.asarray(room.free), np.asarray(room.empty), tried)
        return (filter_.smooth if smoothed else filter_.filter)(seen)

    def view(state: TrackerState) -> go.Figure:
        track = found(state.map_power, state.drift_rad, state.velocity_scale, state.smoothed)
        at, k = track.decision(), min(state.second, len(truth) - 1)
        error_m = np.linalg.norm(at - truth, axis=1)[known]
        wrong = np.degrees(np.nanmedian(heading_errors(track, take)))
        radius_m = track.radius(at)
        success, how = 100 * np.mean(error_m < RADIUS_M), "smoothed" if state.smoothed else "forward"
        title = (
            f"{how}: {success:.0f} % within 0.4 m,<br>"
            f"heading {wrong:.0f}° off, region {np.median(radius_m):.1f} m (the whole take)"
        )
        rows = slice(max(0, k - last_s), k + 1)
        return plots.region_figure(
            room.cloud, room.grid, at[rows], radius_m[rows], truth=truth[rows], belief=track.place[k], title=title
        )

    start = TrackerState(
        float(config.map_power), float(config.drift_rad), float(config.velocity_scale), True, len(truth) - 1
    )
    presets = {
        "as calibrated": start,
        "the same, forward": replace(start, smoothed=False),
        "believes every map": replace(start, map_power=1.0),
        "hardly looks at maps": replace(start, map_power=0.01),
        "a heading that wanders": replace(start, drift_rad=0.2),
    }
    controls: dict[str, Sequence | None] = {
        "map_power": (0.01, 1.0, 0.01), "drift_rad": (0.002, 0.2, 0.002), "velocity_scale": (0.25, 4.0, 0.25),
        "smoothed": None, "second": (0, len(truth) - 1, 1),
    }  # fmt: skip
    return Panel(view, start, controls, presets)
