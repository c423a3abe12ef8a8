"""The same model evaluated as NPHM's published code does it, for comparison: all 39 parts at every point.

Written plainly after NPHM's EnsembledDeepSDF (batched products over all parts, codes repeated for every point, plain
softplus, gradients by autograd), but with the weights of one of our models, so that the answers must agree.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.functional import softplus

from headfield.models.imhead.model import ImHead
from headfield.nn.machine import denormals_flushed
from headfield.types import Codes

BATCH = 25_000
"""Points a batch in NPHM's extraction loop."""


@contextmanager
def as_torch_comes() -> Iterator[None]:
    """Run a block without our settings of the machine (headfield.nn.machine), then put them back.

    Denormal numbers are a setting of one thread, and torch's helpers keep theirs: use it with one thread.
    """
    switch = torch.backends.mkldnn.matmul
    before = getattr(switch, "fp32_precision", None)
    try:
        if before is not None:
            switch.fp32_precision = "none"
        yield
    finally:
        if before is not None:
            switch.fp32_precision = before


def settings():
    """Both settings of the machine to time the published side under, with their names."""
    return ((as_torch_comes, "as torch comes"), (denormals_flushed, "our settings of the machine"))


def plain_encoding(x: torch.Tensor, frequencies: int) -> torch.Tensor:
    """(..., 3) -> (..., 3 + 6 L)."""
    if not frequencies:
        return x
    scale = math.pi * 2.0 ** torch.arange(frequencies, dtype=x.dtype)
    angles = (x[..., None] * scale).flatten(-2)
    return torch.cat([x, torch.sin(angles), torch.cos(angles)], -1)


def plain_mlp(mlp, x: torch.Tensor, condition: torch.Tensor | None, network: torch.Tensor, gate=None) -> torch.Tensor:
    """(K, N, I) rows and (K, N, C) repeated conditions through the K networks chosen by `network`: batched products."""

    def weight(own, conditional):
        own = own[network]
        return own if conditional is None else torch.cat([own, conditional[network]], -1)

    inputs = x if condition is None else torch.cat([x, condition], -1)
    hidden = softplus(
        torch.baddbmm(mlp.biases[0][network][:, None], inputs, weight(mlp.first, mlp.first_condition).transpose(1, 2)),
        beta=100,
    )
    for layer, deeper in enumerate(mlp.deeper, start=1):
        matrix = deeper[network]
        if layer == mlp.skip_layer:
            hidden = torch.cat([hidden, inputs], -1) / math.sqrt(2)
            matrix = torch.cat([matrix, weight(mlp.skip, mlp.skip_condition)], -1)
        hidden = softplus(torch.baddbmm(mlp.biases[layer][network][:, None], hidden, matrix.transpose(1, 2)), beta=100)
    if gate is not None:
        hidden = hidden * gate
    return torch.baddbmm(mlp.last_bias[network][:, None], hidden, mlp.last[network].transpose(1, 2))


def signed_distance(model: ImHead, points: torch.Tensor, codes: Codes) -> torch.Tensor:
    """Signed distances (N,) of one head at points (N, 3); differentiable twice by plain autograd."""
    parts = model.part_codes(codes.identity)[0]
    anchors = model.anchors_of_parts(parts[None])[0]
    count, ensemble = len(points), model.ensemble
    one = torch.zeros(1, dtype=torch.long)
    ambient = points.new_zeros(count, model.config.ambient)
    if codes.expression is not None:
        deformer = model.deformer
        identity, expression = deformer.project_identity(codes.identity), deformer.embed_expression(codes.expression)
        condition = torch.cat([identity, expression], 1).expand(count, -1)[None]
        out = plain_mlp(
            deformer.mlp, plain_encoding(points, deformer.frequencies)[None], condition, one,
            deformer.gate(codes.expression)[None],
        )[0]  # fmt: skip
        points, ambient = points + out[:, :3], out[:, 3:]
    local = (points[None] - anchors[:, None]) * ensemble.side[:, None]
    rows = torch.cat([plain_encoding(local, ensemble.frequencies), ambient.expand(len(parts), -1, -1)], -1)
    feature = plain_mlp(ensemble.mlp, rows, parts[:, None].expand(-1, count, -1), ensemble.network)
    weights = ensemble.weights(points[None], anchors[None]).weights[0]
    blended = (weights.t()[..., None] * feature).sum(0)
    return plain_mlp(model.fusion, torch.cat([points - model.centre, blended], 1)[None], None, one)[0, :, 0]
