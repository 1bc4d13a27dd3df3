"""Image and text features that stage 1 learns from: computed once by a frozen vision-language model (EAIL Eq. 1)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from eailkit.eail.prepared import Prepared
from eailkit.files import save_npy
from eailkit.provenance import Identity, identity
from eailkit.vision_language import VisionLanguage


@dataclass(frozen=True)
class VisionLanguageTargets:
    """Frozen image and text features of every second of every take, unit norm.

    Attributes:
        image: take name -> (n, d) float32; rows without a frame are zero.
        text: unique captions -> (captions, d) float32, and caption_id: take name -> (n,) int, -1 without one.
        identity: of the towers and the data that made them.
    """

    image: dict[str, np.ndarray]
    text: np.ndarray
    caption_id: dict[str, np.ndarray]
    has_image: dict[str, np.ndarray]
    identity: Identity


def targets_identity(prepared: Prepared, towers: Identity, *, split: str = "train") -> Identity:
    """What names the image and text features of a split; nothing is encoded."""
    return identity(
        "vision-language targets", code=(vision_language_targets, "eailkit.vision_language.towers"),
        data=prepared.identity, split=split, towers=towers,
    )  # fmt: skip


def vision_language_targets(
    prepared: Prepared, model: VisionLanguage, out_dir: str | Path, *, split: str = "train"
) -> VisionLanguageTargets:
    """Encode the frames and captions of a split once; features are kept as .npy files.

    Args:
        prepared: the cached dataset.
        model: frozen towers.
        out_dir: each pair of towers and each dataset has a folder of its own in it, so that two never mix.
    """
    made = targets_identity(prepared, model.identity, split=split)
    out = Path(out_dir) / f"{model.name}.{made.key}"
    takes = prepared.by_split(split)
    captions = sorted({c for take in takes for c in take.caption if c})
    index = {c: i for i, c in enumerate(captions)}
    text = model.encode_texts(captions) if captions else np.zeros((0, model.embed_dim), np.float32)
    image, has_image = {}, {}
    for take in tqdm(takes, desc="frames to features", leave=False):
        path = out / f"{take.name}.npy"
        present = np.asarray(take.frame) >= 0
        if path.exists():
            features = np.load(path)
        else:
            features = np.zeros((len(take), model.embed_dim), np.float32)
            if present.any():
                rows = take.frame[present]
                ids = [f"{take.name}/{row}" for row in rows]  # what a features file calls its rows
                features[present] = np.asarray(model.encode_images(prepared.frames(take)[rows], ids=ids))
            save_npy(path, features)
        image[take.name], has_image[take.name] = features, present
    ids = {take.name: np.array([index.get(c, -1) for c in take.caption], np.int64) for take in takes}
    return VisionLanguageTargets(image, np.asarray(text, np.float32), ids, has_image, made)
