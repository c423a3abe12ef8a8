"""A head on joints: what a personal avatar is driven by, whatever family the numbers come from.

A rig lives in the model frame, in a canonical pose (IMAvatar: the jaw open by 0.2 rad, so that the lips are apart):

    x_d = sum_j w_j B_j (x_c + E psi + P (f(theta) - f(canonical)))          (FLAME Eqs. 1-4, IMAvatar Eqs. 1, 2, 5)

with expression blendshapes E, pose correctives P by f(theta), the entries of R - I of every joint but the root,
skinning weights w, and B_j the motion of bone j from the canonical pose to theta. Everything is given *in* the
canonical pose, so that fields over canonical space can learn the same three quantities.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation


@dataclass(frozen=True)
class HeadRig:
    """A head of one person on joints, in the canonical pose.

    Dimensions: V vertices, F triangles, E expression channels, J joints, Q = 9 (J - 1) pose features.

    Attributes:
        channels: (E,) names of the expression numbers.
        joints: (J,) names, the root first.
        parents: (J,) index of each joint's parent, -1 for the root; parents before children.
        places: (J, 3) joints before any of them turns, model units.
        canonical: (J, 3) rotation vectors of the canonical pose, radians; children of a turned joint are not supported.
        vertices: (V, 3) in the canonical pose, model units.
        triangles: (F, 3) closed components, counter-clockwise seen from outside.
        shapes: (V, E, 3) expression blendshapes.
        correctives: (V, Q, 3) pose correctives.
        weights: (V, J) skinning weights, rows sum to one.
    """

    channels: tuple[str, ...]
    joints: tuple[str, ...]
    parents: np.ndarray
    places: np.ndarray
    canonical: np.ndarray
    vertices: np.ndarray
    triangles: np.ndarray
    shapes: np.ndarray
    correctives: np.ndarray
    weights: np.ndarray

    def pose_features(self, pose: np.ndarray) -> np.ndarray:
        """f(theta) - f(canonical) (..., Q) of rotation vectors (..., J, 3)."""
        pose = np.asarray(pose, dtype=float)
        here = _matrices(pose[..., 1:, :]) - _matrices(self.canonical[1:])
        return here.reshape(*pose.shape[:-2], -1)

    def bones(self, pose: np.ndarray) -> np.ndarray:
        """Motions B_j (J, 3, 4) from the canonical pose to rotation vectors (J, 3)."""
        return _after(self.joint_motions(np.asarray(pose, dtype=float)), _inverse(self.joint_motions(self.canonical)))

    def posed(self, expression: np.ndarray, pose: np.ndarray) -> np.ndarray:
        """Vertices (V, 3), model units.

        Args:
            expression: (E,) numbers of the channels.
            pose: (J, 3) rotation vectors, radians.
        """
        moved = self.vertices + np.tensordot(self.shapes, expression, axes=([1], [0]))
        moved = moved + np.tensordot(self.correctives, self.pose_features(pose), axes=([1], [0]))
        blended = np.tensordot(self.weights, self.bones(pose), axes=1)
        return np.einsum("vab,vb->va", blended[:, :, :3], moved) + blended[:, :, 3]

    def joint_motions(self, pose: np.ndarray) -> np.ndarray:
        """Motions (J, 3, 4) of the bones from the pose in which no joint is turned."""
        turns = _matrices(pose)
        world = np.zeros((len(self.joints), 3, 4))
        for j, parent in enumerate(self.parents):
            own = np.concatenate([turns[j], (self.places[j] - turns[j] @ self.places[j])[:, None]], axis=1)
            world[j] = own if parent < 0 else _after(world[parent][None], own[None])[0]
        return world


def _matrices(vectors: np.ndarray) -> np.ndarray:
    """Rotation matrices (..., 3, 3) of rotation vectors (..., 3)."""
    return Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(*vectors.shape[:-1], 3, 3)


def _after(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Motions (J, 3, 4) that do the first, then the second."""
    turn = second[:, :, :3] @ first[:, :, :3]
    return np.concatenate([turn, second[:, :, :3] @ first[:, :, 3:] + second[:, :, 3:]], axis=2)


def _inverse(motion: np.ndarray) -> np.ndarray:
    back = motion[:, :, :3].transpose(0, 2, 1)
    return np.concatenate([back, -back @ motion[:, :, 3:]], axis=2)
