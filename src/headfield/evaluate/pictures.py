"""Pictures of a case that was run: what was scanned, the truth, the fitted head, and how far they are apart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headfield.evaluate.observe import Observed
from headfield.evaluate.protocol import Protocol
from headfield.evaluate.records import case_path
from headfield.fit.result import Fit
from headfield.frames import reference_anchors
from headfield.models.release import load
from headfield.neighbours import PointTree
from headfield.surface.mesh_head import mesh_of
from headfield.surface.nearest import Target
from headfield.surface.sheet import error_colours
from headfield.surface.snapshot import MeshPictures, render, render_points, spacing
from headfield.types import Mesh

PICTURE_RESOLUTION = 160

ERROR_MM = 3.0
"""Dark end of the error maps."""

SIGNED_MM = 1.0
"""Dark ends of the signed distance maps: what is to be reached lies between 0.3 and 1 mm."""

STRAY_MM = 0.01
"""What lies farther from the captured surface was strewn: scans are not noisy beside that."""

VIEW = (30.0, 4.0)
"""Captures are seen a little from the side: more of the face than a three-quarter view, and still its relief."""


@dataclass(frozen=True)
class Sight:
    """A case as pictures need it.

    Attributes:
        observed: The scan, and where it truly was; meshes are in that frame.
        stray: (N,) bool, points of the scan that a test strewed over it, and that would hide it in a picture.
        truth: The head as it is.
        target: What fitted heads are measured to.
        surface: What was captured of it, without strays; the truth itself where scans are plain.
        unasked: (V,) bool, vertices of the surface that no distance is asked of: hair, teeth, cloth, table, membrane.
        mm_per_unit: True millimetres of the frame's unit.
    """

    observed: Observed
    stray: np.ndarray
    truth: Mesh
    target: Target
    surface: Mesh
    unasked: np.ndarray
    mm_per_unit: float


def sight_of(protocol: Protocol, split: str, case: tuple[str, int], people: str = "v1") -> Sight:
    """What was scanned in a case, nothing of its fit; `people` as of :class:`Settings.truth`."""
    if protocol.kind == "real":
        from headfield.evaluate.real import make_real

        real = make_real(*case)
        return _plain(real.observed, real.mesh, Target(real.mesh), real.mm_per_scan_unit / real.observed.truth.scale)
    if protocol.kind == "capture":
        from headfield.evaluate.captures import make_capture

        return sight_of_capture(make_capture(protocol.capture, split, *case, protocol.pose).capture)
    if protocol.kind == "outsiders":
        from headfield.evaluate.outsiders import make_outsider

        other = make_outsider(case[0], split, case[1])
        return _plain(other.observed, other.mesh, Target(other.mesh), 10.0)
    from headfield.evaluate.cases import make_case
    from headfield.evaluate.truth import millimetres, truth_of

    if protocol.kind == "several":
        from headfield.evaluate.several import make_several

        made = make_several(protocol, split, *case, people).first
    else:
        made = make_case(protocol, split, *case, people)
    truth = truth_of(made.person, made.solid)
    return _plain(made.observed, _whole(made.solid), Target(truth.mesh, truth.visible), millimetres(made.person))


def sight_of_capture(taken) -> Sight:
    """The same of a capture (`headfield.synth.captures.Capture`)."""
    truth, surface, mm = taken.sitter.mesh(), taken.shown.surface, taken.sitter.mm_per_unit
    gap, _ = PointTree(surface.vertices).query(mm * taken.model_from_scan.apply(taken.scan.points))
    return Sight(
        Observed(taken.scan, taken.model_from_scan, taken.unit),
        gap > STRAY_MM,
        truth,
        Target(truth),
        Mesh(surface.vertices / mm, surface.triangles),
        surface.alien | surface.mouth | surface.hair,
        mm,
    )


def _plain(observed: Observed, truth: Mesh, target: Target, mm_per_unit: float) -> Sight:
    stray, unasked = (np.zeros(len(points), dtype=bool) for points in (observed.scan.points, truth.vertices))
    return Sight(observed, stray, truth, target, truth, unasked, mm_per_unit)


def _whole(solid) -> Mesh:
    """Skin and hair as they are, overlapping: for pictures."""
    if solid.hair is None:
        return Mesh(solid.vertices, solid.sheet.triangles)
    triangles = np.concatenate([solid.sheet.triangles, solid.hair.triangles + len(solid.vertices)])
    return Mesh(np.concatenate([solid.vertices, solid.hair.vertices]), triangles)


def fit_of(options, case: tuple[str, int], out: Path) -> Fit:
    """The fit of a case that lies in a run's folder."""
    return Fit.load(case_path(out, case).with_suffix(".npz"), load(options.model))


def head_of(found: Fit, sight: Sight, resolution: int = PICTURE_RESOLUTION) -> Mesh:
    """The fitted head where it lies beside the truth: of the first scan, with its expression."""
    head = mesh_of(found.model, found.codes(), resolution)
    return head.transformed(sight.observed.truth.after(found.placement.inverse()))


def scan_picture(sight: Sight, **view) -> np.ndarray:
    """The scan as the fit was given it, but for strays, in the truth's frame; `view` as of `render`."""
    scan, whole = sight.observed.scan, sight.truth.vertices
    points = sight.observed.truth.apply(scan.points)
    if scan.triangles is not None:
        return render(Mesh(points, scan.triangles), occlusion_rays=4, **view)
    points = points[~sight.stray]
    near = np.abs(points - whole.mean(0)).max(1) < 1.2 * np.ptp(whole, axis=0).max()
    return render_points(points[near], radius=1.7 * spacing(points), **view)


def case_pictures(protocol: Protocol, options, case: tuple[str, int], out: Path, size: int = 320) -> list[np.ndarray]:
    """Scan, truth, head and error map of a case that was run, seen alike."""
    sight = sight_of(protocol, options.split, case, options.truth)
    head = head_of(fit_of(options, case, out), sight)
    colours = error_colours(sight.target.closest(head.vertices)[0] * sight.mm_per_unit, ERROR_MM)
    view = {"view": "three_quarter", "size": size, "frame_on": sight.truth.vertices}
    seen = MeshPictures(head).seen_from(**view)
    return [
        scan_picture(sight, **view),
        render(sight.truth, occlusion_rays=4, **view),
        seen.picture(occlusion_rays=4),
        seen.picture(colours, occlusion_rays=0),
    ]


def capture_pictures(sight: Sight, found: Fit, size: int = 220) -> list[np.ndarray]:
    """Scan, fitted head, and the captured surface coloured by how far the head lies outside of it (`signed_mm`)."""
    head, view = head_of(found, sight), capture_view(sight, size)
    colours = error_colours(signed_mm(sight, head), SIGNED_MM, signed=True)
    return [
        scan_picture(sight, **view),
        render(head, occlusion_rays=4, **view),
        render(sight.surface, colours=colours, occlusion_rays=0, **view),
    ]


def capture_view(sight: Sight, size: int) -> dict:
    """The view of a capture, framed on it and on where a head's anchors usually are: what a fit adds is seen too."""
    frame = np.concatenate([sight.surface.vertices[~sight.unasked], reference_anchors()])
    return {"view": VIEW, "size": size, "frame_on": frame, "zoom": 1.1}


def signed_mm(sight: Sight, head: Mesh) -> np.ndarray:
    """How far (V,) the head lies outside of the captured surface, true mm; negative inside, NaN where nobody asks."""
    found = -Target(head).outside(sight.surface.vertices) * sight.mm_per_unit
    return np.where(sight.unasked, np.nan, found)
