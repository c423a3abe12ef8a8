"""``headfield export``: a saved fit to a mesh of any resolution and format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class ExportCommand:
    """Write the head of a saved fit, or an edited head, as a mesh in its own frame and unit, or a page (.html)."""

    fit: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FIT.NPZ")]
    """The fit.npz that `headfield fit` wrote, or the folder that holds it, or a head that `headfield edit` wrote."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE")] = Path("head.glb")
    """File to write; its suffix says the format: .ply, .obj, .stl, .glb, or .html for a page to orbit and pose it."""
    resolution: int = 256
    """Samples along the longest side of the model's box: 256 is 1.5 mm, 512 is 0.7 mm."""
    neutral: bool = False
    """Without the expression, mouth closed."""
    unit: Literal["mm", "cm", "m", "inch"] | None = None
    """Convert to this unit; the scan's own when not given."""
    vertices: int = 20_000
    """Vertices of the head in a share page."""
    force: bool = False
    """Replace the file if it exists."""

    def run(self) -> int:
        """Extract and write."""
        from headfield.cli.output import check_resolution, output_file
        from headfield.cli.report import summary, working
        from headfield.errors import ScanError
        from headfield.frames import UNITS_IN_METRES, length_text
        from headfield.io.mesh import check_mesh_suffix, write_mesh

        if self.out.suffix.lower() == ".html":
            return self._share()
        check_mesh_suffix(self.out)
        check_resolution(self.resolution)
        path = self.fit / "fit.npz" if self.fit.is_dir() else self.fit
        if not path.is_file():
            raise ScanError(f"{path}: no such file. Give the fit.npz that `headfield fit` wrote, or its folder.")
        with output_file(self.out, force=self.force) as temporary:
            with working(f"Making the mesh at {self.resolution}"):
                fit = load_head_or_fit(path)
                mesh = fit.mesh(resolution=self.resolution, neutral=self.neutral)
            metres = metres_per_scan_unit(fit)
            unit = fit.units
            if self.unit is not None:
                from dataclasses import replace

                mesh = replace(mesh, vertices=mesh.vertices * (metres / UNITS_IN_METRES[self.unit]))
                unit, metres = self.unit, UNITS_IN_METRES[self.unit]
            # a GLB keeps the unit too; it has no place to name it
            named = unit in UNITS_IN_METRES and self.out.suffix.lower() != ".glb"
            write_mesh(mesh, temporary, unit=unit if named else None)
        height = float(mesh.vertices.max(axis=0).max() - mesh.vertices.min(axis=0).min())
        summary(
            f"{self.out}",
            {
                "mesh": f"{len(mesh.vertices):,} vertices, {len(mesh.triangles):,} triangles",
                "unit": f"{unit}",
                "size": length_text(height * metres),
            },
        )
        return 0

    def _share(self) -> int:
        from headfield.cli.output import output_file
        from headfield.cli.report import summary, working
        from headfield.cli.share import write_share_page

        with output_file(self.out, force=self.force) as temporary, working("Opening the head") as say:
            vertices, size = write_share_page(self.fit, temporary, self.vertices, say)
        rows = {"head": f"{vertices:,} vertices, 52 expressions", "size": f"{size / 1e6:.1f} MB, opens in any browser"}
        summary(f"{self.out}", rows)
        return 0


def load_head_or_fit(path: Path):
    """What a file holds: a SavedHead that `headfield edit` wrote, else a Fit.

    Raises:
        ScanError: It is neither.
    """
    from headfield.edit.record import SavedHead, is_saved_head
    from headfield.fit.result import Fit

    return SavedHead.load(path) if is_saved_head(path) else Fit.load(path)


def metres_per_scan_unit(fit) -> float:
    """Metres in one unit of a fit's scan: by its unit, or by the head's size when the unit is free."""
    from headfield.frames import METRES_PER_UNIT, UNITS_IN_METRES

    return UNITS_IN_METRES.get(fit.units) or fit.placement.scale * METRES_PER_UNIT
