"""Frames and words of everyday scenarios beside the kitchens, for the tiny towers of PRIMUS: "tiny-scenes".

PRIMUS's frozen encoders are CLIP's, which know words such as "runs" and "types" as well as kitchen words, and whose
training had nothing to do with motion. So these towers see every scenario, those too that are held out from the IMU
encoder's pretraining; no IMU enters here. Seeds are such that no person and no take is in another dataset.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eailkit.experiments.towers.frames import Frames, joined, read_frames
from eailkit.experiments.towers.scores import nearest_prompt, retrieval
from eailkit.scenarios import HELD_OUT, PRETRAINING, synthesize_scenarios
from eailkit.scenarios.words import PHRASES
from eailkit.vision_language import VisionLanguage

SCENARIOS = (*PRETRAINING, *HELD_OUT)
SCENARIO_PROMPTS: dict[str, tuple[str, ...]] = {  # the words of narrations, which have no "is ...ing"
    "walking about": ("C walks around.", "C walks"),
    "stairs": ("C walks up the stairs.", "C goes down the steps."),
    "running": ("C runs.", "C jogs on the path."),
    "desk work": ("C types on the keyboard.", "C reads a book.", "C writes in the notebook.", "C looks at the screen."),
    "floor work": ("C wipes the floor.", "C scrubs the floor with a brush."),
    "talking": ("C talks to a person.", "C listens to a person."),
    "squats": ("C does a squat.", "C squats"),
    "jumping": ("C jumps high.", "C hops on the spot."),
    "sweeping": ("C sweeps the floor.", "C sweeps with a broom."),
    "dancing": ("C dances.", "C moves to the beat."),
    "lifting boxes": ("C lifts a box.", "C carries a box."),
    "balancing": ("C stands on one leg.", "C balances on one leg."),
    "lying down": ("C lies down on the floor.", "C lies still."),
    "sit-ups": ("C does sit-ups.", "C raises the trunk from the floor."),
}


@dataclass(frozen=True)
class ScenesConfig:
    """The scenarios that these towers see: one take a person and scenario.

    Attributes:
        participants, minutes, seed: arguments of `synthesize_scenarios`; the seed is no other dataset's.
        held_out_people: last people; the first half of them choose the checkpoint, the others are reported.
    """

    participants: int = 24
    minutes: float = 0.7
    seed: int = 7000
    held_out_people: int = 6


def make_scenarios(folder: Path, config: ScenesConfig, *, workers: int | None = None, progress: bool = True) -> None:
    """Simulate takes of all scenarios, every one filmed, or finish those that an interrupted run began.

    Raises:
        DatasetError: the folder holds another dataset.
    """
    synthesize_scenarios(
        folder, scenarios=SCENARIOS, participants=config.participants, minutes=config.minutes, seed=config.seed,
        workers=workers, progress=progress, test_share=0.0,
    )  # fmt: skip


def read_scenarios(
    folder: Path, config: ScenesConfig, pair_s: float, *, progress: bool = True
) -> tuple[Frames, Frames, Frames]:
    """Frames to train on, to choose by and to report, by person; `action` is the index into SCENARIOS.

    Raises:
        DatasetError: no take has frames.
    """
    frames = read_frames(folder, ("train", "val"), pair_s, tasks=SCENARIOS, progress=progress)
    last, half = config.participants - config.held_out_people, config.held_out_people // 2
    person = np.array([int(room.rpartition("_p")[2]) for room in frames.room])
    part = np.digitize(person, [last, last + half])
    return tuple(frames.where(part == k) for k in range(3))


def with_kitchens(kitchens: Frames, scenarios: Frames) -> Frames:
    """Both as one; frames of kitchens are no scenario, -1."""
    none = np.full(len(kitchens.image), -1)
    return joined([Frames(kitchens.image, kitchens.caption, none, kitchens.room), scenarios])


def score_scenarios(model: VisionLanguage, frames: Frames, *, gallery: int = 100) -> dict[str, dict]:
    """What towers know of people and kitchens that they weren't trained on, percent.

    Args:
        frames: from `with_kitchens`.

    Returns:
        "retrieval" within the scenarios and within the kitchens, "zero-shot" scenario of 14 by the prompts, over all
        frames and for each scenario, and "sentences", see `sentence_cosines`.
    """
    scenario = frames.action >= 0
    known = frames.where(scenario)
    best = nearest_prompt(model, known, [SCENARIO_PROMPTS[name] for name in SCENARIOS])
    right = best == known.action
    each = {n: 100.0 * float(right[known.action == k].mean()) for k, n in enumerate(SCENARIOS) if k in known.action}
    return {
        "retrieval": {
            "scenarios": retrieval(model, known, gallery=gallery),
            "kitchens": retrieval(model, frames.where(~scenario), gallery=gallery),
        },
        "zero-shot": {
            "top-1": round(100.0 * float(right.mean()), 1),
            "chance": round(100.0 / len(SCENARIOS), 1),
            "by scenario": {name: round(value, 1) for name, value in each.items()},
            "frames": len(right),
        },
        "sentences": sentence_cosines(model),
    }


def sentence_cosines(model: VisionLanguage) -> dict[str, float]:
    """Cosines between the scenarios' sentences: of one activity, and of different activities.

    A sentence that two activities share ("C dances") isn't compared with itself.
    """
    told = [(label, text) for label, texts in PHRASES.items() for text in texts]
    label = np.array([name for name, _ in told])
    text = np.array([text for _, text in told])
    features = model.encode_texts(text.tolist())
    cosines = features @ features.T
    other = np.triu(text[:, None] != text[None], 1)
    same = cosines[other & (label[:, None] == label[None])]
    different = cosines[other & (label[:, None] != label[None])]
    scores = {
        "one activity, median": np.median(same),
        "different activities, median": np.median(different),
        "different activities, 95 %": np.quantile(different, 0.95),
        "different activities above 0.9, percent": 100.0 * np.mean(different > 0.9),
    }
    return {name: round(float(value), 2) for name, value in scores.items()}
