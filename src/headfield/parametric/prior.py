"""How plausible the numbers of an explicit head family are: identity, expression and pose, each within bounds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class IdentityPrior:
    """Mean, covariance and bounds of a family's identity numbers.

    Attributes:
        mean: (n,) the mean adult's numbers.
        covariance: (n, n) positive definite.
        lower: (n,) least values, -inf where there is none.
        upper: (n,) largest values.
    """

    mean: np.ndarray
    covariance: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    @staticmethod
    def standard(n: int, largest: float) -> IdentityPrior:
        """N(0, 1) for each of n numbers, clamped to `largest` standard deviations."""
        return IdentityPrior(np.zeros(n), np.eye(n), np.full(n, -largest), np.full(n, largest))

    @cached_property
    def deviation(self) -> np.ndarray:
        """Standard deviation (n,) of each number."""
        return np.sqrt(np.diag(self.covariance))

    @cached_property
    def precision(self) -> np.ndarray:
        """Inverse covariance (n, n)."""
        return np.linalg.inv(self.covariance)

    def cost(self, identity: np.ndarray) -> float:
        """Half the squared Mahalanobis distance of an identity (n,) from the mean."""
        away = np.asarray(identity) - self.mean
        return 0.5 * float(away @ self.precision @ away)


@dataclass(frozen=True)
class BoxPrior:
    """Cost of numbers that rest at zero: slope . e + 1/2 stiffness . e^2 (nats) within bounds.

    A slope makes blendshape weights in [0, 1] sparse; stiffness alone is a normal distribution about zero.

    Attributes:
        slope: (n,) cost per unit at zero.
        stiffness: (n,) one over the variance.
        lower, upper: (n,) bounds; equal where a number is held.
    """

    slope: np.ndarray
    stiffness: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    @staticmethod
    def weights(mask: np.ndarray, sparsity: float) -> BoxPrior:
        """Blendshape weights in [0, 1], of which few are used.

        Args:
            mask: (n,) bool, the channels that the family can play; the others are held at 0.
            sparsity: Cost of one full channel is 1.5 times this.
        """
        mask = np.asarray(mask, dtype=bool)
        same = np.full(len(mask), sparsity)
        return BoxPrior(same, same, np.zeros(len(mask)), mask.astype(float))

    @staticmethod
    def normal(deviation: np.ndarray, largest: float) -> BoxPrior:
        """Normal numbers of given standard deviations (n,), at most `largest` deviations from zero; 0 holds one."""
        deviation = np.asarray(deviation, dtype=float)
        stiffness = 1.0 / np.maximum(deviation, 1e-9) ** 2
        return BoxPrior(np.zeros(len(deviation)), stiffness, -largest * deviation, largest * deviation)

    def cost(self, numbers: np.ndarray) -> float:
        """Nats of numbers (n,) within the bounds."""
        return float(self.slope @ numbers + 0.5 * self.stiffness @ numbers**2)
