"""Sizes and choices of NPHM, with the paper's values as defaults, and the presets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NphmConfig:
    """Configuration of :class:`headfield.models.nphm.model.Nphm`.

    The paper is "Learning Neural Parametric Head Models" (CVPR 2023); where its text and its published code differ,
    the code's value is the default and the field says so.
    """

    global_code: int = 64
    """Numbers of z_glob (D.3.2)."""
    part_code: int = 32
    """Numbers of each of the 39 local codes and of the background's, z_k (D.3.2); 64 + 40 x 32 = 1,344."""
    expression: int = 52
    """E: expression numbers. The paper learns 200 for itself; ours are the 52 ARKit weights."""
    expression_names: str = "arkit52"
    """What the expression numbers mean: ``arkit52``, ``flame`` or ``learned``."""
    part_hidden: int = 200
    """Width of a local network (D.3.2)."""
    part_layers: int = 4
    """Hidden layers of a local network (D.3.2)."""
    narrow: bool = True
    """DeepSDF's skip, whose layer before it is narrower, in the local networks and the deformer; else a skip that is
    appended, which small widths need."""
    anchor_hidden: int = 256
    """Width of MLP_pos, 64 -> 256 -> 256 -> 117 (published code)."""
    deformer_hidden: int = 512
    """Width of the deformation network (D.3.1)."""
    deformer_layers: int = 6
    """Hidden layers of the deformation network (D.3.1)."""
    deformer_identity: int = 32
    """Numbers that W projects identity and anchors to (Eq. 10; published code)."""
    gated: bool = False
    """Makes the deformation zero where the expression is zero, exactly, so that the canonical head is the neutral one;
    the paper learns it."""
    kernel: str = "gaussian"
    """Blend kernel: ``gaussian`` exp(-d^2 / sigma^2) as in the published code, or ``laplace`` exp(-d / sigma), with
    which Eq. 7 as printed is a sigma of twice its own."""
    sigma: float = 0.1
    """Width of the kernel, model units (D.3.2: 25 mm)."""
    background: float = -20.0
    """Log-weight of f_0, the part that covers what lies far from all anchors: c = exp(-0.2 / sigma^2) (D.3.2)."""
    threshold: float = 0.0
    """eps of the smooth threshold on blend weights, below 1/40; 0 keeps every part everywhere, as the paper."""

    @property
    def identity(self) -> int:
        """D: numbers of the whole identity code."""
        return self.global_code + 40 * self.part_code


def nphm() -> NphmConfig:
    """The paper's sizes."""
    return NphmConfig()


def nphm_small() -> NphmConfig:
    """Trains and runs on a laptop: the published codes, narrower networks, few parts at a point."""
    return NphmConfig(part_hidden=64, narrow=False, deformer_hidden=128, deformer_layers=4, gated=True, threshold=0.005)


def nphm_tiny() -> NphmConfig:
    """For tests: every mechanism, few numbers."""
    return NphmConfig(
        global_code=6,
        part_code=2,
        part_hidden=16,
        part_layers=3,
        narrow=False,
        anchor_hidden=16,
        deformer_hidden=16,
        deformer_layers=2,
        deformer_identity=4,
        gated=True,
        threshold=0.005,
    )


def nphm_literal() -> NphmConfig:
    """The paper's sizes with the kernel that it prints (Eq. 7) in the place of that of its code."""
    return NphmConfig(kernel="laplace", sigma=0.2)


PRESETS = {"paper": nphm, "small": nphm_small, "tiny": nphm_tiny, "literal": nphm_literal}
"""The presets by the name that the command line uses."""
