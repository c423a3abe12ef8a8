"""A surface of a given number of vertices, dense where a head is looked at: quadric decimation in a magnified copy.

Quadric decimation spends vertices by curvature and size. Blowing up eyes, nose and mouth before it, and taking the
result back after it, gives them up to four times the density of the scalp, without a seam between two densities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import HeadfieldError, need
from ..frames import anchor_indices
from ..types import Mesh

_FACE = (  # anchors whose mean is the centre, its magnification minus one, reach in model units
    (("eye_inner_left", "eye_outer_left"), 1.3, 0.07),
    (("eye_inner_right", "eye_outer_right"), 1.3, 0.07),
    (("lower_lip", "upper_lip", "mouth_corner_left", "mouth_corner_right"), 1.3, 0.10),
    (("nose_tip", "nose_bridge"), 0.6, 0.20),
)


@dataclass(frozen=True)
class Spot:
    """A place where vertices stand denser.

    Attributes:
        centre: (3,) model units.
        gain: Magnification there, minus one.
        reach: Standard deviation of the magnified region, model units.
    """

    centre: np.ndarray
    gain: float
    reach: float


def face_spots(anchors: np.ndarray) -> list[Spot]:
    """Eyes, mouth and nose of a head with these anchors (39, 3)."""
    return [Spot(anchors[anchor_indices(names)].mean(0), gain, reach) for names, gain, reach in _FACE]


def decimate(mesh: Mesh, vertices: int, spots: Sequence[Spot]) -> Mesh:
    """The mesh with about `vertices` vertices, densest at the spots.

    Args:
        mesh: Closed, model frame.
        vertices: How many to keep, at least 500; a mesh with fewer comes back as it is.
        spots: Where a head is looked at, e.g. :func:`face_spots`.
    Raises:
        HeadfieldError: The extra ``export`` is not installed, or nothing is left.
    """
    igl = need("igl", "export", "Decimating a mesh")
    points = np.asarray(mesh.vertices, dtype=float)
    if len(points) <= vertices:
        return mesh
    blown = magnified(points, spots)
    # qslim keeps a closed surface closed; faster decimators pinch thin rims
    kept, triangles, _, _ = igl.qslim(blown, np.asarray(mesh.triangles, dtype=np.int64), 2 * max(vertices, 500))
    triangles = np.asarray(triangles, dtype=np.int64)
    if len(kept) < 4:
        raise HeadfieldError(f"Decimation to {vertices} vertices left {len(kept)}; ask for more vertices.")
    return Mesh(kept - _shift_at(kept, blown, blown - points), triangles)


def magnified(points: np.ndarray, spots: Sequence[Spot]) -> np.ndarray:
    """Points (V, 3) pushed apart round the spots; one to one while each gain is below 2."""
    moved = np.array(points, dtype=float)
    for spot in spots:
        offset = points - spot.centre
        moved += spot.gain * offset * np.exp(-(offset**2).sum(1, keepdims=True) / (2 * spot.reach**2))
    return moved


def _shift_at(places: np.ndarray, known: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """The smooth field `shift` (V, 3), known at `known` (V, 3), at places (N, 3) that lie among them: an affine fit
    to the eight nearest, which is exact to second order."""
    from scipy.spatial import cKDTree

    _, near = cKDTree(known).query(places, k=8)
    offsets = known[near] - places[:, None]
    scale = np.abs(offsets).max((1, 2), keepdims=True).clip(1e-9)
    design = np.concatenate([np.ones((*near.shape, 1)), offsets / scale], axis=2)
    normal = design.transpose(0, 2, 1) @ design + 1e-3 * np.diag([0.0, 1, 1, 1])
    return np.linalg.solve(normal, design.transpose(0, 2, 1) @ shift[near])[:, 0]
