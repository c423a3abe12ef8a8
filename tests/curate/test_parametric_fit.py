"""The parametric fit: its slope is that of its cost, it finds heads it can say, and says what it was not given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from seeded import seeded

from headfield.curate.parametric_fit import fit_parametric
from headfield.curate.parametric_options import ParametricOptions
from headfield.curate.parametric_problem import ParametricProblem, ScanState
from headfield.curate.parametric_target import ScanTarget, view_of
from headfield.errors import ConfigError, DataError, ScanError
from headfield.fit.placement import Placement
from headfield.parametric.normalise import normalising_similarity
from headfield.parametric.topology import vertex_normals
from headfield.surface.nearest import Target, sample_surface
from headfield.types import ARKIT, Mesh, Scan, Similarity


@pytest.fixture(scope="module")
def ict():
    """ICT-FaceKit, or a skip."""
    pytest.importorskip("igl", reason="needs libigl")
    from headfield.synth.person import family

    try:
        return family("ict")[0]
    except DataError as error:
        pytest.skip(str(error))


def jittered(similarity: Similarity, rng, turn=0.06, shift=0.03, size=0.03) -> Similarity:
    """A similarity that is a little wrong."""
    rotation = Rotation.from_rotvec(turn * rng.standard_normal(3)).as_matrix()
    return Similarity(rotation, shift * rng.standard_normal(3), float(np.exp(size * rng.standard_normal()))).after(
        similarity
    )


def scanned(head, identity, expression=None, seed=0, count=5000, pose=None):
    """A scan in millimetres, turned anyhow, of what can be seen of a head; its true placement; its landmarks."""
    rng = np.random.default_rng(seeded(seed))
    raw = head.raw_vertices(identity, expression, pose)
    outer = ~head.interior & ~head.cap
    lips = head.landmark_vertices[48:60]
    outer |= np.isin(head.triangles, lips).any(1)
    places = sample_surface(Mesh(raw, head.triangles), count, rng, outer)
    points = places.points + 1e-4 * rng.standard_normal((count, 1)) * places.normals
    turn = Rotation.random(random_state=seeded(seed)).as_matrix()
    to_scan = Similarity(turn, 300 * rng.standard_normal(3), 1000.0)
    truth = normalising_similarity(head.anchors(head.raw_vertices(identity))).after(to_scan.inverse())
    scan = Scan(to_scan.apply(points), to_scan.rotate(places.normals), name=f"scan{seed}", units="mm")
    return scan, truth, to_scan.apply(head.landmarks68(raw))


def target_of(scan, similarity, **more):
    return ScanTarget(scan, Placement(similarity, "mm", 0.0, 0.0), **more)


def smile(**others):
    expression = np.zeros(52)
    for name, value in ({"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8, "jawOpen": 0.4} | others).items():
        expression[ARKIT.index(name)] = value
    return expression


@pytest.fixture(scope="module")
def person(ict):
    """An identity, its smiling scan, the scan's true placement and landmarks."""
    identity = 0.8 * ict.draw_identity(np.random.default_rng(seeded(42)))
    return identity, *scanned(ict, identity, smile())


def problem_of(head, targets, options):
    prior = head.identity_prior()
    raw = head.raw_vertices(prior.mean)
    mean = normalising_similarity(head.anchors(raw)).apply(raw)
    normals = vertex_normals(mean, head.triangles)
    views = [view_of(target, mean, normals, options.points) for target in targets]
    return ParametricProblem(head, views, options)


def test_slope_of_the_equations_is_that_of_the_cost(ict, person):
    _, scan, truth, landmarks = person
    rng = np.random.default_rng(seeded(0))
    options = ParametricOptions(points=600, landmark_gate=1.0, normal_gate=180.0)
    targets = [target_of(scan, jittered(truth, rng), landmarks=landmarks) for _ in range(2)]
    problem = problem_of(ict, targets, options)
    identity = 0.5 * rng.standard_normal(ict.n_identity)
    states = [ScanState(start, 0.3 * ict.expression_mask, 0.05 * rng.standard_normal(3)) for start in problem.start]
    problem.look(identity, states)
    some = [0, 30, *range(100, 107), 108, 110, 114, 116, 120 + ARKIT.index("jawOpen"), 172 + 1]

    def changed(which: int, change: float):
        moved, new = identity.copy(), list(states)
        at = which - problem.n_shared
        if at < 0:
            moved[which] += change
        elif at < 2 * problem.n_view:
            view, k = divmod(at, problem.n_view)
            step = change * np.eye(problem.n_view)[k]
            state = states[view]
            new[view] = replace(state, similarity=problem.moved(state.similarity, step[:7]), pose=state.pose + step[7:])
        else:
            view, k = divmod(at - 2 * problem.n_view, 52)
            new[view] = replace(states[view], expression=states[view].expression + change * np.eye(52)[k])
        return moved, new

    # a point whose closest triangle or gate changes within a difference has no slope there, and one far beside its
    # plane is drawn to the plane while its cost is the distance: those are left out
    here = problem.lines(identity, states)
    steady = [np.ones(len(line.residual), dtype=bool) for line in here]
    for which in some:
        for change in (1e-4, -1e-4):
            at = changed(which, change)
            for keep, before, after, state in zip(steady, here, problem.lines(*at), at[1]):
                foot = (after.barycentric[..., None] * problem.vertices(at[0], state)[after.corners]).sum(1)
                off_plane = np.abs(((after.placed - foot) * after.direction).sum(1) - after.residual)
                keep &= (after.corners == before.corners).all(1) & (after.passed == before.passed) & (off_plane < 1e-9)
    assert min(keep.mean() for keep in steady) > 0.8
    problem.views = [
        replace(view, points=view.points[keep], normals=view.normals[keep]) for view, keep in zip(problem.views, steady)
    ]
    lines = problem.lines(identity, states)
    held = problem.weigh(lines, states, 0.5)  # so wide that no residual is near its flat end
    _, slope = problem.equations(identity, states, lines, held)

    def cost(which: int, change: float) -> float:
        at = changed(which, change)
        return problem.cost(*at, problem.lines(*at), held)

    expected = np.array([(cost(k, 1e-4) - cost(k, -1e-4)) / 2e-4 for k in some])
    assert np.allclose(slope[some], expected, rtol=0.01, atol=2e-6 * np.abs(expected).max()), np.column_stack(
        [slope[some], expected]
    )


def test_a_head_that_the_family_can_say_is_found(ict, person):
    identity, scan, truth, _ = person
    fit = fit_parametric(ict, [target_of(scan, jittered(truth, np.random.default_rng(seeded(1))))])
    found = fit.scans[0]
    assert np.median(np.abs(found.distances)) < 0.15 and found.explained.mean() > 0.9
    raw = ict.raw_vertices(identity, smile())
    true_mm = (raw - raw.mean(0)) * 1000
    in_scan = found.placement.similarity.inverse().apply(found.vertices)
    placed = Similarity.between(true_mm, in_scan).apply(true_mm)  # both in the scan's frame
    error = np.linalg.norm(in_scan - placed, axis=1)[ict.face_mask]
    assert np.median(error) < 1.0  # the same place, not only the same surface
    weights = dict(zip(ARKIT, found.expression))
    assert weights["mouthSmileLeft"] > 0.5 and weights["jawOpen"] > 0.2
    assert (found.expression >= 0).all() and (found.expression <= 1).all() and found.expression[-1] == 0
    neutral = normalising_similarity(ict.anchors(fit.neutral))
    np.testing.assert_allclose(neutral.matrix(), np.eye(4), atol=1e-6)  # the model frame
    assert found.placement.units == "mm" and abs(found.placement.size_log) < 0.3


def test_the_answer_hangs_on_neither_the_sign_of_normals_nor_the_frame(ict, person):
    _, scan, truth, _ = person
    options = ParametricOptions(points=1200, iterations=13)
    start = jittered(truth, np.random.default_rng(seeded(1)))
    plain = fit_parametric(ict, [target_of(scan, start)], options)
    inward = fit_parametric(ict, [target_of(replace(scan, normals=-scan.normals), start)], options)
    np.testing.assert_allclose(inward.identity, plain.identity, atol=1e-9)
    turned = Similarity(Rotation.from_rotvec([1.0, -2.0, 0.5]).as_matrix(), np.array([7.0, 8.0, 9.0]), 1.0)
    moved = replace(scan, points=turned.apply(scan.points), normals=turned.rotate(scan.normals))
    other = fit_parametric(ict, [target_of(moved, start.after(turned.inverse()))], options)
    # the lattice that thins the points is another one, the head is the same
    assert np.median(np.linalg.norm(other.neutral - plain.neutral, axis=1)) < 0.006
    bare = fit_parametric(ict, [target_of(replace(scan, normals=None), start)], options)
    assert np.median(np.linalg.norm(bare.neutral - plain.neutral, axis=1)) < 0.006


def test_scans_of_one_person_share_the_identity_and_the_size(ict, person):
    identity, scan, truth, _ = person
    calm, calm_truth, _ = scanned(ict, identity, None, seed=5)
    rng = np.random.default_rng(seeded(2))
    options = ParametricOptions(points=1500, iterations=16)
    targets = [target_of(scan, jittered(truth, rng)), target_of(calm, jittered(calm_truth, rng))]
    fit = fit_parametric(ict, targets, options)
    assert len(fit.scans) == 2
    sizes = [found.placement.size_log for found in fit.scans]
    assert abs(sizes[0] - sizes[1]) < 0.004
    assert all(np.median(np.abs(found.distances)) < 0.25 for found in fit.scans)
    assert fit.scans[1].expression.sum() < 0.5 < fit.scans[0].expression.sum()


def test_a_turn_of_the_head_is_placement_and_only_the_neck_bends(ict):
    identity = 0.7 * ict.draw_identity(np.random.default_rng(seeded(4)))
    turn = np.array([0.0, 0.25, 0.0])
    scan, truth, _ = scanned(ict, identity, seed=4, count=6000, pose=turn)
    fit = fit_parametric(ict, [target_of(scan, truth)], ParametricOptions(points=3000))
    found = fit.scans[0]
    assert abs(found.pose[1] - 0.25) < 0.12 and np.median(np.abs(found.distances)) < 0.2
    skull = ict.turning_share == 1
    off = np.linalg.norm(found.vertices - fit.neutral, axis=1)
    assert off[skull & ict.face_mask].max() < 0.02 < off[ict.turning_share < 0.2].max()
    at_rest = fit.mesh().transformed(found.placement.similarity.inverse())
    posed = Target(Mesh(at_rest.vertices, at_rest.triangles))
    face = found.placement.similarity.inverse().apply(found.vertices[ict.face_mask])
    assert np.median(posed.closest(face)[0]) < 0.5  # millimetres: the head at rest lies on the scan's face


def test_landmarks_lead_where_the_start_is_far_off_and_missing_ones_are_left_out(ict, person):
    _, scan, truth, landmarks = person
    far = Similarity(Rotation.from_rotvec([0.0, 0.45, 0.0]).as_matrix(), np.array([0.1, 0.05, 0.05]), 1.0).after(truth)
    rng = np.random.default_rng(seeded(3))
    seen = landmarks + 2.0 * rng.standard_normal((68, 3))
    seen[:20], confidence = np.nan, np.ones(68)
    seen[30] += 80.0  # an outlier that nobody believes
    confidence[30] = 0.05
    options = ParametricOptions(points=2000, landmark_sigma=0.008, landmark_gate=0.1, rigid_steps=5)
    led = fit_parametric(ict, [target_of(scan, far, landmarks=seen, confidence=confidence)], options)
    found = led.scans[0]
    assert np.median(np.abs(found.distances)) < 0.3
    assert np.isnan(found.landmark_mm[:20]).all() and np.nanmedian(found.landmark_mm) < 5.0
    assert found.landmark_mm[30] > 50


def test_neutral_and_upright_when_told_so(ict, person):
    _, scan, truth, _ = person
    options = ParametricOptions(points=1000, iterations=8, expression="neutral", pose=False)
    found = fit_parametric(ict, [target_of(scan, truth)], options).scans[0]
    assert not found.expression.any() and not found.pose.any()


def test_a_scan_that_is_known_to_be_neutral_keeps_no_expression(ict, person):
    _, scan, truth, _ = person
    targets = [target_of(scan, truth, at_rest=True), target_of(scan, truth)]
    fit = fit_parametric(ict, targets, ParametricOptions(points=800, iterations=8))
    assert not fit.scans[0].expression.any() and fit.scans[1].expression.any()


def test_body_and_strays_do_not_pull(ict):
    identity = 0.7 * ict.draw_identity(np.random.default_rng(seeded(8)))
    scan, truth, _ = scanned(ict, identity, seed=8, count=4000)
    rng = np.random.default_rng(seeded(0))
    back = truth.inverse()
    chest = back.apply(
        np.stack([rng.uniform(-0.8, 0.8, 2500), rng.uniform(-1.2, -0.7, 2500), 0.05 * rng.standard_normal(2500)], 1)
    )
    strays = back.apply(rng.uniform(-0.6, 0.8, (150, 3)))
    normals = rng.standard_normal((2650, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    cluttered = replace(
        scan, points=np.concatenate([scan.points, chest, strays]), normals=np.concatenate([scan.normals, normals])
    )
    fit = fit_parametric(ict, [target_of(cluttered, jittered(truth, rng))], ParametricOptions(points=3000))
    in_scan = fit.mesh(0).transformed(fit.scans[0].placement.similarity.inverse())
    assert np.median(Target(in_scan).closest(scan.points)[0]) < 0.2


def test_bad_input_is_refused_with_what_to_do(ict, person):
    _, scan, truth, landmarks = person
    with pytest.raises(ConfigError, match="at least one target"):
        fit_parametric(ict, [])
    elsewhere = Similarity(np.eye(3), np.array([50.0, 0, 0]), 1.0).after(truth)
    with pytest.raises(ScanError, match=r"scan0: 0 of 5000 points lie around.*own unit"):
        fit_parametric(ict, [target_of(scan, elsewhere)])
    with pytest.raises(ScanError, match=r"landmarks of shape \(67, 3\).*expected \(68, 3\)"):
        fit_parametric(ict, [target_of(scan, truth, landmarks=landmarks[:67])])
    nothing = replace(scan, points=np.full_like(scan.points, np.nan))
    with pytest.raises(ScanError, match="0 of 5000"):
        fit_parametric(ict, [target_of(nothing, truth)])
    broken = replace(scan, normals=np.full_like(scan.normals, np.nan))
    options = ParametricOptions(points=800, iterations=3)
    assert np.isfinite(fit_parametric(ict, [target_of(broken, truth)], options).identity).all()
