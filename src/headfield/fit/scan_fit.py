"""How a fit explains one scan: placement, expression, residuals, and what was seen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from headfield.expressions import in_words
from headfield.fit.eyes_seen import EyesSeen
from headfield.fit.placement import millimetres_per_unit
from headfield.types import ARKIT, Similarity

INLIER_MM = 5.0
"""A scan point within this distance of the fitted head (true millimetres) is an inlier."""

HEAD_REACH_MM = 25.0
"""Points above the neck's cut within this distance count as points of the head; errors are taken over them."""


@dataclass(frozen=True)
class ScanFit:
    """How one scan was explained.

    Attributes:
        name: The scan's name, with as much of its path as tells it from the fit's other scans.
        placement: Scan frame and unit -> model frame.
        units: ``mm``, ``cm``, ``m``, ``inch`` or ``free``.
        size_log: Log head size relative to the reference adult (0 when free).
        expression: (E,) weights in [0, 1]; zeros when neutral.
        points: (N, 3) scan points that were used, scan frame.
        residual_mm: (N,) signed distance of those points to the head, true millimetres; positive outside.
        on_head: (N,) bool: above the neck's cut and within 25 mm of the head.
        all_points: (M, 3) the scan's points around the head (up to 100,000), scan frame, for detail and seen masks.
        colours: (M, 4) uint8 RGBA of those, or None when the scan has none.
        said_neutral: Whether the user, or the file's name, said that this scan is neutral.
        eyes: Whether the scan shows lids and eyeballs; where it does not, no blink or gaze is read. None = not asked.
    """

    name: str
    placement: Similarity
    units: str
    size_log: float
    expression: np.ndarray
    points: np.ndarray
    residual_mm: np.ndarray
    on_head: np.ndarray
    all_points: np.ndarray
    colours: np.ndarray | None = None
    eyes: EyesSeen | None = None
    said_neutral: bool = False

    def __repr__(self) -> str:
        median = self.errors()["scan_to_head_mm"]["median"]
        words = in_words(self.expression) if len(self.expression) == len(ARKIT) else f"{len(self.expression)} weights"
        return f"ScanFit({self.name}, {self.units}, {len(self.points):,} points, median {median:.2f} mm; {words})"

    @property
    def mm_per_unit(self) -> float:
        """True millimetres of one model unit on this head."""
        return millimetres_per_unit(self.placement.scale, self.units)

    def errors(self) -> dict[str, Any]:
        """``scan_to_head_mm`` (mean, median, p90 of unsigned distances of the head's points) and ``inliers``."""
        distance = np.abs(self.residual_mm[self.on_head])
        if len(distance) == 0:
            distance = np.abs(self.residual_mm)
        return {
            "scan_to_head_mm": {
                "mean": float(distance.mean()),
                "median": float(np.median(distance)),
                "p90": float(np.percentile(distance, 90)),
            },
            "inliers": float((np.abs(self.residual_mm) <= INLIER_MM).mean()),
            "points": int(len(self.points)),
            "points_on_head": int(self.on_head.sum()),
        }

    def to_dict(self) -> dict[str, Any]:
        """What ``fit.json`` holds of this scan."""
        return {
            "name": self.name,
            "units": self.units,
            "placement": self.placement.matrix().tolist(),
            "size_relative_to_adult": float(np.exp(self.size_log)) if self.units != "free" else None,
            "expression": [float(value) for value in self.expression],
            "seen": None if self.eyes is None else {"lids": self.eyes.lids, "gaze": self.eyes.gaze},
            "said_neutral": self.said_neutral,
            "errors": self.errors(),
        }
