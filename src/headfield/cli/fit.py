"""``headfield fit``: scans, a depth map or a folder to complete heads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

Unit = Literal["mm", "cm", "m", "inch"]


@dataclass(frozen=True)
class FitCommand:
    """Fit a complete head to a scan, to several scans of one person, to a depth map, or to each scan in a folder.

    Writes head.ply and head.glb (in the scan's own frame and unit), fit.npz, fit.json and preview.png.
    """

    scans: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="SCAN...")] = ()
    """Scan files (PLY, OBJ, STL, GLB, GLTF, NPY, NPZ, XYZ), or a depth map (PNG, EXR, NPY) with --intrinsics. Several
    files are several scans of one person; a folder is a batch of unrelated scans, which resumes when run again."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("out")
    """Output folder."""
    force: bool = False
    """Replace files in an output folder that exists; in a batch, fit again what is done already."""
    units: Unit | None = None
    """Unit of the scan; found by itself when not given."""
    up: Literal["x", "y", "z", "-x", "-y", "-z"] | None = None
    """Axis of the scan that points to the top of the head; found by itself when not given."""
    landmarks: Annotated[Path | None, tyro.conf.arg(metavar="JSON")] = None
    """Landmarks that place the head: a JSON object of anchor name -> [x, y, z] in the scan's frame and unit, at least
    three (for example nose_tip, eye_outer_left, eye_outer_right, chin)."""
    depth: Annotated[Path | None, tyro.conf.arg(metavar="IMAGE")] = None
    """A depth map to fit: 16-bit PNG, EXR or NPY. The same as giving it as the scan."""
    intrinsics: Annotated[Path | None, tyro.conf.arg(metavar="JSON")] = None
    """The depth camera: a JSON object with fx, fy, cx, cy in pixels."""
    depth_unit: Unit = "mm"
    """Unit of the depth values."""
    expression: Literal["auto", "neutral"] = "auto"
    """auto estimates the 52 expression weights with the identity; neutral holds them at zero."""
    neutral: bool = False
    """Write the head without its expression, mouth closed."""
    detail: bool = False
    """Add what the scan shows beyond the model back onto the seen surface."""
    metres: bool = False
    """Write head.glb in metres, as viewers of glTF expect, not in the scan's own unit."""
    resolution: int = 256
    """Samples along the longest side of the model's box: 256 is 1.5 mm, 512 is 0.7 mm."""
    model: str = "imhead-open-small"
    """Model: a released name, a folder, or a hub id."""
    seed: int = 0
    """Seed of whatever is random; the same scan and seed give the same head."""

    def run(self) -> int:
        """Fit and write; returns the exit status."""
        from headfield.cli import fit_run

        return fit_run.run(self)
