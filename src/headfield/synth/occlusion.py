"""What can be seen: rays through embree, directions on the sphere, and the share of them that escapes."""

from __future__ import annotations

import numpy as np

from headfield.errors import need


class Occluder:
    """A triangle mesh ready for rays.

    Embree computes in float32: coordinates of the order of one (model units) keep errors near 1e-7.

    Args:
        vertices: (V, 3).
        triangles: (F, 3) int.
    """

    def __init__(self, vertices: np.ndarray, triangles: np.ndarray):
        scene = need("embreex.rtcore_scene", "", "Ray casting")
        mesh = need("embreex.mesh_construction", "", "Ray casting")
        self._scene = scene.EmbreeScene()
        self._mesh = mesh.TriangleMesh(
            self._scene,
            np.ascontiguousarray(vertices, dtype=np.float32),
            np.ascontiguousarray(triangles, dtype=np.int32),
        )

    def occluded(self, origins: np.ndarray, directions: np.ndarray) -> np.ndarray:
        """Whether each ray from origins (N, 3) along directions (N, 3) meets the mesh: (N,) bool."""
        if len(origins) == 0:
            return np.zeros(0, dtype=bool)
        return self._scene.run(*_rays(origins, directions), query="OCCLUDED") >= 0

    def first_hit(self, origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First triangle (N,) met by each ray, -1 for none, and the distance (N,) in lengths of its direction."""
        if len(origins) == 0:
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        answer = self._scene.run(*_rays(origins, directions), query="INTERSECT", output=True)
        triangle = answer["primID"].astype(np.int64)
        return triangle, np.where(triangle < 0, np.inf, answer["tfar"].astype(float))


def _rays(origins: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (
        np.ascontiguousarray(origins, dtype=np.float32),
        np.ascontiguousarray(directions, dtype=np.float32),
    )


def sphere_directions(count: int) -> np.ndarray:
    """Nearly even unit directions (count, 3) on the sphere: a Fibonacci spiral (Swinbank and Purser 2006)."""
    k = np.arange(count) + 0.5
    z = 1.0 - 2.0 * k / count
    turn = np.pi * (3.0 - np.sqrt(5.0)) * k
    radius = np.sqrt(1.0 - z**2)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn), z], axis=1)


def escaping_share(
    occluders: list[Occluder], points: np.ndarray, directions: np.ndarray, normals: np.ndarray | None = None
) -> np.ndarray:
    """Share (N,) of directions (D, 3) in which a point sees no obstacle.

    Args:
        occluders: Obstacles, all of them opaque.
        points: (N, 3), already lifted off their surface.
        directions: (D, 3) unit.
        normals: (N, 3) of the surface the points belong to: directions below it count as blocked, unasked.
    """
    n, d = len(points), len(directions)
    if normals is None:
        ask = np.ones((n, d), dtype=bool)
    else:
        ask = normals @ directions.T > 0.02
    row, column = np.nonzero(ask)
    for occluder in occluders:
        blocked = occluder.occluded(points[row], directions[column])
        row, column = row[~blocked], column[~blocked]
    return np.bincount(row, minlength=n) / d
