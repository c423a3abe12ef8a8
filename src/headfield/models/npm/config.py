"""Sizes and choices of NPM, with the published values as defaults, and the presets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NpmConfig:
    """Configuration of :class:`headfield.models.npm.model.Npm`.

    NPM is a model of bodies; of heads it is known as the baseline of "Learning Neural Parametric Head Models" (CVPR
    2023), whose supplement (D.3.1) and published code give the sizes. Where the two differ, the code's value is the
    default and the field says so.
    """

    identity: int = 512
    """D: numbers of the identity code (D.3.1)."""
    expression: int = 52
    """E: expression numbers. The paper learns 200 for itself; ours are the 52 ARKit weights."""
    expression_names: str = "arkit52"
    """What the expression numbers mean: ``arkit52``, ``flame`` or ``learned``."""
    hidden: int = 1024
    """Width of the field at rest (D.3.1)."""
    layers: int = 8
    """Hidden layers of the field at rest (D.3.1)."""
    narrow: bool = True
    """DeepSDF's skip, whose layer before it is narrower, in both networks; else a skip that is appended, which small
    widths need."""
    deformer_hidden: int = 1024
    """Width of the deformation network (published code; D.3.1 prints 512)."""
    deformer_layers: int = 8
    """Hidden layers of the deformation network (published code; D.3.1 prints 6)."""
    deformer_identity: int = 0
    """Numbers that the identity code is projected to before the deformation network; 0 takes all of it, as the
    published code does."""
    gated: bool = False
    """Makes the deformation zero where the expression is zero, exactly, so that the canonical head is the neutral one;
    the paper learns it."""
    anchor_hidden: int = 64
    """Width of the network that reads the 39 anchors off the code. Not in the paper, whose model has no anchors."""


def npm() -> NpmConfig:
    """The published sizes."""
    return NpmConfig()


def npm_small() -> NpmConfig:
    """Trains and runs on a laptop: the published code, narrower networks."""
    return NpmConfig(
        hidden=256, layers=4, narrow=False, deformer_hidden=128, deformer_layers=4, deformer_identity=32, gated=True
    )


def npm_tiny() -> NpmConfig:
    """For tests: every mechanism, few numbers."""
    return NpmConfig(
        identity=8,
        hidden=24,
        layers=3,
        narrow=False,
        deformer_hidden=16,
        deformer_layers=2,
        gated=True,
        anchor_hidden=16,
    )


PRESETS = {"paper": npm, "small": npm_small, "tiny": npm_tiny}
"""The presets by the name that the command line uses."""
