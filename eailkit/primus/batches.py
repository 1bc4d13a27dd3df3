"""The batches that PRIMUS and its baselines are trained on: windows, augmented views, features and masks."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from eailkit.preprocess.augment import TASKS, two_views
from eailkit.preprocess.windows import RATE_HZ
from eailkit.primus.config import PrimusConfig
from eailkit.primus.triplets import Triplets

TAKE_APART = 10_000_000  # samples: more than two days between the windows of two takes


class Batches:
    """Builds the batch of a step: windows, views, features and masks; the same for the same generator."""

    def __init__(self, triplets: Triplets, config: PrimusConfig, batch: int):
        self.data, self.config, self.size = triplets, config, min(batch, len(triplets))
        _, take = np.unique(triplets.take, return_inverse=True)
        first = np.full(take.max() + 1, np.inf)
        np.minimum.at(first, take, triplets.start_s)  # clocks may count from 1970: of each take's own first window
        since = np.round((triplets.start_s - first[take]) * RATE_HZ).astype(np.int64)
        self.origin = take.astype(np.int64) * TAKE_APART + since
        self.order = np.argsort(self.origin, kind="stable")
        self.sorted = self.origin[self.order]

    def _near(self, rows: Int[np.ndarray, " b"], rng: np.random.Generator) -> Int[np.ndarray, " b"]:
        """For each row another of its take within neighbour_s, itself where there is none."""
        reach = int(self.config.neighbour_s * RATE_HZ)
        at = self.origin[rows]
        low, high = np.searchsorted(self.sorted, at - reach), np.searchsorted(self.sorted, at + reach, "right")
        pick = low + (rng.random(len(rows)) * (high - low)).astype(int)
        return self.order[pick]

    def __call__(self, rng: np.random.Generator, step: int) -> dict:
        """Rows are drawn without replacement within a batch."""
        rows = np.sort(rng.choice(len(self.data), self.size, replace=False))
        imu = torch.from_numpy(self.data.imu[rows])
        g = torch.Generator().manual_seed(int(rng.integers(2**31)))
        terms, batch = self.config.terms, {}
        if "multitask" in terms:
            return _tasks(imu, self.config.multitask, g)
        if {"ss", "simclr"} & set(terms):
            one, two = two_views(imu, g, self.config.recipe)
            if self.config.neighbour_s > 0:
                two = two_views(torch.from_numpy(self.data.imu[self._near(rows, rng)]), g, self.config.recipe)[1]
            batch = {"view2": two} if one is imu else {"view1": one, "view2": two}
        if {"mm", "nn"} & set(terms) or "view1" not in batch:
            batch["imu"] = imu
        for name in ("video", "text", "has_video", "has_text"):
            batch[name] = torch.from_numpy(getattr(self.data, name)[rows])
        origin = torch.from_numpy(self.origin[rows])
        reach = int(self.config.neighbour_s * RATE_HZ)
        batch["origin"] = origin
        batch["equal"] = (origin[:, None] - origin[None]).abs() <= reach
        return batch


def _tasks(imu: Tensor, names: tuple[str, ...], g: torch.Generator) -> dict:
    """The batch dealt out to the tasks; in each, half of the windows are changed."""
    windows, done = [], []
    for name, part in zip(names, imu.tensor_split(len(names)), strict=True):
        changed = torch.rand(len(part), generator=g) < 0.5
        windows.append(torch.where(changed[:, None, None], TASKS[name](part, g), part))
        done.append(changed.float())
    return {"task_windows": windows, "task_done": done}
