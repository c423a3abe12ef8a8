"""The forward warp: posed points x with x + Delta x(x, z_exp) = x_can, by inverting the model's backward warp.

A model whose warp is forward answers in one pass. For the others: Newton's method on batches of points. It begins
with the deformer's exact 3x3 Jacobian (three reverse passes over one forward pass) and keeps it up to date by
Broyden's rule, which costs nothing; where that converges slowly the exact one is computed again, and where even that
does not help the step is shortened. Points that do not converge from where they start are carried there by
continuation: the expression changes in steps, each starting from the last one's answer.

Where the warp folds (a Jacobian with determinant <= 0) there is more than one posed point for a canonical one, or
none: a closed mouth's seam opens into a whole cavity. Such points are reported, not hidden.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import present
from ..nn.machine import denormals_flushed
from ..types import Codes

if TYPE_CHECKING:
    import torch

    from ..models.protocol import HeadModel

TOLERANCE = 4e-5
"""Residual |x + Delta x - x_can| that counts as solved, model units (0.01 mm)."""

SLOW = 0.3
"""A step that leaves more than this share of the residual asks for the exact Jacobian."""

GENTLE = 0.15
"""Where the updated Jacobian is this close to the identity its determinant stands; elsewhere the exact one is taken."""


CHUNK = 4096
"""Points at once."""


@dataclass(frozen=True)
class Unwarped:
    """Posed points of one head and how well the warp could be inverted there.

    Attributes:
        points: (N, 3) posed points, model units; the best found where nothing solves the equation.
        residual: (N,) what is left of |x + Delta x(x) - x_can|, model units.
        determinant: (N,) of the backward warp's Jacobian at the points: 1 = rigid, <= 0 = folded over.
        evaluations: Points at which the deformer was evaluated.
    """

    points: np.ndarray
    residual: np.ndarray
    determinant: np.ndarray
    evaluations: int

    def report(self, tolerance: float = TOLERANCE) -> dict[str, float]:
        """Share of points ``solved``, share ``folded``, and the 99.9th percentile and largest residual."""
        count = max(len(self.points), 1)
        return {
            "solved": float((self.residual <= tolerance).sum() / count),
            "folded": float((self.determinant <= 0).sum() / count),
            "residual_p999": float(np.percentile(self.residual, 99.9)) if len(self.points) else 0.0,
            "residual_max": float(self.residual.max(initial=0)),
        }

    def with_points(self, index: np.ndarray, other: Unwarped) -> Unwarped:
        """These, with those at `index` taken from another answer."""
        points, residual, determinant = self.points.copy(), self.residual.copy(), self.determinant.copy()
        points[index], residual[index], determinant[index] = other.points, other.residual, other.determinant
        return Unwarped(points, residual, determinant, self.evaluations + other.evaluations)


def from_canonical(
    model: HeadModel,
    canonical: np.ndarray,
    codes: Codes,
    *,
    start: np.ndarray | None = None,
    steps: int = 12,
    continuation: int = 4,
    tolerance: float = TOLERANCE,
) -> Unwarped:
    """Posed points of canonical ones: the inverse of the model's `to_canonical`.

    Args:
        model: A model whose warp is forward, or backward with a Jacobian.
        canonical: (N, 3) points of the neutral head's space, model units.
        codes: One head (B = 1) with its expression; without one the points come back as they are.
        start: (N, 3) where to begin, default the canonical points.
        steps: Newton steps at most.
        continuation: Steps in which the weights grow for points that did not converge at once; 0 leaves them.
        tolerance: Residual that is good enough, model units.
    Raises:
        ValueError: The codes are of more than one head.
        ConfigError: The model has no warp of either kind.
    """
    if codes.identity.shape[0] != 1:
        raise ValueError(f"from_canonical takes the codes of one head, got a batch of {codes.identity.shape[0]}")
    from ..models.protocol import ForwardWarped, WarpLinearisable, lacks, require

    target = np.asarray(canonical, dtype=np.float32)
    if _neutral(codes):
        ones = np.ones(len(target))
        return Unwarped(target.astype(float), 0 * ones, ones, 0)
    if not lacks(model, ForwardWarped):
        return _forward(model, target, codes)
    require(model, WarpLinearisable, "Following points into an expression")
    condition = model.condition(codes)
    begin = target if start is None else np.asarray(start, dtype=np.float32)
    points, residual, determinant, spent = _newton(
        model, condition, codes.identity.device, target, begin, steps, tolerance
    )
    left = np.flatnonzero((residual > tolerance) | (determinant <= 0))
    if continuation and len(left):
        here, rest, det, more = _follow(
            model,
            target[left],
            target[left],
            0 * present(codes.expression, "an expression"),
            codes,
            continuation,
            steps,
            tolerance,
        )
        spent += more
        better = (rest < residual[left]) | ((rest <= tolerance) & (det > 0))
        won = left[better]
        points[won], residual[won], determinant[won] = here[better], rest[better], det[better]
    return Unwarped(points.astype(float), residual.astype(float), determinant.astype(float), spent)


def follow(
    model: HeadModel,
    canonical: np.ndarray,
    posed: np.ndarray,
    known: Codes,
    codes: Codes,
    *,
    path: int = 4,
    steps: int = 6,
    tolerance: float = TOLERANCE,
) -> Unwarped:
    """As :func:`from_canonical`, along the way from an expression whose answer is known: its branch is kept.

    Args:
        model: A model whose warp is forward, or backward with a Jacobian.
        canonical: (N, 3).
        posed: (N, 3) posed points of the canonical ones with the known expression.
        known: One head with that expression.
        codes: The same head with the expression wanted.
        path: Steps from one expression to the other.
        steps: Newton steps in each.
        tolerance: Residual that is good enough, model units.
    """
    from ..models.protocol import ForwardWarped, Reposed, lacks

    target, start = (np.asarray(p, dtype=np.float32) for p in (canonical, posed))
    if not lacks(model, Reposed):
        return _reposed(model, start, known, codes)
    if not lacks(model, ForwardWarped):
        return _forward(model, target, codes)
    points, residual, determinant, spent = _follow(
        model, target, start, known.expression, codes, path, steps, tolerance
    )
    return Unwarped(points.astype(float), residual.astype(float), determinant.astype(float), spent)


def _forward(model: HeadModel, target: np.ndarray, codes: Codes) -> Unwarped:
    """The posed points of a forward warp: nothing is left over, and its backward warp has the inverse determinants."""
    import torch

    from ..models.protocol import ForwardWarped, require

    warp, found = require(model, ForwardWarped, "Following points into an expression"), []
    with torch.no_grad(), denormals_flushed():
        condition = model.condition(codes)
        for part in torch.from_numpy(target).to(codes.identity.device).split(CHUNK):
            determinant = torch.linalg.det(warp.forward_jacobian(part[None], condition))[0]
            found.append((warp.from_canonical(part[None], condition)[0].cpu(), determinant.cpu()))
    points, determinant = (torch.cat(column).double().numpy() for column in zip(*found))
    folded = np.where(np.abs(determinant) < 1e-6, 1e-6, determinant)
    return Unwarped(points, np.zeros(len(points)), 1.0 / folded, len(points))


def _reposed(model: HeadModel, start: np.ndarray, known: Codes, codes: Codes) -> Unwarped:
    """Posed points under a known expression in another one; determinants are those of the way back to the rest."""
    import torch

    from ..models.protocol import Reposed, WarpLinearisable, require

    way, found = require(model, Reposed, "Following points into an expression"), []
    back = require(model, WarpLinearisable, "Following points into an expression")
    with torch.no_grad(), denormals_flushed():
        before, after = model.condition(known), model.condition(codes)
        for part in torch.from_numpy(start).to(codes.identity.device).split(CHUNK):
            there = way.between_poses(part[None], before, after)[0]
            found.append((there.cpu(), torch.linalg.det(back.warp_and_jacobian(there, after)[1]).cpu()))
    points, determinant = (torch.cat(column).double().numpy() for column in zip(*found))
    return Unwarped(points, np.zeros(len(points)), determinant, len(points))


def _follow(model, target, start, known, codes, path: int, steps: int, tolerance: float):
    here, spent = start, 0
    for step in range(1, path + 1):
        at = replace(codes, expression=known + (codes.expression - known) * (step / path))
        condition = model.condition(at)
        if _neutral(at):  # nothing is warped
            return target, np.zeros(len(target), np.float32), np.ones(len(target), np.float32), spent
        here, residual, determinant, more = _newton(
            model, condition, codes.identity.device, target, here, steps, tolerance
        )
        spent += more
    return here, residual, determinant, spent


def _neutral(codes: Codes) -> bool:
    return codes.expression is None or not bool((codes.expression != 0).any())


def _newton(model, condition, device, target: np.ndarray, start: np.ndarray, steps: int, tolerance: float):
    """Damped quasi-Newton in chunks: points, residuals, determinants (numpy) and evaluations."""
    import torch

    found, spent = [], 0
    with torch.no_grad(), denormals_flushed():
        for begin in range(0, len(target), CHUNK):
            goal = torch.from_numpy(target[begin : begin + CHUNK]).to(device)
            x = torch.from_numpy(np.ascontiguousarray(start[begin : begin + CHUNK])).to(device).clone()
            search = _Search(model, condition, goal, x)
            search.run(steps, tolerance)
            spent += search.spent
            found.append((search.x, search.residual, torch.linalg.det(search.jacobian)))
    if not found:
        return np.empty((0, 3), np.float32), np.empty(0, np.float32), np.empty(0, np.float32), 0
    return (*(torch.cat(part).cpu().numpy() for part in zip(*found)), spent)


class _Search:
    """Posed points x (N, 3) on their way to where the warp meets a goal (N, 3), with what is known of it there."""

    def __init__(self, model, condition, goal: torch.Tensor, x: torch.Tensor) -> None:
        import torch

        self.model, self.condition, self.goal, self.x = model, condition, goal, x
        self.warped, self.jacobian = model.warp_and_jacobian(x, condition)
        self.residual = (self.warped - goal).norm(dim=1)
        self.length = torch.ones_like(self.residual)
        self.exact = torch.ones_like(self.residual, dtype=torch.bool)  # the Jacobian is the warp's own
        self.spent = len(x)

    def run(self, steps: int, tolerance: float) -> None:
        """So many steps at most, of the points that still need one."""
        active = self.residual > tolerance
        for _ in range(steps):
            index = active.nonzero()[:, 0]
            if not len(index):
                break
            self._step(index)
            active = (self.residual > tolerance) & (self.length > 0.02)
        eye = self.jacobian.new_zeros(3, 3).fill_diagonal_(1.0)
        rough = (~self.exact & ((self.jacobian - eye).flatten(1).norm(dim=1) > GENTLE)).nonzero()[:, 0]
        if len(rough):
            self.jacobian[rough] = self.model.warp_and_jacobian(self.x[rough], self.condition)[1]
            self.spent += len(rough)

    def _step(self, index: torch.Tensor) -> None:
        x, warped, jacobian, residual, length = self.x, self.warped, self.jacobian, self.residual, self.length
        step = length[index, None] * _solve(jacobian[index], self.goal[index] - warped[index])
        new = self.model.to_canonical((x[index] + step)[None], self.condition)[0][0]
        self.spent += len(index)
        rest = (new - self.goal[index]).norm(dim=1)
        better = rest < residual[index]
        won, made = index[better], step[better]
        # Broyden: the Jacobian that explains what the warp did along the step
        surprise = new[better] - warped[won] - (jacobian[won] @ made[..., None])[..., 0]
        jacobian[won] += surprise[..., None] * (made / (made**2).sum(1, keepdim=True).clamp_min(1e-20))[:, None]
        slow = better & (rest > SLOW * residual[index])
        x[won], residual[won], warped[won] = x[won] + made, rest[better], new[better]
        self.exact[won], length[won] = False, 1.0
        # where that is no help the Jacobian itself is computed; where it is at hand already, shorter steps
        again = index[(slow | ~better) & ~self.exact[index]]
        length[index[~better & self.exact[index]]] *= 0.35
        if len(again):
            jacobian[again] = self.model.warp_and_jacobian(x[again], self.condition)[1]
            self.exact[again] = True
            self.spent += len(again)


def _solve(jacobian, right):
    """Newton steps (N, 3), damped where the Jacobian is nearly singular and no longer than 0.06 (15 mm)."""
    import torch

    normal = jacobian.transpose(1, 2) @ jacobian
    ridge = 1e-5 * torch.eye(3, dtype=right.dtype, device=right.device)
    step = torch.linalg.solve(normal + ridge, (jacobian.transpose(1, 2) @ right[..., None]))[..., 0]
    return step * (0.06 / step.norm(dim=1, keepdim=True).clamp_min(1e-12)).clamp_max(1.0)
