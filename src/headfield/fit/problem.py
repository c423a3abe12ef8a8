"""The least-squares problem of a fit: what its unknowns cost, and its normal equations.

Residuals are signed distances f(T x) of scan points, counted once for each patch of surface, and the depth of places
inside the model that the scan has seen to be empty; the prior on the code is
normal (one hair class), that on expression weights sparse with bounds [0, 1], that on log-size normal.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from headfield.fit.box_qp import box_minimum
from headfield.fit.cholesky import Cholesky, normal_products
from headfield.fit.gate import Gate
from headfield.fit.normal_equations import (
    POSE,
    Cloud,
    Linearised,
    ViewState,
    linearise,
    model_anchors,
    robust_cost,
    robust_scales,
    weigh,
    weigh_inside,
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


class Problem:
    """One identity, and one placement and expression per view, to be found under a prior."""

    def __init__(self, model, views: list[View], prior: Gaussian, options: SolverOptions) -> None:
        self.model, self.views, self.prior, self.options = model, views, prior, options
        self.observed = [observations(view, options.patch) for view in views]

    def linearised(self, identity: np.ndarray, states: list[ViewState], count: int | None = None) -> list[Linearised]:
        """Every view (its first `count` points) at a state, residuals at the scale that its unit lets expect."""
        return [
            linearise(
                self.model, identity, state, view.cloud.points[:count], float(np.exp(view.log_scale)), view.cloud.empty
            )
            for view, state in zip(self.views, states)
        ]

    def assemble(
        self,
        identity,
        states,
        lines: list[Linearised],
        scale: float,
        products: bool = True,
        hold: bool = True,
        sigma: float | None = None,
    ) -> dict:
        """Weights, cost and the normal equations in the order identity, poses, expressions; `sigma` overrules the
        residuals' own standard deviation."""
        options, d = self.options, len(identity)
        anchors = model_anchors(self.model, identity)
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
            if line.inside is not None:
                costs.append(weigh_inside(line.inside, strength)[1])
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
            rows = [(line.jacobian[used], weight[used], line.residual[used])]
            if line.inside is not None:
                inside = line.inside
                rows.append((inside.jacobian, weigh_inside(inside, strengths[index])[0], inside.residual))
            for row in rows:
                block, pull = normal_products(*row)
                hessian[np.ix_(where, where)] += block
                slope[where] += pull
            view = self.views[index]
            size = d + POSE * index + POSE - 1
            hessian[size, size] += 1.0 / view.log_scale_sd**2
            slope[size] += (np.log(state.similarity.scale) - view.log_scale) / view.log_scale_sd**2
        hessian[:d, :d] += options.prior * self.prior.precision
        slope[:d] += options.prior * (self.prior.precision @ (identity - self.prior.mean))
        held |= {"hessian": hessian, "slope": slope, "channels": channels, "smooth": smooth}
        return held

    def cost_under(self, held: dict, identity: np.ndarray, states: list[ViewState], lines: list[Linearised]) -> float:
        """The objective at a state, by the scales under which `held` was assembled."""
        cost = self._prior_cost(identity, states)
        for line, scales, strength, observed in zip(lines, held["scales"], held["strengths"], self.observed):
            cost += robust_cost(line.residual, scales, strength, observed / max(1, len(line.residual)))
            if line.inside is not None:
                cost += weigh_inside(line.inside, strength)[1]
        return cost

    def _prior_cost(self, identity: np.ndarray, states: list[ViewState]) -> float:
        cost = self.options.prior * self.prior.cost(identity)
        for view, state in zip(self.views, states):
            cost += 0.5 * ((np.log(state.similarity.scale) - view.log_scale) / view.log_scale_sd) ** 2
            if state.expression is not None:
                cost += self.options.sparsity * float(state.expression.sum() + 0.5 * (state.expression**2).sum())
        return cost

    def expression_minimum(
        self, held: dict, factor: Cholesky, start: np.ndarray, damping: float, reach: float = 0.5
    ) -> np.ndarray:
        """Expression weights (all views) that minimise the quadratic model, the smooth unknowns eliminated."""
        smooth, hessian, slope = held["smooth"], held["hessian"], held["slope"]
        cross = hessian[:smooth, smooth:]
        eliminated = factor.solve(np.column_stack([cross, slope[:smooth]]))
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
