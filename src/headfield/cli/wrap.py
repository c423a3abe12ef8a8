"""``headfield wrap``: a template of any topology onto a head scan; its UVs, groups, quads and vertex order stay."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from headfield.errors import ConfigError


@dataclass(frozen=True)
class WrapCommand:
    """Wrap a template round a head: your own topology in the shape of a scan.

    Writes the template with new vertex places, in the frame and unit of the scan, and beside it a picture (before,
    after, distance) and the numbers (.json). An OBJ keeps everything else of the template: texture coordinates, groups,
    materials, quads, the order of vertices.
    """

    scan: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SCAN|FIT.NPZ")]
    """A scan (PLY, OBJ, GLB and more: docs/formats.md), or the fit.npz that `headfield fit` wrote, or its folder."""
    template: Annotated[Path, tyro.conf.arg(metavar="OBJ")]
    """The template: an OBJ file of polygons. Eyes and teeth that are parts of their own ride along unbent."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="FILE")] = Path("wrapped.obj")
    """File to write: .obj keeps all of the template; .ply and .glb hold its triangles, vertices in the same order."""
    landmarks: Annotated[Path | None, tyro.conf.arg(metavar="JSON")] = None
    """Landmarks of the scan, when the head is not found by itself: a JSON object of anchor name -> [x, y, z]."""
    template_landmarks: Annotated[Path | None, tyro.conf.arg(metavar="JSON")] = None
    """The same of the template, for one that is too stylised to be found. Names in both files lead the wrapping."""
    aligned: bool = False
    """The template lies on the scan already, in its frame and unit: nothing is searched, and no model fills what the
    scan did not see."""
    units: Literal["mm", "cm", "m", "inch"] | None = None
    """Unit of the scan; found by itself when not given."""
    up: Literal["x", "y", "z", "-x", "-y", "-z"] | None = None
    """Axis of the scan that points to the top of the head; found by itself when not given."""
    template_units: Literal["mm", "cm", "m", "inch"] | None = None
    """Unit of the template; found by itself when not given."""
    model: str | None = None
    """Model: a released name, a folder, or a hub id. Not given, a fit gets the model that its file names, a scan
    imhead-open-small."""
    force: bool = False
    """Replace the files if they exist."""

    def run(self) -> int:
        """Read, wrap, write."""
        from headfield.cli.output import output_file
        from headfield.cli.report import duration, summary, working
        from headfield.fit.result import Fit
        from headfield.io.obj import read_obj

        begin = time.perf_counter()
        self._check()
        with ExitStack() as stack:
            places = [self.out, self.out.with_suffix(".png"), self.out.with_suffix(".json")]
            out, picture, numbers = (stack.enter_context(output_file(place, force=self.force)) for place in places)
            template = read_obj(self.template)
            with working(f"Reading {self.scan.name}") as say:
                target = self._target()
                wrapped = self._wrap(target, template, say)
                say("Drawing")
                self._write(template, wrapped, out, picture)
            facts = _facts(wrapped)
            facts["seconds"]["total"] = time.perf_counter() - begin
            numbers.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        notes = [*wrapped.notes, *(target.weights_notes if isinstance(target, Fit) else ())]
        if self.out.suffix.lower() != ".obj":
            notes.append("Only an OBJ keeps texture coordinates, groups and polygons; the order of vertices is kept.")
        elif template.materials and self.out.resolve().parent != self.template.resolve().parent:
            notes.append(f"The file asks for {', '.join(template.materials)}: copy it, and its textures, beside it.")
        rows = _rows(wrapped, facts, template) | {"seconds": duration(facts["seconds"]["total"])}
        rows["files"] = ", ".join(str(place) for place in places)
        summary(f"{self.template.name} wrapped round {self.scan.name}", rows, tuple(notes))
        return 0

    def _check(self) -> None:
        from headfield.io.mesh import check_mesh_suffix

        check_mesh_suffix(self.out)
        given = (self.template, self.scan, self.landmarks, self.template_landmarks)
        read = {path.resolve() for path in map(Path, filter(None, given))}
        for place in (self.out, self.out.with_suffix(".png"), self.out.with_suffix(".json")):
            if place.resolve() in read:
                raise ConfigError(f"--out {self.out}: {place} is one of the files that are read; choose another name.")
        if self.aligned and (self.landmarks is not None or self.template_landmarks is not None):
            raise ConfigError("--aligned takes the template where it lies; landmarks would place it. Give one of them.")

    def _target(self):
        """The Fit or Scan in the file that was named."""
        from headfield.fit.result import Fit
        from headfield.fit.saved_file import holds_a_fit
        from headfield.io.scan import read_scan

        folder = self.scan.is_dir() and (self.scan / "fit.npz").exists()
        path = self.scan / "fit.npz" if folder else self.scan
        if path.suffix.lower() == ".npz" and holds_a_fit(path):
            return Fit.load(path, self.model)
        return read_scan(path, self.units)

    def _wrap(self, target, template, say):
        from headfield.curate.wrap import WrapOptions, wrap
        from headfield.fit.options import FitOptions
        from headfield.models import DEFAULT
        from headfield.models.release import load

        options = WrapOptions(
            FitOptions(units=self.units, up=self.up, landmarks=self.landmarks),
            self.template_units,
            None if self.template_landmarks is None else str(self.template_landmarks),
            self.aligned,
        )
        started: dict[str, float] = {}

        def progress(what: str, share: float) -> None:
            now = time.perf_counter()
            spent = now - started.setdefault(what, now)
            left = f", {spent * (1 - share) / share:.0f} s left" if share > 0.1 and spent > 1 else ""
            say(f"{what} ({share:.0%}{left})")

        model = None if self.aligned else load(self.model or DEFAULT)
        return wrap(target, template.mesh(), model, options, progress=progress)

    def _write(self, template, wrapped, out: Path, picture: Path) -> None:
        from headfield.cli.preview import wrap_preview
        from headfield.frames import UNITS_IN_METRES
        from headfield.io.mesh import write_bytes, write_mesh
        from headfield.surface.sheet import write_png
        from headfield.surface.topology import vertex_normals
        from headfield.types import Mesh

        if self.out.suffix.lower() == ".obj":
            write_bytes(out, template.moved(wrapped.vertices))
        else:
            normals = vertex_normals(wrapped.vertices, template.triangles)
            unit = wrapped.units if wrapped.units in UNITS_IN_METRES and out.suffix.lower() != ".glb" else None
            write_mesh(Mesh(wrapped.vertices, template.triangles, normals), out, unit=unit)
        write_png(wrap_preview(wrapped, template.triangles), picture)


def _facts(wrapped) -> dict:
    """What the numbers' file holds."""
    import numpy as np

    registration = wrapped.registration
    error = registration.error[registration.matched]
    moved = np.linalg.norm(wrapped.vertices - wrapped.placed, axis=1) * wrapped.working.scale * wrapped.mm_per_unit
    spread = lambda values: {  # noqa: E731
        "mean": float(np.mean(values)),
        "median": float(np.median(values)),
        "p90": float(np.percentile(values, 90)),
    }
    return {
        "vertices": len(wrapped.vertices),
        "units": wrapped.units,
        "matched": float(registration.matched.mean()),
        "vertex_to_scan_mm": spread(error) if len(error) else None,
        "moved_mm": spread(moved),
        "flipped_triangles": registration.flipped,
        "landmark_error_mm": [None if np.isnan(value) else float(value) for value in registration.landmark_error],
        "seconds": {key: float(value) for key, value in registration.seconds.items()},
        "notes": list(wrapped.notes),
    }


def _rows(wrapped, facts: dict, template) -> dict[str, str]:
    rows = {"template": f"{facts['vertices']:,} vertices, {template.polygons:,} faces" + (
        ", with texture coordinates" if template.textured else "")}  # fmt: skip
    rows["unit"] = wrapped.units if wrapped.units != "free" else "none fits: the size is free"
    error = facts["vertex_to_scan_mm"]
    if error is not None:
        rows["distance"] = (
            f"mean {error['mean']:.2f} mm, p90 {error['p90']:.2f} mm of the {facts['matched']:.0%} of vertices "
            "that the scan shows"
        )
    rows["moved"] = f"median {facts['moved_mm']['median']:.1f} mm, p90 {facts['moved_mm']['p90']:.1f} mm by bending"
    rows["flipped"] = f"{facts['flipped_triangles']} triangles"
    return rows
