"""What ImFace is trained for: the field, posed and at rest, and where its two deformations take points.

Posed heads and heads at rest teach everything together, as in the paper. Its landmarks of posed faces, which our stores
do not have, are replaced by material points whose places at rest are known.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from headfield.losses import field as losses
from headfield.models.imface.model import ImFace
from headfield.train.batches import Batch
from headfield.train.terms import Terms, expression_terms, field_terms, named_weights, weighted
from headfield.types import Codes

RATE_SHARE = 0.2
"""Of the learning rate, for all of it: sine networks and what writes them do not bear more."""


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses. Defaults: the recipe of all our models; :func:`paper_weights` are the published ones."""

    surface: float = 20.0
    """|f| on the surface (3,000 in the published configuration, which :func:`paper_weights` divides by 150)."""
    normal: float = 0.3
    """||grad f - n|| on the surface (the paper has the angle between them)."""
    eikonal: float = 0.1
    """| ||grad f|| - 1 |."""
    off_surface: float = 0.01
    """exp(-10 |f|) away from the surface; not in the paper, whose scans are signed everywhere."""
    signed: float = 5.0
    """Known signed distances in free space and inside."""
    correction: float = 0.5
    """|delta|, so that the template is what explains a face."""
    anchors: float = 10.0
    """Anchors of heads at rest, five of which are Landmark-Net's places."""
    template: float = 0.5
    """Anchors, carried to the template, lie at the mean anchors."""
    code: float = 0.002
    """||z_id||^2."""
    correspondence: float = 20.0
    """Material points of posed heads, carried back, lie at their places at rest instead of landmarks."""
    moving: float = 20.0
    """The same with every point weighted by how far it goes."""
    rest: float = 1.0
    """Square of the displacement where the expression is zero, for models without a gate (published code)."""
    expression_code: float = 0.0005
    """||z_ex||^2 of a learned expression code."""


def paper_weights() -> LossWeights:
    """The published configuration, all of it divided by 150 so that the field's own weight is ours: normals 100,
    eikonal 50, correction 100, landmarks 1,000 and 100, the mean square of a code's numbers 1e6."""
    return replace(
        LossWeights(),
        normal=100 / 150,
        eikonal=50 / 150,
        off_surface=0.0,
        signed=20.0,
        correction=100 / 150,
        anchors=1000 / 150,
        template=100 / 150,
        code=1e6 / 150 / 128,
        correspondence=100 / 150,
        moving=0.0,
        rest=1e4 / 150,
        expression_code=1e6 / 150 / 128,
    )


def loss_weights(name: str) -> LossWeights:
    """See :func:`headfield.train.terms.named_weights`."""
    return named_weights(name, LossWeights, paper_weights)


def rate_share(parameter: str) -> float:
    """Share of the learning rate that a parameter of this name takes."""
    return RATE_SHARE


def watch(model: ImFace, codes: torch.Tensor) -> dict[str, float]:
    """Nothing beside the losses."""
    return {}


def warp_loss(
    model: ImFace, batch: Batch, identity: torch.Tensor, weights: LossWeights
) -> tuple[torch.Tensor, dict[str, float]]:
    """The part of :func:`total_loss` that speaks of correspondences, for posed heads; nothing else is evaluated."""
    warped, _ = model.to_canonical(batch.posed, model.condition(Codes(identity, batch.expression)))
    return weighted(_correspondences(warped, batch) | expression_terms(batch), weights)


def _correspondences(warped: torch.Tensor, batch: Batch) -> Terms:
    return {
        "correspondence": losses.correspondence(warped, batch.neutral, batch.neutral_valid),
        "moving": losses.moving_correspondence(warped, batch.posed, batch.neutral, batch.neutral_valid),
    }


def total_loss(
    model: ImFace, batch: Batch, identity: torch.Tensor, weights: LossWeights
) -> tuple[torch.Tensor, dict[str, float]]:
    """The weighted sum over one (micro-)batch, and each named loss as a number.

    Args:
        model: The model in training.
        batch: Heads of one kind: all neutral (expression None) or all posed.
        identity: (B, D) their codes.
        weights: See :class:`LossWeights`.
    """
    codes = Codes(identity, batch.expression)
    condition = model.condition(codes)
    points = torch.cat([batch.surface, batch.samples], dim=1)
    found = model.trace(points, condition)
    terms = field_terms(found["value"], found["gradient"], batch)
    terms["correction"] = found["correction"].abs().mean()
    terms["anchors"] = losses.landmark_norm(model.anchors(codes), batch.anchors)
    carried = model.to_template(batch.anchors, condition)
    terms["template"] = losses.landmark_norm(carried, model.mean_anchors.expand_as(carried))
    terms["code"] = losses.code_size(model.latent(identity))
    if batch.expression is not None:
        warped, _ = model.to_canonical(batch.posed, condition)
        terms |= _correspondences(warped, batch) | expression_terms(batch)
    elif not model.config.gated:
        still = identity.new_zeros(len(identity), model.config.expression)
        stays, _ = model.to_canonical(points, model.condition(Codes(identity, still)))
        terms["rest"] = losses.displacement_size(stays, points)
    return weighted(terms, weights)
