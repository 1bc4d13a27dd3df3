"""The 400 cells laid elsewhere: on the square around where people went, instead of what the map alone says.

EAIL says "20 x 20 segments" and not of which square. Ours comes from the cloud (`mapgrid.estimate_grid`); one drawn
around trajectories is tighter and knows where people stand. What a stage 2 gains from that, `experiments.protocol`
measures; cells are local, so that stage 1 is the same on every square, and the IMU is never read again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from eailkit.eail.features import QUARTERS, Features, RoomView, embed_cells, turn_xy, view_of
from eailkit.eail.prepared import Prepared, RoomCache, TakeCache
from eailkit.eail.stage1 import Stage1, other_scan
from eailkit.errors import ConfigError
from eailkit.files import save_npy, save_npz
from eailkit.preprocess.mapgrid import MARGIN_M, MapGrid, free_cells, local_clouds
from eailkit.provenance import code_version

RULES = ("scan", "training", "own")


@dataclass(frozen=True, eq=False)
class PlacedTake(TakeCache):
    """A take whose label is the nearest cell of another square; `room` is a key of the dataset that holds it."""

    grid: MapGrid

    @functools.cached_property
    def cell(self) -> np.ndarray:
        """As `TakeCache.cell`, counted anew from the position: nearest cell, int16, -1 where there is none."""
        return self.grid.label(np.asarray(self.position, float)).astype(np.int16)


@dataclass(frozen=True, eq=False)
class Placed(Prepared):
    """A dataset on other squares or other clouds.

    Attributes:
        base_room: key of `rooms` -> the room that it is, as the dataset it was made of calls it.
        around: key of `rooms` -> ground positions that its square is drawn around, (n, 2), m; without an entry the
            square is the map's own.
    """

    base_room: Mapping[str, str] = field(default_factory=dict)
    around: Mapping[str, Float[np.ndarray, "n 2"]] = field(default_factory=dict)

    @property
    def fallen_back(self) -> list[str]:
        """Takes whose square is the map's own because no trajectory was there to draw it around."""
        return [t.name for t in self.takes if t.room not in self.around]


def bounding_square(positions_m: Float[np.ndarray, "n 2"], floor_z_m: float, *, margin_m: float = MARGIN_M) -> MapGrid:
    """The square with the map's axes that holds positions and `margin_m` (0.15 m) around them; NaN is left out.

    Raises:
        ConfigError: no position is known.
    """
    known = np.asarray(positions_m, float)
    known = known[np.isfinite(known).all(1)]
    if not len(known):
        raise ConfigError("bounding_square: found no known position; expected one or more; give a take with a path.")
    low, high = known.min(0), known.max(0)
    return MapGrid((low + high) / 2, float((high - low).max()) + 2 * margin_m, floor_z_m)


def on_squares(prepared: Prepared, rule: str) -> Placed:
    """The dataset with the squares of a rule; windows, clouds and positions stay, labels and cells are made anew.

    "scan": the map's own. "training": around the positions of the room's training takes; a take of a room without
    any has a square of its own, around the room's other takes, and where there is none the map's own. "own": each take
    has a square around its own positions, which is ground truth that no method could know.

    Raises:
        ConfigError: no such rule.
    """
    if rule not in RULES:
        raise ConfigError(f"squares: found '{rule}'; expected one of {', '.join(RULES)}; choose one of these.")
    takes, rooms, base_room, around = [], {}, {}, {}
    for take in prepared.takes:
        key, sources = _sources(prepared, take, rule)
        places = np.concatenate([np.zeros((0, 2)), *(np.asarray(t.position, float) for t in sources)])
        places = places[np.isfinite(places).all(1)]
        base = prepared.rooms[take.room]
        if key not in rooms:
            rooms[key], base_room[key] = base, take.room
            if len(places):
                around[key] = places
                rooms[key] = laid(base, bounding_square(places, base.grid.floor_z_m))
        takes.append(_placed(take, key, rooms[key].grid))
    made = prepared.identity.also(squares={"rule": rule, "margin_m": MARGIN_M, "code": _code()})
    return Placed(
        prepared.cache_dir, takes, rooms, prepared.action_names, f"{prepared.data_hash}-squares-{rule}", made,
        base_room, around,
    )  # fmt: skip


def _sources(prepared: Prepared, take: TakeCache, rule: str) -> tuple[str, list[TakeCache]]:
    """Under which key a take's square stands, and the takes that it is drawn around."""
    if rule == "scan":
        return take.room, []
    if rule == "own":
        return take.name, [take]
    here = [t for t in prepared.takes if t.room == take.room]
    trained = [t for t in here if t.split == "train"]
    return (take.room, trained) if trained else (take.name, [t for t in here if t.name != take.name])


def on_clouds(prepared: Prepared, clouds: Mapping[str, Float[np.ndarray, "n 3"]], **made_of) -> Placed:
    """The takes that have a cloud of their own, each in a room of its own with that cloud, on the square it had.

    Args:
        clouds: take name -> confident points, m, the map's frame.
        made_of: what determines the clouds, for the identity.
    """
    takes, rooms, base_room = [], {}, {}
    for take in (t for t in prepared.takes if t.name in clouds):
        old = prepared.rooms[take.room]
        rooms[take.name] = laid(replace(old, source=take.name), old.grid, scan=clouds[take.name])
        base_room[take.name] = getattr(prepared, "base_room", {}).get(take.room, take.room)
        takes.append(_placed(take, take.name, old.grid))
    made = prepared.identity.also(clouds={**made_of, "takes": sorted(t.name for t in takes), "code": _code()})
    return Placed(
        prepared.cache_dir, takes, rooms, prepared.action_names, f"{prepared.data_hash}-clouds", made, base_room
    )  # fmt: skip


def laid(room: RoomCache, grid: MapGrid, *, scan: Float[np.ndarray, "n 3"] | None = None) -> RoomCache:
    """A room's cells and local clouds on another square, of its own points or of others."""
    points = np.asarray(room.scan if scan is None else scan, float)
    local = local_clouds(points, grid, points_per_cell=room.points.shape[1])
    near = (np.abs(points[:, :2] - grid.centre_xy_m) < grid.side_m).all(axis=1)
    return replace(
        room, grid=grid, points=local.points, valid=local.valid, empty=local.empty, free=free_cells(points, grid),
        scan=room.scan if scan is None else points[near].astype(np.float32),
    )  # fmt: skip


def _placed(take: TakeCache, room: str, grid: MapGrid) -> PlacedTake:
    return PlacedTake(take.path, take.name, room, take.participant, take.split, take.seconds, take.start_s, grid)


def _code() -> str:
    return code_version("eailkit.eail.squares")


def features_on(model: Stage1, base: Features, prepared: Placed, out_dir: str | Path, *, views: int) -> Features:
    """The features of a dataset on other squares or clouds: those of the IMU as they are, maps embedded anew.

    Args:
        base: of the dataset that it was made of, by the same model.
        out_dir: holds a folder named after weights, squares and clouds.
        views: angles at which each map with training takes is embedded, those of its room.
    """
    made = base.identity.also(maps=prepared.identity, views=views)
    out = Path(out_dir) / made.key
    trained_in = {t.room for t in prepared.by_split("train")}
    numbers = {room: k for k, room in enumerate(sorted(set(prepared.base_room.values())))}
    rooms, turned = {}, {}
    for key, room in prepared.rooms.items():
        rooms[key] = _kept(out / f"map.{key}.npy", lambda room=room: embed_cells(model, room.points, room.empty))
        if key in trained_in:
            number, around = numbers[prepared.base_room[key]], prepared.around.get(key)
            turned[key] = [
                _kept_view(out / f"map.{key}.view{k}.npz", model, room, around, _angle(number, k), k)
                for k in range(views)
            ]
    return Features(base.takes, rooms, base.facing, turned, base.direction, made)


def _angle(room_number: int, view: int) -> float:
    return float(np.random.default_rng((room_number, view)).uniform(-np.pi, np.pi)) if view else 0.0


def _kept(path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    if not path.exists():
        save_npy(path, make())
    return np.load(path, mmap_mode="r")


def _kept_view(
    path: Path, model: Stage1, room: RoomCache, around: np.ndarray | None, angle: float, seed: int
) -> RoomView:
    """`features.room_view` with the square around turned positions instead of the turned map's own."""
    grid = room.grid if around is None else bounding_square(turn_xy(around, angle), room.grid.floor_z_m)
    if not path.exists():
        scan = other_scan(np.asarray(room.scan, float), seed)
        scan[:, :2] = turn_xy(scan[:, :2], angle)
        local = local_clouds(scan, grid, points_per_cell=room.points.shape[1], seed=seed) if angle else room
        view = view_of(model, local, grid, angle)
        save_npz(path, {"empty": view.empty, "features": view.features})
    with np.load(path, allow_pickle=False) as a:
        assert a["features"].shape[0] == QUARTERS
        return RoomView(angle, grid, a["empty"], a["features"])
