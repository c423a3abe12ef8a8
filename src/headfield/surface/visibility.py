"""Which triangles of a mesh can be seen from outside, so that mouth bags and eyes behind lids do not count."""

from __future__ import annotations

import numpy as np

from ..types import Mesh
from .rays import RayScene
from .topology import face_vectors


def directions(count: int) -> np.ndarray:
    """Unit directions (count, 3), evenly spread over the sphere (Fibonacci); so is every prefix of them."""
    index = np.arange(count) + 0.5
    height = 1 - 2 * index / count
    turn = np.pi * (1 + 5**0.5) * index
    ring = np.sqrt(1 - height**2)
    points = np.stack([ring * np.cos(turn), ring * np.sin(turn), height], axis=1)
    order = [0]
    nearest = points @ points[0]
    while len(order) < count:  # next the one farthest from all before
        order.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, points @ points[order[-1]])
    return points[order]


def visible_triangles(mesh: Mesh, rays: int = 64, least: int = 2) -> np.ndarray:
    """Triangles (F,) bool that are seen from outside.

    A triangle counts as seen when at least `least` of `rays` directions, evenly spread over the sphere, lead from the
    outer side of its centre past the rest of the mesh. Out of a slit of w degrees about w/360 of them do, so the
    defaults hide what lies deeper than about the opening of its hole. Triangles must be counter-clockwise seen from
    outside.
    """
    normals = face_vectors(mesh.vertices, mesh.triangles)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = normals / np.maximum(length, 1e-30)
    centres = np.asarray(mesh.vertices)[mesh.triangles].mean(1)
    scene = RayScene(mesh.vertices, mesh.triangles)
    lift = 2e-5 * scene.size  # beyond the float32 error of the rays, far below any feature
    seen = np.zeros(len(centres), dtype=np.int32)
    undecided = np.arange(len(centres))
    for direction in directions(rays):
        front = undecided[normals[undecided] @ direction > 0.02]
        if len(front):
            free = ~scene.occluded(centres[front] + lift * normals[front], np.broadcast_to(direction, (len(front), 3)))
            seen[front[free]] += 1
            undecided = undecided[seen[undecided] < least]
        if not len(undecided):
            break
    return seen >= least
