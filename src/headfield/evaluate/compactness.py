"""Compactness (Styner et al. 2003): how much of heads the leading directions of a model's code hold.

A released code is whitened, so that all its directions are alike by its own measure. What orders them is what they do
to the surface: of the displacements along the normal that a code drawn from the prior makes at the mean head, to first
order, the directions of most variance come first, as components come in a PCA. Held-out heads are then fitted with
nothing but the first few of them, and a PCA with as many of its components.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from scipy.linalg import solve_triangular

from headfield.evaluate.baselines import MEAN_GATE, fit_mean, fit_pca, mean_mesh, points_near, training_pca
from headfield.evaluate.measured import by_column, compare, numbers, scan_of, told_of
from headfield.evaluate.options import Settings
from headfield.evaluate.outcome import Outcome
from headfield.evaluate.protocol import Protocol
from headfield.evaluate.specificity import bald_component
from headfield.evaluate.truth import frozen_person, millimetres, truth_of
from headfield.fit.derivatives import jacobians_of
from headfield.fit.gate import Gate
from headfield.fit.normal_equations import Cloud, codes_of, model_points
from headfield.fit.problem import SolverOptions, View
from headfield.fit.solver import Solution, solve
from headfield.models.prior import Gaussian
from headfield.models.protocol import HeadModel
from headfield.models.release import load
from headfield.parametric.pca import LinearPCA
from headfield.surface.mesh_head import mesh_of
from headfield.surface.nearest import sample_surface
from headfield.surface.visibility import visible_triangles
from headfield.synth.identities import IdentityKey, frozen
from headfield.types import Mesh, Similarity

PLACES = 4000
"""Places of the mean head at which displacements are looked at, evenly over what is seen of it."""

COARSE = 96
"""Samples along the longest side of the mean head's mesh, which only carries the places."""

HELD = 1e6
"""The directions that are left out cost so many times what the prior asks for them."""

WIDE = Gate(0.1, MEAN_GATE, 10)
"""With few directions every head is wrong by millimetres: a gate narrowed to 2 mm would keep whatever agrees."""


@dataclass(frozen=True)
class Leading:
    """Directions of a code in the order of what they do to the surface.

    Attributes:
        vectors: (D, R) orthonormal columns in standard deviations of the prior, those of most effect first.
        shares: (R,) of the variance along the normal that the first 1, 2, ... of them hold together, up to 1.
    """

    vectors: np.ndarray
    shares: np.ndarray

    def share(self, count: int) -> float:
        """Share of the variance in so many directions; 0 without any."""
        return float(self.shares[min(count, len(self.shares)) - 1]) if count > 0 else 0.0


def leading(effects: np.ndarray) -> Leading:
    """Order the directions of a code by displacements (N, D) of N places per standard deviation of each number."""
    _, sizes, vectors = np.linalg.svd(effects, full_matrices=False)
    return Leading(vectors.T, np.cumsum(sizes**2) / max(float((sizes**2).sum()), 1e-30))


def effects_of(model: HeadModel, prior: Gaussian) -> np.ndarray:
    """Displacements (N, D) along the normal, model units, at places of the prior's mean head per standard deviation."""
    codes = codes_of(model, prior.mean, None)
    mesh = mesh_of(model, codes, COARSE)
    places = sample_surface(mesh, PLACES, np.random.default_rng(0), visible_triangles(mesh)).points
    with torch.no_grad():
        found = jacobians_of(model, model_points(model, places), codes)
    slope = found.gradient.norm(dim=1, keepdim=True).clamp_min(0.1)
    return (found.identity / slope).double().cpu().numpy() @ prior.spread


@cache
def leading_of(name: str) -> Leading:
    """The leading directions of a released model's bald heads."""
    model = load(name)
    return leading(effects_of(model, _bald(model)))


def _bald(model: HeadModel) -> Gaussian:
    return model.prior.component(bald_component(model) or 0)


def within(prior: Gaussian, vectors: np.ndarray) -> Gaussian:
    """The prior with the code held in the span of `vectors` (D, k), orthonormal in its standard deviations."""
    whiten = solve_triangular(prior.spread, np.eye(len(prior.mean)), lower=True)
    outside = np.eye(len(prior.mean)) - vectors @ vectors.T
    return replace(prior, precision=prior.precision + HELD * whiten.T @ outside @ whiten)


def fit_within(model: HeadModel, points: np.ndarray, start: Similarity, prior: Gaussian) -> Solution:
    """Fit a neutral bald head to points (N, 3) from a placement, the code as a prior has it."""
    options = SolverOptions(expression="neutral", gate=WIDE, hair=False)
    return solve(model, [View(Cloud.of(points), start, float(np.log(start.scale)), 0.1)], prior, options)


def pca_share(pca: LinearPCA, count: int) -> float:
    """Share of a PCA's own variance along the normal, at places of its mean head, in its first components."""
    mesh = Mesh(pca.mean_vertices, np.asarray(pca.triangles))
    hidden = np.asarray(pca.interior) | np.asarray(pca.cap)
    foot = sample_surface(mesh, PLACES, np.random.default_rng(0), ~hidden)
    moved = [(foot.interpolate(mesh, component) * foot.normals).sum(1) for component in pca.components]
    variance = np.square(moved).sum(1)
    return float(variance[:count].sum() / variance.sum())


@cache
def _shares(family: str, heads: int | None, truth: str, count: int) -> float:
    return pca_share(training_pca(family, heads, truth=truth), count)


def run_compactness(protocol: Protocol, family: str, index: int, settings: Settings) -> Outcome:
    """Run and measure one head with so many leading directions.

    Everybody starts from the true placement, as baselines do: what is asked is what the code can say.

    Args:
        protocol: One of the test's; its `level` is the number of directions.
        family: Of the person.
        index: In the split.
        settings: Of the run.
    """
    count, model = int(protocol.level), load(settings.model)
    person = frozen_person(family, settings.split, index, protocol.hair, settings.truth)
    key = IdentityKey(family, settings.split, index, frozen()["seed"])
    # the same scan for every number of directions: what differs is what they can say
    observed = scan_of(replace(protocol, name="compactness"), key, person, None, protocol.scan[0])
    points = points_near(observed.scan, observed.truth, model.box)
    truth, mm = truth_of(person, person.neutral), millimetres(person)
    found: dict[str, dict[str, float]] = {}

    def measure(method: str, mesh: Mesh, placement: Similarity, visible: np.ndarray, share: float) -> None:
        there = mesh.transformed(observed.truth.after(placement.inverse()))
        found[method] = numbers(compare(there, truth, mm, settings, visible)) | {"share": share}

    order = leading_of(settings.model)
    begin = time.perf_counter()
    solved = fit_within(model, points, observed.truth, within(_bald(model), order.vectors[:, :count]))
    seconds = time.perf_counter() - begin
    mesh = mesh_of(model, codes_of(model, solved.identity, None), settings.resolution)
    measure("ours", mesh, solved.views[0].similarity, visible_triangles(mesh), order.share(count))
    if settings.baselines:
        mesh, visible = mean_mesh(settings.model, settings.resolution)
        measure("mean", mesh, fit_mean(model, points, observed.truth), visible, 0.0)
        whole = training_pca(family, settings.pca_heads, truth=settings.truth)
        fitted = fit_pca(replace(whole, components=whole.components[:count]), points, observed.truth, gate=WIDE)
        share = _shares(family, settings.pca_heads, settings.truth, count)
        measure("pca", fitted.mesh, fitted.placement, visible_triangles(fitted.mesh), share)
    return Outcome(by_column(protocol, found), None, {"fit_seconds": seconds, "person": told_of(person)})
