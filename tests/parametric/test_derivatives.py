"""Derivatives of vertices by identity, expression and pose against finite differences; the priors against draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix, vstack

from headfield.parametric.anny_head import FIT_FREEDOM
from headfield.parametric.anny_phenotypes import PHENOTYPES
from headfield.parametric.derivatives import coordinates, left_jacobian, on_triangles
from headfield.parametric.normalise import normalising_similarity
from headfield.parametric.pca import LinearPCA
from headfield.parametric.topology import vertex_normals


@pytest.fixture(params=["ict", "anny", "pca"])
def head(request, load_or_skip):
    """Each family in turn, the PCA over the ICT's topology."""
    if request.param != "pca":
        return load_or_skip(request.param)
    ict, rng = load_or_skip("ict"), np.random.default_rng(0)
    heads = []
    for _ in range(6):
        raw = ict.raw_vertices(ict.draw_identity(rng))
        heads.append(normalising_similarity(ict.anchors(raw)).apply(raw))
    return LinearPCA.fit(np.array(heads), ict)


def state_of(head, rng):
    """Identity, expression and pose at random, away from bounds and kinks."""
    identity = head.draw_identity(rng)
    expression = np.where(head.expression_mask, rng.uniform(0.1, 0.6, head.n_expression), 0.0)
    return identity, expression, 0.15 * rng.standard_normal(head.n_pose)


def along_skin(head, vertices, rng, count=120):
    """Functionals that a fit uses: places on the skin along its normals, and the landmarks' coordinates."""
    triangles = np.flatnonzero(~head.cap)
    corners = head.triangles[rng.choice(triangles, count)]
    weights = rng.dirichlet(np.ones(3), count)
    normals = vertex_normals(vertices, head.triangles)
    directions = np.einsum("nk,nkd->nd", weights, normals[corners])
    landmarks = head.landmarks68(np.arange(len(vertices)))
    return csr_matrix(
        vstack([on_triangles(corners, weights, directions, len(vertices)), coordinates(landmarks, len(vertices))])
    )


@pytest.mark.parametrize("which", ["identity", "expression", "pose"])
def test_derivatives_are_those_of_finite_differences(head, which):
    rng = np.random.default_rng(3)
    state = dict(zip(("identity", "expression", "pose"), state_of(head, rng)))
    functionals = along_skin(head, head.raw_vertices(**state), rng)
    found = getattr(head.derivatives(functionals, **state), which)
    assert found.shape == (functionals.shape[0], len(state[which]))
    size = np.ptp(head.raw_vertices(**state)[:, 1])
    for k in range(0, len(state[which]), max(1, len(state[which]) // 12)):
        step = 1e-3 * np.eye(len(state[which]))[k]
        ends = [head.raw_vertices(**(state | {which: state[which] + sign * step})) for sign in (-1, 1)]
        expected = functionals @ (ends[1] - ends[0]).ravel() / 2e-3
        assert np.abs(found[:, k] - expected).max() < 2e-2 * np.abs(expected).max() + 2e-5 * size, (which, k)


def test_a_place_on_a_triangle_is_a_functional():
    rng = np.random.default_rng(0)
    vertices, corners, weights = rng.normal(size=(9, 3)), rng.integers(0, 9, (5, 3)), rng.dirichlet(np.ones(3), 5)
    directions = rng.normal(size=(5, 3))
    expected = (np.einsum("nk,nkd->nd", weights, vertices[corners]) * directions).sum(1)
    np.testing.assert_allclose(on_triangles(corners, weights, directions, 9) @ vertices.ravel(), expected)
    np.testing.assert_allclose((coordinates([4, 2], 9) @ vertices.ravel()).reshape(2, 3), vertices[[4, 2]])


@pytest.mark.parametrize("angle", [0.0, 1e-6, 0.3, 2.0])
def test_left_jacobian_of_rotations(angle):
    from scipy.spatial.transform import Rotation

    vector = angle * np.array([0.6, -0.8, 0.0])
    turn = Rotation.from_rotvec(vector)
    for k in range(3):
        moved = Rotation.from_rotvec(vector + 1e-6 * np.eye(3)[k])
        np.testing.assert_allclose((moved * turn.inv()).as_rotvec() / 1e-6, left_jacobian(vector)[:, k], atol=1e-5)


def test_priors_describe_the_draws(head):
    rng = np.random.default_rng(1)
    prior = head.identity_prior()
    draws = np.array([head.draw_identity(rng) for _ in range(600)])
    assert (draws >= prior.lower - 1e-6).all() and (draws <= prior.upper + 1e-6).all()
    # anny's sliders have more freedom in a fit than in a draw
    sliders = np.arange(head.n_identity) >= len(PHENOTYPES) if head.name == "anny" else np.zeros(head.n_identity, bool)
    freedom = np.where(sliders, FIT_FREEDOM, 1.0)
    np.testing.assert_allclose(draws.std(0) * np.sqrt(freedom), prior.deviation, rtol=0.25)
    assert np.abs((draws.mean(0) - prior.mean) / prior.deviation).max() < 0.25
    # the mean of the squared Mahalanobis distance is the dimension
    cost = np.mean([2 * prior.cost(prior.mean + np.sqrt(freedom) * (draw - prior.mean)) for draw in draws])
    assert abs(cost / head.n_identity - 1) < 0.15
    expression, pose = head.expression_prior(), head.pose_prior()
    assert len(expression.upper) == head.n_expression and len(pose.upper) == head.n_pose
    assert (expression.upper[: len(head.expression_mask)] > 0).sum() == head.expression_mask.sum()
    assert expression.cost(np.zeros(head.n_expression)) == 0 and pose.cost(0.1 * np.ones(head.n_pose)) > 0
