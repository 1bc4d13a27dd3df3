"""From one recording and one map to a trajectory: what `eailkit localize` does, and three lines of Python.

`Localizer` loads a pair of trained stages, encodes a map once and then any number of recordings. No labels, no
trajectory and no frames take part.
"""

from __future__ import annotations

import copy
import functools
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from eailkit.allocator import keep_freed_memory
from eailkit.datasets import open_map, open_recording
from eailkit.eail.causal import causal_maps
from eailkit.eail.decision import mass_within, most_mass, radius_holding
from eailkit.eail.features import embed_cells, embed_imu
from eailkit.eail.headings import heading_maps, heading_posterior
from eailkit.eail.inference import check_belongs
from eailkit.eail.sequences import Prediction, heading_angles
from eailkit.eail.stage1 import Stage1, Stage1Config
from eailkit.eail.stage2 import SpatioTemporalReasoner, Stage2Config
from eailkit.eail.tracker import Observations, Tracker, TrackerConfig
from eailkit.eail.velocity import VelocityNet, gravity_velocity
from eailkit.errors import CheckpointError, MapError, RecordingError
from eailkit.files import DATA_SAMPLES, check_writable, refuse_overwrite, write_atomically, write_json
from eailkit.losses import Stage1Weights
from eailkit.preprocess.imu import facing, orientation, resample, rotate, second_windows
from eailkit.preprocess.mapgrid import LocalClouds, MapGrid, estimate_grid, free_cells, local_clouds
from eailkit.provenance import weights_tag
from eailkit.recording import ImuStream, PointMap
from eailkit.weights import load_weights, save_weights

QUICK_WEIGHTS = DATA_SAMPLES / "quick"
NO_HEADING = 0.3  # certainty up to which no angle is named


@dataclass(frozen=True)
class EncodedMap:
    """A map ready to be localized in: the square, its cells' features, which are empty and over which one can stand."""

    point_map: PointMap
    grid: MapGrid
    clouds: LocalClouds
    features: np.ndarray
    free: np.ndarray


def encode_map(
    stage1: Stage1, point_map: PointMap, *, points_per_cell: int, area: tuple[float, float, float] | None = None
) -> EncodedMap:
    """Lay the square on a map and encode its cells.

    Args:
        area: (x, y, side) in metres instead of the estimate from the cloud.

    Raises:
        MapError: no confident point, no floor, or no cell with enough points.
    """
    confident = point_map.confident()
    grid = estimate_grid(confident, area=area)
    clouds = local_clouds(confident.points_world_m, grid, points_per_cell=points_per_cell)
    if clouds.empty.all():
        raise MapError(
            f"{point_map.source}: found no cell with 32 points or more; expected a scanned room inside the square "
            f"of {grid.side_m:.1f} m; check the area and the unit (metres)."
        )
    free = free_cells(confident.points_world_m, grid)
    if area is not None:  # a square that a user laid may hold no floor that the scan shows
        free = np.ones_like(free)
    return EncodedMap(confident, grid, clouds, embed_cells(stage1, clouds.points, clouds.empty), free)


@dataclass(frozen=True)
class Track:
    """Where the wearer was, a row a second.

    Attributes:
        time_s: middle of each second, seconds from the recording's first sample, (n,).
        position_m: place with most probability within 0.4 m, map's frame, (n, 2).
        radius_90_m: radius of the circle around it that holds 90 % of the probability, (n,).
        probability: of being within 0.4 m of the position, (n,).
        heading_rad: the angle that takes the gravity frame of the IMU to the map's frame, (n,).
        heading_certainty: how sure that angle is, 0 (any) to 1 (one), (n,).
        facing_rad: where the head faces on the map, rad from its x axis, (n,); NaN where the mounting is unknown.
        action: most likely action, (n,) names.
        prediction: the full probabilities, over cells, actions and headings.
    """

    time_s: np.ndarray
    position_m: np.ndarray
    radius_90_m: np.ndarray
    probability: np.ndarray
    heading_rad: np.ndarray
    heading_certainty: np.ndarray
    facing_rad: np.ndarray
    action: np.ndarray
    prediction: Prediction

    def to_frame(self) -> pd.DataFrame:
        """Columns time_s, x_m, y_m, radius_90_m, probability, facing_deg, action."""
        x_m, y_m = self.position_m.round(3).T
        columns = {"time_s": self.time_s.round(3), "x_m": x_m, "y_m": y_m, "radius_90_m": self.radius_90_m.round(3)}
        columns |= {"probability": self.probability.round(4), "facing_deg": np.degrees(self.facing_rad).round(1)}
        return pd.DataFrame(columns | {"action": self.action})

    @property
    def heading_reading(self) -> str:
        """On the heading at the end of the recording, how sure it is, and whether where the head faces is known."""
        angle, sure = np.degrees(self.heading_rad[-1]), self.heading_certainty[-1]
        word = "clear" if sure > 0.9 else "likely" if sure > 0.6 else "unsure"
        found = f"{angle:.0f} degrees, {word}" if sure > NO_HEADING else "not found"
        mounting = "" if np.isfinite(self.facing_rad).any() else (
            "; the source doesn't say how the sensor sits on the head, so where it faces stays unknown"
        )  # fmt: skip
        return f"heading of the IMU on the map: {found} ({sure:.2f} of 1){mounting}"


class Localizer:
    """Two trained stages, a velocity net and their settings.

    Raises:
        CheckpointError: the second was trained on another first stage.

    Example:
        >>> localizer = Localizer.load()                      # doctest: +SKIP
        >>> room = localizer.encode_map(open_map("semidense_points.csv.gz"))
        >>> localizer.localize(open_recording("imu.csv").imu, room).to_frame()
    """

    def __init__(
        self, stage1: Stage1, stage2: SpatioTemporalReasoner, velocity: VelocityNet, tracker_config: TrackerConfig,
        action_names: list[str], settings: dict,
    ):  # fmt: skip
        self.stage1, self.stage2, self.velocity = stage1.eval(), stage2.eval(), velocity.eval()
        self.tracker_config, self.action_names, self.settings = tracker_config, list(action_names), settings
        check_belongs(stage2, weights_tag(stage1))

    @staticmethod
    def load(folder: str | Path | None = None) -> Localizer:
        """Read the three safetensors and config.json that `save` writes; the shipped quick ones by default.

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
            velocity, tracker = VelocityNet(**config["velocity"]), TrackerConfig(**config["tracker"])
            names, settings, tags = config["action_names"], config["settings"], dict(config["tags"])
        except FileNotFoundError as error:
            raise CheckpointError(
                f"{path}: found no file; expected a folder with config.json, stage1.safetensors, stage2.safetensors "
                "and velocity.safetensors; give one with --weights or train one with `eailkit course`."
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{path}: found a configuration that can't be read ({error}); expected one that this version wrote; "
                "save both stages again."
            ) from error
        for name, stage in (("stage1", stage1), ("stage2", stage2), ("velocity", velocity)):
            load_weights(stage, folder / f"{name}.safetensors")
            if (found := weights_tag(stage)) != tags.get(name):
                raise CheckpointError(
                    f"{folder / name}.safetensors: found weights {found}; expected {tags.get(name)}, as config.json "
                    "says, since the second stage belongs to the first; copy the four files of one folder together."
                )
        stage2.stage1_tag = tags["stage1"]
        return Localizer(stage1, stage2, velocity, tracker, names, settings)

    def save(self, folder: str | Path, *, half: bool = False) -> Path:
        """Write the four files that `load` reads, each atomically; in half precision where `half`."""
        folder, tags = Path(folder), {}
        for name, stage in (("stage1", self.stage1), ("stage2", self.stage2), ("velocity", self.velocity)):
            path = save_weights(stage, folder / f"{name}.safetensors", half=half)
            tags[name] = weights_tag(load_weights(copy.deepcopy(stage), path))  # of what will be read
        config = {
            "stage1": self.stage1.config.to_dict(), "stage2": self.stage2.config.to_dict(),
            "velocity": {"width": self.velocity.width}, "tracker": asdict(self.tracker_config),
            "action_names": self.action_names, "settings": self.settings, "tags": tags,
        }  # fmt: skip
        write_json(folder / "config.json", config)
        return folder

    def encode_map(self, point_map: PointMap, *, area: tuple[float, float, float] | None = None) -> EncodedMap:
        """Lay the square on the map and encode its cells once: see `encode_map`."""
        return encode_map(self.stage1, point_map, points_per_cell=int(self.settings["points_per_cell"]), area=area)

    def localize(
        self, imu: ImuStream, room: EncodedMap, *, causal: bool = False, tracker: bool = True,
        heading_rad: float | None = None, stride_s: int = 1,
    ) -> Track:  # fmt: skip
        """Position, region, probability and action for each whole second of a recording.

        Args:
            imu: raw IMU in sensor or head axes, at least 1 s; below 10 s the context is shorter than in training.
            causal: orientation from the causal filter and a track from the seconds so far: what `eailkit.live` says.
            tracker: False gives EAIL's answer of each second alone, the heading weighed by the whole recording.
            heading_rad: the angle that takes the gravity frame of the first second to the map's frame, where known.
            stride_s: between the windows whose maps are averaged where not causal; 5 takes a fifth of the time.

        Raises:
            RecordingError: the IMU can't be right (unit, gaps, length, rate, ...).
        """
        keep_freed_memory()  # maps under twelve headings take half the time
        windows, times, ahead = imu_windows(imu, causal=causal)
        read = causal_maps if causal else functools.partial(heading_maps, stride=stride_s)
        maps = read(
            self.stage2, self.stage1.motion, embed_imu(self.stage1, windows, ahead), ahead, room.features,
            room.clouds.empty, headings=heading_angles() if heading_rad is None else np.array([heading_rad]),
            time=int(self.settings["sequence_s"]),
        )  # fmt: skip
        weight = heading_posterior(maps, live=causal)
        prediction, place, centres, region = maps.weighed(weight), None, room.grid.cell_centres, 0.9
        if tracker:
            joint = maps.joint if heading_rad is None else np.repeat(maps.joint, len(heading_angles()), axis=1)
            seen = Observations(joint, *gravity_velocity(self.velocity, windows, ahead))
            filter_ = Tracker(room.grid, room.free, room.clouds.empty, self.tracker_config)
            found = (filter_.filter if causal else filter_.smooth)(seen, heading_rad=heading_rad)
            place, centres, weight, region = found.place, found.centres_m, found.heading, found.region
            prediction = Prediction(found.cells(), None, prediction.action, weight)
        place = prediction.confidence if place is None else place
        position = most_mass(place, centres)
        mean = weight @ np.exp(2j * np.pi * np.arange(weight.shape[1]) / weight.shape[1])
        turned = np.angle(mean) if heading_rad is None or tracker else np.full(len(weight), heading_rad)
        return Track(
            times - imu.t_s[0], position, radius_holding(place, centres, position, region),
            mass_within(place, centres, position), turned, np.abs(mean), np.angle(np.exp(1j * (ahead + turned))),
            np.array(self.action_names)[prediction.action.argmax(1)], prediction,
        )  # fmt: skip


def imu_windows(imu: ImuStream, *, causal: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Raw IMU to one-second windows (n, 6, 400) in the gravity frame, the middle of each, s, and the facing, rad."""
    even, quat_xyzw = orientation(imu.validate(), causal=causal)
    windows, times = second_windows(resample(rotate(even, quat_xyzw, "gravity"), rate_hz=400.0))
    if not len(windows):
        raise RecordingError(f"{imu.source}: found no whole second; expected at least 1 s; give a longer recording.")
    return windows, times, facing(even, quat_xyzw, times)


def localize_files(
    imu: str | Path,
    map: str | Path,
    out: str | Path,
    *,
    weights: str | Path | None = None,
    plot: str | Path | None = None,
    area: tuple[float, float, float] | None = None,
    causal: bool = False,
    tracker: bool = True,
) -> Track:
    """Localize a recording file in a map file, write the trajectory as CSV and, if asked, a figure as HTML.

    Args:
        imu: anything that `open_recording` reads.
        map: anything that `open_map` reads.
        out: CSV with the columns of `Track.to_frame`.
        tracker: see `Localizer.localize`.

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
    track = localizer.localize(stream, room, causal=causal, tracker=tracker)
    write_atomically(out, lambda p: track.to_frame().to_csv(p, index=False))
    if plot is not None:
        from eailkit.plots import track_figure, write_html

        write_html(track_figure(track, room), plot)
    return track
