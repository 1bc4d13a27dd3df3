"""Pretrain the tiny vision-language towers that ship with the course: `python -m eailkit.pretrain_towers`.

SLIP's objective on frames and narrations of SynthKitchen kitchens that belong to no split (design section 5): their
rooms and people come from seeds that no other dataset uses. Writes model.safetensors, config.json and card.md; the
last rooms are held out, and retrieval on them is what the card reports.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from eailkit.datasets.egoexo4d import EgoExo4D
from eailkit.encoders import tiny_towers
from eailkit.errors import DatasetError
from eailkit.files import write_json, write_text
from eailkit.synthkitchen.dataset import synthesize
from eailkit.synthkitchen.splits import DatasetConfig
from eailkit.training import TrainConfig, fit


@dataclass(frozen=True)
class PretrainConfig:
    """What the towers are trained on, and how long.

    Attributes:
        rooms, participants, minutes, takes_per_room, seed: arguments of the simulator.
        held_out_rooms: last rooms, for retrieval only.
        patch_dropout: share of image patches left out in training. SLIP: none. With 0.3, stronger
            crops and flips, rooms that were held out gained nothing; they were looked at for that choice.
        batch: captioned pairs a step, all captions different. SLIP: 4096.
        views: images a step with two augmented views for SimCLR. SLIP: the batch.
        pair_s: a frame and a narration at most this far apart are a pair, seconds.
        train: steps and rates. SLIP: 25-100 epochs, learning rate 3e-3, weight decay 0.1.
    """

    rooms: int = 120
    participants: int = 60
    minutes: float = 1.5
    takes_per_room: int = 1
    seed: int = 0
    held_out_rooms: int = 12
    patch_dropout: float = 0.0
    batch: int = 64
    views: int = 32
    pair_s: float = 1.0
    train: TrainConfig = TrainConfig(steps=600, learning_rate=1e-3, weight_decay=0.1, precision="bf16-mixed")


@dataclass(frozen=True)
class Frames:
    """Frames with their captions: image (n, size, size, 3) uint8, caption (n,) "" where none is near, room (n,)."""

    image: UInt8[np.ndarray, "n size size 3"]
    caption: np.ndarray
    room: np.ndarray

    def of_rooms(self, rooms: list[str]) -> Frames:
        """The frames of some rooms."""
        keep = np.isin(self.room, rooms)
        return Frames(self.image[keep], self.caption[keep], self.room[keep])


def read_frames(root: Path, pair_s: float) -> Frames:
    """Every frame of the pretraining takes, with the narration nearest in time.

    Raises:
        DatasetError: the folder holds takes of a split, or no frames.
    """
    dataset = EgoExo4D(root)
    takes = [t for t in dataset.takes if t.task != "scan"]
    other = [t for t in takes if t.split != "pretrain"]
    if other or not takes:
        found = f"take {other[0].name} of split '{other[0].split}'" if other else "no takes"
        raise DatasetError(
            f"{root}: found {found}; expected takes of split 'pretrain' only; make them with this command's own --data."
        )
    images, captions, rooms = [], [], []
    for take in takes:
        recording = dataset.recording(take.name, with_map=False)
        if recording.load_frames is None:
            raise DatasetError(f"{root}: found no frames in take {take.name}; expected a video; make the data again.")
        times = np.asarray(recording.frame_times_s)
        images.append(recording.load_frames(list(range(len(times)))))
        said_s = np.array([n.t_s for n in recording.narrations] or [np.inf])
        text = np.array([n.text for n in recording.narrations] or [""])
        nearest = np.abs(times[:, None] - said_s).argmin(axis=1)
        captions.append(np.where(np.abs(times - said_s[nearest]) <= pair_s, text[nearest], ""))
        rooms.append(np.full(len(times), take.room))
    return Frames(np.concatenate(images), np.concatenate(captions), np.concatenate(rooms))


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
    """Draws the images, captions and views of a step; called with (rng, step)."""

    def __init__(self, frames: Frames, config: PretrainConfig):
        self.frames, self.config = frames, config
        self.captioned = np.flatnonzero(frames.caption != "")
        captions, self.caption_id = np.unique(frames.caption[self.captioned], return_inverse=True)
        tokens = tiny_towers.tokenizer()(captions.tolist())
        self.vocabulary = tiny_towers.Vocabulary.of(tokens)
        self.text = self.vocabulary.rows(tokens)

    def __call__(self, rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        """A batch whose captions all differ, and frames with or without captions in two views."""
        order = rng.permutation(len(self.captioned))[: 4 * self.config.batch]
        _, first = np.unique(self.caption_id[order], return_index=True)
        pick = order[np.sort(first)[: self.config.batch]]
        image, chosen = self.frames.image[self.captioned[pick]], self.caption_id[pick]
        alone = self.frames.image[rng.integers(len(self.frames.image), size=self.config.views)]
        every = np.ones(max(len(alone), len(image)), bool)
        view, other = (random_views(alone, rng, least_area=0.2, jitter=0.4, flip=every[: len(alone)]) for _ in range(2))
        return {
            "image": random_views(image, rng, least_area=0.5, jitter=0.0, flip=~every[: len(image)]),
            "text": self.text[chosen],
            "view": view,
            "other": other,
        }


@torch.no_grad()
def retrieval(towers: open_clip.CLIP, frames: Frames, *, gallery: int = 100, draws: int = 20) -> dict[str, float]:
    """Recall at 1 and 5, percent, in galleries of pairs with different captions; the mean of several draws.

    Captions that tell the same action in other words count as wrong, so 100 is out of reach; chance is 1 and 5 in a
    gallery of 100. So there is "same verb" too: how often the caption ranked first among all has the true one's verb,
    and "commonest verb", what always saying that would score.

    Raises:
        DatasetError: fewer different captions than the gallery asks for.
    """
    captioned = np.flatnonzero(frames.caption != "")
    captions, ids = np.unique(frames.caption[captioned], return_inverse=True)
    if len(captions) < gallery:
        raise DatasetError(
            f"retrieval: found {len(captions)} different captions; expected at least {gallery}; hold out more rooms."
        )
    text = towers.encode_text(tiny_towers.tokenizer()(captions.tolist()), normalize=True)
    x = torch.from_numpy(frames.image[captioned]).permute(0, 3, 1, 2).float() / 255.0
    x = (x - _channel(open_clip.OPENAI_DATASET_MEAN)) / _channel(open_clip.OPENAI_DATASET_STD)
    image = torch.cat([towers.encode_image(part, normalize=True) for part in x.split(256)])
    rng, found = np.random.default_rng(0), {}
    for _ in range(draws):
        order = rng.permutation(len(captioned))
        _, first = np.unique(ids[order], return_index=True)
        pick = order[rng.permutation(first)[:gallery]]
        logits = image[pick] @ text[ids[pick]].T
        own = logits.diagonal()[:, None]
        for name, each in (("image to text", logits), ("text to image", logits.T)):
            rank = (each > own).sum(dim=1)
            for k in (1, 5):
                found.setdefault(f"{name} R@{k}", []).append(100.0 * (rank < k).float().mean().item())
    verb = np.array([caption.split()[1] if " " in caption else caption for caption in captions])
    best = (image @ text.T).argmax(dim=1).numpy()
    found["same verb"] = [100.0 * np.mean(verb[best] == verb[ids])]
    found["commonest verb"] = [100.0 * np.unique(verb[ids], return_counts=True)[1].max() / len(ids)]
    return {name: round(float(np.mean(values)), 1) for name, values in found.items()}


def make_data(data: Path, config: PretrainConfig, *, workers: int | None = None, progress: bool = True) -> None:
    """Simulate the kitchens of no split, or finish those that an interrupted run began.

    Raises:
        DatasetError: the data folder holds another dataset.
    """
    simulator = DatasetConfig(
        pretrain=True, val_unseen_rooms=0, test_unseen_rooms=0, train_takes_per_room=config.takes_per_room,
        long_takes=0, scans=False, frame_splits=("pretrain",),
        frame_px=tiny_towers.model_config()["vision_cfg"]["image_size"],
    )  # fmt: skip
    synthesize(
        data, rooms=config.rooms, participants=config.participants, minutes=config.minutes, seed=config.seed,
        workers=workers, progress=progress, config=simulator,
    )  # fmt: skip


def pretrain(data: Path, out: Path, config: PretrainConfig, *, progress: bool = True) -> dict:
    """Train on the data, write the three files, and return the record that config.json keeps.

    Raises:
        DatasetError: the data folder holds takes of a split, or no frames.
        CheckpointError: a run of another configuration was left in the data folder.
    """
    frames = read_frames(data, config.pair_s)
    rooms = sorted(set(frames.room.tolist()))
    held_out = frames.of_rooms(rooms[-config.held_out_rooms :])
    batches = Batches(frames.of_rooms(rooms[: -config.held_out_rooms]), config)
    torch.manual_seed(config.train.seed)
    towers = tiny_towers.new_model(batches.vocabulary, patch_dropout=config.patch_dropout)
    model = tiny_towers.SlipTraining(towers)
    sizes = (config.batch, config.views, config.patch_dropout, len(batches.vocabulary), len(batches.frames.image))
    with sdpa_kernel(SDPBackend.MATH):  # on CPUs the fused attention's backward pass is slower at 65 tokens
        history = fit(
            model, batches, lambda m, batch: m(**batch), config.train, out_dir=data / "towers", name="towers",
            context=str(sizes), progress=progress,
        )  # fmt: skip
    tiny_towers.save_model(model.finish(), batches.vocabulary, out / "model.safetensors")
    record = {
        "model": tiny_towers.model_config(),
        "objective": asdict(model.objective),
        "pretraining": asdict(config),
        "data": {
            "train frames": len(batches.frames.image),
            "train frames with caption": len(batches.captioned),
            "different captions": len(batches.text),
            "tokens learned": len(batches.vocabulary),
            "held-out frames with caption": int((held_out.caption != "").sum()),
        },
        "minutes": round(history.minutes, 1),
        "device": history.device,
        "retrieval in galleries of 100, percent": {
            "held-out rooms": retrieval(tiny_towers.load_model(out / "model.safetensors"), held_out),
            "training rooms": retrieval(tiny_towers.load_model(out / "model.safetensors"), batches.frames),
        },
    }
    write_json(out / "config.json", record)
    write_text(out / "card.md", _card(record))
    return record


_CARD = """\
# Tiny vision-language towers

A vision transformer (64 px, patch 8) and a text transformer of CLIP's architecture (`{name}`, {dim} dimensions),
trained with SLIP's objective by `python -m eailkit.pretrain_towers`. They stand in for SLIP-Base, which EAIL uses and
which can't be shipped; with real weights at hand, one argument swaps them in.

- Trained on {frames} frames of {rooms} SynthKitchen kitchens that belong to no split, {pairs} of them with one of
  {captions} captions; {steps} steps, {minutes} minutes on {device}.
- Half precision. Of CLIP's 49,408 token rows only the {tokens} that occur are stored; any other token gets the mean of
  the words that do: it says "some word".
- They know rendered kitchens and simulated narrations and nothing else: no photographs, no real speech.
- Licence: CC BY 4.0.

Retrieval in galleries of 100 pairs with different captions, percent (the same action in other words counts as wrong):

| | held-out rooms | training rooms | chance |
|---|---|---|---|
{scores}

Of the caption ranked first among all captions, how often the verb is the right one: {verb} % in held-out rooms, where
always saying the commonest verb would score {commonest} %.
"""


def _card(record: dict) -> str:
    scores = record["retrieval in galleries of 100, percent"]
    data, run = record["data"], record["pretraining"]
    return _CARD.format(
        name=tiny_towers.NAME,
        dim=record["model"]["embed_dim"],
        frames=data["train frames"],
        rooms=run["rooms"] - run["held_out_rooms"],
        pairs=data["train frames with caption"],
        captions=data["different captions"],
        steps=run["train"]["steps"],
        minutes=record["minutes"],
        device=record["device"],
        tokens=data["tokens learned"],
        scores="\n".join(
            f"| {name} | {value} | {scores['training rooms'][name]} | {name.rpartition('@')[2]} |"
            for name, value in scores["held-out rooms"].items()
            if "@" in name
        ),
        verb=scores["held-out rooms"]["same verb"],
        commonest=scores["held-out rooms"]["commonest verb"],
    )


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m eailkit.pretrain_towers",
        description="Pretrain the tiny vision-language towers on simulated kitchens of no split.",
    )
    default = Path(tempfile.gettempdir()) / "eailkit_pretrain"
    parser.add_argument("--data", type=Path, default=default, help=f"folder for the simulated kitchens ({default})")
    parser.add_argument("--out", type=Path, default=tiny_towers.WEIGHTS_DIR, help="folder for the weights")
    parser.add_argument("--steps", type=int, default=PretrainConfig().train.steps, help="optimizer steps")
    parser.add_argument("--workers", type=int, default=None, help="processes that simulate; one a core by default")
    options = parser.parse_args(arguments)
    config = PretrainConfig()
    config = replace(config, train=replace(config.train, steps=options.steps))
    make_data(options.data, config, workers=options.workers)
    record = pretrain(options.data, options.out, config)
    print(_card(record))


if __name__ == "__main__":
    main()
