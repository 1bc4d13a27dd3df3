"""Every artifact is named by all that determines it, and by nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from fake_dataset import write_dataset

from eailkit import provenance
from eailkit.baselines.action_nets import action_net_config, action_net_identity
from eailkit.baselines.niloc import imu_alone_identity
from eailkit.baselines.niloc_plus import niloc_plus_identity
from eailkit.baselines.velocity_nets import velocity_net_identity
from eailkit.eail.features import Features, embed_dataset, features_identity
from eailkit.eail.inference import predict_take, stage2_config, stage2_identity, train_stage2
from eailkit.eail.prepared import Prepared, cache_identity, prepare
from eailkit.eail.stage1 import Stage1, Stage1Config, stage1_identity, train_stage1
from eailkit.eail.stage2 import SpatioTemporalReasoner, Stage2Config
from eailkit.eail.targets import targets_identity, vision_language_targets
from eailkit.eail.velocity import VelocityNet, velocity_identity
from eailkit.errors import CheckpointError
from eailkit.experiments.eail_run import Run, dataset_folder, methods_identity
from eailkit.experiments.primus_run import PrimusRun
from eailkit.experiments.rows.nets import action_schedules
from eailkit.files import save_npy, save_npz
from eailkit.primus.config import METHODS
from eailkit.primus.model import pretraining_identity
from eailkit.primus.triplets import Triplets
from eailkit.profiles import PRIMUS_SIZES as SIZES
from eailkit.profiles import SMOKE, Profile
from eailkit.provenance import code_version, identity, weights_tag
from eailkit.training import TrainConfig, trained_identity
from eailkit.vision_language.towers import VisionLanguage, identity_of, load

OTHER_TEXT = {  # where another text must be one of a few
    "vision_language": "tiny-clip", "blocks": "light", "conv_blocks": "full",
    "encoder": "motion_gru", "key": "text", "precision": "64-true", "action_size": "paper",
}  # fmt: skip
NO_NUMBER = {"checkpoint_every", "device"}  # of TrainConfig: where and how often, not what


def changed(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every field of a configuration changed in turn, nested ones too: (name, configuration)."""
    for field in fields(config):
        value, name = getattr(config, field.name), f"{prefix}{field.name}"
        if is_dataclass(value):
            for inner, other in changed(value, f"{name}."):
                yield inner, replace(config, **{field.name: other})
            continue
        if value is None or isinstance(value, bool):
            other = not value
        elif isinstance(value, (int, float)):
            other = value * 2 + 1
        elif isinstance(value, str):
            other = OTHER_TEXT.get(field.name, value + "x")
        elif isinstance(value, tuple):
            other = value[:-1] or (*value, 7)
        else:
            other = {**value, "more": 1}
        yield name, replace(config, **{field.name: other})


def eail_keys(profile: Profile, root: Path) -> dict[str, str]:
    """Names of all that a run of EAIL makes; keys stand for the weights' tags, which only training gives."""
    made = {"dataset": dataset_folder("run", profile).name.rpartition(".")[2]}
    cache = cache_identity(root, points_per_cell=profile.points_per_cell).also(dataset=made["dataset"])
    prepared = Prepared(root, [], {}, tuple("abc"), "hash", cache)
    targets = targets_identity(prepared, identity_of(profile.vision_language))
    stage1 = trained_identity(profile.stage1, stage1_identity(prepared, profile, targets))
    features = features_identity(stage1.key, prepared, profile.views)
    stage2 = stage2_identity(prepared, features, profile, stage2_config(profile, 3))
    made |= {"cache": cache.key, "targets": targets.key, "stage1": stage1.key, "features": features.key}
    made |= {"stage2": trained_identity(profile.stage2, stage2).key}
    made |= {"ablation": trained_identity(profile.ablation, stage2).key}
    alone = imu_alone_identity(prepared, features, profile)
    made |= {"imu alone": trained_identity(profile.imu_alone, alone).key}
    made |= {"velocity": trained_identity(profile.velocity, velocity_identity(prepared, profile)).key}
    net = velocity_net_identity("IMUNet", prepared, width=profile.baseline_width)
    made |= {"baseline": trained_identity(profile.baseline, net).key}
    niloc = niloc_plus_identity(
        prepared, protocol="inferred", width=profile.baseline_width, time=profile.sequence_s
    )  # fmt: skip
    made |= {"niloc plus": trained_identity(profile.niloc_plus, niloc).key}
    before, train = action_schedules("IMU2CLIP", profile.action_net)
    config = action_net_config("IMU2CLIP", profile.action_size, embed_dim=profile.embed_dim)
    action = action_net_identity("IMU2CLIP", prepared, config, train=train, pretrain=before, targets=targets)
    made |= {"action net": trained_identity(train, action).key}
    made |= {"tracker": methods_identity(prepared, profile, {k: made[k] for k in ("stage1", "stage2", "velocity")}).key}
    return made | {"predictions": made["stage2"] + str((profile.sequence_s, profile.eval_stride_s))}


REASONED = {"stage2", "predictions", "tracker"}
SECOND = REASONED | {"ablation", "imu alone"}
BEHIND = {"stage1", "features"} | SECOND  # stage 1 and all that reads its features
RIVALS = {"baseline", "niloc plus", "action net"}
EVERYTHING = {"dataset", "cache", "targets", "velocity"} | BEHIND | RIVALS
DEPENDS = {  # field of a profile -> what it shapes
    "data": EVERYTHING, "points_per_cell": EVERYTHING - {"dataset"},
    "vision_language": BEHIND | {"targets", "action net"},
    "imu_width": BEHIND | {"velocity"}, "points_variant": BEHIND,
    "embed_dim": BEHIND | {"action net"}, "views": {"features"} | SECOND,
    "hypotheses": SECOND - {"imu alone"},
    "conv_channels": SECOND - {"imu alone"}, "conv_blocks": SECOND - {"imu alone"},
    "stage1_batch": BEHIND | {"velocity"}, "stage2_batch": SECOND,
    "stage1": BEHIND, "stage2": REASONED, "ablation": {"ablation"},
    "velocity": {"velocity", "tracker"}, "imu_alone": {"imu alone"},
    "baseline": {"baseline"}, "niloc_plus": {"niloc plus"}, "action_net": {"action net"},
    "baseline_width": {"baseline", "niloc plus"}, "action_size": {"action net"},
    "sequence_s": SECOND | {"niloc plus"}, "eval_stride_s": {"predictions", "tracker"}, "name": set(), "seeds": set(),
    "epochs": set(),  # `counted` makes them steps, which do
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("kitchens"))


def test_each_field_of_a_profile_renames_what_it_shapes_and_nothing_else(root):
    before, tried = eail_keys(SMOKE, root), set()
    assert len(set(before.values())) == len(before) and before == eail_keys(replace(SMOKE), root)
    for name, profile in changed(SMOKE):
        field, _, inner = name.partition(".")
        assert field in DEPENDS, f"say in DEPENDS what Profile.{field} shapes"
        after = eail_keys(profile, root)
        expected = set() if inner in NO_NUMBER else DEPENDS[field]
        assert {k for k in before if before[k] != after[k]} == expected, name
        tried.add(field)
    assert tried == {f.name for f in fields(Profile)}


@dataclass(frozen=True)
class Case:
    """A configuration and what it names, with the fields that name nothing."""

    config: Any
    key: Callable[[Any], str]
    without: frozenset[str] = frozenset()


TRIPLETS = SimpleNamespace(data_hash="hash", video=np.zeros((1, 8)))
PREPARED = Prepared(Path("cache"), [], {}, ("a",), "hash")
CASES = [
    Case(TrainConfig(steps=5), lambda c: trained_identity(c).key, frozenset(NO_NUMBER)),
    Case(Stage1Config(), lambda c: stage1_identity(PREPARED, SMOKE, None, c).key),
    Case(Stage2Config(), lambda c: stage2_identity(PREPARED, identity("features"), SMOKE, c).key),
    Case(METHODS["PRIMUS"], lambda c: pretraining_identity(TRIPLETS, c, 16).key),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: type(case.config).__name__)
def test_each_field_of_a_configuration_renames_its_weights(case):
    before, tried = case.key(case.config), 0
    for name, config in changed(case.config):
        assert (case.key(config) != before) == (name not in case.without), name
        tried += 1
    assert tried >= len(fields(case.config))


def test_every_option_of_a_preparation_names_another_cache(root):
    options = {"points_per_cell": 64, "frame_size": None, "frames": True, "imu": "imu-left", "causal": False}
    others = {"points_per_cell": 65, "frame_size": 32, "frames": False, "imu": "imu-right", "causal": True}
    keys = {cache_identity(root, **options | {k: v}).key for k, v in others.items()}
    keys.add(cache_identity(root, **options).key)
    assert len(keys) == 6


def made_up_triplets() -> Triplets:
    rng, n = np.random.default_rng(0), 20
    wide = rng.normal(size=(n, 8)).astype(np.float32)
    yes, imu = np.ones(n, bool), rng.normal(size=(n, 6, 250)).astype(np.float32)
    return Triplets(imu, wide, wide, yes, yes, np.full(n, "t"), np.arange(n) * 5.0, np.full(n, "talking"))


def test_each_field_of_a_primus_size_renames_what_it_shapes(tmp_path):
    def keys(size) -> dict[str, str]:
        run = PrimusRun(tmp_path, "smoke", progress=False)
        run.size, run.triplets = size, made_up_triplets()
        folders = {kind: run.scenarios_folder(kind).name for kind in ("scenarios", "held_out")}
        return folders | {"encoder": run.made("PRIMUS").key, "scratch": run.made_scratch().key}

    depends = {
        "participants": {"scenarios"}, "minutes": {"scenarios"}, "held_participants": {"held_out"},
        "held_minutes": {"held_out"}, "batch": {"encoder"}, "train": {"encoder"}, "embed_dim": {"encoder", "scratch"},
        "scratch_steps": {"scratch"}, "kitchen_takes": set(),  # the triplets' own values say which
    }  # fmt: skip
    before = keys(SIZES["smoke"])
    for name, size in changed(SIZES["smoke"]):
        field, _, inner = name.partition(".")
        after = keys(size)  # shots and draws name no file: each point of a curve has its own
        expected = set() if inner in NO_NUMBER else depends.get(field, set())
        assert {k for k in before if before[k] != after[k]} == expected, name


def test_a_key_is_the_same_in_every_process_and_order():
    parts = {"a": 1, "b": {"x": 0.1, "y": (1, 2)}, "c": np.arange(3), "names": {"one", "two", "three"}}
    here = identity("thing", code=("eailkit.training",), **parts).key
    backwards = dict(reversed(parts.items())) | {"b": {"y": [1, 2], "x": 0.1}}
    assert here == identity("thing", code=("eailkit.training",), **backwards).key and len(here) == 12
    program = (
        "import numpy as np; from eailkit.provenance import identity; print(identity('thing', code=('eailkit.training',"
        "), a=1, b={'x': 0.1, 'y': (1, 2)}, c=np.arange(3), names={'one', 'two', 'three'}).key)"
    )
    for seed in ("1", "2"):
        said = subprocess.run(
            [sys.executable, "-c", program], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, text=True
        )
        assert said.stdout.strip() == here, said.stderr


def test_what_could_be_written_in_two_ways_is_refused_and_a_difference_is_told():
    for part in (Path("somewhere"), object(), lambda: 0, {1: 2}):
        with pytest.raises(TypeError, match="identity: found a"):
            identity("thing", part=part)
    data = identity("data", takes=["a"], points=64)
    one = identity("weights", data=data, train=TrainConfig(steps=5))
    two = identity("weights", data=identity("data", takes=["a"], points=32), train=TrainConfig(steps=6))
    assert (
        one.difference(json.loads(json.dumps(two.record)))
        == "data.points = 32 instead of 64, train.steps = 6 instead of 5"
    )
    assert one.difference(one.record) == "" and one.difference({"config": 1}) == f"no record instead of {one}"
    assert one.difference(data.record) == "data instead of weights"


def test_code_counts_with_what_it_imports_and_comments_do_not(tmp_path, monkeypatch):
    package = tmp_path / "eailkit"
    (package / "sub").mkdir(parents=True)
    sources = {
        "a.py": "from eailkit.sub import b\n\n\ndef f(x):\n    return b.g(x)\n",
        "sub/__init__.py": "", "sub/b.py": "def g(x):\n    return 2 * x\n",
        "errors.py": "class E(Exception):\n    pass\n",
    }  # fmt: skip

    def version(**changes: str) -> str:
        for name, text in (sources | {k.replace("__", "/") + ".py": v for k, v in changes.items()}).items():
            (package / name).write_text(text)
        provenance._module.cache_clear(), provenance._with_imports.cache_clear()
        return code_version("eailkit.a")

    monkeypatch.setattr(provenance, "PACKAGE", package)
    first = version()
    assert version(sub__b='"""Doubles."""\n\ndef g(x):\n    # by two\n    return 2 * x\n') == first
    assert version(sub__b="def g(x):\n    return 3 * x\n") != first
    assert version(errors="class E(Exception):\n    code = 1\n") == first  # plumbing
    monkeypatch.undo()
    provenance._module.cache_clear(), provenance._with_imports.cache_clear()


# The audits' cases: two things that once were taken for each other, made one after the other in one folder.

TINY = replace(
    SMOKE, points_per_cell=64, embed_dim=32, imu_width=8, stage1_batch=4, stage2_batch=2, sequence_s=10,
    stage1=TrainConfig(steps=2), stage2=TrainConfig(steps=2),
)  # fmt: skip


class MadeUpTowers(VisionLanguage):
    """Features drawn with a seed: two of one name that say different things."""

    name, embed_dim = "towers", 32

    def __init__(self, seed: int):
        self.seed = seed

    @property
    def identity(self):
        return super().identity.also(seed=self.seed)

    def encode_images(self, images, ids=None):
        return np.random.default_rng(self.seed).normal(size=(len(images), 32)).astype(np.float32)

    def encode_texts(self, texts):
        return np.random.default_rng(self.seed).normal(size=(len(texts), 32)).astype(np.float32)


@pytest.fixture(scope="module")
def prepared(root, tmp_path_factory) -> Prepared:
    return prepare(root, tmp_path_factory.mktemp("cache"), points_per_cell=64, workers=1, progress=False)


@pytest.fixture(scope="module")
def features(prepared, tmp_path_factory) -> Features:
    torch.manual_seed(0)
    model = Stage1(Stage1Config.of(TINY)).eval()
    return embed_dataset(model, prepared, tmp_path_factory.mktemp("features"), views=2, progress=False)


def test_two_pairs_of_towers_of_one_name_in_one_folder(prepared, tmp_path):
    take, tags = prepared.by_split("train")[0].name, []
    for seed in (1, 2, 1):
        targets = vision_language_targets(prepared, MadeUpTowers(seed), tmp_path / "targets")
        expected = MadeUpTowers(seed).encode_images(targets.image[take][targets.has_image[take]])
        np.testing.assert_array_equal(targets.image[take][targets.has_image[take]], expected)
        model, _ = train_stage1(prepared, TINY, tmp_path / "weights", targets=targets, progress=False)
        tags.append(weights_tag(model))
    assert tags[0] == tags[2] != tags[1]


def test_five_seconds_after_ten(prepared, features, tmp_path):
    """Another length of sequences sees other batches, so its losses are others: it can't have found the first's."""
    losses = {}
    for seconds in (10, 5, 10):
        profile = replace(TINY, sequence_s=seconds)
        _, history = train_stage2(prepared, features, profile, tmp_path, progress=False)
        assert seconds not in losses or losses[seconds] == history.steps
        losses[seconds] = history.steps
    assert losses[5] != losses[10] and len(list(tmp_path.glob("stage2.*.safetensors"))) == 2


def test_predictions_of_two_stages_in_one_run(prepared, tmp_path):
    """Each stage 1 has its own features, maps and calibration, whichever was asked for before."""
    run = Run(tmp_path, TINY, progress=False)
    run.prepared = prepared
    take, velocity = prepared.takes[0], VelocityNet(8).eval()
    models, found = [], []
    for seed in (0, 1):
        torch.manual_seed(seed)
        stage2 = SpatioTemporalReasoner(stage2_config(TINY, len(prepared.action_names))).eval()
        torch.nn.init.normal_(stage2.location[-1].weight)
        models.append((Stage1(Stage1Config.of(TINY)).eval(), stage2))
    for stage1, stage2 in (*models, models[0]):
        found.append(run.methods(stage1, stage2, velocity).alone(take).confidence)
        expected = predict_take(stage2, prepared, run.features(stage1), take, profile=TINY).confidence
        np.testing.assert_allclose(found[-1], expected, atol=1e-3)  # kept in half precision
    assert np.array_equal(found[0], found[2]) and np.abs(found[0] - found[1]).max() > 1e-3
    assert len(list(run.weights_dir.glob("tracker.*.json"))) == 2


def test_a_stage_2_is_refused_beside_another_stage_1(prepared, features, tmp_path):
    stage2, _ = train_stage2(prepared, features, TINY, tmp_path, progress=False)
    assert stage2.stage1_tag == features.stage1_tag != ""
    other = replace(features, identity=features_identity("0" * 12, prepared, 2))
    with pytest.raises(CheckpointError, match=f"trained on stage 1 {stage2.stage1_tag}; expected one for stage 1 000"):
        predict_take(stage2, prepared, other, prepared.takes[0], profile=TINY)


def test_shipped_towers_are_named_without_being_built_and_by_their_file():
    assert identity_of("tiny").key == identity_of("tiny-slip").key == load("tiny").identity.key
    assert len({identity_of(f"tiny-{kind}").key for kind in ("slip", "clip", "wide", "scenes")}) == 4


def test_a_failed_write_of_arrays_leaves_nothing_to_believe(tmp_path):
    class Full:
        def __array__(self, *args, **kwargs):
            raise OSError("disk full")

    for write in (lambda: save_npy(tmp_path / "a.npy", Full()), lambda: save_npz(tmp_path / "a.npz", {"a": Full()})):
        with pytest.raises(OSError, match="can't be written"):
            write()
    assert not list(tmp_path.iterdir())
    np.testing.assert_array_equal(np.load(save_npy(tmp_path / "b.npy", np.arange(3))), np.arange(3))
