"""What MonoNPHM's geometry is trained for: posed heads and heads at rest together, with correspondences."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from headfield.losses import field as losses
from headfield.models.mononphm.anchors import OURS
from headfield.models.mononphm.model import MonoNphm
from headfield.train.batches import Batch
from headfield.train.terms import Terms, expression_terms, field_terms, named_weights, weighted
from headfield.types import Codes

ANCHOR_SHARE = 0.1
"""Of the learning rate, for MLP_pos, as for NPHM's."""


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses. Defaults: the recipe of all our models; :func:`paper_weights` are the published ones."""

    surface: float = 20.0
    """|f| on the surface."""
    normal: float = 0.3
    """||grad f - n|| on the surface, by the posed points."""
    eikonal: float = 0.1
    """| ||grad f|| - 1 |."""
    off_surface: float = 0.01
    """exp(-10 |f|) away from the surface."""
    signed: float = 5.0
    """Known signed distances in free space and inside; not in the paper, whose scans have none."""
    anchors: float = 10.0
    """Anchors: the distance; squared in the published code."""
    symmetry: float = 0.002
    """||z_k - z_k*|| of the two sides."""
    code: float = 0.002
    """||z_id||^2."""
    correspondence: float = 20.0
    """Material points of posed heads, carried back, lie at their places at rest: the distance; squared there."""
    moving: float = 20.0
    """The same with every point weighted by how far it goes."""
    ambient: float = 0.02
    """|omega|; without a gate ten times as much where the expression is zero."""
    displacement: float = 0.05
    """||Delta x||^2 at the samples of posed heads."""
    rest: float = 1.0
    """||Delta x||^2 where the expression is zero, for models without a gate."""
    expression_code: float = 0.0005
    """||z_ex||^2 of a learned expression code."""
    squared: bool = False
    """Squared distances of anchors and correspondences, as published."""


def paper_weights() -> LossWeights:
    """The published configuration."""
    return replace(
        LossWeights(),
        surface=1.0,
        eikonal=0.15,
        signed=0.0,
        anchors=7.5,
        symmetry=0.01,
        code=0.01,
        correspondence=1000.0,
        moving=0.0,
        ambient=0.05,
        displacement=0.0025,
        rest=0.001,
        expression_code=0.05,
        squared=True,
    )


def loss_weights(name: str) -> LossWeights:
    """See :func:`headfield.train.terms.named_weights`."""
    return named_weights(name, LossWeights, paper_weights)


def rate_share(parameter: str) -> float:
    """Share of the learning rate that a parameter of this name takes."""
    return ANCHOR_SHARE if parameter.startswith("landmarks.") else 1.0


def watch(model: MonoNphm, codes: torch.Tensor) -> dict[str, float]:
    """Nothing beside the losses."""
    return {}


def warp_loss(
    model: MonoNphm, batch: Batch, identity: torch.Tensor, weights: LossWeights
) -> tuple[torch.Tensor, dict[str, float]]:
    """The part of :func:`total_loss` that speaks of correspondences, for posed heads; nothing else is evaluated."""
    warped, _ = model.to_canonical(batch.posed, model.condition(Codes(identity, batch.expression)))
    return weighted(_correspondences(warped, batch, weights.squared) | expression_terms(batch), weights)


def _correspondences(warped: torch.Tensor, batch: Batch, squared: bool) -> Terms:
    terms = {
        "correspondence": losses.correspondence(warped, batch.neutral, batch.neutral_valid),
        "moving": losses.moving_correspondence(warped, batch.posed, batch.neutral, batch.neutral_valid),
    }
    if squared:
        square = ((warped - batch.neutral) ** 2).sum(-1)
        terms["correspondence"] = (square * batch.neutral_valid).sum() / batch.neutral_valid.sum().clamp_min(1)
    return terms


def _anchors(model: MonoNphm, batch: Batch, identity: torch.Tensor, squared: bool) -> torch.Tensor:
    """Of all 65 where the store holds them and they are the model's, else of the 39."""
    found, truth = model.anchors65(identity), batch.anchors65
    if truth is None or model.config.pairs != OURS:
        found, truth = model.anchors(Codes(identity)), batch.anchors
    return ((found - truth) ** 2).sum(-1).mean() if squared else losses.landmark_norm(found, truth)


def total_loss(
    model: MonoNphm, batch: Batch, identity: torch.Tensor, weights: LossWeights
) -> tuple[torch.Tensor, dict[str, float]]:
    """The weighted sum over one (micro-)batch, and each named loss as a number.

    Args:
        model: The model in training.
        batch: Heads of one kind: all neutral (expression None) or all posed.
        identity: (B, D) their codes.
        weights: See :class:`LossWeights`.
    """
    condition = model.condition(Codes(identity, batch.expression))
    points = torch.cat([batch.surface, batch.samples], dim=1)
    value, gradient, (canonical, ambient) = model.trace(points, condition)
    terms = field_terms(value, gradient, batch) | {
        "anchors": _anchors(model, batch, identity, weights.squared),
        "symmetry": losses.code_symmetry(model.local_codes(identity)[:, :-1], model.mirror65),
        "code": losses.code_size(model.latent(identity)),
    }
    if ambient is not None:
        warped, _ = model.to_canonical(batch.posed, condition)
        terms |= _correspondences(warped, batch, weights.squared) | expression_terms(batch)
        terms["ambient"] = losses.ambient_size(ambient)
        terms["displacement"] = losses.displacement_size(canonical[:, batch.surface.shape[1] :], batch.samples)
    elif not model.config.gated:
        still = identity.new_zeros(len(identity), model.config.expression)
        stays, omega = model.to_canonical(points, model.condition(Codes(identity, still)))
        terms["rest"] = losses.displacement_size(stays, points)
        terms["ambient"] = 10.0 * losses.ambient_size(omega)
    return weighted(terms, weights)
