"""From a raw cloud to the points worth searching: thinned evenly, strays dropped, the largest body kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from headfield.neighbours import PointTree

_SOME = 100_000
"""Points that the distance of neighbours is measured among."""

_STRAY = 4.0
"""A stray is so many times farther from its neighbours than points usually are."""


@dataclass(frozen=True)
class Cleaned:
    """Points of a scan chosen for the search.

    Attributes:
        index: (M,) indices into the scan's points, strays and crumbs dropped.
        body: (M,) which separate body each belongs to, 0 the largest.
        bodies: How many separate bodies there are that hold at least a tenth of the largest.
        spacing: Typical distance between neighbouring chosen points, scan units.
    """

    index: np.ndarray
    body: np.ndarray
    bodies: int
    spacing: float


def thin(points: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Indices of about `count` points, one per cell of a cubic lattice: even over the surface, not over the scanner.

    The cell is found by bisection on the number of occupied cells; the point kept in a cell is random but seeded.

    Args:
        points: (N, 3) finite, any unit.
        count: Wanted number; all points are returned when there are no more than that.
        seed: Seed of the choice.
    Returns:
        (M,) sorted indices, M <= count.
    """
    points = np.asarray(points)
    if len(points) <= count:
        return np.arange(len(points))
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(points))
    if len(points) > 60 * count:  # the lattice cannot tell more anyway
        order = order[: 60 * count]
    shuffled = points[order]
    low, high = np.percentile(shuffled, [1, 99], axis=0)
    extent = float(np.linalg.norm(high - low))
    if extent <= 0:
        return np.sort(order[:count])
    offset = rng.uniform(0, 1, 3)

    def first_in_cells(cell: float) -> np.ndarray:
        key = np.floor((shuffled - low) / cell + offset).astype(np.int64)
        key = np.clip(key, -(2**19), 2**19) + 2**19
        flat = (key[:, 0] << 40) + (key[:, 1] << 20) + key[:, 2]
        return np.unique(flat, return_index=True)[1]

    fine, coarse = extent / 2000.0, extent / 4.0
    for _ in range(12):
        middle = np.sqrt(fine * coarse)
        if len(first_in_cells(middle)) > count:
            fine = middle
        else:
            coarse = middle
    chosen = first_in_cells(fine)
    if len(chosen) > count:  # a little too many: drop some at random, evenly over the surface
        chosen = rng.permutation(chosen)[:count]
    return np.sort(order[chosen])


def without_strays(points: np.ndarray) -> np.ndarray:
    """Mask (N,) of the points that lie on some surface: strays are far from their neighbours, and up to a third of a
    cloud may be strays. It must come before any even thinning, which keeps the strays and thins the surface.

    Args:
        points: (N, 3) finite, any unit.
    """
    count = len(points)
    if count <= 7:
        return np.ones(count, dtype=bool)
    # of a huge cloud a part tells how far apart neighbours are
    some = points if count <= _SOME else points[np.random.default_rng(0).permutation(count)[:_SOME]]
    distance = PointTree(some).query(points, k=7)[0][:, 1:].mean(1)
    kept = distance <= _STRAY * np.median(distance)
    return kept if kept.sum() >= 0.3 * count else np.ones(count, dtype=bool)


def clean(points: np.ndarray, count: int = 3000, seed: int = 0) -> Cleaned:
    """Choose about `count` points of a cloud, without strays, and tell the separate bodies in it apart.

    A bust seen from the front may fall into a head and a chest, and a file may hold two heads: what is a head is for
    the search to say, so every body of some size is kept.

    Args:
        points: (N, 3) finite, any unit.
        count: How many to keep.
        seed: Seed of the thinning.
    """
    dense = thin(points, 4 * count, seed)
    cloud = points[dense]
    neighbours = min(7, len(cloud))
    distance, _ = PointTree(cloud).query(cloud, k=neighbours)
    mean = distance[:, 1:].mean(1) if neighbours > 1 else np.zeros(len(cloud))
    typical = float(np.median(mean))
    stray = mean > _STRAY * typical
    if stray.any() and (~stray).sum() >= 10:
        dense, cloud = dense[~stray], cloud[~stray]
    labels, sizes = _clusters(cloud, 3.0 * typical)
    order = np.argsort(-sizes, kind="stable")
    kept = order[sizes[order] >= 0.1 * sizes[order[0]]]
    rank = np.full(len(sizes), -1)
    rank[kept] = np.arange(len(kept))
    body = rank[labels]
    dense, body = dense[body >= 0], body[body >= 0]
    chosen = thin(points[dense], count, seed)
    index, body = dense[chosen], body[chosen]
    spacing = float(np.median(PointTree(points[index]).query(points[index], k=2)[0][:, 1])) if len(index) > 1 else 0.0
    return Cleaned(index, body, len(kept), spacing)


def _clusters(points: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Connected components (labels (N,), sizes) of the graph that links points closer than `radius`."""
    if radius <= 0:
        return np.zeros(len(points), dtype=int), np.array([len(points)])
    pairs = PointTree(points).query_pairs(radius, output_type="ndarray")
    graph = coo_matrix((np.ones(len(pairs), dtype=np.int8), pairs.T), shape=(len(points), len(points)))
    count, labels = connected_components(graph, directed=False)
    return labels, np.bincount(labels, minlength=count)
