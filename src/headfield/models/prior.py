"""The prior over identity codes and over head size."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.linalg import solve_triangular

BARE = "bald"
"""Name of the class without hair: its heads are fitted without looking for any."""

BEARD = "beard"
"""Name of the class of full beards, whatever the scalp wears."""


@dataclass(frozen=True)
class Gaussian:
    """A normal distribution of identity codes, as the fit uses it.

    Attributes:
        mean: (D,) mean.
        spread: (D, D) lower triangular L with covariance L L^T.
        precision: (D, D) inverse covariance.
        log_share: Log of the share of heads that it describes.
    """

    mean: np.ndarray
    spread: np.ndarray
    precision: np.ndarray
    log_share: float = 0.0

    @staticmethod
    def of(mean: np.ndarray, spread: np.ndarray | None = None, share: float = 1.0) -> Gaussian:
        """From a mean (D,) and a lower triangular spread (D, D), None for the identity."""
        mean = np.asarray(mean, dtype=float)
        eye = np.eye(len(mean))
        if spread is None:
            return Gaussian(mean, eye, eye, float(np.log(share)))
        inverse = solve_triangular(np.asarray(spread, dtype=float), eye, lower=True)
        return Gaussian(mean, np.asarray(spread, dtype=float), inverse.T @ inverse, float(np.log(share)))

    def cost(self, code: np.ndarray) -> float:
        """Half the squared Mahalanobis distance of a code (D,) from the mean."""
        away = code - self.mean
        return 0.5 * float(away @ self.precision @ away)


@dataclass(frozen=True)
class Prior:
    """Where codes come from.

    After release the code space is whitened: over all training heads z has mean 0 and unit covariance, z = 0 is the
    mean head and a standard deviation means the same everywhere. Hair makes the codes multi-modal: one normal
    distribution of everybody would put half a hairdo on every head whose scalp it cannot see. So the prior may carry
    a mixture of hair classes, each with its own mean and covariance; a fit keeps the class with the best evidence.

    Attributes:
        names: Component names, e.g. ("all", "bald", "short"); the first is the whole population.
        means: (C, D) component means.
        weights: (C - 1,) shares of the components after the first, or empty.
        size_mean: Mean of log head size relative to the reference adult.
        size_sd: Its standard deviation (children to adults).
        spreads: (C, D, D) lower triangular L with covariance L L^T of each component; None = identities.
    """

    names: tuple[str, ...]
    means: torch.Tensor
    weights: tuple[float, ...] = field(default=())
    size_mean: float = 0.0
    size_sd: float = 0.12
    spreads: torch.Tensor | None = None

    @staticmethod
    def standard(identity: int) -> Prior:
        """One standard normal component."""
        return Prior(("all",), torch.zeros(1, identity))

    @property
    def classes(self) -> tuple[int, ...]:
        """Components that a head is taken from: the mixture's, or the whole population when there is none."""
        return tuple(range(1, len(self.names))) or (0,)

    def component(self, index: int) -> Gaussian:
        """One component as arrays (computed once)."""
        known = self.__dict__.setdefault("_components", {})
        if index not in known:
            spread = None if self.spreads is None else self.spreads[index].double().cpu().numpy()
            share = self.weights[index - 1] if index and self.weights else 1.0
            known[index] = Gaussian.of(self.means[index].double().cpu().numpy(), spread, share)
        return known[index]

    def likeliest(self, code: np.ndarray) -> int:
        """The component that a code (D,) most probably comes from: its hair class."""

        def score(index: int) -> float:
            one = self.component(index)
            return one.log_share - one.cost(np.asarray(code, dtype=float)) - np.log(np.diag(one.spread)).sum()

        return max(self.classes, key=score)

    def draw(self, count: int, rng: np.random.Generator, sd: float = 1.0, component: int | None = None) -> np.ndarray:
        """Random identity codes.

        Args:
            count: How many.
            rng: Source of randomness.
            sd: Spread about the mean of a head's component; 1 is the training heads' own.
            component: Draw from this one; None draws it too, by the shares of the mixture.
        Returns:
            (count, D) float32.
        """
        shares = np.array(self.weights or [1.0])
        kinds = rng.choice(self.classes, count, p=shares / shares.sum())
        noise = rng.standard_normal((count, self.means.shape[1]))
        chosen = [self.component(int(kind if component is None else component)) for kind in kinds]
        return np.stack([one.mean + sd * one.spread @ row for one, row in zip(chosen, noise)]).astype(np.float32)
