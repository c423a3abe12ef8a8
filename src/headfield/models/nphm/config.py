"""Sizes and choices of NPHM, with the paper's values as defaults, and the presets."""

from __future__ import annotations

from dataclasses import dataclass, replace

from headfield.errors import ConfigError
from headfield.models.nphm.anchors import CARRYING
from headfield.types import ARKIT


@dataclass(frozen=True)
class NphmConfig:
    """Configuration of :class:`headfield.models.nphm.model.Nphm`.

    The paper is "Learning Neural Parametric Head Models" (CVPR 2023); where its text and its published code differ,
    the code's value is the default and the field says so.
    """

    global_code: int = 64
    """Numbers of z_glob (D.3.2)."""
    part_code: int = 32
    """Numbers of each of the K local codes and of the background's, z_k (D.3.2); 64 + 40 x 32 = 1,344."""
    anchors: int = 39
    """K: places that carry a local field, 39, 26 or 12 (Table 4); which they are stands in
    :data:`headfield.models.nphm.anchors.CARRYING`. MLP_pos places all 39 whatever K is."""
    symmetric: bool = True
    """The two sides of a pair share a network, which sees one of them mirrored (Eq. 5). Without (Table 4) every part
    has a network of its own, none mirrors, and no loss asks both codes of a pair to be alike."""
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
    """Makes the deformation zero at the canonical expression, exactly; the paper learns it."""
    canonical: str = "neutral"
    """Which face the local fields hold: ``neutral``, with its mouth closed, or as in the paper ``open``, with jawOpen
    at 1, so that lips which touch at rest are apart in the field (:mod:`headfield.models.open_rest`)."""
    kernel: str = "gaussian"
    """Blend kernel: ``gaussian`` exp(-d^2 / sigma^2) as in the published code, or ``laplace`` exp(-d / sigma), with
    which Eq. 7 as printed is a sigma of twice its own."""
    sigma: float = 0.1
    """Width of the kernel, model units (D.3.2: 25 mm)."""
    background: float = -20.0
    """Log-weight of f_0, the part that covers what lies far from all anchors: c = exp(-0.2 / sigma^2) (D.3.2)."""
    threshold: float = 0.0
    """eps of the smooth threshold on blend weights, below 1/(K + 1); 0 keeps every part everywhere, as the paper."""

    def __post_init__(self) -> None:
        if self.anchors not in CARRYING:
            raise ConfigError(
                f"anchors is {self.anchors}: NPHM has parts at {', '.join(map(str, sorted(CARRYING)))} anchors; choose "
                "one of these."
            )
        if not 0.0 <= self.threshold * (self.anchors + 1) < 1.0:
            raise ConfigError(
                f"threshold is {self.threshold:g}: of {self.anchors} parts and the background one is sure to stay only "
                f"below 1/{self.anchors + 1}; give a number from 0 to that."
            )
        if self.canonical not in ("neutral", "open"):
            raise ConfigError(f"canonical is {self.canonical!r}: choose neutral or open.")
        if self.canonical == "open" and self.expression_names != "arkit52":
            raise ConfigError(
                f"the canonical face is opened by jawOpen, one of the 52 ARKit weights, and these expressions are "
                f"{self.expression_names!r}: leave canonical at neutral, or expression_names at arkit52."
            )

    @property
    def identity(self) -> int:
        """D: numbers of the whole identity code."""
        return self.global_code + (self.anchors + 1) * self.part_code

    @property
    def canonical_expression(self) -> tuple[float, ...] | None:
        """The expression (52,) of the face that the fields hold, None for the face at rest."""
        return tuple(float(name == "jawOpen") for name in ARKIT) if self.canonical == "open" else None


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


def with_anchors(sizes: NphmConfig, anchors: int) -> NphmConfig:
    """The same with fewer anchors (Table 4), whose codes are longer, so that the whole code keeps its size.

    The paper preserves it roughly (D.3.2). So it is here: a local code has the whole number of numbers with which
    global_code + (K + 1) x part_code comes nearest to what it was: 98 of 12 anchors, 1,338 in all, and 47 of 26,
    1,333 in all, where 39 anchors have 1,344.
    """
    codes = (sizes.anchors + 1) * sizes.part_code
    return replace(sizes, anchors=anchors, part_code=round(codes / (anchors + 1)))


def without_symmetry(sizes: NphmConfig) -> NphmConfig:
    """The same with a network of its own for every part (Table 4)."""
    return replace(sizes, symmetric=False)


def with_open_mouth(sizes: NphmConfig) -> NphmConfig:
    """The same with the paper's canonical face, whose mouth is open (§4.1)."""
    return replace(sizes, canonical="open")


PRESETS = {
    "paper": nphm,
    "small": nphm_small,
    "tiny": nphm_tiny,
    "literal": nphm_literal,
    "open": lambda: with_open_mouth(nphm()),
    "open-small": lambda: with_open_mouth(nphm_small()),
    "12-anchors": lambda: with_anchors(nphm(), 12),
    "26-anchors": lambda: with_anchors(nphm(), 26),
    "no-symmetry": lambda: without_symmetry(nphm()),
    "12-anchors-small": lambda: with_anchors(nphm_small(), 12),
    "26-anchors-small": lambda: with_anchors(nphm_small(), 26),
    "no-symmetry-small": lambda: without_symmetry(nphm_small()),
}
"""The presets by the name that the command line uses."""
