"""How fast and how large: SynthKitchen with and without frames on one core, and `localize` on a ten-second window."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from eailkit.datasets import EgoExo4D, open_map
from eailkit.localize import QUICK_WEIGHTS, Localizer
from eailkit.profiles import PAPER
from eailkit.results.ledger import LedgerRow, append_rows, device_name, git_commit, hash_files
from eailkit.synthkitchen.dataset import synthesize
from eailkit.synthkitchen.splits import DatasetConfig, dataset_jobs
from eailkit.synthkitchen.version import SYNTHKITCHEN_VERSION

COMMAND = "python -m benchmarks --only speed"
_PAPER_ROOMS = PAPER.data.seen_rooms + PAPER.data.val_unseen_rooms + PAPER.data.test_unseen_rooms
_ASKED = {"rooms": 3, "participants": 3, "minutes": 9.0, "seed": 1, "workers": 1, "progress": False}


def record(results: str | Path = "results", *, repeats: int = 20) -> None:
    """Measure all and write table `speed`."""
    rows = [_simulation(frames=False), _simulation(frames=True), _memory(), _localize(repeats)]
    append_rows("speed", rows, results_dir=results)


def _simulation(frames: bool) -> LedgerRow:
    """Speed and disk of the simulator on one core, over three rooms' takes of 2 to 40 minutes."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        root = synthesize(Path(folder) / "speed", **_ASKED, frames=frames, config=_takes(6))
        seconds = time.process_time() - began
        takes = [t for t in EgoExo4D(root).takes if t.task != "scan"]
        simulated = sum(t.duration_s for t in takes)
        scans = sum(p.stat().st_size for p in root.glob("takes/*_scan/**/*") if p.is_file())
        size = sum(p.stat().st_size for p in root.rglob("*") if p.is_file()) - scans
        data_hash = hash_files(root, "**/*.json")
    planned = _paper_hours()
    rate, required = simulated / seconds, 20 if frames else 200
    if rate < required:
        raise RuntimeError(
            f"the simulator runs {rate:.0f} times as fast as real time; at least {required} are required"
        )
    per_hour, per_room = size / 1e6 / (simulated / 3600), scans / 1e6 / _ASKED["rooms"]
    mean = {
        "times real time": round(rate, 1),
        "MB per hour": round(per_hour, 1),
        "MB per room's scan": round(per_room, 2),
        "GB of the bench": round((per_hour * planned + per_room * _PAPER_ROOMS) / 1000, 2),
    }
    what = "one frame a second" if frames else "no frames"
    return LedgerRow(
        id=f"SynthKitchen, IMU and map, {what}, one core",
        question="How much faster than real time is the simulator?",
        command=COMMAND,
        config={
            "simulated_s": round(simulated, 1),
            "clock": "process time, rooms, scans and writing included",
            "required": f">= {required} times real time",
            "bench": f"{planned:.1f} h in {_PAPER_ROOMS} rooms" + (", all with frames" if frames else ""),
        },
        commit=git_commit(),
        data_hash=data_hash,
        seeds=(1,),
        mean=mean,
        spread=dict.fromkeys(mean, 0.0),
        minutes=round(seconds / 60, 3),
        device=device_name(),
    )


def _takes(count: int) -> DatasetConfig:
    return DatasetConfig(
        train_takes_per_room=count, test_seen_takes_per_room=0, val_seen_rooms=0, val_unseen_rooms=0,
        test_unseen_rooms=0, long_takes=0, minutes_spread=PAPER.data.minutes_spread,
    )  # fmt: skip


def _paper_hours() -> float:
    size = PAPER.data
    config = DatasetConfig(
        val_unseen_rooms=size.val_unseen_rooms, test_unseen_rooms=size.test_unseen_rooms,
        train_takes_per_room=size.train_takes_per_room, unseen_takes_per_room=size.unseen_takes_per_room,
        long_takes=size.long_takes, minutes_spread=size.minutes_spread,
    )  # fmt: skip
    return sum(j.minutes for j in dataset_jobs(_PAPER_ROOMS, size.participants, size.minutes, size.seed, config)) / 60


def _memory() -> LedgerRow:
    """Most memory of a process that makes 2 takes and of one that makes 12 of the same lengths."""
    code = (
        "import resource, sys\n"
        "from eailkit.synthkitchen.dataset import synthesize\n"
        "from eailkit.synthkitchen.splits import DatasetConfig\n"
        "config = DatasetConfig(train_takes_per_room=2, test_seen_takes_per_room=0, val_seen_rooms=0,\n"
        "    val_unseen_rooms=0, test_unseen_rooms=0, long_takes=0)\n"
        "synthesize(sys.argv[1], rooms=int(sys.argv[2]), participants=2, minutes=9.0, seed=1, workers=1,\n"
        "    progress=False, config=config)\n"
        "from pathlib import Path\n"
        "status = Path('/proc/self/status')  # getrusage on Linux counts the parent's memory before exec, too\n"
        "lines = status.read_text().splitlines() if status.exists() else []\n"
        "peak = [int(line.split()[1]) * 1024 for line in lines if line.startswith('VmHWM')]\n"
        "print(peak[0] if peak else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    began, peak_mb = time.perf_counter(), {}
    for takes in (2, 12):
        with tempfile.TemporaryDirectory() as folder:
            call = [sys.executable, "-c", code, str(Path(folder) / "data"), str(takes // 2)]
            done = subprocess.run(call, capture_output=True, text=True, check=True)
            peak_mb[takes] = float(done.stdout.split()[-1]) / 1e6
    mean = {f"peak MB of {takes} takes": round(mb, 1) for takes, mb in peak_mb.items()}
    return LedgerRow(
        id="SynthKitchen, memory of one process, one frame a second",
        question="Does the simulator's memory grow with the number of takes?",
        command=COMMAND,
        config={"minutes a take": 9.0, "takes a room": 2},
        commit=git_commit(),
        data_hash=f"simulator version {SYNTHKITCHEN_VERSION}",
        seeds=(1,),
        mean=mean,
        spread=dict.fromkeys(mean, 0.0),
        minutes=round((time.perf_counter() - began) / 60, 3),
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
