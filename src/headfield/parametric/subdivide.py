"""Catmull-Clark subdivision of a quad mesh as one sparse matrix, so that it applies to blend shapes too."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix


def catmull_clark(quads: np.ndarray, n_vertices: int) -> tuple[csr_matrix, np.ndarray, np.ndarray]:
    """One step of Catmull and Clark (1978), with cubic B-spline curves along open borders.

    Args:
        quads: (Q, 4) int; every vertex must be used.
        n_vertices: N.
    Returns:
        matrix: (N + E + Q, N) sparse. New vertices: the N old ones moved, then one per edge, then one per quad.
        quads: (4 Q, 4), the four children of quad q at 4q..4q+3, child k at corner k.
        edges: (E, 2) sorted ends of each edge point.
    """
    quads = np.asarray(quads, dtype=np.int64)
    n_quads = len(quads)
    sides = np.stack([quads, np.roll(quads, -1, axis=1)], -1).reshape(-1, 2)
    edges, edge_of_side = np.unique(np.sort(sides, axis=1), axis=0, return_inverse=True)
    edge_of_side = edge_of_side.reshape(-1)
    n_edges = len(edges)
    faces_at_edge = np.bincount(edge_of_side, minlength=n_edges)
    border = faces_at_edge == 1

    face = coo_matrix(
        (np.full(4 * n_quads, 0.25), (np.repeat(np.arange(n_quads), 4), quads.ravel())), shape=(n_quads, n_vertices)
    ).tocsr()
    middle = coo_matrix(
        (np.full(2 * n_edges, 0.5), (np.repeat(np.arange(n_edges), 2), edges.ravel())), shape=(n_edges, n_vertices)
    ).tocsr()
    quad_of_side = np.repeat(np.arange(n_quads), 4)
    around = coo_matrix((np.ones(len(sides)), (edge_of_side, quad_of_side)), shape=(n_edges, n_quads)).tocsr()
    inner_edge = 0.5 * middle + 0.25 * (around @ face)
    edge = _rows(border, middle, inner_edge)

    at = np.ones(4 * n_quads)
    quads_at_vertex = coo_matrix((at, (quads.ravel(), quad_of_side)), shape=(n_vertices, n_quads)).tocsr()
    edges_at_vertex = coo_matrix(
        (np.ones(2 * n_edges), (edges.ravel(), np.repeat(np.arange(n_edges), 2))), shape=(n_vertices, n_edges)
    ).tocsr()
    valence = np.asarray(quads_at_vertex.sum(1)).ravel()
    one = _diagonal(np.ones(n_vertices))
    # (F + 2R + (n - 3) P) / n with F, R the means of face points and edge middles
    inner = (
        _scaled(1.0 / valence**2, quads_at_vertex @ face)
        + _scaled(2.0 / valence**2, edges_at_vertex @ middle)
        + _scaled((valence - 3.0) / valence, one)
    )
    on_border = np.zeros(n_vertices, dtype=bool)
    on_border[edges[border].ravel()] = True
    rim = 0.5 * one + 0.25 * (edges_at_vertex[:, border] @ middle[border])  # (1, 6, 1) / 8
    vertex = _rows(on_border, rim, inner)

    matrix = csr_matrix(_stack([vertex, edge, face]))
    side = edge_of_side.reshape(n_quads, 4) + n_vertices
    centre = np.arange(n_quads) + n_vertices + n_edges
    children = np.stack([np.stack([quads[:, k], side[:, k], centre, side[:, k - 1]], 1) for k in range(4)], 1)
    return matrix, children.reshape(-1, 4), edges


def _scaled(factors: np.ndarray, matrix: csr_matrix) -> csr_matrix:
    return _diagonal(factors) @ matrix


def _diagonal(values: np.ndarray) -> csr_matrix:
    every = np.arange(len(values))
    return coo_matrix((values, (every, every))).tocsr()


def _rows(choose: np.ndarray, first: csr_matrix, second: csr_matrix) -> csr_matrix:
    """Row i of `first` where chosen, else of `second`."""
    return _scaled(choose.astype(float), first) + _scaled((~choose).astype(float), second)


def _stack(parts: list[csr_matrix]) -> csr_matrix:
    from scipy.sparse import vstack

    matrix = vstack(parts).tocsr()
    matrix.eliminate_zeros()
    return matrix
