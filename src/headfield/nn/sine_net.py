"""Networks with sine activations (SIREN), and hypernetworks that write their weights from a code.

The layers of a sine network are given from outside, one set per head: a hypernetwork's, or the network's own.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from headfield.nn.anchor_net import linear_layers

FREQUENCY = 30.0
"""omega_0 of SIREN: every hidden layer is sin(30 (W x + b))."""

Layers = tuple[tuple[torch.Tensor, torch.Tensor], ...]
"""Weight (B, O, I) and bias (B, O) of every layer; B may be 1 for all heads."""


def layer_sizes(inputs: int, hidden: int, layers: int, outputs: int) -> list[tuple[int, int]]:
    """(outputs, inputs) of a network's layers: `layers` hidden ones and the last."""
    widths = [inputs] + [hidden] * layers + [outputs]
    return [(after, before) for before, after in zip(widths[:-1], widths[1:])]


def sine_net(x: torch.Tensor, layers: Layers, gate: torch.Tensor | None = None) -> torch.Tensor:
    """Evaluate a sine network of B heads.

    Args:
        x: (B, N, I) inputs.
        layers: Of each head.
        gate: (B, H) factor on the last hidden layer, with which the last bias is left out, so that the result is zero
            where the gate is; None for none.
    Returns:
        (B, N, O).
    """
    for weight, bias in layers[:-1]:
        x = torch.sin(FREQUENCY * (x @ weight.transpose(-1, -2) + bias[..., None, :]))
    weight, bias = layers[-1]
    if gate is not None:
        return (x * gate[:, None]) @ weight.transpose(-1, -2)
    return x @ weight.transpose(-1, -2) + bias[..., None, :]


class OwnLayers(nn.Module):
    """The weights of one sine network for all heads, started as SIREN's with a last layer of zeros."""

    def __init__(self, sizes: list[tuple[int, int]]):
        super().__init__()
        self.weights = nn.ParameterList([torch.zeros(size) for size in sizes])
        self.biases = nn.ParameterList([torch.zeros(size[0]) for size in sizes])
        for layer, (weight, bias) in enumerate(zip(self.weights[:-1], self.biases[:-1])):
            bound = 1 / weight.shape[1] if layer == 0 else math.sqrt(6 / weight.shape[1]) / FREQUENCY
            nn.init.uniform_(weight, -bound, bound)
            nn.init.uniform_(bias, -1 / math.sqrt(weight.shape[1]), 1 / math.sqrt(weight.shape[1]))

    def forward(self) -> Layers:
        """The layers, for all heads the same (B = 1)."""
        return tuple((weight[None], bias[None]) for weight, bias in zip(self.weights, self.biases))


class HyperNetwork(nn.Module):
    """A code (B, C) -> the weights of a sine network, each tensor of them from a ReLU network of its own.

    Dimensions: B heads, C numbers of a code, H hidden width.
    """

    def __init__(self, code: int, hidden: int, layers: int, sizes: list[tuple[int, int]]):
        """Build with weights that hardly depend on the code at first.

        Args:
            code: C.
            hidden: H.
            layers: Hidden layers, at least 1.
            sizes: (outputs, inputs) of the sine network's layers.
        """
        super().__init__()
        self.sizes = sizes
        self.networks = nn.ModuleList()
        for outputs, inputs in sizes:
            for count in (outputs * inputs, outputs):
                widths = [code] + [hidden] * layers
                steps = [[nn.Linear(before, after), nn.ReLU()] for before, after in zip(widths[:-1], widths[1:])]
                last = nn.Linear(hidden, count)
                for linear in (*(step[0] for step in steps), last):
                    nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
                bound = 1 / inputs if count > outputs else 1 / hidden
                nn.init.uniform_(last.bias, -bound, bound)
                with torch.no_grad():
                    last.weight *= 0.01
                self.networks.append(nn.Sequential(*(module for step in steps for module in step), last))

    def forward(self, code: torch.Tensor) -> Layers:
        """The layers of each head."""
        found = [network(code) for network in self.networks]
        return tuple(
            (weight.unflatten(1, size), bias) for weight, bias, size in zip(found[::2], found[1::2], self.sizes)
        )

    def first_weights(self) -> list[torch.Tensor]:
        """The weights (H, C) that a code meets first, views."""
        return [linear_layers(network)[0].weight for network in self.networks if isinstance(network, nn.Sequential)]
