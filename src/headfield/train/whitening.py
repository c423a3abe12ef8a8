"""Steps in coordinates in which expressions are white, so that what faces seldom do is learned as well as what they do.

Expression weights are strongly correlated: left and right go together, and a few combinations hold nearly all of what
faces play. Adam makes steps of one length in every weight that an expression meets, so the sum of two channels is
learned fast and their difference, a single raised brow or a wink, hardly at all: after five core-hours, lowered
brows differed from left to right by a third of what they should have. In white coordinates, e = M^(1/2) e_white with
M = E[e e^T], all directions are alike.

The weights themselves stay what they are, in files and everywhere else: only gradients go into these coordinates, and
steps come back from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, cast

import numpy as np
import torch

from headfield.models.protocol import LearnsExpressions, TrainableModel, lacks
from headfield.train.batches import Batches
from headfield.types import ARKIT_MIRROR

FLOOR = 0.004
"""Second moment that every direction is taken to have at least: what is all but never played is no reason for long
steps. A channel that plays at 0.25 in one face of 16 has as much."""


def inverse_root(batches: Batches) -> torch.Tensor:
    """M^(-1/2) (E, E) float64 of the expressions that are trained on, mirrored ones included.

    Args:
        batches: What is trained on, as far as the store holds it.
    """
    end = -batches.drawing.held_rows or None
    rows = np.concatenate([np.asarray(a["expressions"][1:end], float) for a in batches.arrays if a is not None])
    if batches.drawing.mirror:
        rows = np.concatenate([rows, rows[:, ARKIT_MIRROR]])
    values, vectors = np.linalg.eigh(rows.T @ rows / max(len(rows), 1))
    return torch.as_tensor((vectors * np.maximum(values, FLOOR) ** -0.5) @ vectors.T)


class Speaking(LearnsExpressions, Protocol):
    """What an expression meets, with its weights."""

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """All weights."""
        ...


class Whitening:
    """Takes an optimiser's steps of the weights that an expression meets in white coordinates."""

    def __init__(self, model: Speaking, root: torch.Tensor):
        """Find those weights.

        Args:
            model: The model in training, whose expressions are given.
            root: M^(-1/2) (E, E) float64, symmetric.
        """
        self.model, self.root = model, root
        parameters = [p for p in model.parameters() if p.requires_grad]
        before = [p.detach().clone() for p in parameters]
        twice = 2.0 * torch.eye(len(root), dtype=root.dtype)
        model.recode_expression(twice)
        self.met = [p for p, old in zip(parameters, before) if not torch.equal(p.detach(), old)]
        with torch.no_grad():
            for parameter, old in zip(parameters, before):
                parameter.copy_(old)

    @contextmanager
    def coordinates(self, optimiser: torch.optim.Optimizer) -> Iterator[None]:
        """Gradients are white inside, where the optimiser makes its step; on leaving the step is made in the weights.

        Args:
            optimiser: AdamW, whose decay is of the weights as they are.
        """
        kept = {
            p: 1.0 - group["lr"] * group["weight_decay"] for group in optimiser.param_groups for p in group["params"]
        }
        self._into_white([p.grad for p in self.met])
        before = [p.detach() * kept[p] for p in self.met]
        yield
        steps = [p.detach() - old for p, old in zip(self.met, before)]
        self._into_white(steps)
        with torch.no_grad():
            for parameter, old, step in zip(self.met, before, steps):
                parameter.copy_(old + step)

    def _into_white(self, values: list) -> None:
        """Multiply what stands in the weights' places with M^(-1/2), in place: gradients go there, steps come back."""
        own = [p.data for p in self.met]
        for parameter, value in zip(self.met, values):
            parameter.data = value
        self.model.recode_expression(self.root)
        for parameter, value in zip(self.met, own):
            parameter.data = value


def whitening_of(model: TrainableModel, root: torch.Tensor | None) -> Whitening | None:
    """The whitening of a model, None where there is nothing to whiten: no root, no expressions, or no such weights."""
    if root is None or lacks(model, LearnsExpressions) or len(root) != len(model.expression_space):
        return None
    return Whitening(cast(Speaking, model), root)
