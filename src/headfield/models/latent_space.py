"""Identity codes as an affine image of the latent codes that a paper's networks see, so that a release can whiten them.

The map is the identity during training. A release folds mean and spread of the training codes into it
(:func:`headfield.train.whiten.whiten`): afterwards codes are N(0, I), and the networks still see what they were trained
with.
"""

from __future__ import annotations

import torch
from torch import nn


class LatentSpace(nn.Module):
    """Part of a module: latent = mean + spread z, for identity codes z (B, D) and latents of the same size."""

    latent_mean: torch.Tensor
    latent_spread: torch.Tensor

    def start_latent(self, size: int) -> None:
        """Begin with the identity map; called while the module is built."""
        self.register_buffer("latent_mean", torch.zeros(size))
        self.register_buffer("latent_spread", torch.eye(size))

    def latent(self, identity: torch.Tensor) -> torch.Tensor:
        """The latent codes (B, D) of identity codes (B, D)."""
        return self.latent_mean + identity @ self.latent_spread.T

    @torch.no_grad()
    def recode(self, mean: torch.Tensor, spread: torch.Tensor) -> None:
        """Change the code space in place: z_old = mean (D,) + spread (D, D) z_new; the map to the latent takes it."""
        old = self.latent_spread.double()
        self.latent_mean.copy_(self.latent_mean + old @ mean.double())
        self.latent_spread.copy_(old @ spread.double())
