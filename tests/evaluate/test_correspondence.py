"""Carrying a vertex through fits: home again through the same one, and to the like place of another head."""

import numpy as np
import pytest

from headfield.evaluate import correspondence
from headfield.evaluate.correspondence import carry, carry_on_template
from headfield.fit.normal_equations import model_anchors
from headfield.fit.result import Fit
from headfield.fit.scan_fit import ScanFit
from headfield.surface.mesh_head import mesh_of
from headfield.types import Mesh, Similarity


@pytest.fixture
def coarse(monkeypatch):
    monkeypatch.setattr(correspondence.carry, "__defaults__", (96,))


def fitted(model, identity, scale):
    none = np.zeros(0)
    scan = ScanFit("a", Similarity(scale=scale), "mm", 0.0, np.zeros(52), np.zeros((0, 3)), none, none, none)
    return Fit("imhead-open-small", np.asarray(identity, dtype=float), (scan,), _model=model)


def test_through_the_same_fit_a_vertex_comes_home(bald, coarse):
    found = fitted(bald.model, bald.codes.identity[0].numpy(), 1.0 / 250)
    points = 250 * mesh_of(bald.model, found.codes(), 96).vertices[::97]
    assert np.abs(carry(points, found, found) - points).max() < 0.05


def test_anchors_go_to_the_anchors_of_another_head(bald, coarse):
    base = bald.codes.identity[0].numpy()
    other = base + 0.5 * np.random.default_rng(0).standard_normal(len(base))
    source, target = fitted(bald.model, base, 1.0 / 250), fitted(bald.model, other, 1.0)
    ours, theirs = model_anchors(bald.model, base), model_anchors(bald.model, other)
    gap = np.linalg.norm(carry(250 * ours, source, target) - theirs, axis=1)
    moved = np.linalg.norm(theirs - ours, axis=1)
    assert np.median(gap) < 0.5 * np.median(moved)


def test_on_a_template_the_same_weights_are_the_same_place():
    triangle = np.array([[0, 1, 2]])
    source = Mesh(np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]), triangle)
    target = Mesh(np.array([[5.0, 0, 0], [5, 2, 0], [5, 0, 2]]), triangle)
    assert np.allclose(carry_on_template(np.array([[0.25, 0.5, 0.3]]), source, target), [[5, 0.5, 1.0]])
