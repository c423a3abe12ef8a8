"""Blending local fields by distance to anchors (imHead Eqs. 4-5, NPHM Eqs. 6-8), sparse by a smooth threshold.

The default kernel is what NPHM's code really uses, a Gaussian with log-weight -d^2 / sigma^2; imHead's literal
exp(-d / sigma) is the option ``laplace``, rounded at its cone. The threshold p -> relu(p - eps)^2 / p is part of the
model: it leaves 3-8 of the 39 parts at a point, at least one for any eps < 1/39, and keeps the field C1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

_CONE = 1e-2  # model units: rounds the tip of exp(-d / sigma) at an anchor


@dataclass(frozen=True)
class Blend:
    """Blend weights at points, with what their reverse pass needs.

    Attributes:
        weights: (B, N, K), non-negative, summing to one; exactly zero for parts that do not matter. With a background
            (B, N, K + 1), whose weight is the last.
        p: As the weights, the softmax before the threshold.
        total: (B, N, 1) sum of the thresholded softmax.
        distance: (B, N, K) rounded distance to the anchors, for the Laplace kernel only.
    """

    weights: torch.Tensor
    p: torch.Tensor
    total: torch.Tensor
    distance: torch.Tensor | None


def blend(
    points: torch.Tensor,
    anchors: torch.Tensor,
    kernel: str,
    sigma: float,
    threshold: float,
    background: float | None = None,
) -> Blend:
    """Blend weights w(x, k_j) of imHead Eq. 5 with the smooth threshold.

    Args:
        points: (B, N, 3) model units.
        anchors: (B, K, 3) model units.
        kernel: ``gaussian`` or ``laplace``.
        sigma: Width of a part's influence, model units.
        threshold: eps in [0, 1/K); 0 keeps every part.
        background: Log-weight of one more part that is everywhere alike (c of NPHM Eq. 7), or None for none.
    """
    square = (
        (points * points).sum(-1, keepdim=True)
        - 2.0 * points @ anchors.transpose(1, 2)
        + (anchors * anchors).sum(-1)[:, None]
    )
    distance = None
    if kernel == "gaussian":
        logits = square / (-sigma * sigma)
    else:
        distance = (square.clamp_min(0.0) + _CONE**2).sqrt()
        logits = distance / -sigma
    if background is not None:
        logits = torch.cat([logits, torch.full_like(logits[..., :1], background)], dim=-1)
    p = torch.softmax(logits, dim=-1)
    kept = torch.relu(p - threshold)
    phi = kept * kept / p.clamp_min(max(threshold, 1e-30))
    total = phi.sum(-1, keepdim=True)
    return Blend(phi / total, p, total, distance)


def blend_reverse(
    cotangent: torch.Tensor, state: Blend, points: torch.Tensor, anchors: torch.Tensor, sigma: float, threshold: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pull a cotangent of the weights (B, N, K; with a background K + 1) back to the points.

    Returns:
        The gradient at the points (B, N, 3), and q (B, N, K) with which the gradient at anchor j is
        ``q_j * (x - k_j)``; both in inverse model units.
    """
    weights, p = state.weights, state.p
    centred = (cotangent - (cotangent * weights).sum(-1, keepdim=True)) / state.total
    # phi = relu(p - eps)^2 / p has slope 1 - eps^2 / p^2 where p > eps
    on_p = centred * (1.0 - (threshold / p.clamp_min(max(threshold, 1e-30))) ** 2)
    on_logits = (p * (on_p - (p * on_p).sum(-1, keepdim=True)))[..., : anchors.shape[1]]  # a background stays
    # d logit_j / dx = -(2 / sigma^2) (x - k_j) or -(x - k_j) / (sigma d_j)
    q = on_logits * (2.0 / sigma**2) if state.distance is None else on_logits / (sigma * state.distance)
    return q @ anchors - q.sum(-1, keepdim=True) * points, q
