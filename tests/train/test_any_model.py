"""A model that is not imHead is trained, released, loaded, fitted and meshed, by its architecture and its recipe."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh
from test_loop import config, toy_store  # noqa: F401  (toy_store is a fixture)
from torch import nn

from headfield import frames
from headfield.errors import ConfigError
from headfield.expressions import plain_space
from headfield.fit.options import FitOptions
from headfield.fit.placement import Placement
from headfield.fit.run import fit_placed
from headfield.models import architectures, release
from headfield.models.fingerprint import fingerprint_of
from headfield.models.prior import Prior
from headfield.models.protocol import HeadModel, Releasable, lacks
from headfield.surface.mesh_head import mesh_of
from headfield.train import recipe
from headfield.train.loop import run
from headfield.train.release import release_run
from headfield.train.trainer import start
from headfield.types import Codes, Scan, Similarity


@dataclass(frozen=True)
class EllipsoidConfig:
    """One size: how many numbers a code has."""

    identity: int = 3


class Ellipsoid(nn.Module):
    """An ellipsoid with learnable radii, which the first number of its code scales."""

    architecture, neck_tilt = "ellipsoid", 0.5

    def __init__(self, config, *, box=None, mean_anchors=None, prior=None):
        super().__init__()
        self.config, self.name = config, "unnamed"
        self.box = np.array(frames.BOX if box is None else box, dtype=float)
        self.prior = prior or Prior.standard(config.identity)
        self.expression_space = plain_space(0)
        mean = frames.reference_anchors() if mean_anchors is None else mean_anchors
        self.register_buffer("mean_anchors", torch.as_tensor(mean, dtype=torch.float32))
        self.radii = nn.Parameter(torch.tensor([0.4, 0.4, 0.4]))
        self.scale = nn.Linear(config.identity, 1)
        nn.init.constant_(self.scale.weight, 0.1)
        nn.init.zeros_(self.scale.bias)

    @property
    def fingerprint(self):
        return fingerprint_of(self, [], [])

    def weights_by_use(self):
        return dict(self.state_dict()), {}

    @torch.no_grad()
    def recode(self, mean, spread):
        weight = self.scale.weight.double()
        self.scale.weight.copy_(weight @ spread)
        self.scale.bias.copy_(self.scale.bias + weight @ mean)

    def silence(self, channels):
        pass

    def mean_codes(self, component=0, batch=1):
        return Codes(self.prior.means[component][None].repeat(batch, 1))

    def anchors(self, codes):
        return self.mean_anchors * (1.0 + self.scale(codes.identity))[:, None]

    def condition(self, codes):
        return self.radii * (1.0 + self.scale(codes.identity))

    def signed_distance(self, points, codes):
        radii = (self.condition(codes) if isinstance(codes, Codes) else codes)[:, None]
        k0, k1 = (points / radii).norm(dim=-1), (points / radii**2).norm(dim=-1)
        return k0 * (k0 - 1.0) / k1.clamp(min=1e-6)

    def value_and_gradient(self, points, codes):
        with torch.enable_grad():
            x = points if points.requires_grad else points.detach().requires_grad_()
            value = self.signed_distance(x, codes)
            (gradient,) = torch.autograd.grad(value.sum(), x, create_graph=True)
        return value, gradient


def total_loss(model, batch, identity, weights):
    value = model.signed_distance(batch.surface, Codes(identity)).abs().mean()
    return value + 1e-4 * identity.square().mean(), {"surface": float(value.detach())}


RECIPE = SimpleNamespace(
    loss_weights=lambda name: None,
    total_loss=total_loss,
    rate_share=lambda parameter: 1.0,
    watch=lambda model, codes: {},
)


@pytest.fixture
def known(monkeypatch):
    made = architectures.Architecture(EllipsoidConfig, Ellipsoid, {"small": EllipsoidConfig})
    monkeypatch.setitem(architectures.ARCHITECTURES, "ellipsoid", made)
    monkeypatch.setitem(recipe.RECIPES, "ellipsoid", RECIPE)


def ellipsoid_run(store, out, steps):
    return config(store, out, model="ellipsoid", preset="small", steps=steps, rate=0.02, code_rate=0.02, points=200)


def test_it_is_trained_released_loaded_fitted_and_meshed(known, toy_store, tmp_path):  # noqa: F811
    trainer = start(ellipsoid_run(toy_store, tmp_path / "run", 150))
    assert isinstance(trainer.model, HeadModel) and lacks(trainer.model, Releasable) == ()
    run(trainer)
    aspect = (trainer.model.radii / trainer.model.radii.mean()).detach().numpy()
    truth = np.array([0.3, 0.45, 0.4]) / np.mean([0.3, 0.45, 0.4])
    print("radii over their mean", aspect.round(3), "truth", truth.round(3))
    assert np.abs(aspect - truth).max() < 0.5 * np.abs(1.0 - truth).max()  # it began as a ball
    released = release_run(tmp_path / "run", toy_store, tmp_path / "released")
    model = release.load(tmp_path / "released")
    assert isinstance(model, Ellipsoid) and model.fingerprint == released.fingerprint
    assert model.prior.means.shape[1] == 3
    mesh = mesh_of(model, model.mean_codes(), 48)
    assert trimesh.Trimesh(mesh.vertices, mesh.triangles, process=False).is_watertight
    spread = mesh.vertices.max(0) - mesh.vertices.min(0)
    np.testing.assert_allclose(spread, 2 * model.condition(model.mean_codes())[0].numpy(), rtol=0.05)
    larger = model.mean_codes()
    larger.identity[0, 0] = 1.5  # the direction in which the training heads differ most
    scan = Scan(mesh_of(model, larger, 48).vertices.astype(np.float32) * 250.0, units="mm", name="ellipsoid")
    placement = Placement(Similarity(np.eye(3), np.zeros(3), 1 / 250.0), "mm", 0.0, 0.0)
    found = fit_placed([scan], [placement], model, FitOptions(expression="neutral", refuse=False, points=400))
    off = found.scans[0].errors()["scan_to_head_mm"]["median"]
    difference = 250.0 * float((model.condition(larger) - model.condition(model.mean_codes())).abs().mean())
    print(f"{off:.2f} mm; the mean head is {difference:.1f} mm away")
    assert off < 0.2 * difference


def test_a_run_goes_on_only_as_the_model_that_it_is(known, toy_store, tmp_path):  # noqa: F811
    run(start(ellipsoid_run(toy_store, tmp_path / "run", 2)))
    with pytest.raises(ConfigError, match="another model or other sizes than imhead"):
        start(config(toy_store, tmp_path / "run"))
    assert start(ellipsoid_run(toy_store, tmp_path / "run", 4)).step == 2
    with pytest.raises(ConfigError, match="Unknown model 'sphere'"):
        start(config(toy_store, tmp_path / "other", model="sphere"))
    with pytest.raises(ConfigError, match="needs a model with a canonical space"):
        start(replace(ellipsoid_run(toy_store, tmp_path / "held", 2), held_rows=1))
