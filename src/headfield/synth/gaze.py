"""Eyeballs that turn: each about its own centre, by the angles that exported rigs turn theirs, and the lids give way.

Families disagree about gaze: some move only the lids for an eyeLook channel, some slide the eyeball's vertices along
straight lines. Here an eyeball is turned rigidly, whatever the family does with it; the lids keep the family's shapes
and are lifted where the cornea would come through them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from headfield.frames import gaze_angles
from headfield.parametric.topology import components
from headfield.types import ARKIT

LID_UNITS = 0.0012
"""Least thickness of a lid over the eyeball, model units (0.3 mm)."""

LID_REACH = 0.03
"""Skin farther than this outside an eyeball is no lid, model units (7.5 mm)."""

CORNEA_UNITS = 0.0045
"""A cornea's pole stands at least this far over the sphere of the white, model units (1.1 mm: radii of 7.8 and 12 mm, a
rim of 11.7 mm); flatter eyeballs get the difference, or nobody could see where they look."""

CORNEA_DEGREES = 32.0
"""A cornea ends at this angle from the eyeball's axis."""

_WAYS = ("In", "Out", "Up", "Down")


@dataclass(frozen=True)
class Eye:
    """One eyeball of a head.

    Attributes:
        side: ``Left`` or ``Right``, the subject's.
        vertices: Indices of its vertices in the head.
        centre: (3,) about which it turns.
        radius: Of the white.
        bulge: How far the cornea's pole stands over the white's sphere.
    """

    side: str
    vertices: np.ndarray
    centre: np.ndarray
    radius: float
    bulge: float


@cache
def _eyeballs(triangles: bytes) -> list[np.ndarray]:
    """Vertices of the second and third largest component."""
    corners = np.frombuffer(triangles, dtype=np.int64).reshape(-1, 3)
    label = components(corners)
    return [np.unique(corners[label == k]) for k in (1, 2) if (label == k).sum() > 100]


def eyes_of(vertices: np.ndarray, triangles: np.ndarray) -> tuple[Eye, ...]:
    """The eyeballs of a neutral head: its second and third largest components.

    Args:
        vertices: (V, 3) model frame, neutral.
        triangles: (F, 3), several closed components.
    """
    found = []
    for index in _eyeballs(np.ascontiguousarray(triangles, dtype=np.int64).tobytes()):
        points = vertices[index]
        centre, radius = points.mean(0), 0.0
        for _ in range(8):  # the sphere of the white in front: without the cornea, and without whatever lies behind
            away = points - centre
            distance = np.linalg.norm(away, axis=1)
            angle = np.degrees(np.arccos(np.clip(away[:, 2] / distance, -1, 1)))
            white = (angle > 32) & (angle < 85)
            rows = np.concatenate([2 * points[white], np.ones((white.sum(), 1))], axis=1)
            answer = np.linalg.lstsq(rows, (points[white] ** 2).sum(1), rcond=None)[0]
            centre = answer[:3]
            radius = float(np.sqrt(answer[3] + centre @ centre))
        pole = np.linalg.norm(points[points[:, 2].argsort()[-5:]] - centre, axis=1).mean()
        found.append(Eye("Left" if centre[0] > 0 else "Right", index, centre, radius, float(pole - radius)))
    return tuple(sorted(found, key=lambda eye: eye.side))


def turn_of(side: str, expression: np.ndarray) -> Rotation:
    """How an eye turns under an expression (52,)."""
    look = [expression[ARKIT.index(f"eyeLook{way}{side}")] for way in _WAYS]
    yaw, pitch = gaze_angles(side, *look)
    return Rotation.from_euler("YX", [float(yaw), float(pitch)])


def direction_of(side: str, expression: np.ndarray) -> np.ndarray:
    """Where an eye looks (3,), unit, under an expression (52,); (0, 0, 1) is straight ahead."""
    return turn_of(side, expression).apply([0.0, 0.0, 1.0])


def with_gaze(
    neutral: np.ndarray, posed: np.ndarray, triangles: np.ndarray, expression: np.ndarray, cornea: bool = True
) -> np.ndarray:
    """Posed vertices (V, 3) with the eyeballs turned about their centres and the lids lifted over them.

    Args:
        neutral: (V, 3) model frame.
        posed: (V, 3) by the family's shapes, model frame.
        triangles: (F, 3).
        expression: (52,) ARKit weights.
        cornea: Give eyeballs a cornea of at least the usual height. Without it a head at rest stays as it is.
    """
    posed = posed.copy()
    for eye in eyes_of(neutral, triangles):
        ball = neutral[eye.vertices]
        ball = _with_cornea(eye, ball) if cornea else ball
        turned = turn_of(eye.side, expression).apply(ball - eye.centre) + eye.centre
        posed[eye.vertices] = turned
        _lift_lids(eye, neutral, posed, ball, turned)
    return posed


def _with_cornea(eye: Eye, ball: np.ndarray) -> np.ndarray:
    """The eyeball's vertices (M, 3) at rest with a cornea of at least the usual height."""
    away = ball - eye.centre
    distance = np.linalg.norm(away, axis=1, keepdims=True)
    angle = np.degrees(np.arccos(np.clip(away[:, 2:] / distance, -1, 1)))
    share = np.clip(1 - (angle / CORNEA_DEGREES) ** 2, 0, 1) ** 1.5
    return ball + max(CORNEA_UNITS - eye.bulge, 0.0) * share * away / distance


def _lift_lids(eye: Eye, neutral: np.ndarray, posed: np.ndarray, ball: np.ndarray, turned: np.ndarray) -> None:
    """Skin that lay outside the eyeball at rest stays outside: as far as it was, or a lid's thickness."""
    near = np.linalg.norm(neutral - eye.centre, axis=1) < eye.radius + LID_REACH
    near &= neutral[:, 2] > eye.centre[2]  # in front; what is behind is the socket
    near[eye.vertices] = False
    lid = np.flatnonzero(near)
    before = _clearance(neutral[lid], eye.centre, ball)
    after = _clearance(posed[lid], eye.centre, turned)
    lack = np.minimum(before, LID_UNITS) - after
    push = (before > 0) & (lack > 0)
    away = posed[lid[push]] - eye.centre
    posed[lid[push]] += lack[push, None] * away / np.linalg.norm(away, axis=1, keepdims=True)


def _clearance(points: np.ndarray, centre: np.ndarray, ball: np.ndarray) -> np.ndarray:
    """How far points (N, 3) lie outside the eyeball's vertices (M, 3), along the ray from its centre."""
    away, rays = points - centre, ball - centre
    distance, reach = np.linalg.norm(away, axis=1), np.linalg.norm(rays, axis=1)
    gap, near = cKDTree(rays / reach[:, None]).query(away / distance[:, None], k=3)
    weight = 1.0 / np.maximum(gap, 1e-6)
    return distance - (weight * reach[near]).sum(1) / weight.sum(1)
