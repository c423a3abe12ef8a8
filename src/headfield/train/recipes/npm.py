"""What NPM is trained for: heads at rest, and their deformation from correspondences, as NPHM without its parts.

Heads at rest teach the code and the field; posed heads teach the deformation alone. The anchors are read off the code
by a network that neither the code nor the field hears of.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from headfield.losses import field as losses
from headfield.models.npm.model import Npm
from headfield.train.batches import Batch
from headfield.train.terms import field_terms, forward_terms, named_weights, weighted
from headfield.types import Codes

ANCHOR_SHARE = 0.1
"""Of the learning rate, for the network that reads off the anchors, as for NPHM's MLP_pos."""


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses. Defaults: the recipe of all our models; :func:`paper_weights` are the published ones."""

    surface: float = 20.0
    """|F| on the surface (NPHM Eq. 23)."""
    normal: float = 0.3
    """||grad F - n|| on the surface (NPHM Eq. 23; the published code takes the norm)."""
    eikonal: float = 0.1
    """| ||grad F|| - 1 | (NPHM Eq. 23)."""
    off_surface: float = 0.01
    """exp(-10 |F|) away from the surface (NPHM Eq. 23)."""
    code: float = 0.002
    """||z_id||^2 (published configuration)."""
    signed: float = 5.0
    """Known signed distances in free space and inside; not in the paper, whose scans have none."""
    anchors: float = 10.0
    """Distance of the anchors that are read off; of no weight to anything else, and not in the paper."""
    deformation: float = 20.0
    """||F_ex(x) - delta(x)|| of material points (NPHM Eq. 13): the distance; squared in the paper."""
    moving: float = 20.0
    """The same with every point weighted by how far it goes."""
    expression_code: float = 0.0005
    """||z_ex||^2 of a learned expression code (5e-5 in the published configuration, beside a deformation of 100)."""
    squared: bool = False
    """Squared distances in the deformation's loss, as printed."""


def paper_weights() -> LossWeights:
    """The published configuration: surface 2, normals 0.3, eikonal 0.1, off the surface 0.01, code 0.002; of the
    deformation 100 and 5e-5."""
    return replace(
        LossWeights(), surface=2.0, signed=0.0, deformation=100.0, moving=0.0, expression_code=5e-5, squared=True
    )


def loss_weights(name: str) -> LossWeights:
    """See :func:`headfield.train.terms.named_weights`."""
    return named_weights(name, LossWeights, paper_weights)


def rate_share(parameter: str) -> float:
    """Share of the learning rate that a parameter of this name takes."""
    return ANCHOR_SHARE if parameter.startswith("landmarks.") else 1.0


def watch(model: Npm, codes: torch.Tensor) -> dict[str, float]:
    """Nothing beside the losses."""
    return {}


def warp_loss(
    model: Npm, batch: Batch, identity: torch.Tensor, weights: LossWeights
) -> tuple[torch.Tensor, dict[str, float]]:
    """The deformation's loss over material points of posed heads.

    Args:
        model: The model in training.
        batch: Posed heads.
        identity: (B, D) their codes.
        weights: See :class:`LossWeights`.
    """
    return weighted(forward_terms(model, batch, identity, weights.squared), weights)


def total_loss(
    model: Npm, batch: Batch, identity: torch.Tensor, weights: LossWeights
) -> tuple[torch.Tensor, dict[str, float]]:
    """The weighted sum over one (micro-)batch, and each named loss as a number; see :func:`warp_loss`."""
    if batch.expression is not None:
        return warp_loss(model, batch, identity, weights)
    points = torch.cat([batch.surface, batch.samples], dim=1)
    value, gradient = model.value_and_gradient(points, model.condition(Codes(identity)))
    terms = field_terms(value, gradient, batch)
    terms["code"] = losses.code_size(model.latent(identity))
    terms["anchors"] = losses.landmark_norm(model.anchors(Codes(identity.detach())), batch.anchors)
    return weighted(terms, weights)
