"""A wearer found on a map while they move: samples in, a place, a heading and an action a second out.

It does what the causal filter does to a recording, to rounding: `preprocess.imu` with orientation from the past,
`eail.causal.causal_maps`, `eail.velocity.gravity_velocity` and `eail.tracker.Tracker.filter`. A second is answered when
the next one is complete, since the velocity net looks one second ahead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float

from eailkit import localize
from eailkit.allocator import keep_freed_memory
from eailkit.datasets import open_map
from eailkit.eail.causal import AHEAD_S, hypothesis_weights, second_map
from eailkit.eail.features import embed_imu, motion_features
from eailkit.eail.sequences import heading_angles
from eailkit.eail.stage1 import Stage1, facing_frame
from eailkit.eail.stage2 import SpatioTemporalReasoner
from eailkit.eail.tracker import Tracker, TrackerConfig
from eailkit.eail.velocity import VelocityNet, in_gravity_frame
from eailkit.errors import ConfigError
from eailkit.live.belief import Belief
from eailkit.live.seconds import Interruption, MotionSecond, SecondStream
from eailkit.preprocess.mapgrid import MapGrid
from eailkit.recording import PointMap


@dataclass(frozen=True)
class Room:
    """A map that is encoded.

    Attributes:
        grid: its square.
        free: cells over which a head can be.
        empty: cells without points.
        features: F^P of the cells.
        cloud: its confident points, map's frame, for pictures.
    """

    grid: MapGrid
    free: Bool[np.ndarray, " cells"]
    empty: Bool[np.ndarray, " cells"]
    features: Float[np.ndarray, "cells dim"]
    cloud: Float[np.ndarray, "n 3"]

    @staticmethod
    def encode(
        point_map: PointMap,
        stage1: Stage1,
        *,
        points_per_cell: int,
        area: tuple[float, float, float] | None = None,
    ) -> Room:
        """Lay the square on a map and encode its cells.

        Args:
            area: (x, y, side) in metres instead of the estimate from the cloud.

        Raises:
            MapError: no confident point, no floor, or no cell with enough points.
        """
        made = localize.encode_map(stage1, point_map, points_per_cell=points_per_cell, area=area)
        return Room(made.grid, made.free, made.clouds.empty, made.features, made.point_map.points_world_m)


@dataclass(frozen=True)
class Second:
    """What is known of a second, one second after it.

    Attributes:
        time_s: its middle, seconds since the first sample.
        position_m: the place with most probability within 0.4 m, x and y in the map's frame.
        radius_90_m: of the circle around it that holds 90 % of the probability, m.
        probability: that the wearer is within 0.4 m of it.
        heading_rad: angle that takes the gravity frame to the map's, the mean of what is believed.
        heading_certainty: 0 (any) to 1 (sure).
        facing_rad: where the head faces on the map, if the heading is right; NaN where the mounting is unknown.
        action: the most likely one, "" where no names are known.
        action_probability: of it.
        place: probability of each place of the square, rows along y, (1600,).
        note: what was wrong with the samples since the second before, one sentence each; "" if nothing.
    """

    time_s: float
    position_m: Float[np.ndarray, " 2"]
    radius_90_m: float
    probability: float
    heading_rad: float
    heading_certainty: float
    facing_rad: float
    action: str
    action_probability: float
    place: Float[np.ndarray, " places"]
    note: str


class Localizer:
    """Takes samples in blocks of any size and yields a `Second` after each second; memory is constant.

    Samples that are no numbers or don't come later than those before are left out. After a gap of more than 0.1 s or a
    clock that is set back, seconds begin anew: stage 2 and the velocity net start with short context, and what is
    believed spreads (`belief.Belief.lose`). The heading is kept, less sure, over gaps of up to a second, in which the
    orientation filter runs on; after longer ones and after a clock that is set back it is sought anew. All of that
    is said in `Second.note`.

    Args:
        stage1, stage2, velocity: trained together, in eval mode.
        room: encoded by that stage 1.
        tracker: how much the filter believes what; `TrackerConfig()` where None.
        action_names: of stage 2's classes.
        R_head_sensor: rotation that takes sensor axes to head axes (x forward, y left, z up); without it the facing is
            unknown, which costs accuracy.
        rate_hz: of the samples; measured over the first second where None.
        sequence_s: T, seconds of stage 2's window.
        heading_rad: of the gravity frame in the map's at the start; sought where None.
        say: called with each sentence of a note as its second is yielded.

    Example:
        >>> live = Localizer.load("semidense_points.csv.gz")             # doctest: +SKIP
        >>> for second in live.push(t_s, acc_mps2, gyro_radps):          # doctest: +SKIP
        ...     print(second.time_s, second.position_m, second.radius_90_m)
    """

    def __init__(
        self,
        stage1: Stage1,
        stage2: SpatioTemporalReasoner,
        velocity: VelocityNet,
        room: Room,
        tracker: TrackerConfig | None = None,
        action_names: Sequence[str] = (),
        *,
        R_head_sensor: Float[np.ndarray, "3 3"] | None = None,
        rate_hz: float | None = None,
        sequence_s: int = 10,
        heading_rad: float | None = None,
        say: Callable[[str], object] | None = None,
    ) -> None:
        if sequence_s <= AHEAD_S:
            raise ConfigError(f"sequence_s: found {sequence_s}; expected more than {AHEAD_S}; the paper's is 10.")
        keep_freed_memory()  # half of a second's time otherwise goes into mapping the same pages again
        self.stage1, self.stage2, self.velocity = stage1.eval(), stage2.eval(), velocity.eval()
        self.room, self.action_names = room, tuple(action_names)
        self._points = torch.from_numpy(np.array(room.features, np.float32))
        self._empty = torch.from_numpy(np.array(room.empty, bool))
        self._headings = heading_angles()
        self._stream = SecondStream(R_head_sensor, rate_hz)
        self._belief = Belief(Tracker(room.grid, room.free, room.empty, tracker), heading_rad)
        self._motion: deque[np.ndarray] = deque(maxlen=sequence_s)  # F^M under each heading, a second each
        self._windows: deque[MotionSecond] = deque(maxlen=1 + 2 * AHEAD_S)  # around the second that is next answered
        self._lost: list[Interruption] = []
        self._last_s, self._say = None, say or (lambda sentence: None)

    @classmethod
    def load(cls, map_file: str | Path, weights: str | Path | None = None, **options) -> Localizer:
        """With the weights of a folder, the shipped ones by default, in the map of a file.

        Args:
            map_file: anything that `open_map` reads.
            options: R_head_sensor, rate_hz, heading_rad, say.

        Raises:
            CheckpointError, MapError: one sentence about what is wrong with which file.
        """
        point_map = open_map(map_file)  # what is wrong with the user's own file comes first
        trained = localize.Localizer.load(weights)
        settings = trained.settings
        room = Room.encode(point_map, trained.stage1, points_per_cell=int(settings["points_per_cell"]))
        return cls(
            trained.stage1, trained.stage2, trained.velocity, room, trained.tracker_config, trained.action_names,
            sequence_s=int(settings["sequence_s"]), **options,
        )  # fmt: skip

    def push(
        self, t_s: Float[np.ndarray, " n"], acc_mps2: Float[np.ndarray, "n 3"], gyro_radps: Float[np.ndarray, "n 3"]
    ) -> list[Second]:
        """The seconds that the next samples complete, none for most short blocks.

        Args:
            t_s: times on the sensor's clock, seconds.
            acc_mps2: specific force in the sensor's axes, gravity included.
            gyro_radps: angular rate in the same axes.

        Raises:
            RecordingError: the arrays don't belong together, or the first second can't be right (unit, rate, ...).
        """
        return self._take(self._stream.push(t_s, acc_mps2, gyro_radps))

    def finish(self) -> list[Second]:
        """The seconds that waited for more samples; nothing may be pushed afterwards."""
        return self._take(self._stream.finish()) + self._flush()

    def _take(self, found: Iterable[MotionSecond | Interruption]) -> list[Second]:
        out: list[Second] = []
        for one in found:
            if isinstance(one, Interruption):
                out += self._flush()
                self._lost.append(one)
            else:
                out += self._enter(one)
        for second in out:
            for sentence in filter(None, second.note.split("\n")):
                self._say(sentence)
        return out

    def _enter(self, second: MotionSecond) -> list[Second]:
        imu = embed_imu(self.stage1, second.window[None], np.array([second.facing]))
        each = np.repeat(imu, len(self._headings), axis=0)
        self._motion.append(motion_features(self.stage1.motion, each, second.facing + self._headings))
        before = len(self._windows)
        self._windows.append(second)
        return [self._answer(self._windows[-2], ahead=True)] if before else []

    def _flush(self) -> list[Second]:
        """Answer the last second before an end, whose next one will never come."""
        out = [self._answer(self._windows[-1], ahead=False)] if self._windows else []
        self._windows.clear()
        self._motion.clear()
        return out

    @torch.inference_mode()
    def _answer(self, second: MotionSecond, *, ahead: bool) -> Second:
        rows = list(self._motion) if ahead else list(self._motion)[1 - self._motion.maxlen :]
        joint, action = second_map(
            self.stage2, np.stack(rows), self._points, self._empty, len(rows) - 1 - (AHEAD_S if ahead else 0)
        )
        velocity, std = self._velocity(second, ahead)
        if self._lost:
            self._lose(second)
        posterior = self._belief.update(joint, velocity, std)
        position = self._belief.decision(posterior)
        (heading,), (certainty,) = posterior.mean_heading()
        chances = (hypothesis_weights(posterior.heading, len(self._headings)) @ action)[0]
        best = int(chances.argmax())
        self._last_s = second.time_s
        return Second(
            second.time_s, position, float(posterior.radius(position[None])[0]),
            float(posterior.probability_within(position[None])[0]), float(heading), float(certainty),
            float(second.facing + heading), self.action_names[best] if self.action_names else "",
            float(chances[best]), posterior.place[0], "\n".join(second.notes),
        )  # fmt: skip

    def _velocity(self, second: MotionSecond, ahead: bool) -> tuple[np.ndarray, float]:
        """As `gravity_velocity` says of the middle one of three seconds; at a start and an end the sides repeat."""
        at = len(self._windows) - 1 - (1 if ahead else 0)
        around = (self._windows[max(at - 1, 0)], second, self._windows[-1])
        sides = torch.from_numpy(np.concatenate([one.window for one in around], axis=1)[None])
        facing = np.array([second.facing], np.float32)
        out = self.velocity(facing_frame(sides, torch.from_numpy(facing))).numpy()
        velocity, std = in_gravity_frame(out, facing)
        return velocity[0], float(std[0])

    def _lose(self, second: MotionSecond) -> None:
        """Spread the belief over everything that was missed since the second before."""
        missing = [one.missing_s for one in self._lost]
        if self._last_s is not None:
            self._belief.lose(
                None if None in missing else sum(missing), second.time_s - self._last_s,
                reoriented=any(one.reoriented for one in self._lost),
            )  # fmt: skip
        self._lost = []
