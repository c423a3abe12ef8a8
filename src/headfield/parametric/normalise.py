"""Size and pose are placement, not shape: the similarity that takes a head from metres to the model frame."""

from __future__ import annotations

import numpy as np

from headfield import frames
from headfield.types import Similarity


def normalising_similarity(anchors_metres: np.ndarray) -> Similarity:
    """The similarity metres -> model frame of one head.

    Least squares (Umeyama 1991) from the skull and upper-face anchors of the *neutral* head, those of
    ``frames.NORMALISING_ANCHORS``, to the reference head. A posed head uses its neutral's similarity.

    Args:
        anchors_metres: (39, 3) anchors of the neutral head in metres, any placement.
    Raises:
        ValueError: The shape is not (39, 3).
    """
    anchors_metres = np.asarray(anchors_metres, dtype=float)
    if anchors_metres.shape != (frames.N_ANCHORS, 3):
        raise ValueError(f"anchors of shape {anchors_metres.shape}, expected ({frames.N_ANCHORS}, 3)")
    use = frames.NORMALISING_ANCHORS
    return Similarity.between(anchors_metres[use], frames.reference_anchors()[use])


def log_size(similarity: Similarity) -> float:
    """Logarithm of the head's size relative to the reference adult: 0 = reference, negative = smaller.

    Args:
        similarity: Metres -> model frame; the reference adult has scale 1 / 0.25 units per metre.
    """
    return float(-np.log(similarity.scale * frames.METRES_PER_UNIT))
