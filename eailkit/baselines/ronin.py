"""A velocity net after RoNIN (ICRA 2020), and dead reckoning: its velocities summed from the true start and heading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from eailkit.eail.prepared import Prepared
from eailkit.eail.sequences import Prediction
from eailkit.encoders import ImuResNet18
from eailkit.preprocess.imu import yaw
from eailkit.profiles import Profile
from eailkit.provenance import Identity, identity
from eailkit.training import History, fit


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
    takes = prepared.held_out

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
        out_dir=out_dir, name="velocity", context=velocity_identity(prepared, profile), progress=progress,
        validate=held_out_loss if takes else None,
    )  # fmt: skip
    return model.eval(), history


def velocity_identity(prepared: Prepared, profile: Profile) -> Identity:
    """What a velocity net is determined by, its schedule apart; `training.trained_identity` adds that."""
    return identity(
        "velocity net", code=("eailkit.baselines.ronin",), data=prepared.identity, width=profile.imu_width,
        batch=profile.stage1_batch,
    )  # fmt: skip


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
