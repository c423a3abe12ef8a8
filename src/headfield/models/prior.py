"""The prior over identity codes and over head size."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch


@dataclass(frozen=True)
class Prior:
    """Where codes come from.

    After release the code space is whitened: over all training heads z has mean 0 and unit covariance, z = 0 is the
    mean head and a standard deviation means the same everywhere. Hair makes the codes multi-modal, so the prior may
    carry a few components, each with its own mean; a fit tries them and keeps the best.

    Attributes:
        names: Component names, e.g. ("all", "bald", "short"); the first is the whole population.
        means: (C, D) component means.
        weights: (C - 1,) shares of the components after the first, or empty.
        size_mean: Mean of log head size relative to the reference adult.
        size_sd: Its standard deviation (children to adults).
    """

    names: tuple[str, ...]
    means: torch.Tensor
    weights: tuple[float, ...] = field(default=())
    size_mean: float = 0.0
    size_sd: float = 0.12

    @staticmethod
    def standard(identity: int) -> Prior:
        """One standard normal component."""
        return Prior(("all",), torch.zeros(1, identity))
