"""Linear PCA of registered meshes (Blanz and Vetter 1999): the classic head model, and the baseline to beat."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_matrix

from headfield.errors import ConfigError
from headfield.frames import TURNING_ANCHORS, anchor_indices, turning_pivot
from headfield.neighbours import PointTree
from headfield.parametric.derivatives import Derivatives, add_on_vertices, before_turn, dense
from headfield.parametric.neck_pose import turned, turning_share
from headfield.parametric.prior import BoxPrior, IdentityPrior
from headfield.parametric.protocol import ParametricHead
from headfield.parametric.topology import vertex_normals
from headfield.types import ARKIT, Similarity


@dataclass(frozen=True)
class PointFit:
    """Result of `LinearPCA.project_points`.

    Attributes:
        weights: (K,) in standard deviations.
        placement: Points' frame -> the model's frame.
        distances: (N,) final distances of the points to the nearest vertex's tangent plane, model's unit.
        inliers: (N,) bool, points that counted.
    """

    weights: np.ndarray
    placement: Similarity
    distances: np.ndarray
    inliers: np.ndarray


def leading_mixtures(offsets: np.ndarray, count: int | None = None) -> np.ndarray:
    """Mixtures (K, n) that turn offsets (n, D) from their mean into components of one standard deviation each.

    Args:
        offsets: Rows of mean zero.
        count: At most so many, of most variance first; None for all with variance, at most n - 1.
    """
    n = len(offsets)
    # n is far below D: the small Gram matrix has the same spectrum
    variance, vectors = np.linalg.eigh((offsets @ offsets.T / (n - 1)).astype(np.float64))
    order = np.argsort(-variance)[: n - 1 if count is None else min(count, n - 1)]
    order = order[variance[order] > 1e-12 * variance.max()]
    return vectors[:, order].T / np.sqrt(n - 1)


@dataclass(frozen=True)
class LinearPCA:
    """vertices = mean + sum_k w_k components_k, w ~ N(0, 1) on the training heads; implements ``ParametricHead``.

    Attributes:
        mean_vertices: (V, 3) in the unit and frame of the training meshes.
        components: (K, V, 3), each scaled to one standard deviation.
        like: The family whose topology, anchors and masks the meshes share.
    """

    mean_vertices: np.ndarray
    components: np.ndarray
    like: ParametricHead

    @staticmethod
    def fit(vertices: np.ndarray, like: ParametricHead, n_components: int | None = None) -> LinearPCA:
        """PCA of n meshes.

        Args:
            vertices: (n, V, 3) registered meshes, n >= 2, all in one frame.
            like: The family whose topology they share.
            n_components: How many components to keep; None keeps all with variance, at most n - 1.
        Raises:
            ConfigError: Fewer than two meshes, or another number of vertices than the family's.
        """
        vertices = np.asarray(vertices)
        LinearPCA.check(vertices, like)
        mean = vertices.mean(0, dtype=np.float64)
        offsets = (vertices - mean).reshape(len(vertices), -1)
        components = leading_mixtures(offsets, n_components) @ offsets
        return LinearPCA(mean, components.reshape(len(components), -1, 3), like)

    @staticmethod
    def check(vertices: np.ndarray, like: ParametricHead) -> None:
        """Refuse meshes that no PCA can be made of.

        Raises:
            ConfigError: Fewer than two meshes, or another number of vertices than the family's.
        """
        if vertices.ndim != 3 or len(vertices) < 2 or vertices.shape[1:] != (len(like.mirror), 3):
            raise ConfigError(
                f"PCA got vertices of shape {vertices.shape}, expected (n >= 2, {len(like.mirror)}, 3) of {like.name}."
            )

    def vertices(self, weights: np.ndarray) -> np.ndarray:
        """Mesh (V, 3) of the first weights (k <= K,)."""
        weights = np.asarray(weights, dtype=float)
        return self.mean_vertices + np.tensordot(weights, self.components[: len(weights)], 1)

    def project(self, vertices: np.ndarray) -> np.ndarray:
        """Weights (K,) of a registered mesh (V, 3): least squares, the components being orthogonal."""
        flat = self.components.reshape(self.n_identity, -1)
        offset = (np.asarray(vertices) - self.mean_vertices).ravel()
        return flat @ offset / np.einsum("ij,ij->i", flat, flat)

    def project_points(
        self,
        points: np.ndarray,
        placement: Similarity | None = None,
        *,
        noise: float,
        steps: int = 20,
        trim: float = 0.95,
        similarity: bool = False,
    ) -> PointFit:
        """Fit to an unordered scan: nearest vertices, point-to-plane least squares, Gaussian prior, trimmed.

        Args:
            points: (N, 3) in their own frame.
            placement: Points' frame -> the model's frame; None when they share it.
            noise: Standard deviation of a point, model's unit: smaller trusts the prior less.
            steps: Alternations of correspondence and solution.
            trim: Share of the points, nearest first, that counts.
            similarity: Whether to refine the placement too.
        """
        placement = Similarity() if placement is None else placement
        weights = np.zeros(self.n_identity)
        points = np.asarray(points, dtype=float)
        for step in range(steps):
            # coarse modes first: late modes would chase wrong correspondences
            active = min(self.n_identity, max(5, int(np.ceil(self.n_identity * (step + 1) / (0.6 * steps)))))
            mesh = self.vertices(weights)
            normals = vertex_normals(mesh, self.like.triangles)
            placed = placement.apply(points)
            gap, nearest = PointTree(mesh).query(placed)
            inliers = gap <= np.quantile(gap, trim)
            if similarity and step < steps - 1:
                pull = np.einsum("ij,ij->i", mesh[nearest] - placed, normals[nearest])[:, None] * normals[nearest]
                placement = Similarity.between(points[inliers], (placed + pull)[inliers])
                placed = placement.apply(points)
            along = normals[nearest[inliers]]
            basis = self.components[:active, nearest[inliers]]
            rows = np.einsum("kni,ni->nk", basis, along)
            target = np.einsum("ni,ni->n", placed[inliers] - self.mean_vertices[nearest[inliers]], along)
            normal_matrix = rows.T @ rows + noise**2 * np.eye(active)
            weights = np.zeros(self.n_identity)
            weights[:active] = np.linalg.solve(normal_matrix, rows.T @ target)
        mesh = self.vertices(weights)
        placed = placement.apply(points)
        gap, nearest = PointTree(mesh).query(placed)
        normals = vertex_normals(mesh, self.like.triangles)
        distances = np.abs(np.einsum("ij,ij->i", placed - mesh[nearest], normals[nearest]))
        return PointFit(weights, placement, distances, gap <= np.quantile(gap, trim))

    # ParametricHead, by the family whose topology is shared

    @property
    def name(self) -> str:
        """``pca``."""
        return "pca"

    @property
    def licence(self) -> str:
        """That of the training heads' family."""
        return self.like.licence

    @property
    def n_identity(self) -> int:
        """Number of components, K."""
        return len(self.components)

    @property
    def n_expression(self) -> int:
        """52, all masked."""
        return len(ARKIT)

    @property
    def n_pose(self) -> int:
        """A turn of the head on its neck."""
        return 3

    @property
    def triangles(self) -> np.ndarray:
        """(F, 3)."""
        return self.like.triangles

    @property
    def interior(self) -> np.ndarray:
        """(F,) bool."""
        return self.like.interior

    @property
    def cap(self) -> np.ndarray:
        """(F,) bool."""
        return self.like.cap

    @property
    def face_mask(self) -> np.ndarray:
        """(V,) bool."""
        return self.like.face_mask

    @property
    def anchor_vertices(self) -> np.ndarray:
        """(39,) int."""
        return self.like.anchor_vertices

    @property
    def mirror(self) -> np.ndarray:
        """(V,) int."""
        return self.like.mirror

    @property
    def landmark_rows(self) -> csr_matrix:
        """(68, V) sparse."""
        return self.like.landmark_rows

    @property
    def expression_mask(self) -> np.ndarray:
        """(52,) bool: none; train on posed meshes to hold expressions in the components."""
        return np.zeros(len(ARKIT), dtype=bool)

    def draw_identity(self, rng: np.random.Generator) -> np.ndarray:
        """Weights (K,) ~ N(0, 1), clamped to 3."""
        return np.clip(rng.standard_normal(self.n_identity), -3.0, 3.0)

    def mean_identity(self) -> np.ndarray:
        """Zeros (K,)."""
        return np.zeros(self.n_identity)

    def identity_prior(self) -> IdentityPrior:
        """N(0, 1), clamped to 4."""
        return IdentityPrior.standard(self.n_identity, 4.0)

    def expression_prior(self) -> BoxPrior:
        """All channels held at 0."""
        return BoxPrior.weights(self.expression_mask, 1.0)

    def pose_prior(self) -> BoxPrior:
        """As that of the family whose topology is shared."""
        return self.like.pose_prior()

    def describe(self, identity: np.ndarray) -> dict:
        """Nothing is known."""
        return {}

    def raw_vertices(
        self, identity: np.ndarray, expression: np.ndarray | None = None, pose: np.ndarray | None = None
    ) -> np.ndarray:
        """Vertices (V, 3) in the training meshes' unit and frame, turned; the expression is ignored (no channels)."""
        vertices = self.vertices(identity)
        if pose is None:
            return vertices
        return turned(vertices, self._turning_share, turning_pivot(self.anchors(vertices)), pose)

    def derivatives(
        self,
        functionals: csr_matrix,
        identity: np.ndarray,
        expression: np.ndarray | None = None,
        pose: np.ndarray | None = None,
    ) -> Derivatives:
        """Derivatives of linear functionals (N, 3V) of `raw_vertices`, exact everywhere; see the protocol.

        Args:
            functionals: (N, 3V) sparse.
            identity: (K,).
            expression: Ignored: there are no channels.
            pose: (3,), or None for upright.
        """
        vertices = self.vertices(identity)
        anchors = self.anchors(np.arange(len(vertices)))
        centre = turning_pivot(self.anchors(vertices))
        skin, by_centre, by_pose = before_turn(functionals, vertices, self._turning_share, centre, pose)
        if by_centre.any():
            skin = add_on_vertices(skin, anchors[anchor_indices(TURNING_ANCHORS)], by_centre)
        none = np.zeros((functionals.shape[0], len(ARKIT)))
        return Derivatives(dense(skin, self._columns), none, by_pose)

    @cached_property
    def _columns(self) -> np.ndarray:
        flat = np.asarray(self.components, dtype=np.float32).reshape(self.n_identity, -1)
        return np.ascontiguousarray(flat.T)

    @cached_property
    def _turning_share(self) -> np.ndarray:
        return turning_share(self.mean_vertices, self.anchors(self.mean_vertices))

    def anchors(self, vertices: np.ndarray) -> np.ndarray:
        """The 39 anchors (39, 3)."""
        return self.like.anchors(vertices)

    def landmarks68(self, vertices: np.ndarray) -> np.ndarray:
        """The 68 landmarks (68, 3)."""
        return self.like.landmarks68(vertices)
