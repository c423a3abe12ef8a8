"""Compactness: directions in the order of what they do to the surface, and fits that use no others."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh
from stub_head import PlainHead, StubHead, surface_of

from headfield.evaluate import compactness
from headfield.evaluate.compactness import effects_of, fit_within, leading, pca_share, run_compactness, within
from headfield.evaluate.options import Options
from headfield.evaluate.papers import LEADING, SWEEPS
from headfield.evaluate.protocols import protocol_named
from headfield.fit.normal_equations import codes_of
from headfield.models.prior import Gaussian
from headfield.parametric.pca import LinearPCA
from headfield.types import Similarity


def test_directions_are_those_of_the_covariance_of_displacements():
    rng = np.random.default_rng(0)
    effects = rng.standard_normal((60, 7)) * np.array([3, 1, 0.1, 5, 0.5, 2, 0.2])
    found = leading(effects)
    values, vectors = np.linalg.eigh(effects.T @ effects)
    assert np.allclose(found.shares, np.cumsum(values[::-1]) / values.sum())
    assert np.allclose(np.abs((found.vectors * vectors[:, ::-1]).sum(0)), 1)  # each up to its sign
    assert found.share(0) == 0 and found.share(3) == found.shares[2] and found.share(99) == pytest.approx(1)
    spread = effects @ (np.diag([1, 1, 1, 0, 1, 1, 1.0]))
    assert np.argmax(np.abs(leading(spread).vectors[:, 0])) != 3  # what has no effect leads nowhere


def test_a_prior_within_a_span_costs_as_before_there_and_much_beside():
    rng = np.random.default_rng(1)
    spread = np.tril(rng.standard_normal((6, 6))) + 3 * np.eye(6)
    prior = Gaussian.of(rng.standard_normal(6), spread)
    vectors = np.linalg.qr(rng.standard_normal((6, 2)))[0]
    held = within(prior, vectors)
    inside = prior.mean + spread @ vectors @ rng.standard_normal(2)
    assert held.cost(inside) == pytest.approx(prior.cost(inside), rel=1e-4)
    away = np.linalg.qr(np.column_stack([vectors, rng.standard_normal(6)]))[0][:, 2]
    outside = prior.mean + spread @ away
    assert held.cost(outside) > 1e5 * prior.cost(outside)


def test_effects_are_how_far_the_surface_moves():
    """Against the field before and after a small step of one number of the code."""
    model, rng = PlainHead(), np.random.default_rng(2)
    prior = Gaussian.of(np.zeros(24), np.diag(rng.uniform(0.5, 2.0, 24)))
    effects = effects_of(model, prior)
    assert len(effects) == 4000
    step = 0.05
    code = prior.spread[:, 4] * step
    points, _ = surface_of(StubHead(), codes_of(model, np.zeros(24), None), 400)
    with torch.no_grad():
        value, slope = model.value_and_gradient(torch.tensor(points[None]).float(), codes_of(model, code, None))
    moved = (value / slope.norm(dim=-1))[0].numpy() / step
    assert np.abs(effects[:, 4]).max() == pytest.approx(np.abs(moved).max(), rel=0.2)


def test_a_fit_uses_no_direction_but_the_leading_ones():
    model, rng = StubHead(), np.random.default_rng(3)
    true = rng.standard_normal(24)
    points, _ = surface_of(model, codes_of(model, true, None), 700)
    prior, found = model.prior.component(0), leading(effects_of(model, model.prior.component(0)))
    left = []
    for count in (2, 8, 24):
        vectors = found.vectors[:, :count]
        solved = fit_within(model, points, Similarity(), within(prior, vectors))
        beside = solved.identity - vectors @ (vectors.T @ solved.identity)
        assert np.abs(beside).max() < 1e-2
        left.append(float(np.abs(solved.residuals[0]).mean()))
    print("left over, model units", left)
    assert left[0] > left[1] > left[2]


def test_the_share_of_a_pca_counts_what_goes_along_the_normal():
    ball = trimesh.creation.icosphere(3)
    none = np.zeros(len(ball.faces), dtype=bool)
    like = SimpleNamespace(triangles=ball.faces, interior=none, cap=none)
    outwards = np.asarray(ball.vertices)
    around = np.cross(outwards, [0.0, 0, 1])
    pca = LinearPCA(outwards, np.stack([2 * outwards, 9 * around, outwards]), like)  # type: ignore[arg-type]
    shares = [pca_share(pca, count) for count in (1, 2, 3)]
    assert shares[0] == pytest.approx(0.8, abs=0.01) and shares[1] == pytest.approx(shares[0], abs=0.01)
    assert shares[2] == pytest.approx(1)


def test_a_case_is_better_with_more_directions(monkeypatch):
    """The stub can hardly look like a person, but with all its bumps it does so better than with one."""
    pytest.importorskip("anny", reason="heads need the extra synth: pip install 'headfield[synth]'")
    model = StubHead()
    monkeypatch.setattr(compactness, "load", lambda name: model)
    settings = Options(model="a stub", resolution=48, samples=2000, baselines=False)
    found = []
    for count in (1, 50):
        protocol = protocol_named(f"compactness-{count}")
        scan = replace(protocol.scan[0], options=replace(protocol.scan[0].options, points=800))
        found.append(run_compactness(replace(protocol, scan=(scan,)), "anny", 0, settings).values)
    few, many = ({name: row["ours"] for name, row in values.items()} for values in found)
    print(few, many)
    assert many["whole"] < few["whole"] and few["share"] < many["share"] == pytest.approx(1)


def test_the_sweep_has_a_level_each():
    assert [protocol_named(name).level for name in SWEEPS["compactness"]] == list(LEADING)
