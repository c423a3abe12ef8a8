"""Turn a rigged head template into a closed solid: cut the neck by the head's own plane, cap it, close the lids.

Everything that is linear in the vertices is done once on the bases (`SolidPlan.linear`, a sparse matrix). What depends
on the head's own plane is done per head (`SolidPlan.finish`): the cut ring slides along the neck's skin onto the plane,
a band above follows smoothly, and the cap is laid over the ring. Topology is the same for all heads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from headfield import frames
from headfield.parametric.normalise import normalising_similarity
from headfield.parametric.topology import boundary_loops, edge_lengths_graph, used_vertices, vertex_normals

CUT_BELOW = 0.03
"""The cut lies this far below the throat and neck-side anchors, in model units (about 8 mm of an adult), so that
those anchors stay inside the kept skin."""

OWN_TILT = 0.35
"""How much of the tilt of the plane through the head's own throat and neck-side anchors the cut takes; the rest is the
model frame's horizontal. The full tilt varies by 20 degrees between heads and cuts a thin wedge out of some backs."""

FOLLOW_BAND = 0.05
"""Geodesic width (metres on the template) of the band above the cut that follows the ring onto the head's own plane."""

REST_BAND = 0.03
"""Geodesic width (metres on the template) over which expressions fade out, so that the cut stays at rest."""

_THROAT, _SIDE_LEFT, _SIDE_RIGHT = frames.anchor_indices(["throat", "neck_side_left", "neck_side_right"])


def neck_plane(anchors: np.ndarray) -> tuple[np.ndarray, float]:
    """The head's own cutting plane: unit normal (3,) pointing up and offset c, with height(x) = x . normal - c.

    Args:
        anchors: (39, 3) anchors of the neutral head, metres.
    """
    placement = normalising_similarity(anchors)
    throat, left, right = anchors[_THROAT], anchors[_SIDE_LEFT], anchors[_SIDE_RIGHT]
    up = placement.rotation[1]  # the model frame's y axis, seen from the head's own frame
    own = np.cross(right - throat, left - throat)
    own = own * np.sign(own @ up) / np.linalg.norm(own)
    normal = OWN_TILT * own + (1.0 - OWN_TILT) * up
    normal = normal / np.linalg.norm(normal)
    middle = 0.5 * throat + 0.25 * (left + right)
    return normal, float(normal @ middle) - CUT_BELOW / placement.scale


@dataclass(frozen=True)
class SolidPlan:
    """How to make the closed solid from source vertices.

    Attributes:
        linear: (L, S) sparse, the solid's vertices without the cap from the S source vertices.
        triangles: (F, 3) into L + C vertices.
        cap: (F,) bool.
        ring: (R,) vertices of the cut, in order around the neck.
        slide: (R, 3) direction along the skin for each ring vertex, unit rise along the template's plane normal.
        band: (A,) vertices that follow the ring.
        follow: (A, R) weights with which they follow.
        cap_scale: (n,) radii of the cap's inner rings relative to the outer; its last vertex is the centre.
        rest: (L,) 0 at the cut to 1 beyond the band: factor on expressions.
    """

    linear: csr_matrix
    triangles: np.ndarray
    cap: np.ndarray
    ring: np.ndarray
    slide: np.ndarray
    band: np.ndarray
    follow: np.ndarray
    cap_scale: np.ndarray
    rest: np.ndarray

    def place(self, source: np.ndarray) -> np.ndarray:
        """Indices in the solid of source vertices that the cut kept.

        Raises:
            ValueError: One of them was cut away.
        """
        single = np.diff(self.linear.indptr) == 1
        where = np.full(self.linear.shape[1], -1)
        where[self.linear[single].indices] = np.flatnonzero(single)
        if (where[source] < 0).any():
            raise ValueError(f"{(where[source] < 0).sum()} of {len(source)} vertices lie below the neck's cut")
        return where[source]

    def finish(self, linear_vertices: np.ndarray, anchors: np.ndarray) -> np.ndarray:
        """The solid's vertices (L + C, 3) from the linear ones (L, 3) and the neutral head's own anchors (39, 3)."""
        normal, offset = neck_plane(anchors)
        height = linear_vertices[self.ring] @ normal - offset
        shift = -(height / (self.slide @ normal))[:, None] * self.slide
        vertices = np.array(linear_vertices, dtype=float)
        vertices[self.band] += self.follow @ shift
        vertices[self.ring] += shift
        return np.concatenate([vertices, self._cap_vertices(vertices)])

    def _cap_vertices(self, vertices: np.ndarray) -> np.ndarray:
        ring = vertices[self.ring]
        centre = ring.mean(0)
        inner = centre + self.cap_scale[:, None, None] * (ring - centre)
        return np.concatenate([inner.reshape(-1, 3), centre[None]])


def plan_solid(
    template: np.ndarray, triangles: np.ndarray, anchor_vertices: np.ndarray, lids: list[tuple[np.ndarray, np.ndarray]]
) -> SolidPlan:
    """Plan the solid on a template in metres.

    Args:
        template: (S, 3) source vertices.
        triangles: (G, 3) skin, mouth bag and eyeballs; open at the neck and at the lids.
        anchor_vertices: (39,) into the source vertices.
        lids: For each eye the loop of vertices along the lid's inner edge, ordered as the boundary runs, and the
            eyeball's vertices, to whose mean a cone closes the loop, so that the closure hides in the eyeball.
    """
    anchors = template[anchor_vertices].copy()  # symmetric template: the plane must not roll
    anchors[:, 0] = 0.5 * (anchors[:, 0] - anchors[frames.MIRROR_PART, 0])
    anchors[:, 1:] = 0.5 * (anchors[:, 1:] + anchors[frames.MIRROR_PART, 1:])
    normal, offset = neck_plane(anchors)
    height = template @ normal - offset
    rows, kept = _cut(template, triangles, height)
    for loop, eyeball in lids:
        centre = len(rows)
        rows.append((eyeball, np.full(len(eyeball), 1.0 / len(eyeball))))
        kept = np.concatenate([kept, np.stack([np.roll(loop, -1), loop, np.full(len(loop), centre)], 1)])
    used = used_vertices(kept)
    renumber = np.full(len(rows), -1)
    renumber[used] = np.arange(len(used))
    kept = renumber[kept]
    linear = _matrix([rows[i] for i in used], len(template))
    vertices = linear @ template
    loops = boundary_loops(kept)
    if len(loops) != 1:
        raise ValueError(f"after the neck cut {len(loops)} open boundaries remain, expected 1")
    ring = np.array(loops[0])
    cap_triangles, cap_scale = _cap(vertices, ring, len(vertices))
    graph = edge_lengths_graph(vertices, kept)
    distance = dijkstra(graph, indices=ring, min_only=True)
    distance[~np.isfinite(distance)] = 1.0  # the eyeballs
    rest = _smoothstep(distance / REST_BAND)
    stay = _smoothstep(distance / FOLLOW_BAND)
    slide = _slide(vertices, kept, ring, normal)
    band = np.setdiff1d(np.flatnonzero(stay < 1.0), ring)
    count = min(6, len(ring))
    gap, nearest = cKDTree(vertices[ring]).query(vertices[band], k=count)
    weight = 1.0 / (gap + 1e-4) ** 2
    weight *= ((1.0 - stay[band]) / weight.sum(1))[:, None]
    follow = np.zeros((len(band), len(ring)))
    follow[np.arange(len(band))[:, None], nearest] = weight
    cap = np.arange(len(kept) + len(cap_triangles)) >= len(kept)
    return SolidPlan(linear, np.concatenate([kept, cap_triangles]), cap, ring, slide, band, follow, cap_scale, rest)


def _cut(template: np.ndarray, triangles: np.ndarray, height: np.ndarray):
    """Clip triangles to height >= 0; returns rows (one pair indices, weights per vertex) and triangles into them."""
    shortest = np.full(len(template), np.inf)
    for a, b in ((0, 1), (1, 2), (2, 0)):
        length = np.linalg.norm(template[triangles[:, a]] - template[triangles[:, b]], axis=1)
        np.minimum.at(shortest, triangles[:, a], length)
        np.minimum.at(shortest, triangles[:, b], length)
    level = np.where(np.abs(height) < 0.3 * shortest, 0.0, height)  # snap: no slivers along the cut
    rows = [(np.array([i]), np.ones(1)) for i in range(len(template))]
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


def _matrix(rows, n_source: int) -> csr_matrix:
    counts = [len(indices) for indices, _ in rows]
    row = np.repeat(np.arange(len(rows)), counts)
    column = np.concatenate([indices for indices, _ in rows])
    value = np.concatenate([weights for _, weights in rows])
    return coo_matrix((value, (row, column)), shape=(len(rows), n_source)).tocsr()


def _cap(vertices: np.ndarray, ring: np.ndarray, start: int) -> tuple[np.ndarray, np.ndarray]:
    """Concentric rings and a centre; triangles (., 3) whose free indices begin at `start`."""
    points = vertices[ring]
    radius = np.linalg.norm(points - points.mean(0), axis=1).mean()
    edge = np.linalg.norm(points - np.roll(points, -1, 0), axis=1).mean()
    n_rings = int(np.clip(round(radius / edge), 3, 10))
    scale = 1.0 - np.arange(1, n_rings) / n_rings
    n = len(ring)
    circles = [ring] + [start + k * n + np.arange(n) for k in range(len(scale))]
    parts = []
    for outer, inner in zip(circles, circles[1:]):
        # the boundary runs against the cap's own sense: (next, this) keeps the winding outward
        parts.append(np.stack([np.roll(outer, -1), outer, inner], 1))
        parts.append(np.stack([np.roll(outer, -1), inner, np.roll(inner, -1)], 1))
    centre = np.full(n, start + len(scale) * n)
    parts.append(np.stack([np.roll(circles[-1], -1), circles[-1], centre], 1))
    return np.concatenate(parts), scale


def _slide(vertices: np.ndarray, triangles: np.ndarray, ring: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Directions (R, 3) in the skin's tangent plane with unit rise; damped where the skin runs along the cut."""
    skin = vertex_normals(vertices, triangles)[ring]
    tangent = normal - (skin @ normal)[:, None] * skin
    rise = np.maximum(tangent @ normal, 0.3)
    tangent = tangent / rise[:, None]
    return tangent + (1.0 - tangent @ normal)[:, None] * normal


def _smoothstep(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)
