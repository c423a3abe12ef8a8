"""Normals of a point cloud, up to their sign: the thinnest direction of what lies around a point."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree


def thinnest(groups: np.ndarray) -> np.ndarray:
    """Unit normals (N, 3), of either sign, of the planes that fit groups (N, K, 3) of points best."""
    offsets = groups - groups.mean(axis=1, keepdims=True)
    return np.linalg.eigh(np.einsum("nki,nkj->nij", offsets, offsets))[1][:, :, 0]


def estimated_normals(points: np.ndarray, at: np.ndarray | None = None, neighbours: int = 12) -> np.ndarray:
    """Normals (M, 3), up to sign, of the surface that a cloud samples.

    Args:
        points: (N, 3) the cloud, N >= 1.
        at: (M, 3) where; None = at the points.
        neighbours: How many of the nearest points make the surface there.
    """
    at = points if at is None else at
    near = cKDTree(points).query(at, k=min(neighbours, len(points)))[1]
    return thinnest(points[near.reshape(len(at), -1)])
