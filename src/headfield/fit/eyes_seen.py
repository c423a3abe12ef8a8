"""Does a scan show the eyes? Whether there is a gaze to read, or a blink.

Where sockets are smoothed over or points are few the eyes' channels explain noise. Lids are edges: within a few
millimetres the surface about an eye is no plain quadratic. Eyeballs that turn show by tenths of a millimetre, which
only dense and sharp scans have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headfield.frames import anchor_indices
from headfield.neighbours import PointTree

REACH_MM = 16.0
"""Points so near to the middle of an eye, seen from the front, are its own."""

DEEP_MM = 25.0
"""And no farther before or behind it."""

CELL_MM, AROUND_MM = 1.5, 5.0
"""Points are averaged in cells of this side; relief is what a quadratic leaves of the cells within this distance."""

FEWEST = 40
"""Points below which no eye is seen."""

LID_RELIEF_MM = 0.10
"""Lids are seen from this relief on (its 80th percentile)."""

BALL_RELIEF_MM, BALL_SPACING_MM = 0.15, 1.1
"""Eyeballs are seen from this relief on (its median), by points that lie no farther apart than this."""


@dataclass(frozen=True)
class EyesSeen:
    """What a scan shows of the eyes.

    Attributes:
        lids: Whether a blink can be told.
        gaze: Whether a gaze can be told.
    """

    lids: bool = False
    gaze: bool = False


def eyes_seen(placed: np.ndarray, anchors: np.ndarray, mm_per_unit: float) -> EyesSeen:
    """What a scan shows of the eyes; of the better one of the two.

    Args:
        placed: (N, 3) scan points, model frame.
        anchors: (39, 3) of a head that is about where the scan's is, model units.
        mm_per_unit: True millimetres of a model unit.
    """
    found = [_relief(placed, _middle(anchors, side), mm_per_unit) for side in ("left", "right")]
    lids = any(np.quantile(relief, 0.8) > LID_RELIEF_MM for relief, _ in found if len(relief))
    gaze = any(
        np.median(relief) > BALL_RELIEF_MM and spacing < BALL_SPACING_MM for relief, spacing in found if len(relief)
    )
    return EyesSeen(lids, lids and gaze)


def _middle(anchors: np.ndarray, side: str) -> np.ndarray:
    return anchors[anchor_indices((f"eye_inner_{side}", f"eye_outer_{side}"))].mean(0)


def _relief(placed: np.ndarray, middle: np.ndarray, mm_per_unit: float) -> tuple[np.ndarray, float]:
    """What quadratics leave of the surface about an eye, mm, by cell (M,); and how far apart its points are, mm."""
    offset = (placed - middle) * mm_per_unit
    offset = offset[(np.linalg.norm(offset[:, :2], axis=1) < REACH_MM) & (np.abs(offset[:, 2]) < DEEP_MM)]
    if len(offset) < FEWEST:
        return np.zeros(0), np.inf
    spacing = float(np.median(PointTree(offset).query(offset, k=2)[0][:, 1]))
    cells = np.floor(offset / CELL_MM).astype(np.int64)
    _, cell, count = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    means = np.stack([np.bincount(cell.ravel(), column) for column in offset.T], axis=1) / count[:, None]
    around = PointTree(means).within(means, AROUND_MM)
    left = [_left_by_quadratic(means[index] - mean) for mean, index in zip(means, around) if len(index) > 8]
    return np.array(left), spacing


def _left_by_quadratic(offset: np.ndarray) -> float:
    """Root mean square of what the quadratic that fits best leaves of points (K, 3)."""
    axes = np.linalg.eigh(offset.T @ offset)[1]
    height, u, v = (offset @ axes).T
    terms = np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=1)
    return float(np.sqrt(np.mean((height - terms @ np.linalg.lstsq(terms, height, rcond=None)[0]) ** 2)))
