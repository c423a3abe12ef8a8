"""One network of a :class:`headfield.nn.mlp.GroupedMLP` by itself, without codes and groups of rows.

Searches call networks for a handful of points, again and again, where what counts is the number of torch's calls: these
are the fewest. Derivatives are ordinary forward operations here, too, so that a loss on them needs one backward.
Networks have no skip, or one that divides nothing (``narrow``).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import linear

from headfield.nn.activation import softplus, softplus_and_slope
from headfield.nn.mlp import GroupedMLP


@dataclass(frozen=True)
class Passed:
    """What points have become on their way.

    Attributes:
        hidden: (P, H) the last hidden layer.
        slopes: Slope (P, H) of every hidden layer's activation.
    """

    hidden: torch.Tensor
    slopes: tuple[torch.Tensor, ...]


def last_hidden(mlp: GroupedMLP, x: torch.Tensor) -> torch.Tensor:
    """The last hidden layer (P, H) of inputs (P, I)."""
    hidden = x
    for layer in range(len(mlp.biases)):
        hidden = softplus(_before(mlp, layer, hidden, x))
    return hidden


def passed(mlp: GroupedMLP, x: torch.Tensor) -> Passed:
    """The same with the slopes on the way."""
    hidden, slopes = x, []
    for layer in range(len(mlp.biases)):
        hidden, slope = softplus_and_slope(_before(mlp, layer, hidden, x))
        slopes.append(slope)
    return Passed(hidden, tuple(slopes))


def outputs(mlp: GroupedMLP, hidden: torch.Tensor) -> torch.Tensor:
    """The outputs (P, O) of last hidden layers (P, H)."""
    return linear(hidden, mlp.last[0], mlp.last_bias[0])


def slope_of_first(mlp: GroupedMLP, state: Passed) -> torch.Tensor:
    """Derivative (P, I) of the first output by the inputs: a reverse pass."""
    back, from_skip = mlp.last[0, 0], None
    for layer in range(len(mlp.deeper), 0, -1):
        delta = back * state.slopes[layer]
        if mlp.skip is not None and layer == mlp.skip_layer:
            from_skip = delta @ mlp.skip[0]
        back = delta @ mlp.deeper[layer - 1][0]
    on_input = (back * state.slopes[0]) @ mlp.first[0]
    return on_input if from_skip is None else on_input + from_skip


def tangents(mlp: GroupedMLP, state: Passed) -> torch.Tensor:
    """Derivatives (P, I, H) of the last hidden layer by the inputs, of a network without a skip."""
    ways = state.slopes[0][:, None] * mlp.first[0].t()
    for slopes, weight in zip(state.slopes[1:], mlp.deeper):
        ways = (ways @ weight[0].t()) * slopes[:, None]
    return ways


def _before(mlp: GroupedMLP, layer: int, hidden: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """What goes into a hidden layer's activation."""
    weight = mlp.first if layer == 0 else mlp.deeper[layer - 1]
    before = linear(hidden, weight[0], mlp.biases[layer][0])
    if mlp.skip is not None and layer == mlp.skip_layer:
        before = torch.addmm(before, x, mlp.skip[0].t())
    return before
