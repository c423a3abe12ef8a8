"""Samples on a mesh and closest points of a mesh: the two things that every surface metric is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import need
from ..types import Mesh
from .topology import face_areas, vertex_normals


@dataclass(frozen=True)
class OnSurface:
    """Places on a mesh.

    Attributes:
        points: (N, 3) in the mesh's unit.
        triangle: (N,) index of the triangle.
        barycentric: (N, 3) weights of its corners.
        normals: (N, 3) unit, interpolated between the vertices' normals.
    """

    points: np.ndarray
    triangle: np.ndarray
    barycentric: np.ndarray
    normals: np.ndarray

    def pick(self, which: np.ndarray) -> OnSurface:
        """Only some of the places: (N,) bool or indices."""
        return OnSurface(self.points[which], self.triangle[which], self.barycentric[which], self.normals[which])

    def interpolate(self, mesh: Mesh, values: np.ndarray) -> np.ndarray:
        """A per-vertex quantity (V, ...) of that mesh at the places (N, ...)."""
        return np.einsum("nk,nk...->n...", self.barycentric, np.asarray(values, float)[mesh.triangles[self.triangle]])


def _normals_of(mesh: Mesh) -> np.ndarray:
    return vertex_normals(mesh.vertices, mesh.triangles) if mesh.normals is None else np.asarray(mesh.normals, float)


def _places(mesh: Mesh, triangle: np.ndarray, weights: np.ndarray, points: np.ndarray, normals) -> OnSurface:
    n = np.einsum("nk,nkc->nc", weights, normals[mesh.triangles[triangle]])
    return OnSurface(points, triangle, weights, n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-30))


def sample_surface(mesh: Mesh, count: int, rng: np.random.Generator, triangles: np.ndarray | None = None) -> OnSurface:
    """Places spread evenly by area.

    Args:
        mesh: The mesh.
        count: How many.
        rng: Source of randomness.
        triangles: (F,) bool, the triangles that take part; default all.

    Raises:
        ValueError: No triangle with any area takes part.
    """
    area = face_areas(mesh.vertices, mesh.triangles)
    if triangles is not None:
        area = np.where(triangles, area, 0.0)
    if not area.sum() > 0:
        raise ValueError("no triangle to sample on: the mesh is empty or its mask leaves nothing")
    cumulative = np.cumsum(area)
    # one sample per stratum of equal area: less variance than independent draws, the same expectation
    level = (np.arange(count) + rng.random(count)) / count * cumulative[-1]
    triangle = np.minimum(np.searchsorted(cumulative, level, side="right"), len(area) - 1)
    a, b = rng.random((2, count))
    root = np.sqrt(a)
    weights = np.stack([1 - root, root * (1 - b), root * b], axis=1)
    points = np.einsum("nk,nkc->nc", weights, np.asarray(mesh.vertices, float)[mesh.triangles[triangle]])
    return _places(mesh, triangle, weights, points, _normals_of(mesh))


class Target:
    """A mesh that distances are measured to, with its search tree (libigl)."""

    def __init__(self, mesh: Mesh, triangles: np.ndarray | None = None) -> None:
        """Build the tree on the triangles in `triangles` (F,) bool, default all.

        Raises:
            MissingExtra: libigl is not installed.
            ValueError: Nothing is left to measure to.
        """
        igl = need("igl", "eval", "Measuring the distance to a surface")
        self.mesh, self._normals = mesh, _normals_of(mesh)
        self._index = np.arange(len(mesh.triangles)) if triangles is None else np.nonzero(triangles)[0]
        if not len(self._index):
            raise ValueError("no triangle to measure to: the mesh is empty or its mask leaves nothing")
        self._vertices = np.ascontiguousarray(mesh.vertices, dtype=np.float64)
        self._triangles = np.ascontiguousarray(np.asarray(mesh.triangles)[self._index], dtype=np.int64)
        self._tree = igl.AABB()
        self._tree.init(self._vertices, self._triangles)

    def closest(self, points: np.ndarray) -> tuple[np.ndarray, OnSurface]:
        """Distances (N,) of points (N, 3) and the closest places; about 0.3 M points a second near the surface."""
        points = np.ascontiguousarray(points, dtype=np.float64).reshape(-1, 3)
        if not len(points):
            empty = np.empty((0, 3))
            return np.empty(0), OnSurface(empty, np.empty(0, dtype=np.int64), empty, empty)
        squared, triangle, foot = self._tree.squared_distance(self._vertices, self._triangles, points)
        triangle = np.asarray(triangle).reshape(-1)
        weights = _barycentric(foot, self._vertices[self._triangles[triangle]])
        distance = np.sqrt(np.maximum(np.asarray(squared).reshape(-1), 0))
        return distance, _places(self.mesh, self._index[triangle], weights, foot, self._normals)

    def outside(self, points: np.ndarray) -> np.ndarray:
        """The same distances (N,), negative behind the surface by its normals."""
        distance, foot = self.closest(points)
        return np.where(((points - foot.points) * foot.normals).sum(1) < 0, -distance, distance)


def _barycentric(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Weights (N, 3) of points (N, 3) that lie in triangles with corners (N, 3, 3)."""
    a, b, p = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], points - corners[:, 0]
    aa, ab, bb = (a * a).sum(1), (a * b).sum(1), (b * b).sum(1)
    pa, pb = (p * a).sum(1), (p * b).sum(1)
    det = np.maximum(aa * bb - ab * ab, 1e-300)
    v, w = (bb * pa - ab * pb) / det, (aa * pb - ab * pa) / det
    weights = np.clip(np.stack([1 - v - w, v, w], axis=1), 0, 1)
    return weights / np.maximum(weights.sum(1, keepdims=True), 1e-30)
