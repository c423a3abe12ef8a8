"""Does the fit explain the scan's face, or only its round shape?

A flexible head hugs balls, vases and upside-down faces to a millimetre or two. What tells a face in its place is the
detail that no smooth surface explains: sockets, lids, nostrils, lips. Both sides are high-passed by one linear
smoother (a local quadratic of the scan's own points, some 12 mm wide): the scan's detail is its height over that, and
the residual's is what the head leaves of it. A head in its place leaves a tenth; a faceless head, which has no detail
of its own, leaves all; an upside-down one adds its own and leaves more than there was.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

WIDE_MM, NARROW_MM = 12.0, 3.0
"""Widths (standard deviations) of the smoother and of the average that takes the noise off the points."""

NEIGHBOURS = 48
"""Most neighbours of a probe."""

PROBES = 1200
"""Most places at which the detail is taken."""


@dataclass(frozen=True)
class FaceDetail:
    """Detail of a scan's face and what a fit leaves of it.

    Attributes:
        scan_mm: Root mean square of the scan's detail.
        left_mm: Of what the fit leaves of it.
        explained: Share of the detail (of its square) that the fit explains; below zero when it adds its own.
        probes: How many places were asked.
    """

    scan_mm: float
    left_mm: float
    explained: float
    probes: int


def face_detail(points_mm: np.ndarray, normals: np.ndarray, residual_mm: np.ndarray, limit_mm: float = 6.0) -> FaceDetail:
    """Compare the detail of a scan with that of what a fit leaves.

    Args:
        points_mm: (N, 3) scan points on the face, millimetres in any frame.
        normals: (N, 3) outward unit normals of the fitted head there.
        residual_mm: (N,) signed distances to the fitted head, positive outside.
        limit_mm: Heights and residuals beyond this count as much: strays must not decide.
    """
    if len(points_mm) < 60:
        return FaceDetail(0.0, 0.0, 0.0, len(points_mm))
    probes = np.random.default_rng(0).permutation(len(points_mm))[:PROBES]
    count = min(NEIGHBOURS, len(points_mm))
    distance, near = cKDTree(points_mm).query(points_mm[probes], k=count)
    offset = points_mm[near] - points_mm[probes][:, None]
    normal = normals[probes]
    first = np.cross(normal, np.where(np.abs(normal[:, :1]) < 0.7, [[1.0, 0, 0]], [[0, 1.0, 0]]))
    first /= np.maximum(np.linalg.norm(first, axis=1, keepdims=True), 1e-12)
    second = np.cross(normal, first)
    u, v, height = (np.einsum("nkc,nc->nk", offset, axis) for axis in (first, second, normal))
    terms = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=2) / np.array([1, 10, 10, 100, 100, 100.0])
    wide = np.exp(-0.5 * (distance / WIDE_MM) ** 2)
    narrow = np.exp(-0.5 * (distance / NARROW_MM) ** 2)
    narrow /= narrow.sum(1, keepdims=True)
    weighted = terms * wide[..., None]
    normal_matrix = np.einsum("nki,nkj->nij", terms, weighted) + 1e-3 * np.eye(6)
    # the local quadratic's value, averaged as the points are: rows of the band-pass that both sides share
    hat = np.einsum("nki,nk->ni", terms, narrow)
    smoother = np.einsum("ni,nki->nk", np.linalg.solve(normal_matrix, hat[..., None])[..., 0], weighted)
    band = narrow - smoother
    scan = (band * height).sum(1)
    left = (band * np.clip(residual_mm, -limit_mm, limit_mm)[near]).sum(1)
    scan, left = np.clip(scan, -limit_mm, limit_mm), np.clip(left, -limit_mm, limit_mm)
    before, after = float((scan**2).mean()), float((left**2).mean())
    return FaceDetail(before**0.5, after**0.5, 1.0 - after / max(before, 1e-12), len(probes))
