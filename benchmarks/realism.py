"""Simulated against real head motion: statistics by activity, spectra, and how well a classifier tells them apart.

`python -m benchmarks --only realism` writes `results/realism.json` and `docs/realism.png`. The simulator was tuned on
the activities in TUNED, on single-axis statistics and on what gave it away to the classifier. The activities in
HELD_OUT were in view while general constants were set; how axes move together was left as it came out.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from benchmarks.head_statistics import STEP_RATE, cross_axis, spectrum, statistics
from benchmarks.real_heads import HeadRecording, aria_walk, classyglass, published, real_folder
from benchmarks.realism_figure import draw
from benchmarks.simulated_heads import ACTIVITIES, TUNED, aria_like_walk, large_room, resting_noise, simulate
from benchmarks.tell_apart import tell_apart
from eailkit.results.ledger import LedgerRow, append_rows, device_name, git_commit, hash_files

WEARERS = 48
COMMAND = "EAILKIT_REAL_DATA=... python -m benchmarks --only realism"
CROSS = ("walking", "standing")


def record(
    results: str | Path = "results", picture: str | Path = "docs/realism.png", participants: int = WEARERS
) -> None:
    """Compare, write table `realism` and draw the spectra."""
    start, folder = time.monotonic(), real_folder()
    real = {activity: [] for activity in ACTIVITIES}
    for recording in classyglass(folder, set(ACTIVITIES)):
        real[recording.activity].append(recording)
    simulated = simulate_all(participants)
    rows = compare(real, simulated, published(folder))
    shared = {
        "command": COMMAND, "commit": git_commit(), "seeds": (70_000,), "device": device_name(),
        "data_hash": hash_files(folder, "realism_stats.json"),
    }  # fmt: skip
    ledger = _share_rows(rows, shared) + _classifier_rows(real, simulated, shared)
    ledger += [_aria_row(folder, shared), _noise_row(shared)]
    minutes = round((time.monotonic() - start) / 60.0, 2)
    append_rows("realism", [LedgerRow(**row, minutes=minutes) for row in ledger], results_dir=results)
    draw(real, simulated, picture)


def simulate_all(participants: int) -> dict[str, list[HeadRecording]]:
    """Recordings of every activity, over the machine's cores."""
    jobs = [(activity, participant) for activity in ACTIVITIES for participant in range(participants)]
    with ProcessPoolExecutor(initializer=_open_room) as pool:
        made = list(pool.map(_simulate, jobs, chunksize=8))
    return {activity: [m for m in made if m.activity == activity] for activity in ACTIVITIES}


def _open_room() -> None:
    global _ROOM
    _ROOM = large_room()


def _simulate(job: tuple[str, int]) -> HeadRecording:
    return simulate(*job, _ROOM)


def compare(
    real: dict[str, list[HeadRecording]], simulated: dict[str, list[HeadRecording]], known: dict[str, dict]
) -> list[dict]:
    """One row for each activity and statistic: the simulated median beside the real p10, p50, p90.

    Args:
        known: the published percentiles, see `published`; those of how axes move together are taken from `real`.
    """
    rows = []
    for activity, recordings in simulated.items():
        ours = [statistics(r.acc_mps2, r.gyro_radps, r.rate_hz) for r in recordings]
        kind = "tuned" if activity in TUNED else "held out"
        rows += single_axis(activity, kind, ours, known[activity], steps=activity == "walking")
        if activity in CROSS:
            mine, theirs = (
                [cross_axis(r.acc_mps2, r.gyro_radps, r.rate_hz) for r in found]
                for found in (recordings, real[activity])
            )
            for name in mine[0]:
                between = np.percentile([t[name] for t in theirs], [10, 50, 90])
                ranges = dict(zip(("p10", "p50", "p90"), between, strict=True))
                rows.append(_row(activity, name, "cross-axis", [m[name] for m in mine], ranges))
    return rows


def single_axis(
    activity: str, kind: str, ours: list[dict[str, float]], known: dict[str, dict[str, float]], *, steps: bool
) -> list[dict]:
    """One row for each of `head_statistics.statistics`: the median of the simulated wearers beside the real ones.

    Args:
        ours: the statistics of each simulated wearer; known: p10, p50 and p90 of the real ones.
        steps: whether the peak of the vertical spectrum is a step rate; without steps it is left out.
    """
    names = [name for name in ours[0] if steps or name != STEP_RATE]
    return [_row(activity, name, kind, [o[name] for o in ours], known[name]) for name in names]


def _row(activity: str, statistic: str, kind: str, simulated: Sequence[float], real: dict[str, float]) -> dict:
    median = float(np.median(simulated))
    return {
        "activity": activity, "statistic": statistic, "kind": kind, "simulated_p50": median,
        "real_p10": float(real["p10"]), "real_p50": float(real["p50"]), "real_p90": float(real["p90"]),
        "inside": bool(real["p10"] <= median <= real["p90"]),
    }  # fmt: skip


def shares(rows: list[dict]) -> dict[str, float]:
    """Per cent of the rows inside the real range: all single-axis ones, and by kind."""
    of = lambda chosen: 100.0 * float(np.mean([r["inside"] for r in chosen]))  # noqa: E731
    kinds = {kind: of([r for r in rows if r["kind"] == kind]) for kind in ("tuned", "held out", "cross-axis")}
    return {"all": of([r for r in rows if r["kind"] != "cross-axis"])} | kinds


def _share_rows(rows: list[dict], shared: dict) -> list[dict]:
    made = []
    for kind, share in shares(rows).items():
        question = f"How many statistics ({kind}) have their simulated median inside the real wearers' p10 to p90?"
        made.append(ledger_row(kind, question, {"inside (%)": share}, {"wearers simulated": WEARERS}, shared))
    return made + [activity_row([r for r in rows if r["activity"] == activity], shared) for activity in ACTIVITIES]


def activity_row(rows: list[dict], shared: dict) -> dict:
    """The ledger's row of one activity: share inside, what is outside, and every number behind it."""
    table = {
        r["statistic"]: {k: float(f"{r[k]:.4g}") for k in ("simulated_p50", "real_p10", "real_p50", "real_p90")}
        for r in rows
    }
    config = {
        "kind": rows[0]["kind"], "outside": [r["statistic"] for r in rows if not r["inside"]], "statistics": table,
    }  # fmt: skip
    share = 100.0 * float(np.mean([r["inside"] for r in rows]))
    name = rows[0]["activity"]
    return ledger_row(name, f"How like real '{name}' is it?", {"inside (%)": share}, config, shared)


def _classifier_rows(real: dict, simulated: dict, shared: dict) -> list[dict]:
    made = []
    for activity in ("standing", "walking"):
        found = tell_apart(real[activity], simulated[activity])
        config = {k: found[k] for k in ("gives_away", "windows")} | {"folds": "4, over wearers", "window_s": 5}
        mean = {f"AUC, {name}": value for name, value in found["auc"].items()}
        made.append(
            ledger_row(f"classifier | {activity}", f"Can '{activity}' be told from real?", mean, config, shared)
        )
    return made


def _aria_row(folder: Path, shared: dict) -> dict:
    """Bands from 16 Hz to 128 Hz beside the one walk that was recorded at 1 kHz; one wearer gives no range."""
    real, ours = aria_walk(folder), [aria_like_walk(k) for k in range(12)]
    mean, config = {}, {}
    for name in ("acc_mps2", "gyro_radps"):
        for low, high in ((16.0, 32.0), (32.0, 64.0), (64.0, 128.0)):
            powers = [_power(getattr(r, name), r.rate_hz, low, high) for r in (real, *ours)]
            p10, p50, p90 = np.percentile(powers[1:], [10, 50, 90])
            label = f"{name.split('_')[0]} {low:g}-{high:g} Hz"
            mean[f"{label}, simulated / real"] = float(p50 / powers[0])
            config[label] = [float(f"{v:.3g}") for v in (powers[0], p10, p50, p90)]
    config = {"real, simulated p10, p50, p90": config}
    return ledger_row("Aria walk, 16-128 Hz", "How like the real walk are the high frequencies?", mean, config, shared)


def _power(values: np.ndarray, rate_hz: float, low: float, high: float) -> float:
    frequency, density = spectrum(np.linalg.norm(values, axis=1), rate_hz, 4.0)
    return float(density[(frequency >= low) & (frequency < high)].sum() * frequency[1])


def _noise_row(shared: dict) -> dict:
    found = resting_noise()
    mean = {f"{k}, simulated / documented": v["simulated"] / v["documented"] for k, v in found.items()}
    question = "Is the noise floor of a resting sensor the documented one?"
    return ledger_row("noise floor at rest", question, mean, found, shared)


def ledger_row(row: str, question: str, mean: dict, config: dict, shared: dict) -> dict:
    """What a `LedgerRow` is made of; `shared` has what all rows of a table have."""
    mean = {name: round(float(value), 3) for name, value in mean.items()}
    return {
        "id": row,
        "question": question,
        "config": config,
        "mean": mean,
        "spread": dict.fromkeys(mean, 0.0),
    } | shared
