"""The scenarios' heads beside real ones: statistics of the sub-activities that ClassyGlass 1A has too.

`python -m benchmarks --only scenarios` writes `results/scenarios.json`. Statistics, sensor and range are those of
`benchmarks.realism`; the real numbers are the published percentiles over 1A's twelve wearers, nothing else is read.
Here a sub-activity comes in stretches within a take, not as one recording: each stretch of ten seconds or more is
measured, and a wearer's statistics are those of the stretches together.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from benchmarks.head_statistics import STEP_RATE, statistics
from benchmarks.real_heads import RATE_HZ, published, real_folder
from benchmarks.realism import activity_row, ledger_row, single_axis
from benchmarks.simulated_heads import felt
from eailkit.results.ledger import LedgerRow, append_rows, device_name, git_commit, hash_files
from eailkit.scenarios.body import Segment
from eailkit.scenarios.take import simulate_scenario
from eailkit.synthkitchen.person import draw_person

BESIDE: dict[str, tuple[str, tuple[str, ...]]] = {  # 1A's activity -> scenario and the sub-activities nearest to it
    "walking": ("walking about", ("walking",)),
    "running": ("running", ("running", "jogging")),
    "stairs": ("stairs", ("climbing stairs", "descending stairs", "turning on the landing")),
    "sit_read_book": ("desk work", ("reading",)),
    "sit_write_notebook": ("desk work", ("writing",)),
    "computer_typing": ("desk work", ("typing",)),
    "computer_browsing": ("desk work", ("browsing",)),
}
ON_FEET = ("walking", "running", "stairs")
WEARERS, MINUTES, FIRST_SEED = 24, 6.0, 70_000
LEAST_S, EDGE_S = 10.0, 0.3  # shortest stretch; what is left off at both its ends
COMMAND = "EAILKIT_REAL_DATA=... python -m benchmarks --only scenarios"


def record(results: str | Path = "results", participants: int = WEARERS) -> None:
    """Simulate, compare and write table `scenarios`."""
    start, folder = time.monotonic(), real_folder()
    known, ours = published(folder), simulate_all(participants)
    shared = {
        "command": COMMAND, "commit": git_commit(), "seeds": (FIRST_SEED,), "device": device_name(),
        "data_hash": hash_files(folder, "realism_stats.json"),
    }  # fmt: skip
    rows = {a: single_axis(a, "in view", found, known[a], steps=a in ON_FEET) for a, found in ours.items()}
    share = 100.0 * float(np.mean([r["inside"] for found in rows.values() for r in found]))
    question = "How many statistics have their simulated median inside the real wearers' p10 to p90?"
    config = {"wearers simulated": participants, "minutes": MINUTES, "shortest stretch (s)": LEAST_S}
    ledger = [ledger_row("all", question, {"inside (%)": share}, config, shared)]
    for activity, found in rows.items():
        row = activity_row(found, shared)
        scenario, labels = BESIDE[activity]
        row["config"] |= {"scenario": scenario, "sub-activities": labels, "wearers": len(ours[activity])}
        ledger.append(row)
    minutes = round((time.monotonic() - start) / 60.0, 2)
    append_rows("scenarios", [LedgerRow(**row, minutes=minutes) for row in ledger], results_dir=results)


def simulate_all(participants: int) -> dict[str, list[dict[str, float]]]:
    """Statistics of each activity, one for each wearer whose take has a stretch of it long enough."""
    ours: dict[str, list[dict[str, float]]] = {activity: [] for activity in BESIDE}
    for scenario in dict.fromkeys(name for name, _ in BESIDE.values()):
        for seed in range(FIRST_SEED, FIRST_SEED + participants):
            for activity, found in participant(scenario, seed).items():
                ours[activity].append(found)
    return ours


def participant(scenario: str, seed: int) -> dict[str, dict[str, float]]:
    """One person's take of a scenario as 1A's sensor has it: statistics of each activity that it holds."""
    take = simulate_scenario(scenario, draw_person(seed), MINUTES, seed)
    acc, gyro = felt(take.motion, seed, 0.0, take.motion.duration_s)
    made = {}
    for activity, (name, labels) in BESIDE.items():
        parts = [slice(int(a * RATE_HZ), int(b * RATE_HZ)) for a, b in stretches(take.labels, labels)]
        if name == scenario and parts:
            found = [statistics(acc[p], gyro[p], RATE_HZ) for p in parts]
            made[activity] = together(found, [p.stop - p.start for p in parts])
    return made


def stretches(segments: tuple[Segment, ...], labels: tuple[str, ...]) -> list[tuple[float, float]]:
    """Starts and ends (s) of unbroken stretches of some sub-activities, those of LEAST_S or more, edges left off."""
    found: list[list[float]] = []
    for segment in segments:
        if segment.label not in labels:
            continue
        if found and segment.start_s - found[-1][1] < 1e-6:
            found[-1][1] = segment.end_s
        else:
            found.append([segment.start_s, segment.end_s])
    return [(a + EDGE_S, b - EDGE_S) for a, b in found if b - a - 2 * EDGE_S >= LEAST_S]


def together(found: list[dict[str, float]], weights: list[int]) -> dict[str, float]:
    """Statistics of several stretches as one's: powers and step rates averaged, deviations by their squares."""
    made = {}
    for name in found[0]:
        values = np.array([f[name] for f in found])
        plain = name.startswith("bp_") or name == STEP_RATE
        made[name] = float(
            np.average(values, weights=weights) if plain else np.sqrt(np.average(values**2, weights=weights))
        )
    return made
