"""Turn a rigged head template into a closed solid with a fixed topology: kept skin, relaid neck, cap, closed lids."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_matrix, vstack
from scipy.sparse.csgraph import dijkstra

from headfield import frames
from headfield.parametric.meridians import Row, plan_neck, rows_matrix
from headfield.parametric.neck import NECK_ANCHORS, Frame, Neck
from headfield.parametric.topology import boundary_loops, edge_lengths_graph, mirror_pairs, symmetric_triangles

REST_BAND = 0.03
"""Geodesic width (metres on the template) above the relaid neck over which expressions fade in: the neck rests."""


@dataclass(frozen=True)
class SolidPlan:
    """How to make the closed solid from source vertices.

    Attributes:
        linear: (L, S) sparse: kept skin, eyeballs and the cones that close the lids, from the S source vertices.
        neck: How the L.. vertices of neck and cap are laid.
        triangles: (F, 3) into L + neck.n_vertices vertices.
        cap: (F,) bool.
        rest: (L,) 0 at the relaid neck to 1 beyond the band: factor on expressions.
        source_place: index in the solid of each vertex of the planned template that was kept, else -1.
        anchors: (39, S) sparse: the anchors from the source vertices.
    """

    linear: csr_matrix
    neck: Neck
    triangles: np.ndarray
    cap: np.ndarray
    rest: np.ndarray
    source_place: np.ndarray
    anchors: csr_matrix

    @property
    def n_linear(self) -> int:
        """Vertices that are linear in the source, L; expressions move only these."""
        return self.linear.shape[0]

    @property
    def n_vertices(self) -> int:
        """All vertices of the solid."""
        return self.n_linear + self.neck.n_vertices

    def place(self, source: np.ndarray) -> np.ndarray:
        """Indices in the solid of kept source vertices.

        Raises:
            ValueError: One of them was cut away.
        """
        where = self.source_place[np.asarray(source)]
        if (where < 0).any():
            raise ValueError(f"{(where < 0).sum()} of {len(where)} vertices lie below the neck's upper ring")
        return where

    def place_anchors(self, anchor_vertices: np.ndarray) -> np.ndarray:
        """Indices (39,) in the solid of the anchors; those of the neck lie on the relaid skin."""
        where = self.source_place[anchor_vertices].copy()
        where[NECK_ANCHORS] = self.n_linear + self.neck.anchor_vertices()
        return where

    def of_coarser(self, matrix: csr_matrix) -> SolidPlan:
        """The same solid from coarser vertices.

        Args:
            matrix: (S, N) sparse, the source vertices from the coarser ones (a subdivision).
        """
        neck = replace(self.neck, meridians=(self.neck.meridians @ matrix).tocsr())
        return replace(self, linear=(self.linear @ matrix).tocsr(), neck=neck, anchors=(self.anchors @ matrix).tocsr())

    def solid(self, source: np.ndarray) -> np.ndarray:
        """The solid's vertices (V, 3) of a neutral head from its source vertices (S, 3)."""
        return np.concatenate([self.linear @ source, self.neck.lay(source, self.anchors @ source)])

    def skin_rows(self, source: np.ndarray) -> csr_matrix:
        """The solid's vertices (V, S) as combinations of the source vertices near a head's own (S, 3); the cap has
        none, and sliding along the neck's skin is left out."""
        return vstack([self.linear, self.neck.skin_rows(source, self.anchors @ source)]).tocsr()


def plan_solid(
    template: np.ndarray, triangles: np.ndarray, anchor_vertices: np.ndarray, lids: list[tuple[np.ndarray, np.ndarray]]
) -> SolidPlan:
    """Plan the solid on a template in metres.

    Args:
        template: (S, 3) source vertices, mirror symmetric.
        triangles: (G, 3) skin, mouth bag and eyeballs; open at the neck's border and at the lids.
        anchor_vertices: (39,) into the source vertices.
        lids: For each eye the loop of vertices along the lid's inner edge, in the direction of its open boundary, and
            the eyeball's vertices, to whose mean a cone closes the loop, so that the closure hides in the eyeball.
    Raises:
        ValueError: The cut leaves other than one open boundary, or the neck ends too close to it.
    """
    triangles = symmetric_triangles(template, triangles)
    anchors = template[anchor_vertices]
    anchors = 0.5 * (anchors + frames.mirror_points(anchors[frames.MIRROR_PART]))
    frame = Frame.of(template, triangles, anchors)
    level = frame.above_top(template)
    level = 0.5 * (level + level[mirror_pairs(template, triangles)[0]])
    rows, kept = _cut(template, triangles, level)
    for loop, eyeball in lids:
        rows.append((eyeball, np.full(len(eyeball), 1.0 / len(eyeball))))
        cone = np.stack([np.roll(loop, -1), loop, np.full(len(loop), len(rows) - 1)], 1)
        kept = np.concatenate([kept, cone])
    open_loops = boundary_loops(kept)
    if len(open_loops) != 1:
        raise ValueError(f"above the neck {len(open_loops)} open boundaries remain, expected 1")
    used = np.unique(kept)
    renumber = np.full(len(rows), -1)
    renumber[used] = np.arange(len(used))
    neck = plan_neck(template, triangles, frame, [rows[i] for i in open_loops[0]], anchor_vertices)
    kept, ring = renumber[kept], renumber[open_loops[0]]
    linear = rows_matrix([rows[i] for i in used], len(template))
    neck_triangles, neck_cap = neck.triangles(ring, len(used))
    distance = dijkstra(edge_lengths_graph(linear @ template, kept), indices=ring, min_only=True)
    distance[~np.isfinite(distance)] = 1.0  # the eyeballs
    return SolidPlan(
        linear=linear,
        neck=neck,
        triangles=np.concatenate([kept, neck_triangles]),
        cap=np.concatenate([np.zeros(len(kept), dtype=bool), neck_cap]),
        rest=_smoothstep(distance / REST_BAND),
        source_place=renumber[: len(template)],
        anchors=rows_matrix([(np.array([i]), np.ones(1)) for i in anchor_vertices], len(template)),
    )


def _cut(template: np.ndarray, triangles: np.ndarray, level: np.ndarray) -> tuple[list[Row], np.ndarray]:
    """Clip triangles to level >= 0; returns one row per vertex and triangles into them."""
    shortest = np.full(len(template), np.inf)
    for a, b in ((0, 1), (1, 2), (2, 0)):
        length = np.linalg.norm(template[triangles[:, a]] - template[triangles[:, b]], axis=1)
        np.minimum.at(shortest, triangles[:, a], length)
        np.minimum.at(shortest, triangles[:, b], length)
    level = np.where(np.abs(level) < 0.3 * shortest, 0.0, level)  # snap: no slivers along the cut
    rows: list[Row] = [(np.array([i]), np.ones(1)) for i in range(len(template))]
    crossing: dict[tuple[int, int], int] = {}

    def on_edge(a: int, b: int) -> int:
        key = (min(a, b), max(a, b))
        if key not in crossing:
            share = level[key[0]] / (level[key[0]] - level[key[1]])
            crossing[key] = len(rows)
            rows.append((np.array(key), np.array([1.0 - share, share])))
        return crossing[key]

    values = level[triangles]
    whole = triangles[(values >= 0).all(1) & (values > 0).any(1)]
    clipped = []
    for triangle in triangles[(values > 0).any(1) & (values < 0).any(1)].tolist():
        polygon = []
        for a, b in zip(triangle, triangle[1:] + triangle[:1]):
            if level[a] >= 0:
                polygon.append(a)
            if level[a] * level[b] < 0:
                polygon.append(on_edge(a, b))
        clipped.extend([polygon[0], polygon[k], polygon[k + 1]] for k in range(1, len(polygon) - 1))
    return rows, np.concatenate([whole, np.array(clipped, dtype=int).reshape(-1, 3)])


def _smoothstep(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)
