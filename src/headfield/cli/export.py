"""``headfield export``: a saved head to a mesh of any resolution and format, to blendshapes, or to a page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class ExportCommand:
    """Write the head of a saved fit, or an edited head: a mesh, 52 blendshapes (--shapes), or a page (.html)."""

    fit: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FIT.NPZ")]
    """The fit.npz that `headfield fit` wrote, or the folder that holds it, or a head that `headfield edit` wrote."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE|FOLDER")] = Path("head.glb")
    """File to write; its suffix says the format: .ply, .obj, .stl, .glb, or .html for a page to orbit and pose it. With
    --shapes a .glb or a folder."""
    shapes: bool = False
    """The neutral head with its 52 expressions as blendshapes: a .glb (metres, y up) with named morph targets, texture
    coordinates, eyeballs that can turn, teeth and a tongue; or a folder of 53 .obj of one topology and one folder for
    each part of the mouth, in the head's own frame."""
    resolution: int = 256
    """Samples along the longest side of the model's box: 256 is 1.5 mm, 512 is 0.7 mm."""
    neutral: bool = False
    """Without the expression, mouth closed."""
    unit: Literal["mm", "cm", "m", "inch"] | None = None
    """Convert to this unit; the scan's own when not given."""
    vertices: int = 20_000
    """Vertices of the head with --shapes and in a page."""
    model: str | None = None
    """Weights to open the head with, a released name, a folder or a hub id, in place of those that its file names."""
    force: bool = False
    """Replace the file if it exists."""

    def run(self) -> int:
        """Extract, or bake, and write."""
        from headfield.cli.report import summary

        if self.shapes:
            from headfield.cli.shapes import write_shapes

            options = {"unit": self.unit, "force": self.force, "model": self.model}
            rows, notes = write_shapes(self.fit, self.out, self.vertices, **options), ()
        elif self.out.suffix.lower() == ".html":
            rows, notes = self._share(), ()
        else:
            rows, notes = self._mesh()
        summary(f"{self.out}", rows, notes)
        return 0

    def _mesh(self) -> tuple[dict, tuple[str, ...]]:
        from headfield.cli.output import check_resolution, output_file
        from headfield.cli.report import working
        from headfield.cli.units import in_unit, metres_per_unit
        from headfield.frames import length_text
        from headfield.io.mesh import check_mesh_suffix, write_mesh

        check_mesh_suffix(self.out)
        check_resolution(self.resolution)
        with output_file(self.out, force=self.force) as temporary:
            with working(f"Making the mesh at {self.resolution}"):
                head = load_head_or_fit(self.fit, self.model)
                notes = () if self.neutral else weights_notes_of(head)
                mesh = head.mesh(resolution=self.resolution, neutral=self.neutral)
            mesh, named = in_unit(mesh, head, self.unit)
            # a GLB keeps the unit too; it has no place to name it
            write_mesh(mesh, temporary, unit=None if self.out.suffix.lower() == ".glb" else named)
        unit = self.unit or head.units
        longest = float((mesh.vertices.max(axis=0) - mesh.vertices.min(axis=0)).max())
        rows = {
            "mesh": f"{len(mesh.vertices):,} vertices, {len(mesh.triangles):,} triangles",
            "unit": unit,
            "size": length_text(longest * metres_per_unit(head, self.unit)),
        }
        return rows, notes

    def _share(self) -> dict:
        from headfield.cli.output import output_file
        from headfield.cli.report import working
        from headfield.cli.shapes import check_vertices, write_share_page

        check_vertices(self.vertices)
        with output_file(self.out, force=self.force) as temporary, working("Opening the head") as say:
            vertices, size = write_share_page(self.fit, temporary, self.vertices, say, self.model)
        return {"head": f"{vertices:,} vertices, 52 expressions", "size": f"{size / 1e6:.1f} MB, opens in any browser"}


def load_head_or_fit(path: Path, model: str | None = None):
    """What a file holds: a Fit, whose meshes know what the scan saw, or else a SavedHead.

    Args:
        path: The file, or the folder of a fit.
        model: Name of the model, in place of the one that the file names.
    Raises:
        ScanError: It is neither, or is not there.
        WeightsError: Of a SavedHead: its model is not here, or has weights that would make another head of it.
    """
    from headfield.edit.record import SavedHead
    from headfield.fit.result import Fit
    from headfield.fit.saved_file import holds_a_fit, saved_file

    if "#" not in path.name:
        path = saved_file(path, "a fit", "give the fit.npz that `headfield fit` wrote, its folder, or a head")
    return Fit.load(path, model) if holds_a_fit(path) else SavedHead.load(path, model)


def weights_notes_of(head) -> tuple[str, ...]:
    """What is to be told of a Fit or SavedHead whose expression other weights made."""
    from headfield.fit.result import Fit

    return head.weights_notes if isinstance(head, Fit) else head.notes
