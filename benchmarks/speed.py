"""How fast: SynthKitchen without frames against real time on one core, and `localize` on a ten-second window."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from eailkit.datasets import EgoExo4D, open_map
from eailkit.ledger import LedgerRow, append_rows, device_name, git_commit, hash_files
from eailkit.localize import QUICK_WEIGHTS, Localizer
from eailkit.synthkitchen.dataset import synthesize

COMMAND = "python -m benchmarks --only speed"


def record(results: str | Path = "results", *, repeats: int = 20) -> None:
    """Measure both and write table `speed`."""
    rows = [_simulation(), _localize(repeats)]
    append_rows("speed", rows, results_dir=results)


def _simulation() -> LedgerRow:
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        root = synthesize(
            Path(folder) / "speed",
            rooms=3,
            participants=3,
            minutes=5.0,
            seed=1,
            frames=False,
            workers=1,
            progress=False,
        )
        seconds = time.process_time() - began
        simulated = sum(t.duration_s for t in EgoExo4D(root).takes if t.task != "scan")
        size = sum(p.stat().st_size for p in root.rglob("*") if p.is_file())
        data_hash = hash_files(root, "**/*.json")
    mean = {"times real time": round(simulated / seconds, 1), "MB per hour": round(size / 1e6 / (simulated / 3600), 1)}
    return LedgerRow(
        id="SynthKitchen, IMU and map, no frames, one core",
        question="How much faster than real time is the simulator?",
        command=COMMAND,
        config={"simulated_s": round(simulated, 1), "clock": "process time, rooms, scans and writing included"},
        commit=git_commit(),
        data_hash=data_hash,
        seeds=(1,),
        mean=mean,
        spread=dict.fromkeys(mean, 0.0),
        minutes=round(seconds / 60, 3),
        device=device_name(),
    )


def _localize(repeats: int) -> LedgerRow:
    localizer = Localizer.load()
    with tempfile.TemporaryDirectory() as folder:
        root = synthesize(
            Path(folder) / "one", rooms=1, participants=1, minutes=1.0, seed=2, frames=False, workers=1, progress=False
        )
        data = EgoExo4D(root)
        take = next(t for t in data.takes if t.task != "scan")
        imu = data.recording(take.name, with_map=False).imu
        room = localizer.encode_map(open_map(root / "takes" / data.map_take(take.name).name))
    window = imu.crop(imu.t_s[0] + 10.0, imu.t_s[0] + 20.01)
    localizer.localize(window, room)  # compiles what numba compiles
    torch.set_num_threads(1)
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        localizer.localize(window, room)
        times.append(1000 * (time.perf_counter() - began))
    mean = {
        "median (ms)": round(float(np.median(times)), 1),
        "90th percentile (ms)": round(float(np.quantile(times, 0.9)), 1),
    }
    return LedgerRow(
        id="localize, a 10 s window, room features cached, one thread",
        question="How long does one window take, from raw IMU to a place?",
        command=COMMAND,
        config={"repeats": repeats, "weights": QUICK_WEIGHTS.name, "includes": "VQF, resampling, both stages"},
        commit=git_commit(),
        data_hash=hash_files(QUICK_WEIGHTS, "*.safetensors"),
        seeds=(2,),
        mean=mean,
        spread=dict.fromkeys(mean, 0.0),
        minutes=round(sum(times) / 60000, 4),
        device=device_name(),
    )
