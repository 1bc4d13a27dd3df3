"""One pass over a dataset into plain .npy and .npz files that training memory-maps: windows, labels, rooms.

Windows are in the gravity frame at 400 Hz and begin at take time 0, 1, 2, ... s. Every file is written beside
and renamed, and a take's .npz last, so that a killed run goes on where it stopped.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32, UInt8

from eailkit.datasets import EgoExo4D, open_map
from eailkit.datasets.video import decode_frames, find_ego_video
from eailkit.errors import ConfigError, DatasetError
from eailkit.files import save_npy, save_npz, write_json
from eailkit.parallel import WorkerDied, run_all
from eailkit.preprocess.imu import facing, orientation, resample, rotate, second_windows
from eailkit.preprocess.labels import action_seconds, caption_seconds, frame_seconds, heading_seconds
from eailkit.preprocess.mapgrid import MapGrid, estimate_grid, free_cells, local_clouds
from eailkit.provenance import Identity, fingerprint, identity

CACHE_VERSION = 3
PLOT_POINTS = 8000


@dataclass(frozen=True)
class RoomCache:
    """A map, ready for the point encoder.

    Attributes:
        name: room uid for scans; name of the take that the cloud came from otherwise.
        grid: the 20 x 20 square.
        points: (400, points_per_cell, 3), metres from the cell's middle and the floor.
        valid, empty, free: see `mapgrid.LocalClouds` and `mapgrid.free_cells`.
        cloud: sub-sampled whole cloud, world frame, for plots.
        scan: all confident points around the square, world frame: what a turned square is laid on.
        source: the take that the cloud came from.
    """

    name: str
    grid: MapGrid
    points: Float32[np.ndarray, "cells points 3"]
    valid: Bool[np.ndarray, "cells points"]
    empty: Bool[np.ndarray, " cells"]
    free: Bool[np.ndarray, " cells"]
    cloud: Float32[np.ndarray, "m 3"]
    source: str
    scan: Float32[np.ndarray, "n 3"]


@dataclass(frozen=True, eq=False)
class TakeCache:
    """One take, second by second; arrays load on first use, `windows` stays memory-mapped.

    Attributes:
        name, room, participant, split: of the take; `room` is a key of `Prepared.rooms`.
        seconds: number of windows.
        start_s: device time of take time 0.
    """

    path: Path
    name: str
    room: str
    participant: str
    split: str
    seconds: int
    start_s: float

    def __len__(self) -> int:
        return self.seconds

    @functools.cached_property
    def windows(self) -> Float32[np.ndarray, "seconds 6 400"]:
        """Gravity-frame acc xyz (m/s²) and gyro xyz (rad/s), read-only memory map."""
        return np.load(self.path.with_suffix(".windows.npy"), mmap_mode="r")

    @functools.cached_property
    def _columns(self) -> dict[str, np.ndarray]:
        with np.load(self.path, allow_pickle=False) as archive:
            return {k: archive[k] for k in archive.files}

    @property
    def mid_s(self) -> Float[np.ndarray, " seconds"]:
        """Take time of each window's middle, s: k + 0.5. Device time is start_s + mid_s."""
        return self._columns["mid_s"]

    @property
    def position(self) -> Float32[np.ndarray, "seconds 2"]:
        """x and y of the device in the map's frame at mid_s, m; NaN where unknown."""
        return self._columns["position"]

    @property
    def displacement(self) -> Float32[np.ndarray, "seconds 2"]:
        """How far the device moved from each window's first to its last moment, m, map's frame; NaN where unknown.

        A label for velocity nets, and for references and checks.
        """
        return self._columns["displacement"]

    @property
    def facing(self) -> Float32[np.ndarray, " seconds"]:
        """Where the head faces in the gravity frame, rad, from the IMU alone; see `preprocess.imu.facing`.

        NaN where the sensor's mounting is unknown.
        """
        return self._columns["facing"]

    @property
    def heading(self) -> Float32[np.ndarray, " seconds"]:
        """Angle, rad, about z that takes the windows' gravity frame to the map's frame at mid_s; NaN where unknown.

        True orientation enters here: it is for references and checks, never for a model's input.
        """
        return self._columns["heading"]

    @property
    def cell(self) -> np.ndarray:
        """Label: nearest cell, int16, -1 where there is none."""
        return self._columns["cell"]

    @property
    def action(self) -> np.ndarray:
        """Index into `Prepared.action_names` of the segment that covers mid_s, int16, -1 outside all."""
        return self._columns["action"]

    @property
    def caption(self) -> np.ndarray:
        """Nearest narration within 2 s of mid_s, str, "" where none is."""
        return self._columns["caption"]

    @property
    def frame(self) -> np.ndarray:
        """Row of `frames` that shows the second (nearest within 0.5 s of mid_s), int32, -1 where none does."""
        return self._columns["frame"]

    @functools.cached_property
    def frames(self) -> UInt8[np.ndarray, "frames height width 3"]:
        """Egocentric frames, one a second at most, read-only memory map; zero rows without video."""
        path = self.path.with_suffix(".frames.npy")
        return np.load(path, mmap_mode="r") if path.is_file() else np.zeros((0, 1, 1, 3), np.uint8)


@dataclass(frozen=True)
class Prepared:
    """A prepared dataset: what `prepare` returns.

    Attributes:
        takes: in order of name.
        rooms: by `TakeCache.room`.
        action_names: the classes that `TakeCache.action` indexes.
        data_hash: changes with the dataset's lists, annotations and version, the options and the choice of takes.
        identity: of what all that and this code made; without one, of the data hash alone.
    """

    cache_dir: Path
    takes: list[TakeCache]
    rooms: dict[str, RoomCache]
    action_names: tuple[str, ...]
    data_hash: str
    identity: Identity | None = None

    def __post_init__(self) -> None:
        if self.identity is None:
            object.__setattr__(self, "identity", identity("prepared data", data_hash=self.data_hash))

    def by_split(self, split: str) -> list[TakeCache]:
        """The takes of one split, in order of name; empty where there is none."""
        return [take for take in self.takes if take.split == split]

    @property
    def held_out(self) -> list[TakeCache]:
        """The takes that trainings are judged on while they run: val-seen, then val-unseen."""
        return self.by_split("val-seen") + self.by_split("val-unseen")

    def frames(self, take: TakeCache | str) -> UInt8[np.ndarray, "frames height width 3"]:
        """The frames of a take; `take.frame` indexes them."""
        if isinstance(take, str):
            take = next(t for t in self.takes if t.name == take)
        return take.frames


def _prepare_room(root: Path, map_take: str, name: str, path: Path, points_per_cell: int) -> None:
    cloud = open_map(root / "takes" / map_take)
    grid = estimate_grid(cloud)
    points = cloud.confident().points_world_m
    local = local_clouds(points, grid, points_per_cell=points_per_cell)
    near = (np.abs(points[:, :2] - grid.centre_xy_m) < grid.side_m).all(axis=1)
    shown = points[near]
    shown = shown[np.random.default_rng(0).permutation(len(shown))[:PLOT_POINTS]]
    arrays = {
        "points": local.points,
        "valid": local.valid,
        "empty": local.empty,
        "free": free_cells(points, grid),
        "centre_xy_m": grid.centre_xy_m,
        "side_m": grid.side_m,
        "floor_z_m": grid.floor_z_m,
        "cloud": shown.astype(np.float32),
        "scan": points[near].astype(np.float32),
        "name": name,
        "source": map_take,
    }
    save_npz(path, arrays)


def _load_room(path: Path) -> RoomCache:
    with np.load(path, allow_pickle=False) as a:
        grid = MapGrid(a["centre_xy_m"], float(a["side_m"]), float(a["floor_z_m"]))
        return RoomCache(
            str(a["name"]), grid, a["points"], a["valid"], a["empty"], a["free"], a["cloud"], str(a["source"]),
            a["scan"],
        )  # fmt: skip


def _load_grid(path: Path) -> MapGrid:
    with np.load(path, allow_pickle=False) as a:
        return MapGrid(a["centre_xy_m"], float(a["side_m"]), float(a["floor_z_m"]))


def _prepare_take(root: Path, name: str, room: str, grid: MapGrid, path: Path, options: dict) -> None:
    dataset = _dataset(str(root))
    recording, start_s = dataset.recording(name, imu=options["imu"], with_map=False), dataset.start_s(name)
    even, quat_xyzw = orientation(recording.imu, causal=options["causal"])
    windows, mid_s = second_windows(resample(rotate(even, quat_xyzw, "gravity"), start_s=start_s), start_s)
    if (duration_s := dataset.info(name).duration_s) > 0:  # the IMU runs on after the take's end
        whole = mid_s - start_s + 0.5 <= duration_s + 1e-3
        windows, mid_s = windows[whole], mid_s[whole]
    position = displacement = np.full((len(mid_s), 2), np.nan)
    if recording.trajectory is not None:
        position = recording.trajectory.position_at(mid_s)[:, :2]
        ends = [recording.trajectory.position_at(mid_s + side)[:, :2] for side in (-0.5, 0.5)]
        displacement = ends[1] - ends[0]
    rows, numbers = frame_seconds(recording, mid_s)
    if options["frames"] and numbers:
        images = decode_frames(find_ego_video(root / "takes" / name), numbers, size=options["frame_size"])
        save_npy(path.with_suffix(".frames.npy"), images)
    else:
        rows[:] = -1
    save_npy(path.with_suffix(".windows.npy"), windows)
    arrays = {
        "mid_s": mid_s - start_s,
        "position": position.astype(np.float32),
        "displacement": displacement.astype(np.float32),
        "facing": facing(even, quat_xyzw, mid_s).astype(np.float32),
        "heading": heading_seconds(recording, dataset.device_from_imu(name), even, quat_xyzw, mid_s).astype(np.float32),
        "cell": grid.label(position).astype(np.int16),
        "action": action_seconds(recording, mid_s, dataset.action_names),
        "caption": np.array(caption_seconds(recording, mid_s), dtype=np.str_),
        "frame": rows,
        "start_s": start_s,
        "room": room,
        "participant": recording.participant,
        "split": recording.split,
    }
    save_npz(path, arrays)


@functools.lru_cache(maxsize=2)
def _dataset(root: str) -> EgoExo4D:
    return EgoExo4D(Path(root))


def _check_cache(cache_dir: Path, wanted: Identity) -> None:
    """Write the identity on the first run; refuse a folder that holds another cache."""
    path = cache_dir / "cache.json"
    if not path.is_file():
        write_json(path, wanted.record)
        return
    try:
        found = json.loads(path.read_text())
    except ValueError:
        found = None
    if differs := wanted.difference(found):
        raise DatasetError(
            f"{cache_dir}: found a cache made otherwise ({differs}); expected {wanted}; give another folder or remove "
            "this one."
        )


def cache_identity(
    root: str | Path,
    *,
    points_per_cell: int,
    frame_size: int | None = None,
    frames: bool = True,
    imu: str = "imu-left",
    causal: bool = False,
) -> Identity:
    """What names a cache folder: the dataset, all options of `prepare` that shape its files, and the code."""
    return identity("prepared data", code=("eailkit.eail.prepared",), **_options(
        root, points_per_cell=points_per_cell, frame_size=frame_size, frames=frames, imu=imu, causal=causal
    ))  # fmt: skip


def _options(root: str | Path, **options) -> dict:
    return {"version": CACHE_VERSION, **options, "dataset": fingerprint(root)}


def prepare(
    root: str | Path,
    cache_dir: str | Path,
    *,
    points_per_cell: int,
    workers: int = 2,
    progress: bool = True,
    frame_size: int | None = None,
    frames: bool = True,
    imu: str = "imu-left",
    causal: bool = False,
    takes: Iterable[str] | None = None,
) -> Prepared:
    """Turn a dataset root into windows, labels and local clouds on disk; takes that are there are skipped.

    A second's label is the cell nearest to the device at its middle, its caption the nearest narration within 2 s,
    its action the segment that covers its middle, its frame the nearest within half a second.

    Args:
        root: Ego-Exo4D or SynthKitchen.
        cache_dir: folder for rooms/ and takes/; made where it is missing.
        points_per_cell: size of a local cloud (paper 8192, quick 512).
        workers: processes.
        frame_size: scale frames to size x size pixels; the video's own size where None.
        frames: False leaves the videos alone.
        imu: label of the sensor.
        causal: orientation from past samples only.
        takes: names to prepare; all but scans where None.

    Raises:
        DatasetError: the root can't be read, no take of it has a map, or the folder holds another cache.
            Also where a worker process ended early; finished takes and rooms stay.
        RecordingError, MapError: a take or a map can't be right; finished ones stay.
    """
    root, cache_dir = Path(root), Path(cache_dir)
    if points_per_cell < 1 or workers < 0:
        raise ConfigError(
            f"prepare: found points_per_cell={points_per_cell}, workers={workers}; expected positive numbers."
        )
    dataset = EgoExo4D(root)
    asked = {"points_per_cell": points_per_cell, "frame_size": frame_size, "frames": frames, "imu": imu}
    asked["causal"] = causal
    options, made = _options(root, **asked), cache_identity(root, **asked)
    for folder in ("rooms", "takes"):
        (cache_dir / folder).mkdir(parents=True, exist_ok=True)
    _check_cache(cache_dir, made)
    wanted = set(takes) if takes is not None else None
    chosen = [t for t in dataset.takes if t.task != "scan" and (wanted is None or t.name in wanted)]
    maps = {t.name: dataset.map_take(t.name) for t in chosen}
    chosen = [t for t in chosen if maps[t.name] is not None]
    if not chosen:
        raise DatasetError(
            f"{root}: found no take with a map of its room from another take; expected scans or several takes a room."
        )
    room_of = {t.name: m.room if (m := maps[t.name]).task == "scan" else m.name for t in chosen}
    rooms = {room_of[t.name]: maps[t.name].name for t in chosen}
    files = {room: cache_dir / "rooms" / f"{room}.npz" for room in rooms}
    jobs = [(_prepare_room, root, rooms[r], r, p, points_per_cell) for r, p in files.items() if not p.is_file()]
    _run(jobs, workers, progress, "rooms", cache_dir)
    paths = {t.name: cache_dir / "takes" / f"{t.name}.npz" for t in chosen}
    jobs = [
        (_prepare_take, root, name, room_of[name], _load_grid(files[room_of[name]]), path, options)
        for name, path in paths.items()
        if not path.is_file()
    ]
    _run(jobs, workers, progress, "takes", cache_dir)
    return Prepared(
        cache_dir,
        [_load_take(paths[t.name]) for t in sorted(chosen, key=lambda t: t.name)],
        {room: _load_room(path) for room, path in sorted(files.items())},
        dataset.action_names,
        hashlib.sha256(json.dumps([options, sorted(t.name for t in chosen)]).encode()).hexdigest()[:16],
        made.also(takes=sorted(t.name for t in chosen)),
    )


def _run(jobs: list[tuple], workers: int, progress: bool, what: str, where: Path) -> None:
    try:
        run_all(jobs, workers, progress, what)
    except WorkerDied as death:
        raise DatasetError(f"{where}: {death}") from None


def _load_take(path: Path) -> TakeCache:
    with np.load(path, allow_pickle=False) as a:
        text = {k: str(a[k]) for k in ("room", "participant", "split")}
        return TakeCache(path, path.stem, seconds=len(a["mid_s"]), start_s=float(a["start_s"]), **text)
