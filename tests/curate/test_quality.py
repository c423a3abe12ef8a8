"""Quality: known intersections and inversions are counted, coverage is the share that was seen, limits give reasons."""

from __future__ import annotations

import numpy as np
import pytest
from trimesh.creation import icosphere

pytest.importorskip("igl", reason="needs libigl: pip install 'headfield[synth]'")

from headfield.curate.measures import inverted, measure, pierced
from headfield.curate.options import QualityLimits
from headfield.curate.quality import NUMBERS, reasons_against
from headfield.frames import reference_anchors
from headfield.types import Mesh


def ball(radius: float = 1.0, centre=(0.0, 0.0, 0.0), subdivisions: int = 3) -> Mesh:
    sphere = icosphere(subdivisions=subdivisions, radius=radius)
    return Mesh(np.array(sphere.vertices) + centre, np.array(sphere.faces, dtype=np.int64))


def joined(*meshes: Mesh) -> Mesh:
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    return Mesh(
        np.concatenate([mesh.vertices for mesh in meshes]),
        np.concatenate([mesh.triangles + start for mesh, start in zip(meshes, starts)]),
    )


def test_a_ball_does_not_pierce_itself_and_two_that_meet_do():
    assert not pierced(ball()).any()
    apart, meeting = joined(ball(), ball(centre=(2.5, 0, 0))), joined(ball(), ball(centre=(1.2, 0, 0)))
    assert not pierced(apart).any()
    found = pierced(meeting)
    middle = meeting.vertices[meeting.triangles].mean(1)
    # two unit balls 1.2 apart cut each other in the circle x = 0.6 of radius 0.8
    near = np.hypot(middle[:, 0] - 0.6, np.hypot(middle[:, 1], middle[:, 2]) - 0.8)
    assert found.sum() > 40 and near[found].max() < 0.15
    first = np.arange(len(meeting.triangles)) < len(meeting.triangles) // 2
    assert not pierced(meeting, first).any(), "only those that are judged take part"


def test_inverted_triangles_are_those_pushed_through():
    before = ball()
    after = before.vertices.copy()
    after[0] *= -0.5  # through the opposite side: its triangles turn over
    touched = (before.triangles == 0).any(1)
    found = inverted(Mesh(after, before.triangles), before.vertices)
    assert found.any() and not found[~touched].any()


def test_measures_of_a_half_seen_ball():
    head = ball(0.4, subdivisions=4)
    anchors = 0.4 * reference_anchors() / np.linalg.norm(reference_anchors(), axis=1, keepdims=True)
    rng = np.random.default_rng(0)
    points = rng.standard_normal((20_000, 3))
    points *= 0.402 / np.linalg.norm(points, axis=1, keepdims=True)
    strays = rng.uniform(-2, 2, (200, 3))
    seen = np.concatenate([points[points[:, 0] > 0], strays])
    facts = measure(seen, head, head, head.vertices, anchors, 250.0)
    assert set(facts) == set(NUMBERS) - {"landmark_residual_mm"}
    assert facts["error_mm"] == pytest.approx(0.5, abs=0.1), "0.002 units of 250 mm, whatever the strays"
    assert facts["coverage"] == pytest.approx(0.5, abs=0.1)  # a point speaks for what is around it
    assert facts["coverage_head"] == pytest.approx(0.5, abs=0.1)
    assert facts["inverted"] == facts["self_intersections"] == 0


def test_reasons_name_number_and_limit():
    good = {"error_mm": 0.2, "coverage": 0.9, "inverted": 0.0, "self_intersections": 0.0, "landmark_residual_mm": 1.0}
    assert reasons_against(good, QualityLimits()) == []
    assert reasons_against({}, QualityLimits()) == [], "what was not measured is not judged"
    bad = good | {"error_mm": 2.3, "coverage": 0.2, "landmark_residual_mm": float("nan")}
    reasons = reasons_against(bad, QualityLimits(max_error=2.0))
    assert len(reasons) == 3
    assert "2.30 mm" in reasons[0] and "limit 2.00 mm" in reasons[0]
    assert any("20 %" in reason and "50 %" in reason for reason in reasons)
