"""Vertices that the inverse warp put on the wrong lip, put back by their neighbours.

All of an opened mouth's gap is squeezed into the seam of the closed one, where a tenth of a millimetre decides between
upper and lower lip. There the inverse warp is exact and yet useless: it hands rims to the other lip, and the triangles
between stretch into a curtain. Skin moves smoothly along itself: where the displacements do not, the smooth field that
most of the vertices agree on takes their place. Along the mesh the two lips are far apart, so neither pulls the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

STRETCH = 2.2
"""An edge this much longer than in the base shape tears: skin stretches less."""

BEND = 0.25
"""A displacement that differs from the mean of those round it by more than this share of the edges there is rough."""

SHORTEST = 0.002
"""Edges count as at least this long (half a millimetre), model units: tiny ones stretch by rounding."""

REACH = 0.014
"""Vertices within this distance of a torn or rough spot in the base shape are looked at (3.5 mm)."""

AGREE = 0.0012
"""Displacements within about this distance of the smooth field (0.3 mm) are believed, model units."""

STIFF = 80.0
"""Weight of smoothness against one vertex's displacement: waves shorter than about ten edges go."""


@dataclass(frozen=True)
class Seams:
    """Finds and mends curtains and rough rims in shapes of one topology.

    Attributes:
        base: (V, 3) a shape from which skin moves smoothly to others.
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

    def wild(self, posed: np.ndarray) -> np.ndarray:
        """Vertices (V,) bool on torn edges, or whose displacement is unlike that of their neighbours."""
        bend = np.linalg.norm(self._bending @ (posed - self.base), axis=1)
        found = (bend > BEND * self._spacing) & self.region
        found[np.unique(self.edges[self.torn(posed)])] = True
        return found

    def mended(self, posed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Posed vertices (V, 3) whose displacements from the base are smooth across what was torn or rough, and which
        changed (V,)."""
        from scipy.sparse import diags_array
        from scipy.sparse.linalg import splu
        from scipy.spatial import cKDTree

        wild = self.wild(posed)
        area = np.zeros(len(posed), dtype=bool)
        if not wild.any():
            return posed, area
        near = cKDTree(self.base[wild]).query(self.base[self.region], distance_upper_bound=REACH)[0]
        area[self.region] = near < REACH
        area |= wild
        rows = self._plate[area]
        inner, edge = rows[:, area], rows[:, ~area]
        shift = posed - self.base
        given, pull = shift[area], -(edge @ shift[~area])
        trust = (~wild[area]).astype(float)
        for _ in range(4):
            system = (STIFF * inner + diags_array(trust + 1e-4)).tocsc()
            solved = splu(system).solve(STIFF * pull + (trust + 1e-4)[:, None] * given)
            trust = 1 / (1 + (np.linalg.norm(solved - given, axis=1) / AGREE) ** 2) ** 2
        out = posed.copy()
        out[area] = self.base[area] + solved
        return out, area

    @cached_property
    def _bending(self):
        """(V, V) each vertex minus the mean of its neighbours, near ones counting more."""
        from scipy.sparse import coo_matrix, diags_array, eye_array

        weight = 1 / np.maximum(_lengths(self.base, self.edges), SHORTEST / 4)
        one, two = self.edges.T
        pairs = (np.r_[weight, weight], (np.r_[one, two], np.r_[two, one]))
        graph = coo_matrix(pairs, shape=(len(self.base), len(self.base))).tocsr()
        return (eye_array(len(self.base)) - diags_array(1 / np.asarray(graph.sum(1)).ravel()) @ graph).tocsr()

    @cached_property
    def _plate(self):
        """(V, V) the energy of a thin plate: slopes continue across a mended spot."""
        return (self._bending.T @ self._bending).tocsr()

    @cached_property
    def _spacing(self) -> np.ndarray:
        """(V,) mean length of the edges at each vertex."""
        length = np.maximum(_lengths(self.base, self.edges), SHORTEST)
        ends, both = self.edges.ravel(), np.repeat(length, 2)
        return np.bincount(ends, both, len(self.base)) / np.bincount(ends, minlength=len(self.base)).clip(1)


def _lengths(vertices: np.ndarray, edges: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
