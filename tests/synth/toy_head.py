"""A parametric head without data: a bumpy egg whose jaw channel stretches its lower part."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree
from trimesh.creation import icosphere

from headfield import frames
from headfield.types import ARKIT


class ToyHead:
    """Implements ``ParametricHead``: an ellipsoid of a head's size; one identity mode, ripples, a jaw."""

    name = "ict"  # borrows a frozen stream
    licence = "none"
    n_identity = 2

    def __init__(self, radii=(0.085, 0.125, 0.105), bump=0.004):
        ball = icosphere(subdivisions=4)
        self.directions = np.array(ball.vertices)
        self.triangles = np.array(ball.faces, dtype=np.int64)
        self.radii, self.bump = np.array(radii), bump
        self.interior = np.zeros(len(self.triangles), dtype=bool)
        self.cap = np.zeros(len(self.triangles), dtype=bool)
        self.face_mask = self.directions[:, 2] > 0.5
        self.expression_mask = np.ones(52, dtype=bool)
        self.expression_mask[ARKIT.index("tongueOut")] = False
        reference = frames.reference_anchors() * 0.25
        towards = reference - [0, 0.005, -0.03]
        self._anchors = cKDTree(self.directions).query(towards / np.linalg.norm(towards, axis=1, keepdims=True))[1]

    def draw_identity(self, rng):
        return rng.standard_normal(self.n_identity)

    def describe(self, identity):
        return {}

    def raw_vertices(self, identity, expression=None):
        relief = 1 + 0.02 * np.asarray(identity)[0] * self.directions[:, 0] ** 2
        vertices = relief[:, None] * self.radii * self.directions
        vertices = vertices + self.bump * np.sin(40 * vertices[:, :1]) * self.directions
        if expression is not None:
            low = np.maximum(-self.directions[:, 1], 0) ** 2
            vertices[:, 1] -= 0.02 * expression[ARKIT.index("jawOpen")] * low
        return vertices + [0, 0.005, -0.03]

    def anchors(self, vertices):
        return vertices[self._anchors]

    def landmarks68(self, vertices):
        return np.repeat(vertices[self._anchors[-3:-2]], 68, axis=0)
