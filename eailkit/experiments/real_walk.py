"""The real Aria walk (11.3 s, one wearer) through the whole of a trained run: its error, whatever it is.

One walk of eleven seconds in a room that isn't a kitchen decides nothing; it shows that real input goes through and
what comes out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from eailkit.datasets import open_map, open_recording
from eailkit.experiments.eail_run import Run
from eailkit.experiments.methods import FULL, OTHER_IMU, TRACKED
from eailkit.results.ledger import RESULTS_DIR, LedgerRow, append_rows, device_name, git_commit, hash_files


def record_real_walk(
    out: str | Path,
    profile: str,
    real: str | Path,
    seed: int = 0,
    *,
    results_dir: str | Path = RESULTS_DIR,
    command: str = "eailkit reproduce real-walk",
) -> Path:
    """Localize the walk with the run's own weights and write table `real_walk_<profile>`.

    Args:
        out: folder of EAIL's run.
        real: folder of the walk's recording, as Aria's tools leave it.
    """
    walk = Path(real)
    recording = open_recording(walk)
    run = Run(out, profile, seed=seed)
    localizer = run.localizer(run.train_stage1()[0], run.train_stage2(run.train_stage1()[0])[0])
    room = localizer.encode_map(open_map(walk / "trajectory" / "global_points.csv.gz"))
    alone, tracked = (localizer.localize(recording.imu, room, tracker=t) for t in (False, True))
    truth = recording.trajectory.position_at(tracked.time_s + recording.imu.t_s[0])[:, :2]
    stranger = run.prepared.by_split("test-unseen")[0]
    imu = open_recording(run.dataset() / "takes" / stranger.name).imu
    imu = imu.crop(imu.t_s[0] + 10.0, imu.t_s[0] + 10.0 + recording.imu.duration_s)
    other = localizer.localize(imu, room, tracker=False)
    error = lambda xy: np.linalg.norm(xy[: len(truth)] - truth[: len(xy)], axis=-1)  # noqa: E731
    centres, filled = room.grid.cell_centres, ~room.clouds.empty
    guess = lambda cells: np.linalg.norm(centres[cells][None] - truth[:, None], axis=2)  # noqa: E731
    highest = lambda track: centres[track.prediction.confidence.argmax(1)]  # noqa: E731
    lines = {
        TRACKED: error(tracked.position_m), FULL: error(highest(alone)), OTHER_IMU: error(highest(other)),
        "chance": guess(filled), "free space": guess(filled & room.free),
    }  # fmt: skip
    rows = []
    for name, found in lines.items():
        mean = {
            "median error (m)": round(float(np.median(found)), 3),
            "SR@0.4m": round(100 * float((found < 0.4).mean()), 2),
        }
        if name == TRACKED:
            mean["inside the 90 % region (% of seconds)"] = round(100 * float((found <= tracked.radius_90_m).mean()), 1)
            mean["radius of the 90 % region, median (m)"] = round(float(np.median(tracked.radius_90_m)), 2)
            mean["certainty of the heading at the end (0 to 1)"] = round(float(tracked.heading_certainty[-1]), 2)
        rows.append(LedgerRow(
            id=name, question=f"How far off is '{name}' on the real walk of {len(truth)} s?",
            command=command,
            config={"side of the square (m)": round(room.grid.side_m, 2), "cells with points": int(filled.sum())},
            commit=git_commit(), data_hash=hash_files(walk), seeds=(seed,), mean=mean,
            spread=dict.fromkeys(mean, 0.0), minutes=0.0, device=device_name(),
        ))  # fmt: skip
    return append_rows(f"real_walk_{profile}", rows, results_dir=results_dir)
