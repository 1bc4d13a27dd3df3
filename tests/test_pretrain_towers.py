"""Pretraining of the tiny towers at a toy size: kinds, choice of weights, resuming, scores, and what may be read."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from eailkit.errors import DatasetError
from eailkit.experiments.towers.frames import Batches, Frames, random_views, read_pretraining
from eailkit.experiments.towers.pretrain import PretrainConfig, PretrainFrames, _train, make_data, make_val, pretrain
from eailkit.experiments.towers.scenes import (
    SCENARIO_PROMPTS,
    SCENARIOS,
    ScenesConfig,
    make_scenarios,
    score_scenarios,
    with_kitchens,
)
from eailkit.experiments.towers.scores import mean_recall, retrieval, score_val, third_person, zero_shot_accuracy
from eailkit.scenarios.words import PHRASES
from eailkit.synthkitchen.actions import ACTION_NAMES
from eailkit.training import fit
from eailkit.vision_language import tiny
from eailkit.vision_language.towers import VisionLanguage, tiny_file

TOY = PretrainConfig(
    rooms=4, participants=2, minutes=0.5, held_out_rooms=2, batch=8, views=4, choose_every=2, gallery=4
)
TOY = replace(TOY, train=replace(TOY.train, steps=5, warmup_steps=2, precision="32-true"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Four toy kitchens of no split."""
    folder = tmp_path_factory.mktemp("pretrain")
    make_data(folder, TOY, workers=1, progress=False)
    return folder


@pytest.fixture(scope="module")
def val(tmp_path_factory):
    """A dataset of two rooms with filmed val takes."""
    folder = tmp_path_factory.mktemp("val")
    make_val(folder, rooms=2, workers=1, progress=False)
    return folder


def frames_of(captions, actions=None) -> Frames:
    """Grey frames with these captions, one room."""
    n = len(captions)
    image = np.repeat(np.arange(n, dtype=np.uint8)[:, None, None, None], 3, axis=3).repeat(8, axis=1).repeat(8, axis=2)
    actions = np.full(n, -1) if actions is None else np.asarray(actions)
    return Frames(image, np.asarray(captions), actions, np.full(n, "room"))


class Knows(VisionLanguage):
    """Towers that embed the grey level of a frame, and texts by a table of grey levels."""

    name, embed_dim = "knows", 16

    def __init__(self, level_of):
        self.level_of = level_of

    def encode_images(self, images, ids=None):
        return np.eye(self.embed_dim, dtype=np.float32)[images[:, 0, 0, 0]]

    def encode_texts(self, texts):
        return np.eye(self.embed_dim, dtype=np.float32)[[self.level_of(t) for t in texts]]


def test_each_kind_leaves_weights_record_and_card(data, val, tmp_path):
    frames = PretrainFrames.read(data, TOY, progress=False)
    rooms = [set(part.room) for part in (frames.train, frames.choose, frames.report)]
    assert [len(r) for r in rooms] == [2, 1, 1] and not (rooms[0] & rooms[1] or rooms[0] & rooms[2])
    for kind, spec in tiny.KINDS.items():
        out = tiny.weights_dir(kind, tmp_path)
        record = pretrain(
            kind, data, out, TOY, frames=frames, val=val if kind == "clip" else None, command="the command",
            progress=False,
        )  # fmt: skip
        assert json.loads((out / "config.json").read_text()) == json.loads(json.dumps(record))
        chosen = record["mean recall by step in the rooms that choose, percent"]
        assert list(chosen) == ["2", "4", "5"] and chosen[str(record["chosen step"])] == max(chosen.values())
        model = tiny_file(out / "model.safetensors", kind)
        assert mean_recall(retrieval(model, frames.choose, gallery=4)) == pytest.approx(max(chosen.values()), abs=0.01)
        log = json.loads(next((data / "towers" / kind).glob(f"*/towers-{kind}.*.json")).read_text())["steps"]
        assert len(log) == 5 and ("simclr" in log[0]) == bool(spec.objective.ssl_scale)
        card = (out / "card.md").read_text()
        assert "the command" in card and record["commit"] in card and f"towers: {kind}" in card
        assert ("val-unseen" in card) == (kind == "clip") and "{" not in card


def test_scenes_see_other_people_s_scenarios_too(data, tmp_path, monkeypatch):
    """Three people at two scenarios beside the kitchens: one trains, one chooses, one is reported."""
    monkeypatch.setattr("eailkit.experiments.towers.scenes.SCENARIOS", ("running", "sit-ups"))
    scenes = ScenesConfig(participants=3, minutes=0.6, held_out_people=2)
    make_scenarios(tmp_path / "scenarios", scenes, workers=1, progress=False)
    kitchens = PretrainFrames.read(data, TOY, progress=False)
    frames = kitchens.with_scenarios(tmp_path / "scenarios", scenes, TOY.pair_s, progress=False)
    for k, name in enumerate(("train", "choose", "report")):
        part, before = getattr(frames, name), getattr(kitchens, name)
        new = part.where(part.action >= 0)
        assert set(new.room) == {f"park_p{k:03d}", f"living_room_p{k:03d}"}
        assert len(part.image) == len(before.image) + len(new.image) and set(new.action) == {0, 1}
        assert any("run" in text or "jog" in text for text in new.caption[new.action == 0])
    out = tmp_path / "out"
    record = pretrain("scenes", tmp_path, out, TOY, frames=frames, scenes=scenes, command="the command", progress=False)
    assert record["scenarios"]["made"]["participants"] == 3 and record["scenarios"]["zero-shot"]["frames"] > 50
    card = (out / "card.md").read_text()
    assert "of 1 people at everyday scenarios" in card and "| sit-ups |" in card and "{" not in card


def test_scenario_scores_of_towers_that_know_everything():
    """Towers that map every sentence of a scenario's prompts to its number, and different labels to different axes."""
    assert set(SCENARIO_PROMPTS) == set(SCENARIOS)
    told = {text.rstrip(".") for texts in PHRASES.values() for text in texts}
    assert all(text.rstrip(".") in told for texts in SCENARIO_PROMPTS.values() for text in texts), (
        "words that were never seen"
    )
    number = {text: k for k, name in enumerate(SCENARIOS) for text in SCENARIO_PROMPTS[name]}
    level = lambda text: number.get(text, 15)  # noqa: E731
    known = frames_of([SCENARIO_PROMPTS[name][0] for name in SCENARIOS], range(14))
    frames = with_kitchens(frames_of(["C cuts", "C stirs"], [3, 4]), known)
    assert frames.action.tolist() == [-1, -1, *range(14)]
    scores = score_scenarios(Knows(level), frames, gallery=2)
    assert scores["zero-shot"]["top-1"] == 100.0 and scores["zero-shot"]["frames"] == 14
    assert scores["retrieval"]["scenarios"]["image to text R@1"] == 100.0


def test_a_killed_run_ends_with_the_same_weights(data, tmp_path, monkeypatch):
    """Killed in the middle of a leg and after a checkpoint that wasn't scored yet."""
    frames = PretrainFrames.read(data, TOY, progress=False)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    seen = []
    for folder in (whole, cut):
        batches = Batches(frames.train, pairs=8, views=0)

        def killed(model, batches, loss_of, config, *, stop_at=None, **options):
            if stop_at == 4 and not seen:
                seen.append(fit(model, batches, loss_of, config, stop_at=3, **options))
                raise KeyboardInterrupt
            return fit(model, batches, loss_of, config, stop_at=stop_at, **options)

        if folder == cut:
            monkeypatch.setattr("eailkit.experiments.towers.pretrain.fit", killed)
            with pytest.raises(KeyboardInterrupt):
                _train("clip", batches, frames.choose, folder, TOY, progress=False)
        made, history, chosen = _train("clip", batches, frames.choose, folder, TOY, progress=False)
        assert len(history.steps) == 5 and made.parent == folder
    assert seen and len(seen[0].steps) == 3
    for name in ("choice.json", "best.safetensors"):
        assert (whole / made.name / name).read_bytes() == (cut / made.name / name).read_bytes()
    other, _, found = _train("clip", Batches(frames.train, pairs=7, views=0), frames.choose, cut, TOY, progress=False)
    assert other.parent == made.parent and other != made  # a run of its own, which takes no weights and no scores
    assert (whole / made.name / "best.safetensors").read_bytes() == (made / "best.safetensors").read_bytes()


def test_takes_of_a_split_are_never_trained_on(val):
    with pytest.raises(DatasetError, match=r"of split '(val|test)-.*expected takes of split 'pretrain' only"):
        read_pretraining(val, 1.0, progress=False)


def test_val_splits_are_scored(val):
    """Random towers on both val splits: every number is there, and chance is chance."""
    model = Knows(lambda text: len(text) % 16)
    model.encode_images = lambda images, ids=None: np.ones((len(images), 16), np.float32) / 4
    scores = score_val(model, val, progress=False)
    assert set(scores) == {"val-seen", "val-unseen"}
    for split in scores.values():
        assert split["zero-shot"]["chance"] == 2.9 and split["zero-shot"]["frames"] > 50  # 1 of 35 classes
        assert split["zero-shot"]["commonest action"] >= split["zero-shot"]["class mean of one answer"]
        assert split["retrieval"]["image to text R@1"] <= split["retrieval"]["image to text R@5"]


def test_zero_shot_equals_a_count():
    """Frames 0-3 are the classes 0-3 and towers that know them; then one class is told apart wrongly."""
    names = ACTION_NAMES[:4]
    right = lambda text: next(i for i, n in enumerate(names) if third_person(n) in text)  # noqa: E731
    frames = frames_of([""] * 5, [0, 1, 2, 3, -1])
    assert zero_shot_accuracy(Knows(right), frames, names) == {
        "top-1": 100.0, "chance": 25.0, "commonest action": 25.0, "class mean": 100.0,
        "class mean of one answer": 25.0, "frames": 4,
    }  # fmt: skip
    wrong = zero_shot_accuracy(Knows(lambda t: {0: 0, 1: 1, 2: 2, 3: 9}[right(t)]), frames, names)
    assert wrong["top-1"] == 75.0
    with pytest.raises(DatasetError, match="no frame within an annotated action"):
        zero_shot_accuracy(Knows(right), frames_of(["a"]), names)


def test_retrieval_of_towers_that_know_everything_and_nothing():
    captions = [f"C does {i}" for i in range(10)]
    level = lambda text: int(text.split()[-1])  # noqa: E731
    scores = retrieval(Knows(level), frames_of(captions), gallery=10, draws=3)
    assert mean_recall(scores) == 100.0 and scores["same verb"] == scores["commonest verb"] == 100.0
    moved = retrieval(Knows(lambda t: (level(t) + 1) % 10), frames_of(captions), gallery=10, draws=3)
    assert moved["image to text R@1"] == 0.0
    with pytest.raises(DatasetError, match="found 10 different captions; expected at least 11"):
        retrieval(Knows(level), frames_of(captions), gallery=11)


def test_third_person():
    names = {
        "wash hands": "washes hands",
        "dry dishes": "dries dishes",
        "fry": "fries",
        "talk to someone": "talks to someone",
        "put into fridge": "puts into fridge",
        "season": "seasons",
    }
    assert all(third_person(name) == told for name, told in names.items())


def test_batches_have_different_captions_and_views_only_where_asked():
    frames = frames_of([f"C does {i % 5}" for i in range(20)])
    batch = Batches(frames, pairs=4, views=0)(np.random.default_rng(0), 0)
    assert set(batch) == {"image", "text"} and len({tuple(row) for row in batch["text"].tolist()}) == 4
    batch = Batches(frames, pairs=4, views=3)(np.random.default_rng(0), 0)
    assert batch["view"].shape == batch["other"].shape == (3, 3, 8, 8)
    assert not torch.equal(batch["view"], batch["other"])
    with pytest.raises(DatasetError, match="none with a caption"):
        Batches(frames_of(["", ""]), pairs=1, views=0)


def test_a_whole_crop_is_the_image():
    image = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.uint8)
    view = random_views(image, np.random.default_rng(0), least_area=1.0, jitter=0.0, flip=np.zeros(2, bool))
    plain = torch.from_numpy(image).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.4815, 0.4578, 0.4082), (0.2686, 0.2613, 0.2758)))
    torch.testing.assert_close(view, (plain - mean) / std, atol=2e-3, rtol=0)
