"""What of a face's detail a fit explains: all, none, or less than none."""

import numpy as np
import pytest

from headfield.fit.face_detail import face_detail

RNG = np.random.default_rng(0)


def bumpy(amplitude, count=6000, noise=0.0, seed=0):
    """A dome of a face's size with bumps of some 25 mm: points and the bumps' heights, millimetres."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-70, 70, (2, count))
    bumps = amplitude * np.sin(x / 7) * np.cos(y / 8)
    return np.stack([x, y, -(x**2 + y**2) / 600 + bumps + rng.normal(0, noise, count)], axis=1), bumps


def test_a_fit_that_follows_every_bump_explains_all():
    points, bumps = bumpy(1.5)
    found = face_detail(points, RNG.normal(0, 0.05, len(points)))
    assert found.explained > 0.97
    assert 0.3 < found.scan_mm < 1.5 and found.rejected == 0.0


def test_a_smooth_fit_explains_nothing_and_another_face_less():
    points, bumps = bumpy(1.5)
    assert face_detail(points, bumps).explained == pytest.approx(0.0, abs=0.1)
    other = 1.5 * np.cos(points[:, 0] / 7) * np.sin(points[:, 1] / 8)
    assert face_detail(points, bumps - other).explained < -0.5


def test_a_ball_has_no_detail_and_a_round_misfit_is_none():
    points, _ = bumpy(0.0)
    assert face_detail(points, np.zeros(len(points))).scan_mm < 0.15
    points, bumps = bumpy(1.5)
    slow = 3.0 * points[:, 0] / 70 + 2.0 * (points[:, 1] / 70) ** 2  # the head is too wide, not without a face
    assert face_detail(points, slow).explained > 0.9


def test_noise_costs_little_and_density_nothing():
    points, _ = bumpy(1.5, noise=0.5)
    noise = points[:, 2] + (points[:, 0] ** 2 + points[:, 1] ** 2) / 600 - bumpy(1.5)[1]
    assert face_detail(points, noise).explained > 0.6
    thin, dense = (face_detail(*bumpy(1.5, count)) for count in (3000, 30_000))
    assert thin.scan_mm == pytest.approx(dense.scan_mm, rel=0.25)


def test_a_part_far_away_is_rejected_not_explained():
    points, _ = bumpy(1.5)
    residual = np.where(points[:, 0] < np.quantile(points[:, 0], 0.25), 40.0, 0.0)
    found = face_detail(points, residual)
    assert found.rejected == pytest.approx(0.25, abs=0.01)
    assert found.explained == pytest.approx(0.75, abs=0.05)


def test_strays_that_hover_over_the_face_cost_little(monkeypatch):
    points, bumps = bumpy(2.5)
    rng = np.random.default_rng(1)
    away = rng.choice([-1, 1], len(points)) * (2.5 + rng.exponential(4.0, len(points)))
    off = np.where(rng.random(len(points)) < 0.2, away, 0.0)
    littered = points + off[:, None] * [0.0, 0.0, 1.0]
    right, wrong = face_detail(littered, off), face_detail(littered, off + bumps)
    monkeypatch.setattr("headfield.fit.face_detail.HOVER_MM", np.inf)
    counted = face_detail(littered, off)
    print(f"explained: {right.explained:.2f}, strays counted {counted.explained:.2f}, smooth {wrong.explained:.2f}")
    assert right.explained > counted.explained + 0.25 and right.explained > 0.5
    assert wrong.explained < 0.2


def test_too_few_points_say_nothing():
    found = face_detail(RNG.uniform(0, 15, (200, 3)), np.zeros(200))
    assert found.explained == 0.0 and found.scan_mm == 0.0
