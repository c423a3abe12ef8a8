"""GroupedMLP against a plain torch MLP with the same weights; its reverse pass against autograd."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from headfield.nn.activation import softplus, softplus_and_slope
from headfield.nn.mlp import GroupedMLP

NETWORKS, INPUTS, CONDITIONS, HIDDEN, OUTPUTS = 3, 5, 4, 8, 2
BOUNDS = (0, 6, 6, 13)
OWNER = torch.tensor([0] * 6 + [2] * 7)
GROUP = torch.tensor([0, 3, 0, 3, 0, 3] + [2, 2, 5, 5, 2, 5, 2])
"""Group of each row: two heads with one part per network."""


def _random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _build(layers, skip, conditions=CONDITIONS):
    torch.manual_seed(7)
    return GroupedMLP(NETWORKS, INPUTS, conditions, HIDDEN, layers, OUTPUTS, skip).double()


def _plain(mlp, r, x, condition, gate=None):
    """The r-th network with `torch.nn.functional.linear` on whole inputs (x, c): nothing folded, nothing grouped."""
    entry = torch.cat([x, condition], -1)
    hidden = functional.softplus(
        functional.linear(entry, torch.cat([mlp.first[r], mlp.first_condition[r]], -1), mlp.biases[0][r]), beta=100.0
    )
    for layer, weight in enumerate(mlp.deeper, start=1):
        if layer == mlp.skip_layer:  # DeepSDF: append the input, divide by sqrt(2)
            whole = torch.cat([weight[r], mlp.skip[r], mlp.skip_condition[r]], -1)
            before = functional.linear(torch.cat([hidden, entry], -1) / math.sqrt(2), whole, mlp.biases[layer][r])
        else:
            before = functional.linear(hidden, weight[r], mlp.biases[layer][r])
        hidden = functional.softplus(before, beta=100.0)
    return functional.linear(hidden if gate is None else hidden * gate, mlp.last[r], mlp.last_bias[r])


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize(("layers", "skip"), [(4, True), (3, False), (2, True), (1, True)])
def test_same_as_a_plain_mlp(layers, skip, gated):
    mlp = _build(layers, skip)
    x, codes = _random(13, INPUTS), _random(2, NETWORKS, CONDITIONS, seed=1)
    gate = _random(13, HIDDEN, seed=2) if gated else None
    folded = mlp.fold(codes, torch.arange(NETWORKS))
    condition = codes.reshape(-1, CONDITIONS)[GROUP]
    expected = torch.stack(
        [_plain(mlp, int(r), x[i], condition[i], None if gate is None else gate[i]) for i, r in enumerate(OWNER)]
    )
    for keep in (True, False):
        ours, state = mlp(x, folded, GROUP, BOUNDS, gate, keep)
        torch.testing.assert_close(ours, expected)
        assert (state is not None) == keep


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize(("layers", "skip"), [(4, True), (3, False)])
def test_reverse_is_autograds(layers, skip, gated):
    mlp = _build(layers, skip)
    x, codes = _random(13, INPUTS).requires_grad_(), _random(2, NETWORKS, CONDITIONS, seed=1).requires_grad_()
    gate = _random(13, HIDDEN, seed=2) if gated else None
    out, state = mlp(x, mlp.fold(codes, torch.arange(NETWORKS)), GROUP, BOUNDS, gate)
    cotangent = _random(13, OUTPUTS, seed=3)
    on_x, on_codes = torch.autograd.grad((out * cotangent).sum(), (x, codes))
    with torch.no_grad():
        ours, first, at_skip = mlp.reverse(cotangent, state, BOUNDS)
        on_rows = mlp.reverse_condition(first, at_skip, BOUNDS)
        per_group = torch.zeros(2 * NETWORKS, CONDITIONS, dtype=torch.float64).index_add(0, GROUP, on_rows)
    assert (at_skip is None) == (not skip)
    torch.testing.assert_close(ours, on_x)
    torch.testing.assert_close(per_group.view_as(on_codes), on_codes)


def test_loss_on_the_gradient_needs_no_double_backward():
    """One backward through the reverse pass gives what double backward gives."""
    mlp = _build(3, True)
    x = _random(13, INPUTS).requires_grad_()
    folded = mlp.fold(_random(2, NETWORKS, CONDITIONS, seed=1), torch.arange(NETWORKS))
    _, state = mlp(x, folded, GROUP, BOUNDS)
    gradient, _, _ = mlp.reverse(torch.ones(13, OUTPUTS, dtype=torch.float64), state, BOUNDS)
    ours = torch.autograd.grad(gradient.square().sum(), [mlp.first, mlp.skip, mlp.last, *mlp.deeper])
    condition = _random(2, NETWORKS, CONDITIONS, seed=1).reshape(-1, CONDITIONS)[GROUP]
    plain = torch.stack([_plain(mlp, int(r), x[i], condition[i]) for i, r in enumerate(OWNER)])
    (gradient,) = torch.autograd.grad(plain.sum(), x, create_graph=True)
    expected = torch.autograd.grad(gradient.square().sum(), [mlp.first, mlp.skip, mlp.last, *mlp.deeper])
    for mine, theirs in zip(ours, expected):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-9)


def test_without_conditions():
    mlp = _build(2, True, conditions=0)
    folded = mlp.fold(None, torch.arange(NETWORKS))
    assert folded.first.shape == (NETWORKS, HIDDEN) and mlp.skip_condition is None
    out, _ = mlp(_random(13, INPUTS), folded, OWNER, BOUNDS)
    assert out.shape == (13, OUTPUTS) and out.isfinite().all()


def test_softplus_and_its_slope():
    x = torch.cat([torch.linspace(-0.2, 0.2, 41, dtype=torch.float64), torch.tensor([-3.0, 3.0]).double()])
    x.requires_grad_()
    value, slope = softplus_and_slope(x)
    torch.testing.assert_close(value, torch.logaddexp(100 * x, torch.zeros_like(x)) / 100)
    torch.testing.assert_close(value, softplus(x))
    torch.testing.assert_close(slope, torch.autograd.grad(softplus(x).sum(), x)[0])
    torch.autograd.gradcheck(softplus_and_slope, x)
