"""Shading modes that need something of the scan: who has it, and what it gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import trimesh

from headfield.cli.preview import fit_preview
from headfield.fit.result import Fit, ScanFit
from headfield.models.release import DEFAULT
from headfield.types import Mesh, Scan, Similarity
from headfield.view import shading


def _fit(colours):
    ball = trimesh.creation.icosphere(subdivisions=2, radius=0.4)
    points, count = np.array(ball.vertices), len(ball.vertices)
    scan = ScanFit("a.ply", Similarity(), "mm", 0.0, np.zeros(52), points, np.zeros(count), np.ones(count, bool),
                   points, None if colours is None else colours(points))  # fmt: skip
    return Fit(DEFAULT, np.zeros(256, np.float32), (scan,)), ball


def test_scan_colours_are_those_of_the_nearest_points():
    def halves(points):
        return np.where(points[:, :1] > 0, [[200, 10, 10, 255]], [[10, 10, 200, 255]]).astype(np.uint8)

    fit, ball = _fit(halves)
    assert shading.has("Scan colours", fit) and shading.has("Fit error", fit) and not shading.has("Scan colours", None)
    found = shading.of_scan(np.array(ball.vertices), np.array(ball.vertex_normals), fit)
    far = np.abs(ball.vertices[:, 0]) > 0.1
    assert (found[far] == halves(np.array(ball.vertices))[far]).all()
    bare, _ = _fit(None)
    assert not shading.has("Scan colours", bare) and shading.has("Surface", None)
    assert set(shading.NEEDED) == {mode for mode in shading.MODES if not shading.has(mode, None)}


def test_the_preview_shows_the_scans_colours_unless_it_is_to_be_clay():
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.4)
    points, triangles, count = np.array(ball.vertices), np.array(ball.faces), len(ball.vertices)
    green = np.tile(np.array([[20, 200, 20, 255]], np.uint8), (count, 1))
    head = Mesh(points, triangles, np.array(ball.vertex_normals), colours=green)
    scan = Scan(points, np.array(ball.vertex_normals), triangles, green)
    shown, errors = {}, np.zeros(count)
    for name, one in {"mesh": scan, "cloud": replace(scan, triangles=None)}.items():
        for clay in (False, True):
            shown[name, clay] = fit_preview(one, head, errors, size=48, clay=clay).astype(int)

    def greenish(picture):
        return (picture[:, :, 1] - picture[:, :, [0, 2]].max(2) > 60).sum()

    for name in ("mesh", "cloud"):
        rows = np.array_split(shown[name, False][: len(shown[name, False]) * 2 // 3], 2)
        assert all(greenish(row) > 300 for row in rows) and greenish(shown[name, True]) == 0
