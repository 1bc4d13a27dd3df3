"""All that the motion generators may know: numbers about what the body does, and none about the room.

Design section 5: head motion depends on the action's profile, the target's height and distance, the
standing pose or path, and the person. Fixture kinds, names and room ids have no field to travel in here,
so that a place can only be learned through what a real head would feel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class MotionProfile:
    """How an action moves a head, in numbers that vary around these by person and by instance.

    Attributes:
        reach: 1 brings the hands to the target (bend, tiptoe), 0 ignores it.
        visit_s: duration of one visit to the target; 0 stays at it but for idle phases.
        away_s: time between two visits.
        gaze: share of the angle to the target that gaze follows while at it; 0 looks level.
        oscillation_hz: rhythm of the hands (stirring, cutting); 0 for none.
        oscillation_mm: amplitude of the head's answer to it (forward, left, up).
        nod_deg: rotation of the head with the rhythm.
        duty: share of the time in which the rhythm goes on.
        fidget: strength of irregular handwork felt at the head; 1 is busy.
        scan_deg: spread of re-fixations around the target.
        glance_per_min, glance_deg: looks elsewhere, and how far they turn.
        idle_per_min: pauses with an upright body.
        impact_per_min: thumps from things put down, doors, chops.
        step_per_min: small steps while at it.
        seated: 1 sits.
    """

    reach: float = 1.0
    visit_s: float = 0.0
    away_s: float = 2.0
    gaze: float = 1.0
    oscillation_hz: float = 0.0
    oscillation_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    nod_deg: float = 0.0
    duty: float = 0.6
    fidget: float = 0.6
    scan_deg: float = 6.0
    glance_per_min: float = 5.0
    glance_deg: float = 24.0
    idle_per_min: float = 1.5
    impact_per_min: float = 3.0
    step_per_min: float = 4.0
    seated: float = 0.0


@dataclass(frozen=True)
class Stance:
    """Standing or sitting somewhere and doing something, from start to end.

    Attributes:
        start_s, end_s: seconds of the plan.
        target_height_m: of the point where the hands act, above the floor.
        target_distance_m: horizontal, from the body to that point.
    """

    start_s: float
    end_s: float
    profile: MotionProfile
    target_height_m: float
    target_distance_m: float


@dataclass(frozen=True)
class MotionPlan:
    """What a body does during a take, in the map's metres but without the map.

    Attributes:
        duration_s: from 0 to here.
        stances: in order, without overlap; the gaps between them are walks.
        path_t_s: knots of the body's path on the floor, strictly increasing, from 0 to duration_s, (k,).
        path_xy_m: where the body is at them, (k, 2).
        path_yaw_rad: where the body faces at them, unwrapped, (k,).
    """

    duration_s: float
    stances: tuple[Stance, ...]
    path_t_s: Float[np.ndarray, " k"]
    path_xy_m: Float[np.ndarray, "k 2"]
    path_yaw_rad: Float[np.ndarray, " k"]
