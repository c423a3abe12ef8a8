"""Which of the 39 places carry a local field: all of them, or the fewer of the paper's Table 4.

The paper ablates ensembles of 12 and of 26 regions and shows them in a picture (Fig. 12) that names no places. Those
here are chosen by its own rule, between how much an area matters and an even spread: every feature of a head keeps at
least one part, both sides of a pair are kept or left out together, and the 12 are among the 26.
"""

from __future__ import annotations

import numpy as np

from headfield import frames
from headfield.nn.ensemble import PartLayout

_PAIRS_OF_12 = ("mouth_corner", "eye_outer", "ear_back", "crown_front", "head_back")
_MIDDLE_OF_12 = ("nose_tip", "chin")
_PAIRS_OF_26 = (*_PAIRS_OF_12, "cheek", "brow", "eye_inner", "nose_wing", "jaw_angle")
_MIDDLE_OF_26 = (*_MIDDLE_OF_12, "lower_lip", "upper_lip", "nose_bridge", "forehead")


def _both_sides(pairs: tuple[str, ...], middle: tuple[str, ...]) -> tuple[str, ...]:
    wanted = {*(f"{name}_{side}" for name in pairs for side in ("left", "right")), *middle}
    return tuple(name for name in frames.ANCHOR_NAMES if name in wanted)


CARRYING: dict[int, tuple[str, ...]] = {
    12: _both_sides(_PAIRS_OF_12, _MIDDLE_OF_12),
    26: _both_sides(_PAIRS_OF_26, _MIDDLE_OF_26),
    39: frames.ANCHOR_NAMES,
}
"""By their number K, the anchors that carry a part, in the order of :data:`headfield.frames.ANCHOR_NAMES`."""


def layout_of(anchors: int, symmetric: bool) -> PartLayout:
    """Networks and sides of the K parts: 7, 16 or 23 networks, or K where nothing is shared and nothing mirrored."""
    carried = frames.anchor_indices(CARRYING[anchors])
    if not symmetric:
        return PartLayout(np.arange(anchors), np.zeros(anchors, dtype=bool))
    return PartLayout(np.unique(frames.PART_NETWORK[carried], return_inverse=True)[1], frames.IS_MIRRORED[carried])


def mirror_of(anchors: int) -> np.ndarray:
    """Index (K,) of each part's mirror image among the K parts: an involution."""
    carried = frames.anchor_indices(CARRYING[anchors])
    return np.searchsorted(carried, frames.MIRROR_PART[carried])
