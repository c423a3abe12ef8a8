"""What a model costs at a point: multiply-adds, counted by torch while it is evaluated."""

from __future__ import annotations

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from headfield.models.protocol import HeadModel

POINTS = 2048
"""Points that are asked for, within 25 mm of the anchors, where scans are."""


@torch.no_grad()
def multiply_adds(model: HeadModel) -> int:
    """Multiply-adds of one evaluation of the posed field, a point, near the surface of the mean head.

    Only products of matrices count. Of a model that evaluates a part only where it acts, these are the parts that act;
    of one that finds its way back by iteration, the steps that it took.
    """
    codes = model.mean_codes()
    anchors = model.anchors(codes)[0]
    rng = np.random.default_rng(0)
    places = anchors[rng.integers(0, len(anchors), POINTS)]
    points = places + 0.1 * torch.as_tensor(rng.uniform(-1, 1, (POINTS, 3))).to(anchors)
    if len(model.expression_space):
        draws = (model.expression_space.draw(rng, intensity=1.0) for _ in range(100))
        drawn = next(draw for draw in draws if draw.any())  # a weak draw is a face at rest
        codes = type(codes)(codes.identity, torch.as_tensor(drawn)[None].to(anchors))
    condition = model.condition(codes)
    with FlopCounterMode(display=False) as counter:
        model.signed_distance(points[None], condition)
    return round(counter.get_total_flops() / 2 / POINTS)
