"""The stages from a raw scan to a registered, closed head, each a function of what the stages before left behind.

Alignment is of one scan; the parametric fit is of all scans of a person, who has one identity; completion and
registration are of one scan again. Arrays pass from stage to stage by name, as they are kept on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from headfield.curate.options import CurateOptions
from headfield.curate.records import Made, RejectedError
from headfield.curate.subjects import RawScan
from headfield.errors import ScanError
from headfield.types import Mesh, Scan, Similarity

Arrays = dict[str, np.ndarray]

THUMBNAIL = 220
"""Pixels of a thumbnail's side."""


@dataclass(frozen=True)
class Stages:
    """The work of the pipeline, one function per stage, with the version that its record names.

    Attributes:
        align: (scan, raw scan, options) -> rotation (3, 3), translation (3,), scale; fact ``units``.
        parametric: (scans, placements, options), all scans of a person -> ``neutral`` (V, 3), ``posed`` (S, V, 3),
            ``triangles`` (F, 3), ``expressions`` (S, 52), ``anchors`` (39, 3), and what `complete` needs.
        complete: (scan, fitted, which of the fitted scans, options) -> ``vertices``, ``triangles``, closed.
        register: (scan, fitted, which, completed, units, options) -> ``vertices`` (V, 3); facts: the quality record.
        versions: Of these four: a number that grows when the stage's answer changes.
    """

    align: Callable[..., Made]
    parametric: Callable[..., Made]
    complete: Callable[..., Made]
    register: Callable[..., Made]
    versions: tuple[int, int, int, int] = (1, 1, 1, 1)


def align_scan(scan: Scan, raw: RawScan, options: CurateOptions) -> Made:
    """Where the head is: scan frame and unit -> model frame.

    Raises:
        ScanError: There is no head in the scan, or hardly any points.
    """
    from headfield.fit.options import FitOptions
    from headfield.fit.run import find_head

    up = None if raw.up is None else raw.up.lstrip("+")
    known = FitOptions(units=scan.units, up=up, landmarks=raw.landmarks, seed=options.seed)
    try:
        placement, notes = find_head(scan, _model(options.model), known)
    except ScanError as error:
        raise RejectedError(str(error), tried_picture(scan)) from error
    return Made(
        placement_arrays(placement.similarity),
        {"units": placement.units, "size_log": placement.size_log, "notes": list(notes)},
        scan_picture(scan, placement.similarity),
    )


def fit_person(scans: Sequence[Scan], placements: Sequence[tuple[Similarity, str]], options: CurateOptions) -> Made:
    """One identity for all scans of a person, an expression and a placement for each.

    Raises:
        ScanError: There is no head after all.
    """
    from headfield.fit.normal_equations import model_anchors
    from headfield.fit.options import FitOptions
    from headfield.fit.placement import Placement, size_log_of
    from headfield.fit.run import fit_placed
    from headfield.surface.inverse_warp import from_canonical
    from headfield.surface.mesh_head import mesh_of

    model = _model(options.model)
    found = [Placement(s, units, size_log_of(s.scale, units), 0.0) for s, units in placements]
    fit = fit_placed(scans, found, model, FitOptions(seed=options.seed))
    neutral = mesh_of(model, fit.codes(neutral=True), 128)
    posed = [
        from_canonical(model, neutral.vertices, fit.codes(scan=number)).points
        if which.expression.any()
        else neutral.vertices
        for number, which in enumerate(fit.scans)
    ]
    places = [placement_arrays(which.placement) for which in fit.scans]
    return Made(
        {
            "identity": np.asarray(fit.identity),
            "expressions": np.stack([which.expression for which in fit.scans]),
            "anchors": model_anchors(model, fit.identity),
            "neutral": neutral.vertices,
            "posed": np.stack(posed),
            "triangles": neutral.triangles,
            **{name: np.stack([place[name] for place in places]) for name in places[0]},
        },
        {
            "units": [which.units for which in fit.scans],
            "hair": fit.component,
            "median_mm": [which.errors()["scan_to_head_mm"]["median"] for which in fit.scans],
        },
    )


def complete_scan(scan: Scan, fitted: Arrays, which: int, options: CurateOptions) -> Made:
    """A closed head that keeps what the scanner saw; what it missed comes from the implicit model."""
    from headfield.curate.complete import complete
    from headfield.fit.normal_equations import codes_of

    model, expression = _model(options.model), fitted["expressions"][which]
    codes = codes_of(model, fitted["identity"], expression if expression.any() else None)
    done = complete(model, codes, placement_of(fitted, which).apply(scan.points), resolution=options.resolution)
    mesh = done.mesh
    arrays = {
        "vertices": mesh.vertices.astype(np.float32),
        "triangles": mesh.triangles.astype(np.int32),
        "seen": mesh.attributes["seen"],
    }
    return Made(arrays, done.facts(), mesh_picture(mesh))


def register_scan(
    scan: Scan, fitted: Arrays, which: int, completed: Mesh, units: str, options: CurateOptions
) -> Made:
    """The template on the completed head, and how good everything is."""
    from headfield.curate.measures import measure
    from headfield.fit.placement import millimetres_per_unit
    from headfield.surface.nearest import Target
    from headfield.surface.topology import vertex_normals

    placement = placement_of(fitted, which)
    millimetres = millimetres_per_unit(placement.scale, units)
    start, triangles = fitted["posed"][which], fitted["triangles"]
    gap, foot = Target(completed).closest(start)
    normals = vertex_normals(start, triangles)
    near = (gap < 0.02) & ((normals * foot.normals).sum(1) > 0.3)
    vertices = np.where(near[:, None], foot.points, start)
    points = placement.apply(scan.points)
    registered = Mesh(vertices, triangles)
    facts = measure(points, completed, registered, start, fitted["anchors"], millimetres)
    return Made({"vertices": vertices}, facts, error_picture(registered, points, millimetres))


def stages() -> Stages:
    """The real ones."""
    return Stages(align_scan, fit_person, complete_scan, register_scan)


# ---- arrays --------------------------------------------------------------------------------------------------------


def placement_arrays(similarity: Similarity) -> Arrays:
    """A similarity by its parts."""
    return {
        "rotation": np.asarray(similarity.rotation),
        "translation": np.asarray(similarity.translation),
        "scale": np.array(similarity.scale),
    }


def placement_of(arrays: Arrays, which: int | None = None) -> Similarity:
    """The similarity back from its parts, of one scan or of one of several."""
    rotation, translation, scale = (arrays[name] for name in ("rotation", "translation", "scale"))
    if which is not None:
        rotation, translation, scale = rotation[which], translation[which], scale[which]
    return Similarity(rotation, translation, float(scale))


@cache
def _model(name: str):
    from headfield.models.release import load

    return load(name)


# ---- thumbnails ----------------------------------------------------------------------------------------------------


def scan_picture(scan: Scan, placement: Similarity) -> np.ndarray:
    """The scan as it was placed, three quarter from the front, (H, W, 3)."""
    from headfield.surface.snapshot import render, render_points, spacing

    points = placement.apply(scan.points)
    near = (np.abs(points) < 1.2).all(1)
    options = {"view": "three_quarter", "size": THUMBNAIL, "frame_on": _FRAME}
    if scan.triangles is not None:
        return render(Mesh(points, scan.triangles), occlusion_rays=0, colours=scan.colours, **options)
    points = points[near] if near.sum() >= 10 else points
    colours = None if scan.colours is None or near.sum() < 10 else scan.colours[near]
    return render_points(points, radius=1.7 * spacing(points), colours=colours, **options)


def tried_picture(scan: Scan) -> np.ndarray:
    """A scan in which no head was found, from three sides of its own frame, (H, W, 3)."""
    from headfield.surface.sheet import contact_sheet
    from headfield.surface.snapshot import render_points, spacing

    points = scan.points[:: max(1, len(scan.points) // 20_000)]
    low, high = np.percentile(points, [1, 99], axis=0)
    frame = np.stack([low, high]) + np.array([[-0.2], [0.2]]) * (high - low).max()
    views = {"along z": "front", "along x": "left", "along y": "top"}
    pictures = [
        render_points(points, view=view, size=THUMBNAIL, radius=1.7 * spacing(points), frame_on=frame)
        for view in views.values()
    ]
    return contact_sheet(pictures, 3, list(views))


def mesh_picture(mesh: Mesh) -> np.ndarray:
    """A head as clay, (H, W, 3)."""
    from headfield.surface.snapshot import render

    return render(mesh, view="three_quarter", size=THUMBNAIL, frame_on=_FRAME, occlusion_rays=0)


def error_picture(mesh: Mesh, points: np.ndarray, millimetres: float, most: float = 3.0) -> np.ndarray:
    """A registered head with the distance of its surface to the scan, grey where the scan shows nothing."""
    from scipy.spatial import cKDTree

    from headfield.curate.measures import STRAY_MM
    from headfield.surface.snapshot import error_colours, render

    gap = cKDTree(points).query(mesh.vertices)[0] * millimetres
    colours = error_colours(np.where(gap < STRAY_MM / 2, gap, np.nan), most)
    return render(mesh, view="three_quarter", size=THUMBNAIL, frame_on=_FRAME, occlusion_rays=0, colours=colours)


_FRAME = np.array([[-0.42, -0.6, -0.65], [0.42, 0.62, 0.35]])
"""Corners of what thumbnails show, model frame."""
