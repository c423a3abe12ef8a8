"""MonoNPHM's 65 anchors, in our own places or in the pairing of the published ones.

Ours are our 39 and 26 more places about eyes, nose, lips and jaw, from the 68 landmarks, in the order of
:data:`headfield.frames.ANCHOR65_NAMES`, so that the 39 of the protocol come first: 29 pairs and seven places on the
mid-line. The published set has 30 pairs and five: chin, root, tip and middle of the nose, and the throat. There the 39
are not among the 65, and are read off them: each goes along with those that lie about it.
"""

from __future__ import annotations

import numpy as np

from headfield import frames
from headfield.nn.ensemble import PartLayout

COUNT = len(frames.ANCHOR65_NAMES)

OURS, PUBLISHED = 29, 30
"""Pairs among the 65 anchors, by which the two sets are told apart."""

MIDDLE = ("chin", "nose_bridge", "nose_tip", "throat")
"""The first four of the published set's five places on the mid-line, by our names; the fifth is the nose's middle."""

DENSER = {
    "jaw_line_upper": (0.2910, 0.0238, -0.0766),
    "jaw_line_middle": (0.2623, -0.1343, -0.0422),
    "jaw_line_lower": (0.1721, -0.2962, 0.0290),
    "jaw_line_chin": (0.0615, -0.3497, 0.1412),
    "brow_outer": (0.2326, 0.1555, 0.0967),
    "brow_inner": (0.0469, 0.1726, 0.2117),
    "lid_upper": (0.1548, 0.0970, 0.1493),
    "lid_lower": (0.1542, 0.0656, 0.1408),
    "nostril": (0.0501, -0.1087, 0.1894),
    "lip_peak_upper": (0.0291, -0.1630, 0.2185),
    "lip_side_upper": (0.0681, -0.1751, 0.1968),
    "lip_peak_lower": (0.0414, -0.2365, 0.1974),
    "lip_side_lower": (0.0720, -0.2247, 0.1789),
}
"""The left one of each further pair on the reference head, model units (the ICT-FaceKit template's landmarks, MIT)."""

_BESIDE_FOREHEAD = np.array([0.06, 0.0, -0.008])
"""From the middle of the forehead to the left one of the thirtieth pair, where nobody gives the published places."""

_NEAR = 0.01
"""Distance (2.5 mm) within which two places are one, model units."""

_PAIRS = len(DENSER)


def _paired(pairs: int) -> PartLayout:
    """Pairs at 2i and 2i + 1, of which the second is mirrored; the others after them."""
    part = np.arange(COUNT)
    return PartLayout(np.where(part < 2 * pairs, part // 2, part - pairs), (part < 2 * pairs) & (part % 2 == 1))


LAYOUT = PartLayout(
    np.concatenate([frames.PART_NETWORK, frames.N_PART_NETWORKS + np.arange(2 * _PAIRS) // 2]),
    np.concatenate([frames.IS_MIRRORED, np.arange(2 * _PAIRS) % 2 == 1]),
)
"""Networks and sides of our 65 parts: 36 networks, and one more for the part that is everywhere."""

LAYOUTS = {OURS: LAYOUT, PUBLISHED: _paired(PUBLISHED)}
"""By the number of pairs; the published set has 35 networks and one more."""

MIRRORS = {
    OURS: frames.MIRROR65,
    PUBLISHED: np.where(np.arange(COUNT) < 2 * PUBLISHED, np.arange(COUNT) ^ 1, np.arange(COUNT)),
}
"""By the number of pairs, index (65,) of each anchor's mirror image: an involution."""


def mean_anchors65(mean: np.ndarray) -> np.ndarray:
    """Mean places (65, 3) about which the anchors are learned, from those of the 39 (39, 3), model units.

    A further place goes along with the nearest of the 39.
    """
    reference = frames.reference_anchors()
    left = np.array(list(DENSER.values()))
    more = np.stack([left, frames.mirror_points(left)], axis=1).reshape(-1, 3)
    nearest = np.linalg.norm(more[:, None] - reference, axis=-1).argmin(1)
    return np.concatenate([mean, more + (mean - reference)[nearest]])


def mean_anchors_in_30_pairs(mean: np.ndarray) -> np.ndarray:
    """Mean places (65, 3) in the published pairing, for a model that is trained here: our pairs, one more beside the
    middle of the forehead, and the five on the mid-line."""
    ours = mean_anchors65(mean)
    by_name = dict(zip(frames.ANCHOR65_NAMES, ours))
    pairs = [place for name, place in by_name.items() if name.endswith(("_left", "_right"))]
    forehead = [by_name["forehead"] + sign * _BESIDE_FOREHEAD for sign in ([1, 1, 1], [-1, 1, 1])]
    middle = [by_name[name] for name in MIDDLE]
    return np.array([*pairs, *forehead, *middle, 0.5 * (by_name["nose_bridge"] + by_name["nose_tip"])])


def reading(places: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Shares (P, 65), of sum one, with which places (P, 3) go along with anchors (65, 3) that move.

    A share falls with the sixth power of the distance, so that a place follows the few anchors about it, and on both
    sides alike.
    """
    square = ((places[:, None] - anchors) ** 2).sum(-1) + _NEAR**2
    weight = (square.min(1, keepdims=True) / square) ** 3
    return weight / weight.sum(1, keepdims=True)
