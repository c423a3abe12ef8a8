"""Products of rows with their own network's weights against a loop over rows; the layout of rows."""

from __future__ import annotations

import pytest
import torch

from headfield import frames
from headfield.nn.grouped import TILE, group_rows, grouped_linear

BOUNDS = (0, 5, 5, 12)
"""Rows of three networks; the second has none."""


@pytest.fixture
def layer():
    """Rows (12, 4), weights (3, 6, 4), biases (3, 6)."""
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
        for shape in ((12, 4), (3, 6, 4), (3, 6))
    )


def _by_loop(x, weight, bias):
    owner = [r for r in range(3) for _ in range(BOUNDS[r], BOUNDS[r + 1])]
    return torch.stack([weight[r] @ row + (0 if bias is None else bias[r]) for r, row in zip(owner, x)])


@pytest.mark.parametrize("biased", [True, False])
def test_products_and_their_gradients(layer, biased):
    x, weight, bias = layer
    inputs = (x, weight, bias) if biased else (x, weight)
    ours = grouped_linear(x, weight, BOUNDS, bias if biased else None)
    oracle = _by_loop(x, weight, bias if biased else None)
    torch.testing.assert_close(ours, oracle)
    cotangent = torch.randn(12, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for mine, theirs in zip(
        torch.autograd.grad((ours * cotangent).sum(), inputs), torch.autograd.grad((oracle * cotangent).sum(), inputs)
    ):
        torch.testing.assert_close(mine, theirs)


def test_transposed_weights(layer):
    """The reverse pass hands in weights as a transposed view."""
    x, weight, _ = layer
    view = weight.detach().transpose(1, 2).contiguous().transpose(1, 2).requires_grad_()
    ours = grouped_linear(x, view, BOUNDS)
    torch.testing.assert_close(ours, _by_loop(x, weight, None))
    grad_ours, grad = (
        torch.autograd.grad(ours.square().sum(), view),
        torch.autograd.grad(_by_loop(x, weight, None).square().sum(), weight),
    )
    torch.testing.assert_close(grad_ours[0], grad[0])


@pytest.mark.parametrize("density", [0.15, 0.0, 1.0])
def test_layout_holds_every_active_pair_once_in_its_networks_rows(density):
    network = torch.as_tensor(frames.PART_NETWORK)
    active = torch.rand(70, frames.N_ANCHORS, generator=torch.Generator().manual_seed(5)) < density
    rows = group_rows(active, network, frames.N_PART_NETWORKS)
    pairs = list(zip(rows.point[rows.valid].tolist(), rows.part[rows.valid].tolist()))
    assert len(pairs) == len(set(pairs)) and set(pairs) == {tuple(pair) for pair in active.nonzero().tolist()}
    assert len(rows.bounds) == frames.N_PART_NETWORKS + 1 and rows.bounds[-1] == len(rows.point)
    for r, (a, b) in enumerate(zip(rows.bounds[:-1], rows.bounds[1:])):
        assert (b - a) % TILE == 0
        assert (network[rows.part[a:b]] == r).all()  # padding rows too: they index this network's codes


def test_a_pair_shares_its_networks_rows():
    """Left and right parts are neighbours by index, and meet in one product."""
    active = torch.zeros(3, frames.N_ANCHORS, dtype=torch.bool)
    active[:, :2] = True
    rows = group_rows(active, torch.as_tensor(frames.PART_NETWORK), frames.N_PART_NETWORKS)
    assert rows.bounds[:2] == (0, TILE) and int(rows.valid.sum()) == 6
