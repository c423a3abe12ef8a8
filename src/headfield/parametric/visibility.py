"""Which triangles other skin can hide: found by casting rays outward, once per family."""

from __future__ import annotations

import numpy as np


def sphere_directions(count: int) -> np.ndarray:
    """Unit directions (count, 3), evenly spread (Fibonacci lattice)."""
    index = np.arange(count) + 0.5
    z = 1.0 - 2.0 * index / count
    angle = np.pi * (1.0 + 5.0**0.5) * index
    r = np.sqrt(1.0 - z * z)
    return np.stack([r * np.cos(angle), r * np.sin(angle), z], 1)


def open_share(vertices: np.ndarray, triangles: np.ndarray, which: np.ndarray, directions: int = 64) -> np.ndarray:
    """Share of directions of the whole sphere in which a triangle's outer side sees the outside.

    A free convex surface has 0.5.

    Args:
        vertices: (V, 3) metres.
        triangles: (F, 3), all that can occlude.
        which: (G,) indices of the triangles to test, at their centroids.
        directions: Rays per triangle.
    Returns:
        (G,) in [0, 0.5].
    """
    from trimesh import Trimesh
    from trimesh.ray.ray_pyembree import RayMeshIntersector

    mesh = Trimesh(vertices, triangles, process=False)
    intersector = RayMeshIntersector(mesh)
    centres = mesh.triangles_center[which]
    normals = mesh.face_normals[which]
    share = np.zeros(len(which))
    for direction in sphere_directions(directions):
        front = np.flatnonzero(normals @ direction > 0.05)
        if len(front):
            origins = centres[front] + 2e-5 * normals[front] + 2e-5 * direction
            hit = intersector.intersects_any(origins, np.broadcast_to(direction, origins.shape))
            share[front[~hit]] += 1.0 / directions
    return share


def may_be_hidden(poses: list[np.ndarray], triangles: np.ndarray, least_open: float = 0.1) -> np.ndarray:
    """Triangles (F,) bool that see less than `least_open` of the sphere in at least one pose.

    Args:
        poses: Vertices (V, 3) of the same topology: neutral and expressions that fold the skin.
        triangles: (F, 3).
    """
    hidden = np.zeros(len(triangles), dtype=bool)
    for vertices in poses:
        rest = np.flatnonzero(~hidden)
        hidden[rest] = open_share(vertices, triangles, rest) < least_open
    return hidden
