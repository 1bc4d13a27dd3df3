"""What a wearer's camera sees: small egocentric frames, ray-cast with simple light, surfaces and hands.

Made for learning what place and action look like at 64 pixels, not for beauty: one lamp at the ceiling,
matte surfaces with a fixed pattern in space, hands and forearms as spheres.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from scipy.spatial.transform import Rotation

from eailkit.synthkitchen.raycast import first_hit
from eailkit.synthkitchen.room import Room
from eailkit.synthkitchen.scan import surface_hash


@dataclass(frozen=True)
class CameraConfig:
    """A pinhole camera on the head; Aria's RGB camera also looks down and sees about 110 degrees."""

    fov_deg: float = 100.0
    pitch_down_deg: float = 20.0  # below the head's x axis
    frames_per_batch: int = 64


_SKIN = np.array([0.82, 0.62, 0.50])
_SLEEVE = np.array([0.25, 0.34, 0.55])
_HAND_RADIUS_M, _ARM_RADIUS_M, _OBJECT_RADIUS_M = 0.045, 0.036, 0.05


def render_frames(
    room: Room,
    position_m: Float[np.ndarray, "n 3"],
    quat_world_head_xyzw: Float[np.ndarray, "n 4"],
    *,
    size: int = 64,
    hands_world_m: Float[np.ndarray, "n 2 3"] | None = None,
    held_rgb: Float[np.ndarray, "n 3"] | None = None,
    config: CameraConfig | None = None,
) -> UInt8[np.ndarray, "n size size 3"]:
    """Frames of a head camera at the given poses.

    Args:
        position_m: of the head, map frame.
        quat_world_head_xyzw: head axes (x forward, y left, z up) to the map, (n, 4).
        size: height and width, pixels.
        hands_world_m: positions of the left and the right hand; NaN where a hand is out of play.
        held_rgb: colour (0 to 1) of a thing in the right hand (the left where there is no right); NaN for nothing.
        config: the camera.
    """
    config = config or CameraConfig()
    frames = np.empty((len(position_m), size, size, 3), np.uint8)
    rays_head = _pixel_rays(size, config)
    for a in range(0, len(position_m), config.frames_per_batch):
        part = slice(a, a + config.frames_per_batch)
        eye = np.asarray(position_m[part], np.float32)
        turn = Rotation.from_quat(quat_world_head_xyzw[part]).as_matrix().astype(np.float32)
        rays = np.einsum("nij,pj->npi", turn, rays_head)
        colour, distance = _shade(room, eye, rays)
        if hands_world_m is not None:
            held = None if held_rgb is None else held_rgb[part]
            _draw_hands(colour, distance, eye, rays, turn, np.asarray(hands_world_m[part], np.float32), held)
        frames[part] = (np.clip(colour, 0, 1) * 255 + 0.5).astype(np.uint8).reshape(-1, size, size, 3)
    return frames


def _pixel_rays(size: int, config: CameraConfig) -> Float[np.ndarray, "pixels 3"]:
    """Unit rays in head axes, row by row from the upper left."""
    half = np.tan(np.deg2rad(config.fov_deg / 2))
    t = ((np.arange(size) + 0.5) / size * 2 - 1) * half
    right, down = np.meshgrid(t, t)
    pitch = np.deg2rad(config.pitch_down_deg)
    x = np.cos(pitch) - down * np.sin(pitch)
    z = -np.sin(pitch) - down * np.cos(pitch)
    rays = np.stack([x, -right, z], axis=-1).reshape(-1, 3)
    return (rays / np.linalg.norm(rays, axis=1, keepdims=True)).astype(np.float32)


def _shade(room: Room, eye: np.ndarray, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Colour (n, pixels, 3) and distance (n, pixels) of what each ray hits."""
    n, pixels, _ = rays.shape
    flat = rays.reshape(-1, 3)
    origin = np.repeat(eye, pixels, axis=0)
    distance, face = first_hit(room, origin, flat)
    seen = face >= 0
    point = origin + flat * np.where(seen, distance, 1.0)[:, None].astype(np.float32)
    normal = room.mesh.face_normals.astype(np.float32)[face]
    normal *= -np.sign((normal * flat).sum(axis=1, keepdims=True))  # towards the viewer
    material = room.face_material[face]
    c, s = np.cos(room.yaw_rad), np.sin(room.yaw_rad)
    w, d, h = room.size_m
    lamp = np.array([*(np.array([[c, -s], [s, c]]) @ [w / 2, d / 2] + room.origin_xy_m), h - 0.15], np.float32)
    to_lamp = lamp - point
    reach = np.linalg.norm(to_lamp, axis=1)
    lambert = np.abs((normal * to_lamp).sum(axis=1)) / np.maximum(reach, 0.1)
    light = 0.42 + 0.62 * lambert / (1.0 + 0.06 * reach**2) + 0.08 * normal[:, 2]
    pattern = 0.6 * surface_hash(point, 0.06) + 0.4 * surface_hash(point, 0.021) - 0.5
    light *= 1.0 + 0.75 * room.materials.texture.astype(np.float32)[material] * pattern.astype(np.float32)
    colour = room.materials.rgb.astype(np.float32)[material] * light[:, None].astype(np.float32)
    colour[~seen] = (0.6, 0.7, 0.8)
    return colour.reshape(n, pixels, 3), distance.reshape(n, pixels)


def _draw_hands(colour, distance, eye, rays, turn, hands, held) -> None:
    """Hands, forearms and a held thing as spheres in front of (or behind) what was hit; changes colour in place."""
    for side in (0, 1):
        hand = hands[:, side]
        lateral = 0.22 if side == 0 else -0.22
        elbow = eye + np.einsum("nij,j->ni", turn, np.array([0.06, lateral, -0.5], np.float32))
        for share in (0.9, 0.78, 0.66, 0.55, 0.45, 0.36, 0.27, 0.18, 0.1):
            rgb = _SLEEVE if share > 0.4 else _SKIN
            _sphere(
                colour,
                distance,
                eye,
                rays,
                hand + share * (elbow - hand),
                _ARM_RADIUS_M,
                np.broadcast_to(rgb, eye.shape),
            )
        _sphere(colour, distance, eye, rays, hand, _HAND_RADIUS_M, np.broadcast_to(_SKIN, eye.shape))
    if held is not None:
        hand = np.where(np.isfinite(hands[:, 1]), hands[:, 1], hands[:, 0])
        hand = np.where(np.isfinite(held), hand, np.nan)
        up = turn[:, :, 0] * 0.06 + np.array([0, 0, 0.02], np.float32)
        _sphere(colour, distance, eye, rays, hand + up, _OBJECT_RADIUS_M, np.asarray(held))


def _sphere(colour, distance, eye, rays, centre, radius: float, rgb) -> None:
    """Paint one sphere a frame where it is nearer than what was hit; NaN centres paint nothing."""
    frames = np.nonzero(np.isfinite(centre).all(axis=1))[0]
    if not len(frames):
        return
    offset = (centre - eye)[frames]
    along = np.einsum("npi,ni->np", rays[frames], offset)
    miss = (offset**2).sum(axis=1)[:, None] - along**2
    f, p = np.nonzero((miss < radius**2) & (along > 0))
    t = along[f, p] - np.sqrt(radius**2 - miss[f, p])
    nearer = t < distance[frames[f], p]
    f, p, t = f[nearer], p[nearer], t[nearer]
    normal = (rays[frames[f], p] * t[:, None] - offset[f]) / radius
    light = 0.6 + 0.4 * np.clip(normal[:, 2], 0, 1)
    colour[frames[f], p] = np.asarray(rgb)[frames[f]] * light[:, None]
    distance[frames[f], p] = t
