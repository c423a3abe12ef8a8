"""Previews lie on the surface that comes after them, and pictures come in their order."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from headfield.frames import MM_PER_UNIT
from headfield.surface.baked import Baked
from headfield.surface.mesh_head import mesh_of
from headfield.types import ARKIT, Mesh
from headfield.view.opening import mean_head
from headfield.view.pictures import Pictures, shape_of
from headfield.view.preview import carried
from headfield.view.state import Session
from headfield.view.worker import Stale

R = 64


@pytest.fixture(scope="module")
def start(model):
    return mesh_of(model, model.mean_codes(), R)


@pytest.fixture
def session(model):
    return Session(mean_head(model, "imhead-open-small"))


@pytest.fixture
def shown():
    return []


@pytest.fixture
def pictures(session, shown):
    return Pictures(session, lambda mesh, head, kind: shown.append((kind, mesh)), coarse=32)


def paint(pictures, moment, stop=lambda: None, rest=False):
    pictures.picture(moment, R, stop, time.perf_counter(), rest)


def ball(radius, centre=(0.0, 0.0, 0.0)):
    return lambda points: np.linalg.norm(points - np.array(centre, dtype=np.float32), axis=1) - radius


def test_a_carried_ball_is_the_other_ball():
    from headfield.surface.extract import extract

    mesh = extract(ball(0.3), np.array([[-0.5] * 3, [0.5] * 3]), 48)
    mesh = Mesh(mesh.vertices, mesh.triangles, mesh.vertices / np.linalg.norm(mesh.vertices, axis=1, keepdims=True))
    moved = carried(mesh, 1500).onto(ball(0.35, (0.02, 0.0, 0.0)))
    assert np.abs(ball(0.35, (0.02, 0.0, 0.0))(moved)).max() < 2e-3  # 0.5 mm
    assert np.abs(carried(mesh, 1500).onto(ball(0.3)) - mesh.vertices).max() < 2e-3


@pytest.mark.parametrize(
    ("change", "limit_mm"),
    [
        (lambda s: s.slide(0, 1.5), 1.0), (lambda s: s.slide(6, -2.0), 1.0),
        (lambda s: s.express({"mouthSmileLeft": 0.6, "browInnerUp": 0.8}), 1.0),
    ],
)  # fmt: skip
def test_a_preview_lies_on_the_new_surface(session, model, start, change, limit_mm):
    head = session.head(change(session))

    def field(points):
        with torch.no_grad():
            return model.signed_distance(torch.from_numpy(points)[None], head.codes)[0].numpy()

    before = np.abs(field(start.vertices.astype(np.float32))) * MM_PER_UNIT
    after = np.abs(field(carried(start).onto(field).astype(np.float32))) * MM_PER_UNIT
    assert np.percentile(after, 99) < limit_mm < np.percentile(before, 99)
    moved = before > 0.3
    assert after[moved].mean() < min(0.2, before[moved].mean() / 4)


def test_pictures_come_coarse_to_fine_and_then_as_previews(session, pictures, shown, start):
    paint(pictures, session.now)
    assert [kind for kind, _ in shown] == ["real 32", "fine"]
    assert np.array_equal(shown[-1][1].triangles, start.triangles)
    assert np.abs(shown[-1][1].vertices - start.vertices).max() < 2e-6
    shown.clear()
    paint(pictures, session.slide(0, 1.0))
    (first, preview), (last, fine) = shown
    assert (first, last) == ("preview", "fine")
    assert preview.triangles is not None and np.array_equal(preview.triangles, start.triangles)
    away = cKDTree(fine.vertices).query(preview.vertices)[0] * MM_PER_UNIT
    assert np.median(away) < 3.5  # vertices of two grids of 6 mm
    assert set(pictures.seconds) == {"real 32", "fine", "preview"}


def test_a_newer_change_ends_a_picture_after_its_preview(session, pictures, shown):
    paint(pictures, session.now)
    shown.clear()

    def newer():
        if shown:
            raise Stale

    with pytest.raises(Stale):
        paint(pictures, session.slide(0, 1.0), newer)
    assert [kind for kind, _ in shown] == ["preview"]


def test_only_what_a_region_edit_reaches_is_computed_again(session, pictures):
    paint(pictures, session.now)
    memory = pictures._memory[R]
    everything = memory.evaluated
    moment = session.symmetrise("nose")
    session.head(moment)
    paint(pictures, moment)
    assert 0 < memory.evaluated < everything / 4


def test_expressions_of_a_baked_head_are_previewed_by_its_shapes(session, pictures, shown, start):
    paint(pictures, session.now)
    shown.clear()
    shapes = np.zeros((52, len(start.vertices), 3), np.float32)
    shapes[ARKIT.index("jawOpen"), :, 1] = -0.01
    baked = Baked(start.vertices.astype(np.float32), start.normals.astype(np.float32), start.triangles, shapes)
    pictures.baked = (shape_of(session.now), baked)
    paint(pictures, session.express({"jawOpen": 0.5}))
    kind, preview = shown[0]
    assert kind == "preview" and preview.triangles is baked.triangles
    assert np.allclose(preview.vertices - start.vertices, [0, -0.005, 0], atol=1e-6)
    shown.clear()
    paint(pictures, session.slide(0, 1.0))  # another shape: no longer the baked one
    assert shown[0][1].triangles is not baked.triangles
