"""ICT-FaceKit: from the npz and from a clone the same; errors that say what to do."""

from __future__ import annotations

import numpy as np
import pytest

from headfield.errors import ConfigError, DataError
from headfield.parametric import ict_files, load_family
from headfield.parametric.ict import arkit_name
from headfield.parametric.ict_files import find_source, read_ict, read_obj
from headfield.types import ARKIT


def test_names_map_to_arkit():
    assert arkit_name("eyeBlink_L") == "eyeBlinkLeft"
    assert arkit_name("browInnerUp_R") == "browInnerUp"
    assert arkit_name("cheekPuff_L") == "cheekPuff"
    assert arkit_name("jawOpen") == "jawOpen"
    assert arkit_name("mouthLeft") == "mouthLeft"
    assert arkit_name("PupilDilate_L") is None and arkit_name("cheekRaiser_R") is None


def test_identity_is_linear_above_the_neck_and_clamped(ict):
    rng = np.random.default_rng(4)
    a, b = ict.draw_identity(rng), ict.draw_identity(rng)
    assert np.abs(a).max() <= 3.0
    n = ict.plan.n_linear
    mean = ict.raw_vertices(np.zeros(100))[:n]
    combined = ict.raw_vertices(0.5 * a + 0.25 * b)[:n] - mean
    parts = 0.5 * (ict.raw_vertices(a)[:n] - mean) + 0.25 * (ict.raw_vertices(b)[:n] - mean)
    np.testing.assert_allclose(combined, parts, atol=2e-7)
    assert ict.describe(a) == {}


def test_mouth_bag_stays_inside_the_skin(ict):
    igl = pytest.importorskip("igl", reason="needs libigl")
    from headfield.parametric.ict_files import PARTS
    from headfield.parametric.topology import boundary_loops, components

    bag = np.zeros(ict.n_vertices, dtype=bool)
    bag[ict.plan.place(np.arange(*PARTS["mouth_socket"]))] = True
    head = ict.triangles[components(ict.triangles) == 0]
    skin = head[~bag[head].any(1)]
    loop = np.array(max(boundary_loops(skin), key=len))
    closed = np.concatenate([skin, np.stack([np.roll(loop, -1), loop, np.full(len(loop), ict.n_vertices)], 1)])
    rng = np.random.default_rng(0)  # this stream's heads came out at the chin before the tuck
    for k in range(60):
        identity = ict.draw_identity(rng)
        if k % 6 and k != 59:
            continue
        expression = np.zeros(52)
        expression[ARKIT.index("jawOpen")] = 1.0
        vertices = ict.raw_vertices(identity, expression)
        vertices = np.concatenate([vertices, vertices[loop].mean(0)[None]])
        winding = igl.fast_winding_number(vertices, closed.astype(np.int32), vertices[:-1][bag])
        assert (winding > 0.5).all()


def test_a_clone_gives_the_same_arrays(ict, tmp_path, monkeypatch):
    data = read_ict()
    monkeypatch.setattr(ict_files, "N_IDENTITY", 2)
    monkeypatch.setenv("HEADFIELD_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "ICT-FaceKit" / "FaceXModel"
    folder.mkdir(parents=True)

    def write(name, vertices, triangles=()):
        lines = ["v {:.6f} {:.6f} {:.6f}".format(*vertex) for vertex in vertices]
        lines += ["f " + " ".join(f"{i + 1}/1/1" for i in triangle) for triangle in triangles]
        (folder / f"{name}.obj").write_text("\n".join(lines) + "\n")

    write("generic_neutral_mesh", data.vertices, data.triangles)
    for k in range(2):
        write(f"identity{k:03d}", data.vertices + data.identity[k].astype(float))
    for name in ("jawOpen", "eyeBlink_L", "mouthSmile_L"):
        write(name, data.vertices + data.expression[data.expression_names.index(name)].astype(float))
    for _ in range(2):  # parsed, then from the cache
        clone = read_ict(tmp_path / "ICT-FaceKit")
        np.testing.assert_allclose(clone.vertices, data.vertices, atol=1e-5)
        assert (clone.triangles == data.triangles).all()
        np.testing.assert_allclose(clone.identity, data.identity[:2], atol=2e-3)
        assert clone.expression_names == ("eyeBlink_L", "jawOpen", "mouthSmile_L")
    assert list((tmp_path / "cache").glob("ict-clone-*.npz"))
    (folder / "identity001.obj").unlink()
    with pytest.raises(DataError, match=r"identity001\.obj"):
        read_ict(folder)


def test_missing_data_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.delenv("HEADFIELD_DATA", raising=False)
    with pytest.raises(DataError, match="HEADFIELD_DATA is not set.*clone"):
        find_source()
    with pytest.raises(DataError, match=r"looked in .*nothing_here"):
        find_source(tmp_path / "nothing_here")
    (tmp_path / "ict_facekit.npz").write_text("not an npz")
    with pytest.raises(DataError, match="no ICT-FaceKit npz"):
        read_ict(tmp_path)
    with pytest.raises(ConfigError, match="unknown head family 'smpl'"):
        load_family("smpl")


def test_obj_quads_become_two_triangles(tmp_path):
    path = tmp_path / "quad.obj"
    path.write_text("# c\nv 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nf 1/1 2/1 3/1 4/1\n")
    vertices, triangles = read_obj(path, faces=True)
    assert vertices.shape == (4, 3) and triangles.tolist() == [[0, 1, 2], [0, 2, 3]]
