"""ImFace: published sizes, the field against its equations written out, rigid motions, derivatives, code space."""

import math
from dataclasses import replace

import pytest
import torch
from seeded import seeded

from headfield.errors import ConfigError
from headfield.fit.derivatives import by_autograd, jacobians_of
from headfield.models.imface.config import imface, imface_small, imface_tiny
from headfield.models.imface.model import ImFace
from headfield.models.protocol import ForwardWarped, Linearisable, Local, Warped, WarpLinearisable, lacks, require
from headfield.nn.screw import move
from headfield.surface.inverse_warp import from_canonical
from headfield.types import Codes

KEYS = [13, 12, 33, 1, 0]
"""The eyes' outer corners, the tip of the nose and the mouth's corners among the 39 anchors, right ones first."""


def made(config=None, seed: int = 0) -> ImFace:
    """A model with random weights in double precision whose every mechanism is awake."""
    torch.manual_seed(seeded(seed))
    model = ImFace(config or imface_tiny()).double()
    with torch.no_grad():
        model.landmarks[-1].weight.normal_(std=0.02)
        model.deformer.places[-1].weight.normal_(std=0.02)
        model.template.own.weights[-1].normal_(std=0.1)
        for hyper in (model.reference.hyper, model.deformer.field.hyper):
            for network in hyper.networks:
                network[-1].weight *= 5.0
    return model


def identities(model: ImFace) -> torch.Tensor:
    return 0.5 * torch.randn(2, model.config.identity, generator=torch.Generator().manual_seed(seeded(4))).double()


def expressions(model: ImFace) -> torch.Tensor:
    return torch.rand(2, model.config.expression, generator=torch.Generator().manual_seed(seeded(3))).double()


def linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def test_codes_and_parameters_of_the_published_sizes():
    model = ImFace(replace(imface(), expression=128, expression_names="learned"))
    assert model.prior.means.shape == (1, 128) and model.deformer.gate is None
    fusion = linear(3, 128) + 2 * 128 + linear(128, 128) + 2 * 128 + linear(128, 5) + 2 * 5
    count = {}
    for name, outputs in (("deformer.field", 6), ("reference", 7), ("template", 1)):
        sizes = [(15, 128), (128, 128), (128, 128), (128, 128), (128, 5 * outputs)]  # five places, one and three more
        sine = sum(linear(*size) for size in sizes)
        hyper = sum(2 * linear(128, 128) + linear(128, n) for i, o in sizes for n in (i * o, o))
        count[name] = sum(parameter.numel() for parameter in model.get_submodule(name).parameters())
        assert count[name] == fusion + (sine if name == "template" else hyper)
    posed, rest = model.deformer.places, model.landmarks
    count["posed places"] = sum(p.numel() for p in posed.parameters())
    assert count["posed places"] == linear(256, 256) + linear(256, 256) + linear(256, 15)
    assert sum(p.numel() for p in rest.parameters()) == linear(128, 256) + linear(256, 256) + linear(256, 117)
    print({name: f"{value:,}" for name, value in count.items()})


def rigid(points: torch.Tensor, twist: torch.Tensor) -> torch.Tensor:
    """Points (..., 3) moved by the matrix exponential of their twists."""
    w, v = twist[..., :3], twist[..., 3:]
    matrix = torch.zeros(*w.shape[:-1], 4, 4, dtype=w.dtype)
    for row, column, axis, sign in (
        (0, 1, 2, -1),
        (0, 2, 1, 1),
        (1, 0, 2, 1),
        (1, 2, 0, -1),
        (2, 0, 1, -1),
        (2, 1, 0, 1),
    ):
        matrix[..., row, column] = sign * w[..., axis]
    matrix[..., :3, 3] = v
    whole = torch.linalg.matrix_exp(matrix)
    return (whole[..., :3, :3] @ points[..., None])[..., 0] + whole[..., :3, 3]


def test_a_motion_is_the_matrix_exponential_of_its_twist():
    torch.manual_seed(seeded(0))
    for size in (2.0, 0.3, 0.05, 1e-5, 0.0):
        points, twist = torch.randn(50, 3).double(), size * torch.randn(50, 6).double()
        torch.testing.assert_close(move(points, twist), rigid(points, twist), atol=1e-10, rtol=1e-10)
        leaf = twist.requires_grad_()
        (slope,) = torch.autograd.grad(move(points, leaf).sum(), leaf, create_graph=True)
        (again,) = torch.autograd.grad(slope.square().sum(), leaf)
        assert torch.isfinite(again).all()
    point, pair = torch.randn(1, 3).double(), torch.randn(1, 6).double()
    assert torch.autograd.gradcheck(move, (point.requires_grad_(), pair.requires_grad_()))
    assert torch.autograd.gradcheck(move, (point, (1e-3 * pair).detach().requires_grad_()))
    moved = [move(point + shift, pair) for shift in (0.0, 0.7)]  # it is rigid
    assert math.isclose(float((moved[1] - moved[0]).detach().norm()), 0.7 * math.sqrt(3), rel_tol=1e-9)


def sine_layers(networks, code: torch.Tensor, sizes: list) -> list:
    """What each of the hypernetwork's networks writes for one code (C,), two tensors a layer."""
    found = []
    for network in networks:
        hidden = code
        for step in network[:-1]:
            hidden = step(hidden) if isinstance(step, torch.nn.Linear) else hidden.clamp_min(0.0)
        found.append(network[-1].weight @ hidden + network[-1].bias)
    return [(found[2 * k].view(size), found[2 * k + 1]) for k, size in enumerate(sizes)]


def blended(field, points, places, layers, gate=None) -> torch.Tensor:
    """A blend-field (N, O) of one head, region by region."""
    x = torch.cat([points - place for place in places], dim=1)
    for weight, bias in layers[:-1]:
        x = torch.sin(30.0 * (x @ weight.T + bias))
    x = x @ layers[-1][0].T + layers[-1][1] if gate is None else (x * gate) @ layers[-1][0].T
    first, norm, _, second, again, _, third, last, _ = field.shares
    leaky = torch.nn.functional.leaky_relu
    shares = torch.softmax(last(third(leaky(again(second(leaky(norm(first(points)))))))), dim=1)
    return sum(shares[:, k, None] * x[:, k * field.outputs : (k + 1) * field.outputs] for k in range(5))


def written_out(model: ImFace, points, latent, expression) -> torch.Tensor:
    """f (N,) of one head, its expression None at rest."""
    nose = model.mean_anchors[33]
    origin = nose - torch.tensor([0.0, 0.0, 0.16], dtype=torch.float64)
    inward = lambda x: (x - origin) / 0.4  # noqa: E731
    anchors = model.mean_anchors + model.landmarks(latent[None]).view(39, 3)
    places = inward(
        anchors[[13, 12, 33, 1, 0]]
    )  # eyes' outer corners, the nose's tip, the mouth's corners, right first
    x = inward(points)
    if expression is not None:
        ex = model.deformer
        posed = places + ex.places(torch.cat([expression, latent])).view(5, 3)
        layers = sine_layers(ex.field.hyper.networks, expression, ex.field.hyper.sizes)
        gate = None if ex.gate is None else ex.gate.weight @ expression
        x = rigid(x, blended(ex.field, x, posed, layers, gate))
    reference = model.reference
    out = blended(reference, x, places, sine_layers(reference.hyper.networks, latent, reference.hyper.sizes))
    own = list(zip(model.template.own.weights, model.template.own.biases))
    value = blended(model.template, rigid(x, out[:, :6]), inward(model.mean_anchors[KEYS]), own)
    return 0.4 * (value[:, 0] + out[:, 6])


@pytest.mark.parametrize("gated", [True, False])
def test_the_field_is_the_equations_written_out(gated):
    model = made(replace(imface_tiny(), gated=gated))
    z, e = identities(model), expressions(model)
    points = (0.8 * torch.rand(2, 40, 3).double() - 0.4).requires_grad_()
    for codes in (Codes(z), Codes(z, e)):
        wanted = [
            written_out(model, points[b], model.latent(z)[b], None if codes.expression is None else e[b])
            for b in range(2)
        ]
        wanted = torch.stack(wanted)
        (slope,) = torch.autograd.grad(wanted.sum(), points)
        value, gradient = model.value_and_gradient(points, codes)
        torch.testing.assert_close(value, wanted, atol=1e-9, rtol=1e-9)
        torch.testing.assert_close(gradient, slope, atol=1e-8, rtol=1e-7)
        torch.testing.assert_close(model.signed_distance(points, codes), wanted, atol=1e-9, rtol=1e-9)
        assert slope.abs().max() > 1e-2


def test_the_gradient_can_be_trained_and_is_none_of_autograd_s_business_otherwise():
    model = made()
    codes, points = Codes(identities(model), expressions(model)), 0.6 * torch.rand(2, 20, 3).double() - 0.3
    _, gradient = model.value_and_gradient(points, codes)
    gradient.square().sum().backward()
    weight = model.deformer.field.hyper.networks[0][0].weight
    step = 1e-6 * torch.randn_like(weight)
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            weight += sign * step
            value, gradient = model.value_and_gradient(points, codes)
            weight -= sign * step
        assert not value.requires_grad and not gradient.requires_grad
        values.append(float(gradient.square().sum()))
    along = float((weight.grad * step).sum())
    print("slope along a step", along, "by differences", (values[0] - values[1]) / 2)
    assert math.isclose(along, (values[0] - values[1]) / 2, rel_tol=1e-3)


def test_a_fit_takes_its_derivatives_from_autograd():
    model = made()
    assert not isinstance(model, Linearisable)
    codes, points = Codes(identities(model)[:1], expressions(model)[:1]), 0.6 * torch.rand(15, 3).double() - 0.3
    found = jacobians_of(model, points, codes)
    value, gradient = model.value_and_gradient(points[None], codes)
    torch.testing.assert_close(found.value, value[0].detach())
    torch.testing.assert_close(found.gradient, gradient[0].detach())
    step = 1e-6
    for name, size in (("identity", 8), ("expression", 52)):
        for column in (0, size - 1):
            move_by = step * torch.eye(size).double()[column]
            ahead, behind = (replace(codes, **{name: getattr(codes, name) + s * move_by}) for s in (1, -1))
            with torch.no_grad():
                change = model.signed_distance(points[None], ahead) - model.signed_distance(points[None], behind)
            torch.testing.assert_close(getattr(found, name)[:, column], change[0] / (2 * step), atol=1e-6, rtol=1e-4)
    rest = by_autograd(model, points, Codes(codes.identity))  # a head at rest: zero, and its slopes
    torch.testing.assert_close(rest.value, model.signed_distance(points[None], Codes(codes.identity))[0].detach())
    assert rest.expression.abs().max() > 1e-4


def test_the_way_to_rest_has_its_jacobian_and_points_follow_an_expression():
    torch.manual_seed(seeded(2))
    model = ImFace(imface_small())
    codes = Codes(0.3 * torch.randn(1, 128), 0.5 * torch.rand(1, 52))
    condition = model.condition(codes)
    points = 0.6 * torch.rand(20, 3) - 0.3
    rest, jacobian = model.warp_and_jacobian(points, condition)
    way = (rest - points).norm(dim=-1)
    print(f"moved by {float(way.mean()):.4f}")
    exact = torch.autograd.functional.jacobian(lambda x: model.to_canonical(x[None], condition)[0][0].sum(0), points)
    torch.testing.assert_close(jacobian, exact.transpose(0, 1), atol=1e-5, rtol=1e-5)
    found = from_canonical(model.eval().requires_grad_(False), rest.numpy(), codes)
    off = (torch.from_numpy(found.points).float() - points).norm(dim=-1)
    print(f"back within {float(off.max()):.1e}")
    assert float(off.max()) < 0.1 * float(way.mean()) and not rest.requires_grad


def test_recoding_silence_and_other_numbers_change_no_head():
    for gated in (True, False):
        model = made(replace(imface_tiny(), gated=gated))
        size = model.config.identity
        mean, spread = torch.randn(size).double(), torch.randn(size, size).double() / math.sqrt(size)
        new, e, points = identities(model), expressions(model), 0.6 * torch.rand(2, 20, 3).double() - 0.3
        mix = torch.randn(52, 52).double() / 7
        before = model.signed_distance(points, Codes(mean + new @ spread.T, e @ mix.T))
        model.recode(mean, spread)
        model.recode_expression(mix)
        torch.testing.assert_close(model.signed_distance(points, Codes(new, e)), before)
        channels = torch.arange(52) % 3 == 0
        model.silence(channels)
        pair = [model.signed_distance(points, Codes(new, torch.where(channels, x, e))) for x in (0.1, 0.9)]
        torch.testing.assert_close(*pair)
        rest, zeros = (model.signed_distance(points, Codes(new, x)) for x in (None, 0 * e))
        assert torch.equal(rest, zeros) == gated  # without a gate zeros are an expression


def test_what_it_can_do_and_what_it_refuses():
    model = made()
    assert all(lacks(model, capability) == () for capability in (Warped, WarpLinearisable))
    assert lacks(model, ForwardWarped) != ()
    with pytest.raises(ConfigError, match="Editing a region needs a model with local parts"):
        require(model, Local, "Editing a region")
    at_rest, expressive = model.weights_by_use()
    assert all(name.startswith("deformer.") for name in expressive) and "template.own.weights.0" in at_rest
