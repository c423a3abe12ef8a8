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

from headfield.fit.cholesky import Cholesky
from headfield.fit.gate import HAIR_PARTS
from headfield.fit.normal_equations import Linearised, ViewState, codes_of, linearise, model_anchors, model_points
from headfield.fit.problem import Problem
from headfield.types import Codes

STRIDE = 0.5
"""Length of a secant in weight."""

OPEN_GATE = 0.03
"""Robust scale (model units, 7.5 mm) at which proposals are weighed: a smile moves skin by millimetres."""

POINTS = 900
"""Points on which proposals are weighed."""


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
    now = np.zeros(int(model.config.expression)) if state.expression is None else state.expression
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
    model, options = problem.model, problem.options
    channels = int(model.config.expression)
    starts, lines = [], []
    anchors = model_anchors(model, identity)
    for view, state in zip(problem.views, states):
        points = view.cloud.points[:POINTS]
        now = np.zeros(channels) if state.expression is None else state.expression
        state = ViewState(state.similarity, now)
        line = linearise(model, identity, state, points, float(np.exp(view.log_scale)))
        jacobian = line.jacobian.copy()
        jacobian[:, -channels:] = secants(model, identity, state, line, points, anchors)
        starts.append(state)
        lines.append(replace(line, jacobian=jacobian))
    held = problem.assemble(identity, starts, lines, OPEN_GATE, hold=False)
    smooth, hessian, slope = held["smooth"], held["hessian"], held["slope"]
    factor = Cholesky(hessian[:smooth, :smooth] + 1e-6 * np.eye(smooth))
    start = np.concatenate([state.expression for state in starts])
    target = problem.expression_minimum(held, factor, start, 0.0, reach=1.0)
    change = target - start
    cross = hessian[:smooth, smooth:]
    reduced = hessian[smooth:, smooth:] - cross.T @ factor.solve(cross)
    pull = slope[smooth:] - cross.T @ factor.solve(slope[:smooth])
    gain = -(0.5 * change @ reduced @ change + pull @ change)
    gain -= options.sparsity * float((target + 0.5 * target**2 - start - 0.5 * start**2).sum())
    if not always and gain < options.expression_gain:
        return None
    step = -factor.solve(cross @ change)  # what the code gives up for the expression
    split = target.reshape(len(starts), channels)
    return identity + step[: len(identity)], [ViewState(s.similarity, weights) for s, weights in zip(starts, split)]
