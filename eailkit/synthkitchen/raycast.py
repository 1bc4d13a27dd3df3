"""First hits of rays on a room's mesh, through embree; one scene per room, built when first needed.

Scenes live beside the rooms, not in them, so that a room can still be pickled to a worker.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np
from embreex import rtcore_scene
from embreex.mesh_construction import TriangleMesh
from jaxtyping import Float, Int

from eailkit.synthkitchen.room import Room

_BATCH = 1 << 18  # rays a call: enough to keep embree busy, little enough to stay in memory
_scenes: WeakKeyDictionary = WeakKeyDictionary()


def _scene(room: Room):
    if room not in _scenes:
        scene = rtcore_scene.EmbreeScene()
        triangles = np.ascontiguousarray(room.mesh.vertices[room.mesh.faces], dtype=np.float32)
        _scenes[room] = (scene, TriangleMesh(scene, triangles))
    return _scenes[room][0]


def first_hit(
    room: Room, origin_m: Float[np.ndarray, "n 3"], direction: Float[np.ndarray, "n 3"]
) -> tuple[Float[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Distance to the first face along each ray, and that face.

    Args:
        origin_m: where rays start, map frame.
        direction: unit vectors, map frame.

    Returns:
        Distances in metres (inf where nothing is hit) and faces (-1 there), both (n,).
    """
    scene = _scene(room)
    distance = np.empty(len(origin_m), np.float32)
    face = np.empty(len(origin_m), np.int32)
    for a in range(0, len(origin_m), _BATCH):
        part = slice(a, a + _BATCH)
        o = np.ascontiguousarray(origin_m[part], dtype=np.float32)
        d = np.ascontiguousarray(direction[part], dtype=np.float32)
        hit = scene.run(o, d, query="INTERSECT", output=True)
        face[part], distance[part] = hit["primID"], hit["tfar"]
    distance[face < 0] = np.inf
    return distance, face
