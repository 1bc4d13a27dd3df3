"""EAIL's maps as a live system has them: row t from the ten seconds that end one second after it (EAIL section 4.2).

`headings` averages the windows that overlap a second, half of which lie in its future; here one window answers for
one second. It reaches a second ahead, as far as the velocity net does. `live` calls `second_map` as seconds come, and
`causal_maps` calls it for every second of a recording, so that both say the same.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float

from eailkit.allocator import keep_freed_memory
from eailkit.eail.features import motion_under
from eailkit.eail.headings import HeadingMaps
from eailkit.eail.stage2 import SpatioTemporalReasoner
from eailkit.eail.velocity import SIDE_S

AHEAD_S = SIDE_S  # seconds after the one that is asked for: the velocity net waits for as many


def window_of(second: int, seconds: int, time: int) -> tuple[slice, int]:
    """Rows of a recording of so many seconds that stage 2 sees for one of them, and that one's place among the rows.

    `time` rows end `AHEAD_S` after it; at a recording's start and end there are fewer.

    Example:
        >>> window_of(20, 60, 10), window_of(2, 60, 10), window_of(59, 60, 10)
        ((slice(12, 22, None), 8), (slice(0, 4, None), 2), (slice(51, 60, None), 8))
    """
    low, high = max(0, second + 1 + AHEAD_S - time), min(seconds, second + 1 + AHEAD_S)
    return slice(low, high), second - low


@torch.inference_mode()
def second_map(
    model: SpatioTemporalReasoner,
    motion: Float[np.ndarray, "time headings dim"],
    points: Float[torch.Tensor, "cells dim"],
    empty: Bool[torch.Tensor, " cells"],
    row: int,
) -> tuple[Float[np.ndarray, "headings cells"], Float[np.ndarray, "headings actions"]]:
    """What stage 2 says of one row of a window under each heading.

    Args:
        motion: F^M of the window's seconds under each heading, unit norm, float32.
        points, empty: the room, as stage 2 takes it.
        row: the second that is asked for, counted from the window's first.

    Returns:
        Probability of each heading and cell, which sum to one, and of actions under each heading.
    """
    each = rearrange(torch.from_numpy(np.ascontiguousarray(motion)), "t h d -> h t d")
    location, action = (x[:, 0].float() for x in model(each, points[None], empty[None], slice(row, row + 1)))
    return location.flatten().softmax(0).view_as(location).numpy(), action.softmax(-1).numpy()


def causal_maps(
    model: SpatioTemporalReasoner,
    direction: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] | None,
    imu: Float[np.ndarray, "n dim"],
    facing: Float[np.ndarray, " n"],
    points: Float[np.ndarray, "cells dim"],
    empty: Bool[np.ndarray, " cells"],
    *,
    headings: Float[np.ndarray, "*n headings"],
    time: int = 10,
) -> HeadingMaps:
    """`headings.heading_maps` with nothing later than `AHEAD_S` after each second: what `live` says, row by row.

    Args:
        direction, imu, facing, points, empty, headings: as there.
        time: T, seconds of a window.
    """
    keep_freed_memory()  # half of a second's time otherwise goes into mapping the same pages again
    seconds = len(imu)
    motion = motion_under(direction, imu, facing, headings)
    place, without = torch.from_numpy(np.array(points, np.float32)), torch.from_numpy(np.array(empty, bool))
    rows = []
    for second in range(seconds):
        window, row = window_of(second, seconds, time)
        rows.append(second_map(model, motion[window], place, without, row))
    joint, action = map(np.stack, zip(*rows, strict=True))
    return HeadingMaps(headings, joint, action)


def hypothesis_weights(heading: Float[np.ndarray, "n states"], hypotheses: int) -> Float[np.ndarray, "n headings"]:
    """A tracker's probabilities of its headings, shared out among fewer hypotheses: each to the two it lies between.

    The transpose of how the tracker reads maps between hypotheses; what `HeadingMaps.weighed` takes.
    """
    states = heading.shape[1]
    at = np.arange(states) * (hypotheses / states)
    low = np.floor(at).astype(int)
    share = np.zeros((states, hypotheses))
    np.add.at(share, (np.arange(states), low % hypotheses), 1 - (at - low))
    np.add.at(share, (np.arange(states), (low + 1) % hypotheses), at - low)
    return heading @ share
