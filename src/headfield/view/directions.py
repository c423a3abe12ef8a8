"""Directions of the code space that mean something: what the identity sliders of the viewer move.

Codes are N(0, I) after whitening, so all directions are equally likely and what tells them apart is what they do. The
anchors' derivative by the code at the mean head says that; its leading singular vectors span what moves a head most.
Within that span the basis is turned towards plain measurements (width of the head, length of the nose, ...), each
direction staying at right angles to the others, so that a slider of the nose leaves the width of the head alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import torch

from headfield.frames import ANCHOR_NAMES, N_ANCHORS
from headfield.types import Codes

if TYPE_CHECKING:
    from headfield.models.protocol import HeadModel

_KNOWN: WeakKeyDictionary[HeadModel, Directions] = WeakKeyDictionary()
"""Of models that were asked before."""

LIKE = 0.5
"""A direction carries the name of its measurement when the two correlate at least this much over the prior."""

_MEASUREMENTS: tuple[tuple[str, dict[str, tuple[float, float, float]]], ...] = (
    ("Head width", {"temple_left": (1, 0, 0), "temple_right": (-1, 0, 0), "ear_back_left": (1, 0, 0),
                    "ear_back_right": (-1, 0, 0), "crown_front_left": (1, 0, 0), "crown_front_right": (-1, 0, 0)}),
    ("Head depth", {"head_back_left": (0, 0, -1), "head_back_right": (0, 0, -1), "forehead": (0, 0, 1),
                    "forehead_top_left": (0, 0, 1), "forehead_top_right": (0, 0, 1)}),
    ("Crown height", {"crown_front_left": (0, 1, 0), "crown_front_right": (0, 1, 0), "forehead_top_left": (0, 1, 0),
                      "forehead_top_right": (0, 1, 0)}),
    ("Jaw width", {"jaw_angle_left": (1, 0, 0), "jaw_angle_right": (-1, 0, 0), "chin_side_left": (0.5, 0, 0),
                   "chin_side_right": (-0.5, 0, 0)}),
    ("Chin length", {"chin": (0, -1, 0), "chin_side_left": (0, -1, 0), "chin_side_right": (0, -1, 0),
                     "lower_lip": (0, 0.7, 0)}),
    ("Chin forward", {"chin": (0, 0, 1), "lower_lip": (0, 0, 0.6), "chin_side_left": (0, 0, 0.6),
                      "chin_side_right": (0, 0, 0.6)}),
    ("Nose length", {"nose_tip": (0, -1, 0), "nose_wing_left": (0, -1, 0), "nose_wing_right": (0, -1, 0),
                     "nose_bridge": (0, 1, 0)}),
    ("Nose forward", {"nose_tip": (0, 0, 1), "cheek_left": (0, 0, -0.5), "cheek_right": (0, 0, -0.5)}),
    ("Nose width", {"nose_wing_left": (1, 0, 0), "nose_wing_right": (-1, 0, 0)}),
    ("Mouth width", {"mouth_corner_left": (1, 0, 0), "mouth_corner_right": (-1, 0, 0)}),
    ("Eye distance", {"eye_inner_left": (1, 0, 0), "eye_inner_right": (-1, 0, 0), "eye_outer_left": (1, 0, 0),
                      "eye_outer_right": (-1, 0, 0)}),
    ("Neck width", {"neck_side_left": (1, 0, 0), "neck_side_right": (-1, 0, 0), "nape_left": (0.5, 0, 0),
                    "nape_right": (-0.5, 0, 0)}),
)  # fmt: skip
"""Name and what to add up of the anchors' coordinates (+x the subject's left, +y up, +z out of the face)."""


@dataclass(frozen=True)
class Directions:
    """Sliders of the identity.

    Attributes:
        names: (S,) what each does, or ``Shape n``.
        vectors: (S, D) orthonormal: one unit is one standard deviation.
        likeness: (S,) correlation with the measurement that a direction was turned to.
    """

    names: tuple[str, ...]
    vectors: np.ndarray
    likeness: np.ndarray

    def code(self, amounts: np.ndarray) -> np.ndarray:
        """What to add to a code: (D,) from slider positions (S,) in standard deviations."""
        return np.asarray(amounts, dtype=float) @ self.vectors


def directions_of(model: HeadModel) -> Directions:
    """The directions of a model, computed once per model object (a tenth of a second)."""
    if model not in _KNOWN:
        _KNOWN[model] = _directions(anchor_jacobian(model), measurements())
    return _KNOWN[model]


def anchor_jacobian(model: HeadModel) -> np.ndarray:
    """d anchors / d z_id (117, D) at the mean head, model units per standard deviation."""
    mean = model.mean_codes().identity
    found = torch.autograd.functional.jacobian(lambda identity: model.anchors(Codes(identity)), mean)
    return found.reshape(-1, mean.shape[1]).double().cpu().numpy()


def measurements() -> np.ndarray:
    """Unit vectors (M, 117) in the space of the anchors' coordinates."""
    rows = np.zeros((len(_MEASUREMENTS), N_ANCHORS, 3))
    for row, (_, terms) in zip(rows, _MEASUREMENTS):
        for anchor, weight in terms.items():
            row[ANCHOR_NAMES.index(anchor)] = weight
    rows = rows.reshape(len(rows), -1)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _directions(jacobian: np.ndarray, wanted: np.ndarray) -> Directions:
    count = min(len(wanted), jacobian.shape[1])
    span = np.linalg.svd(jacobian, full_matrices=False)[2][:count]
    # the code that is most likely for a given measurement lies along J^T m; within the span, the orthonormal basis
    # nearest to all of these is their polar factor
    towards = wanted[:count] @ jacobian
    towards /= np.maximum(np.linalg.norm(towards, axis=1, keepdims=True), 1e-30)
    left, _, right = np.linalg.svd(towards @ span.T)
    vectors = left @ right @ span
    likeness = (vectors * towards).sum(axis=1)
    names = tuple(
        _MEASUREMENTS[index][0] if like >= LIKE else f"Shape {index + 1}" for index, like in enumerate(likeness)
    )
    return Directions(names, vectors, likeness)
