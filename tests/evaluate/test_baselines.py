"""The PCA baseline recovers its own heads; it must be strong, or beating it means nothing."""

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from headfield.evaluate.baselines import fit_pca
from headfield.surface.nearest import Target, sample_surface
from headfield.types import Mesh, Similarity


class Ellipsoids:
    """A linear family: a ball that grows along x, y or z and gets a nose; the interface of LinearPCA."""

    def __init__(self):
        ball = trimesh.creation.icosphere(subdivisions=4, radius=0.4)
        self.mean_vertices = np.array(ball.vertices)
        self.triangles = np.array(ball.faces)
        self.cap = np.zeros(len(self.triangles), dtype=bool)
        grow = [self.mean_vertices * row * 0.08 for row in np.eye(3)[:2]]
        nose = np.exp(-((self.mean_vertices - [0, 0, 0.4]) ** 2).sum(1) / 0.01)[:, None] * [0, 0, 0.05]
        ear = np.exp(-((self.mean_vertices - [0.4, 0.1, 0]) ** 2).sum(1) / 0.01)[:, None] * [0.05, 0, 0]
        self.components = np.stack([*grow, nose, ear]).astype(np.float32)
        self.n_identity = 4

    def vertices(self, weights):
        return self.mean_vertices + np.tensordot(weights, self.components, 1)


@pytest.fixture(scope="module")
def family():
    return Ellipsoids()


@pytest.fixture(scope="module")
def observed(family):
    weights = np.array([1.2, -0.8, 1.5, 1.0])
    mesh = Mesh(family.vertices(weights), family.triangles)
    return weights, sample_surface(mesh, 3000, np.random.default_rng(0)).points


def moved(angle, shift, scale):
    return Similarity(Rotation.from_rotvec(angle).as_matrix(), np.array(shift), scale)


def test_recovers_weights_and_placement(family, observed):
    weights, points = observed
    true = moved([0.05, -0.04, 0.06], [0.01, 0.02, -0.01], 1.02)  # scan -> model
    found = fit_pca(family, true.inverse().apply(points), Similarity())
    assert np.abs(found.weights - weights).max() < 0.2
    back = found.placement.apply(true.inverse().apply(points))
    gap = Target(found.mesh).closest(back)[0]
    assert gap.mean() < 5e-4


def test_ignores_a_fifth_of_outliers(family, observed):
    weights, points = observed
    rng = np.random.default_rng(1)
    stray = rng.uniform(-0.8, 0.8, (600, 3))
    found = fit_pca(family, np.concatenate([points, stray]), Similarity())
    assert np.abs(found.weights - weights).max() < 0.35


def test_prior_holds_what_is_not_seen(family, observed):
    _, points = observed
    front = points[points[:, 0] < 0]  # the ear's side is missing
    found = fit_pca(family, front, Similarity())
    assert abs(found.weights[3]) < 0.3
