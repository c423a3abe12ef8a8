"""``headfield doctor``: what is in a scan file or a fit, and what this installation has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from headfield.cli.scans import DepthUnit
from headfield.errors import ConfigError
from headfield.models import DEFAULT


@dataclass(frozen=True)
class DoctorCommand:
    """Say what a scan file holds (counts, size in each unit, normals, separate bodies), what a fit or head is, or what
    is installed here."""

    scan: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="SCAN")] = None
    """A scan file, a depth map with --intrinsics, or a saved fit or head; without it the installation is checked."""
    intrinsics: Annotated[Path | None, tyro.conf.arg(metavar="JSON")] = None
    """The depth camera: a JSON object with fx, fy, cx, cy in pixels."""
    depth_unit: DepthUnit = "mm"
    """Unit of the depth values: its name, or metres per count such as 0.0001 (steps of 0.1 mm)."""
    crop: Annotated[str | None, tyro.conf.arg(metavar='"X0 Y0 Z0 X1 Y1 Z1"')] = None
    """A box in the scan's own frame and unit; only what lies within is described. -inf or inf leaves a side open."""
    model: str = DEFAULT
    """Model whose weights are looked for."""

    def run(self) -> int:
        """Look and print."""
        from headfield.cli.report import summary

        if self.scan is not None:
            from headfield.cli.inspect import describe, describe_head, is_head

            if is_head(self.scan):
                self._refuse_hints("a scan, and this is a head that was fitted or made already")
                summary(f"{self.scan}", *describe_head(self.scan))
            else:
                summary(f"{self.scan}", *describe(self.scan, self.intrinsics, self.depth_unit, self.crop))
            return 0
        self._refuse_hints("a scan, and none was given: without any of these the installation is checked")
        from headfield.cli.installation import installation

        for title, rows in installation(self.model).items():
            summary(title, rows)
        return 0

    def _refuse_hints(self, why: str) -> None:
        """Refuse what would have no effect."""
        given = {
            "--intrinsics": self.intrinsics is not None,
            "--depth-unit": self.depth_unit != "mm",
            "--crop": self.crop is not None,
        }
        for option in (option for option, is_given in given.items() if is_given):
            raise ConfigError(f"{option} is about {why}.")
