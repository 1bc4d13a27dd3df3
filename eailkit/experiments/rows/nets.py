"""The learned baselines of EAIL's tables behind one face: how each is named, found, trained and asked.

What a net is lives in `eailkit.baselines`; a row of a table only needs to know that it can be made.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from eailkit.baselines import ronin
from eailkit.eail.sequences import Prediction
from eailkit.eail.velocity import velocity_identity
from eailkit.experiments.eail_run import Run
from eailkit.experiments.rows.variants import Variants
from eailkit.provenance import Identity
from eailkit.training import History, trained_identity, trained_weights

Made = tuple[Callable[[object], Prediction], nn.Module, History]  # asks it of a take; the net; its log


@dataclass(frozen=True)
class Net:
    """A baseline.

    Attributes:
        file: name of its weights.
        trained_as: (run, variants, protocol) -> identity of the trained net.
        make: (run, variants, protocol) -> how to ask it, the net, and its log; trained or found.
        code: modules that its answers hang on beside its weights.
    """

    file: str
    trained_as: Callable[[Run, Variants, str], Identity]
    make: Callable[[Run, Variants, str], Made]
    code: tuple[str, ...]

    def identity(self, run: Run, variants: Variants, protocol: str) -> Identity:
        """Of the trained net."""
        return self.trained_as(run, variants, protocol)

    def trained(self, run: Run, variants: Variants, protocol: str = "inferred") -> bool:
        """Whether its weights are there."""
        return trained_weights(run.weights_dir, self.file, self.trained_as(run, variants, protocol)) is not None


def _ours(run: Run, variants: Variants, protocol: str) -> Made:
    net = run.train_velocity()
    return lambda take: ronin.dead_reckoning(net, take), net, run.histories["velocity"]


def _ours_as(run: Run, variants: Variants, protocol: str) -> Identity:
    return trained_identity(run.profile.velocity, velocity_identity(run.prepared, run.profile))


NETS: dict[str, Net] = {
    "ours, facing frame": Net("velocity", _ours_as, _ours, ("eailkit.baselines.ronin",)),
}
