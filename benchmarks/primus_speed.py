"""How fast PRIMUS trains and infers: a training step with three ways to find neighbours, and `fast` encoders.

All on one thread and side by side: what is compared alternates, and a ratio is the median over pairs of neighbours
in time, so that a machine that slows down slows both. The released search lives here alone, as the slow reference.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eailkit.encoders._gru.inference import fast
from eailkit.encoders.motion_gru import MotionGRU
from eailkit.encoders.stacked_rnn import StackedRNN, StackedRnnConfig
from eailkit.preprocess.augment import two_views
from eailkit.primus.losses import FeatureQueue, Temperature, i2t_loss, i2v_loss, nearest, nn_loss, primus_loss, ss_loss
from eailkit.results.ledger import LedgerRow, append_rows, device_name, git_commit
from eailkit.training import multiplies_bf16

COMMAND = "python -m benchmarks --only primus_speed"
WINDOW, WIDTH, ROWS, BATCH = 250, 512, 8192, 256  # 5 s at 50 Hz; the paper's queue; the largest batch of the release
TRAINS_IN = "bf16-mixed" if multiplies_bf16("cpu") else "float32"  # as `primus.model.pretrain` does on this machine
PRECISIONS = tuple(dict.fromkeys((TRAINS_IN, "float32")))  # and as the release does
_TRAINING = {"batch": BATCH, "queue": ROWS, "width": WIDTH, "samples": WINDOW}
_SPREAD = "half of the middle 95 % of repeats"


def record(results: str | Path = "results", *, released: int = 3, repeats: int = 15) -> None:
    """Measure all and write table `primus_speed`; a goal that this run missed is in its row, and printed.

    Args:
        results: folder of the ledger.
        released: repeats with the released search, which takes 13 s or more and 14 GB a step.
        repeats: of everything else.
    """
    torch.set_num_threads(1)
    rows = [_inference(scan, batch, repeats) for scan in ("channels", "time") for batch in (1, 256)]
    rows += [_encoders(batch, repeats) for batch in (1, 256)]
    for recipe in ("paper", "as_released"):
        rows += [_training_against_off(recipe, repeats)]
        rows += [_training_against_released(recipe, released, precision) for precision in PRECISIONS]
    append_rows("primus_speed", rows, results_dir=results)
    for row in rows:
        if not row.config["goal met"]:
            print(f"{row.id}: missed {row.config['goal']} with {dict(row.mean)}")


def broadcast_nearest(key: Tensor, queue: Tensor) -> Tensor:
    """Eq. 3 as released: the cosine of every pair by itself, which holds three arrays of B x rows x width."""
    return F.cosine_similarity(key[:, None], queue[None], dim=-1).argmax(dim=1)


class TrainingStep:
    """One step of the whole objective on made-up features: views, the raw window, three losses, Adam.

    Args:
        recipe: "paper" encodes each window three times (two views and raw), "as_released" twice (raw is a view).
        precision: "bf16-mixed" encodes under autocast, losses and search stay float32; "float32".
        search: how neighbours are found, "off" (no L_NN), "product" (ours) or "broadcast" (the release's).
    """

    def __init__(self, recipe: str, search: str, precision: str = TRAINS_IN, batch: int = BATCH):
        self.precision, self.recipe, self.search = precision, recipe, search
        self.draw = torch.Generator().manual_seed(0)
        torch.manual_seed(0)
        self.model, self.tau_s, self.tau_m = StackedRNN(), Temperature(), Temperature()
        everything = nn.ModuleList([self.model, self.tau_s, self.tau_m])
        self.adam = torch.optim.Adam(everything.parameters(), lr=2e-4)
        self.imu = torch.randn(batch, 6, WINDOW, generator=self.draw)
        self.video, self.text = (torch.randn(batch, WIDTH, generator=self.draw) for _ in range(2))
        self.queue = FeatureQueue(dict.fromkeys(("imu", "video", "text"), WIDTH), ROWS)
        self.queue.add(**{name: torch.randn(ROWS, WIDTH, generator=self.draw) for name in self.queue.names})

    def __call__(self) -> dict[str, Tensor]:
        """The step: forward, backward, update, enqueue."""
        model, scale_s, scale_m = self.model, self.tau_s(), self.tau_m()
        views = two_views(self.imu, self.draw, self.recipe)
        found = self._neighbours() if self.search != "off" else None  # by video: nothing of the encoder's is needed
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision != "float32"):
            hidden = model(self.imu)
            own, multimodal = model.ssl(hidden), model.multimodal(hidden)
            first, second = (own if view is self.imu else model.ssl(model(view)) for view in views)
        terms = {
            "ss": ss_loss(first, second, scale_s),
            "mm": i2v_loss(multimodal, self.video, scale_m) + i2t_loss(multimodal, self.text, scale_m),
        }
        if found is not None:
            terms["nn"] = nn_loss(own, multimodal, found, scale_s, scale_m)
        losses = primus_loss(terms)
        losses["total"].backward()
        self.adam.step()
        self.adam.zero_grad()
        if self.search != "off":
            self.queue.add(imu=own, video=self.video, text=self.text)
        return losses

    def _neighbours(self) -> dict[str, Tensor]:
        if self.search == "product":
            return self.queue.neighbours(self.video)
        index = broadcast_nearest(self.video, self.queue.rows_video)
        return {name: getattr(self.queue, f"rows_{name}")[index] for name in self.queue.names} | {"index": index}


def print_memory_mb(recipe: str, search: str, precision: str) -> None:
    """Print what this process holds before and the most it held after two steps, MB; meant for one of its own."""
    torch.set_num_threads(1)
    before = most_memory_mb()
    step = TrainingStep(recipe, search, precision)
    step(), step()
    print(before, most_memory_mb())


def most_memory_mb() -> float:
    """The most that this process held so far, MB."""
    status = Path("/proc/self/status")  # getrusage on Linux counts the parent's memory before exec, too
    lines = status.read_text().splitlines() if status.exists() else []
    peak = [int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM")]
    return peak[0] if peak else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _memory_mb(recipe: str, search: str, precision: str) -> tuple[float, float]:
    code = f"from benchmarks.primus_speed import print_memory_mb as p; p({recipe!r}, {search!r}, {precision!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, most = done.stdout.split()[-2:]
    return float(before), float(most)


def _alternating(calls: dict[str, Callable[[], object]], repeats: int, burst: int = 1) -> dict[str, np.ndarray]:
    """Seconds of CPU a call of each, (repeats,), measured in turn; a burst of calls is timed as one."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        call()  # compiles, allocates
    for _ in range(repeats):
        for name, call in calls.items():
            began = time.process_time()
            for _ in range(burst):
                call()
            seconds[name].append((time.process_time() - began) / burst)
    return {name: np.array(times) for name, times in seconds.items()}


def _row(id: str, question: str, config: dict, values: dict[str, np.ndarray | float], began: float) -> LedgerRow:
    low, high = ({k: np.quantile(v, q) for k, v in values.items()} for q in (0.025, 0.975))
    return LedgerRow(
        id=id,
        question=question,
        command=COMMAND,
        config=config | {"spread": _SPREAD, "mean": "median of repeats", "clock": "process time"},
        commit=git_commit(),
        data_hash="made-up windows and features, seed 0",
        seeds=(0,),
        mean={k: float(f"{np.median(v):.4g}") for k, v in values.items()},
        spread={k: float(f"{(high[k] - low[k]) / 2:.2g}") for k in values},
        minutes=round((time.perf_counter() - began) / 60, 3),
        device=device_name(),
    )


def _training_against_released(recipe: str, repeats: int, precision: str) -> LedgerRow:
    began = time.perf_counter()
    steps = {search: TrainingStep(recipe, search, precision) for search in ("product", "broadcast")}
    queue, key = steps["product"].queue.rows_video, steps["product"].video
    if not torch.equal(nearest(key, queue), broadcast_nearest(key, queue)):
        raise RuntimeError("the matrix product finds other neighbours than the broadcast search")
    s = _alternating(steps, repeats)
    faster = s["broadcast"] / s["product"]
    libraries, peak = _memory_mb(recipe, "product", precision)
    values = {
        "step (s)": s["product"], "step with the released search (s)": s["broadcast"], "times as fast": faster,
        "peak (MB)": peak, "of it libraries (MB)": libraries,
        "peak with the released search (MB)": _memory_mb(recipe, "broadcast", precision)[1],
    }  # fmt: skip
    config = _TRAINING | {
        "recipe": recipe, "precision": precision, "repeats": repeats, "neighbours": "equal, checked",
        "goal": ">= 10 times as fast, peak <= 1200 MB", "goal met": bool(np.median(faster) >= 10 and peak <= 1200),
    }  # fmt: skip
    question = "How much faster is a step of the full objective than with the released neighbour search?"
    id = f"PRIMUS training step against the released search, recipe {recipe}, {precision}, one thread"
    return _row(id, question, config, values, began)


def _training_against_off(recipe: str, repeats: int) -> LedgerRow:
    began = time.perf_counter()
    s = _alternating({search: TrainingStep(recipe, search) for search in ("product", "off")}, repeats)
    ratio = s["product"] / s["off"]
    values = {"step (s)": s["product"], "step without L_NN (s)": s["off"], "times the step without": ratio}
    config = _TRAINING | {
        "recipe": recipe, "repeats": repeats, "goal": "<= 1.1 times", "goal met": bool(np.median(ratio) <= 1.1)
    }  # fmt: skip
    id = f"PRIMUS training step, neighbours on and off, recipe {recipe}, one thread"
    return _row(id, "What do nearest neighbours cost?", config, values, began)


def _inference(scan: str, batch: int, repeats: int) -> LedgerRow:
    began = time.perf_counter()
    torch.manual_seed(0)
    model, imu = StackedRNN(StackedRnnConfig(scan=scan)).eval(), torch.randn(batch, 6, WINDOW)
    encode = fast(model, imu, head="multimodal")

    def plain() -> Tensor:
        with torch.inference_mode():
            return model.multimodal(model(imu))

    burst = 20 if batch == 1 else 1
    s = _alternating({"plain": plain, "fast": lambda: encode(imu)}, repeats, burst)
    faster, goal = s["plain"] / s["fast"], 2.0 if batch == 1 else 1.1
    values = {"windows/s": batch / s["fast"], "windows/s of the module": batch / s["plain"], "times as fast": faster}
    config = {
        "batch": batch, "samples": WINDOW, "repeats": repeats, "calls a repeat": burst,
        "largest difference": float(f"{(encode(imu) - plain()).abs().max():.1e}"),
        "goal": f">= {goal} times as fast", "goal met": bool(np.median(faster) >= goal),
    }  # fmt: skip
    id = f"StackedRNN over {scan}, inference at batch {batch}, one thread"
    question = "How many windows a second does the encoder embed, and how many the plain torch module?"
    return _row(id, question, config, values, began)


def _encoders(batch: int, repeats: int) -> LedgerRow:
    """Our encoder beside the paper's, both as plain torch modules; a training step where the batch is large."""
    began = time.perf_counter()
    torch.manual_seed(0)
    theirs, ours, imu = StackedRNN(), MotionGRU(), torch.randn(batch, 6, WINDOW)

    def infer(model: nn.Module) -> Callable[[], Tensor]:
        def call() -> Tensor:
            with torch.inference_mode():
                return model.multimodal(model(imu))

        return call

    def train(model: nn.Module) -> Callable[[], None]:
        def call() -> None:
            model.zero_grad()
            model.train().multimodal(model(imu)).square().mean().backward()
            model.eval()

        return call

    burst = 20 if batch == 1 else 1
    s = _alternating({"theirs": infer(theirs.eval()), "ours": infer(ours.eval())}, repeats, burst)
    values = {"windows/s": batch / s["ours"], "windows/s of the Stacked RNN": batch / s["theirs"]}
    values["times as fast"] = s["theirs"] / s["ours"]
    if batch > 1:
        step = _alternating({"theirs": train(theirs), "ours": train(ours)}, repeats)
        values["times as fast in training"] = step["theirs"] / step["ours"]
    sizes = {type(m).__name__: sum(p.numel() for p in m.parameters()) for m in (ours, theirs)}
    met = bool(min(np.median(v) for k, v in values.items() if k.startswith("times")) >= 1)
    config = {
        "batch": batch, "samples": WINDOW, "repeats": repeats, "calls a repeat": burst, "parameters": sizes,
        "goal": "at most as large, at least as fast", "goal met": met and sizes["MotionGRU"] <= sizes["StackedRNN"],
    }  # fmt: skip
    question = "Is our encoder at most as large and as fast as the paper's?"
    return _row(f"MotionGRU beside StackedRNN at batch {batch}, one thread", question, config, values, began)
