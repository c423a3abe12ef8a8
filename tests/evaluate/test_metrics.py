"""Metrics against brute force and against shapes whose errors are known."""

import numpy as np
import pytest
import trimesh

pytest.importorskip("igl", reason="libigl (the extra `eval`) is not installed")

from headfield.evaluate.metrics import (
    Truth,
    evaluate_pair,
    f_score,
    markdown_table,
    metrics_from,
    scan_errors,
    summarise,
    vertex_errors,
)
from headfield.surface.nearest import Target, sample_surface
from headfield.types import Mesh


def ball(radius=1.0, subdivisions=4, centre=(0, 0, 0)):
    solid = trimesh.creation.icosphere(subdivisions, radius)
    return Mesh(np.array(solid.vertices) + np.array(centre), np.array(solid.faces))


def brute_force(points, corners):
    """Distance of every point (N, 3) to every triangle (F, 3, 3) by its plane, edges and corners, the least of all."""
    best = np.full(len(points), np.inf)
    for a, b, c in corners:
        normal = np.cross(b - a, c - a)
        normal = normal / np.linalg.norm(normal)
        height = (points - a) @ normal
        foot = points - height[:, None] * normal
        sides = [np.cross(q - p, foot - p) @ normal for p, q in ((a, b), (b, c), (c, a))]
        inside = np.all([s >= 0 for s in sides], axis=0)
        distance = np.where(inside, np.abs(height), np.inf)
        for p, q in ((a, b), (b, c), (c, a)):
            t = np.clip((points - p) @ (q - p) / ((q - p) @ (q - p)), 0, 1)
            distance = np.minimum(distance, np.linalg.norm(points - p - t[:, None] * (q - p), axis=1))
        best = np.minimum(best, distance)
    return best


def test_distance_to_triangles_is_the_brute_force_one():
    rng = np.random.default_rng(0)
    mesh = Mesh(rng.standard_normal((30, 3)), rng.permuted(np.tile(np.arange(30), (40, 1)), axis=1)[:, :3])
    points = 2 * rng.standard_normal((300, 3))
    distance, place = Target(mesh).closest(points)
    assert np.allclose(distance, brute_force(points, mesh.vertices[mesh.triangles]), atol=1e-9)
    # the place is where it says it is
    again = np.einsum("nk,nkc->nc", place.barycentric, mesh.vertices[mesh.triangles[place.triangle]])
    assert np.allclose(again, place.points, atol=1e-7)
    assert np.allclose(np.linalg.norm(points - place.points, axis=1), distance, atol=1e-9)


def test_masked_triangles_are_not_measured_to():
    mesh = ball()
    upper = mesh.vertices[mesh.triangles].mean(1)[:, 2] > 0
    distance, place = Target(mesh, upper).closest(np.array([[0, 0, -2.0], [0, 0, 2.0]]))
    assert upper[place.triangle].all()
    assert distance[0] > 2 and distance[1] == pytest.approx(1, abs=1e-3)


def test_samples_are_even_by_area_and_on_the_mesh():
    rng = np.random.default_rng(0)
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 5], [3, 0, 5], [0, 1, 5.0]])
    mesh = Mesh(vertices, np.array([[0, 1, 2], [3, 4, 5]]))
    places = sample_surface(mesh, 4000, rng)
    assert (places.triangle == 1).mean() == pytest.approx(0.75, abs=1e-3)
    first = places.points[places.triangle == 0]
    assert np.allclose(first.mean(0), [1 / 3, 1 / 3, 0], atol=0.02) and (first[:, :2].sum(1) <= 1).all()
    assert (sample_surface(mesh, 100, rng, np.array([True, False])).triangle == 0).all()
    with pytest.raises(ValueError, match="no triangle"):
        sample_surface(mesh, 10, rng, np.zeros(2, bool))


def test_numbers_from_distances_by_hand():
    metrics = metrics_from(np.array([0.5, 1.2]), np.array([0.0, 2.0, 7.0]), np.array([1, -1]), np.array([0.5, 0.5, 1]))
    assert metrics.accuracy_mm == pytest.approx(0.85)
    assert metrics.completeness_mm == pytest.approx(3.0)
    assert metrics.chamfer_l1_mm == pytest.approx(1.925)
    assert metrics.chamfer_l2_mm2 == pytest.approx(((0.25 + 1.44) / 2 + 53 / 3) / 2)
    assert metrics.normal_consistency == pytest.approx((1 + 2 / 3) / 2)
    assert metrics.f1 == pytest.approx(2 * (1 / 2 * 1 / 3) / (1 / 2 + 1 / 3))
    assert metrics.f1_5 == pytest.approx(2 * (1 * 1 / 3) / (4 / 3))
    assert metrics.f5 == pytest.approx(2 * (1 * 2 / 3) / (5 / 3))
    assert f_score(np.ones(3), np.ones(3), 0.5) == 0.0
    assert np.isnan(metrics_from(np.empty(0), np.ones(1), np.empty(0), np.ones(1)).chamfer_l1_mm)


def test_concentric_balls_are_as_far_apart_as_their_radii():
    metrics = evaluate_pair(ball(1.02), Truth(ball(1.0)), samples=4000, mm_per_unit=100).whole
    assert metrics.accuracy_mm == pytest.approx(2.0, rel=0.01)
    assert metrics.completeness_mm == pytest.approx(2.0, rel=0.01)
    assert metrics.chamfer_l2_mm2 == pytest.approx(4.0, rel=0.02)
    assert metrics.normal_consistency > 0.9995
    assert metrics.f1_5 == 0.0 and metrics.f5 == 1.0
    same = evaluate_pair(ball(), Truth(ball()), samples=2000).whole
    assert same.chamfer_l1_mm < 1e-6 and same.f1 == 1.0


def test_points_agree_with_brute_force_and_are_never_below_the_surface():
    a, b = ball(1.0), ball(1.03, centre=(0.01, 0, 0))
    to_points = evaluate_pair(a, Truth(b), samples=3000, mm_per_unit=1, method="points")
    to_surface = evaluate_pair(a, Truth(b), samples=3000, mm_per_unit=1)
    assert to_points.whole.accuracy_mm > to_surface.whole.accuracy_mm
    rng = np.random.default_rng(0)  # the same stream as inside: first the prediction's samples, then the truth's
    ours, theirs = sample_surface(a, 3000, rng).points, sample_surface(b, 3000, rng).points
    gaps = np.linalg.norm(ours[:, None] - theirs[None], axis=-1)
    assert to_points.whole.accuracy_mm == pytest.approx(gaps.min(1).mean(), rel=1e-6)
    assert to_points.whole.completeness_mm == pytest.approx(gaps.min(0).mean(), rel=1e-6)
    dense = evaluate_pair(a, Truth(b), samples=60_000, mm_per_unit=1, method="points").whole
    gap = dense.accuracy_mm - to_surface.whole.accuracy_mm
    assert 0 < gap < 0.4 * (to_points.whole.accuracy_mm - to_surface.whole.accuracy_mm)


def test_missing_half_shows_in_completeness_and_recall_only():
    whole, half = ball(), ball()
    upper = whole.vertices[whole.triangles].mean(1)[:, 2] > 0
    half = Mesh(half.vertices, half.triangles[upper])
    every = Truth(whole, visible=np.ones(len(upper), bool))
    seen = np.ones(int(upper.sum()), bool)
    metrics = evaluate_pair(half, every, samples=4000, mm_per_unit=100, visible=seen).whole
    assert metrics.accuracy_mm < 1e-6 < 10 < metrics.completeness_mm
    assert metrics.f1 == pytest.approx(2 * 0.5 / 1.5, abs=0.03)


def test_hidden_insides_do_not_count():
    outer, inner = ball(1.0), ball(0.5, 3)
    both = Mesh(
        np.concatenate([outer.vertices, inner.vertices]),
        np.concatenate([outer.triangles, inner.triangles[:, ::-1] + len(outer.vertices)]),
    )
    for predicted, truth in ((outer, both), (both, outer)):
        assert evaluate_pair(predicted, Truth(truth), samples=3000, mm_per_unit=100).whole.chamfer_l1_mm < 1e-6
    counted = np.ones(len(both.triangles), bool)
    wrong = evaluate_pair(outer, Truth(both, visible=counted), samples=3000, mm_per_unit=100).whole
    assert wrong.completeness_mm > 5


def test_cut_and_regions():
    """A cylinder along y with a cap at the bottom; the prediction ends 20 mm lower and bulges 3 mm at the top."""
    truth_solid = trimesh.creation.cylinder(0.4, 2.0, sections=64).subdivide_to_size(0.06)
    turn = trimesh.transformations.rotation_matrix(-np.pi / 2, [1, 0, 0])
    truth_solid.apply_transform(turn)
    truth = Mesh(np.array(truth_solid.vertices), np.array(truth_solid.faces))
    cap = (truth.vertices[truth.triangles][:, :, 1] < -1 + 1e-6).all(1)
    moved = truth.vertices.copy()
    moved[moved[:, 1] < -1 + 1e-6, 1] -= 0.08
    upper = truth.vertices[:, 1] > 0.3
    outward = truth.vertices * [1, 0, 1]
    radial = upper & (truth.vertices[:, 1] < 1 - 1e-6)
    moved[radial] += 0.012 * (outward / np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-9))[radial]
    predicted = Mesh(moved, truth.triangles)
    side = radial & (truth.vertices[:, 1] > 0.5) & (truth.vertices[:, 1] < 0.8)
    masked = Truth(truth, cap=cap, face=side, regions={"none": np.zeros(len(side), bool)})
    found = evaluate_pair(predicted, masked, samples=20_000)
    assert found.face.completeness_mm == pytest.approx(3.0, rel=0.05)
    assert found.face.accuracy_mm == pytest.approx(3.0, rel=0.05)
    assert found.truth_points[:, 1].min() > -1 + 5 / 250 - 1e-6
    assert np.isnan(found.regions["none"].chamfer_l1_mm)
    without = evaluate_pair(predicted, Truth(truth), samples=20_000).whole
    assert without.accuracy_mm > found.whole.accuracy_mm + 1  # the longer neck would have counted


def test_wrong_masks_are_refused():
    with pytest.raises(ValueError, match="face"):
        evaluate_pair(ball(), Truth(ball(), face=np.ones(3, bool)))
    with pytest.raises(ValueError, match="the cap"):
        evaluate_pair(ball(), Truth(ball(), cap=np.ones(3, bool)))
    with pytest.raises(ValueError, match="surface"):
        evaluate_pair(ball(), Truth(ball()), method="hausdorff")


def test_scan_errors_are_one_sided():
    mesh = ball(1.0, 5)
    points = np.array([[0, 0, 1.1], [0, 0, 0.9], [2, 0, 0]])
    assert np.allclose(scan_errors(points, mesh, 10), [1, 1, 10], atol=0.02)
    assert np.allclose(vertex_errors(ball(1.1), mesh, 100), 10, atol=0.1)


def test_same_rng_same_numbers():
    a, b = ball(), ball(1.01)
    one, two = evaluate_pair(a, Truth(b), samples=1000), evaluate_pair(a, Truth(b), samples=1000)
    assert one.whole == two.whole


def test_summary_over_heads():
    def head(error, consistency):
        return metrics_from(np.full(5, error), np.full(5, error), np.full(5, consistency), np.full(5, consistency))

    heads = [head(float(i), 1 - i / 100) for i in range(1, 11)]
    empty = metrics_from(np.empty(0), np.empty(0), np.empty(0), np.empty(0))
    table = summarise([*heads, empty])
    assert table["chamfer_l1_mm"] == {"n": 10, "mean": 5.5, "median": 5.5, "p90": pytest.approx(9.1)}
    assert table["normal_consistency"]["p90"] == pytest.approx(0.909)  # the bad end, not the good one
    lines = markdown_table({"ours": heads, "mean head": heads[5:]}).splitlines()
    assert len(lines) == 4 and lines[2].startswith("| ours | 10 | 5.500 / 5.500 / 9.100 |")
