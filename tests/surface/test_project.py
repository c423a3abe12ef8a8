"""Newton projection never makes a vertex worse."""

import numpy as np

from headfield.surface.project import project


def ellipsoid(points):
    scale = np.array([1.0, 0.7, 0.5])
    q = points / scale
    return (q**2).sum(1) - 1, 2 * q / scale


def test_lands_on_the_surface_with_its_normals():
    rng = np.random.default_rng(0)
    direction = rng.standard_normal((2000, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    start = direction * np.array([1.0, 0.7, 0.5]) + 0.01 * rng.standard_normal((2000, 3))
    done = project(ellipsoid, start, limit=0.05, steps=4, tolerance=1e-4)
    value, gradient = ellipsoid(done.vertices)
    assert np.abs(value).max() < 1e-4
    expected = gradient / np.linalg.norm(gradient, axis=1, keepdims=True)
    assert np.allclose(done.normals, expected, atol=1e-5)
    assert done.evaluations < 4 * 2000  # those that are done are not asked again


def test_never_worse_and_never_far_even_when_the_gradient_lies():
    rng = np.random.default_rng(1)

    def liar(points):
        value = np.sin(40 * points[:, 0]) * np.cos(33 * points[:, 1]) + points[:, 2]
        return value, rng.standard_normal((len(points), 3)) * 10 ** rng.uniform(-4, 2, (len(points), 1))

    start = rng.uniform(-1, 1, (3000, 3))
    before = liar(start.astype(np.float32))[0]
    done = project(liar, start, limit=0.02)
    after = liar(done.vertices.astype(np.float32))[0]
    assert (np.abs(after) <= np.abs(before) + 1e-7).all()
    assert np.linalg.norm(done.vertices - start, axis=1).max() <= 0.02 + 1e-9
    assert (np.abs(after) < np.abs(before)).mean() > 0.2


def test_frozen_vertices_stay():
    start = np.array([[1.02, 0, 0], [0, 0.72, 0.0]])
    done = project(ellipsoid, start, limit=0.1, frozen=np.array([True, False]))
    assert np.array_equal(done.vertices[0], start[0])
    assert abs(done.values[1]) < 3e-3


def test_vanishing_gradient_does_nothing():
    flat = lambda p: (np.full(len(p), 0.3), np.zeros((len(p), 3)))  # noqa: E731
    start = np.ones((4, 3))
    done = project(flat, start, limit=0.1)
    assert np.array_equal(done.vertices, start)
    assert np.isfinite(done.normals).all()
