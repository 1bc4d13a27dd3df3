"""Train stage 2 on cached features and run it over takes (EAIL sections 4.2 and 5.1).

Everything here reads stage-1 features (`features.Features`) and rooms; nothing looks at a trajectory but for its labels
in training, and for a heading where the protocol is "published".
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from einops import rearrange

from eailkit.eail.features import Features
from eailkit.eail.headings import HeadingMaps, heading_maps, heading_posterior, under_headings
from eailkit.eail.prepared import Prepared
from eailkit.eail.sequences import Prediction, SequenceBatches, heading_angles
from eailkit.eail.stage2 import SpatioTemporalReasoner, Stage2Config, stage2_loss
from eailkit.errors import CheckpointError, ConfigError
from eailkit.profiles import Profile
from eailkit.provenance import Identity, identity
from eailkit.training import History, TrainConfig, fit


def train_stage2(
    prepared: Prepared,
    features: Features,
    profile: Profile,
    out_dir: str | Path | None,
    *,
    config: Stage2Config | None = None,
    train: TrainConfig | None = None,
    use_action_loss: bool = True,
    name: str = "stage2",
    progress: bool = True,
) -> tuple[SpatioTemporalReasoner, History]:
    """Train stage 2 on frozen features with L_traj + L_action; resumes what is in out_dir.

    Where the dataset has validation takes and the schedule validates, the weights are those of the lowest loss on
    them; else the whole schedule's last.

    Args:
        train: schedule; the profile's `stage2` by default.
        use_action_loss: False leaves the action head untrained (Table 3, "w/o action loss").
    """
    config = config or stage2_config(profile, len(prepared.action_names))
    train = train or profile.stage2
    torch.manual_seed(train.seed)
    model = SpatioTemporalReasoner(config)
    batches = SequenceBatches(
        prepared, features, batch=profile.stage2_batch, time=profile.sequence_s, hypotheses=profile.hypotheses
    )

    def loss_of(wrapped, batch: dict) -> dict[str, torch.Tensor]:
        location, action = under_headings(wrapped, batch["imu"], batch["points"], batch["empty"])
        return stage2_loss(
            location.float(), action[:, 0].float(), batch["cell"], batch["action"], batch["empty"],
            use_action_loss=use_action_loss,
        )  # fmt: skip

    history = fit(
        model, batches, loss_of, train, out_dir=out_dir, name=name, progress=progress,
        context=stage2_identity(prepared, features.identity, profile, config, use_action_loss=use_action_loss),
        validate=validation_loss(prepared, features, profile, use_action_loss=use_action_loss),
    )  # fmt: skip
    model.stage1_tag = features.stage1_tag
    return model.eval(), history


def stage2_identity(
    prepared: Prepared, features: Identity, profile: Profile, config: Stage2Config, *, use_action_loss: bool = True
) -> Identity:
    """What a stage 2 is determined by, its schedule apart; `training.trained_identity` adds that."""
    return identity(
        "stage 2", code=("eailkit.eail.inference",), data=prepared.identity, features=features, config=config,
        use_action_loss=use_action_loss, sequence_s=profile.sequence_s, batch=profile.stage2_batch,
        hypotheses=profile.hypotheses,
    )  # fmt: skip


def check_belongs(stage2: SpatioTemporalReasoner, stage1_tag: str) -> None:
    """Refuse a stage 2 that was trained on another stage 1; where either is unknown nothing can be said.

    Raises:
        CheckpointError: the tags differ.
    """
    if stage1_tag and stage2.stage1_tag and stage1_tag != stage2.stage1_tag:
        raise CheckpointError(
            f"stage 2: found one that was trained on stage 1 {stage2.stage1_tag}; expected one for stage 1 "
            f"{stage1_tag}; take the two of one run, or train stage 2 on this one."
        )


def validation_loss(
    prepared: Prepared, features: Features, profile: Profile, *, use_action_loss: bool = True
) -> Callable[[SpatioTemporalReasoner], float] | None:
    """A function that gives stage 2's loss on takes kept from training, nats; None where there are no such takes.

    Each take of val-seen and val-unseen counts once. The loss, not the success rate: twelve takes tell a success rate
    to within five points.
    """
    takes = [t for t in prepared.held_out if t.name in features.takes]
    if not takes:
        return None

    def of(model: SpatioTemporalReasoner) -> float:
        losses = []
        for take in takes:
            room = prepared.rooms[take.room]
            around = np.asarray(take.heading)[:, None] + heading_angles()  # the true one first, as the loss wants it
            known = features.direction is not None
            maps = heading_maps(
                model, features.direction, features.takes[take.name], features.facing_of(take.name),
                features.rooms[take.room], room.empty, headings=np.nan_to_num(around if known else around[:, :1]),
                time=profile.sequence_s, stride=profile.sequence_s,
            )  # fmt: skip
            both = (maps.joint, maps.action[:, 0])
            location, action = (torch.from_numpy(p[None]).clamp(min=1e-12).log() for p in both)
            cell, label = (torch.from_numpy(np.asarray(a, np.int64)[None]) for a in (take.cell, take.action))
            empty = torch.from_numpy(np.array(room.empty, bool)[None])
            location = rearrange(location, "b t h s -> b h t s")
            loss = stage2_loss(location, action, cell, label, empty, use_action_loss=use_action_loss)
            losses.append(float(loss["total"]))
        return float(np.mean(losses))

    return of


def stage2_config(profile: Profile, actions: int, **changes) -> Stage2Config:
    """The stage-2 configuration that a profile asks for."""
    return Stage2Config(
        embed_dim=profile.embed_dim,
        channels=profile.conv_channels,
        blocks=profile.conv_blocks,
        place_code=True,
        actions=actions,
        **changes,
    )


PROTOCOLS = ("inferred", "published", "heading throughout")


def take_maps(
    model: SpatioTemporalReasoner,
    prepared: Prepared,
    features: Features,
    take,
    *,
    profile: Profile,
    imu_of=None,
    protocol: str = "inferred",
) -> HeadingMaps:
    """Stage 2's maps of one cached take under each heading that a protocol leaves open.

    "inferred" knows nothing of the true path or orientation: twelve headings. "published" starts in the ground truth's
    orientation, as RoNIN's public loader does, and drifts with the filter: one heading. "heading throughout" corrects
    that drift too. The last two use ground truth.

    Args:
        imu_of: another take whose IMU is fed instead (a reference).

    Raises:
        CheckpointError: the features are another stage 1's than the model was trained on.
        ConfigError: no such protocol.
    """
    check_belongs(model, features.stage1_tag)
    fed = imu_of or take
    rows = np.arange(len(take)) % len(fed)
    true = np.asarray(fed.heading, float)[rows]
    if protocol not in PROTOCOLS:
        raise ConfigError(f"protocol: found '{protocol}'; expected one of {', '.join(PROTOCOLS)}; choose one of these.")
    headings = {
        "inferred": heading_angles(),
        "published": true[np.flatnonzero(np.isfinite(true))[:1]],
        "heading throughout": true[:, None],
    }[protocol]
    if features.direction is None:
        headings = np.zeros(1)
    return heading_maps(
        model, features.direction, features.takes[fed.name][rows], features.facing_of(fed.name)[rows],
        features.rooms[take.room], prepared.rooms[take.room].empty, headings=headings, time=profile.sequence_s,
        stride=profile.eval_stride_s,
    )  # fmt: skip


def predict_take(
    model: SpatioTemporalReasoner, prepared: Prepared, features: Features, take, *, profile: Profile, **options
) -> Prediction:
    """EAIL's answer on one cached take: `take_maps`, each heading weighed by what the whole take says of it."""
    maps = take_maps(model, prepared, features, take, profile=profile, **options)
    return maps.weighed(heading_posterior(maps))
