"""Location from the IMU without a map, after NILoc (CVPR 2022), on stage 1's features and over many rooms.

What it can know is where people tend to be and how they move there: the table's line "IMU alone".
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from eailkit.eail.features import Features
from eailkit.eail.prepared import Prepared
from eailkit.eail.sequences import Prediction, SequenceBatches, heading_angles
from eailkit.losses import trajectory_loss
from eailkit.preprocess.mapgrid import CELLS
from eailkit.profiles import Profile
from eailkit.provenance import Identity, identity
from eailkit.training import History, TrainConfig, fit


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
    progress: bool = True,
) -> tuple[ImuAlone, History]:  # fmt: skip
    """Train `ImuAlone` with Eq. 2 on the sequences that stage 2 sees; the weights of its best validation are kept."""
    train = train or profile.imu_alone
    torch.manual_seed(train.seed)
    model = ImuAlone(profile.embed_dim)
    batches = SequenceBatches(prepared, features, batch=profile.stage2_batch, time=profile.sequence_s)

    def loss_of(wrapped, batch: dict) -> dict[str, Tensor]:
        nowhere = torch.zeros_like(batch["empty"])  # without a map nothing is known to be empty
        return {"total": trajectory_loss(wrapped(batch["imu"][:, 0]).float(), batch["cell"], nowhere)}

    takes = [t for t in prepared.held_out if t.name in features.takes]

    def held_out_loss(model: ImuAlone) -> float:
        losses = []
        for take in takes:
            found = _mean_over_headings(model, features, take).clamp(min=1e-12).log()
            losses.append(float(trajectory_loss(found[None], torch.from_numpy(np.asarray(take.cell, np.int64)[None]))))
        return float(np.mean(losses))

    context = imu_alone_identity(prepared, features.identity, profile)
    history = fit(
        model, batches, loss_of, train, out_dir=out_dir, name="imu_alone", context=context, progress=progress,
        validate=held_out_loss if takes else None,
    )  # fmt: skip
    return model.eval(), history


def imu_alone_identity(prepared: Prepared, features: Identity, profile: Profile) -> Identity:
    """What an `ImuAlone` is determined by, its schedule apart; `training.trained_identity` adds that."""
    return identity(
        "IMU alone", code=("eailkit.baselines.niloc",), data=prepared.identity, features=features,
        embed_dim=profile.embed_dim, sequence_s=profile.sequence_s, batch=profile.stage2_batch,
    )  # fmt: skip


def predict_imu_alone(model: ImuAlone, features: Features, take) -> Prediction:
    """`ImuAlone` over a whole take at once: its convolutions see 13 s around each second.

    Training knows the heading; here nothing does, and without a map nothing tells one from another: a mean over all.
    """
    return Prediction(_mean_over_headings(model, features, take).numpy())


@torch.inference_mode()
def _mean_over_headings(model: ImuAlone, features: Features, take) -> Float[Tensor, "n cells"]:
    headings = heading_angles() if features.direction is not None else np.zeros(1)
    motion = torch.from_numpy(np.stack([features.motion(take.name, angle) for angle in headings]))
    return model(motion.to(model.head.weight.device)).float().softmax(-1).mean(0).cpu()
