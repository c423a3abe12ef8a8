"""Where anchors and landmarks lie on a template of another topology: found once, from the reference head's places.

The reference head's 39 anchors and 68 landmarks are brought onto the template by a similarity and a smooth warp that
takes the template's own landmarks, as far as they are known, exactly; each then takes the nearest place on the skin.
On the face, where landmarks are dense, that is good to about their own accuracy; on the skull, where anchors are places
and no features, it is a convention.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources

import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.spatial import Delaunay, cKDTree
from trimesh.triangles import closest_point, points_to_barycentric

from headfield import frames
from headfield.parametric.topology import components, vertex_normals
from headfield.types import Similarity

LEAST_LANDMARKS = 8
"""With fewer known landmarks the similarity must be given."""


@dataclass(frozen=True)
class KnownLandmarks:
    """The 68 landmarks of a template, as far as its files name them.

    Attributes:
        corners: (68, 3) vertices, -1 where unknown.
        weights: (68, 3) their weights.
    """

    corners: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class TemplatePlaces:
    """Anchors, landmarks and face of a template.

    Attributes:
        anchors: (39,) vertices.
        landmark_corners: (68, 3) vertices.
        landmark_weights: (68, 3) their weights.
        face: (S,) bool, vertices of the face region.
    """

    anchors: np.ndarray
    landmark_corners: np.ndarray
    landmark_weights: np.ndarray
    face: np.ndarray


def reference_landmarks68() -> np.ndarray:
    """The 68 landmarks on the reference head (68, 3), model units."""
    text = (resources.files("headfield") / "fit" / "landmarks68.json").read_text()
    return np.array(json.loads(text)["positions"])


def find_places(
    template: np.ndarray,
    skin: np.ndarray,
    landmarks: KnownLandmarks | None = None,
    similarity: Similarity | None = None,
) -> TemplatePlaces:
    """Places on a template.

    Args:
        template: (S, 3) any unit, y up, +z out of the face.
        skin: (F, 3) triangles of its skin.
        landmarks: Those that are known; None for none.
        similarity: Reference head (model frame) -> template; needed when fewer than eight landmarks are known.
    Raises:
        ValueError: Too few landmarks and no similarity.
    """
    reference = reference_landmarks68()
    if landmarks is None:
        landmarks = KnownLandmarks(np.full((68, 3), -1), np.zeros((68, 3)))
    corners, weights = landmarks.corners, landmarks.weights
    known = np.all(np.asarray(corners) >= 0, axis=1)
    placed = np.zeros((68, 3))
    if known.any():
        placed[known] = np.einsum("nk,nkc->nc", weights[known], template[corners[known]])
    if known.sum() >= LEAST_LANDMARKS:
        similarity = Similarity.between(reference[known], placed[known])
    elif similarity is None:
        raise ValueError(f"{known.sum()} landmarks are known, at least {LEAST_LANDMARKS} are needed")

    def warp(points: np.ndarray) -> np.ndarray:
        moved = similarity.apply(points)
        if known.sum() < LEAST_LANDMARKS:
            return moved
        gap = placed[known] - similarity.apply(reference[known])
        return moved + RBFInterpolator(reference[known], gap, kernel="linear", degree=0, smoothing=1e-9)(points)

    place = _Skin(template, skin)
    anchors = place.vertices(warp(frames.reference_anchors()))
    found, share = place.closest(warp(reference))
    if known.any():
        found[known], share[known] = corners[known], weights[known]
    return TemplatePlaces(anchors, found, share, _face(template, skin, similarity.inverse()))


class _Skin:
    """Nearest places on triangles that look outwards."""

    def __init__(self, template: np.ndarray, triangles: np.ndarray) -> None:
        self.template, self.triangles = template, np.asarray(triangles)
        self._corners = template[self.triangles]
        self._tree = cKDTree(self._corners.mean(1))
        self._used = np.unique(self.triangles)
        self._vertices = cKDTree(template[self._used])

    def vertices(self, points: np.ndarray) -> np.ndarray:
        """Nearest vertices (N,)."""
        return self._used[self._vertices.query(points)[1]]

    def closest(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Corners (N, 3) and weights (N, 3) of the closest places."""
        near = self._tree.query(points, k=min(24, len(self.triangles)))[1].reshape(len(points), -1)
        corners = self._corners[near.ravel()]
        foot = closest_point(corners, np.repeat(points, near.shape[1], axis=0)).reshape(*near.shape, 3)
        best = np.linalg.norm(foot - points[:, None], axis=2).argmin(1)
        rows = np.arange(len(points))
        triangle = near[rows, best]
        weights = points_to_barycentric(self._corners[triangle], foot[rows, best])
        return self.triangles[triangle], np.clip(weights, 0.0, 1.0) / np.clip(weights, 0.0, 1.0).sum(1, keepdims=True)


def _face(template: np.ndarray, skin: np.ndarray, back: Similarity) -> np.ndarray:
    """Vertices (S,) of the face: seen from the front within jaw line and forehead, and looking forward."""
    rim = np.concatenate(
        [
            reference_landmarks68()[:17],
            [frames.REFERENCE_ANCHORS["forehead_top_left"], frames.REFERENCE_ANCHORS["forehead_top_right"]],
        ]
    )
    inside = Delaunay(rim[:, :2]).find_simplex(back.apply(template)[:, :2]) >= 0
    normals = back.rotate(vertex_normals(template, skin))
    front = back.apply(template)[:, 2] > rim[:17, 2].min()
    on_skin = np.zeros(len(template), dtype=bool)
    on_skin[skin] = True
    return inside & front & on_skin & (normals[:, 2] > -0.2)


def split_parts(
    template: np.ndarray, triangles: np.ndarray, landmarks: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The skin and the two eyeballs among a template's connected parts; teeth and tongue are left out.

    Args:
        template: (S, 3).
        triangles: (F, 3).
        landmarks: (68, 3) on the template.
    Returns:
        Triangles of the skin (the largest part), and those of the left and the right eyeball.
    Raises:
        ValueError: No ball of an eye's size lies behind the lids.
    """
    label = components(triangles)
    skin = triangles[label == 0]
    eyes = []
    for lids, side in ((landmarks[42:48], "left"), (landmarks[36:42], "right")):
        width = np.linalg.norm(lids[0] - lids[3])
        best = None
        for k in range(1, label.max() + 1):
            part = triangles[label == k]
            vertices = template[np.unique(part)]
            size = np.ptp(vertices, axis=0)
            off = np.linalg.norm((vertices.max(0) + vertices.min(0)) / 2 - lids.mean(0))
            round_enough = size.min() > 0.7 * size.max()
            if round_enough and 0.5 * width < size.max() < 1.6 * width and off < 1.2 * width:
                if best is None or size.max() > best[0]:
                    best = (size.max(), part)
        if best is None:
            raise ValueError(f"no eyeball was found behind the lids of the {side} eye")
        eyes.append(best[1])
    return skin, eyes
