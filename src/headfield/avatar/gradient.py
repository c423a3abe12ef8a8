"""The analytic gradient: located points as differentiable functions of the weights (IMAvatar Eq. 10).

A point that an iteration has found obeys F(x_c, sigma) = 0, hence dx_c/dsigma = -(dF/dx_c)^-1 dF/dsigma. One Newton
step with the inverse held has that derivative and the same value (:func:`headfield.nn.root_finding.implicit`), whatever
the iteration was.

* surface rays: F = (g(x_c), u.(w(x_c) - o), v.(w(x_c) - o)), Eqs. 8 and 9 with the two offsets from the ray;
* mask rays: F = w(x_c) - x*, where x* is the place on the ray with the smallest g, held.
"""

from __future__ import annotations

import torch

from headfield.avatar.avatar import Bound
from headfield.avatar.rays import Rays
from headfield.nn.root_finding import implicit


def surface_points(bound: Bound, rays: Rays, canonical: torch.Tensor, inverse: torch.Tensor) -> torch.Tensor:
    """Surface points (R, 3), differentiable by the weights of geometry and deformation.

    Args:
        bound: The avatar in its frames.
        rays: R rays.
        canonical: (R, 3) their roots.
        inverse: (R, 3, 3) inverse Jacobians of F at them, as found.
    """
    held = canonical.detach()
    away = bound.morph(held, rays.rows).points - rays.origin
    offsets = (rays.across() @ away[:, :, None])[:, :, 0]
    value = torch.cat([bound.g(held, rays.rows)[:, None], offsets], dim=1)
    return implicit(held, value, torch.zeros_like(value), inverse.detach())


def sampled_points(bound: Bound, rays: Rays, canonical: torch.Tensor, depth: torch.Tensor) -> torch.Tensor:
    """Canonical points (R, 3) of places on rays, differentiable by the weights of deformation.

    Args:
        bound: The avatar in its frames.
        rays: R rays.
        canonical: (R, 3) as found.
        depth: (R,) of the places.
    """
    held = canonical.detach()
    with torch.no_grad():
        inverse = torch.linalg.inv_ex(bound.morph(held, rays.rows, slope=True).jacobian)[0]
    return implicit(held, bound.morph(held, rays.rows).points, rays.at(depth), inverse)
