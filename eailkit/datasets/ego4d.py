"""Ego4D: IMU tables of head cameras, and what narrators wrote, both in seconds of the video.

It reads `v2/imu/<video_uid>.csv`, `ego4d.json` and `narration.json`; videos stay where they are. Cameras differ, and
the files say neither which nor how they sat on the head: `R_head_sensor` is None. Tried only on files of that layout
made by its tests: the limits on lost rows and gaps haven't met the dataset itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from eailkit.datasets import table
from eailkit.datasets.merge import Samples, merge, open_all
from eailkit.errors import DatasetError, RecordingError
from eailkit.recording import Narration, Recording

MAX_GAP_S = 0.1  # twenty steps at the usual 201 Hz: components that are missing leave minutes
MIN_RATE_HZ = 45.0
MAX_LOST = 0.05  # share of rows without a usable time; stamps far outside the video are a known fault
TIME = "canonical_timestamp_ms"
AXES = {"accelerometer": ("accl_x", "accl_y", "accl_z"), "gyroscope": ("gyro_x", "gyro_y", "gyro_z")}
PASSES = ("narration_pass_1", "narration_pass_2")


@dataclass(frozen=True)
class Ego4D:
    """A folder with `ego4d.json` and `v2/imu`, or the `v2` folder itself with both in it.

    Attributes:
        root: the folder.
        durations_s: length of each video that has an IMU table here, by video_uid.

    Raises:
        DatasetError: no ego4d.json, or no table of a video that it lists.
    """

    root: Path
    durations_s: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root).expanduser())
        path = self._find("ego4d.json")
        if path is None:
            raise DatasetError(f"{self.root}: found no ego4d.json; expected Ego4D's folder; check the path.")
        listed = _read_json(path).get("videos")
        if not isinstance(listed, list) or not all(isinstance(v, dict) and "video_uid" in v for v in listed):
            raise DatasetError(f"{path}: expected videos with a video_uid each; is it the right file?")
        durations = {
            str(v["video_uid"]): float(v.get("duration_sec") or np.inf)
            for v in listed
            if self._find(f"imu/{v['video_uid']}.csv")
        }
        if not durations:
            raise DatasetError(
                f"{self.root}: found no imu/<video_uid>.csv of the {len(listed)} videos in ego4d.json; expected some "
                "in v2/imu; download the dataset imu."
            )
        object.__setattr__(self, "durations_s", durations)

    def _find(self, name: str) -> Path | None:
        paths = (base / name for base in (self.root, self.root / "v2", self.root / "annotations"))
        return next((p for p in (*paths, self.root / "v2" / "annotations" / name) if p.is_file()), None)

    def parts(
        self, uid: str, *, max_gap_s: float = MAX_GAP_S, min_rate_hz: float = MIN_RATE_HZ
    ) -> tuple[Recording, ...]:
        """The video's IMU and the wearer's narrations, cut wherever a sensor has a gap above the limit.

        Times are seconds of the video (`canonical_timestamp_ms`); rows are sorted by them. Each part has the
        narrations of its own span.

        Raises:
            DatasetError: no such video.
            RecordingError: the table can't be right (see `merge.merge`), or too many rows have no usable time.
        """
        if uid not in self.durations_s:
            raise DatasetError(
                f"{self.root}: found no IMU of video '{uid}' among {len(self.durations_s)}; see durations_s for them."
            )
        acc, gyro = _read(self._find(f"imu/{uid}.csv"), self.durations_s[uid])
        streams = merge(acc, gyro, label="head camera", max_gap_s=max_gap_s, min_rate_hz=min_rate_hz)
        said = self.narrations(uid)
        many = len(streams) > 1
        return tuple(
            Recording(
                name=f"{uid}.{k + 1}" if many else uid,
                imu=imu,
                narrations=tuple(n for n in said if imu.t_s[0] <= n.t_s <= imu.t_s[-1]),
            )
            for k, imu in enumerate(streams)
        )

    def narrations(self, uid: str) -> tuple[Narration, ...]:
        """Sentences about the wearer ("#C ...", the mark taken off) from both narrators, by time; () without a file."""
        path = self._find("narration.json")
        if path is None:
            return ()
        content = _read_json(path)
        video = content.get("videos", content).get(uid, {})
        said = [
            Narration(float(n["timestamp_sec"]), text[2:].strip())
            for name in PASSES
            for n in (video.get(name) or {}).get("narrations", [])
            if n.get("timestamp_sec") is not None
            and (text := str(n.get("narration_text") or "").strip()).lower().startswith("#c ")
        ]
        return tuple(sorted(said, key=lambda n: n.t_s))

    def open_all(self) -> tuple[list[Recording], dict[str, str]]:
        """All recordings, cut at gaps, and the reason for each video that is refused, by uid."""
        return open_all(self.durations_s, self.parts)


def _read(path: Path, duration_s: float) -> tuple[Samples, Samples]:
    """Both sensors of one table, sorted; rows that no time places in the video are left out, up to `MAX_LOST`."""
    columns, _ = table.read_columns(path, (TIME, *AXES["accelerometer"], *AXES["gyroscope"]))
    t_s = table.numbers(path, columns, (TIME,), RecordingError)[:, 0] * 1e-3
    placed = np.isfinite(t_s) & (t_s >= 0) & (t_s <= duration_s + 1.0)
    if not len(t_s) or (~placed).mean() > MAX_LOST:
        raise RecordingError(
            f"{path}: found {int((~placed).sum())} of {len(t_s)} rows without {TIME} inside the video's "
            f"{duration_s:.0f} s; expected at most {100 * MAX_LOST:.0f} %; leave the video out."
        )
    order = np.flatnonzero(placed)[np.argsort(t_s[placed], kind="stable")]
    sensors = []
    for kind, names in AXES.items():
        values = table.numbers(path, columns, names, RecordingError)[order]
        samples = Samples(t_s[order], values, str(path), kind)
        measured = np.isfinite(values).all(axis=1)  # a sensor's empty cells are times at which it wasn't read
        sensors.append(replace(samples, t_s=samples.t_s[measured], values=values[measured]))
    return sensors[0], sensors[1]


def _read_json(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise DatasetError(
            f"{path}: can't be read as JSON ({fault}); expected a whole file; copy or download it again."
        ) from None
    if not isinstance(content, dict):
        raise DatasetError(f"{path}: found a list; expected Ego4D's object; is it the right file?")
    return content
