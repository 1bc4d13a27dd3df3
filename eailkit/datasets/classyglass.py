"""ClassyGlass 1A and 1B: 27 wearers, an IMU on the right temple of glasses, one activity a recording.

It reads the dataset's own CSV files (an accelerometer's and a gyroscope's, each with its own times) and a packed
form of them (index.csv and one npz a wearer, see `ClassyGlass`). Dataset 2, timed walks of other people, isn't read.

Mounting. The dataset's description says "right temple" and no axes, so `R_head_sensor` is None and
`ImuStream.in_head_frame` refuses. What 1A's data says: gravity lies along the sensor's y axis while people stand, up
is +y in all recordings of wearers 1 to 6, -y in all of 8 to 12, and wearer 7's sensor was turned over after experiment
70. So a mounting holds for one recording at most: `up_sensor` estimates the one part of it that can be known, the
direction of up; the heading in the head stays unknown. Use gravity-aligned axes, or features that no rotation changes.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from eailkit.datasets import table
from eailkit.datasets.merge import Samples, as_recordings, merge, one_part, open_all
from eailkit.errors import DatasetError, RecordingError
from eailkit.recording import ImuStream, Recording

G_MPS2 = 9.80665  # the files are in g
RADPS_PER_DPS = np.pi / 180.0
LABEL = "right temple"
MAX_GAP_S = 0.05
MIN_RATE_HZ = 45.0  # the nominal 25 Hz gyroscopes of experiments 273 and 321 can't serve 50 Hz models
ACTIVITIES = (  # activity k + 1 of the dataset's sheets; 1A has the first eleven
    *("sit_read_book", "sit_write_notebook", "computer_typing", "computer_browsing", "sit_move_head_body"),
    *("sit_move_chair", "sit_to_stand", "standing", "walking", "running", "stairs"),
    *("don_doff_sitting", "don_doff_standing", "pick_items_sitting", "pick_items_standing"),
)
SENSORS = {"Accelerometer": ("accelerometer", "g", G_MPS2), "Gyroscope": ("gyroscope", "deg/s", RADPS_PER_DPS)}
FILE_NAME = re.compile(
    r"(?P<experiment>\d+)_MetaWear_(?P<date>\d{4}-\d\d-\d\d)T[\d.]+_(?P<device>[0-9A-F]{12})_"
    r"(?P<sensor>Accelerometer|Gyroscope)_(?P<rate>[\d.]+)Hz_[\d.]+\.csv"
)
_PACK_SCALES = {"acc": ("accelerometer", G_MPS2 / 1000.0), "gyr": ("gyroscope", RADPS_PER_DPS / 16.4)}  # int16 steps


@dataclass(frozen=True)
class Entry:
    """What is known of one recording before its samples are read.

    Attributes:
        name: "e001" to "e351", after the experiment's number.
        dataset: "1A" or "1B"; 1B is meant as a test set.
        participant: "user01" to "user27"; no wearer is in both datasets.
        activity: one of `ACTIVITIES`.
        acc, gyro: CSV files, or the npz that holds both; None where the dataset has none.
    """

    name: str
    dataset: str
    participant: str
    activity: str
    acc: Path | None
    gyro: Path | None


def label_of(experiment: int) -> tuple[str, str, str]:
    """Dataset, participant and activity of an experiment's number: the CSV files say them nowhere else.

    1A goes through its 11 activities wearer by wearer, 1B from 133 on through 15, and from wearer 24 (298) on
    through 14, without running.

    Raises:
        DatasetError: no experiment of 1A or 1B has that number.

    Example:
        >>> label_of(20)
        ('1A', 'user02', 'walking')
    """
    if 1 <= experiment <= 132:
        participant, activity = divmod(experiment - 1, 11)
        return "1A", f"user{participant + 1:02d}", ACTIVITIES[activity]
    if 133 <= experiment <= 297:
        participant, activity = divmod(experiment - 133, 15)
        return "1B", f"user{participant + 13:02d}", ACTIVITIES[activity]
    if 298 <= experiment <= 353:
        participant, activity = divmod(experiment - 298, 14)
        return "1B", f"user{participant + 24:02d}", tuple(a for a in ACTIVITIES if a != "running")[activity]
    raise DatasetError(
        f"ClassyGlass: found experiment {experiment}; expected 1 to 132 (1A) or 133 to 353 (1B); check the file's name."
    )


@dataclass(frozen=True)
class ClassyGlass:
    """A folder with ClassyGlass recordings: the dataset's own tree, a folder of its CSV files, or the packed form.

    The pack: `index.csv` (dataset, user, exp, activity, npz, key, ...) and one npz a wearer with int16 arrays
    `e<exp>_acc` (milli-g), `e<exp>_gyr` (1/16.4 deg/s), the epoch millisecond of sample 0 (`..._t0ms`) and the steps in
    ms (`..._dtms`): the CSVs without loss but for 0.0005 deg/s.

    Attributes:
        root: the folder.
        entries: every recording that it lists, by experiment.

    Raises:
        DatasetError: it holds neither, or two files claim to be one sensor of one experiment.
    """

    root: Path
    entries: tuple[Entry, ...] = field(init=False)

    def __post_init__(self) -> None:
        root = Path(self.root).expanduser()
        object.__setattr__(self, "root", root)
        entries = _packed_entries(root) if (root / "index.csv").is_file() else _csv_entries(root)
        if not entries:
            raise DatasetError(
                f"{root}: found no index.csv and no <n>_MetaWear_..._Accelerometer_...csv of dataset 1A or 1B; "
                "expected ClassyGlass's Datasets folder or its packed form; check the path."
            )
        object.__setattr__(self, "entries", tuple(sorted(entries, key=lambda e: int(e.name[1:]))))

    def entry(self, name: str) -> Entry:
        """The entry of that name.

        Raises:
            DatasetError: there is none.
        """
        for entry in self.entries:
            if entry.name == name:
                return entry
        raise DatasetError(
            f"{self.root}: found no recording '{name}' among {len(self.entries)}; expected such as "
            f"'{self.entries[0].name}'; see entries for the names."
        )

    def parts(
        self, name: str, *, max_gap_s: float = MAX_GAP_S, min_rate_hz: float = MIN_RATE_HZ
    ) -> tuple[Recording, ...]:
        """The recording, cut wherever one of the sensors has a gap above the limit.

        Raises:
            RecordingError: a sensor is missing, too slow, or wrong (see `merge.merge`).
            DatasetError: no recording has that name.
        """
        entry = self.entry(name)
        acc, gyro = _sensors(entry)
        return _recordings(entry, merge(acc, gyro, label=LABEL, max_gap_s=max_gap_s, min_rate_hz=min_rate_hz))

    def recording(self, name: str, *, max_gap_s: float = MAX_GAP_S, min_rate_hz: float = MIN_RATE_HZ) -> Recording:
        """The recording in one piece: epoch seconds, accelerometer's times, SI units, sensor axes.

        Raises:
            RecordingError: as `parts`, or a gap cuts it.
            DatasetError: no recording has that name.
        """
        entry = self.entry(name)
        return _whole(entry, max_gap_s, min_rate_hz)

    def open_all(self, dataset: str) -> tuple[list[Recording], dict[str, str]]:
        """All recordings of "1A" or "1B", cut at gaps, and the reason for each that is refused, by name.

        Raises:
            DatasetError: the folder has none of that dataset.
        """
        names = [e.name for e in self.entries if e.dataset == dataset]
        if not names:
            raise DatasetError(
                f"{self.root}: found no recording of dataset '{dataset}'; expected '1A' or '1B'; check it."
            )
        return open_all(names, self.parts)


def open_path(path: Path) -> Recording:
    """One recording from either CSV of its pair, or from a pack's entry such as `1A/user01.npz/e001`.

    Raises:
        RecordingError, DatasetError: see `ClassyGlass.recording`.
    """
    if FILE_NAME.fullmatch(path.name):
        experiment = int(FILE_NAME.fullmatch(path.name)["experiment"])
        entries = _csv_entries(path.parent, f"{experiment}_MetaWear_*.csv")
        if not entries:
            raise DatasetError(
                f"{path}: found a file of neither dataset 1A (2019) nor 1B (2020 to summer 2021); expected one of "
                "them; other MetaWear files need one table with both sensors, as open_recording says."
            )
        return _whole(entries[0], MAX_GAP_S, MIN_RATE_HZ)
    if not re.fullmatch(r"e\d{3}", path.name):
        held = sorted({k.split("_")[0] for k in table.read_columns(path, None)[0] if re.match(r"e\d{3}_", k)})
        raise RecordingError(
            f"{path}: found a pack of {len(held)} recordings; expected one; name it, such as {path.name}/{held[0]}."
        )
    dataset, participant, activity = label_of(int(path.name[1:]))
    return _whole(Entry(path.name, dataset, participant, activity, path.parent, path.parent), MAX_GAP_S, MIN_RATE_HZ)


def is_recording(path: Path) -> bool:
    """Whether a path names a ClassyGlass CSV, a pack's npz or an entry in one."""
    if FILE_NAME.fullmatch(path.name) or (re.fullmatch(r"e\d{3}", path.name) and path.parent.suffix == ".npz"):
        return True
    return re.fullmatch(r"user\d\d\.npz", path.name) is not None and path.parent.name in ("1A", "1B")


def up_sensor(imu: ImuStream) -> Float[np.ndarray, " 3"]:
    """Unit vector that points up in sensor axes: the mean specific force, right where motion averages out.

    It fixes two of a mounting's three angles, for the head's mean posture in this recording (a reader's is bowed).

    Raises:
        RecordingError: the stream isn't in sensor axes.
    """
    if imu.frame != "sensor":
        raise RecordingError(f"{imu.source}: found an IMU in frame '{imu.frame}'; expected 'sensor'; pass it as read.")
    mean = imu.acc_mps2.mean(axis=0)
    return mean / np.linalg.norm(mean)


def _whole(entry: Entry, max_gap_s: float, min_rate_hz: float) -> Recording:
    acc, gyro = _sensors(entry)
    parts = merge(acc, gyro, label=LABEL, max_gap_s=max_gap_s, min_rate_hz=min_rate_hz)
    return _recordings(entry, (one_part(acc, gyro, parts, max_gap_s),))[0]


def _recordings(entry: Entry, streams: tuple[ImuStream, ...]) -> tuple[Recording, ...]:
    return as_recordings(
        entry.name, streams, activity=entry.activity, participant=entry.participant, split=entry.dataset
    )


def _sensors(entry: Entry) -> tuple[Samples, Samples]:
    for kind, path in (("accelerometer", entry.acc), ("gyroscope", entry.gyro)):
        if path is None:
            raise RecordingError(
                f"{entry.acc or entry.gyro}: found no {kind} beside it for experiment {entry.name[1:]}; expected "
                "a file of each sensor; leave the recording out, or download it again if it should be there."
            )
    if entry.acc.suffix == ".npz":
        return _read_packed(entry.acc, entry.name, "acc"), _read_packed(entry.gyro, entry.name, "gyr")
    return _read_csv(entry.acc, "Accelerometer"), _read_csv(entry.gyro, "Gyroscope")


def _read_csv(path: Path, sensor: str) -> Samples:
    kind, unit, scale = SENSORS[sensor]
    columns, _ = table.read_columns(path)
    names = tuple(f"{axis}-axis ({unit})" for axis in "xyz")
    values = table.numbers(path, columns, ("epoch (ms)", *names), RecordingError)
    return Samples(values[:, 0] * 1e-3, values[:, 1:] * scale, str(path), kind)


def _read_packed(path: Path, name: str, sensor: str) -> Samples:
    kind, scale = _PACK_SCALES[sensor]
    keys = tuple(f"{name}_{sensor}{suffix}" for suffix in ("", "_t0ms", "_dtms"))
    held, _ = table.read_columns(path, keys)
    if missing := [k for k in keys if k not in held]:
        raise RecordingError(
            f"{path}: found no {missing[0]}, the {kind} of experiment {name[1:]}; expected both sensors; leave it out."
        )
    values, t0_ms, step_ms = (held[k] for k in keys)
    if values.ndim != 2 or values.shape[1] != 3 or len(step_ms) != len(values) - 1:
        raise RecordingError(
            f"{path}: found {keys[0]} of shape {values.shape} with {len(step_ms)} steps; expected (n, 3) and n - 1; "
            "the pack is broken: make or copy it again."
        )
    t_ms = int(t0_ms) + np.concatenate([[0], np.cumsum(step_ms.astype(np.int64))])
    return Samples(t_ms * 1e-3, values * scale, f"{path}/{name}", kind)


def _packed_entries(root: Path) -> list[Entry]:
    path = root / "index.csv"
    with path.open(encoding="utf-8") as lines:
        reader = csv.DictReader(lines)
        wanted = {"dataset", "user", "exp", "activity", "npz", "key", "acc_n", "gyr_n"}
        if missing := wanted - set(reader.fieldnames or ()):
            raise DatasetError(
                f"{path}: found no column {', '.join(sorted(missing))}; expected the index of a "
                "ClassyGlass pack; get it again."
            )
        rows = list(reader)
    return [
        Entry(
            row["key"],
            row["dataset"],
            f"user{int(row['user']):02d}",
            row["activity"],
            root / row["npz"] if row["acc_n"] else None,
            root / row["npz"] if row["gyr_n"] else None,
        )
        for row in rows
    ]


def _csv_entries(root: Path, pattern: str = "**/*_MetaWear_*.csv") -> list[Entry]:
    """Pairs of CSV files of 1A and 1B below a folder; Dataset 2 numbers its experiments anew from a later year."""
    found: dict[int, dict[str, Path]] = {}
    for path in sorted(root.glob(pattern)):
        name = FILE_NAME.fullmatch(path.name)
        if not name or name["date"] >= "2021-10" or "Dataset_2" in path.parts:
            continue
        files = found.setdefault(int(name["experiment"]), {})
        if name["sensor"] in files:
            raise DatasetError(
                f"{path}: found a second {name['sensor']} file of experiment {name['experiment']} beside "
                f"{files[name['sensor']].name}; expected one; move one of them away."
            )
        files[name["sensor"]] = path
    entries = []
    for experiment, files in found.items():
        dataset, participant, activity = label_of(experiment)
        acc, gyro = files.get("Accelerometer"), files.get("Gyroscope")
        folder = (acc or gyro).parent.name
        if (user := re.fullmatch(r"User(\d+)", folder)) and f"user{int(user[1]):02d}" != participant:
            raise DatasetError(
                f"{acc or gyro}: found experiment {experiment} in {folder}; expected it with {participant}; "
                "was a file moved?"
            )
        entries.append(Entry(f"e{experiment:03d}", dataset, participant, activity, acc, gyro))
    return entries
