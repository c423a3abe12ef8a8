"""Sizes and choices of MonoNPHM's geometry, with the published values as defaults, and the presets."""

from __future__ import annotations

from dataclasses import dataclass

from headfield.errors import ConfigError
from headfield.models.mononphm.anchors import COUNT, LAYOUTS, OURS


@dataclass(frozen=True)
class MonoNphmConfig:
    """Configuration of :class:`headfield.models.mononphm.model.MonoNphm`.

    The paper is "MonoNPHM: Dynamic Head Reconstruction from Monocular Videos" (CVPR 2024); sizes are those of its
    published configuration. Colour is left out.
    """

    global_code: int = 64
    """Numbers of z_glob (published configuration)."""
    part_code: int = 32
    """Numbers of each of the 65 local codes and of that of the field that is everywhere; 64 + 66 x 32 = 2,176."""
    pairs: int = OURS
    """Pairs among the 65 anchors: 29 of ours, whose first 39 are the protocol's, or 30 as in the published set, from
    which the 39 are read (:mod:`headfield.models.mononphm.anchors`)."""
    expression: int = 52
    """E: expression numbers. The paper learns 100 for itself; ours are the 52 ARKit weights."""
    expression_names: str = "arkit52"
    """What the expression numbers mean: ``arkit52``, ``flame`` or ``learned``."""
    part_hidden: int = 200
    """Width of a local network (published configuration)."""
    part_layers: int = 4
    """Hidden layers of a local network, without a skip (published code)."""
    anchor_hidden: int = 64
    """Width of the network that places the anchors, 64 -> 64 -> 64 -> 195 (published code)."""
    deformer_hidden: int = 400
    """Width of the deformation network (published configuration)."""
    deformer_layers: int = 6
    """Hidden layers of the deformation network; its input is appended again at the middle (published code)."""
    deformer_identity: int = 16
    """Numbers that identity and anchors are projected to (published configuration)."""
    ambient: int = 2
    """A: ambient coordinates omega (published configuration)."""
    gated: bool = False
    """Makes deformation and ambient coordinates zero where the expression is zero, exactly; the paper asks for it by a
    loss."""
    sharpness: float = 3.75
    """Standard deviations of the blend weights up to the eighth nearest anchor (published configuration)."""
    everywhere: float = 0.75
    """Distance, model units, at which the anchor of the field that is everywhere lies from every point (published
    code)."""

    def __post_init__(self) -> None:
        if self.pairs not in LAYOUTS:
            raise ConfigError(
                f"pairs is {self.pairs}: of the {COUNT} anchors {' or '.join(map(str, LAYOUTS))} x 2 are pairs, in our "
                "own set or in the published one; choose one of these."
            )

    @property
    def identity(self) -> int:
        """D: numbers of the whole identity code."""
        return self.global_code + (COUNT + 1) * self.part_code


def mononphm() -> MonoNphmConfig:
    """The published sizes."""
    return MonoNphmConfig()


def mononphm_small() -> MonoNphmConfig:
    """Trains and runs on a laptop: the published codes, narrower networks."""
    return MonoNphmConfig(part_hidden=64, part_layers=3, deformer_hidden=128, deformer_layers=4, gated=True)


def mononphm_tiny() -> MonoNphmConfig:
    """For tests: every mechanism, few numbers."""
    return MonoNphmConfig(
        global_code=6,
        part_code=2,
        part_hidden=16,
        part_layers=2,
        anchor_hidden=16,
        deformer_hidden=16,
        deformer_layers=2,
        deformer_identity=4,
        gated=True,
    )


PRESETS = {"paper": mononphm, "small": mononphm_small, "tiny": mononphm_tiny}
"""The presets by the name that the command line uses."""
