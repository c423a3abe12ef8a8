"""From the points of MediaPipe's face mesh to the 68 landmarks and the face's anchors.

A detector has its own idea of where a point is, and a topology another. Each of our points is the sum of its place in
the mean face and a weighted mean of how far the mesh points around it are from theirs; places and weights are least
squares on synthetic heads of the training split (``benchmarks/calibrate_landmarks.py``), kept in ``face_map.json``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from headfield.frames import ANCHOR_NAMES
from headfield.types import Similarity


@dataclass(frozen=True)
class FaceMap:
    """The mean face mesh and what hangs on it.

    Attributes:
        mesh: (478, 3) mean mesh points, model units.
        places: (T, 3) our points on the mean face, model units: the 68, then the anchors named in `anchors`.
        indices: (T, k) mesh points around each.
        weights: (T, k) their say.
        anchors: Names of the anchors of the face, in the order of ANCHOR_NAMES.
    """

    mesh: np.ndarray
    places: np.ndarray
    indices: np.ndarray
    weights: np.ndarray
    anchors: tuple[str, ...]

    def apply(self, mesh: np.ndarray, confidence: np.ndarray, model_from_mesh: Similarity):
        """Our points from a lifted mesh.

        Args:
            mesh: (478, 3) in any frame and unit, NaN where unknown.
            confidence: (478,).
            model_from_mesh: That frame -> model frame.
        Returns:
            Points (T, 3) in the mesh's frame, and their confidence (T,); NaN and 0 where no mesh point around is known.
        """
        known = np.all(np.isfinite(mesh), axis=1)
        moved = np.where(known[:, None], model_from_mesh.apply(np.nan_to_num(mesh)) - self.mesh, 0.0)
        points = self.places + np.einsum("tk,tkc->tc", self.weights, moved[self.indices])
        size = np.abs(self.weights) * known[self.indices]
        share = size.sum(1) / np.abs(self.weights).sum(1)
        sure = (size * np.where(known, confidence, 0.0)[self.indices]).sum(1) / np.maximum(size.sum(1), 1e-12) * share
        points = model_from_mesh.inverse().apply(points)
        return np.where(share[:, None] > 0.3, points, np.nan), np.where(share > 0.3, np.clip(sure, 0, 1), 0.0)

    def anchor_index(self) -> np.ndarray:
        """Index among the 39 of each of the face's anchors."""
        return np.array([ANCHOR_NAMES.index(name) for name in self.anchors])


@cache
def face_map() -> FaceMap:
    """The calibrated map that comes with the package."""
    content = json.loads((files("headfield.fit.pictures") / "face_map.json").read_text())
    return FaceMap(
        np.array(content["mesh"]),
        np.array(content["places"]),
        np.array(content["indices"]),
        np.array(content["weights"]),
        tuple(content["anchors"]),
    )


def calibrate(meshes: np.ndarray, targets: np.ndarray, around: int = 10, ridge: float = 0.03):
    """Places, indices and weights from heads whose truth is known.

    Args:
        meshes: (H, 478, 3) lifted meshes, each moved onto the mean mesh.
        targets: (H, T, 3) our points, moved likewise.
        around: Mesh points that have a say about each.
        ridge: Pull of the weights towards an equal share.
    Returns:
        Places (T, 3), indices (T, k), weights (T, k) for the mean mesh `meshes.mean(0)`.
    """
    mean, centre = meshes.mean(0), targets.mean(0)
    nearest = np.argsort(np.linalg.norm(mean[None] - centre[:, None], axis=2), axis=1)[:, :around]
    weights = np.empty((len(centre), around))
    for target, index in enumerate(nearest):
        moved = (meshes - mean)[:, index].transpose(0, 2, 1).reshape(-1, around)
        wanted = (targets[:, target] - centre[target]).reshape(-1)
        pull = ridge * np.trace(moved.T @ moved) / around
        weights[target] = np.linalg.solve(
            moved.T @ moved + pull * np.eye(around), moved.T @ wanted + pull * np.full(around, 1 / around)
        )
    return centre, nearest, weights
