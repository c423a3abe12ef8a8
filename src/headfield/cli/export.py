"""``headfield export``: a saved fit to a mesh of any resolution and format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class ExportCommand:
    """Write the head of a saved fit as a mesh, in the scan's own frame and unit."""

    fit: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FIT.NPZ")]
    """The fit.npz that `headfield fit` wrote, or the folder that holds it."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE")] = Path("head.glb")
    """Mesh to write; its suffix says the format: .ply, .obj, .stl or .glb. With --shapes also a folder."""
    shapes: bool = False
    """The neutral head with its 52 expressions as blendshapes, upright and in metres: a .glb with named morph targets,
    texture coordinates and eyeballs that can turn, or a folder of 53 .obj of one topology."""
    vertices: int = 20_000
    """Vertices of the head with --shapes."""
    resolution: int = 256
    """Samples along the longest side of the model's box: 256 is 1.5 mm, 512 is 0.7 mm."""
    neutral: bool = False
    """Without the expression, mouth closed."""
    unit: Literal["mm", "cm", "m", "inch"] | None = None
    """Convert to this unit; the scan's own when not given."""
    force: bool = False
    """Replace the file if it exists."""

    def run(self) -> int:
        """Extract and write."""
        from headfield.cli.output import check_resolution, output_file
        from headfield.cli.report import summary, working
        from headfield.errors import ScanError
        from headfield.frames import UNITS_IN_METRES, length_text
        from headfield.io.mesh import check_mesh_suffix, write_mesh

        if self.shapes:
            return self._shapes()
        check_mesh_suffix(self.out)
        check_resolution(self.resolution)
        path = self.fit / "fit.npz" if self.fit.is_dir() else self.fit
        if not path.is_file():
            raise ScanError(f"{path}: no such file. Give the fit.npz that `headfield fit` wrote, or its folder.")
        with output_file(self.out, force=self.force) as temporary:
            from headfield.fit.result import Fit

            with working(f"Making the mesh at {self.resolution}"):
                fit = Fit.load(path)
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

    def _shapes(self) -> int:
        from headfield.cli.report import summary
        from headfield.cli.shapes import write_shapes

        summary(f"{self.out}", write_shapes(self.fit, self.out, self.vertices, unit=self.unit, force=self.force))
        return 0


def metres_per_scan_unit(fit) -> float:
    """Metres in one unit of a fit's scan: by its unit, or by the head's size when the unit is free."""
    from headfield.frames import METRES_PER_UNIT, UNITS_IN_METRES

    return UNITS_IN_METRES.get(fit.units) or fit.placement.scale * METRES_PER_UNIT
