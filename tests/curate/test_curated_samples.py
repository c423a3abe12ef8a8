"""Samples of curated heads against what is known in closed form: distances of a ball, a shift that is known."""

from __future__ import annotations

import numpy as np
import pytest
from trimesh.creation import icosphere

pytest.importorskip("igl", reason="needs libigl: pip install 'headfield[synth]'")

from headfield.curate.sampling import CuratedHead, canonical_places, normalising, person_arrays
from headfield.errors import StoreError
from headfield.frames import reference_anchors
from headfield.io.quantise import dequantise, dequantise_normals
from headfield.surface.nearest import Target
from headfield.synth.person import box
from headfield.types import Mesh, Similarity

RADIUS = 0.4
BALL = icosphere(subdivisions=5, radius=RADIUS)
MESH = Mesh(np.array(BALL.vertices), np.array(BALL.faces, dtype=np.int64))
ANCHORS = RADIUS * reference_anchors() / np.linalg.norm(reference_anchors(), axis=1, keepdims=True)
SHIFT = np.array([0.0, -0.03, 0.01])


def arrays(*heads: CuratedHead, points: int = 1500, samples: int = 1500) -> dict[str, np.ndarray]:
    return person_arrays(list(heads), MESH.triangles, ANCHORS, points, samples, np.random.default_rng(0), "ball")


def head(shift=(0.0, 0.0, 0.0), weight: float = 0.0) -> CuratedHead:
    vertices = MESH.vertices + np.asarray(shift)
    return CuratedHead(Mesh(vertices, MESH.triangles), vertices, np.full(52, weight))


def test_samples_of_a_ball_are_those_of_the_formula():
    found = arrays(head())
    points, normals = dequantise(found["points"][0], box()), dequantise_normals(found["normals"][0])
    assert np.abs(np.linalg.norm(points, axis=1) - RADIUS).max() < 5e-4
    assert (np.einsum("nc,nc->n", points, normals) / RADIUS).min() > 0.999
    samples, sdf = dequantise(found["samples"][0], box()), found["sdf"][0].astype(float)
    true = np.clip(np.linalg.norm(samples, axis=1) - RADIUS, -0.1, 0.1)
    assert np.abs(sdf - true).max() < 1e-3
    assert 0.2 < (sdf < 0).mean() < 0.8, "both sides are sampled"
    assert (found["canonical"][0] == found["points"][0]).all() and found["canonical_valid"].all()


def test_places_at_rest_undo_what_moved():
    found = arrays(head(), head(SHIFT, 0.5))
    posed, rest = (dequantise(found[name][1], box()) for name in ("points", "canonical"))
    valid = found["canonical_valid"][1]
    assert valid.mean() > 0.99
    assert np.linalg.norm(posed - SHIFT - rest, axis=1)[valid].max() < 1e-3
    assert (found["expressions"][:, 0] == [0.0, 0.5]).all()


def test_places_that_the_template_does_not_know_are_not_valid():
    far = MESH.vertices + [0.0, 0.2, 0.0]
    points = np.array([[0.0, RADIUS, 0.0], [0.0, -RADIUS, 0.0]])
    normals = np.array([[0.0, 1.0, 0.0], [0.0, -1.0, 0.0]])
    _, valid = canonical_places(points, normals, Mesh(far, MESH.triangles), MESH, Target(MESH))
    assert not valid.any(), "the template is 50 mm off"
    _, valid = canonical_places(points, -normals, MESH, MESH, Target(MESH))
    assert not valid.any(), "it faces the other way"
    _, valid = canonical_places(points, normals, MESH, MESH, Target(MESH))
    assert valid.all()


def test_the_anchors_define_the_frame():
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    moved = Similarity(turn * np.sign(np.linalg.det(turn)), rng.standard_normal(3), 1.3)
    found = normalising(moved.apply(reference_anchors()))
    assert np.abs(found.apply(moved.apply(reference_anchors())) - reference_anchors()).max() < 1e-9


def test_a_head_that_leaves_the_box_is_refused():
    with pytest.raises(StoreError, match="to spare"):
        arrays(head(shift=(0.3, 0.0, 0.0)))
