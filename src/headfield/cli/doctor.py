"""``headfield doctor``: what is in a scan file, and what this installation has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from headfield.cli.scans import DepthUnit


@dataclass(frozen=True)
class DoctorCommand:
    """Say what a scan file holds (counts, size in each unit, normals, separate bodies), or what is installed here."""

    scan: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="SCAN")] = None
    """A scan file, or a depth map with --intrinsics; without it the installation is checked."""
    intrinsics: Annotated[Path | None, tyro.conf.arg(metavar="JSON")] = None
    """The depth camera: a JSON object with fx, fy, cx, cy in pixels."""
    depth_unit: DepthUnit = "mm"
    """Unit of the depth values: its name, or metres per count such as 0.0001 (steps of 0.1 mm)."""
    crop: Annotated[str | None, tyro.conf.arg(metavar='"X0 Y0 Z0 X1 Y1 Z1"')] = None
    """A box in the scan's own frame and unit; only what lies within is described."""
    model: str = "imhead-open-small"
    """Model whose weights are looked for."""

    def run(self) -> int:
        """Look and print."""
        from headfield.cli.report import summary

        if self.scan is not None:
            from headfield.cli.inspect import describe

            summary(f"{self.scan}", *describe(self.scan, self.intrinsics, self.depth_unit, self.crop))
            return 0
        from headfield.cli.installation import installation

        for title, rows in installation(self.model).items():
            summary(title, rows)
        return 0
