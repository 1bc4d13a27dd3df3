"""The equations of PRIMUS, one function each: Eq. 1 to 5, and the queue that nearest neighbours come from.

x are IMU features, v and t those of frames and narrations; <a, b> is the cosine. Temperatures divide.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from eailkit.losses import info_nce


class Temperature(nn.Module):
    """A learned tau that divides cosines: starts at 0.1 and isn't clamped (PRIMUS section 3.2 and the release)."""

    def __init__(self, init: float = 0.1):
        super().__init__()
        self.tau = nn.Parameter(torch.tensor(float(init)))

    def forward(self) -> Float[Tensor, ""]:
        """The scale 1 / tau that multiplies cosines."""
        return 1.0 / self.tau


def ss_loss(
    view1: Float[Tensor, "n d"],
    view2: Float[Tensor, "n d"],
    scale: Float[Tensor, ""] | float,
    *,
    equal: Bool[Tensor, "n n"] | None = None,
) -> Float[Tensor, ""]:
    """L_SS: two augmented views of a window are each other's positives (PRIMUS section 3.2).

    L_SS = InfoNCE(f_s(h1(x)), f_s(h2(x)); tau_s), both directions summed, negatives across views. The release leaves
    one view as it is.

    Args:
        view1, view2: f_s of the two views.
        scale: 1 / tau_s.
        equal: windows i and j hold the same samples (narrations can be closer than a window is long): no negatives.
    """
    return info_nce(view1, view2, scale, excluded=equal, reduction="sum")


def nt_xent(view1: Float[Tensor, "n d"], view2: Float[Tensor, "n d"], tau: float = 0.1) -> Float[Tensor, ""]:
    """SimCLR's loss (Tang et al. 2020): each view's positive is the other view, among 2B - 1 candidates of both.

    L = mean_i[-log exp(cos(z_i, z_p(i)) / tau) / sum_{j != i} exp(cos(z_i, z_j) / tau)] over all 2B views.
    """
    z = F.normalize(torch.cat([view1, view2]).float(), dim=-1)
    n = len(view1)
    logits = (z @ z.T / tau).masked_fill(torch.eye(2 * n, dtype=torch.bool, device=z.device), float("-inf"))
    return F.cross_entropy(logits, torch.arange(2 * n, device=z.device).roll(n))


def i2v_loss(imu, video, scale, *, equal=None, has_video=None) -> Float[Tensor, ""]:
    """Eq. 1: L_I2V = InfoNCE(f_m(x), v; tau_m), both directions summed; rows without a frame drop out."""
    return info_nce(imu, video, scale, excluded=equal, valid=has_video, reduction="sum")


def i2t_loss(imu, text, scale, *, equal=None, has_text=None) -> Float[Tensor, ""]:
    """Eq. 2: L_I2T = InfoNCE(f_m(x), t; tau_m), both directions summed; rows without a narration drop out."""
    return info_nce(imu, text, scale, excluded=equal, valid=has_text, reduction="sum")


@torch.no_grad()
def nearest(
    key: Float[Tensor, "n d"],
    queue: Float[Tensor, "q d"],
    valid: Bool[Tensor, " q"] | None = None,
    excluded: Bool[Tensor, "n q"] | None = None,
) -> Int[Tensor, " n"]:
    """Eq. 3: j(i) = argmax_j <v_i, v^Q_j> over the valid rows of the queue.

    One matrix product, divided by the rows' lengths: the same neighbours as comparing every pair by itself, for a
    tenth of the time and a hundredth of the memory.

    Raises:
        ValueError: the queue has no valid row.
    """
    if not len(queue) or (valid is not None and not valid.any()):
        raise ValueError("nearest: found an empty queue; expected at least one entry; add a batch first.")
    length = queue.norm(dim=-1).clamp_min(1e-12)  # a row of zeros has cosine zero with everything
    cosine = (F.normalize(key, dim=-1) @ queue.T).div_(length)
    if valid is not None:
        cosine.masked_fill_(~valid, float("-inf"))
    if excluded is not None:
        cosine.masked_fill_(excluded, float("-inf"))
    return cosine.argmax(dim=1)


def nn_loss(
    imu_ssl: Float[Tensor, "n d"],
    imu_multimodal: Float[Tensor, "n d"],
    neighbour: dict[str, Float[Tensor, "n d"]],
    scale_s: Float[Tensor, ""] | float,
    scale_m: Float[Tensor, ""] | float,
) -> Float[Tensor, ""]:
    """Eq. 4: the neighbours' stored features are positives too.

    L_NN = InfoNCE(f_s(x), x^Q_j; tau_s) + InfoNCE(f_m(x), v^Q_j; tau_m) + InfoNCE(f_m(x), t^Q_j; tau_m), each both
    directions summed. Two rows with one neighbour are no negatives of each other.

    Args:
        neighbour: "imu", "video", "text" (where stored) -> rows of the queue at j(i), and "index", j(i).
    """
    same = neighbour["index"][:, None] == neighbour["index"][None]
    total = info_nce(imu_ssl, neighbour["imu"], scale_s, excluded=same, reduction="sum")
    for name in ("video", "text"):
        if name in neighbour:
            total = total + info_nce(imu_multimodal, neighbour[name], scale_m, excluded=same, reduction="sum")
    return total


@dataclass(frozen=True)
class PrimusWeights:
    """alpha, beta and gamma of Eq. 5; equal in the paper, 0.5 each in the release."""

    ss: float = 1.0
    mm: float = 1.0
    nn: float = 1.0


def primus_loss(terms: dict[str, Float[Tensor, ""]], weights: PrimusWeights | None = None) -> dict[str, Tensor]:
    """Eq. 5: L = alpha L_SS + beta L_MM + gamma L_NN, over the terms that there are ("ss", "mm", "nn").

    Returns:
        the terms and "total".
    """
    w = weights or PrimusWeights()
    total = sum(getattr(w, name) * value for name, value in terms.items())
    return dict(terms) | {"total": total}


NOWHERE = -(2**62)  # origin of a row that nothing was written to


class FeatureQueue(nn.Module):
    """First in, first out: features of earlier batches, detached, a row an example (PRIMUS section 3.2: 8192 rows).

    Rows that nothing was written to yet are never neighbours. Reading doesn't write: read before `add`, and don't
    add in validation.

    Args:
        widths: name of each kind of feature -> its width, "imu", "video", "text".
        size: rows.
    """

    def __init__(self, widths: dict[str, int], size: int = 8192):
        super().__init__()
        self.names, self.size = tuple(widths), size
        for name, width in widths.items():
            self.register_buffer(f"rows_{name}", torch.zeros(size, width))
        self.register_buffer("origin", torch.full((size,), NOWHERE))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def __len__(self) -> int:
        return min(int(self.count), self.size)

    @property
    def valid(self) -> Bool[Tensor, " size"]:
        """Rows that hold something."""
        return torch.arange(self.size, device=self.count.device) < self.count

    @torch.no_grad()
    def add(self, *, origin: Int[Tensor, " n"] | None = None, **features: Float[Tensor, "n _"]) -> None:
        """Write one batch over the oldest rows.

        Args:
            origin: where each row's window comes from, one number a sample of the recordings.

        Raises:
            ValueError: another set of features than the queue was made for, or of unequal lengths.
        """
        lengths = {len(v) for v in features.values()}
        if set(features) != set(self.names) or len(lengths) != 1:
            raise ValueError(
                f"FeatureQueue: found {sorted(features)} of lengths {sorted(lengths)}; expected {sorted(self.names)}."
            )
        n = lengths.pop()
        at = (self.count + torch.arange(n, device=self.count.device))[-self.size :] % self.size
        for name, value in features.items():
            getattr(self, f"rows_{name}")[at] = value.detach()[-self.size :].to(self.count.device).float()
        self.origin[at] = NOWHERE if origin is None else origin[-self.size :].to(self.count.device)
        self.count += n

    def near(self, origin: Int[Tensor, " n"], apart: int) -> Bool[Tensor, "n size"]:
        """Rows whose windows begin fewer than `apart` samples from these: they hold some of the same samples."""
        return (origin[:, None].to(self.count.device) - self.origin[None]).abs() < apart

    def neighbours(
        self,
        key: Float[Tensor, "n d"],
        by: str = "video",
        *,
        count_valid: bool = True,
        excluded: Bool[Tensor, "n size"] | None = None,
    ) -> dict[str, Tensor]:
        """The stored rows nearest to each key (Eq. 3), by video in the paper: every kind of feature, and "index".

        Args:
            count_valid: False takes rows that nothing was written to for entries, as the release does.
            excluded: rows that are no neighbours of a key, such as its own window of an earlier step (`near`).
        """
        index = nearest(key, getattr(self, f"rows_{by}"), self.valid if count_valid else None, excluded)
        return {name: getattr(self, f"rows_{name}")[index] for name in self.names} | {"index": index}
