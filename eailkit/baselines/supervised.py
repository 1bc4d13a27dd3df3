"""Standard training, the line without any pretraining: the same encoder, all weights from random ones (PRIMUS Fig. 4).

SimCLR, IMU2CLIP and MultitaskSSL differ in their objective alone and are configurations of `eailkit.primus.config`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float32, Int
from torch import nn

from eailkit.errors import DatasetError
from eailkit.preprocess.augment import two_views
from eailkit.primus.config import PrimusConfig
from eailkit.primus.model import Primus

EPOCHS, BATCH = 20, 256  # PRIMUS section 4


class Classifier(nn.Module):
    """An encoder and a linear layer over its multimodal head's output, as PRIMUS's standard training has it."""

    def __init__(self, config: PrimusConfig, n_classes: int):
        super().__init__()
        self.encoder = Primus(replace(config, terms=("ss",)), feature_dim=128).encoder
        self.out = nn.Linear(self.encoder.multimodal_head.out_features, n_classes)

    def forward(self, imu: Float32[torch.Tensor, "n 6 length"]) -> torch.Tensor:
        """Logits (n, classes)."""
        return self.out(self.encoder.multimodal(self.encoder(imu)))

    @torch.inference_mode()
    def predict(self, imu: Float32[np.ndarray, "n 6 length"], batch: int = 512) -> Int[np.ndarray, " n"]:
        """The likeliest class of each window."""
        self.eval()
        parts = [self(torch.from_numpy(imu[i : i + batch])).argmax(1) for i in range(0, len(imu), batch)]
        return torch.cat(parts).numpy()


def train_classifier(
    config: PrimusConfig,
    imu: Float32[np.ndarray, "n 6 length"],
    label: Int[np.ndarray, " n"],
    n_classes: int,
    *,
    steps: int | None = None,
    learning_rate: float | None = None,
    seed: int = 0,
) -> Classifier:
    """Train encoder and classifier from random weights.

    Args:
        steps: None trains as the paper does: AdamW at 1e-4 for 20 epochs of batches of 256, which is 20 steps for up to
            256 windows: the loss of two classes as different as walking and sitting falls from 0.69 to 0.5 or 0.6. A
            number trains properly: that many steps of up to 64 windows at 1e-3, warm-up then cosine, windows augmented.

    Raises:
        DatasetError: no window, or lengths differ.
    """
    if not len(imu) or len(imu) != len(label):
        raise DatasetError(
            f"train_classifier: found {len(imu)} windows and {len(label)} labels; expected as many, > 0."
        )
    torch.manual_seed(seed)
    rng, g = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    model = Classifier(config, n_classes).train()
    batch = BATCH if steps is None else 64
    order = []
    epochs = EPOCHS if steps is None else max(1, -(-steps * batch // len(imu)))
    for _ in range(epochs):
        rows = rng.permutation(len(imu))
        order += [rows[i : i + batch] for i in range(0, len(rows), batch)]
    order = order if steps is None else order[:steps]
    rate = learning_rate or (1e-4 if steps is None else 1e-3)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=len(order) + 1, pct_start=0.1)
    x, y = torch.from_numpy(imu), torch.from_numpy(np.asarray(label, np.int64))
    for rows in order:
        if len(rows) < 2:  # batch statistics need two
            rows = np.concatenate([rows, rng.choice(len(imu), 2)])
        windows = x[rows] if steps is None else two_views(x[rows], g, config.recipe)[1]
        loss = nn.functional.cross_entropy(model(windows), y[rows])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
    return model.eval()
