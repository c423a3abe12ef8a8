"""Which expression channels a scan asks for.

At rest a trained deformer hardly feels a channel: it learned weights from 0.5 up, so the derivative at zero says little
about what the channel does. Channels are therefore proposed by secants, the field's change by half of each channel,
with identity and placement free to give way; the solver's steps, with good derivatives away from zero, do the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.spatial import cKDTree

from headfield.fit.box_qp import box_minimum
from headfield.fit.cholesky import Cholesky
from headfield.fit.gate import HAIR_PARTS
from headfield.fit.normal_equations import Linearised, ViewState, codes_of, linearise, model_anchors, model_points
from headfield.fit.problem import Problem, View
from headfield.types import Codes

STRIDE = 0.5
"""Length of a secant in weight."""

OPEN_GATE = 0.03
"""Robust scale (model units, 7.5 mm) at which proposals are weighed: a smile moves skin by millimetres."""

POINTS = 1500
"""Points on which proposals are weighed."""

KNOWN_FACE = 0.0008
"""How far off (median, model units; 0.2 mm) a face of the model's own kind lies while it is read."""

REWEIGHTED = 3
"""Steps of reweighting for the prior's heavy tails."""


def secants(
    model, identity: np.ndarray, state: ViewState, line: Linearised, points: np.ndarray, anchors: np.ndarray
) -> np.ndarray:
    """Change of the residuals per unit weight of each channel, over a stride instead of at a point.

    Args:
        model: The head model.
        identity: (D,) code.
        state: Placement and current expression.
        line: The view at this state.
        points: (N, 3) scan points.
        anchors: (39, 3) anchors of the identity; over the skull no muscle moves the skin and nothing is evaluated.
    Returns:
        (N, E); the stride goes up from the current weight, or down where there is no room above.
    """
    now = np.zeros(len(model.expression_space)) if state.expression is None else state.expression
    sign = np.where(now + STRIDE <= 1.0, 1.0, -1.0)
    rows = now + STRIDE * np.diag(sign)
    lively = np.flatnonzero(~HAIR_PARTS[cKDTree(anchors).query(line.placed)[1]])
    found = np.zeros((len(points), len(now)))
    if not len(lively):
        return found
    placed = model_points(model, np.clip(line.placed[lively], *np.asarray(model.box, dtype=float)))
    here = codes_of(model, identity, now)
    with torch.no_grad():
        base = model.signed_distance(placed[None], here)[0]
        weights = model_points(model, rows)
        moved = [
            model.signed_distance(placed[None].repeat(len(part), 1, 1), Codes(here.identity.repeat(len(part), 1), part))
            for part in weights.split(8)
        ]
        change = (torch.cat(moved) - base).double().cpu().numpy()
    found[lively] = (change * (sign / STRIDE)[:, None]).T / line.slope[lively, None]
    return found


def propose(
    problem: Problem, identity: np.ndarray, states: Sequence[ViewState], always: bool = False
) -> tuple[np.ndarray, list[ViewState]] | None:
    """A start with expression, or None when it does not promise a decrease of the cost that is worth the trouble.

    Args:
        problem: What is being solved.
        identity: (D,) code where it stands.
        states: Its views' states.
        always: Propose whatever it promises.
    Returns:
        Identity (D,) and the views' states, with the proposed expressions.
    """
    options = problem.options
    starts, lines, anchors = [], [], model_anchors(problem.model, identity)
    for view, state in zip(problem.views, states):
        line, state = _by_secants(problem, identity, view, state, anchors)
        starts.append(state)
        lines.append(line)
    held = problem.assemble(identity, starts, lines, OPEN_GATE, hold=False)
    smooth, hessian = held["smooth"], held["hessian"]
    factor = Cholesky(hessian[:smooth, :smooth] + 1e-6 * np.eye(smooth))
    start = np.concatenate([state.expression for state in starts])
    free = np.concatenate([state.movable for state in starts])
    reduced, pull = problem.expression_quadratic(held, factor)
    price = problem.space.prior.price
    target = sparse_minimum(problem, reduced, pull - reduced @ start, start, free, price)
    change = target - start
    gain = -(0.5 * change @ reduced @ change + pull @ change)
    gain -= _prior_cost(problem, target) - _prior_cost(problem, start)
    if not always and gain < options.expression_gain:
        return None
    step = -factor.solve(hessian[:smooth, smooth:] @ change)  # what the code gives up for the expression
    split = target.reshape(len(starts), -1)
    found = [ViewState(s.similarity, weights, s.free) for s, weights in zip(starts, split)]
    return identity + step[: len(identity)], found


def prune(problem: Problem, identity: np.ndarray, states: Sequence[ViewState]) -> tuple[np.ndarray, list[ViewState]]:
    """The solution without the weights that the scans do not need, those held at rest; neutral where none is needed.

    What a channel explains that identity and the other channels explain nearly as well is noise.
    """
    lines = problem.linearised(identity, list(states))
    held = problem.assemble(identity, list(states), lines, problem.options.gate.end, hold=False)
    smooth, hessian = held["smooth"], held["hessian"]
    factor = Cholesky(hessian[:smooth, :smooth] + 1e-6 * np.eye(smooth))
    start = np.concatenate([state.weights for state in states])
    free = np.concatenate([state.movable for state in states])
    reduced, pull = problem.expression_quadratic(held, factor)
    faces = np.concatenate([np.abs(line.residual[face]) for line, face in zip(lines, problem.faces)])
    keep = problem.options.expression_keep * doubt(float(np.median(faces)) if len(faces) else 0.0)
    target = sparse_minimum(problem, reduced, pull - reduced @ start, start, free & (start != 0), keep)
    step = -factor.solve(held["slope"][:smooth] + hessian[:smooth, smooth:] @ (target - start))
    found = []
    for state, weights in zip(states, target.reshape(len(states), -1)):
        if weights.any():
            found.append(ViewState(state.similarity, weights, state.movable & (weights != 0)))
        else:
            found.append(ViewState(state.similarity, None, state.free))
    return identity + step[: len(identity)], found


def doubt(error: float) -> float:
    """How many times as much a channel must be worth on a face that lies so far off (median, model units).

    A face that the identity code cannot make is made by channels, which are then worth hundreds of nats: on heads of
    other makers at rest, explained to 0.26-0.79 mm, they summed to 2.3 (90th percentile, 22 dev captures), while faces
    of the model's own families, explained to 0.11-0.24 mm, keep what they had. The power is the smallest that reads
    next to nothing into 19 neutral faces of other makers (mean false sum 0.04 with the third as with the fourth, 0.22
    with the second); with the fourth an open jaw worth 250 nats was thrown away, and no expression of theirs was read.
    """
    return max(1.0, error / KNOWN_FACE) ** 3


def sparse_minimum(
    problem: Problem, reduced: np.ndarray, linear: np.ndarray, start: np.ndarray, free: np.ndarray, price: float
) -> np.ndarray:
    """Expressions that minimise data (a quadratic) and prior, with only those channels that are worth their presence.

    Channels go one by one (left and right together), the one first whose absence costs least, until each that is left
    is worth more than a channel's presence.

    Args:
        problem: Its space and options.
        reduced, linear: Of the data's quadratic, all views.
        start: Where the expressions stand.
        free: Which may move.
        price: Nats that a channel must be worth, where its `presence` has a share of 1.
    """
    space = problem.space
    views = len(start) // len(space)
    lower, upper = np.tile(space.lower, views), np.tile(space.upper, views)
    units = [unit + len(space) * view for view in range(views) for unit in space.prior.units()]
    prices = price * np.array([space.prior.presence[unit % len(space)].max() for unit in units])
    e, free = start.copy(), free.copy()
    held_at = e.copy()
    for _ in range(len(units)):
        for _ in range(REWEIGHTED):
            hessian, slope = problem.with_prior(reduced, linear, e)
            low, high = np.where(free, lower, held_at), np.where(free, upper, held_at)
            e = box_minimum(hessian, slope, e, low, high, sweeps=30)
        gain = np.array([_worth(hessian, e, unit, free) for unit in units]) - prices
        least = int(np.argmin(gain))
        if gain[least] >= 0:
            break
        free[units[least]] = False
        held_at[units[least]] = 0.0
    return e


def _worth(hessian: np.ndarray, e: np.ndarray, unit: np.ndarray, free: np.ndarray) -> float:
    """What the absence of a unit would cost, the other channels that are present giving way; infinity for none."""
    there = unit[free[unit] & (np.abs(e[unit]) > 1e-3)]
    if not len(there):
        return np.inf
    others = np.flatnonzero(free & (np.abs(e) > 1e-3))
    others = others[~np.isin(others, there)]
    block = hessian[np.ix_(there, there)]
    if len(others):
        cross = hessian[np.ix_(others, there)]
        inner = hessian[np.ix_(others, others)] + 1e-6 * np.eye(len(others))
        block = block - cross.T @ np.linalg.solve(inner, cross)
    return 0.5 * float(e[there] @ block @ e[there])


def _by_secants(problem: Problem, identity, view: View, state: ViewState, anchors) -> tuple[Linearised, ViewState]:
    """A view at a state, at rest where it had no expression, with secants as the derivatives by expression."""
    points, channels = view.cloud.points[:POINTS], len(problem.space)
    now = np.zeros(channels) if state.expression is None else state.expression
    state = ViewState(state.similarity, now, view.free)
    line = linearise(problem.model, identity, state, points, float(np.exp(view.log_scale)))
    jacobian = line.jacobian.copy()
    jacobian[:, -channels:] = secants(problem.model, identity, state, line, points, anchors)
    return replace(line, jacobian=jacobian), state


def _prior_cost(problem: Problem, expressions: np.ndarray) -> float:
    """Nats of the expressions of all views, and of the presence of their channels."""
    space = problem.space
    found = 0.0
    for e in expressions.reshape(-1, len(space)):
        present = [space.prior.presence[unit].max() for unit in space.prior.units() if (np.abs(e[unit]) > 1e-3).any()]
        found += space.prior.cost(e) + space.prior.price * sum(present)
    return problem.options.expression_prior * found
