"""Robust weights and the hair gate."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from headfield.fit.gate import Gate, geman_mcclure, hair_scale, noise_of
from headfield.frames import ANCHOR_NAMES, reference_anchors


def test_weights_are_the_slope_of_the_cost():
    r = np.linspace(-0.1, 0.1, 41)
    step = 1e-6
    up, _ = geman_mcclure(r + step, 0.02)
    down, _ = geman_mcclure(r - step, 0.02)
    _, weight = geman_mcclure(r, 0.02)
    assert np.allclose((up - down) / (2 * step), 2 * r * weight, atol=1e-7)


def test_the_gate_shrinks_and_stays():
    gate = Gate(0.1, 0.008, 12)
    scales = [gate.scale(k) for k in range(20)]
    assert scales[0] == pytest.approx(0.1)
    assert all(b <= a + 1e-12 for a, b in zip(scales, scales[1:]))
    assert scales[-1] == pytest.approx(0.008)


def test_noise_is_estimated_from_the_inliers():
    rng = np.random.default_rng(0)
    residual = np.concatenate([rng.normal(0, 0.003, 5000), rng.uniform(0.05, 0.1, 1500)])
    _, weight = geman_mcclure(residual, 0.01)
    assert noise_of(residual, weight) == pytest.approx(0.003, rel=0.12)


def _flat_patch(part: str, height: float, with_skin: bool):
    """Points `height` above a flat surface at an anchor, over bare or seen skin."""
    anchors = reference_anchors()
    centre = anchors[ANCHOR_NAMES.index(part)]
    grid = np.stack(np.meshgrid(*[np.linspace(-0.05, 0.05, 15)] * 2), -1).reshape(-1, 2)
    above = centre + np.c_[grid[:, 0], grid[:, 1] * 0 + height, grid[:, 1]]
    points = above
    residual = np.full(len(above), height)
    if with_skin:
        skin = centre + np.c_[grid[:, 0], grid[:, 1] * 0, grid[:, 1]]
        points, residual = np.concatenate([above, skin]), np.concatenate([residual, np.zeros(len(skin))])
    gradient = np.tile([0.0, 1.0, 0.0], (len(points), 1))
    everywhere = np.ones(len(points), bool)
    tree = cKDTree(points)
    scales = hair_scale(residual, points, gradient, everywhere, anchors, tree, lambda x: x, 0.008, 0.1 / 14)
    return scales[: len(above)]


def test_points_above_a_bare_scalp_are_hair():
    assert (_flat_patch("crown_front_left", 0.08, with_skin=False) > 0.1).all()


def test_points_above_seen_scalp_are_strays():
    assert (_flat_patch("crown_front_left", 0.08, with_skin=True) == 0.008).all()


def test_points_above_a_cheek_are_never_hair():
    assert (_flat_patch("nose_tip", 0.08, with_skin=False) == 0.008).all()


def test_a_beard_reaches_less_far_than_hair():
    near, far = _flat_patch("chin", 0.06, with_skin=False), _flat_patch("chin", 0.15, with_skin=False)
    assert (near > 0.05).all()
    assert (far == 0.008).all()
