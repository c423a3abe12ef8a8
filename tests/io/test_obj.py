"""OBJ templates: only vertices and normals change, all else comes out byte for byte; damage is told with its line."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from headfield.errors import ScanError
from headfield.io.obj import read_obj

CUBE = """# a cube of quads, by hand
mtllib cube.mtl
o cube
v -1 -1 -1 0.5 0.25 1
v 1 -1 -1
v 1 1 -1
v -1 1 -1
v -1 -1 1
v 1 -1 1
v 1 1 1
v -1 1 1
vt 0 0
vt 1 0
vt 1 1
vt 0 1
vn 0 0 -1
vn 0 0 1
vn 0 0.7 0.7
g back
usemtl grey
s off
f 4/1/1 3/2/1 2/3/1 1/4/1
g front
usemtl red
f 5/1/2 6/2/2 7/3/2 8/4/2
f 1//3 2//3 6//3
f -8 -3 \\
  -4
l 1 2
"""


@pytest.fixture
def cube(tmp_path):
    path = tmp_path / "cube.obj"
    path.write_text(CUBE)
    return path


def test_only_vertex_and_normal_lines_change(cube):
    template = read_obj(cube)
    assert template.polygons == 4 and template.textured and template.materials == ("cube.mtl",)
    assert template.triangles.tolist() == [[3, 2, 1], [3, 1, 0], [4, 5, 6], [4, 6, 7], [0, 1, 5], [0, 5, 4]]
    moved = template.moved(template.vertices * 2 + [10, 0, 0]).decode()
    for before, after in zip(CUBE.splitlines(), moved.splitlines(), strict=True):
        if before.startswith(("v ", "vn ")):
            continue
        assert before == after
    assert moved.splitlines()[3] == "v 8 -2 -2 0.5 0.25 1", "vertex colours stay"
    again = read_obj_text(cube, moved)
    assert np.allclose(again.vertices, template.vertices * 2 + [10, 0, 0])
    assert np.allclose(again.normals, template.normals / np.linalg.norm(template.normals, axis=1, keepdims=True))


def read_obj_text(path, text):
    path.write_text(text)
    return read_obj(path)


def test_normals_turn_with_their_faces(cube):
    template = read_obj(cube)
    turn = Rotation.from_rotvec([0.3, -0.8, 0.5])
    moved = read_obj_text(cube, template.moved(turn.apply(template.vertices)).decode())
    expected = turn.apply(template.normals / np.linalg.norm(template.normals, axis=1, keepdims=True))
    assert np.allclose(moved.normals, expected, atol=1e-6)


def test_line_ends_and_unknown_letters_survive(tmp_path):
    path = tmp_path / "k\u00f6pf.obj"
    text = "g T\u00eate\r\nv 0 0 0\r\nv 1 0 0\r\nv 0 1 0\r\nf 1 2 3\r\n".encode("latin-1")
    path.write_bytes(text)
    template = read_obj(path)
    assert template.moved(template.vertices) == text


def test_a_mesh_of_trimesh_reads_the_same(tmp_path):
    sphere = trimesh.creation.icosphere(2)
    sphere.export(tmp_path / "sphere.obj")
    template = read_obj(tmp_path / "sphere.obj")
    assert np.allclose(template.vertices, sphere.vertices, atol=1e-6)
    assert np.array_equal(template.triangles, sphere.faces)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\n", "no faces"),
        ("hello\n", "no vertices"),
        ("v 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "line 1"),
        ("v 0 0 0\nv 1 0 0\nv 0 one 0\nf 1 2 3\n", "line 3"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2\n", "three corners"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 4\n", "names vertex 4, but there are 3"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1//1 2//1 3//1\n", "names normal 1"),
        ("v 0 0 0\nv 1 0 0\nv 0 nan 0\nf 1 2 3\n", "not finite"),
        ("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 0 2 3\n", "count from 1"),
    ],
)
def test_damage_is_told(tmp_path, text, said):
    path = tmp_path / "bad.obj"
    path.write_text(text)
    with pytest.raises(ScanError, match=said):
        read_obj(path)


def test_what_is_no_obj_file(tmp_path):
    with pytest.raises(ScanError, match="cannot be opened"):
        read_obj(tmp_path / "missing.obj")
    with pytest.raises(ScanError, match="Export it as OBJ"):
        read_obj(tmp_path / "head.fbx")
    (tmp_path / "binary.obj").write_bytes(b"\x00\x01" * 100)
    with pytest.raises(ScanError, match="binary"):
        read_obj(tmp_path / "binary.obj")


def test_a_comment_that_ends_in_a_backslash_swallows_nothing(tmp_path):
    path = tmp_path / "t.obj"
    path.write_text("# made from C:\\work\\\nv 9 9 9\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 2 3 4\n")
    assert len(read_obj(path).vertices) == 4
    path.write_text("v 1 0 \\\n0\nv 0 0 0\nv 0 1 0\nf 1 2 3\n")
    with pytest.raises(ScanError, match="one line"):
        read_obj(path)
