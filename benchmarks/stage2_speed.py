"""How long a stage-2 training step takes with full and with light blocks, side by side in one process.

Both are stepped in turn, so that whatever else the machine does falls on both alike; time is processor time, in float32
on one thread. `python -m benchmarks.stage2_speed` prints medians and ratios; nothing is recorded.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np
import torch

from eailkit.allocator import keep_freed_memory
from eailkit.eail.headings import under_headings
from eailkit.eail.inference import stage2_config
from eailkit.eail.stage2 import BLOCKS, SpatioTemporalReasoner, stage2_loss
from eailkit.profiles import Profile, get_profile

ACTIONS = 35


def measure(profile: Profile, *, steps: int = 20) -> dict[str, dict[str, float]]:
    """Milliseconds (medians) of a training step with all its headings and of a forward pass with one, by blocks."""
    torch.set_num_threads(1)
    keep_freed_memory()
    batch = _batch(profile)
    models = {k: SpatioTemporalReasoner(replace(stage2_config(profile, ACTIONS), blocks=k)) for k in BLOCKS}
    optimizers = {k: torch.optim.AdamW(model.parameters()) for k, model in models.items()}
    took: dict[tuple[str, str], list[float]] = {(k, what): [] for k in BLOCKS for what in ("step", "forward")}
    for i in range(steps + 3):
        for blocks, model in models.items():
            began = time.process_time()
            location, action = under_headings(model.train(), batch["imu"], batch["points"], batch["empty"])
            loss = stage2_loss(location, action[:, 0], batch["cell"], batch["action"], batch["empty"])
            loss["total"].backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizers[blocks].step()
            optimizers[blocks].zero_grad()
            between = time.process_time()
            with torch.inference_mode():
                model.eval()(batch["imu"][:, 0], batch["points"], batch["empty"])
            if i >= 3:  # the first allocate memory and choose kernels
                took[blocks, "step"].append(1000 * (between - began))
                took[blocks, "forward"].append(1000 * (time.process_time() - between))
    return {k: {what: float(np.median(took[k, what])) for what in ("step", "forward")} for k in BLOCKS}


def _batch(profile: Profile) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    sizes = (profile.stage2_batch, profile.hypotheses, profile.sequence_s, profile.embed_dim)
    unit = lambda *shape: torch.nn.functional.normalize(torch.randn(*shape, generator=generator), dim=-1)  # noqa: E731
    return {
        "imu": unit(*sizes), "points": unit(sizes[0], 400, profile.embed_dim),
        "empty": torch.rand(sizes[0], 400, generator=generator) < 0.3,
        "cell": torch.randint(0, 400, (sizes[0], sizes[2]), generator=generator),
        "action": torch.randint(0, ACTIONS, (sizes[0], sizes[2]), generator=generator),
    }  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--steps", type=int, default=20)
    asked = parser.parse_args()
    found = measure(get_profile(asked.profile), steps=asked.steps)
    for what in ("step", "forward"):
        full, light = (found[k][what] for k in BLOCKS)
        print(f"{what:8s} full {full:6.1f} ms, light {light:6.1f} ms, ratio {light / full:.2f}")
