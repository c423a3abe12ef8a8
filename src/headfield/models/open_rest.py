"""Models with a forward deformation whose fields hold another face than the one at rest: NPHM's open mouth (§4.1).

A closed mouth cannot be torn open by a deformation: lips that touch are one place. So the field holds the open mouth,
and the face at rest is a deformation of it like any other. The rest of the library knows one canonical space, that of
the head at rest, in which nothing moves at an expression of zeros. So it stays:

    F_e            the forward deformation, from the field's own space into expression e
    posed value    f(F_e^-1(x)), directly: no posed point passes through the closed mouth
    to canonical   F_0(F_e^-1(x)),    from canonical   F_e(F_0^-1(x)),    both the identity at e = 0

Where lips touch at rest a canonical point belongs to both, and F_0^-1 takes one of them. Whoever follows a lip from a
mouth that is open knows which, and says so by the posed point itself (:meth:`OpenRest.between_poses`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from headfield.models.forward_warped import ForwardWarpedModel


class OpenRest(ForwardWarpedModel):
    """The common ground of such models, before the model itself in the order of bases.

    Dimensions: B heads, N points, E expression numbers. A condition has a field `resting`, the folded expression of the
    face at rest; it is the very object in `expressed` where that face is meant.
    """

    def resting(self, condition: Any) -> Any:
        """The condition of the same heads at rest."""
        return replace(condition, expressed=condition.resting)

    def from_canonical(self, points: torch.Tensor, codes: Any) -> torch.Tensor:
        """Points (B, N, 3) of the head at rest -> posed points (B, N, 3), by root finding."""
        condition = self.condition_of(codes)
        if condition.expressed is condition.resting:
            return points
        return self.from_field(self.to_field(points, self.resting(condition)), condition)

    def to_canonical(self, points: torch.Tensor, codes: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Posed points (B, N, 3) -> points of the head at rest (B, N, 3); no ambient coordinates (B, N, 0)."""
        condition, none = self.condition_of(codes), points.new_zeros(*points.shape[:2], 0)
        if condition.expressed is condition.resting:
            return points, none
        return self.from_field(self.to_field(points, condition), self.resting(condition)), none

    def between_poses(self, points: torch.Tensor, known: Any, codes: Any) -> torch.Tensor:
        """Posed points (B, N, 3) under one expression -> under another, of the same heads: no way through the head at
        rest, at which lips would lose their side."""
        return self.from_field(self.to_field(points, self.condition_of(known)), self.condition_of(codes))

    def warp_and_jacobian(self, points: torch.Tensor, condition: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Posed points (N, 3) of one head on the head at rest (N, 3), and d rest / d posed (N, 3, 3)."""
        if condition.expressed is condition.resting:
            return points, torch.eye(3, dtype=points.dtype, device=points.device).repeat(len(points), 1, 1)
        home, rest = self.to_field(points[None], condition), self.resting(condition)
        back = torch.linalg.inv(self.field_jacobian(home, condition))
        return self.from_field(home, rest)[0], (self.field_jacobian(home, rest) @ back)[0]

    def forward_jacobian(self, points: torch.Tensor, condition: Any) -> torch.Tensor:
        """d posed / d rest (B, N, 3, 3) at points (B, N, 3) of the head at rest, exact."""
        if condition.expressed is condition.resting:
            return torch.eye(3, dtype=points.dtype, device=points.device).repeat(*points.shape[:2], 1, 1)
        rest = self.resting(condition)
        home = self.to_field(points, rest)
        return self.field_jacobian(home, condition) @ torch.linalg.inv(self.field_jacobian(home, rest))
