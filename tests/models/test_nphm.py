"""NPHM: published sizes, the field against its equations written out, the warp and its way back, derivatives, edits."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from seeded import seeded

from headfield import frames
from headfield.edit.operations import swap
from headfield.fit.derivatives import by_autograd
from headfield.models.nphm.config import nphm, nphm_small, nphm_tiny
from headfield.models.nphm.model import Nphm
from headfield.nn.mlp import GroupedMLP
from headfield.nn.root_finding import broyden
from headfield.surface.head import Head
from headfield.surface.inverse_warp import follow, from_canonical
from headfield.types import Codes


def made(config=None, seed: int = 0, strong: float = 0.0) -> Nphm:
    """A model with random weights in double precision; `strong` makes its deformation move points by about so much."""
    torch.manual_seed(seeded(seed))
    model = Nphm(config or nphm_tiny()).double()
    with torch.no_grad():
        model.landmarks[-1].weight.normal_(std=0.02)
        if strong:
            codes = Codes(torch.zeros(1, model.config.identity).double(), expression(model)[:1])
            points = torch.rand(1, 500, 3).double() - 0.5
            shift = model.from_canonical(points, codes) - points
            model.deformer.mlp.last *= strong / shift.norm(dim=-1).mean()
    return model


def expression(model: Nphm) -> torch.Tensor:
    return torch.rand(2, model.config.expression, generator=torch.Generator().manual_seed(seeded(3))).double()


def identities(model: Nphm, scale: float = 0.5) -> torch.Tensor:
    return scale * torch.randn(2, model.config.identity, generator=torch.Generator().manual_seed(seeded(4))).double()


def test_codes_and_parameters_of_the_published_sizes():
    model = Nphm(nphm())
    assert model.config.identity == 64 + 40 * 32 == 1344
    count = {}
    for name, parameter in model.named_parameters():
        count[name.split(".")[0]] = count.get(name.split(".")[0], 0) + parameter.numel()
    width, seen = 200, 3 + 64 + 32
    one = seen * width + width  # DeepSDF with 4 hidden layers whose third takes the input again
    one += width * (width - seen) + (width - seen) + 2 * (width * width + width) + width + 1
    assert count["ensemble"] == 24 * one == 24 * 120_902
    assert count["landmarks"] == 64 * 256 + 256 + 256 * 256 + 256 + 256 * 117 + 117
    ex = replace(nphm(), expression=200, expression_names="learned")
    deformer = Nphm(ex).deformer
    width, seen = 512, 3 + 200 + 32
    own = seen * width + width + 4 * (width * width + width) + width * (width - seen) + (width - seen) + width * 3 + 3
    assert sum(p.numel() for p in deformer.mlp.parameters()) == own
    assert deformer.project_identity.weight.shape == (32, 1344 + 117)


def test_the_narrow_skip_is_that_of_deepsdf():
    torch.manual_seed(seeded(1))
    net = GroupedMLP(1, 3, 4, 16, 4, 2, skip=True, narrow=True).double()
    x, condition = torch.randn(20, 3).double(), torch.randn(1, 1, 4).double()
    zero = torch.zeros(1, dtype=torch.long)
    folded = net.fold(condition, zero)
    out, state = net(x, folded, torch.zeros(20, dtype=torch.long), (0, 20))
    both = torch.cat([x, condition[0].expand(20, -1)], dim=1)
    activate = torch.nn.Softplus(beta=100)
    first = torch.cat([net.first[0], net.first_condition[0]], dim=1)
    hidden = activate(both @ first.T + net.biases[0][0])
    hidden = activate(hidden @ net.deeper[0][0].T + net.biases[1][0])
    assert hidden.shape[1] == 16 - 7
    wide = torch.cat([net.deeper[1][0], net.skip[0], net.skip_condition[0]], dim=1)
    hidden = activate(torch.cat([hidden, both], dim=1) @ wide.T + net.biases[2][0])
    hidden = activate(hidden @ net.deeper[2][0].T + net.biases[3][0])
    torch.testing.assert_close(out, hidden @ net.last[0].T + net.last_bias[0], atol=1e-7, rtol=1e-7)
    x.requires_grad_()
    out, _ = net(x, folded, torch.zeros(20, dtype=torch.long), (0, 20))
    cotangent = torch.randn_like(out)
    (expected,) = torch.autograd.grad(out, x, cotangent)
    torch.testing.assert_close(net.reverse(cotangent, state, (0, 20))[0], expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("threshold", [0.0, 0.005])
def test_the_field_is_the_equations_written_out(threshold):
    model = made(replace(nphm_tiny(), threshold=threshold))
    codes, points = Codes(identities(model)), 0.9 * torch.rand(2, 40, 3).double() - 0.45
    points[:, :5] *= 4.0  # far from all anchors only the background speaks
    anchors, latent = model.anchors(codes), model.latent(codes.identity)
    shared, own = latent[:, :6], latent[:, 6:].view(2, 40, 2)
    total, weights = torch.zeros(2, 40).double(), []
    for k in range(40):
        if k < 39:
            weights.append(-((points - anchors[:, None, k]) ** 2).sum(-1) / 0.1**2)
        else:
            weights.append(torch.full((2, 40), -20.0).double())
    weights = torch.softmax(torch.stack(weights, dim=-1), dim=-1)
    kept = torch.relu(weights - threshold) ** 2 / weights.clamp_min(1e-30)
    weights = kept / kept.sum(-1, keepdim=True)
    for k in range(40):
        local = points - (anchors[:, None, k] if k < 39 else 0.0)
        if k < 39 and frames.IS_MIRRORED[k]:
            local = local * torch.tensor([-1.0, 1.0, 1.0])
        network = torch.tensor([frames.PART_NETWORK[k] if k < 39 else 23])
        one = GroupedMLP(1, 3, 8, 16, 3, 1, skip=True).double()
        for mine, theirs in zip(one.parameters(), model.ensemble.mlp.parameters()):
            mine.data = theirs.data[network]
        condition = torch.cat([shared, own[:, k]], dim=1)[:, None]
        head = torch.arange(2).repeat_interleave(40)
        value, _ = one(
            local.reshape(-1, 3), one.fold(condition, torch.zeros(1, dtype=torch.long)), head, (0, 80), keep=False
        )
        total += weights[..., k] * value.view(2, 40)
    assert (weights[:, :5, 39] > 0.99).any()
    torch.testing.assert_close(model.signed_distance(points, codes), total, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(model.signed_distance(points, codes, dense=True), total, atol=1e-6, rtol=1e-6)


def test_what_was_warped_comes_back():
    """The issue of forward models: of points near the surface 99.9 % return to within 1e-4 units."""
    for seed in range(3):
        model = made(nphm_small(), seed, strong=0.04)  # 10 mm on average
        codes = Codes(0.1 * identities(model), expression(model))
        condition = model.condition(codes)
        points = 0.9 * torch.rand(2, 3000, 3).double() - 0.45
        posed = model.from_canonical(points, condition).detach()
        found = model.roots(posed, condition)
        share = float((found.residual < 1e-4).double().mean())
        print(
            f"{share:.4%} home, {found.steps} steps, moved {float((posed - points).detach().norm(dim=-1).mean()):.3f}"
        )
        assert share >= 0.999
        back = model.to_canonical(posed, condition)[0].detach()
        home = (found.residual < 1e-4).view(2, -1)
        torch.testing.assert_close(model.from_canonical(back, condition).detach()[home], posed[home], atol=1e-4, rtol=0)
        assert float((back - points).norm(dim=-1)[home].median()) < 1e-5


def test_material_points_follow_an_expression_in_one_pass():
    model = made(strong=0.03).float()
    codes = Codes(identities(model)[:1].float(), expression(model)[:1].float())
    rest = (0.6 * torch.rand(50, 3) - 0.3).numpy()
    found = from_canonical(model, rest, codes)
    back, jacobian = model.warp_and_jacobian(torch.from_numpy(found.points).float(), model.condition(codes))
    np.testing.assert_allclose(back.detach().numpy(), rest, atol=1e-5)
    np.testing.assert_allclose(found.determinant, torch.linalg.det(jacobian).detach().numpy(), rtol=1e-3)
    assert found.report()["solved"] == 1.0 and found.report()["folded"] == 0.0
    again = follow(model, rest, rest, replace(codes, expression=0 * codes.expression), codes)
    np.testing.assert_array_equal(again.points, found.points)


def test_a_point_that_does_not_come_home_keeps_the_best_that_was_seen():
    target = torch.tensor([[0.0, 0.0, 0.0], [0.3, 0.1, 0.0]]).double()

    def fold(x, index):  # no point of the first kind has an image at the target
        return torch.where(index[:, None] == 0, x**2 + 0.05, 1.1 * x)

    found = broyden(fold, target, target + 0.1, torch.eye(3).double().repeat(2, 1, 1))
    assert found.residual[0] >= 0.05 * math.sqrt(3) - 1e-9 and found.residual[1] < 1e-6
    torch.testing.assert_close((fold(found.points, torch.arange(2)) - target).norm(dim=-1), found.residual)


def test_implicit_gradients_are_those_of_the_unrolled_iteration():
    model = made(strong=0.03)
    leaves = [identities(model)[:1].clone(), expression(model)[:1].clone(), 0.6 * torch.rand(1, 30, 3).double() - 0.3]
    for leaf in leaves:
        leaf.requires_grad_()
    cotangent = torch.randn(1, 30, 3).double()
    codes = Codes(leaves[0], leaves[1])
    implicit = torch.autograd.grad((model.to_canonical(leaves[2], codes)[0] * cotangent).sum(), leaves)
    x, condition = leaves[2], model.condition(codes)
    for _ in range(60):  # a contraction: points move by less than they are apart
        x = x - (model.from_canonical(x, condition) - leaves[2])
    assert float((model.from_canonical(x, condition) - leaves[2]).detach().norm(dim=-1).max()) < 1e-12
    unrolled = torch.autograd.grad((x * cotangent).sum(), leaves)
    for name, mine, theirs in zip(("identity", "expression", "points"), implicit, unrolled):
        error = float((mine - theirs).norm() / theirs.norm())
        print(f"{name}: relative error {error:.1e}")
        assert error < 1e-4


def test_derivatives_in_closed_form_are_those_of_autograd_and_of_finite_differences():
    model = made(strong=0.03)
    codes = Codes(identities(model)[:1], expression(model)[:1])
    points = 0.6 * torch.rand(25, 3).double() - 0.3
    exact, found = model.value_and_jacobian(points, codes), by_autograd(model, points, codes)
    for name in ("value", "gradient", "identity", "expression"):
        torch.testing.assert_close(getattr(exact, name), getattr(found, name), atol=1e-5, rtol=1e-4, msg=name)
    step = 1e-5
    for column in (0, 7, model.config.identity - 1):  # z_glob, a part's, the background's
        ahead, behind = codes.identity.clone(), codes.identity.clone()
        ahead[0, column] += step
        behind[0, column] -= step
        values = [model.signed_distance(points[None], Codes(z, codes.expression))[0] for z in (ahead, behind)]
        torch.testing.assert_close(
            exact.identity[:, column], (values[0] - values[1]) / (2 * step), atol=1e-4, rtol=1e-2
        )
    rest, jacobian = model.warp_and_jacobian(points, model.condition(codes))
    for axis in range(3):
        move = step * torch.eye(3).double()[axis]
        ahead, behind = (model.to_canonical((points + sign * move)[None], codes)[0][0] for sign in (1, -1))
        torch.testing.assert_close(jacobian[:, :, axis], (ahead - behind) / (2 * step), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(rest, model.to_canonical(points[None], codes)[0][0])


def test_recoding_changes_codes_and_no_head():
    model = made(strong=0.02)
    size = model.config.identity
    mean, spread = torch.randn(size).double(), torch.randn(size, size).double() / math.sqrt(size)
    new, e, points = identities(model), expression(model), 0.6 * torch.rand(2, 20, 3).double() - 0.3
    before = model.signed_distance(points, Codes(mean + new @ spread.T, e))
    anchors = model.anchors(Codes(mean + new @ spread.T))
    model.recode(mean, spread)
    torch.testing.assert_close(model.signed_distance(points, Codes(new, e)), before)
    torch.testing.assert_close(model.anchors(Codes(new)), anchors)
    torch.testing.assert_close(model.part_codes(new) - model.part_codes(0 * new),
                               torch.einsum("kde,be->bkd", model.part_spread(), new))  # fmt: skip


def test_a_swapped_nose_changes_the_head_where_it_has_weight_and_nowhere_else():
    model = made().float()
    one, two = (Head(model, Codes(z[None].float())) for z in identities(model))
    swapped = swap(one, two, "nose")
    points = np.random.default_rng(seeded(0)).uniform(-0.6, 0.6, (4000, 3)).astype(np.float32)
    before, after = one.signed_distance(points), swapped.signed_distance(points)
    weight = model.blend_weights(torch.from_numpy(points)[None], model.condition(one.codes))[0]
    parts = [k for k, name in enumerate(frames.ANCHOR_NAMES) if "nose" in name]
    without = (weight[:, parts] == 0).all(1).numpy()
    assert without.mean() > 0.5
    np.testing.assert_array_equal(before[without], after[without])
    assert np.abs(before - after).max() > 1e-3


def test_without_a_gate_zeros_are_an_expression_and_none_is_the_head_at_rest():
    points = torch.rand(1, 40, 3).double() - 0.5
    for gated in (True, False):
        model = made(replace(nphm_tiny(), gated=gated), strong=0.02)
        rest = Codes(identities(model)[:1])
        zeros = replace(rest, expression=torch.zeros(1, model.config.expression).double())
        moved = (model.from_canonical(points, zeros) - points).norm(dim=-1).max()
        values = model.signed_distance(points, rest), model.signed_distance(points, zeros)
        assert bool(moved > 1e-3) == (not gated) and torch.equal(*values) == gated
        with_jacobian = model.value_and_jacobian(points[0], zeros)
        torch.testing.assert_close(with_jacobian.value, values[1][0])
