"""The topology that all instants of one family's heads share, and which part of it is the mouth's bag."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from headfield.parametric.normalise import normalising_similarity
from headfield.parametric.topology import vertex_normals
from headfield.synth.identities import frozen
from headfield.synth.occlusion import Occluder, escaping_share, sphere_directions

CLOSED_MOUTH_SHARE = 0.08
"""In a closed mouth this share must escape, from surface and void alike: a slit of width g is free to a depth near 2 g.
Many people's lips stay a few millimetres apart at rest; the bag behind them is no shape worth learning."""


@dataclass(frozen=True)
class Sheet:
    """The topology that all instants of one head share.

    Attributes:
        triangles: (F, 3), closed components, outward.
        interior: (F,) bool, may be hidden.
        cap: (F,) bool, the planar neck cap, whose rim is sharp.
        density: (F,) relative sampling density per area.
        bag: (F,) bool, the mouth bag and inner lips, a part of the interior.
        deep: (V,) bool, vertices of the bag that a mouth at rest never shows.
    """

    triangles: np.ndarray
    interior: np.ndarray
    cap: np.ndarray
    density: np.ndarray
    bag: np.ndarray
    deep: np.ndarray

    @cached_property
    def interior_vertices(self) -> np.ndarray:
        """Vertices (n,) of interior triangles."""
        return np.unique(self.triangles[self.interior])

    @cached_property
    def bag_vertices(self) -> np.ndarray:
        """Mask (V,) of the vertices that only bag triangles use."""
        mask = np.zeros(int(self.triangles.max()) + 1, dtype=bool)
        mask[self.triangles[self.bag]] = True
        mask[self.triangles[~self.bag]] = False
        return mask


def lip_gap(head, vertices: np.ndarray) -> float:
    """Widest gap between the inner lips of vertices (V, 3), by the three inner pairs of the 68 landmarks."""
    landmarks = head.landmarks68(vertices)
    return float(np.linalg.norm(landmarks[[61, 62, 63]] - landmarks[[67, 66, 65]], axis=1).max())


def make_sheet(head) -> Sheet:
    """The skin's topology of a family, with the face sampled more densely."""
    triangles = np.ascontiguousarray(head.triangles, dtype=np.int64)
    face = np.asarray(head.face_mask)[triangles].all(1)
    density = np.where(face, frozen()["surface"]["face_density"], 1.0)
    interior, cap = np.asarray(head.interior, dtype=bool), np.asarray(head.cap, dtype=bool)
    return Sheet(triangles, interior, cap, density, *_mouth_bag(head, triangles, interior))


def _mouth_bag(head, triangles: np.ndarray, interior: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The triangles (F,) that little light reaches in a head at rest and that hang together with the inner lips, and
    the vertices (V,) of them that none reaches."""
    bag, deep = np.zeros(len(triangles), dtype=bool), np.zeros(int(triangles.max()) + 1, dtype=bool)
    if not interior.any():
        return bag, deep
    vertices = head.raw_vertices(head.draw_identity(np.random.default_rng(0)))
    vertices = normalising_similarity(head.anchors(vertices)).apply(vertices)
    normals = vertex_normals(vertices, triangles)
    asked = np.unique(triangles[interior])
    light = np.full(len(vertices), 0.5)
    light[asked] = escaping_share(
        [Occluder(vertices, triangles)], vertices[asked] + 4e-4 * normals[asked], sphere_directions(128), normals[asked]
    )
    dark = light < CLOSED_MOUTH_SHARE
    chosen = np.flatnonzero(interior & dark[triangles].all(1))
    corners = triangles[chosen]
    links = coo_matrix(
        (np.ones(2 * len(corners)), (np.r_[corners[:, 0], corners[:, 1]], np.r_[corners[:, 1], corners[:, 2]])),
        shape=(len(vertices), len(vertices)),
    )
    label = connected_components(links, directed=False)[1][corners[:, 0]]
    lips = head.landmarks68(vertices)[60:68].mean(0)
    near = np.linalg.norm(vertices[corners].mean(1) - lips, axis=1) < 0.1  # 25 mm: reaches the bag, not eyes or nose
    if not near.any():  # a family without a mouth cavity
        return bag, deep
    bag[chosen[label == np.bincount(label[near]).argmax()]] = True
    deep[triangles[bag]] = True
    deep[triangles[~bag]] = False
    distance = np.linalg.norm(vertices[: len(deep)] - lips, axis=1)
    # 12 mm behind the lips and unlit in this head: nearly so in all, and closed mouths hide all but a lit rim
    return bag, deep & (light[: len(deep)] < 0.01) & (distance > 0.048)
