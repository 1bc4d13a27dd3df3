"""What makes pretraining on simulated people help real ones: recipes of our encoder, scored on ClassyGlass 1A.

1A is the set for tuning; 1B, the test set, is never opened here. Everything is scored by the protocol of `fewshot` on
the same draws, and each line's gain over random weights and over handcrafted features is paired. 150 steps a line.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from eailkit.baselines.handcrafted import handcrafted_features
from eailkit.experiments.eail_run import Run
from eailkit.experiments.primus_run import PrimusRun, score_features
from eailkit.experiments.primus_sets import TestSet
from eailkit.fewshot.scores import Scores
from eailkit.fewshot.windows import classyglass
from eailkit.primus.config import PrimusConfig
from eailkit.primus.model import pretrain, pretraining_identity
from eailkit.provenance import Identity
from eailkit.results.ledger import RESULTS_DIR, LedgerRow, append_rows, device_name, git_commit
from eailkit.results.names import HANDCRAFTED, UNTRAINED, Head, gain_key, point_key
from eailkit.training import TrainConfig, trained_identity

SHOTS, DRAWS, STEPS = (1, 5, 20, 50), 5, 150
FIRST = {"keep_offset": True, "relations": False, "bands": 12, "lowest_hz": 0.6}  # of the encoder
LINES = {  # name -> changes of `primus_run.OUR_ENCODER`; the first is what it is
    "ours": {},
    "learned filters": {"encoder_options": {"learn_bank": True}},
    "augmentation worn": {"recipe": "worn"},
    "views of one moment": {"neighbour_s": 0.0},
    "offset of the accelerometer kept": {"encoder_options": {"keep_offset": True}},
    "without correlations of channels": {"encoder_options": {"relations": False}},
    "encoder as first designed": {"encoder_options": FIRST},
}


def record_tuning(
    out: str | Path,
    profile: str,
    real: str | Path,
    seed: int = 0,
    *,
    results_dir: str | Path = RESULTS_DIR,
    command: str = "eailkit reproduce primus-tuning",
) -> Path:
    """Pretrain each line (or find it), score it on 1A, and write table `primus_tuning`.

    Args:
        out: folder of a run; its kitchens are pretrained on too.
        profile: of the kitchens.
        real: folder of ClassyGlass.
        seed: of the pretraining.

    Raises:
        DatasetError: that folder holds no ClassyGlass 1A.
    """
    windows = classyglass(real, "1A")
    run = PrimusRun(Path(out) / "primus", "bench", kitchens=Run(out, profile, seed=seed).dataset(), seed=seed)
    test = TestSet("1A", windows)
    path = run.folder("tuning") / f"scores.{test.identity.key}.npz"
    scores = Scores.load(path) if path.is_file() else Scores.of(windows)
    size, minutes = replace(run.size, shots=SHOTS, seeds=DRAWS), {}
    for name in (HANDCRAFTED, UNTRAINED, *LINES):
        began = time.monotonic()
        scores.begin(name, _made(run, name))
        if not scores.has(name, Head.ENCODER, SHOTS[-1], DRAWS - 1):
            score_features(name, _features(run, name, windows.imu), test, scores, size)
            scores.save(path)
        minutes[name] = (time.monotonic() - began) / 60
    rows = [_row(run, scores, name, minutes[name], command) for name in minutes]
    return append_rows("primus_tuning", rows, results_dir=results_dir)


def _features(run: PrimusRun, name: str, imu):
    if name == HANDCRAFTED:
        return handcrafted_features(imu)
    if name == UNTRAINED:
        return run.untrained("ours", alone=True).embed(imu, at="encoder")
    config, train = _line(run, name)
    model, _ = pretrain(
        run.triplets, config, train, batch=run.size.batch, out_dir=run.folder("tuning"),
        name=name.replace(" ", "_").replace(",", ""),
    )  # fmt: skip
    return model.embed(imu, at="encoder")


def _line(run: PrimusRun, name: str) -> tuple[PrimusConfig, TrainConfig]:
    train = replace(run.size.train, steps=STEPS, seed=run.size.train.seed + run.seed)
    return replace(run.config("PRIMUS", "ours"), **LINES[name]), train


def _made(run: PrimusRun, name: str) -> Identity:
    """What names a line's points."""
    if name == HANDCRAFTED:
        return run.made_handcrafted()
    if name == UNTRAINED:
        return run.made_untrained("ours", alone=True)
    config, train = _line(run, name)
    return trained_identity(train, pretraining_identity(run.triplets, config, run.size.batch))


def _row(run: PrimusRun, scores: Scores, name: str, minutes: float, command: str) -> LedgerRow:
    mean, spread = {}, {}

    def note(key: str, found) -> None:
        mean[key], spread[key] = round(found.mean, 3), round((found.high - found.low) / 2, 3)

    for n in SHOTS:
        note(point_key("macro_f1", n), scores.interval(name, Head.ENCODER, n))
        for other in (UNTRAINED, HANDCRAFTED):
            if name not in (other, HANDCRAFTED):
                found = scores.difference((name, Head.ENCODER), (other, Head.ENCODER), n)
                note(gain_key(other, n), found)
    return LedgerRow(
        id=name, question="What makes pretraining on simulated people help real ones (ClassyGlass 1A, tuning)?",
        command=command,
        config={
            "changes": LINES.get(name, {}), "steps": STEPS, "batch": run.size.batch,
            "participants": len(scores.participants), "draws": DRAWS,
            "spread": "half of the 95 % interval over participants and draws",
        },
        commit=git_commit(), data_hash=run.triplets.data_hash, seeds=(run.seed,), mean=mean, spread=spread,
        minutes=round(minutes, 2), device=device_name(),
    )  # fmt: skip
