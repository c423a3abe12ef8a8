"""Colours of a scan on another mesh of the same head: what was seen from the scan, the rest from what lies round it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..neighbours import PointTree
from .seen import seen_mask

NEAR = 0.03
"""Scan points further than this from the head (7.5 mm) colour nothing, model units."""

FADE = 0.12
"""Over this distance from what was seen (30 mm) colours fade to the scan's typical one, model units."""

_NEIGHBOURS = 6


@dataclass(frozen=True)
class Paint:
    """A scan's colours, ready to be put on meshes of its head.

    Attributes:
        points: (M, 3) of the scan, model frame, on the head without its expression.
        colours: (M, 4) uint8 RGBA.
    """

    points: np.ndarray
    colours: np.ndarray

    def on(self, vertices: np.ndarray, normals: np.ndarray, seen: np.ndarray | None = None) -> np.ndarray:
        """Colours (V, 4) uint8, opaque, of the vertices of a head in the same space as the points.

        Where the scan saw the head they are its nearest points' mean, near ones counting more. Elsewhere they are those
        of the nearest seen vertices, fading to the typical colour of the scan: no hard edges, no invented detail.

        Args:
            vertices: (V, 3) model frame.
            normals: (V, 3) unit, outward.
            seen: (V,) bool, which vertices the scan saw; default by :func:`headfield.surface.seen.seen_mask`.
        """
        vertices = np.asarray(vertices, dtype=float)
        if seen is None:
            seen = seen_mask(vertices, normals, self.points, reach=NEAR)
        source = self.colours[:, :3].astype(float)
        typical = np.median(source, axis=0) if len(source) else np.full(3, 128.0)
        painted = np.tile(typical, (len(vertices), 1))
        if seen.any():
            painted[seen] = _blended(self.points, source, vertices[seen])[0]
            around, distance = _blended(vertices[seen], painted[seen], vertices[~seen])
            share = np.exp(-((distance / FADE) ** 2))[:, None]
            painted[~seen] = typical + share * (around - typical)
        opaque = np.full((len(vertices), 1), 255.0)
        return np.round(np.concatenate([painted, opaque], axis=1)).astype(np.uint8)


def _blended(points: np.ndarray, values: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values (N, 3) at places, means over the nearest points by inverse square distance, and the distance (N,)."""
    count = min(_NEIGHBOURS, len(points))
    distance, near = (found.reshape(len(places), count) for found in PointTree(points).query(places, k=count))
    weight = 1 / np.maximum(distance, 1e-6) ** 2
    weight /= weight.sum(1, keepdims=True)
    return np.einsum("nk,nkc->nc", weight, values[near]), distance[:, 0]
