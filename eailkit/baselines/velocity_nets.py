"""The velocity nets of EAIL's Table 1, trained as EAIL's own is: the same windows, split, loop and validation.

RoNIN and IMUNet read a second at 200 Hz in a frame of unknown heading. Here each net reads what `eail.velocity` reads,
three seconds at 100 Hz turned to where the head faces, so that none is handicapped by its input. What they say is
summed from the true start by `ronin.summed`; EAIL needs no such start.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from eailkit.baselines import ronin
from eailkit.baselines.mobile import EFFICIENTNET, MNASNET, ImuNet, MobileNet
from eailkit.baselines.ronin_net import RESNET18, RESNET50, RoninResNet
from eailkit.eail.features import turn_xy
from eailkit.eail.prepared import Prepared
from eailkit.eail.sequences import Prediction
from eailkit.eail.velocity import NET_HZ, SIDE_S, VelocityBatches, facing_velocity, turned_sides
from eailkit.errors import ConfigError
from eailkit.preprocess.imu import RATE_HZ
from eailkit.provenance import Identity, identity
from eailkit.training import History, TrainConfig, fit

SAMPLES = round((2 * SIDE_S + 1) * NET_HZ)
BATCH = 128  # RoNIN's
NETS: dict[str, Callable[[float, int], nn.Module]] = {  # name in Table 1 -> (width, samples) -> net
    "MnasNet": lambda width, samples: MobileNet(MNASNET, width=width),
    "EfficientNet": lambda width, samples: MobileNet(EFFICIENTNET, nn.SiLU, width=width),
    "IMUNet": lambda width, samples: ImuNet(width=width, samples=samples),
    "RoNIN (ResNet-18)": lambda width, samples: RoninResNet(RESNET18, 512, width=width, samples=samples),
    "RoNIN (ResNet-50)": lambda width, samples: RoninResNet(RESNET50, 1024, width=width, samples=samples),
}


def velocity_net(name: str, *, width: float = 1.0, samples: int = SAMPLES) -> nn.Module:
    """An untrained net of Table 1: (B, 6, samples) to mean ground velocities (B, 2), m/s.

    Args:
        name: one of `NETS`.
        width: multiplier of its channels; 1 is the paper's.
        samples: length of its windows; MnasNet and EfficientNet take any.

    Raises:
        ConfigError: no such net, or a width or length that it can't have.
    """
    if name not in NETS:
        raise ConfigError(f"velocity net: found '{name}'; expected one of {', '.join(NETS)}; choose one of these.")
    return NETS[name](width, samples)


def train_velocity_net(
    name: str, prepared: Prepared, train: TrainConfig, out_dir: str | Path | None, *, width: float = 1.0,
    batch: int = BATCH, progress: bool = True,
) -> tuple[nn.Module, History]:  # fmt: skip
    """Train a net of Table 1 on mean squared error; the weights of its best validation are kept.

    Batches are those of EAIL's own net (`eail.velocity.VelocityBatches`). The loss is RoNIN's, mean over rows and axes
    of (v - u)^2 of the middle second's mean velocity.

    Raises:
        ConfigError: no such net, or an impossible width.
    """
    torch.manual_seed(train.seed)
    model, takes = velocity_net(name, width=width), prepared.held_out
    history = fit(
        model, VelocityBatches(prepared, batch),
        lambda m, rows: {"total": F.mse_loss(m(at_net_rate(rows["imu"])).float(), rows["velocity"])},
        train, out_dir=out_dir, name=file_name(name), progress=progress,
        context=velocity_net_identity(name, prepared, width=width, batch=batch),
        validate=(lambda m: squared_error(m, takes)) if takes else None,
    )  # fmt: skip
    return model.eval(), history


def velocity_net_identity(name: str, prepared: Prepared, *, width: float = 1.0, batch: int = BATCH) -> Identity:
    """What a net of Table 1 is determined by, its schedule apart; `training.trained_identity` adds that."""
    return identity(
        "velocity net of Table 1", code=("eailkit.baselines.velocity_nets",), data=prepared.identity, net=name,
        width=width, batch=batch,
    )  # fmt: skip


def file_name(name: str) -> str:
    """A net's name as `training.fit` files it: "velocity-ronin-resnet-18"."""
    return "velocity-" + re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def at_net_rate(windows: Float[Tensor, "n 6 longer"]) -> Float[Tensor, "n 6 samples"]:
    """Windows at 400 Hz averaged down to the nets' 100 Hz, as EAIL's own net has them."""
    return F.avg_pool1d(windows, round(RATE_HZ / NET_HZ))


@torch.inference_mode()
def facing_velocities(model: nn.Module, take) -> Float[np.ndarray, "n 2"]:
    """What a net says of each of a take's seconds, m/s, forward and to the left of the facing."""
    device = next(model.parameters()).device
    facing = torch.from_numpy(np.array(take.facing, np.float32))
    windows = turned_sides(torch.from_numpy(np.array(take.windows, np.float32)), facing)
    return torch.cat([model(at_net_rate(x.to(device))).float().cpu() for x in windows.split(256)]).numpy()


def squared_error(model: nn.Module, takes: list) -> float:
    """Mean squared error, (m/s)^2, over both axes and the seconds whose velocity is known, each take alike."""
    errors = []
    for take in takes:
        off = facing_velocities(model, take) - facing_velocity(take)
        errors.append(np.square(off[np.isfinite(off).all(1)]).mean())
    return float(np.mean(errors))


def gravity_velocities(model: nn.Module, take) -> Float[np.ndarray, "n 2"]:
    """What a net says of each of a take's seconds in the gravity frame, m/s."""
    return turn_xy(facing_velocities(model, take).astype(float), np.nan_to_num(np.asarray(take.facing, float)))


def dead_reckoning(model: nn.Module, take) -> Prediction:
    """A net's velocities summed from the take's true start and heading, as `ronin.dead_reckoning` does with ours."""
    return ronin.summed(gravity_velocities(model, take), take)
