"""The three sizes that everything runs at: quick (laptops, CI), bench (recorded results), paper (Ego-Exo4D).

`PROFILES` are EAIL's, `PRIMUS_SIZES` PRIMUS's; smoke is for tests of the plumbing.

A profile holds numbers and nothing else; each class that they configure is named beside them. Where a value is
the paper's, `PAPER` has it; what the paper leaves open is written in the docstring of what it configures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from eailkit.errors import ConfigError
from eailkit.training import TrainConfig


@dataclass(frozen=True)
class DatasetSize:
    """How much SynthKitchen to make; see `synthkitchen.splits.DatasetConfig`.

    `minutes` is the mean of the takes; `minutes_spread` 0 keeps them within a quarter of it, the bench's 0.6
    spreads them from 2 to 40 minutes, as Ego-Exo4D's cooking takes are. `long_takes` of each test split last
    `long_minutes`, for errors over time.
    """

    seen_rooms: int
    val_unseen_rooms: int
    test_unseen_rooms: int
    participants: int
    minutes: float
    train_takes_per_room: int
    unseen_takes_per_room: int
    long_takes: int
    long_minutes: float = 20.0
    minutes_spread: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Profile:
    """One size of the whole course.

    Attributes:
        imu_width: channels of ResNet-18's first group (RoNIN and the paper: 64).
        points_variant: `PointNet2` variant.
        points_per_cell: points of a local cloud (paper: 8192).
        embed_dim: width of the shared space (SLIP: 512; the tiny towers: 128).
        views: angles at which stage 2 sees each training room (`features.RoomView`), each by its quarter turns too.
        hypotheses: headings of each training sequence of stage 2, the true one and wrong ones.
        conv_channels: channels of stage 2's 3D convolutions, conv_blocks their form (`Stage2Config.blocks`).
        sequence_s: T, seconds of a stage-2 sequence (paper: 10).
        stage1, stage2: training of the two stages; ablation: of each row of Tables 3 to 5; velocity and imu_alone: of
            EAIL's own velocity net and of the line without a map.
        baseline, niloc_plus, action_net: training of Table 1's velocity nets, of NILoc+ and of Table 2's nets;
            baseline_width: of the first two, as a share of the published width; action_size: "small" or "paper".
        eval_stride_s: step between the windows whose probabilities are averaged.
        epochs: of stage 1 and of stage 2, where the paper counts so; `counted` makes them steps. None: steps as they
            stand.
    """

    name: str
    data: DatasetSize
    imu_width: int
    points_variant: str
    points_per_cell: int
    embed_dim: int
    views: int
    hypotheses: int
    conv_channels: int
    conv_blocks: str
    stage1_batch: int
    stage2_batch: int
    stage1: TrainConfig
    stage2: TrainConfig
    ablation: TrainConfig
    velocity: TrainConfig
    imu_alone: TrainConfig
    baseline: TrainConfig
    niloc_plus: TrainConfig
    action_net: TrainConfig
    baseline_width: float = 0.25
    action_size: str = "small"
    vision_language: str = "tiny"
    sequence_s: int = 10
    eval_stride_s: int = 1
    seeds: tuple[int, ...] = (0,)
    epochs: tuple[int, int] | None = None


QUICK = Profile(
    name="quick",
    data=DatasetSize(
        seen_rooms=32, val_unseen_rooms=4, test_unseen_rooms=6, participants=26, minutes=4.0,
        train_takes_per_room=3, unseen_takes_per_room=5, long_takes=2,
    ),
    imu_width=32, points_variant="quick", points_per_cell=512, embed_dim=128, views=4, hypotheses=3, conv_channels=16,
    conv_blocks="light",
    stage1_batch=128, stage2_batch=6,
    stage1=TrainConfig(steps=900, weight_decay=0.05, validate_every=150, min_steps=450),
    stage2=TrainConfig(steps=1200, learning_rate=2e-3, precision="bf16-mixed", validate_every=200, min_steps=600),
    ablation=TrainConfig(steps=200, learning_rate=2e-3, precision="bf16-mixed"),
    velocity=TrainConfig(
        steps=1500, learning_rate=2e-3, precision="bf16-mixed", validate_every=250, min_steps=500
    ),
    imu_alone=TrainConfig(steps=400, learning_rate=2e-3, validate_every=50, min_steps=100),
    baseline=TrainConfig(steps=1500, learning_rate=2e-3, validate_every=250, min_steps=500),  # as fast as bfloat16
    niloc_plus=TrainConfig(steps=800, precision="bf16-mixed", validate_every=100, min_steps=200),
    action_net=TrainConfig(steps=1200, weight_decay=0.05, validate_every=150, min_steps=300, patience=3),
    eval_stride_s=5,
)  # fmt: skip

SMOKE = replace(  # minutes become seconds: for tests of the plumbing, never for a result
    QUICK,
    name="smoke",
    data=DatasetSize(
        seen_rooms=2, val_unseen_rooms=1, test_unseen_rooms=1, participants=4, minutes=1.0,
        train_takes_per_room=1, unseen_takes_per_room=1, long_takes=0,
    ),
    views=2, stage1_batch=32, stage2_batch=2,
    stage1=TrainConfig(steps=6, warmup_steps=2, checkpoint_every=2),  # so that a kill finds something to resume
    stage2=TrainConfig(steps=6, warmup_steps=2, checkpoint_every=2, validate_every=2, min_steps=4),
    ablation=TrainConfig(steps=4, warmup_steps=2),
    velocity=TrainConfig(steps=6, warmup_steps=2, validate_every=3),
    imu_alone=TrainConfig(steps=6, warmup_steps=2, validate_every=3),
    baseline=TrainConfig(steps=4, warmup_steps=2, validate_every=2),
    niloc_plus=TrainConfig(steps=4, warmup_steps=2, validate_every=2),
    action_net=TrainConfig(steps=4, warmup_steps=2, validate_every=2),
    baseline_width=0.125,
    eval_stride_s=5,
)  # fmt: skip

BENCH = replace(  # meant for every row of EAIL's tables, three seeds, in 16 core-hours without bfloat16 (--dry-run)
    QUICK,
    name="bench",
    data=DatasetSize(
        seen_rooms=44, val_unseen_rooms=5, test_unseen_rooms=10, participants=60, minutes=4.0,
        train_takes_per_room=5, unseen_takes_per_room=4, long_takes=4, minutes_spread=0.6,
    ),
    conv_channels=32, baseline_width=0.5,
    stage1=TrainConfig(steps=1200, weight_decay=0.05, validate_every=200, min_steps=600),
    stage2=TrainConfig(steps=1500, learning_rate=2e-3, precision="bf16-mixed", validate_every=250, min_steps=750),
    ablation=TrainConfig(steps=1500, learning_rate=2e-3, precision="bf16-mixed", validate_every=250, min_steps=750),
    seeds=(0, 1, 2),
)  # fmt: skip

PAPER = replace(  # EAIL section 5.1; the steps stand in until `counted` knows the recordings
    BENCH,
    name="paper",
    data=DatasetSize(
        seen_rooms=44, val_unseen_rooms=6, test_unseen_rooms=10, participants=173, minutes=9.0,
        train_takes_per_room=4, unseen_takes_per_room=2, long_takes=6, minutes_spread=0.6,
    ),
    imu_width=64, points_variant="ssg", points_per_cell=8192, embed_dim=512, conv_channels=64, conv_blocks="full",
    stage1_batch=64, stage2_batch=64,
    stage1=TrainConfig(steps=250_000, precision="bf16-mixed"),
    stage2=TrainConfig(steps=100_000),
    ablation=TrainConfig(steps=100_000),
    velocity=TrainConfig(steps=6000, validate_every=500, min_steps=1000),
    imu_alone=TrainConfig(steps=6000, learning_rate=2e-3, validate_every=250, min_steps=250),
    baseline=TrainConfig(steps=6000, learning_rate=1e-3, validate_every=500, min_steps=1000),
    niloc_plus=TrainConfig(steps=6000, learning_rate=3e-4, validate_every=500, min_steps=1000),
    action_net=TrainConfig(steps=6000, learning_rate=1e-3, validate_every=500, min_steps=1000),
    baseline_width=1.0, action_size="paper",
    eval_stride_s=1,
    vision_language="slip", epochs=(250, 100),
)  # fmt: skip

PROFILES = {p.name: p for p in (SMOKE, QUICK, BENCH, PAPER)}


def get_profile(name: str) -> Profile:
    """The profile of that name.

    Raises:
        ConfigError: there is none; the message lists them.
    """
    if name not in PROFILES:
        raise ConfigError(f"profile: found '{name}'; expected one of {', '.join(PROFILES)}; choose one of these.")
    return PROFILES[name]


def counted(profile: Profile, seconds: int) -> Profile:
    """The profile with its epochs as steps of what was found; as it is where it counts none.

    steps_1 = ceil(epochs_1 * seconds / batch_1): a window a second. 564.13 h are 2,030,868 windows, 31,733 batches of
    64 an epoch, 7.93 million steps of 250 epochs; were those the hours of four cameras, 1.98 million.
    steps_2 = ceil(epochs_2 * seconds / T / batch_2): sequences of T = 10 s that don't overlap, each second once an
    epoch; 317,324 steps of 100 epochs. The paper doesn't say how it cuts sequences: at a stride of 1 s it would be ten
    times as many.

    The rows of Table 3 train as stage 2 does; velocity and NILoc+, of which the paper gives no epochs, keep their
    steps. Checkpoints are an epoch apart at least.

    Args:
        seconds: of training takes, with a place (`experiments.data_root.training_seconds`).

    Raises:
        ConfigError: no second was found.
    """
    if profile.epochs is None:
        return profile
    if seconds < 1:
        raise ConfigError(f"seconds: found {seconds}; expected 1 or more of training takes; check the splits.")
    stage1 = _epochs_as_steps(profile.stage1, profile.epochs[0], seconds / profile.stage1_batch)
    sequences = seconds / profile.sequence_s
    stage2 = _epochs_as_steps(profile.stage2, profile.epochs[1], sequences / profile.stage2_batch)
    return replace(
        profile, stage1=stage1, stage2=stage2, ablation=replace(stage2, seed=profile.ablation.seed), epochs=None
    )


def _epochs_as_steps(train: TrainConfig, epochs: int, batches: float) -> TrainConfig:
    often = max(train.checkpoint_every, math.ceil(batches))
    return replace(train, steps=math.ceil(epochs * batches - 1e-9), checkpoint_every=often)


@dataclass(frozen=True)
class PrimusSize:
    """How large a PRIMUS experiment is: smoke (tests), quick (notebooks, CI), bench (recorded results), paper.

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


_PRETRAIN = TrainConfig(steps=300, learning_rate=1e-3, warmup_steps=40)
PRIMUS_SIZES = {
    "smoke": PrimusSize(
        4, 0.6, 2, 5, 0.6, 32, replace(_PRETRAIN, steps=4, warmup_steps=2), 128, (1, 2), 1, (2,), 1, 3, (1, 2)
    ),
    "quick": PrimusSize(6, 1.0, 8, 5, 0.7, 64, replace(_PRETRAIN, steps=120), 128, (1, 5, 20), 2, (5,), 1, 60, (5,)),
    "bench": PrimusSize(
        12, 3.0, 0, 10, 2.0, 64, _PRETRAIN, 512, (1, 2, 5, 10, 20, 50, 100, 200, 500), 5, (1, 5, 20, 100), 1, 150,
        (1, 5, 20, 100),
    ),
}  # fmt: skip
PRIMUS_SIZES["paper"] = replace(  # 15 epochs, batch 64; 50 shots per class upwards count most there
    PRIMUS_SIZES["bench"], batch=64, train=replace(_PRETRAIN, steps=40_000, learning_rate=2e-4), participants=60
)
