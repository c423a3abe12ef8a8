"""The picture beside a fit: what it shows, and that nothing is cast twice for it."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from headfield.cli.preview import VIEWS, errors_on_head, fit_preview
from headfield.surface import snapshot
from headfield.surface.rays import RayScene
from headfield.surface.sheet import error_colours
from headfield.surface.snapshot import render, render_points, spacing
from headfield.types import Mesh, Scan

SIZE = 60


@pytest.fixture(scope="module")
def head() -> Mesh:
    solid = trimesh.creation.icosphere(3)
    vertices = np.array(solid.vertices) * [0.6, 0.9, 0.8]
    return Mesh(vertices, np.array(solid.faces), attributes={"seen": vertices[:, 2] > 0})


def _cells(sheet: np.ndarray, pictures: list[np.ndarray]) -> list[tuple[int, int]]:
    """Where on a sheet each picture stands, (row, column) of its first pixel."""
    found = []
    for picture in pictures:
        places = np.argwhere((sheet[: -SIZE + 1, : -SIZE + 1] == picture[0, 0]).all(-1))
        same = [p for p in places if np.array_equal(sheet[p[0] : p[0] + SIZE, p[1] : p[1] + SIZE], picture)]
        found += [tuple(same[0].tolist())] if same else [None]
    return found


@pytest.mark.parametrize("meshed", [False, True])
def test_preview_shows_scan_head_and_distance_from_three_sides(meshed, head, monkeypatch):
    rng = np.random.default_rng(0)
    points = head.vertices[head.vertices[:, 2] > -0.2] + 0.005 * rng.standard_normal(3)
    solid = Mesh(1.01 * head.vertices, head.triangles)
    scan = Scan(solid.vertices, None, solid.triangles[:, ::-1]) if meshed else Scan(points)  # inside out: shown right
    errors = rng.random(len(points)) * 2
    colours = error_colours(errors_on_head(points, head, errors))
    wanted = []
    for view in VIEWS:  # each by itself
        camera = {"view": view, "size": SIZE, "frame_on": head.vertices}
        cloud = {} if meshed else {"radius": 1.7 * spacing(points)}
        wanted.append(render(solid, occlusion_rays=4, **camera) if meshed else render_points(points, **camera, **cloud))
        wanted.append(render(head, occlusion_rays=4, **camera))
        wanted.append(render(head, colours=colours, occlusion_rays=0, **camera))

    scenes, casts, cast = [], [], RayScene.first_hit
    monkeypatch.setattr(snapshot, "RayScene", lambda *mesh: scenes.append(1) or RayScene(*mesh))
    monkeypatch.setattr(RayScene, "first_hit", lambda *rays: casts.append(1) or cast(*rays))
    sheet = fit_preview(scan, head, errors, error_points=points, size=SIZE)
    meshes = 2 if meshed else 1
    assert len(scenes) == meshes and len(casts) == meshes * len(VIEWS)
    places = _cells(sheet, wanted)
    assert None not in places
    by_view = [places[3 * number : 3 * number + 3] for number in range(len(VIEWS))]
    for row in zip(*by_view):  # a row each for scan, head and distance, in which the views follow each other
        assert len({place[0] for place in row}) == 1 and sorted(row) == list(row)
    assert [place[0] for place in by_view[0]] == sorted(place[0] for place in by_view[0])


def test_errors_are_told_where_the_scan_vouches(head):
    points = head.vertices[head.attributes["seen"]]
    found = errors_on_head(points, head, np.full(len(points), -0.5))
    assert np.allclose(found[head.attributes["seen"]], 0.5) and np.isnan(found[~head.attributes["seen"]]).all()
    assert np.isnan(errors_on_head(points, head, np.full(len(points), np.nan))).all()
