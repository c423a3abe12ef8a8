"""Multi-layer perceptrons of fields: skips, codes folded into biases, and an explicit reverse pass.

R networks of one shape run side by side on rows sorted by network; R = 1 is an ordinary MLP. The reverse pass is
written as ordinary forward operations (W^T products times the stored slopes of the activation), so a loss on the
gradient of the field needs one single backward instead of a double one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn

from headfield.errors import present
from headfield.nn.activation import softplus, softplus_and_slope
from headfield.nn.grouped import grouped_linear

KEPT = "the state of an evaluation with keep=True"
SKIP, BLIND = "the weight of a skip", "the weight of a condition"
"""What messages call the layers that only some networks have."""


@dataclass(frozen=True)
class Folded:
    """The constant share of a code in the first and the skip layer, one row of biases per group (head, part)."""

    first: torch.Tensor
    """(G, H) bias of the first layer."""
    skip: torch.Tensor | None
    """(G, H) bias of the skip layer, before the division by sqrt(2); None without a skip."""


@dataclass(frozen=True)
class MlpState:
    """What the reverse pass needs."""

    slopes: tuple[torch.Tensor, ...]
    """Slope (P, H) of every hidden layer's activation."""
    ungated: torch.Tensor
    """(P, H) last hidden layer before the gate."""
    gate: torch.Tensor | None
    """(P, H) factor on the last hidden layer, or None."""


class GroupedMLP(nn.Module):
    """R MLPs y = MLP_r(x, c) with softplus (beta = 100) and DeepSDF's skip by appending, divided by sqrt(2).

    Dimensions: R networks, P rows, G groups (rows with the same condition), I inputs, C condition numbers,
    H hidden width, O outputs.
    """

    def __init__(
        self,
        networks: int,
        inputs: int,
        conditions: int,
        hidden: int,
        layers: int,
        outputs: int,
        skip: bool,
        narrow: bool = False,
    ):
        """Build with the default initialisation of linear layers (Kaiming-uniform).

        Args:
            networks: R.
            inputs: I, varying from row to row.
            conditions: C, constant in a group (codes); may be 0.
            hidden: H.
            layers: Hidden layers, at least 1 (the paper's "4 x 200" is layers=4, hidden=200).
            outputs: O.
            skip: Append the input (x, c) again at the middle hidden layer (index layers // 2).
            narrow: As in DeepSDF the layer before the skip is narrower by I + C, so that with the input it is as wide
                as the others, and nothing is divided by sqrt(2).
        """
        super().__init__()
        self.inputs, self.conditions, self.hidden = inputs, conditions, hidden
        self.skip_layer = layers // 2 if skip and layers > 1 else None
        fan_in, at = inputs + conditions, self.skip_layer
        widths = [hidden] * layers  # of what each layer returns
        if narrow and at is not None:
            widths[at - 1] -= fan_in
        self.scale = 1.0 if narrow else math.sqrt(0.5)
        fans = [fan_in, *(width + fan_in * (layer == at) for layer, width in enumerate(widths[:-1], start=1))]
        self.first = _weight(networks, widths[0], inputs, fan_in)
        self.first_condition = _weight(networks, widths[0], conditions, fan_in) if conditions else None
        self.deeper = nn.ParameterList(
            [_weight(networks, widths[layer], widths[layer - 1], fans[layer]) for layer in range(1, layers)]
        )
        self.skip = self.skip_condition = None
        if at is not None:
            self.skip = _weight(networks, widths[at], inputs, fans[at])
            self.skip_condition = _weight(networks, widths[at], conditions, fans[at]) if conditions else None
        self.biases = nn.ParameterList([_weight(networks, width, None, fan) for width, fan in zip(widths, fans)])
        self.last = _weight(networks, outputs, hidden, hidden)
        self.last_bias = _weight(networks, outputs, None, hidden)

    def fold(self, condition: torch.Tensor | None, network: torch.Tensor) -> Folded:
        """Fold conditions into biases.

        Args:
            condition: (B, K, C) or None when C = 0 (then B = 1).
            network: (K,) network of each of the K groups of a head.
        Returns:
            Biases of the G = B K groups.
        """
        first = self.biases[0][network][None]
        skip = None if self.skip_layer is None else self.biases[self.skip_layer][network][None] * (1.0 / self.scale)
        if condition is not None:
            first = first + torch.einsum("bkc,khc->bkh", condition, present(self.first_condition, BLIND)[network])
            if skip is not None:
                skip = skip + torch.einsum("bkc,khc->bkh", condition, present(self.skip_condition, BLIND)[network])
        return Folded(first.flatten(0, 1), None if skip is None else skip.flatten(0, 1))

    def forward(
        self, x: torch.Tensor, folded: Folded, group: torch.Tensor, bounds: tuple[int, ...], gate=None, keep=True
    ) -> tuple[torch.Tensor, MlpState | None]:
        """Evaluate rows.

        Args:
            x: (P, I) rows sorted by network.
            folded: Biases of G groups from :meth:`fold`.
            group: (P,) group of each row.
            bounds: (R + 1) row offsets of the networks.
            gate: (P, H) factor on the last hidden layer, or None.
            keep: Also compute the slopes that :meth:`reverse` needs.
        Returns:
            Outputs (P, O) and the state for :meth:`reverse` (None without `keep`).
        """
        slopes: list[torch.Tensor] | None = [] if keep else None
        hidden = _activated(grouped_linear(x, self.first, bounds) + folded.first[group], slopes)
        for layer, weight in enumerate(self.deeper, start=1):
            if layer == self.skip_layer:
                total = grouped_linear(hidden, weight, bounds) + grouped_linear(x, present(self.skip, SKIP), bounds)
                before = (total + present(folded.skip, SKIP)[group]) * self.scale
            else:
                before = grouped_linear(hidden, weight, bounds, self.biases[layer])
            hidden = _activated(before, slopes)
        state = None if slopes is None else MlpState(tuple(slopes), hidden, gate)
        return grouped_linear(hidden if gate is None else hidden * gate, self.last, bounds, self.last_bias), state

    def reverse(
        self, cotangent: torch.Tensor, state: MlpState, bounds: tuple[int, ...]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Pull a cotangent (P, O) of the outputs back.

        Returns:
            The cotangent at the inputs (P, I), and at the pre-activations of the first layer (P, H) and of the skip
            layer (P, H, scaled so that it meets :attr:`Folded.skip`; None without a skip).
        """
        back = grouped_linear(cotangent, self.last.transpose(1, 2), bounds)
        if state.gate is not None:
            back = back * state.gate
        at_skip, from_skip = None, None
        for layer in range(len(self.deeper), 0, -1):
            delta = back * state.slopes[layer]
            if layer == self.skip_layer:
                delta = at_skip = delta * self.scale
                from_skip = grouped_linear(delta, present(self.skip, SKIP).transpose(1, 2), bounds)
            back = grouped_linear(delta, self.deeper[layer - 1].transpose(1, 2), bounds)
        delta = back * state.slopes[0]
        on_input = grouped_linear(delta, self.first.transpose(1, 2), bounds)
        return on_input if from_skip is None else on_input + from_skip, delta, at_skip

    def reverse_condition(self, at_first: torch.Tensor, at_skip: torch.Tensor | None, bounds) -> torch.Tensor:
        """Cotangent at the condition (P, C), from the pre-activation cotangents of :meth:`reverse`."""
        result = grouped_linear(at_first, present(self.first_condition, BLIND).transpose(1, 2), bounds)
        if at_skip is not None:
            result = result + grouped_linear(at_skip, present(self.skip_condition, BLIND).transpose(1, 2), bounds)
        return result


@torch.no_grad()
def start_as_sphere(mlp: GroupedMLP, radius: float) -> None:
    """Start as the distance to a sphere about the origin of the first three inputs, blind to everything else (Atzmon
    and Lipman 2020); `radius` is in the inputs' unit. A skip sees nothing at first."""
    nn.init.normal_(mlp.first, std=(2.0 / len(mlp.biases[0][0])) ** 0.5)
    mlp.first[:, :, 3:] = 0.0
    for layer, weight in enumerate(mlp.deeper, start=1):
        scale = mlp.scale if layer == mlp.skip_layer else 1.0
        nn.init.normal_(weight, std=(2.0 / weight.shape[1]) ** 0.5 / scale)
    for blind in (mlp.first_condition, mlp.skip, mlp.skip_condition, *mlp.biases):
        if blind is not None:
            nn.init.zeros_(blind)
    nn.init.normal_(mlp.last, mean=(math.pi / mlp.hidden) ** 0.5, std=1e-4)
    nn.init.constant_(mlp.last_bias, -radius)


def _activated(before: torch.Tensor, slopes: list[torch.Tensor] | None) -> torch.Tensor:
    """Softplus of pre-activations (P, H), whose slopes are added to a list where a reverse pass will want them."""
    if slopes is None:
        return softplus(before)
    value, slope = softplus_and_slope(before)
    slopes.append(slope)
    return value


def _weight(networks: int, outputs: int, inputs: int | None, fan_in: int) -> nn.Parameter:
    bound = 1.0 / math.sqrt(fan_in)
    shape = (networks, outputs) if inputs is None else (networks, outputs, inputs)
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
