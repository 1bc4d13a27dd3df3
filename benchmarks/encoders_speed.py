"""How fast EAIL's encoders are beside plain torch modules of the same layers: PointNet++ ssg, a room, the IMU ResNet.

    python -m benchmarks.encoders_speed [--record] [--threads 2] [--repeats 12]

measures in float32, ours and the plain one in turn. Other programs can only lengthen a time, so a time is the least of
the repeats, and a ratio that of the least times; the median of the ratios of neighbours in time stands beside it. Where
other programs never rest, `--threads 1` takes seconds of CPU instead, which they lengthen least. As a processor without
AVX-512 would, on one that has it:

    ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 NUMBA_CPU_NAME=znver3 \\
        NUMBA_CPU_FEATURES=+avx2,+fma,+bmi,+bmi2,+f16c python -m benchmarks.encoders_speed --record
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from benchmarks.primus_speed import most_memory_mb
from benchmarks.stage1_speed import plain_imu
from benchmarks.textbook_pointnet import TextbookPointNet2
from eailkit.allocator import keep_freed_memory
from eailkit.datasets import open_map
from eailkit.encoders import ImuResNet18, PointNet2
from eailkit.files import DATA_SAMPLES
from eailkit.preprocess.mapgrid import CELLS, estimate_grid, local_clouds
from eailkit.results.ledger import LedgerRow, append_rows, device_name, git_commit

COMMAND = "python -m benchmarks.encoders_speed --record"
CLOUDS, POINTS, WINDOWS, SAMPLES = 8, 8192, 128, 400
ROOM_AT_ONCE = 100  # cells, as neighbours of all 400 needn't be held
_PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "mkldnn::_linear_pointwise", "aten::convolution_backward")


def capability() -> str:
    """What instructions torch takes on this processor, or was told to."""
    return torch.backends.cpu.get_cpu_capability()


def measure(repeats: int, threads: int = 2) -> list[LedgerRow]:
    """All rows; a goal that was missed is in its row."""
    torch.set_num_threads(threads)
    keep_freed_memory()
    rows = [
        _points_training(repeats),
        _points_inference(repeats),
        _room("scattered", repeats),
        _room("kitchen", repeats),
    ]
    return rows + [_imu(width, training, repeats) for width in (64, 32) for training in (True, False)]


def scattered(clouds: int, seed: int = 0) -> Tensor:
    """Points all over the columns of cells, no two alike: the most that a level can have to do."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(clouds, POINTS, 3, generator=generator) * torch.tensor([1, 1, 2.5]) - torch.tensor([0.5, 0.5, 0])


def kitchen() -> Tensor:
    """The cells of a shipped kitchen; `local_clouds` fills them from what the map's lattice holds of each."""
    cloud = open_map(next((DATA_SAMPLES / "kitchens" / "takes").glob("*_scan")))
    clouds = local_clouds(cloud.confident().points_world_m, estimate_grid(cloud), points_per_cell=POINTS)
    return torch.from_numpy(clouds.points)


def _clock() -> tuple[str, Callable[[], float]]:
    return ("process time", time.process_time) if torch.get_num_threads() == 1 else ("wall", time.perf_counter)


def alternating(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, np.ndarray]:
    """Milliseconds of each call, (repeats,), measured in turn."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    clock = _clock()[1]
    for repeat in range(repeats + 1):
        for name, call in calls.items():
            began = clock()
            call()
            if repeat:  # the first one compiles and allocates
                found[name].append(1e3 * (clock() - began))
    return {name: np.array(times) for name, times in found.items()}


def _step(net: nn.Module, forward: Callable[[], Tensor]) -> Callable[[], None]:
    def call() -> None:
        net.zero_grad(set_to_none=True)
        forward().square().mean().backward()

    return call


def _frozen(forward: Callable[[], Tensor]) -> Callable[[], Tensor]:
    def call() -> Tensor:
        with torch.inference_mode():
            return forward()

    return call


def _share_of_products(call: Callable[[], object]) -> float:
    """Of a call's time on one thread, percent."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    call()
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        began = time.perf_counter()
        call()
        all_of_it = time.perf_counter() - began
    torch.set_num_threads(threads)
    spent = {event.key: event.self_cpu_time_total for event in seen.key_averages()}
    return 100 * sum(spent.get(name, 0.0) for name in _PRODUCTS) / 1e6 / all_of_it


def _points_training(repeats: int) -> LedgerRow:
    began, points = time.perf_counter(), scattered(CLOUDS)
    ours, plain = PointNet2("ssg").train(), TextbookPointNet2(PointNet2("ssg").config).train()
    near, step = ours.neighbours(points), _step(ours, lambda: ours(points))
    ms = alternating({
        "textbook (ms)": _step(plain, lambda: plain(points)), "ours (ms)": step,
        "of it neighbours (ms)": lambda: ours.neighbours(points),
        "neighbours given (ms)": _step(ours, lambda: ours(points, near)),
    }, repeats)  # fmt: skip
    more = {"products, of ours on one thread (%)": _share_of_products(step)}
    id = f"PointNet++ ssg, training step, {CLOUDS} x {POINTS} points"
    return _row(id, "How much faster than the textbook's does PointNet++ train?", ms, 4.0, began, more)


def _points_inference(repeats: int) -> LedgerRow:
    began, points = time.perf_counter(), scattered(CLOUDS)
    ours = PointNet2("ssg").eval()
    plain = TextbookPointNet2(ours.config).load_from(ours).eval()
    call = _frozen(lambda: ours(points))
    ms = alternating({"textbook (ms)": _frozen(lambda: plain(points)), "ours (ms)": call}, repeats)
    apart = (call() - _frozen(lambda: plain(points, first=0))()).abs().max()
    more = {"products, of ours on one thread (%)": _share_of_products(call)}
    id = f"PointNet++ ssg, inference, {CLOUDS} x {POINTS} points"
    return _row(id, "And how much faster does it embed?", ms, 4.0, began, more, difference=float(apart))


def _room(kind: str, repeats: int) -> LedgerRow:
    began, net = time.perf_counter(), PointNet2("ssg").eval()
    points = kitchen() if kind == "kitchen" else scattered(CELLS)
    blocks = points.split(ROOM_AT_ONCE)
    ms = alternating({
        "all (s)": _frozen(lambda: [net(block) for block in blocks]),
        "of it neighbours (s)": lambda: [net.neighbours(block) for block in blocks],
    }, min(repeats, 5))  # fmt: skip
    code = f"from benchmarks.encoders_speed import print_room_memory_mb as p; p({kind!r}, {torch.get_num_threads()})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, most = map(float, done.stdout.split()[-2:])
    values = {name: float(np.min(v)) / 1e3 for name, v in ms.items()}
    spread = {name: float(np.median(v) - np.min(v)) / 1e3 for name, v in ms.items()}
    values |= {"peak (MB)": most, "of it libraries and points (MB)": before}
    distinct = np.mean([len(np.unique(cell, axis=0)) for cell in points[::20].numpy()])
    more = {"goal": "<= 7 s, 5 s wished for; < 2000 MB", "goal met": values["all (s)"] <= 7 and most < 2000}
    id = f"a room of {CELLS} x {POINTS} points, PointNet++ ssg, {kind}"
    question = "How long does a room take, and how much memory?"
    return _ledger_row(id, question, values, spread, began, more | {"distinct points a cell": round(float(distinct))})


def print_room_memory_mb(kind: str, threads: int) -> None:
    """Print what this process holds with a room's points and the most it held after embedding them, MB."""
    torch.set_num_threads(threads)
    points, net = kitchen() if kind == "kitchen" else scattered(CELLS), PointNet2("ssg").eval()
    before = most_memory_mb()
    _frozen(lambda: [net(block) for block in points.split(ROOM_AT_ONCE)])()
    print(before, most_memory_mb())


def _imu(width: int, training: bool, repeats: int) -> LedgerRow:
    began = time.perf_counter()
    torch.manual_seed(0)
    net, imu = ImuResNet18(width, 8 * width), torch.randn(WINDOWS, 6, SAMPLES)
    imu[:, 2] += 9.81
    forward = {"plain": lambda: plain_imu(net, imu), "ours": lambda: net(imu)}
    if training:
        calls = {name: _step(net.train(), call) for name, call in forward.items()}
    else:
        net.train()(imu)
        calls = {name: _frozen(call) for name, call in forward.items()}
        net.eval()
    ms = alternating({f"{name} (ms)": call for name, call in calls.items()}, 2 * repeats)
    more = {"products, of ours on one thread (%)": _share_of_products(calls["ours"])}
    what, goal = ("training step", 1.5) if training else ("inference", 2.0)
    question = f"How much faster than plain torch modules is the IMU encoder in {'training' if training else 'use'}?"
    return _row(f"ImuResNet18 of width {width}, {what}, {WINDOWS} windows", question, ms, goal, began, more)


def _row(
    id: str, question: str, ms: dict[str, np.ndarray], goal: float, began: float, more: dict[str, float],
    difference: float | None = None,
) -> LedgerRow:  # fmt: skip
    reference = next(iter(ms))
    values, spread = ({k: float(f(v)) for k, v in ms.items()} for f in (np.min, lambda v: np.median(v) - np.min(v)))
    values["times as fast"] = values[reference] / values["ours (ms)"]
    values["times as fast, median of pairs"] = float(np.median(ms[reference] / ms["ours (ms)"]))
    config = {"goal": f">= {goal} times as fast", "goal met": bool(values["times as fast"] >= goal)}
    if difference is not None:
        config["largest difference"] = float(f"{difference:.1e}")
    return _ledger_row(id, question, values | more, spread, began, config)


def _ledger_row(id: str, question: str, values: dict, spread: dict, began: float, config: dict) -> LedgerRow:
    threads = torch.get_num_threads()
    return LedgerRow(
        id=f"{id}, {capability()}, {'one thread' if threads == 1 else f'{threads} threads'}",
        question=question,
        command=f"{COMMAND} --threads {threads}",
        config=config | {
            "threads": threads, "precision": "float32", "instructions": capability(), "clock": _clock()[0],
            "mean": "least of repeats", "spread": "median less the least",
        },
        commit=git_commit(),
        data_hash="made-up points and windows, seed 0; the shipped kitchen",
        seeds=(0,),
        mean={k: float(f"{v:.4g}") for k, v in values.items()},
        spread={k: float(f"{spread.get(k, 0.0):.2g}") for k in values},
        minutes=round((time.perf_counter() - began) / 60, 3),
        device=device_name(),
    )  # fmt: skip


def main() -> None:
    """Print the rows, and write them into the table `encoders_speed` if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help="write the rows into the ledger")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the ledger")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=12)
    arguments = parser.parse_args()
    rows = measure(arguments.repeats, arguments.threads)
    for row in rows:
        met = "goal met" if row.config["goal met"] else "MISSED"
        print(f"{row.id}: {met}, {row.config['goal']}")
        print("    " + ", ".join(f"{name} {value:g}" for name, value in row.mean.items()))
    if arguments.record:
        print(f"wrote {append_rows('encoders_speed', rows, results_dir=arguments.results)}")


if __name__ == "__main__":
    main()
