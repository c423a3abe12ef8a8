"""Rigid motions that differ from point to point: the exponential map of SE(3) (as Nerfies and ImFace use it).

A twist (w, v) turns about w by |w| radians and moves along v: x' = x + u + B w x u + C w x (w x u), u = w x x + v, with
B = (1 - cos t) / t^2 and C = (t - sin t) / t^3 at t = |w|, which are smooth where nothing turns.
"""

from __future__ import annotations

import torch

_SMALL = 1e-2
"""Square radians below which the series of B and C is taken; its error there is below 1e-12."""


def move(points: torch.Tensor, twist: torch.Tensor) -> torch.Tensor:
    """Points after the motion that each has of its own, differentiable as often as one likes.

    Args:
        points: (..., 3).
        twist: (..., 6) rotation vector w, radians, and v in the points' unit.
    """
    turn, shift = twist[..., :3], twist[..., 3:]
    square = (turn * turn).sum(-1, keepdim=True)
    small = square < _SMALL
    safe = torch.where(small, torch.ones_like(square), square)  # the branch not taken must have finite slopes
    angle = safe.sqrt()
    first = torch.where(small, 0.5 - square / 24 + square**2 / 720 - square**3 / 40320, (1 - angle.cos()) / safe)
    third = 1 / 6 - square / 120 + square**2 / 5040 - square**3 / 362880
    second = torch.where(small, third, (angle - angle.sin()) / (safe * angle))
    by = torch.linalg.cross(turn, points) + shift
    again = torch.linalg.cross(turn, by)
    return points + by + first * again + second * torch.linalg.cross(turn, again)
