"""Forward morphing: from canonical points to where a frame's expression and pose take them (IMAvatar Eqs. 5, 6).

    x_d = sum_j W_j(x_c) B_j (x_c + E(x_c) psi + P(x_c) f(theta))

B_j is the motion of bone j from the canonical pose, f(theta) counts from it, too (:mod:`headfield.parametric.rig`):
with zero expression in the canonical pose x_d = x_c, whatever the fields are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from headfield.avatar.networks import Deformation, Deformed, Heads, Rows
from headfield.errors import present
from headfield.parametric.rig import HeadRig


@dataclass(frozen=True)
class Poses:
    """The numbers of F frames, as fields need them.

    Attributes:
        bones: (F, J, 3, 4) motions from the canonical pose.
        coefficients: (F, Q + E) pose features, then expression.
        condition: (F, E + 3) expression and the rotation of the jaw, which texture sees.
    """

    bones: torch.Tensor
    coefficients: torch.Tensor
    condition: torch.Tensor

    @staticmethod
    def of(rig: HeadRig, expressions: np.ndarray, poses: np.ndarray, like: torch.Tensor | None = None) -> Poses:
        """Frames of a rig.

        Args:
            rig: Whose joints and channels the numbers are of.
            expressions: (F, E).
            poses: (F, J, 3) rotation vectors, radians.
            like: Gives the number type; None for float32.
        """
        kind = torch.float32 if like is None else like.dtype
        jaw = poses[:, rig.joints.index("jaw")] if "jaw" in rig.joints else np.zeros((len(poses), 3))
        arrays = (
            np.stack([rig.bones(pose) for pose in poses]),
            np.concatenate([rig.pose_features(poses), expressions], axis=1),
            np.concatenate([expressions, jaw], axis=1),
        )
        return Poses(*(torch.as_tensor(array, dtype=kind) for array in arrays))

    def pick(self, which) -> Poses:
        """Only some frames, or frames in another order."""
        return Poses(self.bones[which], self.coefficients[which], self.condition[which])

    def __len__(self) -> int:
        return len(self.bones)


@dataclass(frozen=True)
class Morphed:
    """Where P canonical points are in their frames.

    Attributes:
        points: (P, 3) x_d.
        jacobian: (P, 3, 3) d x_d / d x_c, None unless asked for.
        deformed: What the deformation network said.
    """

    points: torch.Tensor
    jacobian: torch.Tensor | None
    deformed: Deformed

    @property
    def slopes(self) -> torch.Tensor:
        """The Jacobian, where it was asked for."""
        return present(self.jacobian, "the Jacobian of a deformation")


def morph(
    deformation: Deformation, points: torch.Tensor, rows: Rows, poses: Poses, heads: Heads, slope: bool = False
) -> Morphed:
    """Eq. 5 at canonical points (P, 3), and its Jacobian.

    Args:
        deformation: The fields E, P, W.
        points: (P, 3).
        rows: Their frames.
        poses: Of the frames.
        heads: ``deformation.contract(poses.coefficients)``.
        slope: Also find the Jacobian.
    """
    said = deformation(points, rows, heads, slope)
    moved = points + said.offset
    bones = poses.bones[rows.frame]
    blended = torch.einsum("pj,pjab->pab", said.weights, bones)
    found = (blended[:, :, :3] @ moved[:, :, None])[:, :, 0] + blended[:, :, 3]
    if not slope:
        return Morphed(found, None, said)
    by_offset = blended[:, :, :3] @ (torch.eye(3, dtype=points.dtype, device=points.device) + said.offset_slope)
    ridden = (bones[:, :, :, :3] @ moved[:, None, :, None])[..., 0] + bones[:, :, :, 3]  # (P, J, 3) by each bone alone
    return Morphed(found, by_offset + ridden.transpose(1, 2) @ said.weights_slope, said)


def deformed_normals(slope: torch.Tensor, jacobian: torch.Tensor) -> torch.Tensor:
    """Unit normals (P, 3) of the posed surface: dg/dx_d = dg/dx_c (dx_d/dx_c)^-1, normalised (Eq. 6).

    The matrix of cofactors is the inverse transposed times the determinant, which is positive where nothing folds: it
    takes three cross products, and stays finite where a fold begins.

    Args:
        slope: (P, 3) dg/dx_c.
        jacobian: (P, 3, 3) dx_d/dx_c.
    """
    first, second, third = jacobian.unbind(1)
    cofactors = torch.stack(
        [torch.linalg.cross(second, third), torch.linalg.cross(third, first), torch.linalg.cross(first, second)], dim=1
    )
    normals = (cofactors @ slope[:, :, None])[:, :, 0]
    return normals / (normals.square().sum(-1, keepdim=True) + 1e-20).sqrt()
