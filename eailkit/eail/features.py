"""Frozen features of stage 1, kept on disk: what stage 2, its baselines and the tracker read.

The IMU encoder runs once a second, and a heading enters afterwards (`Features.motion`). A map is embedded once, a
training room also at several angles (`RoomView`): a turned room is as good a room, and there are few.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import nn
from tqdm.auto import tqdm

from eailkit.eail.prepared import Prepared, RoomCache
from eailkit.eail.stage1 import Stage1, facing_frame, other_scan
from eailkit.files import save_npy, save_npz
from eailkit.preprocess.mapgrid import CELLS, SIDE, LocalClouds, MapGrid, estimate_grid, local_clouds
from eailkit.provenance import Identity, content_digest, identity, weights_tag
from eailkit.recording import PointMap

QUARTERS = 4


@torch.inference_mode()
def embed_imu(
    model: Stage1, windows: Float[np.ndarray, "n 6 samples"], facing: Float[np.ndarray, " n"], *, batch: int = 512
) -> Float[np.ndarray, "n dim"]:
    """What the IMU encoder gives of one-second windows, before a heading enters (`Stage1.motion`), float32.

    Args:
        windows: gravity frame.
        facing: where the head faces in that frame, rad; NaN where the mounting is unknown.
    """
    out = []
    for i in range(0, len(windows), batch):
        block = torch.from_numpy(np.array(windows[i : i + batch], np.float32))
        angle = torch.from_numpy(np.array(facing[i : i + batch], np.float32))
        out.append(model.imu(facing_frame(block, angle)).float())
    return torch.cat(out).numpy() if out else np.zeros((0, model.config.embed_dim), np.float32)


@torch.inference_mode()
def embed_cells(
    model: Stage1,
    points: Float[np.ndarray, "cells points 3"],
    empty: Bool[np.ndarray, " cells"],
    *,
    batch: int = 128,
) -> Float[np.ndarray, "cells dim"]:
    """F^P of a room's cells, float32, unit norm, zero where empty."""
    features = np.zeros((len(points), model.config.embed_dim), np.float32)
    rows = np.flatnonzero(~np.asarray(empty))
    for i in range(0, len(rows), batch):
        block = torch.from_numpy(np.ascontiguousarray(points[rows[i : i + batch]], dtype=np.float32))
        features[rows[i : i + batch]] = nn.functional.normalize(model.points(block).float(), dim=-1).numpy()
    return features


@dataclass(frozen=True)
class RoomView:
    """A room as it would be had its map been made at another angle, and by quarter turns of that.

    Attributes:
        angle: of the first of the four maps, rad: a point's coordinates there are Rz(angle) times the world's.
        grid: the square of that first map.
        empty, features: of the cells of each quarter turn, rows and columns of the turned square, (4, 400[, d]).
    """

    angle: float
    grid: MapGrid
    empty: Bool[np.ndarray, "4 cells"]
    features: Float[np.ndarray, "4 cells dim"]

    def label(self, position_m: Float[np.ndarray, "n 2"], quarter: int) -> Int[np.ndarray, " n"]:
        """Cells of world positions on one of the four maps; -1 where unknown, outside or on an empty cell."""
        cell = self.grid.label(turn_xy(np.asarray(position_m, float), self.angle))
        cell = np.where(cell >= 0, np.argsort(quarter_turns(quarter))[cell], -1)
        return np.where((cell >= 0) & ~self.empty[quarter][np.maximum(cell, 0)], cell, -1)


def turn_xy(xy: Float[np.ndarray, "*batch 2"], angle: float | np.ndarray) -> Float[np.ndarray, "*batch 2"]:
    """Ground vectors turned about the vertical by an angle, rad."""
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([c * xy[..., 0] - s * xy[..., 1], s * xy[..., 0] + c * xy[..., 1]], axis=-1)


def quarter_turns(count: int) -> Int[np.ndarray, " cells"]:
    """For each cell of the map turned by `count` quarter turns, the cell that it was before (row y, column x)."""
    # counterclockwise as seen from above, as angles about z are: rows run along y, and rot90 takes them to go down
    return np.rot90(np.arange(CELLS).reshape(SIDE, SIDE), -count).ravel().copy()


def turned_clouds(points: Float[np.ndarray, "cells points 3"], quarter: int) -> Float[np.ndarray, "cells points 3"]:
    """The clouds of a room's cells on the map turned by quarter turns, in that map's order of cells."""
    x, y, z = np.moveaxis(points[quarter_turns(quarter)], -1, 0)
    x, y = ((x, y), (-y, x), (-x, -y), (y, -x))[quarter % QUARTERS]
    return np.stack([x, y, z], axis=-1)


def room_view(model: Stage1, room: RoomCache, angle: float, *, seed: int) -> RoomView:
    """Embed a room turned by an angle, and by quarter turns of that, as another scan might have found it.

    `seed` draws the scan (`stage1.other_scan`): what stage 2 learns shall not hang on the one that a training room has.
    """
    scan = other_scan(np.asarray(room.scan, float), seed)
    scan[:, :2] = turn_xy(scan[:, :2], angle)
    grid = estimate_grid(PointMap(scan, source=room.name))
    local = local_clouds(scan, grid, points_per_cell=room.points.shape[1], seed=seed)
    return view_of(model, local, grid, angle)


def view_of(model: Stage1, local: LocalClouds | RoomCache, grid: MapGrid, angle: float) -> RoomView:
    """The four quarter turns of clouds that are made."""
    empty = np.stack([np.asarray(local.empty)[quarter_turns(k)] for k in range(QUARTERS)])
    features = [embed_cells(model, turned_clouds(local.points, k), empty[k]) for k in range(QUARTERS)]
    return RoomView(angle, grid, empty, np.stack(features))


@dataclass(frozen=True)
class Features:
    """Frozen stage-1 features.

    Attributes:
        takes: take name -> (n, d), what the IMU encoder gives.
        rooms: room -> (400, d), F^P.
        facing: take name -> (n,), where the head faces in the gravity frame, rad, NaN where unknown; of takes that
            aren't named nothing is known.
        views: training room -> the angles at which stage 2 sees it; without any, the map as it lies and its quarter
            turns stand for it.
        direction: `Stage1.motion` of the stage that made them; None where a feature holds no heading.
        identity: of the weights and the data that made them; of features from elsewhere, of their values.
    """

    takes: dict[str, np.ndarray]
    rooms: dict[str, np.ndarray]
    facing: dict[str, np.ndarray] = field(default_factory=dict)
    views: dict[str, list[RoomView]] = field(default_factory=dict)
    direction: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None = None
    identity: Identity | None = None

    def __post_init__(self) -> None:
        if self.identity is None:
            names = ("takes", "rooms", "facing")
            values = {n: {k: content_digest(v) for k, v in getattr(self, n).items()} for n in names}
            object.__setattr__(self, "identity", identity("features", **values))

    @property
    def stage1_tag(self) -> str:
        """Tag of the stage 1 that made them, "" for features from elsewhere."""
        return self.identity.parts.get("stage1_tag", "")

    def facing_of(self, name: str) -> Float[np.ndarray, " n"]:
        """Where the head faces in a take's gravity frame, rad; NaN where nothing is known."""
        return np.asarray(self.facing.get(name, np.full(len(self.takes[name]), np.nan)))

    def motion(self, name: str, heading: float | np.ndarray) -> Float[np.ndarray, "n dim"]:
        """F^M of a take's seconds, unit norm, float32, under a heading.

        Args:
            heading: the angle that takes the gravity frame to the map's, rad: one for all, or one a second.
        """
        return motion_features(self.direction, self.takes[name], self.facing_of(name) + heading)


@torch.inference_mode()
def motion_features(
    direction: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None,
    imu: Float[np.ndarray, "*batch dim"],
    facing: Float[np.ndarray, "*batch"],
) -> Float[np.ndarray, "*batch dim"]:
    """F^M of features of the IMU encoder for heads that face angles on the map, rad; unit norm."""
    found = torch.from_numpy(np.array(imu, np.float32))  # a copy: what is cached can't be written to
    if direction is not None:
        found = direction(found, torch.from_numpy(np.ascontiguousarray(facing, dtype=np.float32)))
    return nn.functional.normalize(found, dim=-1).numpy()


def motion_under(
    direction: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None,
    imu: Float[np.ndarray, "n dim"],
    facing: Float[np.ndarray, " n"],
    headings: Float[np.ndarray, "*n headings"],
) -> Float[np.ndarray, "n headings dim"]:
    """F^M of a recording's seconds under each heading hypothesis, rad, (H,) or (n, H); unit norm."""
    count = headings.shape[-1]
    angle = np.asarray(facing)[:, None] + np.broadcast_to(headings, (len(imu), count))
    return motion_features(direction, np.repeat(np.asarray(imu)[:, None], count, axis=1), angle)


def features_identity(stage1_tag: str, prepared: Prepared, views: int) -> Identity:
    """What names the features that a stage 1 of that tag makes of a dataset; nothing is computed."""
    return identity(
        "features", code=("eailkit.eail.features",), stage1_tag=stage1_tag, data=prepared.identity, views=views
    )  # fmt: skip


def embed_dataset(
    model: Stage1, prepared: Prepared, out_dir: str | Path, *, views: int, progress: bool = True
) -> Features:
    """Cache the features of every take and room, in a folder in out_dir named after the weights.

    Args:
        views: angles at which each training room is embedded, the first being the map as it lies.
    """
    made = features_identity(weights_tag(model), prepared, views)
    out = Path(out_dir) / made.key
    takes, rooms, turned = {}, {}, {}
    for take in tqdm(prepared.takes, desc="IMU features", disable=not progress, leave=False):
        make = lambda take=take: embed_imu(model, np.asarray(take.windows), take.facing)  # noqa: E731
        takes[take.name] = _cached(out / f"imu.{take.name}.npy", make)
    trained_in = {t.room for t in prepared.by_split("train")}
    for number, (name, room) in enumerate(tqdm(prepared.rooms.items(), desc="map features", disable=not progress,
                                               leave=False)):  # fmt: skip
        rooms[name] = _cached(out / f"map.{name}.npy", lambda room=room: embed_cells(model, room.points, room.empty))
        if name in trained_in:
            turned[name] = [_cached_view(model, room, out, number, k) for k in range(views)]
    facing = {t.name: np.asarray(t.facing, np.float32) for t in prepared.takes}
    return Features(takes, rooms, facing, turned, model.motion, made)


def _cached(path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    if path.exists():
        return np.load(path, mmap_mode="r")
    value = make()
    save_npy(path, value)
    return value


def _cached_view(model: Stage1, room: RoomCache, out: Path, number: int, k: int) -> RoomView:
    path = out / f"map.{room.name}.view{k}.npz"
    if not path.exists():
        angle = float(np.random.default_rng((number, k)).uniform(-np.pi, np.pi)) if k else 0.0
        view = room_view(model, room, angle, seed=k) if k else view_of(model, room, room.grid, 0.0)
        square = {"centre_xy_m": view.grid.centre_xy_m, "side_m": view.grid.side_m, "floor_z_m": view.grid.floor_z_m}
        save_npz(path, square | {"angle": view.angle, "empty": view.empty, "features": view.features})
    with np.load(path, allow_pickle=False) as a:
        grid = MapGrid(a["centre_xy_m"], float(a["side_m"]), float(a["floor_z_m"]))
        return RoomView(float(a["angle"]), grid, a["empty"], a["features"])
