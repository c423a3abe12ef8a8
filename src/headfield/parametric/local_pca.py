"""Local PCA of registered meshes: a small PCA about every anchor, blended over the skin (NPHM §5.1's local baseline).

Every part has its own code. A head is still linear in all codes together,

    vertices = mean + sum_j w_j (B_j z_j),

so what fits, draws and differentiates a `LinearPCA` does the same here. A part's basis minimises the error of its own
answer where it counts, sum_v w_j |B_j z_j - offset|^2; as weights sum to one, the sum of these over the parts is never
below the error of the blended head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headfield.errors import ConfigError
from headfield.frames import mirror_points
from headfield.parametric.pca import LinearPCA, leading_mixtures
from headfield.parametric.protocol import ParametricHead


@dataclass(frozen=True)
class LocalPCA(LinearPCA):
    """A `LinearPCA` each of whose components belongs to one part and is zero where that part has no weight.

    Components come by rank, not by part: first the leading one of every part, then the second ones, and so on.

    Attributes:
        parts: (K,) int, the part of each component.
    """

    parts: np.ndarray

    @property
    def name(self) -> str:
        """``local-pca``."""
        return "local-pca"

    def numbers_of(self, parts: np.ndarray) -> np.ndarray:
        """Which (K,) bool of the weights are those of some parts: changing them alone edits a region.

        Args:
            parts: Indices, such as :func:`headfield.edit.regions.parts_of` gives for a region's name.
        """
        return np.isin(self.parts, parts)

    def project(self, vertices: np.ndarray) -> np.ndarray:
        """Weights (K,) of a registered mesh (V, 3): least squares, for parts overlap and are not orthogonal."""
        flat = np.asarray(self.components, dtype=float).reshape(self.n_identity, -1)
        offset = (np.asarray(vertices) - self.mean_vertices).ravel()
        return np.linalg.lstsq(flat @ flat.T, flat @ offset)[0]


def symmetric_mean(vertices: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Mean (V, 3) of registered meshes (n, V, 3) and their mirror images; `mirror` (V,) is each vertex's twin."""
    mean = vertices.mean(0, dtype=np.float64)
    return 0.5 * (mean + mirror_points(mean[mirror]))


def fit_local_pca(
    vertices: np.ndarray, like: ParametricHead, weights: np.ndarray, twins: np.ndarray, numbers: int
) -> LocalPCA:
    """PCA by parts of n meshes and their mirror images, so that both sides of a pair have one basis.

    Args:
        vertices: (n, V, 3) registered meshes, n >= 2, all in one frame whose plane of symmetry is x = 0.
        like: The family whose topology they share.
        weights: (P, V) of the parts at the vertices, summing to one over the parts; zero where a part does not act.
        twins: (P,) int, each part's mirror image, itself on the mid-line.
        numbers: How many each part has; fewer where the meshes do not vary in so many ways.
    Raises:
        ConfigError: As `LinearPCA.fit`; or the weights do not sum to one, or are not alike on both sides.
    """
    vertices, weights, mirror = np.asarray(vertices), np.asarray(weights, dtype=float), np.asarray(like.mirror)
    LinearPCA.check(vertices, like)
    alike = np.abs(weights - weights[twins][:, mirror]).max()
    gap = np.abs(weights.sum(0) - 1).max()
    if gap > 1e-6 or alike > 1e-6:
        raise ConfigError(
            f"The weights of {len(weights)} parts sum to 1 up to {gap:.1g} and differ from their mirror image by "
            f"{alike:.1g}; both must be below 1e-6: use a symmetric template and symmetric anchors."
        )
    mean = symmetric_mean(vertices, mirror)
    offsets = vertices - mean
    ranked: list[tuple[int, int, np.ndarray]] = []
    for part in np.flatnonzero(twins >= np.arange(len(weights))).tolist():
        seen = np.flatnonzero(weights[part])
        sides = np.concatenate([offsets[:, seen], mirror_points(offsets[:, mirror[seen]])])
        root = np.sqrt(weights[part, seen])[:, None]
        mixtures = leading_mixtures((sides * root).reshape(len(sides), -1), numbers)
        for rank, local in enumerate(np.tensordot(mixtures, sides, 1)):
            component = np.zeros((len(mirror), 3))
            component[seen] = weights[part, seen, None] * local
            ranked.append((rank, part, component))
            if twins[part] != part:
                ranked.append((rank, int(twins[part]), mirror_points(component[mirror])))
    ranked.sort(key=lambda one: one[:2])
    parts = np.array([part for _, part, _ in ranked], dtype=int)
    return LocalPCA(mean, np.stack([component for _, _, component in ranked]), like, parts)
