"""Laws and oracles of the imHead model: sparse equals dense, explicit reverse equals autograd, E is zero at neutral."""

from dataclasses import replace

import pytest
import torch
from seeded import seeded

from headfield import frames
from headfield.models.imhead.config import imhead, imhead_small, imhead_tiny
from headfield.models.imhead.model import ImHead
from headfield.types import Codes


def random_model(seed: int = 0, **changes) -> ImHead:
    """A tiny model in float64 whose every mechanism is awake (anchors, fusion on features, deformer)."""
    torch.manual_seed(seeded(seed))
    model = ImHead(replace(imhead_tiny(), **changes)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def random_codes(model: ImHead, batch: int = 2, seed: int = 1, neutral: bool = False) -> Codes:
    generator = torch.Generator().manual_seed(seeded(seed))
    identity = torch.randn(batch, model.config.identity, generator=generator, dtype=torch.float64)
    expression = torch.rand(batch, model.config.expression, generator=generator, dtype=torch.float64)
    return Codes(identity, None if neutral else expression)


def random_points(batch: int = 2, count: int = 60, seed: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seeded(seed))
    return torch.rand(batch, count, 3, generator=generator, dtype=torch.float64) * 0.8 - 0.4


@pytest.mark.parametrize("kernel", ["gaussian", "laplace"])
@pytest.mark.parametrize("neutral", [True, False])
def test_gradient_matches_autograd(kernel, neutral):
    model = random_model(kernel=kernel)
    codes, points = random_codes(model, neutral=neutral), random_points().requires_grad_()
    value, gradient = model.value_and_gradient(points, codes)
    expected = torch.autograd.grad(model.signed_distance(points, codes).sum(), points)[0]
    assert torch.allclose(gradient, expected, atol=1e-9, rtol=1e-9)
    assert expected.abs().max() > 1e-2


def windowed(model: ImHead, codes: Codes, seed: int = 4) -> Codes:
    """Nose of the first head and chin of all replaced, inside their windows."""
    generator = torch.Generator().manual_seed(seeded(seed))
    parts, anchors = model.part_codes(codes.identity).detach(), model.anchors(codes).detach()
    around = torch.zeros(len(parts), frames.N_ANCHORS, dtype=torch.int64)
    for head, region in ((slice(0, 1), "nose"), (slice(None), "chin")):
        edited = torch.as_tensor(frames.anchor_indices(frames.REGIONS[region]))
        around[head, edited] = int((1 << edited).sum())
    parts = parts + (around != 0)[..., None] * torch.randn(parts.shape, generator=generator, dtype=parts.dtype)
    anchors = anchors + 0.02 * (around != 0)[..., None]
    return replace(codes, parts=parts, anchors=anchors, around=around)


def test_windows_of_edited_parts_have_exact_derivatives():
    """By the point, dense as sparse, and by the identity, which the own codes beside the edited ones follow."""
    model = random_model()
    codes = windowed(model, random_codes(model))
    anchors = model.anchors(codes).detach()
    points = (anchors[:, 36:39].repeat(1, 30, 1) + 0.3 * random_points(count=90)).requires_grad_()
    value, gradient = model.value_and_gradient(points, codes)
    assert torch.allclose(value, model.signed_distance(points, codes, dense=True), atol=1e-12)
    expected = torch.autograd.grad(model.signed_distance(points, codes).sum(), points)[0]
    assert torch.allclose(gradient, expected, atol=1e-9, rtol=1e-9)
    held = replace(codes, around=None)
    assert (model.signed_distance(points, held) - value).abs().max() > 1e-3, "the window does nothing here"
    one = Codes(*(None if t is None else t[:1] for t in (codes.identity, codes.expression, codes.parts, codes.anchors,
                                                         codes.around)))  # fmt: skip
    identity = one.identity.clone().requires_grad_()
    found = model.signed_distance(points[:1, :12].detach(), replace(one, identity=identity))[0]
    by_identity = torch.stack([torch.autograd.grad(f, identity, retain_graph=True)[0][0] for f in found])
    ours = model.value_and_jacobian(points[0, :12].detach(), one).identity
    assert torch.allclose(ours, by_identity, atol=1e-9, rtol=1e-9)


def test_gradient_is_differentiable_once_more():
    """A loss on the explicit gradient has the derivative by every parameter that finite differences give."""
    model = random_model()
    codes, points = random_codes(model), random_points()

    def loss():
        value, gradient = model.value_and_gradient(points, codes)
        return (gradient**3).mean() + (value**2).mean()

    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        (ours,) = torch.autograd.grad(loss(), parameter)
        direction = torch.randn(
            parameter.shape, generator=torch.Generator().manual_seed(seeded(3)), dtype=torch.float64
        )
        step, sides = 1e-6, []
        with torch.no_grad():
            for sign in (1.0, -1.0):
                parameter.add_(sign * step * direction)
                sides.append(loss())
                parameter.sub_(sign * step * direction)
        expected = (sides[0] - sides[1]) / (2 * step)
        assert (ours * direction).sum().item() == pytest.approx(expected.item(), rel=1e-3, abs=1e-6), name


def test_sparse_equals_dense():
    model = random_model()
    codes, points = random_codes(model), random_points()
    sparse, dense = model.signed_distance(points, codes), model.signed_distance(points, codes, dense=True)
    assert torch.allclose(sparse, dense, atol=1e-12)
    active = model.ensemble.weights(points, model.anchors(codes)).weights > 0
    assert 1 <= active.sum(-1).min() and active.sum(-1).double().mean() < 12


def test_jacobian_matches_autograd():
    model = random_model()
    codes, points = random_codes(model, batch=1), random_points(batch=1, count=20)
    result = model.value_and_jacobian(points[0], codes)

    def field(identity, expression):
        return model.signed_distance(points, Codes(identity, expression))[0]

    by_identity, by_expression = torch.autograd.functional.jacobian(field, (codes.identity, codes.expression))
    assert torch.allclose(result.identity, by_identity[:, 0], atol=1e-9)
    assert torch.allclose(result.expression, by_expression[:, 0], atol=1e-9)
    assert by_expression.abs().max() > 1e-3


def test_jacobian_at_zero_expression():
    model = random_model()
    points = random_points(batch=1, count=20)
    zero = torch.zeros(1, model.config.expression, dtype=torch.float64)
    codes = Codes(random_codes(model, batch=1).identity, zero)
    result = model.value_and_jacobian(points[0], codes)
    step = 1e-7
    for channel in (0, 24, 51):
        moved = zero.clone()
        moved[0, channel] = step
        change = model.signed_distance(points, Codes(codes.identity, moved))[0] - result.value
        assert torch.allclose(change / step, result.expression[:, channel], atol=1e-5)
    assert (result.expression.norm(dim=0) > 0).all()


def test_deformer_is_zero_at_zero_expression():
    model = random_model()
    codes, points = random_codes(model), random_points()
    expressed = model.deformer.fold(codes.identity, torch.zeros_like(codes.expression))
    shift, ambient, _ = model.deformer(points, expressed)
    assert (shift == 0).all() and (ambient == 0).all()
    moved, _ = model.to_canonical(points, codes)
    assert (moved - points).abs().max() > 1e-4  # and it does move points otherwise


def test_pair_law():
    """g_2i(M(x - k), z) = g_2i+1(x - k, z), tested on whole fields of one part alone."""
    model = random_model()
    mirror = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    points = random_points(batch=1)
    for pair in (0, 7, 15):
        outputs = []
        for part, x in ((2 * pair, points * mirror), (2 * pair + 1, points)):
            parts = torch.randn(
                1, 39, model.config.part_code, generator=torch.Generator().manual_seed(seeded(5))
            ).double()
            parts[:, 2 * pair + 1] = parts[:, 2 * pair]
            far = torch.full((1, 39, 3), 100.0, dtype=torch.float64)
            far[:, part] = 0.0
            features, _ = model.ensemble(x, None, model.ensemble.fold(parts), far, far)
            outputs.append(features)
        assert torch.allclose(outputs[0], outputs[1], atol=1e-12)
        assert outputs[0].std() > 0


def test_edits_are_exactly_local():
    model = random_model()
    codes, points = random_codes(model, batch=1, neutral=True), random_points(batch=1, count=4000)
    part = frames.anchor_indices(["nose_tip"])[0]
    parts = model.part_codes(codes.identity).clone()
    parts[:, part] += 1.0
    origins = model.anchors(codes).clone()
    origins[:, part] += 0.01
    edited = model.signed_distance(points, Codes(codes.identity, None, parts, origins))
    same = model.signed_distance(
        points, Codes(codes.identity, None, model.part_codes(codes.identity), model.anchors(codes))
    )
    untouched = model.ensemble.weights(points, model.anchors(codes)).weights[..., part] == 0
    assert untouched.any() and (~untouched).any()
    assert torch.equal(edited[untouched], same[untouched])  # bit for bit
    assert ((edited - same)[~untouched].abs() > 1e-6).any()


def test_paper_numbers():
    config = imhead()
    model = ImHead(config)
    assert config.identity == 256 and 39 * config.part_code == 1248 and frames.N_PART_NETWORKS == 23
    assert model.decompose.weight.shape == (1248, 256)
    sizes = {
        name: sum(p.numel() for p in getattr(model, name).parameters())
        for name in ("decompose", "landmarks", "ensemble", "fusion", "deformer")
    }
    # the reference's estimates: parts 23 x ~190k = 4.4 M, LandmarkNet .42 M, DecNet .32 M, fusion + deformer ~ .4 M
    assert sizes["ensemble"] / 23 == pytest.approx(190e3, rel=0.1)
    assert sizes["landmarks"] == pytest.approx(0.42e6, rel=0.05)
    assert sizes["decompose"] == 256 * 1248 + 1248
    assert sum(sizes.values()) == pytest.approx(5.5e6, rel=0.1)
    assert sum(p.numel() for p in ImHead(imhead_small()).parameters()) < 2.2e6


def test_starts_as_a_sphere():
    torch.manual_seed(seeded(0))
    model = ImHead(imhead_small())
    directions = torch.nn.functional.normalize(torch.randn(1, 500, 3), dim=-1)
    codes = Codes(torch.zeros(1, 256))
    outside = model.signed_distance(model.centre + 0.8 * directions, codes)
    inside = model.signed_distance(model.centre + 0.05 * directions, codes)
    assert (outside > 0).all() and (inside < 0).all()
