"""Previews that answer a slider at once: the mesh on screen is moved instead of being extracted again.

Some thousand places on the surface are asked for the new field; each moves along its normal to where the new surface
is, and every vertex takes a mean of the places around it. That costs a hundredth of an extraction, works for any change
of codes, and keeps the mesh as fine as it was. What has another topology, such as lips that part, waits for the real
surface, which follows as soon as the slider rests; or for blendshapes, where the head was baked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from headfield.neighbours import PointTree
from headfield.types import Mesh

PLACES = 6_000
"""Places on the surface where the new field is asked: one every 5 to 6 mm of a head."""

FARTHEST = 0.12
"""No preview moves a place by more than this, model units (30 mm)."""

SETTLED = 0.002
"""Places within this of the new surface (0.5 mm) are not asked a second time."""


@dataclass(frozen=True)
class Carried:
    """A mesh that can be moved onto other surfaces.

    Attributes:
        mesh: The mesh.
        places: (P, 3) on its surface, and `normals` (P, 3) there.
        near: (V, 4) places that a vertex takes its movement from, and `share` (V, 4) of each.
    """

    mesh: Mesh
    places: np.ndarray
    normals: np.ndarray
    near: np.ndarray
    share: np.ndarray

    def onto(self, field: Callable[[np.ndarray], np.ndarray], steps: int = 2) -> np.ndarray:
        """Vertices (V, 3) near the zero level of a field: signed distances (N,) at (N, 3) float32, model frame."""
        travelled = np.zeros(len(self.places))
        open_ones = np.arange(len(self.places))
        for _ in range(steps):
            at = self.places[open_ones] + travelled[open_ones, None] * self.normals[open_ones]
            value = np.asarray(field(at.astype(np.float32)), dtype=float)
            travelled[open_ones] = np.clip(travelled[open_ones] - value, -FARTHEST, FARTHEST)
            open_ones = open_ones[np.abs(value) > SETTLED]
            if not len(open_ones):
                break
        shift = (travelled[:, None] * self.normals)[self.near]
        return self.mesh.vertices + np.einsum("vk,vkc->vc", self.share, shift)


def carried(mesh: Mesh, places: int = PLACES) -> Carried:
    """Make a mesh with normals ready to be moved."""
    vertices, normals = np.asarray(mesh.vertices, dtype=float), np.asarray(mesh.normals, dtype=float)
    # vertices of a grid are evenly spread, and so is every n-th of them
    chosen = np.unique(np.linspace(0, len(vertices) - 1, min(places, len(vertices))).astype(int))
    tree = PointTree(_told_apart(vertices[chosen], normals[chosen]))
    distance, near = tree.query(_told_apart(vertices, normals), k=min(4, len(chosen)))
    near = near.reshape(len(vertices), -1)
    share = 1.0 / (distance.reshape(len(vertices), -1) + 0.002) ** 2
    return Carried(mesh, vertices[chosen], normals[chosen], near, share / share.sum(axis=1, keepdims=True))


def _told_apart(vertices: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Places (V, 6) in which the two sides of an ear or of the lips are far from each other."""
    return np.concatenate([vertices, 0.03 * normals], axis=1)
