"""Writing meshes: what is written is read back by independent readers, whole or not at all."""

from __future__ import annotations

import os

import numpy as np
import pytest
import trimesh

from headfield.errors import ConfigError, OutputError
from headfield.io.gltf import srgb_colours
from headfield.io.mesh import INVENTED_COLOUR, SEEN_COLOUR, write_bytes, write_mesh
from headfield.io.scan import read_scan
from headfield.types import Mesh


@pytest.fixture(scope="module")
def mesh():
    ball = trimesh.creation.icosphere(subdivisions=2, radius=80.0)
    vertices = np.array(ball.vertices) * [1, 1.3, 1] + [0, 0, 20]
    seen = vertices[:, 2] > 20
    colours = np.tile(np.array([[200, 150, 120, 255]], np.uint8), (len(vertices), 1))
    return Mesh(
        vertices, np.array(ball.faces), np.array(ball.vertex_normals), colours, {"seen": seen, "error_mm": seen * 0.25}
    )


@pytest.mark.parametrize("suffix", ["ply", "obj", "stl", "glb"])
def test_round_trip_through_trimesh(tmp_path, mesh, suffix):
    path = write_mesh(mesh, tmp_path / f"a.{suffix}")
    back = trimesh.load(path, force="mesh", process=suffix == "stl")
    assert back.is_watertight and len(back.faces) == len(mesh.triangles)
    assert back.volume == pytest.approx(trimesh.Trimesh(mesh.vertices, mesh.triangles).volume, rel=1e-5)
    if suffix != "stl":
        np.testing.assert_allclose(back.vertices, mesh.vertices, atol=1e-4)
        # trimesh forgets vertex colours of a mesh that has a material and custom attributes
        colours = mesh.colours if suffix == "glb" else back.visual.vertex_colors
        assert (colours == mesh.colours).all()
    assert os.listdir(tmp_path) == [path.name]  # no temporary neighbour stays


def test_our_own_files_read_back_as_scans(tmp_path, mesh):
    for suffix in ("ply", "obj", "glb"):
        scan = read_scan(write_mesh(mesh, tmp_path / f"a.{suffix}"))
        np.testing.assert_allclose(scan.points, mesh.vertices, atol=1e-4)
        np.testing.assert_allclose(scan.normals, mesh.normals, atol=1e-4)
        assert (scan.colours == mesh.colours).all() and (scan.triangles == mesh.triangles).all()


def test_ply_attributes(tmp_path, mesh):
    write_mesh(mesh, tmp_path / "a.ply", unit="mm")
    back = trimesh.load(tmp_path / "a.ply", process=False)
    data = back.metadata["_ply_raw"]["vertex"]["data"]
    assert (np.ravel(data["seen"]) == mesh.attributes["seen"]).all() and np.ravel(data["seen"]).dtype == np.uint8
    np.testing.assert_allclose(np.ravel(data["error_mm"]), mesh.attributes["error_mm"])
    np.testing.assert_allclose(back.vertices, mesh.vertices, atol=1e-4)  # millimetres stay millimetres
    assert b"comment headfield unit mm" in (tmp_path / "a.ply").read_bytes()[:200]
    write_mesh(mesh, tmp_path / "b.ply")
    assert b"unit" not in (tmp_path / "b.ply").read_bytes()[:100]  # an unknown unit is not called metres


def test_glb_metres_and_seen(tmp_path, mesh):
    """Read by pygltflib, an independent reader: metres, both colour sets, the mask, aligned and bounded."""
    pygltflib = pytest.importorskip("pygltflib")
    write_mesh(mesh, tmp_path / "a.glb", unit="mm")
    gltf = pygltflib.GLTF2().load(str(tmp_path / "a.glb"))
    blob = gltf.binary_blob()
    attributes = gltf.meshes[0].primitives[0].attributes

    def read(index, dtype, width):
        accessor = gltf.accessors[index]
        view = gltf.bufferViews[accessor.bufferView]
        assert view.byteOffset % 4 == 0
        return np.frombuffer(blob, dtype, accessor.count * width, view.byteOffset).reshape(accessor.count, width)

    positions = read(attributes.POSITION, "<f4", 3)
    np.testing.assert_allclose(positions, mesh.vertices * 1e-3, atol=1e-6)
    accessor = gltf.accessors[attributes.POSITION]
    np.testing.assert_array_equal(accessor.min, positions.min(axis=0))
    np.testing.assert_array_equal(accessor.max, positions.max(axis=0))
    np.testing.assert_allclose(read(attributes.NORMAL, "<f4", 3), mesh.normals, atol=1e-6)
    assert (srgb_colours(read(attributes.COLOR_0, "<f4", 3)) == mesh.colours[:, :3]).all()
    seen = mesh.attributes["seen"]
    second = srgb_colours(read(attributes.COLOR_1, "<f4", 3))
    assert (second[seen] == SEEN_COLOUR[:3]).all() and (second[~seen] == INVENTED_COLOUR[:3]).all()
    assert (read(attributes._SEEN, "<f4", 1)[:, 0] == seen).all()
    indices = read(gltf.meshes[0].primitives[0].indices, "<u4", 1)
    assert (indices.reshape(-1, 3) == mesh.triangles).all()


def test_refusals(tmp_path, mesh):
    with pytest.raises(ConfigError, match="a.fbx: meshes are written as .ply"):
        write_mesh(mesh, tmp_path / "a.fbx")
    with pytest.raises(ConfigError, match="yard"):
        write_mesh(mesh, tmp_path / "a.ply", unit="yard")
    with pytest.raises(OutputError, match="cannot be written"):
        write_mesh(mesh, tmp_path / "no folder" / "a.ply")
    assert os.listdir(tmp_path) == []


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OutputError, match="No space left"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.bin"]
