"""What NPHM is trained for: heads at rest (Eqs. 11, 12, 23), and their deformation from correspondences (Eq. 13).

Both are trained in turn or side by side: heads at rest teach the identity codes, the local fields and the anchors;
posed heads teach the deformation alone, whose loss reaches neither codes nor anchors. The paper's two stages are
``--expressions-from 0.5 --posed-share 1``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from headfield.losses import field as losses
from headfield.models.nphm.model import Nphm
from headfield.train.batches import Batch
from headfield.train.terms import field_terms, forward_terms, named_weights, weighted
from headfield.types import Codes

PRESET_SETTINGS = {"literal": {"losses": "paper", "code_start": "random", "whitened": False}}
"""What presets ask of the training, beside sizes."""

ANCHOR_SHARE = 0.1
"""Of the learning rate, for MLP_pos, as for imHead's LandmarkNet."""


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses. Defaults: the recipe of all our models where the two speak of the same thing;
    :func:`paper_weights` are those of NPHM's supplement, D.2."""

    surface: float = 20.0
    """|F| on the surface (Eq. 23)."""
    normal: float = 0.3
    """||grad F - n|| on the surface (Eq. 23 writes 1 - <grad F, n>; the published code takes the norm)."""
    eikonal: float = 0.1
    """| ||grad F|| - 1 | (Eq. 23)."""
    off_surface: float = 0.01
    """exp(-10 |F|) away from the surface (Eq. 23)."""
    anchors: float = 10.0
    """Anchors (Eq. 11): the distance; squared in the paper."""
    symmetry: float = 0.002
    """||z_k - z_k*|| of the two sides (Eq. 12)."""
    code: float = 0.002
    """||Z_id||^2 (Eq. 11)."""
    signed: float = 5.0
    """Known signed distances in free space and inside; not in the paper, whose scans have none."""
    deformation: float = 20.0
    """||F_ex(x) - delta(x)|| of material points (Eq. 13): the distance; squared in the paper."""
    moving: float = 20.0
    """The same with every point weighted by how far it goes."""
    expression_code: float = 0.0005
    """||z_ex||^2 of a learned expression code (5e-5 in the published code, beside a deformation of 100)."""
    squared: bool = False
    """Squared distances in the anchors' and the deformation's losses, as printed."""


def paper_weights() -> LossWeights:
    """D.2: lambda_s 2, lambda_n 0.3, lambda_eik 0.1, lambda_0 0.01, lambda_a 7.5, lambda_sy and lambda_reg 0.005;
    the deformation's as in the published code."""
    return replace(
        LossWeights(),
        surface=2.0,
        anchors=7.5,
        symmetry=0.005,
        code=0.005,
        signed=0.0,
        deformation=100.0,
        expression_code=5e-5,
        moving=0.0,
        squared=True,
    )


def loss_weights(name: str) -> LossWeights:
    """See :func:`headfield.train.terms.named_weights`."""
    return named_weights(name, LossWeights, paper_weights)


def rate_share(parameter: str) -> float:
    """Share of the learning rate that a parameter of this name takes."""
    return ANCHOR_SHARE if parameter.startswith("landmarks.") else 1.0


def watch(model: Nphm, codes: torch.Tensor) -> dict[str, float]:
    """Nothing beside the losses."""
    return {}


def warp_loss(
    model: Nphm, batch: Batch, identity: torch.Tensor, weights: LossWeights
) -> tuple[torch.Tensor, dict[str, float]]:
    """The deformation's loss (Eq. 13) over material points of posed heads.

    Args:
        model: The model in training.
        batch: Posed heads.
        identity: (B, D) their codes.
        weights: See :class:`LossWeights`.
    """
    return weighted(forward_terms(model, batch, identity, weights.squared), weights)


def total_loss(
    model: Nphm, batch: Batch, identity: torch.Tensor, weights: LossWeights
) -> tuple[torch.Tensor, dict[str, float]]:
    """The weighted sum over one (micro-)batch, and each named loss as a number; see :func:`warp_loss`."""
    if batch.expression is not None:
        return warp_loss(model, batch, identity, weights)
    condition = model.field_condition(identity)
    value, gradient = model.value_and_gradient(torch.cat([batch.surface, batch.samples], dim=1), condition)
    anchors = model.field_anchors(identity)
    terms = field_terms(value, gradient, batch) | {
        "anchors": losses.landmark_norm(anchors, batch.anchors),
        "code": losses.code_size(model.latent(identity)),
    }
    if model.config.symmetric:
        own = condition.parts[..., model.config.global_code :]
        terms["symmetry"] = losses.code_symmetry(own, model.mirror_parts)
    if model.deformer.gate is None and model.expression_space.kind != "learned":  # what the gate does by construction
        still = model.config.canonical_expression or model.config.expression * (0.0,)
        still = identity.new_tensor(still).expand(len(identity), -1)
        stay = model.from_field(batch.surface, model.condition(Codes(identity.detach(), still)))
        terms["deformation"] = (stay - batch.surface).norm(dim=-1).mean()
    if weights.squared:
        terms["anchors"] = ((anchors - batch.anchors) ** 2).sum(-1).mean()
    return weighted(terms, weights)
