"""Cameras and pictures of scans: what a pixel is said to show is what lies there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from trimesh.creation import icosphere

from headfield.fit.pictures.views import Subject, axes_around, camera_at, cropped, project, rays, turned
from headfield.types import Scan

SIZE = 96


def ball(subdivisions=4):
    sphere = icosphere(subdivisions=subdivisions)
    return np.array(sphere.vertices), np.array(sphere.faces)


def camera(seed, reach=1.3, target=(0.1, -0.2, 0.3)):
    quaternion = np.random.default_rng(seed).standard_normal(4)
    return camera_at(np.array(target), Rotation.from_quat(quaternion).as_matrix(), reach)


@given(st.integers(0, 10**6), st.floats(0.01, 1e3))
@settings(max_examples=40, deadline=None)
def test_a_way_through_a_pixel_leads_back_to_its_point(seed, reach):
    rng = np.random.default_rng(seed)
    eye = camera(seed, reach)
    points = eye.origin - 4 * reach * eye.axes[2] + reach * rng.uniform(-1, 1, (20, 3))
    pixels, depth = project(eye, points, SIZE)
    assert np.allclose(eye.origin + depth[:, None] * rays(eye, pixels, SIZE), points, atol=1e-9 * reach)


def test_a_picture_is_right_side_up_and_not_mirrored():
    axes = np.eye(3)  # right +x, up +y, looks along -z
    pixels, depth = project(camera_at(np.zeros(3), axes, 1.0), np.array([[0.5, 0.2, 0.0]]), 100)
    assert pixels[0, 0] > 50 and pixels[0, 1] < 50 and depth[0] == pytest.approx(4.0)
    from_left = axes_around(axes, 90, 0)  # 90 degrees to the right of it: looks along -x
    assert np.allclose(from_left[2], [1, 0, 0]) and np.allclose(from_left[1], [0, 1, 0])
    assert np.linalg.det(axes_around(axes, 33, -20)) == pytest.approx(1.0)


def test_depth_and_facing_of_a_ball_are_exact():
    vertices, triangles = ball(5)
    subject = Subject(Scan(vertices, triangles=triangles))
    eye = camera(0, target=(0, 0, 0))
    view = subject.picture(eye, SIZE)
    hit = np.isfinite(view.depth)
    row, column = np.nonzero(hit)
    points = eye.origin + view.depth[hit][:, None] * rays(eye, np.stack([column, row], 1) + 0.5, SIZE)
    assert np.abs(np.linalg.norm(points, axis=1) - 1).max() < 2e-3
    assert np.abs((points @ eye.axes[2]) - view.facing[hit]).max() < 0.02
    seen = (4 * 1.3 * np.tan(np.arcsin(1 / (4 * 1.3)))) / 1.3  # radius of the ball's outline, pictures' half sides
    assert hit.mean() == pytest.approx(np.pi / 4 * seen**2, rel=0.02)


def test_a_cloud_looks_like_the_mesh_it_was_taken_from_without_its_strays():
    rng = np.random.default_rng(1)
    points = rng.standard_normal((20_000, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    strays = rng.uniform(-1.6, 1.6, (60, 3))
    strays = strays[np.linalg.norm(strays, axis=1) > 1.15]
    subject = Subject(Scan(np.concatenate([points, strays])))
    eye = camera(2, target=(0, 0, 0))
    vertices, triangles = ball(5)
    mesh = Subject(Scan(vertices, triangles=triangles)).picture(eye, SIZE)
    view = subject.picture(eye, SIZE)
    assert (np.isfinite(view.depth) ^ np.isfinite(mesh.depth)).mean() < 0.02
    inner = np.isfinite(view.depth) & np.isfinite(mesh.depth) & (mesh.facing > 0.3)
    assert np.median(np.abs(view.depth[inner] - mesh.depth[inner])) < 0.01
    assert np.abs(view.picture[inner].astype(float) - mesh.picture[inner]).mean() < 8


def test_colours_are_shown_and_inverted_normals_are_no_harm():
    vertices, triangles = ball(3)
    eye = camera(3, target=(0, 0, 0))
    red = np.tile(np.array([200, 30, 30, 255], np.uint8), (len(vertices), 1))
    picture = Subject(Scan(vertices, triangles=triangles, colours=red)).picture(eye, 48).picture
    assert picture[24, 24, 0] > 2 * picture[24, 24, 1]
    inside_out = Subject(Scan(vertices, triangles=triangles[:, ::-1])).picture(eye, 48)
    straight = Subject(Scan(vertices, triangles=triangles)).picture(eye, 48)
    assert np.abs(inside_out.picture.astype(int) - straight.picture).mean() < 2


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_turning_and_cropping_a_picture_move_the_camera_along(quarters):
    vertices, triangles = ball(3)
    vertices = vertices * [1.0, 0.6, 0.3] + [0.2, 0, 0]
    subject = Subject(Scan(vertices, triangles=triangles))
    view = subject.picture(camera(5), SIZE)
    for other in (turned(view, quarters), turned(cropped(view, 10, 30, 48), quarters)):
        again = subject.picture(other.camera, len(other.picture))
        seen = np.isfinite(again.depth)
        assert (seen ^ np.isfinite(other.depth)).mean() < 0.005
        seen &= np.isfinite(other.depth)
        assert seen.any() and np.allclose(again.depth[seen], other.depth[seen], rtol=1e-3)
        assert np.abs(again.facing - other.facing)[seen].mean() < 0.005
