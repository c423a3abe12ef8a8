"""Fit an explicit head family to the scans of one person: Gauss-Newton, damped (Levenberg-Marquardt), within bounds.

The first stage of registration (imHead Eq. 14, NPHM Eq. 1): it finds identity, expression and pose; what the family
cannot say is left to the non-rigid step after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from headfield.curate.parametric_options import ParametricOptions
from headfield.curate.parametric_problem import Lines, ParametricProblem, ScanState
from headfield.curate.parametric_target import ScanTarget, view_of
from headfield.errors import ConfigError
from headfield.fit.box_qp import box_minimum
from headfield.fit.cholesky import Cholesky
from headfield.fit.normal_equations import POSE
from headfield.fit.placement import Placement, millimetres_per_unit, size_log_of
from headfield.parametric.normalise import normalising_similarity
from headfield.parametric.protocol import ParametricHead
from headfield.parametric.topology import vertex_normals
from headfield.types import Mesh

REACH_UNITS = 0.02
"""Points within this distance of the head (5 mm) are explained by it."""


@dataclass(frozen=True)
class ScanFit:
    """What was found for one scan.

    Attributes:
        name: Of the scan.
        placement: Scan frame and unit -> model frame; that of the *fitted* head, whose size it tells.
        expression: (E,) the family's expression numbers.
        pose: (P,) rotation vectors, radians.
        vertices: (V, 3) the posed head, model frame: where the head turns on its neck, skull and face stay in the frame
            and the neck bends.
        points: (N, 3) points of the scan that counted, its own frame.
        distances: (N,) their signed distances to the head in millimetres, positive outside.
        explained: (N,) bool, those that lie on the head: near it, with the same normal, and not beyond its cut.
        landmark_mm: (68,) distances of the landmarks to those of the head in millimetres, NaN where not found.
    """

    name: str
    placement: Placement
    expression: np.ndarray
    pose: np.ndarray
    vertices: np.ndarray
    points: np.ndarray
    distances: np.ndarray
    explained: np.ndarray
    landmark_mm: np.ndarray


@dataclass(frozen=True)
class ParametricFit:
    """An explicit head fitted to the scans of one person.

    Attributes:
        head: The family.
        identity: (n,) shared by all scans.
        neutral: (V, 3) the head at rest, model frame.
        scans: What was found for each scan.
        cost: Objective at the end, nats.
        sigma_mm: Spread of the distances that was estimated, the first scan's.
        iterations: Steps taken.
    """

    head: ParametricHead
    identity: np.ndarray
    neutral: np.ndarray
    scans: tuple[ScanFit, ...]
    cost: float
    sigma_mm: float
    iterations: int

    def mesh(self, index: int | None = None) -> Mesh:
        """The head of a scan, or at rest (None), in the model frame."""
        return Mesh(self.neutral if index is None else self.scans[index].vertices, self.head.triangles)


def fit_parametric(
    head: ParametricHead,
    targets: Sequence[ScanTarget],
    options: ParametricOptions | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> ParametricFit:
    """Fit one identity to the scans of one person, and to each scan a placement, a pose and an expression.

    Args:
        head: The family.
        targets: The scans, each with the placement of its head.
        options: See :class:`headfield.curate.parametric_options.ParametricOptions`.
        progress: Called with the step and the objective.
    Raises:
        ConfigError: There is no target.
        ScanError: A scan has hardly any point around its head, or its landmarks are no 68 points.
    """
    options = ParametricOptions() if options is None else options
    if not targets:
        raise ConfigError("no scan given: expected at least one target.")
    prior = head.identity_prior()
    raw = head.raw_vertices(prior.mean)
    mean = normalising_similarity(head.anchors(raw)).apply(raw)
    normals = vertex_normals(mean, head.triangles)
    views = [view_of(target, mean, normals, options.points, options.seed) for target in targets]
    problem = ParametricProblem(head, views, options)
    return _result(problem, *_solve(problem, progress))


def _solve(problem: ParametricProblem, progress) -> tuple[np.ndarray, list[ScanState], float, int]:
    options, head = problem.options, problem.head
    identity = problem.identity.mean.copy()
    rest = np.clip(np.zeros(head.n_expression), problem.expression.lower, problem.expression.upper)
    states = [ScanState(similarity, rest, np.zeros(head.n_pose)) for similarity in problem.start]
    damping, before, cost = 1e-3, None, np.inf
    taken = 0
    for step in range(options.iterations):
        scale = options.gate.scale(step)
        if step % options.look_again == 0:
            problem.look(identity, states)
            before = None  # another surface, another objective
        lines = problem.lines(identity, states)
        if before is not None:
            cost = problem.cost(identity, states, lines, before["held"])
            if cost > before["cost"] * (1.0 + 1e-4) + 1e-9:
                damping = min(8.0 * damping, 1e3)
                identity, states = _step(problem, before, damping)
                continue
            damping = max(damping / 4.0, 1e-5)
        held = problem.weigh(lines, states, scale)
        cost = problem.cost(identity, states, lines, held)
        settled = before is not None and abs(cost - before["cost"]) < 1e-4 * abs(cost) and step > options.gate.steps
        before = {
            "identity": identity,
            "states": states,
            "held": held,
            "cost": cost,
            "equations": problem.equations(identity, states, lines, held),
            "rigid": step < options.rigid_steps,
        }
        taken += 1
        if progress is not None:
            progress(taken, cost)
        if settled:
            break
        identity, states = _step(problem, before, damping)
    return identity, states, cost, taken


def _step(problem: ParametricProblem, before: dict, damping: float) -> tuple[np.ndarray, list[ScanState]]:
    """Solve the damped equations: the smooth unknowns eliminated, expressions in their box, then back."""
    identity, states, (hessian, slope) = before["identity"], before["states"], before["equations"]
    shared, per, channels, count = problem.n_shared, problem.n_view, problem.head.n_expression, len(states)
    smooth = shared + per * count
    damped = hessian[:smooth, :smooth].copy()
    damped[np.diag_indices(smooth)] *= 1.0 + damping
    damped[np.diag_indices(smooth)] += 1e-9
    # a number at its bound that would go beyond is held for this step
    low = (identity <= problem.identity.lower) & (slope[:shared] > 0)
    fixed = np.flatnonzero(low | ((identity >= problem.identity.upper) & (slope[:shared] < 0)))
    similarity = (shared + per * np.arange(count)[:, None] + np.arange(POSE)).ravel()
    poses = (shared + per * np.arange(count)[:, None] + np.arange(POSE, per)).ravel()
    if before["rigid"]:
        fixed = np.setdiff1d(np.arange(smooth), similarity)
    elif not problem.options.pose:
        fixed = np.concatenate([fixed, poses])
    damped[fixed, fixed] = 1e18
    factor = Cholesky(damped)
    now = np.concatenate([state.expression for state in states])
    target = now
    if problem.options.expression == "fit" and not before["rigid"]:
        target = _expressions(problem, hessian, slope, factor, now, damping)
    step = -factor.solve(slope[:smooth] + hessian[:smooth, smooth:] @ (target - now))
    step[fixed] = 0.0
    limit = min(1.0, 2.5 / max(1e-9, float(np.abs(step[:shared] / problem.identity.deviation).max())))
    moved = []
    for index, state in enumerate(states):
        own = limit * step[shared + per * index : shared + per * (index + 1)]
        pose = np.clip(state.pose + own[POSE:], problem.pose.lower, problem.pose.upper)
        expression = target[channels * index : channels * (index + 1)]
        moved.append(ScanState(problem.moved(state.similarity, own[:POSE]), expression, pose))
    return np.clip(identity + limit * step[:shared], problem.identity.lower, problem.identity.upper), moved


def _expressions(problem: ParametricProblem, hessian, slope, factor: Cholesky, now: np.ndarray, damping: float):
    """Expression numbers of all scans that minimise the quadratic model within their bounds, 0.5 away at most."""
    smooth = len(slope) - len(now)
    cross = hessian[:smooth, smooth:]
    eliminated = factor.solve(np.column_stack([cross, slope[:smooth]]))
    reduced = hessian[smooth:, smooth:] - cross.T @ eliminated[:, :-1]
    reduced[np.diag_indices_from(reduced)] *= 1.0 + damping
    linear = slope[smooth:] - cross.T @ eliminated[:, -1] - reduced @ now
    count = len(now) // problem.head.n_expression
    lower = np.maximum(np.tile(problem.expression.lower, count), now - 0.5)
    upper = np.minimum(np.tile(problem.expression.upper, count), now + 0.5)
    held = np.repeat([view.at_rest for view in problem.views], problem.head.n_expression)
    lower[held] = upper[held] = now[held]
    return box_minimum(reduced, linear, now, lower, upper)


def _result(
    problem: ParametricProblem, identity: np.ndarray, states: list[ScanState], cost: float, taken: int
) -> ParametricFit:
    head = problem.head
    raw = head.raw_vertices(identity)
    to_model = normalising_similarity(head.anchors(raw))
    problem.look(identity, states)
    lines = problem.lines(identity, states)
    held = problem.weigh(lines, states, problem.options.gate.end)
    scans = [_scan_fit(problem, index, line, state, identity) for index, (line, state) in enumerate(zip(lines, states))]
    sigma = held[0]["sigma"] * millimetres_per_unit(np.exp(problem.log_scale[0]) * problem.unit, _units(problem, 0))
    return ParametricFit(head, identity, to_model.apply(raw), tuple(scans), cost, sigma, taken)


def _units(problem: ParametricProblem, index: int) -> str:
    return problem.views[index].placement.units


def _scan_fit(problem: ParametricProblem, index: int, line: Lines, state: ScanState, identity: np.ndarray) -> ScanFit:
    view, units = problem.views[index], _units(problem, index)
    # a turn of the head is placement: what stays in the shape is how the neck bends under it
    to_model = normalising_similarity(problem.head.anchors(problem.head.raw_vertices(identity, None, state.pose)))
    similarity = to_model.after(state.similarity)
    mm = millimetres_per_unit(similarity.scale, units) * to_model.scale
    explained = line.passed & (np.abs(line.residual) * to_model.scale < REACH_UNITS)
    evidence = {
        "explained": float(explained.mean()),
        "median_mm": float(np.median(np.abs(line.residual[explained])) * mm) if explained.any() else float("inf"),
    }
    placement = Placement(similarity, units, size_log_of(similarity.scale, units), view.placement.score, evidence)
    gap = np.where(view.confidence > 0, np.linalg.norm(line.landmark, axis=1) * mm, np.nan)
    vertices = to_model.apply(problem.vertices(identity, state))
    return ScanFit(
        view.name, placement, state.expression, state.pose, vertices, view.points, line.residual * mm, explained, gap
    )
