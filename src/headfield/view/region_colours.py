"""A region and a colour for every vertex: by the part that weighs most there."""

from __future__ import annotations

import numpy as np

from headfield.frames import ANCHOR_NAMES, REGIONS

REGION_COLOURS: dict[str, str] = {
    "nose": "#e8a33d", "mouth": "#d6455d", "left_eye": "#3f8fd2", "right_eye": "#63b3e8", "left_brow": "#8a63c9",
    "right_brow": "#a98be0", "left_cheek": "#ef8d7b", "right_cheek": "#f4ad9f", "left_ear": "#3aa88f",
    "right_ear": "#6cc5b0", "left_temple": "#b5a642", "right_temple": "#cfc36d", "jaw": "#6a8f3c", "chin": "#9cbf58",
    "forehead": "#e0c06a", "scalp": "#7d8ca3", "back_of_head": "#56657c", "neck": "#a58a75",
}  # fmt: skip
"""sRGB colour of each region; the two of a pair are shades of one hue."""

# the jaw below the ears belongs to two regions: a vertex has one colour, so the more specific name is taken
_ORDER = ("chin", "nose", "mouth", "jaw", "forehead", *REGION_COLOURS)
_REGION_OF_PART = np.array(
    [next(list(REGION_COLOURS).index(name) for name in _ORDER if part in REGIONS[name]) for part in ANCHOR_NAMES]
)


def part_weights(vertices: np.ndarray, anchors: np.ndarray, sigma: float = 0.1) -> np.ndarray:
    """Blend weights (V, 39) of the parts at vertices (V, 3), the largest 1: Gaussian, without the threshold.

    Args:
        vertices: Neutral head, model frame.
        anchors: (39, 3) its anchors.
        sigma: Width of a part's influence, model units.
    """
    square = ((np.asarray(vertices, dtype=float)[:, None] - np.asarray(anchors)[None]) ** 2).sum(-1)
    return np.exp(-(square - square.min(axis=1, keepdims=True)) / sigma**2)


def region_index(vertices: np.ndarray, anchors: np.ndarray, sigma: float = 0.1) -> np.ndarray:
    """Region (V,) uint8 of vertices (V, 3): an index into REGION_COLOURS; arguments as :func:`part_weights`.

    The blend weights are summed over the parts of a region; the largest sum wins (a border between single parts is
    half-way between their anchors).
    """
    total = np.zeros((len(vertices), len(REGION_COLOURS)))
    np.add.at(total.T, _REGION_OF_PART, part_weights(vertices, anchors, sigma).T)
    return total.argmax(axis=1).astype(np.uint8)
