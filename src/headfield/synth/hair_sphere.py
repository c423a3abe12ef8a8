"""The sphere of directions on which hair is a radius: its triangles, averages over neighbours, finer where it shows."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, diags


@cache
def sphere() -> tuple[np.ndarray, np.ndarray]:
    """Unit directions (10242, 3) and triangles (20480, 3)."""
    from trimesh.creation import icosphere

    sphere = icosphere(subdivisions=5)
    return np.array(sphere.vertices), np.array(sphere.faces, dtype=np.int64)


def mesh_averaging(triangles: np.ndarray, count: int) -> csr_matrix:
    """Sparse (count, count) mean over the neighbours along edges."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    graph = coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(count, count)).tocsr()
    return (diags(1.0 / np.maximum(np.asarray(graph.sum(1)).ravel(), 1.0)) @ graph).tocsr()


def refine(directions, triangles, fields):
    """Split the triangles that lie on the outside (radius near or over the skin), conforming; fields are averaged."""
    radius, base = fields[0], fields[1]
    outside = radius > base - 0.03
    split = outside[triangles].any(1)
    edges = np.sort(np.stack([triangles, np.roll(triangles, -1, axis=1)], axis=2), axis=2)  # (F, 3 edges, 2)
    code = edges[:, :, 0] * len(directions) + edges[:, :, 1]
    marked = np.unique(code[split])
    first, second = marked // len(directions), marked % len(directions)
    middle = directions[first] + directions[second]
    middle /= np.linalg.norm(middle, axis=1, keepdims=True)
    grown = [np.concatenate([f, 0.5 * (f[first] + f[second])]) for f in fields]
    place = np.searchsorted(marked, code)
    place = np.where(marked[np.minimum(place, len(marked) - 1)] == code, place + len(directions), -1)
    kept = []
    for triangle, middles in zip(triangles[~split].tolist(), place[~split].tolist()):
        kept.extend(_split_some(triangle, middles))
    a, b, c = triangles[split].T
    ab, bc, ca = place[split].T
    quarter = np.concatenate([np.stack(t, 1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])
    return np.concatenate([directions, middle]), np.concatenate([quarter, np.array(kept, dtype=np.int64)]), grown


def _split_some(triangle: list[int], middles: list[int]) -> list[list[int]]:
    """Split one triangle whose marked edges (middle >= 0 after corner k) are fewer than four cases."""
    polygon = []
    for corner, middle in zip(triangle, middles):
        polygon.append(corner)
        if middle >= 0:
            polygon.append(middle)
    if len(polygon) == 3:
        return [polygon]
    start = next(k for k, middle in enumerate(middles) if middle >= 0)
    hub = middles[start]
    at = polygon.index(hub)
    ring = polygon[at + 1 :] + polygon[:at]
    return [[hub, first, second] for first, second in zip(ring, ring[1:])]
