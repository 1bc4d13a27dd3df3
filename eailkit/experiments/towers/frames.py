"""Frames with their captions for the tiny towers, and the batches that they are trained on.

Frames stay uint8 in memory; crops, flips and colours are drawn a step and applied to the whole batch at once. Which
kitchens may be read at all is decided here: `read_pretraining` refuses every take of a split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from tqdm.auto import tqdm

from eailkit.datasets.egoexo4d import EgoExo4D
from eailkit.errors import DatasetError
from eailkit.preprocess.labels import action_seconds
from eailkit.vision_language import tiny


@dataclass(frozen=True)
class Frames:
    """Frames, what was said about them, and what was done in them.

    Attributes:
        image: RGB, (n, size, size, 3).
        caption: "" where no narration is near, (n,).
        action: class of the segment that covers the frame, -1 outside all, (n,).
        room: (n,).
    """

    image: UInt8[np.ndarray, "n size size 3"]
    caption: np.ndarray
    action: Int[np.ndarray, " n"]
    room: np.ndarray

    def of_rooms(self, rooms: list[str]) -> Frames:
        """The frames of some rooms."""
        return self.where(np.isin(self.room, rooms))

    def where(self, keep: Bool[np.ndarray, " n"]) -> Frames:
        """The frames that a mask keeps."""
        return Frames(self.image[keep], self.caption[keep], self.action[keep], self.room[keep])


def joined(parts: Sequence[Frames]) -> Frames:
    """All frames of several sets, in order."""
    return Frames(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Frames)))


def read_pretraining(root: Path, pair_s: float, *, progress: bool = True) -> Frames:
    """Every frame of the pretraining takes, see `read_frames`.

    Raises:
        DatasetError: the folder holds takes of a split, or no frames.
    """
    other = [t for t in EgoExo4D(root).takes if t.split not in ("pretrain", "scan")]
    if other:
        raise DatasetError(
            f"{root}: found take {other[0].name} of split '{other[0].split}'; expected takes of split 'pretrain' only; "
            "make them with this command's own --data."
        )
    return read_frames(root, ("pretrain",), pair_s, progress=progress)


def read_frames(
    root: Path, splits: tuple[str, ...], pair_s: float, *, tasks: Sequence[str] = (), progress: bool = True
) -> Frames:
    """Every frame of some splits' takes, with the narration nearest in time and the action of its moment.

    Args:
        root: a dataset in Ego-Exo4D's layout.
        splits: names of splits; takes of others are left out, as are takes without a video where others have one.
        pair_s: a narration at most this far from a frame is its caption, seconds.
        tasks: where given, a frame's action is the place of its take's task among these.

    Raises:
        DatasetError: no take of these splits has frames.
    """
    dataset = EgoExo4D(root)
    takes = [t for t in dataset.takes if t.split in splits and t.task != "scan"]
    images, captions, actions, rooms = [], [], [], []
    for take in tqdm(takes, desc="frames", disable=not progress, leave=False):
        recording = dataset.recording(take.name, with_map=False)
        if recording.load_frames is None:
            continue
        times = np.asarray(recording.frame_times_s)
        images.append(recording.load_frames(list(range(len(times)))))
        said_s = np.array([n.t_s for n in recording.narrations] or [np.inf])
        text = np.array([n.text for n in recording.narrations] or [""])
        nearest = np.abs(times[:, None] - said_s).argmin(axis=1)
        captions.append(np.where(np.abs(times - said_s[nearest]) <= pair_s, text[nearest], ""))
        if tasks:
            actions.append(np.full(len(times), tasks.index(take.task)))
        else:
            actions.append(action_seconds(recording, times, dataset.action_names))
        rooms.append(np.full(len(times), take.room))
    if not images:
        raise DatasetError(
            f"{root}: found no video in {len(takes)} takes of {', '.join(splits)}; expected frames; make the data with "
            "them (DatasetConfig.frame_splits), or let this command make its own in an empty folder."
        )
    return Frames(*(np.concatenate(parts) for parts in (images, captions, actions, rooms)))


def random_views(
    images: UInt8[np.ndarray, "n size size 3"],
    rng: np.random.Generator,
    *,
    least_area: float,
    jitter: float,
    flip: Bool[np.ndarray, " n"],
) -> Float[Tensor, "n 3 size size"]:
    """Augmented, normalised images: random crop and resize, then flip, brightness, contrast and grey.

    Args:
        least_area: smallest share of the image that a crop keeps. SLIP: 0.5 for CLIP, 0.08 for SimCLR.
        jitter: largest relative change of brightness and contrast. SLIP: none for CLIP, 0.4 for SimCLR.
        flip: images of which half are mirrored; none whose caption says "left" or "right".
    """
    x = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255.0
    n = len(x)
    scale = np.sqrt(rng.uniform(least_area, 1.0, n))
    theta = np.zeros((n, 2, 3), np.float32)
    theta[:, 0, 0] = scale * np.where(flip & (rng.random(n) < 0.5), -1.0, 1.0)
    theta[:, 1, 1] = scale
    theta[:, :, 2] = rng.uniform(-1.0, 1.0, (n, 2)) * (1.0 - scale)[:, None]
    grid = F.affine_grid(torch.from_numpy(theta), list(x.shape), align_corners=False)
    x = F.grid_sample(x, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    if jitter:
        draw = lambda: torch.from_numpy(rng.uniform(1 - jitter, 1 + jitter, (n, 1, 1, 1)).astype(np.float32))  # noqa: E731
        mean = x.mean(dim=(1, 2, 3), keepdim=True)
        x = ((x - mean) * draw() + mean) * draw()
        grey = torch.from_numpy(rng.random((n, 1, 1, 1)) < 0.2)
        x = torch.where(grey, x.mean(dim=1, keepdim=True), x).clamp(0.0, 1.0)
    return (x - _channel(open_clip.OPENAI_DATASET_MEAN)) / _channel(open_clip.OPENAI_DATASET_STD)


def _channel(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values).view(1, 3, 1, 1)


class Batches:
    """Draws the images, captions and views of a step; called with (rng, step).

    Args:
        frames: of the kitchens to train on.
        pairs: captioned pairs a step, all captions different.
        views: images a step with two augmented views each; 0 for an objective without SimCLR.

    Raises:
        DatasetError: no frame has a caption.
    """

    def __init__(self, frames: Frames, *, pairs: int, views: int):
        self.frames, self.pairs, self.views = frames, pairs, views
        self.captioned = np.flatnonzero(frames.caption != "")
        if not len(self.captioned):
            raise DatasetError("pretraining frames: found none with a caption; expected narrated takes; make more.")
        captions, self.caption_id = np.unique(frames.caption[self.captioned], return_inverse=True)
        tokens = tiny.tokenizer()(captions.tolist())
        self.vocabulary = tiny.Vocabulary.of(tokens)
        self.text = self.vocabulary.rows(tokens)

    def __call__(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        """A batch whose captions all differ, and frames with or without captions in two views."""
        order = rng.choice(len(self.captioned), min(4 * self.pairs, len(self.captioned)), replace=False)
        _, first = np.unique(self.caption_id[order], return_index=True)
        pick = order[np.sort(first)[: self.pairs]]
        image, chosen = self.frames.image[self.captioned[pick]], self.caption_id[pick]
        never = np.zeros(len(image), bool)
        batch = {
            "image": random_views(image, rng, least_area=0.5, jitter=0.0, flip=never),
            "text": self.text[chosen],
        }
        if self.views:
            alone = self.frames.image[rng.integers(len(self.frames.image), size=self.views)]
            always = np.ones(self.views, bool)
            for name in ("view", "other"):
                batch[name] = random_views(alone, rng, least_area=0.2, jitter=0.4, flip=always)
        return batch
