"""Choosing among the prior's components (hair classes) by short fits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from headfield.fit.cholesky import Cholesky
from headfield.fit.gate import HAIR_PARTS, Gate
from headfield.fit.mean_field import neck_plane
from headfield.fit.normal_equations import Cloud, model_anchors
from headfield.fit.problem import Problem, SolverOptions, View
from headfield.fit.solver import Solution, solve
from headfield.models.prior import BARE, BEARD, Gaussian

_STEPS, _POINTS = 7, 600
"""Steps and points of the fits that choose a component."""

_SHOULDERS = 0.2
"""A component is chosen by what lies farther above the neck's cut than this (model units, 50 mm)."""

_CLEARLY = 20.0
"""Evidence (nats) by which a class with hair must win: the short fits are good to some ten, and hair that is seen wins
by far more."""

_SCALP_SHARE, _SCALP_POINTS = 0.8, 50
"""So much of the scalp, of at least so many points, must a bare head explain for hair to be out of the question."""


def best_component(model, views: list[View], options: SolverOptions) -> tuple[str, Gaussian]:
    """The component of the prior (hair class) with the best evidence, by short fits from each mean.

    The evidence counts, beside how well a class explains the points, how much of what it could be they rule out: a
    class that explains the same points with less freedom wins, so hair grows only where the scan shows it. Where a bare
    head explains the scalp that was seen, classes that grow hair there do not stand: the points of two expressions
    under one code make a misfit in the face that any freedom would explain.

    Returns:
        Its name and distribution.
    """
    prior = model.prior
    if len(prior.classes) == 1:
        only = prior.classes[0]
        return prior.names[only], prior.component(only)
    short = replace(
        options.evenly(), iterations=_STEPS, gate=Gate(0.1, 0.02, _STEPS - 1), expression="neutral", early_iterations=0
    )
    cut = neck_plane(model_anchors(model, np.zeros(len(prior.component(prior.classes[0]).mean))), model.neck_tilt)
    some = [replace(view, cloud=Cloud.of(_well_above(view, cut)[:_POINTS])) for view in views]
    solutions = [
        solve(model, some, prior.component(index), replace(short, hair=prior.names[index] != BARE))
        for index in prior.classes
    ]
    names = [prior.names[index] for index in prior.classes]
    sigma = min(solution.sigma for solution in solutions)  # one noise for all, or a bad fit excuses itself
    found = np.array(
        [
            log_evidence(model, some, prior.component(index), solution, replace(short, hair=False), sigma)
            for index, solution in zip(prior.classes, solutions)
        ]
    )
    found -= [0.0 if name == BARE else _CLEARLY for name in names]
    if BARE in names and _scalp_explained(model, some, solutions[names.index(BARE)], 2.0 * options.sigma):
        found[[name not in (BARE, BEARD) for name in names]] = -np.inf
    best = prior.classes[int(np.argmax(found))]
    return prior.names[best], prior.component(best)


def _scalp_explained(model, views: list[View], solution: Solution, within: float) -> bool:
    """Whether a bare head leaves most of the scalp's points within a distance (model units)."""
    tree = cKDTree(model_anchors(model, solution.identity))
    scalp = []
    for view, state, residual in zip(views, solution.views, solution.residuals):
        placed = state.similarity.apply(view.cloud.points)
        scalp.append(np.abs(residual[HAIR_PARTS[tree.query(placed)[1]]]))
    away = np.concatenate(scalp)
    return len(away) >= _SCALP_POINTS and float(np.quantile(away, _SCALP_SHARE)) < within


def _well_above(view: View, cut: np.ndarray) -> np.ndarray:
    """A view's points well above the neck's cut: long hair would explain the shoulders of a bald head, too. All of them
    when hardly any lie there."""
    height = view.similarity.apply(view.cloud.points) @ cut[:3] + cut[3]
    chosen = view.cloud.points[height > _SHOULDERS]
    return chosen if len(chosen) >= 100 else view.cloud.points


def log_evidence(
    model, views: list[View], prior: Gaussian, solution: Solution, options: SolverOptions, sigma: float
) -> float:
    """Log probability of the scans under a prior component, by Laplace's method at a solution found with it.

    Args:
        model, views, prior, options: As the solution was found, but the same gate for all.
        solution: Where the objective is least.
        sigma: Standard deviation of residuals, model units, the same for all components that are compared.
    """
    problem = Problem(model, views, prior, options)
    lines = problem.linearised(solution.identity, list(solution.views))
    held = problem.assemble(solution.identity, list(solution.views), lines, options.gate.end, sigma=sigma)
    smooth = held["smooth"]
    volume = Cholesky(held["hessian"][:smooth, :smooth] + 1e-9 * np.eye(smooth)).log_determinant
    return float(prior.log_share - held["cost"] - 0.5 * volume - np.log(np.diag(prior.spread)).sum())
