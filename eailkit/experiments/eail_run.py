"""One run of the course: which artifact each stage makes, where it lies, and what the next one reads.

`Run` is what notebooks, benchmarks and `make bench` share. Every stage is made once and found again by its identity,
so that a killed run goes on where it was and nothing made otherwise is taken for it. A notebook that is run alone falls
back on both shipped stages, saying so; a shipped stage never stands beside one of this run's.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from eailkit import vision_language
from eailkit.baselines import niloc, oracles, priors
from eailkit.datasets.cooking import CookingConfig
from eailkit.eail.evaluation import Table
from eailkit.eail.features import Features, embed_dataset, features_identity
from eailkit.eail.inference import stage2_config, stage2_identity, train_stage2
from eailkit.eail.prepared import Prepared, TakeCache, cache_identity, prepare
from eailkit.eail.readings import CONSTANT_PLACE
from eailkit.eail.stage1 import Stage1, Stage1Config, stage1_identity, train_stage1
from eailkit.eail.stage2 import SpatioTemporalReasoner
from eailkit.eail.targets import VisionLanguageTargets, targets_identity, vision_language_targets
from eailkit.eail.tracker import TrackerConfig
from eailkit.eail.velocity import VelocityNet, train_velocity
from eailkit.errors import CheckpointError
from eailkit.experiments.bounds import bounds
from eailkit.experiments.data_root import FRAME_PX, carries_splits, data_root, training_seconds
from eailkit.experiments.methods import FULL, LIVE, OTHER_IMU, PUBLISHED, TRACKED, Methods
from eailkit.files import write_json
from eailkit.localize import QUICK_WEIGHTS, Localizer
from eailkit.profiles import Profile, counted, get_profile
from eailkit.provenance import Identity, identity, weights_tag
from eailkit.synthkitchen.dataset import synthesize
from eailkit.synthkitchen.splits import DatasetConfig
from eailkit.synthkitchen.version import parameter_hash
from eailkit.training import History, others_trained, trained_identity, trained_weights
from eailkit.vision_language import VisionLanguage
from eailkit.weights import load_weights

VARIANTS = {  # what stage 2 lacks in a row of Table 3 or 4
    "w/o spatial": {"spatial": False},
    "w/o temporal": {"temporal": False},
    "w/o point cloud": {"use_points": False},
    "w/o location attention": {"location_attention": False},
}


class Run:
    """Artifacts of one profile under one folder.

    Args:
        run_dir: where everything lies; made when missing.
        profile: name of a profile, or one.
        seed: added to every training seed, for repeated runs.
        data: root of the recordings: SynthKitchen's, or an Ego-Exo4D download (`data_root`); a SynthKitchen of the
            profile's size is made where None.
        cooking: how an Ego-Exo4D download is split and labelled.
        towers: the vision-language model, see `vision_language.load`; the profile's where None. For "slip" that is the
            checkpoint file that the environment's EAILKIT_SLIP names.
    """

    def __init__(
        self, run_dir: str | Path, profile: str | Profile = "quick", *, seed: int = 0, progress: bool = True,
        data: str | Path | None = None, cooking: CookingConfig | None = None, towers: str | Path | None = None,
    ):  # fmt: skip
        self.dir = Path(run_dir)
        self.dir.mkdir(parents=True, exist_ok=True)
        asked = _seeded(get_profile(profile) if isinstance(profile, str) else profile, seed)
        self._asked = replace(asked, vision_language=_towers_spec(towers or asked.vision_language))
        self._data, self._cooking = None if data is None else Path(data).expanduser(), cooking
        self.progress, self.seed = progress, seed
        self.shipped: set[str] = set()  # stages that came from shipped weights: no result of theirs is recorded
        self.histories: dict[str, History] = {}
        self._features: dict[str, Features] = {}  # by the keys of their identities, as the next
        self._methods: dict[str, Methods] = {}

    @cached_property
    def profile(self) -> Profile:
        """The profile that was asked for, epochs counted into steps of the dataset, which is prepared for that."""
        return counted(self._asked, training_seconds(self.prepared)) if self._asked.epochs else self._asked

    @property
    def weights_dir(self) -> Path:
        """Folder of the checkpoints of this seed."""
        return self.dir / f"weights-{self._asked.name}-{self.seed}"

    def dataset(self) -> Path:
        """Root of the recordings: of `data`, checked, else SynthKitchen at the profile's size, made or finished.

        Raises:
            DatasetError, RecordingError: `data` can't be used, see `data_root`.
            CheckpointError: there is `data`, and the vision-language model can't be loaded: said before hours of work.
        """
        if self._data is not None:
            root = data_root(self._data, self.dir, self._cooking)
            self._check_towers()
            return root
        out, size = dataset_folder(self.dir, self._asked), self._asked.data
        return synthesize(
            out, rooms=size.seen_rooms + size.val_unseen_rooms + size.test_unseen_rooms, participants=size.participants,
            minutes=size.minutes, seed=size.seed, progress=self.progress,
            config=DatasetConfig(
                val_unseen_rooms=size.val_unseen_rooms, test_unseen_rooms=size.test_unseen_rooms,
                train_takes_per_room=size.train_takes_per_room, unseen_takes_per_room=size.unseen_takes_per_room,
                long_takes=size.long_takes, long_minutes=size.long_minutes, minutes_spread=size.minutes_spread,
            ),
        )  # fmt: skip

    @cached_property
    def prepared(self) -> Prepared:
        """The dataset as windows, labels and local clouds."""
        root = self.dataset()
        options = {"points_per_cell": self._asked.points_per_cell}
        if self._data is not None and not carries_splits(self._data):
            options["frame_size"] = FRAME_PX
        cache = self.dir / f"cache-{self._asked.name}.{cache_identity(root, **options).key}"
        return prepare(root, cache, **options, progress=self.progress)

    def causal_takes(self, splits: tuple[str, ...]) -> dict[str, TakeCache]:
        """The takes of some splits, by name, with orientation from past samples alone, as a live system has it."""
        root = self.dataset()
        options = {"points_per_cell": self.profile.points_per_cell, "causal": True, "frames": False}
        cache = self.dir / f"cache-causal-{self.profile.name}.{cache_identity(root, **options).key}"
        names = [t.name for split in splits for t in self.prepared.by_split(split)]
        found = prepare(root, cache, **options, takes=names, progress=self.progress)
        return {take.name: take for take in found.takes}

    @cached_property
    def towers(self) -> VisionLanguage:
        """The frozen vision-language model.

        Raises:
            CheckpointError: it can't be loaded.
        """
        if self._asked.vision_language == "slip":
            raise CheckpointError(
                f"profile {self._asked.name}: found no checkpoint of SLIP, which can't be shipped; expected a file "
                "such as slip_base_100ep.pt; download it and give --tower slip=FILE to a command, or name it in the "
                "environment variable EAILKIT_SLIP."
            )
        return vision_language.load(self._asked.vision_language)

    def _check_towers(self) -> None:
        if self.towers.embed_dim != self._asked.embed_dim:
            raise CheckpointError(
                f"{self._asked.vision_language}: found a vision-language model of {self.towers.embed_dim} numbers a "
                f"vector; expected {self._asked.embed_dim}, as profile {self._asked.name} has; give another model."
            )

    @cached_property
    def vision_language_targets(self) -> VisionLanguageTargets:
        """Image and text features of the training takes."""
        return vision_language_targets(self.prepared, self.towers, self.dir / f"vision-language-{self.profile.name}")

    def train_stage1(self, *, use_vision_language: bool = True) -> tuple[Stage1, History]:
        """Train (or resume, or find) stage 1, with or without vision and language."""
        name = "stage1" if use_vision_language else "stage1-without-vision-language"
        model, history = train_stage1(
            self.prepared, self.profile, self.weights_dir, name=name, progress=self.progress,
            targets=self.vision_language_targets if use_vision_language else None,
        )  # fmt: skip
        self.histories[name] = history
        return model, history

    def stage1(self) -> Stage1:
        """Stage 1 of this run where it was trained, else the shipped one, with a line that says so.

        Raises:
            CheckpointError: the weights in the run's folder are truncated, or other ones under this one's name.
        """
        return self._own_stage1() or self._shipped("stage 1", "stage1", self._stage1_identity()).stage1

    def _stage1_identity(self) -> Identity:
        built = "towers" in self.__dict__  # which takes seconds, and their identity needs none
        towers = self.towers.identity if built else vision_language.identity_of(self.profile.vision_language)
        targets = targets_identity(self.prepared, towers)
        return trained_identity(self.profile.stage1, stage1_identity(self.prepared, self.profile, targets))

    def _own_stage1(self) -> Stage1 | None:
        path = trained_weights(self.weights_dir, "stage1", self._stage1_identity())
        return load_weights(Stage1(Stage1Config.of(self.profile)), path).eval() if path else None

    def features(self, model: Stage1) -> Features:
        """Frozen features of every take and room, made once per set of weights."""
        key = features_identity(weights_tag(model), self.prepared, self.profile.views).key
        if key not in self._features:
            self._features[key] = self._embed(model)
        return self._features[key]

    def forget_features(self) -> None:
        """Drop features from memory; they are found on disk again."""
        self._features.clear()

    def _embed(self, model: Stage1) -> Features:
        return embed_dataset(
            model,
            self.prepared,
            self.dir / f"features-{self.profile.name}",
            views=self.profile.views,
            progress=self.progress,
        )

    def train_stage2(
        self, model: Stage1, *, variant: str = "full", short: bool = False
    ) -> tuple[SpatioTemporalReasoner, History]:
        """Train (or resume, or find) stage 2 on a stage 1's features, as a row of Table 3 says.

        Args:
            variant: a row of Table 3, "w/o point cloud" or "w/o location attention" (Table 4); "w/o vision-language"
                differs by the `model` that is given.
            short: the profile's ablation schedule instead of the full one.
        """
        changes = VARIANTS.get(variant, {})
        name = f"stage2{'-short' if short else ''}-{variant.replace(' ', '_').replace('/', '')}"
        stage2, history = train_stage2(
            self.prepared, self.features(model), self.profile, self.weights_dir, name=name,
            config=stage2_config(self.profile, len(self.prepared.action_names), **changes),
            train=self.profile.ablation if short else self.profile.stage2,
            use_action_loss=variant != "w/o action loss", progress=self.progress,
        )  # fmt: skip
        self.histories[name] = history
        return stage2, history

    def stage2(self) -> SpatioTemporalReasoner:
        """Stage 2 of this run where it was trained on `stage1()`, else the shipped one, with a line that says so.

        Raises:
            CheckpointError: this run trained stage 1, but no stage 2 on it: the shipped one belongs to another.
        """
        own = self._own_stage1()
        stage1 = own or Localizer.load().stage1
        made = features_identity(tag := weights_tag(stage1), self.prepared, self.profile.views)
        config = stage2_config(self.profile, len(self.prepared.action_names))
        wanted = trained_identity(self.profile.stage2, stage2_identity(self.prepared, made, self.profile, config))
        path = trained_weights(self.weights_dir, "stage2-full", wanted)
        if path is not None:
            stage2 = load_weights(SpatioTemporalReasoner(config), path).eval()
            stage2.stage1_tag = tag
            return stage2
        if own is not None:
            other = others_trained(self.weights_dir, "stage2-full", wanted)
            found = f"a stage 2 that doesn't belong to it ({other})" if other else "no stage 2"
            raise CheckpointError(
                f"{self.weights_dir}: found stage 1 of this run and {found}; expected one that was trained on it; run "
                "notebook 04 first."
            )
        return self._shipped("stage 2", "stage2-full", wanted).stage2

    def example_take(self, split: str = "test-unseen", *, longest: bool = False):
        """One take to look at: the first of a split by name, or its longest; of another split where it holds none."""
        for name in (split, "test-unseen", "test-seen", "val-unseen", "val-seen", "train"):
            takes = self.prepared.by_split(name)
            if takes:
                return max(takes, key=len) if longest else takes[0]
        return self.prepared.takes[0]

    def methods(self, stage1: Stage1, stage2: SpatioTemporalReasoner, velocity: VelocityNet | None = None) -> Methods:
        """EAIL's lines with these stages and the run's velocity net, the tracker calibrated on validation takes."""
        velocity = velocity or self.train_velocity()
        tags = {"stage1": weights_tag(stage1), "stage2": weights_tag(stage2), "velocity": weights_tag(velocity)}
        made = methods_identity(self.prepared, self.profile, tags)
        if made.key not in self._methods:
            found = Methods(
                self.prepared, self.features(stage1), self.profile, stage1, stage2, velocity,
                maps_dir=self.maps_dir_of(tags["stage1"], tags["stage2"]),
            )  # fmt: skip
            found.tracker_config = self._calibrated(found, made)
            self._methods[made.key] = found
        return self._methods[made.key]

    def maps_dir_of(self, stage1_tag: str, stage2_tag: str) -> Path:
        """Folder of the maps under headings of two stages, by their weights' tags."""
        made = identity(
            "heading maps", code=("eailkit.eail.inference",), data=self.prepared.identity, stage1=stage1_tag,
            stage2=stage2_tag, views=self.profile.views, sequence_s=self.profile.sequence_s,
            stride_s=self.profile.eval_stride_s,
        )  # fmt: skip
        return self.dir / f"maps-{self.profile.name}" / made.key

    def _calibrated(self, methods: Methods, made: Identity) -> TrackerConfig:
        path = self.weights_dir / f"tracker.{made.key}.json"
        if not path.is_file():
            write_json(path, asdict(methods.calibrated()))
        return TrackerConfig(**json.loads(path.read_text()))

    def other_take(self, take):
        """The take whose IMU is fed instead: the next of the split, by name, in another room and of another person."""
        takes = sorted(self.prepared.by_split(take.split), key=lambda t: t.name)
        at = [t.name for t in takes].index(take.name)
        ring = takes[at + 1 :] + takes[:at]
        other_room_and_person = [t for t in ring if t.room != take.room and t.participant != take.participant]
        elsewhere = [t for t in ring if t.room != take.room]
        return (other_room_and_person or elsewhere or ring or [take])[0]

    def reference_table(
        self, stage1: Stage1, stage2: SpatioTemporalReasoner, *, splits: tuple[str, ...] = ("test-seen", "test-unseen"),
        table: Table | None = None, live: bool = False,
    ) -> Table:  # fmt: skip
        """EAIL's lines beside every reference (design: chance, maps, another IMU, dead reckoning, oracles).

        Args:
            table: of another seed, to which this run's trained lines are added.
            live: with the line of the causal filter, which needs every take's orientation anew.
        """
        prepared, methods, seed = self.prepared, self.methods(stage1, stage2), self.seed
        if table is None:
            table = Table(prepared, splits)
            self._add_untrained(table)
        alone, self.histories["imu_alone"] = niloc.train_imu_alone(
            prepared, methods.features, self.profile, self.weights_dir, progress=self.progress
        )
        table.add("IMU alone", lambda t: niloc.predict_imu_alone(alone, methods.features, t), seed=seed)
        table.add("dead reckoning", methods.dead_reckoned, seed=seed)
        table.add("stage 1 alone", lambda t: priors.stage1_alone(prepared, methods.features, t), seed=seed)
        table.add(OTHER_IMU, lambda t: methods.alone(t, imu_of=self.other_take(t)), seed=seed)
        table.add(CONSTANT_PLACE, lambda t: priors.constant_place(prepared, t, methods.alone(t)), seed=seed)
        table.add(FULL, methods.alone, seed=seed)
        table.add(PUBLISHED, lambda t: methods.alone(t, protocol="published"), seed=seed)
        table.add(TRACKED, methods.tracked, seed=seed)
        if live:
            causal = self.causal_takes(splits)
            table.add(LIVE, lambda t: methods.live(t, causal[t.name]), seed=seed)
        return table

    def _add_untrained(self, table: Table) -> None:
        prepared = self.prepared
        table.add("chance", lambda t: priors.chance(prepared, t))
        table.add("free space", lambda t: priors.free_space(prepared, t))
        table.add("training occupancy", lambda t: priors.occupancy(prepared, t))
        table.add("majority action", lambda t: priors.majority_action(prepared, t))
        table.add(oracles.FACING_PRIOR, lambda t: oracles.facing_prior(prepared, t))
        table.add(oracles.TRUE_VELOCITIES, oracles.true_velocities)
        table.add(oracles.BEST_PLACE, lambda t: oracles.best_constant_place(prepared, t))
        table.add(oracles.TRUE_ACTION, lambda t: oracles.action_oracle(prepared, t))
        every = ("train", "val-seen", "val-unseen", "test-seen", "test-unseen")
        table.add("oracle: room's habits", lambda t: priors.occupancy(prepared, t, splits=every, same_room_only=True))

    def bounds(self, splits: tuple[str, ...] = ("test-seen", "test-unseen")) -> pd.DataFrame:
        """What every method is read against, room by room: see `bounds.bounds`."""
        return bounds(self.prepared, splits)

    def train_velocity(self) -> VelocityNet:
        """The velocity net behind dead reckoning and the tracker, trained or found."""
        model, history = train_velocity(self.prepared, self.profile, self.weights_dir, progress=self.progress)
        self.histories["velocity"] = history
        return model

    def localizer(self, stage1: Stage1, stage2: SpatioTemporalReasoner) -> Localizer:
        """The run's parts as `eailkit localize` uses them."""
        settings = {
            "points_per_cell": self.profile.points_per_cell, "sequence_s": self.profile.sequence_s,
            "profile": self.profile.name, "data_hash": self.prepared.data_hash, "seed": self.seed,
        }  # fmt: skip
        found = self.methods(stage1, stage2)
        names = list(self.prepared.action_names)
        return Localizer(stage1, stage2, found.velocity, found.tracker_config, names, settings)

    def _shipped(self, what: str, name: str, wanted: Identity) -> Localizer:
        other = others_trained(self.weights_dir, name, wanted)
        found = f"found, but one with {other}" if other else "found"
        print(f"No {what} of this run was {found}: using the shipped quick weights ({QUICK_WEIGHTS.name}).")
        self.shipped.add(what)
        return Localizer.load()


def dataset_folder(run_dir: str | Path, profile: Profile) -> Path:
    """Where a run keeps its SynthKitchen dataset, made or not: named by its size, seed and the simulator."""
    made = identity("SynthKitchen", size=profile.data, simulator=parameter_hash())
    return Path(run_dir) / f"synthkitchen-{profile.name}.{made.key}"


def methods_identity(prepared: Prepared, profile: Profile, tags: dict[str, str]) -> Identity:
    """What EAIL's lines and the tracker's calibration hang on: data, tags of all weights, windows and their stride."""
    return identity(
        "methods", code=("eailkit.experiments.methods",), data=prepared.identity, sequence_s=profile.sequence_s,
        eval_stride_s=profile.eval_stride_s, **tags,
    )  # fmt: skip


def _towers_spec(spec: str | Path) -> str:
    """What `vision_language.load` is asked for: "slip" alone is the file that EAILKIT_SLIP names."""
    return os.environ.get("EAILKIT_SLIP") or "slip" if str(spec) == "slip" else str(spec)


def _seeded(profile: Profile, seed: int) -> Profile:
    if not seed:
        return profile
    names = ("stage1", "stage2", "ablation", "velocity", "imu_alone", "baseline", "niloc_plus", "action_net")
    return replace(profile, **{n: replace(getattr(profile, n), seed=getattr(profile, n).seed + seed) for n in names})
