"""Levenberg-Marquardt on identity, expression and placement.

Residuals are signed distances f(T x) of scan points; the Jacobian by the code is exact and explicit
(performance.md section 8), so 15 to 25 steps do what hundreds of Adam steps do. The prior is z ~ N(mean, I), a sparse
prior with bounds [0, 1] on expression weights, and a normal prior on log-size. Same input and seed, same result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.transform import Rotation

from headfield.fit.box_qp import box_minimum
from headfield.fit.gate import Gate
from headfield.fit.normal_equations import (
    CENTRE,
    POSE,
    Cloud,
    Linearised,
    ViewState,
    linearise,
    model_anchors,
    robust_cost,
    robust_scales,
    weigh,
)
from headfield.types import Similarity


@dataclass(frozen=True)
class SolverOptions:
    """How the solver works."""

    iterations: int = 18
    """Most steps of each phase."""
    gate: Gate = field(default_factory=Gate)
    """Schedule of the outlier gate."""
    sigma: float = 0.0016
    """Least residual of a perfect fit, model units (0.4 mm): the model's own error."""
    trust: float = 0.25
    """Independent observations per scan point; neighbours see the same model error."""
    reserve: float = 0.6
    """Residuals are taken for at least this share of the gate's excess over its end, which holds the code back until
    the placement has settled."""
    prior: float = 1.0
    """Strength of the prior on the identity code."""
    expression: str = "auto"
    """``neutral`` leaves it out, ``fit`` always solves it, ``auto`` when the scan asks for it."""
    sparsity: float = 4.0
    """Cost of one full expression channel (the slope of the L1 prior)."""
    expression_gain: float = 30.0
    """Decrease of the cost (in nats) that expression must promise before ``auto`` solves it."""
    early_points: int = 1500
    """Points used while the gate is still wide."""
    early_iterations: int = 7
    """Steps on those."""
    hair: bool = True
    """Keep the gate open outward over scalp and jaw."""
    solve_placement: bool = True
    """Move the placement too; otherwise it stays as given."""


@dataclass(frozen=True)
class View:
    """One scan to explain.

    Attributes:
        cloud: Its points.
        similarity: Start, scan -> model frame.
        log_scale: Expected log of the similarity's scale, from the unit and the prior on size.
        log_scale_sd: Its standard deviation; large for a free size.
    """

    cloud: Cloud
    similarity: Similarity
    log_scale: float
    log_scale_sd: float = 0.1


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
    mean: np.ndarray,
    options: SolverOptions = SolverOptions(),
    *,
    identity: np.ndarray | None = None,
    expressions: list[np.ndarray | None] | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> Solution:
    """Fit one identity, and one placement and expression per view.

    Args:
        model: HeadModel with ``value_and_jacobian``, ``anchors`` and ``box``.
        views: The scans of one person.
        mean: (D,) mean of the prior on the code.
        options: See :class:`SolverOptions`.
        identity: (D,) start, default the mean.
        expressions: Start of every view's expression; None starts neutral.
        progress: Called with the step and the objective.
    """
    start = np.array(mean if identity is None else identity, dtype=float)
    states = [ViewState(view.similarity, None) for view in views]
    if expressions is not None:
        states = [ViewState(view.similarity, e) for view, e in zip(views, expressions)]
    run = _Run(model, views, np.asarray(mean, dtype=float), options, progress)
    if options.expression == "neutral" or expressions is not None:
        return run.phase(start, states, options.iterations, 0)
    early = min(options.early_iterations, options.iterations)
    solution = run.phase(start, states, early, 0)
    if options.expression == "fit" or run.asks_for_expression(solution):
        states = run.with_expression(solution)
        return run.phase(solution.identity, states, options.iterations, max(0, early - 3))
    solution = run.phase(solution.identity, list(solution.views), options.iterations - early, early)
    if run.asks_for_expression(solution):
        states = run.with_expression(solution)
        solution = run.phase(solution.identity, states, options.iterations // 2, early)
    return solution


class _Run:
    """The state shared by the phases of one solve."""

    def __init__(self, model, views, mean, options, progress) -> None:
        self.model, self.views, self.mean, self.options, self.progress = model, views, mean, options, progress
        self.taken = 0
        self.history: list[float] = []

    # ---- one phase ---------------------------------------------------------------------------------------------

    def phase(self, identity: np.ndarray, states: list[ViewState], iterations: int, step: int) -> Solution:
        """LM steps from a state; `step` is where the gate's schedule starts."""
        options = self.options
        damping, before, held = 1e-3, None, None
        for k in range(iterations):
            early = step + k < options.early_iterations
            count = options.early_points if early else None
            lines = [linearise(self.model, identity, s, v.cloud.points[:count]) for v, s in zip(self.views, states)]
            scale = options.gate.scale(step + k)
            if before is not None and len(before["lines"][0].residual) == len(lines[0].residual):
                worse = self._worse(before, identity, states, lines)
                if worse:
                    damping = min(damping * 8.0, 1e3)
                    identity, states = self._step(before, damping)
                    self._tell(before["cost"])
                    continue
                damping = max(damping / 4.0, 1e-5)
            anchors = model_anchors(self.model, identity)
            held = self._assemble(identity, states, lines, anchors, scale)
            new_identity, new_states = self._step(held, damping)
            settled = before is not None and abs(held["cost"] - before["cost"]) < 3e-3 * before["cost"]
            before, identity, states = held, new_identity, new_states
            self._tell(held["cost"])
            if settled and not early and step + k > options.gate.steps:
                break
        return self._finish(identity, states, step + iterations)

    def _tell(self, cost: float) -> None:
        self.taken += 1
        self.history.append(cost)
        if self.progress is not None:
            self.progress(self.taken, cost)

    def _finish(self, identity: np.ndarray, states: list[ViewState], step: int) -> Solution:
        lines = [linearise(self.model, identity, s, v.cloud.points) for v, s in zip(self.views, states)]
        anchors = model_anchors(self.model, identity)
        held = self._assemble(identity, states, lines, anchors, self.options.gate.scale(step), products=False)
        return Solution(
            identity,
            tuple(states),
            tuple(line.residual for line in lines),
            tuple(held["scales"]),
            held["cost"],
            float(np.mean(held["strengths"])),
            self.taken,
            tuple(self.history),
        )

    # ---- equations -----------------------------------------------------------------------------------------------

    def _assemble(
        self, identity, states, lines: list[Linearised], anchors, scale: float, products: bool = True, hold: bool = True
    ) -> dict:
        """Weights, cost and the normal equations in the order identity, poses, expressions."""
        options, d = self.options, len(identity)
        scales, strengths, weights, costs = [], [], [], []
        # while the gate is wide the placement is still off, so residuals are not noise: hold the code back
        floor = options.reserve * (scale - options.gate.end) if hold else 0.0
        for line, state, view in zip(lines, states, self.views):
            gates = robust_scales(line, anchors, state, view.cloud, scale, options.hair)
            trust = options.trust * len(view.cloud.points) / max(1, len(line.residual))
            weight, strength, cost = weigh(line, gates, options.sigma, trust, floor)
            scales.append(gates)
            strengths.append(strength)
            weights.append(weight)
            costs.append(cost)
        held = {
            "identity": identity,
            "states": states,
            "lines": lines,
            "scales": scales,
            "strengths": strengths,
            "cost": sum(costs) + self._prior_cost(identity, states),
        }
        if not products:
            return held
        views = len(states)
        smooth = d + POSE * views
        channels = [0 if s.expression is None else len(s.expression) for s in states]
        total = smooth + sum(channels)
        hessian, slope = np.zeros((total, total)), np.zeros(total)
        at = smooth
        for index, (line, weight, state) in enumerate(zip(lines, weights, states)):
            where = np.concatenate([np.arange(d), d + POSE * index + np.arange(POSE), at + np.arange(channels[index])])
            at += channels[index]
            used = weight > 1e-3 * weight.max(initial=0.0)
            root = np.sqrt(weight[used])
            rows = line.jacobian[used] * root[:, None].astype(np.float32)
            block = (rows.T @ rows).astype(float)
            hessian[np.ix_(where, where)] += block
            slope[where] += rows.T.astype(float) @ (root * line.residual[used])
            view = self.views[index]
            size = d + POSE * index + POSE - 1
            hessian[size, size] += 1.0 / view.log_scale_sd**2
            slope[size] += (np.log(state.similarity.scale) - view.log_scale) / view.log_scale_sd**2
        hessian[np.arange(d), np.arange(d)] += options.prior
        slope[:d] += options.prior * (identity - self.mean)
        held |= {"hessian": hessian, "slope": slope, "channels": channels, "smooth": smooth}
        return held

    def _prior_cost(self, identity: np.ndarray, states: list[ViewState]) -> float:
        cost = 0.5 * self.options.prior * float(((identity - self.mean) ** 2).sum())
        for view, state in zip(self.views, states):
            cost += 0.5 * ((np.log(state.similarity.scale) - view.log_scale) / view.log_scale_sd) ** 2
            if state.expression is not None:
                cost += self.options.sparsity * float(state.expression.sum() + 0.5 * (state.expression**2).sum())
        return cost

    def _worse(self, before: dict, identity, states, lines: list[Linearised]) -> bool:
        """Whether a step raised the objective, judged by the scales under which it was taken."""
        cost = self._prior_cost(identity, states)
        for line, scales, strength, view in zip(lines, before["scales"], before["strengths"], self.views):
            trust = self.options.trust * len(view.cloud.points) / max(1, len(line.residual))
            cost += robust_cost(line.residual, scales, strength, trust)
        return cost > before["cost"] * (1.0 + 1e-4) + 1e-9

    def _step(self, held: dict, damping: float) -> tuple[np.ndarray, list[ViewState]]:
        """Solve the damped equations: smooth unknowns eliminated, expression in its box, then back."""
        smooth, identity, states = held["smooth"], held["identity"], held["states"]
        hessian, slope = held["hessian"], held["slope"]
        d = len(identity)
        damped = hessian[:smooth, :smooth].copy()
        damped[np.arange(smooth), np.arange(smooth)] *= 1.0 + damping
        damped[np.arange(smooth), np.arange(smooth)] += 1e-9
        if not self.options.solve_placement:
            damped[np.arange(d, smooth), np.arange(d, smooth)] = 1e12
        factor = cho_factor(damped, check_finite=False)
        step = -cho_solve(factor, slope[:smooth], check_finite=False)
        if len(slope) > smooth:
            start = np.concatenate([s.expression for s in states if s.expression is not None])
            target = self._expression(held, factor, start, damping)
            step = -cho_solve(factor, slope[:smooth] + hessian[:smooth, smooth:] @ (target - start), check_finite=False)
        else:
            target = np.zeros(0)
        limit = min(1.0, 2.5 / max(1e-9, float(np.abs(step[:d]).max())))
        moved, at = [], 0
        for index, (state, count) in enumerate(zip(states, held["channels"])):
            pose = step[d + POSE * index : d + POSE * (index + 1)]
            expression = None if count == 0 else target[at : at + count]
            at += count
            moved.append(ViewState(_moved(state.similarity, limit * pose), expression))
        return identity + limit * step[:d], moved

    def _expression(self, held: dict, factor, start: np.ndarray, damping: float) -> np.ndarray:
        """Expression weights (all views) that minimise the quadratic model, the smooth unknowns eliminated."""
        smooth, hessian, slope = held["smooth"], held["hessian"], held["slope"]
        cross = hessian[:smooth, smooth:]
        eliminated = cho_solve(factor, np.column_stack([cross, slope[:smooth]]), check_finite=False)
        reduced = hessian[smooth:, smooth:] - cross.T @ eliminated[:, :-1]
        reduced[np.diag_indices_from(reduced)] *= 1.0 + damping
        pull = slope[smooth:] - cross.T @ eliminated[:, -1]
        sparsity = self.options.sparsity
        reduced[np.diag_indices_from(reduced)] += sparsity
        linear = pull - (reduced - sparsity * np.eye(len(start))) @ start + sparsity
        lower, upper = np.maximum(0.0, start - 0.5), np.minimum(1.0, start + 0.5)
        return box_minimum(reduced, linear, start, lower, upper)

    # ---- expression ----------------------------------------------------------------------------------------------

    def with_expression(self, solution: Solution) -> list[ViewState]:
        """The views with expression switched on, at zero."""
        channels = int(self.model.config.expression)
        return [
            ViewState(s.similarity, np.zeros(channels) if s.expression is None else s.expression)
            for s in solution.views
        ]

    def asks_for_expression(self, solution: Solution) -> bool:
        """Whether one linearised step with expression promises a decrease worth the trouble."""
        states = self.with_expression(solution)
        count = self.options.early_points
        lines = [
            linearise(self.model, solution.identity, s, v.cloud.points[:count]) for v, s in zip(self.views, states)
        ]
        anchors = model_anchors(self.model, solution.identity)
        held = self._assemble(solution.identity, states, lines, anchors, 0.03, hold=False)
        smooth = held["smooth"]
        damped = held["hessian"][:smooth, :smooth] + 1e-6 * np.eye(smooth)
        factor = cho_factor(damped, check_finite=False)
        start = np.zeros(len(held["slope"]) - smooth)
        target = self._expression(held, factor, start, 0.0)
        if not target.any():
            return False
        cross, slope = held["hessian"][:smooth, smooth:], held["slope"]
        reduced = held["hessian"][smooth:, smooth:] - cross.T @ cho_solve(factor, cross, check_finite=False)
        pull = slope[smooth:] - cross.T @ cho_solve(factor, slope[:smooth], check_finite=False)
        gain = -(0.5 * target @ reduced @ target + pull @ target)
        return bool(gain > self.options.expression_gain)


def _moved(similarity: Similarity, step: np.ndarray) -> Similarity:
    """A similarity after a pose step in the model frame about CENTRE; long steps are shortened."""
    turn = step[:3] * min(1.0, 0.3 / max(1e-12, float(np.linalg.norm(step[:3]))))
    shift = step[3:6] * min(1.0, 0.15 / max(1e-12, float(np.linalg.norm(step[3:6]))))
    rotation = Rotation.from_rotvec(turn).as_matrix()
    grow = float(np.exp(np.clip(step[6], -0.1, 0.1)))
    change = Similarity(rotation, CENTRE + shift - grow * rotation @ CENTRE, grow)
    return change.after(similarity)
