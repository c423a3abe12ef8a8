"""Parts of a head that keep their shape while the skin about them varies: eyes in their lids, lips and mouth bag."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from headfield.frames import MM_PER_UNIT
from headfield.synth.gaze import eyes_of
from headfield.synth.hair_sphere import mesh_averaging
from headfield.synth.noise import smoothstep
from headfield.synth.sheet import Sheet

EYE_SHIFT = 1.2 / MM_PER_UNIT
"""An eye with its lids moves at most this far, model units (1.2 mm)."""

CROSSING_SHIFT = 12.0 / MM_PER_UNIT
"""Where two families are crossed, eyes and mouth move at most this far, model units (12 mm)."""

MOUTH_SHIFT = 1.5 / MM_PER_UNIT
"""The mouth moves at most this far, model units (1.5 mm)."""

MOUTH_ROLL = np.radians(1.5)
"""And turns at most this much in the plane of the face: few mouths are level."""

LIDS = 3.5 / MM_PER_UNIT
"""Skin within this distance of an eyeball is lid, model units (3.5 mm)."""

LIPS = 3.0 / MM_PER_UNIT
"""Skin within this distance of the line where the lips meet is lip, model units (3 mm)."""

DENSER = 3.0
"""Lids and lips are sampled so much more densely than the rest of the face."""

FOLD_RIM = 4.0
"""Within so many mm beyond lids and lips folds reach their depth."""

_CAP_FADE = 30.0 / MM_PER_UNIT


@dataclass(frozen=True)
class KeptPart:
    """A part that moves rigidly.

    Attributes:
        free: (V,) share of freedom that each vertex keeps: 0 on the part, 1 away from it.
        bare: (V,) the same with a narrower rim: folds come nearer to eyes and lips than other shapes.
        centre: (3,) model frame.
        shift: Largest translation, model units.
        roll: Largest turn about +z, radians.
    """

    free: np.ndarray
    bare: np.ndarray
    centre: np.ndarray
    shift: float
    roll: float

    def motion(self, field: np.ndarray, vertices: np.ndarray) -> np.ndarray:
        """The rigid displacement (V, 3) nearest to a field (V, 3) about the part, bounded smoothly."""
        weight = self.free * (1.0 - self.free)  # the rim between the part and the free skin
        if weight.sum() < 1e-9:
            return np.zeros_like(vertices)
        weight = weight / weight.sum()
        mean = weight @ field
        mean = mean * self.shift / np.sqrt(self.shift**2 + mean @ mean)
        if self.roll == 0.0:
            return np.broadcast_to(mean, vertices.shape)
        across = (vertices - self.centre) * [1.0, 1.0, 0.0]
        quarter = np.stack([-across[:, 1], across[:, 0], np.zeros(len(across))], axis=1)
        angle = (weight @ (quarter * field).sum(1)) / max(weight @ (across**2).sum(1), 1e-12)
        return mean + self.roll * np.tanh(angle / self.roll) * quarter


def kept_parts(head, sheet: Sheet, vertices: np.ndarray) -> list[KeptPart]:
    """The eyes and the mouth of a neutral head.

    Args:
        head: The parametric family.
        sheet: Its topology.
        vertices: (V, 3) model frame.
    """
    parts = []
    for eye in eyes_of(vertices, sheet.triangles):
        # flatter than a ball: brows lie nearer to the eye than what is beside it
        away = np.linalg.norm((vertices - eye.centre) * [1.0, 1.2, 1.0], axis=1) - eye.radius
        free, bare = (smoothstep((away - LIDS) * MM_PER_UNIT / rim) for rim in (11.0, FOLD_RIM))
        free[eye.vertices] = bare[eye.vertices] = 0.0
        parts.append(KeptPart(free, bare, eye.centre, EYE_SHIFT, 0.0))
    lips = head.landmarks68(vertices)[60:68]
    if np.ptp(lips, axis=0).max() > 2 * LIPS:  # a family with a mouth
        parts.append(_mouth(lips, sheet, vertices))
    return parts


def density_near_parts(head, sheet: Sheet, vertices: np.ndarray) -> np.ndarray:
    """The sheet's sampling density (F,), denser on lids and lips: few square millimetres, at which everybody looks.

    Args:
        head, sheet, vertices: As of `kept_parts`.
    """
    near = np.zeros(len(vertices))
    for part in kept_parts(head, sheet, vertices):
        near = np.maximum(near, 1.0 - part.bare)
    for eye in eyes_of(vertices, sheet.triangles):
        near[eye.vertices] = 0.0
    near = np.where(sheet.bag, 0.0, near[sheet.triangles].min(1))
    return sheet.density * (1.0 + (DENSER - 1.0) * near)


def _mouth(lips: np.ndarray, sheet: Sheet, vertices: np.ndarray) -> KeptPart:
    """The inner lips and the bag behind them, of inner lip landmarks (8, 3)."""
    share = np.linspace(0, 1, 8, endpoint=False)[:, None, None]
    line = (lips * (1 - share) + np.roll(lips, -1, axis=0) * share).reshape(-1, 3)
    away = cKDTree(line).query(vertices)[0]
    free, bare = (smoothstep((away - LIPS) * MM_PER_UNIT / rim) for rim in (12.0, FOLD_RIM))
    bag = np.zeros(len(vertices), dtype=bool)
    bag[sheet.triangles[sheet.bag]] = True
    averaging = mesh_averaging(sheet.triangles, len(vertices))
    out = (~bag).astype(float)
    for _ in range(6):  # the bag's own rim, so that no step is left where it lies off the landmarks
        out = np.where(bag, 0.0, averaging @ out)
    out = smoothstep(out)
    return KeptPart(free * out, bare * out, lips.mean(0), MOUTH_SHIFT, MOUTH_ROLL)


def fade_at_cap(sheet: Sheet, vertices: np.ndarray) -> np.ndarray:
    """Share (V,) that is left near the neck's cut, which stays the plane it is: 0 there, 1 from 30 mm above."""
    if not sheet.cap.any():
        return np.ones(len(vertices))
    cap = vertices[np.unique(sheet.triangles[sheet.cap])]
    normal = np.linalg.svd(cap - cap.mean(0), full_matrices=False)[2][2]
    return smoothstep(np.abs((vertices - cap.mean(0)) @ normal) / _CAP_FADE)
