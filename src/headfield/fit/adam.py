"""Fitting by Adam with the schedule of the papers: the baseline that the solver is measured against, and an option.

imHead and NPHM fit with 700 steps of Adam at 0.01, halved on the way, and drop points farther than 25, 12.5 and
1.9 mm as the steps go by (NPHM's fitting_pointclouds.py). The evaluator is the same sparse one that the solver uses.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
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
from headfield.models.protocol import HeadModel
from headfield.types import Codes, Similarity

STEPS = 700
RATE = 0.01
HALVE_AT = (200, 350, 500)
GATES = ((0, 0.1), (250, 0.05), (500, 0.0075))
"""NPHM's outlier gates: (from step, largest |f| in model units)."""

PRIOR = 0.002
"""Weight of |z|^2 / D against the mean absolute distance in model units."""


@dataclass(frozen=True)
class AdamSchedule:
    """How Adam goes about it.

    Attributes:
        steps: Adam steps.
        rate: Learning rate, halved at 200, 350 and 500 of 700 steps (in proportion for other counts).
        batch: Points drawn per view and step; None takes all.
        weight: Weight of the prior.
        seed: Seed of the draws.
    """

    steps: int = STEPS
    rate: float = RATE
    batch: int | None = 1000
    weight: float = PRIOR
    seed: int = 0

    def at(self, step: int) -> tuple[float, float]:
        """Learning rate and outlier gate (model units) of a step."""
        progress = step * STEPS / self.steps
        rate = self.rate * 0.5 ** sum(progress >= at for at in HALVE_AT)
        return rate, [limit for first, limit in GATES if progress >= first][-1]


PAPERS = AdamSchedule()
"""As imHead and NPHM do it."""


def solve_adam(
    model: HeadModel,
    views: list[View],
    prior: Gaussian,
    options: SolverOptions | None = None,
    *,
    schedule: AdamSchedule = PAPERS,
    callback: Callable[[int, float, Callable[[], Solution]], bool] | None = None,
) -> Solution:
    """Fit by Adam; arguments as :func:`headfield.fit.solver.solve`.

    Args:
        model: HeadModel, differentiable in its codes.
        views: The scans of one person.
        prior: Distribution of the codes; its mean is also the start.
        options: Only `expression` and `solve_placement` are used.
        schedule: Steps, rate, draws.
        callback: Called after each step with the step, seconds so far and a maker of the solution as it stands; stops
            when it returns True.
    """
    options = options or SolverOptions()
    state = _Descent(model, views, prior, options, schedule)
    begin = time.perf_counter()
    history: list[float] = []
    for step in range(schedule.steps):
        history.append(state.step(step))
        if callback and callback(step + 1, time.perf_counter() - begin, partial(state.solution, history)):
            break
    return state.solution(history)


class _Descent:
    """What Adam moves: the identity, and each view's pose and expression."""

    def __init__(
        self, model: HeadModel, views: list[View], prior: Gaussian, options: SolverOptions, schedule: AdamSchedule
    ) -> None:
        self.model, self.views, self.schedule = model, views, schedule
        self.posed = options.expression == "fit"
        self.generator = np.random.default_rng(schedule.seed)
        self.mean = torch.tensor(prior.mean[None].astype(np.float32))
        self.precision = torch.tensor(prior.precision.astype(np.float32))
        self.identity = self.mean.clone().requires_grad_()
        self.poses = [torch.zeros(7, requires_grad=True) for _ in views]
        channels = len(model.expression_space)
        self.expressions = [torch.full((1, channels), 0.02, requires_grad=self.posed) for _ in views]
        moved = [self.identity] + (self.poses if options.solve_placement else [])
        self.optimiser = torch.optim.Adam(moved + (self.expressions if self.posed else []), lr=schedule.rate)
        self.starts = [torch.from_numpy(view.similarity.apply(view.cloud.points).astype(np.float32)) for view in views]

    def step(self, step: int) -> float:
        """One step; returns the loss before it."""
        rate, gate = self.schedule.at(step)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        away = self.identity - self.mean
        loss = self.schedule.weight / self.mean.shape[1] * ((away @ self.precision) * away).sum()
        for index in range(len(self.views)):
            loss = self._add_view(loss, index, gate)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        return float(loss.detach())

    def _add_view(self, loss: torch.Tensor, index: int, gate: float) -> torch.Tensor:
        """The loss with what one view adds to it."""
        chosen, pose, batch = self.starts[index], self.poses[index], self.schedule.batch
        if batch is not None and batch < len(chosen):
            chosen = chosen[torch.from_numpy(self.generator.integers(0, len(chosen), batch))]
        centre = torch.tensor(CENTRE, dtype=torch.float32)
        turned = (chosen - centre) @ rotation_exp(pose[None, :3])[0].T * pose[6].exp() + centre + pose[3:6]
        space, expression = self.model.expression_space, self.expressions[index]
        codes = Codes(self.identity, _within(space, expression) if self.posed else None)
        value = self.model.signed_distance(turned[None], codes)[0]
        keep = value.detach().abs() < gate
        if keep.any():
            loss = loss + value[keep].abs().mean() / len(self.views)
        if self.posed:
            loss = loss + 1e-3 * _within(space, expression).abs().mean() / len(self.views)
        return loss

    def solution(self, history: list[float]) -> Solution:
        """Where it stands, with the losses so far."""
        expressions = self.expressions if self.posed else None
        return _solution(self.model, self.views, self.identity, self.poses, expressions, history)


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
