"""How large a PRIMUS experiment is: smoke (tests), quick (notebooks, CI), bench (recorded results), paper."""

from __future__ import annotations

from dataclasses import dataclass, replace

from eailkit.training import TrainConfig


@dataclass(frozen=True)
class PrimusSize:
    """How much of everything.

    Attributes:
        participants, minutes: of the scenarios; kitchen_takes: of the kitchens' training takes (0: all).
        held_participants, held_minutes: of the scenarios that no pretraining sees.
        batch, train: of pretraining; embed_dim: of the paper's encoder (512 in the paper).
        shots, seeds: of the few-shot curves; ablation_shots: of methods that only Figs. 5 and 6 have;
            scratch_*: of nets trained anew at every point, which cost more.
    """

    participants: int
    minutes: float
    kitchen_takes: int
    held_participants: int
    held_minutes: float
    batch: int
    train: TrainConfig
    embed_dim: int
    shots: tuple[int, ...]
    seeds: int
    scratch_shots: tuple[int, ...]
    scratch_seeds: int
    scratch_steps: int
    ablation_shots: tuple[int, ...]


_TRAIN = TrainConfig(steps=300, learning_rate=1e-3, precision="bf16-mixed", warmup_steps=40)
SIZES = {
    "smoke": PrimusSize(
        4, 0.6, 2, 5, 0.6, 32, replace(_TRAIN, steps=4, warmup_steps=2), 128, (1, 2), 1, (2,), 1, 3, (1, 2)
    ),
    "quick": PrimusSize(6, 1.0, 8, 5, 0.7, 64, replace(_TRAIN, steps=120), 128, (1, 5, 20), 2, (5,), 1, 60, (5,)),
    "bench": PrimusSize(
        12, 3.0, 0, 10, 2.0, 64, _TRAIN, 512, (1, 2, 5, 10, 20, 50, 100, 200, 500), 5, (1, 5, 20, 100), 1, 150,
        (1, 5, 20, 100),
    ),
}  # fmt: skip
SIZES["paper"] = replace(  # 15 epochs, batch 64; 50 shots per class upwards count most there
    SIZES["bench"], batch=64, train=replace(_TRAIN, steps=40_000, learning_rate=2e-4), participants=60
)
