"""Stage 2 under every heading: the one angle that an IMU lacks is a latent variable, weighed by what a take says of it.

A recording is cut into windows of T = 10 s; their probabilities are averaged where they overlap. Which heading the
recording has, no second tells, but all of them together do: a hidden Markov chain over the hypotheses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float
from torch import Tensor

from eailkit.eail.features import motion_under
from eailkit.eail.sequences import Prediction
from eailkit.eail.stage2 import SpatioTemporalReasoner

EVIDENCE_POWER = 0.05  # of a second's word on the heading: ten windows share a second, and seconds err alike
DRIFT = 0.002  # chance a second that the heading leaves for one of the two next hypotheses


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
        weight = weight.astype(np.float32)
        given = self.joint / np.maximum(self.joint.sum(2, keepdims=True), 1e-30)
        confidence = np.einsum("th,ths->ts", weight, given)
        return Prediction(confidence, None, np.einsum("th,tha->ta", weight, self.action), weight)


@torch.inference_mode()
def heading_maps(
    model: SpatioTemporalReasoner,
    direction: Callable[[Tensor, Tensor], Tensor] | None,
    imu: Float[np.ndarray, "n dim"],
    facing: Float[np.ndarray, " n"],
    points: Float[np.ndarray, "cells dim"],
    empty: Bool[np.ndarray, " cells"],
    *,
    headings: Float[np.ndarray, "*n headings"],
    time: int = 10,
    stride: int = 1,
    batch: int = 4,
) -> HeadingMaps:
    """Run stage 2 over a recording of any length under each heading: overlapping windows, probabilities averaged.

    Windows of `time` seconds start every `stride` seconds, and one more ends with the recording; a recording
    shorter than a window is padded with its last second, and the padding thrown away.

    Args:
        direction: `Stage1.motion`, or None for features that hold no heading.
        imu: what the IMU encoder gave, once for all headings.
        facing: where the head faces in the gravity frame, rad.
        points, empty: F^P of the room, and its cells without a cloud.
        headings: rad, (H,) or (n, H).
    """
    n, hypotheses = len(imu), headings.shape[-1]
    motion = motion_under(direction, imu, facing, headings)
    padded = np.concatenate([motion, np.repeat(motion[-1:], max(0, time - n), axis=0)])
    starts = np.unique(np.append(np.arange(0, len(padded) - time + 1, stride), len(padded) - time))
    device = next(model.parameters()).device
    place = torch.from_numpy(np.array(points, np.float32)).to(device)
    empty_mask = torch.from_numpy(np.array(empty, bool)).to(device)
    seen = np.zeros(len(padded), np.float32)
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
    cells, actions = (x[:n] / seen[:n, None, None] for x in (cells, actions))
    return HeadingMaps(headings, cells, actions)


def heading_posterior(
    maps: HeadingMaps, *, power: float = EVIDENCE_POWER, drift: float = DRIFT, live: bool = False
) -> Float[np.ndarray, "n headings"]:
    """Probability of each heading at each second, from the whole recording, or with `live` from what came before.

    A hidden Markov chain over the hypotheses: a second's word is (sum_s joint)^power, and the heading drifts to the
    next one with a small chance. `power` was chosen where the true heading was likeliest on validation takes.
    """
    said = np.maximum(maps.joint.sum(2), 1e-12) ** power
    step = lambda p: (1 - drift) * p + drift / 2 * (np.roll(p, 1) + np.roll(p, -1))  # noqa: E731
    belief, forward = np.full(said.shape[1], 1 / said.shape[1]), np.zeros(said.shape)
    for t in range(len(said)):
        belief = (step(belief) if t else belief) * said[t]
        forward[t] = belief = belief / belief.sum()
    if live:
        return forward
    later = np.ones(said.shape[1])
    for t in range(len(said) - 2, -1, -1):
        later = step(later * said[t + 1])
        later /= later.max()
        forward[t] *= later
        forward[t] /= forward[t].sum()
    return forward
