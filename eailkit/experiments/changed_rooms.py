"""A prepared dataset whose maps are older scans: a share of each room's things stood elsewhere or weren't there yet.

The recordings stay as they are. A user with an old scan has that alone, so that square, free floor, empty cells and
local clouds all come from it, by the functions that `eail.prepared` calls. What is scored must not hang on the map: the
same seconds count in every condition, those that are labelled on the room's own map. One whose true position lies off
the older square, or on a cell without points there, isn't dropped: success measures its distance from the answer in
metres, which such a map makes hard to hold small, and RS ranks the cell of the older square nearest to it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from eailkit.datasets import open_map
from eailkit.eail.features import Features, embed_cells
from eailkit.eail.prepared import PLOT_POINTS, Prepared, RoomCache, TakeCache
from eailkit.eail.stage1 import Stage1
from eailkit.errors import DatasetError
from eailkit.experiments.older_room import Change, older
from eailkit.experiments.own_clouds import take_jobs
from eailkit.files import save_npy, save_npz
from eailkit.parallel import run_all
from eailkit.preprocess.mapgrid import MapGrid, estimate_grid, free_cells, local_clouds
from eailkit.provenance import Identity, identity
from eailkit.recording import PointMap
from eailkit.synthkitchen.room import Room, generate_room
from eailkit.synthkitchen.scan import scan_room
from eailkit.synthkitchen.splits import TakeJob
from eailkit.synthkitchen.version import parameter_hash

KIND = "moved or absent"
SPLITS = ("test-seen", "test-unseen")
FEW = 20  # maps that one process makes sooner than several begin


@dataclass(frozen=True, eq=False)
class ChangedTake(TakeCache):
    """A take on an older map: `cell` is the older square's cell nearest to the position, wherever that lies.

    A second without a label on the room's own map has none here either, so that the same seconds count.
    """

    grid: MapGrid

    @functools.cached_property
    def cell(self) -> np.ndarray:
        """As `TakeCache.cell`, on the older square."""
        own = np.asarray(TakeCache.cell.fget(self))
        known = np.where((own >= 0)[:, None], np.asarray(self.position, float), self.grid.centre_xy_m)
        return np.where(own >= 0, self.grid.cell_of(known), -1).astype(np.int16)


@dataclass(frozen=True, eq=False)
class Changed(Prepared):
    """A dataset on older maps.

    Attributes:
        changes: of each room whose map is an older one: what differs, an entry a thing with "what", "thing", "kind".
        things: how many things each of these rooms has.
    """

    changes: Mapping[str, list[dict]] = field(default_factory=dict)
    things: Mapping[str, int] = field(default_factory=dict)


def changed_prepared(
    prepared: Prepared,
    root: str | Path,
    share: float,
    seed: int = 0,
    kind: str = KIND,
    *,
    walk: int = 0,
    rooms: Iterable[str] | None = None,
    out_dir: str | Path | None = None,
) -> Changed:
    """The dataset with older maps of some rooms; what is changed at a small share is changed at a larger one too.

    Args:
        root: SynthKitchen folder that `prepared` was made of.
        share: of each room's things, 0 to 1 (`older_room.changes_of`). At 0 all is as it was, bit for bit.
        seed: of the draw of changes.
        kind: one of `older_room.KINDS`.
        walk: added to the scan's own seed: another walk with the scanner through the same room.
        rooms: whose map is an older one; all with test takes where None. Takes of others stay as they are.
        out_dir: holds a folder of the maps that is named by all that determines them (`scan_older` makes those of
            several shares side by side); None keeps them in memory.

    Raises:
        ConfigError: a share or a kind that can't be.
        DatasetError: the root is no SynthKitchen folder, or of another simulator.
    """
    asked = {"share": float(share), "seed": seed, "kind": kind, "walk": walk}
    chosen = _tested(prepared) if rooms is None else sorted(set(rooms))
    if out_dir is None:
        jobs = take_jobs(root)
        own = {room: prepared.rooms[room] for room in chosen}
        found = {room: _older_map(jobs[cache.source], cache, **asked) for room, cache in own.items()}
    else:
        scan_older(prepared, root, [asked], out_dir, rooms=chosen)
        folder = _folder(prepared, asked, out_dir)
        found = {room: _load(folder / f"{room}.npz", prepared.rooms[room]) for room in chosen}
    made = maps_identity(prepared, **asked).also(rooms=chosen)
    return Changed(
        prepared.cache_dir, [_on_older(t, found) for t in prepared.takes],
        prepared.rooms | {room: map_ for room, (map_, _, _) in found.items()}, prepared.action_names,
        f"{prepared.data_hash}-changed-{made.key}", made, {room: told for room, (_, told, _) in found.items()},
        {room: count for room, (_, _, count) in found.items()},
    )  # fmt: skip


def scan_older(
    prepared: Prepared, root: str | Path, asked: Iterable[Mapping], out_dir: str | Path, *,
    rooms: Iterable[str] | None = None, workers: int = 1, progress: bool = False,
) -> None:  # fmt: skip
    """Scan older rooms into an out_dir of `changed_prepared`; what is there stays.

    Args:
        asked: share, seed, kind and walk of each set of maps.
        workers: processes; a process costs seconds to begin, so that a few rooms are scanned here.

    Raises:
        WorkerDied: a worker process ended early; finished maps stay.
    """
    jobs, left = take_jobs(root), []
    for options in asked:
        folder = _folder(prepared, options, out_dir)
        for room in _tested(prepared) if rooms is None else rooms:
            cache, path = prepared.rooms[room], folder / f"{room}.npz"
            left += [] if path.is_file() else [(_keep, path, jobs[cache.source], cache, dict(options))]
    run_all(left, workers if len(left) > FEW else 1, progress, "older maps")


def _tested(prepared: Prepared) -> list[str]:
    return sorted({t.room for split in SPLITS for t in prepared.by_split(split)})


def _folder(prepared: Prepared, asked: Mapping, out_dir: str | Path) -> Path:
    return Path(out_dir) / maps_identity(prepared, **asked).key


def maps_identity(prepared: Prepared, *, share: float, seed: int, kind: str, walk: int) -> Identity:
    """What names older maps of a dataset's rooms, each of which hangs on its room alone."""
    code = ("eailkit.experiments.older_room", "eailkit.preprocess.mapgrid", _older_map, older_map, as_stored)
    return identity(
        "changed rooms", code=code, data=prepared.identity, simulator=parameter_hash(), share=float(share), seed=seed,
        changes=kind, walk=walk,
    )  # fmt: skip


def older_map(cloud: PointMap, room: RoomCache) -> RoomCache:
    """What `prepare` makes of a room's scan, from another scan of it: square, cells, free floor, clouds."""
    grid = estimate_grid(cloud)
    points = cloud.confident().points_world_m
    local = local_clouds(points, grid, points_per_cell=room.points.shape[1])
    near = points[(np.abs(points[:, :2] - grid.centre_xy_m) < grid.side_m).all(axis=1)]
    shown = near[np.random.default_rng(0).permutation(len(near))[:PLOT_POINTS]]
    return replace(
        room, grid=grid, points=local.points, valid=local.valid, empty=local.empty, free=free_cells(points, grid),
        cloud=shown.astype(np.float32), scan=near.astype(np.float32),
    )  # fmt: skip


def as_stored(cloud: PointMap) -> PointMap:
    """A simulated scan as a dataset's file holds it: tenths of a millimetre, six digits of each spread."""
    digits = {"points_world_m": 4, "inv_dist_std": 6, "dist_std": 6}
    return replace(cloud, **{name: np.round(np.asarray(getattr(cloud, name), float), n) for name, n in digits.items()})


def rebuilt(job: TakeJob) -> Room:
    """The room that a scan's job names, from its seed."""
    return generate_room(job.room_seed, job.room_id)


def check_rebuilt(prepared: Prepared, root: str | Path, rooms: Iterable[str]) -> None:
    """Scan rooms that are rebuilt from their seeds, unchanged, and compare with the dataset's files, bit for bit.

    Raises:
        DatasetError: a scan differs: these aren't the rooms that the recordings were made in.
    """
    jobs = take_jobs(root)
    for name in rooms:
        job = jobs[prepared.rooms[name].source]
        stored, found = open_map(Path(root) / "takes" / job.name), as_stored(scan_room(rebuilt(job), job.seed))
        parts = ("points_world_m", "inv_dist_std", "dist_std")
        if not all(np.array_equal(getattr(stored, part), getattr(found, part)) for part in parts):
            raise DatasetError(
                f"{Path(root) / 'takes' / job.name}: found another scan than its seed gives; expected the same bit "
                "for bit; make the dataset anew with this simulator."
            )


def changed_features(model: Stage1, base: Features, changed: Changed, out_dir: str | Path) -> Features:
    """The features of a dataset on older maps: those of the IMU as they are, older maps embedded, no training views.

    Args:
        base: of the dataset that it was made of, by the same model.
        out_dir: holds a folder named after weights and maps.
    """
    made = base.identity.also(maps=changed.identity)
    cells = lambda room: embed_cells(model, changed.rooms[room].points, changed.rooms[room].empty)  # noqa: E731
    older_ones = {r: _kept(Path(out_dir) / made.key / f"map.{r}.npy", lambda r=r: cells(r)) for r in changed.changes}
    return Features(base.takes, base.rooms | older_ones, base.facing, {}, base.direction, made)


def _kept(path: Path, make) -> Float32[np.ndarray, "cells dim"]:
    if not path.is_file():
        save_npy(path, make())
    return np.load(path, mmap_mode="r")


def _older_map(
    job: TakeJob, room: RoomCache, *, share: float, seed: int, kind: str, walk: int
) -> tuple[RoomCache, list[dict], int]:
    before, changes, count = older(rebuilt(job), share, seed, kind)
    return older_map(as_stored(scan_room(before, job.seed + walk)), room), [_told(c) for c in changes], count


def _told(change: Change) -> dict:
    return {"what": change.what, "thing": change.thing.name, "kind": change.thing.kind}


def _keep(path: Path, job: TakeJob, room: RoomCache, options: dict) -> None:
    found, told, count = _older_map(job, room, **options)
    arrays = {name: getattr(found, name) for name in ("points", "valid", "empty", "free", "cloud", "scan")}
    grid = {name: getattr(found.grid, name) for name in ("centre_xy_m", "side_m", "floor_z_m")}
    save_npz(path, arrays | grid | {"changes": json.dumps(told), "things": count})


def _load(path: Path, room: RoomCache) -> tuple[RoomCache, list[dict], int]:
    with np.load(path, allow_pickle=False) as a:
        grid = MapGrid(a["centre_xy_m"], float(a["side_m"]), float(a["floor_z_m"]))
        arrays = {name: a[name] for name in ("points", "valid", "empty", "free", "cloud", "scan")}
        return replace(room, grid=grid, **arrays), json.loads(str(a["changes"])), int(a["things"])


def _on_older(take: TakeCache, found: Mapping[str, tuple]) -> TakeCache:
    if take.room not in found:
        return take
    grid = found[take.room][0].grid
    return ChangedTake(take.path, take.name, take.room, take.participant, take.split, take.seconds, take.start_s, grid)
