"""Slices through a field."""

import numpy as np
import pytest
import trimesh

from headfield.evaluate.slices import plane_points, plane_segments, slice_picture
from headfield.types import Mesh

BOX = np.array([[-1, -0.5, -1], [1, 0.5, 1.0]])


def ball(points):
    return np.linalg.norm(points - np.array([0.3, 0, 0.0]), axis=1) - 0.3


def test_inside_is_blue_outside_is_amber_and_up_is_up():
    picture = slice_picture(ball, BOX, "z", size=200, step_mm=1000).astype(int)
    assert picture.shape == (100, 200, 3)
    assert picture[50, 130, 2] > picture[50, 130, 0]  # x = 0.3: blue
    assert picture[50, 30, 0] > picture[50, 30, 2]  # x = -0.7: amber
    assert picture[50, 100].sum() < 300  # x = 0: the skin
    profile = slice_picture(lambda p: p[:, 1] - 0.2, BOX, "x", size=200).astype(int)
    assert profile[10, 100, 0] > profile[10, 100, 2] and profile[90, 100, 0] < profile[90, 100, 2]


def test_truth_outline_lies_on_the_skin():
    solid = trimesh.creation.icosphere(4, 0.3)
    mesh = Mesh(solid.vertices + [0.3, 0, 0], solid.faces)
    ends = plane_segments(mesh, "z", 0.05).reshape(-1, 3)
    assert np.allclose(ends[:, 2], 0.05)
    assert np.allclose(np.linalg.norm(ends - [0.3, 0, 0], axis=1), 0.3, atol=2e-3)
    lengths = np.linalg.norm(np.diff(plane_segments(mesh, "z", 0.05), axis=1), axis=2)
    assert lengths.sum() == pytest.approx(2 * np.pi * np.sqrt(0.09 - 0.0025), rel=0.01)
    red = slice_picture(ball, BOX, "z", size=200, truth=mesh).astype(int)
    assert ((red[..., 0] - red[..., 1]) > 120).sum() > 100
    assert len(plane_segments(mesh, "z", 5.0)) == 0


def test_pixels_lie_on_the_plane():
    points, pixel = plane_points(BOX, "z", 0.25, 200)
    assert points.shape == (100, 200, 3) and pixel == pytest.approx(0.01) and (points[..., 2] == 0.25).all()
    assert np.allclose(points[0, 0, :2], [-0.995, 0.495]) and np.allclose(points[-1, -1, :2], [0.995, -0.495])


def test_unknown_axis():
    with pytest.raises(ValueError, match="choose x, y or z"):
        slice_picture(ball, BOX, "w")
