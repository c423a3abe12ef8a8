"""Vertices that the inverse warp put on the wrong lip, put back by their neighbours.

All of an opened mouth's gap is squeezed into the seam of the closed one, where a tenth of a millimetre decides between
upper and lower lip. There the inverse warp is exact and yet useless: it hands rims to the other lip, and the triangles
between stretch into a curtain. What such triangles reach gets its displacement from the vertices round it instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STRETCH = 2.2
"""An edge this much longer than in the base shape tears: skin stretches less."""

SHORTEST = 0.002
"""Edges count as at least this long (half a millimetre), model units: tiny ones stretch by rounding."""

REACH = 0.014
"""Vertices within this distance of a torn edge in the base shape may be on the wrong lip too (3.5 mm)."""


@dataclass(frozen=True)
class Seams:
    """Finds and mends curtains in shapes of one topology.

    Attributes:
        base: (V, 3) the shape that the topology comes from; its triangles are sound.
        edges: (E, 2) each once.
        region: (V,) bool, where to look: round the mouth.
    """

    base: np.ndarray
    edges: np.ndarray
    region: np.ndarray

    @staticmethod
    def of(base: np.ndarray, triangles: np.ndarray, region: np.ndarray) -> Seams:
        """For triangles (F, 3)."""
        sides = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
        return Seams(base, np.unique(np.sort(sides, axis=1), axis=0), region)

    def torn(self, posed: np.ndarray) -> np.ndarray:
        """Edges (E,) bool that are far longer than in the base shape."""
        now = _lengths(posed, self.edges)
        return (now > STRETCH * np.maximum(_lengths(self.base, self.edges), SHORTEST)) & self.region[self.edges].any(1)

    def mended(self, posed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Posed vertices (V, 3) whose displacements from the base are smooth across torn edges, and which changed."""
        from scipy.sparse import coo_matrix, diags_array
        from scipy.sparse.linalg import spsolve
        from scipy.spatial import cKDTree

        torn, count = self.torn(posed), len(self.base)
        doubtful = np.zeros(count, dtype=bool)
        if not torn.any():
            return posed, doubtful
        spots = self.base[np.unique(self.edges[torn])]
        near = cKDTree(spots).query(self.base[self.region], distance_upper_bound=REACH)[0]
        doubtful[self.region] = near < REACH
        doubtful[self.edges[torn].ravel()] = True
        weight = 1 / np.maximum(_lengths(self.base, self.edges), SHORTEST / 4)
        one, two = self.edges.T
        graph = coo_matrix((np.r_[weight, weight], (np.r_[one, two], np.r_[two, one])), shape=(count, count)).tocsr()
        total = np.asarray(graph.sum(1)).ravel()
        laplacian = (diags_array(total) - graph).tocsr()
        rows = (laplacian @ diags_array(1 / total) @ laplacian).tocsr()[doubtful]  # thin plate: slopes continue too
        shift = posed - self.base
        solved = spsolve(rows[:, doubtful].tocsc(), -(rows[:, ~doubtful] @ shift[~doubtful]))
        out = posed.copy()
        out[doubtful] = self.base[doubtful] + solved
        return out, doubtful


def _lengths(vertices: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
