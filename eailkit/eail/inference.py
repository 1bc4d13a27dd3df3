"""Train stage 2 on cached features and run it over whole recordings (EAIL sections 4.2 and 5.1).

A recording is cut into windows of T = 10 s; their probabilities are averaged where they overlap. Everything here
reads stage-1 features (`stage1.Features`) and rooms; nothing looks at a trajectory but for its labels in training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float

from eailkit.eail.features import Features, motion_features
from eailkit.eail.prepared import Prepared
from eailkit.eail.sequences import Prediction, SequenceBatches, heading_angles
from eailkit.eail.stage2 import SpatioTemporalReasoner, Stage2Config, stage2_loss
from eailkit.errors import CheckpointError
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


def under_headings(
    model: SpatioTemporalReasoner | Callable,
    imu: Float[torch.Tensor, "batch headings time dim"],
    points: Float[torch.Tensor, "batch cells dim"],
    empty: Bool[torch.Tensor, "batch cells"],
) -> tuple[Float[torch.Tensor, "batch headings time cells"], Float[torch.Tensor, "batch headings time actions"]]:
    """Location and action logits of each sequence under each of its headings, which differ in F^M alone."""
    headings = imu.shape[1]
    spread = lambda x: repeat(x, "b ... -> (b h) ...", h=headings)  # noqa: E731
    found = model(rearrange(imu, "b h t d -> (b h) t d"), spread(points), spread(empty))
    return tuple(rearrange(x, "(b h) ... -> b h ...", h=headings) for x in found)


def stage2_identity(
    prepared: Prepared, features: Identity, profile: Profile, config: Stage2Config, *, use_action_loss: bool = True
) -> Identity:
    """What a stage 2 is determined by, its schedule apart; `training.trained_identity` adds that."""
    return identity(
        "stage 2", code=("eailkit.eail.inference",), data=prepared.identity, features=features, config=config,
        use_action_loss=use_action_loss, sequence_s=profile.sequence_s, batch=profile.stage2_batch, hypotheses=profile.hypotheses,
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
                model, features, take.name, features.rooms[take.room], room.empty,
                headings=np.nan_to_num(around if known else around[:, :1]), time=profile.sequence_s,
                stride=profile.sequence_s,
            )  # fmt: skip
            location, action = (torch.from_numpy(p[None]).clamp(min=1e-12).log() for p in (maps.joint, maps.action[:, 0]))
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
        actions=actions,
        **changes,
    )


@dataclass(frozen=True)
class HeadingMaps:
    """What stage 2 says of a recording under every heading, a row a second.

    Attributes:
        headings: the angles that take the gravity frame to the map's, rad, (H,), or (n, H) where they follow a second.
        joint: probability of a heading and a cell, as far as ten seconds tell, (n, H, 400): sums to one a second.
        action: probabilities of actions under each heading, (n, H, classes).
    """

    headings: np.ndarray
    joint: Float[np.ndarray, "n headings cells"]
    action: Float[np.ndarray, "n headings classes"]

    def weighed(self, weight: Float[np.ndarray, "n headings"]) -> Prediction:
        """Maps and actions averaged over headings, each counting by its probability of each second."""
        given = self.joint / np.maximum(self.joint.sum(2, keepdims=True), 1e-30)
        weight = weight.astype(np.float32)
        confidence = np.einsum("th,ths->ts", weight, given)
        return Prediction(confidence, None, np.einsum("th,tha->ta", weight, self.action), weight)


@torch.inference_mode()
def heading_maps(
    model: SpatioTemporalReasoner,
    features: Features,
    name: str,
    points: Float[np.ndarray, "cells dim"],
    empty: Bool[np.ndarray, " cells"],
    *,
    headings: Float[np.ndarray, " *n headings"],
    time: int = 10,
    stride: int = 1,
    batch: int = 4,
) -> HeadingMaps:
    """Run stage 2 over a recording of any length under each heading: overlapping windows, probabilities averaged.

    Windows of `time` seconds start every `stride` seconds, and one more ends with the recording; a recording
    shorter than a window is padded with its last second, and the padding thrown away.

    Args:
        name: of the recording in `features`.
        headings: rad, (H,) or (n, H).
    """
    n, hypotheses = len(features.takes[name]), headings.shape[-1]
    around = np.broadcast_to(headings, (n, hypotheses))
    # (n, H, d): what the encoder gave is one and the same under each heading
    motion = np.stack([features.motion(name, around[:, h]) for h in range(hypotheses)], axis=1)
    padded = np.concatenate([motion, np.repeat(motion[-1:], max(0, time - n), axis=0)])
    starts = np.unique(np.append(np.arange(0, len(padded) - time + 1, stride), len(padded) - time))
    device = next(model.parameters()).device
    place = torch.from_numpy(np.array(points, np.float32)).to(device)
    empty_mask = torch.from_numpy(np.array(empty, bool)).to(device)
    seen = np.zeros(len(padded))
    cells = np.zeros((len(padded), hypotheses, len(points)), np.float32)
    actions = np.zeros((len(padded), hypotheses, model.config.actions), np.float32)
    for i in range(0, len(starts), batch):
        block = starts[i : i + batch]
        rows = torch.from_numpy(np.stack([padded[s : s + time] for s in block])).to(device)
        location, action = under_headings(
            model, rearrange(rows, "b t h d -> b h t d"), place.expand(len(block), -1, -1),
            empty_mask.expand(len(block), -1),
        )  # fmt: skip
        joint = rearrange(location.float(), "b h t s -> b t (h s)").softmax(-1)
        joint = rearrange(joint, "b t (h s) -> b t h s", h=hypotheses).cpu().numpy()
        action = rearrange(action.float().softmax(-1), "b h t a -> b t h a").cpu().numpy()
        for s, c, a in zip(block, joint, action, strict=True):
            cells[s : s + time] += c
            actions[s : s + time] += a
            seen[s : s + time] += 1
    cells, actions = (x[:n] / seen[:n, None, None].astype(np.float32) for x in (cells, actions))
    return HeadingMaps(headings, cells, actions)
