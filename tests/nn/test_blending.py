"""Blend weights: laws of the kernels, a plain loop as the oracle, and the reverse pass against autograd."""

from __future__ import annotations

import math

import pytest
import torch

from headfield.nn.blending import blend, blend_reverse

SIGMA, EPS = 0.1, 0.005
KERNELS = pytest.mark.parametrize("kernel", ["gaussian", "laplace"])


@pytest.fixture
def scene():
    """Points (2, 40, 3) and anchors (2, 39, 3) in a head-sized box, model units, float64."""
    generator = torch.Generator().manual_seed(3)
    anchors = torch.rand(2, 39, 3, generator=generator, dtype=torch.float64) - 0.5
    return torch.rand(2, 40, 3, generator=generator, dtype=torch.float64) * 1.2 - 0.6, anchors


def _by_loop(x, anchors, kernel, threshold):
    """Weights of the anchors at one point, straight from the equations, no tensors."""
    logits = []
    for anchor in anchors.tolist():
        d = math.dist(x.tolist(), anchor)
        logits.append(-(d**2) / SIGMA**2 if kernel == "gaussian" else -math.hypot(d, 1e-2) / SIGMA)
    top = max(logits)
    e = [math.exp(logit - top) for logit in logits]
    p = [value / sum(e) for value in e]
    phi = [max(value - threshold, 0.0) ** 2 / value if value > 0 else 0.0 for value in p]
    return [value / sum(phi) for value in phi]


@KERNELS
@pytest.mark.parametrize("threshold", [EPS, 0.0])
def test_weights_are_those_of_a_plain_loop(scene, kernel, threshold):
    points, anchors = scene
    weights = blend(points, anchors, kernel, SIGMA, threshold).weights
    for head in range(2):
        for n in range(0, 40, 7):
            expected = torch.tensor(_by_loop(points[head, n], anchors[head], kernel, threshold), dtype=torch.float64)
            torch.testing.assert_close(weights[head, n], expected, rtol=1e-9, atol=1e-12)


@KERNELS
def test_weights_sum_to_one_and_are_exactly_zero_below_the_threshold(scene, kernel):
    points, anchors = scene
    far = torch.tensor([[[30.0, -20.0, 50.0]]], dtype=torch.float64).expand(2, 1, 3)  # some part lives everywhere
    state = blend(torch.cat([points, far], 1), anchors, kernel, SIGMA, EPS)
    torch.testing.assert_close(state.weights.sum(-1), torch.ones(2, 41, dtype=torch.float64))
    assert (state.weights >= 0).all()
    assert ((state.weights == 0) == (state.p <= EPS)).all()
    assert (state.weights > 0).any(-1).all() and (state.weights == 0).any(-1).all()


def test_even_39_equal_parts_survive_the_threshold():
    """eps < 1/39: a point as far from every anchor keeps them all, with equal weights."""
    anchors = torch.zeros(1, 39, 3, dtype=torch.float64)
    weights = blend(torch.ones(1, 1, 3, dtype=torch.float64), anchors, "gaussian", SIGMA, EPS).weights
    torch.testing.assert_close(weights, torch.full_like(weights, 1 / 39))


def test_literal_laplace_is_the_papers_beyond_the_rounded_tip():
    """imHead Eq. 5: exp(-d / sigma), normalised; only within about 0.01 of an anchor is its cone rounded."""
    anchors = torch.tensor([[[0.0, 0, 0], [0.5, 0, 0], [0, 0.7, 0]]], dtype=torch.float64)
    points = torch.tensor([[[0.25, 0.3, 0.2], [0.3, -0.2, 0.4]]], dtype=torch.float64)
    weights = blend(points, anchors, "laplace", SIGMA, 0.0).weights
    literal = (-(points[:, :, None] - anchors[:, None]).norm(dim=-1) / SIGMA).exp()
    torch.testing.assert_close(weights, literal / literal.sum(-1, keepdim=True), rtol=3e-3, atol=0)


@KERNELS
def test_smooth_where_a_part_appears(kernel):
    """Over the threshold the weight grows like a square: neither it nor its slope jumps."""
    anchors = torch.tensor([[[0.0, 0, 0], [0.4, 0, 0]]], dtype=torch.float64)
    x = torch.zeros(1, 4001, 3, dtype=torch.float64)
    x[0, :, 0] = torch.linspace(-0.2, 0.4, 4001, dtype=torch.float64)
    # eps = 0.1 so that the laplace kernel, which is broad, has an edge in reach too
    weight = blend(x, anchors, kernel, SIGMA, 0.1).weights[0, :, 1]
    edge = int((weight > 0).nonzero()[0])
    assert 0 < edge < 4000
    slope = weight.diff() / (0.6 / 4000)
    assert weight[edge] < 1e-4 and slope[edge] < 0.02 * slope.max()


@KERNELS
@pytest.mark.parametrize("threshold", [EPS, 0.0])
def test_reverse_is_autograds(scene, kernel, threshold):
    points, anchors = (tensor.clone().requires_grad_() for tensor in scene)
    cotangent = torch.randn(2, 40, 39, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    state = blend(points, anchors, kernel, SIGMA, threshold)
    on_points, on_anchors = torch.autograd.grad((state.weights * cotangent).sum(), (points, anchors))
    with torch.no_grad():
        ours, q = blend_reverse(cotangent, state, points, anchors, SIGMA, threshold)
        ours_anchors = torch.einsum("bnk,bnkc->bkc", q, points[:, :, None] - anchors[:, None])
    torch.testing.assert_close(ours, on_points, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(ours_anchors, on_anchors, rtol=1e-7, atol=1e-9)
