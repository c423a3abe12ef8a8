"""Polygons and strips become triangles that cover the same surface, in every format that has them."""

from __future__ import annotations

import base64
import json
import struct

import numpy as np
import pytest
import trimesh

from headfield.errors import ScanError
from headfield.io.obj import read_obj
from headfield.io.polygons import repeated, triangulate, unstrip
from headfield.io.raw import RawGeometry
from headfield.io.scan import clean, read_scan

SIDE = 12
ROW = SIDE + 1
X, Y = np.meshgrid(np.arange(float(ROW)), np.arange(float(ROW)), indexing="ij")
POINTS = np.stack([X, Y, np.sin(0.4 * X)], axis=-1).reshape(-1, 3)
FIRST = (ROW * np.arange(SIDE)[:, None] + np.arange(SIDE)).ravel()
QUADS = np.stack([FIRST, FIRST + ROW, FIRST + ROW + 1, FIRST + 1], axis=1).tolist()
STRIP = np.concatenate(
    [[*np.stack([np.arange(ROW) + i * ROW, np.arange(ROW) + (i + 1) * ROW], axis=1).ravel(), -1] for i in range(SIDE)]
)


def _upward(points, triangles):
    """Area seen from above of each triangle: negative if it is turned over."""
    corners = points[triangles]
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] / 2


def _covers(scan):
    area = _upward(scan.points, scan.triangles)
    assert len(area) == 2 * SIDE**2 and (area > 0).all() and area.sum() == pytest.approx(SIDE**2)


def _ply(path, polygons, element="face", order="", extra=""):
    """The grid with polygons; `order` is that of the bytes, or empty for a text."""
    form = {"": "ascii", "<": "binary_little_endian", ">": "binary_big_endian"}[order]
    header = f"ply\nformat {form} 1.0\ncomment made by hand\nelement vertex {len(POINTS)}\n"
    header += "".join(f"property float {name}\n" for name in "xyz")
    header += "".join(f"property uchar {name}\n" for name in ("red", "green", "blue"))
    header += f"element {element} {len(polygons)}\n{extra}property list int int vertex_indices\nend_header\n"
    flag = [7] if extra else []
    if order:
        body = b"".join(struct.pack(order + "3f3B", *point, 1, 2, 3) for point in POINTS)
        body += b"".join(
            struct.pack(f"{order}{'B' * len(flag)}{1 + len(p)}i", *flag, len(p), *map(int, p)) for p in polygons
        )
    else:
        rows = [[*point, 1, 2, 3] for point in POINTS] + [[*flag, len(p), *p] for p in polygons]
        body = "\n".join(" ".join(map(str, row)) for row in rows).encode()
    path.write_bytes(header.encode() + body)
    return path


@pytest.mark.parametrize("order", ["", "<", ">"])
def test_ply_of_quads_mixed_polygons_and_strips(tmp_path, order):
    """Lists of one length and of several (which trimesh refuses in a binary file), and strips (which it loses)."""
    first = QUADS[0]
    mixed = [*QUADS[1:], (first[0], first[1], first[2]), (first[0], first[2], first[3])]
    for polygons in (QUADS, mixed):
        _covers(read_scan(_ply(tmp_path / "a.ply", polygons, order=order)))
    _covers(read_scan(_ply(tmp_path / "b.ply", mixed, order=order, extra="property uchar flags\n")))
    scan = read_scan(_ply(tmp_path / "c.ply", [STRIP], "tristrips", order))
    _covers(scan)
    assert (scan.colours == [1, 2, 3, 255]).all() and scan.notes == ()
    assert (scan.normals[:, 2] > 0).all(), "normals come from the strip's triangles"
    several = [part[part >= 0] for part in np.split(STRIP, np.flatnonzero(STRIP < 0))]
    _covers(read_scan(_ply(tmp_path / "d.ply", [part for part in several if len(part)], "tristrips", order)))


def test_ply_that_ends_early_or_counts_wrongly_is_refused(tmp_path):
    for order in ("", "<"):
        path = _ply(tmp_path / "a.ply", [*QUADS[:-1], QUADS[-1][:3]], order=order)
        path.write_bytes(path.read_bytes()[:-3])
        with pytest.raises(ScanError, match="cut short"):
            read_scan(path)
    path.write_bytes(path.read_bytes().replace(b"element face 144", b"element face 999999999999"))
    with pytest.raises(ScanError, match="cut short"):
        read_scan(path)


def test_the_other_formats_that_hold_polygons(tmp_path):
    vertices = "".join(f"v {x} {y} {z}\n" for x, y, z in POINTS)
    faces = "".join("f " + " ".join(str(corner + 1) for corner in quad) + "\n" for quad in QUADS)
    (tmp_path / "a.obj").write_text(vertices + faces)
    _covers(read_scan(tmp_path / "a.obj"))
    np.savez(tmp_path / "a.npz", vertices=POINTS, faces=np.array(QUADS))
    _covers(read_scan(tmp_path / "a.npz"))


def test_gltf_of_strips(tmp_path):
    """One strip over the whole grid: rows are joined by vertices named twice, as glTF has no restart."""
    rows = STRIP.reshape(SIDE, -1)[:, :-1]
    joined = np.pad(rows, ((0, 0), (2, 2)), mode="edge").ravel().astype("<u4")
    points = POINTS.astype("<f4")
    data = "data:application/octet-stream;base64," + base64.b64encode(points.tobytes() + joined.tobytes()).decode()
    views = [{"buffer": 0, "byteLength": points.nbytes}]
    views.append({"buffer": 0, "byteOffset": points.nbytes, "byteLength": joined.nbytes})
    low, high = points.min(0).tolist(), points.max(0).tolist()
    accessors = [
        {"bufferView": 0, "componentType": 5126, "count": len(points), "type": "VEC3", "min": low, "max": high},
        {"bufferView": 1, "componentType": 5125, "count": len(joined), "type": "SCALAR"},
    ]
    content = {
        "asset": {"version": "2.0"}, "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "mode": 5}]}],
        "accessors": accessors, "bufferViews": views,
        "buffers": [{"byteLength": points.nbytes + joined.nbytes, "uri": data}],
    }  # fmt: skip
    (tmp_path / "strip.gltf").write_text(json.dumps(content))
    _covers(read_scan(tmp_path / "strip.gltf"))


ARROW = np.array([[0, 0, 0], [2, 1, 0], [0, 2, 0], [1, 1, 0]], dtype=float)
"""A quad with a notch at its last corner; the fans around the first and third corner leave the notch."""

COMB = np.array([[0, 0], [5, 0], [5, 3], [4, 3], [4, 1], [3, 1], [3, 3], [2, 3], [2, 1], [1, 1], [1, 3], [0, 3]], float)
"""Two gaps between three teeth: no fan covers it."""


@pytest.mark.parametrize("loop", [ARROW, np.column_stack([COMB, np.zeros(12)])], ids=["arrow", "comb"])
def test_concave_polygons_are_covered_wherever_they_begin(loop):
    turn = trimesh.transformations.random_rotation_matrix(np.array([0.3, 0.6, 0.1]))[:3, :3]
    normal, area = turn[:, 2], 1 if len(loop) == 4 else 11
    for begin in range(len(loop)):
        for points in (loop, loop[::-1]):
            placed = np.roll(points, begin, axis=0) @ turn.T
            triangles = triangulate(placed, np.arange(len(loop)), np.array([len(loop)]))
            corners = placed[triangles]
            vectors = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) @ normal / 2
            assert len(triangles) == len(loop) - 2 and np.allclose(np.abs(vectors).sum(), area)
            assert np.allclose(vectors.sum(), area if points is loop else -area), "turned the way the polygon is"


def test_concave_polygons_of_an_obj_file_by_both_readers(tmp_path):
    """Scans and templates; corners with normals, indices that count back."""
    arrows = np.concatenate([ARROW + [3 * i, 0, 0] for i in range(40)])
    lines = ["vn 0 0 1"]
    for i in range(40):
        lines += [f"v {x} {y} {z}" for x, y, z in ARROW + [3 * i, 0, 0]]
        lines.append("f -4//1 -3//1 -2//1 -1//1" if i % 2 else "f " + " ".join(f"{4 * i + k}//1" for k in (1, 2, 3, 4)))
    (tmp_path / "arrows.obj").write_text("\r\n".join(lines) + "\n")
    scan, template = read_scan(tmp_path / "arrows.obj"), read_obj(tmp_path / "arrows.obj")
    for points, triangles in ((scan.points, scan.triangles), (template.vertices, template.triangles)):
        assert np.allclose(points, arrows) and len(triangles) == 80
        area = _upward(points, triangles)
        assert (area > 0).all() and area.sum() == pytest.approx(40)
    assert template.polygons == 40 and (template.corner_normals == 0).all()


def test_strips_turn_every_other_triangle_and_restart():
    assert unstrip([0, 1, 2, 3, 4]).tolist() == [[0, 1, 2], [2, 1, 3], [2, 3, 4]]
    assert unstrip([0, 1, 2, -1, 3, 4, 5, 6]).tolist() == [[0, 1, 2], [3, 4, 5], [5, 4, 6]]
    assert unstrip([0, 1, 2, 2, 3, 3, 4, 5]).tolist() == [[0, 1, 2], [4, 3, 5]], "joined by vertices named twice"
    assert len(unstrip([1, 2])) == len(unstrip([-1, -1, -1, -1])) == 0


def test_triangles_that_cannot_be_are_refused_or_dropped_and_said():
    ball = trimesh.creation.icosphere(3)
    bad = np.array(ball.faces)
    bad[7, 1] = len(ball.vertices)
    with pytest.raises(ScanError, match=r"1 of 1,280 .* vertex 642 \(counted from 0\); there are 642"):
        clean(RawGeometry(ball.vertices, triangles=bad), "a.ply")
    bad[7, 1] = -3
    with pytest.raises(ScanError, match="vertex -3"):
        clean(RawGeometry(ball.vertices, triangles=bad), "a.ply")
    bad[7, 1] = bad[7, 0]
    scan = clean(RawGeometry(ball.vertices, triangles=bad), "a.ply")
    assert len(scan.triangles) == 1279 and not repeated(scan.triangles).any()
    assert scan.notes == ("1 of 1,280 triangles named a vertex twice and were dropped.",)
    bad[:, 2] = bad[:, 1]
    with pytest.raises(ScanError, match="every triangle names a vertex twice"):
        clean(RawGeometry(ball.vertices, triangles=bad), "a.ply")
