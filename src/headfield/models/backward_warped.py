"""Models whose expressions are a backward deformation with ambient coordinates: posed points to the head at rest.

x_can = x + Delta x, (Delta x, omega) = E(x, z_ex, what E sees of the identity)     imHead Eqs. 7-8, MonoNPHM the same
f(x) = the field at rest at (x_can, omega)

A model of this kind says how its field at rest is evaluated and pulled back; this module carries both into posed space.
"""

from __future__ import annotations

from typing import Any, Literal

import torch

from headfield.models.field_model import FieldModel
from headfield.nn.deformer import ExpressionDeformer
from headfield.nn.machine import denormals_flushed


class BackwardWarpedModel(FieldModel):
    """The common ground of models with a backward deformation.

    Dimensions: B heads, N points, A ambient coordinates. A subclass defines the functions that raise here.
    """

    closed_form: Literal["backward", "forward"] = "backward"
    deformer: ExpressionDeformer

    def at_rest(self, points: torch.Tensor, ambient, condition: Any, dense: bool = False, keep: bool = True):
        """The field (B, N) at points (B, N, 3) of heads at rest and ambient coordinates (B, N, A), None where they are
        zero; and what its reverse pass needs."""
        raise NotImplementedError

    def gradient_at_rest(self, state: Any, points: torch.Tensor, condition: Any) -> Any:
        """Its reverse pass for a cotangent of ones: `points` (B, N, 3) and `ambient` (B, N, A) of it are the gradient,
        the rest is the model's own affair."""
        raise NotImplementedError

    @denormals_flushed()
    def signed_distance(self, points: torch.Tensor, codes: Any, *, dense: bool = False) -> torch.Tensor:
        """Signed distance (B, N) at posed points (B, N, 3); `dense` evaluates all parts (the oracle)."""
        condition = self.condition_of(codes)
        canonical, ambient, _ = self.warp(points, condition, keep=False)
        value, _ = self.at_rest(canonical, ambient, condition, dense=dense, keep=False)
        return value

    def value_and_gradient(self, points: torch.Tensor, codes: Any, *, dense: bool = False):
        """Signed distance (B, N) and its gradient (B, N, 3) by the posed points, both differentiable once more."""
        value, gradient, _ = self.trace(points, self.condition_of(codes), dense=dense)
        return value, gradient

    @denormals_flushed()
    def trace(self, points: torch.Tensor, condition: Any, *, dense: bool = False):
        """As :meth:`value_and_gradient`, and also x_can (B, N, 3) and omega (B, N, A; None when neutral)."""
        canonical, ambient, warp = self.warp(points, condition)
        value, state = self.at_rest(canonical, ambient, condition, dense=dense)
        back = self.gradient_at_rest(state, canonical, condition)
        if warp is None:
            return value, back.points, (canonical, None)
        through, _, _, _ = self.deformer.reverse(back.points, back.ambient, warp)
        return value, back.points + through, (canonical, ambient)

    @denormals_flushed()
    def to_canonical(self, points: torch.Tensor, codes: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """The backward warp: posed points (B, N, 3) -> x_can (B, N, 3) and omega (B, N, A)."""
        canonical, ambient, _ = self.warp(points, self.condition_of(codes), keep=False)
        if ambient is None:
            ambient = points.new_zeros(*points.shape[:2], self.deformer.ambient)
        return canonical, ambient

    @denormals_flushed()
    def warp_and_jacobian(self, points: torch.Tensor, condition: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """The backward warp x_can (N, 3) and its exact Jacobian d x_can / d x (N, 3, 3) at posed points (N, 3)."""
        eye = torch.eye(3, dtype=points.dtype, device=points.device)
        if condition.expressed is None:
            return points, eye.repeat(len(points), 1, 1)
        shift, ambient, state = self.deformer(points[None], condition.expressed)
        none, rows = torch.zeros_like(ambient), []
        for axis in range(3):
            unit = torch.zeros_like(shift)
            unit[..., axis] = 1.0
            rows.append(self.deformer.reverse(unit, none, state)[0][0])
        return points + shift[0], torch.stack(rows, dim=1) + eye

    def warp(self, points: torch.Tensor, condition: Any, keep: bool = True):
        """x_can (B, N, 3), omega (B, N, A) and the deformer's state; the last two None for heads at rest."""
        if condition.expressed is None:
            return points, None, None
        shift, ambient, state = self.deformer(points, condition.expressed, keep=keep)
        return points + shift, ambient, state
