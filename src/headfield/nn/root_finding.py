"""Iterative root finding: from a posed point back to where it came from (NPHM Eq. 15, after SNARF).

The forward warp x + F(x) has no inverse in closed form. Broyden's method finds the point, starting at the posed point
itself with the exact inverse Jacobian there; points that it does not bring home keep the best that was seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Roots:
    """Where points came from.

    Attributes:
        points: (P, 3) the best that was found.
        residual: (P,) how far the warp takes them from where they should be, model units.
        steps: Evaluations of the warp.
    """

    points: torch.Tensor
    residual: torch.Tensor
    steps: int


@torch.no_grad()
def broyden(
    warp: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    target: torch.Tensor,
    start: torch.Tensor,
    inverse: torch.Tensor,
    steps: int = 15,
    tolerance: float = 1e-6,
    lost: float = 0.2,
) -> Roots:
    """Solve warp(x) = target for each of P points.

    Args:
        warp: ``warp(x (M, 3), index (M,))`` takes points, and which of the P they are, to posed space.
        target: (P, 3) posed points.
        start: (P, 3) first guesses.
        inverse: (P, 3, 3) inverse Jacobians of the warp there.
        steps: Updates at most (published code: 15).
        tolerance: Residual at which a point is home, model units (published code: 1e-6).
        lost: Residual at which a point is given up, keeping the best that was seen (published code: 0.2).
    """
    index = torch.arange(len(target), device=target.device)
    best, x = start.clone(), start
    error = warp(x, index) - target
    residual, size = error.norm(dim=-1), error.norm(dim=-1)
    limit, done = float("inf"), 1  # nothing is lost before its first step
    while done <= steps and bool((going := (size > tolerance) & (size < limit)).any()):
        x, inverse, error, index = x[going], inverse[going], error[going], index[going]
        step = -(inverse @ error[..., None])[..., 0]
        x = x + step
        after = warp(x, index) - target[index]
        change = after - error
        # Broyden's good update of the inverse (Sherman-Morrison)
        moved = (inverse @ change[..., None])[..., 0]
        along = (step[:, None] @ inverse)[:, 0]
        below = (along * change).sum(-1, keepdim=True)
        below = torch.where(below.abs() < 1e-12, torch.full_like(below, 1e-12), below)
        inverse = inverse + ((step - moved) / below)[..., None] * along[:, None]
        error = after
        size = error.norm(dim=-1)
        better = size < residual[index]
        residual[index[better]] = size[better]
        best[index[better]] = x[better]
        limit, done = lost, done + 1
    return Roots(best, residual, done)


def implicit(found: torch.Tensor, posed: torch.Tensor, target: torch.Tensor, inverse: torch.Tensor) -> torch.Tensor:
    """The found points with the derivatives that the implicit function theorem gives them.

    One Newton step whose inverse Jacobian is held: its value is the point itself up to the residual, and its
    derivatives by whatever `posed` and `target` depend on are exact at a root.

    Args:
        found: (..., 3) roots, held.
        posed: (..., 3) the warp at them, differentiable by the codes.
        target: (..., 3) posed points, may be differentiable.
        inverse: (..., 3, 3) inverse Jacobians of the warp at the roots, held.
    """
    return found - (inverse @ (posed - target)[..., None])[..., 0]
