"""A velocity net after RoNIN (ICRA 2020): how a head moves over the ground, second by second, and how sure that is.

RoNIN turns windows at random about the vertical, since a phone's heading in a pocket says nothing. A head does: its
wearer walks where it faces, so windows are turned to the facing, and the net has one direction to learn instead of all.
Dead reckoning (`baselines.ronin`) sums what it says; the tracker moves by it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from eailkit.eail.features import turn_xy
from eailkit.eail.prepared import Prepared
from eailkit.eail.stage1 import facing_frame
from eailkit.encoders import ImuResNet18
from eailkit.preprocess.imu import RATE_HZ, yaw
from eailkit.profiles import Profile
from eailkit.provenance import Identity, identity
from eailkit.training import History, fit

SIDE_S = 1  # seconds before and after the one that is asked for
NET_HZ = 100.0  # a walking head moves below 10 Hz; RoNIN samples at 200 Hz
WALKING_MPS = 0.4  # faster than this is walking, in what is reported
LOG_STD = (-5.0, 2.0)  # limits, log m/s
SQUARED = 10.0  # weight of the squared error beside the likelihood, which at first only learns to be unsure
UNTURNED = 0.1  # share of training windows at a random heading, so that an unknown mounting is no surprise
MIRROR = torch.tensor([1.0, -1, 1, -1, 1, -1])  # what a mirror does to acc xyz and gyro xyz, which is a pseudovector


class VelocityNet(nn.Module):
    """RoNIN's ResNet-18 on three seconds of head motion: (B, 6, 1200) to (B, 4).

    Two numbers are the mean ground velocity of the middle second, m/s, forward and to the left of the facing; two the
    logarithms of their standard deviations.
    """

    def __init__(self, width: int):
        super().__init__()
        self.width = width
        self.trunk = ImuResNet18(width=width, embed_dim=4)

    def forward(self, x: Float[Tensor, "batch channels length"]) -> Float[Tensor, "batch 4"]:
        """Velocity and log standard deviation of each window, in its own frame."""
        out = self.trunk(F.avg_pool1d(x, round(RATE_HZ / NET_HZ)))
        return torch.cat([out[:, :2], out[:, 2:].clamp(*LOG_STD)], dim=1)


def velocity_loss(out: Float[Tensor, "batch 4"], velocity: Float[Tensor, "batch 2"]) -> dict[str, Tensor]:
    """Negative log likelihood of a Gaussian an axis, nats without the constant, and the squared error, (m/s)².

    L = sum_axis [(v - u)^2 / (2 s^2) + log s] + SQUARED * mean_axis (v - u)^2.
    """
    out, error = out.float(), out.float()[:, :2] - velocity
    likelihood = (0.5 * (error / out[:, 2:].exp()).square() + out[:, 2:]).sum(1).mean()
    squared = error.square().mean()
    return {"total": likelihood + SQUARED * squared, "likelihood": likelihood, "squared": squared}


def with_sides(windows: Float[Tensor, "n 6 samples"]) -> Float[Tensor, "n 6 longer"]:
    """Each second of consecutive ones with `SIDE_S` on both sides; before the first and after the last they repeat."""
    padded = torch.cat([windows[:1]] * SIDE_S + [windows] + [windows[-1:]] * SIDE_S)
    return torch.cat([padded[k : k + len(windows)] for k in range(2 * SIDE_S + 1)], dim=2)


def turned_sides(windows: Float[Tensor, "n 6 samples"], facing: Float[Tensor, " n"]) -> Float[Tensor, "n 6 longer"]:
    """`with_sides` of gravity-frame windows, each turned to where the head faces in its middle second."""
    return facing_frame(with_sides(windows), facing)


def facing_velocity(take) -> Float[np.ndarray, "n 2"]:
    """True mean ground velocity of each second, m/s, forward and to the left of the facing; NaN where unknown."""
    angle = np.nan_to_num(np.asarray(take.facing, float)) + np.asarray(take.heading, float)
    return turn_xy(np.asarray(take.displacement, float), -angle)


class VelocityBatches:
    """Three-second windows with their velocities, half of them mirrored; called with (rng, step)."""

    def __init__(self, prepared: Prepared, batch: int, split: str = "train"):
        self.batch, self.takes = batch, prepared.by_split(split)
        self.windows = [np.asarray(t.windows) for t in self.takes]
        self.facing = [np.nan_to_num(np.asarray(t.facing, np.float32)) for t in self.takes]
        self.velocity = [facing_velocity(t).astype(np.float32) for t in self.takes]
        inner = [np.flatnonzero(np.isfinite(v[SIDE_S : len(v) - SIDE_S]).all(1)) + SIDE_S for v in self.velocity]
        self.index = np.concatenate([np.stack([np.full(len(k), i), k], 1) for i, k in enumerate(inner)])

    def __call__(self, rng: np.random.Generator, step: int) -> dict:
        rows = self.index[rng.integers(len(self.index), size=self.batch)]
        sides = range(-SIDE_S, SIDE_S + 1)
        windows = torch.from_numpy(
            np.stack([np.concatenate([self.windows[i][s + k] for k in sides], axis=1) for i, s in rows])
        )
        facing = torch.from_numpy(np.array([self.facing[i][s] for i, s in rows], np.float32))
        velocity = torch.from_numpy(np.stack([self.velocity[i][s] for i, s in rows]))
        mirrored = torch.from_numpy(rng.random(len(rows)) < 0.5)
        windows = facing_frame(windows, facing)
        windows = torch.where(mirrored[:, None, None], windows * MIRROR[:, None], windows)
        velocity = torch.where(mirrored[:, None], velocity * MIRROR[:2], velocity)
        angle = rng.normal(0, 0.1, len(rows))
        angle = np.where(rng.random(len(rows)) < UNTURNED, rng.uniform(-np.pi, np.pi, len(rows)), angle)
        angle = torch.from_numpy(angle.astype(np.float32))
        c, s = angle.cos(), angle.sin()
        turned = torch.stack([c * velocity[:, 0] - s * velocity[:, 1], s * velocity[:, 0] + c * velocity[:, 1]], 1)
        return {"imu": yaw(windows, angle), "velocity": turned}


def train_velocity(
    prepared: Prepared, profile: Profile, out_dir: str | Path, *, progress: bool = True
) -> tuple[VelocityNet, History]:
    """Train a velocity net with `velocity_loss`; the weights of its best validation are kept."""
    torch.manual_seed(profile.velocity.seed)
    model, takes = VelocityNet(profile.imu_width), prepared.held_out

    def held_out_loss(model: VelocityNet) -> float:
        losses = []
        for take in takes:
            truth = torch.from_numpy(facing_velocity(take).astype(np.float32))
            known = torch.isfinite(truth).all(1)
            out = _run(model, np.asarray(take.windows), take.facing)
            losses.append(float(velocity_loss(out[known], truth[known])["total"]))
        return float(np.mean(losses))

    history = fit(
        model, VelocityBatches(prepared, profile.stage1_batch),
        lambda m, batch: velocity_loss(m(batch["imu"]), batch["velocity"]), profile.velocity,
        out_dir=out_dir, name="velocity", context=velocity_identity(prepared, profile), progress=progress,
        validate=held_out_loss if takes else None,
    )  # fmt: skip
    return model.eval(), history


def velocity_identity(prepared: Prepared, profile: Profile) -> Identity:
    """What a velocity net is determined by, its schedule apart; `training.trained_identity` adds that."""
    return identity(
        "velocity net", code=("eailkit.eail.velocity",), data=prepared.identity, width=profile.imu_width,
        batch=profile.stage1_batch,
    )  # fmt: skip


@torch.inference_mode()
def _run(model: VelocityNet, windows: np.ndarray, facing: np.ndarray) -> Float[Tensor, "n 4"]:
    device = next(model.parameters()).device
    angle = torch.from_numpy(np.array(facing, np.float32))
    sides = with_sides(torch.from_numpy(np.array(windows, np.float32)))
    blocks = zip(sides.split(256), angle.split(256), strict=True)
    return torch.cat([model(facing_frame(x, a).to(device)).float().cpu() for x, a in blocks])


def gravity_velocity(
    model: VelocityNet, windows: Float[np.ndarray, "n 6 400"], facing: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
    """Mean ground velocity of each of a recording's seconds in the gravity frame, m/s, and its standard deviation.

    Args:
        windows: consecutive seconds, gravity frame.
        facing: where the head faces in that frame, rad; NaN where unknown, which costs accuracy.

    Returns:
        Velocities, and the root mean square of the two axes' standard deviations, m/s.
    """
    return in_gravity_frame(_run(model, windows, facing).numpy(), facing)


def in_gravity_frame(
    out: Float[np.ndarray, "n 4"], facing: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
    """What the net says in the frame of the facing, as `gravity_velocity` gives it."""
    out = out.astype(float)
    return turn_xy(out[:, :2], np.nan_to_num(facing)), np.sqrt(np.exp(2 * out[:, 2:]).mean(1))


def velocity_errors(model: VelocityNet, takes: list, action_names: tuple[str, ...]) -> dict[str, dict[str, float]]:
    """How good a velocity net is: root mean square error, m/s, and ratio of predicted to true speed, by activity.

    Activities are "walking" (faster than 0.4 m/s), "standing" and each action; the ratio is the least-squares slope of
    predicted over true velocity, over seconds of walking in the activity, NaN where there are under ten.
    """
    found, true, action = [], [], []
    for take in takes:
        out, truth = _run(model, np.asarray(take.windows), take.facing).numpy()[:, :2], facing_velocity(take)
        known = np.isfinite(truth).all(1)
        found.append(out[known])
        true.append(truth[known])
        action.append(np.asarray(take.action)[known])
    found, true, action = map(np.concatenate, (found, true, action))
    walking = np.linalg.norm(true, axis=1) > WALKING_MPS
    groups = {"all": np.ones(len(true), bool), "walking": walking, "standing": ~walking}
    groups |= {name: action == i for i, name in enumerate(action_names) if (action == i).any()}
    return {name: _errors(found, true, rows, walking) for name, rows in groups.items()}


def _errors(found: np.ndarray, true: np.ndarray, rows: np.ndarray, walking: np.ndarray) -> dict[str, float]:
    moved = rows & walking
    ratio = float((found[moved] * true[moved]).sum() / (true[moved] ** 2).sum()) if moved.sum() >= 10 else float("nan")
    rmse = float(np.sqrt(((found[rows] - true[rows]) ** 2).sum(1).mean()))
    return {"rmse_mps": rmse, "speed_ratio": ratio, "seconds": float(rows.sum())}
