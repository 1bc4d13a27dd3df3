"""How fast stage 1 is beside plain torch modules of the same layers: a training step, a batch, inference.

    ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 MKL_ENABLE_INSTRUCTIONS=AVX2 python -m benchmarks.stage1_speed

measures as a processor without AVX-512 would, on one thread, old and new in turn; seconds of CPU, the least of the
repeats. With the folder of a course's run it takes that run's windows and rooms, else made-up ones.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eailkit.eail.features import embed_cells
from eailkit.eail.stage1 import Stage1, Stage1Batches, Stage1Config
from eailkit.encoders.neighbours import Neighbours
from eailkit.encoders.points import PointNet2, group_means
from eailkit.experiments.eail_run import Run
from eailkit.profiles import QUICK
from eailkit.training import seed_step

BATCH = QUICK.stage1_batch


def plain_imu(net: nn.Module, imu: Tensor) -> Tensor:
    """The IMU encoder by torch's own modules."""
    return net.projection(net.trunk(imu).mean(dim=-1))


def plain_points(net: PointNet2, points: Tensor, near: Neighbours) -> Tensor:
    """PointNet++ by torch's own linear layers, batch norms and maxima; one level, as in "quick"."""
    batch, n, _ = points.shape
    start = torch.arange(batch)[:, None] * n
    xyz = points.reshape(-1, 3)
    groups = (near.groups[0][0].long() + start[..., None]).flatten(0, 1)  # (B S, K)
    centres = group_means(xyz, groups)  # (B S, 3)
    features = _plain_mlp(net.levels[0][0], xyz[groups] - centres[:, None])
    features = torch.cat([centres, features], dim=1).view(batch, -1, features.shape[1] + 3)
    return net.projection(_plain_mlp(net.everything, features))


def _plain_mlp(shared: nn.Module, x: Tensor) -> Tensor:
    for linear, norm in zip(shared.linears, shared.norms, strict=True):
        rows = F.linear(x, linear.weight, linear.bias).flatten(0, 1)
        statistics = norm.running_mean, norm.running_var, norm.weight, norm.bias, norm.training
        x = F.relu(F.batch_norm(rows, *statistics, norm.momentum, norm.eps)).view(*x.shape[:2], -1)
    return x.amax(dim=1)


class PlainStage1(Stage1):
    """Stage 1 with the same parameters and loss on plain modules."""

    def loss(self, batch: dict) -> dict[str, Tensor]:
        """As `Stage1.loss`."""
        fast = self.imu.forward, self.points.forward
        self.imu.forward = lambda imu: plain_imu(self.imu, imu)
        self.points.forward = lambda points, near: plain_points(self.points, points, near)
        try:
            return super().loss(batch)
        finally:
            self.imu.forward, self.points.forward = fast


def alternating(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The least CPU milliseconds of each call, measured in turn."""
    best = dict.fromkeys(calls, float("inf"))
    for repeat in range(repeats + 1):
        for name, call in calls.items():
            began = time.process_time()
            call()
            if repeat:  # the first one compiles and allocates
                best[name] = min(best[name], 1e3 * (time.process_time() - began))
    return best


def _made_up() -> dict:
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(BATCH, 512, 3, generator=generator) * torch.tensor([1.0, 1.0, 2.5])
    return dict.fromkeys(("image", "text", "has_image", "has_text", "same_text")) | {
        "imu": torch.randn(BATCH, 6, 400, generator=generator), "points": points,
        "facing": torch.rand(BATCH, generator=generator) * 2 * torch.pi, "same_place": None,
        "neighbours": PointNet2("quick").neighbours(points),
    }  # fmt: skip


def _step(model: Stage1, batch: dict) -> Callable[[], None]:
    def call() -> None:
        model.zero_grad(set_to_none=True)
        model.loss(batch)["total"].backward()

    return call


def _encoder_step(encoder: nn.Module, forward: Callable[[], Tensor]) -> Callable[[], None]:
    def call() -> None:
        encoder.zero_grad(set_to_none=True)
        forward().square().mean().backward()

    return call


def measure(run_dir: Path | None = None, repeats: int = 12) -> dict[str, dict[str, float]]:
    """CPU milliseconds of plain modules and of ours, by what is done."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    ours = Stage1(Stage1Config.of(QUICK, use_vision_language=False)).train()
    plain = PlainStage1(ours.config).train()
    plain.load_state_dict(ours.state_dict())
    found = {}
    if run_dir is None:
        batch = _made_up()
    else:
        batches = Stage1Batches(Run(run_dir, QUICK, progress=False).prepared, ours, None, BATCH)
        steps = iter(range(10_000))
        found["a batch made"] = alternating({"ours": lambda: batches(seed_step(0, s := next(steps)), s)}, repeats)
        batch = batches(seed_step(0, 0), 0)
    imu, points, near = batch["imu"], batch["points"], batch["neighbours"]
    found["stage 1's step"] = alternating({"plain": _step(plain, batch), "ours": _step(ours, batch)}, repeats)
    found["of it the IMU encoder"] = alternating({
        "plain": _encoder_step(plain.imu, lambda: plain_imu(plain.imu, imu)),
        "ours": _encoder_step(ours.imu, lambda: ours.imu(imu)),
    }, repeats)  # fmt: skip
    found["of it the point encoder"] = alternating({
        "plain": _encoder_step(plain.points, lambda: plain_points(plain.points, points, near)),
        "ours": _encoder_step(ours.points, lambda: ours.points(points, near)),
    }, repeats)  # fmt: skip
    ours.eval(), plain.eval()
    windows = imu.repeat(4, 1, 1)
    with torch.inference_mode():
        found["512 windows to features"] = alternating(
            {"plain": lambda: plain_imu(plain.imu, windows), "ours": lambda: ours.imu(windows)}, repeats
        )
        alike = (F.normalize(plain_imu(plain.imu, windows)) - F.normalize(ours.imu(windows))).abs().max()
    cells = copy.copy(points.numpy())
    found["cells to features, neighbours found anew"] = alternating(
        {"ours": lambda: embed_cells(ours, cells, np.zeros(len(cells), bool))}, repeats
    )
    print(f"largest difference of unit features: {float(alike):.1e}")
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run-dir", type=Path, help="folder of a course's run (runs/lab)")
    parser.add_argument("--repeats", type=int, default=12)
    arguments = parser.parse_args()
    print(f"CPU capability: {torch.backends.cpu.get_cpu_capability()}, one thread, batch {BATCH}, float32")
    for what, ms in measure(arguments.run_dir, arguments.repeats).items():
        ratio = f"   ours / plain {ms['ours'] / ms['plain']:.2f}" if "plain" in ms else ""
        print(f"{what:42}" + "   ".join(f"{name} {value:7.1f} ms" for name, value in ms.items()) + ratio)


if __name__ == "__main__":
    main()
