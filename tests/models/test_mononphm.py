"""MonoNPHM's geometry: published sizes, 65 anchors, the field against its equations written out, the nearest parts."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from seeded import seeded

from headfield import frames
from headfield.errors import ConfigError
from headfield.fit.derivatives import by_autograd, jacobians_of
from headfield.models.mononphm.anchors import DENSER, LAYOUT, mean_anchors65
from headfield.models.mononphm.config import mononphm, mononphm_tiny
from headfield.models.mononphm.model import MonoNphm
from headfield.models.protocol import ForwardWarped, Linearisable, Local, Warped, WarpLinearisable, lacks, require
from headfield.nn.nearest_blending import nearest_blend, nearest_blend_reverse
from headfield.parametric.places import reference_landmarks68
from headfield.types import Codes


def made(config=None, seed: int = 0, strong: float = 0.03) -> MonoNphm:
    """A model with random weights in double precision whose deformation moves points by about so much."""
    torch.manual_seed(seeded(seed))
    model = MonoNphm(config or mononphm_tiny()).double()
    with torch.no_grad():
        model.landmarks[-1].weight.normal_(std=0.02)
        codes = Codes(identities(model)[:1], expressions(model)[:1])
        points = torch.rand(1, 500, 3).double() - 0.5
        way = (model.to_canonical(points, codes)[0] - points).norm(dim=-1).mean()
        model.deformer.mlp.last *= strong / way
    return model


def identities(model: MonoNphm) -> torch.Tensor:
    return 0.5 * torch.randn(2, model.config.identity, generator=torch.Generator().manual_seed(seeded(4))).double()


def expressions(model: MonoNphm) -> torch.Tensor:
    return torch.rand(2, model.config.expression, generator=torch.Generator().manual_seed(seeded(3))).double()


def linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def test_codes_and_parameters_of_the_published_sizes():
    model = MonoNphm(replace(mononphm(), expression=100, expression_names="learned"))
    assert model.config.identity == model.prior.means.shape[1] == 64 + 66 * 32 == 2176
    one = linear(3 + 2 + 64 + 32, 200) + 3 * linear(200, 200) + linear(200, 1)  # no skip
    parts = sum(p.numel() for p in model.ensemble.parameters())
    print(f"local networks {parts:,} = 37 x {one:,}")
    assert parts == 37 * one == 37 * 141_201  # 29 pairs, 7 on the mid-line, one everywhere
    anchors = sum(p.numel() for p in model.landmarks.parameters())
    assert anchors == 2 * linear(64, 64) + linear(64, 195)
    seen = 3 + 16 + 100
    wanted = linear(seen, 400) + 4 * linear(400, 400) + linear(400 + seen, 400) + linear(400, 5)
    moves = sum(p.numel() for p in model.deformer.mlp.parameters())
    print(f"deformation {moves:,}, anchors {anchors:,}")
    assert moves == wanted and model.deformer.project_identity.weight.shape == (16, 2176 + 195)


def test_its_anchors_are_our_39_and_26_landmarks_in_mirrored_pairs():
    truth = frames.anchors65(frames.reference_anchors(), reference_landmarks68())
    np.testing.assert_allclose(mean_anchors65(frames.reference_anchors()), truth, atol=6e-5)
    assert tuple(DENSER) == tuple(frames.DENSER_LANDMARKS)
    np.testing.assert_array_equal(frames.MIRROR65[frames.MIRROR65], np.arange(65))
    np.testing.assert_allclose(frames.mirror_points(truth)[frames.MIRROR65], truth, atol=2e-2)
    names = frames.ANCHOR65_NAMES
    for j, name in enumerate(names):
        other = frames.MIRROR65[j]
        assert names[other] == name.replace("left", "*").replace("right", "left").replace("*", "right")
        assert LAYOUT.network[other] == LAYOUT.network[j] and LAYOUT.mirrored[j] == name.endswith("right")
    assert (np.diff(LAYOUT.network) >= 0).all() and LAYOUT.network[-1] == 35
    shifted = mean_anchors65(frames.reference_anchors() + [0.0, 0.1, 0.0])  # what a store's mean heads do, all do
    np.testing.assert_allclose(shifted - truth, np.tile([0.0, 0.1, 0.0], (65, 1)), atol=6e-5)
    model = made()
    torch.testing.assert_close(model.anchors(Codes(identities(model))), model.anchors65(identities(model))[:, :39])


def weights_of(x: torch.Tensor, anchors: torch.Tensor) -> torch.Tensor:
    """Weights (66,) at one point, the one that is everywhere last, as the published code defines them."""
    distance = (x - anchors).norm(dim=-1)
    order = torch.argsort(distance)
    std = distance[order[7]] / 3.75
    found = torch.zeros(66).double()
    found[order[:12]] = torch.exp(-0.5 * (distance[order[:12]] / std) ** 2)
    found[65] = torch.exp(-0.5 * (0.75 / std) ** 2)
    return found / found.sum()


def test_the_weights_are_those_of_the_12_nearest_and_their_reverse_pass_is_exact():
    torch.manual_seed(seeded(1))
    anchors = torch.as_tensor(mean_anchors65(frames.reference_anchors()))[None]
    points = (1.2 * torch.rand(1, 60, 3).double() - 0.6).requires_grad_()
    leaf = anchors.clone().requires_grad_()
    state = nearest_blend(points, leaf, 3.75, 0.75)
    wanted = torch.stack([weights_of(x, anchors[0]) for x in points[0].detach()])
    torch.testing.assert_close(state.weights[0].detach(), wanted, atol=1e-12, rtol=1e-9)
    kept = (state.weights[0] > 0).sum(1)
    print(
        "parts at a point", kept.unique().tolist(), "share of the 12th at most", float(wanted.sort(1)[0][:, -13].max())
    )
    assert bool((kept == 13).all())
    cotangent = torch.randn(1, 60, 66).double()
    on_points, on_anchors = torch.autograd.grad((state.weights * cotangent).sum(), [points, leaf])
    back, q = nearest_blend_reverse(cotangent, state, points, leaf, 3.75)
    torch.testing.assert_close(back, on_points, atol=1e-9, rtol=1e-7)
    own = (q[..., None] * (points[:, :, None] - leaf[:, None])).sum(1)
    torch.testing.assert_close(own, on_anchors, atol=1e-9, rtol=1e-7)


def written_out(model: MonoNphm, points, latent, expression) -> torch.Tensor:
    """f (N,) of one head, its expression None at rest; two hidden layers everywhere."""
    activate, size = torch.nn.Softplus(beta=100), model.config
    shared, own = latent[: size.global_code], latent[size.global_code :].view(66, size.part_code)
    anchors = model.mean_anchors65 + model.landmarks(shared).view(65, 3)
    omega = torch.zeros(len(points), 2).double()
    if expression is not None:
        net, project = model.deformer.mlp, model.deformer.project_identity
        code = torch.cat([project(torch.cat([latent, anchors.flatten()])), expression])
        seen = torch.cat([points, code.expand(len(points), -1)], dim=1)
        hidden = activate(seen @ torch.cat([net.first[0], net.first_condition[0]], 1).T + net.biases[0][0])
        again = torch.cat([hidden, seen], dim=1) / math.sqrt(2)
        wide = torch.cat([net.deeper[0][0], net.skip[0], net.skip_condition[0]], dim=1)
        hidden = activate(again @ wide.T + net.biases[1][0])
        gate = model.deformer.gate
        out = (hidden if gate is None else hidden * (gate.weight @ expression)) @ net.last[0].T + net.last_bias[0]
        points, omega = points + out[:, :3], out[:, 3:]
    weights = torch.stack([weights_of(x, anchors) for x in points])
    total, net = torch.zeros(len(points)).double(), model.ensemble.mlp
    for k in range(66):
        local = points - (anchors[k] if k < 65 else 0.0)
        if k < 65 and frames.ANCHOR65_NAMES[k].endswith("right"):
            local = local * torch.tensor([-1.0, 1.0, 1.0])
        r = LAYOUT.network[k] if k < 65 else 36
        seen = torch.cat([local, omega, torch.cat([shared, own[k]]).expand(len(points), -1)], dim=1)
        hidden = activate(seen @ torch.cat([net.first[r], net.first_condition[r]], 1).T + net.biases[0][r])
        hidden = activate(hidden @ net.deeper[0][r].T + net.biases[1][r])
        total = total + weights[:, k] * (hidden @ net.last[r].T + net.last_bias[r])[:, 0]
    return total


@pytest.mark.parametrize("gated", [True, False])
def test_the_field_is_the_equations_written_out(gated):
    model = made(replace(mononphm_tiny(), gated=gated))
    z, e = identities(model), expressions(model)
    points = (0.9 * torch.rand(2, 30, 3).double() - 0.45).requires_grad_()
    for codes in (Codes(z), Codes(z, e)):
        expression = [None, None] if codes.expression is None else e
        wanted = torch.stack([written_out(model, points[b], model.latent(z)[b], expression[b]) for b in range(2)])
        (slope,) = torch.autograd.grad(wanted.sum(), points)
        value, gradient = model.value_and_gradient(points, codes)
        torch.testing.assert_close(value, wanted, atol=1e-7, rtol=1e-6)
        torch.testing.assert_close(gradient, slope, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(model.signed_distance(points, codes, dense=True), wanted, atol=1e-7, rtol=1e-6)
        assert slope.abs().max() > 1e-2


def test_omega_is_seen_and_zero_at_rest():
    model = made()
    codes, points = Codes(identities(model), expressions(model)), 0.6 * torch.rand(2, 20, 3).double() - 0.3
    before, omega = model.signed_distance(points, codes), model.to_canonical(points, codes)[1]
    assert omega.shape == (2, 20, 2) and omega.abs().max() > 1e-4
    with torch.no_grad():
        model.deformer.mlp.last[:, 3:] = 0.0
    assert (model.signed_distance(points, codes) - before).abs().max() > 1e-6
    at_rest = model.to_canonical(points, replace(codes, expression=None))
    assert torch.equal(at_rest[0], points) and not at_rest[1].any()


def test_a_fit_takes_its_derivatives_from_autograd():
    model = made()
    assert not isinstance(model, Linearisable)
    codes, points = Codes(identities(model)[:1], expressions(model)[:1]), 0.6 * torch.rand(15, 3).double() - 0.3
    found = jacobians_of(model, points, codes)
    value, gradient = model.value_and_gradient(points[None], codes)
    torch.testing.assert_close(found.value, value[0].detach())
    torch.testing.assert_close(found.gradient, gradient[0].detach(), atol=1e-7, rtol=1e-6)
    step = 1e-6
    for name, columns in (("identity", (0, 9, model.config.identity - 1)), ("expression", (0, 24, 51))):
        for column in columns:
            move = step * torch.eye(getattr(codes, name).shape[1]).double()[column]
            ahead, behind = (replace(codes, **{name: getattr(codes, name) + s * move}) for s in (1, -1))
            with torch.no_grad():
                change = model.signed_distance(points[None], ahead) - model.signed_distance(points[None], behind)
            torch.testing.assert_close(getattr(found, name)[:, column], change[0] / (2 * step), atol=1e-5, rtol=1e-3)
    still = by_autograd(model, points, Codes(codes.identity))
    torch.testing.assert_close(still.value, model.signed_distance(points[None], Codes(codes.identity))[0].detach())
    rest, jacobian = model.warp_and_jacobian(points, model.condition(codes))
    exact = torch.autograd.functional.jacobian(lambda x: model.to_canonical(x[None], codes)[0][0].sum(0), points)
    torch.testing.assert_close(jacobian, exact.transpose(0, 1), atol=1e-7, rtol=1e-6)
    torch.testing.assert_close(rest, model.to_canonical(points[None], codes)[0][0])


def test_recoding_silence_and_the_split_of_the_weights_change_no_head():
    model = made()
    size = model.config.identity
    mean, spread = torch.randn(size).double(), torch.randn(size, size).double() / math.sqrt(size)
    new, e, points = identities(model), expressions(model), 0.6 * torch.rand(2, 20, 3).double() - 0.3
    before = model.signed_distance(points, Codes(mean + new @ spread.T, e))
    model.recode(mean, spread)
    torch.testing.assert_close(model.signed_distance(points, Codes(new, e)), before)
    channels = torch.arange(52) % 3 == 0
    model.silence(channels)
    pair = [model.signed_distance(points, Codes(new, torch.where(channels, x, e))) for x in (0.1, 0.9)]
    torch.testing.assert_close(*pair)
    rest, posed = model.signed_distance(points, Codes(new)), model.signed_distance(points, Codes(new, e))
    at_rest, expressive = model.weights_by_use()
    assert expressive["ensemble.mlp.first"].shape[-1] == 2 and "mean_anchors65" in at_rest
    with torch.no_grad():
        for tensor in expressive.values():
            tensor.add_(0.1 * torch.randn_like(tensor))
    assert torch.equal(model.signed_distance(points, Codes(new)), rest)
    assert not torch.equal(model.signed_distance(points, Codes(new, e)), posed)


def test_what_it_can_do_and_what_it_refuses():
    model = made()
    assert all(lacks(model, capability) == () for capability in (Warped, WarpLinearisable))
    assert lacks(model, ForwardWarped) != ()
    with pytest.raises(ConfigError, match="Editing a region needs a model with local parts"):
        require(model, Local, "Editing a region")
