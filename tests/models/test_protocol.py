"""Every model goes through every verb that its capabilities allow, and says by name what it lacks for the others."""

import numpy as np
import pytest
import torch
import trimesh
from seeded import seeded
from stub_head import PlainHead, StubHead, surface_of

from headfield.edit import operations
from headfield.errors import ConfigError
from headfield.expressions import learned_space
from headfield.fit.derivatives import by_autograd, jacobians_of
from headfield.fit.options import FitOptions
from headfield.fit.placement import Placement
from headfield.fit.run import fit_placed
from headfield.models.imface.config import imface_tiny
from headfield.models.imface.model import ImFace
from headfield.models.imhead.config import imhead_tiny
from headfield.models.imhead.model import ImHead
from headfield.models.mononphm.config import mononphm_tiny
from headfield.models.mononphm.model import MonoNphm
from headfield.models.nphm.config import nphm_tiny, with_open_mouth
from headfield.models.nphm.model import Nphm
from headfield.models.nphm.open_mouth import nphm_model
from headfield.models.npm.config import npm_tiny
from headfield.models.npm.model import Npm
from headfield.models.protocol import (
    CAPABILITIES,
    ForwardWarped,
    HeadModel,
    Linearisable,
    Local,
    Warped,
    lacks,
    require,
)
from headfield.surface.head import Head
from headfield.surface.mesh_head import mesh_of
from headfield.types import Codes, Scan, Similarity


def small_imhead() -> ImHead:
    torch.manual_seed(seeded(0))
    return ImHead(imhead_tiny())


def small_nphm() -> Nphm:
    torch.manual_seed(seeded(0))
    return Nphm(nphm_tiny())


def open_nphm() -> Nphm:
    torch.manual_seed(seeded(0))
    return nphm_model(with_open_mouth(nphm_tiny()))


def small_npm() -> Npm:
    torch.manual_seed(seeded(0))
    return Npm(npm_tiny())


def small_imface() -> ImFace:
    torch.manual_seed(seeded(0))
    return ImFace(imface_tiny())


def small_mononphm() -> MonoNphm:
    torch.manual_seed(seeded(0))
    return MonoNphm(mononphm_tiny())


MODELS = {
    "imhead": small_imhead,
    "nphm": small_nphm,
    "nphm with an open mouth": open_nphm,
    "npm": small_npm,
    "imface": small_imface,
    "mononphm": small_mononphm,
    "analytic": StubHead,
    "plain": PlainHead,
}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]()


def test_every_model_keeps_the_required_protocol(model):
    assert isinstance(model, HeadModel) and lacks(model, HeadModel) == ()
    codes = model.mean_codes(batch=2)
    assert codes.identity.shape == (2, model.prior.means.shape[1])
    assert model.anchors(codes).shape == (2, 39, 3)
    points = torch.rand(2, 50, 3) - 0.5
    value = model.signed_distance(points, codes)
    again, gradient = model.value_and_gradient(points, model.condition(codes))
    assert value.shape == (2, 50) and gradient.shape == (2, 50, 3)
    torch.testing.assert_close(value, again)
    step = 1e-3 * torch.randn(2, 50, 3)
    change = model.signed_distance(points + step, codes) - model.signed_distance(points - step, codes)
    close = torch.isclose(change, 2 * (gradient * step).sum(-1), atol=2e-4, rtol=0.05).float().mean()
    print(f"gradients that say how the field changes: {float(close):.0%}")
    # where another anchor becomes one of the 12 nearest MonoNPHM has a step, which 2 % of these pairs of points cross
    assert float(close) >= (0.93 if getattr(model, "architecture", "") == "mononphm" else 1.0)
    assert str(model.fingerprint) and np.asarray(model.box).shape == (2, 3)


def test_derivatives_by_autograd_are_those_in_closed_form():
    for model in (small_imhead(), small_nphm(), open_nphm(), small_npm(), StubHead()):
        generator = torch.Generator().manual_seed(seeded(1))
        size, channels = model.prior.means.shape[1], len(model.expression_space)
        identity = 0.3 * torch.randn(1, size, generator=generator)
        codes = Codes(identity, 0.5 * torch.rand(1, channels, generator=generator))
        points = 0.6 * torch.rand(40, 3, generator=generator) - 0.3
        exact, found = jacobians_of(model, points, codes), by_autograd(model, points, codes)
        for name in ("value", "gradient", "identity", "expression"):
            torch.testing.assert_close(getattr(found, name), getattr(exact, name), atol=2e-4, rtol=1e-3, msg=name)


def test_a_model_without_derivatives_is_fitted_by_autograd_and_ends_where_the_other_does():
    closed, plain = StubHead(), PlainHead()
    assert isinstance(closed, Linearisable) and not isinstance(plain, Linearisable)
    truth = Codes(torch.linspace(-1.5, 1.5, closed.config.identity)[None])
    points, _ = surface_of(closed, truth, 1500)
    scan = Scan(points.astype(np.float32) * 250.0, units="mm", name="analytic")
    placement = Placement(Similarity(np.eye(3), np.zeros(3), 1 / 250.0), "mm", 0.0, 0.0)
    options = FitOptions(expression="neutral", refuse=False, points=600)
    first, second = (fit_placed([scan], [placement], model, options) for model in (closed, plain))
    off = np.abs(first.identity - truth.identity[0].numpy()).mean()
    print(f"code off by {off:.2f} standard deviations on average, {truth.identity.abs().mean():.2f} at the mean head")
    assert off < 0.5 * float(truth.identity.abs().mean())
    np.testing.assert_allclose(second.identity, first.identity, atol=0.05)


def test_an_expression_that_a_model_learned_for_itself_is_read_with_its_sign():
    model = StubHead()
    model.expression_space = learned_space(3)
    truth = Codes(torch.linspace(-0.5, 0.5, model.config.identity)[None], torch.tensor([[0.9, -0.8, 0.0]]))
    points, _ = surface_of(model, truth, 2000)
    scan = Scan(points.astype(np.float32) * 250.0, units="mm", name="analytic")
    placement = Placement(Similarity(np.eye(3), np.zeros(3), 1 / 250.0), "mm", 0.0, 0.0)
    found = fit_placed([scan], [placement], model, FitOptions(expression="full", refuse=False, points=1500))
    print("expression", found.scans[0].expression.round(2), "truth", truth.expression[0].numpy().round(2))
    assert np.abs(found.scans[0].expression - truth.expression[0].numpy()).max() < 0.4


@pytest.mark.parametrize("name", ["analytic", "plain"])  # a head with random weights has no surface to speak of
def test_every_model_becomes_a_closed_mesh(name):
    model = MODELS[name]()
    mesh = mesh_of(model, model.mean_codes(), 48)
    assert len(mesh.triangles) > 1000
    assert trimesh.Trimesh(mesh.vertices, mesh.triangles, process=False).is_watertight


def test_what_a_model_lacks_is_said_by_name():
    plain = PlainHead()
    assert set(lacks(plain, Local)) == {"anchors_of_parts", "blend_weights", "part_codes", "part_spread"}
    with pytest.raises(
        ConfigError, match="Editing a region needs a model with local parts; 'stub' has none .*part_codes"
    ):
        require(plain, Local, "Editing a region")
    with pytest.raises(ConfigError, match="'stub' has none"):
        operations.sample_region(Head(plain, plain.mean_codes()), ["nose"])
    require(plain, Warped, "Baking")
    for model in (small_imhead(), small_nphm(), open_nphm()):
        backward = set(CAPABILITIES) - {ForwardWarped}
        assert all(lacks(model, capability) == () for capability in backward)
        assert (lacks(model, ForwardWarped) == ()) == (model.closed_form == "forward")
