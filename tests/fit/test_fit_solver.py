"""The solver's laws: Jacobians, recovery, robustness, bounds, determinism."""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from seeded import seeded
from stub_head import StubHead, surface_of

from headfield.fit.adam import AdamSchedule, solve_adam
from headfield.fit.choose import best_component
from headfield.fit.expression import secants
from headfield.fit.gate import HAIR_PARTS
from headfield.fit.normal_equations import CENTRE, Cloud, ViewState, linearise, model_anchors
from headfield.fit.problem import SolverOptions, View, on_face, trust_in
from headfield.fit.solver import _moved, solve
from headfield.models.prior import Gaussian, Prior
from headfield.types import Codes, Similarity

NEUTRAL = SolverOptions(expression="neutral")


def _code(stub, seed, scale=1.0):
    return scale * np.random.default_rng(seeded(seed)).standard_normal(stub.config.identity)


def _codes(identity, expression=None):
    tensor = torch.from_numpy(identity).float()[None]
    return Codes(tensor, None if expression is None else torch.tensor([expression], dtype=torch.float32))


def _view(points, similarity=None, log_scale=0.0):
    return View(Cloud.of(points), similarity or Similarity(), log_scale)


def _standard(size):
    return Gaussian.of(np.zeros(size))


def _nudge(angle=0.06, shift=0.02, scale=1.02):
    c, s = np.cos(angle), np.sin(angle)
    return Similarity(np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]), np.array([shift, -shift, 0.5 * shift]), scale)


def test_pose_steps_and_the_jacobian_agree_on_the_neural_model():
    from headfield.models.imhead.config import imhead_tiny
    from headfield.models.imhead.model import ImHead

    torch.manual_seed(seeded(0))
    model = ImHead(imhead_tiny())
    with torch.no_grad():  # an untrained head is a sphere; give its codes and features a say
        for parameter in model.parameters():
            parameter.add_(0.03 * torch.randn_like(parameter))
    rng = np.random.default_rng(seeded(0))
    points = rng.uniform(-0.3, 0.3, (6, 3)) + CENTRE
    identity = 0.3 * rng.standard_normal(model.config.identity)
    expression = rng.uniform(0.2, 0.6, model.config.expression)
    state = ViewState(_nudge(), expression)
    line = linearise(model, identity, state, points)
    slope = np.linalg.norm(line.gradient, axis=1)  # residual and Jacobian are divided by the raw slope, clipped
    assert ((slope > 0.3) & (slope < 2.1)).all()

    def raw(new_identity, new_state):
        from headfield.fit.normal_equations import codes_of

        placed = torch.from_numpy(new_state.similarity.apply(points)).float()
        with torch.no_grad():
            return model.signed_distance(placed[None], codes_of(model, new_identity, new_state.expression))[0].numpy()

    value = raw(identity, state)
    factor = line.residual / value
    d, step = len(identity), 1e-2
    for k in rng.choice(d, 4, replace=False):
        unit = np.eye(d)[k] * step
        numeric = (raw(identity + unit, state) - raw(identity - unit, state)) / (2 * step)
        assert line.jacobian[:, k] == pytest.approx(factor * numeric, abs=2e-3), k
    for k in range(7):
        unit = np.eye(7)[k] * 2e-3
        ahead, behind = (ViewState(_moved(state.similarity, sign * unit), expression) for sign in (1, -1))
        numeric = (raw(identity, ahead) - raw(identity, behind)) / 4e-3
        assert line.jacobian[:, d + k] == pytest.approx(factor * numeric, abs=3e-3), k
    for k in (0, 7, 51):
        unit = np.eye(len(expression))[k] * step
        ahead, behind = (ViewState(state.similarity, expression + sign * unit) for sign in (1, -1))
        numeric = (raw(identity, ahead) - raw(identity, behind)) / (2 * step)
        assert line.jacobian[:, d + 7 + k] == pytest.approx(factor * numeric, abs=2e-3), k


def test_noise_does_not_shrink_the_scan(stub):
    """Size and code free, the size hardly known: noise of 1 mm must not make the head larger or smaller."""
    truth = _code(stub, 10, 0.5)
    points, _ = surface_of(stub, _codes(truth), 6000)
    front = points[points[:, 2] > 0.0]
    found = []
    for seed in range(3):
        noisy = front + 0.004 * np.random.default_rng(seeded(seed)).standard_normal(front.shape)
        view = View(Cloud.of(noisy), Similarity(), 0.0, 0.1)
        solution = solve(stub, [view], Gaussian.of(truth), NEUTRAL)
        found.append(np.log(solution.views[0].similarity.scale))
    assert abs(np.mean(found)) < 0.005


def test_a_reference_scale_measures_in_the_scan(stub):
    """Residuals with a reference are those without, in scan units; the size column is their derivative."""
    state, z, step = ViewState(_nudge(), None), _code(stub, 20), np.eye(7)[6] * 1e-3
    points = surface_of(stub, _codes(z), 50)[0] + 0.01
    plain, line = (linearise(stub, z, state, points, reference) for reference in (None, 2.0))
    assert line.residual == pytest.approx(plain.residual * 2.0 / state.similarity.scale)
    ahead, behind = (ViewState(_moved(state.similarity, sign * step), None) for sign in (1, -1))
    values = [linearise(stub, z, s, points, 2.0) for s in (ahead, behind)]
    numeric = (values[0].residual * values[0].slope - values[1].residual * values[1].slope) / 2e-3
    stretch = 2.0 / state.similarity.scale
    raw = (values[0].residual * values[0].slope + values[1].residual * values[1].slope) / 2
    assert line.jacobian[:, -1] * line.slope == pytest.approx(numeric - raw, abs=2e-3 * stretch)


def test_identity_and_placement_are_recovered(stub):
    truth = _code(stub, 1)
    points, _ = surface_of(stub, _codes(truth), 4000)
    nudge = _nudge()
    solution = solve(stub, [_view(nudge.inverse().apply(points), None, 0.0)], _standard(len(truth)), NEUTRAL)
    assert np.abs(solution.residuals[0]).mean() < 0.0004  # 0.1 mm
    assert np.abs(solution.identity - truth).max() < 0.15
    assert solution.iterations <= 20


def test_unseen_parts_follow_the_prior(stub):
    truth = _code(stub, 2)
    points, normals = surface_of(stub, _codes(truth), 5000)
    front = points[points[:, 2] > 0.08]
    mean = np.zeros_like(truth)
    solution = solve(stub, [_view(front)], Gaussian.of(mean), replace(NEUTRAL, solve_placement=False))
    bumps = stub._bumps.numpy()
    behind, ahead = bumps[:, 2] < -0.2, bumps[:, 2] > 0.12
    assert np.abs(solution.identity[behind]).max() < 0.3  # nothing was seen there
    assert np.abs(solution.identity - truth)[ahead].max() < 0.3
    shifted = solve(stub, [_view(front)], Gaussian.of(mean + 1.0), replace(NEUTRAL, solve_placement=False))
    assert np.abs(shifted.identity[behind] - 1.0).max() < 0.3  # the prior's mean is what is left


def test_outliers_are_ignored(stub):
    truth = _code(stub, 3)
    points, _ = surface_of(stub, _codes(truth), 3000)
    rng = np.random.default_rng(seeded(0))
    stray = rng.uniform([-0.6, -0.3, -0.8], [0.6, 0.8, 0.45], (450, 3))
    clean = solve(stub, [_view(points)], _standard(len(truth)), NEUTRAL)
    dirty = solve(stub, [_view(np.concatenate([points, stray]))], _standard(len(truth)), NEUTRAL)
    assert np.abs(clean.identity - dirty.identity).max() < 0.25


def test_secants_are_differences_of_the_field(stub):
    """Beside the skull's, which are zero: (f at half of a channel - f at rest) / half, by brute force."""
    z, points = _code(stub, 21), surface_of(stub, _codes(_code(stub, 21)), 400)[0]
    state = ViewState(Similarity(), np.array([0.0, 0.7, 0.2]))
    line, anchors = linearise(stub, z, state, points), model_anchors(stub, z)
    found = secants(stub, z, state, line, points, anchors)
    here, tensor = torch.from_numpy(state.expression).float()[None], torch.from_numpy(points).float()[None]
    base = stub.signed_distance(tensor, Codes(_codes(z).identity, here))[0]
    skull = HAIR_PARTS[np.argmin(np.linalg.norm(points[:, None] - anchors, axis=2), axis=1)]
    assert 50 < skull.sum() < 350
    for channel, stride in ((0, 0.5), (1, -0.5), (2, 0.5)):
        there = here.clone()
        there[0, channel] += stride
        change = (stub.signed_distance(tensor, Codes(_codes(z).identity, there))[0] - base).numpy() / stride
        assert found[~skull, channel] == pytest.approx((change / line.slope)[~skull], abs=1e-5)
        assert np.abs(change[skull]).max() < 0.05 * np.abs(change).max() and not found[skull].any()


def test_expression_is_found_only_when_there_is_one(stub):
    truth, smile = _code(stub, 4, 0.7), [0.8, 0.6, 0.0]
    neutral, _ = surface_of(stub, _codes(truth), 4000)
    posed, _ = surface_of(stub, _codes(truth, smile), 4000)
    at_rest = solve(stub, [_view(neutral)], _standard(len(truth)), SolverOptions())
    assert at_rest.views[0].expression is None or at_rest.views[0].expression.max() < 0.1
    smiling = solve(stub, [_view(posed)], _standard(len(truth)), SolverOptions())
    assert smiling.views[0].expression == pytest.approx(smile, abs=0.2)
    assert np.abs(smiling.identity - truth).max() < 0.3


def test_expression_stays_in_its_box(stub):
    """A mouth pushed out farther than any weight can: the weight stops at 1."""
    beyond, _ = surface_of(stub, _codes(_code(stub, 5, 0.3), [1.6, 0.0, 0.0]), 4000)
    solution = solve(stub, [_view(beyond)], _standard(stub.config.identity), SolverOptions(expression="fit"))
    expression = solution.views[0].expression
    assert expression.min() >= 0.0 and expression.max() <= 1.0
    assert expression[0] > 0.95


def test_several_scans_share_one_identity(stub):
    truth = _code(stub, 6)
    weights = ([0.0, 0.0, 0.0], [0.8, 0.7, 0.0])
    views = []
    for index, weight in enumerate(weights):
        points, normals = surface_of(stub, _codes(truth, weight), 5000, seed=index)
        keep = normals @ np.array([0.7 - 1.4 * index, 0.0, 0.7]) > 0  # one from the left, one from the right
        views.append(_view(_nudge(0.03 * (1 - 2 * index)).inverse().apply(points[keep])))
    solution = solve(stub, views, _standard(len(truth)), SolverOptions())
    assert len(solution.views) == 2
    front = stub._bumps.numpy()[:, 2] > 0.0
    assert np.abs(solution.identity - truth)[front].max() < 0.3
    assert solution.views[1].expression == pytest.approx(weights[1], abs=0.25)


def test_same_input_same_result(stub):
    points, _ = surface_of(stub, _codes(_code(stub, 7)), 2000)
    first, second = (solve(stub, [_view(points)], _standard(stub.config.identity)) for _ in range(2))
    assert (first.identity == second.identity).all()
    assert first.history == second.history


def test_points_below_the_neck_do_not_count(stub):
    truth = _code(stub, 8)
    points, _ = surface_of(stub, _codes(truth), 3000)
    rng = np.random.default_rng(seeded(1))
    chest = rng.uniform([-0.6, -0.62, -0.6], [0.6, -0.52, 0.2], (2000, 3))
    with_chest = solve(stub, [_view(np.concatenate([points, chest]))], _standard(len(truth)), NEUTRAL)
    assert np.abs(with_chest.identity - truth).max() < 0.25
    index = np.linalg.norm(with_chest.views[0].similarity.translation)
    assert index < 0.01


def test_adam_comes_to_the_same_head(stub):
    truth = _code(stub, 9, 0.6)
    points, _ = surface_of(stub, _codes(truth), 2000)
    view = _view(points)
    fast = solve(stub, [view], _standard(len(truth)), NEUTRAL)
    slow = solve_adam(stub, [view], _standard(len(truth)), NEUTRAL, schedule=AdamSchedule(steps=250, rate=0.04))
    assert np.abs(slow.residuals[0]).mean() < 0.004
    assert np.abs(fast.residuals[0]).mean() <= np.abs(slow.residuals[0]).mean() + 1e-4


def test_hair_grows_only_where_it_is_seen(stub):
    """Two classes that agree on faces: without a sight of the scalp the plainer one wins, with one the right one."""
    size = stub.config.identity
    scalp = stub._bumps.numpy()[:, 2] < -0.05
    tight = np.diag(np.where(scalp, 0.1, 1.0))
    hairy = np.where(scalp, 4.0, 0.0)
    prior = Prior(
        ("all", "bald", "long"),
        torch.from_numpy(np.stack([np.zeros(size), np.zeros(size), hairy])).float(),
        (0.5, 0.5),
        spreads=torch.from_numpy(np.stack([np.eye(size), tight, np.diag(np.where(scalp, 2.0, 1.0))])).float(),
    )
    model = StubHead()
    model.prior = prior
    for truth, name in ((np.where(scalp, 0.0, _code(stub, 11)), "bald"), (hairy + 0.5 * _code(stub, 12), "long")):
        points, _ = surface_of(stub, _codes(truth), 5000)
        assert best_component(model, [_view(points)], SolverOptions())[0] == name
    front = surface_of(stub, _codes(np.where(scalp, 0.0, _code(stub, 13))), 5000)[0]
    front = front[front[:, 2] > 0.05]
    label, chosen = best_component(model, [_view(front)], SolverOptions())
    solution = solve(model, [_view(front)], chosen, NEUTRAL)
    assert label == "bald" and np.abs(solution.identity[scalp]).max() < 0.3


def test_a_misfit_of_the_face_grows_no_hair(stub):
    """A face that a bald class hardly allows, under a scalp that it explains: the class with hair is free enough for
    the face and has the better evidence, but no hair is seen."""
    size = stub.config.identity
    scalp = stub._bumps.numpy()[:, 2] < -0.05
    hairy = np.where(scalp, 4.0, 0.0)
    spreads = np.stack([np.eye(size), np.diag(np.where(scalp, 0.1, 0.2)), np.diag(np.full(size, 3.0))])
    prior = Prior(
        ("all", "bald", "long"),
        torch.from_numpy(np.stack([np.zeros(size), np.zeros(size), hairy])).float(),
        (0.5, 0.5),
        spreads=torch.from_numpy(spreads).float(),
    )
    model = StubHead()
    model.prior = prior
    code = _code(stub, 15)
    points, _ = surface_of(stub, _codes(np.where(scalp, 0.05, 2.0) * code), 5000)
    assert best_component(model, [_view(points)], SolverOptions())[0] == "bald"
    points, _ = surface_of(stub, _codes(np.where(scalp, hairy, 2.0 * code)), 5000)
    assert best_component(model, [_view(points)], SolverOptions())[0] == "long"


def test_a_scalp_alone_has_no_expression(stub):
    """No muscle moves a skull; a deep network would not even take an empty list of points."""
    z = np.zeros(stub.config.identity)
    anchors = model_anchors(stub, z)
    points = anchors[HAIR_PARTS] + 0.01
    state = ViewState(Similarity(), None)
    line = linearise(stub, z, state, points)
    with patch.object(stub, "signed_distance", side_effect=AssertionError("nothing is evaluated there")):
        found = secants(stub, z, state, line, points, anchors)
    assert found.shape == (len(points), stub.config.expression) and not found.any()


def test_observations_count_surface_not_points(stub):
    """Ten times the points on the same surface tell hardly more; half the surface tells half."""
    points, _ = surface_of(stub, _codes(_code(stub, 14)), 20_000)
    anchors = model_anchors(stub, _code(stub, 14))
    options = SolverOptions(patch=0.1, face_patch=0.1)

    def told(which):
        view = _view(which)
        return trust_in(view, options, on_face(view, anchors))

    few, many, half = told(points[:2000]).sum(), told(points).sum(), told(points[points[:, 0] > 0]).sum()
    assert few < many < 1.3 * few
    assert half == pytest.approx(0.5 * many, rel=0.1)
