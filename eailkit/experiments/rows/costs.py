"""What rows cost before they are made: a model of seconds and gigabytes whose rates are measured on this machine.

Every unit is a sum of counts times rates: steps of a training, seconds of recordings that are embedded or searched,
rooms, views. A rate is timed on a few made-up batches of the profile's own sizes, which takes half a minute; counts
follow from the profile, or from the takes of a dataset. Nothing is fitted to earlier runs.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from eailkit.eail.features import QUARTERS, embed_cells, embed_imu
from eailkit.eail.headings import heading_maps, under_headings
from eailkit.eail.inference import stage2_config
from eailkit.eail.sequences import HYPOTHESES
from eailkit.eail.stage1 import SCANS, VALIDATION_BATCHES, Stage1, Stage1Config
from eailkit.eail.stage2 import SpatioTemporalReasoner, stage2_loss
from eailkit.eail.velocity import VelocityNet, velocity_loss
from eailkit.experiments.methods import CALIBRATION_TAKES, MAP_POWERS
from eailkit.experiments.rows.catalog import PUBLISHED, Kind
from eailkit.experiments.rows.make import Method
from eailkit.experiments.rows.nets import NETS
from eailkit.experiments.rows.variants import Variant
from eailkit.experiments.rows.work import Unit
from eailkit.preprocess.mapgrid import CELLS
from eailkit.profiles import Profile
from eailkit.synthkitchen.dataset import synthesize
from eailkit.synthkitchen.splits import DatasetConfig, dataset_jobs
from eailkit.training import TrainConfig, precision_on

ACTIONS = 35
TEST = ("test-seen", "test-unseen")
VALIDATION = ("val-seen", "val-unseen")


@dataclass(frozen=True)
class Counts:
    """How much data there is.

    Attributes:
        seconds, takes: split -> seconds of recordings, and how many.
        rooms, train_rooms: maps, and those that are trained on.
    """

    seconds: dict[str, float]
    takes: dict[str, int]
    rooms: int
    train_rooms: int

    def of(self, splits: tuple[str, ...]) -> float:
        """Seconds of some splits."""
        return sum(self.seconds.get(split, 0.0) for split in splits)

    @property
    def all_seconds(self) -> float:
        """Seconds of every split."""
        return sum(self.seconds.values())


def counts_of(profile: Profile) -> Counts:
    """What SynthKitchen makes at a profile's size."""
    size = profile.data
    config = DatasetConfig(
        val_unseen_rooms=size.val_unseen_rooms, test_unseen_rooms=size.test_unseen_rooms,
        train_takes_per_room=size.train_takes_per_room, unseen_takes_per_room=size.unseen_takes_per_room,
        long_takes=size.long_takes, long_minutes=size.long_minutes, minutes_spread=size.minutes_spread,
    )  # fmt: skip
    rooms = size.seen_rooms + size.val_unseen_rooms + size.test_unseen_rooms
    jobs = [j for j in dataset_jobs(rooms, size.participants, size.minutes, size.seed, config) if j.split != "scan"]
    splits = sorted({j.split for j in jobs})
    return Counts(
        {s: sum(60 * j.minutes for j in jobs if j.split == s) for s in splits},
        {s: sum(j.split == s for j in jobs) for s in splits}, rooms,
        len({j.room_id for j in jobs if j.split == "train"}),
    )  # fmt: skip


def _timed(once: Callable[[], object], least_s: float = 0.4) -> float:
    """Seconds of one call: the least of several, after one that isn't counted."""
    once()
    best, spent = float("inf"), 0.0
    while spent < least_s:
        began = time.perf_counter()
        once()
        best = min(best, time.perf_counter() - began)
        spent += time.perf_counter() - began
    return best


class Rates:
    """Seconds of each kind of work on one thread of this machine, measured when first asked for.

    Args:
        profile: whose sizes are timed.
    """

    def __init__(self, profile: Profile):
        self.profile, self._known = profile, {}
        self.rng = np.random.default_rng(0)

    def __call__(self, kind: str, *options) -> float:
        """Seconds of one of `kind`: a method of this class named `_kind`."""
        key = (kind, *options)
        if key not in self._known:
            threads = torch.get_num_threads()
            torch.set_num_threads(1)
            try:
                self._known[key] = getattr(self, f"_{kind}")(*options)
            finally:
                torch.set_num_threads(threads)
        return self._known[key]

    def net(self, name: str, step: Callable, train: TrainConfig) -> float:
        """Seconds of a training step of a baseline, whose net and loss `step` makes."""
        if name not in self._known:
            torch.manual_seed(0)
            self._known[name] = _timed(_step(*step(), train))
        return self._known[name]

    def _windows(self, n: int, length: int = 400) -> torch.Tensor:
        return torch.from_numpy(self.rng.normal(size=(n, 6, length)).astype(np.float32))

    def _clouds(self, n: int) -> torch.Tensor:
        return torch.from_numpy(self.rng.uniform(-0.5, 0.5, (n, self.profile.points_per_cell, 3)).astype(np.float32))

    def _stage1(self) -> Stage1:
        torch.manual_seed(0)
        return Stage1(Stage1Config.of(self.profile))

    def _stage1_step(self) -> float:
        model, n = self._stage1(), min(self.profile.stage1_batch, 128 if self.profile.points_per_cell < 4096 else 8)
        points, windows, unit = self._clouds(n), self._windows(n), torch.nn.functional.normalize
        batch = {
            "imu": windows, "facing": torch.zeros(n), "points": points, "neighbours": model.points.neighbours(points),
            "image": unit(torch.randn(n, self.profile.embed_dim), dim=1), "has_image": torch.ones(n, dtype=torch.bool),
            "text": unit(torch.randn(n, self.profile.embed_dim), dim=1), "has_text": torch.ones(n, dtype=torch.bool),
            "same_text": torch.eye(n, dtype=torch.bool), "same_place": torch.eye(n, dtype=torch.bool),
        }  # fmt: skip
        step = _step(model, lambda: model.loss(batch)["total"], self.profile.stage1)
        return _timed(step) * self.profile.stage1_batch / n

    def _stage1_validation(self) -> float:
        return 0.35 * VALIDATION_BATCHES * self("stage1_step")  # forward passes alone

    def _neighbours(self) -> float:
        model, points = self._stage1(), self._clouds(16)
        return _timed(lambda: model.points.neighbours(points)) / 16

    def _imu_second(self) -> float:
        model, windows = self._stage1().eval(), self._windows(256).numpy()
        return _timed(lambda: embed_imu(model, windows, np.zeros(256, np.float32))) / 256

    def _cloud(self) -> float:
        model, n = self._stage1().eval(), 64 if self.profile.points_per_cell < 4096 else 4
        points = self._clouds(n).numpy()
        return _timed(lambda: embed_cells(model, points, np.zeros(n, bool))) / n

    def _reasoner(self, temporal: bool, spatial: bool) -> SpatioTemporalReasoner:
        torch.manual_seed(0)
        return SpatioTemporalReasoner(stage2_config(self.profile, ACTIONS, temporal=temporal, spatial=spatial))

    def _stage2_step(self, temporal: bool, spatial: bool, time_s: int) -> float:
        model, p = self._reasoner(temporal, spatial), self.profile
        n = min(p.stage2_batch, 8)
        imu, points = torch.randn(n, p.hypotheses, time_s, p.embed_dim), torch.randn(n, CELLS, p.embed_dim)
        empty, cell = torch.zeros(n, CELLS, dtype=torch.bool), torch.randint(0, CELLS, (n, time_s))
        action = torch.randint(0, ACTIONS, (n, time_s))

        def loss() -> torch.Tensor:
            location, doing = under_headings(model, imu, points, empty)
            return stage2_loss(location.float(), doing[:, 0].float(), cell, action, empty)["total"]

        return _timed(_step(model, loss, p.stage2)) * p.stage2_batch / n

    def _map_second(self, temporal: bool, spatial: bool, time_s: int) -> float:
        """A second of a window under one heading."""
        model, p, n = self._reasoner(temporal, spatial).eval(), self.profile, 4 * time_s
        imu, points = self.rng.normal(size=(n, p.embed_dim)), self.rng.normal(size=(CELLS, p.embed_dim))
        once = partial(
            heading_maps, model, None, imu.astype(np.float32), np.zeros(n), points.astype(np.float32),
            np.zeros(CELLS, bool), headings=np.zeros(HYPOTHESES), time=time_s, stride=time_s,
        )  # fmt: skip
        return _timed(once) / (n * HYPOTHESES)  # as many at once as a row asks: caches hold fewer

    def _velocity_step(self) -> float:
        torch.manual_seed(0)
        model, n = VelocityNet(self.profile.imu_width), self.profile.stage1_batch
        windows, target = self._windows(n, 1200), torch.zeros(n, 2)
        return _timed(_step(model, lambda: velocity_loss(model(windows), target)["total"], self.profile.velocity))

    def _velocity_second(self) -> float:
        model, windows = VelocityNet(self.profile.imu_width).eval(), self._windows(128, 1200)
        with torch.inference_mode():
            return _timed(lambda: model(windows)) / 128

    def _simulation(self) -> tuple[float, float]:
        """Seconds of one room's scan, and of a simulated second with its camera."""
        spent = []
        for minutes in (0.5, 2.0):
            with tempfile.TemporaryDirectory() as folder:
                config = DatasetConfig(train_takes_per_room=1, test_seen_takes_per_room=0, val_seen_rooms=0,
                                       val_unseen_rooms=0, test_unseen_rooms=0, long_takes=0)  # fmt: skip
                once = partial(synthesize, Path(folder) / "k", rooms=1, participants=1, minutes=minutes, seed=1,
                               workers=1, progress=False, config=config)  # fmt: skip
                began = time.perf_counter()
                once()
                spent.append(time.perf_counter() - began)
        a_second = max(0.0, (spent[1] - spent[0]) / 90)
        return max(0.0, spent[0] - 30 * a_second), a_second


def _step(model: torch.nn.Module, loss: Callable[[], torch.Tensor], train: TrainConfig) -> Callable[[], None]:
    """A training step as `training.fit` makes one, in its precision."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    half = precision_on(train.precision, "cpu") == "bf16-mixed"

    def once() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            value = loss()
        value.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return once


def validations(train: TrainConfig) -> int:
    """How often a schedule validates if it runs to its end."""
    if not train.validate_every:
        return 0
    first = max(train.min_steps, train.validate_every)
    return max(0, 1 + (train.steps - first) // train.validate_every)


def seconds_of(unit: Unit, profile: Profile, counts: Counts, rates: Rates) -> float:
    """Core-seconds of a unit that nothing of is there yet."""
    if unit.what in ("data", "causal"):
        scan, second = rates("simulation")
        again = 0.3 if unit.what == "causal" else 1.0  # orientation and labels anew; nothing is simulated
        simulated = counts.rooms * scan + counts.all_seconds * second if unit.what == "data" else 0.0
        share = counts.of(TEST) / max(counts.all_seconds, 1) if unit.what == "causal" else 1.0
        return simulated + again * share * (PREPARED_ROOM_S * counts.rooms + PREPARED_S * counts.all_seconds)
    if unit.what == "velocity":
        known = validations(profile.velocity) * counts.of(VALIDATION)
        return profile.velocity.steps * rates("velocity_step") + known * rates("velocity_second")
    method = unit.method
    if unit.what == "stage 1":
        views = profile.views * QUARTERS * counts.train_rooms + counts.rooms
        near = SCANS * counts.train_rooms * CELLS * rates("neighbours")
        steps = profile.stage1.steps * rates("stage1_step") + validations(profile.stage1) * rates("stage1_validation")
        return near + steps + counts.all_seconds * rates("imu_second") + views * CELLS * rates("cloud")
    if method.kind in (Kind.EAIL, Kind.TRACKER, Kind.LIVE):
        return _answers(method, unit.protocols, profile, counts, rates)
    return NETS[method.net].seconds(profile, counts.of(TEST), len(unit.protocols), partial(rates.net, method.net))


PREPARED_S, PREPARED_ROOM_S = 0.004, 0.6  # of a recorded second, and of a room, on one core


def _answers(method: Method, protocols: tuple[str, ...], profile: Profile, counts: Counts, rates: Rates) -> float:
    """Stage 2's training and a pass over the test takes; of the tracker, its calibration and its filter."""
    variant: Variant = method.variant
    if not variant.second_stage:
        return 0.002 * counts.of(TEST)
    time_s = variant.sequence_s or profile.sequence_s
    kind = (variant.temporal, variant.spatial, time_s)
    overlap = max(1.0, time_s / profile.eval_stride_s)
    if method.kind == Kind.EAIL:
        train = profile.ablation if method.short else profile.stage2
        known = validations(train) * counts.of(VALIDATION) * (HYPOTHESES + 1)
        headings = sum(1 if p == PUBLISHED else HYPOTHESES for p in protocols)
        asked = counts.of(TEST) * headings * overlap
        return train.steps * rates("stage2_step", *kind) + (known + asked) * rates("map_second", *kind)
    maps = counts.of(VALIDATION) * HYPOTHESES * overlap * rates("map_second", *kind)
    share = min(1.0, CALIBRATION_TAKES / max(1, sum(counts.takes.get(s, 0) for s in VALIDATION)))
    filtered = counts.of(VALIDATION) * (len(MAP_POWERS) * share + 1) + counts.of(TEST) * len(protocols)
    if method.kind == Kind.LIVE:
        live = counts.of(TEST) * HYPOTHESES * time_s * rates("map_second", *kind)
        return live + counts.of(TEST) * (TRACKED_S + rates("imu_second"))
    return maps + filtered * TRACKED_S


TRACKED_S = 0.006  # the filter both ways over one second


def gigabytes_of(profile: Profile, counts: Counts, units: list[Unit]) -> tuple[float, float]:
    """Disk that everything takes, and the largest process's memory, GB."""
    hours = counts.all_seconds / 3600
    cells = CELLS * profile.points_per_cell * 12 / 1e9  # a room's clouds
    windows = counts.all_seconds * 6 * 400 * 4 / 1e9
    firsts = {u for u in units if u.what == "stage 1"}
    views = (profile.views * QUARTERS * counts.train_rooms + counts.rooms) * CELLS * profile.embed_dim * 4 / 1e9
    features = views + counts.all_seconds * profile.embed_dim * 4 / 1e9
    disk = hours * 0.1 + counts.rooms * (0.005 + cells) + 2 * windows + len(firsts) * features
    trained = SCANS * counts.train_rooms * cells * 1.6  # clouds of every scan and the numbers of their neighbours
    return disk, 1.2 + trained + features
