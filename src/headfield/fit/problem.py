"""The least-squares problem of a fit: what its unknowns cost, and its normal equations.

Residuals are signed distances f(T x) of scan points, counted once for each patch of surface, and the depth of places
inside the model that the scan has seen to be empty; the prior on the code is
normal (one hair class), that on expression weights sparse with bounds [0, 1], that on log-size normal.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.spatial import cKDTree

from headfield.fit.box_qp import box_minimum
from headfield.fit.cholesky import Cholesky, normal_products
from headfield.fit.gate import FACE_PARTS, Gate
from headfield.fit.mean_field import neck_plane
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
    face_sigma: float = 0.001
    """The same on the face (0.25 mm)."""
    patch: float = 0.064
    """Side of the patches of surface (model units, 16 mm) that count as one observation each: the model's error is the
    same all over a patch, so that more points on it tell no more."""
    face_patch: float = 0.048
    """The same on the face (12 mm): over more the model's errors there are not alike (measured)."""
    face_gate: float = 0.016
    """Least robust scale on the face (model units, 4 mm): lids, brows and lips move by more than skin is wrong."""
    reserve: float = 0.6
    """Residuals are taken for at least this share of the gate's excess over its end, which holds the code back until
    the placement has settled."""
    prior: float = 1.0
    """Strength of the prior on the identity code."""
    expression: str = "auto"
    """``neutral`` leaves it out, ``fit`` always solves it, ``auto`` when the scan asks for it."""
    proposals: int = 2
    """Most phases with expression, each begun by a proposal of channels."""
    expression_prior: float = 1.0
    """Strength of the prior on expressions."""
    reading: float = 3.0
    """The prior on the identity code is so many times as strong while expressions are read."""
    expression_keep: float = 30.0
    """What a channel must be worth in the end (nats): more than the model's own errors under strong expressions are."""
    expression_gain: float = 8.0
    """Decrease of the cost (in nats) that expression must promise, beyond its prior, before ``auto`` solves it."""
    early_points: int = 1500
    """Points used while the gate is still wide."""
    early_iterations: int = 7
    """Steps on those."""
    hair: bool = True
    """Keep the gate open outward over scalp and jaw."""
    solve_placement: bool = True
    """Move the placement too; otherwise it stays as given."""

    def evenly(self) -> SolverOptions:
        """The same with the face counting as all other surface does."""
        return replace(self, face_patch=self.patch, face_sigma=self.sigma, face_gate=0.0)


@dataclass(frozen=True)
class View:
    """One scan to explain.

    Attributes:
        cloud: Its points.
        similarity: Start, scan -> model frame.
        log_scale: Expected log of the similarity's scale, from the unit and the prior on size.
        log_scale_sd: Its standard deviation; large for a free size.
        free: (E,) bool, which expression weights may move; None = all.
    """

    cloud: Cloud
    similarity: Similarity
    log_scale: float
    log_scale_sd: float = 0.1
    free: np.ndarray | None = None


class Problem:
    """One identity, and one placement and expression per view, to be found under a prior."""

    def __init__(self, model, views: list[View], prior: Gaussian, options: SolverOptions) -> None:
        self.model, self.views, self.prior, self.options = model, views, prior, options
        self.space = model.expression_space
        anchors = model_anchors(model, prior.mean)
        self.faces = [on_face(view, anchors) for view in views]
        self.trust = [trust_in(view, options, face) for view, face in zip(views, self.faces)]

    def with_options(self, **changes) -> Problem:
        """The same problem with other strengths."""
        other = copy(self)
        other.options = replace(self.options, **changes)
        return other

    def relaxed(self, share: float) -> Problem:
        """The same problem with only a share of what the prior takes from each expression weight; sides stay tied."""
        other, prior = copy(self), self.space.prior
        other.space = replace(self.space, prior=prior.relaxed(share))
        return other

    def linearised(self, identity: np.ndarray, states: list[ViewState], count: int | None = None) -> list[Linearised]:
        """Every view (its first `count` points) at a state, residuals at the scale that its unit lets expect."""
        return [
            linearise(
                self.model, identity, state, view.cloud.points[:count], float(np.exp(view.log_scale)), view.cloud.empty
            )
            for view, state in zip(self.views, states)
        ]

    def trusts(self, lines: list[Linearised]) -> list[np.ndarray]:
        """Per view, observations per point (N,); a prefix of the points stands for all of them."""
        return [
            trust[: len(line.residual)] * (len(trust) / max(1, len(line.residual)))
            for trust, line in zip(self.trust, lines)
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
        residuals' own standard deviation. The priors on expressions are left to `expression_minimum`."""
        options = self.options
        anchors = model_anchors(self.model, identity)
        cut = neck_plane(anchors, self.model.neck_tilt)
        scales, strengths, weights, costs = [], [], [], []
        # while the gate is wide the placement is still off, so residuals are not noise: hold the code back
        floor = options.reserve * (scale - options.gate.end) if hold else 0.0
        for line, state, view, trust, face in zip(lines, states, self.views, self.trusts(lines), self.faces):
            gates = robust_scales(line, anchors, cut, state, view.cloud, scale, options.hair, options.face_gate)
            least = np.where(face[: len(gates)], options.face_sigma, options.sigma)
            weight, strength, cost = weigh(line, gates, np.maximum(least, floor), trust, sigma)
            scales.append(gates)
            strengths.append(strength)
            weights.append(weight)
            costs.append(cost)
            if line.inside is not None:
                costs.append(weigh_inside(line.inside, strength.min())[1])
        held = {
            "identity": identity,
            "states": states,
            "lines": lines,
            "scales": scales,
            "strengths": strengths,
            "cost": sum(costs) + self._prior_cost(identity, states),
        }
        if products:
            held |= self._products(identity, states, lines, weights, strengths)
        return held

    def _products(self, identity, states, lines, weights, strengths) -> dict:
        """Hessian and slope of data and of the priors on code and size."""
        options, d, views = self.options, len(identity), len(states)
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
                rows.append((inside.jacobian, weigh_inside(inside, strengths[index].min())[0], inside.residual))
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
        return {"hessian": hessian, "slope": slope, "channels": channels, "smooth": smooth}

    def cost_under(self, held: dict, identity: np.ndarray, states: list[ViewState], lines: list[Linearised]) -> float:
        """The objective at a state, by the scales under which `held` was assembled."""
        cost = self._prior_cost(identity, states)
        for line, scales, strength, trust in zip(lines, held["scales"], held["strengths"], self.trusts(lines)):
            cost += robust_cost(line.residual, scales, strength, trust)
            if line.inside is not None:
                cost += weigh_inside(line.inside, strength.min())[1]
        return cost

    def _prior_cost(self, identity: np.ndarray, states: list[ViewState]) -> float:
        cost = self.options.prior * self.prior.cost(identity)
        for view, state in zip(self.views, states):
            cost += 0.5 * ((np.log(state.similarity.scale) - view.log_scale) / view.log_scale_sd) ** 2
            if state.expression is not None:
                cost += self.options.expression_prior * self.space.prior.cost(state.expression)
        return cost

    def expression_quadratic(self, held: dict, factor: Cholesky) -> tuple[np.ndarray, np.ndarray]:
        """The data's Hessian and slope by the expressions of all views, the smooth unknowns eliminated."""
        smooth, hessian, slope = held["smooth"], held["hessian"], held["slope"]
        cross = hessian[:smooth, smooth:]
        eliminated = factor.solve(np.column_stack([cross, slope[:smooth]]))
        return hessian[smooth:, smooth:] - cross.T @ eliminated[:, :-1], slope[smooth:] - cross.T @ eliminated[:, -1]

    def with_prior(self, reduced: np.ndarray, linear: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """A quadratic of all views' expressions with the prior's own, which touches it at `at`, added."""
        reduced, linear = reduced.copy(), linear.copy()
        count, strength = len(self.space), self.options.expression_prior
        for first in range(0, len(at), count):
            block = slice(first, first + count)
            curved, straight = self.space.prior.quadratic(at[block])
            reduced[block, block] += strength * curved
            linear[block] += strength * straight
        return reduced, linear

    def expression_minimum(
        self, held: dict, factor: Cholesky, start: np.ndarray, free: np.ndarray, damping: float, reach: float = 0.5
    ) -> np.ndarray:
        """Expression weights (all views) that minimise the quadratic model, the smooth unknowns eliminated.

        Args:
            held: From `assemble`.
            factor: Of the smooth unknowns' block.
            start: Where the expressions stand.
            free: Bool, which of them may move.
            damping: Of the LM step.
            reach: Longest step.
        """
        reduced, pull = self.expression_quadratic(held, factor)
        reduced[np.diag_indices_from(reduced)] *= 1.0 + damping
        reduced, linear = self.with_prior(reduced, pull - reduced @ start, start)
        views = len(start) // len(self.space)
        lower = np.where(free, np.maximum(np.tile(self.space.lower, views), start - reach), start)
        upper = np.where(free, np.minimum(np.tile(self.space.upper, views), start + reach), start)
        return box_minimum(reduced, linear, start, lower, upper)


def on_face(view: View, anchors: np.ndarray) -> np.ndarray:
    """Which points (N,) bool of a view lie on the face of a head with these anchors (39, 3)."""
    return FACE_PARTS[cKDTree(anchors).query(view.similarity.apply(view.cloud.points))[1]]


def trust_in(view: View, options: SolverOptions, face: np.ndarray) -> np.ndarray:
    """Observations (N,) that each point of a view counts for: as many in all as there are patches of surface.

    Patches are the cubes of a side that points touch, smaller on the `face` (N,) than elsewhere; all points of either
    count alike, since a patch with few points holds strays more often than surface.
    """
    placed = view.similarity.apply(view.cloud.points)
    trust = np.zeros(len(placed))
    for which, side in ((face, options.face_patch), (~face, options.patch)):
        cells = np.unique(np.floor(placed[which] / side).astype(np.int64), axis=0)
        trust[which] = len(cells) / max(1, int(which.sum()))
    return trust
