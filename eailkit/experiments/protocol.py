"""What the paper's numbers may owe to its protocol: four switches, each alone and all together, against ours.

EAIL says "following RoNIN" and no more of what a method is told at inference. Four things could be: (a) the heading, as
RoNIN's public loader tells it; (b) trainings in which no window is yawed and no cloud turned alone, so that features
hold a heading; (c) a square drawn around trajectories; (d) the take's own cloud. Ours, "inferred", is told none but
trains by (b), without which (a) has nothing to act on. Whatever uses ground truth says so in its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from eailkit.eail.evaluation import Table, verdict
from eailkit.eail.protocol_reading import protocol_reading
from eailkit.eail.squares import Placed
from eailkit.experiments.eail_run import Run
from eailkit.experiments.protocol_parts import BASE, CHANCE_ON, LINES, SPLITS, TRUTH, Line, Maps, Parts
from eailkit.metrics import THRESHOLDS_M, Interval
from eailkit.profiles import Profile, get_profile
from eailkit.results import paper
from eailkit.results.ledger import RESULTS_DIR, LedgerRow, append_rows, device_name, git_commit, read
from eailkit.results.names import row_id

REACHES = tuple(f"SR@{d}m" for d in THRESHOLDS_M)
SHOWN = (*REACHES, "RS", "top1")
INTERVAL = "interval, 95 %, over rooms, people and seeds"
AGAINST = f"against {BASE}, points"
PROBE_GOAL, PROBE_BEFORE = 0.4, 0.01  # R^2 of direction: asked for, and that of features which held none


def plan(profile: Profile, seeds: Sequence[int]) -> str:
    """What a recording makes, in words: what is trained once a seed, and the lines that read it."""
    methods = [line for line in LINES if line.heading != "chance"]
    first = {line.heading == "free" for line in methods}
    second = {(line.heading == "free", line.squares) for line in methods}
    twelve = sum(line.heading == "inferred" for line in methods)
    names = [f"  {line.name}: " + "; ".join(f"({k}) {v}" for k, v in line.switches.items()) for line in methods]
    return "\n".join([
        f"protocol at {profile.name}, seeds {', '.join(map(str, seeds))}. Each seed trains {len(first)} stages 1 "
        f"({profile.stage1.steps} steps) and {len(second)} stages 2 ({profile.stage2.steps} steps) and scores "
        f"{len(methods)} lines, {twelve} of them under twelve headings:",
        *names,
    ])  # fmt: skip


def record_protocol(
    out: str | Path,
    profile: str,
    seeds: Sequence[int] = (),
    *,
    results_dir: str | Path = RESULTS_DIR,
    command: str = "eailkit reproduce protocol",
) -> Path:
    """Train and score every line under every seed, and write table `protocol_<profile>`; what is there is found again.

    Args:
        out: folder of data and weights; the directed stage 1 and its stage 2 are those of `localization` there.
        seeds: the profile's where none is given.

    Returns:
        the table's path.
    """
    seeds = tuple(seeds) or get_profile(profile).seeds
    print(plan(get_profile(profile), seeds))
    maps, scores, probes, minutes = None, [], [], {line.name: {} for line in LINES}
    for seed in seeds:
        run = Run(out, profile, seed=seed)
        maps = maps or Maps(run)
        run.prepared = maps.prepared
        parts = Parts(run, maps)
        for line in LINES:
            scores.append(parts.scores(line))
            for name, spent in parts.minutes_of(line).items():
                minutes[line.name][name] = minutes[line.name].get(name, 0.0) + spent
            told = ", ".join(f"{name} {spent:.1f}" for name, spent in parts.minutes_of(line).items())
            print(f"seed {seed}, {line.name}, minutes: {told}", flush=True)
        probes.append(parts.probes())
        print(f"seed {seed}: {sum(parts.minutes.values()):.1f} minutes, each thing counted once", flush=True)
    common = {
        "command": command, "commit": git_commit(), "data_hash": maps.prepared.data_hash, "seeds": seeds,
        "device": device_name(),
    }  # fmt: skip
    table = Table(maps.prepared, SPLITS, pd.concat(scores, ignore_index=True))
    rows = line_rows(table, maps, minutes, common) + probe_rows(probes, common)
    path = append_rows(f"protocol_{profile}", rows, results_dir=results_dir)
    print(recorded_reading(profile, results_dir=results_dir))
    return path


def line_rows(table: Table, maps: Maps, minutes: dict[str, dict[str, float]], common: dict) -> list[LedgerRow]:
    """A row a split and line: means with intervals over rooms, people and seeds, and differences from `BASE`."""
    rows = []
    for split in table.splits:
        for line in LINES:
            found = {m: v for m in SHOWN if (v := table.interval(line.name, split, m)) is not None}
            if not found:
                continue
            config = {
                "switches": line.switches, "note": line.note, "spread": "half of the interval's width",
                INTERVAL: {m: _numbers(v) for m, v in found.items()},
                AGAINST: _against_base(table, line.name, split, found),
                "minutes": {name: round(spent, 2) for name, spent in minutes[line.name].items()},
            } | _ground(table, maps, line, split)  # fmt: skip
            rows.append(LedgerRow(
                id=row_id(split, line.name), config=config,
                question=f"How well does EAIL do on {split} under the protocol '{line.name}'?",
                mean={m: round(v.mean, 2) for m, v in found.items()},
                spread={m: round((v.high - v.low) / 2, 2) for m, v in found.items()},
                minutes=round(sum(minutes[line.name].values()), 2), **common,
            ))  # fmt: skip
    return rows


def _against_base(table: Table, name: str, split: str, found: dict[str, Interval]) -> dict:
    if name == BASE:
        return {}
    gains = {m: table.difference(name, BASE, split, m) for m in found}
    return {m: _numbers(v) | {"verdict": verdict(v)} for m, v in gains.items()}


def _numbers(v: Interval) -> dict[str, float]:
    return {"mean": round(v.mean, 3), "low": round(v.low, 3), "high": round(v.high, 3)}


def _ground(table: Table, maps: Maps, line: Line, split: str) -> dict:
    """Of a line's squares on a split: sides, pitches, and the seconds that lie off them and aren't scored."""
    prepared = maps.on(line.squares, line.clouds)
    takes = prepared.by_split(split)
    sides = np.array([prepared.rooms[t.room].grid.side_m for t in takes])
    pitch = np.array([prepared.rooms[t.room].grid.pitch_m for t in takes])
    rows = table.scores[(table.scores.method == line.name) & (table.scores.split == split)]
    off, all_ = rows.outside.sum(), (rows.outside + rows.micro_n).sum()
    plain = maps.on(line.squares, "scan")
    fallen = plain.fallen_back if isinstance(plain, Placed) and line.squares != "scan" else []
    return {
        "side_m, mean over takes": round(float(sides.mean()), 3), "side_m, range": [round(float(f(sides)), 3) for f in
                                                                                    (np.min, np.max)],
        "pitch_m, mean over takes": round(float(pitch.mean()), 4), "takes": len(takes),
        "seconds off the square, not scored, %": round(float(100 * off / max(all_, 1)), 2),
        "takes on the map's own square for want of another": sum(t.name in fallen for t in takes),
    }  # fmt: skip


def probe_rows(probes: list[dict[str, dict[str, float]]], common: dict) -> list[LedgerRow]:
    """A row a probe: mean and standard deviation over seeds."""
    rows = []
    for name in probes[0]:
        values = {m: [p[name][m] for p in probes] for m in probes[0][name]}
        rows.append(LedgerRow(
            id=row_id("probe", name),
            question=f"How much of the velocity on the map does a linear probe read in {name}?",
            config={
                "fitted on": "train", "scored on": "val-seen and val-unseen", "spread": "standard deviation over seeds",
                "goal, R2 of direction with the heading known": PROBE_GOAL,
                "before, R2 of direction": PROBE_BEFORE,
            },
            mean={m: round(float(np.mean(v)), 4) for m, v in values.items()},
            spread={m: round(float(np.std(v)), 4) for m, v in values.items()}, minutes=0.0, **common,
        ))  # fmt: skip
    return rows


def recorded_reading(profile: str = "quick", *, results_dir: str | Path = RESULTS_DIR) -> str:
    """What a recorded table says of the paper's numbers (`eail.readings.protocol_reading`), "" where there is none."""
    rows = {row["id"]: row for row in read(f"protocol_{profile}", results_dir=results_dir)}
    success, gains, chance = {}, {}, {}
    for split in SPLITS:
        for line in LINES:
            row = rows.get(row_id(split, line.name))
            if row is None or line.heading == "chance":
                continue
            intervals = row["config"][INTERVAL]
            against = row["config"][AGAINST]
            read_back = lambda found: {m: Interval(*(found[m][k] for k in ("mean", "low", "high"))) for m in REACHES}  # noqa: E731
            success.setdefault(split, {})[line.name] = read_back(intervals)
            if against:
                gains.setdefault(split, {})[line.name] = read_back(against)
            by_luck = rows[row_id(split, CHANCE_ON[line.squares])]["mean"]
            chance.setdefault(split, {})[line.name] = {m: by_luck[m] for m in REACHES}
    if not success:
        return ""
    theirs = {split: {m: paper.value(1, "EAIL", split, m) for m in REACHES} for split in success}
    said = protocol_reading(success, gains, theirs, chance, base=BASE)
    probed = rows.get(row_id("probe", f"F^M, heading known ({TRUTH})"))
    return said if probed is None else f"{said}\n{_probe_sentence(probed['mean']['R2 of direction'])}"


def recorded_lines(profile: str = "quick", *, results_dir: str | Path = RESULTS_DIR) -> pd.DataFrame:
    """A recorded table to look at: a row a line, success at 0.4 m and what the line brings on each split, percent."""
    rows = {row["id"]: row for row in read(f"protocol_{profile}", results_dir=results_dir)}
    shown = {}
    for split in SPLITS:
        for line in LINES:
            if (row := rows.get(row_id(split, line.name))) is None:
                continue
            gain = row["config"][AGAINST].get("SR@0.4m")
            shown.setdefault(line.name, {})[f"{split}: SR@0.4m"] = _told(row["config"][INTERVAL]["SR@0.4m"])
            shown[line.name][f"{split}: against {BASE}"] = _told(gain) if gain else ""
    return pd.DataFrame(shown).T


def _told(found: dict[str, float]) -> str:
    return str(Interval(found["mean"], found["low"], found["high"]))


def _probe_sentence(direction: float) -> str:
    held = "hold" if direction >= PROBE_GOAL else "don't hold"
    return (
        f"Features {held} the heading that they are told: a linear probe reads velocity's direction with R2 "
        f"{direction:.2f} (goal {PROBE_GOAL}, {PROBE_BEFORE} before)."
    )
