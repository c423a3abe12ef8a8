"""What imHead is made of, from its configuration: FusionNet, and the sizes of the parts and the deformer."""

from __future__ import annotations

from torch import nn

from headfield import frames
from headfield.models.imhead.config import ImHeadConfig
from headfield.nn.deformer import DeformerSize
from headfield.nn.ensemble import EnsembleSize
from headfield.nn.mlp import GroupedMLP, start_as_sphere


def dec_net(config: ImHeadConfig) -> nn.Linear:
    """DecNet (Eq. 1); of a code that is not compact, what hands every part its own numbers, which is not learned."""
    net = nn.Linear(config.identity, frames.N_ANCHORS * config.part_code)
    if not config.compact:
        shared, own = config.shared_code, config.part_code - config.shared_code
        net.requires_grad_(False)
        nn.init.zeros_(net.weight)
        nn.init.zeros_(net.bias)
        for part, rows in enumerate(net.weight.split(config.part_code)):
            rows[:shared, :shared].fill_diagonal_(1.0)
            rows[shared:, shared + part * own : shared + (part + 1) * own].fill_diagonal_(1.0)
    return net


def fusion_net(config: ImHeadConfig) -> GroupedMLP | None:
    """FusionNet (Eq. 6), the distance to a sphere at first; None where parts' distances are blended."""
    if not config.fused:
        return None
    inputs = 3 + config.part_features
    net = GroupedMLP(1, inputs, 0, config.fusion_hidden, config.fusion_layers, 1, skip=config.fusion_skip)
    start_as_sphere(net, radius=0.4)
    return net


def ensemble_size(config: ImHeadConfig) -> EnsembleSize:
    """Of the parts."""
    return EnsembleSize(
        config.part_code,
        config.ambient,
        config.part_hidden,
        config.part_layers,
        config.part_features,
        config.part_frequencies,
        config.kernel,
        config.sigma,
        config.threshold,
        local=config.local_frames,
    )


def deformer_size(config: ImHeadConfig) -> DeformerSize:
    """Of the expression deformer."""
    return DeformerSize(
        config.identity,
        config.expression,
        config.ambient,
        config.deformer_hidden,
        config.deformer_layers,
        config.deformer_frequencies,
        config.deformer_identity,
        config.deformer_expression,
        gated=config.gated,
    )
