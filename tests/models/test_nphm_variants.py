"""NPHM with fewer anchors and without symmetry (paper, Table 4): code sizes, the field against its equations, edits."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from seeded import seeded

from headfield import frames
from headfield.edit.operations import swap, symmetrise
from headfield.errors import ConfigError
from headfield.fit.derivatives import by_autograd
from headfield.models import release
from headfield.models.nphm.anchors import CARRYING, layout_of, mirror_of
from headfield.models.nphm.config import PRESETS, NphmConfig, nphm_tiny, with_anchors, without_symmetry
from headfield.models.nphm.model import Nphm
from headfield.models.protocol import CAPABILITIES, Local, Paired, lacks, require
from headfield.surface.head import Head
from headfield.types import Codes

TINY = replace(nphm_tiny(), part_layers=2)
VARIANTS = {
    "39": TINY,
    "26": with_anchors(TINY, 26),
    "12": with_anchors(TINY, 12),
    "unshared": without_symmetry(TINY),
    "12 unshared": without_symmetry(with_anchors(TINY, 12)),
}
MIRROR = torch.tensor([-1.0, 1.0, 1.0]).double()


def made(name: str) -> Nphm:
    torch.manual_seed(seeded(0))
    model = Nphm(VARIANTS[name]).double()
    with torch.no_grad():
        model.landmarks[-1].weight.normal_(std=0.02)
        model.deformer.mlp.last.normal_(std=0.02)
    return model


def codes_of(model: Nphm, batch: int = 1) -> Codes:
    draws = torch.Generator().manual_seed(seeded(1))
    identity = 0.5 * torch.randn(batch, model.config.identity, generator=draws).double()
    return Codes(identity, torch.rand(batch, model.config.expression, generator=draws).double())


def test_codes_and_networks_of_the_papers_table_4():
    parts = {"paper": (39, 32, 24), "12-anchors": (12, 98, 8), "26-anchors": (26, 47, 17), "no-symmetry": (39, 32, 40)}
    for name, (anchors, own, networks) in parts.items():
        config = PRESETS[name]()
        model = Nphm(config)
        seen, width = 3 + 64 + own, 200
        one = seen * width + width + width * (width - seen) + (width - seen) + 2 * (width * width + width) + width + 1
        count = sum(parameter.numel() for parameter in model.ensemble.parameters())
        print(f"{name}: {config.identity} numbers, {networks} networks of {one:,}, {count:,} in all")
        assert (config.anchors, config.part_code, model.ensemble.networks) == (anchors, own, networks)
        assert config.identity == 64 + (anchors + 1) * own == model.prior.means.shape[1]
        assert count == networks * one
        assert sum(parameter.numel() for parameter in model.landmarks.parameters()) == 112_501  # all 39 are placed
        nearest = min(range(1, 200), key=lambda size: abs((anchors + 1) * size - 40 * 32))
        assert own == nearest and abs(config.identity - 1344) < 0.01 * 1344
    for name in ("12-anchors", "26-anchors", "no-symmetry"):
        paper, small = PRESETS[name](), PRESETS[f"{name}-small"]()
        assert (small.identity, small.symmetric, small.anchors) == (paper.identity, paper.symmetric, paper.anchors)


def test_the_anchors_that_carry_parts_are_whole_pairs_and_every_feature_keeps_one():
    assert all(len(names) == count for count, names in CARRYING.items())
    assert set(CARRYING[12]) < set(CARRYING[26]) < set(CARRYING[39])
    for count, names in CARRYING.items():
        indices = frames.anchor_indices(names)
        assert (np.diff(indices) > 0).all() and set(frames.MIRROR_PART[indices]) == set(indices)
        layout = layout_of(count, symmetric=True)
        assert (np.diff(layout.network) >= 0).all()
        for part, other in enumerate(mirror_of(count)):
            assert indices[other] == frames.MIRROR_PART[indices[part]]
            assert layout.network[other] == layout.network[part]
            assert layout.mirrored[part] == names[part].endswith("_right")
    for region in ("nose", "mouth", "left_eye", "right_eye", "left_ear", "chin", "scalp", "back_of_head"):
        assert set(frames.REGIONS[region]) & set(CARRYING[12]), region


def test_what_has_no_meaning_is_refused():
    with pytest.raises(ConfigError, match="anchors is 20: NPHM has parts at 12, 26, 39"):
        NphmConfig(anchors=20)
    with pytest.raises(ConfigError, match="below 1/13"):
        NphmConfig(anchors=12, threshold=1 / 13)
    assert NphmConfig(anchors=12, threshold=0.076).threshold > 1 / 40  # fewer parts bear more


def one_network(model: Nphm, part: int, local: torch.Tensor, code: torch.Tensor) -> torch.Tensor:
    """f_k (N,) of one part at local coordinates (N, 3) that it does not mirror, written out; two hidden layers."""
    net, r = model.ensemble.mlp, model.ensemble.network[part]
    activate = torch.nn.Softplus(beta=100)
    seen = torch.cat([local, code.expand(len(local), -1)], dim=1)
    hidden = activate(seen @ torch.cat([net.first[r], net.first_condition[r]], 1).T + net.biases[0][r])
    again = torch.cat([hidden, seen], dim=1) / math.sqrt(2)
    wide = torch.cat([net.deeper[0][r], net.skip[r], net.skip_condition[r]], dim=1)
    return (activate(again @ wide.T + net.biases[1][r]) @ net.last[r].T + net.last_bias[r])[:, 0]


@pytest.mark.parametrize("name", VARIANTS)
def test_the_field_is_the_equations_written_out(name):
    model = made(name)
    config, codes = model.config, codes_of(model)
    points = (1.2 * torch.rand(50, 3).double() - 0.6).requires_grad_()
    latent, names = model.latent(codes.identity)[0], CARRYING[config.anchors]
    shared, own = latent[: config.global_code], latent[config.global_code :].view(config.anchors + 1, -1)
    everywhere = model.anchors(Codes(codes.identity))[0]
    anchors = everywhere[frames.anchor_indices(names)]
    logits = torch.cat([-(torch.cdist(points, anchors) ** 2) / 0.1**2, torch.full((50, 1), -20.0).double()], dim=1)
    weights = torch.softmax(logits, dim=1)
    kept = torch.relu(weights - config.threshold) ** 2 / weights.clamp_min(1e-30)
    weights, total = kept / kept.sum(1, keepdim=True), 0.0
    for part in range(config.anchors + 1):
        local = points - (anchors[part] if part < config.anchors else 0.0)
        if config.symmetric and part < config.anchors and names[part].endswith("_right"):
            local = local * MIRROR
        total = total + weights[:, part] * one_network(model, part, local, torch.cat([shared, own[part]]))
    (slope,) = torch.autograd.grad(total.sum(), points)
    for dense in (False, True):
        value, gradient = model.value_and_gradient(points[None], Codes(codes.identity), dense=dense)
        torch.testing.assert_close(value[0], total, atol=1e-9, rtol=1e-7)
        torch.testing.assert_close(gradient[0], slope, atol=1e-7, rtol=1e-6)
    found = model.blend_weights(points[None], model.condition(codes))[0]
    torch.testing.assert_close(found, weights[:, :-1], atol=1e-9, rtol=1e-7)
    assert slope.abs().max() > 1e-2 and everywhere.shape == (39, 3)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_pair_shares_its_network_mirrored_unless_told_otherwise(name):
    model = made(name)
    anchors = model.config.anchors
    pairs = [(k, int(other)) for k, other in enumerate(mirror_of(anchors)) if other > k]
    assert len(pairs) == {39: 16, 26: 10, 12: 5}[anchors]
    offsets = 0.2 * torch.rand(1, 20, 3).double() - 0.1
    code = torch.randn(1, anchors + 1, model.config.global_code + model.config.part_code).double()
    for left, right in pairs:
        code[:, right] = code[:, left]
    origins, ensemble = torch.zeros(1, anchors, 3).double(), model.ensemble
    alike = []
    for left, right in pairs:
        values = []
        for part, local in ((left, offsets), (right, offsets * MIRROR)):
            only = replace(ensemble.weights(local, origins), weights=torch.eye(anchors + 1)[part].double()[None, None]
                           .expand(1, 20, -1))  # fmt: skip
            ensemble.weights = lambda *_, only=only: only
            try:
                values.append(ensemble(local, None, ensemble.fold(code), origins, ensemble.places(origins))[0])
            finally:
                del ensemble.weights
        alike.append(torch.allclose(*values, atol=1e-12))
    assert all(alike) if model.config.symmetric else not any(alike)


@pytest.mark.parametrize("name", ["26", "12", "unshared", "12 unshared"])
def test_derivatives_for_fits_and_a_change_of_codes(name):
    model = made(name)
    codes, points = codes_of(model), 0.8 * torch.rand(20, 3).double() - 0.4
    exact, found = model.value_and_jacobian(points, codes), by_autograd(model, points, codes)
    for field in ("value", "gradient", "identity", "expression"):
        torch.testing.assert_close(getattr(exact, field), getattr(found, field), atol=1e-5, rtol=1e-4, msg=field)
    assert exact.identity.abs().max() > 1e-3 and exact.expression.abs().max() > 1e-6
    size = model.config.identity
    mean, spread = torch.randn(size).double(), torch.randn(size, size).double() / math.sqrt(size)
    new = Codes(codes.identity, codes.expression)
    old = replace(new, identity=mean + new.identity @ spread.T)
    before, anchors = model.signed_distance(points[None], old), model.anchors(old)
    model.recode(mean, spread)
    torch.testing.assert_close(model.signed_distance(points[None], new), before)
    torch.testing.assert_close(model.anchors(new), anchors)


def test_regions_are_edited_where_all_39_anchors_have_parts_and_refused_by_name_elsewhere():
    heads = {name: [Head(made(name).float(), Codes(z[None].float())) for z in codes_of(made(name), 2).identity]
             for name in ("39", "12", "unshared")}  # fmt: skip
    points = np.random.default_rng(seeded(0)).uniform(-0.5, 0.5, (500, 3)).astype(np.float32)
    for name in ("39", "unshared"):
        one, two = heads[name]
        two = replace(two, model=one.model)
        changed = np.abs(swap(one, two, "nose").signed_distance(points) - one.signed_distance(points))
        assert changed.max() > 1e-3 and (changed == 0).mean() > 0.4
    few = heads["12"][0]
    assert lacks(few.model, Local) == ("anchors_of_parts", "blend_weights", "part_codes", "part_spread")
    with pytest.raises(ConfigError, match="Editing a region needs .* only 12 carry a part here"):
        swap(few, few, "nose")
    unshared = heads["unshared"][0]
    assert not lacks(unshared.model, Local) and lacks(unshared.model, Paired)
    with pytest.raises(ConfigError, match="Making both sides alike needs .* a network of its own"):
        symmetrise(unshared)
    with pytest.raises(ConfigError, match="only 12 carry a part here"):
        symmetrise(few)
    assert symmetrise(heads["39"][0]).codes.parts is not None
    for capability in set(CAPABILITIES) - {Local, Paired}:
        require(few.model, capability, "This")


def test_weights_are_told_apart_and_come_back_from_a_file(tmp_path):
    prints = {name: str(made(name).float().fingerprint) for name in VARIANTS}
    assert len(set(prints.values())) == len(prints)
    for name in ("12", "unshared"):
        model = made(name).float()
        release.write(tmp_path / name, model, "A test.", {})
        again = release.load(tmp_path / name)
        assert again.config == model.config and again.fingerprint == model.fingerprint
        codes, points = model.mean_codes(), torch.rand(1, 30, 3) - 0.5
        torch.testing.assert_close(again.signed_distance(points, codes), model.signed_distance(points, codes))
