"""How explicit heads are fitted to scans, as one dataclass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from headfield.fit.gate import Gate


@dataclass(frozen=True)
class ParametricOptions:
    """How an explicit head is fitted to the scans of one person. Lengths are in model units (1 is 250 mm)."""

    points: int = 4000
    """Points of each scan that count, thinned evenly."""
    iterations: int = 30
    """Most steps."""
    gate: Gate = field(default_factory=lambda: Gate(0.08, 0.008, 12))
    """Schedule of the robust scale of distances (the distance gate)."""
    normal_gate: float = 60.0
    """Points count only where their normal is within so many degrees of the model's (NPHM Eq. 20)."""
    sigma: float = 0.0016
    """Least standard deviation of distances (0.4 mm): what the family cannot say."""
    trust: float = 0.25
    """Independent observations per point: neighbours agree."""
    scalp: float = 0.2
    """Weight of points outside the head over parts that may wear hair, which no explicit family has."""
    landmark_sigma: float = 0.012
    """Standard deviation of a landmark of full confidence (3 mm)."""
    landmark_gate: float = 0.04
    """Robust scale of landmarks (10 mm)."""
    log_scale_sd: float = 0.1
    """Freedom of the size about that of the placement: families are of adults, or in a unit of their own."""
    same_size_sd: float = 0.003
    """How alike the head's size is in all scans of a person whose units are known."""
    expression: Literal["fit", "neutral"] = "fit"
    """Solve an expression per scan, or hold all at rest."""
    pose: bool = True
    """Solve neck, jaw and eyes where the family has them."""
    rigid_steps: int = 3
    """First steps that move the scan only."""
    look_again: int = 6
    """Steps after which it is tested anew which triangles can be seen."""
    seed: int = 0
    """Seed of the choice of points."""
