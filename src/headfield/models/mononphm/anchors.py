"""MonoNPHM's 65 anchors: our 39, and 26 more places about eyes, nose, lips and jaw, from the 68 landmarks.

The order is that of :data:`headfield.frames.ANCHOR65_NAMES`, so that the 39 of the protocol come first. The published
set has 30 pairs and five places on the mid-line; ours has 29 pairs and seven.
"""

from __future__ import annotations

import numpy as np

from headfield import frames
from headfield.nn.ensemble import PartLayout

COUNT = len(frames.ANCHOR65_NAMES)

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

_PAIRS = len(DENSER)

LAYOUT = PartLayout(
    np.concatenate([frames.PART_NETWORK, frames.N_PART_NETWORKS + np.arange(2 * _PAIRS) // 2]),
    np.concatenate([frames.IS_MIRRORED, np.arange(2 * _PAIRS) % 2 == 1]),
)
"""Networks and sides of the 65 parts: 36 networks, and one more for the part that is everywhere."""


def mean_anchors65(mean: np.ndarray) -> np.ndarray:
    """Mean places (65, 3) about which the anchors are learned, from those of the 39 (39, 3), model units.

    A further place goes along with the nearest of the 39.
    """
    reference = frames.reference_anchors()
    left = np.array(list(DENSER.values()))
    more = np.stack([left, frames.mirror_points(left)], axis=1).reshape(-1, 3)
    nearest = np.linalg.norm(more[:, None] - reference, axis=-1).argmin(1)
    return np.concatenate([mean, more + (mean - reference)[nearest]])
