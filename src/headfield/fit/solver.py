"""Levenberg-Marquardt on identity, expression and placement.

Residuals are signed distances f(T x) of scan points; the Jacobian by the code is exact and explicit
(performance.md section 8), so 15 to 25 steps do what hundreds of Adam steps do. The prior on the code is normal (one
hair class), that on expression weights sparse with bounds [0, 1], that on log-size normal. Same input and seed, same
result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.transform import Rotation

from headfield.fit.box_qp import box_minimum
from headfield.fit.expression import propose
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
from headfield.models.prior import Gaussian
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
    patch: float = 0.064
    """Side of the patches of surface (model units, 16 mm) that count as one observation each: the model's error is the
    same all over a patch, so that more points on it tell no more."""
    reserve: float = 0.6
    """Residuals are taken for at least this share of the gate's excess over its end, which holds the code back until
    the placement has settled."""
    prior: float = 1.0
    """Strength of the prior on the identity code."""
    expression: str = "auto"
    """``neutral`` leaves it out, ``fit`` always solves it, ``auto`` when the scan asks for it."""
    proposals: int = 2
    """Most phases with expression, each begun by a proposal of channels."""
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
    prior: Gaussian,
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
        prior: Distribution of the code.
        options: See :class:`SolverOptions`.
        identity: (D,) start, default the prior's mean.
        expressions: Start of every view's expression; None starts neutral.
        progress: Called with the step and the objective.
    """
    start = np.array(prior.mean if identity is None else identity, dtype=float)
    states = [ViewState(view.similarity, None) for view in views]
    if expressions is not None:
        states = [ViewState(view.similarity, e) for view, e in zip(views, expressions)]
    run = Run(model, views, prior, options, progress)
    if options.expression == "neutral" or expressions is not None:
        return run.phase(start, states, options.iterations, 0)
    early = min(options.early_iterations, options.iterations)
    solution = run.phase(start, states, early, 0)
    proposed = propose(run, solution, always=options.expression == "fit")
    if proposed is None:
        solution = run.phase(solution.identity, list(solution.views), options.iterations - early, early)
        proposed = propose(run, solution)
    for _ in range(options.proposals):
        if proposed is None:
            break
        solution = run.phase(*proposed, options.iterations * 2 // 3, max(0, early - 3))
        proposed = propose(run, solution)
    return solution


class Run:
    """The state shared by the phases of one solve."""

    def __init__(self, model, views, prior, options, progress) -> None:
        self.model, self.views, self.prior, self.options, self.progress = model, views, prior, options, progress
        self.observed = [observations(view, options.patch) for view in views]
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
            lines = self.linearised(identity, states, count)
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
            held = self.assemble(identity, states, lines, anchors, scale)
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
        lines = self.linearised(identity, states)
        anchors = model_anchors(self.model, identity)
        held = self.assemble(identity, states, lines, anchors, self.options.gate.scale(step), products=False)
        return Solution(
            identity,
            tuple(states),
            tuple(line.residual * s.similarity.scale / np.exp(v.log_scale) for line, s, v in zip(lines, states, self.views)),
            tuple(held["scales"]),
            held["cost"],
            float(np.mean(held["strengths"])),
            self.taken,
            tuple(self.history),
        )

    def linearised(self, identity: np.ndarray, states: list[ViewState], count: int | None = None) -> list[Linearised]:
        """Every view (its first `count` points) at a state, residuals at the scale that its unit lets expect."""
        return [
            linearise(self.model, identity, state, view.cloud.points[:count], float(np.exp(view.log_scale)))
            for view, state in zip(self.views, states)
        ]

    # ---- equations -----------------------------------------------------------------------------------------------

    def assemble(
        self,
        identity,
        states,
        lines: list[Linearised],
        anchors,
        scale: float,
        products: bool = True,
        hold: bool = True,
        sigma: float | None = None,
    ) -> dict:
        """Weights, cost and the normal equations in the order identity, poses, expressions; `sigma` overrules the
        residuals' own standard deviation."""
        options, d = self.options, len(identity)
        scales, strengths, weights, costs = [], [], [], []
        # while the gate is wide the placement is still off, so residuals are not noise: hold the code back
        floor = options.reserve * (scale - options.gate.end) if hold else 0.0
        for line, state, view, observed in zip(lines, states, self.views, self.observed):
            gates = robust_scales(line, anchors, state, view.cloud, scale, options.hair)
            trust = observed / max(1, len(line.residual))
            least = max(options.sigma, floor)
            weight, strength, cost = weigh(line, gates, least, trust, sigma)
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
        hessian[:d, :d] += options.prior * self.prior.precision
        slope[:d] += options.prior * (self.prior.precision @ (identity - self.prior.mean))
        held |= {"hessian": hessian, "slope": slope, "channels": channels, "smooth": smooth}
        return held

    def _prior_cost(self, identity: np.ndarray, states: list[ViewState]) -> float:
        cost = self.options.prior * self.prior.cost(identity)
        for view, state in zip(self.views, states):
            cost += 0.5 * ((np.log(state.similarity.scale) - view.log_scale) / view.log_scale_sd) ** 2
            if state.expression is not None:
                cost += self.options.sparsity * float(state.expression.sum() + 0.5 * (state.expression**2).sum())
        return cost

    def _worse(self, before: dict, identity, states, lines: list[Linearised]) -> bool:
        """Whether a step raised the objective, judged by the scales under which it was taken."""
        cost = self._prior_cost(identity, states)
        for line, scales, strength, observed in zip(lines, before["scales"], before["strengths"], self.observed):
            cost += robust_cost(line.residual, scales, strength, observed / max(1, len(line.residual)))
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
            target = self.expression_minimum(held, factor, start, damping)
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

    def expression_minimum(
        self, held: dict, factor, start: np.ndarray, damping: float, reach: float = 0.5
    ) -> np.ndarray:
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
        lower, upper = np.maximum(0.0, start - reach), np.minimum(1.0, start + reach)
        return box_minimum(reduced, linear, start, lower, upper)


def observations(view: View, patch: float) -> int:
    """Independent observations in a view: the patches (cubes of a side in model units) that its points touch."""
    cells = np.floor(view.similarity.apply(view.cloud.points) / patch).astype(np.int64)
    return len(np.unique(cells, axis=0))


def _moved(similarity: Similarity, step: np.ndarray) -> Similarity:
    """A similarity after a pose step in the model frame about CENTRE; long steps are shortened."""
    turn = step[:3] * min(1.0, 0.3 / max(1e-12, float(np.linalg.norm(step[:3]))))
    shift = step[3:6] * min(1.0, 0.15 / max(1e-12, float(np.linalg.norm(step[3:6]))))
    rotation = Rotation.from_rotvec(turn).as_matrix()
    grow = float(np.exp(np.clip(step[6], -0.1, 0.1)))
    change = Similarity(rotation, CENTRE + shift - grow * rotation @ CENTRE, grow)
    return change.after(similarity)
