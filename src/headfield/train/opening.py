"""Where a head's surface is when its mouth is open, for models whose canonical face is open.

A store of truth v2 has an open mouth in every person's row 1, as points with the places of the same skin at rest. That
says for these points how the mouth opens. Any other point of the skin, of which a store knows the place at rest and the
triangle, moves as those about it do: an affine map is fitted to the sixteen nearest at rest. Lips that touch at rest
are told apart by the triangle, which a point of row 1 has in common with it, or else no neighbour may differ.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.spatial import cKDTree

from headfield.errors import StoreError
from headfield.io.quantise import dequantise

ROW = 1
"""The row of a store in which the mouth is open."""

NEIGHBOURS = 16
"""Points of row 1 that say how one of the skin moves."""

ALIKE = 0.012
"""Model units (3 mm) by which the ways of points on one lip differ at most among so many neighbours."""

_STIFF = 1e-7
"""Weight of the affine map's slope against squared distances, square model units: few neighbours make it a shift."""


class Opening:
    """How one head opens its mouth.

    Args:
        arrays: Of the identity, as a store opens them.
        box: (2, 3) of the store.
        expression: (52,) the canonical expression.
        name: What messages call the head.
    Raises:
        StoreError: Row 1 is another face, or the store has no material coordinates.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], box: np.ndarray, expression: np.ndarray, name: str):
        faces = np.asarray(arrays["expressions"])
        if "triangle" not in arrays or len(faces) <= ROW or np.abs(faces[ROW] - expression).max() > 1e-6:
            raise StoreError(
                f"{name}: a model whose canonical mouth is open learns it from a row 1 with jawOpen at 1 and nothing "
                "else, and from material coordinates; this store has them not. Make one with `headfield synth --truth "
                "v2`, or train a preset whose canonical head is the neutral one."
            )
        valid = np.array(arrays["canonical_valid"][ROW])
        self.rest = dequantise(arrays["canonical"][ROW], box)[valid]
        self.way = dequantise(arrays["points"][ROW], box)[valid] - self.rest
        triangle = np.array(arrays["triangle"][ROW])[valid]
        self._triangles, first = np.unique(triangle, return_index=True)
        self._first = np.asarray(first)
        self._tree = cKDTree(self.rest)

    def places(self, rest: np.ndarray, triangle: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Points of the skin on the open face.

        Args:
            rest: (N, 3) where they are at rest, model units.
            triangle: (N,) the skin's triangle of each, None for places away from the lips.
        Returns:
            (N, 3) float32, and whether it is known (N,).
        """
        asked = self._tree.query(rest, k=min(NEIGHBOURS, len(self.rest)))
        distance, near = np.asarray(asked[0]), np.asarray(asked[1])
        ways, sure = self.way[near], np.ones(len(rest), dtype=bool)
        known, own = np.zeros(len(rest), dtype=bool), near[:, 0]
        if triangle is not None:
            slot = np.minimum(np.searchsorted(self._triangles, triangle), len(self._triangles) - 1)
            known = self._triangles[slot] == triangle
            own = np.where(known, self._first[slot], own)
        alike = np.linalg.norm(ways - self.way[own][:, None], axis=2) < ALIKE
        sure = alike.any(1) & (known | alike.all(1))
        weight = alike * np.exp(-((distance / (np.median(distance, axis=1, keepdims=True) + 1e-9)) ** 2))
        moved = _fitted(self.rest[near] - rest[:, None], ways, weight)
        return (rest + moved).astype(np.float32), sure


def _fitted(offset: np.ndarray, ways: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Values (N, 3) at offset zero of affine maps fitted to ways (N, k, 3) at offsets (N, k, 3), weights (N, k)."""
    design = np.concatenate([np.ones_like(offset[..., :1]), offset], axis=2)
    weighted = design * (weight / np.maximum(weight.sum(1, keepdims=True), 1e-12))[..., None]
    normal = np.swapaxes(weighted, 1, 2) @ design + np.diag([1e-12, _STIFF, _STIFF, _STIFF])
    return np.linalg.solve(normal, np.swapaxes(weighted, 1, 2) @ ways)[:, 0]
