"""Scans drawn for the face finder: what is labelled face is face, what has none has none; seeds repeat."""

import os

import numpy as np
import pytest
from fake_face_heads import fake_face_heads
from scipy.spatial import cKDTree

from headfield.frames import anchor_indices
from headfield.synth.face_clouds import KINDS, draw_cloud, egg_faced
from headfield.synth.not_faces import draw_thing


@pytest.fixture(scope="module")
def heads():
    return fake_face_heads()


@pytest.mark.parametrize("kind", list(KINDS))
def test_labels_say_what_is_there(heads, kind):
    for seed in range(6):
        cloud = draw_cloud(heads, np.random.default_rng(seed), kind)
        again = draw_cloud(heads, np.random.default_rng(seed), kind)
        assert np.array_equal(cloud.points, again.points) and cloud.kind == kind
        assert np.isfinite(cloud.points).all() and len(cloud.points) > 300
        assert not (cloud.face & ~cloud.head).any()
        assert cloud.face.any() == (kind not in ("faceless", "thing"))
        face = cloud.places[cloud.face]
        if len(face):
            assert (face[:, 2] > -0.15).all() and (np.abs(face[:, 0]) < 0.4).all()
            away = np.linalg.norm(cloud.points - cloud.places, axis=1)[cloud.face]
            assert np.quantile(away, 0.95) < 0.05  # noise and bumps of a few millimetres


def test_a_mask_is_a_face_alone(heads):
    for seed in range(6):
        cloud = draw_cloud(heads, np.random.default_rng(seed), "mask")
        assert (cloud.places[cloud.head][:, 2] > -0.3).all()
        assert cloud.face.sum() > 0.4 * cloud.head.sum()


def test_an_egg_has_no_nose(heads):
    head = heads.points[0].astype(float)
    nose = head[np.argmax(head[:, 2])]
    egg = egg_faced(head)
    assert nose[2] - egg[:, 2].max() > 0.03
    behind = head[:, 2] < -0.2
    assert np.allclose(egg[behind], head[behind])


def test_things_are_points_of_some_size():
    for seed in range(20):
        points = draw_thing(500, np.random.default_rng(seed))
        assert points.shape == (500, 3) and np.isfinite(points).all()
        assert 0.1 < np.ptp(points, axis=0).max() < 8.0


@pytest.mark.skipif("HEADFIELD_DATA" not in os.environ, reason="HEADFIELD_DATA is not set: no ICT-FaceKit")
def test_clouds_of_heads_lie_on_the_heads():
    pytest.importorskip("anny")
    from headfield.synth.face_heads import make_face_heads

    heads = make_face_heads(2, seed=3)
    assert len(heads) == 4
    for index in range(4):
        tree = cKDTree(heads.points[index].astype(float))
        steady = heads.anchors[index][anchor_indices(["nose_tip", "nose_bridge", "temple_left", "temple_right"])]
        assert tree.query(steady)[0].max() < 0.06  # smoothed and moved by the expression
        assert np.abs(np.linalg.norm(heads.normals[index].astype(float), axis=1) - 127).max() < 3
