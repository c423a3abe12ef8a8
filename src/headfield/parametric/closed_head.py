"""The shared body of explicit families: a linear identity space, an expression space, and the closed solid."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_matrix, kron

from headfield.errors import present
from headfield.frames import TURNING_ANCHORS, anchor_indices, turning_pivot
from headfield.parametric.cache import cache_path, load_arrays, save_arrays
from headfield.parametric.derivatives import Derivatives, add_on_vertices, before_turn, dense
from headfield.parametric.neck_pose import turned, turning_share
from headfield.parametric.prior import BoxPrior, IdentityPrior
from headfield.parametric.solid import SolidPlan
from headfield.parametric.topology import mirror_pairs, rings_around
from headfield.parametric.visibility import may_be_hidden
from headfield.types import ARKIT

FOLDING = (
    "mouthRollLower mouthRollUpper mouthPucker mouthPressLeft+mouthPressRight eyeBlinkLeft+eyeBlinkRight "
    "eyeSquintLeft+eyeSquintRight mouthShrugLower+mouthShrugUpper mouthFrownLeft+mouthFrownRight "
    "eyeWideLeft+eyeWideRight jawOpen+mouthClose"
).split()
"""Expressions that fold skin over skin: what any of them hides on the mean head counts as interior."""

JAW_HEADS = 6
"""Random heads on which a wide open jaw is tried as well: the skin under the chin sinks into the neck differently."""

SPARSITY = 4.0
"""Cost (nats) per unit of an expression weight at zero; see :class:`headfield.parametric.prior.BoxPrior`."""

TURN_DEVIATION = np.radians(4.0)
"""Standard deviation of a turn of the head on its neck, about each axis: scanned people look ahead."""


def may_hide(head: ClosedHead) -> np.ndarray:
    """Interior mask (F,) of a family: triangles that see less than a tenth of the sphere in some pose, two rings more.

    The poses are the family's `folding_poses`. The cap is never interior.
    """
    return rings_around(head.triangles, may_be_hidden(head.folding_poses(), head.triangles), 2) & ~head.cap


@dataclass(frozen=True)
class LinearShapes:
    """What a family's numbers do to its vertices, as far as that is linear.

    Attributes:
        mean: (S, 3) metres, source vertices of the mean head.
        identity: (I, S, 3) metres; None when the family makes source vertices itself.
        expression: (52, L, 3) metres per unit weight, ARKit order, on the solid's linear vertices and already at rest
            around the neck; None for a family without these channels.
    """

    mean: np.ndarray
    identity: np.ndarray | None = None
    expression: np.ndarray | None = None


@dataclass(frozen=True)
class SolidPlaces:
    """Named places of a family as vertices of its solid.

    Attributes:
        anchors: (39,) vertices.
        landmarks: (68,) vertices; None when the family places landmarks itself.
        face: (L,) bool, which of the solid's linear vertices are of the face.
    """

    anchors: np.ndarray
    landmarks: np.ndarray | None
    face: np.ndarray


class ClosedHead:
    """A head family as a linear space over source vertices, closed into a solid; implements ``ParametricHead``.

    Subclasses draw identities and may give `_coefficients(identity)`, the weights of the rows of `shapes.identity`.

    Args:
        plan: How the solid is closed.
        shapes: Its mean head, identities and expressions.
        places: Its anchors, landmarks and face.
        facts_key: What the mirror index and the interior mask depend on; they are cached under it.
        n_identity: Length of the identity vector when it is not the number of rows of `shapes.identity`.
    """

    name = ""
    licence = ""
    n_expression = len(ARKIT)
    n_pose = 3

    def __init__(
        self,
        plan: SolidPlan,
        shapes: LinearShapes,
        places: SolidPlaces,
        facts_key: tuple,
        n_identity: int | None = None,
    ) -> None:
        self.plan = plan
        self.mean = np.asarray(shapes.mean, dtype=np.float64)
        # one float32 row per mode: a head is one matrix-vector product
        self._identity = None if shapes.identity is None else _rows(shapes.identity)
        self._expression = None if shapes.expression is None else _rows(shapes.expression)
        self._last: tuple[bytes, np.ndarray] | None = None
        self.n_vertices = plan.n_vertices
        self.n_identity = len(present(shapes.identity, "a basis of identities")) if n_identity is None else n_identity
        self.triangles = np.asarray(plan.triangles, dtype=np.int64)
        self.cap = plan.cap
        self.face_mask = np.concatenate([places.face, np.zeros(plan.neck.n_vertices, dtype=bool)])
        self.expression_mask = np.zeros(len(ARKIT), dtype=bool)
        if self._expression is not None:
            self.expression_mask = np.abs(self._expression).max(1) > 0
        self.anchor_vertices = np.asarray(places.anchors, dtype=np.int64)
        if places.landmarks is not None:
            self.landmark_vertices = np.asarray(places.landmarks, dtype=np.int64)
        self.mirror, self.interior = self._facts(facts_key)

    def _facts(self, key: tuple) -> tuple[np.ndarray, np.ndarray]:
        """Mirror index (V,) and interior mask (F,), cached under `key`."""
        shape = zlib.crc32(self.triangles.tobytes()), zlib.crc32(np.round(self.mean, 6).tobytes())
        path = cache_path(f"{self.name}-facts", *key, *shape)
        known = load_arrays(path)
        if known is not None and known["interior"].shape == self.cap.shape:
            return known["mirror"], known["interior"]
        mirror, _ = mirror_pairs(self.raw_vertices(self.mean_identity()), self.triangles)
        interior = may_hide(self)
        save_arrays(path, {"mirror": mirror, "interior": interior})
        return mirror, interior

    def folding_poses(self) -> list[np.ndarray]:
        """Vertices (V, 3) of heads on which skin hides skin: the mean head's neutral and `FOLDING` expressions, and an
        open jaw on a few random heads."""
        weights = []
        for names in FOLDING:
            weight = np.zeros(len(ARKIT))
            weight[[ARKIT.index(name) for name in names.split("+")]] = 1.0
            weights.append(weight)
        wide = np.zeros(len(ARKIT))
        wide[ARKIT.index("jawOpen")] = 1.0
        mean, rng = self.mean_identity(), np.random.default_rng(0)
        poses = [self.raw_vertices(mean), self.raw_vertices(mean, wide)]
        poses += [self.raw_vertices(mean, weight) for weight in weights]
        return poses + [self.raw_vertices(self.draw_identity(rng), wide) for _ in range(JAW_HEADS)]

    def _coefficients(self, identity: np.ndarray) -> np.ndarray:
        return identity

    def draw_identity(self, rng: np.random.Generator) -> np.ndarray:
        """A random identity (n_identity,)."""
        raise NotImplementedError

    def mean_identity(self) -> np.ndarray:
        """The identity (n_identity,) of the mean adult head."""
        return np.zeros(self.n_identity)

    def identity_prior(self) -> IdentityPrior:
        """How plausible identities are."""
        raise NotImplementedError

    def expression_prior(self) -> BoxPrior:
        """Sparse weights in [0, 1]; masked channels are held at 0."""
        return BoxPrior.weights(self.expression_mask, SPARSITY)

    def pose_prior(self) -> BoxPrior:
        """Turns of the head about upright."""
        return BoxPrior.normal(np.full(self.n_pose, TURN_DEVIATION), 4.0)

    def describe(self, identity: np.ndarray) -> dict:
        """What the identity means in words; empty when the family does not know."""
        return {}

    def source_vertices(self, identity: np.ndarray) -> np.ndarray:
        """The family's own vertices (S, 3) of the neutral head, metres, before it is closed.

        Raises:
            ValueError: The identity has the wrong length.
        """
        identity = np.asarray(identity, dtype=np.float64)
        if identity.shape != (self.n_identity,):
            raise ValueError(f"{self.name}: identity of shape {identity.shape}, expected ({self.n_identity},)")
        weights = np.asarray(self._coefficients(identity), dtype=np.float32)
        return self.mean + (weights @ present(self._identity, "a basis of identities")).reshape(-1, 3)

    def neutral_vertices(self, identity: np.ndarray) -> np.ndarray:
        """The neutral head (V, 3) float64, metres; the last one is remembered.

        Raises:
            ValueError: The identity has the wrong length.
        """
        key = np.ascontiguousarray(identity, dtype=np.float64).tobytes()
        if self._last is None or self._last[0] != key:
            self._last = (key, self.plan.solid(self.source_vertices(identity)))
        return self._last[1].copy()

    def expression_offsets(self, expression: np.ndarray) -> np.ndarray:
        """Displacement (V, 3) float64, metres, of ARKit weights (52,); masked channels are ignored.

        Raises:
            ValueError: There are not 52 weights.
        """
        expression = np.asarray(expression, dtype=np.float64)
        if expression.shape != (len(ARKIT),):
            raise ValueError(f"{self.name}: expression of shape {expression.shape}, expected ({len(ARKIT)},)")
        active = np.flatnonzero((expression != 0) & self.expression_mask)
        offsets = np.zeros((self.n_vertices, 3))
        flat = offsets[: self.plan.n_linear].reshape(-1)
        for channel in active:  # typical expressions use 1 to 5 of the 52
            flat += expression[channel] * present(self._expression, "a basis of expressions")[channel]
        return offsets

    def raw_vertices(
        self, identity: np.ndarray, expression: np.ndarray | None = None, pose: np.ndarray | None = None
    ) -> np.ndarray:
        """Vertices (V, 3) float64 in metres, y up, +z out of the face, +x the subject's left.

        Args:
            identity: (n_identity,).
            expression: (52,) ARKit weights in [0, 1], or None for neutral.
            pose: (3,) rotation vector in radians that turns the head on its neck, or None for upright.
        Raises:
            ValueError: A vector has the wrong length.
        """
        vertices = self.neutral_vertices(identity)
        centre = turning_pivot(self.anchors(vertices))
        if expression is not None:
            vertices += self.expression_offsets(expression)
        return vertices if pose is None else turned(vertices, self.turning_share, centre, pose)

    @cached_property
    def turning_share(self) -> np.ndarray:
        """Share (V,) that each vertex takes in a turn of the head, the same for all identities."""
        mean = self.neutral_vertices(self.mean_identity())
        return turning_share(mean, self.anchors(mean))

    def derivatives(
        self,
        functionals: csr_matrix,
        identity: np.ndarray,
        expression: np.ndarray | None = None,
        pose: np.ndarray | None = None,
    ) -> Derivatives:
        """Derivatives of linear functionals (N, 3V) of `raw_vertices`; see the protocol.

        Args:
            functionals: (N, 3V) sparse.
            identity: (n_identity,).
            expression: (52,), or None for neutral.
            pose: (3,), or None for upright.
        """
        neutral = self.neutral_vertices(identity)
        vertices = neutral if expression is None else neutral + self.expression_offsets(expression)
        centre = turning_pivot(self.anchors(neutral))
        skin, by_centre, by_pose = before_turn(functionals, vertices, self.turning_share, centre, pose)
        by_expression = dense(skin[:, : 3 * self.plan.n_linear], self._expression_columns)
        if by_centre.any():
            skin = add_on_vertices(skin, self.anchor_vertices[anchor_indices(TURNING_ANCHORS)], by_centre)
        rows = kron(self.plan.skin_rows(self.source_vertices(identity)), np.eye(3), format="csr")
        by_coefficient = dense(csr_matrix(skin @ rows), self._identity_columns)
        return Derivatives(self._by_identity(by_coefficient, identity), by_expression, by_pose)

    def _by_identity(self, by_coefficient: np.ndarray, identity: np.ndarray) -> np.ndarray:
        """Derivatives (N, n_identity) from those by the coefficients (N, rows of `shapes.identity`)."""
        return by_coefficient

    @cached_property
    def _identity_columns(self) -> np.ndarray:
        return np.ascontiguousarray(present(self._identity, "a basis of identities").T)

    @cached_property
    def _expression_columns(self) -> np.ndarray:
        return np.ascontiguousarray(present(self._expression, "a basis of expressions").T)

    def anchors(self, vertices: np.ndarray) -> np.ndarray:
        """The 39 anchors (39, 3) of vertices (V, 3) in any frame."""
        return np.asarray(vertices)[self.anchor_vertices]

    @property
    def landmark_rows(self) -> csr_matrix:
        """(68, V) sparse: one vertex each."""
        count = len(self.landmark_vertices)
        return csr_matrix(
            (np.ones(count), self.landmark_vertices, np.arange(count + 1)), shape=(count, self.n_vertices)
        )

    def landmarks68(self, vertices: np.ndarray) -> np.ndarray:
        """The 68 Multi-PIE landmarks (68, 3) of vertices (V, 3) in any frame."""
        return np.asarray(vertices)[self.landmark_vertices]


def _rows(basis: np.ndarray) -> np.ndarray:
    """A basis (n, M, 3) as contiguous float32 rows (n, 3M)."""
    return np.ascontiguousarray(np.asarray(basis, np.float32).reshape(len(basis), -1))
