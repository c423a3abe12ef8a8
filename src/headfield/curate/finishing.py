"""Completion and registration of one scan: a closed head, and the template on it."""

from __future__ import annotations

import numpy as np

from headfield.curate.measures import measure
from headfield.curate.nicp import register
from headfield.curate.options import CurateOptions
from headfield.curate.pictures import error_picture, mesh_picture
from headfield.curate.records import Made, RejectedError
from headfield.curate.stages import Arrays, placement_of
from headfield.errors import HeadfieldError
from headfield.fit.placement import millimetres_per_unit
from headfield.types import Mesh, Scan

SURE = 0.3
"""Landmarks of less confidence do not pull at the template."""


def complete_scan(
    scan: Scan, fitted: Arrays, model_fit: Arrays, which: int, units: str, options: CurateOptions
) -> Made:
    """A closed head that keeps what the scanner saw; what it missed comes from the implicit model.

    Raises:
        RejectedError: The model has no surface for the head.
    """
    from headfield.curate.complete import complete
    from headfield.fit.normal_equations import codes_of
    from headfield.fit.placing import surface_points
    from headfield.models.release import load

    model, expression = load(options.model), model_fit["expressions"][which]
    codes = codes_of(model, model_fit["identity"], expression if expression.any() else None)
    own = placement_of(model_fit, which)
    millimetres = millimetres_per_unit(own.scale, units)
    points = own.apply(surface_points(scan, seed=options.seed))
    try:
        done = complete(model, codes, points, mm_per_unit=millimetres, resolution=options.resolution)
    except HeadfieldError as error:
        raise RejectedError(f"the head cannot be completed: {error}") from error
    mesh = done.mesh.transformed(placement_of(fitted, which).after(own.inverse()))
    arrays = {
        "vertices": mesh.vertices.astype(np.float32),
        "triangles": mesh.triangles.astype(np.int32),
        "seen": mesh.attributes["seen"],
    }
    return Made(arrays, done.facts(), mesh_picture(mesh))


def register_scan(
    scan: Scan,
    landmarks: Arrays,
    fitted: Arrays,
    which: int,
    units: str,
    completed: Mesh,
    rest: np.ndarray | None,
    options: CurateOptions,
) -> Made:
    """The template on the completed head, and how good everything is.

    What the registration found on the neutral head beyond the fit is carried over to the start of the others, so that
    the same vertex means the same place in all of them.

    Args:
        scan: As read.
        landmarks: Of the scan, may be empty.
        fitted: Of the person.
        which: Number of the scan in it.
        units: Of the scan.
        completed: Its closed head, model frame.
        rest: (V, 3) the registered neutral head, or None.
        options: See :class:`headfield.curate.options.CurateOptions`.
    """
    placement = placement_of(fitted, which)
    millimetres = millimetres_per_unit(placement.scale, units)
    triangles, start = fitted["triangles"], fitted["posed"][which]
    if rest is not None:
        start = start + rest - fitted["neutral"]
    marks = None
    if "points" in landmarks:
        sure = landmarks["confidence"] >= SURE
        places = np.where(sure[:, None], placement.apply(landmarks["points"]), np.nan)
        marks = ((fitted["landmark_corners"], fitted["landmark_weights"]), places)
    found = register(Mesh(start, triangles), completed, landmarks=marks, mm_per_unit=millimetres)
    points = placement.apply(scan.points)
    registered = Mesh(found.vertices, triangles)
    anchors = found.vertices[fitted["anchor_vertices"]]
    facts = measure(points, completed, registered, fitted["posed"][which], anchors, millimetres, fitted["skin"])
    if "residual" in landmarks:
        facts["landmark_residual_mm"] = float(landmarks["residual"] * placement.scale * millimetres)
    return Made({"vertices": found.vertices}, facts, error_picture(registered, points, millimetres))
