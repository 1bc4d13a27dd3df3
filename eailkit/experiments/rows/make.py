"""A method of the tables, made once a seed: trained, run over the test takes, and what it says of each second kept.

Whatever is there already is found by its identity, so that a cut-off run goes on where it was and two tables that share
a row share its weights.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import nn

from eailkit.baselines import priors
from eailkit.eail.features import Features
from eailkit.eail.inference import PROTOCOLS, predict_take
from eailkit.eail.sequences import Prediction
from eailkit.eail.stage1 import Stage1
from eailkit.eail.stage2 import SpatioTemporalReasoner
from eailkit.eail.velocity import velocity_identity
from eailkit.errors import ConfigError
from eailkit.experiments.eail_run import Run
from eailkit.experiments.methods import Methods
from eailkit.experiments.rows.catalog import PUBLISHED, Kind, Row
from eailkit.experiments.rows.nets import NETS, Net
from eailkit.experiments.rows.seconds import Seconds, measure
from eailkit.experiments.rows.variants import FULL, Variant, Variants, slug
from eailkit.profiles import Profile
from eailkit.provenance import Identity, identity, weights_tag
from eailkit.training import History, TrainConfig, trained_identity, trained_weights

SPLITS = ("test-seen", "test-unseen")
SHORT = ("table3", "table4", "table5", "states")  # tables whose rows share the profile's `ablation` schedule
TWO_STAGES = (Kind.EAIL, Kind.TRACKER, Kind.LIVE)


@dataclass(frozen=True)
class Method:
    """What is trained and predicted: a row without its table, so that tables share it.

    Attributes:
        short: trained by the profile's `ablation` schedule instead of `stage2`.
    """

    kind: Kind
    variant: Variant = FULL
    net: str = ""
    short: bool = False

    @property
    def name(self) -> str:
        """For files and for a line of progress."""
        what = self.variant.name if self.kind == Kind.EAIL else self.net or self.kind
        return f"{self.kind}-{slug(what)}{'-short' if self.short else ''}" if self.kind in TWO_STAGES else slug(what)


def method_of(row: Row, profile: Profile) -> Method:
    """The method behind a row at a profile; where epochs are counted every row has stage 2's."""
    short = row.kind == Kind.EAIL and row.table in SHORT and profile.ablation != profile.stage2 and not profile.epochs
    second = row.variant.second_stage
    return Method(row.kind, row.variant, row.net, short and second)


@dataclass(frozen=True)
class Made:
    """A method's answers with what is told of their making.

    Attributes:
        about: "parameters", "minutes" and "curves" (part -> [[steps, validation loss], ...]) of what was trained for
            it, "minutes of prediction".
        walk: maps of the example walk, (n, 400) in half precision, None where there are none.
    """

    seconds: Seconds
    about: dict
    walk: np.ndarray | None = None


class Maker:
    """Makes methods of one run.

    Args:
        run: data, folders and profile of one seed.
        towers: as `variants.Variants` takes them.
    """

    def __init__(self, run: Run, towers: dict[str, str] | None = None):
        self.run, self.variants = run, Variants(run, towers)
        self.walk = run.example_take("test-unseen")

    @property
    def takes(self) -> list:
        """The takes that a row is scored on."""
        return [t for split in SPLITS for t in self.run.prepared.by_split(split)]

    def schedule(self, method: Method) -> TrainConfig:
        """The schedule of a method's second stage."""
        return self.run.profile.ablation if method.short else self.run.profile.stage2

    def found(self, method: Method, protocol: str) -> Made | None:
        """What was made already, None where nothing was."""
        made = self.identity(method, protocol)
        path = self.path(method, protocol, made) if made is not None else None
        return _load(path) if path is not None and path.is_file() else None

    def make(self, method: Method, protocol: str) -> Made:
        """Train what is missing, predict, keep, and return it.

        Raises:
            ConfigError: no such protocol.
        """
        if protocol not in PROTOCOLS:
            raise ConfigError(f"protocol: found '{protocol}'; expected one of {', '.join(PROTOCOLS)}; choose one.")
        found = self.found(method, protocol)
        if found is not None:
            return found
        predict, about = self.predictor(method, protocol)
        began, maps = time.monotonic(), []

        def kept(take) -> Prediction:
            said = predict(take)
            if take.name == self.walk.name and said.confidence is not None:
                maps.append(np.asarray(said.confidence, np.float16))
            return said

        seconds = measure(self.run.prepared, self.takes, kept)
        about |= {"minutes of prediction": (time.monotonic() - began) / 60, "seed": self.run.seed}
        made = Made(seconds, about, maps[0] if maps else None)
        _save(self.path(method, protocol, self.identity(method, protocol)), made)
        return made

    def predictor(self, method: Method, protocol: str) -> tuple[Callable[[object], Prediction], dict]:
        """A function from a take to what the trained method says of it, maps and all, and what is told of the training.

        What isn't trained yet is.
        """
        if method.kind not in TWO_STAGES:
            net: Net = NETS[method.net]
            predict, model, history = net.make(self.run, self.variants, protocol)
            return predict, _about({method.net: model}, {method.net: history})
        run, variant = self.run, method.variant
        stage1 = self.variants.train_stage1(variant)
        features = self.variants.features(stage1)
        models, names = {"stage 1": stage1}, {"stage 1": self.variants.history(variant, first=True)}
        if not variant.second_stage:
            return lambda take: _retrieval(run, features, take, protocol), _about(models, names)
        stage2 = self.variants.train_stage2(variant, features, self.schedule(method))
        models["stage 2"], names["stage 2"] = stage2, self.variants.history(variant)
        if method.kind == Kind.EAIL:
            say = self._alone(method, stage1, stage2, features, protocol)
            silent = not variant.action_loss  # an action head that wasn't trained says nothing
            return (lambda t: replace(say(t), action=None)) if silent else say, _about(models, names)
        velocity = run.train_velocity()
        models["velocity"], names["velocity"] = velocity, run.histories["velocity"]
        parts = run.methods(stage1, stage2, velocity)
        if method.kind == Kind.LIVE:
            causal = run.causal_takes(SPLITS)
            return lambda take: parts.live(take, causal[take.name]), _about(models, names)
        told = _first_heading if protocol == PUBLISHED else lambda take: None
        return lambda take: parts.tracked(take, heading_rad=told(take)), _about(models, names)

    def first_stage(self, method: Method) -> None:
        """Train the stage 1 that a method reads and embed data and maps with it; nothing for a baseline."""
        if method.kind in TWO_STAGES:
            self.variants.features(self.variants.train_stage1(method.variant))

    def has_features(self, method: Method) -> bool:
        """Whether the stage 1 that a method reads is trained and has embedded every take and room."""
        stage1 = self.variants.found_stage1(method.variant)
        if stage1 is None:
            return False
        prepared, views = self.run.prepared, self.run.profile.views
        folder = self.run.dir / f"features-{self.run.profile.name}" / self.variants.features_identity(stage1).key
        wanted = len(prepared.takes) + len(prepared.rooms) + views * len({t.room for t in prepared.by_split("train")})
        return len([p for p in folder.glob("*.np[yz]") if not p.name.startswith(".")]) >= wanted

    def forget(self) -> None:
        """Drop features from memory; they stay on disk."""
        self.run.forget_features()

    def identity(self, method: Method, protocol: str) -> Identity | None:
        """What names a method's answers; None while a part that names them isn't trained, or a net isn't there yet."""
        run, parts = self.run, {}
        if method.kind in TWO_STAGES:
            stage1 = self.variants.found_stage1(method.variant)
            if stage1 is None:
                return None
            parts["features"] = features = self.variants.features_identity(stage1)
            if method.variant.second_stage:
                parts["stage2"] = self.variants.stage2_identity(method.variant, features, self.schedule(method))
            if method.kind != Kind.EAIL:
                parts["velocity"] = trained_identity(run.profile.velocity, velocity_identity(run.prepared, run.profile))
        else:
            parts["net"] = NETS[method.net].identity(run, self.variants, protocol)
        code = _CODE if method.kind in TWO_STAGES else (*_CODE, *NETS[method.net].code)
        if method.kind in (Kind.TRACKER, Kind.LIVE):
            code = (*code, "eailkit.experiments.methods")
        return identity(
            "seconds", code=code, data=run.prepared.identity, stride_s=run.profile.eval_stride_s,
            method_kind=method.kind, protocol=protocol, walk=self.walk.name, **parts,
        )  # fmt: skip

    def path(self, method: Method, protocol: str, made: Identity) -> Path:
        """Where a method's answers are kept."""
        name = f"{method.name}.{protocol}.{self.run.seed}.{made.key}.npz"
        return self.run.dir / f"seconds-{self.run.profile.name}" / name

    def is_trained(self, method: Method) -> dict[str, bool]:
        """Which of the things that a method needs are there: "stage 1", "stage 2", "velocity", or the net's name."""
        run = self.run
        if method.kind not in TWO_STAGES:
            return {method.net: NETS[method.net].trained(run, self.variants)}
        stage1, found = self.variants.found_stage1(method.variant), {}
        found["stage 1"] = stage1 is not None
        if method.variant.second_stage:
            made = stage1 and self.variants.stage2_identity(
                method.variant, self.variants.features_identity(stage1), self.schedule(method)
            )
            found["stage 2"] = bool(made and self.variants.trained_stage2(method.variant, made))
        if method.kind != Kind.EAIL:
            made = trained_identity(run.profile.velocity, velocity_identity(run.prepared, run.profile))
            found["velocity"] = trained_weights(run.weights_dir, "velocity", made) is not None
        return found

    def _alone(
        self, method: Method, stage1: Stage1, stage2: SpatioTemporalReasoner, features: Features, protocol: str
    ) -> Callable[[object], Prediction]:
        """EAIL's answer of each second; the whole EAIL's maps are kept, since the tracker reads them too."""
        run, profile = self.run, self.variants.profile(method.variant)
        if method.variant == FULL and not method.short:
            folder = run.maps_dir_of(weights_tag(stage1), weights_tag(stage2))
            parts = Methods(run.prepared, features, profile, None, stage2, None, maps_dir=folder)
            return lambda take: parts.alone(take, protocol=protocol)
        return lambda take: predict_take(stage2, run.prepared, features, take, profile=profile, protocol=protocol)


_CODE = ("eailkit.experiments.rows.seconds", "eailkit.eail.inference", "eailkit.baselines.priors")


def _retrieval(run: Run, features: Features, take, protocol: str) -> Prediction:
    """Stage 1's heatmap: under all headings, or under the one that the ground truth tells."""
    if protocol != PUBLISHED:
        return priors.stage1_alone(run.prepared, features, take)
    heat = features.motion(take.name, _first_heading(take)) @ np.array(features.rooms[take.room], np.float32).T
    return Prediction(np.where(np.asarray(run.prepared.rooms[take.room].empty), -2.0, heat))


def _first_heading(take) -> float:
    """The true heading of the first second that has one, rad: ground truth."""
    true = np.asarray(take.heading, float)
    return float(true[np.flatnonzero(np.isfinite(true))[0]])


def _about(models: dict[str, nn.Module], histories: dict[str, History]) -> dict:
    return {
        "parameters": {name: sum(p.numel() for p in model.parameters()) for name, model in models.items()},
        "minutes": {name: round(h.minutes, 3) for name, h in histories.items()},
        "steps": {name: len(h.steps) for name, h in histories.items()},
        "steps kept": {name: h.best_step or len(h.steps) for name, h in histories.items()},
        "curves": {name: [[s, round(float(v), 4)] for s, v in h.validation] for name, h in histories.items()},
    }


def _save(path: Path, made: Made) -> None:
    extra = {"about": np.array(json.dumps(made.about))}
    if made.walk is not None:
        extra["walk"] = made.walk
    made.seconds.save(path, extra)


def _load(path: Path) -> Made:
    with np.load(path, allow_pickle=False) as a:
        about, walk = json.loads(str(a["about"])), a["walk"] if "walk" in a.files else None
    return Made(Seconds.load(path), about, walk)
