"""Simulated against real head motion: statistics by activity, spectra, and how well a classifier tells them apart.

`python -m benchmarks --only realism` writes `results/realism.json` and `docs/realism.png`. The simulator was tuned
on the activities in TUNED and on single-axis statistics; those of HELD_OUT, and how axes move together, were not.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor

import numpy as np

from benchmarks.head_statistics import STEP_RATE, cross_axis, statistics
from benchmarks.real_heads import HeadRecording, classyglass, published, real_folder
from benchmarks.simulated_heads import ACTIVITIES, TUNED, large_room, simulate

WEARERS = 48


def compare(wearers: int = WEARERS) -> list[dict]:
    """One row for each activity and statistic: the simulated median beside the real p10, p50, p90."""
    folder = real_folder()
    known = published(folder)
    real: dict[str, list[HeadRecording]] = {activity: [] for activity in ACTIVITIES}
    for recording in classyglass(folder, set(ACTIVITIES)):
        real[recording.activity].append(recording)
    rows = []
    for activity, recordings in simulate_all(wearers).items():
        ours = [statistics(r.acc_mps2, r.gyro_radps, r.rate_hz) for r in recordings]
        kind = "tuned" if activity in TUNED else "held out"
        for name in ours[0]:
            if name == STEP_RATE and activity != "walking":
                continue  # a peak of the vertical spectrum is a step rate only in walking
            rows.append(_row(activity, name, kind, [o[name] for o in ours], known[activity][name]))
        mine = [cross_axis(r.acc_mps2, r.gyro_radps, r.rate_hz) for r in recordings]
        theirs = [cross_axis(r.acc_mps2, r.gyro_radps, r.rate_hz) for r in real[activity]]
        for name in mine[0] if activity in ("walking", "standing") else ():
            p10, p50, p90 = np.percentile([t[name] for t in theirs], [10, 50, 90])
            rows.append(
                _row(activity, name, "cross-axis", [m[name] for m in mine], {"p10": p10, "p50": p50, "p90": p90})
            )
    return rows


def simulate_all(wearers: int) -> dict[str, list[HeadRecording]]:
    """Recordings of every activity, over the machine's cores."""
    jobs = [(activity, wearer) for activity in ACTIVITIES for wearer in range(wearers)]
    with ProcessPoolExecutor() as pool:
        made = list(pool.map(_simulate, jobs, chunksize=8))
    return {activity: [m for m in made if m.activity == activity] for activity in ACTIVITIES}


def _simulate(job: tuple[str, int]) -> HeadRecording:
    global _ROOM
    if _ROOM is None:
        _ROOM = large_room()
    return simulate(*job, _ROOM)


_ROOM = None


def _row(activity: str, statistic: str, kind: str, simulated: list[float], real: dict[str, float]) -> dict:
    median = float(np.median(simulated))
    return {
        "activity": activity, "statistic": statistic, "kind": kind, "simulated_p50": median,
        "real_p10": float(real["p10"]), "real_p50": float(real["p50"]), "real_p90": float(real["p90"]),
        "inside": bool(real["p10"] <= median <= real["p90"]),
    }  # fmt: skip


def shares(rows: list[dict]) -> dict[str, float]:
    """Per cent of the rows inside the real range, by kind and in all (cross-axis rows counted apart)."""
    of = lambda chosen: 100.0 * float(np.mean([r["inside"] for r in chosen]))  # noqa: E731
    kinds = {kind: of([r for r in rows if r["kind"] == kind]) for kind in ("tuned", "held out", "cross-axis")}
    return {"all": of([r for r in rows if r["kind"] != "cross-axis"])} | kinds
