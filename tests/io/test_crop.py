"""A box of a scan keeps what lies in it, with the triangles, normals and colours that hang on it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from headfield.errors import ConfigError, ScanError
from headfield.io.crop import as_box, box_text
from headfield.io.scan import cropped, read_scan
from headfield.types import Scan

BOX = (-1000, 0, -1000, 1000, 1000, 1000)


@pytest.fixture(scope="module")
def ball():
    mesh = trimesh.creation.icosphere(4, radius=100.0)
    colours = np.column_stack([np.arange(len(mesh.vertices)) % 251] * 3 + [np.full(len(mesh.vertices), 255)])
    return Scan(mesh.vertices, mesh.vertex_normals, mesh.faces, colours.astype(np.uint8), name="ball.ply")


def _upper(found, whole):
    """The upper half, each vertex with its own normal and colour, each triangle at its own place."""
    up = whole.points[:, 1] >= 0
    assert np.allclose(found.points, whole.points[up], atol=1e-4)
    assert np.allclose(found.normals, whole.normals[up], atol=1e-4) and (found.colours == whole.colours[up]).all()
    kept = whole.triangles[up[whole.triangles].all(axis=1)]
    assert np.allclose(found.points[found.triangles], whole.points[kept], atol=1e-4)
    assert f"{up.sum():,} of {len(up):,} points were kept" in found.notes[-1]


def test_everything_follows(ball, tmp_path):
    _upper(cropped(ball, BOX), ball)
    mesh = trimesh.Trimesh(ball.points, ball.triangles, vertex_normals=ball.normals, process=False)
    mesh.visual.vertex_colors = ball.colours
    mesh.export(tmp_path / "ball.ply", vertex_normal=True)
    _upper(read_scan(tmp_path / "ball.ply", crop=BOX), ball)


def test_a_crop_comes_before_thinning(tmp_path):
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.uniform(-1, 1, (2000, 3)), rng.uniform(50, 99, (60_000, 3))])
    np.save(tmp_path / "room.npy", points)
    assert len(read_scan(tmp_path / "room.npy", crop=(-1, -1, -1, 1, 1, 1), max_points=5000).points) == 2000


def test_boxes_that_are_none(ball):
    for wrong in ("1 2 3", "a b c d e f", (1, 2, 3, 4, 5), "0 0 0 1 1 nan", "0 0 0 1 -1 1", np.zeros((2, 2))):
        with pytest.raises(ConfigError, match="--crop"):
            as_box(wrong)
    with pytest.raises(ConfigError, match="nan is no place"):
        as_box("0 0 0 1 1 nan")
    with pytest.raises(ConfigError, match="y goes from 0 to -1; expected .* y0 < y1"):
        as_box("0 0 0 1 -1 1")
    assert (as_box("-1,-2,-3, 1 2 3") == [[-1, -2, -3], [1, 2, 3]]).all()
    with pytest.raises(ScanError, match="nothing lies within --crop; the scan's own box is --crop \"-100."):
        cropped(ball, (500, 500, 500, 600, 600, 600))
    with pytest.raises(ScanError, match="holds only"):
        cropped(replace(ball, triangles=None), (-100, 99, -100, 100, 101, 100))


def test_infinity_leaves_a_side_open(ball):
    _upper(cropped(ball, as_box("-inf 0 -inf inf inf inf").ravel()), ball)
    with pytest.raises(ConfigError, match="x goes from inf to inf"):
        as_box("inf 0 0 inf 1 1")


@pytest.mark.parametrize("scale", [1e-4, 0.25, 1.0, 37.5, 2.5e5])
def test_a_box_that_is_told_can_be_given(scale):
    """It reads back, holds everything, and is hardly larger; also far from the origin."""
    rng = np.random.default_rng(1)
    for far in (0.0, 1.0, 1e4):
        points = scale * (rng.uniform(-1, 1, (500, 3)) + far)
        box = as_box(box_text([points.min(0), points.max(0)]))
        assert ((points >= box[0]) & (points <= box[1])).all()
        assert (np.abs(box - [points.min(0), points.max(0)]) <= 0.011 * scale).all()
