"""Closed hair parts that do not move with the expression, sorted once into what shows and what is buried."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from headfield.errors import need
from headfield.parametric.topology import vertex_normals
from headfield.synth.occlusion import Occluder
from headfield.synth.sheet import Sheet


@dataclass(frozen=True)
class StarPart:
    """A closed part that is star-shaped about a centre and does not move with the expression: hair, a bun.

    Attributes:
        centre: (3,) every ray from here leaves the part exactly once.
        vertices: (V, 3) model frame.
        triangles: (F, 3) outward.
    """

    centre: np.ndarray
    vertices: np.ndarray
    triangles: np.ndarray

    @cached_property
    def occluder(self) -> Occluder:
        """The part's mesh for rays."""
        return Occluder(self.vertices, self.triangles)

    @cached_property
    def normals(self) -> np.ndarray:
        """Unit normals (V, 3)."""
        return vertex_normals(self.vertices, self.triangles)

    def contains(self, points: np.ndarray) -> np.ndarray:
        """Whether points (N, 3) lie inside (N,): a point does exactly if the part's skin lies further out."""
        return self.occluder.occluded(points, points - self.centre)


class Hair:
    """The static parts of one head, classified once against the neutral skin.

    Args:
        parts: Star-shaped parts.
        sheet, vertices: The neutral skin.
    """

    def __init__(self, parts: tuple[StarPart, ...], sheet: Sheet, vertices: np.ndarray):
        igl = need("igl", "synth", "Signed distances")
        self.parts = parts
        offsets = np.cumsum([0] + [len(part.vertices) for part in parts])
        self.vertices = np.concatenate([part.vertices for part in parts])
        self.normals = np.concatenate([part.normals for part in parts])
        self.triangles = np.concatenate([part.triangles + offset for part, offset in zip(parts, offsets)])
        self.owner = np.repeat(np.arange(len(parts)), [len(part.triangles) for part in parts])
        buried = igl.fast_winding_number(vertices, sheet.triangles, self.vertices) > 0.5
        owner = np.repeat(np.arange(len(parts)), np.diff(offsets))
        for k, part in enumerate(parts):
            others = owner != k
            buried[others] |= part.contains(self.vertices[others])
        self.visible = ~buried[self.triangles].all(1)
        self.mixed = buried[self.triangles].any(1) & self.visible
        head = Occluder(vertices, sheet.triangles)
        self._places, self._shown = _clipped(self.vertices, self.triangles, buried, self.visible, self.mixed, head)
        self._tree = igl.AABB()
        self._tree.init(self._places, self._shown)

    def contains(self, points: np.ndarray, but: np.ndarray | None = None) -> np.ndarray:
        """Whether points (N, 3) lie inside any part, not counting part `but` (N,) of each point."""
        inside = np.zeros(len(points), dtype=bool)
        for k, part in enumerate(self.parts):
            answer = part.contains(points)
            inside |= answer if but is None else answer & (but != k)
        return inside

    def squared_distance(self, points: np.ndarray) -> np.ndarray:
        """Squared distance (N,) from points (N, 3) to the visible hair."""
        return self._tree.squared_distance(self._places, self._shown, points)[0]


def _clipped(
    vertices: np.ndarray,
    triangles: np.ndarray,
    buried: np.ndarray,
    visible: np.ndarray,
    mixed: np.ndarray,
    head: Occluder,
) -> tuple[np.ndarray, np.ndarray]:
    """Visible hair for distances: triangles that dive into the head end where they enter it.

    Some are long, and what of them lies deep inside must not pass for skin.

    Args:
        vertices, triangles: All hair.
        buried: (V,) bool, vertices inside the head or another part.
        visible, mixed: (F,) bool, not wholly buried; partly buried.
        head: The skin.
    Returns:
        vertices (W, 3) and triangles (G, 3), a soup.
    """
    corners = triangles[mixed]
    places, pieces = [vertices], [triangles[visible & ~mixed]]
    count = len(vertices)
    for turn in range(3):
        a, b, c = np.roll(corners, -turn, axis=1).T
        lone = ~buried[a] & buried[b] & buried[c]  # one corner outside: the tip stays
        n, a1, b1, c1 = int(lone.sum()), a[lone], b[lone], c[lone]
        places += [_entry(vertices[a1], vertices[b1], head), _entry(vertices[a1], vertices[c1], head)]
        new = count + np.arange(2 * n)
        pieces.append(np.stack([a1, new[:n], new[n:]], 1))
        count += 2 * n
        pair = ~buried[a] & ~buried[b] & buried[c]  # one corner inside: a quad stays
        n, a2, b2, c2 = int(pair.sum()), a[pair], b[pair], c[pair]
        places += [_entry(vertices[a2], vertices[c2], head), _entry(vertices[b2], vertices[c2], head)]
        new = count + np.arange(2 * n)
        pieces += [np.stack([a2, b2, new[n:]], 1), np.stack([a2, new[n:], new[:n]], 1)]
        count += 2 * n
    return np.concatenate(places), np.ascontiguousarray(np.concatenate(pieces))


def _entry(outside: np.ndarray, inside: np.ndarray, head: Occluder) -> np.ndarray:
    """Where segments (N, 3) to (N, 3) enter the head; their whole length where another part buries the end."""
    _, share = head.first_hit(outside, inside - outside)
    return outside + np.minimum(share, 1.0)[:, None] * (inside - outside)
