"""A velocity net after RoNIN (ICRA 2020), and dead reckoning: its velocities summed from the true start and heading."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch.nn import functional as F

from eailkit.eail.prepared import Prepared
from eailkit.eail.sequences import Prediction
from eailkit.encoders import ImuResNet18
from eailkit.preprocess.imu import yaw
from eailkit.profiles import Profile
from eailkit.provenance import Identity, identity
from eailkit.training import History, fit


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
) -> tuple[ImuResNet18, History]:
    """Train a velocity net after RoNIN: ResNet-18 on one-second windows, mean squared error of the mean velocity."""
    torch.manual_seed(profile.velocity.seed)
    model = ImuResNet18(width=profile.imu_width, embed_dim=2)
    loss_of = lambda m, batch: {"total": F.mse_loss(m(batch["imu"]).float(), batch["velocity"])}  # noqa: E731
    history = fit(
        model, VelocityBatches(prepared, profile.stage1_batch), loss_of, profile.velocity,
        out_dir=out_dir, name="velocity", context=velocity_identity(prepared, profile), progress=progress,
    )  # fmt: skip
    return model.eval(), history


def velocity_identity(prepared: Prepared, profile: Profile) -> Identity:
    """What a velocity net is determined by, its schedule apart; `training.trained_identity` adds that."""
    return identity(
        "velocity net", code=("eailkit.baselines.ronin",), data=prepared.identity, width=profile.imu_width,
        batch=profile.stage1_batch,
    )  # fmt: skip


@torch.inference_mode()
def dead_reckoning(model: ImuResNet18, take) -> Prediction:
    """Velocities summed from the take's true first position and true first heading; no map, no RS.

    The heading after the first second is the IMU's own: its drift is part of the method, as a user would have it.
    """
    windows = torch.from_numpy(np.array(take.windows))
    velocity = torch.cat([model(block).float() for block in windows.split(512)]).numpy()
    first = int(np.flatnonzero(np.isfinite(take.position).all(1))[0])
    heading = np.full(len(velocity), float(take.heading[first]))
    world = _rotate(velocity.astype(float), heading)
    steps = (world[first + 1 :] + world[first:-1]) / 2.0
    path = np.full((len(velocity), 2), np.nan)
    path[first:] = np.asarray(take.position[first]) + np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    return Prediction(position_m=path)
