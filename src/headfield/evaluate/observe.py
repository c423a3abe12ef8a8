"""Scans of test heads: what the fit is shown, and where it truly was."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from headfield.synth.person import Person
from headfield.synth.scanner import HeadTruth, ScanOptions, Variant, scan_head
from headfield.types import Scan, Similarity


@dataclass(frozen=True)
class Observed:
    """A scan and its secret.

    Attributes:
        scan: What the fit sees.
        truth: Scan frame and unit -> the head's own true model frame.
        unit: What the scan is measured in, whether it tells or not.
    """

    scan: Scan
    truth: Similarity
    unit: str = "mm"


@dataclass(frozen=True)
class ScanKind:
    """How a head is scanned.

    Attributes:
        variant: Of the virtual scanner.
        options: Its options.
        tells: Whether the scan tells its unit.
    """

    variant: Variant
    options: ScanOptions
    tells: bool = True


FULL = ScanKind(
    "full", ScanOptions(points=5000, shoulders=False, holes=0, rotation="upright", translation_m=0.1, unit="mm")
)
"""A full scan thinned to the papers' 5,000 points; 0.12 mm noise, 0.1 mm waves, 0.3 % strays."""

DEPTH = ScanKind("depth", ScanOptions(rotation="upright", translation_m=0.1, unit="mm"))
"""One frontal depth map of 5,000 points with 0.5 mm noise: the papers' setting."""

ANYWHERE = ScanKind("full", ScanOptions(points=30_000), tells=False)
"""A full scan, half of them with shoulders, with holes, in any rotation, place and unit."""

NO_BACK = ScanKind("frontal", ScanOptions(points=30_000), tells=False)
"""The same from a frontal rig: no back of the head."""


def observe(
    person: Person, expression: np.ndarray | None, kind: ScanKind, rng: np.random.Generator, name: str
) -> Observed:
    """Scan a person.

    Args:
        person: Who.
        expression: (52,), None = neutral.
        kind: How.
        rng: Source of randomness.
        name: Of the scan.
    """
    scan, truth = scan_head(HeadTruth.of_person(person, expression), kind.variant, rng, kind.options)
    scan = replace(scan, name=name, units=truth.unit if kind.tells else None)
    return Observed(scan, truth.model_from_scan, truth.unit)


def small_pose(rng: np.random.Generator, scale: float) -> Similarity:
    """A turn by up to 20 degrees, a move by up to 50, and a scale: for meshes that come without a scanner."""
    turn = rng.standard_normal(3)
    turn *= np.deg2rad(20) * rng.random() / np.linalg.norm(turn)
    return Similarity(Rotation.from_rotvec(turn).as_matrix(), rng.uniform(-50, 50, 3), scale)
