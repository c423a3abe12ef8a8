"""The picture beside every fit: scan, head and error map, each from three sides."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np
from scipy.spatial import cKDTree

from headfield.surface.sheet import contact_sheet, error_colours, error_legend
from headfield.surface.snapshot import render, render_points, spacing
from headfield.types import Mesh, Scan

VIEWS = ("front", "three_quarter", "left")


def fit_preview(
    scan: Scan,
    head: Mesh,
    errors_mm: np.ndarray,
    *,
    error_points: np.ndarray | None = None,
    title: str | None = None,
    size: int = 300,
    max_mm: float = 3.0,
    clay: bool = False,
) -> np.ndarray:
    """Scan, head and error map from three sides, all with the same cameras; in the scan's colours where it has any.

    Args:
        scan: The scan in the model frame (+y up, +z out of the face), any unit.
        head: The fitted head in the same frame; its attribute ``seen`` says where errors are known.
        errors_mm: (N,) distance of scan points to the head, millimetres; NaN where they are no part of the head.
        error_points: (N, 3) those points, in the model frame; default all of the scan's.
        title: One line above.
        size: Pixels of one picture.
        max_mm: Error at the dark end of the scale.
        clay: Leave colours out.
    Returns:
        (H, W, 3) uint8.
    """
    frame = head.vertices
    if clay:
        scan, head = replace(scan, colours=None), replace(head, colours=None)
    error = error_colours(
        errors_on_head(scan.points if error_points is None else error_points, head, errors_mm), max_mm
    )
    tasks = [partial(_scan_picture, scan, view, size, frame) for view in VIEWS]
    tasks += [partial(render, head, view=view, size=size, colours=head.colours, occlusion_rays=4) for view in VIEWS]
    tasks += [partial(render, head, view=view, size=size, colours=error, occlusion_rays=0) for view in VIEWS]
    with ThreadPoolExecutor(2) as pool:  # more would take memory for pictures that nobody waits for
        images = list(pool.map(lambda task: task(), tasks))
    names = ("scan", "head", "distance")
    labels = [f"{name}, {view.replace('_', ' ')}" for name in names for view in VIEWS]
    known = errors_mm[np.isfinite(errors_mm)]
    text = "distance between scan and head (mm); grey: not in the scan"
    if len(known):
        text += f"; median {np.median(np.abs(known)):.2f}"
    legend = error_legend(3 * size, max_mm, text)
    return contact_sheet(images, 3, labels, title, legend)


def errors_on_head(points: np.ndarray, head: Mesh, errors_mm: np.ndarray) -> np.ndarray:
    """Errors (V,) of the scan points nearest to each vertex, averaged over four; NaN on unseen vertices.

    Args:
        points: (N, 3) in the head's frame.
        head: With the attribute ``seen``; without it every vertex counts as seen.
        errors_mm: (N,), NaN where unknown.
    """
    known = np.isfinite(errors_mm)
    result = np.full(len(head.vertices), np.nan)
    if known.sum() < 4:
        return result
    seen = np.asarray(head.attributes.get("seen", np.ones(len(head.vertices), bool)), dtype=bool)
    distance, index = cKDTree(points[known]).query(head.vertices[seen], k=4)
    weight = 1 / (distance + 1e-9)
    values = np.abs(errors_mm[known])[index]
    result[seen] = (values * weight).sum(axis=1) / weight.sum(axis=1)
    return result


def _scan_picture(scan: Scan, view: str, size: int, frame: np.ndarray) -> np.ndarray:
    if scan.triangles is None:
        options = {"normals": scan.normals, "frame_on": frame, "radius": 1.7 * spacing(scan.points)}
        options["colours"] = scan.colours
        return render_points(scan.points, view=view, size=size, **options)
    triangles = scan.triangles
    corner = scan.points[triangles]
    faces = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    outward = np.einsum("fc,fc->", faces, corner.mean(axis=1) - scan.points.mean(axis=0))
    if outward < 0:  # inverted scans are common; show their outside
        triangles = triangles[:, ::-1]
    surface, options = Mesh(scan.points, triangles), {"frame_on": frame, "occlusion_rays": 4}
    return render(surface, view=view, size=size, colours=scan.colours, **options)


def wrap_preview(wrapped, triangles: np.ndarray, size: int = 300, max_mm: float = 1.0) -> np.ndarray:
    """Scan, template where it was placed, template wrapped and its distance to the scan, each from three sides.

    Args:
        wrapped: A :class:`headfield.curate.wrap.Wrapped`.
        triangles: (F, 3) of the template.
        size: Pixels of one picture.
        max_mm: Distance at the dark end of the scale.
    Returns:
        (H, W, 3) uint8.
    """
    turn = wrapped.working
    before, after = (Mesh(turn.apply(places), triangles) for places in (wrapped.placed, wrapped.vertices))
    target = wrapped.target
    scan = Scan(target.vertices, target.normals, target.triangles if len(target.triangles) else None)
    colours, light = error_colours(wrapped.registration.error, max_mm), {"occlusion_rays": 4}
    rows = {
        "scan": lambda view: _scan_picture(scan, view, size, after.vertices),
        "template, placed": lambda view: render(before, view=view, size=size, frame_on=after.vertices, **light),
        "wrapped": lambda view: render(after, view=view, size=size, **light),
        "distance": lambda view: render(after, view=view, size=size, colours=colours, occlusion_rays=0),
    }
    tasks = [partial(draw, view) for draw in rows.values() for view in VIEWS]
    with ThreadPoolExecutor(2) as pool:
        images = list(pool.map(lambda task: task(), tasks))
    labels = [f"{name}, {view.replace('_', ' ')}" for name in rows for view in VIEWS]
    known = wrapped.registration.error[wrapped.registration.matched]
    text = "distance to the scan (mm); grey: the scan does not show it"
    if len(known):
        text += f"; mean {known.mean():.2f}"
    return contact_sheet(images, 3, labels, None, error_legend(3 * size, max_mm, text))
