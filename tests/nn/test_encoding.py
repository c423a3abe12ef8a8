"""Positional encoding against a plain loop; its reverse pass against autograd."""

from __future__ import annotations

import math

import pytest
import torch

from headfield.nn.encoding import encode, encode_reverse, encoded_size


@pytest.fixture
def x():
    """Coordinates (9, 3), model units."""
    return torch.rand(9, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2 - 1


@pytest.mark.parametrize("frequencies", [1, 4, 7])
def test_encoding_is_that_of_a_plain_loop(x, frequencies):
    encoded, _ = encode(x, frequencies)
    assert encoded.shape == (9, encoded_size(frequencies))
    for row, point in zip(encoded.tolist(), x.tolist()):
        angles = [math.pi * 2**level * coordinate for coordinate in point for level in range(frequencies)]
        expected = [*point, *map(math.sin, angles), *map(math.cos, angles)]
        assert row == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("frequencies", [1, 7])
def test_reverse_is_autograds(x, frequencies):
    x.requires_grad_()
    encoded, slopes = encode(x, frequencies)
    cotangent = torch.randn(encoded.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (expected,) = torch.autograd.grad((encoded * cotangent).sum(), x)
    torch.testing.assert_close(encode_reverse(cotangent, slopes, frequencies), expected)


def test_no_frequencies_leaves_coordinates_alone(x):
    encoded, slopes = encode(x, 0)
    assert encoded is x and slopes is None and encoded_size(0) == 3
    assert encode_reverse(x, None, 0) is x


def test_the_papers_size():
    assert encoded_size(7) == 45
