"""The losses against plain loops over numpy numbers, each as its equation is printed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from headfield import frames
from headfield.losses import field


def _draw(*shape, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def _lengths(rows) -> list[float]:
    """Euclidean length of every last-axis vector."""
    return [math.sqrt(sum(x * x for x in row)) for row in rows.reshape(-1, rows.shape[-1]).tolist()]


def test_equation_9():
    value, gradient = _draw(2, 5), _draw(2, 5, 3)
    normals = torch.nn.functional.normalize(_draw(2, 5, 3, seed=1), dim=-1)
    assert field.surface_distance(value).item() == pytest.approx(np.mean([abs(v) for v in value.flatten().tolist()]))
    assert field.normal_alignment(gradient, normals).item() == pytest.approx(np.mean(_lengths(gradient - normals)))
    assert field.normal_alignment(normals, normals).item() < 1e-5
    assert field.normal_alignment(-normals, normals).item() == pytest.approx(2.0)  # inside out is the worst


def test_equation_10_and_nphms_variant():
    gradient = _draw(2, 5, 3)
    away = np.array(_lengths(gradient)) - 1.0
    assert field.eikonal_square(gradient).item() == pytest.approx((away**2).mean())
    assert field.eikonal_absolute(gradient).item() == pytest.approx(np.abs(away).mean())


def test_equation_11():
    found, truth = _draw(2, 39, 3), _draw(2, 39, 3, seed=1)
    assert field.landmark_norm(found, truth).item() == pytest.approx(np.mean(_lengths(found - truth)))


def test_equation_12():
    parts, mirror = _draw(2, 39, 4), torch.as_tensor(frames.MIRROR_PART)
    pairs = torch.stack([parts[:, 2 * i] - parts[:, 2 * i + 1] for i in range(frames.N_PAIRS)])
    assert field.code_symmetry(parts, mirror).item() == pytest.approx(np.mean(_lengths(pairs)))
    same = parts.clone()
    same[:, 1 : 2 * frames.N_PAIRS : 2] = same[:, 0 : 2 * frames.N_PAIRS : 2]
    assert field.code_symmetry(same, mirror).item() < 1e-5  # what the mid-line parts hold does not count
    codes = _draw(3, 8)
    assert field.code_size(codes).item() == pytest.approx(np.mean([n * n for n in _lengths(codes)]))


def test_where_the_paper_is_silent():
    value = torch.tensor([[0.0, 0.1, -0.1]])
    assert field.off_surface(value).item() == pytest.approx((1 + 2 * math.exp(-1)) / 3)
    ambient = _draw(2, 5, 2)
    points, moved = _draw(2, 5, 3), _draw(2, 5, 3, seed=1)
    assert field.ambient_size(ambient).item() == pytest.approx(np.mean([abs(v) for v in ambient.flatten().tolist()]))
    assert field.displacement_size(moved, points).item() == pytest.approx(
        np.mean([n * n for n in _lengths(moved - points)])
    )


def test_signed_samples_know_only_a_side_beyond_the_limit():
    truth = torch.tensor([[0.02, 0.1, -0.1, 0.1]])
    value = torch.tensor([[0.03, 0.5, -0.5, 0.04]])  # off by 0.01, farther as allowed (twice), too near by 0.06
    assert field.signed_samples(value, truth, 0.1).item() == pytest.approx((0.01 + 0.06) / 4, rel=1e-4)
    assert field.signed_samples(-value, truth, 0.1).item() > 0.2  # the wrong side costs


def test_correspondence_ignores_hidden_points():
    canonical, neutral = _draw(1, 4, 3), _draw(1, 4, 3, seed=1)
    valid = torch.tensor([[True, False, True, False]])
    expected = np.mean(_lengths((canonical - neutral)[valid]))
    assert field.correspondence(canonical, neutral, valid).item() == pytest.approx(expected)
    assert field.correspondence(canonical, neutral, torch.zeros_like(valid)).item() == 0.0


def test_moving_correspondence_counts_by_the_way():
    """One lid point that does not close costs its whole way, however many points stay where they should."""
    neutral = _draw(2, 50, 3)
    posed = neutral.clone()
    posed[0, 7, 1] -= 0.03
    posed[1, :25, 1] -= 0.01
    valid = torch.ones(2, 50, dtype=torch.bool)
    at_rest = field.moving_correspondence(posed, posed, neutral, valid).item()
    assert at_rest == pytest.approx((0.03 + 0.01) / 2, rel=5e-3)
    assert field.moving_correspondence(neutral, posed, neutral, valid).item() < 1e-5
    valid[0, 7] = False
    assert field.moving_correspondence(posed, posed, neutral, valid).item() == pytest.approx(0.01 / 2, rel=1e-2)


@pytest.mark.parametrize("loss", [field.eikonal_square, field.eikonal_absolute])
def test_gradients_stay_finite_at_zero(loss):
    gradient = torch.zeros(1, 3, 3, requires_grad=True)
    loss(gradient).backward()
    assert torch.isfinite(gradient.grad).all()
