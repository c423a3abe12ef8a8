"""Which vertices of a fitted head the scan saw, and which the model invented."""

from __future__ import annotations

import numpy as np

from ..neighbours import PointTree


def seen_mask(
    vertices: np.ndarray,
    normals: np.ndarray,
    scan_points: np.ndarray,
    radius: float | None = None,
    *,
    reach: float | None = None,
    neighbours: int = 8,
    least: int = 3,
) -> np.ndarray:
    """Vertices that the scan supports.

    Each scan point vouches for the surface nearest to it: vertices within `radius` of that place whose normal points
    to the same side. The side matters at thin parts: points in front of an ear say nothing about its back, nor those
    on the upper lip about the lower. The scan's own normals are not needed (they are often missing or inverted).

    Args:
        vertices: (V, 3) of the head.
        normals: (V, 3) unit, outward.
        scan_points: (N, 3) in the same frame and unit; non-finite ones are ignored.
        radius: How far a point's word carries; default three times the median spacing of the scan, at least twice
            the median spacing of the vertices.
        reach: Points farther than this from the head are strays and vouch for nothing; default `radius`.
        neighbours: Scan points asked per vertex.
        least: A scan point counts when so many (itself included) lie within twice `radius` of it, so that single
            strays that happen to touch the head leave no spots.

    Returns:
        (V,) bool.
    """
    vertices, normals = np.asarray(vertices, dtype=float), np.asarray(normals, dtype=float)
    points = np.asarray(scan_points, dtype=float)
    points = points[np.isfinite(points).all(1)]
    if not len(points) or not len(vertices):
        return np.zeros(len(vertices), dtype=bool)
    if radius is None:
        radius = max(3 * _spacing(points), 2 * _spacing(vertices))
    distance, nearest = PointTree(vertices).query(points)
    near = distance <= (radius if reach is None else reach)
    if not near.any():
        return np.zeros(len(vertices), dtype=bool)
    place, side = vertices[nearest[near]], normals[nearest[near]]
    company, _ = PointTree(place).query(place, k=least, distance_upper_bound=2 * radius)
    company = company.reshape(len(place), least)[:, -1]
    place, side = place[np.isfinite(company)], side[np.isfinite(company)]
    if not len(place):
        return np.zeros(len(vertices), dtype=bool)
    k = min(neighbours, len(place))
    gap, index = PointTree(place).query(vertices, k=k, distance_upper_bound=radius)
    gap, index = gap.reshape(len(vertices), k), index.reshape(len(vertices), k)
    agree = np.einsum("vkc,vc->vk", side[np.minimum(index, len(place) - 1)], normals) > 0.3
    return (np.isfinite(gap) & agree).any(1)


def _spacing(points: np.ndarray) -> float:
    """Median distance to the nearest other point, from at most 2000 of them."""
    if len(points) < 2:
        return 0.0
    some = points[:: max(1, len(points) // 2000)]
    return float(np.median(PointTree(points).query(some, k=2)[0][:, 1]))
