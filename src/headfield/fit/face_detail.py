"""Does the fit explain the scan's face, or only its round shape?

A flexible head hugs balls, vases and upside-down faces to a millimetre or two. What tells a face in its place is the
detail that no smooth surface explains: sockets, lids, nostrils, lips. Both sides are high-passed by one linear
smoother (a local quadratic of the scan's own points, some 16 mm wide): the scan's detail is its height over that, and
the residual's is what the head leaves of it. A head in its place leaves a few hundredths of its square; a faceless head
leaves all of it, and one that is upside down adds its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headfield.neighbours import PointTree

WIDE_MM = 16.0
"""Width (standard deviation) of the smoother."""

CELL_MM = 5.0
"""Points are averaged in cells of this side: the noise goes down, and any scan is as dense as another."""

NEIGHBOURS, PROBES = 100, 600
"""Most neighbours of a probe (as many cells lie within two widths), and most probes."""

FEWEST = 60
"""Cells below which nothing is said."""

HOVER_MM, HOVER = 2.0, 5.0
"""A stray hovers over the surface: its distance to the head differs from its neighbours' by more than 2 mm and by more
than five times what theirs differ. A wrong head errs alike at neighbours and loses none of its errors by this."""

LIMIT_MM = 6.0
"""Points farther than this from the head are not explained at all: the inside of a mouth, strays, another head."""


@dataclass(frozen=True)
class FaceDetail:
    """Detail of a scan's face and what a fit leaves of it.

    Attributes:
        scan_mm: Root mean square of the scan's detail, without noise; a face has about 1 mm, a ball none.
        left_mm: Of what the fit leaves of it, noise and all.
        explained: Share of the detail (of its square) that the fit explains, times the share of points that are near
            the head at all; at most 1, below zero when the fit adds detail of its own.
        rejected: Share of the points that are farther from the head than 6 mm, strays left out.
        cells: How many cells of the scan were asked.
    """

    scan_mm: float = 0.0
    left_mm: float = 0.0
    explained: float = 0.0
    rejected: float = 0.0
    cells: int = 0


def face_detail(points_mm: np.ndarray, residual_mm: np.ndarray) -> FaceDetail:
    """Compare the detail of a scan with that of what a fit leaves.

    Args:
        points_mm: (N, 3) scan points on the face, millimetres in any frame.
        residual_mm: (N,) their signed distances to the fitted head.
    Returns:
        What was found; zeros for fewer than 60 cells near the head.
    """
    on_surface = ~_hovering(points_mm, residual_mm)
    points_mm, residual_mm = points_mm[on_surface], residual_mm[on_surface]
    count = len(points_mm)
    kept = np.abs(residual_mm) <= LIMIT_MM
    rejected = float(1.0 - kept.mean()) if count else 0.0
    points, residual, held = _cell_means(points_mm[kept], residual_mm[kept])
    if len(points) < FEWEST:
        return FaceDetail(rejected=rejected, cells=len(points))
    probes = np.random.default_rng(0).permutation(len(points))[:PROBES]
    distance, near = PointTree(points).query(points[probes], k=min(NEIGHBOURS, len(points)))
    offset = points[near] - points[probes][:, None]
    band = _band(distance, offset, held[near])
    share = held[probes] / held[probes].sum()
    height = np.einsum("nkc,nc->nk", offset, _axes(distance, offset)[:, :, 0])
    before = float(share @ np.square((band * height).sum(1)))
    after = float(share @ np.square((band * residual[near]).sum(1)))
    # white noise is in both: neighbours' residuals differ by it, and by what they truly differ
    differ = residual[near[:, 0]] - residual[near[:, 1:5]].mean(1)
    noise = float(np.median(np.square(differ))) / 0.455 / 1.25 * float(np.square(band).sum(1).mean())
    truly = max(before - min(noise, after, 0.5 * before), 1e-12)
    explained = max(-1.0, (before - after) / truly)
    if explained > 0:
        explained *= 1.0 - rejected
    return FaceDetail(truly**0.5, after**0.5, explained, rejected, len(points))


def _hovering(points: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Which points (N,) are strays near a surface."""
    if len(points) < FEWEST:
        return np.zeros(len(points), dtype=bool)
    around = residual[PointTree(points).query(points, k=13)[1]]
    middle = np.median(around, axis=1)
    spread = np.median(np.abs(around - middle[:, None]), axis=1)
    return np.abs(residual - middle) > np.maximum(HOVER_MM, HOVER * spread)


def _cell_means(points: np.ndarray, residual: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means (M, 3), (M,) of points and residuals in the cells of a cubic lattice, and how many points each holds."""
    if not len(points):
        return points, residual, residual
    cells = np.floor((points - points.min(0)) / CELL_MM).astype(np.int64)
    _, cell, count = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(cell.ravel(), values) for values in (*points.T, residual)], axis=1)
    means = sums / count[:, None]
    return means[:, :3], means[:, 3], count.astype(float)


def _axes(distance: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """The surface's own axes (P, 3, 3) about probes, columns, the one of the height first."""
    wide = np.exp(-0.5 * (distance / WIDE_MM) ** 2)
    return np.linalg.eigh(np.einsum("nk,nki,nkj->nij", wide, offset, offset))[1]


def _band(distance: np.ndarray, offset: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Weights (P, K) of neighbours: the probe itself, less the quadratic that fits all of them, each counted by the
    points that it holds."""
    wide = held * np.exp(-0.5 * (distance / WIDE_MM) ** 2)
    axes = _axes(distance, offset)
    u, v = np.einsum("nkc,nca->ank", offset, axes[:, :, 1:]) / WIDE_MM
    terms = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=2)
    weighted = terms * wide[..., None]
    quadric = np.einsum("nki,nkj->nij", terms, weighted) + 1e-6 * wide.sum(1)[:, None, None] * np.eye(6)
    quadratic = np.einsum("ni,nki->nk", np.linalg.solve(quadric, terms[:, 0, :, None])[..., 0], weighted)
    return np.eye(1, quadratic.shape[1]) - quadratic  # the nearest neighbour of a probe is itself
