"""Thinning and telling bodies apart."""

import re

import numpy as np

from headfield.fit.bodies import bodies_of
from headfield.fit.clean import clean, thin
from headfield.io.crop import as_box
from headfield.types import Similarity


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


def test_each_body_has_a_box_that_can_be_given_as_a_crop():
    """The box holds all points of its body and none of the other; the one under the head is said to be taken."""
    rng = np.random.default_rng(2)
    first, second = _ball(rng, 20_000), _ball(rng, 12_000, (4, 0, 0), 0.8)
    points = 100.0 * np.concatenate([first, second])
    bodies = bodies_of(points)
    model = np.array([[-0.65, -0.62, -0.95], [0.65, 0.85, 0.5]])
    for mine, place in ((0, (0, 0, 0)), (1, (400, 0, 0))):
        note = bodies.note(Similarity(translation=-np.array(place) / 200, scale=1 / 200), model)
        taken, other = (as_box(text) for text in re.findall('--crop "(.*?)"', note))
        first_box, second_box = (taken, other) if mine == 0 else (other, taken)
        for box, own in ((first_box, np.arange(32_000) < 20_000), (second_box, np.arange(32_000) >= 20_000)):
            assert (((points >= box[0]) & (points <= box[1])).all(1) == own).all()
    assert bodies.told().count("% within --crop") == 2
    assert bodies_of(100.0 * first).note(Similarity(), model) is None
