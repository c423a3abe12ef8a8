"""Which scan points speak for the head, and how loudly: robust weights with an outlier gate that knows about hair.

On skin the gate shrinks as the fit converges. Over scalp and jaw it stays open outward: where the scan has no point
on the surface, points further out are hair or a beard that the code has yet to grow, not outliers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from headfield.frames import ANCHOR_NAMES

HAIR_PARTS = np.array(
    [
        any(key in name for key in ("forehead_top", "crown", "head_back", "nape", "ear_back", "temple"))
        for name in ANCHOR_NAMES
    ]
)
"""Anchors (39,) whose surroundings may wear hair."""

BEARD_PARTS = np.array([any(key in name for key in ("chin", "jaw", "lip", "mouth_corner")) for name in ANCHOR_NAMES])
"""Anchors (39,) whose surroundings may wear a beard or moustache."""

FACE_PARTS = np.array(
    [
        any(key in name for key in ("nose", "eye", "lip", "mouth", "brow", "cheek", "forehead", "chin"))
        and "top" not in name
        for name in ANCHOR_NAMES
    ]
)
"""Anchors (39,) of the face."""

MOBILE_PARTS = np.array([any(key in name for key in ("eye", "brow", "lip", "mouth_corner")) for name in ANCHOR_NAMES])
"""Anchors (39,) whose surroundings an expression moves by more than the gate's end."""

HAIR_REACH = 0.20
"""How far out (model units, 50 mm) points over the scalp are kept for hair."""

BEARD_REACH = 0.10
"""How far out (25 mm) points over the jaw are kept for a beard."""


@dataclass(frozen=True)
class Gate:
    """Schedule of the robust scale.

    Attributes:
        start: Geman-McClure scale of the first step, model units (0.1 is 25 mm).
        end: Scale once converged (0.008 is 2 mm); raised for noisy scans.
        steps: Steps over which it shrinks geometrically.
    """

    start: float = 0.1
    end: float = 0.008
    steps: int = 10

    def scale(self, step: int) -> float:
        """Robust scale (model units) of a step, 0-based."""
        share = min(1.0, step / max(1, self.steps - 1))
        return float(self.start ** (1.0 - share) * self.end**share)


def geman_mcclure(residual: np.ndarray, scale: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Robust cost and weight (N,) of residuals: rho = r^2 c^2 / (r^2 + c^2), w = rho' / 2r = (c^2 / (r^2 + c^2))^2."""
    square, c2 = residual**2, np.square(scale)
    return square * c2 / (square + c2), (c2 / (square + c2)) ** 2


def noise_of(residual: np.ndarray, weight: np.ndarray) -> float:
    """Standard deviation of the inliers' residuals by their weighted median absolute value (normal: 1.4826 MAD)."""
    size = np.abs(residual)
    order = np.argsort(size)
    total = np.cumsum(weight[order])
    if total[-1] <= 0:
        return float(np.median(size))
    return float(1.4826 * size[order][np.searchsorted(total, 0.5 * total[-1])])


def hair_scale(
    residual: np.ndarray,
    points: np.ndarray,
    gradient: np.ndarray,
    above: np.ndarray,
    anchors: np.ndarray,
    tree: cKDTree,
    to_tree,
    scale: float,
    spacing: float,
) -> np.ndarray:
    """Per-point robust scale (N,): `scale` on skin, wider for outside points over scalp or jaw where no skin is seen.

    A point is taken for hair when it lies outside by more than the gate, over a part that may wear hair, within
    reach, and the surface under it (its projection along the gradient) has no scan point nearby.

    Args:
        residual: (N,) signed distance, model units.
        points: (N, 3) placed points.
        gradient: (N, 3) field gradient there.
        above: (N,) points well above the neck's cut; below, whatever lies outside is clothes.
        anchors: (39, 3) anchors of the current head.
        tree: Tree over the scan's points in some frame.
        to_tree: Maps model-frame points (M, 3) to the tree's frame.
        scale: The gate on skin, model units.
        spacing: Typical distance between scan points, in the tree's frame.
    """
    scales = np.full(len(residual), scale)
    out = np.flatnonzero((residual > 1.5 * scale) & (residual < HAIR_REACH) & above)
    if len(out) == 0:
        return scales
    nearest = cKDTree(anchors).query(points[out])[1]
    reach = np.where(HAIR_PARTS[nearest], HAIR_REACH, np.where(BEARD_PARTS[nearest], BEARD_REACH, 0.0))
    keep = residual[out] < reach
    out, reach = out[keep], reach[keep]
    if len(out) == 0:
        return scales
    foot = points[out] - residual[out, None] * gradient[out]
    gap = tree.query(to_tree(foot))[0]
    # the skin below is seen when scan points lie about as close as they lie to each other
    bare = gap > 2.5 * spacing
    scales[out[bare]] = np.maximum(scale, reach[bare])
    return scales
