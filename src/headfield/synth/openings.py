"""Openings of the skin as an artist would end them: nostrils are cups, the neck stands on a level, rounded foot.

Both act on the vertices of a head, so that samples, signs, distances and correspondences follow by themselves:

* a nostril's vertices deeper than `NOSTRIL_DEPTH` behind its rim are laid anew as a thin plate under tension that spans
  the rest, a fixed linear map of a family;
* the neck's lowest vertices slide along the model frame's vertical until the cut is level at the height that the throat
  and neck-side anchors give, and the rows beside the rim round it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix, diags, eye
from scipy.sparse.csgraph import dijkstra
from scipy.sparse.linalg import splu

from headfield.frames import MM_PER_UNIT
from headfield.parametric.neck import CUT_BELOW, NECK_ANCHORS
from headfield.parametric.normalise import normalising_similarity
from headfield.parametric.topology import components, edge_lengths_graph
from headfield.synth.sheet import Sheet

NOSTRIL_DEPTH = 4.0 / MM_PER_UNIT
"""Walls of a nostril are kept so far behind the rim (along the skin of the head that `make_sheet` looks at); what is
deeper is the bottom."""

NOSTRIL_NEAR = 9.0 / MM_PER_UNIT
"""A patch of hidden skin is a nostril's when some of it lies so near to the middle between wing and septum."""

TENSION = 0.3
"""Share of the membrane in the bottom's equation; the rest is the thin plate, which goes on in the walls' direction."""

RIM_RADIUS = 2.0 / MM_PER_UNIT
"""Radius of the neck's rim."""


@dataclass(frozen=True)
class Openings:
    """How the openings of one family's heads are ended.

    Attributes:
        bottom: (n,) vertices of the nostrils' bottoms.
        around: (m,) vertices that hold them.
        lay: (n, m) the bottoms from what holds them.
        rim: (R,) vertices of the neck's cut; empty for a head without a cap. The next row of skin is R before them, the
            cap's first ring R behind.
        cap: Vertices (C,) of the cap, the rim among them.
        slides: (V,) share of the cut's slide that each vertex takes: 1 at the cut, 0 from chin and nape up.
    """

    bottom: np.ndarray
    around: np.ndarray
    lay: np.ndarray
    rim: np.ndarray
    cap: np.ndarray
    slides: np.ndarray

    @staticmethod
    def of(head, sheet: Sheet) -> Openings:
        """Of a family.

        Args:
            head: The parametric family.
            sheet: Its topology.
        """
        vertices = head.raw_vertices(head.draw_identity(np.random.default_rng(0)))
        vertices = normalising_similarity(head.anchors(vertices)).apply(vertices)
        bottom, around, lay = _bottoms(vertices, sheet, head.landmarks68(vertices))
        cap = np.unique(sheet.triangles[sheet.cap])
        rim = np.intersect1d(cap, sheet.triangles[~sheet.cap])
        slides = 1.0 - head.turning_share if len(rim) else np.zeros(len(vertices))
        return Openings(bottom, around, lay, rim, cap, slides)

    def apply(self, vertices: np.ndarray, anchors: np.ndarray) -> np.ndarray:
        """Vertices (V, 3) of a head with any expression, with ended openings.

        Args:
            vertices: (V, 3) model frame; the neck is at rest.
            anchors: (39, 3) of the neutral head, model frame.
        """
        vertices = np.array(vertices, dtype=float)
        if len(self.bottom):
            vertices[self.bottom] = self.lay @ vertices[self.around]
        if len(self.rim):
            vertices[:, 1] += self.slides * _rise(vertices, self.cap, level(anchors))
            self._round(vertices)
        return vertices

    def _round(self, vertices: np.ndarray) -> None:
        """Lay the rows beside the rim on a quarter of a circle, in place: the skin's last row where it begins, the rim
        in its middle, the cap's first ring where it ends."""
        n = len(self.rim)
        above, ring = self.rim - n, self.rim + n
        cut = vertices[self.rim]
        middle = cut.mean(0)
        along = np.roll(cut, -1, axis=0) - np.roll(cut, 1, axis=0)
        inward = np.stack([-along[:, 2], np.zeros(n), along[:, 0]], axis=1)
        inward /= np.maximum(np.linalg.norm(inward, axis=1, keepdims=True), 1e-12)
        inward *= np.sign((inward * (middle - cut)).sum(1).mean())
        slope = vertices[above] - cut
        start = cut + slope * (RIM_RADIUS / np.maximum(slope[:, 1:2], 2 * RIM_RADIUS / 3))
        # where the skin leans the arc keeps its ends on skin and cap
        end = cut + RIM_RADIUS * inward
        share = 1.0 - np.sqrt(0.5)
        vertices[above] = start
        vertices[self.rim] = cut + share * (start - cut) + share * (end - cut)
        vertices[ring] = end


def _rise(vertices: np.ndarray, cap: np.ndarray, height: float) -> np.ndarray:
    """How far (V,) the level plane at a height lies above the plane of the cap (C,) at each vertex."""
    terms = np.column_stack([vertices[:, [0, 2]], np.ones(len(vertices))])
    plane = np.linalg.lstsq(terms[cap], vertices[cap, 1], rcond=None)[0]
    return height - terms @ plane


def level(anchors: np.ndarray) -> float:
    """Height of the level cut in the model frame: `CUT_BELOW` under the middle of the neck's anchors.

    Args:
        anchors: (39, 3) of the neutral head, model frame.
    """
    throat, left, right = np.asarray(anchors, dtype=float)[NECK_ANCHORS]
    return float(0.5 * throat[1] + 0.25 * (left[1] + right[1])) - CUT_BELOW


def _bottoms(vertices: np.ndarray, sheet: Sheet, landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The nostrils' bottoms (n,), what holds them (m,), and the first from the second (n, m)."""
    triangles = sheet.triangles
    nothing = np.zeros(0, dtype=np.int64)
    middles = (landmarks[[32, 34]] + landmarks[[31, 35]]) / 2
    hidden = np.flatnonzero(sheet.interior & ~sheet.bag)
    if not len(hidden):
        return nothing, nothing, np.zeros((0, 0))
    label = components(triangles[hidden])
    gap = np.linalg.norm(vertices[triangles[hidden]].mean(1)[:, None] - middles, axis=2).min(1)
    own = np.zeros(len(triangles), dtype=bool)
    own[hidden[np.isin(label, label[gap < NOSTRIL_NEAR])]] = True
    graph = edge_lengths_graph(vertices, triangles)
    inner = np.setdiff1d(triangles[own], triangles[~own])
    if not len(inner):
        return nothing, nothing, np.zeros((0, 0))
    rim = np.setdiff1d(triangles[own], inner)
    distance = dijkstra(graph, indices=rim, min_only=True, limit=0.5)
    bottom = inner[distance[inner] > NOSTRIL_DEPTH]
    if not len(bottom):
        return nothing, nothing, np.zeros((0, 0))
    link = csr_matrix((np.ones(graph.nnz), graph.indices, graph.indptr), graph.shape)
    mean = diags(1.0 / np.maximum(np.asarray(link.sum(1)).ravel(), 1)) @ link
    laplace = (eye(len(vertices)) - mean).tocsr()
    rows = (TENSION * laplace + (1.0 - TENSION) * (laplace @ laplace)).tocsr()[bottom]
    around = np.setdiff1d(np.unique(rows.indices), bottom)
    lay = -splu(rows[:, bottom].tocsc()).solve(rows[:, around].toarray())
    return bottom, around, lay
