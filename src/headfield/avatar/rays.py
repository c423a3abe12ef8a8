"""Rays through a posed avatar, and the equations of the point where one meets the surface (IMAvatar Eqs. 8, 9)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from headfield.avatar.avatar import Bound
from headfield.avatar.networks import Rows


@dataclass(frozen=True)
class Rays:
    """R rays in deformed space, sorted by frame.

    Attributes:
        origin: (R, 3).
        direction: (R, 3) unit.
        rows: Their frames.
        near, far: (R,) the interval in which the posed template expects the surface, model units from the origin.
        start: (R, 3) canonical place of the posed template's hit, NaN where it has none.
    """

    origin: torch.Tensor
    direction: torch.Tensor
    rows: Rows
    near: torch.Tensor
    far: torch.Tensor
    start: torch.Tensor

    def __len__(self) -> int:
        return len(self.origin)

    def pick(self, which: torch.Tensor) -> Rays:
        """Only some of the rays, in their order: (R,) bool or ascending indices."""
        given = (self.origin, self.direction, self.near, self.far, self.start)
        origin, direction, near, far, start = (tensor[which] for tensor in given)
        return Rays(origin, direction, self.rows.pick(which), near, far, start)

    def at(self, depth: torch.Tensor) -> torch.Tensor:
        """Points (R, ..., 3) at depths (R, ...)."""
        shape = (len(self), *[1] * (depth.ndim - 1), 3)
        return self.origin.view(shape) + depth[..., None] * self.direction.view(shape)

    def across(self) -> torch.Tensor:
        """Two unit vectors (R, 2, 3) at right angles to each ray and to each other."""
        helper = torch.zeros_like(self.direction)
        helper.scatter_(1, self.direction.abs().argmin(1, keepdim=True), 1.0)
        first = torch.nn.functional.normalize(torch.linalg.cross(self.direction, helper), dim=1)
        return torch.stack([first, torch.linalg.cross(self.direction, first)], dim=1)


@dataclass(frozen=True)
class Roots:
    """Where R rays enter the surface.

    Attributes:
        found: (R,) bool.
        canonical: (R, 3) the canonical point.
        inverse: (R, 3, 3) inverse Jacobian there of (g, offsets from the ray), which Eq. 10 needs.
        depth: (R,) along the ray.
    """

    found: torch.Tensor
    canonical: torch.Tensor
    inverse: torch.Tensor
    depth: torch.Tensor


def joint(bound: Bound, points: torch.Tensor, rays: Rays, across: torch.Tensor):
    """F = (g, u.(x_d - o), v.(x_d - o)) at canonical points, whose root is where the ray meets the surface.

    Args:
        bound: The avatar in its frames.
        points: (R, 3), one on each ray.
        rays: R rays.
        across: (R, 2, 3) of them, u and v.
    Returns:
        F (R, 3), its Jacobian (R, 3, 3), the depth (R,) of x_d, and d x_d / d x_c (R, 3, 3).
    """
    g, slope = bound.g_and_slope(points, rays.rows)
    morphed = bound.morph(points, rays.rows, slope=True)
    away = morphed.points - rays.origin
    value = torch.cat([g[:, None], (across @ away[:, :, None])[:, :, 0]], dim=1)
    jacobian = torch.cat([slope[:, None], across @ morphed.slopes], dim=1)
    return value, jacobian, (away * rays.direction).sum(1), morphed.slopes


@torch.no_grad()
def polish(bound: Bound, rays: Rays, start: torch.Tensor, steps: int, tolerance: float, reach: float = 0.1) -> Roots:
    """Newton's method on F for each ray; only roots at which the ray enters count.

    Args:
        bound: The avatar in its frames.
        rays: R rays.
        start: (R, 3) canonical; NaN for rays without one, which have no root.
        steps: Updates at most.
        tolerance: |F| at a root, model units.
        reach: No update is longer, model units.
    """
    count = len(rays)
    found = torch.zeros(count, dtype=torch.bool)
    canonical, depths = start.clone(), start.new_full((count,), float("nan"))
    inverses = start.new_zeros(count, 3, 3)
    index = start.isfinite().all(1).nonzero()[:, 0]
    x, going, across = start[index], rays.pick(index), rays.across()[index]
    for step in range(steps + 1):
        if not len(index):
            break
        value, jacobian, depth, warp = joint(bound, x, going, across)
        inverse, _ = torch.linalg.inv_ex(jacobian)
        size = value.norm(dim=1)
        home = size < tolerance
        # a unit of g along the ray is so long: negative where g falls, that is where the ray enters
        along = ((warp @ inverse[:, :, :1])[:, :, 0] * going.direction).sum(1)
        entering = home & (along < 0) & (depth > 0)
        at = index[entering]
        found[at], canonical[at], inverses[at], depths[at] = True, x[entering], inverse[entering], depth[entering]
        move = -(inverse @ value[:, :, None])[:, :, 0]
        length = move.norm(dim=1, keepdim=True)
        stay = ~home & length[:, 0].isfinite() & (size < 1.0)
        if step == steps:
            break
        x = (x + move * (reach / length.clamp_min(reach)))[stay]
        index, going, across = index[stay], going.pick(stay), across[stay]
    return Roots(found, canonical, inverses, depths)
