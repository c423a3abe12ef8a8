"""What imHead is trained for: which losses, with which weights, summed in one readable place."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from headfield import frames
from headfield.io.quantise import SDF_LIMIT
from headfield.losses import field as losses
from headfield.models.imhead.model import ImHead
from headfield.train.batches import Batch
from headfield.train.terms import expression_terms, named_weights, weighted
from headfield.types import Codes

LITERAL = {"losses": "paper", "code_start": "random", "whitened": False}

PRESET_SETTINGS = {"literal": LITERAL, "literal-small": LITERAL}
"""What presets ask of the training, beside sizes."""

LANDMARK_SHARE = 0.1
"""Of the learning rate, for LandmarkNet: its 1,248 inputs move together, and at the full rate a step throws its units
so far that nearly all of them die (2 % were left, and anchors 2.5 mm off)."""


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses. Defaults: the stabilised recipe; :func:`literal_weights` are the paper's Eqs. 9-12."""

    surface: float = 20.0
    """|f| on the surface (Eq. 9)."""
    normal: float = 0.3
    """||grad f - n|| on the surface (Eq. 9)."""
    eikonal: float = 0.1
    """Unit gradient (Eq. 10), absolute as NPHM; squared in the literal mode."""
    landmark: float = 10.0
    """Anchors (Eq. 11). NPHM squares the error, with weight 7.5: then millimetres no longer count."""
    symmetry: float = 0.002
    """Mirrored part codes alike (Eq. 12)."""
    code: float = 0.002
    """||z_id||^2 (Eq. 12)."""
    signed: float = 5.0
    """Known signed distances in free space and inside."""
    off_surface: float = 0.01
    """exp(-10 |f|) at the signed samples away from the surface."""
    correspondence: float = 20.0
    """Warped surface points to their neutral places."""
    moving: float = 20.0
    """The same, every point counted by how far it has to go: lids and brows move few points by millimetres, and would
    never start to move for the mean over all."""
    ambient: float = 0.02
    """|omega|."""
    displacement: float = 0.05
    """||Delta x||^2 off the surface."""
    expression_code: float = 0.0005
    """||z_exp||^2 where the expression code is learned (Eq. 12 has z_id's only: FLAME's coefficients are given)."""
    literal: bool = False
    """Use Eq. 10 squared, as printed."""


def literal_weights() -> LossWeights:
    """Eqs. 9-12 as printed: L_rec + L_eik + lambda_kpt L_kpt + lambda_sym L_sym + lambda_reg L_reg, nothing else."""
    return replace(
        LossWeights(),
        surface=1.0,
        normal=1.0,
        eikonal=1.0,
        signed=0.0,
        off_surface=0.0,
        correspondence=0.0,
        moving=0.0,
        ambient=0.0,
        displacement=0.0,
        expression_code=0.0,
        literal=True,
    )


def loss_weights(name: str) -> LossWeights:
    """See :func:`headfield.train.terms.named_weights`."""
    return named_weights(name, LossWeights, literal_weights)


def rate_share(parameter: str) -> float:
    """Share of the learning rate that a parameter of this name takes."""
    return LANDMARK_SHARE if parameter.startswith("landmarks.") else 1.0


@torch.no_grad()
def watch(model: ImHead, codes: torch.Tensor) -> dict[str, float]:
    """What is written beside the losses: the share of LandmarkNet's hidden units that answer to any of the codes
    (N, D); once nearly all of them had died."""
    values, living = model.part_codes(codes).flatten(1), []
    for layer in model.landmarks:
        values = layer(values)
        if isinstance(layer, torch.nn.ReLU):
            living.append((values > 0).any(0))
    return {"landmark_units": float(torch.cat(living).float().mean())}


def warp_loss(
    model: ImHead, batch: Batch, identity: torch.Tensor, weights: LossWeights
) -> tuple[torch.Tensor, dict[str, float]]:
    """The part of :func:`total_loss` that speaks of correspondences, for posed heads; nothing else is evaluated."""
    warped, _ = model.to_canonical(batch.posed, model.condition(Codes(identity, batch.expression)))
    terms = _correspondences(warped, batch) | expression_terms(batch)
    return weighted(terms, weights)


def _correspondences(warped: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
    return {
        "correspondence": losses.correspondence(warped, batch.neutral, batch.neutral_valid),
        "moving": losses.moving_correspondence(warped, batch.posed, batch.neutral, batch.neutral_valid),
    }


def total_loss(
    model: ImHead, batch: Batch, identity: torch.Tensor, weights: LossWeights
) -> tuple[torch.Tensor, dict[str, float]]:
    """The weighted sum over one (micro-)batch, and each named loss as a number.

    Args:
        model: The model in training.
        batch: Heads of one kind: all neutral (expression None) or all posed.
        identity: (B, D) their codes.
        weights: See :class:`LossWeights`.
    """
    parts = model.part_codes(identity)
    condition = model.condition(Codes(identity, batch.expression))
    count = batch.surface.shape[1]
    points = torch.cat([batch.surface, batch.samples], dim=1)
    value, gradient, (canonical, ambient) = model.trace(points, condition)
    eikonal = losses.eikonal_square if weights.literal else losses.eikonal_absolute
    away = batch.sdf.abs() > 0.02
    mirror = torch.as_tensor(frames.MIRROR_PART, device=identity.device)
    terms = {
        "surface": losses.surface_distance(value[:, :count]),
        "normal": losses.normal_alignment(gradient[:, :count], batch.normals),
        "eikonal": eikonal(gradient),
        "landmark": losses.landmark_norm(condition.blend_anchors, batch.anchors),
        "symmetry": losses.code_symmetry(parts, mirror),
        "code": losses.code_size(identity),
        "signed": losses.signed_samples(value[:, count:], batch.sdf, SDF_LIMIT),
        "off_surface": losses.off_surface(value[:, count:][away]) if bool(away.any()) else value.sum() * 0.0,
    }
    if ambient is not None:
        if batch.expression is not None and (weights.correspondence or weights.moving):
            warped, _ = model.to_canonical(batch.posed, condition)
            terms |= _correspondences(warped, batch)
        terms["ambient"] = losses.ambient_size(ambient)
        terms["displacement"] = losses.displacement_size(canonical[:, count:], batch.samples)
        terms |= expression_terms(batch)
    return weighted(terms, weights)
