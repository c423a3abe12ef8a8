"""Thinning and telling bodies apart."""

import numpy as np

from headfield.fit.clean import clean, thin


def _ball(rng, count, centre=(0, 0, 0), radius=1.0):
    x = rng.standard_normal((count, 3))
    return radius * x / np.linalg.norm(x, axis=1, keepdims=True) + np.asarray(centre)


def test_thinning_is_even_over_the_surface_not_over_the_scanner():
    rng = np.random.default_rng(0)
    ball = _ball(rng, 60_000)
    dense = np.concatenate([ball[ball[:, 0] > 0], ball[ball[:, 0] < 0][:1500]])  # one side 20 times denser
    chosen = dense[thin(dense, 2000)]
    assert 1400 < len(chosen) <= 2000
    share = (chosen[:, 0] > 0).mean()
    assert 0.4 < share < 0.68


def test_thinning_is_deterministic_and_keeps_small_clouds():
    rng = np.random.default_rng(1)
    points = rng.standard_normal((5000, 3))
    assert (thin(points, 1000, 3) == thin(points, 1000, 3)).all()
    assert len(thin(points[:500], 1000)) == 500


def test_thinning_survives_identical_points():
    assert len(thin(np.zeros((5000, 3)), 100)) == 100


def test_clean_drops_strays_and_counts_bodies():
    rng = np.random.default_rng(2)
    first, second = _ball(rng, 20_000), _ball(rng, 12_000, (4, 0, 0), 0.8)
    strays = rng.uniform(-8, 8, (150, 3))
    points = np.concatenate([first, second, strays])
    found = clean(points, 3000)
    assert found.bodies == 2
    from_first = found.index < 20_000
    assert (found.body[from_first] == 0).all()  # the larger one comes first
    assert (found.body[(found.index >= 20_000) & (found.index < 32_000)] == 1).all()
    assert (found.index >= 32_000).mean() < 0.01


def test_one_body_with_a_small_crumb_is_one_body():
    rng = np.random.default_rng(3)
    points = np.concatenate([_ball(rng, 20_000), _ball(rng, 60, (5, 0, 0), 0.05)])
    found = clean(points, 2000)
    assert found.bodies == 1
    assert (found.index < 20_000).all()
