"""Families with a skeleton and expression numbers of their own (FLAME, GNM) as closed solids."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, kron

from headfield.parametric.closed_head import ClosedHead, LinearShapes, SolidPlaces
from headfield.parametric.derivatives import Derivatives, dense
from headfield.parametric.places import KnownLandmarks, find_places, split_parts
from headfield.parametric.prior import BoxPrior, IdentityPrior
from headfield.parametric.skinned import SkinnedModel
from headfield.parametric.solid import plan_solid
from headfield.parametric.topology import boundary_loops
from headfield.types import Similarity

LARGEST = 3.0
"""Identity and expression numbers are N(0, 1), clamped to this."""

RANDOM_POSES = 8
"""Random expressions that are tried to find out what skin can hide."""


class RiggedHead(ClosedHead):
    """A skinned model as closed solids; implements ``ParametricHead``.

    The head at rest is closed as every family's. What expression and joints move comes on top of it, fading out
    towards the neck, which rests, as does the cut.

    Args:
        name: Of the family.
        licence: Of its data.
        model: Its numbers.
        triangles: (F, 3) all triangles.
        known: Landmarks on the template; None when its files name none.
        similarity: Reference head (model frame) -> template, when fewer than eight landmarks are known.
        pose_deviation: (n_pose,) standard deviations of the joints' rotations, radians, 0 to hold one.
        facts_key: What caches depend on.
    Raises:
        ValueError: The template cannot be closed.
    """

    def __init__(
        self,
        name: str,
        licence: str,
        model: SkinnedModel,
        triangles: np.ndarray,
        known: KnownLandmarks | None,
        similarity: Similarity | None,
        pose_deviation: np.ndarray,
        facts_key: tuple,
    ) -> None:
        self.name, self.licence, self.model = name, licence, model
        self.n_expression, self.n_pose = model.expression.shape[1], model.n_pose
        self._pose_deviation = np.asarray(pose_deviation, dtype=float)
        first = find_places(model.template, triangles, known, similarity)
        landmarks = np.einsum("nk,nkc->nc", first.landmark_weights, model.template[first.landmark_corners])
        skin, eyes = split_parts(model.template, triangles, landmarks)
        places = find_places(model.template, skin, known, similarity)
        plan = plan_solid(model.template, *_closed_parts(model.template, skin, eyes, places.anchors))
        self._landmarks = places.landmark_corners, places.landmark_weights
        super().__init__(
            plan=plan,
            shapes=LinearShapes(model.template),
            places=SolidPlaces(
                anchors=plan.place_anchors(places.anchors),
                landmarks=None,
                face=plan.linear @ places.face.astype(float) > 0.999,
            ),
            facts_key=facts_key,
            n_identity=model.identity.shape[1],
        )

    @property
    def landmark_rows(self) -> csr_matrix:
        """(68, V) sparse."""
        return self._landmark_rows

    @cached_property
    def _landmark_rows(self) -> csr_matrix:
        corners, weights = self._landmarks
        rows = np.repeat(np.arange(68), corners.shape[1])
        columns = self.plan.place(corners.ravel())
        return coo_matrix((weights.ravel(), (rows, columns)), shape=(68, self.n_vertices)).tocsr()

    def landmarks68(self, vertices: np.ndarray) -> np.ndarray:
        """The 68 Multi-PIE landmarks (68, 3) of vertices (V, 3) in any frame."""
        return self.landmark_rows @ np.asarray(vertices, dtype=float)

    def draw_identity(self, rng: np.random.Generator) -> np.ndarray:
        """Numbers ~ N(0, 1), clamped to 3."""
        return np.clip(rng.standard_normal(self.n_identity), -LARGEST, LARGEST)

    def identity_prior(self) -> IdentityPrior:
        """N(0, 1), clamped to 3."""
        return IdentityPrior.standard(self.n_identity, LARGEST)

    def expression_prior(self) -> BoxPrior:
        """N(0, 1), clamped to 3."""
        return BoxPrior.normal(np.ones(self.n_expression), LARGEST)

    def pose_prior(self) -> BoxPrior:
        """Normal rotations about rest."""
        return BoxPrior.normal(self._pose_deviation, 3.0)

    def source_vertices(self, identity: np.ndarray) -> np.ndarray:
        """The family's own vertices (S, 3) of the neutral head, metres, before it is closed.

        Raises:
            ValueError: The identity has the wrong length.
        """
        return self.model.neutral(self._checked(identity, self.n_identity, "identity"))

    def raw_vertices(
        self, identity: np.ndarray, expression: np.ndarray | None = None, pose: np.ndarray | None = None
    ) -> np.ndarray:
        """Vertices (V, 3) float64 in metres, y up, +z out of the face, +x the subject's left.

        Args:
            identity: (n_identity,).
            expression: (n_expression,) the family's own numbers, or None for neutral.
            pose: (n_pose,) rotation vectors of the joints but the root, radians, or None for rest.
        Raises:
            ValueError: A vector has the wrong length.
        """
        vertices = self.neutral_vertices(identity)
        if expression is None and pose is None:
            return vertices
        expression = None if expression is None else self._checked(expression, self.n_expression, "expression")
        pose = None if pose is None else self._checked(pose, self.n_pose, "pose")
        source = self.source_vertices(identity)
        moved = self.model.posed(identity, expression, pose) - source
        vertices[: self.plan.n_linear] += self.plan.rest[:, None] * (self.plan.linear @ moved)
        return vertices

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
            expression: (n_expression,), or None for neutral.
            pose: (n_pose,), or None for rest.
        """
        source = self.source_vertices(identity)
        on_top = csr_matrix(functionals[:, : 3 * self.plan.n_linear] @ self._moving)
        below = csr_matrix(functionals @ kron(self.plan.skin_rows(source), np.eye(3), format="csr") - on_top)
        found = self.model.derivatives(on_top, identity, expression, pose)
        return Derivatives(found.identity + dense(below, self.model.identity), found.expression, found.pose)

    @cached_property
    def _moving(self) -> csr_matrix:
        """What expression and joints move (3L, 3S): the solid's linear vertices, fading out to the neck."""
        every = np.arange(self.plan.n_linear)
        rest = coo_matrix((self.plan.rest, (every, every))).tocsr()
        return kron(rest @ self.plan.linear, np.eye(3), format="csr")

    def folding_poses(self) -> list[np.ndarray]:
        """Vertices (V, 3) of heads on which skin hides skin: rest, and expressions and joints at random."""
        rng, mean = np.random.default_rng(0), self.mean_identity()
        poses = [self.raw_vertices(mean)]
        for _ in range(RANDOM_POSES):
            expression = 1.5 * np.clip(rng.standard_normal(self.n_expression), -2.0, 2.0)
            pose = 1.5 * self._pose_deviation * rng.uniform(-1.0, 1.0, self.n_pose)
            poses.append(self.raw_vertices(mean, expression, pose))
        return poses

    def _checked(self, numbers: np.ndarray, count: int, what: str) -> np.ndarray:
        numbers = np.asarray(numbers, dtype=np.float64)
        if numbers.shape != (count,):
            raise ValueError(f"{self.name}: {what} of shape {numbers.shape}, expected ({count},)")
        return numbers


def _closed_parts(
    template: np.ndarray, skin: np.ndarray, eyes: list[np.ndarray], anchors: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Arguments of `plan_solid`: triangles, anchors, and what closes each open loop but the neck's: lids are closed to
    the middle of their eyeball, any other hole to its own middle."""
    balls = [np.unique(eye) for eye in eyes]
    middles = np.array([template[ball].mean(0) for ball in balls])
    radius = max(np.ptp(template[ball], axis=0).max() / 2 for ball in balls)
    loops = [np.array(loop) for loop in boundary_loops(skin)]
    if not loops:
        raise ValueError("the skin has no open boundary at the neck")
    neck = max(range(len(loops)), key=lambda k: np.ptp(template[loops[k]], axis=0).max())
    closed = []
    for k, loop in enumerate(loops):
        away = np.linalg.norm(template[loop].mean(0) - middles, axis=1)
        if k != neck:
            closed.append((loop, balls[int(away.argmin())] if away.min() < 1.5 * radius else loop))
    for eye in eyes:
        closed += [(np.array(loop), np.array(loop)) for loop in boundary_loops(eye)]
    return np.concatenate([skin, *eyes]), anchors, closed
