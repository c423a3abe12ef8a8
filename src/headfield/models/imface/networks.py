"""Neural blend-fields: a sine network that sees a point from five places of the face, and five shares that blend it.

psi(u) = sum_n w_n(u) psi_n(u - l_n)        w a softmax over five regions, learned (ImFace, Neural Blend-Field)

In the published code, which this follows, one network sees all five local coordinates and returns all five fields.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from headfield.frames import ANCHOR_NAMES
from headfield.nn.sine_net import HyperNetwork, Layers, OwnLayers, layer_sizes, sine_net

KEY_NAMES = ("eye_outer_right", "eye_outer_left", "nose_tip", "mouth_corner_right", "mouth_corner_left")
"""The five places (published code: 36, 45, 30, 48, 54 of the 68 landmarks)."""

KEYS = [ANCHOR_NAMES.index(name) for name in KEY_NAMES]
"""Their numbers among the 39 anchors."""


@dataclass(frozen=True)
class BlendSize:
    """Sizes of a :class:`BlendField`.

    Attributes:
        outputs: O, numbers of a field.
        hidden: H, width of the sine network.
        layers: Its hidden layers.
        fusion_hidden: Width of the network of the shares.
        code: C, numbers of the code that writes the sine network; None for a network of its own.
        hyper_hidden, hyper_layers: Width and hidden layers of the hypernetwork.
    """

    outputs: int
    hidden: int
    layers: int
    fusion_hidden: int
    code: int | None
    hyper_hidden: int = 0
    hyper_layers: int = 0


class BlendField(nn.Module):
    """Points and five places -> O numbers, blended.

    Dimensions: B heads, N points, L = 5 places, O numbers, C of a code. Coordinates are in the model's own unit.
    """

    def __init__(self, size: BlendSize):
        super().__init__()
        count = len(KEYS)
        sizes = layer_sizes(3 * count, size.hidden, size.layers, size.outputs * count)
        self.outputs = size.outputs
        if size.code is None:
            self.own = OwnLayers(sizes)
        else:
            self.hyper = HyperNetwork(size.code, size.hyper_hidden, size.hyper_layers, sizes)
        self.shares = nn.Sequential(
            nn.Linear(3, size.fusion_hidden),
            nn.LayerNorm(size.fusion_hidden),
            nn.LeakyReLU(),
            nn.Linear(size.fusion_hidden, size.fusion_hidden),
            nn.LayerNorm(size.fusion_hidden),
            nn.LeakyReLU(),
            nn.Linear(size.fusion_hidden, count),
            nn.LayerNorm(count),
            nn.Softmax(dim=-1),
        )

    def fold(self, code: torch.Tensor | None = None) -> Layers:
        """The sine network of each head with a code (B, C), or the own one of all."""
        return self.own() if code is None else self.hyper(code)

    def forward(
        self, points: torch.Tensor, places: torch.Tensor, layers: Layers, gate: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The blended field (B, N, O) at points (B, N, 3), for places (B, 5, 3) and layers from :meth:`fold`.

        With a gate (B, H) it is zero where the gate is, see :func:`headfield.nn.sine_net.sine_net`.
        """
        local = (points[:, :, None] - places[:, None]).flatten(2)
        fields = sine_net(local, layers, gate).unflatten(2, (len(KEYS), self.outputs))
        return (self.shares(points)[..., None] * fields).sum(2)
