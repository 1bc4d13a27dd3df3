"""The EAILs of the paper's tables: the whole one, and those that lack or change one thing; each is trained so.

Switching a part off in a trained network breaks it for other reasons, so a variant has weights of its own. What two
variants share, as a stage 1 and its features, is made once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from eailkit import vision_language
from eailkit.eail.features import Features, features_identity
from eailkit.eail.inference import stage2_config, stage2_identity, train_stage2
from eailkit.eail.stage1 import Stage1, Stage1Config, stage1_identity, train_stage1
from eailkit.eail.stage2 import SpatioTemporalReasoner, Stage2Config
from eailkit.eail.targets import VisionLanguageTargets, targets_identity, vision_language_targets
from eailkit.experiments.eail_run import Run
from eailkit.profiles import Profile
from eailkit.provenance import Identity, weights_tag
from eailkit.training import History, TrainConfig, trained_identity, trained_weights
from eailkit.vision_language import VisionLanguage
from eailkit.weights import load_weights

TINY = {"slip": "tiny", "clip": "tiny-clip", "third": "tiny-wide"}  # where no file is given
STAGE2_SWITCHES = ("temporal", "spatial", "imu_residual", "points_residual", "use_points", "location_attention")


@dataclass(frozen=True)
class Variant:
    """One EAIL.

    Attributes:
        towers: the vision-language model that guides stage 1: "slip" (the paper's default), "clip", "third", or None
            for "w/o vision-language" (Table 3).
        captions: False trains stage 1 with images alone (section 5.4).
        action_loss: False leaves the action head untrained (Table 3).
        temporal, spatial: modules of stage 2 (Table 3).
        imu_residual, points_residual: Table 5.
        use_points, location_attention: of the action head (Table 4).
        sequence_s: T, seconds (Table 5); 0 for the profile's.
        second_stage: False answers with stage 1's heatmap (Table 5, "stage-1 retrieval only").
    """

    towers: str | None = "slip"
    captions: bool = True
    action_loss: bool = True
    temporal: bool = True
    spatial: bool = True
    imu_residual: bool = True
    points_residual: bool = True
    use_points: bool = True
    location_attention: bool = True
    sequence_s: int = 0
    second_stage: bool = True

    @property
    def name(self) -> str:
        """What is other than in the whole EAIL: "full", "without spatial", "sequence 20 s without temporal"."""
        told = []
        for f in fields(self):
            value = getattr(self, f.name)
            if value == f.default:
                continue
            label = f.name.replace("_", " ")
            if value is False or value is None:
                told.append("without " + ("vision-language" if f.name == "towers" else label))
            else:
                told.append(f"{label} {value}" + (" s" if f.name == "sequence_s" else ""))
        return " ".join(told) or "full"

    @property
    def first_stage(self) -> Variant:
        """The variant whose stage 1 this one has, and no more: what several share."""
        return Variant(towers=self.towers, captions=self.captions, second_stage=False)

    @property
    def changes(self) -> dict[str, bool]:
        """The switches of `Stage2Config` that aren't at their default."""
        return {name: False for name in STAGE2_SWITCHES if not getattr(self, name)}


FULL = Variant()


def slug(name: str) -> str:
    """A name as part of a file's name."""
    return re.sub(r"[^\w.+]+", "-", name).strip("-")


class Variants:
    """The variants of one run: trained, or found.

    Args:
        run: data, folders and profile of one seed.
        towers: "clip" and "third" -> what `vision_language.load` takes; the towers that ship where none is given.
            "slip" is the run's own.
    """

    def __init__(self, run: Run, towers: dict[str, str] | None = None):
        self.run = run
        self.specs = {**TINY, **(towers or {}), "slip": run.profile.vision_language}  # which the run was told
        self.histories: dict[str, History] = {}  # by the name of the weights
        self._towers: dict[str, VisionLanguage] = {}
        self._targets: dict[str, VisionLanguageTargets] = {}
        self._stage1: dict[str, Stage1] = {}  # trained; every row and every protocol asks for its name

    def profile(self, variant: Variant) -> Profile:
        """The run's profile with the variant's T."""
        profile, other = self.run.profile, variant.towers not in (None, "slip")
        wide = {"embed_dim": self._loaded(variant.towers).embed_dim} if other and not self._ships(variant) else {}
        return replace(profile, sequence_s=variant.sequence_s or profile.sequence_s, **wide)

    def _ships(self, variant: Variant) -> bool:
        """Whether a variant's towers are ours, as wide as the profile's own, so that they needn't be loaded to know."""
        return self.specs[variant.towers] in TINY.values() and self.specs["slip"].startswith("tiny")

    def _loaded(self, role: str) -> VisionLanguage:
        if role not in self._towers:
            own = role == "slip"
            self._towers[role] = self.run.towers if own else vision_language.load(self.specs[role])
        return self._towers[role]

    def targets(self, variant: Variant) -> VisionLanguageTargets | None:
        """Image and text features that guide a variant's stage 1; None where nothing does."""
        if variant.towers is None:
            return None
        if variant.towers not in self._targets:
            run, folder = self.run, self.run.dir / f"vision-language-{self.run.profile.name}"
            self._targets[variant.towers] = vision_language_targets(run.prepared, self._loaded(variant.towers), folder)
        found = self._targets[variant.towers]
        return found if variant.captions else without_captions(found)

    def targets_identity(self, variant: Variant) -> Identity | None:
        """Identity of `targets`; nothing is encoded for it."""
        if variant.towers is None:
            return None
        found = targets_identity(self.run.prepared, vision_language.identity_of(self.specs[variant.towers]))
        return found if variant.captions else found.also(captions=False)

    def stage1_identity(self, variant: Variant) -> Identity:
        """Identity of a variant's trained stage 1."""
        run, profile = self.run, self.profile(variant)
        return trained_identity(
            run.profile.stage1, stage1_identity(run.prepared, profile, self.targets_identity(variant))
        )

    def train_stage1(self, variant: Variant) -> Stage1:
        """Train, resume or find a variant's stage 1."""
        run, name = self.run, stage1_name(variant)
        model, history = train_stage1(
            run.prepared, self.profile(variant), run.weights_dir, name=name, targets=self.targets(variant),
            progress=run.progress,
        )  # fmt: skip
        self.histories[name] = history
        return model

    def found_stage1(self, variant: Variant) -> Stage1 | None:
        """A variant's stage 1 where it is trained already."""
        name = stage1_name(variant)
        if name not in self._stage1:
            path = trained_weights(self.run.weights_dir, name, self.stage1_identity(variant))
            if path is None:
                return None
            config = Stage1Config.of(self.profile(variant), use_vision_language=variant.towers is not None)
            self._stage1[name] = load_weights(Stage1(config), path).eval()
        return self._stage1[name]

    def features_identity(self, stage1: Stage1) -> Identity:
        """Identity of the frozen features of a stage 1."""
        return features_identity(weights_tag(stage1), self.run.prepared, self.run.profile.views)

    def features(self, stage1: Stage1) -> Features:
        """Frozen features of every take and room, made once."""
        return self.run.features(stage1)

    def stage2_config(self, variant: Variant) -> Stage2Config:
        """The configuration of a variant's stage 2."""
        return stage2_config(self.profile(variant), len(self.run.prepared.action_names), **variant.changes)

    def stage2_identity(self, variant: Variant, features: Identity, train: TrainConfig) -> Identity:
        """Identity of a variant's trained stage 2."""
        return trained_identity(train, stage2_identity(
            self.run.prepared, features, self.profile(variant), self.stage2_config(variant),
            use_action_loss=variant.action_loss,
        ))  # fmt: skip

    def train_stage2(self, variant: Variant, features: Features, train: TrainConfig) -> SpatioTemporalReasoner:
        """Train, resume or find a variant's stage 2."""
        run, name = self.run, stage2_name(variant)
        model, history = train_stage2(
            run.prepared, features, self.profile(variant), run.weights_dir, name=name,
            config=self.stage2_config(variant), train=train, use_action_loss=variant.action_loss, progress=run.progress,
        )  # fmt: skip
        self.histories[name] = history
        return model

    def trained_stage2(self, variant: Variant, made: Identity) -> Path | None:
        """Finished weights of a variant's stage 2, None where there are none."""
        return trained_weights(self.run.weights_dir, stage2_name(variant), made)

    def history(self, variant: Variant, *, first: bool = False) -> History:
        """The log of a variant's stage 2, or of its stage 1, that was trained or found last."""
        return self.histories[stage1_name(variant) if first else stage2_name(variant)]


def stage1_name(variant: Variant) -> str:
    """What a variant's stage 1 is called among the run's weights."""
    first = variant.first_stage
    return "stage1" if first == FULL.first_stage else f"stage1-{slug(replace(first, second_stage=True).name)}"


def stage2_name(variant: Variant) -> str:
    """What a variant's stage 2 is called among the run's weights."""
    return f"stage2-{slug(variant.name)}"


def without_captions(targets: VisionLanguageTargets) -> VisionLanguageTargets:
    """The same images, no text: every second is without a caption."""
    none = {name: np.full(len(ids), -1, np.int64) for name, ids in targets.caption_id.items()}
    return replace(targets, caption_id=none, identity=targets.identity.also(captions=False))
