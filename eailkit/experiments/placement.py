"""Trained on one temple, worn elsewhere: how well each encoder carries over to other places on the same head.

PRIMUS doesn't ask it: its headsets sit in one place. A classifier of left-temple windows is tested on those of
`places`, on people whom it hasn't seen.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from eailkit.baselines.handcrafted import handcrafted_features
from eailkit.experiments.places import PLACES, Place, windows_at
from eailkit.experiments.primus_curves import Line
from eailkit.experiments.primus_run import PrimusRun
from eailkit.fewshot import protocol
from eailkit.fewshot.probe import Probe, fit_probe
from eailkit.fewshot.protocol import SEEDS, SHOTS, Scores, Task
from eailkit.fewshot.windows import ActivityWindows, load_windows, save_windows
from eailkit.metrics import Interval
from eailkit.preprocess.windows import LENGTH_S
from eailkit.provenance import Identity, content_digest, fingerprint, identity
from eailkit.results.ledger import RESULTS_DIR, LedgerRow, append_rows, device_name, git_commit
from eailkit.results.names import HANDCRAFTED, TEST_SETS, TRAINED, UNTRAINED, gain_key, point_key, row_id
from eailkit.scenarios.dataset import code_hash
from eailkit.synthkitchen.version import parameter_hash

TURNED = "PRIMUS, rotations"  # the paper's recipe and random rotations
QUESTION = "How well does an encoder trained on one temple carry over to other places on the head?"


def carry_over(
    task: Task,
    features: Mapping[str, Float[np.ndarray, "n d"]],
    method: str,
    scores: Scores,
    *,
    trained: str = TRAINED,
    shots: Sequence[int] = SHOTS,
    seeds: int = SEEDS,
) -> None:
    """Train a probe on the windows of one place and test it at each; people of training and test differ.

    Args:
        task: labels, participants and folds; the same at every place.
        features: place -> features of the task's windows.
        scores: where confusions are added, the place as the variant; points that it has are skipped.
        trained: the place to train at.
    """
    fitted: dict[bytes, Probe] = {}

    def probe(rows: np.ndarray) -> Probe:
        if (key := rows.tobytes()) not in fitted:
            fitted[key] = fit_probe(features[trained][rows], task.label[rows], len(task.classes))
        return fitted[key]

    for place, x in features.items():
        protocol.run(
            task, lambda rows, tested, seed, x=x: probe(rows).predict(x[tested]), method, scores, variant=place,
            shots=shots, seeds=seeds,
        )  # fmt: skip


def record_placement(
    run: PrimusRun,
    *,
    encoders: Sequence[str] = ("paper", "ours"),
    places: Mapping[str, Place] | None = None,
    results_dir: Path | str = RESULTS_DIR,
    command: str = "",
    commit: str = "",
) -> Path:
    """Simulate, train, score and record `results/primus_placement_<profile>.json`: a row a method and place.

    Methods: PRIMUS, PRIMUS with random rotations among its augmentations, PRIMUS on our encoder, random weights, and
    handcrafted features. Each row has macro-F1, accuracy, and what is lost against the place of training, paired.

    Args:
        run: its "other labels" test set is used, its encoders are trained where they aren't there yet.
        encoders: "paper", "ours" or both.
        places: to test at besides the left temple. Default: all of `PLACES`.

    Returns:
        the table's path.
    """
    began, size = time.monotonic(), run.size
    test = run.test_sets[TEST_SETS[1]]
    wanted = {n: p for n, p in (PLACES if places is None else places).items() if n != TRAINED}
    at = {TRAINED: test.windows, **_kept(run, test.windows, wanted)}
    tested = identity("placement", code=(windows_at, carry_over), test=test.identity, places=wanted)
    path = run.folder("scores") / f"placement.{tested.key}.npz"
    scores = Scores.load(path) if path.is_file() else Scores.of(test.windows)
    shots = test.task.possible(size.ablation_shots)
    for name, (embed, made) in _methods(run, encoders).items():
        scores.begin(name, made)
        done = [scores.has(name, p, n, s) for p in at for n in shots for s in range(size.seeds)]
        if not all(done):
            encode = embed()
            features = {place: encode(windows.imu) for place, windows in at.items()}
            carry_over(test.task, features, name, scores, shots=shots, seeds=size.seeds)
            scores.save(path)
    minutes = (time.monotonic() - began) / 60
    about = {"command": command or "eailkit reproduce primus-placement", "commit": commit or git_commit()}
    names = list(_methods(run, encoders))
    rows = [_row(run, scores, name, place, shots, about, minutes) for name in names for place in at]
    return append_rows(f"primus_placement_{run.profile}", rows, results_dir=results_dir)


def _kept(run: PrimusRun, windows: ActivityWindows, places: Mapping[str, Place]) -> dict[str, ActivityWindows]:
    """Windows at each place, simulated once; a file a place, its geometry and what it was simulated from."""
    folder, found = run.folder("windows"), {}
    files = {}
    for name, place in places.items():
        of = {
            "place": place,
            "data": fingerprint(run.held_out),
            "rows": content_digest(windows.recording, windows.start_s),
        }
        made = identity("windows", code=("eailkit.experiments.places",), simulator=parameter_hash(code_hash()), **of)
        files[name] = folder / f"held_out-{name.replace(' ', '_')}.{made.key}.npz"
    missing = {n: p for n, p in places.items() if not files[n].is_file()}
    if missing:
        for name, made in windows_at(run.held_out, windows, missing).items():
            save_windows(made, files[name])
    for name in places:
        found[name] = load_windows(files[name])
    return found


def _methods(run: PrimusRun, encoders: Sequence[str]) -> dict[str, tuple[Callable, Identity]]:
    """Name -> a function that gives an encoder of windows, trained only when it is called, and what names it."""

    def pretrained(encoder: str, **changes):
        load = lambda: functools.partial(run.pretrained("PRIMUS", encoder, **changes).embed, at="encoder")  # noqa: E731
        return load, run.made("PRIMUS", encoder, **changes)

    def untrained(encoder: str):
        return lambda: functools.partial(run.untrained(encoder).embed, at="encoder"), run.made_untrained(encoder)

    methods = {}
    if "paper" in encoders:
        methods |= {"PRIMUS": pretrained("paper"), TURNED: pretrained("paper", recipe="turned")}
    if "ours" in encoders:
        methods[Line("PRIMUS", "ours").name] = pretrained("ours")
    methods |= {Line(UNTRAINED, e).name: untrained(e) for e in encoders}
    return methods | {HANDCRAFTED: (lambda: handcrafted_features, run.made_handcrafted())}


def _row(
    run: PrimusRun,
    scores: Scores,
    name: str,
    place: str,
    shots: Sequence[int],
    about: Mapping[str, str],
    minutes: float,
) -> LedgerRow:
    mean, spread = {}, {}

    def note(key: str, found: Interval) -> None:
        mean[key], spread[key] = round(found.mean, 3), round((found.high - found.low) / 2, 3)

    for n in shots:
        for metric in ("macro_f1", "accuracy"):
            note(point_key(metric, n), scores.interval(name, place, n, metric))
    if place != TRAINED:
        note(gain_key(TRAINED), scores.mean_difference((name, place), (name, TRAINED), shots))
    if name == TURNED:
        gain = scores.mean_difference((name, place), ("PRIMUS", place), shots)
        note(gain_key("PRIMUS"), gain)
    return LedgerRow(
        id=row_id(name, place), question=QUESTION, command=about["command"],
        config={
            "method": name, "place": place, "trained at": TRAINED, "profile": run.profile, "test": scores.name,
            "classes": len(scores.classes), "participants": len(scores.participants), "draws": run.size.seeds,
            "steps": run.size.train.steps, "window_s": LENGTH_S,
            "spread": "half of the 95 % interval over participants and draws",
        },
        commit=about["commit"], data_hash=run.triplets.data_hash, seeds=(run.seed,), mean=mean, spread=spread,
        minutes=round(minutes, 2), device=device_name(),
    )  # fmt: skip
