"""The learned baselines of EAIL's tables behind one face: how each is named, found, trained and asked.

What a net is lives in `eailkit.baselines`; a row of a table only needs to know that it can be made, and what a step of
its training costs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from eailkit.baselines import action_nets, niloc_plus, ronin, velocity_nets
from eailkit.baselines.action_training import predict_actions
from eailkit.eail.sequences import Prediction
from eailkit.eail.velocity import velocity_identity
from eailkit.experiments.eail_run import Run
from eailkit.experiments.rows.variants import FULL, Variants
from eailkit.losses import action_loss, trajectory_loss
from eailkit.preprocess.mapgrid import CELLS
from eailkit.profiles import Profile
from eailkit.provenance import Identity
from eailkit.training import History, TrainConfig, trained_identity, trained_weights

Made = tuple[Callable[[object], Prediction], nn.Module, History]  # asks it of a take; the net; its log
Step = tuple[nn.Module, Callable[[], Tensor]]  # a net, and the loss of a made-up batch, for costs
Timed = Callable[[Callable[[], Step], TrainConfig], float]  # seconds of a training step


@dataclass(frozen=True)
class Net:
    """A baseline.

    Attributes:
        file: name of its weights.
        trained_as: (run, variants, protocol) -> identity of the trained net.
        make: (run, variants, protocol) -> how to ask it, the net, and its log; trained or found.
        code: modules that its answers hang on beside its weights.
        seconds: (profile, seconds of test takes, protocols, how a step is timed) -> core-seconds from nothing.
    """

    file: str
    trained_as: Callable[[Run, Variants, str], Identity]
    make: Callable[[Run, Variants, str], Made]
    code: tuple[str, ...]
    seconds: Callable[[Profile, float, int, Timed], float]

    def identity(self, run: Run, variants: Variants, protocol: str) -> Identity:
        """Of the trained net."""
        return self.trained_as(run, variants, protocol)

    def trained(self, run: Run, variants: Variants, protocol: str = "inferred") -> bool:
        """Whether its weights are there."""
        return trained_weights(run.weights_dir, self.file, self.trained_as(run, variants, protocol)) is not None


def _ours(run: Run, variants: Variants, protocol: str) -> Made:
    net = run.train_velocity()
    return lambda take: ronin.dead_reckoning(net, take), net, run.histories["velocity"]


def _ours_as(run: Run, variants: Variants, protocol: str) -> Identity:
    return trained_identity(run.profile.velocity, velocity_identity(run.prepared, run.profile))


def _velocity(name: str) -> Net:
    def make(run: Run, variants: Variants, protocol: str) -> Made:
        net, history = velocity_nets.train_velocity_net(
            name, run.prepared, run.profile.baseline, run.weights_dir, width=run.profile.baseline_width,
            progress=run.progress,
        )  # fmt: skip
        return lambda take: velocity_nets.dead_reckoning(net, take), net, history

    def trained_as(run: Run, variants: Variants, protocol: str) -> Identity:
        made = velocity_nets.velocity_net_identity(name, run.prepared, width=run.profile.baseline_width)
        return trained_identity(run.profile.baseline, made)

    def step(profile: Profile) -> Step:
        net = velocity_nets.velocity_net(name, width=profile.baseline_width)
        rows = torch.randn(velocity_nets.BATCH, 6, velocity_nets.SAMPLES)
        return net, lambda: F.mse_loss(net(rows).float(), torch.zeros(len(rows), 2))

    def seconds(profile: Profile, test_s: float, protocols: int, timed: Timed) -> float:
        a_step = timed(partial(step, profile), profile.baseline)
        return (profile.baseline.steps + 0.4 * 2 * test_s / velocity_nets.BATCH) * a_step

    file = velocity_nets.file_name(name)
    return Net(file, trained_as, make, ("eailkit.baselines.velocity_nets",), seconds)


def _niloc(run: Run, variants: Variants, protocol: str) -> Made:
    net, history = niloc_plus.train_niloc_plus(
        run.prepared, run.profile.niloc_plus, run.weights_dir, protocol=protocol, width=run.profile.baseline_width,
        time=run.profile.sequence_s, progress=run.progress,
    )  # fmt: skip
    stride = run.profile.eval_stride_s
    return lambda take: niloc_plus.predict_niloc_plus(net, take, protocol, stride=stride), net, history


def _niloc_as(run: Run, variants: Variants, protocol: str) -> Identity:
    return trained_identity(run.profile.niloc_plus, niloc_plus.niloc_plus_identity(
        run.prepared, protocol=protocol, width=run.profile.baseline_width, time=run.profile.sequence_s
    ))  # fmt: skip


def _niloc_seconds(profile: Profile, test_s: float, protocols: int, timed: Timed) -> float:
    batch, time = 16, profile.sequence_s

    def step() -> Step:
        net = niloc_plus.NilocPlus(width=profile.baseline_width, time=time)
        windows, angle, cell = (
            torch.randn(batch, time, 6, 400),
            torch.zeros(batch, time),
            torch.zeros(batch, time).long(),
        )
        nowhere = torch.zeros(batch, CELLS, dtype=torch.bool)
        return net, lambda: trajectory_loss(net(windows, angle).float(), cell, nowhere)

    a_step = timed(step, profile.niloc_plus)
    asked = 0.4 * test_s / (batch * time) * max(1.0, time / profile.eval_stride_s)
    return protocols * (profile.niloc_plus.steps + asked) * a_step


# Of an action net: its learning rate and the steps of its pretraining, both over those of the schedule.
# Chosen on quick's validation takes, in trials of 600 steps that were all best at their last: hence longer ones.
_ACTION_SCHEDULES = {"DeepConvLSTM": (1.0, 0.0), "EVI-MAE": (2.0, 1 / 3), "IMU2CLIP": (1.0, 2 / 3)}


def action_schedules(name: str, train: TrainConfig) -> tuple[TrainConfig, TrainConfig]:
    """An action net's own schedules, of its pretraining (of no steps where it has none) and of its actions."""
    faster, share = _ACTION_SCHEDULES[name]
    train = replace(train, learning_rate=faster * train.learning_rate)
    return replace(train, steps=math.ceil(share * train.steps), validate_every=0, min_steps=0, patience=0), train


def _action(name: str) -> Net:
    file = action_nets.file_name(name)

    def config_of(profile: Profile) -> object:
        width = profile.embed_dim if name == "IMU2CLIP" else None
        return action_nets.action_net_config(name, profile.action_size, embed_dim=width)

    def make(run: Run, variants: Variants, protocol: str) -> Made:
        targets = variants.targets(FULL) if name == "IMU2CLIP" else None
        before, train = action_schedules(name, run.profile.action_net)
        net, history = action_nets.train_action_net(
            name, run.prepared, run.weights_dir, train=train, pretrain=before, targets=targets,
            config=config_of(run.profile), progress=run.progress,
        )  # fmt: skip
        return lambda take: predict_actions(net, take), net, history

    def trained_as(run: Run, variants: Variants, protocol: str) -> Identity:
        targets = variants.targets_identity(FULL) if name == "IMU2CLIP" else None
        before, train = action_schedules(name, run.profile.action_net)
        made = action_nets.action_net_identity(
            name, run.prepared, config_of(run.profile), train=train, targets=targets, pretrain=before
        )
        return trained_identity(train, made)

    def step(profile: Profile) -> Step:
        net = action_nets.action_net(name, 35, config_of(profile))
        rows, label = torch.randn(action_nets.BATCH, 6, 400 * net.context_s), torch.zeros(action_nets.BATCH).long()
        return net, lambda: action_loss(net(rows).float()[:, None], label[:, None])

    def seconds(profile: Profile, test_s: float, protocols: int, timed: Timed) -> float:
        before, train = action_schedules(name, profile.action_net)
        a_step = timed(partial(step, profile), train)
        return (before.steps + train.steps + 0.4 * 2 * test_s / action_nets.BATCH) * a_step

    code = ("eailkit.baselines.action_training",)
    return Net(file, trained_as, make, code, seconds)


def _ours_seconds(profile: Profile, test_s: float, protocols: int, timed: Timed) -> float:
    return 0.0  # the tracker's own net, counted as "velocity"


NETS: dict[str, Net] = {
    "ours, facing frame": Net("velocity", _ours_as, _ours, ("eailkit.baselines.ronin",), _ours_seconds),
    **{name: _velocity(name) for name in velocity_nets.NETS},
    "NILoc+": Net("niloc_plus", _niloc_as, _niloc, ("eailkit.baselines.niloc_plus",), _niloc_seconds),
    **{name: _action(name) for name in action_nets.ACTION_NETS},
}
