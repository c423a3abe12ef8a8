"""Models whose expressions are a forward deformation: from the head at rest into the expression in one pass.

x_posed = x + E(x, z_ex, what E sees of the identity)               NPHM Eqs. 9-10, NPM the same
the way back: a root of it by Broyden's method                      NPHM Eq. 15, after SNARF
derivatives through the root: the implicit function theorem         dx / dposed = J^-1, dx / dz = -J^-1 dE / dz

A model of this kind says how its field is evaluated and pulled back where the deformation begins; this module carries
both into posed space. That place, the field's own space, is the canonical one unless a model says otherwise
(:mod:`headfield.models.open_rest`).
"""

from __future__ import annotations

from typing import Any, Literal

import torch

from headfield.models.field_model import FieldModel
from headfield.models.protocol import Jacobians
from headfield.nn.deformer import Expressed, ExpressionDeformer
from headfield.nn.machine import denormals_flushed
from headfield.nn.root_finding import Roots, broyden, implicit
from headfield.types import Codes

_HOME = 1e-5
"""Residual, model units, above which a point is tried again."""


class ForwardWarpedModel(FieldModel):
    """The common ground of models with a forward deformation and no ambient coordinates.

    Dimensions: B heads, N points, D identity, E expression, S numbers that the deformer sees of an identity. A subclass
    defines the functions that raise here, and `condition`.
    """

    closed_form: Literal["backward", "forward"] = "forward"
    deformer: ExpressionDeformer

    # ---- what a subclass defines ----------------------------------------------------------------------------------

    def at_rest(self, points: torch.Tensor, condition: Any, dense: bool = False, keep: bool = True):
        """The field (B, N) at points (B, N, 3) of its own space, and what its reverse pass needs."""
        raise NotImplementedError

    def gradient_at_rest(self, state: Any, points: torch.Tensor, condition: Any) -> Any:
        """Its reverse pass for a cotangent of ones: `points` (B, N, 3) of it is the gradient, the rest is the model's
        own affair."""
        raise NotImplementedError

    def identity_at_rest(self, back: Any, state: Any, points: torch.Tensor, codes: Codes, condition: Any):
        """The field's derivative by the identity (N, D) at points (N, 3) of one head at rest."""
        raise NotImplementedError

    def seen_by_deformation(self, identity: torch.Tensor) -> torch.Tensor:
        """What the deformer sees (B, S) of identity codes (B, D)."""
        raise NotImplementedError

    def seen_by_identity(self, on_seen: torch.Tensor, codes: Codes) -> tuple[torch.Tensor, ...]:
        """A cotangent (N, S) of what the deformer sees pulled back to the identity: terms (N, D) that add up."""
        raise NotImplementedError

    # ---- the deformation -----------------------------------------------------------------------------------------

    def fold_expression(self, codes: Codes, expression: torch.Tensor) -> Expressed:
        """The deformation's biases for an expression (B, E)."""
        identity = codes.identity if codes.warp_identity is None else codes.warp_identity
        return self.deformer.fold(self.seen_by_deformation(identity), expression)

    def from_field(self, points: torch.Tensor, condition: Any) -> torch.Tensor:
        """The forward deformation: points (B, N, 3) of the field's own space -> posed points (B, N, 3)."""
        if condition.expressed is None:
            return points
        return points + self.deformer(points, condition.expressed, keep=False)[0]

    def from_canonical(self, points: torch.Tensor, codes: Any) -> torch.Tensor:
        """Points (B, N, 3) of the head at rest -> posed points (B, N, 3)."""
        return self.from_field(points, self.condition_of(codes))

    @denormals_flushed()
    def roots(self, points: torch.Tensor, condition: Any) -> Roots:
        """Where posed points (B, N, 3) came from, all heads' points in one list (P = B N).

        Broyden's method from the points themselves, as published; what it does not bring home (a jaw that has gone
        far) is tried once more from where the warp at the point itself says that it came from.
        """
        head = torch.arange(len(points), device=points.device).repeat_interleave(points.shape[1])
        found = self._broyden(points.reshape(-1, 3), points, head, condition)
        lost = found.residual > _HOME
        if not bool(lost.any()):
            return found
        again = 2.0 * points - self.from_field(points, condition)
        second = self._broyden(points.reshape(-1, 3), again, head, condition, lost)
        better = second.residual < found.residual[lost]
        where = lost.nonzero()[:, 0][better]
        found.points[where], found.residual[where] = second.points[better], second.residual[better]
        return Roots(found.points, found.residual, found.steps + second.steps)

    def _broyden(self, target, start, head, condition: Any, which: torch.Tensor | None = None) -> Roots:
        """From starts (B, N, 3); only for some of the targets (P, 3) where `which` (P,) bool says so."""
        inverse = torch.linalg.inv(self.field_jacobian(start, condition)).reshape(-1, 3, 3)
        start = start.reshape(-1, 3)
        if which is not None:
            target, start, head, inverse = target[which], start[which], head[which], inverse[which]
        return broyden(lambda x, index: self._forward(x, head[index], condition.expressed), target, start, inverse)

    @denormals_flushed()
    def to_field(self, points: torch.Tensor, condition: Any) -> torch.Tensor:
        """Posed points (B, N, 3) -> points of the field's own space (B, N, 3), by root finding, with the derivatives of
        the implicit function theorem."""
        if condition.expressed is None:
            return points
        found = self.roots(points.detach(), condition).points.view(points.shape)
        inverse = torch.linalg.inv(self.field_jacobian(found, condition)).detach()
        return implicit(found, self.from_field(found, condition), points, inverse)

    def to_canonical(self, points: torch.Tensor, codes: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Posed points (B, N, 3) -> points of the head at rest (B, N, 3); no ambient coordinates (B, N, 0)."""
        return self.to_field(points, self.condition_of(codes)), points.new_zeros(*points.shape[:2], 0)

    def warp_and_jacobian(self, points: torch.Tensor, condition: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Posed points (N, 3) of one head on the head at rest (N, 3), and d rest / d posed (N, 3, 3)."""
        if condition.expressed is None:
            return points, torch.eye(3, dtype=points.dtype, device=points.device).repeat(len(points), 1, 1)
        found = self.to_canonical(points[None], condition)[0]
        return found[0], torch.linalg.inv(self.field_jacobian(found, condition))[0]

    def _forward(self, x: torch.Tensor, head: torch.Tensor, expressed: Expressed) -> torch.Tensor:
        """Points (M, 3) of given heads (M,) into posed space."""
        bounds = (0, len(x))
        gate = None if expressed.gate is None else expressed.gate[head]
        return x + self.deformer.mlp(x, expressed.folded, head, bounds, gate=gate, keep=False)[0]

    def forward_jacobian(self, points: torch.Tensor, condition: Any) -> torch.Tensor:
        """d posed / d rest (B, N, 3, 3) at points (B, N, 3) of the head at rest, exact."""
        return self.field_jacobian(points, condition)

    @torch.no_grad()
    def field_jacobian(self, points: torch.Tensor, condition: Any) -> torch.Tensor:
        """d posed / d x (B, N, 3, 3) at points (B, N, 3) of the field's own space, exact."""
        if condition.expressed is None:
            return torch.eye(3, dtype=points.dtype, device=points.device).repeat(*points.shape[:2], 1, 1)
        shift, _, state = self.deformer(points, condition.expressed)
        none, rows = points.new_zeros(*points.shape[:2], 0), []
        for axis in range(3):
            unit = torch.zeros_like(shift)
            unit[..., axis] = 1.0
            rows.append(self.deformer.reverse(unit, none, state)[0])
        eye = torch.eye(3, dtype=points.dtype, device=points.device)
        return torch.stack(rows, dim=-2) + eye

    # ---- the posed field -----------------------------------------------------------------------------------------

    @denormals_flushed()
    def signed_distance(self, points: torch.Tensor, codes: Any, *, dense: bool = False) -> torch.Tensor:
        """Signed distance (B, N) at posed points (B, N, 3); `dense` evaluates all parts, where there are any (the
        oracle)."""
        condition = self.condition_of(codes)
        return self.at_rest(self.to_field(points, condition), condition, dense, keep=False)[0]

    @denormals_flushed()
    def value_and_gradient(self, points: torch.Tensor, codes: Any, *, dense: bool = False):
        """Signed distance (B, N) and its gradient (B, N, 3) by the posed points; of heads at rest both are
        differentiable once more, which is what training needs."""
        condition = self.condition_of(codes)
        canonical = self.to_field(points, condition)
        value, state = self.at_rest(canonical, condition, dense)
        gradient = self.gradient_at_rest(state, canonical, condition).points
        if condition.expressed is None:
            return value, gradient
        return value, self._through_warp(gradient, canonical, condition)

    def _through_warp(self, gradient: torch.Tensor, canonical: torch.Tensor, condition: Any) -> torch.Tensor:
        """J^-T g: the gradient (B, N, 3) by the posed points from that by the points at rest."""
        jacobian = self.field_jacobian(canonical, condition)
        return torch.linalg.solve(jacobian.transpose(-1, -2), gradient[..., None])[..., 0]

    @torch.no_grad()
    @denormals_flushed()
    def value_and_jacobian(self, points: torch.Tensor, codes: Codes) -> Jacobians:
        """The field with exact derivatives by point and codes (implicit differentiation), of one head.

        Args:
            points: (N, 3) posed points of one head.
            codes: One head (B = 1); an expression of zeros is allowed and has non-zero derivatives. What does not
                follow the identity is held: given parts, anchors and `warp_identity`.
        """
        condition, with_expression = self.with_expression(codes, self.condition(codes))
        canonical = self.to_field(points[None], condition)
        value, state = self.at_rest(canonical, condition)
        back = self.gradient_at_rest(state, canonical, condition)
        identity = self.identity_at_rest(back, state, canonical[0], codes, condition)
        on_expression = points.new_zeros(len(points), self.config.expression)
        if not with_expression:
            return Jacobians(value[0], back.points[0], identity, on_expression)
        gradient = self._through_warp(back.points, canonical, condition)
        _, _, warp = self.deformer(canonical, condition.expressed)
        _, cotangent, first, skip = self.deformer.reverse(gradient, gradient[..., :0], warp)
        on_seen, on_expression = self.deformer.reverse_codes(cotangent, first, skip, warp)
        if codes.warp_identity is None:
            for term in self.seen_by_identity(on_seen, codes):
                identity = identity - term
        on_expression = torch.zeros_like(on_expression) if codes.expression is None else -on_expression
        return Jacobians(value[0], gradient[0], identity, on_expression)
