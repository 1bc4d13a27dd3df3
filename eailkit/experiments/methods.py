"""EAIL's own lines of a table: each second alone, with the tracker, live, and under the published protocol.

`Methods` holds the trained parts of one run and gives functions from a take to a `Prediction`. Maps under twelve
headings are the costly part; they are made once a take and kept in half precision.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from eailkit.allocator import keep_freed_memory
from eailkit.baselines import ronin
from eailkit.eail.activity import REGION, held
from eailkit.eail.causal import causal_maps, hypothesis_weights
from eailkit.eail.features import Features, embed_imu
from eailkit.eail.headings import HeadingMaps, heading_posterior
from eailkit.eail.inference import take_maps
from eailkit.eail.sequences import Prediction, heading_angles
from eailkit.eail.stage1 import Stage1
from eailkit.eail.stage2 import SpatioTemporalReasoner
from eailkit.eail.tracker import Observations, Posterior, Tracker, TrackerConfig
from eailkit.eail.velocity import VelocityNet, gravity_velocity
from eailkit.files import save_npz
from eailkit.metrics import bootstrap_interval
from eailkit.preprocess.mapgrid import MapGrid
from eailkit.profiles import Profile

FULL = "EAIL (ours)"
PUBLISHED = "EAIL, published protocol (uses ground truth)"
OTHER_IMU = "EAIL, another take's IMU"
TRACKED = "EAIL + tracker"
FORWARD = "EAIL + tracker, forward alone"
LIVE = "EAIL + tracker, live"
MAP_POWERS = (0.06, 0.09, 0.13, 0.18)  # tried on validation
REGIONS = (0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995)  # shares of the belief, for the 90 % region
CALIBRATION_TAKES = 18  # of them, every so many of both validation splits


class Methods:
    """The parts of one run, ready to predict.

    Args:
        prepared, features, profile: of the run.
        stage1, stage2: trained; the features are of the first, the second was trained on them.
        velocity: the velocity net.
        tracker_config: see `calibrated`; the defaults where None.
        maps_dir: folder where maps are kept for the next process, named by all that determines them; None keeps them
            in memory alone.
    """

    def __init__(
        self, prepared, features: Features, profile: Profile, stage1: Stage1 | None, stage2: SpatioTemporalReasoner,
        velocity: VelocityNet | None, tracker_config: TrackerConfig | None = None, *, maps_dir: Path | None = None,
    ):  # fmt: skip
        keep_freed_memory()  # maps under twelve headings take half the time
        self.prepared, self.features, self.profile = prepared, features, profile
        self.stage1, self.stage2, self.velocity = stage1, stage2, velocity
        self.tracker_config, self.maps_dir = tracker_config or TrackerConfig(), maps_dir
        self._maps: dict[tuple, HeadingMaps] = {}
        self._tracks: dict[tuple, Posterior] = {}
        self._live: dict[str, Prediction] = {}

    def maps(self, take, *, imu_of=None, protocol: str = "inferred") -> HeadingMaps:
        """`inference.take_maps`, remembered."""
        key = (take.name, imu_of.name if imu_of else "", protocol)
        if key not in self._maps:
            self._maps[key] = self._kept_maps(key, take, imu_of, protocol)
        kept = self._maps[key]
        return replace(kept, joint=kept.joint.astype(np.float32), action=kept.action.astype(np.float32))

    def _kept_maps(self, key: tuple[str, str, str], take, imu_of, protocol: str) -> HeadingMaps:
        path = self.maps_dir / f"{'.'.join(filter(None, key)).replace(' ', '_')}.npz" if self.maps_dir else None
        if path is not None and path.is_file():
            with np.load(path, allow_pickle=False) as a:
                return HeadingMaps(a["headings"], a["joint"], a["action"])
        made = take_maps(
            self.stage2, self.prepared, self.features, take, profile=self.profile, imu_of=imu_of, protocol=protocol
        )
        made = replace(made, joint=made.joint.astype(np.float16), action=made.action.astype(np.float16))
        if path is not None:
            save_npz(path, {"headings": made.headings, "joint": made.joint, "action": made.action})
        return made

    def alone(self, take, *, imu_of=None, protocol: str = "inferred") -> Prediction:
        """EAIL's answer of each second, headings weighed by what the take says of them."""
        maps = self.maps(take, imu_of=imu_of, protocol=protocol)
        return maps.weighed(heading_posterior(maps))

    def tracked(self, take, *, heading_rad: float | None = None) -> Prediction:
        """The smoothed track: position by most mass within 0.4 m, and a map for RS."""
        return self._as_prediction(self.track(take, heading_rad=heading_rad), self.alone(take))

    def track(self, take, *, heading_rad: float | None = None) -> Posterior:
        """The tracker's belief of a whole take, remembered."""
        key = (take.name, heading_rad, self.tracker_config)
        if key not in self._tracks:
            self._tracks[key] = self.tracker(take).smooth(self.observations(take), heading_rad=heading_rad)
        return self._tracks[key]

    def tracker(self, take) -> Tracker:
        """The filter on a take's map."""
        room = self.prepared.rooms[take.room]
        return Tracker(room.grid, np.asarray(room.free), np.asarray(room.empty), self.tracker_config)

    def observations(self, take) -> Observations:
        """What the filter reads of a take."""
        velocity = gravity_velocity(self.velocity, np.asarray(take.windows), np.asarray(take.facing))
        return Observations(self.maps(take).joint, *velocity)

    def live(self, take, causal) -> Prediction:
        """What `eailkit.live` says: nothing later than a second after each second, orientation included.

        Args:
            causal: the same take with windows and facing from the causal orientation filter (`Run.causal_takes`).
        """
        if take.name not in self._live:
            self._live[take.name] = self._make_live(take, causal)
        return self._live[take.name]

    def _make_live(self, take, causal) -> Prediction:
        imu = embed_imu(self.stage1, np.asarray(causal.windows), np.asarray(causal.facing))
        room = self.prepared.rooms[take.room]
        maps = causal_maps(
            self.stage2, self.features.direction, imu, np.asarray(causal.facing), self.features.rooms[take.room],
            room.empty, headings=heading_angles(), time=self.profile.sequence_s,
        )  # fmt: skip
        velocity = gravity_velocity(self.velocity, np.asarray(causal.windows), np.asarray(causal.facing))
        found = self.tracker(take).filter(Observations(maps.joint, *velocity))
        weight = hypothesis_weights(found.heading, maps.joint.shape[1])
        return self._as_prediction(found, maps.weighed(weight))

    def dead_reckoned(self, take) -> Prediction:
        """Velocities summed from the true start and heading."""
        return ronin.dead_reckoning(self.velocity, take)

    def forward(self, take) -> Prediction:
        """The forward track, see `forward_track`."""
        return self._as_prediction(self.forward_track(take), self.alone(take))

    def forward_track(self, take) -> Posterior:
        """The tracker's belief at each second from the seconds so far, remembered.

        Not quite live: a map of ten seconds still looks up to nine ahead.
        """
        key = (take.name, "forward", self.tracker_config)
        if key not in self._tracks:
            self._tracks[key] = self.tracker(take).filter(self.observations(take))
        return self._tracks[key]

    @staticmethod
    def _as_prediction(found: Posterior, alone: Prediction) -> Prediction:
        return Prediction(found.cells(), found.decision(), alone.action, found.heading)

    def calibrated(self) -> TrackerConfig:
        """The configuration whose smoothed belief holds the true place best on validation takes.

        Only the power of EAIL's map is fitted, the habit's in its proportion: seconds overlap and err alike, by how
        much, hangs on the weights. The score is the mean log probability of the true place, each take alike. Then the
        90 % region (`_region`).
        """
        takes = self.prepared.held_out[:: max(1, len(self.prepared.held_out) // CALIBRATION_TAKES)]
        if not takes:
            return self.tracker_config
        base, tried = self.tracker_config, {}
        for power in MAP_POWERS:
            config = replace(base, map_power=power, habit_power=power * base.habit_power / base.map_power)
            found = Methods(self.prepared, self.features, self.profile, self.stage1, self.stage2, self.velocity, config)
            found._maps, found.maps_dir = self._maps, self.maps_dir
            score = np.mean([true_place_nats(found.track(t), self.prepared, t) for t in takes])
            tried[float(score)] = found
        best = tried[max(tried)]
        return replace(best.tracker_config, region=best._region())

    def _region(self) -> float:
        """The smallest share of the belief whose circle surely holds the truth in 90 % of validation's seconds.

        Surely: at the lower end of the interval over rooms and people. A belief that errs does so in one piece, for a
        whole take (a heading taken the wrong way round), so that a mean over a few takes promises too much.
        """
        takes = self.prepared.held_out
        for mass in REGIONS:
            each = [100 * float(np.nanmean(held(t, self.track(t), mass))) for t in takes]
            found = bootstrap_interval(each, [t.room for t in takes], [t.participant for t in takes])
            if found.low >= 100 * REGION:
                return mass
        return REGIONS[-1]


def true_place_nats(found: Posterior, prepared, take) -> float:
    """Mean log probability that a belief gives the place nearest to the true position, nats; higher is better."""
    square = prepared.rooms[take.room].grid
    side = round(np.sqrt(found.place.shape[1]))
    places = MapGrid(square.centre_xy_m, square.side_m, square.floor_z_m, side)
    known = np.asarray(take.cell) >= 0
    at = places.cell_of(np.asarray(take.position, float)[known])
    return float(np.log(np.maximum(found.place[known, at], 1e-9)).mean())
