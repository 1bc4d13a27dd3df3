"""What every IMU encoder of PRIMUS ends in: two heads, for self-supervision and for other modalities (section 3.1)."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn


class TwoHeads(nn.Module):
    """An encoder whose `forward` gives what comes before the heads; a subclass makes both of them."""

    ssl_head: nn.Module
    multimodal_head: nn.Module

    def ssl(self, hidden: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """f_s after the encoder: for self-supervision."""
        return self.ssl_head(hidden)

    def multimodal(self, hidden: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """f_m after the encoder: for video and text; the embedding that PRIMUS's probes read."""
        return self.multimodal_head(hidden)
