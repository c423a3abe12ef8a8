"""Choosing among placements and among the prior's components by short fits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.spatial import cKDTree

from headfield.fit.cholesky import Cholesky
from headfield.fit.clean import thin
from headfield.fit.gate import HAIR_PARTS, Gate
from headfield.fit.mean_field import MeanField, class_fields, neck_plane
from headfield.fit.normal_equations import RIM, Cloud, model_anchors
from headfield.fit.options import FitOptions
from headfield.fit.placement import Placement, look_back, similarity_of_size, size_log_of, unit_of
from headfield.fit.problem import Problem, SolverOptions, View
from headfield.fit.solver import Solution, solve
from headfield.frames import UNITS_IN_METRES
from headfield.models.prior import BARE, BEARD, Gaussian
from headfield.types import Scan, Similarity

_SHORT = SolverOptions(iterations=6, gate=Gate(0.06, 0.02, 5), expression="neutral", early_iterations=0, hair=False)
"""A short neutral fit: six steps with a gate that goes from 15 to 5 mm."""

_STEPS, _POINTS = 7, 600
"""Steps and points of the fits that choose a component."""

_SHOULDERS = 0.2
"""A component is chosen by what lies farther above the neck's cut than this (model units, 50 mm)."""

_CLEARLY = 20.0
"""Evidence (nats) by which a class with hair must win: the short fits are good to some ten, and hair that is seen wins
by far more."""

_SCALP_SHARE, _SCALP_POINTS = 0.8, 50
"""So much of the scalp, of at least so many points, must a bare head explain for hair to be out of the question."""

_CLEAR = 0.15
"""A placement that leads the next by this much in the search needs no short fit."""


def best_placement(
    model, field_: MeanField, scan: Scan, placements: list[Placement], options: FitOptions
) -> tuple[Placement, float]:
    """The placement whose short fit explains most of the head, and how much that is (0 to 1).

    Args:
        model: The head model.
        field_: Its mean head.
        scan: The scan.
        placements: From the search, best first.
        options: Seed and number of candidates.
    """
    rivals = [p for p in placements[: options.candidates] if p.score < placements[0].score + _CLEAR]
    tried = [_tried(model, field_, scan, placement, options.seed) for placement in rivals]
    best = int(np.argmax([trust for _, trust in tried]))
    return tried[best]


def placement_of_face(
    model, field_: MeanField, scan: Scan, face: Similarity, units: str | None, options: FitOptions
) -> tuple[Placement, float]:
    """The placement that a face's landmarks give, settled by a short fit, and how much of the head it explains.

    Args:
        model: The head model.
        field_: Its mean head.
        scan: The scan.
        face: Scan frame and unit -> model frame, from the landmarks.
        units: Unit of the scan when known.
        options: Seed.
    """
    units = units or unit_of(face.scale, float(model.prior.size_mean), float(model.prior.size_sd))
    start = Placement(face, units, size_log_of(face.scale, units), 0.0, {"cost": 0.0})
    return _tried(model, field_, scan, start, options.seed)


def view_of(model, cloud: Cloud, placement: Placement) -> View:
    """A solver's view from a placement, its size expected by the unit and the model's prior."""
    prior = model.prior
    if placement.units in UNITS_IN_METRES:
        expected = np.log(similarity_of_size(placement.units, float(prior.size_mean)))
        return View(cloud, placement.similarity, float(expected), float(prior.size_sd))
    return View(cloud, placement.similarity, float(np.log(placement.similarity.scale)), 0.3)


def _tried(model, field_: MeanField, scan: Scan, placement: Placement, seed: int) -> tuple[Placement, float]:
    box = np.asarray(model.box, dtype=float)
    placed = placement.similarity.apply(scan.points)
    near = scan.points[((placed > box[0]) & (placed < box[1])).all(axis=1)]
    if len(near) < 30:
        return placement, -1.0
    near = near[thin(near, 1000, seed)]
    view = view_of(model, Cloud.of(near, seed), placement)
    solution = solve(model, [view], model.prior.component(placement.component), _SHORT)
    similarity = solution.views[0].similarity
    residual = solution.residuals[0]
    cut = neck_plane(model_anchors(model, solution.identity), above=RIM)
    above = similarity.apply(view.cloud.points) @ cut[:3] + cut[3] > 0
    around = above & (np.abs(residual) < 0.12)
    square = residual[around] ** 2
    good = float((0.012**2 / (square + 0.012**2)).mean()) if around.sum() >= 30 else 0.0
    everything = scan.points[thin(scan.points, 2000, seed)]
    mean_head = field_ if placement.component == 0 else class_fields(model)[placement.component - 1]()
    evidence = look_back(similarity, everything, mean_head)
    inside = float((residual[above] < -0.03).mean()) if above.any() else 1.0
    away = (np.log(similarity.scale) - view.log_scale) / view.log_scale_sd
    trust = evidence["support"] * good - inside - 0.5 * evidence["contradiction"] - 0.01 * away**2
    evidence |= {"cost": placement.evidence.get("cost", 0.0), "good": good, "trust": float(trust)}
    settled = replace(
        placement, similarity=similarity, size_log=size_log_of(similarity.scale, placement.units), evidence=evidence
    )
    return settled, float(trust)


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
    cut = neck_plane(model_anchors(model, np.zeros(len(prior.component(prior.classes[0]).mean))))
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
