"""Joins of a head's parts as a photograph shows them: moist and round, not as two surfaces that pass each other by.

A lid's inner face lies in the eyeball, or a fraction of a millimetre off it; lips touch in a slit, or pass through each
other. As a union of two bodies that is a crease, or a slit that no field of heads can hold: it frays into rags and
holes. Here the distances to two surfaces are joined smoothly, and points of either surface that the join covers are
moved onto it. `Join` is what all joins do, `RolledJoin` how; `EyeSeal` joins lids to eyeballs, and
:class:`headfield.synth.lips.LipSeal` upper to lower lip.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from headfield.errors import need
from headfield.frames import MM_PER_UNIT
from headfield.synth.gaze import Eye
from headfield.synth.noise import smoothstep

EYE_RADIUS = 1.5 / MM_PER_UNIT
"""Radius of the join between lids and eyeballs, model units. anny's heads have pits of 3 mm in the corners of their
eyes, where real ones have flesh; they are narrower than this ball."""

PASSING = 2.0 / MM_PER_UNIT
"""What lies farther behind a surface's triangles has not passed through it: it is on the other side of the flesh."""

_LIFT = 0.05 / MM_PER_UNIT

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


class RolledJoin(Join):
    """A join that is as round as a ball of a given radius that rolls along both surfaces: what it cannot reach is
    filled.

    That is exact for two planes under any angle, and near enough for lips and lids: it leaves them as they are wherever
    only one of them is near, closes any slit that is narrower than the ball, and meets them without a crease.

    Args:
        one, other: The two surfaces.
        radius: Of the ball, model units.
        inside_skin: From points (N, 3) to bool (N,): in the flesh.
    """

    def __init__(self, one: Surface, other: Surface, radius: float, inside_skin) -> None:
        self._inside, self._upper, self._lower = inside_skin, one, other
        self.there = one.there and other.there
        self.farthest = self.radius = radius

    def lower(self, points: np.ndarray, distance: np.ndarray) -> np.ndarray:
        """Signed distances (N,) of the unjoined head at points (N, 3), with the join; none rises.

        Deep between the lips the ball tells no distance any more: there it is the one to the nearest surface that is
        left, or the radius.
        """
        distance = distance.copy()
        which = np.flatnonzero(self.near(points) & (np.abs(distance) < self.radius))
        if len(which) and self.there:
            value, _, filled = self._rolled(points[which])
            deepest = -np.maximum(np.abs(distance[which]), self.radius)
            lowered = np.minimum(distance[which], np.maximum(value, deepest))
            distance[which] = np.where(filled, lowered, distance[which])
        return distance

    def joined(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The joined signed distance (N,) at points (N, 3) near the surface, and its gradient (N, 3)."""
        return self._rolled(points)[:2]

    def covers(self, points: np.ndarray) -> np.ndarray:
        """Whether points (N, 3) lie under the join: bool (N,)."""
        found = np.zeros(len(points), dtype=bool)
        which = np.flatnonzero(self.near(points))
        if len(which) and self.there:
            value, _, filled = self._rolled(points[which])
            found[which] = filled & (value < 0)
        return found

    def _rolled(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Distance (N,) to the surface of what the ball cannot reach, its gradient (N, 3), and where (N,) bool both
        surfaces hold the ball off.

        The nearest place for the ball's centre is the shortest x with u.x >= a and l.x >= b, where u and l are the
        gradients of the distances to the two surfaces, a and b what they lack to the radius.
        """
        up, first, facing_up = self._upper.ask_signed(points)
        low, second, facing_low = self._lower.ask_signed(points)
        r = self.radius
        up, low = self._passed(points, up, low, first, second)
        a, b = (self._lack(*pair) for pair in ((up, facing_up), (low, facing_low)))
        cosine = (first * second).sum(1)
        rest = np.maximum(1.0 - cosine**2, 1e-6)
        one, two = (a - b * cosine) / rest, (b - a * cosine) / rest
        both = (one > 0) & (two > 0)
        alone = np.where(a > b, a, b)
        centre = np.where(both[:, None], one[:, None] * first + two[:, None] * second, 0.0)
        away = np.linalg.norm(centre, axis=1)
        slope = np.where(both[:, None], centre / np.maximum(away, 1e-12)[:, None],
                         np.where((a > b)[:, None], first, second))  # fmt: skip
        return r - np.where(both, away, alone), slope, both

    def _passed(self, points, up, low, first, second) -> tuple[np.ndarray, np.ndarray]:
        """The distances (N,) with those behind a lip taken away, unless the points lie in flesh or, being skin, look
        into it: lips are thin, and their other side faces the other way, too."""
        behind = np.flatnonzero((up < 0) | (low < 0))
        if len(behind):
            own = np.where((np.abs(up) < np.abs(low))[:, None], first, second)[behind]
            free = behind[~self._inside(points[behind] + _LIFT * own)]
            up, low = up.copy(), low.copy()
            up[free] = np.where((up[free] < 0) & (np.abs(up[free]) > np.abs(low[free])), np.inf, up[free])
            low[free] = np.where((low[free] < 0) & (np.abs(low[free]) > np.abs(up[free])), np.inf, low[free])
        return up, low

    def _lack(self, distance: np.ndarray, facing: np.ndarray) -> np.ndarray:
        """What points (N,) lack to a lip to be the ball's radius off it; far below zero where the lip says nothing of
        them: beyond its border its triangles' planes are not the skin's, far behind it is the flesh's other side."""
        told = smoothstep((facing - 0.3) / 0.35) * smoothstep(2.0 + distance / PASSING)
        distance = np.clip(distance, -2.0 * PASSING, 8.0 * self.radius)
        return self.radius - distance - (6.0 * self.radius + 2.0 * PASSING) * (1.0 - told)


class EyeSeal(RolledJoin):
    """The joins between lids and eyeballs of one head at one instant.

    Args:
        vertices: (V, 3) model frame.
        triangles: (F, 3).
        seen: (F,) bool, which of them are surface: eyeballs behind closed lids have no join.
        eyes: The eyeballs, with their centres as they are now.
        inside_skin: From points (N, 3) to bool (N,): inside any component.
    """

    def __init__(self, vertices: np.ndarray, triangles: np.ndarray, seen: np.ndarray, eyes: Sequence[Eye], inside_skin):
        ball = np.zeros(len(vertices), dtype=bool)
        for eye in eyes:
            ball[eye.vertices] = True
        of_ball = ball[triangles].all(1)
        self._centres = np.array([eye.centre for eye in eyes]).reshape(-1, 3)
        self._radii = np.array([eye.radius for eye in eyes])
        near = self.near(vertices)[triangles].any(1)
        lids = Surface(vertices, triangles[seen & ~of_ball & near])
        super().__init__(lids, Surface(vertices, triangles[seen & of_ball]), EYE_RADIUS, inside_skin)

    def near(self, points: np.ndarray) -> np.ndarray:
        """Whether a join may be near points (N, 3): bool (N,)."""
        if not len(self._centres):
            return np.zeros(len(points), dtype=bool)
        away = np.linalg.norm(points[:, None] - self._centres, axis=2) - self._radii
        return (np.abs(away) < _REACH).any(1)


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
