"""A head's path in space and attitude as cubic splines: twice continuously differentiable, derivatives exact.

Position and yaw-pitch-roll are natural cubic splines on knots 5 ms apart. The second derivative of a cubic
spline is linear between knots, which makes accelerations at any rate as cheap as interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import linalg

KNOT_HZ = 200.0


@dataclass(frozen=True)
class HeadSample:
    """A head at moments of time; world axes (m, z up) but where said.

    Attributes:
        position_m, velocity_mps, acceleration_mps2: of the device origin, world axes, (n, 3).
        quat_world_head_xyzw: (n, 4); R_world_head: the same as matrices, (n, 3, 3).
        omega_radps, alpha_radps2: angular velocity and acceleration in head axes (x forward, y left, z up), (n, 3).
    """

    position_m: Float[np.ndarray, "n 3"]
    velocity_mps: Float[np.ndarray, "n 3"]
    acceleration_mps2: Float[np.ndarray, "n 3"]
    quat_world_head_xyzw: Float[np.ndarray, "n 4"]
    R_world_head: Float[np.ndarray, "n 3 3"]
    omega_radps: Float[np.ndarray, "n 3"]
    alpha_radps2: Float[np.ndarray, "n 3"]


class HeadMotion:
    """6-DoF motion of the glasses on a head, from time 0 to `duration_s`.

    Args:
        position_m: device origin at the knots, world axes, (k, 3); knot i is at i / KNOT_HZ seconds.
        yaw_pitch_roll_rad: R_world_head = Rz(yaw) Ry(pitch) Rx(roll) at the knots, pitch down positive and
            within +-90 degrees, unwrapped, (k, 3).
    """

    def __init__(self, position_m: Float[np.ndarray, "k 3"], yaw_pitch_roll_rad: Float[np.ndarray, "k 3"]):
        self.knots = np.ascontiguousarray(np.concatenate([position_m, yaw_pitch_roll_rad], axis=1), float)
        self.curvature = _second_derivatives(self.knots, 1.0 / KNOT_HZ)
        self.duration_s = (len(self.knots) - 1) / KNOT_HZ

    def coordinates(self, t_s: Float[np.ndarray, " n"]) -> tuple[Float[np.ndarray, "n 6"], ...]:
        """x, y, z, yaw, pitch, roll at t_s, and their first and second derivatives, (n, 6) each.

        Times outside [0, duration_s] are continued by the first or last cubic.
        """
        h = 1.0 / KNOT_HZ
        at = np.asarray(t_s, float) * KNOT_HZ
        k = np.clip(at.astype(np.int64), 0, len(self.knots) - 2)
        b = (at - k)[:, None]
        a = 1.0 - b
        y0, y1, m0, m1 = self.knots[k], self.knots[k + 1], self.curvature[k], self.curvature[k + 1]
        value = a * y0 + b * y1 + (h * h / 6.0) * ((a**3 - a) * m0 + (b**3 - b) * m1)
        first = (y1 - y0) / h + (h / 6.0) * ((1.0 - 3.0 * a * a) * m0 + (3.0 * b * b - 1.0) * m1)
        return value, first, a * m0 + b * m1

    def sample(self, t_s: Float[np.ndarray, " n"]) -> HeadSample:
        """Pose, velocity and acceleration at the given seconds."""
        value, first, second = self.coordinates(t_s)
        omega, alpha = body_rates(value[:, 3:], first[:, 3:], second[:, 3:])
        return HeadSample(
            position_m=value[:, :3],
            velocity_mps=first[:, :3],
            acceleration_mps2=second[:, :3],
            quat_world_head_xyzw=quaternion(value[:, 3:]),
            R_world_head=rotation(value[:, 3:]),
            omega_radps=omega,
            alpha_radps2=alpha,
        )


def rotation(ypr: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3 3"]:
    """Rz(yaw) Ry(pitch) Rx(roll)."""
    (cy, cp, cr), (sy, sp, sr) = np.cos(ypr).T, np.sin(ypr).T
    out = np.empty((len(ypr), 3, 3))
    out[:, 0, 0], out[:, 0, 1], out[:, 0, 2] = cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr
    out[:, 1, 0], out[:, 1, 1], out[:, 1, 2] = sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr
    out[:, 2, 0], out[:, 2, 1], out[:, 2, 2] = -sp, cp * sr, cp * cr
    return out


def quaternion(ypr: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 4"]:
    """xyzw of Rz(yaw) Ry(pitch) Rx(roll)."""
    (cy, cp, cr), (sy, sp, sr) = np.cos(0.5 * ypr).T, np.sin(0.5 * ypr).T
    return np.stack(
        [
            cy * cp * sr - sy * sp * cr,
            cy * sp * cr + sy * cp * sr,
            sy * cp * cr - cy * sp * sr,
            cy * cp * cr + sy * sp * sr,
        ],
        axis=1,
    )


def body_rates(
    ypr: Float[np.ndarray, "n 3"], first: Float[np.ndarray, "n 3"], second: Float[np.ndarray, "n 3"]
) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """Angular velocity and acceleration in body axes from yaw, pitch, roll and their derivatives.

    w = (r' - y' sin p, p' cos r + y' cos p sin r, -p' sin r + y' cos p cos r), and its time derivative.
    """
    _, p, r = ypr.T
    yd, pd, rd = first.T
    ydd, pdd, rdd = second.T
    sp, cp, sr, cr = np.sin(p), np.cos(p), np.sin(r), np.cos(r)
    omega = np.stack([rd - yd * sp, pd * cr + yd * cp * sr, yd * cp * cr - pd * sr], axis=1)
    turn = ydd * cp - yd * pd * sp  # derivative of y' cos p
    alpha = np.stack(
        [
            rdd - ydd * sp - yd * pd * cp,
            pdd * cr - pd * rd * sr + turn * sr + yd * rd * cp * cr,
            turn * cr - yd * rd * cp * sr - pdd * sr - pd * rd * cr,
        ],
        axis=1,
    )
    return omega, alpha


def _second_derivatives(y: np.ndarray, h: float) -> np.ndarray:
    # Natural spline: (m[i-1] + 4 m[i] + m[i+1]) h^2 / 6 = y[i-1] - 2 y[i] + y[i+1], m = 0 at both ends.
    m = np.zeros_like(y)
    n = len(y) - 2
    if n > 0:
        band = np.ones((2, n))
        band[1] = 4.0
        rhs = (6.0 / h**2) * (y[2:] - 2.0 * y[1:-1] + y[:-2])
        m[1:-1] = linalg.solveh_banded(band, rhs, overwrite_ab=True, overwrite_b=True, check_finite=False)
    return m
