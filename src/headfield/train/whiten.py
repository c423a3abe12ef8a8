"""Fold the distribution of the training codes into the model, so that z ~ N(0, I) and z = 0 is the mean head."""

from __future__ import annotations

import numpy as np
import torch

from headfield.models.prior import Prior
from headfield.models.protocol import LearnsExpressions, Releasable, TrainableModel, require

LEAST = 8
"""Heads that make a class of their own."""


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


def class_covariances(codes: np.ndarray, labels: np.ndarray, names: list[str]) -> list[np.ndarray]:
    """Covariance (D, D) within each class; classes of fewer than D heads share one, pooled about their own means.

    A pool of bald heads and others would let hair vary on a bald head: a ridge where a scan shows nothing.

    Args:
        codes: (n, D) codes.
        labels: (n,) class of each.
        names: The classes wanted.
    """
    own = {name: codes[labels == name] - codes[labels == name].mean(0) for name in names}
    least = codes.shape[1]
    covariances = {name: shrunk_covariance(rows) for name, rows in own.items() if len(rows) >= least}
    small = [name for name in names if name not in covariances]
    if small:
        covariances |= dict.fromkeys(small, shrunk_covariance(np.concatenate([own[name] for name in small])))
    return [covariances[name] for name in names]


@torch.no_grad()
def whiten_expressions(model: TrainableModel, codes: torch.Tensor) -> torch.Tensor:
    """Change a learned expression code in place so that its numbers are N(0, 1) over the scans that it was learned of,
    the strongest first; zero stays the face at rest.

    Args:
        model: The trained model.
        codes: (n, E) codes of scans.
    Returns:
        The codes in the new numbers (n, E).
    Raises:
        ConfigError: The model learns no expression code.
    """
    learner = require(model, LearnsExpressions, "Whitening expression codes")
    table = codes.detach().double().cpu().numpy()
    # about zero, not about the mean; what hardly any scan plays must not be blown up, for a fit would then play it
    variance, direction = np.linalg.eigh(table.T @ table / len(table))
    order = np.argsort(variance)[::-1]
    spread = np.sqrt(np.maximum(variance[order], 1e-6 * variance.max()))
    learner.recode_expression(torch.as_tensor(direction[:, order] * spread))
    return torch.as_tensor(table @ (direction[:, order] / spread)).float()


@torch.no_grad()
def whiten(
    model: TrainableModel, codes: torch.Tensor, classes: list[str | None], log_sizes: np.ndarray
) -> torch.Tensor:
    """Change the model's code space in place: z_old = mean + L z_new, with L L^T the shrunk covariance.

    The columns of L are principal directions by falling variance, so the first numbers of a new code matter most.

    Args:
        model: The trained model, which absorbs mean and L exactly (:meth:`Releasable.recode`).
        codes: (n, D) training codes.
        classes: (n) a class of each head, e.g. its hair; every class with 8 or more heads becomes a component
            with its own mean and covariance. None is in no class.
        log_sizes: (n,) log head sizes.
    Returns:
        The training codes in the new space (n, D): mean zero, covariance near the identity.
    Raises:
        ConfigError: The model cannot change its code space.
    """
    require(model, Releasable, "Whitening the codes")
    table = codes.detach().double().cpu().numpy()
    mean = table.mean(0)
    variance, direction = np.linalg.eigh(shrunk_covariance(table))
    order = np.argsort(variance)[::-1]
    spread = direction[:, order] * np.sqrt(variance[order])
    model.recode(torch.as_tensor(mean), torch.as_tensor(spread))
    whitening = direction[:, order] / np.sqrt(variance[order])
    new = (table - mean) @ whitening
    labels = np.array(classes, dtype=object)
    names = [name for name in sorted({name for name in classes if name is not None}) if (labels == name).sum() >= LEAST]
    spreads: list[np.ndarray] = [np.eye(len(mean))]
    for covariance in class_covariances(table, labels, names):  # shrunk where the spectrum is the codes' own
        spreads.append(np.linalg.cholesky(whitening.T @ covariance @ whitening))
    means = [np.zeros(len(mean)), *(new[labels == name].mean(0) for name in names)]
    model.prior = Prior(
        ("all", *names),
        torch.as_tensor(np.stack(means)).float(),
        tuple(float((labels == name).mean()) for name in names),
        float(np.mean(log_sizes)),
        float(np.std(log_sizes)),
        torch.as_tensor(np.stack(spreads)).float(),
    )
    return torch.as_tensor(new).float()
