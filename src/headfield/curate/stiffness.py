"""The stiffness of a template: differences of affine maps along its edges (Amberg et al. 2007, Eqs. 9 and 10)."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix

SHORTEST = 0.1
"""Edges shorter than this share of the median count as so long: slivers and doubled vertices would be welded by it."""


def edges_of(triangles: np.ndarray) -> np.ndarray:
    """Undirected edges (E, 2) of triangles (F, 3), each once, lower index first."""
    triangles = np.asarray(triangles, dtype=np.int64)
    pairs = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    pairs = np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1)
    count = int(triangles.max(initial=0)) + 1
    code = np.unique(pairs[:, 0] * count + pairs[:, 1])
    return np.stack([code // count, code % count], axis=1)


def edge_weights(vertices: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Weight (E,) of every edge: one over its squared length.

    A difference of affine maps divided by the edge's length is their gradient, so that the stiffness of a surface does
    not change with the density of its vertices (Amberg's edges weigh the same, whatever their length).
    """
    vertices = np.asarray(vertices, dtype=float)
    length = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    if not len(length):
        return length
    return 1.0 / np.maximum(length, max(SHORTEST * float(np.median(length)), 1e-12)) ** 2


def laplacian(count: int, edges: np.ndarray, weights: np.ndarray) -> csr_matrix:
    """MᵀM (V, V) for the edge-vertex incidence matrix M (Eq. 10) with rows scaled by the root of the weights.

    The stiffness energy of maps X (V, 4, 3) is the trace of Xᵀ (MᵀM ⊗ I) X, the weight of translation γ being 1.
    """
    i, j = edges[:, 0], edges[:, 1]
    rows, columns = np.concatenate([i, j, i, j]), np.concatenate([j, i, i, j])
    values = np.concatenate([-weights, -weights, weights, weights])
    return coo_matrix((values, (rows, columns)), shape=(count, count)).tocsr()
