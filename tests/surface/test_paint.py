"""Colours of a scan on a head: right where it was seen, smooth and plausible elsewhere, kept by fits and heads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from headfield.surface.paint import FADE, Paint

RED, GREEN = (200, 40, 30, 255), (30, 180, 60, 255)


@pytest.fixture(scope="module")
def ball():
    return trimesh.creation.icosphere(5, radius=0.4)


def half_seen(ball, rng) -> Paint:
    """Dense points on the front of the ball, red above and green below."""
    points = rng.normal(size=(30_000, 3))
    points *= 0.4 / np.linalg.norm(points, axis=1, keepdims=True)
    points = points[points[:, 2] > 0]
    return Paint(points, np.where(points[:, 1:2] > 0, RED, GREEN).astype(np.uint8))


def test_seen_vertices_have_the_scans_colours_and_others_fade_to_the_typical_one(ball):
    vertices = np.asarray(ball.vertices)
    paint = half_seen(ball, np.random.default_rng(0))
    colours = paint.on(vertices, ball.vertex_normals)
    assert colours.shape == (len(vertices), 4) and colours.dtype == np.uint8 and (colours[:, 3] == 255).all()
    clear = np.abs(vertices[:, 1]) > 0.03
    front, above = vertices[:, 2] > 0.02, vertices[:, 1] > 0
    np.testing.assert_array_equal(colours[front & above & clear], np.tile(RED, ((front & above & clear).sum(), 1)))
    np.testing.assert_array_equal(colours[front & ~above & clear], np.tile(GREEN, ((front & ~above & clear).sum(), 1)))
    far = vertices[:, 2] < -2.5 * FADE
    typical = np.median(paint.colours[:, :3], axis=0)
    assert far.sum() > 100 and np.abs(colours[far, :3].astype(float) - typical).max() <= 3


def test_no_edge_where_the_scan_ends(ball):
    vertices = np.asarray(ball.vertices)
    points = half_seen(ball, np.random.default_rng(0)).points
    shade = np.round(120 + 150 * points[:, :1]).astype(np.uint8)
    paint = Paint(points, np.concatenate([shade, shade, shade, np.full_like(shade, 255)], 1))
    colours = paint.on(vertices, ball.vertex_normals)[:, 0].astype(float)
    one, two = ball.edges_unique.T
    assert np.abs(colours[one] - colours[two]).max() < 12  # the shade itself changes by 2 along an edge


def test_points_far_from_the_head_and_no_points_colour_nothing(ball):
    vertices = np.asarray(ball.vertices)
    paint = half_seen(ball, np.random.default_rng(0))
    table = np.column_stack([np.random.default_rng(1).uniform(-0.4, 0.4, (3000, 2)), np.full(3000, 0.6)])
    blue = np.tile(np.uint8([0, 0, 255, 255]), (3000, 1))
    both = Paint(np.concatenate([paint.points, table]), np.concatenate([paint.colours, blue]))
    assert both.on(vertices, ball.vertex_normals)[:, 2].max() < 80
    empty = Paint(np.empty((0, 3)), np.empty((0, 4), np.uint8)).on(vertices, ball.vertex_normals)
    np.testing.assert_array_equal(empty, np.tile(np.uint8([128, 128, 128, 255]), (len(vertices), 1)))


@pytest.fixture(scope="module")
def coloured_fit():
    """A fit of a synthetic coloured scan of the mean bald head: its front, red on the subject's left, else green."""
    from headfield.fit.run import fit
    from headfield.models.release import load
    from headfield.surface.mesh_head import mesh_of
    from headfield.types import Codes, Scan

    model = load("imhead-open-small")
    mesh = mesh_of(model, Codes(model.prior.means[list(model.prior.names).index("bald")][None]), 96)
    front = mesh.normals[:, 2] > -0.2
    points = mesh.vertices[front] * 250.0
    colours = np.where(points[:, :1] > 0, RED, GREEN).astype(np.uint8)
    scan = Scan(points, mesh.normals[front], None, colours, name="painted", units="mm")
    return fit(scan, model, expression="neutral")


def test_a_fit_keeps_its_scans_colours_through_files(coloured_fit, tmp_path):
    from headfield.edit.record import SavedHead
    from headfield.fit.result import Fit

    scan = coloured_fit.scans[0]
    assert scan.colours.shape == (len(scan.all_points), 4)
    again = Fit.load(coloured_fit.save(tmp_path / "fit.npz"), coloured_fit.model)
    np.testing.assert_array_equal(again.scans[0].colours, scan.colours)
    mesh = again.mesh(64)
    x = mesh.transformed(scan.placement).vertices[:, 0]
    seen = mesh.attributes["seen"] & (np.abs(x) > 0.03)
    assert seen.sum() > 300
    np.testing.assert_array_equal(mesh.colours[seen], np.where(x[seen, None] > 0, RED, GREEN))

    saved = SavedHead.load(tmp_path / "fit.npz", coloured_fit.model)
    edited = saved.apply({"do": "symmetrise"})
    kept = SavedHead.load(edited.save(tmp_path / "head.npz"), coloured_fit.model).paint
    np.testing.assert_array_equal(kept.colours, scan.colours)
    np.testing.assert_allclose(kept.points, scan.placement.apply(scan.all_points), atol=1e-6)


def test_fits_without_colours_and_older_files_have_none(coloured_fit, tmp_path):
    from headfield.edit.record import SavedHead
    from headfield.fit.result import Fit

    plain = replace(coloured_fit, scans=(replace(coloured_fit.scans[0], colours=None),))
    path = plain.save(tmp_path / "fit.npz")
    with np.load(path) as file:
        assert "scan0_colours" not in file  # what files of before look like
    assert Fit.load(path, plain.model).paint() is None
    assert Fit.load(path, plain.model).mesh(48).colours is None
    assert SavedHead.load(path, plain.model).paint is None
