"""Blending the nearest local fields with a width that follows the anchors' density (MonoNPHM).

Of the anchors only the 12 nearest count, and one field that is everywhere, as if its anchor were always at the same
distance c. All weights are Gaussian in the distance d_j, with a standard deviation that ends where the anchors do:

    s(x) = d_(8)(x) / 3.75,   w_j = exp(-d_j^2 / 2 s^2) / sum,   w_0 = exp(-c^2 / 2 s^2) / sum

with d_(8) the distance of the eighth nearest. There a Gaussian is 9e-4 of its height, and beyond it smaller: such a
step, relative to the sum of them all, the weights make where another anchor becomes one of the twelve.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

NEAREST = 12
"""Anchors that count at a point (published configuration)."""

MEASURING = 8
"""The one of them, by distance, whose distance is the measure (published code)."""


@dataclass(frozen=True)
class NearestBlend:
    """Blend weights at points, with what their reverse pass needs.

    Attributes:
        weights: (B, N, K + 1), non-negative, summing to one, the last that of the field that is everywhere.
        square: (B, N, K + 1) squared distances, c^2 for the last.
        eighth: (B, N, 1) that of the eighth nearest.
        index: (B, N, 1) which anchor that is.
    """

    weights: torch.Tensor
    square: torch.Tensor
    eighth: torch.Tensor
    index: torch.Tensor


def nearest_blend(points: torch.Tensor, anchors: torch.Tensor, sharpness: float, everywhere: float) -> NearestBlend:
    """Weights of the nearest anchors.

    Args:
        points: (B, N, 3) model units.
        anchors: (B, K, 3) model units, K at least 12.
        sharpness: Standard deviations up to the eighth nearest (published: 3.75).
        everywhere: c, model units (published: 0.75).
    """
    square = (points[:, :, None] - anchors[:, None]).square().sum(-1)
    near = torch.topk(square.detach(), NEAREST, dim=-1, largest=False, sorted=True).indices
    index = near[..., MEASURING - 1 : MEASURING]
    eighth = square.gather(-1, index)
    square = torch.cat([square, torch.full_like(eighth, everywhere**2)], dim=-1)
    counts = torch.zeros_like(square, dtype=torch.bool).scatter(-1, near, True)
    counts[..., -1] = True
    logits = (square / eighth) * (-0.5 * sharpness**2)
    weights = torch.softmax(logits.masked_fill(~counts, -torch.inf), dim=-1)
    return NearestBlend(weights, square, eighth, index)


def nearest_blend_reverse(
    cotangent: torch.Tensor, state: NearestBlend, points: torch.Tensor, anchors: torch.Tensor, sharpness: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pull a cotangent of the weights (B, N, K + 1) back to the points.

    Returns:
        The gradient at the points (B, N, 3), and q (B, N, K) with which the gradient at anchor j is
        ``q_j * (x - k_j)``; both in inverse model units, as :func:`headfield.nn.blending.blend_reverse` has them.
    """
    weights, share = state.weights, 0.5 * sharpness**2
    on_logits = weights * (cotangent - (weights * cotangent).sum(-1, keepdim=True))
    on_square = on_logits[..., :-1] * (-share / state.eighth)
    on_eighth = (on_logits * state.square).sum(-1, keepdim=True) * (share / state.eighth.square())
    q = -2.0 * on_square.scatter_add(-1, state.index, on_eighth)  # d d_j^2 / dx = 2 (x - k_j)
    return q @ anchors - q.sum(-1, keepdim=True) * points, q
