"""How fast a training step of each velocity net of Table 1 is beside the same layers as torch's 1-D modules.

    OMP_NUM_THREADS=2 python -m benchmarks.baselines_speed [--width 0.25] [--threads 2]

The least milliseconds of the repeats, old and new in turn: of the wall, on one thread of the processor, which others'
load moves less. Windows are three seconds at 100 Hz. Of NILoc+ only the step of 16 sequences stands here: its encoder
is `ImuResNet18`, which `benchmarks/stage1_speed.py` measures, the rest torch's.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from eailkit.baselines.mobile import ImuNet, MobileNet
from eailkit.baselines.niloc_plus import NilocPlus
from eailkit.baselines.velocity_nets import BATCH, NETS, SAMPLES, velocity_net


class Plain(nn.Module):
    """A net of Table 1 on `nn.Conv1d`, `nn.BatchNorm1d` and `nn.MaxPool1d`, with the weights of ours."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = copy.deepcopy(net)
        _flatten_pictures(self.net)

    def forward(self, imu: Tensor) -> Tensor:
        """As ours: (B, 6, samples) to (B, 2)."""
        net = self.net
        features = net.trunk(imu)
        if isinstance(net, ImuNet):
            return net.out(F.elu(features - (net.noise_gain * imu.flatten(1) + net.noise_offset)))
        return net.head(features.mean(2) if isinstance(net, MobileNet) else features)


def _flatten_pictures(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d):
            conv = nn.Conv1d(
                child.in_channels, child.out_channels, child.kernel_size[1], child.stride[1], child.padding[1],
                groups=child.groups, bias=child.bias is not None, dtype=child.weight.dtype,
            )  # fmt: skip
            conv.load_state_dict({k: v[:, :, 0] if k == "weight" else v for k, v in child.state_dict().items()})
            setattr(module, name, conv)
        elif isinstance(child, nn.BatchNorm2d):
            norm = nn.BatchNorm1d(child.num_features, dtype=child.weight.dtype)
            norm.load_state_dict(child.state_dict())
            # timm's norms hold the activation that follows them
            setattr(module, name, nn.Sequential(norm, child.act) if hasattr(child, "act") else norm)
        elif isinstance(child, nn.MaxPool2d):
            setattr(module, name, nn.MaxPool1d(3, 2, 1))
        else:
            _flatten_pictures(child)


def step(net: nn.Module, *inputs: Tensor, bf16: bool = False) -> Callable[[], None]:
    """A training step without the optimizer, which is the same for both."""

    def call() -> None:
        net.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            out = net(*inputs)
        out.float().square().mean().backward()

    return call


def alternating(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The least milliseconds of each call, measured in turn; the first round counts for nothing."""
    best = dict.fromkeys(calls, float("inf"))
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    for repeat in range(repeats + 1):
        for name, call in calls.items():
            began = clock()
            call()
            if repeat:
                best[name] = min(best[name], 1e3 * (clock() - began))
    return best


def measure(name: str, width: float, *, batch: int = BATCH, repeats: int = 8, bf16: bool = False) -> dict[str, float]:
    """Milliseconds of a training step of a net of Table 1 or of "NILoc+": {"plain": ..., "ours": ...}."""
    torch.manual_seed(0)
    if name == "NILoc+":
        seconds, angle = torch.randn(16, 10, 6, 400), torch.randn(16, 10)  # 16 sequences
        return alternating({"ours": step(NilocPlus(width=width).train(), seconds, angle, bf16=bf16)}, repeats)
    ours, imu = velocity_net(name, width=width).train(), torch.randn(batch, 6, SAMPLES)
    return alternating({"plain": step(Plain(ours), imu, bf16=bf16), "ours": step(ours, imu, bf16=bf16)}, repeats)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=float, nargs="+", default=[0.25, 1.0])
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--bf16", action="store_true", help="under autocast to bfloat16")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    precision = "bfloat16" if arguments.bf16 else "float32"
    print(
        f"{torch.backends.cpu.get_cpu_capability()}, {arguments.threads} threads, batch {arguments.batch}, {precision}"
    )
    for width in arguments.width:
        for name in (*NETS, "NILoc+"):
            ms = measure(name, width, batch=arguments.batch, repeats=arguments.repeats, bf16=arguments.bf16)
            ratio = f"   ours / plain {ms['ours'] / ms['plain']:.2f}" if "plain" in ms else ""
            told = "   ".join(f"{k} {v:7.1f} ms" for k, v in ms.items())
            print(f"width {width:4} {name:18}{told}{ratio}", flush=True)


if __name__ == "__main__":
    main()
