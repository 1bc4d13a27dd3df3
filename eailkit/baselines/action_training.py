"""What the action baselines of EAIL's Table 2 share: their seconds, their loss, their schedule, their answer.

All of them read what EAIL reads, gravity-aligned seconds turned to where the head faces, around the labelled one, and
are trained with Eq. 3 by `training.fit`, with the weights of their best validation. The nets live beside this file.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from eailkit.eail.prepared import Prepared
from eailkit.eail.sequences import Prediction
from eailkit.eail.stage1 import facing_frame
from eailkit.eail.velocity import UNTURNED
from eailkit.errors import ConfigError, DatasetError
from eailkit.losses import action_loss
from eailkit.preprocess.imu import yaw
from eailkit.provenance import Identity
from eailkit.training import History, TrainConfig, fit, precision_on

FACING_STD_RAD = 0.1  # training error of the facing, which is a mean over a second
VALIDATION_STEP_S = 3  # labelled seconds of a validation take that are asked: neighbours say the same
BLOCK = 256  # windows of a take that go through a net at once


class ActionNet(nn.Module):
    """A net that reads `context_s` seconds of head motion and names the action of the middle one.

    Subclasses give logits of (B, 6, 400 * context_s) windows: acc xyz in m/s², gyro xyz in rad/s, facing frame.
    """

    context_s: int = 1

    def calibrate(self, windows: Float[Tensor, "n 6 samples"]) -> None:
        """Take what the net scales its input by from training windows; most nets need nothing."""

    def loss(self, logits: Float[Tensor, "batch classes"], action: Int[Tensor, " batch"]) -> dict[str, Tensor]:
        """Eq. 3, whatever the classes' shares, as EAIL's action head has it: "total", and what else is logged."""
        return {"total": action_loss(logits[:, None], action[:, None])}


def check_context(context_s: int) -> int:
    """The seconds that a net reads.

    Raises:
        ConfigError: not odd, or not positive: the labelled second lies in the middle.
    """
    if context_s < 1 or context_s % 2 == 0:
        raise ConfigError(
            f"context_s: found {context_s}; expected an odd number of seconds, since the labelled one lies in the "
            "middle; choose 1, 3 or 5."
        )
    return context_s


def with_context(
    windows: Float[np.ndarray, "n 6 samples"], seconds: Int[np.ndarray, " m"], context_s: int
) -> Float[np.ndarray, "m 6 longer"]:
    """Some of a take's seconds with as many before as after them, `context_s` in all.

    Before a take's first second and after its last, those two repeat.
    """
    side = check_context(context_s) // 2
    around = np.clip(seconds[:, None] + np.arange(-side, side + 1), 0, len(windows) - 1)
    return np.moveaxis(windows[around], 1, 2).reshape(len(seconds), windows.shape[1], -1)


class ActionBatches:
    """Draws labelled seconds of one split with their context, turned to the facing; called with (rng, step).

    The facing is a little off in training, and withheld from a tenth of the windows, which are turned at random
    instead: an unknown mounting is then no surprise. Every labelled second is as likely as any other.

    Args:
        context_s: seconds of a window, odd.
        labelled: False draws all seconds, for what pretrains without labels.
        shuffle_labels: give every second the label of another one (a check: nothing may be learned).
    """

    def __init__(
        self, prepared: Prepared, batch: int, context_s: int, *, split: str = "train", labelled: bool = True,
        shuffle_labels: bool = False,
    ):  # fmt: skip
        self.batch, self.context_s, self.shuffle_labels = batch, check_context(context_s), shuffle_labels
        self.takes = prepared.by_split(split)
        self.windows = [t.windows for t in self.takes]
        self.facing = [np.asarray(t.facing, np.float32) for t in self.takes]
        self.action = [np.asarray(t.action, np.int64) for t in self.takes]
        drawn = [np.flatnonzero(a >= 0) if labelled else np.arange(len(a)) for a in self.action]
        self.index = np.concatenate(
            [np.zeros((0, 2), np.int64), *(np.stack([np.full(len(k), i), k], 1) for i, k in enumerate(drawn))]
        )
        if not len(self.index):
            raise DatasetError(
                f"dataset: found no {'second with an action' if labelled else 'second'} in split '{split}'; expected "
                "many; check the annotations' action segments."
            )

    def __len__(self) -> int:
        return len(self.index)

    def __call__(self, rng: np.random.Generator, step: int) -> dict:
        rows = self.index[rng.choice(len(self.index), self.batch, replace=len(self.index) < self.batch)]
        labels = self.index[rng.integers(len(self.index), size=self.batch)] if self.shuffle_labels else rows
        off = rng.normal(0, FACING_STD_RAD, len(rows)).astype(np.float32)
        at_random = rng.uniform(-np.pi, np.pi, len(rows)).astype(np.float32)
        off = np.where(rng.random(len(rows)) < UNTURNED, at_random, off)
        action = np.array([self.action[i][s] for i, s in labels])
        return {"imu": yaw(self.turned(rows), torch.from_numpy(off)), "action": torch.from_numpy(action), "rows": rows}

    def turned(self, rows: Int[np.ndarray, "n 2"]) -> Float[Tensor, "n 6 samples"]:
        """Windows of some (take, second), turned to where the head faces in their middle second."""
        windows = np.concatenate([with_context(self.windows[i], np.array([s]), self.context_s) for i, s in rows])
        facing = np.array([self.facing[i][s] for i, s in rows], np.float32)
        return facing_frame(torch.from_numpy(windows), torch.from_numpy(facing))

    def some(self, count: int = 512) -> Float[Tensor, "n 6 samples"]:
        """Evenly spread windows of the split, for what a net is calibrated on."""
        at = np.linspace(0, len(self) - 1, min(count, len(self))).astype(int)
        return self.turned(self.index[at])


def fit_actions(
    model: ActionNet, prepared: Prepared, train: TrainConfig, context: Identity, *, batch: int, name: str,
    out_dir: str | Path | None, progress: bool = True, shuffle_labels: bool = False,
) -> History:  # fmt: skip
    """Train a net on the labelled seconds with its loss; the weights of its best validation are kept.

    Args:
        context: what the weights are named by, the schedule apart.
        shuffle_labels: see `ActionBatches`; never with an out_dir, where nothing would name it.
    """
    batches = ActionBatches(prepared, batch, model.context_s, shuffle_labels=shuffle_labels)
    return fit(
        model, batches, lambda _, b: model.loss(run(model, b["imu"], train), b["action"]), train, out_dir=out_dir,
        name=name, context=context, progress=progress, validate=held_out_action_loss(prepared),
    )  # fmt: skip


def run(net: nn.Module, imu: Float[Tensor, "batch 6 samples"], train: TrainConfig) -> Tensor:
    """What a net makes of windows in a schedule's precision.

    Fabric would round a forward pass's input to bfloat16 as well: steps of 0.06 m/s² beside gravity.
    """
    low = precision_on(train.precision, train.device) == "bf16-mixed"
    with torch.autocast(imu.device.type, torch.bfloat16, enabled=low):
        return net(imu).float()


def held_out_action_loss(prepared: Prepared) -> Callable[[ActionNet], float] | None:
    """A function that gives Eq. 3 on takes kept from training, nats, each take once; None without such takes.

    The loss, not the share of hits, as stage 2 is judged; every third labelled second is asked.
    """
    takes = [t for t in prepared.held_out if (np.asarray(t.action) >= 0).any()]
    if not takes:
        return None

    def of(model: ActionNet) -> float:
        losses = []
        for take in takes:
            seconds = np.flatnonzero(np.asarray(take.action) >= 0)[::VALIDATION_STEP_S]
            label = torch.from_numpy(np.asarray(take.action, np.int64)[seconds])
            losses.append(float(action_loss(_logits(model, take, seconds)[:, None], label[:, None])))
        return float(np.mean(losses))

    return of


def predict_actions(model: ActionNet, take) -> Prediction:
    """Probabilities of the actions in every second of a take, from the IMU alone."""
    return Prediction(action=_logits(model, take, np.arange(len(take))).softmax(-1).numpy())


@torch.inference_mode()
def _logits(model: ActionNet, take, seconds: Int[np.ndarray, " m"]) -> Float[Tensor, "m classes"]:
    device, facing = next(model.parameters()).device, np.asarray(take.facing, np.float32)
    found = []
    for first in range(0, len(seconds), BLOCK):
        some = seconds[first : first + BLOCK]
        windows = torch.from_numpy(with_context(take.windows, some, model.context_s))
        found.append(model(facing_frame(windows, torch.from_numpy(facing[some])).to(device)).float().cpu())
    return torch.cat(found)
