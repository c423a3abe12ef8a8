"""Fitting by Adam with the schedule of the papers: the baseline that the solver is measured against, and an option.

imHead and NPHM fit with 700 steps of Adam at 0.01, halved on the way, and drop points farther than 25, 12.5 and
1.9 mm as the steps go by (NPHM's fitting_pointclouds.py). The evaluator is the same sparse one that the solver uses.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from headfield.expressions import ExpressionSpace
from headfield.fit.mean_field import neck_plane
from headfield.fit.normal_equations import CENTRE, ViewState, linearise, model_anchors, robust_scales
from headfield.fit.pose import rotation_exp
from headfield.fit.problem import SolverOptions, View
from headfield.fit.solver import Solution
from headfield.models.prior import Gaussian
from headfield.types import Codes, Similarity

STEPS = 700
RATE = 0.01
HALVE_AT = (200, 350, 500)
GATES = ((0, 0.1), (250, 0.05), (500, 0.0075))
"""NPHM's outlier gates: (from step, largest |f| in model units)."""

PRIOR = 0.002
"""Weight of |z|^2 / D against the mean absolute distance in model units."""


def solve_adam(
    model,
    views: list[View],
    prior: Gaussian,
    options: SolverOptions | None = None,
    *,
    steps: int = STEPS,
    rate: float = RATE,
    batch: int | None = 1000,
    weight: float = PRIOR,
    seed: int = 0,
    callback: Callable[[int, float, Callable[[], Solution]], bool] | None = None,
) -> Solution:
    """Fit by Adam; arguments as :func:`headfield.fit.solver.solve`.

    Args:
        model: HeadModel, differentiable in its codes.
        views: The scans of one person.
        prior: Distribution of the codes; its mean is also the start.
        options: Only `expression` and `solve_placement` are used.
        steps: Adam steps.
        rate: Learning rate, halved at 200, 350 and 500 of 700 steps (in proportion for other counts).
        batch: Points drawn per view and step; None takes all.
        weight: Weight of the prior.
        seed: Seed of the draws.
        callback: Called after each step with the step, seconds so far and a maker of the solution as it stands; stops
            when it returns True.
    """
    options = options or SolverOptions()
    generator = np.random.default_rng(seed)
    posed = options.expression == "fit"
    center = torch.tensor(prior.mean[None].astype(np.float32))
    precision = torch.tensor(prior.precision.astype(np.float32))
    identity = center.clone().requires_grad_()
    channels = len(model.expression_space)
    poses = [torch.zeros(7, requires_grad=True) for _ in views]
    expressions = [torch.full((1, channels), 0.02, requires_grad=posed) for _ in views]
    variables = [identity] + (poses if options.solve_placement else []) + (expressions if posed else [])
    optimiser = torch.optim.Adam(variables, lr=rate)
    starts = [torch.from_numpy(view.similarity.apply(view.cloud.points).astype(np.float32)) for view in views]
    centre = torch.tensor(CENTRE, dtype=torch.float32)
    settle = partial(_solution, model, views, identity, poses, expressions if posed else None)
    begin = time.perf_counter()
    history: list[float] = []
    for step in range(steps):
        progress = step * STEPS / steps
        for group in optimiser.param_groups:
            group["lr"] = rate * 0.5 ** sum(progress >= at for at in HALVE_AT)
        gate = [limit for first, limit in GATES if progress >= first][-1]
        away = identity - center
        loss = weight / len(prior.mean) * ((away @ precision) * away).sum()
        for start, pose, expression in zip(starts, poses, expressions):
            chosen = start
            if batch is not None and batch < len(start):
                chosen = start[torch.from_numpy(generator.integers(0, len(start), batch))]
            turned = (chosen - centre) @ rotation_exp(pose[None, :3])[0].T * pose[6].exp() + centre + pose[3:6]
            codes = Codes(identity, _within(model.expression_space, expression) if posed else None)
            value = model.signed_distance(turned[None], codes)[0]
            keep = value.detach().abs() < gate
            if keep.any():
                loss = loss + value[keep].abs().mean() / len(views)
            if posed:
                loss = loss + 1e-3 * _within(model.expression_space, expression).abs().mean() / len(views)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        history.append(float(loss.detach()))
        if callback and callback(step + 1, time.perf_counter() - begin, partial(settle, history)):
            break
    return settle(history)


def _within(space: ExpressionSpace, expression: torch.Tensor) -> torch.Tensor:
    """Expression numbers (1, E) within their bounds."""
    lower, upper = (torch.as_tensor(bound, dtype=expression.dtype) for bound in (space.lower, space.upper))
    return expression.clamp(lower, upper)


def _solution(model, views, identity, poses, expressions, history) -> Solution:
    z = identity.detach()[0].double().numpy()
    states, residuals, scales = [], [], []
    anchors = model_anchors(model, z)
    cut = neck_plane(anchors, model.neck_tilt)
    for index, view in enumerate(views):
        pose = poses[index].detach().double()
        rotation = rotation_exp(pose[None, :3])[0].numpy()
        grow = float(pose[6].exp())
        change = Similarity(rotation, CENTRE + pose[3:6].numpy() - grow * rotation @ CENTRE, grow)
        expression = None
        if expressions is not None:
            expression = _within(model.expression_space, expressions[index].detach())[0].double().numpy()
        state = ViewState(change.after(view.similarity), expression)
        line = linearise(model, z, state, view.cloud.points)
        states.append(state)
        residuals.append(line.residual)
        scales.append(robust_scales(line, anchors, cut, state, view.cloud, 0.008, False))
    sigma = float(np.median(np.abs(residuals[0])) * 1.4826)
    return Solution(z, tuple(states), tuple(residuals), tuple(scales), history[-1], sigma, len(history), tuple(history))
