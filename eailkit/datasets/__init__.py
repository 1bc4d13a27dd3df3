"""Readers: every source yields a `Recording`; `open_recording(path)` finds out which source it is.

Ego-Exo4D and SynthKitchen (`egoexo4d`), Aria's VRS and MPS files (`aria`), ClassyGlass (`classyglass`), RealWorld
(`realworld`), Ego4D (`ego4d`), and any table (`table`).
"""

from __future__ import annotations

from pathlib import Path

from eailkit.datasets import aria, classyglass, realworld, table
from eailkit.datasets.classyglass import ClassyGlass
from eailkit.datasets.ego4d import Ego4D
from eailkit.datasets.egoexo4d import EgoExo4D, TakeInfo
from eailkit.datasets.realworld import RealWorld
from eailkit.errors import MapError, RecordingError
from eailkit.recording import PointMap, Recording

__all__ = ["ClassyGlass", "Ego4D", "EgoExo4D", "RealWorld", "TakeInfo", "open_map", "open_recording"]


def open_recording(path: str | Path, *, imu: str = "imu-left") -> Recording:
    """A recording from whatever lies at `path`, on its device clock, IMU in sensor axes.

    Args:
        path: a take folder inside an Ego-Exo4D or SynthKitchen root; a folder with MPS output; a VRS file; a
            ClassyGlass CSV (its other sensor's lies beside it) or an entry of its pack (`user01.npz/e001`); a zip of
            RealWorld's (`acc_walking_csv.zip`); or a table of IMU samples (.csv, .csv.gz, .parquet, .npz; columns as
            `table.read_imu` says).
        imu: label of the sensor where the source holds several. EAIL reads "imu-left" (800 Hz on Aria Gen1).

    Raises:
        RecordingError: nothing there, not such a thing, or what it holds can't be right; one sentence says which.
        DatasetError, MapError: the same, of the dataset's own files and of the cloud.

    Example:
        >>> recording = open_recording("walk.csv")  # doctest: +SKIP
        >>> recording.imu.rate_hz  # doctest: +SKIP
        800.0
    """
    path = Path(path).expanduser()
    in_pack = path.parent.suffix == ".npz" and path.parent.is_file()
    if not in_pack and not path.exists():
        raise RecordingError(
            f"{path}: no such file or folder; expected a take, an MPS folder, a VRS file or a table; check it."
        )
    if path.is_dir():
        folder = path.resolve()
        if folder.parent.name == "takes" and (folder.parent.parent / "takes.json").is_file():
            return EgoExo4D(folder.parent.parent).recording(folder.name, imu=imu)
        return aria.open_mps(path, imu=imu)
    if path.suffix == ".vrs":
        return Recording(name=path.stem, imu=aria.read_vrs(path, label=imu))
    if classyglass.is_recording(path):
        return classyglass.open_path(path)
    if realworld.ZIP_NAME.fullmatch(path.name):
        return realworld.open_zip(path)
    return Recording(name=path.name.split(".")[0], imu=table.read_imu(path))


def open_map(path: str | Path) -> PointMap:
    """A point cloud, unfiltered: semidense_points.csv.gz, global_points.csv.gz, .csv, .npz, or a folder with one.

    Raises:
        MapError: nothing there, or no finite point in it.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        cloud = aria.find_cloud(path)
        if cloud is None:
            raise MapError(f"{path}: found none of {', '.join(aria.CLOUD_NAMES[:2])}; expected a map; check the path.")
        path = cloud
    return aria.read_cloud(path)
