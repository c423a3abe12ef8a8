"""What imHead is made of, from its configuration: FusionNet, and the sizes of the parts and the deformer."""

from __future__ import annotations

import torch
from torch import nn

from headfield.models.imhead.config import ImHeadConfig
from headfield.nn.deformer import DeformerSize
from headfield.nn.ensemble import EnsembleSize
from headfield.nn.mlp import GroupedMLP


def fusion_net(config: ImHeadConfig) -> GroupedMLP:
    """FusionNet (Eq. 6), the distance to a sphere at first."""
    net = GroupedMLP(1, 3 + config.part_features, 0, config.fusion_hidden, config.fusion_layers, 1, skip=False)
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
    )


def _geometric(mlp: GroupedMLP, radius: float) -> None:
    """Start as the distance to a sphere (Atzmon and Lipman 2020), blind to the features at first."""
    with torch.no_grad():
        hidden = mlp.hidden
        std = (2.0 / hidden) ** 0.5
        nn.init.normal_(mlp.first, std=std)
        mlp.first[:, :, 3:] = 0.0
        for weight in mlp.deeper:
            nn.init.normal_(weight, std=std)
        for bias in mlp.biases:
            nn.init.zeros_(bias)
        nn.init.normal_(mlp.last, mean=(torch.pi / hidden) ** 0.5, std=1e-4)
        nn.init.constant_(mlp.last_bias, -radius)
