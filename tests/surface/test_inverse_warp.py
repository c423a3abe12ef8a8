"""The inverse of the backward warp, against the warp itself, finite differences and a warp known to fold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from headfield.surface.inverse_warp import TOLERANCE, Unwarped, follow, from_canonical
from headfield.types import ARKIT


@pytest.fixture(scope="module")
def points():
    """Places in and around the face and the skull, clear of the lips' seam, model units."""
    rng = np.random.default_rng(0)
    spread = rng.uniform((-0.35, -0.1, -0.6), (0.35, 0.6, 0.25), (600, 3))
    cheeks = rng.uniform((-0.3, -0.25, 0.0), (0.3, 0.0, 0.2), (300, 3))
    return np.concatenate([spread, cheeks]).astype(np.float32)


def posed(bald, **weights):
    expression = torch.zeros(1, len(ARKIT))
    for name, weight in weights.items():
        expression[0, ARKIT.index(name)] = weight
    return replace(bald.codes, expression=expression)


def warped(bald, where, codes):
    with torch.no_grad():
        return bald.model.to_canonical(torch.as_tensor(where, dtype=torch.float32)[None], codes)[0][0].numpy()


EXPRESSIONS = [
    {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0},
    {"browInnerUp": 1.0, "cheekPuff": 0.7},
    {"jawOpen": 0.6, "mouthPucker": 0.4, "eyeBlinkLeft": 0.5},
]


@pytest.mark.parametrize("weights", EXPRESSIONS)
def test_warp_of_the_inverse_and_inverse_of_the_warp_are_the_identity(bald, points, weights):
    codes = posed(bald, **weights)
    found = from_canonical(bald.model, points, codes)
    there = np.linalg.norm(warped(bald, found.points, codes) - points, axis=1)
    solved = found.residual <= TOLERANCE
    assert solved.mean() > 0.97
    assert there[solved].max() <= TOLERANCE + 1e-6
    np.testing.assert_allclose(there, found.residual, atol=2e-6)  # what is left is what is said to be left
    assert np.abs(found.points - points).max() > 5e-3  # the expression does something here

    back = from_canonical(bald.model, warped(bald, points, codes), codes)
    home = np.linalg.norm(back.points - points, axis=1)
    sure = (back.residual <= TOLERANCE) & (back.determinant > 0.2)
    assert sure.mean() > 0.9 and np.percentile(home[sure], 99) < 1e-3


def test_without_expression_points_come_back_as_they_are(bald, points):
    for codes in (bald.codes, posed(bald)):
        found = from_canonical(bald.model, points, codes)
        np.testing.assert_array_equal(found.points.astype(np.float32), points)
        assert (found.determinant == 1).all() and (found.residual == 0).all() and found.evaluations == 0


def test_jacobian_against_finite_differences(bald, points):
    codes = posed(bald, jawOpen=0.7, mouthSmileLeft=0.5)
    condition = bald.model.condition(codes)
    double = bald.model.deformer  # float32 network: central differences with a step that balances both errors
    where, step = torch.as_tensor(points[600::3]), 2e-3
    with torch.no_grad():
        _, jacobian = bald.model.warp_and_jacobian(where, condition)
        columns = []
        for axis in range(3):
            shift = torch.zeros(3)
            shift[axis] = step
            ahead, behind = (p + double(p[None], condition.expressed)[0][0] for p in (where + shift, where - shift))
            columns.append((ahead - behind) / (2 * step))
    numeric = torch.stack(columns, dim=2)
    assert float((jacobian - torch.eye(3)).abs().max()) > 0.3
    assert float((jacobian - numeric).abs().quantile(0.99)) < 2e-2
    assert float((jacobian - numeric).abs().median()) < 5e-4
    assert float((jacobian.transpose(1, 2) - numeric).abs().max()) > 0.3  # and not its transpose


def test_determinants_are_those_of_the_warp(bald, points):
    codes = posed(bald, jawOpen=1.0)
    found = from_canonical(bald.model, points, codes)
    with torch.no_grad():
        at = torch.as_tensor(found.points, dtype=torch.float32)
        _, jacobian = bald.model.warp_and_jacobian(at, bald.model.condition(codes))
    exact = torch.linalg.det(jacobian).numpy()
    rough = np.linalg.norm((jacobian - torch.eye(3)).numpy(), axis=(1, 2)) > 0.4
    assert rough.any()
    np.testing.assert_allclose(found.determinant[rough], exact[rough], atol=2e-3)
    np.testing.assert_allclose(found.determinant, exact, atol=0.15)
    np.testing.assert_array_equal(found.determinant <= 0, exact <= 0)


class Folding:
    """Stands in for a model: x_can = x - 0.3 sin(10 x) / 2 in x, which folds; and the identity in y and z."""

    name, closed_form = "folding", "backward"

    def condition(self, codes):
        return float(codes.expression[0, 0])

    def along(self, x, weight):
        """x_can and its derivative, of x alone."""
        return x - weight * 0.15 * torch.sin(10 * x), 1 - weight * 1.5 * torch.cos(10 * x)

    def to_canonical(self, points, condition):
        canonical = points.clone()
        canonical[..., 0] = self.along(points[..., 0], condition)[0]
        return canonical, points.new_zeros(*points.shape[:-1], 0)

    def warp_and_jacobian(self, points, condition):
        jacobian = torch.eye(3, dtype=points.dtype).repeat(len(points), 1, 1)
        jacobian[:, 0, 0] = self.along(points[:, 0], condition)[1]
        return self.to_canonical(points, condition)[0], jacobian


def test_folds_are_reported_and_branches_followed(bald):
    codes = posed(bald, **{ARKIT[0]: 1.0})
    model = Folding()
    # three points of x have x_can = 0; the one at 0 is on the sheet that is folded over
    middle = from_canonical(model, np.zeros((1, 3)), codes, start=np.zeros((1, 3)), continuation=0)
    assert middle.determinant[0] == pytest.approx(1 - 1.5, abs=1e-5) and middle.residual[0] == 0
    assert middle.report()["folded"] == 1.0 and middle.report()["solved"] == 1.0
    outer = np.array([[0.14, 0.0, 0.0], [-0.14, 0.0, 0.0]])
    found = from_canonical(model, np.zeros((2, 3)), codes, start=outer)
    assert (found.determinant > 0).all() and (np.sign(found.points[:, 0]) == [1, -1]).all()
    # along the way from half the weight each point keeps to its own side
    half = posed(bald, **{ARKIT[0]: 0.8})
    known = from_canonical(model, np.zeros((2, 3)), half, start=outer)
    kept = follow(model, np.zeros((2, 3)), known.points, half, codes)
    np.testing.assert_allclose(kept.points, found.points, atol=1e-4)


def test_where_nothing_solves_the_best_is_kept_and_said(bald):
    class Nowhere(Folding):
        def along(self, x, weight):
            return 0.1 + x**2, 2 * x  # x_can >= 0.1

    found = from_canonical(Nowhere(), np.zeros((1, 3)), posed(bald, **{ARKIT[0]: 1.0}), start=np.full((1, 3), 0.2))
    assert 0.1 <= found.residual[0] < 0.11 and found.report()["solved"] == 0.0


def test_a_batch_of_heads_is_refused(bald):
    two = replace(bald.codes, identity=bald.codes.identity.repeat(2, 1))
    with pytest.raises(ValueError, match="one head"):
        from_canonical(bald.model, np.zeros((1, 3)), two)


def test_some_points_taken_from_another_answer():
    one = Unwarped(np.zeros((3, 3)), np.ones(3), np.ones(3), 5)
    other = Unwarped(np.ones((1, 3)), np.zeros(1), np.full(1, 0.5), 2)
    both = one.with_points(np.array([1]), other)
    assert both.points[1, 0] == 1 and both.residual.tolist() == [1, 0, 1] and both.evaluations == 7
    assert one.points.sum() == 0
