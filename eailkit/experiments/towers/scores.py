"""What a pair of vision-language towers knows of a dataset: retrieval both ways, and zero-shot actions.

Works for every model that `vision_language.load` gives, the shipped ones and real ones. Chance stands beside each
number; nothing is trained here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from eailkit.datasets.egoexo4d import EgoExo4D
from eailkit.errors import DatasetError
from eailkit.experiments.towers.frames import Frames, read_frames
from eailkit.vision_language import VisionLanguage

VAL_SPLITS = ("val-seen", "val-unseen")
PROMPT_TEMPLATES = ("C {does}.", "C {does}", "C {does} in the kitchen.", "C {does} again.", "C {does} carefully")


def third_person(action: str) -> str:
    """An action's name as narrations have it: "wash hands" becomes "washes hands".

    Example:
        >>> [third_person(a) for a in ("wash hands", "dry dishes", "take from fridge")]
        ['washes hands', 'dries dishes', 'takes from fridge']
    """
    verb, space, rest = action.partition(" ")
    if verb.endswith(("s", "sh", "ch", "x", "o")):
        verb += "es"
    elif verb.endswith("y") and verb[-2:-1] not in "aeiou":
        verb = verb[:-1] + "ies"
    else:
        verb += "s"
    return verb + space + rest


def action_prompts(model: VisionLanguage, names: Sequence[str]) -> Float[np.ndarray, "classes d"]:
    """Unit text features of action names: the mean over `PROMPT_TEMPLATES`, as CLIP's paper ensembles prompts."""
    return _ensembles(
        model, [[prompt.format(does=third_person(name)) for prompt in PROMPT_TEMPLATES] for name in names]
    )


def _ensembles(model: VisionLanguage, prompts: Sequence[Sequence[str]]) -> Float[np.ndarray, "classes d"]:
    mean = np.stack([model.encode_texts(list(texts)).mean(axis=0) for texts in prompts])
    return mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)


def nearest_prompt(
    model: VisionLanguage, frames: Frames, prompts: Sequence[Sequence[str]]
) -> Int[np.ndarray, " frames"]:
    """For each frame the class whose sentences, ensembled, are nearest to it."""
    return (model.encode_images(frames.image, ids=None) @ _ensembles(model, prompts).T).argmax(axis=1)


def zero_shot_accuracy(model: VisionLanguage, frames: Frames, names: Sequence[str]) -> dict[str, float]:
    """How often the action name nearest to a frame is the true one, percent; frames outside all segments don't count.

    Returns:
        "top-1" over frames with its "chance" (1 of all classes) and the "commonest action" of these frames, which a
        model that has seen no frame can't know; "class mean", top-1 averaged over the classes that occur, where
        saying one class always scores "class mean of one answer"; and how many "frames" there are.

    Raises:
        DatasetError: no frame has an action.
    """
    known = np.flatnonzero(frames.action >= 0)
    if not len(known):
        raise DatasetError(
            "zero-shot actions: found no frame within an annotated action; expected some; check keysteps."
        )
    true = frames.action[known].astype(int)
    image = model.encode_images(frames.image[known], ids=None)
    right = (image @ action_prompts(model, names).T).argmax(axis=1) == true
    classes, counts = np.unique(true, return_counts=True)
    scores = {
        "top-1": right.mean(),
        "chance": 1.0 / len(names),
        "commonest action": counts.max() / len(true),
        "class mean": np.mean([right[true == c].mean() for c in classes]),
        "class mean of one answer": 1.0 / len(classes),
    }
    return {name: round(100.0 * float(value), 1) for name, value in scores.items()} | {"frames": len(true)}


def retrieval(model: VisionLanguage, frames: Frames, *, gallery: int = 100, draws: int = 20) -> dict[str, float]:
    """Recall at 1 and 5, percent, in galleries of pairs with different captions; the mean of several draws.

    Captions that tell the same action in other words count as wrong, so 100 is out of reach; chance is 1 and 5 in a
    gallery of 100. So there is "same verb" too: how often the caption ranked first among all has the true one's verb,
    and "commonest verb", what always saying that would score.

    Raises:
        DatasetError: fewer different captions than the gallery asks for.
    """
    captioned = np.flatnonzero(frames.caption != "")
    captions, ids = np.unique(frames.caption[captioned], return_inverse=True)
    if len(captions) < max(gallery, 1):
        raise DatasetError(
            f"retrieval: found {len(captions)} different captions; expected at least {max(gallery, 1)}; "
            "take more rooms."
        )
    text = model.encode_texts(captions.tolist())
    image = model.encode_images(frames.image[captioned], ids=None)
    rng, found = np.random.default_rng(0), {}
    for _ in range(draws):
        order = rng.permutation(len(captioned))
        _, first = np.unique(ids[order], return_index=True)
        pick = order[rng.permutation(first)[:gallery]]
        logits = image[pick] @ text[ids[pick]].T
        own = logits.diagonal()[:, None]
        for name, each in (("image to text", logits), ("text to image", logits.T)):
            rank = (each > own).sum(axis=1)
            for k in (1, 5):
                found.setdefault(f"{name} R@{k}", []).append(100.0 * (rank < k).mean())
    verb = np.array([caption.split()[1] if " " in caption else caption for caption in captions])
    best = (image @ text.T).argmax(axis=1)
    found["same verb"] = [100.0 * np.mean(verb[best] == verb[ids])]
    found["commonest verb"] = [100.0 * np.unique(verb[ids], return_counts=True)[1].max() / len(ids)]
    return {name: round(float(np.mean(values)), 1) for name, values in found.items()}


def mean_recall(scores: dict[str, float]) -> float:
    """The mean of the four recalls of `retrieval`, percent: what a checkpoint is chosen by."""
    return float(np.mean([value for name, value in scores.items() if "@" in name]))


def score_val(
    model: VisionLanguage, root: Path, *, pair_s: float = 1.0, gallery: int = 100, progress: bool = True
) -> dict[str, dict]:
    """Retrieval and zero-shot actions on each val split of a dataset.

    Args:
        model: any towers; a features file only knows images by their names and can't be scored here.
        root: a dataset in Ego-Exo4D's layout whose val takes have videos.
        pair_s: as in `frames.read_frames`.
        gallery: pairs in a gallery of retrieval; all different captions of a split that has fewer.

    Returns:
        By split ("val-seen", ...): "retrieval", with its "gallery", and "zero-shot".

    Raises:
        DatasetError: there is no val split, or its takes have no frames, captions or actions.
    """
    dataset = EgoExo4D(root)
    splits = [s for s in (*VAL_SPLITS, "val") if s in dataset.splits]
    if not splits:
        raise DatasetError(f"{root}: found no val split among {', '.join(dataset.splits)}; expected one; give another.")
    scores = {}
    for split in splits:
        frames = read_frames(root, (split,), pair_s, progress=progress)
        pairs = min(gallery, len(set(frames.caption.tolist()) - {""}))
        scores[split] = {
            "retrieval": retrieval(model, frames, gallery=pairs) | {"gallery": pairs},
            "zero-shot": zero_shot_accuracy(model, frames, dataset.action_names),
        }
    return scores
