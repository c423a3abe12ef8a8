"""What an avatar is trained for: IMAvatar Eqs. 11-14, an equation a function, and what a surface needs beside them.

|P| is the number of all rays of a step, also of those that a term says nothing about. Lengths are model units.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import softplus

from headfield.avatar.found import Found


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms."""

    mask: float = 2.0
    """lambda_M of Eq. 14."""
    template: float = 1.0
    """lambda_FL of Eq. 14: nearness to the template's blendshapes and weights; 0 is the paper's unsupervised mode."""
    blendshapes: float = 1000.0
    """lambda_e and lambda_p of Eq. 13."""
    skinning: float = 0.1
    """lambda_w of Eq. 13."""
    eikonal: float = 0.1
    """|dg/dx| = 1: not in the paper; keeps g a distance, on which Newton's method and tolerances rest."""
    smooth: float = 0.0
    """Nearness of the normal 5 mm beside a surface point to the point's own (UNISURF, Oechsle et al. 2021, Eq. 13): not
    in the paper; colours that texture cannot explain yet are not to become relief."""
    anchor: float = 0.0
    """How much g, blendshapes and weights are held to the template in the mouth and at the lids, which a mild video
    hardly shows; 0 leaves them free."""


def colour(predicted: torch.Tensor, truth: torch.Tensor, rays: int) -> torch.Tensor:
    """Eq. 11: ||C_p - c||_1 over foreground rays that met the surface, both (N, 3) in -1..1, as a share of |P|."""
    return (predicted - truth).abs().sum() / rays


def mask(g: torch.Tensor, solid: torch.Tensor, sharpness: float, rays: int) -> torch.Tensor:
    """Eq. 12: cross-entropy of occupancy sigmoid(-alpha g) and mask, over rays without a surface, as a share of |P|.

    Args:
        g: (N,) logits.
        solid: (N,) bool, what the mask says.
        sharpness: alpha.
        rays: |P|.
    """
    return softplus(torch.where(solid, sharpness * g, -sharpness * g)).sum() / rays


@dataclass(frozen=True)
class MaskPlaces:
    """Where the mask term acts.

    Attributes:
        ray: (M,) ascending indices of rays.
        canonical: (M, 3).
        depth: (M,) along the ray.
        solid: (M,) bool.
    """

    ray: torch.Tensor
    canonical: torch.Tensor
    depth: torch.Tensor
    solid: torch.Tensor


def mask_places(found: Found, foreground: torch.Tensor, sharpness: float) -> MaskPlaces:
    """Which place of which ray the mask term supervises.

    * Background rays: the smallest g, empty (unless it is so large that nothing would come of it).
    * Foreground rays that met nothing: the smallest g, solid, but only while it is positive. A ray whose samples are
      inside already is no reason to make more of it.
    * Foreground rays that begin inside: their first sample, *empty*: it lies before the surface. Without this such a
      ray has no crossing, asks for solid wherever it looks, and the surface swells up to the camera (measured: a torso
      was gone from the picture after 400 steps).

    Args:
        found: Of R rays.
        foreground: (R,) bool, what the mask says.
        sharpness: alpha.
    """
    begins = foreground & found.inside
    known = found.smallest_depth.isfinite()
    near = found.smallest_g < 12.0 / sharpness
    empty = ~foreground & known & near
    missing = foreground & ~found.surface & ~found.inside & known & (found.smallest_g > 0)
    ray = (empty | missing | begins).nonzero()[:, 0]
    first = begins[ray]
    canonical = torch.where(first[:, None], found.first[ray], found.smallest[ray])
    depth = torch.where(first, found.first_depth[ray], found.smallest_depth[ray])
    return MaskPlaces(ray, canonical, depth, missing[ray])


def template(
    basis: torch.Tensor, weights: torch.Tensor, true_basis: torch.Tensor, true_weights: torch.Tensor, size: LossWeights
) -> torch.Tensor:
    """Eq. 13: distance of blendshapes and skinning weights from those of the nearest template vertices.

    Squared, as the published code has it (10 ||10 d||^2 is its lambda of 1000).

    Args:
        basis: (N, Q + E, 3) correctives and blendshapes.
        weights: (N, J).
        true_basis, true_weights: Of the nearest vertices.
        size: lambda_e = lambda_p and lambda_w.
    """
    shapes = (basis - true_basis).square().sum(-1).mean()
    return size.blendshapes * shapes + size.skinning * (weights - true_weights).square().sum(-1).mean()


def eikonal(slope: torch.Tensor) -> torch.Tensor:
    """Mean (|dg/dx| - 1)^2 of slopes (N, 3)."""
    return ((slope.square().sum(-1) + 1e-12).sqrt() - 1.0).square().mean()


def smooth(slope: torch.Tensor, beside: torch.Tensor) -> torch.Tensor:
    """Mean |n - n'|^2 of the unit normals along slopes (N, 3) of g and those beside them."""
    here, there = (torch.nn.functional.normalize(one, dim=-1, eps=1e-6) for one in (slope, beside))
    return (here - there).square().sum(-1).mean()
