"""Triangles that a deformation has turned over, told from those that it has merely turned."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, diags

from headfield.surface.topology import face_vectors


class FlipTest:
    """Finds the flipped triangles of any deformation of one template.

    Each triangle turns by the rotation that takes its plane and an edge of it along. The rotations of a triangle's
    neighbours (those that share a vertex) say which way it should face now; it is flipped when it faces away from
    that. So a head that is turned as a whole has none, and neither has a fold that the template has already.
    """

    def __init__(self, vertices: np.ndarray, triangles: np.ndarray) -> None:
        """Prepare for template vertices (V, 3) and triangles (F, 3)."""
        self.triangles = np.asarray(triangles, dtype=np.int64)
        count = len(self.triangles)
        corner = csr_matrix(
            (np.ones(3 * count), (np.repeat(np.arange(count), 3), self.triangles.ravel())),
            shape=(count, len(vertices)),
        )
        touching = (corner @ corner.T).tocsr()
        touching.data[:] = 1.0
        self._neighbours = (touching - diags(touching.diagonal())).tocsr()
        self._neighbours.eliminate_zeros()
        self._corner = corner
        self._rest, self._area = _frames(np.asarray(vertices, dtype=float), self.triangles)

    def flipped(self, vertices: np.ndarray) -> np.ndarray:
        """Triangles (F,) bool that are turned over in vertices (V, 3)."""
        frames, area = _frames(np.asarray(vertices, dtype=float), self.triangles)
        turns = np.einsum("fci,fdi->fcd", frames, self._rest)  # rest -> now
        weights = np.minimum(area / np.maximum(self._area, 1e-300), 1.0) * self._area
        mean = (self._neighbours @ (weights[:, None] * turns.reshape(-1, 9))).reshape(-1, 3, 3)
        expected = np.einsum("fcd,fd->fc", mean, self._rest[:, :, 2])
        facing = (expected * frames[:, :, 2]).sum(1)
        return (facing < 0) & (self._area > 0)

    def around(self, flagged: np.ndarray, rings: int) -> np.ndarray:
        """Vertices (V,) bool of flagged triangles (F,) and of so many rings of triangles round them."""
        for _ in range(rings):
            flagged = flagged | (self._neighbours @ flagged.astype(float) > 0)
        return self._corner.T @ flagged.astype(float) > 0


def _frames(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal frames (F, 3, 3), columns: first edge, across, normal; and twice the areas (F,)."""
    normal = face_vectors(vertices, triangles)
    area = np.linalg.norm(normal, axis=1)
    normal = normal / np.maximum(area, 1e-300)[:, None]
    edge = vertices[triangles[:, 1]] - vertices[triangles[:, 0]]
    edge = edge / np.maximum(np.linalg.norm(edge, axis=1), 1e-300)[:, None]
    return np.stack([edge, np.cross(normal, edge), normal], axis=2), area
