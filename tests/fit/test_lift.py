"""Lifting: exact on what is exact, least squares on what is not, unmoved by views that see something else."""

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import least_squares
from trimesh.creation import icosphere

sys.path.insert(0, str(Path(__file__).parent))

from fake_face import random_pose

from headfield.fit.pictures.lift import Sightings, fuse, robust_similarity, sight
from headfield.fit.pictures.views import Subject, axes_around, camera_at, project
from headfield.types import Scan


def sightings(points, views=5, noise=0.0, seed=0, hits=True):
    rng = np.random.default_rng(seed)
    origins = np.array([[4 * np.sin(a), 0.5 * k, 4 * np.cos(a)] for k, a in enumerate(np.linspace(-0.6, 0.6, views))])
    seen = points[None] + noise * rng.standard_normal((views, *points.shape))
    ways = seen - origins[:, None]
    ways /= np.linalg.norm(ways, axis=2, keepdims=True)
    return Sightings(origins, ways, seen if hits else np.full(seen.shape, np.nan), np.ones(seen.shape[:2]))


def test_triangulation_is_the_brute_force_answer():
    points = np.random.default_rng(1).uniform(-0.5, 0.5, (6, 3))
    seen = sightings(points, noise=0.01, hits=False)
    found = fuse(seen, tolerance=1e4, along=0.0)  # so wide that nothing is reweighted
    for index in range(len(points)):

        def aside(x, index=index):
            away = x - seen.origins
            way = seen.ways[:, index]
            return (away - (away * way).sum(1, keepdims=True) * way).ravel()

        best = least_squares(aside, points[index]).x
        assert np.allclose(found.points[index], best, atol=1e-6)
        assert found.spread[index] == pytest.approx(np.sqrt((aside(best) ** 2).sum() / 5), rel=1e-4)


@given(st.integers(0, 10**6), st.floats(1e-3, 1e3))
@settings(max_examples=25, deadline=None)
def test_lifting_moves_along_with_the_scan(seed, scale):
    points = np.random.default_rng(seed).uniform(-0.5, 0.5, (8, 3))
    seen, pose = sightings(points, noise=0.02, seed=seed), random_pose(seed, scale)
    moved = Sightings(pose.apply(seen.origins), pose.rotate(seen.ways), pose.apply(seen.hits), seen.weights)
    first, second = fuse(seen, 0.05), fuse(moved, 0.05 * scale)
    assert np.allclose(pose.apply(first.points), second.points, atol=1e-6 * scale)
    assert np.allclose(first.confidence(0.05), second.confidence(0.05 * scale), atol=1e-6)


def test_one_view_is_ray_casting_and_a_line_alone_is_unknown():
    points = np.random.default_rng(2).uniform(-0.5, 0.5, (4, 3))
    seen = sightings(points, views=1)
    assert np.allclose(fuse(seen, 0.1).points, points, atol=1e-9)
    blind = fuse(sightings(points, views=1, hits=False), 0.1)
    assert np.isnan(blind.points).all() and (blind.confidence(0.1) == 0).all()


def test_views_that_see_something_else_and_hits_through_a_hole_lose_their_say():
    points = np.random.default_rng(3).uniform(-0.5, 0.5, (10, 3))
    seen = sightings(points, views=7)
    hits, ways = seen.hits.copy(), seen.ways.copy()
    hits[:, :5] += 1.5 * ways[:, :5]  # far behind, in every view: the lines of sight must decide
    ways[6, 5:] = np.roll(ways[6, 5:], 1, axis=0)
    hits[6, 5:] = np.nan
    found = fuse(Sightings(seen.origins, ways, hits, seen.weights), 0.03)
    assert np.allclose(found.points, points, atol=2e-3)
    assert (found.agreement[:5] > 0.99).all() and (found.agreement[5:] < 0.9).all()


def test_sights_on_a_ball_lie_on_it_and_beside_it_there_are_none():
    sphere = icosphere(subdivisions=5)
    subject = Subject(Scan(np.array(sphere.vertices), triangles=np.array(sphere.faces)))
    camera = camera_at(np.zeros(3), axes_around(np.eye(3), 20, 10), 1.4)
    view = subject.picture(camera, 128)
    points = np.array([[0.0, 0.0, 1.0], [0.3, 0.2, np.sqrt(1 - 0.13)], [0.99, 0.0, np.sqrt(1 - 0.99**2)]])
    seen = sight(subject, [view], [project(camera, points, 128)[0]])
    assert np.allclose(seen.hits[0, :2], points[:2], atol=5e-3)
    assert seen.weights[0, 0] > 0.8 and seen.weights[0, 2] < 0.5
    outside = project(camera, 1.3 * camera.axes[:1], 128)[0]
    assert np.isnan(sight(subject, [view], [outside]).hits).all()


def test_a_robust_similarity_ignores_what_moved_on_its_own():
    rng = np.random.default_rng(4)
    points, pose = rng.uniform(-0.5, 0.5, (80, 3)), random_pose(4, 37.0)
    target = points.copy()
    target[:16] += 0.3
    source = pose.apply(points)
    source[16] = np.nan
    found, gap = robust_similarity(source, target, np.ones(80), 0.01)
    assert np.allclose(found.apply(source[17:]), points[17:], atol=1e-3)
    assert np.isnan(gap[16]) and np.allclose(gap[:16], np.linalg.norm([0.3] * 3), atol=5e-3)
