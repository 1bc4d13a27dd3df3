"""What PRIMUS's two notebooks share: their run, what was seen and said in a window, and the batch behind the switches.

Nothing is trained here beyond what `PrimusRun` does; pictures are `plots.primus`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Float32, Int
from torch import Tensor

from eailkit.datasets import EgoExo4D
from eailkit.experiments.eail_run import dataset_folder
from eailkit.experiments.primus_run import PrimusRun
from eailkit.preprocess.augment import permuted, reversed_in_time, scaled, scaled_by_sample, sometimes
from eailkit.primus.losses import FeatureQueue
from eailkit.primus.model import Primus
from eailkit.primus.triplets import Triplets
from eailkit.profiles import get_profile

DUPLICATES = 0.21  # share of windows in PRIMUS's own data that repeat another one
SCALING = {"per channel": scaled, "per sample": scaled_by_sample}
ORDER = {"reversal": sometimes(reversed_in_time), "permutation": permuted}
VIEWS = ("both", "one")


def course_run(
    run_dir: Path | str, profile: str, *, real: Path | str | None = None, say: Callable[[str], None] = print, **options
) -> PrimusRun:
    """The `PrimusRun` of a course folder: with the kitchens where an earlier notebook made them, without otherwise.

    Args:
        run_dir: the course's.
        real: folder of ClassyGlass; "" for none, which is said, None where nobody asks.
        say: told what is left out.
        options: of `PrimusRun`.
    """
    kitchens = dataset_folder(run_dir, get_profile(profile))
    found = profile != "smoke" and (kitchens / "takes.json").is_file()
    if not found:
        say("no kitchens in this run: pretraining sees the other six scenarios only")
    if real == "":
        say('no real recordings given: the test set "real, other device" is left out of what is computed here')
    return PrimusRun(
        Path(run_dir) / "primus", profile, kitchens=kitchens if found else None, real=real or None, **options
    )


@dataclass(frozen=True, eq=False)
class Moment:
    """One triplet as people see it: motion, the frame nearest to its middle (None without video), and the narration."""

    imu: Float32[np.ndarray, "6 250"]
    frame: np.ndarray | None
    words: str
    task: str


def moments(roots: Sequence[Path | str], triplets: Triplets, rows: Int[np.ndarray, " m"]) -> list[Moment]:
    """What was seen and said in some windows.

    Args:
        roots: datasets that the takes are in.
        rows: of `triplets`.
    """
    sets = [EgoExo4D(Path(root)) for root in roots]
    of = {take.name: found for found in sets for take in found.takes}
    recordings = {}
    shown = []
    for row in rows:
        name = str(triplets.take[row])
        if name not in recordings:
            recordings[name] = (of[name].recording(name, with_map=False), of[name].start_s(name))
        recording, start_s = recordings[name]
        middle = start_s + triplets.start_s[row] + triplets.imu.shape[2] / 100
        nearest = min(recording.narrations, key=lambda w: abs(w.t_s - middle)) if recording.narrations else None
        frame = None
        if recording.load_frames is not None and len(recording.frame_times_s):
            frame = recording.load_frames([int(np.abs(recording.frame_times_s - middle).argmin())])[0]
        words = nearest.text if nearest else "nothing was said"
        shown.append(Moment(triplets.imu[row], frame, words, str(triplets.task[row])))
    return shown


def floored_twins(roots: Sequence[Path | str], split: str = "train") -> tuple[int, int]:
    """How many windows would repeat another one if starts were floored to whole seconds, as in the release; of all."""
    twins = total = 0
    for root in roots:
        dataset = EgoExo4D(Path(root))
        for take in dataset.takes:
            if take.split == split and take.task != "scan":
                starts = [int(w.t_s) for w in dataset.recording(take.name, with_map=False).narrations]
                twins, total = twins + len(starts) - len(set(starts)), total + len(starts)
    return twins, total


def self_retrieval_rate(triplets: Triplets, size: int, *, batch: int = 64, steps: int = 120) -> tuple[float, float]:
    """Share of neighbours by frame that are the window itself, of an earlier step; and share from its own take.

    Args:
        size: rows of the queue.
        batch, steps: of the training that the queue is filled by.
    """
    video, batch = torch.from_numpy(triplets.video), min(batch, len(triplets))
    queue = FeatureQueue({"video": video.shape[1], "row": 1}, size)
    rng, own, take, asked = np.random.default_rng(0), 0, 0, 0
    for _ in range(steps):
        rows = rng.choice(len(triplets), batch, replace=False)
        if len(queue):
            found = queue.neighbours(video[rows])["row"][:, 0].long().numpy()
            own, take = own + (found == rows).sum(), take + (triplets.take[found] == triplets.take[rows]).sum()
            asked += batch
        queue.add(video=video[rows], row=torch.from_numpy(rows)[:, None].float())
    return float(own / max(asked, 1)), float(take / max(asked, 1))


def knn_accuracy(features: Float[np.ndarray, "n d"], triplets: Triplets) -> float:
    """Share of windows whose nearest feature in *another take* is of the same activity: do features mean anything?

    The mean over activities, so that a frequent one doesn't count for more; guessing gives one over their number.
    """
    x = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    cosine = np.where(triplets.take[:, None] == triplets.take[None], -2.0, x @ x.T)
    found = triplets.task[cosine.argmax(axis=1)] == triplets.task
    return float(np.mean([found[triplets.task == task].mean() for task in np.unique(triplets.task)]))


@dataclass(frozen=True, eq=False)
class SwitchBatch:
    """One small batch, ready for every position of the switches.

    Attributes:
        imu: windows; the last ones repeat the first, as many as in the paper's data.
        equal: pairs that hold the same samples.
        views: (scaling, order) -> (h1(x), h2(x)).
        features: (scaling, order, views) -> f_s of the first and of the second view, of length 1.
        keys, earlier: frame features of the batch, and of batches before it, the newest last.
        scale: 1 / tau_s of the model.
    """

    imu: Float[np.ndarray, "n 6 250"]
    equal: Bool[np.ndarray, "n n"]
    views: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]]
    features: dict[tuple[str, str, str], tuple[Float[Tensor, "n d"], Float[Tensor, "n d"]]]
    keys: Float[np.ndarray, "n d"]
    earlier: Float[np.ndarray, "batches n d"]
    scale: float


@torch.inference_mode()
def switch_batch(model: Primus, triplets: Triplets, *, size: int = 24, batches: int = 5, seed: int = 0) -> SwitchBatch:
    """Everything that the panel "paper / as released" shows, computed once.

    Args:
        model: whose f_s compares the views.
        size: windows of the batch; fewer where there aren't as many.
        batches: earlier ones that can be in the queue.
    """
    rng = np.random.default_rng(seed)
    rows = rng.permutation(np.flatnonzero(triplets.has_video))
    twins = round(DUPLICATES * min(size, len(rows)))
    rows = np.concatenate([rows[: size - twins], rows[:twins], np.resize(rows[size - twins :], batches * size)])
    own, before = rows[:size], rows[size:].reshape(batches, size)
    imu = torch.from_numpy(triplets.imu[own])
    views, features = {}, {}
    for scaling, order in itertools.product(SCALING, ORDER):
        g = torch.Generator().manual_seed(seed)
        one, two = (ORDER[order](SCALING[scaling](imu, g), g) for _ in range(2))
        views[scaling, order] = (one.numpy(), two.numpy())
        for which in VIEWS:
            pair = (one if which == "both" else imu, two)
            features[scaling, order, which] = tuple(
                F.normalize(model.encoder.ssl(model.encoder(x)), dim=1) for x in pair
            )
    return SwitchBatch(
        triplets.imu[own], own[:, None] == own[None], views, features, triplets.video[own], triplets.video[before],
        float(model.tau_s()),
    )  # fmt: skip
