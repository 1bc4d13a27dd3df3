"""From one recording and one map to a trajectory: what `eailkit localize` does, and three lines of Python.

`Localizer` loads a pair of trained stages, encodes a map once and then any number of recordings. No labels, no
trajectory and no frames take part.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from eailkit.datasets import open_map, open_recording
from eailkit.eail.inference import check_belongs, predict
from eailkit.eail.sequences import Prediction
from eailkit.eail.stage1 import Stage1, Stage1Config, embed_cells, embed_imu
from eailkit.eail.stage2 import SpatioTemporalReasoner, Stage2Config
from eailkit.errors import CheckpointError, MapError, RecordingError
from eailkit.files import DATA_SAMPLES, check_writable, refuse_overwrite, write_atomically, write_json
from eailkit.losses import Stage1Weights
from eailkit.preprocess.imu import gravity_align, resample, second_windows
from eailkit.preprocess.mapgrid import LocalClouds, MapGrid, estimate_grid, local_clouds
from eailkit.provenance import weights_tag
from eailkit.recording import ImuStream, PointMap
from eailkit.weights import load_weights, save_weights

QUICK_WEIGHTS = DATA_SAMPLES / "quick"


@dataclass(frozen=True)
class EncodedMap:
    """A map ready to be localized in: the square, its cells' features and which of them are empty."""

    point_map: PointMap
    grid: MapGrid
    clouds: LocalClouds
    features: np.ndarray


@dataclass(frozen=True)
class Track:
    """Where the wearer was, a row a second.

    Attributes:
        time_s: middle of each second, seconds from the recording's first sample, (n,).
        position_m: centre of the most likely cell in the map's frame, (n, 2).
        confidence: probability of that cell, (n,).
        action: most likely action, (n,) names.
        prediction: the full probabilities.
    """

    time_s: np.ndarray
    position_m: np.ndarray
    confidence: np.ndarray
    action: np.ndarray
    prediction: Prediction

    def to_frame(self) -> pd.DataFrame:
        """Columns time_s, x_m, y_m, confidence, action."""
        x_m, y_m = self.position_m.round(3).T
        columns = {"time_s": self.time_s.round(3), "x_m": x_m, "y_m": y_m, "confidence": self.confidence.round(4)}
        return pd.DataFrame(columns | {"action": self.action})


class Localizer:
    """Two trained stages and their settings.

    Raises:
        CheckpointError: the second was trained on another first stage.

    Example:
        >>> localizer = Localizer.load()                      # doctest: +SKIP
        >>> room = localizer.encode_map(open_map("semidense_points.csv.gz"))
        >>> localizer.localize(open_recording("imu.csv").imu, room).to_frame()
    """

    def __init__(self, stage1: Stage1, stage2: SpatioTemporalReasoner, action_names: list[str], settings: dict):
        self.stage1, self.stage2 = stage1.eval(), stage2.eval()
        self.action_names, self.settings = list(action_names), settings
        check_belongs(stage2, weights_tag(stage1))

    @staticmethod
    def load(folder: str | Path | None = None) -> Localizer:
        """Read stage1.safetensors, stage2.safetensors and config.json from a folder; the shipped quick ones by default.

        Raises:
            CheckpointError: a file is missing, truncated, or of another model.
        """
        folder = Path(folder) if folder is not None else QUICK_WEIGHTS
        path = folder / "config.json"
        try:
            config = json.loads(path.read_text())
            first = dict(config["stage1"])
            first["weights"] = Stage1Weights(**first["weights"])
            second = dict(config["stage2"])
            second["spatial_dilations"] = tuple(second["spatial_dilations"])
            stage1, stage2 = Stage1(Stage1Config(**first)), SpatioTemporalReasoner(Stage2Config(**second))
            names, settings, tags = config["action_names"], config["settings"], dict(config["tags"])
        except FileNotFoundError as error:
            raise CheckpointError(
                f"{path}: found no file; expected a folder with config.json, stage1.safetensors and "
                "stage2.safetensors; give one with --weights or train one with `eailkit course`."
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{path}: found a configuration that can't be read ({error}); expected one that this version wrote; "
                "save both stages again."
            ) from error
        for name, stage in (("stage1", stage1), ("stage2", stage2)):
            load_weights(stage, folder / f"{name}.safetensors")
            if (found := weights_tag(stage)) != tags.get(name):
                raise CheckpointError(
                    f"{folder / name}.safetensors: found weights {found}; expected {tags.get(name)}, as config.json "
                    "says, since the second stage belongs to the first; copy the three files of one folder together."
                )
        stage2.stage1_tag = tags["stage1"]
        return Localizer(stage1, stage2, names, settings)

    def save(self, folder: str | Path, *, half: bool = False) -> Path:
        """Write the three files that `load` reads, each atomically; in half precision where `half`."""
        folder, tags = Path(folder), {}
        for name, stage in (("stage1", self.stage1), ("stage2", self.stage2)):
            path = save_weights(stage, folder / f"{name}.safetensors", half=half)
            tags[name] = weights_tag(load_weights(copy.deepcopy(stage), path))  # of what will be read
        config = {
            "stage1": self.stage1.config.to_dict(), "stage2": self.stage2.config.to_dict(),
            "action_names": self.action_names, "settings": self.settings, "tags": tags,
        }  # fmt: skip
        write_json(folder / "config.json", config)
        return folder

    def encode_map(self, point_map: PointMap, *, area: tuple[float, float, float] | None = None) -> EncodedMap:
        """Lay the square on the map and encode its cells once.

        Args:
            area: (x, y, side) in metres instead of the estimate from the cloud.

        Raises:
            MapError: no confident point, no floor, or no cell with enough points.
        """
        confident = point_map.confident()
        grid = estimate_grid(confident, area=area)
        clouds = local_clouds(confident.points_world_m, grid, points_per_cell=int(self.settings["points_per_cell"]))
        if clouds.empty.all():
            raise MapError(
                f"{point_map.source}: found no cell with 32 points or more; expected a scanned room inside the square "
                f"of {grid.side_m:.1f} m; check the area and the unit (metres)."
            )
        return EncodedMap(confident, grid, clouds, embed_cells(self.stage1, clouds.points, clouds.empty))

    def localize(self, imu: ImuStream, room: EncodedMap, *, causal: bool = False) -> Track:
        """Position, confidence and action for each whole second of a recording.

        Args:
            imu: raw IMU in sensor or head axes, at least 1 s; below 10 s the context is shorter than in training.
            causal: orientation from the causal filter, as it would be live.

        Raises:
            RecordingError: the IMU can't be right (unit, gaps, length, rate, ...).
        """
        windows, times = imu_windows(imu, causal=causal)
        prediction = predict(
            self.stage2, embed_imu(self.stage1, windows), room.features, room.clouds.empty,
            time=int(self.settings["sequence_s"]), stride=1,
        )  # fmt: skip
        best = prediction.confidence.argmax(1)
        names = np.array(self.action_names)
        return Track(
            times - imu.t_s[0], room.grid.cell_centres[best], prediction.confidence.max(1),
            names[prediction.action.argmax(1)], prediction,
        )  # fmt: skip


def imu_windows(imu: ImuStream, *, causal: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Raw IMU to one-second windows (n, 6, 400) in the gravity frame, and the middle of each, seconds."""
    aligned = gravity_align(imu.validate(), causal=causal)
    windows, times = second_windows(resample(aligned, rate_hz=400.0))
    if not len(windows):
        raise RecordingError(f"{imu.source}: found no whole second; expected at least 1 s; give a longer recording.")
    return windows, times


def localize_files(
    imu: str | Path,
    map: str | Path,
    out: str | Path,
    *,
    weights: str | Path | None = None,
    plot: str | Path | None = None,
    area: tuple[float, float, float] | None = None,
    causal: bool = False,
) -> Track:
    """Localize a recording file in a map file, write the trajectory as CSV and, if asked, a figure as HTML.

    Args:
        imu: anything that `open_recording` reads.
        map: anything that `open_map` reads.
        out: CSV with time_s, x_m, y_m, confidence, action.

    Raises:
        OutputError: `out` or `plot` can't be written, or is one of the inputs; said before anything is read.
        EailkitError: one sentence about what is wrong with which file.
    """
    refuse_overwrite((out, plot), (imu, map, weights))
    for target in filter(None, (out, plot)):
        check_writable(target)
    stream = open_recording(imu).imu.validate()  # what is wrong with the user's own files comes first
    point_map = open_map(map)
    localizer = Localizer.load(weights)
    room = localizer.encode_map(point_map, area=area)
    track = localizer.localize(stream, room, causal=causal)
    write_atomically(out, lambda p: track.to_frame().to_csv(p, index=False))
    if plot is not None:
        from eailkit.plots import track_figure, write_html

        write_html(track_figure(track, room), plot)
    return track
