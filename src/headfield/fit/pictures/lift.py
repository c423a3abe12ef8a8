"""From pixels in several views to points in space: ray casting onto the surface and triangulation in one estimate.

Every view says where a point is across its line of sight; where the surface was hit it says how far along it, too. Both
are information about one point: I - d d^T across, mu d d^T along. Their sum is solved for all points at once, robustly
(a view that disagrees loses its say). With mu = 0 this is linear triangulation, with one view it is ray casting.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headfield.fit.pictures.views import Subject, View, rays
from headfield.types import Similarity

ALONG = 0.3
"""Say of a hit along the line of sight, against that of the line across it: a pixel's error becomes a longer one along
a slanted surface."""

EDGE = 0.03
"""A hit is not believed where the depth jumps by this much of the picture's radius within a pixel and a half."""

ROUNDS = 8


@dataclass(frozen=True)
class Sightings:
    """What V views say about N points, scan frame and unit.

    Attributes:
        origins: (V, 3) camera centres.
        ways: (V, N, 3) unit directions of the lines of sight.
        hits: (V, N, 3) where they meet the surface, NaN where they do not or it cannot be believed.
        weights: (V, N) how well each is seen, 0 to 1: the cosine at which the surface faces the camera.
    """

    origins: np.ndarray
    ways: np.ndarray
    hits: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Lifted:
    """Points in space.

    Attributes:
        points: (N, 3) scan frame and unit, NaN where nothing is known.
        spread: (N,) rms distance from the lines of sight that agree, scan units.
        agreement: (N,) share of the views' say that agrees, 0 to 1.
    """

    points: np.ndarray
    spread: np.ndarray
    agreement: np.ndarray

    def confidence(self, tolerance: float) -> np.ndarray:
        """Confidence (N,) in [0, 1]: agreement, halved where the spread is the tolerance (scan units)."""
        known = np.isfinite(self.points).all(1)
        spread = np.where(known, self.spread, np.inf)
        return np.where(known, self.agreement / (1.0 + (spread / tolerance) ** 2), 0.0)


def sight(subject: Subject, views: list[View], pixels: list[np.ndarray]) -> Sightings:
    """Cast the lines of sight of points seen at pixels.

    Args:
        subject: The scan.
        views: V views of it.
        pixels: For each view (N, 2) column and row.
    """
    origins, ways, hits, weights = [], [], [], []
    for view, places in zip(views, pixels):
        size, camera = len(view.picture), view.camera
        way = rays(camera, places, size)
        around = np.array([[0, 0], [1.5, 0], [-1.5, 0], [0, 1.5], [0, -1.5]])
        depth = subject.hits(camera, (places[:, None] + around).reshape(-1, 2), size).reshape(-1, len(around))
        with np.errstate(invalid="ignore"):
            step = np.abs(depth[:, 1:] - depth[:, :1]).max(1)
            good = np.isfinite(depth[:, 0]) & (step < EDGE * camera.reach)
        hit = camera.origin + np.where(good, depth[:, 0], np.nan)[:, None] * way
        column, row = np.clip(np.floor(places).astype(int), 0, size - 1).T
        facing = np.clip(view.facing[row, column], 0.05, 1.0)
        inside = ((places >= 0) & (places < size)).all(1)
        origins.append(camera.origin)
        ways.append(way / np.linalg.norm(way, axis=1, keepdims=True))
        hits.append(hit)
        weights.append(np.where(inside, np.where(good, facing, 0.3 * facing), 0.02))
    return Sightings(np.array(origins), np.array(ways), np.array(hits), np.array(weights))


def fuse(seen: Sightings, tolerance: float, along: float = ALONG) -> Lifted:
    """The points that the sightings agree on.

    Iteratively reweighted least squares with Geman-McClure weights, narrowing to `tolerance`. Lines of sight alone
    start; a hit that is far off (seen through a hole, say) then loses its own say, not that of its line.

    Args:
        seen: Sightings of N points.
        tolerance: Disagreement, scan units, at which a view's say is a quarter.
        along: Say of the hits along the lines of sight; 0 is triangulation alone.
    """
    ways, known = seen.ways, np.all(np.isfinite(seen.hits), axis=2)
    outer = ways[..., :, None] * ways[..., None, :]
    across = np.eye(3) - outer
    place = np.where(known[..., None], seen.hits, seen.origins[:, None])
    line, depth = seen.weights, seen.weights * known * (along if len(ways) == 1 else 1e-3 * along)
    for width in tolerance * np.geomspace(4.0, 1.0, ROUNDS):
        information = line[..., None, None] * across + depth[..., None, None] * outer
        points = _solved(information.sum(0), np.einsum("vnij,vnj->ni", information, place))
        away = np.where(np.isfinite(points), points, 0.0) - place
        behind = np.einsum("vni,vni->vn", away, ways) ** 2
        aside = np.maximum((away**2).sum(-1) - behind, 0.0)
        line = seen.weights * _say(aside, width)
        depth = line * known * along * _say(behind, 2 * width)
    total = np.maximum(line.sum(0), 1e-12)
    spread = np.sqrt((line * aside).sum(0) / total)
    return Lifted(points, spread, total / np.maximum(seen.weights.sum(0), 1e-12))


def _say(square: np.ndarray, width: float) -> np.ndarray:
    """Geman-McClure weights of squared distances: a quarter at `width`."""
    return (width**2 / (square + width**2)) ** 2


def _solved(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Solutions (N, 3) of N systems; NaN where one is singular (a single line of sight without a hit)."""
    values = np.linalg.eigvalsh(matrix)
    fixed = values[:, 0] > 1e-6 * np.maximum(values[:, 2], 1e-12)
    safe = np.where(fixed[:, None, None], matrix, np.eye(3))
    return np.where(fixed[:, None], np.linalg.solve(safe, vector[..., None])[..., 0], np.nan)


def robust_similarity(
    source: np.ndarray, target: np.ndarray, weights: np.ndarray, tolerance: float, rounds: int = 8
) -> tuple[Similarity, np.ndarray]:
    """The similarity that takes most points to their places (Umeyama, iteratively reweighted).

    Args:
        source: (N, 3), NaN rows have no say.
        target: (N, 3).
        weights: (N,) say of each.
        tolerance: Distance, target units, at which a point's say is a quarter at the end.
    Returns:
        The similarity source -> target and distances (N,) after it, target units, NaN where unknown.
    """
    known = np.isfinite(source).all(1) & (weights > 0)
    robust = np.ones(known.sum())
    for width in tolerance * np.geomspace(8.0, 1.0, rounds):
        similarity = Similarity.between(source[known], target[known], weights[known] * robust)
        gap = np.linalg.norm(similarity.apply(source[known]) - target[known], axis=1)
        robust = _say(gap**2, width) + 1e-6
    distance = np.full(len(source), np.nan)
    distance[known] = gap
    return similarity, distance
