"""How a body of given height brings its hands to a point: trunk, knees, toes, and where the head goes.

A chain of hip, trunk and neck with body proportions in shares of standing height; bending lowers the
head and moves it forward in one, because both follow from the same trunk angle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from eailkit.synthkitchen.person import Person

# Shares of standing height: neck pivot, hip, shoulder and arm (shoulder to grip), from adult anthropometry.
NECK, HIP, SHOULDER, ARM = 0.91, 0.53, 0.82, 0.40
SEAT_M, SITTING_NECK = 0.45, 0.435  # seat height, and neck pivot above the seat as a share of height
DEVICE_FROM_NECK_M = (0.09, 0.055, 0.04)  # glasses ahead of, left of and above the neck pivot
RATTLE_FROM_DEVICE_M = (-0.05, -0.055, 0.0)  # glasses turn between nose and ears, in the head's middle
_COMFORT = 0.86  # share of the arm's length that one likes to work at
_BALANCE = 0.35  # share of the trunk's forward movement that the hips take back


@dataclass(frozen=True)
class Posture:
    """Set-points of a body at rest: trunk angle from upright, knee drop, rise on toes, head pitch (down positive)."""

    trunk_rad: float
    knee_m: float
    toe_m: float
    pitch_rad: float


def neck_offset(
    person: Person, trunk_rad: Float[np.ndarray, " n"], drop_m: Float[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Where the neck pivot is for trunk angles and drops of the hip (knees, seat; negative on toes).

    Returns:
        metres ahead of the standing point, and height above the floor, (n,) each.
    """
    trunk = (NECK - HIP) * person.height_m
    ahead = (1.0 - _BALANCE) * trunk * np.sin(trunk_rad)
    return ahead, NECK * person.height_m - trunk * (1.0 - np.cos(trunk_rad)) - drop_m


def seat_drop(person: Person) -> float:
    """How far neck and hips sink from standing to sitting upright, m."""
    return (NECK - SITTING_NECK) * person.height_m - SEAT_M


def reach_posture(person: Person, height_m: float, distance_m: float, *, seated: bool, reach: float) -> Posture:
    """The mildest bend that brings the hands within a comfortable arm's length of the target.

    Args:
        height_m, distance_m: of the target, above the floor and from the body.
        reach: 1 goes all the way, 0 stays upright.
    """
    h = person.height_m
    bend = np.linspace(0.0, 1.0, 41)
    trunk = (0.55 if seated else 1.25) * bend
    knee = np.zeros_like(bend) if seated else 0.26 * h * person.squat * bend**1.3
    hip = HIP * h - (seat_drop(person) if seated else 0.0)
    shoulder_up = hip - knee + (SHOULDER - HIP) * h * np.cos(trunk)
    shoulder_ahead = (1.0 if seated else 1.0 - _BALANCE) * (SHOULDER - HIP) * h * np.sin(trunk)
    missing = np.hypot(distance_m - shoulder_ahead, height_m - shoulder_up) - _COMFORT * ARM * h
    first = int(np.argmax(missing <= 0)) if (missing <= 0).any() else int(np.argmin(missing))
    toe = 0.0
    if height_m > shoulder_up[0] and not seated:
        first, toe = min(first, 4), float(np.clip(missing[0] + 0.02, 0.0, 0.07))
    trunk_rad, knee_m, toe_m = reach * trunk[first], reach * knee[first], reach * toe
    ahead, neck = neck_offset(
        person, np.array([trunk_rad]), np.array([knee_m + (seat_drop(person) if seated else 0.0) - toe_m])
    )
    down = np.arctan2(neck[0] + 0.08 - height_m, max(distance_m - ahead[0] - 0.05, 0.12))
    return Posture(float(trunk_rad), float(knee_m), float(toe_m), float(down))
