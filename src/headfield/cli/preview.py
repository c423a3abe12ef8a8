"""The picture beside every fit: scan, head and error map, each from three sides."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from headfield.neighbours import PointTree
from headfield.surface.sheet import contact_sheet, error_colours, error_legend
from headfield.surface.snapshot import MeshPictures, PointPictures, spacing
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
    if clay:
        scan, head = replace(scan, colours=None), replace(head, colours=None)
    error = error_colours(
        errors_on_head(scan.points if error_points is None else error_points, head, errors_mm), max_mm
    )
    scanned, shown = _scan_pictures(scan), MeshPictures(head)

    def pictures(view: str) -> list[np.ndarray]:
        camera = {"size": size, "frame_on": head.vertices}
        sight = shown.seen_from(view, **camera)
        return [
            _picture(scanned, view, camera, scan.colours),
            sight.picture(head.colours, occlusion_rays=4),
            sight.picture(error, occlusion_rays=0),
        ]

    images = [image for row in zip(*_side_by_side(pictures)) for image in row]
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
    distance, index = PointTree(points[known]).query(head.vertices[seen], k=4)
    weight = 1 / (distance + 1e-9)
    values = np.abs(errors_mm[known])[index]
    result[seen] = (values * weight).sum(axis=1) / weight.sum(axis=1)
    return result


def _side_by_side(pictures: Callable[[str], list[np.ndarray]]) -> list[list[np.ndarray]]:
    """The pictures of each view; more than two at once would take memory for what nobody waits for."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(pictures, VIEWS))


def _scan_pictures(scan: Scan) -> MeshPictures | PointPictures:
    if scan.triangles is None:
        radius = 1.7 * spacing(scan.points)
        return PointPictures(scan.points, normals=scan.normals, colours=scan.colours, radius=radius)
    triangles = scan.triangles
    corner = scan.points[triangles]
    faces = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    outward = np.einsum("fc,fc->", faces, corner.mean(axis=1) - scan.points.mean(axis=0))
    if outward < 0:  # inverted scans are common; show their outside
        triangles = triangles[:, ::-1]
    return MeshPictures(Mesh(scan.points, triangles))


def _picture(
    scanned: MeshPictures | PointPictures, view: str, camera: dict, colours: np.ndarray | None = None
) -> np.ndarray:
    if isinstance(scanned, PointPictures):  # which has its colours
        return scanned.picture(view, **camera)
    return scanned.seen_from(view, **camera).picture(colours, occlusion_rays=4)


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
    colours = error_colours(wrapped.registration.error, max_mm)
    scanned, placed, shown = _scan_pictures(scan), MeshPictures(before), MeshPictures(after)

    def pictures(view: str) -> list[np.ndarray]:
        camera = {"size": size, "frame_on": after.vertices}
        sight = shown.seen_from(view, **camera)
        return [
            _picture(scanned, view, camera),
            placed.seen_from(view, **camera).picture(occlusion_rays=4),
            sight.picture(occlusion_rays=4),
            sight.picture(colours, occlusion_rays=0),
        ]

    images = [image for row in zip(*_side_by_side(pictures)) for image in row]
    names = ("scan", "template, placed", "wrapped", "distance")
    labels = [f"{name}, {view.replace('_', ' ')}" for name in names for view in VIEWS]
    known = wrapped.registration.error[wrapped.registration.matched]
    text = "distance to the scan (mm); grey: the scan does not show it"
    if len(known):
        text += f"; mean {known.mean():.2f}"
    return contact_sheet(images, 3, labels, None, error_legend(3 * size, max_mm, text))
