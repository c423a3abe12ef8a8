"""What imHead is made of, from its configuration: FusionNet, and the sizes of the parts and the deformer."""

from __future__ import annotations

from headfield.models.imhead.config import ImHeadConfig
from headfield.nn.deformer import DeformerSize
from headfield.nn.ensemble import EnsembleSize
from headfield.nn.mlp import GroupedMLP, start_as_sphere


def fusion_net(config: ImHeadConfig) -> GroupedMLP:
    """FusionNet (Eq. 6), the distance to a sphere at first."""
    net = GroupedMLP(1, 3 + config.part_features, 0, config.fusion_hidden, config.fusion_layers, 1, skip=False)
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
