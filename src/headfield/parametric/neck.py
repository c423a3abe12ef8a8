"""The neck of a closed head: skin laid anew along meridians, cut exactly by the head's own plane, and capped.

Necks differ most where they flare into the shoulders, so the cut cannot be a fixed set of vertices. The template's
neck is therefore cut away at an upper ring and replaced by meridians that run down the skin from each ring vertex.
A meridian's points are fixed combinations of the template's vertices, so they lie on every head's own skin. Per head
each meridian ends where it meets the head's own plane; rows of vertices are laid between, and a flat cap closes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_matrix, vstack

from headfield import frames
from headfield.parametric.normalise import normalising_similarity

CUT_BELOW = 0.03
"""The cut lies this far below the throat and neck-side anchors, in model units (about 8 mm of an adult), so that
those anchors stay inside the kept skin."""

OWN_TILT = 0.5
"""How much of the tilt of the plane through the head's own throat and neck-side anchors the cut takes; the rest is the
model frame's horizontal. The full tilt varies by 20 degrees between heads and cuts a thin wedge out of some backs."""

TOP_FRONT, TOP_BACK = 0.014, 0.040
"""Height in metres of the upper ring above the template's cut, at the throat and at the back of the neck."""

REACH_BELOW = 0.045
"""How far in metres the meridians reach below the template's cut; beyond the template's border they bend downward."""

UPPER, LOWER = 10, 24
"""Points of a meridian from the upper ring to the anchors' plane, and from there down."""

ROWS_UPPER, ROWS_LOWER = 5, 4
"""Rows of vertices laid from the upper ring to the anchors' plane, and from there to the cut."""

NECK_ANCHORS = frames.anchor_indices(["throat", "neck_side_left", "neck_side_right"])
"""Anchors that lie on the relaid skin: their meridians pass through them exactly."""


def anchor_plane(anchors: np.ndarray) -> tuple[np.ndarray, float]:
    """Plane through the throat and neck-side anchors: unit normal pointing up and offset.

    Args:
        anchors: (39, 3) anchors of the neutral head, metres.
    """
    up = normalising_similarity(anchors).rotation[1]  # the model frame's y axis, seen from the head's own frame
    throat, left, right = anchors[NECK_ANCHORS]
    normal = np.cross(right - throat, left - throat)
    normal = normal * np.sign(normal @ up) / np.linalg.norm(normal)
    return normal, float(normal @ throat)


def neck_plane(anchors: np.ndarray) -> tuple[np.ndarray, float]:
    """The head's own cutting plane: unit normal (3,) pointing up and offset c, with height(x) = x . normal - c.

    Args:
        anchors: (39, 3) anchors of the neutral head, metres.
    """
    placement = normalising_similarity(anchors)
    normal = OWN_TILT * anchor_plane(anchors)[0] + (1.0 - OWN_TILT) * placement.rotation[1]
    normal = normal / np.linalg.norm(normal)
    throat, left, right = anchors[NECK_ANCHORS]
    middle = 0.5 * throat + 0.25 * (left + right)
    return normal, float(normal @ middle) - CUT_BELOW / placement.scale


@dataclass(frozen=True)
class Frame:
    """Cylinder coordinates of the template's neck: an axis through `origin` along `up`, azimuth 0 to the front."""

    origin: np.ndarray
    up: np.ndarray
    front: np.ndarray
    offset: float

    @staticmethod
    def of(template: np.ndarray, triangles: np.ndarray, anchors: np.ndarray) -> Frame:
        """The axis through the middle of the neck's section 15 mm above the template's cut."""
        up, offset = neck_plane(anchors)
        front = np.array([0.0, 0.0, 1.0])
        front = front - (front @ up) * up
        front /= np.linalg.norm(front)
        height = template @ up - offset - 0.015
        edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
        edges = edges[height[edges[:, 0]] * height[edges[:, 1]] < 0]
        near = np.linalg.norm(template[edges[:, 0]] - anchors[NECK_ANCHORS].mean(0), axis=1) < 0.15
        section = template[edges[near, 0]]
        middle = 0.5 * (section.max(0) + section.min(0)) * np.array([0.0, 1.0, 1.0])
        return Frame(middle - (middle @ up - offset) * up, up, front, offset)

    @cached_property
    def side(self) -> np.ndarray:
        """(3,) to the subject's left."""
        return np.cross(self.up, self.front)

    def height(self, points: np.ndarray) -> np.ndarray:
        """Height above the template's cut."""
        return points @ self.up - self.offset

    def azimuth(self, points: np.ndarray) -> np.ndarray:
        """Angle around the axis, 0 to the front, positive to the subject's left."""
        relative = points - self.origin
        return np.arctan2(relative @ self.side, relative @ self.front)

    def above_top(self, points: np.ndarray) -> np.ndarray:
        """Height above the upper ring's level at the same azimuth."""
        back = 0.5 - 0.5 * np.cos(self.azimuth(points))
        return self.height(points) - (TOP_FRONT + (TOP_BACK - TOP_FRONT) * back)

    def ray(self, azimuth: float, height: float) -> tuple[np.ndarray, np.ndarray]:
        """Point on the axis and outward direction."""
        return self.origin + height * self.up, np.cos(azimuth) * self.front + np.sin(azimuth) * self.side


@dataclass(frozen=True)
class Neck:
    """How a head's neck is laid; see the module's text.

    Attributes:
        meridians: (R * (UPPER + LOWER), S) sparse: points of the R meridians from the source vertices; zero rows
            beyond the template's border.
        on_skin: (R,) how many points of each meridian lie on the template's skin.
        anchor_meridians: (3,) which meridians carry `NECK_ANCHORS`, at point UPPER - 1.
        cap_scale: (n,) radii of the cap's inner rings relative to the outer.
    """

    meridians: csr_matrix
    on_skin: np.ndarray
    anchor_meridians: np.ndarray
    cap_scale: np.ndarray

    @property
    def n_ring(self) -> int:
        """Vertices around the neck, R."""
        return self.meridians.shape[0] // (UPPER + LOWER)

    @property
    def n_rows(self) -> int:
        """Rows of vertices below the upper ring; the last one is the cut."""
        return ROWS_UPPER + ROWS_LOWER

    @property
    def n_vertices(self) -> int:
        """Vertices that `lay` returns."""
        return self.n_ring * (self.n_rows + len(self.cap_scale)) + 1

    def anchor_vertices(self) -> np.ndarray:
        """Places (3,) of `NECK_ANCHORS` among the laid vertices."""
        return (ROWS_UPPER - 1) * self.n_ring + self.anchor_meridians

    def lay(self, source: np.ndarray, anchors: np.ndarray) -> np.ndarray:
        """Rows, cap rings and the cap's centre (n_vertices, 3) of one neutral head.

        Args:
            source: (S, 3) source vertices, metres.
            anchors: (39, 3) the head's own anchors.
        """
        normal, offset = neck_plane(anchors)
        points = (self.meridians @ source).reshape(self.n_ring, UPPER + LOWER, 3)
        index, share = self._rows_at(points, normal, offset)
        share = share[..., None]
        ring = np.arange(self.n_ring)
        laid = (1.0 - share) * points[ring, index] + share * points[ring, index + 1]
        cut = laid[-1]
        cut -= (cut @ normal - offset)[:, None] * normal
        centre = _centroid(cut, normal)
        inner = centre + self.cap_scale[:, None, None] * (cut - centre)
        return np.concatenate([laid.reshape(-1, 3), inner.reshape(-1, 3), centre[None]])

    def skin_rows(self, source: np.ndarray, anchors: np.ndarray) -> csr_matrix:
        """The laid rows as combinations (n_vertices, S) of the source vertices, all zero for the cap.

        Args:
            source: (S, 3) source vertices, metres.
            anchors: (39, 3) the head's own anchors.
        """
        normal, offset = neck_plane(anchors)
        points = (self.meridians @ source).reshape(self.n_ring, UPPER + LOWER, 3)
        index, share = self._rows_at(points, normal, offset)
        at = (np.arange(self.n_ring) * (UPPER + LOWER) + index).ravel()
        last = np.repeat(self.on_skin[None] - 1, self.n_rows, axis=0).ravel() + np.tile(
            np.arange(self.n_ring) * (UPPER + LOWER), self.n_rows
        )
        # beyond the template's border the skin runs on with its last point
        first, second = np.minimum(at, last), np.minimum(at + 1, last)
        count = self.n_ring * self.n_rows
        rows = np.concatenate([np.arange(count)] * 2)
        values = np.concatenate([1.0 - share.ravel(), share.ravel()])
        laid = csr_matrix((values, (rows, np.concatenate([first, second]))), shape=(count, self.meridians.shape[0]))
        return vstack([laid @ self.meridians, csr_matrix((self.n_vertices - count, self.meridians.shape[1]))]).tocsr()

    def _rows_at(self, points: np.ndarray, normal: np.ndarray, offset: float) -> tuple[np.ndarray, np.ndarray]:
        """Where on the meridians (R, UPPER + LOWER, 3) the rows lie: point (n_rows, R) and share of the way to the
        next; meridians that end early are continued in place."""
        self._run_on(points, normal)
        height = points @ normal - offset
        last = height.shape[1] - 1
        # the lowest crossing: chins and shoulders may dip below the plane further up
        above = np.where((height > 0).any(1), last - np.argmax(height[:, ::-1] > 0, axis=1), 0)
        above = np.minimum(above, last - 1)
        ring = np.arange(self.n_ring)
        upper, lower = height[ring, above], height[ring, above + 1]
        fall = np.where(upper - lower > 1e-6, upper - lower, 1e-6)
        end = np.clip(above + upper / fall, 1.0, last + 0.5 * LOWER)
        middle = np.minimum(UPPER - 1.0, end - 0.7)
        rows = [k / ROWS_UPPER * middle for k in range(1, ROWS_UPPER + 1)]
        rows += [middle + k / ROWS_LOWER * (end - middle) for k in range(1, ROWS_LOWER + 1)]
        at = np.stack(rows)
        index = np.clip(np.floor(at).astype(int), 0, last - 1)
        return index, at - index

    def _run_on(self, points: np.ndarray, normal: np.ndarray) -> None:
        """Past the template's border a meridian goes on half in its own last direction, half straight down."""
        step = REACH_BELOW / LOWER
        for r in np.flatnonzero(self.on_skin < UPPER + LOWER):
            n = self.on_skin[r]
            own = points[r, n - 1] - points[r, n - 4]
            own = own / np.linalg.norm(own)
            direction = own - normal * (1.0 + max(own @ normal, 0.0))
            direction /= max(-(direction @ normal), 1e-9)  # unit fall
            count = UPPER + LOWER - n
            points[r, n:] = points[r, n - 1] + step * np.arange(1, count + 1)[:, None] * direction

    def triangles(self, top_ring: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
        """Triangles of rows and cap, and which are the cap.

        Args:
            top_ring: (R,) indices of the upper ring, in the direction of its open boundary.
            start: Index of the first laid vertex.
        """
        n = self.n_ring
        circles = [np.asarray(top_ring)]
        circles += [start + k * n + np.arange(n) for k in range(self.n_rows + len(self.cap_scale))]
        parts = []
        for outer, inner in zip(circles, circles[1:]):
            ahead = np.roll(outer, -1)
            parts.append(np.stack([ahead, outer, inner], 1))
            parts.append(np.stack([ahead, inner, np.roll(inner, -1)], 1))
        centre = np.full(n, start + self.n_vertices - 1)
        parts.append(np.stack([np.roll(circles[-1], -1), circles[-1], centre], 1))
        triangles = np.concatenate(parts)
        return triangles, np.arange(len(triangles)) >= 2 * n * self.n_rows


def _centroid(ring: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Area centroid of a planar polygon (R, 3)."""
    start = ring.mean(0)
    a, b = ring - start, np.roll(ring, -1, 0) - start
    area = np.cross(a, b) @ normal
    return start + (area[:, None] * (a + b)).sum(0) / (3.0 * area.sum())


def cap_scales(ring: np.ndarray) -> np.ndarray:
    """Radii of the cap's inner rings so that its triangles are about as large as the skin's.

    Args:
        ring: (R, 3) the template's cut.
    """
    radius = np.linalg.norm(ring - ring.mean(0), axis=1).mean()
    edge = np.linalg.norm(ring - np.roll(ring, -1, 0), axis=1).mean()
    n_rings = int(np.clip(round(radius / edge), 3, 8))
    return 1.0 - np.arange(1, n_rings) / n_rings
