"""Fold the distribution of the training codes into the model, so that z ~ N(0, I) and z = 0 is the mean head."""

from __future__ import annotations

import numpy as np
import torch

from headfield.models.imhead import ImHead
from headfield.models.prior import Prior


def shrunk_covariance(codes: np.ndarray) -> np.ndarray:
    """Covariance (D, D) of codes (n, D) shrunk towards a multiple of the identity (Ledoit and Wolf 2004)."""
    count, size = codes.shape
    centred = codes - codes.mean(0)
    sample = centred.T @ centred / count
    target = np.trace(sample) / size
    distance = ((sample - target * np.eye(size)) ** 2).sum()
    fourth = ((centred**2).sum(1) ** 2).sum() / count**2 - (sample**2).sum() / count
    share = min(max(fourth / distance, 0.0), 1.0) if distance > 0 else 1.0
    return (1.0 - share) * sample + share * target * np.eye(size)


@torch.no_grad()
def whiten(model: ImHead, codes: torch.Tensor, classes: list[str], log_sizes: np.ndarray) -> torch.Tensor:
    """Change the model's code space in place: z_old = mean + L z_new, with L L^T the shrunk covariance.

    The columns of L are principal directions by falling variance, so the first numbers of a new code matter most.

    Args:
        model: The trained model; DecNet and the deformer's projection of z_id absorb mean and L, exactly.
        codes: (n, D) training codes.
        classes: (n) a class of each head, e.g. its hair; every class with 8 or more heads becomes a component.
        log_sizes: (n,) log head sizes.
    Returns:
        The training codes in the new space (n, D): mean zero, covariance near the identity.
    """
    table = codes.detach().double().cpu().numpy()
    mean = table.mean(0)
    variance, direction = np.linalg.eigh(shrunk_covariance(table))
    order = np.argsort(variance)[::-1]
    spread = direction[:, order] * np.sqrt(variance[order])
    for layer in (model.decompose, model.deformer.project_identity):
        weight = layer.weight.double().cpu().numpy()
        bias = layer.bias.double().cpu().numpy()
        layer.weight.copy_(torch.as_tensor(weight @ spread))
        layer.bias.copy_(torch.as_tensor(bias + weight @ mean))
    new = (table - mean) @ direction[:, order] / np.sqrt(variance[order])
    names, means, weights = ["all"], [np.zeros(len(mean))], []
    for name in sorted(set(classes)):
        members = np.array([c == name for c in classes])
        if members.sum() >= 8:
            names.append(name)
            means.append(new[members].mean(0))
            weights.append(float(members.mean()))
    model.prior = Prior(tuple(names), torch.as_tensor(np.stack(means)).float(), tuple(weights),
                        float(np.mean(log_sizes)), float(np.std(log_sizes)))
    return torch.as_tensor(new).float()
