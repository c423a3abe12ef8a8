"""Where edited parts act: inside a window about the anchors of their region, and nowhere else.

A part rules its whole cell of the head, which reaches well past the feature that it is named for. So an edited part
shares its cell with the part that the head was born with: w_j m_j(x) for the edited one, w_j (1 - m_j(x)) for its own.

    m_j(x) = 1 - prod_k (1 - S((r_k - |x - k|) / (r_k - r_k / 3))),    S(t) = t^2 (3 - 2 t) on 0..1

with k the anchors of the region that part j was edited with and r_k their reach. m is C1, one near the anchors, and
exactly zero beyond their reach: that is how far an edit can be felt. The extra rows are those of the edited parts only,
and where m is 0 or 1 there are none.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from headfield import frames


@dataclass(frozen=True)
class Window:
    """Slots of an ensemble with edited parts: every part once, and the E edited ones once more.

    Attributes:
        part: (S,) part of each slot, sorted by network; within a network the extra slots come last, so that the rows
            of the others lie where they lie without an edit.
        given: (E,) slots of the edited codes.
        own: (E,) slots of the head's own codes of the same parts.
        around: (B, E, K) 1 for the anchors that an edited part acts around, else 0.
        reach: (K,) where the window ends, model units.
    """

    part: torch.Tensor
    given: torch.Tensor
    own: torch.Tensor
    around: torch.Tensor
    reach: torch.Tensor


@dataclass(frozen=True)
class Shares:
    """The edited parts' shares at points, with what their reverse pass needs.

    Attributes:
        share: (B, N, E) m.
        step: (B, N, K) S of every anchor.
        slope: (B, N, K) dS/dd / d, inverse square model units.
    """

    share: torch.Tensor
    step: torch.Tensor
    slope: torch.Tensor


def window_of(around: torch.Tensor, network: torch.Tensor, like: torch.Tensor) -> Window | None:
    """Slots for edited parts.

    Args:
        around: (B, K) int64, bit k of [b, j] set where edited part j acts around anchor k; 0 for an unedited part.
        network: (K,) network of each part, non-decreasing.
        like: Gives the number type and the device.
    Returns:
        None where nothing is edited.
    """
    parts = len(network)
    edited = (around != 0).any(dim=0).nonzero()[:, 0].to(network.device)
    if not len(edited):
        return None
    every = torch.cat([torch.arange(parts, device=network.device), edited])
    order = torch.argsort(2 * network[every] + (torch.arange(len(every), device=network.device) >= parts), stable=True)
    slot = torch.empty_like(order)
    slot[order] = torch.arange(len(order), device=network.device)
    bits = torch.arange(around.shape[1], device=around.device)  # of the anchored parts
    mask = ((around[:, edited.to(around.device), None] >> bits) & 1).to(like)
    reach = torch.as_tensor(frames.edit_reach()).to(like)
    return Window(every[order], slot[parts:], slot[edited], mask, reach)


def shares(points: torch.Tensor, anchors: torch.Tensor, window: Window) -> Shares:
    """m (B, N, E) at points (B, N, 3) for blend anchors (B, K, 3)."""
    distance = (points[:, :, None] - anchors[:, None]).square().sum(-1).clamp_min(1e-12).sqrt()
    width = window.reach * (2.0 / 3.0)
    level = ((window.reach - distance) / width).clamp(0.0, 1.0)
    step = level * level * (3.0 - 2.0 * level)
    slope = -6.0 * level * (1.0 - level) / (width * distance)
    beyond = torch.log1p(-step.clamp_max(1.0 - 1e-6)) @ window.around.transpose(1, 2)
    full = (step >= 1.0).to(step) @ window.around.transpose(1, 2) > 0
    full = full | window.around.all(dim=2)[:, None]  # a head edited as a whole has no border
    return Shares(torch.where(full, 1.0, 1.0 - torch.exp(beyond)), step, slope)


def slot_weights(weights: torch.Tensor, found: Shares, window: Window) -> torch.Tensor:
    """Blend weights (B, N, K) of the parts -> (B, N, S) of the slots."""
    share = torch.ones_like(weights[..., :1]).expand(*weights.shape[:2], len(window.part)).clone()
    share[..., window.own], share[..., window.given] = 1.0 - found.share, found.share
    return weights[..., window.part] * share


def slot_weights_reverse(
    cotangent: torch.Tensor, weights: torch.Tensor, found: Shares, window: Window
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pull a cotangent of the slots' weights (B, N, S) back.

    Returns:
        The cotangent of the parts' weights (B, N, K), and q (B, N, K) of the windows alone: as in
        :func:`headfield.nn.blending.blend_reverse`, the gradient at anchor k is ``q_k (x - k)``.
    """
    own, given = cotangent[..., window.own], cotangent[..., window.given]
    scaled = cotangent.clone()
    scaled[..., window.own], scaled[..., window.given] = own * (1.0 - found.share), given * found.share
    on_weights = torch.zeros_like(weights).index_add(2, window.part, scaled)
    on_share = (given - own) * weights[..., window.part[window.given]]
    on_step = ((on_share * (1.0 - found.share)) @ window.around) / (1.0 - found.step.clamp_max(1.0 - 1e-6))
    return on_weights, -on_step * found.slope
