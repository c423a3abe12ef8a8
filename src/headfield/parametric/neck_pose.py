"""Turning the head on its neck: a rotation about the top of the neck that fades out down to the cut.

Between the cut and a plane from under the chin to the nape each vertex turns by a share of the whole rotation (of the
angle, not of the displacement: necks keep their girth). Skull, jaw and face turn as one; the cut and its cap stay. The
kept neck is short: turns up to about 30 degrees look right, but beyond 10 degrees downwards the skin under the chin
folds into the throat.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from headfield import frames
from headfield.parametric.neck import neck_plane
from headfield.parametric.normalise import normalising_similarity

_UNDER_CHIN = 0.45
"""Where the upper plane meets the skin under the chin: this share of the way from the throat to the chin."""


def turning_share(vertices: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Share (V,) of the rotation that each vertex of a neutral head takes: 0 at and below the cut, 1 from the jaw up.

    Args:
        vertices: (V, 3), any unit, the family's own placement.
        anchors: (39, 3) of the same head.
    """
    normal, offset = neck_plane(anchors)
    above_cut = vertices @ normal - offset
    throat, chin, left, right = anchors[frames.anchor_indices(["throat", "chin", "nape_left", "nape_right"])]
    front, back = throat + _UNDER_CHIN * (chin - throat), (left + right) / 2
    placement = normalising_similarity(anchors)
    upper = np.cross(front - back, placement.rotation[0])
    upper *= np.sign(upper @ normal) / np.linalg.norm(upper)
    below_jaw = (front - vertices) @ upper
    share = np.where(below_jaw <= 0, 1.0, above_cut / np.maximum(above_cut + below_jaw, 1e-9))
    share = np.where(above_cut * placement.scale <= 1e-5, 0.0, np.clip(share, 0.0, 1.0))
    return share * share * (3 - 2 * share)


def turned(vertices: np.ndarray, share: np.ndarray, centre: np.ndarray, pose: np.ndarray) -> np.ndarray:
    """Vertices (V, 3) with the head turned.

    Args:
        vertices: (V, 3).
        share: (V,) of :func:`turning_share`; where it is 0 nothing moves, bit for bit.
        centre: (3,) what the head turns about.
        pose: (3,) rotation vector, radians, in the frame of the vertices: its length is the angle.
    Raises:
        ValueError: The pose is not three finite numbers.
    """
    pose = np.asarray(pose, dtype=float)
    if pose.shape != (3,) or not np.isfinite(pose).all():
        raise ValueError(f"pose {pose}: expected a rotation vector of three finite numbers, in radians")
    result = np.array(vertices, dtype=float)
    moving = share > 0
    turn = Rotation.from_rotvec(share[moving, None] * pose)
    result[moving] = turn.apply(result[moving] - centre) + centre
    return result
