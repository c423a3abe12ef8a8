"""Joins of a head's parts as a photograph shows them: moist and round, not as two surfaces that pass each other by.

A lid's inner face lies in the eyeball, or a fraction of a millimetre off it; lips touch in a slit, or pass through each
other. As a union of two bodies that is a crease, or a slit that no field of heads can hold: it frays into rags and
holes. Here the distances to two surfaces are joined smoothly, and points of either surface that the join covers are
moved onto it. `Join` is what all joins do; `EyeSeal` joins lids to eyeballs by a smooth minimum (a polynomial one:
exact beyond its width, at most a quarter of it deep), and :class:`headfield.synth.lips.LipSeal` upper to lower lip.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from headfield.errors import need
from headfield.synth.gaze import Eye

JOIN_UNITS = 0.008
"""Width k of the join, model units (2 mm). Where lid and eyeball meet under a right angle, its sharpest hollow has a
radius of k / sqrt(2), 1.4 mm; of 1 mm where their normals are 104 degrees apart."""

_REACH = 0.02
"""How far from an eyeball's surface skin may be a lid (model units, 5 mm)."""

_SETTLING = 6
"""Newton steps that take a point onto the join."""


class Join(ABC):
    """Two surfaces of one head at one instant that are joined smoothly.

    Attributes:
        there: Whether there is anything to be joined.
        farthest: Surface that the join would move farther than this, model units, lies too deep between the two.
    """

    there: bool
    farthest: float

    @abstractmethod
    def near(self, points: np.ndarray) -> np.ndarray:
        """Whether the join may be near points (N, 3): bool (N,)."""

    @abstractmethod
    def lower(self, points: np.ndarray, distance: np.ndarray) -> np.ndarray:
        """Signed distances (N,) of the unjoined head at points (N, 3), with the join; none rises."""

    @abstractmethod
    def joined(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The joined signed distance (N,) at points (N, 3) near the surface, and its gradient (N, 3)."""

    def settle(self, points: np.ndarray, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Surface points of the unjoined head, moved onto the join where it covers them.

        Args:
            points, normals: (N, 3).
        Returns:
            Points and unit normals (N, 3), and how far each was moved (N,); infinity for what lies too deep in the slit
            between the two surfaces.
        """
        start, points, normals = points, points.copy(), normals.copy()
        moved = np.zeros(len(points))
        if not self.there:
            return points, normals, moved
        which = np.flatnonzero(self.near(points))
        first = True
        for _ in range(_SETTLING):
            if not len(which):
                break
            value, slope = self.joined(points[which])
            covered = np.abs(value) > 1e-5
            if first:  # a surface that no join covers stays as it is
                covered &= value < 0
            first = False
            which, value, slope = which[covered], value[covered], slope[covered]
            size = np.linalg.norm(slope, axis=1, keepdims=True)
            slope = slope / np.maximum(size, 1e-9)
            step = np.clip(value / np.maximum(size[:, 0], 0.3), -self.farthest, self.farthest)
            points[which] -= step[:, None] * slope
            normals[which] = slope
        moved = np.linalg.norm(points - start, axis=1)
        moved[which] = np.inf  # did not arrive
        moved[moved > self.farthest] = np.inf
        return points, normals, moved


class EyeSeal(Join):
    """The joins between lids and eyeballs of one head at one instant.

    Args:
        vertices: (V, 3) model frame.
        triangles: (F, 3).
        seen: (F,) bool, which of them are surface: eyeballs behind closed lids have no join.
        eyes: The eyeballs, with their centres as they are now.
        inside_skin: From points (N, 3) to bool (N,): inside any component.
    """

    farthest = JOIN_UNITS

    def __init__(self, vertices: np.ndarray, triangles: np.ndarray, seen: np.ndarray, eyes: Sequence[Eye], inside_skin):
        ball = np.zeros(len(vertices), dtype=bool)
        for eye in eyes:
            ball[eye.vertices] = True
        of_ball = ball[triangles].all(1)
        self._centres = np.array([eye.centre for eye in eyes]).reshape(-1, 3)
        self._radii = np.array([eye.radius for eye in eyes])
        self._inside = inside_skin
        near = self.near(vertices)[triangles].any(1)
        self._skin = Surface(vertices, triangles[seen & ~of_ball & near])
        self._ball = Surface(vertices, triangles[seen & of_ball])
        self.there = self._skin.there and self._ball.there

    def near(self, points: np.ndarray) -> np.ndarray:
        """Whether a join may be near points (N, 3): bool (N,)."""
        if not len(self._centres):
            return np.zeros(len(points), dtype=bool)
        away = np.linalg.norm(points[:, None] - self._centres, axis=2) - self._radii
        return (np.abs(away) < _REACH).any(1)

    def lower(self, points: np.ndarray, distance: np.ndarray) -> np.ndarray:
        """Signed distances (N,) of the unsealed head at points (N, 3), with the joins; none rises."""
        distance = distance.copy()
        which = np.flatnonzero(self.near(points) & (np.abs(distance) < 2 * JOIN_UNITS))
        if len(which) and self.there:
            distance[which] -= self._depth(self._skin.ask(points[which])[0], self._ball.ask(points[which])[0])
        return distance

    def joined(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The sealed signed distance (N,) at points (N, 3) near the surface, and its gradient (N, 3)."""
        skin, skin_slope = self._skin.ask(points)
        ball, ball_slope = self._ball.ask(points)
        sign = np.where(self._inside(points), -1.0, 1.0)
        first = skin < ball
        steep = 0.5 * np.maximum(JOIN_UNITS - np.abs(skin - ball), 0.0) / JOIN_UNITS * np.where(first, -1.0, 1.0)
        slope = sign[:, None] * np.where(first[:, None], skin_slope, ball_slope)
        return (
            sign * np.minimum(skin, ball) - self._depth(skin, ball),
            slope + steep[:, None] * (skin_slope - ball_slope),
        )

    @staticmethod
    def _depth(skin: np.ndarray, ball: np.ndarray) -> np.ndarray:
        """How much the join lowers the distance (N,) where skin and eyeball are so far (N,): as a polynomial smooth
        minimum does; it fades out off the surface."""
        share = np.maximum(JOIN_UNITS - np.abs(skin - ball), 0.0) / JOIN_UNITS
        return 0.25 * JOIN_UNITS * share**2 * np.clip(2.0 - np.minimum(skin, ball) / JOIN_UNITS, 0.0, 1.0)


class Surface:
    """Triangles whose distance can be asked for."""

    def __init__(self, vertices: np.ndarray, triangles: np.ndarray) -> None:
        igl = need("igl", "synth", "Signed distances")
        self.there = len(triangles) > 0
        if not self.there:
            return
        self._vertices, self._triangles = np.ascontiguousarray(vertices), np.ascontiguousarray(triangles)
        self._tree = igl.AABB()
        self._tree.init(self._vertices, self._triangles)
        a, b, c = (vertices[triangles[:, k]] for k in range(3))
        cross = np.cross(b - a, c - a)
        self._normals = cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-30)

    def ask(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Unsigned distances (N,) and their gradients (N, 3); on the surface itself its normals."""
        distance, slope, _ = self._closest(points)
        return distance, slope

    def ask_signed(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Distances (N,) that are negative behind the triangles, their gradients (N, 3), and how squarely the nearest
        triangle faces the point, or turns its back (N,): 1 over its middle, 0 beside the surface's border."""
        distance, slope, triangle = self._closest(points)
        facing = (slope * self._normals[triangle]).sum(1)
        sign = np.where(facing < 0, -1.0, 1.0)
        return sign * distance, sign[:, None] * slope, np.abs(facing)

    def _closest(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        points = np.ascontiguousarray(points)
        squared, triangle, closest = self._tree.squared_distance(self._vertices, self._triangles, points)
        distance = np.sqrt(squared)
        slope = (points - closest) / np.maximum(distance, 1e-12)[:, None]
        on = distance < 1e-6
        slope[on] = self._normals[triangle[on]]
        return distance, slope, triangle
