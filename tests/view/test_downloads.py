"""Every format of the export menu opens where it should."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
import trimesh

from headfield.edit.record import SavedHead
from headfield.surface.baked import Baked
from headfield.surface.mesh_head import mesh_of
from headfield.types import ARKIT, Similarity
from headfield.view.downloads import ANIMATED, BAKED, FOLDER, FORMATS, HEAD, MESHES, PAGE, file_of
from headfield.view.opening import mean_head

R = 24


@pytest.fixture(scope="module")
def saved(model):
    """The mean head as if it had been scanned in centimetres, turned on its side."""
    plain = mean_head(model, "imhead-open-small")
    turn = np.array([[0.0, 1, 0], [-1, 0, 0], [0, 0, 1]])
    placement = Similarity(turn, np.array([0.3, 0.0, -0.1]), 0.04)
    return SavedHead(plain.head, plain.model_name, placement, "cm", name="scan.ply")


@pytest.fixture(scope="module")
def baked(model):
    mesh = mesh_of(model, model.mean_codes(), R)
    shapes = np.zeros((52, len(mesh.vertices), 3), np.float32)
    shapes[ARKIT.index("jawOpen"), :, 1] = -0.02
    return Baked(mesh.vertices.astype(np.float32), mesh.normals.astype(np.float32), mesh.triangles, shapes)


def made(what, saved, baked=None):
    asked = []
    name, content = file_of(what, saved, R, lambda: asked.append(1) or baked, "me")
    assert bool(asked) == (what in BAKED) and name.startswith("me") and content
    return name, content


@pytest.mark.parametrize("what", MESHES)
def test_meshes_are_in_the_frame_of_the_scan(what, saved):
    name, content = made(what, saved)
    mesh = trimesh.load(io.BytesIO(content), file_type=name.rpartition(".")[2], force="mesh")
    wanted = saved.mesh(R).vertices * (0.01 if what == "GLB mesh" else 1.0)  # glTF is in metres by definition
    assert 20 < np.ptp(saved.mesh(R).vertices, axis=0).max() < 60
    assert np.allclose(mesh.bounds, [wanted.min(0), wanted.max(0)], atol=1e-4)


def test_shapes_come_as_a_glb_as_objs_and_as_a_page(saved, baked):
    pytest.importorskip("xatlas")
    name, glb = made(ANIMATED, saved, baked)
    assert name == "me.glb" and glb[:4] == b"glTF" and b'"jawOpen"' in glb
    name, page = made(PAGE, saved, baked)
    assert name == "me.html" and b"scan.ply" in page
    name, packed = made(FOLDER, saved, baked)
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert sorted(archive.namelist()) == sorted([f"{shape}.obj" for shape in ("neutral", *ARKIT)])
        first, moved = (
            trimesh.load(io.BytesIO(archive.read(f"{shape}.obj")), file_type="obj", process=False).vertices
            for shape in ("neutral", "jawOpen")
        )
    assert np.allclose(np.linalg.norm(moved - first, axis=1), 0.02 / 0.04, atol=1e-3)


def test_the_head_comes_with_its_history(saved, tmp_path):
    name, content = made(HEAD, saved.apply({"do": "symmetrise", "regions": ["nose"]}))
    path = tmp_path / name
    path.write_bytes(content)
    again = SavedHead.load(path)
    assert [operation["do"] for operation in again.history] == ["symmetrise"] and again.units == "cm"


def test_the_menu_holds_every_format_once():
    assert len(set(FORMATS)) == len(FORMATS) and {*BAKED, *MESHES, HEAD} == set(FORMATS)
