"""NPM: published sizes, the field against its equations written out, derivatives, code space, and what it refuses."""

import math
from dataclasses import replace

import pytest
import torch
from seeded import seeded

from headfield.edit import operations
from headfield.errors import ConfigError
from headfield.fit.derivatives import by_autograd
from headfield.models.npm.config import npm, npm_tiny
from headfield.models.npm.model import Npm
from headfield.models.protocol import CAPABILITIES, Local, Paired, lacks, require
from headfield.surface.head import Head
from headfield.types import Codes


def made(config=None, seed: int = 0, strong: float = 0.03) -> Npm:
    """A model with random weights in double precision whose deformation moves points by about so much."""
    torch.manual_seed(seeded(seed))
    model = Npm(config or npm_tiny()).double()
    with torch.no_grad():
        model.landmarks[-1].weight.normal_(std=0.02)
        for name, weight in model.field.named_parameters():  # away from the sphere that it begins as
            if "last" not in name:
                weight.add_(0.05 * torch.randn_like(weight))
        codes = Codes(identities(model)[:1], expressions(model)[:1])
        points = torch.rand(1, 500, 3).double() - 0.5
        shift = model.from_canonical(points, codes) - points
        model.deformer.mlp.last *= strong / shift.norm(dim=-1).mean()
    return model


def identities(model: Npm) -> torch.Tensor:
    return 0.5 * torch.randn(2, model.config.identity, generator=torch.Generator().manual_seed(seeded(4))).double()


def expressions(model: Npm) -> torch.Tensor:
    return torch.rand(2, model.config.expression, generator=torch.Generator().manual_seed(seeded(3))).double()


def linear(inputs: int, outputs: int) -> int:
    return inputs * outputs + outputs


def test_codes_and_parameters_of_the_published_sizes():
    model = Npm(replace(npm(), expression=200, expression_names="learned"))
    assert model.prior.means.shape == (1, 512)
    for network, seen, outputs in ((model.field, 3 + 512, 1), (model.deformer, 3 + 512 + 200, 3)):
        # DeepSDF with 8 hidden layers of 1,024; the fourth is narrower by what the fifth takes again
        wanted = linear(seen, 1024) + 2 * linear(1024, 1024) + linear(1024, 1024 - seen)
        wanted += 4 * linear(1024, 1024) + linear(1024, outputs)
        count = sum(parameter.numel() for parameter in network.parameters())
        print(f"{type(network).__name__} {count:,}")
        assert count == wanted
    assert npm().expression == 52 and npm().expression_names == "arkit52"  # ours by default


def written_out(model: Npm, points: torch.Tensor, latent: torch.Tensor) -> torch.Tensor:
    """F_id (N,) of one head at rest: three hidden layers, the input appended at the second and divided by sqrt(2)."""
    net, activate = model.field, torch.nn.Softplus(beta=100)
    seen = torch.cat([points - model.mean_anchors.mean(0), latent.expand(len(points), -1)], dim=1)
    hidden = activate(seen @ torch.cat([net.first[0], net.first_condition[0]], 1).T + net.biases[0][0])
    again = torch.cat([hidden, seen], dim=1) / math.sqrt(2)
    wide = torch.cat([net.deeper[0][0], net.skip[0], net.skip_condition[0]], dim=1)
    hidden = activate(again @ wide.T + net.biases[1][0])
    hidden = activate(hidden @ net.deeper[1][0].T + net.biases[2][0])
    return (hidden @ net.last[0].T + net.last_bias[0])[:, 0]


def moved(model: Npm, points: torch.Tensor, latent: torch.Tensor, expression: torch.Tensor) -> torch.Tensor:
    """x + F_ex(x) (N, 3) of one head: two hidden layers, the last of which takes the input again and is gated."""
    net, activate = model.deformer.mlp, torch.nn.Softplus(beta=100)
    seen = torch.cat([points, torch.cat([latent, expression]).expand(len(points), -1)], dim=1)
    hidden = activate(seen @ torch.cat([net.first[0], net.first_condition[0]], 1).T + net.biases[0][0])
    again = torch.cat([hidden, seen], dim=1) / math.sqrt(2)
    wide = torch.cat([net.deeper[0][0], net.skip[0], net.skip_condition[0]], dim=1)
    hidden = activate(again @ wide.T + net.biases[1][0]) * (model.deformer.gate.weight @ expression)
    return points + hidden @ net.last[0].T


def test_the_field_and_the_deformation_are_the_equations_written_out():
    model = made()
    z, e = identities(model), expressions(model)
    points = (0.9 * torch.rand(2, 60, 3).double() - 0.45).requires_grad_()
    latent = model.latent(z)
    wanted = torch.stack([written_out(model, points[b], latent[b]) for b in range(2)])
    (slope,) = torch.autograd.grad(wanted.sum(), points)
    value, gradient = model.value_and_gradient(points, Codes(z))
    torch.testing.assert_close(value, wanted, atol=1e-7, rtol=1e-6)
    torch.testing.assert_close(gradient, slope, atol=1e-6, rtol=1e-6)
    posed = torch.stack([moved(model, points[b], latent[b], e[b]) for b in range(2)])
    torch.testing.assert_close(model.from_canonical(points, Codes(z, e)), posed, atol=1e-7, rtol=1e-6)
    # a posed point has the value of the point at rest that it came from, and a gradient that J takes back
    there, back = model.value_and_gradient(posed.detach(), Codes(z, e))
    print("values off by", float((there - wanted).detach().abs().max()))
    torch.testing.assert_close(there, wanted, atol=1e-5, rtol=1e-5)
    jacobian = [torch.autograd.functional.jacobian(lambda x: moved(model, x[None], latent[0], e[0])[0], points[0, n])
                for n in range(10)]  # fmt: skip
    for n, one in enumerate(jacobian):
        torch.testing.assert_close(one.T @ back[0, n], slope[0, n], atol=1e-4, rtol=1e-4)


def test_derivatives_in_closed_form_are_those_of_autograd_and_of_finite_differences():
    for config in (npm_tiny(), replace(npm_tiny(), gated=False, deformer_identity=4)):
        model = made(config)
        codes = Codes(identities(model)[:1], expressions(model)[:1])
        points = 0.6 * torch.rand(25, 3).double() - 0.3
        exact, found = model.value_and_jacobian(points, codes), by_autograd(model, points, codes)
        for name in ("value", "gradient", "identity", "expression"):
            torch.testing.assert_close(getattr(exact, name), getattr(found, name), atol=1e-5, rtol=1e-4, msg=name)
        step = 1e-5
        ahead, behind = (
            Codes(codes.identity + s * step * torch.eye(8).double()[:1], codes.expression) for s in (1, -1)
        )
        change = model.signed_distance(points[None], ahead) - model.signed_distance(points[None], behind)
        torch.testing.assert_close(exact.identity[:, 0], change[0] / (2 * step), atol=1e-4, rtol=1e-2)
        still = replace(codes, expression=None)
        rest, other = model.value_and_jacobian(points, still), by_autograd(model, points, still)
        if config.gated:  # without a gate an expression of zeros is another face than the one at rest
            torch.testing.assert_close(rest.identity, other.identity, atol=1e-7, rtol=1e-6)
            torch.testing.assert_close(rest.value, other.value)


def test_recoding_changes_codes_and_no_head():
    model = made()
    size = model.config.identity
    mean, spread = torch.randn(size).double(), torch.randn(size, size).double() / math.sqrt(size)
    new, e, points = identities(model), expressions(model), 0.6 * torch.rand(2, 20, 3).double() - 0.3
    old = mean + new @ spread.T
    before, anchors = model.signed_distance(points, Codes(old, e)), model.anchors(Codes(old))
    model.recode(mean, spread)
    torch.testing.assert_close(model.signed_distance(points, Codes(new, e)), before)
    torch.testing.assert_close(model.anchors(Codes(new)), anchors)


def test_expressions_that_are_silenced_do_nothing_and_learned_ones_change_their_numbers():
    for config in (npm_tiny(), replace(npm_tiny(), gated=False)):
        model = made(config)
        z, e, points = identities(model), expressions(model), 0.6 * torch.rand(2, 20, 3).double() - 0.3
        spread = torch.randn(52, 52).double() / 7
        before = model.from_canonical(points, Codes(z, e @ spread.T))
        model.recode_expression(spread)
        torch.testing.assert_close(model.from_canonical(points, Codes(z, e)), before)
        channels = torch.arange(52) % 2 == 0
        model.silence(channels)
        again = model.from_canonical(points, Codes(z, torch.where(channels, 0.5, e)))
        torch.testing.assert_close(again, model.from_canonical(points, Codes(z, torch.where(channels, 0.1, e))))
        rest, expressive = model.weights_by_use()
        assert all(name.startswith("deformer.") for name in expressive) and "field.first" in rest


def test_it_has_every_capability_but_parts():
    model = made().float()
    assert [c for c in CAPABILITIES if lacks(model, c)] == [Local, Paired]
    with pytest.raises(ConfigError, match="Editing a region needs a model with local parts; 'unnamed' has none"):
        require(model, Local, "Editing a region")
    with pytest.raises(ConfigError, match="local parts"):
        operations.sample_region(Head(model, model.mean_codes()), ["nose"])


def test_it_begins_as_a_sphere_about_the_middle_of_the_anchors():
    for narrow in (False, True):
        torch.manual_seed(seeded(0))
        model = Npm(replace(npm_tiny(), hidden=256, layers=4, narrow=narrow, deformer_hidden=128)).double()
        away = torch.nn.functional.normalize(torch.randn(1, 400, 3).double(), dim=-1)
        values = [model.signed_distance(model.centre + r * away, model.mean_codes())[0] for r in (0.2, 0.4, 0.6)]
        values = [v.detach() for v in values]
        print("narrow" if narrow else "wide", [f"{float(v.mean()):.3f} +- {float(v.std()):.3f}" for v in values])
        inside, near, outside = (float(v.mean()) for v in values)
        assert inside < -0.05 and abs(near) < 0.1 and outside > 0.12
