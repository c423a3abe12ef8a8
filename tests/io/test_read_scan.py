"""Reading scans: every format gives the same points; every damaged file gives one clear ScanError."""

from __future__ import annotations

import importlib.util
import json
import struct

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from headfield.errors import ConfigError, ScanError
from headfield.io.raw import RawGeometry
from headfield.io.scan import clean, read_scan, vertex_normals


@pytest.fixture(scope="module")
def ball():
    return trimesh.creation.icosphere(subdivisions=3, radius=100.0)


def _same_set(a, b, tolerance=1e-3):
    order = lambda x: x[np.lexsort(np.round(x, 2).T)]  # noqa: E731
    assert len(a) == len(b)
    np.testing.assert_allclose(order(np.asarray(a)), order(np.asarray(b)), atol=tolerance)


@pytest.mark.parametrize("suffix", ["ply", "obj", "stl", "glb", "gltf"])
def test_meshes_read_alike(tmp_path, ball, suffix):
    """Vertices, triangles and outward normals survive every mesh format; STL corners are merged again."""
    path = tmp_path / f"ball.{suffix}"
    trimesh.Trimesh(ball.vertices, ball.faces, process=False).export(path)
    scan = read_scan(path)
    _same_set(scan.points, ball.vertices)
    assert len(scan.triangles) == len(ball.faces)
    assert np.einsum("ni,ni->n", scan.normals, scan.points / 100).min() > 0.99
    assert scan.points.dtype == np.float64 and scan.name == path.name


def test_scene_transforms_are_applied(tmp_path, ball):
    scene = trimesh.Scene()
    shift = trimesh.transformations.translation_matrix([0, 500, 0])
    scene.add_geometry(ball, transform=shift)
    squashed = ball.copy()
    squashed.vertex_normals  # noqa: B018 (computing them makes trimesh write them)
    scene.add_geometry(squashed, transform=np.diag([1, 1, -0.5, 1.0]))
    scene.export(tmp_path / "two.glb")
    scan = read_scan(tmp_path / "two.glb")
    assert len(scan.points) == 2 * len(ball.vertices)
    lower = scan.points[:, 1] < 150
    true = scan.points[lower] * [1, 1, 4]  # gradient of the ellipsoid
    true /= np.linalg.norm(true, axis=1, keepdims=True)
    assert np.einsum("ni,ni->n", scan.normals[lower], true).min() > 0.98
    assert scan.triangles.max() == len(scan.points) - 1
    assert np.ptp(scan.points[:, 1]) == pytest.approx(700, abs=1)


@pytest.mark.parametrize("encoding", ["ascii", "binary"])
def test_clouds_with_normals_and_colours(tmp_path, ball, encoding):
    """A PLY cloud keeps normals and colours (trimesh's own PointCloud forgets the normals)."""
    n, fmt = len(ball.vertices), "ascii" if encoding == "ascii" else "binary_little_endian"
    header = f"ply\nformat {fmt} 1.0\nelement vertex {n}\n" + "".join(
        f"property float {p}\n" for p in ("x", "y", "z", "nx", "ny", "nz")
    )
    header += "".join(f"property uchar {p}\n" for p in ("red", "green", "blue")) + "end_header\n"
    data = np.empty(n, dtype=[("f", "<f4", 6), ("c", "u1", 3)])
    data["f"] = np.hstack([ball.vertices, -2 * ball.vertex_normals])
    data["c"] = [10, 20, 30]
    if encoding == "ascii":
        body = "".join(" ".join(map(str, [*row["f"], *row["c"]])) + "\n" for row in data).encode()
    else:
        body = data.tobytes()
    (tmp_path / "a.ply").write_bytes(header.encode() + body)
    scan = read_scan(tmp_path / "a.ply")
    assert scan.triangles is None
    np.testing.assert_allclose(scan.points, ball.vertices, atol=1e-3)
    np.testing.assert_allclose(scan.normals, -ball.vertex_normals, atol=1e-3)  # inverted ones are kept as stated
    assert (scan.colours == [10, 20, 30, 255]).all()


def test_arrays_and_text(tmp_path, ball):
    points, normals = np.array(ball.vertices), np.array(ball.vertex_normals)
    both = np.hstack([points, normals])
    np.save(tmp_path / "p.npy", points.astype(np.float32))
    np.save(tmp_path / "pn.npy", both)
    np.savez(tmp_path / "m.npz", vertices=points, faces=ball.faces, units="mm")
    np.savez(tmp_path / "pn.npz", points=points, normals=normals)
    np.savetxt(tmp_path / "a.xyz", points)
    np.savetxt(tmp_path / "b.xyz", both, delimiter=",", header="x,y,z,nx,ny,nz", comments="")
    np.savetxt(tmp_path / "c.xyz", np.hstack([points, np.full_like(points, 200)]), header="a comment")
    for name in ("p.npy", "pn.npy", "m.npz", "pn.npz", "a.xyz", "b.xyz", "c.xyz"):
        np.testing.assert_allclose(read_scan(tmp_path / name).points, points, atol=1e-3, err_msg=name)
    for name in ("pn.npy", "pn.npz", "b.xyz", "m.npz"):
        assert np.einsum("ni,ni->n", read_scan(tmp_path / name).normals, normals).min() > 0.99, name
    assert read_scan(tmp_path / "p.npy").normals is None
    assert read_scan(tmp_path / "m.npz").units == "mm" and read_scan(tmp_path / "a.xyz", units="cm").units == "cm"
    assert (read_scan(tmp_path / "c.xyz").colours[:, 0] == 200).all()


def test_gltf_metres_only_when_plausible(tmp_path, ball):
    for size, units in ((0.002, "m"), (1.0, None)):
        mesh = ball.copy()
        mesh.apply_scale(size)
        mesh.export(tmp_path / "a.glb")
        scan = read_scan(tmp_path / "a.glb")
        assert scan.units == units
        assert any("unit is left open" in note for note in scan.notes) == (units is None)


def test_non_finite_dropped_and_counted(tmp_path, ball):
    vertices = np.array(ball.vertices)
    vertices[[3, 50]], vertices[7, 1] = np.nan, np.inf
    np.savez(tmp_path / "a.npz", vertices=vertices, faces=ball.faces)
    scan = read_scan(tmp_path / "a.npz")
    assert len(scan.points) == len(vertices) - 3 and np.isfinite(scan.normals).all()
    assert scan.notes == (f"3 of {len(vertices)} points were not finite and were dropped.",)
    # no triangle touches a dropped vertex, all others are still the same triangles in space
    kept = [f for f in ball.faces if not set(f) & {3, 50, 7}]
    np.testing.assert_allclose(scan.points[scan.triangles], vertices[np.array(kept)])


def test_mostly_non_finite_refused(tmp_path):
    points = np.random.default_rng(0).normal(size=(1000, 3))
    points[:600] = np.nan
    np.save(tmp_path / "a.npy", points)
    with pytest.raises(ScanError, match="600 of 1,000 points are not finite"):
        read_scan(tmp_path / "a.npy")


def test_subsampling_is_said_and_repeatable(tmp_path):
    points = np.random.default_rng(0).normal(size=(5000, 3))
    np.save(tmp_path / "a.npy", points)
    scan, again = (read_scan(tmp_path / "a.npy", max_points=700) for _ in range(2))
    assert len(scan.points) == 700 and scan.notes == ("5,000 points: a random 700 of them were used.",)
    assert np.array_equal(scan.points, again.points) and len(np.unique(scan.points, axis=0)) == 700


def test_missing_pixels_at_the_origin_are_dropped(tmp_path):
    points = np.random.default_rng(0).normal(size=(1000, 3))
    points[100:300] = 0
    np.save(tmp_path / "a.npy", points)
    scan = read_scan(tmp_path / "a.npy")
    assert len(scan.points) == 800 and "200 points at exactly (0, 0, 0)" in scan.notes[0]


def _write(path, kind, ball):
    data = ball.export(file_type="ply")
    content = {
        "empty": b"",
        "text": b"these are the voyages\n" * 40,
        "truncated": data[: len(data) * 2 // 3],
        "cut header": data[:40],
        "truncated ascii": ball.export(file_type="ply", encoding="ascii")[:4000],
        "glb inside": ball.export(file_type="glb"),
    }[kind]
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


@pytest.mark.parametrize("kind", ["empty", "text", "truncated", "cut header", "truncated ascii", "glb inside"])
def test_damaged_ply(tmp_path, ball, kind):
    path = tmp_path / "a.ply"
    _write(path, kind, ball)
    with pytest.raises(ScanError, match="a.ply") as caught:
        read_scan(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["obj", "stl", "glb", "gltf", "npy", "npz", "xyz"])
@pytest.mark.parametrize("content", [b"", b"these are the voyages\n" * 40, bytes(range(256)) * 20])
def test_rubbish_in_every_format(tmp_path, suffix, content):
    (tmp_path / f"a.{suffix}").write_bytes(content)
    with pytest.raises(ScanError, match=f"a.{suffix}"):
        read_scan(tmp_path / f"a.{suffix}")


def test_no_pickle_is_opened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    np.save(tmp_path / "a.npy", np.array([Bomb()] * 3, dtype=object), allow_pickle=True)
    np.savez(tmp_path / "a.npz", points=np.array([Bomb()], dtype=object))
    for name in ("a.npy", "a.npz"):
        with pytest.raises(ScanError, match="pickle"):
            read_scan(tmp_path / name)
    assert not (tmp_path / "executed").exists()


def test_other_refusals(tmp_path, ball):
    np.savez(tmp_path / "one.npz", vertices=np.eye(3), faces=[[0, 1, 2]])
    np.save(tmp_path / "flat.npy", np.ones((500, 3)))
    np.save(tmp_path / "depth.npy", np.ones((480, 640), np.uint16))
    np.savez(tmp_path / "index.npz", vertices=ball.vertices, faces=ball.faces + 1)
    (tmp_path / "a.docx").write_bytes(b"x" * 100)
    for name, message in {
        "one.npz": "3 points and 1 triangle;",
        "flat.npy": "all 500 points lie at one place",
        "depth.npy": "--intrinsics",
        "index.npz": "names vertex 642",
        "a.docx": "scans are read from PLY OBJ",
        "nowhere.ply": "cannot be opened",
        ".": "a folder",
    }.items():
        with pytest.raises(ScanError, match=message):
            read_scan(tmp_path / name)
    with pytest.raises(ConfigError, match="'yard'"):
        read_scan(tmp_path / "one.npz", units="yard")


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 0.45))
def test_cleaning_keeps_exactly_the_good_points(seed, share):
    """Law: whatever is spoilt, the kept points are the good ones, in order, with their own normals."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(400, 3)) + 5
    normals = rng.normal(size=(400, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    bad = rng.permutation(400) < 400 * share
    spoilt = points.copy()
    spoilt[bad, rng.integers(0, 3)] = rng.choice([np.nan, np.inf, -np.inf, 1e30])
    scan = clean(RawGeometry(spoilt, normals), "law")
    np.testing.assert_array_equal(scan.points, points[~bad])
    np.testing.assert_allclose(scan.normals, normals[~bad])


def test_vertex_normals_against_trimesh(ball):
    mesh = ball.copy()
    mesh.vertices = mesh.vertices * [1, 2, 0.5]
    ours = vertex_normals(np.array(mesh.vertices), np.array(mesh.faces))
    theirs = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False).vertex_normals
    assert np.einsum("ni,ni->n", ours, theirs).min() > 0.99  # trimesh weighs by angle, we by area


def _glb(path, points, corners, mode, **document):
    """A GLB of one primitive, written by the letter of the specification."""
    blobs = [np.asarray(points, "<f4").tobytes(), np.asarray(corners, "<u4").tobytes()]
    views = [
        {"buffer": 0, "byteOffset": 0, "byteLength": len(blobs[0])},
        {"buffer": 0, "byteOffset": len(blobs[0]), "byteLength": len(blobs[1])},
    ]
    bounds = {"min": np.min(points, 0).tolist(), "max": np.max(points, 0).tolist()}
    document |= {
        "asset": {"version": "2.0"},
        "buffers": [{"byteLength": sum(map(len, blobs))}],
        "bufferViews": views,
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": len(points), "type": "VEC3"} | bounds,
            {"bufferView": 1, "componentType": 5125, "count": len(corners), "type": "SCALAR"},
        ],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "mode": mode}]}],
        "nodes": [{"mesh": 0}],
        "scenes": [{"nodes": [0]}],
        "scene": 0,
    }
    text = json.dumps(document).encode()
    chunks = [(text + b" " * (-len(text) % 4), b"JSON"), (b"".join(blobs), b"BIN\0")]
    body = b"".join(struct.pack("<I", len(chunk)) + kind + chunk for chunk, kind in chunks)
    path.write_bytes(b"glTF" + struct.pack("<II", 2, 12 + len(body)) + body)
    return path


def test_gltf_strips_are_read_and_what_is_not_is_refused_by_name(tmp_path):
    """A tube as one strip has the triangles that the specification (3.7.2.1) gives it; nothing is passed over."""
    angle = np.linspace(0, 2 * np.pi, 41)
    ring = np.stack([np.cos(angle), np.zeros(41), np.sin(angle)], 1) * 0.1
    points = np.stack([ring, ring + [0, 0.2, 0]], 1).reshape(-1, 3)
    strip = np.arange(len(points))
    scan = read_scan(_glb(tmp_path / "strip.glb", points, strip, 5))
    odd = np.arange(len(points) - 2) % 2
    wanted = np.stack([strip[:-2], strip[1:-1] + odd, strip[2:] - odd], 1)  # (i, i + (1 + i % 2), i + (2 - i % 2))

    def turned(triangles):
        first = np.argmin(triangles, 1)[:, None]
        return np.take_along_axis(triangles, (first + np.arange(3)) % 3, 1)

    assert np.allclose(scan.points, points) and (turned(scan.triangles) == turned(wanted)).all()
    with pytest.raises(ScanError, match=r"fan.glb: a part of it is a triangle fan .*Export it as triangles"):
        read_scan(_glb(tmp_path / "fan.glb", points, strip, 6))
    draco = [] if importlib.util.find_spec("DracoPy") else ["KHR_draco_mesh_compression"]
    for name in (*draco, "EXT_meshopt_compression"):
        with pytest.raises(ScanError, match=rf"compressed \({name}\).*uncompressed"):
            read_scan(_glb(tmp_path / "small.glb", points, strip, 4, extensionsRequired=[name]))
