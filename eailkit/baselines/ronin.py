"""Dead reckoning after RoNIN (ICRA 2020): a velocity net's seconds summed from the true start and heading.

The nets are `eail.velocity`, EAIL's own, and `velocity_nets`, those of EAIL's Table 1.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from eailkit.eail.features import turn_xy
from eailkit.eail.sequences import Prediction
from eailkit.eail.velocity import VelocityNet, gravity_velocity


def dead_reckoning(model: VelocityNet, take) -> Prediction:
    """`summed` velocities of EAIL's own velocity net."""
    velocity, _ = gravity_velocity(model, np.asarray(take.windows), np.asarray(take.facing))
    return summed(velocity, take)


def summed(velocity_mps: Float[np.ndarray, "n 2"], take) -> Prediction:
    """Velocities summed from the take's true first position and true first heading; no map, no RS.

    The heading after the first second is the IMU's own: its drift is part of the method, as a user would have it.

    Args:
        velocity_mps: mean ground velocity of each of the take's seconds, gravity frame.
    """
    first = int(np.flatnonzero(np.isfinite(take.position).all(1))[0])
    world = turn_xy(velocity_mps, float(take.heading[first]))
    steps = (world[first + 1 :] + world[first:-1]) / 2.0
    path = np.full((len(velocity_mps), 2), np.nan)
    path[first:] = np.asarray(take.position[first]) + np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    return Prediction(position_m=path)
