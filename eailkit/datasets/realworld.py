"""RealWorld (Mannheim 2016): 15 people, eight activities, sensors at seven places of the body.

Accelerometer and gyroscope lie in separate zips, with times of their own, and the names inside vary. It reads the
zips as they are downloaded and never unpacks them to disk. How the phone sat on the head isn't part of the files, so
`R_head_sensor` is None: use gravity-aligned axes. Written after the layout's description and tried only on files of
that layout made by its tests: the limits on gaps and rates haven't met the dataset itself.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from eailkit.datasets import table
from eailkit.datasets.merge import Samples, as_recordings, merge, one_part, open_all
from eailkit.errors import DatasetError, RecordingError
from eailkit.recording import Recording

ACTIVITIES = ("climbingdown", "climbingup", "jumping", "lying", "running", "sitting", "standing", "walking")
POSITIONS = ("chest", "forearm", "head", "shin", "thigh", "upperarm", "waist")
MAX_GAP_S = 0.1  # five steps at the nominal 50 Hz; phones log unevenly
MIN_RATE_HZ = 40.0
COLUMNS = ("attr_time", "attr_x", "attr_y", "attr_z")
ZIP_NAME = re.compile(rf"(?P<sensor>acc|gyr)_(?P<activity>{'|'.join(ACTIVITIES)})_csv\.zip", re.IGNORECASE)
_MEMBER = re.compile(  # acc_walking_head.csv, Gyroscope_walking_head.csv, acc_climbingup_2_head.csv, acc_..._head_2.csv
    rf"(?P<sensor>acc|accelerometer|gyr|gyroscope)_(?P<activity>{'|'.join(ACTIVITIES)})(?:_(?P<before>\d))?"
    rf"_(?P<position>{'|'.join(POSITIONS)})(?:_(?P<after>\d))?\.csv",
    re.IGNORECASE,
)
_NESTED = re.compile(r".*?_(?P<session>\d)_csv\.zip", re.IGNORECASE)
_KINDS = {"acc": "accelerometer", "gyr": "gyroscope"}


@dataclass(frozen=True)
class RealWorld:
    """A folder with `proband1/data/acc_walking_csv.zip` and so on.

    Attributes:
        root: the folder.
        position: place on the body; EAIL and PRIMUS are about "head".
        names: "proband1/walking" for every person and activity that has an accelerometer or a gyroscope.

    Raises:
        DatasetError: no such zips, or no such position.
    """

    root: Path
    position: str = "head"
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        root = Path(self.root).expanduser()
        object.__setattr__(self, "root", root)
        _check_position(self.position)
        found = {
            (path.parent.parent.name, ZIP_NAME.fullmatch(path.name)["activity"].lower())
            for path in root.glob("proband*/data/*.zip")
            if ZIP_NAME.fullmatch(path.name)
        }
        if not found:
            raise DatasetError(
                f"{root}: found no proband<n>/data/acc_<activity>_csv.zip; expected RealWorld's zips as downloaded; "
                "check the path."
            )
        order = sorted(found, key=lambda pair: (int(re.sub(r"\D", "", pair[0]) or 0), pair[1]))
        object.__setattr__(self, "names", tuple(f"{person}/{activity}" for person, activity in order))

    def parts(
        self, name: str, *, max_gap_s: float = MAX_GAP_S, min_rate_hz: float = MIN_RATE_HZ
    ) -> tuple[Recording, ...]:
        """All sessions of one person and activity, cut wherever a sensor has a gap above the limit.

        Recordings are named "proband4/climbingup", with "-2" for a second session and ".1", ".2" for its parts.

        Raises:
            RecordingError: a sensor or the position is missing, or what a file holds is wrong.
            DatasetError: no person and activity of that name.
        """
        if name not in self.names:
            raise DatasetError(
                f"{self.root}: found no '{name}' among {len(self.names)}; expected such as '{self.names[0]}'; "
                "see names."
            )
        person, activity = name.split("/")
        acc, gyro = (_zip_beside(self.root / person / "data", sensor, activity) for sensor in ("acc", "gyr"))
        recordings: list[Recording] = []
        for session, a, g in _sessions(acc, gyro, activity, self.position):
            streams = merge(a, g, label=f"phone ({self.position})", max_gap_s=max_gap_s, min_rate_hz=min_rate_hz)
            recordings += as_recordings(
                name + _suffix(session), streams, activity=activity, participant=person, split=""
            )
        return tuple(recordings)

    def open_all(self) -> tuple[list[Recording], dict[str, str]]:
        """All recordings, cut at gaps, and the reason for each person and activity that is refused, by name."""
        return open_all(self.names, self.parts)


def open_zip(path: Path, *, position: str = "head") -> Recording:
    """The one recording of a zip `acc_<activity>_csv.zip` (or gyr_...) and of the other sensor's zip beside it.

    Raises:
        RecordingError: a sensor is missing, the zip holds several sessions, a gap cuts it, or a file is wrong.
    """
    _check_position(position)
    activity = ZIP_NAME.fullmatch(path.name)["activity"].lower()
    acc, gyro = (_zip_beside(path.parent, sensor, activity) for sensor in ("acc", "gyr"))
    sessions = list(_sessions(acc, gyro, activity, position))
    if len(sessions) > 1:
        raise RecordingError(
            f"{path}: found {len(sessions)} sessions; expected one; read them with RealWorld(root).parts(name)."
        )
    _, a, g = sessions[0]
    parts = merge(a, g, label=f"phone ({position})", max_gap_s=MAX_GAP_S, min_rate_hz=MIN_RATE_HZ)
    person = path.resolve().parent.parent.name
    imu = one_part(a, g, parts, MAX_GAP_S)
    return as_recordings(f"{person}/{activity}", (imu,), activity=activity, participant=person, split="")[0]


def _check_position(position: str) -> None:
    if position not in POSITIONS:
        raise DatasetError(f"RealWorld: found position '{position}'; expected one of {', '.join(POSITIONS)}.")


def _suffix(session: int) -> str:
    return "" if session == 1 else f"-{session}"


def _zip_beside(folder: Path, sensor: str, activity: str) -> Path:
    path = folder / f"{sensor}_{activity}_csv.zip"
    if not path.is_file():
        raise RecordingError(
            f"{path}: no such file; expected the {_KINDS[sensor]}'s zip beside the other sensor's; download it, or "
            "leave the recording out."
        )
    return path


def _sessions(acc: Path, gyro: Path, activity: str, position: str) -> Iterator[tuple[int, Samples, Samples]]:
    """Session number and both sensors' samples, for every session of two zips.

    Raises:
        RecordingError: no file of that position in one of them, or a session that only one of them has.
    """
    found = {}
    for sensor, path in (("acc", acc), ("gyr", gyro)):
        members = {}
        others = set()
        for session, member, content in _members(path):
            name = _MEMBER.fullmatch(member)
            if not name or name["sensor"].lower()[:3] != sensor or name["activity"].lower() != activity:
                continue
            if name["position"].lower() != position:
                others.add(name["position"].lower())
                continue
            number = int(name["before"] or name["after"] or session)
            if number in members:
                raise RecordingError(
                    f"{path}: found two files of session {number} at '{position}'; expected one; is the zip one of "
                    "several versions?"
                )
            members[number] = (member, content)
        if not members:
            raise RecordingError(
                f"{path}: found no {_KINDS[sensor]} at '{position}' but at {', '.join(sorted(others)) or 'no place'}; "
                f"expected {sensor}_{activity}_{position}.csv; leave the recording out."
            )
        found[sensor] = (path, members)
    numbers = {sensor: sorted(members) for sensor, (_, members) in found.items()}
    if numbers["acc"] != numbers["gyr"]:
        raise RecordingError(
            f"{acc}: found sessions {numbers['acc']} of the accelerometer and {numbers['gyr']} of the gyroscope; "
            "expected the same; download both zips again, or leave the recording out."
        )
    for number in numbers["acc"]:
        acc_samples, gyro_samples = (
            _read(f"{path}/{members[number][0]}", members[number][1], _KINDS[sensor])
            for sensor, (path, members) in found.items()
        )
        yield number, acc_samples, gyro_samples


def _members(path: Path) -> Iterator[tuple[int, str, bytes]]:
    """(session, name, content) of every CSV of a zip and of the zips in it; a zip in it is a session.

    Raises:
        RecordingError: the zip, or one in it, is truncated.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield from _csv_members(archive, 1)
    except (zipfile.BadZipFile, EOFError, OSError, zipfile.zlib.error) as fault:
        raise RecordingError(
            f"{path}: can't be read as a zip ({str(fault).rstrip('.')[:120]}); expected a complete one; it may be "
            "truncated: download it again."
        ) from None


def _csv_members(archive: zipfile.ZipFile, session: int) -> Iterator[tuple[int, str, bytes]]:
    for info in archive.infolist():
        name = info.filename.rsplit("/", 1)[-1]
        if info.filename.startswith("__MACOSX") or name.startswith("."):
            continue
        if name.lower().endswith(".zip"):
            nested = _NESTED.fullmatch(name)
            with zipfile.ZipFile(io.BytesIO(archive.read(info))) as inner:
                yield from _csv_members(inner, int(nested["session"]) if nested else session)
        elif _MEMBER.fullmatch(name):
            yield session, name, archive.read(info)


def _read(source: str, content: bytes, kind: str) -> Samples:
    """Samples of one CSV: attr_time in Unix ms, attr_x, attr_y, attr_z in m/s² or rad/s."""
    try:
        rows = pa.csv.read_csv(io.BytesIO(content))
    except pa.ArrowInvalid as fault:
        raise RecordingError(
            f"{source}: can't be read as a table ({str(fault).splitlines()[0].rstrip('.')[:120]}); expected "
            f"{', '.join(COLUMNS)}; it may be truncated: download the zip again."
        ) from None
    columns = {name.strip(): rows[name].to_numpy() for name in rows.column_names}
    values = table.numbers(Path(source), columns, COLUMNS, RecordingError)
    if len(values) and not 1e12 < np.nanmedian(values[:, 0]) < 1e13:
        raise RecordingError(
            f"{source}: found attr_time near {np.nanmedian(values[:, 0]):.4g}; expected Unix milliseconds, "
            "about 1.4e12; check the unit of the time column."
        )
    return Samples(values[:, 0] * 1e-3, values[:, 1:], source, kind)
