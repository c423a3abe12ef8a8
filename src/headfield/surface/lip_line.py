"""Lips that meet: a baked mouth, which is an open sheet, is shut where the field's lips touch.

The topology of blendshapes has a slit between the lips (:mod:`headfield.surface.bake`). In the space of the neutral
head the two rims of that slit should lie on one line. They come to lie up to a few millimetres apart: where the lips
touch, the field has no surface that would say how far each of them reaches. So the rims are found once, as the last
vertices of either lip that lie on the neutral head's surface, and drawn to the line midway between them, with the skin
round them. In other shapes the same is done as far as the rims are no farther apart than at rest; lips that part, part.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..frames import MM_PER_UNIT
from ..neighbours import PointTree

ON_SURFACE = 0.4 / MM_PER_UNIT
"""Vertices up to this deep in the neutral head count as lying on its surface."""

PARTED = 1.5 / MM_PER_UNIT
"""Rims that are so much farther apart than at rest are not drawn together; half as much, by half."""

FADE = 4.0 / MM_PER_UNIT
"""Skin farther than this from the rim, on the opened mouth, is not drawn along."""

STATIONS = 41
"""Places along the mouth at which the middle between the rims is worked out."""

STRAY = 0.8 / MM_PER_UNIT
"""A vertex about as far from the others of its rim is none of it."""

FARTHEST = 3.0 / MM_PER_UNIT
"""No vertex is drawn farther."""

CORNER = 0.08
"""Share of the mouth's width over which the drawing sets in from either corner, where the lips are one."""

NEAREST = 4
"""Vertices of a rim whose mean draws a vertex beside it."""


@dataclass(frozen=True)
class LipLine:
    """The two rims of a baked mouth.

    Attributes:
        rims: Indices of the upper and of the lower rim's vertices.
        along: For each rim, where its vertices lie between the corners of the mouth, 0 to 1.
        drawn: For each rim, the vertices (N,) that are drawn with it.
        shares: For each rim, how far each of these follows which of the rim's vertices (N, R), sparse.
        resting: (STATIONS,) distance of the rims at rest, model units.
    """

    rims: tuple[np.ndarray, np.ndarray]
    along: tuple[np.ndarray, np.ndarray]
    drawn: tuple[np.ndarray, np.ndarray]
    shares: tuple
    resting: np.ndarray

    @staticmethod
    def of(
        opened: np.ndarray, neutral: np.ndarray, depth: np.ndarray, triangles: np.ndarray, region: np.ndarray
    ) -> LipLine | None:
        """The rims of one topology; None where the mouth has no slit.

        Args:
            opened: (V, 3) with the mouth open.
            neutral: (V, 3) at rest.
            depth: (V,) how deep the vertices lie in the head at rest, model units, negative outside.
            triangles: (F, 3).
            region: (V,) bool, lips and what is behind them.
        """
        on = depth < ON_SURFACE
        edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
        crossing = edges[region[edges].all(1) & (on[edges[:, 0]] != on[edges[:, 1]])]
        rim = np.unique(crossing[on[crossing]])
        if len(rim) < 8:
            return None
        middle = _middle_height(opened[rim])
        upper = opened[rim, 1] > middle(opened[rim, 0])
        rims = (rim[upper], rim[~upper])
        if min(map(len, rims)) < 4:
            return None
        low, high = neutral[rim, 0].min(), neutral[rim, 0].max()
        along = tuple((neutral[each, 0] - low) / (high - low) for each in rims)
        first, second = (_following(opened, each, other, region) for each, other in zip(rims, rims[::-1]))
        line = LipLine(rims, along, (first[0], second[0]), (first[1], second[1]), np.zeros(STATIONS))
        apart = np.linalg.norm(np.subtract(*line._curves(neutral)), axis=1)
        return LipLine(line.rims, line.along, line.drawn, line.shares, apart)

    def met(self, vertices: np.ndarray) -> np.ndarray:
        """Vertices (V, 3) of any shape with the lips drawn together where they are not parted."""
        stations = np.linspace(0, 1, STATIONS)
        curves = self._curves(vertices)
        apart = np.linalg.norm(curves[0] - curves[1], axis=1)
        share = np.clip(1 - (apart - self.resting) / PARTED, 0, 1)
        share *= np.clip(np.minimum(stations, 1 - stations) / CORNER, 0, 1)
        middle, out = (curves[0] + curves[1]) / 2, np.array(vertices, dtype=float)
        for rim, along, drawn, shares in zip(self.rims, self.along, self.drawn, self.shares):
            target = np.stack([np.interp(along, stations, middle[:, k]) for k in range(3)], axis=1)
            pull = target - vertices[rim]
            pull[:, 0] = 0.0  # rims come together, they do not slide along each other
            pull *= np.minimum(1, FARTHEST / np.maximum(np.linalg.norm(pull, axis=1), 1e-9))[:, None]
            out[drawn] += shares @ (np.interp(along, stations, share)[:, None] * pull)
        return out

    def _curves(self, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Both rims as smooth curves (STATIONS, 3): means of their vertices near each station."""
        stations, width = np.linspace(0, 1, STATIONS)[:, None], 1.5 / STATIONS
        curves = []
        for rim, along in zip(self.rims, self.along):
            nearest = np.abs(stations - along).min(1, keepdims=True)
            weight = np.exp(-0.5 * ((stations - along) / np.maximum(width, nearest)) ** 2)
            trust = np.ones(len(rim))
            for _ in range(3):  # a vertex of the other lip or of the mouth's wall may be among them
                shares = weight * trust
                curve = (shares / shares.sum(1, keepdims=True)) @ vertices[rim]
                there = np.stack([np.interp(along, stations[:, 0], curve[:, k]) for k in (1, 2)], axis=1)
                trust = 1 / (1 + (np.linalg.norm(vertices[rim, 1:] - there, axis=1) / STRAY) ** 2) ** 2
            curves.append(curve)
        return curves[0], curves[1]


def _middle_height(rim: np.ndarray):
    """Of an opened mouth's rim (R, 3), the height midway between upper and lower lip as a function of x."""
    left, right = rim[rim[:, 0].argmin()], rim[rim[:, 0].argmax()]
    places = np.linspace(left[0], right[0], 9)[1:-1]
    half = (right[0] - left[0]) / 8
    heights = []
    for x in places:
        y = rim[np.abs(rim[:, 0] - x) < half, 1]
        heights.append((y.min() + y.max()) / 2 if len(y) else (left[1] + right[1]) / 2)
    return lambda x: np.interp(x, [left[0], *places, right[0]], [left[1], *heights, right[1]])


def _following(opened: np.ndarray, rim: np.ndarray, other: np.ndarray, region: np.ndarray):
    """Vertices that follow a rim rather than the other one, and shares (N, R) of the rim's vertices in their pull."""
    from scipy.sparse import csr_array

    count = min(NEAREST, len(rim))
    near = np.flatnonzero(region)
    distance, index = PointTree(opened[rim]).query(opened[near], k=count)
    distance, index = distance.reshape(len(near), count), index.reshape(len(near), count)
    ours = (distance[:, 0] < FADE) & (distance[:, 0] <= PointTree(opened[other]).query(opened[near])[0])
    near, distance, index = near[ours], distance[ours], index[ours]
    weight = 1 / np.maximum(distance, 1e-5) ** 2
    weight *= ((1 - (distance[:, 0] / FADE) ** 2) ** 2 / weight.sum(1))[:, None]
    rows = np.repeat(np.arange(len(near)), count)
    return near, csr_array((weight.ravel(), (rows, index.ravel())), shape=(len(near), len(rim)))
