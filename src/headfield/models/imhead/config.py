"""Sizes and choices of imHead, with the paper's values as defaults, and the presets."""

from __future__ import annotations

from dataclasses import dataclass, replace

from headfield.errors import ConfigError


@dataclass(frozen=True)
class ImHeadConfig:
    """Configuration of :class:`headfield.models.imhead.model.ImHead`.

    Where the paper is silent the value follows the NPHM and MonoNPHM releases; such fields say "silent".
    """

    identity: int = 256
    """D: numbers of the identity code z_id (paper §3.2)."""
    compact: bool = True
    """DecNet makes the part codes of one code. Without it (ablation, Table 3) z_id is the part codes themselves, one
    after another, and D must be shared_code + 39 x (part_code - shared_code)."""
    shared_code: int = 0
    """Where the code is not compact: numbers at its beginning that every part sees before its own."""
    part_code: int = 32
    """d: numbers of one part code z_j; 39 x 32 = 1,248 (paper §3.3)."""
    expression: int = 52
    """E: expression channels; 52 ARKit weights, or FLAME's expression and jaw numbers."""
    expression_names: str = "arkit52"
    """What the expression numbers mean: ``arkit52`` or ``flame``."""
    part_hidden: int = 200
    """Width of a part network (paper's supplement: 4 layers of 200)."""
    part_layers: int = 4
    """Hidden layers of a part network."""
    part_features: int = 200
    """F: size of the feature that a part returns (silent: as wide as the network)."""
    part_frequencies: int = 7
    """L of the positional encoding of x - k_j (paper's supplement)."""
    local_frames: bool = True
    """Parts see x - k_j; else x (ablation)."""
    fused: bool = True
    """FusionNet makes the distance of the blended features; else parts return distances, which are blended (ablation;
    part_features must be 1)."""
    fusion_hidden: int = 200
    """Width of FusionNet."""
    fusion_layers: int = 4
    """Hidden layers of FusionNet."""
    fusion_skip: bool = False
    """FusionNet takes its input again at the middle layer, as the paper's "DeepSDF module" does."""
    fusion_centred: bool = True
    """FusionNet sees x less the middle of the mean anchors, so that the sphere that it starts as lies in the head."""
    landmark_hidden: int = 256
    """Width of LandmarkNet, 1248 -> 256 -> 256 -> 117 (silent: three layers)."""
    deformer_hidden: int = 128
    """Width of the expression deformer (paper's supplement: 8 layers of 128)."""
    deformer_layers: int = 8
    """Hidden layers of the expression deformer."""
    deformer_frequencies: int = 0
    """Positional encoding of the deformer's points (silent: none)."""
    deformer_identity: int = 32
    """z_id is projected to this many numbers before the deformer (silent; NPHM compresses to 32); 0 takes it whole."""
    deformer_expression: int = 128
    """z_exp is embedded to this many numbers (silent)."""
    gated: bool = True
    """Nothing moves at zero expression, by construction; the paper learns it."""
    ambient: int = 2
    """A: ambient coordinates omega that carry changes of topology (paper §3.4)."""
    kernel: str = "gaussian"
    """Blend kernel: ``gaussian`` exp(-d^2/sigma^2) as NPHM's code, or ``laplace`` exp(-d/sigma) as imHead's Eq. 5."""
    sigma: float = 0.1
    """Width of the kernel, model units (25 mm); about 0.04 suits ``laplace``."""
    threshold: float = 0.005
    """eps of the smooth threshold on blend weights, below 1/39; 0 keeps every part everywhere."""

    def __post_init__(self) -> None:
        parts = self.shared_code + 39 * (self.part_code - self.shared_code)
        if not self.compact and self.identity != parts:
            raise ConfigError(
                f"a code that is not compact has shared_code + 39 x (part_code - shared_code) = {parts} numbers, not "
                f"identity = {self.identity}."
            )
        if not self.fused and self.part_features != 1:
            raise ConfigError(
                f"parts whose distances are blended return 1 number, not part_features = {self.part_features}."
            )


def imhead() -> ImHeadConfig:
    """The paper's sizes."""
    return ImHeadConfig()


def literal(sizes: ImHeadConfig | None = None) -> ImHeadConfig:
    """What the paper prints, where our default departs from it; `sizes` are the paper's unless given. The width of the
    kernel, which it does not state, is that which makes it as local as NPHM's (10 mm)."""
    return replace(
        sizes or imhead(),
        kernel="laplace",
        sigma=0.04,
        threshold=0.0,
        fusion_skip=True,
        fusion_centred=False,
        deformer_frequencies=0,
        deformer_identity=0,
        gated=False,
    )


def literal_small() -> ImHeadConfig:
    """The same with the widths of `small`."""
    return literal(imhead_small())


def imhead_small() -> ImHeadConfig:
    """Trains and runs on a laptop: narrower networks, the same codes."""
    return ImHeadConfig(
        part_hidden=80,
        part_layers=3,
        part_features=48,
        part_frequencies=6,
        fusion_hidden=96,
        fusion_layers=3,
        deformer_hidden=96,
        deformer_layers=4,
        deformer_frequencies=6,
        deformer_expression=64,
    )


def imhead_tiny() -> ImHeadConfig:
    """For tests: every mechanism, few numbers."""
    return ImHeadConfig(
        identity=16,
        part_code=4,
        part_hidden=16,
        part_layers=3,
        part_features=8,
        part_frequencies=2,
        fusion_hidden=16,
        fusion_layers=2,
        landmark_hidden=16,
        deformer_hidden=16,
        deformer_layers=2,
        deformer_frequencies=1,
        deformer_identity=4,
        deformer_expression=4,
    )


PRESETS = {
    "paper": imhead,
    "small": imhead_small,
    "tiny": imhead_tiny,
    "literal": literal,
    "literal-small": literal_small,
}
"""The presets by the name that the command line uses."""
