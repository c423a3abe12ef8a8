"""What imHead is made of, from its configuration: FusionNet, and the sizes of the parts and the deformer."""

from __future__ import annotations

import torch
from torch import nn

from headfield import frames
from headfield.models.imhead.config import ImHeadConfig
from headfield.nn.deformer import DeformerSize
from headfield.nn.ensemble import EnsembleSize
from headfield.nn.mlp import GroupedMLP


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
    _geometric(net, radius=0.4)
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


def _geometric(mlp: GroupedMLP, radius: float) -> None:
    """Start as the distance to a sphere (Atzmon and Lipman 2020), blind to the features at first."""
    with torch.no_grad():
        hidden = mlp.hidden
        std = (2.0 / hidden) ** 0.5
        nn.init.normal_(mlp.first, std=std)
        mlp.first[:, :, 3:] = 0.0
        if mlp.skip is not None:
            nn.init.zeros_(mlp.skip)
        for layer, weight in enumerate(mlp.deeper, start=1):
            nn.init.normal_(weight, std=std / (mlp.scale if layer == mlp.skip_layer else 1.0))
        for bias in mlp.biases:
            nn.init.zeros_(bias)
        nn.init.normal_(mlp.last, mean=(torch.pi / hidden) ** 0.5, std=1e-4)
        nn.init.constant_(mlp.last_bias, -radius)
