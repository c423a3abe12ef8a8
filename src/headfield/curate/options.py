"""How scans are curated: one dataclass, without heavy imports, so that the command line can show its help at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from headfield.models import DEFAULT


@dataclass(frozen=True)
class QualityLimits:
    """Beyond any of these a scan is rejected, with the reason in the report; other limits redo no registration."""

    max_error: float = 1.5
    """Largest median distance of the scan's head to the registered template, millimetres."""
    max_landmark_residual: float = 6.0
    """Largest median disagreement of the views about the landmarks, millimetres."""
    min_coverage: float = 0.5
    """Least share of the face that the scan shows."""
    max_inverted: float = 0.005
    """Largest share of the registered template's triangles that are turned over."""
    max_self_intersections: float = 0.03
    """Largest share of the registered template's triangles that another one pierces; ears under hair take 1 to 2 %."""
    neutral: float = 0.4
    """A scan whose name does not tell counts as neutral when no fitted expression weight exceeds this."""


@dataclass(frozen=True)
class CurateOptions:
    """How scans become training data."""

    family: Literal["ict", "anny", "flame", "gnm"] = "ict"
    """Parametric heads that are fitted and whose template is registered. FLAME and GNM have no ARKit channels: there
    the weights of expressions are those of the implicit model's fit."""
    family_file: Path | None = None
    """The user's own file of the family: needed for FLAME (generic_model.pkl, flame2023.pkl, flame2023_Open.pkl); of
    GNM (gnm_head.npz) it is fetched from the hub when not given."""
    model: str = DEFAULT
    """Implicit model that completes what the scanner missed: a released name, a folder, or a hub id."""
    landmarks: Literal["detect", "search"] = "detect"
    """detect finds the face's landmarks in pictures of the scan (extra `landmarks`); search does without them and finds
    the head by its shape alone."""
    units: Literal["mm", "cm", "m", "inch"] | None = None
    """Unit of all scans whose table or file does not tell; found for each by itself when not given."""
    points: int = 12288
    """Surface points per head and expression."""
    samples: int = 3072
    """Signed samples off the surface per head and expression."""
    resolution: int = 256
    """Samples along the longest side of the box for the completed mesh: 256 is 1.5 mm."""
    no_neutral: Literal["fit", "reject"] = "fit"
    """A person without a neutral scan: take the neutral face of the fit, or reject the person."""
    limits: QualityLimits = field(default_factory=QualityLimits)
    """When a scan is rejected."""
    seed: int = 0
    """Of everything random: the same scans and seed give the same store."""
