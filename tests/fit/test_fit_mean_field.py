"""The mean head's grid."""

import numpy as np
import pytest
import torch

from headfield.fit.mean_field import build_mean_field, mean_field_of, neck_plane
from headfield.frames import BOX, reference_anchors
from headfield.parametric.neck import neck_plane as true_neck_plane
from headfield.synth.openings import level


def test_distances_are_true_even_where_the_field_is_not():
    def bent(x):  # right sign and level, wrong slope far away
        d = np.linalg.norm(x, axis=1) - 0.4
        return np.tanh(3 * d) * 0.3

    field = build_mean_field(bent, BOX, reference_anchors(), resolution=48)
    points = np.random.default_rng(0).uniform(-0.9, 0.9, (3000, 3))
    distance, gradient = field.lookup(torch.from_numpy(points).float())
    true = np.linalg.norm(points, axis=1) - 0.4
    near = np.abs(true) > 0.06
    assert np.abs(distance.numpy() - true)[near].max() < 0.03
    outward = points / np.linalg.norm(points, axis=1, keepdims=True)
    cosine = (gradient.numpy() * outward).sum(1) / np.linalg.norm(gradient.numpy(), axis=1)
    assert np.median(cosine) > 0.99


def test_the_surface_lies_on_the_level_and_above_the_neck():
    field = build_mean_field(lambda x: np.linalg.norm(x, axis=1) - 0.42, BOX, reference_anchors(), resolution=48)
    assert len(field.surface) == 1500
    assert np.abs(np.linalg.norm(field.surface, axis=1) - 0.42).max() < 0.01
    assert (field.surface @ field.cut[:3] + field.cut[3] > 0).all()
    assert (field.normals * field.surface).sum(1).min() > 0.35


def test_beyond_the_grid_distance_goes_on_growing():
    field = build_mean_field(lambda x: np.linalg.norm(x, axis=1) - 0.4, BOX, reference_anchors(), resolution=24)
    far, _ = field.lookup(torch.tensor([[0.0, 0.0, 3.0], [0.0, 0.0, 5.0]]))
    assert far[0] > 1.5 and far[1] - far[0] == pytest.approx(2.0, abs=1e-3)


def test_the_neck_plane_is_the_one_that_training_heads_are_cut_by():
    anchors = reference_anchors()
    normal, offset = true_neck_plane(anchors)
    mine = neck_plane(anchors, 0.5)
    assert np.allclose(mine[:3], normal, atol=0.02)
    middle = anchors.mean(0)
    assert middle @ mine[:3] + mine[3] == pytest.approx(middle @ normal - offset, abs=0.01)


def test_a_field_without_a_surface_is_refused():
    with pytest.raises(ValueError, match="no zero level"):
        build_mean_field(lambda x: np.ones(len(x)), BOX, reference_anchors(), resolution=16)


def test_the_mean_field_of_a_model_is_made_once(stub):
    assert mean_field_of(stub) is mean_field_of(stub)


def test_without_tilt_it_is_the_level_cut_of_truth_v2():
    anchors = reference_anchors() + 0.01 * np.random.default_rng(1).standard_normal((39, 3))
    plane = neck_plane(anchors, 0.0)
    np.testing.assert_allclose(plane, [0.0, 1.0, 0.0, -level(anchors)], atol=1e-9)
