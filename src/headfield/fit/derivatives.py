"""The field and its derivatives by codes: in closed form where the model has one, by autograd where it has none."""

from __future__ import annotations

import torch

from headfield.models.protocol import HeadModel, Jacobians, Linearisable
from headfield.types import Codes

CHUNK = 1024
"""Points, each with a copy of the codes, that autograd is asked for at once."""


def jacobians_of(model: HeadModel, points: torch.Tensor, codes: Codes) -> Jacobians:
    """The field and its derivatives at points (N, 3) of one head.

    Args:
        model: Any model; one that is :class:`headfield.models.protocol.Linearisable` answers itself.
        points: (N, 3) posed points, model frame.
        codes: One head (B = 1), unedited where autograd is to do it.
    """
    if isinstance(model, Linearisable):
        return model.value_and_jacobian(points, codes)
    return by_autograd(model, points, codes)


def by_autograd(model: HeadModel, points: torch.Tensor, codes: Codes) -> Jacobians:
    """As :func:`jacobians_of`, by reverse accumulation: every point gets codes of its own, so that one pass gives the
    derivatives of all. A neutral head counts as one whose expression is zero."""
    expression = codes.expression
    if expression is None:
        expression = codes.identity.new_zeros(1, len(model.expression_space))
    found = []
    for part in points.split(CHUNK):
        leaves = [part[:, None], codes.identity.expand(len(part), -1), expression.expand(len(part), -1)]
        leaves = [leaf.detach().clone().requires_grad_(True) for leaf in leaves]
        with torch.enable_grad():
            value = model.signed_distance(leaves[0], Codes(leaves[1], leaves[2]))[:, 0]
            slopes = torch.autograd.grad(value.sum(), leaves, allow_unused=True)
        slopes = [torch.zeros_like(leaf) if slope is None else slope for leaf, slope in zip(leaves, slopes)]
        found.append((value.detach(), slopes[0][:, 0], slopes[1], slopes[2]))
    return Jacobians(*(torch.cat(parts) for parts in zip(*found)))
