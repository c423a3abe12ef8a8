"""What every explicit head offers: closed solid outer surface, 39 anchors, 68 landmarks, 52 expression channels."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from scipy.sparse import csr_matrix

from headfield.parametric.derivatives import Derivatives
from headfield.parametric.prior import BoxPrior, IdentityPrior


@runtime_checkable
class ParametricHead(Protocol):
    """An explicit head family with a fixed topology for all identities and expressions.

    Every family delivers the same kind of surface: skin of the whole head and neck, cut by a plane through the head's
    own throat and neck-side anchors and closed by a planar cap; a true mouth cavity without teeth or tongue; closed
    eyeballs. The triangles form several closed components (head, two eyeballs) whose union is the solid.

    Attributes:
        name: ``ict``, ``anny``, ``pca``, ``local-pca``, ``flame`` or ``gnm``.
        licence: Licence of the shape data, one line.
        n_identity: Length of the identity vector.
        n_expression: Length of the expression vector: 52 (ARKit) unless the family has numbers of its own.
        n_pose: Length of the pose vector: 3 unless the family has joints of its own.
        triangles: (F, 3) int, counter-clockwise seen from outside.
        interior: (F,) bool, triangles that other skin may hide in some expression (mouth bag, lips, eye sockets,
            eyeballs, nostrils, ear folds): test their visibility when sampling. All others are visible always.
        cap: (F,) bool, triangles of the neck cap.
        face_mask: (V,) bool, the face region of the metrics.
        expression_mask: (52,) bool, the ARKit channels that this family can play.
        anchor_vertices: (39,) int, the vertices that are the anchors.
        mirror: (V,) int, index of each vertex's mirror image, an involution.
    """

    name: str
    licence: str
    n_identity: int
    n_expression: int
    n_pose: int
    triangles: np.ndarray
    interior: np.ndarray
    cap: np.ndarray
    face_mask: np.ndarray
    expression_mask: np.ndarray
    anchor_vertices: np.ndarray
    mirror: np.ndarray

    @property
    def landmark_rows(self) -> csr_matrix:
        """(68, V) sparse, the 68 Multi-PIE landmarks as combinations of the vertices."""
        ...

    def draw_identity(self, rng: np.random.Generator) -> np.ndarray:
        """A random plausible identity (n_identity,)."""
        ...

    def describe(self, identity: np.ndarray) -> dict:
        """What the identity means in words (age, gender, group) where the family knows, else ``{}``."""
        ...

    def raw_vertices(
        self, identity: np.ndarray, expression: np.ndarray | None = None, pose: np.ndarray | None = None
    ) -> np.ndarray:
        """Vertices (V, 3) float64 in metres, y up, +z out of the face, +x the subject's left, own placement.

        Args:
            identity: (n_identity,).
            expression: (n_expression,), or None for neutral: ARKit weights in [0, 1], of which masked channels are
                ignored, or the family's own numbers.
            pose: (n_pose,), or None for upright: rotation vectors in radians, first the one that turns the head on its
                neck; the cut and its cap stay where they are, see :mod:`headfield.parametric.neck_pose`.
        """
        ...

    def mean_identity(self) -> np.ndarray:
        """The identity (n_identity,) of the mean adult head."""
        ...

    def identity_prior(self) -> IdentityPrior:
        """How plausible identities are."""
        ...

    def expression_prior(self) -> BoxPrior:
        """Bounds and cost of the n_expression expression numbers."""
        ...

    def pose_prior(self) -> BoxPrior:
        """Bounds and cost of the n_pose pose numbers."""
        ...

    def derivatives(
        self,
        functionals: csr_matrix,
        identity: np.ndarray,
        expression: np.ndarray | None = None,
        pose: np.ndarray | None = None,
    ) -> Derivatives:
        """Derivatives of linear functionals of `raw_vertices` by all its numbers.

        At the relaid neck they are those of the skin itself: that the rows of vertices also slide along the skin, as
        the cut moves, is left out, and so is the cap.

        Args:
            functionals: (N, 3V) sparse, over the flattened vertices, see :mod:`headfield.parametric.derivatives`.
            identity, expression, pose: As for `raw_vertices`.
        """
        ...

    def anchors(self, vertices: np.ndarray) -> np.ndarray:
        """The 39 anchors (39, 3), order of ``frames.ANCHOR_NAMES``, of vertices (V, 3) in any frame."""
        ...

    def landmarks68(self, vertices: np.ndarray) -> np.ndarray:
        """The 68 Multi-PIE landmarks (68, 3) of vertices (V, 3) in any frame."""
        ...
