"""Places over the scalp that a scan has seen to be empty, so that no model grows hair there.

A point of the scan is only asked to lie on the model's surface; nothing says that the surface may lie nowhere else, and
a code that bends to short hair on one side may grow a bun on the other. Where the scan shows the scalp, or the hair
on it, what lies outside is air.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from headfield.frames import ANCHOR_NAMES, reference_anchors
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

_NEIGHBOURS = 12
_CENTRE = np.array([0.0, 0.1, -0.15])


def empty_places(points: np.ndarray, similarity: Similarity, fine: bool = False) -> np.ndarray:
    """Places over the scalp that are seen to be empty.

    Args:
        points: (N, 3) scan points around the head, scan frame.
        similarity: Scan -> model frame, roughly right.
        fine: Take several thousand of them.
    Returns:
        (M, 3) scan frame, in a fixed order; a few hundred for a whole head, none where no scalp was seen.
    """
    heights, apart = (FINE_HEIGHTS, FINE_APART) if fine else (HEIGHTS, APART)
    points = np.asarray(points, dtype=float)
    if len(points) <= _NEIGHBOURS:
        return np.zeros((0, 3))
    placed = similarity.apply(points)
    scalp = np.flatnonzero(SCALP_PARTS[cKDTree(reference_anchors()).query(placed)[1]])
    _, first = np.unique(np.floor(placed[scalp] / apart).astype(np.int64), axis=0, return_index=True)
    base = scalp[np.sort(first)]
    tree = cKDTree(placed)
    distance, near = tree.query(placed[base], k=_NEIGHBOURS)
    lonely = distance[:, -1] > 3.0 * np.median(distance[:, -1]) if len(base) else np.zeros(0, dtype=bool)
    base, near = base[~lonely], near[~lonely]
    offsets = placed[near] - placed[near].mean(axis=1, keepdims=True)
    out = np.linalg.eigh(np.einsum("nki,nkj->nij", offsets, offsets))[1][:, :, 0]
    radial = placed[base] - _CENTRE
    side = (out * radial).sum(1)
    plain = np.abs(side) > 0.5 * np.linalg.norm(radial, axis=1)  # a rim, or noise: the way out is not known
    out, base = np.where(side[:, None] < 0, -out, out)[plain], base[plain]
    # what is seen farther out on the same way (a tail of hair, whose inner side this is) makes the way in the way out
    beyond = np.concatenate([placed[base] + height * out for height in BEYOND])
    near_it = tree.query(beyond)[0] < 0.5 * BEYOND[0] if len(base) else np.zeros(0, dtype=bool)
    free = ~near_it.reshape(len(BEYOND), -1).any(axis=0)
    out, base = out[free], base[free]
    places = np.concatenate([placed[base] + height * out for height in heights])
    height = np.repeat(heights, len(base))
    free = tree.query(places)[0] > CLEAR * height if len(places) else np.zeros(0, dtype=bool)
    return similarity.inverse().apply(places[free])
