"""A take's own semi-dense cloud, which SynthKitchen doesn't write: what its glasses would have mapped as it went on.

Ego-Exo4D's takes each come with the cloud of their own SLAM, and a method may have read it (the paper doesn't say); it
is dense where the wearer went, so that it tells of the answer. Here it is `synthkitchen.scan` with the take's true path
in place of the scan's walk: as many places, spread over where the head was, as many points, the same noise. At each
place it looks all round, as a scan does and a wearer mostly doesn't: what the head's direction adds is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32

from eailkit.datasets.aria import read_trajectory
from eailkit.errors import DatasetError
from eailkit.files import save_npy
from eailkit.provenance import Identity, identity
from eailkit.recording import PointMap
from eailkit.synthkitchen.folder import CARD
from eailkit.synthkitchen.room import Room, generate_room
from eailkit.synthkitchen.scan import ScanConfig, scan_room
from eailkit.synthkitchen.splits import DatasetConfig, TakeJob, dataset_jobs
from eailkit.synthkitchen.version import parameter_hash

RASTER_M = 0.05  # of the places where the head was


def own_cloud(room: Room, path_m: Float[np.ndarray, "n 3"], seed: int) -> PointMap:
    """The cloud that a walk along a path maps: `scan_room` with eyes where the path leads, at its mean height.

    Args:
        path_m: true positions of the head, m, the map's frame.
        seed: of places and noise.
    """
    low = path_m[:, :2].min(0)
    column, row = np.rint((path_m[:, :2] - low) / RASTER_M).astype(int).T
    been = np.zeros((row.max() + 1, column.max() + 1), bool)
    been[row, column] = True
    walked = replace(room, free=been, free_origin_xy_m=low, free_pitch_m=RASTER_M)
    height = path_m[:, 2]
    config = replace(ScanConfig(), eye_height_m=float(height.mean()), height_std_m=float(height.std()))
    return replace(scan_room(walked, seed, config=config), source=f"own cloud in {room.room_id}")


def take_jobs(root: str | Path) -> dict[str, TakeJob]:
    """The jobs that a SynthKitchen folder was made of, by take name: its card says all that they hang on.

    Raises:
        DatasetError: the folder has no card, so that it's another dataset.
    """
    path = Path(root) / CARD
    if not path.is_file():
        raise DatasetError(
            f"{root}: found no {CARD}; expected a SynthKitchen folder: a take's own cloud is simulated in its room."
        )
    asked = json.loads(path.read_text())["config"]
    plain = {f.name: asked[f.name] for f in fields(DatasetConfig)}
    config = DatasetConfig(**{k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()})
    jobs = dataset_jobs(asked["rooms"], asked["participants"], asked["minutes"], asked["seed"], config)
    return {job.name: job for job in jobs}


def clouds_identity(data: Identity) -> Identity:
    """What names the own clouds of a dataset's takes."""
    return identity("own clouds", code=(own_cloud,), raster_m=RASTER_M, simulator=parameter_hash(), data=data)


def own_clouds(
    root: str | Path, names: Iterable[str], out_dir: str | Path, data: Identity
) -> dict[str, Float32[np.ndarray, "n 3"]]:
    """The confident points of takes' own clouds, made once: take name -> (n, 3), m, the map's frame.

    Args:
        root: SynthKitchen folder of the takes.
        out_dir: holds a folder of them that is named after dataset, simulator and code.
        data: identity of the prepared dataset.
    """
    jobs, found = take_jobs(root), {}
    folder = Path(out_dir) / f"own-clouds.{clouds_identity(data).key}"
    for name in names:
        path = folder / f"{name}.npy"
        if not path.exists():
            job = jobs[name]
            walk = read_trajectory(Path(root) / "takes" / name / "trajectory" / "closed_loop_trajectory.csv")
            cloud = own_cloud(generate_room(job.room_seed, job.room_id), walk.position_world_m, job.seed)
            save_npy(path, cloud.confident().points_world_m.astype(np.float32))
        found[name] = np.load(path)
    return found
