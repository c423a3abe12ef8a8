"""Nearest points: scipy's k-d tree for arrays of points.

It is asked of many points at once everywhere here, and then answers with arrays; of a single point it would give
numbers, and that is all that its type promises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

if TYPE_CHECKING:
    _Tree = cKDTree[None, None]  # not of a space that repeats itself
else:
    _Tree = cKDTree


class PointTree(_Tree):
    """A tree over points (M, C)."""

    def query(self, x, k=1, eps=0.0, p=2.0, distance_upper_bound=np.inf, workers=1) -> tuple[np.ndarray, np.ndarray]:
        """Distances and indices of the nearest of points (N, C): (N,), or (N, k) for k above 1; inf and M where
        there is none within the bound."""
        distance, index = super().query(x, k, eps, p, distance_upper_bound, workers)
        return np.asarray(distance), np.asarray(index)

    def within(self, points: np.ndarray, radius: float) -> list[list[int]]:
        """For each of points (N, C) the indices of those no farther than a radius."""
        return np.asarray(self.query_ball_point(points, radius), dtype=object).tolist()
