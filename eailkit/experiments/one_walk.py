"""One recorded walk beside the lines that it must be read against: what the first notebook and README's picture show.

Everything here needs a localizer, a recording and its map; no dataset is prepared and nothing trained.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float

from eailkit.eail.decision import RADIUS_M, most_mass
from eailkit.eail.evaluation import expected_error_m, expected_success
from eailkit.files import DATA_SAMPLES
from eailkit.localize import EncodedMap, Localizer, Track
from eailkit.recording import ImuStream, Recording

LOCALIZED = "localized"
OTHER = "another walk's IMU"
CONSTANT = "its mean map, one place"
ALONE = "without the tracker"
BEST = "best single place (told)"
STRIDE_S = 5  # of the lines, as in the tables at quick
CHOICE = DATA_SAMPLES / "kitchens" / "choice.json"


@dataclass(frozen=True)
class Walk:
    """A localized recording with its truth and its lines.

    Attributes:
        room: the map.
        track: what the localizer says.
        truth: true positions at `track.time_s`, m, NaN where unknown, (n, 2).
        error_m: line -> distance from the truth, a value a second; a guess's is its mean.
        success: line -> percent of the known seconds within 0.4 m.
        told: as `success`, of what is told something of the truth.
        maps: line -> probabilities of each second over the cells.
    """

    room: EncodedMap
    track: Track
    truth: Float[np.ndarray, "n 2"]
    error_m: Mapping[str, Float[np.ndarray, " n"]]
    success: Mapping[str, float]
    told: Mapping[str, float]
    maps: Mapping[str, Float[np.ndarray, "n cells"]]

    @property
    def knowing_less(self) -> dict[str, float]:
        """`success` of the localizer and of the lines that know less than it does."""
        return {name: value for name, value in self.success.items() if name != ALONE}

    def table(self) -> pd.DataFrame:
        """A row a line: success at 0.4 m, percent, and mean error, m; "–" where there is none."""
        rows = {**self.success, **self.told}
        error = {name: f"{np.nanmean(e):.2f}" for name, e in self.error_m.items()}
        columns = {"success at 0.4 m (%)": {name: f"{v:.1f}" for name, v in rows.items()}, "mean error (m)": error}
        return pd.DataFrame(columns, index=list(rows)).fillna("–")


def localized_walk(localizer: Localizer, recording: Recording, other: ImuStream, *, track: Track | None = None) -> Walk:
    """Localize a recording that knows its own path, which plays no part in it, and all its lines.

    Args:
        other: another wearer's IMU, fed to the same model on the same map.
        track: what the localizer says of the recording, where that is made already.
    """
    room = localizer.encode_map(recording.map)
    track = track or localizer.localize(recording.imu, room, stride_s=STRIDE_S)
    truth = recording.trajectory.position_at(recording.imu.t_s[0] + track.time_s)[:, :2]
    alone = localizer.localize(recording.imu, room, tracker=False, stride_s=STRIDE_S)
    strange = localizer.localize(other, room, stride_s=STRIDE_S)
    at = np.arange(len(truth)) % len(strange.position_m)
    centres = room.grid.cell_centres
    place = most_mass(alone.prediction.confidence.mean(0, keepdims=True), centres)
    places = {
        LOCALIZED: track.position_m, ALONE: alone.position_m, CONSTANT: np.repeat(place, len(truth), axis=0),
        OTHER: strange.position_m[at],
    }  # fmt: skip
    error = {name: np.linalg.norm(at - truth, axis=1) for name, at in places.items()}
    known = np.isfinite(truth).all(axis=1)
    success = {name: 100 * float(np.mean(e[known] < RADIUS_M)) for name, e in error.items()}
    for name, cells in (("any free cell", room.free), ("any cell", ~room.clouds.empty)):
        error[name] = expected_error_m(cells, centres, truth)
        success[name] = expected_success(cells, centres, truth)
    near = np.linalg.norm(centres[None] - truth[known][:, None], axis=2) < RADIUS_M
    maps = {LOCALIZED: track.prediction, ALONE: alone.prediction, OTHER: strange.prediction}
    maps = {name: found.confidence[at if name == OTHER else slice(None)] for name, found in maps.items()}
    return Walk(room, track, truth, error, success, {BEST: 100 * float(near.mean(0).max())}, maps)


def choice(path: Path = CHOICE) -> dict[str, str]:
    """How each of the sample walks was chosen, in words: split -> a sentence, as `benchmarks/ship.py` wrote them."""
    return json.loads(path.read_text(encoding="utf-8"))["walks"]
