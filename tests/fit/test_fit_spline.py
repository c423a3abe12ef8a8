"""The spline of corrections: it follows its data, fades without them, has no kinks, and ignores what is far off."""

from __future__ import annotations

import numpy as np
import pytest

from headfield.fit.spline import Spline, SplineOptions, _refined, fit_spline

BOX = np.array([[-0.5, -0.5, -0.5], [0.5, 0.5, 0.5]])
QUICK = SplineOptions(finest=0.03)


def _plane(rng, count=4000):
    points = rng.uniform(-0.3, 0.3, (count, 3))
    points[:, 2] = 0
    return points, np.tile([0.0, 0.0, 1.0], (count, 1))


def test_a_refined_spline_is_the_same_function():
    rng = np.random.default_rng(0)
    coarse = Spline(rng.standard_normal((6, 7, 8)).astype(np.float32), np.zeros(3), 1.0)
    fine = Spline(_refined(coarse.coefficients), np.zeros(3), 0.5)
    points = rng.uniform(2, 4, (500, 3))
    assert np.allclose(coarse.value(points), fine.value(points), atol=1e-5)


def test_it_follows_data_and_does_not_change_along_the_given_directions():
    rng = np.random.default_rng(1)
    points, up = _plane(rng)
    wanted = 0.01 * np.sin(12 * points[:, 0]) + 0.005
    found = fit_spline(points, wanted, up, BOX, QUICK)
    inner = (np.abs(points[:, :2]) < 0.25).all(1)
    assert np.abs(found.value(points) - wanted)[inner].mean() < 2e-4
    above = points[inner] + [0, 0, 0.02]
    assert np.abs(found.value(above) - wanted[inner]).mean() < 1e-3


def test_it_fades_to_nothing_away_from_data_without_a_kink():
    rng = np.random.default_rng(2)
    points, up = _plane(rng)
    found = fit_spline(points, np.full(len(points), 0.01), up, BOX, QUICK)
    line = np.linspace([0, 0, 0], [0.5, 0, 0], 2001)
    value = found.value(line)
    assert value[0] == pytest.approx(0.01, abs=2e-4) and abs(value[-1]) < 0.0025
    slope = np.diff(value) / (0.5 / 2000)
    assert np.abs(slope).max() < 0.2  # 2.5 mm fade over more than a centimetre
    assert np.abs(np.diff(slope)).max() < 0.02  # the first derivative is continuous
    assert (value < 0.0125).all()


def test_its_gradient_is_its_slope():
    rng = np.random.default_rng(3)
    points, up = _plane(rng)
    found = fit_spline(points, 0.02 * points[:, 0] ** 2, up, BOX, QUICK)
    at = rng.uniform(-0.2, 0.2, (100, 3)) * [1, 1, 0.2]
    step = 1e-4
    for axis in range(3):
        shift = np.eye(3)[axis] * step
        slope = (found.value(at + shift) - found.value(at - shift)) / (2 * step)
        assert np.allclose(found.gradient(at)[:, axis], slope, atol=3e-3)


def test_a_few_wild_values_change_little():
    rng = np.random.default_rng(4)
    points, up = _plane(rng, 6000)
    values = np.full(len(points), 0.002)
    wild = rng.random(len(points)) < 0.02
    values[wild] = 0.1
    found = fit_spline(points, values, up, BOX, QUICK)
    inner = (np.abs(points[:, :2]) < 0.25).all(1) & ~wild
    assert np.abs(found.value(points[inner]) - 0.002).mean() < 1e-3
