"""Where a head is looked at most: boxes round eyes, mouth and nostrils, from the head's own anchors."""

from __future__ import annotations

import numpy as np

from ..frames import MM_PER_UNIT, N_ANCHORS, anchor_indices
from ..types import Codes
from .inverse_warp import from_canonical

FOCUS_BOXES = (
    (("eye_inner_left", "eye_outer_left"), (5, 11, 5), (5, 11, 13)),
    (("eye_inner_right", "eye_outer_right"), (5, 11, 5), (5, 11, 13)),
    (("nose_wing_left", "nose_wing_right"), (1, 7, 5), (1, 5, 20)),
    (("mouth_corner_left", "mouth_corner_right", "lower_lip", "upper_lip"), (7, 3, 6), (7, 3, 8)),
)
"""Anchors that a box holds, and how far (mm) it reaches beyond them below (x, y, z) and above: lids and the corners of
the eye with the crease above; the nostrils' rims; the lips with the corners of the mouth."""


EYES = 2
"""How many of the boxes are of eyes: the first ones."""


def eye_boxes(model, codes: Codes) -> np.ndarray:
    """Those of :func:`focus_boxes` (N, 2, 3) that hold an eye."""
    return focus_boxes(model, codes)[:EYES]


def focus_boxes(model, codes: Codes) -> np.ndarray:
    """Boxes (N, 2, 3) in the model frame round the features of one posed head; none for a model without named anchors.

    Args:
        model: A head model, or one corrected for one head that has it as ``model``.
        codes: One head (B = 1), with or without an expression.
    """
    from ..models.protocol import WarpLinearisable, lacks

    model = getattr(model, "model", model)
    if not hasattr(model, "anchors"):
        return np.empty((0, 2, 3))
    anchors = model.anchors(codes)[0].detach().cpu().numpy().astype(float)
    if len(anchors) < N_ANCHORS:
        return np.empty((0, 2, 3))
    groups = [anchors[anchor_indices(names)] for names, _, _ in FOCUS_BOXES]
    if not lacks(model, WarpLinearisable) and codes.expression is not None and codes.expression.any():
        posed = from_canonical(model, np.concatenate(groups), codes).points
        groups = np.split(posed, np.cumsum([len(group) for group in groups])[:-1])
    boxes = [
        (group.min(0) - np.array(below) / MM_PER_UNIT, group.max(0) + np.array(above) / MM_PER_UNIT)
        for group, (_, below, above) in zip(groups, FOCUS_BOXES)
    ]
    return np.array(boxes)
