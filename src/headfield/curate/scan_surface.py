"""The surface of a scan as non-rigid ICP asks for it: the closest place that faces the same way, and whether it is a
rim.

A scan is a mesh or a cloud of points with normals. Where the closest place faces another way (the back of an ear, the
other lip), the nearest one that agrees is looked for instead, in the space of places and directions together. Lengths
are in units of 100 mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headfield.errors import ScanError, present
from headfield.neighbours import PointTree
from headfield.surface.cloud_normals import estimated_normals
from headfield.surface.nearest import Target, sample_surface
from headfield.surface.topology import face_vectors, vertex_normals
from headfield.types import Mesh

TURN = 0.1
"""How much a difference of unit normals counts against a distance: the unit of length here is 100 mm, so that places
that face opposite ways seem 20 mm apart."""

AGREE = 0.5
"""Cosine above which the closest place is taken as it is."""

NEIGHBOURS = 8
"""Points of a cloud that make its surface round a place."""

BESIDE = 1.0
"""A place of a cloud is beyond its rim when the nearest point lies farther beside it than the eighth neighbour of that
point, times this. Nearer to the rim the foot on its tangent plane does not drag."""

_SAMPLES = 120_000


@dataclass(frozen=True)
class Matches:
    """Places on a scan for N vertices.

    Attributes:
        points: (N, 3).
        normals: (N, 3) unit, outward.
        distance: (N,).
        rim: (N,) bool: the place lies on the border of what was scanned, so it says nothing about what is beyond.
    """

    points: np.ndarray
    normals: np.ndarray
    distance: np.ndarray
    rim: np.ndarray


class MeshSurface:
    """The surface of a mesh; its triangles are turned outwards as most of the template's matches say."""

    def __init__(self, mesh: Mesh) -> None:
        """Build the search trees.

        Raises:
            ScanError: The mesh has no triangle with an area.
        """
        double_area = np.linalg.norm(face_vectors(mesh.vertices, mesh.triangles), axis=1)
        triangles = np.asarray(mesh.triangles)[double_area > 0]
        if not len(triangles):
            raise ScanError("the target mesh has no triangle with an area; a surface was expected.")
        self._mesh = Mesh(np.asarray(mesh.vertices, dtype=float), triangles)
        self._target = Target(self._mesh)
        self._rim = border_vertices(np.asarray(mesh.triangles), len(mesh.vertices))
        count = min(_SAMPLES, max(20_000, 2 * len(triangles)))
        self._samples = sample_surface(self._mesh, count, np.random.default_rng(0))
        self._tree = PointTree(np.concatenate([self._samples.points, TURN * self._samples.normals], axis=1))

    def flipped(self) -> MeshSurface:
        """The same surface seen from its other side."""
        return MeshSurface(Mesh(self._mesh.vertices, self._mesh.triangles[:, ::-1]))

    def closest(self, points: np.ndarray, normals: np.ndarray) -> Matches:
        """The place for each of points (N, 3) with unit normals (N, 3)."""
        distance, place = self._target.closest(points)
        found, facing = place.points.copy(), place.normals.copy()
        triangle, weights = place.triangle.copy(), place.barycentric.copy()
        other = np.flatnonzero((facing * normals).sum(1) < AGREE)
        if len(other):
            _, near = self._tree.query(np.concatenate([points[other], TURN * normals[other]], axis=1))
            better = (self._samples.normals[near] * normals[other]).sum(1) >= AGREE
            other, near = other[better], near[better]
            corners = self._mesh.vertices[self._mesh.triangles[self._samples.triangle[near]]]
            weights[other] = _closest_on_triangles(points[other], corners)
            found[other] = np.einsum("nk,nkc->nc", weights[other], corners)
            triangle[other], facing[other] = self._samples.triangle[near], self._samples.normals[near]
            distance[other] = np.linalg.norm(found[other] - points[other], axis=1)
        corner = self._mesh.triangles[triangle]
        rim = np.all((weights < 1e-6) | self._rim[corner], axis=1) & np.any(weights < 1e-6, axis=1)
        return Matches(found, facing, distance, rim)


class CloudSurface:
    """The surface that a cloud of points with outward normals stands for: planes through a few neighbours each."""

    def __init__(self, points: np.ndarray, normals: np.ndarray) -> None:
        """Build the search tree of points (N, 3) with unit normals (N, 3).

        Raises:
            ScanError: Fewer points than make a surface.
        """
        if len(points) <= NEIGHBOURS:
            raise ScanError(f"the target holds {len(points)} points; a surface needs at least a few hundred.")
        self._points, self._normals = np.asarray(points, dtype=float), np.asarray(normals, dtype=float)
        self._tree = PointTree(np.concatenate([self._points, TURN * self._normals], axis=1))
        beside = PointTree(self._points).query(self._points, k=NEIGHBOURS + 1)[0]
        self._reach = beside[:, -1]

    def flipped(self) -> CloudSurface:
        """The same surface seen from its other side."""
        return CloudSurface(self._points, -self._normals)

    def closest(self, points: np.ndarray, normals: np.ndarray) -> Matches:
        """The place for each of points (N, 3) with unit normals (N, 3)."""
        _, near = self._tree.query(np.concatenate([points, TURN * normals], axis=1), k=NEIGHBOURS)
        places, facing = self._points[near], self._normals[near]
        apart = np.linalg.norm(places - points[:, None], axis=2)
        width = np.maximum(self._reach[near[:, 0]], 1e-12)
        weights = np.exp(-(((apart - apart.min(1, keepdims=True)) / width[:, None]) ** 2))
        weights = weights * np.clip((facing * facing[:, :1]).sum(2), 0, None) + 1e-12
        weights /= weights.sum(1, keepdims=True)
        centre = np.einsum("nk,nkc->nc", weights, places)
        normal = np.einsum("nk,nkc->nc", weights, facing)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        height = ((points - centre) * normal).sum(1, keepdims=True)
        foot = points - height * normal
        beside = np.linalg.norm(places - foot[:, None], axis=2).min(axis=1)
        return Matches(foot, normal, np.abs(height[:, 0]), beside > BESIDE * width)


def surface_of(mesh: Mesh, outward_like: Mesh) -> MeshSurface | CloudSurface:
    """The surface of a mesh, or of a cloud (a mesh without triangles), facing the way most of a template does.

    Args:
        mesh: The scan. A cloud without normals gets estimated ones, each turned the way of the template near it.
        outward_like: The template where it lies before the registration, with outward normals.
    """
    points, outward = np.asarray(mesh.vertices, dtype=float), present(outward_like.normals, "normals")
    if not len(mesh.triangles) and mesh.normals is None:
        normals = estimated_normals(points)
        near = PointTree(outward_like.vertices).query(points)[1]
        turned = (normals * outward[near]).sum(1) < 0
        return CloudSurface(points, np.where(turned[:, None], -normals, normals))
    if len(mesh.triangles):
        surface, facing = MeshSurface(mesh), vertex_normals(points, mesh.triangles)
    else:
        facing = np.asarray(mesh.normals, dtype=float)
        surface = CloudSurface(points, facing)
    distance, near = PointTree(points).query(outward_like.vertices)
    close = distance <= np.median(distance)
    agreement = (facing[near[close]] * outward[close]).sum(1)
    return surface.flipped() if agreement.mean() < 0 else surface


def border_vertices(triangles: np.ndarray, count: int) -> np.ndarray:
    """Vertices (V,) bool on an edge that has one triangle only."""
    pairs = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    edges, uses = np.unique(pairs[:, 0] * np.int64(count) + pairs[:, 1], return_counts=True)
    edges = np.stack([edges // count, edges % count], axis=1)
    border = np.zeros(count, dtype=bool)
    border[edges[uses == 1].ravel()] = True
    return border


def _closest_on_triangles(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Barycentric weights (N, 3) of the places on triangles (N, 3, 3) that are closest to points (N, 3)."""
    import igl

    corners = np.ascontiguousarray(corners)
    weights = np.asarray(
        igl.barycentric_coordinates(points, corners[:, 0].copy(), corners[:, 1].copy(), corners[:, 2].copy())
    )
    best = np.clip(weights, 0, None)
    inside = (weights >= 0).all(1)
    gap = np.full(len(points), np.inf)
    for i, j in ((0, 1), (1, 2), (2, 0)):
        edge = corners[:, j] - corners[:, i]
        along = ((points - corners[:, i]) * edge).sum(1) / np.maximum((edge**2).sum(1), 1e-300)
        along = np.clip(along, 0, 1)
        apart = np.linalg.norm(points - corners[:, i] - along[:, None] * edge, axis=1)
        closer = ~inside & (apart < gap)
        gap = np.where(closer, apart, gap)
        on_edge = np.zeros((len(points), 3))
        on_edge[:, i], on_edge[:, j] = 1 - along, along
        best = np.where(closer[:, None], on_edge, best)
    return best / best.sum(1, keepdims=True)
