"""The expression deformer: exactly zero at zero expression, first-order there, reverse pass against autograd."""

from __future__ import annotations

import pytest
import torch

from headfield.nn.deformer import DeformerSize, ExpressionDeformer

IDENTITY, EXPRESSION, AMBIENT = 6, 5, 2


@pytest.fixture
def deformer():
    """A small E with every weight drawn large enough to matter, the zero bias of its output left alone."""
    torch.manual_seed(2)
    made = ExpressionDeformer(DeformerSize(IDENTITY, EXPRESSION, AMBIENT, 16, 4, 3, 4, 4)).double()
    torch.nn.init.normal_(made.mlp.last, std=0.3)
    return made


@pytest.fixture
def heads():
    """Points (2, 7, 3), z_id (2, D), z_exp (2, E)."""
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 7, 3), (2, IDENTITY), (2, EXPRESSION))
    return [torch.rand(shape, generator=generator, dtype=torch.float64) - 0.4 for shape in shapes]


def test_exactly_zero_at_zero_expression(deformer, heads):
    points, identity, _ = heads
    zero = torch.zeros(2, EXPRESSION, dtype=torch.float64)
    shift, ambient, _ = deformer(points, deformer.fold(identity, zero))
    assert (shift == 0).all() and (ambient == 0).all()


def test_training_cannot_move_the_zero(deformer):
    """A bias of the output would be added at neutral too: it takes no gradient."""
    assert not deformer.mlp.last_bias.requires_grad and (deformer.mlp.last_bias == 0).all()


def test_every_channel_moves_points_at_first_order_from_neutral(deformer, heads):
    points, identity, _ = heads
    zero = torch.zeros(2, EXPRESSION, dtype=torch.float64, requires_grad=True)
    shift, ambient, _ = deformer(points, deformer.fold(identity, zero))
    (slope,) = torch.autograd.grad(torch.cat([shift, ambient], -1)[..., 1].sum(), zero)
    assert (slope.abs() > 1e-6).all()


def test_heads_of_a_batch_do_not_mix(deformer, heads):
    points, identity, expression = heads
    together = deformer(points, deformer.fold(identity, expression))[0]
    alone = deformer(points[1:], deformer.fold(identity[1:], expression[1:]))[0]
    torch.testing.assert_close(together[1:], alone)


def test_reverse_is_autograds(deformer, heads):
    points, identity, expression = (tensor.requires_grad_() for tensor in heads)
    shift, ambient, state = deformer(points, deformer.fold(identity, expression))
    generator = torch.Generator().manual_seed(1)
    on_shift = torch.randn(shift.shape, generator=generator, dtype=torch.float64)
    on_ambient = torch.randn(ambient.shape, generator=generator, dtype=torch.float64)
    expected = torch.autograd.grad(
        (shift * on_shift).sum() + (ambient * on_ambient).sum(), (points, identity, expression)
    )
    with torch.no_grad():
        on_points, cotangent, first, skip = deformer.reverse(on_shift, on_ambient, state)
        on_identity, on_expression = deformer.reverse_codes(cotangent, first, skip, state)
    torch.testing.assert_close(on_points, expected[0])
    torch.testing.assert_close(on_identity.view(2, 7, -1).sum(1), expected[1])
    torch.testing.assert_close(on_expression.view(2, 7, -1).sum(1), expected[2])
