"""Sizes and choices of ImFace, with the published values as defaults, and the presets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ImFaceConfig:
    """Configuration of :class:`headfield.models.imface.model.ImFace`.

    The paper is "ImFace: A Nonlinear 3D Morphable Face Model with Implicit Neural Representations" (CVPR 2022). Sizes
    are those of its published code, which is where the paper and that differ what was trained.
    """

    identity: int = 128
    """D: numbers of the identity code (published code)."""
    expression: int = 52
    """E: expression numbers. The paper learns 128 for itself; ours are the 52 ARKit weights."""
    expression_names: str = "arkit52"
    """What the expression numbers mean: ``arkit52``, ``flame`` or ``learned``."""
    hidden: int = 128
    """Width of the sine networks of identity and template (published code)."""
    layers: int = 4
    """Their hidden layers (published code: one and three more)."""
    expression_hidden: int = 128
    """Width of the sine network of the expression (published code)."""
    expression_layers: int = 4
    """Its hidden layers (published code: one and three more)."""
    hyper_hidden: int = 128
    """Width of the hypernetworks (published code)."""
    hyper_layers: int = 2
    """Their hidden layers (published code: one and one more)."""
    fusion_hidden: int = 128
    """Width of the networks of the blend weights, 3 -> 128 -> 128 -> 5 (published code)."""
    key_hidden: int = 256
    """Width of Landmark-Net, two hidden layers (published code)."""
    gated: bool = False
    """Makes the deformation zero where the expression is zero, exactly; the paper asks for it by a loss."""


def imface() -> ImFaceConfig:
    """The published sizes."""
    return ImFaceConfig()


def imface_small() -> ImFaceConfig:
    """Trains and runs on a laptop: the published codes, narrower networks of heads at rest, narrow hypernetworks."""
    return ImFaceConfig(hidden=64, hyper_hidden=64, hyper_layers=1, fusion_hidden=64, gated=True)


def imface_tiny() -> ImFaceConfig:
    """For tests: every mechanism, few numbers."""
    return ImFaceConfig(
        identity=8,
        hidden=16,
        layers=2,
        expression_hidden=16,
        expression_layers=2,
        hyper_hidden=16,
        hyper_layers=1,
        fusion_hidden=16,
        key_hidden=16,
        gated=True,
    )


PRESETS = {"paper": imface, "small": imface_small, "tiny": imface_tiny}
"""The presets by the name that the command line uses."""
