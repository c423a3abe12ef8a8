"""Levenberg-Marquardt on identity, expression and placement.

The Jacobian by the code is exact and explicit (performance.md section 8), so 15 to 25 steps do what hundreds of Adam
steps do. Same input and seed, same result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from headfield.fit.cholesky import Cholesky
from headfield.fit.expression import propose, prune
from headfield.fit.normal_equations import CENTRE, POSE, ViewState
from headfield.fit.problem import Problem, SolverOptions, View
from headfield.models.prior import Gaussian
from headfield.types import Similarity

RELAXED = 0.3
"""Share of what the prior takes from the weights that were kept while they are solved for the last time."""


@dataclass(frozen=True)
class Solution:
    """What the solver found.

    Attributes:
        identity: (D,) code.
        views: Placement and expression of every view.
        residuals: Per view, (N,) signed distance of its points in the cloud's order, model units.
        scales: Per view, (N,) robust scales at the end; 0 where a point belongs to the body.
        cost: Objective at the end (nats; comparable at equal options and points).
        sigma: Residual spread that was estimated, model units.
        iterations: Steps taken.
        history: Objective after every step.
    """

    identity: np.ndarray
    views: tuple[ViewState, ...]
    residuals: tuple[np.ndarray, ...]
    scales: tuple[np.ndarray, ...]
    cost: float
    sigma: float
    iterations: int
    history: tuple[float, ...] = ()


def solve(
    model,
    views: list[View],
    prior: Gaussian,
    options: SolverOptions | None = None,
    *,
    identity: np.ndarray | None = None,
    expressions: list[np.ndarray | None] | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> Solution:
    """Fit one identity, and one placement and expression per view.

    Args:
        model: HeadModel with ``value_and_jacobian``, ``anchors`` and ``box``.
        views: The scans of one person.
        prior: Distribution of the code.
        options: See :class:`headfield.fit.problem.SolverOptions`.
        identity: (D,) start, default the prior's mean.
        expressions: Start of every view's expression; None starts neutral.
        progress: Called with the step and the objective.
    """
    options = SolverOptions() if options is None else options
    start = np.array(prior.mean if identity is None else identity, dtype=float)
    states = [ViewState(view.similarity, None, view.free) for view in views]
    if expressions is not None:
        states = [ViewState(view.similarity, e, view.free) for view, e in zip(views, expressions)]
    problem = Problem(model, views, prior, options)
    solver = _LevenbergMarquardt(options, progress)
    if options.expression == "neutral" or expressions is not None:
        return solver.phase(problem, start, states, options.iterations, 0)
    return _read(problem, solver, start, states)


def _read(problem: Problem, solver: _LevenbergMarquardt, identity: np.ndarray, states: list[ViewState]) -> Solution:
    """Identity and expressions, neither known.

    While expressions are read the code is held back, for it can wear nearly any one expression as a trait; what is
    read is thinned out, solved once more with less of its prior, which shrinks it, and held while the code settles.
    """
    options = problem.options
    reader = problem.with_options(prior=options.prior * options.reading)
    early = min(options.early_iterations, options.iterations)
    solution = solver.phase(reader, identity, states, early, 0)
    proposed = propose(reader, solution.identity, solution.views, always=options.expression == "fit")
    if proposed is None:
        solution = solver.phase(problem, solution.identity, list(solution.views), options.iterations - early, early)
        proposed = propose(reader, solution.identity, solution.views)
        if proposed is None:
            return solution
    for _ in range(options.proposals):
        solution = solver.phase(reader, *proposed, options.iterations * 2 // 3, max(0, early - 3))
        proposed = propose(reader, solution.identity, solution.views)
        if proposed is None:
            break
    settled = options.gate.steps
    identity, states = prune(reader, solution.identity, solution.views)
    if any(state.expression is not None for state in states):
        solution = solver.phase(reader.relaxed(RELAXED), identity, states, options.iterations // 3, settled)
        nothing = np.zeros(len(problem.space), dtype=bool)
        identity, states = solution.identity, [replace(state, free=nothing) for state in solution.views]
    return solver.phase(problem, identity, states, options.iterations // 2, settled)


class _LevenbergMarquardt:
    """Steps on problems that differ in their strengths only, in one or more phases."""

    def __init__(self, options: SolverOptions, progress: Callable[[int, float], None] | None) -> None:
        self.options, self.progress = options, progress
        self.taken = 0
        self.history: list[float] = []

    def phase(
        self, problem: Problem, identity: np.ndarray, states: list[ViewState], iterations: int, step: int
    ) -> Solution:
        """LM steps on a problem from a state; `step` is where the gate's schedule starts."""
        options = self.options
        damping, before, held = 1e-3, None, None
        for k in range(iterations):
            early = step + k < options.early_iterations
            count = options.early_points if early else None
            lines = problem.linearised(identity, states, count)
            scale = options.gate.scale(step + k)
            if before is not None and len(before["lines"][0].residual) == len(lines[0].residual):
                cost = problem.cost_under(before, identity, states, lines)
                if cost > before["cost"] * (1.0 + 1e-4) + 1e-9:
                    damping = min(damping * 8.0, 1e3)
                    identity, states = self._step(problem, before, damping)
                    self._tell(before["cost"])
                    continue
                damping = max(damping / 4.0, 1e-5)
            held = problem.assemble(identity, states, lines, scale)
            new_identity, new_states = self._step(problem, held, damping)
            settled = before is not None and abs(held["cost"] - before["cost"]) < 3e-3 * before["cost"]
            before, identity, states = held, new_identity, new_states
            self._tell(held["cost"])
            if settled and not early and step + k > options.gate.steps:
                break
        return self._finish(problem, identity, states, step + iterations)

    def _tell(self, cost: float) -> None:
        self.taken += 1
        self.history.append(cost)
        if self.progress is not None:
            self.progress(self.taken, cost)

    def _finish(self, problem: Problem, identity: np.ndarray, states: list[ViewState], step: int) -> Solution:
        lines = problem.linearised(identity, states)
        held = problem.assemble(identity, states, lines, problem.options.gate.scale(step), products=False)
        residuals = [
            line.residual * state.similarity.scale / np.exp(view.log_scale)
            for line, state, view in zip(lines, states, problem.views)
        ]
        return Solution(
            identity,
            tuple(states),
            tuple(residuals),
            tuple(held["scales"]),
            held["cost"],
            float(np.median(np.concatenate(held["strengths"]))),
            self.taken,
            tuple(self.history),
        )

    def _step(self, problem: Problem, held: dict, damping: float) -> tuple[np.ndarray, list[ViewState]]:
        """Solve the damped equations: smooth unknowns eliminated, expression in its box, then back."""
        smooth, identity, states = held["smooth"], held["identity"], held["states"]
        hessian, slope = held["hessian"], held["slope"]
        d = len(identity)
        damped = hessian[:smooth, :smooth].copy()
        damped[np.arange(smooth), np.arange(smooth)] *= 1.0 + damping
        damped[np.arange(smooth), np.arange(smooth)] += 1e-9
        if not problem.options.solve_placement:
            damped[np.arange(d, smooth), np.arange(d, smooth)] = 1e12
        factor = Cholesky(damped)
        step = -factor.solve(slope[:smooth])
        if len(slope) > smooth:
            start = np.concatenate([s.expression for s in states if s.expression is not None])
            free = np.concatenate([s.movable for s in states if s.expression is not None])
            target = problem.expression_minimum(held, factor, start, free, damping)
            step = -factor.solve(slope[:smooth] + hessian[:smooth, smooth:] @ (target - start))
        else:
            target = np.zeros(0)
        limit = min(1.0, 2.5 / max(1e-9, float(np.abs(step[:d]).max())))
        moved, at = [], 0
        for index, (state, count) in enumerate(zip(states, held["channels"])):
            pose = step[d + POSE * index : d + POSE * (index + 1)]
            expression = None if count == 0 else target[at : at + count]
            at += count
            moved.append(ViewState(_moved(state.similarity, limit * pose), expression, state.free))
        return identity + limit * step[:d], moved


def _moved(similarity: Similarity, step: np.ndarray) -> Similarity:
    """A similarity after a pose step in the model frame about CENTRE; long steps are shortened."""
    turn = step[:3] * min(1.0, 0.3 / max(1e-12, float(np.linalg.norm(step[:3]))))
    shift = step[3:6] * min(1.0, 0.15 / max(1e-12, float(np.linalg.norm(step[3:6]))))
    rotation = Rotation.from_rotvec(turn).as_matrix()
    grow = float(np.exp(np.clip(step[6], -0.1, 0.1)))
    change = Similarity(rotation, CENTRE + shift - grow * rotation @ CENTRE, grow)
    return change.after(similarity)
