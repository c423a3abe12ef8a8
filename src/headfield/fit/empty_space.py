"""Where a scan has seen the air over the scalp to be empty, so that no model grows hair there.

A point of the scan is only asked to lie on the model's surface; nothing says that the surface may lie nowhere else, and
a code that bends to short hair on one side may grow a bun on the other. Where the scan shows the scalp, or the hair
on it, what lies outside is air.
"""

from __future__ import annotations

import numpy as np

from headfield.errors import present
from headfield.frames import ANCHOR_NAMES
from headfield.neighbours import PointTree
from headfield.surface.cloud_normals import thinnest
from headfield.types import Similarity

SCALP_PARTS = np.array(
    [any(key in name for key in ("forehead_top", "crown", "head_back", "temple")) for name in ANCHOR_NAMES]
)
"""Anchors (39,) round which the head is convex, so that the way out is plain; shoulders follow the nape."""

HEIGHTS = (0.045, 0.09, 0.15)
"""Heights over the scan's surface at which places are taken, model units (11 to 37 mm)."""

FINE_HEIGHTS, FINE_APART = (0.03, 0.045, 0.065, 0.09, 0.12, 0.15), 0.03
"""The same, and the side of the cells, when growths are looked for that fit between the places."""

BEYOND = (0.06, 0.11, 0.16, 0.21, 0.26, 0.31)
"""Up to the last of these heights (77 mm) no point may lie on the way out."""

CLEAR = 0.75
"""A place counts as empty when no point of the scan is nearer than this share of its height."""

APART = 0.055
"""Side of the cells (14 mm) that give one point each."""

MARGIN = 0.004
"""How far outside (1 mm) the model's surface should be of such a place, at least."""

GATE = 0.03
"""Robust scale (7.5 mm): how much one place may say, if the scan is wrong there."""

AIR_APART, AIR_SLACK = 0.012, 0.006
"""Seen air: distance of the points whose heights count (3 mm), and how far above the scan it begins (1.5 mm)."""

AIR_REACH, AIR_FALL = 0.02, 1.5
"""Farther beside the nearest point than this (5 mm) the air's field falls by so much per unit."""

_NEIGHBOURS = 12
_CENTRE = np.array([0.0, 0.1, -0.15])


def empty_places(points: np.ndarray, similarity: Similarity, anchors: np.ndarray, fine: bool = False) -> np.ndarray:
    """Places over the scalp that are seen to be empty.

    Args:
        points: (N, 3) scan points around the head, scan frame.
        similarity: Scan -> model frame, roughly right.
        anchors: (39, 3) of a head that is about the scan's, model frame.
        fine: Take several thousand of them.
    Returns:
        (M, 3) scan frame, in a fixed order; a few hundred for a whole head, none where no scalp was seen.
    """
    heights, apart = (FINE_HEIGHTS, FINE_APART) if fine else (HEIGHTS, APART)
    placed = similarity.apply(points)
    base, out = outermost(placed, anchors, apart)
    if not len(base):
        return np.zeros((0, 3))
    places = np.concatenate([base + height * out for height in heights])
    free = PointTree(placed).query(places)[0] > CLEAR * np.repeat(heights, len(base))
    return similarity.inverse().apply(places[free])


def outermost(points: np.ndarray, anchors: np.ndarray, apart: float) -> tuple[np.ndarray, np.ndarray]:
    """Points of a scan over the scalp beyond which it shows nothing, and the way out there.

    Args:
        points: (N, 3) scan points around the head, model frame.
        anchors: (39, 3) of a head that is about theirs.
        apart: About one point per cube of this side is taken.
    Returns:
        (M, 3) points and (M, 3) outward unit normals.
    """
    points = np.asarray(points, dtype=float)
    none = np.zeros((0, 3))
    if not len(points):
        return none, none
    scalp = np.flatnonzero(SCALP_PARTS[PointTree(anchors).query(points)[1]])
    if len(scalp) <= _NEIGHBOURS:
        return none, none
    _, first = np.unique(np.floor(points[scalp] / apart).astype(np.int64), axis=0, return_index=True)
    base = points[scalp[np.sort(first)]]
    tree = PointTree(points)
    distance, near = tree.query(base, k=_NEIGHBOURS)
    out = thinnest(points[near])
    radial = base - _CENTRE
    side = (out * radial).sum(1)
    out = np.where(side[:, None] < 0, -out, out)
    good = np.abs(side) > 0.5 * np.linalg.norm(radial, axis=1)  # at a rim, or of noise, the way out is not known
    good &= distance[:, -1] <= 3.0 * np.median(distance[:, -1])  # strays
    base, out = base[good], out[good]
    # what is seen farther out on the same way (a tail of hair, whose inner side this is) makes the way in the way out
    beyond = np.concatenate([base + height * out for height in BEYOND])
    blocked = (tree.query(beyond)[0] < 0.5 * BEYOND[0]).reshape(len(BEYOND), -1).any(axis=0)
    return base[~blocked], out[~blocked]


class SeenAir:
    """The air over the scalp that a scan has seen, as a field: positive in it, negative where nothing is known.

    The height over the nearest of the scan's outermost points, less a slack; beside what was seen it falls off, so that
    what stands on the border is cut off aslant.
    """

    def __init__(self, points: np.ndarray, anchors: np.ndarray) -> None:
        """Of a scan's believed points (N, 3) and the anchors (39, 3) of its head, model frame."""
        self.base, self.out = outermost(points, anchors, AIR_APART)
        self._tree = PointTree(self.base) if len(self.base) else None

    def __bool__(self) -> bool:
        return self._tree is not None

    def value_and_gradient(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values (N,) and gradients (N, 3) at points (N, 3), model units."""
        nearest = present(self._tree, "air that was seen").query(points)[1]
        out = self.out[nearest]
        offset = points - self.base[nearest]
        height = (offset * out).sum(1)
        beside = offset - height[:, None] * out
        far = np.linalg.norm(beside, axis=1)
        past = np.maximum(far - AIR_REACH, 0.0)
        gradient = out - np.where(past > 0, AIR_FALL / np.maximum(far, 1e-12), 0.0)[:, None] * beside
        return height - AIR_SLACK - AIR_FALL * past, gradient
