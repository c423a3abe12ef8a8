"""Crossing ICT-FaceKit and anny: a head goes towards one of the other family, smoothly, and keeps its own eyes."""

from __future__ import annotations

import numpy as np
import pytest

from headfield.frames import MM_PER_UNIT
from headfield.synth import crossing
from headfield.synth.identities import IdentityKey
from headfield.synth.person import family, make_person

pytest.importorskip("anny", reason="anny's heads need the extra synth")


def mean_gap(points: np.ndarray, vertices: np.ndarray, triangles: np.ndarray) -> float:
    """Mean distance (mm) of points (N, 3) to a mesh."""
    igl = pytest.importorskip("igl")
    tree = igl.AABB()
    vertices, triangles = np.ascontiguousarray(vertices), np.ascontiguousarray(triangles)
    tree.init(vertices, triangles)
    return MM_PER_UNIT * float(np.sqrt(tree.squared_distance(vertices, triangles, points)[0]).mean())


@pytest.fixture(scope="module", params=["ict", "anny"])
def couple(request, ict):
    """A bare head of one family and one of the other: (head, sheet, skin, anchors) each."""
    found = []
    for name in (request.param, crossing.OTHER[request.param]):
        head, sheet = family(name)
        person = make_person(IdentityKey(name, "train", 3, 1), head, sheet, 0.0)
        found.append((sheet, person.skin(), person.anchors))
    return found


def test_the_whole_way_ends_on_the_other_head(couple):
    (sheet, skin, anchors), (other_sheet, other, other_anchors) = couple
    nobody = np.zeros(len(skin), dtype=bool)
    field = crossing.crossing_field(skin, sheet, anchors, other, other_sheet, other_anchors, nobody)
    front = np.setdiff1d(np.unique(sheet.triangles[~sheet.interior & ~sheet.cap]), np.flatnonzero(skin[:, 2] < -0.15))
    target = other_sheet.triangles[~other_sheet.interior]
    before, after = (mean_gap(points[front], other, target) for points in (skin, skin + field))
    print(f"front of the head, mean distance to the other: {before:.2f} -> {after:.2f} mm")
    assert after < 0.6 * before


def test_the_field_is_smooth(couple):
    (sheet, skin, anchors), (other_sheet, other, other_anchors) = couple
    nobody = np.zeros(len(skin), dtype=bool)
    field = crossing.crossing_field(skin, sheet, anchors, other, other_sheet, other_anchors, nobody)
    a, b = sheet.triangles[:, 0], sheet.triangles[:, 1]
    length = np.linalg.norm(skin[a] - skin[b], axis=1)
    strain = np.linalg.norm(field[a] - field[b], axis=1)[length > 1e-6] / length[length > 1e-6]
    print(f"strain of edges: p99 {np.quantile(strain, 0.99):.2f}")
    assert np.quantile(strain, 0.99) < 0.6


@pytest.mark.parametrize("name", ["ict", "anny"])
def test_who_is_crossed_is_another_with_the_same_eyeballs(name, ict, monkeypatch):
    from headfield.synth import person as people

    head, sheet = family(name)
    keys = [IdentityKey(name, "train", index, 0) for index in range(40)]
    chosen = [key for key in keys if key.rng("crossing").random() < crossing.SHARE]
    assert 0.1 < len(chosen) / len(keys) < 0.65
    crossed = make_person(chosen[0], head, sheet, 0.0, "v2")
    monkeypatch.setattr(people, "SHARE", 0.0)
    plain = make_person(chosen[0], head, sheet, 0.0, "v2")
    moved = MM_PER_UNIT * np.linalg.norm(crossed.skin() - plain.skin(), axis=1)
    print(f"{chosen[0].id}: mean {moved.mean():.1f}, most {moved.max():.1f} mm")
    assert 0.3 < moved.mean() < 8.0
    for one, two in zip(crossed.eyes, plain.eyes):
        ratio = one.radius / two.radius * np.exp(crossed.log_size - plain.log_size)
        assert ratio == pytest.approx(1.0, abs=0.02)
