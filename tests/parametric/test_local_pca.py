"""LocalPCA: one part is the global PCA, parts sum to one, act near their anchors only, and are alike on both sides."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import trimesh
from scipy.spatial import cKDTree
from seeded import seeded

from headfield.edit.regions import parts_of
from headfield.errors import ConfigError
from headfield.evaluate.baselines import LOCAL_SIGMA, anchor_weights, fit_pca
from headfield.frames import MIRROR_PART, N_ANCHORS, mirror_points, reference_anchors
from headfield.parametric.local_pca import fit_local_pca
from headfield.parametric.pca import LinearPCA
from headfield.surface.nearest import sample_surface
from headfield.types import Mesh, Similarity

NUMBERS, HEADS = 3, 30


def ball_family():
    """A ball with the interface of a head family, and heads: the ball with thirty random bumps each."""
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.5)
    points, faces = np.array(ball.vertices), np.array(ball.faces)
    gap, mirror = cKDTree(points).query(mirror_points(points))
    assert gap.max() < 1e-9
    points = 0.5 * (points + mirror_points(points[mirror]))
    like = SimpleNamespace(name="ball", mirror=mirror, triangles=faces, cap=np.zeros(len(faces), dtype=bool))
    rng = np.random.default_rng(seeded(3))
    heads = []
    for _ in range(HEADS):
        centres = 0.5 * trimesh.unitize(rng.standard_normal((30, 3)))
        bumps = np.exp(-((points[:, None] - centres) ** 2).sum(2) / 0.02) @ rng.normal(0, 0.04, 30)
        heads.append(points * (1 + bumps[:, None]))
    return like, points, np.array(heads)


def skin_anchors():
    """The 39 reference anchors on the ball."""
    return 0.5 * trimesh.unitize(reference_anchors())


@pytest.fixture(scope="module")
def made():
    like, points, heads = ball_family()
    weights = anchor_weights(points, skin_anchors())
    return like, heads, weights, fit_local_pca(heads, like, weights, MIRROR_PART, NUMBERS)


def test_one_part_that_covers_all_is_the_global_pca(made):
    like, heads, _, _ = made
    local = fit_local_pca(heads, like, np.ones((1, len(like.mirror))), np.zeros(1, dtype=int), 12)
    whole = LinearPCA.fit(np.concatenate([heads, mirror_points(heads[:, like.mirror])]), like, 12)
    np.testing.assert_allclose(local.mean_vertices, whole.mean_vertices, atol=1e-12)
    ours, theirs = (model.components.reshape(12, -1) for model in (local, whole))
    signs = np.sign((ours * theirs).sum(1))  # a component's sign means nothing
    np.testing.assert_allclose(ours, signs[:, None] * theirs, atol=1e-9)


def test_weights_sum_to_one_and_are_alike_on_both_sides(made):
    like, _, weights, _ = made
    np.testing.assert_allclose(weights.sum(0), 1.0, atol=1e-12)
    np.testing.assert_allclose(weights, weights[MIRROR_PART][:, like.mirror], atol=1e-9)
    assert ((weights > 0).sum(1) > 0).all() and (weights >= 0).all()
    assert (weights > 0).sum(0).max() < N_ANCHORS  # of no vertex all parts


def test_a_region_s_code_moves_that_region_only(made):
    _, _, weights, pca = made
    rng = np.random.default_rng(seeded(4))
    assert pca.n_identity == N_ANCHORS * NUMBERS
    before = rng.standard_normal(pca.n_identity)
    nose = parts_of("nose")
    after = np.where(pca.numbers_of(nose), rng.standard_normal(pca.n_identity), before)
    moved = np.linalg.norm(pca.vertices(after) - pca.vertices(before), axis=1)
    reached = (weights[nose] > 0).any(0)
    assert (moved[~reached] == 0).all() and moved[reached].max() > 0.001
    behind = pca.mean_vertices[:, 2] < -2 * LOCAL_SIGMA
    assert behind.any() and not reached[behind].any()


def test_both_sides_of_a_pair_have_one_basis(made):
    like, _, _, pca = made
    code = np.random.default_rng(seeded(5)).standard_normal(pca.n_identity)
    code[MIRROR_PART[pca.parts] == pca.parts] = 0.0  # on the mid-line
    other = np.empty_like(code)
    for part in range(N_ANCHORS):
        other[pca.parts == MIRROR_PART[part]] = code[pca.parts == part]
    mirrored = mirror_points(pca.vertices(code)[like.mirror])
    np.testing.assert_allclose(pca.vertices(other), mirrored, atol=1e-12)
    assert np.abs(pca.vertices(code) - mirrored).max() > 1e-3


def test_a_part_s_numbers_have_unit_deviation_where_it_is_alone(made):
    """A part that owns some vertices whole gives them what its own PCA says: numbers N(0, 1) over the heads."""
    like, heads, weights, pca = made
    part = int(np.argmax((weights > 0.999).sum(1)))
    seen = weights[part] > 0
    both = np.concatenate([heads, mirror_points(heads[:, like.mirror])]) - pca.mean_vertices
    basis = pca.components[pca.parts == part][:, seen] / weights[part, seen, None]
    root = np.sqrt(weights[part, seen])[None, :, None]
    design, offsets = ((root * array).reshape(len(array), -1) for array in (basis, both[:, seen]))
    numbers = np.linalg.lstsq(design.T, offsets.T, rcond=None)[0]  # (NUMBERS, 2 HEADS)
    np.testing.assert_allclose(numbers.std(1, ddof=1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(numbers @ numbers.T / (2 * HEADS - 1), np.eye(NUMBERS), atol=1e-6)


def test_projection_is_the_least_squares_answer(made):
    _, heads, _, pca = made
    dense = pca.components.reshape(pca.n_identity, -1).T
    best = np.linalg.lstsq(dense, (heads[0] - pca.mean_vertices).ravel(), rcond=None)[0]
    np.testing.assert_allclose(pca.project(heads[0]), best, atol=1e-6 * np.abs(best).max())
    own = np.random.default_rng(seeded(6)).standard_normal(pca.n_identity)
    np.testing.assert_allclose(pca.project(pca.vertices(own)), own, atol=1e-6)


def test_more_numbers_say_more(made):
    like, heads, weights, pca = made
    more = fit_local_pca(heads, like, weights, MIRROR_PART, 2 * NUMBERS)
    errors = [np.linalg.norm(model.vertices(model.project(heads[0])) - heads[0]) for model in (more, pca)]
    assert errors[0] < errors[1] < np.linalg.norm(pca.mean_vertices - heads[0])


def test_the_baselines_fit_takes_it(made):
    like, _, _, pca = made
    code = 0.7 * np.random.default_rng(seeded(8)).standard_normal(pca.n_identity)
    truth = Mesh(pca.vertices(code), like.triangles)
    points = sample_surface(truth, 4000, np.random.default_rng(0)).points
    found = fit_pca(pca, points, Similarity())
    back = found.placement.inverse().apply(found.mesh.vertices)
    start, end = (np.linalg.norm(one - truth.vertices, axis=1).mean() for one in (pca.mean_vertices, back))
    print(f"mean head {250 * start:.2f} mm, fitted {250 * end:.2f} mm")
    assert end < start / 3


def test_wrong_weights_are_refused(made):
    like, heads, weights, _ = made
    with pytest.raises(ConfigError, match="sum to 1"):
        fit_local_pca(heads, like, 0.9 * weights, MIRROR_PART, NUMBERS)
    lopsided = weights.copy()
    lopsided[[0, 2]] = lopsided[[2, 0]]
    with pytest.raises(ConfigError, match="symmetric"):
        fit_local_pca(heads, like, lopsided, MIRROR_PART, NUMBERS)
    with pytest.raises(ConfigError, match="n >= 2"):
        fit_local_pca(heads[:1], like, weights, MIRROR_PART, NUMBERS)
