"""What a wearer's camera sees: small egocentric frames, ray-cast with simple light, surfaces and hands.

Made for learning what place and action look like at 64 pixels: one lamp at the ceiling that throws shadows, bright
windows, matte surfaces with patterns, hands with what they hold. Doors and drawers stay shut, and nobody else is there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from scipy.spatial.transform import Rotation

from eailkit.synthkitchen.hands import draw_hands
from eailkit.synthkitchen.patterns import PATTERNS, surface_factor
from eailkit.synthkitchen.raycast import first_hit
from eailkit.synthkitchen.room import Room


@dataclass(frozen=True)
class CameraConfig:
    """A pinhole camera on the head; Aria's RGB camera also looks down and sees about 110 degrees."""

    fov_deg: float = 100.0
    pitch_down_deg: float = 20.0  # below the head's x axis
    frames_per_batch: int = 16
    supersample: int = 1  # rays a pixel, along each side
    shadow: float = 0.2  # of the lamp's light that reaches its shadow, from walls and ceiling


def render_frames(
    room: Room,
    position_m: Float[np.ndarray, "n 3"],
    quat_world_head_xyzw: Float[np.ndarray, "n 4"],
    *,
    size: int = 64,
    hands_world_m: Float[np.ndarray, "n 2 3"] | None = None,
    held_rgb: Float[np.ndarray, "n _"] | None = None,
    config: CameraConfig | None = None,
) -> UInt8[np.ndarray, "n size size 3"]:
    """Frames of a head camera at the given poses.

    Args:
        position_m: of the head, map frame.
        quat_world_head_xyzw: head axes (x forward, y left, z up) to the map, (n, 4).
        size: height and width, pixels.
        hands_world_m: positions of the left and the right hand; NaN where a hand is out of play.
        held_rgb: colour (0 to 1) of a thing in the right hand (the left where there is no right), NaN for nothing;
            a fourth column says which thing (`hands.shape_index`), a ball without.
        config: the camera.
    """
    config = config or CameraConfig()
    frames = np.empty((len(position_m), size, size, 3), np.uint8)
    fine = size * config.supersample
    rays_head = _pixel_rays(fine, config)
    for a in range(0, len(position_m), config.frames_per_batch):
        part = slice(a, a + config.frames_per_batch)
        eye = np.asarray(position_m[part], np.float32)
        turn = Rotation.from_quat(quat_world_head_xyzw[part]).as_matrix().astype(np.float32)
        rays = np.einsum("nij,pj->npi", turn, rays_head)
        colour, distance = _shade(room, eye, rays, fine, config)
        if hands_world_m is not None:
            held = None if held_rgb is None else held_rgb[part]
            draw_hands(colour, distance, eye, rays, turn, np.asarray(hands_world_m[part], float), held)
        k = config.supersample
        colour = np.clip(colour, 0, 1).reshape(-1, size, k, size, k, 3).mean(axis=(2, 4))
        frames[part] = (colour * 255 + 0.5).astype(np.uint8)
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


def _shade(
    room: Room, eye: np.ndarray, rays: np.ndarray, size: int, config: CameraConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Colour (n, pixels, 3) and distance (n, pixels) of what each ray hits."""
    n, pixels, _ = rays.shape
    flat = rays.reshape(-1, 3)
    origin = np.repeat(eye, pixels, axis=0)
    distance, face = first_hit(room, origin, flat)
    seen = face >= 0
    point = origin + flat * np.where(seen, distance, 1.0)[:, None].astype(np.float32)
    normal = room.mesh.face_normals.astype(np.float32)[face]
    facing = (normal * flat).sum(axis=1)
    normal *= -np.sign(facing)[:, None]  # towards the viewer
    material = room.face_material[face]
    c, s = np.cos(room.yaw_rad), np.sin(room.yaw_rad)
    own = np.array([[c, -s], [s, c]], np.float32)  # from room axes to the map
    w, d, h = room.size_m
    lamp = np.array([*(own @ [w / 2, d / 2] + room.origin_xy_m), h - 0.15], np.float32)
    to_lamp = lamp - point
    reach = np.linalg.norm(to_lamp, axis=1)
    to_lamp /= np.maximum(reach, 0.1)[:, None]
    blocked = first_hit(room, point + 0.004 * normal, to_lamp)[0] < reach - 0.2
    lambert = np.clip((normal * to_lamp).sum(axis=1), 0.0, 1.0) * np.where(blocked, config.shadow, 1.0)
    light = 0.46 + 0.62 * lambert / (1.0 + 0.06 * reach**2) + 0.08 * normal[:, 2] + 0.06 * np.abs(facing)
    footprint = 2 * np.tan(np.deg2rad(config.fov_deg / 2)) / size * distance / np.maximum(np.abs(facing), 0.1)
    local = np.column_stack([(point[:, :2] - room.origin_xy_m.astype(np.float32)) @ own, point[:, 2]])
    light *= _pattern(room, local, normal[:, :2] @ own, material, footprint)
    glow = np.isin(material, [room.materials.index(name) for name in ("lamp", "window_pane")])
    light[glow] = 1.25
    colour = room.materials.rgb.astype(np.float32)[material] * light[:, None].astype(np.float32)
    colour[~seen] = (0.6, 0.7, 0.8)
    return colour.reshape(n, pixels, 3), distance.reshape(n, pixels)


def _pattern(room: Room, local: np.ndarray, level: np.ndarray, material: np.ndarray, footprint: np.ndarray):
    """Factor of the colour of each hit, from the patterns of its material; `level` are the normals' x and y."""
    factor = np.ones(len(local), np.float32)
    standing = np.abs(level).max(axis=1) > 0.5
    u = np.where(standing & (np.abs(level[:, 0]) > np.abs(level[:, 1])), local[:, 1], local[:, 0])
    v = np.where(standing, local[:, 2], local[:, 1])
    order = np.argsort(material, kind="stable")
    edges = np.searchsorted(material[order], np.arange(len(room.materials.names) + 1))
    for m, name in enumerate(room.materials.names):
        of = order[edges[m] : edges[m + 1]]
        if len(of) and name in PATTERNS:
            kind, a, b = PATTERNS[name]
            along, across = (v, u) if kind == "grain" else (u, v)  # grain of fronts runs upwards
            contrast = float(room.materials.texture[m])
            factor[of] = surface_factor(along[of], across[of], kind, (a, b), contrast, footprint[of])
    return factor
