"""Depth maps: an analytic ball seen by a pinhole camera comes back at its place, in every format."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from headfield.errors import ConfigError, MissingExtra, ScanError
from headfield.io.depth import read_depth

CAMERA = {"fx": 400.0, "fy": 410.0, "cx": 100.5, "cy": 70.0}
CENTRE, RADIUS = np.array([20.0, -30.0, 600.0]), 90.0  # mm; x right, y down, z forward, as cameras have it


@pytest.fixture(scope="module")
def depth():
    """Depth (160, 200) in mm of a ball before a wall at 900 mm; the wall's left part has no measurement."""
    v, u = np.mgrid[:160, :200].astype(float)
    ray = np.stack([(u - CAMERA["cx"]) / CAMERA["fx"], (v - CAMERA["cy"]) / CAMERA["fy"], np.ones_like(u)], axis=-1)
    a, b, c = (ray**2).sum(-1), ray @ CENTRE, CENTRE @ CENTRE - RADIUS**2
    inside = b**2 - a * c
    depth = np.where(inside > 0, (b - np.sqrt(np.maximum(inside, 0))) / a, 900.0)
    depth[:, :20] = 0
    return depth


def _save(folder, depth, kind, scale=1.0):
    path = folder / f"depth.{kind}"
    if kind == "png":
        Image.fromarray(np.round(depth * scale).astype(np.uint16)).save(path)
    elif kind == "npy":
        np.save(path, (depth * scale).astype(np.float32))
    else:
        exr = pytest.importorskip("OpenEXR")
        header = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
        exr.File(header, {"Depth.Z": (depth * scale).astype(np.float32)}).write(str(path))
    return path


@pytest.mark.parametrize(("kind", "tolerance"), [("npy", 1e-3), ("exr", 1e-3), ("png", 0.51)])
def test_ball(tmp_path, depth, kind, tolerance):
    path = _save(tmp_path, depth, kind)
    camera = tmp_path / "camera.json"
    camera.write_text(json.dumps(CAMERA))
    scan = read_depth(path, camera)
    centre = CENTRE * [1, -1, -1]  # y up, the camera looks along -z
    ball = scan.points[scan.points[:, 2] > -700]
    assert 2000 < len(ball) < len(scan.points)
    assert np.abs(np.linalg.norm(ball - centre, axis=1) - RADIUS).max() < tolerance * 1.5
    normals = scan.normals[scan.points[:, 2] > -700]
    cosine = np.einsum("ni,ni->n", normals, (ball - centre) / RADIUS)
    assert np.median(cosine) > 0.998 and np.quantile(cosine, 0.05) > 0.97
    assert (np.einsum("ni,ni->n", scan.normals, scan.points) <= 0).all()  # towards the camera
    assert scan.units == "mm" and (scan.viewpoint == 0).all()
    assert "beside depth edges" in scan.notes[0]
    # the hole is not measured, and no point floats between ball and wall
    between = (scan.points[:, 2] < -702) & (scan.points[:, 2] > -898)
    assert not between.any()


def test_units_and_intrinsics_forms(tmp_path, depth):
    mm = read_depth(_save(tmp_path, depth, "npy"), tuple(CAMERA.values()))
    (tmp_path / "k.json").write_text(
        json.dumps({"K": [[400, 0, 100.5], [0, 410, 70], [0, 0, 1]], "width": 200, "height": 160})
    )
    metres = read_depth(_save(tmp_path, depth, "npy", 1e-3), tmp_path / "k.json", depth_unit="m")
    assert metres.units == "m"
    np.testing.assert_allclose(metres.points * 1000, mm.points, atol=1e-3)


@pytest.mark.parametrize("per_count", [1e-4, 1 / 5000])
def test_counts_of_a_cameras_own_scale(tmp_path, depth, per_count):
    """Integer images in steps of 0.1 mm or 1/5000 m: the same place as in millimetres, told in metres."""
    camera = tuple(CAMERA.values())
    mm = read_depth(_save(tmp_path, depth, "npy"), camera)
    scan = read_depth(_save(tmp_path, depth, "png", 1e-3 / per_count), camera, depth_unit=per_count)
    assert scan.units == "m"
    assert len(scan.points) == pytest.approx(len(mm.points), rel=0.01)
    ball = scan.points[scan.points[:, 2] > -0.7]
    centre = CENTRE * [1, -1, -1] / 1000
    assert np.abs(np.linalg.norm(ball - centre, axis=1) - RADIUS / 1000).max() < per_count


@pytest.mark.parametrize(
    ("unit", "message"),
    [(5000, "5000 counts per metre it is 0.0002"), (0, "metres per count"), (-1e-3, "metres per count"),
     (float("nan"), "metres per count"), (float("inf"), "metres per count"), ("0.1mm", "or a number")],
)  # fmt: skip
def test_depth_units_that_are_none(tmp_path, depth, unit, message):
    with pytest.raises(ConfigError, match=message):
        read_depth(_save(tmp_path, depth, "npy"), tuple(CAMERA.values()), depth_unit=unit)


def test_wrong_scale_says_where_to_look(tmp_path, depth):
    camera = tuple(CAMERA.values())
    with pytest.raises(ScanError, match=r"at 1e-06 m per count.*Look up the camera's depth scale"):
        read_depth(_save(tmp_path, depth, "npy"), camera, depth_unit=1e-6)
    with pytest.raises(ScanError, match="metres per count, such as 0.0002"):
        read_depth(_save(tmp_path, depth, "npy", 1e-9), camera)


def test_subsampling(tmp_path, depth):
    scan = read_depth(_save(tmp_path, depth, "npy"), tuple(CAMERA.values()), max_points=5000)
    assert len(scan.points) == 5000 and "a random 5,000" in scan.notes[-1]


def test_refusals(tmp_path, depth):
    camera = tuple(CAMERA.values())
    good = _save(tmp_path, depth, "npy")
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(tmp_path / "photo.png")
    Image.fromarray(np.full((20, 20), 7, np.uint8)).save(tmp_path / "grey.png")
    np.save(tmp_path / "none.npy", np.zeros((50, 50)))
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    for name, message in {
        "photo.png": "expected one channel",
        "grey.png": "8-bit picture",
        "none.npy": "only 0 pixels",
        "text.png": "its content is not PNG",
        "empty.png": "empty",
        "nowhere.png": "no such",
        "depth.tiff": "no such",
    }.items():
        with pytest.raises(ScanError, match=message):
            read_depth(tmp_path / name, camera)
    with pytest.raises(ScanError, match="Pass --depth-unit mm if"):
        read_depth(good, camera, depth_unit="m")
    with pytest.raises(ConfigError, match="yard"):
        read_depth(good, camera, depth_unit="yard")
    for content, message in {
        "{}": "no fx, fy, cx, cy",
        "[1, 2]": "expected an object",
        "{": "is not JSON",
        '{"fx": 0, "fy": 1, "cx": 1, "cy": 1}': "positive",
        '{"fx": "a", "fy": 1, "cx": 1, "cy": 1}': "four numbers",
        '{"fx": 1, "fy": 1, "cx": 1, "cy": 1, "width": 640, "height": 480}': "640 x 480",
    }.items():
        (tmp_path / "c.json").write_text(content)
        with pytest.raises(ScanError, match=message):
            read_depth(good, tmp_path / "c.json")
    with pytest.raises(ScanError, match="cannot be opened"):
        read_depth(good, tmp_path / "nowhere.json")


def test_exr_without_openexr_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "OpenEXR", None)
    (tmp_path / "a.exr").write_bytes(b"x" * 100)
    with pytest.raises(MissingExtra, match=r"headfield\[depth\]"):
        read_depth(tmp_path / "a.exr", tuple(CAMERA.values()))
