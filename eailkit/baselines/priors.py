"""The references of every localization table, and two learned ones: IMU alone, and dead reckoning.

Each reference is a function that gives a `Prediction` for a take. None of them sees the take's own trajectory but
for those that say so in their name: dead reckoning (true start and heading) and the two oracles.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from eailkit.eail.prepared import Prepared
from eailkit.eail.sequences import Prediction, SequenceBatches
from eailkit.eail.stage1 import Features
from eailkit.encoders import ImuResNet18
from eailkit.losses import trajectory_loss
from eailkit.preprocess.imu import yaw
from eailkit.profiles import Profile
from eailkit.training import History, TrainConfig, fit

CELLS = 400


def chance(prepared: Prepared, take) -> Prediction:
    """Every cell that holds points alike."""
    map_ = ~np.asarray(prepared.rooms[take.room].empty)
    return Prediction(np.tile(map_.astype(np.float32), (len(take), 1)))


def free_space(prepared: Prepared, take) -> Prediction:
    """Every cell that the cloud shows as free floor alike: the best that a map alone can say."""
    room = prepared.rooms[take.room]
    free = np.asarray(room.free) & ~np.asarray(room.empty)
    return Prediction(np.tile(free.astype(np.float32), (len(take), 1)))


def occupancy(
    prepared: Prepared, take, *, splits: tuple[str, ...] = ("train",), same_room_only: bool = False
) -> Prediction:
    """Where others spent their time: a constant map counted from the takes of `splits`, never from this one.

    For a room with such takes it is that room's; else (an unseen room) the mean over all rooms in grid coordinates.
    With every split and `same_room_only` it is the constant-map oracle, which knows the room's habits.
    """
    others = [t for t in prepared.takes if t.split in splits and t.name != take.name]
    own = [t for t in others if t.room == take.room]
    return Prediction(np.tile(_count(own if own or same_room_only else others), (len(take), 1)))


def action_oracle(prepared: Prepared, take) -> Prediction:
    """p(cell | true action, room), counted from the room's other takes of any split: knows what, not where.

    Actions that no other take of the room shows fall back on the room's occupancy.
    """
    others = [t for t in prepared.takes if t.room == take.room and t.name != take.name and t.split != "pretrain"]
    base = _count(others)
    table = np.tile(base * 1e-3, (len(prepared.action_names) + 1, 1))
    for other in others:
        cell, action = np.asarray(other.cell, int), np.asarray(other.action, int)
        good = (cell >= 0) & (action >= 0)
        np.add.at(table, (action[good], cell[good]), 1.0)
    return Prediction(_blur(table)[np.asarray(take.action, int)].astype(np.float32))


def _count(takes: list) -> Float[np.ndarray, " cells"]:
    counts = np.zeros(CELLS)
    for take in takes:
        cell = np.asarray(take.cell, int)
        np.add.at(counts, cell[cell >= 0], 1.0)
    return _blur(counts[None])[0].astype(np.float32)


def _blur(counts: np.ndarray) -> np.ndarray:
    """Counts of few takes are spiky: spread each over its neighbours (sigma one cell)."""
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(counts.reshape(-1, 20, 20), (0, 1, 1)).reshape(len(counts), CELLS)


class ImuAlone(nn.Module):
    """Location from stage-1 IMU features without a map (the idea of NILoc+, multi-scene): it knows habits only.

    Three temporal convolutions over F^M, then 400 logits a second.
    """

    def __init__(self, embed_dim: int = 128, channels: int = 128):
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Conv1d(embed_dim if i == 0 else channels, channels, 5, padding=2) for i in range(3)
        )
        self.head = nn.Linear(channels, CELLS)

    def forward(self, imu: Float[Tensor, "batch time dim"]) -> Float[Tensor, "batch time 400"]:
        """Location logits for each second."""
        x = imu.transpose(1, 2)
        for i, block in enumerate(self.blocks):
            y = F.gelu(block(x))
            x = y if i == 0 else x + y
        return self.head(x.transpose(1, 2))


def train_imu_alone(
    prepared: Prepared, features: Features, profile: Profile, out_dir: str | Path, *, train: TrainConfig | None = None,
    tag: str = "", progress: bool = True,
) -> tuple[ImuAlone, History]:  # fmt: skip
    """Train `ImuAlone` with Eq. 2 on the sequences that stage 2 sees; the weights of its best validation are kept."""
    train = train or profile.imu_alone
    torch.manual_seed(train.seed)
    model = ImuAlone(profile.embed_dim)
    batches = SequenceBatches(prepared, features, batch=profile.stage2_batch, time=profile.sequence_s)

    def loss_of(wrapped, batch: dict) -> dict[str, Tensor]:
        nowhere = torch.zeros_like(batch["empty"])  # without a map nothing is known to be empty
        return {"total": trajectory_loss(wrapped(batch["imu"]).float(), batch["cell"], nowhere)}

    takes = [t for t in _held_out(prepared) if t.name in features.takes]

    def held_out_loss(model: ImuAlone) -> float:
        losses = []
        for take in takes:
            imu = torch.from_numpy(np.array(features.takes[take.name][:1], np.float32)).to(model.head.weight.device)
            cell = torch.from_numpy(np.asarray(take.cell, np.int64)[None]).to(imu.device)
            losses.append(float(trajectory_loss(model(imu), cell)))
        return float(np.mean(losses))

    context = hashlib.sha1(repr((tag, prepared.data_hash)).encode()).hexdigest()[:12]
    history = fit(
        model, batches, loss_of, train, out_dir=out_dir, name="imu_alone", context=context, progress=progress,
        validate=held_out_loss if takes else None,
    )  # fmt: skip
    return model.eval(), history


def _held_out(prepared: Prepared) -> list:
    return prepared.by_split("val-seen") + prepared.by_split("val-unseen")


@torch.inference_mode()
def predict_imu_alone(model: ImuAlone, features: Features, take) -> Prediction:
    """`ImuAlone` over a whole take at once: its convolutions see 13 s around each second."""
    imu = torch.from_numpy(np.array(features.takes[take.name][0], np.float32))
    return Prediction(model(imu[None])[0].softmax(-1).numpy())


class VelocityNet(ImuResNet18):
    """RoNIN's ResNet-18 on one-second windows, means of four samples at a time: (B, 6, 400) to m/s, (B, 2).

    A walking head moves below 10 Hz and RoNIN samples at 200 Hz; at 100 Hz the net costs less than half of what it
    does at 400 Hz and its validation loss is no higher.
    """

    def __init__(self, width: int):
        super().__init__(width=width, embed_dim=2)

    def forward(self, x: Float[Tensor, "batch channels length"]) -> Float[Tensor, "batch 2"]:
        """Mean ground velocity of each window, m/s, in its own gravity frame."""
        return super().forward(F.avg_pool1d(x, 4))


class VelocityBatches:
    """One-second windows with the mean ground velocity in their own gravity frame, turned at random together."""

    def __init__(self, prepared: Prepared, batch: int, split: str = "train"):
        self.batch = batch
        self.takes = prepared.by_split(split)
        self.windows = [np.asarray(t.windows) for t in self.takes]
        self.velocity = [gravity_frame_velocity(t) for t in self.takes]
        self.index = np.concatenate(
            [
                np.stack([np.full(len(v), i), np.arange(len(v))], 1)[np.isfinite(v).all(1)]
                for i, v in enumerate(self.velocity)
            ]
        )

    def __call__(self, rng: np.random.Generator, step: int) -> dict:
        rows = self.index[rng.integers(len(self.index), size=self.batch)]
        windows = torch.from_numpy(np.stack([self.windows[i][s] for i, s in rows]))
        target = torch.from_numpy(np.stack([self.velocity[i][s] for i, s in rows]).astype(np.float32))
        angle = torch.from_numpy(rng.uniform(-np.pi, np.pi, len(rows)).astype(np.float32))
        c, s = torch.cos(angle), torch.sin(angle)
        turned = torch.stack([c * target[:, 0] - s * target[:, 1], s * target[:, 0] + c * target[:, 1]], 1)
        return {"imu": yaw(windows, angle), "velocity": turned}


def gravity_frame_velocity(take) -> Float[np.ndarray, "n 2"]:
    """Ground velocity at each second (central difference), m/s, in the IMU's gravity frame; NaN where unknown."""
    position = np.asarray(take.position, float)
    velocity = np.full_like(position, np.nan)
    velocity[1:-1] = (position[2:] - position[:-2]) / 2.0
    return _rotate(velocity, -np.asarray(take.heading, float))


def _rotate(xy: np.ndarray, angle: np.ndarray) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([c * xy[:, 0] - s * xy[:, 1], s * xy[:, 0] + c * xy[:, 1]], axis=1)


def train_velocity(
    prepared: Prepared, profile: Profile, out_dir: str | Path, *, progress: bool = True
) -> tuple[VelocityNet, History]:
    """Train a velocity net after RoNIN: mean squared error of the mean velocity, the best validated weights."""
    torch.manual_seed(profile.velocity.seed)
    model = VelocityNet(profile.imu_width)
    takes = _held_out(prepared)

    def held_out_loss(model: VelocityNet) -> float:
        losses, device = [], next(model.parameters()).device
        for take in takes:
            truth = torch.from_numpy(gravity_frame_velocity(take).astype(np.float32))
            known = torch.isfinite(truth).all(1)
            losses.append(float(F.mse_loss(window_velocity(model, take, device)[known], truth[known])))
        return float(np.mean(losses))

    loss_of = lambda m, batch: {"total": F.mse_loss(m(batch["imu"]).float(), batch["velocity"])}  # noqa: E731
    history = fit(
        model, VelocityBatches(prepared, profile.stage1_batch), loss_of, profile.velocity,
        out_dir=out_dir, name="velocity", context=prepared.data_hash, progress=progress,
        validate=held_out_loss if takes else None,
    )  # fmt: skip
    return model.eval(), history


@torch.inference_mode()
def window_velocity(
    model: Callable[[Tensor], Tensor], take, device: torch.device | str = "cpu"
) -> Float[Tensor, "n 2"]:
    """What the net, which is on `device`, says of every second of a take, m/s, in the gravity frame; on the CPU."""
    windows = torch.from_numpy(np.array(take.windows))
    return torch.cat([model(block.to(device)).float().cpu() for block in windows.split(512)])


@torch.inference_mode()
def dead_reckoning(model: Callable[[Tensor], Tensor], take) -> Prediction:
    """Velocities summed from the take's true first position and true first heading; no map, no RS.

    The heading after the first second is the IMU's own: its drift is part of the method, as a user would have it.
    """
    velocity = window_velocity(model, take).numpy()
    first = int(np.flatnonzero(np.isfinite(take.position).all(1))[0])
    heading = np.full(len(velocity), float(take.heading[first]))
    world = _rotate(velocity.astype(float), heading)
    steps = (world[first + 1 :] + world[first:-1]) / 2.0
    path = np.full((len(velocity), 2), np.nan)
    path[first:] = np.asarray(take.position[first]) + np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    return Prediction(position_m=path)


def stage1_alone(prepared: Prepared, features: Features, take) -> Prediction:
    """Stage 1's heatmap as the answer: cosine of F^M_t and F^P_s (EAIL Table 5, "stage-1 retrieval")."""
    room = prepared.rooms[take.room]
    heat = np.array(features.takes[take.name][0], np.float32) @ np.array(features.rooms[take.room], np.float32).T
    return Prediction(np.where(np.asarray(room.empty), -2.0, heat))


def majority_action(prepared: Prepared, take) -> Prediction:
    """How often each action occurs in training, for every second alike."""
    counts = np.zeros(len(prepared.action_names), np.float32)
    for other in prepared.by_split("train"):
        action = np.asarray(other.action, int)
        np.add.at(counts, action[action >= 0], 1.0)
    return Prediction(action=np.tile(counts / max(1.0, counts.sum()), (len(take), 1)))
