"""The equations of EAIL that are minimised, one function each: Eq. 1 (stage 1), Eq. 2 and 3 (stage 2).

`info_nce` is the pairwise contrastive loss L_c that Eq. 1 is made of, and `LogitScale` its learned temperature.
Masks, missing captions and ignored labels are handled here; models, optimisers and schedules are not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


class LogitScale(nn.Module):
    """The learned inverse temperature of a contrastive loss: exp of a parameter, at most 100.

    EAIL names no temperature. This is CLIP's and SLIP's: learned, started at 1 / 0.07, clamped at 100 so that a
    batch that is already solved can't make the loss unstable. IMU2CLIP learns one from 0.1; EVI-MAE fixes 0.05.

    Args:
        init: first value of the scale.
        maximum: largest value of the scale.
    """

    def __init__(self, init: float = 1 / 0.07, maximum: float = 100.0):
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(init)))
        self.maximum = maximum

    def forward(self) -> Float[Tensor, ""]:
        """The scale that multiplies cosine similarities."""
        return self.log_scale.exp().clamp(max=self.maximum)


@dataclass(frozen=True)
class Stage1Weights:
    """Weights of the five terms of Eq. 1; the defaults are the paper's (section 5.1), and quick uses them too.

    Attributes:
        alpha: image and IMU.
        beta: image and points.
        theta: text and IMU.
        delta: text and points.
        gamma: IMU and points.
    """

    alpha: float = 0.1
    beta: float = 1.0
    theta: float = 1.0
    delta: float = 1.0
    gamma: float = 1.0


def info_nce(
    x: Float[Tensor, "n d"],
    y: Float[Tensor, "n d"],
    logit_scale: Float[Tensor, ""] | float,
    *,
    excluded: Bool[Tensor, "n n"] | None = None,
    valid: Bool[Tensor, " n"] | None = None,
    reduction: str = "mean",
) -> Float[Tensor, ""]:
    """Contrastive loss of paired features: row i of x belongs to row i of y (L_c of EAIL Eq. 1).

    z_ij = k * cos(x_i, y_j),
    L = 1/2 * mean_i[-log softmax_j(z_ij)_i] + 1/2 * mean_i[-log softmax_j(z_ji)_i], k the logit scale.

    The paper says "pairwise contrastive loss" and that negatives come from other times and places. It gives neither
    temperature nor direction; both directions, averaged, are CLIP's and SLIP's. reduction="sum" adds them, as
    IMU2CLIP does, which doubles the loss and no more.

    Args:
        x: features of one modality; normalised here.
        y: features of the other.
        logit_scale: k, dimensionless; `LogitScale()()` or a number.
        excluded: pairs (x_i, y_j) that are no negatives, such as equal captions; the pair (x_i, y_i) always stays.
        valid: rows that have both modalities; the others are neither anchors nor negatives. Default: all.
        reduction: "mean" or "sum" of the two directions.

    Returns:
        The loss; exactly zero, with zero gradients, where no row is valid.

    Raises:
        ValueError: shapes differ or the reduction is unknown.

    Example:
        >>> info_nce(torch.eye(4), torch.eye(4), 100.0) < 1e-6
        tensor(True)
    """
    if x.ndim != 2 or x.shape != y.shape:
        raise ValueError(f"info_nce: found x {tuple(x.shape)} and y {tuple(y.shape)}; expected equal shapes (n, d).")
    if reduction not in ("mean", "sum"):
        raise ValueError(f"info_nce: found reduction {reduction!r}; expected 'mean' or 'sum'.")
    x, y = x.float(), y.float()
    if valid is not None:
        x, y = x[valid], y[valid]
        excluded = None if excluded is None else excluded[valid][:, valid]
    if len(x) == 0:
        return (x.sum() + y.sum()) * 0.0
    logits = logit_scale * F.normalize(x, dim=-1) @ F.normalize(y, dim=-1).T  # (n, n)
    if excluded is not None:
        own = torch.eye(len(x), dtype=torch.bool, device=x.device)
        logits = logits.masked_fill(excluded & ~own, float("-inf"))
    target = torch.arange(len(x), device=x.device)
    both = F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)
    return both / 2 if reduction == "mean" else both


def stage1_loss(
    image: Float[Tensor, "n d"] | None,
    text: Float[Tensor, "n d"] | None,
    imu: Float[Tensor, "n d"],
    points: Float[Tensor, "n d"],
    logit_scale: Float[Tensor, ""] | float,
    *,
    weights: Stage1Weights | None = None,
    has_image: Bool[Tensor, " n"] | None = None,
    has_text: Bool[Tensor, " n"] | None = None,
    same_text: Bool[Tensor, "n n"] | None = None,
    same_place: Bool[Tensor, "n n"] | None = None,
) -> dict[str, Float[Tensor, ""]]:
    """The five-term contrastive loss of stage 1 (EAIL Eq. 1).

    L = alpha L_c(I, M) + beta L_c(I, P) + theta L_c(T, M) + delta L_c(T, P) + gamma L_c(M, P),
    I image, T text (printed L), M motion, P points; L_c is `info_nce`.

    The paper doesn't say what happens to a second without a caption or a frame: here such a row drops out of those
    two terms and stays in the others, so that training without captions (section 5.4) is the same function. Nor does
    it say what counts as another place; rows that share a caption are no negatives of each other in text terms, and
    rows of one cell (`same_place`) none in terms with points.

    Args:
        image: F^I from the frozen tower, or None where no frames exist.
        text: F^L from the frozen tower, or None.
        imu: F^M.
        points: F^P.
        logit_scale: one scale for all five terms.
        weights: alpha to gamma; the paper's by default.
        has_image: rows that have a frame. Default: all.
        has_text: rows that have a caption. Default: all.
        same_text: rows i and j have equal captions.
        same_place: rows i and j lie in the same cell of the same room.

    Returns:
        The unweighted terms "image_imu", "image_points", "text_imu", "text_points", "imu_points" (zero where a
        modality is missing) and their weighted sum "total".

    Raises:
        ValueError: shapes differ.
    """
    w = weights or Stage1Weights()
    nothing = imu.sum() * 0.0

    def term(x: Tensor | None, y: Tensor, valid: Tensor | None, *excluded: Tensor | None) -> Tensor:
        if x is None:
            return nothing
        masks = [m for m in excluded if m is not None]
        return info_nce(x, y, logit_scale, valid=valid, excluded=torch.stack(masks).any(0) if masks else None)

    terms = {
        "image_imu": term(image, imu, has_image),
        "image_points": term(image, points, has_image, same_place),
        "text_imu": term(text, imu, has_text, same_text),
        "text_points": term(text, points, has_text, same_text, same_place),
        "imu_points": term(imu, points, None, same_place),
    }
    terms["total"] = (
        w.alpha * terms["image_imu"]
        + w.beta * terms["image_points"]
        + w.theta * terms["text_imu"]
        + w.delta * terms["text_points"]
        + w.gamma * terms["imu_points"]
    )
    return terms


def trajectory_loss(
    logits: Float[Tensor, "batch seconds cells"],
    cell: Int[Tensor, "batch seconds"],
    empty: Bool[Tensor, "batch cells"] | None = None,
) -> Float[Tensor, ""]:
    """Cross-entropy over the cells of the map (EAIL Eq. 2).

    L = -mean_t log softmax_s(z_ts)_{g_t},  over the cells that hold points.

    The paper sums over time; here it is the mean over labelled seconds, so that the learning rate doesn't depend on
    how many are labelled. Cells without points are -inf before the softmax. A second whose label lies on such a cell
    is left out of the mean, like an unlabelled one: no map could have given it any probability.

    Args:
        logits: z, one value per cell.
        cell: g, the cell nearest to the true position; -1 where the second has no label.
        empty: cells with fewer points than a cell needs. Default: none.

    Returns:
        The loss in nats; exactly zero, with zero gradients, where nothing is labelled.

    Raises:
        ValueError: a label is below -1 or beyond the last cell.
    """
    _check_labels("trajectory_loss", logits, cell)
    if empty is not None:
        on_empty = torch.gather(empty, 1, cell.clamp(min=0).long())
        cell = cell.masked_fill(on_empty, -1)
        logits = logits.masked_fill(empty[:, None], float("-inf"))
    return _labelled_cross_entropy(logits, cell)


def action_loss(
    logits: Float[Tensor, "batch seconds classes"], action: Int[Tensor, "batch seconds"]
) -> Float[Tensor, ""]:
    """Cross-entropy over the action classes (EAIL Eq. 3).

    L = -mean_t log softmax_c(z_tc)_{a_t}; the mean over labelled seconds, as in `trajectory_loss`.

    Args:
        logits: z, one value a class.
        action: a, the class index; -1 where the second has no label.

    Returns:
        The loss in nats; exactly zero, with zero gradients, where nothing is labelled.

    Raises:
        ValueError: a label is below -1 or beyond the last class.
    """
    _check_labels("action_loss", logits, action)
    return _labelled_cross_entropy(logits, action)


def _check_labels(name: str, logits: Tensor, label: Tensor) -> None:
    if logits.shape[:-1] != label.shape:
        raise ValueError(
            f"{name}: found logits {tuple(logits.shape)}, labels {tuple(label.shape)}; expected (B, T, S) and (B, T)."
        )
    if label.numel() and (int(label.min()) < -1 or int(label.max()) >= logits.shape[-1]):
        raise ValueError(
            f"{name}: found labels from {int(label.min())} to {int(label.max())}; expected -1 (none) to "
            f"{logits.shape[-1] - 1}."
        )


def _labelled_cross_entropy(logits: Tensor, label: Tensor) -> Tensor:
    labelled = label >= 0
    if not labelled.any():
        return torch.nan_to_num(logits, neginf=0.0).sum() * 0.0
    return F.cross_entropy(logits[labelled].float(), label[labelled].long())
