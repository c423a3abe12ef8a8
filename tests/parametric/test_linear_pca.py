"""LinearPCA: orthogonal least squares, exact on its own span, fits unordered points."""

from __future__ import annotations

import numpy as np
import pytest

from headfield.errors import ConfigError
from headfield.parametric import ParametricHead
from headfield.parametric.normalise import normalising_similarity
from headfield.parametric.pca import LinearPCA
from headfield.types import Similarity


@pytest.fixture(scope="module")
def trained(load_or_skip):
    ict = load_or_skip("ict")
    rng = np.random.default_rng(9)
    heads = []
    for _ in range(24):
        vertices = ict.raw_vertices(ict.draw_identity(rng))
        heads.append(normalising_similarity(ict.anchors(vertices)).apply(vertices))
    return ict, np.array(heads), LinearPCA.fit(np.array(heads), ict)


def test_training_heads_come_back(trained):
    _, heads, pca = trained
    assert isinstance(pca, ParametricHead) and pca.n_identity == 23
    for head in heads[:4]:
        np.testing.assert_allclose(pca.raw_vertices(pca.project(head)), head, atol=1e-6)


def test_components_are_orthogonal_and_of_unit_deviation(trained):
    _, heads, pca = trained
    flat = pca.components.reshape(pca.n_identity, -1)
    gram = flat @ flat.T
    assert np.abs(gram - np.diag(np.diag(gram))).max() < 1e-6 * gram.max()
    assert (np.diff(np.diag(gram)) <= 0).all()
    weights = np.array([pca.project(head) for head in heads])
    np.testing.assert_allclose(weights.std(0, ddof=1), 1.0, rtol=1e-4)
    np.testing.assert_allclose(weights.mean(0), 0.0, atol=1e-4)


def test_projection_beats_the_mean_and_fewer_components(trained):
    ict, heads, pca = trained
    rng = np.random.default_rng(77)
    vertices = ict.raw_vertices(ict.draw_identity(rng))
    head = normalising_similarity(ict.anchors(vertices)).apply(vertices)
    few = LinearPCA.fit(heads, ict, 5)
    assert few.n_identity == 5
    errors = [np.linalg.norm(model.vertices(model.project(head)) - head) for model in (pca, few)]
    assert errors[0] < errors[1] < np.linalg.norm(pca.mean_vertices - head)


def test_points_find_the_head_and_the_placement(trained):
    ict, heads, pca = trained
    rng = np.random.default_rng(5)
    weights = rng.normal(0, 0.8, pca.n_identity)
    truth = pca.vertices(weights)
    outer = np.unique(ict.triangles[~ict.interior & ~ict.cap])
    turn = np.deg2rad(4.0)
    moved = Similarity(
        np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]]),
        np.array([0.02, -0.01, 0.015]),
        1.03,
    )
    points = truth[rng.choice(outer, 4000, replace=False)]
    fitted = pca.project_points(points, noise=0.002, steps=15)
    start = np.linalg.norm(pca.mean_vertices - truth, axis=1)[outer].mean()
    error = np.linalg.norm(pca.vertices(fitted.weights) - truth, axis=1)[outer].mean()
    assert error < 0.25 * start and fitted.inliers.mean() > 0.9
    placed = pca.project_points(moved.inverse().apply(points), noise=0.002, steps=40, similarity=True)
    assert np.median(placed.distances) < 0.002
    assert np.linalg.norm(placed.placement.apply(moved.inverse().apply(points)) - points, axis=1).mean() < 0.02


def test_wrong_input_is_refused(trained):
    ict, heads, _ = trained
    with pytest.raises(ConfigError, match="n >= 2"):
        LinearPCA.fit(heads[:1], ict)
    with pytest.raises(ConfigError, match="expected"):
        LinearPCA.fit(heads[:, :50], ict)
