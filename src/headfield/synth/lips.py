"""Lips that meet: closed, they are one seam with a shallow round groove; open, the corners of the mouth are round.

Upper and lower lip are joined by the ball that rolls along both (:class:`headfield.synth.seal.RolledJoin`): it closes
any slit that is narrower than the ball, whether lips touch, gape a little or pass through each other. The cavity of an
open mouth, wider than the ball, stays open.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from headfield.frames import MM_PER_UNIT
from headfield.parametric.normalise import normalising_similarity
from headfield.parametric.topology import edge_lengths_graph
from headfield.synth.seal import RolledJoin, Surface
from headfield.synth.sheet import Sheet

CLOSED_RADIUS = 1.5 / MM_PER_UNIT
"""Radius of the groove between closed lips, model units: slits up to twice as wide are closed. A mouth counts as open
when its lips are 3 mm further apart than at rest."""

OPEN_RADIUS = 1.0 / MM_PER_UNIT
"""Radius of the corners of an open mouth, model units."""

LIP_WIDTH, LIP_DEPTH = 10.0 / MM_PER_UNIT, 8.0 / MM_PER_UNIT
"""How far a lip reaches from the line where the lips meet, along the skin, outwards and into the mouth, model units."""

LID_WIDTH = 6.0 / MM_PER_UNIT
"""The same of lids."""

_LIPS = (
    ((60, 61, 62, 63, 64), (48, 49, 50, 51, 52, 53, 54)),
    ((60, 67, 66, 65, 64), (48, 59, 58, 57, 56, 55, 54)),
    (60, 64, 48, 54),
)
_LIDS = (
    (((36, 37, 38, 39),), ((36, 41, 40, 39),), (36, 39)),
    (((42, 43, 44, 45),), ((42, 47, 46, 45),), (42, 45)),
)
"""Of the 68 landmarks: what contours of an opening's upper and lower part go through, and its corners."""

_CORNER = 5.0 / MM_PER_UNIT
"""Contours end this far before the corners, so that both parts come as near to them."""


@dataclass(frozen=True)
class Pair:
    """Which triangles of a family are two lips, or the two lids of an eye.

    Attributes:
        upper, lower: (n, 3) and (m, 3), on both sides of the line where the two meet; they share no triangle.
    """

    upper: np.ndarray
    lower: np.ndarray


def lips_of(head, sheet: Sheet) -> Pair | None:
    """The lips of a family, None where it has no mouth: what lies nearer to the upper lip's inner contour, along the
    skin, is upper lip.

    Args:
        head: The parametric family.
        sheet: Its topology.
    """
    vertices = _typical(head)
    if np.ptp(head.landmarks68(vertices)[60:68], axis=0).max() < LIP_WIDTH:
        return None
    return Pair(*_nearer(head, vertices, sheet, LIP_WIDTH, *_LIPS))


def lids_of(head, sheet: Sheet) -> tuple[Pair, ...]:
    """The lids of a family's two eyes; none where it has no eyes. `head` and `sheet` as of `lips_of`."""
    vertices = _typical(head)
    if np.ptp(head.landmarks68(vertices)[36:48], axis=0).max() < LIP_WIDTH:
        return ()
    return tuple(Pair(*_nearer(head, vertices, sheet, LID_WIDTH, *eye)) for eye in _LIDS)


def _typical(head) -> np.ndarray:
    """Vertices (V, 3) of one head of the family in the model frame."""
    vertices = head.raw_vertices(head.draw_identity(np.random.default_rng(0)))
    return normalising_similarity(head.anchors(vertices)).apply(vertices)


def _nearer(
    head,
    vertices: np.ndarray,
    sheet: Sheet,
    width: float,
    upper: tuple[tuple[int, ...], ...],
    lower: tuple[tuple[int, ...], ...],
    corners: tuple[int, ...],
) -> list[np.ndarray]:
    """Triangles (n, 3) near contours above and below an opening; what lies nearer to the ones, along the skin of
    `vertices` (V, 3), is not the others'."""
    places = np.asarray(head.landmark_rows.argmax(1)).ravel()
    ends = vertices[places[list(corners)]]
    low, high = ends.min(0) - 0.12, ends.max(0) + 0.12  # 30 mm
    around = ((vertices > low) & (vertices < high)).all(1)[sheet.triangles].all(1)
    graph = edge_lengths_graph(vertices, sheet.triangles[around])
    away = []
    for contours in (upper, lower):
        seeds = np.concatenate([_contour(graph, places[list(contour)]) for contour in contours])
        seeds = np.unique(seeds[cKDTree(ends).query(vertices[seeds])[0] > _CORNER])
        away.append(dijkstra(graph, indices=seeds, min_only=True)[sheet.triangles])
    limit = np.where(sheet.bag, min(LIP_DEPTH, width), width)[:, None]
    near = around & (np.minimum(*away) < limit).all(1)
    first = away[0].sum(1) < away[1].sum(1)
    return [sheet.triangles[near & first], sheet.triangles[near & ~first]]


def _contour(graph: csr_matrix, stops: np.ndarray) -> np.ndarray:
    """Vertices (n,) on the shortest paths between consecutive ones."""
    found = [stops]
    for row, stop in zip(dijkstra(graph, indices=stops[:-1], return_predecessors=True)[1], stops[1:]):
        path = [stop]
        while row[path[-1]] >= 0:
            path.append(row[path[-1]])
        found.append(np.array(path))
    return np.unique(np.concatenate(found))


class LipSeal(RolledJoin):
    """The join of upper and lower lip of one head at one instant.

    Args:
        vertices: (V, 3) model frame.
        lips: Which triangles are the lips.
        radius: Of the ball that rolls along them, model units.
        inside_skin: From points (N, 3) to bool (N,): in the flesh.
    """

    def __init__(self, vertices: np.ndarray, lips: Pair, radius: float, inside_skin) -> None:
        super().__init__(Surface(vertices, lips.upper), Surface(vertices, lips.lower), radius, inside_skin)
        self._used = np.unique(np.concatenate([lips.upper, lips.lower]))
        self._corners = vertices[self._used]
        self._box = np.array([self._corners.min(0) - radius, self._corners.max(0) + radius])

    def near(self, points: np.ndarray) -> np.ndarray:
        """Whether the join may be near points (N, 3): bool (N,)."""
        return ((points > self._box[0]) & (points < self._box[1])).all(1)

    def covered(self) -> np.ndarray:
        """The lips' vertices (n,) that the join buries so deep that they are no surface."""
        if not self.there:
            return self._used[:0]
        value, _, filled = self._rolled(self._corners)
        return self._used[filled & (value < -0.5 * self.radius)]
