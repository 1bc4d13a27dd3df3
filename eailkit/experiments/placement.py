"""Trained on one temple, worn elsewhere: how well each encoder carries over to other places on the same head.

PRIMUS doesn't ask it: its headsets sit in one place. The held-out scenarios are simulated again with the same people,
motion, device and seed, and the sensor at the other temple, on the forehead and in the ear; only lever arm and mounting
differ. A classifier of left-temple windows is tested there, on people whom it hasn't seen. It doesn't simulate glasses
that slip or an earbud that rattles: the head is rigid.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from eailkit.baselines.handcrafted import handcrafted_features
from eailkit.datasets import EgoExo4D
from eailkit.errors import DatasetError
from eailkit.experiments.primus_curves import UNTRAINED, Line
from eailkit.experiments.primus_run import HANDCRAFTED, PrimusRun
from eailkit.fewshot.files import load_windows, save_windows
from eailkit.fewshot.probe import Probe, fit_probe
from eailkit.fewshot.protocol import SEEDS, SHOTS, Scores, Task
from eailkit.fewshot.protocol import run as run_points
from eailkit.fewshot.windows import LENGTH_S, RATE_HZ, ActivityWindows
from eailkit.metrics import Interval
from eailkit.preprocess.imu import resample
from eailkit.provenance import Identity, content_digest, fingerprint, identity
from eailkit.recording import ImuStream
from eailkit.results.ledger import RESULTS_DIR, LedgerRow, append_rows, device_name, git_commit
from eailkit.scenarios.dataset import code_hash, scenario_of
from eailkit.scenarios.take import simulate_scenario
from eailkit.synthkitchen.folder import SIDECAR
from eailkit.synthkitchen.person import draw_person
from eailkit.synthkitchen.posture import DEVICE_FROM_NECK_M
from eailkit.synthkitchen.sensor import ARIA_LEFT, simulate_imu
from eailkit.synthkitchen.splits import TakeJob
from eailkit.synthkitchen.version import parameter_hash

TRAINED = "left temple"
TURNED = "PRIMUS, rotations"  # the paper's recipe and random rotations
QUESTION = "How well does an encoder trained on one temple carry over to other places on the head?"
SIDE_M = DEVICE_FROM_NECK_M[1]  # the glasses' origin is this far left of the head's middle


@dataclass(frozen=True)
class Place:
    """Where a sensor sits: its position from the glasses' origin (m, head axes) and its axes in head axes."""

    lever_arm_head_m: tuple[float, float, float]
    R_head_sensor: Float[np.ndarray, "3 3"]


def _columns(*axes: Sequence[float]) -> np.ndarray:
    return np.array(axes, float).T


def _mirrored(place: Place) -> Place:
    """The same board on the other side of the head; one axis is turned round, since a mirror image is no rotation."""
    x, y, z = place.lever_arm_head_m
    mirror, flip = np.diag([1.0, -1.0, 1.0]), np.diag([-1.0, 1.0, 1.0])
    return Place((x, -2 * SIDE_M - y, z), mirror @ place.R_head_sensor @ flip)


_LEFT = Place(ARIA_LEFT.lever_arm_head_m, ARIA_LEFT.R_head_sensor)
PLACES: dict[str, Place] = {  # x forward, y left, z up of the glasses' origin at the left temple
    TRAINED: _LEFT,
    "right temple": _mirrored(_LEFT),
    # flat on the skin: x right, y up, z into the head, leaned back by 15 degrees
    "forehead": Place(
        (0.02, -SIDE_M, 0.05),
        Rotation.from_euler("y", -15, degrees=True).as_matrix() @ _columns((0, -1, 0), (0, 0, 1), (-1, 0, 0)),
    ),
    # an earbud on the left: 9 cm behind the temple, y out along the ear canal, the stem ahead and down
    "ear": Place((-0.09, 0.015, -0.02), Rotation.from_euler("zyx", [-20, 50, 10], degrees=True).as_matrix()),
}


def windows_at(root: str | Path, windows: ActivityWindows, places: Mapping[str, Place]) -> dict[str, ActivityWindows]:
    """The same rows as the sensor would have recorded them at other places.

    Args:
        root: scenarios on disk, from which `windows` were cut (times on the device clock).
        places: name -> place.

    Raises:
        DatasetError: a recording of the windows isn't a simulated scenario of that root.
    """
    dataset = EgoExo4D(Path(root))
    found = {name: np.empty_like(windows.imu) for name in places}
    for recording in dict.fromkeys(windows.recording.tolist()):
        path = Path(root) / "takes" / recording / SIDECAR
        try:
            job = TakeJob(**json.loads(path.read_text(encoding="utf-8"))["job"])
            take = simulate_scenario(
                scenario_of(job), draw_person(job.person_seed), job.minutes, job.seed, take_name=job.name,
                device_seed=job.device_seed,
            )  # fmt: skip
        except (OSError, ValueError, KeyError, TypeError) as fault:
            raise DatasetError(
                f"{path}: can't be simulated again ({str(fault)[:100]}); expected a scenario of `eailkit synth "
                "--scenarios`; only simulated takes have their motion."
            ) from fault
        rows = np.flatnonzero(windows.recording == recording)
        start_s = dataset.start_s(recording)
        for name, place in places.items():
            sensor = replace(
                ARIA_LEFT, label=name, lever_arm_head_m=place.lever_arm_head_m, R_head_sensor=place.R_head_sensor
            )
            stream = simulate_imu(take.motion, sensor, job.seed, device=take.device)
            found[name][rows] = _cut(stream, start_s, windows.start_s[rows], windows.imu.shape[2])
    return {name: replace(windows, imu=imu, name=f"{windows.name}, {name}") for name, imu in found.items()}


def _cut(stream: ImuStream, origin_s: float, start_s: np.ndarray, length: int) -> Float[np.ndarray, "n 6 length"]:
    even = resample(stream, RATE_HZ, start_s=origin_s)
    first = np.round((start_s - even.t_s[0]) * RATE_HZ).astype(int)
    samples = np.concatenate([even.acc_mps2, even.gyro_radps], axis=1)
    return samples[first[:, None] + np.arange(length)].transpose(0, 2, 1).astype(np.float32)


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
        scores: where confusions are added, the place as the head; points that it has are skipped.
        trained: the place to train at.
    """
    fitted: dict[bytes, Probe] = {}

    def probe(rows: np.ndarray) -> Probe:
        if (key := rows.tobytes()) not in fitted:
            fitted[key] = fit_probe(features[trained][rows], task.label[rows], len(task.classes))
        return fitted[key]

    for place, x in features.items():
        run_points(
            task, lambda rows, tested, seed, x=x: probe(rows).predict(x[tested]), method, scores, head=place,
            shots=shots, seeds=seeds,
        )  # fmt: skip


def placement(
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
    test = run.test_sets["other labels"]
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
        made = identity("windows", code=(windows_at, _cut), simulator=parameter_hash(code_hash()), **of)
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
            note(f"{metric}@{n}, %", scores.interval(name, place, n, metric))
    if place != TRAINED:
        note("against left temple, points of macro_f1", scores.mean_difference((name, place), (name, TRAINED), shots))
    if name == TURNED:
        gain = scores.mean_difference((name, place), ("PRIMUS", place), shots)
        note("against PRIMUS, points of macro_f1", gain)
    return LedgerRow(
        id=f"{name} | {place}", question=QUESTION, command=about["command"],
        config={
            "method": name, "place": place, "trained at": TRAINED, "profile": run.profile, "test": scores.name,
            "classes": len(scores.classes), "participants": len(scores.participants), "draws": run.size.seeds,
            "steps": run.size.train.steps, "window_s": LENGTH_S,
            "spread": "half of the 95 % interval over participants and draws",
        },
        commit=about["commit"], data_hash=run.triplets.data_hash, seeds=(run.seed,), mean=mean, spread=spread,
        minutes=round(minutes, 2), device=device_name(),
    )  # fmt: skip
