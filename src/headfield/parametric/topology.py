"""Small facts about triangle meshes: boundaries, closedness, normals, components, mirror pairs."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

_MIRROR = np.array([-1.0, 1.0, 1.0])

_NORMAL_WEIGHT = 1e-3
"""Metres by which opposite normals count when mirror images are sought (twice this)."""


def directed_edges(triangles: np.ndarray) -> np.ndarray:
    """All directed edges (3F, 2) of triangles (F, 3)."""
    return np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])


def boundary_loops(triangles: np.ndarray) -> list[list[int]]:
    """Open boundaries as ordered vertex loops, each in the direction of its triangles."""
    edges = directed_edges(np.asarray(triangles))
    present = set(map(tuple, edges.tolist()))
    follow = {a: b for a, b in present if (b, a) not in present}
    loops, seen = [], set()
    for start in follow:
        loop, here = [], start
        while here not in seen and here in follow:
            seen.add(here)
            loop.append(here)
            here = follow[here]
        if loop:
            loops.append(loop)
    return loops


def is_closed(triangles: np.ndarray) -> bool:
    """Whether each directed edge occurs once and its opposite once: closed, manifold along edges, oriented alike."""
    edges = directed_edges(np.asarray(triangles)).astype(np.int64)
    size = int(edges.max()) + 1
    forward = np.sort(edges[:, 0] * size + edges[:, 1])
    backward = np.sort(edges[:, 1] * size + edges[:, 0])
    return bool((np.diff(forward) > 0).all() and (forward == backward).all())


def used_vertices(triangles: np.ndarray) -> np.ndarray:
    """Sorted indices of the vertices that triangles use."""
    return np.unique(triangles)


def components(triangles: np.ndarray) -> np.ndarray:
    """Component label (F,) of each triangle, the largest component first (label 0)."""
    triangles = np.asarray(triangles)
    size = int(triangles.max()) + 1
    ones = np.ones(2 * len(triangles), dtype=np.int8)
    graph = coo_matrix(
        (ones, (np.r_[triangles[:, 0], triangles[:, 1]], np.r_[triangles[:, 1], triangles[:, 2]])), shape=(size, size)
    )
    labels = connected_components(graph, directed=False)[1][triangles[:, 0]]
    values, counts = np.unique(labels, return_counts=True)
    rank = np.empty(values.max() + 1, dtype=int)
    rank[values[np.argsort(-counts, kind="stable")]] = np.arange(len(values))
    return rank[labels]


def signed_volume(vertices: np.ndarray, triangles: np.ndarray) -> float:
    """Enclosed volume, positive when the triangles wind outward."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    return float(np.einsum("ij,ij->", a, np.cross(b, c)) / 6.0)


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals (V, 3); zero where a vertex has no triangle."""
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    face = np.cross(b - a, c - a)
    normals = np.stack(
        [np.bincount(triangles.ravel(), np.repeat(face[:, k], 3), minlength=len(vertices)) for k in range(3)], 1
    )
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)


def edge_lengths_graph(vertices: np.ndarray, triangles: np.ndarray) -> csr_matrix:
    """Symmetric sparse graph (V, V) of edge lengths."""
    edges = directed_edges(triangles)
    edges = np.unique(np.sort(edges, axis=1), axis=0)
    length = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    graph = coo_matrix((length, (edges[:, 0], edges[:, 1])), shape=(len(vertices), len(vertices))).tocsr()
    return graph + graph.T


def mirror_pairs(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, float]:
    """Mirror image of each vertex across x = 0 and the largest mismatch.

    Vertices pair only within a component or with its mirror component, so that lids do not pair with eyeballs, and by
    place and normal together, so that the two sides of a thin fold do not pair with each other.

    Args:
        vertices: (V, 3), symmetric but for noise.
        triangles: (F, 3) over all vertices.
    Returns:
        index (V,) int (an involution when the mesh is symmetric) and the largest distance between a vertex's
        reflection and its partner.
    """
    label = np.full(len(vertices), -1)
    label[triangles] = components(triangles)[:, None]
    centres = np.array([vertices[label == k].mean(0) for k in range(label.max() + 1)])
    sizes = np.bincount(label[label >= 0])
    index, largest = np.arange(len(vertices)), 0.0
    normals = vertex_normals(vertices, triangles)
    place = np.concatenate([vertices, _NORMAL_WEIGHT * normals], 1)
    image = np.concatenate([vertices * _MIRROR, _NORMAL_WEIGHT * normals * _MIRROR], 1)
    for k, centre in enumerate(centres):
        gaps = np.linalg.norm(centres - centre * _MIRROR, axis=1) + (sizes != sizes[k]) * 1e6
        partner = np.flatnonzero(label == int(np.argmin(gaps)))
        mine = np.flatnonzero(label == k)
        _, nearest = cKDTree(place[partner]).query(image[mine])
        index[mine] = partner[nearest]
        gap = np.linalg.norm(vertices[index[mine]] - vertices[mine] * _MIRROR, axis=1)
        largest = max(largest, float(gap.max()))
    return index, largest


def symmetric_triangles(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """The triangles of the left half (x > 0) and their mirror images: quads split alike on both sides.

    Returns the input when the mirrored half does not use the same number of triangles.
    """
    index, _ = mirror_pairs(vertices, triangles)
    middle = vertices[triangles, 0].mean(1)
    left = triangles[middle > 0]
    if 2 * len(left) != len(triangles) or not (index[index] == np.arange(len(vertices)))[left].all():
        return triangles
    return np.concatenate([left, index[left][:, ::-1]])


def rings_around(triangles: np.ndarray, start: np.ndarray, steps: int) -> np.ndarray:
    """Grow a triangle mask (F,) by `steps` rings over shared vertices."""
    mask = np.array(start, dtype=bool)
    size = int(triangles.max()) + 1
    for _ in range(steps):
        touched = np.zeros(size, dtype=bool)
        touched[triangles[mask].ravel()] = True
        mask = np.any(touched[triangles], axis=1)
    return mask
