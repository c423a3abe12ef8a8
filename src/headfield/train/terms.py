"""Groups of losses that recipes of several models are made of, by name; each equation is in `losses/field.py`."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import add
from typing import Any

import torch

from headfield.errors import ConfigError
from headfield.io.quantise import SDF_LIMIT
from headfield.losses import field as losses
from headfield.train.batches import Batch

Terms = dict[str, torch.Tensor]


def field_terms(value: torch.Tensor, gradient: torch.Tensor, batch: Batch) -> Terms:
    """What a signed distance field answers for at the points of a batch, posed or at rest.

    Args:
        value: (B, N + S) at the surface points, then at the signed samples.
        gradient: (B, N + S, 3) there.
        batch: The heads.
    Returns:
        surface (NPHM Eq. 23, first term), normal, eikonal, off_surface (the same) and signed samples.
    """
    count = batch.surface.shape[1]
    away = batch.sdf.abs() > 0.02
    return {
        "surface": losses.surface_distance(value[:, :count]),
        "normal": losses.normal_alignment(gradient[:, :count], batch.normals),
        "eikonal": losses.eikonal_absolute(gradient),
        "off_surface": losses.off_surface(value[:, count:][away]) if bool(away.any()) else value.sum() * 0.0,
        "signed": losses.signed_samples(value[:, count:], batch.sdf, SDF_LIMIT),
    }


def forward_terms(model: Any, batch: Batch, identity: torch.Tensor, squared: bool) -> Terms:
    """What a forward deformation answers for at material points of posed heads (NPHM Eq. 13).

    Args:
        model: A :class:`headfield.models.forward_warped.ForwardWarpedModel`.
        batch: Posed heads.
        identity: (B, D) their codes, which see no gradient of it.
        squared: Squared distances, as printed.
    Returns:
        deformation, moving (every point weighted by how far it goes), and expression_code where that is learned.
    """
    seen = model.seen_by_deformation(identity).detach()
    moved = batch.neutral + model.deformer(batch.neutral, model.deformer.fold(seen, batch.expression))[0]
    terms = {"deformation": losses.correspondence(moved, batch.posed, batch.neutral_valid)}
    if squared:
        square = ((moved - batch.posed) ** 2).sum(-1)
        terms["deformation"] = (square * batch.neutral_valid).sum() / batch.neutral_valid.sum().clamp_min(1)
    terms["moving"] = losses.moving_correspondence(moved, batch.neutral, batch.posed, batch.neutral_valid)
    return terms | expression_terms(batch)


def expression_terms(batch: Batch) -> Terms:
    """expression_code, the size of a code that is learned; nothing where the expression is given."""
    if batch.expression is None or not batch.expression.requires_grad:
        return {}
    return {"expression_code": losses.code_size(batch.expression)}


def weighted(terms: Terms, weights: Any) -> tuple[torch.Tensor, dict[str, float]]:
    """The sum of terms, each times the attribute of its name, and each as a number."""
    total = reduce(add, (getattr(weights, name) * term for name, term in terms.items()))
    return total, {name: float(term.detach()) for name, term in terms.items()}


def named_weights(name: str, default: Callable[[], Any], paper: Callable[[], Any]) -> Any:
    """The weights of a recipe that a configuration's `losses` names.

    Raises:
        ConfigError: Neither ``default`` nor ``paper``.
    """
    if name not in ("default", "paper"):
        raise ConfigError(f"Unknown losses {name!r}: choose default or paper.")
    return paper() if name == "paper" else default()
