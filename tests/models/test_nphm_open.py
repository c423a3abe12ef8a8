"""NPHM with an open canonical mouth: the field's own space, the head at rest as a deformation, the protocol of both."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from seeded import seeded

from headfield import frames
from headfield.edit.operations import swap
from headfield.errors import ConfigError
from headfield.fit.derivatives import by_autograd
from headfield.models import release
from headfield.models.nphm.config import NphmConfig, nphm_tiny, with_open_mouth
from headfield.models.nphm.open_mouth import OpenNphm, nphm_model
from headfield.models.protocol import CAPABILITIES, HeadModel, Reposed, lacks
from headfield.surface.head import Head
from headfield.surface.inverse_warp import follow, from_canonical
from headfield.types import ARKIT, Codes

OPEN = torch.tensor([[float(name == "jawOpen") for name in ARKIT]]).double()


def made(strong: float = 0.03, **changes) -> OpenNphm:
    """Random weights in double precision; the way from the open mouth to rest is about `strong`, and 2 at most."""
    torch.manual_seed(seeded(0))
    model = nphm_model(with_open_mouth(replace(nphm_tiny(), **changes))).double()
    with torch.no_grad():
        model.landmarks[-1].weight.normal_(std=0.02)
        points = torch.rand(1, 500, 3).double() - 0.5
        condition = model.condition(codes_of(model, 0.0))
        shift = model.from_field(points, condition) - points
        model.deformer.mlp.last *= strong / shift.norm(dim=-1).mean()
    return model


def codes_of(model, weight: float | None = 1.0) -> Codes:
    """One head with an expression, `weight` times a random one; None gives none."""
    draws = torch.Generator().manual_seed(seeded(4))
    identity = 0.5 * torch.randn(1, model.config.identity, generator=draws).double()
    played = torch.rand(1, model.config.expression, generator=draws).double()
    return Codes(identity, None if weight is None else weight * played)


def places(count: int = 60) -> torch.Tensor:
    return 0.8 * torch.rand(1, count, 3, generator=torch.Generator().manual_seed(seeded(5))).double() - 0.4


def test_the_field_is_the_open_face_and_the_face_at_rest_is_a_deformation():
    model, points = made(), places()
    codes = codes_of(model)
    field = model.at_rest(points, model.field_condition(codes.identity), keep=False)[0]
    opened = replace(codes, expression=OPEN)
    assert torch.equal(model.signed_distance(points, opened), field)  # nothing is deformed
    none, zeros = replace(codes, expression=None), replace(codes, expression=0 * codes.expression)
    for posed in (none, zeros, codes):
        there = model.from_field(points, model.condition(posed)).detach()
        assert (there - points).norm(dim=-1).mean() > 0.01
        torch.testing.assert_close(model.signed_distance(there, posed), field, atol=1e-6, rtol=1e-5)
    assert torch.equal(model.signed_distance(points, none), model.signed_distance(points, zeros))
    learned = made(gated=False)
    moved = learned.from_field(points, learned.condition(replace(codes, expression=OPEN))) - points
    assert moved.norm(dim=-1).max() > 1e-3  # without a gate training has to see to it


def test_the_librarys_canonical_space_is_the_head_at_rest():
    model, points = made(), places()
    codes, rest = codes_of(model), codes_of(model, None)
    for at_rest in (rest, codes_of(model, 0.0)):
        assert torch.equal(model.to_canonical(points, at_rest)[0], points)
        assert torch.equal(model.from_canonical(points, at_rest), points)
    home = model.to_field(points, model.condition(rest)).detach()
    posed = model.from_canonical(points, codes).detach()
    torch.testing.assert_close(posed, model.from_field(home, model.condition(codes)).detach(), atol=1e-7, rtol=0)
    torch.testing.assert_close(model.to_canonical(posed, codes)[0].detach(), points, atol=1e-6, rtol=0)
    torch.testing.assert_close(
        model.signed_distance(posed, codes), model.signed_distance(points, rest), atol=1e-5, rtol=0
    )
    opened = replace(codes, expression=OPEN)  # where no deformer is asked
    torch.testing.assert_close(model.from_canonical(points, opened).detach(), home, atol=1e-7, rtol=0)
    there = model.between_poses(posed, codes, opened).detach()
    torch.testing.assert_close(there, home, atol=1e-6, rtol=0)
    anchors = model.anchors(rest)
    wanted = model.from_field(model.field_anchors(rest.identity), model.condition(rest))
    torch.testing.assert_close(anchors, wanted)
    assert (anchors - model.field_anchors(rest.identity)).norm(dim=-1).max() > 0.01
    weights = model.blend_weights(points, model.condition(codes))
    plain = model.ensemble.weights(home, model.field_anchors(rest.identity)).weights[..., :39]
    torch.testing.assert_close(weights, plain, atol=1e-5, rtol=1e-4)


def test_the_warps_derivatives_are_those_of_finite_differences():
    model, points = made(), places(15)[0]
    codes, step = codes_of(model), 1e-5
    for posed in (codes, replace(codes, expression=OPEN), codes_of(model, None)):
        condition = model.condition(posed)
        rest, backward = model.warp_and_jacobian(points, condition)
        torch.testing.assert_close(rest, model.to_canonical(points[None], condition)[0][0])
        forward = model.forward_jacobian(points[None], condition)[0]
        for axis in range(3):
            move = step * torch.eye(3).double()[axis]
            ahead, behind = (model.to_canonical((points + s * move)[None], condition)[0][0] for s in (1, -1))
            torch.testing.assert_close(backward[:, :, axis], (ahead - behind) / (2 * step), atol=1e-3, rtol=1e-3)
            ahead, behind = (model.from_canonical((points + s * move)[None], condition)[0] for s in (1, -1))
            torch.testing.assert_close(forward[:, :, axis], (ahead - behind) / (2 * step), atol=1e-3, rtol=1e-3)


def test_derivatives_for_fits_are_those_of_autograd():
    model, points = made(), places(20)[0]
    for codes in (
        codes_of(model),
        codes_of(model, 0.0),
        replace(codes_of(model), expression=OPEN),
        codes_of(model, None),
    ):
        exact, found = model.value_and_jacobian(points, codes), by_autograd(model, points, codes)
        for name in ("value", "gradient", "identity", "expression")[: 3 + (codes.expression is not None)]:
            torch.testing.assert_close(getattr(exact, name), getattr(found, name), atol=2e-5, rtol=1e-3, msg=name)
        value, gradient = model.value_and_gradient(points[None], codes)
        torch.testing.assert_close(value[0], exact.value)
        torch.testing.assert_close(gradient[0], exact.gradient)
        assert (exact.expression.abs().max() > 1e-4) == (codes.expression is not None)  # none was asked for
    size = model.config.identity
    mean, spread = torch.randn(size).double(), torch.randn(size, size).double() / math.sqrt(size)
    new = codes_of(model)
    old = replace(new, identity=mean + new.identity @ spread.T)
    before = model.signed_distance(points[None], old), model.anchors(old)
    model.recode(mean, spread)
    torch.testing.assert_close(model.signed_distance(points[None], new), before[0], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(model.anchors(new), before[1])


def test_it_keeps_every_protocol_and_material_points_are_followed():
    model = made().float().requires_grad_(False)
    assert isinstance(model, HeadModel) and not lacks(model, Reposed)
    assert all(lacks(model, capability) == () for capability in CAPABILITIES)
    codes = Codes(codes_of(model).identity.float(), codes_of(model).expression.float())
    rest = places()[0].float().numpy()
    found = from_canonical(model, rest, codes)
    back, jacobian = model.warp_and_jacobian(torch.from_numpy(found.points).float(), model.condition(codes))
    np.testing.assert_allclose(back.numpy(), rest, atol=3e-5)
    np.testing.assert_allclose(found.determinant, torch.linalg.det(jacobian).numpy(), rtol=1e-2)
    opened = replace(codes, expression=OPEN.float())
    there = follow(model, rest, found.points, codes, opened)
    np.testing.assert_allclose(there.points, from_canonical(model, rest, opened).points, atol=3e-5)


def test_lips_that_touch_at_rest_keep_their_side_from_pose_to_pose():
    """Two places of the open field come to one at rest: a warp that lowers, and at rest closes, what is below a lip."""
    model = made()

    def lips(points, condition):
        side = torch.tanh(40 * points[..., 1:2])  # -1 below the slit, +1 above it
        share = 1.0 if condition.expressed is None else (0.0 if condition.expressed is condition.resting else 0.4)
        return points - 0.04 * (1 - share) * side * torch.tensor([0.0, 1.0, 0.0]).double()

    codes, opened = codes_of(model), replace(codes_of(model), expression=OPEN)
    rest, half, whole = (model.condition(c) for c in (codes_of(model, None), codes, opened))
    edge = torch.tensor([[[0.1, 0.0393, 0.2], [0.1, -0.0393, 0.2]]]).double()  # of the open field
    upper, lower = lips(edge, rest)[0]
    assert (upper - lower).norm() < 0.006  # they touch
    model.from_field = lips
    model.field_jacobian = lambda points, condition: torch.autograd.functional.jacobian(
        lambda x: lips(x, condition).sum((0, 1)), points
    ).permute(1, 2, 0, 3)
    model._forward = lambda x, head, expressed: lips(x, replace(half, expressed=expressed))
    posed = lips(edge, half)
    torch.testing.assert_close(model.between_poses(posed, half, whole), edge, atol=1e-4, rtol=0)


def test_edits_stay_local_and_files_bring_the_same_model(tmp_path):
    model = made().float()
    draws = torch.randn(2, model.config.identity, generator=torch.Generator().manual_seed(seeded(6)))
    one, two = (Head(model, Codes(0.5 * z[None])) for z in draws)
    swapped = swap(one, two, "nose")
    points = np.random.default_rng(seeded(0)).uniform(-0.5, 0.5, (1500, 3)).astype(np.float32)
    before, after = one.signed_distance(points), swapped.signed_distance(points)
    weight = model.blend_weights(torch.from_numpy(points)[None], model.condition(one.codes))[0]
    parts = [k for k, name in enumerate(frames.ANCHOR_NAMES) if "nose" in name]
    without = (weight[:, parts] == 0).all(1).numpy()
    assert without.mean() > 0.4 and np.abs(before - after).max() > 1e-3
    np.testing.assert_array_equal(before[without], after[without])
    release.write(tmp_path / "open", model, "A test.", {})
    again = release.load(tmp_path / "open")
    assert isinstance(again, OpenNphm) and again.fingerprint == model.fingerprint
    query = torch.from_numpy(points)[None, :200]
    torch.testing.assert_close(again.signed_distance(query, one.codes), model.signed_distance(query, one.codes))
    assert model.weights_by_use()[1] == {}  # a head at rest depends on everything
    neutral = nphm_model(nphm_tiny())
    neutral.load_state_dict(model.state_dict())
    assert str(neutral.fingerprint) != str(model.fingerprint)


def test_what_has_no_meaning_is_refused():
    with pytest.raises(ConfigError, match="canonical is 'shut': choose neutral or open"):
        NphmConfig(canonical="shut")
    with pytest.raises(ConfigError, match="opened by jawOpen, .* 'learned'"):
        NphmConfig(canonical="open", expression=200, expression_names="learned")
    assert NphmConfig().canonical_expression is None
    assert NphmConfig(canonical="open").canonical_expression[ARKIT.index("jawOpen")] == 1.0
