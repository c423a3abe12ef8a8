"""Linear blend skinning over linear shapes: how FLAME and GNM turn their numbers into vertices.

vertices = sum_j w_j (R_j (x - k_j) + p_j) of shape vertices x = template + identity + expression + correctives, whose
joints k follow the shape (Li et al. 2017, Learning a model of facial shape and expression from 4D scans, Eqs. 1-4;
linear blend skinning as in Loper et al. 2015). The root stays: where a head stands and looks is its placement.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.spatial.transform import Rotation

from headfield.parametric.derivatives import Derivatives, block_diagonal, dense

_STEP = 1e-5
"""Radians by which joints are turned for their derivatives."""


@dataclass(frozen=True)
class SkinnedModel:
    """The numbers of a family with a skeleton.

    Attributes:
        template: (S, 3) float64 metres.
        identity: (3S, I) float32, metres per unit.
        expression: (3S, E) float32.
        joints: (J, 3) of the template.
        joints_by_identity: (3J, I).
        joints_by_expression: (3J, E).
        parents: (J,) index of each joint's parent, -1 for the root, which comes first; parents before children.
        weights: (S, J) skinning weights, rows sum to one.
        correctives: (9 (J - 1), 3S) float32 offsets by the entries of R - I of every joint but the root, or None.
    """

    template: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    joints: np.ndarray
    joints_by_identity: np.ndarray
    joints_by_expression: np.ndarray
    parents: np.ndarray
    weights: np.ndarray
    correctives: np.ndarray | None = None

    @property
    def n_pose(self) -> int:
        """Numbers of a pose: a rotation vector for every joint but the root."""
        return 3 * (len(self.parents) - 1)

    def neutral(self, identity: np.ndarray) -> np.ndarray:
        """Vertices (S, 3) at rest."""
        return self.template + (self.identity @ np.asarray(identity, np.float32)).reshape(-1, 3)

    def posed(self, identity: np.ndarray, expression: np.ndarray | None, pose: np.ndarray | None) -> np.ndarray:
        """Vertices (S, 3) with an expression (E,) and a pose (3 (J - 1),), None for rest."""
        shape, joints = self._shape(identity, expression)
        if pose is None or not np.any(pose):
            return shape
        return self._skinned(shape, joints, np.asarray(pose, dtype=float))

    def _shape(self, identity: np.ndarray, expression: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Vertices (S, 3) and joints (J, 3) before any joint turns."""
        shape = self.neutral(identity)
        joints = self.joints + (self.joints_by_identity @ identity).reshape(-1, 3)
        if expression is not None:
            shape = shape + (self.expression @ np.asarray(expression, np.float32)).reshape(-1, 3)
            joints = joints + (self.joints_by_expression @ expression).reshape(-1, 3)
        return shape, joints

    def derivatives(
        self, functionals: csr_matrix, identity: np.ndarray, expression: np.ndarray | None, pose: np.ndarray | None
    ) -> Derivatives:
        """Derivatives of linear functionals (N, 3S) of `posed`."""
        pose = np.zeros(self.n_pose) if pose is None else np.asarray(pose, dtype=float)
        world, chain = self._world(pose)
        blocks = (self.weights @ world.reshape(-1, 9)).reshape(-1, 3, 3)
        of_shape = csr_matrix(functionals @ block_diagonal(blocks))
        # x = sum_j w_j (R_j x + c_j) with c = chain k, linear in the joints k
        count, n_joints = functionals.shape[0], len(self.parents)
        spread = (self.weights[:, None, :, None] * np.eye(3)[None, :, None, :]).reshape(-1, 3 * n_joints)
        of_joints = (functionals @ spread) @ chain
        by_identity = dense(of_shape, self.identity) + of_joints @ self.joints_by_identity
        by_expression = dense(of_shape, self.expression) + of_joints @ self.joints_by_expression
        by_pose = np.empty((count, self.n_pose))
        shape, joints = self._shape(identity, expression)
        for k in range(self.n_pose):
            step = _STEP * np.eye(self.n_pose)[k]
            ends = [self._skinned(shape, joints, pose + sign * step) for sign in (-1, 1)]
            by_pose[:, k] = functionals @ (ends[1] - ends[0]).ravel() / (2 * _STEP)
        return Derivatives(by_identity, by_expression, by_pose)

    def _skinned(self, shape: np.ndarray, joints: np.ndarray, pose: np.ndarray) -> np.ndarray:
        world, chain = self._world(pose)
        if self.correctives is not None:
            local = Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix() - np.eye(3)
            shape = shape + (local.ravel().astype(np.float32) @ self.correctives).reshape(-1, 3)
        moved = (chain @ joints.ravel()).reshape(-1, 3)
        blended = (self.weights @ world.reshape(-1, 9)).reshape(-1, 3, 3)
        return np.matmul(blended, shape[:, :, None])[:, :, 0] + self.weights @ moved

    def _world(self, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rotations (J, 3, 3) of the joints in the world, and the matrix (3J, 3J) from joints to the translations
        c_j = p_j - R_j k_j."""
        local = np.concatenate([np.eye(3)[None], Rotation.from_rotvec(np.reshape(pose, (-1, 3))).as_matrix()])
        count = len(self.parents)
        world = np.empty((count, 3, 3))
        place = np.zeros((count, 3, count, 3))  # p_j from the joints
        chain = np.zeros((count, 3, count, 3))
        for j, parent in enumerate(self.parents):
            if parent < 0:
                world[j] = local[j]
                place[j, :, j] = np.eye(3)
            else:
                world[j] = world[parent] @ local[j]
                place[j] = place[parent]
                place[j, :, j] += world[parent]
                place[j, :, parent] -= world[parent]
            chain[j] = place[j]
            chain[j, :, j] -= world[j]
        return world, chain.reshape(3 * count, 3 * count)
