"""Pretrain the tiny vision-language towers that ship with the course: `python -m eailkit.experiments.towers.pretrain`.

Three kinds after EAIL's Table 5: SLIP's objective (the default), CLIP's, and CLIP's with a wider image tower; and a
small fourth for PRIMUS, with CLIP's objective, which sees everyday scenarios too (`scenes`). They see
frames and narrations of SynthKitchen kitchens and people of no split (design section 5), whose seeds no other dataset
uses. Of the last rooms, which aren't trained on, half choose the checkpoint and half give the card its retrieval;
val splits of a dataset are only ever scored, after everything is chosen. An interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from eailkit.errors import DatasetError, EailkitError
from eailkit.experiments.towers.card import card
from eailkit.experiments.towers.frames import Batches, Frames, read_pretraining
from eailkit.experiments.towers.scenes import (
    ScenesConfig,
    make_scenarios,
    read_scenarios,
    score_scenarios,
    with_kitchens,
)
from eailkit.experiments.towers.scores import VAL_SPLITS, mean_recall, retrieval, score_val
from eailkit.files import write_atomically, write_json, write_text
from eailkit.profiles import PAPER
from eailkit.provenance import content_digest, identity
from eailkit.results.ledger import device_name, git_commit
from eailkit.synthkitchen.dataset import synthesize
from eailkit.synthkitchen.splits import DatasetConfig
from eailkit.training import History, TrainConfig, fit, trained_identity
from eailkit.vision_language import tiny
from eailkit.vision_language.towers import tiny_file


@dataclass(frozen=True)
class PretrainConfig:
    """What the towers are trained on, and how long; the same for every kind but "scenes".

    Attributes:
        rooms, participants, minutes, takes_per_room, seed: arguments of the simulator.
        held_out_rooms: last rooms; the first half of them choose the checkpoint, the others are reported.
        patch_dropout: share of image patches left out in training. SLIP: none.
        batch: captioned pairs a step, all captions different. SLIP: 4096.
        views: images a step with two augmented views for SimCLR, where the kind has it. SLIP: the batch.
        pair_s: a frame and a narration at most this far apart are a pair, seconds.
        choose_every: steps between checkpoints that held-out rooms choose from; the best mean recall wins.
        gallery: pairs in a gallery of retrieval.
        train: steps and rates. SLIP: 25-100 epochs, learning rate 3e-3, weight decay 0.1.
    """

    rooms: int = 400
    participants: int = 200
    minutes: float = 1.5
    takes_per_room: int = 1
    seed: int = 0
    held_out_rooms: int = 24
    patch_dropout: float = 0.0
    batch: int = 64
    views: int = 32
    pair_s: float = 1.0
    choose_every: int = 100
    gallery: int = 100
    train: TrainConfig = TrainConfig(steps=900, learning_rate=1e-3, weight_decay=0.1, precision="bf16-mixed")


SCENES = PretrainConfig(rooms=110, participants=55, held_out_rooms=12)
SCENES = replace(SCENES, train=replace(SCENES.train, steps=800))


@dataclass(frozen=True)
class PretrainFrames:
    """Frames of three sets of kitchens (and people): to train on, to choose the checkpoint by, to report."""

    train: Frames
    choose: Frames
    report: Frames

    @classmethod
    def read(cls, data: Path, config: PretrainConfig, *, progress: bool = True) -> PretrainFrames:
        """The frames of a pretraining dataset.

        Raises:
            DatasetError: the folder holds takes of a split, no frames, or too few rooms.
        """
        frames = read_pretraining(data, config.pair_s, progress=progress)
        rooms = sorted(set(frames.room.tolist()))
        last, half = len(rooms) - config.held_out_rooms, config.held_out_rooms // 2
        if last < 1 or half < 1:
            raise DatasetError(
                f"{data}: found {len(rooms)} rooms of which {config.held_out_rooms} are held out; expected at least "
                "two held out and one to train on; ask for more rooms."
            )
        return cls(*(frames.of_rooms(part) for part in (rooms[:last], rooms[last : last + half], rooms[last + half :])))

    def with_scenarios(
        self, folder: Path, scenes: ScenesConfig, pair_s: float, *, progress: bool = True
    ) -> PretrainFrames:
        """The same with frames of the scenarios that `make_scenarios` wrote, each set with people of its own."""
        people = read_scenarios(folder, scenes, pair_s, progress=progress)
        kitchens = (self.train, self.choose, self.report)
        return PretrainFrames(*(with_kitchens(*both) for both in zip(kitchens, people, strict=True)))


def make_data(data: Path, config: PretrainConfig, *, workers: int | None = None, progress: bool = True) -> None:
    """Simulate the kitchens of no split, or finish those that an interrupted run began.

    Raises:
        DatasetError: the data folder holds another dataset.
    """
    simulator = DatasetConfig(
        pretrain=True, val_unseen_rooms=0, test_unseen_rooms=0, train_takes_per_room=config.takes_per_room,
        long_takes=0, scans=False, frame_splits=("pretrain",),
        frame_px=tiny.model_config()["vision_cfg"]["image_size"],
    )  # fmt: skip
    synthesize(
        data, rooms=config.rooms, participants=config.participants, minutes=config.minutes, seed=config.seed,
        workers=workers, progress=progress, config=simulator,
    )  # fmt: skip


def make_val(root: Path, *, rooms: int | None = None, workers: int | None = None, progress: bool = True) -> None:
    """Simulate filmed val takes in the paper profile's val rooms; its training and test takes are left out.

    Room for room these are the kitchens and splits of the paper profile's dataset, whose own val takes have no video.

    Args:
        rooms: all rooms, the last quarter or so unseen; the paper profile's numbers where None.

    Raises:
        DatasetError: the folder holds another dataset.
    """
    size = PAPER.data
    config = DatasetConfig(
        val_unseen_rooms=size.val_unseen_rooms if rooms is None else 1,
        test_unseen_rooms=size.test_unseen_rooms if rooms is None else 0,
        val_seen_rooms=2 * size.val_unseen_rooms, train_takes_per_room=0, test_seen_takes_per_room=0,
        unseen_takes_per_room=size.unseen_takes_per_room, long_takes=0, scans=False, frame_splits=VAL_SPLITS,
    )  # fmt: skip
    synthesize(
        root, rooms=rooms or size.seen_rooms + size.val_unseen_rooms + size.test_unseen_rooms,
        participants=size.participants, minutes=4.0, seed=size.seed, workers=workers, progress=progress, config=config,
    )  # fmt: skip


def pretrain(
    kind: str, data: Path, out: Path, config: PretrainConfig, *, frames: PretrainFrames | None = None,
    val: Path | None = None, scenes: ScenesConfig | None = None, command: str = "", commit: str = "",
    progress: bool = True,
) -> dict:  # fmt: skip
    """Train one kind on the data, write its three files, and return the record that config.json keeps.

    Args:
        kind: one of `tiny.KINDS`.
        data: folder of `make_data`; checkpoints lie in its `towers/<kind>`.
        out: folder of model.safetensors, config.json and card.md.
        frames: of the data, where already read.
        val: a dataset whose val splits are scored for the card, see `scores.score_val`.
        scenes: the scenarios among the frames, see `PretrainFrames.with_scenarios`; None where there are none.
        command: for the card.
        commit: for the card; the present one where "". Weights that are written make a checkout differ from it.

    Raises:
        DatasetError: the data folder holds takes of a split, or no frames.
        CheckpointError: what an earlier call left in the data folder can't be read.
    """
    frames = frames or PretrainFrames.read(data, config, progress=progress)
    batches = Batches(
        frames.train, pairs=config.batch, views=config.views if tiny.KINDS[kind].objective.ssl_scale else 0
    )
    folder, history, chosen = _train(kind, batches, frames.choose, data / "towers" / kind, config, progress=progress)
    write_atomically(out / "model.safetensors", lambda beside: shutil.copyfile(folder / "best.safetensors", beside))
    model = tiny_file(out / "model.safetensors", kind)
    rooms = sorted(set(frames.train.room.tolist()))
    every = 1 if scenes is None else max(len(rooms) // config.held_out_rooms, 1)  # scenes come before kitchens
    some = frames.train.of_rooms(rooms[::every][: config.held_out_rooms])
    record = {
        "kind": kind,
        "command": command,
        "commit": commit or git_commit(Path(__file__).parent),
        "model": tiny.model_config(tiny.KINDS[kind].architecture),
        "objective": asdict(tiny.KINDS[kind].objective),
        "pretraining": asdict(config),
        "data": {
            "train frames": len(frames.train.image),
            "train frames with caption": len(batches.captioned),
            "different captions": len(batches.text),
            "tokens learned": len(batches.vocabulary),
            "held-out frames with caption": int((frames.report.caption != "").sum()),
        },
        "mean recall by step in the rooms that choose, percent": chosen,
        "chosen step": _best(chosen),
        "minutes": round(history.minutes, 1),
        "device": device_name(),
        f"retrieval in galleries of {config.gallery}, percent": {
            "held-out rooms": retrieval(model, frames.report, gallery=config.gallery),
            "training rooms": retrieval(model, some, gallery=config.gallery),
        },
        "val": {}
        if val is None
        else score_val(model, val, pair_s=config.pair_s, gallery=config.gallery, progress=progress),
    }
    if scenes is not None:
        record["scenarios"] = {"made": asdict(scenes), **score_scenarios(model, frames.report, gallery=config.gallery)}
    write_json(out / "config.json", record)
    write_text(out / "card.md", card(record))
    return record


def _train(
    kind: str, batches: Batches, choose: Frames, folder: Path, config: PretrainConfig, *, progress: bool
) -> tuple[Path, History, dict[str, float]]:
    """Train in legs of `choose_every` steps, keeping the weights that score best as best.safetensors.

    Returns:
        The run's own folder below `folder`, named by all that determines it; the log; the scores by step.
    """
    spec = tiny.KINDS[kind]
    torch.manual_seed(config.train.seed)
    towers = tiny.new_model(batches.vocabulary, architecture=spec.architecture, patch_dropout=config.patch_dropout)
    model = tiny.SlipTraining(towers, spec.objective)
    context = identity(
        "towers", code=("eailkit.experiments.towers.pretrain",), towers=kind, objective=spec.objective, config=config,
        pairs=batches.pairs, views=batches.views, frames=_content(batches.frames), choose=_content(choose),
    )  # fmt: skip
    folder = folder / trained_identity(config.train, context).key

    def run(stop_at: int | None) -> History:
        with _fast_attention():
            return fit(
                model, batches, lambda m, batch: m(**batch), config.train, out_dir=folder, name=f"towers-{kind}",
                context=context, progress=progress, stop_at=stop_at,
            )  # fmt: skip

    scores_file = folder / "choice.json"
    chosen: dict[str, float] = json.loads(scores_file.read_text()) if scores_file.is_file() else {}
    for step in [*range(config.choose_every, config.train.steps, config.choose_every), config.train.steps]:
        if str(step) in chosen:
            continue
        run(step)
        tried = folder / "tried.safetensors"
        tiny.save_model(model.finish(), batches.vocabulary, tried, architecture=spec.architecture)
        score = round(mean_recall(retrieval(tiny_file(tried, kind), choose, gallery=config.gallery)), 2)
        if score > max(chosen.values(), default=-1.0):
            tried.replace(folder / "best.safetensors")
        tried.unlink(missing_ok=True)
        chosen[str(step)] = score
        write_json(scores_file, chosen)
        if progress:
            print(f"towers-{kind}: step {step}, mean recall {score:.1f} % in the rooms that choose", file=sys.stderr)
    return folder, run(None), chosen


def _content(frames: Frames) -> str:
    return content_digest(frames.image, frames.caption, frames.action, frames.room)


def _best(chosen: dict[str, float]) -> int:
    return int(max(chosen, key=lambda step: (chosen[step], -int(step))))


def _fast_attention() -> contextlib.AbstractContextManager:
    """On CPUs the fused attention's backward pass takes twice as long as plain matrices at 65 tokens."""
    return contextlib.nullcontext() if torch.cuda.is_available() else sdpa_kernel(SDPBackend.MATH)


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    default, folder = PretrainConfig(), Path(tempfile.gettempdir()) / "eailkit_pretrain"
    parser = argparse.ArgumentParser(
        prog="python -m eailkit.experiments.towers.pretrain",
        description="Pretrain the tiny vision-language towers on simulated kitchens of no split; resumes. "
        "Kind scenes takes fewer kitchens and everyday scenarios, from a folder of its own beside --data.",
    )
    parser.add_argument("--kind", choices=[*tiny.KINDS, "all"], default="slip", help="which towers (slip)")
    parser.add_argument("--data", type=Path, default=folder, help=f"folder for the simulated kitchens ({folder})")
    parser.add_argument(
        "--out",
        type=Path,
        default=tiny.WEIGHTS_DIR,
        help="folder for slip; the others go into its clip, wide, scenes",
    )
    parser.add_argument("--val", type=Path, help="dataset whose val splits the card scores; made where absent")
    parser.add_argument("--rooms", type=int, help=f"kitchens ({default.rooms}; scenes: {SCENES.rooms})")
    parser.add_argument("--steps", type=int, help=f"steps ({default.train.steps}; scenes: {SCENES.train.steps})")
    parser.add_argument("--seed", type=int, default=0, help="of weights and batches; the kitchens stay the same (0)")
    parser.add_argument("--workers", type=int, default=None, help="processes that simulate; one a core by default")
    options = parser.parse_args(arguments)
    try:
        _run(options)
    except EailkitError as error:
        sys.exit(f"pretrain_towers: {error}")
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        sys.exit(130)


def _run(options: argparse.Namespace) -> None:
    commit = git_commit(Path(__file__).parent)
    kinds = list(tiny.KINDS) if options.kind == "all" else [options.kind]
    if options.val is not None and not (options.val / "takes.json").is_file():
        make_val(options.val, workers=options.workers)
    for scenes in (None, ScenesConfig()):
        some = [kind for kind in kinds if tiny.KINDS[kind].scenarios == (scenes is not None)]
        if some:
            _run_kinds(some, options, scenes, commit)


def _run_kinds(kinds: list[str], options: argparse.Namespace, scenes: ScenesConfig | None, commit: str) -> None:
    """Make and read the data that some kinds share, and pretrain these."""
    config = PretrainConfig() if scenes is None else SCENES
    rooms = options.rooms or config.rooms
    train = replace(config.train, steps=options.steps or config.train.steps, seed=options.seed)
    config = replace(config, rooms=rooms, participants=max(1, rooms // 2), train=train)
    data = options.data if scenes is None else options.data.with_name(f"{options.data.name}_scenes")
    kitchens = data if scenes is None else data / "kitchens"
    make_data(kitchens, config, workers=options.workers)
    frames = PretrainFrames.read(kitchens, config)
    if scenes is not None:
        make_scenarios(data / "scenarios", scenes, workers=options.workers)
        frames = frames.with_scenarios(data / "scenarios", scenes, config.pair_s)
    given = [f"--rooms {config.rooms}", f"--steps {config.train.steps}", f"--seed {config.train.seed}"]
    given += [] if options.val is None else [f"--val {options.val.name}"]
    for kind in kinds:
        record = pretrain(
            kind, data, tiny.weights_dir(kind, options.out), config, frames=frames, val=options.val,
            scenes=scenes, commit=commit,
            command=" ".join(["python -m eailkit.experiments.towers.pretrain", f"--kind {kind}", *given]),
        )  # fmt: skip
        print(card(record))


if __name__ == "__main__":
    main()
