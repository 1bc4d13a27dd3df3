"""Does an answer hang on the draw of a map's points? Every test take again, on maps that should be the same map.

The features of a cell must be a property of the map: another order or sampling of its points, a few points less, a
millimetre of noise or twice the density may not move the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from eailkit.eail.decision import most_mass
from eailkit.eail.features import embed_cells
from eailkit.eail.headings import heading_maps, heading_posterior
from eailkit.eail.prepared import RoomCache
from eailkit.eail.sequences import heading_angles
from eailkit.eail.stage1 import Stage1
from eailkit.eail.tracker import Observations
from eailkit.eail.velocity import gravity_velocity
from eailkit.experiments.eail_run import Run
from eailkit.experiments.methods import FULL, TRACKED, Methods
from eailkit.metrics import successes
from eailkit.preprocess.mapgrid import LocalClouds, local_clouds
from eailkit.profiles import get_profile
from eailkit.results.ledger import RESULTS_DIR, LedgerRow, append_rows, device_name, git_commit
from eailkit.results.names import row_id

DUPLICATE_STD_M = 0.005  # noise of the second copy of each point where a map gets twice its density
MOVED_M = 0.2

CHANGES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "another sampling seed": lambda p, rng: p,
    "2 % of points dropped": lambda p, rng: p[rng.random(len(p)) > 0.02],
    "1 mm of noise": lambda p, rng: p + rng.normal(0, 0.001, p.shape),
    "another order": lambda p, rng: rng.permutation(p),
    "twice the density": lambda p, rng: np.concatenate([p, p + rng.normal(0, DUPLICATE_STD_M, p.shape)]),
}


def changed_clouds(room: RoomCache, change: str, *, seed: int = 1) -> LocalClouds:
    """The local clouds of a room whose scan was changed as `CHANGES` says, on the same square."""
    points = CHANGES[change](np.asarray(room.scan, float), np.random.default_rng(seed))
    sampling = seed if change == "another sampling seed" else 0
    return local_clouds(points, room.grid, points_per_cell=room.points.shape[1], seed=sampling)


def stability(
    methods: Methods, stage1: Stage1, takes: Sequence, changes: Sequence[str] = tuple(CHANGES)
) -> pd.DataFrame:
    """How far answers move: one row a (take, change, method).

    Columns: take, split, change, method, "success" and "success before" at 0.4 m, percent, and "moved", percent of the
    seconds whose answer is more than 0.2 m away from the unchanged map's.
    """
    rows, prepared = [], methods.prepared
    for room in sorted({t.room for t in takes}):
        here = prepared.rooms[room]
        features = {None: methods.features.rooms[room], **dict.fromkeys(changes)}
        empty = dict.fromkeys(features, np.asarray(here.empty))
        for change in changes:
            local = changed_clouds(here, change)
            features[change], empty[change] = embed_cells(stage1, local.points, local.empty), local.empty
        for take in (t for t in takes if t.room == room):
            velocity = gravity_velocity(methods.velocity, np.asarray(take.windows), np.asarray(take.facing))
            found = {c: _answers(methods, take, features[c], empty[c], velocity) for c in features}
            for change in changes:
                rows += [
                    {"take": take.name, "split": take.split, "change": change, "method": method}
                    | _compare(found[None][method], found[change][method], take)
                    for method in found[change]
                ]
    return pd.DataFrame(rows)


def _answers(methods: Methods, take, cells: np.ndarray, empty: np.ndarray, velocity) -> dict[str, np.ndarray]:
    features, room, profile = methods.features, methods.prepared.rooms[take.room], methods.profile
    maps = heading_maps(
        methods.stage2, features.direction, features.takes[take.name], features.facing_of(take.name), cells, empty,
        headings=heading_angles() if features.direction is not None else np.zeros(1), time=profile.sequence_s,
        stride=profile.eval_stride_s,
    )  # fmt: skip
    alone, centres = maps.weighed(heading_posterior(maps)).confidence, room.grid.cell_centres
    tracked = methods.tracker(take).smooth(Observations(maps.joint, *velocity)).decision()
    return {
        FULL: centres[alone.argmax(1)], f"{FULL}, most mass within 0.4 m": most_mass(alone, centres), TRACKED: tracked,
    }  # fmt: skip


def _compare(before: np.ndarray, after: np.ndarray, take) -> dict[str, float]:
    known = np.asarray(take.cell) >= 0
    truth = np.asarray(take.position, float)[known]
    rate = lambda xy: float(successes(xy[known], truth)[:, 1].mean())  # noqa: E731
    moved = float(100 * (np.linalg.norm(after - before, axis=1) > MOVED_M).mean())
    return {"success": rate(after), "success before": rate(before), "moved": moved}


def record_stability(
    out: str | Path,
    profile: str,
    seeds: Sequence[int] = (),
    *,
    results_dir: str | Path = RESULTS_DIR,
    command: str = "eailkit reproduce stability",
) -> Path:
    """Measure `stability` on both test splits and write table `stability_<profile>`.

    Args:
        out: folder of EAIL's run.
        seeds: the first of them is measured: the draw of points is what varies here.
    """
    seed = (tuple(seeds) or get_profile(profile).seeds)[0]
    run = Run(out, profile, seed=seed)
    stage1, _ = run.train_stage1()
    stage2, _ = run.train_stage2(stage1)
    takes = run.prepared.by_split("test-seen") + run.prepared.by_split("test-unseen")
    frame = stability(run.methods(stage1, stage2), stage1, takes)
    frame["by"] = frame.success - frame["success before"]
    rows = []
    for (split, method, change), part in frame.groupby(["split", "method", "change"], sort=False):
        mean = {
            "success moves, mean (points)": round(float(part.by.mean()), 2),
            "success moves, largest (points)": round(float(part.by.abs().max()), 2),
            "seconds that move over 0.2 m (%)": round(float(part.moved.mean()), 2),
        }
        spread = dict(zip(mean, (part.by.std(ddof=0), part.by.abs().std(ddof=0), part.moved.std(ddof=0)), strict=True))
        rows.append(LedgerRow(
            id=row_id(split, f"{method}, {change}"), question=f"Does '{method}' hang on the map's points ({change})?",
            command=command, config={"takes": len(part), "spread": "standard deviation over takes"},
            commit=git_commit(), data_hash=run.prepared.data_hash, seeds=(seed,), mean=mean,
            spread={k: round(float(v), 2) for k, v in spread.items()}, minutes=0.0, device=device_name(),
        ))  # fmt: skip
    return append_rows(f"stability_{profile}", rows, results_dir=results_dir)
