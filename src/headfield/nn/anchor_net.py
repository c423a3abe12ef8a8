"""The network that places anchors: imHead's LandmarkNet (Eq. 3), NPHM's MLP_pos (§4.1.2)."""

from __future__ import annotations

import torch
from torch import nn

from headfield import frames


def linear_layers(network: nn.Sequential) -> list[nn.Linear]:
    """The linear layers among those of a network, from first to last."""
    return [layer for layer in network if isinstance(layer, nn.Linear)]


class AnchorNet(nn.Sequential):
    """Codes (..., I) -> offsets of K anchors from their means (..., K x 3); two hidden layers, zero at first."""

    def __init__(self, inputs: int, hidden: int, anchors: int = frames.N_ANCHORS):
        first, second, last = nn.Linear(inputs, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, 3 * anchors)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        super().__init__(first, nn.ReLU(), second, nn.ReLU(), last)

    def offsets(self, codes: torch.Tensor) -> torch.Tensor:
        """Offsets (..., K, 3) for codes (..., I), model units."""
        return self(codes).unflatten(-1, (-1, 3))

    @torch.no_grad()
    def jacobian(self, codes: torch.Tensor, spread: torch.Tensor) -> torch.Tensor:
        """d offsets / d z (3 K, D) where codes (1, I) have the derivative `spread` (I, D)."""
        first, second, last = linear_layers(self)
        before_first = first(codes)
        before_second = second(torch.relu(before_first))
        found = (first.weight @ spread) * (before_first[0] > 0)[:, None]
        return last.weight @ ((second.weight @ found) * (before_second[0] > 0)[:, None])
