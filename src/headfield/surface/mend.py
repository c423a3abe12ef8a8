"""Vertices that the inverse warp put on the wrong lip, put back by their neighbours.

All of an opened mouth's gap is squeezed into the seam of the closed one, where a tenth of a millimetre decides between
upper and lower lip. There the inverse warp is exact and yet useless: it hands rims to the other lip, and the triangles
between stretch into a curtain. What such triangles reach gets its displacement from the vertices round it instead.
"""

from __future__ import annotations

import numpy as np

STRETCH = 2.2
"""An edge this much longer than in the base shape tears: skin stretches less."""

SHORTEST = 0.002
"""Edges count as at least this long (half a millimetre), model units: tiny ones stretch by rounding."""

REACH = 0.014
"""Vertices within this distance of a torn edge in the base shape may be on the wrong lip too (3.5 mm)."""


def mended(base: np.ndarray, posed: np.ndarray, triangles: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Posed vertices (V, 3) in which displacements from the base shape are smooth across torn edges.

    Args:
        base: (V, 3) the shape that the topology comes from; its triangles are sound.
        posed: (V, 3).
        triangles: (F, 3).
        region: (V,) bool, where to look: round the mouth.
    Returns:
        The vertices, and which were changed (V,) bool.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.linalg import spsolve
    from scipy.spatial import cKDTree

    edges = np.unique(np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])), axis=0)
    length, now = (np.linalg.norm(v[edges[:, 0]] - v[edges[:, 1]], axis=1) for v in (base, posed))
    torn = (now > STRETCH * np.maximum(length, SHORTEST)) & region[edges].any(1)
    doubtful = np.zeros(len(base), dtype=bool)
    if not torn.any():
        return posed, doubtful
    spots = base[np.unique(edges[torn])]
    doubtful[region] = cKDTree(spots).query(base[region], distance_upper_bound=REACH)[0] < REACH
    doubtful[edges[torn].ravel()] = True
    count = len(base)
    weight = 1 / np.maximum(length, SHORTEST / 4)
    graph = coo_matrix((np.r_[weight, weight], (np.r_[edges[:, 0], edges[:, 1]], np.r_[edges[:, 1], edges[:, 0]])),
                       shape=(count, count)).tocsr()  # fmt: skip
    total = np.asarray(graph.sum(1)).ravel()
    laplacian = coo_matrix((total, (range(count), range(count))), shape=(count, count)).tocsr() - graph
    scaled = coo_matrix((1 / total, (range(count), range(count))), shape=(count, count)).tocsr() @ laplacian
    smooth = (laplacian @ scaled).tocsr()  # thin-plate: slopes continue too
    free, held = np.flatnonzero(doubtful), np.flatnonzero(~doubtful)
    shift = posed - base
    rows = smooth[free]
    solved = spsolve(rows[:, free].tocsc(), -(rows[:, held] @ shift[held]))
    out = posed.copy()
    out[free] = base[free] + solved
    return out, doubtful
